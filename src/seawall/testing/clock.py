"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from seawall.core.clock import Timer
from seawall.core.errors import Misused

T = TypeVar("T")

_NS = 1_000_000_000
_SETTLE_ROUNDS = 2_000  # a task that yields endlessly must not hang a test; real chains of callbacks take a few dozen rounds


class _ManualTimer:
    """A pending callback. Its time is in whole nanoseconds, so that ten steps of 0.1 s make one second."""

    __slots__ = ("callback", "cancelled", "due_ns")

    def __init__(self, due_ns: int, callback: Callable[[], None]) -> None:
        self.due_ns = due_ns
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Cancels the callback; has no effect once it has run."""
        self.cancelled = True


class ManualClock:
    """A `seawall.core.clock.Clock` for tests: time passes only in `advance` and `until`.

        clock = ManualClock()
        task = asyncio.create_task(clock.sleep(30))
        await clock.advance(29.9)
        assert not task.done()
        await clock.advance(0.1)
        assert task.done()

    Timers run in the order of their times; those with equal times run in the order in which they were made. After
    each timer the event loop settles: every callback and task that is ready runs. The clock does not wait for threads
    and sockets.
    """

    def __init__(self, *, wall_s: float = 1_767_225_600.0) -> None:
        """`wall_s` is the wall time at the start, in seconds since the Unix epoch (2026-01-01T00:00:00Z)."""
        self._now_ns = 0
        self._wall_start_s = wall_s
        self._suspended_s = 0.0
        self._heap: list[tuple[int, int, _ManualTimer]] = []
        self._order = itertools.count()

    def wall_s(self) -> float:
        """Returns the seconds since the Unix epoch."""
        return self._wall_start_s + self._now_ns / _NS

    def monotonic_s(self) -> float:
        """Returns the seconds since the clock was made."""
        return self._now_ns / _NS

    def boottime_s(self) -> float:
        """Returns the seconds since the clock was made, with those for which the machine was suspended."""
        return self.monotonic_s() + self._suspended_s

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Runs `callback` once time has advanced by `delay_s`; with zero or less, in the loop's next round."""
        if delay_s <= 0:
            return asyncio.get_running_loop().call_soon(callback)
        timer = _ManualTimer(self._now_ns + round(delay_s * _NS), callback)
        heapq.heappush(self._heap, (timer.due_ns, next(self._order), timer))
        return timer

    async def sleep(self, delay_s: float) -> None:
        """Returns once time has advanced by `delay_s`; with zero or less, after one round of the loop."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        timer = self.call_later(delay_s, wake)
        try:
            await woken
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        """Advances time by `seconds`: runs due timers in order, and lets the loop settle before, between and after them.

        Raises the exception of a timer's callback, with the clock at that timer's time.
        """
        if seconds < 0:
            raise Misused(f"time only goes forward: advance({seconds}); use jump_wall() for the wall clock")
        target_ns = self._now_ns + round(seconds * _NS)
        await self.settle()
        while (due_ns := self._next_due_ns()) is not None and due_ns <= target_ns:
            await self._fire_next()
        self._now_ns = target_ns

    async def until(self, awaitable: Awaitable[T], *, limit_s: float = 86_400.0) -> T:
        """Awaits `awaitable`, and advances time to the next timer whenever the loop has nothing else to do.

        Raises `Misused` if it is still pending and no timer is left, or after `limit_s` of this clock.
        """
        future = asyncio.ensure_future(awaitable)
        end_ns = self._now_ns + round(limit_s * _NS)
        try:
            await self.settle()
            while not future.done():
                due_ns = self._next_due_ns()
                if due_ns is None:
                    raise Misused(f"nothing left to wait for at {self.monotonic_s()}s, and it is not done")
                if due_ns > end_ns:
                    raise Misused(f"not done after {limit_s}s (the next timer is due at {due_ns / _NS}s)")
                await self._fire_next()
        finally:
            if not future.done():
                future.cancel()
        return await future

    async def settle(self) -> None:
        """Lets the event loop run until nothing is ready, without advancing time."""
        ready = getattr(asyncio.get_running_loop(), "_ready", None)
        for _ in range(_SETTLE_ROUNDS):
            await asyncio.sleep(0)
            if ready is not None and not ready:  # a loop without this queue runs all the rounds
                return

    def jump_wall(self, seconds: float) -> None:
        """Moves only the wall clock, back or forth, as an operator or a time server may."""
        self._wall_start_s += seconds

    def suspend(self, seconds: float) -> None:
        """Lets the machine sleep: the wall clock and the boot time go on, monotonic time and timers stand still."""
        self._suspended_s += seconds
        self._wall_start_s += seconds

    @property
    def next_in_s(self) -> float | None:
        """Seconds until the next timer; None without one."""
        due_ns = self._next_due_ns()
        return None if due_ns is None else (due_ns - self._now_ns) / _NS

    def _next_due_ns(self) -> int | None:
        heap = self._heap
        while heap and heap[0][2].cancelled:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    async def _fire_next(self) -> None:
        due_ns, _, timer = heapq.heappop(self._heap)
        self._now_ns = max(self._now_ns, due_ns)
        timer.callback()
        await self.settle()

    def __repr__(self) -> str:
        next_in_s = self.next_in_s
        waiting = sum(not timer.cancelled for _, _, timer in self._heap)
        after = "no timers" if next_in_s is None else f"{waiting} timers, next in {next_in_s:g}s"
        return f"<ManualClock {self.monotonic_s():g}s, {after}>"
