"""The connection to one MCP server. It is opened when it is needed, opened again after it broke, and closed once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

from seawall.adapters.mcp.definitions import Redact, ToolDefinition, add_definitions
from seawall.adapters.mcp.servers import ServerSource
from seawall.adapters.versions import check_version
from seawall.core.errors import Broken, Misused, describe_error
from seawall.core.redact import Redactor
from seawall.core.threads import start_in_thread

if TYPE_CHECKING:
    from fastmcp import Client
    from fastmcp.client.transports import ClientTransport
    from mcp_types import CallToolResult

CONNECT_S = 30.0
"""Seconds for a server to start and to complete the handshake: some are compiled or downloaded when they are started."""
MAX_TOOLS = 500
"""Tools of one server. No model can choose well among more."""
MAX_PAGES = 50
"""Pages of a list of tools. With ten tools on each page, `MAX_TOOLS` fit."""

MAX_ERROR_CHARS = 2_000
"""Characters of a server's error message that are kept, in effects and logs."""

_log = logging.getLogger("seawall.mcp")

Fate = Literal["unsent", "unknown"]

_GONE = re.compile(
    r"connection closed|sse stream|timed out|202 accepted|session|not initialized", re.IGNORECASE
)
"""What the client library and the usual servers say of a session that has ended, and of a call without an answer."""


_LOGGERS_OF_URLS = ("httpx2", "mcp.client.streamable_http")
"""The loggers of libraries that name the URL of a server, in which a secret may stand."""


class McpBroken(Broken):
    """A server could not be reached, or went away. `fate` says whether a call may have reached it."""

    def __init__(self, message: str, *, fate: Fate) -> None:
        super().__init__(message)
        self.fate = fate


class McpDeclined(Exception):
    """A server answered a call with a protocol error, such as an unknown tool."""


class McpUnreadable(McpDeclined):
    """A server answered a call with something that can't be read, so that nothing is known of what it has done."""


