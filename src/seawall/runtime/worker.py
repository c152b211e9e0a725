"""A worker: a process that goes on with the runs of its teams, whichever process has started them.

The `Seawall` with its teams wakes runs that need not wait any more (`waking.py`). The worker also takes up interrupted
runs, looks for them again and again, and keeps working after a run or a look has failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from seawall.core.clock import Clock
from seawall.core.errors import JournalDamaged, JournalFailed, JournalReadOnly, Refused, SeawallError
from seawall.core.events import RunStarted
from seawall.journal.protocol import Journal, RunRow
from seawall.runtime.recovery import SetAside, find_resumable
from seawall.runtime.supervisor import Supervisor
from seawall.team.team import Team

LOOK_S = 2.0
"""Seconds between two looks for interrupted runs, because a process that dies notifies no other."""
SWEEP_S = 60.0
"""Seconds between two sweeps. The effects that they settle have waited for minutes already."""
RETRY_S = 60.0
"""Seconds after which a run that could not be taken up is tried again, because a person must first fix the cause."""
AT_ONCE = 32
"""How many runs are taken up at the same time. The admission bounds how many are driven."""

Sweep = Callable[[Journal], Awaitable[object]]

_log = logging.getLogger("seawall")


class WorkerListener(Protocol):
    """Receives messages about what a worker does."""

    def note_taken(self, run: str, events: int) -> None:
        """Notes that this process goes on with a run, which had `events` events."""
        ...

    def note_set_aside(self, aside: SetAside) -> None:
        """Notes that a run is not taken up, because it may be the cause that its workers end."""
        ...

    def note_problem(self, run: str, problem: str) -> None:
        """Notes that a run could not be taken up. It is tried again later."""
        ...


class Worker:
    """Goes on with the runs of its teams, and calls `sweep` every `SWEEP_S` seconds."""

    def __init__(
        self,
        supervisor: Supervisor,
        clock: Clock,
        listener: WorkerListener,
        teams: Iterable[Team],
        *,
        sweep: Sweep | None = None,
    ) -> None:
        supervisor.waker.add_teams(teams)
        self._supervisor = supervisor
        self._clock = clock
        self._listener = listener
        self._sweep = sweep
        self._next_sweep_s = clock.monotonic_s()
        self._sweeping: asyncio.Task[None] | None = None
        self._taking: dict[str, asyncio.Task[None]] = {}
        """The task that takes a run up, by run."""
        self._aside: dict[str, int] = {}
        """The runs that were reported as set aside, each with the number of its epochs."""
        self._problems: dict[str, tuple[str, float]] = {}
        """Why a run could not be taken up, and when it is tried again, by run."""
        self._change = asyncio.Event()
        self.taken = 0
        """The number of runs that this worker has gone on with."""

    def __repr__(self) -> str:
        return f"<Worker {self.taken} runs taken up, {len(self._taking)} about to be>"

    async def run(self, *, once: bool = False, max_runs: int | None = None) -> None:
        """Goes on with runs until it is cancelled.

        With `once`, it ends when no run is left to go on with; with `max_runs`, when this many runs were taken up and have
        ended or wait. Raises `JournalFailed` and other errors of a journal that can't be used any more.
        """
        supervisor = self._supervisor
        supervisor.on_taken = self._note_taken
        await supervisor.waker.open()
        try:
            while True:
                self._change.clear()
                full = max_runs is not None and self.taken + len(self._taking) >= max_runs
                if not full:
                    await self._look(None if max_runs is None else max_runs - self.taken - len(self._taking))
                if (once or full) and not self.is_busy:
                    return
                await self._wait()
        finally:
            supervisor.on_taken = None
            for task in (*self._taking.values(), *(() if self._sweeping is None else (self._sweeping,))):
                task.cancel()

    @property
    def is_busy(self) -> bool:
        """Whether a run is in flight here, or about to be."""
        supervisor, registry = self._supervisor, self._supervisor.registry
        in_flight = registry.drivers or registry.queued or registry.taking
        sweeps = self._sweeping is not None and not self._sweeping.done()
        return bool(
            self._taking or in_flight or sweeps or supervisor.waker.is_busy or supervisor.inbox.is_busy
        )

    def _note_taken(self, run: str, events: int) -> None:
        self.taken += 1
        self._problems.pop(run, None)
        self._listener.note_taken(run, events)

    async def _wait(self) -> None:
        """Waits for the next look: some seconds, or until a run was taken up, has ended or waits."""
        timer = self._clock.call_later(LOOK_S, self._change.set)
        waits = [driver.finished for driver in self._supervisor.registry.drivers.values()]
        for future in waits:
            future.add_done_callback(self._on_rest)
        try:
            await self._change.wait()
        finally:
            timer.cancel()
            for future in waits:
                future.remove_done_callback(self._on_rest)

    def _on_rest(self, _: object) -> None:
        self._change.set()

    # ---- one look

    async def _look(self, most: int | None) -> None:
        """Takes up at most `most` interrupted runs, and sweeps if a sweep is due."""
        try:
            await self._take_up_interrupted(most)
            self._begin_sweep()
        except (JournalFailed, JournalDamaged, JournalReadOnly):
            raise
        except SeawallError as error:
            _log.warning("the worker could not look for runs, and tries again: %s", error)

    def _begin_sweep(self) -> None:
        """Begins a sweep, if one is due and the last one has ended. Raises the error of the last one."""
        if self._sweeping is not None and self._sweeping.done():
            ended, self._sweeping = self._sweeping, None
            ended.result()
        if (
            self._sweep is None
            or self._sweeping is not None
            or self._clock.monotonic_s() < self._next_sweep_s
        ):
            return
        self._next_sweep_s = self._clock.monotonic_s() + SWEEP_S
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep_once(self._sweep))
        self._sweeping.add_done_callback(self._on_rest)

    async def _sweep_once(self, sweep: Sweep) -> None:
        await sweep(self._supervisor.journal)

    async def _take_up_interrupted(self, most: int | None) -> None:
        teams = self._supervisor.waker.teams
        found = await find_resumable(self._supervisor.journal, teams=frozenset(teams))
        for aside in found.set_aside:
            if self._aside.get(aside.row.run) != aside.row.epoch:
                self._aside[aside.row.run] = aside.row.epoch
                self._listener.note_set_aside(aside)
        left = AT_ONCE if most is None else min(AT_ONCE, most)
        for row in found.resumable:
            if len(self._taking) >= left:
                break
            if self._may_try(row):
                task = asyncio.get_running_loop().create_task(self._take_up(row))
                self._taking[row.run] = task
                task.add_done_callback(lambda _, run=row.run: self._on_tried(run))

    def _may_try(self, row: RunRow) -> bool:
        if row.run in self._taking or self._supervisor.registry.holds(row.run):
            return False
        _, again_s = self._problems.get(row.run, ("", 0.0))
        return self._clock.monotonic_s() >= again_s

    def _on_tried(self, run: str) -> None:
        self._taking.pop(run, None)
        self._change.set()

    async def _take_up(self, row: RunRow) -> None:
        team, journal = self._supervisor.waker.teams[row.team], self._supervisor.journal
        try:
            started = next(iter(await journal.events(row.run)), None)
            if isinstance(started, RunStarted) and started.agent not in team.members:
                there = ", ".join(team.members)
                problem = (
                    f"agent {started.agent!r}, which leads it, is not in team {row.team!r} (there: {there})"
                )
                self._note_problem(row.run, problem)
                return
            await self._supervisor.take_up(row.run, team)
        except Refused as refused:
            # Another process has taken it, or another run of its session comes first; the next look decides.
            if refused.guard not in ("lease", "session"):
                self._note_problem(row.run, str(refused))
        except Exception as error:  # noqa: BLE001 -- one run that can't go on must not end the worker
            if not self._supervisor.closing:
                self._note_problem(row.run, str(error))

    def _note_problem(self, run: str, problem: str) -> None:
        known, _ = self._problems.get(run, ("", 0.0))
        self._problems[run] = problem, self._clock.monotonic_s() + RETRY_S
        if known != problem:
            self._listener.note_problem(run, problem)
