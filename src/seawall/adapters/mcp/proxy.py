"""The proxy: one MCP server in front of other MCP servers. Each call to them passes the gate."""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from seawall.adapters.mcp.clients import CALL_FIELD, RUN_FIELD, ClientRun, ProxyClients, digest_call
from seawall.adapters.mcp.connection import CONNECT_S, McpBroken, McpConnection, McpDeclined, McpUnreadable
from seawall.adapters.mcp.content import read_result
from seawall.adapters.mcp.definitions import ToolDefinition
from seawall.adapters.mcp.names import find_look_alikes, join_name, make_model_name, matches_any
from seawall.adapters.mcp.peers import MAX_ID_CHARS, Peer, find_process
from seawall.adapters.mcp.pinned_server import CHECK_S, McpToolError, McpWithheld, PinnedServer
from seawall.adapters.mcp.pins import Pin
from seawall.adapters.mcp.servers import Servers, read_servers
from seawall.core.errors import Misused, SeawallError, describe_error
from seawall.core.odd_text import show_plainly
from seawall.core.threads import start_in_thread
from seawall.effects.verbs import seems_to_write
from seawall.runtime.foreign.asks import Halted, Held
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.results import make_tool_result
from seawall.runtime.seawall import Seawall
from seawall.team.json_schema import SchemaValidator
from seawall.team.tool import NotDone

if TYPE_CHECKING:
    from mcp.server import Server, ServerRequestContext
    from mcp_types import CallToolRequestParams, CallToolResult, InputRequiredResult, ListToolsResult

    from seawall.run.step import Result
    from seawall.runtime.foreign.asks import Turn
    from seawall.runtime.foreign.session import Performed

IDLE_S = 600.0
"""Seconds without a call after which a client's run ends. After ten minutes a client most likely has a new conversation."""
MAX_ARGUMENT_CHARS = 4 * 1024 * 1024
"""Characters of the arguments of one call, as JSON. It is more than a model can write in one reply, and is checked, redacted and
recorded in some seconds at most; meanwhile the calls of the other clients wait."""
UNTRUSTED_FIELD = "seawall/untrusted"
"""The field of a result's `_meta` which says that its content comes from outside and was not checked."""
_ALLOW = "allow"

_log = logging.getLogger("seawall.mcp")


@dataclass(frozen=True, kw_only=True)
class ProxyOptions:
    """How the proxy calls the servers behind it, and how it keeps the runs of its clients."""

    tenant: str = ""
    """The tenant whose account all calls are on. Default: none."""
    run: str | None = None
    """The request id for clients that name no run. With it, the client on stdin continues its run after a restart. Default:
    each start is a new run."""
    idle_s: float = IDLE_S
    """Seconds without a call after which a client's run ends. Default 600: after ten minutes a client most likely has a new
    conversation."""
    not_done: Sequence[str] = ()
    """Effects whose error results mean that nothing was done. See `McpOptions.not_done`."""
    timeout_s: float | None = 60.0
    """Seconds for one call of a server. Default 60, as in the protocol's own libraries."""
    connect_s: float = CONNECT_S
    """Seconds for a server to start and to complete the handshake. Default 30: some are downloaded when they are started."""
    check_s: float = CHECK_S
    """Seconds for which a server's list of tools counts as current before a read. Default 60."""
    trust_first: bool = True
    """Whether the tools that a server offers are accepted when it is used for the first time on the journal. Default True."""
    variables: Mapping[str, str] | None = field(default=None, repr=False)
    """The values of `${NAME}` in the servers' file, by name. Default: the environment of the process."""


class _OfferedTool(NamedTuple):
    """A tool that a client may call."""

    server: PinnedServer
    pin: Pin

    @property
    def name(self) -> str:
        """The tool's name in the record and for people: `bank.refund`."""
        return join_name(self.pin.server, self.pin.tool)


