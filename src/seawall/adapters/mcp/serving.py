"""Serves a proxy to its clients: on stdin and stdout, or over streamable HTTP on this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import NamedTuple

from seawall.adapters.mcp.proxy import McpProxy
from seawall.core.errors import Broken, Misused

HTTP_PATH = "/mcp"
"""The path of the proxy's URL."""
GRACE_S = 1
"""Seconds that answers in progress may still take when the proxy stops."""


class HttpAddress(NamedTuple):
    """The host and port that the proxy listens on."""

    host: str
    port: int


def parse_address(text: str) -> HttpAddress:
    """Returns the address of `HOST:PORT`. Raises `Misused` for another form, and for an address that other machines can reach.

    The proxy does not authenticate clients. To serve other machines, put a server that does in front of it.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise Misused(f"--http {text}: write HOST:PORT, such as 127.0.0.1:8931")
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise Misused(
            f"--http {text}: the proxy does not authenticate clients, so it listens on this machine only (127.0.0.1, ::1); "
            "put a server that does in front of it"
        )
    return HttpAddress(host, int(port))


async def serve_stdio(proxy: McpProxy) -> None:
    """Serves the client on stdin and stdout, until it closes them. Nothing else may write to stdout."""
    from mcp.server.stdio import stdio_server  # noqa: PLC0415 -- it comes with the extra

    server = proxy.make_server()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def serve_http(proxy: McpProxy, address: HttpAddress, on_ready: Callable[[str], None]) -> None:
    """Serves clients over streamable HTTP until it is cancelled. `on_ready` is called with the URL.

    Requests with a foreign `Host` or `Origin` are refused. Raises `Broken` if the address is taken.
    """
    import uvicorn  # noqa: PLC0415 -- it comes with the extra

    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listener = socket.create_server(address, family=family)
    except OSError as error:
        raise Broken(f"{address.host}:{address.port} can't be listened on: {error.strerror}") from None
    with listener:
        app = proxy.make_server().streamable_http_app(streamable_http_path=HTTP_PATH, host="127.0.0.1")
        config = uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=GRACE_S)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        host = f"[{address.host}]" if ":" in address.host else address.host
        on_ready(f"http://{host}:{listener.getsockname()[1]}{HTTP_PATH}")
        try:
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await serving
