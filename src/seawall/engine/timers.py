"""A run's time in this process: its deadline, what the planner makes of it, and what each step took."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from seawall.core.clock import Clock, Timer
from seawall.core.events import Event, Planned, StepDone
from seawall.guards.deadline import Deadline
from seawall.planner.protocol import Planning
from seawall.run.state import RunState
from seawall.run.step import Action, Step


class Expire(Protocol):
    """Called when a step has used up its time: its own, or what the plan has for it."""

    def __call__(self, step: Step, after_s: float, *, planned: bool) -> None:
        """Give it up."""
        ...


class Timers:
    """Timers of one run, and its planner, if the team has one."""

    def __init__(self, clock: Clock, left_s: float, planner: Planning | None) -> None:
        self.deadline = Deadline(clock, left_s)
        self._clock = clock
        self._planner = planner
        self._look: Timer | None = None
        self._limits: dict[int, Timer] = {}
        self._begun: dict[int, float] = {}
        """Steps without a result that were begun here, in monotonic seconds."""
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """Who performs them."""

    def __repr__(self) -> str:
        return f"<Timers {self.left_s():.3f}s left, {len(self._begun)} steps begun>"

    def left_s(self) -> float:
        """Active seconds left: below zero once a deadline that does not bind has passed."""
        return self.deadline.left_s()

    def watch(
        self,
        overdue: Callable[[], None],
        state: Callable[[], RunState],
        go: Callable[[Sequence[Event]], None],
    ) -> None:
        """Call `overdue` when the time is up, and `go` with what the planner gives up shortly before."""
        self.deadline.watch(overdue)
        self._watch_plan(state, go)

    def _watch_plan(self, state: Callable[[], RunState], go: Callable[[Sequence[Event]], None]) -> None:
        """`go` with what the planner gives up when only the time for the mandatory end is left."""
        planner, left_s = self._planner, self.left_s()
        mark_s = None if planner is None else planner.next_look_s(state(), left_s)
        if planner is None or mark_s is None:
            return

        def look() -> None:
            if state().ended is not None:
                return
            planned = planner.last_call(state(), self.left_s())
            if planned is not None:
                go([planned])
            self._watch_plan(state, go)

        self._look = self._clock.call_later(left_s - mark_s, look)

    def cancel(self) -> None:
        """Watch no more."""
        self.rest()
        for timer in self._limits.values():
            timer.cancel()
        self._limits.clear()

    def rest(self) -> None:
        """The run has ended or waits: neither its deadline nor its plan is watched."""
        self.deadline.cancel()
        if self._look is not None:
            self._look.cancel()

    # ---- steps

    def begin(self, number: int) -> None:
        """A step is begun: admitted, or about to be performed."""
        self._begun[number] = self._clock.monotonic_s()

    def limit(self, step: Step, state: RunState, expire: Expire) -> None:
        """The current task is about to perform a step, which may take its own time or what the plan has for it."""
        self.begin(step.number)
        if task := asyncio.current_task():
            self._tasks[step.number] = task
        planned_s = None if self._planner is None else self._planner.limit_s(step, state, self.left_s())
        planned = planned_s is not None and (step.timeout_s is None or planned_s < step.timeout_s)
        after_s = planned_s if planned else step.timeout_s
        if after_s is not None:
            self._limits[step.number] = self._clock.call_later(
                after_s, lambda: expire(step, after_s, planned=planned)
            )

    def performed(self, number: int) -> bool:
        """Whether a step is being performed, and does not wait for its turn to be."""
        return number in self._tasks

    def took_s(self, number: int) -> float:
        """Seconds since a step was begun; zero if that was in another process, or never."""
        begun = self._begun.get(number)
        return 0.0 if begun is None else self._clock.monotonic_s() - begun

    def stop(self, number: int) -> None:
        """A step is given up: cancel whoever performs it."""
        if task := self._tasks.get(number):
            task.cancel()
        self.drop(number)

    def drop(self, number: int) -> None:
        """A step has a result."""
        self._begun.pop(number, None)
        self._tasks.pop(number, None)
        if timer := self._limits.pop(number, None):
            timer.cancel()

    # ---- the plan

    def plan(self, action: Action, state: RunState) -> Planned | None:
        """What the planner prunes in place of `action`."""
        return None if self._planner is None else self._planner.plan(action, state, self.left_s())

    def cut(self, step: Step, state: RunState) -> list[Event]:
        """What the planner says of a step that is given up because what must follow needs the time."""
        return [] if self._planner is None else [self._planner.cut(step, state, self.left_s())]

    def learn(self, step: Step, events: Sequence[Event]) -> None:
        """Let the planner learn what a step took."""
        if self._planner is not None:
            for event in events:
                if isinstance(event, StepDone) and event.step == step.number:
                    self._planner.learn(step, event)
