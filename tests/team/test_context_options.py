"""The budget of a context: who has which, and what can't be."""

from __future__ import annotations

from typing import Any

import pytest

from seawall import Agent, Context, Misused, Team, tool
from seawall.core.canonical import to_canonical_bytes
from seawall.team.read_result import READ_BYTES, make_read_tool
from seawall.testing import ScriptedModel


def agent(name: str, **options: Any) -> Agent[Any]:
    return Agent(name, model=ScriptedModel([]), **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokens": 499}, "tokens is 499; it must be at least 500"),
        ({"tokens": True}, "tokens is True; it must be a whole number"),
        ({"tokens": 0}, "tokens is 0; it must be at least 500"),
        ({"tokens": 1e4}, "it must be a whole number"),
        ({"fold_at": 0}, "fold_at is 0; it must be a share above 0, up to 1"),
        ({"fold_at": 1.1}, r"fold_at is 1\.1"),
        ({"fold_to": float("nan")}, "fold_to is nan"),
        ({"junk_at": "0.3"}, "junk_at is '0.3'"),
        ({"fold_at": 0.5, "fold_to": 0.5}, r"fold_to is 0\.5; it must be below fold_at \(0\.5\)"),
        ({"head_chars": 0}, "head_chars is 0; it must be at least 1"),
    ],
)
def test_an_option_that_can_not_be_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(Misused, match=message):
        Context(**given)


def test_an_agent_has_its_own_budget_or_that_of_the_nearest_team() -> None:
    own, inner, outer = Context(tokens=1_000), Context(tokens=2_000), Context(tokens=3_000)
    nested = Team(
        "nested", agent("lead"), specialists=[agent("own", context=own), agent("helper")], context=inner
    )
    bare = Team("bare", agent("chief"), specialists=[Team("deep", agent("deepest"), context=own)])
    team = Team("desk", agent("boss"), specialists=[nested, bare, agent("clerk")], context=outer)

    budgets = {name: member.context for name, member in team.members.items()}
    assert budgets == {
        "lead": inner,
        "own": own,
        "helper": inner,
        "chief": outer,
        "deepest": own,
        "clerk": outer,
        "boss": outer,
    }


def test_a_context_is_given_as_one() -> None:
    options: dict[str, Any] = {"context": 8_000}
    with pytest.raises(Misused, match=r"agent 'a': context is 8000; it must be Context\(…\)"):
        agent("a", **options)
    with pytest.raises(Misused, match=r"team 't': context is 8000; it must be Context\(…\)"):
        Team("t", agent("a"), **options)


def test_no_tool_of_an_agent_has_the_name_of_the_one_that_reads_again() -> None:
    @tool
    def read_result(step: str) -> str:
        """Reads."""
        return step

    with pytest.raises(Misused, match="reading results again uses the tool name 'read_result'"):
        agent("a", tools=[read_result])


def test_the_tool_that_reads_again_takes_no_more_than_is_reserved_for_it() -> None:
    size = len(to_canonical_bytes(make_read_tool().spec))

    assert READ_BYTES - 100 < size <= READ_BYTES
