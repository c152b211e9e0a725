"""The logistic regression, and the threshold, which is chosen by cross-validation."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from overlap.measures import Judged, break_even
from overlap.teams import LabelledPair
from seawall.lint.comparison import Likeness, centre_pairs
from seawall.lint.overlap import OverlapModel

STRENGTH = 10.0
"""Ridge penalty on the weights of standardised figures, in sums over pairs. It is strong, because 40 pairs that overlap
teach little; from 3 to 100 the AUC moves by about 0.01, so it is not chosen anew."""
ROUNDS = 25
"""Newton steps; ten are enough on this data."""

Teams = Sequence[Sequence[LabelledPair]]


def find_means(teams: Teams) -> Likeness:
    """The mean of each figure over the pairs of all teams."""
    rows = [each.pair.likeness.values() for team in teams for each in team]
    return Likeness(
        **{
            name: math.fsum(row[at] for row in rows) / len(rows)
            for at, name in enumerate(Likeness.__struct_fields__)
        }
    )


def centre(teams: Teams, means: Likeness) -> list[list[LabelledPair]]:
    """Subtracts each team's own mean, as the lint does it."""
    found: list[list[LabelledPair]] = []
    for team in teams:
        pairs = centre_pairs([each.pair for each in team], means)
        found.append(
            [
                LabelledPair(team=each.team, pair=pair, label=each.label)
                for each, pair in zip(team, pairs, strict=True)
            ]
        )
    return found


def fit(teams: Teams, used: int) -> OverlapModel:
    """Fits the first `used` figures by Newton's method; the intercept is not penalised.

    Pairs of one form are left out: a rule judges them.
    """
    pairs = [each for team in teams for each in team if not each.pair.same_form]
    rows = [each.pair.likeness.values()[:used] for each in pairs]
    labels = [float(each.label > 0) for each in pairs]
    means = [math.fsum(row[at] for row in rows) / len(rows) for at in range(used)]
    spreads = [
        math.sqrt(math.fsum((row[at] - means[at]) ** 2 for row in rows) / len(rows)) or 1.0
        for at in range(used)
    ]
    inputs = [[1.0, *((row[at] - means[at]) / spreads[at] for at in range(used))] for row in rows]
    weights = [0.0] * (used + 1)
    penalties = [0.0, *[STRENGTH] * used]
    for _ in range(ROUNDS):
        step = _find_step(inputs, labels, weights, penalties)
        weights = [weight + change for weight, change in zip(weights, step, strict=True)]
        if max(map(abs, step)) < 1e-9:
            break
    scaled = [weight / spread for weight, spread in zip(weights[1:], spreads, strict=True)]
    intercept = weights[0] - math.fsum(weight * mean for weight, mean in zip(scaled, means, strict=True))
    padded = [*scaled, *[0.0] * (len(Likeness.__struct_fields__) - used)]
    return OverlapModel(
        intercept=intercept, weights=Likeness(**dict(zip(Likeness.__struct_fields__, padded, strict=True)))
    )


def _find_step(
    inputs: list[list[float]], labels: list[float], weights: list[float], penalties: list[float]
) -> list[float]:
    size = len(weights)
    gradient = [-penalty * weight for penalty, weight in zip(penalties, weights, strict=True)]
    bend = [[penalties[at] if at == other else 0.0 for other in range(size)] for at in range(size)]
    for row, label in zip(inputs, labels, strict=True):
        chance = 1.0 / (1.0 + math.exp(-sum(a * b for a, b in zip(row, weights, strict=True))))
        for at in range(size):
            gradient[at] += (label - chance) * row[at]
            for other in range(size):
                bend[at][other] += chance * (1.0 - chance) * row[at] * row[other]
    return _solve(bend, gradient)


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination; the matrix is positive definite, so no rows are exchanged."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for at in range(size):
        for below in range(at + 1, size):
            factor = rows[below][at] / rows[at][at]
            rows[below] = [a - factor * b for a, b in zip(rows[below], rows[at], strict=True)]
    found = [0.0] * size
    for at in range(size - 1, -1, -1):
        rest = sum(rows[at][other] * found[other] for other in range(at + 1, size))
        found[at] = (rows[at][size] - rest) / rows[at][at]
    return found


def score(train: Teams, test: Teams, used: int) -> list[float]:
    """The scores of the pairs of some teams, learned from others."""
    means = find_means(train)
    model = fit(centre(train, means), used)
    return [model.score(each.pair) for team in centre(test, means) for each in team]


def choose(teams: Teams, used: int, rng: random.Random) -> float:
    """The threshold at which as many pairs are flagged as overlap, each scored by what was learned without its team.

    Five folds.
    """
    labels: list[int] = []
    scores: list[float] = []
    for fold in make_folds(len(teams), 5, rng):
        test = [teams[at] for at in fold]
        scores += score([team for at, team in enumerate(teams) if at not in fold], test, used)
        labels += [each.label for team in test for each in team]
    return break_even(labels, scores, 1)


def validate(
    teams: Teams, used: int, folds: Sequence[Sequence[int]], seed: int
) -> tuple[list[Judged], list[float]]:
    """Judges each fold with weights and a threshold that were found without it."""
    rng = random.Random(seed)
    judged: list[Judged] = []
    chosen: list[float] = []
    for fold in folds:
        train = [team for at, team in enumerate(teams) if at not in fold]
        threshold = choose(train, used, rng)
        chosen.append(threshold)
        test = [teams[at] for at in fold]
        pairs = [each for team in test for each in team]
        judged.extend(
            (each.team, each.label, value, value >= threshold)
            for each, value in zip(pairs, score(train, test, used), strict=True)
        )
    return judged, chosen


def make_folds(size: int, count: int, rng: random.Random) -> list[list[int]]:
    """Deals teams out to folds at random."""
    order = list(range(size))
    rng.shuffle(order)
    return [sorted(order[at::count]) for at in range(min(count, size))]
