"""Effects: tools that several agents have, effects without identity or approval, and deliverables that several agents write."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from seawall.lint.description import AgentDescription, TeamDescription, ToolDescription
from seawall.lint.finding import LintFinding, Sentence
from seawall.lint.mentions import MentionFinder
from seawall.lint.rules.making import join_names, make_finding
from seawall.lint.wording import (
    MAX_CLAUSES,
    NOT_TOLD,
    QUALIFIED,
    Span,
    compare_words,
    list_words,
    make_words,
    split_clauses,
    split_name,
    split_sentences,
    stem,
    strip_placeholders,
)

_EFFECT_WORDS = make_words(
    "send sends sender email mail post poster posts publish publisher tweet pay payment refund charge transfer transfers wire book "
    "order buy sell trade cancel delete remove deploy merge push pull release invite schedule invoice update upsert "
    "commit approve reject grant revoke sms whatsapp notify notifier dispatch"
)
"""Words in a tool's name which say that it changes something that others see. Words for reading, computing and scratch files
are not among them."""
_CHANGE_WORDS = make_words(
    "create creator add open file set modify change edit write make manage manager remove assign register"
)
_RECORD_WORDS = make_words(
    "ticket tickets issue event events calendar appointment reservation campaign ad ads account user customer record records crm "
    "database db repository branch branches row price prices stock inventory case contract"
)
"""Objects in a tool's name that others work with, too, unlike a draft or a scratch file. They count together with a word of
change."""
_READ_WORDS = make_words(
    "get list read search find fetch view show check query lookup describe count status tracker progress history monitor log "
    "logs validate validator analyzer analyze calculate calculator reader scraper fetcher finder viewer"
)
_WHOLE = r"(?:the|a|an|one)?\s*(?:full|entire|whole|complete|final|finished|overall|comprehensive)(?:\s+[\w-]+){0,2}?\s+"
_ARTEFACT = (
    r"(?P<what>report|article|document|paper|plan|proposal|script|summary|answer|response|reply|post|essay|book|itinerary|code|"
    r"story|newsletter|brief|email|letter|analysis|strategy|blog|presentation|review|draft)\b"
)
_WRITE = r"\b(?P<verb>writes?|drafts?|compiles?|produces?|creates?|generates?|composes?|prepares?|assembles?|authors?)\b(?:\s+and\s+\w+)?\s+"
_WRITES_WHOLE = re.compile(_WRITE + _WHOLE + _ARTEFACT, re.IGNORECASE)
_WRITES_IT = re.compile(_WRITE + r"the\s+(?:[\w-]+\s+)?" + _ARTEFACT + r"\s+with\s+all\b", re.IGNORECASE)
_REWRITES = re.compile(
    r"\b(?:rewrites?|rewrite|revises?|overwrites?|restructures?|refines?)\b[^.;]{0,60}", re.IGNORECASE
)


_ACT = re.compile(
    r"\b(?P<act>publish(?:es)?|posts?|sends?|emails?|deploys?|merges?|pays?|refunds?|books?|places?|submits?|schedules?|issues?|cancels?)\s+"
    r"(?=(?:the|an?|all|each|every|its|their|it|them)\s)",
    re.IGNORECASE,
)
"""Words for acts that change the world outside of the team."""
_SAME_ACT = 0.6
"""Share of common words of the object from which on two acts count as the same."""


def _compile_names(names: Iterable[str]) -> re.Pattern[str]:
    """Returns a pattern that finds names of tools. A name that is a plain word counts only in code marks, or after "call" or
    "invoke".
    """
    every = sorted(names, key=len, reverse=True)
    plain = "|".join(re.escape(name) for name in every if len(split_name(name)) == 1)
    joined = "|".join(re.escape(name) for name in every if len(split_name(name)) > 1)
    marked = rf"(?:(?<=`)|(?<=\b[Cc]all )|(?<=\b[Ii]nvoke ))(?:{plain})" if plain else ""
    return re.compile(rf"(?<!\w)({'|'.join(each for each in (joined, marked) if each)})(?!\w)")


def find_borrowed_tools(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields agents whose instructions name a tool that they lack and a colleague has."""
    holders: dict[str, list[str]] = {}
    for agent in team.agents:
        for tool in agent.tools:
            if not tool.built_in:
                holders.setdefault(tool.name, []).append(agent.name)
    denied = [name for agent in team.agents for name in agent.denied]
    every = dict.fromkeys((*holders, *denied))
    if not every:
        return
    pattern = _compile_names(every)
    finder = MentionFinder(team)
    for agent in team.agents:
        own, seen = {tool.name for tool in agent.tools}, set[str]()
        for sentence in split_sentences(agent.instructions):
            for match in pattern.finditer(sentence.text):
                name = match[1]
                before = sentence.text[: match.start()]
                if (
                    name in own
                    or name in seen
                    or NOT_TOLD.search(before)
                    or finder.find(sentence.text, but=agent.name)
                ):
                    continue
                seen.add(name)
                owners = tuple(holders.get(name, ()))
                if name in agent.denied:
                    reason = f"{agent.name!r} is told of the tool {name!r}, which its authority does not let it call"
                elif owners:
                    reason = f"{agent.name!r} is told of the tool {name!r}, which it lacks and {join_names(owners)} has"
                else:
                    continue
                rests_on = Sentence(agent.name, sentence.text, sentence.start)
                yield make_finding(
                    "SW202", (agent.name, *owners), reason, tools=(name,), sentences=(rests_on,)
                )


