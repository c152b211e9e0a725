"""What every journal does with memory that nobody asks for any more, and with what is of a person who is forgotten."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from journal.memory_story import SCOPE, held, merge, texts
from journal.story import Open, begin, ended, opened, taken
from seawall.core.canonical import ref_of
from seawall.core.errors import Misused
from seawall.core.events import MemoryWritten
from seawall.journal.protocol import (
    Collected,
    EntriesRead,
    Lineage,
    MemoryConflicts,
    Summary,
)
from seawall.testing import ManualClock


class MemoryCollectionContract:
    """Collecting, and forgetting a person."""

    def test_what_nobody_can_ask_for_any_more_is_collected(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"a": "one", "soon": "gone"}, ttl_s=10.0)
                for number in range(2, 6):
                    await merge(journal, f"r-{number}", {"a": f"value {number}", "b": None}, base=9)
                await merge(journal, "r-6", {"b": "there"})
                await merge(journal, "r-7", {"b": None}, base=6)
                await clock.advance(11)
                old = clock.wall_s() - 20
                assert (await journal.collect_memory(before=old, dry_run=True)).superseded == 0
                planned = await journal.collect_memory(dry_run=True)
                assert (planned.expired, planned.superseded, planned.versions) == (1, 6, 6)
                assert await journal.collect_memory("other") == Collected()
                assert await journal.collect_memory("acme", scope="tenant", dry_run=True) == Collected()
                assert await journal.collect_memory("acme", scope=SCOPE, dry_run=True) == planned
                await journal.prune(before=clock.wall_s())
                found = await journal.collect_memory("acme")
                assert (found.expired, found.superseded, found.versions) == (1, 6, 6)
                assert found == planned
                assert await held(journal) == {"a": "value 5"}
                assert await journal.memory_scopes("acme") == [(SCOPE, 7, 1)]
                assert [version.version for version in await journal.memory_log("acme")] == [7]
                assert await journal.bodies("acme", [ref_of(b"one"), ref_of(b"b"), ref_of(b"there")]) == {}
                assert await journal.collect_memory() == Collected()
                with pytest.raises(Misused, match="version 3 has been collected"):
                    await held(journal, 3)
                assert await journal.memory_version() == 7
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_what_a_run_in_flight_sees_or_has_read_and_what_was_reviewed_stay(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"a": "one"}, reviewed=True)
                await merge(journal, "r-2", {"a": "two"}, base=1)
                await merge(journal, "r-3", {"a": "three"}, base=2)
                lease = await begin(journal, "r-4")
                await journal.append(lease, 1, [replace(taken(), memory=3)], {})
                await merge(journal, "r-5", {"a": "four"}, base=3)
                await merge(journal, "r-6", {"a": "five", "read": "it"}, base=4, ttl_s=5.0)
                reader = await begin(journal, "r-7")
                await journal.append(reader, 1, [], {}, records=[EntriesRead(numbers=(6,))])
                assert await journal.memory_behind(["r-6", "r-7", "r-9"]) == [
                    ("r-6", 5),
                    ("r-6", 6),
                    ("r-7", 6),
                ]
                await clock.advance(6)
                assert (await journal.collect_memory()).superseded == 1  # the second
                assert await held(journal, 3) == {"a": "three"}
                assert await held(journal, 1) == {"a": "one"}
                assert [each.number for each in await journal.memory_numbered(range(1, 9))] == [1, 3, 4, 6]
                with pytest.raises(MemoryConflicts):
                    await merge(journal, "r-4", {"a": "mine"}, base=3, lease=lease, seq=2)
                await journal.append(lease, 2, [ended("cancelled")], {}, summary=Summary(status="cancelled"))
                assert (await journal.collect_memory()).superseded == 2
                assert (await journal.rollback_memory("acme", SCOPE)).about == "1"
                assert await held(journal) == {"a": "one"}
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_what_came_of_a_collected_entry_still_descends_from_the_step_that_wrote_it(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"a": "bad"})
                for number in range(2, 5):
                    before = (Lineage(tie="value", entry=number - 1),)
                    await merge(journal, f"r-{number}", {"a": f"bad {number}"}, base=9, causes=before)
                await merge(journal, "r-5", {"b": "seen"}, causes=(Lineage(tie="exposure", entry=2),))
                assert (await journal.collect_memory()).superseded == 3
                bad = [Lineage(tie="value", run="r-1", step=3)]
                plan = await journal.plan_revert("r-1", 3, bad)
                assert (plan.removes, plan.flags) == ((4,), (5,))
                await clock.advance(1)
                await journal.prune(before=clock.wall_s())
                plan = await journal.plan_revert("r-1", 3, bad)
                assert (plan.removes, plan.flags) == ((), ())
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_bodies_that_memory_refers_to_outlive_their_runs(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                contents = texts("a", "one", "two", "three")
                wrote = [
                    MemoryWritten(at=1.0, step=1, scope=SCOPE, key=ref_of(b"a"), value=ref_of(value))
                    for value in (b"one", b"two", b"three")
                ]
                await journal.append(lease, 1, wrote, contents)
                await merge(journal, "r-1", {"a": "one"}, lease=lease, seq=4)
                await merge(journal, "r-2", {"a": "two"}, base=1)
                lease = await begin(journal, "r-3")
                with pytest.raises(MemoryConflicts) as found:
                    await merge(journal, "r-3", {"a": "three"}, base=1, lease=lease)
                await merge(
                    journal, "r-3", {"a": "three"}, base=1, lease=lease, conflicts=found.value.conflicts
                )
                await clock.advance(1)
                await journal.prune(before=clock.wall_s())
                refs = [ref_of(each) for each in (b"a", b"one", b"two", b"three")]
                assert len(await journal.bodies("acme", refs)) == 4
                await journal.resolve_conflict(1, ours=False, by="alice")
                assert (await journal.collect_memory()).superseded == 2
                assert await journal.bodies("acme", refs) == texts("a", "two")
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_person_is_forgotten_with_their_runs_and_others_are_not(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                mine = f"subject:{'user:7'}"
                await merge(journal, "r-1", {"a": "secret"}, scope=mine, principal="user:7")
                await merge(journal, "r-2", {"a": "of 8", "both": "x"}, scope="tenant", principal="user:8")
                await merge(journal, "r-3", {"a": "of 7"}, base=2, scope="tenant", principal="user:7")
                await merge(journal, "r-4", {"told": "by 8"}, scope=mine, principal="user:8")
                exported = await journal.export_subject("acme", "user:7")
                assert [entry.number for entry in exported] == [1, 4, 5]
                lease = await begin(journal, "r-5", principal="user:7")
                assert (await journal.forget_subject("acme", "user:7")).running == ("r-5",)
                assert await held(journal, None, mine) == {"told": "by 8", "a": "secret"}
                await merge(journal, "r-5", {}, lease=lease)
                forgotten = await journal.forget_subject("acme", "user:7")
                assert (forgotten.entries, forgotten.runs, forgotten.running) == (3, 3, ())
                assert await held(journal, None, mine, "tenant") == {"both": "x"}
                assert await journal.bodies("acme", [ref_of(b"secret"), ref_of(b"of 7")]) == {}
                assert (await journal.memory_log("acme"))[0].origin == "forget"
                assert [len(await journal.events(run)) for run in ("r-1", "r-2", "r-3", "r-4")] == [
                    0,
                    2,
                    0,
                    2,
                ]
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())
