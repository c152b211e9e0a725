"""Replay: decide again over a recorded run, and name what today's code, limits or guards would do differently.

The recorded results stand in for the world; nothing is performed. The fold follows the record, and before each
recorded decision today's `decide` and gate are asked what they would have done in that state. So every
difference is named, not only the first, and each in the state in which it was met. Where today's run would
have been halted, the recorded steps that follow are counted and no longer compared: they would not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from seawall.core.errors import SeawallBug
from seawall.core.events import Event, Judged, RunEnded, RunStarted, StepDone, StepIntended, VerdictKind
from seawall.core.limits import Limits
from seawall.engine.gate import DEADLINE, Gate
from seawall.guards.shared import SHARED
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.fold import apply, begin
from seawall.run.guard import Guard
from seawall.run.ledger import find_shortfall
from seawall.run.state import RunState
from seawall.run.step import Action, Close, End, Logic, Propose, Result, restore_step
from seawall.run.verdict import SEVERITY, kind_of

What = Literal["decision", "verdict", "version", "outcome"]


class Difference(msgspec.Struct, frozen=True):
    """One decision that would be taken differently today."""

    seq: int
    """The recorded event at which the ways part."""
    step: int | None
    what: What
    recorded: str
    today: str
    unmade: int = 0
    """Where today's run would end here: the recorded steps that would not have been made."""


class Replay(msgspec.Struct, frozen=True):
    """What came of replaying one run."""

    run: str
    steps: int
    differences: tuple[Difference, ...]


def replay(
    events: Sequence[Event], logic: Logic, guards: Sequence[Guard], limits: Limits, bodies: Bodies
) -> Replay:
    """Decide again over `events`, with today's `logic`, `guards` and `limits`. Pure but for new bodies.

    `bodies` holds what the events refer to: all of it, as an erased argument would read as an invalid one.
    """
    started = events[0]
    if not isinstance(started, RunStarted):
        raise SeawallBug(f"a run's first event is {type(started).__name__}, not RunStarted")
    return _Replayer(events, started, logic, guards, limits, bodies).run()


