"""Calls from other threads to an event loop: one wake-up for all that wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context


class Mailbox:
    """What is to be called on one event loop, in the order in which it came. Any thread may put something in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Callable[[], None], Context]] = []
        """Bounded by the callers: each waits for the answer to what it has put in."""

    def __repr__(self) -> str:
        return f"<Mailbox of {len(self._waiting)} calls>"

    def put(self, call: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        """Has the loop call something in the context of its caller. Raises `RuntimeError` if the loop is closed."""
        with self._lock:
            self._waiting.append((call, copy_context()))
            if len(self._waiting) > 1 and not loop.is_closed():
                return  # the loop was woken, and has not looked yet
        loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if len(waiting) == 1:
            [(call, context)] = waiting
            context.run(call)
            return
        loop = asyncio.get_running_loop()
        for call, context in waiting:  # each in a turn of its own: what one raises concerns no other
            loop.call_soon(call, context=context)
