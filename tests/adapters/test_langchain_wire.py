"""LangChain's OpenAI client over loopback: what is sent does not change, and what the gate counts is what the server saw.

The journal that fails here is one whose disk is full, broken, or which another process has taken.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, ToolErrorMiddleware, ToolRetryMiddleware
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from adapters.langchain_desk import ASK, REFUND, Bank, make_engine, make_model
from runtime.foreign.failing_journal import FailingJournal
from seawall.adapters.langchain import SeawallHalted, SeawallMiddleware
from seawall.adapters.langgraph import gate_graph
from seawall.core.clock import SystemClock
from seawall.core.errors import Broken, Fenced, JournalFull
from seawall.journal.sqlite import SqliteJournal
from seawall.models.scripted import call, calls, say
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
    assert len(bank.refunds) <= (
        1 if writes else 0
    )  # the first append has the reply and the intent of the refund


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A server on a loop of its own, for sync and async callers."""
    ready: Future[tuple[ModelServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    def answer(request: ChatRequest) -> Any:
        replies = sum(message["role"] == "assistant" for message in request.messages)
        script = [
            calls(call("find_order", order=1042), call("find_order", order=7)),
            call("refund", order=1042),
        ]
        return script[replies] if replies < 2 else say("Order 1042 was refunded.")

    async def serve() -> None:
        stop = asyncio.Event()
        async with ModelServer(answer) as server:
            ready.set_result((server, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
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
