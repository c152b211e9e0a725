"""What reaches runs from outside: commands and live guard settings, of this process and of others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from seawall.core.clock import Clock, Timer
from seawall.core.errors import SeawallError
from seawall.core.events import Event, GuardSet, Mode
from seawall.engine.driver import Driver
from seawall.journal.protocol import Journal, Setting, SettingKind
from seawall.runtime.modes import GuardModes
from seawall.runtime.registry import Registry

POLL_S = 0.05
"""How long commands from other processes may lie before they are looked for."""
RETRY_S = 1.0
"""Until a run that could not be handed its commands is tried again: long beside a busy database, short beside
the person who has decided."""
MAX_OWED = 100_000
"""Runs that are owed their commands. More than a process can have in flight or waiting; the oldest is dropped,
and its commands lie in its inbox until it is resumed."""

Settings = Mapping[tuple[SettingKind, str], Setting]
"""What is set live, by kind and name; the newest of each."""

_log = logging.getLogger("seawall")


class Inbox:
    """Delivers to the runs that this process has in flight, and wakes those that wait."""

    def __init__(
        self,
        clock: Clock,
        switches: GuardModes,
        flight: Registry,
        wake_up: Callable[[str], Awaitable[None]],
        on_settings: Callable[[Settings], None],
        also: Callable[[Journal], Awaitable[None]],
    ) -> None:
        """`also`: what else is to be read in each round."""
        self._clock = clock
        self._switches = switches
        self._flight = flight
        self._wake_up = wake_up
        self._on_settings = on_settings
        self._also = also
        self._journal: Journal | None = None
        self._stop_watching: Callable[[], None] | None = None
        self._change: asyncio.Future[None] | None = None
        self._cursor = 0
        self._due = False
        self._again = False
        self._round: asyncio.Task[None] | None = None
        self._owed: dict[str, str] = {}  # run: what went wrong the last time, or "" before the first
        self._retry: Timer | None = None
        self._retrying: asyncio.Task[None] | None = None
        self._reading = 0
        """Of the settings: how many readings have begun, and which of them was taken in last."""
        self._read = 0

    async def open(self, journal: Journal) -> None:
        """Begin to deliver what comes from now on."""
        self._journal = journal
        self._cursor, _ = await journal.commands(after=-1)
        self._stop_watching = journal.watch(self._on_write)
        await self.deliver()

    def close(self) -> list[asyncio.Task[None]]:
        """Deliver no more; the tasks under way, if there are any."""
        self._journal = None
        if self._stop_watching is not None:
            self._stop_watching()
        if self._retry is not None:
            self._retry.cancel()
        return [task for task in (self._round, self._retrying) if task is not None]

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
        self._flight.written()
        if self._round is not None and not self._round.done():
            self._again = True  # what was written since that round began to read
        elif self._journal is not None:
            self._round = asyncio.get_running_loop().create_task(self._deliver_quietly())

    async def _deliver_quietly(self) -> None:
        again = True
        while again:
            self._again = False
            try:
                await self.deliver()
            except SeawallError as error:  # the next write brings the next round
                _log.warning("commands and settings could not be read: %s", error)
            again = self._again

    # ---- delivering

    async def deliver(self) -> None:
        """Deliver what came since the last round. A run that can't take its commands now is tried again."""
        journal = self._journal
        if journal is None:
            return
        cursor, items = await journal.commands(after=self._cursor)
        self._cursor = max(cursor, self._cursor)
        runs = list(dict.fromkeys(item.run for item in items))
        for run in runs:  # all of them before the first is handed anything: a caller may be cancelled
            self._owe(run, "")
            self._flight.tell(run)
        try:
            for run in runs:
                await self.hand(run)
        finally:
            self._try_again_later()
        await self._read_settings(journal)
        await self._also(journal)

    async def _read_settings(self, journal: Journal) -> None:
        """Take in what is set live, unless a reading that began after this one has come before it."""
        self._reading += 1
        number = self._reading
        settings = await journal.settings()
        if number < self._read:  # several threads read: what this one saw may be older
            return
        self._read = number
        if self._switches.read(settings, self._switch):
            self._switch()
        self._on_settings(settings)

    async def hand(self, run: str, begun: Driver | None = None) -> None:
        """Give a run every command that it has not taken; if that fails now, it is tried again.

        One that waits is woken up or, where it was `begun` just now and waits already, only if it has any.
        """
        try:
            await self._hand(run, begun)
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with one run, the others get theirs
            self.failed(run, error)
        else:
            self._owed.pop(run, None)

    def failed(self, run: str, error: Exception) -> None:
        """A run could not take what came for it: try again later."""
        if self._owed.get(run) != str(error):
            _log.warning("run %s could not be handed its commands, and will be: %s", run, error)
        self._owe(run, str(error))
        self._try_again_later()

    def _owe(self, run: str, why: str) -> None:
        self._owed[run] = why
        if len(self._owed) > MAX_OWED:
            del self._owed[next(iter(self._owed))]

    def _try_again_later(self) -> None:
        if self._owed and self._retry is None and self._journal is not None:
            self._retry = self._clock.call_later(RETRY_S, self._start_retry)

    def _start_retry(self) -> None:
        self._retry = None
        if self._owed and self._journal is not None:
            self._retrying = asyncio.get_running_loop().create_task(self._hand_owed())

    async def _hand_owed(self) -> None:
        for run in list(self._owed):
            await self.hand(run)

    async def _hand(self, run: str, begun: Driver | None) -> None:
        """Give a run every command that it has not taken, in order; one that waits is woken up."""
        journal, driver = self._journal, begun or self._flight.drivers.get(run)
        if journal is None:
            return
        if driver is not None:
            items = await journal.inbox(run, after=driver.state.inbox)
            receipts = [item.command.output for item in items if item.command.output]
            if missing := driver.bodies.missing(receipts):
                driver.bodies.load(await journal.bodies(driver.state.started.tenant, missing))
            if self._flight.drivers.get(run) is driver:
                for item in items:
                    driver.command(item)
                return
            if not items:  # it came to rest meanwhile, with all that there was
                return
        await self._wake_up(run)

    def _switch(self) -> None:
        """Bring every run in flight to what is set now."""
        for driver in list(self._flight.drivers.values()):
            for name, mode, by, until in self._switches.now(driver.state.started.guards):
                driver.set_mode(name, mode, by, until)

    def switched(self, at_start: Mapping[str, Mode], modes: Mapping[str, Mode]) -> list[Event]:
        """What is set live and differs from `modes`, as a run's own events; `at_start` is what the code said."""
        now = self._clock.wall_s()
        return [
            GuardSet(at=now, guard=name, mode=mode, by=by, until=until)
            for name, mode, by, until in self._switches.now(at_start)
            if modes.get(name) != mode
        ]
