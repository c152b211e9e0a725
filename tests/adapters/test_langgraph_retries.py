"""LangGraph's `RetryPolicy` repeats a task in which an agent, a graph or a tool has worked: no effect is made twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy

from adapters.langchain_agents import HAS_AGENTS, KINDS, make_agent
from adapters.langchain_desk import (
    ASK,
    BOSS,
    Bank,
    ScriptedChat,
    build_graph,
    call,
    list_runs,
    make_engine,
    make_model,
    say,
)
from seawall.adapters.langgraph import gate_graph, gate_model
from seawall.core.errors import Refused
from seawall.runtime.foreign.engine import Engine

BOTH = pytest.mark.parametrize("mode", ["sync", "async"])
WHERE = pytest.mark.parametrize("where", ["inside", "after"])
CONFIG: Any = {"configurable": {"thread_id": "t-1"}}
AGAIN = RetryPolicy(initial_interval=0, jitter=False, max_attempts=3, retry_on=ConnectionError)
REFUSED_TOO = AGAIN._replace(retry_on=Exception)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine() as engine:
        yield engine


class Task:
    """A task of a graph that fails, in the model inside of it or after its work, and is repeated."""

    def __init__(self, where: str, failures: int = 2) -> None:
        self.bank = Bank()
        self._where, self._failures = where, failures
        self.model: ScriptedChat = make_model(self._answer)

    def _answer(self, messages: list[Any]) -> AIMessage:
        if messages[-1].type != "tool":
            return call(("refund", {"order": 1042}), prefix=f"c{len(self.model.seen)}")
        self._fail("inside")
        return say("Done.")

    def _fail(self, where: str) -> None:
        if self._where == where and self._failures:
            self._failures -= 1
            raise ConnectionError(where)

    def build(self, inner: Any, mode: str) -> Any:
        def work(state: MessagesState) -> Any:
            found = inner.invoke(ASK)
            self._fail("after")
            return {"messages": found["messages"][-1:]}

        async def work_async(state: MessagesState) -> Any:
            found = await inner.ainvoke(ASK)
            self._fail("after")
            return {"messages": found["messages"][-1:]}

        graph = StateGraph(MessagesState)
        graph.add_node("work", work if mode == "sync" else work_async, retry_policy=AGAIN)
        graph.add_edge(START, "work")
        return graph.compile(checkpointer=InMemorySaver(), name="outer")


def ask(graph: Any, given: Any, mode: str) -> Any:
    return graph.invoke(given, CONFIG) if mode == "sync" else asyncio.run(graph.ainvoke(given, CONFIG))


@BOTH
@WHERE
@pytest.mark.parametrize("kind", [*KINDS, *(["agent of a graph that is not gated"] if HAS_AGENTS else [])])
def test_an_effect_is_made_once_though_its_task_is_repeated(
    engine: Engine, mode: str, where: str, kind: str
) -> None:
    task = Task(where)
    if kind == "graph":
        inner: Any = gate_graph(engine, build_graph(gate_model(task.model), task.bank.tools, mode=mode))
    else:
        inner = make_agent(engine, task.model, task.bank.tools)
    outer = task.build(inner, mode)
    if not kind.endswith("not gated"):
        outer = gate_graph(engine, outer)
    assert ask(outer, ASK, mode)["messages"][-1].text == "Done."
    assert task.bank.refunds == [1042]
    assert [run.summary.status for run in list_runs(engine)] == ["completed"]


@BOTH
def test_an_effect_of_a_graph_among_the_nodes_is_made_once(engine: Engine, mode: str) -> None:
    task = Task("inside")
    graph = StateGraph(MessagesState)
    graph.add_node(
        "desk", build_graph(gate_model(task.model), task.bank.tools, mode=mode), retry_policy=AGAIN
    )
    graph.add_edge(START, "desk")
    outer = gate_graph(engine, graph.compile(checkpointer=InMemorySaver(), name="outer"))
    assert ask(outer, ASK, mode)["messages"][-1].text == "Done."
    assert task.bank.refunds == [1042]


@BOTH
def test_an_effect_in_a_graph_that_a_task_calls_is_made_once(engine: Engine, mode: str) -> None:
    task = Task("after")
    inner = StateGraph(MessagesState)
    inner.add_node(
        "desk", gate_graph(engine, build_graph(gate_model(task.model), task.bank.tools, mode=mode))
    )
    inner.add_edge(START, "desk")
    outer = gate_graph(engine, task.build(inner.compile(), mode))
    assert ask(outer, ASK, mode)["messages"][-1].text == "Done."
    assert task.bank.refunds == [1042]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("wanted", "refunds", "asked"), [("refund", [1042], 2), ("find_order", [], 6)], ids=["effect", "read"]
)
def test_a_repeated_tool_begins_anew_unless_an_effect_was_made_in_it(
    engine: Engine, kind: str, wanted: str, refunds: list[int], asked: int
) -> None:
    bank, failures = Bank(), [ConnectionError("later")] * 2
    model = make_model([call((wanted, {"order": 1042})), say("Done.")])
    desk: Any = (
        make_agent(engine, model, bank.tools)
        if kind == "agent"
        else gate_graph(engine, build_graph(gate_model(model), bank.tools))
    )

    @tool
    def ask_desk(request: str) -> str:
        """Ask the desk."""
        answer = desk.invoke(ASK)["messages"][-1].text
        if failures:
            raise failures.pop()
        return answer

    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([ask_desk], handle_tool_errors=False), retry_policy=AGAIN)
    graph.add_edge(START, "tools")
    outer = gate_graph(engine, graph.compile())
    found = outer.invoke({"messages": [call(("ask_desk", {"request": "refund"}))]})
    assert found["messages"][-1].text == "Done."
    assert bank.refunds == refunds
    assert len(model.seen) == asked


@BOTH
@pytest.mark.parametrize("done", [True, False], ids=["made", "not made"])
@pytest.mark.parametrize("call_id", ["", "call-1"])
def test_an_effect_that_a_repeated_task_makes_by_itself_is_made_once(
    mode: str, call_id: str, done: bool
) -> None:
    made: list[int] = []
    failures = [ConnectionError("later")] * 2

    @tool
    def refund(order: int) -> str:
        """Refund an order."""
        if failures and not done:
            raise failures.pop()
        made.append(order)
        return "refunded"

    given: Any = {"order": 1042}
    if call_id:
        given = {"type": "tool_call", "name": "refund", "args": given, "id": call_id}

    def pay(state: MessagesState) -> Any:
        refund.invoke(given)
        if failures:
            raise failures.pop()
        return {"messages": [say("Done.")]}

    async def pay_async(state: MessagesState) -> Any:
        await refund.ainvoke(given)
        if failures:
            raise failures.pop()
        return {"messages": [say("Done.")]}

    graph = StateGraph(MessagesState)
    graph.add_node("pay", pay if mode == "sync" else pay_async, retry_policy=REFUSED_TOO)
    graph.add_edge(START, "pay")
    with make_engine() as engine:
        gated = gate_graph(engine, graph.compile(), not_done=(ConnectionError,))
        if done:
            with pytest.raises(Refused, match="can't give its result again"):
                gated.invoke(ASK) if mode == "sync" else asyncio.run(gated.ainvoke(ASK))
        else:
            found = gated.invoke(ASK) if mode == "sync" else asyncio.run(gated.ainvoke(ASK))
            assert found["messages"][-1].text == "Done."
    assert made == [1042]


@BOTH
@WHERE
def test_where_replies_can_not_be_given_again_a_person_is_asked(
    engine: Engine, mode: str, where: str
) -> None:
    task = Task(where, failures=1)
    inner = gate_graph(engine, build_graph(task.model, task.bank.tools, mode=mode))
    outer = gate_graph(engine, task.build(inner, mode))
    (question,) = ask(outer, ASK, mode)["__interrupt__"]
    assert question.value["tool"] == "refund"
    assert task.bank.refunds == [1042]
    result = ask(outer, Command(resume={"approve": False, "credential": BOSS}), mode)
    assert result["messages"][-1].text == "Done."
    assert task.bank.refunds == [1042]
    assert [run.summary.status for run in list_runs(engine)] == ["completed"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_request_sent_again_into_its_thread_makes_no_effect_twice(engine: Engine, kind: str) -> None:
    bank, left = Bank(), [KeyboardInterrupt()]

    def answer(messages: list[Any]) -> AIMessage:
        if messages[-1].type != "tool":
            return call(("refund", {"order": 1042}), prefix=f"c{len(messages)}")
        if left:
            raise left.pop()  # the process ends after the refund
        return say("Done.")

    model, saver = make_model(answer), InMemorySaver()
    desk: Any = (
        make_agent(engine, model, bank.tools, checkpointer=saver)
        if kind == "agent"
        else gate_graph(engine, build_graph(gate_model(model), bank.tools, checkpointer=saver))
    )
    config: Any = {"configurable": {"thread_id": "t-1", "seawall_request_id": "r-1"}}
    with pytest.raises(KeyboardInterrupt):
        desk.invoke(ASK, config)

    (question,) = desk.invoke(ASK, config)["__interrupt__"]

    assert question.value["tool"] == "refund"
    assert bank.refunds == [1042]
