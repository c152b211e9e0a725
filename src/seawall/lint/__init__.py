"""Finds faults of a team before it is deployed: roles that overlap, authority, wiring and bounds.

- `lint(team)`: the report on a team of Seawall, or on a `TeamDescription`
- `read_team(path)`: the description of a team in a file or a folder, in CrewAI's form or the plain form
- `lint_team(description)`: the findings alone
"""

from __future__ import annotations

from seawall.lint.description import AgentDescription, TeamDescription, ToolDescription
from seawall.lint.finding import LintFinding, Sentence
from seawall.lint.linting import LintReport, lint, lint_team
from seawall.lint.reading.files import read_team

__all__ = [
    "AgentDescription",
    "LintFinding",
    "LintReport",
    "Sentence",
    "TeamDescription",
    "ToolDescription",
    "lint",
    "lint_team",
    "read_team",
]
