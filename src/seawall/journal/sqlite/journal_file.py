"""A journal's file, opened and checked, with everything that the writer and the readers share."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import apsw

from seawall.core.clock import Clock
from seawall.core.errors import JournalDamaged, JournalFailed, JournalFull, JournalReadOnly, Misused
from seawall.journal.sqlite.chain import HASH_BYTES
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.identity import OpenFiles, find_size, refuse_second_name
from seawall.journal.sqlite.liveness import Liveness
from seawall.journal.sqlite.mark import Mark
from seawall.journal.sqlite.options import SqliteOptions
from seawall.journal.sqlite.owner import Host, Owner, close_owner, open_owner
from seawall.journal.sqlite.read_only import StillFiles, connect_read_only, find_obstacle
from seawall.journal.sqlite.schema import (
    MEMORY,
    Access,
    check_newest_schema,
    connect,
    prepare,
    sync_directory,
    translate_errors,
)
from seawall.journal.sqlite.signing import Signer

_log = logging.getLogger("seawall.journal")


@dataclass(frozen=True)
class JournalFile:
    """An open journal file."""

    path: str
    real_path: str
    """The absolute path of the file, without links; `:memory:` for a journal in memory."""
    database: Database
    owner: Owner
    liveness: Liveness
    mark: Mark | None
    files: OpenFiles | None
    """None if there is one connection for everything: a journal in memory, or one that is `full`."""
    signer: Signer | None
    loss: str | None
    """A text that says which newest batches the file has lost, by the high-water mark; None if none."""
    unwritable: JournalFull | JournalReadOnly | None
    """The reason why the file can only be read: it may not be written, or the disk has no room for SQLite's other
    files. None if it can be written."""
    still: StillFiles | None
    """The files, if they are read without a lock that keeps others from them."""

    def get_only_connection(self) -> Database:
        """Returns the only connection. Raises `Broken` if another process has written to a file that is read without a
        lock.
        """
        if self.still is not None:
            self.still.check()
        return self.database

    def close(self) -> None:
        """Closes the file and ends the owner's name."""
        self.database.close()
        close_owner(self.owner)


def open_journal_file(
    path: str,
    clock: Clock,
    options: SqliteOptions,
    create: bool,
    signer: Signer | None,
    host: Host | None = None,
) -> JournalFile:
    """Opens the journal at `path`, or makes it. Raises `Misused`, `JournalFailed`, `JournalDamaged`, `Broken`."""
    memory = path == MEMORY
    new = memory or not find_size(path)
    if new and not memory:
        _check_absent(path, create)
    if not memory:
        refuse_second_name(path)
    real_path = path if memory else os.path.realpath(path)
    owner = open_owner(host)
    unwritable = None if new else find_obstacle(path)
    try:
        genesis = hashlib.sha256(
            f"seawall {owner} {clock.wall_s()!r} {clock.monotonic_s()!r}".encode()
        ).digest()
        database, unwritable, still, is_shared = _open_database(
            path, options, genesis, clock, new, unwritable
        )
        with translate_errors(path, database):
            try:
                genesis = _read_genesis(database, path)
                files = OpenFiles(path) if is_shared else None
                mark = (
                    None if memory else Mark(real_path, genesis, clock, options.mark_s, options.mark_batches)
                )
                loss = None if mark is None else mark.explain_loss(database, mark.read_or_explain())
                if mark is not None and not isinstance(unwritable, JournalReadOnly):
                    mark.note_absence(database, new=new)
                    if mark.is_absent:
                        _log.warning("journal %s: its high-water mark %s is gone", path, mark.path)
            except BaseException:
                database.close()
                raise
    except BaseException:
        close_owner(owner)
        raise
    liveness = Liveness(owner, clock, options.lease_s, doubted_are_out=options.doubted_leases_are_out)
    return JournalFile(
        path, real_path, database, owner, liveness, mark, files, signer, loss, unwritable, still
    )


