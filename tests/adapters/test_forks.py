"""A run of a framework is forked: it is asked the same again, and what is recorded up to a step is given to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from adapters import agents_model, langchain_desk, pydantic_desk
from seawall import Engine, Outcome
from seawall.adapters.langchain import SeawallMiddleware
from seawall.adapters.langgraph import gate_graph, gate_model
from seawall.adapters.openai_agents import SeawallRunner

FOUND = 2
"""The step whose result is changed: the model asks for `find_order`, which is made, and then for `refund`."""


class World(NamedTuple):
    """What an application has done outside, and what its model was sent last."""

    finds: int
    refunds: int
    model_calls: int
    told: str


Ask = Callable[[Engine, str], World]
"""Asks an application to refund an order, from the beginning and with this request id."""


def ask_pydantic(engine: Engine, request_id: str) -> World:
    sent: list[Any] = []

    def play(messages: list[Any]) -> Any:
        sent.append(messages)
        return pydantic_desk.REFUND[len(messages) // 2]

    desk = pydantic_desk.Desk(play)
    agent = desk.make_agent(engine, effects=["refund"])
    pydantic_desk.run_sync(agent, pydantic_desk.ASKED, metadata={"seawall_request_id": request_id})
    return World(len(desk.reads), len(desk.refunds), len(sent), str(sent[-1]))


SCRIPT = [
    langchain_desk.call(("find_order", {"order": 1042}), prefix="find"),
    langchain_desk.call(("refund", {"order": 1042}), prefix="refund"),
    langchain_desk.say("Order 1042 was refunded."),
]


def ask_langchain(engine: Engine, request_id: str) -> World:
    bank, model = langchain_desk.Bank(), langchain_desk.make_model(SCRIPT)
    agent: Any = create_agent(model, bank.tools, middleware=[SeawallMiddleware(engine, effects=["refund"])])
    agent.invoke(langchain_desk.ASK, {"configurable": {"seawall_request_id": request_id}})
    return World(len(bank.finds), len(bank.refunds), len(model.seen), str(model.seen[-1]))


def ask_langgraph(engine: Engine, request_id: str) -> World:
    bank, model = langchain_desk.Bank(), langchain_desk.make_model(SCRIPT)
    graph = langchain_desk.build_graph(gate_model(model), bank.tools, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"seawall_request_id": request_id, "thread_id": "a new one"}}
    gate_graph(engine, graph, effects=["refund"]).invoke(langchain_desk.ASK, config)
    return World(len(bank.finds), len(bank.refunds), len(model.seen), str(model.seen[-1]))


def ask_openai(engine: Engine, request_id: str) -> World:
    bank = agents_model.Bank()
    agent, _ = agents_model.make_desk(bank)
    agent.model = model = agents_model.PlayedModel(agents_model.SCRIPT, request_id)
    runner = SeawallRunner(engine, effects=["refund"])
    asked = runner.run(agent, "Refund order 1042", request_id=request_id, run_config=agents_model.QUIET)
    asyncio.run(asked)
    return World(bank.found, len(bank.refunds), len(model.requests), str(model.requests[-1]))


def read_outcome(engine: Engine, request_id: str) -> Outcome[Any]:
    return pydantic_desk.read_outcome(engine, request_id)


FRAMEWORKS = pytest.mark.parametrize("ask", [ask_pydantic, ask_langchain, ask_langgraph, ask_openai])


@FRAMEWORKS
def test_recorded_steps_are_given_again_and_effects_are_simulated(ask: Ask) -> None:
    with Engine() as engine:
        ask(engine, "q-1")
        first = read_outcome(engine, "q-1")
        engine.call(lambda sea: sea.fork(first.run, at=FOUND, request_id="q-2"))
        world = ask(engine, "q-2")
        forked = read_outcome(engine, "q-2")

    assert (world.finds, world.refunds, world.model_calls) == (0, 0, 2)
    assert "simulated" in world.told
    assert (forked.answer, forked.model_calls) == (first.answer, 3)


@FRAMEWORKS
def test_another_result_is_given_in_the_place_of_the_recorded_one(ask: Ask) -> None:
    with Engine() as engine:
        first = ask(engine, "q-1")
        run = read_outcome(engine, "q-1").run
        engine.call(lambda sea: sea.fork(run, at=FOUND, request_id="q-2", result="it was lost at sea"))
        world = ask(engine, "q-2")

    assert "paid" in first.told
    assert "lost at sea" in world.told
    assert "paid" not in world.told
    assert (world.finds, world.refunds) == (0, 0)
