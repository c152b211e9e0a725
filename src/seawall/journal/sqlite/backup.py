"""The backup of a journal: a copy of one snapshot, with its mark, that is verified before it gets its name."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Protocol, TypeVar

import apsw

from seawall.core.clock import Clock
from seawall.core.errors import JournalFailed, JournalFull, Misused
from seawall.core.files import exists
from seawall.journal.protocol import Backup, Verification
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.mark import Mark
from seawall.journal.sqlite.options import SqliteOptions
from seawall.journal.sqlite.reading import Readers
from seawall.journal.sqlite.schema import NO_SPACE, connect, sync_directory, translate_errors
from seawall.journal.sqlite.verify import verify

T = TypeVar("T")

_ENDS = ("", "-wal", "-shm", ".mark", ".mark.new")
"""The files of a journal; the last is there for a moment only."""

PAGES = 2_000
"""Pages copied at a time: 8 MB, some tens of milliseconds."""


class Read(Protocol):
    """Runs some work on a connection, in a reading thread and in one snapshot of the file."""

    def __call__(self, work: Callable[[Database], T]) -> Awaitable[T]:
        """Returns what `work` returns."""
        ...


async def back_up(
    read: Read,
    source: str,
    path: str,
    clock: Clock,
    force: bool,
    progress: Callable[[int, int], None] | None,
) -> Backup:
    """See `Journal.backup`."""
    target = _find_target(path, source, force)
    # the target's name may be the longest that the file system takes; process ids are equal in different containers
    partial = target.with_name(f"seawall-backup-{secrets.token_hex(8)}.partial")
    stopped = _Stop()
    try:
        try:
            await read(lambda database: _copy(database, str(partial), stopped, progress))
        except BaseException:
            stopped.requested = True
            raise
        verification = await _verify_copy(str(partial))
        if not verification.ok:
            bad = verification.bad
            raise JournalFailed(f"the copy of journal {source} is not what was written: {bad and bad.what}")
        try:
            size = _give_name(partial, target, clock)
        except OSError as error:
            kind = JournalFull if error.errno in NO_SPACE else JournalFailed
            what = (
                "could not be written" if partial.exists() else "is there and verified, but its mark is not"
            )
            raise kind(f"backup {target} {what}: {error.strerror}") from error
        return Backup(path=str(target), file_bytes=size, verification=verification)
    finally:
        _remove(partial)


class _Stop:
    """Set when the caller has gone away. The copying thread checks it between two pieces."""

    requested = False


def _find_target(path: str, source: str, force: bool) -> Path:
    """Returns the path of the copy. Raises `Misused` for a path where a copy can't or must not be written."""
    try:
        target = Path(os.path.realpath(path))
        own = [Path(f"{source}{end}") for end in _ENDS]
        theirs = [Path(f"{target}{end}") for end in _ENDS]
        if target == own[0]:
            raise Misused(f"{target} is the journal itself; name another file for the backup")
        if taken := [file for file in theirs if file in own]:
            raise Misused(f"{taken[0]} belongs to the journal {source}; name another file for the backup")
        if not target.parent.is_dir():
            raise Misused(f"there is no folder {target.parent} to write the backup to")
        if exists(target) and not target.is_file():
            raise Misused(f"{target} is not a file that a backup can replace; name another one")
        for file in theirs:
            if exists(file) and not force:
                raise Misused(
                    f"there is a file at {file} already; name another one, or replace it with --force"
                )
    except (OSError, ValueError) as error:
        raise Misused(f"no backup can be written to {path!r}: {error}") from None
    if exists(target):
        _refuse_open(target)
    return target


def _refuse_open(target: Path) -> None:
    """Raises `Misused` if the target is a journal that a process has open: its newest commits would be lost without a
    trace.
    """
    try:
        database = connect(str(target), SqliteOptions(lock_wait_s=0.1), "read")
        try:
            database.run_pragma("locking_mode", "exclusive")
            database.run("BEGIN")
            database.fetch_value("SELECT 1 FROM sqlite_schema LIMIT 1")
            database.rollback()
        finally:
            database.close()
    except apsw.BusyError:
        raise Misused(
            f"{target} is a database that a process has open; name another file for the backup"
        ) from None
    except apsw.Error:
        return  # the target is not a database, or a damaged one


def _copy(
    database: Database, partial: str, stopped: _Stop, progress: Callable[[int, int], None] | None
) -> None:
    def report(done: int, every: int) -> None:
        if stopped.requested:
            raise JournalFailed("the backup was stopped")
        if progress is not None:
            progress(done, every)

    with translate_errors(partial):
        copy = Database(partial, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, vfs=None)
    with contextlib.closing(copy), translate_errors(partial, copy):
        # from here on the connection sees this one snapshot
        database.fetch_value("SELECT max(id) FROM batches")
        database.copy_to(copy, PAGES, report)


async def _verify_copy(partial: str) -> Verification:
    readers = Readers(partial, lambda: _connect_copy(partial), 1, None)
    try:
        return await verify(readers.run, None, None)
    finally:
        await readers.close()


def _connect_copy(partial: str) -> Database:
    return connect(partial, SqliteOptions(), "read")


def _remove(partial: Path) -> None:
    """Removes a copy that was not finished, with what SQLite may have left beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{partial}{suffix}").unlink(missing_ok=True)


@contextlib.contextmanager
def _hold_folder(folder: Path) -> Generator[None]:
    """Keeps other backups from giving names in this folder meanwhile, so that no copy gets the mark of another one."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _give_name(partial: Path, target: Path, clock: Clock) -> int:
    """Makes the copy durable under its name, and then its mark: a mark alone would mean that the journal is gone.

    Returns the bytes of the copy.
    """
    database = connect(str(partial), SqliteOptions(), "write")
    try:
        genesis = database.fetch_value("SELECT value FROM meta WHERE key = 'genesis'")
        mark = Mark(str(target), genesis, clock, 0.0, 1)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        with _hold_folder(target.parent):
            for stale in (mark.path, Path(f"{target}-wal"), Path(f"{target}-shm")):
                stale.unlink(missing_ok=True)
            partial.replace(target)
            mark.write(database)
    finally:
        database.close()
    sync_directory(str(target))
    return target.stat().st_size
