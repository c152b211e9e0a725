"""Replies of the engine's event loop to callers on other threads and event loops."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

from seawall.core.errors import Broken
from seawall.runtime.foreign.mailbox import Mailbox

T = TypeVar("T")
CLOSED = "this Engine was closed while the loop waited; the same request goes on with the run"


def _ignore(reply: CallerReply[Any]) -> None:
    pass


class CallerReply(ABC, Generic[T]):
    """The answer to one caller. The engine's event loop gives it once; later answers are dropped."""

    def __init__(self) -> None:
        self.on_given: Callable[[CallerReply[Any]], None] = _ignore
        self.ask: Any = None
        """The caller's `Ask`, once it is open."""
        self.task: asyncio.Task[None] | None = None
        """The task that works on the answer, if the work takes more than one turn of the event loop."""
        self._given = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {'given' if self._given else 'awaited'}>"

    def give(self, value: T) -> None:
        """Answers the caller."""
        if self._claim():
            self._deliver(value, None)

    def fail(self, error: BaseException) -> None:
        """Has the caller raise `error`."""
        if self._claim():
            self._deliver(None, error)

    def work(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """Answers the caller with what a coroutine returns or raises."""
        self.task = asyncio.get_running_loop().create_task(self._work(work))

    async def _work(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        try:
            value = await work()
        except BaseException as error:  # noqa: BLE001 -- the caller gets it
            self.fail(Broken(CLOSED) if isinstance(error, asyncio.CancelledError) else error)
        else:
            self.give(value)

    def abandon(self) -> bool:
        """Cancels the work on the answer, because the caller has gone. Returns whether there was any."""
        if self.task is None or self.task.done():
            return False
        self.task.cancel()
        return True

    def _claim(self) -> bool:
        given, self._given = self._given, True
        self.on_given(self)
        return not given

    @abstractmethod
    def _deliver(self, value: Any, error: BaseException | None) -> None:
        """Hands the answer to where the caller waits."""


class LoopReply(CallerReply[T]):
    """The reply to a caller on an event loop, which awaits `future`."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()
        self.mailbox: Mailbox | None = None
        """The mailbox of the caller's event loop; None if that is the engine's own loop."""

    def _deliver(self, value: Any, error: BaseException | None) -> None:
        if self.mailbox is None:
            _settle(self.future, value, error)
            return
        with contextlib.suppress(RuntimeError):  # the caller's loop is closed
            self.mailbox.put(partial(_settle, self.future, value, error), self.loop)


class ThreadReply(CallerReply[T]):
    """The reply to a caller that blocks its thread on `future`."""

    def __init__(self) -> None:
        super().__init__()
        self.future: Future[T] = Future()

    def _deliver(self, value: Any, error: BaseException | None) -> None:
        if error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error)


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():  # its caller was cancelled
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
        future.exception()  # marks the error as seen, because the caller may be gone
