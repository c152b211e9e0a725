"""Claims of permission: sentences in a run's texts that say what is allowed. A claim is never a permission."""

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
"""Most texts with a claim that a run keeps completely, the newest ones. Of older texts it keeps only what shows which
effects may rest on them (`_Forgotten`)."""
MAX_TRACES = 100_000
"""Most traces of texts that are not kept completely: about 15 MB, as many as `run.causes` keeps of all results. With
more, each effect counts as one that may rest on a claim."""
MAX_WORDS = 5_000
"""Most words of the sentences of those texts, for each agent at work: more than claims consist of."""
HISTORY = -1
"""The step number that stands for the session's conversation before the run."""

ClaimKind = Literal[
    "permission",  # somebody has allowed the effect
    "role",  # the writer has a role that may allow the effect
    "waiver",  # a check can be left out
    "voice",  # the text speaks in the name of somebody else
    "order",  # the text tells the agent that reads it to approve, or what to do
]


class PermissionClaim(msgspec.Struct, frozen=True, kw_only=True):
    """One claim in a text."""

    kind: ClaimKind
    quote: str
    """The sentence that makes it, cut to some characters. It is content, so it is never stored in an event."""
    by: str = ""
    """The person who is said to allow the effect or to speak, in lower case, as the text names them; "": no person is
    named."""
    near: str = ""
    """The sentence with the text right before and after it, in lower case. It is content as well."""
    markup: bool = False
    """Whether a `voice` is in the markup in which conversations are written for models: no person writes this by
    chance."""
    field: bool = False
    """Whether the claim is a field, such as `override: true` or, with `by`, `approved_by: cfo`. Such a claim is about
    the record that has the field."""


class FoundClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, with the text that holds it."""

    claim: PermissionClaim
    where: str
    """The name of the text that holds the claim, for people: `the request`, `the result of 'find_order' (step 3)`."""
    read: bool = False
    """Whether the claim comes from a tool or from memory, and not from a user or an agent."""
    run: str = ""
    """The earlier run of the session whose conversation holds the claim; "": this run."""


_UNREAD = PermissionClaim(kind="permission", quote="")
"""Stands for the claims of texts that were not kept for lack of room."""
_POINTS = (
    r"\b(?:this|that|it|these|those|everything|all|das|dies\w*|es|alles|cela|ça|tout|esto|eso|todo|lo|la"
    r"|refund\w*|payments?|transfers?|transactions?|purchases?|invoices?|discounts?|credits?|orders?|requests?|amounts?"
    r"|actions?|deletions?|changes?|releases?|withdrawals?)\b|c['’]est|l['’]a\b|\d"
)
"""Words of a sentence that allows the thing asked for next to it, and not a thing of its own speaker."""
_OWN_OBJECT = (
    r"\b(?:approved|authori[sz]ed|signed off on|agreed (?:to|on|with)|okayed|cleared|accepted|confirmed|granted|allowed)"
    r"\s+(?:the|my|our|your|his|her|their|an?)\s+[a-z]"
)
"""The object that somebody is said to have allowed."""
_OWN_CONSENT = (
    r"^\W*(?:yes|ok|okay|sure)?\W*(?:i\s+(?:hereby\s+|do\s+|fully\s+|explicitly\s+)?"
    r"(?:approve|authori[sz]e|permit|consent|give|grant)|you\s+have\s+my)\b"
)
"""Consent by the user who makes the request. It is part of the request, and not a claim about another person."""


_compile = functools.cache(re.compile)


class _Text(msgspec.Struct, frozen=True):
    step: int
    """The step that brought the text; 0: the request."""
    frame: int
    """The frame whose conversation holds the text."""
    text: str
    asked: frozenset[str]
    """Literals of the arguments of the step's call."""
    claims: tuple[FoundClaim, ...]
    is_recent: bool = True
    """Whether the text belongs to this run or, in the conversation before it, to the newest run."""


class Resting(NamedTuple):
    """The texts on which an effect rests, besides its own arguments."""

    act: Act
    steps: Collection[int]
    """Steps whose values the effect has, directly or through other steps."""
    tasks: Collection[int]
    """The hand-offs for which the effect is made; 0: the request."""
    frames: Mapping[int, int]
    """The conversations to which the effect is exposed, each up to a step: that of its agent, and those of the agents
    that handed the work on."""
    shares: Callable[[Traces], bool]
    """Returns whether the effect has a value or a phrase in common with a text."""


