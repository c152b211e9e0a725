"""Steps that wait: a person's pauses and the events that park a run, and the wait for an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seawall.core.events import Paused, StepDeferred
from seawall.guards.shared import PAUSE, Defer, SharedGuard
from seawall.run.state import RunState
from seawall.run.step import Propose, Step


def is_paused(shared: Sequence[SharedGuard], step: Step, state: RunState, wake: Callable[[], None]) -> bool:
    """Returns whether an enforced pause holds the step."""
    if state.modes.get(PAUSE, "enforce") != "enforce":
        return False
    pauses = (each for each in shared if each.name == PAUSE)
    return any(isinstance(each.check(step, state, state.left_s, wake), Defer) for each in pauses)


def build_pauses(
    deferred: Sequence[Defer], now: float, left_s: float, redact: Callable[[str], str]
) -> list[Paused]:
    """Builds the events that park a run: one for each pause. Empty if a proposal waits for anything else."""
    pauses = {defer.pause.what: defer.pause for defer in deferred if defer.pause is not None}
    if any(defer.pause is None for defer in deferred):
        return []
    return [
        Paused(at=now, what=each.what, by=each.by, why=redact(each.why), until=each.until, left_s=left_s)
        for each in pauses.values()
    ]


def tell_deferred(
    proposal: Propose, defer: Defer, state: RunState, now: float, left_s: float
) -> list[StepDeferred]:
    """Returns the event of a step that begins to wait for an endpoint; none if the step waits for it already."""
    call = None if proposal.call is None else proposal.call.id
    known = state.deferred.get((proposal.frame, call))
    if not defer.endpoint or (known is not None and known.endpoint == defer.endpoint):
        return []
    return [
        StepDeferred(
            at=now,
            kind=proposal.kind,
            name=proposal.name,
            agent=proposal.agent,
            frame=proposal.frame,
            call=call,
            endpoint=defer.endpoint,
            reason=defer.reason,
            left_s=round(left_s, 6),
        )
    ]
