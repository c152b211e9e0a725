"""F01 and F02: kill -9 at every write of a run, and on both sides of every call that reaches the world."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from crash.check import check_finished
from crash.fork_server import ForkServer, run_in_new_interpreter
from crash.job import Death, Job, Report
from crash.world import count_times, read_calls

SHARDS = 6
"""The kill points of one kind are divided among this many tests, so that several processes can run them."""
DEATHS = 12
"""Deaths of one run in the random tests."""
DISK_STRIDE = 11
"""Every how many writes of the disk a worker dies: all writes would be some hundred deaths, and a prime number meets
pages of every kind."""


def finish(workers: ForkServer, job: Job) -> Report:
    report = workers.run(msgspec.structs.replace(job, death=None))
    assert report is not None
    return report


def job_in(directory: Path, death: Death | None = None, *, capped: bool = False) -> Job:
    directory.mkdir()
    return Job(directory=str(directory), death=death, capped=capped)


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("where", ["journal", "world"])
def test_a_worker_may_die_at_any_write_and_any_call(
    workers: ForkServer, tmp_path: Path, where: Literal["journal", "world"], after: bool, shard: int
) -> None:
    # with a cap, what each call reserves and gives back are writes, too
    job = job_in(tmp_path / "run", Death(shard + 1, where, after, every=SHARDS), capped=True)
    copies, report = workers.copy_at_each(job)
    assert len(copies) * SHARDS + shard + 1 > 20
    check_finished(job, report)
    for copy in copies:
        check_finished(copy, finish(workers, copy))


@pytest.mark.parametrize("shard", range(3))
def test_a_worker_may_die_in_the_middle_of_a_write_to_the_disk(
    workers: ForkServer, tmp_path: Path, shard: int
) -> None:
    for at in (1 + DISK_STRIDE * shard, 1 + DISK_STRIDE * (shard + 3)):
        job = job_in(tmp_path / str(at), Death(at, "disk", after=at % 2 == 0, every=6 * DISK_STRIDE))
        copies, report = workers.copy_at_each(job)
        assert copies
        check_finished(job, report)
        for copy in copies:
            check_finished(copy, finish(workers, copy))


@pytest.mark.parametrize(
    "death",
    [Death(9, every=1), Death(17, after=True, every=1), Death(7, "world", True, every=1)]
    + [Death(60, "disk", torn, every=1) for torn in (False, True)],
    ids=str,
)
def test_a_copy_taken_at_a_stop_is_what_a_kill_leaves(
    workers: ForkServer, tmp_path: Path, death: Death
) -> None:
    job = job_in(tmp_path / "run", death)
    pid = workers.run_until_stopped(job)
    shutil.copytree(job.directory, tmp_path / "copy")

    workers.kill(pid)

    left, copied = (
        {path.name: path.read_bytes() for path in (tmp_path / each).iterdir()} for each in ("run", "copy")
    )
    assert left.keys() >= {"journal.db", "journal.db-wal", "journal.db-shm"}
    assert left == copied


@pytest.mark.parametrize("seed", range(12))
def test_a_run_survives_one_death_after_another(workers: ForkServer, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    job = job_in(tmp_path / "run")
    for _ in range(DEATHS):
        where: Literal["journal", "world", "disk"] = rng.choice(("journal", "world", "disk"))
        at = rng.randint(1, 60) if where == "disk" else rng.randint(1, 8)
        death = Death(at, where, rng.random() < 0.5)
        report = workers.run(msgspec.structs.replace(job, death=death))
        if report is not None:
            break
    check_finished(job, finish(workers, job))


@pytest.mark.parametrize(
    "death", [Death(9), Death(17, after=True), Death(16, "world", after=True), Death(17, "world")], ids=str
)
def test_the_same_with_a_new_interpreter_for_each_worker(tmp_path: Path, death: Death) -> None:
    job = job_in(tmp_path / "run", death)

    assert run_in_new_interpreter(job) is None
    report = run_in_new_interpreter(msgspec.structs.replace(job, death=None))

    assert report is not None
    check_finished(job, report)


def test_a_payment_that_was_made_and_not_recorded_waits_for_a_person(
    workers: ForkServer, tmp_path: Path
) -> None:
    job = job_in(tmp_path / "run")
    paying = paying_call(workers, tmp_path)

    workers.run(msgspec.structs.replace(job, death=Death(paying, "world", after=True)))
    waiting = workers.run(msgspec.structs.replace(job, settles=False))

    assert waiting is not None
    assert waiting.waiting is not None
    assert waiting.waiting.what == "pay"
    report = finish(workers, job)
    assert report.settled == 1
    check_finished(job, report)


def test_a_payment_that_was_intended_and_not_made_is_made_once_a_person_has_approved_it(
    workers: ForkServer, tmp_path: Path
) -> None:
    job = job_in(tmp_path / "run", Death(paying_call(workers, tmp_path), "world"))

    workers.run(job)
    report = finish(workers, job)

    assert report.settled == 1
    assert report.outcome is not None
    assert [effect.state for effect in report.outcome.effects] == ["failed", "committed", "committed"]
    check_finished(job, report)


def test_an_effect_that_honours_its_key_is_attempted_again_under_it(
    workers: ForkServer, tmp_path: Path
) -> None:
    job = job_in(tmp_path / "run", Death(paying_call(workers, tmp_path) + 1, "world", after=True))

    workers.run(job)
    report = finish(workers, job)

    assert report.settled == 0
    check_finished(job, report)
    assert list(count_times(job.world, "notify").values()) == [2]


def paying_call(workers: ForkServer, tmp_path: Path) -> int:
    """Returns the number of the call that pays, in a run without a crash."""
    job = job_in(tmp_path / "undisturbed")
    check_finished(job, finish(workers, job))
    return next(call.number for call in read_calls(job.world) if call.name == "pay")
