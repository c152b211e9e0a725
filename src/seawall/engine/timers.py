"""The timers of one run: the time that each step has taken, and the ends of the times of steps and of nested teams."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

from seawall.core.clock import Clock, Timer
from seawall.core.events import Planned
from seawall.guards.nested import TeamLimits, find_next_end_s
from seawall.planner.pruning import RunPlanner
from seawall.run.state import RunState

_TICK_S = 1e-6  # a remainder that the clock cannot measure must not make a timer spin


class _BegunStep:
    """A step without a result that was begun in this process."""

    __slots__ = ("begun_s", "sign_s", "task", "timers")

    def __init__(self, begun_s: float) -> None:
        self.begun_s = begun_s
        """Monotonic seconds when the step was begun."""
        self.task: asyncio.Task[None] | None = None
        """The task that performs the step; None: the step waits for its turn."""
        self.timers: list[Timer] = []
        self.sign_s: float | None = None
        """Monotonic seconds of the newest sign of life of the step's call."""


class StepTimers:
    """The steps without a result that were begun in this process, and the tasks that perform them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun: dict[int, _BegunStep] = {}
        """The begun steps, by number."""
        self._stopped: weakref.WeakSet[asyncio.Task[None]] = weakref.WeakSet()

    def __repr__(self) -> str:
        performed = sum(each.task is not None for each in self._begun.values())
        return f"<StepTimers {len(self._begun)} begun, {performed} performed>"

    def begin(self, number: int) -> None:
        """Counts a step's time from now on."""
        self._begun[number] = _BegunStep(self._clock.monotonic_s())

    def start(self, number: int, task: asyncio.Task[None] | None) -> None:
        """Registers the task that is about to perform a step, and counts the step's time from now on."""
        begun = self._begun.get(number)
        if begun is None:
            self.begin(number)
            begun = self._begun[number]
        else:
            begun.begun_s = self._clock.monotonic_s()
        begun.task = task

    def limit(self, number: int, limit_s: float, expire: Callable[[], None]) -> None:
        """Calls `expire` once a step has taken `limit_s` seconds."""
        if begun := self._begun.get(number):
            begun.timers.append(self._clock.call_later(limit_s, expire))

    def limit_silence(self, number: int, limit_s: float, expire: Callable[[], None]) -> None:
        """Calls `expire` once a step has given no sign of life for `limit_s` seconds."""

        def look() -> None:
            now_s = self._clock.monotonic_s()
            begun = self._begun.get(number)
            sign_s = None if begun is None else begun.sign_s
            silent_s = limit_s if sign_s is None else now_s - sign_s
            if silent_s < limit_s - _TICK_S:
                self.limit(number, limit_s - silent_s, look)
            else:
                expire()

        self.limit(number, limit_s, look)

    def note_sign(self, number: int) -> None:
        """Records a sign of life of a step: a piece of a stream."""
        if self.is_performed(number):
            self._begun[number].sign_s = self._clock.monotonic_s()

    def is_performed(self, number: int) -> bool:
        """Returns whether a task performs a step, which then does not wait for its turn."""
        begun = self._begun.get(number)
        return begun is not None and begun.task is not None

    def took_s(self, number: int) -> float:
        """Returns the seconds since a step was begun; zero if that was in another process, or never."""
        begun = self._begun.get(number)
        return 0.0 if begun is None else self._clock.monotonic_s() - begun.begun_s

    def stop(self, number: int) -> None:
        """Cancels the task that performs a step, and forgets the step."""
        begun = self._begun.get(number)
        if begun is not None and begun.task is not None:
            self._stopped.add(begun.task)
            begun.task.cancel()
        self.forget(number)

    def explain_loss(self, task: asyncio.Task[None]) -> str | None:
        """Returns why a task was cancelled although its step had not ended. Its work is not done, and without an error
        the run would wait until its deadline.
        """
        if task in self._stopped:
            return None
        return "somebody cancelled its tasks (a tool that cancels `asyncio.all_tasks()`, for example)"

    def forget(self, number: int) -> None:
        """Forgets a step that has a result."""
        begun = self._begun.pop(number, None)
        for timer in () if begun is None else begun.timers:
            timer.cancel()

    def cancel(self) -> None:
        """Cancels all timers. The times that steps have taken are still known."""
        for begun in self._begun.values():
            for timer in begun.timers:
                timer.cancel()
            begun.timers.clear()


class TeamTimer:
    """Calls `on_overdue` when the active time of a nested team is up."""

    def __init__(self, clock: Clock, teams: Sequence[TeamLimits], on_overdue: Callable[[], None]) -> None:
        self._clock = clock
        self._teams = teams
        self._on_overdue = on_overdue
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<TeamTimer of {len(self._teams)} teams>"

    def watch(self, state: RunState, left_s: float) -> None:
        """Sets the timer again for a run in `state`, which has `left_s` seconds left."""
        self.cancel()
        end_s = find_next_end_s(self._teams, state, left_s)
        self._timer = None if end_s is None else self._clock.call_later(end_s, self._on_overdue)

    def cancel(self) -> None:
        """Calls nobody any more."""
        if self._timer is not None:
            self._timer.cancel()


class Timed(Protocol):
    """A run whose time the planner watches."""

    state: RunState

    def left_s(self) -> float:
        """Returns the active seconds that the run has left."""
        ...

    def on_planned(self, planned: Planned) -> None:
        """Handles the planner's event."""
        ...


class PlanTimer:
    """Calls the planner once more when only the time for the mandatory end is left."""

    def __init__(self, clock: Clock, planner: RunPlanner, run: Timed) -> None:
        self._clock = clock
        self._planner = planner
        self._run = run
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<PlanTimer of {self._run!r}>"

    def watch(self) -> None:
        """Sets the timer for the next time that the planner names."""
        left_s = self._run.left_s()
        mark_s = self._planner.find_next_check_s(self._run.state, left_s)
        if mark_s is not None:
            self._timer = self._clock.call_later(left_s - mark_s, self._look)

    def _look(self) -> None:
        if self._run.state.ended is not None:
            return
        planned = self._planner.plan_end(self._run.state, self._run.left_s())
        if planned is not None:
            self._run.on_planned(planned)
        self.watch()

    def cancel(self) -> None:
        """Cancels the timer."""
        if self._timer is not None:
            self._timer.cancel()
