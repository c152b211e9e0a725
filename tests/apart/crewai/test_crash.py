"""kill -9 of a process that runs a crew of CrewAI: the bank has one refund."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from apart.crewai.crash_worker import CrewJob
from crash.foreign_check import die_at_each, every_death
from crash.foreign_worker import ForeignReport, count_refunds
from crash.forking import Forks
from crash.job import Death

Workers = Forks[CrewJob, ForeignReport]


@pytest.fixture(scope="module")
def crew_workers() -> Iterator[Workers]:
    made: Workers = Forks("apart.crewai.crash_worker", ForeignReport)
    yield made
    made.close()


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
    job = CrewJob(directory=str(tmp_path), way=way, written=written)
    die_at_each(every_death(where, after, every), crew_workers, job)


def test_without_the_gate_the_bank_has_two_refunds(crew_workers: Workers, tmp_path: Path) -> None:
    job = CrewJob(directory=str(tmp_path), death=Death(6, "world", True), gated=False)
    assert crew_workers.run(job) is None
    crew_workers.run(msgspec.structs.replace(job, death=None))

    assert count_refunds(job) == 2
