"""LangChain's agents behind the gate: what passes, what a halt ends, and what is given again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    ToolErrorMiddleware,
    ToolRetryMiddleware,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

from adapters.langchain_desk import (
    ASK,
    REFUND,
    Bank,
    ScriptedChat,
    StreamingChat,
    call,
    list_events,
    list_runs,
    make_engine,
    make_model,
    say,
)
from seawall import Limits
from seawall.adapters.langchain import SeawallHalted, SeawallMiddleware
from seawall.adapters.langchain_core.messages import make_tool_message, read_tool_result
from seawall.core.events import StepDone, StepIntended
from seawall.history.recorded import read_outcome
from seawall.runtime.foreign.asks import Settled
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Performed


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine() as engine:
        yield engine


def ask(agent: Any, given: Any = ASK, *, mode: str = "sync", config: Any = None) -> Any:
    if mode == "sync":
        return agent.invoke(given, config)
    return asyncio.run(agent.ainvoke(given, config))


BOTH = pytest.mark.parametrize("mode", ["sync", "async"])


@BOTH
def test_an_agent_runs_as_it_did_and_its_run_is_recorded(engine: Engine, mode: str) -> None:
    bank = Bank()
    agent = create_agent(make_model(REFUND), bank.tools, middleware=[SeawallMiddleware(engine)], name="clerk")
    result = ask(agent, mode=mode)
    assert result["messages"][-1].text == "Order 1042 was refunded."
    assert bank.refunds == [1042]
    (run,) = list_runs(engine)
    assert (run.state, run.team, run.summary.status) == ("ended", "clerk", "completed")
    assert engine.coverage().effects == {"refund": 1}
    assert "seawall_request" not in result


class Failing:
    """Handlers of errors that LangChain ships: each would rather go on."""

    tool_retry = ToolRetryMiddleware(max_retries=2, initial_delay=0, on_failure="continue")
    model_retry = ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="continue")
    tool_error = ToolErrorMiddleware(lambda error, request: "never mind")


def endless(messages: list[Any]) -> AIMessage:
    return call(("refund", {"order": len(messages)}), prefix=f"c{len(messages)}")


@BOTH
@pytest.mark.parametrize("kept", [["tool_retry", "tool_error"], ["model_retry"], []])
def test_no_error_handler_of_the_framework_takes_a_halt_for_an_error(
    engine: Engine, mode: str, kept: list[str]
) -> None:
    bank = Bank()
    middleware = [
        *(getattr(Failing, each) for each in kept),
        SeawallMiddleware(engine, limits=Limits(tool_calls=3, at_limit="halt")),
    ]
    agent = create_agent(make_model(endless), bank.tools, middleware=middleware)
    with pytest.raises(SeawallHalted) as halted:
        ask(agent, mode=mode)
    outcome = halted.value.outcome
    assert outcome is not None
    assert outcome.stopped_by is not None
    assert len(bank.refunds) == 3


@BOTH
def test_a_fallback_on_a_halt_does_not_call_the_other_model(engine: Engine, mode: str) -> None:
    other = make_model([say("I never knew.")])
    bank = Bank()
    middleware: list[Any] = [
        ModelFallbackMiddleware(other),
        SeawallMiddleware(engine, limits=Limits(model_calls=2, at_limit="halt")),
    ]
    with pytest.raises(SeawallHalted):
        ask(create_agent(make_model(endless), bank.tools, middleware=middleware), mode=mode)
    assert other.seen == []


@BOTH
def test_a_fallback_on_a_failure_is_another_step(engine: Engine, mode: str) -> None:
    other = make_model([say("Hello.")])
    middleware: list[Any] = [ModelFallbackMiddleware(other), SeawallMiddleware(engine)]
    agent = create_agent(make_model([ValueError("no such model")]), middleware=middleware)
    assert ask(agent, mode=mode)["messages"][-1].text == "Hello."
    (run,) = list_runs(engine)
    asked = [each for each in list_events(engine, run.run) if isinstance(each, StepIntended)]
    assert [each.kind for each in asked] == ["model", "model"]


@BOTH
@pytest.mark.parametrize("closed", ["before", "within"])
def test_a_closed_engine_lets_nothing_through(mode: str, closed: str) -> None:
    bank = Bank()
    engine = make_engine()

    def answer(messages: list[Any]) -> AIMessage:
        if closed == "within":
            engine.close()
        return call(("refund", {"order": 1}))

    if closed == "before":
        engine.close()
    middleware = [Failing.tool_retry, Failing.tool_error, Failing.model_retry, SeawallMiddleware(engine)]
    with pytest.raises(SeawallHalted):
        ask(create_agent(make_model(answer), bank.tools, middleware=middleware), mode=mode)
    assert bank.refunds == []


@BOTH
def test_thirty_parallel_calls_against_twelve_make_twelve(engine: Engine, mode: str) -> None:
    bank = Bank()
    script = [call(*[("find_order", {"order": number}) for number in range(30)]), say("Done.")]
    agent = create_agent(
        make_model(script), bank.tools, middleware=[SeawallMiddleware(engine, limits=Limits(tool_calls=12))]
    )
    messages = ask(agent, mode=mode)["messages"]
    assert messages[-1].text == "Done."
    assert len(bank.finds) == 12
    assert sum("Not done: tool 'find_order'" in each.text for each in messages) == 18


# ---- given again


class Verdict(BaseModel):
    """What was decided."""

    refunded: bool
    reason: str


VERDICT = {"refunded": True, "reason": "paid"}


class NoProfile(ScriptedChat):
    """A model of which LangChain knows by its name that it has structured answers."""

    model_name: str = "gpt-5"


def run_twice(make: Callable[[], Any], journal: Path, mode: str) -> list[Any]:
    """Runs an agent, and again in a new engine under the same request id: all of it is recorded."""
    config = {"configurable": {"seawall_request_id": "r-1"}}
    results = []
    for _ in range(2):
        with make_engine(journal) as engine:
            agent = make()(engine)
            results.append(ask(agent, mode=mode, config=config))
    return results


@BOTH
@pytest.mark.parametrize("kind", ["tool", "provider", "auto"])
def test_a_structured_answer_is_given_again(tmp_path: Path, mode: str, kind: str) -> None:
    made: list[ScriptedChat] = []
    script = [call(("Verdict", VERDICT))] if kind == "tool" else [say('{"refunded": true, "reason": "paid"}')]
    formats: Any = {"tool": ToolStrategy(Verdict), "provider": ProviderStrategy(Verdict), "auto": Verdict}

    def make() -> Any:
        model = make_model(script, NoProfile)
        made.append(model)
        return lambda engine: create_agent(
            model, [], middleware=[SeawallMiddleware(engine)], response_format=formats[kind]
        )

    first, second = run_twice(make, tmp_path / "desk.db", mode)
    assert first["structured_response"] == second["structured_response"] == Verdict(**VERDICT)
    assert [len(model.seen) for model in made] == [1, 0]


@BOTH
def test_a_command_a_picture_and_an_artifact_are_given_again(tmp_path: Path, mode: str) -> None:
    made: list[str] = []
    picture = [
        {"type": "text", "text": "a receipt"},
        {"type": "image", "base64": "aGk=", "mime_type": "image/png"},
    ]

    def make() -> Any:
        @tool
        def note(text: str) -> Command[Any]:
            """Note something."""
            made.append("note")
            message = ToolMessage("noted", tool_call_id="call-1", name="note")
            return Command(update={"messages": [message]})

        @tool
        def photograph(order: int) -> Any:
            """Photograph a receipt."""
            made.append("photograph")
            return picture

        @tool(response_format="content_and_artifact")
        def weigh(order: int) -> tuple[str, dict[str, int]]:
            """Weigh a parcel."""
            made.append("weigh")
            return "2 kg", {"grams": 2000}

        calls = call(("note", {"text": "x"}), ("photograph", {"order": 1}), ("weigh", {"order": 1}))
        return lambda engine: create_agent(
            make_model([calls, say("Done.")]),
            [note, photograph, weigh],
            middleware=[SeawallMiddleware(engine)],
        )

    first, second = run_twice(make, tmp_path / "desk.db", mode)
    assert sorted(made) == ["note", "photograph", "weigh"]
    told = [
        [(m.type, m.content, getattr(m, "artifact", None)) for m in each["messages"]]
        for each in (first, second)
    ]
    assert told[0] == told[1]
    assert ("tool", picture, None) in told[0]
    assert ("tool", "2 kg", {"grams": 2000}) in told[0]


def test_a_command_that_is_no_json_is_not_made_up() -> None:
    brought = Command(update={"messages": [ToolMessage("noted", tool_call_id="c-1")], "file": object()})
    result = read_tool_result(brought)
    assert (result.status, result.output) == ("ok", "noted")
    settled = Settled(step=1, status="ok", text="noted", raw=result.reasoning, replayed=True)
    given = make_tool_message({"name": "note", "id": "c-1"}, Performed(settled))
    assert isinstance(given, ToolMessage)
    assert given.status == "error"
    assert "can't be made again" in str(given.content)


@BOTH
def test_a_tool_that_returns_directly_still_does(tmp_path: Path, mode: str) -> None:
    def make() -> Any:
        @tool(return_direct=True)
        def find(order: int) -> str:
            """Find."""
            return "paid"

        return lambda engine: create_agent(
            make_model([call(("find", {"order": 1})), say("never")]),
            [find],
            middleware=[SeawallMiddleware(engine)],
        )

    for each in run_twice(make, tmp_path / "desk.db", mode):
        assert each["messages"][-1].content == "paid"


# ---- streaming and batches


def test_tokens_are_still_streamed(engine: Engine) -> None:
    bank = Bank()
    model = make_model([say("Order 1042 is paid.")], StreamingChat)
    agent: Any = create_agent(model, bank.tools, middleware=[SeawallMiddleware(engine)])
    tokens = [chunk.text for chunk, _ in agent.stream(ASK, stream_mode="messages") if chunk.text]
    assert tokens == ["Order ", "1042 ", "is ", "paid."]

    async def stream() -> list[str]:
        return [chunk.text async for chunk, _ in agent.astream(ASK, stream_mode="messages") if chunk.text]

    assert asyncio.run(stream()) == tokens
    agent.invoke(ASK)
    rows = engine.call(lambda sea: sea.supervisor.journal.runs())
    ended = [engine.call(lambda sea, run=row.run: read_outcome(sea.supervisor.journal, run)) for row in rows]
    assert sorted(each.unchecked_delivery for each in ended) == [False, True, True]


def test_updates_are_streamed_step_by_step(engine: Engine) -> None:
    agent = create_agent(make_model(REFUND), Bank().tools, middleware=[SeawallMiddleware(engine)])
    names = [name for update in agent.stream(ASK, stream_mode="updates") for name in update]
    assert names == [
        "SeawallMiddleware.before_agent",
        "model",
        "tools",
        "model",
        "SeawallMiddleware.after_agent",
    ]


def test_a_batch_is_a_run_each(engine: Engine) -> None:
    bank = Bank()
    agent = create_agent(make_model(REFUND), bank.tools, middleware=[SeawallMiddleware(engine)])
    agent.batch([ASK] * 4)
    asyncio.run(agent.abatch([ASK] * 4))
    assert len(bank.refunds) == 8
    assert [run.state for run in list_runs(engine)] == ["ended"] * 8


def test_a_sync_agent_works_inside_a_running_event_loop(engine: Engine) -> None:
    bank = Bank()
    agent = create_agent(make_model(REFUND), bank.tools, middleware=[SeawallMiddleware(engine)])

    async def main() -> Any:
        return agent.invoke(ASK)

    assert asyncio.run(main())["messages"][-1].text == "Order 1042 was refunded."


# ---- several agents, and threads


def test_one_middleware_serves_two_agents_at_once(engine: Engine) -> None:
    bank, middleware = Bank(), SeawallMiddleware(engine)
    agents = [
        create_agent(make_model(REFUND), bank.tools, middleware=[middleware], name=name) for name in "ab"
    ]
    saved = [agent.invoke(ASK, {"configurable": {"thread_id": "t"}}) for agent in agents]
    assert len(saved) == len(bank.refunds) == len(list_runs(engine)) == 2


def test_two_requests_of_one_thread_are_two_runs_of_one_session(engine: Engine) -> None:
    bank = Bank()
    agent = create_agent(
        make_model(lambda messages: say("Hello.")),
        bank.tools,
        middleware=[SeawallMiddleware(engine)],
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "t-1"}}
    for _ in range(2):
        agent.invoke({"messages": [HumanMessage("Hello?")]}, config)
    rows = list_runs(engine)
    assert [(row.session, row.state) for row in rows] == [("t-1", "ended")] * 2


def test_without_a_checkpointer_the_same_words_are_a_new_request(engine: Engine) -> None:
    model = make_model([say("Hello.")])
    agent = create_agent(model, [], middleware=[SeawallMiddleware(engine)])
    for _ in range(2):
        agent.invoke(ASK, {"configurable": {"thread_id": "t-1"}})
    assert len(model.seen) == 2


@BOTH
def test_an_agent_inside_a_tool_works_in_a_frame_each_time(engine: Engine, mode: str) -> None:
    bank, gate = Bank(), SeawallMiddleware(engine)
    clerk = create_agent(make_model(REFUND), bank.tools, middleware=[gate], name="clerk")

    if mode == "sync":

        @tool
        def ask_clerk(task: str) -> str:
            """Ask the clerk."""
            return " ".join(str(clerk.invoke(ASK)["messages"][-1].text) for _ in range(2))

    else:

        @tool
        async def ask_clerk(task: str) -> str:
            """Ask the clerk."""
            return " ".join([str((await clerk.ainvoke(ASK))["messages"][-1].text) for _ in range(2)])

    lead = create_agent(
        make_model([call(("ask_clerk", {"task": "refund"}), ("ask_clerk", {"task": "again"})), say("Done.")]),
        [ask_clerk],
        middleware=[gate],
        name="lead",
    )
    assert ask(lead, mode=mode)["messages"][-1].text == "Done."
    assert len(bank.refunds) == 4
    (run,) = list_runs(engine)
    events = list_events(engine, run.run)
    frames = [each for each in events if isinstance(each, StepIntended) and each.kind == "handoff"]
    assert [each.name for each in frames] == ["clerk"] * 4
    done = {each.step: each.status for each in events if isinstance(each, StepDone)}
    assert [done[each.step] for each in frames] == ["ok"] * 4


def test_the_same_task_under_an_id_that_comes_again_is_another_one(engine: Engine) -> None:
    gate = SeawallMiddleware(engine)
    inner = make_model([say("Paid.")])
    clerk = create_agent(inner, [], middleware=[gate], name="clerk")

    @tool
    def ask_clerk(task: str) -> str:
        """Ask the clerk."""
        return str(clerk.invoke(ASK)["messages"][-1].text)

    asks = [call(("ask_clerk", {"task": "find it"})) for _ in range(2)]  # both with the same id
    lead = create_agent(make_model([*asks, say("Done.")]), [ask_clerk], middleware=[gate], name="lead")
    assert ask(lead)["messages"][-1].text == "Done."
    assert len(inner.seen) == 2


def test_an_agent_that_may_not_begin_is_a_tool_that_failed(engine: Engine) -> None:
    gate = SeawallMiddleware(engine, limits=Limits(depth=1))

    def make_asker(name: str, inner: Any) -> Any:
        @tool
        def ask(task: str) -> str:
            """Ask."""
            return str(inner.invoke(ASK)["messages"][-1].text)

        script = [call(("ask", {"task": name})), say(f"{name} is done.")]
        return create_agent(make_model(script), [ask], middleware=[gate], name=name)

    clerk = create_agent(make_model([say("Hello.")]), [], middleware=[gate], name="clerk")
    result = make_asker("boss", make_asker("lead", clerk)).invoke(ASK)
    assert result["messages"][-1].text == "boss is done."


def test_a_halt_inside_a_tool_ends_the_whole_graph(engine: Engine) -> None:
    gate = SeawallMiddleware(engine, limits=Limits(tool_calls=3, at_limit="halt"))
    bank = Bank()
    clerk = create_agent(make_model(endless), bank.tools, middleware=[gate], name="clerk")

    @tool
    def ask_clerk(task: str) -> str:
        """Ask the clerk."""
        return str(clerk.invoke(ASK)["messages"][-1].text)

    middleware = [Failing.tool_retry, Failing.tool_error, gate]
    lead = create_agent(make_model([call(("ask_clerk", {"task": "x"}))]), [ask_clerk], middleware=middleware)
    with pytest.raises(SeawallHalted):
        lead.invoke(ASK)
    assert len(bank.refunds) == 2


def test_an_agent_whose_failure_its_tool_handles_keeps_nobody_waiting(engine: Engine) -> None:
    gate = SeawallMiddleware(engine)
    clerk = create_agent(make_model([ValueError("down")]), [], middleware=[gate], name="clerk")

    @tool
    def ask_clerk(task: str) -> str:
        """Ask the clerk."""
        try:
            return str(clerk.invoke(ASK)["messages"][-1].text)
        except ValueError:
            return "the clerk is ill"

    lead = create_agent(
        make_model([call(("ask_clerk", {"task": "x"})), say("Done.")]), [ask_clerk], middleware=[gate]
    )
    assert lead.invoke(ASK)["messages"][-1].text == "Done."
    assert [run.state for run in list_runs(engine)] == ["ended"]
