"""A sliding window of time: what became of calls, in twelve buckets, newest first when it is read."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

BUCKETS = 12
"""Of one window: fine enough that a twelfth more or less of the past does not matter, and few to add up."""


class Counts(msgspec.Struct):
    """What happened in one bucket."""

    calls: int = 0
    """That have ended, and say something of the endpoint."""
    failed: int = 0
    slow: int = 0

    def add(self, other: Counts) -> None:
        """Add `other` to it."""
        self.calls += other.calls
        self.failed += other.failed
        self.slow += other.slow


class Aged(msgspec.Struct, frozen=True, array_like=True):
    """A bucket as it is told to others: how long ago it began, so that no two clocks are compared."""

    age_s: float
    calls: int
    failed: int
    slow: int


class CallWindow:
    """Counts of the last `window_s` seconds of a monotonic clock. Bounded: twelve buckets, whatever happens."""

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / BUCKETS
        self._slots = [Counts() for _ in range(BUCKETS)]
        self._numbers = [-1] * BUCKETS

    def number(self, now: float) -> int:
        """The bucket that a moment falls into."""
        return int(now // self._bucket_s)

    def at(self, now: float) -> Counts:
        """The bucket of `now`, to be added to."""
        number = self.number(now)
        place = number % BUCKETS
        if self._numbers[place] != number:
            self._numbers[place] = number
            self._slots[place] = Counts()
        return self._slots[place]

    def sums(self, now: float) -> list[Counts]:
        """The buckets by their age, the newest first."""
        newest = self.number(now)
        found = [Counts() for _ in range(BUCKETS)]
        for number, counts in zip(self._numbers, self._slots, strict=True):
            if number >= 0 and 0 <= newest - number < BUCKETS:
                found[newest - number].add(counts)
        return found

    def add_told(self, found: list[Counts], told: Iterable[Aged], now: float, received: float) -> None:
        """Add to what `sums` gave what another process told at `received`."""
        newest = self.number(now)
        for aged in told:
            age = newest - self.number(received - aged.age_s)
            if age < BUCKETS:
                found[max(0, age)].add(Counts(aged.calls, aged.failed, aged.slow))

    def forget(self) -> None:
        """Begin anew."""
        self._numbers = [-1] * BUCKETS

    def told(self, now: float) -> tuple[Aged, ...]:
        """The buckets that hold anything, for others."""
        newest = self.number(now)
        return tuple(
            Aged(round(max(0.0, now - number * self._bucket_s), 3), *msgspec.structs.astuple(counts))
            for number, counts in zip(self._numbers, self._slots, strict=True)
            if number >= 0 and 0 <= newest - number < BUCKETS and counts.calls
        )
