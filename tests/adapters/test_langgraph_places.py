"""Agents and graphs that begin with the same words in several tasks of a graph: each is work of its own, in each order, and none is
done twice."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

from adapters.langchain_agents import KINDS, make_agent
from adapters.langchain_desk import (
    ASK,
    BOSS,
    REFUND,
    SIGNED,
    Bank,
    build_graph,
    list_runs,
    make_engine,
    make_model,
)
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


def make_inner(engine: Engine, bank: Bank, kind: str) -> Any:
    if kind == "agent":
        return make_agent(engine, make_model(REFUND), bank.tools)
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


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", KINDS)
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
