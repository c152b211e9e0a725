"""What the run layer needs to know of a planner: when to look, and what to give up."""

from __future__ import annotations

from typing import Protocol

from seawall.core.events import Planned, StepDone
from seawall.run.state import RunState
from seawall.run.step import Action, Step


class Planning(Protocol):
    """The planner of one run. It reads the state, the seconds left and what is known of latencies.

    What it decides is an event. With mode `observe` the event is only recorded.
    """

    def plan(self, action: Action, state: RunState, left_s: float) -> Planned | None:
        """What to prune in place of `action`; None if it fits, or if there is nothing better to do."""
        ...

    def limit_s(self, step: Step, state: RunState, left_s: float) -> float | None:
        """Seconds that a step may take, so that what must follow it still fits; None: up to the deadline."""
        ...

    def cut(self, step: Step, state: RunState, left_s: float) -> Planned:
        """A step in flight has used up that time, and is given up now."""
        ...

    def next_look_s(self, state: RunState, left_s: float) -> float | None:
        """With how many seconds left `last_call` is asked next; None: not again."""
        ...

    def last_call(self, state: RunState, left_s: float) -> Planned | None:
        """Only the time for the mandatory end is left, whatever is in flight."""
        ...

    def learn(self, step: Step, done: StepDone) -> None:
        """Take in how long a step took."""
        ...
