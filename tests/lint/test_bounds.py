"""Bounds: deadlines, limits, contexts and tools that can't be told apart."""

from __future__ import annotations

import pytest

from seawall.lint import ToolDescription
from seawall.lint.rules.bounds import find_path
from team.described import agent, codes, findings, team

CHAIN = (("a", "b"), ("b", "c"), ("a", "c"))


def chain(*, active_s: float | None = None, limits: tuple[tuple[str, float], ...] = (), a_kind: str = ""):
    agents = (
        agent("a", "Begins.", latency_s=2, kind=a_kind),
        agent("b", "Goes on.", latency_s=3),
        agent("c", "Gives the final answer.", latency_s=4),
        agent("r", "Checks it.", latency_s=5),
    )
    return team(
        *agents,
        flows=CHAIN,
        entry=("a",),
        reviews=(("r", "c"),),
        active_s=active_s,
        limits=limits,
        bounded=True,
    )


def test_the_shortest_path_goes_by_latencies_and_includes_the_review() -> None:
    path = find_path(chain())

    assert path is not None
    assert (path.agents, path.seconds) == (("a", "c", "r"), 11)


def test_a_coordinator_answers_by_itself() -> None:
    path = find_path(chain(a_kind="coordinator"))

    assert path is not None and path.agents == ("a",)


def test_limits_without_a_deadline_are_told_and_no_limits_are_silence() -> None:
    assert codes(chain()) == {"SW401"}
    assert codes(team(agent("a", "Answers."))) == set()


def test_a_deadline_below_the_shortest_path_is_told_with_the_parts() -> None:
    [finding] = findings(chain(active_s=10))

    assert (finding.code, finding.agents) == ("SW402", ("a", "c", "r"))
    assert finding.reason == (
        "the shortest way to an answer is declared to take 11 s (a 2 s, c 4 s, r 5 s), and a run may take 10 s"
    )


def test_what_does_not_fit_beside_the_shortest_path_is_told() -> None:
    [finding] = findings(chain(active_s=13))

    assert (finding.code, finding.agents) == ("SW403", ("b",))
    assert codes(chain(active_s=14)) == set()


def test_a_tool_that_takes_longer_than_what_is_left_is_told() -> None:
    slow = ToolDescription(name="crawl", latency_s=30)
    [finding] = findings(team(agent("a", "Answers.", "", slow), entry=("a",), active_s=20))

    assert (finding.code, finding.tools) == ("SW403", ("crawl",))


@pytest.mark.parametrize(
    ("name", "value", "told"), [("model_calls", 2, True), ("model_calls", 3, False), ("handoffs", 1, False), ("tokens", 5, True)]
)  # fmt: skip
def test_limits_below_the_shortest_run_are_told(name: str, value: float, told: bool) -> None:
    assert codes(chain(active_s=60, limits=((name, value),))) == ({"SW404"} if told else set())


def test_an_agent_below_the_limit_of_depth_is_told() -> None:
    [finding] = findings(
        team(agent("a", "Answers.", depth=1), agent("b", "Works.", depth=3), limits=(("depth", 2.0),))
    )

    assert finding.reason == "'b' can only be reached in depth 3, and depth is 2"


@pytest.mark.parametrize(("tokens", "severity"), [(350, "error"), (500, "warning"), (1_000, None)])
def test_a_context_that_instructions_and_tools_fill_is_told(tokens: int, severity: str | None) -> None:
    schema = ToolDescription(name="find", schema_bytes=600)
    found = findings(team(agent("a", "x" * 400, "", schema, context_tokens=tokens)))

    assert [(each.code, each.severity) for each in found] == ([("SW405", severity)] if severity else [])


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (("get_order", ""), ("getOrder", ""), True),
        (("get_order", ""), ("get_orders", ""), True),
        (("get_order", "Returns one order."), ("get_orders", "Returns all orders of a customer."), False),
        (("find", "Searches the web for pages."), ("look", "Searches the web for pages."), True),
        (("find", "Searches."), ("look", "Searches."), True),
        (("find", "Searches the web."), ("look", "Searches the archive."), False),
        (("find", ""), ("look", ""), False),
        (("find", ""), ("find", "Other."), True),
    ],
)
def test_tools_are_told_apart_by_name_or_description(one: tuple, other: tuple, told: bool) -> None:
    tools = [ToolDescription(name=name, description=text) for name, text in (one, other)]
    described = team(agent("a", "", "", *tools), agent("b", "", "", tools[0]))

    assert codes(described) == ({"SW406"} if told else set())


def test_what_the_framework_gives_is_not_compared() -> None:
    ask = ToolDescription(name="ask_a", built_in=True)

    assert findings(team(agent("a", "", "", ask, ToolDescription(name="askA")))) == []
