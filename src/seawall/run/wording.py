"""The words of a question, to distinguish a question in other words from a new question.

Look-ups of twenty names are twenty questions: each has a word that no earlier one had. A search that is reworded,
reordered or repeated with a higher limit soon has no new words. A question for another part of the same data, such as
the next page or the next range, is between the two.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple, cast
from zlib import crc32

MAX_WORDS = 32
"""Words of a question that are kept, those with the smallest hashes. Two different texts with more words hardly agree
in all of these."""
MAX_POSITIONS = 4
"""Most numbers of a question that count as positions."""
_WORD = re.compile(r"\w+")
_NAME_CHARS, _WORD_CHARS = 8, 4
"""Characters of the hash of all values that are not words, and of the hash of one word among some hundred."""
_FIELD_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_MEASURES = frozenset(
    _FIELD_WORD.findall(
        "limit max maximum top size timeout wait pages depth retries lines results window radius"
    )
)
"""Words in the name of a number that says how much is asked for, or for how long, but not what."""
_POSITIONS = frozenset(_FIELD_WORD.findall("page offset skip"))
"""Words in the name of a number that says which part is asked for, but not of what."""
_POSITION = "p"
"""Prefix of the shorter hash of a position; no hash of a word begins with it."""


class Wording(NamedTuple):
    """The parts of a question."""

    names: str
    """A hash of all values that are not words of a text: numbers, ids, addresses, names, values of one word."""
    words: frozenset[str]
    """Hashes of the words of the question's texts."""
    positions: frozenset[str] = frozenset()
    """Hashes of the numbers that say which part is asked for."""


def read_wording(arguments: Any) -> str:
    """Returns the words of a call's arguments as short hashes in one text."""
    words, names, positions = set[str](), list[str](), set[str]()
    for field, value in list_values(arguments):
        if not isinstance(value, str):
            if _has_word(field, _POSITIONS):
                positions.add(_POSITION + _hash_word(f"{field}={value}")[1:])
            elif not _has_word(field, _MEASURES):
                names.append(f"{field}={value}")
            continue
        if value.isascii() and value.isalnum():  # it is one word
            names.append(f"{field}={value.lower()}")
            continue
        said = _WORD.findall(value.casefold())
        if len(said) == 1:
            names.append(f"{field}={said[0]}")
            continue
        for word in said:
            if word.isalpha():
                words.add(word)
            else:
                names.append(word)
    names.sort()
    found = f"{crc32(chr(0).join(names).encode()):08x}"
    if not (words or positions):
        return found
    hashes = [*sorted(set(map(_hash_word, words)))[:MAX_WORDS], *sorted(positions)[:MAX_POSITIONS]]
    return found + "".join(hashes)


def decode_wording(text: str) -> Wording:
    """Returns the `Wording` that `read_wording` encoded."""
    hashes = {text[at : at + _WORD_CHARS] for at in range(_NAME_CHARS, len(text), _WORD_CHARS)}
    positions = frozenset(each for each in hashes if each.startswith(_POSITION))
    return Wording(text[:_NAME_CHARS], frozenset(hashes - positions), positions)


def list_values(arguments: Any) -> list[tuple[str, object]]:
    """Returns the texts and numbers of arguments, each with the name of its field."""
    found: list[tuple[str, object]] = []
    rest: list[tuple[str, Any]] = [("", arguments)]
    while rest:
        field, value = rest.pop()
        if isinstance(value, dict):
            rest += cast("dict[str, Any]", value).items()
        elif isinstance(value, list):
            rest += [(field, item) for item in cast("list[Any]", value)]
        elif value is not None:
            found.append((field, value))
    return found


@functools.lru_cache(maxsize=4096)  # an application's questions use few different words
def _hash_word(word: str) -> str:
    return f"{crc32(word.encode()) & 0xFFFF:04x}"


@functools.lru_cache(maxsize=1024)  # the tools of an application have few fields
def _has_word(field: str, words: frozenset[str]) -> bool:
    return any(word.lower() in words for word in _FIELD_WORD.findall(field))
