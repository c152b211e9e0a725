"""Compares two agents of a team: which of their duties are alike, and how much more alike than those of the team's other pairs.

A word counts more if fewer agents of the team use it, so the subject of the whole team counts for nothing. The figures of two
agents are compared with the mean of all pairs of the team.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec

from seawall.lint.description import AgentDescription, TeamDescription
from seawall.lint.duties import Duty, find_duties
from seawall.lint.mentions import MentionFinder
from seawall.lint.vocabulary import (
    DEBATE,
    GENERIC_STEMS,
    ORDINALS,
    STOP,
    WORD,
    group_of,
    read_words,
    stem_word,
)
from seawall.lint.wording import split_clauses, split_sentences

GENERIC_WEIGHT = 0.4
"""Weight of a word such as `data` that is in nearly all instructions. Values from 0.25 to 1 make no difference."""
INPUT_WEIGHT = 0.4
"""Weight of a word that is only an input of a duty, so that a producer and a consumer are not taken for two owners."""
NEAR_WORDS = 0.6
"""Likeness of two words of one group. That of two equal words is 1."""
SMALL_DUTY = 0.6
"""Weight that is added to the words of two duties when their common share is computed, so that two short duties with one common
word are not taken for equal."""
SHORTEST_DIFFERENCE = 0.25
"""The share of words, by weight, that each of two duties must have for itself, if they are to count as the same thing done to
different objects."""
COPY = 0.4
"""Share of common words from which on the instructions of two agents with similar titles count as one text with other
objects."""
PRIOR_PAIRS = 10.0
"""Average pairs that are added to a team's own pairs for its mean, so that the mean of a small team is not that of its few
pairs alone."""

_NEAR_KINDS = frozenset(
    frozenset(pair.split("-"))
    for pair in read_words(
        "gather-analyse create-plan create-compile analyse-check decide-advise compile-present check-decide "
        "analyse-advise plan-decide check-revise plan-lead analyse-decide present-advise create-present"
    )
)
"""Pairs of classes of verbs that can't be told apart sharply."""


_BEFORE_SUBJECT = re.compile(
    r"\W*(?:(?:and|then|first|finally|next|while|where|the|your|our|once|when|after)\s+)*", re.IGNORECASE
)
_DOES = re.compile(
    r"\s+(?:(?:then|also|always|only)\s+)?(?:will|should|must|can|may|has to|is|\w{2,}s)\b", re.IGNORECASE
)
"""The beginning of a clause after its subject: a verb in the third person or "is to". It shows that the subject has the duty."""


class Space(Protocol):
    """The duties of a team as vectors of their meaning."""

    def find_closest(self, first: int, second: int) -> tuple[float, int, int]:
        """Returns the likeness, from −1 to 1, of the two most alike duties of two agents, and the indices of these duties."""
        ...


class Embedder(Protocol):
    """Turns the duties of a team into vectors of their meaning. `embedding.py` has one."""

    def place(self, texts: Sequence[Sequence[str]]) -> Space:
        """Returns the space of the duties of each agent. `texts` has the order of `list_duties`."""
        ...


class Likeness(msgspec.Struct, frozen=True, kw_only=True):
    """How alike two agents of a team are, in figures from which the team's mean is subtracted."""

    shared: float
    """The weight of the words that both use."""
    duty: float
    """The likeness of their two most alike duties, by words and by the class of the verb."""
    meaning: float
    """The likeness of their two most alike duties by meaning; 0 without an embedding."""

    def values(self) -> tuple[float, float, float]:
        """Returns the three figures."""
        return (self.shared, self.duty, self.meaning)


MEANS = Likeness(shared=0.935, duty=0.0803, meaning=0.134)
"""The average figures of two agents of any team, over the pairs of `bench/lint.py`'s data."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two agents, and their two duties that have the most in common; None if no duty of one of them was recognised."""

    first: str
    second: str
    likeness: Likeness
    same_form: bool
    """Whether they do the same thing to different objects, by their roles and duties."""
    equal: bool
    """Whether all sentences of one agent's instructions are also in the other's, word for word."""
    duties: tuple[Duty, Duty] | None
    words: tuple[str, ...]
    """The words that both duties have in common, as the first one writes them."""


class _Agent:
    """One agent, prepared for comparing."""

    def __init__(self, agent: AgentDescription, finder: MentionFinder) -> None:
        self.name = agent.name
        self.duties = _find_own_duties(agent, finder)
        title = agent.role or re.sub(r"[_-]+|(?<=[a-z])(?=[A-Z])", " ", agent.name)
        self.role = frozenset(_read_stems(title, digits=True))
        words = {word for duty in self.duties for word in (*duty.objects, *duty.inputs)}
        words.update(
            stem_word(duty.verb) for duty in self.duties if duty.verb.lower() not in STOP and duty.verb
        )
        self.words = frozenset(words) | frozenset(_read_stems(title))
        self.debates = not DEBATE.isdisjoint(self.words)
        self.sentences = frozenset(duty.sentence.lower() for duty in self.duties)
        self.weighted = [_weigh_words(duty) for duty in self.duties]
        self.holders: dict[str, list[int]] = {}
        for at, duty_words in enumerate(self.weighted):
            for word in duty_words:
                self.holders.setdefault(word, []).append(at)


