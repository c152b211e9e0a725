"""One commit: what is known of the file, the rows to write, and the statements that write them.

The state of runs (epoch, next seq) is kept from commit to commit. It is valid as long as no other process has
written. Each commit adds a batch, so it is valid while the file's newest batch is the one that this process wrote.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from seawall.core.clock import Clock
from seawall.core.errors import JournalFailed, Misused
from seawall.core.events import RunStarted
from seawall.journal.protocol import Summary
from seawall.journal.sqlite.accounts import AccountRows
from seawall.journal.sqlite.chain import LEAF_PREFIX_BYTES, hash_batch, leaf_of
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.liveness import Liveness
from seawall.journal.sqlite.records import Ending
from seawall.journal.sqlite.schema import Box
from seawall.journal.sqlite.shared import SharedRecords

_encode = msgspec.json.Encoder().encode

RUNS_KEPT = 20_000
"""States of unended runs that are kept in memory: more than can be in flight, about 10 MB."""

_LOAD = """
SELECT rk, run, tenant, epoch, owner, waiting, ended_at IS NOT NULL,
    coalesce((SELECT seq + n FROM entries e WHERE e.rk = r.rk AND box = 0 ORDER BY seq DESC LIMIT 1), 0),
    coalesce((SELECT seq + n FROM entries e WHERE e.rk = r.rk AND box = 1 ORDER BY seq DESC LIMIT 1), 0)
FROM runs r WHERE run IN (SELECT value FROM json_each(?))
"""
_REQUESTS = """
SELECT t.name, r.request_id, r.run FROM json_each(?) AS wanted
JOIN tenants t ON t.name = wanted.value ->> 0
JOIN runs r ON r.tenant = t.id AND r.request_id = wanted.value ->> 1
"""
_BODIES = """
INSERT INTO bodies(tenant, hash, data) VALUES (?, ?, ?)
ON CONFLICT(tenant, hash) DO UPDATE SET data = excluded.data WHERE data IS NULL
"""
_ENTRIES = "INSERT INTO entries(id, rk, box, seq, n, data, leaf) VALUES (?, ?, ?, ?, ?, ?, ?)"
_NEW_RUNS = """
INSERT INTO runs(rk, run, tenant, session, team, app, request_id, started_at, owner, epoch)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ROW = "SELECT session, team, app, request_id, started_at FROM runs WHERE rk = ?"
_RUNS = "UPDATE runs SET owner = ?, epoch = ?, waiting = ? WHERE rk = ?"
_ENDS = "UPDATE runs SET ended_at = ?, status = ?, summary = ? WHERE rk = ?"


class StoredRun:
    """What the writer knows of a run, with the changes of the commit that is being made."""

    __slots__ = ("ended", "epoch", "next_inbox", "next_seq", "owner", "rk", "row", "run", "tenant", "waiting")

    def __init__(self, rk: int, run: str, tenant: int, epoch: int, owner: str | None) -> None:
        self.rk = rk
        self.run = run
        self.tenant = tenant
        self.epoch = epoch
        self.owner = owner
        self.waiting = False
        self.ended = False
        self.next_seq = 0
        self.next_inbox = 0
        self.row: Row | None = None  # session, team, app, request_id, started_at


