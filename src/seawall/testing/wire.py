"""OpenAI's chat-completions protocol, on the server's side: pure functions over bytes and structs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from seawall.models.protocol import Assistant, Finish, ModelReply, ToolCall, Usage
from seawall.models.scripted import Reply

CONVERSATION_HEADER = "x-seawall-conversation"
"""The header that names the conversation of a request; see `ChatRequest.conversation`."""

ConnectionEnd = Literal[
    "end",  # the body ends as HTTP says, and the connection stays usable
    "eof",  # the server closes the connection, even if it announced a longer body
    "reset",  # the server resets the connection (RST)
    "hang",  # the server sends nothing more until the client disconnects
]


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the server received it. `body` is the decoded JSON, whatever the path."""

    number: int
    """The request's number, from 1, over all connections of the server."""
    path: str
    headers: dict[str, str]
    """The headers; names are in lower case."""
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The whole message list, as the client sent it."""
        return self.body.get("messages") or []

    @property
    def model(self) -> str:
        """The model that the request names."""
        return str(self.body.get("model", ""))

    @property
    def stream(self) -> bool:
        """Whether the request asks for a streamed reply."""
        return self.body.get("stream") is True

    @property
    def conversation(self) -> str | None:
        """The header `x-seawall-conversation`, else the field `user`, else `metadata.conversation`."""
        key = self.headers.get(CONVERSATION_HEADER) or self.body.get("user")
        if key is None and isinstance(metadata := self.body.get("metadata"), dict):
            key = cast("dict[str, Any]", metadata).get("conversation")
        return None if key is None else str(key)


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as bytes. The server converts every other answer to one of these.

    `parts` are bytes to send, and floats: seconds to wait on the server's clock. There may be endlessly many.
    """

    status: int | None = 200
    """The status; None: the server does not even send a status line."""
    headers: Mapping[str, str] = {}
    parts: Iterable[bytes | float] = ()
    ending: ConnectionEnd = "end"
    content_length: int | None = None
    """Bytes that the header announces; None: chunked transfer encoding."""


_encoder = msgspec.json.Encoder()
_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream", "cache-control": "no-cache"}
_DONE = b"data: [DONE]\n\n"


def answer_json(status: int, value: object, headers: Mapping[str, str] | None = None) -> Raw:
    """Returns an answer with one JSON body."""
    body = _encoder.encode(value)
    return Raw(status=status, headers={**_JSON, **(headers or {})}, parts=(body,), content_length=len(body))


def answer_error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Raw:
    """Returns an error in OpenAI's form."""
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return answer_json(status, body, headers)


def complete_reply(given: str | Reply | Assistant | ModelReply, number: int) -> ModelReply:
    """Returns a complete reply for a handler's answer; a call without an id gets one that is made from `number`."""
    if isinstance(given, ModelReply):
        return given
    if isinstance(given, str):
        given = Reply(given)
    made = tuple(
        one if one.id else ToolCall(f"call_{number}_{place}", one.name, one.arguments)
        for place, one in enumerate(given.calls, start=1)
    )
    finish: Finish = "tool_calls" if made else "stop"
    usage = Usage(number, 1)
    if isinstance(given, Reply):
        finish, usage = given.finish or finish, given.usage or usage
    return ModelReply(message=Assistant(given.content, made), usage=usage, finish=finish)


def _write_call(one: ToolCall) -> dict[str, Any]:
    return {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}


def _write_usage(usage: Usage) -> dict[str, Any]:
    written: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.cache_read_tokens:
        written["prompt_tokens_details"] = {"cached_tokens": usage.cache_read_tokens}
    return written


