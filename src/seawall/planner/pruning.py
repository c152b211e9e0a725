"""The planner of one run: compares what is left with what a step and the mandatory rest need, and prunes.

In this order: optional agents, then a review (never once an effect was proposed), then the whole team for its
fallback agent, then everything but the record. A step begins if it is likely to be done in what is left but for
that rest, and is cut where the rest begins: so the coordinator's reply, the fallback's or the record's comes
before the deadline, whatever stalls.

This is the shell's part: it reads what is known of latencies, and every decision of it becomes a `Planned`
event with its numbers. What follows from that is `decide`'s, which is pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seawall.core.events import Planned, StepDone
from seawall.guards.deadline import DEADLINE, PLANNER
from seawall.planner.estimates import Estimator, name_latency, walk_up
from seawall.planner.latencies import Latencies
from seawall.run.bodies import Bodies
from seawall.run.frame import Frame
from seawall.run.state import RunState
from seawall.run.step import Action, End, Propose, Step
from seawall.team.partial import MAX_FINDINGS, write_partial_answer
from seawall.team.planner import Planner
from seawall.team.team import Team

KEPT = 0.25
"""Share of the run's time that is kept for a fallback agent of which nothing is known, where there is no other
answer: or a first run whose coordinator stalls would end without one."""
_LEAST_S = 0.001
"""A step that begins may take at least so long: a timer of nothing would fire before it. Moments that are closer
together are one."""


class RunPlanner:
    """The planner of one run. It reads the state, the seconds left and what is known of latencies.

    What it decides is an event. With mode `observe` the event is only recorded.
    """

    def __init__(
        self,
        team: Team,
        options: Planner,
        latencies: Latencies,
        bodies: Bodies,
        *,
        now: Callable[[], float],
    ) -> None:
        self._team = team
        self._options = options
        self._estimator = Estimator(team, options, latencies)
        self._bodies = bodies
        self._now = now

    def __repr__(self) -> str:
        return f"<RunPlanner {self._estimator!r}>"

    def learn(self, step: Step, done: StepDone) -> None:
        """Take in how long a step took."""
        self._estimator.learn(step, done)

    # ---- before a step

    def plan(self, action: Action, state: RunState, left_s: float) -> Planned | None:
        """What to prune in place of `action`; None if it fits, or if there is nothing better to do."""
        self._estimator.begin()
        if not self._plans(state) or state.plan.course == "partial":
            return None
        if isinstance(action, End):  # the fallback agent failed: the record answers, if it has anything
            fails = state.plan.course == "fallback" and action.status == "failed"
            return self._partial(state, left_s, 0.0, "the fallback agent failed") if fails else None
        if not isinstance(action, Propose) or action.skip is not None or state.plan.course == "fallback":
            return None
        match action.kind:
            case "review":
                return self._review(action, state, left_s)
            case "tool":
                return self._call(action, state, left_s)
            case "handoff" | "model":
                return self._hop(action, state, left_s)
            case "memory" | "approval":
                return None

    def _review(self, action: Propose, state: RunState, left_s: float) -> Planned | None:
        """An answer waits for its review."""
        if state.plan.effects:
            return None
        frame = state.frames[action.frame]
        needs = self._estimator.time("agent", action.name).likely_s + action.delay_s
        needed = needs + self._rest_s("review", frame, state, left_s - needs)
        return None if needed <= left_s else self._unreviewed(frame, state, left_s, needed)

    def _call(self, action: Propose, state: RunState, left_s: float) -> Planned | None:
        """A tool. An effect that may not be done in time is not begun: its fate would not be known."""
        effect = self._is_effect(action)
        if effect and (action.grant is not None or self._attempted(action, state)):
            return None  # a person decided that it be made, or a crash left it in doubt
        time = self._estimator.time("tool", action.name)
        needs = (time.most_s if effect else time.likely_s) + action.delay_s
        needed = needs + self._rest_s("tool", state.frames[action.frame], state, left_s - needs)
        return None if needed <= left_s else self._skip(action, f"tool:{action.name}", state, left_s, needed)

    def _hop(self, action: Propose, state: RunState, left_s: float) -> Planned | None:
        """A hand-off, or a model call."""
        frame = state.frames[action.frame]
        handoff = action.kind == "handoff"
        time = self._estimator.time("agent" if handoff else "model", action.name if handoff else action.agent)
        optional = handoff and self._optional(action.name)
        needs = time.likely_s + action.delay_s
        needed = needs + self._rest_s(action.kind, frame, state, left_s - needs, optional=optional)
        if needed <= left_s:
            return None
        if optional:
            return self._skip(action, f"agent:{action.name}", state, left_s, needed)
        if frame.kind == "review" and not state.plan.effects:
            return self._unreviewed(state.frames[frame.parent], state, left_s, needed)
        if frame.kind == "handoff" and not handoff:
            return self._cut_frame(frame, state, left_s, needed)
        if (fallback := self._fallback(state, left_s, needed)) is not None:
            return fallback
        if handoff:
            return self._skip(action, f"agent:{action.name}", state, left_s, needed)
        if left_s > self._options.margin_s:
            return None  # the run's own reply: `last_call` ends it, if there is anything to answer with
        return self._partial(state, left_s, needed, "time is up")

    # ---- while a step is in flight

    def limit_s(self, step: Step, state: RunState, left_s: float) -> float | None:
        """Seconds that a step may take, so that what must follow it still fits; None: up to the deadline."""
        enforced = state.modes.get(PLANNER, "enforce") == "enforce" and self._plans(state)
        if not enforced or step.effect or step.kind not in ("model", "tool"):
            return None
        frame = state.frames.get(step.frame)
        if frame is None or (step.kind == "model" and self._answers(frame, state)):
            return None  # `last_call` ends it
        needs = self._estimator.time(*name_latency(step)).likely_s
        rest_s = self._rest_s(step.kind, frame, state, left_s - needs)
        if frame.kind != "review":  # the cut is recorded first, and what follows must still fit after that
            rest_s += self._options.margin_s
        return max(_LEAST_S, left_s - rest_s)

    def cut(self, step: Step, state: RunState, left_s: float) -> Planned:
        """A step in flight has used up that time, and is given up now."""
        frame = state.frames[step.frame]
        needed = self._rest_s(step.kind, frame, state, left_s)
        self._estimator.begin()  # what stalled brings a duration of its own: there is nothing to forget
        if step.kind == "model" and frame.kind == "review" and not state.plan.effects:
            return self._unreviewed(state.frames[frame.parent], state, left_s, needed)
        name = f"tool:{step.name}" if step.kind == "tool" else f"agent:{frame.agent}"
        reason = f"{name} was cut: what must follow needs {needed:.3f} s, and {left_s:.3f} s are left"
        return self._planned(
            state, left_s, needed, reason, pruned=(name,), action="cut", frame=frame.id, step=step.number
        )

    def next_look_s(self, state: RunState, left_s: float) -> float | None:
        """With how many seconds left `last_call` is asked next; None: not again."""
        margin = self._options.margin_s
        if (fallback := self._falls_back(state)) is not None:
            mark = margin + self._kept_s(fallback, state)
            if mark < left_s - _LEAST_S:
                return mark
        return margin if margin < left_s - _LEAST_S else None

    def _kept_s(self, fallback: str, state: RunState) -> float:
        """What is kept for the fallback agent, whatever is in flight. With nothing found it is the only answer."""
        alone, active_s = not state.plan.findings, state.started.limits.active_s
        time = self._estimator.fallback(fallback, alone=alone)
        if alone and not time.most_s:
            return active_s * KEPT
        return min(time.most_s, max(time.likely_s, active_s / 2))  # the team has half of the time, if it can

    def last_call(self, state: RunState, left_s: float) -> Planned | None:
        """Only the time for the mandatory end is left, whatever is in flight."""
        self._estimator.begin()
        if not self._plans(state) or state.plan.course == "partial":
            return None
        root = state.frames[0]
        mark = self.next_look_s(state, left_s)
        if mark is not None and mark > self._options.margin_s:
            return None  # something was found since, and less need be kept
        if left_s > self._options.margin_s + _LEAST_S:
            return None if _is_reviewed(root, state) else self._fallback(state, left_s, left_s)
        if _is_reviewed(root, state) and not state.plan.effects:
            return self._unreviewed(root, state, left_s, self._options.margin_s)
        return self._partial(state, left_s, self._options.margin_s, "time is up")

    def _rest_s(
        self, kind: str, frame: Frame, state: RunState, there_s: float, *, optional: bool = False
    ) -> float:
        """What must stay for what follows a step, of the `there_s` that are likely to be left after it.

        An optional agent leaves the time for reviews too. For another one it is enough if the fallback agent can
        answer from what it finds.
        """
        optional = optional or any(self._optional(each.agent) for each in walk_up(frame, state) if each.id)
        fallback = self._falls_back(state)
        rest_s = self._estimator.rest_s(
            kind, frame, state, reviews=state.plan.effects or optional, fallback=fallback
        )
        if rest_s <= there_s or fallback is None or optional or frame.kind == "review":
            return rest_s
        return min(rest_s, self._estimator.fallback(fallback, alone=False).likely_s + self._options.margin_s)

    # ---- what may be pruned

    def _plans(self, state: RunState) -> bool:
        """Whether there is anything to plan: the deadline binds, and the run goes on."""
        off = (
            state.modes.get(PLANNER, "enforce") == "off" or state.modes.get(DEADLINE, "enforce") != "enforce"
        )
        return not off and state.ended is None and state.halted is None and state.cancelled is None

    def _optional(self, agent: str) -> bool:
        member = self._team.members.get(agent)
        return member is not None and member.agent.optional

    def _is_effect(self, action: Propose) -> bool:
        member = self._team.members.get(action.agent)
        tools = () if member is None else member.agent.tools
        return any(item.name == action.name and item.effect for item in tools)

    def _attempted(self, action: Propose, state: RunState) -> bool:
        """Whether this very effect was attempted before."""
        key = state.call_key(action.frame, None if action.call is None else action.call.id)
        return any(change.key == key for change in state.effects)

    def _answers(self, frame: Frame, state: RunState) -> bool:
        """Whether a frame's answer is the run's, or its review that must be."""
        if frame.kind == "review" and state.plan.effects:
            return state.frames[frame.parent].kind == "root"
        return frame.kind == "root" or frame.id == state.plan.fallback_step

    def _falls_back(self, state: RunState) -> str | None:
        """The fallback agent, if it may still answer. Where an effect was proposed and the team has a reviewer,
        no answer goes out that somebody wrote and nobody reviewed.
        """
        if self._team.fallback is None or state.plan.course != "team" or self._reviews(state):
            return None
        return self._team.fallback.name

    def _reviews(self, state: RunState) -> bool:
        """Whether what the run did must be reviewed before anybody's words about it go out."""
        return self._team.reviewer is not None and state.plan.effects

    def _clear(self, state: RunState) -> bool:
        """Whether the team may be given up now: not while an effect is in flight, or a person was asked."""
        return not state.approvals and not any(step.effect for step in state.in_flight)

    # ---- the decisions, as events

    def _skip(self, action: Propose, name: str, state: RunState, left_s: float, needed: float) -> Planned:
        reason = (
            f"{name} was skipped: with what must follow it needs {needed:.3f} s, and {left_s:.3f} s are left"
        )
        note = self._bodies.put(
            f"Not done: there is no time left for {action.name!r} ({left_s:.1f} s are left, it needs "
            f"{needed:.1f} s with what must follow). Go on without it, and say in the answer what is missing."
        )
        call = None if action.call is None else action.call.id
        return self._planned(
            state,
            left_s,
            needed,
            reason,
            pruned=(name,),
            action="skip",
            frame=action.frame,
            call=call,
            note=note,
        )

    def _cut_frame(self, frame: Frame, state: RunState, left_s: float, needed: float) -> Planned:
        name = f"agent:{frame.agent}"
        reason = f"{name} was cut: its next step needs {needed:.3f} s with what must follow, and {left_s:.3f} s are left"
        note = self._bodies.put(f"Not finished: there was no time left for {frame.agent!r} to go on.")
        return self._planned(
            state, left_s, needed, reason, pruned=(name,), action="cut", frame=frame.id, note=note
        )

    def _unreviewed(self, frame: Frame, state: RunState, left_s: float, needed: float) -> Planned:
        name = "review" if frame.kind == "root" else f"review:{frame.agent}"
        reason = (
            f"{name} was skipped: it needs {needed:.3f} s with what must follow, and {left_s:.3f} s are left"
        )
        return self._planned(state, left_s, needed, reason, pruned=(name,), action="review", frame=frame.id)

    def _fallback(self, state: RunState, left_s: float, needed: float) -> Planned | None:
        agent = self._falls_back(state)
        if agent is None or not self._clear(state):
            return None
        if self._estimator.time("agent", agent).likely_s + self._options.margin_s > left_s + _LEAST_S:
            return None
        name = f"fallback:{agent}"
        reason = f"{name} answers: the team needs {needed:.3f} s, and {left_s:.3f} s are left"
        return self._planned(state, left_s, needed, reason, pruned=(name,), action="fallback", fallback=agent)

    def _partial(self, state: RunState, left_s: float, needed: float, why: str) -> Planned | None:
        found = state.plan.verified(words=not self._reviews(state))
        if not found or not self._clear(state):
            return None
        answer = self._bodies.put(write_partial_answer(found, self._bodies))
        reason = f"{why}, with {left_s:.3f} s left: the answer is made of {len(found)} recorded results"
        return self._planned(
            state,
            left_s,
            needed,
            reason,
            pruned=("answer:partial",),
            action="partial",
            answer=answer,
            made_of=tuple(each.step for each in found[-MAX_FINDINGS:]),
        )

    def _planned(
        self, state: RunState, left_s: float, needed_s: float, reason: str, **fields: Any
    ) -> Planned:
        self._estimator.forget()
        return Planned(
            at=self._now(),
            mode=state.modes.get(PLANNER, "enforce"),
            reason=reason,
            left_s=round(left_s, 6),
            needed_s=round(needed_s, 6),
            quantile=self._options.quantile,
            **fields,
        )


def _is_reviewed(frame: Frame, state: RunState) -> bool:
    """Returns whether the frame's answer is being reviewed at this moment."""
    step = None if frame.own_step is None else state.open.get(frame.own_step)
    return step is not None and step.kind == "review"
