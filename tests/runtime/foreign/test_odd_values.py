"""Values that no program means to send, and models and tools do: the call passes, or its asker is told why it can't."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.foreign.scripted_loop import USAGE
from seawall import Effect, Engine, Misused
from seawall.runtime.foreign.results import ModelResult, make_tool_result
from seawall.runtime.foreign.session import Session

SURROGATE = "cut off: \ud83d"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(effects=["pay"]) as engine:
        yield engine


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with engine.begin("Look", loop="own") as session:
        yield session
        assert session.end_sync("seen").status == "completed"


def nest(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "name", ["pay\nme", "\uff50\uff41\uff59", "\x1b[31mpay", "x" * 500, "Zahlung ausführen", "0/c1"]
)
def test_a_tool_may_have_any_name(session: Session, name: str) -> None:
    done = session.step_sync(session.tool("", name, {}, call_id="c\n1"), lambda turn: ("seen", None))

    assert (done.settled.status, done.settled.text) == ("ok", "seen")


@pytest.mark.parametrize("name", ["", "pay\ud83d"])
def test_a_name_that_can_not_be_recorded_is_misused(session: Session, name: str) -> None:
    with pytest.raises(Misused, match=r"no name|no UTF-8"):
        session.step_sync(session.tool("a", name, {}), lambda turn: ("seen", None))


def test_arguments_and_messages_may_end_in_half_a_character(session: Session) -> None:
    given: list[Any] = []

    def look(turn: Any) -> Any:
        given.append(turn.arguments)
        return SURROGATE, None

    def answer(turn: Any) -> Any:
        return ModelResult(SURROGATE, raw=json.dumps(SURROGATE), usage=USAGE), None

    session.step_sync(session.tool("a", "look", {"for": SURROGATE}, call_id="c1"), look)
    again = session.step_sync(session.tool("a", "look", {"for": SURROGATE}, call_id="c1"), look)
    asked = session.model("a", "test:m", [{"role": "tool", "content": SURROGATE}])
    reply = session.step_sync(asked, answer)

    assert given == [{"for": r"cut off: \ud83d"}]
    assert again.settled.text == r"cut off: \ud83d"
    assert reply.settled.status == "ok"


@pytest.mark.parametrize(
    "arguments", [{1: 2}, {(1, 2): 3}, {"x": object()}, [1, 2], None, {"x": nest(300)}, {"x": nest(3000)}]
)
def test_arguments_that_are_no_json_are_misused(session: Session, arguments: Any) -> None:
    with pytest.raises(Misused, match="'pay'"):
        session.step_sync(session.tool("a", "pay", arguments), lambda turn: ("seen", None))


@pytest.mark.parametrize("levels", [300, 600, 900, 5000, 100_000])
def test_a_result_may_be_nested_as_deep_as_it_likes(session: Session, levels: int) -> None:
    text = "[" * levels + "1" + "]" * levels
    done = session.step_sync(
        session.tool("a", "pay", {}, call_id="c1"), lambda turn: (make_tool_result(text, raw=text), None)
    )
    messages = [{"role": "tool", "content": nest(min(levels, 600))}]
    asked = session.model("a", "test:m", messages)
    reply = session.step_sync(asked, lambda turn: (ModelResult("seen", raw=text, usage=USAGE), None))

    assert done.settled.text == text
    assert reply.settled.status == "ok"


def test_a_result_that_is_no_text_is_misused() -> None:
    with pytest.raises(Misused, match="must be text"):
        make_tool_result(7)  # pyright: ignore[reportArgumentType] -- what a program without types does


def test_an_effect_is_found_however_its_accents_are_typed() -> None:
    composed, decomposed = "r\u00fcckzahlung", "ru\u0308ckzahlung"
    with Engine(effects={decomposed: Effect(unique_by=("order",))}, reads=["pr\u00fcfen"]) as engine:
        kinds = [engine.tools.find_kind(each) for each in (composed, decomposed, "pru\u0308fen")]
    with pytest.raises(Misused, match="among the reads"):
        Engine(effects=[composed], reads=[decomposed])

    assert kinds == ["effect", "effect", "read"]
