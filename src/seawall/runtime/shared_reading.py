"""Shares readings among callers: all callers that ask before a reading begins get its result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

READINGS_AT_ONCE = 4
"""The most readings of one kind at the same time: as many as a journal has reading threads. A further one waits until
one of them has ended. So a reading that hangs does not hold up callers, and many callers at once cost few readings."""


class SharedReading(Generic[T]):
    """Calls `read` for its callers.

    A reading begins after each of its callers has asked, so it finds what was written before that. A caller never joins
    a reading that has begun, and waits for an older one only if `READINGS_AT_ONCE` are under way.
    """

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._under_way: set[asyncio.Task[T]] = set()
        self._next: asyncio.Task[T] | None = None

    def __repr__(self) -> str:
        return f"<SharedReading {len(self._under_way)} under way>"

    @property
    def tasks(self) -> list[asyncio.Task[T]]:
        """The readings that have not ended, so that `close` can wait for them."""
        return [*self._under_way, *(() if self._next is None else (self._next,))]

    def request(self) -> asyncio.Task[T]:
        """Returns the reading that begins next. Its caller need not await it."""
        if self._next is None or self._next.cancelling():
            self._next = asyncio.get_running_loop().create_task(self._run())
            self._next.add_done_callback(self._on_done)
        return self._next

    async def get(self) -> T:
        """Returns the result of the reading that begins next. The reading goes on if this caller is cancelled."""
        return await asyncio.shield(self.request())

    async def _run(self) -> T:
        while len(self._under_way) >= READINGS_AT_ONCE:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        task, self._next = self._next, None
        if task is not None:
            self._under_way.add(task)
        return await self._read()

    def _on_done(self, task: asyncio.Task[T]) -> None:
        self._under_way.discard(task)
        if self._next is task:  # cancelled before it began
            self._next = None
        if not task.cancelled():
            task.exception()  # marks the error as seen, because there may be no caller left
