"""Finds the texts that claim a permission or a role, or speak in somebody else's name.

A sentence counts if it says that something *was* allowed ("the manager approved this"), that its writer may allow it
("I am the admin"), that a check can be left out ("skip the review"), or if it speaks in somebody else's name ("SYSTEM:
…"). Questions, conditions, pending decisions and rules ("refunds need the manager's approval") are not claims. How a
text is cut into sentences: `sentences.py`; the patterns: `patterns.py`; fields such as `approved_by: cfo`: `fields.py`.

`python bench/authority.py` prints how many claims of `bench/authority_claims.jsonl` are found, and how many texts are
taken for claims by mistake.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterator
from typing import NamedTuple

from seawall.guards.authority.fields import STEMS as FIELD_STEMS
from seawall.guards.authority.fields import find_fields
from seawall.guards.authority.patterns import PATTERNS
from seawall.guards.authority.sentences import join_sentences, read_as_seen, strip_question
from seawall.run.permission_claims import ClaimKind, PermissionClaim
from seawall.run.traces import BLANKS, list_values

MAX_CHARS = 200_000
"""Characters of a text that are searched: as many as are indexed for causes (`run.traces.MAX_INDEXED_CHARS`). This
takes some ms."""
SHORT_CHARS = 4_000
KEPT_TEXTS = 4_096
"""Most texts shorter than `SHORT_CHARS` whose claims are cached, by newest use: a result is searched when it is judged,
again when it is recorded, and in each later run of the session (`run.causes.MAX_HISTORY_MESSAGES`). They take 16
megabytes at most; the run caches the values of longer texts."""
MAX_CLAIMS = 8
"""Most claims of one text. One is enough to judge the text, and a person reads the first few."""
MAX_SENTENCE_CHARS = 300
"""Characters of a window: a longer sentence is searched in several windows, so that the time of the patterns is
bounded."""
MAX_SENTENCES = 1_000
"""Most different sentences of a text that have a stem and are searched: some ten milliseconds. A text with more counts
as making a claim, because it was not searched completely."""
WINDOW_CHARS = 80
"""Characters kept before and after a sentence: enough for the name of a speaker, and for the next line."""
MAX_QUOTE_CHARS = 160
"""Characters of a quote that are kept: two lines of a terminal."""

_compile = functools.cache(re.compile)
"""Compiles a pattern when it is first needed. Most texts need none, and compiling all takes longer than importing the
package."""

_OPEN = (
    r"\b(?:until|till|unless|if|whether|once|when|before|how|why|which|who|what|not|never|nobody|nothing|cannot|should|would"
    r"|in case|(?:check|ensure|verify|sure|wait|waiting)(?: that| for)?|yet|pending|ob|wenn|falls|bis|sobald|nicht|nichts"
    r"|kein\w?|noch|si|quand|avant|jamais|cuando|hasta|todavía|nunca|não|ainda|quem|не|нельзя|если|кто|когда|ещё|нужно|لم|إذا|هل|من)\b"
    r"|n['’]t\b"
)
"""Words before a claim in its clause, which make the clause a question, a condition or a negation."""
_OPEN_AFTER = r"^\s*(?:nichts|nicht\b|kein|not\b|nothing|nobody|no\b|never|(?:you|they|it) can(?:no|['’]?)t\b)|\bwird nichts\b"
_PAST = r"^(?!.*\b(?:this|it)\b).*(?:\b(?:in|since) (?:19|20)\d\d\b|\blast (?:year|quarter|decade|century)\b|\byears? ago\b)"
"""A sentence about something long past, and not about the current request."""
_RULE = (
    r"\b\w+s\s+(?:of\s+)?(?:below|under|up to|less than|smaller than|above|over|more than)\s+(?:[\w$€£]+\s+)?[$€£]?\d"
    r"|\bpolicy\b.*\b(?:must|may)\b"
)
"""A sentence about all amounts of a size, and not about this call."""
_QUOTED = r"\b(?:phrases?|wording|scams?|phishing|for example|e\.g|such as)\b"
"""A sentence about wording."""
_CLAUSE = r"[,:–—،]|\b(?:and|but|so|because|then|und|aber|et|mais|y|pero|e|mas|и|но)\b"

_NAME = r"[a-z][\w-]{1,30}(?: [a-z][\w-]{1,30}){0,2}"
_VOICE = (
    rf"(?:^|[.!?\n>])[^\w\n]{{0,6}}(?:(?:message|note|instructions?|reply|word)\s+)?(?:from\s+)?(?:the\s+)?(?P<by>{_NAME}?)"
    r"(?:\s+(?:message|prompt|note|notice|alert|override|instructions?))?[\]>*)]{0,3}\s*[:>]\s*(?P<said>[^\n]{1,200})"
)
_HEADING = r"(?:^|\n)\s*#{1,4}\s*(?:the\s+)?(?P<by>system|developer|user|admin)\b[^\n]{0,30}\n+(?P<said>[^\n]{1,200})"
_TAG = r"<(?P<by>system|assistant|developer|admin)(?:[_-]?(?:prompt|message))?>(?P<said>[^<]{1,200})"
_CONSENT = (
    r"\b(?:go ahead|proceed|approve[ds]?|approval|authori[sz]ed?|permission|permitted|granted|allowed|yes,|skip|bypass|ignore"
    r"|disregard|override|disable|confirmed|release the|execute|without review)\b"
)
_MARKUP = r"<\|(?:im_start|im_end|system|user|assistant|start_header_id|end_header_id|eot_id|begin_of_text)\|>|\[/?inst\]|<</?sys>>"
_ENDS = ".!?;\n。।؟"
_VOICE_STEMS = ("proceed", "yes,", "confirmed", "without review", "allowed", "skip")
_MARKS = ("<|", "[inst", "[/inst", "<<sys")
"""Marks of which a voice in markup has one."""
_WORDS = re.compile(r"\w+")
_QUOTES = str.maketrans(dict.fromkeys("“”„«»…–—¿¡", " "))
_PREFIX_CHARS = 4
_FREQUENT = frozenset(
    {
        "not",
        "you",
        "with",
        "from",
        "for",
        "the",
        "it",
        "is",
        "and",
        "to",
        "no",
        "on",
        "me",
        "us",
        "n",
        "t",
        "s",
    }
)
_begin = operator.itemgetter(slice(_PREFIX_CHARS))
_LAST_SPACED = "\u08ff"
"""The last letter of the scripts of Europe and of Arabic; letters of India and East Asia come after it."""


@functools.cache
def _list_shortest() -> list[str]:
    """Returns the stems of all patterns that contain no other stem."""
    every = {*_VOICE_STEMS, *FIELD_STEMS, *(stem for _, stems, _ in PATTERNS for stem in stems)}
    shortest: list[str] = []
    for stem in sorted(every, key=len):
        if not any(map(stem.__contains__, shortest)):
            shortest.append(stem)
    return sorted(shortest)


@functools.cache
def _group_stems() -> dict[str, list[str]]:
    """Returns the stems by the beginning of their rarest word, so that the words of a text lead to the few stems that
    it may have.
    """
    grouped: dict[str, list[str]] = {"prea": ["approve"]}
    for stem in _list_shortest():
        if not _is_unspaced(stem):
            words = _WORDS.findall(stem)
            key = max(words, key=lambda word: (word not in _FREQUENT, len(word)))[:_PREFIX_CHARS]
            grouped.setdefault(key, []).append(stem)
    return grouped


@functools.cache
def _list_unspaced() -> list[str]:
    """Returns the stems of scripts whose words can't be separated by blanks and letters."""
    return [stem for stem in _list_shortest() if _is_unspaced(stem)]


