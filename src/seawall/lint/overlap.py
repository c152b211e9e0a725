"""Roles that overlap: two agents that are told to do the same to the same object.

A logistic regression weighs two figures of every pair, or three with the extra `seawall[lint]`; see `comparison.py`. Its
weights were fitted by `python bench/lint.py` on 25 public teams with 258 pairs, 40 of which overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from seawall.core.errors import Misused
from seawall.lint.comparison import Embedder, Likeness, Pair, compare_agents, list_duties
from seawall.lint.description import TeamDescription
from seawall.lint.duties import Duty
from seawall.lint.embedding import load_meaning
from seawall.lint.finding import LintFinding, Sentence

STRONG, PARTIAL = "SW101", "SW102"


@dataclass(frozen=True, kw_only=True)
class OverlapOptions:
    """The scores from which on two roles count as overlapping. The figures are from `python bench/lint.py`."""

    partial_from: float = 0.27
    """The score, from 0 to 1, from which on an overlap is reported as a note. At the default 0.27, as many pairs of the 25
    public teams are reported as overlap, so about as many findings are false as are missed."""
    strong_from: float = 0.7
    """The score from which on an overlap is reported as a warning: both agents would produce or rewrite the same output. Strong
    overlaps are rare (7 of 258 pairs), so the default 0.7 is so high that most warnings are at least a partial overlap."""
    meaning: bool = True
    """Whether the embedding of `seawall[lint]` is used if it is installed. Default True: it finds a few overlaps that are told
    in different words; with words alone the scores are about as good."""

    def __post_init__(self) -> None:
        if not 0.0 < self.partial_from <= self.strong_from < 1.0:
            raise Misused(
                f"partial_from is {self.partial_from} and strong_from is {self.strong_from}; "
                "they must lie between 0 and 1, and strong_from may not be the smaller one"
            )


SAME_FORM = 0.25
"""Factor of the score of two agents that do the same thing to different objects, such as reporters on two subjects. By the
rules of the labels that is not an overlap, however alike the texts are. Such pairs are left out of the fit."""
EQUAL_SCORE = 0.9
"""The least score of two agents if all sentences of one are also told to the other, word for word. It is not left to the
regression, in which words that all agents of a team use count for nothing."""


class OverlapModel(msgspec.Struct, frozen=True, kw_only=True):
    """The weights of a logistic regression over the figures of a pair."""

    intercept: float
    weights: Likeness
    """The weights: what one unit of each figure adds to the logarithm of the odds."""

    def score(self, pair: Pair) -> float:
        """Returns how likely it is that a pair overlaps, from 0 to 1."""
        products = (a * b for a, b in zip(self.weights.values(), pair.likeness.values(), strict=True))
        chance = 1.0 / (1.0 + math.exp(-self.intercept - math.fsum(products)))
        if pair.equal:
            chance = max(chance, EQUAL_SCORE)
        return round(chance * (SAME_FORM if pair.same_form else 1.0), 4)


BY_WORDS = OverlapModel(intercept=-1.966, weights=Likeness(shared=1.067, duty=5.785, meaning=0.000))
"""The model for words alone."""
BY_MEANING = OverlapModel(intercept=-2.002, weights=Likeness(shared=0.939, duty=3.842, meaning=2.192))
"""The model for words and the embedding."""


class ScoredPair(msgspec.Struct, frozen=True, kw_only=True):
    """Two agents, and how likely it is that their roles overlap."""

    pair: Pair
    score: float


def score_pairs(
    team: TeamDescription, *, meaning: Embedder | None = None, model: OverlapModel | None = None
) -> list[ScoredPair]:
    """Returns the score of every two agents of a team, the most likely overlap first. The order of the agents in the team makes
    no difference.

    Without `meaning`, words alone are compared. `model` replaces the fitted model, for benchmarks.
    """
    space = (
        meaning.place([[duty.text for duty in duties] for duties in list_duties(team)]) if meaning else None
    )
    chosen = model or (BY_MEANING if meaning else BY_WORDS)
    scored = [ScoredPair(pair=pair, score=chosen.score(pair)) for pair in compare_agents(team, space)]
    return sorted(scored, key=lambda each: (-each.score, each.pair.first, each.pair.second))


def find_overlaps(team: TeamDescription, options: OverlapOptions | None = None) -> list[LintFinding]:
    """Returns the pairs of agents whose roles overlap, the most likely first.

    A pair is left out if no duty of one of the agents was recognised, because a finding names the two duties that it rests on.
    """
    chosen = options or OverlapOptions()
    scored = score_pairs(team, meaning=load_meaning() if chosen.meaning else None)
    return [
        _make_finding(each.pair, each.score, each.pair.duties, each.score >= chosen.strong_from)
        for each in scored
        if each.score >= chosen.partial_from and each.pair.duties is not None
    ]


def name_lacking(options: OverlapOptions | None = None) -> str:
    """Returns a sentence on what is not compared because the extra `seawall[lint]` is not installed; "" if it is installed, or
    `meaning` is switched off.
    """
    if not (options or OverlapOptions()).meaning or load_meaning() is not None:
        return ""
    return "Roles are compared by words alone: the extra `seawall[lint]`, which adds their meaning, is not installed."


def _make_finding(pair: Pair, score: float, duties: tuple[Duty, Duty], strong: bool) -> LintFinding:
    first, second = duties
    told = f"{pair.first!r} is told: {_shorten(first.text)}; {pair.second!r} is told: {_shorten(second.text)}"
    common = f" Both name {', '.join(pair.words[:6])}." if pair.words else ""
    if strong:
        reason = f"{pair.first!r} and {pair.second!r} seem to have the same duty, so that both would produce the same. {told}.{common}"
        mend = f"Give this duty to one of {pair.first!r} and {pair.second!r} and take it from the other, or make one agent of the two."
    else:
        reason = f"{pair.first!r} and {pair.second!r} seem to share a duty. {told}.{common}"
        mend = (
            f"Say in the instructions of {pair.first!r} and {pair.second!r} which of them has this duty, or which part of it "
            "each has."
        )
    return LintFinding(
        code=STRONG if strong else PARTIAL,
        severity="warning" if strong else "note",
        agents=(pair.first, pair.second),
        reason=reason,
        mend=mend,
        sentences=(
            Sentence(agent=pair.first, text=first.sentence, start=first.start),
            Sentence(agent=pair.second, text=second.sentence, start=second.start),
        ),
        score=score,
    )


def _shorten(text: str, most_chars: int = 120) -> str:
    """Returns a text in quotation marks. A long text is cut between two words."""
    if len(text) <= most_chars:
        return f"“{text}”"
    return f"“{text[:most_chars].rsplit(' ', 1)[0]} …”"