class McpConnection:
    """One server, and the session with it. All calls come from one event loop."""

    def __init__(
        self, source: ServerSource, *, connect_s: float = CONNECT_S, log: TextIO | None = None
    ) -> None:
        """`log` gets the messages that a server process writes to stderr; without it they are dropped."""
        check_version("fastmcp", lowest="4.2.3", below="5.0", extra="mcp")
        self.source = source
        self.redactor = Redactor(source.list_secrets())
        """Removes what the server was given and may repeat."""
        self._hide = _HideSecrets(self.redactor)
        self._connect_s = connect_s
        self._log = log
        self._dropped: TextIO | None = None
        self._client: Client[Any] | None = None
        self._calls: dict[Client[Any], int] = {}
        """The calls that are under way in each session, also in those that take no further call."""
        self._left: set[Client[Any]] = set()
        """The sessions that take no further call, and end with their last one: it may be an effect."""
        self._lock = asyncio.Lock()
        self.stale = True
        """True if the server's tools may have changed since they were last read."""
        self.connects = 0
        """The number of sessions that were begun."""
        self._listed = 0
        """The newest session in which the tools were read. Calls are sent in no later one: its server may offer other tools."""

    def __repr__(self) -> str:
        state = "connected" if self._client is not None else "not connected"
        return f"<McpConnection {self.source.name} {state}, session {self.connects}>"

    async def list_tools(self, redact: Redact) -> list[ToolDefinition]:
        """Returns the tools that the server offers now, without secrets. Raises `McpBroken` if the server can't be asked.

        If the session has died meanwhile, a new one is begun, once: listing the tools can be repeated without harm.
        """
        old = self.connects if self._client is not None else None
        while True:
            try:
                return await self._list(redact)
            except (McpBroken, Misused):
                raise
            except Exception as error:
                if old == self.connects:
                    continue
                text = f"MCP server {self.source.name!r}: its tools can't be read: {self._describe(error)}"
                raise McpBroken(text, fate="unsent") from error

    async def _list(self, redact: Redact) -> list[ToolDefinition]:
        client = await self._get_client()
        session = self.connects
        self.stale = False  # a change that is announced meanwhile makes it stale again
        found: dict[str, ToolDefinition] = {}
        count, cursor = 0, None
        try:
            async with asyncio.timeout(self._connect_s):
                for _ in range(MAX_PAGES):
                    page = await client.list_tools_mcp(cursor=cursor)
                    count += len(page.tools)
                    if count > MAX_TOOLS:
                        text = f"MCP server {self.source.name!r} offers more than {MAX_TOOLS} tools"
                        raise McpBroken(text, fate="unsent")
                    tools = [
                        each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in page.tools
                    ]
                    add_definitions(found, tools, redact)
                    cursor = page.next_cursor
                    if not cursor:
                        self._listed = session
                        return list(found.values())
                text = f"MCP server {self.source.name!r}: its list of tools has more than {MAX_PAGES} pages"
                raise McpBroken(text, fate="unsent")
        except asyncio.CancelledError:  # by a client: others may have calls in this session
            self.stale = True
            raise
        except BaseException:
            await self._drop(client)
            raise

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        meta: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> CallToolResult:
        """Calls a tool. Raises `McpBroken` if the server went away, also since its tools were read, `McpDeclined` for a
        protocol error, and `McpUnreadable` for an answer that can't be read.
        """
        from mcp import MCPError  # noqa: PLC0415 -- it comes with the extra
        from mcp_types import INVALID_REQUEST, PARSE_ERROR  # noqa: PLC0415 -- as above

        client = await self._get_client()
        if self.connects != self._listed:
            text = f"MCP server {self.source.name!r} went away after its tools were read, so nothing was called: call again"
            raise McpBroken(text, fate="unsent")
        self._calls[client] = self._calls.get(client, 0) + 1
        try:
            return await client.call_tool_mcp(
                tool, dict(arguments), meta=None if meta is None else dict(meta), timeout=timeout_s
            )
        except MCPError as error:
            if not _is_gone(error.error.code, error.error.message):
                kind = McpUnreadable if error.error.code in (PARSE_ERROR, INVALID_REQUEST) else McpDeclined
                raise kind(f"{self._shorten(error.error.message)} (code {error.error.code})") from error
            raise await self._break(client, error) from error
        except Exception as error:
            # The server answered, but not with a valid result.
            if isinstance(error, RuntimeError | ValueError) and client.is_connected():
                raise McpUnreadable(self._describe(error)) from error
            raise await self._break(client, error) from error
        finally:
            await self._end_call(client)

    async def _end_call(self, client: Client[Any]) -> None:
        """Counts a call as over. A session that takes no further call ends with its last one."""
        self._calls[client] -= 1
        if not self._calls[client]:
            del self._calls[client]
            if client in self._left:
                await self._end(client)

    async def _break(self, client: Client[Any], error: Exception) -> McpBroken:
        await self._drop(client)
        return McpBroken(
            f"MCP server {self.source.name!r} went away during the call: {self._describe(error)}",
            fate="unknown",
        )

    async def _get_client(self) -> Client[Any]:
        """Returns a client whose session is alive. Begins a session if there is none."""
        async with self._lock:
            if self._client is not None and self._client.is_connected():
                return self._client
            if self._client is not None:
                await self._drop(self._client)
            # The import takes two seconds of CPU time, which would block the event loop.
            if "fastmcp.client" not in sys.modules:
                await start_in_thread(_import_fastmcp, "seawall-import")
            client = self._make_client()
            try:
                await client.__aenter__()
            except Exception as error:
                with contextlib.suppress(Exception):
                    await client.close()
                raise McpBroken(
                    f"MCP server {self.source.name!r} ({self.source.describe()}) can't be reached: "
                    f"{self._describe(error)}",
                    fate="unsent",
                ) from error
            self._client, self.stale = client, True
            self.connects += 1
            return client

    def _make_client(self) -> Client[Any]:
        from fastmcp import Client  # noqa: PLC0415 -- takes two seconds to import, and comes with the extra

        return Client(
            self._make_transport(),
            name=f"seawall-{self.source.name}",
            message_handler=self._handle_message,
            log_handler=_ignore,
            progress_handler=_ignore_progress,
            init_timeout=self._connect_s,
            cache=False,
        )

    def _make_transport(self) -> ClientTransport:
        from fastmcp.client.transports import StreamableHttpTransport, infer_transport  # noqa: PLC0415 -- as above

        from seawall.adapters.mcp.addresses import MAX_MESSAGE_BYTES, make_http_client  # noqa: PLC0415 -- as above
        from seawall.adapters.mcp.transports import BoundedTransport, StdioServer  # noqa: PLC0415 -- as above

        source = self.source
        match source.kind:
            case "stdio":
                return StdioServer(
                    source.command,
                    environment=source.environment,
                    directory=source.directory,
                    log=self._log or self._open_dropped(),
                )
            case "http":
                for name in _LOGGERS_OF_URLS:
                    logging.getLogger(name).addFilter(self._hide)
                transport = StreamableHttpTransport(
                    source.url,
                    headers=dict(source.headers),
                    httpx_client_factory=make_http_client(source.url),
                    max_sse_event_size=MAX_MESSAGE_BYTES,
                )
                return BoundedTransport(transport)
            case "memory":
                try:
                    return BoundedTransport(infer_transport(cast("Any", source.server)))
                except ValueError:
                    raise Misused(
                        f"MCP server {source.name!r} is {source.server!r}; it must be a URL, a command as a list, an entry "
                        "of mcpServers, or a server object"
                    ) from None

    def _open_dropped(self) -> TextIO:
        if self._dropped is None:
            self._dropped = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 -- closed with the connection
        return self._dropped

    async def _handle_message(self, message: object) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            self.stale = True

    async def _drop(self, client: Client[Any]) -> None:
        """Leaves a broken session, so that the next call begins another one. It ends once no call is under way in it."""
        if self._client is client:
            self._client, self.stale = None, True
        if client in self._calls:
            self._left.add(client)
        else:
            await self._end(client)

    async def _end(self, client: Client[Any]) -> None:
        self._left.discard(client)
        with contextlib.suppress(Exception):
            await client.close()

    def _describe(self, error: Exception) -> str:
        return self._shorten(describe_error(error))

    def _shorten(self, text: str) -> str:
        """Returns an error message of a server, or of a library that quotes it, without secrets and cut to `MAX_ERROR_CHARS`."""
        told = self.redactor.text(text[: 2 * MAX_ERROR_CHARS])  # a secret may stand where the text is cut
        return told if len(told) <= MAX_ERROR_CHARS else f"{told[:MAX_ERROR_CHARS]}…"

    async def close(self) -> None:
        """Ends the session, and the process of a server that was started for it."""
        async with self._lock:
            open_ones = [*self._left, *([] if self._client is None else [self._client])]
            self._client, self.stale = None, True
            for client in open_ones:
                await self._end(client)
        if self._dropped is not None:
            self._dropped.close()
            self._dropped = None
        for name in _LOGGERS_OF_URLS:
            logging.getLogger(name).removeFilter(self._hide)


