"""Finds the values of a text without a source: no request, no result and no prompt before it has them. Pure.

A value is a literal (`traces.py`). Numbers are compared without trailing zeros and thousands separators, times without
seconds and in 12 or 24 hours alike, and a part of a date or an id that was shown counts as shown. A value without a
source is not necessarily wrong: a sum that an agent has computed correctly has no source either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, cast

import msgspec

from seawall.run.traces import MAX_INDEXED_CHARS, literals

_NUMBER = re.compile(r"(?<![\w.])(?<!\w-)\d{1,30}(?:\.\d{1,30})?(?![\w-]|\.\d)")
_PART = re.compile(r"\d{3,30}")
"""Digits within a literal that may occur alone in another text: the year of a date."""
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")

_TIME = re.compile(r"(?<!\d)(\d{1,2}):(\d{2})(?::\d{2})?(?!\d)")
_TIME_ONLY = re.compile(r"(\d{1,2}):(\d{2})(?::\d{2})?(?:\+1)?")
"""A time of day; its hour may be above 23."""


class ShownValues:
    """The values that texts have shown so far."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._literals: set[str] = set()
        self._numbers: set[Decimal | str] = set()
        self._times: set[tuple[int, int]] = set()
        for text in texts:
            self.learn(text)

    def __repr__(self) -> str:
        return f"<ShownValues {len(self._literals)} literals>"

    def learn(self, text: str) -> None:
        """Adds the values of a text."""
        text = _THOUSANDS.sub("", text)
        found = literals(text)
        self._literals |= found
        self._numbers.update(map(Decimal, set(_PART.findall(" ".join(found)))))
        shown = text[:MAX_INDEXED_CHARS]
        self._numbers.update(map(Decimal, set(_NUMBER.findall(shown))))
        if ":" in shown:
            self._times.update(_read_time(match) for match in _TIME.finditer(shown))

    def find_unsourced(self, text: str) -> list[str]:
        """Returns the values of a text that no text before it has shown, sorted. In JSON only the values are
        searched.
        """
        claimed = literals(_THOUSANDS.sub("", _extract_values(text)))
        return sorted(each for each in claimed if not self._has_shown(each))

    def _has_shown(self, literal: str) -> bool:
        if literal in self._literals or _normalise_number(literal) in self._numbers:
            return True
        time = _TIME_ONLY.fullmatch(literal)
        return time is not None and _read_time(time) in self._times


def _read_time(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]) % 12, int(match[2])


def _extract_values(text: str) -> str:
    """Returns the values in a text. The field names of an object are not values."""
    try:
        value: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return text
    return "\n".join(_walk_leaves(value))


def _walk_leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in cast("dict[str, Any]", value).values():
            yield from _walk_leaves(each)
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _walk_leaves(each)
    elif value is not None:
        yield str(value)


def _normalise_number(literal: str) -> Decimal | str:
    """Returns a number as `Decimal`, so that 250, 250.0 and 250.00 are equal; returns other literals unchanged."""
    return Decimal(literal) if _NUMBER.fullmatch(literal) else literal
