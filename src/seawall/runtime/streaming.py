"""The text that a run in flight streams, and each reader's place in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator

from seawall.models.protocol import TextDelta

MAX_DELTAS = 10_000
"""Pieces of text kept for readers of `events()` that are behind; older ones are dropped, the answer is not."""


class StreamedText:
    """The pieces of text that one run has streamed so far. `wake` is called after each piece."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._pieces: deque[tuple[int, TextDelta]] = deque(maxlen=MAX_DELTAS)
        self._count = 0

    def __repr__(self) -> str:
        return f"<StreamedText {self._count} pieces>"

    def add(self, step: int, text: str) -> None:
        """Adds a piece of the text of a step."""
        self._pieces.append((step, TextDelta(text)))
        self._count += 1
        self._wake()

    def read(self, place: int) -> tuple[int, int, TextDelta] | None:
        """Returns the first piece at or after a place, as (the place after it, its step, the piece); None at the end."""
        dropped = self._count - len(self._pieces)
        place = max(place, dropped)
        return None if place >= self._count else (place + 1, *self._pieces[place - dropped])


class TextReader:
    """One reader's place in the streamed text; pieces of the steps in `skipped` are left out."""

    def __init__(self, source: StreamedText, skipped: Collection[int]) -> None:
        self.source = source
        self._skipped = skipped
        self._place = 0

    def read_until(self, step: float = math.inf) -> Iterator[TextDelta]:
        """Yields the pieces of steps up to `step` that were not read yet."""
        while (found := self.source.read(self._place)) is not None and found[1] <= step:
            self._place = found[0]
            if found[1] not in self._skipped:
                yield found[2]
