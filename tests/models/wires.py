"""The replies of each provider's wire protocol, as bytes: one text and one call, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from seawall.testing.wire import Raw, answer_stream

Event = tuple[str | None, dict[str, Any]]
"""The `event:` line, if the protocol has one, and the data."""

ARGUMENTS = '{"order_id": "1042"}'


@dataclass(frozen=True)
class Wire:
    """One provider class, and the replies of its server."""

    model: str
    path: str
    """What the client adds to the server's origin to get its base URL."""
    whole: dict[str, Any]
    unfinished: dict[str, Any]
    """`whole` without its finish marker."""
    events: Sequence[Event]
    marker: int
    """Index of the first event that says that the reply is finished."""
    in_call: int
    """Index of an event in the middle of the call's arguments, or of the call if it comes in one piece."""
    error_event: Event
    arguments: str = ARGUMENTS
    tail: bytes = b""

    def __repr__(self) -> str:
        return self.model

    def reply(self, body: dict[str, Any]) -> Raw:
        data = json.dumps(body).encode()
        return Raw(headers={"content-type": "application/json"}, parts=(data,), content_length=len(data))

    def streamed(self, events: Sequence[Event], *, tail: bool = True) -> Raw:
        return answer_stream(*map(encoded, events), *([self.tail] if tail and self.tail else []))

    def answer(self, request_streams: bool) -> Raw:
        return self.streamed(self.events) if request_streams else self.reply(self.whole)


def encoded(event: Event) -> bytes:
    name, data = event
    lead = f"event: {name}\n" if name else ""
    return f"{lead}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def without(body: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(body))
    change(copied)
    return copied


def _chat() -> Wire:
    base = {"id": "c-1", "created": 1, "model": "m"}
    function = {"name": "find_order", "arguments": ARGUMENTS}
    call = {"id": "call_1", "type": "function", "function": function}
    message = {"role": "assistant", "content": "Let me look.", "tool_calls": [call]}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    whole = {
        **base,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": usage,
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return None, {**base, "object": "chat.completion.chunk", "choices": [choice]}

    def part(text: str) -> Event:
        return chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})

    begun = {"index": 0, **call, "function": {"name": "find_order", "arguments": ""}}
    events = [
        chunk({"role": "assistant", "content": "Let me"}),
        chunk({"content": " look."}),
        chunk({"tool_calls": [begun]}),
        part(ARGUMENTS[:9]),
        part(ARGUMENTS[9:]),
        chunk({}, "tool_calls"),
        (None, {**base, "object": "chat.completion.chunk", "choices": [], "usage": usage}),
    ]
    unfinished = without(whole, lambda body: body["choices"][0].update(finish_reason=None))
    failed = {"error": {"message": "broke", "type": "odd", "code": None, "param": None}}
    return Wire("openai:m", "/v1", whole, unfinished, events, 5, 3, (None, failed), tail=b"data: [DONE]\n\n")


RESPONSE_USAGE = {
    "input_tokens": 7,
    "output_tokens": 5,
    "total_tokens": 12,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}
RESPONSE: dict[str, Any] = {
    "id": "r-1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
"""What each reply of the responses protocol begins with."""


def _responses() -> Wire:
    text = {"type": "output_text", "text": "Let me look.", "annotations": []}
    said = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [text]}
    call = {
        "type": "function_call",
        "id": "f1",
        "call_id": "call_1",
        "name": "find_order",
        "arguments": ARGUMENTS,
        "status": "completed",
    }
    whole = {**RESPONSE, "status": "completed", "output": [said, call], "usage": RESPONSE_USAGE}
    begun = {**RESPONSE, "status": "in_progress", "output": []}
    at = {"item_id": "m1", "output_index": 0, "content_index": 0}
    in_call = {"item_id": "f1", "output_index": 1}
    raw: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": {**said, "content": []}}),
        ("response.content_part.added", {**at, "part": {**text, "text": ""}}),
        ("response.output_text.delta", {**at, "delta": "Let me look.", "logprobs": []}),
        ("response.output_text.done", {**at, "text": "Let me look.", "logprobs": []}),
        ("response.content_part.done", {**at, "part": text}),
        ("response.output_item.done", {"output_index": 0, "item": said}),
        ("response.output_item.added", {"output_index": 1, "item": {**call, "arguments": ""}}),
        ("response.function_call_arguments.delta", {**in_call, "delta": ARGUMENTS[:9]}),
        ("response.function_call_arguments.delta", {**in_call, "delta": ARGUMENTS[9:]}),
        ("response.function_call_arguments.done", {**in_call, "arguments": ARGUMENTS}),
        ("response.output_item.done", {"output_index": 1, "item": call}),
        ("response.completed", {"response": whole}),
    ]
    events: list[Event] = [
        (name, {"type": name, "sequence_number": number, **data}) for number, (name, data) in enumerate(raw)
    ]
    unfinished = {**whole, "status": "in_progress"}
    failed = {"type": "error", "code": "odd", "message": "broke", "param": None, "sequence_number": 3}
    return Wire("openai-responses:m", "/v1", whole, unfinished, events, 12, 8, ("error", failed))


def _anthropic() -> Wire:
    text = {"type": "text", "text": "Let me look."}
    call = {"type": "tool_use", "id": "call_1", "name": "find_order", "input": {"order_id": "1042"}}
    base: dict[str, Any] = {"id": "m-1", "type": "message", "role": "assistant", "model": "m"}
    usage = {"input_tokens": 7, "output_tokens": 5}
    whole = {
        **base,
        "content": [text, call],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": usage,
    }
    begun = {**base, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    raw: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Let me look."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {**call, "input": {}}},
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": ARGUMENTS[:9]},
        },
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": ARGUMENTS[9:]},
        },
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    events: list[Event] = [(data["type"], data) for data in raw]
    unfinished = {**whole, "stop_reason": None}
    failed = {"type": "error", "error": {"type": "odd_error", "message": "broke"}}
    return Wire("anthropic:m", "", whole, unfinished, events, 9, 6, ("error", failed))


def _google() -> Wire:
    call = {"functionCall": {"id": "call_1", "name": "find_order", "args": {"order_id": "1042"}}}
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12}

    def piece(*parts: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r-1"}

    whole = piece({"text": "Let me look."}, call, finish="STOP")
    unfinished = piece({"text": "Let me look."}, call)
    events: list[Event] = [
        (None, piece({"text": "Let me"})),
        (None, piece({"text": " look."})),
        (None, piece(call)),
        (None, piece({"text": ""}, finish="STOP")),
    ]
    failed = {"error": {"code": 499, "message": "broke", "status": "ODD"}}
    compact = '{"order_id":"1042"}'
    return Wire("google:m", "", whole, unfinished, events, 3, 2, (None, failed), arguments=compact)


WIRES = (_chat(), _responses(), _anthropic(), _google())
