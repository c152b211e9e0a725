"""kill -9 of a process with LangChain's own agent, which goes on from LangGraph's checkpoint in SQLite: one refund."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec
import pytest

from crash.foreign_check import die_at_each, every_death
from crash.foreign_worker import ForeignReport, count_refunds
from crash.forking import Forks
from crash.job import Death
from crash.langchain_worker import Durability, LangChainJob

Workers = Forks[LangChainJob, ForeignReport]


@pytest.fixture(scope="module")
def langchain_workers() -> Iterator[Workers]:
    made: Workers = Forks("crash.langchain_worker", ForeignReport)
    yield made
    made.close()


@pytest.mark.parametrize(("where", "after"), [("journal", True), ("world", False), ("world", True)])
@pytest.mark.parametrize("durability", get_args(Durability))
def test_an_agent_may_die_at_any_write_and_any_call(
    langchain_workers: Workers,
    tmp_path: Path,
    durability: Durability,
    where: Literal["journal", "world"],
    after: bool,
) -> None:
    # without one, the thread and its messages say which request it is
    request_id = None if after else "request-1"
    job = LangChainJob(directory=str(tmp_path), durability=durability, request_id=request_id)
    die_at_each(every_death(where, after), langchain_workers, job, fewest=5)


def test_without_the_gate_a_refund_is_made_twice(langchain_workers: Workers, tmp_path: Path) -> None:
    job = LangChainJob(directory=str(tmp_path), death=Death(5, "world", True), gated=False)
    assert langchain_workers.run(job) is None
    assert langchain_workers.run(msgspec.structs.replace(job, death=None)) is not None
    assert count_refunds(job) == 2
