"""Wiring: which agents can be reached, hand over to whom, finish, and review whom."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seawall.lint.dealings import Dealing, find_dealings
from seawall.lint.description import AgentDescription, TeamDescription
from seawall.lint.finding import LintFinding, Sentence
from seawall.lint.mentions import MentionFinder
from seawall.lint.rules.making import join_names, make_finding
from seawall.lint.wording import list_words, make_words, split_name, split_sentences, stem

USER = "user"
"""The name in flows for the person who makes the request."""

_FINISH = re.compile(
    r"\b(?:final(?:ly|i[sz]e[sd]?)?|finish(?:es|ed)?|ends?|stops?|terminates?|concludes?|(?:is|are)\s+complete|completed|done|"
    r"answers?|repl(?:y|ies)|responds?|delivers?|publish(?:es)?|presents?|summar\w+|sums?\s+up|compiles?|submits?|signs?\s+off)\b"
    r"|\b(?:to|for)\s+the\s+(?:user|client|customer|human|person|requester|caller)\b",
    re.IGNORECASE,
)
"""Words that tell an agent to finish. The list is long on purpose: a missed finding costs less than a false one."""
_TO_USER = re.compile(
    r"\b(?:reports?|sends?|gives?|presents?|tells?|delivers?|hands?|returns?)\b(?:\s+[^\s,;:.]+){0,5}?\s+(?:to\s+)?(?:the\s+)?user\b",
    re.IGNORECASE,
)
_TO_NOBODY = re.compile(
    r"\b(?:hands?|pass(?:es)?|sends?|forwards?|transfers?|routes?|delegates?|assigns?|submits?|escalates?|hands?\s*off|"
    r"hand(?:s|ed)?\s+over|refers?)\b(?:\s+[^\s,;:.]+){0,6}?\s+to\s+(?:the\s+)?(?P<who>[^,;:.()\n]{2,60})"
    r"|\b(?:receives?|waits?\s+for|awaits?|gets?)\b(?:\s+[^\s,;:.]+){0,6}?\s+from\s+(?:the\s+)?(?P<whom>[^,;:.()\n]{2,60})"
    r"|\b(?:asks?|tells?|instructs?|consults?|notif(?:y|ies)|informs?)\s+(?:the\s+)?(?P<told>[^,;:.()\n]{2,60})",
    re.IGNORECASE,
)
_AGENT_NAME = re.compile(
    r"^(?:(?P<code>[A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+|[a-z]+(?:_[a-z0-9]+)+|[A-Z][A-Za-z]*_[A-Za-z_]+)"
    r"|(?P<plain>(?:[^\W_]+[\s\-]+){1,3}?(?:agent|bot))s?)(?![^\s`*>\]\"])"
    r"|^(?P<title>(?:[A-Z][a-z]+\s+){0,2}[A-Z][a-z]+(?:er|or|ist|yst|ant|ian|ic|ert))(?=\s*$|\s(?:to|for|who|when|once|so|if|with|in)\s)",
)
_TRANSFER = re.compile(
    r"\b(?:transfers?|hands?\s+(?:\w+\s+){0,3}?(?:over|off)|hands?offs?|escalates?|redirects?)\b(?:\s+[^\s,;:.]+){0,4}?\s+to\s+"
    r"(?P<who>[A-Za-z][a-z]{2,20})(?=\s*(?:$|[,;.)]|\s(?:when|if|once|for|after|as|and|or|who)\b))",
    re.IGNORECASE,
)
_PEOPLE = re.compile(r"(?:ers|ors|ists|ians|men)$", re.IGNORECASE)
"""Endings of words for people in general: lawyers, doctors, specialists."""
_OUTSIDE = frozenset(
    stem(word)
    for word in make_words(
        "user client customer human person people team colleague supervisor manager lead operator staff support owner "
        "agency someone somebody anyone others other next them it him her you me us each agent agents caller production disk "
        "specialist expert department management leadership voicemail police database file files storage server queue system cloud speed"
    )
)
"""People and things that a text may name without meaning an agent."""
_PRODUCTS = make_words(
    "twitter docker server router folder jupyter messenger browser reader container register publisher"
)
"""Names and things that end like a title, as in `sends it to the Docker …`."""
_ANY_AGENT = make_words(
    "the a an other another next right each any appropriate relevant correct suitable specialist one these all"
)


def find_missing(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields hand-offs to agents that do not exist, in flows and in instructions."""
    names = {agent.name for agent in team.agents}
    wired = [name for flow in team.flows or () for name in flow] + list(team.entry or ())
    wired += [name for review in team.reviews for name in review]
    wired += [name for _, owners in team.authority for name in owners]
    for name in dict.fromkeys(wired):
        if name not in names and name != USER:
            pairs = [flow for flow in team.flows or () if name in flow]
            others = tuple(dict.fromkeys(each for pair in pairs for each in pair if each in names))
            there = ", ".join(sorted(names))
            yield make_finding(
                "SW302", others, f"the wiring names {name!r}, but the team has no such agent (there: {there})"
            )
    finder = MentionFinder(team)
    for agent in team.agents:
        for sentence in split_sentences(agent.instructions):
            for who in _list_strangers(sentence.text, agent.name, team, finder):
                rests_on = Sentence(agent.name, sentence.text, sentence.start)
                reason = f"{agent.name!r} is told to deal with {who!r}, but the team has no such agent"
                yield make_finding("SW302", (agent.name,), reason, sentences=(rests_on,))


