"""Reads a team of Seawall into a description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from seawall.core.canonical import to_canonical_bytes
from seawall.core.errors import Misused
from seawall.core.limits import Limits
from seawall.lint.description import AgentDescription, SourcePlace, TeamDescription, ToolDescription
from seawall.lint.reading.places import find_places
from seawall.models import prices
from seawall.models.providers import find_base_url
from seawall.team.agent import Agent
from seawall.team.team import Member, Team
from seawall.team.tool import Tool

_COUNTED = ("model_calls", "tool_calls", "handoffs", "depth", "parallel", "tokens")


def describe_team(team: Team[Any] | Agent[Any], source: Path | None = None) -> TeamDescription:
    """Returns the description of a team; `source` is the file that defines it. Raises `Misused` for any other object."""
    if isinstance(cast("object", team), Agent):
        team = Team(cast("Agent[Any]", team))
    if not isinstance(cast("object", team), Team):
        raise Misused(f"lint: {team!r} is not a Team, an Agent or a TeamDescription")
    team = cast("Team[Any]", team)
    depths = _measure_depths(team)
    places = {} if source is None else find_places(source, list(team.members))
    teams = [team, *team.list_nested()]
    return TeamDescription(
        name=team.name,
        agents=tuple(
            _describe_member(member, team, teams, depths.get(name), places.get(name))
            for name, member in team.members.items()
        ),
        flows=tuple(
            (name, target)
            for name, member in team.members.items()
            for target in member.targets.values()
            if _may_hand_to(team, name, target)
        ),
        entry=(team.coordinator.name,),
        reviews=tuple(
            (member.reviewer, name) for name, member in team.members.items() if member.reviewer is not None
        ),
        active_s=team.limits.active_s,
        limits=tuple(_list_limits(team.limits)),
        authority=tuple(_list_owners(team)),
        bounded=True,
        waived=tuple(item for each in teams for item in each.waive.items()),
        form="Seawall",
        place=None if source is None else SourcePlace(str(source)),
    )


def _list_permits(team: Team[Any], agent: str) -> list[Any]:
    """Returns the rows of the team's authority matrix about an agent; [] if the team has no matrix."""
    return [permit for permit in team.permits if permit.agent == agent]


def _may_hand_to(team: Team[Any], agent: str, target: str) -> bool:
    return all(permit.hand_to is None or target in permit.hand_to for permit in _list_permits(team, agent))


def _may_call(team: Team[Any], agent: str, tool: str) -> bool:
    return all(permit.call is None or tool in permit.call for permit in _list_permits(team, agent))


def _list_owners(team: Team[Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields each tool that the matrix restricts, with the agents that may call it."""
    holders = {
        tool.name: [name for name, member in team.members.items() if tool in member.agent.tools]
        for member in team.members.values()
        for tool in member.agent.tools
    }
    said = {permit.agent for permit in team.permits if permit.call is not None}
    for tool, names in holders.items():
        if said.intersection(names):
            yield tool, tuple(name for name in names if _may_call(team, name, tool))


def _list_limits(limits: Limits) -> Iterator[tuple[str, float]]:
    for name in _COUNTED:
        value = getattr(limits, name)
        if value is not None:
            yield name, float(value)


def _measure_depths(team: Team[Any]) -> dict[str, int]:
    """Returns the least depth of each agent's frame, by the agent's name."""
    depths = {team.coordinator.name: 1}
    waiting = [team.coordinator.name]
    for name in waiting:
        member = team.members[name]
        below = [*member.targets.values(), *([member.reviewer] if member.reviewer else [])]
        for each in below:
            if each not in depths:
                depths[each] = depths[name] + 1
                waiting.append(each)
    return depths


def _describe_member(
    member: Member, team: Team[Any], teams: list[Team[Any]], depth: int | None, place: SourcePlace | None
) -> AgentDescription:
    agent = member.agent
    priors: Mapping[str, float] = {} if team.planner is None else team.planner.priors
    # The entry's shortest way is one reply. For other agents, the latency of a whole hand-off may be declared.
    is_entry = agent is team.coordinator
    kinds = (f"model:{agent.name}",) if is_entry else (f"agent:{agent.name}", f"model:{agent.name}")
    guarded = any(each.guards for each in teams)
    permits = _list_permits(team, agent.name)
    denied = [each.name for each in agent.tools if not _may_call(team, agent.name, each.name)]
    reviewed = [name for name, each in team.members.items() if each.reviewer == agent.name]
    tools = [
        _describe_tool(
            each, priors.get(f"tool:{each.name}"), guarded or any(each.name in row.up_to for row in permits)
        )
        for each in agent.tools
        if each.name not in denied
    ]
    own = {each.name for each in agent.tools}
    for spec in member.specs:  # tools for hand-offs, memory and the answer take room in the context, too
        if spec.name not in own:
            size = len(to_canonical_bytes(spec))
            tools.append(ToolDescription(name=spec.name, schema_bytes=size, effect=False, built_in=True))
    return AgentDescription(
        name=agent.name,
        role=agent.role,
        instructions=agent.instructions.removeprefix(f"You are {agent.name}. "),
        tools=tuple(tools),
        kind=_find_kind(agent, teams),
        denied=tuple(denied),
        denied_to=tuple(
            target for target in member.targets.values() if not _may_hand_to(team, agent.name, target)
        ),
        undecided=tuple(
            name
            for name in reviewed
            if any(row.decide is not None and name not in row.decide for row in permits)
        ),
        up_to=tuple((tool, limits) for row in permits for tool, limits in row.up_to.items()),
        context_tokens=_find_budget(member),
        latency_s=next((priors[kind] for kind in kinds if kind in priors), None),
        depth=depth,
        place=place,
    )


def _find_kind(agent: Agent[Any], teams: list[Team[Any]]) -> str:
    for each in teams:
        if agent is each.coordinator:
            return "coordinator"
        if agent is each.reviewer:
            return "reviewer"
        if agent is each.fallback:
            return "fallback"
    return "specialist"


def _describe_tool(tool: Tool, latency_s: float | None, guarded: bool) -> ToolDescription:
    """Returns the declarations of a tool. `guarded`: guards or an authority may hold its calls; then `has_approval` is None
    unless an approval is declared.
    """
    options = tool.options
    asks = (
        bool(options.rules) or options.confirm or options.per_run is not None or options.per_day is not None
    )
    return ToolDescription(
        name=tool.name,
        description=tool.spec.description,
        schema_bytes=len(to_canonical_bytes(tool.spec)),
        effect=tool.effect,
        has_identity=(bool(options.unique_by) or tool.idempotent) if tool.effect else None,
        has_approval=None if not tool.effect or (guarded and not asks) else asks,
        has_amount=options.amount is not None if tool.effect else None,
        latency_s=latency_s,
    )


def _find_budget(member: Member) -> int | None:
    """Returns the tokens of an agent's context, or its model's window minus the reply; None if they are not known."""
    if member.context.tokens is not None:
        return member.context.tokens
    model = member.agent.model
    window = (
        prices.find_window(model, find_base_url(model))
        if isinstance(model, str)
        else getattr(model, "context_window", None)
    )
    return window - member.agent.max_output_tokens if isinstance(window, int) else None
