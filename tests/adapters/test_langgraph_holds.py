"""Several effects of one `ToolNode` are held, and each answer of a person counts for the question that it was given to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from adapters.langchain_desk import (
    ASK,
    BOSS,
    SIGNED,
    Bank,
    approve_all,
    build_graph,
    call,
    make_engine,
    make_model,
    say,
)
from seawall.adapters.langgraph import gate_graph, gate_model
from seawall.runtime.foreign.engine import Engine

BOTH = pytest.mark.parametrize("mode", ["sync", "async"])
CONFIG: Any = {"configurable": {"thread_id": "t-1"}}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine(effects=SIGNED) as engine:
        yield engine


def make_desk(engine: Engine, bank: Bank, *wanted: tuple[str, dict[str, Any]], mode: str = "sync") -> Any:
    model = gate_model(make_model([call(*wanted), say("done")]))
    return gate_graph(engine, build_graph(model, bank.tools, mode=mode, checkpointer=InMemorySaver()))


def ask(graph: Any, given: Any, mode: str) -> Any:
    return graph.invoke(given, CONFIG) if mode == "sync" else asyncio.run(graph.ainvoke(given, CONFIG))


def find_order(engine: Engine, question: Any) -> int:
    proposals = engine.call(lambda sea: sea.approvals())
    (order,) = [(each.arguments or {})["order"] for each in proposals if each.id == question.value["seawall"]]
    return order


@BOTH
@pytest.mark.parametrize("form", ["id", "name"])
@pytest.mark.parametrize("wanted", [1, 2])
def test_each_answer_decides_what_it_was_asked_about(
    engine: Engine, mode: str, form: str, wanted: int
) -> None:
    bank = Bank()
    desk = make_desk(engine, bank, ("refund", {"order": 1}), ("refund", {"order": 2}), mode=mode)
    result = ask(desk, ASK, mode)
    for _ in range(2):
        (question,) = result["__interrupt__"]
        answer: dict[str, Any] = {"approve": find_order(engine, question) == wanted, "credential": BOSS}
        named = {question.id: answer} if form == "id" else {"seawall": question.value["seawall"], **answer}
        result = ask(desk, Command(resume=named), mode)
    assert result["messages"][-1].text == "done"
    assert bank.refunds == [wanted]


@BOTH
def test_an_answer_that_does_not_say_for_which_call_it_is_decides_nothing(engine: Engine, mode: str) -> None:
    bank = Bank()
    desk = make_desk(engine, bank, ("refund", {"order": 1}), ("refund", {"order": 2}), mode=mode)
    ask(desk, ASK, mode)
    result = ask(desk, Command(resume={"approve": True, "credential": BOSS}), mode)
    (question,) = result["__interrupt__"]
    assert "say which one" in question.value["problem"]
    assert bank.refunds == []
    engine.call(approve_all)
    result = ask(desk, None, mode)
    assert result["messages"][-1].text == "done"
    assert sorted(bank.refunds) == [1, 2]


@BOTH
def test_an_effect_beside_a_read_needs_no_name(engine: Engine, mode: str) -> None:
    bank = Bank()
    desk = make_desk(engine, bank, ("find_order", {"order": 1}), ("refund", {"order": 1}), mode=mode)
    ask(desk, ASK, mode)
    ask(desk, Command(resume={"approve": True, "credential": BOSS}), mode)
    assert bank.refunds == [1]


@pytest.mark.parametrize("approve", ["no", "false", 1, None])
def test_only_true_and_false_are_decisions(engine: Engine, approve: object) -> None:
    bank = Bank()
    desk = make_desk(engine, bank, ("refund", {"order": 1}))
    ask(desk, ASK, "sync")
    answer = {"approve": approve, "credential": BOSS}
    (question,) = ask(desk, Command(resume=answer), "sync")["__interrupt__"]
    assert "true or false" in question.value["problem"]
    assert bank.refunds == []
