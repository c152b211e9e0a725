"""Finds what agents are told to do with colleagues: give them something, take something from them, work with them."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from seawall.lint.description import AgentDescription, TeamDescription
from seawall.lint.finding import Sentence
from seawall.lint.mentions import Mention, MentionFinder
from seawall.lint.wording import Span, split_clauses, split_sentences

DealingKind = Literal["give", "instruct", "take", "join"]
"""`give`: hands work or a result to; `instruct`: tells what to do; `take`: waits for or gets from; `join`: works with."""

# Each pattern ends at the colleague's name. Between the verb and the name there may be a few words, such as what is given.
_THING = r"(?:\s+[^\s,;:.()]+){0,6}?"
_PATTERNS: tuple[tuple[DealingKind, re.Pattern[str]], ...] = (
    (
        "take",
        re.compile(
            r"\b(?:receives?|awaits?|waits?\s+for|gets?|takes?|collects?|obtains?|fetch(?:es)?|gather(?:s)?)\b"
            rf"{_THING}\s+(?:from|by|of)(?:\s+the)?\s+$|\b(?:awaits?|waits?\s+for)(?:\s+the)?\s+$",
            re.IGNORECASE,
        ),
    ),
    (
        "instruct",
        re.compile(
            r"\b(?:tells?|instructs?|briefs?|orders?|directs?|commands?|explains?\s+to|has|have|lets?|makes?)(?:\s+the)?\s+$",
            re.IGNORECASE,
        ),
    ),
    (
        "join",
        re.compile(
            r"\b(?:works?|collaborates?|coordinates?|cooperates?|liaises?|pairs?|checks?\s+in)(?:\s+\w+ly)?\s+(?:together\s+)?with"
            r"(?:\s+the)?\s+$|\breports?(?:\s+\w+){0,3}?\s+to(?:\s+the)?\s+$",
            re.IGNORECASE,
        ),
    ),
    (
        "give",
        re.compile(
            r"\b(?:(?:hands?|pass(?:es)?|sends?|gives?|forwards?|transfers?|routes?|delegates?|assigns?|submits?|delivers?|escalates?|"
            rf"returns?|supplies|supply|provides?|hands?\s*offs?|refers?|redirects?)\b{_THING}\s+to(?:\s+the)?\s+$"
            r"|(?:asks?|informs?|notif(?:y|ies)|consults?|calls?|messages?|hands?|sends?|gives?)(?:\s+the)?\s+$)",
            re.IGNORECASE,
        ),
    ),
)
_NOT = re.compile(r"\b(?:not|never|no|without|nobody|cannot|nor)\b|n['’]t\b", re.IGNORECASE)
_LIST = re.compile(r"^\s*(?:,|and|or|,\s*and|&|/|,\s*or)?\s*(?:the\s+|to\s+(?:the\s+)?)?$", re.IGNORECASE)


class Dealing(msgspec.Struct, frozen=True):
    """One thing that an agent is told to do with a colleague."""

    kind: DealingKind
    agent: str
    colleague: str
    matter: str
    """The rest of the sentence after the colleague's name."""
    sentence: Sentence


def find_dealings(team: TeamDescription) -> list[Dealing]:
    """Returns what the agents of a team are told to do with each other, in the order of the agents."""
    finder = MentionFinder(team)
    return [dealing for agent in team.agents for dealing in _find_of_agent(agent, finder)]


def _find_of_agent(agent: AgentDescription, finder: MentionFinder) -> list[Dealing]:
    found: list[Dealing] = []
    for sentence in split_sentences(agent.instructions):
        mentions = finder.find(sentence.text, but=agent.name)
        last: tuple[DealingKind, int] | None = None
        for mention in mentions:
            if last is not None and _LIST.match(sentence.text[last[1] : mention.start]):
                kind = last[0]  # "assigns work to Search, Coder and Report"
            else:
                earlier = [each for each in mentions if each.start < mention.start]
                kind = _find_kind(sentence, mention, earlier)
            last = None if kind is None else (kind, mention.end)
            if kind is not None:
                matter = sentence.text[mention.end :].strip()
                rests_on = Sentence(agent.name, sentence.text, sentence.start)
                found.append(Dealing(kind, agent.name, mention.agent, matter, rests_on))
    return found


def _find_kind(sentence: Span, mention: Mention, earlier: list[Mention]) -> DealingKind | None:
    """Returns what the agent is told to do with the mentioned colleague; None if nothing, or if another colleague is to do
    it.
    """
    before = sentence.text[: mention.start]  # sentences are bounded
    for kind, pattern in _PATTERNS:
        match = pattern.search(before)
        if match is None:
            continue
        begin = _find_clause(sentence, match.start())
        if any(begin <= each.start < match.start() for each in earlier):  # "has the Designer pass them to …"
            return None
        return None if _NOT.search(before[begin:]) else kind
    return None


def _find_clause(sentence: Span, at: int) -> int:
    """Returns the offset, in characters of the sentence, at which the clause around the offset `at` begins."""
    starts = [clause.start - sentence.start for clause in split_clauses(sentence)]
    return max((start for start in starts if start <= at), default=0)
