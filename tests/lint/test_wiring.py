"""Wiring: who is there, who can be reached, who hands over to whom, and who finishes."""

from __future__ import annotations

import pytest

from team.described import agent, codes, findings, team


@pytest.mark.parametrize(
    ("told", "who"),
    [
        ("Hands refunds over to the billing agent.", "billing agent"),
        ("Transfers the call to SalesAgent when they want to buy.", "SalesAgent"),
        ("When done, hand off to `refund_agent`.", "refund_agent"),
        ("If it is about money, transfer to billing.", "billing"),
        ("Waits for the numbers from the pricing agent.", "pricing agent"),
        ("Asks the LegalAgent before it answers.", "LegalAgent"),
        ("Escalates to compliance when in doubt.", "compliance"),
        ("Writes the draft and passes it to the Legal Reviewer.", "Legal Reviewer"),
        ("Asks the Translator when the request is in French.", "Translator"),
    ],
)
def test_a_hand_over_to_somebody_who_is_not_there_is_told(told: str, who: str) -> None:
    [finding] = findings(team(agent("triage", told, "Triage"), agent("support", "Answers.", "Support")))

    assert (finding.code, finding.agents) == ("SW302", ("triage",))
    assert repr(who) in finding.reason and finding.sentences[0].text == told


@pytest.mark.parametrize(
    "told",
    [
        "Escalates to a human when unsure. Transfer to a person if asked. Hand over to the user.",
        "Transfer to billing for invoices and to returns for parcels.",
        "Sends the data to the vector database. Passes it to the next agent.",
        "Assigns work to the right agent. Sends results to the customer support team.",
        "Assigns the coding to the Coder.",
        "Redirects to specialists. Hands it over to them.",
        "Sends it to the Customer. Passes it to the Docker container. Assigns it to the Senior Coder.",
        "Sends the invoice to the Owner when it is due.",
    ],
)
def test_people_places_and_agents_that_are_there_are_not_missed(told: str) -> None:
    described = team(
        agent("triage", told, "Triage"),
        agent("billing", "Invoices.", "Billing"),
        agent("ReturnsDesk", "Parcels.", "Returns desk"),
        agent("code_agent", "Writes code.", "Code Agent"),
    )

    assert findings(described) == []


def test_a_name_in_the_wiring_that_no_agent_has_is_told_with_those_there() -> None:
    [finding] = findings(
        team(agent("a", "Answers."), agent("b", "Works."), flows=(("a", "b"), ("a", "c")), entry=("a",))
    )

    assert finding.reason == "the wiring names 'c', but the team has no such agent (there: a, b)"


FLOWS = (("lead", "writer"), ("lead", "editor"))


def three(writer: str, lead: str = "Starts, and gives the final answer.", editor: str = "Edits.") -> tuple:
    return (
        agent("lead", lead, "Lead"),
        agent("writer", writer, "Text Writer"),
        agent("editor", editor, "Editor"),
    )


@pytest.mark.parametrize(
    ("told", "severity"),
    [
        ("Writes, then sends the text to the editor.", "error"),
        ("Gets the remarks from the Editor and rewrites.", "error"),
        ("Waits for the editor.", "error"),
        ("Tells the Editor what to look at.", "error"),
        ("Works closely with the editor.", "warning"),
    ],
)
def test_dealing_with_a_colleague_to_whom_no_flow_leads_is_told(told: str, severity: str) -> None:
    [finding] = findings(team(*three(told), flows=FLOWS, entry=("lead",)))

    assert (finding.code, finding.agents, finding.severity) == ("SW303", ("writer", "editor"), severity)


@pytest.mark.parametrize(
    "told",
    ["Writes, then reports to the lead.", "Sends the text to the Lead.", "Does not send it to the editor.", "Knows the editor's taste.",
     "Writes like an editor."],
)  # fmt: skip
def test_answers_to_who_asked_and_mere_mentions_need_no_flow(told: str) -> None:
    assert findings(team(*three(told), flows=FLOWS, entry=("lead",))) == []


def test_without_flows_nothing_is_said_of_wiring() -> None:
    assert findings(team(*three("Sends the text to the editor."))) == []


def test_who_causes_a_colleague_to_hand_over_does_not_hand_over_itself() -> None:
    lead = "Has the writer pass the text to the editor, and gives the final answer."

    assert (
        findings(
            team(*three("Writes.", lead), flows=(("lead", "writer"), ("writer", "editor")), entry=("lead",))
        )
        == []
    )


def test_an_agent_to_whom_nothing_leads_is_unreachable_and_a_mention_leads_to_it() -> None:
    flows = (("lead", "writer"),)
    [finding] = findings(team(*three("Writes."), flows=flows, entry=("lead",)))

    assert (finding.code, finding.agents) == ("SW301", ("editor",))
    assert "SW301" not in codes(team(*three("Calls the editor."), flows=flows, entry=("lead",)))


def test_a_circle_in_which_nobody_is_told_to_finish_is_told() -> None:
    planner = agent("planner", "Plans the work and gives it to the worker.")
    worker = agent("worker", "Does the work and gives it to the planner.")
    circle = (("planner", "worker"), ("worker", "planner"))
    ends = agent("planner", "Plans the work and gives it to the worker. Says TERMINATE when all is done.")

    assert codes(team(planner, worker, flows=circle, entry=("planner",))) == {"SW304"}
    assert codes(team(ends, worker, flows=circle, entry=("planner",))) == set()
    assert codes(team(planner, worker, flows=circle[:1], entry=("planner",))) == set()


def test_two_that_can_only_pass_work_to_each_other_are_told_unless_one_ends() -> None:
    flows = (("lead", "writer"), ("writer", "editor"), ("editor", "writer"))
    [finding] = findings(team(*three("Writes."), flows=flows, entry=("lead",)))

    assert (finding.code, set(finding.agents)) == ("SW305", {"writer", "editor"})
    assert (
        codes(team(*three("Writes.", editor="Edits until it is done."), flows=flows, entry=("lead",)))
        == set()
    )


def test_who_tells_the_user_needs_a_flow_to_the_user_where_flows_name_the_user() -> None:
    flows = (("lead", "writer"), ("lead", "editor"), ("lead", "user"))
    [finding] = findings(team(*three("Presents the text to the user."), flows=flows, entry=("lead",)))

    assert (finding.code, finding.agents) == ("SW303", ("writer",))


def test_a_reviewer_reviews_somebody_else_and_not_with_the_same_words() -> None:
    a, b = agent("a", "Check each number."), agent("b", "Check each\nnumber.")

    assert codes(team(a, b, reviews=(("a", "a"),))) == {"SW306"}
    assert codes(team(a, b, reviews=(("b", "a"),))) == {"SW306"}
    assert codes(team(a, agent("b", "Check each source."), reviews=(("b", "a"),))) == set()


def test_no_flow_at_all_is_a_statement_and_no_word_of_flows_is_none() -> None:
    agents = agent("a", "Answers."), agent("b", "Works.")

    assert codes(team(*agents, flows=(), entry=("a",))) == {"SW301"}
    assert codes(team(*agents, entry=("a",))) == set()


def test_an_agent_without_any_flow_is_told_also_where_nobody_says_who_begins() -> None:
    agents = agent("a", "Answers."), agent("b", "Works."), agent("c", "Waits.")

    assert [each.agents for each in findings(team(*agents, flows=(("a", "b"),)))] == [("c",)]
