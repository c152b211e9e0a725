"""The operations of the writer: each plans its rows inside the writer's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from typing import Any, Protocol

import msgspec

from seawall.core.canonical import Ref, encode_text
from seawall.core.errors import Fenced, Misused, Refused, SeawallBug
from seawall.core.events import CommandTaken, Event, RunStarted, RunTaken
from seawall.journal.protocol import (
    NOTHING,
    Booking,
    Cap,
    Command,
    Lease,
    MemoryConflicts,
    MemoryMerge,
    OverCap,
    RecordChange,
    Setting,
    Spend,
    Summary,
)
from seawall.journal.sqlite.effect_changes import RecordDraft, has_records
from seawall.journal.sqlite.memory_merge import MergePlan
from seawall.journal.sqlite.records import Box
from seawall.journal.sqlite.shared import ChangeFunction
from seawall.journal.sqlite.stored_run import StoredRun
from seawall.journal.sqlite.transaction import Transaction

encode = msgspec.json.Encoder(enc_hook=encode_text).encode

Bodies = Sequence[tuple[bytes, bytes]]  # (SHA-256, content)
Why = Callable[[], BaseException]
"""Returns the error to raise: a new one each time, because several callers may wait for it."""


class Op(Protocol):
    """One operation as the writer sees it: the future of the caller that waits for it, its result or its error."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    size: int
    result: Any
    error: Why | None

    def get_runs(self) -> Sequence[str]:
        """Returns the runs whose state `plan` reads."""
        ...

    def get_request(self) -> tuple[str, str] | None:
        """Returns the (tenant, request_id) that `plan` looks up, or None."""
        ...

    def plan(self, tx: Transaction) -> None:
        """Adds rows to `tx`, or raises without having added any."""
        ...

    def block_followers(self, why: Why, tx: Transaction) -> None:
        """Makes the operations that depend on this one fail too, because this one failed."""
        ...


class QueuedOp:
    """The base of operations: it looks nothing up, and no other operation depends on it."""

    __slots__ = ("error", "future", "loop", "result", "size")
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    size: int
    result: Any
    error: Why | None

    def __init__(self) -> None:
        self.size = 0
        self.result = None
        self.error = None

    def get_runs(self) -> Sequence[str]:
        """See `Op.get_runs`."""
        return ()

    def get_request(self) -> tuple[str, str] | None:
        """See `Op.get_request`."""
        return None

    def block_followers(self, why: Why, tx: Transaction) -> None:
        """See `Op.block_followers`."""


def draft_records(
    tx: Transaction, run: str, tenant: str, records: Sequence[RecordChange], *, ends: bool
) -> RecordDraft | None:
    """Returns the changes of effects and proposals that come with an append; None if there are none. Raises if the
    rules do not allow them.
    """
    if not records and not has_records(tx.database, run):
        return None
    draft = RecordDraft(tx)
    draft.apply(run, tenant, records)
    if ends:
        draft.end_run(run)
    draft.prepare()
    return draft


class _Ends(Protocol):
    """An operation that ends a run, and merges what the run wrote to memory."""

    merge: MemoryMerge | None
    summary: Summary | None
    bodies: Bodies


def plan_merge(tx: Transaction, tenant: str, run: str, op: _Ends) -> MergePlan | None:
    """Returns the plan of the merge; None if nothing is merged. Raises `MemoryConflicts`."""
    if op.merge is None:
        return None
    if op.summary is None or op.summary.status != "completed":
        raise SeawallBug(f"run {run} merges its writes to memory, but is not completed")
    return MergePlan(tx, tenant, run, op.merge, op.bodies)


