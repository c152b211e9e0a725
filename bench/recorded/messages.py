"""OpenAI's shapes, and the session files of Claude Code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from recorded.conversation import MODEL, Conversation, Row, Turn


def _drop_empty(value: dict[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in value.items() if each != ""}


def list_chat_steps(conversation: Conversation) -> Iterator[tuple[list[Row], Row, list[Row], Turn]]:
    """Yields for each reply: what is said before it, the reply, and its results."""
    for at, turn in enumerate(conversation.turns):
        before = [{"role": "user", "content": turn.user}] if turn.user else []
        if not at:
            before = [{"role": "system", "content": conversation.system}, *before]
        reply: Row = {"role": "assistant", "content": turn.text or None}
        if turn.calls:
            reply["tool_calls"] = [
                _drop_empty({"id": conversation.name_call(at, place), "type": "function"})
                | {"function": {"name": tool, "arguments": json.dumps(arguments)}}
                for place, (tool, arguments, _, _) in enumerate(turn.calls)
            ]
        results = [
            _drop_empty({"role": "tool", "tool_call_id": conversation.name_call(at, place)})
            | {"content": result}
            for place, (_, _, result, _) in enumerate(turn.calls)
        ]
        yield before, reply, results, turn


def _usage(turn: Turn) -> Row:
    return {
        "prompt_tokens": turn.tokens[0],
        "completion_tokens": turn.tokens[1],
        "total_tokens": sum(turn.tokens),
    }


def write_chat(conversation: Conversation) -> list[Row]:
    messages: list[Row] = []
    for before, reply, results, _ in list_chat_steps(conversation):
        messages += [*before, reply, *results]
    return [{"messages": messages, **conversation.extra}]


def write_chat_list(conversation: Conversation) -> list[Row]:
    return [write_chat(conversation)[0]["messages"]]


def write_chat_log(conversation: Conversation) -> list[Row]:
    rows: list[Row] = []
    messages: list[Row] = []
    for at, (before, reply, results, turn) in enumerate(list_chat_steps(conversation)):
        messages += before
        response = {
            "id": f"chatcmpl-{conversation.id}-{at}",
            "object": "chat.completion",
            "model": MODEL,
            "choices": [
                {"index": 0, "message": reply, "finish_reason": "tool_calls" if turn.calls else "stop"}
            ],
            "usage": _usage(turn),
        }
        rows.append({"request": {"model": MODEL, "messages": list(messages)}, "response": response})
        messages += [reply, *results]
    return rows


def _items(conversation: Conversation) -> Iterator[tuple[list[Row], list[Row], list[Row], Turn]]:
    for at, turn in enumerate(conversation.turns):
        before = (
            [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": turn.user}]}]
            if turn.user
            else []
        )
        reply: list[Row] = [{"type": "reasoning", "id": f"rs_{at}", "summary": []}]
        if turn.text:
            content = [{"type": "output_text", "text": turn.text, "annotations": []}]
            reply.append(
                {
                    "type": "message",
                    "id": f"msg_{at}",
                    "role": "assistant",
                    "status": "completed",
                    "content": content,
                }
            )
        results: list[Row] = []
        for place, (tool, arguments, result, _) in enumerate(turn.calls):
            name = conversation.name_call(at, place) or f"call_{at}_{place}"
            reply.append(
                {
                    "type": "function_call",
                    "id": f"fc_{at}_{place}",
                    "call_id": name,
                    "name": tool,
                    "arguments": json.dumps(arguments),
                }
            )
            results.append({"type": "function_call_output", "call_id": name, "output": result})
        yield before, reply, results, turn


def write_responses(conversation: Conversation) -> list[Row]:
    rows: list[Row] = []
    waiting: list[Row] = []
    previous = None
    for at, (before, reply, results, turn) in enumerate(_items(conversation)):
        name = f"resp_{conversation.id}_{at}"
        usage = {"input_tokens": turn.tokens[0], "output_tokens": turn.tokens[1]}
        response = {
            "id": name,
            "object": "response",
            "model": MODEL,
            "output": reply,
            "usage": usage,
            "previous_response_id": previous,
        }
        rows.append({"input": [*waiting, *before], "instructions": conversation.system, **response})
        waiting, previous = results, name
    return rows


def write_response_items(conversation: Conversation) -> list[Row]:
    return [
        [item for before, reply, results, _ in _items(conversation) for item in (*before, *reply, *results)]
    ]


def write_claude_code(conversation: Conversation) -> list[Row]:
    rows: list[Row] = [{"type": "summary", "summary": "Orders", "leafUuid": "u0"}]

    def add(kind: str, message: Row, **more: Any) -> None:
        number = len(rows)
        parent = f"u{number - 1}" if number > 1 else None
        place = {
            "parentUuid": parent,
            "uuid": f"u{number}",
            "isSidechain": False,
            "sessionId": conversation.id,
        }
        stamp = f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}.000Z"
        rows.append(
            {
                **place,
                "type": kind,
                "message": message,
                "timestamp": stamp,
                "cwd": "/w",
                "version": "2.1.0",
                **more,
            }
        )

    for at, turn in enumerate(conversation.turns):
        if turn.user:
            add("user", {"role": "user", "content": turn.user})
        usage = {"input_tokens": turn.tokens[0], "output_tokens": turn.tokens[1]}
        head = {
            "id": f"msg_{conversation.id}_{at}",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "usage": usage,
        }
        blocks: list[Row] = [{"type": "text", "text": turn.text}] if turn.text else []
        names = [
            conversation.name_call(at, place) or f"toolu_{at}_{place}" for place in range(len(turn.calls))
        ]
        for name, (tool, arguments, _, _) in zip(names, turn.calls, strict=True):
            blocks.append({"type": "tool_use", "id": name, "name": tool, "input": arguments})
        for block in [{"type": "thinking", "thinking": "hm", "signature": "s"}, *blocks]:
            add("assistant", {**head, "content": [block]}, requestId=f"req_{at}")
        for name, (_, _, result, failed) in zip(names, turn.calls, strict=True):
            block = {
                "type": "tool_result",
                "tool_use_id": name,
                "content": result,
                **({"is_error": True} if failed else {}),
            }
            add("user", {"role": "user", "content": [block]}, toolUseResult=result)
    return rows
