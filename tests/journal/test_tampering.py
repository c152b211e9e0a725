"""`verify` finds changes that other programs made to the file, and names the place (F07, F08, A19)."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from journal.edits import edit
from journal.effects_story import FACT, tell_of_effects
from journal.memory_story import merge
from journal.story import begin, bodies, finish, opened, step, whole_run
from seawall import Budget, Caps, Seawall
from seawall.adapters.mcp.pin_store import PinStore
from seawall.core.canonical import ref_of
from seawall.core.errors import JournalDamaged, JournalFailed, Misused
from seawall.journal.protocol import Booking, Command, Setting, Spend, Verification
from seawall.journal.sqlite import SqliteJournal, SqliteOptions, identity
from seawall.journal.sqlite.row_sum import HELD
from seawall.testing import ManualClock


def open_at(path: str) -> SqliteJournal:
    return SqliteJournal.open(path, clock=ManualClock())


def tell(path: str) -> None:
    """Records three runs, of which one is unfinished, a command and a setting."""

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1", [b"first result", b"second result"])
            lease = await begin(journal, "r-2")
            await step(journal, lease, 1, b"third result")
            await journal.send("r-2", Command(kind="late", by="user:7"))
            await journal.set(Setting(kind="guard", name="loops", value="off", by="ops", at=1.0))
            await whole_run(journal, "r-3", [b"fourth result"])
            await tell_of_effects(journal)

    asyncio.run(scenario())


def verified(path: str) -> Verification:
    async def scenario() -> Verification:
        async with opened(lambda: open_at(path)) as journal:
            return await journal.verify()

    return asyncio.run(scenario())


def change(path: str, sql: str) -> None:
    database = apsw.Connection(path)
    database.execute(sql)
    assert database.changes() > 0
    database.close()


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def write(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "journal.db")
    tell(path)
    return path


# Each: what is done to the file, and the run, seq and words that are to be named.
_OF_RUN = "(SELECT rk FROM runs WHERE run = '{}')"
_FLIPPED = "CAST(replace(CAST(data AS TEXT), '{}', '{}') AS BLOB)"
_DOUBLED = HELD["effects"].replace("pk", "pk + 9").replace("id, identity", "id || 'x', identity || 'x'")
CHANGES = {
    "a word of an event": (
        f"UPDATE entries SET data = {_FLIPPED.format('find_order', 'find_ordes')} WHERE id = 3",
        ("r-1", 3, "was changed"),
    ),
    "a command": (
        f"UPDATE entries SET data = {_FLIPPED.format('user:7', 'user:8')} WHERE box = 1",
        ("r-2", 0, "was changed"),
    ),
    "a setting": (
        f"UPDATE entries SET data = {_FLIPPED.format('ops', 'opt')} WHERE box = 5",
        (None, 0, "was changed"),
    ),
    "an entry and its short hash": (
        f"UPDATE entries SET data = {_FLIPPED.format('find_order', 'find_ordes')}, leaf = x'00' WHERE id = 3",
        ("r-1", 3, "was changed"),
    ),
    "an entry made to look pruned": (
        "UPDATE entries SET data = NULL, leaf = zeroblob(32) WHERE id = 3",
        ("r-1", 3, "not pruned"),
    ),
    "a deleted entry": ("DELETE FROM entries WHERE id = 3", (None, None, "entry 3 is missing")),
    "a deleted batch": ("DELETE FROM batches WHERE id = 3", (None, None, "missing")),
    "a batch's hash": ("UPDATE batches SET hash = zeroblob(32) WHERE id = 3", (None, None, "hash")),
    "a batch's time": ("UPDATE batches SET at = at + 1 WHERE id = 3", (None, None, "hash")),
    "the newest batches": ("DELETE FROM batches WHERE id > 5", (None, None, "cut off")),
    "a body": (
        "UPDATE bodies SET data = CAST('second resulu' AS BLOB) WHERE data = CAST('second result' AS BLOB)",
        ("r-1", 3, "not what its hash says"),
    ),
    "a deleted body": (
        "DELETE FROM bodies WHERE data = CAST('third result' AS BLOB)",
        ("r-2", 1, "missing, not erased"),
    ),
    "a run's status": ("UPDATE runs SET status = 'halted' WHERE run = 'r-1'", ("r-1", 5, "says halted")),
    "a run's summary": (
        'UPDATE runs SET summary = CAST(\'{"status":"completed","usd":"9"}\' AS BLOB) WHERE run = \'r-1\'',
        ("r-1", None, "end record"),
    ),
    "a run's tenant": (
        "INSERT INTO tenants(id, name) VALUES (9, 'mallory'); UPDATE runs SET tenant = 9 WHERE run = 'r-2'",
        ("r-2", None, ""),
    ),
    "a run's request": ("UPDATE runs SET request_id = 'x' WHERE run = 'r-2'", ("r-2", 0, "first event")),
    "a run that never ended": (
        "UPDATE runs SET ended_at = NULL, status = NULL, summary = NULL WHERE run = 'r-3'",
        ("r-3", 3, "not ended"),
    ),
    "a run that ended early": (
        "UPDATE runs SET ended_at = 1, status = 'completed', summary = CAST('{}' AS BLOB) WHERE run = 'r-2'",
        ("r-2", None, "end record"),
    ),
    "a vote": (
        f"UPDATE proposals SET record = {_FLIPPED.replace('data', 'record').format('bob', 'eve')}",
        ("r-4", None, "table proposals is not what was written"),
    ),
    "a decision": (
        f"UPDATE entries SET data = {_FLIPPED.format('as agreed', 'as asked!')} WHERE box = 6",
        (None, None, "was changed"),
    ),
    "a deleted decision": ("DELETE FROM entries WHERE box = 6 AND seq = 1", (None, None, "is missing")),
    "an effect": (
        f"UPDATE effects SET record = {_FLIPPED.replace('data', 'record').format('committed', 'attempted')}",
        ("r-4", None, "table effects is not what was written"),
    ),
    "an effect's state": (
        "UPDATE effects SET state = 'failed' WHERE run = 'r-4'",
        ("r-4", None, "table effects is not what was written"),
    ),
    "a deleted effect": ("DELETE FROM effects WHERE run = 'r-4'", (None, None, "the sum differs")),
    "a doubled effect": (
        f"INSERT INTO effects({HELD['effects']}, leaf) SELECT {_DOUBLED}, leaf FROM effects WHERE run = 'r-4'",
        ("r-4", None, "not what was written"),
    ),
    "a sum": ("UPDATE sums SET spent = '5' WHERE spent = '500'", (None, None, "table sums is not what")),
    "a deleted wait": ("DELETE FROM waits", (None, None, "the sum differs")),
    "a principal's role": (
        f"UPDATE principals SET record = {_FLIPPED.replace('data', 'record').format('finance', 'cleaner')}",
        (None, None, "table principals is not what"),
    ),
    "a deleted fact": ("DELETE FROM facts", (None, None, "the sum differs")),
    "the body of a fact": (
        f"DELETE FROM bodies WHERE data = CAST('{FACT.decode()}' AS BLOB)",
        ("r-4", None, "of fact 1 is missing, not erased"),
    ),
    "commands that were taken": (
        "UPDATE runs SET taken = commands WHERE run = 'r-4'",
        ("r-4", None, "commands were taken"),
    ),
    "a deleted run": ("DELETE FROM runs WHERE run = 'r-2'", (None, 0, "row of run")),
    "a deleted run with all it held": (
        f"DELETE FROM entries WHERE rk = {_OF_RUN.format('r-2')}; DELETE FROM runs WHERE run = 'r-2'",
        (None, None, "missing"),
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_verify_names_the_first_thing_that_was_changed(path: str, what: str) -> None:
    sql, (run, seq, words) = CHANGES[what]
    before = verified(path)
    assert before.bad is None
    change(path, sql)
    bad = verified(path).bad

    assert bad is not None
    assert words in bad.what
    assert (bad.run, bad.seq if seq is not None else None) == (run, seq)
    assert 0 < bad.batch <= before.batches + 1


def test_an_erased_body_is_not_bad(path: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await journal.erase("acme", [ref_of(b"third result")])

    asyncio.run(scenario())

    found = verified(path)
    assert (found.ok, found.erased) == (True, 1)


def test_erased_content_is_nowhere_in_the_file(path: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await journal.erase("acme", [ref_of(b"third result")])
            for file in Path(path).parent.iterdir():
                assert b"third result" not in file.read_bytes()

    asyncio.run(scenario())


def test_every_flipped_byte_of_the_content_is_found(path: str, tmp_path: Path) -> None:
    """SQLite still opens and reads such a file; `verify` reports the content that was changed."""
    sound = Path(path).read_bytes()
    places = [sound.index(b"second result") + 3, sound.index(b"find_order") + 1, sound.rindex(b"run_ended")]
    for number, place in enumerate(places):
        copy = tmp_path / f"copy-{number}.db"
        rotten = bytearray(sound)
        rotten[place] ^= 1
        copy.write_bytes(rotten)
        found = verified(str(copy))
        assert found.bad is not None, f"byte {place}"


def test_a_tail_that_was_cut_off_opens_for_reading_only_and_says_so(tmp_path: Path) -> None:
    path, old = str(tmp_path / "journal.db"), str(tmp_path / "old.db")

    async def work() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1", [b"x"])
        shutil.copy(path, old)
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-2", [b"y"])

    async def look() -> None:
        journal = open_at(path)
        async with opened(lambda: journal):
            assert [row.run for row in await journal.runs()] == ["r-1"]
            with pytest.raises(JournalFailed, match="has lost its tail: it ends at batch"):
                await begin(journal, "r-3")
            assert "lost its tail" in (journal.problem or "")
            found = await journal.verify()
            assert found.bad is not None
            assert "mark remembers batch" in found.bad.what

    asyncio.run(work())
    shutil.copy(old, path)
    asyncio.run(look())
    Path(path + ".mark").unlink()

    async def accept() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await begin(journal, "r-3")

    asyncio.run(accept())


def test_a_torn_write_ahead_log_is_found(tmp_path: Path) -> None:
    path, copy = str(tmp_path / "journal.db"), str(tmp_path / "copy.db")

    async def scenario() -> None:
        options = SqliteOptions(mark_batches=1)
        journal = SqliteJournal.open(path, clock=ManualClock(), options=options)
        async with opened(lambda: journal):
            await whole_run(journal, "r-1", [b"x", b"y", b"z"])
            log = bytearray(read(path + "-wal"))
            log[len(log) // 2] ^= 1  # SQLite drops this frame and all that follow, and says nothing
            write(copy + "-wal", bytes(log))
            shutil.copy(path, copy)
            shutil.copy(path + ".mark", copy + ".mark")

    asyncio.run(scenario())
    found = verified(copy)
    assert found.bad is not None
    assert "lost its tail" in found.bad.what


def test_a_rewritten_history_does_not_fit_the_mark(tmp_path: Path) -> None:
    one, two = str(tmp_path / "one.db"), str(tmp_path / "two.db")

    async def scenario(path: str, result: bytes) -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1", [result])

    asyncio.run(scenario(one, b"x"))
    asyncio.run(scenario(two, b"y"))
    shutil.copy(one + ".mark", two + ".mark")

    found = verified(two)
    assert found.bad is not None
    assert "another journal" in found.bad.what


def test_a_journal_that_is_gone_is_not_silently_begun_again(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    tell(path)
    Path(path).unlink()

    with pytest.raises(JournalFailed, match="is gone, but its high-water mark"):
        open_at(path)


def test_the_mark_lags_by_no_more_than_it_says(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    clock = ManualClock()

    async def scenario() -> None:
        options = SqliteOptions(mark_batches=4)
        journal = SqliteJournal.open(path, clock=clock, options=options)
        async with opened(lambda: journal):
            lease = await begin(journal, "r-1")
            for number in range(12):
                await step(journal, lease, 1 + 2 * number, b"%d" % number)
            await journal.verify()
            marked = read(path + ".mark")
            assert marked
            await finish(journal, lease, 25)
            await begin(journal, "r-2")  # what follows a commit is done before the next one
            await clock.advance(1.0)
            await begin(journal, "r-3")
            await begin(journal, "r-4")

            assert read(path + ".mark") != marked

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("PRAGMA user_version = 9", "has schema 9, this seawall reads up to 8: upgrade seawall"),
        ("PRAGMA application_id = 99", "another program"),
    ],
)
def test_a_file_of_a_newer_or_another_program_is_refused(path: str, sql: str, words: str) -> None:
    database = apsw.Connection(path)
    database.execute(sql)
    database.close()

    with pytest.raises(Misused, match=words):
        open_at(path)


def test_a_database_that_is_not_a_journal_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "orders.db")
    database = apsw.Connection(path)
    database.execute("CREATE TABLE orders(id)")
    database.close()

    with pytest.raises(Misused, match="not a Seawall journal"):
        open_at(path)


def _no_directory(path: Path) -> Path:
    return path / "missing" / "journal.db"


def _a_directory(path: Path) -> Path:
    return path


def _a_text(path: Path) -> Path:
    file = path / "notes.txt"
    file.write_bytes(b"not a database at all " * 100)
    return file


def _a_name_too_long(path: Path) -> Path:
    return path / ("x" * 300)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_no_directory, "missing does not exist"),
        (_a_directory, "is a directory"),
        (_a_text, "not a SQLite database"),
        (_a_name_too_long, "File name too long"),
    ],
)
def test_a_path_that_can_hold_no_journal_is_named(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    path = make(tmp_path)

    for create in (True, False):
        with pytest.raises(Misused, match=words if create else f"{words}|there is no journal") as refused:
            SqliteJournal.open(str(path), clock=ManualClock(), create=create)
        assert str(path)[:150] in str(refused.value)


def test_a_journal_that_should_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Misused, match="there is no journal"):
        SqliteJournal.open(str(tmp_path / "journal.db"), clock=ManualClock(), create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_a_zero_byte_or_in_a_folder_that_may_not_be_searched_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Misused, match="embedded null"):
        open_at("journal\0.db")

    def refuse(path: str) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(identity.os, "stat", refuse)
    with pytest.raises(Misused, match="Permission denied"):
        open_at(str(tmp_path / "journal.db"))


def test_an_empty_file_is_no_journal_unless_one_may_be_made(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.touch()

    with pytest.raises(Misused, match="there is no journal"):
        SqliteJournal.open(str(path), clock=ManualClock(), create=False)
    assert path.read_bytes() == b""
    assert list(tmp_path.iterdir()) == [path]
    tell(str(path))
    path.write_bytes(b"")
    for create in (True, False):
        with pytest.raises(JournalFailed, match="is empty, but its high-water mark"):
            SqliteJournal.open(str(path), clock=ManualClock(), create=create)
    assert path.read_bytes() == b""


def test_a_mark_that_is_a_pipe_is_told_and_not_waited_for(path: str) -> None:
    mark = Path(path + ".mark")
    mark.unlink()
    os.mkfifo(mark)

    bad = verified(path).bad

    assert bad is not None
    assert "high-water mark" in bad.what
    assert "can't be read" in bad.what


def test_bodies_that_are_not_text_verify(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            lease = await begin(journal, "r-1")
            content = bytes(range(256)) * 4_000
            await journal.append(lease, 1, [], bodies(content))

    asyncio.run(scenario())
    assert verified(path).ok


# ---- records that decide, and that no batch holds

CAPS = '{"tenant":{"model_calls":999999}}'


@pytest.mark.parametrize("key", ["caps", "caps:acme", "mcp/bank", "mcp/bank/pay", "effects/identity-key"])
@pytest.mark.parametrize("known", [False, True], ids=["new", "instead of one"])
def test_a_record_that_decides_and_is_in_no_batch_is_found_and_not_read(
    tmp_path: Path, key: str, known: bool
) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await begin(journal, "r-1")
            if known:
                await journal.change(key, lambda _: b"{}")
        edit(
            path,
            f"INSERT OR REPLACE INTO shared VALUES (CAST('{key}' AS BLOB), CAST('{CAPS}' AS BLOB), NULL)",
        )
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match="was not written here"):
                await journal.shared(key)
            with pytest.raises(JournalDamaged, match="was not written here"):
                await journal.change(key, lambda old: old)

    asyncio.run(scenario())
    bad = verified(path).bad
    assert bad is not None and f"shared record {key.encode()!r} was not written here" in bad.what


def test_the_chain_holds_caps_pins_and_the_key_of_identities(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with Seawall(path, budget=Budget(tenants={"acme": Caps(model_calls=1)})) as sea:
            await PinStore(sea.journal, ManualClock()).note_first_use("bank", "alice")
            await sea.journal.identity_key()

    asyncio.run(scenario())
    database = apsw.Connection(path)
    rows = list(database.execute("SELECT CAST(key AS TEXT), leaf IS NOT NULL FROM shared ORDER BY key"))
    database.close()
    assert rows == [("caps", 1), ("caps:acme", 1), ("effects/identity-key", 1), ("mcp/bank", 1)]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'memories'",
        "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'memories'",
        "UPDATE sqlite_sequence SET seq = 'x' WHERE name = 'memories'",
        "UPDATE sqlite_sequence SET name = 'facts' WHERE name = 'memories'",
        "DELETE FROM sqlite_sequence",
    ],
)
def test_a_counter_that_would_give_a_number_again_or_none_is_found(tmp_path: Path, sql: str) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await merge(journal, "m-1", {"a": "1", "b": "2"})

    asyncio.run(scenario())
    assert verified(path).ok
    edit(path, sql)
    bad = verified(path).bad
    assert bad is not None and "the counter of table" in bad.what


def test_an_account_that_another_program_deleted_is_written_again_by_the_next_booking(path: str) -> None:
    day = "2026-01-01"
    booking = Booking(day=day, spent=Spend(tokens=2))

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await journal.book("acme", [booking])
            change(path, f"DELETE FROM accounts WHERE day = '{day}' AND tenant = -1")
            await journal.book("acme", [booking])
            assert [each.spent.tokens for each in await journal.accounts(day=day)] == [4, 4]
            assert (await journal.verify()).bad is None

    asyncio.run(scenario())
