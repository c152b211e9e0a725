"""Graphs that are built by hand, behind the gate: tools, models, sub-graphs, and the life of the run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from adapters.langchain_desk import (
    ASK,
    BOSS,
    REFUND,
    SIGNED,
    Bank,
    ScriptedChat,
    StreamingChat,
    approve_all,
    build_graph,
    call,
    list_events,
    list_runs,
    make_engine,
    make_model,
    say,
)
from seawall import Limits, Misused
from seawall.adapters.langgraph import SeawallHalted, SeawallHeld, gate_graph, gate_model
from seawall.core.errors import Refused
from seawall.core.events import StepDone, StepIntended
from seawall.runtime.foreign.engine import Engine

BOTH = pytest.mark.parametrize("mode", ["sync", "async"])
MODELS = pytest.mark.parametrize("wrap", [gate_model, lambda model: model], ids=["gated", "by callbacks"])


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine() as engine:
        yield engine


def ask(graph: Any, given: Any = ASK, config: Any = None, *, mode: str = "sync") -> Any:
    return graph.invoke(given, config) if mode == "sync" else asyncio.run(graph.ainvoke(given, config))


def endless(messages: list[Any]) -> AIMessage:
    return call(("refund", {"order": len(messages)}), prefix=f"c{len(messages)}")


@BOTH
@MODELS
def test_a_graph_runs_as_it_did_and_is_one_run(engine: Engine, mode: str, wrap: Callable[[Any], Any]) -> None:
    bank, model = Bank(), make_model(REFUND)
    graph = gate_graph(engine, build_graph(wrap(model), bank.tools, mode=mode))
    assert ask(graph, mode=mode)["messages"][-1].text == "Order 1042 was refunded."
    assert bank.refunds == [1042]
    (run,) = list_runs(engine)
    assert (run.state, run.team, run.summary.status) == ("ended", "desk", "completed")
    kinds = [each.kind for each in list_events(engine, run.run) if isinstance(each, StepIntended)]
    assert kinds == ["model", "tool", "model"]
    assert engine.coverage().effects == {"refund": 1}
    assert sum(engine.coverage().models.values()) == len(model.seen) == 2


def test_an_ungated_graph_stays_as_it_was(engine: Engine) -> None:
    bank = Bank()
    graph = build_graph(make_model(REFUND), bank.tools)
    gate_graph(engine, graph)
    graph.invoke(ASK)
    assert bank.refunds == [1042]
    assert list_runs(engine) == []


@BOTH
@MODELS
@pytest.mark.parametrize(
    "limits",
    [Limits(tool_calls=3, at_limit="halt"), Limits(model_calls=4, at_limit="halt")],
    ids=["tools", "models"],
)
def test_a_halt_ends_the_graph(engine: Engine, mode: str, wrap: Callable[[Any], Any], limits: Limits) -> None:
    bank, model = Bank(), make_model(endless)
    graph = gate_graph(engine, build_graph(wrap(model), bank.tools, mode=mode), limits=limits)
    with pytest.raises(SeawallHalted) as halted:
        ask(graph, mode=mode)
    assert halted.value.outcome is not None
    assert len(model.seen) == 4
    assert len(bank.refunds) == (3 if limits.tool_calls == 3 else 4)


@BOTH
@MODELS
def test_a_closed_engine_lets_nothing_through(mode: str, wrap: Callable[[Any], Any]) -> None:
    bank, engine = Bank(), make_engine()

    def answer(messages: list[Any]) -> AIMessage:
        engine.close()
        return call(("refund", {"order": 1}))

    model = make_model(answer)
    graph = gate_graph(engine, build_graph(wrap(model), bank.tools, mode=mode))
    for _ in range(2):
        with pytest.raises(SeawallHalted):
            ask(graph, mode=mode)
    assert (len(model.seen), bank.refunds) == (1, [])


@BOTH
def test_thirty_parallel_calls_against_twelve_make_twelve(engine: Engine, mode: str) -> None:
    bank = Bank()
    script = [call(*[("find_order", {"order": number}) for number in range(30)]), say("Done.")]
    graph = gate_graph(
        engine, build_graph(make_model(script), bank.tools, mode=mode), limits=Limits(tool_calls=12)
    )
    assert ask(graph, mode=mode)["messages"][-1].text == "Done."
    assert len(bank.finds) == 12


@BOTH
def test_a_tool_that_a_node_calls_by_itself_is_gated_by_its_callbacks(engine: Engine, mode: str) -> None:
    bank = Bank()
    refund = bank.tools[1]

    def work(state: MessagesState) -> Any:
        return {"messages": [AIMessage(" ".join(refund.invoke({"order": order}) for order in (1, 2, 3)))]}

    async def work_async(state: MessagesState) -> Any:
        return {
            "messages": [AIMessage(" ".join([await refund.ainvoke({"order": order}) for order in (1, 2, 3)]))]
        }

    graph = StateGraph(MessagesState)
    graph.add_node("work", work if mode == "sync" else work_async)
    graph.add_edge(START, "work")
    gated = gate_graph(engine, graph.compile(), limits=Limits(tool_calls=2))
    with pytest.raises(SeawallHalted):
        ask(gated, mode=mode)
    assert bank.refunds == [1, 2]


@BOTH
def test_a_tool_may_pass_its_call_id_on_to_another_tool(engine: Engine, mode: str) -> None:
    bank = Bank()
    refund = bank.tools[1]

    def pass_on(call_id: str) -> Any:
        return {"type": "tool_call", "name": "refund", "args": {"order": 1042}, "id": call_id}

    @tool
    async def pay(order: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Pay an order back."""
        return await refund.ainvoke(pass_on(tool_call_id))

    @tool("pay")
    def pay_sync(order: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Pay an order back."""
        return refund.invoke(pass_on(tool_call_id))

    tools = [pay_sync if mode == "sync" else pay]
    model = make_model([call(("pay", {"order": 1042})), say("Done.")])
    graph = gate_graph(engine, build_graph(model, tools, mode=mode), limits=Limits(active_s=5))
    assert ask(graph, mode=mode)["messages"][-1].text == "Done."
    assert bank.refunds == [1042]
    (run,) = list_runs(engine)
    made = [each.name for each in list_events(engine, run.run) if isinstance(each, StepIntended)]
    assert made == ["scripted:scripted", "pay", "refund", "scripted:scripted"]


class Stubborn(StructuredTool):
    """A tool that is called again if it fails."""

    def invoke(self, input: Any, config: Any = None, **options: Any) -> Any:  # noqa: A002 -- LangChain's name
        with contextlib.suppress(ConnectionError):
            return super().invoke(input, config, **options)
        return super().invoke(input, config, **options)


@pytest.mark.parametrize(("name", "calls"), [("refund", 1), ("find_order", 2)])
def test_a_tool_that_is_called_again_within_its_call_makes_no_effect_twice(
    engine: Engine, name: str, calls: int
) -> None:
    made: list[int] = []

    def work(order: int) -> str:
        """Work on an order."""
        made.append(order)
        raise ConnectionError("lost")

    model = make_model([call((name, {"order": 1042})), say("Done.")])
    graph = gate_graph(
        engine, build_graph(model, [Stubborn.from_function(work, name=name)]), limits=Limits(active_s=5)
    )
    with contextlib.suppress(SeawallHeld):
        ask(graph)
    assert made == [1042] * calls
    assert [run.state for run in list_runs(engine)] == ["waiting" if name == "refund" else "ended"]


def test_an_exception_ends_the_run_as_failed(engine: Engine) -> None:
    graph = gate_graph(engine, build_graph(make_model([ValueError("down")]), Bank().tools))
    with pytest.raises(ValueError, match="down"):
        graph.invoke(ASK)
    (run,) = list_runs(engine)
    assert (run.state, run.summary.status) == ("ended", "failed")


@BOTH
@pytest.mark.parametrize("handles", [True, False])
def test_a_failing_tool_is_handled_as_it_was(engine: Engine, mode: str, handles: bool) -> None:
    @tool
    def find_order(order: int) -> str:
        """Find."""
        raise ValueError("no such order")

    model = make_model([call(("find_order", {"order": 1})), say("There is none.")])
    graph = gate_graph(engine, build_graph(model, [find_order], mode=mode, handles=handles))
    if handles:
        assert ask(graph, mode=mode)["messages"][-1].text == "There is none."
    else:
        with pytest.raises(ValueError, match="no such order"):
            ask(graph, mode=mode)
    (run,) = list_runs(engine)
    assert run.summary.status == ("completed" if handles else "failed")


# ---- streams


@BOTH
@MODELS
def test_tokens_are_still_streamed(engine: Engine, mode: str, wrap: Callable[[Any], Any]) -> None:
    model = make_model([say("Order 1042 is paid.")], StreamingChat)
    graph = gate_graph(engine, build_graph(wrap(model), Bank().tools, mode=mode))

    async def stream() -> list[str]:
        return [chunk.text async for chunk, _ in graph.astream(ASK, stream_mode="messages") if chunk.text]

    if mode == "sync":
        tokens = [chunk.text for chunk, _ in graph.stream(ASK, stream_mode="messages") if chunk.text]
    else:
        tokens = asyncio.run(stream())
    assert tokens == ["Order ", "1042 ", "is ", "paid."]
    (run,) = list_runs(engine)
    assert (run.state, run.summary.status) == ("ended", "completed")


def test_a_stream_that_is_left_lets_go_of_the_run(engine: Engine) -> None:
    graph = gate_graph(engine, build_graph(make_model(REFUND), Bank().tools))
    stream = graph.stream(ASK)
    next(stream)
    stream.close()
    (run,) = list_runs(engine)
    assert run.state == "interrupted"


def test_copies_and_batches_are_gated_too(engine: Engine) -> None:
    bank = Bank()
    graph = gate_graph(engine, build_graph(make_model(REFUND), bank.tools))
    graph.with_config(tags=["x"]).batch([ASK] * 3)
    assert len(bank.refunds) == len(list_runs(engine)) == 3


# ---- people


@BOTH
def test_a_held_tool_interrupts_the_graph_which_goes_on_after_the_decision(engine: Engine, mode: str) -> None:
    bank = Bank()
    graph = gate_graph(
        engine,
        build_graph(make_model(REFUND), bank.tools, mode=mode, checkpointer=InMemorySaver()),
        effects=SIGNED,
    )
    config: Any = {"configurable": {"thread_id": "t-1"}}
    (question,) = ask(graph, config=config, mode=mode)["__interrupt__"]
    assert question.value["tool"] == "refund"
    assert list_runs(engine)[0].state == "waiting"
    assert bank.refunds == []
    resume = Command(resume={"approve": True, "credential": BOSS})
    assert ask(graph, resume, config, mode=mode)["messages"][-1].text == "Order 1042 was refunded."
    assert bank.refunds == [1042]
    (run,) = list_runs(engine)
    assert run.summary.status == "completed"


def test_the_decision_may_come_from_elsewhere(engine: Engine) -> None:
    bank = Bank()
    graph = gate_graph(
        engine, build_graph(make_model(REFUND), bank.tools, checkpointer=InMemorySaver()), effects=SIGNED
    )
    config: Any = {"configurable": {"thread_id": "t-1"}}
    graph.invoke(ASK, config)
    assert engine.call(approve_all) == 1
    assert graph.invoke(None, config)["messages"][-1].text == "Order 1042 was refunded."
    assert bank.refunds == [1042]


def test_the_graphs_own_interrupt_lets_go_of_the_run(engine: Engine) -> None:
    def work(state: MessagesState) -> Any:
        return {"messages": [AIMessage(interrupt("How much?"))]}

    def answer(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", answer)
    graph.add_node("work", work)
    graph.add_edge(START, "model")
    graph.add_edge("model", "work")
    model = make_model([say("Let me ask.")])
    gated = gate_graph(engine, graph.compile(checkpointer=InMemorySaver()))
    config: Any = {"configurable": {"thread_id": "t-1"}}
    gated.invoke(ASK, config)
    assert [run.state for run in list_runs(engine)] == ["interrupted"]
    assert gated.invoke(Command(resume="5"), config)["messages"][-1].text == "5"
    assert [run.state for run in list_runs(engine)] == ["ended"]


# ---- sub-graphs and coverage


def test_a_hand_off_out_of_a_sub_graph_closes_its_frame(engine: Engine) -> None:
    def leave(state: MessagesState) -> Command[Any]:
        return Command(
            graph=Command.PARENT, goto="other", update={"messages": [inner.invoke(state["messages"])]}
        )

    def take(state: MessagesState) -> Any:
        return {"messages": [make_model([say("x"), say("Mine.")]).invoke(state["messages"])]}

    inner = make_model([say("Over to you.")])
    sub = StateGraph(MessagesState)
    sub.add_node("leave", leave)
    sub.add_edge(START, "leave")
    graph = StateGraph(MessagesState)
    graph.add_node("first", sub.compile())
    graph.add_node("other", take)
    graph.add_edge(START, "first")
    graph.add_edge("other", END)
    gated = gate_graph(engine, graph.compile())
    assert gated.invoke(ASK)["messages"][-1].text == "Mine."
    (run,) = list_runs(engine)
    done = {e.step: e.status for e in list_events(engine, run.run) if isinstance(e, StepDone)}
    assert set(done.values()) == {"ok"}


def test_coverage_tells_what_passes_by_callbacks_alone(engine: Engine) -> None:
    gate_graph(engine, build_graph(make_model(REFUND), Bank().tools))
    assert any("replies of model 'model' in node 'agent'" in each for each in engine.coverage().not_gated)


def test_a_gated_model_or_tool_node_outside_of_its_graph_is_not_called(engine: Engine) -> None:
    model = make_model(REFUND)
    with pytest.raises(Misused):
        gate_model(model).invoke("Hello?")
    with pytest.raises(Misused):
        gate_graph(engine, StateGraph(MessagesState))  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    assert model.seen == []


def test_only_a_chat_model_is_gated() -> None:
    with pytest.raises(Misused, match="Binding: gate the model"):
        gate_model(make_model(REFUND).bind(stop=["."]))  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


# ---- after a crash


@BOTH
def test_a_recorded_run_is_given_again_by_gated_models(tmp_path: Path, mode: str) -> None:
    bank, models = Bank(), [make_model(REFUND) for _ in range(2)]
    config = {"configurable": {"seawall_request_id": "r-1"}}
    for model in models:
        with make_engine(tmp_path / "desk.db") as engine:
            graph = gate_graph(engine, build_graph(gate_model(model), bank.tools, mode=mode))
            assert ask(graph, config=config, mode=mode)["messages"][-1].text == "Order 1042 was refunded."
    assert [len(model.seen) for model in models] == [2, 0]
    assert bank.refunds == [1042]


class Died(BaseException):
    """Stands for the end of a process."""


def test_an_effect_is_not_made_twice_where_replies_can_not_be_given_again(tmp_path: Path) -> None:
    bank = Bank()

    def answer(messages: list[Any]) -> AIMessage:
        return (
            call(("refund", {"order": 1042}), prefix=f"new-{len(model.seen)}")
            if len(messages) == 1
            else dying()
        )

    def dying() -> AIMessage:
        if len(model.seen) < 3:
            raise Died
        return say("Done.")

    model: ScriptedChat = make_model(answer)
    config = {"configurable": {"seawall_request_id": "r-1"}}
    with make_engine(tmp_path / "desk.db") as engine, pytest.raises(Died):
        gate_graph(engine, build_graph(model, bank.tools)).invoke(ASK, config)
    with make_engine(tmp_path / "desk.db") as engine:
        graph = gate_graph(engine, build_graph(model, bank.tools, checkpointer=InMemorySaver()))
        held = graph.invoke(ASK, {"configurable": {"seawall_request_id": "r-1", "thread_id": "t"}})
    assert bank.refunds == [1042]
    assert "__interrupt__" in held


@pytest.mark.parametrize("declared", [{"effects": ["refund"]}, None], ids=["inside", "outside"])
def test_an_effect_of_an_inner_graph_is_not_made_twice(tmp_path: Path, declared: Any) -> None:
    bank = Bank()
    died: list[bool] = []

    def pay(state: MessagesState) -> Any:
        return {"messages": [AIMessage(str(bank.tools[1].invoke({"order": 1042})))]}

    def work(state: MessagesState) -> Any:
        found = inner.invoke(ASK)
        if not died:
            died.append(True)
            raise Died
        return {"messages": found["messages"]}

    def build(node: Any) -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("node", node)
        graph.add_edge(START, "node")
        return graph.compile()

    config = {"configurable": {"seawall_request_id": "r-1"}}
    outer: Any = {} if declared else {"effects": ["refund"]}
    for error in (Died, Refused):
        with make_engine(tmp_path / "desk.db", effects=()) as engine:
            inner = gate_graph(engine, build(pay), name="inner", **(declared or {}))
            with pytest.raises(error):
                gate_graph(engine, build(work), name="outer", **outer).invoke(ASK, config)
    assert bank.refunds == [1042]
