"""What every journal does with runs, their events and bodies, and leases."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from journal.story import (
    INTENT,
    Open,
    begin,
    bodies,
    done,
    finish,
    intended,
    opened,
    started,
    step,
    whole_run,
)
from seawall.core.canonical import ref_of
from seawall.core.errors import Fenced, Misused, Refused, SeawallBug
from seawall.journal.protocol import Command, Journal, Lease, RunFilter, Summary


async def start_at(journal: Journal, run: str, at: float, **fields: str | None) -> Lease:
    """Creates a run that started at `at`."""
    return await journal.create(msgspec.structs.replace(started(run, **fields), at=at), [], bodies(INTENT))


async def asked(journal: Journal, run: str, request: str, **fields: str | None) -> Lease:
    """Creates a run with this request."""
    content = request.encode()
    return await journal.create(started(run, intent=ref_of(content), **fields), [], bodies(content))


class RecordContract:
    """Runs, events and bodies."""

    def test_what_was_appended_reads_back_in_order(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                events = await step(journal, lease, 1, b"one")
                events += await step(journal, lease, 3, b"two")

                assert await journal.events("r-1") == [started("r-1"), *events]
                assert await journal.events("r-1", after=0) == events
                assert await journal.events("r-1", after=1) == events[1:]
                assert await journal.events("r-1", after=4) == []

        asyncio.run(scenario())

    def test_the_first_events_may_come_with_the_run(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await journal.create(started("r-1"), [intended(1)], bodies(INTENT, b"{}"))
                await journal.append(lease, 2, [done(1, b"x")], bodies(b"x"))

                assert await journal.events("r-1") == [started("r-1"), intended(1), done(1, b"x")]

        asyncio.run(scenario())

    def test_appends_become_durable_in_the_order_of_the_calls(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                pending = [
                    journal.append(lease, 1 + n, [done(n, b"%d" % n)], bodies(b"%d" % n)) for n in range(200)
                ]
                await pending[-1]

                found = await journal.events("r-1", after=0)
                assert found == [done(n, b"%d" % n) for n in range(200)]
                await asyncio.gather(*pending)

        asyncio.run(scenario())

    def test_an_append_that_nobody_awaits_is_recorded_all_the_same(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                _ = journal.append(lease, 1, [intended(1)], bodies(b"{}"))
                await journal.append(lease, 2, [done(1, b"x")], bodies(b"x"))

                assert len(await journal.events("r-1")) == 3

        asyncio.run(scenario())

    def test_a_cancelled_wait_does_not_undo_the_append(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                waiter = asyncio.ensure_future(journal.append(lease, 1, [intended(1)], bodies(b"{}")))
                waiter.cancel()
                await journal.append(lease, 2, [done(1, b"x")], bodies(b"x"))

                assert await journal.events("r-1", after=0) == [intended(1), done(1, b"x")]

        asyncio.run(scenario())

    def test_a_gap_in_a_run_is_never_recorded(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                skipping = journal.append(lease, 2, [done(1, b"x")], {})
                following = journal.append(lease, 1, [intended(1)], {})

                with pytest.raises(SeawallBug, match=r"run r-1: append at seq 2, but the next one is 1"):
                    await skipping
                with pytest.raises(SeawallBug, match="seq 2"):
                    await following
                assert await journal.events("r-1") == [started("r-1")]

        asyncio.run(scenario())

    def test_a_run_whose_append_failed_goes_on_once_it_is_taken_again(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                with pytest.raises(SeawallBug):
                    await journal.append(lease, 7, [done(1, b"x")], {})
                again = await journal.take("r-1")
                with pytest.raises(Fenced):  # the earlier failure is not what the old owner must know
                    await journal.append(lease, 1, [done(1, b"x")], {})
                await journal.append(again, 1, [done(1, b"x")], {})

                assert again.epoch == lease.epoch + 1
                assert len(await journal.events("r-1")) == 2

        asyncio.run(scenario())

    def test_one_run_s_failure_is_not_another_s(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                bad, good = await begin(journal, "r-1"), await begin(journal, "r-2")
                failing = journal.append(bad, 5, [done(1, b"x")], {})
                await journal.append(good, 1, [done(1, b"x")], {})

                with pytest.raises(SeawallBug):
                    await failing
                assert len(await journal.events("r-2")) == 2

        asyncio.run(scenario())

    def test_a_body_is_stored_once_a_tenant_and_read_by_no_other(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1")
                await begin(journal, "r-2")
                await begin(journal, "r-3", tenant="other")

                assert await journal.bodies("acme", [ref_of(INTENT)]) == bodies(INTENT)
                assert await journal.bodies("other", [ref_of(INTENT)]) == bodies(INTENT)
                assert await journal.bodies("third", [ref_of(INTENT)]) == {}
                assert (await journal.verify()).bodies == 2

        asyncio.run(scenario())

    def test_a_body_may_be_empty_big_or_no_text(self, open_journal: Open) -> None:
        async def scenario() -> None:
            contents = [b"", b"\xff\x00\xfe" * 10, b"a" * 3_000_000]
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                await journal.append(lease, 1, [done(1, c) for c in contents], bodies(*contents))

                assert await journal.bodies("acme", [ref_of(c) for c in contents]) == bodies(*contents)

        asyncio.run(scenario())

    def test_an_unknown_run_is_named(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = Lease("r-9", "acme", journal.owner, 1)
                with pytest.raises(Misused, match="r-9"):
                    await journal.append(lease, 0, [intended(1)], {})
                for call in (journal.events, journal.row, journal.take, journal.inbox):
                    with pytest.raises(Misused, match="r-9"):
                        await call("r-9")
                with pytest.raises(Misused, match="r-9"):
                    await journal.send("r-9", Command(kind="cancel"))
                with pytest.raises(Misused, match="r-9"):
                    await journal.find("r-9")

        asyncio.run(scenario())

    def test_a_closed_journal_says_so(self, open_journal: Open) -> None:
        async def scenario() -> None:
            journal = open_journal()
            lease = await begin(journal, "r-1")
            await journal.close()
            await journal.close()
            with pytest.raises(Misused, match="closed"):
                await journal.append(lease, 1, [intended(1)], {})
            with pytest.raises(Misused, match="closed"):
                await journal.events("r-1")

        asyncio.run(scenario())


class RunContract:
    """Creating, listing and ending runs."""

    def test_a_retried_request_is_the_same_run(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                first, second, other = await asyncio.gather(
                    begin(journal, "r-1", request_id="req-9"),
                    begin(journal, "r-2", request_id="req-9"),
                    begin(journal, "r-3", request_id="req-9", tenant="other"),
                )
                third = await begin(journal, "r-4", request_id="req-9")
                assert await journal.run_of_request("acme", "req-9") == "r-1"
                assert await journal.run_of_request("other", "req-9") == "r-3"
                assert await journal.run_of_request("acme", "req-8") is None
                assert await journal.run_of_request("nobody", "req-9") is None

                assert (first.run, first.epoch) == ("r-1", 1)
                assert (second.run, second.epoch) == ("r-1", 0)
                assert (other.run, other.epoch) == ("r-3", 1)
                assert (third.run, third.epoch) == ("r-1", 0)
                assert [row.run for row in await journal.runs()] == ["r-3", "r-1"]

        asyncio.run(scenario())

    def test_no_run_of_this_version_waits_without_a_proposal(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                await journal.append(lease, 1, [intended(1)], bodies(b"{}"), waiting=True)
                await journal.release(lease)
                assert (await journal.row("r-1")).state == "waiting"
                assert await journal.older_waits() == []

        asyncio.run(scenario())

    def test_a_run_id_is_used_once(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1")
                with pytest.raises(Misused, match="r-1"):
                    await begin(journal, "r-1")

        asyncio.run(scenario())

    def test_a_run_that_waits_is_free_to_be_taken_until_its_owner_goes_on(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                await journal.append(lease, 1, [intended(1)], bodies(b"{}"), waiting=True)
                assert (await journal.row("r-1")).owner is None
                await journal.append(lease, 2, [done(1, b"x")], bodies(b"x"), waiting=False)
                assert (await journal.row("r-1")).owner == journal.owner
                with pytest.raises(Refused):
                    await journal.take("r-1")
                await journal.append(lease, 3, [intended(2)], bodies(b"{}"), waiting=True)
                taken = await journal.take("r-1")
                assert taken.epoch == lease.epoch + 1
                with pytest.raises(Fenced):
                    await journal.append(lease, 4, [done(2, b"x")], bodies(b"x"), waiting=False)

        asyncio.run(scenario())

    def test_a_run_s_state_follows_its_life(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.create(started("r-1"), [], bodies(INTENT), take=False)
                assert (await journal.row("r-1")).state == "queued"
                lease = await journal.take("r-1")
                assert (await journal.row("r-1")).state == "running"
                await journal.append(lease, 1, [intended(1)], bodies(b"{}"), waiting=True)
                assert (await journal.row("r-1")).state == "waiting"
                await journal.release(lease)
                lease = await journal.take("r-1")
                await journal.append(lease, 2, [done(1, b"x")], bodies(b"x"), waiting=False)
                assert (await journal.row("r-1")).state == "running"
                await journal.release(lease)
                assert (await journal.row("r-1")).state == "interrupted"
                lease = await journal.take("r-1")
                await finish(journal, lease, 3, "halted")

                row = await journal.row("r-1")
                assert (row.state, row.owner, row.epoch, row.events) == ("ended", None, 3, 4)
                assert row.summary == Summary(status="halted")
                assert row.ended_at is not None

        asyncio.run(scenario())

    def test_late_events_may_follow_the_outcome(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                await finish(journal, lease, 1)
                await journal.append(lease, 2, [done(1, b"late")], bodies(b"late"))

                assert len(await journal.events("r-1")) == 3
                assert (await journal.row("r-1")).state == "ended"
                assert (await journal.verify()).ok

        asyncio.run(scenario())

    def test_runs_are_listed_newest_first_and_by_what_is_asked(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [], session="s-1")
                await begin(journal, "r-2", session="s-1")
                await begin(journal, "r-3", tenant="other")

                async def listed(**what: Any) -> list[str]:
                    return [row.run for row in await journal.runs(RunFilter(**what))]

                assert await listed() == ["r-3", "r-2", "r-1"]
                assert await listed(status="completed") == ["r-1"]
                assert await listed(state="running") == ["r-3", "r-2"]
                assert await listed(state="ended") == ["r-1"]
                assert await listed(session="s-1") == ["r-2", "r-1"]
                assert await listed(tenant="other") == ["r-3"]
                assert await listed(tenant="acme", status="completed") == ["r-1"]
                assert await listed(tenant="acme", status="halted") == []
                assert await listed(tenant="acme", state="running") == ["r-2"]
                assert await listed(tenant="acme", session="s-1", state="ended") == ["r-1"]
                assert await listed(tenant="other", session="s-1") == []
                assert await listed(session="s-1", status="completed") == ["r-1"]
                assert await listed(state="running", status="completed") == []
                assert await listed(tenant="nobody") == []
                assert [row.run for row in await journal.runs(limit=1)] == ["r-3"]
                with pytest.raises(Misused, match="asleep"):
                    await listed(state="asleep")
                with pytest.raises(Misused, match="has no UTF-8"):
                    await listed(session="\udcff")

        asyncio.run(scenario())

    def test_runs_are_listed_by_team_principal_and_time_alone_and_together(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await start_at(journal, "r-1", 10.0, team="desk", principal="ann", session="s-1")
                await start_at(journal, "r-2", 20.0, team="bank", principal="bob")
                lease = await start_at(journal, "r-3", 30.0, team="desk", tenant="other", principal="ann")
                await start_at(journal, "r-4", 40.0, team="desk")
                await finish(journal, lease, 1)

                async def listed(**what: Any) -> list[str]:
                    return [row.run for row in await journal.runs(RunFilter(**what))]

                assert await listed(team="desk") == ["r-4", "r-3", "r-1"]
                assert await listed(team="des") == []
                assert await listed(principal="ann") == ["r-3", "r-1"]
                assert await listed(principal="") == ["r-4"]
                assert await listed(principal="ANN") == []
                assert await listed(since=20.0) == ["r-4", "r-3", "r-2"]
                assert await listed(until=20.0) == ["r-1"]
                assert await listed(since=20.0, until=40.0) == ["r-3", "r-2"]
                assert await listed(since=20.0, tenant="acme") == ["r-4", "r-2"]
                assert await listed(since=20.0, team="desk") == ["r-4", "r-3"]
                assert await listed(since=20.0, status="completed") == ["r-3"]
                assert await listed(until=30.0, state="running") == ["r-2", "r-1"]
                assert await listed(principal="ann", tenant="other") == ["r-3"]
                assert await listed(principal="ann", state="running") == ["r-1"]
                assert await listed(principal="ann", session="s-1", until=11.0, team="desk") == ["r-1"]
                assert await listed(principal="bob", session="s-1") == []
                assert await listed(team="desk", tenant="acme", status="completed") == []
                assert await listed(team="desk", status="completed", state="ended") == ["r-3"]
                rows = await journal.runs(RunFilter(principal="ann"), limit=1)
                assert [row.run for row in rows] == ["r-3"]

        asyncio.run(scenario())

    def test_runs_are_listed_by_a_part_of_their_request_in_any_case(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await asked(journal, "r-1", "Refund order 1042, STRASSE 9")
                await asked(journal, "r-2", "Where is cafe\u0301 order 1042?", tenant="other")
                await asked(journal, "r-3", "Something else")

                async def listed(**what: Any) -> list[str]:
                    return [row.run for row in await journal.runs(RunFilter(**what))]

                assert await listed(text="ORDER 1042") == ["r-2", "r-1"]
                assert await listed(text="Caf\u00c9") == ["r-2"]
                assert await listed(text="stra\u00dfe") == ["r-1"]
                assert await listed(text="order%") == []
                assert await listed(text="1042", tenant="acme") == ["r-1"]
                assert [row.run for row in await journal.runs(RunFilter(text="o"), limit=2)] == ["r-3", "r-2"]
                await journal.erase("other")
                assert await listed(text="order") == ["r-1"]

        asyncio.run(scenario())

    def test_a_pruned_run_has_no_request_and_no_principal_any_more(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await start_at(journal, "r-1", 1.0, principal="ann")
                await finish(journal, lease, 1)
                assert len(await journal.runs(RunFilter(principal="ann", text="refund"))) == 1
                await journal.prune(before=1e12)

                assert [row.run for row in await journal.runs(RunFilter(team="desk"))] == ["r-1"]
                assert await journal.runs(RunFilter(principal="ann")) == []
                assert await journal.runs(RunFilter(text="refund")) == []

        asyncio.run(scenario())

    def test_a_run_is_found_by_either_end_of_its_id(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                with pytest.raises(Misused, match="no run yet"):
                    await journal.find("last")
                await begin(journal, "r-abc-1")
                await begin(journal, "r-abd-2")

                assert await journal.find("last") == "r-abd-2"
                assert await journal.find("r-abc") == "r-abc-1"
                assert await journal.find("-2") == "r-abd-2"
                assert await journal.find("-abd-2") == "r-abd-2"
                await begin(journal, "r-0123456789")
                assert await journal.find("123456789") == "r-0123456789"
                assert await journal.find("r-abc-1") == "r-abc-1"
                with pytest.raises(Misused, match="r-abd-2, r-abc-1"):
                    await journal.find("r-ab")
                for nothing in ("", "%", "zzz"):
                    with pytest.raises(Misused, match="no run"):
                        await journal.find(nothing)

        asyncio.run(scenario())

    def test_the_tail_of_a_session_is_its_newest_run(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1", session="s")
                await begin(journal, "r-2", session="s")
                await begin(journal, "r-3", session="s", tenant="other")

                newest = await journal.session_tail("acme", "s")
                before = await journal.session_tail("acme", "s", before="r-2")
                assert [newest and newest.run, before and before.run] == ["r-2", "r-1"]
                assert await journal.session_tail("acme", "s", before="r-1") is None
                assert await journal.session_tail("acme", "t") is None

        asyncio.run(scenario())

    def test_only_one_run_goes_on_from_the_newest_of_a_session(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:

                async def follow(run: str, after: str) -> Lease:
                    return await journal.create(started(run, session="s"), [], bodies(INTENT), after=after)

                outcomes = await asyncio.gather(
                    *(follow(f"r-{number}", "") for number in range(3)), return_exceptions=True
                )
                assert [type(outcome) for outcome in outcomes] == [Lease, Refused, Refused]
                with pytest.raises(Refused, match="its newest run is r-0"):
                    await follow("r-4", "")
                assert (await follow("r-5", "r-0")).run == "r-5"

        asyncio.run(scenario())


class LeaseContract:
    """Leases: which process may append."""

    def test_a_run_in_live_hands_is_refused_and_its_owner_named(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1")
                with pytest.raises(Refused, match="r-1 is owned by process") as refused:
                    await journal.take("r-1")

                assert refused.value.guard == "lease"
                assert refused.value.value == journal.owner
                assert refused.value.retry_after_s is not None

        asyncio.run(scenario())

    def test_a_taken_run_fences_its_former_owner(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                old = await begin(journal, "r-1")
                new = await journal.take("r-1", force=True)
                fenced = journal.append(old, 1, [done(1, b"old")], bodies(b"old"))
                await journal.append(new, 1, [done(1, b"new")], bodies(b"new"))

                with pytest.raises(Fenced, match="epoch 2"):
                    await fenced
                assert await journal.events("r-1", after=0) == [done(1, b"new")]
                assert await journal.bodies("acme", [ref_of(b"old")]) == {}

        asyncio.run(scenario())

    def test_a_released_run_can_be_taken(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                first = await begin(journal, "r-1")
                await journal.release(first)
                second = await journal.take("r-1")
                await journal.release(first)

                assert (second.epoch, second.tenant) == (2, "acme")
                assert (await journal.row("r-1")).owner == journal.owner

        asyncio.run(scenario())

    def test_two_takers_of_one_run_do_not_both_get_it(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.create(started("r-1"), [], bodies(INTENT), take=False)
                outcomes = await asyncio.gather(
                    *(journal.take("r-1") for _ in range(5)), return_exceptions=True
                )

                assert sum(isinstance(outcome, Lease) for outcome in outcomes) == 1
                assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 4

        asyncio.run(scenario())

    def test_an_ended_run_is_not_taken(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [])
                with pytest.raises(Misused, match="r-1 has ended"):
                    await journal.take("r-1")

        asyncio.run(scenario())
