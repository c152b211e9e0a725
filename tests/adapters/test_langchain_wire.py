"""LangChain's OpenAI client over loopback: what is sent does not change, and what the gate counts is what the server saw.

The journal that fails here is one whose disk is full, broken, or which another process has taken.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, ToolErrorMiddleware, ToolRetryMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from adapters.langchain_desk import ASK, REFUND, Bank, build_graph, list_runs, make_engine, make_model
from adapters.last_requests import LAST, Insatiable, check_last, may_call, read_results
from runtime.foreign.failing_journal import FailingJournal
from seawall import Limits
from seawall.adapters.langchain import SeawallHalted, SeawallMiddleware
from seawall.adapters.langchain_core.messages import leave_out_tools
from seawall.adapters.langgraph import gate_graph, gate_model
from seawall.core.clock import SystemClock
from seawall.core.errors import Broken, Fenced, JournalFull
from seawall.history.recorded import read_outcome
from seawall.journal.sqlite import SqliteJournal
from seawall.models.scripted import call, calls, say
from seawall.runtime.foreign.engine import Engine
from seawall.testing import ModelServer
from seawall.testing.wire import ChatRequest

ERRORS = pytest.mark.parametrize("error", [JournalFull, Fenced, Broken])
BOTH = pytest.mark.parametrize("mode", ["sync", "async"])


@BOTH
@ERRORS
@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_journal_that_fails_lets_no_effect_through(
    tmp_path: Path, mode: str, error: type[Exception], writes: int
) -> None:
    bank = Bank()
    journal: Any = FailingJournal(
        SqliteJournal.open(str(tmp_path / "j.db"), clock=SystemClock()), writes, error
    )
    middleware: list[Any] = [
        ToolRetryMiddleware(max_retries=2, initial_delay=0, on_failure="continue"),
        ToolErrorMiddleware(lambda error, request: "never mind"),
        ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="continue"),
    ]
    with make_engine(journal) as engine:
        agent = create_agent(
            make_model(REFUND), bank.tools, middleware=[*middleware, SeawallMiddleware(engine)]
        )
        with pytest.raises(SeawallHalted):
            agent.invoke(ASK) if mode == "sync" else asyncio.run(agent.ainvoke(ASK))
    # the first append has the reply and the intent of the refund
    assert len(bank.refunds) <= (1 if writes else 0)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A server that has an order found and refunded."""

    def answer(request: ChatRequest) -> Any:
        replies = sum(message["role"] == "assistant" for message in request.messages)
        script = [
            calls(call("find_order", order=1042), call("find_order", order=7)),
            call("refund", order=1042),
        ]
        return script[replies] if replies < 2 else say("Order 1042 was refunded.")

    with serve(answer) as server:
        yield server


