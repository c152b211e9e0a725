"""Opening the file: schema, version, pragmas, and clear errors for files that can't be opened.

The tables are in `migrations.py`.
"""

from __future__ import annotations

import errno
import os
import shlex
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import apsw
import msgspec

from seawall.core.errors import (
    Broken,
    JournalDamaged,
    JournalFailed,
    JournalFull,
    JournalReadOnly,
    Misused,
    describe_error,
)
from seawall.journal.sqlite.chain import WRITER
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.holding import hold_all_rows, hold_older_journal
from seawall.journal.sqlite.migrations import MIGRATIONS
from seawall.journal.sqlite.options import SqliteOptions

APPLICATION_ID = 0x5EA3A11
VERSION = 8
HOLDS_ROWS = 3
"""The first schema whose chain holds the rows that are changed in place."""
MEMORY = ":memory:"


MISREAD = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
    struct.error,
)
"""The errors of code that reads a row with other types, lengths or encodings than were written."""


OUTSIDE = (
    MemoryError,
    apsw.NoMemError,
    apsw.ProtocolError,
    apsw.PermissionsError,
    apsw.LockedError,
)
"""The errors of a machine without memory and of a file system that refuses a lock or a file. They say nothing about what is
in the journal, and a later attempt may succeed."""
NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_NEEDS_SPACE = {
    *(apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_TRUNCATE),
    *(apsw.SQLITE_IOERR_SHMOPEN, apsw.SQLITE_IOERR_SHMSIZE),
}
"""SQLite's codes of operations that failed for lack of space. A failed sync is not among them: what it has lost is
unknown, for whatever reason it failed."""


def is_disk_full(error: Exception, number: int) -> bool:
    """Returns whether SQLite failed for lack of space; `number` is the system's error number behind `error`.

    SQLite reports a full disk only for the database and its log. For the file of shared memory, and for a file that it
    can't make, it reports "disk I/O error" and "unable to open database file".
    """
    if isinstance(error, apsw.FullError):
        return True
    if isinstance(error, apsw.CantOpenError):
        return number in NO_SPACE
    code: int = getattr(error, "extendedresult", 0)  # apsw's stubs leave it out
    if not isinstance(error, apsw.IOError) or code not in _NEEDS_SPACE:
        return False
    return number in NO_SPACE or (code == apsw.SQLITE_IOERR_SHMSIZE and number != errno.EIO)


@contextmanager
def translate_errors(path: str, database: Database | None = None) -> Generator[None]:
    """Turns SQLite's errors into Seawall's errors, with the file's name. `database` has the system's error number."""
    try:
        yield
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError) as error:
        if is_disk_full(error, 0 if database is None else database.errno):
            raise JournalFull(f"journal {path}: the disk is full") from error
        if isinstance(error, apsw.CantOpenError):
            raise _explain_open_failure(path, error) from None
        raise JournalFailed(f"journal {path}: {error}") from error
    except apsw.NotADBError:
        raise Misused(
            f"{path} is not a Seawall journal: it is not a SQLite database; name another file"
        ) from None
    except (apsw.BusyError, *OUTSIDE) as error:
        is_busy = isinstance(error, apsw.BusyError)
        busy = f"another process holds the file's lock ({error}): try again once it is done; fuser {shlex.quote(path)} names it"
        what = busy if is_busy else describe_error(error)
        raise Broken(f"journal {path}: {what}") from error
    except apsw.ReadOnlyError:
        raise JournalReadOnly(
            f"journal {path} can't be written: the file or its directory is read-only"
        ) from None
    except apsw.Error as error:  # a page is damaged or of another kind, or a table or column is gone
        raise JournalDamaged(f"journal {path} is damaged: {error}") from error
    except UnicodeEncodeError as error:  # the error is in the caller's text: nothing that was read is encoded
        raise Misused(f"{error.object!r} has no UTF-8") from None
    except OverflowError as error:
        # the error is in the caller's number: a number that was read has at most 64 bits
        raise Misused(f"a number is too large for a journal: {error}") from None
    except MISREAD as error:
        raise JournalDamaged(
            f"journal {path} holds data that Seawall did not write: {type(error).__name__}: {error}"
        ) from error


def _explain_open_failure(path: str, error: apsw.CantOpenError) -> Misused | JournalFull:
    file = Path(path)
    if not file.parent.is_dir():
        return Misused(f"journal {path}: the directory {file.parent} does not exist")
    if file.exists() and not os.access(file, os.R_OK):
        return Misused(f"journal {path} can't be read: permission denied")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        return JournalReadOnly(f"journal {path} can't be written: permission denied")
    number = _find_creation_error(file.parent)
    if number in NO_SPACE:
        return JournalFull(f"journal {path}: the disk is full")
    if number:
        return JournalReadOnly(f"journal {path} can't be written: {os.strerror(number)}")
    return Misused(f"journal {path} can't be opened: {error}")


