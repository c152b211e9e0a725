"""Replay: decides again over a recorded run, and names what today's code, limits or guards would do differently.

The recorded results stand in for the world; replay performs nothing. The fold follows the record. Before each
recorded decision replay calls today's `decide` and gate in that state. So it names every difference, not only the
first one, and each in the state in which it occurs. After a step at which today's run would be halted, it only counts
the recorded steps and does not compare them: they would not be made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

import msgspec

from seawall.core.errors import SeawallBug
from seawall.core.events import (
    CALLED,
    PERFORMED,
    Event,
    Judged,
    LimitsRaised,
    RunEnded,
    RunStarted,
    StepDone,
    StepIntended,
    VerdictKind,
)
from seawall.core.limits import Limits
from seawall.effects.guard import EFFECTS
from seawall.engine.gate import BUILT_IN, DEADLINE, Gate
from seawall.guards.authority.phrases import find_claims
from seawall.guards.limits import LIMITS
from seawall.guards.shared import SHARED
from seawall.history.asked import explain_going_on
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.fold import apply, begin
from seawall.run.guard import Guard
from seawall.run.ledger import find_shortfall
from seawall.run.lifted import leave_out_lifted
from seawall.run.permission_claims import AUTHORITY, ClaimIndex
from seawall.run.state import RunState
from seawall.run.step import Action, Close, End, Logic, Propose, Result, Step, restore_step
from seawall.run.traces import find_traces
from seawall.run.verdict import SEVERITY, kind_of

SLICE_EVENTS = 16
"""How many events are compared before other tasks get their turn, which takes some milliseconds."""

DifferenceKind = Literal["decision", "verdict", "version", "outcome"]


class Difference(msgspec.Struct, frozen=True):
    """One decision that would be taken differently today."""

    seq: int
    """The number of the recorded event at which today's run would differ."""
    step: int | None
    what: DifferenceKind
    recorded: str
    today: str
    unmade: int = 0
    """The number of recorded steps that would not be made, if today's run would end here."""


class Replay(msgspec.Struct, frozen=True):
    """The result of replaying one run."""

    run: str
    steps: int
    differences: tuple[Difference, ...]


async def replay(
    events: Sequence[Event], logic: Logic, guards: Sequence[Guard], limits: Limits | None, bodies: Bodies
) -> Replay:
    """Decides again over `events`, with today's `logic` and `guards`. Its only side effect is that it adds bodies.

    `limits` replace the recorded limits, and also the limits that people have raised.

    Other tasks get their turn between two slices of a long run.

    `bodies` must hold everything that the events refer to, because an erased argument would look like an invalid one.
    """
    started = events[0]
    if not isinstance(started, RunStarted):
        raise SeawallBug(f"a run's first event is {type(started).__name__}, not RunStarted")
    replayer = _Replayer(events, started, logic, guards, limits, bodies)
    for seq, _ in enumerate(replayer.run()):
        if seq % SLICE_EVENTS == SLICE_EVENTS - 1:
            await asyncio.sleep(0)
    return replayer.get_result()