class McpProxy:
    """Calls the tools of MCP servers for clients, behind the gate of an `Engine`. It lives on the engine's event loop."""

    def __init__(
        self, engine: Engine, sea: Seawall, servers: Sequence[PinnedServer], options: ProxyOptions, nonce: str
    ) -> None:
        self._engine = engine
        self._sea = sea
        self._servers = tuple(servers)
        self._options = options
        self._clients = ProxyClients(
            engine,
            sea.supervisor.clock,
            tenant=options.tenant,
            run=options.run,
            idle_s=options.idle_s,
            nonce=nonce,
        )
        self._known: dict[str, _OfferedTool] = {}
        """The tools that were listed last, by the names that clients call them by."""
        self._validators: dict[str, SchemaValidator] = {}
        """By the digest of a definition. Only accepted definitions are offered, so there are at most as many validators."""
        self.advice: tuple[str, ...] = ()
        """Texts on tools that a person should look at."""
        self.tool_names: tuple[str, ...] = ()
        """The names of the tools that the servers offered when the proxy was opened, such as `bank.refund`."""
        self.unreached: tuple[str, ...] = ()
        """The servers that could not be reached then: what they offered before is offered, and looked at before the first call."""

    def __repr__(self) -> str:
        return f"<McpProxy of {len(self._servers)} servers, {self._clients!r}>"

    # ---- opening and closing

    async def open(self) -> None:
        """Compares the tools that the servers offer with the pins. Raises what `mcp_tools` raises."""
        pins = await asyncio.gather(*(server.open() for server in self._servers))
        names = {server.name: list(known) for server, known in zip(self._servers, pins, strict=True)}
        told = find_look_alikes(names)
        for pin in (pin for known in pins for pin in known.values()):
            name = show_plainly(join_name(pin.server, pin.tool))
            if pin.waiting:
                told.append(
                    f"{name} is quarantined ({'; '.join(pin.reasons)}): look at it with  seawall mcp diff {shlex.quote(name)}"
                )
            if self._engine.tools.find_kind(name) == "undeclared" and seems_to_write(pin.tool):
                told.append(
                    f"{name} counts as a read, and its name says that it writes: declare it with --effects or --reads"
                )
        self.advice = tuple(told)
        self.unreached = tuple(server.name for server in self._servers if not server.has_answered)
        self.tool_names = tuple(join_name(server, tool) for server, tools in names.items() for tool in tools)

    async def close(self) -> None:
        """Ends the runs of the clients, and the connections to the servers."""
        await self._clients.close()
        for server in self._servers:
            await server.close()

    def make_server(self) -> Server[Any]:
        """Returns the server that clients connect to."""
        from mcp.server import Server  # noqa: PLC0415 -- it comes with the extra

        from seawall import __version__  # noqa: PLC0415 -- at the top it would be a circular import

        return Server(
            "seawall", version=__version__, on_list_tools=self._list_tools, on_call_tool=self._answer
        )

    # ---- what is offered

    async def _list_offered(self) -> dict[str, _OfferedTool]:
        """Returns the tools that have an accepted definition, by the names that clients call them by."""
        offered: dict[str, _OfferedTool] = {}
        for server in self._servers:
            for pin in (await server.read_pins()).values():
                if pin.digest:
                    offered[make_model_name(pin.server, pin.tool)] = _OfferedTool(server, pin)
        self._known = offered
        return offered

    async def _find_offered(self, name: str) -> _OfferedTool | None:
        """Returns a tool with its present pin; None if it has no accepted definition."""
        known = self._known.get(name) or (await self._list_offered()).get(name)
        pin = None if known is None else await known.server.read_pin(known.pin.tool)
        return None if known is None or pin is None or not pin.digest else _OfferedTool(known.server, pin)

    async def _list_tools(self, context: ServerRequestContext[Any], params: object) -> ListToolsResult:
        from mcp_types import ListToolsResult, Tool, ToolAnnotations  # noqa: PLC0415 -- it comes with the extra

        tools: list[Tool] = []
        for name, place in (await self._list_offered()).items():
            definition = ToolDefinition(place.pin.definition)
            kind = self._engine.tools.find_kind(place.name)
            hints = None if kind == "undeclared" else ToolAnnotations(read_only_hint=kind == "read")
            tools.append(
                Tool(
                    name=name,
                    description=definition.description,
                    input_schema=definition.schema,
                    annotations=hints,
                )
            )
        return ListToolsResult(tools=tools)

    # ---- a call

    async def _answer(
        self, context: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        """Answers a call. Every error becomes an error result; a tool is never called past the gate."""
        try:
            place = await self._find_offered(params.name)
            if place is None:
                return _refuse(f"there is no tool {params.name!r} here")
            return await self._call(context, params, place)
        except Halted as error:
            return _refuse(
                f"{error}. This client's next run begins once it has been quiet for {self._options.idle_s:g} s."
            )
        except SeawallError as error:
            return _refuse(str(error))
        except Exception as error:  # noqa: BLE001 -- the client gets it, and the log has the traceback
            _log.exception("a call of %r failed", params.name)
            return _refuse(describe_error(error))

    async def _call(
        self, context: ServerRequestContext[Any], params: CallToolRequestParams, place: _OfferedTool
    ) -> CallToolResult | InputRequiredResult:
        arguments = dict(params.arguments or {})
        problem = _find_excess(place, arguments) or self._find_problem(place, arguments)
        if problem is not None:
            return _refuse(problem)
        meta = cast("Mapping[str, Any]", context.meta or {})
        peer = await self._find_peer(context, _read_id(meta, RUN_FIELD))
        run = self._clients.find(peer)
        effect = self._engine.tools.find_kind(place.name) == "effect"
        asked = _ProxyCall(peer.name, place, arguments, effect, _read_id(meta, CALL_FIELD))
        run.in_flight += 1
        try:
            return await self._make(run, asked)
        except Held as held:
            return await self._ask_user(context, params, run, asked, held)
        finally:
            run.in_flight -= 1

    async def _find_peer(self, context: ServerRequestContext[Any], run: str) -> Peer:
        params = context.session.client_params
        client = "" if params is None else params.client_info.name
        request: Any = context.request
        if request is None:
            return Peer("stdin", client, run or None)
        connection = str(request.headers.get("mcp-session-id") or "")
        process = ""
        if not connection and not run and request.client is not None and request.scope.get("server"):
            ports = request.client.port, int(request.scope["server"][1])
            known = self._clients.list_processes()
            process = await start_in_thread(lambda: find_process(*ports, known), "seawall-peer")
        return Peer(connection, client, run or None, process)

    def _find_problem(self, place: _OfferedTool, arguments: dict[str, Any]) -> str | None:
        """Returns why the arguments don't fit the tool's schema; None if they fit."""
        digest = place.pin.digest
        if digest not in self._validators:
            self._validators[digest] = SchemaValidator(
                f"tool {place.name!r}", ToolDefinition(place.pin.definition).schema
            )
        try:
            self._validators[digest].check(arguments)
        except ValueError as error:
            return f"{place.name}: {error}; nothing was called"
        return None

    async def _make(self, run: ClientRun, asked: _ProxyCall) -> CallToolResult:
        """Has the call made behind the gate, and returns the result for the client."""
        sent: list[str] = []

        async def perform(turn: Turn) -> tuple[Result, CallToolResult]:
            try:
                return await self._perform(asked, turn)
            except (McpBroken, McpDeclined, McpToolError, TimeoutError) as error:
                sent.append(describe_error(error) if isinstance(error, TimeoutError) else str(error))
                raise

        name = asked.place.name
        try:
            done = await run.call(
                asked.agent,
                name,
                asked.arguments,
                perform,
                version=asked.place.pin.digest,
                effect=asked.effect,
                call_id=asked.call_id,
            )
        except Held as held:
            digest = digest_call(name, asked.arguments)
            if sent:
                run.unknown[digest] = (
                    f"{name} was called, and what became of it is not known ({sent[0]}). It is not called again before a "
                    f"person has found that out: seawall reconcile {held.run}"
                )
            if digest not in run.unknown:
                raise
            return _refuse(run.unknown[digest])
        except (McpBroken, McpDeclined, McpToolError, TimeoutError):  # a read: it may be called again
            return _refuse(f"{name}: {sent[0]}")
        run.unknown.pop(digest_call(name, asked.arguments), None)
        return _make_answer(done, asked.place, run)

    async def _perform(self, asked: _ProxyCall, turn: Turn) -> tuple[Result, CallToolResult]:
        """Calls the server. Raises `NotDone` if it is certain that an effect was not done."""
        place, clock = asked.place, self._sea.supervisor.clock
        fails = matches_any(place.name, self._options.not_done)
        arguments = dict(turn.arguments)
        problem = self._find_problem(place, arguments)  # a person may have changed them
        if problem is not None:
            raise NotDone(problem)

        def check_lease() -> None:
            if turn.owned_until is not None and clock.wall_s() >= turn.owned_until:
                raise McpWithheld("another process may have taken up the run meanwhile")

        try:
            async with asyncio.timeout(self._options.timeout_s):
                result = await place.server.call_plainly(
                    place.pin.tool,
                    arguments,
                    digest=place.pin.digest,
                    key=turn.key if asked.effect else None,
                    timeout_s=None,
                    check_lease=check_lease,
                )
        except McpWithheld as error:
            raise NotDone(str(error)) from error
        except McpBroken as error:
            if error.fate == "unsent":
                raise NotDone(str(error)) from error
            raise
        except McpDeclined as error:
            if asked.effect and fails and not isinstance(error, McpUnreadable):
                raise NotDone(str(error)) from error
            raise
        text = read_result(result)
        if result.is_error and asked.effect:
            if fails:
                raise NotDone(text)
            raise McpToolError(text or "the server says that the call has failed, but not why")
        return make_tool_result(text, failed=bool(result.is_error)), result

    # ---- asking the client's user

    async def _ask_user(
        self,
        context: ServerRequestContext[Any],
        params: CallToolRequestParams,
        run: ClientRun,
        asked: _ProxyCall,
        held: Held,
    ) -> CallToolResult | InputRequiredResult:
        """Asks the user of the client to confirm a call, if they may confirm it and the client can ask. Otherwise returns an
        error result that says who must decide.

        The user may confirm only a tool that was declared with `confirm`. An approval must come from another person.
        """
        from mcp import MCPError  # noqa: PLC0415 -- it comes with the extra
        from mcp_types import (  # noqa: PLC0415 -- as above
            ClientCapabilities,
            ElicitationCapability,
            ElicitRequest,
            ElicitRequestFormParams,
            InputRequiredResult,
        )

        can_ask = context.session.check_client_capability(
            ClientCapabilities(elicitation=ElicitationCapability())
        )
        if not held.proposal or not can_ask:
            return _refuse(str(held))
        approval = await self._sea.approval(held.proposal)
        if approval.asks != "confirm" or approval.state != "open":
            return _refuse(str(held))
        message = _write_question(asked.place.name, approval.arguments_text, approval.flags)
        if context.session.can_send_request:
            try:
                answer = await context.session.elicit_form(
                    message, _FORM, related_request_id=context.request_id
                )
            except MCPError:  # it says that it can ask, and then can't
                return _refuse(str(held))
        else:
            answer = (params.input_responses or {}).get(_ALLOW)
            if answer is None or params.request_state != held.proposal or held.proposal not in run.proposals:
                run.proposals[held.proposal] = approval.hash
                request = ElicitRequest(
                    params=ElicitRequestFormParams(message=message, requested_schema=_FORM)
                )
                return InputRequiredResult(input_requests={_ALLOW: request}, request_state=held.proposal)
        hash_ = run.proposals.pop(held.proposal, approval.hash)
        return await self._decide(run, asked, held, hash_, _read_answer(answer))

    async def _decide(
        self,
        run: ClientRun,
        asked: _ProxyCall,
        held: Held,
        hash_: str,
        allowed: Literal["yes", "no", "later"],
    ) -> CallToolResult:
        if allowed == "later":
            return _refuse(str(held))
        if allowed == "yes":
            await self._sea.approve(held.proposal, hash=hash_, credential=run.user)
        else:
            await self._sea.reject(held.proposal, hash=hash_, credential=run.user, reason="the user said no")
        return await self._make(run, asked)


class _ProxyCall(NamedTuple):
    """A call that a client has asked for."""

    agent: str
    place: _OfferedTool
    arguments: dict[str, Any]
    effect: bool
    call_id: str


_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {_ALLOW: {"type": "boolean", "title": "Let it be done"}},
    "required": [_ALLOW],
}


