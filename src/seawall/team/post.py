"""What reaches runs from outside: commands and live guard settings, of this process and of others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from seawall.core.clock import Clock
from seawall.core.errors import SeawallError
from seawall.core.events import Event, GuardSet, Mode
from seawall.journal.protocol import Journal
from seawall.run.driver import Driver
from seawall.team.switches import Switches

POLL_S = 0.05
"""How long commands from other processes may lie before they are looked for."""

_log = logging.getLogger("seawall")


class Post:
    """Delivers to the runs that this process has in flight, and wakes those that wait."""

    def __init__(
        self,
        clock: Clock,
        switches: Switches,
        drivers: Mapping[str, Driver],
        wake_up: Callable[[str], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._switches = switches
        self._drivers = drivers
        self._wake_up = wake_up
        self._journal: Journal | None = None
        self._stop_watching: Callable[[], None] | None = None
        self._change: asyncio.Future[None] | None = None
        self._cursor = 0
        self._due = False
        self._round: asyncio.Task[None] | None = None

    async def open(self, journal: Journal) -> None:
        """Begin to deliver what comes from now on."""
        self._journal = journal
        self._cursor, _ = await journal.commands(after=-1)
        self._stop_watching = journal.watch(self._on_write)
        await self.deliver()

    def close(self) -> list[asyncio.Task[None]]:
        """Deliver no more; the round under way, if there is one."""
        self._journal = None
        if self._stop_watching is not None:
            self._stop_watching()
        return [] if self._round is None else [self._round]

    # ---- news of writes

    def next_change(self) -> asyncio.Future[None]:
        """Done at the next write to the journal, by any process."""
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        return self._change

    def wake(self) -> None:
        """Let everyone who waits for a change look again."""
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    def _on_write(self) -> None:
        self.wake()
        if not self._due:
            self._due = True
            self._clock.call_later(POLL_S, self._start_round)

    def _start_round(self) -> None:
        self._due = False
        if self._journal is not None and (self._round is None or self._round.done()):
            self._round = asyncio.get_running_loop().create_task(self._deliver_quietly())

    async def _deliver_quietly(self) -> None:
        try:
            await self.deliver()
        except SeawallError as error:  # the next write brings the next round
            _log.warning("commands and settings could not be read: %s", error)

    # ---- delivering

    async def deliver(self) -> None:
        """Deliver what came since the last round."""
        journal = self._journal
        if journal is None:
            return
        cursor, items = await journal.commands(after=self._cursor)
        self._cursor = max(cursor, self._cursor)
        for run in dict.fromkeys(item.run for item in items):
            await self.hand(run)
        if self._switches.read(await journal.guard_settings(), self._switch):
            self._switch()

    async def hand(self, run: str) -> None:
        """Give a run every command that it has not taken, in order; one that waits is woken up."""
        journal, driver = self._journal, self._drivers.get(run)
        if journal is None:
            return
        if driver is not None:
            items = await journal.inbox(run, after=driver.state.inbox)
            receipts = [item.command.output for item in items if item.command.output]
            if missing := driver.bodies.missing(receipts):
                driver.bodies.load(await journal.bodies(driver.state.started.tenant, missing))
            if self._drivers.get(run) is driver:
                for item in items:
                    driver.command(item)
                return
        await self._wake_up(run)

    def _switch(self) -> None:
        """Bring every run in flight to what is set now."""
        for driver in list(self._drivers.values()):
            for name, mode, by, until in self._switches.now(driver.state.started.guards):
                driver.set_mode(name, mode, by, until)

    def switched(self, modes: Mapping[str, Mode]) -> list[Event]:
        """What is set live and differs from `modes`, as a run's own events."""
        now = self._clock.wall_s()
        return [
            GuardSet(at=now, guard=name, mode=mode, by=by, until=until)
            for name, mode, by, until in self._switches.now(modes)
            if modes.get(name) != mode and by != "expired"
        ]