class _Replayer:
    """One replay: the differences so far, and indexes of the record."""

    def __init__(
        self,
        events: Sequence[Event],
        started: RunStarted,
        logic: Logic,
        guards: Sequence[Guard],
        limits: Limits | None,
        bodies: Bodies,
    ) -> None:
        self._events = events
        self._started = started
        self._logic = logic
        self._guards = tuple(guards)
        self._follows = limits is None
        """Whether the recorded limits apply, with the changes that people made to them."""
        self._bodies = bodies
        asked = any(guard.name == AUTHORITY for guard in guards)
        traces = partial(bodies.cache.compute, find_traces)
        claims = ClaimIndex(partial(bodies.cache.compute, find_claims) if asked else None, traces)
        self._causes = Causes(traces, claims=claims)
        self._causes.learn_request(bodies.text(started.intent))
        self._use_limits(limits or started.limits)
        self._differences: list[Difference] = []
        self._versions: set[tuple[str, str]] = set()
        self._halted_today = False
        self._steps = 0
        held = leave_out_lifted(events)
        self._verdicts = _find_severest(held)
        self._shared = {
            (event.step, event.stage) for event in held if isinstance(event, Judged) and self._stands(event)
        }
        """Steps and stages whose recorded verdict is not compared."""
        self._statuses = {event.step: event.status for event in held if isinstance(event, StepDone)}
        self._was_overdue = any(_halts_overdue(event) for event in events)
        """Whether the deadline halted the recorded run. A timer fires a little late, so a result may come before it."""

    def _stands(self, judged: Judged) -> bool:
        """Returns whether a verdict is kept as recorded: the verdict of a guard across runs, or of a guard that is not here."""
        if judged.guard in (*SHARED, EFFECTS):
            return True
        here = (*BUILT_IN, *(guard.name for guard in self._guards))
        return bool(self._started.loop) and judged.guard not in here

    def _use_limits(self, limits: Limits) -> None:
        self._limits = limits
        self._gate = Gate(
            self._logic,
            self._guards,
            limits,
            self._bodies,
            self._causes,
            now=lambda: self._started.at,
            decisions=self._find_recorded,
        )

    def _find_recorded(
        self, step: Step, state: RunState, text: str, wake: Callable[[], None]
    ) -> tuple[str, ...]:
        """Returns a text if the recorded run has found a decision that supports the claim of a step; else nothing."""
        passed = self._verdicts.get((step.number, "before")) == "advise"
        return ("it is recorded",) if passed else ()

    def get_result(self) -> Replay:
        return Replay(self._started.run, self._steps, tuple(self._differences))

    def run(self) -> Iterator[None]:
        """Compares the events one by one."""
        modes = {**{guard.name: guard.mode for guard in self._guards}, **self._started.guards}
        state = begin(msgspec.structs.replace(self._started, guards=modes), self._guards)
        for seq, event in enumerate(self._events[1:], start=1):
            if isinstance(event, StepIntended):
                self._steps += 1
                if self._halted_today:
                    last = self._differences[-1]
                    self._differences[-1] = msgspec.structs.replace(last, unmade=last.unmade + event.perform)
                else:
                    self._check_intent(seq, event, state)
            elif self._halted_today:
                pass
            elif isinstance(event, StepDone):
                self._check_result(seq, event, state)
                self._causes.learn_version(0, event, self._bodies)
            elif isinstance(event, Judged) and event.verdict == "halt" and event.mode == "enforce":
                self._check_halt(seq, event, state)
            elif isinstance(event, RunEnded):
                self._check_end(seq, event, state)
            elif isinstance(event, LimitsRaised) and self._follows:
                self._use_limits(event.limits)
            for _ in self._causes.relearn((event,), self._bodies):
                pass
            state = apply(state, event, self._guards)
            yield

    def _add_difference(
        self, seq: int, step: int | None, what: DifferenceKind, recorded: str, today: str
    ) -> None:
        self._differences.append(Difference(seq, step, what, recorded, today))

    def _add_halt(self, seq: int, step: int, recorded: str, today: str, *, unmade: bool) -> None:
        """Records that today's run would end here."""
        self._differences.append(Difference(seq, step, "verdict", recorded, today, unmade=1 if unmade else 0))
        self._halted_today = True

    def _check_intent(self, seq: int, intent: StepIntended, state: RunState) -> None:
        if state.halted is not None:
            return
        actions = self._logic.decide(state)
        proposal = next((action for action in actions if _matches(action, intent)), None)
        if not isinstance(proposal, Propose):
            today = "; ".join(describe_action(action) for action in actions) or "waits"
            self._add_difference(seq, intent.step, "decision", _describe_intent(intent), today)
            return
        self._check_version(seq, intent, proposal, state)
        recorded = self._verdicts.get((intent.step, "before"), "allow")
        if (intent.step, "before") in self._shared:
            return
        if intent.kind == "approval" and recorded != "hold":
            return  # the step settles an effect, which no guard judges
        if self._logic.prepare(proposal, state, intent.step).lost:
            return  # arguments that are not stored can't be judged
        admitted = self._gate.admit(proposal, state, state.left_s)
        today, why = _read_admission(admitted.events, admitted.step is not None)
        if admitted.step is None and not admitted.events:
            today, why = self._judge_shortfall(intent, state)
        if self._statuses.get(intent.step) == "invalid":
            recorded = "invalid"
        elif proposal.skip is not None:  # the planner's decision is in the fold, and no guard judges it
            recorded = self._statuses.get(intent.step, recorded)
        if today != recorded:
            text = f"{_describe_intent(intent)}: {recorded}"
            if today == "halt":
                self._add_halt(seq, intent.step, text, f"{today}{why}", unmade=intent.perform)
            else:
                self._add_difference(seq, intent.step, "verdict", text, f"{today}{why}")

    def _judge_shortfall(self, intent: StepIntended, state: RunState) -> tuple[VerdictKind, str]:
        """Returns the verdict on a step that does not fit the limits while other steps are in flight.

        The step waits for them, and is halted if it does not fit afterwards.
        """
        short = find_shortfall(state.ledger, self._limits, intent.kind, intent.tokens, intent.usd)
        if short is None or short.waits:
            return "allow", " (waits for what is in flight)"
        return "halt", f" by 'limits': {short.limit_name} would be {short.value} (limit {short.limit})"

    def _check_version(self, seq: int, intent: StepIntended, proposal: Propose, state: RunState) -> None:
        prepared = self._logic.prepare(proposal, state, intent.step)
        if prepared.version == intent.version or not intent.version:
            return
        key = (intent.kind, intent.agent if intent.kind == "model" else intent.name)
        if key not in self._versions:
            self._versions.add(key)
            what = f"{key[1]!r} ({'prompt, model or tools' if intent.kind not in CALLED else 'tool'})"
            self._add_difference(
                seq, intent.step, "version", f"{what} at {intent.version}", f"changed: {prepared.version}"
            )

    def _check_result(self, seq: int, done: StepDone, state: RunState) -> None:
        intent = state.open.get(done.step)
        if intent is None:
            return
        given_s = state.started.limits.active_s
        used = given_s - done.left_s
        mode = state.modes.get(DEADLINE, "enforce")
        limit = self._limits.active_s
        halted_there = self._was_overdue and limit >= given_s
        if done.left_s and used > limit and mode == "enforce" and not halted_there:
            today = f"halt: {used:.3f} active seconds were used here (limit {limit:g})"
            self._add_halt(seq, done.step, _describe_intent(intent), today, unmade=False)
            return
        if not intent.perform or intent.kind not in PERFORMED or done.retry:
            return
        if done.status not in ("ok", "error", "timeout"):
            return
        result = Result(
            status=done.status,
            output=self._bodies.text(done.output),
            error=done.error,
            fingerprint=done.fingerprint,
            loose_fingerprint=done.loose_fingerprint,
            answer_fingerprint=done.answer_fingerprint,
            problem=None if done.problem is None else self._bodies.text(done.problem),
            answer=None if done.answer is None else self._bodies.text(done.answer),
        )
        step = restore_step(intent)
        result = self._gate.claiming.add_to_result(step, result, state)
        findings = self._gate.judge.judge(step, result, state)
        severest: VerdictKind = "allow"
        for finding in findings:
            kind = kind_of(finding.verdict)
            if finding.mode == "enforce" and SEVERITY[kind] > SEVERITY[severest]:
                severest = kind
        recorded = self._verdicts.get((done.step, "after"), "allow")
        text = f"{_describe_intent(intent)}, result: {recorded}"
        if severest == "halt" != recorded:
            self._add_halt(seq, done.step, text, severest, unmade=False)
        elif severest != recorded:
            self._add_difference(seq, done.step, "verdict", text, severest)

    def _check_halt(self, seq: int, halt: Judged, state: RunState) -> None:
        recorded = f"halt by {halt.guard!r}: {halt.reason}"
        if halt.guard == DEADLINE:
            if self._limits.active_s > state.started.limits.active_s:
                today = f"goes on (limit {self._limits.active_s:g} active seconds)"
                self._add_difference(seq, None, "verdict", recorded, today)
            return
        if halt.stage == "after" or self._stands(halt):
            return  # the result is compared
        if self._started.loop:  # the step that was halted is not recorded
            if today := explain_going_on(halt, state, self._limits):
                self._add_difference(seq, halt.step or None, "verdict", recorded, today)
            return
        for action in self._logic.decide(state):
            if isinstance(action, Propose):
                admitted = self._gate.admit(action, state, state.left_s)
                if admitted.step is None:
                    return  # today the run is stopped as well, or waits
        actions = "; ".join(describe_action(action) for action in self._logic.decide(state)) or "waits"
        self._add_difference(seq, halt.step or None, "verdict", recorded, f"goes on: {actions}")

    def _check_end(self, seq: int, ended: RunEnded, state: RunState) -> None:
        if state.halted is not None or state.cancelled is not None:
            return
        actions = self._logic.decide(state)
        if not any(getattr(action, "status", None) == ended.status for action in actions):
            today = "; ".join(describe_action(action) for action in actions) or "waits"
            self._add_difference(seq, None, "outcome", ended.status, today)


