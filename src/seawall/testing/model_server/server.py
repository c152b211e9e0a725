"""The model server: listening, connections, and the log of requests."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Self, cast

import msgspec

from seawall.core.clock import Clock, SystemClock
from seawall.core.errors import Misused
from seawall.models.protocol import Assistant, ModelReply
from seawall.models.scripted import Reply
from seawall.testing import wire
from seawall.testing.faults import Answer, ErrorStatus, make_raw
from seawall.testing.wire import ChatRequest, Raw

try:
    import h11
except ImportError as missing:  # pragma: no cover  # an extra
    raise Misused("the model server needs h11: pip install 'path/to/seawall[modelserver]'") from missing

Handler = Callable[[ChatRequest], Answer | Awaitable[Answer]]

_CHAT = "/v1/chat/completions"
_SERVED = re.compile(
    r"/v1/(?:chat/completions|responses|messages)|/v1(?:beta|alpha)?/models/[^/]+:(?:generate|streamGenerate)Content"
)
_READ_BYTES = 65_536
_KEPT_LINES = 1000  # lines of the log: about 100 kB
_STOPPED_AFTER_S = 5.0  # real seconds in which cancelled connections have to close


class LoggedRequest(msgspec.Struct, frozen=True):
    """One request in the server's log."""

    number: int
    path: str
    model: str
    stream: bool
    messages: int
    status: int | None
    """The status; None: no status line was sent."""


