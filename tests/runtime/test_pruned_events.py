"""Runs whose events were pruned: their session goes on, and other reads return their summary or say that they were pruned."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from guards.verdicts import Says
from seawall import Agent, Halt, Misused, Price, Run, Seawall, Team
from seawall.testing import ManualClock, ScriptedModel, call
from team.play import World, sent


def clerk(*script: Any) -> tuple[Team, ScriptedModel]:
    model = ScriptedModel([*script], price=Price(Decimal(1), Decimal(2)))
    return Team(Agent("clerk", model=model, tools=[World().reads()])), model


async def pruned(sea: Seawall, clock: ManualClock) -> None:
    await sea.journal.prune(before=clock.wall_s() + 10)


def test_a_session_goes_on_after_its_runs_were_pruned() -> None:
    async def main() -> None:
        clock = ManualClock()
        team, model = clerk("One.", "Two.", "Three.")
        async with Seawall(clock=clock, environment={}) as sea:
            await (await sea.start(team, "first", session="s")).outcome()
            await pruned(sea, clock)
            await (await sea.start(team, "second", session="s")).outcome()
            assert sent(model) == ["You are clerk.", "second"]
            await (await sea.start(team, "third", session="s")).outcome()

        assert sent(model) == ["You are clerk.", "second", "Two.", "third"]

    asyncio.run(main())


def test_a_run_that_was_pruned_before_its_predecessor_does_not_hide_it() -> None:
    async def main() -> None:
        clock = ManualClock()
        release = asyncio.Event()

        async def look(what: str) -> str:
            """Look."""
            await release.wait()
            return what

        model = ScriptedModel([call("look", what="A-1"), "It is there.", "Bye."], clock=clock)
        team = Team(Agent("clerk", model=model, tools=[look]))
        async with Seawall(clock=clock, environment={}) as sea:
            first = await sea.start(team, "Where is A-1?", session="s")
            second = await sea.start(team, "Never mind", session="s")
            await second.cancel()
            await clock.until(second.outcome())
            await clock.advance(20)
            release.set()
            await clock.until(first.outcome())
            await sea.journal.prune(before=clock.wall_s() - 10)
            assert await sea.journal.events(second.id) == []
            third = await sea.start(team, "Thanks", session="s")
            await clock.until(third.outcome())

        assert sent(model) == ["You are clerk.", "Where is A-1?", "", "A-1", "It is there.", "Thanks"]

    asyncio.run(main())


def test_the_outcome_of_a_pruned_run_is_its_summary() -> None:
    async def main() -> None:
        clock = ManualClock()
        team, _ = clerk(call("look", what="1"), "One.")
        async with Seawall(clock=clock, environment={}) as sea:
            run = await sea.start(team, "go", request_id="r-1")
            before = await run.outcome()
            await pruned(sea, clock)
            after = await (await sea.attach(run.id)).outcome()
            again = await (await sea.start(team, "go", request_id="r-1")).outcome()

        assert after == again
        assert (after.run, after.status, after.answer) == (run.id, "completed", None)
        assert (after.usd, after.tokens) == (before.usd, before.tokens)
        assert (after.model_calls, after.tool_calls) == (2, 1)
        assert after.usd > 0

    asyncio.run(main())


def test_a_pruned_outcome_still_names_the_guard_that_stopped_it() -> None:
    async def main() -> None:
        clock = ManualClock()
        team, _ = clerk("One.")
        async with Seawall(clock=clock, guards=[Says(Halt("no"), of="model")], environment={}) as sea:
            run = await sea.start(team, "go")
            await run.outcome()
            await pruned(sea, clock)
            outcome = await (await sea.attach(run.id)).outcome()

        assert outcome.status == "halted"
        assert outcome.stopped_by is not None
        assert outcome.stopped_by.guard == "says"

    asyncio.run(main())


Ask = Callable[[Seawall, Team, Run], Awaitable[object]]
ASKED: dict[str, Ask] = {
    "replay": lambda sea, team, run: sea.replay(run.id, team),
    "fork": lambda sea, team, run: sea.fork(run.id, team, at=1),
    "state": lambda sea, team, run: sea.state(run.id),
    "decide": lambda sea, team, run: sea.decide(run.id, 1, approve=True, by="u"),
}


@pytest.mark.parametrize("what", ASKED)
def test_an_operation_that_needs_the_events_says_that_they_were_pruned(what: str) -> None:
    async def main() -> None:
        clock = ManualClock()
        team, _ = clerk("One.")
        async with Seawall(clock=clock, environment={}) as sea:
            run = await sea.start(team, "go")
            await run.outcome()
            await pruned(sea, clock)
            with pytest.raises(Misused, match=f"run {run.id}: its events were pruned") as misused:
                await ASKED[what](sea, team, run)

        assert "seawall runs" in str(misused.value)

    asyncio.run(main())


# ---- what is pruned between the moment it is read and the moment a run that goes on from it is recorded


async def pruned_before(
    sea: Seawall, clock: ManualClock, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prunes everything just before the journal makes its next `change`."""
    make = getattr(sea.journal, change)

    async def make_late(*given: Any, **options: Any) -> Any:
        monkeypatch.setattr(sea.journal, change, make)
        await pruned(sea, clock)
        return await make(*given, **options)

    monkeypatch.setattr(sea.journal, change, make_late)


def test_a_fork_of_a_run_that_is_pruned_meanwhile_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        clock = ManualClock()
        team, _ = clerk(call("look", what="1"), "One.")
        async with Seawall(clock=clock, environment={}) as sea:
            run = await sea.start(team, "go")
            await run.outcome()
            await pruned_before(sea, clock, "create", monkeypatch)
            with pytest.raises(Misused, match=f"run {run.id}: its events were pruned"):
                await sea.fork(run.id, team, at=2)
            found = await sea.journal.verify()

        assert found.bad is None

    asyncio.run(main())


@pytest.mark.parametrize("waits_in_line", [False, True])
def test_a_run_whose_conversation_is_pruned_as_it_begins_begins_anew(
    monkeypatch: pytest.MonkeyPatch, waits_in_line: bool
) -> None:
    async def main() -> None:
        clock = ManualClock()
        release = asyncio.Event()

        async def look(what: str) -> str:
            """Look."""
            await release.wait()
            return what

        model = ScriptedModel([call("look", what="A-1"), "It is there.", "Two."], clock=clock)
        team = Team(Agent("clerk", model=model, tools=[look]))
        async with Seawall(clock=clock, environment={}) as sea:
            first = await sea.start(team, "first", session="s")
            if waits_in_line:
                second = await sea.start(team, "second", session="s")
                begin_in_line = sea.supervisor.begin_in_line

                async def begin_late(*given: Any) -> Any:
                    monkeypatch.setattr(sea.supervisor, "begin_in_line", begin_in_line)
                    await pruned(sea, clock)
                    return await begin_in_line(*given)

                monkeypatch.setattr(sea.supervisor, "begin_in_line", begin_late)
                release.set()
            else:
                release.set()
                await clock.until(first.outcome())
                await pruned_before(sea, clock, "create", monkeypatch)
                second = await sea.start(team, "second", session="s")
            outcome = await clock.until(second.outcome())
            found = await sea.journal.verify()

        assert (outcome.answer, found.bad) == ("Two.", None)
        assert sent(model) == ["You are clerk.", "second"]

    asyncio.run(main())
