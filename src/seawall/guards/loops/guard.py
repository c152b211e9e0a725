"""The guard `loops`: it folds results into its state, and judges calls by the rules."""

from __future__ import annotations

from typing import Any, Unpack

from msgspec.structs import replace

from seawall.core.events import CALLED, REQUESTED, Event, Judged, RunTaken, StepDone, StepIntended
from seawall.guards.loops import messages, rules, turns
from seawall.guards.loops.cycles import check_cycle
from seawall.guards.loops.delegations import check_delegation
from seawall.guards.loops.failures import check_failures, find_refusals
from seawall.guards.loops.options import LoopKeywords, LoopOptions
from seawall.guards.loops.rounds import check_round
from seawall.guards.loops.sameness import check_fruitless, check_sameness
from seawall.guards.loops.state import (
    LastAnswer,
    LoopState,
    Scope,
    make_question,
    observe_events,
    observe_result,
    pack_handover,
    unpack_handover,
)
from seawall.guards.loops.waits import note_reply
from seawall.run.frame import effect_state
from seawall.run.guard import Guard
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Allow, Halt, Replace, Verdict

_INFORMATIVE = frozenset({"ok", "error", "timeout", "refused", "invalid"})
"""Statuses that tell the agent something. A replaced answer, a cancelled or a lost call count as nothing."""
_EMPTY_STATE = LoopState()
_EMPTY_SCOPE = Scope()


class Loops(Guard):
    """Advises an agent that learns nothing new, and halts its run before a call that would not get it any further.

    Takes the fields of `LoopOptions` as keywords. Raises `Misused` for values that are out of bounds.
    """

    name = "loops"
    judges_invalid = True

    def __init__(self, **options: Unpack[LoopKeywords]) -> None:
        self.options = LoopOptions(**options)

    def __repr__(self) -> str:
        if self.options.literal:
            return f"<Loops literal, {self.options.literal_calls} calls of one tool>"
        return f"<Loops no_news={self.options.no_news}, scope {self.options.scope}>"

    def start(self) -> LoopState:
        """Returns the state of a run that has made no call."""
        return _EMPTY_STATE

    def fold(self, memory: Any, event: Event, run: RunState) -> LoopState:
        """Folds an event: a result, an effect that begins, or a process that takes the run over."""
        state: LoopState = memory or _EMPTY_STATE
        if self.options.literal:
            return _count_literal_call(state, event)
        match event:
            case StepIntended():
                state = turns.fold_intent(state, event)
                writes = event.effect and event.perform
                return rules.count_write(state, event.name, 1) if writes else state
            case StepDone():
                return self._fold_done(turns.fold_done(state, event, run), event, run)
            case Judged():
                return turns.fold_verdict(state, event, run)
            case RunTaken():
                state = replace(state, segment=state.segment + 1)
                handover = event.handover.get(self.name) if self.options.scope == "session" else None
                return state if handover is None else replace(state, scopes={0: unpack_handover(handover)})
            case _:
                return state

    def _fold_done(self, state: LoopState, event: StepDone, run: RunState) -> LoopState:
        if event.step in state.scopes:  # a hand-off or review has ended, and with it what its frame knew
            state = replace(state, scopes={f: scope for f, scope in state.scopes.items() if f != event.step})
        step = run.open.get(event.step)
        if step is not None and step.kind == "model":
            return note_reply(state, step.at, event.at)
        if step is not None and step.effect and step.perform:
            if _was_not_done(event):
                state = rules.count_write(state, step.name, -1)
            elif effect_state(event) == "unknown":  # it may have happened: no known answer is fresh any more
                state = replace(state, segment=state.segment + 1)
        if step is None or event.retry or event.status not in _INFORMATIVE:
            return state
        observation = observe_events(step, event)
        if observation is None or turns.is_same_mistake(state, observation, run):
            return state
        state = turns.note_mistake(state, observation, run)
        scope_id = self._find_scope_id(observation.frame)
        scope = state.scopes.get(scope_id, _EMPTY_SCOPE)
        learned = rules.learn(state, scope, observation, self.options)
        was_judged = step.kind != "approval" and (step.perform or event.status == "invalid")
        if learned.notices and was_judged:
            learned = replace(learned, state=turns.note_advice(learned.state, step.frame))
        return rules.keep(learned, observation, scope_id)

    def carry(self, memory: Any) -> str | None:
        """Returns what the run knew at its end, for the session's next run; only with the option `scope="session"`."""
        state: LoopState = memory or _EMPTY_STATE
        scope = state.scopes.get(0) if self.options.scope == "session" else None
        return None if scope is None else pack_handover(scope, state.world_changes)

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        """Halts a call that would not get the agent any further, lets a poll wait, and answers a read that is fresh."""
        state: LoopState = memory or _EMPTY_STATE
        options = self.options
        if options.literal:
            return _check_literal(step, state, options.literal_calls)
        if step.kind == "model":
            return _check_turns(step, state, options)
        if step.kind not in REQUESTED:
            return ALLOW
        scope = state.scopes.get(self._find_scope_id(step.frame), _EMPTY_SCOPE)
        answer = rules.find_answer(scope, step)
        violation = None
        if answer is not None:
            violation = (
                rules.check_repeats(state, scope, step, answer, options)
                or rules.check_stretch(state, scope, step, answer, options)
                or rules.check_alike(state, scope, step, answer, options)
            )
        violation = (
            violation
            or rules.check_errors(state, scope, step, options)
            or check_failures(state, step, options)
            or check_sameness(state, scope, step, options)
            or check_fruitless(state, step, answer, options)
            or check_cycle(state, step, options)
            or check_round(state, step, options)
            or check_delegation(state, step, options)
            or rules.check_writes(state, step, options)
        )
        if violation is not None:
            return messages.write_halt(step, violation)
        if answer is None:
            return ALLOW
        if step.fresh_s is not None:
            spelled = scope.answers.get(make_question(step.name, step.arguments_key))
            return ALLOW if spelled is None else _answer_if_fresh(step, run, state, spelled)
        wait_s = rules.compute_poll_wait_s(state, scope, answer, options) if step.poll else 0.0
        return Allow(wait_s) if wait_s else ALLOW

    def after(self, step: Step, result: Result, run: RunState, memory: Any) -> Verdict:
        """Advises on a call that returned nothing new, and names the step with the known result."""
        if self.options.literal or result.status not in _INFORMATIVE:
            return ALLOW
        intended = run.open.get(step.number)
        observation = observe_result(step, result, 0.0 if intended is None else intended.at)
        if observation is None:
            return ALLOW
        state: LoopState = memory or _EMPTY_STATE
        if turns.is_same_mistake(state, observation, run):
            return ALLOW
        scope = state.scopes.get(self._find_scope_id(observation.frame), _EMPTY_SCOPE)
        if rules.is_new_in_every_way(state, scope, observation):
            return ALLOW
        notices = rules.learn(state, scope, observation, self.options).notices
        return messages.write_advice(step, result, notices) if notices else ALLOW

    def _find_scope_id(self, frame: int) -> int:
        return frame if self.options.scope == "frame" else 0


