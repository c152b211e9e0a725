"""Opening the file: schema, version, pragmas, and clear errors for files that can't be opened.

Tables (all content is in `entries` and `bodies`; `runs` is an index that a fold can make again):

- `runs`: one row for each run. `rk` is its short key; rk 0 stands for the journal itself.
- `entries`: one row for each append. `box` is the sequence that it belongs to (see `records.Box`), `seq` its first
  number there, `n` how many events it holds, `data` the events as a JSON array, `leaf` the first bytes of
  its hash. A pruned entry has no data, but its whole hash.
- `bodies`: contents by tenant and SHA-256. An erased body has no data.
- `batches`: one row for each commit: the last entry in it and the hash over everything so far. A collapsed row
  stands for batches `since`..`id`, all pruned, and holds the hash `prev` of the batch before them. `state` is the sum
  of all held rows in the newest batch, and its hash in the others; `mac` signs the batch. A note names each collapse.
- `workers`: heartbeats. They are advice.

From schema 2 on (`prune` does not change them):

- `shared`: values that all processes agree on, by key. Those without a `leaf` are advice: losing them costs time and
  nothing else.
- `accounts`: what a tenant has spent and reserved on a day; day `*` stands for all days, tenant -1 for all
  tenants. Money is decimal text.

From schema 3 on the chain also holds the rows that are changed in place (see `row_sum.py`): `leaf` is the first bytes
of such a row's digest. `runs.events` and `runs.commands` count a run's events and the commands to it, so that an index
that has lost an entry does not pass for a shorter run.

Schema 4 adds indexes, so that each list and each search of runs reads about as many rows as it returns.

Schema 5 adds `reservations`: the part of what accounts hold as reserved that a process has reserved for its runs, and
that no recorded step has taken over yet. What an older version had reserved stands in the accounts alone.

Schema 6 adds indexes for lists of runs by team, time and principal.

Schema 7 adds what is true across runs (see `protocol/effects.py`). `prune` does not change these tables, and the chain
holds their rows:

- `effects`, `proposals`: one row for each record, as JSON, and the columns that it is looked up by.
- `sums`: what a tool's effects have reserved and spent for a tenant on a day, in one currency; day `*` stands for all.
- `waits`: steps that wait until an effect of another call is settled.
- `principals`: who may decide. Of a key it has the hash.
- `facts`: what the next run of a session is to be told.

Who decided what is an entry of the journal itself (`Box.DECISIONS`). `runs.taken` counts the commands that the run has
taken, so that runs with new ones are found. `batches.writer` is not empty: a process that knows only schema 6 would begin
effects without a claim, so its batches are refused.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import apsw
import msgspec

from seawall.core.errors import Broken, JournalDamaged, JournalFailed, JournalFull, JournalReadOnly, Misused
from seawall.journal.sqlite.chain import WRITER
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.holding import hold_all_rows, hold_older_journal
from seawall.journal.sqlite.options import SqliteOptions

APPLICATION_ID = 0x5EA3A11
VERSION = 7
HOLDS_ROWS = 3
"""The first schema whose chain holds the rows that are changed in place."""
MEMORY = ":memory:"


_CHAIN = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE tenants(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE runs(
    rk INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    tenant INTEGER NOT NULL,
    session TEXT,
    team TEXT NOT NULL,
    app TEXT,
    request_id TEXT,
    started_at REAL NOT NULL,
    ended_at REAL,
    waiting INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    status TEXT,
    summary BLOB,
    pruned INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX runs_by_request ON runs(tenant, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX runs_by_session ON runs(tenant, session, rk) WHERE session IS NOT NULL;
CREATE INDEX runs_by_end ON runs(ended_at) WHERE ended_at IS NOT NULL AND pruned = 0;
CREATE INDEX runs_unended ON runs(rk) WHERE ended_at IS NULL;
CREATE TABLE entries(
    id INTEGER PRIMARY KEY,
    rk INTEGER NOT NULL,
    box INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    data BLOB,
    leaf BLOB
);
CREATE UNIQUE INDEX entries_by_run ON entries(rk, box, seq);
CREATE INDEX entries_inbox ON entries(id) WHERE box = 1;
CREATE TABLE bodies(id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, hash BLOB NOT NULL, data BLOB);
CREATE UNIQUE INDEX bodies_by_hash ON bodies(tenant, hash);
CREATE TABLE batches(
    id INTEGER PRIMARY KEY,
    last_entry INTEGER NOT NULL,
    at REAL NOT NULL,
    hash BLOB NOT NULL,
    since INTEGER,
    prev BLOB
);
CREATE TABLE workers(owner TEXT PRIMARY KEY, beat INTEGER NOT NULL, until_wall REAL NOT NULL,
    until_mono REAL NOT NULL) WITHOUT ROWID;
"""
_BESIDE = """
CREATE TABLE shared(key BLOB PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE accounts(
    tenant INTEGER NOT NULL,
    day TEXT NOT NULL,
    spent_usd TEXT NOT NULL,
    spent_tokens INTEGER NOT NULL,
    spent_model_calls INTEGER NOT NULL,
    spent_tool_calls INTEGER NOT NULL,
    reserved_usd TEXT NOT NULL,
    reserved_tokens INTEGER NOT NULL,
    reserved_model_calls INTEGER NOT NULL,
    reserved_tool_calls INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)
) WITHOUT ROWID;
"""
_HELD = """
ALTER TABLE runs ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN commands INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN leaf BLOB;
ALTER TABLE accounts ADD COLUMN leaf BLOB;
ALTER TABLE tenants ADD COLUMN leaf BLOB;
ALTER TABLE shared ADD COLUMN leaf BLOB;
ALTER TABLE batches ADD COLUMN state BLOB;
ALTER TABLE batches ADD COLUMN mac BLOB;
CREATE TRIGGER batches_have_state BEFORE INSERT ON batches WHEN new.state IS NULL BEGIN
    SELECT RAISE(ABORT, 'a newer seawall has migrated this journal: end the process of the older one');
END;
"""


