"""Finds which answers of a run are versions of one text, and which of them say nothing new.

Two texts are versions of one if they have most of their shingles in common (`traces.py`). Numbers, dates and ids are
compared separately: a version with a value that no earlier version of the text had brings new information, however
little else it changes, so it is not a rewrite. A value that comes back is not new.

The index is made from bodies, so it is not state; what it finds is recorded with the answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from seawall.run.traces import Traces
from seawall.run.waste import MAX_VERSIONS

MIN_TEXT_CHARS = 200
"""Characters of the shortest answer that is compared. A shorter answer is a statement: two agents that give it in the
same words agree."""
MIN_SHINGLES = 12
"""Shingles of the shortest text that is compared: some three sentences. In a shorter text one common phrase would be a
large share."""
SKETCH = 128
"""Shingles by which a text is compared: the smallest hashes, which are a random sample. It is all of them for a page; of
longer texts it gives the share within 0.05 (one standard deviation)."""
ALIKE = 0.5
"""The share of common shingles (of those in either text) from which on two texts are versions of one text: about two
thirds of each are in the other. `python bench/arguing.py` prints what other shares find."""
HELD = 0.5
"""The share of a version's shingles from which on a task holds the version."""
MAX_VALUES = 4_000
"""Values of the versions of one text that are remembered: twice the number that is indexed of one version."""


class Told(NamedTuple):
    """The result of a comparison: the text of which an answer is a version, and whether the answer is a rewrite."""

    version_of: int = 0
    rewrites: bool = False


class _Sketch(NamedTuple):
    """The smallest hashes of a text's shingles."""

    shingles: frozenset[int]
    ordered: tuple[int, ...]
    """The same hashes, ascending."""
    whole: bool
    """Whether the sample holds all hashes of the text."""


class _Version(NamedTuple):
    text: int
    frame: int
    sketch: _Sketch
    values: frozenset[str]
    """The values of the text's versions up to this one."""


class Versions:
    """The newest texts that agents of a run have written."""

    def __init__(self, alike: float = ALIKE) -> None:
        self._alike = alike
        self._known: deque[_Version] = deque(maxlen=MAX_VERSIONS)

    def __repr__(self) -> str:
        return f"<Versions, {len(self._known)} of {len({each.text for each in self._known})} texts>"

    def compare(self, step: int, traces: Traces, is_below: Callable[[int], bool]) -> Told:
        """Returns the result of comparing an answer with these traces, without adding the answer. `is_below` tells
        whether a frame works for the answering frame: to pass on its text is not a rewrite.
        """
        sketch = _make_sketch(traces)
        if sketch is None:
            return Told()
        text, nearest, is_alike = step, 0.0, False
        for known in reversed(self._known):
            share = _estimate_share(sketch, known.sketch)
            if share < self._alike:
                continue
            if share > nearest:
                text, nearest = known.text, share
            is_alike = is_alike or not is_below(known.frame)
        return Told(text, is_alike and traces.literals <= self._find_values(text))

    def add(self, version_of: int, frame: int, traces: Traces) -> None:
        """Adds an answer with the text that `compare` has found for it."""
        sketch = _make_sketch(traces)
        if sketch is None:
            return
        values = self._find_values(version_of)
        if len(values) < MAX_VALUES:
            values |= traces.literals
        self._known.append(_Version(version_of, frame, sketch, values))

    def find_text(self, traces: Traces) -> int:
        """Returns the newest text of which a task with these traces holds a version; 0 if it holds none."""
        for known in reversed(self._known):
            if len(known.sketch.shingles & traces.shingles) >= HELD * len(known.sketch.ordered):
                return known.text
        return 0

    def __len__(self) -> int:
        return len(self._known)

    def _find_values(self, text: int) -> frozenset[str]:
        for known in reversed(self._known):
            if known.text == text:
                return known.values
        return frozenset()


def _make_sketch(traces: Traces) -> _Sketch | None:
    """Returns the sample of a text's shingles; None if it is too short to be compared."""
    found = traces.shingles
    if len(found) < MIN_SHINGLES:
        return None
    smallest = tuple(sorted(found)[:SKETCH])
    return _Sketch(frozenset(smallest), smallest, len(smallest) == len(found))


def _estimate_share(one: _Sketch, other: _Sketch) -> float:
    """Returns shared shingles over all shingles of two texts (Jaccard's index), from two samples.

    Up to the smaller one of their largest hashes both samples are complete, and the smallest hashes of both texts
    together are a random sample of all (Broder: On the resemblance and containment of documents, 1997).
    """
    both = len(
        one.shingles & other.shingles
    )  # both samples are complete up to here, so no common hash is missing
    if not both:
        return 0.0
    lasts = [each.ordered[-1] for each in (one, other) if not each.whole]
    if not lasts:
        return both / (len(one.ordered) + len(other.ordered) - both)
    counted = sum(bisect_right(each.ordered, min(lasts)) for each in (one, other))
    return both / (counted - both)
