"""Repairs the arguments of a call, so that every server's parser accepts them as a JSON object."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, cast

from seawall.core.canonical import escape_unsendable
from seawall.models.providers.wire_rules import INT_BITS, MAX_ARGUMENTS_DEPTH

KEY = "arguments"
"""The key of the object that holds arguments which are not an object."""

_MAY_BE_UNSENDABLE = re.compile(r"\\u(?:[dD][89abAB]|[dD][c-fC-F]|0000)|[\ud800-\udfff]")
_LEAST_INT, _MOST_INT = -(2 ** (INT_BITS - 1)), 2**INT_BITS - 1
_INT_DIGITS = 20
"""Digits of the largest whole number that is accepted."""


def repair_arguments(text: str) -> str:
    """Returns `text` itself if strict parsers read it as an object, and otherwise an object with the same content.

    Text that no parser reads is put under `KEY` as a string, so that the model sees what it wrote.
    """
    if not text.strip():
        return "{}"
    reader = _Reader()
    try:
        value = reader.read(text)
    except (ValueError, RecursionError):
        return _write({KEY: escape_unsendable(text)})
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        return _write({KEY: value})
    return _write(cast("dict[str, Any]", value)) if reader.changed else text


def _write(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class _Reader:
    """Reads JSON and replaces what strict parsers refuse. `changed` says whether it replaced anything."""

    def __init__(self) -> None:
        self.changed = False

    def read(self, text: str) -> Any:
        value: Any = json.loads(
            text,
            object_pairs_hook=self._read_object,
            parse_constant=self._name_number,
            parse_float=self._read_float,
            parse_int=self._read_int,
        )
        if _measure_depth(value) > MAX_ARGUMENTS_DEPTH:
            raise ValueError("too deep")
        if _MAY_BE_UNSENDABLE.search(text):
            value = self._clean(value)
        return value

    def _read_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        self.changed = self.changed or len(made) < len(pairs)
        return made

    def _name_number(self, text: str) -> str:
        self.changed = True
        return text

    def _read_float(self, text: str) -> float | str:
        value = float(text)
        return value if math.isfinite(value) else self._name_number(text)

    def _read_int(self, text: str) -> int | str:
        if len(text) > _INT_DIGITS or not _LEAST_INT <= int(text) <= _MOST_INT:
            return self._name_number(text)
        return int(text)

    def _clean(self, value: Any) -> Any:
        """Returns the value without lone surrogates and zero characters. The depth of the value must be checked before."""
        if isinstance(value, str):
            clean = escape_unsendable(value)
            self.changed = self.changed or clean != value
            return clean
        if isinstance(value, list):
            return [self._clean(each) for each in cast("list[Any]", value)]
        if isinstance(value, dict):
            return {
                self._clean(key): self._clean(each) for key, each in cast("dict[str, Any]", value).items()
            }
        return value


def _measure_depth(value: Any) -> int:
    """Returns how deep a value is; it stops counting at one level more than is allowed."""
    depth, level = 0, [value]
    while level and depth <= MAX_ARGUMENTS_DEPTH:
        depth += 1
        level = [inner for each in level for inner in _list_inner(each)]
    return depth


def _list_inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()
