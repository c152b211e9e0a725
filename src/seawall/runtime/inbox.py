"""The inbox of this process: commands and live settings that reach it through the journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from seawall.core.clock import Clock, Timer
from seawall.core.errors import SeawallError
from seawall.engine.driver import Driver
from seawall.journal.protocol import Journal, Setting, SettingKind

POLL_S = 0.05
"""How long a write of another process may wait before the inbox reads its commands."""
RETRY_S = 1.0
"""Seconds until the inbox tries a run again that could not take its commands. A busy database recovers in much less,
and the person who has decided does not notice it."""
MAX_UNDELIVERED = 100_000
"""Runs whose commands are still to be delivered. No process has so many in flight or waiting. Beyond that the oldest
is dropped; its commands stay in the journal until the run is resumed."""

Settings = Mapping[tuple[SettingKind, str], Setting]
"""The newest live setting of each kind and name."""

_log = logging.getLogger("seawall")


class Receiver(Protocol):
    """Receives what the inbox reads."""

    def notice(self, run: str) -> None:
        """Notes that a command for the run has come."""
        ...

    def notice_write(self) -> None:
        """Notes that a process, perhaps this one, has written to the journal."""
        ...

    async def hand_over(self, run: str, driver: Driver | None) -> None:
        """Gives a run every command that it has not taken, in order. A run that waits is woken up.

        With `driver` the run began just now. If it waits already, it is woken up only if there are commands.
        """
        ...

    def apply_settings(self, settings: Settings) -> None:
        """Applies the live settings."""
        ...

    async def refresh(self, journal: Journal) -> None:
        """Reads from the journal whatever else the receiver reads in each round."""
        ...


class Inbox:
    """Reads the commands and settings of all processes and delivers them. A delivery that fails is tried again."""

    def __init__(self, clock: Clock, receiver: Receiver) -> None:
        self._clock = clock
        self._receiver = receiver
        self._journal: Journal | None = None
        self._stop_watching: Callable[[], None] | None = None
        self._change: asyncio.Future[None] | None = None
        self._cursor = 0
        self._round_due = False
        self._round_again = False
        self._round: asyncio.Task[None] | None = None
        self._undelivered: dict[str, str] = {}
        """By run: why the last delivery failed; "" before the first try."""
        self._retry_timer: Timer | None = None
        self._retry: asyncio.Task[None] | None = None
        self._readings_begun = 0
        self._reading_applied = 0
        """The number of the newest reading that was applied: two readings may overlap."""

    def __repr__(self) -> str:
        return f"<Inbox {len(self._undelivered)} runs undelivered>"

    async def open(self, journal: Journal) -> None:
        """Begins to deliver the commands that come from now on."""
        self._journal = journal
        self._cursor, _ = await journal.commands(after=-1)
        self._stop_watching = journal.watch(self._on_write)
        await self.deliver()

    def close(self) -> list[asyncio.Task[None]]:
        """Stops delivering; returns the tasks that are still running."""
        self._journal = None
        if self._stop_watching is not None:
            self._stop_watching()
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        return [task for task in (self._round, self._retry) if task is not None]

    # ---- writes to the journal

    def get_next_change(self) -> asyncio.Future[None]:
        """Returns a future that is done at the next write to the journal, by any process."""
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        return self._change

    def wake(self) -> None:
        """Wakes the tasks that wait for a change."""
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    def _on_write(self) -> None:
        self.wake()
        if not self._round_due:
            self._round_due = True
            self._clock.call_later(POLL_S, self._start_round)

    def _start_round(self) -> None:
        self._round_due = False
        self._receiver.notice_write()
        if self._round is not None and not self._round.done():
            self._round_again = True  # for what was written after that round began to read
        elif self._journal is not None:
            self._round = asyncio.get_running_loop().create_task(self._deliver_quietly())

    async def _deliver_quietly(self) -> None:
        again = True
        while again:
            self._round_again = False
            try:
                await self.deliver()
            except SeawallError as error:  # the next write brings the next round
                _log.warning("commands and settings could not be read: %s", error)
            again = self._round_again

    # ---- delivering

    async def deliver(self) -> None:
        """Delivers what came since the last round. If a run can't take its commands now, the inbox tries it again."""
        journal = self._journal
        if journal is None:
            return
        cursor, items = await journal.commands(after=self._cursor)
        self._cursor = max(cursor, self._cursor)
        runs = list(dict.fromkeys(item.run for item in items))
        for run in runs:  # all of them before the first delivery: the caller may be cancelled meanwhile
            self._add_undelivered(run, "")
            self._receiver.notice(run)
        try:
            for run in runs:
                await self.hand_over(run)
        finally:
            self._schedule_retry()
        await self._read_settings(journal)
        await self._receiver.refresh(journal)

    async def _read_settings(self, journal: Journal) -> None:
        """Reads and applies the live settings, unless a reading that began later was applied already."""
        self._readings_begun += 1
        number = self._readings_begun
        settings = await journal.settings()
        if number < self._reading_applied:  # several threads read: this reading may be older
            return
        self._reading_applied = number
        self._receiver.apply_settings(settings)

    async def hand_over(self, run: str, driver: Driver | None = None) -> None:
        """Calls `Receiver.hand_over`. If that fails, the inbox tries it again."""
        try:
            if self._journal is not None:
                await self._receiver.hand_over(run, driver)
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with one run, the others get their commands
            self.retry_later(run, error)
        else:
            self._undelivered.pop(run, None)

    def retry_later(self, run: str, error: Exception) -> None:
        """Tries a run again later that could not take its commands because of `error`."""
        if self._undelivered.get(run) != str(error):
            _log.warning("run %s could not be handed its commands; it is tried again: %s", run, error)
        self._add_undelivered(run, str(error))
        self._schedule_retry()

    def _add_undelivered(self, run: str, why: str) -> None:
        self._undelivered[run] = why
        if len(self._undelivered) > MAX_UNDELIVERED:
            del self._undelivered[next(iter(self._undelivered))]

    def _schedule_retry(self) -> None:
        if self._undelivered and self._retry_timer is None and self._journal is not None:
            self._retry_timer = self._clock.call_later(RETRY_S, self._start_retry)

    def _start_retry(self) -> None:
        self._retry_timer = None
        if self._undelivered and self._journal is not None:
            self._retry = asyncio.get_running_loop().create_task(self._retry_all())

    async def _retry_all(self) -> None:
        for run in list(self._undelivered):
            await self.hand_over(run)
