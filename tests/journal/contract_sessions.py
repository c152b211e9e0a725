"""What every journal does with the runs of a session: at most one of them is at work."""

from __future__ import annotations

import asyncio

import pytest

from journal.story import INTENT, Open, begin, bodies, finish, intended, opened, started, step
from seawall.core.errors import Refused
from seawall.journal.protocol import Journal, Lease, RunFilter


async def park(journal: Journal, run: str, **fields: str | None) -> Lease:
    """Creates a run that waits at its first step."""
    return await journal.create(started(run, **fields), [intended(1)], bodies(INTENT, b"{}"), waiting=True)


async def follow(journal: Journal, run: str, after: str, since: tuple[str, int] | None = None) -> Lease:
    """Creates a run that begins at once after another one of session `s`."""
    first = started(run, session="s")
    return await journal.create(first, [intended(1)], bodies(INTENT, b"{}"), after=after, since=since)


class SessionContract:
    """Runs of one session, one after another."""

    def test_a_run_begins_while_the_one_before_it_is_parked(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await park(journal, "r-1", session="s")
                assert (await follow(journal, "r-2", "r-1", ("r-1", 2))).epoch == 1

        asyncio.run(scenario())

    def test_no_run_goes_on_from_a_conversation_that_has_gone_on(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await park(journal, "r-1", session="s")
                lease = await journal.take("r-1")
                await step(journal, lease, 2, b"x")
                await finish(journal, lease, 4)
                with pytest.raises(Refused, match="run r-1 has gone on") as refused:
                    await follow(journal, "r-2", "r-1", ("r-1", 2))
                assert refused.value.guard == "session"
                assert len(await journal.runs()) == 1

        asyncio.run(scenario())

    def test_no_run_is_taken_or_goes_on_while_another_of_its_session_is_at_work(
        self, open_journal: Open
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                parked = await park(journal, "r-1", session="s")
                lease = await follow(journal, "r-2", "r-1")
                at_work = RunFilter(state="running", session="s", tenant="acme")
                assert [row.run for row in await journal.runs(at_work)] == ["r-2"]
                with pytest.raises(Refused, match="run r-2 is at work, so run r-1 waits") as refused:
                    await journal.take("r-1")
                assert refused.value.guard == "session"
                with pytest.raises(Refused, match="run r-2 is at work"):
                    await journal.take("r-1", force=True)
                with pytest.raises(Refused, match="run r-2 is at work"):
                    await journal.append(parked, 2, [], {}, waiting=False)
                await journal.append(lease, 2, [], {}, waiting=True)
                assert (await journal.take("r-1")).epoch == 2

        asyncio.run(scenario())

    def test_a_run_that_was_taken_is_at_work_before_it_records_anything(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await park(journal, "r-1", session="s")
                await journal.take("r-1")
                with pytest.raises(Refused, match="run r-1 is at work, so run r-2 waits"):
                    await follow(journal, "r-2", "r-1", ("r-1", 2))

        asyncio.run(scenario())

    def test_a_run_in_line_blocks_none_and_begins_when_none_is_at_work(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await park(journal, "r-1", session="s")
                lease = await begin(journal, "r-2", session="s")
                taken = await journal.take("r-1")
                with pytest.raises(Refused, match="run r-1 is at work, so run r-2 waits"):
                    await journal.append(lease, 1, [intended(1)], bodies(b"{}"))
                await journal.append(taken, 2, [], {}, waiting=True)
                await journal.append(lease, 1, [intended(1)], bodies(b"{}"), since=("r-1", 2))
                assert len(await journal.events("r-2")) == 2

        asyncio.run(scenario())

    def test_a_run_in_line_may_end_while_another_is_at_work(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.create(started("r-1", session="s"), [intended(1)], bodies(INTENT, b"{}"))
                lease = await begin(journal, "r-2", session="s")
                await finish(journal, lease, 1, "cancelled")
                assert (await journal.row("r-2")).state == "ended"

        asyncio.run(scenario())

    def test_runs_of_other_sessions_and_tenants_are_none_of_its_business(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                for number, fields in enumerate(({"session": "t"}, {"session": "s", "tenant": "x"}, {})):
                    await journal.create(
                        started(f"r-{number}", **fields), [intended(1)], bodies(INTENT, b"{}")
                    )
                assert (await follow(journal, "r-9", "")).epoch == 1

        asyncio.run(scenario())

    def test_of_many_that_would_be_at_work_at_the_same_moment_one_is(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                for number in range(4):
                    await park(journal, f"r-{number}", session="s")
                queued = await begin(journal, "r-8", session="s")
                outcomes = await asyncio.gather(
                    *(journal.take(f"r-{number}") for number in range(4)),
                    journal.append(queued, 1, [intended(1)], bodies(b"{}")),
                    return_exceptions=True,
                )
                assert [type(outcome) for outcome in outcomes].count(Refused) == 4

        asyncio.run(scenario())


class SharedSessionContract:
    """Runs of one session in several processes."""

    def test_a_run_whose_owner_has_gone_blocks_none(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as two:
                async with opened(open_journal) as one:
                    await park(one, "r-1", session="s")
                    await follow(one, "r-2", "r-1")
                    with pytest.raises(Refused, match="run r-2 is at work"):
                        await two.take("r-1")
                assert (await two.take("r-1")).epoch == 2

        asyncio.run(scenario())
