"""A tool's result as an agent reads it: texts unchanged, and a description of everything else."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from seawall.team.tool import encode_canonical

if TYPE_CHECKING:
    from mcp_types import CallToolResult

MAX_BLOCKS = 1_000
"""Parts of one result that the agent is told; the others are only counted."""
_MAX_NAME_CHARS = 200


def read_result(result: CallToolResult) -> str:
    """Returns a result as text. Images, audio and files are described by their type, size and digest."""
    document: dict[str, Any] = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    blocks = cast("list[dict[str, Any]]", document.get("content") or [])
    parts = [_tell_block(block) for block in blocks[:MAX_BLOCKS]]
    if len(blocks) > MAX_BLOCKS:
        parts.append(f"[and {len(blocks) - MAX_BLOCKS:,} parts more, which are not shown]")
    structured = document.get("structuredContent")
    if structured is not None and not any(_says_the_same(part, structured) for part in parts):
        parts.append(encode_canonical(structured))
    return "\n".join(parts)


def _tell_block(block: Mapping[str, Any]) -> str:
    kind = block.get("type")
    match kind:
        case "text":
            return str(block.get("text", ""))
        case "image" | "audio":
            return _tell_bytes(
                "picture" if kind == "image" else "sound", block.get("mimeType"), block.get("data")
            )
        case "resource":
            resource = cast("Mapping[str, Any]", block.get("resource") or {})
            where = _shorten(resource.get("uri"))
            if "text" in resource:
                return f"[{where}]\n{resource['text']}"
            return _tell_bytes(f"file {where}", resource.get("mimeType"), resource.get("blob"))
        case "resource_link":
            named = _shorten(block.get("name") or block.get("title"))
            return f"[a link to {named}: {_shorten(block.get('uri'))}, which was not read]"
        case _:
            return f"[a part of the type {_shorten(kind)}, which can't be shown]"


def _tell_bytes(what: str, kind: object, data: object) -> str:
    try:
        found = b64decode(str(data or ""), validate=True)
    except (NoBase64, ValueError):
        return f"[a {what} of the type {_shorten(kind)}, whose bytes can't be read]"
    digest = hashlib.sha256(found).hexdigest()
    return f"[a {what} of the type {_shorten(kind)}, {len(found):,} bytes, sha256 {digest}; it is not shown]"


def _shorten(value: object) -> str:
    text = " ".join(str(value or "unknown").split())
    return text if len(text) <= _MAX_NAME_CHARS else f"{text[:_MAX_NAME_CHARS]}…"


def _says_the_same(text: str, structured: object) -> bool:
    """Returns whether a text repeats the structured content. Servers repeat it for clients that read only text."""
    if text in [each for each in _list_forms(structured) if isinstance(each, str)]:
        return True
    if not text or text[0] not in '{["-0123456789tfn':
        return False
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return any(found == each for each in _list_forms(structured))


def _list_forms(structured: object) -> Iterator[object]:
    """Yields structured content and, if it only wraps a single value, that value."""
    yield structured
    if isinstance(structured, Mapping):
        fields = cast("Mapping[str, object]", structured)
        if list(fields) == ["result"]:
            yield fields["result"]
