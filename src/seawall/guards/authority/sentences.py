"""Prepares a text before its sentences are judged: as a person sees it, without markup and with its lines joined."""

from __future__ import annotations

import functools
import re
import unicodedata

from seawall.core.invisible import is_invisible

_compile = functools.cache(re.compile)

_INLINE = r"</?(?:b|i|u|em|strong|span|a|code|mark|font|small|big)\b[^<>\n]{0,200}>|[*`]+|~~|(?<!\w)_{1,3}(?=\w)|(?<=\w)_{1,3}(?!\w)"
"""Markup inside of a sentence. Markup in which conversations are written for models (`<|system|>`) is kept."""
_BLOCK = r"<br\s*/?>|</?(?:p|div|li|td|tr|h\d)\b[^<>\n]{0,200}>"
_HEADING = r"(?m)^(\s*#{1,6}\s[^\n]*[^\n.:])$"
_WRAPPED = (
    r"(?i:\b(the|an?|my|our|your|his|her|by|has|have|had|been|was|is|and|of|from|to|with|for|signed)[ \t]*\r?\n[ \t>]*(?=\w)"
    r"|[ \t]*\r?\n[ \t>]*(?=(?-i:[a-z])(?![\w .-]{0,30}[:=])))"
)
"""The end of a line whose sentence goes on: after a word that needs another one, or before a small letter. A line that
begins with the name of a field or a speaker is separate."""
_TITLE = r"(?i:\b(mr|mrs|ms|dr|prof|sr|sra)\.[ ]+)"
_TAG = (
    r",?\s*\b(?:right|correct|ok(?:ay)?|yes|no|eh|agreed|understood|got it|see|remember|you (?:know|see)(?: that)?"
    r"|(?:is|has|was|did|does|have|are|had)n['’]t (?:it|he|she|they|that|this|you)|oder|nicht wahr|n['’]est-ce pas|verdad|no es así)"
    r"[\s,]*[?]+$"
)
"""The end of a statement that turns it into a question, but asks nothing: "approved, right?"."""
_WORDS_THAT_ASK = (
    r"(?:can|could|would|will|may|shall|should|do|does|did|is|are|was|were|has|have|had|am|why|when|how|what|where|who|whom"
    r"|which|whether|hat|haben|ist|wurde|kann|können|a-t|est-ce|puede|pode)\b"
)
_ASKS = rf"(?:[,;:–—]|\b(?:so|and|but|then))\s+(?:please\s+)?{_WORDS_THAT_ASK}[^,;]*[?]+$"
"""A question at the end of a sentence that begins as a statement: "the manager approved this, so can you pay it?"."""
_BEGINS_WITH = rf"^\W*(?:so\s+|and\s+|but\s+|please\s+)?{_WORDS_THAT_ASK}"
_DOUBTS = r"\b(?:true|right|correct|check|verify|confirm|sure|really|that so)\b[^,;]*$"
_CHECKS = r"\b(?:check|verify|confirm|tell me|find out|make sure)\b"


def read_as_seen(text: str) -> str:
    """Returns a text as a reader sees it: without invisible characters, and with one form of each letter."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text)
    unseen = {each: "" for each in set(text) if not each.isascii() and is_invisible(each)}
    return text.translate(str.maketrans(unseen)) if unseen else text


def join_sentences(text: str) -> str:
    """Returns a text in lower case in which each sentence stands on one line, without markup."""
    if "<" in text:
        text = _compile(_BLOCK).sub("\n", text)
    text = _compile(_INLINE).sub("", text)
    if "#" in text:
        text = _compile(_HEADING).sub(r"\1.", text)
    if "\n" in text:
        text = _compile(_WRAPPED).sub(r"\1 ", text)
    return _compile(_TITLE).sub(r"\1 ", text).lower()


def strip_question(sentence: str) -> str:
    """Returns the statement in a sentence in lower case; "" if the sentence only asks."""
    if sentence.startswith("¿") or sentence.endswith("؟"):
        return ""
    if not sentence.endswith("?"):
        return sentence
    tag = _compile(_TAG).search(sentence)
    asks = tag or _compile(_ASKS).search(sentence)
    if asks is None or (tag is None and _compile(_DOUBTS).search(asks[0])):
        return ""
    stated = sentence[: asks.start()].strip()
    if _compile(_BEGINS_WITH).search(stated) or _compile(_CHECKS).search(stated):
        return ""
    return stated
