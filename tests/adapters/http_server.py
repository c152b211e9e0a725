"""A real MCP server over streamable HTTP, on a port of loopback that the system chooses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable
from typing import Any

import uvicorn
from fastmcp import FastMCP


def make_bank(name: str = "bank") -> tuple[FastMCP[Any], list[tuple[str, str]]]:
    """A server with a read and an effect, and the list of what it was asked to do."""
    server: FastMCP[Any] = FastMCP(name)
    done: list[tuple[str, str]] = []

    @server.tool
    def balance(order: str) -> dict[str, Any]:
        """Tell what was paid for an order."""
        done.append(("balance", order))
        return {"order": order, "eur": 12}

    @server.tool
    def refund(order: str) -> str:
        """Pay it back."""
        done.append(("refund", order))
        return f"refunded {order}"

    assert callable(balance) and callable(refund)
    return server, done


@contextlib.asynccontextmanager
async def serve(app: Callable[..., Any], port: int = 0) -> AsyncGenerator[str]:
    """Serves an ASGI application, and yields its address."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1, ws="none")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # pyright: ignore[reportAttributeAccessIssue] - the test runner has its own
    serving = asyncio.create_task(server._serve([listener]))
    while not server.started:
        await asyncio.sleep(0)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()
