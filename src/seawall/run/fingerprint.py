"""Fingerprints of results: digests that can be compared without the results.

Two results of one call have the same fingerprint if they are equal except for parts that certainly mean nothing
(`run.noise`): clocks, request ids, process ids, temporary paths, memory addresses. Such parts hide a loop: in a public
incident a breaker missed 62 identical calls because each result contained the time. They have the same *loose*
fingerprint if they are equal except for all parts that may mean nothing.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from seawall.core.canonical import digest_of, escape_unsendable, ref_of, to_canonical_bytes
from seawall.core.events import REJECTED, REQUESTED, Gist
from seawall.run.noise import (
    Forms,
    Masker,
    has_one_of,
    has_volatile_word,
    is_masked,
    mask_random,
    name_meaning,
)
from seawall.run.step import Result, Step
from seawall.run.wording import list_values

Conceal = Callable[[str, object], object]
"""See `Bodies.conceal`."""

_QUOTED = re.compile(r"'[^'\n]{0,200}'|\"[^\"\n]{0,200}\"|`[^`\n]{0,200}`")
_GIVEN = re.compile(r" \(got .*", re.DOTALL)
"""The part of Seawall's messages that quotes the given value; it comes last."""
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w+")
_WORDS = re.compile(r"[\w.-]+")
"""Words and numbers. The separators between them are ignored, because they change with the order."""
_LITERAL = re.compile(r"[\d@/_]")
_SHORT_WORD = 32
_NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][\w'-]*")
_STATUS_CODE = re.compile(r"(?<![\w.-])[45]\d\d(?![\w.-])")
_BEGINNING_CHARS = 200
MAX_SAID_CHARS = 500
"""Characters of the longest result that counts as an error. A longer one has other content besides the error."""
_SAYS_ERROR = re.compile(
    r"""\A\s*(?:
        (?:\[?(?:fatal|error|failed|failure|exception)\b\]?[ ]?[:!-])
      | Traceback[ ]\(most[ ]recent
      | [A-Z]\w*(?:Error|Exception):
      | \{\s*"(?:error|errors|exception)"\s*:\s*+(?!null|\[\]|\{\}|""|false|0\b)
      | \{\s*"(?:ok|success|succeeded)"\s*:\s*false
      | \{\s*"status"\s*:\s*"(?:error|failed|failure)"
      | HTTP(?:/\d(?:\.\d)?)?[ ][45]\d\d\b)""",
    re.VERBOSE | re.IGNORECASE,
)
_EXIT_CODE = re.compile(
    r"\bexit(?:ed)?[ ]?(?:with[ ])?(?:code|status)?[ :=]{0,2}[1-9]\d{0,2}\]?\s*\Z", re.IGNORECASE
)
_UNFINISHED = r"""\b(?:pending|running|queued|in[ _-]?progress|processing|initiali[sz]ing|starting|building|deploying|provisioning
      | not[ ](?:yet|ready|finished|done)|no[ ](?:new|answer|reply)|waiting|please[ ]wait
      | (?:try|retry)[ ](?:again|later))\b"""
_UNFINISHED_PARTS = (
    *(
        "pending",
        "running",
        "queued",
        "progress",
        "processing",
        "initiali",
        "starting",
        "building",
        "deploying",
    ),
    *("provisioning", "not ", "no ", "wait", " again", " later"),
)
"""Words of which every text that matches `_UNFINISHED` has one. To search for them takes a tenth of the time."""
UNFINISHED = "?"
"""Prefix of the loose fingerprint of a short result that says that it may change later."""
PROGRESS = "+"
"""Prefix of the loose fingerprint of a write whose result reports progress: `page 3 of 20`."""
_PROGRESS = r"""(?<![\w.,/-])(?:
        \d+[ ]?(?:of|/|out[ ]of)[ ]?\d+(?![\w/-])                                    # 3 of 20
      | \d+(?:\.\d+)?[ ]?%                                                         # 45%
      | \d+[ ](?:[a-z]+[ ])?(?:left|remain(?:s|ing)?|to[ ]go)\b                    # 11 left
      | (?:left|remain(?:s|ing)?)["']?[ ]?[:=]?[ ]?\d)                             # "remaining": 11
"""
FAILED = "!"
"""Prefix of the loose fingerprint of an error, or of a result that reports one. The fingerprint is a digest of the
error's kind."""
KIND_WORDS = 5
"""Words at the beginning of an error that tell its kind: mostly the class of the exception and four more. The words
after them tell what the call was about."""
MAX_COMPARED_CHARS = 128 * 1024
"""Characters of the longest text from which noise is removed. A longer text is compared as it is, because to search it
would delay other runs. No tool's result is so long, because an agent is shown only the beginning of a long one; see
`Result.whole`."""
MAX_SAME_CHARS = 4 * 1024
"""Characters of the longest result that is compared with answers to other questions: longer results are hardly ever
equal."""
MAX_FOLDED_VALUES = 32
"""Most arguments that are searched in a result; a call with more is not a question."""
MIN_REPEATED_CHARS = 3
"""Characters of the shortest argument that counts as repeated in a result: a shorter one may occur in it by chance."""
MAX_FOLDED_CHARS = 4 * 1024
"""Characters of the longest arguments whose spelling is folded: longer arguments are content, and not a question."""
MAX_GIST_WORDS = 256
"""Words of a hand-off's task that are compared. Tasks that agree in this many words count as the same."""


class Fingerprints(msgspec.Struct, frozen=True):
    """The digests of one result; see `StepDone`."""

    exact: str | None = None
    loose: str | None = None
    answer: str | None = None


_NO_FINGERPRINTS = Fingerprints()


def _keep(text: str, value: object) -> object:
    return value


def compute_fingerprints(
    step: Step, result: Result, at: float = 0.0, conceal: Conceal = _keep
) -> Fingerprints:
    """Returns digests of (tool, arguments, result), or of (tool, error); empty if the result tells the agent nothing.
    The loose digest covers a read's result without all that may be noise, a write's result without its numbers (two
    equal orders differ only in their new number), or the kind of an error. It is None if it would equal the exact
    digest. For a read's short result it covers the words in any order and not the arguments, so it is also equal if
    another question had the same answer. If the result has random words, which may be the answer, the loose digest covers
    the arguments and not these words, and the digest `answer` covers these words and not the arguments. Errors are compared
    without their quotes, which are mostly the arguments. `at` is the time of the call in wall seconds, 0 if it is not known.
    On `conceal` see `Bodies.conceal`.
    """
    if step.kind not in REQUESTED:
        if result.problem is None:
            return _NO_FINGERPRINTS
        kind = result.problem_kind or _strip_values(result.problem)
        return Fingerprints(digest_of([step.name, "problem", kind]))
    if step.invalid is not None:
        kind = step.invalid_kind or _strip_values(step.invalid)
        return Fingerprints(digest_of([step.name, "invalid", kind]))
    if result.status == "refused" and result.error == REJECTED:
        return Fingerprints(compute_rejection_fingerprint(step.name, step.likeness))
    forms = normalise(result.output, at, step.volatile) if result.whole is None else Forms(*result.whole)
    if result.status != "ok":
        return _compute_of_error(step, result, forms.loose, conceal)
    asked = step.asked_key or None
    shown = _conceal(result, forms.exact, conceal)
    if shown is forms.exact:  # the text has no secret, so the other forms have none either
        conceal = _keep
    exact = digest_of([step.name, asked, shown])
    loose: object = forms.loose
    if not step.effect and isinstance(result.output, str) and says_error(result.output):
        text = _to_text(loose)
        kind = read_error_kind(_QUOTED.sub("…", text) if isinstance(loose, str) else text)
        return Fingerprints(exact, FAILED + digest_of([step.name, "said", _conceal(result, kind, conceal)]))
    if step.kind == "tool" and result.whole is None:
        if step.effect and isinstance(result.output, str):
            text = mask_random(to_canonical_bytes(loose).decode())
            mark = PROGRESS if says_progress(text) else ""
            shown = _conceal(result, _NUMBER.sub("0", text), conceal)
            return Fingerprints(exact, mark + digest_of([step.name, asked, shown]))
        if not step.effect and len(result.output) <= MAX_SAME_CHARS:
            return _compute_of_answer(step, result, exact, loose, conceal)
    return _compute_of_other(step, result, exact, forms, conceal)


def _to_text(loose: object) -> str:
    return loose if isinstance(loose, str) else to_canonical_bytes(loose).decode()


def _compute_of_answer(
    step: Step, result: Result, exact: str, loose: object, conceal: Conceal
) -> Fingerprints:
    """Returns the digests of a read's short result."""
    mark = UNFINISHED if isinstance(result.output, str) and says_unfinished(result.output) else ""
    text = _to_text(loose)
    answer = mark + digest_of([step.name, _conceal(result, _sort_words(text, step), conceal)])
    masked = mask_random(text)
    if masked is text:
        return Fingerprints(exact, answer)
    words = _conceal(result, _sort_words(masked, step), conceal)
    return Fingerprints(exact, mark + digest_of([step.name, step.asked_key or None, words]), answer)


def _compute_of_other(step: Step, result: Result, exact: str, forms: Forms, conceal: Conceal) -> Fingerprints:
    """Returns the digests of a long result, of one that was cut or is no text, and of an agent's answer."""
    loose: object = forms.loose
    if result.whole is None:
        text = _to_text(loose)
        masked = mask_random(text)
        loose = loose if masked is text else masked
    is_write = step.kind == "tool" and step.effect
    if loose == forms.exact and not is_write:
        return Fingerprints(exact)
    asked = step.asked_key or None
    return Fingerprints(exact, digest_of([step.name, asked, _conceal(result, loose, conceal)]))


def _compute_of_error(step: Step, result: Result, output: object, conceal: Conceal) -> Fingerprints:
    """Returns the digests of an error. In an error all that may be noise counts as noise."""
    kind = None
    if isinstance(output, str):
        output = _QUOTED.sub("…", output)
        if result.status in ("error", "timeout"):
            named = read_error_kind(output, result.error or "")
            kind = FAILED + digest_of([step.name, result.status, _conceal(result, named, conceal)])
        output = mask_random(output)
    return Fingerprints(digest_of([step.name, result.status, _conceal(result, output, conceal)]), kind)


def _sort_words(text: str, step: Step) -> list[str]:
    """Returns the words of a result in alphabetical order, because the order of rows may change, and without the values
    of the arguments.

    Many tools repeat a value of their arguments.
    """
    asked = list_values(step.arguments) if step.arguments else []
    numbers = set[str]()
    for _, value in asked[:MAX_FOLDED_VALUES]:
        if not isinstance(value, str):
            numbers.add(str(value))
        elif MIN_REPEATED_CHARS <= len(value) <= MAX_SAID_CHARS and value in text:
            text = text.replace(value, "…")
    words = sorted(_WORDS.findall(text))
    return [word for word in words if word not in numbers] if numbers else words


def says_error(text: str) -> bool:
    """Returns whether the result of a call that returned normally reports an error, in the words of shells and
    servers.
    """
    if len(text) > MAX_SAID_CHARS:
        return False
    return _SAYS_ERROR.match(text[:_BEGINNING_CHARS]) is not None or _ends_with_exit_code(text)


def _ends_with_exit_code(text: str) -> bool:
    last = text.rstrip()[-1:]
    if last != "]" and not last.isdecimal():
        return False
    end = text[-_BEGINNING_CHARS:]
    # other letters than ASCII's may match "exit" in another case
    return (not end.isascii() or "exit" in end.lower()) and _EXIT_CODE.search(end) is not None


@functools.cache
def _compile_verbose(pattern: str, more: int = 0) -> re.Pattern[str]:
    return re.compile(pattern, re.VERBOSE | re.IGNORECASE | more)


def says_unfinished(text: str) -> bool:
    """Returns whether a short result says that it may change later, because something runs or waits."""
    if len(text) > MAX_SAID_CHARS or not has_one_of(text.lower(), _UNFINISHED_PARTS):
        return False
    return _compile_verbose(_UNFINISHED).search(text) is not None


def says_progress(text: str) -> bool:
    """Returns whether a short result of a write reports progress: a number of a total, or a number that is left."""
    if len(text) > MAX_SAID_CHARS or _NUMBER.search(text) is None:
        return False
    return _compile_verbose(_PROGRESS).search(text) is not None


def read_error_kind(text: str, name: str = "") -> list[str]:
    """Returns the kind of an error: its name, its status code, and its first words that are not the name of a thing.
    `text` has no quotes. Numbers, ids, addresses, paths and names are left out, because they tell what the call was
    about.
    """
    text = text.removeprefix("Error: ")
    code = _STATUS_CODE.search(text)
    words = [each.strip(".,;:!?()[]{}<>'\"`") for each in _NAME.sub("", text[:2_000]).split()]
    plain = [word.casefold() for word in words if word and not _LITERAL.search(word) and word != "…"]
    return [name, code[0] if code else "", *plain[:KIND_WORDS]]


def compute_rejection_fingerprint(name: str, likeness: str) -> str:
    """Returns the digest of the answer to a call that a person has rejected. It is the same each time the call is
    proposed again, whatever the reason for the rejection, and differs for another proposal. `likeness`: see
    `StepIntended.likeness`.
    """
    return digest_of([name, "refused", REJECTED, likeness])


def _strip_values(text: str) -> str:
    """Returns an error message without its quotes: the fields and the kinds of the mistakes stay."""
    return _NUMBER.sub("0", _QUOTED.sub("…", _GIVEN.sub("", text)))


def _conceal(result: Result, output: object, conceal: Conceal) -> object:
    if result.whole is not None:  # the digests were made from the redacted text
        return output
    return conceal(result.output, output) if isinstance(result.output, str) else output


def normalise(output: str | bytes, at: float = 0.0, volatile: Sequence[str | re.Pattern[str]] = ()) -> Forms:
    """Returns a result without certain noise, and without all that may be noise.

    White space and the order of JSON keys mean nothing.
    """
    if isinstance(output, bytes):
        digest = digest_of(output.hex())
        return Forms(digest, digest)
    text = escape_unsendable(output).strip()
    if len(text) > MAX_COMPARED_CHARS:
        ref = ref_of(text.encode())
        return Forms(ref, ref)
    value: object = text
    may_have_word = True
    if text[:1] in ("{", "["):
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            value = msgspec.json.decode(text)
        may_have_word = "\\" in text or has_volatile_word(text)
    masker = Masker(at, volatile, may_have_word=may_have_word)
    try:
        forms = masker.mask_value(value)
    except RecursionError:  # nested too deeply: it is compared as a text
        forms = masker.mask_value(value := text)
    # the masked part is the whole answer: a measurement
    if value and not volatile and is_masked(forms.exact):
        return Forms(value, forms.loose)
    return forms


def digest_whole(text: str, volatile: Sequence[str | re.Pattern[str]] = ()) -> tuple[str, str]:
    """Returns the value of `Result.whole` for a text: digests of both forms. A thread may call it for a long text."""
    return Masker(0.0, volatile).digest_long(escape_unsendable(text).strip())


def decode_arguments(arguments_key: str, text: str) -> Any:
    """Returns a call's arguments for comparing; None if their text is not JSON, is long, or is redacted."""
    if "~" in arguments_key or len(text) > MAX_FOLDED_CHARS:  # a seal: `text` is redacted, and so incomplete
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def fold_arguments(arguments_key: str, arguments: Any, text: str = "") -> str:
    """Returns the key that a call's arguments have in common with other spellings of them; "" for `arguments_key`
    itself. `text` is the body whose address the key is; "": it is not known.

    Spellings differ in letter case, in white space, and in ids that only number the attempt. Only the results can show
    whether such a difference matters: the key is for comparing calls together with their results, and never for the
    identity of an effect.
    """
    spelled = to_canonical_bytes(_fold_value(arguments))
    if text and spelled == text.encode():
        return ""
    folded = ref_of(spelled)
    return "" if folded == arguments_key else folded


_ATTEMPTS = frozenset({"attempt", "try", "retry", "retries", "attempts"})


@functools.lru_cache(maxsize=4096)  # as `name_meaning`
def _numbers_attempt(field: str) -> bool:
    """Returns whether the value of a field only numbers the attempt, or tells its time."""
    return field.casefold() in _ATTEMPTS or name_meaning(field) in ("noise", "clock")


def _fold_value(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.split()).casefold()
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {key: _fold_value(item) for key, item in pairs if not _numbers_attempt(key)}
    if isinstance(value, list):
        return [_fold_value(item) for item in cast("list[Any]", value)]
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
_ATTEMPT = rf"""
      [(\[{{][ ]?(?:{_AGAIN}|take{_COUNT})(?![\w-])[^()\[\]{{}}\d]{{0,24}}[)\]}}][ ]?[:,.;-]?    # (attempt 3)
    | ^[ ]?{_AGAIN}[ ]?(?:[:,.;!–—-]+[ ]|$)                                                  # Retry #2: …
    | [.,;:!?–—-][ ](?:{_TRY}{_COUNT}|{_NTH})[ ]?(?=[,;!?–—]|\.(?:\s|$)|$)                   # …, 2nd try
    | (?<![\w-])(?:for[ ]the[ ]{_ORDINAL}[ ]time|(?:once|yet)[ ](?:more|again)|one[ ]more[ ]time|again)(?![\w-])
    """
"""Text that only says how often a task was handed out before. A number that is not called an attempt stays: it may be a
quantity ("try 3 hotels"). An attempt that the task is about stays too, such as the log of attempt 3."""
_SPACES = re.compile(r"[ \t]+")


def remove_attempts(task: str) -> str:
    """Returns a task without text that only says how often it was handed out before, such as `(attempt 3)`."""
    rest = _compile_verbose(_ATTEMPT, re.MULTILINE).sub(" ", _SPACES.sub(" ", task))
    return rest.strip() if _WORD.search(rest) else task


def make_gist(task: str) -> Gist:
    """Returns the gist of a task: at most `MAX_GIST_WORDS` words, whose order does not matter."""
    text = remove_attempts(escape_unsendable(task))
    rest: tuple[str, ...] = ()
    if len(text) > MAX_COMPARED_CHARS:  # tasks that differ after this bound are different tasks
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


@functools.lru_cache(maxsize=4096)  # an application's tasks use few different words
def _digest_short_word(word: str) -> int:
    return _digest_word(word)


def compare_gists(one: Gist, other: Gist) -> float:
    """Returns the share of common words in all words (Jaccard's index), from 0 to 1; 0 if the literals differ."""
    if one.names != other.names:
        return 0.0
    mine, theirs = set(one.words), set(other.words)
    return len(mine & theirs) / len(mine | theirs) if mine or theirs else 1.0
