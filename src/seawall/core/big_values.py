"""Which values are big, and how their JSON is written piece by piece.

A big value is handled in a thread. That helps the event loop only between two steps of the interpreter, so no single
step may be long: a long list is encoded in slices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

BIG_CHARS = 256 * 1024
"""Characters of JSON from which on a value is big: less takes a few milliseconds at most."""
SAMPLED = 3
"""Items of a long list that are looked at; the others are taken to be like them."""
SHORT_LIST, SHORT_DICT = 4, 32
"""A list or dictionary that is no longer than this is looked at as a whole: the fields of a record are not alike."""
MAX_DEPTH = 8
"""How deep a value is looked into. Tools rarely return what is deeper."""

_TEXTS = (str, bytes, bytearray)
_PLAIN = (int, float, type(None), type)


def is_big(value: object) -> bool:
    """Returns whether it may take more than some milliseconds to encode, redact and hash a value.

    It is an estimate from samples, so that small values pay next to nothing for it.
    """
    return _estimate_chars(value, MAX_DEPTH) > BIG_CHARS


def _estimate_chars(value: object, depth: int) -> int:
    if isinstance(value, _TEXTS):
        return len(value)
    if depth == 0 or isinstance(value, _PLAIN):
        return 8
    parts: Sequence[object]
    short = SHORT_LIST
    if isinstance(value, dict):
        parts, short = list(cast("dict[object, object]", value).values()), SHORT_DICT
    elif isinstance(value, list | tuple):
        parts = cast("Sequence[object]", value)
    elif isinstance(value, set | frozenset):
        parts = list(cast("set[object]", value))
    else:
        fields: object = getattr(value, "__dict__", None)
        return _estimate_chars(cast("object", fields), depth - 1) if type(fields) is dict else 8
    count = len(parts)
    looked_at = parts if count <= short else (parts[0], parts[count // 2], parts[-1])
    chars = 8 * len(looked_at)
    for part in looked_at:
        chars += _estimate_chars(part, depth - 1)
    return chars if count <= short else chars * count // SAMPLED


def encode_in_pieces(value: object, encode: Callable[[object], str]) -> str:
    """Returns the JSON of a value, of which `encode` never writes more than a small part at once.

    It is what `encode` alone would write, as long as that sorts keys.
    """
    if not is_big(value):
        return encode(value)
    written: list[str] = []
    _write(value, encode, written)
    return "".join(written)


def _write(value: object, encode: Callable[[object], str], written: list[str]) -> None:
    kind = type(value)
    if kind is list and is_big(value):
        written.append("[")
        _write_items(cast("list[object]", value), encode, written)
        written.append("]")
        return
    if kind is dict and is_big(value):
        fields = list(cast("dict[object, object]", value).items())
        if all(type(name) is str for name, _ in fields):
            written.append("{")
            _write_fields(sorted(cast("list[tuple[str, object]]", fields), key=_get_key), encode, written)
            written.append("}")
            return
    written.append(encode(value))


def _get_key(field: tuple[str, object]) -> str:
    return field[0]


def _write_items(items: list[object], encode: Callable[[object], str], written: list[str]) -> None:
    if len(items) == 1:
        _write(items[0], encode, written)
    elif not is_big(items):
        written.append(encode(items)[1:-1])
    else:
        middle = len(items) // 2
        _write_items(items[:middle], encode, written)
        written.append(",")
        _write_items(items[middle:], encode, written)


def _write_fields(
    fields: list[tuple[str, object]], encode: Callable[[object], str], written: list[str]
) -> None:
    if len(fields) == 1:
        written.append(f"{encode(fields[0][0])}:")
        _write(fields[0][1], encode, written)
    elif not is_big(fields):
        written.append(encode(dict(fields))[1:-1])
    else:
        middle = len(fields) // 2
        _write_fields(fields[:middle], encode, written)
        written.append(",")
        _write_fields(fields[middle:], encode, written)
