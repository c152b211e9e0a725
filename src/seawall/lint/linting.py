"""Runs all rules on a team, and reports their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from seawall.lint.description import SourcePlace, TeamDescription
from seawall.lint.finding import LintFinding, Severity
from seawall.lint.overlap import find_overlaps, name_lacking
from seawall.lint.reading.seawall_team import describe_team
from seawall.lint.rules import authority, bounds, effects, matrix, wiring
from seawall.lint.waivers import apply_waivers
from seawall.team.agent import Agent
from seawall.team.team import Team

RULES: tuple[Callable[[TeamDescription], Iterable[LintFinding]], ...] = (
    find_overlaps,
    authority.find_rival_decisions,
    authority.find_overstepped,
    matrix.find_outside_matrix,
    effects.find_borrowed_tools,
    effects.find_shared_effects,
    effects.find_shared_acts,
    effects.find_unguarded_effects,
    effects.find_shared_deliverables,
    wiring.find_missing,
    wiring.find_unreachable,
    wiring.find_unjoined,
    wiring.find_unfinished,
    wiring.find_self_reviews,
    bounds.find_deadline_faults,
    bounds.find_limit_faults,
    bounds.find_small_contexts,
    bounds.find_alike_tools,
)
RANKS: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}
"""The rank of each severity in a sorted list, the severest first."""


class LintReport(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of the lint on one team."""

    team: str
    form: str
    """The form that the team was read from."""
    findings: tuple[LintFinding, ...]
    """All findings, also waived ones, the severest first."""
    places: dict[str, SourcePlace] = {}
    """Where each agent is defined, by the agent's name; "" is the key of the team."""
    lacking: str = ""
    """A sentence on what the lint could not check because an extra is not installed; "" if it could check all."""

    def __repr__(self) -> str:
        return f"<LintReport of {self.team}: {len(self.open)} findings, {len(self.waived)} waived>"

    @property
    def open(self) -> tuple[LintFinding, ...]:
        """The findings that are not waived."""
        return tuple(each for each in self.findings if not each.waived)

    @property
    def waived(self) -> tuple[LintFinding, ...]:
        """The findings that are waived."""
        return tuple(each for each in self.findings if each.waived)

    def list_from(self, severity: Severity) -> tuple[LintFinding, ...]:
        """Returns the findings of this severity or a severer one, without waived ones."""
        return tuple(each for each in self.findings if RANKS[each.severity] <= RANKS[severity])


def lint(team: Team[Any] | Agent[Any] | TeamDescription) -> LintReport:
    """Returns the faults of a team before it is deployed: roles that overlap, authority, wiring and bounds.

    No model is asked and nothing is fetched; the same team always gives the same report. `read_team` reads teams of
    other frameworks into a `TeamDescription`.
    """
    described = team if isinstance(team, TeamDescription) else describe_team(team)
    places = {agent.name: agent.place for agent in described.agents if agent.place is not None}
    if described.place is not None:
        places[""] = described.place
    return LintReport(
        team=described.name,
        form=described.form,
        findings=tuple(lint_team(described)),
        places=places,
        lacking=name_lacking(),
    )


def lint_team(team: TeamDescription) -> list[LintFinding]:
    """Returns all findings of a team, the severest first. Waived findings hold the reason of their waiver."""
    found = [finding for rule in RULES for finding in rule(team)]
    judged, of_waivers = apply_waivers(found, team.waived)
    unique = {msgspec.json.encode(each): each for each in (*judged, *of_waivers)}
    return sorted(
        unique.values(),
        key=lambda each: (RANKS[each.severity], each.code, each.agents, each.tools, each.reason),
    )