def _make_tail(column: str) -> str:
    return "||".join(f"substr({column}, -{place}, 1)" for place in range(1, 8))


RUN_ID_TAIL = _make_tail("run")
"""The last seven characters of a run's id, backwards: so many are random, and people name a run by the last few."""
_LISTS = f"""
CREATE INDEX runs_by_tenant ON runs(tenant);
CREATE INDEX runs_by_tenant_status ON runs(tenant, status) WHERE status IS NOT NULL;
CREATE INDEX runs_by_status ON runs(status) WHERE status IS NOT NULL;
CREATE INDEX runs_by_session_name ON runs(session) WHERE session IS NOT NULL;
CREATE INDEX runs_by_tail ON runs({RUN_ID_TAIL});
"""
_RESERVATIONS = """
CREATE TABLE reservations(
    owner TEXT NOT NULL,
    run TEXT NOT NULL,
    day TEXT NOT NULL,
    tenant INTEGER NOT NULL,
    usd TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    model_calls INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    leaf BLOB,
    PRIMARY KEY (owner, run, day)
) WITHOUT ROWID;
"""
PRINCIPAL = """CASE WHEN json_valid(CAST(data AS TEXT))
    THEN coalesce(json_extract(CAST(data AS TEXT), '$[0].principal'), '') END"""
"""The principal in an entry that holds a run's first event. It is never an error, whatever the entry was made to hold:
SQLite evaluates it for every write."""
_FILTERS = f"""
CREATE INDEX runs_by_start ON runs(started_at);
CREATE INDEX runs_by_tenant_start ON runs(tenant, started_at);
CREATE INDEX runs_by_team ON runs(team, started_at);
CREATE INDEX entries_by_principal ON entries({PRINCIPAL}, rk) WHERE box = 0 AND seq = 0;
"""
ID_TAIL = _make_tail("id")
"""The same of the id of an effect or a proposal."""
ABOUT = """CASE WHEN json_valid(CAST(data AS TEXT))
    THEN coalesce(json_extract(CAST(data AS TEXT), '$[0].about'), '') END"""
