"""The type of a format of recordings: how a value is recognised by its shape, and the reader of the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

from seawall.audit.recording import BadLine, RecordedRun


class Reader(Protocol):
    """Reads the values of one file that its format has recognised. It holds runs that may continue, within bounds."""

    def read(self, value: Any, line: int) -> Iterator[RecordedRun | BadLine]:
        """Reads a value that begins in `line`, and yields the runs that are complete."""
        ...

    def finish(self) -> Iterator[RecordedRun]:
        """Yields the runs that were still open when the file ended."""
        ...


class Format(msgspec.Struct, frozen=True):
    """One format in which other systems record."""

    name: str
    reads: str
    """A few words on the values that are read."""
    run: str
    """A few words on which values become one run."""
    recognise: Callable[[Any], bool]
    """Returns whether a JSON value has the shape of this format."""
    open: Callable[[str], Reader]
    """Returns a reader for a file of this name."""
