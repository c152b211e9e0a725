"""Heartbeats: whether the owner of a run is alive.

A process of this host that has ended is recognised at once. All others are judged by their heartbeat: by the
changes of it that this process saw on its own monotonic clock, which no jump of the wall clock affects, or, until
it has watched for long enough, by the times in the row.
"""

from __future__ import annotations

from seawall.core.clock import Clock
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.owner import Owner

Beat = tuple[int, float, float]  # number, until (wall), until (monotonic of the owner's host)


_ROWS = "SELECT owner, beat, until_wall, until_mono FROM workers"


def _is_sound(row: Row) -> bool:
    """Returns whether a row holds what a heartbeat writes. A living owner soon writes one that is damaged again."""
    owner, beat, wall, mono = row
    return (
        isinstance(owner, str)
        and isinstance(beat, int)
        and isinstance(wall, float)
        and isinstance(mono, float)
    )


class Liveness:
    """Writes the heartbeat of this process, and judges those of others."""

    def __init__(self, here: Owner, clock: Clock, lease_s: float) -> None:
        self._here = here
        self._clock = clock
        self._lease_s = lease_s
        self._beat = 0
        self._beat_at: float | None = None
        """When the newest heartbeat was written, in boot time: a lease ends while the machine is suspended, too."""
        self._kept_at: float | None = None
        """When the newest one was written that is committed."""
        self._retry_at = float("-inf")
        self._seen: dict[str, tuple[int, float, bool]] = {}  # beat, first seen at, seen to change

    def enrol(self, database: Database) -> None:
        """Writes the first heartbeat, in the transaction in which this process takes its first run."""
        if self._beat_at is None:
            self.beat(database)

    @property
    def due_in_s(self) -> float | None:
        """Seconds until a heartbeat is to be written, if nothing else is; None if this process owns nothing yet."""
        if self._beat_at is None:
            return None
        return max(self._beat_at + self._lease_s / 3, self._retry_at) - self._clock.boottime_s()

    def beat_if_old(self, database: Database) -> bool:
        """Writes a heartbeat in a transaction whose commit may find the last one older than a third of a lease."""
        old = self._beat_at is not None and self._clock.boottime_s() - self._beat_at >= self._lease_s / 3
        if old:
            self.beat(database)
        return old

    def keep(self) -> None:
        """The transaction with the newest heartbeat is committed."""
        self._kept_at = self._beat_at

    def forget(self) -> None:
        """Forgets what was not committed, because its transaction failed; the next heartbeat is tried in a while."""
        self._beat_at = self._kept_at
        self._retry_at = self._clock.boottime_s() + self._lease_s / 30

    def beat(self, database: Database) -> None:
        """Writes one heartbeat, and deletes the rows of workers that are dead or have been silent for a lease."""
        self._beat += 1
        mono, wall = self._clock.monotonic_s(), self._clock.wall_s()
        database.run(
            "INSERT INTO workers VALUES (?, ?, ?, ?) ON CONFLICT(owner) DO UPDATE SET beat = excluded.beat, "
            "until_wall = excluded.until_wall, until_mono = excluded.until_mono",
            (str(self._here), self._beat, wall + self._lease_s, mono + self._lease_s),
        )
        self._beat_at = self._clock.boottime_s()
        for owner, left_s in self.judge_all(database).items():
            if left_s is None:
                database.run("DELETE FROM workers WHERE owner = ?", (owner,))
                self._seen.pop(owner, None)

    def leave(self, database: Database) -> None:
        """Deletes the row of this process."""
        database.run("DELETE FROM workers WHERE owner = ?", (str(self._here),))

    def judge_all(self, database: Database) -> dict[str, float | None]:
        """Returns, for every worker that has a row, the seconds that its lease still runs; None if it is dead."""
        rows = [row for row in database.fetch_all(_ROWS) if _is_sound(row)]
        return {owner: self._judge_beat(owner, (beat, wall, mono)) for owner, beat, wall, mono in rows}

    def judge_left_s(self, database: Database, owner: str) -> float | None:
        """Returns the seconds that the lease of `owner` still runs; None if it is dead."""
        row = database.fetch_first(
            "SELECT beat, until_wall, until_mono FROM workers WHERE owner = ?", (owner,)
        )
        return None if row is None or not _is_sound((owner, *row)) else self._judge_beat(owner, row)

    def _judge_beat(self, owner: str, beat: Beat) -> float | None:
        other = Owner.parse(owner)
        if other is not None and other.is_gone(self._here):
            return None
        if owner == str(self._here):
            return self._lease_s
        now = self._clock.monotonic_s()
        number, since, moved = self._seen.get(owner, (-1, now, False))
        if number != beat[0]:
            since, moved = now, number != -1
            self._seen[owner] = (beat[0], since, moved)
        silent_s = now - since
        if silent_s >= self._lease_s:
            return None
        if moved:
            return self._lease_s - silent_s
        if other is not None and other.host == self._here.host:
            left_s = (
                beat[2] - now
            )  # the same boot of the same kernel: both processes have one monotonic clock
        else:
            left_s = beat[1] - self._clock.wall_s()
        return min(left_s, self._lease_s - silent_s) if left_s > 0 else None
