"""A framework that keeps its conversation may be sent the same request again after a crash: what was done is not done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.scripted_loop import Bank, Reply, ScriptedLoop
from seawall import Engine
from seawall.runtime.foreign.asks import Held

ASK = "Refund order 1042"
CALL = {"order": 1042, "amount": 5}


class ProcessGone(BaseException):
    """The process ends here."""


class Desk:
    """A loop whose conversation outlives its process. Its model refunds whenever the user speaks last."""

    def __init__(self, path: Path) -> None:
        self.bank, self._path = Bank(), path
        self._kept: list[dict[str, Any]] = []
        self._goes = True

    def _reply(self, messages: list[dict[str, Any]]) -> Reply:
        if messages[-1]["role"] == "user":
            return [(f"c{len(messages)}", "refund", CALL)]
        if self._goes:
            self._goes = False
            raise ProcessGone
        return "Refunded."

    def run(self, *said: str) -> str:
        """Runs the request, with these words of the user added to the conversation."""
        loop = ScriptedLoop(self._reply, {"refund": self.bank.refund})
        loop.messages = self._kept = [*self._kept, *({"role": "user", "content": each} for each in said)]
        with Engine(self._path, effects=["refund"]) as engine:
            session = engine.begin(ASK, loop="own", request_id="r-1")
            try:
                return loop.run_sync(session, ASK)
            finally:
                session.detach_sync()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path / "desk.db")
    with pytest.raises(ProcessGone):
        desk.run(ASK)
    return desk


def test_an_effect_that_was_made_is_held_if_the_request_is_said_again(desk: Desk) -> None:
    with pytest.raises(Held):
        desk.run(ASK)

    assert desk.bank.refunds == [(1042, 5)]


def test_it_is_held_also_if_the_model_had_answered_and_the_run_was_not_ended(desk: Desk) -> None:
    assert desk.run() == "Refunded."

    with pytest.raises(Held):
        desk.run(ASK)

    assert desk.bank.refunds == [(1042, 5)]


def test_a_conversation_that_goes_on_is_not_held(desk: Desk) -> None:
    assert desk.run() == "Refunded."
    assert desk.bank.refunds == [(1042, 5)]


def test_other_words_of_the_user_are_news(desk: Desk) -> None:
    assert desk.run("Once more, please: another 5.") == "Refunded."
    assert desk.bank.refunds == [(1042, 5), (1042, 5)]
