"""A damaged journal is found, its place is named, and nothing acts on it."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import apsw
import pytest

from journal.damage import fuzz, make_journal
from journal.edits import edit
from journal.story import begin, bodies, done, ended, finish, manifest, opened, step, whole_run
from seawall import Agent, Outcome, Seawall, Team, Tool
from seawall.core.canonical import ref_of
from seawall.core.errors import JournalDamaged, JournalFailed
from seawall.core.events import CommandTaken, LimitsRaised, StepDone
from seawall.core.limits import Limits
from seawall.journal.protocol import Booking, Cap, Command, Spend, Summary, Verification
from seawall.journal.sqlite import SqliteJournal, verify
from seawall.models.scripted import Reply, Slow
from seawall.testing import ManualClock, ScriptedModel, call, hang, say

MUTATIONS = 150


def open_at(path: str) -> SqliteJournal:
    return SqliteJournal.open(path, clock=ManualClock())


def verified(path: str) -> Verification:
    async def scenario() -> Verification:
        async with opened(lambda: open_at(path)) as journal:
            return await journal.verify()

    return asyncio.run(scenario())


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with runs of every kind."""
    path = tmp_path_factory.mktemp("sound") / "journal.db"
    asyncio.run(make_journal(str(path)))
    return path


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> str:
    """A copy of it."""
    copy = tmp_path / "journal.db"
    copy.write_bytes(sound.read_bytes())
    Path(f"{copy}.mark").write_bytes(Path(f"{sound}.mark").read_bytes())
    return str(copy)


def test_no_damage_is_missed_and_no_command_ends_in_a_traceback(tmp_path: Path) -> None:
    report = fuzz(tmp_path, seed=20261128, number=MUTATIONS)

    assert (report.missed, report.accidents) == ([], [])
    assert report.counts["verify names it"] > MUTATIONS // 4


EDITS = {
    "every text, to look erased": ("UPDATE bodies SET data = NULL", "no note says that it was erased"),
    "that a run waits": ("UPDATE runs SET waiting = 1 WHERE rk = 5", "is not what was written"),
    "a run's epoch": ("UPDATE runs SET epoch = 9 WHERE rk = 5", "is not what was written"),
    "a run's owner": ("UPDATE runs SET owner = 'x:1:2' WHERE rk = 5", "is not what was written"),
    "that runs were pruned": ("UPDATE runs SET pruned = 1", "says that it was pruned"),
    "how many events a run has": ("UPDATE runs SET events = events - 1 WHERE rk = 5", "the run's row says"),
    "how many commands a run without any has taken": (
        "UPDATE runs SET taken = -1 WHERE commands = 0 AND ended_at IS NULL",
        "commands were taken, its events say 0",
    ),
    "how many commands it has": ("UPDATE runs SET commands = 1 WHERE rk = 5", "the run's row says"),
    "an account": ("UPDATE accounts SET spent_tokens = 0", "is not what was written"),
    "every account": ("DELETE FROM accounts", "the sum differs"),
    "a cap": ("DELETE FROM shared WHERE key = CAST('caps' AS BLOB)", "the sum differs"),
    "a tenant that has no runs": ("INSERT INTO tenants(id, name) VALUES (99, 'new')", "not what was written"),
    "a row to another's content": (
        """UPDATE accounts SET (spent_tokens, leaf) =
        (SELECT spent_tokens, leaf FROM accounts WHERE day = '*' LIMIT 1)""",
        "is not what was written",
    ),
    "a pause, as if its batch had been pruned": (
        """UPDATE batches SET since = id, prev = (SELECT hash FROM batches b WHERE b.id = batches.id - 1)
        WHERE last_entry = (SELECT id FROM entries WHERE box = 5); DELETE FROM entries WHERE box = 5""",
        "no note says that they were pruned",
    ),
    "where a batch ends, far away": (
        "UPDATE batches SET last_entry = 1 << 62 WHERE id = (SELECT max(id) - 3 FROM batches)",
        "is missing",
    ),
    "an entry's type": ("UPDATE entries SET data = CAST(data AS TEXT) WHERE box = 0", "can't be read"),
    "what an entry of memory is searched by": (
        "UPDATE memory_search SET words = 'other' WHERE rowid = (SELECT max(rowid) FROM memory_search)",
        "is in the index of words with wrong words",
    ),
    "what is found of memory that died": (
        "INSERT INTO memory_search(rowid, words) SELECT number, 'x' FROM memories WHERE died IS NOT NULL LIMIT 1",
        "is not a live entry of memory",
    ),
    "the keys of memory": ("DELETE FROM memory_keys", "is not in the index of keys"),
    "a key's text": (
        "UPDATE memory_keys SET text = 'x' || text",
        "is in the index of keys with another text",
    ),
    "a key that nobody wrote": (
        "INSERT INTO memory_keys SELECT tenant, 'shared', text, key FROM memory_keys LIMIT 1",
        "belongs to no entry of memory",
    ),
    "a batch's time to a text": ("UPDATE batches SET at = 'x' WHERE id = 30", "can't be read"),
}


