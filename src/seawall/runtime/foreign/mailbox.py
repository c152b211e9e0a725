"""Passes calls from other threads to an event loop, with one wake-up for all calls that wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context


class Mailbox:
    """The calls that one event loop is to make, in the order in which they came. Any thread may add calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Callable[[], None], Context]] = []
        """The waiting calls. Their number is bounded by the callers, each of which waits for the answer to its call."""

    def __repr__(self) -> str:
        return f"<Mailbox of {len(self._waiting)} calls>"

    def put(self, call: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        """Has the loop make a call in the context of the caller. Raises `RuntimeError` if the loop is closed."""
        with self._lock:
            self._waiting.append((call, copy_context()))
            if len(self._waiting) > 1 and not loop.is_closed():
                return  # the loop is woken already
        loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if len(waiting) == 1:
            [(call, context)] = waiting
            context.run(call)
            return
        loop = asyncio.get_running_loop()
        for call, context in waiting:  # each in its own turn: an error affects no other call
            loop.call_soon(call, context=context)
