"""An event loop whose time is simulated: when nothing is ready, it jumps to the next timer.

So each system's own timers run as they are, `asyncio.timeout` and `wait_for` too, and an hour takes a second.
What waits for a thread would be jumped over; `bench/deadline.py` checks that no system does.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

from seawall.core.clock import Timer


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Its clock begins at zero."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        inner: Any = self  # the base class's queue and heap; they have been there since asyncio began
        scheduled = inner._scheduled
        while scheduled and scheduled[0]._cancelled:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            inner._timer_cancelled_count -= 1
        if not inner._ready and scheduled:
            self._now = max(self._now, scheduled[0]._when)
        super()._run_once()  # pyright: ignore[reportAttributeAccessIssue] -- private, as above


class LoopClock:
    """A `seawall.core.clock.Clock` on the running loop, whichever it is."""

    def wall_s(self) -> float:
        return 1_767_225_600.0 + asyncio.get_running_loop().time()

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(0.0, delay_s), callback)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s))
