"""With a key, or with a head that somebody kept, `verify` finds an attacker who rewrites the chain."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest

from journal.edits import edit, hold_again, write_mark
from journal.story import begin, opened, started, whole_run
from seawall import Agent, Seawall
from seawall.core.errors import JournalDamaged, Misused
from seawall.journal.protocol import BadBatch, Setting, Verification
from seawall.journal.sqlite import SqliteJournal
from seawall.journal.sqlite.chain import hash_batch, leaf_of
from seawall.journal.sqlite.row_sum import shorten
from seawall.journal.sqlite.signing import Signer
from seawall.testing import ManualClock, ScriptedModel, say

KEY = b"0123456789abcdef0123456789abcdef"
OTHER = b"another key that nobody has seen"


def open_at(path: str, key: bytes | None = KEY) -> SqliteJournal:
    return SqliteJournal.open(path, clock=ManualClock(), signer=None if key is None else Signer(key))


async def tell(path: str, key: bytes | None, *runs: str) -> None:
    async with opened(lambda: open_at(path, key)) as journal:
        for run in runs:
            await whole_run(journal, run, [f"result of {run}".encode()])


def verified(path: str, *, key: bytes | None = None, head: str | None = None) -> Verification:
    async def scenario() -> Verification:
        async with opened(lambda: open_at(path, None)) as journal:
            return await journal.verify(key=key, head=head)

    return asyncio.run(scenario())


def forge(path: str, number: int, *, keep_macs: bool = True) -> None:
    """Changes the time of a batch, and makes the chain anew from there, as somebody who knows how could."""
    database = apsw.Connection(path)
    database.execute("UPDATE batches SET at = at + 1 WHERE id = ?", (number,))
    rows = list(database.execute("SELECT id, last_entry, at, hash, state FROM batches ORDER BY id"))
    hash_, last = rows[number - 1][3], rows[number - 1][1]
    for key, last_entry, at, _, state in rows[number:]:
        entries = database.execute(
            "SELECT coalesce(r.run, ''), e.box, e.seq, e.n, e.data FROM entries e LEFT JOIN runs r ON r.rk = e.rk "
            "WHERE e.id > ? AND e.id <= ? ORDER BY e.id",
            (last, last_entry),
        )
        assert isinstance(state, bytes)
        hash_ = hash_batch(hash_, key, at, [leaf_of(*entry) for entry in entries], shorten(state))
        database.execute("UPDATE batches SET hash = ? WHERE id = ?", (hash_, key))
        if not keep_macs:
            database.execute("UPDATE batches SET mac = NULL WHERE id = ?", (key,))
        last = last_entry
    database.close()
    write_mark(path)


def explain(bad: BadBatch | None) -> str:
    return "" if bad is None else bad.what


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "journal.db")
    asyncio.run(tell(path, KEY, "r-1", "r-2"))
    return path


def test_a_chain_that_was_made_anew_is_found_with_the_key_and_only_with_it(path: str) -> None:
    assert verified(path, key=KEY).signed_from == 1
    forge(path, 3)

    assert verified(path).ok
    assert explain(verified(path, key=KEY).bad) == "it was not signed with this key"


def test_a_forged_chain_without_signatures_is_found_with_the_key(path: str) -> None:
    forge(path, 3, keep_macs=False)

    assert explain(verified(path, key=KEY).bad) == "it is not signed, but the batch before it is"


def test_a_journal_whose_signatures_were_all_taken_away_is_found_with_the_key(path: str) -> None:
    edit(path, "UPDATE batches SET mac = NULL")

    assert explain(verified(path, key=KEY).bad) == "no batch is signed"


def test_rows_that_were_made_to_fit_are_found_with_the_key(path: str) -> None:
    edit(path, "UPDATE runs SET epoch = 9")
    hold_again(path)
    forge(path, 1)

    assert verified(path).ok
    assert not verified(path, key=KEY).ok


def test_another_key_is_told_apart(path: str) -> None:
    assert explain(verified(path, key=OTHER).bad) == "it was not signed with this key"


def test_a_signature_covers_the_batches_from_before_the_key(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    asyncio.run(tell(path, None, "r-1"))
    asyncio.run(tell(path, KEY, "r-2"))
    found = verified(path, key=KEY)
    assert (found.bad, found.signed_from) == (None, 4)
    forge(path, 2)

    assert explain(verified(path, key=KEY).bad) == "it was not signed with this key"


@pytest.mark.parametrize(("key", "error"), [(None, Misused), (OTHER, JournalDamaged)])
def test_a_process_without_the_key_reads_a_signed_journal_and_writes_nothing(
    path: str, key: bytes | None, error: type[Exception]
) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_at(path, key)) as journal:
            assert len(await journal.runs()) == 2
            with pytest.raises(error, match="signed"):
                await begin(journal, "r-3")
            with pytest.raises(error, match="signed"):
                await journal.set(Setting(kind="guard", name="loops", value="off", by="ops", at=1.0))

    asyncio.run(scenario())
    assert verified(path, key=KEY).ok


def test_what_an_attacker_appended_is_not_signed_by_the_next_process(path: str) -> None:
    forge(path, 6, keep_macs=False)

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match="written without the key"):
                await begin(journal, "r-3")

    asyncio.run(scenario())


def test_a_history_that_was_cut_or_rewritten_lacks_a_head_that_was_kept(path: str, tmp_path: Path) -> None:
    old = str(tmp_path / "old.db")
    for end in ("", ".mark"):
        shutil.copy(path + end, old + end)
    early = verified(path).head
    asyncio.run(tell(path, KEY, "r-3"))
    late = verified(path).head

    assert verified(path, head=early).ok
    assert verified(path, head=late).ok
    assert verified(old, key=KEY).ok  # a cut tail: no key shows it
    assert "was rewritten or cut" in explain(verified(old, head=late).bad)
    forge(path, 2)
    assert "was rewritten or cut" in explain(verified(path, head=late).bad)


def test_the_newest_head_stays_in_the_chain_when_runs_are_pruned(path: str) -> None:
    head = verified(path).head

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await journal.prune(before=1e10)

    asyncio.run(scenario())

    assert verified(path, key=KEY).ok
    assert verified(path, head="0" * 64).bad is not None
    found = verified(path, head=head).bad
    assert found is None or "batches that were pruned since" in found.what


@pytest.mark.parametrize("key", [b"", b"short", "a text of more than sixteen characters"])
def test_a_key_that_is_too_short_or_a_text_is_refused(key: object) -> None:
    with pytest.raises(Misused, match="at least 16 random bytes"):
        Signer(key)  # pyright: ignore[reportArgumentType] -- that is what is tested


def test_a_key_never_reaches_the_file_the_log_or_a_repr(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = tmp_path / "key"
    key.write_bytes(KEY + b"\n")
    text = KEY.decode()

    async def scenario() -> None:
        agent = Agent("desk", model=ScriptedModel([say(f"the key is {text}")]))
        async with Seawall(str(tmp_path / "journal.db"), signing_key=key) as sea:
            outcome = await (await sea.start(agent, f"is it {text}?")).outcome()
            assert text not in str(outcome.answer)
            assert text not in repr(sea)
            assert text not in repr(vars(sea.journal))
            await whole_run(sea.journal, "r-9", [b"x"])

    asyncio.run(scenario())
    for file in tmp_path.glob("journal.db*"):
        assert KEY not in file.read_bytes()
    assert text not in caplog.text
    assert verified(str(tmp_path / "journal.db"), key=KEY).signed_from == 1


def test_a_journal_that_is_open_already_takes_no_key() -> None:
    journal = SqliteJournal.open(":memory:", clock=ManualClock())
    with pytest.raises(Misused, match="signing_key goes with a path"):
        Seawall(journal, signing_key=KEY)
    asyncio.run(journal.close())


def test_a_signed_journal_goes_on_when_its_runs_are_made_in_one_commit(path: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await asyncio.gather(*(journal.create(started(f"r-{n}"), [], {}) for n in range(3, 9)))
            assert (await journal.verify()).signed_from == 1

    asyncio.run(scenario())


def test_a_key_that_is_neither_bytes_nor_a_file_is_named() -> None:
    key: Any = "a text of at least 16 characters"

    with pytest.raises(Misused, match="a key is bytes, or the Path of a file with them, not str"):
        Seawall(link_key=key)
    with pytest.raises(Misused, match="not str"):
        Seawall("desk.db", signing_key=key)
