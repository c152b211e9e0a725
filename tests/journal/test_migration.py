"""Files that an older version wrote are migrated as a whole, or not at all (F25)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from journal.disk import Disk
from journal.edits import leave_schema_6, leave_schema_7, write_mark
from journal.effects_story import claim_of
from journal.story import begin, opened, step, whole_run
from seawall.core.errors import Broken, JournalDamaged, Misused
from seawall.core.events import CommandTaken
from seawall.journal.protocol import Booking, Command, Setting, Spend
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.journal.sqlite.schema import VERSION
from seawall.testing import ManualClock

SCHEMA_1 = (Path(__file__).parent / "data" / "schema-1.sql").read_text(encoding="utf-8")
STRIDE = 3
"""Every how many writes the disk dies. Heads of frames and their pages take turns, and an odd number meets both."""
BESIDE = {"shared", "accounts", "effects", "proposals"}


def open_at(path: str, disk: Disk | None = None) -> SqliteJournal:
    options = SqliteOptions(vfs=None if disk is None else disk.name)
    return SqliteJournal.open(path, clock=ManualClock(), options=options)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file of schema 1."""
    path = str(tmp_path / "journal.db")
    database = apsw.Connection(path)
    database.execute(SCHEMA_1)
    database.close()
    write_mark(path)
    return path


def look(path: str) -> tuple[object, set[str]]:
    """Returns the file's schema, and the tables beside the chain that it has."""
    database = apsw.Connection(path)
    version = database.pragma("user_version")
    names = {str(row[0]) for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    database.close()
    return version, names & BESIDE


def check_whole(path: str) -> None:
    """Checks that everything of schema 1 is in the journal, and that the new tables work."""

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            assert [(row.run, row.state, row.events) for row in await journal.runs()] == [
                ("r-2", "interrupted", 3),
                ("r-1", "ended", 4),
            ]
            assert [item.command.kind for item in await journal.inbox("r-2")] == ["cancel"]
            assert await journal.settings() == {
                ("guard", "loops"): Setting(
                    kind="guard", name="loops", value="observe", by="ops", at=2.0, until=9.0
                ),
                ("guard", "limits"): Setting(kind="guard", name="limits", value="enforce", by="ops", at=3.0),
            }
            found = await journal.verify()
            assert (found.bad, found.batches, found.events) == (None, 11, 7)
            again = Setting(kind="guard", name="loops", value="off", by="ops", at=4.0)
            await journal.set(again)
            assert (await journal.settings())["guard", "loops"] == again
            await journal.change("k", lambda _: b"v")
            lease = await journal.take("r-2")
            await journal.append(lease, 3, [], {}, booked=[Booking(day="2026-01-01", spent=Spend(tokens=1))])
            await step(journal, lease, 3, b"x")
            assert await journal.shared("") == {"k": b"v"}
            assert [each.day for each in await journal.accounts(tenant="acme")] == ["*", "2026-01-01"]
            assert (await journal.verify()).ok

    asyncio.run(scenario())


def test_a_file_of_schema_1_is_brought_up_to_date_with_all_that_it_holds(path: str) -> None:
    assert look(path) == (1, set())
    asyncio.run(open_at(path).close())
    assert look(path) == (VERSION, BESIDE)
    check_whole(path)


@pytest.mark.parametrize("power_fails", [False, True], ids=["killed", "power-cut"])
def test_an_end_at_a_write_of_the_migration_leaves_the_old_schema_or_the_new_one(
    tmp_path: Path, power_fails: bool
) -> None:
    left: list[tuple[object, set[str]]] = []
    finished = False
    number = 1 - STRIDE
    while not finished:
        number += STRIDE
        path = str(tmp_path / f"{number}.db")
        database = apsw.Connection(path)
        database.execute(SCHEMA_1)
        database.close()
        write_mark(path)
        disk = Disk(dies_at_write=number).mount()
        try:
            asyncio.run(open_at(path, disk).close())
        except (Broken, Misused):
            assert disk.dead
        finished = not disk.dead
        if power_fails:
            disk.cut_power()
        disk.unmount()
        left.append(look(path))
        check_whole(path)

    assert [each for each in left if each not in ((1, set()), (VERSION, BESIDE))] == []
    assert left[0] == (1, set())
    assert left[-1] == (VERSION, BESIDE)


def test_a_file_of_schema_6_knows_which_of_its_runs_have_new_commands(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def write() -> None:
        async with opened(lambda: open_at(path)) as journal:
            for run, takes in (("r-1", True), ("r-2", False), ("r-3", None)):
                lease = await begin(journal, run)
                await journal.append(lease, 1, [], {}, waiting=True)
                if takes is not None:
                    await journal.send(run, Command(kind="late"))
                if takes:
                    taken = CommandTaken(at=1.0, inbox=0, command="late")
                    await journal.append(lease, 1, [taken], {}, waiting=True)
            await whole_run(journal, "r-4", [b"x"])

    async def read() -> None:
        async with opened(lambda: open_at(path)) as journal:
            assert (await journal.verify()).bad is None
            assert await journal.woken_runs(["desk"]) == ["r-2"]
            assert await journal.effects() == []
            answer = await journal.claim(claim_of("r-2"))
            assert answer.status == "claimed"
            assert (await journal.verify()).bad is None

    asyncio.run(write())
    leave_schema_6(path)
    assert look(path)[0] == 6
    asyncio.run(read())
    assert look(path)[0] == VERSION


def test_a_file_of_schema_7_without_its_newest_index_gets_that_when_it_is_opened(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await begin(journal, "r-1", session="s")
        leave_schema_7(path)
        database = apsw.Connection(path)
        database.execute("DROP INDEX runs_at_work")
        database.close()
        async with opened(lambda: open_at(path)) as journal:
            lease = await begin(journal, "r-2", session="s")
            await step(journal, lease, 1, b"x")
            assert (await journal.verify()).ok

    asyncio.run(scenario())


def test_an_error_in_the_middle_of_the_migration_leaves_the_old_schema(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = "seawall.journal.sqlite.schema"
    with monkeypatch.context() as patched:
        patched.setattr(f"{schema}.MIGRATIONS", ("", "CREATE TABLE shared(key); CREATE TABLE runs(x)"))
        with pytest.raises(JournalDamaged, match="already exists"):
            open_at(path)
    assert look(path) == (1, set())
    check_whole(path)


def test_processes_that_open_an_old_file_together_migrate_it_once(path: str) -> None:
    async def scenario() -> None:
        journals = await asyncio.gather(*(asyncio.to_thread(open_at, path) for _ in range(6)))
        for journal in journals:
            assert (await journal.verify()).ok
        for journal in journals:
            await journal.close()

    asyncio.run(scenario())
    check_whole(path)


def test_a_full_disk_says_so_and_leaves_the_old_schema(path: str) -> None:
    disk = Disk(full=True).mount()
    try:
        with pytest.raises(Broken, match="the disk is full"):
            open_at(path, disk)
    finally:
        disk.unmount()
    assert look(path) == (1, set())
    check_whole(path)
