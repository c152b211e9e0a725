"""Callers share readings that begin after they have asked, and none waits for an older one that hangs."""

from __future__ import annotations

import asyncio

import pytest

from seawall.runtime.shared_reading import READINGS_AT_ONCE, SharedReading


class Source:
    """Counts its readings; each ends once `may_end` is set at its number."""

    def __init__(self) -> None:
        self.value = 0
        self.begun = 0
        self.held: dict[int, asyncio.Event] = {}

    async def read(self) -> int:
        self.begun += 1
        value, held = self.value, self.held.get(self.begun)
        if held is not None:
            await held.wait()
        if value < 0:
            raise ValueError("the disk is away")
        return value


def test_all_that_ask_at_once_share_one_reading() -> None:
    async def main() -> None:
        source = Source()
        reading = SharedReading(source.read)
        assert await asyncio.gather(*(reading.get() for _ in range(100))) == [0] * 100
        assert source.begun == 1
        assert reading.tasks == []

    asyncio.run(main())


def test_one_that_asks_while_a_reading_hangs_gets_a_newer_one() -> None:
    async def main() -> None:
        source = Source()
        source.held[1] = asyncio.Event()
        reading = SharedReading(source.read)
        old = asyncio.ensure_future(reading.get())
        while not source.begun:
            await asyncio.sleep(0)
        source.value = 1
        assert await reading.get() == 1
        source.held[1].set()
        assert await old == 0

    asyncio.run(main())


def test_so_many_hang_at_once_and_all_others_share_the_next() -> None:
    async def main() -> None:
        source = Source()
        source.held = {number: asyncio.Event() for number in range(1, READINGS_AT_ONCE + 1)}
        reading = SharedReading(source.read)
        callers: list[asyncio.Future[int]] = []
        for _ in range(50):
            callers.append(asyncio.ensure_future(reading.get()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert source.begun == READINGS_AT_ONCE
        source.value = 1
        source.held[3].set()  # any of them makes room, not only the oldest
        assert await callers[-1] == 1
        assert source.begun == READINGS_AT_ONCE + 1
        for event in source.held.values():
            event.set()
        await asyncio.gather(*callers)

    asyncio.run(main())


def test_a_caller_that_is_cancelled_does_not_end_the_reading_of_the_others() -> None:
    async def main() -> None:
        source = Source()
        source.held[1] = asyncio.Event()
        reading = SharedReading(source.read)
        one, other = (asyncio.ensure_future(reading.get()) for _ in range(2))
        while not source.begun:
            await asyncio.sleep(0)
        one.cancel()
        source.held[1].set()
        assert await other == 0

    asyncio.run(main())


def test_a_reading_that_fails_fails_for_those_that_share_it_and_no_other() -> None:
    async def main() -> None:
        source = Source()
        source.value = -1
        reading = SharedReading(source.read)
        with pytest.raises(ValueError, match="the disk is away"):
            await reading.get()
        source.value = 2
        assert await reading.get() == 2

    asyncio.run(main())


def test_a_reading_that_was_cancelled_before_it_began_is_not_waited_for() -> None:
    async def main() -> None:
        reading = SharedReading(Source().read)
        reading.request().cancel()
        await asyncio.sleep(0)
        assert await reading.get() == 0

    asyncio.run(main())
