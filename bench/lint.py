"""Roles that overlap: which pairs of agents does the lint find, and which does it take for a pair?

The teams are public ones, restated and labelled by hand. Nothing is tried on a team that it was learned from: the
weights and the threshold are found anew without each team (leave one team out), and over ten deals of five folds, to
see what chance does. Which figures are weighed at all was decided on all of these
teams; the teams in `bench/lint_teams.jsonl`, written and labelled before, show what that choice is worth elsewhere.

    python bench/lint.py [--data FILE] [--seed 1]

Exit status: 0; 1 if the weights in the code are not those that are fitted here; 2 if there is no data.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import random
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from overlap import defects, report
from overlap.measures import Judged, area, break_even, figures, interval
from overlap.regression import (
    STRENGTH,
    Teams,
    centre,
    choose,
    find_means,
    fit,
    make_folds,
    validate,
)
from overlap.rivals import RIVALS
from overlap.teams import OWN, BadTeams, LabelledTeam, load, measure

from seawall.lint import comparison, overlap
from seawall.lint.embedding import Meaning, load_meaning

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("..") / "shared" / "data" / "roles" / "open.jsonl"
DEALS = 10
"""Deals of five folds, to see what chance does."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"a file of teams (default: {DATA}, from the repository)")
    parser.add_argument("--seed", type=int, default=1, help="of the folds and the intervals (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the results instead of the tables")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "lint.json")
    return parser.parse_args()


def measure_all(teams: Sequence[LabelledTeam], own: Sequence[LabelledTeam], seed: int) -> dict[str, Any]:
    """Everything that is reported."""
    meaning = load_meaning()
    if meaning is None:
        print("the extra seawall[lint] is not installed: by words alone", file=sys.stderr, flush=True)
    validated: dict[str, Any] = {}
    elsewhere: dict[str, Any] = {}
    fitted: dict[str, Any] = {}
    deals: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    for name, embedding, used in _list_ways(meaning):
        print(f"cross-validating {name}", file=sys.stderr, flush=True)
        measured, ours = measure(teams, embedding), measure(own, embedding)
        judged, chosen[name] = validate(measured, used, [[at] for at in range(len(teams))], seed)
        validated[name] = _report(judged, seed)
        deals[name] = _deal(measured, used, seed)
        elsewhere[f"{name}, as it is by default"] = _report(_judge_by_default(own, embedding), seed)
        elsewhere[f"{name}, threshold chosen there"] = _report(_judge_at_best(ours, used, measured), seed)
        fitted[name] = _fit(measured, used)
    for name, rule in RIVALS.items():
        validated[name] = _report(_judge_rival(teams, teams, rule), seed)
        elsewhere[name] = _report(_judge_rival(teams, own, rule), seed)
    rules = defects.find_rules()
    return {
        "validated": validated,
        "deals": deals,
        "chosen": chosen,
        "elsewhere": elsewhere,
        "fitted": fitted,
        "warnings": {name: _count_warnings(teams, embedding) for name, embedding, _ in _list_ways(meaning)},
        "defects": None if rules is None else defects.judge(teams, rules),
        "defects_elsewhere": None if rules is None else defects.judge(own, rules),
    }


def _list_ways(meaning: Meaning | None) -> list[tuple[str, Meaning | None, int]]:
    words: list[tuple[str, Meaning | None, int]] = [("Seawall, words", None, 2)]
    return words if meaning is None else [*words, ("Seawall, words and meaning", meaning, 3)]


def _report(judged: Sequence[Judged], seed: int) -> dict[str, Any]:
    names = ("precision", "recall", "auc")
    return {**figures(judged), "interval": {name: interval(judged, name, seed) for name in names}}


def _deal(measured: Teams, used: int, seed: int) -> dict[str, Any]:
    found = []
    for deal in range(DEALS):
        rng = random.Random(seed * 1000 + deal)
        judged, _ = validate(measured, used, make_folds(len(measured), 5, rng), seed)
        found.append(figures(judged))
    return {
        name: {"mean": statistics.mean(values), "deviation": statistics.stdev(values)}
        for name in ("precision", "recall", "f1", "auc", "auc_strong")
        for values in [[each[name] or 0.0 for each in found]]
    }


def _judge_by_default(teams: Sequence[LabelledTeam], meaning: Meaning | None) -> list[Judged]:
    from_score = overlap.OverlapOptions().partial_from
    return [
        (
            team.description.name,
            team.overlap[frozenset((each.pair.first, each.pair.second))],
            each.score,
            each.score >= from_score,
        )
        for team in teams
        for each in overlap.score_pairs(team.description, meaning=meaning)
    ]


