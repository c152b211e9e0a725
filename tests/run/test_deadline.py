"""A run ends on time, whatever its tools do."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from seawall import Agent, EndpointOptions, Limits, Outcome, Seawall, Team, Tool, ToolContext, Waiting, tool
from seawall.core.events import EffectMoved, Event, StepDone, StepLate
from seawall.models.scripted import calls
from seawall.testing import ManualClock, ScriptedModel, call, fail, hang, say, slow
from team.play import play, sent


async def drained(sea: Seawall, run: str, wanted: type[Event]) -> list[Event]:
    """The run's events once one of `wanted` is among them."""
    written = asyncio.Event()
    sea.journal.watch(written.set)
    async with asyncio.timeout(60):
        while True:
            written.clear()
            events = await sea.journal.events(run)
            if any(isinstance(event, wanted) for event in events):
                return events
            await written.wait()


def halted(outcome: Outcome) -> None:
    assert outcome.status == "halted"
    assert outcome.stopped_by is not None
    assert outcome.stopped_by.guard == "deadline"
    assert outcome.stopped_by.limit == "active_s=10"


@pytest.mark.parametrize("script", [[hang()], [slow(11, "late")], [slow(6, ""), slow(6, "late")]])
def test_a_model_too_slow_is_cut_at_the_deadline(script: list[Any]) -> None:
    clock = ManualClock()
    team = Team(Agent("clerk", model=ScriptedModel(script, clock=clock)), limits=Limits(active_s=10))

    run = play(team, clock=clock)

    halted(run.outcome)
    assert clock.monotonic_s() == 10
    assert run.outcome.active_s == 10


def test_a_specialist_too_slow_is_cut_with_everything_beside_it() -> None:
    clock = ManualClock()

    def clerk(name: str, seconds: float) -> Agent:
        return Agent(name, model=ScriptedModel([slow(seconds, "found")], clock=clock))

    asks = calls(call("ask_quick", task="a"), call("ask_slow", task="b"))
    boss = Agent("boss", model=ScriptedModel([asks, say("Done.")]))
    team = Team("desk", boss, specialists=[clerk("quick", 1), clerk("slow", 99)], limits=Limits(active_s=10))

    run = play(team, clock=clock)

    halted(run.outcome)
    statuses = [event.status for event in run.events if isinstance(event, StepDone)]
    assert statuses.count("cancelled") == 2


def test_an_async_tool_that_swallows_its_cancellation_does_not_hold_the_run() -> None:
    async def main() -> None:
        clock = ManualClock()
        release = asyncio.Event()

        @tool
        async def stubborn() -> str:
            """Never gives up."""
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return "at last"

        team = Team(
            Agent("clerk", model=ScriptedModel([call("stubborn")]), tools=[stubborn]),
            limits=Limits(active_s=10),
        )
        async with Seawall(clock=clock) as sea:
            run = await sea.start(team, "go")
            await clock.advance(10)
            halted(await run.outcome())
            release.set()
            events = await drained(sea, run.id, StepLate)
            again = await sea.outcome(run.id)

        late = next(event for event in events if isinstance(event, StepLate))
        assert (late.step, late.status) == (2, "ok")
        halted(again)

    asyncio.run(main())


def test_what_an_ended_run_brings_after_its_seawall_was_closed_is_dropped_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        clock = ManualClock()
        release = asyncio.Event()

        @tool
        async def stubborn() -> str:
            """Never gives up."""
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return "at last"

        model = ScriptedModel([call("stubborn")])
        team = Team(Agent("clerk", model=model, tools=[stubborn]), limits=Limits(active_s=10))
        async with Seawall(clock=clock) as sea:
            run = await sea.start(team, "go")
            await clock.advance(10)
            halted(await run.outcome())
        release.set()
        async with asyncio.timeout(60):
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others)

    with caplog.at_level(logging.WARNING, "seawall"):
        asyncio.run(main())

    assert caplog.messages == []


@pytest.mark.parametrize("effect", [False, True])
def test_a_blocked_thread_does_not_hold_the_run_and_its_late_result_is_recorded(effect: bool) -> None:
    async def main() -> None:
        clock = ManualClock()
        release, begun = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def blocked() -> str:
            """Blocks its thread."""
            loop.call_soon_threadsafe(begun.set)
            release.wait(30)
            return "at last"

        model = ScriptedModel([call("blocked")])
        team = Team(
            Agent("clerk", model=model, tools=[Tool(blocked, effect=effect)]), limits=Limits(active_s=10)
        )
        async with Seawall(clock=clock) as sea:
            run = await sea.start(team, "go")
            await begun.wait()
            await clock.advance(10)
            outcome = await run.outcome()
            halted(outcome)
            assert [each.state for each in outcome.effects] == (["unknown"] if effect else [])
            release.set()
            events = await drained(sea, run.id, EffectMoved if effect else StepLate)
            again = await sea.outcome(run.id)

        assert any(isinstance(event, StepLate) and event.status == "ok" for event in events)
        assert [each.state for each in again.effects] == (["committed"] if effect else [])

    asyncio.run(main())


def test_a_call_that_still_waits_for_a_thread_when_its_run_ends_is_never_made() -> None:
    async def main() -> None:
        clock, calls_made = ManualClock(), list[str]()
        release, begun = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def blocked(what: str) -> str:
            """Blocks its thread."""
            calls_made.append(what)
            loop.call_soon_threadsafe(begun.set)
            release.wait(30)
            return what

        item = Tool(blocked, threads=1)
        model = ScriptedModel([calls(call("blocked", what="1"), call("blocked", what="2"))])
        async with Seawall(clock=clock) as sea:
            team = Team(Agent("clerk", model=model, tools=[item]), limits=Limits(active_s=10))
            run = await sea.start(team, "go")
            await begun.wait()
            await clock.advance(10)
            halted(await run.outcome())
            release.set()
            await drained(sea, run.id, StepLate)

        assert calls_made == ["1"]

    asyncio.run(main())


