"""Runs a command's coroutine so that Ctrl-C loses nothing, says how to go on, and always ends the process.

The first signal cancels the command, which gives up its runs and closes the journal. If that takes longer than
`GRACE_S`, or if a second signal arrives, the process exits at once. That is as safe as a crash: what is recorded stays
recorded, and a run goes on from there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from seawall.cli.hints import format_command
from seawall.cli.streams import write_directly
from seawall.core.forks import is_child_of

if TYPE_CHECKING:
    from seawall.runtime.run import Run

T = TypeVar("T")

GRACE_S = 3.0
"""From the first signal to the exit: a second for tools that ignore cancellation, the rest for a slow disk."""
LEFTOVER_S = 0.2
"""How long the end of a command waits for tasks that it has cancelled and no longer needs."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CommandInterrupted(Exception):
    """A signal stopped the command; the message says how to go on."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class Shutdown:
    """What a signal finds when it stops this command: what to report, and whether it is the first one."""

    def __init__(self) -> None:
        self.message = "nothing was started"
        """What is reported if the command is stopped now. The command keeps it up to date."""
        self.number: int | None = None
        """The first signal; None before it."""
        self._run: str | None = None
        """The one run that the message is about."""
        self._has_ended = False

    def note_writing(self) -> None:
        """Sets the message for a stop while the command may have changed the journal already."""
        self.message = "what was recorded before that stays recorded: look at it before you try again"

    def note_starting(self, run_id: str) -> None:
        """Sets the message for a stop while the run's first events are being written."""
        self.message = f"run {run_id} may not be recorded yet; look with:\n  {format_command('runs')}"

    def note_run(self, run_id: str) -> None:
        """Sets the message for a stop while the run is recorded and can be resumed."""
        if run_id == self._run and self._has_ended:
            return
        self._run, self._has_ended = run_id, False
        self.message = (
            f"run {run_id} is recorded up to here; go on with:\n  {format_command(f'resume {run_id}')}"
        )

    def note_all(self) -> None:
        """Sets the message for a stop with several runs, each of which can be resumed unless it has ended."""
        self._run = None
        self.message = f"what has not ended is recorded; go on with:\n  {format_command('resume')}"

    def note_end(self, run_id: str, status: str) -> None:
        """Sets the message for a stop after the run has ended, when nothing is left to resume."""
        if run_id == self._run:
            self._has_ended = True
            self.message = (
                f"run {run_id} has ended ({status}); look with:\n  {format_command(f'show {run_id}')}"
            )

    def exit_now(self, number: int, why: str) -> None:
        """Reports the message and ends the process, whatever it is doing."""
        write_directly(2, f"\nseawall: {why}; {self.message}\n")
        os._exit(128 + number)


_current: ContextVar[Shutdown | None] = ContextVar("shutdown", default=None)


def get_shutdown() -> Shutdown:
    """Returns what a signal finds when it stops the command that runs now."""
    return _current.get() or Shutdown()


def run_async(work: Callable[[Shutdown], Coroutine[Any, Any, T]]) -> T:
    """Runs `work` to its end. Raises `CommandInterrupted` if a signal came first."""
    shutdown = Shutdown()
    _current.set(shutdown)
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(work(shutdown))
        with _handle_signals(shutdown, loop, task):
            try:
                return loop.run_until_complete(task)
            except asyncio.CancelledError:
                if shutdown.number is None:
                    raise
                raise CommandInterrupted(shutdown.number, shutdown.message) from None
            finally:
                _cancel_leftovers(loop)
    finally:
        loop.close()


async def await_start(shutdown: Shutdown, start: Coroutine[Any, Any, Run]) -> Run:
    """Returns the handle that `start` gives, and notes its run for `shutdown`.

    The run may be recorded already when a signal arrives in the middle of `start`, so `start` is awaited to its end.
    """
    starting = asyncio.ensure_future(start)
    try:
        run = await asyncio.shield(starting)
    except asyncio.CancelledError:
        run = await starting
        shutdown.note_run(run.id)
        raise
    shutdown.note_run(run.id)
    return run


@contextmanager
def _handle_signals(
    shutdown: Shutdown, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]
) -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    pid = os.getpid()

    def handle(number: int, _: FrameType | None) -> None:
        if is_child_of(pid):  # a child that the user's code has forked ends without a message
            os._exit(128 + number)
        if shutdown.number is not None:
            shutdown.exit_now(number, "left at once")
        shutdown.number = number
        write_directly(2, "\nseawall: stopping (a second signal exits at once)\n")
        timer = threading.Timer(
            GRACE_S, shutdown.exit_now, (number, f"the command did not stop within {GRACE_S:g} s")
        )
        timer.daemon = True
        timer.start()
        timers.append(timer)
        loop.call_soon_threadsafe(task.cancel)

    timers: list[threading.Timer] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # a command under nohup goes on ignoring SIGHUP
            signal.signal(number, handle)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _cancel_leftovers(loop: asyncio.AbstractEventLoop) -> None:
    """Cancels the remaining tasks, waits `LEFTOVER_S`, and abandons those that ignore it."""
    tasks = asyncio.all_tasks(loop)
    if tasks:
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=LEFTOVER_S))
    loop.run_until_complete(asyncio.wait([loop.create_task(loop.shutdown_asyncgens())], timeout=LEFTOVER_S))
    loop.set_exception_handler(_ignore_exception)


def _ignore_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Reports nothing: the tasks that are left were abandoned on purpose."""


def exit_after_grace(exit_code: int) -> None:
    """Ends the process with this code after `GRACE_S`, even if a thread of the user's code still runs."""
    timer = threading.Timer(GRACE_S, os._exit, (exit_code,))
    timer.daemon = True
    timer.start()
