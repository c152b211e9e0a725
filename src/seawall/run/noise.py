"""Noise in results: parts that differ each time and mean nothing, or may mean nothing.

A result is compared in two forms. In the *exact* form only certain noise is masked: text that a clock, a scheduler or a
random source wrote, as its name, its form or the time of the call shows. In the *loose* form everything that may be
noise is masked: identifiers, numbers of ten digits, durations and times. These may also be new information: the next
job of a queue, the length of the next song, when something was last seen.
"""

from __future__ import annotations

import calendar
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, Literal, cast

import msgspec

from seawall.core.canonical import digest_of

MASK = "…"
NOW_S = 60.0
"""Seconds around the call's own time within which a time counts as the clock of the server that answered."""
CLOCK_STEP_CHARS = 2
"""Characters after the colon of an hour that count: one digit, so tens of minutes. With this bound a clock that moves
during a loop is masked even if it is wrong or simulated, and times of appointments still differ."""
MEASURED_S = 10.0
"""Seconds of the longest duration that counts as measured during the call, if it is given in fractions of a second."""
PIECE_CHARS = 16 * 1024
"""Characters that are searched in one go. This takes at most some 6 ms, in which no other thread runs."""
MAX_DECODED_CHARS = 1024 * 1024
"""Characters of the longest JSON text whose fields are judged by name. A longer one is searched like any text."""
_SIGNS = 16
"""Characters of the longest masked result that counts as empty if only signs are left, such as brackets."""
_CONTEXT_CHARS = 48
"""Characters before a time or a number in which words tell its meaning."""

Meaning = Literal["", "noise", "clock", "measured", "duration", "event", "left", "digest", "counter", "score"]
"""The meaning of a value, by the words before it or by the name of its field: noise; the clock of the server that
answers; how long the call took; the length of something; when something else happens; how much time is left; the digest
of a content; a number that grows or shrinks with each call, or with time; or a score, which varies from call to
call."""


class Forms(msgspec.Struct, frozen=True):
    """A result without certain noise, and without all that may be noise."""

    exact: object
    loose: object


_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DATE = rf"(?:\d{{4}}[-/]\d\d[-/]\d\d|\d\d?[ /-]{_MONTH}[ /-]\d{{4}})"
_UNIT = r"(?:[_ -]?(?:ns|us|µs|ms|s|secs?|seconds|millis|milliseconds|micros|microseconds|nanos|nanoseconds))"
_MEASURED = (
    r"(?:(?:query|response|execution|exec|processing|server|render|wall|cpu|search|db|sql|request|lookup|fetch)"
    rf"[_ -]?(?:time|duration)(?:[_ -]?taken)?{_UNIT}?|time[_ -]?taken{_UNIT}?|time{_UNIT}"
    rf"|(?:took|elapsed|latency)(?:[_ -]?time)?{_UNIT}?|x-runtime)"
)
_TRACED = r"(?:request|req|trace|span|correlation|invocation)"

_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_HEX = r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{16,64}\b"
_IS = r"""["']?[ ]?[:=#]?[ ]{0,3}["']?"""
"""The text between a name and its value."""

