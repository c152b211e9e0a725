"""An effect is made only while the run is this process's, whatever stood between its record and its call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from journal.story import begin
from seawall import Agent, EndpointOptions, Seawall, Team, Tool, ToolContext
from seawall.core.errors import Broken, Fenced
from seawall.core.events import StepIntended
from seawall.engine.ownership import MAX_LOOKS, RECENT_S, LeaseCheck
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.models.protocol import ModelRequest, User
from seawall.testing import ManualClock, ScriptedModel, call, fail, say


def paying(request: ModelRequest) -> Any:
    """Calls `pay` with the request, and answers whatever the result is."""
    last = request.messages[-1]
    return call("pay", order=last.content) if isinstance(last, User) else say("Done.")


def open_journal(path: Path, clock: ManualClock) -> SqliteJournal:
    return SqliteJournal.open(str(path / "j.db"), clock=clock, options=SqliteOptions(lease_s=30))


def test_a_sync_effect_that_waited_for_a_thread_is_not_made_once_its_run_was_taken(tmp_path: Path) -> None:
    async def main() -> None:
        clock, made = ManualClock(), list[str]()
        release, begun, loop = threading.Event(), asyncio.Event(), asyncio.get_running_loop()

        def pay(order: str) -> str:
            """Pays."""
            made.append(order)
            loop.call_soon_threadsafe(begun.set)
            release.wait(30)
            return "paid"

        team = Team(Agent("cashier", model=ScriptedModel(paying), tools=[Tool(pay, effect=True, threads=1)]))
        other = open_journal(tmp_path, clock)
        async with Seawall(open_journal(tmp_path, clock), clock=clock, environment={}) as sea:
            first = await sea.start(team, "1")
            await begun.wait()
            second = await sea.start(team, "2")
            while (await other.row(second.id)).events < 5:  # the intent to pay is recorded
                await asyncio.sleep(0)
            await clock.advance(2 * RECENT_S)
            await other.take(second.id, force=True)
            release.set()
            with pytest.raises(Fenced):
                await second.outcome()
            assert (await first.outcome()).answer == "Done."
        events = await other.events(second.id)
        await other.close()

        assert made == ["1"]
        assert type(events[-1]).__name__ == "StepIntended", (
            "nothing is recorded of an effect that was not made"
        )

    asyncio.run(main())


def test_an_async_effect_that_waits_for_its_next_try_is_not_made_once_its_run_was_taken(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        clock, made = ManualClock(), list[str]()

        class Busy(Broken):
            retry_after_s = 5.0

        async def pay(order: str) -> str:
            """Pays."""
            made.append(order)
            raise Busy("too many requests")

        item = Tool(pay, effect=True, idempotent=True, retries=3)
        team = Team(Agent("cashier", model=ScriptedModel(paying), tools=[item]))
        other = open_journal(tmp_path, clock)
        async with Seawall(open_journal(tmp_path, clock), clock=clock, environment={}) as sea:
            run = await sea.start(team, "1")
            while (await other.row(run.id)).events < 7:  # the second try is recorded, and waits
                await asyncio.sleep(0)
            await other.take(run.id, force=True)
            await clock.advance(6)
            with pytest.raises(Fenced):
                await run.outcome()
        await other.close()

        assert made == ["1"]

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["model", "read"])
@pytest.mark.parametrize("taken", [False, True])
def test_what_waits_for_its_next_try_is_not_tried_again_once_its_run_was_taken(
    tmp_path: Path, kind: str, taken: bool
) -> None:
    """Whoever has the run now makes the call itself, and pays for it."""

    async def main() -> None:
        clock, made = ManualClock(), list[str]()

        class Busy(Broken):
            retry_after_s = 5.0

        def reply(request: ModelRequest) -> Any:
            made.append("model")
            if kind == "model" and made.count("model") == 1:
                return fail("rate_limited", retry_after_s=5)
            return call("look") if kind == "read" and len(made) == 1 else say("Done.")

        async def look() -> str:
            """Looks."""
            made.append("read")
            if made.count("read") == 1:
                raise Busy("too many requests")
            return "seen"

        team = Team(Agent("clerk", model=ScriptedModel(reply), tools=[Tool(look, retries=2)]))
        other = open_journal(tmp_path, clock)
        at_once = EndpointOptions(outlast=False)  # its intent is recorded before it waits, and not after it
        ends = {"model:scripted": at_once, "tool:look": at_once}
        async with Seawall(open_journal(tmp_path, clock), clock=clock, environment={}, endpoints=ends) as sea:
            run = await sea.start(team, "1")
            async with asyncio.timeout(20):
                while (await other.row(run.id)).events < (5 if kind == "model" else 7):
                    await asyncio.sleep(0)
            assert isinstance((await other.events(run.id))[-1], StepIntended)
            if taken:
                await other.take(run.id, force=True)
            await clock.advance(6)
            if taken:
                with pytest.raises(Fenced):
                    await run.outcome()
            else:
                assert (await run.outcome()).answer == "Done."
        await other.close()

        assert made.count(kind) == (1 if taken else 2)

    asyncio.run(main())


@pytest.mark.parametrize("is_async", [False, True])
def test_a_tool_learns_until_when_the_run_is_its_own(is_async: bool) -> None:
    async def main() -> None:
        clock, seen = ManualClock(), list[float]()

        async def pay(context: ToolContext, order: str) -> str:
            """Pays."""
            seen.append(context.lease_until)
            return "paid"

        def pay_in_thread(context: ToolContext, order: str) -> str:
            """Pays."""
            seen.append(context.lease_until)
            return "paid"

        item = Tool(pay if is_async else pay_in_thread, name="pay", effect=True)
        team = Team(Agent("cashier", model=ScriptedModel(paying), tools=[item]))
        async with Seawall(clock=clock, environment={}) as sea:
            assured_s = sea.journal.assured_s
            await (await sea.start(team, "1")).outcome()

        assert seen == [clock.wall_s() + assured_s]

    asyncio.run(main())


def run_check(scenario: Callable[[ManualClock, list[float], Callable[..., LeaseCheck]], Any]) -> None:
    async def main() -> None:
        clock, looks = ManualClock(), list[float]()

        async def look() -> None:
            looks.append(clock.boottime_s())

        def make(recorded_s: float | None = 0.0, look: Any = look) -> LeaseCheck:
            return LeaseCheck(clock, look, 20.0, recorded_s)

        await scenario(clock, looks, make)

    asyncio.run(main())


def test_an_intent_that_was_recorded_just_now_needs_no_look() -> None:
    async def scenario(clock: ManualClock, looks: list[float], make: Callable[..., LeaseCheck]) -> None:
        check = make()
        await clock.advance(RECENT_S / 2)

        assert await check.confirm() == clock.wall_s() + 20 - RECENT_S / 2
        assert check.confirm_in_thread() == clock.wall_s() + 20 - RECENT_S / 2
        assert looks == []

    run_check(scenario)


def test_a_suspended_machine_makes_an_intent_old() -> None:
    async def scenario(clock: ManualClock, looks: list[float], make: Callable[..., LeaseCheck]) -> None:
        check = make()
        clock.suspend(3600)

        assert await check.confirm() == clock.wall_s() + 20
        assert looks == [3600]

    run_check(scenario)


def test_an_effect_whose_record_is_not_known_takes_a_look_from_its_thread() -> None:
    async def scenario(clock: ManualClock, looks: list[float], make: Callable[..., LeaseCheck]) -> None:
        until = await asyncio.to_thread(make(None).confirm_in_thread)

        assert until == clock.wall_s() + 20
        assert looks == [0]

    run_check(scenario)


def test_a_look_that_took_longer_than_the_run_is_assured_is_taken_again_and_not_for_ever() -> None:
    async def scenario(clock: ManualClock, looks: list[float], make: Callable[..., LeaseCheck]) -> None:
        async def slow() -> None:
            looks.append(clock.boottime_s())
            clock.suspend(21)

        assert await make(None, slow).confirm() is None
        assert await asyncio.to_thread(make(None, slow).confirm_in_thread) is None
        assert len(looks) == 2 * MAX_LOOKS

    run_check(scenario)


def test_a_thread_that_can_ask_nobody_any_more_is_told_so() -> None:
    kept: list[LeaseCheck] = []

    async def scenario(clock: ManualClock, looks: list[float], make: Callable[..., LeaseCheck]) -> None:
        kept.append(make(None))

    run_check(scenario)

    with pytest.raises(Broken, match="closed before an effect was made"):
        kept[0].confirm_in_thread()


def test_a_run_that_is_given_up_after_its_process_closed_is_taken_up_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"

    async def give_up_late() -> None:
        async with Seawall(path) as sea:
            lease = await begin(sea.journal, "r-1")
        await sea.supervisor.release(lease)

    async def take_up() -> None:
        async with Seawall(path) as sea:
            assert (await sea.journal.take("r-1")).epoch == 2

    asyncio.run(give_up_late())
    assert caplog.text == ""
    asyncio.run(take_up())
