"""Runs: their events and bodies, the rows that list them, and the leases of the processes that own them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from seawall.core.canonical import Ref
from seawall.core.errors import Misused
from seawall.core.events import Event, RunStarted, Status
from seawall.journal.protocol.accounts import Booking
from seawall.journal.protocol.effects import RecordChange
from seawall.journal.protocol.memory import MemoryMerge

LeaseState = Literal["none", "held", "runs", "doubted"]


class Lease(msgspec.Struct, frozen=True):
    """The right to append to one run. It ends when another owner takes the run under a higher epoch."""

    run: str
    tenant: str
    owner: str
    epoch: int


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row that summarises a finished run; it can be computed again from the run's events."""

    status: Status
    stopped_by: str | None = None
    usd: str = "0"
    tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    active_s: float = 0.0


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run as `seawall runs` lists it."""

    run: str
    tenant: str
    session: str | None
    team: str
    app: str | None
    state: Literal["running", "interrupted", "waiting", "ended", "queued"]
    """`interrupted`: it has not ended, is not waiting, and no live process owns it."""
    started_at: float
    ended_at: float | None
    owner: str | None
    epoch: int
    summary: Summary | None
    events: int
    lease: LeaseState = "none"
    """`held`: the owner was seen to be alive. `runs`: the owner was not seen, but its lease has not run out. `doubted`:
    this process can't know whether the lease has run out, because the owner uses another machine's clock. `none`: the
    run has no owner, or the lease has run out."""
    lease_left_s: float | None = None
    """Seconds after which the run may be taken from its owner, if the owner sends no heartbeat until then; None with
    the lease `none`."""


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are listed: those that fit every field that is not None. Raises `Misused` for a time that is not a number."""

    status: str | None = None
    """The status with which the runs ended."""
    state: str | None = None
    session: str | None = None
    tenant: str | None = None
    """The tenant; "" for runs without one."""
    team: str | None = None
    principal: str | None = None
    """The principal of the request; "" for runs without one. A run whose events were pruned fits no principal."""
    since: float | None = None
    """Wall seconds: runs that started at this time or later."""
    until: float | None = None
    """Wall seconds: runs that started before this time."""
    text: str | None = None
    """A part of the request as it is recorded, which is without secrets. Upper and lower case are the same. A run whose
    request was erased or pruned fits no text."""

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            value: object = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise Misused(
                    f"RunFilter: {name} is {value!r}; it must be seconds since 1970, as time.time() returns"
                )


EVERY_RUN = RunFilter()


