"""The event with which a run ends: the outcome, and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from seawall.core.canonical import Ref
from seawall.core.events import Cause, RunEnded
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.state import RunState
from seawall.run.step import End

MAX_ERROR_CHARS = 2_000
"""Of an error's text in the outcome; the whole of it is a body."""


def build_run_ended(
    end: End,
    state: RunState,
    *,
    edges: Sequence[Cause],
    transcript: Ref | None,
    handover: Mapping[str, str],
    bodies: Bodies,
    at: float,
    left_s: float,
) -> RunEnded:
    """Returns what `end` comes to for a run in `state`, in which nothing is open any more."""
    error = end.error if end.error_ref is None else bodies.text(end.error_ref)
    return RunEnded(
        at=at,
        status=end.status,
        answer=end.answer,
        causes=tuple(edges),
        reviewed=end.reviewed,
        stopped_by=end.stopped_by,
        pruned=state.pruned,
        error=None if error is None else bodies.redact(error)[:MAX_ERROR_CHARS],
        unchecked_delivery=state.started.stream,
        transcript=transcript,
        handover=dict(handover),
        left_s=left_s,
    )


def trace_answer(end: End, state: RunState, bodies: Bodies, causes: Causes) -> tuple[Cause, ...]:
    """Returns what the answer rests on: where its values are from, and who wrote it or which results it is made of."""
    if end.answer is None:
        return ()
    plan, root = state.plan, state.frames.get(0)
    match plan.course:
        case "team":
            return causes.of(bodies.text(end.answer), by=None if root is None else root.last_reply)
        case "fallback":
            made_of = () if plan.fallback_step is None else (plan.fallback_step,)
        case "partial":
            made_of = plan.made_of
        case _:
            assert_never(plan.course)
    valued = {cause.step for cause in causes.of(bodies.text(end.answer))}
    return tuple(Cause(step, "value") for step in sorted(valued.union(made_of)))
