"""Replies of models that think, whole and streamed, and what of the next request has to be as it came."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.wires import RESPONSE, RESPONSE_USAGE, Event, encoded
from seawall.testing.wire import Raw, answer_stream

THOUGHT = 'I look.\n\n Ümläut 𝄞 \\ "quoted" — '
CALL = '{"order_id": "1042"}'


@dataclass(frozen=True)
class Thinking:
    """One way in which a server sends what it wants back."""

    name: str
    model: str
    path: str
    whole: dict[str, Any]
    events: Sequence[Event]
    back: Any
    """The message of the assistant as it has to be in the next request, or its items or parts."""
    settings: dict[str, Any]
    tail: bytes = b""

    def __repr__(self) -> str:
        return self.name

    def answer(self, *, streaming: bool) -> Raw:
        if streaming:
            return answer_stream(*map(encoded, self.events), *([self.tail] if self.tail else []))
        data = json.dumps(self.whole).encode()
        return Raw(headers={"content-type": "application/json"}, parts=(data,), content_length=len(data))


def find_back(body: dict[str, Any]) -> Any:
    """What the newest request has of the assistant's first message."""
    if "contents" in body:
        return next(one["parts"] for one in body["contents"] if one["role"] == "model")
    if "input" in body:
        return [
            one
            for one in body["input"]
            if one.get("role") != "user" and one.get("type") != "function_call_output"
        ]
    said = next(one for one in body["messages"] if one["role"] == "assistant")
    return said if "tool_calls" in said else said["content"]


