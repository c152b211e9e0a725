"""An event loop whose time is simulated: when nothing is ready, it jumps to the next timer.

So each system's own timers run as they are, `asyncio.timeout` and `wait_for` too, and an hour takes a second.
What waits for a thread would be jumped over; `bench/deadline.py` checks that no system does.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any

from seawall.core.clock import Timer


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Its clock begins at zero."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._whens: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        heapq.heappush(self._whens, (when, next(self._order), handle))
        return handle

    def _run_once(self) -> None:
        """One round of the loop: called by `run_forever`, in every version of asyncio so far."""
        while self._whens and (self._whens[0][2].cancelled() or self._whens[0][0] <= self._now):
            heapq.heappop(self._whens)
        if self._whens and not getattr(self, "_ready", ()):
            self._now = self._whens[0][0]
        super()._run_once()  # pyright: ignore[reportAttributeAccessIssue] -- private, as said


class LoopClock:
    """A `seawall.core.clock.Clock` on the running loop, whichever it is."""

    def wall_s(self) -> float:
        return 1_767_225_600.0 + asyncio.get_running_loop().time()

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def boottime_s(self) -> float:
        return asyncio.get_running_loop().time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(0.0, delay_s), callback)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s))
