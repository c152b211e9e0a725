"""The high-water mark: a small file beside the journal that holds the newest batch that was durable.

A flipped bit or a torn page in the write-ahead log makes SQLite silently drop everything after it when the file is next
opened. The mark reveals that. The mark lags behind the file (`SqliteOptions.mark_s`, `mark_batches`), so a loss smaller
than the lag is not noticed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import apsw
import msgspec

from seawall.core.clock import Clock
from seawall.journal.protocol import Head
from seawall.journal.sqlite.database import Database

MARK_BYTES = 4096
"""Most bytes of a mark that are read, about 20 times what one has."""


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe has no writer, and is opened without waiting for one


def read_head(database: Database, at: float) -> Head:
    """Returns the newest batch of the journal."""
    genesis = database.fetch_value("SELECT value FROM meta WHERE key = 'genesis'")
    batch, hash_ = database.fetch_one("SELECT id, hash FROM batches ORDER BY id DESC LIMIT 1")
    return Head(genesis=genesis.hex(), batch=batch, hash=hash_.hex(), at=at)


class Mark:
    """The mark of one journal. It is written while the file's write lock is held, so it never goes back."""

    def __init__(self, path: str, genesis: bytes, clock: Clock, lag_s: float, lag_batches: int) -> None:
        self.path = Path(path + ".mark")
        self._genesis = genesis.hex()
        self._clock = clock
        self._lag_s = lag_s
        self._lag_batches = lag_batches
        self._marked = -1
        self._head = -1
        self._ahead_since: float | None = None
        self.is_absent = False
        """True if there was no mark when the journal was opened, so that a lost tail can't be noticed."""

    def follow(self, head: int) -> None:
        """Notes that the file has reached batch `head`."""
        if self._marked < 0:
            self._marked = head
        if head > self._head:
            self._head = head
            if self._ahead_since is None:
                self._ahead_since = self._clock.monotonic_s()

    @property
    def due_in_s(self) -> float | None:
        """Seconds until the mark must be written; None if it is up to date."""
        if self._ahead_since is None:
            return None
        return self._ahead_since + self._lag_s - self._clock.monotonic_s()

    def is_due(self) -> bool:
        """Returns whether the mark lags by its allowed maximum."""
        due = self.due_in_s
        return due is not None and (due <= 0 or self._head - self._marked >= self._lag_batches)

    def postpone(self) -> None:
        """Delays the next attempt by one lag, because the mark could not be written."""
        self._marked = self._head
        self._ahead_since = self._clock.monotonic_s()

    def read(self) -> Head | None:
        """Returns the mark; None if there is no file. Raises `ValueError` if the file does not hold a mark."""
        try:
            with open(self.path, "rb", opener=_open_at_once) as file:
                data = file.read(MARK_BYTES)
        except FileNotFoundError:
            return None
        return msgspec.json.decode(data, type=Head)

    def note_absence(self, database: Database, *, new: bool) -> None:
        """Writes the mark of a journal that has no batch yet. If a journal with batches has no mark, notes that the
        mark is gone. The process that made the journal may have died before it wrote the mark, so each process that
        finds the journal empty writes it. A journal with a batch once had a mark.
        """
        new = new or database.fetch_value("SELECT max(id) FROM batches") == 0
        if self.path.exists():
            return
        if new:
            with contextlib.suppress(OSError, apsw.Error):  # the writer tries again, and logs why
                self.write(database)
        self.is_absent = not new

    def write(self, database: Database) -> None:
        """Writes the newest batch to the file."""
        database.run("BEGIN IMMEDIATE")
        try:
            head = read_head(database, self._clock.wall_s())
            self._replace(msgspec.json.encode(head))
        finally:
            database.run("ROLLBACK")
        self._marked = self._head = head.batch
        self._ahead_since = None

    def _replace(self, data: bytes) -> None:
        # the lock is held: no other process writes the mark now
        beside = self.path.with_name(self.path.name + ".new")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

    def read_or_explain(self) -> Head | str | None:
        """Returns the mark, None if there is none, or a text that says why it can't be read."""
        try:
            return self.read()
        except (ValueError, OSError) as error:
            return f"its high-water mark {self.path} can't be read ({error})"

    def explain_loss(self, database: Database, mark: Head | str | None) -> str | None:
        """Returns a text that says what a snapshot of the file has lost; None if nothing. The snapshot must be younger
        than `mark`.
        """
        if mark is None or isinstance(mark, str):
            return mark
        if mark.genesis != self._genesis:
            return (
                f"its high-water mark {self.path} belongs to another journal (genesis {mark.genesis[:12]}…)"
            )
        head = database.fetch_value("SELECT id FROM batches ORDER BY id DESC LIMIT 1")
        if not isinstance(head, int) or head < mark.batch:
            return f"it ends at batch {head}, but its high-water mark remembers batch {mark.batch}"
        row = database.fetch_value("SELECT hash FROM batches WHERE id = ?", (mark.batch,))
        if row is not None and not isinstance(row, bytes):
            return f"its batch {mark.batch} has no hash, its mark remembers {mark.hash[:12]}…"
        if row is not None and row.hex() != mark.hash:
            return f"its batch {mark.batch} has hash {row.hex()[:12]}…, its mark remembers {mark.hash[:12]}…"
        return None