def _read_id(meta: Mapping[str, Any], field: str) -> str:
    """Returns the name that a client gives to its run or its call; "" if it gives none. Raises `Misused` for a value that is
    not a text, or is too long.
    """
    given = meta.get(field)
    if given is None or given == "":
        return ""
    if not isinstance(given, str) or len(given) > MAX_ID_CHARS:
        raise Misused(f"{field} must be a text of at most {MAX_ID_CHARS} characters")
    return given


def _find_excess(place: _OfferedTool, arguments: dict[str, Any]) -> str | None:
    size = len(json.dumps(arguments, ensure_ascii=False))
    if size <= MAX_ARGUMENT_CHARS:
        return None
    return f"{place.name}: the arguments have {size:,} characters (limit {MAX_ARGUMENT_CHARS:,}); nothing was called"


def _refuse(text: str) -> CallToolResult:
    from mcp_types import CallToolResult, TextContent  # noqa: PLC0415 -- it comes with the extra

    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _make_answer(done: Performed, place: _OfferedTool, run: ClientRun) -> CallToolResult:
    """Returns the result for the client: the server's result or a guard's replacement, with the guards' advice."""
    from mcp_types import CallToolResult, TextContent  # noqa: PLC0415 -- it comes with the extra

    settled = done.settled
    meta = {
        UNTRUSTED_FIELD: True,
        "seawall/server": place.pin.server,
        RUN_FIELD: run.session.run,
        "seawall/step": settled.step,
        "seawall/replayed": settled.replayed,
    }
    if not settled.performed or done.value is None:
        return CallToolResult(
            content=[TextContent(text=settled.told)],
            is_error=settled.status not in ("ok", "replaced"),
            _meta=meta,
        )
    result = cast("CallToolResult", done.value)
    notes = [TextContent(text=note) for note in settled.notes]
    return CallToolResult(
        content=[*result.content, *notes],
        structured_content=result.structured_content,
        is_error=result.is_error,
        _meta={**(result.meta or {}), **meta},
    )


