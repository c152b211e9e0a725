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
"""Where a client finds the proxy."""
GRACE_S = 1
"""Seconds for answers that are under way when the proxy stops."""


class HttpAddress(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def parse_address(text: str) -> HttpAddress:
    """Returns the address of `HOST:PORT`. Raises `Misused` for another form, and for one that other machines reach.

    Nobody is asked who they are here: what listens to other machines has to do that before.
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
            f"--http {text}: the proxy asks nobody who they are, so it listens on this machine only (127.0.0.1, ::1); put "
            "something that does before it"
        )
    return HttpAddress(host, int(port))


async def serve_stdio(proxy: McpProxy) -> None:
    """Serves the one client on stdin and stdout, until it closes them. Nothing else may be written there."""
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
