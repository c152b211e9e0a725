"""A process that was forked from one in which Seawall works: the child does none of that work, because the parent does
it.

A child may do what it likes, and end by `exec` or `os._exit`. If it returns to Seawall's code instead (a tool that
returns in its child, an event loop that goes on in both processes), it ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from collections import deque
from typing import Any

from seawall.core.errors import Misused

_loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
"""Event loops on which a `Seawall` is open, or was."""


def is_child_of(pid: int) -> bool:
    """Returns whether this process was forked from process `pid` after that pid was noted."""
    return os.getpid() != pid


def leave_child(pid: int) -> None:
    """Ends this process at once if it was forked from process `pid`.

    Nothing runs at its exit, and no buffer is flushed: both are the parent's.
    """
    if os.getpid() != pid:
        os._exit(0)


def refuse_in_child(pid: int, what: str) -> None:
    """Raises `Misused` in a process that was forked from process `pid`, if it has begun an event loop of its own.

    A child that goes on with its parent's event loop ends at once.
    """
    if os.getpid() == pid:
        return
    try:
        asyncio.get_running_loop()  # a child does not count its parent's loop as running
    except RuntimeError:
        leave_child(pid)
    raise Misused(f"{what} was opened before a fork; open it again in the child")


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Ends each process that is forked on this running event loop, once it comes back to the loop."""
    _loops.add(loop)


def _end_running_loops() -> None:
    """In a child: makes each inherited event loop end the process, before any other callback runs."""
    for loop in list(_loops):
        if not loop.is_running():
            continue
        with contextlib.suppress(
            Exception
        ):  # a loop in debug mode refuses the call from another thread: it does not run in this one
            loop.call_soon(os._exit, 0)
            ready: Any = getattr(loop, "_ready", None)
            if isinstance(ready, deque):
                ready.rotate(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_running_loops)
