"""The guard `budget`: a call to which a cap applies is made only after its upper bound is reserved in the journal.

A reservation is a commit, so the gate defers the call until the commit is done. The unused part of a reservation is
given back. If a process dies, the journal gives back its reservations for calls that were not recorded, and so not
made.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec

from seawall.core.clock import Clock, Timer
from seawall.core.errors import SeawallError
from seawall.core.events import PERFORMED, StoppedBy
from seawall.guards.budget.options import Budget
from seawall.guards.budget.recorded_caps import RecordedCaps, record_shortfall
from seawall.guards.shared import BUDGET, Defer, Retry
from seawall.journal.protocol import Cap, Journal, OverCap, Spend
from seawall.run.spend_delta import DAY_S, day_of, need_of
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Halt, Verdict

POLL_S = 0.25
"""Seconds between two attempts to reserve for calls that wait for the reservations of other processes, which do not
report when they settle. It is short compared with a model call."""
WAIT_MAX_S = 30.0
"""Seconds that a call waits for the reservations of other processes, which may use less than they reserved. Longer than
nearly all model calls take. If such a process died, waiting does not help: once an account has not changed for this
long, later calls fail at once."""
MAX_UNCHANGED = 10_000
"""Most accounts whose last change is remembered: one for each tenant that is at its cap."""

COUNTED = ("usd", "tokens", "model_calls", "tool_calls")
"""What a cap may bound."""
BOUNDED = ("usd", "tokens")
"""Kinds of cost that a call reserves at an upper bound and mostly does not use up. The call itself is counted
exactly."""

_NO_USD = Decimal(0)
_log = logging.getLogger("seawall")

Key = tuple[str, int, str]
"""The key of a call in its run before it has a number: kind, frame, and the id of the model's call."""


class _Reservation:
    """The reservation of one call, from its first check until the call is acquired."""

    def __init__(
        self, run_id: str, tenant: str, need: Spend, caps: Sequence[Cap], wake: Callable[[], None]
    ) -> None:
        self.run_id = run_id
        self.tenant = tenant
        self.day = ""
        """The day of the account in which the newest request was made."""
        self.requested_at = 0.0
        """Wall seconds of that request."""
        self.need = need
        self.caps = caps
        self.wake = wake
        self.state: Literal["requested", "granted", "waiting", "short", "failed"] = "requested"
        """`waiting`: no room now, but reservations in flight may leave some. `short`: no room. `failed`: the journal
        raised."""
        self.over: OverCap | None = None
        self.error = ""
        self.waits_since_s: float | None = None
        self.dropped = False
        """Whether no call needs the reservation any more."""
        self.observed = False
        """Whether the call was made without the reservation, because the guard's mode is `observe`."""


