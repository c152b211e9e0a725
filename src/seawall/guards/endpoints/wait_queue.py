"""The line of those who wait for a place at an endpoint: first come, first called."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable

import msgspec

CLAIM_S = 1.0
"""A place is kept so long for whoever was called; then the next is called, and this one again later."""
MAX_CALLS = 10
"""In vain; after that a waiter is struck off."""
MAX_WAITING = 10_000
"""In one line. A process that holds more runs has other troubles; who comes then is turned away."""

Wake = Callable[[], None]


class Waiter(msgspec.Struct):
    """One step that waits, or was called and has not come yet."""

    run: str
    wake: Wake
    since_s: float
    by_s: float
    """When its run has no time left to wait in."""
    patient: bool
    """It need not hear of anything but a free place."""
    called_s: float | None = None
    calls: int = 0
    """How often it was called and did not come."""
    claims: bool = False
    """It was called for a place, which is kept for it."""


class WaitQueue:
    """Who waits, in the order of their coming."""

    def __init__(self) -> None:
        self._waiters: dict[Hashable, Waiter] = {}
        self.claims = 0
        """Places that are kept for those who were called."""

    def __len__(self) -> int:
        return len(self._waiters)

    def __repr__(self) -> str:
        return f"<WaitQueue {len(self._waiters)} waiting, {self.claims} of them called>"

    def join(self, key: Hashable, run: str, wake: Wake, now_s: float, *, by_s: float, patient: bool) -> None:
        """Wait, or go on waiting at the same place in line."""
        waiter = self._waiters.get(key)
        if waiter is None:
            self._waiters[key] = Waiter(run, wake, now_s, by_s, patient)
            return
        self._unclaim(waiter)
        waiter.wake, waiter.by_s, waiter.patient = wake, by_s, patient
        waiter.called_s, waiter.calls = None, 0

    def may_pass(self, key: Hashable, places: int) -> bool:
        """Whether this one may go now, of so many `places`: it was called, or nobody waits for them."""
        waiter = self._waiters.get(key)
        if waiter is not None and waiter.claims:
            return places > 0
        uncalled = len(self._waiters) - self.claims - (waiter is not None)
        return places - self.claims - uncalled > 0

    def leave(self, key: Hashable) -> float | None:
        """Out of the line; since when it waited, or None if it did not."""
        waiter = self._waiters.pop(key, None)
        if waiter is None:
            return None
        self._unclaim(waiter)
        return waiter.since_s

    def forget(self, run_id: str) -> bool:
        """A run gives up all its places; whether it had any."""
        keys = [key for key, waiter in self._waiters.items() if waiter.run == run_id]
        for key in keys:
            self.leave(key)
        return bool(keys)

    def call(self, places: int, now_s: float) -> list[Wake]:
        """Call the first in line for so many places, less those that are kept already."""
        free = places - self.claims
        if free <= 0:
            return []
        uncalled = (waiter for waiter in self._waiters.values() if not waiter.claims)
        called = list(itertools.islice(uncalled, free))
        found: list[Wake] = []
        for waiter in called:
            waiter.claims = True
            self.claims += 1
            if waiter.called_s is None:
                waiter.called_s = now_s
                found.append(waiter.wake)
        return found

    def tell(self, now_s: float, which: Callable[[Waiter], bool]) -> list[Wake]:
        """Call those who should ask again for another reason than a free place."""
        found: list[Wake] = []
        for waiter in self._waiters.values():
            if waiter.called_s is None and which(waiter):
                waiter.called_s = now_s
                found.append(waiter.wake)
        return found

    def lapse(self, now_s: float) -> None:
        """Free the places of those who were called and did not come."""
        for key, waiter in list(self._waiters.items()):
            if waiter.called_s is not None and now_s >= waiter.called_s + CLAIM_S:
                self._unclaim(waiter)
                waiter.called_s = None
                waiter.calls += 1
                self._waiters[key] = self._waiters.pop(key)  # behind those who may come at once
                if waiter.calls >= MAX_CALLS:
                    self.leave(key)

    def next_s(self, least_s: float) -> float | None:
        """When someone has to be told that the time is over (`least_s` before it is), or a call lapses."""
        times = [
            waiter.by_s - least_s if waiter.called_s is None else waiter.called_s + CLAIM_S
            for waiter in self._waiters.values()
        ]
        return min(times, default=None)

    def _unclaim(self, waiter: Waiter) -> None:
        if waiter.claims:
            waiter.claims = False
            self.claims -= 1
