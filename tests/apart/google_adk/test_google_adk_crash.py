"""kill -9 of a process that runs an application of Google ADK, with ADK's sessions or without: the bank has one refund."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from crash.foreign_check import die_at_each, every_death
from crash.foreign_worker import Checkpoint, ForeignJob, ForeignReport
from crash.forking import Forks

Workers = Forks[ForeignJob, ForeignReport]


@pytest.fixture(scope="module")
def adk_workers() -> Iterator[Workers]:
    made: Workers = Forks("apart.google_adk.adk_worker", ForeignReport)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("checkpoint", "where", "after", "every"),
    [
        ("none", "world", True, 1),
        ("each", "world", True, 1),
        ("each", "journal", False, 4),
    ],
)
def test_an_application_may_die_at_any_write_and_any_call(
    adk_workers: Workers,
    tmp_path: Path,
    checkpoint: Checkpoint,
    where: Literal["journal", "world"],
    after: bool,
    every: int,
) -> None:
    job = ForeignJob(directory=str(tmp_path), checkpoint=checkpoint)
    die_at_each(every_death(where, after, every), adk_workers, job)
