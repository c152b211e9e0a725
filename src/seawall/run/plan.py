"""The plan of a run, as a fold: the work that was pruned, who answers now, and the results that an answer can use. The
planner decides by quantiles and the time left (`planner/pruning.py`). Its decision is a `Planned` event, and everything
after that follows from the record.
"""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Literal

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.events import Planned, StepDone, StepIntended
from seawall.core.frozen import EMPTY
from seawall.core.persistent import Log

Course = Literal["team", "fallback", "partial"]

OF_ANSWER = ("answer:partial", "review")
"""Names in `pruned` that concern the run's answer, and not the work before it: a later answer may have it."""


class Finding(msgspec.Struct, frozen=True, array_like=True):
    """A result of a tool or of a finished hand-off that passed the gate."""

    step: int
    kind: Literal["tool", "handoff"]
    name: str
    frame: int
    output: Ref


class Closed(msgspec.Struct, frozen=True):
    """Why a frame answers with what it has."""

    limit: str
    value: str
    reason: str
    part: str
    label: str
    """The name of the agent or team that has the limit; "": the run."""
    told: Ref
    """The text that answers the calls that are not made any more."""


class Plan(msgspec.Struct, frozen=True):
    """The plan of a run, as it stands."""

    course: Course = "team"
    """Who answers: the team as it is defined, its fallback agent, or the record."""
    pruned: tuple[str, ...] = ()
    skipped: MappingProxyType[str, Ref] = EMPTY
    """Calls that are not made, by the model step that asked and the call's id, each with the text for the agent."""
    cut: MappingProxyType[int, Ref] = EMPTY
    """Frames that end before their next step, each with the text for the caller."""
    closing: MappingProxyType[int, Closed] = EMPTY
    """Frames that answer with what they have, with all frames below them, because a limit is used up."""
    lacks: tuple[str, ...] = ()
    """Work that was not done because a limit was used up, each with the limit."""
    unreviewed: frozenset[int] = frozenset()
    """Frames whose answer goes out without a review."""
    fallback: str = ""
    fallback_step: int | None = None
    """The hand-off to the fallback agent."""
    answer: Ref | None = None
    """The answer of the fallback agent, or the one that was made from the record."""
    earlier: Ref | None = None
    """The answer of the run before its limits were raised."""
    made_of: tuple[int, ...] = ()
    """The steps whose results make up the answer from the record."""
    failure: StepDone | None = None
    """The failed result of the fallback agent."""
    effects: bool = False
    """Whether an effect was ever proposed, whether it was made or not."""
    findings: Log[Finding] = Log()

    def list_verified(self, *, words: bool = True) -> list[Finding]:
        """Returns the results that an answer can use. A finished hand-off stands for all results within it. Without
        `words` it returns only results of tools, and no text of an agent.
        """
        if not words:
            return [each for each in self.findings if each.kind == "tool"]
        answered = {each.step for each in self.findings if each.kind == "handoff"}
        return [each for each in self.findings if each.frame not in answered]

    def list_found(self, frames: Collection[int]) -> list[Finding]:
        """Returns the results within these frames."""
        return [each for each in self.list_verified() if each.frame in frames]

    def with_intent(self, step: StepIntended) -> Plan:
        """Returns the plan once `step` is recorded as about to be made."""
        plan = self
        if step.effect and not plan.effects:
            plan = replace(plan, effects=True)
        if step.kind == "handoff" and step.call is None:
            plan = replace(plan, fallback_step=step.step)
        return plan

    def with_result(self, done: StepDone, step: StepIntended) -> Plan:
        """Returns the plan once `step` has its result."""
        if step.kind == "handoff" and step.call is None:
            return replace(self, answer=done.output) if done.status == "ok" else replace(self, failure=done)
        if done.status != "ok" or done.output is None or (step.kind != "tool" and step.kind != "handoff"):
            return self
        found = Finding(step.step, step.kind, step.name, step.frame, done.output)
        return replace(self, findings=self.findings.append(found))

    def with_pruning(self, event: Planned, call_key: str) -> Plan:
        """Returns the plan once the planner has pruned something; `call_key` is that of the event's call."""
        new = tuple(name for name in event.pruned if name not in self.pruned)
        plan = replace(self, pruned=(*self.pruned, *new))
        if event.limit and event.reason not in plan.lacks:
            plan = replace(plan, lacks=(*plan.lacks, event.reason))
        match event.action:
            case "close":
                if event.told is None:
                    return plan
                label = event.pruned[0].partition(":")[2]
                closed = Closed(event.limit, event.value, event.reason, event.part, label, event.told)
                return replace(plan, closing=MappingProxyType(plan.closing | {event.frame: closed}))
            case "skip":
                if event.note is None:
                    return plan
                return replace(plan, skipped=MappingProxyType(plan.skipped | {call_key: event.note}))
            case "cut":
                if event.step is not None or event.note is None:
                    return plan
                return replace(plan, cut=MappingProxyType(plan.cut | {event.frame: event.note}))
            case "review":
                return replace(plan, unreviewed=plan.unreviewed | {event.frame})
            case "fallback":
                return replace(plan, course="fallback", fallback=event.fallback or "")
            case "partial":
                return replace(plan, course="partial", answer=event.answer, made_of=event.made_of)
