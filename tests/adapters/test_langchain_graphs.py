"""LangChain's agents inside of gated graphs. (`test_langgraph.py` does without LangChain, as the adapter does.)"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langgraph.graph import START, MessagesState, StateGraph

from adapters.langchain_desk import (
    ASK,
    Bank,
    build_graph,
    call,
    list_events,
    list_runs,
    make_engine,
    make_model,
    say,
)
from seawall.adapters.langchain import SeawallMiddleware
from seawall.adapters.langgraph import gate_graph, gate_model
from seawall.core.events import StepDone, StepIntended
from seawall.runtime.foreign.engine import Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine() as engine:
        yield engine


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_sub_graphs_and_agents_are_frames_of_one_run(engine: Engine, mode: str) -> None:
    bank = Bank()
    desk = build_graph(
        gate_model(make_model([call(("find_order", {"order": 1})), say("Found.")])), bank.tools, mode=mode
    )
    clerk = create_agent(
        make_model(lambda messages: say("All is well.")),
        bank.tools,
        middleware=[SeawallMiddleware(engine)],
        name="clerk",
    )
    graph = StateGraph(MessagesState)
    graph.add_node("desk", desk)
    graph.add_node("clerk", clerk)
    graph.add_edge(START, "desk")
    graph.add_edge("desk", "clerk")
    gated = gate_graph(engine, graph.compile(name="office"))
    ended: Any = gated.invoke(ASK) if mode == "sync" else asyncio.run(gated.ainvoke(ASK))
    assert ended["messages"][-1].text == "All is well."
    (run,) = list_runs(engine)
    assert (run.state, run.summary.status) == ("ended", "completed")
    events = list_events(engine, run.run)
    opened = [each for each in events if isinstance(each, StepIntended) and each.kind == "handoff"]
    assert [each.name for each in opened] == ["desk", "clerk"]
    done = {each.step: each.status for each in events if isinstance(each, StepDone)}
    assert [done[each.step] for each in opened] == ["ok", "ok"]


def test_a_whole_agent_is_gated_with_what_its_middleware_calls(engine: Engine) -> None:
    bank = Bank()
    summary = make_model(lambda messages: say("They want a refund."))
    agent = create_agent(
        make_model(lambda messages: say("Hello.")),
        bank.tools,
        middleware=[
            SummarizationMiddleware(summary, trigger=("messages", 2), keep=("messages", 1)),
            SeawallMiddleware(engine),
        ],
        name="clerk",
    )
    talk: Any = {"messages": [("user", "Hello?"), ("ai", "Yes?"), ("user", "Refund order 1042")]}
    gate_graph(engine, agent).invoke(talk)
    (run,) = list_runs(engine)
    asked = [each for each in list_events(engine, run.run) if isinstance(each, StepIntended)]
    assert len(summary.seen) == 1
    assert [(each.kind, each.frame) for each in asked] == [("model", 0), ("model", 0)]
    assert run.summary.status == "completed"