def test_a_tool_that_outlives_its_own_time_fails_and_the_run_goes_on() -> None:
    clock = ManualClock()

    @tool(timeout_s=2)
    async def dawdles() -> str:
        """Takes its time."""
        await clock.sleep(60)
        return "late"

    model = ScriptedModel([call("dawdles"), say("Without it.")])

    run = play(Team(Agent("clerk", model=model, tools=[dawdles])), clock=clock)

    assert run.outcome.answer == "Without it."
    assert sent(model)[-1] == "tool 'dawdles' did not answer within 2 s"
    assert run.done(2).status == "timeout"
    assert clock.monotonic_s() == 2


def test_what_a_timed_out_tool_brings_later_is_recorded_and_dropped() -> None:
    clock = ManualClock()

    @tool(timeout_s=2)
    async def stubborn() -> str:
        """Does not give up."""
        try:
            await clock.sleep(60)
        except asyncio.CancelledError:
            await clock.sleep(1)
        return "late"

    model = ScriptedModel([call("stubborn"), slow(5, "Without it.")], clock=clock)

    run = play(Team(Agent("clerk", model=model, tools=[stubborn])), clock=clock)

    assert run.outcome.answer == "Without it."
    assert [event.step for event in run.events if isinstance(event, StepLate)] == [2]
    assert "late" not in sent(model)


def test_an_effect_that_times_out_waits_for_a_person_until_its_late_receipt_settles_it() -> None:
    async def main() -> None:
        clock = ManualClock()

        @tool(timeout_s=2, effect=True)
        async def pay() -> str:
            """Pays, in its own time."""
            try:
                await clock.sleep(60)
            except asyncio.CancelledError:
                await clock.sleep(1)
            return "paid"

        model = ScriptedModel([call("pay"), "Done."])
        team = Team(Agent("clerk", model=model, tools=[pay]))
        async with Seawall(clock=clock) as sea:
            run = await sea.start(team, "go")
            await clock.advance(2)
            assert (await clock.until(run.rest())).what == "pay"  # pyright: ignore[reportAttributeAccessIssue] -- it waits
            outcome = await clock.until(run.outcome())
            assert [each.state for each in outcome.effects] == ["committed"]
            assert outcome.status == "completed"
        assert sent(model).count("paid") == 1, "the agent was given the receipt"

    asyncio.run(main())


def test_a_receipt_that_comes_after_a_person_said_that_it_did_not_happen_is_kept() -> None:
    async def main() -> None:
        clock = ManualClock()

        @tool(timeout_s=2, effect=True)
        async def pay() -> str:
            """Pays, in its own time."""
            try:
                await clock.sleep(60)
            except asyncio.CancelledError:
                await clock.sleep(10)
            return "paid"

        model = ScriptedModel([call("pay"), slow(30, "It was not paid.")], clock=clock)
        async with Seawall(clock=clock) as sea:
            run = await sea.start(Team(Agent("clerk", model=model, tools=[pay])), "go")
            await clock.advance(2)
            waiting = await clock.until(run.rest())
            assert isinstance(waiting, Waiting)
            await sea.reconcile(run.id, step=waiting.step, failed="the bank has no payment", by="user:9")
            outcome = await clock.until(run.outcome())
        assert outcome.answer == "It was not paid."
        assert [each.state for each in outcome.effects] == ["committed"], (
            "the record knows better than the answer"
        )

    asyncio.run(main())


@pytest.mark.parametrize(("after_s", "asked"), [(5.0, 2), (9.9, 2), (10.0, 1), (3600.0, 1)])
def test_a_retry_after_is_honoured_if_it_lies_within_the_time_left(after_s: float, asked: int) -> None:
    clock = ManualClock()
    model = ScriptedModel([fail("rate_limited", retry_after_s=after_s), say("Here.")], clock=clock)

    run = play(Team(Agent("clerk", model=model), limits=Limits(active_s=10)), clock=clock)

    assert model.request_count == asked
    assert run.outcome.status == ("completed" if asked == 2 else "failed")
    assert clock.monotonic_s() == (after_s if asked == 2 else 0)


def test_tries_are_bounded_and_back_off() -> None:
    clock = ManualClock()
    model = ScriptedModel([fail("overloaded")] * 9, clock=clock)

    endpoints = {"model": EndpointOptions(outlast=False)}  # otherwise it waits for the end of the outage
    run = play(Team(Agent("clerk", model=model, retries=3)), clock=clock, endpoints=endpoints)

    assert model.request_count == 4
    assert clock.monotonic_s() == 0.5 + 1 + 2
    assert run.outcome.status == "failed"
    assert run.outcome.model_calls == 4


def test_a_spend_limit_is_not_tried_again() -> None:
    model = ScriptedModel([fail("spend_limit", retry_after_s=1), say("Here.")])

    run = play(Team(Agent("clerk", model=model, retries=3)), clock=ManualClock())

    assert model.request_count == 1
    assert run.outcome.status == "failed"


def test_a_tool_is_told_how_much_time_is_left_and_so_is_the_model() -> None:
    clock = ManualClock()
    left: list[float] = []

    @tool
    async def look(context: ToolContext) -> str:
        """Look."""
        left.append(context.remaining_s)
        return "x"

    model = ScriptedModel([slow(4, call("look")), say("Done.")], clock=clock)

    play(Team(Agent("clerk", model=model, tools=[look]), limits=Limits(active_s=10)), clock=clock)

    assert left == [6]
    assert [request.timeout_s for request in model.requests] == [10, 6]
