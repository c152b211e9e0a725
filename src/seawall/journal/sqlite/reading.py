"""Reads the file in a few threads, each with its own connection, so that reads neither wait for the writer nor block an
event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

import msgspec

from seawall.core.canonical import Ref
from seawall.core.errors import JournalDamaged, Misused
from seawall.core.events import Event
from seawall.core.forks import refuse_in_child
from seawall.core.threads import DaemonThreads, resolve_future, start_in_thread
from seawall.journal import guard_names
from seawall.journal.protocol import Command, InboxItem, RunRow, Setting, SettingKind, Summary
from seawall.journal.sqlite.chain import LEAF_PREFIX_BYTES, leaf_of
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.liveness import OUT, LeaseTime
from seawall.journal.sqlite.migrations import RUN_ID_TAIL
from seawall.journal.sqlite.records import Box, GuardMode
from seawall.journal.sqlite.row_sum import RUN, check_row, check_tenant_row
from seawall.journal.sqlite.schema import translate_errors

T = TypeVar("T")

_events: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Event])
_commands: msgspec.json.Decoder[list[Command]] = msgspec.json.Decoder(list[Command])
_settings: msgspec.json.Decoder[list[Setting]] = msgspec.json.Decoder(list[Setting])
_modes: msgspec.json.Decoder[list[GuardMode]] = msgspec.json.Decoder(list[GuardMode])
_summary: msgspec.json.Decoder[Summary] = msgspec.json.Decoder(Summary)

SELECT_ROW = (
    "SELECT t.name, t.leaf, r.events, r.leaf, {} FROM runs r LEFT JOIN tenants t ON t.id = r.tenant ".format(
        ", ".join(f"r.{name}" for name in RUN.split(", "))
    )
)

_LOST = """
SELECT wanted.value FROM json_each(?) AS wanted WHERE NOT EXISTS (SELECT 1 FROM bodies b
    WHERE b.tenant = (SELECT id FROM tenants WHERE name = ?) AND b.hash = unhex(wanted.value))
"""

Judge = Callable[[str], LeaseTime]


class Readers:
    """A bounded pool of reading threads."""

    def __init__(
        self, path: str, connect: Callable[[], Database], threads: int, shared: threading.Lock | None
    ) -> None:
        self._path = path
        self._connect = connect
        self._shared = shared  # a journal in memory, or on a full disk, has only one connection
        self._local = threading.local()
        self._mutex = threading.Lock()
        self._open: list[Database] = []
        self._closed = False
        self._pid = os.getpid()
        self._threads = DaemonThreads("seawall-journal read", threads)

    async def run(self, work: Callable[[Database], T]) -> T:
        """Runs `work` in one of the threads, in one snapshot of the file, and returns its result."""
        refuse_in_child(self._pid, f"journal {self._path}")
        if self._closed:
            raise Misused(f"journal {self._path} is closed")
        if self._shared is not None:
            return self._read(work)
        return await self._read_in_thread(work)

    async def _read_in_thread(self, work: Callable[[Database], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def read() -> None:
            if future.cancelled():
                return
            found: Any = None
            error: BaseException | None = None
            try:
                found = self._read(work)
            except BaseException as raised:  # noqa: BLE001 -- the awaiting task gets it
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits any more
                loop.call_soon_threadsafe(resolve_future, future, found, error)

        try:
            self._threads.submit(read)
        except RuntimeError:  # at the interpreter's exit no thread can start
            read()
        return await future

    def _read(self, work: Callable[[Database], T]) -> T:
        with translate_errors(self._path):
            if self._shared is not None:
                with self._shared:
                    found = work(self._connect())
                    self._connect()  # raises if the data that was read may be torn
                    return found
            database: Database | None = getattr(self._local, "database", None)
            if database is None:
                database = self._local.database = self._connect()
                with self._mutex:
                    self._open.append(database)
        with translate_errors(self._path, database):
            database.run("BEGIN")
            try:
                return work(database)
            finally:
                database.run("COMMIT")

    async def close(self) -> None:
        """Waits for reads under way and closes the connections."""
        self._closed = True
        self._threads.close()
        await start_in_thread(self._threads.join, "seawall-journal close")
        for database in self._open:
            database.close()
        self._open.clear()


class _KnownRun(NamedTuple):
    rk: int
    run: str
    pruned: bool
    events: int
    commands: int


_NOT_A_RUN = _KnownRun(0, "", False, 0, 0)
"""The journal itself, in place of a run; its entries are not counted."""


def _find_run(database: Database, run: str) -> _KnownRun:
    """Returns what is known of a run. Raises `Misused` for an unknown run, `JournalDamaged` for one whose row is not
    what was written.
    """
    row = database.fetch_first(f"SELECT events, commands, leaf, {RUN} FROM runs WHERE run = ?", (run,))
    if row is None:
        raise Misused(f"run {run} is not in the journal")
    events, commands, leaf, *values = row
    try:
        check_row("runs", values, leaf)
    except JournalDamaged as error:
        raise JournalDamaged(f"run {run}: {error}") from None
    if values[1] != run:
        raise JournalDamaged(f"run {run}: the index of table runs leads to the row of {values[1]}")
    return _KnownRun(values[0], run, bool(values[-1]), events, commands)


def _find_key(database: Database, run: str) -> int:
    return _find_run(database, run).rk


def _read_entries(database: Database, of: _KnownRun, box: Box, after: int) -> list[tuple[int, int, bytes]]:
    """Returns seq, n and data of the entries from the one that holds `after + 1`; the caller cuts off the part before
    it. If an index lacked an entry, the run would be shorter, and a recorded step would be made again. So all entries
    must be present, as they were written, up to the number in the run's row. Raises `JournalDamaged` with the first
    place where they are not.
    """
    rows = database.fetch_all(
        "SELECT seq, n, data, leaf FROM entries WHERE rk = ?1 AND box = ?2 AND seq >= coalesce("
        "(SELECT seq FROM entries WHERE rk = ?1 AND box = ?2 AND seq <= ?3 ORDER BY seq DESC LIMIT 1), 0) "
        "ORDER BY seq",
        (of.rk, int(box), after + 1),
    )
    if of.pruned and all(row[2] is None for row in rows):
        return []
    expected = rows[0][0] if rows and after >= 0 and rows[0][0] <= after + 1 else 0
    entries: list[tuple[int, int, bytes]] = []
    for seq, n, data, leaf in rows:
        if seq != expected:
            _raise_damaged(of, box, expected, "is missing")
        if data is None or leaf_of(of.run, box, seq, n, data)[:LEAF_PREFIX_BYTES] != leaf:
            _raise_damaged(of, box, seq, "is not what was written")
        entries.append((seq, n, data))
        expected += n
    count = {Box.LOG: of.events, Box.INBOX: of.commands}.get(box)
    if count is not None and expected != count:
        _raise_damaged(
            of, box, min(expected, count), f"is missing, or the run's row is wrong: it says {count}"
        )
    return entries


def _raise_damaged(of: _KnownRun, box: Box, seq: int, what: str) -> NoReturn:
    kind = {Box.LOG: "event", Box.INBOX: "command"}.get(box, f"record of box {int(box)},")
    where = f"run {of.run}: " if of.run else ""
    raise JournalDamaged(
        f"{where}{kind} {seq} {what}. Nothing is done with it: check the journal with `seawall verify`, "
        f"and restore a copy"
    )


def read_events(database: Database, run: str, after: int) -> list[Event]:
    """Returns the run's events with seq > `after`."""
    of = _find_run(database, run)
    found: list[Event] = []
    for seq, n, data in _read_entries(database, of, Box.LOG, after):
        part = _events.decode(data)
        if len(part) != n:
            _raise_damaged(of, Box.LOG, seq, f"begins {len(part)} events, and its entry says {n}")
        found.extend(part[max(0, after + 1 - seq) :])
    return guard_names.from_recorded(found)


