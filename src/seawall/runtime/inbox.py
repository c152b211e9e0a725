"""The inbox of this process: commands and live settings that reach it through the journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from seawall.core.clock import Clock, Timer
from seawall.engine.driver import Driver
from seawall.journal.protocol import Journal, Setting, SettingKind
from seawall.runtime.shared_reading import SharedReading

POLL_S = 0.05
"""Seconds between two looks for writes of other processes, after which the inbox reads their commands."""
RETRY_S = 1.0
"""Seconds until the inbox delivers again to a run that could not take its commands. A busy database recovers much
sooner, and a person who has decided does not notice the delay."""
HANDED_AT_ONCE = 32
"""How many runs get their commands at the same time and share a commit. More would hold up the journal's readers."""
MAX_UNDELIVERED = 100_000
"""The most runs with commands that are not delivered yet, which is more than a process has. Beyond it, the oldest run is
dropped; its commands stay in the journal until the run is resumed."""

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
        """Gives a run every command that it has not taken, in order. A waiting run is woken up.

        With `driver`, the run has just begun. If it waits already, it is woken up only if there are commands.
        """
        ...

    def apply_settings(self, settings: Settings) -> None:
        """Applies the live settings."""
        ...

    async def refresh(self, journal: Journal) -> None:
        """Reads the other data that the receiver reads from the journal in each round."""
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
        self._commands = SharedReading(self._read_commands)
        self._settings = SharedReading(self._read_settings)
        self._slots = asyncio.Semaphore(HANDED_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._deliveries: dict[str, asyncio.Task[None]] = {}
        """The newest delivery of each run that has not ended, by run."""
        self._waiting: set[str] = set()
        """The runs whose newest delivery has not begun. A delivery reads all commands of its run, so callers share it."""
        self._undelivered: dict[str, str] = {}
        """Why the last delivery to a run failed, by run; "" before the first try."""
        self._retry_timer: Timer | None = None
        self._retry: asyncio.Task[None] | None = None
        self._readings_begun = 0
        self._reading_applied = 0
        """The number of the newest reading that was applied, because two readings may overlap."""

    def __repr__(self) -> str:
        return f"<Inbox {len(self._undelivered)} runs undelivered>"

    async def open(self, journal: Journal) -> None:
        """Begins to deliver the commands that come from now on."""
        self._journal, self._slots = journal, asyncio.Semaphore(HANDED_AT_ONCE)
        self._cursor, _ = await journal.commands(after=-1)
        self._stop_watching = journal.watch(self._on_write)
        await self.deliver()

    def close(self) -> list[asyncio.Task[Any]]:
        """Stops delivering; returns the tasks that are still running."""
        self._journal = None
        if self._stop_watching is not None:
            self._stop_watching()
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        retry = () if self._retry is None else (self._retry,)
        return [*self._commands.tasks, *self._settings.tasks, *self._tasks, *retry]

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
        if self._journal is not None:
            for reading in (self._commands, self._settings):
                reading.request().add_done_callback(_log_failure)

    @property
    def is_busy(self) -> bool:
        """Whether commands are being delivered to a run."""
        return bool(self._tasks)

    # ---- delivering

    async def deliver(self, run: str | None = None) -> None:
        """Delivers the commands that came before this call, to all runs or to one run.

        Concurrent callers share their readings, and each waits only for its own run. If a run can't take its commands now,
        the inbox tries it again.
        """
        found = await self._commands.get()
        runs = (
            found if run is None else [run]
        )  # an earlier reading may have found its command, and be about to deliver it
        deliveries = [self._deliveries[each] for each in runs if each in self._deliveries]
        if deliveries:
            await asyncio.wait(deliveries)
        if run is None:
            await self._settings.get()

    async def refresh_settings(self) -> None:
        """Reads and applies the current live settings, and the other data that the receiver reads."""
        await self._settings.get()

    async def _read_commands(self) -> list[str]:
        """Begins to deliver the new commands, and returns their runs."""
        journal = self._journal
        if journal is None:
            return []
        cursor, items = await journal.commands(after=self._cursor)
        self._cursor = max(cursor, self._cursor)
        runs = list(dict.fromkeys(item.run for item in items))
        for run in runs:
            self._add_undelivered(run, "")
            self._receiver.notice(run)
            self.request_delivery(run)
        return runs

    def request_delivery(self, run: str) -> None:
        """Requests a delivery to a run, unless one is waiting already that will read all commands."""
        if run not in self._waiting:
            self._waiting.add(run)
            task = asyncio.get_running_loop().create_task(self._deliver_to(run))
            self._deliveries[run] = task
            self._tasks.add(task)
            task.add_done_callback(partial(self._on_delivered, run))

    async def _deliver_to(self, run: str) -> None:
        async with self._slots:
            self._waiting.discard(run)
            await self.hand_over(run)

    def _on_delivered(self, run: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._deliveries.get(run) is task:
            del self._deliveries[run]
            self._waiting.discard(run)
        self._schedule_retry()

    async def _read_settings(self) -> None:
        """Reads the live settings, and applies them unless a reading that began later was applied already."""
        journal = self._journal
        if journal is None:
            return
        self._readings_begun += 1
        number = self._readings_begun
        settings = await journal.settings()
        if number >= self._reading_applied:  # several threads read: this reading may be older
            self._reading_applied = number
            self._receiver.apply_settings(settings)
        await self._receiver.refresh(journal)

    async def hand_over(self, run: str, driver: Driver | None = None) -> None:
        """Calls `Receiver.hand_over`. If that fails, the inbox tries it again."""
        try:
            if self._journal is not None:
                await self._receiver.hand_over(run, driver)
        except Exception as error:  # noqa: BLE001 -- a failure of one run must not keep commands from others
            self.retry_later(run, error)
        else:
            self._undelivered.pop(run, None)

    def retry_later(self, run: str, error: Exception) -> None:
        """Schedules another delivery to a run that could not take its commands because of `error`."""
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


def _log_failure(reading: asyncio.Task[Any]) -> None:
    if not reading.cancelled() and (error := reading.exception()) is not None:
        _log.warning(
            "commands and settings could not be read: %s", error
        )  # the next write starts the next reading
