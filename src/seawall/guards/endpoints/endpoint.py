"""One endpoint in one process: its breaker, the steps that wait for it, and the timer that serves them."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable

import msgspec
from msgspec.structs import replace

from seawall.core.clock import Clock, Timer
from seawall.guards.deadline import bound_left_s
from seawall.guards.endpoints.attempts import Attempts
from seawall.guards.endpoints.breaker import Block, Breaker, CallResult
from seawall.guards.endpoints.messages import describe_wait, write_refusal
from seawall.guards.endpoints.options import EndpointOptions
from seawall.guards.endpoints.record import Change, EndpointRecord, Phase, RetryAfter
from seawall.guards.endpoints.turns import Turns, bound_open_s
from seawall.guards.endpoints.wait_queue import MAX_WAITING, Waiter, WaitQueue, Wake
from seawall.guards.shared import ENDPOINTS, Defer, Retry
from seawall.journal.protocol import Setting
from seawall.run.frame import find_call
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Verdict

ALMOST_S = 0.05
"""Seconds before the end of the run's time within which a time-out counts as the run's, and not as the endpoint's."""
LEAST_S = 0.1
"""Seconds: a step whose run has less time left is refused, while there is time to tell its agent."""
TICK_S = 0.001
"""Least seconds of a timer that is set again: a remainder that the clock cannot measure must not make it spin."""

Key = tuple[str, int, str]


class AcquiredStep(msgspec.Struct, frozen=True, gc=False):
    """A step in flight."""

    began_s: float
    left_s: float
    """The seconds that its run had left at that moment."""


class FailedStep(msgspec.Struct, gc=False):
    """A step that failed and is tried again."""

    since_s: float
    """Monotonic seconds of the first failure."""
    deadline_s: float
    """Monotonic seconds until which the step may wait, if its agent needs time after it; infinite if no agent does."""
    is_paid: bool = True
    """Whether a retry token has paid for the next try, which is then made after its delay, without a turn."""


