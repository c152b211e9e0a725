"""A proxy in this process, and clients of it: what a test does runs on the engine's event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client
from mcp_types import ElicitRequestParams, ElicitResult, Implementation

from adapters.mcp_place import Place
from seawall import Limits, Seawall
from seawall.adapters.mcp.clients import identify_user
from seawall.adapters.mcp.proxy import McpProxy, ProxyOptions, open_proxy
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.tools import Effects
from seawall.testing import ManualClock


class User:
    """The user of a client, who is asked and says one thing."""

    def __init__(self, action: Any, *, allow: bool | None = None) -> None:
        self._answer = ElicitResult(action=action, content=None if allow is None else {"allow": allow})
        self.asked: list[str] = []

    async def __call__(self, context: object, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        return self._answer


class Desk:
    """A proxy before one server, on the engine's event loop."""

    def __init__(self, sea: Seawall, proxy: McpProxy) -> None:
        self.sea = sea
        self.proxy = proxy

    @asynccontextmanager
    async def connect(
        self, mode: str = "legacy", user: User | None = None, name: str = "chat"
    ) -> AsyncGenerator[Client]:
        """A client that speaks the protocol of 2025 (`legacy`) or of 2026 (`auto`), and can ask its user or not."""
        info = Implementation(name=name, version="1")
        server = self.proxy.make_server()
        async with Client(server, mode=mode, client_info=info, elicitation_callback=user) as client:
            yield client


async def ask(
    client: Client, name: str, meta: dict[str, Any] | None = None, **arguments: Any
) -> tuple[bool, str]:
    """Whether a call has worked, and what the client is told."""
    result = await client.call_tool(name, arguments, meta=meta)  # pyright: ignore[reportArgumentType] - a dict is one
    return not result.is_error, "\n".join(getattr(each, "text", "") for each in result.content)


def run_proxy(
    place: Place | None,
    scenario: Callable[[Desk], Coroutine[Any, Any, None]],
    *,
    effects: Effects = (),
    reads: tuple[str, ...] = (),
    limits: Limits | None = None,
    journal: Path | str = ":memory:",
    options: ProxyOptions | None = None,
    clock: ManualClock | None = None,
    nonce: str = "n",
    servers: dict[str, Any] | None = None,
) -> None:
    """Runs a scenario with a proxy before the server of `place`, which is called `bank`."""
    given: dict[str, Any] = {} if clock is None else {"clock": clock}
    with Engine(
        journal, effects=effects, reads=reads, limits=limits, authenticate=identify_user, **given
    ) as engine:

        async def serve(sea: Seawall) -> None:
            behind = servers if place is None else {"bank": place.command}
            async with open_proxy(engine, sea, behind or {}, options or ProxyOptions(), nonce) as proxy:
                await scenario(Desk(sea, proxy))

        engine.call(serve)
