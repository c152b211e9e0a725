"""Secrets and other people's requests over restarts: a redacted record is gone on with, and nobody gets another's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.scripted_loop import USAGE
from seawall import Engine, Misused, Seawall
from seawall.core.events import StepIntended
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.results import ModelResult
from seawall.runtime.foreign.session import Session

SECRETS = ["hunter2-swordfish", "correct-horse-battery"]


class Desk:
    """A loop without a checkpoint. Its tools and its model may say a secret."""

    def __init__(self, tool_says: str, model_says: str) -> None:
        self.tool_says, self.model_says = tool_says, model_says
        self.made: list[str] = []
        self.models = 0

    def answer(self, calls: list[tuple[str, str, str]]) -> Any:
        """Performs a model's step."""
        self.models += 1
        return ModelResult(self.model_says, calls, usage=USAGE), None

    def call(self, name: str) -> Any:
        """Performs a tool's step."""
        self.made.append(name)
        return (self.tool_says, self.tool_says) if name == "look" else ("done", "done")

    def run(self, session: Session) -> None:
        """Runs to the end: look, pay, answer."""
        messages: list[Any] = [{"role": "user", "content": "Pay"}]
        for number, name in enumerate(["look", "pay", ""]):
            calls = [(f"c{number}", name, "{}")] if name else []
            asked = session.model("clerk", "test:m", messages)
            reply = session.step_sync(asked, lambda turn, calls=calls: self.answer(calls)).settled
            said = self.model_says if reply.performed else json.loads(reply.text)["content"]
            messages.append({"role": "assistant", "content": said, "calls": [{"id": f"c{number}"}]})
            if name:
                tool = session.tool("clerk", name, {}, call_id=f"c{number}")
                done = session.step_sync(tool, lambda turn, name=name: self.call(name))
                told = done.value if done.settled.performed else done.settled.text
                messages.append({"role": "tool", "id": f"c{number}", "content": told})


def run_twice(tmp_path: Path, desk: Desk) -> None:
    for _ in range(2):
        with Engine(tmp_path / "desk.db", effects=["pay"], secrets=SECRETS, environment={}) as engine:
            session = engine.begin("Pay", loop="own", request_id="r-1")
            try:
                desk.run(session)
            finally:
                session.detach_sync()


@pytest.mark.parametrize("says", ["found", SECRETS[0]])
def test_a_result_that_was_redacted_is_gone_on_with(tmp_path: Path, says: str) -> None:
    desk = Desk(says, "I look")
    run_twice(tmp_path, desk)

    assert (desk.made, desk.models) == (["look", "pay"], 3)
    assert SECRETS[0].encode() not in (tmp_path / "desk.db").read_bytes()


def test_a_reply_with_a_secret_is_made_anew_and_no_effect_is(tmp_path: Path) -> None:
    desk = Desk("found", f"I use {SECRETS[0]}")
    with pytest.raises(Held):
        run_twice(tmp_path, desk)

    assert desk.made.count("pay") == 1
    assert SECRETS[0].encode() not in (tmp_path / "desk.db").read_bytes()


async def read_digests(sea: Seawall, run: str) -> set[str]:
    return {each.asked for each in await sea.journal.events(run) if isinstance(each, StepIntended)}


def test_no_digest_of_a_request_says_anything_of_a_secret() -> None:
    with Engine(secrets=SECRETS, environment={}) as engine, engine.begin("Look", loop="own") as session:
        for secret in SECRETS:
            asked = session.model("clerk", "test:m", [{"role": "user", "content": f"It is {secret}."}])
            session.step_sync(asked, lambda turn: (ModelResult("ok", usage=USAGE), None))
        assert session.run is not None
        digests = engine.call(lambda sea: read_digests(sea, session.run or ""))

    assert len(digests) == 1


def test_an_answer_that_was_given_before_is_no_sign_that_the_loop_goes_on(tmp_path: Path) -> None:
    """The newest reply says the same as the first one, and the loop has gone another way after that."""
    made: list[str] = []

    def ask(session: Session, found: str) -> None:
        def reply(turn: Any, calls: list[tuple[str, str, str]]) -> Any:
            return ModelResult("ok", calls, usage=USAGE), None

        def pay(turn: Any) -> Any:
            made.append(found)
            return "paid", None

        messages: list[Any] = [{"role": "user", "content": "Pay"}]
        calls = [("c1", "look", "{}")]
        session.step_sync(session.model("clerk", "test:m", messages), lambda turn: reply(turn, calls))
        messages += [
            {"role": "assistant", "content": "ok", "calls": ["c1"]},
            {"role": "tool", "content": found},
        ]
        calls = [(f"p-{found}", "pay", "{}")]
        session.step_sync(session.model("clerk", "test:m", messages), lambda turn: reply(turn, calls))
        session.step_sync(session.tool("clerk", "pay", {}, call_id=calls[0][0]), pay)
        messages += [{"role": "assistant", "content": "ok", "calls": [calls[0][0]]}]
        session.step_sync(session.model("clerk", "test:m", messages), lambda turn: reply(turn, []))
        session.detach_sync()

    with Engine(tmp_path / "desk.db", effects=["pay"]) as engine:
        ask(engine.begin("Pay", loop="own", request_id="r-1"), "7 EUR")
    with Engine(tmp_path / "desk.db", effects=["pay"]) as engine, pytest.raises(Held):
        ask(engine.begin("Pay", loop="own", request_id="r-1"), "7.00 EUR")

    assert made == ["7 EUR"]


def test_a_request_id_of_somebody_else_is_misused() -> None:
    def begin(engine: Engine, principal: str) -> Session:
        return engine.begin("What is left?", loop="own", request_id="r-1", principal=principal)

    with Engine() as engine:
        begin(engine, "dana").end_sync("12 EUR")
        with pytest.raises(Misused, match="was given to another request"):
            begin(engine, "eve").end_sync("?")
