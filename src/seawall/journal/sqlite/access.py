"""How rare work of several statements reads and writes the file: in the reading threads, and through the writer."""

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
    """Reads and writes the file for whoever prunes, erases, collects and forgets."""

    def __init__(self, path: str, readers: Readers, writer: Writer) -> None:
        self.path = path
        self._readers = readers
        self._writer = writer

    def read(self, work: Callable[[Database], T]) -> Awaitable[T]:
        """Does `work` in a reading thread, in one snapshot."""
        return self._readers.run(work)

    def write(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Does `work` in a transaction of the writer."""
        return self._writer.submit(WorkOp(work))

    def run_alone(self, work: Callable[[Database], T]) -> Awaitable[T]:
        """Does `work` in the writer's thread, outside a transaction."""
        return self._writer.submit(WorkOp(work, alone=True))
