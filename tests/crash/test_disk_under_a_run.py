"""F04, F05: the journal's disk fails or is full during a live run. Nothing more is acted on, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.desk import ANSWER, REQUEST
from crash.in_process import Door, busy_desk, sea_on, shop
from crash.job import settle
from crash.world import World
from journal.disk import Disk
from seawall import Outcome, Refused, Run, Seawall, Waiting
from seawall.core.errors import JournalFailed, JournalFull

CALLS = [1, 2, 4, 8, 13, 15, 16, 17, 20, 22]
"""Calls, of the 22 that a run makes, during which the fault occurs."""


@pytest.fixture
def disk() -> Iterator[Disk]:
    mounted = Disk().mount()
    yield mounted
    mounted.unmount()


async def settled(sea: Seawall, world: World, run: Run) -> Outcome:
    while isinstance(rest := await run.rest(), Waiting):
        await settle(sea, world, rest)
    return rest


async def intended(sea: Seawall, run: Run) -> int:
    """Returns how many steps had their intent on disk when it failed: these calls may reach the world."""
    return len((await sea.state(run.id)).in_flight)


def check(outcome: Outcome, world: World) -> None:
    assert (outcome.status, outcome.answer) == ("completed", ANSWER)
    assert sum(1 for call in world.calls() if call.name == "pay") == 1


@pytest.mark.parametrize("at", CALLS)
def test_a_full_disk_stops_the_run_and_space_lets_it_go_on_here(tmp_path: Path, disk: Disk, at: int) -> None:
    def on_call(number: int, done: bool) -> None:
        disk.full = disk.full or (number == at and done)

    async def scenario() -> None:
        team, world = busy_desk(tmp_path / "world", on_call)
        async with sea_on(tmp_path / "journal.db", disk=disk) as sea:
            run = await sea.start(team, REQUEST, session="s-1")
            with pytest.raises(JournalFull):
                await run.outcome()
            made = len(world.calls())
            with pytest.raises(JournalFull):
                await sea.start(team, REQUEST)
            with pytest.raises(Refused, match=run.id):  # not in line behind a run that nobody drives
                await sea.start(team, REQUEST, session="s-1")
            assert await sea.journal.events(run.id), "reads work"
            assert len(world.calls()) - made <= await intended(sea, run), "nothing else is acted on"
            disk.full, at_most = False, len(world.calls())
            on_again = await sea.resume(run.id, busy_desk(tmp_path / "world")[0])
            check(await settled(sea, world, on_again), world)
            assert len(world.calls()) > at_most or at == 22

    asyncio.run(scenario())


@pytest.mark.parametrize("at", CALLS)
def test_a_failed_sync_stops_everything_and_another_process_goes_on(
    tmp_path: Path, disk: Disk, at: int
) -> None:
    def on_call(number: int, done: bool) -> None:
        disk.sync_fails = disk.sync_fails or (number == at and done)

    async def scenario() -> None:
        path = tmp_path / "journal.db"
        team, world = busy_desk(tmp_path / "world", on_call)
        async with sea_on(path, disk=disk) as sea:
            run = await sea.start(team, REQUEST)
            with pytest.raises(JournalFailed):
                await run.outcome()
            syncs, made = disk.syncs, len(world.calls())
            with pytest.raises(JournalFailed):
                await sea.start(team, REQUEST)
            with pytest.raises(JournalFailed):
                await sea.resume(run.id, team)
            assert disk.syncs == syncs, "no sync is tried again"
            assert len(world.calls()) - made <= await intended(sea, run), "nothing else is made"
        after, world = busy_desk(tmp_path / "world")
        async with sea_on(path) as sea:
            check(await settled(sea, world, await sea.resume(run.id, after)), world)

    asyncio.run(scenario())


def test_what_ended_in_memory_alone_leaves_nothing_in_the_session(tmp_path: Path, disk: Disk) -> None:
    """The last append fails; the next run must not use the conversation that this append should have recorded."""

    async def scenario() -> None:
        door = Door()
        async with sea_on(tmp_path / "journal.db", disk=disk) as sea:
            run = await sea.start(shop(door), "Ship order 1042.", session="s-1")
            await door.reached.wait()
            events = len(await sea.journal.events(run.id))
            disk.full = True
            door.open.set()
            with pytest.raises(JournalFull):
                await run.outcome()
            assert len(await sea.journal.events(run.id)) == events
            disk.full = False
            assert (await (await sea.resume(run.id, shop(door))).outcome()).answer == "shipped 1042"
            following = await sea.start(shop(door), "And order 1043.", session="s-1")
            assert (await following.outcome()).status == "completed"
            state = await sea.state(following.id)
            assert state.history is not None
            assert (await sea.journal.verify()).ok
        async with sea_on(tmp_path / "journal.db") as sea:
            manifest = await sea.journal.bodies("", [state.history])
            assert manifest, "the conversation is in the journal"

    asyncio.run(scenario())
