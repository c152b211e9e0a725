"""Reading: a few threads, each with its own connection, so that reads neither wait for the writer nor block a loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from seawall.core.canonical import Ref
from seawall.core.errors import Misused
from seawall.core.events import Event
from seawall.journal import guard_names
from seawall.journal.protocol import Command, InboxItem, RunRow, Setting, SettingKind, Summary
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.records import GuardMode
from seawall.journal.sqlite.schema import Box, translate_errors

T = TypeVar("T")

_events: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Event])
_commands: msgspec.json.Decoder[list[Command]] = msgspec.json.Decoder(list[Command])
_settings: msgspec.json.Decoder[list[Setting]] = msgspec.json.Decoder(list[Setting])
_modes: msgspec.json.Decoder[list[GuardMode]] = msgspec.json.Decoder(list[GuardMode])
_summary: msgspec.json.Decoder[Summary] = msgspec.json.Decoder(Summary)

_ROW = """
SELECT r.run, t.name, r.session, r.team, r.app, r.started_at, r.ended_at, r.waiting, r.owner, r.epoch,
    r.summary,
    CASE WHEN r.pruned THEN 0 ELSE coalesce(
        (SELECT seq + n FROM entries e WHERE e.rk = r.rk AND box = 0 ORDER BY seq DESC LIMIT 1), 0) END
FROM runs r JOIN tenants t ON t.id = r.tenant
"""

Alive = Callable[[str], bool]


class Readers:
    """A bounded pool of reading threads."""

    def __init__(
        self, path: str, connect: Callable[[], Database], threads: int, shared: threading.Lock | None
    ) -> None:
        self._path = path
        self._connect = connect
        self._shared = shared  # a memory journal has one connection, which the writer uses too
        self._local = threading.local()
        self._mutex = threading.Lock()
        self._open: list[Database] = []
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="seawall-journal read")

    async def run(self, work: Callable[[Database], T]) -> T:
        """Does `work` in one of the threads, in one snapshot of the file."""
        if self._closed:
            raise Misused(f"journal {self._path} is closed")
        if self._shared is not None:
            return self._read(work)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, work)

    def _read(self, work: Callable[[Database], T]) -> T:
        with translate_errors(self._path):
            if self._shared is not None:
                with self._shared:
                    return work(self._connect())
            database = getattr(self._local, "database", None)
            if database is None:
                database = self._local.database = self._connect()
                with self._mutex:
                    self._open.append(database)
            database.run("BEGIN")
            try:
                return work(database)
            finally:
                database.run("COMMIT")

    async def close(self) -> None:
        """Waits for reads under way and closes the connections."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)
        for database in self._open:
            database.close()
        self._open.clear()


def _find_key(database: Database, run: str) -> int:
    key = database.fetch_value("SELECT rk FROM runs WHERE run = ?", (run,))
    if key is None:
        raise Misused(f"run {run} is not in the journal")
    return key


def _read_entries(database: Database, rk: int, box: Box, after: int) -> list[tuple[int, bytes]]:
    # An entry holds several numbers: start at the entry that `after + 1` is in; the caller cuts what is before it.
    return database.fetch_all(
        "SELECT seq, data FROM entries WHERE rk = ?1 AND box = ?2 AND data IS NOT NULL AND seq >= coalesce("
        "(SELECT seq FROM entries WHERE rk = ?1 AND box = ?2 AND seq <= ?3 ORDER BY seq DESC LIMIT 1), 0) "
        "ORDER BY seq",
        (rk, int(box), after + 1),
    )


def read_events(database: Database, run: str, after: int) -> list[Event]:
    """Returns the run's events with seq > `after`."""
    found: list[Event] = []
    for seq, data in _read_entries(database, _find_key(database, run), Box.LOG, after):
        part = _events.decode(data)
        found.extend(part[max(0, after + 1 - seq) :])
    return guard_names.from_recorded(found)


def read_inbox(database: Database, run: str, after: int) -> list[InboxItem]:
    """Returns the run's commands with number > `after`."""
    chunks = _read_entries(database, _find_key(database, run), Box.INBOX, after)
    return [InboxItem(run, seq, _commands.decode(data)[0]) for seq, data in chunks if seq > after]


def read_commands(database: Database, after: int) -> tuple[int, list[InboxItem]]:
    """Returns the new cursor, and the commands of every run that came after the cursor."""
    if after < 0:
        rows = database.fetch_all("SELECT coalesce(max(id), 0) FROM entries WHERE box = 1", ())
        return rows[0][0], []
    rows = database.fetch_all(
        "SELECT e.id, r.run, e.seq, e.data FROM entries e JOIN runs r ON r.rk = e.rk "
        "WHERE e.box = 1 AND e.id > ? AND e.data IS NOT NULL ORDER BY e.id",
        (after,),
    )
    items = [InboxItem(run, seq, _commands.decode(data)[0]) for _, run, seq, data in rows]
    return (rows[-1][0] if rows else after), items