class _HideSecrets(logging.Filter):
    """Removes secrets from what the libraries log of a connection, such as the URL of each request."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        told = record.getMessage()
        hidden = self._redactor.text(told)
        if hidden != told:
            record.msg, record.args = hidden, ()
        if record.exc_info:  # the message of an exception may name the URL, too
            traceback = logging.Formatter().formatException(record.exc_info)
            hidden = self._redactor.text(traceback)
            if hidden != traceback:
                record.exc_info, record.exc_text = None, hidden
        return True


def _import_fastmcp() -> None:
    """Imports FastMCP, and removes the log handler that it sets up for stderr: the program decides where logs go."""
    import_module("fastmcp.client")
    logger = logging.getLogger("fastmcp")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def _is_gone(code: int, message: str) -> bool:
    """Returns whether a protocol error says that the session has ended, or that no answer came.

    The codes alone do not say it: servers give them to errors of their own, too.
    """
    from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, INVALID_REQUEST, REQUEST_TIMEOUT  # noqa: PLC0415 -- comes with the extra

    if code in (CONNECTION_CLOSED, REQUEST_TIMEOUT, INVALID_REQUEST):
        return _GONE.search(message) is not None
    # The client library's own text for an HTTP status.
    return (code, message) == (INTERNAL_ERROR, "Server returned an error response")


async def _ignore(_: object) -> None:
    """Drops what a server logs."""


async def _ignore_progress(_: float, __: float | None, ___: str | None) -> None:
    """Drops a server's notes on its progress."""