class AppendOp(QueuedOp):
    """Appends events to a run under a lease."""

    __slots__ = (
        *("bodies", "booked", "data", "first_seq", "history", "lease", "merge", "n", "records", "since"),
        *("summary", "taken", "waiting"),
    )

    def __init__(
        self,
        lease: Lease,
        first_seq: int,
        n: int,
        data: bytes,
        bodies: Bodies,
        waiting: bool | None,
        summary: Summary | None,
        booked: Sequence[Booking],
        records: Sequence[RecordChange],
        taken: int,
    ) -> None:
        """`taken` is the number of commands that the run has taken, these events included; 0 if these events take
        none.
        """
        self.error: Why | None = None
        self.result = None
        self.lease = lease
        self.first_seq = first_seq
        self.n = n
        self.data = data
        self.bodies = bodies
        self.waiting = waiting
        self.summary = summary
        self.booked = booked
        self.records = records
        self.taken = taken
        self.since: tuple[str, int] | None = None
        self.history: Ref | None = None
        self.merge: MemoryMerge | None = None
        size = len(data) + 128 + 512 * len(records)
        for _, body in bodies:
            size += len(body) + 64
        self.size = size

    def get_runs(self) -> Sequence[str]:
        """See `Op.get_runs`."""
        return (self.lease.run,) if self.since is None else (self.lease.run, self.since[0])

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        lease, run = self.lease, self.lease.run
        state = self._check_lease(tx)
        begins = (self.n and self.first_seq == 1) or (state.waiting and self.waiting is False)
        if begins and state.session is not None and self.summary is None:
            check_session(tx, state.tenant, state.session, run, self.since)
        if self.history is not None:
            check_history(tx, lease.tenant, state.session, self.history)
        merge = plan_merge(tx, lease.tenant, run, self)
        draft = None
        if self.records or self.summary is not None:
            draft = draft_records(tx, run, lease.tenant, self.records, ends=self.summary is not None)
        if self.booked:
            tx.reservations.book((tx.owner, run), state.tenant, self.booked)  # books all of it, or raises
        if self.taken > state.taken:
            state.taken = self.taken
        if self.n:
            tx.add_run_entry(state, Box.LOG, self.n, self.data)
        if self.bodies:
            tx.add_bodies(state.tenant, self.bodies)
        if self.waiting is not None:
            state.waiting = self.waiting
            state.owner = None if self.waiting else lease.owner
            tx.touch(state)
        if self.summary is not None:
            tx.end(state, self.summary)
        if draft is not None:
            draft.write()
        if merge is not None:
            merge.write(tx.find_principal(run))

    def _check_lease(self, tx: Transaction) -> StoredRun:
        """Returns the run's state. Raises if these events are not the next ones, or this lease may not append them."""
        lease = self.lease
        run = lease.run
        state = tx.get_run(run)
        if lease.epoch != state.epoch:
            raise Fenced(
                f"run {run}: this lease has epoch {lease.epoch}, but {state.owner or 'another owner'} "
                f"took the run under epoch {state.epoch}"
            )
        if run in tx.blocked:
            epoch, why = tx.blocked[run]
            if epoch == lease.epoch:
                raise why()
        if self.first_seq != state.next_seq:
            raise SeawallBug(
                f"run {run}: append at seq {self.first_seq}, but the next one is {state.next_seq}"
            )
        if self.summary is not None and state.ended:
            raise SeawallBug(f"run {run} has ended already, and is ended again")
        return state

    def block_followers(self, why: Why, tx: Transaction) -> None:
        """Makes later appends under this lease fail, because they would leave a gap."""
        error = why()
        if isinstance(error, Refused) and self.first_seq == 1:  # the run has not begun, and will try again
            return
        if isinstance(error, MemoryConflicts):  # the run ends with another append
            return
        state = tx.find(self.lease.run)
        if not isinstance(error, Fenced) or (state is not None and state.epoch == self.lease.epoch):
            # A lease with an old epoch is rejected anyway.
            tx.block(self.lease, why)


