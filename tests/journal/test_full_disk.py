"""A disk that has no room left for the file of shared memory beside the journal."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
from pathlib import Path
from typing import Any

import apsw
import pytest

import warm_python
from journal.disk import Disk
from journal.story import begin, opened, step, whole_run
from seawall.core.errors import Broken, JournalFull
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.journal.sqlite.schema import is_disk_full
from seawall.testing import ManualClock

TESTS = Path(__file__).parents[1]

_ON_A_FULL_DISK = """
import asyncio, resource, sys
path, room, *arguments = sys.argv[1:]
sys.dont_write_bytecode = True  # Python would write cut files of compiled modules, which no later process could import
resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), int(room)))
"""
"""No file can grow beyond so many bytes: what stands on the disk can be read."""

_COMMAND = "sys.argv = ['seawall', *arguments, '--journal', path]\nfrom seawall.cli import main\nmain()"

_WRITE = """
from journal.story import *
from seawall.core.errors import JournalFull
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ManualClock

async def main():
    async with opened(lambda: SqliteJournal.open(path, clock=ManualClock(), create=False)) as journal:
        print(len(await journal.events("r-1")), journal.problem)
        try:
            await begin(journal, "r-2")
        except JournalFull as full:
            print(full)

asyncio.run(main())
"""


def run_on_a_full_disk(code: str, path: Path, room: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = ["-c", _ON_A_FULL_DISK + code, str(path), str(room), *arguments]
    return warm_python.run(words, text=True, cwd=TESTS)


def write_one_run(path: Path) -> None:
    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(str(path), clock=ManualClock())) as journal:
            await whole_run(journal, "r-1", [b"found"])

    asyncio.run(scenario())


ROOMS = [0, 4_096]
"""Shared memory has 32 KiB. Without any room SQLite can't make its file, with some it can't make it large enough."""


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize(
    "command", [["runs", "--json"], ["show", "r-1"], ["why", "r-1"], ["verify"], ["budget"], ["guards"]]
)
def test_a_journal_on_a_full_disk_can_be_read(tmp_path: Path, command: list[str], room: int) -> None:
    path = tmp_path / "journal.db"
    write_one_run(path)

    done = run_on_a_full_disk(_COMMAND, path, room, *command)

    assert done.returncode == 0, done.stderr
    if "--json" in command:
        assert json.loads(done.stdout)["runs"][0]["run"] == "r-1"


@pytest.mark.parametrize("room", ROOMS)
def test_a_write_on_a_full_disk_is_told_that_the_disk_is_full(tmp_path: Path, room: int) -> None:
    path = tmp_path / "journal.db"
    write_one_run(path)

    done = run_on_a_full_disk(_WRITE, path, room)

    full = f"journal {path}: the disk is full; make room and open it again, until then it can only be read"
    assert done.stdout.splitlines() == [f"4 {full}", full], done.stderr
    assert "disk I/O error" not in done.stderr


def test_a_journal_that_another_process_has_open_is_read_with_it_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(str(path), clock=ManualClock())) as journal:
            await whole_run(journal, "r-1", [b"found"])
            done = await asyncio.to_thread(run_on_a_full_disk, _COMMAND, path, 0, "runs", "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["runs"][0]["run"] == "r-1"
            await whole_run(journal, "r-2", [b"found"])

    asyncio.run(scenario())


def test_what_a_killed_process_left_in_its_log_is_read_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    victim = "path = sys.argv[1]\n" + _WRITE.replace("asyncio.run(main())", "").replace(
        "import *", "import *\nimport os", 1
    )
    victim = (
        "import asyncio, sys\n"
        + victim
        + (
            "async def die():\n"
            "    journal = SqliteJournal.open(path, clock=ManualClock())\n"
            "    await whole_run(journal, 'r-1', [b'found'])\n"
            "    os._exit(0)\n"
            "asyncio.run(die())"
        )
    )
    warm_python.run(["-c", victim, str(path)], cwd=TESTS, check=True)
    assert Path(f"{path}-wal").stat().st_size > 0

    done = run_on_a_full_disk(_COMMAND, path, 0, "verify")

    assert done.returncode == 0 and "4 events" in done.stdout, done.stderr


def test_a_commit_that_finds_no_room_for_shared_memory_is_refused_and_later_ones_go_on(
    tmp_path: Path,
) -> None:
    disk = Disk().mount()
    options = SqliteOptions(vfs=disk.name)

    async def scenario() -> None:
        def open_it() -> SqliteJournal:
            return SqliteJournal.open(str(tmp_path / "journal.db"), clock=ManualClock(), options=options)

        async with opened(open_it) as journal:
            lease = await begin(journal, "r-1")
            disk.no_room_for_shm = True
            with pytest.raises(JournalFull, match="the disk is full; nothing was written"):
                await step(journal, lease, 1, b"x")
            assert len(await journal.events("r-1")) == 1
            disk.no_room_for_shm = False
            await step(journal, await journal.take("r-1"), 1, b"x")
            assert (await journal.verify()).ok

    try:
        asyncio.run(scenario())
    finally:
        disk.unmount()


def test_a_journal_beside_which_no_file_can_be_made_is_read_until_another_process_opens_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a journal?.db"
    write_one_run(path)
    disk = Disk(no_new_files=True).mount()

    async def scenario() -> None:
        def open_it() -> SqliteJournal:
            options = SqliteOptions(vfs=disk.name, lock_wait_s=0.01)
            return SqliteJournal.open(str(path), clock=ManualClock(), options=options)

        async with opened(open_it) as journal, opened(open_it) as beside:
            assert len(await journal.events("r-1")) == len(await beside.events("r-1")) == 4
            assert (await journal.verify()).ok
            with pytest.raises(JournalFull, match="the disk is full; make room and open it again"):
                await begin(journal, "r-2")
            disk.no_new_files = False
            async with opened(open_it) as later:
                await whole_run(later, "r-2", [b"found"])
                with pytest.raises(Broken, match="another process has opened it meanwhile; open it again"):
                    await journal.events("r-1")

    try:
        asyncio.run(scenario())
    finally:
        disk.unmount()


def test_a_journal_that_is_read_alone_is_locked_to_others_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    write_one_run(path)
    code = _ON_A_FULL_DISK + (
        "from seawall.journal.sqlite import SqliteJournal\n"
        "from seawall.testing import ManualClock\n"
        "journal = SqliteJournal.open(path, clock=ManualClock())\n"
        "print(journal.problem, flush=True)\n"
        "sys.stdin.read()\n"
    )

    def open_it() -> SqliteJournal:
        options = SqliteOptions(lock_wait_s=0.01)
        return SqliteJournal.open(str(path), clock=ManualClock(), options=options)

    with warm_python.start(["-c", code, str(path), "0"], stdin=warm_python.PIPE, text=True) as reader:
        assert reader.stdout is not None and "the disk is full" in reader.stdout.readline()
        with pytest.raises(Broken, match="another process holds the file's lock"):
            open_it()
        reader.communicate()

    async def scenario() -> None:
        async with opened(open_it) as journal:
            await whole_run(journal, "r-2", [b"found"])

    asyncio.run(scenario())


def test_what_is_sorted_needs_no_room_on_a_disk(tmp_path: Path) -> None:
    write_one_run(tmp_path / "journal.db")
    code = _ON_A_FULL_DISK + (
        "from seawall.journal.sqlite.options import SqliteOptions\n"
        "from seawall.journal.sqlite.schema import connect\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "rows = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)'\n"
        "rows += ' SELECT randomblob(400) AS b FROM n ORDER BY b'\n"
        "database = connect(path, SqliteOptions(), 'immutable')\n"
        "print(database.fetch_value(f'SELECT count(*) FROM ({rows} LIMIT -1 OFFSET 1)'))\n"
    )
    done = warm_python.run(["-c", code, str(tmp_path / "journal.db"), "40000"], text=True)
    assert (done.returncode, done.stdout) == (0, "19999\n"), done.stderr


def test_a_backup_that_finds_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    path, copies = tmp_path / "journal.db", tmp_path / "copies"
    write_one_run(path)
    copies.mkdir()
    for room in (0, 40_000):
        done = run_on_a_full_disk(_COMMAND, path, room, "backup", str(copies / "copy.db"))
        assert done.returncode == 1, done.stderr
        assert done.stderr.strip().endswith("the disk is full")
        assert list(copies.iterdir()) == []


def make_error(kind: type[apsw.Error], extended: int) -> apsw.Error:
    error: Any = kind("made by a test")
    error.extendedresult = extended
    return error


@pytest.mark.parametrize(
    ("kind", "extended", "number", "full"),
    [
        (apsw.FullError, apsw.SQLITE_FULL, 0, True),
        (apsw.IOError, apsw.SQLITE_IOERR_SHMSIZE, 0, True),
        (apsw.IOError, apsw.SQLITE_IOERR_SHMSIZE, errno.EIO, False),
        (apsw.IOError, apsw.SQLITE_IOERR_SHMOPEN, errno.ENOSPC, True),
        (apsw.IOError, apsw.SQLITE_IOERR_SHMOPEN, errno.EACCES, False),
        (apsw.IOError, apsw.SQLITE_IOERR_WRITE, errno.EDQUOT, True),
        (apsw.IOError, apsw.SQLITE_IOERR_TRUNCATE, errno.EFBIG, True),
        (apsw.CantOpenError, apsw.SQLITE_CANTOPEN, errno.ENOSPC, True),
        (apsw.CantOpenError, apsw.SQLITE_CANTOPEN, errno.EACCES, False),
        (apsw.IOError, apsw.SQLITE_IOERR_FSYNC, errno.ENOSPC, False),
        (apsw.IOError, apsw.SQLITE_IOERR_DIR_FSYNC, errno.ENOSPC, False),
        (apsw.IOError, apsw.SQLITE_IOERR_READ, errno.ENOSPC, False),
    ],
)
def test_a_full_disk_is_told_from_a_broken_one(
    kind: type[apsw.Error], extended: int, number: int, full: bool
) -> None:
    assert is_disk_full(make_error(kind, extended), number) is full


def test_a_full_disk_can_be_backed_up_to_another_one(tmp_path: Path) -> None:
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"
    write_one_run(path)
    code = _ON_A_FULL_DISK + (
        "from seawall.journal.sqlite import SqliteJournal\n"
        "from seawall.testing import ManualClock\n"
        "async def main():\n"
        "    journal = SqliteJournal.open(path, clock=ManualClock())\n"
        "    assert 'full' in journal.problem\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
        "    print((await journal.backup(arguments[0])).verification.ok)\n"
        "    await journal.close()\n"
        "asyncio.run(main())"
    )
    soft = code.replace("(int(room), int(room))", "(int(room), -1)")
    done = warm_python.run(["-c", soft, str(path), "0", str(copy)], text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
