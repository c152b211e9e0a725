"""Reads a journal that can't be written from here, without making a file beside it.

SQLite reads a write-ahead log through its index in shared memory (`-shm`), which it can't make here. How the journal is
read instead depends on which files exist:

- The log and its index: a connection that only reads uses both, and sees what a process elsewhere writes meanwhile.
- A log without an index, or with one that can't be read: nobody has the journal open, as far as can be seen. The
  connection makes an index in its own memory. It locks nothing, so each read checks that nobody has written.
- No log: the file is whole without one, and nobody has it open, because a process that has it open makes a log. It is
  read as immutable, and each read checks that this is still so. A log would be ignored, so this way is never used if there is one.
"""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from seawall.core.errors import Broken, JournalReadOnly, Misused
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.options import SqliteOptions
from seawall.journal.sqlite.schema import Access, check_newest_schema, connect, translate_errors

_EFFECTIVE = os.access in os.supports_effective_ids

State = tuple[int, int, int, int]
"""Device, inode, size and time of the newest change."""


def find_obstacle(path: str) -> JournalReadOnly | None:
    """Returns why an existing journal can't be written; None if no permission and no mount option forbids it.

    Call it before SQLite opens the file: SQLite would leave files beside a file that it can't write.
    """
    real = os.path.realpath(path)
    if not Path(real).is_file():
        return None
    beside = [f"{real}-wal", f"{real}-shm"]
    wanted = [real, *(file for file in beside if Path(file).exists())]
    if len(wanted) < 3:
        wanted.append(str(Path(real).parent))
    for file in wanted:
        if not _is_allowed(file, os.W_OK):
            return JournalReadOnly(f"journal {path} can't be written: {_explain(file)}; it can only be read")
    return None


def _is_allowed(file: str, mode: int) -> bool:
    return os.access(file, mode, effective_ids=_EFFECTIVE)


def _explain(file: str) -> str:
    if os.statvfs(file).f_flag & os.ST_RDONLY:
        return "its file system is read-only"
    return f"no permission to write {file}"


class StillFiles:
    """The files of a journal that is read without locks, which no other process may write meanwhile."""

    def __init__(self, path: str) -> None:
        self._path = path
        real = os.path.realpath(path)
        self._files = (real, f"{real}-wal")
        self._before = self._look()

    def __repr__(self) -> str:
        return f"<StillFiles {self._path}>"

    def _look(self) -> list[State | None]:
        return [_read_state(file) for file in self._files]

    @property
    def has_log(self) -> bool:
        """Whether there was a write-ahead log."""
        return self._before[1] is not None

    def check(self) -> None:
        """Raises `Broken` if another process has opened or written the journal, because the data that was read may be
        torn.
        """
        if self._look() != self._before:
            raise Broken(f"journal {self._path}: another process has opened it meanwhile; open it again")


def _read_state(file: str) -> State | None:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def connect_read_only(
    path: str, options: SqliteOptions, why: JournalReadOnly
) -> tuple[Database, StillFiles | None]:
    """Returns a connection that only reads, and the files that no other process may write meanwhile; None instead of
    the files if others may write. Raises `Misused`, which says what to copy, if the journal can't be read here.
    """
    real = os.path.realpath(path)
    still = StillFiles(path)
    for file in (real, *([f"{real}-wal"] if still.has_log else [])):
        if not _is_allowed(file, os.R_OK):
            raise Misused(f"journal {path} can't be read: permission denied for {file}")
    ways: list[Access] = ["immutable"]
    if still.has_log:
        ways = ["shared", "still"] if Path(f"{real}-shm").exists() else ["still"]
    for access in ways:
        with translate_errors(path):
            try:
                database = _try_to_connect(path, options, access)
            except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError):
                continue
            except apsw.IOError:  # the index may be unreadable, or its locks may be refused
                if access != "shared":
                    raise
                continue
        if database is None:
            raise Misused(
                f"{why}, and only after a migration, because an earlier version wrote it: {_advise(path)}"
            )
        return database, None if access == "shared" else still
    raise Misused(f"{why}, and not here: {_advise(path)}")


def _try_to_connect(path: str, options: SqliteOptions, access: Access) -> Database | None:
    """Returns a connection; None if the file has an older schema."""
    database = connect(path, options, access)
    try:
        if check_newest_schema(database, path):
            return database
    except BaseException:
        database.close()
        raise
    database.close()
    return None


def _advise(path: str) -> str:
    return (
        f"copy {path}, {path}-wal (if there is one) and {path}.mark to a directory that you can write, while no process "
        "has it open, and name the copy"
    )
