"""The text that a run in flight streams, and each reader's position in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator

from seawall.models.protocol import TextDelta

MAX_DELTAS = 10_000
"""How many pieces of text are kept for slow readers of `events()`. Older pieces are dropped; the answer never is."""


class StreamedText:
    """The pieces of text that one run has streamed so far. It calls `wake` after each piece."""

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

    def read(self, position: int) -> tuple[int, int, TextDelta] | None:
        """Returns the first piece at or after `position` as (next position, step, piece); None at the end."""
        dropped = self._count - len(self._pieces)
        position = max(position, dropped)
        return None if position >= self._count else (position + 1, *self._pieces[position - dropped])


class TextReader:
    """One reader's position in the streamed text. It leaves out the text of the steps in `skipped`."""

    def __init__(self, source: StreamedText, skipped: Collection[int]) -> None:
        self.source = source
        self._skipped = skipped
        self._position = 0

    def read_until(self, step: float = math.inf) -> Iterator[TextDelta]:
        """Yields the pieces of steps up to `step` that this reader has not read yet."""
        while (found := self.source.read(self._position)) is not None:
            position, piece_step, piece = found
            if piece_step > step:
                return
            self._position = position
            if piece_step not in self._skipped:
                yield piece
