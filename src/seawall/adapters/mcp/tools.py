"""The tools of MCP servers as tools of a team."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast, overload

from seawall.adapters.mcp.connection import CONNECT_S, McpBroken, McpConnection, McpDeclined, McpUnreadable
from seawall.adapters.mcp.definitions import ToolDefinition
from seawall.adapters.mcp.names import (
    advise_on_unused,
    check_pattern,
    find_look_alikes,
    join_name,
    list_unused,
    make_model_name,
    matches_any,
)
from seawall.adapters.mcp.pinned_server import CHECK_S, McpToolError, McpWithheld, PinnedServer
from seawall.adapters.mcp.pins import Pin
from seawall.adapters.mcp.servers import Servers, read_servers
from seawall.core.clock import Clock
from seawall.core.errors import Misused, read_error_text
from seawall.core.odd_text import show_plainly
from seawall.effects.verbs import seems_to_write
from seawall.runtime.foreign.tools import Effects, ToolDeclarations
from seawall.runtime.seawall import Seawall
from seawall.team.parameters import ToolContext
from seawall.team.tool import NotDone, Tool, ToolFailed

_log = logging.getLogger("seawall.mcp")


@dataclass(frozen=True, kw_only=True)
class McpOptions:
    """How the tools of MCP servers are called."""

    effects: Effects = ()
    """The tools that change the world, as patterns of `SERVER.TOOL`. An exact name counts first, then the first pattern that
    matches. Default none: what servers say of their own tools (`readOnlyHint`, `destructiveHint`) is only a hint, and decides
    nothing."""
    reads: Sequence[str] = ()
    """Tools that only read although their names or hints say that they write. There is no advice about them. Default none."""
    polls: Sequence[str] = ()
    """Which reads are asked again until something has happened (`Tool.poll`). Default none."""
    not_done: Sequence[str] = ()
    """Effects whose error results mean that nothing was done. Default none: an error result does not say that, so such an
    effect is unknown, and waits for a person."""
    timeout_s: float | None = 60.0
    """Seconds for one call, after which it is cancelled. Default 60, as in the protocol's own libraries; None: as long as the
    run has time."""
    retries: int = 1
    """Further tries of a read that could not be made, or whose server went away. Default 1: the second try starts the
    server again. Effects are never tried again."""
    connect_s: float = CONNECT_S
    """Seconds for a server to start and to complete the handshake. Default 30: some are downloaded when they are started."""
    check_s: float = CHECK_S
    """Seconds for which a server's list of tools counts as current before a read. Default 60. Before an effect, and when the
    server says that the list has changed, it is read again."""
    trust_first: bool = True
    """Whether the tools that a server offers are accepted when it is used for the first time on the journal. Default True;
    False: a person accepts them, with `seawall mcp pin`."""


class McpTools(Sequence[Tool]):
    """The tools of MCP servers, for `Agent(tools=…)`."""

    def __init__(self, tools: Sequence[Tool], pins: Sequence[Pin], advice: Sequence[str]) -> None:
        self._tools = tuple(tools)
        self.pins = tuple(pins)
        """The pin of every tool, also of those that were never accepted and are not offered."""
        self.advice = tuple(advice)
        """Texts on tools that a person should look at. They are in the log, too."""

    def __repr__(self) -> str:
        waiting = sum(pin.state == "quarantined" for pin in self.pins)
        return f"<McpTools {len(self._tools)} tools, {waiting} quarantined>"

    def __len__(self) -> int:
        return len(self._tools)

    @overload
    def __getitem__(self, at: int) -> Tool: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Tool]: ...
    def __getitem__(self, at: int | slice) -> Tool | Sequence[Tool]:
        return self._tools[at]

    def select(self, *patterns: str) -> list[Tool]:
        """Returns the tools whose `SERVER.TOOL` matches one of the patterns. Raises `Misused` if none does."""
        by_name = {
            make_model_name(pin.server, pin.tool): join_name(pin.server, pin.tool) for pin in self.pins
        }
        found = [tool for tool in self._tools if matches_any(by_name[tool.name], patterns)]
        if not found:
            there = ", ".join(by_name[tool.name] for tool in self._tools) or "none"
            raise Misused(f"no MCP tool matches {', '.join(map(repr, patterns))} (there: {there})")
        return found


@asynccontextmanager
async def mcp_tools(
    servers: Servers, sea: Seawall, options: McpOptions | None = None, *, effects: Effects | None = None
) -> AsyncGenerator[McpTools]:
    """Connects to MCP servers, and yields their tools for agents: `bank__refund` is the tool `refund` of `bank`.

        async with Seawall("desk.db") as sea, mcp_tools("servers.json", sea, effects=["bank.*"]) as tools:
            desk = Agent("desk", model="openai:gpt-5.2", tools=tools)
            run = await sea.start(desk, "Refund order 1042.")

    `servers` is a file with `mcpServers`, or maps names to URLs, to commands as lists, to entries of `mcpServers`, or to
    server objects. The definition of each tool is pinned in the journal of `sea`. A tool whose definition changes is
    quarantined in every process on this journal, until a person accepts the change. `effects` is short for
    `McpOptions(effects=…)`.

    The connections are closed at the end; a server that dies before is reconnected. Raises `Misused` for servers and options
    that can't be read and without the extra `mcp`, and `McpBroken` if a server that was never used can't be reached.
    """
    options = options or McpOptions()
    if effects is not None:
        if options.effects:
            raise Misused("effects are given twice: as effects=, and in the options")
        options = replace(options, effects=effects)
    sources, clock = read_servers(servers), sea.supervisor.clock
    _check_patterns(options, [source.name for source in sources])
    async with AsyncExitStack() as stack:
        opened: list[PinnedServer] = []
        for source in sources:
            connection = McpConnection(source, connect_s=options.connect_s)
            server = PinnedServer(connection, sea, check_s=options.check_s, trust_first=options.trust_first)
            stack.push_async_callback(server.close)
            opened.append(server)
        pins = await asyncio.gather(*(server.open() for server in opened))
        offered = await _collect(opened, pins, options, clock)
        for line in offered.advice:
            _log.warning("%s", line)
        yield offered


def _check_patterns(options: McpOptions, servers: Sequence[str]) -> None:
    """Raises `Misused` for patterns that are not a list, and for a pattern that can't match any tool of these servers."""
    for what in ("effects", "reads", "polls", "not_done"):
        given: object = getattr(options, what)
        if isinstance(given, str) or not isinstance(given, Sequence | Mapping):
            raise Misused(f"{what} is {given!r}; it must be a list of patterns, such as ['bank.*']")
        for pattern in cast("Sequence[object]", given):
            check_pattern(what, pattern, servers)


