"""An effect whose fate is not known is the same effect when its loop asks for it again: no retry makes it twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seawall import Principal
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Session
from seawall.team.tool import NotDone


def test_an_effect_that_raised_is_not_performed_again_for_a_loop_that_retries() -> None:
    made: list[str] = []

    def pay(turn: object) -> tuple[object, object]:
        made.append("paid")
        raise ConnectionError("the bank hung up")

    with Engine(effects=["pay"]) as engine, engine.begin("Pay.", loop="own") as session:
        asked = Session.tool("agent", "pay", {"order": "7"}, call_id="c-1")
        for again in range(3):
            with pytest.raises(Held) as held:
                session.step_sync(asked, pay)
            reason = "it was asked about before" if again else "what became of it is not known"
            assert f"(step 2): {reason}. Decide with: seawall reconcile {held.value.run} 2" in str(held.value)

    assert made == ["paid"]


def test_an_effect_that_was_not_done_may_be_asked_for_again() -> None:
    made: list[str] = []

    def pay(turn: object) -> tuple[object, object]:
        made.append("asked")
        raise NotDone("the bank is closed")

    with Engine(effects=["pay"]) as engine, engine.begin("Pay.", loop="own") as session:
        asked = Session.tool("agent", "pay", {"order": "7"}, call_id="c-1")
        for _ in range(2):
            with pytest.raises(NotDone):
                session.step_sync(asked, pay)

    assert made == ["asked", "asked"]


def test_another_call_of_an_effect_of_unknown_fate_is_held_in_the_process_that_goes_on(
    tmp_path: Path,
) -> None:
    made: list[str] = []

    def pay(turn: object) -> tuple[object, object]:
        made.append("paid")
        raise ConnectionError("the bank hung up")

    def ask(engine: Engine, call_id: str) -> Held:
        with engine.begin("Pay.", loop="own", request_id="r-1") as session, pytest.raises(Held) as held:
            session.step_sync(Session.tool("agent", "pay", {"order": "7"}, call_id=call_id), pay)
        return held.value

    options: dict[str, Any] = {"effects": ["pay"], "authenticate": lambda given: Principal(str(given))}
    with Engine(tmp_path / "j.db", **options) as engine:
        ask(engine, "c-1")
    with Engine(tmp_path / "j.db", **options) as engine:
        another = ask(engine, "c-2")
        first = ask(engine, "c-1")
        engine.call(lambda sea: sea.reconcile(first.run, step=first.step, failed="none", credential="dana"))
        with engine.begin("Pay.", loop="own", request_id="r-1") as session:
            told = session.step_sync(Session.tool("agent", "pay", {"order": "7"}, call_id="c-1"), pay)
            asked = Session.tool("agent", "pay", {"order": "8"}, call_id="c-3")
            done = session.step_sync(asked, lambda turn: (made.append("again"), ("paid", None))[1])

    assert another.step != first.step
    assert told.settled.status == "refused"
    assert done.settled.text == "paid"
    assert made == ["paid", "again"]
