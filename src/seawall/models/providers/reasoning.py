"""Records the reasoning that a provider needs back with a message, and restores the parts of the message from it.

The record is a JSON list with one row for each part, in the order in which the parts came. The message itself has the
texts and calls; the row of a text or call has only what is sent back beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
)

from seawall.models.protocol import Assistant, Reasoning
from seawall.models.providers.history import ReadIds

_BESIDE = ("thought_signature", "extra_content", "raw_content", "phase", "namespace")
"""The details of a part that are sent back: Gemini's signatures, also in OpenAI's protocol, and parts of OpenAI's
items."""
_LONG_ID_CHARS = 64
"""The length from which on a call's id is recorded, because some gateways put a signature into it."""
_TAGGED = "content"
"""The id of thoughts that a chat server wrote between tags into the text."""

DETAILS = "reasoning_details"
"""The field with a list that OpenRouter and others send beside or instead of a text of thoughts. It is kept as JSON
text."""
DETAILS_SEPARATOR = "\n\n"
"""The separator of the JSON texts of two messages that are sent as one; JSON on one line does not contain it."""


class Row(NamedTuple):
    """One part: a thought, or what is sent back beside a text or a call."""

    kind: str
    """`thought`, `text` or `call`."""
    value: Any
    """A thought's text, the characters of a text, or the id of a call."""
    id: str | None = None
    sign: str | None = None
    more: dict[str, Any] | None = None


def find_origin(model: str, base_url: str | None) -> str:
    """Returns the origin that reasoning is bound to: the model, and the host if it is not the provider's own.

    The port is left out, because a user's own server often gets another port when it starts again.
    """
    host = urlsplit(base_url).hostname if base_url else None
    return f"{model} at {host}" if host else model


def record_reasoning(origin: str, response: ModelResponse) -> Reasoning | None:
    """Returns the reasoning that a reply's server needs back; None if it needs only texts and calls."""
    details = _find_details(response)
    rows = [Row("thought", _write(details), DETAILS)] if details else []
    wanted = bool(details)
    for part in response.parts:
        if not isinstance(part, TextPart | ToolCallPart | ThinkingPart):
            continue
        beside = part.provider_details or {}
        more = {name: beside[name] for name in _BESIDE if beside.get(name)} or None
        if isinstance(part, ThinkingPart):
            row = Row("thought", part.content, part.id, part.signature, more)
        elif isinstance(part, TextPart):
            row = Row("text", len(part.content), part.id, None, more)
        else:
            row = Row("call", part.tool_call_id, part.id, None, more)
            wanted = wanted or len(part.tool_call_id) > _LONG_ID_CHARS
        wanted = wanted or row.kind == "thought" or (more is not None and list(more) != ["phase"])
        rows.append(row)
    return Reasoning(origin, _write(rows)) if wanted else None


def _write(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _find_details(response: ModelResponse) -> list[dict[str, Any]]:
    """Returns the reply's `reasoning_details`; the pieces of a stream are put together as OpenRouter says."""
    unmapped: dict[str, Any] = (response.provider_details or {}).get("unmapped") or {}
    messages: list[dict[str, Any] | None] = [
        unmapped.get("message"),
        *(each.get("delta") for each in unmapped.get("chunks", ())),
    ]
    made: list[dict[str, Any]] = []
    for message in messages:
        pieces: object = None if message is None else message.get(DETAILS)
        for piece in cast("list[object]", pieces) if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                _add_detail(made, cast("dict[str, Any]", piece), streamed=message is not messages[0])
    return made


def _add_detail(made: list[dict[str, Any]], piece: dict[str, Any], *, streamed: bool) -> None:
    last = made[-1] if made else {}
    same = all(last.get(name) == piece.get(name) for name in ("type", "index"))
    if not streamed or not made or not same or piece.get("type") == "reasoning.encrypted":
        made.append(dict(piece))
        return
    for name, value in piece.items():
        if name in ("text", "summary"):
            last[name] = (last.get(name) or "") + (value or "")
        elif value is not None:
            last[name] = value


def read_rows(reasoning: Reasoning) -> list[Row]:
    """Returns the rows of a record; an empty list if the text is not such a record."""
    try:
        rows = [Row(*each) for each in json.loads(reasoning.parts)]
        reasoning.parts.encode()
    except (ValueError, TypeError):
        return []
    return rows


def read_ids(reasoning: Reasoning) -> list[str]:
    """Returns the ids of the calls as the server wrote them."""
    return [str(row.value) for row in read_rows(reasoning) if row.kind == "call"]


_: ReadIds = read_ids


def restore_parts(
    message: Assistant, calls: list[ToolCallPart], system: str, tags: tuple[str, str] | None
) -> list[TextPart | ThinkingPart | ToolCallPart]:
    """Returns the parts of a message with its reasoning, as they came from the provider `system`.

    `tags` are the begin and end tag between which a chat server writes thoughts into its text. Without reasoning, or if
    the reasoning does not match the message, the parts are the text and the calls.
    """
    rows = [] if message.reasoning is None else read_rows(message.reasoning)
    text = message.content or ""
    if sum(row.kind == "call" for row in rows) != len(calls):
        rows = []
    texts = [row for row in rows if row.kind == "text"]
    if sum(row.value for row in texts) != len(
        text
    ):  # what is recorded of the text has no secrets, and is shorter
        first = texts[0] if texts else None
        rows = [
            row._replace(value=len(text)) if row is first else row for row in rows if row not in texts[1:]
        ]
        if first is None and text:
            rows = []
    if not rows:
        return [*([TextPart(text)] if message.content is not None else []), *calls]
    parts: list[TextPart | ThinkingPart | ToolCallPart] = []
    left = iter(calls)
    at = 0
    for row in rows:
        beside: dict[str, Any] = {"id": row.id, "provider_name": system, "provider_details": row.more}
        if row.kind == "call":
            call = next(left)
            call.id, call.provider_name, call.provider_details = row.id, system, row.more
            parts.append(call)
        elif row.kind == "text":
            piece, at = text[at : at + row.value], at + row.value
            if piece.strip() or row.more:
                parts.append(TextPart(piece, **beside))
        elif tags is not None and row.id == _TAGGED:
            parts.append(TextPart(f"{tags[0]}{row.value}{tags[1]}"))
        else:
            parts.append(ThinkingPart(row.value, signature=row.sign, **beside))
    return _join_texts(parts) if tags is not None else parts


def _join_texts(
    parts: list[TextPart | ThinkingPart | ToolCallPart],
) -> list[TextPart | ThinkingPart | ToolCallPart]:
    """Returns the parts with all texts joined to one, because a chat server's message has at most one text."""
    texts = [part.content for part in parts if isinstance(part, TextPart)]
    joined = [TextPart("".join(texts))] if texts else []
    thoughts = [part for part in parts if isinstance(part, ThinkingPart)]
    return [*thoughts, *joined, *(part for part in parts if isinstance(part, ToolCallPart))]


def lacks_thoughts(messages: Sequence[ModelMessage]) -> bool:
    """Returns whether a message with calls since a person's last request does not begin with thoughts."""
    for message in reversed(messages):
        parts = message.parts
        if isinstance(message, ModelResponse):
            if any(isinstance(part, ToolCallPart) for part in parts) and not isinstance(
                parts[0], ThinkingPart
            ):
                return True
        elif not any(isinstance(part, ToolReturnPart) for part in parts):
            return False
    return False
