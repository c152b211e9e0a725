"""Calls from other threads reach an event loop in their order, with one wake-up for all that wait."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from seawall.runtime.foreign.mailbox import Mailbox


class CountedLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread has woken it."""

    wakes = 0

    def call_soon_threadsafe(self, *arguments: Any, **options: Any) -> asyncio.Handle:
        self.wakes += 1
        return super().call_soon_threadsafe(*arguments, **options)


def test_all_that_wait_are_called_in_their_order_after_one_wake_up() -> None:
    mailbox, called = Mailbox(), list[int]()

    async def work() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountedLoop)
        before = loop.wakes

        def put_all() -> None:
            for number in range(100):
                mailbox.put(lambda number=number: called.append(number), loop)

        putting = threading.Thread(target=put_all)
        putting.start()
        putting.join()  # the event loop is busy meanwhile
        while len(called) < 100:
            await asyncio.sleep(0)
        return loop.wakes - before

    with asyncio.Runner(loop_factory=CountedLoop) as runner:
        assert runner.run(work()) == 1
    assert called == list(range(100))


def test_what_one_call_raises_concerns_no_other() -> None:
    mailbox, called, problems = Mailbox(), list[str](), list[Any]()

    def fail() -> None:
        raise ValueError("one of them")

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: problems.append(context["exception"]))
        for call in (lambda: called.append("first"), fail, lambda: called.append("last")):
            mailbox.put(call, loop)
        while len(called) < 2:
            await asyncio.sleep(0)

    asyncio.run(work())
    assert called == ["first", "last"]
    assert [str(each) for each in problems] == ["one of them"]


def test_a_closed_event_loop_is_told_nothing() -> None:
    loop = asyncio.new_event_loop()
    mailbox = Mailbox()
    mailbox.put(lambda: None, loop)
    loop.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            mailbox.put(lambda: None, loop)