VOLATILE = re.compile(
    rf"""
    (?:(?<![A-Za-z])|(?=[RTSC<]))(?:  # nothing begins in the middle of a word: that is where most of a text is
    (?<!\d)(?=\d)(?:  # nothing begins within a number either
        (?P<moment>(?<!\d){_DATE}[T :,]{{1,2}}\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?         # 2026-01-31T10:11:12.345Z
            (?:Z|[ ]?(?:UTC|GMT)|[ ]?[+-]\d\d:?\d\d)?(?!\d)
          | \b\d{{8}}T\d{{6}}Z?\b)                                                    # 20260131T101112Z
      | (?P<time>\b\d\d?:\d\d:\d\d(?:[.,]\d+)?\b)                                     # 10:11:12
      | (?P<address>\b0x[0-9a-fA-F]{{4,}}\b)                                          # of memory
      | (?P<uuid>\b{_UUID}\b)
      | (?P<hexadecimal>{_HEX})
      | (?P<lasting>\b(?:(?P<hours>\d+)h[ ]?)?(?:(?P<minutes>\d+)m[ ]?)?              # 0.031 s, 12ms, 1m2.3s
            (?P<number>\d+(?:\.\d+)?)[ ]?(?P<unit>ns|us|µs|ms|s|secs?|seconds?)\b)
      | (?P<span>\b\d+(?:\.\d+)?[ ]?(?:mins?|minutes?|hrs?|hours?|days?)\b(?:[ ]ago\b)?)        # 5 minutes ago
      | (?P<epoch>\b1[5-9]\d{{8}}(?:\d{{3}}){{0,3}}(?:\.\d+)?\b))                     # seconds … ns since 1970
    | (?=[A-Za-z])(?:
        (?<![A-Za-z])(?:
            (?P<traced>(?=[xXaArRtTsScCiI])(?:(?:[xX]-)?(?:(?i:amzn?)-)?(?i:{_TRACED})[ _-]?
                (?:(?i:id)\b{_IS}(?=[\w.:/+=-]{{0,64}}\d|[0-9a-f]{{8}})[\w./+=-]{{2,128}}
                  | {_IS}(?:[0-9a-f]{{16,64}}|{_UUID})\b))
              | (?=[tTcCnNxXsS])(?i:traceparent|tracestate|cf-ray|nonce)["']?[ ]?[:=][ ]{{0,3}}["']?[\w./+=-]{{2,128}}
              | (?i:x-)?(?i:served[ _-]by)["']?[ ]?:?[ ]{{0,3}}["']?[\w.:-]{{2,128}})
          | (?P<numbered>(?=[rtsci]){_TRACED}[_-]?[ :="'\#]{{0,4}}[0-9a-zA-Z]{{0,64}}\d[0-9a-zA-Z-]{{5,64}})  # request 1234567
          | (?P<measured>(?=[qreapswcdtflxQREAPSWCDTFLX])(?i:{_MEASURED})["']?[ ]{{0,3}}[:=][ ]{{0,3}}["']?\d+(?:[.:]\d+)*)        # took: 3, elapsed: 00:01.3
          | (?P<pid>\b(?:pid|PID)[ :=\#]*\d+)
          | (?P<process>\bprocess[ :=\#]*\d+)
          | (?P<attempt>(?=[aArR])\b(?i:attempt|retry)[ ]?\#?\d+(?:[ ]?(?:of|/)[ ]?\d+)?)                    # attempt 3 of 5
          | (?P<lettered>(?=[0-9a-fA-F]{{8}})(?:\b{_UUID}\b|{_HEX})))
      | (?=[RTSC])(?<=[a-z])(?P<joined>(?:Request|Trace|Span|Correlation)I[dD]["']?[ ]?[:=][ ]{{0,3}}["']?[\w./+=-]{{2,128}}))
    | (?P<path>/tmp/(?:tmp|pytest-of-)[\w./-]+ | /var/folders/[\w./+-]+)
    | (?P<wrapper><{{1,4}}[A-Za-z][\w:-]{{0,60}}[^<>\n]{{0,200}}?[ ](?:id|nonce|boundary|token)[ ]?=[ ]?["']?)
      (?P<token>[\w-]{{4,128}})                                                       # <result id="3f…">
    )
    """,
    re.VERBOSE,
)
"""Parts of a text that may mean nothing. Plain numbers stay: a balance, a count or a line number is an answer. A time
without seconds stays too, unless it is the current time: it is an appointment more often than a clock."""

