"""Journals that can't be written: read all the same, and nothing is made or changed beside them.

A test can't rely on permissions, which root does not have to keep, nor on mounts, which not everybody may make. So most
tests say by a stand-in what may not be written, one has a disk that says it to SQLite alone, and where the system lets
them, the same is tried with a mount.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import warm_python
from journal.disk import Disk
from journal.edits import edit
from journal.effects_story import ALICE, claim_of, tell_of_effects
from journal.story import begin, opened, step, whole_run
from seawall.core.errors import Broken, JournalReadOnly, Misused
from seawall.journal.protocol import ProposalFilter
from seawall.journal.sqlite import SqliteJournal, SqliteOptions, read_only
from seawall.testing import ManualClock

TESTS = str(Path(__file__).parents[1])


def open_it(path: Path | str) -> SqliteJournal:
    return SqliteJournal.open(str(path), clock=ManualClock(), create=False)


def leave(folder: Path, *, log: bool, index: bool, mark: bool) -> Path:
    """Returns a copy of a journal with these files beside it. With a log, run r-2 is in the log alone."""
    source, path = folder / "source" / "journal.db", folder / "copy" / "journal.db"
    source.parent.mkdir()
    path.parent.mkdir()

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(str(source), clock=ManualClock())) as journal:
            await whole_run(journal, "r-1", [b"found"])
        async with opened(lambda: open_it(source)) as journal:
            if log:
                await step(journal, await begin(journal, "r-2"), 1, b"found")
            shutil.copy(source, path)  # as a crash would leave it
            for end, wanted in (("-wal", log), ("-shm", index), (".mark", mark)):
                if wanted:
                    shutil.copy(f"{source}{end}", f"{path}{end}")

    asyncio.run(scenario())
    return path


def list_files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Forbids to write the files that are named, or all; with `mode`, to read them."""

    def forbid_files(*files: Path | str, mode: int = os.W_OK) -> None:
        forbidden = {str(file) for file in files}
        allowed = read_only._is_allowed

        def is_allowed(file: str, asked: int) -> bool:
            return allowed(file, asked) and not (asked == mode and (not forbidden or file in forbidden))

        monkeypatch.setattr(read_only, "_is_allowed", is_allowed)

    return forbid_files


async def read_all(journal: SqliteJournal) -> list[str]:
    found = await journal.verify()
    assert found.ok, found
    runs = [row.run for row in await journal.runs()]
    for run in runs:
        assert await journal.events(run)
    return runs


LEFT = [
    *((False, False, True), (False, False, False), (False, True, True)),
    *((True, True, True), (True, False, True), (True, False, False)),
]


@pytest.mark.parametrize(("log", "index", "mark"), LEFT)
def test_a_journal_that_may_not_be_written_is_read_with_whatever_lies_beside_it(
    tmp_path: Path, forbid: Callable[..., None], log: bool, index: bool, mark: bool
) -> None:
    path = leave(tmp_path, log=log, index=index, mark=mark)
    before = list_files(path)
    forbid()

    async def scenario() -> None:
        async with opened(lambda: open_it(path)) as journal:
            assert isinstance(journal, SqliteJournal)
            assert await read_all(journal) == (["r-2", "r-1"] if log else ["r-1"])
            assert (await journal.verify()).marked is mark
            assert "can't be written: no permission to write" in str(journal.problem)
            with pytest.raises(JournalReadOnly, match="it can only be read"):
                await begin(journal, "r-3")

    asyncio.run(scenario())
    after = list_files(path)
    assert after.keys() == before.keys()
    assert all(after[name] == data for name, data in before.items() if not name.endswith("-shm"))