def _chat(
    name: str, message: dict[str, Any], deltas: Sequence[dict[str, Any]], back: dict[str, Any]
) -> Thinking:
    base = {"id": "c-1", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    whole = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    chunks = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    events: list[Event] = [
        (None, {**base, "object": "chat.completion.chunk", "choices": [each]}) for each in chunks
    ]
    return Thinking(name, "openai:m", "/v1", whole, events, back, {}, b"data: [DONE]\n\n")


def _call(extra: dict[str, Any] | None = None, number: str = "call_1") -> dict[str, Any]:
    made = {"id": number, "type": "function", "function": {"name": "find_order", "arguments": CALL}}
    return {**made, **(extra or {})}


def _chats() -> list[Thinking]:
    made: list[Thinking] = []
    for field in ("reasoning_content", "reasoning"):
        message = {"role": "assistant", "content": "Looking.", field: THOUGHT, "tool_calls": [_call()]}
        deltas = [
            {"role": "assistant", field: THOUGHT[:6]},
            {field: THOUGHT[6:]},
            {"content": "Looking."},
            {"tool_calls": [{"index": 0, **_call()}]},
        ]
        made.append(_chat(field, message, deltas, message))
        bare = {**message, "content": None}
        made.append(_chat(f"{field} without text", bare, [deltas[0], deltas[1], deltas[3]], bare))
    tagged = {
        "role": "assistant",
        "content": f"<think>{THOUGHT}</think>\n\nLooking.",
        "tool_calls": [_call()],
    }
    deltas = [
        {"content": "<think>"},
        {"content": THOUGHT},
        {"content": "</think>"},
        {"content": "\n\nLooking."},
        {"tool_calls": [{"index": 0, **_call()}]},
    ]
    made.append(_chat("tags", tagged, deltas, tagged))
    extra = {"extra_content": {"google": {"thought_signature": "c2ln+/=="}}}
    signed = {"role": "assistant", "content": None, "tool_calls": [_call(extra), _call(number="call_2")]}
    deltas = [
        {"tool_calls": [{"index": 0, **_call(extra)}]},
        {"tool_calls": [{"index": 1, **_call(number="call_2")}]},
    ]
    made.append(_chat("extra_content", signed, deltas, signed))
    long = "call_" + "9" * 20 + "__thought__" + "QUJD" * 400
    embedded = {"role": "assistant", "content": None, "tool_calls": [_call(number=long)]}
    made.append(
        _chat(
            "a signature in the id",
            embedded,
            [{"tool_calls": [{"index": 0, **_call(number=long)}]}],
            embedded,
        )
    )
    made.append(_routed())
    return made


def _routed() -> Thinking:
    """As OpenRouter sends it."""
    details = [
        {
            "type": "reasoning.text",
            "text": THOUGHT,
            "signature": "claude-1",
            "format": "anthropic-claude-v1",
            "index": 0,
        },
        {"type": "reasoning.encrypted", "data": "QUJD", "id": "call_1", "index": 1},
    ]
    routed = {
        "role": "assistant",
        "content": None,
        "reasoning": THOUGHT,
        "reasoning_details": details,
        "tool_calls": [_call()],
    }
    deltas = [
        {
            "reasoning": THOUGHT[:6],
            "reasoning_details": [{**details[0], "text": THOUGHT[:6], "signature": None}],
        },
        {"reasoning": THOUGHT[6:], "reasoning_details": [{**details[0], "text": THOUGHT[6:]}]},
        {"reasoning_details": [details[1]]},
        {"tool_calls": [{"index": 0, **_call()}]},
    ]
    return _chat("reasoning_details", routed, deltas, routed)


def make_tagged(pieces: Sequence[str]) -> Thinking:
    """Thoughts between tags in the text, streamed in these pieces."""
    message = {"role": "assistant", "content": "".join(pieces), "tool_calls": [_call()]}
    deltas = [{"content": piece} for piece in pieces]
    return _chat("tags", message, [*deltas, {"tool_calls": [{"index": 0, **_call()}]}], message)


def _anthropic() -> list[Thinking]:
    base: dict[str, Any] = {"id": "m-1", "type": "message", "role": "assistant", "model": "m"}
    usage = {"input_tokens": 7, "output_tokens": 5}
    call = {"type": "tool_use", "id": "call_1", "name": "find_order", "input": {"order_id": "1042"}}
    signed = {"type": "thinking", "thinking": THOUGHT, "signature": "claude-1+/=="}
    hidden = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}
    omitted = {"type": "thinking", "thinking": "", "signature": "claude-2"}
    unsigned = {"type": "thinking", "thinking": THOUGHT, "signature": ""}
    text = {"type": "text", "text": "Looking."}
    contents = {
        "thinking": [signed, text, call],
        "redacted_thinking": [signed, hidden, call],
        "thoughts that are omitted": [omitted, call],
        "thoughts between calls": [signed, call, omitted, {**call, "id": "call_2"}],
        "thoughts without a signature": [unsigned, call],
    }
    on = {"anthropic_thinking": {"type": "enabled", "budget_tokens": 1024}}
    made: list[Thinking] = []
    for name, content in contents.items():
        whole = {**base, "content": content, "stop_reason": "tool_use", "stop_sequence": None, "usage": usage}
        raw: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}
        ]
        for index, block in enumerate(content):
            raw += _stream_block(index, block)
        raw.append(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tool_use", "stop_sequence": None},
                "usage": {"output_tokens": 5},
            }
        )
        raw.append({"type": "message_stop"})
        events: list[Event] = [(data["type"], data) for data in raw]
        made.append(Thinking(name, "anthropic:m", "", whole, events, content, on))
    return made


