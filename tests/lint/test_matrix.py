"""The authority matrix of a team against what its agents are told: acts, amounts, hand-offs and decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seawall import Agent, Authority, Effect, May, Misused, Money, Team, tool
from seawall.lint import LintFinding, lint, read_team
from seawall.testing import ScriptedModel
from team.described import agent, findings, team


@tool
async def find_order(order: str) -> str:
    """Find an order."""
    return order


@tool(effect=Effect(unique_by=("order",), amount="amount", currency="EUR"))
async def refund(order: str, amount: float) -> str:
    """Pay money back."""
    return order


@tool(effect=Effect(unique_by=("order",)))
async def delete_account(order: str) -> str:
    """Delete an account."""
    return order


def desk(told: str, may: May | None = None, **others: Any) -> list[LintFinding]:
    """What the lint says of the matrix of a team of a desk, a clerk and an auditor."""
    tools = [find_order, refund, delete_account]
    model = ScriptedModel([])
    clerk = Agent("clerk", model=model, instructions=told, tools=tools)
    lead = Agent("desk", model=model, instructions=others.pop("lead", "Answers the user. Asks the clerk."))
    auditor = Agent("auditor", model=model, instructions="Rejects what the results do not carry.")
    rows = {"clerk": may, **others}
    authority = Authority(agents={name: row for name, row in rows.items() if row is not None})
    team = Team("desk", lead, specialists=[clerk], reviewer=auditor, authority=authority)
    return [each for each in lint(team).findings if each.code in ("SW201", "SW207")]


UP_TO_50 = May(up_to={"refund": Money("50", "EUR")})


@pytest.mark.parametrize(
    ("told", "amount"),
    [
        ("Refund up to 500 EUR by yourself.", "up to 500 EUR"),
        ("You may refund up to €500 without asking anybody.", "up to €500"),
        ("Refunds of at most 1,000 euros are yours.", "at most 1,000 euros"),
        ("Refund lost orders below 51.", "below 51"),
        ("Pays refunds under 2k EUR at once.", "under 2k EUR"),
        ("Ask the manager for refunds above 100 EUR.", "above 100 EUR"),
        ("Refunds over 1.000,00 EUR need an approval.", "over 1.000,00 EUR"),
        ("Refund up to 20 USD.", "up to 20 USD"),
    ],
)
def test_an_amount_in_instructions_above_the_matrix_is_told(told: str, amount: str) -> None:
    (finding,) = desk(told, UP_TO_50)

    assert (finding.code, finding.severity, finding.agents, finding.tools) == (
        "SW207",
        "error",
        ("clerk",),
        ("refund",),
    )
    assert finding.reason == (
        f"'clerk' is told of 'refund' {amount!r}, and its authority ends at 50.00 EUR: a call above that is refused"
    )
    assert [each.text for each in finding.sentences] == [told]
    assert finding.mend


@pytest.mark.parametrize(
    "told",
    [
        "Refund up to 50 EUR by yourself.",
        "Refunds below 20 euros are yours.",
        "Ask the manager for refunds above 50 EUR.",
        "Refund within 500 days of the order.",
        "Answers in up to 500 words.",
        "Look at up to 500 orders.",
        "Refunds above 100 EUR are rare.",
        "Refund lost orders.",
        "",
    ],
)
def test_what_the_matrix_allows_and_numbers_of_other_things_are_not(told: str) -> None:
    assert desk(told, UP_TO_50) == []


def test_without_a_matrix_no_amount_is_compared() -> None:
    assert desk("Refund up to 500 EUR by yourself.") == []


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("Finds orders. Refunds the customer if the parcel was lost.", "refund"),
        ("Find the order and delete the account of the customer.", "delete_account"),
        ("You must then delete each account that is asked for.", "delete_account"),
    ],
)
def test_an_act_whose_tool_the_matrix_leaves_out_is_told(told: str, name: str) -> None:
    (finding,) = desk(told, May(call=["find_order"]))

    assert (finding.code, finding.agents, finding.tools) == ("SW207", ("clerk",), (name,))
    assert finding.reason == (
        f"'clerk' is told to do what the tool {name!r} does, which no agent of the team may call by the authority matrix"
    )
    assert finding.sentences[0].text in told


@pytest.mark.parametrize(
    "told",
    [
        "Finds orders, and never refunds the customer.",
        "Explains how a refund is paid.",
        "Tells the user that the account was deleted.",
        "Finds the order that the refund is about.",
        "Does not delete an account.",
    ],
)
def test_who_speaks_of_an_act_is_not_told_to_do_it(told: str) -> None:
    assert desk(told, May(call=["find_order"])) == []


def test_whose_tool_it_is_stands_in_the_finding() -> None:
    described = team(
        agent("clerk", "Answers. Issues a refund to who complains.", "", "find_order"),
        agent("cashier", "Pays.", "", "issue_refund"),
        authority=(("issue_refund", ("cashier",)),),
    )
    (finding,) = findings(described, "SW207")

    assert finding.agents == ("clerk", "cashier")
    assert "which only 'cashier' may call by the authority matrix" in finding.reason


def test_who_approves_what_another_one_pays_decides_and_does_not_pay() -> None:
    described = team(
        agent("auditor", "Approves each refund that the ledger carries.", "", "find_order"),
        agent("cashier", "Pays.", "", "refund"),
        authority=(("refund", ("cashier",)),),
    )

    assert findings(described, "SW2") == []


def test_a_hand_off_that_the_matrix_leaves_out_is_told_as_such() -> None:
    found = desk("Looks.", desk=May(hand_to=[]), lead="Answers. Hands each refund to the clerk.")

    assert [(each.code, each.agents) for each in found] == [("SW207", ("desk", "clerk"))]
    assert found[0].sentences[0].text == "Hands each refund to the clerk."


def test_a_reviewer_that_may_not_decide_is_told() -> None:
    found = desk("Looks.", auditor=May(decide=[]))

    assert [(each.code, each.agents) for each in found] == [("SW207", ("auditor", "desk"))]
    assert "reviews 'desk', but its authority does not let it decide" in found[0].reason


def test_the_plain_form_has_amounts_too(tmp_path: Path) -> None:
    file = tmp_path / "team.yaml"
    file.write_text(
        'agents:\n  clerk:\n    instructions: "Refunds up to 500 EUR."\n    tools: [refund]\n    up_to: {refund: 50 EUR}\n'
    )

    assert [each.code for each in findings(read_team(file), "SW207")] == ["SW207"]


def test_an_amount_that_is_none_is_misused(tmp_path: Path) -> None:
    file = tmp_path / "team.yaml"
    file.write_text("agents:\n  clerk:\n    instructions: Refunds.\n    up_to: {refund: much}\n")

    with pytest.raises(Misused, match="it must be an amount such as `50 EUR`"):
        read_team(file)