def test_effects_of_a_journal_that_may_not_be_written_are_listed_and_not_decided(
    tmp_path: Path, forbid: Callable[..., None]
) -> None:
    path = tmp_path / "journal.db"

    async def write() -> None:
        async with opened(lambda: SqliteJournal.open(str(path), clock=ManualClock())) as journal:
            await journal.identity_key()
            await tell_of_effects(journal)

    async def read() -> None:
        async with opened(lambda: open_it(path)) as journal:
            assert [each.state for each in await journal.effects()] == ["approved", "committed"]
            assert [each.state for each in await journal.proposals(ProposalFilter(state=None))] == ["used"]
            assert [each.what for each in await journal.decisions("p-1")] == ["approve", "approve"]
            assert len(await journal.identity_key()) == 32
            assert (await journal.verify()).ok
            for refused in (journal.decide(ALICE), journal.claim(claim_of("r-5"))):
                with pytest.raises(JournalReadOnly, match="it can only be read"):
                    await refused

    asyncio.run(write())
    forbid()
    asyncio.run(read())


@pytest.mark.parametrize("what", ["", "-wal", "-shm"])
def test_one_file_that_may_not_be_written_is_enough(
    tmp_path: Path, forbid: Callable[..., None], what: str
) -> None:
    path = leave(tmp_path, log=True, index=True, mark=True)
    forbid(f"{path}{what}")

    async def scenario() -> None:
        async with opened(lambda: open_it(path)) as journal:
            assert isinstance(journal, SqliteJournal)
            assert f"no permission to write {path}{what};" in str(journal.problem)
            assert await read_all(journal) == ["r-2", "r-1"]

    asyncio.run(scenario())


def test_a_directory_in_which_no_log_can_be_made_is_enough(
    tmp_path: Path, forbid: Callable[..., None]
) -> None:
    path = leave(tmp_path, log=False, index=False, mark=True)
    forbid(path.parent)

    async def scenario() -> None:
        async with opened(lambda: open_it(path)) as journal:
            assert isinstance(journal, SqliteJournal)
            assert f"no permission to write {path.parent};" in str(journal.problem)
            assert await read_all(journal) == ["r-1"]

    asyncio.run(scenario())
    assert list_files(path).keys() == {"journal.db", "journal.db.mark"}


def test_a_disk_that_says_only_to_sqlite_that_it_can_not_be_written_is_read(tmp_path: Path) -> None:
    path = leave(tmp_path, log=False, index=False, mark=True)
    disk = Disk(read_only=True).mount()

    async def scenario() -> None:
        def open_disk() -> SqliteJournal:
            return SqliteJournal.open(
                str(path), clock=ManualClock(), options=SqliteOptions(vfs=disk.name), create=False
            )

        async with opened(open_disk) as journal:
            assert isinstance(journal, SqliteJournal)
            assert await read_all(journal) == ["r-1"]
            with pytest.raises(JournalReadOnly, match="the file or its directory is read-only"):
                await begin(journal, "r-3")

    try:
        asyncio.run(scenario())
    finally:
        disk.unmount()
    assert list_files(path).keys() == {"journal.db", "journal.db.mark"}


def test_what_a_process_elsewhere_writes_is_seen_by_a_reader_that_may_not(
    tmp_path: Path, forbid: Callable[..., None]
) -> None:
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(str(path), clock=ManualClock())) as writer:
            await whole_run(writer, "r-1", [b"found"])
            forbid()
            async with opened(lambda: open_it(path)) as reader:
                assert [row.run for row in await reader.runs()] == ["r-1"]
                await whole_run(writer, "r-2", [b"found"])
                assert [row.run for row in await reader.runs()] == ["r-2", "r-1"]
            await whole_run(writer, "r-3", [b"found"])
            assert (await writer.verify()).ok

    asyncio.run(scenario())


