"""Time is a parameter: `SystemClock` reads the machine's clock, and tests set `seawall.testing.ManualClock`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A pending callback."""

    def cancel(self) -> None:
        """Drops the callback. Once it has run, this does nothing."""
        ...


class Clock(Protocol):
    """Wall time for records, monotonic time for durations, and timers on the latter."""

    def wall_s(self) -> float:
        """Returns the seconds since the Unix epoch."""
        ...

    def monotonic_s(self) -> float:
        """Returns seconds from an arbitrary start; they never go back."""
        ...

    def boottime_s(self) -> float:
        """Returns seconds from an arbitrary start, which go on while the machine is suspended; they never go back."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Calls `callback` on the running event loop after `delay_s` seconds of monotonic time."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Returns after `delay_s` seconds of monotonic time."""
        ...


_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""The clock that counts a suspended machine's time: Linux and macOS have it under these names."""


class SystemClock:
    """The machine's clock and the running event loop's timers."""

    wall_s = staticmethod(time.time)
    """Returns the seconds since the Unix epoch."""
    monotonic_s = staticmethod(time.monotonic)
    """Returns seconds from an arbitrary start; they never go back."""

    def boottime_s(self) -> float:
        """Returns seconds from an arbitrary start, which go on while the machine is suspended; they never go back."""
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Calls `callback` on the running event loop after `delay_s` seconds."""
        return asyncio.get_running_loop().call_later(max(0.0, delay_s), callback)

    async def sleep(self, delay_s: float) -> None:
        """Returns after `delay_s` seconds."""
        await asyncio.sleep(max(0.0, delay_s))
