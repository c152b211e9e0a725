"""The wall clock jumps under a framework's run, by hours and by 400 days: nothing is lost, and nothing is made twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.boss import approve, identify, wait_for_question
from runtime.foreign.scripted_loop import USAGE, ScriptedLoop
from seawall import Broken, Effect, Limits, Misused, Refused, always
from seawall.core.clock import SystemClock
from seawall.runtime.foreign.asks import Held, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.results import ModelResult

HOUR_S, YEAR_S = 3_600.0, 400 * 86_400.0
JUMPS = pytest.mark.parametrize(
    "jump_s", [-YEAR_S, -3 * HOUR_S, 3 * HOUR_S, YEAR_S], ids=["-400d", "-3h", "+3h", "+400d"]
)
HOURS = pytest.mark.parametrize("jump_s", [-3 * HOUR_S, 3 * HOUR_S], ids=["-3h", "+3h"])
EFFECTS: dict[str, Any] = {"refund": Effect(approve=always()), "pay": True}


class JumpingClock(SystemClock):
    """The machine's clock, whose wall time somebody sets."""

    def __init__(self, jump_s: float = 0.0) -> None:
        self.jump_s = jump_s

    def wall_s(self) -> float:  # type: ignore[override] -- a function there
        return SystemClock.wall_s() + self.jump_s


class Bank:
    """The outside world: counts what reaches it."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def refund(self, order: int) -> str:
        self.made.append(f"refund {order}")
        return "refunded"

    def pay(self, order: int) -> str:
        self.made.append(f"pay {order}")
        return "paid"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def make_engine(journal: Path, clock: JumpingClock) -> Engine:
    return Engine(journal, effects=EFFECTS, authenticate=identify, clock=clock)


def ask(engine: Engine, bank: Bank, tool: str, clock: JumpingClock | None = None, **options: Any) -> Any:
    """One invocation of a loop that makes two calls. `clock` jumps by `jump_s` between them."""
    jump_s = options.pop("jump_s", 0.0)

    def make(order: int) -> str:
        told = getattr(bank, tool)(order)
        if clock is not None:
            clock.jump_s += jump_s
        return told

    replies = [[("c1", tool, {"order": 1})], [("c2", tool, {"order": 2})], "Done."]
    loop = ScriptedLoop(replies, {tool: make})
    with engine.begin("Do it", loop="own", request_id="r-1", **options) as session:
        return session.end_sync(loop.run_sync(session, "Do it"))


@JUMPS
def test_a_clock_that_jumps_within_a_step_changes_nothing(journal: Path, jump_s: float) -> None:
    bank, clock = Bank(), JumpingClock()
    with make_engine(journal, clock) as engine:
        outcome = ask(engine, bank, "pay", clock, jump_s=jump_s, limits=Limits(active_s=60))
        verified = engine.call(lambda sea: sea.journal.verify())

    assert (outcome.status, bank.made) == ("completed", ["pay 1", "pay 2"])
    assert verified.ok, verified


@JUMPS
def test_a_run_of_another_time_is_gone_on_with(journal: Path, jump_s: float) -> None:
    """The process is gone, and the next one's clock is another."""
    bank, clock = Bank(), JumpingClock()
    with make_engine(journal, clock) as engine:
        session = engine.begin("Do it", loop="own", request_id="r-1")
        loop = ScriptedLoop([[("c1", "pay", {"order": 1})]], {"pay": bank.pay})
        with suppress(Broken, Misused, Refused):
            asked = session.model("clerk", "test:m", [{"role": "user", "content": "Do it"}])
            session.step_sync(asked, loop.call_model)
            session.step_sync(session.tool("clerk", "pay", {"order": 1}, call_id="c1"), loop.call_tool("pay"))
    with make_engine(journal, JumpingClock(jump_s)) as later:
        outcome = ask(later, bank, "pay")

    assert (outcome.status, bank.made) == ("completed", ["pay 1", "pay 2"])