class _Opened(NamedTuple):
    database: Database
    unwritable: JournalFull | JournalReadOnly | None
    still: StillFiles | None
    is_shared: bool
    """Whether other connections may use the file at the same time. There are then more connections, and a log to
    watch."""


def _open_database(
    path: str,
    options: SqliteOptions,
    genesis: bytes,
    clock: Clock,
    new: bool,
    obstacle: JournalReadOnly | None,
) -> _Opened:
    """Returns a connection to the file: one that may write or, if that is not possible, one that only reads."""
    if obstacle is None:
        try:
            return _Opened(
                _connect(path, options, genesis, clock, new=new), None, None, is_shared=path != MEMORY
            )
        except JournalFull as error:
            if new:
                raise
            database, still = _connect_alone(path, options, error)
            full = JournalFull(f"{error}; make room and open it again, until then it can only be read")
            return _Opened(database, full, still, is_shared=False)
        except JournalReadOnly as error:
            if new:
                raise
            obstacle = JournalReadOnly(f"{error}; it can only be read")
    database, still = connect_read_only(path, options, obstacle)
    return _Opened(database, obstacle, still, is_shared=still is None)


def _connect(path: str, options: SqliteOptions, genesis: bytes, clock: Clock, *, new: bool) -> Database:
    """Returns a connection that may write, to a file with the newest schema."""
    with translate_errors(path):
        database = connect(path, options, "write")
    try:
        with translate_errors(path, database):
            if database.is_read_only:
                raise apsw.ReadOnlyError
            prepare(database, path, options, genesis, clock.wall_s())
            if new and path != MEMORY:
                sync_directory(path)
    except BaseException:
        database.close()
        raise
    return database


def _connect_alone(
    path: str, options: SqliteOptions, full: JournalFull
) -> tuple[Database, StillFiles | None]:
    """Returns a connection that only reads and needs no shared memory, and the files that no other process may write
    meanwhile.

    A connection with an exclusive lock keeps the log's index in its own memory. SQLite grants the lock only if no other
    process has the file open, and no other process can open the file until the connection is closed. The connection
    needs a file for the log. If there is none and none can be made, no process has the file open, and the file is
    complete without a log. Raises `full` if neither way works.
    """
    ways: tuple[Access, ...] = ("read", "immutable")
    for access in ways:
        still = StillFiles(path) if access == "immutable" else None
        if still is not None and still.has_log:
            break
        with translate_errors(path):
            database = connect(path, options, access)
            # another process has it open, or there can be no log
            try:
                database.run_pragma("locking_mode", "exclusive")
                if check_newest_schema(database, path):
                    return database, still
            except (
                apsw.BusyError,
                apsw.CantOpenError,
            ):
                pass
            except BaseException:
                database.close()
                raise
            database.close()
    raise full


def _read_genesis(database: Database, path: str) -> bytes:
    genesis = database.fetch_value("SELECT value FROM meta WHERE key = 'genesis'")
    if not isinstance(genesis, bytes) or len(genesis) != HASH_BYTES:
        raise JournalDamaged(f"journal {path}: row genesis of table meta is missing, or not what was written")
    return genesis


def _check_absent(path: str, create: bool) -> None:
    """Raises an error if there should be a journal at a path where there is none, or an empty file, and if none can be made."""
    mark = Path(os.path.realpath(path) + ".mark")
    find_size(f"{mark}.new")  # the longest name of a journal's files; it may be too long for the file system
    if mark.exists() and not (size := find_size(path)):  # otherwise another process has made both just now
        raise JournalFailed(
            f"journal {path} is {'gone' if size is None else 'empty'}, but its high-water mark {mark} remembers it: "
            f"restore the journal, or remove the mark to begin a new one"
        )
    if not create:
        is_empty = find_size(path) is not None
        raise Misused(f"there is no journal at {path}{': the file is empty' if is_empty else ''}")
