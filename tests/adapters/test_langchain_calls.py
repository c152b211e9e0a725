"""What LangChain's tools and models bring, and what its requests hold, is read as it is meant."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState
from langgraph.types import Command
from pydantic import BaseModel, ConfigDict, Field, field_validator

from adapters.langchain_desk import (
    ASK,
    USAGE,
    Bank,
    ScriptedChat,
    StreamingChat,
    build_graph,
    call,
    list_events,
    list_runs,
    make_engine,
    make_model,
    say,
)
from seawall.adapters.langchain import SeawallMiddleware
from seawall.adapters.langchain_core.messages import find_limit, read_reply
from seawall.adapters.langgraph import gate_graph, gate_model
from seawall.core.events import StepDone, StepIntended
from seawall.runtime.foreign.engine import Engine

THREAD: Any = {"configurable": {"thread_id": "t-1"}}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine() as engine:
        yield engine


def list_done(engine: Engine) -> list[StepDone]:
    (run,) = list_runs(engine)
    return [each for each in list_events(engine, run.run) if isinstance(each, StepDone)]


def make_agent(engine: Engine, script: Any, tools: Any, **options: Any) -> Any:
    model = make_model(script)
    return create_agent(
        model, tools, middleware=[SeawallMiddleware(engine)], checkpointer=InMemorySaver(), **options
    )


class Order(BaseModel):
    """The arguments of a tool that takes numbers with a sign before them."""

    model_config = ConfigDict(coerce_numbers_to_str=True)
    order: int
    note: str
    state: Annotated[Any, InjectedState] = None

    @field_validator("order", mode="before")
    @classmethod
    def strip_sign(cls, value: Any) -> Any:
        return str(value).lstrip("#")


@pytest.mark.parametrize("name", ["refund", "no_such_refund"])
def test_an_effect_whose_arguments_do_not_fit_was_not_made(name: str) -> None:
    bank = Bank()
    script = [call((name, {"order": "x"})), call(("refund", {"order": 5}), prefix="b"), say("done")]
    with make_engine(effects=["*refund"]) as engine:
        result = make_agent(engine, script, bank.tools).invoke(ASK, THREAD)
        assert result["messages"][-1].text == "done"
        assert bank.refunds == [5]
        assert [each.error for each in list_done(engine) if each.status == "error"] == ["not_done"]


@pytest.mark.parametrize("handles", [True, "it failed"])
def test_an_effect_that_was_called_and_failed_is_in_doubt(engine: Engine, handles: Any) -> None:
    """Its arguments fit its own schema, and not the one that a model is sent."""
    called: list[int] = []

    @tool(args_schema=Order)
    def refund(order: int, note: str, state: Any = None) -> str:
        """Refund."""
        called.append(order)
        Order.model_validate({})  # after the refund was made
        return ""

    model = gate_model(make_model([call(("refund", {"order": "#7", "note": 3})), say("done")]))
    graph = build_graph(model, [refund], handles=handles, checkpointer=InMemorySaver())
    result = gate_graph(engine, graph).invoke(ASK, THREAD)
    assert called == [7]
    assert result["__interrupt__"][0].value["decide"].startswith("seawall reconcile")


@pytest.mark.parametrize("as_list", [False, True])
def test_advice_is_told_in_the_message_of_a_command(engine: Engine, as_list: bool) -> None:
    @tool
    def find_order(order: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Find an order."""
        command: Any = Command(update={"messages": [ToolMessage("paid", tool_call_id=tool_call_id)]})
        return [command] if as_list else command

    script = [*[call(("find_order", {"order": 1}), prefix=each) for each in "ab"], say("done")]
    found = make_agent(engine, script, [find_order]).invoke(ASK, THREAD)["messages"]
    first, second = [str(each.content) for each in found if each.type == "tool"]
    assert first == "paid"
    assert second.startswith("paid\n\n[")
    assert "nothing new" in second