class Transaction:
    """The rows of the commit that is being made. Only the writer thread uses it."""

    def __init__(self, database: Database, owner: str, clock: Clock, liveness: Liveness) -> None:
        self.database = database
        self.owner = owner
        self.clock = clock
        self.liveness = liveness
        self.blocked: dict[str, tuple[int, Callable[[], BaseException]]] = {}
        self.requests: dict[tuple[str, str], str] = {}
        self.accounts = AccountRows(database)
        self.shared = SharedRecords(database)
        self._tails: dict[
            tuple[str, str], str
        ] = {}  # newest run of each session that got one in this transaction
        self.head = -1
        self.now = 0.0
        self._hash = b""
        self._last_entry = 0
        self._last_rk = 0
        self._runs: OrderedDict[str, StoredRun] = OrderedDict()
        self._tenants: dict[str, int] = {}
        self._tenant_names: dict[int, str] = {}
        self._own_next: dict[int, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._entries: list[tuple[int, int, int, int, int, bytes, bytes]] = []
        self._leaves: list[bytes] = []
        self._bodies: list[tuple[int, bytes, bytes]] = []
        self._new_runs: list[tuple[object, ...]] = []
        self._touched: dict[int, StoredRun] = {}
        self._ends: list[tuple[float, str, bytes, int]] = []
        self.wrote = False
        self.accounts.clear()
        self.shared.clear()
        self.requests.clear()
        self._tails.clear()

    def begin(self) -> None:
        """Takes the file's write lock, and forgets what is known of the file if another process has written."""
        self._clear()
        self.database.run("BEGIN IMMEDIATE")
        head, last_entry, hash_ = self.database.fetch_one(
            "SELECT id, last_entry, hash FROM batches ORDER BY id DESC LIMIT 1"
        )
        if head < self.head or (head == self.head and hash_ != self._hash):
            raise JournalFailed(
                f"it was at batch {self.head} ({self._hash.hex()[:12]}…) and is at batch {head} ({hash_.hex()[:12]}…) now: "
                "another file or an older copy was written over it"
            )
        if head != self.head:
            self.forget()
            self.head, self._last_entry, self._hash = head, last_entry, hash_
            self._last_rk = self.database.fetch_value("SELECT coalesce(max(rk), 0) FROM runs")
        self.now = self.clock.wall_s()

    def forget(self) -> None:
        """Forgets everything, because another process has written or a commit failed."""
        self.head = -1
        self._runs.clear()
        self._tenants.clear()
        self._tenant_names.clear()
        self._own_next.clear()
        self.accounts.forget()
        self._clear()

    def load(self, runs: Sequence[str], requests: Sequence[tuple[str, str]]) -> None:
        """Reads the state of `runs` and the runs of `requests`, with one statement each."""
        unknown = [run for run in dict.fromkeys(runs) if run not in self._runs]
        if unknown:
            for row in self.database.fetch_all(_LOAD, (json.dumps(unknown),)):
                state = StoredRun(row[0], row[1], row[2], row[3], row[4])
                state.waiting, state.ended = bool(row[5]), bool(row[6])
                state.next_seq, state.next_inbox = row[7], row[8]
                self._runs[state.run] = state
        if requests:
            for tenant, request, run in self.database.fetch_all(_REQUESTS, (json.dumps(requests),)):
                self.requests[tenant, request] = run

    def find(self, run: str) -> StoredRun | None:
        """Returns the run's state, or None for an unknown run."""
        return self._runs.get(run)

    def get_run(self, run: str) -> StoredRun:
        """Returns the run's state. Raises `Misused` for an unknown run."""
        state = self._runs.get(run)
        if state is None:
            raise Misused(f"run {run} is not in the journal")
        return state

    def add_entry(self, rk: int, run: str, box: int, seq: int, n: int, data: bytes) -> None:
        """Adds an entry and its leaf."""
        self._last_entry += 1
        leaf = leaf_of(run, box, seq, n, data)
        self._entries.append((self._last_entry, rk, box, seq, n, data, leaf[:LEAF_PREFIX_BYTES]))
        self._leaves.append(leaf)

    def add_own_entry(self, box: Box, data: bytes) -> None:
        """Adds an entry of the journal itself."""
        seq = self._own_next.get(box)
        if seq is None:
            seq = self.database.fetch_value(
                "SELECT coalesce(max(seq) + 1, 0) FROM entries WHERE rk = 0 AND box = ?", (int(box),)
            )
        self._own_next[box] = seq + 1
        self.add_entry(0, "", box, seq, 1, data)

    def add_bodies(self, tenant: int, bodies: Sequence[tuple[bytes, bytes]]) -> None:
        """Adds contents; those that are stored already are not written again, unless they were erased."""
        rows = self._bodies
        for hash_, data in bodies:
            rows.append((tenant, hash_, data))

    def find_tenant_id(self, name: str) -> int | None:
        """Returns the key of a tenant; None for an unknown tenant."""
        key = self._tenants.get(name)
        if key is None:
            key = self.database.fetch_value("SELECT id FROM tenants WHERE name = ?", (name,))
            if key is not None:
                self._tenants[name] = key
        return key

    def ensure_tenant_id(self, name: str) -> int:
        """Returns the key of a tenant; a new tenant is written at once."""
        key = self.find_tenant_id(name)
        if key is None:
            self.database.run("INSERT INTO tenants(name) VALUES (?)", (name,))
            key = self._tenants[name] = self.database.last_rowid
            self.wrote = True
        return key

    def find_tenant_name(self, key: int) -> str:
        """Returns the name of a tenant."""
        name = self._tenant_names.get(key)
        if name is None:
            name = self.database.fetch_value("SELECT name FROM tenants WHERE id = ?", (key,))
            self._tenant_names[key] = name
        return name

    def find_session_tail(self, tenant: str, session: str) -> str:
        """Returns the session's newest run, or "" if it has none."""
        tail = self._tails.get((tenant, session))
        if tail is not None:
            return tail
        rows = self.database.fetch_all(
            "SELECT run FROM runs WHERE tenant = (SELECT id FROM tenants WHERE name = ?) AND session = ? "
            "ORDER BY rk DESC LIMIT 1",
            (tenant, session),
        )
        return rows[0][0] if rows else ""

    def add_run(self, started: RunStarted, owner: str | None) -> StoredRun:
        """Adds a run; with an owner it has epoch 1, without one epoch 0."""
        self._last_rk += 1
        epoch = 0 if owner is None else 1
        state = StoredRun(self._last_rk, started.run, self.ensure_tenant_id(started.tenant), epoch, owner)
        self._new_runs.append(
            (
                *(state.rk, state.run, state.tenant, started.session, started.team, started.app),
                *(started.request_id, started.at, owner, epoch),
            )
        )
        state.row = (started.session, started.team, started.app, started.request_id, started.at)
        self._runs[state.run] = state
        if started.session is not None:
            self._tails[started.tenant, started.session] = started.run
        if owner is not None:
            self.liveness.enrol(self.database)
        return state

    def touch(self, state: StoredRun) -> None:
        """Marks a run whose owner, epoch or waiting state has changed."""
        self._touched[state.rk] = state

    def take(self, state: StoredRun) -> None:
        """Makes this process the owner of the run, under the next epoch."""
        state.epoch += 1
        state.owner = self.owner
        self.touch(state)
        self.liveness.enrol(self.database)

    def end(self, state: StoredRun, summary: Summary) -> None:
        """Ends the run: it has an outcome, and no owner any more."""
        state.ended, state.waiting, state.owner = True, False, None
        self.touch(state)
        self._ends.append((self.now, summary.status, _encode(summary), state.rk))
        if state.row is None:
            state.row = self.database.fetch_one(_ROW, (state.rk,))
        tenant = self.find_tenant_name(state.tenant)
        session, team, app, request_id, started_at = state.row
        ending = Ending(
            run=state.run,
            tenant=tenant,
            session=session,
            team=team,
            app=app,
            request_id=request_id,
            started_at=started_at,
            ended_at=self.now,
            summary=summary,
        )
        self.add_entry(state.rk, state.run, Box.END, 0, 1, _encode([ending]))

    def judge_left_s(self, owner: str) -> float | None:
        """Returns the seconds that an owner's lease still runs; None if the owner is dead."""
        return self.liveness.judge_left_s(self.database, owner)

    def commit(self) -> bool:
        """Writes the rows and the batch, durably; returns False if there was nothing to write."""
        database = self.database
        if self.shared.changed:
            self.shared.write()
        if self.accounts.changed:
            self.accounts.write()
            self.wrote = True
        if not (self._entries or self._bodies or self._new_runs or self._touched or self._ends or self.wrote):
            # Shared records alone make no batch: they may change for years without a run.
            database.run("COMMIT" if self.shared.changed else "ROLLBACK")
            return self.shared.changed
        if self._new_runs:
            database.run_many(_NEW_RUNS, self._new_runs)
        if self._bodies:
            database.run_many(_BODIES, self._bodies)
        if self._entries:
            database.run_many(_ENTRIES, self._entries)
        if self._touched:
            rows = [(s.owner, s.epoch, s.waiting, s.rk) for s in self._touched.values()]
            database.run_many(_RUNS, rows)
        if self._ends:
            database.run_many(_ENDS, self._ends)
        number = self.head + 1
        hash_ = hash_batch(self._hash, number, self.now, self._leaves)
        database.run(
            "INSERT INTO batches(id, last_entry, at, hash) VALUES (?, ?, ?, ?)",
            (number, self._last_entry, self.now, hash_),
        )
        database.run("COMMIT")
        self.head, self._hash = number, hash_
        self.accounts.keep()
        for state in self._touched.values():
            if state.ended:  # later operations on it are rare, and read its state again
                self._runs.pop(state.run, None)
        while len(self._runs) > RUNS_KEPT:
            self._runs.popitem(last=False)
        return True

    def release_all(self) -> None:
        """Gives up every run that this process still owns, because it is about to end."""
        where = "WHERE ended_at IS NULL AND owner = ?"
        if self.database.fetch_value(f"SELECT EXISTS (SELECT 1 FROM runs {where})", (self.owner,)):
            self.begin()
            self.database.run(f"UPDATE runs SET owner = NULL {where}", (self.owner,))
            self.wrote = True
            self.commit()
        if self.liveness.due_in_s is not None:
            self.liveness.leave(self.database)