@pytest.mark.parametrize("what", EDITS)
def test_verify_names_an_edit_of(path: str, what: str) -> None:
    sql, words = EDITS[what]
    assert verified(path).bad is None
    edit(path, sql)
    bad = verified(path).bad

    assert bad is not None
    assert words in bad.what


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE memory_reads SET entry = entry + 1 WHERE run = 'm-2'",
        "UPDATE memories SET number = 77 WHERE run = 'm-2' AND number = (SELECT max(number) FROM memories WHERE run = 'm-2')",
    ],
)
def test_what_a_run_has_read_and_written_is_held_against_its_row(path: str, sql: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await journal.memory_behind(["m-2"])

    asyncio.run(scenario())
    edit(path, sql)
    with pytest.raises(JournalDamaged, match="is not what was written"):
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DROP INDEX entries_by_run", "the index entries_by_run is missing"),
        ("DROP INDEX runs_by_request; CREATE INDEX runs_by_request ON runs(tenant)", "is not defined as"),
        (
            "CREATE TRIGGER t AFTER INSERT ON entries BEGIN SELECT 1; END",
            "trigger t does not belong to a journal",
        ),
        (
            (
                "PRAGMA writable_schema = 1; INSERT INTO sqlite_schema VALUES ('trigger', 'sqlite_t', 'effects', 0, "
                "'CREATE TRIGGER sqlite_t BEFORE INSERT ON effects BEGIN SELECT RAISE(IGNORE); END')"
            ),
            "trigger sqlite_t does not belong to a journal",
        ),
    ],
)
def test_verify_names_what_is_wrong_with_the_schema(path: str, sql: str, words: str) -> None:
    database = apsw.Connection(path)
    database.execute(sql)
    database.close()
    bad = verified(path).bad

    assert bad is not None
    assert words in bad.what
    assert bad.batch == verify.FILE


def test_statistics_that_another_program_made_are_no_damage(path: str) -> None:
    database = apsw.Connection(path)
    database.execute("ANALYZE")
    database.close()

    assert verified(path).ok


