"""Which values are big, how their JSON is read and written piece by piece, and what is kept of texts that come again.

A big value is handled in a thread. That helps the event loop only between two steps of the interpreter, so no single
step may be long: a long list is encoded in slices, and decoded item by item.
"""

from __future__ import annotations

import json
import json.decoder
import re
import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NoReturn, TypeVar, cast

import msgspec

T = TypeVar("T")

BIG_CHARS = 256 * 1024
"""Characters of JSON from which on a value is big: less takes a few milliseconds at most."""
KEPT_CHARS = 256 * 1024 * 1024
"""Bound of a run's `TextCache`: characters of the texts whose computed values are kept. A text counts once for each
function; the oldest values are dropped first. This is enough for all that a reply of 16 MB needs, and the computed
value is mostly the text itself."""
LEAST_KEPT_CHARS = 16 * 1024
"""Characters of the shortest text whose computed values are kept. Values of shorter texts are computed again: they take
no longer than the rest of their steps."""

CLEAN_CHARS = 16 * 1024 * 1024
CLEAN_TEXT_CHARS = 16 * 1024
_CLEAN_ENTRY_CHARS = 128
"""Characters of all texts that are known to hold no secret, of the longest one, and what an entry counts besides its text:
for each redactor 16 MB, if the texts are ASCII, and some 30,000 messages of 400 characters."""

_SLICE = 256
"""Items of a list or dictionary that are encoded in one call, if they are not big."""
_PEEK_CHARS = 1024
"""A value that ends within this many characters is decoded in one call."""
_MAX_DEPTH = 16
"""Levels of nesting down to which a value is written in pieces. On each level the parts that may be big are read again, and
a value that contains itself would have no end."""
_ITEM_CHARS = 8
"""Least characters that an item counts. A value with more than `BIG_CHARS / _ITEM_CHARS` items is therefore big, and
its items are not read."""

_PLAIN = frozenset({int, float, bool, type(None)})
_SPACE = re.compile(r"[ \t\n\r]*")
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


# ---- which values are big


def is_big(value: object) -> bool:
    """Returns whether it may take more than some milliseconds to encode, redact and hash a value.

    It stops reading the value as soon as the value is known to be big.
    """
    if isinstance(value, str | bytes | bytearray):
        return len(value) > BIG_CHARS
    left = BIG_CHARS
    found: list[object] = [value]
    while found:
        each = found.pop()
        left -= _ITEM_CHARS
        kind = type(each)
        if kind is str:
            left -= len(cast("str", each))
        elif kind not in _PLAIN:
            if isinstance(each, str | bytes | bytearray):
                left -= len(each)
            else:
                parts = _list_parts(each)
                if len(parts) * _ITEM_CHARS > left:
                    return True
                found += parts
        if left < 0:
            return True
    return False


