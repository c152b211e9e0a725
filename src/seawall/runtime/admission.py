"""Admission: how many runs a process drives at once, how many wait for a slot, and which run is next."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from seawall.core.clock import Clock
from seawall.core.errors import Broken, Misused, Refused

GUARD = "admission"
"""The guard that a refusal of admission names."""
COMPLETIONS_KEPT = 64
"""How many completions the rate is computed from. One unusual run among them changes little, and the rate still
follows a change soon."""
MAX_RETRY_AFTER_S = 3600.0
"""The longest time, in seconds, after which a caller is asked to try again. If the rate is lower, an estimate means
only `later`."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """How many runs one process takes: runs that it drives, and runs that wait for a slot.

    A run beyond these bounds is refused before anything is recorded, with a time after which to try again. Each process
    on a journal has its own bounds.
    """

    in_flight: int = 256
    """Runs that are driven at once. Throughput is level from 32 to 256 runs (20,000 and 32,000 steps/s of the bare
    journal on two cores), so with more of them each run would only be slower. A run that waits for a person is not
    driven. A run whose tool waits for another run of the same process is driven: it keeps its slot meanwhile."""
    waiting: int = 1024
    """Runs that wait for a slot, or for the run before them in their session. Four for each run that is driven: the
    last one in line waits as long as four runs take, which is about as long as a caller waits. 0: no run waits."""
    per_tenant: int | None = None
    """Runs of one tenant that are driven at once. None: as many as there are slots, because a slot that no other
    tenant needs is better used. A run of another tenant still has its turn as soon as a slot is free."""
    waiting_per_tenant: int | None = None
    """Runs of one tenant that wait. None: as large a share of `waiting` as `per_tenant` is of `in_flight`, so all of
    it without `per_tenant`. Where tenants do not trust each other, set one of the two: while one tenant's runs fill
    the whole line, the runs of the others are refused."""
    retry_after_s: float = 5.0
    """Seconds after which a refused caller is asked to try again while no rate is known: no run has freed a slot yet
    while all slots were taken. About the time of a short run; from then on the rate is measured."""

    def __post_init__(self) -> None:
        """Raises `Misused` for a bound that admits no run."""
        for name, least in (("in_flight", 1), ("waiting", 0), ("per_tenant", 1), ("waiting_per_tenant", 0)):
            value = getattr(self, name)
            optional = value is None and name.endswith("per_tenant")
            if not optional and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise Misused(f"Admission: {name} is {value!r}; it must be a whole number from {least}")
        if self.per_tenant is not None and self.per_tenant > self.in_flight:
            raise Misused(
                f"Admission: per_tenant is {self.per_tenant}, and in_flight only {self.in_flight}: "
                "one tenant can't have more slots than there are"
            )
        if isinstance(cast("object", self.retry_after_s), bool) or not isinstance(
            cast("object", self.retry_after_s), int | float
        ):
            raise Misused(
                f"Admission: retry_after_s is {self.retry_after_s!r}; it must be a number of seconds"
            )
        if not (math.isfinite(self.retry_after_s) and self.retry_after_s > 0):
            raise Misused(f"Admission: retry_after_s is {self.retry_after_s!r}; it must be above zero")

    @property
    def line_share(self) -> int:
        """The number of one tenant's runs that may wait."""
        if self.waiting_per_tenant is not None:
            return self.waiting_per_tenant
        if self.per_tenant is None:
            return self.waiting
        return min(self.waiting, math.ceil(self.waiting * self.per_tenant / self.in_flight))


class _Ticket:
    """The standing of one run: it has a slot, waits in line for one, or waits for another run of its session."""

    __slots__ = ("ready", "run", "tenant", "waits")

    def __init__(self, run: str, tenant: str) -> None:
        self.run = run
        self.tenant = tenant
        self.waits = False
        """True if the run counts as waiting, because it is new and has no slot."""
        self.ready: asyncio.Future[None] | None = None
        """For a run in line, a future that is done once the run has a slot."""

    @property
    def has_slot(self) -> bool:
        return self.ready is None and not self.waits


