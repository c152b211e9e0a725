"""Agent Framework: a gate that is broken lets nothing through, and neither retries nor error handlers go around a halt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from agent_framework import (
    Agent,
    AgentSession,
    ChatResponse,
    ContextProvider,
    FunctionInvocationContext,
    FunctionMiddleware,
    Message,
)

from apart.agent_framework.agents_desk import (
    ASKED,
    Desk,
    ForgivingAgent,
    ForgivingModel,
    ForgivingTool,
    Next,
    Reply,
    ScriptedClient,
    ask,
)
from runtime.foreign.failing_journal import FailingJournal
from seawall import Agent as NativeAgent
from seawall import Limits, Loops, Seawall, Team
from seawall.adapters.agent_framework import MiddlewareHalted, gate
from seawall.core.clock import SystemClock
from seawall.core.errors import Broken, Fenced, JournalFull
from seawall.core.events import StepIntended
from seawall.journal.sqlite import SqliteJournal
from seawall.runtime.foreign.engine import Engine
from seawall.testing import ScriptedModel, call

FORGIVING = [ForgivingAgent(), ForgivingTool(), ForgivingModel()]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "desk.db", effects=["refund"]) as engine:
        yield engine


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("error", [JournalFull, Fenced, Broken])
@pytest.mark.parametrize("writes", range(4))
def test_a_journal_that_fails_lets_no_effect_pass(
    tmp_path: Path, error: type[Exception], writes: int, stream: bool
) -> None:
    desk, path = Desk(), tmp_path / "desk.db"
    inner = SqliteJournal.open(str(path), clock=SystemClock())
    failing: Any = FailingJournal(inner, writes, error)
    forgiving = FORGIVING[1:] if stream else FORGIVING
    with Engine(failing, effects=["refund"]) as engine:
        agent = desk.make_agent(engine, request_id="r-1", middleware=forgiving)
        with pytest.raises(MiddlewareHalted):
            ask(agent, stream=stream)

    with Engine(path) as reader:
        found = reader.call(lambda sea: sea.journal.run_of_request("", "r-1"))
        events = [] if found is None else reader.call(lambda sea: sea.journal.events(found))
    assert len(desk.refunds) <= sum(isinstance(each, StepIntended) and each.effect for each in events)


def test_a_loop_is_halted_after_as_many_calls_as_in_a_team_of_seawalls_own(tmp_path: Path) -> None:
    looked: list[int] = []

    def find_order(order: int) -> str:
        """Finds an order."""
        looked.append(order)
        return "not found"

    async def run_native() -> int:
        model = ScriptedModel(lambda request: call("find_order", order=7))
        clerk = NativeAgent("clerk", model=model, tools=[find_order])
        async with Seawall(guards=[Loops()]) as sea:
            handle = await sea.start(Team(clerk), "Find order 7")
            await handle.outcome()
        return len(looked)

    native = asyncio.run(run_native())
    looked.clear()
    desk = Desk(lambda messages: [("find_order", {"order": 7})])
    with Engine(tmp_path / "desk.db", guards=[Loops()]) as engine:
        agent = desk.make_agent(engine, tools=[find_order])
        with pytest.raises(MiddlewareHalted, match="nothing new"):
            ask(agent, "Find order 7")

    assert len(looked) == native > 0


class KeepingClient(ScriptedClient):
    """A model whose server keeps the conversation."""

    async def _answer(self, messages: Sequence[Message]) -> ChatResponse[Any]:
        response = await super()._answer(messages)
        response.conversation_id = f"conversation-{self.calls}"
        return response


def test_no_request_settles_a_conversation_after_a_halt(engine: Engine) -> None:
    """The framework would tell the server of the calls that were not made, with one more request to the model."""
    script: list[Reply] = [[("find_order", {"order": 1}), ("find_order", {"order": 2})], "done"]
    desk = Desk()
    client = desk.client = KeepingClient(script)
    agent = desk.make_agent(engine, limits=Limits(tool_calls=1, at_limit="halt"))
    with pytest.raises(MiddlewareHalted):
        ask(agent, session=AgentSession())

    assert client.calls == 1


def test_a_conversation_that_the_server_keeps_is_answered_from_the_record(engine: Engine) -> None:
    desk = Desk()
    client = desk.client = KeepingClient(_answer_by_result)
    agent = desk.make_agent(engine)
    session = AgentSession()
    saved = session.to_dict()
    first = ask(agent, session=session)
    again = ask(agent, session=AgentSession.from_dict(saved))

    assert first.text == again.text == "done"
    assert (desk.refunds, client.calls) == ([(1042, 5)], 2)
    assert session.service_session_id == "conversation-2"
    ask(agent, session=session)  # another turn is another request
    assert client.calls == 3


def _answer_by_result(messages: Sequence[Message]) -> Reply:
    if any(content.type == "function_result" for each in messages for content in each.contents):
        return "done"
    return [("refund", {"order": 1042, "amount": 5})]


class Repeat(FunctionMiddleware):
    """Calls each tool twice."""

    async def process(self, context: FunctionInvocationContext, call_next: Next) -> None:
        await call_next()
        await call_next()


class Repeating(ContextProvider):
    """Adds middleware to a run, which the framework puts inside of the gate."""

    async def before_run(self, *, agent: Any, session: Any, context: Any, state: Any) -> None:
        context.extend_middleware(self.source_id, [Repeat()])


def test_middleware_inside_of_the_gate_is_named(engine: Engine) -> None:
    desk = Desk([[("find_order", {"order": 7})], "It is paid."])
    agent = Agent(
        desk.client,
        name="clerk",
        tools=[desk.find_order],
        context_providers=[Repeating("repeating")],
        middleware=[gate(engine)],
    )
    ask(agent, "Is it paid?")

    assert desk.reads == [7, 7]
    assert engine.coverage().undeclared == {"find_order": 1}
    assert "what middleware of a context provider repeats, of agent 'clerk'" in str(engine.coverage())


def test_the_gate_alone_is_not_named(engine: Engine) -> None:
    desk = Desk()
    told: Mapping[str, Any] = {"session": AgentSession()}
    ask(desk.make_agent(engine), ASKED, **told)

    assert engine.coverage().not_gated == ()