def test_a_fork_of_a_checkpoint_is_a_request_of_its_own(engine: Engine) -> None:
    bank = Bank()

    def script(messages: list[BaseMessage]) -> AIMessage:
        if messages[-1].type == "tool":
            return say("done")
        return say("erledigt") if len(messages) > 1 else call(("refund", {"order": 1042}))

    agent = make_agent(engine, script, bank.tools)
    agent.invoke(ASK, THREAD)
    saved = list(agent.get_state_history(THREAD))
    (before,) = [each for each in saved if len(each.values.get("messages", [])) == 3]
    fork = agent.update_state(before.config, {"messages": [("user", "And in German?")]})
    fork["configurable"]["seawall_request_id"] = "fork-1"
    assert agent.invoke(None, fork)["messages"][-1].text == "erledigt"
    assert bank.refunds == [1042]
    assert [each.summary.status for each in list_runs(engine)] == ["completed", "completed"]


class Answer(BaseModel):
    """The answer."""

    text: str = Field(description="x" * 3000)


IN_TOOL = AIMessage(
    "", tool_calls=[{"name": "Answer", "args": {"text": "hi"}, "id": "a"}], usage_metadata=USAGE
)
IN_TEXT = AIMessage('{"text": "hi"}', usage_metadata=USAGE)


def test_langchains_cache_does_not_take_the_place_of_a_recorded_reply(tmp_path: Path) -> None:
    def answer(run: str) -> str:
        model = ScriptedChat(script=[say(f"The answer of {run}.")], cache=False)
        with make_engine(tmp_path / "desk.db") as engine:
            agent: Any = create_agent(model, [], middleware=[SeawallMiddleware(engine)])
            found = agent.invoke(ASK, {"configurable": {"seawall_request_id": run}})
        return found["messages"][-1].text

    set_llm_cache(InMemoryCache())
    try:
        answers = [answer(run) for run in ("r-1", "r-2", "r-1", "r-2")]
    finally:
        set_llm_cache(None)
    assert answers == ["The answer of r-1.", "The answer of r-2."] * 2


@pytest.mark.parametrize(
    ("form", "reply"),
    [(Answer, IN_TOOL), (ToolStrategy(Answer), IN_TOOL), (ProviderStrategy(Answer), IN_TEXT)],
    ids=["schema", "tool", "provider"],
)
def test_the_form_of_an_answer_counts_as_a_part_of_the_request(
    engine: Engine, form: Any, reply: AIMessage
) -> None:
    agent = make_agent(engine, [reply], Bank().tools, response_format=form)
    assert agent.invoke(ASK, THREAD)["structured_response"] == Answer(text="hi")
    assert measure_request(engine) > 3000


@pytest.mark.parametrize("gated", [True, False])
def test_the_form_of_an_answer_counts_in_a_graph(engine: Engine, gated: bool) -> None:
    model = make_model([IN_TEXT])
    form = {"type": "json_schema", "json_schema": Answer.model_json_schema()}
    bound = (gate_model(model) if gated else model).bind(response_format=form)
    gate_graph(engine, build_graph(bound, Bank().tools)).invoke(ASK)
    assert measure_request(engine) > 3000


def measure_request(engine: Engine) -> int:
    (run,) = list_runs(engine)
    (intent,) = [each for each in list_events(engine, run.run) if isinstance(each, StepIntended)]
    return intent.context_bytes


def test_what_anthropic_writes_to_its_cache_is_counted_by_its_time_of_life() -> None:
    details: Any = {
        "cache_read": 5,
        "cache_creation": 0,
        "ephemeral_5m_input_tokens": 100,
        "ephemeral_1h_input_tokens": 20,
    }
    usage: Any = {
        "input_tokens": 200,
        "output_tokens": 1,
        "total_tokens": 201,
        "input_token_details": details,
    }
    read = read_reply(AIMessage("hi", usage_metadata=usage)).usage
    assert (read.cache_read_tokens, read.cache_write_tokens) == (5, 120)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict"])
