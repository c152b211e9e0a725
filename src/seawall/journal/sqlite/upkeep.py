"""Occasional work on a whole file. Its code is imported when it is needed, so that no run waits for the import."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from seawall.core.clock import Clock
from seawall.journal.protocol import Backup, Collected, Forgotten, Verification
from seawall.journal.sqlite.access import FileAccess
from seawall.journal.sqlite.mark import Mark
from seawall.journal.sqlite.signing import Signer

if TYPE_CHECKING:
    from seawall.journal.sqlite.backup import Read
    from seawall.journal.sqlite.verify import ReadChunk

Progress = Callable[[int, int], None]


async def verify(
    read: ReadChunk, mark: Mark | None, progress: Progress | None, head: str | None, signer: Signer | None
) -> Verification:
    """See `Journal.verify`."""
    from seawall.journal.sqlite import verify  # noqa: PLC0415 -- loaded when it is asked for

    return await verify.verify(read, mark, progress, head, signer)


async def back_up(
    read: Read, source: str, path: str, clock: Clock, force: bool, progress: Progress | None
) -> Backup:
    """See `Journal.backup`."""
    from seawall.journal.sqlite import backup  # noqa: PLC0415 -- loaded when it is asked for

    return await backup.back_up(read, source, path, clock, force, progress)


async def collect(
    access: FileAccess, tenant: str | None, scope: str | None, before: float | None, dry_run: bool, now: float
) -> Collected:
    """See `Journal.collect_memory`."""
    from seawall.journal.sqlite import memory_collecting  # noqa: PLC0415 -- loaded when it is asked for

    return await memory_collecting.collect(access, tenant, scope, before, dry_run, now)


async def forget(access: FileAccess, tenant: str, subject: str, dry_run: bool) -> Forgotten:
    """See `Journal.forget_subject`."""
    from seawall.journal.sqlite import memory_forgetting  # noqa: PLC0415 -- loaded when it is asked for

    return await memory_forgetting.forget(access, tenant, subject, dry_run)