class CreateOp(QueuedOp):
    """Creates a run."""

    __slots__ = (
        *("after", "bodies", "booked", "data", "history", "merge", "n", "records", "since", "started"),
        *("summary", "take", "waiting"),
    )

    def __init__(self, started: RunStarted, n: int, data: bytes, bodies: Bodies) -> None:
        super().__init__()
        self.started = started
        self.n = n
        self.data = data
        self.bodies = bodies
        self.take = True
        self.after: str | None = None
        self.waiting = False
        self.summary: Summary | None = None
        self.booked: Sequence[Booking] = ()
        self.records: Sequence[RecordChange] = ()
        self.since: tuple[str, int] | None = None
        self.history: Ref | None = None
        self.merge: MemoryMerge | None = None
        self.size = len(data) + 512 + sum(len(body) + 64 for _, body in bodies)

    def get_runs(self) -> Sequence[str]:
        """See `Op.get_runs`."""
        started = self.started
        others = () if self.since is None else (self.since[0],)
        return (started.run, *others) if started.fork is None else (started.run, *others, started.fork.run)

    def get_request(self) -> tuple[str, str] | None:
        """See `Op.get_request`."""
        started = self.started
        return None if started.request_id is None else (started.tenant, started.request_id)

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        started = self.started
        request = self.get_request()
        known = tx.requests.get(request) if request is not None else None
        if known is not None:
            self.result = Lease(known, started.tenant, "", 0)
            return
        if tx.find(started.run) is not None:
            raise Misused(f"run {started.run} is in the journal already; a new run needs a new id")
        self._check_kept(tx)
        self._check_newest(tx)
        merge = plan_merge(tx, started.tenant, started.run, self)
        draft = None
        if self.records or self.summary is not None:
            ends = self.summary is not None
            draft = draft_records(tx, started.run, started.tenant, self.records, ends=ends)
        if self.booked:
            holder = tx.owner, started.run
            tx.reservations.book(holder, tx.ensure_tenant_id(started.tenant), self.booked)
        state = tx.add_run(started, tx.owner if self.take else None)
        tx.add_run_entry(state, Box.LOG, self.n, self.data)
        tx.add_bodies(state.tenant, self.bodies)
        if request is not None:
            tx.requests[request] = started.run
        if self.waiting:
            state.waiting, state.owner = True, None
            tx.touch(state)
        if self.summary is not None:
            tx.end(state, self.summary)
        if draft is not None:
            draft.write()
        if merge is not None:
            merge.write(started.principal)
        self.result = Lease(started.run, started.tenant, tx.owner if self.take else "", state.epoch)

    def _check_kept(self, tx: Transaction) -> None:
        """Raises an error if the texts of earlier runs that this one goes on from were pruned since they were read."""
        started = self.started
        if started.fork is not None:
            origin = tx.find(started.fork.run)
            if origin is not None and origin.pruned:
                raise Misused(f"run {origin.run}: its events were pruned, only its summary is left")
        elif self.history is not None:
            check_history(tx, started.tenant, started.session, self.history)

    def _check_newest(self, tx: Transaction) -> None:
        """Raises `Refused` if the session's newest run is not `after`, or another of its runs is at work."""
        started = self.started
        if self.after is None or started.session is None:
            return
        newest = tx.find_session_tail(started.tenant, started.session)
        if newest != self.after:
            raise Refused(
                f"session {started.session!r}: its newest run is {newest or 'none'}, not {self.after or 'none'}",
                guard="session",
                limit=self.after,
                value=newest,
            )
        if self.n > 1 and newest:
            tenant = tx.ensure_tenant_id(started.tenant)
            check_session(tx, tenant, started.session, started.run, self.since)


def count_taken(events: Sequence[Event]) -> int:
    """Returns how many commands a run has taken, by the newest command among these events; 0 if there is none."""
    taken = 0
    for event in events:
        if type(event) is CommandTaken:
            taken = max(taken, event.inbox + 1)
    return taken


