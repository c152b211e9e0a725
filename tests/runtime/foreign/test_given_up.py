"""A run that its process has given up goes on in the same session, from what is durable: no effect is made twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seawall import Broken, Engine, Seawall
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.session import Session


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "desk.db", effects=["pay"]) as engine:
        yield engine


def pay(session: Session, made: list[str], call_id: str = "c1") -> str:
    """Asks for a payment."""

    def perform(turn: Any) -> Any:
        made.append(turn.key)
        return "paid", None

    asked = session.tool("clerk", "pay", {"order": 7}, call_id=call_id)
    return session.step_sync(asked, perform).settled.text


def test_what_was_recorded_before_the_run_was_let_go_of_is_given_again_whole(engine: Engine) -> None:
    made: list[str] = []
    session = engine.begin("Pay", loop="own")
    told = [pay(session, made)]
    session.detach_sync()
    told.append(pay(session, made))

    assert told == ["paid", "paid"]
    assert len(made) == 1


async def fail_next_write(sea: Seawall, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next batch finds the disk full."""
    journal: Any = sea.journal
    append = journal.append

    async def fail(*given: Any, **options: Any) -> Any:
        monkeypatch.setattr(journal, "append", append)
        raise Broken("the disk is full")

    monkeypatch.setattr(journal, "append", fail)


@pytest.mark.parametrize("call_id", ["", "c1"])
def test_a_result_that_could_not_be_recorded_is_in_doubt_and_given_to_nobody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, call_id: str
) -> None:
    made: list[str] = []
    session = engine.begin("Pay", loop="own")

    def perform(turn: Any) -> Any:
        made.append(turn.key)
        engine.call(lambda sea: fail_next_write(sea, monkeypatch))
        return "paid", None

    asked = session.tool("clerk", "pay", {"order": 7}, call_id=call_id)
    with pytest.raises(Broken, match="disk is full"):
        session.step_sync(asked, perform)
    for _ in range(2):
        with pytest.raises(Held):
            pay(session, made, call_id)

    assert len(made) == 1


@pytest.mark.parametrize("call_id", ["", "c1"])
def test_a_run_that_is_let_go_of_while_an_effect_is_made_does_not_make_it_again(
    engine: Engine, call_id: str
) -> None:
    made: list[str] = []
    session = engine.begin("Pay", loop="own")
    asked = session.tool("clerk", "pay", {"order": 7}, call_id=call_id)
    turn = session.ask_sync(asked)
    assert isinstance(turn, tuple)
    made.append(turn[1].key)
    engine.call(lambda sea: give_up(sea, session))
    with pytest.raises(Broken, match="given up"):
        session.give_sync(turn[0], asked, ConnectionError("reset"))
    for _ in range(2):
        with pytest.raises(Held):
            pay(session, made, call_id)

    assert len(made) == 1


async def give_up(sea: Seawall, session: Session) -> None:
    assert session.run is not None
    sea.supervisor.give_up(session.run, Broken("the run was given up"))
