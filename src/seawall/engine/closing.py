"""The end of a run that has used up a limit: it answers with what it has, and says what is missing. A tool call that
does not fit is not made, and neither is any call after it: the agent has one last model call, without tools, whose cost
was kept from the start. If not even that fits, an agent's caller gets the agent's results so far, and a run answers
with its recorded results. Only the owner of the limit (the run, one agent, a nested team) ends in this way.

If a framework's loop asks for the steps, it learns of the limit from the results of its calls, and the next request
that it makes becomes the last reply. An agent that is cut there is answered in the model's place, so that the agent's
loop ends as always. A run without room for its last reply is halted, because only that loop knows the form of an
answer.

Each decision is a `Planned` event, as the planner's are, and `team.decide` decides what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from seawall.core.events import CALLED, Planned
from seawall.core.limits import Limits
from seawall.guards.limits import LIMITS, Fits, Short, check_limits, stop_short
from seawall.guards.nested import TeamLimits, check_teams
from seawall.guards.shared import Defer
from seawall.run.bodies import Bodies
from seawall.run.frame import Frame
from seawall.run.ledger import NO_REST, Rest
from seawall.run.plan import Closed, Finding
from seawall.run.state import RunState
from seawall.run.step import End, Logic, Step
from seawall.run.verdict import GuardVerdict, Halt
from seawall.team.partial import MAX_FINDINGS, write_cut, write_last_note, write_partial_answer


class Closing:
    """Decides what replaces a step that does not fit into a limit."""

    def __init__(
        self,
        logic: Logic,
        limits: Limits,
        teams: Sequence[TeamLimits],
        bodies: Bodies,
        *,
        now: Callable[[], float],
        performs: bool,
    ) -> None:
        """`teams`: the limits of nested teams and of agents. `performs`: whether steps are performed, and not only
        judged.
        """
        self._logic = logic
        self._limits = limits
        self._teams = tuple(teams)
        self._bodies = bodies
        self._now = now
        self._performs = performs

    def __repr__(self) -> str:
        return "<Closing>"

    def check(
        self, step: Step, state: RunState, left_s: float
    ) -> Fits | Defer | Planned | list[GuardVerdict]:
        """Returns the verdict of the limits of the run, of nested teams and of agents on a step, or the event that
        replaces the step.
        """
        # the agent that a hand-off begins has its own last reply
        halts = step.halts and step.kind != "handoff"
        closed = state.find_closed(step.frame) if step.last or halts else None
        if closed is not None and (step.halts or state.frames[step.frame].has_replied_last):
            return self._end(step, closed, state)
        limits = self._limits
        answers = self._answers(limits, state) and not step.halts
        rest = self._logic.compute_rest(0, step, state) if answers else NO_REST
        limited = check_limits(step, state, limits, rest)
        if self._teams and isinstance(limited, Fits):
            limited = check_teams(self._teams, limited, state, left_s, self._compute_rest)
        if not isinstance(limited, Short):
            return limited
        answers = self._answers(limited.limits or limits, state) and not step.halts
        planned = self._plan(step, limited, state, rest) if answers else None
        if planned is not None:
            return planned
        return [GuardVerdict(LIMITS, stop_short(limited), state.modes.get(LIMITS, "enforce"))]

    def _end(self, step: Step, closed: Closed, state: RunState) -> Planned | list[GuardVerdict]:
        """Returns the replacement for a reply of an agent whose last reply was not an answer, or that can't have a last
        reply.
        """
        name = closed.limit.partition("=")[0]
        reason = closed.reason
        if not step.halts:
            reason = f"{reason}, and the last reply of {step.agent!r} was not an answer"
        short = Short(name, closed.limit, closed.value, reason, part=closed.part, label=closed.label)
        planned = (
            None if step.halts else self._plan(step, short, state, self._logic.compute_rest(0, step, state))
        )
        return planned or [GuardVerdict(LIMITS, stop_short(short), "enforce")]

    def _answers(self, limits: Limits, state: RunState) -> bool:
        """Returns whether the owner of these limits answers once they are used up."""
        enforced = state.modes.get(LIMITS, "enforce") == "enforce"
        return enforced and limits.at_limit == "answer" and self._performs

    def _compute_rest(self, team: TeamLimits, step: Step, state: RunState) -> Rest:
        if not self._answers(team.limits, state):
            return NO_REST
        return self._logic.compute_rest(team.find_top(step.frame, state), step, state)

    def answer_failed(self, end: End, state: RunState) -> Planned | None:
        """Returns the answer of a run whose last reply failed; None if it has nothing to answer with."""
        if end.status != "failed" or 0 not in state.plan.closing or state.plan.course != "team":
            return None
        return self._answer(state, None, self._logic.compute_rest(0, None, state))

    def end_overdue(self, step: Step, short: Short, state: RunState) -> Planned | GuardVerdict | None:
        """Returns how the run goes on once the time of the agent is up that a request goes to, or of a reviewer.

        None: the step is given up, and its caller is told.
        """
        if step.kind != "model" or state.frames[step.frame].kind == "handoff":
            return None
        if self._answers(short.limits or self._limits, state):
            planned = self._plan(step, short, state, self._logic.compute_rest(0, step, state))
            if planned is not None:
                return planned
        return GuardVerdict(LIMITS, Halt(short.reason, short.limit, short.value), "enforce")

    def _plan(self, step: Step, short: Short, state: RunState, rest: Rest) -> Planned | None:
        """Returns the event that replaces a step; None if there is none, so that the run is halted, or the step is
        refused. `rest` is the reserve for the run's own end.
        """
        frame = state.frames[step.frame]
        if step.kind == "review":
            return self._skip_review(frame, short, state, rest)
        if step.kind == "model":
            if frame.kind == "review":
                return self._skip_review(state.frames[frame.parent], short, state, rest)
            if not step.last and short.closes:
                return self._close(short)
            if frame.kind == "handoff" and state.plan.course == "team" and frame.id not in state.plan.cut:
                return self._cut(frame, short, state)
            return self._answer(state, short, rest)
        if short.name in ("depth", "handoffs") or state.is_closing(step.frame):
            return self._skip(step, short)
        return self._close(short) if step.kind in CALLED and short.closes else None

    def _close(self, short: Short) -> Planned:
        note = write_last_note(short.limit, short.part)
        told = f"Not done: {short.reason}."
        return self._make_event(
            short, action="close", frame=short.frame, note=self._bodies.put(note), told=self._bodies.put(told)
        )

    def _skip(self, step: Step, short: Short) -> Planned:
        note = f"Not done: {short.reason}. Go on without it, and say in the answer what is missing."
        call = None if step.call is None else step.call.id
        return self._make_event(
            short, action="skip", frame=step.frame, call=call, note=self._bodies.put(note)
        )

    def _cut(self, frame: Frame, short: Short, state: RunState) -> Planned:
        below = [number for number in state.frames if frame.id in state.walk_up(number)]
        why = f"{short.part or 'this run'} used up {short.limit}"
        note = write_cut(frame.agent, state.plan.list_found(below), self._bodies, why)
        return self._make_event(short, action="cut", frame=frame.id, note=self._bodies.put(note))

    def _skip_review(self, frame: Frame, short: Short, state: RunState, rest: Rest) -> Planned | None:
        if frame.kind == "root" and rest.must_review:
            return self._answer(state, short, rest)
        name = "review" if frame.kind == "root" else f"review:{frame.agent}"
        return self._make_event(short, action="review", frame=frame.id, more=(name,))

    def _answer(self, state: RunState, short: Short | None, rest: Rest) -> Planned | None:
        if state.started.loop:  # only the outside loop knows the form of an answer
            return None
        found: list[Finding] = state.plan.list_verified(words=not rest.must_review)
        earlier = None if state.plan.earlier is None else self._bodies.text(state.plan.earlier)
        if not (found or earlier) or state.approvals or any(step.effect for step in state.in_flight):
            return None
        why = "a limit was used up" if short is None else f"{short.limit} was used up"
        answer = self._bodies.put(write_partial_answer(found, self._bodies, why, earlier))
        reason = f"{short.reason}: " if short else "the last reply failed: "
        return self._make_event(
            short,
            reason=f"{reason}the answer is made of {len(found)} recorded results",
            action="partial",
            more=("answer:partial",),
            answer=answer,
            made_of=tuple(each.step for each in found[-MAX_FINDINGS:]),
        )

    def _make_event(
        self, short: Short | None, *, reason: str = "", more: tuple[str, ...] = (), **fields: Any
    ) -> Planned:
        name = f"{LIMITS}:{short.label}" if short is not None and short.label else LIMITS
        return Planned(
            at=self._now(),
            pruned=(name, *more),
            reason=reason or ("" if short is None else short.reason),
            limit="" if short is None else short.limit,
            value="" if short is None else short.value,
            part="" if short is None else short.part,
            **fields,
        )
