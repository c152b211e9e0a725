"""Text that is not what it looks like: finds what is odd about a text, and shows it so that all of it can be seen.

A person who approves a call reads its arguments on a screen. The author of the arguments may have hidden something there:
invisible characters, text that reverses its line or steers the terminal, a gap that pushes what follows out
of sight, letters of another alphabet, or markup that the screen draws instead of showing it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import cast

from seawall.core.invisible import BLANK, BLANK_LETTERS, is_invisible

GAP_CHARS = 24
"""White-space characters in a row that count as a gap: more than the indentation of text that is written by hand."""
REPEATED = 64
"""Repetitions of the same one to four characters that count as padding: more than a line below a heading has."""
LONG_CHARS = 20_000
"""Characters after which no person reads a text to its end. Slow searches do not go beyond them."""
MAX_MARKS = 3
"""Most marks on one letter that are not odd. No language's spelling has more, and more are drawn over the lines
above."""
MAX_FLAGS = 20
"""Odd texts of one call that are named; the rest is only counted."""
MAX_PLACE_CHARS = 60
"""Characters of a place's name that are shown: its last ones."""

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SHOWN_FORMATS = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Format characters that have a picture: the signs around Arabic and Indic numbers."""

_bidi = re.compile(f"[{_BIDI}]")
_shown_format = re.compile(f"[{_SHOWN_FORMATS}]")
_gap = re.compile(rf"[\s{BLANK_LETTERS}\u00ad\u200b-\u200f\u2060-\u2064\ufeff]{{{GAP_CHARS},}}")
_padding = re.compile(rf"(\S|\S.{{1,3}}?)\1{{{REPEATED - 1},}}", re.DOTALL)
_markup = re.compile(
    r"<[a-zA-Z/!?@#][^<>]*>"  # tags of HTML and XML, links and mentions of chats
    r"|<(?:script|img|iframe|svg|style|a|form|input|button|object|embed|link|meta|body)\b"  # also if the end of the tag is missing
    r"|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});"
    r"|\]\([^()\s]*[:/][^()]*\)"  # links and pictures of Markdown
    r"|```"
    r"|\[/?[a-z]+=[^\[\]]*\]",  # tags in brackets: [link=…]
    re.IGNORECASE,
)
_emoji_joins = re.compile(  # hearts, families and flags are written with characters that can't be seen
    r"(?<=[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff0-9#*])\ufe0f"
    r"|(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])"
)
_marks = re.compile(
    rf"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{{{MAX_MARKS + 1},}}"
)
_word = re.compile(r"[^\W\d_]+")
_spaces = re.compile(" {8,}")

_LOOK_ALIKE_SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
"""Alphabets that have letters which look like letters of another of these alphabets."""


def find_odd_text(value: object) -> tuple[str, ...]:
    """Returns what is odd about the texts in a JSON value, each with its place: `note: a gap of 900 characters`.

    Only the names of fields are quoted, with all that is invisible in them escaped.
    """
    found = list(_find_all(value))
    if len(found) > MAX_FLAGS:
        found[MAX_FLAGS:] = [f"and {len(found) - MAX_FLAGS:,} more"]
    return tuple(found)


def show_plainly(text: str) -> str:
    r"""Returns text in which all that can't be seen is escaped, as `\u200b`, and long rows of spaces are counted.

    A space stays a space; all other white space, also a new line, is escaped. No character of the result turns the
    line round, steers a terminal or is drawn over another line.
    """
    shown = text if text.isascii() and text.isprintable() else "".join(_escape_all(text))
    return _spaces.sub(lambda gap: f"[{len(gap[0]):,} spaces]", shown)


# ---- what is odd


def _find_all(value: object) -> Iterator[str]:
    """Yields what is odd in a value, in the order of its parts. It uses a list and no recursion, so that no value is
    nested too deeply.
    """
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        place, each = waiting.pop()
        if isinstance(each, str):
            for what in _find_in_text(each):
                yield f"{place}: {what}" if place else what
        elif isinstance(each, Mapping):
            fields = [(str(name), field) for name, field in cast("Mapping[object, object]", each).items()]
            for name, _ in fields:
                for what in _find_in_text(name):
                    yield f"a name in {place or 'the arguments'}: {what}"
            named = [(show_plainly(name[:MAX_PLACE_CHARS]), field) for name, field in fields]
            waiting += reversed([(_shorten(f"{place}.{name}" if place else name), at) for name, at in named])
        elif isinstance(each, Sequence | AbstractSet) and not isinstance(each, bytes | bytearray):
            items = enumerate(cast("Sequence[object]", each))
            waiting += reversed([(_shorten(f"{place}[{number}]"), item) for number, item in items])


def _shorten(place: str) -> str:
    return place if len(place) <= MAX_PLACE_CHARS else f"…{place[1 - MAX_PLACE_CHARS :]}"


def _find_in_text(text: str) -> Iterator[str]:
    """Yields what is odd about a text, in the order of how much it may mislead."""
    if not (text.isascii() and text.isprintable()):
        yield from _find_characters(text)
    gaps = [len(gap[0]) for gap in _gap.finditer(text)]
    if gaps:
        yield f"a gap of {max(gaps):,} characters"
    padding = _padding.search(text, 0, LONG_CHARS)
    if padding is not None:
        yield f"padding of {len(padding[0]):,} characters"
    if _markup.search(text) is not None:
        yield "markup"
    if len(text) >= LONG_CHARS:
        yield f"{len(text):,} characters"


def _find_characters(text: str) -> Iterator[str]:
    plain = _emoji_joins.sub("", text)
    kinds: dict[str, dict[str, None]] = {
        "bidirectional characters": {},
        "invisible characters": {},
        "control characters": {},
        "characters without a picture": {},
        "look-alikes of plain letters": {},
    }
    for character in dict.fromkeys(plain.replace("\r\n", "\n")):
        kind = None if character.isascii() and character.isprintable() else _classify(character)
        if kind is not None:
            kinds[kind][character] = None
    for kind, characters in kinds.items():
        if characters:
            codes = [f"U+{ord(each):04X}" for each in characters]
            yield f"{kind} ({', '.join(codes[:3])}{', …' if len(codes) > 3 else ''})"
    if any(_mixes_alphabets(word[0]) for word in _word.finditer(plain, 0, LONG_CHARS)):
        yield "letters of two alphabets in one word"
    if _marks.search(plain) is not None:
        yield "letters with many marks"


def _classify(character: str) -> str | None:
    """Returns the kind of odd character; None for one that is not odd."""
    if _bidi.match(character):
        return "bidirectional characters"
    if BLANK.match(character):
        return "invisible characters"
    match unicodedata.category(character):
        case "Cc":
            return None if character in "\n\t" else "control characters"
        case "Cf":
            return None if _shown_format.match(character) else "invisible characters"
        case "Zl" | "Zp":
            return "invisible characters"
        case "Cs" | "Co" | "Cn":
            return "characters without a picture"
        case _:
            wide = unicodedata.decomposition(character).startswith(("<wide>", "<font>"))
            plain = unicodedata.normalize("NFKC", character) if wide else ""
            return "look-alikes of plain letters" if plain.isascii() and plain.isalnum() else None


def _mixes_alphabets(word: str) -> bool:
    if word.isascii():
        return False
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in word}
    return len(scripts & _LOOK_ALIKE_SCRIPTS) > 1


def _is_mark(character: str) -> bool:
    return character >= "\u0300" and unicodedata.category(character) in {"Mn", "Me"}


# ---- showing it

_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def _escape_all(text: str) -> Iterator[str]:
    marks = MAX_MARKS  # at the beginning there is no letter that could carry one
    for character in text:
        if _is_mark(character):
            marks += 1
            hidden = marks > MAX_MARKS or BLANK.match(character) is not None
        else:
            hidden = is_invisible(character) or (character != " " and character.isspace())
            marks = MAX_MARKS if hidden else 0
        yield _escape(character) if hidden else character


def _escape(character: str) -> str:
    code = ord(character)
    return _SHORT.get(character) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
