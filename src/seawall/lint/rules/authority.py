"""Authority: who decides what, who uses whose tools, and which effects nobody watches."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import msgspec

from seawall.lint.dealings import find_dealings
from seawall.lint.description import AgentDescription, TeamDescription, ToolDescription
from seawall.lint.finding import LintFinding, Sentence
from seawall.lint.mentions import MentionFinder
from seawall.lint.rules.making import join_names, make_finding
from seawall.lint.wording import (
    Span,
    compare_words,
    list_words,
    make_words,
    split_clauses,
    split_name,
    split_sentences,
    strip_placeholders,
)

_DECIDE = re.compile(
    r"\b(?:approves?|authori[sz]es?|accepts?|rejects?|vetoe?s?|grants?|den(?:y|ies)|permits?|allows?|waives?|rules?\s+(?:on|whether|if)|determines?\s+(?:whether|if)|"
    r"overrides?|overrules?|signs?\s+off(?:\s+on)?|decides?(?!\s+(?:the\s+action|that))|pass(?:es)?(?=\s+(?:at|if|when|only|above|with)\b)|"
    r"(?:has|have|takes?|makes?|gives?)\s+the\s+(?:final|last)\s+(?:say|word|decision|approval|verdict)(?:\s+(?:on|about|over))?|"
    r"sets?\s+the\s+(?:final\s+)?(?:price|verdict|grade)|go[-\s]no[-\s]go)\b",
    re.IGNORECASE,
)
"""Words of decisions. Judging, scoring and reviewing are not among them: their result may be one remark of many."""
_CONSENT = re.compile(
    r"\b(?:confirms?\b[^.;,]{0,50}?\bwith|(?:gets?|asks?|obtains?|seeks?|requests?|secures?)\b[^.;,]{0,50}?\b"
    r"(?:approval|consent|confirmation|permission|sign[-\s]off|go[-\s]ahead)\b[^.;,]{0,20}?\b(?:of|from|by))\s+(?:the\s+)?"
    r"(?P<whom>user|client|customer|manager|human|owner|requester)s?\b"
    r"|\b(?:gets?|asks?|obtains?|seeks?)\s+(?:for\s+)?the\s+(?P<whose>user|client|customer|manager|human|owner|requester)['’]s?\s+"
    r"(?:approval|consent|confirmation|permission)\b",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:not|never|no|without|cannot|nor|who|whoever|once|after|until|unless|if)\b|n['’]t\b", re.IGNORECASE
)
_SAME_CRITERION = 0.8
"""From this share of words in common on, two clauses state the same decision, whatever it is on."""
_SAME_OBJECT = 0.5
"""From this share on, the objects of two decisions are the same."""
_SAME_QUESTION = 0.3
"""The same for two decisions whether something is so: what is asked stands in few words."""
_OBJECT_WORDS = 4
"""Words after the verb that are compared where a decision goes on beyond its clause: "buy, hold or sell"."""
_LEAST_CRITERION_WORDS = 3
"""A clause with fewer words is no criterion: `approves it` is said of anything."""
_EFFECT_WORDS = make_words(
    "send sends sender email mail post poster posts publish publisher tweet pay payment refund charge transfer transfers wire book "
    "order buy sell trade cancel delete remove deploy merge push pull release invite schedule invoice update upsert "
    "commit approve reject grant revoke sms whatsapp notify notifier dispatch"
)
"""Words in a tool's name by which it changes something that others see. Reading, computing and scratch files are not."""
_CHANGE_WORDS = make_words(
    "create creator add open file set modify change edit write make manage manager remove assign register"
)
_RECORD_WORDS = make_words(
    "ticket tickets issue event events calendar appointment reservation campaign ad ads account user customer record records crm "
    "database db repository branch branches row price prices stock inventory case contract"
)
"""Together with a word of change: what others work with, too, unlike a draft or a scratch file."""
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


class ToldDecision(msgspec.Struct, frozen=True):
    """A clause that tells an agent to decide something."""

    agent: str
    words: tuple[str, ...]
    """Those of the clause, with those of the verb."""
    objects: tuple[str, ...]
    """Those after the verb."""
    following: tuple[str, ...]
    """The first words after the verb, in the rest of the sentence."""
    is_question: bool
    """Whether it is decided whether something is so."""
    sentence: Sentence


