"""The registry: the runs that this process has in flight, and the tasks that wait for a change of one."""

from __future__ import annotations

import asyncio
from functools import partial
from weakref import ref

from seawall.core.clock import Clock
from seawall.engine.driver import Driver
from seawall.runtime.streaming import StreamedText
from seawall.team.team import Team

POLL_OTHERS_S = 10.0
"""Seconds between two looks at a run of another process, because a process that dies writes nothing. It is a third of
a journal's default lease."""


class Registry:
    """The runs that this process has in flight, has in line, or may take up again.

    A task that waits for a change of one run is woken by that run alone. A thousand steps a second of other runs cost
    nothing to a caller that waits for a person.
    """

    def __init__(self, clock: Clock) -> None:
        self.drivers: dict[str, Driver] = {}
        self.teams: dict[str, Team] = {}
        """The teams, by run, of runs in flight and of waiting runs that are taken up again after a decision."""
        self.streamed: dict[str, StreamedText] = {}
        self.queued: dict[str, asyncio.Task[None]] = {}
        """The task that waits in line for a run, by run."""
        self.taking: set[str] = set()
        """Runs that are being taken up and have no driver yet."""
        self.waking: set[str] = set()
        """Waiting runs that are about to be taken up, because their pause was lifted."""
        self.closed = False
        self._clock = clock
        # The waiting tasks hold the futures. A future for which no task waits disappears.
        self._changes: dict[str, ref[asyncio.Future[None]]] = {}
        self._writes: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Registry {len(self.drivers)} in flight, {len(self.queued)} in line>"

    def holds(self, run: str) -> bool:
        """Returns whether this process has the run: it is in flight, in line, or about to be taken up."""
        return run in self.queued or run in self.drivers or run in self.taking

    def add(self, run: str, driver: Driver, team: Team, streamed: StreamedText | None) -> None:
        """Registers a run that is in flight from now on."""
        self.drivers[run] = driver
        self.teams[run] = team
        if streamed is not None:
            self.streamed[run] = streamed
        self.wake(run)

    def remove(self, run: str, waits_for: Team | None = None) -> None:
        """Removes a run that is not in flight any more. With `waits_for` it may be taken up again, with that team."""
        self.drivers.pop(run, None)
        self.teams.pop(run, None)
        if waits_for is not None:
            self.teams[run] = waits_for
        self.streamed.pop(run, None)
        self.wake(run)

    # ---- changes

    def get_next_change(self, run: str) -> asyncio.Future[None]:
        """Returns a future that is done once the run changes in this process, or a command for it comes."""
        known = self._changes.get(run)
        future = None if known is None else known()
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._changes[run] = ref(future, partial(self._forget, run))
        return future

    def _forget(self, run: str, gone: ref[asyncio.Future[None]]) -> None:
        if self._changes.get(run) is gone:
            del self._changes[run]

    def wake(self, run: str) -> None:
        """Wakes the tasks that wait for a change of the run."""
        known = self._changes.pop(run, None)
        future = None if known is None else known()
        if future is not None and not future.done():
            future.set_result(None)

    def wake_on_write(self) -> None:
        """Wakes the tasks that wait for runs of other processes, because the journal was written to."""
        if self._writes is not None and not self._writes.done():
            self._writes.set_result(None)
        self._writes = None

    def close(self) -> None:
        """Wakes all waiting tasks, because no further change will come."""
        self.closed = True
        for run in list(self._changes):
            self.wake(run)

    async def wait_for_other_process(self, change: asyncio.Future[None], *, moves: bool) -> None:
        """Waits for a change of a run that another process has or may take up.

        `change` is from `get_next_change`. With `moves` the run is about to change, so each write to the journal ends
        the wait.
        """
        loop = asyncio.get_running_loop()
        look: asyncio.Future[None] = loop.create_future()
        waits = [change, look]
        if moves:
            if self._writes is None:
                self._writes = loop.create_future()
            waits.append(self._writes)
        timer = self._clock.call_later(POLL_OTHERS_S, lambda: None if look.done() else look.set_result(None))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