def read_settings(database: Database) -> dict[tuple[SettingKind, str], Setting]:
    """Returns the newest setting of each kind and name."""
    all_: list[Setting] = [
        _modes.decode(data)[0].to_setting() for _, data in _read_entries(database, 0, Box.GUARDS, -1)
    ]
    all_ += [_settings.decode(data)[0] for _, data in _read_entries(database, 0, Box.SETTINGS, -1)]
    known = map(guard_names.from_recorded_name, all_)
    return {(setting.kind, setting.name): setting for setting in known}


def read_bodies(database: Database, tenant: str, refs: Sequence[Ref]) -> dict[Ref, bytes]:
    """Returns the bodies that are stored."""
    rows = database.fetch_all(
        "SELECT lower(hex(b.hash)), b.data FROM json_each(?) AS wanted JOIN bodies b "
        "ON b.tenant = (SELECT id FROM tenants WHERE name = ?) AND b.hash = unhex(wanted.value) "
        "WHERE b.data IS NOT NULL",
        (json.dumps(list(refs)), tenant),
    )
    return {Ref(ref): data for ref, data in rows}


def _to_row(row: Row, alive: Alive) -> RunRow:
    run, tenant, session, team, app, started_at, ended_at, waiting, owner, epoch, summary, events_ = row
    if ended_at is not None:
        state = "ended"
    elif waiting:
        state = "waiting"
    elif owner is not None:
        state = "running" if alive(owner) else "interrupted"
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
        events=events_,
    )


def read_row(database: Database, run: str, alive: Alive) -> RunRow:
    """Returns one run's row."""
    found = database.fetch_first(_ROW + "WHERE r.run = ?", (run,))
    if found is None:
        raise Misused(f"run {run} is not in the journal")
    return _to_row(found, alive)


def list_rows(
    database: Database,
    status: str | None,
    state: str | None,
    session: str | None,
    tenant: str | None,
    limit: int,
    alive: Alive,
) -> list[RunRow]:
    """Returns the rows of the runs that match, newest first."""
    where = ["1"]
    values: list[object] = []
    for column, value in (("r.status", status), ("r.session", session), ("t.name", tenant)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if state is not None:
        where.append(_STATES[state] if state in _STATES else _raise_unknown_state(state))
    found: list[RunRow] = []
    query = f"{_ROW} WHERE {' AND '.join(where)} ORDER BY r.rk DESC"
    for record in database.iterate(query, values):
        item = _to_row(record, alive)
        if state is None or item.state == state:
            found.append(item)
            if len(found) >= limit:
                break
    return found


_STATES = {
    "ended": "r.ended_at IS NOT NULL",
    "waiting": "r.ended_at IS NULL AND r.waiting",
    "running": "r.ended_at IS NULL AND NOT r.waiting AND r.owner IS NOT NULL",
    "interrupted": "r.ended_at IS NULL AND NOT r.waiting AND r.epoch > 0",
    "queued": "r.ended_at IS NULL AND NOT r.waiting AND r.epoch = 0",
}


def _raise_unknown_state(state: str) -> str:
    raise Misused(f"unknown run state {state!r}; one of {', '.join(_STATES)}")


def find_run_of_request(database: Database, tenant: str, request_id: str) -> str | None:
    """Returns the run that answers a request, or None."""
    return database.fetch_value(
        "SELECT run FROM runs WHERE tenant = (SELECT id FROM tenants WHERE name = ?) AND request_id = ?",
        (tenant, request_id),
    )


def find_session_tail(
    database: Database, tenant: str, session: str, before: str | None, alive: Alive
) -> RunRow | None:
    """Returns the session's newest run, or the newest of those that started before run `before`."""
    limit = 1 << 62 if before is None else _find_key(database, before)
    found = database.fetch_first(
        _ROW + "WHERE r.tenant = (SELECT id FROM tenants WHERE name = ?) AND r.session = ? AND r.rk < ? "
        "ORDER BY r.rk DESC LIMIT 1",
        (tenant, session, limit),
    )
    return None if found is None else _to_row(found, alive)


def find_run(database: Database, prefix: str) -> str:
    """Returns the one run whose id starts or ends with `prefix`, or the newest for `last`."""
    if prefix == "last":
        newest = database.fetch_value("SELECT run FROM runs ORDER BY rk DESC LIMIT 1")
        if newest is None:
            raise Misused("the journal holds no run yet")
        return newest
    if database.fetch_value("SELECT 1 FROM runs WHERE run = ?", (prefix,)) is not None:
        return prefix
    found = (
        [
            run
            for (run,) in database.fetch_all(
                "SELECT run FROM runs WHERE substr(run, 1, ?2) = ?1 OR substr(run, -?2) = ?1 ORDER BY rk DESC LIMIT 6",
                (prefix, len(prefix)),
            )
        ]
        if prefix
        else []
    )
    if len(found) == 1:
        return found[0]
    if not found:
        raise Misused(f"no run's id starts or ends with {prefix!r}")
    shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
    raise Misused(f"{prefix!r} fits several runs: {shown}")
