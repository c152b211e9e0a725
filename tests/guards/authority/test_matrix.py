"""The authority matrix at the gate: who may call what, hand to whom, decide what, up to which amount."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guards.authority.authority_world import Played, World, play, team_of
from runtime.deciding import decide
from seawall import Agent, Authority, Guard, Loops, May, Misused, Money, Outcome, Seawall, Team, Waiting
from seawall.core.events import RunStarted
from seawall.testing import ScriptedModel, call, say

UP_TO_50 = Authority(agents={"clerk": May(up_to={"refund": Money("50", "EUR")})})


def pay(amount: float, authority: Authority | None, **options: Any) -> Played:
    world = World()
    clerk = world.clerk([call("refund", order="1001", amount=amount), say("done")])
    return asyncio.run(play(world, team_of(clerk, authority), "Refund order 1001.", **options))


def test_without_an_authority_the_team_as_it_is_wired_holds() -> None:
    played = pay(80, None)

    assert (played.paid, played.verdicts) == ([("1001", 80.0)], [])


@pytest.mark.parametrize(("amount", "paid"), [(50.0, True), (50.01, False)])
def test_an_effect_up_to_its_amount_is_made_and_one_above_is_refused(amount: float, paid: bool) -> None:
    played = pay(amount, UP_TO_50)

    assert bool(played.paid) is paid
    assert played.verdicts == ([] if paid else [("refuse", "before")])


def test_the_refusal_names_agent_tool_limit_and_value() -> None:
    (judged,) = pay(80, UP_TO_50).judged

    assert judged.reason == (
        "agent 'clerk' may call 'refund' up to 50.00 EUR, and this is 80.00 EUR (team 'desk')"
    )
    assert (judged.limit, judged.value) == ("up_to=50.00 EUR", "80.00 EUR")


def test_an_amount_in_a_currency_without_a_limit_is_above_it() -> None:
    either = (Money("90", "USD"), Money("50", "EUR"))
    played = pay(80, Authority(agents={"clerk": May(up_to={"refund": either})}))

    assert played.paid == []
    assert played.text_of("up to 90.00 USD or 50.00 EUR")


def test_above_an_amount_a_person_may_be_asked_and_an_approval_lets_it_pass() -> None:
    asks = Authority(agents=UP_TO_50.agents, above="ask")

    waiting = pay(80, asks)
    approved = pay(80, asks, then=decide)

    assert (isinstance(waiting.rest, Waiting), waiting.paid) == (True, [])
    assert approved.paid == [("1001", 80.0)]
    assert approved.verdicts == [("hold", "before")]


def test_a_tool_that_is_not_named_is_not_called() -> None:
    played = pay(10, Authority(agents={"clerk": May(call=["find_order"])}))

    assert played.paid == []
    assert played.text_of("agent 'clerk' may not call 'refund'", "call=find_order")
    assert played.statuses == ["ok", "refused", "ok"]


def test_observed_it_only_records() -> None:
    played = pay(80, UP_TO_50, modes={"authority": "observe"})

    assert (played.paid, played.verdicts) == ([("1001", 80.0)], [("refuse", "before")])


def test_the_matrix_is_recorded_with_the_run_and_part_of_the_version() -> None:
    world = World()
    plain, narrow = team_of(world.clerk([])), team_of(world.clerk([]), UP_TO_50)
    (started, *_) = pay(10, UP_TO_50).events

    assert isinstance(started, RunStarted)
    assert started.authority == narrow.permits
    assert [(each.agent, each.team, each.up_to) for each in narrow.permits] == [
        ("clerk", "desk", {"refund": (Money("50", "EUR"),)})
    ]
    assert plain.version != narrow.version
    assert team_of(world.clerk([])).version == plain.version


def desk(authority: Authority | None, specialist: Agent | Team, entries: list[Any], **options: Any) -> Team:
    lead = Agent("desk", model=ScriptedModel(entries, name="desk"))
    return Team("desk", lead, specialists=[specialist], authority=authority, **options)


def test_a_hand_off_that_is_not_named_is_not_made() -> None:
    world = World()
    clerk = world.clerk([say("found")])
    team = desk(
        Authority(agents={"desk": May(hand_to=[])}), clerk, [call("ask_clerk", task="Look."), say("no")]
    )

    played = asyncio.run(play(world, team, "Look."))

    assert played.text_of("agent 'desk' may not hand work to 'clerk'", "hand_to=none")
    assert played.statuses == ["ok", "refused", "ok"]


def test_a_reviewer_decides_only_on_what_it_may() -> None:
    world = World()
    auditor = Agent("auditor", model=ScriptedModel([], name="auditor"))
    authority = Authority(agents={"auditor": May(decide=[])})
    team = Team("desk", world.clerk([say("all is well")]), reviewer=auditor, authority=authority)

    played = asyncio.run(play(world, team, "Look."))

    assert played.text_of("agent 'auditor' may not decide on the answer of 'clerk'")
    assert isinstance(played.rest, Outcome)
    assert played.rest.status == "refused"


def nested(outer: int | None, inner: int | None) -> Played:
    def limit(euros: int | None) -> Authority | None:
        return (euros and Authority(agents={"clerk": May(up_to={"refund": Money(euros, "EUR")})})) or None

    world = World()
    clerk = world.clerk([call("refund", order="1001", amount=80), say("done")])
    bank = Team("bank", clerk, authority=limit(inner))
    team = desk(limit(outer), bank, [call("ask_bank", task="Refund order 1001."), say("done")])
    return asyncio.run(play(world, team, "Refund order 1001."))


@pytest.mark.parametrize(
    ("outer", "inner", "refused_by"),
    [(None, 100, None), (100, 50, "bank"), (50, 100, "desk"), (50, None, "desk"), (None, 50, "bank")],
)
def test_a_nested_team_may_narrow_the_outer_matrix_and_never_widens_it(
    outer: int | None, inner: int | None, refused_by: str | None
) -> None:
    played = nested(outer, inner)

    assert bool(played.paid) is (refused_by is None)
    assert [each.reason.partition("(team ")[2] for each in played.judged] == (
        [f"'{refused_by}')"] if refused_by else []
    )


def test_a_seawall_with_guards_of_its_own_holds_a_matrix_too() -> None:
    async def main() -> Played:
        world = World()
        clerk = world.clerk([call("refund", order="1001", amount=80), say("done")])
        async with Seawall(guards=[Loops()]) as sea:
            return await play(world, team_of(clerk, UP_TO_50), "Refund order 1001.", sea=sea)

    played = asyncio.run(main())
    assert (played.paid, played.verdicts) == ([], [("refuse", "before")])


def test_no_other_guard_may_have_its_name() -> None:
    class Mine(Guard):
        name = "authority"

    with pytest.raises(Misused, match="'authority': that is one of Seawall's own"):
        Seawall(guards=[Mine()])
