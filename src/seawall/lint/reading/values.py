"""What a file may hold, and how an error shows a value of it."""

from __future__ import annotations

from typing import cast

MAX_FILE_BYTES = 1024 * 1024
"""Bytes of a file: a hundred times the longest team description that was seen."""
MAX_DEPTH = 32
"""How deep values may lie in each other; descriptions of teams need six."""
MAX_VALUES = 50_000
"""Values of a file, each use of an alias counted: as many as a file of this size has, and a bound for those that refer to
each other."""
MAX_AGENTS = 200
"""Agents of a team in a file: ten times the largest that was seen. Rules compare agents in pairs."""
MAX_SHOWN_CHARS = 60
"""Characters of a value that an error shows."""

Way = tuple[str | int, ...]
"""Where a value lies in a document: the keys and positions that lead to it."""


def as_mapping(value: object) -> dict[object, object] | None:
    """Returns a value that is a mapping; None if it is anything else."""
    return cast("dict[object, object]", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """Returns a value that is a list; None if it is anything else."""
    return cast("list[object]", value) if isinstance(value, list) else None


def show(value: object) -> str:
    """Returns a value for an error: what it is, or how it begins."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(cast('list[object]', value))}"
    if value is None:
        return "nothing"
    shown = repr(value) if not isinstance(value, bool) else str(value).lower()
    return shown if len(shown) <= MAX_SHOWN_CHARS else f"{shown[: MAX_SHOWN_CHARS - 1]}…"