_VOLATILE_NUMBER = re.compile(r"\d(?:[-:/]\d|[ ]?[nuµms]|x|\d{9}|T\d)")
_MIXED = re.compile(r"\d(?:[A-Za-z]|(?<=[A-Za-z].))")
"""A digit beside a letter, as every text has that matches `_MIXED_WORD`."""
_MIXED_WORD = re.compile(
    r"(?<![\w+/-])(?=[A-Za-z+/_-]*\d)(?=[\d+/_-]*[A-Za-z])[0-9A-Za-z+/_-]{6,}={0,2}(?!\w)"
)
"""A word of letters and digits: an identifier, a name or a token."""
_RUN = re.compile(r"[0-9A-Za-z]+")
_LETTERS_OR_DIGITS = re.compile(r"\d+|[A-Za-z]+")
_RUN_OF_ONE_CLASS = re.compile(r"\d+|[A-Z]+|[a-z]+")
_HEX_RUN = re.compile(r"[0-9a-f]{6,}|[0-9A-F]{8,}")
_GROUP_OF_ID = re.compile(r"-[0-9a-fA-F]{4}-")
_HEXADECIMAL = re.compile(r"[0-9a-f]{16}")
_VOLATILE_WORDS = (
    *(
        "pid",
        "process",
        "/tmp/",
        "/var/folders/",
        "req",
        "trace",
        "span",
        "correlation",
        "invocation",
        "nonce",
    ),
    *(
        " ago",
        "cf-ray",
        "attempt",
        "retry",
        "time",
        "took",
        "elapsed",
        "latency",
        "duration",
        "<",
    ),
)
"""Every text that matches `VOLATILE` has one of these words, in any case, or matches `_VOLATILE_NUMBER`, `_GROUP_OF_ID` or
`_HEXADECIMAL`. Few other texts do, and this search takes a tenth of the time. Hours, days and `served by` have none of these
signs: they are found only in a text that has one anyway."""
OTHER_CASE = re.compile("[\u0130\u0131\u017f\u212a]")
"""Letters outside ASCII that match an ASCII letter if case is ignored."""
_PLAIN_NUMBER = re.compile(
    r"\d(?<![A-Za-z\d].)(?=\d*+(?:[-/](?=[\dJFMASOND])|:\d\d:|T\d|\.\d|[xnuµmshd]|[ ](?=[JFMASONDnuµmshd])|(?<=\d{10})))"
)
"""The beginning of each number at which `VOLATILE` may match, unless the match is an id."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LEFT = frozenset(
    _WORD.findall(
        "left remaining remain eta expires expire next starts begins opens closes due wait again until ready countdown"
    )
)
_LEFT_AFTER = frozenset(_WORD.findall("left remaining remain until to till more before"))
_EVENT = frozenset(
    _WORD.findall(
        "last seen updated modified created changed due expires expiry expire start starts started begin begins end ends "
        "ended finish next first scheduled schedule departs departure arrives arrival appointment slot until deadline "
        "published posted sent received delivered born birth booked opens closes open free available valid login played "
        "release released event meeting when"
    )
)
_DIGEST = frozenset(
    _WORD.findall("sha md hash digest etag checksum commit revision rev version head tree blob")
)
_TOOK = frozenset(
    _WORD.findall(
        "in took after elapsed latency real user sys within done finished completed passed failed ran built"
    )
)
_CLOCK = frozenset(
    _WORD.findall("at epoch time timestamp ts now of unix generated clock fetched retrieved checked")
)
_WRAPS = frozenset(
    _WORD.findall(
        "result results response output outputs tool function data content contents document documents untrusted external "
        "search return returned observation stdout wrapper reply answer begin end"
    )
)
"""Words in the name of an element that wraps a tool's result. The id of such an element is noise; the id of a `<job>`
is not."""

_TRACED_FIELD = re.compile(
    rf"{_TRACED}(?:id|uuid|guid)$|^(?:traceparent|tracestate|(?:x?cf)?ray|nonce|pid|x?servedby)$"
)
_TRACED_NAME = re.compile(rf"(?:^|[a-z-])(?i:{_TRACED})$")
_RANDOM = re.compile(r"[0-9A-Za-z_.:/+=-]*\d[0-9A-Za-z_.:/+=-]*")
_MEASURED_FIELD = re.compile(
    "(?:query|response|execution|exec|processing|server|render|wall|cpu|search|db|sql|request|lookup|fetch)"
    f"(?:time|duration)(?:taken)?{_UNIT}?$|timetaken{_UNIT}?$|time(?:ns|us|ms|millis|milliseconds|micros)$"
    f"|(?:took|elapsed|latency)(?:time)?{_UNIT}?$|^xruntime$"
)
_CLOCK_FIELD = re.compile(
    "^(?:x?(?:server|current|system|response|request)?(?:timestamp|now)(?:ms|us|ns|utc)?|ts|unixtime|epoch(?:ms|s)?"
    "|(?:server|current|system)(?:date)?time(?:ms|utc)?|asof|(?:generated|fetched|retrieved|queried|checked|served)(?:at|on)?)$"
)
_COUNTER_FIELD = re.compile(
    "ratelimit|^(?:page|profile|total)?views?(?:count|er)?$|^(?:view|hit|request|query|call|poll|visit|access|read)(?:s)?count(?:er)?$"
    f"|^(?:up|idle)time{_UNIT}?$|^(?:age|idle){_UNIT}$|^(?:seq|sequence)(?:no|nr|num|number)?$"
)
_SCORE_FIELD = re.compile("(?:score|similarity|relevance|confidence|distance)$")
_DURATION_FIELD = re.compile(f"^duration{_UNIT}?$")
_SECONDS = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "s": 1.0}
_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_HMS = re.compile(r"(\d\d?):(\d\d)(?::(\d\d))?")


@functools.lru_cache(maxsize=4096)  # the results of an application have few different fields
def name_meaning(field: str) -> Meaning:
    """Returns the meaning of a value by the name of its field, however the words of the name are joined."""
    words = [word.lower() for word in _WORD.findall(field)]
    name = "".join(words)
    if _TRACED_FIELD.search(name):
        return "noise"
    if _CLOCK_FIELD.search(name):
        return "clock"
    if not _DIGEST.isdisjoint(words):
        return "digest"
    if _EVENT.intersection(words):
        return "left" if _LEFT_AFTER.intersection(words) else "event"
    if _MEASURED_FIELD.search(name):
        return "noise"
    if _COUNTER_FIELD.search(name):
        return "counter"
    if _LEFT.intersection(words):
        return "left"
    if _SCORE_FIELD.search(name):
        return "score"
    return "duration" if _DURATION_FIELD.search(name) else ""


def has_volatile_word(text: str) -> bool:
    """Returns whether a text has one of the words that occur next to noise."""
    return has_one_of(text.lower(), _VOLATILE_WORDS)


def has_one_of(text: str, words: Sequence[str]) -> bool:
    """Returns whether a text has one of these words."""
    for word in words:  # noqa: SIM110 -- `any` with a generator takes twice as long
        if word in text:
            return True
    return False


def find_volatile(text: str, *, may_have_word: bool = True) -> Iterable[re.Match[str]]:
    """Returns the parts of a text that may be noise: the matches of `VOLATILE`. In a text without a sign of noise, as most
    texts are, nothing is searched. `may_have_word`: see `Masker`.
    """
    if _GROUP_OF_ID.search(text) is not None or _HEXADECIMAL.search(text) is not None:
        return VOLATILE.finditer(text)
    has_number = _VOLATILE_NUMBER.search(text) is not None
    if may_have_word and has_volatile_word(text):
        return VOLATILE.finditer(text)
    if not has_number:
        return ()
    if "served" in text.lower() or not (text.isascii() or OTHER_CASE.search(text) is None):
        return VOLATILE.finditer(text)
    return _find_numbers(text)


def _find_numbers(text: str) -> Iterator[re.Match[str]]:
    """Yields the matches of `VOLATILE` in a text in which only numbers can match."""
    end = 0
    for number in _PLAIN_NUMBER.finditer(text):
        if number.start() >= end and (found := VOLATILE.match(text, number.start())) is not None:
            end = found.end()
            yield found


def mask_volatile(text: str) -> str:
    """Returns a text with `…` in place of everything that may be noise."""
    return _mask(text, find_volatile(text), 0.0, "")[1]


_NO_FIELDS = frozenset[str]()


class Masker:
    """Masks the noise of one result. `at` is the call's time in seconds since the Unix epoch, 0 if it is not known.
    `volatile` has the parts that the tool declares as meaningless. `may_have_word` is False if no part of the result
    has one of the words that occur next to noise.
    """

    def __init__(
        self, at: float, volatile: Sequence[str | re.Pattern[str]] = (), *, may_have_word: bool = True
    ) -> None:
        self._at = at
        self._may_have_word = may_have_word
        self._fields = _NO_FIELDS
        self._patterns: list[re.Pattern[str]] = []
        if volatile:
            self._fields = frozenset([each.lower() for each in volatile if isinstance(each, str)])
            self._patterns = [each for each in volatile if not isinstance(each, str)]

    def mask_text(self, text: str, meaning: Meaning = "") -> tuple[str, str]:
        """Returns a text in both forms, with white space reduced to one blank."""
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        found = find_volatile(text, may_have_word=self._may_have_word)
        exact, loose = _mask(text, found, self._at, meaning) if found else (text, text)
        if exact is loose:
            text = " ".join(exact.split())
            return text, text
        exact = " ".join(exact.split())
        return exact, exact if exact == loose else " ".join(loose.split())

    def mask_value(self, value: Any, meaning: Meaning = "", *, listed: bool = False) -> Forms:
        """Returns a decoded JSON value in both forms. `listed`: the value is part of a list, so a time in it is not the
        time of the answer.
        """
        if isinstance(value, str):
            return Forms(*self.mask_text(value, meaning))
        if isinstance(value, dict):
            return self._mask_fields(cast("dict[str, Any]", value), meaning, listed=listed)
        if isinstance(value, list):
            found = [self.mask_value(item, meaning, listed=True) for item in cast("list[Any]", value)]
            return Forms([each.exact for each in found], [each.loose for each in found])
        if isinstance(value, bool) or not isinstance(value, int | float):
            return Forms(value, value)
        if meaning == "duration":
            measured = isinstance(value, float) and not value.is_integer() and value <= MEASURED_S
            return Forms(MASK if measured else value, MASK)
        if meaning == "counter" or (meaning == "score" and not float(value).is_integer()):
            return Forms(value, MASK)
        if value > 1_500_000_000:
            return Forms(*self.mask_text(repr(value), meaning))
        return Forms(value, value)

    def _mask_fields(self, value: dict[str, Any], meaning: Meaning, *, listed: bool) -> Forms:
        exact, loose = dict[str, object](), dict[str, object]()
        for key, item in value.items():
            named = name_meaning(key)
            if (key == "id" and meaning == "noise") or (named == "" and _is_trace(key, item)):
                continue
            if named == "" and isinstance(item, dict) and _names_trace(key):
                named = "noise"
            if (named == "noise" and not isinstance(item, dict)) or (
                self._fields and key.lower() in self._fields
            ):
                continue
            if named == "clock":
                if not listed and not isinstance(item, dict | list):
                    continue
                named = ""
            elif named == "duration" and _is_measured(key, cast("object", item)):
                continue
            if named == "left" and meaning == "counter":  # what remains of a rate limit
                named = ""
            forms = self.mask_value(item, named or meaning, listed=listed)
            exact[key], loose[key] = forms.exact, forms.loose
        return Forms(exact, loose)

    def digest_long(self, text: str) -> tuple[str, str]:
        """Returns digests of a long text in both forms. Unless it is JSON of moderate length, it is searched in
        pieces.
        """
        if text[:1] in ("{", "[") and len(text) <= MAX_DECODED_CHARS:
            try:
                forms = self.mask_value(msgspec.json.decode(text))
            except (msgspec.DecodeError, RecursionError):
                pass
            else:
                return digest_of(forms.exact), digest_of(forms.loose)
        exact, loose = blake2b(digest_size=16), blake2b(digest_size=16)
        is_parted = False
        for piece in _cut_pieces(text):
            one, other = self.mask_text(piece)
            is_parted = is_parted or piece[:1].isspace()
            if not one:
                continue
            blank = b" " if is_parted else b""
            exact.update(blank + one.encode())
            loose.update(blank + other.encode())
            is_parted = piece[-1:].isspace()
        return exact.hexdigest(), loose.hexdigest()


def is_masked(form: object) -> bool:
    """Returns whether a masked result has no content left."""
    if isinstance(form, str):
        return MASK in form and len(form) <= _SIGNS and not any(map(str.isalnum, form))
    if isinstance(form, dict):
        return all(map(is_masked, cast("dict[str, object]", form).values()))
    return isinstance(form, list) and form != [] and all(map(is_masked, cast("list[object]", form)))


def _is_trace(field: str, value: object) -> bool:
    """Returns whether a field such as `trace` or `span` has a random value."""
    if not _names_trace(field) or not isinstance(value, str) or not 8 <= len(value) <= 128:
        return False
    return _RANDOM.fullmatch(value) is not None


@functools.lru_cache(maxsize=4096)  # as `name_meaning`
def _names_trace(field: str) -> bool:
    return _TRACED_NAME.search(field) is not None


def _is_measured(field: str, value: object) -> bool:
    """Returns whether a `duration` in fractions of a second is so short that it was measured, and is not the length of
    a thing.
    """
    unit = "".join(_WORD.findall(field.lower())).removeprefix("duration")[:1]
    if isinstance(value, bool) or not isinstance(value, int | float) or unit not in ("n", "u", "m"):
        return False
    return value * _SECONDS[unit] <= MEASURED_S


_BREAK = re.compile(r"[\s,;](?=[^\s,;]*\Z)")
_REACH_CHARS = 512
"""Characters before the end of a piece among which it is cut; a part that may be noise is shorter."""


def _cut_pieces(text: str) -> Iterator[str]:
    """Yields a text in pieces. They end with a line, or else behind white space or a comma, and not within a part that may be noise."""
    start = 0
    while len(text) - start > PIECE_CHARS:
        end = start + PIECE_CHARS
        first = end - _REACH_CHARS
        line_end = text.rfind("\n", first, end) + 1
        if line_end:  # behind it, what may be noise is judged without the words of the line before
            end = line_end
        elif found := _BREAK.search(text, first, end):
            end = found.end()
        for part in VOLATILE.finditer(text, first, end + _REACH_CHARS):
            if part.start() < end < part.end():
                end = part.start()
        yield text[start:end]
        start = end
    yield text[start:]


def _mask(text: str, found: Iterable[re.Match[str]], at: float, meaning: Meaning) -> tuple[str, str]:
    """Returns a text in both forms; they are the same object if nothing in it is doubtful. `found` are the parts that may
    be noise.
    """
    exact: list[str] = []
    loose: list[str] = []
    end = 0
    for part in found:
        between = text[end : part.start()]
        end = part.end()
        one, other = _judge(part, text, at, meaning)
        exact += (between, one)
        loose += (between, other)
    if not exact:
        return text, text
    exact.append(text[end:])
    if exact[:-1] == loose:
        text = "".join(exact)
        return text, text
    loose.append(text[end:])
    return "".join(exact), "".join(loose)


def mask_random(text: str) -> str:
    """Returns a text with `…` in place of its random words, such as ULIDs, short digests and parts of JWTs; the text
    itself if it has none. Such a word may be the answer, so texts that differ in them are equal for one question only.
    """
    if _MIXED.search(text) is None:
        return text
    parts: list[str] = []
    end = 0
    before = ""
    for word in _MIXED_WORD.finditer(text):
        if not _is_random(word[0]):
            continue
        start = word.start()
        before = (before + text[max(end, start - _CONTEXT_CHARS) : start])[-_CONTEXT_CHARS:]
        if not _is_digest(before, len(before), ""):
            parts += (text[end:start], MASK)
            before += MASK
            end = word.end()
    return "".join((*parts, text[end:])) if parts else text


def _is_random(word: str) -> bool:
    """Returns whether a word of letters and digits looks as if a random source wrote it, and not a person, whose words mostly
    end with their only number.
    """
    turns = 0
    for run in _RUN.findall(word):
        chars = len(run)
        changes = len(_LETTERS_OR_DIGITS.findall(run)) - 1
        turns += changes
        if not changes:
            continue
        if (chars >= 8 and changes >= 2) or chars >= 20 or _HEX_RUN.fullmatch(run) is not None:
            return True
        if (
            chars >= 8
            and _has_both_cases(run)
            and (chars >= 16 or len(_RUN_OF_ONE_CLASS.findall(run)) >= 0.6 * chars)
        ):
            return True
    return len(word) >= 16 and turns >= 3 and _has_both_cases(word)


def _has_both_cases(word: str) -> bool:
    return not (word.islower() or word.isupper())


def _judge(found: re.Match[str], text: str, at: float, meaning: Meaning) -> tuple[str, str]:
    """Returns the replacements of one part in the exact form and in the loose form."""
    whole = found[0]
    match found.lastgroup:
        case "token":
            words = {word.lower() for word in _WORD.findall(found["wrapper"])}
            is_random = any(char.isdigit() for char in found["token"])
            if not is_random:
                return whole, whole
            masked = found["wrapper"] + MASK
            return (masked if _WRAPS & words or "nonce" in words else whole), masked
        case "hexadecimal" | "lettered" if _is_digest(text, found.start(), meaning):
            return whole, whole
        case "uuid" | "hexadecimal" | "lettered" | "process" | "numbered":
            return whole, MASK
        case "moment" | "time":
            return _judge_time(found, text, at, meaning)
        case "lasting":
            return _judge_duration(found, text, meaning)
        case "span":
            is_left = "left" in (meaning, read_meaning(text, *found.span()))
            return whole, whole if is_left else MASK
        case "epoch":
            meaning = meaning or read_meaning(text, *found.span())
            scale = 10.0 ** (3 * ((len(whole.partition(".")[0]) - 10) // 3))
            is_clock = meaning == "clock" or _is_now(float(whole) / scale, at)
            return (MASK if is_clock and meaning != "event" else whole), MASK
        case _:
            return MASK, MASK


def _is_digest(text: str, start: int, meaning: Meaning) -> bool:
    """Returns whether a part is the digest of a content: if it changes, that is new information."""
    before = text[max(0, start - _CONTEXT_CHARS) : start].rpartition("\n")[2]
    words = [word.lower() for word in _WORD.findall(before)[-3:]]
    return meaning == "digest" or not _DIGEST.isdisjoint(words)


def _judge_time(found: re.Match[str], text: str, at: float, meaning: Meaning) -> tuple[str, str]:
    whole = found[0]
    meaning = meaning or read_meaning(text, *found.span())
    hms = _HMS.search(whole)
    moment = _read_moment(whole, hms)
    is_now = moment is not None and _is_now(moment, at, day=found.lastgroup == "time")
    if meaning == "left":
        return whole, whole
    if hms is not None and hms[3] is None and not is_now:  # no seconds
        return whole, whole
    if meaning in ("event", "duration"):
        return whole, MASK
    if is_now or meaning in ("clock", "measured") or hms is None:
        return MASK, MASK
    if found.lastgroup == "time" and int(hms[1]) == 0:  # 00:03:25 is the length of something
        return whole, MASK
    return whole[: hms.end(1) + CLOCK_STEP_CHARS] + MASK, MASK


def _judge_duration(found: re.Match[str], text: str, meaning: Meaning) -> tuple[str, str]:
    whole = found[0]
    meaning = meaning if meaning == "duration" else read_meaning(text, *found.span()) or meaning
    if meaning == "left":
        return whole, whole
    number = found["number"]
    is_part = found["unit"][0] != "s" or "." in number
    seconds = float(number) * _SECONDS[found["unit"][0]]
    seconds += 60 * float(found["minutes"] or 0) + 3600 * float(found["hours"] or 0)
    is_measured = meaning in ("measured", "noise", "clock") or (is_part and seconds <= MEASURED_S)
    return (MASK if is_measured else whole), MASK


def read_meaning(text: str, start: int, end: int) -> Meaning:
    """Returns the meaning of a part of a text by the words around it."""
    before = text[max(0, start - _CONTEXT_CHARS) : start].rpartition("\n")[2].rpartition(". ")[2]
    words = [word.lower() for word in _WORD.findall(before)[-4:]]
    after = _WORD.match(text[end : end + 24].lstrip(" \"'])")[:16])
    if _LEFT.intersection(words) or (after is not None and after[0].lower() in _LEFT_AFTER):
        return "event" if _EVENT.intersection(words[-3:]) and ":" in text[start:end] else "left"
    if _EVENT.intersection(words[-3:]):
        return "event"
    if words and words[-1] in _TOOK:
        return "measured"
    return "clock" if words and words[-1] in _CLOCK else ""


def _is_now(moment: float, at: float, *, day: bool = False) -> bool:
    """Returns whether a moment is the time of the call. `day`: the moment is a time of day, in UTC."""
    if not at:
        return False
    distance = abs(moment - (at % 86_400 if day else at))
    return min(distance, 86_400 - distance if day else distance) <= NOW_S


_ISO = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)|(\d\d?)[ /-]([A-Z][a-z]{2})[a-z]*[ /-](\d{4})")
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)")
_ZONE = re.compile(r"([+-])(\d\d):?(\d\d)$")


def _read_moment(text: str, hms: re.Match[str] | None) -> float | None:
    """Returns a moment in seconds since the Unix epoch, or since midnight; None if the text is not a moment. Without a
    zone it is UTC.
    """
    if hms is None:
        compact = _COMPACT.match(text)
        return None if compact is None else float(_compute_epoch(*map(int, compact.groups())))
    hour, minute, second = int(hms[1]), int(hms[2]), int(hms[3] or 0)
    date = _ISO.match(text)
    if date is None:
        return float(hour * 3600 + minute * 60 + second)
    if date[1]:
        year, month, day = int(date[1]), int(date[2]), int(date[3])
    else:
        year, month, day = int(date[6]), _MONTHS.get(date[5], 1), int(date[4])
    zone = _ZONE.search(text, hms.end())
    shift = 0 if zone is None else (int(zone[2]) * 60 + int(zone[3])) * (-60 if zone[1] == "-" else 60)
    return float(_compute_epoch(year, month, day, hour, minute, second) - shift)


def _compute_epoch(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    if not (1 <= month <= 12 and year):
        return 0
    return calendar.timegm((year, month, day, hour, minute, second))
