"""What every journal does with memory: merges, snapshots, searches, versions, and what descends from what."""

from __future__ import annotations

import asyncio

import pytest

from journal.memory_story import SCOPE, find_entry, held, merge
from journal.story import Open, begin, opened
from seawall.core.canonical import ref_of
from seawall.core.errors import Misused
from seawall.journal.protocol import (
    MemoryConflicts,
    MemoryFilter,
)


class MemoryContract:
    """Merging and reading."""

    def test_what_a_completed_run_wrote_is_what_the_next_one_reads(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                assert await journal.memory_version() == 0
                await merge(
                    journal, "r-1", {"tone": "formal", "vip": "yes"}, reviewed=True, principal="user:7"
                )
                assert await journal.memory_version() == 1
                assert await held(journal) == {"vip": "yes", "tone": "formal"}
                entry = await find_entry(journal, "tone")
                assert (entry.run, entry.step, entry.agent, entry.principal) == ("r-1", 3, "clerk", "user:7")
                assert (entry.born, entry.died, entry.reviewed) == (1, None, True)
                assert await journal.memory_of_run("r-1") == await journal.memory_numbered([1, 2])
                (version,) = await journal.memory_log("acme")
                assert (version.version, version.scope, version.run, version.written) == (1, SCOPE, "r-1", 2)
                assert await journal.memory_scopes("acme") == [(SCOPE, 1, 2)]
                other = await journal.memory_entries("other", MemoryFilter(scopes=(SCOPE,)))
                assert other == []
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_snapshot_stays_as_it_was(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"a": "one", "b": "two"})
                await merge(journal, "r-2", {"a": "three"}, base=1)
                await merge(journal, "r-3", {"b": None, "c": "four"}, base=2)
                assert await held(journal, 0) == {}
                assert await held(journal, 1) == {"a": "one", "b": "two"}
                assert await held(journal, 2) == {"a": "three", "b": "two"}
                assert await held(journal) == await held(journal, 3) == {"c": "four", "a": "three"}
                assert await held(journal, 1, text="one") == {"a": "one"}
                assert await held(journal, 2, text="one") == await held(journal, text="one") == {}
                assert await held(journal, 1, key="a") == {"a": "one"}
                assert await held(journal, 1, prefix="b") == {"b": "two"}
                assert await held(journal, prefix="b") == {}
                (gone,) = await journal.memory_changed([1, 2], 2)
                assert (gone[0].number, gone[1] and gone[1].value) == (2, None)
                assert [entry.number for entry, _ in await journal.memory_changed([1, 2], 1)] == [1, 2]
                differ = await journal.memory_diff("acme", SCOPE, 1, 3)
                assert {(before and before.number, after and after.number) for before, after in differ} == {
                    (1, 3),
                    (2, None),
                    (None, 5),
                }
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_key_that_is_newer_than_the_snapshot_is_a_conflict(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"a": "one"})
                lease = await begin(journal, "r-2")
                await merge(journal, "r-3", {"a": "two"}, base=1)
                with pytest.raises(MemoryConflicts) as found:
                    await merge(journal, "r-2", {"a": "three", "b": "four"}, base=1, lease=lease)
                (conflict,) = found.value.conflicts
                assert (conflict.theirs, conflict.ours, conflict.why) == (2, ref_of(b"three"), "newer")
                assert await held(journal) == {"a": "two"}
                await merge(
                    journal, "r-2", {"a": "three", "b": "four"}, base=1, lease=lease, conflicts=[conflict]
                )
                assert await held(journal) == {"b": "four", "a": "two"}
                (kept,) = await journal.memory_conflicts("acme")
                assert (kept.number, kept.run, kept.state) == (1, "r-2", "open")
                assert (await journal.memory_log("acme"))[0].conflicts == 1

                resolved = await journal.resolve_conflict(1, ours=True, by="alice")
                assert (resolved.state, resolved.resolved_by) == ("resolved", "alice")
                assert (await held(journal))["a"] == "three"
                assert (await find_entry(journal, "a")).run == "r-2"
                assert await journal.memory_conflicts("acme") == []
                assert await journal.memory_conflicts("acme", state=None) == [resolved]
                with pytest.raises(Misused, match="resolved by alice already"):
                    await journal.resolve_conflict(1, ours=False, by="bob")
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())
