"""The program that measures the overlap of roles: its figures, its folds, and that the code has its weights."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from loops import ROOT as REPOSITORY
from overlap.defects import judge
from overlap.measures import area, break_even, figures, interval
from overlap.regression import fit, make_folds, validate
from overlap.rivals import RIVALS
from overlap.teams import OWN, BadTeams, LabelledTeam, load, measure

import warm_python
from seawall.lint.description import TeamDescription
from seawall.lint.finding import LintFinding


@pytest.fixture(scope="module")
def teams() -> list[LabelledTeam]:
    return load(OWN)


def test_our_own_teams_label_every_pair_once_and_have_both_kinds_of_overlap(
    teams: list[LabelledTeam],
) -> None:
    for team in teams:
        count = len(team.description.agents)
        assert len(team.overlap) == count * (count - 1) // 2
    labels = [label for team in teams for label in team.overlap.values()]
    assert len(teams) >= 10
    assert labels.count(1) >= 15
    assert labels.count(2) >= 5


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    assert area([True, False, True, False], [0.9, 0.8, 0.7, 0.1]) == 0.75
    assert area([True, False], [0.5, 0.5]) == 0.5
    assert area([False, False], [0.1, 0.2]) is None


def test_figures_count_what_is_flagged() -> None:
    found = figures([("a", 2, 0.9, True), ("a", 0, 0.8, True), ("b", 1, 0.3, False), ("b", 0, 0.1, False)])

    assert (found["precision"], found["recall"], found["f1"]) == (0.5, 0.5, 0.5)
    assert (found["strong"], found["strong_found"]) == (1, 1)


def test_nothing_flagged_has_no_precision() -> None:
    found = figures([("a", 1, 0.3, False), ("a", 0, 0.1, False)])

    assert found["precision"] is None
    assert found["recall"] == 0.0


def test_an_interval_is_the_same_for_the_same_seed() -> None:
    judged = [(f"t{at % 5}", at % 3, at / 30, at % 2 == 0) for at in range(30)]

    assert interval(judged, "auc", 1) == interval(judged, "auc", 1)
    low, high = interval(judged, "precision", 1) or (0.0, 0.0)
    assert low <= (figures(judged)["precision"] or 0.0) <= high


def test_at_break_even_as_many_are_flagged_as_overlap() -> None:
    labels, scores = [1, 0, 2, 0, 0], [0.9, 0.8, 0.7, 0.2, 0.1]

    assert sum(score >= break_even(labels, scores, 1) for score in scores) == 2
    assert sum(score >= break_even(labels, scores, 2) for score in scores) == 1


def test_every_team_is_in_one_fold() -> None:
    folds = make_folds(17, 5, random.Random(1))

    assert sorted(at for fold in folds for at in fold) == list(range(17))


def test_a_pair_is_judged_by_what_was_learned_without_its_team(teams: list[LabelledTeam]) -> None:
    measured = measure(teams[:6], None)
    judged, _ = validate(measured, 2, [[at] for at in range(6)], 1)
    turned = [[*measured[0]], *measured[1:]]
    turned[0] = [type(each)(team=each.team, pair=each.pair, label=2 - each.label) for each in measured[0]]
    again, _ = validate(turned, 2, [[at] for at in range(6)], 1)

    first = len(measured[0])
    assert [score for _, _, score, _ in judged[:first]] == [score for _, _, score, _ in again[:first]]
    assert [score for _, _, score, _ in judged[first:]] != [score for _, _, score, _ in again[first:]]


def test_a_fit_gives_more_to_what_is_more_alike(teams: list[LabelledTeam]) -> None:
    model = fit(measure(teams, None), 2)

    assert model.weights.shared > 0
    assert model.weights.duty > 0
    assert model.weights.meaning == 0


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_scores_every_pair_from_0_to_1(name: str, teams: list[LabelledTeam]) -> None:
    for team in teams:
        scores = RIVALS[name](team)
        assert scores.keys() == team.overlap.keys()
        assert all(-1e-9 <= score <= 1 + 1e-9 for score in scores.values())


def test_defects_are_found_missed_and_false(teams: list[LabelledTeam]) -> None:
    (team,) = [each for each in teams if each.description.name == "s01-support"]

    def rules(described: TeamDescription) -> list[LintFinding]:
        assert described is team.description
        return [
            LintFinding(code=code, severity="note", agents=agents, reason="", mend="")
            for code, agents in [("SW203", ("billing", "returns")), ("SW301", ("triage",))]
        ]

    found = judge([team], rules)

    assert found["kinds"]["two owners of one tool/effect"]["found"] == 1
    assert found["kinds"]["unreachable"]["false"] == 1
    assert found["missed"] == []


def test_a_file_that_is_not_there_or_has_no_teams_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("{}\n", encoding="utf-8")

    for path in (tmp_path / "none.jsonl", wrong):
        with pytest.raises(BadTeams, match=path.name):
            load(path)


def test_without_data_the_program_says_what_to_give_it(tmp_path: Path) -> None:
    done = warm_python.run(
        [
            "bench/lint.py",
            "--data",
            str(tmp_path / "none.jsonl"),
            "--out",
            str(tmp_path / "out"),
        ],
        cwd=REPOSITORY,
        text=True,
    )

    assert done.returncode == 2
    assert "--data" in done.stderr


def test_the_recorded_results_are_those_of_the_weights_in_the_code() -> None:
    recorded = json.loads((REPOSITORY / "bench/results/lint.json").read_text(encoding="utf-8"))

    assert all(each["same_in_code"] for each in recorded["fitted"].values())
