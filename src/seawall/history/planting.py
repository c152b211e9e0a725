"""Plants one contradiction of the evidence into an answer, to test whether the reviewer finds it.

A number, a date, an id or a name of the evidence is replaced by one that is neither in the evidence nor in the request;
or a sentence is added that no result supports. Each answer gets only one of them, so that a rejection has one reason.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Literal, NamedTuple, get_args

from seawall.run.traces import list_values

PlantKind = Literal["number", "date", "id", "name", "claim"]
KINDS: tuple[PlantKind, ...] = get_args(PlantKind)

MAX_TRIES = 50
"""How many other values are tried for one place. With two digits or more, the first one is nearly always in no text."""
MAX_PLACES = 200
"""How many values of an answer are considered: more than a reader would check."""
MAX_DAYS = 27
"""The most days by which a date is moved, so that it stays in the same month or the next."""

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NAMES = (
    "Almeida",
    "Bergstrom",
    "Castellano",
    "Dimitrov",
    "Eriksen",
    "Fontaine",
    "Haddad",
    "Ivanova",
    "Kowalski",
    "Lindqvist",
    "Moreau",
    "Nakamura",
    "Okafor",
    "Petrov",
    "Rossi",
    "Tanaka",
)
"""Family names from several languages; none of them is a word that starts a sentence."""
_CLAIMS = (
    "This was confirmed by phone on {day} under reference {id}.",
    "An exception was granted on {day}, case {id}.",
    "A second check on {day} ({id}) came to the same result.",
    "The supplier has guaranteed this in writing, document {id} of {day}.",
)
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ"

_MONTH_NAMES = "|".join(_MONTHS)
_DATE = re.compile(
    rf"(?<![\w.-])(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{4}}|\d{{1,2}} (?:{_MONTH_NAMES})"
    rf"|(?:{_MONTH_NAMES}) \d{{1,2}})(?![\w-]|[./]\d)"
)
_ID = re.compile(
    r"(?<![\w@./-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z_])[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*(?![\w@-]|\.\w)|(?<=#)\d{2,}(?!\w)"
)
_NUMBER = re.compile(r"(?<![\w.,#-])\d{1,15}(?:,\d{3})*(?:\.\d{1,15})?(?![\w-]|[.,:]\d)")
_NAME = re.compile(r"(?<=[^\W_] |, )(?!(?:Mrs|Miss|Prof|Herr|Frau)\b)[A-Z][^\WA-Z\d_][^\W\d_]+(?!\w)")
"""A word with a capital letter that does not begin a sentence, is not a title, and is not all in capitals (EUR)."""
_DIGIT = re.compile(r"\d")


class ValuePlace(NamedTuple):
    """A value in a text."""

    kind: PlantKind
    start: int
    end: int


class Planted(NamedTuple):
    """An answer with one planted contradiction."""

    kind: PlantKind
    answer: str
    original: str
    """The value that was replaced; "" if a sentence was added."""
    planted: str
    """The new value, or the added sentence."""


def plant(answer: str, evidence: str, request: str, kind: PlantKind, seed: str) -> Planted | None:
    """Returns the answer with one contradiction of `kind`; None if the answer has no value of this kind.

    The same texts and the same seed give the same answer.
    """
    rng = random.Random(f"{seed}\0{kind}")
    known = "\n".join((request, answer, *list_evidence(evidence)))
    if kind == "claim":
        return _add_claim(answer, known, rng)
    shown = "\n".join(list_evidence(evidence))
    places = [each for each in list_places(answer) if each.kind == kind]
    places = [each for each in places if _holds(shown, answer[each.start : each.end])]
    rng.shuffle(places)
    for place in places:
        original = answer[place.start : place.end]
        planted = _choose_other(original, known, _CHANGES[kind], rng)
        if planted is not None:
            changed = _replace_all(answer, original, planted)
            return Planted(kind, changed, original, planted)
    return None


def list_places(text: str) -> list[ValuePlace]:
    """Returns the dates, ids, numbers and names of a text, in this order; no character belongs to two of them."""
    found: list[ValuePlace] = []
    taken: set[int] = set()
    patterns: Sequence[tuple[PlantKind, re.Pattern[str]]] = (
        ("date", _DATE),
        ("id", _ID),
        ("number", _NUMBER),
        ("name", _NAME),
    )
    for kind, pattern in patterns:
        for match in pattern.finditer(text):
            span = range(match.start(), match.end())
            if taken.isdisjoint(span):
                taken.update(span)
                found.append(ValuePlace(kind, match.start(), match.end()))
            if len(found) >= MAX_PLACES:
                return found
    return found


def list_evidence(evidence: str) -> Iterator[str]:
    """Yields the values in the results that the reviewer is shown; field names of JSON results are left out."""
    for line in evidence.split("\n"):
        head, colon, rest = line.partition(": ")
        if colon and head.startswith("- ") and rest[:1] in ("{", "[", '"'):
            yield from list_values(rest)
        else:
            yield line


def _holds(text: str, value: str) -> bool:
    """Returns whether a text contains a value as a whole word, or as another spelling of the same number."""
    if re.search(rf"(?<![\w.,])0*{re.escape(value)}(?!\w|[.,]\d)", text, re.IGNORECASE):
        return True
    number = _read_number(value)
    return number is not None and any(_read_number(each[0]) == number for each in _NUMBER.finditer(text))


def _read_number(text: str) -> str | None:
    """Returns the normal form of a number, so that 1,200.50 equals 1200.5; None if the text is not a number."""
    plain = text.replace(",", "")
    if not _NUMBER.fullmatch(plain):
        return None
    whole, _, rest = plain.partition(".")
    rest = rest.rstrip("0")
    return f"{whole.lstrip('0') or '0'}.{rest}" if rest else whole.lstrip("0") or "0"


def _choose_other(
    original: str, known: str, change: Callable[[str, random.Random], str], rng: random.Random
) -> str | None:
    for _ in range(MAX_TRIES):
        other = change(original, rng)
        if other != original and not _holds(known, other):
            return other
    return None


def _replace_all(answer: str, original: str, planted: str) -> str:
    """Returns the answer with every occurrence of a value in this spelling replaced."""
    whole = rf"(?<![\w.,])(?<![\w]-){re.escape(original)}(?![\w-]|[.,]\d)"
    return re.sub(whole, lambda _: planted, answer)


# ---- other values


def _change_number(original: str, rng: random.Random) -> str:
    """Returns the number with one digit changed, if possible the first one, because that matters to a reader."""
    digits = [match.start() for match in _DIGIT.finditer(original)]
    at = digits[0] if rng.random() < 0.5 else rng.choice(digits)
    return _change_digit(original, at, rng)


def _change_id(original: str, rng: random.Random) -> str:
    digits = [match.start() for match in _DIGIT.finditer(original)]
    return _change_digit(original, rng.choice(digits), rng)


def _change_digit(text: str, at: int, rng: random.Random) -> str:
    digit = str((int(text[at]) + rng.randint(1, 9)) % 10)
    if digit == "0" and (at == 0 or not text[at - 1].isalnum()):
        digit = "7" if text[at] != "7" else "3"  # no number begins with 0
    return f"{text[:at]}{digit}{text[at + 1 :]}"


def _change_date(original: str, rng: random.Random) -> str:
    days = timedelta(days=rng.randint(1, MAX_DAYS))
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", original):
        try:
            return (date.fromisoformat(original) + days).isoformat()
        except (ValueError, OverflowError):
            return original  # 2026-02-30 is not a date, and stays
    day = re.search(r"\d{1,2}", original)
    assert day is not None
    other = (int(day[0]) + days.days - 1) % 28 + 1
    return f"{original[: day.start()]}{other:0{len(day[0])}d}{original[day.end() :]}"


def _change_name(original: str, rng: random.Random) -> str:
    for names in (_MONTHS, _WEEKDAYS):
        if original in names:
            return rng.choice(names)
    return rng.choice(_NAMES)


_CHANGES: dict[PlantKind, Callable[[str, random.Random], str]] = {
    "number": _change_number,
    "date": _change_date,
    "id": _change_id,
    "name": _change_name,
}


def _add_claim(answer: str, known: str, rng: random.Random) -> Planted | None:
    """Returns the answer with a sentence at its end that no result supports; None for JSON, which has no place for one."""
    if not answer.strip() or answer.lstrip()[:1] in ("{", "["):
        return None
    for _ in range(MAX_TRIES):
        day = date(2020, 1, 1) + timedelta(days=rng.randrange(2000))
        made = "".join(rng.choice(_ALPHABET) for _ in range(2)) + f"-{rng.randrange(10_000, 100_000)}"
        if not _holds(known, made) and not _holds(known, day.isoformat()):
            claim = rng.choice(_CLAIMS).format(day=day.isoformat(), id=made)
            return Planted("claim", f"{answer.rstrip()} {claim}", "", claim)
    return None