def _read_stems(text: str, digits: bool = False) -> list[str]:
    return [
        stem_word(word)
        for word in WORD.findall(text)
        if word.lower() not in STOP or (digits and word.isdigit())
    ]


def _weigh_words(duty: Duty) -> dict[str, float]:
    return {**dict.fromkeys(duty.inputs, INPUT_WEIGHT), **dict.fromkeys(duty.objects, 1.0)}


def compare_agents(team: TeamDescription, space: Space | None = None) -> list[Pair]:
    """Compares every two agents of a team. The order in which the team names them makes no difference.

    `space` has the agents' duties in the order of `list_duties`.
    """
    return centre_pairs(measure_pairs(team, space), MEANS)


def measure_pairs(team: TeamDescription, space: Space | None = None) -> list[Pair]:
    """Returns every two agents of a team with their figures, from which the team's mean is not subtracted yet."""
    comparer = _Comparer(team)
    size = len(team.agents)
    return [
        comparer.compare(first, second, space) for first in range(size) for second in range(first + 1, size)
    ]


def centre_pairs(pairs: Sequence[Pair], means: Likeness) -> list[Pair]:
    """Subtracts from each figure the mean of the team's pairs, to which `PRIOR_PAIRS` average pairs are added."""
    centres = [
        (math.fsum(pair.likeness.values()[at] for pair in pairs) + PRIOR_PAIRS * mean)
        / (len(pairs) + PRIOR_PAIRS)
        for at, mean in enumerate(means.values())
    ]
    return [_move(pair, centres) for pair in pairs]


def list_duties(team: TeamDescription) -> list[list[Duty]]:
    """Returns the duties of each agent, in the order of the agents' names."""
    finder = MentionFinder(team)
    return [_find_own_duties(agent, finder) for agent in _in_order(team)]


def _find_own_duties(agent: AgentDescription, finder: MentionFinder) -> list[Duty]:
    """Returns an agent's duties, without what it is told of its colleagues: "the clerk finds the order"."""
    told = list(agent.instructions)
    for sentence in split_sentences(agent.instructions):
        for clause in split_clauses(sentence):
            mention = next(iter(finder.find(clause.text, but=agent.name)), None)
            if mention is None or _BEFORE_SUBJECT.fullmatch(clause.text[: mention.start]) is None:
                continue
            if _DOES.match(clause.text[mention.end :]):
                told[clause.start : clause.start + len(clause.text)] = " " * len(clause.text)
    text = "".join(told)
    duties = find_duties(text)
    if text == agent.instructions:
        return duties
    return [
        msgspec.structs.replace(
            duty, sentence=agent.instructions[duty.start : duty.start + len(duty.sentence)]
        )
        for duty in duties
    ]


def _in_order(team: TeamDescription) -> list[AgentDescription]:
    return sorted(team.agents, key=lambda agent: (agent.name, agent.role, agent.instructions))


