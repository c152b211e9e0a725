"""Calls code of the embedding program, which may raise anything, cancel its own task, or return in a forked child."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from types import GeneratorType
from typing import Any, NamedTuple

from typing_extensions import TypeIs

from seawall.core.errors import Broken, is_error, list_inner
from seawall.core.forks import leave_child
from seawall.core.threads import start_in_thread

MAX_GROUP_ERRORS = 10_000
"""How many errors of a group, and of the groups in it, are searched for an interrupt."""


class CallOutcome(NamedTuple):
    """What a call returned, or what it raised."""

    value: Any
    error: BaseException | None


async def await_apart(call: Callable[[], Awaitable[Any]]) -> CallOutcome:
    """Awaits the result of `call` in a separate task, so that a call that cancels its task does not cancel this one.

    Raises `CancelledError` only if this task was cancelled, and `Broken` if a person interrupted the call (Ctrl-C). The
    interrupt itself is raised again in the event loop.
    """
    task = asyncio.get_running_loop().create_task(_capture(call, os.getpid()))
    try:
        return await task
    except asyncio.CancelledError as error:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return CallOutcome(None, error)
    except KeyboardInterrupt:
        raise Broken("a person interrupted the process (KeyboardInterrupt)") from None


async def call_apart(
    function: Callable[..., Any], *arguments: object, thread: str, timeout_s: float | None = None
) -> CallOutcome:
    """Calls a function of the embedding program: an async function in a separate task, any other one in a thread.

    After `timeout_s` an async function is given up. A thread can't be given up.
    """

    async def call() -> Any:
        if is_async(function):
            async with asyncio.timeout(timeout_s):
                return await function(*arguments)
        value = await start_in_thread(partial(copy_context().run, function, *arguments), thread)
        return await value if is_awaitable(value) else value

    return await await_apart(call)


def is_awaitable(value: object) -> TypeIs[Awaitable[Any]]:
    """Returns whether a value can be awaited, without asking its `__class__`: that of a proxy may raise."""
    kind = type(value)
    return issubclass(kind, Awaitable) or (kind is GeneratorType and inspect.isawaitable(value))


def is_async(function: Callable[..., Any]) -> bool:
    """Returns whether a function, a partial of one, or an object that can be called is async."""
    while isinstance(function, partial):
        function = function.func
    return any(map(inspect.iscoroutinefunction, (function, getattr(type(function), "__call__", None))))  # noqa: B004 -- not a test whether it can be called


async def _capture(call: Callable[[], Awaitable[Any]], pid: int) -> CallOutcome:
    if os.getpid() != pid:
        leave_child(pid)
    task = asyncio.current_task()
    try:
        return CallOutcome(await call(), None)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        if is_error(error, GeneratorExit) and _find_current_task() is not task:
            raise  # the loop is gone, and this coroutine is being closed
        _raise_interrupt(error)
        return CallOutcome(None, error)
    finally:
        if os.getpid() != pid:  # the call returned in a child that it forked
            leave_child(pid)


def _find_current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop is running
        return None


def _raise_interrupt(error: BaseException) -> None:
    """Raises `KeyboardInterrupt` if `error` is one, or a group with one. It comes from a person: only the main thread gets it."""
    if threading.current_thread() is not threading.main_thread():
        return
    if is_error(error, KeyboardInterrupt):
        raise error
    waiting, seen = [*list_inner(error)], set[int]()
    while waiting and len(seen) < MAX_GROUP_ERRORS:
        one = waiting.pop()
        if is_error(one, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        if id(one) not in seen:
            seen.add(id(one))
            waiting.extend(list_inner(one))
