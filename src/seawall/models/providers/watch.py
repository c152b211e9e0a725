"""Bounds one model call on the wire, independently of the client library: its time, its idle time and its size.

The client gets the reply in the form that its protocol specifies (`normalizers/`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self, cast

import httpx2

from seawall.core.clock import Clock, Timer
from seawall.models.protocol import ModelFailed
from seawall.models.providers.normalizers import Normalizer
from seawall.models.providers.normalizers.events import DONE, EventReader, WireEvent, write_event
from seawall.models.providers.normalizers.protocol import NamedEvent
from seawall.models.providers.normalizers.values import Unreadable

_KEPT_BYTES = 65_536  # of a body that is not a stream, to read its error from
_HEAD_BYTES = 64  # of a line, to distinguish a keep-alive from data


@dataclass(frozen=True, kw_only=True)
class WireLimits:
    """Bounds on one reply. A request's own time limit (`timeout_s`) applies in addition."""

    total_s: float = 600.0
    """Seconds for a whole call if the request has no time limit; the providers' own clients allow as much."""
    idle_s: float = 60.0
    """Seconds without data once the reply has begun. Keep-alives (comments, blanks, `ping` events) are not data."""
    line_bytes: int = 8 * 1024 * 1024
    """Bytes in one line of a stream: many times the longest output that any model makes in one event."""
    reply_bytes: int = 16 * 1024 * 1024
    """Bytes of a reply that is not streamed."""
    stream_bytes: int = 256 * 1024 * 1024
    """Bytes of a whole stream: 128,000 tokens at 2 kB of JSON each."""


current: ContextVar[Watch | None] = ContextVar("seawall_model_call", default=None)
"""The watch of the call that the running task makes; the HTTP client's hook reads it here."""


class Watch:
    """One call's deadline, idle timer and byte counts. The call uses it as a context wherever it awaits.

    Inside `with watch:` an expired timer cancels the task, and the block raises `ModelFailed("timeout")`. Between two
    such blocks the stream's consumer is at work: an expired timer then raises in the next block, and idle time does
    not count.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        limits: WireLimits,
        timeout_s: float | None,
        *,
        normalizer: Normalizer,
        streaming: bool,
    ) -> None:
        self.name = name
        self.limits = limits
        self.normalizer = normalizer
        self.streaming = streaming
        """Whether a stream was asked for."""
        self.path = ""
        """The path of the request's URL."""
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        """The first bytes of a reply that is not streamed."""
        self.failed: ModelFailed | None = None
        """The failure for the limit that was broken; it replaces the error that the client library raised."""
        self._clock = clock
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._cancelled = False
        total_s = limits.total_s if timeout_s is None else timeout_s
        self._idle: Timer | None = None
        self._progress_s = 0.0
        text = f"model {name!r} did not finish its reply in {total_s:g}s"
        self._total = clock.call_later(total_s, lambda: self._expire(text))

    def __enter__(self) -> Self:
        if self.failed is not None:
            raise self.failed
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._progress_s = self._clock.monotonic_s()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task, self._task = self._task, None
        if not self._cancelled or task is None:
            return
        self._cancelled = False
        others = task.uncancel() > self._cancelling
        if self.failed is not None and kind is not None and not (others and kind is asyncio.CancelledError):
            raise self.failed from None

    def close(self) -> None:
        """Stops the timers."""
        self._total.cancel()
        if self._idle is not None:
            self._idle.cancel()

    def _expire(self, text: str) -> None:
        if self.failed is None:
            self.failed = ModelFailed("timeout", text)
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def begin_reply(self, response: httpx2.Response) -> None:
        """Records that the reply has begun, and starts the idle timer."""
        self.status = response.status_code
        self.path = response.request.url.path
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.body = b""
        self._progress_s = self._clock.monotonic_s()
        if self._idle is None:
            self._idle = self._clock.call_later(self.limits.idle_s, self._check_idle)

    def note_data(self) -> None:
        """Restarts the idle time: data arrived."""
        self._progress_s = self._clock.monotonic_s()

    def _check_idle(self) -> None:
        silent_s = self._clock.monotonic_s() - self._progress_s
        left_s = self.limits.idle_s - silent_s
        if self._task is None:
            left_s = self.limits.idle_s  # the consumer is at work, and its time is not counted as idle time
        if left_s > 1e-6:
            self._idle = self._clock.call_later(left_s, self._check_idle)
        else:
            self._expire(
                f"model {self.name!r} sent no data for {silent_s:g}s (limit {self.limits.idle_s:g}s)"
            )

    def break_off(self, what: str) -> ModelFailed:
        """Records and returns the failure of a reply that broke a limit on its form."""
        self.failed = ModelFailed("malformed", f"model {self.name!r} {what}")
        return self.failed


