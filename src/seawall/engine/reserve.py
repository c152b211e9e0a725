"""Step 3 of the gate: checks the guards across runs, and finds the pauses that park a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seawall.core.events import Paused
from seawall.guards.shared import PAUSE, Defer, SharedGuard
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Allow, GuardVerdict, Halt, Refuse


def check_shared(
    shared: Sequence[SharedGuard], step: Step, state: RunState, left_s: float, wake: Callable[[], None]
) -> list[GuardVerdict] | Defer:
    """Checks the guards across runs in their order, up to the first that does not let the step pass."""
    findings: list[GuardVerdict] = []
    for each in shared:
        mode = state.modes.get(each.name, "enforce")
        if mode == "off":
            continue
        verdict = each.check(step, state, left_s, wake)
        if isinstance(verdict, Defer):
            if mode == "enforce":
                return verdict
        elif not isinstance(verdict, Allow):
            findings.append(GuardVerdict(each.name, verdict, mode))
            if mode == "enforce" and isinstance(verdict, Halt | Refuse):
                break
    return findings


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
