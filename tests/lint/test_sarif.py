"""SARIF: what code hosts need of a log, and where they show it."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.lint import LintFinding, LintReport, lint
from seawall.lint.codes import CODES
from seawall.lint.description import SourcePlace
from seawall.lint.sarif import make_sarif
from team.described import agent, team


def without_overlaps(report: LintReport) -> list[LintFinding]:
    return [each for each in report.findings if not each.code.startswith("SW1")]


def test_a_log_has_the_parts_that_the_standard_requires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inside, outside = str(tmp_path / "my team.yaml"), str(tmp_path.parent / "other.yaml")
    described = team(
        agent("a", "Approves refunds.", place=SourcePlace(inside, 3)),
        agent("b", "Approves refunds.", place=SourcePlace(outside)),
        bounded=True,
        place=SourcePlace(inside, 2),
        waived=(("SW401", "a nightly job"),),
    )
    report = lint(described)
    log = make_sarif(report, without_overlaps(report), "1.2.3")

    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    [run] = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["semanticVersion"]) == ("seawall lint", "1.2.3")
    assert [each["id"] for each in driver["rules"]] == ["SW201", "SW401"]
    rivals, late = run["results"]
    assert (rivals["ruleId"], rivals["level"]) == ("SW201", "error")
    assert driver["rules"][rivals["ruleIndex"]]["id"] == "SW201"
    first, second = rivals["locations"]
    assert first["physicalLocation"] == {
        "artifactLocation": {"uri": "my%20team.yaml"},
        "region": {"startLine": 3},
    }
    assert second["physicalLocation"]["artifactLocation"]["uri"].startswith("file:///")
    assert "region" not in second["physicalLocation"]
    assert [each["logicalLocations"] for each in rivals["locations"]] == [
        [{"name": "a", "kind": "object"}],
        [{"name": "b", "kind": "object"}],
    ]
    assert late["suppressions"] == [{"kind": "inSource", "justification": "a nightly job"}]
    assert late["locations"][0]["logicalLocations"] == [{"name": "desk", "kind": "module"}]
    assert late["partialFingerprints"] != rivals["partialFingerprints"]


def test_a_team_without_a_file_has_no_physical_location() -> None:
    report = lint(team(agent("a", "Approves refunds."), agent("b", "Approves refunds.")))
    [result] = make_sarif(report, without_overlaps(report), "1")["runs"][0]["results"]

    assert all("physicalLocation" not in each for each in result["locations"])


def test_every_code_has_a_level_of_the_standard_and_a_name() -> None:
    assert {each.severity for each in CODES.values()} <= {"error", "warning", "note"}
    assert all(name == each.code for name, each in CODES.items())
