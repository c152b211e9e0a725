"""A person is forgotten in the raw bytes of every file of the journal, and the journal still verifies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from journal.disk import Disk
from journal.effects_story import claim_of, proposal_of
from journal.memory_story import SCOPE, find_entry, held, merge, texts, written
from journal.story import (
    begin,
    bodies,
    done,
    ended,
    finish,
    intended,
    manifest,
    opened,
    started,
    taken,
    whole_run,
)
from seawall.core.canonical import Ref, ref_of, to_canonical_bytes
from seawall.core.errors import Broken, Misused
from seawall.core.events import ContextFolded, Event, Folded, MemoryCut, MemoryRead
from seawall.journal.protocol import (
    EntriesRead,
    Fact,
    Journal,
    Lineage,
    MemoryFilter,
    MemoryMerge,
    Reason,
    Settle,
    Summary,
)
from seawall.journal.sqlite import SqliteJournal, SqliteOptions, retention
from seawall.testing import ManualClock

MARK = b"zebra"
"""Stands in everything that is theirs, and in nothing else."""
THEIRS = "user:7"


def theirs(text: str) -> bytes:
    """Returns a content of theirs."""
    return f"zebra {text}".encode()


async def live_a_life(journal: Journal) -> None:
    """Records what two people do. One has requests, answers, results, a receipt, a fact, a conflict, and memory."""
    await whole_run(journal, "r-other", [b"shared result"], session="s-1")
    intent, answer, link = theirs("request"), theirs("answer"), b""
    lease = await journal.create(
        started("r-1", principal=THEIRS, session="s-2", intent=ref_of(intent)), [], bodies(intent)
    )
    claimed = await journal.claim(claim_of("r-1", principal=THEIRS, arguments=ref_of(theirs("arguments"))))
    assert claimed.effect is not None
    contents = bodies(
        theirs("arguments"), theirs("receipt"), theirs("result"), b"shared result", theirs("preview")
    )
    attempt = Settle(effect=claimed.effect.id, state="attempting", at=10.0, step=1)
    asked = proposal_of(
        "r-1",
        requester=THEIRS,
        arguments=ref_of(theirs("arguments")),
        preview=ref_of(theirs("preview")),
        reasons=(Reason(guard="effects", reason="zebra wants money", value="zebra"),),
    )
    first = [intended(1, theirs("arguments"))]
    await journal.append(lease, 1, first, contents, records=[attempt, asked])
    committed = Settle(
        effect=claimed.effect.id,
        state="committed",
        at=11.0,
        step=1,
        receipt=ref_of(theirs("receipt")),
        reason="zebra",
    )
    second = [done(1, theirs("result")), intended(2), done(2, b"shared result")]
    await journal.append(lease, 2, second, bodies(b"{}"), records=[committed])
    link = manifest(None, [intent, answer])
    values = {"zebra tone": "zebra formal", "team tone": "zebra curt"}
    both = tuple(
        written(key, value, scope=scope)
        for (key, value), scope in zip(values.items(), (f"subject:{THEIRS}", "team:desk"), strict=True)
    )
    await journal.append(
        lease,
        5,
        [ended(transcript=ref_of(link))],
        texts(*values, *values.values()) | bodies(link, intent, answer),
        summary=Summary(status="completed"),
        merge=MemoryMerge(writes=both),
    )
    fact = Fact(number=0, at=1.0, run="r-1", text=ref_of(theirs("receipt")))
    await journal.add_fact("acme", "s-2", fact)
    await merge(journal, "r-2", {"team tone": "zebra harsh"}, base=2, scope="team:desk", principal=THEIRS)
    await merge(journal, "r-3", {"ours": "kept"}, scope="team:desk", principal="user:8")
    await show_to_another(journal)


async def show_to_another(journal: Journal) -> None:
    """Records a run of somebody else that was shown what is theirs."""
    number = (await find_entry(journal, "team tone", "team:desk")).number
    lease = await begin(journal, "r-4", principal="user:8")
    recalled = b'[{"key":"team tone","value":"zebra harsh"}]'
    events = [intended(1), done(1, recalled), MemoryRead(at=2.0, step=1, entries=(number,))]
    reads = [EntriesRead(numbers=(number,))]
    await journal.append(lease, 1, events, bodies(b"{}", recalled), records=reads)
    descends = (Lineage(tie="value", entry=number),)
    await merge(
        journal, "r-4", {"made of it": "rude"}, base=9, scope="team:desk", lease=lease, seq=4, causes=descends
    )


def find_marks(path: Path) -> list[str]:
    """Returns the files of the journal in which something of theirs is left, anywhere in their bytes."""
    return [file.name for file in path.parent.iterdir() if MARK in file.read_bytes()]


def open_at(path: Path, disk: Disk | None = None) -> SqliteJournal:
    options = SqliteOptions(vfs=None if disk is None else disk.name)
    return SqliteJournal.open(str(path), clock=ManualClock(), options=options)


async def check_forgotten(journal: Journal) -> None:
    """Checks that others have kept what is theirs, and that the journal says what is erased."""
    found = await journal.verify()
    assert (found.bad, found.erased > 0) == (None, True)
    assert await held(journal, None, "team:desk") == {"made of it": "rude", "ours": "kept"}
    assert await held(journal, None, f"subject:{THEIRS}", SCOPE) == {}
    assert await held(journal, None, "team:desk", text="zebra") == {}
    assert [row.run for row in await journal.runs()] == ["r-4", "r-3", "r-2", "r-1", "r-other"]
    assert (await journal.events("r-1"), len(await journal.events("r-other"))) == ([], 4)
    assert await journal.bodies("acme", [ref_of(b"shared result")]) == bodies(b"shared result")
    (effect,) = await journal.effects()
    assert (effect.state, effect.reason) == ("committed", "")
    assert (await journal.claim(claim_of("r-5"))).status == "committed"
    assert await journal.facts("acme", "s-2") == []
    assert await journal.export_subject("acme", THEIRS) == []


def test_a_person_is_forgotten_in_every_byte_of_every_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await live_a_life(journal)
            exported = await journal.export_subject("acme", THEIRS)
            assert [entry.scope for entry in exported] == [f"subject:{THEIRS}", "team:desk", "team:desk"]
            assert find_marks(path) != []
            planned = await journal.forget_subject("acme", THEIRS, dry_run=True)
            assert len(await journal.export_subject("acme", THEIRS)) == 3
            forgotten = await journal.forget_subject("acme", THEIRS)
            assert (forgotten.entries, forgotten.runs, forgotten.running) == (3, 2, ())
            assert (planned.entries, planned.runs, planned.kept) == (3, 2, forgotten.kept)
            assert planned.derived == forgotten.derived
            assert forgotten.kept > 0
            assert find_marks(path) == []
            await check_forgotten(journal)
            again = await journal.forget_subject("acme", THEIRS)
            assert (again.entries, again.runs) == (0, 0)
        assert find_marks(path) == []

    asyncio.run(scenario())


def test_entries_of_others_that_took_a_value_from_theirs_are_named_and_stay(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_at(tmp_path / "journal.db")) as journal:
            await merge(journal, "r-1", {"tone": "zebra curt"}, principal=THEIRS)
            ways = {
                "by the entry": Lineage(tie="value", entry=1),
                "by the answer": Lineage(tie="value", run="r-1"),
                "by a result": Lineage(tie="value", run="r-1", step=2),
                "merely seen": Lineage(tie="exposure", entry=1),
            }
            for number, (key, cause) in enumerate(ways.items(), start=2):
                await merge(journal, f"r-{number}", {key: key}, causes=(cause,))
            planned = await journal.forget_subject("acme", THEIRS, dry_run=True)
            assert planned.derived == (2, 3, 4)
            assert (await journal.forget_subject("acme", THEIRS)).derived == (2, 3, 4)
            assert {*await held(journal)} == {*ways}
            assert (await journal.forget_subject("acme", THEIRS)).derived == ()

    asyncio.run(scenario())


def test_what_a_run_of_somebody_else_was_told_of_their_entries_is_erased(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await merge(journal, "r-1", {"tone": "zebra curt"}, principal=THEIRS)
            lease = await begin(journal, "r-2", principal="user:8")
            changed, cut = theirs("was curt, and is calm now"), theirs("was reverted")
            events = [
                replace(taken(), changed=(ref_of(changed),)),
                MemoryRead(at=2.0, step=0, entries=(1,)),
                MemoryCut(at=2.0, entries=(1, 7), told=(ref_of(cut), ref_of(b"of another entry"))),
            ]
            contents = bodies(changed, cut, b"of another entry")
            await journal.append(lease, 1, events, contents, records=[EntriesRead(numbers=(1,))])
            await merge(journal, "r-2", {"mine": "calm"}, lease=lease, seq=4)
            assert (await journal.forget_subject("acme", THEIRS)).running == ()
            assert find_marks(path) == []
            assert await journal.bodies("acme", [ref_of(b"of another entry")]) != {}
            assert (await journal.verify()).bad is None

    asyncio.run(scenario())


def test_of_a_conversation_that_somebody_else_continued_only_what_is_theirs_is_erased(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            before = manifest(None, [b"asked by another"])
            await talk(journal, "r-0", "user:8", before, bodies(b"asked by another"))
            asked = manifest(ref_of(before), [theirs("request"), theirs("answer"), b"yes"])
            await talk(
                journal, "r-1", THEIRS, asked, bodies(theirs("request"), theirs("answer"), b"yes"), before
            )
            waited = to_canonical_bytes(
                {"prev": ref_of(asked), "messages": [ref_of(theirs("late"))], "run": "r-1"}
            )
            fact, folded = b"in run r-1: zebra paid", b"zebra asked, and was answered"
            other = b"in run r-0: done"
            first = [
                replace(taken(ref_of(waited)), facts=(ref_of(fact), ref_of(other))),
                ContextFolded(
                    at=2.0,
                    frame=0,
                    step=1,
                    trigger="budget",
                    folded=(Folded(~1, "line", "turn", ref_of(folded)),),
                ),
            ]
            after = manifest(ref_of(waited), [fact, other, b"yes"])
            contents = bodies(waited, theirs("late"), fact, other, folded, b"yes")
            await talk(journal, "r-2", "user:8", after, contents, events=first)
            lease = await begin(journal, "r-3", principal="user:8", session="s-2")
            assert (await journal.forget_subject("acme", THEIRS)).running == ("r-3",)
            await finish(journal, lease, 1)
            assert (await journal.forget_subject("acme", THEIRS)).runs == 1
            assert find_marks(path) == []
            kept = bodies(before, asked, waited, after, b"asked by another", other, b"yes")
            assert await journal.bodies("acme", [*kept]) == kept
            assert (await journal.verify()).bad is None

    asyncio.run(scenario())


def test_a_line_about_them_is_erased_also_once_the_run_that_made_it_is_pruned(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    def shorten(said: bytes, text: bytes) -> bytes:
        folds = (Folded(~0, "line", "exchange", ref_of(text)), Folded(~1, "left_out", "exchange"))
        return to_canonical_bytes({**msgspec.json.decode(said), "folds": msgspec.to_builtins(folds)})

    async def scenario() -> None:
        clock = ManualClock()
        async with opened(lambda: SqliteJournal.open(str(path), clock=clock)) as journal:
            before = manifest(None, [b"asked by another", b"an answer"])
            await talk(journal, "r-0", "user:8", before, bodies(b"asked by another", b"an answer"))
            mine = shorten(manifest(ref_of(before), [b"again"]), b"of another alone")
            await talk(journal, "r-1", "user:8", mine, bodies(b"again", b"of another alone"), before)
            asked = manifest(ref_of(mine), [theirs("request")])
            waiting = await begin(journal, "r-2", principal=THEIRS, session="s-2")
            line = b"zebra asked, and was answered"
            after = shorten(manifest(ref_of(asked), [b"yes"]), line)
            told = bodies(b"yes", line, asked, theirs("request"))
            await talk(journal, "r-3", "user:8", after, told, asked)
            await clock.advance(100.0)
            ends = [taken(ref_of(mine)), ended(transcript=ref_of(asked))]
            await journal.append(waiting, 1, ends, {}, summary=Summary(status="completed"))
            last = manifest(ref_of(after), [b"no"])
            await talk(journal, "r-4", "user:8", last, bodies(b"no"), after)
            assert (await journal.prune(before=clock.wall_s() - 1)).runs == 3
            assert (await journal.verify()).bad is None
            await journal.forget_subject("acme", THEIRS)
            assert find_marks(path) == []
            kept = bodies(before, mine, asked, after, last, b"of another alone", b"yes", b"no")
            assert await journal.bodies("acme", [*kept]) == kept
            assert (await journal.verify()).bad is None

    asyncio.run(scenario())


async def talk(
    journal: Journal,
    run: str,
    principal: str,
    said: bytes,
    contents: dict[Ref, bytes],
    before: bytes | None = None,
    *,
    events: Sequence[Event] = (),
) -> None:
    """Records a run of one conversation. `said` is the manifest with which it ends."""
    lease = await begin(journal, run, principal=principal, session="s-2")
    events = [
        *(events or [taken(None if before is None else ref_of(before))]),
        ended(transcript=ref_of(said)),
    ]
    contents = contents | bodies(said)
    await journal.append(lease, 1, events, contents, summary=Summary(status="completed"))


def test_nothing_is_forgotten_while_a_run_of_theirs_or_one_that_has_read_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await live_a_life(journal)
            lease = await begin(journal, "r-6", principal=THEIRS)
            reader = await begin(journal, "r-7", principal="user:8")
            await journal.append(reader, 1, [], {}, records=[EntriesRead(numbers=(1,))])
            head = (await journal.head()).hash
            refused = await journal.forget_subject("acme", THEIRS)
            assert (refused.running, refused.bodies) == (("r-6", "r-7"), 0)
            assert (await journal.head()).hash == head
            await journal.append(lease, 1, [ended("cancelled")], {}, summary=Summary(status="cancelled"))
            assert (await journal.forget_subject("acme", THEIRS)).running == ("r-7",)
            assert (await journal.forget_subject("other", THEIRS)).entries == 0
            with pytest.raises(Misused, match="needs a person"):
                await journal.forget_subject("acme", "")

    asyncio.run(scenario())


def test_an_erased_body_is_not_found_by_its_words_either(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await merge(journal, "r-1", {"zebra key": "one", "b": "zebra value", "c": "kept"})
            assert await journal.erase("acme", [ref_of(b"zebra key"), ref_of(b"zebra value")]) == 2
            assert find_marks(path) == []
            assert await held(journal, text="zebra") == await held(journal, prefix="zebra") == {}
            assert len(await journal.memory_entries("acme", MemoryFilter(scopes=(SCOPE,)))) == 3
            assert (await journal.verify()).bad is None
            await journal.erase("acme")
            assert (await journal.verify()).bad is None

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["erase", "erase all", "collect"])
def test_the_words_of_what_was_superseded_are_gone_with_its_texts(tmp_path: Path, how: str) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await merge(journal, "r-1", {"a": "zebra one", "b": "kept"})
            await merge(journal, "r-2", {"a": "zebra two"}, base=1)
            await merge(journal, "r-3", {"a": None, "c": "there"}, base=2)
            assert find_marks(path) != []
            if how == "collect":
                await journal.prune(before=1e12)
                assert (await journal.collect_memory()).superseded == 3
            else:
                refs = [ref_of(b"zebra one"), ref_of(b"zebra two")] if how == "erase" else None
                assert await journal.erase("acme", refs) >= 2
            assert find_marks(path) == []
            assert (await journal.verify()).bad is None

    asyncio.run(scenario())


def test_erasing_that_was_interrupted_before_the_index_was_made_anew_is_finished_by_erasing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"

    def interrupt(tx: object) -> None:
        raise Misused("interrupted")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await merge(journal, "r-1", {"a": "zebra one", "b": "kept"})
            refs = [ref_of(b"zebra one")]
            with monkeypatch.context() as patch:
                patch.setattr(retention, "rebuild_words", interrupt)
                with pytest.raises(Misused, match="interrupted"):
                    await journal.erase("acme", refs)
        async with opened(lambda: open_at(path)) as journal:
            assert await journal.erase("acme", refs) == 0
            assert find_marks(path) == []
            assert await held(journal, text="kept") == {"b": "kept"}

    asyncio.run(scenario())


def test_forgetting_that_was_interrupted_is_finished_by_forgetting_again(tmp_path: Path) -> None:
    whole = tmp_path / "whole" / "journal.db"
    whole.parent.mkdir()

    async def prepare() -> None:
        async with opened(lambda: open_at(whole)) as journal:
            await live_a_life(journal)

    async def forget(path: Path, disk: Disk | None) -> None:
        async with opened(lambda: open_at(path, disk)) as journal:
            assert (await journal.forget_subject("acme", THEIRS)).running == ()
            if disk is None:
                await check_forgotten(journal)

    async def check_half(path: Path) -> None:
        async with opened(lambda: open_at(path)) as journal:
            assert (await journal.verify()).bad is None

    asyncio.run(prepare())
    number, finished = -2, False
    while not finished:
        number += 3
        path = tmp_path / str(number) / "journal.db"
        path.parent.mkdir()
        for file in whole.parent.iterdir():
            (path.parent / file.name).write_bytes(file.read_bytes())
        disk = Disk(dies_at_write=number).mount()
        try:
            asyncio.run(forget(path, disk))
        except (Broken, Misused):
            assert disk.dead
        finished = not disk.dead
        disk.unmount()
        if number % 5 == 1 or finished:
            asyncio.run(check_half(path))
        asyncio.run(forget(path, None))
        assert find_marks(path) == []
