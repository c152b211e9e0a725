"""What a loop may be told at once goes to the journal with what it asks for next: one commit a step, and nothing is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.scripted_loop import ScriptedLoop
from seawall import Engine
from seawall.core.clock import SystemClock
from seawall.engine.held import HOLD_BYTES, HOLD_S
from seawall.journal.sqlite import SqliteJournal
from seawall.runtime.foreign.asks import Settled
from seawall.testing import ManualClock

TURNS = 6
LOOK_UPS = [[(f"c{turn}", "find_order", {"order": turn})] for turn in range(TURNS)]


class CountingJournal:
    """Counts the events of each append."""

    def __init__(self, inner: SqliteJournal) -> None:
        self._inner = inner
        self.appended: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(
        self, lease: Any, first_seq: int, events: Sequence[Any], *more: Any, **options: Any
    ) -> Awaitable[None]:
        self.appended.append(len(events))
        return self._inner.append(lease, first_seq, events, *more, **options)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def journal(tmp_path: Path) -> CountingJournal:
    return CountingJournal(SqliteJournal.open(str(tmp_path / "desk.db"), clock=SystemClock()))


@pytest.fixture
def engine(journal: Any, clock: ManualClock) -> Iterator[Engine]:
    with Engine(journal, effects=["refund"], reads=["find_*"], clock=clock) as engine:
        yield engine


def read_types(engine: Engine, run: str) -> list[str]:
    events = engine.call(lambda sea: sea.supervisor.journal.events(run))
    return [type(event).__name__ for event in events]


def make_desk(replies: Sequence[Any] = (*LOOK_UPS, "Found.")) -> ScriptedLoop:
    return ScriptedLoop(
        list(replies), {"find_order": lambda order: f"{order} is paid", "refund": lambda order: "done"}
    )


def test_a_step_of_a_loop_is_one_commit(engine: Engine, journal: CountingJournal) -> None:
    with engine.begin("Look", loop="own", agent="clerk") as session:
        outcome = session.end_sync(make_desk().run_sync(session, "Look"))

    assert (outcome.model_calls, outcome.tool_calls) == (TURNS + 1, TURNS)
    # The first intent comes with the run; each that follows has the result before it; then the last reply, and the end.
    assert len(journal.appended) == 2 * TURNS + 2
    assert sum(journal.appended) == 2 * (2 * TURNS + 1)


def test_a_result_is_recorded_soon_though_the_loop_asks_for_nothing_more(
    engine: Engine, clock: ManualClock
) -> None:
    session = engine.begin("Look", loop="own", agent="clerk")
    session.step_sync(
        session.tool("clerk", "find_order", {"order": 7}, call_id="c1"), lambda turn: ("paid", None)
    )
    assert session.run is not None
    before = read_types(engine, session.run)
    engine.call(lambda sea: clock.advance(HOLD_S))
    while (after := read_types(engine, session.run)) == before:  # the journal's thread is writing
        pass
    session.detach_sync()

    assert before[-1] == "StepIntended"
    assert after == [*before, "StepDone"]


def test_a_result_that_nothing_followed_is_there_when_the_request_comes_again(engine: Engine) -> None:
    made: list[str] = []

    def look(turn: Any) -> tuple[str, None]:
        made.append("looked")
        return "paid", None

    def ask() -> Settled:
        session = engine.begin("Look", loop="own", agent="clerk", request_id="r-1")
        asked = session.tool("clerk", "find_order", {"order": 7}, call_id="c1")
        done = session.step_sync(asked, look)
        session.detach_sync()
        return done.settled

    ask()
    again = ask()

    assert made == ["looked"]
    assert (again.replayed, again.text) == (True, "paid")


def test_a_result_that_is_long_is_written_while_the_loop_goes_on(
    engine: Engine, journal: CountingJournal
) -> None:
    text = "x" * (HOLD_BYTES + 1)
    session = engine.begin("Look", loop="own", agent="clerk")
    session.step_sync(
        session.tool("clerk", "find_order", {"order": 7}, call_id="c1"), lambda turn: (text, None)
    )
    session.detach_sync()

    assert journal.appended == [1]


def test_an_effect_that_comes_after_a_read_is_intended_in_the_same_commit(
    engine: Engine, journal: CountingJournal
) -> None:
    desk = make_desk([[("c1", "find_order", {"order": 7})], [("c2", "refund", {"order": 7})], "Done."])
    with engine.begin("Refund", loop="own", agent="clerk") as session:
        outcome = session.end_sync(desk.run_sync(session, "Refund"))

    assert [(each.tool, each.state) for each in outcome.effects] == [("refund", "committed")]
    assert session.run is not None
    kinds = read_types(engine, session.run)
    assert kinds.count("StepIntended") == kinds.count("StepDone") == 5