"""What the entry of a decision is about. It is never an error, as `PRINCIPAL`."""
_TAKEN = """
SELECT max(each.value ->> '$.inbox') FROM entries e,
    json_each(CASE WHEN json_valid(CAST(e.data AS TEXT)) THEN CAST(e.data AS TEXT) ELSE '[]' END) AS each
WHERE e.rk = runs.rk AND e.box = 0 AND each.value ->> '$.type' = 'command'
"""
_EFFECTS = f"""
ALTER TABLE batches ADD COLUMN writer INTEGER;
DROP TRIGGER batches_have_state;
CREATE TRIGGER batches_know_effects BEFORE INSERT ON batches WHEN new.writer IS NULL BEGIN
    SELECT RAISE(ABORT, 'a newer seawall has migrated this journal: end the process of the older one');
END;
ALTER TABLE runs ADD COLUMN taken INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET taken = coalesce(({_TAKEN}) + 1, 0)
    WHERE ended_at IS NULL AND EXISTS (SELECT 1 FROM entries WHERE rk = runs.rk AND box = 1);
CREATE INDEX runs_woken ON runs(team, rk) WHERE ended_at IS NULL AND waiting AND commands > taken;
CREATE INDEX entries_by_decision ON entries({ABOUT}, seq) WHERE rk = 0 AND box = 6;
CREATE TABLE effects(
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    number INTEGER NOT NULL,
    tenant INTEGER NOT NULL,
    run TEXT NOT NULL,
    call TEXT NOT NULL,
    state TEXT NOT NULL,
    tool TEXT NOT NULL,
    session TEXT,
    record BLOB NOT NULL,
    leaf BLOB
);
CREATE UNIQUE INDEX effects_by_identity ON effects(identity, number) WHERE identity != '';
CREATE INDEX effects_by_call ON effects(run, call);
CREATE INDEX effects_unsettled ON effects(state) WHERE state != 'committed';
CREATE INDEX effects_begun ON effects(run) WHERE state IN ('proposed', 'approved', 'attempting');
CREATE INDEX effects_by_tenant ON effects(tenant);
CREATE INDEX effects_by_tool ON effects(tool);
CREATE INDEX effects_by_session ON effects(session) WHERE session IS NOT NULL;
CREATE INDEX effects_by_tail ON effects({ID_TAIL});
CREATE TABLE proposals(
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant INTEGER NOT NULL,
    run TEXT NOT NULL,
    state TEXT NOT NULL,
    hash TEXT NOT NULL,
    roles TEXT NOT NULL,
    escalate_at REAL,
    due REAL,
    changes REAL,
    rejected_until REAL,
    record BLOB NOT NULL,
    leaf BLOB
);
CREATE INDEX proposals_by_run ON proposals(run);
CREATE INDEX proposals_by_state ON proposals(state);
CREATE INDEX proposals_by_tenant ON proposals(tenant, state);
CREATE INDEX proposals_by_roles ON proposals(roles, pk, escalate_at, tenant) WHERE state = 'open';
CREATE INDEX proposals_due ON proposals(due) WHERE due IS NOT NULL;
CREATE INDEX proposals_changing ON proposals(changes) WHERE changes IS NOT NULL;
CREATE INDEX proposals_rejected ON proposals(tenant, hash, rejected_until) WHERE rejected_until IS NOT NULL;
CREATE INDEX proposals_by_tail ON proposals({ID_TAIL});
CREATE TABLE sums(
    tenant INTEGER NOT NULL,
    tool TEXT NOT NULL,
    day TEXT NOT NULL,
    currency TEXT NOT NULL,
    reserved TEXT NOT NULL,
    spent TEXT NOT NULL,
    leaf BLOB,
    PRIMARY KEY (tenant, tool, day, currency)
) WITHOUT ROWID;
CREATE TABLE waits(
    effect TEXT NOT NULL,
    run TEXT NOT NULL,
    step INTEGER NOT NULL,
    leaf BLOB,
    PRIMARY KEY (effect, run, step)
) WITHOUT ROWID;
CREATE INDEX waits_by_run ON waits(run);
CREATE TABLE principals(
    name TEXT PRIMARY KEY,
    key_hash TEXT NOT NULL UNIQUE,
    record BLOB NOT NULL,
    leaf BLOB
) WITHOUT ROWID;
CREATE TABLE facts(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL,
    session TEXT NOT NULL,
    record BLOB NOT NULL,
    leaf BLOB
);
CREATE INDEX facts_by_session ON facts(tenant, session);
"""
_AT_WORK = """
CREATE INDEX IF NOT EXISTS runs_at_work ON runs(tenant, session)
    WHERE session IS NOT NULL AND ended_at IS NULL AND owner IS NOT NULL;
"""
"""Leads to what is at work in a session, however many runs it has had. Files of schema 7 were made without it."""
MIGRATIONS = (_CHAIN, _BESIDE, _HELD, _LISTS, _RESERVATIONS, _FILTERS, _EFFECTS + _AT_WORK)
"""The statements that lead from each schema to the next one."""


