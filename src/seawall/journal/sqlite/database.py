"""A typed, thin skin over an `apsw` connection, whose own stubs leave values unknown."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apsw

from seawall.core.errors import SeawallBug

_log = logging.getLogger("seawall.journal")

_LOOK_S = 0.001
"""Seconds between two looks for a lock: about one commit, and 5% of a core for each process that waits."""

Row = tuple[Any, ...]


class Database:
    """One connection. Used by one thread at a time."""

    def __init__(self, path: str, *, flags: int, vfs: str | None) -> None:
        self._raw: Any = apsw.Connection(path, flags=flags, vfs=vfs, statementcachesize=64)

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        """Execute one or more statements whose rows nobody wants."""
        self._raw.execute(sql, values)

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a statement once for each row of values."""
        self._raw.executemany(sql, rows)

    def fetch_all(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows."""
        return self._raw.execute(sql, values).fetchall()

    def iterate(self, sql: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """The rows one by one, in bounded memory."""
        return self._raw.execute(sql, values)

    def fetch_first(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        """The first row."""
        return self._raw.execute(sql, values).fetchone()

    def fetch_one(self, sql: str, values: Sequence[object] = ()) -> Row:
        """The first row of a query that always has one."""
        row = self.fetch_first(sql, values)
        if row is None:
            raise SeawallBug(f"no row from {sql!r}")
        return row

    def fetch_value(self, sql: str, values: Sequence[object] = ()) -> Any:
        """The first column of the first row; None if there is no row."""
        return self._raw.execute(sql, values).get

    def run_pragma(self, name: str, value: object = None) -> Any:
        """Read a pragma or, with a value, set it; what SQLite answers."""
        return self._raw.pragma(name) if value is None else self._raw.pragma(name, value)

    def set_lock_wait(self, wait_s: float) -> None:
        """How long to wait for locks of other connections.

        SQLite's own waiting backs off to 0.1 s between two looks, so that a process which commits without a
        pause starves the others: with eight at it the slowest append took 1.1 s, with this 0.06 s.
        """
        looks = wait_s / _LOOK_S
        never = threading.Event()

        def busy(count: int) -> bool:
            never.wait(_LOOK_S)
            return count < looks

        self._raw.set_busy_handler(busy)

    def count_log_pages(self) -> int:
        """Pages in the write-ahead log."""
        return self._raw.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]

    def checkpoint(self, mode: int = apsw.SQLITE_CHECKPOINT_PASSIVE) -> None:
        """Copy the write-ahead log to the file."""
        self._raw.wal_checkpoint(mode=mode)

    @property
    def changes(self) -> int:
        """Rows that the last statement changed."""
        return self._raw.changes()

    @property
    def last_rowid(self) -> int:
        """The key of the row inserted last."""
        return self._raw.last_insert_rowid()

    @property
    def errno(self) -> int:
        """The operating system's error number behind the last error."""
        return self._raw.system_errno

    def rollback(self) -> None:
        """Undo what is not committed; harmless outside a transaction."""
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of the file.

        What the disk refuses then (the last checkpoint) is only worth a line: all that was acknowledged is in
        the write-ahead log, and who opens the file next reads it.
        """
        try:
            self._raw.close()
        except apsw.Error as error:
            _log.warning("at close: %s", error)
            self._raw.close(True)
