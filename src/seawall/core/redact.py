"""Secrets never reach store, log or screen: known shapes and known values are replaced on the way in.

Text comes from models and tools and is untrusted: every search here takes time in proportion to the text's length,
whatever the text says. A shape either ends after a bounded number of characters, or consumes the characters that it has
read. Most texts have no secret, so a few quick checks decide which searches are made at all.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import AnyStr, NamedTuple, cast

import msgspec

from seawall.core.big_values import CleanTexts
from seawall.core.secret_commands import MAY_BE_OPTION, PROGRAMS
from seawall.core.secret_files import KEY_MEMBERS, LOGIN_PORT
from seawall.core.secret_shapes import (
    AT_END,
    AT_START,
    CARD_CONTEXT_CHARS,
    CONTEXT_CHARS,
    MAX_SECRET_CHARS,
    SHAPES,
    find_cards,
)
from seawall.core.secret_words import AVE, BEYOND_ASCII

_SECRET_NAME = re.compile(r"(?:^|_)(?:API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|PRIVATE_KEY)$")
_MIN_LENGTH = 8  # a shorter value would redact ordinary words

KEY_FRAGMENT = re.compile(r"\b(?:sk|pk|rk)-[\w*.…-]{6,}|\bAIza[\w*-]{6,}|(?i:bearer\s+)[\w*.~+/=-]{6,}")
"""The rest of a key that a provider repeats masked or cut. This pattern is too loose for text of any other origin."""

_LEAST_CHARS = 7
"""Characters of the shortest secret with its name: `pwd=abc`."""
_LEAST_RUN = 19
"""Key characters in a row that every shape has at least."""
_LEAST_DIGITS = 14
"""Digits of the shortest card number."""

_PIECE_CHARS = 128 * 1024
"""Characters that are searched at once: about a millisecond."""
_BEFORE_CHARS = 512
"""Characters before a piece that are read with it: they tell whether something in the piece is a secret."""
_REACH_CHARS = 3 * MAX_SECRET_CHARS
"""Characters after a piece that are read with it: a secret that begins in the piece ends before them, with its name and
its context."""

MARK = "[redacted]"

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_KEY_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.+/~$:@%="
_AS_RUNS = bytes(ord("a") if byte in _KEY_BYTES else ord(" ") for byte in range(256))
_RUN = "a" * _LEAST_RUN
_AS_DIGITS = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
_DIGITS = b"0" * _LEAST_DIGITS
_GAPS = b" -."


class _Begins(NamedTuple):
    """A shape's fixed letters, their offsets in the shape, and the shape's whole pattern."""

    letters: str
    offsets: tuple[int, ...]
    pattern: str


@cache
def _compile_shape(pattern: str) -> re.Pattern[str]:
    """Returns a shape's pattern. It is compiled when the shape's letters are first found, because compiling all
    patterns takes 0.1 s.
    """
    # possessive: a class gives back no character, so a text that is too long fails at once
    kept = re.sub(r"(\]\{\d+,\d+\})(?![?+])", r"\1+", pattern)
    return re.compile(f"{AT_START}(?:{kept}){AT_END}")


_BEFORE_BODY = {
    mark: re.compile(rf"{re.escape(mark)}(?<=[A-Za-z0-9]{re.escape(mark)})(?=[A-Za-z0-9+/=_.-]{{10}})")
    for mark in ("_", "-", ".")
}
"""Patterns by the mark that ends most fixed letters: the mark with a long word after it, which is rare in ordinary
texts."""
_MARKED: dict[str, list[_Begins]] = {}
"""Shapes whose fixed letters end with such a mark, by their last three letters."""
_OTHERS: dict[str, list[_Begins]] = {}
"""Other shapes, by their fixed letters."""
_INNER: list[tuple[re.Pattern[str], _Begins]] = []
"""Shapes without fixed letters at their beginning, which have a mark inside."""
for _shape in SHAPES:
    for _letters in _shape.holds:
        _begins = _Begins(_letters, _shape.offsets, _shape.pattern)
        if _shape.behind:
            _INNER.append((re.compile(f"{re.escape(_begins.letters)}(?={_shape.behind})"), _begins))
        elif _begins.letters[-1] in _BEFORE_BODY:
            _MARKED.setdefault(_begins.letters[-3:], []).append(_begins)
        else:
            _OTHERS.setdefault(_begins.letters, []).append(_begins)

_PEM_BEGIN = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|---- BEGIN SSH2 (?:ENCRYPTED )?PRIVATE KEY ----"
)
_PEM_END = (
    r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|---- END SSH2 (?:ENCRYPTED )?PRIVATE KEY ----"
)
_PUTTY_BEGIN = r"PuTTY-User-Key-File-[0-9]:"
_PUTTY_END = r"Private-(?:MAC|Hash): ?[0-9a-f]{1,128}(?=[^0-9a-f])"
_END_CHARS = 160  # the longest end of a block, with the characters that show that it has ended


_BEGINS = re.compile(rf"(?P<pem>{_PEM_BEGIN})|(?P<putty>{_PUTTY_BEGIN})")
_ENDS = {"pem": re.compile(_PEM_END), "putty": re.compile(_PUTTY_END)}
"""Patterns for the end of secrets of many lines. A secret without its end goes on to the end of the text."""
_MAY_BEGIN = re.compile(
    r"(?:-----BEGIN [A-Z0-9 ]{0,58}-{0,4}|---- BEGIN [A-Z0-9 ]{0,30}-{0,3}|----|---- (?:B(?:E(?:G(?:IN?)?)?)?)?)\Z"
)
_MAY_BEGIN_CHARS = 80


@cache
def _load_names() -> ModuleType:
    """Returns the module of named secrets. It is imported late because its patterns take 15 ms to compile, and many
    commands redact nothing.
    """
    from seawall.core import secret_names  # noqa: PLC0415 -- as said

    return secret_names


@cache
def _load_tables() -> ModuleType:
    """Returns the module of secrets in tables, which needs that of named secrets."""
    from seawall.core import secret_tables  # noqa: PLC0415 -- as above

    return secret_tables


class Found(NamedTuple):
    """The secrets that were found in a text."""

    places: list[tuple[int, int]]
    """Start and end of each secret, in order; secrets that overlap are one."""
    named: list[tuple[int, int]]
    """Start of each secret's name, and end of the secret."""
    open_at: int
    """Start of a name or a block that may become a secret when more text comes; the text's length if there is none."""
    within: tuple[int, re.Pattern[str]] | None
    """For a block of lines whose end is missing: the end of its first line, and the pattern of its end."""
    header: tuple[int, int] | None = None
    """Start and end of the header of a table that more rows may follow."""


