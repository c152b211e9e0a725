"""Text that is not what it looks like: invisible characters, turned lines, gaps that push words out of sight, markup.

A person who decides on arguments must see all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

MAX_FLAGS = 20
"""Oddities that are named of one value; that there are more is said."""
GAP_CHARS = 8
"""So much white space in a row, also of new lines, pushes what follows out of sight."""
PADDING_CHARS = 40
"""So many equal characters in a row do the same."""
_CONTROLS = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_INVISIBLE = _CONTROLS | {"Cf"}
"""Unicode categories of characters that are not seen: control, surrogate, private, unassigned, separators, format."""
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DRAWN_AS_NOTHING = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters and marks that have no picture; with the variation selectors below they can carry hidden text."""
_gap = re.compile(rf"\s{{{GAP_CHARS},}}")
_padding = re.compile(rf"([^\s\w])\1{{{PADDING_CHARS - 1},}}|(.)\2{{{PADDING_CHARS * 5 - 1},}}", re.DOTALL)
_markup = re.compile(
    r"</?[a-zA-Z!][^<>]{0,200}>|!?\[[^\[\]\n]{0,200}\]\([^()\s]{1,500}\)|&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[a-zA-Z]{2,10});"
)
_spaces = re.compile(f" {{{GAP_CHARS},}}")


def is_invisible(char: str) -> bool:
    """Returns whether a character is not seen at all. White space is seen, but for separators of lines."""
    if " " <= char <= "~":
        return False
    return (
        unicodedata.category(char) in _INVISIBLE
        or char in _DRAWN_AS_NOTHING
        or "\ufe00" <= char <= "\ufe0f"
        or "\U000e0100" <= char <= "\U000e01ef"
    )


def find_odd_text(value: object) -> tuple[str, ...]:
    r"""Returns what is odd in the texts of a JSON value, each with its place: `memo: bidirectional U+202E`.

    Odd are bidirectional, zero-width and other invisible characters, white space that is no plain space, gaps and
    padding that push text out of sight, and markup, which a page or a chat may draw as something else.
    """
    found: dict[str, None] = {}
    for place, text in _list_texts(value, ""):
        for oddity in _find_oddities(text):
            found.setdefault(f"{show_plainly(place)}: {oddity}" if place else oddity)
            if len(found) > MAX_FLAGS:
                return (*list(found)[:MAX_FLAGS], "more of the kind")
    return tuple(found)


def show_plainly(text: str) -> str:
    r"""Returns text in which each character that can't be seen is escaped as `\u200b`, and long gaps are counted.

    A space stays a space; all other white space, also a new line, is escaped.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(map(_show, text))
    return _spaces.sub(lambda gap: f"[{len(gap[0]):,} spaces]", text)


def _show(char: str) -> str:
    if char == " " or not (is_invisible(char) or char.isspace()):
        return char
    code = ord(char)
    named = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(char)
    return named or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def _list_texts(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Yields each text in a value with its place; keys are texts as well. It keeps a list of its own: no depth is too deep."""
    todo: list[tuple[str, object]] = [(place, value)]
    while todo:
        place, each = todo.pop()
        if isinstance(each, str):
            yield place, each
        elif isinstance(each, Mapping):
            fields = list(cast("Mapping[Any, Any]", each).items())
            for key, _ in fields:
                yield place, str(key)
            todo += [(f"{place}.{key}" if place else str(key), part) for key, part in reversed(fields)]
        elif isinstance(each, Sequence | AbstractSet) and not isinstance(each, bytes | bytearray):
            parts = list(cast("Sequence[Any]", each))
            todo += [(f"{place}[{at}]", part) for at, part in reversed(list(enumerate(parts)))]


def _find_oddities(text: str) -> Iterator[str]:
    if not text.isascii() or not text.isprintable():
        for char in dict.fromkeys(text):
            if (kind := _name_kind(char)) is not None:
                yield f"{kind} U+{ord(char):04X}"
    if (gap := _gap.search(text)) is not None:
        yield f"{len(gap[0]):,} characters of white space in a row"
    if (padding := _padding.search(text)) is not None:
        yield f"{show_plainly(padding[0][0])!r} {len(padding[0]):,} times in a row"
    if (markup := _markup.search(text)) is not None:
        yield f"markup {show_plainly(markup[0][:40])!r}"


def _name_kind(char: str) -> str | None:
    if char in "\n\r\t ":
        return "carriage return" if char == "\r" else None
    if char in _BIDIRECTIONAL:
        return "bidirectional"
    if is_invisible(char):
        return "control character" if unicodedata.category(char) in _CONTROLS else "invisible"
    return "unusual white space" if char.isspace() else None
