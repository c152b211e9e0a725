"""How a run's end is told: the outcome's event."""

from __future__ import annotations

from seawall.core.canonical import Ref
from seawall.core.events import RunEnded
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.state import RunState
from seawall.run.step import End

MAX_ERROR_CHARS = 2_000
"""Of an error's text in the outcome; the whole of it is a body."""


def run_ended(
    end: End,
    state: RunState,
    bodies: Bodies,
    causes: Causes,
    transcript: Ref | None,
    now: float,
    left_s: float,
) -> RunEnded:
    """The outcome, with where the values of the answer are from and what was pruned."""
    found = causes.of(bodies.text(end.answer)) if end.answer else ()
    root = state.frames.get(0)
    if root is not None and root.said is not None and end.answer is not None and state.plan.course == "team":
        found = causes.of(bodies.text(end.answer), by=root.said)
    error = end.error if end.error_ref is None else bodies.text(end.error_ref)
    return RunEnded(
        at=now,
        status=end.status,
        answer=end.answer,
        causes=found,
        reviewed=end.reviewed,
        stopped_by=end.stopped_by,
        pruned=state.pruned,
        error=None if error is None else bodies.redact(error)[:MAX_ERROR_CHARS],
        unchecked_delivery=state.started.stream,
        transcript=transcript,
        left_s=left_s,
    )