def test_the_longest_reply_is_found_by_each_name_that_models_have_for_it(name: str) -> None:
    class Model:
        pass

    model = Model()
    setattr(model, name, 9000)
    assert find_limit(model, {}) == 9000
    assert find_limit(model, {name: 100}) == 100


def test_a_reply_that_a_graph_streams_by_callbacks_is_marked(engine: Engine) -> None:
    graph = gate_graph(engine, build_graph(make_model([say("hello you")], StreamingChat), Bank().tools))
    assert [each[0].text for each in graph.stream(ASK, stream_mode="messages")][:2] == ["hello ", "you"]
    assert [each.delivered for each in list_done(engine)] == [True]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_agent_that_hands_over_to_its_neighbour_ends_its_run(engine: Engine, mode: str) -> None:
    """Else the neighbour's run of the same thread would wait for it."""

    @tool
    def transfer_to_bob(tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Hand the conversation to bob."""
        told = {"messages": [ToolMessage("over to bob", tool_call_id=tool_call_id)]}
        return Command(goto="bob", graph=Command.PARENT, update=told)

    graph = StateGraph(MessagesState)
    for name, script, tools in (
        ("alice", [call(("transfer_to_bob", {}))], [transfer_to_bob]),
        ("bob", [say("bob is done")], Bank().tools),
    ):
        agent: Any = create_agent(
            make_model(script), tools, middleware=[SeawallMiddleware(engine)], name=name
        )
        graph.add_node(name, agent)
    graph.add_edge(START, "alice")
    swarm: Any = graph.compile(checkpointer=InMemorySaver())
    answer = swarm.invoke(ASK, THREAD) if mode == "sync" else asyncio.run(swarm.ainvoke(ASK, THREAD))
    assert answer["messages"][-1].text == "bob is done"
    assert [each.summary.status for each in list_runs(engine)] == ["completed", "completed"]


@pytest.mark.parametrize("gated", ["not", "graph", "middleware"])
def test_coverage_names_an_agent_that_a_node_calls_by_itself(engine: Engine, gated: str) -> None:
    middleware = [SeawallMiddleware(engine)] if gated == "middleware" else []
    agent: Any = create_agent(make_model([say("hi")]), Bank().tools, middleware=middleware)
    clerk = gate_graph(engine, agent) if gated == "graph" else agent

    def answer(state: MessagesState) -> Any:
        return {"messages": clerk.invoke({"messages": state["messages"]})["messages"][-1:]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    graph: Any = gate_graph(engine, builder.compile(name="desk"))
    assert graph.invoke(ASK)["messages"][-1].text == "hi"
    assert ("graph 'clerk' in node 'answer' of 'desk'" in str(engine.coverage())) == (gated == "not")


@pytest.mark.parametrize(("wanted", "refunds", "answers"), [("refund", [1042], 2), ("find_order", [], 4)])
def test_an_agent_in_a_tool_that_is_called_again_makes_its_effect_once(
    engine: Engine, wanted: str, refunds: list[int], answers: int
) -> None:
    bank, failures = Bank(), [ConnectionError("later")]
    model = make_model([call((wanted, {"order": 1042})), say("Done.")])
    clerk: Any = create_agent(model, bank.tools, middleware=[SeawallMiddleware(engine)])

    @tool
    def ask_clerk(request: str) -> str:
        """Ask the clerk."""
        answer = clerk.invoke(ASK)["messages"][-1].text
        if failures:
            raise failures.pop()
        return answer

    middleware = [ToolRetryMiddleware(initial_delay=0, jitter=False), SeawallMiddleware(engine)]
    desk: Any = create_agent(
        make_model([call(("ask_clerk", {"request": "refund"})), say("All done.")]),
        [ask_clerk],
        middleware=middleware,
    )
    found = desk.invoke(ASK)["messages"]
    assert [each.text for each in found[-2:]] == ["Done.", "All done."]
    assert bank.refunds == refunds
    assert len(model.seen) == answers
