"""Drives a manual clock while a server and a client of one event loop exchange real bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from seawall.testing import ManualClock

ROUNDS = 200_000  # of the loop: far more than any test needs; they end a test that waits for something that never happens


async def io_until(ready: Callable[[], bool]) -> None:
    """Lets sockets work until `ready()`, without advancing any clock of the test."""
    for _ in range(ROUNDS):
        if ready():
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing came of it")


async def tick_until(clock: ManualClock, ready: Callable[[], bool], *, step_s: float = 1.0) -> None:
    """Advances time in steps until `ready()`, and lets sockets work before each step."""
    for _ in range(10_000):
        for _ in range(50):
            if ready():
                return
            await asyncio.sleep(0)
        await clock.advance(step_s)
    raise AssertionError(f"nothing came of it until {clock}")
