"""Fingerprints of results: digests that can be compared without the results.

Two results of one call have the same fingerprint if they say the same, apart from what differs each time and means
nothing: clocks, durations, request ids, process ids, temporary paths, memory addresses. Such parts hide a loop:
in a public incident a breaker missed 62 identical calls because each result contained the time.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from seawall.core.canonical import digest_of, escape_unsendable, ref_of, to_canonical_bytes
from seawall.core.events import CALLED, REJECTED, Gist
from seawall.run.step import Result, Step

Conceal = Callable[[str, object], object]
"""See `Bodies.conceal`."""

VOLATILE_FIELDS = frozenset(
    {
        "correlation_id",
        "correlationid",
        "duration",
        "duration_ms",
        "duration_s",
        "elapsed",
        "elapsed_ms",
        "elapsed_s",
        "latency_ms",
        "pid",
        "request_id",
        "requestid",
        "server_time",
        "span_id",
        "timestamp",
        "took",
        "took_ms",
        "trace_id",
        "traceid",
    }
)
"""Fields of a JSON result whose values are left out, at any depth; upper and lower case are one."""

VOLATILE = re.compile(
    r"""
      \d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[ ]?[+-]\d\d:?\d\d)?         # 2026-01-31T10:11:12.345Z
    | \b\d\d?:\d\d:\d\d(?:[.,]\d+)?\b                                               # 10:11:12
    | \b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b                      # a UUID
    | \b0x[0-9a-fA-F]{4,}\b                                                         # a memory address
    | \b\d+(?:\.\d+)?[ ]?(?:ns|us|µs|ms|s|secs?|seconds?)\b                         # 0.031 s, 12ms
    | \b1[5-9]\d{8}(?:\d{3})?(?:\.\d+)?\b                                           # seconds or ms since 1970
    | \b(?:pid|PID|process)[ :=#]*\d+                                               # pid 4711
    | /tmp/(?:tmp|pytest-of-)[\w./-]+ | /var/folders/[\w./+-]+                       # a temporary path
    | \b(?:req|request|trace|span|correlation)[_-]?(?:id)?[ :="']*[0-9a-zA-Z]*\d[0-9a-zA-Z-]{5,}
    """,
    re.VERBOSE,
)
"""Parts of a text that stand for nothing. What is masked here can't count as new: keep it to what a clock, a scheduler
or a random source wrote. Numbers as such stay: a balance, a count or a line number is what was asked for. A time
without seconds stays, too: it is an appointment more often than a clock."""

_VOLATILE_NUMBER = re.compile(r"\d(?:[-:]\d|[ ]?[nuµms]|x|\d{9})|-[0-9a-fA-F]{4}-")
_VOLATILE_WORDS = ("pid", "PID", "process", "/tmp/", "/var/folders/", "req", "trace", "span", "correlation")
"""Every text in which `VOLATILE` finds something has one of these words or matches `_VOLATILE_NUMBER`. Few others do,
and to look for these takes a tenth of the time."""
_QUOTED = re.compile(r"'[^'\n]{0,200}'|\"[^\"\n]{0,200}\"|`[^`\n]{0,200}`")
_GIVEN = re.compile(r" \(got .*", re.DOTALL)
"""What a message of Seawall's says of the value that it was given; it comes last."""
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w+")
_LITERAL = re.compile(r"[\d@/_]")
_SHORT_WORD = 32
_NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][\w'-]*")
MAX_COMPARED_CHARS = 128 * 1024
"""A longer text is compared as it is: to look for what means nothing in it would hold up the other runs. No tool's
result is so long, because an agent is shown the beginning of a long one."""
MAX_GIST_WORDS = 256
"""Words of a hand-off's task that are compared; tasks that agree in so many are one."""


def _keep(text: str, value: object) -> object:
    return value


def compute_fingerprint(step: Step, result: Result, conceal: Conceal = _keep) -> str | None:
    """Returns a digest of (tool, arguments, result), or of (tool, error); None if the result tells the agent nothing.

    An error is compared without what it quotes: that is mostly the arguments. See `Bodies.conceal`.
    """
    if step.kind not in (*CALLED, "handoff"):
        if result.problem is None:
            return None
        return digest_of([step.name, "problem", result.problem_kind or _strip_values(result.problem)])
    if step.invalid is not None:
        return digest_of([step.name, "invalid", step.invalid_kind or _strip_values(step.invalid)])
    if result.status == "refused" and result.error == REJECTED:
        return compute_rejection_fingerprint(step.name, step.likeness)
    output = normalise(result.output, step.volatile)
    if result.status == "ok":
        return digest_of([step.name, step.arguments_key or None, _conceal(result, output, conceal)])
    if isinstance(output, str):
        output = _QUOTED.sub("…", output)
    return digest_of([step.name, result.status, _conceal(result, output, conceal)])


def compute_rejection_fingerprint(name: str, likeness: str) -> str:
    """Returns the digest of the answer to a call that a person has rejected: the same whenever it is asked for again.

    Why it was rejected does not count; another proposal does. `likeness`: see `StepIntended.likeness`.
    """
    return digest_of([name, "refused", REJECTED, likeness])


def _strip_values(text: str) -> str:
    """Returns what is said to be wrong without what it quotes: the fields and the kinds of the mistakes."""
    return _NUMBER.sub("0", _QUOTED.sub("…", _GIVEN.sub("", text)))


def _conceal(result: Result, output: object, conceal: Conceal) -> object:
    return conceal(result.output, output) if isinstance(result.output, str) else output


def compute_loose_fingerprint(step: Step, result: Result, conceal: Conceal = _keep) -> str | None:
    """Returns a digest of a write's result without its numbers; None for anything else.

    Of two equal orders each has a new number, and nothing else differs.
    """
    if step.kind != "tool" or not step.effect or result.status != "ok":
        return None
    if isinstance(result.output, bytes):
        return digest_of([step.name, step.arguments_key or None, normalise(result.output)])
    text = to_canonical_bytes(normalise(result.output, step.volatile)).decode()
    return digest_of([step.name, step.arguments_key or None, conceal(result.output, _NUMBER.sub("0", text))])


def normalise(output: str | bytes, volatile: Sequence[str | re.Pattern[str]] = ()) -> object:
    """Returns a result without what differs and means nothing: volatile parts, white space, the order of JSON keys."""
    if isinstance(output, bytes):
        return digest_of(output.hex())
    text = escape_unsendable(output).strip()
    if len(text) > MAX_COMPARED_CHARS:
        return ref_of(text.encode())
    fields, patterns = VOLATILE_FIELDS, list[re.Pattern[str]]()
    if volatile:
        fields = VOLATILE_FIELDS.union(each.lower() for each in volatile if isinstance(each, str))
        patterns = [each for each in volatile if not isinstance(each, str)]
    if text[:1] in ("{", "["):
        try:
            may_have_word = "\\" in text or _has_volatile_word(text)  # a word may be written in escapes
            return _walk(msgspec.json.decode(text), fields, patterns, may_have_word)
        except (msgspec.DecodeError, RecursionError):
            pass
    return " ".join(mask_volatile(text, patterns).split())


def mask_volatile(
    text: str, patterns: Sequence[re.Pattern[str]] = (), *, may_have_word: bool | None = None
) -> str:
    """Returns a text with its volatile parts, and what matches `patterns`, as `…`.

    `may_have_word` is False if the text is part of one in which no word of `_VOLATILE_WORDS` was found.
    """
    for pattern in patterns:
        text = pattern.sub("…", text)
    if may_have_word is None or patterns:
        may_have_word = _has_volatile_word(text)
    return VOLATILE.sub("…", text) if may_have_word or _VOLATILE_NUMBER.search(text) else text


def _has_volatile_word(text: str) -> bool:
    return any(map(text.__contains__, _VOLATILE_WORDS))


def _walk(
    value: Any, fields: frozenset[str], patterns: Sequence[re.Pattern[str]], may_have_word: bool
) -> object:
    if isinstance(value, str):
        return " ".join(mask_volatile(value, patterns, may_have_word=may_have_word).split())
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {
            key: _walk(item, fields, patterns, may_have_word)
            for key, item in pairs
            if key.lower() not in fields
        }
    if isinstance(value, list):
        return [_walk(item, fields, patterns, may_have_word) for item in cast("list[Any]", value)]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 1_500_000_000:
        return mask_volatile(repr(value), patterns)
    return value


_ORDINAL = (
    r"(?:\d+(?:st|nd|rd|th)|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth"
    r"|another|one[ ]more|new|next|last|final)"
)
_COUNT = (
    r"[ ]?[:=_-]?[ ]?(?:no\.?|nr\.?|number)?[ ]?\#?[ ]?"
    r"(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten)(?:[ ]?(?:of|/|out[ ]of)[ ]?\#?\d+)?"
)
_TRY = r"(?:attempt|try|trial|retry|re-try|re-?attempt|re-?run|repeat|iteration)"
_NTH = rf"(?:for[ ])?(?:this[ ]is[ ])?(?:the[ ]|a[ ]|my[ ]|your[ ])?{_ORDINAL}[ ](?:attempt|try|retry|trial|time)"
_MORE = r"(?:(?:once|yet)[ ](?:more|again)|one[ ]more[ ]time|again|retrying|trying[ ]again)"
_AGAIN = rf"(?:{_TRY}{_COUNT}|{_NTH}|{_MORE}|(?:retry|re-try|re-?attempt|re-?run|repeat))"
_ATTEMPT = re.compile(
    rf"""
      [(\[{{][ ]?(?:{_AGAIN}|take{_COUNT})(?![\w-])[^()\[\]{{}}\d]{{0,24}}[)\]}}][ ]?[:,.;-]?    # (attempt 3)
    | ^[ ]?{_AGAIN}[ ]?(?:[:,.;!–—-]+[ ]|$)                                                  # Retry #2: …
    | [.,;:!?–—-][ ](?:{_TRY}{_COUNT}|{_NTH})[ ]?(?=[,;!?–—]|\.(?:\s|$)|$)                   # …, 2nd try
    | (?<![\w-])(?:for[ ]the[ ]{_ORDINAL}[ ]time|(?:once|yet)[ ](?:more|again)|one[ ]more[ ]time|again)(?![\w-])
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
"""What only says how often a task was handed out before. A number that is not called an attempt stays, and so does an
attempt that the task is about: it may be how many of something are wanted ("try 3 hotels"), or which log to read."""
_SPACES = re.compile(r"[ \t]+")


def remove_attempts(task: str) -> str:
    """Returns a task without what only says how often it was handed out before, such as `(attempt 3)`."""
    rest = _ATTEMPT.sub(" ", _SPACES.sub(" ", task))
    return rest.strip() if _WORD.search(rest) else task


def make_gist(task: str) -> Gist:
    """Returns the gist of a task: at most `MAX_GIST_WORDS` words, whose order does not matter."""
    text = remove_attempts(escape_unsendable(task))
    rest: tuple[str, ...] = ()
    if len(text) > MAX_COMPARED_CHARS:  # tasks that differ behind that are different tasks
        text, rest = text[:MAX_COMPARED_CHARS], (ref_of(" ".join(text.split()).encode()),)
    literals = {each.strip(".,;:!?()[]'\"") for each in text.split() if _LITERAL.search(each)}
    literals.update(_NAME.findall(text))
    literals.update(rest)
    words = sorted(
        {
            _digest_short_word(word) if len(word) <= _SHORT_WORD else _digest_word(word)
            for word in _WORD.findall(text.lower())
        }
    )
    return Gist(digest_of(sorted(literals)), tuple(words[:MAX_GIST_WORDS]))


def _digest_word(word: str) -> int:
    return int(digest_of(word)[:6], 16)


@functools.lru_cache(maxsize=4096)  # the tasks of an application are written in few words
def _digest_short_word(word: str) -> int:
    return _digest_word(word)


def compare_gists(one: Gist, other: Gist) -> float:
    """Returns shared words over all words (Jaccard's index), from 0 to 1; 0 where the literals differ."""
    if one.names != other.names:
        return 0.0
    mine, theirs = set(one.words), set(other.words)
    return len(mine & theirs) / len(mine | theirs) if mine or theirs else 1.0