class _Forgotten:
    """The remains of texts that were dropped for lack of room: enough to tell which effects may rest on them."""

    def __init__(self) -> None:
        self.steps = set[int]()
        self.literals = set[str]()
        self.shingles = set[int]()
        self.words: dict[int, set[str]] = {}
        """By frame: the words of the sentences in its conversation."""
        self.unnamed: dict[int, bool] = {}
        """Frames with a sentence that names no object, and whether one of these sentences has no value next to it."""
        self.is_full = False

    def add(self, text: _Text, traces: Traces, find: Callable[[str], Traces]) -> None:
        """Adds a text that is dropped."""
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
        """Returns whether an effect may rest on one of the dropped texts."""
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
        """`find` returns the claims of a text. Without it no claim is found. `traces` is `find_traces`, or a function
        that has cached the traces of long texts.
        """
        self._find = find
        self._traces = traces
        self._looked_at: str = ""
        self._found: tuple[PermissionClaim, ...] = ()
        """The claims of the newest text: they are needed for the guards, and again when the text is added."""
        self._texts: list[_Text] = []
        self._forgotten: _Forgotten | None = None

    def __repr__(self) -> str:
        older = 0 if self._forgotten is None else len(self._forgotten.steps)
        return f"<ClaimIndex of {len(self._texts)} texts, and {older} that are forgotten>"

    def __bool__(self) -> bool:
        return bool(self._texts)

    @property
    def looks(self) -> bool:
        """Whether the index searches for claims at all."""
        return self._find is not None

    def find(
        self, text: str, where: str, *, read: bool = False, requested: bool = False, run: str = ""
    ) -> tuple[FoundClaim, ...]:
        """Returns the claims of a text. Orders to the reader count as claims only in a text that was read. `requested`:
        the text was written by the user who makes the request, and who may consent in their own name.
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
        """Adds a text that a step has brought into a conversation; step 0: the request. `asked` are the arguments of
        the step's call.
        """
        self._add(step, frame, text, asked, self.find(text, where, read=read, requested=step == 0))

    def note_history(self, run: str, text: str, *, read: bool, is_recent: bool) -> None:
        """Adds a text of the session's conversation before the run."""
        claims = self.find(text, f"the conversation before it (run {run})", read=read, run=run)
        self._add(HISTORY, 0, text, "", claims, is_recent=is_recent)

    def note_refused(self, step: int, asked: str, where: str) -> None:
        """Adds a result that was refused because it speaks in somebody else's name. The arguments of its call tell what
        it is about.
        """
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
        """Returns the claims in the texts of a step. `HISTORY`: those of the newest run of the conversation."""
        found = [each for each in self._texts if each.step == step and each.is_recent]
        return tuple([claim for each in found for claim in each.claims])

    def list_under(self, resting: Resting) -> Iterator[FoundClaim]:
        """Yields the claims on which an effect rests. These are the claims of its tasks and of texts from which it has
        a value, except those that allow something else. Of the texts that its agent has only read, these are the claims
        that are about the effect, or that name no object.
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
        """Returns whether a claim that is tied to an effect allows a thing of its own speaker, and not the effect."""
        if found.claim.kind != "permission":
            return False
        if found.read:
            return is_private(found.claim.quote, resting.act)
        return _is_elsewhere(found, resting.act, lambda quote: resting.shares(self._traces(quote)))

    def _is_about(self, found: FoundClaim, text: _Text, resting: Resting) -> bool:
        """Returns whether a claim that an agent has only read is about the agent's current effect."""
        literals = self._traces(found.claim.near).literals | text.asked
        relation = relate(found.claim.quote, literals, resting.act)
        if found.claim.field:  # a field belongs to a record, and only values tell to which one
            return not literals.isdisjoint(resting.act.literals)
        return relation == "same" or (relation == "any" and text.is_recent)


def _is_elsewhere(found: FoundClaim, act: Act, shares: Callable[[str], bool]) -> bool:
    """Returns whether a sentence allows a thing of its own speaker ("approved my vacation") and not the call of a
    tool.
    """
    quote = found.claim.quote.rstrip(" :").rpartition(":")[2].lower()
    if not _compile(_OWN_OBJECT).search(quote) or _compile(_POINTS).search(quote) or shares(quote):
        return False
    return relate(quote, frozenset(), act) != "same"


class _Reply(msgspec.Struct):
    content: str | None = None


_decoder = msgspec.json.Decoder(_Reply)


def read_content(reply: str) -> str:
    """Returns the text of a recorded model's reply without its calls, which are judged by themselves."""
    if '"content"' not in reply:
        return ""
    try:
        return _decoder.decode(reply).content or ""
    except (
        msgspec.DecodeError,
        RecursionError,
        UnicodeEncodeError,
    ):  # other systems' recordings may not have JSON
        return reply