class Redactor:
    """Replaces secrets by `[redacted]`. `values` are secrets by themselves, whatever their shape."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values = sorted({value for value in values if len(value) >= _MIN_LENGTH})
        # bytes of the environment that are not UTF-8 arrive as surrogates
        as_bytes = [value.encode("utf-8", "surrogateescape").decode("latin-1") for value in self.values]
        self._values = _compile_any(self.values)
        self._values_as_bytes = _compile_any(as_bytes)
        self._clean = CleanTexts()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], values: Iterable[str] = ()) -> Redactor:
        """Returns a redactor that also knows the values of variables with names like `…_API_KEY`, `…_TOKEN`,
        `…_SECRET`.
        """
        named = [value for name, value in environment.items() if _SECRET_NAME.search(name.upper())]
        return cls([*values, *named])

    def text(self, text: str) -> str:
        """Returns `text` without its secrets."""
        chars = len(text)
        if chars < _LEAST_CHARS:
            return text
        kinds = _look_through(text) if chars > _PIECE_CHARS else _look(text)
        if not kinds and not (self.values and any(map(text.__contains__, self.values))):
            return text
        places = _see(text, kinds, self._values).places
        return MARK.join(_split_around(text, places)) if places else text

    def json(self, text: str) -> str:
        r"""Returns JSON `text` without its secrets, and the result is still JSON; any other text as `text` returns it.
        JSON is decoded if it may hold a secret: a search of the text does not find the key `\u0073k-…`. Where a name
        says that a value is secret, the value may have quotes, and its end is only known once it is decoded.
        """
        if text in self._clean:
            return text
        shown = self._find_in_json(text)
        if shown == text:
            self._clean.add(text)
        return shown

    def _find_in_json(self, text: str) -> str:
        if ("\\" not in text or self._is_plain(text)) and self.text(text) == text:
            return text
        try:
            value = _decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return self.text(text)
        redacted = self._walk(value)
        return self.text(text if redacted == value else _encode(redacted).decode())

    def _is_plain(self, text: str) -> bool:
        """Returns whether no secret hides behind the escaped characters of JSON text."""
        if "\\u" in text:
            return False
        plain = _unescape(text)
        return self.text(plain) == plain and not (
            _look_through(plain) & _NAMES and _load_names().has_name(plain)
        )

    def _walk(self, value: object, name: str = "") -> object:
        if isinstance(value, str):
            return MARK if name and _load_names().is_secret_value(name, value) else self.text(value)
        if isinstance(value, dict):
            pairs = cast("dict[str, object]", value).items()
            return {self.text(key): self._walk(item, key) for key, item in pairs}
        if isinstance(value, list):
            return [self._walk(item, name) for item in cast("list[object]", value)]
        if isinstance(value, int) and not isinstance(value, bool):
            number = str(value)
            hidden = _load_names().is_secret_value(name, number) or MARK in self.text(f"{name}: {number}")
            return MARK if hidden else value
        return value

    def places(self, text: str) -> list[tuple[int, int]]:
        """Returns start and end of each secret of `text`, in order; secrets that overlap are one."""
        return self.see(text).places

    def see(self, text: str, since: int = 0, *, at_line: bool = True) -> Found:
        """Returns the secrets of `text` that begin after `since`, and the place of what may yet become a secret.
        `at_line` says whether `text` begins a line.
        """
        # also names whose separator and value are still to come
        kinds = _look_through(text) | _NAMES
        return _see(text, kinds, self._values, since, at_line)

    def data(self, data: bytes) -> bytes:
        """Returns `data` without its secrets."""
        text = data.decode("latin-1")
        kinds = _look_through(text)
        if not kinds and self._values_as_bytes is None:
            return data
        places = _see(text, kinds, self._values_as_bytes).places
        return MARK.encode().join(_split_around(data, places))


def _unescape(text: str) -> str:
    """Returns JSON text with its escaped characters as they are, without those that are written as numbers."""
    parts = [
        part.replace('\\"', '"')
        .replace("\\n", "\n")
        .replace("\\t", "\t")
        .replace("\\r", "\r")
        .replace("\\/", "/")
        for part in text.split("\\\\")
    ]
    return "\\".join(parts)


def _compile_any(values: Sequence[str]) -> re.Pattern[str] | None:
    longest_first = sorted(values, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if values else None


_SHAPES, _CARDS, _NAMES, _LINES = 1, 2, 4, 8


def _look(text: str) -> int:
    """Returns which kinds of secrets a text may have: most texts have none. The checks are ordered by their cost: to
    search for a word takes ten times as long as for a character.
    """
    data = text.encode("utf-8", "surrogatepass")  # also half of a surrogate pair
    kinds = _SHAPES if _RUN in data.translate(_AS_RUNS).decode("latin-1") else 0
    digits = data.translate(_AS_DIGITS, _GAPS)
    if _DIGITS in digits:
        kinds |= _CARDS
    if _may_have_name(text, kinds, b"0" in digits):
        kinds |= _NAMES
    if "-" in text and ("-BEGIN" in text or "- BEGIN" in text or "PuTTY-User-Key" in text):
        kinds |= _LINES
    return kinds


def _may_have_name(text: str, kinds: int, has_digit: bool) -> bool:
    lower = text.lower()
    separated = "=" in text or ":" in text or ">" in text or '("' in text or "('" in text
    in_lines = "\n" in text and ("," in text or ";" in text or "\t" in text or "|" in text)
    return (
        "pass" in lower
        or "basic" in lower
        or ((separated or has_digit or kinds) and "bearer" in lower)
        or "identified by" in lower
        or (separated and ("auth" in lower or "cookie" in lower or "login(" in lower))
        or (
            (
                separated
                or kinds & _SHAPES
                or (has_digit and (in_lines or " is " in lower or ("-" in text and "--" in text)))
            )
            and ("token" in lower or "secret" in lower or "key" in lower or "pwd" in lower)
        )
        or ("@" in text and "://" in text)
        or (
            (separated or has_digit)
            and ("pw" in lower or "kennwort" in lower or "senha" in lower or "contrasena" in lower)
        )
        or (":" in text and text.count(":") >= 4 and LOGIN_PORT.search(text) is not None)
        or ("-" in text and MAY_BE_OPTION.search(text) and any(map(lower.__contains__, PROGRAMS)))
        or (not lower.isascii() and any(map(lower.__contains__, BEYOND_ASCII)))
        or (
            bool(kinds & _SHAPES)
            and (
                ("sig=" in lower or "signature=" in lower or "AKIA" in text or "ASIA" in text)
                or (separated and ("jeton" in lower or AVE in lower))
                or (":" in text and any(map(text.__contains__, KEY_MEMBERS)))
            )
        )
    )


def _look_through(text: str) -> int:
    """Returns which kinds of secrets a text of any length may have."""
    if len(text) <= _PIECE_CHARS:
        return _look(text)
    kinds = 0
    for at in range(0, len(text), _PIECE_CHARS):
        kinds |= _look(text[at : at + _PIECE_CHARS + _BEFORE_CHARS])
    return kinds


def _see(
    text: str, kinds: int, values: re.Pattern[str] | None, since: int = 0, at_line: bool = True
) -> Found:
    """Searches a long text one piece at a time, because each search holds the interpreter's lock and other threads
    wait.
    """
    found: list[tuple[int, int]] = []
    named: list[tuple[int, int]] = []
    cells: list[int] = []
    open_at = len(text)
    if kinds & (_SHAPES | _CARDS | _NAMES):
        for at in range(0, max(1, len(text) - _REACH_CHARS), _PIECE_CHARS):
            begin = max(0, at - _BEFORE_CHARS)
            piece = text[begin : at + _PIECE_CHARS + _REACH_CHARS]
            for start, end in _find_in_piece(piece, kinds, max(since, at) - begin):
                found.append((begin + start, begin + end))
            if kinds & _NAMES:
                for place in _load_names().find_names(piece, max(since, at) - begin):
                    if place.is_cell:
                        cells.append(begin + place.named_at)
                    if place.start < place.end:
                        found.append((begin + place.start, begin + place.end))
                        named.append((begin + place.named_at, begin + place.end))
                    if place.is_open and begin + len(piece) == len(text):
                        open_at = min(open_at, begin + place.named_at)
    within = header = None
    if cells or since:
        places, header, row_at = _load_tables().find_tables(text, cells, since, at_line)
        found += places
        open_at = min(open_at, row_at)
    if kinds & _LINES:
        blocks, within = _find_blocks(text, since)
        found = [place for place in found if not _is_inside(place[0], blocks)] + blocks
        named = [place for place in named if not _is_inside(place[0], blocks)]
    if values is not None:
        found += [match.span() for match in _find_all(values, text)]
    return Found(
        _join_places([place for place in found if place[0] >= since]), named, open_at, within, header
    )


def _find_in_piece(text: str, kinds: int, since: int) -> Iterator[tuple[int, int]]:
    if kinds & _SHAPES and (words := _with_long_words(text)):
        yield from _find_shapes(text, max(since, words[0]), words[1])
    if kinds & _CARDS:
        yield from find_cards(text)


def _find_all(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Yields what `pattern.finditer(text)` yields, but searches a long text one piece at a time. A match near the end
    of a piece may go on, and is searched for again in a longer piece.
    """
    at, size = 0, _PIECE_CHARS
    reach = len(pattern.pattern)  # known values stand in the pattern
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


