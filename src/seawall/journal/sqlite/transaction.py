"""One commit: the known state of the file, the rows to write, and the statements that write them.

The state of runs (epoch, next seq) is kept from commit to commit. It is valid as long as no other process has written.
Each commit adds a batch, so the state is valid while the file's newest batch is the one that this process wrote.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from seawall.core.canonical import encode_text
from seawall.core.clock import Clock
from seawall.core.errors import JournalDamaged, JournalFailed, Misused, SeawallError
from seawall.core.events import RunStarted
from seawall.journal.protocol import Lease, Summary
from seawall.journal.sqlite.accounts import AccountRows
from seawall.journal.sqlite.chain import HASH_BYTES, LEAF_PREFIX_BYTES, WRITER, hash_batch, leaf_of
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.effect_rows import EFFECT_TABLES, HeldTable
from seawall.journal.sqlite.liveness import LeaseTime, Liveness
from seawall.journal.sqlite.memory_index import IndexChanges
from seawall.journal.sqlite.memory_rows import MEMORY_TABLES
from seawall.journal.sqlite.records import Box, Ending
from seawall.journal.sqlite.reservations import Reservations
from seawall.journal.sqlite.row_sum import (
    LEAF_BYTES,
    RUN,
    SUM_BYTES,
    RowSum,
    check_tenant_row,
    digest_row,
    shorten,
)
from seawall.journal.sqlite.shared import SharedRecords
from seawall.journal.sqlite.signing import KEY_VARIABLE, Signer
from seawall.journal.sqlite.stored_run import STORED, StoredRun, load_run

_log = logging.getLogger("seawall.journal")
_encode = msgspec.json.Encoder(enc_hook=encode_text).encode


class _First(msgspec.Struct):
    """The part of a run's first event that names the principal."""

    principal: str = ""


_first: msgspec.json.Decoder[list[_First]] = msgspec.json.Decoder(list[_First])

RUNS_KEPT = 20_000
"""States of unended runs that are kept in memory: more than can be in flight, about 10 MB."""

_LOAD = f"SELECT {STORED} FROM runs WHERE run IN (SELECT value FROM json_each(?))"
_OWN = "SELECT run FROM runs WHERE ended_at IS NULL AND owner = ?"
_SESSION = """
SELECT run FROM runs INDEXED BY runs_at_work
    WHERE tenant = ? AND session = ? AND ended_at IS NULL AND owner IS NOT NULL
"""
_REQUESTS = """
SELECT t.name, r.request_id, r.run FROM json_each(?) AS wanted
CROSS JOIN tenants t ON t.name = wanted.value ->> 0
CROSS JOIN runs r ON r.tenant = t.id AND r.request_id = wanted.value ->> 1
"""
_BODIES = """
INSERT INTO bodies(tenant, hash, data) VALUES (?, ?, ?)
ON CONFLICT(tenant, hash) DO UPDATE SET data = excluded.data WHERE data IS NULL
"""
_NEWEST = "SELECT id, last_entry, hash, state, mac, at FROM batches ORDER BY id DESC LIMIT 1"
_BATCH = (
    f"INSERT INTO batches(id, last_entry, at, hash, state, mac, writer) VALUES (?, ?, ?, ?, ?, ?, {WRITER})"
)
_SHORTEN = "UPDATE batches SET state = ? WHERE id = ?"
_ENTRIES = "INSERT INTO entries(id, rk, box, seq, n, data, leaf) VALUES (?, ?, ?, ?, ?, ?, ?)"
_NEW_RUNS = f"INSERT INTO runs({RUN}, leaf, events, commands) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_RUNS = "UPDATE runs SET owner = ?, epoch = ?, waiting = ?, leaf = ? WHERE rk = ?"
_ENDS = "UPDATE runs SET owner = ?, epoch = ?, waiting = ?, leaf = ?, ended_at = ?, status = ?, summary = ? WHERE rk = ?"
_FIRST = "SELECT data FROM entries WHERE rk = ? AND box = 0 AND seq = 0"
_COUNTS = "UPDATE runs SET events = ?, commands = ?, taken = ? WHERE rk = ?"


