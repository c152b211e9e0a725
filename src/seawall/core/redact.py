"""Secrets never reach store, log or screen: known shapes and known values are replaced on the way in.

Text comes from models and tools, so nobody vouches for it: every search here takes time in proportion to
its length, whatever it says. A shape is either over after a bounded number of characters, or consumes what it
has looked at.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import AnyStr, cast

import msgspec

from seawall.core.big_values import decode_in_pieces, encode_in_pieces

# OpenAI, Anthropic and kin. `task-…`, `desk-…` and `risk-…` end alike: behind a letter that is not the end of an
# escape, a key is what has both cases, a digit and sixteen characters without a dash.
_KEY = (
    r"sk-(?:(?<![A-Za-z0-9]sk-)|(?<=\\[bfnrt]sk-)|(?<=\\u[0-9A-Fa-f]{4}sk-)|(?<=%[0-9A-Fa-f]{2}sk-)"
    r"|(?=[a-z0-9_-]{0,99}+[A-Z])(?=[A-Z0-9_-]{0,99}+[a-z])(?=[A-Za-z_-]{0,99}+[0-9])"
    r"(?=(?:[A-Za-z0-9]{0,15}+[_-]){0,20}+[A-Za-z0-9]{16}))[A-Za-z0-9_-]{16,}"
)

# Shapes that are secrets wherever they stand. Each begins with fixed letters, so that ordinary text
# is passed over quickly.
_SHAPES = (
    _KEY,
    r"A(?:KI|SI)A[A-Z0-9]{16}",  # AWS access key id
    r"gh[pousr]_[A-Za-z0-9]{30,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{30,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"AIza[A-Za-z0-9_-]{30,}",  # Google
    r"glpat-[A-Za-z0-9_-]{16,}",  # GitLab
    r"rk_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
    r"sk_(?:live|test)_[A-Za-z0-9]{16,}",
    r"[Bb](?i:earer )[A-Za-z0-9._~+/-]{20,}=*",
)
_JWT = r"eyJ[A-Za-z0-9_-]{10,}+(\.eyJ[A-Za-z0-9_-]{10,}+(?:\.[A-Za-z0-9_-]{10,}+)+)?"
"""A first part without the others is taken, too, and passed over: no later start in it can do better."""
_PEM_BEGIN = r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"
_PEM_END = r"-----END [A-Z ]{0,40}PRIVATE KEY-----"
_PEM = rf"{_PEM_BEGIN}[\s\S]*?(?:{_PEM_END}|\Z)"
_PEM_END_CHARS = 65  # the longest

_SECRET_NAME = re.compile(r"(?:^|_)(?:API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|PRIVATE_KEY)$")
_MIN_LENGTH = 8  # a shorter value would redact ordinary words

KEY_FRAGMENT = re.compile(r"\b(?:sk|pk|rk)-[\w*.…-]{6,}|\bAIza[\w*-]{6,}|(?i:bearer\s+)[\w*.~+/=-]{6,}")
"""What is left of a key where a provider repeats it masked or cut; too loose for text of any other origin."""

_LEAST_CHARS = 13
"""No shape is shorter: the first part of a token that begins with `eyJ`."""

_BEGIN_CHARS = 32
"""What every shape begins with is shorter, with the words before it that are looked for."""
_PIECE_CHARS = 128 * 1024
"""Characters that are searched at once: about a millisecond."""
_REACH_CHARS = 1_024
"""Whether a shape begins at a place is known after fewer characters, wherever it then ends."""

MARK = "[redacted]"


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


class Redactor:
    """Replaces secrets by `[redacted]`. `values` are secrets by themselves, whatever their shape."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values = sorted({value for value in values if len(value) >= _MIN_LENGTH})
        shapes = ["|".join(_SHAPES), _JWT, _PEM]
        if self.values:
            shapes.append("|".join(re.escape(value) for value in sorted(self.values, key=len, reverse=True)))
        self._least_chars = min([_LEAST_CHARS, *map(len, self.values)])
        self._patterns = [re.compile(shape) for shape in shapes]
        # what an environment has that is no UTF-8 comes as surrogates
        self._bytes = [re.compile(shape.encode("utf-8", "surrogateescape")) for shape in shapes]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], values: Iterable[str] = ()) -> Redactor:
        """One that also knows the values of variables named like `…_API_KEY`, `…_TOKEN`, `…_SECRET`."""
        named = [value for name, value in environment.items() if _SECRET_NAME.search(name.upper())]
        return cls([*values, *named])

    def text(self, text: str) -> str:
        """`text` without its secrets."""
        if not self._may_hold(text):
            return text
        return MARK.join(_around(text, self.places(text)))

    def json(self, text: str) -> str:
        r"""JSON `text` without its secrets, which is JSON still; any other text as `text` returns it.

        It is decoded if it may hold one: `\u0073k-…` is a key that a search of the text does not find.
        """
        if "\\" not in text and self.text(text) == text:
            return text
        try:
            value = decode_in_pieces(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return self.text(text)
        redacted = self._walk(value)
        return self.text(text if redacted == value else encode_in_pieces(redacted, _encode, sort=False))

    def _walk(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            pairs = cast("dict[str, object]", value).items()
            return {self.text(key): self._walk(item) for key, item in pairs}
        if isinstance(value, list):
            return [self._walk(item) for item in cast("list[object]", value)]
        if isinstance(value, int) and not isinstance(value, bool):
            return MARK if self.text(str(value)) == MARK else value
        return value

    def _may_hold(self, text: str) -> bool:
        """Returns whether `text` may have a secret in it: few texts have, and the others are not searched."""
        if len(text) < self._least_chars:
            return False
        return _may_have_shape(text) or (bool(self.values) and any(map(text.__contains__, self.values)))

    def places(self, text: str) -> list[tuple[int, int]]:
        """Where the secrets of `text` begin and end, in order; those that overlap are one."""
        return _places(self._patterns, text)

    def data(self, data: bytes) -> bytes:
        """`data` without its secrets."""
        return MARK.encode().join(_around(data, _places(self._bytes, data)))


def _may_have_shape(text: str) -> bool:
    """Returns whether `text` has what every shape above begins with."""
    if len(text) <= _PIECE_CHARS:
        return _may_have_shape_in(text)
    return any(
        _may_have_shape_in(text[at : at + _PIECE_CHARS + _BEGIN_CHARS])
        for at in range(0, len(text), _PIECE_CHARS)
    )


def _may_have_shape_in(text: str) -> bool:
    """See `_may_have_shape`. Most texts lack even the rare character of a beginning."""
    if "-" in text and ("sk-" in text or "xox" in text or "glpat-" in text or "-----BEGIN" in text):
        return True
    if "_" in text and ("_live_" in text or "_test_" in text or "_pat_" in text or "gh" in text):
        return True
    if "A" in text and ("AKIA" in text or "ASIA" in text or "AIza" in text):
        return True
    return "eyJ" in text or "earer " in text.lower()


def _places(patterns: Sequence[re.Pattern[AnyStr]], text: AnyStr) -> list[tuple[int, int]]:
    found = [
        match.span()
        for pattern in patterns
        for match in _find_all(pattern, text)
        if not pattern.groups or match[1] is not None
    ]
    places: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if places and start < places[-1][1]:
            places[-1] = (places[-1][0], max(end, places[-1][1]))
        else:
            places.append((start, end))
    return places


def _find_all(pattern: re.Pattern[AnyStr], text: AnyStr) -> Iterator[re.Match[AnyStr]]:
    return pattern.finditer(text) if len(text) <= _PIECE_CHARS else _find_in_pieces(pattern, text)


def _find_in_pieces(pattern: re.Pattern[AnyStr], text: AnyStr) -> Iterator[re.Match[AnyStr]]:
    """Yields what `pattern.finditer(text)` yields, but looks at a piece of a long text at a time.

    Each search holds the interpreter's lock to its end, and other threads wait meanwhile. A match that comes near the
    end of a piece may go on, and is looked for again in a longer one.
    """
    at, size = 0, _PIECE_CHARS
    reach = max(_REACH_CHARS, len(pattern.pattern))  # a known value may be long, and stands in the pattern
    while at <= len(text):
        end = min(len(text), at + max(size, 2 * reach))
        match = pattern.search(text, at, end)
        if end == len(text) or (match is not None and match.end() <= end - reach):
            if match is None:
                return
            yield match
            at, size = match.end(), _PIECE_CHARS
            continue
        begin = end - reach if match is None else min(match.start(), end - reach)
        at, size = (begin, _PIECE_CHARS) if begin > at else (at, 2 * size)


def _around(text: AnyStr, places: Sequence[tuple[int, int]]) -> list[AnyStr]:
    """What stands before, between and behind `places`."""
    kept: list[AnyStr] = []
    told = 0
    for start, end in places:
        kept.append(text[told:start])
        told = end
    kept.append(text[told:])
    return kept


MAX_HELD_CHARS = 8_192
"""Of a text that is told in pieces: a longer word than what HTTP servers take as a header is no secret."""
_OVERLAP_CHARS = 256
"""Kept of a longer word when it is let go, so that a key that begins in it is still found."""

_WORD = r"[A-Za-z0-9_.~+/=%\\-]"
"""What shapes are made of, and the escapes that a key may stand behind."""
_OTHER = _WORD.replace("[", "[^")
_TO_LAST_OTHER = re.compile(rf"(?s:.*){_OTHER}")
_UP_TO_OTHER = re.compile(rf"(?={_OTHER})")
_UP_TO_END = re.compile(_PEM_END)
_BEGINS = re.compile(_PEM_BEGIN)
_MAY_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,51}-{0,4}\Z")
_MAY_BEGIN_CHARS = 66
_BEARER = "bearer "


class StreamRedactor:
    """Redacts text that comes in pieces: a secret that is split over pieces is found all the same.

    Held back is only what may yet become a secret: the last word if it is one of shapes' characters, with a
    `Bearer` before it, the beginning of a PEM block or of a known value. Each piece is looked at once or, if it
    is held back, a bounded number of times.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""
        self._within: re.Pattern[str] | None = None
        """Inside of a secret that was told as such: where it ends."""
        self._firsts = {value[0] for value in redactor.values}
        self._longest = max(map(len, redactor.values), default=0)

    def feed(self, piece: str) -> str:
        """What may be told now."""
        if self._within is not None:
            text = self._held + piece
            match = self._within.search(text)
            if match is None:
                self._held = text[-_PEM_END_CHARS:]
                return ""
            self._held, self._within, piece = "", None, text[match.end() :]
        text = self._held + piece
        if len(text) <= MAX_HELD_CHARS and _TO_LAST_OTHER.match(piece) is None:
            self._held = text  # the last word goes on
            return ""
        return self._tell(text)

    def _tell(self, text: str) -> str:
        places = self._redactor.places(text)
        if places and places[-1][1] == len(text) and (begun := _open_block(text, places[-1][0])):
            self._held, self._within = text[begun:][-_PEM_END_CHARS:], _UP_TO_END
            return MARK.join(_around(text, places))
        cut = self._cut(text)
        if len(text) - cut > MAX_HELD_CHARS:
            cut = len(text) - _OVERLAP_CHARS
        for start, end in places:
            if start < cut < end:
                cut = start
        if len(text) - cut > MAX_HELD_CHARS:  # all of it is one secret that goes on
            self._held, self._within = "", _UP_TO_OTHER
            return MARK.join(_around(text, places))
        self._held = text[cut:]
        return MARK.join(_around(text[:cut], [place for place in places if place[1] <= cut]))

    def _cut(self, text: str) -> int:
        """Where that begins which may yet become a secret."""
        cut = _word_start(text, len(text))
        if text[max(0, cut - len(_BEARER)) : cut].lower() == _BEARER:
            cut = _word_start(text, cut - 1)
        if match := _MAY_BEGIN.search(text, max(0, len(text) - _MAY_BEGIN_CHARS)):
            cut = min(cut, _word_start(text, match.start()))
        values = self._redactor.values
        for start in range(max(0, len(text) - self._longest + 1), cut):
            if text[start] in self._firsts:
                begun = text[start:]
                at = bisect_left(values, begun)
                if at < len(values) and values[at].startswith(begun):
                    return min(cut, _word_start(text, start))
        return cut

    def end(self) -> str:
        """What was held back."""
        text, self._held = self._held, ""
        if self._within is not None:
            self._within = None
            return ""
        return self._redactor.text(text)


def _word_start(text: str, end: int) -> int:
    """Where the word begins that ends at `end`."""
    match = _TO_LAST_OTHER.match(text, 0, end)
    return 0 if match is None else match.end()


def _open_block(text: str, start: int) -> int | None:
    """Behind the first line of a PEM block in the secret at `start` whose last line is missing; or None."""
    begun = None
    at = start
    while match := _BEGINS.search(text, at):
        begun = match.end()
        ended = _UP_TO_END.search(text, begun)
        if ended is None:
            return begun
        at = ended.end()
    return None