def find_rival_decisions(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields pairs of agents that are given the same decision, consent or instruction to give."""
    found: dict[tuple[str, str], list[tuple[str, Sentence, Sentence]]] = {}
    decisions = [decision for agent in team.agents for decision in _list_decisions(agent)]
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


def _list_decisions(agent: AgentDescription) -> Iterator[ToldDecision]:
    for sentence in split_sentences(strip_placeholders(agent.instructions)):
        for clause in split_clauses(sentence):
            match = _DECIDE.search(clause.text)
            if match is None or _NOT.search(clause.text[: match.start()]):
                continue
            rests_on = Sentence(agent.name, sentence.text, sentence.start)
            after = sentence.text[clause.start - sentence.start + match.end() :]
            yield ToldDecision(
                agent=agent.name,
                words=tuple(list_words(clause.text[match.start() :])),
                objects=tuple(list_words(clause.text[match.end() :])),
                following=tuple(list_words(after)[:_OBJECT_WORDS]),
                is_question=re.search(r"\b(?:whether|if)\b", clause.text[match.start() :]) is not None,
                sentence=rests_on,
            )


def _is_same(one: ToldDecision, other: ToldDecision) -> bool:
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
            person = (match["whom"] or match["whose"]).lower() if match else ""
            if person and person not in whom:
                whom.add(person)
                asked.setdefault(person, []).append(Sentence(agent.name, sentence.text, sentence.start))
    for person, sentences in asked.items():
        for one, other in itertools.combinations(sentences, 2):
            yield f"both are told to get the consent of the {person}", one, other


def _pair_instructions(team: TeamDescription) -> Iterator[tuple[str, Sentence, Sentence]]:
    """Yields pairs of agents that are told to instruct the same colleague on the same matter."""
    dealings = [each for each in find_dealings(team) if each.kind == "instruct"]
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
            decision = next(
                (each for each in _list_decisions(agent) if set(about) <= {*each.words, *each.objects}), None
            )
            if decision is not None:
                reason = (
                    f"{agent.name!r} is told to decide on {subject!r}, which only {join_names(owners)} may"
                    if owners
                    else f"{agent.name!r} is told to decide on {subject!r}, which nobody of the team may"
                )
                yield make_finding("SW201", (agent.name, *owners), reason, sentences=(decision.sentence,))
            if any(tool.name == subject for tool in agent.tools):
                reason = (
                    f"{agent.name!r} has the tool {subject!r}, which the authority matrix does not give to it"
                )
                yield make_finding("SW201", (agent.name, *owners), reason, tools=(subject,))


def find_borrowed_tools(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields agents whose instructions name a tool that they lack and a colleague has."""
    holders: dict[str, list[str]] = {}
    for agent in team.agents:
        for tool in agent.tools:
            if not tool.built_in:
                holders.setdefault(tool.name, []).append(agent.name)
    names = [
        name for name in holders if len(split_name(name)) > 1
    ]  # a plain word is no name of a tool in a sentence
    if not names:
        return
    pattern = re.compile(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})(?!\w)"
    )
    finder = MentionFinder(team)
    for agent in team.agents:
        own, seen = {tool.name for tool in agent.tools}, set[str]()
        for sentence in split_sentences(agent.instructions):
            for match in pattern.finditer(sentence.text):
                name = match[0]
                before = sentence.text[: match.start()]
                if (
                    name in own
                    or name in seen
                    or _NOT.search(before)
                    or finder.find(sentence.text, but=agent.name)
                ):
                    continue
                seen.add(name)
                owners = tuple(holders[name])
                reason = f"{agent.name!r} is told of the tool {name!r}, which it lacks and {join_names(owners)} has"
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


def _is_effect(tool: ToolDescription) -> bool:
    """Returns whether a tool changes the world: as declared, or else by its name."""
    if tool.effect is not None:
        return tool.effect
    words = set(split_name(tool.name))
    changes = words & _EFFECT_WORDS or (words & _CHANGE_WORDS and words & _RECORD_WORDS)
    return bool(changes) and not words & _READ_WORDS


def _find_use(agent: AgentDescription, tool: str) -> Sentence | None:
    """Returns the sentence that has most words of a tool's name; None if none has two of them."""
    wanted = set(list_words(" ".join(split_name(tool))))

    def count(sentence: Span) -> int:
        return len(wanted & set(list_words(sentence.text)))

    best = max(split_sentences(agent.instructions), key=count, default=None)
    if best is None or count(best) < min(2, len(wanted)):
        return None
    return Sentence(agent.name, best.text, best.start)


def find_unguarded_effects(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields effects without identity and without approval, where the form says what they have."""
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
            if match is not None and not _NOT.search(sentence.text[: match.start()]):
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
