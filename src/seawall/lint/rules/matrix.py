"""Instructions that the team's authority matrix does not allow: acts, amounts, hand-offs and decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from seawall.core.money import Money
from seawall.lint.dealings import find_dealings
from seawall.lint.description import AgentDescription, TeamDescription
from seawall.lint.finding import LintFinding, Sentence
from seawall.lint.mentions import MentionFinder
from seawall.lint.rules.making import join_names, make_finding
from seawall.lint.wording import NOT_TOLD, Span, list_words, split_clauses, split_name, split_sentences, stem

_NUMBER = r"(?P<number>\d{1,3}(?:[,.'’ ]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d{1,2})?)(?P<times>\s?k\b|\s?(?:thousand|million)\b)?"
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
_NAMES = {"euro": "EUR", "dollar": "USD", "pound": "GBP", "franc": "CHF", "yen": "JPY"}
_CURRENCY = r"(?:[€$£¥]|\b[A-Z]{3}\b|\b(?i:euros?|dollars?|pounds?|francs?|yen)\b)"
_AMOUNT = re.compile(rf"(?:(?P<before>{_CURRENCY})\s?)?{_NUMBER}\s?(?P<after>{_CURRENCY})?")
_UP_TO = re.compile(
    r"\b(?:up\s+to|below|under|at\s+most|less\s+than|no\s+more\s+than|not\s+more\s+than|within|as\s+much\s+as|(?:a\s+)?maximum\s+of|"
    r"(?:a\s+)?limit\s+of|max\.?)\s+(?:an?\s+amount\s+of\s+|a\s+total\s+of\s+)?$",
    re.IGNORECASE,
)
_ABOVE = re.compile(r"\b(?:above|over|beyond|more\s+than|exceed\w*|greater\s+than|from)\s+$", re.IGNORECASE)
_IS_ASKED = re.compile(
    r"\b(?:ask|asks|asked|need|needs|require|requires|approval|approve|approved|escalat\w*|hand\w*|manager|human|consent|confirm\w*)\b",
    re.IGNORECASE,
)
"""Words of a sentence by which somebody else decides above an amount, so that the agent itself decides below it."""
_TIMES = {"k": 1_000, "thousand": 1_000, "million": 1_000_000}
_ENDS_IN_GROUP = re.compile(r"[.,'’ ](?=\d{3}(?!\d))")
_FIRST = r"^(?:(?:you|then|also|must|should|shall|may|can|will|always|please|first|finally|directly|immediately|and|it|automatically)\s+)*"
"""Words before the verb of an instruction."""
_LEAD = re.compile(rf"{_FIRST}$", re.IGNORECASE)
_GIVES = re.compile(
    rf"{_FIRST}(?:issue|make|give|grant|process|execute|perform)\w*\s+(?:(?:an?|the|each|every|any|all)\s+)?$",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")
_MAKE = frozenset(
    map(stem, ("issue", "make", "do", "process", "execute", "perform", "run", "give", "grant", "approve"))
)
"""First words of tools' names that texts leave out: `issue_refund` is "to refund"."""


class ToldAmount(NamedTuple):
    """An amount up to which a sentence allows an agent to go."""

    amount: Decimal
    currency: str
    """The currency; "" if the sentence does not name it."""
    text: str

    def is_within(self, limits: Sequence[Money]) -> bool:
        """Returns whether a limit of the matrix allows the amount."""
        same = [each for each in limits if self.currency in ("", each.currency)]
        return any(self.amount <= each.amount for each in same)

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}".strip()