class RunStore(Protocol):
    """Runs, their events and bodies, and their leases."""

    @property
    def owner(self) -> str:
        """The name of this process in leases: `host:pid:start`."""
        ...

    @property
    def assured_s(self) -> float:
        """Seconds for which a run stays with its owner, counted from the call of an append that succeeded. The time
        runs on while the machine is suspended. Only `take` with `force` may end it earlier.
        """
        ...

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
        """Makes a run durable, with `started` as seq 0 and `events` after it.

        It first waits until the queue has room (back-pressure). If `(tenant, request_id)` is known already, nothing is
        written and the lease names the existing run with epoch 0. With `take=False` no process owns the run yet.
        `after` names the run that must be the newest of the session ("": the session must have none), so that two
        processes can't both continue from it. `waiting`, `summary`, `booked` and `records` are as in `append`, for a
        run that parks or ends at its very first step. `since` and `merge` are as in `append`. Raises
        `Refused(guard="session")` if another run is the newest, or was told one of the facts, or if, with `after`,
        another run of the session is at work: it has begun, is not waiting, and its owner is alive; or if the
        conversation that the events go on from was pruned. Raises `Misused` for a tenant `*`, and for a fork of a run
        that was pruned, `JournalFull`, `JournalFailed`.
        """
        ...

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
        """Enqueues events at `first_seq` at once; the caller awaits the result until they are durable.

        Enqueued events are written even if the task that awaits them is cancelled: the cancellation reaches that task
        once the write is done.

        `waiting` sets or clears the run's waiting state: any process may take a run that waits, until the same owner
        goes on with it. `summary` marks the run as ended and frees the lease. `booked` is added to the accounts of the
        run's tenant in the same commit: both are recorded, or neither. The same is true of `records`, the changes of
        effects and proposals that belong to these events. A run that ends gives up what it has claimed and not
        attempted, and its open proposals are void. `since` names the waiting run of the same session whose conversation
        this run continues, and its number of events: nothing is recorded if that run has gone on since. `merge` is what
        the run writes to memory, in the same commit as its end. The awaitable raises `Fenced` (the lease has an old
        epoch, or an effect is begun that the run has not claimed), `JournalFull`, `JournalFailed`, and
        `Refused(guard="session")` for a run that begins or stops waiting while another run of its session is at work, or
        whose conversation was pruned, and `MemoryConflicts` for a merge that finds conflicts which it does not name: append again, with those named or
        solved. Then neither these events are recorded nor any that were enqueued for that run after them.
        """
        ...

    async def wait_for_room(self) -> None:
        """Returns once the queue of writes is below its bound."""
        ...

    async def take(self, run: str, *, force: bool = False) -> Lease:
        """Makes this process the owner of a run that no live process owns, under the next epoch.

        Raises `Misused` for an unknown run, and `Refused(guard="lease")` naming the owner if it is alive.
        `force` takes the run from a live owner, which is then fenced off. Raises `Refused(guard="session")` for a run
        that has begun while another run of its session is at work.
        """
        ...

    async def reopen(
        self, run: str, first_seq: int, events: Sequence[Event], bodies: Mapping[Ref, bytes]
    ) -> None:
        """Reopens a run that has ended: appends `events` at `first_seq`, among them `LimitsRaised`. Like a run whose
        process died, it has no owner until a process takes it. Raises `Misused` for a run that has not ended, has
        events beyond `first_seq`, or was pruned, and `Refused(guard="session")` if it is not the newest of its
        session.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Releases the run, because it is parked or handed over. An outdated lease is ignored."""
        ...

    async def events(self, run: str, *, after: int = -1) -> list[Event]:
        """Returns the run's events with seq > `after`, in order. Raises `Misused` for an unknown run."""
        ...

    async def bodies(self, tenant: str, refs: Sequence[Ref], *, or_erased: bool = False) -> dict[Ref, bytes]:
        """Returns the bodies that are stored; a missing body was erased. Raises `JournalDamaged` for a body that does
        not have its hash. With `or_erased` it also raises for a body that was never stored, or is lost: pass it where
        all bodies were recorded and nothing was pruned.
        """
        ...

    async def find(self, prefix: str) -> str:
        """Returns the id of the one run whose id starts or ends with `prefix`, or of the newest for `last`.

        Raises `Misused` naming the candidates.
        """
        ...

    async def row(self, run: str) -> RunRow:
        """Returns one run's row. Raises `Misused` for an unknown run."""
        ...

    async def runs(self, wanted: RunFilter = EVERY_RUN, *, limit: int = 100) -> list[RunRow]:
        """Returns the rows of the runs that fit, newest first. Raises `Misused` for a state that does not exist.

        With an index, it reads about as many rows as it returns. With `text`, it reads the requests of the runs that
        fit all other fields, newest first, until `limit` of them fit.
        """
        ...

    async def older_waits(self, *, limit: int = 100) -> list[RunRow]:
        """Returns the waiting runs that began before the journal had proposals, oldest first. Their approval steps may
        have no proposal: a decision on them names the run and the step.
        """
        ...

    async def run_of_request(self, tenant: str, request_id: str) -> str | None:
        """Returns the run that answers this request, or None if the request is not known yet."""
        ...

    async def session_tail(self, tenant: str, session: str, *, before: str | None = None) -> RunRow | None:
        """Returns the session's newest run, or the newest of those that started before run `before`."""
        ...
