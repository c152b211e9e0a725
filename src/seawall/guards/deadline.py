"""The guard `deadline`: a run's active seconds, as this process counts them by its monotonic clock."""

from __future__ import annotations

from collections.abc import Callable

from seawall.core.clock import Clock, Timer
from seawall.core.events import Judged, Mode
from seawall.run.state import RunState

DEADLINE = "deadline"
PLANNER = "planner"
UNBOUND_S = 86_400.0
"""The seconds that a run has left if its deadline is not enforced: a day."""


def bound_left_s(left_s: float, state: RunState) -> float:
    """Returns the seconds that a step of the run may take: `left_s`, or `UNBOUND_S` where the deadline does not bind."""
    return left_s if state.modes.get(DEADLINE, "enforce") == "enforce" else UNBOUND_S


class Deadline:
    """The end of a run's active time. The time runs from the making of this object; `watch` sets the timer."""

    def __init__(self, clock: Clock, left_s: float) -> None:
        self._clock = clock
        self._at_s = clock.monotonic_s() + left_s
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<Deadline in {self.left_s():.3f}s>"

    def left_s(self) -> float:
        """Returns the active seconds left: below zero after a deadline that is not enforced."""
        return self._at_s - self._clock.monotonic_s()

    def watch(self, on_overdue: Callable[[], None]) -> None:
        """Calls `on_overdue` when the time is up."""
        self._timer = self._clock.call_later(self.left_s(), on_overdue)

    def cancel(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def build_verdict(self, limit_s: float, mode: Mode) -> Judged:
        """Returns the verdict on a run whose time is up."""
        return Judged(
            at=self._clock.wall_s(),
            step=0,
            guard=DEADLINE,
            verdict="halt",
            stage="before",
            mode=mode,
            reason=f"the run used up its {limit_s:g} active seconds",
            limit=f"active_s={limit_s:g}",
            value=f"{limit_s - self.left_s():.3f}",
        )
