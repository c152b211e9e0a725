"""Teams that can't be: each is refused when it is defined, by the name of what is wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guards.verdicts import Says
from seawall import Agent, Guard, Misused, Seawall, Team, tool
from seawall.testing import ScriptedModel
from team.play import play, played

M = ScriptedModel([])


@tool
def look() -> str:
    """Look."""
    return ""


def agent(name: str, **options: Any) -> Agent:
    return Agent(name, model=M, **options)


WRONG: list[tuple[Any, str]] = [
    (lambda: Team("t"), "'t' has no coordinator"),
    (lambda: Team("t", agent("a"), specialists=[agent("a")]), "two agents of the name 'a'"),
    (lambda: Team("t", agent("a"), specialists=[agent("b"), agent("b")]), "two agents of the name 'b'"),
    (lambda: Team("t", agent("a"), reviewer=agent("a")), "two agents of the name 'a'"),
    (
        lambda: Team("t", agent("a"), specialists=[Team("u", agent("b"), specialists=[agent("a")])]),
        "two agents of the name 'a'",
    ),
    (
        lambda: Team("t", agent("a", asks=["nobody"])),
        "'a' asks 'nobody', who is not in team 't' (there: nobody)",
    ),
    (
        lambda: Team("t", agent("a"), specialists=[agent("b", asks=["c"])]),
        "'b' asks 'c', who is not in team 't' (there: b)",
    ),
    (lambda: agent("no name"), "'no name' is not an identifier"),
    (lambda: agent(""), "'' is not an identifier"),
    (lambda: agent("a", tools=[look, look]), "two tools of the name 'look'"),
    (lambda: agent("a", max_output_tokens=0), "max_output_tokens is 0"),
    (lambda: agent("a", retries=-1), "retries is -1"),
    (lambda: Team("t", agent("a"), review_rounds=0), "review_rounds is 0"),
    (lambda: Team("t", agent("a"), history="all"), "history is 'all'"),  # pyright: ignore[reportArgumentType] -- what is tested
    (lambda: Team("t", agent("a"), reviewer=agent("b", output=int)), "'b' reviews"),
    (lambda: agent("a", output=object()), "has no schema"),
    (lambda: Team("a\ud800", agent("a")), "team is 'a\\ud800'"),
    (
        lambda: Team("t", agent("a"), specialists=[Team("no name", agent("b"))]),
        "team 'no name' is a specialist",
    ),
]


@pytest.mark.parametrize(("make", "named"), WRONG, ids=[named for _, named in WRONG])
def test_what_is_wrong_is_named(make: Any, named: str) -> None:
    with pytest.raises(Misused) as misused:
        make()

    assert named in str(misused.value)


def test_a_reviewer_can_not_review_itself() -> None:
    one = agent("a")

    with pytest.raises(Misused, match="'a'"):
        Team("t", one, reviewer=one)


def test_a_tool_can_not_have_the_name_of_a_hand_off_or_of_the_answer() -> None:
    @tool(name="ask_b")
    def ask() -> str:
        """Ask."""
        return ""

    @tool(name="final_answer")
    def answer() -> str:
        """Answer."""
        return ""

    with pytest.raises(Misused, match="'ask_b'"):
        Team("t", agent("a", tools=[ask]), specialists=[agent("b")])
    with pytest.raises(Misused, match="'final_answer'"):
        agent("a", tools=[answer], output=int)


def test_a_reviewer_s_tool_can_not_have_the_name_of_its_decision() -> None:
    @tool(name="review")
    def review() -> str:
        """Review."""
        return ""

    with pytest.raises(Misused, match="'review'"):
        Team("t", agent("a"), reviewer=agent("b", tools=[review]))


@pytest.mark.parametrize("name", ["budget", "deadline"])
def test_a_guard_can_not_have_a_name_of_seawall_s_own(name: str) -> None:
    with pytest.raises(Misused, match=name):
        play(Team(agent("a"), guards=[Says(None, name=name)]))


def test_two_guards_of_one_name_at_one_place_are_misuse() -> None:
    with pytest.raises(Misused, match="'says'"):
        play(Team(agent("a"), guards=[Says(None), Says(None)]))


def test_a_team_s_guard_takes_the_place_of_the_host_s() -> None:
    from seawall import Halt

    run = play(
        Team(Agent("a", model=ScriptedModel(["hi"])), guards=[Says(None, of="")]),
        guards=[Says(Halt("no"), of="model")],
    )

    assert run.outcome.status == "completed"


def test_a_mode_that_is_none_is_named_with_its_guard() -> None:
    class Loud(Guard):
        name = "loud"
        mode = "shout"  # pyright: ignore[reportAssignmentType] -- what is tested

    for host, options in [
        ({"guards": [Loud()]}, {}),
        ({"modes": {"loops": "shout"}}, {}),
        ({}, {"modes": {"loops": "shout"}}),
    ]:
        with pytest.raises(Misused, match="'shout'"):
            asyncio.run(played(Team(agent("a")), options=options, **host))


@pytest.mark.parametrize("field", ["session", "tenant", "principal", "request_id"])
def test_text_that_has_no_utf_8_is_misuse_where_it_is_a_name(field: str) -> None:
    async def main() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match=field):
                await sea.start(Team(agent("a")), "go", **{field: "a\ud800"})  # pyright: ignore[reportArgumentType] -- each is a text
            assert await sea.journal.runs() == []

    asyncio.run(main())
