"""What an authority may say when a team is defined: names that exist, and amounts that are compared with something."""

from __future__ import annotations

from typing import Any

import pytest

from seawall import Agent, Authority, Effect, May, Misused, Money, Team, tool
from seawall.testing import ScriptedModel

UNTYPED_MAY: Any = May
UNTYPED_AUTHORITY: Any = Authority
"""They are given what a type checker would not let pass."""
EUR, USD = Money("50", "EUR"), Money("50", "USD")


@tool
async def look(order: str) -> str:
    """Look."""
    return order


@tool(effect=Effect(amount="amount", currency="EUR"))
async def pay(order: str, amount: float) -> str:
    """Pay."""
    return order


def agent(name: str, *tools: Any) -> Agent:
    return Agent(name, model=ScriptedModel([], name=name), tools=list(tools))


def team(agents: Any, **options: Any) -> Team:
    clerk, archive = agent("clerk", look, pay), Team("archive", agent("archivist", look))
    authority = Authority(agents=agents, **options)
    return Team(
        "desk", agent("lead"), specialists=[clerk, archive], reviewer=agent("auditor"), authority=authority
    )


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        (
            {"nobody": May()},
            "names agent 'nobody', which is not there (there: archivist, clerk, lead, auditor)",
        ),
        ({"clerk": May(call=["find"])}, "call names 'find', and it has no such tool (there: look, pay)"),
        ({"lead": May(hand_to=["bank"])}, "hand_to names 'bank', and it has no such agent to ask"),
        ({"auditor": May(decide=["clerk"])}, "decide names 'clerk', and it has no such agent to review"),
        ({"clerk": May(up_to={"find": EUR})}, "up_to names 'find', and it has no such tool"),
        ({"clerk": May(up_to={"look": EUR})}, "up_to['look'] is 50.00 EUR, and the tool declares no amount"),
        ({"clerk": May(up_to={"pay": USD})}, "is 50.00 USD, which is never compared with amounts in EUR"),
    ],
)
def test_a_name_or_a_limit_without_use_is_misused(agents: Any, said: str) -> None:
    with pytest.raises(Misused) as error:
        team(agents)

    assert said in str(error.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: UNTYPED_MAY(call="look"), "call is 'look'; it must be a list of names"),
        (lambda: UNTYPED_MAY(decide=[1]), "decide has 1, which is not a name"),
        (lambda: UNTYPED_MAY(up_to={"pay": 50}), "up_to['pay'] is 50; it must be Money(…)"),
        (lambda: UNTYPED_MAY(up_to={"pay": [EUR, EUR]}), "two amounts in EUR"),
        (lambda: UNTYPED_MAY(up_to=[EUR]), "it must be {'tool': Money(…)}"),
        (lambda: UNTYPED_AUTHORITY(agents={"clerk": 1}), "agents['clerk'] is 1; it must be May(…)"),
        (lambda: UNTYPED_AUTHORITY(agents=[]), "agents is []"),
        (lambda: UNTYPED_AUTHORITY(agents={}, above="hold"), "above is 'hold'; it is 'refuse' or 'ask'"),
    ],
)
def test_a_value_of_another_type_is_misused(make: Any, said: str) -> None:
    with pytest.raises(Misused) as error:
        make()

    assert said in str(error.value)


def test_something_else_than_an_authority_is_misused() -> None:
    matrix: Any = {"clerk": May()}
    with pytest.raises(Misused, match="authority is"):
        Team(agent("clerk"), authority=matrix)


def test_the_rows_of_the_matrix_name_agents_also_of_nested_teams() -> None:
    permits = team(
        {"lead": May(hand_to=["archive"]), "archivist": May(call=[]), "auditor": May(decide=["lead"])}
    ).permits

    lead, archivist, auditor = permits
    assert (lead.hand_to, archivist.call, auditor.decide) == (("archivist",), (), ("lead",))
    assert {each.team for each in permits} == {"desk"}


def test_a_team_without_an_authority_has_no_rows() -> None:
    assert Team(agent("clerk", look)).permits == ()
