"""Agent Framework: what a tool returns or raises is recorded, given again, and told to the model as without the gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_framework import SKIP_PARSING, AgentSession, Content, FunctionTool

from apart.agent_framework.agents_desk import ASKED, Desk, Reply, ask, list_contents
from seawall import Effect
from seawall.adapters.agent_framework import MiddlewareHeld
from seawall.runtime.foreign.engine import Engine


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with Engine(journal, effects=["refund"]) as engine:
        yield engine


@pytest.mark.parametrize("detailed", [False, True])
def test_what_a_tool_raises_tells_the_model_and_is_given_again(engine: Engine, detailed: bool) -> None:
    def find_order(order: int) -> str:
        raise LookupError("the archive is closed")

    config: Any = {"include_detailed_errors": detailed}
    desk = Desk(
        [[("find_order", {"order": 7})], "It can't be found."], function_invocation_configuration=config
    )
    agent = desk.make_agent(engine, tools=[find_order], request_id="r-1")
    first, second = ask(agent, "Is it paid?"), ask(agent, "Is it paid?")

    assert first.text == "It can't be found."
    assert list_contents(first) == list_contents(second)
    assert ("the archive is closed" in str(list_contents(second))) is detailed
    assert desk.model_calls == 2


def test_a_value_that_is_no_text_is_given_again_as_it_was(engine: Engine) -> None:
    def find_order(order: int) -> list[Content]:
        return [
            Content.from_text("The receipt:", additional_properties={"page": 2}),
            Content.from_data(b"\x89PNG", media_type="image/png"),
        ]

    desk = Desk([[("find_order", {"order": 7})], "It is paid."])
    agent = desk.make_agent(engine, tools=[find_order], request_id="r-1")
    first, second = ask(agent, "Is it paid?"), ask(agent, "Is it paid?")

    results = [response.messages[1].contents[0] for response in (first, second)]
    assert desk.model_calls == 2
    assert results[0].items is not None
    assert [each.type for each in results[0].items] == ["text", "data"]
    assert results[0].items == results[1].items


def test_a_tool_that_is_not_parsed_is_recorded_as_text(engine: Engine) -> None:
    def find() -> dict[str, Any]:
        return {"state": "paid"}

    skipping = FunctionTool(name="find_order", func=find, result_parser=SKIP_PARSING)
    desk = Desk([[("find_order", {})], "It is paid."])
    agent = desk.make_agent(engine, tools=[skipping], request_id="r-1")
    first, second = ask(agent, "Is it paid?"), ask(agent, "Is it paid?")

    assert list_contents(first) == list_contents(second)


def test_an_effect_that_raises_is_unknown_and_a_person_is_asked(engine: Engine) -> None:
    def refund(order: int, amount: int) -> str:
        raise ConnectionError("the bank did not answer")

    desk = Desk()
    agent = desk.make_agent(engine, tools=[refund, desk.find_order], request_id="r-1")
    with pytest.raises(MiddlewareHeld) as held:
        ask(agent, ASKED, session=AgentSession())

    assert held.value.held.name == "refund"
    assert desk.model_calls == 2


def test_an_error_that_says_nothing_happened_leaves_nothing_open(engine: Engine) -> None:
    tries: list[int] = []

    def refund(order: int, amount: int) -> str:
        tries.append(amount)
        if amount > 3:
            raise ValueError("the amount is above the order's")
        return "refunded"

    script: list[Reply] = [
        [("refund", {"order": 7, "amount": 5})],
        [("refund", {"order": 7, "amount": 3})],
        "Refunded.",
    ]
    desk = Desk(script)
    agent = desk.make_agent(engine, tools=[refund], request_id="r-1", not_done=(ValueError,))

    assert ask(agent, "Refund order 7").text == "Refunded."
    assert tries == [5, 3]


def test_arguments_that_the_tool_does_not_take_leave_nothing_open(engine: Engine) -> None:
    desk = Desk([[("refund", {"order": "seven"})], [("refund", {"order": 7, "amount": 3})], "Refunded."])
    agent = desk.make_agent(engine, tools=[desk.refund], request_id="r-1")

    assert ask(agent, "Refund order 7").text == "Refunded."
    assert desk.refunds == [(7, 3)]


def test_an_effect_is_done_once_over_requests(journal: Path) -> None:
    desk = Desk()
    with Engine(journal, effects={"refund": Effect(unique_by=("order",))}) as engine:
        for number in range(2):
            ask(desk.make_agent(engine, request_id=f"r-{number}"), ASKED)

    assert desk.refunds == [(1042, 5)]