def _find_creation_error(folder: Path) -> int:
    """Returns the error number with which a file can't be made in a folder; 0 if it can. SQLite's own number may belong
    to its next attempt.
    """
    import tempfile  # noqa: PLC0415 -- the import takes 5 ms, and is needed only after a failure

    try:
        with tempfile.TemporaryFile(dir=folder):
            return 0
    except OSError as error:
        return error.errno or 0


Access = Literal["write", "read", "shared", "still", "immutable"]
"""The ways to open a file. `write` and `read` need the right to write the file, without which SQLite can't share it
with other processes. The other ways are for a file that can't be written, see `read_only.py`: with the index of its
log, with a log and without locks, and as a file that is complete without a log."""

_FLAGS: dict[Access, int] = {
    "write": apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE,
    "read": apsw.SQLITE_OPEN_READWRITE,
    "shared": apsw.SQLITE_OPEN_READONLY,
    "still": apsw.SQLITE_OPEN_READONLY,
    "immutable": apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
}
_NO_LOCKS = "unix-none"
"""SQLite's own VFS without locks. Together with exclusive locking it needs no shared memory."""


def connect(path: str, options: SqliteOptions, access: Access) -> Database:
    """Returns a connection to the file; a writing one needs `prepare` before it is used."""
    name = f"file:{quote(str(Path(path).resolve()))}?immutable=1" if access == "immutable" else path
    vfs = _NO_LOCKS if access == "still" else options.vfs
    database = Database(name, flags=_FLAGS[access] | apsw.SQLITE_OPEN_NOMUTEX, vfs=vfs)
    database.set_lock_wait(options.lock_wait_s)
    database.run_pragma("temp_store", 2)  # in memory, so that sorting needs no room on the disk
    if access == "still":
        database.run_pragma("locking_mode", "exclusive")
    if access != "write":
        database.run_pragma("query_only", True)
        database.leave_log()  # the writing connection copies it
    return database


def prepare(database: Database, path: str, options: SqliteOptions, genesis: bytes, at: float) -> None:
    """Creates the schema, or migrates an older one to the newest, and sets the pragmas of a writing connection.

    All steps are one transaction: wherever it ends, the file has the old schema or the new one. Raises `Misused`
    for a file that is not a Seawall journal, and for a newer schema.
    """
    # only a new file accepts this; in another file it would be a write
    if _check_version(database, path) == 0:
        database.run_pragma("auto_vacuum", 2)  # incremental
    mode = database.use_log()
    wanted = "memory" if path == MEMORY else "wal"
    if mode != wanted:
        raise Misused(f"journal {path}: its file system gives journal_mode={mode}, not {wanted}")
    database.run_pragma("synchronous", 2)  # FULL: each commit is on the disk when COMMIT returns
    # the writer makes checkpoints, after it has reported to the waiting callers
    database.run_pragma("wal_autocheckpoint", 0)
    database.run_pragma("cache_size", -(options.cache_bytes // 1024))
    database.run_pragma("secure_delete", 1)  # erased data is overwritten, not only unlinked
    if database.run_pragma("synchronous") != 2:
        raise Misused(f"journal {path}: synchronous={database.run_pragma('synchronous')}, not 2 (FULL)")
    database.run("BEGIN IMMEDIATE")
    try:
        version = _check_version(database, path)  # another process may have created it meanwhile
        for step in MIGRATIONS[version:]:
            database.run(step)
        if version == 0:
            database.run("INSERT INTO meta VALUES ('genesis', ?), ('ground', 0)", (genesis,))
            database.run("INSERT INTO tenants(id, name) VALUES (0, '')")
            state = hold_all_rows(database)
            database.run(
                "INSERT INTO batches VALUES (0, 0, ?, ?, NULL, NULL, ?, NULL, ?)",
                (at, genesis, state, WRITER),
            )
            database.run_pragma("application_id", APPLICATION_ID)
        elif version < HOLDS_ROWS:
            hold_older_journal(database, at)
        if version < VERSION:
            database.run_pragma("user_version", VERSION)
        database.run("COMMIT")
    except BaseException:
        database.rollback()
        raise


def check_newest_schema(database: Database, path: str) -> bool:
    """Returns whether the file has the newest schema. Raises `Misused` as `prepare` does."""
    return _check_version(database, path) == VERSION


_IDENTITY = """
SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM pragma_application_id),
    (SELECT name FROM sqlite_schema LIMIT 1)
"""
"""One statement, so one snapshot: another process may make the journal at this moment."""


def _check_version(database: Database, path: str) -> int:
    version, application, table = database.fetch_one(_IDENTITY)
    if application not in (0, APPLICATION_ID):
        raise Misused(f"{path} is a SQLite database of another program (application_id {application:#x})")
    if application == 0 and table is not None:
        raise Misused(f"{path} is a SQLite database, but not a Seawall journal; name another file")
    if not isinstance(version, int) or version > VERSION:
        raise Misused(
            f"journal {path} has schema {version}, this seawall reads up to {VERSION}: upgrade seawall"
        )
    return version


def sync_directory(path: str) -> None:
    """Makes a new file's name durable; an fsync of the file itself does not."""
    descriptor = os.open(Path(path).resolve().parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
