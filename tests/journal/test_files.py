"""A journal stops before it acknowledges anything that nobody would find again, and its backup is a whole journal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from journal.story import opened
from journal.story import whole_run as record
from seawall.core.errors import JournalFailed, Misused
from seawall.journal.protocol import Journal
from seawall.journal.sqlite import SqliteJournal
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.mark import Mark
from seawall.journal.sqlite.watch import Watchers
from seawall.testing import ManualClock


def open_at(path: Path, *, create: bool = True) -> SqliteJournal:
    return SqliteJournal.open(str(path), clock=ManualClock(), create=create)


async def whole_run(journal: Journal, run: str) -> None:
    await record(journal, run, [b"found"])


async def list_runs(path: Path) -> set[str]:
    async with opened(lambda: open_at(path, create=False)) as journal:
        verification = await journal.verify()
        assert verification.ok, verification
        return {row.run for row in await journal.runs(limit=1_000)}


def checkpoint(path: Path) -> None:
    """Copies the log to the database and empties it, as a prune does."""
    other = apsw.Connection(str(path))
    other.pragma("user_version")  # a connection that has read nothing has no log to copy
    other.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    other.close()


# ---- the files that were opened


def remove_database(path: Path) -> None:
    path.unlink()


def remove_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def remove_log_index(path: Path) -> None:
    Path(f"{path}-shm").unlink()


def put_an_older_copy_in_its_place(path: Path) -> None:
    older = path.with_name("older.db")
    shutil.copy(path, older)
    older.replace(path)


def put_an_older_log_in_its_place(path: Path) -> None:
    older = path.with_name("older.db-wal")
    shutil.copy(f"{path}-wal", older)
    older.replace(f"{path}-wal")


def move_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def put_a_link_to_a_copy_in_its_place(path: Path) -> None:
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    path.unlink()
    path.symlink_to(copy)


def close_it_with_another_copy_of_sqlite(path: Path) -> None:
    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    other.close()


def cut_the_log(path: Path) -> None:
    os.truncate(f"{path}-wal", 0)


DAMAGES = [
    (remove_database, "journal.db is gone"),
    (remove_log, "journal.db-wal is gone"),
    (put_an_older_copy_in_its_place, "journal.db is another file now"),
    (put_an_older_log_in_its_place, "journal.db-wal is another file now"),
    (remove_log_index, "journal.db-shm is gone"),
    (move_the_folder, "is gone"),
    (put_a_link_to_a_copy_in_its_place, "journal.db is another file now"),
    (cut_the_log, "journal.db-wal was cut: it has 0 bytes of at least "),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_nothing_is_acknowledged_once_a_file_is_not_the_one_that_was_opened(
    tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "desk" / "journal.db"
    path.parent.mkdir()

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")
            damage(path)
            with pytest.raises(JournalFailed, match=words):
                await whole_run(journal, "r-2")
            assert isinstance(journal, SqliteJournal)
            assert journal.problem is not None and words in journal.problem
            with pytest.raises(JournalFailed, match=words):
                await whole_run(journal, "r-3")

    asyncio.run(scenario())


def test_nothing_is_acknowledged_once_the_database_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            for number in range(40):
                await whole_run(journal, f"r-{number}")
            checkpoint(path)
            await whole_run(journal, "r-40")
            os.truncate(path, 4_096)
            with pytest.raises(JournalFailed, match=r"journal\.db was cut: it has 4,096 bytes of at least "):
                await whole_run(journal, "r-41")

    asyncio.run(scenario())


def test_a_journal_goes_on_after_another_process_has_made_its_files_shorter(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            for number in range(40):
                await whole_run(journal, f"r-{number}")
            before = path.with_name("journal.db-wal").stat().st_size
            checkpoint(path)
            assert path.with_name("journal.db-wal").stat().st_size < before
            await whole_run(journal, "r-40")
        assert len(await list_runs(path)) == 41

    asyncio.run(scenario())


def test_what_was_acknowledged_is_there_after_another_copy_of_sqlite_closed_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        acknowledged: set[str] = set()
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")
            acknowledged.add("r-1")
            close_it_with_another_copy_of_sqlite(path)
            for number in range(2, 6):
                try:
                    await whole_run(journal, f"r-{number}")
                except JournalFailed:
                    break
                acknowledged.add(f"r-{number}")
        assert acknowledged <= await list_runs(path)

    asyncio.run(scenario())


WRITE_ELSEWHERE = """
import asyncio, sys
from seawall.core.clock import SystemClock
from seawall.journal.sqlite import SqliteJournal
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.watch import Watchers
from journal.story import whole_run

async def main():
    journal = SqliteJournal.open(sys.argv[1], clock=SystemClock())
    for run in sys.argv[2:]:
        await whole_run(journal, run, [b"found"])
    await journal.close()

