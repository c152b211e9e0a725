"""Finds the claims of permission in a step or its result for the gate; the guard `authority` judges them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from seawall.core.events import CALLED
from seawall.guards.authority import AUTHORITY
from seawall.guards.shared import Defer
from seawall.memory.access import REMEMBER
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.frame import Frame
from seawall.run.permission_claims import HISTORY, FoundClaim, read_content
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.team.context import split_review_task

FindDecisions = Callable[[Step, RunState, str, Callable[[], None]], "tuple[str, ...] | Defer"]
"""Returns earlier approvals of an effect with these arguments, in words; a `Defer` while the journal is asked."""


class Claiming(NamedTuple):
    """Finds the claims of one run's steps."""

    bodies: Bodies
    causes: Causes
    is_asked: bool
    """Whether the run has a guard that judges claims."""
    decisions: FindDecisions | None = None

    def add_to_step(self, step: Step, state: RunState, wake: Callable[[], None]) -> Step | Defer:
        """Returns a step with its claims and, if it rests on any, with earlier decisions on it."""
        if not self.is_asked or step.invalid is not None or state.modes.get(AUTHORITY) == "off":
            return step
        claims = self._find(step, state)
        if not claims:
            return step
        step = replace(step, claims=claims)
        if not step.effect or step.lost or self.decisions is None:
            return step
        decided = self.decisions(step, state, self.bodies.text(step.input), wake)
        return decided if isinstance(decided, Defer) else replace(step, decided=decided)

    def add_to_result(self, step: Step, result: Result, state: RunState) -> Result:
        """Returns a result with the claims in its output."""
        if not self.is_asked or state.modes.get(AUTHORITY) == "off" or result.status not in ("ok", "error"):
            return result
        output = result.output
        text = output if isinstance(output, str) else output.decode("utf-8", "replace")
        if step.kind == "review":
            return result
        if step.kind == "model":
            text = read_content(text)
        claims = self.causes.claims.find(text, f"the result of {step.name!r}", read=step.kind in CALLED)
        return replace(result, claims=claims) if claims else result

    def _find(self, step: Step, state: RunState) -> tuple[FoundClaim, ...]:
        index = self.causes.claims
        frame = state.frames.get(step.frame)
        match step.kind:
            case "model" if frame is not None and frame.last_reply is None:
                return self._find_in_task(frame)
            case "tool" if step.effect and step.reconciles is None:
                text = self.bodies.text(step.input)
                own = index.find(text, f"the input of step {step.number}")
                own = tuple([each for each in own if not each.claim.field or each.claim.by])
                by = None if frame is None else frame.last_reply
                return (*own, *self.causes.find_claims(text, tuple(state.walk_up(step.frame)), by, step.name))
            case "handoff" if step.call is not None:
                return index.find(self.bodies.text(step.input), f"the input of step {step.number}")
            case "memory" if step.name == REMEMBER:
                return index.find(self.bodies.text(step.input), f"the input of step {step.number}")
            case _:
                return ()

    def _find_in_task(self, frame: Frame) -> tuple[FoundClaim, ...]:
        """Returns the claims in the first text of a frame: the request, the task of a hand-off, or the text for a
        reviewer.
        """
        index = self.causes.claims
        if frame.kind == "review":
            where = f"what {frame.agent!r} is shown"
            task = split_review_task(self.bodies.text(frame.messages[0].ref))
            return (
                *index.find(task.request, where, requested=True),
                *index.find(task.answer, where),
                *index.find(task.evidence, where, read=True),
            )
        if frame.id or not index:
            return index.list_of(frame.id)
        return index.list_of(0) or index.list_of(HISTORY)