def _list_strangers(
    sentence: str, speaker: str, team: TeamDescription, finder: MentionFinder
) -> Iterator[str]:
    """Yields the names in a sentence that look like agents' names, but belong to no agent of the team."""
    for match in _TO_NOBODY.finditer(sentence):
        words = (match["who"] or match["whom"] or match["told"] or "").strip(" `'\"*<[")
        found = _AGENT_NAME.match(words)
        if found is None or finder.find(words):
            continue
        name = found["code"] or found["plain"] or found["title"]
        parts = [part for part in split_name(name) if part not in ("agent", "bot", "agents", "bots")]
        if not parts or set(parts) <= _ANY_AGENT or parts[0] in _ANY_AGENT or _is_known(parts, team):
            continue
        if found["code"] and "agent" not in split_name(name):
            continue
        if found["title"] and (stem(parts[-1]) in _OUTSIDE or parts[-1] in _PRODUCTS):
            continue
        yield name
    for match in _TRANSFER.finditer(sentence):
        who = match["who"]
        others = [
            word for agent in team.agents if agent.name != speaker for word in list_words(agent.instructions)
        ]
        if (
            stem(who.lower()) in {*_OUTSIDE, *others}
            or finder.find(f"the {who}")
            or _is_known([who.lower()], team)
        ):
            continue
        yield who


def _is_known(parts: list[str], team: TeamDescription) -> bool:
    """Returns whether a word of a name is in the name, role or tools of an agent. Then this agent may be meant."""
    stems = {stem(part) for part in parts}
    for agent in team.agents:
        named = (agent.name, agent.role, *(tool.name for tool in agent.tools))
        if any(_are_alike(a, stem(b)) for a in stems for text in named for b in split_name(text)):
            return True
    return False


def _are_alike(a: str, b: str) -> bool:
    """Returns whether two words have the same stem or beginning, such as `coder` and `code`."""
    return a == b or (min(len(a), len(b)) >= 4 and (a.startswith(b) or b.startswith(a)))