def test_a_run_that_goes_on_has_taken_what_its_record_says_whatever_its_row_says(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def end_and_command() -> None:
        async with opened(lambda: open_at(path)) as journal:
            lease = await begin(journal, "r-1")
            await journal.send("r-1", Command(kind="late"))
            await journal.append(lease, 1, [CommandTaken(at=1.0, inbox=0, command="late")], {})
            await finish(journal, lease, 2, "halted")

    async def go_on() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await journal.reopen("r-1", 3, [LimitsRaised(at=5.0, limits=Limits(), by="ann")], {})
            lease = await journal.take("r-1")
            await journal.append(lease, 4, [], {}, waiting=True)
            await journal.send("r-1", Command(kind="late"))
        async with opened(lambda: open_at(path)) as journal:
            assert await journal.woken_runs(["desk"]) == ["r-1"]
            assert (await journal.verify()).ok

    asyncio.run(end_and_command())
    edit(path, "UPDATE runs SET taken = 77")
    asyncio.run(go_on())


def test_verify_says_that_the_mark_is_gone(path: str) -> None:
    Path(path + ".mark").unlink()
    bad = verified(path).bad

    assert bad is not None
    assert "its high-water mark" in bad.what
    assert verified(path).bad is None


def test_a_journal_whose_maker_died_before_its_mark_gets_one_before_its_first_batch(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        await open_at(path).close()
        Path(path + ".mark").unlink()  # as if its process had been killed before it wrote the mark
        async with opened(lambda: open_at(path)) as first:
            await begin(first, "r-1")
            async with opened(lambda: open_at(path)) as second:
                assert (await second.verify()).bad is None

    asyncio.run(scenario())


def test_a_journal_without_its_genesis_does_not_open(path: str) -> None:
    edit(path, "DELETE FROM meta WHERE key = 'genesis'")

    with pytest.raises(JournalDamaged, match="row genesis of table meta"):
        open_at(path)


def test_a_message_of_a_conversation_that_is_gone_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    first = manifest(None, [b"hello", b"hi"])
    second = manifest(ref_of(first), [b"and?"])

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            lease = await begin(journal, "r-1", session="s")
            contents = bodies(b"hello", b"hi", b"and?", first, second)
            events = [done(1, b"hi"), ended(transcript=ref_of(second))]
            await journal.append(lease, 1, events, contents, summary=Summary(status="completed"))

    asyncio.run(scenario())
    assert verified(path).ok
    edit(path, "DELETE FROM bodies WHERE data = CAST('hello' AS BLOB)")
    bad = verified(path).bad

    assert bad is not None
    assert "of its conversation is missing" in bad.what


def test_a_message_without_a_text_is_not_taken_for_one_whose_text_is_gone(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    said = b'{"prev":null,"messages":[["assistant",""],["tool","",1,"call-1","find"]]}'

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            lease = await begin(journal, "r-1", session="s")
            events = [done(1, b"hi"), ended(transcript=ref_of(said))]
            await journal.append(lease, 1, events, bodies(b"hi", said), summary=Summary(status="completed"))

    asyncio.run(scenario())
    assert verified(path).ok


def flip_index(path: str, name: str) -> None:
    """Changes how many cells the root page of an index says that it has: one bit."""
    database = apsw.Connection(path)
    database.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    found = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    size = database.pragma("page_size")
    database.close()
    assert found is not None
    assert isinstance(size, int)
    data = bytearray(Path(path).read_bytes())
    at = (found[0] - 1) * size + 4
    data[at] ^= 2 if data[at] & 2 else 4
    Path(path).write_bytes(data)


def test_a_flipped_bit_in_an_index_never_makes_a_recorded_effect_again(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    paid: list[str] = []

    def pay(order: str) -> str:
        """Pay."""
        paid.append(order)
        return "paid"

    def desk(last: Reply | Slow) -> Team[None]:
        model = ScriptedModel([call("pay", order="1"), last], by="position")
        return Team(Agent("desk", model=model, tools=[Tool(pay, effect=True)]))

    async def work() -> str:
        async with Seawall(path) as sea:
            run = await sea.start(desk(hang()), "pay order 1")
            async for event in run.events():
                if isinstance(event, StepDone) and paid:
                    return run.id
        raise AssertionError("it was never paid")

    async def resume(run: str) -> Outcome:
        async with Seawall(path) as sea:
            return await (await sea.resume(run, desk(say("done")))).outcome()

    run = asyncio.run(work())
    flip_index(path, "entries_by_run")
    with pytest.raises((JournalDamaged, JournalFailed), match=r"missing|malformed"):
        asyncio.run(resume(run))

    assert paid == ["1"]
    bad = verified(path).bad
    assert bad is not None
    assert "integrity check" in bad.what


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM entries WHERE box = 0 AND seq = 1", "event 1 is missing"),
        ("DELETE FROM entries WHERE box = 0 AND seq = 3", "event 3 is missing"),
        (
            "UPDATE entries SET data = CAST(replace(CAST(data AS TEXT), 'find', 'fund') AS BLOB) WHERE seq = 3",
            "event 3 is not what was",
        ),
        ("UPDATE entries SET n = 1 WHERE seq = 3", "event 3 is not what was written"),
        ("UPDATE entries SET data = NULL WHERE seq = 1", "event 1 is not what was written"),
        ("UPDATE runs SET pruned = 1", "table runs is not what was written"),
        (
            "UPDATE runs SET run = 'r-1 '; UPDATE runs SET run = 'r-1', epoch = 7",
            "table runs is not what was",
        ),
    ],
)
def test_events_that_do_not_chain_are_not_read(tmp_path: Path, sql: str, words: str) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            lease = await begin(journal, "r-1")
            await step(journal, lease, 1, b"x")
            await step(journal, lease, 3, b"y")
        edit(path, sql)
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match=words):
                await journal.events("r-1")

    asyncio.run(scenario())


def test_a_command_that_is_gone_stops_the_run_that_it_was_for(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await begin(journal, "r-1")
            await journal.send("r-1", Command(kind="cancel", by="ops"))
        edit(path, "DELETE FROM entries WHERE box = 1")
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match="command 0 is missing"):
                await journal.inbox("r-1")

    asyncio.run(scenario())


def test_a_run_whose_row_was_edited_is_not_taken(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await begin(journal, "r-1")
            await begin(journal, "r-2")
        edit(path, "UPDATE runs SET epoch = 0 WHERE run = 'r-1'")
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match=r"run r-1: the row 1, 'r-1' of table runs"):
                await journal.take("r-1")
            with pytest.raises(JournalDamaged):
                await journal.row("r-1")
            assert (await journal.take("r-2")).epoch == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("money", ["1", "NaN", "x", "-5", b"1", None])
def test_nothing_is_reserved_on_an_account_that_was_edited(tmp_path: Path, money: object) -> None:
    path = str(tmp_path / "journal.db")
    cap = Cap(scope="tenant", tenant="acme", tokens=100)

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await journal.book("acme", [Booking(day="2026-11-28", spent=Spend(tokens=90))])
        database = apsw.Connection(path)
        database.execute("UPDATE accounts SET spent_tokens = coalesce(?, spent_tokens - 1)", (money,))
        database.close()
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match="table accounts is not what was written"):
                await journal.reserve("acme", "2026-11-28", Spend(tokens=20), [cap])
            with pytest.raises(JournalDamaged):
                await journal.accounts()

    asyncio.run(scenario())


