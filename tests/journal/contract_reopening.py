"""What every journal does when a run goes on that has ended."""

from __future__ import annotations

import asyncio

import pytest

from journal.story import Open, begin, finish, opened, step, whole_run
from seawall.core.errors import Fenced, Misused, Refused
from seawall.core.events import CommandTaken, LimitsRaised
from seawall.core.limits import Limits
from seawall.journal.protocol import Command

RAISED = LimitsRaised(at=5.0, limits=Limits(tool_calls=99), by="ann")


class ReopeningContract:
    """Reopening a run."""

    def test_a_run_that_has_ended_goes_on_and_ends_again(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [b"x"])
                before = await journal.row("r-1")
                for times in range(3):
                    row = await journal.row("r-1")
                    assert row.state == "ended"
                    await journal.reopen("r-1", row.events, [RAISED], {})
                    row = await journal.row("r-1")
                    assert (row.state, row.ended_at, row.summary, row.owner) == (
                        "interrupted",
                        None,
                        None,
                        None,
                    )
                    assert (await journal.events("r-1"))[-1] == RAISED
                    assert (await journal.verify()).ok
                    lease = await journal.take("r-1")
                    assert lease.epoch == before.epoch + 2 * (times + 1)
                    await step(journal, lease, row.events, b"%d" % times)
                    await finish(journal, lease, row.events + 2, "halted" if times < 2 else "completed")
                    assert (await journal.verify()).ok
                row = await journal.row("r-1")
                assert row.summary is not None
                assert (row.state, row.summary.status) == ("ended", "completed")

        asyncio.run(scenario())

    def test_a_command_that_was_taken_before_the_end_is_not_taken_again(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                await journal.send("r-1", Command(kind="late"))
                await journal.append(lease, 1, [CommandTaken(at=1.0, inbox=0, command="late")], {})
                await finish(journal, lease, 2, "halted")
                await journal.reopen("r-1", 3, [RAISED], {})
                await journal.append(await journal.take("r-1"), 4, [], {}, waiting=True)
                assert await journal.woken_runs(["desk"]) == []
                await journal.send("r-1", Command(kind="late"))
                assert await journal.woken_runs(["desk"]) == ["r-1"]
                assert (await journal.verify()).ok

        asyncio.run(scenario())

    def test_what_the_last_owner_still_sends_is_fenced(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                await finish(journal, lease, 1, "halted")
                await journal.reopen("r-1", 2, [RAISED], {})
                with pytest.raises(Fenced):
                    await step(journal, lease, 3, b"late")

        asyncio.run(scenario())

    def test_a_run_that_has_not_ended_or_has_gone_on_is_not_reopened(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                with pytest.raises(Misused, match="run r-1 has not ended"):
                    await journal.reopen("r-1", 1, [RAISED], {})
                await finish(journal, lease, 1, "halted")
                with pytest.raises(Misused, match="run r-1 has 2 events, not 1"):
                    await journal.reopen("r-1", 1, [RAISED], {})
                with pytest.raises(Misused, match="r-2"):
                    await journal.reopen("r-2", 1, [RAISED], {})
                await journal.prune(before=1e12)
                with pytest.raises(Misused, match="its events were pruned"):
                    await journal.reopen("r-1", 2, [RAISED], {})
                assert (await journal.verify()).ok

        asyncio.run(scenario())

    def test_a_run_is_reopened_only_as_the_newest_of_its_session(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [b"x"], session="s-1")
                await whole_run(journal, "r-2", [b"x"], session="s-1")
                with pytest.raises(Refused, match="run r-2 was started after run r-1 had ended"):
                    await journal.reopen("r-1", 4, [RAISED], {})
                await journal.reopen("r-2", 4, [RAISED], {})
                assert (await journal.row("r-2")).state == "interrupted"

        asyncio.run(scenario())