class ModelServer:
    """Answers each request with what `handler` returns for it: text, calls, a `Fault`, or `Raw` bytes.

    It serves `POST /v1/chat/completions`, and for `Raw` answers and faults also the paths of the other protocols that
    Seawall speaks: `/v1/responses`, `/v1/messages` and `/v1beta/models/…:generateContent`. Every other path gets a
    404, as from a real server, and does not reach the handler; with `any_path` all of them do.

    `handler` is a function of the request, sync or async, or a list of answers in the order of arrival; after the
    end of the list each request gets a 503. The server binds to loopback only. Bounds: `max_connections` open
    connections (a further one gets a 503), `max_body_bytes` of a request (413), `idle_s` for a request to arrive
    (then the server closes the connection), `keep_requests` requests that are kept, and 1,000 log lines.
    """

    def __init__(
        self,
        handler: Handler | Sequence[Answer],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        max_connections: int = 2048,
        max_body_bytes: int = 16 * 1024 * 1024,
        idle_s: float = 300.0,
        keep_requests: int = 100,
        any_path: bool = False,
    ) -> None:
        if not _is_loopback(host):
            raise Misused(f"a model server binds to loopback only, not to {host!r}")
        self._handler: Handler = handler if callable(handler) else _in_order(handler)
        self._host, self._port = host, port
        self._any_path = any_path
        self._clock: Clock = clock or SystemClock()
        self._max_connections = max_connections
        self._max_body_bytes = max_body_bytes
        self._idle_s = idle_s
        self._requests: deque[ChatRequest] = deque(maxlen=keep_requests)
        self._log: deque[LoggedRequest] = deque(maxlen=_KEPT_LINES)
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.request_count = 0
        """Complete requests since the server was made."""
        self.shed_count = 0
        """Connections that were rejected because `max_connections` were open."""

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"{self.origin}/v1"

    @property
    def origin(self) -> str:
        """Scheme, host and port, for the clients of other protocols."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def requests(self) -> list[ChatRequest]:
        """The latest requests, oldest first."""
        return list(self._requests)

    @property
    def log(self) -> list[LoggedRequest]:
        """One line for each of the latest requests."""
        return list(self._log)

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        return len(self._open)

    async def start(self) -> None:
        """Binds and listens. Raises `Misused` if the port is in use."""
        if self._server is not None:
            raise Misused(f"the model server already listens at {self.base_url}")
        try:
            self._server = await asyncio.start_server(self._connected, self._host, self._port, backlog=1024)
        except OSError as error:
            raise Misused(f"can't listen at {self._host}:{self._port}: {error.strerror or error}") from error
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Closes the listener and every connection."""
        if self._server is None:
            return
        self._server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOPPED_AFTER_S)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        state = self.base_url if self._server else "stopped"
        return f"<ModelServer {state}, {self.request_count} requests, {len(self._open)} connections>"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        turned_away = len(self._open) >= self._max_connections
        self._open[task] = writer
        try:
            if turned_away:
                self.shed_count += 1
                writer.write(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n")
                writer.write(b"content-length: 0\r\n\r\n")
                await writer.drain()
            else:
                await _Connection(self, reader, writer).serve()
        except (ConnectionError, h11.ProtocolError, TimeoutError):
            pass  # the client disconnected, or does not speak HTTP: the server closes the connection
        except asyncio.CancelledError:
            pass  # stop() cancelled the task, and nothing awaits its result
        finally:
            self._open.pop(task, None)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Raw:
        """Returns the answer to one request, after counting and keeping the request."""
        self.request_count += 1
        number = self.request_count
        plain = path.partition("?")[0]
        if not self._any_path and (method != "POST" or not _SERVED.fullmatch(plain)):
            self._log.append(LoggedRequest(number, path, "", False, 0, 404))
            return wire.answer_error(404, f"no such path: {method} {plain}", code="not_found")
        try:
            decoded: Any = msgspec.json.decode(body) if body else {}
        except msgspec.DecodeError as error:
            decoded = error
        if not isinstance(decoded, dict):
            self._log.append(LoggedRequest(number, path, "", False, 0, 400))
            return wire.answer_error(400, f"the body is not a JSON object: {decoded}")
        request = ChatRequest(number=number, path=path, headers=headers, body=cast("dict[str, Any]", decoded))
        self._requests.append(request)
        try:
            given = self._handler(request)
            if isinstance(given, Awaitable):
                given = await given
            good = isinstance(given, (str, Reply, Assistant, ModelReply))
            if good and plain != _CHAT and not self._any_path:
                text = (
                    f"no such path: {plain}; text and calls are served at {_CHAT} only, and Raw answers here"
                )
                given = ErrorStatus(404, text, "invalid_request_error", "not_found")
            made = make_raw(request, given)
        except Exception as error:  # noqa: BLE001  # a handler's mistake must reach the test that made it
            made = wire.answer_error(
                500, f"the handler raised {type(error).__name__}: {error}", kind="handler_error"
            )
        self._log.append(
            LoggedRequest(number, path, request.model, request.stream, len(request.messages), made.status)
        )
        return made

    async def pause(self, delay_s: float, reader: asyncio.StreamReader) -> None:
        """Waits on the clock. Raises `ConnectionError` as soon as the client disconnects."""
        sleeping = asyncio.ensure_future(self._clock.sleep(delay_s))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({sleeping, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not sleeping.done():
                raise ConnectionError("the client went away")
        finally:
            sleeping.cancel()
            gone.cancel()

    @property
    def limits(self) -> tuple[Clock, float, int]:
        """Clock, `idle_s` and `max_body_bytes`, for a connection."""
        return self._clock, self._idle_s, self._max_body_bytes


class _Connection:
    """One connection. It answers each request before it reads the next one."""

    def __init__(
        self, server: ModelServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server, self._reader, self._writer = server, reader, writer
        self._clock, self._idle_s, self._max_body_bytes = server.limits
        self._http = h11.Connection(h11.SERVER)
        self._timed_out = False

    async def serve(self) -> None:
        """Answers requests until either side closes the connection."""
        while True:
            timer = self._clock.call_later(self._idle_s, self._expire)
            try:
                got = await self._read()
            finally:
                timer.cancel()
            if got is None or self._timed_out:
                return
            if isinstance(got, Raw):
                await self._send(got)
                return
            made = await self._server.answer(*got)
            if not await self._send(made) or self._http.our_state is not h11.DONE:
                return
            if self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    def _expire(self) -> None:
        self._timed_out = True
        self._writer.transport.abort()

    async def _read(self) -> tuple[str, str, dict[str, str], bytes] | Raw | None:
        """Returns the next request, or an answer if it is too large, or None if the client has finished."""
        http, parts, size = self._http, list[bytes](), 0
        method, path, headers = "", "", dict[str, str]()
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await self._reader.read(_READ_BYTES))
            elif isinstance(event, h11.Request):
                method = event.method.decode("ascii", "replace")
                path = event.target.decode("ascii", "replace")
                headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > self._max_body_bytes:
                    return wire.answer_error(413, f"the body is larger than {self._max_body_bytes} bytes")
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return method, path, headers, b"".join(parts)
            else:
                return None

    async def _send(self, made: Raw) -> bool:
        """Sends an answer; returns whether the connection can be used again."""
        writer, http = self._writer, self._http
        if made.status is not None:
            headers = list(made.headers.items())
            if made.content_length is None:
                headers.append(("transfer-encoding", "chunked"))
            else:
                headers.append(("content-length", str(made.content_length)))
            head = http.send(h11.Response(status_code=made.status, headers=headers, reason=b""))
            pending = head or b""
            for part in made.parts:
                if isinstance(part, bytes):
                    writer.write(pending + (http.send(h11.Data(data=part)) or b""))
                    pending = b""
                    await writer.drain()
                    await asyncio.sleep(0)
                else:
                    writer.write(pending)
                    pending = b""
                    await self._server.pause(part, self._reader)
            if made.ending == "end":
                writer.write(pending + (http.send(h11.EndOfMessage()) or b""))
            elif pending:
                writer.write(pending)
            await writer.drain()
        if made.ending == "hang":
            await self._reader.read(1)
        elif made.ending == "reset":
            _reset(writer)
        return made.ending == "end"


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:  # linger for 0 seconds: close sends RST
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_order(answers: Sequence[Answer]) -> Handler:
    rest: Iterator[Answer] = iter(tuple(answers))
    count = len(answers)

    def next_answer(request: ChatRequest) -> Answer:
        text = f"request {request.number}, and the server was given {count} answers"
        return next(rest, ErrorStatus(503, text))

    return next_answer