def find_shared_effects(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields tools with an effect that several agents hold."""
    holders: dict[str, list[tuple[AgentDescription, ToolDescription]]] = {}
    for agent in team.agents:
        for tool in agent.tools:
            holders.setdefault(tool.name, []).append((agent, tool))
    for name, held in holders.items():
        if len(held) < 2 or not any(_is_effect(tool) for _, tool in held):
            continue
        owners = tuple(agent.name for agent, _ in held)
        rests_on = [_find_use(agent, name) for agent, _ in held]
        declared = any(tool.effect for _, tool in held)
        how = "changes the world" if declared else "changes the world, by its name"
        yield make_finding(
            "SW203",
            owners,
            f"{join_names(owners)} all hold {name!r}, which {how}",
            tools=(name,),
            sentences=tuple(each for each in rests_on if each is not None),
        )


def find_shared_acts(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields acts on the world that several agents are told to do, whatever their tools are called."""
    acts: list[tuple[Sentence, str, list[str], str]] = []
    finder = MentionFinder(team)
    for agent in team.agents:
        for sentence in split_sentences(strip_placeholders(agent.instructions)):
            for clause in split_clauses(sentence):
                match = _ACT.search(clause.text)
                if match is None or NOT_TOLD.search(clause.text[: match.start()]) or finder.find(clause.text):
                    continue
                thing = QUALIFIED.split(clause.text[match.end() :], maxsplit=1)[0]
                if list_words(thing):
                    rests_on = Sentence(agent.name, sentence.text, sentence.start)
                    acts.append(
                        (rests_on, stem(match["act"].lower()), list_words(thing), f"{match[0]}{thing}")
                    )
    seen = set[tuple[str, str]]()
    for (one, verb, objects, told), (other, second, others, _) in itertools.combinations(
        acts[:MAX_CLAUSES], 2
    ):
        names = (one.agent, other.agent)
        if names in seen or one.agent == other.agent or verb != second:
            continue
        if compare_words(objects, others) >= _SAME_ACT:
            seen.add(names)
            reason = f"{join_names(names)} are both told to do the same to the world: {told.strip()!r}"
            yield make_finding("SW203", names, reason, sentences=(one, other))


def _is_effect(tool: ToolDescription) -> bool:
    """Returns whether a tool changes the world, by its declaration or, without one, by its name."""
    if tool.effect is not None:
        return tool.effect
    words = set(split_name(tool.name))
    changes = words & _EFFECT_WORDS or (words & _CHANGE_WORDS and words & _RECORD_WORDS)
    return bool(changes) and not words & _READ_WORDS


def _find_use(agent: AgentDescription, tool: str) -> Sentence | None:
    """Returns the sentence of the instructions with the most words of a tool's name; None if no sentence has two of them."""
    wanted = set(list_words(" ".join(split_name(tool))))

    def count(sentence: Span) -> int:
        return len(wanted & set(list_words(sentence.text)))

    best = max(split_sentences(agent.instructions), key=count, default=None)
    if best is None or count(best) < min(2, len(wanted)):
        return None
    return Sentence(agent.name, best.text, best.start)


def find_unguarded_effects(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields effects without identity and effects without approval, if the form says what they have."""
    seen: dict[str, tuple[ToolDescription, list[str]]] = {}
    for agent in team.agents:
        for tool in agent.tools:
            if tool.effect:
                seen.setdefault(tool.name, (tool, []))[1].append(agent.name)
    for name, (tool, owners) in seen.items():
        if tool.has_identity is False:
            reason = f"nothing says what makes two calls of {name!r} the same effect, so a repeated call is performed again"
            yield make_finding("SW204", tuple(owners), reason, tools=(name,))
        if tool.has_approval is False:
            amount = " although it has an amount" if tool.has_amount else ""
            reason = f"no call of {name!r} is shown to a person{amount}"
            severity = "warning" if tool.has_amount else "note"
            yield make_finding("SW205", tuple(owners), reason, tools=(name,), severity=severity)


def find_shared_deliverables(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields deliverables of which several agents are told to write the whole."""
    writers: dict[str, dict[str, Sentence]] = {}
    for agent in team.agents:
        for sentence in split_sentences(agent.instructions):
            match = _WRITES_WHOLE.search(sentence.text) or _WRITES_IT.search(sentence.text)
            if match is not None and not NOT_TOLD.search(sentence.text[: match.start()]):
                rests_on = Sentence(agent.name, sentence.text, sentence.start)
                writers.setdefault(match["what"].lower(), {}).setdefault(agent.name, rests_on)
    for what, found in writers.items():
        if len(found) < 2:
            continue
        for agent in team.agents:
            for sentence in split_sentences(agent.instructions):
                if (
                    agent.name not in found
                    and what in sentence.text.lower()
                    and _REWRITES.search(sentence.text)
                ):
                    found[agent.name] = Sentence(agent.name, sentence.text, sentence.start)
        names = tuple(found)
        reason = f"{join_names(names)} are all told to write the whole {what}, and nothing says whose version stands"
        yield make_finding("SW206", names, reason, sentences=tuple(found.values()))
