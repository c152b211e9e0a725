"""Collecting memory."""

from __future__ import annotations

from seawall.journal.protocol import Collected
from seawall.journal.sqlite.access import FileAccess


async def collect(
    access: FileAccess, tenant: str | None, before: float | None, dry_run: bool, now: float
) -> Collected:
    """See `Journal.collect_memory`."""
    return Collected()
