"""Work that blocks, in a thread of its own: asyncio's default threads belong to the user's code, which may hold them all."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def start_in_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Begins `work` in a daemon thread, and returns the future of its result.

    Work that never returns holds neither the event loop nor the end of the process. Each call makes one thread, so the
    caller begins no more work than may hang at once.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 -- the awaiting task gets it
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits any more
            loop.call_soon_threadsafe(_resolve, future, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
        future.exception()  # retrieved: whoever began the work may have stopped waiting
