"""What may be a node of a gated graph: a chain, a method, an object, and a function with threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from adapters.langchain_desk import (
    ASK,
    Bank,
    StreamingChat,
    build_graph,
    list_events,
    list_runs,
    make_engine,
    make_model,
    say,
)
from seawall import Limits
from seawall.adapters.langgraph import gate_graph, gate_model
from seawall.core.events import StepDone
from seawall.runtime.foreign.engine import Engine

BOTH = pytest.mark.parametrize("mode", ["sync", "async"])
MODELS = pytest.mark.parametrize("wrap", [gate_model, lambda model: model], ids=["gated", "by callbacks"])
SOON = Limits(active_s=5)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine() as engine:
        yield engine


def build(engine: Engine, node: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("work", node)
    graph.add_edge(START, "work")
    return gate_graph(engine, graph.compile(name="desk"), limits=SOON)


def make_chain(model: Any) -> Any:
    """A chain whose second part is a model."""
    return RunnableLambda(_take) | model | RunnableLambda(_put)


def _take(state: Any) -> Any:
    return state["messages"]


def _put(message: Any) -> Any:
    return {"messages": [message]}


@BOTH
@MODELS
def test_a_chain_is_a_node_as_any_other(engine: Engine, mode: str, wrap: Callable[[Any], Any]) -> None:
    model = make_model([say("Hello there.")])
    graph = build(engine, make_chain(wrap(model)))
    found = graph.invoke(ASK) if mode == "sync" else asyncio.run(graph.ainvoke(ASK))
    assert found["messages"][-1].text == "Hello there."
    assert [run.summary.status for run in list_runs(engine)] == ["completed"]
    assert sum(engine.coverage().models.values()) == len(model.seen) == 1


@MODELS
def test_a_chain_streams_and_its_reply_is_marked(engine: Engine, wrap: Callable[[Any], Any]) -> None:
    graph = build(engine, make_chain(wrap(make_model([say("Hello there.")], StreamingChat))))
    assert [piece.text for piece, _ in graph.stream(ASK, stream_mode="messages")][:2] == ["Hello ", "there."]
    (run,) = list_runs(engine)
    assert [each.delivered for each in list_events(engine, run.run) if isinstance(each, StepDone)] == [True]


def test_a_function_may_call_models_and_tools_in_threads_of_its_own(engine: Engine) -> None:
    bank, model = Bank(), make_model([say("Hello.")])
    refund = bank.tools[1]

    def work(state: MessagesState, config: RunnableConfig) -> Any:
        with ThreadPoolExecutor(2) as threads:
            texts = [*threads.map(lambda text: model.invoke(text, config).text, ["one", "two"])]
            list(threads.map(lambda order: refund.invoke({"order": order}, config), [1, 2]))
        return {"messages": [say(" ".join(texts))]}

    assert build(engine, work).invoke(ASK)["messages"][-1].text == "Hello. Hello."
    assert sorted(bank.refunds) == [1, 2]
    assert sum(engine.coverage().models.values()) == len(model.seen) == 2


class Clerk:
    """Has a model, and is a node or has one."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, state: MessagesState) -> Any:
        return {"messages": [self.model.invoke(state["messages"])]}

    def work(self, state: MessagesState) -> Any:
        return self(state)


def answer(state: MessagesState, *, model: Any) -> Any:
    return {"messages": [model.invoke(state["messages"])]}


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (Clerk, "model"),
        (lambda model: Clerk(model).work, "model"),
        (lambda model: partial(answer, model=model), "model"),
        (lambda model: Clerk(model.bind(stop=["."]).with_retry()), "model"),
        (make_chain, "RunnableSequence"),
    ],
    ids=["object", "method", "partial", "bound with retries", "chain"],
)
def test_coverage_names_a_model_wherever_a_node_has_it(
    engine: Engine, make: Callable[[Any], Any], name: str
) -> None:
    assert build(engine, make(make_model([say("Hello.")]))).invoke(ASK)["messages"][-1].text == "Hello."
    (told,) = engine.coverage().not_gated
    assert told.startswith(f"replies of model {name!r} in node 'work' of 'desk': ")
    other = make_engine()
    build(other, make(gate_model(make_model([say("Hello.")]))))
    assert other.coverage().not_gated == ()
    other.close()


def test_coverage_names_the_model_of_a_branch(engine: Engine) -> None:
    model = make_model([say("b")])
    graph: Any = StateGraph(MessagesState)
    graph.add_node("a", lambda state: {})
    graph.add_node("b", lambda state: {})
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", lambda state: model.invoke(state["messages"]).text, ["b"])
    gate_graph(engine, graph.compile(name="desk")).invoke(ASK)
    (told,) = engine.coverage().not_gated
    assert told.startswith("replies of model 'model' in a branch after node 'a' of 'desk': ")
    assert sum(engine.coverage().models.values()) == len(model.seen) == 1


def test_coverage_names_a_graph_and_tools_that_are_part_of_a_chain(engine: Engine) -> None:
    tools = Bank().tools
    desk = build_graph(gate_model(make_model([say("Hello.")])), tools)
    build(engine, RunnableLambda(_same) | desk | ToolNode(tools).with_config(tags=["desk"]))
    graph, node = engine.coverage().not_gated
    assert graph.startswith("results of graph 'RunnableSequence' in node 'work' of 'desk': ")
    assert node.startswith("results of 'RunnableSequence' in node 'work' of 'desk': ")


def _same(state: Any) -> Any:
    return state
