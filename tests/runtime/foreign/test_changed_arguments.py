"""A call that is asked for again with other arguments: what was held or given back is not made in the place of what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.boss import approve, identify
from seawall import Effect, always
from seawall.runtime.foreign.asks import Held, Settled
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Performed, Session

HELD = {"refund": Effect(approve=always())}
FREE: dict[str, Any] = {"refund": True}
Ask = Callable[[int], Performed]


class Desk:
    """A loop that asks for one call, and may ask for it with another amount. `restarts`: in another process each time."""

    def __init__(self, path: Path, effects: dict[str, Any], *, restarts: bool) -> None:
        self._path, self._effects, self._restarts = path, effects, restarts
        self.engine = self._open()
        self.made: list[int] = []
        self.error: Exception | None = None

    def _open(self) -> Engine:
        return Engine(self._path, effects=self._effects, authenticate=identify)

    def ask(self, amount: int) -> Performed:
        if self._restarts:
            self.engine.close()
            self.engine = self._open()
        session = self.engine.begin("Refund", loop="own", request_id="r-1")
        try:
            asked = session.tool("clerk", "refund", {"amount": amount}, call_id="c1")
            return session.step_sync(asked, self._perform)
        finally:
            session.detach_sync()

    def _perform(self, turn: Any) -> tuple[str, None]:
        if self.error is not None:
            raise self.error
        self.made.append(turn.arguments["amount"])
        return "refunded", None

    def give_back(self, amount: int) -> None:
        """Asks for the call, and does not make it."""
        session: Session = self.engine.begin("Refund", loop="own", request_id="r-1")
        asked = session.tool("clerk", "refund", {"amount": amount}, call_id="c1")
        turn = session.ask_sync(asked)
        assert not isinstance(turn, Settled)
        asyncio.run(session.give_back(turn[0]))
        session.detach_sync()


@pytest.fixture(params=[False, True], ids=["", "restarts"])
def restarts(request: Any) -> bool:
    return request.param


def test_a_call_that_was_held_is_held_anew_with_other_arguments(tmp_path: Path, restarts: bool) -> None:
    desk = Desk(tmp_path / "desk.db", HELD, restarts=restarts)
    with pytest.raises(Held) as first:
        desk.ask(100)
    with pytest.raises(Held) as second:
        desk.ask(3)
    assert first.value.proposal != second.value.proposal
    desk.engine.call(approve)

    assert desk.ask(3).settled.status == "ok"
    assert desk.ask(3).settled.replayed
    assert desk.made == [3]
    desk.engine.close()


def test_an_approval_does_not_hold_for_other_arguments(tmp_path: Path, restarts: bool) -> None:
    desk = Desk(tmp_path / "desk.db", HELD, restarts=restarts)
    with pytest.raises(Held):
        desk.ask(100)
    desk.engine.call(approve)

    with pytest.raises(Held):
        desk.ask(3)
    assert desk.made == []
    assert desk.ask(100).settled.status == "ok"
    assert desk.made == [100]
    desk.engine.close()


def test_a_call_that_was_given_back_is_made_as_it_is_asked_for(tmp_path: Path, restarts: bool) -> None:
    desk = Desk(tmp_path / "desk.db", FREE, restarts=restarts)
    desk.give_back(100)

    assert desk.ask(3).settled.status == "ok"
    assert desk.made == [3]
    assert desk.ask(4).settled.status == "refused"
    desk.engine.close()


def test_a_call_that_may_have_been_made_is_asked_about_first(tmp_path: Path, restarts: bool) -> None:
    desk = Desk(tmp_path / "desk.db", FREE, restarts=restarts)
    desk.error = ConnectionError("gone")
    with pytest.raises(Held):
        desk.ask(100)
    desk.error = None

    with pytest.raises(Held, match="seawall reconcile"):
        desk.ask(3)
    assert desk.made == []
    desk.engine.close()


def test_a_call_that_was_made_is_refused_with_other_arguments(tmp_path: Path, restarts: bool) -> None:
    desk = Desk(tmp_path / "desk.db", FREE, restarts=restarts)
    assert desk.ask(100).settled.status == "ok"

    assert desk.ask(3).settled.status == "refused"
    assert desk.made == [100]
    desk.engine.close()
