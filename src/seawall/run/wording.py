"""The words of a question, to tell a question in other words from another question.

Twenty names that are looked up are twenty questions: each has a word that none before had. A search that is worded
anew, whose words are put into another order or whose limit is raised runs out of new words soon.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from seawall.core.canonical import digest_of

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
    for field, value in _walk("", arguments):
        if not isinstance(value, str):
            names.append(f"{field}={value}")
            continue
        said = _WORD.findall(value)
        if len(said) == 1:
            names.append(f"{field}={said[0].casefold()}")
            continue
        for word in said:
            if any(char.isdigit() for char in word):
                names.append(word)
            else:
                words.add(word.casefold())
    return digest_of(sorted(names))[:_NAME_CHARS] + "".join(sorted(map(_hash_word, words))[:MAX_WORDS])


def decode_wording(text: str) -> Wording:
    """Returns what `read_wording` wrote."""
    words = (text[at : at + _WORD_CHARS] for at in range(_NAME_CHARS, len(text), _WORD_CHARS))
    return Wording(text[:_NAME_CHARS], frozenset(words))


def iterate_values(arguments: Any) -> Iterator[object]:
    """Yields the texts and numbers of arguments."""
    return (value for _, value in _walk("", arguments, measures=True) if value is not None)


@functools.lru_cache(maxsize=4096)  # the questions of an application are written in few words
def _hash_word(word: str) -> str:
    return digest_of(word)[:_WORD_CHARS]


def _walk(field: str, value: Any, *, measures: bool = False) -> Iterator[tuple[str, object]]:
    """Yields the values of arguments with the names of their fields; those that are measures only with `measures`."""
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from _walk(key, item, measures=measures)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _walk(field, item, measures=measures)
    elif measures or isinstance(value, str) or not _is_measure(field):
        yield field, value


@functools.lru_cache(maxsize=1024)  # the tools of an application have few fields
def _is_measure(field: str) -> bool:
    return any(word.lower() in _MEASURES for word in _FIELD_WORD.findall(field))