def check_newest(row: Row | None, signer: Signer | None) -> Row:
    """Returns the newest batch. Raises `JournalDamaged` if it can't be continued, `Misused` without the right key."""
    if row is None:
        raise JournalDamaged("the table batches is empty")
    number, last_entry, hash_, state, mac, at = row
    if not isinstance(number, int) or not isinstance(last_entry, int):
        raise JournalDamaged(f"the newest batch, {number!r}, has the last entry {last_entry!r}")
    if not isinstance(hash_, bytes) or not isinstance(state, bytes):
        raise JournalDamaged(f"the newest batch, {number}, has no hash or no sum of rows")
    if not isinstance(at, float | int):
        raise JournalDamaged(f"the newest batch, {number}, has the time {at!r}")
    if len(hash_) != HASH_BYTES or len(state) != SUM_BYTES:
        raise JournalDamaged(f"batch {number} is not the newest one that was written, or it was changed")
    if mac is not None and signer is None:
        raise Misused(
            "the journal is signed, and this process has no key: give Seawall(signing_key=…), or name the key's file "
            f"in {KEY_VARIABLE}"
        )
    if mac is not None and signer is not None and not signer.check(hash_, mac):
        raise JournalDamaged(
            f"batch {number} was not signed with this key: the journal was changed, or this is another key"
        )
    return row