def _with_long_words(text: str) -> tuple[int, int] | None:
    """Returns where the first word as long as a key begins and the last one ends."""
    data = text.encode("utf-8", "surrogatepass")
    runs = data.translate(_AS_RUNS).decode("latin-1")
    begin = runs.find(_RUN)
    if begin < 0 or len(data) > len(text):
        return None if begin < 0 else (0, len(text))
    end = runs.find(" ", runs.rindex(_RUN))
    return begin, len(text) if end < 0 else end


def _find_shapes(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for mark, before_body in _BEFORE_BODY.items():
        if text.find(mark, start, end) >= 0:
            for match in before_body.finditer(text, start, end):
                at = match.end()
                for each in _MARKED.get(text[max(0, at - 3) : at], ()):
                    if text.endswith(each.letters, 0, at):
                        yield from _match_shape(text, each, at - len(each.letters))
    for mark, begins in _INNER:
        for match in mark.finditer(text, start, end):
            yield from _match_shape(text, begins, match.start())
    region = text[start:end]
    for letters, each_of in _OTHERS.items():
        if letters not in region:
            continue
        at = text.find(letters, start, end)
        while at >= 0:
            for each in each_of:
                yield from _match_shape(text, each, at)
            at = text.find(letters, at + 1, end)


def _match_shape(text: str, begins: _Begins, at: int) -> Iterator[tuple[int, int]]:
    for offset in begins.offsets:
        start = at - offset
        if (
            start >= 0
            and (match := _compile_shape(begins.pattern).match(text, start))
            and len(match[0]) <= MAX_SECRET_CHARS
        ):
            yield match.span()


def _is_inside(at: int, blocks: list[tuple[int, int]]) -> bool:
    """Returns whether a place is inside of a block."""
    index = bisect_left(blocks, (at, 0)) - 1
    return index >= 0 and at < blocks[index][1]


def _find_blocks(text: str, since: int) -> tuple[list[tuple[int, int]], tuple[int, re.Pattern[str]] | None]:
    """Returns the places of blocks and, for a block whose end is missing, the end of its first line and the pattern of
    its end.
    """
    found: list[tuple[int, int]] = []
    at = since
    while begun := _BEGINS.search(text, at):
        ends = _ENDS[begun.lastgroup or ""]
        ended = ends.search(text, begun.end())
        found.append((begun.start(), len(text) if ended is None else ended.end()))
        if ended is None:
            return found, (begun.end(), ends)
        at = ended.end()
    return found, None


def _join_places(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    places: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if places and start < places[-1][1]:
            places[-1] = (places[-1][0], max(end, places[-1][1]))
        else:
            places.append((start, end))
    return places


def _split_around(text: AnyStr, places: Sequence[tuple[int, int]]) -> list[AnyStr]:
    """Returns the parts of a text before, between and after `places`."""
    kept: list[AnyStr] = []
    told = 0
    for start, end in places:
        kept.append(text[told:start])
        told = end
    kept.append(text[told:])
    return kept


_OVERLAP_CHARS = MAX_SECRET_CHARS
"""Characters of a longer word that are kept when it is released, so that a key that begins in it is still found."""
MAX_HELD_CHARS = 2 * _OVERLAP_CHARS
"""Most characters that are held back of a text that comes in pieces: a longer word is released, except for its end."""
_TOLD_CHARS = CONTEXT_CHARS + CARD_CONTEXT_CHARS
"""Characters of the released text that are kept: whether something is a secret depends on the text before it."""
_LOOK_CHARS = 1_024
"""Characters of held-back text up to which each piece is searched at once; a longer text is searched again when it has
grown by half."""

_WORD = r"[A-Za-z0-9_.~+/=%:@$\\-]"
"""A character of which shapes are made, or of an escape before a key."""
_OTHER = _WORD.replace("[", "[^")
_TO_LAST_OTHER = re.compile(rf"(?s:.*){_OTHER}")
_UP_TO_OTHER = re.compile(rf"(?={_OTHER})")
_DIGITS_LAST = re.compile(r"[0-9][0-9 .-]{0,30}\Z")
_DIGITS_LAST_CHARS = 32
_HEADER_BEGUN = re.compile(r"(?:\|[^\n]{100,1000}|(?:[^\s,;][^,;\t\n]{0,47}[,;\t]){3,200}[^,;\t\n]{0,48})")
"""A line that may become the header of a table. It is kept when it is released."""


class StreamRedactor:
    """Redacts text that comes in pieces: a secret that is split over pieces is found all the same.

    It holds back only what may yet become a secret: the last word if it consists of characters of shapes, a secret name
    with its possible value, digits, and the beginning of a block of lines or of a known value. Each piece is searched
    once or, if it is held back, a bounded number of times.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._told: str = ""
        """The end of the released text, as it was before it was redacted."""
        self._held: str = ""
        self._next_look_chars = 0
        self._at_line = True
        """Whether `_told` begins a line."""
        self._header = ""
        """The header of a table that more rows may follow. The rows that were released are not kept."""
        self._within: re.Pattern[str] | None = None
        """While the text is inside of a secret of which the beginning was already replaced: the pattern of its end."""
        self._firsts = {value[0] for value in redactor.values}
        self._longest = max(map(len, redactor.values), default=0)

    def feed(self, piece: str) -> str:
        """Takes the next piece; returns the text that may be released now."""
        if self._within is not None:
            text = self._held + piece
            match = self._within.search(text)
            if match is None:
                self._held = text[-_END_CHARS:]
                return ""
            self._told = text[max(0, match.end() - _TOLD_CHARS) : match.end()]
            self._at_line, self._header = False, ""
            self._held, self._within, piece = "", None, text[match.end() :]
        text = self._held + piece
        is_word = len(text) <= MAX_HELD_CHARS and _TO_LAST_OTHER.match(piece) is None
        if is_word or len(text) < self._next_look_chars:
            self._held = text
            return ""
        return self._tell(text)

    def _tell(self, text: str) -> str:
        before = len(self._told)
        seen = self._redactor.see(self._told + text, before, at_line=self._at_line)
        self._header = "" if seen.header is None else (self._told + text)[slice(*seen.header)]
        places = [(start - before, end - before) for start, end in seen.places]
        if seen.within is not None and places:
            begun, self._within = seen.within
            self._keep(text, len(text))
            self._held = text[max(0, begun - before) :][-_END_CHARS:]
            return MARK.join(_split_around(text, places))
        cut = min(self._cut(text), max(0, seen.open_at - before))
        if len(text) - cut > MAX_HELD_CHARS:
            cut = len(text) - _OVERLAP_CHARS
        named = [(start - before, end - before) for start, end in seen.named]
        for start, end in sorted([*places, *named], reverse=True):
            if start < cut < end:
                cut = max(0, start)
        if len(text) - cut > MAX_HELD_CHARS:  # the whole text is one secret that goes on
            self._keep(text, len(text))
            self._within = _UP_TO_OTHER
            return MARK.join(_split_around(text, places))
        self._keep(text, cut)
        return MARK.join(_split_around(text[:cut], [place for place in places if place[1] <= cut]))

    def _keep(self, text: str, cut: int) -> None:
        """Keeps the held-back text, and the end of the released text."""
        told = self._told + text[:cut]
        if len(told) > _TOLD_CHARS:
            line = told.rfind("\n") + 1
            if self._header:
                told = self._header + (told[line:] if self._header.endswith("\n") else "")
                self._at_line = True
            elif _HEADER_BEGUN.fullmatch(told, line):
                self._at_line |= line > 0
                told = told[line:]
            else:
                self._at_line = told[-_TOLD_CHARS - 1] == "\n"
                told = told[-_TOLD_CHARS:]
        self._told = told
        self._held = text[cut:]
        length = len(self._held)
        self._next_look_chars = 0 if length < _LOOK_CHARS else min(length * 3 // 2, MAX_HELD_CHARS)

    def _cut(self, text: str) -> int:
        """Returns the start of what may yet become a secret."""
        cut = _find_word_start(text, len(text))
        if match := _DIGITS_LAST.search(text, max(0, len(text) - _DIGITS_LAST_CHARS)):
            cut = min(cut, _find_word_start(text, match.start()))
        if match := _MAY_BEGIN.search(text, max(0, len(text) - _MAY_BEGIN_CHARS)):
            cut = min(cut, _find_word_start(text, match.start()))
        values = self._redactor.values
        for start in range(max(0, len(text) - self._longest + 1), cut):
            if text[start] in self._firsts:
                begun = text[start:]
                at = bisect_left(values, begun)
                if at < len(values) and values[at].startswith(begun):
                    return min(cut, _find_word_start(text, start))
        return cut

    def end(self) -> str:
        """Returns the held-back text, redacted, because no more text comes."""
        text, self._held = self._held, ""
        if self._within is not None:
            self._within = None
            return ""
        before = len(self._told)
        places = self._redactor.see(self._told + text, before, at_line=self._at_line).places
        return MARK.join(_split_around(text, [(start - before, end - before) for start, end in places]))


def _find_word_start(text: str, end: int) -> int:
    """Returns where the word begins that ends at `end`."""
    match = _TO_LAST_OTHER.match(text, 0, end)
    return 0 if match is None else match.end()
