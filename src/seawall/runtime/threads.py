"""Bounded pools of daemon threads, one for each tool. A sync tool that never returns holds its thread, not the process."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any

Job = Callable[[], None]


class QueuedCall:
    """A call that waits for a thread: it begins or is withdrawn, never both."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = self._withdrawn = False

    def begin(self) -> bool:
        """Begins the call; returns False if it was withdrawn."""
        with self._lock:
            self._begun = not self._withdrawn
            return self._begun

    def withdraw(self) -> bool:
        """Makes sure that the call is never made; returns False if it has begun."""
        with self._lock:
            self._withdrawn = not self._begun
            return self._withdrawn


class ThreadPool:
    """At most `size` daemon threads, made when needed. A standard pool joins its threads at exit and would hang."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<ThreadPool {self._name} {len(self._threads)}/{self._size}>"

    async def call(self, function: Callable[[], Any], queued: QueuedCall) -> Any:
        """Runs `function` in a thread, unless the call is withdrawn first, and returns its result.

        If the caller is cancelled before a thread is free, the function never runs. If it is cancelled while the
        function runs, this goes on waiting: the thread can't be stopped, and its late result is worth recording.
        Cancelled once more, it stops waiting.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            if not queued.begin():
                return
            try:
                result, error = context.run(function), None
            except BaseException as raised:  # noqa: BLE001 -- the awaiting task gets it, whatever it is
                result, error = None, raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits any more
                loop.call_soon_threadsafe(_resolve, future, result, error)

        self._submit(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if queued.withdraw() or future.done():
                raise
            return await future

    def _submit(self, job: Job) -> None:
        with self._lock:
            self._jobs.put(job)
            if self._idle < self._jobs.qsize() and len(self._threads) < self._size:
                number = len(self._threads) + 1
                thread = threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
            with self._lock:
                self._idle -= 1
            if job is None:
                return
            job()

    def close(self) -> None:
        """Lets each thread end once it has returned from its call."""
        for _ in self._threads:
            self._jobs.put(None)


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration | GeneratorExit | KeyboardInterrupt):
        # A future refuses StopIteration, and the others would end the loop. Raised in a thread, they are the tool's own.
        future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
    else:
        future.set_exception(error)
