"""Step 3 of the gate: a step's share of what its run may spend, and of what runs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seawall.core.events import Paused
from seawall.guards.shared import PAUSE, Defer, SharedGuard
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Allow, GuardVerdict, Halt, Refuse


def check_shared(
    shared: Sequence[SharedGuard], step: Step, state: RunState, left_s: float, again: Callable[[], None]
) -> list[GuardVerdict] | Defer:
    """What those say that runs share, in their order, up to the first that does not let the step pass."""
    findings: list[GuardVerdict] = []
    for each in shared:
        mode = state.modes.get(each.name, "enforce")
        if mode == "off":
            continue
        said = each.ask(step, state, left_s, again)
        if isinstance(said, Defer):
            if mode == "enforce":
                return said
        elif not isinstance(said, Allow):
            findings.append(GuardVerdict(each.name, said, mode))
            if mode == "enforce" and isinstance(said, Halt | Refuse):
                break
    return findings


def is_paused(shared: Sequence[SharedGuard], step: Step, state: RunState, again: Callable[[], None]) -> bool:
    """Whether a brake holds a step."""
    brakes = [
        each for each in shared if each.name == PAUSE and state.modes.get(PAUSE, "enforce") == "enforce"
    ]
    return any(isinstance(each.ask(step, state, state.left_s, again), Defer) for each in brakes)


def build_pauses(
    laters: Sequence[Defer], now: float, left_s: float, redact: Callable[[str], str]
) -> list[Paused]:
    """The brakes that are all that proposals wait for; none if there is anything else to wait for."""
    pauses = {later.pause.what: later.pause for later in laters if later.pause is not None}
    if any(later.pause is None for later in laters):
        return []
    return [
        Paused(at=now, what=each.what, by=each.by, why=redact(each.why), until=each.until, left_s=left_s)
        for each in pauses.values()
    ]