async def watch_response(response: httpx2.Response) -> None:
    """Counts the bytes of a response for the call that the running task makes; the HTTP client calls it as a hook."""
    watch = current.get()
    if watch is None:
        return
    watch.begin_reply(response)
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise watch.break_off(f"compressed its reply ({encoding!r}), which the request forbids")
    kind = response.headers.get("content-type", "")
    if kind.startswith("text/html") and response.status_code < 300:
        raise watch.break_off(f"sent a web page (text/html) from {watch.path!r}: is the base URL right?")
    if isinstance(response.stream, httpx2.AsyncByteStream):
        if response.status_code >= 300:
            response.stream = _WholeBody(response.stream, watch, normalize=False)
        elif kind.startswith("text/event-stream") or (
            watch.streaming and not kind.startswith("application/json")
        ):
            response.stream = _EventStream(response.stream, watch)
        else:
            response.stream = _WholeBody(response.stream, watch, normalize=True)
            response.headers["content-type"] = "text/event-stream" if watch.streaming else "application/json"


class _WholeBody(httpx2.AsyncByteStream):
    """A reply that is not streamed, as one body. If a stream was asked for, the body is rewritten as a stream."""

    def __init__(self, inner: httpx2.AsyncByteStream, watch: Watch, *, normalize: bool) -> None:
        self._inner, self._watch, self._size = inner, watch, 0
        self._normalize = normalize

    async def __aiter__(self) -> AsyncIterator[bytes]:
        watch, limit = self._watch, self._watch.limits.reply_bytes
        parts: list[bytes] = []
        async for chunk in self._inner:
            self._size += len(chunk)
            if self._size > limit:
                raise watch.break_off(f"sent more than {limit} bytes in one reply")
            if len(watch.body) < _KEPT_BYTES:
                watch.body += chunk[: _KEPT_BYTES - len(watch.body)]
            if chunk.isspace():
                continue
            watch.note_data()
            parts.append(chunk)
        body = b"".join(parts)
        yield self._read(body) if self._normalize else body

    def _read(self, body: bytes) -> bytes:
        """Returns the body in its protocol's form; a body that is not a JSON object is returned unchanged."""
        watch = self._watch
        try:
            found = _decode(body)
            if watch.streaming:
                given = cast("list[object]", found) if isinstance(found, list) else [found]
                if not all(isinstance(one, dict) for one in given):
                    return body
                split = watch.normalizer.split_whole
                return b"".join(
                    write_event(*event) for one in given for event in split(cast("dict[str, Any]", one))
                )
            if not isinstance(found, dict):
                return body
            made = json.dumps(watch.normalizer.read_whole(cast("dict[str, Any]", found))).encode()
        except Unreadable as error:
            raise watch.break_off(str(error)) from None
        watch.body = made[:_KEPT_BYTES]
        return made

    async def aclose(self) -> None:
        await self._inner.aclose()


def _decode(data: bytes) -> object:
    """Returns the JSON value, also of text with a byte order mark; None if the data is not JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


class _EventStream(httpx2.AsyncByteStream):
    """A stream of server-sent events."""

    def __init__(self, inner: httpx2.AsyncByteStream, watch: Watch) -> None:
        self._inner, self._watch = inner, watch
        self._size = self._length = 0
        self._head = b""
        self._events = EventReader(watch.limits.line_bytes)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        watch, limits = self._watch, self._watch.limits
        async for chunk in self._inner:
            self._size += len(chunk)
            if self._size > limits.stream_bytes:
                raise watch.break_off(f"sent more than {limits.stream_bytes} bytes in one stream")
            if self._has_data(chunk):
                watch.note_data()
            if self._length > limits.line_bytes:
                raise watch.break_off(f"sent a line of more than {limits.line_bytes} bytes")
            if made := self._normalize(self._events.feed(chunk)):
                yield made
        if made := self._normalize(self._events.finish()) + _write_all(watch.normalizer.finish_stream()):
            yield made

    def _normalize(self, events: Iterator[WireEvent]) -> bytes:
        """Returns these events in their protocol's form; data that is not a JSON object is returned unchanged."""
        try:
            return b"".join(map(self._read, events))
        except (Unreadable, ValueError) as error:
            raise self._watch.break_off(str(error)) from None

    def _read(self, event: WireEvent) -> bytes:
        normalizer = self._watch.normalizer
        if event.data.strip() == DONE:
            return _write_all(normalizer.finish_stream()) + write_event(None, DONE)
        found = _decode(event.data)
        if not isinstance(found, dict):
            return write_event(*event)
        return _write_all(normalizer.read_event(event.name, cast("dict[str, Any]", found)))

    def _has_data(self, chunk: bytes) -> bool:
        """Follows the lines through `chunk`; returns whether any of them is more than a keep-alive."""
        found = False
        lines = chunk.replace(b"\r", b"\n").split(b"\n")
        for place, line in enumerate(lines):
            if place:
                self._head, self._length = b"", 0
            self._length += len(line)
            if len(self._head) < _HEAD_BYTES:
                self._head += line[: _HEAD_BYTES - len(self._head)]
            head = self._head
            if line and head.startswith(b"data:") and head[5:].replace(b" ", b"") != b'{"type":"ping"}':
                found = True
        return found

    async def aclose(self) -> None:
        await self._inner.aclose()


def _write_all(events: list[NamedEvent]) -> bytes:
    return b"".join(write_event(name, data) for name, data in events)