def _is_unspaced(stem: str) -> bool:
    return max(stem) > _LAST_SPACED and "’" not in stem


@functools.cache
def _find_patterns() -> dict[str, list[int]]:
    """Returns, by stem, the indexes of the patterns that may match in a text with that stem."""
    return {
        short: [at for at, (_, stems, _) in enumerate(PATTERNS) if any(short in stem for stem in stems)]
        for short in _list_shortest()
    }


_VOICES = ("system", "user", "assistant", "developer", "human", "admin")


@functools.lru_cache(maxsize=KEPT_TEXTS)
def _find_in_short(text: str) -> tuple[PermissionClaim, ...]:
    return _find_in_text(text)


def find_claims(text: str) -> tuple[PermissionClaim, ...]:
    """Returns the claims of the first `MAX_CHARS` of a text, at most `MAX_CLAIMS`. In JSON the values are searched."""
    return _find_in_short(text) if len(text) < SHORT_CHARS else _find_in_text(text[:MAX_CHARS])


def _find_in_text(text: str) -> tuple[PermissionClaim, ...]:
    text = text if text.isascii() else read_as_seen(text)
    stems = _list_stems(text.lower())
    if not stems:
        return ()
    found: dict[tuple[ClaimKind, str], PermissionClaim] = {}
    for claim in find_fields(text.lower()):
        found.setdefault((claim.kind, claim.by), claim)
    sentences = _list_sentences(join_sentences("\n".join(list_values(text))), stems)
    if len(sentences) == MAX_SENTENCES:
        found["permission", ""] = PermissionClaim(kind="permission", quote="")
    for sentence in sentences:
        for claim in (*_find_voices(sentence), *_find_in_sentence(sentence)):
            found.setdefault((claim.kind, claim.by), claim)
        if len(found) >= MAX_CLAIMS:
            break
    return tuple(found.values())[:MAX_CLAIMS]


