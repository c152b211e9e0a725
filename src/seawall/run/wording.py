"""The words of a question, to tell a question in other words from another question.

Twenty names that are looked up are twenty questions: each has a word that none before had. A search that is worded
anew, whose words are put into another order or whose limit is raised runs out of new words soon.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple, cast
from zlib import crc32

MAX_WORDS = 32
"""Words of a question that are kept, those with the least hashes: of two texts with more, hardly all are the same."""
_WORD = re.compile(r"\w+")
_NAME_CHARS, _WORD_CHARS = 8, 4
"""Characters of a hash: of one word among some hundred, and of all that is no word."""
_FIELD_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_MEASURES = frozenset(
    _FIELD_WORD.findall(
        "limit max maximum top size timeout wait page pages offset skip depth retries lines results window radius"
    )
)
"""Words in the name of a number that says how much is asked for, how long, or which part of it: not what."""


class Wording(NamedTuple):
    """What a question is made of."""

    names: str
    """A hash of all that is no word of a text: numbers, ids, addresses, names, values of one word."""
    words: frozenset[str]
    """Hashes of the words of its texts."""


def read_wording(arguments: Any) -> str:
    """Returns the words of a call's arguments as short hashes in one text."""
    words, names = set[str](), list[str]()
    for field, value in list_values(arguments):
        if not isinstance(value, str):
            if not _is_measure(field):
                names.append(f"{field}={value}")
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
    hashes = sorted(set(map(_hash_word, words)))
    return f"{crc32(chr(0).join(names).encode()):08x}" + "".join(hashes[:MAX_WORDS])


def decode_wording(text: str) -> Wording:
    """Returns what `read_wording` wrote."""
    words = (text[at : at + _WORD_CHARS] for at in range(_NAME_CHARS, len(text), _WORD_CHARS))
    return Wording(text[:_NAME_CHARS], frozenset(words))


def list_values(arguments: Any) -> list[tuple[str, object]]:
    """Returns the texts and numbers of arguments, each with the name of its field."""
    found: list[tuple[str, object]] = []
    rest: list[tuple[str, Any]] = [("", arguments)]
    while rest:
        field, value = rest.pop()
        match value:
            case None:
                pass
            case dict():
                rest += cast("dict[str, Any]", value).items()
            case list():
                rest += [(field, item) for item in cast("list[Any]", value)]
            case _:
                found.append((field, value))
    return found


@functools.lru_cache(maxsize=4096)  # the questions of an application are written in few words
def _hash_word(word: str) -> str:
    return f"{crc32(word.encode()) & 0xFFFF:04x}"


@functools.lru_cache(maxsize=1024)  # the tools of an application have few fields
def _is_measure(field: str) -> bool:
    return any(word.lower() in _MEASURES for word in _FIELD_WORD.findall(field))
