"""`lint` on teams of Seawall: what it sees of them, waivers, and the order of what it says."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from seawall import Agent, Context, Effect, Limits, Misused, Money, Planner, Team, above, tool
from seawall.lint import lint, lint_team
from seawall.lint.codes import CODES
from seawall.lint.linting import RANKS
from seawall.lint.reading.seawall_team import describe_team
from seawall.testing import ScriptedModel
from team.described import agent, team


@tool
def find_order(order_id: str) -> str:
    """Looks up one order."""
    return order_id


@tool(effect=True)
def send_email(to: str) -> str:
    """Sends an e-mail."""
    return to


@tool(effect=Effect(unique_by=("order_id",), amount="amount", approve=above(Money(100, "EUR"))))
def refund(order_id: str, amount: Money) -> str:
    """Pays back."""
    return order_id


def make(name: str, *tools: Any, **options: Any) -> Agent:
    return Agent(name, f"Role of {name}", model=ScriptedModel([]), tools=tools, **options)


def desk(**options: Any) -> Team:
    inner = Team("back", make("cashier", refund), specialists=[make("bookkeeper")])
    return Team("desk", make("clerk", find_order), specialists=[inner], reviewer=make("checker"), **options)


def test_a_description_has_every_agent_with_its_flows_depth_and_effects() -> None:
    described = describe_team(
        desk(planner=Planner(priors={"model:clerk": 2, "agent:checker": 3, "tool:refund": 4}))
    )

    assert described.flows == (("cashier", "bookkeeper"), ("clerk", "cashier"))
    assert (described.entry, described.reviews) == (("clerk",), (("checker", "clerk"),))
    assert {each.name: (each.kind, each.depth, each.latency_s) for each in described.agents} == {
        "cashier": ("coordinator", 2, None),
        "bookkeeper": ("specialist", 3, None),
        "clerk": ("coordinator", 1, 2),
        "checker": ("reviewer", 2, 3),
    }
    [pays] = [each for agent in described.agents for each in agent.tools if each.name == "refund"]
    assert (pays.effect, pays.has_identity, pays.has_approval, pays.has_amount, pays.latency_s) == (
        True,
        True,
        True,
        True,
        4,
    )


def test_a_role_is_read_without_the_words_that_begin_every_prompt() -> None:
    """`Agent(name, role)` is told "You are NAME." before its role, which is no duty of anybody."""
    described = describe_team(Team(Agent("web_researcher", "Finds facts.", model=ScriptedModel([]))))

    assert described.agents[0].instructions == "Finds facts."


def test_a_well_made_team_has_no_findings() -> None:
    assert lint(desk()).findings == ()


def test_an_agent_is_a_team_of_one_and_anything_else_is_misused() -> None:
    assert lint(make("clerk", find_order)).findings == ()
    with pytest.raises(Misused, match="'clerk' is not a Team, an Agent or a TeamDescription"):
        lint(cast("Any", "clerk"))


def test_effects_without_identity_and_approval_are_told_unless_a_guard_may_hold_them() -> None:
    found = lint(make("clerk", send_email)).findings

    assert [(each.code, each.severity) for each in found] == [("SW204", "warning"), ("SW205", "note")]


def test_a_deadline_below_declared_latencies_and_a_small_context_are_told() -> None:
    late = desk(limits=Limits(active_s=4), planner=Planner(priors={"model:clerk": 2, "agent:checker": 3}))
    small = Team(make("clerk", find_order, instructions="x" * 2_000, context=Context(tokens=600)))

    assert [each.code for each in lint(late).findings] == ["SW402"]
    assert [each.code for each in lint(small).findings] == ["SW405"]


def test_a_nested_agent_below_the_limit_of_depth_and_too_few_model_calls_are_told() -> None:
    found = lint(desk(limits=Limits(depth=2, model_calls=1))).findings

    assert [(each.code, each.agents) for each in found] == [
        ("SW404", ("bookkeeper",)),
        ("SW404", ("clerk", "checker")),
    ]


def test_a_waived_finding_is_listed_with_its_reason_and_nothing_else_is_waived() -> None:
    waive = {"SW204 send_email": "the relay drops\nduplicates"}
    report = lint(Team("post", make("clerk", send_email), waive=waive))

    assert [(each.code, each.waived) for each in report.findings] == [
        ("SW204", "the relay drops duplicates"),
        ("SW205", ""),
    ]
    assert [each.code for each in report.waived] == ["SW204"] and [each.code for each in report.open] == [
        "SW205"
    ]
    assert repr(report) == "<LintReport of post: 1 findings, 1 waived>"


@pytest.mark.parametrize(
    ("waive", "said"),
    [
        (
            {"SW204 send_email": " "},
            ("SW002", "the waiver 'SW204 send_email' has no reason, so it waives nothing"),
        ),
        (
            {"SW204 refund": "x"},
            ("SW001", "the waiver 'SW204 refund' waives nothing: it matches no finding"),
        ),
        ({"SW999": "x"}, ("SW001", "the waiver 'SW999' names no code (there are SW001 to SW406)")),
        ({"": "x"}, ("SW001", "the waiver '' names no code (there are SW001 to SW406)")),
    ],
)
def test_a_waiver_without_reason_or_use_is_a_finding_itself(
    waive: dict[str, str], said: tuple[str, str]
) -> None:
    report = lint(Team("post", make("clerk", send_email), waive=waive))

    assert said in [(each.code, each.reason) for each in report.findings]
    assert report.waived == ()


def test_a_nested_teams_waivers_count() -> None:
    inner = Team(
        "back", make("cashier", send_email), waive={"SW204": "a relay", "SW205 cashier": "newsletters"}
    )

    assert lint(Team("desk", make("clerk"), specialists=[inner])).open == ()


@pytest.mark.parametrize("waive", [["SW204"], {"SW204": 1}, {1: "x"}, "SW204"])
def test_waivers_map_text_to_text(waive: Any) -> None:
    with pytest.raises(Misused, match="waive"):
        Team("post", make("clerk"), waive=waive)


def test_findings_come_in_one_order_whatever_the_order_of_the_agents() -> None:
    agents = [
        agent("a", "Approves refunds. Transfers to SalesAgent.", "", "send_email"),
        agent("b", "Approves refunds. Sends work to c.", "", "send_email"),
        agent("c", "Writes the full article."),
        agent("d", "Writes the whole article."),
    ]
    rng = random.Random(3)
    first = lint_team(team(*agents))
    for _ in range(5):
        rng.shuffle(agents)
        again = lint_team(team(*agents))
        assert lint_team(team(*agents)) == again
        assert sorted((each.code, sorted(each.agents)) for each in again) == sorted(
            (each.code, sorted(each.agents)) for each in first
        )
    assert [RANKS[each.severity] for each in first] == sorted(RANKS[each.severity] for each in first)


def test_huge_instructions_and_teams_end() -> None:
    words = (
        "Approves the refund, sends it to the Web Developer and waits for agent_7 of the billing agent; "
        * 1_000
    )
    agents = [agent(f"agent_{number}", words, "Web Developer") for number in range(12)]

    assert lint_team(team(*agents, flows=(("agent_0", "agent_1"),), entry=("agent_0",)))


def test_every_finding_has_a_code_that_is_explained() -> None:
    for code in CODES.values():
        assert code.meaning.endswith(".") and code.mend.endswith(".") and code.example
