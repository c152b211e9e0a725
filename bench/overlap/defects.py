"""The other defects: which the lint finds, and what it finds that nobody has labelled."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from overlap.teams import LabelledTeam
from seawall.lint.description import TeamDescription
from seawall.lint.finding import LintFinding

CODES = {
    "authority": ("SW201", "SW202"),
    "two owners of one tool/effect": ("SW203", "SW206"),
    "unreachable": ("SW301",),
    "handoff to nobody": ("SW302", "SW303"),
    "no finisher": ("SW304",),
}
"""By the kind of a defect, as it is labelled: the codes that name it."""

Rules = Callable[[TeamDescription], Sequence[LintFinding]]


def find_rules() -> Rules | None:
    """All rules of the lint; None: this version has none but those for overlap."""
    try:
        return importlib.import_module("seawall.lint.linting").lint_team
    except ImportError:
        return None


def judge(teams: Sequence[LabelledTeam], rules: Rules) -> dict[str, Any]:
    """Found, missed and false by kind.

    A finding is right if it has a code of the kind and names one of the defect's agents, or no agent at all. The wiring
    of a team of which it was not known is not asked about.
    """
    counts = {kind: {"labelled": 0, "found": 0, "false": 0, "codes": codes} for kind, codes in CODES.items()}
    missed: list[str] = []
    false: list[str] = []
    for team in teams:
        findings = rules(team.description)
        for kind, codes in CODES.items():
            ours = [each for each in findings if each.code in codes and not each.waived]
            labelled = [agents for of_kind, agents in team.defects if of_kind == kind]
            hit = [any(_is_about(each, agents) for each in ours) for agents in labelled]
            wrong = [each for each in ours if not any(_is_about(each, agents) for agents in labelled)]
            counts[kind]["labelled"] += len(labelled)
            counts[kind]["found"] += sum(hit)
            counts[kind]["false"] += len(wrong)
            name = team.description.name
            missed += [
                f"{name} {kind}: {', '.join(sorted(agents))}"
                for agents, found in zip(labelled, hit, strict=True)
                if not found
            ]
            false += [f"{name} {each.code}: {', '.join(each.agents)}" for each in wrong]
    return {"kinds": counts, "missed": missed, "false": false}


def _is_about(finding: LintFinding, agents: frozenset[str]) -> bool:
    return not finding.agents or not agents.isdisjoint(finding.agents)
