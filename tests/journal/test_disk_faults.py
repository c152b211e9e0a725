"""A disk that fails at every write: faults F01, F04, F05, F06 and F09 of the fault list."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from journal.disk import Disk
from journal.story import begin, bodies, done, opened, started, step
from journal.workload import KILLED, Acknowledged, busy_morning, open_on
from seawall.core.errors import Broken, JournalFailed, JournalFull, Misused, SeawallBug
from seawall.journal.protocol import Account, Booking, Cap, Spend
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ManualClock


@pytest.fixture
def disk() -> Iterator[Disk]:
    mounted = Disk().mount()
    yield mounted
    mounted.unmount()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")


def check_recovered(path: str, acknowledged: Acknowledged) -> None:
    """Checks that everything that was acknowledged is in the journal, and that the chain is whole."""

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(path, clock=ManualClock())) as journal:
            found = {row.run: row.events for row in await journal.runs()}
            assert {run: count for run, count in acknowledged.items() if found.get(run, 0) < count} == {}
            verification = await journal.verify()
            assert verification.bad is None
            for run in acknowledged:
                assert len(await journal.events(run)) == found[run]
            await begin(journal, "r-after")

    asyncio.run(scenario())


def writes_of_a_morning(tmp_path: Path) -> int:
    disk = Disk().mount()

    async def scenario() -> None:
        async with opened(lambda: open_on(disk, str(tmp_path / "counted.db"), checkpoint_pages=8)) as journal:
            await busy_morning(journal, {})

    asyncio.run(scenario())
    disk.unmount()
    return disk.writes


@pytest.mark.parametrize("power_fails", [False, True], ids=["killed", "power-cut"])
@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
@pytest.mark.parametrize("shard", range(4))
def test_what_was_acknowledged_outlives_an_end_at_any_write(
    tmp_path: Path, power_fails: bool, torn: bool, shard: int
) -> None:
    total = writes_of_a_morning(tmp_path)
    for number in range(1 + shard, total, 4 * max(1, total // 60)):
        path = str(tmp_path / f"{number}.db")
        acknowledged: Acknowledged = {}
        disk = Disk(dies_at_write=number, torn=torn).mount()

        async def scenario(disk: Disk = disk, path: str = path, seen: Acknowledged = acknowledged) -> None:
            journal = open_on(disk, path, checkpoint_pages=8)
            with contextlib.suppress(JournalFailed):  # the last writes come when it is closed
                await busy_morning(journal, seen)
            await journal.close()

        try:
            asyncio.run(scenario())
        except (Broken, Misused):
            assert acknowledged == {}  # it died while the file was made
        if power_fails:
            disk.cut_power()
        disk.unmount()
        check_recovered(path, acknowledged)


@pytest.mark.parametrize("number", [3, 20, 41, 77, 120, 161])
def test_what_was_acknowledged_outlives_a_killed_process(tmp_path: Path, path: str, number: int) -> None:
    tests = str(Path(__file__).parents[1])
    victim = subprocess.run(
        [sys.executable, "-m", "journal.workload", path, str(number)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": tests},
        check=False,
    )

    assert victim.returncode == KILLED, victim.stderr
    check_recovered(path, dict(json.loads(line) for line in victim.stdout.splitlines()))


def test_a_failed_sync_stops_all_writing_and_is_not_repeated(disk: Disk, path: str) -> None:
    async def scenario() -> None:
        journal = open_on(disk, path)
        lease = await begin(journal, "r-1")
        await step(journal, lease, 1, b"x")
        disk.sync_fails = True
        with pytest.raises(JournalFailed, match="nothing of the last commit was acknowledged"):
            await step(journal, lease, 3, b"y")
        syncs = disk.syncs
        disk.sync_fails = False
        with pytest.raises(JournalFailed):
            await step(journal, lease, 5, b"z")
        with pytest.raises(JournalFailed):
            await begin(journal, "r-2")

        assert disk.syncs == syncs
        assert len(await journal.events("r-1")) == 3
        assert journal.problem is not None
        await journal.close()

    asyncio.run(scenario())
    check_recovered(path, {"r-1": 3})


@pytest.mark.parametrize("short", [False, True], ids=["full", "short-write"])
def test_a_full_disk_refuses_writes_serves_reads_and_recovers(disk: Disk, path: str, short: bool) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_on(disk, path)) as journal:
            lease = await begin(journal, "r-1")
            other = await begin(journal, "r-2")
            disk.full, disk.short = True, short
            refused = [
                journal.append(lease, 1, [done(1, b"x")], bodies(b"x" * 50_000)),
                journal.append(lease, 2, [done(2, b"y")], bodies(b"y")),
            ]
            for each in refused:
                with pytest.raises(JournalFull, match="disk is full"):
                    await each
            with pytest.raises(JournalFull):
                await journal.create(started("r-3"), [], bodies(b"z" * 50_000))
            assert len(await journal.events("r-1")) == 1
            disk.full = False

            with pytest.raises(JournalFull):  # what was enqueued after the refused one may not leave a gap
                await journal.append(lease, 3, [done(3, b"z")], {})
            again = await journal.take("r-1")
            await step(journal, again, 1, b"x")
            await step(journal, other, 1, b"x")
            assert len(await journal.events("r-1")) == 3
            assert (await journal.verify()).ok

    asyncio.run(scenario())


def test_what_a_failed_commit_would_have_booked_and_shared_is_neither_lost_nor_doubled(
    disk: Disk, path: str
) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_on(disk, path)) as journal:
            lease = await begin(journal, "r-1")
            big = b"x" * 50_000
            call = Spend(usd=Decimal("0.1"), model_calls=1)
            cap = Cap(scope="tenant", tenant="acme", model_calls=2)

            def everything() -> list[Awaitable[object]]:
                booked = [Booking(day="2026-01-01", spent=call)]
                return [
                    journal.append(lease, 1, [done(1, big)], bodies(big), booked=booked),
                    journal.change("k", lambda old: (old or b"") + b"x"),
                    journal.reserve("acme", "2026-01-01", call, [cap]),
                    journal.book("other", booked),
                ]

            disk.full = True
            failed = await asyncio.gather(*everything(), return_exceptions=True)
            assert [type(each) for each in failed] == [JournalFull] * 4
            assert (await journal.accounts(), await journal.shared("")) == ([], {})
            disk.full = False
            lease = await journal.take("r-1")
            assert await asyncio.gather(*everything()) == [None, b"x", None, None]

            both = Account(tenant="acme", day="*", spent=call, reserved=call)
            assert await journal.accounts(tenant="acme", day="*") == [both]
            (day,) = await journal.accounts(tenant="*")
            assert (day.spent.usd, day.reserved.usd) == (Decimal("0.2"), Decimal("0.1"))
            over = await journal.reserve("acme", "2026-01-01", call, [cap])
            assert over is not None
            assert over.value == 3
            assert (await journal.verify()).ok

    asyncio.run(scenario())


def test_one_write_at_fault_in_a_commit_does_not_double_what_the_others_book(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_it(*_: object) -> None:
        raise RuntimeError("made by a test")

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(path, clock=ManualClock())) as journal:
            monkeypatch.setattr("seawall.journal.sqlite.ops.ReleaseOp.plan", break_it)
            lease = await begin(journal, "r-1")
            booked = [Booking(day="2026-01-01", spent=Spend(tokens=7))]
            first, broken, second, changed = await asyncio.gather(
                journal.book("acme", booked),
                journal.release(lease),
                journal.book("acme", booked),
                journal.change("k", lambda old: (old or b"") + b"x"),
                return_exceptions=True,
            )
            assert (first, second, changed) == (None, None, b"x")
            assert isinstance(broken, SeawallBug)
            assert {each.spent.tokens for each in await journal.accounts()} == {14}

    asyncio.run(scenario())


def test_a_short_write_in_a_full_journal_leaves_it_sound(disk: Disk, path: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_on(disk, path)) as journal:
            await begin(journal, "r-1")
            disk.full = disk.short = True
            for number in range(5):
                with pytest.raises(JournalFull):
                    await journal.create(started(f"r-x{number}"), [], bodies(b"%d" % number * 90_000))

    asyncio.run(scenario())
    disk.full = False
    check_recovered(path, {"r-1": 1})
