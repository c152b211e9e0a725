"""Teams with their labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seawall.lint.comparison import Pair, list_duties, measure_pairs
from seawall.lint.description import AgentDescription, TeamDescription, ToolDescription
from seawall.lint.embedding import Meaning

OWN = Path(__file__).parent.parent / "lint_teams.jsonl"
"""Teams of our own: written and labelled by the rules of the public ones, before anything was chosen."""
LEVELS = {"none": 0, "partial": 1, "strong": 2}


class BadTeams(Exception):
    """A file of teams that is not there, or that is no such file."""


@dataclass(frozen=True, kw_only=True)
class LabelledTeam:
    """One team, the overlap of each two agents, and its defects."""

    description: TeamDescription
    overlap: dict[frozenset[str], int]
    """By the names of two agents: 0 none, 1 partial, 2 strong."""
    defects: tuple[tuple[str, frozenset[str]], ...]
    """Kind and agents."""
    checked: bool
    """Whether the wiring was known to who labelled it."""


@dataclass(frozen=True, kw_only=True)
class LabelledPair:
    """Two agents of a team, measured."""

    team: str
    pair: Pair
    label: int


def load(path: Path) -> list[LabelledTeam]:
    """Reads a file of teams, one JSON object a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [_read(json.loads(line)) for line in lines if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadTeams(f"{path} can't be read as labelled teams: {type(error).__name__}: {error}") from error


def _read(row: dict[str, Any]) -> LabelledTeam:
    flows, entry = row.get("flows"), row.get("entry")
    return LabelledTeam(
        description=TeamDescription(
            name=row["id"],
            agents=tuple(
                AgentDescription(
                    name=agent["name"],
                    role=agent["role"],
                    instructions=agent["instructions"],
                    tools=tuple(ToolDescription(name=name) for name in agent["tools"]),
                )
                for agent in row["agents"]
            ),
            flows=None if flows is None else tuple((giver, taker) for giver, taker in flows),
            entry=None if entry is None else tuple(entry),
        ),
        overlap={frozenset((pair["a"], pair["b"])): LEVELS[pair["overlap"]] for pair in row["pairs"]},
        defects=tuple((each["type"], frozenset(each["agents"])) for each in row["defects"]),
        checked=bool(row.get("wiring_checked")),
    )


def measure(teams: Sequence[LabelledTeam], meaning: Meaning | None) -> list[list[LabelledPair]]:
    """The labelled pairs of each team, not yet centred."""
    return [_measure(team, meaning) for team in teams]


def _measure(team: LabelledTeam, meaning: Meaning | None) -> list[LabelledPair]:
    described = team.description
    space = (
        meaning.place([[duty.text for duty in own] for own in list_duties(described)]) if meaning else None
    )
    return [
        LabelledPair(team=described.name, pair=pair, label=team.overlap[frozenset((pair.first, pair.second))])
        for pair in measure_pairs(described, space)
    ]
