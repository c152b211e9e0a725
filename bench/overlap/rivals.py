"""What one would use instead: the cosine of TF-IDF vectors, and the share of common words (Jaccard)."""

from __future__ import annotations

import math
from collections import Counter

from overlap.teams import LabelledTeam
from seawall.lint.vocabulary import STOP, WORD


def score_tf_idf(team: LabelledTeam) -> dict[frozenset[str], float]:
    """Cosines of TF-IDF vectors with smoothed inverse frequencies in the team and lengths of 1, as is usual."""
    counts = _count_words(team)
    users = Counter(word for words in counts.values() for word in words)
    vectors: dict[str, dict[str, float]] = {}
    for name, words in counts.items():
        raw = {
            word: count * (1 + math.log((1 + len(counts)) / (1 + users[word])))
            for word, count in words.items()
        }
        length = math.sqrt(math.fsum(value * value for value in raw.values())) or 1.0
        vectors[name] = {word: value / length for word, value in raw.items()}
    return {
        pair: math.fsum(value * second.get(word, 0.0) for word, value in sorted(first.items()))
        for pair in team.overlap
        for first, second in [[vectors[name] for name in sorted(pair)]]
    }


def score_jaccard(team: LabelledTeam) -> dict[frozenset[str], float]:
    """Words that both have, of the words that either has."""
    counts = _count_words(team)
    return {
        pair: len(first & second) / (len(first | second) or 1)
        for pair in team.overlap
        for first, second in [[set(counts[name]) for name in sorted(pair)]]
    }


def _count_words(team: LabelledTeam) -> dict[str, Counter[str]]:
    return {
        agent.name: Counter(
            word
            for word in (found.lower() for found in WORD.findall(f"{agent.role} {agent.instructions}"))
            if word not in STOP
        )
        for agent in team.description.agents
    }


RIVALS = {"TF-IDF cosine": score_tf_idf, "Jaccard": score_jaccard}
