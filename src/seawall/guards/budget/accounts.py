"""BudgetGuard of tenants and days, as the gate asks for them: a call is made once its upper bound is reserved.

What a reservation takes is a commit, so the gate is told to wait until it is there. What is not used is given
back. What a process had reserved that died stays reserved: it may have been spent.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from decimal import Decimal
from typing import Any, Literal

import msgspec

from seawall.core.clock import Clock, Timer
from seawall.core.errors import SeawallError
from seawall.guards.budget.options import Budget
from seawall.guards.budget.recorded import RecordedCaps, record_shortfall
from seawall.guards.shared import BUDGET, Defer
from seawall.journal.protocol import Booking, Cap, Journal, OverCap, Spend
from seawall.run.spend_delta import DAY_S, day_of, need_of
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Halt, Verdict

LOOK_S = 0.25
"""How often it is asked again for a call that waits for what other processes have reserved: they tell nobody
when they settle. Short beside a model call."""
PATIENCE_S = 30.0
"""How long a call waits for what other processes have reserved, and may use less of: longer than nearly all model
calls take. If one of them died, waiting would not help, and whoever comes while nothing has moved for so long is
not made to wait again."""
MAX_STILL = 10_000
"""BudgetGuard of which it is known how long nothing has moved in them: one for each tenant that is at its cap."""

BOUNDED = ("usd", "tokens")
"""What a call has an upper bound of, and takes less of mostly."""

_NO_USD = Decimal(0)
_log = logging.getLogger("seawall")

Key = tuple[str, int, str]
"""What a call is known by in its run before it has a number: kind, frame, and the model's call."""


class _Request:
    """A call's reservation, until the call is made."""

    def __init__(self, run: str, tenant: str, need: Spend, caps: list[Cap], wake: Callable[[], None]) -> None:
        self.run = run
        self.tenant = tenant
        self.day = ""
        """On which it was asked for last."""
        self.asked_at = 0.0
        """Wall seconds."""
        self.need = need
        self.caps = caps
        self.wake = wake
        self.state: Literal["asked", "granted", "waits", "short", "broken"] = "asked"
        self.over: OverCap | None = None
        self.error = ""
        self.waits_since: float | None = None
        self.dropped = False
        self.observed = False
        """The guard only observes: the call is made all the same."""