asyncio.run(main())
"""


def test_a_process_whose_locks_nobody_sees_writes_nothing_over_what_others_wrote(tmp_path: Path) -> None:
    """The locks of writers are on the log's index: without it a second process makes another one."""
    path = tmp_path / "journal.db"

    def write_elsewhere(*runs: str) -> None:
        command = [sys.executable, "-c", WRITE_ELSEWHERE, str(path), *runs]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")
            remove_log_index(path)
            await asyncio.to_thread(write_elsewhere, "r-2", "r-3")
            with pytest.raises(JournalFailed, match=r"journal\.db-shm is (gone|another file now)"):
                await whole_run(journal, "r-4")
        assert await list_runs(path) == {"r-1", "r-2", "r-3"}

    asyncio.run(scenario())


def test_an_open_journal_stays_with_its_file_when_a_link_to_it_leads_elsewhere(tmp_path: Path) -> None:
    link, first, second = tmp_path / "link.db", tmp_path / "first.db", tmp_path / "second.db"

    async def scenario() -> None:
        for path in (first, second):
            async with opened(lambda path=path: open_at(path)) as journal:
                await whole_run(journal, f"r-{path.stem}")
        link.symlink_to(first)
        async with opened(lambda: open_at(link)) as journal:
            link.unlink()
            link.symlink_to(second)
            assert [row.run for row in await journal.runs()] == ["r-first"]
            assert (await journal.verify()).ok
            with pytest.raises(Misused, match="is the journal itself"):
                await journal.backup(str(first), force=True)

    asyncio.run(scenario())


def test_the_thread_that_polls_survives_files_that_are_gone() -> None:
    came_again = threading.Event()
    attempts: list[int] = []

    def connect() -> Database:
        attempts.append(1)
        if len(attempts) > 1:
            came_again.set()
        raise JournalFailed("journal.db is gone")

    async def scenario() -> None:
        watchers = Watchers(0.001, connect)
        watchers.add(lambda: None)
        assert await asyncio.to_thread(came_again.wait, 20)
        watchers.close()

    asyncio.run(scenario())


def test_a_journal_that_stopped_leaves_the_file_of_others_as_it_is(tmp_path: Path) -> None:
    """Its own log has pages of a file that is gone: copied at its end, they would damage the new one."""
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")
            for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                file.unlink()
            Path(f"{path}.mark").unlink(missing_ok=True)
            async with opened(lambda: open_at(path)) as new:
                await whole_run(new, "r-new")
                with pytest.raises(JournalFailed):
                    await whole_run(journal, "r-2")
                await journal.close()
                await whole_run(new, "r-newer")
        assert await list_runs(path) == {"r-new", "r-newer"}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "edit",
    [
        "DELETE FROM batches WHERE id = (SELECT max(id) FROM batches)",
        "UPDATE batches SET hash = zeroblob(32) WHERE id = (SELECT max(id) FROM batches)",
    ],
)
def test_a_history_that_went_back_or_became_another_one_stops_the_journal(tmp_path: Path, edit: str) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")
            editor = apsw.Connection(str(path))
            editor.execute(edit)
            editor.close()
            with pytest.raises(JournalFailed, match="another file or an older copy was written over it"):
                await whole_run(journal, "r-2")

    asyncio.run(scenario())


def test_a_file_with_a_second_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")
        (tmp_path / "second.db").hardlink_to(path)
        with pytest.raises(Misused, match=r"2 names \(hard links\)"):
            open_at(path)

    asyncio.run(scenario())


def test_a_journal_behind_a_link_has_its_mark_beside_the_file(tmp_path: Path) -> None:
    real, link = tmp_path / "real" / "journal.db", tmp_path / "journal.db"
    real.parent.mkdir()
    link.symlink_to(real)

    async def scenario() -> None:
        async with opened(lambda: open_at(link)) as journal:
            await whole_run(journal, "r-1")
        assert Path(f"{real}.mark").exists() and not Path(f"{link}.mark").exists()
        assert await list_runs(real) == await list_runs(link) == {"r-1"}

    asyncio.run(scenario())


# ---- backup


def test_a_backup_is_a_whole_journal_while_others_write(tmp_path: Path) -> None:
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            for number in range(50):
                await whole_run(journal, f"r-{number}")
            seen: list[tuple[int, int]] = []

            async def write() -> None:
                for number in range(50, 80):
                    await whole_run(journal, f"r-{number}")

            backup, _ = await asyncio.gather(
                journal.backup(str(copy), progress=lambda done, every: seen.append((done, every))), write()
            )
            assert backup.verification.ok and backup.path == str(copy) and seen[-1][0] == seen[-1][1]
        runs = await list_runs(copy)
        assert {f"r-{number}" for number in range(50)} <= runs <= {f"r-{number}" for number in range(80)}
        assert Path(f"{copy}.mark").exists()
        assert sorted(file.name for file in tmp_path.iterdir() if "partial" in file.name) == []

    asyncio.run(scenario())