def _list_parts(value: object) -> list[object]:
    if isinstance(value, dict):
        fields = cast("dict[object, object]", value)
        return [*fields, *fields.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(cast("Iterable[object]", value))
    if isinstance(value, type):
        return []
    attributes: object = getattr(value, "__dict__", None)
    if type(attributes) is dict:
        return list(cast("dict[str, object]", attributes).values())
    slots: object = getattr(type(value), "__slots__", ())
    return (
        [getattr(value, name, None) for name in cast("Iterable[str]", slots)] if type(slots) is tuple else []
    )


# ---- JSON in pieces


Encode = Callable[[object], str]


def encode_in_pieces(value: object, encode: Encode, *, sort: bool = True) -> str:
    """Returns the JSON of a value; each call of `encode` writes only a small part of it.

    The result is the same text that one call of `encode` would write; `sort` says whether `encode` sorts keys.
    """
    if not is_big(value):
        return encode(value)
    written: list[str] = []
    _write(value, encode, sort, written, _MAX_DEPTH)
    return "".join(written)


def _write(value: object, encode: Encode, sort: bool, written: list[str], depth: int) -> None:
    kind = type(value) if depth else None
    if kind is list and value:
        items = cast("list[object]", value)
        written.append("[")
        for at in range(0, len(items), _SLICE):
            part = items[at : at + _SLICE]
            if len(part) == len(items) or is_big(part):
                _write_items(part, encode, sort, written, depth - 1)
            else:
                written += (encode(part)[1:-1], ",")
        written[-1] = "]"  # in place of the last comma
        return
    if kind is dict and value:
        fields = cast("dict[object, object]", value)
        if all(type(name) is str for name in fields):
            names = [*cast("dict[str, object]", fields)]
            if sort:
                names.sort()
            written.append("{")
            for at in range(0, len(names), _SLICE):
                part = {name: fields[name] for name in names[at : at + _SLICE]}
                if len(part) == len(fields) or is_big(part):
                    _write_fields(part, encode, sort, written, depth - 1)
                else:
                    written += (encode(part)[1:-1], ",")
            written[-1] = "}"
            return
    written.append(encode(value))


def _write_items(items: list[object], encode: Encode, sort: bool, written: list[str], depth: int) -> None:
    for item in items:
        if is_big(item):
            _write(item, encode, sort, written, depth)
        else:
            written.append(encode(item))
        written.append(",")


def _write_fields(
    fields: dict[str, object], encode: Encode, sort: bool, written: list[str], depth: int
) -> None:
    for name, value in fields.items():
        written += (encode(name), ":")
        if is_big(value):
            _write(value, encode, sort, written, depth)
        else:
            written.append(encode(value))
        written.append(",")


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _read_float(text: str) -> float:
    number = float(text)
    return number if abs(number) < float("inf") else _refuse(text)


def _read_int(text: str) -> int:
    return int(text) if len(text) < 19 else _refuse(text)  # decoders disagree about longer numbers


_decoder = cast("Any", json.JSONDecoder(parse_float=_read_float, parse_int=_read_int, parse_constant=_refuse))
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once
_scan_string = cast("Callable[[str, int, bool], tuple[str, int]]", cast("Any", json.decoder).scanstring)


def decode_in_pieces(text: str) -> Any:
    """Returns what `msgspec.json.decode` returns, and raises what it raises; of a long text it reads a part at once."""
    data = text.encode()
    if len(text) <= BIG_CHARS or _HALF_CHARACTER.search(text):
        return msgspec.json.decode(data)
    try:
        value, end = _read(text, _skip_space(text, 0))
        if _skip_space(text, end) == len(text):
            return value
    except (ValueError, IndexError, StopIteration, RecursionError):
        pass
    # msgspec names the error, and reads a few texts that the code above does not
    return msgspec.json.decode(data)


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _read(text: str, at: int) -> tuple[Any, int]:
    """Returns the value that begins at `at`, and where it ends."""
    peeked = text[at : at + _PEEK_CHARS]
    try:
        value, end = _scan(peeked, 0)
        if end < len(peeked) or at + end == len(text):  # else a number may go on
            return value, at + end
    except (ValueError, StopIteration):
        pass  # the value goes on after the characters that were read, or it is not JSON
    match text[at]:
        case '"':
            return _scan_string(text, at + 1, True)
        case "[":
            return _read_list(text, at + 1)
        case "{":
            return _read_dict(text, at + 1)
        case other:
            return _refuse(other)


def _read_list(text: str, at: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    while True:
        value, at = _read(text, _skip_space(text, at))
        items.append(value)
        at = _skip_space(text, at)
        if text[at] == "]":
            return items, at + 1
        if text[at] != ",":
            _refuse(text[at])
        at += 1


def _read_dict(text: str, at: int) -> tuple[dict[str, Any], int]:
    fields: dict[str, Any] = {}
    while True:
        at = _skip_space(text, at)
        if text[at] != '"':
            _refuse(text[at])
        name, at = _scan_string(text, at + 1, True)
        at = _skip_space(text, at)
        if text[at] != ":":
            _refuse(text[at])
        fields[name], at = _read(text, _skip_space(text, at + 1))
        at = _skip_space(text, at)
        if text[at] == "}":
            return fields, at + 1
        if text[at] != ",":
            _refuse(text[at])
        at += 1


# ---- what was computed of them


class TextCache:
    """Values that were computed from long texts. A thread computes a value first, and the event loop looks it up.

    The functions are pure and their values are not changed, so it does not matter who computes one.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[Hashable, str], Any] = {}
        self._chars = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<TextCache {len(self._values)} values, {self._chars:,} characters>"

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._values = {}
            self._chars = 0

    def compute(self, function: Callable[[str], T], text: str, key: Hashable = None) -> T:
        """Returns `function(text)`. `key` names the function, if it is not the same object each time."""
        if len(text) < LEAST_KEPT_CHARS:
            return function(text)
        place = (key or function, text)
        try:
            return self._values[place]
        except KeyError:
            value = function(text)
        with self._lock:
            if place not in self._values:
                self._chars += len(text)
            self._values[place] = value
            while self._chars > KEPT_CHARS and len(self._values) > 1:
                oldest = next(iter(self._values))
                del self._values[oldest]
                self._chars -= len(oldest[1])
        return value


class CleanTexts:
    """Short texts that hold no secret, the newest ones: a conversation is sent again with each of its turns, and would be
    searched each time.
    """

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._chars = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<CleanTexts {len(self._texts)} texts, {self._chars:,}/{CLEAN_CHARS:,} characters>"

    def __contains__(self, text: str) -> bool:
        return len(text) <= CLEAN_TEXT_CHARS and text in self._texts

    def add(self, text: str) -> None:
        """Adds a text, and drops the oldest ones beyond `CLEAN_CHARS`."""
        if len(text) > CLEAN_TEXT_CHARS:
            return
        with self._lock:
            if text in self._texts:
                return
            self._texts[text] = None
            self._chars += len(text) + _CLEAN_ENTRY_CHARS
            while self._chars > CLEAN_CHARS:
                oldest = next(iter(self._texts))
                del self._texts[oldest]
                self._chars -= len(oldest) + _CLEAN_ENTRY_CHARS
