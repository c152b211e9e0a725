"""What every journal does. The tests of an implementation subclass these and say how it is opened."""

from __future__ import annotations

import asyncio

import pytest

from journal.contract_accounts import AccountsContract, SharedAccountsContract
from journal.contract_decisions import DecisionContract
from journal.contract_effects import EffectsContract, SharedEffectsContract
from journal.contract_inbox import InboxContract
from journal.contract_memory import MemoryContract, MemoryHistoryContract
from journal.contract_memory_collection import MemoryCollectionContract
from journal.contract_records import RecordsContract, SharedRecordsContract
from journal.contract_reopening import ReopeningContract
from journal.contract_retention import RetentionContract
from journal.contract_runs import LeaseContract, RecordContract, RunContract
from journal.contract_sessions import SessionContract, SharedSessionContract
from journal.story import (
    Open,
    begin,
    opened,
    step,
    whole_run,
)
from seawall.core.errors import Fenced, Refused
from seawall.journal.protocol import Command


class JournalContract(
    RecordContract,
    RunContract,
    LeaseContract,
    SessionContract,
    InboxContract,
    RecordsContract,
    AccountsContract,
    EffectsContract,
    DecisionContract,
    MemoryContract,
    MemoryHistoryContract,
    MemoryCollectionContract,
    RetentionContract,
    ReopeningContract,
):
    """Everything that a journal does for one process."""


class SharedContract(
    SharedSessionContract, SharedRecordsContract, SharedAccountsContract, SharedEffectsContract
):
    """What a journal does when several handles, of one or more processes, have it open."""

    def test_what_one_wrote_the_other_reads(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                lease = await begin(one, "r-1")
                await begin(two, "r-2")
                await step(one, lease, 1, b"x")

                assert await two.events("r-1") == await one.events("r-1")
                assert [row.run for row in await one.runs()] == ["r-2", "r-1"]
                assert (await two.verify()).ok

        asyncio.run(scenario())

    def test_a_live_owner_elsewhere_is_respected_and_a_closed_one_is_not(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as two:
                async with opened(open_journal) as one:
                    lease = await begin(one, "r-1")
                    assert (await two.row("r-1")).state == "running"
                    with pytest.raises(Refused, match="r-1"):
                        await two.take("r-1")
                assert (await two.row("r-1")).state == "interrupted"
                assert (await two.take("r-1")).epoch == lease.epoch + 1

        asyncio.run(scenario())

    def test_an_owner_that_was_overtaken_is_fenced(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                lease = await begin(one, "r-1")
                await step(one, lease, 1, b"x")
                new = await two.take("r-1", force=True)
                with pytest.raises(Fenced, match="epoch 2"):
                    await step(one, lease, 3, b"y")
                await step(two, new, 3, b"z")

                assert len(await one.events("r-1")) == 5

        asyncio.run(scenario())

    def test_a_command_reaches_the_owner_s_watcher(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                await begin(one, "r-1")
                heard = asyncio.Event()
                one.watch(heard.set)
                await two.send("r-1", Command(kind="cancel"))
                async with asyncio.timeout(60):
                    while not await one.inbox("r-1"):  # it may hear of the run's own beginning first
                        heard.clear()
                        await heard.wait()

                assert [item.command.kind for item in await one.inbox("r-1")] == ["cancel"]

        asyncio.run(scenario())

    def test_a_request_that_two_handles_retry_is_one_run(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                leases = await asyncio.gather(
                    begin(one, "r-1", request_id="q"), begin(two, "r-2", request_id="q")
                )

                assert len({lease.run for lease in leases}) == 1
                assert sorted(lease.epoch for lease in leases) == [0, 1]

        asyncio.run(scenario())

    def test_a_reopened_journal_has_everything(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [b"x"])
                head = (await journal.verify()).head
            async with opened(open_journal) as journal:
                assert (await journal.verify()).head == head
                assert len(await journal.events("r-1")) == 4

        asyncio.run(scenario())