class _Comparer:
    """Compares the agents of one team, in the order of their names."""

    def __init__(self, team: TeamDescription) -> None:
        finder = MentionFinder(team)
        self._agents = [_Agent(agent, finder) for agent in _in_order(team)]
        self._users = Counter(word for agent in self._agents for word in agent.words)
        self._weights = {word: self._find_weight(word) for word in self._users}
        self._totals = {agent: [self._sum_up(words) for words in agent.weighted] for agent in self._agents}

    def _find_weight(self, word: str) -> float:
        size = len(self._agents) + 1
        rare = math.log(size / self._users[word]) / math.log(size)
        return rare * (GENERIC_WEIGHT if word in GENERIC_STEMS else 1.0)

    def compare(self, at: int, other: int, space: Space | None) -> Pair:
        first, second = self._agents[at], self._agents[other]
        likeness, left, right = self._find_best(first, second)
        meaning = 0.0
        if space is not None and first.duties and second.duties:
            meaning, by_left, by_right = space.find_closest(at, other)
            if likeness == 0.0:
                left, right = by_left, by_right
        same_form = self._have_same_form(first, second)
        shared = math.fsum(self._weights[word] for word in first.words & second.words)
        duties = (first.duties[left], second.duties[right]) if first.duties and second.duties else None
        return Pair(
            first=first.name,
            second=second.name,
            likeness=Likeness(shared=shared, duty=likeness, meaning=meaning),
            same_form=same_form,
            equal=not same_form and _is_repeated(first, second),
            duties=duties,
            words=_name_common(*duties) if duties else (),
        )

    def _find_best(self, first: _Agent, second: _Agent) -> tuple[float, int, int]:
        """Returns the likeness of the two most alike duties, and the indices of the two duties with the most in common, which
        are shown.
        """
        there = {
            (at, other): mass
            for at, words in enumerate(first.weighted)
            for other, mass in self._match(words, second).items()
        }
        back = {
            (at, other): mass
            for other, words in enumerate(second.weighted)
            for at, mass in self._match(words, first).items()
        }
        best, shown = 0.0, (0.0, 0, 0)
        for at, other in sorted(there):
            common = there[at, other] + back.get((at, other), 0.0)
            common *= 0.35 + 0.65 * _compare_verbs(first.duties[at], second.duties[other])
            total = self._totals[first][at] + self._totals[second][other]
            best = max(best, common / (total + SMALL_DUTY))
            if common > shown[0]:
                shown = (common, at, other)
        return best, shown[1], shown[2]

    def _sum_up(self, words: dict[str, float]) -> float:
        return math.fsum(self._weights[word] * share for word, share in words.items())

    def _match(self, words: dict[str, float], other: _Agent) -> dict[int, float]:
        """Returns the weight of a duty's words that each duty of another agent has, by the index of that duty."""
        found: dict[int, float] = {}
        for word, share in words.items():
            best: dict[int, float] = {}
            for near in _list_near(word, other):
                alike = 1.0 if near == word else NEAR_WORDS
                for at in other.holders[near]:
                    best[at] = max(best.get(at, 0.0), alike * min(share, other.weighted[at][near]))
            for at, alike in best.items():
                found[at] = found.get(at, 0.0) + self._weights[word] * alike
        return found

    def _have_same_form(self, first: _Agent, second: _Agent) -> bool:
        """Returns whether two agents do the same thing to different objects, or take the two sides of a debate."""
        if first.debates and second.debates:
            return True
        own, others = first.role - second.role, second.role - first.role
        common = first.role & second.role
        numbered = own <= ORDINALS and others <= ORDINALS
        if not (own and others and common and (numbered or common - GENERIC_STEMS)):
            return False
        return (
            (numbered and _measure_common(first, second) >= COPY)
            or self._do_different(first, second)
            or _are_copies(first, second, own, others)
        )

    def _do_different(self, first: _Agent, second: _Agent) -> bool:
        """Returns whether two duties have the same verb, and each names objects that the other does not."""
        for duty, words in zip(first.duties, first.weighted, strict=True):
            for other, there in zip(second.duties, second.weighted, strict=True):
                if duty.verb and stem_word(duty.verb) == stem_word(other.verb) and self._differ(words, there):
                    return True
        return False

    def _differ(self, words: dict[str, float], others: dict[str, float]) -> bool:
        ordinals, theirs = ORDINALS.intersection(words), ORDINALS.intersection(others)
        if ordinals and theirs and ordinals != theirs:
            return True
        return self._measure_rest(words, others) > SHORTEST_DIFFERENCE < self._measure_rest(others, words)

    def _measure_rest(self, words: dict[str, float], others: dict[str, float]) -> float:
        total = math.fsum(self._weights[word] for word in words)
        return (
            math.fsum(self._weights[word] for word in words if word not in others) / total if total else 0.0
        )


def _is_repeated(first: _Agent, second: _Agent) -> bool:
    return bool(first.sentences and second.sentences) and (
        first.sentences <= second.sentences or second.sentences <= first.sentences
    )


def _measure_common(first: _Agent, second: _Agent) -> float:
    """Returns the share of common words among all words that either agent uses."""
    return len(first.words & second.words) / max(1, len(first.words | second.words))


def _are_copies(first: _Agent, second: _Agent, own: AbstractSet[str], others: AbstractSet[str]) -> bool:
    """Returns whether the instructions are one text with other objects: many common words, but no equal sentence, and titles
    that differ.
    """
    if _measure_common(first, second) < COPY or own & second.words or others & first.words:
        return False
    if not (first.words - second.words - own and second.words - first.words - others):
        return False
    return not first.sentences & second.sentences


def _list_near(word: str, other: _Agent) -> list[str]:
    """Returns the words of another agent's duties with the same meaning as `word`, `word` itself first."""
    found = [word] if word in other.holders else []
    found.extend(near for near in group_of(word) if near != word and near in other.holders)
    return found


def _compare_verbs(first: Duty, second: Duty) -> float:
    if not first.kind or not second.kind:
        return 0.5
    if first.kind == second.kind:
        return 1.0
    return 0.6 if frozenset((first.kind, second.kind)) in _NEAR_KINDS else 0.2


def _move(pair: Pair, centres: Sequence[float]) -> Pair:
    shared, duty, meaning = (
        value - centre for value, centre in zip(pair.likeness.values(), centres, strict=True)
    )
    return msgspec.structs.replace(pair, likeness=Likeness(shared=shared, duty=duty, meaning=meaning))


def _name_common(first: Duty, second: Duty) -> tuple[str, ...]:
    stems = {*second.objects, *second.inputs}
    stems.update(near for stem in tuple(stems) for near in group_of(stem))
    return tuple(
        dict.fromkeys(
            word
            for word in WORD.findall(first.text)
            if word.lower() not in STOP and word != first.verb and stem_word(word) in stems
        )
    )
