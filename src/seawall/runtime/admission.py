"""Admission: how many runs a process drives at once, how many wait for it, and who is next."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from seawall.core.clock import Clock
from seawall.core.errors import Broken, Misused, Refused

GUARD = "admission"
"""How a refusal at the door names its guard."""
COMPLETIONS_KEPT = 64
"""Of which the rate is computed: enough that one odd run weighs little, few enough to follow a change."""
MAX_RETRY_AFTER_S = 3600.0
"""The longest that anyone is told to wait. A rate so low says `later`, and no more."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """How many runs one process takes: those that it drives, and those that stand in line for that.

    What is beyond is refused before anything is recorded, with a time after which to try again. Each process
    on a journal has its own bounds.
    """

    in_flight: int = 256
    """Runs that are driven at once. Throughput is level from 32 to 256 (20,000 and 32,000 steps/s of the bare
    journal on two cores), so more would only be slower each. A run that waits for a person is not driven.
    One whose tool waits for another run of the same process is: it keeps its place meanwhile."""
    waiting: int = 1024
    """Runs that wait for a place, or for the run before them in their session. Four for each that is driven:
    who stands last waits as long as four runs take, about as long as anybody does. 0: nobody waits."""
    per_tenant: int | None = None
    """Runs of one tenant that are driven at once. None: as many as there are places, since a place that nobody
    else needs is better used; whoever else comes has his turn as soon as one is free."""
    waiting_per_tenant: int | None = None
    """Runs of one tenant that wait. None: as large a share of `waiting` as `per_tenant` is of `in_flight`, so
    all of it without `per_tenant`. Where tenants do not trust each other give one of the two: with all of the
    line full of one tenant's runs the others are refused."""
    retry_after_s: float = 5.0
    """Seconds that whoever is refused is told to wait while there is no rate to compute it from, since no run
    has made room yet while all places were taken. A short run's time; from then on it is measured."""

    def __post_init__(self) -> None:
        """Raise `Misused` for a bound that admits nobody."""
        for name, least in (("in_flight", 1), ("waiting", 0), ("per_tenant", 1), ("waiting_per_tenant", 0)):
            value = getattr(self, name)
            optional = value is None and name.endswith("per_tenant")
            if not optional and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise Misused(f"Admission: {name} is {value!r}; it must be a whole number from {least}")
        if self.per_tenant is not None and self.per_tenant > self.in_flight:
            raise Misused(
                f"Admission: per_tenant is {self.per_tenant}, and in_flight only {self.in_flight}: "
                "one tenant can't have more places than there are"
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
        """How many runs of one tenant may wait."""
        if self.waiting_per_tenant is not None:
            return self.waiting_per_tenant
        if self.per_tenant is None:
            return self.waiting
        return min(self.waiting, math.ceil(self.waiting * self.per_tenant / self.in_flight))


class _Ticket:
    """Where one run is: in a place, in line for one, or behind another run of its session."""

    __slots__ = ("ready", "run", "tenant", "waits")

    def __init__(self, run: str, tenant: str) -> None:
        self.run = run
        self.tenant = tenant
        self.waits = False
        """Whether it counts as waiting: it is new, and has no place."""
        self.ready: asyncio.Future[None] | None = None
        """Of one in line: done once it has a place."""

    @property
    def has_slot(self) -> bool:
        return self.ready is None and not self.waits


class _TenantQueues:
    """A line for each tenant: first come, first served within one, and turn about between them."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, OrderedDict[str, _Ticket]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, ticket: _Ticket) -> None:
        self._lines.setdefault(ticket.tenant, OrderedDict())[ticket.run] = ticket

    def remove(self, ticket: _Ticket) -> None:
        line = self._lines.get(ticket.tenant)
        if line is not None and line.pop(ticket.run, None) is not None and not line:
            del self._lines[ticket.tenant]

    def next(self, has_room: Callable[[str], bool]) -> _Ticket | None:
        """Take the next one whose tenant has room out of its line.

        At most `in_flight / per_tenant` tenants can be without room, so this looks at few more than that.
        """
        tenant = next(filter(has_room, self._lines), None)
        if tenant is None:
            return None
        line = self._lines[tenant]
        _, ticket = line.popitem(last=False)
        if line:
            self._lines.move_to_end(tenant)
        else:
            del self._lines[tenant]
        return ticket


class CompletionRate:
    """How fast runs make room while there is none: the time counts in which all places are taken."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full_s = 0.0
        self._full_since: float | None = None
        self._base_s = 0.0
        self._stamps: deque[float] = deque(maxlen=COMPLETIONS_KEPT)

    def _now(self) -> float:
        since = self._full_since
        return self._full_s + (0.0 if since is None else self._clock.monotonic_s() - since)

    def set_full(self, full: bool) -> None:
        """Whether there is no room from now on."""
        if full and self._full_since is None:
            self._full_since = self._clock.monotonic_s()
        elif not full and self._full_since is not None:
            self._full_s, self._full_since = self._now(), None

    def count(self) -> None:
        """A run makes room. Counts if there was none."""
        if self._full_since is None:
            return
        if len(self._stamps) == COMPLETIONS_KEPT:
            self._base_s = self._stamps[0]
        self._stamps.append(self._now())

    def wait_s(self, runs: int) -> float | None:
        """How long it takes until so many runs have made room; None if that was not measured yet."""
        took_s = self._now() - self._base_s
        return runs * took_s / len(self._stamps) if self._stamps and took_s > 0 else None


class AdmissionQueue:
    """The places of one process, and who has, awaits or is refused one.

    New runs `enter`; runs that waited for a person, or that are resumed after a crash, come `again` and go
    before those: what was begun is not refused. Whoever has gone, or never came to be, must `leave`.
    """

    def __init__(self, options: Admission, clock: Clock) -> None:
        self.options = options
        self._tickets: dict[str, _Ticket] = {}
        self._held = 0
        self._held_by: dict[str, int] = {}
        self._waiting = 0
        self._waiting_by: dict[str, int] = {}
        self._again = _TenantQueues()
        self._new = _TenantQueues()
        self._rate = CompletionRate(clock)
        self._closed = False

    def __repr__(self) -> str:
        options = self.options
        driven = f"{self._held}/{options.in_flight} in flight"
        return f"<AdmissionQueue {driven}, {self._waiting}/{options.waiting} waiting>"

    # ---- coming and going

    def enter(self, run: str, tenant: str) -> None:
        """Take a place or, where there is none, stand in line. Raises `Refused` if that is full too."""
        if self._room(tenant):
            self._take(self._make_ticket(run, tenant))
            return
        self._check_line(tenant)
        ticket = self._make_ticket(run, tenant)
        self._count_waiting(ticket, 1)
        self._line_up(ticket, self._new)

    def wait_for_session(self, run: str, *, recorded: bool = False) -> None:
        """Wait for the run before in the session, and let others have the place or the turn.

        Raises `Refused` if the line is full, but not for a run that is recorded.
        """
        ticket = self._tickets[run]
        if ticket.waits:
            self._new.remove(ticket)
            ticket.ready = None
            self._update()
            return
        if not recorded:
            self._check_line(ticket.tenant)
        self._give_up(ticket)
        self._count_waiting(ticket, 1)
        self._grant()

    def line_up(self, run: str) -> None:
        """The run before in the session has ended: stand in line for a place, with the turn of who comes now."""
        ticket = self._tickets[run]
        if ticket.waits and ticket.ready is None:
            self._line_up(ticket, self._new)
            self._grant()

    def reenter(self, run: str, tenant: str) -> None:
        """Take a place, or be next for one."""
        if run in self._tickets:
            return
        ticket = self._make_ticket(run, tenant)
        if self._room(tenant):
            self._take(ticket)
        else:
            self._line_up(ticket, self._again)

    def leave(self, run: str) -> None:
        """Give back what the run has, if it has anything."""
        ticket = self._tickets.pop(run, None)
        if ticket is None:
            return
        if ticket.has_slot:
            self._rate.count()
            self._give_up(ticket)
        elif ticket.waits:
            self._new.remove(ticket)
            self._count_waiting(ticket, -1)
        else:
            self._again.remove(ticket)
        self._grant()

    def close(self) -> None:
        """Give nobody a place any more: who stands in line is told."""
        self._closed = True
        for ticket in self._tickets.values():
            if ticket.ready is not None and not ticket.ready.done():
                text = f"run {ticket.run} waited for a place, and this Seawall was closed; resume it"
                ticket.ready.set_exception(Broken(text))
                ticket.ready.exception()  # whoever awaits it is told; nobody need await it

    # ---- looking

    def has_slot(self, run: str) -> bool:
        """Whether the run has a place."""
        ticket = self._tickets.get(run)
        return ticket is not None and ticket.has_slot

    def is_full_for(self, tenant: str) -> bool:
        """Whether a run of this tenant would have to wait for a place."""
        return not self._room(tenant)

    def turn(self, run: str) -> asyncio.Future[None] | None:
        """Of a run in line: done once it has a place. Fails with `Broken` if there will be none."""
        ticket = self._tickets.get(run)
        return None if ticket is None else ticket.ready

    # ---- inside

    def _room(self, tenant: str) -> bool:
        limit = self.options.per_tenant
        return self._held < self.options.in_flight and (limit is None or self._held_by.get(tenant, 0) < limit)

    def _make_ticket(self, run: str, tenant: str) -> _Ticket:
        ticket = self._tickets[run] = _Ticket(run, tenant)
        return ticket

    def _take(self, ticket: _Ticket) -> None:
        self._held += 1
        self._held_by[ticket.tenant] = self._held_by.get(ticket.tenant, 0) + 1
        self._update()

    def _give_up(self, ticket: _Ticket) -> None:
        self._held -= 1
        left = self._held_by[ticket.tenant] - 1
        if left:
            self._held_by[ticket.tenant] = left
        else:  # tenants come and go; what is kept of them must not grow
            del self._held_by[ticket.tenant]

    def _count_waiting(self, ticket: _Ticket, change: int) -> None:
        ticket.waits = change > 0
        self._waiting += change
        left = self._waiting_by.get(ticket.tenant, 0) + change
        if left:
            self._waiting_by[ticket.tenant] = left
        else:
            del self._waiting_by[ticket.tenant]

    def _line_up(self, ticket: _Ticket, lines: _TenantQueues) -> None:
        ticket.ready = asyncio.get_running_loop().create_future()
        lines.add(ticket)
        self._update()

    def _grant(self) -> None:
        """Give every free place to who is next, and who may have it."""
        while not self._closed and self._held < self.options.in_flight:
            ticket = self._again.next(self._room) or self._new.next(self._room)
            if ticket is None:
                break
            ready, ticket.ready = ticket.ready, None
            if ticket.waits:
                self._count_waiting(ticket, -1)
            self._take(ticket)
            if ready is not None and not ready.done():
                ready.set_result(None)
        self._update()

    def _update(self) -> None:
        lined_up = len(self._again) or len(self._new)
        self._rate.set_full(bool(lined_up) or self._held >= self.options.in_flight)

    def _check_line(self, tenant: str) -> None:
        """Raise `Refused` if no other run of this tenant may wait."""
        options, mine = self.options, self._waiting_by.get(tenant, 0)
        if self._waiting >= options.waiting:
            name, limit, value, ahead = "waiting", options.waiting, self._waiting, self._waiting
            whose = ""
        elif mine >= options.line_share:
            name, limit, value = "waiting_per_tenant", options.line_share, mine
            ahead = min(self._waiting, mine * max(1, len(self._waiting_by)))  # they take turns
            whose = f" of tenant {tenant!r}"
        else:
            return
        after_s = self._rate.wait_s(max(1, ahead))
        after_s = options.retry_after_s if after_s is None else min(after_s, MAX_RETRY_AFTER_S)
        raise Refused(
            f"{self._held} runs are in flight (limit {options.in_flight}), and {value} more{whose} wait "
            f"(limit {limit}): try again in {after_s:.1f} s",
            guard=GUARD,
            limit=f"{name}={limit}",
            value=value + 1,
            retry_after_s=after_s,
        )