def build_completion(request: ChatRequest, reply: ModelReply) -> dict[str, Any]:
    """Returns a `chat.completion` object."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.message.content}
    if reply.message.calls:
        message["tool_calls"] = [_write_call(one) for one in reply.message.calls]
    return {
        "id": f"chatcmpl-{request.number}",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
        "usage": _write_usage(reply.usage),
    }


def _halve(text: str) -> list[str]:
    middle = (len(text) + 1) // 2
    return [half for half in (text[:middle], text[middle:]) if half]


def build_events(request: ChatRequest, reply: ModelReply) -> list[tuple[str, bytes]]:
    """Returns the stream's events, each with its kind: `role`, `text`, `call`, `arguments`, `finish`, `usage`, `done`."""
    base: dict[str, Any] = {
        "id": f"chatcmpl-{request.number}",
        "object": "chat.completion.chunk",
        "created": 1_767_225_600,
        "model": request.model,
    }
    made: list[tuple[str, bytes]] = []

    def add(what: str, delta: dict[str, Any], finish: str | None = None) -> None:
        chunk = {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        made.append((what, b"data: " + _encoder.encode(chunk) + b"\n\n"))

    add("role", {"role": "assistant", "content": ""})
    for piece in _halve(reply.message.content or ""):
        add("text", {"content": piece})
    for place, one in enumerate(reply.message.calls):
        begun = {"index": place, **_write_call(one)}
        add("call", {"tool_calls": [{**begun, "function": {"name": one.name, "arguments": ""}}]})
        for piece in _halve(one.arguments):
            add("arguments", {"tool_calls": [{"index": place, "function": {"arguments": piece}}]})
    add("finish", {}, reply.finish)
    options = request.body.get("stream_options")
    if isinstance(options, dict) and cast("dict[str, Any]", options).get("include_usage"):
        chunk: dict[str, Any] = {**base, "choices": [], "usage": _write_usage(reply.usage)}
        made.append(("usage", b"data: " + _encoder.encode(chunk) + b"\n\n"))
    made.append(("done", _DONE))
    return made


def answer_reply(request: ChatRequest, reply: ModelReply) -> Raw:
    """Returns a correct answer, streamed if the request asks for that."""
    if not request.stream:
        return answer_json(200, build_completion(request, reply))
    return answer_stream(b"".join(data for _, data in build_events(request, reply)))


def answer_stream(*parts: bytes | float, ending: ConnectionEnd = "end") -> Raw:
    """Returns an event stream of these parts."""
    return Raw(headers=_SSE, parts=parts, ending=ending)


def answer_endless(parts: Iterable[bytes | float]) -> Raw:
    """Returns an event stream that may never end."""
    return Raw(headers=_SSE, parts=parts)


def make_comparable(message: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a message in the form in which messages are compared.

    An absent field and null are equal, and a tool's name beside its call id is left out. Content that is a list of
    text parts becomes their text. Every other field stays, and must be equal.
    """
    made: dict[str, Any] = {key: value for key, value in message.items() if value is not None}
    if made.get("role") == "tool":
        made.pop("name", None)
    content = made.get("content")
    if isinstance(content, list):
        items = cast("Sequence[Mapping[str, Any]]", content)
        if all(item.get("type") == "text" for item in items):
            made["content"] = "".join(str(item["text"]) for item in items)
    if not made.get("tool_calls", True):
        del made["tool_calls"]
    return made


def make_all_comparable(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns messages in the form in which they are compared, each by `make_comparable`.

    What may be repaired on its way is equal: a call has its number in place of its id, so that another id is no
    difference as long as call and result agree, and a text without a letter is `[empty]`.
    """
    made: list[dict[str, Any]] = []
    waiting: list[tuple[object, str]] = []
    count = 0
    for message in messages:
        one = make_comparable(message)
        calls = cast("Sequence[Mapping[str, Any]]", one.get("tool_calls") or ())
        if calls:
            numbers = [f"call {count + place}" for place in range(1, len(calls) + 1)]
            count += len(calls)
            waiting = [(call.get("id"), number) for call, number in zip(calls, numbers, strict=True)]
            one["tool_calls"] = [{**call, "id": number} for call, number in zip(calls, numbers, strict=True)]
        content = one.get("content", "")
        if isinstance(content, str) and not content.strip():
            one.pop("content", None)
            if not calls:
                one["content"] = "[empty]"
        if one.get("role") == "tool":
            found = next((pair for pair in waiting if pair[0] == one.get("tool_call_id")), None)
            if found is not None:
                waiting.remove(found)
                one["tool_call_id"] = found[1]
        made.append(one)
    return made
