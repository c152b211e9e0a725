"""The event with which a run ends: the outcome, and what stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from seawall.core.events import Cause, RunEnded
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.guard import Guard
from seawall.run.handover import collect_handover
from seawall.run.state import RunState
from seawall.run.step import End, Work

MAX_ERROR_CHARS = 2_000
"""Of an error's text in the outcome; the whole of it is a body."""


def build_run_ended(
    end: End,
    state: RunState,
    work: Work,
    guards: Sequence[Guard],
    bodies: Bodies,
    causes: Causes,
    now: float,
    left_s: float,
) -> RunEnded:
    """What `end` comes to for a run in `state`, in which nothing is open any more."""
    edges = _edges(end, state, bodies, causes)
    error = end.error if end.error_ref is None else bodies.text(end.error_ref)
    return RunEnded(
        at=now,
        status=end.status,
        answer=end.answer,
        causes=edges,
        reviewed=end.reviewed,
        stopped_by=end.stopped_by,
        pruned=state.pruned,
        error=None if error is None else bodies.redact(error)[:MAX_ERROR_CHARS],
        unchecked_delivery=state.started.stream,
        # A run that ends before its first step had no part in the session's conversation.
        transcript=work.transcript(state, bodies) if state.steps else None,
        handover=collect_handover(state, guards),
        left_s=left_s,
    )


def _edges(end: End, state: RunState, bodies: Bodies, causes: Causes) -> tuple[Cause, ...]:
    """What the answer rests on: where its values are from, and who wrote it or which results it was made of."""
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
