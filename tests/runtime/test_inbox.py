"""Commands of other processes reach their runs, whatever happens to other runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from guards.verdicts import Says
from seawall import Agent, Broken, Hold, Limits, Run, Seawall, Team, Waiting, tool
from seawall.core.clock import SystemClock
from seawall.journal.protocol import Command, InboxItem, Lease, RunRow
from seawall.journal.protocol.effects import Ballot, make_proposal_id
from seawall.journal.sqlite import SqliteJournal
from seawall.journal.sqlite.database import Database
from seawall.models.protocol import Assistant, ModelReply, ToolCall, Usage
from seawall.testing import ManualClock, ScriptedModel, call, hang
from team.play import World


def payer(world: World) -> Team:
    return Team(Agent("payer", model=ScriptedModel([call("pay", what="1"), "Paid."]), tools=[world.writes()]))


async def parked(sea: Seawall, team: Team) -> tuple[Run, int]:
    run = await sea.start(team, "go")
    waiting = await run.rest()
    assert isinstance(waiting, Waiting)
    return run, waiting.step


async def approve_elsewhere(journal: SqliteJournal, run: str, step: int) -> None:
    """Decides as another process does: this one is not told."""
    proposal = await journal.proposal(make_proposal_id(run, step))
    ballot = Ballot(
        proposal=proposal.id, hash=proposal.hash, approve=True, principal="u", authenticated=False
    )
    await journal.decide(ballot)


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
            async with asyncio.timeout(60):
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
            await approve_elsewhere(journal, first.id, step)
            await approve_elsewhere(journal, second.id, step)
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
            await approve_elsewhere(journal, first.id, step)
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


class CountedReads:
    """Counts the statements that read a journal, and their rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("fetch_all", "fetch_first"):
            monkeypatch.setattr(Database, name, self._counted(getattr(Database, name)))

    def _counted(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            rows = fetch(*args)
            self.count += 1 + (len(cast("list[object]", rows)) if isinstance(rows, list) else 0)
            return rows

        return counted


def test_each_of_many_decisions_at_once_costs_as_few_reads_as_each_of_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = CountedReads(monkeypatch)

    async def decide_at_once(count: int) -> float:
        # a file, whose readings overlap
        journal = SqliteJournal.open(str(tmp_path / f"{count}.db"), clock=SystemClock())
        async with Seawall(journal, guards=[Says(Hold("ask"))]) as sea:
            world = World()
            runs = await asyncio.gather(*(sea.start(payer(world), "go") for _ in range(count)))
            waiting = [each for each in [await run.rest() for run in runs] if isinstance(each, Waiting)]
            reads.count = 0
            await asyncio.gather(*(sea.decide(each.run, each.step, approve=True, by="u") for each in waiting))
            used = reads.count
            for run in runs:
                assert (await run.outcome()).status == "completed"
        return used / count

    few, many = asyncio.run(decide_at_once(40)), asyncio.run(decide_at_once(200))
    assert many < 2 * few


def test_many_decisions_on_one_run_at_once_read_it_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = CountedReads(monkeypatch)

    @tool
    async def look(n: int) -> str:
        return f"seen {n}"

    async def decide_at_once(count: int) -> int:
        journal = SqliteJournal.open(str(tmp_path / f"{count}.db"), clock=SystemClock())
        asked = ModelReply(
            message=Assistant(None, tuple(ToolCall(f"c{n}", "look", f'{{"n":{n}}}') for n in range(count))),
            usage=Usage(1, 1),
            finish="tool_calls",
        )
        agent = Agent("a", model=ScriptedModel([asked, "Done."]), tools=[look])
        team = Team(agent, limits=Limits(tool_calls=100))
        async with Seawall(journal, guards=[Says(Hold("ask"))]) as sea:
            run = await sea.start(team, "go")
            await run.rest()
            held = (await sea.state(run.id)).approvals
            assert len(held) == count
            reads.count = 0
            await asyncio.gather(*(sea.decide(run.id, each.step, approve=True, by="u") for each in held))
            assert (await run.outcome()).status == "completed"
        return reads.count

    # sixteen times as many decisions: readings overlap by chance, and if each read all others it would be 256 times
    assert asyncio.run(decide_at_once(64)) < 32 * asyncio.run(decide_at_once(4))


def test_a_decision_does_not_wait_for_a_reading_that_began_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        journal = SqliteJournal.open(":memory:", clock=clock)
        async with Seawall(journal, clock=clock, guards=[Says(Hold("ask"))]) as sea:
            run, step = await parked(sea, payer(world))
            began, may_end, commands = asyncio.Event(), asyncio.Event(), journal.commands

            async def slow(*, after: int) -> tuple[int, list[InboxItem]]:
                monkeypatch.setattr(journal, "commands", commands)
                old = await commands(after=after)
                began.set()
                await may_end.wait()
                return old

            monkeypatch.setattr(journal, "commands", slow)
            older = asyncio.create_task(sea.supervisor.inbox.deliver())
            await began.wait()
            await sea.decide(run.id, step, approve=True, by="u")
            assert (await run.outcome()).status == "completed"
            may_end.set()
            await older

    asyncio.run(main())


def test_a_decision_does_not_wait_for_the_delivery_to_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        journal = SqliteJournal.open(":memory:", clock=clock)
        async with Seawall(journal, clock=clock, guards=[Says(Hold("ask"))]) as sea:
            first, step = await parked(sea, payer(world))
            second, _ = await parked(sea, payer(world))
            may_end, row = asyncio.Event(), journal.row

            async def slow(run: str) -> RunRow:
                if run == first.id:
                    await may_end.wait()
                return await row(run)

            monkeypatch.setattr(journal, "row", slow)
            held = asyncio.create_task(sea.decide(first.id, step, approve=True, by="u"))
            await sea.decide(second.id, step, approve=True, by="u")
            assert (await second.outcome()).status == "completed"
            assert not held.done()
            may_end.set()
            await held

    asyncio.run(main())


def test_a_command_that_an_earlier_reading_found_is_delivered_when_its_sender_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        clock = ManualClock()
        journal = SqliteJournal.open(":memory:", clock=clock)
        async with Seawall(journal, clock=clock) as sea:
            run = await sea.start(Team(Agent("a", model=ScriptedModel([hang()]))), "go")
            await clock.advance(1)
            began, may_end, inbox = asyncio.Event(), asyncio.Event(), journal.inbox

            async def slow(name: str, *, after: int = -1) -> Sequence[InboxItem]:
                began.set()
                await may_end.wait()
                return await inbox(name, after=after)

            monkeypatch.setattr(journal, "inbox", slow)
            await journal.send(run.id, Command(kind="cancel"))
            earlier = asyncio.create_task(sea.supervisor.inbox.deliver())
            await began.wait()
            sender = asyncio.create_task(sea.supervisor.inbox.deliver(run.id))
            await clock.settle()
            assert not sender.done()
            may_end.set()
            await sender
            assert (await run.outcome()).status == "cancelled"
            await earlier

    asyncio.run(main())
