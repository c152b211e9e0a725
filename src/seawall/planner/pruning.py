"""The planner of one run: compares the time left with what a step and the mandatory rest need, and prunes.

It prunes in this order: optional agents, then a review (never once an effect was proposed), then the whole team for
its fallback agent, then everything but the record. A step begins if it is likely to be done before the time of that
rest begins, and it is cut when that time begins. So the reply of the coordinator, of the fallback agent or of the
record comes before the deadline, whatever stalls.

The planner belongs to the driver: it reads learned latencies, and each of its decisions becomes a `Planned` event
with its numbers. `team.decide`, which is pure, decides what follows from that event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from seawall.core.events import Planned, StepDone
from seawall.guards.deadline import DEADLINE, PLANNER
from seawall.guards.shared import ENDPOINTS
from seawall.planner.estimates import Estimator, name_latency, walk_up
from seawall.planner.latencies import Latencies
from seawall.run.bodies import Bodies
from seawall.run.frame import Frame
from seawall.run.state import RunState
from seawall.run.step import Action, End, Propose, Step
from seawall.team.partial import MAX_FINDINGS, write_partial_answer
from seawall.team.planner import Planner
from seawall.team.team import Team

OUTAGES: frozenset[str] = frozenset({"rate_limited", "spend_limit", "overloaded", "unreachable"})
"""Kinds of failures of a model that are not caused by the request: another model may answer it."""
UNKNOWN_FALLBACK_SHARE = 0.25
"""Share of the run's time that is kept for a fallback agent whose latency is unknown, if there is no other answer.
Without it a first run whose coordinator stalls would end without an answer."""
_MIN_STEP_S = 0.001
"""Least seconds that a step which begins may take: a timer of zero seconds would fire before the step. Two moments that
are closer together count as one."""


class RunPlanner:
    """The planner of one run. It reads the state, the seconds left and the learned latencies.

    Each decision is an event. In mode `observe` the event is only recorded, and nothing follows from it.
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
        """Learns how long a step took."""
        self._estimator.learn(step, done)

    # ---- before a step

    def plan(
        self, action: Propose | End, state: RunState, left_s: float
    ) -> tuple[Planned | None, Propose | End]:
        """Returns what to prune in place of `action`, and the action; None if it fits, or if pruning would not help.

        The action has the time that must stay for what follows it, if it has to wait for its endpoint.
        """
        planned = self._find_pruning(action, state, left_s)
        return planned, action if isinstance(action, End) else self._keep_time(action, state, left_s)

    def _find_pruning(self, action: Action, state: RunState, left_s: float) -> Planned | None:
        self._estimator.begin_decision()
        if not self._is_active(state) or state.plan.course == "partial":
            return None
        if isinstance(action, End):
            return self._plan_end_of_run(action, state, left_s)
        if not isinstance(action, Propose) or action.skip is not None or state.plan.course == "fallback":
            return None
        match action.kind:
            case "review":
                return self._plan_review(action, state, left_s)
            case "tool":
                return self._plan_tool(action, state, left_s)
            case "handoff" | "model":
                return self._plan_hop(action, state, left_s)
            case "memory" | "approval":
                return None

    def _keep_time(self, action: Propose, state: RunState, left_s: float) -> Propose:
        """Returns a proposal with the time that must stay for what follows it, if it waits for its endpoint."""
        if action.kind not in ("model", "tool") or action.skip is not None or not self._is_active(state):
            return action
        frame = state.frames[action.frame]
        rest_s = self._estimate_rest_s(action.kind, frame, state, left_s) + self._options.margin_s
        return replace(action, rest_s=min(rest_s, max(0.0, left_s)))

    def _plan_end_of_run(self, end: End, state: RunState, left_s: float) -> Planned | None:
        """Returns the event that lets the fallback agent or the record answer for a run that would end without an
        answer; None if neither can.

        If the fallback agent failed, recorded results answer. In an outage of the team's models, the fallback agent
        does, whose model may be another, or else recorded results.
        """
        if state.plan.course == "fallback":
            why = "the fallback agent failed"
            return (
                self._answer_partially(state, left_s, 0.0, why)
                if end.status in ("failed", "refused")
                else None
            )
        if not _is_outage(end, state):
            return None
        why = "the team's model can't be called"
        return self._use_fallback(state, left_s, 0.0, why) or self._answer_partially(state, left_s, 0.0, why)

    def _plan_review(self, action: Propose, state: RunState, left_s: float) -> Planned | None:
        """Returns what to prune in place of the review that an answer waits for; None if it fits."""
        if state.plan.effects:
            return None
        frame = state.frames[action.frame]
        step_s = self._estimator.estimate("agent", action.name).likely_s + action.delay_s
        needed_s = step_s + self._estimate_rest_s("review", frame, state, left_s - step_s)
        return None if needed_s <= left_s else self._skip_review(frame, state, left_s, needed_s)

    def _plan_tool(self, action: Propose, state: RunState, left_s: float) -> Planned | None:
        """Returns what to prune in place of a tool call; None if it fits.

        An effect that may not be done in time does not begin, because its result would be unknown.
        """
        effect = self._is_effect(action)
        if effect and (action.grant is not None or self._was_attempted(action, state)):
            return None  # a person decided for it, or a crash left it in doubt
        estimate = self._estimator.estimate("tool", action.name)
        step_s = (estimate.upper_s if effect else estimate.likely_s) + action.delay_s
        needed_s = step_s + self._estimate_rest_s("tool", state.frames[action.frame], state, left_s - step_s)
        return (
            None
            if needed_s <= left_s
            else self._skip_step(action, f"tool:{action.name}", state, left_s, needed_s)
        )

    def _plan_hop(self, action: Propose, state: RunState, left_s: float) -> Planned | None:
        """Returns what to prune in place of a hand-off or a model call; None if it fits."""
        frame = state.frames[action.frame]
        handoff = action.kind == "handoff"
        estimate = self._estimator.estimate(
            "agent" if handoff else "model", action.name if handoff else action.agent
        )
        optional = handoff and self._is_optional(action.name)
        step_s = estimate.likely_s + action.delay_s
        needed_s = step_s + self._estimate_rest_s(
            action.kind, frame, state, left_s - step_s, optional=optional
        )
        if needed_s <= left_s:
            return None
        if optional:
            return self._skip_step(action, f"agent:{action.name}", state, left_s, needed_s)
        if frame.kind == "review" and not state.plan.effects:
            return self._skip_review(state.frames[frame.parent], state, left_s, needed_s)
        if frame.kind == "handoff" and not handoff:
            return self._cut_frame(frame, state, left_s, needed_s)
        if (fallback := self._use_fallback(state, left_s, needed_s)) is not None:
            return fallback
        if handoff:
            return self._skip_step(action, f"agent:{action.name}", state, left_s, needed_s)
        if left_s > self._options.margin_s:
            return None  # the run's own reply: `plan_end` ends it if there are results to answer with
        return self._answer_partially(state, left_s, needed_s, "time is up")

    # ---- while a step is in flight

    def compute_step_limit_s(self, step: Step, state: RunState, left_s: float) -> float | None:
        """Returns the seconds that a step may take so that what must follow it still fits; None: up to the deadline."""
        enforced = state.modes.get(PLANNER, "enforce") == "enforce" and self._is_active(state)
        if not enforced or step.effect or step.kind not in ("model", "tool"):
            return None
        frame = state.frames.get(step.frame)
        if frame is None or (step.kind == "model" and self._gives_answer(frame, state)):
            return None  # `plan_end` ends it
        step_s = self._estimator.estimate(*name_latency(step)).likely_s
        rest_s = self._estimate_rest_s(step.kind, frame, state, left_s - step_s)
        if frame.kind != "review":  # the cut is recorded first, and what follows must fit after that
            rest_s += self._options.margin_s
        return max(_MIN_STEP_S, left_s - rest_s)

    def plan_cut(self, step: Step, state: RunState, left_s: float) -> Planned:
        """Returns the event that gives up a step in flight, because it has used up that time."""
        frame = state.frames[step.frame]
        needed_s = self._estimate_rest_s(step.kind, frame, state, left_s)
        self._estimator.begin_decision()  # the stalled step brings a duration of its own, so nothing is to be forgotten
        if step.kind == "model" and frame.kind == "review" and not state.plan.effects:
            return self._skip_review(state.frames[frame.parent], state, left_s, needed_s)
        name = f"tool:{step.name}" if step.kind == "tool" else f"agent:{frame.agent}"
        reason = f"{name} was cut: what must follow needs {needed_s:.3f} s, and {left_s:.3f} s are left"
        return self._make_event(
            state, left_s, needed_s, reason, pruned=(name,), action="cut", frame=frame.id, step=step.number
        )

    def find_next_check_s(self, state: RunState, left_s: float) -> float | None:
        """Returns how many seconds are left when `plan_end` is to be called next; None: not again."""
        margin_s = self._options.margin_s
        if (fallback := self._find_fallback(state)) is not None:
            mark_s = margin_s + self._compute_fallback_time_s(fallback, state)
            if mark_s < left_s - _MIN_STEP_S:
                return mark_s
        return margin_s if margin_s < left_s - _MIN_STEP_S else None

    def _compute_fallback_time_s(self, fallback: str, state: RunState) -> float:
        """Returns the seconds that are kept for the fallback agent, whatever is in flight.

        Without findings that agent is the only answer.
        """
        sole, active_s = not state.plan.findings, state.started.limits.active_s
        estimate = self._estimator.estimate_fallback(fallback, sole=sole)
        if sole and not estimate.upper_s:
            return active_s * UNKNOWN_FALLBACK_SHARE
        # the team has half of the time if possible
        return min(estimate.upper_s, max(estimate.likely_s, active_s / 2))

    def plan_end(self, state: RunState, left_s: float) -> Planned | None:
        """Returns what to prune once only the time for the mandatory end is left, whatever is in flight."""
        self._estimator.begin_decision()
        if not self._is_active(state) or state.plan.course == "partial":
            return None
        root = state.frames[0]
        mark_s = self.find_next_check_s(state, left_s)
        if mark_s is not None and mark_s > self._options.margin_s:
            return None  # there is a new finding, so less time must be kept
        if left_s > self._options.margin_s + _MIN_STEP_S:
            return None if _is_reviewed(root, state) else self._use_fallback(state, left_s, left_s)
        if _is_reviewed(root, state) and not state.plan.effects:
            return self._skip_review(root, state, left_s, self._options.margin_s)
        return self._answer_partially(state, left_s, self._options.margin_s, "time is up")

    def _estimate_rest_s(
        self, kind: str, frame: Frame, state: RunState, remaining_s: float, *, optional: bool = False
    ) -> float:
        """Returns the seconds that must stay for what follows a step; `remaining_s` are likely to be left after it.

        An optional agent must leave the time for reviews, too. For another agent it is enough if the fallback
        agent can answer from what it finds.
        """
        optional = optional or any(self._is_optional(each.agent) for each in walk_up(frame, state) if each.id)
        fallback = self._find_fallback(state)
        rest_s = self._estimator.estimate_rest_s(
            kind, frame, state, reviews=state.plan.effects or optional, fallback=fallback
        )
        if rest_s <= remaining_s or fallback is None or optional or frame.kind == "review":
            return rest_s
        return min(
            rest_s, self._estimator.estimate_fallback(fallback, sole=False).likely_s + self._options.margin_s
        )

    # ---- what may be pruned

    def _is_active(self, state: RunState) -> bool:
        """Returns whether there is anything to plan: the deadline binds, and the run goes on."""
        off = (
            state.modes.get(PLANNER, "enforce") == "off" or state.modes.get(DEADLINE, "enforce") != "enforce"
        )
        return not off and state.ended is None and state.halted is None and state.cancelled is None

    def _is_optional(self, agent: str) -> bool:
        member = self._team.members.get(agent)
        return member is not None and member.agent.optional

    def _is_effect(self, action: Propose) -> bool:
        member = self._team.members.get(action.agent)
        tools = () if member is None else member.agent.tools
        return any(item.name == action.name and item.effect for item in tools)

    def _was_attempted(self, action: Propose, state: RunState) -> bool:
        """Returns whether this very effect was attempted before."""
        key = state.call_key(action.frame, None if action.call is None else action.call.id)
        return any(change.key == key for change in state.effects)

    def _gives_answer(self, frame: Frame, state: RunState) -> bool:
        """Returns whether a frame gives the run's answer, or the review that this answer must have."""
        if frame.kind == "review" and state.plan.effects:
            return state.frames[frame.parent].kind == "root"
        return frame.kind == "root" or frame.id == state.plan.fallback_step

    def _find_fallback(self, state: RunState) -> str | None:
        """Returns the name of the fallback agent, if it may still answer.

        If an effect was proposed and the team has a reviewer, no answer that an agent wrote goes out unreviewed.
        """
        if self._team.fallback is None or state.plan.course != "team" or self._must_review(state):
            return None
        return self._team.fallback.name

    def _must_review(self, state: RunState) -> bool:
        """Returns whether an agent's words about what the run did must be reviewed before they go out."""
        return self._team.reviewer is not None and state.plan.effects

    def _may_give_up_team(self, state: RunState) -> bool:
        """Returns whether the team may be given up now: no effect is in flight, and no person has to decide."""
        return not state.approvals and not any(step.effect for step in state.in_flight)

    # ---- the decisions, as events

    def _skip_step(
        self, action: Propose, name: str, state: RunState, left_s: float, needed_s: float
    ) -> Planned:
        reason = f"{name} was skipped: with what must follow it needs {needed_s:.3f} s, and {left_s:.3f} s are left"
        note = self._bodies.put(
            f"Not done: there is no time left for {action.name!r} ({left_s:.1f} s are left, it needs "
            f"{needed_s:.1f} s with what must follow). Go on without it, and say in the answer what is missing."
        )
        call = None if action.call is None else action.call.id
        return self._make_event(
            state,
            left_s,
            needed_s,
            reason,
            pruned=(name,),
            action="skip",
            frame=action.frame,
            call=call,
            note=note,
        )

    def _cut_frame(self, frame: Frame, state: RunState, left_s: float, needed_s: float) -> Planned:
        name = f"agent:{frame.agent}"
        reason = f"{name} was cut: its next step needs {needed_s:.3f} s with what must follow, and {left_s:.3f} s are left"
        note = self._bodies.put(f"Not finished: there was no time left for {frame.agent!r} to go on.")
        return self._make_event(
            state, left_s, needed_s, reason, pruned=(name,), action="cut", frame=frame.id, note=note
        )

    def _skip_review(self, frame: Frame, state: RunState, left_s: float, needed_s: float) -> Planned:
        name = "review" if frame.kind == "root" else f"review:{frame.agent}"
        reason = f"{name} was skipped: it needs {needed_s:.3f} s with what must follow, and {left_s:.3f} s are left"
        return self._make_event(
            state, left_s, needed_s, reason, pruned=(name,), action="review", frame=frame.id
        )

    def _use_fallback(self, state: RunState, left_s: float, needed_s: float, why: str = "") -> Planned | None:
        agent = self._find_fallback(state)
        if agent is None or not self._may_give_up_team(state):
            return None
        if self._estimator.estimate("agent", agent).likely_s + self._options.margin_s > left_s + _MIN_STEP_S:
            return None
        name = f"fallback:{agent}"
        why = why or f"the team needs {needed_s:.3f} s"
        reason = f"{name} answers: {why}, and {left_s:.3f} s are left"
        return self._make_event(
            state, left_s, needed_s, reason, pruned=(name,), action="fallback", fallback=agent
        )

    def _answer_partially(self, state: RunState, left_s: float, needed_s: float, why: str) -> Planned | None:
        found = state.plan.list_verified(words=not self._must_review(state))
        if not found or not self._may_give_up_team(state):
            return None
        answer = self._bodies.put(write_partial_answer(found, self._bodies, "time was up"))
        reason = f"{why}, with {left_s:.3f} s left: the answer is made of {len(found)} recorded results"
        return self._make_event(
            state,
            left_s,
            needed_s,
            reason,
            pruned=("answer:partial",),
            action="partial",
            answer=answer,
            made_of=tuple(each.step for each in found[-MAX_FINDINGS:]),
        )

    def _make_event(
        self, state: RunState, left_s: float, needed_s: float, reason: str, **fields: Any
    ) -> Planned:
        self._estimator.forget_used()
        return Planned(
            at=self._now(),
            mode=state.modes.get(PLANNER, "enforce"),
            reason=reason,
            left_s=round(left_s, 6),
            needed_s=round(needed_s, 6),
            quantile=self._options.quantile,
            **fields,
        )


def _is_outage(end: End, state: RunState) -> bool:
    """Returns whether a run ends because the model of its coordinator can't be called now."""
    if end.stopped_by is not None:
        return end.stopped_by.guard == ENDPOINTS
    failure = state.frames[0].failure
    return end.status == "failed" and failure is not None and failure.kind in OUTAGES


def _is_reviewed(frame: Frame, state: RunState) -> bool:
    """Returns whether the frame's answer is being reviewed at this moment."""
    step = None if frame.own_step is None else state.open.get(frame.own_step)
    return step is not None and step.kind == "review"