@HOURS
def test_a_hold_outlasts_a_clock_that_jumps(journal: Path, pool: ThreadPoolExecutor, jump_s: float) -> None:
    bank, clock = Bank(), JumpingClock()
    with make_engine(journal, clock) as engine, make_engine(journal, JumpingClock()) as other:
        waiting = pool.submit(ask, engine, bank, "refund", waits=True)
        for _ in range(2):
            wait_for_question(other, waiting)
            clock.jump_s += jump_s
            other.call(approve)
        outcome = waiting.result(60)

    assert (outcome.status, bank.made) == ("completed", ["refund 1", "refund 2"])


@HOURS
def test_a_hold_while_nothing_runs_outlasts_a_clock_that_jumps(journal: Path, jump_s: float) -> None:
    bank = Bank()
    for number in range(2):
        with make_engine(journal, JumpingClock(number * jump_s)) as engine, pytest.raises(Held):
            ask(engine, bank, "refund")
        with make_engine(journal, JumpingClock((1 - number) * jump_s)) as other:
            assert other.call(approve) == 1
    with make_engine(journal, JumpingClock()) as engine:
        outcome = ask(engine, bank, "refund")

    assert (outcome.status, bank.made) == ("completed", ["refund 1", "refund 2"])


def test_an_approval_is_not_believed_400_days_later_and_may_be_given_anew(journal: Path) -> None:
    bank = Bank()
    with make_engine(journal, JumpingClock()) as engine:
        with pytest.raises(Held) as first:
            ask(engine, bank, "refund")
        engine.call(approve)
    with make_engine(journal, JumpingClock(YEAR_S)) as later:
        with pytest.raises(Held) as anew:
            ask(later, bank, "refund")
        assert (anew.value.proposal == first.value.proposal, bank.made) == (False, [])
        later.call(approve)
        with pytest.raises(Held):
            ask(later, bank, "refund")

    assert bank.made == ["refund 1"]


def test_a_question_that_nobody_has_answered_for_400_days_is_told_as_a_rejection(journal: Path) -> None:
    bank = Bank()
    with make_engine(journal, JumpingClock()) as engine, pytest.raises(Held):
        ask(engine, bank, "refund")
    with make_engine(journal, JumpingClock(YEAR_S)) as later, pytest.raises(Held) as held:
        ask(later, bank, "refund")  # the second refund is asked about; the first was refused

    assert bank.made == []
    assert held.value.name == "refund"


@JUMPS
def test_another_process_whose_clock_is_wrong_does_not_take_a_run_that_is_at_work(
    journal: Path, pool: ThreadPoolExecutor, jump_s: float
) -> None:
    bank, other_bank = Bank(), Bank()
    with make_engine(journal, JumpingClock()) as engine, make_engine(journal, JumpingClock(jump_s)) as other:

        def pay(turn: Turn) -> tuple[str, None]:
            with pytest.raises(Refused):
                ask(other, other_bank, "pay")
            return bank.pay(1), None

        with engine.begin("Do it", loop="own", request_id="r-1") as session:
            calls = [("c1", "pay", json.dumps({"order": 1}))]
            asked = session.model("clerk", "test:m", [{"role": "user", "content": "Do it"}])
            session.step_sync(asked, lambda turn: (ModelResult("", calls, usage=USAGE), None))
            session.step_sync(session.tool("clerk", "pay", {"order": 1}, call_id="c1"), pay)
            outcome = session.end_sync("Done.")

    assert outcome.status == "completed"
    assert (bank.made, other_bank.made) == (["pay 1"], [])


@JUMPS
def test_the_active_time_of_a_run_is_not_that_of_the_wall_clock(journal: Path, jump_s: float) -> None:
    clock = JumpingClock()

    def look(turn: Turn) -> tuple[str, None]:
        clock.jump_s += jump_s
        return "seen", None

    with (
        make_engine(journal, clock) as engine,
        engine.begin("Look", loop="own", limits=Limits(active_s=30)) as session,
    ):
        for page in range(3):
            session.step_sync(session.tool("clerk", "look", {"page": page}), look)
        outcome = session.end_sync("seen")
    assert outcome.status == "completed"
