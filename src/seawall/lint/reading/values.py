"""Bounds of a file's values, and how an error shows a value."""

from __future__ import annotations

from typing import cast

MAX_FILE_BYTES = 1024 * 1024
"""Bytes of a file: a hundred times the longest description of a team that we have seen."""
MAX_DEPTH = 32
"""Levels to which values may be nested. Descriptions of teams need six."""
MAX_VALUES = 50_000
"""Values of a file, each use of an alias counted: as many as a file of `MAX_FILE_BYTES` has without aliases. It bounds
aliases that refer to each other."""
MAX_AGENTS = 200
"""Agents of a team in a file: ten times the largest team that we have seen. Rules compare agents in pairs."""
MAX_SHOWN_CHARS = 60
"""Characters of a value that an error shows."""

Way = tuple[str | int, ...]
"""The path to a value in a document: keys and indices."""


def as_mapping(value: object) -> dict[object, object] | None:
    """Returns `value` if it is a mapping; otherwise None."""
    return cast("dict[object, object]", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """Returns `value` if it is a list; otherwise None."""
    return cast("list[object]", value) if isinstance(value, list) else None


def show(value: object) -> str:
    """Returns a value as text for an error: its kind, or its beginning."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(cast('list[object]', value))}"
    if value is None:
        return "nothing"
    shown = repr(value) if not isinstance(value, bool) else str(value).lower()
    return shown if len(shown) <= MAX_SHOWN_CHARS else f"{shown[: MAX_SHOWN_CHARS - 1]}…"
