"""Bounded pools of daemon threads, one for each tool. A sync tool that never returns holds its thread, not the process."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable
from typing import Any

from seawall.core.forks import leave_child
from seawall.core.threads import DaemonThreads
from seawall.runtime.calls import CallOutcome


class QueuedCall:
    """A call that waits for a thread. It either begins or is withdrawn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = self._withdrawn = False

    @property
    def is_withdrawn(self) -> bool:
        """Whether the call was withdrawn."""
        return self._withdrawn

    def begin(self) -> bool:
        """Begins the call; returns False if it was withdrawn."""
        with self._lock:
            self._begun = not self._withdrawn
            return self._begun

    def withdraw(self) -> bool:
        """Withdraws the call, so that it is never made. Returns False if it has begun."""
        with self._lock:
            self._withdrawn = not self._begun
            return self._withdrawn


class ThreadPool:
    """Calls sync tools in at most `size` threads."""

    def __init__(self, name: str, size: int) -> None:
        self._threads = DaemonThreads(name, size)

    def __repr__(self) -> str:
        return f"<ThreadPool {self._threads!r}>"

    async def call(self, prepare: Callable[[], Callable[[], Any]], queued: QueuedCall) -> CallOutcome:
        """Runs the function that `prepare` returns in a thread, unless the call is withdrawn first.

        `prepare` runs in the thread right before the function; if it raises, the function is not called. An exception of
        either is returned. If the caller is cancelled before a thread is free, the function never runs. If it is cancelled
        while the function runs, this still waits, because the thread can't be stopped and its late result is recorded. A
        second cancellation ends the wait.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[CallOutcome] = loop.create_future()
        context = contextvars.copy_context()
        pid = os.getpid()

        def job() -> None:
            outcome = None if queued.is_withdrawn else _run(context, prepare, queued)
            leave_child(pid)
            if outcome is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed, so no task waits
                    loop.call_soon_threadsafe(_resolve, future, outcome)

        self._threads.submit(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if queued.withdraw() or future.done():
                raise
            return await future

    def close(self) -> None:
        """Lets each thread end once it has returned from its call."""
        self._threads.close()


def _run(
    context: contextvars.Context, prepare: Callable[[], Callable[[], Any]], queued: QueuedCall
) -> CallOutcome | None:
    """Returns the outcome of the call; None if it was withdrawn meanwhile.

    A `KeyboardInterrupt` is handled like any other error here, because a person's interrupt reaches only the main thread.
    """
    try:
        function = context.run(prepare)
        return CallOutcome(context.run(function), None) if queued.begin() else None
    except BaseException as raised:  # noqa: BLE001 -- the awaiting task gets it, whatever it is
        return CallOutcome(None, raised)


def _resolve(future: asyncio.Future[CallOutcome], outcome: CallOutcome) -> None:
    if not future.done():
        future.set_result(outcome)
