"""What the end of a step says of its endpoint."""

from __future__ import annotations

from seawall.guards.endpoints.breaker import CallResult
from seawall.run.frame import find_call
from seawall.run.state import RunState
from seawall.run.step import Result, Step

ALMOST_S = 0.05
"""A time-out that comes this close to the end of the run's own time counts as the run's, not as the endpoint's."""


def classify_result(step: Step, result: Result, took_s: float, left_s: float) -> CallResult:
    """Returns what a call says of its endpoint. It took `took_s`, and its run had `left_s` left when it began.

    A tool that says no (no such order, a bad amount) has answered. A tool that returned nothing within its own time,
    or raised an error that means that the other side is broken, has failed. See `Result.endpoint`.
    """
    if result.status == "withdrawn" or result.endpoint == "unasked":
        return "unasked"
    if result.endpoint == "cut" or result.status in ("cancelled", "unknown", "lost"):
        return "cut"
    if result.status == "timeout":
        return "failed"
    if step.kind == "model" and result.error == "spend_limit":
        return "spend_limit"
    if step.kind == "model" and result.error == "timeout" and took_s >= left_s - ALMOST_S:
        return "cut"  # the model was given the time that the run had left, and that was too little
    return "failed" if result.endpoint == "broken" else "answered"


def is_retry(step: Step, run: RunState) -> bool:
    """Returns whether this step tries again what has failed before."""
    frame = run.frames.get(step.frame)
    if frame is None:
        return False
    if step.call is None:
        return frame.failures > 0
    pending = find_call(frame, step.call.id)
    return pending is not None and pending.failures > 0
