"""Builds the rows of a team's authority matrix from its `Authority`, and checks them against the team."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import msgspec

from seawall.core.canonical import digest_of
from seawall.core.errors import Misused
from seawall.core.event_parts import Permit
from seawall.core.money import Money
from seawall.guards.authority import Authority, May
from seawall.team.agent import Agent
from seawall.team.tool import Tool


class Reach(NamedTuple):
    """What a team's wiring lets an agent do. The authority may only narrow it."""

    agent: Agent
    asks: Mapping[str, str]
    """The agent whose frame a hand-off opens, by the name of the agent or team that is asked."""
    reviews: Sequence[str]
    """The agents whose answers this agent reviews."""


def list_permits(team: str, authority: object, reaches: Mapping[str, Reach]) -> list[Permit]:
    """Returns the rows of a team's authority. Raises `Misused` for a name that does not exist, or a limit without use."""
    if authority is None:
        return []
    if not isinstance(authority, Authority):
        raise Misused(f"team {team!r}: authority is {authority!r}; it must be Authority(…)")
    return [_make_permit(team, authority, name, may, reaches) for name, may in authority.agents.items()]


def digest_permits(permits: Sequence[Permit]) -> str:
    """Returns a digest of the matrix."""
    return digest_of(msgspec.to_builtins(permits, str_keys=True))


def _make_permit(
    team: str, authority: Authority, name: str, may: May, reaches: Mapping[str, Reach]
) -> Permit:
    where = f"team {team!r}: its authority"
    reach = reaches.get(name)
    if reach is None:
        raise Misused(f"{where} names agent {name!r}, which is not there (there: {_list(reaches)})")
    tools = {tool.name: tool for tool in reach.agent.tools}
    where = f"{where} of agent {name!r}"
    call = _check(where, "call", may.call, tools, "tool")
    hand_to = _check(where, "hand_to", may.hand_to, reach.asks, "agent to ask")
    decide = _check(where, "decide", may.decide, reach.reviews, "agent to review")
    amounts = cast("Mapping[str, tuple[Money, ...]]", may.up_to)
    _check(where, "up_to", tuple(amounts), tools, "tool")
    for tool, limits in amounts.items():
        _check_amounts(where, tools[tool], limits)
    return Permit(
        agent=name,
        team=team,
        call=call,
        hand_to=None if hand_to is None else tuple([reach.asks[each] for each in hand_to]),
        decide=decide,
        up_to=dict(amounts),
        above=authority.above,
    )


def _check(
    where: str,
    field: str,
    names: Sequence[str] | None,
    known: Mapping[str, object] | Sequence[str],
    what: str,
) -> tuple[str, ...] | None:
    """Returns the names in a field. Raises `Misused` for a name that does not exist."""
    for name in names or ():
        if name not in known:
            raise Misused(
                f"{where}: {field} names {name!r}, and it has no such {what} (there: {_list(known)})"
            )
    return None if names is None else tuple(names)


def _check_amounts(where: str, tool: Tool, limits: Sequence[Money]) -> None:
    given = ", ".join(map(str, limits))
    if not tool.effect or tool.options.amount is None:
        raise Misused(
            f"{where}: up_to[{tool.name!r}] is {given}, and the tool declares no amount: name its parameter with "
            "Effect(amount=…)"
        )
    currency = tool.options.currency
    if currency is not None and all(each.currency != currency for each in limits):
        raise Misused(
            f"{where}: up_to[{tool.name!r}] is {given}, which is never compared with amounts in {currency}"
        )


def _list(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(names) or "none"
