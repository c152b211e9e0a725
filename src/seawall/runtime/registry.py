"""The runs that this process has in flight, and what waits for news of them."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from seawall.core.clock import Clock
from seawall.engine.driver import Driver
from seawall.runtime.streaming import StreamedText
from seawall.team.team import Team

LOOK_S = 10.0
"""A run that another process has is looked at this often, because a process that dies writes nothing. A third of a
journal's default lease."""


class Registry:
    """The runs that this process has in flight, has in line, or may take up again.

    Whatever waits for news of a run is woken when something happens to that run, and not by any other run: a
    thousand steps a second of others cost nothing to a caller that waits for a person.
    """

    def __init__(self, clock: Clock) -> None:
        self.drivers: dict[str, Driver] = {}
        self.teams: dict[str, Team] = {}
        """Of runs in flight, and of those that wait: they are taken up again when a person has decided."""
        self.streamed: dict[str, StreamedText] = {}
        self.in_line: dict[str, asyncio.Task[None]] = {}
        self.taking: set[str] = set()
        """Runs that are being taken up, and have no driver yet."""
        self.waking: set[str] = set()
        """Runs that wait and are about to be taken up: their pause is lifted."""
        self.closed = False
        self._clock = clock
        # Held by those who wait, so that what nobody waits for is gone.
        self._news: WeakValueDictionary[str, asyncio.Future[None]] = WeakValueDictionary()
        self._writes: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Registry {len(self.drivers)} in flight, {len(self.in_line)} in line>"

    def holds(self, run: str) -> bool:
        """Returns whether this process has the run: in flight, about to take it, or in line in its session."""
        return run in self.in_line or run in self.drivers or run in self.taking

    def add(self, run: str, driver: Driver, team: Team, streamed: StreamedText | None) -> None:
        """Registers a run that is in flight from now on."""
        self.drivers[run] = driver
        self.teams[run] = team
        if streamed is not None:
            self.streamed[run] = streamed
        self.wake(run)

    def remove(self, run: str, waits_for: Team | None = None) -> None:
        """Removes a run that is not here any more, or that waits here to be taken up by team `waits_for`."""
        self.drivers.pop(run, None)
        self.teams.pop(run, None)
        if waits_for is not None:
            self.teams[run] = waits_for
        self.streamed.pop(run, None)
        self.wake(run)

    # ---- news

    def news(self, run: str) -> asyncio.Future[None]:
        """Returns a future that is done once something happens to the run here, or a command for it comes."""
        future = self._news.get(run)
        if future is None:
            future = self._news[run] = asyncio.get_running_loop().create_future()
        return future

    def wake(self, run: str) -> None:
        """Wakes what waits for news of the run."""
        future = self._news.pop(run, None)
        if future is not None and not future.done():
            future.set_result(None)

    def wake_on_write(self) -> None:
        """Wakes what waits for runs that move in other processes: something was written."""
        if self._writes is not None and not self._writes.done():
            self._writes.set_result(None)
        self._writes = None

    def close(self) -> None:
        """Wakes everything that waits: no news will come any more."""
        self.closed = True
        for run in list(self._news):
            self.wake(run)

    async def wait_elsewhere(self, news: asyncio.Future[None], *, moves: bool) -> None:
        """Waits for news of a run that another process has or may take; `moves`: it is about to change."""
        loop = asyncio.get_running_loop()
        look: asyncio.Future[None] = loop.create_future()
        waits = [news, look]
        if moves:
            if self._writes is None:
                self._writes = loop.create_future()
            waits.append(self._writes)
        timer = self._clock.call_later(LOOK_S, lambda: None if look.done() else look.set_result(None))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