@pytest.mark.parametrize("log", [False, True])
def test_a_reader_without_locks_stops_when_another_process_opens_the_journal(
    tmp_path: Path, forbid: Callable[..., None], log: bool
) -> None:
    path = leave(tmp_path, log=log, index=False, mark=True)

    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as only_here:
            only_here.setattr(read_only, "_is_allowed", lambda file, mode: mode == os.R_OK)
            reader = open_it(path)
        assert len(await reader.runs()) == 1 + log
        async with opened(lambda: open_it(path)) as writer:
            await whole_run(writer, "r-3", [b"found"])
            with pytest.raises(Broken, match="another process has opened it meanwhile; open it again"):
                await reader.runs()
        await reader.close()

    asyncio.run(scenario())


def test_what_was_read_while_the_file_was_written_is_not_returned(
    tmp_path: Path, forbid: Callable[..., None]
) -> None:
    path = leave(tmp_path, log=False, index=False, mark=True)
    forbid()

    async def scenario() -> None:
        async with opened(lambda: open_it(path)) as journal:
            assert isinstance(journal, SqliteJournal)
            with pytest.raises(Broken, match="another process has opened it meanwhile"):
                await journal._readers.run(lambda _: os.utime(path, (1, 1)))

    asyncio.run(scenario())


@pytest.mark.parametrize("what", ["", "-wal"])
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, forbid: Callable[..., None], what: str) -> None:
    path = leave(tmp_path, log=True, index=True, mark=True)
    forbid()
    forbid(f"{path}{what}", mode=os.R_OK)
    with pytest.raises(Misused, match=f"can't be read: permission denied for {path}{what}$"):
        open_it(path)


def test_an_index_that_can_not_be_read_is_not_needed(tmp_path: Path, forbid: Callable[..., None]) -> None:
    path = leave(tmp_path, log=True, index=False, mark=True)
    Path(f"{path}-shm").mkdir()  # not even root reads that
    forbid()

    async def scenario() -> None:
        async with opened(lambda: open_it(path)) as journal:
            assert isinstance(journal, SqliteJournal)
            assert await read_all(journal) == ["r-2", "r-1"]

    asyncio.run(scenario())


def test_a_log_that_can_not_be_opened_is_not_ignored(tmp_path: Path, forbid: Callable[..., None]) -> None:
    path = leave(tmp_path, log=False, index=False, mark=True)
    Path(f"{path}-wal").mkdir()
    forbid()
    with pytest.raises(Misused, match=f"copy {path}, {path}-wal .* to a directory that you can write"):
        open_it(path)


def test_a_journal_of_an_earlier_version_says_what_to_copy(
    tmp_path: Path, forbid: Callable[..., None]
) -> None:
    path = leave(tmp_path, log=False, index=False, mark=True)
    edit(str(path), "UPDATE meta SET value = value; PRAGMA user_version = 4; UPDATE meta SET value = value")
    forbid()
    with pytest.raises(Misused, match=r"only after a migration.*: copy .*journal\.db"):
        open_it(path)


def test_what_is_no_journal_is_still_said_to_be_none(tmp_path: Path, forbid: Callable[..., None]) -> None:
    path = tmp_path / "text.db"
    path.write_text("no database at all, but long enough to be asked" * 50)
    database = apsw.Connection(str(tmp_path / "other.db"))
    database.execute("CREATE TABLE t(a)")
    database.close()
    forbid()
    with pytest.raises(Misused, match="it is not a SQLite database"):
        open_it(path)
    with pytest.raises(Misused, match="but not a Seawall journal"):
        open_it(tmp_path / "other.db")


def test_a_journal_that_can_not_be_written_is_backed_up(tmp_path: Path, forbid: Callable[..., None]) -> None:
    path = leave(tmp_path, log=True, index=False, mark=True)
    forbid(path)

    async def scenario() -> None:
        async with opened(lambda: open_it(path)) as journal:
            assert (await journal.backup(str(tmp_path / "backup.db"))).verification.ok
        async with opened(lambda: open_it(tmp_path / "backup.db")) as journal:
            assert len(await journal.runs()) == 2

    asyncio.run(scenario())


# ---- the same, command by command, with a mount where the system permits one