def test_a_body_that_is_lost_is_not_taken_for_one_that_was_erased(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    refs = [ref_of(b"lost"), ref_of(b"erased")]

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1", [b"lost", b"erased"])
            await journal.erase("acme", refs[1:])
            assert await journal.bodies("acme", refs, or_erased=True) == bodies(b"lost")
        edit(path, "DELETE FROM bodies WHERE data = CAST('lost' AS BLOB)")
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match="is missing, and was not erased"):
                await journal.bodies("acme", refs, or_erased=True)

    asyncio.run(scenario())


def test_a_body_that_was_changed_is_not_read(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1", [b"10 EUR"])
        edit(path, "UPDATE bodies SET data = CAST('90 EUR' AS BLOB) WHERE data = CAST('10 EUR' AS BLOB)")
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match="is not what its hash says"):
                await journal.bodies("acme", [ref_of(b"10 EUR")])

    asyncio.run(scenario())


def test_a_newest_batch_that_was_damaged_takes_no_more_writes(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await begin(journal, "r-1")
        edit(path, "UPDATE batches SET state = zeroblob(9) WHERE id = (SELECT max(id) FROM batches)")
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match="is not the newest one that was written"):
                await begin(journal, "r-2")
            assert len(await journal.events("r-1")) == 1

    asyncio.run(scenario())


def test_tenants_whose_rows_are_gone_are_damage_and_no_bug(path: str) -> None:
    """Their request ids are in an index still, so nothing is written a second time."""
    edit(path, "DELETE FROM tenants WHERE id > 0")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match="UNIQUE constraint"):
                await begin(journal, "r-again", tenant="acme", request_id="r-0")

    asyncio.run(scenario())


def test_advice_that_was_damaged_is_as_good_as_none(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await journal.change("k", lambda _: b"v")
            await journal.change("caps:held", lambda _: b"v")
        edit(path, "UPDATE shared SET value = 7 WHERE key = CAST('k' AS BLOB)")
        async with opened(lambda: open_at(path)) as journal:
            assert await journal.shared("k") == {}
            assert await journal.change("k", lambda old: b"new" if old is None else old) == b"new"
        edit(path, "UPDATE shared SET value = 7 WHERE key = CAST('caps:held' AS BLOB)")
        async with opened(lambda: open_at(path)) as journal:
            with pytest.raises(JournalDamaged, match="table shared is not what was written"):
                await journal.shared("caps:held")

    asyncio.run(scenario())


def test_names_of_64_hexadecimal_digits_cost_verify_no_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search of all entries for each name took time in the square of the runs."""
    path = str(tmp_path / "journal.db")
    searched: list[str] = []

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            for number in range(30):
                name = hashlib.sha256(b"%d" % number).hexdigest()
                await whole_run(journal, f"r-{number}", [b"x"], request_id=name, session=name)
            original = verify.Database.fetch_first

            def fetch_first(self: verify.Database, sql: str, values: tuple[object, ...] = ()) -> object:
                searched.append(sql)
                return original(self, sql, values)

            monkeypatch.setattr(verify.Database, "fetch_first", fetch_first)
            assert (await journal.verify()).ok

    asyncio.run(scenario())
    assert [sql for sql in searched if "instr(" in sql] == []


@pytest.mark.parametrize("state", ["", ", state"], ids=["schema 2", "schema 6"])
def test_an_older_process_that_is_still_open_can_not_write_past_the_chain(tmp_path: Path, state: str) -> None:
    path = str(tmp_path / "journal.db")
    asyncio.run(open_at(path).close())
    database = apsw.Connection(path)
    values = f"VALUES (1, 0, 1.0, zeroblob(32){', zeroblob(256)' if state else ''})"

    with pytest.raises(apsw.ConstraintError, match="end the process of the older one"):
        database.execute(f"INSERT INTO batches(id, last_entry, at, hash{state}) {values}")
    database.close()
