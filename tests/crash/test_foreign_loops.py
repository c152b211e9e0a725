"""kill -9 of a process whose framework goes on from a checkpoint of its own, or from none: the bank has one refund."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec
import pytest

from crash.foreign_check import check_finished, die_at_each, every_death
from crash.foreign_worker import Checkpoint, ForeignJob, ForeignReport
from crash.forking import Forks
from crash.job import Death

Workers = Forks[ForeignJob, ForeignReport]


@pytest.fixture(scope="module")
def foreign_workers() -> Iterator[Workers]:
    made: Workers = Forks("crash.foreign_worker", ForeignReport)
    yield made
    made.close()


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
    job = ForeignJob(directory=str(tmp_path), checkpoint=checkpoint)
    die_at_each(every_death(where, after), foreign_workers, job)


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
    check_finished(job, foreign_workers.run(job))
