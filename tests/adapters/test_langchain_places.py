"""Agents that work in nodes of graphs: the same words in another task, another turn or another agent are work of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from adapters.langchain_agents import make_agent
from adapters.langchain_desk import (
    ASK,
    REFUND,
    Bank,
    ScriptedChat,
    call,
    list_runs,
    make_engine,
    make_model,
    say,
)
from seawall.adapters.langgraph import gate_graph
from seawall.runtime.foreign.engine import Engine

BOTH = pytest.mark.parametrize("mode", ["sync", "async"])
CONFIG: Any = {"configurable": {"thread_id": "t-1"}}


class Died(BaseException):
    """Stands for the end of a process."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine() as engine:
        yield engine


def ask(graph: Any, given: Any, config: Any = CONFIG, *, mode: str = "sync") -> Any:
    return graph.invoke(given, config) if mode == "sync" else asyncio.run(graph.ainvoke(given, config))


def make_clerk(engine: Engine, bank: Bank, name: str = "clerk") -> Any:
    return make_agent(engine, make_model(REFUND), bank.tools, name=name)


def test_equal_calls_of_one_task_are_work_of_their_own(engine: Engine) -> None:
    bank = Bank()
    clerk = make_clerk(engine, bank)

    def work(state: MessagesState) -> Any:
        return {"messages": [clerk.invoke(ASK)["messages"][-1], clerk.invoke(ASK)["messages"][-1]]}

    graph = StateGraph(MessagesState)
    graph.add_node("work", work)
    graph.add_edge(START, "work")
    gate_graph(engine, graph.compile()).invoke(ASK)
    assert bank.refunds == [1042, 1042]


# ---- in a graph that is not gated


@BOTH
def test_the_same_words_in_a_later_turn_are_a_new_request(engine: Engine, mode: str) -> None:
    bank = Bank()
    clerk = make_clerk(engine, bank)

    def work(state: MessagesState) -> Any:
        return {"messages": [AIMessage(clerk.invoke(ASK)["messages"][-1].text)]}

    async def work_async(state: MessagesState) -> Any:
        return {"messages": [AIMessage((await clerk.ainvoke(ASK))["messages"][-1].text)]}

    graph = StateGraph(MessagesState)
    graph.add_node("work", work if mode == "sync" else work_async)
    graph.add_edge(START, "work")
    outer = graph.compile(checkpointer=InMemorySaver())
    for turn in (1, 2):
        ask(outer, {"messages": [("user", "yes")]}, mode=mode)
        assert len(bank.refunds) == turn


@pytest.mark.parametrize("given", [{}, {"seawall_request_id": "r-1"}], ids=["thread", "request id"])
@pytest.mark.parametrize("together", [True, False])
def test_two_agents_that_are_told_the_same_are_two_requests(
    engine: Engine, given: dict[str, str], together: bool
) -> None:
    bank = Bank()
    graph = StateGraph(MessagesState)
    for name in ("clerk", "desk"):
        agent = make_clerk(engine, bank, name)
        graph.add_node(name, lambda state, agent=agent: {"messages": agent.invoke(ASK)["messages"][-1:]})
    graph.add_edge(START, "clerk")
    graph.add_edge(START if together else "clerk", "desk")
    outer = graph.compile(checkpointer=InMemorySaver())
    outer.invoke(ASK, {"configurable": {"thread_id": "t-1", **given}})
    assert bank.refunds == [1042, 1042]
    assert sorted(run.team for run in list_runs(engine)) == ["clerk", "desk"]


def test_an_agent_of_a_graph_goes_on_with_its_request_after_a_crash(tmp_path: Path) -> None:
    bank, died = Bank(), list[int]()

    def answer(messages: list[Any]) -> AIMessage:
        if messages[-1].type != "tool":
            return call(("refund", {"order": 1042}), prefix=f"new-{len(model.seen)}")
        if not died:
            died.append(1)
            raise Died
        return say("Done.")

    model: ScriptedChat = make_model(answer)
    for error in (pytest.raises(Died), contextlib.nullcontext()):
        with make_engine(tmp_path / "desk.db") as engine:
            clerk = make_agent(engine, model, bank.tools)
            graph = StateGraph(MessagesState)
            graph.add_node("clerk", lambda state, clerk=clerk: {"messages": clerk.invoke(ASK)["messages"]})
            graph.add_edge(START, "clerk")
            outer = graph.compile(checkpointer=InMemorySaver())
            with error:
                outer.invoke(ASK, CONFIG, durability="exit")
    assert bank.refunds == [1042]
