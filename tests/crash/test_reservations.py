"""A worker may die at any write: once its run has ended, nothing is reserved in any account."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from crash.check import check_finished
from crash.fork_server import ForkServer
from crash.job import Death, Job, open_journal
from seawall.journal.protocol import Account, Spend

SHARDS = 3


def read_accounts(job: Job) -> list[Account]:
    async def read() -> list[Account]:
        journal = open_journal(msgspec.structs.replace(job, death=None))
        try:
            return await journal.accounts()
        finally:
            await journal.close()

    return asyncio.run(read())


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("where", ["journal", "world"])
def test_nothing_stays_reserved_once_the_run_has_ended_wherever_a_worker_died(
    workers: ForkServer, tmp_path: Path, where: Literal["journal", "world"], after: bool, shard: int
) -> None:
    for at in count(shard + 1, SHARDS):
        directory = tmp_path / str(at)
        directory.mkdir()
        job = Job(directory=str(directory), death=Death(at, where, after), capped=True)
        survived = workers.run(job)
        report = survived or workers.run(msgspec.structs.replace(job, death=None))

        assert report is not None
        check_finished(job, report)
        accounts = read_accounts(job)
        assert accounts
        assert {account.reserved for account in accounts} == {Spend()}, (at, accounts)
        if survived is not None:  # the run has fewer writes than that
            assert at > 20
            return