class BudgetGuard:
    """Reserves in the journal before each call to which a cap applies. Implements `SharedGuard`."""

    name = BUDGET

    def __init__(self, clock: Clock, budget: Budget | None) -> None:
        self._clock = clock
        self._caps = RecordedCaps(budget)
        self._journal: Journal | None = None
        self._reservations: dict[str, dict[Key, _Reservation]] = {}
        """By run: the reservations for calls that are not acquired yet. Bounded by the proposals of the runs in
        flight."""
        self._reserving: set[str] = set()
        """Runs with a reservation since they were begun or taken up in this process."""
        self._owed: list[tuple[str, str | None, Spend | None]] = []
        """Reservations that could not be given back, as arguments of `Journal.give_back`; this is tried again. Bounded
        by the runs that came to rest while the journal could not be written."""
        self._waiting: dict[int, _Reservation] = {}
        """The reservations in the state `waiting`, by `id`, oldest first."""
        self._to_wake: dict[str, Callable[[], None]] = {}
        """By run: the `wake` callbacks that are due in the next round of the event loop."""
        self._observed: dict[str, _Reservation] = {}
        """By run, in mode `observe`: a call that did not fit and was made. Reported with the run's next step."""
        self._in_flight: Counter[str] = Counter()
        """By tenant: calls of this process that were reserved and acquired."""
        self._unchanged: OrderedDict[tuple[str, str, str], tuple[Decimal | int, float]] = OrderedDict()
        """By scope, tenant and capped field of an account without room: its sum of spent and reserved, and since
        when (monotonic) it is the same."""
        self.active = budget is not None
        """Whether there have been caps since this guard was opened."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving = False
        self._serve_again = False
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        pending = sum(map(len, self._reservations.values()))
        return f"<BudgetGuard {pending} to be made, {len(self._waiting)} waiting, {self._in_flight.total()} in flight>"

    @property
    def idle(self) -> bool:
        """Whether no reservation is being made or given back at this moment."""
        return not self._tasks

    async def open(self, journal: Journal) -> None:
        """Starts the guard with the caps that apply to every process on the journal."""
        self._journal = journal
        await self._caps.open(journal)
        self.active = self._caps.budget is not None

    async def read(self, journal: Journal) -> None:
        """Reads the caps that another process recorded; calls that are not reserved yet are checked again under
        them.
        """
        if await self._caps.read(journal):
            self.active = self.active or self._caps.budget is not None
            for mine in self._reservations.values():
                for key, reservation in list(mine.items()):
                    if reservation.state in ("requested", "waiting"):
                        del mine[key]
                        self._drop(reservation)
                        self._schedule_wake(reservation)

    async def close(self) -> None:
        """Gives back the reservations of calls that were not made."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for run_id in self._reserving | set(self._reservations):
            self.forget(run_id, parked=False)
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._journal = None
        self._in_flight.clear()
        self._unchanged.clear()

    def get_usd_cap(self, tenant: str) -> Decimal | None:
        """Returns the lowest cap on money that holds for this tenant's calls; None if there is none."""
        return self._caps.get_usd_cap(tenant)

    def has_room_again(self, stopped: StoppedBy, at: float, tenant: str) -> bool:
        """Returns whether a call that has halted its run at this wall time may fit now: it is another day's, or its cap was
        raised so far. What others have spent since is not looked at here.
        """
        name, _, _ = (stopped.limit or "").partition("=")
        what = next((each for each in COUNTED if name.endswith(f"_{each}")), None)
        if what is None or stopped.value is None:
            return False
        scope = name.removesuffix(f"_{what}")
        if scope != "tenant" and day_of(at) != day_of(self._clock.wall_s()):
            return True
        caps = (getattr(cap, what) for cap in self._caps.list_caps(tenant) if cap.scope == scope)
        cap = next(caps, None)
        try:
            return cap is None or Decimal(stopped.value) <= cap
        except InvalidOperation:  # a price that is not known has no value
            return False

    # ---- SharedGuard

    def check(self, step: Step, run: RunState, left_s: float, wake: Callable[[], None]) -> Verdict | Defer:
        """Begins to reserve the upper bound of a call to which a cap applies, and defers the call until that is
        done.
        """
        if self._caps.budget is None or step.kind not in PERFORMED:
            return ALLOW
        tenant = run.started.tenant
        need = need_of(step.kind, step.tokens, step.usd or _NO_USD)
        caps = [cap for cap in self._caps.list_caps(tenant) if _holds(cap, step, need)]
        if not caps:
            return ALLOW
        if step.usd is None and (cap := next((cap for cap in caps if cap.usd is not None), None)):
            reason = (
                f"the price of model {step.name!r} is not known and usd is capped to {cap.usd}: "
                f"give it with Seawall(prices={{{step.name!r}: Price(…)}})"
            )
            return Halt(reason, f"{cap.scope}_usd={cap.usd}", "unknown price")
        run_id, key = run.started.run, _make_key(step)
        mine = self._reservations.setdefault(run_id, {})
        reservation = mine.get(key)
        # the step's upper bound has changed meanwhile
        if reservation is not None and reservation.need != need:
            self._drop(reservation)
            reservation = None
        if reservation is None:
            reservation = mine[key] = _Reservation(run_id, tenant, need, caps, wake)
            self._spawn(self._reserve(reservation))
        reservation.wake = wake
        if self._observed and (observed := self._observed.pop(run_id, None)) is not None:
            return _build_halt(observed, f"a step before {step.number}")
        if reservation.state == "short" and _has_calls_in_flight(step, run):
            return Defer(f"{step.kind} {step.name!r} does not fit; calls in flight go on to their results")
        return _build_verdict(reservation, step)

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        """Counts a reserved call as in flight, and marks the step with the day of its reservation."""
        mine = self._reservations.get(run.started.run)
        reservation = mine.pop(_make_key(step), None) if mine else None
        if reservation is None:
            return step
        if not mine:
            del self._reservations[run.started.run]
        if reservation.state != "granted":
            reservation.observed = True
            self._drop(reservation)
            return step
        self._in_flight[reservation.tenant] += 1
        return msgspec.structs.replace(step, prepaid=reservation.day)

    def release(self, step: Step, run: RunState, result: Result) -> None:
        """Ends the count of a call. Its cost is booked with its result, which goes to the journal right after this."""
        if not step.prepaid:
            return
        tenant = run.started.tenant
        self._in_flight[tenant] -= 1
        if self._in_flight[tenant] <= 0:
            del self._in_flight[tenant]
        self._serve_waiting()

    def may_retry(self, step: Step, run: RunState, result: Result, left_s: float, *, used_up: bool) -> Retry:
        """Returns "yes": another try is a call like any other, and makes a new reservation."""
        return "yes"

    def forget(self, run_id: str, *, parked: bool) -> None:
        """Gives back the reservations of a run, also of a parked one, because a pause may last for days. They include
        those of calls whose intents could not be recorded.
        """
        self._observed.pop(run_id, None)
        for reservation in self._reservations.pop(run_id, {}).values():
            reservation.dropped = True
            self._waiting.pop(id(reservation), None)
        if run_id in self._reserving:
            self._reserving.discard(run_id)
            self._spawn(self._give_back(run_id))

    # ---- reserving, giving back

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _drop(self, reservation: _Reservation) -> None:
        """Gives back a reservation that no call needs any more. A reservation that is still being made is given back
        when it is done.
        """
        reservation.dropped = True
        self._waiting.pop(id(reservation), None)
        if reservation.state == "granted":
            self._spawn(self._give_back(reservation.run_id, reservation.day, reservation.need))

    async def _give_back(self, run_id: str, day: str | None = None, part: Spend | None = None) -> None:
        owed, self._owed = [*self._owed, (run_id, day, part)], []
        while owed and self._journal is not None:
            try:
                await self._journal.give_back(*owed[0])
            except SeawallError as error:
                _log.warning("run %s: a reservation could not be given back yet: %s", run_id, error)
                self._owed += owed
                break
            del owed[0]
        self._serve_waiting()

    async def _reserve(self, reservation: _Reservation) -> None:
        """Asks the journal for the reservation, and wakes the run unless its call has to wait."""
        journal = self._journal
        if journal is None or (reservation.dropped and not reservation.observed):
            return
        reservation.requested_at = self._clock.wall_s()
        reservation.day = day_of(reservation.requested_at)
        self._reserving.add(reservation.run_id)
        try:
            over = await journal.reserve(
                reservation.tenant,
                reservation.day,
                reservation.need,
                reservation.caps,
                reservation.run_id,
            )
        except SeawallError as error:
            reservation.state, reservation.error = "failed", str(error)
        else:
            reservation.over = over
            reservation.state = (
                "granted" if over is None else "waiting" if self._may_wait(reservation, over) else "short"
            )
            if over is not None and reservation.state == "short":
                await self._record_shortfall(reservation, over)
        if reservation.dropped:
            if reservation.state == "granted":
                await self._give_back(reservation.run_id, reservation.day, reservation.need)
            elif reservation.observed and reservation.over is not None:
                self._observed[reservation.run_id] = reservation
        elif reservation.state == "waiting":
            self._waiting.setdefault(id(reservation), reservation)
            self._schedule_poll()
        else:
            self._waiting.pop(id(reservation), None)
            self._schedule_wake(reservation)

    async def _record_shortfall(self, reservation: _Reservation, over: OverCap) -> None:
        """Records for `seawall budget` that the amount left under a cap is too small for this call, although the cap is
        not used up.
        """
        if self._journal is None or over.what not in BOUNDED:
            return
        try:
            need = getattr(reservation.need, over.what)
            await record_shortfall(self._journal, over, reservation.day, need)
        except SeawallError as error:
            _log.warning("a call that did not fit could not be recorded for seawall budget: %s", error)

    def _schedule_wake(self, reservation: _Reservation) -> None:
        """Wakes the run in the next round of the event loop, once for all of its calls that one commit decided."""
        if not self._to_wake:
            asyncio.get_running_loop().call_soon(self._wake_runs)
        self._to_wake[reservation.run_id] = reservation.wake

    def _wake_runs(self) -> None:
        due, self._to_wake = self._to_wake, {}
        for wake in due.values():
            wake()

    def _may_wait(self, reservation: _Reservation, over: OverCap) -> bool:
        """Returns whether calls in flight may use less than they reserved, and will end soon enough."""
        if not over.waits:
            return False
        now = self._clock.monotonic_s()
        if reservation.waits_since_s is None:
            reservation.waits_since_s = now
        since_s = min(reservation.waits_since_s, self._find_unchanged_since_s(reservation, over, now))
        here = self._in_flight.total() if over.cap.scope == "day" else self._in_flight[reservation.tenant]
        return here > 0 or now - since_s < WAIT_MAX_S

    def _find_unchanged_since_s(self, reservation: _Reservation, over: OverCap, now: float) -> float:
        """Returns the monotonic second since when nothing was reserved or settled in the account that has no room."""
        key = (over.cap.scope, over.cap.tenant, over.what)
        total = over.value - getattr(reservation.need, over.what)
        known = self._unchanged.get(key)
        if known is None or known[0] != total:
            known = self._unchanged[key] = (total, now)
            if len(self._unchanged) > MAX_UNCHANGED:
                self._unchanged.popitem(last=False)
        return known[1]

    # ---- calls that wait

    def _serve_waiting(self) -> None:
        """Tries the reservations of waiting calls again, because something was settled or given back."""
        if not self._waiting:
            return
        self._serve_again = True
        if not self._serving:
            self._serving = True
            self._spawn(self._serve())

    async def _serve(self) -> None:
        try:
            while self._serve_again:
                self._serve_again = False
                full: set[tuple[str, str]] = set()
                for reservation in list(self._waiting.values()):
                    over = reservation.over
                    cap = ("", "") if over is None else (over.cap.scope, over.cap.tenant)
                    if cap in full or id(reservation) not in self._waiting:
                        continue  # first come, first served under each cap
                    await self._reserve(reservation)
                    if reservation.state == "waiting":
                        full.add(cap)
        finally:
            self._serving = False

    def _schedule_poll(self) -> None:
        if self._timer is None and self._journal is not None:
            self._timer = self._clock.call_later(POLL_S, self._poll)

    def _poll(self) -> None:
        self._timer = None
        self._serve_waiting()


