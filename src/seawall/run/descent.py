"""What each step of a run descends from: the origins of its values, and the origins that it was only exposed to. Pure.

It follows recorded edges and reads no text. *Origins* are the sources that a caller asks about: entries of memory and
earlier runs from which a run takes something, or a step of the run itself. A path that consists only of value edges
ends in `value`; one edge of exposure makes it `exposure`. Sets of origins are bits of an integer, so the cost of a step
depends only on its edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from seawall.core.events import (
    EVERYTHING,
    Cause,
    Event,
    MemoryRead,
    Source,
    StepDone,
    StepIntended,
    Tie,
)


class Origins(msgspec.Struct, frozen=True, gc=False):
    """Sets of origins, as bits: those from which something took a value, and those to which it was exposed."""

    value: int = 0
    exposure: int = 0


NOTHING = Origins()
_OWN = 1
"""The bit of the step that is the origin."""


class Descent:
    """A fold over the steps of one run."""

    def __init__(self, origin: int | None = None) -> None:
        """`origin` is a step that is an origin itself, with all steps in the frame that it opens. 0: the request, and
        so the whole run.
        """
        self._origin = origin
        self._within: set[int] = set() if origin is None else {origin}
        """Steps that are the origin or a part of it."""
        self._sources: dict[Source, int] = {}
        self._listed: list[Source] = []
        """The sources, in the order of their bits, which begin at the second one."""
        self._everything = 0
        self._asked: dict[int, Origins] = {0: NOTHING}
        """By step: the origins of its input."""
        self._gave: dict[int, Origins] = {0: NOTHING}
        """By step: the origins of its result."""
        self._read: dict[int, Origins] = {}
        self._told = 0
        self._kinds: dict[int, str] = {}
        self._replied: dict[int, int] = {}
        """By frame: the newest model step."""
        if origin == 0:
            self._gave[0] = Origins(_OWN, 0)
            self._everything = _OWN

    # ---- what happens

    def begin(self, sources: Iterable[Source]) -> None:
        """Adds the sources that the run is shown from its beginning: earlier runs of its session."""
        shown = 0
        for source in sources:
            shown |= self._get_bit(source)
        before = self._gave[0]
        self._gave[0] = self._asked[0] = Origins(before.value, before.exposure | shown)

    def intend(self, step: StepIntended) -> None:
        """Adds a step and the origins of its input."""
        number = step.step
        if step.frame in self._within:
            self._within.add(number)
        if number in self._within:
            self._everything |= _OWN
        self._kinds[number] = step.kind
        if step.kind == "model":
            self._replied[step.frame] = number
        asked = self.find(step.causes, step.sources)
        self._asked[number] = asked
        if self._told and step.kind == "model":
            self._asked[number] = Origins(asked.value, asked.exposure | self._told)

    def read(self, read: MemoryRead) -> None:
        """Adds the entries that a memory step has shown, and the run's own writes that it has shown."""
        if read.step == 0:
            self.tell(read.entries)
            return
        shown = self._read.get(read.step, NOTHING).exposure
        for entry in read.entries:
            shown |= self._get_bit(Source(entry))
        for step in read.written:
            written = self.find_input(step)
            shown |= written.value | written.exposure
        self._read[read.step] = Origins(0, shown)

    def tell(self, entries: Iterable[int]) -> None:
        """Adds entries of which every agent of the run is told from here on."""
        for entry in entries:
            self._told |= self._get_bit(Source(entry))

    def settle(self, done: StepDone) -> None:
        """Adds the result of a step."""
        number, kind = done.step, self._kinds.get(done.step)
        asked = self._asked.get(number, NOTHING)
        if kind in ("handoff", "review"):  # its result is the answer of its frame
            replied = self._replied.get(number)
            self._gave[number] = asked if replied is None else self._give(replied)
        else:
            self._gave[number] = asked

    def fold(self, events: Iterable[Event]) -> Iterator[Event]:
        """Adds recorded events, and yields each event after it was added."""
        for event in events:
            match event:
                case StepIntended():
                    self.intend(event)
                case StepDone():
                    self.settle(event)
                case MemoryRead():
                    self.read(event)
                case _:
                    pass
            yield event

    def _get_bit(self, source: Source) -> int:
        bit = self._sources.get(source)
        if bit is None:
            self._listed.append(source)
            bit = self._sources[source] = _OWN << len(self._listed)
            self._everything |= bit
        return bit

    # ---- what something descends from

    def find(self, causes: Iterable[Cause], sources: Iterable[Source] = ()) -> Origins:
        """Returns the origins of an input, or of the run's answer."""
        value = exposure = 0
        for cause in causes:
            if cause.step == EVERYTHING:
                exposure |= self._everything
                continue
            given = self._give(cause.step)
            if cause.tie == "value":
                value |= given.value
                exposure |= given.exposure
            else:
                exposure |= given.value | given.exposure
        for source in sources:
            value |= self._get_bit(source)
        return Origins(value, exposure & ~value)

    def find_input(self, step: int) -> Origins:
        """Returns the origins of a step's input. The input of a step within the origin has a value of the origin."""
        asked = self._asked.get(step, NOTHING)
        return Origins(asked.value | _OWN, asked.exposure & ~_OWN) if step in self._within else asked

    def find_result(self, step: int) -> Origins:
        """Returns the origins of the result of a step."""
        return self._give(step)

    def _give(self, step: int) -> Origins:
        if step in self._gave:
            given = self._gave[step]
        else:  # it is at work: the steps in its frame are shown its input
            given = self._asked.get(step, NOTHING)
        if step in self._read:  # the input decides which entries are found, but not what they say
            given = Origins(0, given.value | given.exposure | self._read[step].exposure)
        return Origins(given.value | _OWN, given.exposure) if step in self._within else given

    def tie(self, origins: Origins) -> Tie | None:
        """Returns the tie by which something descends from the origin step; None if it does not."""
        if origins.value & _OWN:
            return "value"
        return "exposure" if origins.exposure & _OWN else None

    def list_sources(self, origins: Origins) -> tuple[list[Source], list[Source]]:
        """Returns the sources from which something took values, and those to which it was only exposed."""
        return self._list(origins.value), self._list(origins.exposure & ~origins.value)

    def count_exposed(self, origins: Origins) -> int:
        """Returns the number of sources to which something was only exposed."""
        return (origins.exposure & ~origins.value & ~_OWN).bit_count()

    def _list(self, bits: int) -> list[Source]:
        found: list[Source] = []
        bits &= ~_OWN
        while bits:
            lowest = bits & -bits
            found.append(self._listed[lowest.bit_length() - 2])
            bits ^= lowest
        return found
