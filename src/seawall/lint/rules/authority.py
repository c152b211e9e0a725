"""Authority: which agent decides what, asks whom for consent, and instructs whom."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import msgspec

from seawall.lint.dealings import find_dealings
from seawall.lint.description import AgentDescription, TeamDescription
from seawall.lint.finding import LintFinding, Sentence
from seawall.lint.rules.making import join_names, make_finding
from seawall.lint.wording import (
    ABOVE,
    MAX_CLAUSES,
    NOT_TOLD,
    QUALIFIED,
    UP_TO,
    compare_words,
    list_words,
    split_clauses,
    split_name,
    split_sentences,
    strip_placeholders,
)

_DECIDE = re.compile(
    r"\b(?:approves?|authori[sz]es?|accepts?|rejects?|vetoe?s?|grants?|den(?:y|ies)|permits?|allows?|waives?|rules?\s+(?:on|whether|if)|determines?\s+(?:whether|if)|"
    r"overrides?|overrules?|signs?\s+off(?:\s+on)?|decides?(?!\s+(?:the\s+action|that))|pass(?:es)?(?=\s+(?:at|if|when|only|above|with)\b)|"
    r"(?:has|have|takes?|makes?|gives?)\s+the\s+(?:final|last)\s+(?:say|word|decision|approval|verdict)(?:\s+(?:on|about|over))?|"
    r"sets?\s+the\s+(?:final\s+)?(?:price|verdict|grade)|go[-\s]no[-\s]go|"
    r"(?:chooses?|selects?|picks?)\s+(?:the\s+)?(?:final|winning|winner)|"
    r"(?:assigns?|issues?|gives?|sets?)\s+(?:the|a)\s+(?:final|overall)\s+(?:verdict|grade|score|ruling|price|band|mark))\b",
    re.IGNORECASE,
)
"""Words of decisions. Judging, scoring and reviewing are not among them, because their result may be one remark among many."""
_CONSENT = re.compile(
    r"\b(?:confirms?\b[^.;,]{0,50}?\bwith|(?:gets?|asks?|obtains?|seeks?|requests?|secures?)\b[^.;,]{0,50}?\b"
    r"(?:approval|consent|confirmation|permission|sign[-\s]off|go[-\s]ahead)\b[^.;,]{0,20}?\b(?:of|from|by))\s+(?:the\s+)?"
    r"(?P<whom>user|client|customer|manager|human|owner|requester)s?\b"
    r"|\b(?:gets?|asks?|obtains?|seeks?)\s+(?:for\s+)?the\s+(?P<whose>user|client|customer|manager|human|owner|requester)['’]s?\s+"
    r"(?:approval|consent|confirmation|permission)\b"
    r"|\bask(?:s|ed)?\s+(?:the\s+)?(?P<who>user|client|customer|manager|human|owner|requester)s?\s+(?:for|to)\s+(?:\w+\s+)?"
    r"(?:approv\w*|consent|confirm\w*|permission)\b",
    re.IGNORECASE,
)
_SAME_CRITERION = 0.8
"""Share of common words from which on two clauses state the same decision, whatever its object is."""
_SAME_OBJECT = 0.5
"""Share of common words from which on the objects of two decisions count as the same."""
_SAME_QUESTION = 0.3
"""As `_SAME_OBJECT`, if both decisions answer a question with "whether" or "if". It is lower, because the question has few
words."""
_OBJECT_WORDS = 4
"""Words after the verb that are compared if a decision continues beyond its clause: "buy, hold or sell"."""
_LEAST_CRITERION_WORDS = 3
"""Words of a clause that can be compared as a whole. A shorter one, such as "approves it", may be about anything."""


class ToldDecision(msgspec.Struct, frozen=True):
    """A clause that tells an agent to decide something."""

    agent: str
    words: tuple[str, ...]
    """The words of the clause, with those of the verb."""
    objects: tuple[str, ...]
    """The words after the verb."""
    following: tuple[str, ...]
    """The first words after the verb, in the rest of the sentence."""
    is_question: bool
    """Whether the decision answers a question: the clause has "whether" or "if"."""
    text: str
    """The clause, from the verb on."""
    sentence: Sentence


def find_rival_decisions(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields pairs of agents that are given the same decision, consent or instruction to give."""
    found: dict[tuple[str, str], list[tuple[str, Sentence, Sentence]]] = {}
    told = (decision for agent in team.agents for decision in _list_decisions(agent))
    decisions = list(itertools.islice(told, MAX_CLAUSES))
    for one, other in itertools.combinations(decisions, 2):
        if one.agent != other.agent and _is_same(one, other):
            what = "both are given the same decision"
            found.setdefault((one.agent, other.agent), []).append((what, one.sentence, other.sentence))
    for what, one, other in itertools.chain(_pair_consents(team), _pair_instructions(team)):
        found.setdefault((one.agent, other.agent), []).append((what, one, other))
    for pair, reasons in found.items():
        whats = list(dict.fromkeys(what for what, _, _ in reasons))
        sentences = tuple(dict.fromkeys(each for _, one, other in reasons for each in (one, other)))
        yield make_finding("SW201", pair, f"{join_names(pair)}: {' and '.join(whats)}", sentences=sentences)


