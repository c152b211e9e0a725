"""`seawall roles` and `seawall probe-reviewer`."""

from __future__ import annotations

import asyncio
import importlib

import pytest

from cli.desks import Desks
from seawall import Seawall

TEAMS = """
ANSWER = "Order A-1042 costs 80.00 EUR."

@tool
def look(order_id: str) -> dict:
    "Look up one order."
    return {"id": "A-1042", "amount": "80.00"}

def team(name, judge):
    clerk = Agent("clerk", model=ScriptedModel([call("look", order_id="A-1042"), say(ANSWER)], by="position",
                  price=Price(Decimal(1), Decimal(1))), tools=[look])
    return Team(name, clerk, reviewer=Agent("auditor", model=ScriptedModel(judge, price=Price(Decimal(1), Decimal(1)))))

def approve(request):
    return call("review", approved=True)

def compare(request):
    answer = request.messages[-1].content.partition("Proposed answer:")[2].partition("Results that")[0].strip()
    return call("review", approved=answer == ANSWER, feedback="A-1042 costs 80.00" if answer != ANSWER else "")

good, lazy, unused = team("good", compare), team("lazy", approve), team("unused", approve)
lone = Team(clerk)
"""


@pytest.fixture
def reviewed(desks: Desks) -> Desks:
    """Three runs of a team whose reviewer approves everything, and one of a team whose reviewer compares."""
    desks.write(TEAMS)
    app = importlib.import_module(desks.module)

    async def main() -> None:
        async with Seawall("seawall.db") as sea:
            for team in (app.lazy, app.lazy, app.lazy, app.good):
                assert (await (await sea.start(team, "What does it cost?")).outcome()).reviewed

    asyncio.run(main())
    return desks


def test_roles_shows_agents_reviewers_and_who_may_review_nothing(reviewed: Desks) -> None:
    called = reviewed("roles", "--team", "lazy", "--reviews", "3", width=200)

    assert called.exit_code == 0
    assert [line.split()[:3] for line in called.out.splitlines()[1:3]] == [
        ["auditor", "lazy", "3"],
        ["clerk", "lazy", "3"],
    ]
    assert "look 3" in called.out
    assert "auditor may review nothing: it approved all 3 answers" in called.out
    assert "A signal, not a verdict" in called.out


def test_roles_says_nothing_of_a_reviewer_after_three_reviews(reviewed: Desks) -> None:
    assert "may review nothing" not in reviewed("roles").out


def test_roles_as_json_has_the_whole_of_it(reviewed: Desks) -> None:
    found = reviewed("roles", "--app", reviewed.app("good"), "--json").document

    assert (found["runs"], found["left_out"]) == (1, 0)
    assert [each["agent"] for each in found["agents"]] == ["auditor", "clerk"]
    assert [each["reviews"] for each in found["reviewers"]] == [1]


def test_roles_of_nothing_says_so(reviewed: Desks) -> None:
    called = reviewed("roles", "--tenant", "nobody")

    assert (called.exit_code, called.out) == (0, "")
    assert "no runs" in called.err


def test_a_reviewer_that_compares_passes(reviewed: Desks) -> None:
    called = reviewed("probe-reviewer", reviewed.app("good"), "--at-least", "0.8")

    assert called.exit_code == 0
    assert called.out.splitlines()[-1].split()[:4] == ["all", "3", "3", "100%"]
    assert "4 model calls" in called.err


def test_a_reviewer_that_approves_everything_does_not_pass(reviewed: Desks) -> None:
    called = reviewed("probe-reviewer", reviewed.app("lazy"), "--last", "1", "--at-least", "0.8")

    assert called.exit_code == 1
    assert "approved: A-1042 became " in called.out
    assert "approved: added: " in called.out


def test_without_a_share_the_report_is_no_failure(reviewed: Desks) -> None:
    assert reviewed("probe-reviewer", reviewed.app("lazy"), "--kind", "id").exit_code == 0


def test_probes_as_json(reviewed: Desks) -> None:
    found = reviewed("probe-reviewer", reviewed.app("good"), "last", "--kind", "id", "--json").document

    assert found["all"]["caught"] == 1
    assert [each["kind"] for each in found["probes"]] == ["unchanged", "id"]


def test_a_limit_that_leaves_nothing_to_judge_fails(reviewed: Desks) -> None:
    called = reviewed("probe-reviewer", reviewed.app("good"), "--calls", "1", "--at-least", "0.1")

    assert called.exit_code == 1
    assert "3 probes not made" in called.err


def test_show_says_that_a_run_is_a_probe(reviewed: Desks) -> None:
    reviewed("probe-reviewer", reviewed.app("good"), "--kind", "id")

    called = reviewed("show", "last")

    assert "a probe (id)" in called.out
    assert "judged     Order A-" in called.out
    assert "Order A-1042 costs 80.00 EUR.”" in called.out  # what the model wrote
    assert "never delivered" in called.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--kind", "colour"), "one of number, date"),
        (("--usd", "none"), "--usd none"),
        (("--usd", "-1"), "--usd -1"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(reviewed: Desks, words: tuple[str, ...], told: str) -> None:
    called = reviewed("probe-reviewer", reviewed.app("good"), *words)

    assert called.exit_code == 2
    assert told in called.err


def test_a_team_that_can_not_be_probed_says_why(reviewed: Desks) -> None:
    assert "no reviewer" in reviewed("probe-reviewer", reviewed.app("lone"), "last").err
    assert "no completed run of team" in reviewed("probe-reviewer", reviewed.app("unused")).err