class _TenantQueues:
    """A queue for each tenant: first in, first out within a tenant, and the tenants take turns."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, OrderedDict[str, _Ticket]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._queues)

    def __iter__(self) -> Iterator[str]:
        return iter(self._queues)

    def add(self, ticket: _Ticket) -> None:
        self._queues.setdefault(ticket.tenant, OrderedDict())[ticket.run] = ticket

    def remove(self, ticket: _Ticket) -> None:
        queue = self._queues.get(ticket.tenant)
        if queue is not None and queue.pop(ticket.run, None) is not None and not queue:
            del self._queues[ticket.tenant]

    def pop_next(self, has_room: Callable[[str], bool]) -> _Ticket | None:
        """Removes and returns the next ticket of a tenant that has room.

        At most `in_flight / per_tenant` tenants can be without room, so this looks at few more than that.
        """
        tenant = next(filter(has_room, self._queues), None)
        if tenant is None:
            return None
        queue = self._queues[tenant]
        _, ticket = queue.popitem(last=False)
        if queue:
            self._queues.move_to_end(tenant)
        else:
            del self._queues[tenant]
        return ticket


class CompletionRate:
    """The rate at which runs free slots while all slots are taken. Only that time is measured."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full_s = 0.0
        self._full_since: float | None = None
        self._base_s = 0.0
        self._stamps: deque[float] = deque(maxlen=COMPLETIONS_KEPT)

    def _compute_full_s(self) -> float:
        since = self._full_since
        return self._full_s + (0.0 if since is None else self._clock.monotonic_s() - since)

    def set_full(self, full: bool) -> None:
        """Records whether all slots are taken from now on."""
        if full and self._full_since is None:
            self._full_since = self._clock.monotonic_s()
        elif not full and self._full_since is not None:
            self._full_s, self._full_since = self._compute_full_s(), None

    def count_completion(self) -> None:
        """Counts a run that frees a slot, if all slots were taken."""
        if self._full_since is None:
            return
        if len(self._stamps) == COMPLETIONS_KEPT:
            self._base_s = self._stamps[0]
        self._stamps.append(self._compute_full_s())

    def estimate_wait_s(self, runs: int) -> float | None:
        """Returns the seconds until `runs` runs have freed a slot; None if no rate was measured yet."""
        took_s = self._compute_full_s() - self._base_s
        return runs * took_s / len(self._stamps) if self._stamps and took_s > 0 else None


