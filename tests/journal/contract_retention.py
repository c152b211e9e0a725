"""What every journal does when it prunes, erases and verifies."""

from __future__ import annotations

import asyncio

from journal.story import (
    INTENT,
    Open,
    begin,
    bodies,
    done,
    ended,
    intended,
    manifest,
    opened,
    started,
    step,
    taken,
    whole_run,
)
from seawall.core.canonical import ref_of
from seawall.journal.protocol import Summary
from seawall.testing import ManualClock


class RetentionContract:
    """Pruning, erasing and verifying."""

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

                assert (found.ok, found.bad) == (True, None)
                assert (found.events, found.bodies) == (4, 3)
                assert len(found.head) == 64
                assert seen[-1][0] == seen[-1][1] == found.batches
                await step(journal, await begin(journal, "r-2"), 1, b"y")
                assert (await journal.verify()).head != found.head

        asyncio.run(scenario())
