"""Heartbeats: whether the owner of a run is alive.

A process of this host that has ended is recognised at once. All other owners are judged by their heartbeat: by the
changes that this process saw, timed on its own monotonic clock, which no jump of the wall clock affects. Until it has
watched for long enough, it uses the times in the row. Containers of one machine have one monotonic clock, whatever
their names. The wall clocks of two machines, and of two boots of one machine, may differ; the remaining time is then
uncertain.
"""

from __future__ import annotations

from typing import NamedTuple

from seawall.core.clock import Clock
from seawall.journal.protocol import LeaseState
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.owner import Owner

CLOCKS_DIFFER_S = 10.0
"""Seconds by which the wall clocks of two machines may differ: many times the difference of clocks that NTP sets."""

Beat = tuple[int, float, float]  # number, until (wall), until (monotonic of the owner's host)

_BEATS = "SELECT owner, beat, until_wall, until_mono FROM workers"


class LeaseTime(NamedTuple):
    """The remaining time of an owner's lease."""

    left_s: float | None
    """Seconds until the owner's runs may be taken; None if they may be taken at once."""
    state: LeaseState
    """See `RunRow.lease`."""


OUT = LeaseTime(None, "none")


def _read_beat(values: Row) -> Beat | None:
    """Returns the heartbeat of a row; None if the row is damaged. A live owner soon replaces a damaged row."""
    beat, wall, mono = values
    if not isinstance(beat, int) or not isinstance(wall, float) or not isinstance(mono, float):
        return None
    return beat, wall, mono


class Liveness:
    """Writes the heartbeat of this process, and judges the heartbeats of others."""

    def __init__(self, here: Owner, clock: Clock, lease_s: float, *, doubted_are_out: bool = False) -> None:
        self._here = here
        self._clock = clock
        self._lease_s = lease_s
        self._doubted_are_out = doubted_are_out
        self._beat = 0
        self._beat_at: float | None = None
        """Boot-time seconds when the newest heartbeat was written. In boot time a lease also ends while the machine is
        suspended."""
        self._kept_at: float | None = None
        """Boot-time seconds when the newest committed heartbeat was written."""
        self._retry_at = float("-inf")
        self._seen: dict[str, tuple[int | None, float, bool]] = {}  # beat, first seen at, seen to change

    def enrol(self, database: Database) -> None:
        """Writes the first heartbeat, in the transaction in which this process takes its first run."""
        if self._beat_at is None:
            self.beat(database)

    @property
    def due_in_s(self) -> float | None:
        """Seconds until a heartbeat must be written if nothing else is; None if this process owns no run yet."""
        if self._beat_at is None:
            return None
        return max(self._beat_at + self._lease_s / 3, self._retry_at) - self._clock.boottime_s()

    def beat_if_old(self, database: Database) -> bool:
        """Writes a heartbeat in the current transaction if the last one may be older than a third of a lease at its
        commit.
        """
        old = self._beat_at is not None and self._clock.boottime_s() - self._beat_at >= self._lease_s / 3
        if old:
            self.beat(database)
        return old

    def keep(self) -> None:
        """Notes that the transaction with the newest heartbeat is committed."""
        self._kept_at = self._beat_at

    def forget(self) -> None:
        """Forgets the heartbeat that was not committed, because its transaction failed; the next one is written after a
        delay.
        """
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
        for owner, lease in self.judge_all(database).items():
            if lease.left_s is None:
                database.run("DELETE FROM workers WHERE owner = ?", (owner,))
                self._seen.pop(owner, None)

    def leave(self, database: Database) -> None:
        """Deletes the row of this process."""
        database.run("DELETE FROM workers WHERE owner = ?", (str(self._here),))

    def judge_all(self, database: Database) -> dict[str, LeaseTime]:
        """Returns the remaining lease of every worker that has a row."""
        return {
            owner: self._judge(owner, _read_beat(tuple(beat)))
            for owner, *beat in database.fetch_all(_BEATS)
            if isinstance(owner, str)
        }

    def judge(self, database: Database, owner: str) -> LeaseTime:
        """Returns the remaining lease of `owner`. An owner without a row has left, or was found to be dead."""
        row = database.fetch_first(f"{_BEATS} WHERE owner = ?", (owner,))
        return OUT if row is None else self._judge(owner, _read_beat(row[1:]))

    def _judge(self, owner: str, beat: Beat | None) -> LeaseTime:
        other = Owner.parse(owner)
        if other is not None and other.is_gone(self._here):
            return OUT
        if owner == str(self._here):
            return LeaseTime(self._lease_s, "held")
        now = self._clock.monotonic_s()
        watched_s, moved = self._watch(owner, None if beat is None else beat[0], now)
        if watched_s <= 0:
            return OUT
        if moved:
            return LeaseTime(watched_s, "held")
        state: LeaseState = "doubted"
        left_s = watched_s
        if beat is not None and other is not None and other.host.shares_clock(self._here.host):
            left_s = beat[2] - now
            state = "runs" if left_s <= self._lease_s else "doubted"  # a lease never has more time left
        elif beat is not None:
            left_s = beat[1] + CLOCKS_DIFFER_S - self._clock.wall_s()
        if other is not None and other.host.shares_processes(self._here.host):
            state = "held"
        if left_s <= 0 or (state == "doubted" and self._doubted_are_out):
            return OUT
        return LeaseTime(min(left_s, watched_s), state)

    def _watch(self, owner: str, number: int | None, now: float) -> tuple[float, bool]:
        """Returns the remaining seconds of a lease since the current heartbeat was first seen, and whether a heartbeat
        was seen to change.
        """
        known = self._seen.get(owner)
        if known is None or known[0] != number:
            known = self._seen[owner] = (number, now, known is not None)
        return self._lease_s - (now - known[1]), known[2]