class Transaction:
    """The rows of the commit that is being made. Only the writer thread uses it."""

    def __init__(
        self, database: Database, owner: str, clock: Clock, liveness: Liveness, signer: Signer | None
    ) -> None:
        self.database = database
        self._signer = signer
        self._sum = RowSum()
        tables = EFFECT_TABLES | MEMORY_TABLES
        self.tables = {name: HeldTable(database, self._sum, name, key) for name, key in tables.items()}
        self.owner = owner
        self.clock = clock
        self.liveness = liveness
        self.blocked: dict[str, tuple[int, Callable[[], BaseException]]] = {}
        """By run: the epoch under which this process can't go on with it, and why. A later epoch is not blocked by it."""
        self.requests: dict[tuple[str, str], str] = {}
        self.accounts = AccountRows(database, self._sum)
        self.reservations = Reservations(database, self._sum, self.accounts)
        self.shared = SharedRecords(database, self._sum)
        self.words = IndexChanges(database)
        self._tails: dict[
            tuple[str, str], str
        ] = {}  # the newest run of each session that got a new run in this transaction
        self.head = -1
        self.now = 0.0
        self.sure_now = 0.0
        """The later of the wall clock and the newest time in the journal: so a clock that was set back makes no record
        expire later."""
        self._newest_at = 0.0
        self._hash = b""
        self._last_entry = 0
        self._last_rk = 0
        self._runs: OrderedDict[str, StoredRun] = OrderedDict()
        self._tenants: dict[str, int] = {}
        self._tenant_names: dict[int, str] = {}
        self._own_next: dict[int, int] = {}
        self._state = 0
        """The sum of the held rows in the newest batch, as a number."""
        self._short_state = b""
        self._newest: Row | None = None
        self._version: int | None = None
        """The version of the file's data in which `_newest` is the newest batch; None if it is not known."""
        self._clear()

    def _clear(self) -> None:
        self._entries: list[tuple[int, int, int, int, int, bytes, bytes]] = []
        self._leaves: list[bytes] = []
        self._bodies: list[tuple[int, bytes, bytes]] = []
        self._touched: dict[int, StoredRun] = {}
        self._counted: dict[int, StoredRun] = {}
        self._reopened: set[int] = set()
        """By row key: the runs that this transaction reopens."""
        self.wrote = False
        self._beaten = False
        self._gave_back = False
        self.accounts.clear()
        self.reservations.clear()
        self.shared.clear()
        self.words.clear()
        self.requests.clear()
        self._tails.clear()

    def begin(self) -> None:
        """Takes the file's write lock, and drops the known state of the file if another process has written."""
        self.database.run("BEGIN IMMEDIATE")
        # Otherwise nobody has written since this process's last commit.
        if self.database.data_version != self._version:
            self._read_newest()
        self._sum.value = self._state
        self.now = self.clock.wall_s()
        self.sure_now = max(self.now, self._newest_at)
        self._beaten = self.liveness.beat_if_old(self.database)

    def _read_newest(self) -> None:
        """Reads the newest batch. If this process does not know it, drops the known state of the file."""
        newest = self.database.fetch_first(_NEWEST)
        if newest == self._newest:
            return
        self._check_onward(newest)
        newest = check_newest(newest, self._signer)
        self.forget()
        self._newest = newest
        if self._signer is not None and newest[4] is None:
            self._check_unsigned()
        self.head, self._last_entry, self._hash, state, _, self._newest_at = newest
        self._state, self._short_state = int.from_bytes(state, "big"), shorten(state)
        self._last_rk = self.database.fetch_value("SELECT coalesce(max(rk), 0) FROM runs")

    def _check_onward(self, newest: Row | None) -> None:
        """Raises `JournalFailed` if the file does not continue the batch that this process saw last."""
        if newest is None or not isinstance(newest[0], int) or not isinstance(newest[2], bytes):
            return
        head, hash_ = newest[0], newest[2]
        if head < self.head or (head == self.head and hash_ != self._hash):
            raise JournalFailed(
                f"it was at batch {self.head} ({self._hash.hex()[:12]}…) and is at batch {head} ({hash_.hex()[:12]}…) now: "
                "another file or an older copy was written over it"
            )

    def _check_unsigned(self) -> None:
        """Raises `JournalDamaged` if an earlier batch is signed and the newest is not: a new signature must not cover
        it.
        """
        signed = self.database.fetch_value("SELECT max(id) FROM batches WHERE mac IS NOT NULL")
        if signed is not None:
            raise JournalDamaged(
                f"batch {signed} is signed, and the batches after it are not: they were written without the key"
            )
        number = self.database.fetch_value("SELECT max(id) FROM batches")
        _log.info("the journal is signed from batch %d on", number + 1)

    def forget(self) -> None:
        """Forgets everything, because another process has written or a commit failed."""
        self.head = -1
        self._newest = self._version = None
        self._runs.clear()
        self._tenants.clear()
        self._tenant_names.clear()
        self._own_next.clear()
        self.accounts.forget()
        self.reservations.forget()
        self._clear()

    def load(self, runs: Sequence[str], requests: Sequence[tuple[str, str]]) -> None:
        """Reads the state of `runs` and the runs of `requests`, with one statement each."""
        unknown = [run for run in dict.fromkeys(runs) if run not in self._runs]
        if unknown:
            for row in self.database.fetch_all(_LOAD, (json.dumps(unknown),)):
                state = load_run(row)
                self._runs[state.run] = state
        if requests:
            for tenant, request, run in self.database.fetch_all(_REQUESTS, (json.dumps(requests),)):
                self.requests[tenant, request] = run

    def block(self, lease: Lease, why: Callable[[], BaseException]) -> None:
        """Notes that nothing more is appended under a lease, because `why`; the first reason counts."""
        known = self.blocked.get(lease.run)
        if known is None or known[0] != lease.epoch:
            self.blocked[lease.run] = (lease.epoch, why)

    def find(self, run: str) -> StoredRun | None:
        """Returns the run's state, or None for an unknown run."""
        return self._runs.get(run)

    def get_run(self, run: str) -> StoredRun:
        """Returns the run's state. Raises `Misused` for an unknown run, `JournalDamaged` if its row was changed."""
        state = self._runs.get(run)
        if state is None:
            raise Misused(f"run {run} is not in the journal")
        if state.problem is not None:
            raise JournalDamaged(f"run {run}: {state.problem}")
        return state

    def add_run_entry(self, state: StoredRun, box: Box, n: int, data: bytes) -> None:
        """Adds an entry of a run's events or of its inbox, and counts it in the run's row."""
        if box == Box.LOG:
            self.add_entry(state.rk, state.run, box, state.next_seq, n, data)
            state.next_seq += n
        else:
            self.add_entry(state.rk, state.run, box, state.next_inbox, n, data)
            state.next_inbox += n
        self._counted[state.rk] = state

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
        """Adds contents; contents that are stored already are not written again, unless they were erased."""
        rows = self._bodies
        for hash_, data in bodies:
            rows.append((tenant, hash_, data))

    def has_body(self, tenant: str, hash_: bytes) -> bool:
        """Returns whether a body is stored, or will be with this commit; also if it was erased."""
        key = self.find_tenant_id(tenant)
        if any(row[:2] == (key, hash_) for row in self._bodies):
            return True
        sql = "SELECT 1 FROM bodies WHERE tenant = ? AND hash = ?"
        return self.database.fetch_first(sql, (key, hash_)) is not None

    def find_waiting_body(self, tenant: int, ref: str | None) -> bytes:
        """Returns a body that will be stored with this commit; empty bytes if there is none."""
        hash_ = None if ref is None else bytes.fromhex(ref)
        return next((row[2] for row in self._bodies if row[:2] == (tenant, hash_)), b"")

    def find_principal(self, run: str) -> str:
        """Returns the principal on whose behalf a run works; "" if there is none, or it is not known any more."""
        state = self.get_run(run)
        pending = (entry[5] for entry in self._entries if entry[1:4] == (state.rk, Box.LOG, 0))
        data = next(pending, None) or self.database.fetch_value(_FIRST, (state.rk,))
        return _first.decode(data)[0].principal if data else ""

    def find_tenant_id(self, name: str) -> int | None:
        """Returns the key of a tenant; None for an unknown tenant."""
        key = self._tenants.get(name)
        if key is None:
            row = self.database.fetch_first("SELECT id, name, leaf FROM tenants WHERE name = ?", (name,))
            if row is not None:
                check_tenant_row(*row)
                key = self._tenants[name] = row[0]
        return key

    def ensure_tenant_id(self, name: str) -> int:
        """Returns the key of a tenant; a new tenant's row is written immediately."""
        key = self.find_tenant_id(name)
        if key is None:
            self.database.run("INSERT INTO tenants(name) VALUES (?)", (name,))
            key = self._tenants[name] = self.database.last_rowid
            digest = digest_row("tenants", (key, name))
            self.database.run("UPDATE tenants SET leaf = ? WHERE id = ?", (digest[:LEAF_BYTES], key))
            self._sum.add(digest)
            self.wrote = True
        return key

    def find_tenant_name(self, key: int) -> str:
        """Returns the name of a tenant."""
        name = self._tenant_names.get(key)
        if name is None:
            name, leaf = self.database.fetch_first("SELECT name, leaf FROM tenants WHERE id = ?", (key,)) or (
                None,
                None,
            )
            name = self._tenant_names[key] = check_tenant_row(key, name, leaf)
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

    def find_at_work(self, tenant: int, session: str, but: str) -> str | None:
        """Returns a run of the session, other than `but`, that has begun and whose owner is alive; None if there is
        none. A parked run has no owner.
        """
        written = [row[0] for row in self.database.fetch_all(_SESSION, (tenant, session))]
        self.load(written, ())
        states = [*(self._runs[run] for run in written if run in self._runs), *self._touched.values()]
        for each in states:
            ours = (each.tenant, each.session) == (tenant, session) and each.run != but
            if not ours or each.ended or each.owner is None or each.next_seq <= 1:
                continue
            if each.owner == self.owner or self.judge(each.owner).left_s is not None:
                return each.run
        return None

    def add_run(self, started: RunStarted, owner: str | None) -> StoredRun:
        """Adds a run; with an owner it has epoch 1, without one epoch 0."""
        self._last_rk += 1
        epoch = 0 if owner is None else 1
        tenant = self.ensure_tenant_id(started.tenant)
        state = StoredRun(
            (
                *(self._last_rk, started.run, tenant, started.session, started.team, started.app),
                *(started.request_id, float(started.at), None, 0, owner, epoch, None, None, 0),
            )
        )
        self.touch(state)
        self._runs[state.run] = state
        if started.session is not None:
            self._tails[started.tenant, started.session] = started.run
        if owner is not None:
            self.enrol()
        return state

    def touch(self, state: StoredRun) -> None:
        """Marks a run whose owner, epoch or waiting state has changed."""
        self._touched[state.rk] = state

    def take(self, state: StoredRun) -> None:
        """Makes this process the owner of the run, under the next epoch."""
        state.epoch += 1
        state.owner = self.owner
        self.touch(state)
        self.enrol()

    def enrol(self) -> None:
        """Writes the first heartbeat of this process, because it owns a run from now on."""
        self.liveness.enrol(self.database)

    def give_back_lost(self, taken: str | None = None) -> bool:
        """Gives back the reservations of dead processes, and those that other processes have for run `taken`, which now
        belongs to this one. Returns whether there were any. Reservations that can't be read are kept, and this is
        logged.
        """
        given = False
        try:
            if taken is not None:
                for owner in {*self.reservations.list_owners(taken)} - {self.owner}:
                    given = self.reservations.give_back((owner, taken)) or given
            if not self._gave_back:  # only once in a commit
                self._gave_back = True
                for owner in self.reservations.list_owners():
                    if owner != self.owner and self.judge(owner).left_s is None:
                        given = self.reservations.give_back_all(owner) or given
        except SeawallError as error:
            _log.warning("what a dead process had reserved could not be given back: %s", error)
        return given

    def end(self, state: StoredRun, summary: Summary) -> None:
        """Ends the run: it gets an outcome, and loses its owner."""
        state.ended, state.waiting, state.owner = True, False, None
        state.ended_at, state.status, state.summary = float(self.now), summary.status, _encode(summary)
        self.touch(state)
        ending = Ending(
            run=state.run,
            tenant=self.find_tenant_name(state.tenant),
            session=state.session,
            team=state.team,
            app=state.app,
            request_id=state.request_id,
            started_at=state.started_at,
            ended_at=state.ended_at,
            summary=summary,
        )
        self._add_end(state, _encode([ending]))

    def reopen(self, state: StoredRun) -> None:
        """Marks a run as not ended: it loses its outcome and has no owner."""
        state.ended, state.waiting, state.owner = False, False, None
        state.ended_at = state.status = state.summary = None
        self._reopened.add(state.rk)
        self.touch(state)
        self._add_end(state, _encode([]))

    def _add_end(self, state: StoredRun, data: bytes) -> None:
        """Adds an entry with the run's row at its end, or one that cancels it. The newest such entry counts."""
        seq = 0
        if state.digest is not None:  # otherwise the run is new
            sql = "SELECT coalesce(max(seq) + 1, 0) FROM entries WHERE rk = ? AND box = ?"
            seq = self.database.fetch_value(sql, (state.rk, int(Box.END)))
        self.add_entry(state.rk, state.run, Box.END, seq, 1, data)

    def judge(self, owner: str) -> LeaseTime:
        """Returns the remaining lease of an owner."""
        return self.liveness.judge(self.database, owner)

    def commit(self) -> bool:
        """Writes the rows and the batch, durably; returns False if there was nothing to write."""
        database = self.database
        if self.shared.changed and self.shared.write():
            self.wrote = True
        if self.accounts.changed:
            self.accounts.write()
            self.wrote = True
        if self.reservations.changed:
            self.reservations.write()
        if not (self._entries or self._bodies or self._touched or self.wrote):
            # Advice and heartbeats alone make no batch: they may change for years without a run.
            changed = self.shared.changed
            database.run("COMMIT" if changed or self._beaten else "ROLLBACK")
            self._version = database.data_version
            self.liveness.keep()
            self._clear()
            return changed
        self.words.write()
        if self._bodies:
            database.run_many(_BODIES, self._bodies)
        if self._entries:
            database.run_many(_ENTRIES, self._entries)
        digests = self._write_runs() if self._touched else ()
        if self._counted:
            rows = [(run.next_seq, run.next_inbox, run.taken, run.rk) for run in self._counted.values()]
            database.run_many(_COUNTS, rows)
        self._write_batch()
        database.run("COMMIT")
        self._version = database.data_version
        self.accounts.keep()
        self.reservations.keep()
        self.liveness.keep()
        for state, digest in digests:
            state.digest = digest
            if state.ended:  # later operations on an ended run are rare, and read its state again
                self._runs.pop(state.run, None)
        while len(self._runs) > RUNS_KEPT:
            self._runs.popitem(last=False)
        self._clear()
        return True

    def _write_runs(self) -> list[tuple[StoredRun, bytes]]:
        """Writes the rows of new and touched runs; returns the digest of each."""
        written: list[tuple[StoredRun, bytes]] = []
        new: list[Row] = []
        changed: list[Row] = []
        ended: list[Row] = []
        for state in self._touched.values():
            values = state.to_row()
            digest = digest_row("runs", values)
            written.append((state, digest))
            self._sum.add(digest)
            head = (state.owner, state.epoch, state.waiting, digest[:LEAF_BYTES])
            if state.digest is None:
                self._counted.pop(state.rk, None)
                new.append((*values, digest[:LEAF_BYTES], state.next_seq, state.next_inbox))
                continue
            self._sum.remove(state.digest)
            if state.ended or state.rk in self._reopened:
                ended.append((*head, state.ended_at, state.status, state.summary, state.rk))
            else:
                changed.append((*head, state.rk))
        for sql, rows in ((_NEW_RUNS, new), (_RUNS, changed), (_ENDS, ended)):
            if rows:
                self.database.run_many(sql, rows)
        return written

    def _write_batch(self) -> None:
        number = self.head + 1
        state = self._sum.to_bytes()
        short = shorten(state)
        at = self.sure_now  # batches never go back in time, so the newest one has the newest time
        hash_ = hash_batch(self._hash, number, at, self._leaves, short)
        mac = None if self._signer is None else self._signer.sign(hash_)
        self.database.run(_SHORTEN, (self._short_state, self.head))
        self._newest = (number, self._last_entry, hash_, state, mac, at)
        self.database.run(_BATCH, (number, self._last_entry, at, hash_, state, mac))
        self.head, self._hash, self._newest_at = number, hash_, at
        self._state, self._short_state = self._sum.value, short

    def mark_pruned(self, keys: Sequence[int]) -> None:
        """Marks runs as pruned."""
        for row in self.database.fetch_all(
            f"SELECT {STORED} FROM runs WHERE rk IN (SELECT value FROM json_each(?))",
            (json.dumps(keys),),
        ):
            state = load_run(row)
            if state.digest is None:
                raise JournalDamaged(f"run {state.run}: {state.problem}")
            self._sum.remove(state.digest)
            state.pruned = 1
            digest = digest_row("runs", state.to_row())
            self._sum.add(digest)
            self.database.run(
                "UPDATE runs SET pruned = 1, leaf = ? WHERE rk = ?", (digest[:LEAF_BYTES], state.rk)
            )
            self._runs.pop(state.run, None)

    def release_all(self) -> None:
        """Releases every run that this process still owns, and gives back its reservations, because the process is
        about to end.
        """
        owns = self.database.fetch_first(_OWN, (self.owner,)) is not None
        if owns or self.owner in self.reservations.list_owners():
            self.begin()
            self.reservations.give_back_all(self.owner)
            own = [row[0] for row in self.database.fetch_all(_OWN, (self.owner,))]
            self.load(own, ())
            for run in own:
                state = self._runs.get(run)
                if state is not None and state.problem is None:
                    state.owner = None
                    self.touch(state)
            self.commit()
        if self.liveness.due_in_s is not None:
            self.liveness.leave(self.database)