def test_a_backup_does_not_write_over_a_file_unless_it_is_forced(tmp_path: Path) -> None:
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"
    copy.write_text("mine")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")
            with pytest.raises(Misused, match=r"copy\.db already"):
                await journal.backup(str(copy))
            assert copy.read_text() == "mine"
            with pytest.raises(Misused, match="is the journal itself"):
                await journal.backup(str(path), force=True)
            with pytest.raises(Misused, match="there is no folder"):
                await journal.backup(str(tmp_path / "nowhere" / "copy.db"))
            await journal.backup(str(copy), force=True)
        assert await list_runs(copy) == {"r-1"}

    asyncio.run(scenario())


def test_a_backup_takes_no_place_that_is_not_its_own(tmp_path: Path) -> None:
    path, folder, pipe = tmp_path / "journal.db", tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    places = [
        *((Path(f"{path}{end}"), "belongs to the journal") for end in ("-wal", "-shm", ".mark")),
        (folder, "is not a file that a backup can replace"),
        (pipe, "is not a file that a backup can replace"),
        (tmp_path / ("l" * 247), "no backup can be written"),
        ("a\0b", "no backup can be written"),
    ]

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")
            before = sorted(file.name for file in tmp_path.iterdir())
            for place, words in places:
                with pytest.raises(Misused, match=words):
                    await journal.backup(str(place), force=True)
            assert sorted(file.name for file in tmp_path.iterdir()) == before
            await whole_run(journal, "r-2")
            await journal.backup(
                str(longest := tmp_path / ("l" * 246))
            )  # with `.mark.new` it has 255 characters
        assert await list_runs(path) == {"r-1", "r-2"} == await list_runs(longest)

    asyncio.run(scenario())


def test_a_backup_does_not_replace_a_journal_that_is_open(tmp_path: Path) -> None:
    path, other_path = tmp_path / "journal.db", tmp_path / "other.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal, opened(lambda: open_at(other_path)) as other:
            await whole_run(journal, "r-1")
            await whole_run(other, "r-other")
            with pytest.raises(Misused, match="a process has open"):
                await journal.backup(str(other_path), force=True)
            await whole_run(other, "r-another")
            await other.close()
            assert await list_runs(other_path) == {"r-other", "r-another"}
            await journal.backup(str(other_path), force=True)
            assert await list_runs(other_path) == {"r-1"}

    asyncio.run(scenario())


def test_two_backups_to_one_place_at_once_are_both_whole(tmp_path: Path) -> None:
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")
            backups = await asyncio.gather(*(journal.backup(str(copy), force=True) for _ in range(3)))
            assert all(each.verification.ok for each in backups)
        assert await list_runs(copy) == {"r-1"}
        assert not list(tmp_path.glob("*.partial*"))

    asyncio.run(scenario())


def test_no_other_process_gives_a_copy_its_name_before_it_has_its_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []
    write_mark = Mark.write

    def look_and_write(mark: Mark, database: Database) -> None:
        folder = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.append(True)
        finally:
            os.close(folder)
        write_mark(mark, database)

    async def scenario() -> None:
        async with opened(lambda: open_at(tmp_path / "one.db")) as journal:
            await whole_run(journal, "r-1")
            with monkeypatch.context() as patch:
                patch.setattr(Mark, "write", look_and_write)
                await journal.backup(str(tmp_path / "copy.db"))

    asyncio.run(scenario())
    assert held == [True]


def test_a_backup_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")
            loop, begun = asyncio.get_running_loop(), asyncio.Event()

            def report(done: int, every: int) -> None:
                loop.call_soon_threadsafe(begun.set)
                raise InterruptedError

            with pytest.raises(InterruptedError):
                await journal.backup(str(copy), progress=report)
            await begun.wait()
        assert [file.name for file in tmp_path.iterdir() if file.name.startswith("copy")] == []

    asyncio.run(scenario())


def test_a_journal_in_memory_can_be_backed_up(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"

    async def scenario() -> None:
        journal: Journal
        async with opened(lambda: SqliteJournal.open(":memory:", clock=ManualClock())) as journal:
            await whole_run(journal, "r-1")
            await journal.backup(str(copy))
        assert await list_runs(copy) == {"r-1"}

    asyncio.run(scenario())


def test_the_command_says_what_it_copied(tmp_path: Path) -> None:
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await whole_run(journal, "r-1")

    asyncio.run(scenario())
    command = [sys.executable, "-c", "from seawall.cli import main; main()", "backup", str(copy)]
    first = subprocess.run([*command, "--journal", str(path)], capture_output=True, text=True, check=False)
    again = subprocess.run([*command, "--journal", str(path)], capture_output=True, text=True, check=False)

    assert first.returncode == 0 and "verified: " in first.stdout, first.stderr
    assert again.returncode == 2 and "already" in again.stderr
    assert asyncio.run(list_runs(copy)) == {"r-1"}


@pytest.mark.parametrize("chars", [247, 250, 251, 255, 256])
def test_a_name_to_which_no_mark_can_be_written_is_refused_before_a_file_is_made(
    tmp_path: Path, chars: int
) -> None:
    with pytest.raises(Misused, match="can't be opened: File name too long"):
        open_at(tmp_path / ("l" * chars))

    assert list(tmp_path.iterdir()) == []