class AdmissionQueue:
    """The slots of one process, and the runs that have one, wait for one or are refused one.

    A new run calls `enter`. A run that waited for a person, or that is resumed after a crash, calls `reenter` and
    goes before the new ones: a run that has begun is not refused. A run that has ended, or that never began, must
    `leave`.
    """

    def __init__(self, options: Admission, clock: Clock) -> None:
        self.options = options
        self._tickets: dict[str, _Ticket] = {}
        self._in_flight = 0
        self._in_flight_by_tenant: dict[str, int] = {}
        self._waiting = 0
        self._waiting_by_tenant: dict[str, int] = {}
        self._reentering = _TenantQueues()
        self._entering = _TenantQueues()
        self._rate = CompletionRate(clock)
        self._closed = False

    def __repr__(self) -> str:
        options = self.options
        driven = f"{self._in_flight}/{options.in_flight} in flight"
        return f"<AdmissionQueue {driven}, {self._waiting}/{options.waiting} waiting>"

    @property
    def runs(self) -> list[str]:
        """The runs that have a slot or wait."""
        return list(self._tickets)

    @property
    def tenants(self) -> set[str]:
        """The tenants of these runs. A tenant without a run here takes no memory."""
        return {
            *self._in_flight_by_tenant,
            *self._waiting_by_tenant,
            *self._reentering,
            *self._entering,
        }

    # ---- entering and leaving

    def enter(self, run: str, tenant: str) -> None:
        """Gives a new run a slot or, if none is free, a position in line. Raises `Refused` if the line is full."""
        if self._has_room(tenant):
            self._occupy_slot(self._make_ticket(run, tenant))
            return
        self._check_line(tenant)
        ticket = self._make_ticket(run, tenant)
        self._count_waiting(ticket, 1)
        self._line_up(ticket, self._entering)

    def wait_for_session(self, run: str, *, recorded: bool = False) -> None:
        """Lets a run wait for the one before it in its session. Other runs get its slot, or its turn in line.

        Raises `Refused` if the line is full, unless the run is `recorded` already.
        """
        ticket = self._tickets[run]
        if ticket.waits:
            self._entering.remove(ticket)
            ticket.ready = None
            self._update()
            return
        if not recorded:
            self._check_line(ticket.tenant)
        self._free_slot(ticket)
        self._count_waiting(ticket, 1)
        self._grant()

    def line_up(self, run: str) -> None:
        """Puts a run in line once the run before it in its session has ended, behind the runs that wait there."""
        ticket = self._tickets[run]
        if ticket.waits and ticket.ready is None:
            self._line_up(ticket, self._entering)
            self._grant()

    def reenter(self, run: str, tenant: str) -> None:
        """Gives a run that has begun a slot, or lets it be the next one to get one."""
        if run in self._tickets:
            return
        ticket = self._make_ticket(run, tenant)
        if self._has_room(tenant):
            self._occupy_slot(ticket)
        else:
            self._line_up(ticket, self._reentering)

    def leave(self, run: str) -> None:
        """Frees the run's slot or its position in line, if it has one."""
        ticket = self._tickets.pop(run, None)
        if ticket is None:
            return
        if ticket.has_slot:
            self._rate.count_completion()
            self._free_slot(ticket)
        elif ticket.waits:
            self._entering.remove(ticket)
            self._count_waiting(ticket, -1)
        else:
            self._reentering.remove(ticket)
        self._grant()

    def close(self) -> None:
        """Gives no more slots. The runs in line get `Broken`."""
        self._closed = True
        for ticket in self._tickets.values():
            if ticket.ready is not None and not ticket.ready.done():
                text = f"run {ticket.run} waited for a slot, and this Seawall was closed; resume it"
                ticket.ready.set_exception(Broken(text))
                ticket.ready.exception()  # marks the error as seen, because no task may await this future

    # ---- reading

    def has_slot(self, run: str) -> bool:
        """Returns whether the run has a slot."""
        ticket = self._tickets.get(run)
        return ticket is not None and ticket.has_slot

    def is_full_for(self, tenant: str) -> bool:
        """Returns whether a run of this tenant would have to wait for a slot."""
        return not self._has_room(tenant)

    def get_turn(self, run: str) -> asyncio.Future[None] | None:
        """Returns, for a run in line, a future that is done once it has a slot; it fails with `Broken` on `close`."""
        ticket = self._tickets.get(run)
        return None if ticket is None else ticket.ready

    # ---- inside

    def _has_room(self, tenant: str) -> bool:
        limit = self.options.per_tenant
        return self._in_flight < self.options.in_flight and (
            limit is None or self._in_flight_by_tenant.get(tenant, 0) < limit
        )

    def _make_ticket(self, run: str, tenant: str) -> _Ticket:
        ticket = self._tickets[run] = _Ticket(run, tenant)
        return ticket

    def _occupy_slot(self, ticket: _Ticket) -> None:
        self._in_flight += 1
        self._in_flight_by_tenant[ticket.tenant] = self._in_flight_by_tenant.get(ticket.tenant, 0) + 1
        self._update()

    def _free_slot(self, ticket: _Ticket) -> None:
        self._in_flight -= 1
        remaining = self._in_flight_by_tenant[ticket.tenant] - 1
        if remaining:
            self._in_flight_by_tenant[ticket.tenant] = remaining
        else:  # tenants come and go: these dicts must not grow with every tenant ever seen
            del self._in_flight_by_tenant[ticket.tenant]

    def _count_waiting(self, ticket: _Ticket, change: int) -> None:
        ticket.waits = change > 0
        self._waiting += change
        remaining = self._waiting_by_tenant.get(ticket.tenant, 0) + change
        if remaining:
            self._waiting_by_tenant[ticket.tenant] = remaining
        else:
            del self._waiting_by_tenant[ticket.tenant]

    def _line_up(self, ticket: _Ticket, queues: _TenantQueues) -> None:
        ticket.ready = asyncio.get_running_loop().create_future()
        queues.add(ticket)
        self._update()

    def _grant(self) -> None:
        """Gives every free slot to the next run in line whose tenant has room."""
        while not self._closed and self._in_flight < self.options.in_flight:
            ticket = self._reentering.pop_next(self._has_room) or self._entering.pop_next(self._has_room)
            if ticket is None:
                break
            ready, ticket.ready = ticket.ready, None
            if ticket.waits:
                self._count_waiting(ticket, -1)
            self._occupy_slot(ticket)
            if ready is not None and not ready.done():
                ready.set_result(None)
        self._update()

    def _update(self) -> None:
        lined_up = len(self._reentering) or len(self._entering)
        self._rate.set_full(bool(lined_up) or self._in_flight >= self.options.in_flight)

    def _check_line(self, tenant: str) -> None:
        """Raises `Refused` if no other run of this tenant may wait."""
        options, mine = self.options, self._waiting_by_tenant.get(tenant, 0)
        if self._waiting >= options.waiting:
            name, limit, value, ahead = "waiting", options.waiting, self._waiting, self._waiting
            whose = ""
        elif mine >= options.line_share:
            name, limit, value = "waiting_per_tenant", options.line_share, mine
            ahead = min(self._waiting, mine * max(1, len(self._waiting_by_tenant)))  # the tenants take turns
            whose = f" of tenant {tenant!r}"
        else:
            return
        after_s = self._rate.estimate_wait_s(max(1, ahead))
        after_s = options.retry_after_s if after_s is None else min(after_s, MAX_RETRY_AFTER_S)
        raise Refused(
            f"{self._in_flight} runs are in flight (limit {options.in_flight}), and {value} more{whose} wait "
            f"(limit {limit}): try again in {after_s:.1f} s",
            guard=GUARD,
            limit=f"{name}={limit}",
            value=value + 1,
            retry_after_s=after_s,
        )