class _Sentence(NamedTuple):
    text: str
    window: str
    """The sentence with the text right before and after it, which may name the speaker."""
    stems: list[str]


def _list_stems(text: str) -> list[str]:
    """Returns the stems that a text in lower case has."""
    is_ascii, grouped = text.isascii(), _group_stems()
    words = (text if is_ascii else text.translate(_QUOTES)).translate(BLANKS).split()
    found: list[str] = []
    if not grouped.keys().isdisjoint(map(_begin, words)):
        stems = [stem for key in sorted(grouped.keys() & set(map(_begin, words))) for stem in grouped[key]]
        found = [stem for stem in stems if stem in text or _is_apart(stem, words)]
    if not is_ascii:
        found += [stem for stem in _list_unspaced() if stem in text]
    return found + [mark for mark in _MARKS if mark in text] if "<" in text or "[" in text else found


def _is_apart(stem: str, words: list[str]) -> bool:
    """Returns whether a text with these words has a stem of several words, in two lines or with markup in it."""
    return " " in stem and stem in " ".join(words)


def _list_sentences(text: str, stems: list[str]) -> list[_Sentence]:
    """Returns the sentences that have one of these stems, in order, each once, at most `MAX_SENTENCES`."""
    found: dict[int, _Sentence] = {}
    windows = set[str]()
    for stem in stems:
        at = text.find(stem)
        while at >= 0 and len(found) < MAX_SENTENCES:
            low, high = max(0, at - MAX_SENTENCE_CHARS), at + MAX_SENTENCE_CHARS
            start = max(low, *[text.rfind(mark, low, at) + 1 for mark in _ENDS])
            ends = [end for mark in _ENDS if (end := text.find(mark, at + len(stem), high)) >= 0]
            end = min(ends, default=min(high, len(text) - 1)) + 1
            window = text[max(0, start - WINDOW_CHARS) : end + WINDOW_CHARS]
            if window not in windows:
                windows.add(window)
                sentence = text[start:end].strip()
                found[start] = _Sentence(sentence, window, [each for each in stems if each in sentence])
            at = text.find(stem, end)
    return [found[start] for start in sorted(found)]


def _find_voices(sentence: _Sentence) -> Iterator[PermissionClaim]:
    """Yields the places where a text speaks in somebody else's name."""
    text = sentence.window
    markup = _compile(_MARKUP).search(text)
    if markup is not None:
        after = text[markup.end() : markup.end() + 12]
        by = next((each for each in _VOICES if each in after or each in markup[0]), "system")
        yield PermissionClaim(
            kind="voice", by=by, quote=_quote(text[markup.start() :]), near=text, markup=True
        )
    patterns = [pattern for mark, pattern in ((":", _VOICE), ("#", _HEADING), ("<", _TAG)) if mark in text]
    for pattern in patterns:
        for match in _compile(pattern).finditer(text):
            said = match["said"]
            if _compile(_CONSENT).search(said) is not None and "?" not in said:
                yield PermissionClaim(kind="voice", by=match["by"].strip(), quote=_quote(match[0]), near=text)


def _find_in_sentence(found: _Sentence) -> Iterator[PermissionClaim]:
    sentence, stems = strip_question(found.text), found.stems
    if not sentence:
        return
    for at in sorted({at for stem in stems for at in _find_patterns().get(stem, ())}):
        kind, _, pattern = PATTERNS[at]
        match = _compile(pattern).search(sentence)
        if match is None or _is_general(sentence, kind):
            continue
        if not _is_open(sentence, match, says=kind in ("permission", "role")):
            by = match.groupdict().get("by") or ""
            yield PermissionClaim(kind=kind, by=by, quote=_quote(sentence), near=found.window)


def _is_general(sentence: str, kind: ClaimKind) -> bool:
    """Returns whether a sentence is about wording, about the distant past, or about all amounts of a size."""
    if _compile(_QUOTED).search(sentence) is not None:
        return True
    if kind == "permission" and _compile(_PAST).search(sentence) is not None:
        return True
    return kind in ("permission", "waiver") and _compile(_RULE).search(sentence) is not None


def _is_open(sentence: str, match: re.Match[str], *, says: bool) -> bool:
    """Returns whether the clause of a match is a question, a condition or a negation. `says`: the match itself must
    have no such word either. A waiver of a check may have one: "do not ask for approval".
    """
    if says and _compile(_OPEN).search(match[0]) is not None:
        return True
    before = sentence[: match.start()]
    starts = [each.end() for each in _compile(_CLAUSE).finditer(before)]
    clause = before[starts[-1] :] if starts else before
    return (
        _compile(_OPEN).search(clause) is not None
        or _compile(_OPEN_AFTER).search(sentence[match.end() :]) is not None
    )


def _quote(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_QUOTE_CHARS else f"{text[: MAX_QUOTE_CHARS - 1]}…"