async def _collect(
    servers: Sequence[PinnedServer], pins: Sequence[Mapping[str, Pin]], options: McpOptions, clock: Clock
) -> McpTools:
    tools: list[Tool] = []
    advice = find_look_alikes({server.name: list(known) for server, known in zip(servers, pins, strict=True)})
    every = [pin for known in pins for pin in known.values()]
    for server, known in zip(servers, pins, strict=True):
        for pin in known.values():
            # preparing a schema may take a tenth of a second, so others get their turn
            await asyncio.sleep(0)
            name = show_plainly(join_name(pin.server, pin.tool))
            if pin.waiting:
                why = "; ".join(pin.reasons)
                advice.append(
                    f"{name} is quarantined ({why}): look at it with  seawall mcp diff {shlex.quote(name)}"
                )
            if not pin.digest:
                continue
            definition = ToolDefinition(pin.definition)
            try:
                tools.append(_make_tool(server, pin, definition, options, clock))
            except Misused as error:
                advice.append(f"{name} is not offered: {show_plainly(str(error))}")
                continue
            advice += [
                f"{name}: arguments are not checked against {show_plainly(pattern[:100])!r}: {why}"
                for pattern, why in definition.unchecked.items()
            ]
            if (told := _advise_on_effect(pin, options)) is not None:
                advice.append(told)
    names = [join_name(pin.server, pin.tool) for pin in every]
    for what, patterns in (("effects", options.effects), ("polls", options.polls)):
        advice += [advise_on_unused(what, each) for each in list_unused(patterns, names)]
    return McpTools(tools, every, advice)


def _advise_on_effect(pin: Pin, options: McpOptions) -> str | None:
    """Returns advice on a tool that counts as a read but may write; None if there is none."""
    name = show_plainly(join_name(pin.server, pin.tool))
    if ToolDeclarations(options.effects, options.reads, options.polls).find_kind(name) != "undeclared":
        return None
    definition = ToolDefinition(pin.definition)
    if seems_to_write(pin.tool):
        why = "its name says that it writes"
    elif definition.read_hint("readOnlyHint") is False or definition.read_hint("destructiveHint") is True:
        why = "its server says that it does not only read"
    else:
        return None
    return (
        f"{name} counts as a read, so it may be made again, and {why}: add {name!r} to effects=, or to reads="
    )


def _make_tool(
    server: PinnedServer, pin: Pin, definition: ToolDefinition, options: McpOptions, clock: Clock
) -> Tool:
    """Returns a tool that calls its server. Raises `Misused` for a schema that arguments can't be checked against."""
    name = join_name(pin.server, pin.tool)
    declared = ToolDeclarations(options.effects, options.reads, options.polls).find_tool(name)
    effect = declared.options if declared.declared else declared.effect
    failed = matches_any(name, options.not_done)

    async def call_read(*, seawall_context: ToolContext, **arguments: Any) -> str:
        try:
            return await server.call(
                pin.tool, arguments, digest=pin.digest, key=None, timeout_s=seawall_context.remaining_s
            )
        except (McpWithheld, McpToolError, McpDeclined) as error:
            raise ToolFailed(read_error_text(error)) from error

    async def call_effect(*, seawall_context: ToolContext, **arguments: Any) -> str:
        context = seawall_context

        def check_lease() -> None:
            if clock.wall_s() >= context.lease_until:
                raise McpWithheld("another process may have taken up the run meanwhile")

        try:
            return await server.call(
                pin.tool,
                arguments,
                digest=pin.digest,
                key=context.key,
                timeout_s=context.remaining_s,
                check_lease=check_lease,
            )
        except McpWithheld as error:
            raise NotDone(read_error_text(error)) from error
        except McpBroken as error:
            if error.fate == "unsent":
                raise NotDone(read_error_text(error)) from error
            raise
        except (McpToolError, McpDeclined) as error:
            if failed and not isinstance(error, McpUnreadable):
                raise NotDone(read_error_text(error)) from error
            raise

    return Tool(
        call_effect if effect else call_read,
        name=make_model_name(pin.server, pin.tool),
        description=definition.description,
        effect=effect,
        timeout_s=options.timeout_s,
        retries=0 if effect else options.retries,
        poll=declared.poll,
        version=pin.digest[:8],
        endpoint=f"mcp:{pin.server}",
        untrusted=True,
        schema=definition.schema,
    )
