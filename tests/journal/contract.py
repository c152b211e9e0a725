"""What every journal does. A new implementation subclasses these and says how it is opened."""

from __future__ import annotations

import asyncio

import pytest

from journal.story import (
    INTENT,
    Open,
    begin,
    bodies,
    done,
    ended,
    finish,
    intended,
    manifest,
    opened,
    started,
    step,
    taken,
    whole_run,
)
from seawall.core.canonical import ref_of
from seawall.core.errors import Fenced, Misused, Refused, SeawallBug
from seawall.journal.protocol import Command, GuardSetting, Lease, Summary
from seawall.testing import ManualClock


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

                assert (first.run, first.epoch) == ("r-1", 1)
                assert (second.run, second.epoch) == ("r-1", 0)
                assert (other.run, other.epoch) == ("r-3", 1)
                assert (third.run, third.epoch) == ("r-1", 0)
                assert [row.run for row in await journal.runs()] == ["r-3", "r-1"]

        asyncio.run(scenario())

    def test_a_run_id_is_used_once(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1")
                with pytest.raises(Misused, match="r-1"):
                    await begin(journal, "r-1")

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

                async def listed(**what: str) -> list[str]:
                    return [row.run for row in await journal.runs(**what)]

                assert await listed() == ["r-3", "r-2", "r-1"]
                assert await listed(status="completed") == ["r-1"]
                assert await listed(state="running") == ["r-3", "r-2"]
                assert await listed(state="ended") == ["r-1"]
                assert await listed(session="s-1") == ["r-2", "r-1"]
                assert await listed(tenant="other") == ["r-3"]
                assert [row.run for row in await journal.runs(limit=1)] == ["r-3"]
                with pytest.raises(Misused, match="asleep"):
                    await listed(state="asleep")

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
                assert newest is not None and newest.run == "r-2"
                assert before is not None and before.run == "r-1"
                assert await journal.session_tail("acme", "s", before="r-1") is None
                assert await journal.session_tail("acme", "t") is None

        asyncio.run(scenario())


class LeaseContract:
    """Who may append."""

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


class InboxContract:
    """Commands, live settings and news."""

    def test_commands_arrive_in_order(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1")
                assert await journal.send("r-1", Command(kind="pause", by="user:7")) == 0
                assert await journal.send("r-1", Command(kind="cancel")) == 1

                items = await journal.inbox("r-1")
                assert [(item.number, item.command.kind) for item in items] == [(0, "pause"), (1, "cancel")]
                assert items[0].command.by == "user:7"
                assert await journal.inbox("r-1", after=0) == items[1:]

        asyncio.run(scenario())

    def test_an_ended_run_takes_no_command(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [])
                with pytest.raises(Misused, match="r-1 has ended"):
                    await journal.send("r-1", Command(kind="cancel"))

        asyncio.run(scenario())

    def test_a_watcher_hears_of_writes_until_it_stops(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                heard = asyncio.Event()
                stop = journal.watch(heard.set)
                await begin(journal, "r-1")
                await asyncio.wait_for(heard.wait(), 5)
                stop()
                heard.clear()
                await begin(journal, "r-2")
                await begin(journal, "r-3")

                assert not heard.is_set()

        asyncio.run(scenario())

    def test_the_newest_setting_of_a_guard_counts(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                assert await journal.guard_settings() == {}
                loops = GuardSetting(guard="loops", mode="off", by="ops", at=1.0)
                again = GuardSetting(guard="loops", mode="observe", by="ops", at=2.0, until=9.0)
                budget = GuardSetting(guard="budget", mode="enforce", by="ops", at=3.0)
                for setting in (loops, again, budget):
                    await journal.set_guard(setting)

                assert await journal.guard_settings() == {"loops": again, "budget": budget}
                assert (await journal.verify()).ok

        asyncio.run(scenario())


class RetentionContract:
    """Pruning, erasing, checking."""

    def test_an_erased_body_is_gone_and_the_journal_still_verifies(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [b"secret", b"kept"])
                await whole_run(journal, "r-2", [b"secret"], tenant="other")

                assert await journal.erase("acme", [ref_of(b"secret")]) == 1
                assert await journal.erase("acme", [ref_of(b"secret"), ref_of(b"never")]) == 0
                assert await journal.bodies("acme", [ref_of(b"secret"), ref_of(b"kept")]) == bodies(b"kept")
                assert await journal.bodies("other", [ref_of(b"secret")]) == bodies(b"secret")
                found = await journal.verify()
                assert (found.ok, found.erased) == (True, 1)

        asyncio.run(scenario())

    def test_a_tenant_s_bodies_are_erased_together(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [b"%d" % n for n in range(700)])
                await whole_run(journal, "r-2", [b"1"], tenant="other")

                assert await journal.erase("acme") == 702
                assert await journal.bodies("acme", [ref_of(b"1")]) == {}
                assert await journal.bodies("other", [ref_of(b"1")]) == bodies(b"1")

        asyncio.run(scenario())

    def test_content_that_comes_again_after_it_was_erased_is_stored_again(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                await step(journal, lease, 1, b"secret")
                await journal.erase("acme", [ref_of(b"secret")])
                await step(journal, lease, 3, b"secret")

                assert await journal.bodies("acme", [ref_of(b"secret")]) == bodies(b"secret")
                assert (await journal.verify()).erased == 0

        asyncio.run(scenario())

    def test_prune_removes_old_runs_and_what_only_they_need(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [b"old", b"both"])
                await clock.advance(100)
                cut = clock.wall_s()
                await clock.advance(100)
                await whole_run(journal, "r-2", [b"both", b"new"])
                before = await journal.row("r-1")

                plan = await journal.prune(before=cut, dry_run=True)
                assert len(await journal.events("r-1")) == 6
                pruned = await journal.prune(before=cut)

                assert (pruned.runs, pruned.events, pruned.bodies, pruned.body_bytes) == (1, 6, 1, 3)
                assert (plan.runs, plan.events, plan.bodies, plan.body_bytes) == (1, 6, 1, 3)
                assert await journal.events("r-1") == []
                after = await journal.row("r-1")
                assert (after.summary, after.ended_at, after.events) == (before.summary, before.ended_at, 0)
                assert await journal.bodies("acme", [ref_of(b"old")]) == {}
                assert len(await journal.bodies("acme", [ref_of(b"both"), ref_of(b"new")])) == 2
                found = await journal.verify()
                assert (found.ok, found.events, found.pruned_events) == (True, 6, 6)
                assert (await journal.prune(before=cut)).runs == 0

        asyncio.run(scenario())

    def test_prune_leaves_other_tenants_and_unended_runs(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [b"x"])
                await whole_run(journal, "r-2", [b"x"], tenant="other")
                lease = await begin(journal, "r-3")
                await journal.append(lease, 1, [intended(1)], bodies(b"{}"), waiting=True)
                await clock.advance(1)
                pruned = await journal.prune(before=clock.wall_s(), tenant="acme")

                assert pruned.runs == 1
                assert len(await journal.events("r-2")) == 4
                assert len(await journal.events("r-3")) == 2
                assert len(await journal.bodies("acme", [ref_of(INTENT), ref_of(b"{}")])) == 2
                assert await journal.bodies("acme", [ref_of(b"x")]) == {}

        asyncio.run(scenario())

    def test_prune_keeps_the_conversation_that_a_later_run_goes_on_with(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                first = manifest(None, [b"hello", b"hi"])
                second = manifest(ref_of(first), [b"and?"])
                for number, transcript in enumerate((first, second)):
                    lease = await begin(journal, f"r-{number}", session="s")
                    contents = bodies(b"hello", b"hi", b"and?", b"unsaid", transcript)
                    events = [done(1, b"unsaid"), ended(transcript=ref_of(transcript))]
                    await journal.append(lease, 1, events, contents, summary=Summary(status="completed"))
                await clock.advance(1)
                cut = clock.wall_s()
                await journal.create(started("r-9"), [taken(ref_of(second))], {})
                pruned = await journal.prune(before=cut)

                assert pruned.runs == 2
                said = [ref_of(body) for body in (first, second, b"hello", b"hi", b"and?", INTENT)]
                assert len(await journal.bodies("acme", said)) == 6
                assert await journal.bodies("acme", [ref_of(b"unsaid")]) == {}
                assert (await journal.verify()).ok

        asyncio.run(scenario())

    def test_a_journal_that_was_pruned_goes_on(self, open_journal: Open, clock: ManualClock) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                for number in range(12):
                    await whole_run(journal, f"r-{number}", [b"%d" % number])
                    await clock.advance(10)
                    await journal.prune(before=clock.wall_s() - 25)
                    assert (await journal.verify()).ok
                assert [row.events for row in await journal.runs()] == [4] * 2 + [0] * 10

        asyncio.run(scenario())

    def test_verify_reports_progress_and_a_head(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [b"x"])
                seen: list[tuple[int, int]] = []
                found = await journal.verify(progress=lambda at, of: seen.append((at, of)))

                assert found.ok and found.bad is None
                assert (found.events, found.bodies) == (4, 3)
                assert len(found.head) == 64
                assert seen[-1][0] == seen[-1][1] == found.batches
                await step(journal, await begin(journal, "r-2"), 1, b"y")
                assert (await journal.verify()).head != found.head

        asyncio.run(scenario())


class JournalContract(RecordContract, RunContract, LeaseContract, InboxContract, RetentionContract):
    """All of it, for a journal that one process opens."""


class SharedContract:
    """For journals that several handles (of one or more processes) open at once."""

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
                while not await one.inbox("r-1"):
                    heard.clear()
                    await asyncio.wait_for(heard.wait(), 5)

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