class TakeOp(QueuedOp):
    """Makes this process the owner of a run, under the next epoch."""

    __slots__ = ("force", "name")

    def __init__(self, run: str, force: bool) -> None:
        super().__init__()
        self.name = run
        self.force = force

    def get_runs(self) -> Sequence[str]:
        """See `Op.get_runs`."""
        return (self.name,)

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        state = tx.get_run(self.name)
        if state.ended:
            raise Misused(f"run {self.name} has ended; it can't be taken")
        # This process may take its own run again after a failed append, because no driver works on it any more.
        broken = self.name in tx.blocked and tx.blocked[self.name][0] == state.epoch
        if state.owner is not None and not self.force and not (broken and state.owner == tx.owner):
            self._refuse_if_alive(tx, state, state.owner)
        if state.session is not None and state.next_seq > 1:
            check_session(tx, state.tenant, state.session, state.run)
        former = state.owner
        tx.take(state)
        if former is not None:
            tx.give_back_lost(self.name)
        self.result = Lease(self.name, tx.find_tenant_name(state.tenant), tx.owner, state.epoch)

    def _refuse_if_alive(self, tx: Transaction, state: StoredRun, owner: str) -> None:
        left_s, lease_state = tx.judge(owner)
        if left_s is None:
            return
        pid = owner.split(":")[1] if owner.count(":") >= 2 else "?"
        lease = (
            "lease runs"
            if lease_state != "doubted"
            else "clock may differ from this one's: its lease may run"
        )
        raise Refused(
            f"run {self.name} is owned by process {pid} ({owner}, epoch {state.epoch}), "
            f"whose {lease} {left_s:.1f} s more",
            guard="lease",
            limit=state.epoch,
            value=owner,
            retry_after_s=left_s,
        )


def check_session(
    tx: Transaction, tenant: int, session: str, run: str, since: tuple[str, int] | None = None
) -> None:
    """Raises `Refused` if `run` may not be at work now, because another run of its session is, or the run in `since`
    has gone on.
    """
    if since is not None and tx.get_run(since[0]).next_seq != since[1]:
        raise Refused(f"session {session!r}: its run {since[0]} has gone on", guard="session", value=since[0])
    other = tx.find_at_work(tenant, session, run)
    if other is not None:
        raise Refused(
            f"session {session!r}: its run {other} is at work, so run {run} waits",
            guard="session",
            value=other,
        )


def find_history(events: Sequence[Event], bodies: Container[Ref]) -> Ref | None:
    """Returns the conversation that a run's first events go on from; None if there is none, or if it is in `bodies`, which
    are recorded with them.
    """
    first = events[0] if events else None
    history = first.history if type(first) is RunTaken else None
    return None if history is None or history in bodies else history


def check_history(tx: Transaction, tenant: str, session: str | None, history: Ref) -> None:
    """Raises `Refused` if a conversation was pruned since it was read."""
    if not tx.has_body(tenant, bytes.fromhex(history)):
        raise Refused(f"session {session!r}: what was said in it before was pruned just now", guard="session")


class ReleaseOp(QueuedOp):
    """Releases a run."""

    __slots__ = ("lease",)

    def __init__(self, lease: Lease) -> None:
        super().__init__()
        self.lease = lease

    def get_runs(self) -> Sequence[str]:
        """See `Op.get_runs`."""
        return (self.lease.run,)

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        state = tx.find(self.lease.run)
        if state is not None and state.epoch == self.lease.epoch and state.owner == self.lease.owner:
            state.owner = None
            tx.touch(state)

    def block_followers(self, why: Why, tx: Transaction) -> None:
        """Lets this process take the run again: it is still the owner, and nothing drives the run."""
        tx.block(self.lease, why)


def _encode_readable(record: Command | Setting) -> bytes:
    """Returns a record that a program has made as it is written. Raises `Misused` if nobody could read it again: each
    process reads every setting, and would take the journal for damaged.
    """
    try:
        data = encode([record])
        msgspec.json.decode(data, type=list[type(record)])
    except (TypeError, ValueError) as error:
        raise Misused(f"{type(record).__name__} can't be recorded: {error}") from None
    return data


