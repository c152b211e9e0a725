"""A person decides in another process: while a loop waits, while none runs, at the same moment as another person."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.boss import FRAUD, approve, identify, reject, wait_for_question
from runtime.foreign.scripted_loop import Bank, ScriptedLoop
from seawall import Broken, Effect, Misused, Refused, Seawall, always
from seawall.runtime.foreign.asks import Halted, Held
from seawall.runtime.foreign.engine import Engine

EFFECTS = {"refund": Effect(approve=always())}
ASKED = "Refund order 1042"
REPLIES = [[("c1", "refund", {"order": 1042, "amount": 5})], "That was order 1042."]
DONE = "That was order 1042."


def make_engine(journal: Path, **options: Any) -> Engine:
    """A process that opens the journal."""
    return Engine(journal, effects=EFFECTS, authenticate=identify, **options)


def ask(engine: Engine, bank: Bank, **options: Any) -> tuple[Any, ScriptedLoop]:
    """One invocation of a framework without a checkpoint of its own."""
    loop = ScriptedLoop(REPLIES, {"refund": bank.refund})
    with engine.begin(ASKED, loop="own", request_id="r-1", **options) as session:
        return session.end_sync(loop.run_sync(session, ASKED)), loop


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize("approves", [True, False], ids=["approve", "reject"])
def test_a_loop_that_waits_goes_on_once_another_process_has_decided(
    journal: Path, pool: ThreadPoolExecutor, approves: bool
) -> None:
    bank = Bank()
    with make_engine(journal) as engine, make_engine(journal) as other:
        waiting = pool.submit(ask, engine, bank, waits=True)
        wait_for_question(other, waiting)
        other.call(approve if approves else reject)
        outcome, loop = waiting.result(60)

    assert (outcome.status, outcome.answer) == ("completed", DONE)
    assert bank.refunds == ([(1042, 5)] if approves else [])
    assert approves or FRAUD in loop.settled[1].text


@pytest.mark.parametrize("approves", [True, False], ids=["approve", "reject"])
def test_a_decision_while_nothing_runs_is_found_by_a_third_process(journal: Path, approves: bool) -> None:
    bank = Bank()
    with make_engine(journal) as engine, pytest.raises(Held):
        ask(engine, bank)
    with make_engine(journal) as other:
        other.call(approve if approves else reject)
    with make_engine(journal) as third:
        outcome, loop = ask(third, bank)

    assert (outcome.status, outcome.answer) == ("completed", DONE)
    assert bank.refunds == ([(1042, 5)] if approves else [])
    assert approves or FRAUD in loop.settled[1].text


def run_command(journal: Path, *words: str, **environment: str) -> str:
    """Runs a command as somebody does at a shell."""
    told = subprocess.run(
        [sys.executable, "-c", "from seawall.cli import main; main()", *words, "--journal", str(journal)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


@pytest.mark.parametrize("waits", [True, False], ids=["while it waits", "while nothing runs"])
def test_a_command_at_a_shell_decides(journal: Path, pool: ThreadPoolExecutor, waits: bool) -> None:
    bank = Bank()
    with Engine(journal, effects=EFFECTS) as engine:
        key = json.loads(run_command(journal, "principals", "add", "dana", "--json"))["key"]
        waiting = pool.submit(ask, engine, bank, waits=waits)
        wait_for_question(engine)
        if not waits:
            with pytest.raises(Held):
                waiting.result(60)
        run_command(journal, "approve", "last", SEAWALL_KEY=key)
        outcome, _ = waiting.result(60) if waits else ask(engine, bank)

    assert (outcome.status, bank.refunds) == ("completed", [(1042, 5)])


def test_two_processes_that_decide_at_once_are_one_decision(journal: Path, pool: ThreadPoolExecutor) -> None:
    bank, together = Bank(), threading.Barrier(2)

    def decide(other: Engine, how: Callable[[Seawall], Any]) -> bool:
        together.wait(30)
        try:
            other.call(how)
        except (Refused, Misused):
            return False
        return True

    with make_engine(journal) as engine, make_engine(journal) as one, make_engine(journal) as two:
        waiting = pool.submit(ask, engine, bank, waits=True)
        wait_for_question(one, waiting)
        approved: Future[bool] = pool.submit(decide, one, approve)
        rejected: Future[bool] = pool.submit(decide, two, reject)
        outcome, loop = waiting.result(60)
        won = approved.result(60), rejected.result(60)

    assert outcome.status == "completed"
    told = loop.settled[1]
    assert (told.status == "ok") is bool(bank.refunds)
    assert len(bank.refunds) <= 1
    assert won != (False, False)


def test_a_loop_that_asks_again_and_again_is_held_until_the_decision(journal: Path) -> None:
    bank = Bank()
    with make_engine(journal) as engine, make_engine(journal) as other:
        proposals: set[str] = set()
        for _ in range(3):
            with pytest.raises(Held) as held:
                ask(engine, bank)
            proposals.add(held.value.proposal)
        other.call(approve)
        assert ask(engine, bank)[0].status == "completed"

    assert len(proposals) == 1
    assert bank.refunds == [(1042, 5)]


def test_a_rejection_that_ends_the_run_ends_the_loop_that_waits(
    journal: Path, pool: ThreadPoolExecutor
) -> None:
    async def end(sea: Seawall) -> None:
        for each in await sea.approvals():
            await sea.reject(each.id, hash=each.hash, credential="boss", reason=FRAUD, stop=True)

    bank = Bank()
    with make_engine(journal) as engine, make_engine(journal) as other:
        waiting = pool.submit(ask, engine, bank, waits=True)
        wait_for_question(other, waiting)
        other.call(end)
        with pytest.raises(Halted) as halted:
            waiting.result(60)

    assert halted.value.outcome.status == "refused"
    assert bank.refunds == []


def test_a_rejection_that_ends_the_run_while_nothing_runs_is_told_to_the_next_loop(journal: Path) -> None:
    async def end(sea: Seawall) -> None:
        for each in await sea.approvals():
            await sea.reject(each.id, hash=each.hash, credential="boss", reason=FRAUD, stop=True)

    bank = Bank()
    with make_engine(journal) as engine, pytest.raises(Held):
        ask(engine, bank)
    with make_engine(journal) as other:
        other.call(end)
    with make_engine(journal) as third, pytest.raises(Halted) as halted:
        ask(third, bank)

    assert halted.value.outcome.status == "refused"
    assert bank.refunds == []


def test_an_engine_that_closes_while_its_loop_waits_leaves_the_decision_to_the_next(
    journal: Path, pool: ThreadPoolExecutor
) -> None:
    bank = Bank()
    with make_engine(journal) as other:
        engine = make_engine(journal)
        waiting = pool.submit(ask, engine, bank, waits=True)
        wait_for_question(other, waiting)
        closing = pool.submit(engine.close)
        other.call(approve)
        closing.result(60)
        with suppress(Broken, Misused, Refused):  # it may have been woken before that
            waiting.result(60)
        outcome, _ = ask(other, bank)

    assert outcome.status == "completed"
    assert bank.refunds == [(1042, 5)]
