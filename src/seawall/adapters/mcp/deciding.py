"""People's decisions on tools of MCP servers: to accept the definition that a server offers now, or to reject it."""

from __future__ import annotations

from functools import partial

from seawall.adapters.mcp.connection import CONNECT_S, McpConnection
from seawall.adapters.mcp.names import split_name
from seawall.adapters.mcp.pin_store import PinStore
from seawall.adapters.mcp.pinned_server import PinnedServer
from seawall.adapters.mcp.pins import Pin, accept, reject
from seawall.adapters.mcp.servers import Servers, read_servers
from seawall.core.canonical import check_recordable
from seawall.core.errors import Misused
from seawall.runtime.approvals import Authenticate, Decisions
from seawall.runtime.seawall import Seawall


async def list_pins(sea: Seawall, server: str | None = None) -> list[Pin]:
    """Returns the pins of the tools of a server, or of all servers on the journal."""
    store = PinStore(sea.journal, sea.supervisor.clock)
    servers = await store.list_servers() if server is None else [server]
    return [pin for each in servers for pin in (await store.read(each)).values()]


async def find_pin(sea: Seawall, name: str) -> Pin:
    """Returns the pin of `SERVER.TOOL`. Raises `Misused` if there is none."""
    server, tool = split_name(name)
    pin = await PinStore(sea.journal, sea.supervisor.clock).read_one(server, tool) if tool else None
    if pin is None:
        there = ", ".join(f"{each.server}.{each.tool}" for each in await list_pins(sea)) or "none"
        raise Misused(f"there is no tool {name!r} of an MCP server in this journal (there: {there})")
    return pin


async def accept_tool(
    sea: Seawall,
    name: str,
    *,
    hash: str,  # noqa: A002 -- as `Seawall.approve` has it
    credential: object = None,
    by: str = "",
    reason: str = "",
    authenticate: Authenticate | None = None,
) -> Pin:
    """Accepts the definition of `SERVER.TOOL` that waits and has this hash, in every process on the journal.

    `credential`, `by` and `authenticate` are those of `Seawall.approve`. Raises `Refused` for a person who may not decide,
    and `Misused` if no definition waits, or if the one that waits has another hash.
    """
    person, reason = await _sign(sea, credential, by, reason, authenticate)
    pin = await find_pin(sea, name)
    now = sea.supervisor.clock.wall_s()
    store = PinStore(sea.journal, sea.supervisor.clock)
    return await store.decide(
        pin.server, pin.tool, partial(accept, hash_=hash, by=person, why=reason, now=now)
    )


async def reject_tool(
    sea: Seawall,
    name: str,
    *,
    hash: str,  # noqa: A002 -- as above
    credential: object = None,
    by: str = "",
    reason: str = "",
    authenticate: Authenticate | None = None,
) -> Pin:
    """Rejects the definition of `SERVER.TOOL` that waits; the definition that was accepted before stays accepted. Otherwise as
    `accept_tool`.
    """
    person, reason = await _sign(sea, credential, by, reason, authenticate)
    pin = await find_pin(sea, name)
    store = PinStore(sea.journal, sea.supervisor.clock)
    return await store.decide(pin.server, pin.tool, partial(reject, hash_=hash, by=person, why=reason))


async def pin_tools(
    sea: Seawall, servers: Servers, *, credential: object = None, by: str = "", connect_s: float = CONNECT_S
) -> list[Pin]:
    """Connects to servers, and accepts in a person's name the tools that they offer. Tools that a person has decided on before,
    and tools with misleading names or texts, stay as they are.

    Raises what `accept_tool` and `mcp_tools` raise.
    """
    person, _ = await _sign(sea, credential, by, "", None)
    pins: list[Pin] = []
    for source in read_servers(servers):
        server = PinnedServer(McpConnection(source, connect_s=connect_s), sea, trust_first=False)
        try:
            pins += (await server.pin(person)).values()
        finally:
            await server.close()
    return pins


async def _sign(
    sea: Seawall, credential: object, by: str, reason: str, authenticate: Authenticate | None
) -> tuple[str, str]:
    """Returns the person who decides and the reason, as they are recorded."""
    check_recordable(reason=reason)
    if credential is None and not by.strip():
        raise Misused("who decides on the tool? give by=… or credential=…; it is recorded")
    person = await Decisions(sea.supervisor, authenticate, None).identify_person(credential, by)
    return person, sea.supervisor.make_bodies().redact(reason)
