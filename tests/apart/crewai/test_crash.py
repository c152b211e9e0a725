"""kill -9 of a process that runs a crew of CrewAI: the bank has one refund."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from apart.crewai.crash_worker import CrewJob
from crash.foreign_worker import ANSWER, ForeignReport, count_refunds
from crash.forking import Forks
from crash.job import Death

Workers = Forks[CrewJob, ForeignReport]


@pytest.fixture(scope="module")
def crew_workers() -> Iterator[Workers]:
    made: Workers = Forks("apart.crewai.crash_worker", ForeignReport)
    yield made
    made.close()


def check_finished(job: CrewJob, report: ForeignReport | None) -> None:
    assert report is not None, job
    assert report.error == "", job
    assert (report.status, report.answer) == ("completed", ANSWER), job
    assert count_refunds(job) == 1, job
    assert report.asked <= 2, job


@pytest.mark.parametrize(
    ("way", "written", "where", "after", "every"),
    [
        ("sync", False, "world", True, 1),
        ("sync", True, "world", True, 1),
        ("async", False, "world", False, 1),
        ("sync", False, "journal", False, 3),
    ],
)
def test_a_crew_may_die_at_any_write_and_any_call(
    crew_workers: Workers,
    tmp_path: Path,
    way: str,
    written: bool,
    where: Literal["journal", "world"],
    after: bool,
    every: int,
) -> None:
    for at in count(1, every):
        directory = tmp_path / str(at)
        directory.mkdir()
        death = Death(at, where, after)
        job = CrewJob(directory=str(directory), death=death, way=way, written=written)
        report = crew_workers.run(job)
        if report is not None:  # the run has fewer than that
            assert at > 6
            check_finished(job, report)
            return
        check_finished(job, crew_workers.run(msgspec.structs.replace(job, death=None)))


def test_without_the_gate_the_bank_has_two_refunds(crew_workers: Workers, tmp_path: Path) -> None:
    job = CrewJob(directory=str(tmp_path), death=Death(6, "world", True), gated=False)
    assert crew_workers.run(job) is None
    crew_workers.run(msgspec.structs.replace(job, death=None))

    assert count_refunds(job) == 2