def _judge_at_best(ours: Teams, used: int, measured: Teams) -> list[Judged]:
    """With weights of the other teams and a threshold of these: what another share of overlap changes."""
    means = find_means(measured)
    model = fit(centre(measured, means), used)
    pairs = [each for team in centre(ours, means) for each in team]
    scores = [model.score(each.pair) for each in pairs]
    threshold = break_even([each.label for each in pairs], scores, 1)
    return [
        (each.team, each.label, score, score >= threshold) for each, score in zip(pairs, scores, strict=True)
    ]


def _judge_rival(
    train: Sequence[LabelledTeam],
    test: Sequence[LabelledTeam],
    rule: Callable[[LabelledTeam], dict[frozenset[str], float]],
) -> list[Judged]:
    known = [(team, rule(team)) for team in train]
    judged: list[Judged] = []
    for team in test:
        others = [
            (other.overlap[pair], score)
            for other, scores in known
            if other is not team
            for pair, score in scores.items()
        ]
        threshold = break_even([label for label, _ in others], [score for _, score in others], 1)
        judged.extend(
            (team.description.name, team.overlap[pair], score, score >= threshold)
            for pair, score in rule(team).items()
        )
    return judged


def _fit(measured: Teams, used: int) -> dict[str, Any]:
    means = find_means(measured)
    centred = centre(measured, comparison.MEANS)
    model = fit(centred, used)
    scores = [model.score(each.pair) for team in centred for each in team]
    labels = [each.label > 0 for team in centred for each in team]
    in_code = overlap.BY_MEANING if used > 2 else overlap.BY_WORDS
    weights = dict(zip(comparison.Likeness.__struct_fields__, model.weights.values(), strict=True))
    same = all(
        abs(ours - theirs) < 0.01
        for ours, theirs in zip(
            (in_code.intercept, *in_code.weights.values()),
            (model.intercept, *model.weights.values()),
            strict=True,
        )
    )
    return {
        "means": dict(zip(comparison.Likeness.__struct_fields__, means.values(), strict=True)),
        "intercept": model.intercept,
        "weights": weights,
        "threshold": choose(measured, used, random.Random(1)),
        "auc_on_what_it_learned_from": area(labels, scores),
        "same_in_code": same,
    }


def _count_warnings(teams: Sequence[LabelledTeam], meaning: Meaning | None) -> dict[str, int]:
    """Of the findings SW101, as the code is: what they are labelled. These teams were learned from."""
    from_score = overlap.OverlapOptions().strong_from
    labels = [label for _, label, score, _ in _judge_by_default(teams, meaning) if score >= from_score]
    return {"flagged": len(labels), "strong": labels.count(2), "partial": labels.count(1)}


def main() -> int:
    """Measure, print and keep."""
    options = _options()
    try:
        teams, own = load(options.data or ROOT / DATA), load(OWN)
    except BadTeams as error:
        print(f"{error}\nName a file of teams with --data PATH.", file=sys.stderr)
        return 2
    measured = measure_all(teams, own, options.seed)
    written = {
        "command": shlex.join(["python", "bench/lint.py", "--seed", str(options.seed)]),
        "python": platform.python_version(),
        "versions": {name: _find_version(name) for name in ("seawall", "wordllama", "tokenizers", "numpy")},
        "seed": options.seed,
        "teams": len(teams),
        **measured,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(written, indent=1, ensure_ascii=False))
    else:
        _print(measured)
    return 0 if all(each["same_in_code"] for each in measured["fitted"].values()) else 1


def _find_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _print(measured: dict[str, Any]) -> None:
    print(report.table("public teams, each judged by what was learned without it", measured["validated"]))
    for name, each in measured["deals"].items():
        told = ", ".join(
            f"{key} {value['mean']:.2f} ± {value['deviation']:.2f}" for key, value in each.items()
        )
        print(f"\n{name}, {DEALS} deals of five folds: {told}")
    print("\n" + report.table("teams of our own, learned on the public ones", measured["elsewhere"]))
    for name, each in measured["warnings"].items():
        print(f"\n{name}, SW101 by default on the public teams (learned from): {each}")
    for name, each in measured["fitted"].items():
        print(f"\n{name}, fitted with a penalty of {STRENGTH:g}: {json.dumps(each)}")
    for name, title in (("defects", "public teams"), ("defects_elsewhere", "teams of our own")):
        if measured[name] is None:
            print(f"\nother defects, {title}: this version has no other rules")
            continue
        print("\n" + report.defects(f"other defects, {title}", measured[name]["kinds"]))
        print(f"missed: {'; '.join(measured[name]['missed']) or 'none'}")
        print(f"false: {'; '.join(measured[name]['false']) or 'none'}")


if __name__ == "__main__":
    sys.exit(main())
