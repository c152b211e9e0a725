"""What a server says of a tool, in one form: what a model would read, and what is pinned."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, cast

from seawall.core.canonical import digest_of, to_canonical_bytes
from seawall.core.odd_text import show_plainly

MAX_DEFINITION_BYTES = 28_000
"""Of one tool's definition, some 7,000 tokens: what is pinned and what waits fit into one record of the journal (64 KiB)."""

_TEXTS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
"""What is pinned of a tool: all that a model may be shown of it, and the server's hints."""


class ToolDefinition:
    """A tool as its server describes it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """`document` is an item of `tools/list`; what no model is shown of it, such as icons, is left out."""
        self.document: dict[str, Any] = {
            name: document[name] for name in _TEXTS if document.get(name) not in (None, {}, [])
        }

    def __repr__(self) -> str:
        return f"<ToolDefinition {self.name!r} {self.digest}>"

    @property
    def name(self) -> str:
        """The name that the server gave it."""
        return str(self.document.get("name", ""))

    @property
    def description(self) -> str:
        """The description, or the title of a tool that has none."""
        return str(self.document.get("description") or self.document.get("title") or "")

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        given = self.document.get("inputSchema")
        schema = dict(cast("Mapping[str, Any]", given)) if isinstance(given, Mapping) else {}
        return {"type": "object", "properties": {}, **schema}

    def read_hint(self, name: str) -> bool | None:
        """Returns what the server says with a hint such as `readOnlyHint`; None if it says nothing."""
        hints = self.document.get("annotations")
        value = cast("Mapping[str, Any]", hints).get(name) if isinstance(hints, Mapping) else None
        return value if isinstance(value, bool) else None

    @cached_property
    def encoded(self) -> bytes:
        """The definition as canonical JSON."""
        return to_canonical_bytes(self.document)

    @cached_property
    def digest(self) -> str:
        """What two definitions are compared by."""
        return digest_of(self.document)


def list_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Returns which parts of a definition changed, such as `description` and `inputSchema`."""
    return [name for name in _TEXTS if old.get(name) != new.get(name)]


def make_diff(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, show: Callable[[str], str] = show_plainly
) -> list[str]:
    """Returns the lines of a unified diff of two definitions, in which all that can't be seen is escaped."""
    lines = difflib.unified_diff(
        list(_write_lines(old)), list(_write_lines(new)), "pinned", "offered", lineterm="", n=3
    )
    return [show(line) for line in lines]


def _write_lines(definition: Mapping[str, Any] | None) -> Iterator[str]:
    """Yields a definition as lines for people: texts by their own lines, schemas as indented JSON."""
    for name in _TEXTS:
        value = (definition or {}).get(name)
        if value is None:
            continue
        if isinstance(value, str):
            first, *rest = value.splitlines() or [""]
            yield f"{name}: {first}"
            yield from (f"    {line}" for line in rest)
            continue
        yield f"{name}:"
        yield from (
            f"    {line}"
            for line in json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True).splitlines()
        )
