"""Cuts texts of agents into sentences and clauses, and finds the words in them that carry meaning."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_TEXT_CHARS = 20_000
"""Characters of one agent's instructions that are read, which bounds the time. The longest prompts are far shorter."""

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n\s*\n|\n\s*(?=[-*•\d])|(?<=:)\s*\n")
_CLAUSE_END = re.compile(
    r"[;:—–()]|,(?!\d)|\s-\s|\s(?:and|but|or|then|und|aber|oder|et|mais|y|pero)\s(?=\S)", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+(?:\.\d+)?", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\s_\-./&]+")
_PLACEHOLDER = re.compile(r"\{\{?[^{}]{0,80}\}?\}|\$\{?\w+\}?")


def make_words(text: str) -> frozenset[str]:
    """Returns the words of a list that is written as a text."""
    return frozenset(text.split())


STOP_WORDS = make_words(
    "a an and any are as at be been both but by can do does each else every for from has have if in into is it its may more "
    "most must no nor not of off on only or other others own per shall should so some such than that the their them then "
    "there these they this those to up upon via was we were what when where which who whom whose will with within without "
    "you your yours i me my our out over all always also between after before until while under above below about again "
    "whether through very well just still either neither he she his her him"
)
"""English words that say nothing about the subject of a sentence."""

NOT_TOLD = re.compile(
    r"\b(?:not|never|no|without|cannot|nor|who|whoever|once|after|until|unless|if)\b|n['’]t\b", re.IGNORECASE
)
"""Words before a verb which say that it is not an instruction, or only under a condition."""
UP_TO = re.compile(r"\b(?:up\s+to|below|under|at\s+most|less\s+than)\s", re.IGNORECASE)
ABOVE = re.compile(r"\b(?:above|over|beyond|more\s+than|exceed\w*)\s", re.IGNORECASE)
QUALIFIED = re.compile(
    rf"{UP_TO.pattern}|{ABOVE.pattern}|\b(?:before|after|when|once|until|within|as\s+soon)\s", re.IGNORECASE
)
"""The beginning of an amount or a time after an object: `up to` in `approves refunds up to 50 euros`."""
MAX_CLAUSES = 300
"""Clauses of one kind that are compared with each other in a team: 45,000 pairs, which take less than a second. The teams
that we have seen have ten."""
MAX_SENTENCE_CHARS = 1_000
"""Characters of a sentence. A longer one is a table or a list whose beginning and end are not related, so it is cut."""


class Span(NamedTuple):
    """A piece of a text."""

    text: str
    start: int
    """The offset of the piece in the text, in characters."""


def strip_placeholders(text: str) -> str:
    """Returns a text of the same length in which placeholders such as `{topic}` are blanked."""
    return _PLACEHOLDER.sub(lambda found: " " * len(found[0]), text)


def split_sentences(text: str) -> list[Span]:
    """Returns the sentences of a text, without the space around them. Each line of a list is a sentence."""
    spans = _split(text[:MAX_TEXT_CHARS], _SENTENCE_END, 0)
    return [
        Span(span.text[at : at + MAX_SENTENCE_CHARS], span.start + at)
        for span in spans
        for at in range(0, len(span.text), MAX_SENTENCE_CHARS)
    ]


def split_clauses(sentence: Span) -> list[Span]:
    """Returns the parts of a sentence between its commas and conjunctions."""
    return _split(sentence.text, _CLAUSE_END, sentence.start)


def _split(text: str, end: re.Pattern[str], offset: int) -> list[Span]:
    spans: list[Span] = []
    begin = 0
    for found in [*end.finditer(text), None]:
        stop = len(text) if found is None else found.start()
        piece = text[begin:stop]
        stripped = piece.strip()
        if stripped:
            spans.append(Span(stripped, offset + begin + piece.index(stripped[0])))
        begin = stop if found is None else found.end()
    return spans


def split_name(name: str) -> tuple[str, ...]:
    """Returns the words of a name such as `WebDeveloper`, `web_developer` or `Web Developer`, in lower case."""
    parts = _CAMEL.split(strip_placeholders(name))
    return tuple(word.lower() for part in parts for word in _WORD.findall(part))


def list_words(text: str) -> list[str]:
    """Returns the words of a text that carry meaning, in lower case and without their usual endings."""
    words = (found.lower() for found in _WORD.findall(text))
    return [stem(word) for word in words if word not in STOP_WORDS]


def stem(word: str) -> str:
    """Returns an English word without its usual endings, so that `approves`, `approved` and `approval` are one."""
    word = word.replace("’", "'").removesuffix("'s")
    for ending in (
        "isations",
        "izations",
        "isation",
        "ization",
        "ations",
        "ation",
        "ments",
        "ment",
        "ings",
        "ing",
    ):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    for ending in ("ies", "ied", "als", "al", "ers", "er", "es", "ed", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def compare_words(a: list[str], b: list[str]) -> float:
    """Returns the share of common words among all words of both lists (Jaccard's index); 0 if a list is empty."""
    left, right = set(a), set(b)
    return len(left & right) / len(left | right) if left and right else 0.0
