"""A handle on one run: its outcome, its events, its brake."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from seawall.core.errors import Broken, SeawallBug
from seawall.core.events import Event, RunEnded, StepDone
from seawall.journal.protocol import Command
from seawall.models.protocol import TextDelta
from seawall.team.outcome import Outcome, Waiting, outcome_of, waiting_of

if TYPE_CHECKING:
    from seawall.run.driver import Driver
    from seawall.team.seawall import Seawall
    from seawall.team.team import Team

MAX_DELTAS = 10_000
"""Pieces of text kept for a reader of `events()` that is behind; older ones are dropped, the answer is not."""


class Run:
    """One run. It has its id before any work is done; several handles may look at the same run."""

    def __init__(self, sea: Seawall, run_id: str, driver: Driver | None = None) -> None:
        self.id = run_id
        self._sea = sea
        self._driver = driver
        self._team: Team | None = None
        self._deltas: deque[tuple[int, TextDelta]] = deque(maxlen=MAX_DELTAS)

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    def drive(self, driver: Driver, team: Team) -> None:
        """Look at this driver, which has just been made for the run."""
        self._driver = driver
        self._team = team

    async def rest(self) -> Outcome | Waiting:
        """The outcome or, if the run waits for a person first, what it waits for.

        Raises `Broken` if the process that drove it is gone, or if the journal failed under it.
        """
        while True:
            change = self._sea.next_change()  # before looking, so that nothing is missed in between
            driver = self._sea.driver(self.id) or self._driver
            if driver is not None:
                self._driver = driver
                await asyncio.shield(driver.finished)
                if driver.state.ended is not None:
                    return self._outcome(driver)
                newer = self._sea.driver(self.id)
                if newer is not None and newer is not driver:
                    continue
                if driver.state.waits:
                    row = await self._sea.journal.row(self.id)
                    if row.state == "waiting":
                        return waiting_of(driver.state)
                self._driver = None
                continue
            row = await self._sea.journal.row(self.id)
            if row.state == "ended":
                return await self._sea.outcome(self.id)
            if row.state == "waiting":
                return waiting_of(await self._sea.state(self.id))
            given_up = row.state == "running" and row.owner == self._sea.journal.owner
            if (row.state == "interrupted" or given_up) and not self._sea.queued(self.id):
                raise Broken(
                    f"run {self.id} is interrupted: nobody drives it. Go on with: seawall resume {self.id}"
                )
            await asyncio.shield(change)

    def _outcome(self, driver: Driver) -> Outcome:
        ended, team = driver.state.ended, self._team
        answer = None if ended is None or ended.answer is None else driver.bodies.text(ended.answer)
        return outcome_of(driver.state, answer, team.output(answer) if team and answer is not None else None)

    async def outcome(self) -> Outcome:
        """How the run ended. Waits as long as it takes, for a person too."""
        while True:
            change = self._sea.next_change()
            rest = await self.rest()
            if not isinstance(rest, Waiting):
                return rest
            await asyncio.shield(change)

    async def cancel(self, *, by: str = "", reason: str = "") -> None:
        """End the run as `cancelled`, from any process. What is in flight is given up, what is done stays.

        A run that nobody drives (it waits, or was interrupted) is ended here. Does nothing to a run that
        has ended.
        """
        await self._sea.cancel(self.id, Command(kind="cancel", by=by, reason=reason))

    def text(self, step: int, text: str) -> None:
        """Take in a piece of streamed text."""
        self._deltas.append((step, TextDelta(text)))
        self._sea.wake()

    def _told(self, until: float = math.inf) -> Iterator[TextDelta]:
        """Pieces of text that nobody has read yet, of steps up to `until`."""
        while self._deltas and self._deltas[0][0] <= until:
            yield self._deltas.popleft()[1]

    async def events(self, *, after: int = -1) -> AsyncIterator[Event | TextDelta]:
        """What happens, as it happens: every recorded event with seq > `after`, until the outcome.

        With `stream=True` pieces of text come in between; those are neither recorded nor checked. A client
        that was cut off asks again with the seq of the last event that it saw.
        """
        while True:
            change = self._sea.next_change()
            for event in await self._sea.journal.events(self.id, after=after):
                after += 1
                if isinstance(event, StepDone | RunEnded):  # its text came first, perhaps while this was read
                    for piece in self._told(event.step if isinstance(event, StepDone) else math.inf):
                        yield piece
                yield event
                if isinstance(event, RunEnded):
                    return
            for piece in self._told():
                yield piece
            driver = self._sea.driver(self.id) or self._driver
            if driver is not None and driver.finished.done() and driver.finished.exception() is not None:
                raise driver.finished.exception() or SeawallBug(f"run {self.id} broke")
            await asyncio.shield(change)
