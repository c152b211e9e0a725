"""A disk that is full for a while under an engine: no tool is called that was not recorded, and then runs go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from journal.disk import Disk
from runtime.foreign.scripted_loop import Bank, ScriptedLoop
from seawall import Outcome
from seawall.core.clock import SystemClock
from seawall.core.errors import JournalFull
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.runtime.foreign.engine import Engine

REPLIES = [[(f"c{number}", "refund", {"order": number, "amount": 5})] for number in range(3)]


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk().mount()
    yield disk
    disk.unmount()


@pytest.fixture
def engine(tmp_path: Path, disk: Disk) -> Iterator[Engine]:
    options = SqliteOptions(vfs=disk.name)
    journal = SqliteJournal.open(str(tmp_path / "desk.db"), clock=SystemClock(), options=options)
    with Engine(journal, reads=["refund"]) as engine:
        yield engine


def ask(engine: Engine, refund: Callable[[int, int], str], request_id: str = "r-1") -> Outcome:
    with engine.begin("Refund all", loop="own", request_id=request_id) as session:
        loop = ScriptedLoop([*REPLIES, "Done."], {"refund": refund})
        return session.end_sync(loop.run_sync(session, "Refund all"))


@pytest.mark.parametrize("fault", ["full", "no_room_for_shm"])
@pytest.mark.parametrize("tries", [0, 1, 3])
def test_a_run_goes_on_in_the_same_process_once_there_is_room(
    tmp_path: Path, engine: Engine, disk: Disk, fault: str, tries: int
) -> None:
    bank = Bank()

    def refund(order: int, amount: int) -> str:
        if order == 1 and len(bank.refunds) == 1:
            setattr(disk, fault, True)
        return bank.refund(order, amount)

    for _ in range(1 + tries):
        with pytest.raises(JournalFull, match=rf"{tmp_path}/desk\.db: the disk is full"):
            ask(engine, refund)
    with pytest.raises(JournalFull):
        ask(engine, refund, "r-2")
    assert bank.refunds == [(0, 5), (1, 5)]

    setattr(disk, fault, False)
    assert ask(engine, refund).status == "completed"  # a read of which no result was recorded is made again
    assert bank.refunds == [(0, 5), (1, 5), (1, 5), (2, 5)]
    assert ask(engine, refund, "r-2").status == "completed"


def test_a_run_that_could_not_be_given_up_is_taken_up_again(engine: Engine, disk: Disk) -> None:
    def never(order: int, amount: int) -> str:
        disk.full = True
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(engine, never)
    disk.full = False

    assert ask(engine, Bank().refund).status == "completed"
