"""The planner of one run: compares what is left with what a step and the mandatory rest need, and prunes.

In this order: optional agents, then a review (never once an effect was proposed), then the whole team for its
fallback agent, then everything but the record. A step that still begins may take what is left but for that
rest, so the fallback's answer, or the record's, comes before the deadline whatever stalls.

This is the shell's part: it reads what is known of latencies, and every decision of it becomes a `Planned`
event with its numbers. What follows from that is `decide`'s, which is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from seawall.core.errors import SeawallBug
from seawall.core.events import Planned, StepDone
from seawall.run.bodies import Bodies
from seawall.run.deadline import DEADLINE, PLANNER
from seawall.run.latency import Latencies
from seawall.run.state import Frame, RunState
from seawall.run.step import Action, End, Propose, Step
from seawall.team.partial import partial_answer
from seawall.team.planner import Planner
from seawall.team.team import Team

_LEAST_S = 0.001
"""A step that begins may take at least so long: a timer of nothing would fire before it. Moments that are closer
together are one."""


class RunPlanner:
    """`run.planning.Planning` for a team."""

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
        self._latencies = latencies
        self._bodies = bodies
        self._now = now

    def __repr__(self) -> str:
        return f"<RunPlanner of {self._team.name}, {self._latencies!r}>"

    # ---- before a step

    def plan(self, action: Action, state: RunState, left_s: float) -> Planned | None:
        """What to prune in place of `action`; None if it fits, or if there is nothing better to do."""
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
        frame = state.frames[action.frame]
        need = self._seconds("agent", action.name) + action.delay_s
        needed = need + self._after(frame, state, reviews=False, reviewed=True) + self._options.margin_s
        if needed <= left_s or state.plan.effects:
            return None
        return self._unreviewed(frame, state, left_s, needed)

    def _call(self, action: Propose, state: RunState, left_s: float) -> Planned | None:
        """A tool: an effect that would not be done in time is not begun, and a read that can't be is not."""
        frame = state.frames[action.frame]
        effect = self._is_effect(action)
        if effect and action.grant is not None:
            return None  # a person decided that it be made
        need = self._seconds("tool", action.name) if effect else self._least_s("tool", action.name)
        needed = need + action.delay_s + self._rest_s("tool", frame, state)
        return None if needed <= left_s else self._skip(action, f"tool:{action.name}", state, left_s, needed)

    def _hop(self, action: Propose, state: RunState, left_s: float) -> Planned | None:
        """A hand-off, or a model call."""
        frame = state.frames[action.frame]
        rest = self._rest_s(action.kind, frame, state, to=action.name)
        kind, name = ("model", action.agent) if action.kind == "model" else ("agent", action.name)
        needed = self._seconds(kind, name) + action.delay_s + rest
        if needed <= left_s:
            return None
        if action.kind == "handoff" and self._optional(action.name):
            return self._skip(action, f"agent:{action.name}", state, left_s, needed)
        if frame.kind == "review" and not state.plan.effects:
            return self._unreviewed(state.frames[frame.parent], state, left_s, needed)
        if frame.kind == "handoff" and self._optional(frame.agent):
            return self._cut_frame(frame, state, left_s, needed)
        fallback = self._fallback(state, left_s, needed)
        if fallback is not None:
            return fallback
        least = self._least_s(kind, name) + action.delay_s + rest
        if least <= left_s:
            return None  # not likely in time, but what it brings is: it is cut where the rest begins
        if action.kind == "handoff":
            return self._skip(action, f"agent:{action.name}", state, left_s, least)
        if frame.kind == "handoff":
            return self._cut_frame(frame, state, left_s, least)
        return None  # the run's own reply: `last_call` ends it, if there is anything to answer with

    # ---- while a step is in flight

    def limit_s(self, step: Step, state: RunState, left_s: float) -> float | None:
        """Seconds that a step may take, so that what must follow it still fits; None: up to the deadline."""
        if not self._enforced(state) or step.effect or step.kind not in ("model", "tool"):
            return None
        frame = state.frames.get(step.frame)
        if frame is None or (step.kind == "model" and self._answers(frame, state)):
            return None  # `last_call` ends it
        return max(_LEAST_S, left_s - self._rest_s(step.kind, frame, state))

    def cut(self, step: Step, state: RunState, left_s: float) -> Planned:
        """A step in flight has used up that time, and is given up now."""
        frame = state.frames[step.frame]
        needed = self._rest_s(step.kind, frame, state)
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
        if self._falls_back(state):
            mark = margin + self._seconds("agent", self._team.fallback.name if self._team.fallback else "")
            if mark < left_s - _LEAST_S:
                return mark
        return margin if margin < left_s - _LEAST_S else None

    def last_call(self, state: RunState, left_s: float) -> Planned | None:
        """Only the time for the mandatory end is left, whatever is in flight."""
        if not self._plans(state) or state.plan.course == "partial":
            return None
        root = state.frames[0]
        if root.review is not None and not state.plan.effects:
            return self._unreviewed(root, state, left_s, self._options.margin_s)
        if left_s > self._options.margin_s + _LEAST_S:
            return self._fallback(state, left_s, left_s)
        return self._partial(state, left_s, self._options.margin_s, "time is up")

    # ---- what things take

    def learn(self, step: Step, done: StepDone) -> None:
        """Take in how long a step took. A failure says nothing, but that it was given up says "at least"."""
        if done.duration_s <= 0 or step.kind in ("memory", "approval"):
            return
        given_up = done.status in ("timeout", "cancelled") or done.error == "timeout"
        if done.status != "ok" and not given_up:
            return
        kind, name = _named(step)
        self._latencies.learn(self._key(kind, name), done.duration_s, censored=given_up)

    def _key(self, kind: str, name: str) -> str:
        """Latencies are of a team's agents: a model is as fast as what that agent asks of it."""
        model = f":{self._team.members[name].agent.model_name}" if kind == "model" else ""
        return f"{self._team.name}/{kind}:{name}{model}"

    def _seconds(self, kind: str, name: str) -> float:
        prior = self._options.priors.get(f"{kind}:{name}")
        if kind in ("agent", "model") and name not in self._team.members:
            return 0.0
        known = self._latencies.seconds(self._key(kind, name), self._options.quantile, prior)
        if known is None and kind == "agent":  # an agent at work asks its model at least once
            return self._seconds("model", name)
        return known or 0.0

    def _least_s(self, kind: str, name: str) -> float:
        """What hardly any of those seen took less than: with less time it is not worth beginning."""
        return self._latencies.least(self._key(kind, name), 1 - self._options.quantile)

    def _rest_s(self, kind: str, frame: Frame, state: RunState, *, to: str = "") -> float:
        """What must follow a step of `kind` in `frame`, until the run has its answer, and the margin."""
        optional = any(self._optional(each.agent) for each in self._frames(frame, state) if each.id)
        reviews = state.plan.effects or optional or (bool(to) and kind == "handoff" and self._optional(to))
        rest = 0.0
        if kind != "model":
            rest = self._seconds("model", frame.agent)
        return rest + self._after(frame, state, reviews=reviews) + self._options.margin_s

    def _after(self, frame: Frame, state: RunState, *, reviews: bool, reviewed: bool = False) -> float:
        """What must follow the answer of a frame's agent: reviews if they must be, and its callers' replies."""
        total = 0.0
        if frame.id == state.plan.fallback_step:
            return total
        for each in self._frames(frame, state):
            if each is not frame:  # its answer goes to `each`
                total += 0.0 if reviewed else self._seconds("model", each.agent)
            member = self._team.members.get(each.agent)
            due = member is not None and member.reviewer is not None and not each.approved
            if reviews and due and not reviewed and each.id not in state.plan.unreviewed:
                total += self._seconds("agent", member.reviewer or "") if member else 0.0
            reviewed = each.kind == "review"
        draft = state.frames[0].answer is not None
        if self._falls_back(state) and not draft and self._team.fallback is not None:
            total += self._seconds("agent", self._team.fallback.name)
        return total

    def _frames(self, frame: Frame, state: RunState) -> Iterator[Frame]:
        """A frame and the frames above it, innermost first."""
        while True:
            yield frame
            above = state.frames.get(frame.parent)
            if frame.kind == "root" or above is None:
                return
            frame = above

    # ---- what may be pruned

    def _enforced(self, state: RunState) -> bool:
        modes = state.modes
        return modes.get(PLANNER, "enforce") == "enforce" and modes.get(DEADLINE, "enforce") == "enforce"

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

    def _answers(self, frame: Frame, state: RunState) -> bool:
        """Whether a frame's answer is the run's."""
        return frame.kind == "root" or frame.id == state.plan.fallback_step

    def _falls_back(self, state: RunState) -> bool:
        """Whether the fallback agent may still answer. Where an effect was proposed and the team has a reviewer,
        no answer goes out that somebody wrote and nobody reviewed.
        """
        unreviewed = self._team.reviewer is not None and state.plan.effects
        return self._team.fallback is not None and state.plan.course == "team" and not unreviewed

    def _clear(self, state: RunState) -> bool:
        """Whether the team may be given up now: not while an effect is in flight, or a person was asked."""
        return not state.approvals and not any(step.effect for step in state.in_flight)

    # ---- the decisions, as events

    def _skip(self, action: Propose, name: str, state: RunState, left_s: float, needed: float) -> Planned:
        reason = (
            f"{name} was skipped: with what must follow it needs {needed:.3f} s, and {left_s:.3f} s are left"
        )
        kind, _, of = name.partition(":")
        self._latencies.forget(self._key(kind, of))
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
        agent = self._team.fallback
        if agent is None or not self._falls_back(state) or not self._clear(state):
            return None
        if self._seconds("agent", agent.name) + self._options.margin_s > left_s + _LEAST_S:
            return None
        name = f"fallback:{agent.name}"
        reason = f"{name} answers: the team needs {needed:.3f} s, and {left_s:.3f} s are left"
        return self._planned(
            state, left_s, needed, reason, pruned=(name,), action="fallback", fallback=agent.name
        )

    def _partial(self, state: RunState, left_s: float, needed: float, why: str) -> Planned | None:
        found = state.plan.verified()
        if not found or not self._clear(state):
            return None
        answer = self._bodies.put(partial_answer(found, self._bodies))
        reason = f"{why}, with {left_s:.3f} s left: the answer is made of {len(found)} recorded results"
        return self._planned(
            state, left_s, needed, reason, pruned=("answer:partial",), action="partial", answer=answer
        )

    def _planned(
        self, state: RunState, left_s: float, needed_s: float, reason: str, **fields: Any
    ) -> Planned:
        return Planned(
            at=self._now(),
            mode=state.modes.get(PLANNER, "enforce"),
            reason=reason,
            left_s=round(left_s, 6),
            needed_s=round(needed_s, 6),
            quantile=self._options.quantile,
            **fields,
        )


def _named(step: Step) -> tuple[str, str]:
    """What a step's duration is of."""
    match step.kind:
        case "model":
            return "model", step.agent
        case "tool":
            return "tool", step.name
        case "handoff" | "review":
            return "agent", step.name
        case "memory" | "approval":
            raise SeawallBug(f"a {step.kind} step has no latency")
