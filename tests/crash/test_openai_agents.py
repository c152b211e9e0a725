"""kill -9 of a process that runs an agent of the OpenAI Agents SDK: the bank has one refund, or a person was asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import pytest

from crash.agents_worker import AgentsJob, History
from crash.foreign_check import die_at_each
from crash.foreign_worker import ForeignReport
from crash.forking import Forks
from crash.job import Death

Workers = Forks[AgentsJob, ForeignReport]


@pytest.fixture(scope="module")
def agents_workers() -> Iterator[Workers]:
    made: Workers = Forks("crash.agents_worker", ForeignReport)
    yield made
    made.close()


@pytest.mark.parametrize("where", ["journal", "world"])
@pytest.mark.parametrize("history", get_args(History))
def test_a_run_of_the_sdk_may_die_at_any_write_and_any_call(
    agents_workers: Workers, tmp_path: Path, history: History, where: Literal["journal", "world"]
) -> None:
    every = 3 if history == "session" else 1
    job = AgentsJob(directory=str(tmp_path), history=history)
    for at in (1, 1 + every):
        death = Death(at, where, after=at % 2 == 0, every=2 * every)
        die_at_each(death, agents_workers, job, asked=3)