def _halts_overdue(event: Event) -> bool:
    return (
        isinstance(event, Judged)
        and event.guard == DEADLINE
        and event.verdict == "halt"
        and event.mode == "enforce"
    )


def _find_severest(events: Sequence[Event]) -> dict[tuple[int, str], VerdictKind]:
    """Returns the severest enforced verdict of each step and stage."""
    severest: dict[tuple[int, str], VerdictKind] = {}
    for event in events:
        if isinstance(event, Judged) and event.mode == "enforce" and not _is_of_time(event):
            key = (event.step, event.stage)
            if SEVERITY[event.verdict] > SEVERITY[severest.get(key, "allow")]:
                severest[key] = event.verdict
    return severest


def _is_of_time(judged: Judged) -> bool:
    """Returns whether the limits gave up a step in flight because a nested team's time was up, which is a recorded fact."""
    return judged.guard == LIMITS and judged.stage == "after"


def _matches(action: Action, intent: StepIntended) -> bool:
    if not isinstance(action, Propose) or action.frame != intent.frame or action.agent != intent.agent:
        return False
    call = None if action.call is None else action.call.id
    if call != intent.call:
        return False
    if intent.kind in ("approval", "model"):  # a held step is recorded as an approval; a model may be renamed
        return intent.kind == "approval" or action.kind == "model"
    return action.kind == intent.kind and action.name == intent.name


def _read_admission(events: Sequence[Event], performed: bool) -> tuple[str, str]:
    """Returns the verdict of today's gate on a proposal, and its reason."""
    judged = [event for event in events if isinstance(event, Judged) and event.mode == "enforce"]
    judged = [event for event in judged if event.stage == "before"]
    worst = max(judged, key=lambda event: SEVERITY[event.verdict], default=None)
    if worst is not None:
        return worst.verdict, f" by {worst.guard!r}: {worst.reason}"
    if performed:
        return "allow", ""
    done = next((event for event in events if isinstance(event, StepDone)), None)
    if done is not None:
        return ("allow", "") if done.status == "simulated" else (done.status, "")
    return "allow", ""


def _describe_intent(intent: StepIntended) -> str:
    return f"{intent.kind} {intent.name!r} by {intent.agent!r}"


def describe_action(action: Action) -> str:
    """Returns an action in words."""
    match action:
        case Propose():
            return f"{action.kind} {action.name!r} by {action.agent!r}"
        case Close():
            return f"ends step {action.step} as {action.status}"
        case End():
            return f"ends the run as {action.status}"
