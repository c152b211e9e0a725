"""Runs that wait are taken up by any process that has their team."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guards.verdicts import Says
from runtime.deciding import decide
from seawall import Agent, Hold, Misused, Outcome, Run, Seawall, Team, Waiting
from seawall.core.clock import SystemClock
from seawall.core.events import RunTaken
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ScriptedModel, call
from team.play import World

Desk = Callable[[], Team]


def reply(request: Any) -> Any:
    """Finds its place again after a restart."""
    answered = any(type(each).__name__ == "ToolResult" for each in request.messages)
    return "Paid." if answered else call("pay", what="5 EUR")


def desk(world: World, name: str = "desk", agent: str = "clerk") -> Team:
    return Team(name, Agent(agent, model=ScriptedModel(reply), tools=[world.writes()]))


def sea_on(path: Path, *teams: Team, **options: Any) -> Seawall:
    return Seawall(path, guards=[Says(Hold("ask"))], teams=teams, **options)


async def parked(run: Run) -> Waiting:
    async with asyncio.timeout(60):
        rest = await run.rest()
    assert isinstance(rest, Waiting)
    return rest


async def over(sea: Seawall, run: str) -> Outcome:
    async with asyncio.timeout(60):
        return await (await sea.attach(run)).outcome()


async def park(path: Path, team: Team) -> Waiting:
    """Starts a run in a process of its own, which ends once the run waits."""
    async with sea_on(path) as sea:
        return await parked(await sea.start(team, "Refund"))


async def decide_elsewhere(path: Path, waiting: Waiting) -> None:
    """Decides in a process that knows no team."""
    async with sea_on(path) as sea:
        await decide(sea, waiting)


async def count_segments(sea: Seawall, run: str) -> int:
    return sum(isinstance(event, RunTaken) for event in await sea.journal.events(run))


def test_a_process_with_the_team_takes_up_what_is_decided_elsewhere_once_the_starter_is_gone(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        path, world = tmp_path / "desk.db", World()
        waiting = await park(path, desk(world))
        async with sea_on(path, desk(world)) as sea:
            await decide_elsewhere(path, waiting)
            assert (await over(sea, waiting.run)).answer == "Paid."
        assert world.calls == ["5 EUR"]

    asyncio.run(main())


def test_a_process_that_opens_takes_up_what_was_decided_before(tmp_path: Path) -> None:
    async def main() -> None:
        path, world = tmp_path / "desk.db", World()
        waiting = await park(path, desk(world))
        await decide_elsewhere(path, waiting)
        async with sea_on(path, desk(world)) as sea:
            assert (await over(sea, waiting.run)).answer == "Paid."

    asyncio.run(main())


def test_an_agent_counts_as_a_team(tmp_path: Path) -> None:
    async def main() -> None:
        path, world = tmp_path / "desk.db", World()
        clerk = Agent("clerk", model=ScriptedModel(reply), tools=[world.writes()])
        async with sea_on(path) as sea:
            waiting = await parked(await sea.start(clerk, "Refund"))
        await decide_elsewhere(path, waiting)
        async with Seawall(path, guards=[Says(Hold("ask"))], teams=[clerk]) as sea:
            assert (await over(sea, waiting.run)).answer == "Paid."

    asyncio.run(main())


def test_of_two_processes_with_the_team_one_takes_it_and_nothing_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        path, world = tmp_path / "desk.db", World()
        waiting = await park(path, desk(world))
        async with sea_on(path, desk(world)) as one, sea_on(path, desk(world)) as other:
            await decide_elsewhere(path, waiting)
            assert (await over(one, waiting.run)).answer == "Paid."
            assert (await over(other, waiting.run)).answer == "Paid."
            assert await count_segments(one, waiting.run) == 2
        assert world.calls == ["5 EUR"]

    with caplog.at_level(logging.WARNING, "seawall"):
        asyncio.run(main())
    assert caplog.records == []


@pytest.mark.parametrize("other", [("desk two", "clerk"), ("desk", "somebody")], ids=["name", "leader"])
def test_a_run_of_another_team_is_left_alone(tmp_path: Path, other: tuple[str, str]) -> None:
    async def main() -> None:
        path, world = tmp_path / "desk.db", World()
        waiting = await park(path, desk(world))
        async with sea_on(path, desk(World(), *other)) as sea:
            await decide_elsewhere(path, waiting)
            async with sea_on(path, desk(world)) as right:
                assert (await over(right, waiting.run)).answer == "Paid."
            assert await count_segments(sea, waiting.run) == 2

    asyncio.run(main())


def test_two_teams_of_one_name_are_misused() -> None:
    with pytest.raises(Misused, match="two teams of the name 'desk'"):
        Seawall(teams=[desk(World()), desk(World())])


def test_a_run_whose_pause_was_lifted_elsewhere_is_taken_up_at_the_next_look(tmp_path: Path) -> None:
    async def main() -> None:
        path, world = tmp_path / "desk.db", World()
        async with Seawall(path) as sea:
            await sea.pause("tool:pay", by="ops")
            run = await sea.start(desk(world), "Refund")
            assert (await parked(run)).kind == "pause"
        async with Seawall(path, teams=[desk(world)]) as sea:
            await sea.supervisor.waker.look()
            assert (await sea.journal.row(run.id)).state == "waiting"
            async with Seawall(path) as other:
                await other.unpause("tool:pay", by="ops")
            await sea.supervisor.waker.look()
            assert (await over(sea, run.id)).answer == "Paid."

    asyncio.run(main())


def test_a_command_that_its_process_did_not_live_to_take_is_found_by_the_next_look(tmp_path: Path) -> None:
    async def main() -> None:
        path, world = tmp_path / "desk.db", World()
        waiting = await park(path, desk(world))
        async with sea_on(path, desk(world)) as sea:
            # Another process has the run at the moment in which the command comes, and parks it without having read it.
            other = SqliteJournal.open(str(path), clock=SystemClock())
            lease = await other.take(waiting.run)
            await other.append(lease, (await sea.state(waiting.run)).seq, (), {}, waiting=False)
            await decide(sea, waiting)
            assert (await sea.journal.row(waiting.run)).state == "running"
            await other.append(lease, (await sea.state(waiting.run)).seq, (), {}, waiting=True)
            await other.close()
            await sea.supervisor.waker.look()
            assert (await over(sea, waiting.run)).answer == "Paid."

    asyncio.run(main())