class _Replayer:
    def __init__(
        self,
        events: Sequence[Event],
        started: RunStarted,
        logic: Logic,
        guards: Sequence[Guard],
        limits: Limits,
        bodies: Bodies,
    ) -> None:
        self._events = events
        self._started = started
        self._logic = logic
        self._guards = tuple(guards)
        self._limits = limits
        self._bodies = bodies
        self._gate = Gate(logic, guards, limits, bodies, Causes(), now=lambda: started.at)
        self._found: list[Difference] = []
        self._versions: set[tuple[str, str]] = set()
        self._halted_today = False
        self._verdicts = _verdicts(events)
        self._shared = {
            (event.step, event.stage)
            for event in events
            if isinstance(event, Judged) and event.guard in SHARED
        }
        self._statuses = {event.step: event.status for event in events if isinstance(event, StepDone)}

    def run(self) -> Replay:
        modes = {**{guard.name: guard.mode for guard in self._guards}, **self._started.guards}
        state = begin(msgspec.structs.replace(self._started, guards=modes), self._guards)
        steps = 0
        for seq, event in enumerate(self._events[1:], start=1):
            if isinstance(event, StepIntended):
                steps += 1
                if self._halted_today:
                    last = self._found[-1]
                    self._found[-1] = msgspec.structs.replace(last, unmade=last.unmade + event.perform)
                else:
                    self._intended(seq, event, state)
            elif self._halted_today:
                pass
            elif isinstance(event, StepDone):
                self._done(seq, event, state)
            elif isinstance(event, Judged) and event.verdict == "halt" and event.mode == "enforce":
                self._halted(seq, event, state)
            elif isinstance(event, RunEnded):
                self._ended(seq, event, state)
            state = apply(state, event, self._guards)
        return Replay(self._started.run, steps, tuple(self._found))

    def _differs(self, seq: int, step: int | None, what: What, recorded: str, today: str) -> None:
        self._found.append(Difference(seq, step, what, recorded, today))

    def _halts(self, seq: int, step: int, recorded: str, today: str, *, unmade: bool) -> None:
        """Today's run would end here."""
        self._found.append(Difference(seq, step, "verdict", recorded, today, unmade=1 if unmade else 0))
        self._halted_today = True

    def _intended(self, seq: int, intent: StepIntended, state: RunState) -> None:
        if state.halted is not None:
            return
        actions = self._logic.decide(state)
        proposal = next((action for action in actions if _matches(action, intent)), None)
        if not isinstance(proposal, Propose):
            today = "; ".join(describe_action(action) for action in actions) or "waits"
            self._differs(seq, intent.step, "decision", _taken(intent), today)
            return
        self._version(seq, intent, proposal, state)
        recorded = self._verdicts.get((intent.step, "before"), "allow")
        if (intent.step, "before") in self._shared:
            return
        if intent.kind == "approval" and recorded != "hold":
            return  # it settles an effect; no guard was asked
        admitted = self._gate.admit(proposal, state, state.left_s)
        today, why = _admitted(admitted.events, admitted.step is not None)
        if admitted.step is None and not admitted.events:
            today, why = self._short(intent, state)
        if self._statuses.get(intent.step) == "invalid":
            recorded = "invalid"
        elif proposal.skip is not None:  # the planner's word, which is folded; no guard was asked
            recorded = self._statuses.get(intent.step, recorded)
        if today != recorded:
            said = f"{_taken(intent)}: {recorded}"
            if today == "halt":
                self._halts(seq, intent.step, said, f"{today}{why}", unmade=intent.perform)
            else:
                self._differs(seq, intent.step, "verdict", said, f"{today}{why}")

    def _short(self, intent: StepIntended, state: RunState) -> tuple[VerdictKind, str]:
        """What becomes of a step that does not fit while others are in flight: it waits, and is halted if it
        still does not fit then.
        """
        short = find_shortfall(state.ledger, self._limits, intent.kind, intent.tokens, intent.usd)
        if short is None or short.waits:
            return "allow", " (waits for what is in flight)"
        return "halt", f" by 'limits': {short.limit_name} would be {short.value} (limit {short.limit})"

    def _version(self, seq: int, intent: StepIntended, proposal: Propose, state: RunState) -> None:
        prepared = self._logic.prepare(proposal, state, intent.step)
        if prepared.version == intent.version or not intent.version:
            return
        key = (intent.kind, intent.agent if intent.kind == "model" else intent.name)
        if key not in self._versions:
            self._versions.add(key)
            what = f"{key[1]!r} ({'prompt, model or tools' if intent.kind != 'tool' else 'tool'})"
            self._differs(
                seq, intent.step, "version", f"{what} at {intent.version}", f"changed: {prepared.version}"
            )

    def _done(self, seq: int, done: StepDone, state: RunState) -> None:
        intent = state.open.get(done.step)
        if intent is None:
            return
        used = self._started.limits.active_s - done.left_s
        mode = state.modes.get(DEADLINE, "enforce")
        if done.left_s and used > self._limits.active_s and mode == "enforce":
            limit = self._limits.active_s
            today = f"halt: {used:.3f} active seconds were used here (limit {limit:g})"
            self._halts(seq, done.step, _taken(intent), today, unmade=False)
            return
        if not intent.perform or intent.kind not in ("model", "tool") or done.retry:
            return
        if done.status not in ("ok", "error", "timeout"):
            return
        result = Result(
            status=done.status,
            output=self._bodies.text(done.output),
            error=done.error,
            fingerprint=done.fingerprint,
            loose_fingerprint=done.loose_fingerprint,
            problem=None if done.problem is None else self._bodies.text(done.problem),
            answer=None if done.answer is None else self._bodies.text(done.answer),
        )
        step = restore_step(intent)
        findings = self._gate.judge.judge(step, result, state)
        severest: VerdictKind = "allow"
        for finding in findings:
            kind = kind_of(finding.verdict)
            if finding.mode == "enforce" and SEVERITY[kind] > SEVERITY[severest]:
                severest = kind
        recorded = self._verdicts.get((done.step, "after"), "allow")
        said = f"{_taken(intent)}, result: {recorded}"
        if severest == "halt" != recorded:
            self._halts(seq, done.step, said, severest, unmade=False)
        elif severest != recorded:
            self._differs(seq, done.step, "verdict", said, severest)

    def _halted(self, seq: int, halt: Judged, state: RunState) -> None:
        recorded = f"halt by {halt.guard!r}: {halt.reason}"
        if halt.guard == DEADLINE:
            if self._limits.active_s > self._started.limits.active_s:
                today = f"goes on (limit {self._limits.active_s:g} active seconds)"
                self._differs(seq, None, "verdict", recorded, today)
            return
        if halt.stage == "after" or halt.guard in SHARED:
            return  # compared with its result; or it stands as it was recorded
        for action in self._logic.decide(state):
            if isinstance(action, Propose):
                admitted = self._gate.admit(action, state, state.left_s)
                if admitted.step is None:
                    return  # stopped today as well, or waits
        actions = "; ".join(describe_action(action) for action in self._logic.decide(state)) or "waits"
        self._differs(seq, halt.step or None, "verdict", recorded, f"goes on: {actions}")

    def _ended(self, seq: int, ended: RunEnded, state: RunState) -> None:
        if state.halted is not None or state.cancelled is not None:
            return
        actions = self._logic.decide(state)
        if not any(getattr(action, "status", None) == ended.status for action in actions):
            today = "; ".join(describe_action(action) for action in actions) or "waits"
            self._differs(seq, None, "outcome", ended.status, today)


