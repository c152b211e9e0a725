"""Reads JSON and YAML files into plain values, with the line of each value for errors and findings.

Files from outside are bounded in size, in the depth of their values, and in the number of values after aliases are expanded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, cast

from seawall.core.errors import Misused
from seawall.lint.reading.places import find_line
from seawall.lint.reading.values import (
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MAX_SHOWN_CHARS,
    Way,
    as_list,
    as_mapping,
    show,
)
from seawall.lint.reading.yaml_documents import read_yaml


class Document:
    """The value in a file, with its lines."""

    def __init__(self, file: Path, value: object, lines: Mapping[Way, int], text: str) -> None:
        self.file = file
        self.value = value
        self._lines = lines
        self._text = text

    def __repr__(self) -> str:
        return f"<Document {self.file}>"

    def find_line(self, way: Way, name: str = "") -> int | None:
        """Returns the line of a value. For JSON it returns the first line with `name` in quotes."""
        while way and way not in self._lines:
            way = way[:-1]
        if way in self._lines:
            return self._lines[way]
        return find_line(self._text, name) if name else None

    def make_error(self, way: Way, what: str) -> Misused:
        """Returns an error about a value. Its message names the file, the line and the place of the value."""
        line = self.find_line(way)
        where = ".".join(map(str, way))
        return Misused(f"{self.file}{f':{line}' if line else ''}: {f'{where}: ' if where else ''}{what}")

    def take_mapping(
        self, value: object, way: Way, allowed: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Returns a mapping with text as keys. Raises `Misused` for anything else, and for keys that are not allowed."""
        found = as_mapping(value)
        if found is None:
            raise self.make_error(way, f"it is {show(value)}; it must be a mapping")
        for key in found:
            if not isinstance(key, str):
                raise self.make_error(way, f"it has the key {show(key)}; keys must be text")
            if allowed is not None and key not in allowed and not key.startswith("x-"):
                near = get_close_matches(key, list(allowed), 1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise self.make_error(
                    way, f"it has the key {show(key)}{hint}; allowed are {', '.join(allowed)}, and x-…"
                )
        return cast("dict[str, Any]", found)

    def take_list(self, value: object, way: Way) -> list[object]:
        """Returns a list. Raises `Misused` for anything else."""
        items = as_list(value)
        if items is None:
            raise self.make_error(way, f"it is {show(value)}; it must be a list")
        return items

    def take_text(self, value: object, way: Way) -> str:
        """Returns a text. Null becomes "", a number its digits, and a list of texts its lines."""
        if value is None:
            return ""
        if (items := as_list(value)) is not None:
            return "\n".join(self.take_text(item, (*way, number)) for number, item in enumerate(items))
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.make_error(way, f"it is {show(value)}; it must be text")
        text = str(value)
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise self.make_error(
                way, f"it is {show(value)}; it has half of a surrogate pair, so it is not text"
            )
        return text

    def take_name(self, value: object, way: Way) -> str:
        """Returns a name: a text of one line that is not empty."""
        name = self.take_text(value, way).strip() if as_list(value) is None else ""
        if not name or "\n" in name:
            raise self.make_error(way, f"it is {show(value)}; it must be a name, in one line")
        return name

    def take_names(self, value: object, way: Way) -> tuple[str, ...]:
        """Returns names, from a list of names or a single one."""
        items = as_list(value)
        if items is None:
            return (self.take_name(value, way),)
        return tuple(self.take_name(item, (*way, number)) for number, item in enumerate(items))

    def take_number(self, value: object, way: Way) -> float:
        """Returns a number above zero. Raises `Misused` for anything else."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < cast("float", value) < 1e15:
            raise self.make_error(way, f"it is {show(value)}; it must be a number above zero")
        return float(cast("float", value))

    def take_flag(self, value: object, way: Way) -> bool:
        """Returns a truth value. Raises `Misused` for anything else."""
        if not isinstance(value, bool):
            raise self.make_error(way, f"it is {show(value)}; it must be true or false")
        return value


def load_document(file: Path) -> Document:
    """Returns the document in a JSON or YAML file. Raises `Misused` if it can't be read."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Misused(f"{file} can't be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise Misused(f"{file} has more than {MAX_FILE_BYTES:,} bytes; a description of a team is shorter")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Misused(f"{file}: byte {error.start} is not UTF-8 text") from None
    if file.suffix.lower() in (".yaml", ".yml"):
        value, lines = read_yaml(file, text)
        return Document(file, value, lines, text)
    return Document(file, _read_json(file, text), {}, text)


def _read_json(file: Path, text: str) -> object:
    def take_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                line = find_line(text, key)
                raise Misused(
                    f"{file}{f':{line}' if line else ''}: the key {show(key)} is in the same object twice"
                )
            found[key] = value
        return found

    def reject_constant(name: str) -> NoReturn:
        raise Misused(f"{file}: {name} is not JSON")

    try:
        value = json.loads(text, object_pairs_hook=take_pairs, parse_constant=reject_constant)
    except json.JSONDecodeError as error:
        raise Misused(f"{file}:{error.lineno}: it is not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise Misused(f"{file}: values are nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:  # a number with thousands of digits
        raise Misused(f"{file}: it has a value that can't be read: {str(error)[:MAX_SHOWN_CHARS]}") from None
    _check_depth(file, value)
    return value


def _check_depth(file: Path, value: object) -> None:
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise Misused(f"{file}: values are nested more than {MAX_DEPTH} deep")
        inner = list((as_mapping(each) or {}).values()) or as_list(each) or []
        waiting += [(value, depth + 1) for value in inner]
