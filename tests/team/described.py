"""Descriptions of teams in one line, for tests of rules."""

from __future__ import annotations

from typing import Any

from seawall.lint import AgentDescription, LintFinding, TeamDescription, ToolDescription
from seawall.lint.linting import lint_team

Flows = tuple[tuple[str, str], ...]


def agent(
    name: str, instructions: str = "", role: str = "", *tools: str | ToolDescription, **fields: Any
) -> AgentDescription:
    """An agent; a tool may be its name alone."""
    held = tuple(each if isinstance(each, ToolDescription) else ToolDescription(name=each) for each in tools)
    return AgentDescription(name=name, role=role, instructions=instructions, tools=held, **fields)


def team(*agents: AgentDescription, **fields: Any) -> TeamDescription:
    """A team of the name `desk`."""
    return TeamDescription(name="desk", agents=agents, **fields)


def findings(described: TeamDescription, *kinds: str) -> list[LintFinding]:
    """What the lint says of a team, but for overlaps; only codes that begin with one of `kinds`, if there are any."""
    found = [each for each in lint_team(described) if not each.code.startswith("SW1")]
    return [each for each in found if not kinds or each.code.startswith(kinds)]


def codes(described: TeamDescription, *kinds: str) -> set[str]:
    """The codes of `findings`."""
    return {each.code for each in findings(described, *kinds)}
