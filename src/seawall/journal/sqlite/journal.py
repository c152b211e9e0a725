"""`SqliteJournal`: the journal protocol over one SQLite file."""

from __future__ import annotations

import math
import os
import secrets
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from seawall.core.canonical import Ref, encode_text
from seawall.core.clock import Clock
from seawall.core.errors import JournalDamaged, JournalFailed, Misused
from seawall.core.events import Event, RunStarted
from seawall.core.forks import is_child_of
from seawall.journal import guard_names
from seawall.journal.ballot_rules import Told
from seawall.journal.protocol import (
    EVERY_EFFECT,
    EVERY_RUN,
    OPEN_PROPOSALS,
    Account,
    Backup,
    Ballot,
    Booking,
    Cap,
    ClaimAnswer,
    Collected,
    Command,
    DecisionRecord,
    EffectClaim,
    EffectFilter,
    EffectRecord,
    Fact,
    Forgotten,
    Head,
    InboxItem,
    Lease,
    Lineage,
    MemoryChanges,
    MemoryConflict,
    MemoryEntry,
    MemoryFilter,
    MemoryMerge,
    MemoryPlan,
    MemoryVersion,
    MemoryWrite,
    OverCap,
    PrincipalRecord,
    Proposal,
    ProposalFilter,
    Pruned,
    RecordChange,
    RunFilter,
    RunRow,
    Setting,
    SettingKind,
    Settle,
    Spend,
    Summary,
    Verification,
)
from seawall.journal.sqlite import (
    accounts,
    effect_ops,
    effect_reading,
    memory_ops,
    memory_reading,
    ops,
    reading,
    retention,
    shared,
)
from seawall.journal.sqlite.access import FileAccess
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.journal_file import JournalFile, open_journal_file
from seawall.journal.sqlite.listing import list_older_waits, list_rows
from seawall.journal.sqlite.liveness import OUT, LeaseTime
from seawall.journal.sqlite.mark import read_head
from seawall.journal.sqlite.options import SqliteOptions
from seawall.journal.sqlite.owner import Host
from seawall.journal.sqlite.reading import Readers, SettingsReader
from seawall.journal.sqlite.reopening import ReopenOp
from seawall.journal.sqlite.reservations import read_lost
from seawall.journal.sqlite.schema import connect
from seawall.journal.sqlite.signing import Signer, read_key
from seawall.journal.sqlite.upkeep import back_up, collect, forget, verify
from seawall.journal.sqlite.watch import Watchers
from seawall.journal.sqlite.writer import Writer

T = TypeVar("T")
_IDENTITY_KEY = "effects/identity-key"
_encode = msgspec.json.Encoder(enc_hook=encode_text).encode