def _make_key(step: Step) -> Key:
    return step.kind, step.frame, "" if step.call is None else step.call.id


def _holds(cap: Cap, step: Step, need: Spend) -> bool:
    """Returns whether the cap limits a kind of cost that the step has."""
    return bool(
        (cap.usd is not None and (need.usd or step.usd is None))
        or (cap.tokens is not None and need.tokens)
        or (cap.model_calls is not None and need.model_calls)
        or (cap.tool_calls is not None and need.tool_calls)
    )


def _has_calls_in_flight(step: Step, run: RunState) -> bool:
    """Returns whether the run has calls in flight that a halt would cut off, though they were reserved and may be made.

    If the guard only observes, a call that does not fit is reported at once.
    """
    if run.modes.get(BUDGET, "enforce") != "enforce":
        return False
    return any(each.step not in step.enclosing for each in run.in_flight)


def _build_verdict(reservation: _Reservation, step: Step) -> Verdict | Defer:
    """Returns the verdict on the step that follows from the state of its reservation."""
    if reservation.state == "granted":
        return ALLOW
    what = f"{step.kind} {step.name!r}"
    match reservation.state:
        case "requested":
            return Defer(f"{what} waits for its reservation")
        case "failed":
            return Halt(f"{what}: nothing could be reserved: {reservation.error}")
        case "waiting":
            account = _describe_account(reservation)
            return Defer(f"{what} waits for what is reserved in the account of {account}")
        case "short":
            return _build_halt(reservation, what)


def _build_halt(reservation: _Reservation, what: str) -> Halt:
    over = reservation.over
    assert over is not None
    would = "could reach" if over.what in BOUNDED else "would be"
    account = _describe_account(reservation)
    reason = f"{what}: {over.what} of {account} {would} {over.value} (limit {over.limit})"
    if over.what in BOUNDED and reservation.need.model_calls:
        reason += "; a lower max_output_tokens reserves less"
    if over.cap.scope != "tenant":
        left_min = math.ceil((DAY_S - reservation.requested_at % DAY_S) / 60)
        reason += f"; the day ends at 00:00 UTC, in {left_min // 60} h {left_min % 60:02d} min"
    return Halt(reason, f"{over.cap.scope}_{over.what}={over.limit}", over.value)


def _describe_account(reservation: _Reservation) -> str:
    scope = "tenant" if reservation.over is None else reservation.over.cap.scope
    match scope:
        case "tenant":
            return f"tenant {reservation.tenant!r}"
        case "tenant_day":
            return f"tenant {reservation.tenant!r} on {reservation.day}"
        case "day":
            return f"all tenants on {reservation.day}"
