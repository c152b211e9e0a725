"""Matches patterns of JSON schemas in time proportional to the text, because they may come from untrusted servers.

Python's own engine backtracks, and with some patterns it would do so for years. The engine of pydantic's core does not
backtrack, and has no look-around and no backreferences. Patterns that it can't read are not matched at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from pydantic_core import SchemaError, SchemaValidator, core_schema

MAX_PATTERN_WEIGHT = 10_000
"""The greatest weight of all patterns in one schema, with repetitions written out: a letter weighs 1, `.` 5, and a Unicode
class such as `\\w` 50. Patterns of this weight take a tenth of a second to prepare, and usual formats are far lighter."""
WEIGHT_CHARS_A_CHECK = 500
"""The product of a pattern's weight and a text's characters that counts as one check of a keyword."""

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
        """Returns whether a part of the text matches."""
        return self._ready[pattern].isinstance_python(text)

    def estimate_checks(self, pattern: str, text: str) -> int:
        """Returns how many checks of keywords this match counts as, at most."""
        return len(text) * self._weights[pattern] // WEIGHT_CHARS_A_CHECK


def drop_unreadable(schema: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns a schema without its unreadable patterns, and these patterns with the reason for each.

    If the names of properties have such a pattern, it is not known which names are allowed, so all of the schema's rules on
    additional properties are removed, too.
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
    """Returns which pattern of a schema can't be matched, and why; None if all can be matched."""
    for pattern, why in patterns.unreadable.items():
        return f"the pattern {pattern[:100]!r} can't be checked: {why}"
    if _mixes(schema):
        return "patternProperties beside unevaluatedProperties can't be checked"
    return None


def _mixes(schema: object) -> bool:
    """Returns whether a schema has `patternProperties` beside `unevaluatedProperties`, whose patterns jsonschema matches."""
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
    """Yields every object in a schema, at any place, because a reference may lead there."""
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
    """Returns the weight of a pattern with its repetitions written out."""
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
