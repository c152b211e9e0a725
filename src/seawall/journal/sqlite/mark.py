"""The high-water mark: a small file beside the journal that remembers how far it once went.

A flipped bit or a torn page in the write-ahead log makes SQLite drop everything after it, silently, when the
file is next opened. The mark finds that. It lags (`SqliteOptions.mark_s`, `mark_batches`), so a loss of less
than that stays unseen.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from seawall.core.clock import Clock
from seawall.journal.sqlite.database import Database


class Head(msgspec.Struct, frozen=True):
    """A batch that was durable, and the journal (by its genesis) that it belongs to."""

    genesis: str
    batch: int
    hash: str
    at: float


class Mark:
    """The mark of one journal. Written while the file's write lock is held, so it never goes back."""

    def __init__(self, path: str, genesis: bytes, clock: Clock, lag_s: float, lag_batches: int) -> None:
        self.path = Path(path + ".mark")
        self._genesis = genesis.hex()
        self._clock = clock
        self._lag_s = lag_s
        self._lag_batches = lag_batches
        self._marked = -1
        self._head = -1
        self._ahead_since: float | None = None

    def follow(self, head: int) -> None:
        """The file has gone on to batch `head`."""
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
        """True when the mark lags by as much as it may."""
        due = self.due_in_s
        return due is not None and (due <= 0 or self._head - self._marked >= self._lag_batches)

    def postpone(self) -> None:
        """It could not be written: try again after the lag."""
        self._marked = self._head
        self._ahead_since = self._clock.monotonic_s()

    def read(self) -> Head | None:
        """What the file says; None if there is none. Raises `ValueError` if it can't be read as a mark."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        return msgspec.json.decode(data, type=Head)

    def write(self, database: Database) -> None:
        """Remember the newest batch."""
        database.run("BEGIN IMMEDIATE")
        try:
            batch, hash_ = database.fetch_one("SELECT id, hash FROM batches ORDER BY id DESC LIMIT 1")
            head = Head(self._genesis, batch, hash_.hex(), self._clock.wall_s())
            self._replace(msgspec.json.encode(head))
        finally:
            database.run("ROLLBACK")
        self._marked = self._head = batch
        self._ahead_since = None

    def _replace(self, data: bytes) -> None:
        beside = self.path.with_name(self.path.name + ".new")  # the lock is held: nobody else writes it now
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

    def read_or_explain(self) -> Head | str | None:
        """The mark; None if there is none, or what is wrong with it."""
        try:
            return self.read()
        except (ValueError, OSError) as error:
            return f"its high-water mark {self.path} can't be read ({error})"

    def explain_loss(self, database: Database, mark: Head | str | None) -> str | None:
        """What is missing from a snapshot of the file that is younger than `mark`; None if nothing is."""
        if mark is None or isinstance(mark, str):
            return mark
        if mark.genesis != self._genesis:
            return (
                f"its high-water mark {self.path} belongs to another journal (genesis {mark.genesis[:12]}…)"
            )
        head = database.fetch_value("SELECT max(id) FROM batches")
        if head < mark.batch:
            return f"it ends at batch {head}, but its high-water mark remembers batch {mark.batch}"
        row = database.fetch_value("SELECT hash FROM batches WHERE id = ?", (mark.batch,))
        if row is not None and row.hex() != mark.hash:
            return f"its batch {mark.batch} has hash {row.hex()[:12]}…, its mark remembers {mark.hash[:12]}…"
        return None
