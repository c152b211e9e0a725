"""Bounds the messages of servers in size and number, and does not check results against the server's own schemas.

The libraries of the protocol read a line of any length, and check each result against the schema that the server gives for it,
whose patterns and references may take years to check. Here a server is not trusted with either.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, TextIO, cast

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from fastmcp.client.transports import ClientTransport
from fastmcp.client.transports.base import TransportOptions, VersionAwareClientSession
from mcp import ClientSession
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import (
    PARSE_ERROR,
    CallToolResult,
    ErrorData,
    JSONRPCError,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)

from seawall.adapters.mcp.addresses import MAX_MESSAGE_BYTES

MAX_UNASKED = 10_000
"""Messages of a server between two answers: notes on its progress, and requests of its own. A call that takes an hour has a few
thousand."""
STOP_S = 2.0
"""Seconds for a server to end after its stdin is closed, and again after it is told to end."""

_log = logging.getLogger("seawall.mcp")

_Message = SessionMessage | Exception


class _BoundedStream:
    """Messages of a server. It ends the stream after `MAX_UNASKED` messages without an answer among them."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._unasked = 0

    @property
    def last_context(self) -> Any:
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> _Message:
        item = cast("_Message", await self._inner.receive())
        if isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCResponse | JSONRPCError):
            self._unasked = 0
            return item
        self._unasked += 1
        if self._unasked > MAX_UNASKED:
            _log.warning("an MCP server sent more than %d messages without an answer among them", MAX_UNASKED)
            raise anyio.EndOfStream
        return item

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Message:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class BoundedSession(VersionAwareClientSession):
    """A session with a bounded number of messages, which does not check results against the server's schemas."""

    def __init__(self, read_stream: Any, write_stream: Any, **options: Any) -> None:
        super().__init__(_BoundedStream(read_stream), write_stream, **options)

    async def validate_tool_result(self, name: str, result: CallToolResult) -> None:
        """Checks nothing: both the schema and the result come from the server, so the check would prove nothing."""


class BoundedTransport(ClientTransport):
    """A transport of the library whose sessions are bounded."""

    def __init__(self, inner: ClientTransport) -> None:
        self._inner = inner

    def __repr__(self) -> str:
        return f"<BoundedTransport {self._inner!r}>"

    @contextlib.asynccontextmanager
    async def connect_session(
        self, *, transport_options: TransportOptions | None = None, **session_kwargs: Any
    ) -> AsyncGenerator[ClientSession]:
        """Yields a session that is bounded."""
        options = replace(transport_options or TransportOptions(), session_class=BoundedSession)
        async with self._inner.connect_session(transport_options=options, **session_kwargs) as session:
            yield session

    def get_session_id(self) -> str | None:
        """Returns the id that the server gave the session."""
        return self._inner.get_session_id()

    async def close(self) -> None:
        """Closes the transport."""
        await self._inner.close()


class StdioServer(ClientTransport):
    """A server that is started as a process. Its messages are read line by line."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], directory: str | None, log: TextIO
    ) -> None:
        self._command = tuple(command)
        self._environment = dict(environment)
        self._directory = directory
        self._log = log

    def __repr__(self) -> str:
        return f"<StdioServer {self._command[0]}>"

    @contextlib.asynccontextmanager
    async def connect_session(
        self, *, transport_options: TransportOptions | None = None, **session_kwargs: Any
    ) -> AsyncGenerator[ClientSession]:
        """Yields a session with the server. The server's process ends with the session."""
        process = await anyio.open_process(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**get_default_environment(), **self._environment},
            cwd=self._directory,
            start_new_session=True,
        )
        incoming, received = anyio.create_memory_object_stream[_Message](0)
        sent, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_read, process, incoming)
                group.start_soon(_write, process, outgoing, incoming)
                try:
                    async with BoundedSession(received, sent, **session_kwargs) as session:
                        yield session
                finally:
                    group.cancel_scope.cancel()
        finally:
            for stream in (incoming, received, sent, outgoing):
                stream.close()
            with anyio.CancelScope(shield=True):
                await _stop(process)


async def _read(process: Process, incoming: MemoryObjectSendStream[_Message]) -> None:
    """Passes on a server's messages, until it ends or writes a line that is too long."""
    assert process.stdout is not None
    with incoming:
        try:
            async for line in _read_lines(process.stdout):
                await incoming.send(_read_message(line))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the session is over


def _read_message(line: bytes) -> _Message:
    """Returns the message of a line. If an answer can't be read, the call that waits for it gets an error."""
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        try:
            number = json.loads(line)["id"]
            failed = ErrorData(code=PARSE_ERROR, message="the server's answer can't be read")
            return SessionMessage(JSONRPCError(jsonrpc="2.0", id=number, error=failed))
        except (ValueError, TypeError, KeyError, RecursionError):
            return error


async def _read_lines(stream: ByteReceiveStream) -> AsyncIterator[bytes]:
    held = bytearray()
    async for chunk in stream:
        for number, part in enumerate(chunk.split(b"\n")):
            if number:
                yield bytes(held)
                held.clear()
            held += part
            if len(held) > MAX_MESSAGE_BYTES:
                _log.warning("an MCP server sent a message of more than %d bytes", MAX_MESSAGE_BYTES)
                return


async def _write(
    process: Process,
    outgoing: MemoryObjectReceiveStream[SessionMessage],
    incoming: MemoryObjectSendStream[_Message],
) -> None:
    """Sends the session's messages to a server. If the server can't be written to, the session ends."""
    assert process.stdin is not None
    try:
        async for item in outgoing:
            text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            await process.stdin.send(text.encode("utf-8", "backslashreplace") + b"\n")
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        incoming.close()


async def _stop(process: Process) -> None:
    """Ends a server: closes its stdin, then tells it to end, then kills it with all processes that it has started."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if await _has_ended(process):
            break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)  # the server was started as the leader of its group
    with anyio.move_on_after(STOP_S):
        await process.aclose()


async def _has_ended(process: Process) -> bool:
    """Returns whether a server ends within `STOP_S`. It reads the server's output, because a full pipe would keep it running."""
    assert process.stdout is not None
    with anyio.move_on_after(STOP_S):
        with contextlib.suppress(
            anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError, OSError
        ):
            while True:
                await process.stdout.receive()
        await process.wait()
    return process.returncode is not None
