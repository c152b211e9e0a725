"""Messages of Pydantic AI, as its `all_messages_json()` writes them."""

from __future__ import annotations

import json
from typing import Any

from recorded.conversation import MODEL, Conversation, Row
from recorded.messages import list_chat_steps


def _read_call(call: Row) -> Row:
    function = call["function"]
    return {
        "tool_name": function["name"],
        "args": function["arguments"],
        "tool_call_id": call.get("id", ""),
        "part_kind": "tool-call",
    }


def write_pydantic_ai_messages(conversation: Conversation) -> list[Row]:
    """Returns each message as a row of its own."""
    rows: list[Row] = []
    parts: list[Row] = []

    def add(kind: str, parts: list[Row], **more: Any) -> None:
        rows.append({"parts": parts, "kind": kind, "conversation_id": conversation.id, **more})

    for before, reply, results, turn in list_chat_steps(conversation):
        kinds = {"system": "system-prompt", "user": "user-prompt"}
        parts += [{"content": each["content"], "part_kind": kinds[each["role"]]} for each in before]
        add("request", parts, instructions=None)
        calls = [_read_call(call) for call in reply.get("tool_calls", [])]
        said = [{"content": reply["content"], "part_kind": "text"}] if reply["content"] else []
        usage = {"input_tokens": turn.tokens[0], "output_tokens": turn.tokens[1], "details": {}}
        add("response", [*said, *calls], usage=usage, model_name=MODEL)
        parts = [
            {
                "tool_name": call["tool_name"],
                "content": result["content"],
                "tool_call_id": call["tool_call_id"],
                "part_kind": "tool-return",
            }
            for call, result in zip(calls, results, strict=True)
        ]
    return rows


def write_pydantic_ai(conversation: Conversation) -> list[Row]:
    """Returns all messages as one row."""
    return [write_pydantic_ai_messages(conversation)]


def write_pydantic_ai_history(conversation: Conversation) -> list[Row]:
    """Returns the messages in an object, with the arguments of calls as values."""
    rows = write_pydantic_ai_messages(conversation)
    for row in rows:
        for part in row["parts"]:
            if "args" in part:
                part["args"] = json.loads(part["args"])
    return [{"customer": "c-7", "history": rows}]
