"""kill -9 of a process that runs an agent, with its session's saved state or without: the bank has one refund."""

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
def agent_workers() -> Iterator[Workers]:
    made: Workers = Forks("apart.agent_framework.agents_worker", ForeignReport)
    yield made
    made.close()


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
    job = ForeignJob(directory=str(tmp_path), checkpoint=checkpoint)
    die_at_each(every_death(where, after, every), agent_workers, job)
