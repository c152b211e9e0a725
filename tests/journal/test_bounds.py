"""Queues are bounded, files shrink, and no caller waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from journal.edits import edit
from journal.story import begin, bodies, done, opened, started, step, whole_run
from seawall.core.canonical import ref_of
from seawall.core.errors import Broken, JournalDamaged, JournalFailed, Misused, Refused
from seawall.journal.sqlite import SqliteJournal, SqliteOptions, shared
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.verify import verify
from seawall.testing import ManualClock


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")


def open_with(path: str, **options: Any) -> SqliteJournal:
    return SqliteJournal.open(path, clock=ManualClock(), options=SqliteOptions(**options))


def size(path: str) -> int:
    return Path(path).stat().st_size


def test_creating_waits_for_room_and_every_run_gets_it(path: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_with(path, queue_ops=2)) as journal:
            await asyncio.gather(*(begin(journal, f"r-{number}") for number in range(50)))
            assert len(await journal.runs()) == 50

    asyncio.run(scenario())


def test_waiting_for_room_ends_once_the_queue_is_below_its_bound_and_not_before(path: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_with(path, queue_ops=4, batch_ops=1)) as journal:
            lease = await begin(journal, "r-1")
            pending = [
                asyncio.ensure_future(journal.append(lease, 1 + n, [done(n, b"x")], {})) for n in range(20)
            ]
            await asyncio.wait_for(journal.wait_for_room(), 60)
            assert sum(not each.done() for each in pending) < 4
            await asyncio.gather(*pending)

    asyncio.run(scenario())


def test_an_append_beyond_the_hard_bound_is_refused_and_leaves_no_gap(path: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_with(path, queue_ops=4, hard_factor=2)) as journal:
            lease = await begin(journal, "r-1")
            pending = [journal.append(lease, 1 + n, [done(n, b"x")], {}) for n in range(8)]
            with pytest.raises(Refused, match="8 writes of") as refused:
                journal.append(lease, 9, [done(9, b"x")], {})
            assert (refused.value.guard, refused.value.limit) == ("journal queue", 8)
            await asyncio.gather(*pending)
            await journal.append(lease, 9, [done(9, b"x")], bodies(b"x"))

    asyncio.run(scenario())


def test_a_body_above_the_limit_is_refused_with_its_size(path: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_with(path, body_bytes=10)) as journal:
            with pytest.raises(Misused, match="11 bytes is above the journal's limit of 10"):
                await journal.create(started("r-1"), [], bodies(b"x" * 11))

    asyncio.run(scenario())


def test_options_that_are_not_positive_are_refused() -> None:
    with pytest.raises(Misused, match="lease_s must be positive, not 0"):
        SqliteOptions(lease_s=0)


def test_the_file_shrinks_after_a_prune_and_grows_no_more_than_what_it_holds(path: str) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        journal = SqliteJournal.open(path, clock=clock)
        async with opened(lambda: journal):
            sizes: list[int] = []
            for week in range(4):
                for number in range(30):
                    results = [b"%d %d %d " % (week, number, n) * 800 for n in range(4)]
                    await whole_run(journal, f"r-{week}-{number}", results)
                await clock.advance(1)
                plan = await journal.prune(before=clock.wall_s(), dry_run=True)
                pruned = await journal.prune(before=clock.wall_s())
                assert (plan.runs, plan.events, plan.bodies, plan.body_bytes) == (
                    *(pruned.runs, pruned.events, pruned.bodies, pruned.body_bytes),
                )
                assert plan.file_bytes_after < plan.file_bytes_before / 2
                assert pruned.file_bytes_after == size(path)
                assert pruned.file_bytes_after < pruned.file_bytes_before / 2.5
                sizes.append(size(path))
            assert sizes[-1] < sizes[0] * 3  # summaries stay: 120 of them where there were 30
            found = await journal.verify()
            assert (found.bad, found.pruned_events) == (None, 120 * 10)

    asyncio.run(scenario())


def test_others_write_while_a_journal_is_pruned_and_verified(path: str) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        journal = SqliteJournal.open(path, clock=clock)
        async with opened(lambda: journal), opened(lambda: open_with(path)) as other:
            for number in range(250):
                await whole_run(journal, f"r-{number}", [b"shared", b"%d" % number])
            await clock.advance(1)
            lease = await begin(other, "r-live")

            async def go_on() -> None:
                for number in range(60):
                    await step(other, lease, 1 + 2 * number, b"%d" % number)

            pruned, found, _ = await asyncio.gather(
                journal.prune(before=clock.wall_s()), other.verify(), go_on()
            )
            assert pruned.runs == 250
            assert found.bad is None
            again = await journal.verify()
            assert again.bad is None
            contents = [b"%d" % number for number in range(60)]
            assert await other.bodies("acme", [ref_of(each) for each in contents]) == bodies(*contents)

    asyncio.run(scenario())


def test_a_journal_that_is_pruned_all_the_time_is_verified_in_one_snapshot(path: str) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        journal = SqliteJournal.open(path, clock=clock)
        numbers = itertools.count()
        told: list[int] = []

        async def read(work: Callable[[Database], bool]) -> bool:
            await whole_run(journal, f"r-{next(numbers)}", [b"shared"])
            await clock.advance(1)
            await journal.prune(before=clock.wall_s())
            database = Database(path, flags=apsw.SQLITE_OPEN_READONLY, vfs=None)
            try:
                database.run("BEGIN")
                return work(database)
            finally:
                database.close()

        async with opened(lambda: journal):
            found = await verify(read, None, lambda done, _: told.append(done))
        assert found.bad is None
        assert found.batches > 0 and told[-1] == found.batches

    asyncio.run(scenario())


def test_an_unforeseen_error_of_the_writer_reaches_the_callers_that_wait(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_it(*_: object) -> None:
        raise MemoryError("made by a test")

    async def scenario() -> None:
        journal = open_with(path)
        async with opened(lambda: journal):
            lease = await begin(journal, "r-1")
            monkeypatch.setattr("seawall.journal.sqlite.mark.Mark.follow", break_it)  # after each commit
            with contextlib.suppress(JournalFailed):  # if the first commit's own housekeeping comes this late
                await step(journal, lease, 1, b"x")
            while journal.problem is None:
                await journal.row("r-1")
            with pytest.raises(JournalFailed, match="MemoryError: made by a test; writing has stopped"):
                await step(journal, lease, 3, b"y")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error", [apsw.NoMemError(), MemoryError("here"), apsw.ProtocolError("locking protocol")]
)
def test_a_machine_without_memory_or_locks_is_neither_a_bug_nor_damage(
    path: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def break_it(*_: object) -> None:
        raise error

    async def scenario() -> None:
        async with opened(lambda: open_with(path)) as journal:
            lease = await begin(journal, "r-1")
            with monkeypatch.context() as patch:
                patch.setattr("seawall.journal.sqlite.transaction.Transaction.commit", break_it)
                with pytest.raises(Broken, match=f"{type(error).__name__}.*nothing was written"):
                    await step(journal, lease, 1, b"x")
            with monkeypatch.context() as patch:
                patch.setattr("seawall.journal.sqlite.database.Database.fetch_first", break_it)
                with pytest.raises(Broken, match=type(error).__name__):
                    await journal.row("r-1")
            await whole_run(journal, "r-2", [b"x"])
            assert (await journal.verify()).ok

    asyncio.run(scenario())


def test_a_read_only_database_is_named(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise apsw.ReadOnlyError("attempt to write a readonly database")

    monkeypatch.setattr("seawall.journal.sqlite.journal_file.prepare", refuse)

    with pytest.raises(Misused, match="can't be written: the file or its directory is read-only"):
        open_with(path)


def test_caps_are_read_again_only_after_one_was_written_by_whatever_process(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    fetch = shared._fetch

    def note(database: Database, prefix: str) -> list[tuple[Any, ...]]:
        fetched.append(prefix)
        return fetch(database, prefix)

    monkeypatch.setattr(shared, "_fetch", note)

    async def scenario() -> None:
        async with opened(lambda: open_with(path)) as reader, opened(lambda: open_with(path)) as writer:
            for name in ("acme", "ajax"):
                await writer.change(f"caps:{name}", lambda _: b"1")
            expected = {"caps:acme": b"1", "caps:ajax": b"1"}
            assert await reader.shared("caps") == expected
            (await reader.shared("caps")).clear()  # what a caller does with its answer is its own affair
            await begin(writer, "r-1")
            assert await reader.shared("caps") == expected
            assert fetched == ["caps"]
            await writer.change("caps:ajax", lambda _: b"2")
            assert await reader.shared("caps") == {**expected, "caps:ajax": b"2"}
            await writer.change("caps:ajax", lambda _: None)
            await writer.change("caps:beta", lambda _: b"3")
            assert await reader.shared("caps") == {"caps:acme": b"1", "caps:beta": b"3"}
            await writer.change("caps:acme", lambda _: None)
            assert await reader.shared("caps") == {"caps:beta": b"3"}
            edit(path, "UPDATE meta SET value = value - 4 WHERE key = 'held'")
            edit(path, "INSERT INTO shared(key, value) VALUES (CAST('caps:evil' AS BLOB), x'00')")
            with pytest.raises(JournalDamaged, match="caps:evil"):
                await reader.shared("caps")

    asyncio.run(scenario())
