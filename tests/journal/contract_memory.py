"""What every journal does with memory: merges, snapshots, searches, versions, and what descends from what."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from journal.memory_story import SCOPE, find_entry, held, merge, texts, written
from journal.story import INTENT, Open, begin, bodies, ended, intended, opened, started
from seawall.core.canonical import ref_of
from seawall.core.errors import Misused, Refused, SeawallBug
from seawall.journal.protocol import (
    EntriesRead,
    Lineage,
    MemoryConflicts,
    MemoryFilter,
    MemoryMerge,
    Summary,
)
from seawall.testing import ManualClock


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

    def test_two_runs_that_wrote_the_same_do_not_conflict(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"a": "one"}, ttl_s=10.0)
                await merge(journal, "r-2", {"a": "one", "gone": None}, ttl_s=100.0)
                await merge(journal, "r-3", {"a": "one at 12:00"}, loose="x", base=1)
                await merge(journal, "r-4", {"a": "one at 12:05"}, loose="x")
                assert [version.run for version in await journal.memory_log("acme")] == ["r-3", "r-1"]
                assert await held(journal) == {"a": "one at 12:00"}
                (first,) = await journal.memory_numbered([1])
                assert first.expires_at == first.at + 100.0
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_merges_in_one_commit_see_each_other(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                leases = [await begin(journal, f"r-{number}") for number in range(3)]
                ends = [
                    merge(journal, lease.run, {"a": lease.run, lease.run: "x"}, lease=lease)
                    for lease in leases
                ]
                found = await asyncio.gather(*ends, return_exceptions=True)
                assert [type(each) for each in found] == [type(None), MemoryConflicts, MemoryConflicts]
                assert await held(journal) == {"r-0": "x", "a": "r-0"}

        asyncio.run(scenario())

    def test_a_run_that_begins_and_completes_at_once_merges_too(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                done, contents = Summary(status="completed"), texts("a", "one")
                both = MemoryMerge(writes=(written("a", "one"),))
                first = started("r-1", principal="user:7")
                await journal.create(first, [ended()], contents | bodies(INTENT), summary=done, merge=both)
                assert (await find_entry(journal, "a")).principal == "user:7"
                again = MemoryMerge(writes=(written("a", "two"),))
                with pytest.raises(MemoryConflicts):
                    await journal.create(
                        started("r-2"), [ended()], texts("two") | bodies(INTENT), summary=done, merge=again
                    )
                assert [row.run for row in await journal.runs()] == ["r-1"]
                for status in ("halted", "failed", "refused", "cancelled"):
                    with pytest.raises(SeawallBug):
                        await journal.create(
                            started(f"r-{status}"), [], {}, summary=Summary(status=status), merge=both
                        )

        asyncio.run(scenario())

    def test_what_has_expired_is_shown_to_nobody_and_may_be_written_again(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"a": "one"}, ttl_s=10.0)
                assert await held(journal) == {"a": "one"}
                await clock.advance(11)
                assert await held(journal) == await held(journal, 1) == await held(journal, text="one") == {}
                await merge(journal, "r-2", {"a": "one"}, base=1)
                assert await held(journal) == {"a": "one"}
                assert (await journal.memory_numbered([1]))[0].died == 2

        asyncio.run(scenario())

    def test_the_nearest_scope_comes_first_and_hides_the_same_key(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"tone": "near calm"})
                await merge(journal, "r-2", {"tone": "far loud", "x": "far calm"}, scope="tenant")
                both = (None, SCOPE, "tenant")
                assert list((await held(journal, *both)).items()) == [
                    ("tone", "near calm"),
                    ("x", "far calm"),
                ]
                assert await held(journal, *both, text="loud") == {}
                assert await held(journal, *both, text="CALM fa") == {"x": "far calm"}
                assert await held(journal, *both, key="tone") == {"tone": "near calm"}
                assert await held(journal, *both, limit=1) == {"tone": "near calm"}
                assert await held(journal, *both, prefix="t") == {"tone": "near calm"}
                assert await held(journal, None, "tenant", prefix="t", text="loud") == {"tone": "far loud"}

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        "text",
        [
            '"',
            '" OR "b',
            "a OR b",
            "NOT a",
            "value:a",
            "a*",
            "(",
            "NEAR(a b)",
            "^a",
            "-a",
            "{key}: a",
            "",
            "…",
            "\0",
        ],
    )
    def test_a_text_that_is_searched_is_never_syntax(self, open_journal: Open, text: str) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"k": "b", "l": 'He said " OR "b'})
                found = await held(journal, text=text)
                assert found == ({"l": 'He said " OR "b'} if text == '" OR "b' else {})

        asyncio.run(scenario())

    def test_words_are_found_in_keys_and_in_json(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                value = '{"name": "Zoë\\nMüller", "orders": [1042, null, true], "in": {"city": "Köln"}}'
                await merge(journal, "r-1", {"customer zoe": value})
                for text in ("zoe", "Zoë müll", "1042", "koln CITY", "custom", "true"):
                    assert list(await held(journal, text=text)) == ["customer zoe"], text
                assert await held(journal, text="nmüller") == {}

        asyncio.run(scenario())


class MemoryHistoryContract:
    """Rollback, revert, quarantine."""

    def test_a_scope_is_rolled_back_and_the_others_stay(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"a": "one", "b": "two"}, reviewed=True)
                await merge(journal, "r-2", {"x": "other"}, scope="tenant")
                await merge(journal, "r-3", {"a": "three", "c": "four"}, base=2)
                plan = await journal.rollback_memory("acme", SCOPE, dry_run=True)
                assert (plan.version, plan.written, plan.removed, plan.about) == (0, 1, 1, "1")
                made = await journal.rollback_memory("acme", SCOPE, version=1, by="alice")
                assert (made.version, made.origin, made.by, made.about) == (4, "rollback", "alice", "1")
                assert await held(journal) == await held(journal, 1) == {"a": "one", "b": "two"}
                assert await held(journal, 3) == {"c": "four", "a": "three", "b": "two"}
                assert await held(journal, None, "tenant") == {"x": "other"}
                again = await find_entry(journal, "a")
                assert (again.run, again.born, again.reviewed) == ("r-1", 4, True)
                with pytest.raises(MemoryConflicts):
                    await merge(journal, "r-4", {"c": "five"}, base=3)
                with pytest.raises(Misused, match="no version 99"):
                    await journal.rollback_memory("acme", SCOPE, version=99)
                with pytest.raises(Misused, match="has no scope 'session:typo'"):
                    await journal.rollback_memory("acme", "session:typo", version=1)
                with pytest.raises(Misused, match="has passed review"):
                    await journal.rollback_memory("acme", "tenant")
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_what_was_reverted_does_not_come_back_with_a_rollback(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"rule": "good"}, reviewed=True)
                await merge(journal, "r-2", {"rule": "bad", "worse": "bad"}, base=1, reviewed=True)
                bad = [Lineage(tie="value", run="r-2", step=3)]
                await journal.apply_revert(await journal.plan_revert("r-2", 3, bad), by="alice")
                for version in (None, 2):
                    plan = await journal.rollback_memory("acme", SCOPE, version=version, dry_run=True)
                    assert (plan.reverted, plan.about) == (2, "2")
                    made = await journal.rollback_memory("acme", SCOPE, version=version, by="alice")
                    assert (made.reverted, made.removed) == (2, 0)
                    assert await held(journal) == {"rule": "good"}
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_what_became_of_a_scope_after_a_version_is_told(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"a": "one", "b": "two"})
                await merge(journal, "r-2", {"x": "other"}, scope="tenant")
                await merge(journal, "r-3", {"a": "three", "b": None}, base=2)
                found = [await journal.memory_since("acme", SCOPE, version) for version in (0, 1, 3)]
                told = [([each.number for each in one.written], one.removed) for one in found]
                assert told == [([4], (1, 2)), ([4], (1, 2)), ([], ())]
                assert {(one.version, one.anew) for one in found} == {(3, False)}
                assert (await journal.memory_since("acme", SCOPE, 2)).anew  # a version of another scope
                nothing = await journal.memory_since("acme", "session:nobody", 7)
                assert (nothing.version, nothing.anew, nothing.written) == (0, True, ())

        asyncio.run(scenario())

    def test_a_revert_removes_what_took_a_value_flags_what_was_exposed_and_brings_back_what_was_there(
        self, open_journal: Open
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-0", {"policy": "10%", "other": "kept"})
                await merge(journal, "r-1", {"policy": "200%"}, base=1)  # the bad one: entry 3
                value, touched = Lineage(tie="value", entry=3), Lineage(tie="exposure", entry=3)
                await merge(journal, "r-2", {"double": "yes"}, base=2, causes=(value,), answer=[value])
                from_answer = (Lineage(tie="value", run="r-2"),)
                await merge(journal, "r-3", {"triple": "yes"}, base=3, causes=from_answer)
                await merge(journal, "r-4", {"seen": "it"}, base=3, causes=(touched,), answer=[touched])
                await merge(journal, "r-5", {"later": "it"}, base=4, causes=(Lineage(tie="value", entry=6),))
                lease = await begin(journal, "r-6")
                await journal.append(
                    lease, 1, [intended(1)], bodies(b"{}"), records=[EntriesRead(numbers=(4,))]
                )

                plan = await journal.plan_revert("r-1", 3, [Lineage(tie="value", run="r-1", step=3)])
                assert (plan.removes, plan.flags, plan.keeps) == ((3, 4, 5), (6, 7), 1)
                assert (plan.answers, plan.exposed, plan.running) == (("r-2",), ("r-4",), ("r-6",))
                widest = await journal.plan_revert("r-1", 3, [value], exposed=True)
                assert (widest.removes, widest.flags) == ((3, 4, 5, 6, 7), ())
                assert await held(journal, key="policy") == {"policy": "200%"}

                (version,) = await journal.apply_revert(plan, by="alice")
                assert (version.origin, version.about, version.by) == ("revert", "r-1:3", "alice")
                assert (version.written, version.removed) == (1, 3)
                assert await held(journal) == {"policy": "10%", "later": "it", "seen": "it", "other": "kept"}
                entries = {entry.number: entry for entry in await journal.memory_numbered(range(1, 9))}
                assert [number for number, entry in entries.items() if entry.reverted] == [3, 4, 5]
                assert [number for number, entry in entries.items() if entry.flagged] == [6, 7]
                assert entries[8].run == "r-0"
                (changed,) = await journal.memory_changed([4], 5)
                assert (changed[0].reverted, changed[1]) == (True, None)
                with pytest.raises(MemoryConflicts) as found:
                    await merge(journal, "r-6", {"new": "x"}, base=5, lease=lease, seq=2, read=[4])
                assert [conflict.why for conflict in found.value.conflicts] == ["reverted"]
                nothing = await journal.plan_revert("r-1", 3, [value])
                assert (nothing.removes, nothing.flags) == ((), ())
                assert await journal.apply_revert(nothing, by="alice") == []
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_revert_ends_the_conflicts_over_what_descends_from_the_step(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-0", {"rule": "good"})
                await merge(journal, "r-1", {"bad": "x"})  # entry 2, of version 2
                names = ("r-2", "r-3", "r-4")
                leases = {name: await begin(journal, name) for name in names}
                await merge(journal, "r-5", {"rule": "better"}, base=1)
                ties = {"r-2": [Lineage(tie="value", entry=2)], "r-3": [Lineage(tie="exposure", entry=2)]}
                for name, lease in leases.items():
                    causes = tuple(ties.get(name, ()))
                    with pytest.raises(MemoryConflicts) as found:
                        await merge(journal, name, {"rule": name}, base=1, lease=lease, causes=causes)
                    named = found.value.conflicts
                    await merge(
                        journal, name, {"rule": name}, base=1, lease=lease, causes=causes, conflicts=named
                    )
                plan = await journal.plan_revert("r-1", 3, [Lineage(tie="value", run="r-1", step=3)])
                assert (plan.removes, plan.conflicts) == ((2,), (1,))
                with pytest.raises(Refused, match="conflict 1"):
                    await journal.apply_revert(replace(plan, conflicts=()), by="alice")
                await journal.apply_revert(plan, by="alice")
                ended, *rest = await journal.memory_conflicts("acme", state=None)
                assert (ended.state, ended.resolved_by) == ("resolved", "alice")
                assert [each.state for each in rest] == ["open", "open"]
                own = await journal.plan_revert("r-4", 3, [Lineage(tie="value", run="r-4", step=3)])
                assert own.conflicts == (3,)
                # it was exposed to what was reverted
                await journal.resolve_conflict(2, ours=True, by="alice")
                entry = await find_entry(journal, "rule")
                assert (entry.run, entry.flagged) == ("r-3", entry.born)
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_label_follows_a_value_through_memory(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"rule": "x"}, labels=("untrusted",))
                value = (Lineage(tie="value", entry=1),)
                seen = (Lineage(tie="exposure", entry=1),)
                await merge(journal, "r-2", {"copy": "x!"}, labels=("vip",), causes=value, answer=value)
                await merge(journal, "r-3", {"seen": "y"}, causes=seen)
                heard = (Lineage(tie="value", run="r-2"),)
                await merge(journal, "r-4", {"heard": "x?"}, causes=heard)
                by_step = (Lineage(tie="value", run="r-1", step=3),)
                await merge(journal, "r-5", {"shown": "x."}, causes=by_step)
                await merge(journal, "r-6", {"plain": "z"})
                await merge(journal, "r-7", {"plain": "z"}, labels=("imported",), base=6)
                found = {key: (await find_entry(journal, key)).labels for key in await held(journal)}
                assert found == {
                    "rule": ("untrusted",),
                    "copy": ("vip", "untrusted"),
                    "seen": (),
                    "heard": ("untrusted",),
                    "shown": ("untrusted",),
                    "plain": ("imported",),
                }
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())

    def test_a_plan_is_refused_if_more_descends_by_now(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"bad": "x"})
                plan = await journal.plan_revert("r-1", 3, [Lineage(tie="value", entry=1)])
                await merge(journal, "r-2", {"worse": "y"}, causes=(Lineage(tie="value", entry=1),))
                with pytest.raises(Refused, match="more descends from step 3 of run r-1"):
                    await journal.apply_revert(plan, by="alice")
                assert len(await held(journal)) == 2

        asyncio.run(scenario())

    def test_what_is_imported_is_shown_to_nobody_before_it_is_accepted(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await merge(journal, "r-1", {"a": "mine"})
                writes = [written("a", "theirs"), written("b", "new")]
                contents = texts("a", "theirs", "b", "new")
                (version,) = await journal.import_memory("acme", writes, contents, by="alice")
                assert (version.origin, version.written, version.by) == ("import", 2, "alice")
                assert await held(journal) == {"a": "mine"}
                assert await held(journal, text="theirs") == await held(journal, key="b") == {}
                assert len(await held(journal, prefix="", quarantined=True)) == 2
                assert await held(journal, text="theirs", quarantined=True) == {"a": "theirs"}
                assert await journal.import_memory("acme", writes, contents) == []
                assert (await journal.memory_scopes("acme"))[0][2] == 1

                (accepted,) = await journal.accept_memory("acme", [2], by="bob")
                assert (accepted.origin, accepted.written, accepted.removed) == ("accept", 1, 0)
                assert await held(journal) == {"a": "theirs"}
                assert await held(journal, 2) == {"a": "mine"}
                plan = await journal.plan_revert("", 0, [Lineage(tie="value", entry=2)])
                assert plan.removes == (2, 4)
                for number in (1, 2, 99):
                    with pytest.raises(
                        Misused, match=f"entry {number} of tenant 'acme' is not in quarantine"
                    ):
                        await journal.accept_memory("acme", [number])
                trusted = await journal.import_memory(
                    "acme", [written("b", "x")], texts("x"), quarantined=False
                )
                assert (trusted[0].written, await held(journal, key="b")) == (1, {"b": "x"})
                assert (await journal.verify()).bad is None

        asyncio.run(scenario())
