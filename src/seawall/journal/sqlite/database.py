"""A thin, typed wrapper of an `apsw` connection, whose own stubs leave values untyped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apsw

from seawall.core.errors import SeawallBug

_log = logging.getLogger("seawall.journal")

_LOCK_RETRY_S = 0.001
"""Seconds between two attempts to get a lock: about one commit; each process that waits uses 5% of a core."""

_STATEMENTS_KEPT = 384
"""Prepared statements that a connection keeps. `apsw` keeps the most recently used ones. A run of 25 steps makes some
300 uses, one for each row that it writes; with fewer statements kept, those that a run uses once would be prepared again
in each run. With many more the search in the cache costs more than it saves."""

Row = tuple[Any, ...]


class LockWait:
    """Waits for locks that other connections hold; see `Database.set_lock_wait`."""

    def __init__(self, wait_s: float) -> None:
        self._attempts = wait_s / _LOCK_RETRY_S
        self._never = threading.Event()
        self.waits = 0
        """How often it has waited."""

    def __call__(self, count: int) -> bool:
        """Waits before another attempt, the first of which has the number 0; returns False after the last one."""
        self.waits += 1
        self._never.wait(_LOCK_RETRY_S)
        return count < self._attempts


class Database:
    """One connection. Only one thread may use it at a time."""

    def __init__(self, path: str, *, flags: int, vfs: str | None) -> None:
        self._raw: Any = apsw.Connection(path, flags=flags, vfs=vfs, statementcachesize=_STATEMENTS_KEPT)
        # Without this setting SQLite prepares a statement again for each new value of a parameter that is compared with
        # the column of a partial index. The statements here write such values into their text, so the plan never
        # depends on a parameter.
        self._raw.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        # Statements that return no rows share one cursor: to make one takes as long as a small statement.
        self._cursor: Any = self._raw.cursor()
        self.lock_wait = LockWait(0.0)

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        """Executes one or more statements that return no rows."""
        self._cursor.execute(sql, values)

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Executes a statement that returns no rows, once for each row of values."""
        self._cursor.executemany(sql, rows)

    def fetch_all(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Returns all rows."""
        return self._raw.execute(sql, values).fetchall()

    def iterate(self, sql: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """Returns an iterator over the rows, which needs bounded memory."""
        return self._raw.execute(sql, values)

    def fetch_first(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        """Returns the first row, or None."""
        return self._raw.execute(sql, values).fetchone()

    def fetch_one(self, sql: str, values: Sequence[object] = ()) -> Row:
        """Returns the first row of a query that always has one."""
        row = self.fetch_first(sql, values)
        if row is None:
            raise SeawallBug(f"no row from {sql!r}")
        return row

    def fetch_value(self, sql: str, values: Sequence[object] = ()) -> Any:
        """Returns the first column of the first row; None if there is no row."""
        return self._raw.execute(sql, values).get

    def split_words(self, text: str) -> list[str]:
        """Returns the words of a text as the full-text index splits it."""
        split = self._raw.fts5_tokenizer("unicode61", [])
        data = text.encode("utf-8", "replace")
        return list(
            split(data, apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False, include_colocated=False)
        )

    def run_pragma(self, name: str, value: object = None) -> Any:
        """Reads a pragma or, with a value, sets it; returns SQLite's answer."""
        return self._raw.pragma(name) if value is None else self._raw.pragma(name, value)

    def set_lock_wait(self, wait_s: float) -> None:
        """Sets how long to wait for locks that other connections hold.

        SQLite's own waiting backs off to 0.1 s between two attempts, so a process that commits without a pause
        starves the others: with eight such processes the slowest append took 1.1 s, with this waiting 0.06 s.
        """
        self.lock_wait = LockWait(wait_s)
        self._raw.set_busy_handler(self.lock_wait)

    def use_log(self) -> str:
        """Has the file use a write-ahead log, and returns its journal mode.

        While another connection does the same to a new file, SQLite may say that the file is locked without having waited,
        because each of them has a lock that the other one needs. So it is tried again until all attempts are used up, those
        of SQLite included.
        """
        begun = self.lock_wait.waits
        while True:
            try:
                return str(self.run_pragma("journal_mode", "wal"))
            except apsw.BusyError:
                if not self.lock_wait(self.lock_wait.waits - begun):
                    raise

    @property
    def is_read_only(self) -> bool:
        """Whether the file could only be opened for reading."""
        return self._raw.readonly("main")

    def count_log_pages(self) -> int:
        """Returns the number of pages in the write-ahead log."""
        return self._raw.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]

    def checkpoint(self, mode: int = apsw.SQLITE_CHECKPOINT_PASSIVE) -> None:
        """Copies the write-ahead log to the file."""
        self._raw.wal_checkpoint(mode=mode)

    @property
    def data_version(self) -> int:
        """A number that every commit changes: of this connection, and of another one once this one has begun its next
        transaction.
        """
        return self._raw.data_version()

    @property
    def total_changes(self) -> int:
        """Rows that this connection has changed since it was opened."""
        return self._raw.total_changes()

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
        """Undoes what is not committed. Outside a transaction it does nothing."""
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def leave_log(self) -> None:
        """Makes `close` leave the write-ahead log as it is.

        Otherwise the last connection copies its log to the file. If the log or the file was replaced since it was
        opened, that would overwrite data of other processes.
        """
        self._raw.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    def copy_to(self, copy: Database, pages: int, progress: Callable[[int, int], None]) -> None:
        """Copies one snapshot of the database to an empty one, `pages` at a time, with SQLite's online backup.

        Calls `progress(pages copied, all pages)`. The copy is one file, without a write-ahead log.
        """
        with copy._raw.backup("main", self._raw, "main") as backup:
            while not backup.done:
                backup.step(pages)
                progress(backup.page_count - backup.remaining, backup.page_count)
        copy.run_pragma("journal_mode", "delete")

    def close(self) -> None:
        """Closes the file.

        If the disk refuses the last checkpoint, that is only logged: everything that was acknowledged is in the
        write-ahead log, and the next process that opens the file reads it.
        """
        try:
            self._raw.close()
        except apsw.Error as error:
            _log.warning("at close: %s", error)
            self._raw.close(True)