class Endpoint:
    """One endpoint for `Endpoints`, which finds it by its name. All calls come on the event loop."""

    def __init__(
        self,
        name: str,
        options: EndpointOptions,
        *,
        owner: str,
        clock: Clock,
        rng: random.Random,
        schedule_report: Callable[[Endpoint, bool], None],
        request_lease: Callable[[Endpoint], None],
    ) -> None:
        self.breaker = Breaker(name, options, owner)
        self.queue = WaitQueue()
        self.turns = Turns(options, rng)
        self.attempts = Attempts(options)
        self.setting: Setting | None = None
        """The newest setting of a person."""
        self.used_s = clock.monotonic_s()
        """Monotonic seconds of the last call."""
        self._clock = clock
        self._rng = rng
        self._schedule_report = schedule_report
        """Called when there is something to report to other processes. True: it must be reported soon, because it is
        more than a count."""
        self._request_lease = request_lease
        """Called to request the right to probe; `receive_lease` is called with the answer."""
        self._lease_requested = False
        self._acquired: dict[Hashable, AcquiredStep] = {}
        self._failed: dict[Key, FailedStep] = {}
        """Steps that are tried again, until they are answered or their run ends."""
        self._last_probe: Hashable = None
        """The step that was released last, if it was a probe."""
        self._timer: Timer | None = None
        self._timer_s = float("inf")
        """Monotonic seconds when the timer fires."""
        self._to_wake: list[Wake] = []
        self._reports = 0
        self._counts_scheduled = False
        """Whether a report of the counts is scheduled already, so that a call need not schedule it again."""
        self._unreported: Phase | None = None
        """A phase that this process moved to and has not reported yet."""
        self._reported_version = (0, 0)
        """The version of the phase before the unreported one, which the other processes know."""
        self._retry_after: RetryAfter | None = None
        """A `Retry-After` that is not reported yet."""
        self._newest_retry_after = RetryAfter()
        self._closed = False

    def __repr__(self) -> str:
        return f"{self.breaker!r} {self.queue!r}"

    @property
    def is_idle(self) -> bool:
        """Whether this process can forget the endpoint without losing anything."""
        breaker = self.breaker
        closed = breaker.phase.state == "closed" and breaker.manual == "auto"
        return closed and not breaker.in_flight and not self.queue.waiters

    @property
    def is_urgent(self) -> bool:
        """Whether there is something that other processes must receive at once."""
        return self._unreported is not None or self._retry_after is not None

    # ---- one step

    def check(self, step: Step, run: RunState, left_s: float, wake: Wake) -> Verdict | Defer:
        """Returns whether this step may begin now; its run has `left_s` seconds left. A step that waits gets a place in
        the queue.
        """
        now = self._clock.monotonic_s()
        self._check_overdue(now)
        is_unpaid = step.outlasts and self._is_unpaid(step, run)
        # An unpaid try waits here for its turn, without a slot; any other try begins after its delay.
        block = self.breaker.find_block(now, 0.0 if is_unpaid else step.delay_s)
        slots = self.breaker.count_free_slots(now) if block is None else 0
        needs_turn = is_unpaid and self.breaker.phase.state == "closed"
        if slots and not needs_turn and not self.queue.waiters:
            return ALLOW
        key = make_key(step, run)
        if block is None and self.queue.may_pass(key, slots) and (not needs_turn or self._has_turn(key, now)):
            return ALLOW
        is_out = needs_turn or (block is not None and self.breaker.phase.state != "closed")
        deadline_s = now + bound_left_s(left_s, run) - step.rest_s
        if is_out:
            deadline_s = self._bound_deadline_s(key, step, now, deadline_s)
        if self._may_wait(step, block, now, deadline_s) and len(self.queue) < MAX_WAITING:
            lasts = step.kind == "model" or self._may_outlast(step)
            self.queue.join(key, key[0], wake, now, deadline_s=deadline_s, slots_only=lasts)
            self._set_timer(now, deadline_s - LEAST_S)
            reason = describe_wait(self.breaker, block, needs_turn=needs_turn)
            return Defer(reason, endpoint=self.breaker.name if is_out else "")
        self._failed.pop(key, None)
        if self.queue.leave(key) is not None:
            self._set_timer(now, now)  # its slot is free for another step
        left_s = deadline_s - now
        return write_refusal(step, self.breaker, block, self.setting, left_s, needs_turn=needs_turn)

    def _may_outlast(self, step: Step) -> bool:
        return step.outlasts and self.breaker.options.outlast

    def _is_unpaid(self, step: Step, run: RunState) -> bool:
        """Returns whether no retry token has paid for this try, so that it needs a turn even if the breaker is closed."""
        if not self._may_outlast(step):
            return False
        failed = self._failed.get(make_key(step, run)) if self._failed else None
        return count_spared(step, run) > 0 if failed is None else not failed.is_paid

    def _has_turn(self, key: Key, now: float) -> bool:
        if self.queue.has_offer(key):
            return True
        return not self.queue.waiters and self.turns.count_turns(now) > 0

    def _bound_deadline_s(self, key: Key, step: Step, now: float, deadline_s: float) -> float:
        """Returns the monotonic second until which a step may wait for an endpoint that is out of order. A tool, and
        the model of an agent that works for another one, may wait for half of the time that was left when the wait
        began: the agent that waits for them needs the other half.
        """
        if step.frame == 0 and step.kind == "model":
            return deadline_s
        failed = self._failed.get(key)
        known_s = self.queue.find_deadline_s(key) if failed is None else failed.deadline_s
        return min(deadline_s, (now + deadline_s) / 2 if known_s is None else known_s)

    def _may_wait(self, step: Step, block: Block | None, now: float, deadline_s: float) -> bool:
        """Returns whether the block can end while the run still has time."""
        if deadline_s - now <= LEAST_S:
            return False
        if block is None or block.reason == "due":
            return True
        waits = step.kind == "model" or self._may_outlast(step)
        if block.reason == "spend_limit" or (block.reason != "retry_after" and not waits):
            return False
        if block.until_s is None:
            return block.reason == "probing"
        return block.until_s <= deadline_s - LEAST_S

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        """Counts a step that begins. The time that the step has waited in the queue is subtracted from the delay of a
        retry. The step may get less time than its run has left: see `Attempts`.
        """
        now = self._clock.monotonic_s()
        since_s = self.queue.leave(make_key(step, run)) if self.queue.waiters else None
        delay_s = step.delay_s if since_s is None else max(0.0, step.delay_s - (now - since_s))
        key, breaker = (run.started.run, step.number), self.breaker
        run_s = run.started.limits.active_s
        is_retry = _is_retry(step, run) or (bool(self._failed) and make_key(step, run) in self._failed)
        if breaker.phase.state == "closed" and (
            since_s is not None or (step.outlasts and self._is_unpaid(step, run))
        ):
            self.turns.take_turn(key)
        breaker.begin(key, now, delay_s=delay_s, is_retry=is_retry, run_s=run_s)
        self._acquired[key] = AcquiredStep(now + delay_s, left_s - delay_s)
        self.used_s = now
        self._set_timer(now, now + delay_s + breaker.options.slow_s)  # there may be no other check until then
        if breaker.phase.state != "closed":
            # In mode `observe` no step waits, so no waiting step would request the right to probe.
            self._request_lease_if_due(breaker.find_block(now))
        if not self._counts_scheduled:
            self._counts_scheduled = True
            self._schedule_report(self, False)
        timeout_s = step.timeout_s
        if step.outlasts and not step.effect:
            timeout_s = self._bound_timeout_s(step, run, left_s - delay_s)
        if delay_s == step.delay_s and timeout_s == step.timeout_s:
            return step
        return replace(step, delay_s=delay_s, timeout_s=timeout_s)

    def _bound_timeout_s(self, step: Step, run: RunState, left_s: float) -> float | None:
        """Returns the seconds without a sign of life after which a step that may outlast its endpoint is given up; None: not
        before its run ends.
        """
        if not self._may_outlast(step) or run.modes.get(ENDPOINTS, "enforce") != "enforce":
            return step.timeout_s
        bound_s = self.attempts.compute_bound_s(_name_caller(step), bound_left_s(left_s, run) - step.rest_s)
        if bound_s is None or step.timeout_s is None:
            return step.timeout_s if bound_s is None else bound_s
        return min(step.timeout_s, bound_s)

    def release(self, step: Step, run: RunState, result: Result) -> None:
        """Counts the result of an acquired step."""
        now, key = self._clock.monotonic_s(), (run.started.run, step.number)
        acquired = self._acquired.pop(key, None)
        if acquired is None:
            return
        call_result = _classify_result(step, result, now - acquired.began_s, acquired.left_s)
        if call_result == "failed" and result.retry_after_s:
            seconds = self.breaker.accept_retry_after(now, result.retry_after_s)
            self._retry_after = RetryAfter(at=self._clock.wall_s(), seconds=seconds)
            self._newest_retry_after = self._retry_after
        if call_result == "answered" or result.status == "timeout":
            answered = call_result == "answered"
            self.attempts.learn(_name_caller(step), now - acquired.began_s, answered=answered)
        is_bad = call_result in ("failed", "spend_limit")
        if call_result == "answered" and self._failed:
            self._failed.pop(make_key(step, run), None)
        own_s = acquired.left_s - (now - acquired.began_s) if self._may_outlast(step) else 0.0
        # A silent call tells only how the endpoint was when the call began, and others may have been answered since.
        is_past = result.status == "timeout" and self.turns.was_answered_since(acquired.began_s)
        self.turns.end(
            key,
            "failed" if is_bad and not is_past else "answered" if call_result == "answered" else "",
            now,
            self._find_longest_s(now, own_s) if is_bad else 0.0,
        )
        self._last_probe = key if self.breaker.is_probe(key) else None
        phase = self.breaker.end(key, now, call_result, rng=self._rng)
        if phase is not None:
            self._move(phase, now, own_s)
        elif self.queue.waiters:
            self._set_timer(now, now)
        if is_bad or not self._counts_scheduled:
            self._counts_scheduled = True
            self._schedule_report(self, is_bad)

    def _find_longest_s(self, now: float, own_s: float = 0.0) -> float:
        """Returns the longest remaining time, in seconds, of a step that waits or is about to; infinite if there is
        none.
        """
        longest_s = own_s
        if self.queue.waiters:
            waiters = self.queue.waiters.values()
            longest_s = max([own_s, *(each.deadline_s - now for each in waiters if each.slots_only)])
        return longest_s if longest_s > 0 else float("inf")

    def may_retry(self, step: Step, run: RunState, result: Result, left_s: float, *, used_up: bool) -> Retry:
        """Returns whether a step may be tried again. Without `outlast`, a tool is not tried again while its breaker is
        open.

        Probes are not charged to the retry budget: the number of calls to the endpoint of an open breaker does not
        depend on it. With `outlast`, neither are the tries of a step that waits for the endpoint's recovery.
        """
        now, known = self._clock.monotonic_s(), make_key(step, run)
        block = self.breaker.find_block(now, step.delay_s)
        if block is not None and block.reason == "retry_after":
            block = None  # the retry waits until the block ends
        said: Retry
        if self._may_outlast(step) and result.endpoint == "broken":
            said = self._may_outlast_failure(step, run, block, now, left_s, used_up=used_up)
        elif used_up or (block is not None and (step.kind != "model" or block.reason == "spend_limit")):
            said = "no"
        else:
            is_probe = self._last_probe == (run.started.run, step.number)
            said = "yes" if is_probe or self.breaker.afford_retry(now) else "no"
        if said == "no":
            self._failed.pop(known, None)
        return said

    def _may_outlast_failure(
        self, step: Step, run: RunState, block: Block | None, now: float, left_s: float, *, used_up: bool
    ) -> Retry:
        """Returns whether a step that failed is tried again at once, or waits for the endpoint's recovery.

        It waits if no call was answered since its first failure. An endpoint that answers others, but not this step, is
        not out of order: then only the tries that the agent or the tool allows are made.
        """
        known, left_s = make_key(step, run), bound_left_s(left_s, run)
        failed = self._failed.get(known)
        if failed is None:
            deadline_s = float("inf")
            if step.frame != 0 or step.kind != "model":
                deadline_s = now + (left_s - step.rest_s) / 2
            failed = self._failed[known] = FailedStep(now, deadline_s)
        if not self._may_wait(step, block, now, min(failed.deadline_s, now + left_s - step.rest_s)):
            return "no"
        failed.is_paid = False
        if block is not None or not self.turns.was_answered_since(failed.since_s):
            return "waits"
        if used_up:
            return "no"
        failed.is_paid = self.breaker.afford_retry(now)
        return "yes"

    def forget(self, run_id: str) -> None:
        """Removes the steps of a run from the queue."""
        for key in [key for key in self._failed if key[0] == run_id]:
            del self._failed[key]
        if self.queue.waiters and self.queue.forget(run_id):
            now = self._clock.monotonic_s()
            self._set_timer(now, now)

    # ---- what changes by itself

    def _check_overdue(self, now: float) -> None:
        phase = self.breaker.check_overdue(now, rng=self._rng)
        if phase is not None:
            self._move(phase, now)

    def _move(self, phase: Phase, now: float, own_s: float = 0.0) -> None:
        """Moves this process to another phase at once, and schedules a report to the others. The step that has just
        failed has `own_s` seconds left to wait.
        """
        if phase.state == "open" and phase.cause in ("failed", "slow"):
            longest_s = self._find_longest_s(now, own_s)
            open_s = bound_open_s(phase.open_s, self.breaker.options, longest_s)
            phase = replace(phase, open_s=round(open_s, 3))
        if self._unreported is None:
            self._reported_version = self.breaker.phase.version
        self._unreported = replace(phase, at=self._clock.wall_s())
        self._enter(self._unreported, now)
        self._schedule_report(self, True)
        self._wake_affected(now)

    def _enter(self, phase: Phase, now: float, *, age_s: float = 0.0, replace: bool = False) -> bool:
        """Moves to a phase that is in force; returns False if it is not newer than the present one."""
        was_closed = self.breaker.phase.state == "closed"
        moved = self.breaker.enter(phase, now, age_s=age_s, replace=replace)
        if moved and phase.state == "closed" and not was_closed:
            self.turns.begin(now)
        return moved

    def _count_offers(self, now: float) -> int:
        """Returns the number of waiting steps that may be offered a slot now, including those that have one."""
        slots = self.breaker.count_free_slots(now)
        if self.breaker.phase.state != "closed":
            return slots
        return min(slots, self.turns.count_turns(now))

    def _wake_affected(self, now: float) -> None:
        """Wakes the runs of waiting steps for which something has changed."""
        breaker = self.breaker
        block = breaker.find_block(now)
        until_s = None if block is None else block.until_s

        def is_affected(waiter: Waiter) -> bool:
            if block is None or block.reason in ("probing", "due"):
                return not waiter.slots_only
            if block.reason == "spend_limit" or not waiter.slots_only:
                return True
            return until_s is None or until_s > waiter.deadline_s - LEAST_S

        if block is None:
            self._to_wake += self.queue.offer(self._count_offers(now), now)
        if block is not None or breaker.phase.state != "closed":
            self._to_wake += self.queue.mark_woken(now, is_affected)
        self._schedule_wakes(now)

    def _schedule_wakes(self, now: float) -> None:
        """Wakes runs in the next round of the event loop, because a driver may be at work in this one."""
        if self._to_wake:
            self._clock.call_later(0.0, self._wake)
        next_s = self.queue.find_next_s(LEAST_S)
        if next_s is not None:
            self._set_timer(now, max(now + TICK_S, next_s))

    def _wake(self) -> None:
        wakes, self._to_wake = self._to_wake, []
        for wake in wakes:
            wake()

    def _set_timer(self, now: float, at_s: float) -> None:
        """Sets the timer to `at_s` or, if a step waits, to the next change by time; never to a later time than
        before.
        """
        if self.queue.waiters and not self._lease_requested:
            if self._can_offer(now):
                at_s = now
            times = [self.breaker.find_next_s(now)]
            if self.breaker.phase.state == "closed":
                times.append(self.turns.find_next_s(now, self.queue.offers))
            at_s = min([at_s, *(next_s for next_s in times if next_s is not None)])
        if at_s >= self._timer_s or self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = at_s
        delay_s = 0.0 if at_s <= now else max(TICK_S, at_s - now)
        self._timer = self._clock.call_later(delay_s, self._on_timer)

    def _can_offer(self, now: float) -> bool:
        """Returns whether there is a free slot, and a turn, for a step that waits and has no offer."""
        offers = self.queue.offers
        if len(self.queue) <= offers or self.breaker.find_block(now) is not None:
            return False
        return self._count_offers(now) > offers

    def _on_timer(self) -> None:
        """Expires offers, wakes runs whose time is over, offers free slots, and requests the right to probe if it is
        due.
        """
        self._timer, self._timer_s = None, float("inf")
        now = self._clock.monotonic_s()
        self.queue.expire_offers(now)
        self._check_overdue(now)
        if not self.queue.waiters:
            if self.breaker.in_flight and (overdue_s := self.breaker.next_overdue_s) is not None:
                self._set_timer(now, max(overdue_s, now + TICK_S))
            return
        block = self.breaker.find_block(now)
        self._request_lease_if_due(block)
        if block is None:
            self._to_wake += self.queue.offer(self._count_offers(now), now)
        self._to_wake += self.queue.mark_woken(now, lambda waiter: waiter.deadline_s - LEAST_S <= now)
        self._schedule_wakes(now)

    def _request_lease_if_due(self, block: Block | None) -> None:
        if block is not None and block.reason == "due" and not self._lease_requested:
            self._lease_requested = True
            self._request_lease(self)

    def close(self) -> None:
        """Stops the timer; no run is woken after this."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._to_wake.clear()

    # ---- other processes

    @property
    def is_probing(self) -> bool:
        """Whether this process is probing, so that its right to probe must be renewed."""
        phase, breaker = self.breaker.phase, self.breaker
        probes = breaker.probes_in_flight
        return phase.state == "half_open" and phase.prober == breaker.owner and probes > 0

    def build_lease_request(self) -> Change:
        """Returns the report that gets this process the right to probe, if no other process is faster."""
        phase = replace(self.breaker.build_half_open(), at=self._clock.wall_s())
        return replace(self.build_report(), phase=phase, after=self.breaker.phase.version)

    def receive_lease(self, phase: Phase | None) -> None:
        """Goes on after a request for the right to probe. `phase`: the phase that this process grants itself because
        the journal could not be reached.
        """
        self._lease_requested = False
        now = self._clock.monotonic_s()
        if phase is not None and self._enter(phase, now):
            self._wake_affected(now)
        elif self.queue.waiters:
            self._set_timer(now, now + TICK_S)

    def build_report(self) -> Change:
        """Returns the current report; a process that is probing renews its right to probe with it."""
        now, wall_s = self._clock.monotonic_s(), self._clock.wall_s()
        breaker = self.breaker
        if self.is_probing and self._unreported is None:
            self._reported_version = breaker.phase.version
            self._unreported = replace(breaker.phase, beat=breaker.phase.beat + 1, at=wall_s)
            breaker.enter(self._unreported, now)
        self._reports += 1
        self._counts_scheduled = False
        return Change(
            owner=breaker.owner,
            counts=breaker.report(now, wall_s, self._reports),
            phase=self._unreported,
            after=self._reported_version,
            retry_after=self._retry_after,
        )

    def confirm_report(self, change: Change) -> None:
        """Marks a report as written. Changes that were made meanwhile are reported the next time."""
        if change.phase is not None:
            self._reported_version = change.phase.version
            if self._unreported is not None and self._unreported.version <= change.phase.version:
                self._unreported = None
        if self._retry_after is change.retry_after:
            self._retry_after = None

    def receive(self, record: EndpointRecord) -> None:
        """Applies the journal's record. If two processes moved at the same time, the phase of the record holds."""
        breaker, now, wall_s = self.breaker, self._clock.monotonic_s(), self._clock.wall_s()
        for owner in breaker.peers.keys() - record.processes.keys():
            del breaker.peers[owner]
        for owner, counts in record.processes.items():
            if owner != breaker.owner:
                breaker.receive_peer(owner, counts, now, age_s=max(0.0, wall_s - counts.at))
        retry_after = record.retry_after
        if retry_after.seconds and retry_after != self._newest_retry_after:
            self._newest_retry_after = retry_after
            breaker.accept_retry_after(now, retry_after.seconds - max(0.0, wall_s - retry_after.at))
        age_s = wall_s - record.phase.at
        if self._enter(record.phase, now, age_s=age_s, replace=self._unreported is None):
            self._wake_affected(now)
        elif self.queue.waiters:
            self._set_timer(now, now + TICK_S)

    def set_manually(self, setting: Setting | None, until_s: float | None) -> None:
        """Applies the setting of a person until `until_s` of the monotonic clock."""
        self.setting = setting
        breaker = self.breaker
        breaker.manual = "auto"
        if setting is not None and setting.value in ("closed", "isolated"):
            breaker.manual = "closed" if setting.value == "closed" else "isolated"
        breaker.manual_until_s = until_s
        self._wake_affected(self._clock.monotonic_s())


