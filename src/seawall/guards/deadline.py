"""A run's active seconds, as this process counts them: a monotonic deadline, and a timer on it."""

from __future__ import annotations

from collections.abc import Callable

from seawall.core.clock import Clock, Timer
from seawall.core.events import Judged, Mode

DEADLINE = "deadline"
PLANNER = "planner"


class Deadline:
    """The end of a run's active time. It begins to run when it is made, and calls once it is watched."""

    def __init__(self, clock: Clock, left_s: float) -> None:
        self._clock = clock
        self._at = clock.monotonic_s() + left_s
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<Deadline in {self.left_s():.3f}s>"

    def left_s(self) -> float:
        """Active seconds left: below zero once a deadline that does not bind has passed."""
        return self._at - self._clock.monotonic_s()

    def watch(self, overdue: Callable[[], None]) -> None:
        """Call `overdue` when the time is up."""
        self._timer = self._clock.call_later(self.left_s(), overdue)

    def cancel(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def verdict(self, limit_s: float, mode: Mode) -> Judged:
        """What is said of a run whose time is up."""
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