def find_outside_matrix(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields acts, amounts, hand-offs and decisions beyond the authority of the agents that are told them."""
    finder = MentionFinder(team)
    for agent in team.agents:
        yield from _find_denied_acts(agent, team, finder)
        yield from _find_amounts(agent)
        for name in agent.undecided:
            reason = f"{agent.name!r} reviews {name!r}, but its authority does not let it decide on the answers of {name!r}"
            yield make_finding("SW207", (agent.name, name), reason)
    yield from _find_denied_handoffs(team)


def _find_denied_acts(
    agent: AgentDescription, team: TeamDescription, finder: MentionFinder
) -> Iterator[LintFinding]:
    """Yields sentences that tell an agent to do what only a tool does which it may not call."""
    own = {tool.name for tool in agent.tools}
    given = {subject: owners for subject, owners in team.authority if agent.name not in owners}
    for name in dict.fromkeys((*agent.denied, *(each for each in given if _is_tool(each, team)))):
        if name in own:
            continue
        owners = tuple(each for each in given.get(name, ()) if team.find(each) is not None)
        told = _find_act(agent, split_name(name), finder)
        if told is not None:
            who = f"only {join_names(owners)} may" if owners else "no agent of the team may"
            reason = f"{agent.name!r} is told to do what the tool {name!r} does, which {who} call by the authority matrix"
            yield make_finding("SW207", (agent.name, *owners), reason, tools=(name,), sentences=(told,))


def _is_tool(subject: str, team: TeamDescription) -> bool:
    return any(subject in (*agent.denied, *(tool.name for tool in agent.tools)) for agent in team.agents)


def _find_act(agent: AgentDescription, words: tuple[str, ...], finder: MentionFinder) -> Sentence | None:
    """Returns a sentence that tells the agent to do what a tool's name says, with the verb before its object."""
    stems = [stem(word) for word in words]
    if len(stems) > 1 and stems[0] in _MAKE:
        stems = stems[1:]
    for sentence in split_sentences(agent.instructions):
        for clause in split_clauses(sentence):
            if finder.find(clause.text, but=agent.name):
                continue
            found = list(_WORD.finditer(clause.text))
            for at, word in enumerate(found):
                before = clause.text[: word.start()]
                if stem(word[0].lower()) != stems[0] or NOT_TOLD.search(before):
                    continue
                after = {stem(each[0].lower()) for each in found[at + 1 :]}
                is_told = _GIVES.match(before) or (after and _LEAD.match(before))
                if is_told and set(stems[1:]) <= after:
                    return Sentence(agent.name, sentence.text, sentence.start)
    return None


# ---- amounts


def _find_amounts(agent: AgentDescription) -> Iterator[LintFinding]:
    """Yields amounts in instructions above those of the matrix."""
    for tool, limits in agent.up_to:
        allowed = " or ".join(map(str, limits))
        for sentence in split_sentences(agent.instructions):
            if not _is_about(sentence, tool, agent):
                continue
            above = [each for each in list_amounts(sentence.text) if not each.is_within(limits)]
            if above:
                reason = (
                    f"{agent.name!r} is told of {tool!r} {above[0].text!r}, and its authority ends at {allowed}: a call "
                    "above that is refused"
                )
                rests_on = Sentence(agent.name, sentence.text, sentence.start)
                yield make_finding("SW207", (agent.name,), reason, tools=(tool,), sentences=(rests_on,))


def _is_about(sentence: Span, tool: str, agent: AgentDescription) -> bool:
    """Returns whether a sentence with an amount is about a tool: the sentence has a word of the tool's name, or no other tool
    has amounts.
    """
    words = {stem(word) for word in split_name(tool)} - _MAKE
    others = {name for name, _ in agent.up_to if name != tool}
    said = set(list_words(sentence.text))
    if words & said:
        return True
    return not others and not any(
        {stem(word) for word in split_name(each.name)} & said for each in agent.tools if each.name != tool
    )


def list_amounts(text: str) -> list[ToldAmount]:
    """Returns the amounts up to which a sentence allows an agent to go: "up to 500 EUR", "above $500 ask the manager"."""
    found: list[ToldAmount] = []
    for match in _AMOUNT.finditer(text):
        before = text[: match.start()]
        up_to = _UP_TO.search(before)
        above = None if up_to else _ABOVE.search(before)
        currency = _read_currency(match["before"] or match["after"] or "")
        is_money = bool(currency) or not re.match(r"\s*(?:%|[a-zA-Z]{3,})", text[match.end() :])
        if (up_to is None and (above is None or not _IS_ASKED.search(text))) or not is_money:
            continue
        begins = up_to or above
        start = match.start() if begins is None else begins.start()
        found.append(ToldAmount(_read_number(match), currency, text[start : match.end()].strip()))
    return found


def _read_number(match: re.Match[str]) -> Decimal:
    number = _ENDS_IN_GROUP.sub("", match["number"]).replace(",", ".")
    return Decimal(number) * _TIMES.get((match["times"] or "").strip().lower(), 1)


def _read_currency(text: str) -> str:
    return _SIGNS.get(text) or _NAMES.get(text.lower().removesuffix("s")) or (text if text.isupper() else "")


# ---- hand-offs


def _find_denied_handoffs(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields sentences that tell an agent to hand work to an agent to which its authority does not let it."""
    seen = set[tuple[str, str]]()
    for dealing in find_dealings(team):
        agent, pair = team.find(dealing.agent), (dealing.agent, dealing.colleague)
        if agent is None or dealing.kind not in ("give", "instruct") or pair in seen:
            continue
        if dealing.colleague in agent.denied_to:
            seen.add(pair)
            reason = f"{agent.name!r} is told to hand work to {dealing.colleague!r}, which its authority does not allow"
            yield make_finding("SW207", pair, reason, sentences=(dealing.sentence,))
