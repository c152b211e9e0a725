"""Ctrl-C and cancellation at any moment: nothing is lost, and the run can be resumed at once."""

from __future__ import annotations

import asyncio
import signal
from itertools import count
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from crash.check import check_finished
from crash.desk import ANSWER, REQUEST
from crash.fork_server import ForkServer, run_in_new_interpreter
from crash.in_process import PATIENCE_S, Door, busy_desk, sea_on, shop
from crash.job import Death, Job, Report, settle
from seawall import Broken, Seawall, Waiting

SHARDS = 3


def finish(workers: ForkServer, job: Job) -> Report:
    report = workers.run(msgspec.structs.replace(job, death=None))
    assert report is not None
    return report


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("where", ["journal", "world"])
def test_ctrl_c_at_any_moment_leaves_a_run_that_goes_on_at_once(
    workers: ForkServer, tmp_path: Path, where: Literal["journal", "world"], shard: int
) -> None:
    for at in count(shard + 1, SHARDS):
        job = Job(
            directory=str(tmp_path / str(at)), death=Death(at, where, at % 2 == 0, signal=signal.SIGINT)
        )
        Path(job.directory).mkdir()
        report = workers.run(job)
        assert report is not None
        if report.error is None:
            assert at > 20
            check_finished(job, report)
            return
        assert report.error.startswith("KeyboardInterrupt"), report
        check_finished(job, finish(workers, job))


def test_ctrl_c_in_a_new_interpreter(tmp_path: Path) -> None:
    job = Job(directory=str(tmp_path), death=Death(9, "world", signal=signal.SIGINT))

    stopped = run_in_new_interpreter(job)
    report = run_in_new_interpreter(msgspec.structs.replace(job, death=None))

    assert stopped is not None
    assert str(stopped.error).startswith("KeyboardInterrupt")
    assert report is not None
    check_finished(job, report)


@pytest.mark.parametrize("at", [1, 3, 8, 14, 16, 19, 22])
def test_a_task_that_is_cancelled_leaves_a_run_that_goes_on_at_once(tmp_path: Path, at: int) -> None:
    async def scenario() -> None:
        path = tmp_path / "journal.db"
        reached = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_call(number: int, done: bool) -> None:
            if number == at and done:
                loop.call_soon_threadsafe(reached.set)

        team, world = busy_desk(tmp_path / "world", on_call)

        async def main() -> None:
            async with sea_on(path) as sea:
                await (await sea.start(team, REQUEST)).outcome()

        task = asyncio.create_task(main())
        await asyncio.wait_for(reached.wait(), PATIENCE_S)
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_S)
        assert task.done()
        async with sea_on(path) as sea:
            row = (await sea.journal.runs())[0]
            assert row.state in ("interrupted", "ended")
            run = await sea.resume(row.run, busy_desk(tmp_path / "world")[0])
            while isinstance(rest := await run.rest(), Waiting):
                await settle(sea, world, rest)
            assert rest.answer == ANSWER
        assert sum(1 for call in world.calls() if call.name == "pay") == 1

    asyncio.run(scenario())


def test_a_task_that_waits_for_a_run_may_be_cancelled_without_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        door = Door()
        async with sea_on(tmp_path / "journal.db") as sea:
            run = await sea.start(shop(door), "Ship order 1042.")
            waiting = asyncio.create_task(run.outcome())
            await door.reached.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            door.open.set()
            assert (await run.outcome()).answer == "shipped 1042"

    asyncio.run(scenario())


@pytest.mark.parametrize("rounds", range(8))
def test_a_start_that_is_cancelled_is_the_same_run_when_it_is_asked_for_again(
    tmp_path: Path, rounds: int
) -> None:
    async def scenario() -> None:
        door, calls = Door(), list[str]()
        door.open.set()
        team = shop(door, counted=calls)
        async with sea_on(tmp_path / "journal.db") as sea:
            starting = asyncio.create_task(sea.start(team, "Ship order 1042.", request_id="r-1", session="s"))
            for _ in range(rounds):
                await asyncio.sleep(0)
            starting.cancel()
            await asyncio.wait([starting])
            run = await sea.start(team, "Ship order 1042.", request_id="r-1", session="s")
            assert (await asyncio.wait_for(run.outcome(), PATIENCE_S)).answer == "shipped 1042"
            assert len(await sea.journal.runs()) == 1
            assert len(calls) == 1

    asyncio.run(scenario())


def test_closing_while_a_run_is_being_recorded_leaves_it_to_be_resumed(tmp_path: Path) -> None:
    async def scenario() -> None:
        path, door = tmp_path / "journal.db", Door()
        door.open.set()

        async def begun(sea: Seawall) -> asyncio.Task[object]:
            task: asyncio.Task[object] = asyncio.create_task(
                sea.start(shop(door), "Ship order 1042.", request_id="r-1")
            )
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return task

        async with sea_on(path) as sea:
            starting = await begun(sea)
        await asyncio.wait([starting])
        async with sea_on(path) as sea:
            for row in await sea.journal.runs():
                assert row.state in ("interrupted", "ended"), row
                assert (await (await sea.resume(row.run, shop(door))).outcome()).answer == "shipped 1042"

    asyncio.run(scenario())


def test_a_handle_says_that_its_process_gave_the_run_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        door = Door()
        async with sea_on(tmp_path / "journal.db") as sea:
            run = await sea.start(shop(door), "Ship order 1042.")
            await door.reached.wait()
            waiting = asyncio.create_task(run.outcome())
            await asyncio.sleep(0)
        with pytest.raises(Broken, match="resume it"):
            await waiting

    asyncio.run(scenario())
