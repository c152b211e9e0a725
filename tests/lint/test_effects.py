"""Effects: shared ones, unguarded ones, and deliverables with two owners."""

from __future__ import annotations

import pytest

from seawall.lint import ToolDescription
from team.described import agent, codes, findings, team


@pytest.mark.parametrize(
    "name",
    ["send_email", "PublishPost", "issue_refund", "GitHubPullRequestManager", "createTicket", "place-order", "UpdateCrmRecord"],
)  # fmt: skip
def test_a_tool_that_acts_by_its_name_has_one_owner(name: str) -> None:
    described = team(agent("a", "Writes.", "", name, "search"), agent("b", "Informs.", "", name, "search"))
    [finding] = findings(described)

    assert (finding.code, finding.agents, finding.tools) == ("SW203", ("a", "b"), (name,))
    assert "by its name" in finding.reason


@pytest.mark.parametrize(
    "name",
    ["search_web", "read_file", "SerperDevTool", "ScrapeWebsiteTool", "calculator", "PostgresReader", "get_orders", "email_search",
     "execute_code", "install_python_packages", "create_document", "order_status", "ListTickets"],
)  # fmt: skip
def test_tools_that_read_or_compute_may_be_shared(name: str) -> None:
    assert findings(team(agent("a", "Writes.", "", name), agent("b", "Informs.", "", name))) == []


def test_what_a_tool_declares_counts_more_than_its_name() -> None:
    reads = ToolDescription(name="send_preview", effect=False)
    acts = ToolDescription(name="ring", effect=True)
    described = team(agent("a", "", "", reads, acts), agent("b", "", "", reads, acts))
    [finding] = findings(described)

    assert finding.tools == ("ring",) and "by its name" not in finding.reason


def test_two_agents_that_are_told_to_do_the_same_to_the_world_are_named() -> None:
    described = team(
        agent("a", "Writes and publishes the article on the blog."),
        agent("b", "Checks it, then publishes the article on the blog."),
    )
    [finding] = findings(described)

    assert finding.code == "SW203" and "'publishes the article on the blog'" in finding.reason.replace(
        ".'", "'"
    )


def test_sending_different_things_is_no_shared_effect() -> None:
    described = team(
        agent("a", "Sends the report to the user."), agent("b", "Sends the invoice to the customer.")
    )

    assert findings(described) == []


def test_a_whole_deliverable_has_one_writer_and_an_editor_is_none() -> None:
    one, other = (
        agent("a", "Writes the full article."),
        agent("b", "Researches, then drafts the complete article."),
    )
    editor = agent("c", "Edits the article and improves its language.")

    assert codes(team(one, other, editor)) == {"SW206"}
    assert findings(team(one, editor)) == []


def test_effects_say_their_identity_and_who_approves_them() -> None:
    refund = ToolDescription(
        name="refund", effect=True, has_identity=False, has_approval=False, has_amount=True
    )
    mail = ToolDescription(name="mail", effect=True, has_identity=True, has_approval=False, has_amount=False)
    silent = ToolDescription(name="ring", effect=True)
    found = findings(team(agent("clerk", "", "", refund, mail, silent)))

    assert [(each.code, each.severity, each.tools) for each in found] == [
        ("SW204", "warning", ("refund",)),
        ("SW205", "warning", ("refund",)),
        ("SW205", "note", ("mail",)),
    ]


def test_a_tool_that_ones_authority_leaves_out_is_told_where_the_instructions_name_it() -> None:
    clerk = agent("clerk", "Calls issue_refund when the parcel is lost.", denied=("issue_refund",))
    [finding] = findings(team(clerk))

    assert (finding.code, finding.agents) == ("SW202", ("clerk",))
    assert "which its authority does not let it call" in finding.reason


@pytest.mark.parametrize(
    "told", ["Call refund when a parcel is lost.", "When a parcel is lost, use `refund`."]
)
def test_a_tool_with_a_plain_name_is_known_where_it_is_called_or_marked_as_code(told: str) -> None:
    described = team(agent("clerk", told), agent("cashier", "Books money.", "", "refund"))
    [finding] = findings(described)

    assert (finding.code, finding.agents, finding.tools) == ("SW202", ("clerk", "cashier"), ("refund",))


def test_a_plain_word_is_no_tool() -> None:
    described = team(
        agent("clerk", "Explains what a refund is."), agent("cashier", "Books money.", "", "refund")
    )

    assert findings(described) == []
