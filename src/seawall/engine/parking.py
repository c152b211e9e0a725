"""A person's pauses: whether one holds a step, and the events that park a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seawall.core.events import Paused
from seawall.guards.shared import PAUSE, Defer, SharedGuard
from seawall.run.state import RunState
from seawall.run.step import Step


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
