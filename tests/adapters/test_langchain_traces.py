"""With LangSmith's tracing on, the gate decides as it does without, and its hooks tell LangSmith nothing."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langsmith import Client, tracing_context

from adapters.langchain_desk import ASK, ScriptedChat, call, list_runs, make_engine, say
from seawall import Engine
from seawall.adapters.langchain import SeawallMiddleware
from seawall.adapters.langgraph import gate_graph

TOKEN = "tok-7f3a9c2e5b8d4a1f"
"""Of a gateway before the model: a field of the model that is no `SecretStr`."""
KEY = "key-5d1c8e7b3f9a2460"
"""A secret of the engine alone."""
SCRIPT = [
    call(("find_order", {"order": 1042}), prefix="find"),
    call(("refund", {"order": 1042}), prefix="refund"),
    say("Order 1042 was refunded."),
]


class BehindGateway(ScriptedChat):
    """A model whose requests carry a token."""

    headers: dict[str, str] = {"x-gateway": TOKEN}  # noqa: RUF012 -- a field, which each model has a copy of


class TraceServer(ThreadingHTTPServer):
    """Stands for LangSmith."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.texts: list[str] = []

    @property
    def told(self) -> str:
        return "\n".join(self.texts)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, TraceServer)
        self.server.texts.append(body.decode("utf-8", "replace"))
        self.send_response(202)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_PATCH(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 -- the base class has it
        """Says nothing."""


@contextmanager
def traced() -> Generator[TraceServer]:
    """Has LangSmith's tracing on, to a server on this machine."""
    with TraceServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        client = Client(
            api_url=f"http://127.0.0.1:{server.server_port}", api_key="k-1", auto_batch_tracing=False
        )
        try:
            with tracing_context(enabled=True, client=client):
                yield server
        finally:
            client.close()
            server.shutdown()
            thread.join()


def make_tools(made: list[str]) -> list[Any]:
    @tool
    def find_order(order: int) -> str:
        """Find an order."""
        made.append("find_order")
        return f"order {order} is paid"

    @tool
    def refund(order: int) -> str:
        """Refund an order."""
        made.append("refund")
        return "done"

    return [find_order, refund]


def ask(engine: Engine, middleware: Sequence[Any], *, graph: bool = False) -> tuple[list[str], Any]:
    made: list[str] = []
    agent: Any = create_agent(BehindGateway(script=SCRIPT), make_tools(made), middleware=middleware)
    agent = gate_graph(engine, agent) if graph else agent
    return made, agent.invoke(ASK, {"configurable": {"seawall_request_id": "q-1"}})["messages"][-1].text


@pytest.mark.parametrize("graph", [False, True], ids=["agent", "graph"])
def test_the_gate_decides_the_same_and_no_secret_leaves_by_its_hooks(graph: bool) -> None:
    with traced() as server, make_engine(secrets=[KEY]) as engine:
        made, answer = ask(engine, [SeawallMiddleware(engine)], graph=graph)
        (run,) = list_runs(engine)

    assert (made, answer) == (["find_order", "refund"], "Order 1042 was refunded.")
    assert (run.summary.status, run.summary.model_calls, run.summary.tool_calls) == ("completed", 3, 2)
    assert "SeawallMiddleware" in server.told, "the spans are there"
    assert "order 1042 is paid" in server.told, "and so is what LangChain itself tells"
    assert TOKEN not in server.told
    assert KEY not in server.told