def make_key(step: Step, run: RunState) -> Key:
    """Returns the key of a proposal, which is the same each time it is checked. A frame has one model step, or one step
    for each call of a reply.
    """
    return (run.started.run, step.frame, "" if step.call is None else step.call.id)


def _name_caller(step: Step) -> str:
    """Returns the agent or the tool that makes the call: the durations of its earlier calls predict the next one."""
    return step.agent if step.kind == "model" else step.name


def _classify_result(step: Step, result: Result, took_s: float, left_s: float) -> CallResult:
    """Returns what a call tells about its endpoint. It took `took_s` seconds, and its run had `left_s` left when it
    began. A tool that returns a refusal (no such order, a bad amount) has answered. A tool that returned nothing within
    its own time, or raised an error that means that the external system is out of order, has failed. See
    `Result.endpoint`.
    """
    if result.status == "withdrawn" or result.endpoint == "unasked":
        return "unasked"
    if result.endpoint == "cut" or result.status in ("cancelled", "unknown", "lost"):
        return "cut"
    if result.status == "timeout":
        return "failed"
    if step.kind == "model" and result.error == "spend_limit":
        return "spend_limit"
    if step.kind == "model" and result.error == "timeout" and took_s >= left_s - ALMOST_S:
        return "cut"  # the model got the remaining time of the run, which was too little
    return "failed" if result.endpoint == "broken" else "answered"


def count_spared(step: Step, run: RunState) -> int:
    """Returns the failed tries of this step that do not count as tries that its agent or tool allows."""
    frame = run.frames.get(step.frame)
    if frame is None or step.call is None:
        return 0 if frame is None else frame.spared
    pending = find_call(frame, step.call.id)
    return 0 if pending is None else pending.spared


def _is_retry(step: Step, run: RunState) -> bool:
    """Returns whether this step is a retry of a failed one."""
    frame = run.frames.get(step.frame)
    if frame is None:
        return False
    if step.call is None:
        return frame.failures > 0
    pending = find_call(frame, step.call.id)
    return pending is not None and pending.failures > 0
