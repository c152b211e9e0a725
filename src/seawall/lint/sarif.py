"""Writes a report as SARIF 2.1.0, the format that code hosts read for annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from seawall.core.canonical import digest_of
from seawall.lint.codes import CODES, LintCode
from seawall.lint.finding import LintFinding
from seawall.lint.linting import LintReport

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def make_sarif(report: LintReport, findings: Sequence[LintFinding], version: str) -> dict[str, Any]:
    """Returns the SARIF log of some findings of a report. A waived finding is suppressed, with its reason."""
    codes = sorted({finding.code for finding in findings})
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "seawall lint",
                        "semanticVersion": version,
                        "rules": [_make_rule(CODES[code]) for code in codes],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_make_result(finding, codes.index(finding.code), report) for finding in findings],
            }
        ],
    }


def _make_rule(code: LintCode) -> dict[str, Any]:
    return {
        "id": code.code,
        "name": "".join(word.capitalize() for word in code.title.replace("'", "").replace("-", " ").split()),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.meaning},
        "help": {"text": f"{code.meaning} Example: {code.example} {code.mend}"},
        "defaultConfiguration": {"level": code.severity},
        "properties": {"tags": [code.kind]},
    }


def _make_result(finding: LintFinding, rule: int, report: LintReport) -> dict[str, Any]:
    sentences = "".join(f"\n{each.agent}: {each.text}" for each in finding.sentences)
    opinion = f"\nA model's opinion: {finding.opinion}" if finding.opinion else ""
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": f"{finding.reason}. {finding.mend}{sentences}{opinion}"},
        "locations": _list_locations(finding, report),
        "partialFingerprints": {
            "seawallLint/v1": digest_of(
                [report.team, finding.code, list(finding.agents), list(finding.tools)]
            )
        },
    }
    if finding.waived:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.waived}]
    return result


def _list_locations(finding: LintFinding, report: LintReport) -> list[dict[str, Any]]:
    """Returns the places where the agents of a finding are defined, or that of the team if it is about no agent."""
    locations: list[dict[str, Any]] = []
    for name in finding.agents or ("",):
        kind = "object" if name else "module"
        location: dict[str, Any] = {"logicalLocations": [{"name": name or report.team, "kind": kind}]}
        place = report.places.get(name) or report.places.get("")
        if place is not None:
            physical: dict[str, Any] = {"artifactLocation": {"uri": _make_uri(place.file)}}
            if place.line is not None:
                physical["region"] = {"startLine": place.line}
            location["physicalLocation"] = physical
        locations.append(location)
    return locations


def _make_uri(file: str) -> str:
    """Returns a file as a URI. For a file in the current directory it is relative, as code hosts want it."""
    path = Path(file).absolute()
    here = Path.cwd()
    return quote(path.relative_to(here).as_posix()) if path.is_relative_to(here) else path.as_uri()
