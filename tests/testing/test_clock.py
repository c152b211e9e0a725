"""The clock for tests: time advances only when a test says so."""

from __future__ import annotations

import asyncio

import pytest

from seawall.core.clock import Clock
from seawall.core.errors import Misused
from seawall.testing import ManualClock


def test_it_is_a_clock() -> None:
    clock: Clock = ManualClock(wall_s=5.0)
    assert (clock.monotonic_s(), clock.wall_s()) == (0.0, 5.0)


def test_sleepers_wake_in_the_order_of_their_time_and_see_that_time() -> None:
    async def main() -> list[tuple[str, float]]:
        clock, woken = ManualClock(), list[tuple[str, float]]()

        async def sleeper(name: str, delay_s: float) -> None:
            await clock.sleep(delay_s)
            woken.append((name, clock.monotonic_s()))

        tasks = [asyncio.create_task(sleeper(n, d)) for n, d in [("c", 3), ("a", 1), ("b", 2), ("b2", 2)]]
        await clock.advance(10)
        assert all(task.done() for task in tasks)
        assert clock.monotonic_s() == 10
        return woken

    assert asyncio.run(main()) == [("a", 1), ("b", 2), ("b2", 2), ("c", 3)]


def test_a_timer_started_while_time_passes_runs_in_the_same_advance() -> None:
    async def main() -> list[float]:
        clock, ticks = ManualClock(), list[float]()

        def tick() -> None:
            ticks.append(clock.monotonic_s())
            clock.call_later(1, tick)

        clock.call_later(1, tick)
        await clock.advance(3.5)
        assert clock.next_in_s == 0.5
        return ticks

    assert asyncio.run(main()) == [1, 2, 3]


def test_ten_steps_of_a_tenth_make_one_second() -> None:
    async def main() -> None:
        clock = ManualClock()
        task = asyncio.create_task(clock.sleep(1))
        for _ in range(9):
            await clock.advance(0.1)
        assert not task.done()
        await clock.advance(0.1)
        assert task.done()

    asyncio.run(main())


def test_a_cancelled_timer_and_a_cancelled_sleeper_leave_nothing_behind() -> None:
    async def main() -> None:
        clock, ran = ManualClock(), list[int]()
        clock.call_later(1, lambda: ran.append(1)).cancel()
        task = asyncio.create_task(clock.sleep(1))
        await clock.settle()
        task.cancel()
        await clock.settle()
        assert clock.next_in_s is None
        await clock.advance(2)
        assert not ran
        assert repr(clock) == "<ManualClock 2s, no timers>"

    asyncio.run(main())


def test_delays_of_zero_need_no_advance() -> None:
    async def main() -> None:
        clock, ran = ManualClock(), list[int]()
        clock.call_later(0, lambda: ran.append(1))
        await clock.sleep(0)
        await clock.settle()
        assert ran == [1]

    asyncio.run(main())


def test_until_jumps_from_timer_to_timer() -> None:
    async def main() -> None:
        clock = ManualClock()

        async def work() -> str:
            for _ in range(3):
                await clock.sleep(60)
            return "done"

        assert await clock.until(work()) == "done"
        assert clock.monotonic_s() == 180

    asyncio.run(main())


def test_until_says_when_nothing_can_happen_any_more() -> None:
    async def main() -> None:
        clock = ManualClock()
        with pytest.raises(Misused, match=r"nothing left to wait for at 0\.0s"):
            await clock.until(asyncio.Event().wait())
        with pytest.raises(Misused, match=r"not done after 10s \(the next timer is due at 60\.0s\)"):
            await clock.until(clock.sleep(60), limit_s=10)

    asyncio.run(main())


def test_the_wall_clock_jumps_alone_and_time_never_goes_back() -> None:
    async def main() -> None:
        clock = ManualClock(wall_s=1000)
        clock.jump_wall(-3600)
        assert (clock.wall_s(), clock.monotonic_s()) == (-2600, 0)
        with pytest.raises(Misused, match=r"advance\(-1\)"):
            await clock.advance(-1)

    asyncio.run(main())


def test_an_error_in_a_timer_comes_out_of_advance() -> None:
    async def main() -> None:
        clock = ManualClock()

        def fail() -> None:
            raise ZeroDivisionError

        clock.call_later(1, fail)
        with pytest.raises(ZeroDivisionError):
            await clock.advance(5)
        assert clock.monotonic_s() == 1

    asyncio.run(main())


def test_a_task_that_yields_for_ever_does_not_hang_the_test() -> None:
    async def main() -> None:
        clock = ManualClock()

        async def spin() -> None:
            while True:
                await asyncio.sleep(0)

        task = asyncio.create_task(spin())
        await clock.advance(1)
        task.cancel()
        assert clock.monotonic_s() == 1

    asyncio.run(main())
