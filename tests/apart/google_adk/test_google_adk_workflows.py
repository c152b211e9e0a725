"""Google ADK: the agents and tools that are nodes of a `Workflow` pass the gate, and each node's call is one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from google.adk.events import Event as AdkEvent
from google.adk.tools import FunctionTool
from google.adk.workflow import START, Workflow, node
from google.genai import types

from apart.google_adk.adk_desk import ANSWER, Desk, ask, read_answer, read_outcome
from seawall import Effect, Limits, Principal, always
from seawall.adapters.google_adk import AdkHalted
from seawall.runtime.foreign.engine import Engine

KEYS = {"key-of-dana": Principal("dana")}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(":memory:", effects=["refund"], reads=["find_*"]) as engine:
        yield engine


def make_workflow(*nodes: Any) -> Workflow:
    return Workflow(name="flow", edges=[(START, *nodes)])


def choose(node_input: Any) -> dict[str, int]:
    """Says which order is refunded."""
    return {"order": 7, "amount": 5}


def choose_again(node_input: Any) -> dict[str, int]:
    """Says the same."""
    return choose(node_input)


def ask_for_1042(node_input: Any) -> str:
    """Says what the agent is asked."""
    return "Refund order 1042"


def confirm(events: Sequence[AdkEvent]) -> types.Content:
    """Returns the answer yes to the question that the events end with."""
    question = [call for event in events for call in event.get_function_calls()][-1]
    answer = types.FunctionResponse(id=question.id, name=question.name, response={"confirmed": True})
    return types.Content(role="user", parts=[types.Part(function_response=answer)])


def test_agents_and_tools_that_are_nodes_pass_the_gate(engine: Engine) -> None:
    desk = Desk()
    flow = make_workflow(choose, FunctionTool(desk.refund), ask_for_1042, desk.make_agent())
    for session in ("s-1", "s-2"):
        events = asyncio.run(ask(desk.make_runner(engine, agent=flow), request_id="r-1", session=session))
        assert read_answer(events) == ANSWER

    assert desk.refunds == [(7, 5), (1042, 5)]
    assert desk.model_calls == 3
    assert read_outcome(engine).tool_calls == 3


def test_a_limit_ends_a_workflow(engine: Engine) -> None:
    desk = Desk()
    tool = FunctionTool(desk.refund)
    flow = make_workflow(choose, node(tool, name="one"), choose_again, node(tool, name="two"))
    with pytest.raises(AdkHalted):
        asyncio.run(ask(desk.make_runner(engine, agent=flow, limits=Limits(tool_calls=1, at_limit="halt"))))

    assert desk.refunds == [(7, 5)]


@pytest.mark.parametrize("resumable", [True, False])
def test_equal_calls_of_two_nodes_are_decided_and_made_apart(resumable: bool) -> None:
    desk = Desk()
    tool = FunctionTool(desk.refund)

    flow = make_workflow(choose, node(tool, name="one"), choose_again, node(tool, name="two"))
    with Engine(":memory:", effects={"refund": Effect(approve=always())}, authenticate=KEYS.get) as engine:
        runner = desk.make_runner(engine, agent=flow, resumable=resumable, credential=lambda _: "key-of-dana")
        events = asyncio.run(ask(runner))
        assert desk.refunds == []
        events = asyncio.run(ask(runner, confirm(events)))
        assert len(desk.refunds) == 1
        events = asyncio.run(ask(runner, confirm(events)))

    assert desk.refunds == [(7, 5), (7, 5)]