def find_unreachable(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields the agents to which no flow and no mention leads from the entry of requests."""
    if team.flows is None or not team.entry:
        yield from _find_isolated(team)
        return
    names = {agent.name for agent in team.agents}
    finder = MentionFinder(team)
    edges: dict[str, set[str]] = {name: set() for name in names}
    for a, b in team.flows:
        edges.setdefault(a, set()).add(b)
    for reviewer, reviewed in team.reviews:
        edges.setdefault(reviewed, set()).add(reviewer)
    for agent in team.agents:
        edges[agent.name] |= {mention.agent for mention in finder.find(agent.instructions, but=agent.name)}
    reached, waiting = set[str](), list(team.entry)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += edges.get(name, ())
    for agent in team.agents:
        if agent.name not in reached and agent.kind not in ("reviewer", "fallback"):
            entries = join_names(team.entry)
            reason = f"no flow leads from {entries} to {agent.name!r}, and no agent that can be reached mentions it"
            yield make_finding("SW301", (agent.name,), reason)


def _find_isolated(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields agents without any flow, if others have flows and the form does not say who begins."""
    wired = {name for flow in team.flows or () for name in flow}
    wired |= {name for review in team.reviews for name in review}
    finder = MentionFinder(team)
    mentioned = {
        mention.agent for agent in team.agents for mention in finder.find(agent.instructions, but=agent.name)
    }
    for agent in team.agents:
        if team.flows and agent.name not in wired | mentioned and agent.kind != "fallback":
            reason = f"no flow leads to {agent.name!r} or from it, and no agent mentions it"
            yield make_finding("SW301", (agent.name,), reason)


def find_unjoined(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields instructions to give something to a colleague, or to wait for it, if no flow joins the two."""
    if not team.flows:
        return
    joined = {frozenset(flow) for flow in (*team.flows, *team.reviews)}
    seen = set[tuple[str, str]]()
    for dealing in find_dealings(team):
        pair = (dealing.agent, dealing.colleague)
        if frozenset(pair) in joined or pair in seen or _is_denied(dealing, team):
            continue
        seen.add(pair)
        yield _make_unjoined(dealing, team)
    yield from _find_user_unreached(team)


def _is_denied(dealing: Dealing, team: TeamDescription) -> bool:
    """Returns whether the authority matrix does not allow a hand-off, which is reported as SW207."""
    agent = team.find(dealing.agent)
    return agent is not None and dealing.kind in ("give", "instruct") and dealing.colleague in agent.denied_to


def _make_unjoined(dealing: Dealing, team: TeamDescription) -> LintFinding:
    told = {
        "give": "give work or a result to",
        "instruct": "instruct",
        "take": "wait for something from",
        "join": "work with",
    }[dealing.kind]
    reason = f"{dealing.agent!r} is told to {told} {dealing.colleague!r}, and no flow joins the two"
    agents, sentences = (dealing.agent, dealing.colleague), [dealing.sentence]
    colleague = team.find(dealing.colleague)
    if dealing.kind == "take" and colleague is not None:
        told_user = next(
            (each for each in split_sentences(colleague.instructions) if _TO_USER.search(each.text)), None
        )
        if told_user is not None:
            reason += f"; {colleague.name!r} is told to give it to the user"
            sentences.append(Sentence(colleague.name, told_user.text, told_user.start))
    severity = "warning" if dealing.kind == "join" else "error"
    return make_finding("SW303", agents, reason, sentences=tuple(sentences), severity=severity)


def _find_user_unreached(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields agents that are told to give the user something, if the form says who reaches the user and they do not."""
    flows, entry = team.flows or (), team.entry or ()
    if not any(USER in flow for flow in flows):
        return
    for agent in team.agents:
        if agent.name in entry or any(set(flow) == {agent.name, USER} for flow in flows):
            continue
        for sentence in split_sentences(agent.instructions):
            if _TO_USER.search(sentence.text):
                reason = f"{agent.name!r} is told to give the user something, but no flow leads from it to the user"
                rests_on = Sentence(agent.name, sentence.text, sentence.start)
                yield make_finding("SW303", (agent.name,), reason, sentences=(rests_on,))
                break


def find_unfinished(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields a finding if no agent is told to finish, and pairs of agents that can only pass work to each other."""
    if not team.flows or len(team.agents) < 2:
        return
    outgoing = {agent.name: {b for a, b in team.flows if a == agent.name and b != a} for agent in team.agents}
    finishers = {agent.name for agent in team.agents if _is_finisher(agent)}
    if all(outgoing.values()) and not finishers and not any(USER in flow for flow in team.flows):
        names = join_names([agent.name for agent in team.agents])
        yield make_finding(
            "SW304",
            tuple(agent.name for agent in team.agents),
            f"{names} can all pass the work on, and none of them is told to finish",
        )
        return
    for agent in team.agents:
        (only, *more) = sorted(outgoing[agent.name]) or [""]
        if more or agent.name >= only or outgoing.get(only) != {agent.name}:
            continue
        if not finishers & {agent.name, only} and not {agent.name, only} & set(team.entry or ()):
            reason = (
                f"{agent.name!r} and {only!r} can only pass work to each other, and neither is told to finish"
            )
            yield make_finding("SW305", (agent.name, only), reason)


def _is_finisher(agent: AgentDescription) -> bool:
    return bool(_FINISH.search(f"{agent.role}. {agent.instructions}")) or agent.kind in (
        "coordinator",
        "fallback",
    )


def find_self_reviews(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields reviewers that review themselves, or have the same instructions as the agents that they review."""
    for reviewer, reviewed in team.reviews:
        if reviewer == reviewed:
            yield make_finding("SW306", (reviewer,), f"{reviewer!r} reviews its own answers")
            continue
        one, other = team.find(reviewer), team.find(reviewed)
        if one is None or other is None or not one.instructions.strip():
            continue
        if " ".join(one.instructions.split()) == " ".join(other.instructions.split()):
            reason = f"{reviewer!r} reviews {reviewed!r} with the same instructions"
            yield make_finding("SW306", (reviewer, reviewed), reason)
