"""A server's description of a tool, in one form: the parts that a model would read, which are pinned."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, cast

from seawall.adapters.mcp.names import find_odd_parts
from seawall.core.canonical import digest_of, escape_unsendable, to_canonical_bytes
from seawall.core.odd_text import show_plainly
from seawall.team.schema_patterns import drop_unreadable

_log = logging.getLogger("seawall.mcp")

MAX_DEFINITION_BYTES = 28_000
"""Bytes of one tool's definition, some 7,000 tokens. The pinned definition and the waiting one fit into one record of the
journal (64 KiB)."""

MAX_NAME_CHARS = 200
"""Characters of a tool's name. Providers accept names of up to 64."""
_VALUES = ("default", "const", "examples")
"""Keys of a schema that hold values of a parameter."""
_TEXTS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
"""The parts of a tool's definition that are pinned: all that a model may be shown, and the server's hints."""


Redact = Callable[[str], str]
"""Returns JSON text without its secrets."""


class ToolDefinition:
    """A tool as its server describes it."""

    def __init__(self, document: Mapping[str, Any], problem: str = "") -> None:
        """`document` is an item of `tools/list`. Parts that a model is not shown, such as icons, are left out.

        `problem`: why the definition can't be accepted, not even by a person; "" if it can.
        """
        self.document: dict[str, Any] = {
            name: document[name] for name in _TEXTS if document.get(name) not in (None, {}, [])
        }
        self.problem = problem

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
        """The JSON schema of the arguments, without patterns that can't be checked in bounded time."""
        return drop_unreadable(self._given)[0]

    @property
    def unchecked(self) -> dict[str, str]:
        """The patterns that are left out of the schema, and why: the server checks them itself."""
        return drop_unreadable(self._given)[1]

    @property
    def _given(self) -> dict[str, Any]:
        given = self.document.get("inputSchema")
        schema = dict(cast("Mapping[str, Any]", given)) if isinstance(given, Mapping) else {}
        return {"type": "object", "properties": {}, **schema}

    def read_hint(self, name: str) -> bool | None:
        """Returns the value of a hint such as `readOnlyHint`; None if the server does not give it."""
        hints = self.document.get("annotations")
        value = cast("Mapping[str, Any]", hints).get(name) if isinstance(hints, Mapping) else None
        return value if isinstance(value, bool) else None

    @cached_property
    def odd(self) -> list[str]:
        """What is misleading in the tool's name, and in the texts that a model would read: look-alike letters, hidden signs."""
        return find_odd_parts(
            self.name, {key: value for key, value in self.document.items() if key != "name"}
        )

    @cached_property
    def encoded(self) -> bytes:
        """The definition as canonical JSON."""
        return to_canonical_bytes(self.document)

    @cached_property
    def digest(self) -> str:
        """A digest that is equal for equal definitions."""
        return digest_of([self.document, self.problem] if self.problem else self.document)


def add_definitions(
    found: dict[str, ToolDefinition], documents: Iterable[Mapping[str, Any]], redact: Redact
) -> None:
    """Adds the tools that a server offers, by name. Secrets are removed first, so that they are neither recorded nor shown to a
    model.

    A tool whose definition can't be recorded, or that has two definitions, is added with its `problem`. A tool whose name
    can't be recorded is left out.
    """
    for document in documents:
        name = str(document.get("name", ""))
        if not _is_recordable(name, redact):
            _log.warning(
                "an MCP server offers a tool whose name can't be recorded: %s", show_plainly(name[:50])
            )
            continue
        definition = _read_definition(name, document, redact)
        known = found.setdefault(name, definition)
        if known.digest != definition.digest:
            found[name] = ToolDefinition({"name": name}, "its server describes it twice, in two ways")


def _is_recordable(name: str, redact: Redact) -> bool:
    if len(name) > MAX_NAME_CHARS or escape_unsendable(name) != name:
        return False
    return json.loads(redact(json.dumps(name))) == name


def _read_definition(name: str, document: Mapping[str, Any], redact: Redact) -> ToolDefinition:
    try:
        text = json.dumps(ToolDefinition(document).document, ensure_ascii=False)
        if len(text) <= 2 * MAX_DEFINITION_BYTES:
            text = redact(json.dumps(_redact_values(json.loads(text), redact)))
            definition = ToolDefinition(json.loads(text))
            if len(definition.encoded) <= MAX_DEFINITION_BYTES:
                return definition
    except (ValueError, TypeError, OverflowError, RecursionError):
        return ToolDefinition({"name": name}, "its definition can't be written down, and can't be accepted")
    size = f"more than {MAX_DEFINITION_BYTES:,} bytes"
    return ToolDefinition({"name": name}, f"its definition has {size}, and can't be accepted")


def _redact_values(value: Any, redact: Redact) -> Any:
    """Returns a definition in which the values of a parameter are redacted as arguments of that name would be."""
    if isinstance(value, list):
        return [_redact_values(each, redact) for each in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    kept = {key: _redact_values(each, redact) for key, each in cast("Mapping[str, Any]", value).items()}
    properties = kept.get("properties")
    if isinstance(properties, dict):
        for name, part in cast("dict[str, Any]", properties).items():
            if isinstance(part, dict):
                for key in (key for key in _VALUES if key in part):
                    given = cast("object", part[key])
                    several = cast("list[object]", given) if isinstance(given, list) else [given]
                    shown: list[Any] = [
                        json.loads(redact(json.dumps({name: each})))[name] for each in several
                    ]
                    part[key] = shown if isinstance(given, list) else shown[0]
    return kept


def list_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Returns which parts of a definition changed, such as `description` and `inputSchema`."""
    return [name for name in _TEXTS if old.get(name) != new.get(name)]


def make_diff(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, show: Callable[[str], str] = show_plainly
) -> list[str]:
    """Returns the lines of a unified diff of two definitions. Invisible characters are escaped."""
    lines = difflib.unified_diff(
        list(_write_lines(old)), list(_write_lines(new)), "pinned", "offered", lineterm="", n=3
    )
    return [show(line) for line in lines]


def _write_lines(definition: Mapping[str, Any] | None) -> Iterator[str]:
    """Yields a definition as lines for people: texts line by line, schemas as indented JSON."""
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
