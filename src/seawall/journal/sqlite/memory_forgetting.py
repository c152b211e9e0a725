"""Forgetting a person."""

from __future__ import annotations

from seawall.journal.protocol import Forgotten
from seawall.journal.sqlite.access import FileAccess


async def forget(access: FileAccess, tenant: str, subject: str, dry_run: bool) -> Forgotten:
    """See `Journal.forget_subject`."""
    return Forgotten()
