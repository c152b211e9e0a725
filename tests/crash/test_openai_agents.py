"""kill -9 of a process that runs an agent of the OpenAI Agents SDK: the bank has one refund, or a person was asked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal, get_args

import msgspec
import pytest

from crash.agents_worker import ANSWER, AgentsJob, AgentsReport, History, count_refunds
from crash.forking import Forks
from crash.job import Death

Workers = Forks[AgentsJob, AgentsReport]


@pytest.fixture(scope="module")
def agents_workers() -> Iterator[Workers]:
    made: Workers = Forks("crash.agents_worker", AgentsReport)
    yield made
    made.close()


@pytest.mark.parametrize("where", ["journal", "world"])
@pytest.mark.parametrize("history", get_args(History))
def test_a_run_of_the_sdk_may_die_at_any_write_and_any_call(
    agents_workers: Workers, tmp_path: Path, history: History, where: Literal["journal", "world"]
) -> None:
    for at in count(1, 3 if history == "session" else 1):
        directory = tmp_path / str(at)
        directory.mkdir()
        job = AgentsJob(directory=str(directory), death=Death(at, where, after=at % 2 == 0), history=history)
        report = agents_workers.run(job)
        ended = report is not None  # the run has fewer writes or calls than that
        if report is None:
            report = agents_workers.run(msgspec.structs.replace(job, death=None))
        assert report is not None
        assert report.error == "", job
        assert (report.status, report.answer) == ("completed", ANSWER), job
        assert count_refunds(job) == 1, job
        assert report.asked <= 3, job
        if ended:
            assert at > 6
            return