def _check_literal(step: Step, state: LoopState, limit: int) -> Verdict:
    """With `literal`: halts a call of a tool that its agent has called too often."""
    calls = state.literal_calls.get(f"{step.agent}\0{step.name}", 0) if step.kind in CALLED else 0
    if calls < limit:
        return ALLOW
    reason = f"{step.agent!r} called {step.name!r} {calls} times already (limit {limit})"
    return Halt(reason, f"literal_calls={limit}", calls + 1)


def _check_turns(step: Step, state: LoopState, options: LoopOptions) -> Verdict:
    """Halts an agent's model call after too many that led to nothing, and advises before that."""
    barren = state.barren.get(step.frame)
    if barren is None:
        return ALLOW
    violation = turns.check_model(barren, options)
    if violation is not None:
        return messages.write_turns_halt(step, barren, violation)
    notice = None
    if not barren.advised:
        notice = turns.find_notice(barren, options) or find_refusals(state, barren.refused, options)
    return ALLOW if notice is None else messages.write_turns_advice(step, barren, notice)


def _count_literal_call(state: LoopState, event: Event) -> LoopState:
    """With `literal`: counts a call that is about to be made."""
    if not (isinstance(event, StepIntended) and event.kind in CALLED and event.perform):
        return state
    key = f"{event.agent}\0{event.name}"
    return replace(state, literal_calls={**state.literal_calls, key: state.literal_calls.get(key, 0) + 1})


def _was_not_done(done: StepDone) -> bool:
    """Returns whether an effect that was begun is known not to have happened."""
    return done.error == "not_done" or done.status in ("lost", "withdrawn")


def _answer_if_fresh(step: Step, run: RunState, state: LoopState, answer: LastAnswer) -> Verdict:
    """Returns the known answer if it is young enough by the run's own clock, which never goes back."""
    limit_s = step.fresh_s or 0.0
    if not answer.ok or answer.output is None or run.left_s <= 0:
        return ALLOW
    age_s = answer.left_s - run.left_s
    if answer.segment != state.segment or answer.streak[1] != state.world_changes or not 0 <= age_s < limit_s:
        return ALLOW
    if any(each.effect for each in run.in_flight):
        return ALLOW
    reason = (
        f"{step.name!r} was asked this in step {answer.first_step}, {age_s:.1f} s ago (fresh_s {limit_s:g})"
    )
    return Replace(reason, "", f"fresh_s={limit_s:g}", round(age_s, 3), ref=answer.output)
