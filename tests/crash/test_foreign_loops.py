"""kill -9 of a process whose framework goes on from a checkpoint of its own, or from none: the bank has one refund."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal, get_args

import msgspec
import pytest

from crash.foreign_worker import ANSWER, Checkpoint, ForeignJob, ForeignReport, count_refunds
from crash.forking import Forks
from crash.job import Death

Workers = Forks[ForeignJob, ForeignReport]


@pytest.fixture(scope="module")
def foreign_workers() -> Iterator[Workers]:
    made: Workers = Forks("crash.foreign_worker", ForeignReport)
    yield made
    made.close()


def finish(workers: Workers, job: ForeignJob) -> ForeignReport:
    report = workers.run(msgspec.structs.replace(job, death=None))
    assert report is not None
    return report


def check_finished(job: ForeignJob, report: ForeignReport) -> None:
    assert report.error == "", job
    assert (report.status, report.answer) == ("completed", ANSWER), job
    assert count_refunds(job) == 1, job
    assert report.asked <= 2, job


@pytest.mark.parametrize("where", ["journal", "world"])
@pytest.mark.parametrize(
    ("checkpoint", "after"),
    [("none", False), ("none", True), ("each", False), ("each", True), ("late", True), ("inputs", True)],
)
def test_a_framework_may_die_at_any_write_and_any_call(
    foreign_workers: Workers,
    tmp_path: Path,
    checkpoint: Checkpoint,
    where: Literal["journal", "world"],
    after: bool,
) -> None:
    for at in count(1):
        directory = tmp_path / str(at)
        directory.mkdir()
        job = ForeignJob(directory=str(directory), death=Death(at, where, after), checkpoint=checkpoint)
        report = foreign_workers.run(job)
        if report is not None:  # the run has fewer than that
            assert at > 6
            check_finished(job, report)
            return
        check_finished(job, finish(foreign_workers, job))


@pytest.mark.parametrize("seed", range(4))
def test_a_framework_survives_one_death_after_another(
    foreign_workers: Workers, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    job = ForeignJob(directory=str(tmp_path), checkpoint=rng.choice(get_args(Checkpoint)))
    for _ in range(8):
        where: Literal["journal", "world"] = rng.choice(("journal", "world"))
        death = Death(rng.randint(1, 8), where, rng.random() < 0.5)
        report = foreign_workers.run(msgspec.structs.replace(job, death=death))
        if report is not None:
            break
    check_finished(job, finish(foreign_workers, job))
