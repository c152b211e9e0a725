"""A handle on one run: its outcome, its events, and how to cancel it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Generic

from seawall.core.canonical import Ref
from seawall.core.errors import Broken
from seawall.core.events import Event, RunEnded, StepDone
from seawall.engine.driver import Driver
from seawall.history.recorded import parse_apart, read_events, read_outcome, read_state, read_waits
from seawall.journal.protocol import Command, RunRow
from seawall.models.protocol import TextDelta
from seawall.run.lifted import find_raise
from seawall.run.outcome import Outcome, Output_co, Waiting, build_outcome
from seawall.runtime.streaming import TextReader
from seawall.runtime.supervisor import Supervisor
from seawall.team.team import Team


class Run(Generic[Output_co]):
    """A handle on one run. A run has its id before any work is done; several handles may belong to the same run."""

    def __init__(
        self,
        supervisor: Supervisor,
        run_id: str,
        *,
        driver: Driver | None = None,
        team: Team[Output_co] | None = None,
    ) -> None:
        self.id = run_id
        self._supervisor = supervisor
        self._registry = supervisor.registry
        # Kept here, because the run may end and leave the registry before its outcome is read.
        self._driver = driver or self._registry.drivers.get(run_id)
        self._streamed = self._registry.streamed.get(run_id)
        self._team = team or self._registry.teams.get(run_id)
        self._newest_command: tuple[int, int] = (-1, -1)
        """A number of the run's events, and the number of the newest command that the run had taken by then."""

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    async def rest(self) -> Outcome[Output_co] | Waiting:
        """Returns the outcome or, if the run waits for a person before that, what it waits for.

        Waits until one of the two is there. Raises `Broken` if the process that drove the run is gone, or if its
        journal failed.
        """
        while True:
            outcome = await self._finish_here()
            if outcome is not None:
                return outcome
            # Taken before the run is read, so that no change in between is missed.
            change = self._registry.get_next_change(self.id)
            current = await self._read_current()
            if isinstance(current, Outcome):
                return current
            if current.state != "waiting":
                await self._wait_for_change(change, current)
            elif self.id in self._registry.teams and await self._has_command(current):
                # a person has decided, and this process takes it up
                await self._wait_for_change(change, current)
            elif self.id in self._registry.waking or self._registry.holds(self.id):
                await asyncio.shield(change)  # its pause was lifted, and this process takes it up
            elif waits := await read_waits(self._supervisor.journal, self.id):
                return waits[0]  # without any, the run was taken up just now

    async def outcome(self) -> Outcome[Output_co]:
        """Waits until the run has ended, also if it waits for a person, and returns its outcome.

        Raises `Broken` as `rest` does.
        """
        while True:
            outcome = await self._finish_here()
            if outcome is not None:
                return outcome
            change = self._registry.get_next_change(self.id)
            current = await self._read_current()
            if isinstance(current, Outcome):
                return current
            await self._wait_for_change(change, current)

    async def _finish_here(self) -> Outcome[Output_co] | None:
        """Waits while the run is in flight here. Returns its outcome; None if it is not in flight here any more."""
        driver = self._registry.drivers.get(self.id) or self._driver
        while driver is not None:
            self._driver = driver
            await asyncio.shield(driver.finished)
            if driver.state.ended is not None:
                ref = driver.state.ended.answer
                return await self._make_outcome(driver, None if ref is None else driver.bodies.text(ref))
            newer = self._registry.drivers.get(self.id)
            driver = self._driver = None if newer is driver else newer
        return None

    async def _read_current(self) -> Outcome[Output_co] | RunRow:
        """Returns the outcome or, for a run that has not ended, its row. The run is not in flight here."""
        row = await self._supervisor.journal.row(self.id)
        if row.state != "ended":
            return row
        self._registry.teams.pop(self.id, None)  # the run waited here and ended in another process
        return await read_outcome(
            self._supervisor.journal, self.id, self._team.parse_output if self._team else None
        )

    async def _make_outcome(self, driver: Driver, answer: str | None) -> Outcome[Output_co]:
        output = None
        if answer is not None and self._team is not None and self._team.coordinator.adapter is not None:
            output = await parse_apart(self._team.parse_output, answer)
        return build_outcome(driver.state, answer, output)

    async def _has_command(self, row: RunRow) -> bool:
        """Returns whether the inbox of a waiting run has a command that the run has not taken."""
        if self._newest_command[0] != row.events:
            self._newest_command = row.events, (await read_state(self._supervisor.journal, self.id)).inbox
        return bool(await self._supervisor.journal.inbox(self.id, after=self._newest_command[1]))

    async def _wait_for_change(self, change: asyncio.Future[None], row: RunRow) -> None:
        """Waits until the run may have changed since `row` was read. Raises `Broken` if it will not change."""
        moves = True
        if row.state == "waiting":  # no process takes the run up before there is a command for it
            moves = await self._has_command(row)
        elif self._registry.holds(self.id):
            await asyncio.shield(change)
            return
        elif row.state == "interrupted" or row.owner == self._supervisor.journal.owner:
            if change.done():  # it was in flight here, between the two looks
                return
            raise Broken(
                f"run {self.id} is interrupted: no process drives it. Go on with: seawall resume {self.id}"
            )
        await self._registry.wait_for_other_process(change, moves=moves)
        if self._registry.closed:
            raise Broken(
                f"run {self.id} is {row.state}, and this Seawall was closed: attach to it with another one"
            )

    async def cancel(self, *, by: str = "", reason: str = "") -> None:
        """Ends the run as `cancelled`, from any process. Steps in flight are given up; finished steps stay.

        A run that no process drives, because it waits or was interrupted, is ended here. Does nothing to a run
        that has ended.
        """
        await self._supervisor.cancel(self.id, Command(kind="cancel", by=by, reason=reason))

    # ---- watching

    async def body(self, ref: Ref | None) -> str | None:
        """Returns the text that an event of this run refers to, such as `event.output`; None if it was erased.

        Bytes that are not UTF-8 are replaced by U+FFFD. Returns None without a reference.
        """
        if not ref:
            return None
        row = await self._supervisor.journal.row(self.id)
        data = (await self._supervisor.journal.bodies(row.tenant, [ref])).get(ref)
        return None if data is None else data.decode("utf-8", "replace")

    async def events(self, *, after: int = -1) -> AsyncIterator[Event | TextDelta]:
        """Yields each recorded event with seq > `after` as it happens, until the run has ended.

        With `stream=True`, each reader in the process that drives the run gets pieces of text in between; these are
        neither recorded nor checked. A client that was cut off calls this again with the seq of the last event that
        it saw, and gets the text of the step under way from its beginning.
        The classes are in `seawall.events`; `body` returns what they refer to. Raises `Broken` as `rest` does,
        and `Misused` if the run's events were pruned.
        """
        text: TextReader | None = None
        while True:
            change = self._registry.get_next_change(self.id)
            driver = self._registry.drivers.get(self.id) or self._driver
            text = await self._find_text(text, after)
            is_current = driver is not None and driver.state.seq <= after + 1
            events = [] if is_current else await self._supervisor.journal.events(self.id, after=after)
            goes_on = find_raise(events)
            for event in events:
                after, goes_on = after + 1, goes_on - 1
                if text and isinstance(event, StepDone | RunEnded):  # its text comes before it
                    for piece in text.read_until(event.step if isinstance(event, StepDone) else math.inf):
                        yield piece
                yield event
                if isinstance(event, RunEnded) and goes_on < 0:
                    return
            for piece in text.read_until() if text else ():
                yield piece
            if driver is not None and not driver.finished.done():
                await asyncio.shield(change)
            elif driver is not None and (error := driver.finished.exception()) is not None:
                raise error
            elif await self._is_over(after, change):
                return

    async def _is_over(self, after: int, change: asyncio.Future[None]) -> bool:
        """Returns whether a run that is not in flight here has no event after `after`. Waits if there may be more."""
        self._driver = None
        row = await self._supervisor.journal.row(self.id)
        if row.state != "ended":
            if row.events <= after + 1:
                await self._wait_for_change(change, row)
            return False
        if row.events == 0:
            await read_events(self._supervisor.journal, self.id)  # raises, because they were pruned
        return row.events <= after + 1

    async def _find_text(self, reader: TextReader | None, after: int) -> TextReader | None:
        """Returns a reader of the text that the run streams now. It leaves out the text of steps that ended up to `after`."""
        streamed = self._streamed = self._registry.streamed.get(self.id) or self._streamed
        if streamed is None or (reader is not None and reader.source is streamed):
            return reader
        seen = [] if after < 0 else (await self._supervisor.journal.events(self.id))[: after + 1]
        return TextReader(streamed, {event.step for event in seen if isinstance(event, StepDone)})
