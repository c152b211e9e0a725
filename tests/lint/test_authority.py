"""Authority: two who decide the same, and who decides what others may."""

from __future__ import annotations

import pytest

from team.described import agent, codes, findings, team


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Answers customers and approves refunds up to 50 euros.", "Approves refunds and complaints."),
        ("Signs off the release after testing.", "Signs off the release and informs customers."),
        ("Accepts or rejects the manuscript.", "Reads the manuscript and accepts or rejects the manuscript."),
        ("Decides whether the task is complete.", "Judges the result and decides if the task is complete."),
        ("Read the policy and decide whether the damage is covered.", "Rules whether the loss is covered."),
        ("Makes the final decision on the loan.", "Checks papers and makes the final decision on the loan."),
        ("Weighs the debate and decides: buy, hold or sell, with size.", "Has the final say: decides whether to buy, hold or sell, and how much."),
        ("Scores the shots, passes at 7 or above without errors.", "Rates the film, passes at 7 or above without errors."),
        ("Gets the user's approval for the plan.", "Confirms the plan with the user."),
        ("You approve each invoice.", "You book invoices. You approve each invoice above 100 EUR."),
        ("Picks the winning design.", "Compares them and selects the winning design."),
    ],
)  # fmt: skip
def test_two_agents_with_one_decision_are_rivals(one: str, other: str) -> None:
    [finding] = findings(team(agent("a", one), agent("b", other)))

    assert (finding.code, finding.agents) == ("SW201", ("a", "b"))
    assert [each.agent for each in finding.sentences] == ["a", "b"]
    assert all(each.text in (one, other) or each.text in other for each in finding.sentences)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Writes the report.", "Reviews the report and approves it or asks for changes."),
        ("Writes copy for each idea once the director has approved the idea.", "Approves each idea."),
        ("Writes the report. Stops when the editor approves the report.", "Approves the report."),
        ("Decides which agent gets the ticket.", "Decides which price applies."),
        ("Approves leave requests.", "Approves expense reports."),
        ("Passes texts with correct grammar at 7 or above.", "Passes texts with good style at 7 or above."),
        ("Approves refunds up to 50 euros.", "Approves refunds above 50 euros."),
        ("Confirms the booking with the hotel.", "Confirms the payment with the bank."),
        ("Confirms the plan with the user. Confirms the price with the user.", "Works."),
        ("Never approves refunds.", "Approves refunds."),
        ("Finds out who approves refunds.", "Approves refunds."),
        ("", ""),
        ("Genehmigt die Gutschrift.", "承認する。返金を承認する。"),
    ],
)
def test_makers_checkers_and_deciders_on_other_things_are_no_rivals(one: str, other: str) -> None:
    assert findings(team(agent("a", one), agent("b", other))) == []


def test_two_who_instruct_the_same_colleague_on_the_same_matter_are_rivals() -> None:
    described = team(
        agent("lead", "Tells the Web Developer the sections and their content."),
        agent("designer", "Explains to the Web Developer how each section looks."),
        agent("WebDeveloper", "Builds the site.", "Web Developer"),
    )
    [finding] = findings(described)

    assert (finding.code, finding.agents) == ("SW201", ("lead", "designer"))
    assert "'WebDeveloper'" in finding.reason and "section" in finding.reason


def test_who_decides_what_the_matrix_gives_to_others_is_told() -> None:
    described = team(
        agent("clerk", "Answers. Approves the refund if the parcel was lost."),
        agent("cashier", "Approves the refund and pays it."),
        authority=(("refund", ("cashier",)),),
    )
    reasons = [each.reason for each in findings(described, "SW201")]

    assert "'clerk' is told to decide on 'refund', which only 'cashier' may" in reasons


def test_a_tool_in_hands_to_which_the_matrix_does_not_give_it_is_told() -> None:
    described = team(
        agent("clerk", "Answers.", "", "issue_refund"), agent("cashier", "Pays."), authority=(("issue_refund", ("cashier",)),)
    )  # fmt: skip
    [finding] = findings(described)

    assert (finding.code, finding.tools) == ("SW201", ("issue_refund",))


def test_what_nobody_may_decide_is_told_of_everybody_who_does() -> None:
    described = team(agent("clerk", "Approves the refund."), authority=(("refund", ()),))

    assert [each.reason for each in findings(described)] == [
        "'clerk' is told to decide on 'refund', which no agent of the team may"
    ]


def test_an_agent_that_is_told_of_a_colleagues_tool_is_named_with_its_owner() -> None:
    clerk = "Looks up orders and calls issue_refund when the parcel is lost."
    described = team(agent("clerk", clerk, "", "find_order"), agent("cashier", "Pays.", "", "issue_refund"))
    [finding] = findings(described)

    assert (finding.code, finding.agents, finding.tools) == ("SW202", ("clerk", "cashier"), ("issue_refund",))
    assert finding.sentences[0].text == clerk and finding.sentences[0].start == 0


@pytest.mark.parametrize(
    "told", ["Never calls issue_refund itself.", "Asks the Cashier to run issue_refund.", "Answers on issues and refunds."]
)  # fmt: skip
def test_a_tool_that_is_left_to_its_owner_is_not_borrowed(told: str) -> None:
    described = team(agent("clerk", told, "", "find_order"), agent("Cashier", "Pays.", "", "issue_refund"))

    assert codes(described) == set()
