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
from seawall.history.recorded import read_events, read_outcome, read_state, read_waits
from seawall.journal.protocol import Command, RunRow
from seawall.models.protocol import TextDelta
from seawall.run.outcome import Outcome, Output_co, Waiting, build_outcome
from seawall.runtime.streaming import TextReader
from seawall.runtime.supervisor import Supervisor
from seawall.team.team import Team


class Run(Generic[Output_co]):
    """One run. It has its id before any work is done; several handles may look at the same run."""

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
        # Held here: the run may have ended, and be gone from the registry, before anyone looks.
        self._driver = driver or self._registry.drivers.get(run_id)
        self._streamed = self._registry.streamed.get(run_id)
        self._team = team or self._registry.teams.get(run_id)
        self._newest_taken: tuple[int, int] = (
            -1,
            -1,
        )  # as of so many events, the newest command that was taken

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    async def rest(self) -> Outcome[Output_co] | Waiting:
        """The outcome or, if the run waits for a person first, what it waits for.

        Raises `Broken` if the process that drove it is gone, or if the journal failed under it.
        """
        while True:
            news = self._registry.news(self.id)  # before looking, so that nothing is missed in between
            found = await self._look()
            if isinstance(found, Outcome):
                return found
            if found.state != "waiting":
                await self._wait_for_change(news, found)
            elif self.id in self._registry.teams and await self._has_command(found):
                await self._wait_for_change(news, found)  # somebody has decided, and this process takes it up
            elif self.id in self._registry.waking or self._registry.holds(self.id):
                await asyncio.shield(news)  # its brake is off, and this process takes it up
            elif waits := await read_waits(
                self._supervisor.journal, self.id
            ):  # else it was taken up just now
                return waits[0]

    async def outcome(self) -> Outcome[Output_co]:
        """How the run ended. Waits as long as it takes, for a person too.

        Raises `Broken` as `rest` does.
        """
        while True:
            news = self._registry.news(self.id)
            found = await self._look()
            if isinstance(found, Outcome):
                return found
            await self._wait_for_change(news, found)

    async def _look(self) -> Outcome[Output_co] | RunRow:
        """The outcome or, of a run that is not in flight here any more and has not ended, its row."""
        driver = self._registry.drivers.get(self.id) or self._driver
        while driver is not None:
            self._driver = driver
            await asyncio.shield(driver.finished)
            if driver.state.ended is not None:
                ref = driver.state.ended.answer
                return self._make_outcome(driver, None if ref is None else driver.bodies.text(ref))
            newer = self._registry.drivers.get(self.id)
            driver = self._driver = None if newer is driver else newer
        row = await self._supervisor.journal.row(self.id)
        if row.state != "ended":
            return row
        self._registry.teams.pop(self.id, None)  # it waited here, and ended in another process
        return await read_outcome(
            self._supervisor.journal, self.id, self._team.parse_output if self._team else None
        )

    def _make_outcome(self, driver: Driver, answer: str | None) -> Outcome[Output_co]:
        team = self._team
        return build_outcome(
            driver.state, answer, team.parse_output(answer) if team and answer is not None else None
        )

    async def _has_command(self, row: RunRow) -> bool:
        """Whether the inbox of a run that waits has something that was not taken yet."""
        if self._newest_taken[0] != row.events:
            self._newest_taken = row.events, (await read_state(self._supervisor.journal, self.id)).inbox
        return bool(await self._supervisor.journal.inbox(self.id, after=self._newest_taken[1]))

    async def _wait_for_change(self, news: asyncio.Future[None], row: RunRow) -> None:
        """Wait until there may be more to see than `row`. Raises `Broken` if there will not be."""
        moves = True
        if row.state == "waiting":  # nobody takes it up again before there is a command for it
            moves = await self._has_command(row)
        elif self._registry.holds(self.id):
            await asyncio.shield(news)
            return
        elif row.state == "interrupted" or row.owner == self._supervisor.journal.owner:
            if news.done():  # it was here, between one look and the other
                return
            raise Broken(
                f"run {self.id} is interrupted: nobody drives it. Go on with: seawall resume {self.id}"
            )
        await self._registry.wait_elsewhere(news, moves=moves)
        if self._registry.closed:
            raise Broken(f"run {self.id} is {row.state}, and this Seawall was closed: ask another one")

    async def cancel(self, *, by: str = "", reason: str = "") -> None:
        """End the run as `cancelled`, from any process. What is in flight is given up, what is done stays.

        A run that nobody drives (it waits, or was interrupted) is ended here. Does nothing to a run that
        has ended.
        """
        await self._supervisor.cancel(self.id, Command(kind="cancel", by=by, reason=reason))

    # ---- watching

    async def body(self, ref: Ref | None) -> str | None:
        """The text that an event of this run refers to, such as `event.output`; None if it was erased.

        Bytes that are no text are replaced by U+FFFD. Without a reference there is no text: None.
        """
        if not ref:
            return None
        row = await self._supervisor.journal.row(self.id)
        data = (await self._supervisor.journal.bodies(row.tenant, [ref])).get(ref)
        return None if data is None else data.decode("utf-8", "replace")

    async def events(self, *, after: int = -1) -> AsyncIterator[Event | TextDelta]:
        """What happens, as it happens: every recorded event with seq > `after`, until the outcome.

        With `stream=True` pieces of text come in between, to each reader in the process that has the run;
        those are neither recorded nor checked. A client that was cut off asks again with the seq of the last
        event that it saw, and is told the text of the step under way from its beginning.
        The classes are in `seawall.events`; `body` gives what they refer to. Raises `Broken` as `rest` does,
        and `Misused` if the run's events were pruned.
        """
        text: TextReader | None = None
        while True:
            news = self._registry.news(self.id)
            driver = self._registry.drivers.get(self.id) or self._driver
            text = await self._find_text(text, after)
            nothing = driver is not None and driver.state.seq <= after + 1
            for event in [] if nothing else await self._supervisor.journal.events(self.id, after=after):
                after += 1
                if text and isinstance(event, StepDone | RunEnded):  # its text came first
                    for piece in text.read_until(event.step if isinstance(event, StepDone) else math.inf):
                        yield piece
                yield event
                if isinstance(event, RunEnded):
                    return
            for piece in text.read_until() if text else ():
                yield piece
            if driver is not None and not driver.finished.done():
                await asyncio.shield(news)
            elif driver is not None and (error := driver.finished.exception()) is not None:
                raise error
            elif await self._is_over(after, news):
                return

    async def _is_over(self, after: int, news: asyncio.Future[None]) -> bool:
        """Whether a run that is not in flight here has no event after `after`; waits if there may be more."""
        self._driver = None
        row = await self._supervisor.journal.row(self.id)
        if row.state != "ended":
            if row.events <= after + 1:
                await self._wait_for_change(news, row)
            return False
        if row.events == 0:
            await read_events(self._supervisor.journal, self.id)  # says that they were pruned
        return row.events <= after + 1

    async def _find_text(self, reader: TextReader | None, after: int) -> TextReader | None:
        """The reader of what the run streams now; from steps that ended up to `after` it is told nothing."""
        streamed = self._streamed = self._registry.streamed.get(self.id) or self._streamed
        if streamed is None or (reader is not None and reader.source is streamed):
            return reader
        seen = [] if after < 0 else (await self._supervisor.journal.events(self.id))[: after + 1]
        return TextReader(streamed, {event.step for event in seen if isinstance(event, StepDone)})
