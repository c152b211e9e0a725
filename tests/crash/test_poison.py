"""F24: a run that kills every worker is set aside, and other runs go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from crash.fork_server import ForkServer
from crash.in_process import Door, sea_on, shop
from crash.job import Death, Job
from seawall import Refused
from seawall.runtime.recovery import MAX_TRIES, Recovery, find_resumable


def recovery(job: Job) -> Recovery:
    async def scenario() -> Recovery:
        async with sea_on(Path(job.journal)) as sea:
            return await find_resumable(sea.journal)

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (Death(5, "world"), Death(1, "world")),  # at the call that is made again
        (Death(5, "world", after=True), Death(1, after=True)),  # taken, and nothing recorded
        (Death(1, "world"), Death(2, after=True)),  # recorded as taken, and no more
    ],
    ids=["at-a-call", "after-taking", "after-recording"],
)
def test_a_run_is_set_aside_once_it_was_taken_three_times_and_no_step_got_done(
    workers: ForkServer, tmp_path: Path, first: Death, then: Death
) -> None:
    job = Job(directory=str(tmp_path))
    tries = 0 if first.at > 1 else 1  # the worker that made steps does not count
    assert workers.run(msgspec.structs.replace(job, death=first)) is None
    for _ in range(MAX_TRIES - tries):
        found = recovery(job)
        assert len(found.resumable) == 1, found
        assert workers.run(msgspec.structs.replace(job, death=then)) is None

    found = recovery(job)

    assert found.resumable == []
    aside = found.set_aside[0]
    assert f"run {aside.row.run} was taken {MAX_TRIES} times" in aside.reason
    assert f"seawall resume {aside.row.run}" in aside.reason
    report = workers.run(job)  # by its name it is tried once more
    assert report is not None
    assert report.outcome is not None
    assert report.outcome.status == "completed"


def test_a_run_that_makes_a_step_with_each_worker_is_not_set_aside(
    workers: ForkServer, tmp_path: Path
) -> None:
    job = Job(directory=str(tmp_path))
    for _ in range(MAX_TRIES + 2):
        assert workers.run(msgspec.structs.replace(job, death=Death(3, after=True))) is None
        assert len(recovery(job).resumable) == 1


def test_the_others_go_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "journal.db"
        doors = [Door() for _ in range(3)]
        async with sea_on(path) as sea:
            runs = [await sea.start(shop(door), "Ship order 1042.") for door in doors]
            for door in doors:
                await door.reached.wait()
            done = await sea.start(shop(opened()), "Ship order 1043.")
            await done.outcome()
        async with sea_on(path) as sea:
            for _ in range(MAX_TRIES):  # the second one is taken again and again
                await sea.journal.release(await sea.journal.take(runs[1].id))
            found = await find_resumable(sea.journal)
            assert [row.run for row in found.resumable] == [runs[0].id, runs[2].id]
            assert [aside.row.run for aside in found.set_aside] == [runs[1].id]
            for row in found.resumable:
                outcome = await (await sea.resume(row.run, shop(opened()))).outcome()
                assert outcome.status == "completed"

    asyncio.run(scenario())


def test_a_run_in_line_is_not_set_aside_however_often_its_turn_had_not_come(tmp_path: Path) -> None:
    async def scenario() -> None:
        path, door = tmp_path / "journal.db", Door()
        async with sea_on(path) as sea:
            first = await sea.start(shop(door), "Ship order 1042.", session="s-1")
            await door.reached.wait()
            second = await sea.start(shop(opened()), "And order 1043.", session="s-1")
        async with sea_on(path) as sea:
            for _ in range(MAX_TRIES + 1):
                with pytest.raises(Refused, match=first.id):
                    await sea.resume(second.id, shop(opened()))
            await (await sea.resume(first.id, shop(opened()))).outcome()
            found = await find_resumable(sea.journal)
            assert [row.run for row in found.resumable] == [second.id]
            assert found.set_aside == []
            assert (await (await sea.resume(second.id, shop(opened()))).outcome()).status == "completed"

    asyncio.run(scenario())


def opened() -> Door:
    door = Door()
    door.open.set()
    return door
