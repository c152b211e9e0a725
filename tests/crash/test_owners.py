"""F13, F14, F15: a run has one owner at a time, when workers are stopped or race and when the clock is changed."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import msgspec
import pytest

from crash.fork_server import ForkServer
from crash.in_process import PATIENCE_S, Door, sea_on, shop
from crash.job import Death, Job, Report
from crash.world import read_calls
from seawall import Refused, Run, Seawall
from seawall.core.clock import SystemClock
from seawall.core.errors import Fenced
from seawall.core.events import RunEnded, RunTaken

LEASE_S = 1.0
"""Short, because the test waits for the lease of a stopped process to end; longer than the half second after which a
process checks its lease itself."""


class WrongClock(SystemClock):
    """The machine's clock, with a wall time that the test can change."""

    turned_s = 0.0

    def wall_s(self) -> float:
        return super().wall_s() + self.turned_s


async def start(sea: Seawall, door: Door) -> Run:
    run = await sea.start(shop(door), "Ship order 1042.")
    await asyncio.wait_for(door.reached.wait(), PATIENCE_S)
    return run


def test_a_run_is_not_resumed_while_it_runs_elsewhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        door = Door()
        async with sea_on(tmp_path / "journal.db") as one, sea_on(tmp_path / "journal.db") as other:
            run = await start(one, door)
            for sea in (one, other):
                with pytest.raises(Refused, match=run.id) as refused:
                    await sea.resume(run.id, shop(door))
                assert refused.value.value == one.journal.owner
                assert one.journal.owner in str(refused.value)
            door.open.set()
            assert (await run.outcome()).status == "completed"

    asyncio.run(scenario())


def test_a_process_that_takes_a_run_by_force_has_it_and_the_other_is_fenced_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        door, free = Door(), Door()
        free.open.set()
        async with sea_on(tmp_path / "journal.db") as one, sea_on(tmp_path / "journal.db") as other:
            run = await start(one, door)
            taken = await other.resume(run.id, shop(free), force=True)
            assert (await taken.outcome()).status == "completed"
            door.open.set()
            with pytest.raises(Fenced):
                await run.outcome()
            assert (await (await one.attach(run.id)).outcome()).status == "completed"

    asyncio.run(scenario())


@pytest.mark.parametrize("at_once", [2, 5])
def test_of_several_processes_that_resume_a_run_at_once_one_wins(tmp_path: Path, at_once: int) -> None:
    async def scenario() -> None:
        door, calls = Door(), list[str]()
        path = tmp_path / "journal.db"
        async with sea_on(path) as first:
            run = await start(first, door)
        seas = [sea_on(path) for _ in range(at_once)]
        opened = [await sea.__aenter__() for sea in seas]
        door.open.set()
        team = shop(door, counted=calls)
        tried = await asyncio.gather(
            *(sea.resume(run.id, team) for sea in (*opened, *opened)), return_exceptions=True
        )
        handles = [result for result in tried if isinstance(result, Run)]  # late ones find it ended
        lost = [result for result in tried if isinstance(result, Refused)]
        assert handles
        assert len(handles) + len(lost) == len(tried), tried
        assert (await handles[0].outcome()).answer == "shipped 1042"
        events = await opened[0].journal.events(run.id)
        assert len([event for event in events if isinstance(event, RunTaken)]) == 2
        assert len([event for event in events if isinstance(event, RunEnded)]) == 1
        assert len(calls) == 1
        for sea in seas:
            await sea.__aexit__(None, None, None)

    asyncio.run(scenario())


def take_over(workers: ForkServer, job: Job) -> Report:
    """Resumes a run as soon as the lease of its stopped owner is over."""
    for _ in range(200):
        report = workers.run(msgspec.structs.replace(job, death=None))
        assert report is not None
        if report.error is None:
            return report
        assert report.error.startswith("Refused"), report
    pytest.fail("the lease of a stopped process never ended")


@pytest.mark.parametrize(("at", "after"), [(5, False), (12, True), (18, False)])
def test_a_worker_that_was_stopped_past_its_lease_is_fenced_off(
    workers: ForkServer, tmp_path: Path, at: int, after: bool
) -> None:
    stops = Death(at, "journal", after, signal=signal.SIGSTOP)
    job = Job(directory=str(tmp_path), lease_s=LEASE_S, death=stops)
    pid = workers.run_until_stopped(job)

    report = take_over(workers, job)
    late = workers.continue_stopped(job, pid)

    assert late.outcome is None
    assert late.error is not None
    assert late.error.startswith("Fenced"), late
    check_finished_by_another(job, report)


def test_a_worker_that_was_stopped_before_it_paid_does_not_pay_when_another_has(
    workers: ForkServer, tmp_path: Path
) -> None:
    undisturbed = Job(directory=str(tmp_path / "undisturbed"))
    Path(undisturbed.directory).mkdir()
    workers.run(undisturbed)
    for at in range(12, 24):  # one of these appends brings the intent to pay
        job = Job(
            directory=str(tmp_path / str(at)),
            lease_s=LEASE_S,
            death=Death(at, "journal", after=True, signal=signal.SIGSTOP),
        )
        Path(job.directory).mkdir()
        pid = workers.run_until_stopped(job)
        if read_calls(job.world)[-1].name == "find_order" and paid(job) == 0:
            report = take_over(workers, job)
            assert report.settled == 1, "the effect was in doubt"
            workers.continue_stopped(job, pid)
            assert paid(job) == 1
            return
        workers.continue_stopped(job, pid)
    pytest.fail("no append brought the intent to pay")


def paid(job: Job) -> int:
    return sum(1 for call in read_calls(job.world) if call.name == "pay")


def check_finished_by_another(job: Job, report: Report) -> None:
    """Checks what holds after a crash; the reads that the stopped worker had in flight may be made by both workers."""
    assert report.outcome is not None
    calls = read_calls(job.world)
    assert sum(1 for call in calls if call.name == "pay") == 1
    assert report.outcome.status == "completed"


@pytest.mark.parametrize("turned_s", [-3600.0, 86_400.0], ids=["an-hour-back", "a-day-ahead"])
def test_a_turned_wall_clock_neither_ends_a_run_nor_its_lease(tmp_path: Path, turned_s: float) -> None:
    async def scenario() -> None:
        door, clock, other_clock = Door(), WrongClock(), WrongClock()
        path = tmp_path / "journal.db"
        async with sea_on(path, clock=clock) as one, sea_on(path, clock=other_clock) as other:
            run = await start(one, door)
            clock.turned_s = turned_s
            with pytest.raises(Refused):
                await other.resume(run.id, shop(door))
            other_clock.turned_s = -turned_s
            with pytest.raises(Refused):
                await other.resume(run.id, shop(door))
            door.open.set()
            outcome = await run.outcome()
        assert outcome.status == "completed"
        assert outcome.active_s < PATIENCE_S

    asyncio.run(scenario())


@pytest.mark.parametrize("turned_s", [-3600.0, 86_400.0], ids=["an-hour-back", "a-day-ahead"])
def test_a_run_keeps_its_active_seconds_when_the_clock_is_changed_between_two_workers(
    tmp_path: Path, turned_s: float
) -> None:
    async def scenario() -> None:
        door, clock = Door(), WrongClock()
        path = tmp_path / "journal.db"
        async with sea_on(path) as first:
            run = await start(first, door)
        clock.turned_s = turned_s
        door.open.set()
        async with sea_on(path, clock=clock) as second:
            outcome = await (await second.resume(run.id, shop(door))).outcome()
        assert outcome.status == "completed"
        assert outcome.active_s < PATIENCE_S

    asyncio.run(scenario())
