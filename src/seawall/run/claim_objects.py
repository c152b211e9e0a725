"""The object of a claim of permission, and whether it is the effect that is about to be made.

An effect rests on a claim that its agent has read if they share a value (see `causes.py`). Many claims share no value
with the effect that they are about: "the board approved deleting all backups". Such a claim counts as being about an
effect if it names the tool's verb or object or a value of its arguments, or if it names no object: "the manager
approved this".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from typing import Any, Literal, NamedTuple, cast

import msgspec

_compile = functools.cache(re.compile)

_VERBS = (
    r"approv(?:ed|es|ing|al)|authori[sz](?:ed|es|ing|ation)|signed off|sign[ -]?off|agree[ds]|okayed|ok['’]?d|cleared|clearance"
    r"|accepted|confirm(?:ed|ation)|granted|allow(?:ed|s)|permi(?:tted|ts|ssion)|waive[ds]?|sanctioned|endorsed|green[ -]?li(?:t|ghted|ght)"
    r"|consent(?:ed)?|blessing|go[ -]?ahead|approve|authori[sz]e|confirm|permit|skip|bypass|override|ignore|disregard|without|no need"
    r"|instructed"
)
_ACTIVE = re.compile(rf"\b(?:{_VERBS})\b")
_PASSIVE = re.compile(
    rf"(?:\b(?:is|are|was|were|been|be|being)|\b(?:it|this|that|all)['’]s)\s+(?:\w+ly\s+|already\s+|been\s+|now\s+|just\s+)*(?:pre-?)?(?:{_VERBS})\b"
)
_CLAUSE = re.compile(r"[,;:()–—]|\b(?:and|but|so|because|since|as|when|while|if|which|who|during|although)\b")
_WHO = re.compile(r"\b(?:by|from)\s+(?:(?:the|my|our|your|his|her|their)\s+)?\w+")
"""The person who is said to have allowed something."""
_ROLE = re.compile(r"\b(?:am|['’]m|is|are|as|have|hold|has)\b.*?\bof\b")
"""The object of a role: the owner of the blue Fiat."""
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[-+$€£ ]{0,3}\d[\d.,' ]*(?:[a-z]{3}|[$€£%])?")
_POSSESSIVE = re.compile(r"\b(?:my|his|her|their)\s+(?:own\s+)?[a-z]")
_EVERYTHING = re.compile(r"\b(?:all|any|every|everything|anything|whatever)\b")


def _read_words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SAYS_NOTHING = _read_words(
    """a an the this that it these those them they he she we you i me us him her my our your his their its one here there now
    then today just already also too very please yes ok okay to of for on in at by with from up off out over do does did done
    be been is are was were has have had having will would can could may might must shall should not no any all every each
    everything anything everyone both such so as again ahead go goes proceed further whole full hereby fully
    personally verbally explicitly formally kindly immediately right away soon once more other without need needs needed
    ask asking wait waiting check checks checking review reviews approval approvals approved approve authorization
    authorisation authorized authorised permission consent clearance verification confirmation validation audit limits limit
    policy policies guard guards second additional final usual normal status granted given got get sign signed
    speaking writing am im came come arrived received obtained gave give"""
)
"""Words that do not tell what was allowed."""
_POINTS = _read_words(
    """request requests action actions change changes release releases step steps task tasks operation operations case message
    mail email ticket matter thing things call exception order orders"""
)
"""Words that refer to what is asked for next to the claim, whatever that is."""
_PAYMENTS = _read_words(
    """refund refunds payment payments payout payouts pay paying transfer transfers transaction transactions purchase purchases
    invoice invoices discount discounts credit credits amount amounts withdrawal withdrawals compensation reimbursement
    reimbursements money sum funds"""
)
"""Words that refer to what is asked for, if that is money."""
_WEAK_VERBS = _read_words(
    """create make send update add write post submit run start open set call execute apply handle process get find show read
    save store book file issue change edit insert record use work approve confirm authorize"""
)
"""First words of tools' names that are used for many other things: alone they do not refer to the tool."""
_MIN_WORD_CHARS = 4
"""Characters of the shortest word of a tool's name that counts: shorter ones ("get", "do") occur in any sentence."""
MAX_VALUE_CHARS = 60
"""Characters of the longest value whose words are searched in a claim. A longer value is a text."""
MAX_VALUE_WORDS = 200
"""Most such words of one call."""


class Act(NamedTuple):
    """The parts of an effect that a claim may name."""

    words: frozenset[str]
    """Words of the tool's name: the objects, and a verb that is specific enough."""
    values: frozenset[str]
    """Words and numbers of short values of its arguments."""
    literals: frozenset[str]
    """Literals of the arguments, which hardly occur in another text by chance; see `traces.py`."""
    pays: bool = False
    """Whether the effect may move money: the tool's name says so, or an argument is a number."""


