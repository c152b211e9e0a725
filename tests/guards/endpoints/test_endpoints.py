"""Endpoints of one process: who waits, who is turned away with which words, and who is called when."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from guards.endpoints.processes import BROKEN, OK, Process, SharedRecords, a_run, model, tool
from seawall.guards.endpoints import endpoint as endpoint_module
from seawall.guards.shared import Defer
from seawall.run.step import Result
from seawall.run.verdict import Allow, Refuse
from seawall.testing import ManualClock

OVERLOADED = Result(status="error", error="overloaded", endpoint="broken", retryable=True)
SPENT = Result(status="error", error="spend_limit")


def limited(seconds: float | None) -> Result:
    return Result(
        status="error", error="rate_limited", endpoint="broken", retryable=True, retry_after_s=seconds
    )


def play(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def process(**options: Any) -> Process:
    return Process(SharedRecords(), ManualClock(), **options)


def test_a_tool_is_refused_while_its_endpoint_is_open_in_words_that_stay_the_same() -> None:
    async def work() -> None:
        async with process() as here:
            here.call(BROKEN, count=10)
            first = here.check(tool(), a_run())
            await here.clock.advance(1.5)
            second = here.check(tool(), a_run())

            assert isinstance(first, Refuse)
            assert first == second
            assert first.reason == (
                "tool 'refund' is not called now: endpoint tool:bank: 10 of its last 10 calls failed, and it is tried "
                "again within 2 s. Use what you have, do something else first, or answer and say what is missing."
            )
            assert (first.limit, first.value) == ("failed_ratio=0.5", "10/10")

    play(work())


def test_a_model_step_waits_until_it_is_tried_again_if_its_run_has_the_time() -> None:
    async def work() -> None:
        async with process() as here:
            here.call(OVERLOADED, count=10, name="gpt", kind="model")
            run = a_run()
            verdict = here.check(model(), run, left_s=10.0)
            assert isinstance(verdict, Defer)
            assert verdict.reason == (
                "model:gpt is open: 10 of its last 10 calls failed, and it is tried again within 2 s"
            )
            await here.clock.advance(1.9)
            assert here.woken == []
            await here.clock.advance(0.1)
            assert here.woken == [run.started.run]

            assert here.says(model(), run=run, left_s=8.0) == "allow"

    play(work())


def test_a_model_step_whose_run_has_too_little_time_is_refused() -> None:
    async def work() -> None:
        async with process() as here:
            here.call(OVERLOADED, count=10, name="gpt", kind="model")
            verdict = here.check(model(), a_run(), left_s=1.5)

            assert isinstance(verdict, Refuse)
            assert verdict.reason.endswith("The run has 1.5 s left, too few to wait.")
            assert (verdict.limit, verdict.value) == ("failed_ratio=0.5", "10/10")

    play(work())


def test_of_a_hundred_that_wait_two_are_called_to_probe_and_the_others_one_after_another_when_it_has_recovered() -> (
    None
):
    async def work() -> None:
        async with process() as here:
            here.call(OVERLOADED, count=10, name="gpt", kind="model")
            runs = [a_run() for _ in range(100)]
            assert {here.says(model(), run=run) for run in runs} == {"defer"}
            await here.clock.advance(2.0)
            assert here.woken == [run.started.run for run in runs[:2]]

            for run in runs[:2]:
                here.begin(model(), run)
            assert here.says(model(), run=runs[2]) == "defer"
            for run in runs[:2]:
                here.endpoints.release(model(), run, OK)
            await here.clock.settle()
            assert here.woken == [run.started.run for run in runs[:4]], "two at first, when it has recovered"

            made = 2
            while made < 100:
                flying = runs[made : len(here.woken)]
                assert flying
                for run in flying:
                    here.begin(model(), run)
                for run in flying:
                    here.endpoints.release(model(), run, OK)
                made += len(flying)
                await here.clock.settle()

            assert here.woken == [run.started.run for run in runs], "in their order, and each once"
            assert here.clock.monotonic_s() == pytest.approx(2.0, abs=0.1)

    play(work())


def test_who_waited_for_an_endpoint_that_fails_its_probe_hears_of_it_only_if_its_time_is_too_short() -> None:
    async def work() -> None:
        async with process() as here:
            here.call(OVERLOADED, count=10, name="gpt", kind="model")
            prober, long, short = a_run(), a_run(), a_run()
            here.check(model(), prober)
            here.check(model(), long, left_s=30.0)
            here.check(model(), short, left_s=5.0)
            await here.clock.advance(2.0)
            here.begin(model(), prober)
            here.woken.clear()
            here.endpoints.release(model(), prober, OVERLOADED)
            here.check(model(), long, left_s=28.0)
            await here.clock.settle()

            assert here.woken == [short.started.run], "4 s from now is more than the 3 s that it has"
            assert here.says(model(), run=short, left_s=3.0) == "refuse"

    play(work())


def test_a_tool_that_comes_when_the_open_time_is_over_is_the_probe() -> None:
    async def work() -> None:
        async with process() as here:
            here.call(BROKEN, count=10)
            await here.clock.advance(2.0)
            first, second, third = a_run(), a_run(), a_run()
            assert [here.says(run=run) for run in (first, second, third)] == ["defer"] * 3
            await here.clock.settle()
            assert here.woken == [run.started.run for run in (first, second, third)]

            here.begin(tool(), first)
            here.begin(tool(), second)
            assert here.says(run=third) == "refuse"
            here.endpoints.release(tool(), first, OK)
            here.endpoints.release(tool(), second, OK)

            assert here.state == "closed"

    play(work())


def test_a_retry_after_holds_everybody_off_who_can_wait_and_turns_away_who_can_not() -> None:
    """F16: a 429 with `Retry-After` is honoured by the endpoint as a whole, inside the deadline."""

    async def work() -> None:
        async with process() as here:
            here.call(limited(20.0), name="gpt", kind="model")
            patient, hurried = a_run(), a_run()
            assert here.says(model(), run=patient, left_s=30.0) == "defer"
            verdict = here.check(model(), hurried, left_s=15.0)
            assert isinstance(verdict, Refuse)
            assert "asked to be left alone for 20 s (Retry-After)" in verdict.reason
            assert verdict.limit == "retry_after_s=20"

            await here.clock.advance(19.9)
            assert here.woken == []
            await here.clock.advance(0.1)

            assert here.woken == [patient.started.run]
            assert here.says(model(), run=patient, left_s=10.0) == "allow"

    play(work())


def test_the_try_that_was_told_to_wait_is_not_made_to_wait_twice() -> None:
    """F16: a further try carries the time itself; what it waited in line is taken off."""

    async def work() -> None:
        async with process() as here:
            here.call(limited(20.0), name="gpt", kind="model")
            assert here.says(model(delay_s=20.0)) == "allow"

            run = a_run()
            assert here.says(model(delay_s=12.0), run=run) == "defer"
            await here.clock.advance(8.0)
            assert here.says(model(delay_s=12.0), run=run) == "allow"

            assert here.endpoints.acquire(model(delay_s=12.0), run, 60.0).delay_s == 4.0

    play(work())


def test_after_a_spend_limit_nobody_calls_or_waits_and_nothing_is_tried_again() -> None:
    """F17: a 429 for a spend limit is not retried, by the run that met it or by any other."""

    async def work() -> None:
        async with process() as here:
            here.call(SPENT, name="gpt", kind="model")
            verdict = here.check(model(), a_run(), left_s=3_000.0)
            assert isinstance(verdict, Refuse)
            assert (verdict.limit, verdict.value) == ("spend_limit", "spend_limit")
            assert "only a person can change that" in verdict.reason
            assert here.retry(model(), a_run(), SPENT) == "no"

            await here.clock.advance(300.0)
            runs = [a_run(), a_run()]
            assert {here.says(model(), run=run) for run in runs} == {"defer"}
            await here.clock.settle()
            here.begin(model(), runs[0])

            assert here.says(model(), run=runs[1]) == "refuse"

    play(work())


def test_a_storm_with_a_hundred_runs_in_flight_reaches_the_server_at_most_a_fifth_more_often() -> None:
    """F18: 100 runs, all of whose calls fail for a minute; each wants to try again twice."""

    async def work() -> None:
        made = 0
        async with process() as here:
            flying = [(model(), a_run()) for _ in range(100)]
            for step, run in flying:
                here.begin(step, run)
                made += 1
            again = [
                (model(number=2), run)
                for step, run in flying
                if here.endpoints.release(step, run, OVERLOADED) is None
                and here.retry(step, run, OVERLOADED) == "yes"
            ]
            assert here.endpoints["model:gpt"].breaker.phase.state == "open"
            probes = 0
            for _ in range(600):  # a minute
                for step, run in again:
                    verdict = here.check(step, run, 60.0)
                    if isinstance(verdict, Allow):
                        here.endpoints.acquire(step, run, 60.0)
                        made += 1
                        probes += 1
                        here.endpoints.release(step, run, OVERLOADED)
                await here.clock.advance(0.1)
            openings = here.endpoints["model:gpt"].breaker.phase.openings

            assert 100 < made <= 120
            assert len(again) == 5
            assert 5 <= openings <= 7
            assert probes == openings - 1, "a probe that fails is not followed by its twin"

    play(work())


def test_retries_stop_where_the_tenth_is_used_up_and_a_tool_is_not_retried_into_an_open_breaker() -> None:
    async def work() -> None:
        async with process(minimum_calls=100) as here:
            here.call(BROKEN, count=50)
            assert [here.retry(tool(), a_run(), BROKEN) for _ in range(50)].count("yes") == 5
        async with process() as here:
            here.call(BROKEN, count=10)
            assert here.retry(tool(), a_run(), BROKEN) == "no"

    play(work())


def test_who_probes_for_the_others_may_try_again_and_does_not_pay_for_it() -> None:
    async def work() -> None:
        async with process(retry_reserve=0, retry_ratio=0.0) as here:
            here.call(OVERLOADED, count=10, name="gpt", kind="model")
            run = a_run()
            assert here.retry(model(), run, OVERLOADED) == "no"
            here.check(model(), run)
            await here.clock.advance(2.0)
            here.begin(model(), run)
            here.endpoints.release(model(), run, OVERLOADED)

            assert here.retry(model(), run, OVERLOADED) == "yes"
            assert here.retry(model(), a_run(), OVERLOADED) == "no"

    play(work())


def test_more_calls_than_there_are_places_wait_in_line_and_are_called_in_order() -> None:
    async def work() -> None:
        async with process(at_once=2) as here:
            flying = [a_run(), a_run()]
            for run in flying:
                here.begin(tool(), run)
            waiting = [a_run() for _ in range(3)]
            assert {here.says(run=run) for run in waiting} == {"defer"}
            here.endpoints.release(tool(), flying[0], OK)
            late = a_run()
            assert here.says(run=late) == "defer", "nobody passes those who wait"
            await here.clock.settle()
            assert here.woken == [waiting[0].started.run]
            assert here.says(run=waiting[1]) == "defer"
            here.begin(tool(), waiting[0])

            here.endpoints.release(tool(), flying[1], OK)
            here.endpoints.release(tool(), waiting[0], OK)
            await here.clock.settle()

            assert here.woken == [run.started.run for run in waiting]

    play(work())


def test_a_run_that_ends_while_it_waits_gives_up_its_place_in_line() -> None:
    async def work() -> None:
        async with process(at_once=1) as here:
            flying, first, second = a_run(), a_run(), a_run()
            here.begin(tool(), flying)
            here.check(tool(), first)
            here.check(tool(), second)
            here.endpoints.forget(first.started.run, parked=False)
            here.endpoints.release(tool(), flying, OK)
            await here.clock.settle()

            assert here.woken == [second.started.run]

    play(work())


def test_a_place_is_kept_a_second_for_who_was_called_and_then_the_next_is() -> None:
    async def work() -> None:
        async with process(at_once=1) as here:
            flying, absent, second = a_run(), a_run(), a_run()
            here.begin(tool(), flying)
            here.check(tool(), absent)
            here.check(tool(), second)
            here.endpoints.release(tool(), flying, OK)
            await here.clock.settle()
            assert here.woken == [absent.started.run]
            await here.clock.advance(0.9)
            assert here.woken == [absent.started.run]
            await here.clock.advance(0.2)

            assert here.woken == [absent.started.run, second.started.run]

    play(work())


def test_who_waits_in_vain_is_told_so_while_there_is_time_to_say_it() -> None:
    async def work() -> None:
        async with process(at_once=1) as here:
            here.begin(tool(), a_run())
            run = a_run()
            assert here.says(run=run, left_s=5.0) == "defer"
            await here.clock.advance(4.95)
            assert here.woken == [run.started.run]
            verdict = here.check(tool(), run, left_s=0.05)

            assert isinstance(verdict, Refuse)
            assert (verdict.limit, verdict.value) == ("at_once=1", "1")

    play(work())


def test_a_line_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_WAITING", 3)

    async def work() -> None:
        async with process(at_once=1) as here:
            here.begin(tool(), a_run())
            assert [here.says() for _ in range(4)] == ["defer", "defer", "defer", "refuse"]

    play(work())


def test_hanging_calls_trip_it_while_others_wait_for_their_places() -> None:
    async def work() -> None:
        async with process(at_once=10, slow_s=10.0) as here:
            for _ in range(10):
                here.begin(tool(), a_run())
            run = a_run()
            assert here.says(run=run) == "defer"
            await here.clock.advance(10.0)
            assert (here.state, here.woken) == ("open", [run.started.run])

            verdict = here.check(tool(), run)

            assert isinstance(verdict, Refuse)
            assert verdict.limit == "slow_ratio=0.8"

    play(work())


def test_what_calls_no_endpoint_is_let_through() -> None:
    async def work() -> None:
        async with process() as here:
            step = tool().__class__(number=1, kind="handoff", name="clerk", agent="desk", frame=0, depth=2)
            run = a_run()
            assert here.says(step, run=run) == "allow"
            assert here.endpoints.acquire(step, run, 60.0) is step
            here.endpoints.release(step, run, OK)

            assert here.retry(step, run, OK) == "yes"

    play(work())


def test_idle_endpoints_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    from seawall.guards.endpoints import guard

    monkeypatch.setattr(guard, "MAX_ENDPOINTS", 20)

    async def work() -> None:
        async with process() as here:
            here.call(BROKEN, count=10, name="bad")
            for number in range(100):
                await here.clock.advance(0.001)
                here.call(OK, name=f"t{number}")

            assert len(here.endpoints) <= 20
            assert here.endpoints["tool:bad"].breaker.phase.state == "open"

    play(work())


def test_a_model_call_that_used_up_its_own_runs_time_is_cut_whatever_another_run_has_left() -> None:
    """Both are checked before either is acquired, as parallel steps of one run are."""

    async def work() -> None:
        async with process(minimum_calls=1) as here:
            short, long = a_run(), a_run()
            assert isinstance(here.check(model(), short, left_s=5.0), Allow)
            assert isinstance(here.check(model(), long, left_s=60.0), Allow)
            here.endpoints.acquire(model(), short, 5.0)
            here.endpoints.acquire(model(), long, 60.0)
            await here.clock.advance(5.0)
            timeout = Result(status="error", error="timeout", endpoint="broken")
            here.endpoints.release(model(), short, timeout)
            assert here.endpoints["model:gpt"].breaker.phase.state == "closed"

            here.endpoints.release(model(), long, timeout)

            assert here.endpoints["model:gpt"].breaker.phase.state == "open"

    play(work())
