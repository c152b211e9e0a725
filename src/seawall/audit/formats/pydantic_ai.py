"""Pydantic AI: messages as `all_messages_json()` writes them, as a list, under any name in an object, or one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seawall.audit.formats.conversations import ConversationsReader, HeldConversation
from seawall.audit.formats.format import Format
from seawall.audit.json_fields import (
    Fields,
    format_text,
    get_count,
    get_fields,
    get_list,
    get_text,
    normalise_arguments,
)
from seawall.audit.recording import AskedCall, RecordedMessage
from seawall.models.protocol import Usage

NAME = "Pydantic AI"
_CALLS = ("tool-call", "builtin-tool-call")
_RETURNS = ("tool-return", "builtin-tool-return")
_SYSTEM = ("system-prompt", "instruction")


def _is_message(value: Any) -> bool:
    row = get_fields(value)
    parts = get_list(row, "parts")
    kinds = [get_text(part, "part_kind") for part in parts]
    return get_text(row, "kind") in ("request", "response") and bool(kinds) and all(kinds)


def _find_listed(value: Any) -> list[Any]:
    """Returns the messages of a list, of an object that holds a list, or of a single message."""
    if _is_message(value):
        return [value]
    boxes = [get_list(value)] if isinstance(value, list) else list(get_fields(value).values())
    found: list[list[Any]] = [get_list(box) for box in boxes]
    for listed in found:
        if listed and _is_message(listed[0]):
            return listed
    return []


def find_messages(value: Any, line: int) -> HeldConversation | None:
    """Returns the conversation in a list of messages, in an object that holds one, or in a single message."""
    listed = _find_listed(value)
    if not listed:
        return None
    return HeldConversation(
        messages=[each for row in listed for each in _read_message(get_fields(row), line)],
        conversation=next(filter(None, (get_text(row, "conversation_id") for row in listed)), ""),
        adds=listed[0] is value,
    )


def _read_message(row: Fields, line: int) -> Iterator[RecordedMessage]:
    parts = [get_fields(part) for part in get_list(row, "parts")]
    if get_text(row, "kind") == "response":
        yield _read_reply(row, parts, line)
        yield from (_read_return(part, line) for part in parts if get_text(part, "part_kind") in _RETURNS)
        return
    if instructions := get_text(row, "instructions"):
        yield RecordedMessage(role="system", text=instructions, line=line)
    for part in parts:
        kind = get_text(part, "part_kind")
        if kind in _RETURNS or (kind == "retry-prompt" and get_text(part, "tool_name")):
            yield _read_return(part, line)
        elif text := _read_text(part.get("content")):
            yield RecordedMessage(role="system" if kind in _SYSTEM else "user", text=text, line=line)


def _read_reply(row: Fields, parts: list[Fields], line: int) -> RecordedMessage:
    texts = [get_text(part, "content") for part in parts if get_text(part, "part_kind") == "text"]
    calls = [
        AskedCall(
            get_text(part, "tool_call_id"),
            get_text(part, "tool_name"),
            normalise_arguments(part.get("args") or {}),
        )
        for part in parts
        if get_text(part, "part_kind") in _CALLS
    ]
    return RecordedMessage(
        role="assistant",
        text="\n".join(filter(None, texts)),
        calls=tuple(call for call in calls if call.tool),
        model=get_text(row, "model_name"),
        usage=_read_usage(get_fields(row, "usage")),
        line=line,
    )


def _read_return(part: Fields, line: int) -> RecordedMessage:
    """Returns a tool's result. A request to try again is a failed result."""
    retries = get_text(part, "part_kind") == "retry-prompt"
    return RecordedMessage(
        role="tool",
        text=format_text(part.get("content")),
        call_id=get_text(part, "tool_call_id"),
        tool=get_text(part, "tool_name"),
        failed=retries or get_text(part, "outcome") not in ("", "success"),
        line=line,
    )


def _read_text(content: Any) -> str:
    """Returns the text of a prompt: a text, or the texts of a list. Images and files in the list are left out."""
    if not isinstance(content, list):
        return format_text(content)
    texts = [each if isinstance(each, str) else get_text(each, "content") for each in get_list(content)]
    return "\n".join(filter(None, texts))


def _read_usage(given: Fields) -> Usage | None:
    sent = get_count(given, "input_tokens", "request_tokens")
    replied = get_count(given, "output_tokens", "response_tokens")
    if not (sent or replied):
        return None
    read, written = get_count(given, "cache_read_tokens"), get_count(given, "cache_write_tokens")
    return Usage(sent, replied, cache_read_tokens=read, cache_write_tokens=written)


FORMAT = Format(
    NAME,
    "messages with `kind` request or response and `parts`: a list, in an object, or one by one",
    "a list or object; messages with one `conversation_id`",
    lambda value: bool(_find_listed(value)),
    lambda file: ConversationsReader(file, NAME, find_messages),
)
