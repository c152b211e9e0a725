"""Faults between a model and its client: answers that the handler of a `ModelServer` may return.

A fault that holds a `reply` spoils that reply on its way. The F-numbers are those of Seawall's list of faults.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal, assert_never

import msgspec

from seawall.models.protocol import Assistant, ModelReply
from seawall.models.scripted import Reply
from seawall.testing import wire
from seawall.testing.wire import ChatRequest, Raw

Good = str | Reply | Assistant | ModelReply


class ErrorStatus(msgspec.Struct, frozen=True):
    """An error status in OpenAI's form."""

    status: int
    message: str = "scripted failure"
    kind: str = "server_error"
    code: str | None = None
    retry_after: str | None = None
    """The header `Retry-After`: seconds or an HTTP date."""


Status = ErrorStatus
"""The name that `ErrorStatus` had before; programs that use it go on."""


def rate_limited(retry_after: float | str | None = None) -> ErrorStatus:
    """Returns a 429 for too many requests (F16)."""
    header = None if retry_after is None else str(retry_after)
    return ErrorStatus(429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded", header)


def spend_limited() -> ErrorStatus:
    """Returns a 429 for money: waiting does not help (F17)."""
    text = "You exceeded your current quota, please check your plan and billing details."
    return ErrorStatus(429, text, "insufficient_quota", "insufficient_quota")


def overloaded(status: int = 529) -> ErrorStatus:
    """Returns a 5xx (F18)."""
    return ErrorStatus(status, "The server is overloaded.", "overloaded_error")


class Cut(msgspec.Struct, frozen=True):
    """The reply ends early (F19). `after` is the kind of event after which it ends, such as the middle of a call.

    `how`: `end` closes the body as if it were complete, `eof` closes the connection, `reset` resets it. A reply
    that is not streamed ends in the middle of its bytes, and `end` then sends half a JSON object.
    """

    reply: Good
    after: Literal["role", "text", "call", "arguments", "finish"] = "arguments"
    how: Literal["end", "eof", "reset"] = "end"
    done: bool = False
    """Whether the server sends `[DONE]` after the cut, as some gateways do."""


class ErrorEvent(msgspec.Struct, frozen=True):
    """A stream with the status 200 that reports an error after its first event (F20)."""

    message: str = "The server had an error while processing your request."
    kind: str = "server_error"
    code: str | None = None


class Malformed(msgspec.Struct, frozen=True):
    """Text that is not JSON, in place of JSON (F21)."""

    text: str = '{"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": "half'


class HugeLine(msgspec.Struct, frozen=True):
    """One line of `size_bytes` bytes (F21)."""

    size_bytes: int = 100_000_000


class Split(msgspec.Struct, frozen=True):
    """A correct reply in pieces of `size_bytes` bytes, which may split a character (F21)."""

    reply: Good
    size_bytes: int = 1


class SlowTokens(msgspec.Struct, frozen=True):
    """A correct reply with `each_s` seconds before each event, or once before a reply that is not streamed."""

    reply: Good
    each_s: float = 1.0


class KeepAlives(msgspec.Struct, frozen=True):
    """Endless comments, or white space if the reply is not streamed (F21)."""

    each_s: float = 1.0
    line: str | None = None
    """The line that is sent instead of a comment, for example the `ping` event of another protocol."""


class Silence(msgspec.Struct, frozen=True):
    """No answer until the client disconnects (F22)."""

    after_head: bool = False
    """Whether the server sends the status line and headers first."""


class Reset(msgspec.Struct, frozen=True):
    """The connection is reset before any answer."""


Fault = (
    ErrorStatus | Cut | ErrorEvent | Malformed | HugeLine | Split | SlowTokens | KeepAlives | Silence | Reset
)
Answer = Good | Fault | Raw


def make_raw(request: ChatRequest, given: Answer) -> Raw:  # noqa: C901  # one branch for each kind of answer
    """Returns a handler's answer as bytes."""
    if isinstance(given, Raw):
        return given
    if isinstance(given, (str, Reply, Assistant, ModelReply)):
        return wire.answer_reply(request, wire.complete_reply(given, request.number))
    if isinstance(given, ErrorStatus):
        headers = None if given.retry_after is None else {"retry-after": given.retry_after}
        return wire.answer_error(
            given.status, given.message, kind=given.kind, code=given.code, headers=headers
        )
    if isinstance(given, Cut):
        return _cut_off(request, given)
    if isinstance(given, ErrorEvent):
        failed = {"error": {"message": given.message, "type": given.kind, "param": None, "code": given.code}}
        if not request.stream:
            return wire.answer_json(200, failed)
        first = wire.build_events(request, wire.complete_reply("…", request.number))[0][1]
        return wire.answer_stream(first, b"data: " + msgspec.json.encode(failed) + b"\n\n")
    if isinstance(given, Malformed):
        text = given.text.encode()
        if request.stream:
            return wire.answer_stream(b"data: " + text + b"\n\n", b"data: [DONE]\n\n")
        return Raw(headers={"content-type": "application/json"}, parts=(text,), content_length=len(text))
    if isinstance(given, HugeLine):
        return _make_huge_line(request, given)
    if isinstance(given, Split):
        good = wire.answer_reply(request, wire.complete_reply(given.reply, request.number))
        data = b"".join(part for part in good.parts if isinstance(part, bytes))
        size = given.size_bytes
        pieces = tuple(data[start : start + size] for start in range(0, len(data), size))
        return msgspec.structs.replace(good, parts=pieces)
    if isinstance(given, SlowTokens):
        return _slow_down(request, given)
    if isinstance(given, KeepAlives):
        return _send_keep_alives(request, given)
    if isinstance(given, Silence):
        return Raw(status=200 if given.after_head else None, ending="hang")
    if isinstance(given, Reset):  # pyright: ignore[reportUnnecessaryIsInstance]  # closed by assert_never below
        return Raw(status=None, ending="reset")
    assert_never(given)


def _cut_off(request: ChatRequest, given: Cut) -> Raw:
    reply = wire.complete_reply(given.reply, request.number)
    if not request.stream:
        body = msgspec.json.encode(wire.build_completion(request, reply))
        half = body[: len(body) // 2]
        length = len(half) if given.how == "end" else len(body)
        json = {"content-type": "application/json"}
        return Raw(headers=json, parts=(half,), content_length=length, ending=given.how)
    kept: list[bytes | float] = []
    for what, data in wire.build_events(request, reply):
        kept.append(data)
        if what == given.after:
            break
    if given.done:
        kept.append(b"data: [DONE]\n\n")
    return wire.answer_stream(*kept, ending=given.how)


def _make_huge_line(request: ChatRequest, given: HugeLine) -> Raw:
    block = b"x" * 65_536

    def generate() -> Iterator[bytes]:
        yield b'data: {"x": "' if request.stream else b'{"x": "'
        for _ in range(given.size_bytes // len(block)):
            yield block
        yield b'"}\n\n'

    return (
        wire.answer_endless(generate())
        if request.stream
        else Raw(parts=generate(), headers={"content-type": "application/json"})
    )


def _slow_down(request: ChatRequest, given: SlowTokens) -> Raw:
    reply = wire.complete_reply(given.reply, request.number)
    if not request.stream:
        good = wire.answer_json(200, wire.build_completion(request, reply))
        return msgspec.structs.replace(good, parts=(given.each_s, *good.parts))
    parts: list[bytes | float] = []
    for _, data in wire.build_events(request, reply):
        parts += [given.each_s, data]
    return wire.answer_stream(*parts)


def _send_keep_alives(request: ChatRequest, given: KeepAlives) -> Raw:
    if not request.stream:
        beat = (given.line or " ").encode()
        return Raw(headers={"content-type": "application/json"}, parts=itertools.cycle((beat, given.each_s)))
    beat = f"{given.line}\n\n".encode() if given.line else b": keep-alive\n\n"
    return wire.answer_endless(itertools.cycle((beat, given.each_s)))
