"""Claims of permission: what texts of a run say of what may be done. A claim never is a permission."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterator
from typing import Literal

import msgspec

AUTHORITY = "authority"
"""The name of the guard that judges them, in verdicts and modes."""
MAX_TEXTS = 200
"""Texts with a claim that a run keeps. Past that each effect counts as one that rests on a claim."""
HISTORY = -1
"""What stands for a step: the session's conversation before the run."""

ClaimKind = Literal[
    "permission",  # somebody has allowed it
    "role",  # whoever writes has a role that may allow it
    "waiver",  # a check need not be made
    "voice",  # the text speaks in the name of somebody else
    "order",  # the text tells the agent that reads it to approve, or what to do
]


class PermissionClaim(msgspec.Struct, frozen=True, kw_only=True):
    """One claim in a text."""

    kind: ClaimKind
    quote: str
    """The sentence that makes it, cut to some characters. It is content: no event holds it."""
    by: str = ""
    """Who is said to allow it or to speak, in lower case, as the text names them; "": nobody is named."""
    markup: bool = False
    """A `voice` in the markup in which conversations are written for models: no person writes that by chance."""


class FoundClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, and where it stands."""

    claim: PermissionClaim
    where: str
    """What holds it, for people: `the request`, `the result of 'find_order' (step 3)`."""
    read: bool = False
    """A tool or memory has brought it, and not a user or an agent."""


_UNREAD = PermissionClaim(kind="permission", quote="")
"""Stands for the claims of texts that there was no room for."""
_POINTS = (
    r"\b(?:this|that|it|these|those|everything|all|das|dies\w*|es|alles|cela|ça|tout|esto|eso|todo|lo|la"
    r"|refund\w*|payments?|transfers?|transactions?|purchases?|invoices?|discounts?|credits?|orders?|requests?|amounts?"
    r"|actions?|deletions?|changes?|releases?|withdrawals?)\b|c['’]est|l['’]a\b|\d"
)
"""What a sentence has that allows what is asked for beside it, and not something of its own."""
_OWN_OBJECT = (
    r"\b(?:approved|authori[sz]ed|signed off on|agreed (?:to|on|with)|okayed|cleared|accepted|confirmed|granted|allowed)"
    r"\s+(?:the|my|our|your|his|her|their|an?)\s+[a-z]"
)
"""What somebody is said to have allowed."""
_MIN_WORD_CHARS = 4
"""Of a tool's name: shorter words ("get", "do") stand in any sentence."""
_OWN_CONSENT = (
    r"^\W*(?:yes|ok|okay|sure)?\W*(?:i\s+(?:hereby\s+|do\s+|fully\s+|explicitly\s+)?"
    r"(?:approve|authori[sz]e|permit|consent|give|grant)|you\s+have\s+my)\b"
)
"""How a user consents who makes the request: that is the request, and says nothing of anybody else."""


_compile = functools.cache(re.compile)


class _Text(msgspec.Struct, frozen=True):
    step: int
    text: str
    claims: tuple[FoundClaim, ...]


class ClaimIndex:
    """An index of the texts of a run that claim a permission."""

    def __init__(self, find: Callable[[str], tuple[PermissionClaim, ...]] | None = None) -> None:
        """`find` returns the claims of a text. Without it nothing is found."""
        self._find = find
        self._texts: list[_Text] = []
        self._is_full = False

    def __repr__(self) -> str:
        return f"<ClaimIndex of {len(self._texts)} texts>"

    def __bool__(self) -> bool:
        return bool(self._texts)

    def find(
        self, text: str, where: str, *, read: bool = False, requested: bool = False
    ) -> tuple[FoundClaim, ...]:
        """Returns the claims of a text. What tells its reader what to do counts in what was read only.

        `requested`: whoever makes the request has written it, and may consent in their own name.
        """
        found = self._find(text) if self._find is not None and text else ()
        kept = [each for each in found if read or each.kind != "order"]
        if requested:
            kept = [each for each in kept if not _compile(_OWN_CONSENT).search(each.quote.lower())]
        return tuple([FoundClaim(claim=each, where=where, read=read) for each in kept])

    def note(self, step: int, text: str, where: str, *, read: bool = False) -> None:
        """Adds a text that a step has brought; 0: the request."""
        self._add(step, text, self.find(text, where, read=read, requested=step == 0))

    def note_refused(self, step: int, asked: str, where: str) -> None:
        """Adds a result that was refused because it speaks as somebody else. What it was asked with says what it is about."""
        if self._find is not None:
            claim = PermissionClaim(kind="voice", quote="", markup=True)
            self._add(step, asked, (FoundClaim(claim=claim, where=where, read=True),))

    def _add(self, step: int, text: str, claims: tuple[FoundClaim, ...]) -> None:
        if not claims:
            return
        if len(self._texts) >= MAX_TEXTS:
            self._is_full = True
            return
        self._texts.append(_Text(step, text, claims))

    def list_of(self, step: int) -> tuple[FoundClaim, ...]:
        """Returns the claims of what a step has brought."""
        return tuple([claim for each in self._texts if each.step == step for claim in each.claims])

    def list_under(
        self, steps: Collection[int], tasks: Collection[int], name: str, shares: Callable[[str], bool]
    ) -> Iterator[FoundClaim]:
        """Yields the claims of these steps and tasks, and of the texts of which `shares` is true.

        What a user or an agent has written says more than one thing. Of it a sentence does not count that allows something
        else than the call of `name`.
        """
        for each in self._texts:
            for claim in each.claims if each.step in tasks or each.step in steps or shares(each.text) else ():
                if claim.read or claim.claim.kind != "permission" or not _is_elsewhere(claim, name, shares):
                    yield claim
        if self._is_full:
            yield FoundClaim(
                claim=_UNREAD, where="one of the many results that claim a permission", read=True
            )


def _is_elsewhere(found: FoundClaim, name: str, shares: Callable[[str], bool]) -> bool:
    """Returns whether a sentence allows something of its own ("approved my vacation") that is not the call of a tool."""
    quote = found.claim.quote.rstrip(" :").rpartition(":")[2].lower()
    if not _compile(_OWN_OBJECT).search(quote) or _compile(_POINTS).search(quote) or shares(quote):
        return False
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if len(word) >= _MIN_WORD_CHARS]
    return not any(word in quote for word in words)


class _Reply(msgspec.Struct):
    content: str | None = None


_decoder = msgspec.json.Decoder(_Reply)


def read_content(reply: str) -> str:
    """Returns what a model's reply, as it is recorded, says beside its calls, which are judged by themselves."""
    if '"content"' not in reply:
        return ""
    try:
        return _decoder.decode(reply).content or ""
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):  # it is not JSON in a recording
        return reply
