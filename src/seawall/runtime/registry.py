"""What this process has in flight, and who waits for news of it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Collection, Iterator
from functools import partial
from weakref import WeakValueDictionary

from seawall.core.clock import Clock
from seawall.engine.driver import Driver
from seawall.models.protocol import TextDelta
from seawall.team.team import Team

MAX_DELTAS = 10_000
"""Pieces of text kept for readers of `events()` that are behind; older ones are dropped, the answer is not."""
LOOK_S = 10.0
"""A run that another process has is looked at this often, for nobody writes when a process dies. A third of a
journal's default lease."""


class StreamedText:
    """The text that a run in flight streams. Each reader has its own place in it."""

    def __init__(self, flight: Registry, run: str) -> None:
        self._tell = partial(flight.tell, run)
        self._pieces: deque[tuple[int, TextDelta]] = deque(maxlen=MAX_DELTAS)
        self._came = 0

    def __repr__(self) -> str:
        return f"<StreamedText {self._came} pieces>"

    def add(self, step: int, text: str) -> None:
        """A piece of the text of a step."""
        self._pieces.append((step, TextDelta(text)))
        self._came += 1
        self._tell()

    def after(self, place: int) -> tuple[int, int, TextDelta] | None:
        """The first piece at or after a place, if there is one: the place after it, its step and itself."""
        dropped = self._came - len(self._pieces)
        place = max(place, dropped)
        return None if place >= self._came else (place + 1, *self._pieces[place - dropped])


class TextReader:
    """One reader's place in the streamed text; pieces of steps in `skipped` are not told."""

    def __init__(self, of: StreamedText, skipped: Collection[int]) -> None:
        self.of = of
        self._skipped = skipped
        self._place = 0

    def until(self, step: float = math.inf) -> Iterator[TextDelta]:
        """What was not told yet of steps up to `step`."""
        while (found := self.of.after(self._place)) is not None and found[1] <= step:
            self._place = found[0]
            if found[1] not in self._skipped:
                yield found[2]


class Registry:
    """The runs that this process has in flight, stands in line for, or may take up again.

    Whoever waits for news of a run is woken when something happens to that run, and by no other: a thousand
    steps a second of others cost those nothing who wait for a person.
    """

    def __init__(self, clock: Clock) -> None:
        self.drivers: dict[str, Driver] = {}
        self.teams: dict[str, Team] = {}
        """Of runs in flight, and of those that wait: they are taken up again when a person has decided."""
        self.streamed: dict[str, StreamedText] = {}
        self.in_line: dict[str, asyncio.Task[None]] = {}
        self.taking: set[str] = set()
        self.waking: set[str] = set()
        """Runs that wait, and are about to be taken up: their brake is off."""
        self.closed = False
        self._clock = clock
        # Held by those who wait, so that what nobody waits for is gone.
        self._news: WeakValueDictionary[str, asyncio.Future[None]] = WeakValueDictionary()
        self._writes: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Registry {len(self.drivers)} in flight, {len(self.in_line)} in line>"

    def holds(self, run: str) -> bool:
        """Whether this process has the run: in flight, about to take it, or in line in its session."""
        return run in self.in_line or run in self.drivers or run in self.taking

    def forget(self, run: str, waits_for: Team | None = None) -> None:
        """The run is not here any more, or waits here as before, to be gone on with by team `waits_for`."""
        self.drivers.pop(run, None)
        self.teams.pop(run, None)
        if waits_for is not None:
            self.teams[run] = waits_for
        self.streamed.pop(run, None)
        self.tell(run)

    # ---- news

    def news(self, run: str) -> asyncio.Future[None]:
        """Done once something happens to the run in this process, or a command for it comes."""
        future = self._news.get(run)
        if future is None:
            future = self._news[run] = asyncio.get_running_loop().create_future()
        return future

    def tell(self, run: str) -> None:
        """Let those look who wait for news of the run."""
        future = self._news.pop(run, None)
        if future is not None and not future.done():
            future.set_result(None)

    def written(self) -> None:
        """Something was written since the last call: let those look whose runs move in other processes."""
        if self._writes is not None and not self._writes.done():
            self._writes.set_result(None)
        self._writes = None

    def close(self) -> None:
        """No news will come any more: let everyone look."""
        self.closed = True
        for run in list(self._news):
            self.tell(run)

    async def elsewhere(self, news: asyncio.Future[None], *, moves: bool) -> None:
        """Wait for news of a run that another process has or may take; `moves`: it is about to change."""
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