@contextmanager
def serve(answer: Callable[[ChatRequest], Any]) -> Iterator[ModelServer]:
    """Serves on a loop of its own, for sync and async callers."""
    ready: Future[tuple[ModelServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stop = asyncio.Event()
        async with ModelServer(answer) as server:
            ready.set_result((server, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    server, loop, stop = ready.result()
    yield server
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def strip(body: dict[str, Any]) -> str:
    """A request without the ids of calls, which the server makes anew each time."""
    ids: dict[str, str] = {}

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: ids.setdefault(each, f"id-{len(ids)}") if key in ("id", "tool_call_id") else walk(each)
                for key, each in value.items()
            }
        return [walk(each) for each in value] if isinstance(value, list) else value

    return json.dumps(walk(body))


@BOTH
def test_not_one_byte_of_what_is_sent_changes_and_each_request_is_counted(
    server: ModelServer, mode: str
) -> None:
    sent: list[list[str]] = []
    model = ChatOpenAI(model="m", base_url=server.base_url, api_key=SecretStr("none"), max_retries=0)

    async def play(
        agents: list[Callable[[Bank], Any]],
    ) -> None:  # all in one loop: the client keeps its connections
        for make in agents:
            bank, before = Bank(), server.request_count
            agent = make(bank)
            if mode == "sync":
                agent.invoke(ASK)
            else:
                await agent.ainvoke(ASK)
            sent.append([strip(request.body) for request in server.requests[before:]])
            assert bank.refunds == [1042]

    with make_engine() as engine:
        makers: list[Callable[[Bank], Any]] = [
            lambda bank: create_agent(model, bank.tools),
            lambda bank: create_agent(model, bank.tools, middleware=[SeawallMiddleware(engine)]),
            lambda bank: gate_graph(engine, create_agent(model, bank.tools)),
        ]
        asyncio.run(play(makers))
        assert sent[0] == sent[1] == sent[2]
        assert len(sent[0]) == 3
        assert engine.coverage().models == {"openai:m": 6}
        assert engine.coverage().effects == {"refund": 2}
        assert engine.coverage().reads == {"find_order": 4}


class Verdict(BaseModel):
    """What was found."""

    found: int


LIMITS = {"tool_calls": Limits(tool_calls=2), "model_calls": Limits(model_calls=3)}


def make_client(server: ModelServer, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model="m", base_url=server.base_url, api_key=SecretStr("none"), max_retries=0, **options
    )


def make_asked(kind: str, engine: Engine, model: Any, bank: Bank, mode: str, limits: Limits) -> Any:
    """An agent behind the middleware, or a graph with a gated model."""
    if kind == "agent":
        gate = SeawallMiddleware(engine, limits=limits)
        return create_agent(model, bank.tools, middleware=[gate])
    gated = gate_model(model).bind_tools(bank.tools, parallel_tool_calls=False)
    return gate_graph(engine, build_graph(gated, bank.tools, mode=mode), limits=limits)


def find_outcome(engine: Engine) -> Any:
    (row,) = list_runs(engine)
    return engine.call(lambda sea: read_outcome(sea.journal, row.run))


@BOTH
@pytest.mark.parametrize("kind", ["agent", "graph"])
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_limit_ends_with_an_answer_without_tools(limit: str, kind: str, mode: str, streaming: bool) -> None:
    script, bank = Insatiable(), Bank()
    with serve(script) as server, make_engine() as engine:
        model = make_client(server, streaming=streaming)
        asked = make_asked(kind, engine, model, bank, mode, LIMITS[limit])
        result = asked.invoke(ASK) if mode == "sync" else asyncio.run(asked.ainvoke(ASK))
        outcome = find_outcome(engine)

    assert result["messages"][-1].text == LAST
    assert (outcome.status, outcome.answer, outcome.pruned) == ("completed", LAST, ("limits",))
    assert len(bank.finds) == outcome.tool_calls == 2
    check_last(script.requests, f"{limit}={2 if limit == 'tool_calls' else 3}")
    if limit == "tool_calls":
        assert "Not done: tool 'find_order'" in read_results(script.requests[-1])[-1]


@BOTH
def test_a_graph_whose_model_passes_by_callbacks_is_halted(mode: str) -> None:
    script, bank = Insatiable(), Bank()
    with serve(script) as server, make_engine() as engine:
        model = make_client(server).bind_tools(bank.tools)
        asked = gate_graph(engine, build_graph(model, bank.tools, mode=mode), limits=Limits(tool_calls=2))
        with pytest.raises(SeawallHalted) as halted:
            asked.invoke(ASK) if mode == "sync" else asyncio.run(asked.ainvoke(ASK))

    assert halted.value.outcome is not None
    assert (halted.value.outcome.status, len(bank.finds)) == ("halted", 2)
    assert all(may_call(each) for each in script.requests)
    assert len(script.requests) == 3


def test_a_structured_answer_is_still_asked_for_in_its_form() -> None:
    def answer(request: ChatRequest) -> Any:
        names = [each["function"]["name"] for each in request.body["tools"]]
        return call("find_order", order=request.number) if "find_order" in names else call("Verdict", found=1)

    bank = Bank()
    with serve(answer) as server, make_engine() as engine:
        gate = SeawallMiddleware(engine, limits=Limits(tool_calls=1))
        agent = create_agent(
            make_client(server), bank.tools, middleware=[gate], response_format=ToolStrategy(Verdict)
        )
        result = agent.invoke(ASK)

    assert result["structured_response"] == Verdict(found=1)
    assert len(bank.finds) == 1


class _Named:
    """Stands for a model of another provider."""

    model_name = "m"

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def _get_ls_params(self) -> dict[str, str]:
        return {"ls_provider": self._provider}


@pytest.mark.parametrize(
    ("provider", "left"),
    [
        ("openai", {"stop": ["x"]}),
        ("anthropic", {"stop": ["x"], "tools": ["t"], "tool_choice": {"type": "none"}}),
        ("amazon_bedrock", {"stop": ["x"], "tools": ["t"], "tool_choice": "auto"}),
    ],
)
def test_servers_that_want_the_tools_of_the_conversation_keep_them(
    provider: str, left: dict[str, Any]
) -> None:
    options = {"stop": ["x"], "tools": ["t"], "tool_choice": "auto"}
    assert leave_out_tools(_Named(provider), options) == left