def read_inbox(database: Database, run: str, after: int) -> list[InboxItem]:
    """Returns the run's commands with number > `after`."""
    chunks = _read_entries(database, _find_run(database, run), Box.INBOX, after)
    return [InboxItem(run, seq, _commands.decode(data)[0]) for seq, _, data in chunks if seq > after]


def read_commands(database: Database, after: int) -> tuple[int, list[InboxItem]]:
    """Returns the new cursor, and the commands of every run that came after the cursor."""
    if after < 0:
        rows = database.fetch_all("SELECT coalesce(max(id), 0) FROM entries WHERE box = 1", ())
        return rows[0][0], []
    rows = database.fetch_all(
        "SELECT e.id, r.run, e.seq, e.data, e.leaf FROM entries e JOIN runs r ON r.rk = e.rk "
        "WHERE e.box = 1 AND e.id > ? AND e.data IS NOT NULL ORDER BY e.id",
        (after,),
    )
    items: list[InboxItem] = []
    for _, run, seq, data, leaf in rows:
        if leaf_of(run, Box.INBOX, seq, 1, data)[:LEAF_PREFIX_BYTES] != leaf:
            raise JournalDamaged(f"run {run}: command {seq} is not what was written")
        items.append(InboxItem(run, seq, _commands.decode(data)[0]))
    return (rows[-1][0] if rows else after), items


