"""kill -9 of a process that runs an agent, with its session's saved state or without: the bank has one refund."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from crash.foreign_worker import ANSWER, Checkpoint, ForeignJob, ForeignReport, count_refunds
from crash.forking import Forks
from crash.job import Death

Workers = Forks[ForeignJob, ForeignReport]


@pytest.fixture(scope="module")
def agent_workers() -> Iterator[Workers]:
    made: Workers = Forks("apart.agent_framework.agents_worker", ForeignReport)
    yield made
    made.close()


def check_finished(job: ForeignJob, report: ForeignReport | None) -> None:
    assert report is not None, job
    assert report.error == "", job
    assert (report.status, report.answer) == ("completed", ANSWER), job
    assert count_refunds(job) == 1, job
    assert report.asked <= 2, job


@pytest.mark.parametrize(
    ("checkpoint", "where", "after", "every"),
    [
        ("none", "world", True, 1),
        ("late", "world", False, 1),
        ("each", "world", True, 1),
        ("late", "journal", False, 3),
        ("each", "journal", False, 3),
    ],
)
def test_an_agent_may_die_at_any_write_and_any_call(
    agent_workers: Workers,
    tmp_path: Path,
    checkpoint: Checkpoint,
    where: Literal["journal", "world"],
    after: bool,
    every: int,
) -> None:
    for at in count(1, every):
        directory = tmp_path / str(at)
        directory.mkdir()
        job = ForeignJob(directory=str(directory), death=Death(at, where, after), checkpoint=checkpoint)
        report = agent_workers.run(job)
        if report is not None:  # the run has fewer than that
            assert at > 6
            check_finished(job, report)
            return
        check_finished(job, agent_workers.run(msgspec.structs.replace(job, death=None)))
