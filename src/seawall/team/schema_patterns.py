"""Patterns in JSON schemas: matched in time in proportion to the text, whoever wrote them.

Python's own engine goes back and forth in a text, and some patterns make it do so for years. The engine of pydantic's core
does not; it knows no look-around and no references back. What it can't read is not matched at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from pydantic_core import SchemaError, SchemaValidator, core_schema

MAX_PATTERN_WEIGHT = 10_000
"""Of all patterns in one schema, with repetitions written out: a letter counts as one, `.` as 5 and a class of Unicode such as
`\\w` as 50. That much takes a tenth of a second to prepare, and no format of numbers, names or times comes near it."""
WEIGHT_CHARS_A_CHECK = 500
"""Weight of a pattern times characters of a text that are matched while one keyword of a schema is checked."""

_TOKENS = re.compile(
    r"\\[pP]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\}|.",
    re.DOTALL,
)
_WIDE = re.compile(r"\\[pPwWdDsSbB]|^\[\^|[^\x00-\x7f]|^\(\?[a-z]*i")


class Patterns:
    """The patterns of one schema, ready to be matched."""

    def __init__(self, schema: object) -> None:
        self._ready: dict[str, SchemaValidator] = {}
        self._weights: dict[str, int] = {}
        self.unreadable: dict[str, str] = {}
        """Patterns that are not matched, and why."""
        left = MAX_PATTERN_WEIGHT
        for pattern in dict.fromkeys(_list_patterns(schema)):
            self._weights[pattern] = weight = _weigh(pattern)
            left -= weight
            if left < 0:
                self.unreadable[pattern] = "it is too long with its repetitions written out"
                continue
            try:
                self._ready[pattern] = SchemaValidator(
                    core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
                )
            except SchemaError:
                self.unreadable[pattern] = (
                    "it can't be matched in bounded time, as one with look-around can't"
                )

    def __repr__(self) -> str:
        return f"<Patterns {len(self._ready)} ready, {len(self.unreadable)} unreadable>"

    def matches(self, pattern: str, text: str) -> bool:
        """Returns whether a part of the text fits."""
        return self._ready[pattern].isinstance_python(text)

    def estimate_checks(self, pattern: str, text: str) -> int:
        """Returns how many checks of other keywords take as long as this match at most."""
        return len(text) * self._weights[pattern] // WEIGHT_CHARS_A_CHECK


def drop_unreadable(schema: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns a schema without the patterns that are not matched, and these with why.

    Where the names of properties have such a pattern, nothing says any more which names are too many: all of the schema's
    bounds on that go, too.
    """
    unreadable = Patterns(schema).unreadable
    if not unreadable and not _mixes(schema):
        return schema, {}
    named = _mixes(schema) or any(
        pattern in unreadable
        for part in _walk(schema)
        for pattern in cast("dict[str, Any]", part.get("patternProperties") or {})
    )
    kept = cast("dict[str, Any]", _copy_without(schema, frozenset(unreadable), names=named))
    if named and not unreadable:
        return kept, {"patternProperties": "it stands beside unevaluatedProperties"}
    return kept, unreadable


def find_unmatched(schema: dict[str, Any], patterns: Patterns) -> str | None:
    """Returns what of a schema's patterns can't be matched, and why; None if all can be."""
    for pattern, why in patterns.unreadable.items():
        return f"the pattern {pattern[:100]!r} can't be checked: {why}"
    if _mixes(schema):
        return "patternProperties beside unevaluatedProperties can't be checked"
    return None


def _mixes(schema: object) -> bool:
    """Returns whether names are bounded by what other parts have not looked at, by patterns: jsonschema matches these itself."""
    keys = {key for part in _walk(schema) for key in part}
    return {"patternProperties", "unevaluatedProperties"} <= keys


def _copy_without(value: object, patterns: frozenset[str], *, names: bool) -> object:
    if isinstance(value, list):
        return [_copy_without(each, patterns, names=names) for each in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    kept: dict[str, object] = {}
    for key, each in cast("dict[str, object]", value).items():
        if key == "pattern" and isinstance(each, str) and each in patterns:
            continue
        if names and key in ("patternProperties", "additionalProperties", "unevaluatedProperties"):
            continue
        kept[key] = _copy_without(each, patterns, names=names)
    return kept


def _walk(schema: object) -> Iterator[dict[str, Any]]:
    """Yields every object in a schema, also where none is expected: a reference may lead there."""
    todo: list[object] = [schema]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            part = cast("dict[str, Any]", each)
            yield part
            todo += part.values()
        elif isinstance(each, list):
            todo += cast("list[object]", each)


def _list_patterns(schema: object) -> Iterator[str]:
    for part in _walk(schema):
        if isinstance(pattern := part.get("pattern"), str):
            yield pattern
        if isinstance(named := part.get("patternProperties"), dict):
            yield from cast("dict[str, Any]", named)


def _weigh(pattern: str) -> int:
    """Returns how long a pattern is with its repetitions written out: what it takes to prepare it."""
    open_groups: list[int] = []
    total = last = 0
    for token in _TOKENS.finditer(pattern):
        text = token[0]
        if text == "(":
            open_groups.append(total + last)
            total = last = 0
        elif text == ")" and open_groups:
            last, total = total + last, open_groups.pop()
        elif text.startswith("{") and (token["least"] or token["most"]):
            last *= max(int((token["least"] or "0")[:6]), int((token["most"] or "0")[:6]), 1)
        else:
            total += last
            last = 50 if _WIDE.search(text) else 5 if text == "." else 1
        if total + last > MAX_PATTERN_WEIGHT:
            return total + last
    return sum(open_groups) + total + last
