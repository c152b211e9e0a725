"""A run that a cap of its tenant or day has halted goes on under its request id once its account has room again."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.scripted_loop import Bank, Reply, ScriptedLoop
from runtime.foreign.test_clocks import JumpingClock
from seawall import Budget, Caps, Engine, Halted, Limits, Misused, Outcome
from seawall.core.events import StoppedBy
from seawall.guards.budget.guard import BudgetGuard

REPLIES: list[Reply] = [
    [("c1", "refund", {"order": 7, "amount": 5})],
    [("c2", "find_order", {"order": 7})],
    [("c3", "find_order", {"order": 8})],
    "Done.",
]
TWO_A_DAY = Budget(tenant_day=Caps(tool_calls=2))
DAY_S = 86_400.0


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


class Desk:
    """An application that makes the same request again and again, and the world."""

    def __init__(self, journal: Path, clock: JumpingClock) -> None:
        self.journal, self.clock, self.bank = journal, clock, Bank()

    def ask(self, budget: Budget, **options: Any) -> tuple[Outcome[Any], ScriptedLoop]:
        loop = ScriptedLoop(
            REPLIES, {"find_order": lambda order: f"{order}: paid", "refund": self.bank.refund}
        )
        options = {"request_id": "q-1", "tenant": "acme", "principal": "ann", **options}
        with Engine(self.journal, effects=["refund"], budget=budget, clock=self.clock) as engine:
            try:
                with engine.begin("Refund order 7", loop="own", **options) as session:
                    return session.end_sync(loop.run_sync(session, "Refund order 7")), loop
            except Halted as halted:
                return halted.outcome, loop

    def count_events(self, run: str) -> int:
        with Engine(self.journal) as engine:
            return len(engine.call(lambda sea: sea.journal.events(run)))


def test_while_there_is_no_room_the_same_halt_is_told_and_nothing_recorded(
    journal: Path, clock: JumpingClock
) -> None:
    desk = Desk(journal, clock)
    first, _ = desk.ask(TWO_A_DAY)
    events = desk.count_events(first.run)
    again, loop = desk.ask(TWO_A_DAY)

    assert first.stopped_by is not None
    assert (first.status, first.stopped_by.guard) == ("halted", "budget")
    assert (again.run, again.stopped_by) == (first.run, first.stopped_by)
    assert desk.count_events(first.run) == events
    assert (loop.model_calls, loop.tool_calls) == (0, [])


@pytest.mark.parametrize(
    ("budget", "days"),
    [(TWO_A_DAY, 1), (Budget(tenant_day=Caps(tool_calls=3)), 0), (Budget(), 0)],
    ids=["the next day", "a raised cap", "no cap"],
)
def test_it_goes_on_where_it_was_halted(
    journal: Path, clock: JumpingClock, budget: Budget, days: int
) -> None:
    desk = Desk(journal, clock)
    first, _ = desk.ask(TWO_A_DAY)
    clock.jump_s += days * DAY_S
    outcome, loop = desk.ask(budget)

    assert (outcome.run, outcome.status, outcome.answer) == (first.run, "completed", "Done.")
    assert [name for name, _ in loop.tool_calls] == ["find_order"]
    assert desk.bank.refunds == [(7, 5)]
    assert outcome.tool_calls == 3


def test_a_cap_that_is_raised_too_little_keeps_it_halted(journal: Path, clock: JumpingClock) -> None:
    desk = Desk(journal, clock)
    first, _ = desk.ask(Budget(tenant=Caps(tool_calls=1)))
    clock.jump_s += DAY_S
    events = desk.count_events(first.run)
    assert desk.ask(Budget(tenant=Caps(tool_calls=1)))[0].status == "halted", "it is no day's cap"
    assert desk.count_events(first.run) == events
    second, _ = desk.ask(Budget(tenant=Caps(tool_calls=2)))
    assert (second.run, second.status, second.tool_calls) == (first.run, "halted", 2)
    assert desk.bank.refunds == [(7, 5)]


def test_a_limit_of_the_run_itself_is_not_lifted(journal: Path, clock: JumpingClock) -> None:
    desk = Desk(journal, clock)
    first, _ = desk.ask(Budget(), limits=Limits(tool_calls=2))
    clock.jump_s += DAY_S
    again, loop = desk.ask(Budget(), limits=Limits(tool_calls=9))
    assert (again.run, again.status, loop.tool_calls) == (first.run, "halted", [])


def test_the_request_of_another_person_lifts_nothing(journal: Path, clock: JumpingClock) -> None:
    desk = Desk(journal, clock)
    first, _ = desk.ask(TWO_A_DAY)
    events = desk.count_events(first.run)
    with pytest.raises(Misused, match="whose principal is 'ann'"):
        desk.ask(Budget(), principal="bob")
    assert desk.count_events(first.run) == events


def test_a_run_whose_events_were_pruned_stays_halted(journal: Path, clock: JumpingClock) -> None:
    desk = Desk(journal, clock)
    first, _ = desk.ask(TWO_A_DAY)
    with Engine(journal, clock=clock) as engine:
        pruned = engine.call(lambda sea: sea.journal.prune(before=clock.wall_s() + DAY_S))
    assert pruned.runs == 1
    again, loop = desk.ask(Budget())
    assert (again.run, again.status, loop.tool_calls) == (first.run, "halted", [])


@pytest.mark.parametrize(
    ("limit", "value", "room"),
    [
        ("tenant_usd=0.5", "0.6", False),
        ("tenant_usd=0.5", "0.5", True),
        ("tenant_model_calls=1", "900", True),
        ("tenant_usd=0.5", "unknown price", False),
        ("tenant_usd=0.5", None, False),
        (None, "7", False),
    ],
)
def test_room_is_where_the_sum_fits_under_the_cap_that_holds_now(
    limit: str | None, value: str | None, room: bool
) -> None:
    clock = JumpingClock()
    guard = BudgetGuard(clock, Budget(tenant=Caps(usd=Decimal("0.5"))))
    stopped = StoppedBy("budget", "it did not fit", None, limit, value)
    assert guard.has_room_again(stopped, clock.wall_s(), "acme") is room
