"""A sliding window of time that counts the results of calls, in twelve buckets."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

BUCKETS = 12
"""Buckets of one window: enough that a twelfth more or less of the past does not matter, and few enough to add up."""


class BucketCounts(msgspec.Struct):
    """What happened in one bucket."""

    calls: int = 0
    """Calls that have ended and whose result tells something about the endpoint."""
    failed: int = 0
    slow: int = 0

    def add(self, other: BucketCounts) -> None:
        """Adds `other` to these counts."""
        self.calls += other.calls
        self.failed += other.failed
        self.slow += other.slow


class AgedBucket(msgspec.Struct, frozen=True, array_like=True):
    """A bucket as it is reported to other processes. It has an age and no time, because clocks of two processes are
    never compared.
    """

    age_s: float
    """Seconds since the bucket began."""
    calls: int
    failed: int
    slow: int


class CallWindow:
    """Counts of the last `window_s` seconds of a monotonic clock. It always holds twelve buckets."""

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / BUCKETS
        self._buckets = [BucketCounts() for _ in range(BUCKETS)]
        self._numbers = [-1] * BUCKETS
        """The number of each bucket since the clock's zero; -1 for one that was not used yet."""

    def get_bucket(self, now_s: float) -> BucketCounts:
        """Returns the bucket of `now_s`, to be added to."""
        number = self._get_number(now_s)
        index = number % BUCKETS
        if self._numbers[index] != number:
            self._numbers[index] = number
            self._buckets[index] = BucketCounts()
        return self._buckets[index]

    def copy_buckets(self, now_s: float) -> list[BucketCounts]:
        """Returns a copy of the buckets by their age, the newest first."""
        newest = self._get_number(now_s)
        found = [BucketCounts() for _ in range(BUCKETS)]
        for number, counts in zip(self._numbers, self._buckets, strict=True):
            if number >= 0 and 0 <= newest - number < BUCKETS:
                found[newest - number].add(counts)
        return found

    def add_reported(
        self, buckets: list[BucketCounts], reported: Iterable[AgedBucket], now_s: float, received_s: float
    ) -> None:
        """Adds the counts that another process reported at `received_s` to buckets of `copy_buckets`."""
        newest = self._get_number(now_s)
        for aged in reported:
            age = newest - self._get_number(received_s - aged.age_s)
            if age < BUCKETS:
                buckets[max(0, age)].add(BucketCounts(aged.calls, aged.failed, aged.slow))

    def clear(self) -> None:
        """Forgets all counts."""
        self._numbers = [-1] * BUCKETS

    def report(self, now_s: float) -> tuple[AgedBucket, ...]:
        """Returns the buckets that are not empty, for other processes."""
        newest = self._get_number(now_s)
        return tuple(
            AgedBucket(round(max(0.0, now_s - number * self._bucket_s), 3), *msgspec.structs.astuple(counts))
            for number, counts in zip(self._numbers, self._buckets, strict=True)
            if number >= 0 and 0 <= newest - number < BUCKETS and counts.calls
        )

    def _get_number(self, at_s: float) -> int:
        return int(at_s // self._bucket_s)