MISREAD = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
    struct.error,
)
"""What code raises that reads a row of other types, lengths or encodings than were written."""


NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_NEEDS_SPACE = {
    *(apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_TRUNCATE),
    *(apsw.SQLITE_IOERR_SHMOPEN, apsw.SQLITE_IOERR_SHMSIZE),
}
"""Not a failed sync: what that has lost is unknown, whatever the reason."""


def is_disk_full(error: Exception, number: int) -> bool:
    """Returns whether SQLite failed for want of space; `number` is the system's error number behind `error`.

    SQLite itself says only of the database and its log that the disk is full. Of the file of shared memory beside
    them, and of a file that it can't make, it says "disk I/O error" and "unable to open database file".
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
    """Turns SQLite's errors into those of Seawall, with the file's name. `database` knows the system's error number."""
    try:
        yield
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError) as error:
        if is_disk_full(error, 0 if database is None else database.errno):
            raise JournalFull(f"journal {path}: the disk is full") from error
        if isinstance(error, apsw.CantOpenError):
            raise _explain_open_failure(path, error) from None
        raise JournalFailed(f"journal {path}: {error}") from error
    except apsw.NotADBError:
        raise Misused(f"{path} is not a Seawall journal: it is not a SQLite database") from None
    except apsw.BusyError as error:
        raise Broken(f"journal {path}: another process holds the file's lock ({error})") from error
    except apsw.ReadOnlyError:
        raise JournalReadOnly(
            f"journal {path} can't be written: the file or its directory is read-only"
        ) from None
    except apsw.CorruptError as error:
        raise JournalFailed(f"journal {path}: {error}") from error
    except apsw.Error as error:  # a table or column is gone, or a page is of another kind
        raise JournalDamaged(f"journal {path} is damaged: {error}") from error
    except UnicodeEncodeError as error:  # of what is looked for: nothing is encoded that was read
        raise Misused(f"{error.object!r} has no UTF-8") from None
    except MISREAD as error:
        raise JournalDamaged(
            f"journal {path} holds what was never written: {type(error).__name__}: {error}"
        ) from error


def _explain_open_failure(path: str, error: apsw.CantOpenError) -> Misused | JournalFull:
    file = Path(path)
    if file.is_dir():
        return Misused(f"journal {path} is a directory; name a file")
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
    """Returns why no file can be made in a folder; 0 if one can. SQLite's own number may be of what it tried next."""
    import tempfile  # noqa: PLC0415 -- it takes 5 ms to import, and is needed after a failure only

    try:
        with tempfile.TemporaryFile(dir=folder):
            return 0
    except OSError as error:
        return error.errno or 0


Access = Literal["write", "read", "shared", "still", "immutable"]
"""How a file is opened. `write` and `read`: with the right to write it, which SQLite needs to share it with others.
The others are for a file that can't be written, see `read_only.py`: with the index of its log, with a log and without
locks, and as one that is whole without a log."""

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
    database.run_pragma("temp_store", 2)  # in memory: what is sorted needs no room on a disk
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
    if _check_version(database, path) == 0:  # only a new file takes it; in another it would be a write
        database.run_pragma("auto_vacuum", 2)  # incremental
    mode = database.run_pragma("journal_mode", "wal")
    wanted = "memory" if path == MEMORY else "wal"
    if mode != wanted:
        raise Misused(f"journal {path}: its file system gives journal_mode={mode}, not {wanted}")
    database.run_pragma("synchronous", 2)  # FULL: each commit is on the disk when COMMIT returns
    database.run_pragma(
        "wal_autocheckpoint", 0
    )  # the writer does it, after it has reported to the callers that wait
    database.run_pragma("cache_size", -(options.cache_bytes // 1024))
    database.run_pragma("secure_delete", 1)  # what is erased is overwritten, not only unlinked
    if database.run_pragma("synchronous") != 2:
        raise Misused(f"journal {path}: synchronous={database.run_pragma('synchronous')}, not 2 (FULL)")
    database.run("BEGIN IMMEDIATE")
    try:
        version = _check_version(database, path)  # another process may have created it meanwhile
        for step in MIGRATIONS[version:]:
            database.run(step)
        if version == VERSION:
            database.run(_AT_WORK)
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
