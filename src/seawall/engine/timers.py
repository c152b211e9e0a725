"""The timers of one run: what each step took, when it has used up its time, and when a nested team has."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

from seawall.core.clock import Clock, Timer
from seawall.core.events import Planned
from seawall.guards.nested import TeamLimits, find_next_end_s
from seawall.planner.pruning import RunPlanner
from seawall.run.state import RunState

_TICK_S = 1e-6  # a remainder that the clock cannot measure must not make a timer spin


class StepTimers:
    """Steps without a result that were begun in this process, and who performs them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun_s: dict[int, float] = {}
        """By step, in monotonic seconds."""
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._timers: dict[int, list[Timer]] = {}
        self._signs_s: dict[int, float] = {}
        """By step: when its call gave the newest sign of life."""
        self._stopped: weakref.WeakSet[asyncio.Task[None]] = weakref.WeakSet()

    def __repr__(self) -> str:
        return f"<StepTimers {len(self._begun_s)} begun, {len(self._tasks)} performed>"

    def begin(self, number: int) -> None:
        """Counts a step's time from now on."""
        self._begun_s[number] = self._clock.monotonic_s()

    def start(self, number: int) -> None:
        """The current task is about to perform a step."""
        self.begin(number)
        if task := asyncio.current_task():
            self._tasks[number] = task

    def limit(self, number: int, limit_s: float, expire: Callable[[], None]) -> None:
        """Calls `expire` once a step has taken `limit_s` seconds."""
        self._timers.setdefault(number, []).append(self._clock.call_later(limit_s, expire))

    def limit_silence(self, number: int, limit_s: float, expire: Callable[[], None]) -> None:
        """Calls `expire` once a step has given no sign of life for `limit_s` seconds."""

        def look() -> None:
            now_s = self._clock.monotonic_s()
            silent_s = now_s - self._signs_s.get(number, now_s - limit_s)
            if silent_s < limit_s - _TICK_S:
                self.limit(number, limit_s - silent_s, look)
            else:
                expire()

        self.limit(number, limit_s, look)

    def note_sign(self, number: int) -> None:
        """Takes a sign of life of a step: a piece of a stream."""
        if number in self._tasks:
            self._signs_s[number] = self._clock.monotonic_s()

    def is_performed(self, number: int) -> bool:
        """Returns whether a step is being performed, and does not wait for its turn."""
        return number in self._tasks

    def took_s(self, number: int) -> float:
        """Returns the seconds since a step was begun; zero if that was in another process, or never."""
        begun_s = self._begun_s.get(number)
        return 0.0 if begun_s is None else self._clock.monotonic_s() - begun_s

    def stop(self, number: int) -> None:
        """Cancels the task that performs a step, and forgets the step."""
        if task := self._tasks.get(number):
            self._stopped.add(task)
            task.cancel()
        self.forget(number)

    def explain_loss(self, task: asyncio.Task[None]) -> str | None:
        """Returns what happened to a task that was cancelled, and not because its step had ended; None to any other.

        What it had to do is not done, and nobody would do it before the run's deadline.
        """
        if not task.cancelled() or task in self._stopped:
            return None
        return "somebody cancelled its tasks (a tool that cancels `asyncio.all_tasks()`, for example)"

    def forget(self, number: int) -> None:
        """Forgets a step that has a result."""
        self._begun_s.pop(number, None)
        self._tasks.pop(number, None)
        self._signs_s.pop(number, None)
        for timer in self._timers.pop(number, ()):
            timer.cancel()

    def cancel(self) -> None:
        """Calls nobody any more. What steps took is still known."""
        for timer in itertools.chain.from_iterable(self._timers.values()):
            timer.cancel()
        self._timers.clear()


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
        """Sets the timer anew for a run in `state`, which has `left_s` seconds left."""
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
        """Takes what was pruned."""
        ...


class PlanTimer:
    """Asks the planner once more when only the time for the mandatory end is left."""

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
        """Asks no more."""
        if self._timer is not None:
            self._timer.cancel()