_STAND_IN = (
    "from seawall.journal.sqlite import read_only\nread_only._is_allowed = lambda file, mode: mode == 4\n"
)
_COMMANDS = """
import contextlib, io, json, sys
from seawall.cli.app import app
results = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(words)
        except SystemExit as leaving:
            code = leaving.code or 0
    results.append([code, out.getvalue(), err.getvalue()])
json.dump(results, sys.stdout)
"""
_MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


def find_mounting() -> list[str]:
    """Returns how to run a command in a mount namespace of its own; nothing if that is not permitted."""
    for words in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        mounting = [*words, "sh", "-c", _MOUNT, TESTS, "true"]
        with contextlib.suppress(OSError):
            if subprocess.run(mounting, capture_output=True, check=False).returncode == 0:
                return words
    return []


MOUNTING = find_mounting()
HOW = ["a stand-in", *(["a mount"] if MOUNTING else [])]
APP = "from seawall import *\nfrom seawall.testing import *\ndesk = Agent('desk', model=ScriptedModel(['Done.']))\n"


def call_each(path: Path, how: str, commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """Calls `seawall` with each command on a journal that can't be written: exit codes, stdout and stderr."""
    asked = json.dumps([[*each, "--journal", str(path)] for each in commands])
    place, env = path.parents[1], {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    if how == "a stand-in":
        done = warm_python.run(["-c", _STAND_IN + _COMMANDS, asked], text=True, cwd=place, env=env)
    else:
        words = [*MOUNTING, "sh", "-c", _MOUNT, str(path.parent), sys.executable, "-c", _COMMANDS, asked]
        done = subprocess.run(words, capture_output=True, text=True, cwd=place, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout)]


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A journal with one run of an app, copied alone."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "copy").mkdir()
    words = [
        "-c",
        "from seawall.cli import main; main()",
        "run",
        "app:desk",
        "Hi.",
        "--journal",
        "journal.db",
    ]
    warm_python.run(words, cwd=tmp_path, check=True)
    return Path(shutil.copy(tmp_path / "journal.db", tmp_path / "copy"))


@pytest.mark.parametrize("how", HOW)
def test_every_command_that_reads_works(ran: Path, how: str) -> None:
    reading = [
        *(["runs", "--json"], ["show", "last"], ["why", "last"], ["verify"], ["replay", "last"], ["budget"]),
        *(["breakers"], ["guards"], ["pause"], ["backup", str(ran.parents[1] / "backup.db")]),
    ]
    for words, (code, out, err) in zip(reading, call_each(ran, how, reading), strict=True):
        assert code == 0, (words, err)
        assert out or err, words
        assert "Traceback" not in err, (words, err)
    assert [file.name for file in ran.parent.iterdir()] == ["journal.db"]


@pytest.mark.parametrize("how", HOW)
def test_every_command_that_writes_says_why_it_can_not(ran: Path, how: str) -> None:
    by = ["--by", "me"]
    writing = [
        *(["approve", "last", *by], ["reject", "last", *by], ["cancel", "last", *by]),
        *(["resume"], ["resume", "last"], ["fork", "last", "--at", "1"], ["run", "app:desk", "Hi."]),
        *(["prune", "--older-than", "1d"], ["erase", "--tenant", "acme", "--yes"]),
        *(["pause", "--all", *by], ["unpause", "--all", *by], ["guards", "set", "loops", "observe", *by]),
        ["breakers", "--open", "model:scripted", *by],
    ]
    reason = "its file system is read-only" if how == "a mount" else f"no permission to write {ran}"
    for words, (code, out, err) in zip(writing, call_each(ran, how, writing), strict=True):
        told = f"seawall: journal {ran} can't be written: {reason}; it can only be read"
        assert (code, out, err.strip()) == (2, "", told), words
    assert [file.name for file in ran.parent.iterdir()] == ["journal.db"]
