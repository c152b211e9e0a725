"""Claims of permission: what texts of a run say of what may be done. A claim never is a permission."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec

from seawall.run.claim_objects import NO_ACT, Act, is_private, list_words, may_name, relate
from seawall.run.traces import Traces, find_traces

AUTHORITY = "authority"
"""The name of the guard that judges them, in verdicts and modes."""
MAX_TEXTS = 200
"""Texts with a claim that a run keeps whole, the newest of them. Of older ones it keeps what tells which effects may rest on
them (`_Forgotten`)."""
MAX_TRACES = 100_000
"""Of the texts that are not kept whole: about 15 MB, as many as `run.causes` keeps of all results. Past that each effect
counts as one that may rest on a claim."""
MAX_WORDS = 5_000
"""Of the sentences of those texts, for each agent at work: more than claims are made of."""
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
    near: str = ""
    """The sentence with what stands right before and after it, in lower case. Content, too."""
    markup: bool = False
    """A `voice` in the markup in which conversations are written for models: no person writes that by chance."""
    field: bool = False
    """It is a field, such as `override: true` or, with `by`, `approved_by: cfo`. It is about the record in which it stands."""


class FoundClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, and where it stands."""

    claim: PermissionClaim
    where: str
    """What holds it, for people: `the request`, `the result of 'find_order' (step 3)`."""
    read: bool = False
    """A tool or memory has brought it, and not a user or an agent."""
    run: str = ""
    """The earlier run of the session whose conversation holds it; "": this run."""


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
_OWN_CONSENT = (
    r"^\W*(?:yes|ok|okay|sure)?\W*(?:i\s+(?:hereby\s+|do\s+|fully\s+|explicitly\s+)?"
    r"(?:approve|authori[sz]e|permit|consent|give|grant)|you\s+have\s+my)\b"
)
"""How a user consents who makes the request: that is the request, and says nothing of anybody else."""


_compile = functools.cache(re.compile)


class _Text(msgspec.Struct, frozen=True):
    step: int
    """The step that brought it; 0: the request."""
    frame: int
    """In whose conversation it stands."""
    text: str
    asked: frozenset[str]
    """Literals of what it was asked with."""
    claims: tuple[FoundClaim, ...]
    is_recent: bool = True
    """It is of this run or, of the conversation before it, of the newest run."""


class Resting(NamedTuple):
    """On what an effect rests, beside its own arguments."""

    act: Act
    steps: Collection[int]
    """Steps whose values it has, directly or over others."""
    tasks: Collection[int]
    """The hand-offs for which it is made; 0: the request."""
    frames: Mapping[int, int]
    """The conversations to which it is exposed, each up to a step: its agent's, and those of whoever handed it on."""
    shares: Callable[[Traces], bool]
    """Whether it has a value or a phrase of a text in common with it."""


class _Forgotten:
    """What is kept of texts that there is no room for: enough to tell which effects may rest on them."""

    def __init__(self) -> None:
        self.steps = set[int]()
        self.literals = set[str]()
        self.shingles = set[int]()
        self.words: dict[int, set[str]] = {}
        """By frame: the words of the sentences in its conversation."""
        self.unnamed: dict[int, bool] = {}
        """Frames with a sentence that names nothing, and whether one of these has no value beside it."""
        self.is_full = False

    def add(self, text: _Text, traces: Traces, find: Callable[[str], Traces]) -> None:
        """Adds a text."""
        self.steps.add(text.step)
        if len(self.literals) + len(self.shingles) >= MAX_TRACES:
            self.is_full = True
            return
        self.literals |= traces.literals
        self.shingles |= traces.shingles
        for each in text.claims:
            quote = each.claim.quote
            if relate(quote, frozenset(), NO_ACT) == "any" and each.claim.kind != "voice":
                is_alone = not (find(each.claim.near).literals | text.asked)
                self.unnamed[text.frame] = self.unnamed.get(text.frame, False) or is_alone
            words = self.words.setdefault(text.frame, set())
            if len(words) < MAX_WORDS:
                words.update(list_words(quote))
            else:
                self.unnamed[text.frame] = True

    def may_hold(self, resting: Resting) -> bool:
        """Returns whether an effect may rest on one of the texts."""
        if self.is_full or not self.steps.isdisjoint((*resting.steps, *resting.tasks)):
            return True
        if resting.shares(Traces(frozenset(self.literals), frozenset(self.shingles), True)):
            return True
        act = resting.act
        for frame in resting.frames:
            unnamed = self.unnamed.get(frame)
            if unnamed or (unnamed is not None and not act.literals):
                return True
            if may_name(self.words.get(frame, ()), act):
                return True
        return False


