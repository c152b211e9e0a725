"""The guard: it folds what the rules remember, and says what they say."""

from __future__ import annotations

from typing import Any, Unpack

from msgspec.structs import replace

from seawall.core.events import Event, RunTaken, StepDone, StepIntended
from seawall.guards.loops import messages, rules
from seawall.guards.loops.options import LoopOptions, Options
from seawall.guards.loops.state import (
    LoopState,
    Scope,
    make_question,
    observe_events,
    observe_result,
    pack,
    unpack,
)
from seawall.run.frame import effect_state
from seawall.run.guard import Guard
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Allow, Halt, Replace, Verdict

_TEACHES = frozenset({"ok", "error", "timeout", "refused", "invalid"})
"""Statuses that tell the agent something. A replaced answer, a cancelled or a lost call count as nothing."""


class Loops(Guard):
    """Advises an agent that learns nothing new, and halts its run before a call that would bring it no further.

    Takes the fields of `LoopOptions` as keywords. Raises `Misused` for what can't be meant.
    """

    name = "loops"

    def __init__(self, **options: Unpack[Options]) -> None:
        self.options = LoopOptions(**options)

    def __repr__(self) -> str:
        if self.options.literal:
            return f"<Loops literal, {self.options.literal_calls} calls of one tool>"
        return f"<Loops {self.options.no_news} in a row without news, scope {self.options.scope}>"

    def start(self) -> LoopState:
        """Nothing is known yet."""
        return LoopState()

    def fold(self, memo: Any, event: Event, run: RunState) -> LoopState:
        """Take in a result."""
        known: LoopState = memo or LoopState()
        if self.options.literal:
            return _counted(known, event)
        if isinstance(event, RunTaken):
            known = replace(known, segment=known.segment + 1)
            left = event.handover.get(self.name) if self.options.scope == "session" else None
            return known if left is None else replace(known, scopes={0: unpack(left)})
        if isinstance(event, StepIntended) and event.effect and event.perform:
            return rules.count_write(known, event.name, 1)
        if not isinstance(event, StepDone):
            return known
        if event.step in known.scopes:  # a hand-off or review has ended, and with it what its frame knew
            known = replace(known, scopes={f: scope for f, scope in known.scopes.items() if f != event.step})
        step = run.open.get(event.step)
        if step is not None and step.effect and step.perform:
            if _undone(event):
                known = rules.count_write(known, step.name, -1)
            elif effect_state(event) == "unknown":  # it may have happened: nothing is fresh any more
                known = replace(known, segment=known.segment + 1)
        if step is None or event.retry or event.status not in _TEACHES:
            return known
        if step.kind == "model":
            return _reply(known, step.frame, event.problem or "")
        taught = observe_events(step, event)
        if taught is None:
            return known
        place = self._place(taught.frame)
        scope = known.scopes.get(place, Scope())
        return rules.keep(rules.learn(known, scope, taught, self.options), taught, place)

    def carry(self, memo: Any) -> str | None:
        """With scope `session`: what the run knew at its end."""
        known: LoopState = memo or LoopState()
        scope = known.scopes.get(0) if self.options.scope == "session" else None
        return None if scope is None else pack(scope, known.world)

    def before(self, step: Step, run: RunState, memo: Any) -> Verdict:
        """Halt a call that would bring the agent no further; let a poll wait; answer a read that is fresh."""
        known: LoopState = memo or LoopState()
        if self.options.literal:
            return self._literal(step, known)
        if step.kind == "model":
            return self._useless(step, known.scopes.get(step.frame))
        if step.kind not in ("tool", "handoff"):
            return ALLOW
        scope = known.scopes.get(self._place(step.frame), Scope())
        options = self.options
        stop = (
            rules.against_question(known, scope, step, options)
            or rules.against_stretch(known, scope, step, options)
            or rules.against_errors(known, scope, step, options)
            or rules.against_cycle(known, step, options)
            or rules.against_delegation(known, step, options)
            or rules.against_write(known, step, options)
        )
        if stop is not None:
            return messages.write_halt(step, stop)
        if step.fresh_s is not None:
            return _fresh(step, run, known, scope)
        wait_s = rules.wait_s(known, scope, step, options)
        return Allow(wait_s) if wait_s else ALLOW

    def after(self, step: Step, result: Result, run: RunState, memo: Any) -> Verdict:
        """Advise on a call without news, with what was already known."""
        if self.options.literal or result.status not in _TEACHES:
            return ALLOW
        taught = observe_result(step, result)
        if taught is None:
            return ALLOW
        known: LoopState = memo or LoopState()
        scope = known.scopes.get(self._place(taught.frame), Scope())
        lessons = rules.learn(known, scope, taught, self.options).lessons
        return messages.write_advice(step, result, lessons) if lessons else ALLOW

    def _place(self, frame: int) -> int:
        return frame if self.options.scope == "frame" else 0

    def _literal(self, step: Step, known: LoopState) -> Verdict:
        made = known.calls.get(f"{step.agent}\0{step.name}", 0) if step.kind == "tool" else 0
        limit = self.options.literal_calls
        if made < limit:
            return ALLOW
        reason = f"{step.agent!r} called {step.name!r} {made} times already (limit {limit})"
        return Halt(reason, f"literal_calls={limit}", made + 1)

    def _useless(self, step: Step, scope: Scope | None) -> Verdict:
        limit = self.options.replies
        if scope is None or scope.problems < limit:
            return ALLOW
        reason = f"{step.agent!r} gave {scope.problems} replies in a row that are no use (limit {limit})"
        return Halt(reason, f"replies={limit}", scope.problems)


def _counted(memo: LoopState, event: Event) -> LoopState:
    """With `literal`: count a call that is about to be made."""
    if not (isinstance(event, StepIntended) and event.kind == "tool" and event.perform):
        return memo
    key = f"{event.agent}\0{event.name}"
    return replace(memo, calls={**memo.calls, key: memo.calls.get(key, 0) + 1})


def _undone(done: StepDone) -> bool:
    """Whether an effect that was begun is known not to have happened."""
    return done.error == "not_done" or done.status in ("lost", "withdrawn")


def _reply(memo: LoopState, frame: int, problem: str) -> LoopState:
    scope = memo.scopes.get(frame, Scope())
    if not problem and not scope.problems:
        return memo
    problems = (scope.problems + 1 if problem == scope.problem else 1) if problem else 0
    scope = replace(scope, problems=problems, problem=problem)
    return replace(memo, scopes={**memo.scopes, frame: scope})


def _fresh(step: Step, run: RunState, memo: LoopState, scope: Scope) -> Verdict:
    """The known answer, if it is young enough by the run's own clock, which no wall clock can set back."""
    known = scope.known.get(make_question(step.name, step.input))
    limit = step.fresh_s or 0.0
    if known is None or not known.ok or known.output is None or run.left_s <= 0:
        return ALLOW
    age_s = known.left_s - run.left_s
    if known.segment != memo.segment or known.spell[1] != memo.world or not 0 <= age_s < limit:
        return ALLOW
    if any(each.effect for each in run.in_flight):
        return ALLOW
    reason = f"{step.name!r} was asked this in step {known.step}, {age_s:.1f} s ago (fresh_s {limit:g})"
    return Replace(reason, "", f"fresh_s={limit:g}", round(age_s, 3), ref=known.output)