class SettingsReader:
    """Reads the newest setting of each kind and name.

    Settings are only ever added, and they are read after every write. So the settings that were read are kept, and only
    newer ones are read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # several threads read
        self._newest: dict[tuple[SettingKind, str], Setting] = {}
        self._read = {Box.GUARDS: -1, Box.SETTINGS: -1}
        """By box, older format first: the newest entry that was read."""

    def read(self, database: Database) -> dict[tuple[SettingKind, str], Setting]:
        """Returns the newest setting of each kind and name."""
        with self._lock:
            for box, read in self._read.items():
                for seq, _, data in _read_entries(database, _NOT_A_RUN, box, read):
                    if seq > read:
                        setting = guard_names.from_recorded_name(_decode_setting(box, data))
                        self._newest[setting.kind, setting.name] = setting
                        self._read[box] = seq
            return dict(self._newest)


def _decode_setting(box: Box, data: bytes) -> Setting:
    return _modes.decode(data)[0].to_setting() if box is Box.GUARDS else _settings.decode(data)[0]


def read_bodies(database: Database, tenant: str, refs: Sequence[Ref], or_erased: bool) -> dict[Ref, bytes]:
    """Returns the bodies that are stored; with `or_erased` the others must have been erased."""
    rows = database.fetch_all(
        "SELECT b.hash, b.data FROM json_each(?) AS wanted CROSS JOIN bodies b "  # keeps this order
        "ON b.tenant = (SELECT id FROM tenants WHERE name = ?) AND b.hash = unhex(wanted.value) "
        "WHERE b.data IS NOT NULL",
        (json.dumps(list(refs)), tenant),
    )
    for hash_, data in rows:
        if hashlib.sha256(data).digest() != hash_:
            raise JournalDamaged(f"body {hash_.hex()} of tenant {tenant!r} is not what its hash says")
    found = {Ref(hash_.hex()): data for hash_, data in rows}
    if or_erased and (absent := [ref for ref in refs if ref not in found]):
        lost = database.fetch_first(_LOST, (json.dumps(absent), tenant))
        if lost is not None:
            raise JournalDamaged(f"body {lost[0]} of tenant {tenant!r} is missing, and was not erased")
    return found


def to_row(row: Row, judge: Judge) -> RunRow:
    """Returns a row of `SELECT_ROW`. Raises `JournalDamaged` if it is not what was written."""
    name, tenant_leaf, events_, leaf, *values = row
    check_row("runs", values, leaf)
    _, run, key, session, team, app, _, started_at, *values = values
    ended_at, waiting, owner, epoch, _, summary, pruned = values
    tenant = check_tenant_row(key, name, tenant_leaf)
    lease = OUT if owner is None or ended_at is not None else judge(owner)
    if ended_at is not None:
        state = "ended"
    elif waiting:
        state = "waiting"
    elif owner is not None:
        state = "interrupted" if lease.left_s is None else "running"
    else:
        state = "queued" if epoch == 0 else "interrupted"
    return RunRow(
        run=run,
        tenant=tenant,
        session=session,
        team=team,
        app=app,
        state=state,
        started_at=started_at,
        ended_at=ended_at,
        owner=owner,
        epoch=epoch,
        summary=None if summary is None else guard_names.from_recorded_name(_summary.decode(summary)),
        events=0 if pruned else events_,
        lease=lease.state,
        lease_left_s=lease.left_s,
    )


def read_row(database: Database, run: str, judge: Judge) -> RunRow:
    """Returns one run's row."""
    found = database.fetch_first(SELECT_ROW + "WHERE r.run = ?", (run,))
    if found is None:
        raise Misused(f"run {run} is not in the journal")
    return to_row(found, judge)


def find_run_of_request(database: Database, tenant: str, request_id: str) -> str | None:
    """Returns the run that answers a request, or None."""
    return database.fetch_value(
        "SELECT run FROM runs WHERE tenant = (SELECT id FROM tenants WHERE name = ?) AND request_id = ?",
        (tenant, request_id),
    )


def find_session_tail(
    database: Database, tenant: str, session: str, before: str | None, judge: Judge
) -> RunRow | None:
    """Returns the session's newest run, or the newest of those that started before run `before`."""
    limit = 1 << 62 if before is None else _find_key(database, before)
    found = database.fetch_first(
        SELECT_ROW
        + "WHERE r.tenant = (SELECT id FROM tenants WHERE name = ?) AND r.session = ? AND r.rk < ? "
        "ORDER BY r.rk DESC LIMIT 1",
        (tenant, session, limit),
    )
    return None if found is None else to_row(found, judge)


def find_run(database: Database, prefix: str) -> str:
    """Returns the one run whose id starts or ends with `prefix`, or the newest for `last`."""
    if prefix == "last":
        newest = database.fetch_value("SELECT run FROM runs ORDER BY rk DESC LIMIT 1")
        if newest is None:
            raise Misused("the journal holds no run yet")
        return newest
    if database.fetch_value("SELECT 1 FROM runs WHERE run = ?", (prefix,)) is not None:
        return prefix
    found = _search_runs(database, prefix) if prefix else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise Misused(f"no run's id starts or ends with {prefix!r}: seawall runs lists them")
    shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
    raise Misused(f"{prefix!r} fits several runs: {shown}")


def _search_runs(database: Database, part: str) -> list[str]:
    """Returns up to twelve runs whose id starts or ends with `part`, the newest of those that start so first."""
    found = database.fetch_all(
        "SELECT run FROM runs WHERE run >= ? AND run < ? ORDER BY run DESC LIMIT 6", (part, part + _LAST)
    )
    backwards = part[:-8:-1]
    found += database.fetch_all(
        f"SELECT run FROM runs WHERE {RUN_ID_TAIL} >= ? AND {RUN_ID_TAIL} < ? AND substr(run, -?) = ? LIMIT 6",
        (backwards, backwards + _LAST, len(part), part),
    )
    return list(dict.fromkeys(run for (run,) in found))


_LAST = chr(0x10FFFF)
"""No text of an id comes after it."""