class BudgetGuard:
    """Reserves in the journal before each call that a cap holds for. One of the things that runs share."""

    name = BUDGET

    def __init__(self, clock: Clock, budget: Budget | None) -> None:
        self._clock = clock
        self._caps = RecordedCaps(budget)
        self._journal: Journal | None = None
        self._requests: dict[str, dict[Key, _Request]] = {}
        self._line: dict[int, _Request] = {}
        """Those that wait, in the order in which they came."""
        self._due: dict[str, Callable[[], None]] = {}
        """Runs to be told in this round of the loop."""
        self._observed: dict[str, _Request] = {}
        """What would have been short, of runs in which this guard only observes; told at their next step."""
        self._flying: Counter[str] = Counter()
        """Calls in flight here that were reserved, by tenant."""
        self._still: OrderedDict[tuple[str, str, str], tuple[Decimal | int, float]] = OrderedDict()
        """What was spent and reserved under a cap that had no room, and since when: by scope, tenant and kind."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving = False
        self._serve_again = False
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        requests = sum(map(len, self._requests.values()))
        return f"<BudgetGuard {requests} to be made, {len(self._line)} waiting, {self._flying.total()} in flight>"

    async def open(self, journal: Journal) -> None:
        """Begin, with the caps that hold for every process on the journal."""
        self._journal = journal
        await self._caps.open(journal)

    async def read(self, journal: Journal) -> None:
        """Take in caps that another process gave: calls that are not reserved yet are asked for anew."""
        if await self._caps.read(journal):
            for mine in self._requests.values():
                for key, request in list(mine.items()):
                    if request.state in ("asked", "waits"):
                        del mine[key]
                        self._drop(request)
                        self._tell(request)

    async def close(self) -> None:
        """Give back what nobody uses any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for run in list(self._requests):
            self.forget(run, parked=False)
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._journal = None
        self._flying.clear()
        self._still.clear()

    def usd_cap(self, tenant: str) -> Decimal | None:
        """The lowest cap on money that this tenant's calls fall under; None if there is none."""
        return self._caps.usd(tenant)

    # ---- what the gate asks

    def check(self, step: Step, run: RunState, left_s: float, wake: Callable[[], None]) -> Verdict | Defer:
        """Reserves the upper bound of a call that a cap holds for, and defers the call until that is done."""
        budget = self._caps.budget
        if budget is None or step.kind not in ("model", "tool"):
            return ALLOW
        tenant, run_id = run.started.tenant, run.started.run
        need = need_of(step.kind, step.tokens, step.usd or _NO_USD)
        caps = list(_held_by(budget.caps(tenant), step, need))
        if not caps:
            return ALLOW
        if step.usd is None and (cap := next((cap for cap in caps if cap.usd is not None), None)):
            reason = (
                f"the price of model {step.name!r} is not known and usd is capped to {cap.usd}: "
                f"give it with Seawall(prices={{{step.name!r}: Price(…)}})"
            )
            return Halt(reason, f"{cap.scope}_usd={cap.usd}", "unknown price")
        mine = self._requests.setdefault(run_id, {})
        request = mine.get(_key(step))
        if request is not None and request.need != need:  # it was told more meanwhile, or less
            self._drop(request)
            request = None
        if request is None:
            request = mine[_key(step)] = _Request(run_id, tenant, need, caps, wake)
            self._spawn(self._reserve(request))
        request.wake = wake
        if (late := self._observed.pop(run_id, None)) is not None:
            return _halt(late, f"a step before {step.number}")
        return _said(request, step)

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        """Counts a reserved call as in flight, and marks the step with the day of its reservation."""
        mine = self._requests.get(run.started.run)
        request = mine.pop(_key(step), None) if mine else None
        if request is None:
            return step
        if not mine:
            del self._requests[run.started.run]
        if request.state != "granted":
            request.observed = True
            self._drop(request)
            return step
        self._flying[request.tenant] += 1
        return msgspec.structs.replace(step, prepaid=request.day)

    def release(self, step: Step, run: RunState, result: Result) -> None:
        """Ends the count of a call. Its cost is booked with its result, which goes to the journal right after this."""
        if not step.prepaid:
            return
        tenant = run.started.tenant
        self._flying[tenant] -= 1
        if self._flying[tenant] <= 0:
            del self._flying[tenant]
        self._serve()

    def may_retry(self, step: Step, run: RunState, result: Result) -> bool:
        """Returns True: another try is a call like any other, and reserves anew."""
        return True

    def forget(self, run_id: str, *, parked: bool) -> None:
        """Gives back what is reserved for a run, also for a parked one: a pause may last for days."""
        self._observed.pop(run_id, None)
        for request in self._requests.pop(run_id, {}).values():
            self._drop(request)

    # ---- reserving, giving back

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _drop(self, request: _Request) -> None:
        """Nobody wants it any more."""
        request.dropped = True
        self._line.pop(id(request), None)
        if request.state == "granted":
            self._spawn(self._give_back(request))

    async def _give_back(self, request: _Request) -> None:
        try:
            if self._journal is not None:
                booking = Booking(day=request.day, reserved=-request.need)
                await self._journal.book(request.tenant, [booking])
        except SeawallError as error:
            _log.warning("tenant %r: a reservation could not be given back: %s", request.tenant, error)
        self._serve()

    async def _reserve(self, request: _Request) -> None:
        """Ask the journal, and tell the run unless it has to wait."""
        journal = self._journal
        if journal is None or (request.dropped and not request.observed):
            return
        request.asked_at = self._clock.wall_s()
        request.day = day_of(request.asked_at)
        try:
            over = await journal.reserve(request.tenant, request.day, request.need, request.caps)
        except SeawallError as error:
            request.state, request.error = "broken", str(error)
        else:
            request.over = over
            request.state = (
                "granted" if over is None else "waits" if self._may_wait(request, over) else "short"
            )
            if over is not None and request.state == "short":
                await self._note_short(request, over)
        if request.dropped:
            if request.state == "granted":
                await self._give_back(request)
            elif request.observed and request.over is not None:
                self._observed[request.run] = request
        elif request.state == "waits":
            self._line.setdefault(id(request), request)
            self._look_later()
        else:
            self._line.pop(id(request), None)
            self._tell(request)

    async def _note_short(self, request: _Request, over: OverCap) -> None:
        """For `seawall budget`: what is left may be too little for any call, and is not used up."""
        if self._journal is None or over.what not in BOUNDED:
            return
        try:
            await record_shortfall(self._journal, over, request.day, getattr(request.need, over.what))
        except SeawallError as error:
            _log.warning("what did not fit could not be written down for seawall budget: %s", error)

    def _tell(self, request: _Request) -> None:
        """Let the run ask again: once for all of its calls that one commit brought an answer for."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._tell_due)
        self._due[request.run] = request.wake

    def _tell_due(self) -> None:
        due, self._due = self._due, {}
        for wake in due.values():
            wake()

    def _may_wait(self, request: _Request, over: OverCap) -> bool:
        """Whether what is in flight may come to less, and will be known to in time."""
        if not over.waits:
            return False
        now = self._clock.monotonic_s()
        if request.waits_since is None:
            request.waits_since = now
        since = min(request.waits_since, self._still_since(request, over, now))
        here = self._flying.total() if over.cap.scope == "day" else self._flying[request.tenant]
        return here > 0 or now - since < PATIENCE_S

    def _still_since(self, request: _Request, over: OverCap, now: float) -> float:
        """Since when nothing was reserved or settled in the account that has no room."""
        key = (over.cap.scope, over.cap.tenant, over.what)
        total = over.value - getattr(request.need, over.what)
        known = self._still.get(key)
        if known is None or known[0] != total:
            known = self._still[key] = (total, now)
            if len(self._still) > MAX_STILL:
                self._still.popitem(last=False)
        return known[1]

    # ---- those that wait

    def _serve(self) -> None:
        """Ask again for those that wait: something was settled."""
        if not self._line:
            return
        self._serve_again = True
        if not self._serving:
            self._serving = True
            self._spawn(self._serve_line())

    async def _serve_line(self) -> None:
        try:
            while self._serve_again:
                self._serve_again = False
                full: set[tuple[str, str]] = set()
                for request in list(self._line.values()):
                    over = request.over
                    cap = ("", "") if over is None else (over.cap.scope, over.cap.tenant)
                    if cap in full or id(request) not in self._line:
                        continue  # first come, first served under each cap
                    await self._reserve(request)
                    if request.state == "waits":
                        full.add(cap)
        finally:
            self._serving = False

    def _look_later(self) -> None:
        if self._timer is None and self._journal is not None:
            self._timer = self._clock.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        self._serve()


def _key(step: Step) -> Key:
    return step.kind, step.frame, "" if step.call is None else step.call.id


def _held_by(caps: Iterator[Cap], step: Step, need: Spend) -> Iterator[Cap]:
    """The caps on something that the step takes."""
    for cap in caps:
        if (
            (cap.usd is not None and (need.usd or step.usd is None))
            or (cap.tokens is not None and need.tokens)
            or (cap.model_calls is not None and need.model_calls)
            or (cap.tool_calls is not None and need.tool_calls)
        ):
            yield cap


def _said(request: _Request, step: Step) -> Verdict | Defer:
    """What a reservation has come to so far."""
    what = f"{step.kind} {step.name!r}"
    match request.state:
        case "granted":
            return ALLOW
        case "asked":
            return Defer(f"{what} waits for its reservation")
        case "broken":
            return Halt(f"{what}: nothing could be reserved: {request.error}")
        case "waits":
            return Defer(f"{what} waits for what is reserved in the account of {_whose(request)}")
        case "short":
            return _halt(request, what)


def _halt(request: _Request, what: str) -> Halt:
    over = request.over
    assert over is not None
    would = "could reach" if over.what in BOUNDED else "would be"
    reason = f"{what}: {over.what} of {_whose(request)} {would} {over.value} (limit {over.limit})"
    if over.what in BOUNDED and request.need.model_calls:
        reason += "; a lower max_output_tokens reserves less"
    if over.cap.scope != "tenant":
        left_min = math.ceil((DAY_S - request.asked_at % DAY_S) / 60)
        reason += f"; the day ends at 00:00 UTC, in {left_min // 60} h {left_min % 60:02d} min"
    return Halt(reason, f"{over.cap.scope}_{over.what}={over.limit}", over.value)


def _whose(request: _Request) -> str:
    scope = "tenant" if request.over is None else request.over.cap.scope
    match scope:
        case "tenant":
            return f"tenant {request.tenant!r}"
        case "tenant_day":
            return f"tenant {request.tenant!r} on {request.day}"
        case "day":
            return f"all tenants on {request.day}"