_ANOTHERS = re.compile(r"\b(?:when|as soon as)\s+(?:the|an?)\s+[\w -]{2,40}$", re.IGNORECASE)
"""Text before a decision that another one makes, as in "finish when the editor approves it"."""


def _list_decisions(agent: AgentDescription) -> Iterator[ToldDecision]:
    for sentence in split_sentences(strip_placeholders(agent.instructions)):
        for clause in split_clauses(sentence):
            match = _DECIDE.search(clause.text)
            if match is None:
                continue
            before = clause.text[: match.start()]
            if NOT_TOLD.search(before) or _ANOTHERS.search(before):
                continue
            rests_on = Sentence(agent.name, sentence.text, sentence.start)
            after = sentence.text[clause.start - sentence.start + match.end() :]
            yield ToldDecision(
                agent=agent.name,
                words=tuple(list_words(clause.text[match.start() :])),
                objects=tuple(list_words(QUALIFIED.split(clause.text[match.end() :], maxsplit=1)[0])),
                following=tuple(list_words(after)[:_OBJECT_WORDS]),
                is_question=re.search(r"\b(?:whether|if)\b", clause.text[match.start() :]) is not None,
                text=clause.text[match.start() :],
                sentence=rests_on,
            )


def _is_same(one: ToldDecision, other: ToldDecision) -> bool:
    """Returns whether two decisions are the same. One below and one above an amount are different."""
    for a, b in ((one.text, other.text), (other.text, one.text)):
        if UP_TO.search(a) and ABOVE.search(b):
            return False
    if min(len(one.words), len(other.words)) >= _LEAST_CRITERION_WORDS and (
        compare_words(list(one.words), list(other.words)) >= _SAME_CRITERION
    ):
        return True
    needed = _SAME_QUESTION if one.is_question and other.is_question else _SAME_OBJECT
    alike = compare_words(list(one.objects), list(other.objects))
    if min(len(one.following), len(other.following)) >= _LEAST_CRITERION_WORDS:
        alike = max(alike, compare_words(list(one.following), list(other.following)))
    return alike >= needed


def _pair_consents(team: TeamDescription) -> Iterator[tuple[str, Sentence, Sentence]]:
    """Yields pairs of agents that are told to get the same person's consent."""
    asked: dict[str, list[Sentence]] = {}
    for agent in team.agents:
        whom = set[str]()
        for sentence in split_sentences(agent.instructions):
            match = _CONSENT.search(sentence.text)
            person = (match["whom"] or match["whose"] or match["who"]).lower() if match else ""
            if person and person not in whom:
                whom.add(person)
                asked.setdefault(person, []).append(Sentence(agent.name, sentence.text, sentence.start))
    for person, sentences in asked.items():
        for one, other in itertools.combinations(sentences, 2):
            yield f"both are told to get the consent of the {person}", one, other


def _pair_instructions(team: TeamDescription) -> Iterator[tuple[str, Sentence, Sentence]]:
    """Yields pairs of agents that are told to instruct the same colleague on the same matter."""
    dealings = [each for each in find_dealings(team) if each.kind == "instruct"][:MAX_CLAUSES]
    names = {word for agent in team.agents for word in list_words(agent.name)}
    for one, other in itertools.combinations(dealings, 2):
        if one.agent == other.agent or one.colleague != other.colleague:
            continue
        shared = set(list_words(one.matter[:120])) & set(list_words(other.matter[:120])) - names
        if shared:
            what = f"both are told to instruct {one.colleague!r} on {', '.join(sorted(shared)[:3])!r}"
            yield what, one.sentence, other.sentence


def find_overstepped(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields agents that are told to decide, or to do, what the authority matrix gives to others."""
    for subject, owners in team.authority:
        about = list_words(" ".join(split_name(subject)))
        for agent in team.agents:
            if agent.name in owners or not about:
                continue
            # Calling a tool and deciding on its object are different rights: an auditor may approve what a cashier pays.
            is_tool = any(
                subject in (*each.denied, *(tool.name for tool in each.tools)) for each in team.agents
            )
            told = () if is_tool else _list_decisions(agent)
            decision = next((each for each in told if set(about) <= {*each.words, *each.objects}), None)
            if decision is not None:
                reason = (
                    f"{agent.name!r} is told to decide on {subject!r}, which only {join_names(owners)} may"
                    if owners
                    else f"{agent.name!r} is told to decide on {subject!r}, which no agent of the team may"
                )
                yield make_finding("SW201", (agent.name, *owners), reason, sentences=(decision.sentence,))
            if any(tool.name == subject for tool in agent.tools):
                reason = (
                    f"{agent.name!r} has the tool {subject!r}, which the authority matrix does not give to it"
                )
                yield make_finding("SW201", (agent.name, *owners), reason, tools=(subject,))
