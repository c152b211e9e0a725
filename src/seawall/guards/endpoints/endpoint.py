"""One endpoint in this process: its breaker, who waits for it, and the timer that calls them."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from seawall.core.clock import Clock, Timer
from seawall.guards.endpoints.breaker import Block, Breaker
from seawall.guards.endpoints.messages import describe_wait, write_refusal
from seawall.guards.endpoints.options import EndpointOptions
from seawall.guards.endpoints.record import Change, EndpointRecord, Phase, RetryAfter
from seawall.guards.endpoints.results import classify_result, is_retry
from seawall.guards.endpoints.wait_queue import MAX_WAITING, Waiter, WaitQueue, Wake
from seawall.guards.shared import Defer
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Verdict

if TYPE_CHECKING:
    from seawall.journal.protocol import Setting

LEAST_S = 0.1
"""Who would begin with less time than this left is turned away while there is time to say so."""
TICK_S = 0.001
"""Between two looks at the clock: a remainder that it can't tell must not spin."""

Key = tuple[str, int, str]


class AcquiredStep(NamedTuple):
    """A step that was admitted."""

    since_s: float
    left_s: float


class Endpoint:
    """What `Endpoints` asks, by name. Everything is called on the event loop."""

    def __init__(
        self,
        name: str,
        options: EndpointOptions,
        *,
        owner: str,
        clock: Clock,
        rng: random.Random,
        changed: Callable[[Endpoint, bool], None],
        request_lease: Callable[[Endpoint], None],
    ) -> None:
        self.breaker = Breaker(name, options, owner)
        self.line = WaitQueue()
        self.setting: Setting | None = None
        self.touched_s = clock.monotonic_s()
        self._clock = clock
        self._rng = rng
        self._changed = changed
        """Called when there is something to tell other processes; at once, if it is more than a count."""
        self._request_lease = request_lease
        """Called to ask for the right to probe; `receive_lease` follows."""
        self._lease_requested = False
        self._taken: dict[Hashable, AcquiredStep] = {}
        self._probed: Hashable = None
        """The step that ended last, if it was a probe."""
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._calls: list[Wake] = []
        self._number = 0
        self._phase: Phase | None = None
        """Moved to, and not told yet; `_after` is the place of the one that others know."""
        self._after = (0, 0)
        self._hold: RetryAfter | None = None
        self._heard_hold = RetryAfter()
        self._closed = False

    def __repr__(self) -> str:
        return f"{self.breaker!r} {self.line!r}"

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with it."""
        breaker = self.breaker
        closed = breaker.phase.state == "closed" and breaker.forced == "auto"
        return closed and not breaker.in_flight and not len(self.line)

    @property
    def moved(self) -> bool:
        """Whether others have to be told at once."""
        return self._phase is not None or self._hold is not None

    # ---- one step

    def check(self, step: Step, run: RunState, left_s: float, wake: Wake) -> Verdict | Defer:
        """Whether this step may begin now."""
        now, key = self._clock.monotonic_s(), key_of(step, run)
        self._look(now)
        block = self.breaker.block(now, step.delay_s)
        places = self.breaker.places(now) if block is None else 0
        if block is None and self.line.may_pass(key, places):
            return ALLOW
        if self._waits(step, block, now, left_s) and len(self.line) < MAX_WAITING:
            by_s, patient = now + left_s, step.kind == "model"
            self.line.join(key, key[0], wake, now, by_s=by_s, patient=patient)
            self._arm(now, by_s - LEAST_S)
            return Defer(describe_wait(self.breaker, block))
        if self.line.leave(key) is not None:
            self._arm(now, now)  # its place is free
        return write_refusal(step, self.breaker, block, self.setting, left_s)

    def _waits(self, step: Step, block: Block | None, now: float, left_s: float) -> bool:
        """Whether there is something to wait for that comes while the run has time."""
        if left_s <= LEAST_S:
            return False
        if block is None or block.why == "due":
            return True
        if block.why == "spend_limit" or (block.why != "held" and step.kind != "model"):
            return False
        if block.until_s is None:
            return block.why == "probing"
        return block.until_s - now < left_s - LEAST_S

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        """It begins. What it has waited in line is taken off the delay of a further try."""
        now = self._clock.monotonic_s()
        since_s = self.line.leave(key_of(step, run))
        delay_s = step.delay_s if since_s is None else max(0.0, step.delay_s - (now - since_s))
        key = (run.started.run, step.number)
        run_s = run.started.limits.active_s
        self.breaker.begin(key, now, delay_s=delay_s, again=is_retry(step, run), run_s=run_s)
        self._taken[key] = AcquiredStep(now + delay_s, left_s - delay_s)
        self.touched_s = now
        self._arm(now, now + delay_s + self.breaker.options.slow_s)  # nobody may ask till then
        self._seek(self.breaker.block(now))  # where it is only observed, nobody stands in line who would
        self._changed(self, False)
        return step if delay_s == step.delay_s else replace(step, delay_s=delay_s)

    def release(self, step: Step, run: RunState, result: Result) -> None:
        """It has ended."""
        now, key = self._clock.monotonic_s(), (run.started.run, step.number)
        taken = self._taken.pop(key, None)
        if taken is None:
            return
        answer = classify_result(step, result, now - taken.since_s, taken.left_s)
        if answer == "failed" and result.retry_after_s:
            seconds = self.breaker.held(now, result.retry_after_s)
            self._hold = self._heard_hold = RetryAfter(at=self._clock.wall_s(), seconds=seconds)
        self._probed = key if self.breaker.is_probe(key) else None
        phase = self.breaker.end(key, now, answer, rng=self._rng)
        if phase is not None:
            self._move(phase, now)
        elif len(self.line):
            self._arm(now, now)
        self._changed(self, answer in ("failed", "spend_limit"))

    def may_retry(self, step: Step, run: RunState) -> bool:
        """Whether a further try is affordable. A tool is not tried again while its endpoint is given a rest.

        Who probes for the others does not pay: how often an open breaker's endpoint is called is not up to it.
        With `outlast` nor does who waits until the breaker has closed.
        """
        now = self._clock.monotonic_s()
        block = self.breaker.block(now, step.delay_s)
        if block is not None and block.why != "held" and (step.kind != "model" or block.why == "spend_limit"):
            return False
        if self._probed == (run.started.run, step.number):
            return True
        if block is not None and block.why != "held" and self.breaker.options.outlast:
            return True  # it waits in line until the breaker has closed
        return self.breaker.afford_retry(now)

    def forget(self, run_id: str) -> None:
        """A run gives up its places in line."""
        if self.line.forget(run_id):
            now = self._clock.monotonic_s()
            self._arm(now, now)

    # ---- what changes by itself

    def _look(self, now: float) -> None:
        phase = self.breaker.look(now, rng=self._rng)
        if phase is not None:
            self._move(phase, now)

    def _move(self, phase: Phase, now: float) -> None:
        """This process goes on to another phase: here at once, and others are told."""
        if self._phase is None:
            self._after = self.breaker.phase.place
        self._phase = replace(phase, at=self._clock.wall_s())
        self.breaker.adopt(self._phase, now)
        self._changed(self, True)
        self._tell(now)

    def _tell(self, now: float) -> None:
        """Call those who wait and for whom something has changed."""
        breaker = self.breaker
        block = breaker.block(now)
        until_s = None if block is None else block.until_s

        def concerned(waiter: Waiter) -> bool:
            if block is None or block.why in ("probing", "due"):
                return not waiter.patient
            if block.why == "spend_limit" or not waiter.patient:
                return True
            return until_s is None or until_s > waiter.by_s - LEAST_S

        if block is None:
            self._calls += self.line.call(breaker.places(now), now)
        if block is None and breaker.phase.state == "closed":
            self._call(now)
            return
        self._calls += self.line.tell(now, concerned)
        self._call(now)

    def _call(self, now: float) -> None:
        """Call them in the loop's next round: a driver may be in the middle of something."""
        if self._calls:
            self._clock.call_later(0.0, self._call_now)
        self._arm_all(now)

    def _call_now(self) -> None:
        calls, self._calls = self._calls, []
        for wake in calls:
            wake()

    def _arm(self, now: float, at_s: float) -> None:
        """Look again at `at_s` or, where somebody waits for it, when something changes by itself."""
        next_s = None if self._lease_requested or not len(self.line) else self.breaker.next_s(now)
        at_s = at_s if next_s is None else min(at_s, next_s)
        if at_s >= self._timer_at or self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at_s
        delay_s = 0.0 if at_s <= now else max(TICK_S, at_s - now)
        self._timer = self._clock.call_later(delay_s, self._turn)

    def _arm_all(self, now: float) -> None:
        at_s = self.line.next_s(LEAST_S)
        if at_s is not None:
            self._arm(now, max(now + TICK_S, at_s))

    def _turn(self) -> None:
        """The timer: places that lapsed, waiters whose time is over, and whether it is time to probe."""
        self._timer, self._timer_at = None, float("inf")
        now = self._clock.monotonic_s()
        self.line.lapse(now)
        self._look(now)
        if not len(self.line):
            if self.breaker.in_flight and (late_s := self.breaker.late_s) is not None:
                self._arm(now, max(late_s, now + TICK_S))
            return
        block = self.breaker.block(now)
        self._seek(block)
        if block is None:
            self._calls += self.line.call(self.breaker.places(now), now)
        self._calls += self.line.tell(now, lambda waiter: waiter.by_s - LEAST_S <= now)
        self._call(now)

    def _seek(self, block: Block | None) -> None:
        """Ask for the right to probe, if it is time to."""
        if block is not None and block.why == "due" and not self._lease_requested:
            self._lease_requested = True
            self._request_lease(self)

    def close(self) -> None:
        """Call nobody any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._calls.clear()

    # ---- other processes

    @property
    def probes(self) -> bool:
        """Whether this process is probing: its right must not lapse."""
        phase, breaker = self.breaker.phase, self.breaker
        return phase.state == "half_open" and phase.prober == breaker.owner and breaker.probing > 0

    def probe(self) -> Change:
        """What is to be told to get the right to probe."""
        phase = replace(self.breaker.half_opened(), at=self._clock.wall_s())
        return replace(self.change(), phase=phase, after=self.breaker.phase.place)

    def receive_lease(self, phase: Phase | None) -> None:
        """The right to probe was asked for; `phase`: nobody could be asked, so it is this process's own."""
        self._lease_requested = False
        now = self._clock.monotonic_s()
        if phase is not None and self.breaker.adopt(phase, now):
            self._tell(now)
        elif len(self.line):
            self._arm(now, now + TICK_S)

    def change(self) -> Change:
        """What there is to tell others, as of now."""
        if self.probes and self._phase is None:
            self._after = self.breaker.phase.place
            self._phase = replace(
                self.breaker.phase, beat=self.breaker.phase.beat + 1, at=self._clock.wall_s()
            )
            self.breaker.adopt(self._phase, self._clock.monotonic_s())
        self._number += 1
        part = self.breaker.told(self._clock.monotonic_s(), self._clock.wall_s(), self._number)
        return Change(
            owner=self.breaker.owner, part=part, phase=self._phase, after=self._after, hold=self._hold
        )

    def told(self, change: Change) -> None:
        """That was told. What moved meanwhile is told the next time."""
        if change.phase is not None:
            self._after = change.phase.place
            if self._phase is not None and self._phase.place <= change.phase.place:
                self._phase = None
        if self._hold is change.hold:
            self._hold = None

    def learn(self, record: EndpointRecord) -> None:
        """Take in what the journal has. Where two processes moved at once, its word counts."""
        breaker, now, wall_s = self.breaker, self._clock.monotonic_s(), self._clock.wall_s()
        for owner in breaker.others.keys() - record.parts.keys():
            del breaker.others[owner]
        for owner, part in record.parts.items():
            if owner != breaker.owner:
                breaker.hear(owner, part, now, age_s=max(0.0, wall_s - part.at))
        hold = record.hold
        if hold.seconds and hold != self._heard_hold:
            self._heard_hold = hold
            breaker.held(now, hold.seconds - max(0.0, wall_s - hold.at))
        if breaker.adopt(record.phase, now, age_s=wall_s - record.phase.at, instead=self._phase is None):
            self._tell(now)
        elif len(self.line):
            self._arm(now, now + TICK_S)

    def force(self, setting: Setting | None, until_s: float | None) -> None:
        """What a person has set, until this moment of the monotonic clock."""
        self.setting = setting
        breaker = self.breaker
        breaker.forced = "auto"
        if setting is not None and setting.value in ("closed", "isolated"):
            breaker.forced = "closed" if setting.value == "closed" else "isolated"
        breaker.forced_until_s = until_s
        self._tell(self._clock.monotonic_s())


def key_of(step: Step, run: RunState) -> Key:
    """A proposal, however often it is made: a frame has one model step, or one for each call of a reply."""
    return (run.started.run, step.frame, "" if step.call is None else step.call.id)