class ClaimIndex:
    """An index of the texts of a run that claim a permission."""

    def __init__(
        self,
        find: Callable[[str], tuple[PermissionClaim, ...]] | None = None,
        traces: Callable[[str], Traces] = find_traces,
    ) -> None:
        """`find` returns the claims of a text. Without it nothing is found. `traces` is `find_traces`, or one that knows
        the traces of a long text already.
        """
        self._find = find
        self._traces = traces
        self._looked_at: str = ""
        self._found: tuple[PermissionClaim, ...] = ()
        """The newest text, and its claims: a result is looked at for the guards, and again to be added."""
        self._texts: list[_Text] = []
        self._forgotten: _Forgotten | None = None

    def __repr__(self) -> str:
        older = 0 if self._forgotten is None else len(self._forgotten.steps)
        return f"<ClaimIndex of {len(self._texts)} texts, and {older} that are forgotten>"

    def __bool__(self) -> bool:
        return bool(self._texts)

    @property
    def looks(self) -> bool:
        """Whether it finds claims at all."""
        return self._find is not None

    def find(
        self, text: str, where: str, *, read: bool = False, requested: bool = False, run: str = ""
    ) -> tuple[FoundClaim, ...]:
        """Returns the claims of a text. What tells its reader what to do counts in what was read only.

        `requested`: whoever makes the request has written it, and may consent in their own name.
        """
        if self._find is None or not text:
            return ()
        if text != self._looked_at:
            self._looked_at, self._found = text, self._find(text)
        found = self._found
        if not found:
            return ()
        kept = [each for each in found if read or each.kind != "order"]
        if requested:
            kept = [each for each in kept if not _compile(_OWN_CONSENT).search(each.quote.lower())]
        return tuple([FoundClaim(claim=each, where=where, read=read, run=run) for each in kept])

    def note(
        self, step: int, text: str, where: str, *, frame: int = 0, read: bool = False, asked: str = ""
    ) -> None:
        """Adds a text that a step has brought into a conversation; 0: the request. `asked`: the arguments of its call."""
        self._add(step, frame, text, asked, self.find(text, where, read=read, requested=step == 0))

    def note_history(self, run: str, text: str, *, read: bool, is_recent: bool) -> None:
        """Adds a text of the session's conversation before the run."""
        claims = self.find(text, f"the conversation before it (run {run})", read=read, run=run)
        self._add(HISTORY, 0, text, "", claims, is_recent=is_recent)

    def note_refused(self, step: int, asked: str, where: str) -> None:
        """Adds a result that was refused because it speaks as somebody else. What it was asked with says what it is about."""
        if self._find is not None:
            claim = PermissionClaim(kind="voice", quote="", markup=True)
            self._add(step, 0, asked, "", (FoundClaim(claim=claim, where=where, read=True),))

    def _add(
        self,
        step: int,
        frame: int,
        text: str,
        asked: str,
        claims: tuple[FoundClaim, ...],
        *,
        is_recent: bool = True,
    ) -> None:
        if not claims:
            return
        literals = self._traces(asked).literals if asked else frozenset[str]()
        self._texts.append(_Text(step, frame, text, literals, claims, is_recent))
        if len(self._texts) > MAX_TEXTS:
            oldest = next((at for at, each in enumerate(self._texts) if each.step), 0)  # the request stays
            forgotten = self._texts.pop(oldest)
            self._forgotten = self._forgotten or _Forgotten()
            self._forgotten.add(forgotten, self._traces(forgotten.text), self._traces)

    def list_of(self, step: int) -> tuple[FoundClaim, ...]:
        """Returns the claims of what a step has brought. `HISTORY`: those of the newest run of the conversation."""
        found = [each for each in self._texts if each.step == step and each.is_recent]
        return tuple([claim for each in found for claim in each.claims])

    def list_under(self, resting: Resting) -> Iterator[FoundClaim]:
        """Yields the claims on which an effect rests.

        These are the claims of its tasks and of what it has a value of, except those that allow something else; and of
        what its agent has read those that are about it, or that name nothing.
        """
        for each in self._texts:
            is_tied = each.step in resting.tasks or each.step in resting.steps
            if is_tied or resting.shares(self._traces(each.text)):
                for claim in each.claims:
                    if not self._is_elsewhere(claim, resting):
                        yield claim
            elif each.step < resting.frames.get(each.frame, HISTORY):
                for claim in each.claims:
                    if claim.claim.kind != "voice" and self._is_about(claim, each, resting):
                        yield claim
        if self._forgotten is not None and self._forgotten.may_hold(resting):
            yield FoundClaim(
                claim=_UNREAD, where="one of the many results that claim a permission", read=True
            )

    def _is_elsewhere(self, found: FoundClaim, resting: Resting) -> bool:
        """Returns whether a claim that is tied to an effect allows something of its own, and not the effect."""
        if found.claim.kind != "permission":
            return False
        if found.read:
            return is_private(found.claim.quote, resting.act)
        return _is_elsewhere(found, resting.act, lambda quote: resting.shares(self._traces(quote)))

    def _is_about(self, found: FoundClaim, text: _Text, resting: Resting) -> bool:
        """Returns whether a claim that an agent has merely read is about what it does now."""
        literals = self._traces(found.claim.near).literals | text.asked
        relation = relate(found.claim.quote, literals, resting.act)
        if found.claim.field:  # of a record; values tell of which one
            return not literals.isdisjoint(resting.act.literals)
        return relation == "same" or (relation == "any" and text.is_recent)


def _is_elsewhere(found: FoundClaim, act: Act, shares: Callable[[str], bool]) -> bool:
    """Returns whether a sentence allows something of its own ("approved my vacation") that is not the call of a tool."""
    quote = found.claim.quote.rstrip(" :").rpartition(":")[2].lower()
    if not _compile(_OWN_OBJECT).search(quote) or _compile(_POINTS).search(quote) or shares(quote):
        return False
    return relate(quote, frozenset(), act) != "same"


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
