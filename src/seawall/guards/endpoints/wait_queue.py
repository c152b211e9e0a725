"""The steps that wait for a free slot of an endpoint: first come, first served."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable

import msgspec

OFFER_S = 1.0
"""Seconds for which a free slot is kept for the step whose run was woken for it. Then the next step gets the slot, and
this step gets another chance later."""
MAX_MISSED = 10
"""Most offers that a step may miss; after that it is removed from the queue."""
MAX_WAITING = 10_000
"""Most steps in one queue; further ones are refused."""

Wake = Callable[[], None]


class Waiter(msgspec.Struct):
    """One step that waits, or whose run was woken and has not checked again yet."""

    run: str
    wake: Wake
    since_s: float
    deadline_s: float
    """Monotonic seconds when its run has no time left to wait."""
    slots_only: bool
    """Whether the step can wait through any state of the breaker, so that its run is woken only for a free slot."""
    woken_s: float | None = None
    """Monotonic seconds when its run was woken; None once the run has checked again."""
    missed: int = 0
    """How often its run was woken and did not check again in time."""
    has_offer: bool = False
    """Whether a free slot is kept for the step."""


class WaitQueue:
    """The waiting steps of one endpoint, in the order in which they came."""

    def __init__(self) -> None:
        self.waiters: dict[Hashable, Waiter] = {}
        self._offers = 0
        """Free slots that are kept for waiters."""

    def __len__(self) -> int:
        return len(self.waiters)

    def __repr__(self) -> str:
        return f"<WaitQueue {len(self.waiters)} waiting, {self._offers} of them with a slot>"

    def join(
        self, key: Hashable, run: str, wake: Wake, now_s: float, *, deadline_s: float, slots_only: bool
    ) -> None:
        """Adds a step, or lets it go on waiting in its old place."""
        waiter = self.waiters.get(key)
        if waiter is None:
            self.waiters[key] = Waiter(run, wake, now_s, deadline_s, slots_only)
            return
        self._withdraw_offer(waiter)
        waiter.wake, waiter.deadline_s, waiter.slots_only = wake, deadline_s, slots_only
        waiter.woken_s, waiter.missed = None, 0

    @property
    def offers(self) -> int:
        """The number of free slots that are kept for waiters."""
        return self._offers

    def has_offer(self, key: Hashable) -> bool:
        """Returns whether a free slot is kept for this step."""
        waiter = self.waiters.get(key)
        return waiter is not None and waiter.has_offer

    def find_deadline_s(self, key: Hashable) -> float | None:
        """Returns the monotonic second until which this step waits; None if it does not wait."""
        waiter = self.waiters.get(key)
        return None if waiter is None else waiter.deadline_s

    def may_pass(self, key: Hashable, slots: int) -> bool:
        """Returns whether this step gets one of the free `slots`: it has an offer, or no other step waits for it."""
        waiter = self.waiters.get(key)
        if waiter is not None and waiter.has_offer:
            return slots > 0
        before = len(self.waiters) - self._offers - (waiter is not None)
        return slots - self._offers - before > 0

    def leave(self, key: Hashable) -> float | None:
        """Removes a step; returns the monotonic second since when it waited, or None if it did not wait."""
        waiter = self.waiters.pop(key, None)
        if waiter is None:
            return None
        self._withdraw_offer(waiter)
        return waiter.since_s

    def forget(self, run_id: str) -> bool:
        """Removes all steps of a run; returns whether there were any."""
        keys = [key for key, waiter in self.waiters.items() if waiter.run == run_id]
        for key in keys:
            self.leave(key)
        return bool(keys)

    def offer(self, slots: int, now_s: float) -> list[Wake]:
        """Offers the free `slots`, minus those that are kept already, to the first waiters; returns the waiters to
        wake.
        """
        free = slots - self._offers
        if free <= 0:
            return []
        without = (waiter for waiter in self.waiters.values() if not waiter.has_offer)
        first = list(itertools.islice(without, free))
        wakes: list[Wake] = []
        for waiter in first:
            waiter.has_offer = True
            self._offers += 1
            if waiter.woken_s is None:
                waiter.woken_s = now_s
                wakes.append(waiter.wake)
        return wakes

    def mark_woken(self, now_s: float, which: Callable[[Waiter], bool]) -> list[Wake]:
        """Returns the waiters to wake for another reason than a free slot, and marks them as woken."""
        wakes: list[Wake] = []
        for waiter in self.waiters.values():
            if waiter.woken_s is None and which(waiter):
                waiter.woken_s = now_s
                wakes.append(waiter.wake)
        return wakes

    def expire_offers(self, now_s: float) -> None:
        """Frees the slots of waiters that were woken and did not check again in time."""
        for key, waiter in list(self.waiters.items()):
            if waiter.woken_s is not None and now_s >= waiter.woken_s + OFFER_S:
                self._withdraw_offer(waiter)
                waiter.woken_s = None
                waiter.missed += 1
                self.waiters[key] = self.waiters.pop(key)  # after the waiters that can come at once
                if waiter.missed >= MAX_MISSED:
                    self.leave(key)

    def find_next_s(self, least_s: float) -> float | None:
        """Returns the monotonic second at which the next offer expires, or a waiter's time ends (`least_s` before
        that).
        """
        times = [
            waiter.deadline_s - least_s if waiter.woken_s is None else waiter.woken_s + OFFER_S
            for waiter in self.waiters.values()
        ]
        return min(times, default=None)

    def _withdraw_offer(self, waiter: Waiter) -> None:
        if waiter.has_offer:
            waiter.has_offer = False
            self._offers -= 1