class SqliteJournal:
    """A journal in one SQLite file (or `:memory:`), for the processes of one host. Open it with `open`."""

    def __init__(self, file: JournalFile, clock: Clock, options: SqliteOptions) -> None:
        self._file = file
        self._owner = str(file.owner)
        self._path = file.path
        self._clock = clock
        self._options = options
        lock = threading.Lock()
        one_connection = file.files is None
        self._real_path = file.real_path

        def reader() -> Database:
            if file.files is None:
                return file.get_only_connection()
            database = connect(file.real_path, options, "read" if file.unwritable is None else "shared")
            try:
                file.files.check()
            except JournalFailed as failed:
                database.close()
                raise JournalFailed(f"journal {file.path}: {failed}") from None
            return database

        self._readers = Readers(file.path, reader, options.readers, lock if one_connection else None)
        self._settings = SettingsReader()
        self._shared = shared.SharedReader()
        self._watchers = Watchers(options.poll_s, None if one_connection else reader)
        self._writer = Writer(file, clock, self._watchers, options, lock)
        self._writer.start()
        self._submit = self._writer.submit
        self._access = FileAccess(self._real_path, self._readers, self._writer)
        self._closed = False
        self._pid = os.getpid()

    @classmethod
    def open(
        cls,
        path: str,
        *,
        clock: Clock,
        options: SqliteOptions | None = None,
        create: bool = True,
        signer: Signer | None = None,
        host: Host | None = None,
    ) -> SqliteJournal:
        """Opens the file; with `create` it makes the file if there is none. With a signer every batch is signed.

        Raises `Misused` if the path can't be used: it does not exist, is not a journal, or has a newer schema. A file
        that has lost its newest batches opens for reading only, and `problem` says what is lost. A file that may not be
        written, or whose disk has no room for SQLite's other files, opens for reading only too. `host` is where this
        process runs; tests give another one.
        """
        options = options or SqliteOptions()
        return cls(open_journal_file(str(path), clock, options, create, signer, host), clock, options)

    def __repr__(self) -> str:
        return f"<SqliteJournal {self._path} {'closed' if self._closed else self.problem or 'open'}>"

    @property
    def owner(self) -> str:
        """The name of this process in leases: `host:pid:start`."""
        return self._owner

    @property
    def assured_s(self) -> float:
        """See `Journal.assured_s`."""
        return self._options.lease_s * 2 / 3  # at each commit the newest heartbeat is at most a third old

    @property
    def problem(self) -> str | None:
        """The reason why nothing can be written any more; None while writing works."""
        why = self._writer.failed
        return None if why is None else str(why())

    def check_writable(self) -> None:
        """Raises the error that prevents writing; does nothing while writing works."""
        if (why := self._writer.failed) is not None:
            raise why()

    async def create(
        self,
        started: RunStarted,
        events: Sequence[Event],
        bodies: Mapping[Ref, bytes],
        *,
        take: bool = True,
        after: str | None = None,
        waiting: bool = False,
        summary: Summary | None = None,
        booked: Sequence[Booking] = (),
        records: Sequence[RecordChange] = (),
        since: tuple[str, int] | None = None,
        merge: MemoryMerge | None = None,
    ) -> Lease:
        """See `Journal.create`."""
        accounts.check_tenant(started.tenant)
        kept = accounts.validate_bookings(booked)
        await self._writer.wait_for_room()
        data = _encode(guard_names.to_recorded([started, *events]))
        op = ops.CreateOp(started, 1 + len(events), data, self._pack(bodies))
        op.take, op.after, op.waiting, op.booked = take, after, waiting, kept
        op.records, op.since, op.merge = records, since, merge
        op.history = ops.find_history(events, bodies)
        op.summary = None if summary is None else guard_names.to_recorded_name(summary)
        return await self._writer.submit(op)

    def append(
        self,
        lease: Lease,
        first_seq: int,
        events: Sequence[Event],
        bodies: Mapping[Ref, bytes],
        *,
        waiting: bool | None = None,
        summary: Summary | None = None,
        booked: Sequence[Booking] = (),
        records: Sequence[RecordChange] = (),
        since: tuple[str, int] | None = None,
        merge: MemoryMerge | None = None,
    ) -> Awaitable[None]:
        """See `Journal.append`."""
        op = ops.AppendOp(
            lease,
            first_seq,
            len(events),
            _encode(guard_names.to_recorded(events)),
            self._pack(bodies) if bodies else (),
            waiting,
            None if summary is None else guard_names.to_recorded_name(summary),
            accounts.validate_bookings(booked) if booked else (),
            records,
            ops.count_taken(events),
        )
        op.since, op.merge = since, merge
        if first_seq == 1:
            op.history = ops.find_history(events, bodies)
        return self._writer.submit(op)

    def _pack(self, bodies: Mapping[Ref, bytes]) -> list[tuple[bytes, bytes]]:
        limit = self._options.body_bytes
        if (largest := max(map(len, bodies.values()), default=0)) > limit:
            raise Misused(f"a body of {largest} bytes is above the journal's limit of {limit}")
        return [(bytes.fromhex(ref), data) for ref, data in bodies.items()]

    async def wait_for_room(self) -> None:
        """See `Journal.wait_for_room`."""
        await self._writer.wait_for_room()

    async def take(self, run: str, *, force: bool = False) -> Lease:
        """See `Journal.take`."""
        return await self._submit(ops.TakeOp(run, force))

    async def reopen(
        self, run: str, first_seq: int, events: Sequence[Event], bodies: Mapping[Ref, bytes]
    ) -> None:
        """See `Journal.reopen`."""
        await self._submit(ReopenOp(run, first_seq, events, self._pack(bodies)))

    async def release(self, lease: Lease) -> None:
        """See `Journal.release`."""
        await self._submit(ops.ReleaseOp(lease))

    async def events(self, run: str, *, after: int = -1) -> list[Event]:
        """See `Journal.events`."""
        return await self._readers.run(lambda c: reading.read_events(c, run, after))

    async def bodies(self, tenant: str, refs: Sequence[Ref], *, or_erased: bool = False) -> dict[Ref, bytes]:
        """See `Journal.bodies`."""
        return await self._readers.run(lambda c: reading.read_bodies(c, tenant, refs, or_erased))

    async def find(self, prefix: str) -> str:
        """See `Journal.find`."""
        return await self._readers.run(lambda c: reading.find_run(c, prefix))

    def _make_judge(self, database: Database) -> Callable[[str], LeaseTime]:
        leases = self._file.liveness.judge_all(database)
        return lambda owner: leases.get(owner, OUT)

    def _make_alive_check(self, database: Database) -> Callable[[str], bool]:
        judge = self._make_judge(database)
        return lambda owner: judge(owner).left_s is not None

    async def row(self, run: str) -> RunRow:
        """See `Journal.row`."""
        return await self._readers.run(lambda c: reading.read_row(c, run, self._make_judge(c)))

    async def runs(self, wanted: RunFilter = EVERY_RUN, *, limit: int = 100) -> list[RunRow]:
        """See `Journal.runs`."""
        return await self._readers.run(lambda c: list_rows(c, wanted, limit, self._make_judge(c)))

    async def older_waits(self, *, limit: int = 100) -> list[RunRow]:
        """See `Journal.older_waits`."""
        return await self._readers.run(lambda c: list_older_waits(c, limit, self._make_judge(c)))

    async def run_of_request(self, tenant: str, request_id: str) -> str | None:
        """See `Journal.run_of_request`."""
        return await self._readers.run(lambda c: reading.find_run_of_request(c, tenant, request_id))

    async def session_tail(self, tenant: str, session: str, *, before: str | None = None) -> RunRow | None:
        """See `Journal.session_tail`."""
        return await self._readers.run(
            lambda c: reading.find_session_tail(c, tenant, session, before, self._make_judge(c))
        )

    async def send(self, run: str, command: Command, bodies: Mapping[Ref, bytes] | None = None) -> int:
        """See `Journal.send`."""
        return await self._submit(ops.SendOp(run, command, self._pack(bodies or {})))

    async def inbox(self, run: str, *, after: int = -1) -> list[InboxItem]:
        """See `Journal.inbox`."""
        return await self._readers.run(lambda c: reading.read_inbox(c, run, after))

    async def commands(self, *, after: int) -> tuple[int, list[InboxItem]]:
        """See `Journal.commands`."""
        return await self._readers.run(lambda c: reading.read_commands(c, after))

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Journal.watch`."""
        return self._watchers.add(callback)

    async def set(self, setting: Setting) -> None:
        """See `Journal.set`."""
        await self._submit(ops.SetOp(guard_names.to_recorded_name(setting)))

    async def settings(self) -> dict[tuple[SettingKind, str], Setting]:
        """See `Journal.settings`."""
        return await self._readers.run(self._settings.read)

    async def change(self, key: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """See `Journal.change`."""
        return await self._submit(ops.ChangeOp(shared.encode_key(key), change))

    async def shared(self, prefix: str) -> dict[str, bytes]:
        """See `Journal.shared`."""
        return await self._readers.run(lambda c: self._shared.read(c, prefix))

    async def reserve(
        self, tenant: str, day: str, need: Spend, caps: Sequence[Cap], run: str = ""
    ) -> OverCap | None:
        """See `Journal.reserve`."""
        accounts.check_tenant(tenant)
        accounts.check_day(day)
        accounts.check_need(need, tenant, caps)
        return await self._submit(ops.ReserveOp(tenant, day, need, caps, run))

    async def give_back(self, run: str, day: str | None = None, part: Spend | None = None) -> None:
        """See `Journal.give_back`."""
        if part is not None:
            accounts.check_need(part, "", ())
        await self._submit(ops.GiveBackOp(run, day, part))

    async def book(self, tenant: str, booked: Sequence[Booking]) -> None:
        """See `Journal.book`."""
        accounts.check_tenant(tenant)
        await self._submit(ops.BookOp(tenant, accounts.validate_bookings(booked)))

    async def accounts(self, *, tenant: str | None = None, day: str | None = None) -> list[Account]:
        """See `Journal.accounts`."""
        return await self._readers.run(
            lambda c: accounts.read_accounts(c, tenant, day, read_lost(c, self._make_alive_check(c)))
        )

    async def identity_key(self) -> bytes:
        """See `Journal.identity_key`."""
        key = (await self.shared(_IDENTITY_KEY)).get(_IDENTITY_KEY)
        if key is None:
            new = secrets.token_bytes(32)
            key = await self.change(_IDENTITY_KEY, lambda old: old or new)
        if key is None or len(key) != 32:
            raise JournalDamaged(f"journal {self._path}: the key of its identities is not what was written")
        return key

    async def claim(self, claim: EffectClaim, bodies: Mapping[Ref, bytes] | None = None) -> ClaimAnswer:
        """See `Journal.claim`."""
        accounts.check_tenant(claim.tenant)
        return await self._submit(effect_ops.ClaimOp(claim, self._pack(bodies or {})))

    async def settle(self, change: Settle, bodies: Mapping[Ref, bytes] | None = None) -> EffectRecord:
        """See `Journal.settle`."""
        return await self._submit(effect_ops.SettleOp(change, self._pack(bodies or {})))

    async def allow_again(self, effect: str, by: str) -> EffectRecord:
        """See `Journal.allow_again`."""
        return await self._submit(effect_ops.AllowAgainOp(effect, by))

    async def decide(self, ballot: Ballot, bodies: Mapping[Ref, bytes] | None = None) -> Proposal:
        """See `Journal.decide`."""
        return await self._submit(effect_ops.DecideOp(ballot, self._pack(bodies or {})))

    async def mark_proposal(self, proposal: str, change: Told, *, told: bool = True) -> Proposal:
        """See `Journal.mark_proposal`."""
        return await self._submit(effect_ops.MarkOp(proposal, change, told))

    async def proposal(self, proposal: str) -> Proposal:
        """See `Journal.proposal`."""
        return await self._readers.run(lambda c: effect_reading.find_proposal(c, proposal))

    async def proposals(self, wanted: ProposalFilter = OPEN_PROPOSALS, *, limit: int = 100) -> list[Proposal]:
        """See `Journal.proposals`."""
        now = self._clock.wall_s()
        return await self._readers.run(lambda c: effect_reading.list_proposals(c, wanted, limit, now))

    async def proposal_groups(self, wanted: ProposalFilter = OPEN_PROPOSALS) -> list[tuple[str, str]]:
        """See `Journal.proposal_groups`."""
        now = self._clock.wall_s()
        return await self._readers.run(lambda c: effect_reading.list_groups(c, wanted, now))

    async def due_proposals(self, now: float, *, told: bool = True, limit: int = 100) -> list[Proposal]:
        """See `Journal.due_proposals`."""
        return await self._readers.run(lambda c: effect_reading.list_due(c, now, told, limit))

    async def decisions(self, about: str = "", *, limit: int = 1_000) -> list[DecisionRecord]:
        """See `Journal.decisions`."""
        return await self._readers.run(lambda c: effect_reading.list_decisions(c, about, limit))

    async def effect(self, effect: str) -> EffectRecord:
        """See `Journal.effect`."""
        now = self._clock.wall_s()
        return await self._readers.run(lambda c: effect_reading.find_effect(c, effect, now))

    async def effects(self, wanted: EffectFilter = EVERY_EFFECT, *, limit: int = 100) -> list[EffectRecord]:
        """See `Journal.effects`."""
        now = self._clock.wall_s()
        return await self._readers.run(lambda c: effect_reading.list_effects(c, wanted, limit, now))

    async def put_principal(self, principal: PrincipalRecord, *, new: bool = False) -> None:
        """See `Journal.put_principal`."""
        await self._submit(effect_ops.PutPrincipalOp(principal, new))

    async def principals(self) -> list[PrincipalRecord]:
        """See `Journal.principals`."""
        return await self._readers.run(effect_reading.list_principals)

    async def add_fact(
        self, tenant: str, session: str, fact: Fact, bodies: Mapping[Ref, bytes] | None = None
    ) -> None:
        """See `Journal.add_fact`."""
        accounts.check_tenant(tenant)
        await self._submit(effect_ops.AddFactOp(tenant, session, fact, self._pack(bodies or {})))

    async def facts(self, tenant: str, session: str) -> list[Fact]:
        """See `Journal.facts`."""
        return await self._readers.run(lambda c: effect_reading.list_facts(c, tenant, session))

    async def woken_runs(self, teams: Sequence[str], *, limit: int = 100) -> list[str]:
        """See `Journal.woken_runs`."""
        return await self._readers.run(
            lambda c: effect_reading.list_woken(c, teams, limit, self._make_alive_check(c))
        )

    async def memory_version(self) -> int:
        """See `Journal.memory_version`."""
        return await self._readers.run(memory_reading.find_version)

    async def memory_entries(self, tenant: str, wanted: MemoryFilter) -> list[MemoryEntry]:
        """See `Journal.memory_entries`."""
        now = self._clock.wall_s()
        return await self._readers.run(lambda c: memory_reading.list_entries(c, tenant, wanted, now))

    async def memory_numbered(self, numbers: Sequence[int]) -> list[MemoryEntry]:
        """See `Journal.memory_numbered`."""
        return await self._readers.run(lambda c: memory_reading.list_numbered(c, numbers))

    async def memory_of_run(self, run: str) -> list[MemoryEntry]:
        """See `Journal.memory_of_run`."""
        return await self._readers.run(lambda c: memory_reading.list_of_run(c, run))

    async def memory_changed(
        self, numbers: Sequence[int], since: int, *, expired_after: float = math.inf
    ) -> list[tuple[MemoryEntry, MemoryEntry | None]]:
        """See `Journal.memory_changed`."""
        now = self._clock.wall_s()
        return await self._readers.run(
            lambda c: memory_reading.list_changed(c, numbers, since, expired_after, now)
        )

    async def memory_behind(self, runs: Sequence[str]) -> list[tuple[str, int]]:
        """See `Journal.memory_behind`."""
        return await self._readers.run(lambda c: memory_reading.list_behind(c, runs))

    async def memory_log(
        self, tenant: str, *, scope: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[MemoryVersion]:
        """See `Journal.memory_log`."""
        return await self._readers.run(lambda c: memory_reading.list_log(c, tenant, scope, before, limit))

    async def memory_scopes(self, tenant: str) -> list[tuple[str, int, int]]:
        """See `Journal.memory_scopes`."""
        return await self._readers.run(lambda c: memory_reading.list_scopes(c, tenant))

    async def memory_diff(
        self, tenant: str, scope: str, a: int, b: int
    ) -> list[tuple[MemoryEntry | None, MemoryEntry | None]]:
        """See `Journal.memory_diff`."""
        return await self._readers.run(lambda c: memory_reading.list_differences(c, tenant, scope, a, b))

    async def memory_since(self, tenant: str, scope: str, version: int) -> MemoryChanges:
        """See `Journal.memory_since`."""
        return await self._readers.run(lambda c: memory_reading.list_since(c, tenant, scope, version))

    async def memory_conflicts(
        self, tenant: str, *, state: str | None = "open", limit: int = 100
    ) -> list[MemoryConflict]:
        """See `Journal.memory_conflicts`."""
        return await self._readers.run(lambda c: memory_reading.list_conflicts(c, tenant, state, limit))

    async def resolve_conflict(self, number: int, *, ours: bool, by: str) -> MemoryConflict:
        """See `Journal.resolve_conflict`."""
        return await self._submit(memory_ops.ResolveConflictOp(number, ours, by))

    async def rollback_memory(
        self, tenant: str, scope: str, *, version: int | None = None, by: str = "", dry_run: bool = False
    ) -> MemoryVersion:
        """See `Journal.rollback_memory`."""
        return await self._submit(memory_ops.RollbackOp(tenant, scope, version, by, dry_run))

    async def plan_revert(
        self, run: str, step: int, seeds: Sequence[Lineage], *, exposed: bool = False
    ) -> MemoryPlan:
        """See `Journal.plan_revert`."""
        return await self._readers.run(
            lambda c: memory_reading.plan_revert(c, run, step, seeds, exposed=exposed)
        )

    async def apply_revert(self, plan: MemoryPlan, *, by: str) -> list[MemoryVersion]:
        """See `Journal.apply_revert`."""
        return await self._submit(memory_ops.ApplyRevertOp(plan, by))

    async def collect_memory(
        self,
        tenant: str | None = None,
        *,
        scope: str | None = None,
        before: float | None = None,
        dry_run: bool = False,
    ) -> Collected:
        """See `Journal.collect_memory`."""
        return await collect(self._access, tenant, scope, before, dry_run, self._clock.wall_s())

    async def export_subject(self, tenant: str, subject: str) -> list[MemoryEntry]:
        """See `Journal.export_subject`."""
        return await self._readers.run(lambda c: memory_reading.list_subject(c, tenant, subject))

    async def forget_subject(self, tenant: str, subject: str, *, dry_run: bool = False) -> Forgotten:
        """See `Journal.forget_subject`."""
        return await forget(self._access, tenant, subject, dry_run)

    async def import_memory(
        self,
        tenant: str,
        writes: Sequence[MemoryWrite],
        bodies: dict[Ref, bytes],
        *,
        by: str = "",
        quarantined: bool = True,
    ) -> list[MemoryVersion]:
        """See `Journal.import_memory`."""
        accounts.check_tenant(tenant)
        return await self._submit(
            memory_ops.ImportMemoryOp(tenant, writes, self._pack(bodies), by, quarantined)
        )

    async def accept_memory(
        self, tenant: str, numbers: Sequence[int], *, by: str = ""
    ) -> list[MemoryVersion]:
        """See `Journal.accept_memory`."""
        return await self._submit(memory_ops.AcceptMemoryOp(tenant, numbers, by))

    async def erase(self, tenant: str, refs: Sequence[Ref] | None = None) -> int:
        """See `Journal.erase`."""
        return await retention.erase(self._access, tenant, refs)

    async def prune(self, *, before: float, tenant: str | None = None, dry_run: bool = False) -> Pruned:
        """See `Journal.prune`."""
        return await retention.prune(self._access, before, tenant, dry_run)

    async def verify(
        self,
        *,
        progress: Callable[[int, int], None] | None = None,
        head: str | None = None,
        key: bytes | Path | None = None,
    ) -> Verification:
        """See `Journal.verify`."""
        signer = self._file.signer if key is None else Signer(read_key(key))
        return await verify(self._readers.run, self._file.mark, progress, head, signer)

    async def head(self) -> Head:
        """See `Journal.head`."""
        return await self._readers.run(lambda c: read_head(c, self._clock.wall_s()))

    async def backup(
        self, path: str, *, force: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> Backup:
        """See `Journal.backup`."""
        return await back_up(self._readers.run, self._real_path, path, self._clock, force, progress)

    async def close(self) -> None:
        """See `Journal.close`."""
        if self._closed or is_child_of(self._pid):
            return
        self._closed = True
        self._watchers.close()
        await self._readers.close()
        await self._writer.close()
        self._file.close()
