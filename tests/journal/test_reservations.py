"""What a process has reserved and no step took over: it ends with the process, and never while that lives."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import apsw
import pytest

from journal.contract_accounts import CALL, DAY, TAKEN_OVER, of
from journal.edits import edit, leave_schema_6
from journal.story import begin, opened
from seawall.core.errors import Fenced
from seawall.journal.protocol import Booking, Cap, Spend
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ManualClock

TESTS = str(Path(__file__).parents[1])
ONE = Cap(scope="tenant", tenant="acme", model_calls=1)

_KILLED = """
import asyncio, os, sys
from journal.contract_accounts import *
from journal.story import begin
from seawall.core.clock import SystemClock
from seawall.journal.sqlite import SqliteJournal

async def main():
    journal = SqliteJournal.open(sys.argv[1], clock=SystemClock())
    await begin(journal, "r-1")
    for run in sys.argv[2:]:
        await journal.reserve("acme", DAY, CALL, [], run)
    os._exit(0)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")


def reserve_and_die(path: str, *runs: str) -> None:
    """Has a process reserve a call for each run, and die."""
    subprocess.run([sys.executable, "-c", _KILLED, path, *runs], env={"PYTHONPATH": TESTS}, check=True)


def list_rows(path: str) -> list[tuple[object, ...]]:
    database = apsw.Connection(path)
    rows = database.execute("SELECT run, day, model_calls FROM reservations ORDER BY run").fetchall()
    database.close()
    return [tuple(row) for row in rows]


def open_at(path: str, clock: ManualClock | None = None) -> SqliteJournal:
    return SqliteJournal.open(path, clock=clock or ManualClock())


def test_what_a_process_that_died_had_reserved_counts_as_given_back_and_hinders_nobody(path: str) -> None:
    reserve_and_die(path, "r-1", "r-2")
    assert list_rows(path) == [("r-1", DAY, 1), ("r-2", DAY, 1)]

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            assert {account.reserved for account in await journal.accounts()} == {Spend()}
            assert await journal.reserve("acme", DAY, CALL, [ONE], "r-3") is None
            assert list_rows(path) == [("r-3", DAY, 1)]
            assert await of(journal, "acme") == (Spend(), CALL)
            assert (await journal.verify()).ok

    asyncio.run(scenario())
    assert list_rows(path) == []


def test_who_takes_a_run_up_gives_back_what_dead_processes_had_reserved(path: str) -> None:
    reserve_and_die(path, "r-1", "r-2")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await journal.take("r-1")
            assert list_rows(path) == []
            assert {account.reserved for account in await journal.accounts()} == {Spend()}
            assert (await journal.verify()).ok

    asyncio.run(scenario())


def test_what_a_stopped_process_had_reserved_is_given_back_with_its_lease_and_fences_it(path: str) -> None:
    clock = ManualClock()

    async def scenario() -> None:
        async with (
            opened(lambda: open_at(path, clock)) as stopped,
            opened(lambda: open_at(path, clock)) as other,
        ):
            lease = await begin(stopped, "r-1")
            for run in ("r-1", "r-2"):
                assert await stopped.reserve("acme", DAY, CALL, [], run) is None
            edit(path, "UPDATE workers SET until_mono = until_mono + 25")  # the rest of its lease
            await clock.advance(5)
            over = await other.reserve("acme", DAY, CALL, [ONE], "r-3")
            assert over is not None and over.waits  # it may be alive
            edit(path, "DELETE FROM workers")  # nobody can tell its silence from its death any more
            assert await other.reserve("acme", DAY, CALL, [ONE], "r-3") is None

            await clock.advance(11)  # it is back, and its heartbeat is due
            assert await stopped.reserve("acme", DAY, CALL, [], "r-2") is None
            with pytest.raises(Fenced, match="had run out; resume the run"):
                await stopped.append(lease, 1, [], {}, booked=[TAKEN_OVER])
            assert (await of(other, "acme"))[1] == Spend(usd=CALL.usd * 2, tokens=2_000, model_calls=2)
            assert (await other.verify()).ok

    asyncio.run(scenario())


def test_a_reservation_that_was_edited_is_found_and_not_given_back(path: str) -> None:
    reserve_and_die(path, "r-1")
    edit(path, "UPDATE reservations SET tokens = 5")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            found = await journal.verify()
            assert found.bad is not None and "table reservations" in found.bad.what
            over = await journal.reserve("acme", DAY, CALL, [ONE], "r-2")
            assert over is not None and over.waits
            await begin(journal, "r-2")  # runs go on

    asyncio.run(scenario())


def test_a_reservation_that_was_deleted_is_found(path: str) -> None:
    reserve_and_die(path, "r-1", "r-2")
    edit(path, "DELETE FROM reservations WHERE run = 'r-1'")

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            found = await journal.verify()
            assert found.bad is not None and "was added, deleted or put back" in found.bad.what

    asyncio.run(scenario())


def test_a_process_that_reserves_before_it_owns_a_run_is_known_to_be_alive(path: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as one, opened(lambda: open_at(path)) as two:
            assert await one.reserve("acme", DAY, CALL, [], "r-1") is None
            assert await two.reserve("acme", DAY, CALL, [ONE], "r-2") is not None
            assert await of(two, "acme") == (Spend(), CALL)

    asyncio.run(scenario())


def test_what_an_older_version_had_reserved_stays_until_a_booking_takes_it_back(path: str) -> None:
    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            await journal.book("acme", [Booking(day=DAY, reserved=CALL)])
        leave_schema_6(path)
        database = apsw.Connection(path)
        later = ("runs_by_start", "runs_by_tenant_start", "runs_by_team", "entries_by_principal")
        database.execute("DROP TABLE reservations; " + "".join(f"DROP INDEX {name}; " for name in later))
        database.execute("PRAGMA user_version = 4")
        database.close()
        async with opened(lambda: open_at(path)) as journal:
            assert await of(journal, "acme") == (Spend(), CALL)
            assert await journal.reserve("acme", DAY, CALL, [ONE], "r-1") is not None
            await journal.book("acme", [Booking(day=DAY, reserved=-CALL, spent=CALL)])
            assert await of(journal, "acme") == (CALL, Spend())
            assert (await journal.verify()).ok

    asyncio.run(scenario())


def test_money_of_every_size_is_given_back_to_the_last_decimal(path: str) -> None:
    odd = Spend(usd=Decimal("123456789.123456789012345678901234567890123456789012345678"), tool_calls=1)

    async def scenario() -> None:
        async with opened(lambda: open_at(path)) as journal:
            for _ in range(3):
                assert await journal.reserve("acme", DAY, odd, [], "r-1") is None
            await journal.give_back("r-1", DAY, odd)
            await journal.give_back("r-1")
            assert await of(journal, "acme") == (Spend(), Spend())

    asyncio.run(scenario())
