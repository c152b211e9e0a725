"""Blocking work in Seawall's own threads: asyncio's default threads belong to the user's code, which may use all of
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from seawall.core.errors import describe_error, is_error

T = TypeVar("T")


class DaemonThreads:
    """At most `size` daemon threads, made when needed, that do one job after another.

    A standard pool joins its threads at the interpreter's exit, and would hang. It also accepts no job once the main
    thread has ended, although other threads of the program may still be at work.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<DaemonThreads {self._name} {len(self._threads)}/{self._size}>"

    def submit(self, job: Callable[[], None]) -> None:
        """Has a thread do a job, which must not raise. Raises `RuntimeError` at the interpreter's exit if there is no thread."""
        with self._lock:
            if self._idle <= self._jobs.qsize() and len(self._threads) < self._size:
                self._start_thread()
            self._jobs.put(job)

    def _start_thread(self) -> None:
        number = len(self._threads) + 1
        thread = threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

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
        """Lets each thread end once it has done its job."""
        for _ in self._threads:
            self._jobs.put(None)

    def join(self) -> None:
        """Waits until the threads have ended."""
        for thread in self._threads:
            thread.join()


def start_in_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Begins `work` in a daemon thread, and returns the future of its result.

    Work that never returns blocks neither the event loop nor the end of the process. Each call makes one thread, so the
    caller must bound how much work is begun. At the interpreter's exit the work is done in the calling thread.
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
            loop.call_soon_threadsafe(resolve_future, future, result, error)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        # At the interpreter's exit no thread can start, and the loop has nothing else to do.
        run()
    return future


def resolve_future(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """Gives a future its result or its error, if somebody still waits for it."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        if is_error(error, StopIteration):  # a future refuses it, and its waiter would wait for ever
            stopped, error = error, RuntimeError(f"the work raised {describe_error(error)}")
            error.__cause__ = stopped
        future.set_exception(error)
        future.exception()  # marks the error as retrieved: the task that began the work may have stopped waiting