class SendOp(QueuedOp):
    """Puts a command into a run's inbox."""

    __slots__ = ("bodies", "command", "data", "name")

    def __init__(self, run: str, command: Command, bodies: Bodies = ()) -> None:
        super().__init__()
        self.name = run
        self.command = command
        self.data = _encode_readable(command)
        self.bodies = bodies

    def get_runs(self) -> Sequence[str]:
        """See `Op.get_runs`."""
        return (self.name,)

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        state = tx.get_run(self.name)
        if state.ended:
            raise Misused(f"run {self.name} has ended; it accepts no {self.command.kind!r} command")
        self.result = state.next_inbox
        tx.add_bodies(state.tenant, self.bodies)
        tx.add_run_entry(state, Box.INBOX, 1, self.data)


class SetOp(QueuedOp):
    """Records a live setting."""

    __slots__ = ("data",)

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.data = _encode_readable(setting)

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        tx.add_own_entry(Box.SETTINGS, self.data)


class ChangeOp(QueuedOp):
    """Changes a shared record."""

    __slots__ = ("change", "key")

    def __init__(self, key: bytes, change: ChangeFunction) -> None:
        super().__init__()
        self.key = key
        self.change = change

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`. An error of the caller's function fails this operation only."""
        try:
            self.result = tx.shared.change(self.key, self._apply_change)
        except _CallerError as raised:
            error = raised.error
            self.error: Why | None = lambda: error

    def _apply_change(self, old: bytes | None) -> bytes | None:
        try:
            return self.change(old)
        except Exception as error:
            if isinstance(error, StopIteration):  # a future can't hold a StopIteration
                error = RuntimeError(f"a change raised {error!r}")
            raise _CallerError(error) from error
        except BaseException as error:  # a caller's function must not end the writing thread
            raise _CallerError(RuntimeError(f"a change raised {error!r}")) from error


class _CallerError(Exception):
    """A caller's function raised `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class BookOp(QueuedOp):
    """Adds bookings that belong to no run."""

    __slots__ = ("booked", "tenant")

    def __init__(self, tenant: str, booked: Sequence[Booking]) -> None:
        super().__init__()
        self.tenant = tenant
        self.booked = booked

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        if self.booked:
            tx.accounts.book(tx.ensure_tenant_id(self.tenant), self.booked)


class ReserveOp(QueuedOp):
    """Reserves an amount, if it fits under the caps."""

    __slots__ = ("caps", "day", "need", "run", "tenant")

    def __init__(self, tenant: str, day: str, need: Spend, caps: Sequence[Cap], run: str) -> None:
        super().__init__()
        self.tenant = tenant
        self.day = day
        self.need = need
        self.caps = caps
        self.run = run

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        self.result = self._find_exceeded_cap(tx)
        if self.result is not None and self.result.waits and tx.give_back_lost():
            self.result = self._find_exceeded_cap(tx)
        if self.result is not None or self.need == NOTHING:
            return
        tenant = tx.ensure_tenant_id(self.tenant)
        if self.run:
            tx.reservations.reserve((tx.owner, self.run), tenant, self.day, self.need)
            tx.enrol()
        else:
            tx.accounts.book(tenant, [Booking(day=self.day, reserved=self.need)])

    def _find_exceeded_cap(self, tx: Transaction) -> OverCap | None:
        tenant = tx.find_tenant_id(self.tenant)
        return tx.accounts.find_exceeded_cap(tenant, self.day, self.need, self.caps)


class GiveBackOp(QueuedOp):
    """Gives back what this process has reserved for a run."""

    __slots__ = ("day", "part", "run")

    def __init__(self, run: str, day: str | None, part: Spend | None) -> None:
        super().__init__()
        self.run = run
        self.day = day
        self.part = part

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        tx.reservations.give_back((tx.owner, self.run), self.day, self.part)


class WorkOp(QueuedOp):
    """Runs rare work of several statements (prune, erase); with `alone`, outside a transaction."""

    __slots__ = ("alone", "work")

    def __init__(self, work: Callable[[Any], Any], *, alone: bool = False) -> None:
        super().__init__()
        self.work = work
        self.alone = alone

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        self.result = self.work(tx)