def _verdicts(events: Sequence[Event]) -> dict[tuple[int, str], VerdictKind]:
    """The severest enforced verdict of each step and stage."""
    found: dict[tuple[int, str], VerdictKind] = {}
    for event in events:
        if isinstance(event, Judged) and event.mode == "enforce":
            key = (event.step, event.stage)
            if SEVERITY[event.verdict] > SEVERITY[found.get(key, "allow")]:
                found[key] = event.verdict
    return found


def _matches(action: Action, intent: StepIntended) -> bool:
    if not isinstance(action, Propose) or action.frame != intent.frame or action.agent != intent.agent:
        return False
    call = None if action.call is None else action.call.id
    if call != intent.call:
        return False
    if intent.kind in ("approval", "model"):  # a held step is recorded as an approval; a model may be renamed
        return intent.kind == "approval" or action.kind == "model"
    return action.kind == intent.kind and action.name == intent.name


def _admitted(events: Sequence[Event], performed: bool) -> tuple[str, str]:
    """What today's gate makes of a proposal, and why."""
    judged = [event for event in events if isinstance(event, Judged) and event.mode == "enforce"]
    worst = max(judged, key=lambda event: SEVERITY[event.verdict], default=None)
    if worst is not None:
        return worst.verdict, f" by {worst.guard!r}: {worst.reason}"
    if performed:
        return "allow", ""
    done = next((event for event in events if isinstance(event, StepDone)), None)
    if done is not None:
        return ("allow", "") if done.status == "simulated" else (done.status, "")
    return "allow", ""


def _taken(intent: StepIntended) -> str:
    return f"{intent.kind} {intent.name!r} by {intent.agent!r}"


def describe_action(action: Action) -> str:
    """An action in words."""
    match action:
        case Propose():
            return f"{action.kind} {action.name!r} by {action.agent!r}"
        case Close():
            return f"ends step {action.step} as {action.status}"
        case End():
            return f"ends the run as {action.status}"
