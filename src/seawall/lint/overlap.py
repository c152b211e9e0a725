"""Roles that overlap."""

from __future__ import annotations

from seawall.lint.description import TeamDescription
from seawall.lint.finding import LintFinding


def is_meaning_available() -> bool:
    """Whether overlaps are judged by meaning, and not by words alone."""
    return False


def find_overlaps(team: TeamDescription) -> list[LintFinding]:
    """Returns the pairs of agents that share a duty."""
    return []
