"""Roles that overlap."""

from __future__ import annotations

from seawall.lint.description import TeamDescription
from seawall.lint.finding import LintFinding


def name_lacking() -> str:
    """Returns what is missing to judge overlaps by meaning, too; "" if nothing is."""
    return ""


def find_overlaps(team: TeamDescription) -> list[LintFinding]:
    """Returns the pairs of agents that share a duty."""
    return []
