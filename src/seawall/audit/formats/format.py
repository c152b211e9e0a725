"""What a format of recordings is: how it is recognised by its shape, and what reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

from seawall.audit.recording import BadLine, RecordedRun


class Reader(Protocol):
    """Reads the values of one file that its format has recognised. It holds what may go on, within bounds."""

    def read(self, value: Any, line: int) -> Iterator[RecordedRun | BadLine]:
        """Takes in a value that begins in `line`, and yields the runs that are over with it."""
        ...

    def finish(self) -> Iterator[RecordedRun]:
        """Yields the runs that were still open when the file ended."""
        ...


class Format(msgspec.Struct, frozen=True):
    """One way in which others record."""

    name: str
    reads: str
    """What is read, in a few words."""
    run: str
    """What becomes one run."""
    recognise: Callable[[Any], bool]
    """Returns whether a JSON value is of this format, by its shape."""
    open: Callable[[str], Reader]
    """Returns a reader for a file, which is given by its name."""
