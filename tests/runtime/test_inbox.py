"""Commands of other processes reach their runs, whatever happens to other runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from guards.verdicts import Says
from seawall import Agent, Broken, Hold, Run, Seawall, Team, Waiting
from seawall.journal.protocol import Command, InboxItem, Lease
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ManualClock, ScriptedModel, call, hang
from team.play import World


def payer(world: World) -> Team:
    return Team(Agent("payer", model=ScriptedModel([call("pay", what="1"), "Paid."]), tools=[world.writes()]))


async def parked(sea: Seawall, team: Team) -> tuple[Run, int]:
    run = await sea.start(team, "go")
    waiting = await run.rest()
    assert isinstance(waiting, Waiting)
    return run, waiting.step


def approved(step: int) -> Command:
    return Command(kind="decide", by="u", step=step, approved=True)


class FailingTake:
    """Makes `take` of some runs fail."""

    def __init__(self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: set[str] = set()
        self.calls: list[str] = []
        self._take = journal.take
        monkeypatch.setattr(journal, "take", self.take)

    async def take(self, run: str, *, force: bool = False) -> Lease:
        self.calls.append(run)
        if run in self.runs:
            raise Broken("the disk is away")
        return await self._take(run, force=force)


def test_a_command_that_comes_while_others_are_delivered_is_delivered_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        clock = ManualClock()
        journal = SqliteJournal.open(":memory:", clock=clock)
        async with Seawall(journal, clock=clock) as sea:
            first, second = [
                await sea.start(Team(Agent("a", model=ScriptedModel([hang()]))), "go") for _ in range(2)
            ]
            await clock.advance(1)
            held, reading = asyncio.Event(), asyncio.Event()
            inbox = journal.inbox

            async def slow(run: str, *, after: int = -1) -> Sequence[InboxItem]:
                reading.set()
                await held.wait()
                return await inbox(run, after=after)

            monkeypatch.setattr(journal, "inbox", slow)
            await journal.send(first.id, Command(kind="cancel"))
            await clock.until(reading.wait())
            await journal.send(second.id, Command(kind="cancel"))
            await clock.advance(1)  # the timer of that write fires while the round is under way
            held.set()
            async with asyncio.timeout(30):
                assert (await first.outcome()).status == "cancelled"
                assert (await second.outcome()).status == "cancelled"

    asyncio.run(main())


def test_a_run_that_fails_to_wake_up_does_not_keep_another_from_its_decision(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        journal = SqliteJournal.open(":memory:", clock=clock)
        failing = FailingTake(journal, monkeypatch)
        async with Seawall(journal, clock=clock, guards=[Says(Hold("ask"))]) as sea:
            first, step = await parked(sea, payer(world))
            second, _ = await parked(sea, payer(world))
            await clock.advance(1)
            failing.runs = {first.id}
            await journal.send(first.id, approved(step))
            await journal.send(second.id, approved(step))
            assert (await clock.until(second.outcome())).status == "completed"
            assert f"run {first.id} could not be handed its commands" in caplog.text
            failing.runs.clear()
            assert (await clock.until(first.outcome())).status == "completed"
        assert world.calls == ["1", "1"]

    with caplog.at_level(logging.WARNING, "seawall"):
        asyncio.run(main())


def test_a_decision_does_not_fail_because_of_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        journal = SqliteJournal.open(":memory:", clock=clock)
        failing = FailingTake(journal, monkeypatch)
        async with Seawall(journal, clock=clock, guards=[Says(Hold("ask"))]) as sea:
            first, step = await parked(sea, payer(world))
            second, _ = await parked(sea, payer(world))
            failing.runs = {first.id}
            await journal.send(first.id, approved(step))
            await sea.decide(second.id, step, approve=True, by="u")
            assert (await clock.until(second.outcome())).status == "completed"

    asyncio.run(main())


def test_a_run_that_goes_on_failing_is_logged_once_and_tried_once_a_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        clock = ManualClock()
        journal = SqliteJournal.open(":memory:", clock=clock)
        failing = FailingTake(journal, monkeypatch)
        async with Seawall(journal, clock=clock, guards=[Says(Hold("ask"))]) as sea:
            run, step = await parked(sea, payer(World()))
            failing.runs = {run.id}
            await sea.decide(run.id, step, approve=True, by="u")
            for _ in range(5):
                await clock.advance(1)
                await sea.journal.row(run.id)  # reads in other threads have returned by then
                await clock.settle()
        assert 2 <= len(failing.calls) <= 6

    with caplog.at_level(logging.WARNING, "seawall"):
        asyncio.run(main())

    assert len([each for each in caplog.records if "could not be handed" in each.message]) == 1