def _write_question(name: str, arguments: str, flags: Sequence[str]) -> str:
    """Returns the question for a user. All arguments come first, and invisible characters in them are shown."""
    lines = [f"Let {name} be done with these arguments?", show_plainly(arguments)]
    return "\n".join([*lines, *(f"Look: {show_plainly(flag)}" for flag in flags)])


def _read_answer(answer: object) -> Literal["yes", "no", "later"]:
    action = getattr(answer, "action", None)
    content: object = getattr(answer, "content", None)
    if action == "accept" and isinstance(content, Mapping):
        return "yes" if cast("Mapping[str, object]", content).get(_ALLOW) is True else "no"
    return "no" if action == "decline" else "later"


@asynccontextmanager
async def open_proxy(
    engine: Engine, sea: Seawall, servers: Servers, options: ProxyOptions, nonce: str
) -> AsyncGenerator[McpProxy]:
    """Opens a proxy on the engine's event loop. `nonce` makes call ids differ from those of other processes that continue the
    same run.
    """
    async with AsyncExitStack() as stack:
        opened: list[PinnedServer] = []
        for source in read_servers(servers, options.variables):
            connection = McpConnection(source, connect_s=options.connect_s)
            opened.append(
                PinnedServer(connection, sea, check_s=options.check_s, trust_first=options.trust_first)
            )
        proxy = McpProxy(engine, sea, opened, options, nonce)
        stack.push_async_callback(proxy.close)
        await proxy.open()
        yield proxy