def _stream_block(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    kind = block["type"]
    empty = {"thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}, "text": {"text": ""}}
    deltas: list[dict[str, Any]] = []
    if kind == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": piece}
            for piece in (THOUGHT[:6], THOUGHT[6:])
            if block["thinking"]
        ]
        deltas += [{"type": "signature_delta", "signature": block["signature"]}] if block["signature"] else []
    elif kind == "tool_use":
        deltas = [{"type": "input_json_delta", "partial_json": CALL}]
    elif kind == "text":
        deltas = [{"type": "text_delta", "text": block["text"]}]
    begun = {**block, **empty.get(kind, {})}
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *({"type": "content_block_delta", "index": index, "delta": each} for each in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _gemini() -> list[Thinking]:
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12}
    call = {"functionCall": {"id": "call_1", "name": "find_order", "args": {"order_id": "1042"}}}
    second = {"functionCall": {**call["functionCall"], "id": "call_2"}}
    thought = {"text": THOUGHT, "thought": True}
    signed = {**call, "thoughtSignature": "c2lnbmVkISE="}
    contents = {
        "a signature on a call": [signed],
        "thoughts and a signature on a call": [thought, signed, second],
        "signatures on a text and a call": [{"text": "Looking.", "thoughtSignature": "dGV4dA=="}, signed],
    }
    made: list[Thinking] = []
    for name, parts in contents.items():

        def piece(given: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
            candidate: dict[str, Any] = {"content": {"role": "model", "parts": given}, "index": 0}
            if finish:
                candidate["finishReason"] = finish
            return {
                "candidates": [candidate],
                "usageMetadata": usage,
                "modelVersion": "m",
                "responseId": "r-1",
            }

        events: list[Event] = [(None, piece([part])) for part in parts]
        events.append((None, piece([{"text": ""}], "STOP")))
        made.append(Thinking(name, "google:m", "", piece(parts, "STOP"), events, parts, {}))
    return made


def _responses() -> list[Thinking]:
    summary = [{"type": "summary_text", "text": THOUGHT}]
    item = {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "gAAAAB+/=="}
    bare = {**item, "summary": []}
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "find_order",
        "arguments": CALL,
        "status": "completed",
    }
    said = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Looking.", "annotations": []}],
    }
    contents = {
        "a reasoning item": [item, call],
        "an item without a summary": [bare, call],
        "two items, a text and a call": [item, said, {**bare, "id": "rs_2"}, call],
    }
    made: list[Thinking] = []
    for name, output in contents.items():
        whole = {**RESPONSE, "status": "completed", "output": output, "usage": RESPONSE_USAGE}
        raw: list[tuple[str, dict[str, Any]]] = [
            ("response.created", {"response": {**RESPONSE, "status": "in_progress", "output": []}})
        ]
        for index, one in enumerate(output):
            raw += _stream_item(index, one)
        raw.append(("response.completed", {"response": whole}))
        events: list[Event] = [
            (kind, {"type": kind, "sequence_number": n, **data}) for n, (kind, data) in enumerate(raw)
        ]
        made.append(Thinking(name, "openai-responses:m", "/v1", whole, events, output, {}))
    return made


def _stream_item(index: int, one: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    raw: list[tuple[str, dict[str, Any]]] = []
    at = {"output_index": index, "item_id": one["id"]}
    begun = {
        **one,
        **({"arguments": ""} if "arguments" in one else {}),
        **({"content": []} if "content" in one else {}),
        **({"summary": []} if "summary" in one else {}),
    }
    raw.append(("response.output_item.added", {"output_index": index, "item": begun}))
    if one["type"] == "function_call":
        raw.append(("response.function_call_arguments.delta", {**at, "delta": CALL}))
    for number, part in enumerate(one.get("summary", [])):
        inside = {**at, "summary_index": number}
        raw.append(("response.reasoning_summary_part.added", {**inside, "part": {**part, "text": ""}}))
        raw.append(("response.reasoning_summary_text.delta", {**inside, "delta": part["text"]}))
        raw.append(("response.reasoning_summary_text.done", {**inside, "text": part["text"]}))
        raw.append(("response.reasoning_summary_part.done", {**inside, "part": part}))
    for number, part in enumerate(one.get("content", [])):
        inside = {**at, "content_index": number}
        raw.append(("response.content_part.added", {**inside, "part": {**part, "text": ""}}))
        raw.append(("response.output_text.delta", {**inside, "delta": part["text"], "logprobs": []}))
    raw.append(("response.output_item.done", {"output_index": index, "item": one}))
    return raw


THINKING = (*_chats(), *_anthropic(), *_gemini(), *_responses())
