"""Access to the file for rare work of several statements: reads run in the reading threads, and writes go through the
writer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.ops import WorkOp
from seawall.journal.sqlite.reading import Readers
from seawall.journal.sqlite.transaction import Transaction
from seawall.journal.sqlite.writer import Writer

T = TypeVar("T")


class FileAccess:
    """Reads and writes the file for pruning, erasing, collecting and forgetting."""

    def __init__(self, path: str, readers: Readers, writer: Writer) -> None:
        self.path = path
        self._readers = readers
        self._writer = writer

    def read(self, work: Callable[[Database], T]) -> Awaitable[T]:
        """Runs `work` in a reading thread, in one snapshot, and returns its result."""
        return self._readers.run(work)

    def write(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Runs `work` in a transaction of the writer, and returns its result."""
        return self._writer.submit(WorkOp(work))

    def run_alone(self, work: Callable[[Database], T]) -> Awaitable[T]:
        """Runs `work` in the writer's thread, outside a transaction, and returns its result."""
        return self._writer.submit(WorkOp(work, alone=True))
