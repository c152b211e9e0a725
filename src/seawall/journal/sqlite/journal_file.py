"""A journal's file, opened and checked, with everything that the writer and the readers share."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from seawall.core.clock import Clock
from seawall.core.errors import JournalDamaged, JournalFailed, Misused
from seawall.journal.sqlite.chain import HASH_BYTES
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.identity import OpenFiles, refuse_second_name
from seawall.journal.sqlite.liveness import Liveness
from seawall.journal.sqlite.mark import Mark
from seawall.journal.sqlite.options import SqliteOptions
from seawall.journal.sqlite.owner import Owner, close_owner, open_owner
from seawall.journal.sqlite.schema import MEMORY, connect, prepare, sync_directory, translate_errors
from seawall.journal.sqlite.signing import Signer

_log = logging.getLogger("seawall.journal")


@dataclass(frozen=True)
class JournalFile:
    """An open journal file."""

    path: str
    database: Database
    owner: Owner
    liveness: Liveness
    mark: Mark | None
    files: OpenFiles | None
    """None for a journal in memory."""
    signer: Signer | None
    loss: str | None
    """What the file has lost of its tail, by the high-water mark; None if nothing."""

    def close(self) -> None:
        """Closes the file and ends the owner's name."""
        self.database.close()
        close_owner(self.owner)


def open_journal_file(
    path: str, clock: Clock, options: SqliteOptions, create: bool, signer: Signer | None
) -> JournalFile:
    """Opens the journal at `path`, or makes it. Raises `Misused`, `JournalFailed`, `JournalDamaged`, `Broken`."""
    memory = path == MEMORY
    new = memory or not Path(path).exists()
    if new and not memory:
        _check_absent(path, create)
    elif not memory:
        refuse_second_name(path)
    owner = open_owner()
    try:
        genesis = hashlib.sha256(
            f"seawall {owner} {clock.wall_s()!r} {clock.monotonic_s()!r}".encode()
        ).digest()
        with translate_errors(path):
            database = connect(path, options, write=True)
            try:
                prepare(database, path, options, genesis, clock.wall_s())
                if new and not memory:
                    sync_directory(path)
                genesis = _read_genesis(database, path)
                files = None if memory else OpenFiles(path)
                mark = (
                    None
                    if memory
                    else Mark(os.path.realpath(path), genesis, clock, options.mark_s, options.mark_batches)
                )
                loss = None if mark is None else mark.explain_loss(database, mark.read_or_explain())
                if mark is not None:
                    mark.note_absence(database, new=new)
                    if mark.is_absent:
                        _log.warning("journal %s: its high-water mark %s is gone", path, mark.path)
            except BaseException:
                database.close()
                raise
    except BaseException:
        close_owner(owner)
        raise
    return JournalFile(
        path, database, owner, Liveness(owner, clock, options.lease_s), mark, files, signer, loss
    )


def _read_genesis(database: Database, path: str) -> bytes:
    genesis = database.fetch_value("SELECT value FROM meta WHERE key = 'genesis'")
    if not isinstance(genesis, bytes) or len(genesis) != HASH_BYTES:
        raise JournalDamaged(f"journal {path}: row genesis of table meta is missing, or not what was written")
    return genesis


def _check_absent(path: str, create: bool) -> None:
    if not create:
        raise Misused(f"there is no journal at {path}")
    mark = Path(os.path.realpath(path) + ".mark")
    if mark.exists() and not Path(path).exists():  # else another process has made both just now
        raise JournalFailed(
            f"journal {path} is gone, but its high-water mark {mark} remembers it: "
            f"restore the journal, or remove the mark to begin a new one"
        )
