"""Running a command's coroutine so that Ctrl-C loses nothing, says how to go on, and always leaves.

The first signal cancels the command, which gives up its runs and closes the journal; if that takes longer than
`GRACE_S`, or at a second signal, the process leaves as it is. That is as safe as any crash: what is recorded is
recorded, and a run goes on from there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

GRACE_S = 3.0
"""From the first signal to leaving: a second for tools that ignore cancellation, the rest for a slow disk."""
LEFTOVER_S = 0.2
"""For tasks that nobody waits for any more, once the command is done."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """The command was stopped by a signal; the message says how to go on."""

    def __init__(self, number: int, note: str) -> None:
        super().__init__(note)
        self.exit_code = 128 + number


class Stop:
    """What is to be said if the command is stopped now."""

    def __init__(self) -> None:
        self.note = "nothing was started"
        self.number: int | None = None
        """The first signal."""

    def leave(self, number: int, why: str) -> None:
        """Leave the process as it is."""
        os.write(2, f"\nseawall: {why}; {self.note}\n".encode())
        os._exit(128 + number)


def run_async(work: Callable[[Stop], Coroutine[Any, Any, T]]) -> T:
    """Run `work` to its end. Raises `Interrupted` after a signal that it did not outrun."""
    stop = Stop()
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(work(stop))
        with _signals(stop, loop, task):
            try:
                return loop.run_until_complete(task)
            except asyncio.CancelledError:
                if stop.number is None:
                    raise
                raise Interrupted(stop.number, stop.note) from None
            finally:
                _let_go(loop)
    finally:
        loop.close()


@contextmanager
def _signals(stop: Stop, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: FrameType | None) -> None:
        if stop.number is not None:
            stop.leave(number, "left at once")
        stop.number = number
        os.write(2, b"\nseawall: stopping (once more leaves at once)\n")
        leave = threading.Timer(GRACE_S, stop.leave, (number, f"something held on for {GRACE_S:g} s"))
        leave.daemon = True
        leave.start()
        stop_later.append(leave)
        loop.call_soon_threadsafe(task.cancel)

    stop_later: list[threading.Timer] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, handle)
    try:
        yield
    finally:
        for leave in stop_later:
            leave.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _let_go(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left, wait a moment, and forget what ignores it: the process does not wait for it."""
    tasks = asyncio.all_tasks(loop)
    if tasks:
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=LEFTOVER_S))
    loop.run_until_complete(asyncio.wait([loop.create_task(loop.shutdown_asyncgens())], timeout=LEFTOVER_S))
    loop.set_exception_handler(_say_nothing)


def _say_nothing(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Nobody need hear of tasks that are forgotten on purpose."""


def leave_by(exit_code: int) -> None:
    """Leave with this code after `GRACE_S`, should a thread of the user's hold the process at its end."""
    leave = threading.Timer(GRACE_S, os._exit, (exit_code,))
    leave.daemon = True
    leave.start()
