"""AUC, precision and recall, with intervals over teams."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

Judged = tuple[str, int, float, bool]
"""The team of a pair, its label, its score, and whether it is flagged."""
SAMPLES = 500
"""Samples of teams for an interval; 3,000 change its ends by less than two hundredths."""


def area(labels: Sequence[bool], scores: Sequence[float]) -> float | None:
    """The area under the ROC curve: how often a pair that overlaps has the higher score; None if one kind is missing."""
    ranked = sorted(range(len(scores)), key=lambda at: scores[at])
    ranks = [0.0] * len(scores)
    at = 0
    while at < len(ranked):
        end = at
        while end + 1 < len(ranked) and scores[ranked[end + 1]] == scores[ranked[at]]:
            end += 1
        for place in ranked[at : end + 1]:
            ranks[place] = (at + end) / 2 + 1
        at = end + 1
    ours = sum(labels)
    if not 0 < ours < len(labels):
        return None
    total = sum(rank for rank, label in zip(ranks, labels, strict=True) if label)
    return (total - ours * (ours + 1) / 2) / (ours * (len(labels) - ours))


def figures(judged: Sequence[Judged]) -> dict[str, Any]:
    """Everything that is told of one way of judging."""
    labels = [label for _, label, _, _ in judged]
    scores = [score for _, _, score, _ in judged]
    flagged = [label for _, label, _, flag in judged if flag]
    right, any_overlap = sum(label > 0 for label in flagged), sum(label > 0 for label in labels)
    precision = right / len(flagged) if flagged else None
    recall = right / any_overlap if any_overlap else None
    both = (precision or 0.0) + (recall or 0.0)
    return {
        "pairs": len(labels),
        "overlap": any_overlap,
        "flagged": len(flagged),
        "right": right,
        "precision": precision,
        "recall": recall,
        "f1": 2 * (precision or 0.0) * (recall or 0.0) / both if both else 0.0,
        "auc": area([label > 0 for label in labels], scores),
        "auc_strong": area([label == 2 for label in labels], scores),
        "strong": labels.count(2),
        "strong_found": flagged.count(2),
    }


def interval(judged: Sequence[Judged], name: str, seed: int) -> tuple[float, float] | None:
    """The middle 95% of a figure over teams drawn with replacement."""
    rng = random.Random(seed)
    by_team: dict[str, list[Judged]] = {}
    for each in judged:
        by_team.setdefault(each[0], []).append(each)
    teams = sorted(by_team)
    found: list[float] = []
    for _ in range(SAMPLES):
        drawn = [each for team in rng.choices(teams, k=len(teams)) for each in by_team[team]]
        value = figures(drawn)[name]
        if value is not None:
            found.append(value)
    found.sort()
    return (found[len(found) // 40], found[-1 - len(found) // 40]) if found else None


def break_even(labels: Sequence[int], scores: Sequence[float], level: int) -> float:
    """The score at which as many pairs are flagged as have at least this level of overlap."""
    count = max(1, sum(label >= level for label in labels))
    ranked = sorted(scores, reverse=True)
    below = ranked[count] if count < len(ranked) else ranked[-1]
    return (ranked[count - 1] + below) / 2