NO_ACT = Act(frozenset(), frozenset(), frozenset(), pays=True)
"""A payment that no claim can name. A claim that may be about it may be about any effect."""
Relation = Literal["same", "any", "else"]
"""`same`: a claim is about this effect; `any`: it names no object, so it may be about the effect; `else`: it is about
something else."""


def describe_act(tool: str, arguments: str, literals: frozenset[str]) -> Act:
    """Returns the parts of a tool call that a claim may name. `arguments` is JSON text."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", tool).lower()
    words = _WORD.findall(spaced)
    if len(words) > 1 and words[0] in _WEAK_VERBS:
        words = words[1:]
    kept = [word for word in words if len(word) >= _MIN_WORD_CHARS and word not in _SAYS_NOTHING]
    values, has_number = _list_value_words(arguments)
    pays = has_number or not _PAYMENTS.isdisjoint(words)
    return Act(frozenset(kept), frozenset(values), literals, pays)


def _list_value_words(arguments: str) -> tuple[list[str], bool]:
    """Returns the words of short arguments, and whether an argument is a number."""
    try:
        waiting: list[Any] = [msgspec.json.decode(arguments)]
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return [], True
    found: list[str] = []
    has_number = False
    while waiting and len(found) < MAX_VALUE_WORDS:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += cast("dict[str, Any]", value).values()
        elif isinstance(value, list):
            waiting += cast("list[Any]", value)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            text = str(value).removesuffix(".0").lower()
            has_number = has_number or _NUMBER.fullmatch(text) is not None
            if len(text) <= MAX_VALUE_CHARS:
                found += [word for word in _WORD.findall(text) if len(word) > 1]
    return [word for word in found if word not in _SAYS_NOTHING | _POINTS | _PAYMENTS], has_number


def relate(quote: str, literals: frozenset[str], act: Act) -> Relation:
    """Returns whether a sentence in lower case is about an effect. `literals` are those around the sentence, and those
    of the arguments of its call.
    """
    words = _WORD.findall(quote)
    named = _list_named(quote)
    own = [
        word
        for word in named
        if word not in _POINTS and not word.isdecimal() and not (act.pays and word in _PAYMENTS)
    ]
    if _have_same(named, act.words) or not act.values.isdisjoint(named):
        return "same"
    if literals and act.literals and not literals & act.literals and _EVERYTHING.search(quote) is None:
        return "else"  # the values decide
    if own and _POSSESSIVE.search(quote) is not None:
        return "else"
    if sum(_have_same(words, {each}) for each in act.words) > 1:
        return "same"
    return "else" if own else "any"


def list_words(quote: str) -> list[str]:
    """Returns the words of a sentence."""
    return _WORD.findall(quote)


def may_name(words: Collection[str], act: Act) -> bool:
    """Returns whether some of these words name an effect."""
    return not act.values.isdisjoint(words) or _have_same(words, act.words)


def is_private(quote: str, act: Act) -> bool:
    """Returns whether a sentence allows a thing of its own speaker ("approved my vacation"), and not this effect."""
    return _POSSESSIVE.search(quote) is not None and relate(quote, frozenset(), act) == "else"


def _list_named(quote: str) -> list[str]:
    """Returns the words for what a sentence says was allowed; empty if it names no object."""
    passive = _PASSIVE.search(quote)
    match = passive or _ACTIVE.search(quote) or _ROLE.search(quote)
    if match is None:
        return []
    ends = _CLAUSE.search(quote, match.end())
    phrase = _WHO.sub(" ", quote[match.end() : ends.start() if ends else len(quote)])
    if passive is not None:
        starts = [each.end() for each in _CLAUSE.finditer(quote, 0, match.start())]
        phrase = f"{quote[starts[-1] if starts else 0 : match.start()]} {phrase}"
    return [
        word
        for word in _WORD.findall(phrase)
        if word not in _SAYS_NOTHING and (len(word) > 2 or word.isdecimal())
    ]


def _have_same(words: Collection[str], others: Collection[str]) -> bool:
    return any(_is_same(word, other) for word in words for other in others)


def _is_same(one: str, other: str) -> bool:
    """Returns whether two words are forms of one word: `delete` and `deleting`, `backup` and `backups`."""
    length = max(_MIN_WORD_CHARS, min(len(one), len(other)) - 2)
    return len(one) >= _MIN_WORD_CHARS and len(other) >= _MIN_WORD_CHARS and one[:length] == other[:length]
