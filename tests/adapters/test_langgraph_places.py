"""Agents and graphs that begin with the same words in several tasks of a graph: each is work of its own, in each order, and none is
done twice."""

from __future__ import annotations

import asyncio
import contextlib
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

from adapters.langchain_desk import (
    ASK,
    BOSS,
    REFUND,
    SIGNED,
    Bank,
    ScriptedChat,
    build_graph,
    call,
    list_runs,
    make_engine,
    make_model,
    say,
)
from seawall.adapters.langchain import SeawallMiddleware
from seawall.adapters.langgraph import gate_graph, gate_model
from seawall.runtime.foreign.engine import Engine

BOTH = pytest.mark.parametrize("mode", ["sync", "async"])
CONFIG: Any = {"configurable": {"thread_id": "t-1"}}


class Count(TypedDict):
    n: Annotated[int, operator.add]


class Died(BaseException):
    """Stands for the end of a process."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine() as engine:
        yield engine


def ask(graph: Any, given: Any, config: Any = CONFIG, *, mode: str = "sync") -> Any:
    return graph.invoke(given, config) if mode == "sync" else asyncio.run(graph.ainvoke(given, config))


def make_clerk(engine: Engine, bank: Bank, name: str = "clerk") -> Any:
    return create_agent(make_model(REFUND), bank.tools, middleware=[SeawallMiddleware(engine)], name=name)


def make_inner(engine: Engine, bank: Bank, kind: str) -> Any:
    if kind == "agent":
        return make_clerk(engine, bank)
    return gate_graph(engine, build_graph(gate_model(make_model(REFUND)), bank.tools))


def make_steps(inner: Any, *, stop: Callable[[int], Any]) -> Any:
    """A graph that asks the same of `inner` three times, and stops after each time."""

    def work(state: Count) -> Any:
        inner.invoke(ASK)
        return {"n": 1}

    def rest(state: Count) -> Any:
        stop(state["n"])
        return {}

    graph = StateGraph(Count)
    graph.add_node("work", work)
    graph.add_node("rest", rest)
    graph.add_edge(START, "work")
    graph.add_edge("work", "rest")
    graph.add_conditional_edges("rest", lambda state: "work" if state["n"] < 3 else END)
    return graph


# ---- in a gated graph


@pytest.mark.parametrize("kind", ["agent", "graph"])
@pytest.mark.parametrize("durability", ["sync", "exit"])
def test_the_same_words_after_a_pause_are_work_of_their_own(
    tmp_path: Path, kind: str, durability: Any
) -> None:
    bank, saver = Bank(), InMemorySaver()
    given: Any = {"n": 0}
    for done in (1, 2, 3, 3):
        with make_engine(tmp_path / "desk.db") as engine:
            steps = make_steps(make_inner(engine, bank, kind), stop=lambda n: interrupt("Go on?"))
            outer = gate_graph(engine, steps.compile(checkpointer=saver), name="outer")
            outer.invoke(given, CONFIG, durability=durability)
            assert len(bank.refunds) == done
            given = Command(resume="yes")
    with make_engine(tmp_path / "desk.db") as engine:
        assert [run.summary.status for run in list_runs(engine)] == ["completed"]


@pytest.mark.parametrize("kind", ["agent", "graph"])
@pytest.mark.parametrize("again", ["elsewhere", "from its checkpoint"])
def test_the_same_words_are_given_again_after_a_crash(tmp_path: Path, kind: str, again: str) -> None:
    bank, saver, died = Bank(), InMemorySaver(), list[int]()

    def stop(n: int) -> None:
        if n == 2 and not died:
            died.append(n)
            raise Died

    config: Any = {"configurable": {"thread_id": "t-1", "seawall_request_id": "r-1"}}
    with make_engine(tmp_path / "desk.db") as engine:
        steps = make_steps(make_inner(engine, bank, kind), stop=stop).compile(checkpointer=saver)
        steps.update_state(
            config, {"n": 0}, as_node="rest"
        )  # so that the steps of this thread have other numbers
        with pytest.raises(Died):
            gate_graph(engine, steps, name="outer").invoke({"n": 0}, config)
    given = None if again != "elsewhere" else {"n": 0}
    config["configurable"]["thread_id"] = "t-1" if given is None else "t-2"
    with make_engine(tmp_path / "desk.db") as engine:
        steps = make_steps(make_inner(engine, bank, kind), stop=stop).compile(checkpointer=saver)
        gate_graph(engine, steps, name="outer").invoke(given, config)
    assert len(bank.refunds) == 3


@BOTH
@pytest.mark.parametrize("first", [0, 1])
def test_equal_tasks_of_a_fan_out_are_each_done_once_a_person_has_decided(mode: str, first: int) -> None:
    bank = Bank()
    with make_engine(effects=SIGNED) as engine:
        inner = build_graph(gate_model(make_model(REFUND)), bank.tools, mode=mode)
        graph = StateGraph(MessagesState)
        graph.add_node("clerk", inner)
        graph.add_conditional_edges(START, lambda _: [Send("clerk", ASK), Send("clerk", ASK)], ["clerk"])
        outer = gate_graph(engine, graph.compile(checkpointer=InMemorySaver()), name="outer")
        questions = ask(outer, ASK, mode=mode)["__interrupt__"]
        assert len(questions) == 2
        yes = {"approve": True, "credential": BOSS}
        (left,) = ask(outer, Command(resume={questions[first].id: yes}), mode=mode)["__interrupt__"]
        assert "__interrupt__" not in ask(outer, Command(resume={left.id: yes}), mode=mode)
        assert bank.refunds == [1042, 1042]


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
            clerk = create_agent(model, bank.tools, middleware=[SeawallMiddleware(engine)])
            graph = StateGraph(MessagesState)
            graph.add_node("clerk", lambda state, clerk=clerk: {"messages": clerk.invoke(ASK)["messages"]})
            graph.add_edge(START, "clerk")
            outer = graph.compile(checkpointer=InMemorySaver())
            with error:
                outer.invoke(ASK, CONFIG, durability="exit")
    assert bank.refunds == [1042]
