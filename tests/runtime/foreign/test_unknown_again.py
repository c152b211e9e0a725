"""An effect whose fate is not known is the same effect when its loop asks for it again: no retry makes it twice."""

from __future__ import annotations

import pytest

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
        for _ in range(3):
            with pytest.raises(Held):
                session.step_sync(asked, pay)

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
