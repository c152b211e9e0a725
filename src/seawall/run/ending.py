"""The event with which a run ends: the outcome, and what stands beside it."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.core.events import RunEnded
from seawall.run.bodies import Bodies
from seawall.run.carried import carried
from seawall.run.causes import Causes
from seawall.run.guard import Guard
from seawall.run.state import RunState
from seawall.run.step import End, Work

MAX_ERROR_CHARS = 2_000
"""Of an error's text in the outcome; the whole of it is a body."""


def ended(
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
    edges = causes.of(bodies.text(end.answer)) if end.answer else ()
    root = state.frames.get(0)
    by_team = state.plan.course == "team"  # else somebody else wrote it, or nobody
    if root is not None and root.said is not None and end.answer is not None and by_team:
        edges = causes.of(bodies.text(end.answer), by=root.said)
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
        carried=carried(state, guards),
        left_s=left_s,
    )
