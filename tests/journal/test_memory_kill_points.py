"""A process that dies at any write leaves the old version of memory or the new one, never a mix (F25)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from journal.disk import Disk
from journal.edits import leave_schema_7
from journal.memory_story import SCOPE, held, merge, texts, written
from journal.story import begin, opened, whole_run
from seawall.core.errors import Broken, Misused
from seawall.journal.protocol import Journal, Lineage, MemoryFilter
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.journal.sqlite.schema import VERSION
from seawall.testing import ManualClock

Change = Callable[[Journal], Awaitable[object]]
State = tuple[dict[str, str], dict[str, str], int]
"""What two scopes hold, and the newest version."""


def open_at(path: Path, disk: Disk | None = None) -> SqliteJournal:
    options = SqliteOptions(vfs=None if disk is None else disk.name)
    return SqliteJournal.open(str(path), clock=ManualClock(), options=options)


async def merge_two(journal: Journal) -> None:
    """Merges what one run wrote to two scopes."""
    await merge(journal, "r-new", {"a": "new", "b": None}, base=9)


async def roll_back(journal: Journal) -> None:
    """Rolls a scope back."""
    await journal.rollback_memory("acme", SCOPE, version=1, by="alice")


async def revert(journal: Journal) -> None:
    """Reverts what descends from a step, in two scopes."""
    plan = await journal.plan_revert("r-2", 3, [Lineage(tie="value", run="r-2", step=3)])
    await journal.apply_revert(plan, by="alice")


async def import_two(journal: Journal) -> None:
    """Imports entries of two scopes."""
    writes = [written("a", "from outside"), written("z", "from outside", scope="tenant")]
    await journal.import_memory("acme", writes, texts("a", "z", "from outside"), quarantined=False)


async def look(path: Path) -> State:
    """Returns what memory holds; it must verify, and be found by its words too."""
    async with opened(lambda: open_at(path)) as journal:
        assert (await journal.verify()).bad is None
        version = await journal.memory_version()
        near, far = await held(journal), await held(journal, None, "tenant")
        for scope, values in ((SCOPE, near), ("tenant", far)):
            for key, value in values.items():
                wanted = MemoryFilter(scopes=(scope,), text=value, prefix=key)
                assert len(await journal.memory_entries("acme", wanted)) == 1
        return near, far, version


@pytest.mark.parametrize("change", [merge_two, roll_back, revert, import_two])
def test_a_change_of_memory_is_there_as_a_whole_or_not_at_all(tmp_path: Path, change: Change) -> None:
    whole = tmp_path / "whole" / "journal.db"
    whole.parent.mkdir()

    async def prepare() -> None:
        async with opened(lambda: open_at(whole)) as journal:
            await merge(journal, "r-1", {"a": "one", "b": "two"})
            await merge(journal, "r-2", {"a": "bad"}, base=1)
            made = (Lineage(tie="value", entry=3),)
            await merge(journal, "r-3", {"c": "worse"}, scope="tenant", causes=made)

    async def do(path: Path, disk: Disk) -> None:
        async with opened(lambda: open_at(path, disk)) as journal:
            await change(journal)

    asyncio.run(prepare())
    before = asyncio.run(look(whole))
    seen: list[State] = []
    number, finished = 0, False
    while not finished:
        number += 1
        path = tmp_path / str(number) / "journal.db"
        shutil.copytree(whole.parent, path.parent)
        disk = Disk(dies_at_write=number).mount()
        try:
            asyncio.run(do(path, disk))
        except (Broken, Misused):
            assert disk.dead
        finished = not disk.dead
        disk.cut_power()
        disk.unmount()
        if (state := asyncio.run(look(path))) not in seen:
            seen.append(state)
    assert (len(seen), seen[0]) == (2, before)


def test_a_file_of_schema_7_gets_memory_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    whole = tmp_path / "whole" / "journal.db"
    whole.parent.mkdir()

    async def prepare() -> None:
        async with opened(lambda: open_at(whole)) as journal:
            await whole_run(journal, "r-1", [b"x"])

    async def use(path: Path) -> None:
        async with opened(lambda: open_at(path)) as journal:
            assert (await journal.verify()).bad is None
            assert (await journal.memory_version(), len(await journal.events("r-1"))) == (0, 4)
            await merge(journal, "r-2", {"a": "one"})
            assert await held(journal, text="one") == {"a": "one"}
            assert (await journal.verify()).bad is None

    asyncio.run(prepare())
    leave_schema_7(str(whole))
    versions: list[object] = []
    number, finished = -1, False
    while not finished:
        number += 2
        path = tmp_path / str(number) / "journal.db"
        shutil.copytree(whole.parent, path.parent)
        disk = Disk(dies_at_write=number).mount()
        try:
            asyncio.run(open_at(path, disk).close())
        except (Broken, Misused):
            assert disk.dead
        finished = not disk.dead
        disk.cut_power()
        disk.unmount()
        versions.append(apsw.Connection(str(path)).pragma("user_version"))
        asyncio.run(use(path))
    assert versions == [7] * versions.count(7) + [VERSION] * versions.count(VERSION)
    assert (versions[0], versions[-1]) == (7, VERSION)


def test_a_process_that_knows_no_memory_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    asyncio.run(open_at(path).close())
    database = apsw.Connection(str(path))
    batch = "INSERT INTO batches(id, last_entry, at, hash, state, writer) VALUES (1, 0, 0, x'00', x'00', {})"
    for writer in ("NULL", "7"):
        with pytest.raises(apsw.ConstraintError, match="a newer seawall has migrated this journal"):
            database.execute(batch.format(writer))


def test_a_run_that_ended_as_the_process_died_has_merged(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            lease = await begin(journal, "r-1")
            await merge(journal, "r-1", {"a": "one"}, lease=lease)
        async with opened(lambda: open_at(path)) as journal:
            assert (await journal.row("r-1")).state == "ended"
            assert await held(journal) == {"a": "one"}

    asyncio.run(scenario())
