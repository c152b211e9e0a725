"""The traces of a text that can be found again in another text: its literals, and shingles of its prose.

A *literal* is a token that hardly occurs by chance: it has a digit, an `@` or an underscore, and at least three
characters (order numbers, amounts, dates, ids, addresses). A *shingle* is three words in a row, in any spelling, of
which two are not function words ("VIPs get double"); or six characters in a row of a script without spaces. Of JSON
only the values count: all results of one tool have the same field names.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any

import msgspec

_PLAIN = "A-Za-z.:/+#$€£-"
_PLAIN_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.:/+#$€£-"
_MARKED_RUN = rf"[0-9@_][0-9@_{_PLAIN}]*+"
"""The part of a word from its first mark (a digit, `@` or `_`) on. Few words of a text have a mark, so only these are
searched; signs at their beginning and end are cut off later. No character is read twice."""
_MARKED = re.compile(r"[0-9@_]")
_BEFORE, _AROUND = "@.:/+-", "@.:/+#$€£-"
"""Signs that are cut off at the beginning of a token, and those that are cut off at its end. A sign of money or of a
number at its beginning counts toward its length."""
_MIN_LENGTH = 3
MAX_LITERAL_CHARS = 256
"""Characters of the longest literal. A longer token is content (base64, a path with a query), and not a value that is
written again."""
MAX_INDEXED_CHARS = 200_000
"""Characters of a text that are indexed: enough for `MAX_LITERALS_A_RESULT` with a sentence around each."""
MAX_LITERALS_A_RESULT = 2_000
"""Literals of a result that are indexed, the first ones: a page of search results has some hundred."""
MAX_PROSE_CHARS = 64_000
"""Characters of a text whose shingles are indexed: twenty pages, which take about 5 ms."""

_WORD = re.compile(r"[^\W_]+")
BLANKS = "".join(chr(code) if chr(code).isalnum() else " " for code in range(128))
"""A table for `str.translate` that turns the separators of words in ASCII text into blanks: twice as fast as a
pattern."""
_MIN_SHINGLE_CHARS = 12
"""Characters of the shortest shingle's three words. Shorter ones, such as "in the same" or "is 3 of", occur
everywhere."""
_MIN_WORD_CHARS = 4
_FUNCTION_WORDS = frozenset(
    [
        "about",
        "also",
        "been",
        "could",
        "from",
        "have",
        "here",
        "into",
        "just",
        "like",
        "more",
        "only",
        "other",
        "please",
        "should",
        "some",
        "than",
        "that",
        "their",
        "them",
        "then",
        "there",
        "they",
        "this",
        "very",
        "were",
        "what",
        "when",
        "which",
        "will",
        "with",
        "would",
        "your",
    ]
)
"""English words of four characters or more without content. In other languages only the length of words decides."""
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese."""
_UNSPACED_RUN = f"[{_UNSPACED}]{{6,}}"
_UNSPACED_CHARS = 6
"""Characters of a shingle in a script without spaces: about three words."""

_JSON_BEGINS = frozenset(["{", "[", '"'])
_has_digit = re.compile(r"\d").search
_decoder = msgspec.json.Decoder(float_hook=str)


_compile = functools.cache(re.compile)


class Traces(msgspec.Struct, frozen=True, gc=False):
    """The traces of one text."""

    literals: frozenset[str]
    shingles: frozenset[int]
    """Hashes of the shingles, which are valid only in this process."""
    whole: bool
    """Whether the text was short enough to be indexed to its end."""


def literals(text: str) -> set[str]:
    """Returns the literals of the first `MAX_INDEXED_CHARS` of `text`, at most `MAX_LITERALS_A_RESULT`."""
    found: set[str] = set()
    before = 0
    for run in _compile(_MARKED_RUN).finditer(text, 0, MAX_INDEXED_CHARS):
        start, end = run.span()
        if start > before and text[start - 1] in _PLAIN_CHARS:
            start = before + len(text[before:start].rstrip(_PLAIN_CHARS))
        before = end
        token = text[start:end]
        if token[0] in _BEFORE or token[-1] in _AROUND:
            token = token.lstrip(_BEFORE).rstrip(_AROUND)
            # Only an `@` that was cut off can have been the token's one mark.
            if "@" in run[0] and not _MARKED.search(token):
                continue
        if _MIN_LENGTH <= len(token) <= MAX_LITERAL_CHARS:
            found.add(token.lstrip(_AROUND) if token[0] in _AROUND else token)
            if len(found) >= MAX_LITERALS_A_RESULT:
                break
    return found


def find_traces(text: str) -> Traces:
    """Returns the literals and shingles of a text. In JSON only the values are indexed."""
    values = list_values(text)
    found = literals("\n".join(values))
    shingles: set[int] = set()
    left = MAX_PROSE_CHARS
    for value in values:
        if left <= 0:
            break
        chars = len(value)
        if chars > _MIN_SHINGLE_CHARS or not value.isascii():
            _add_shingles(value[:left], shingles)
        left -= chars
    whole = left >= 0 and len(text) <= MAX_INDEXED_CHARS and len(found) < MAX_LITERALS_A_RESULT
    normal = frozenset([_normalise(each) if "." in each else each.casefold() for each in found])
    return Traces(normal, frozenset(shingles), whole)


def _normalise(literal: str) -> str:
    """Returns one form for equal literals: 12.50 and 12.5, A-17 and a-17."""
    whole, point, rest = literal.partition(".")
    if point and whole.isdecimal() and rest.isdecimal():
        return literal.rstrip("0").rstrip(".")
    return literal.casefold()


def _add_shingles(text: str, found: set[int]) -> None:
    is_ascii = text.isascii()
    text = text.lower() if is_ascii else unicodedata.normalize("NFKC", text).casefold()
    words = text.translate(BLANKS).split() if is_ascii else _WORD.findall(text)
    if len(words) >= 3:
        says = [len(word) >= _MIN_WORD_CHARS and word not in _FUNCTION_WORDS for word in words]
        said = [
            (one, two, three)
            for one, two, three, x, y, z in zip(
                *(words, words[1:], words[2:]), *(says, says[1:], says[2:]), strict=False
            )
            if ((x and (y or z)) or (y and z)) and len(one) + len(two) + len(three) >= _MIN_SHINGLE_CHARS
        ]
        found.update(map(hash, said))
    if not is_ascii:
        for run in _compile(_UNSPACED_RUN).findall(text):
            found.update(hash(run[at : at + _UNSPACED_CHARS]) for at in range(len(run) - _UNSPACED_CHARS + 1))


def list_values(text: str) -> list[str]:
    """Returns the texts and numbers of JSON text, and those of its field names that have a digit; any other text as is."""
    if text[:1] not in _JSON_BEGINS or len(text) > MAX_INDEXED_CHARS:
        return [text]
    try:
        waiting: list[Any] = [_decoder.decode(text)]
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return [text]
    found: list[str] = []
    while waiting:
        value = waiting.pop()
        kind: object = value.__class__
        if kind is str:
            found.append(value)
        elif kind is dict:
            waiting += value.values()
            found += filter(_has_digit, value)
        elif kind is list:
            waiting += value
        elif kind is int or kind is float:
            found.append(str(value))
    return found
