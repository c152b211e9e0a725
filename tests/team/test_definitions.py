"""Teams that are not valid: each raises an error when it is defined, and the error names what is wrong."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from guards.verdicts import Says
from seawall import Agent, Guard, Limits, Misused, Price, Refused, Seawall, Team, tool
from seawall.team.team import as_team
from seawall.testing import ScriptedModel
from team.play import play, played

M = ScriptedModel([])


@tool
def look() -> str:
    """Look."""
    return ""


def agent(name: str, **options: Any) -> Agent:
    return Agent(name, model=M, **options)


an_agent: Any = Agent
a_team: Any = Team
a_host: Any = Seawall


def nested(**options: Any) -> Team:
    return Team("outer", agent("boss"), specialists=[Team("inner", agent("lead"), **options)])


WRONG: list[tuple[Any, str]] = [
    (lambda: agent("a", max_output_tokens=10**9), "max_output_tokens is 1000000000"),
    (lambda: agent("a", max_output_tokens=True), "max_output_tokens is True"),
    (lambda: agent("a", retries=False), "retries is False"),
    (lambda: agent("a", optional="no"), "optional is 'no'"),
    (lambda: agent("a", temperature="hot"), "temperature is 'hot'"),
    (lambda: agent("a", temperature=float("nan")), "temperature is nan"),
    (lambda: agent("a", settings=["seed"]), "settings is ['seed']"),
    (
        lambda: an_agent("a", model="openai:m", settings={"max_tokens": 5}),
        "settings['max_tokens'] has no use: give Agent(max_output_tokens=…)",
    ),
    (
        lambda: an_agent("a", model="openai:m", settings={"timeout": 5}),
        "settings['timeout'] has no use: give Limits(active_s=…)",
    ),
    (
        lambda: an_agent("a", model="openai:m", settings={"max_retries": 5}),
        "settings['max_retries'] has no use: give Agent(retries=…)",
    ),
    (lambda: Team("t", agent("a"), review_rounds=3), "review_rounds is 3, and the team has no reviewer"),
    (lambda: a_team("t", agent("a"), role=5), "role is 5"),
    (lambda: Team("t", agent("a"), limits=Limits(tool_calls=10**400)), "it must be at most"),
    (lambda: Team("t", agent("a"), limits=Limits(active_s=1e308)), "it must be at most"),
    (lambda: nested(review_rounds=5), "review_rounds is 5, and the team has no reviewer"),
    (lambda: nested(limits=Limits(tokens=-1)), "tokens is -1"),
    (lambda: nested(fallback=agent("f", asks=["x"])), "fallback 'f' may not ask other agents"),
    (lambda: nested(reviewer=agent("r", optional=True)), "reviewer 'r' is optional"),
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
        "'a' asks 'nobody', which is not in team 't' (there: nobody)",
    ),
    (
        lambda: Team("t", agent("a"), specialists=[agent("b", asks=["c"])]),
        "'b' asks 'c', which is not in team 't' (there: b)",
    ),
    (lambda: agent("no name"), "'no name' is not an identifier"),
    (lambda: agent(""), "'' is not an identifier"),
    (lambda: agent("a", tools=[look, look]), "two tools of the name 'look'"),
    (lambda: agent("a", max_output_tokens=0), "max_output_tokens is 0"),
    (lambda: agent("a", retries=-1), "retries is -1"),
    (lambda: Team("t", agent("a"), review_rounds=0), "review_rounds is 0"),
    (lambda: Team("t", agent("a"), history="all"), "history is 'all'"),  # pyright: ignore[reportArgumentType] -- what is tested
    (lambda: Team("t", agent("a"), reviewer=agent("b", output=int)), "'b' is a reviewer"),
    (lambda: agent("a", output=object()), "has no schema"),
    (lambda: an_agent(5, model=M), "agent name 5"),
    (lambda: an_agent("a", model=None), "model is None"),
    (lambda: an_agent("a", 5, model=M), "role is 5"),
    (lambda: an_agent("a", model=M, tools=look), "tools is <Tool look"),
    (lambda: an_agent("a", model=M, asks="b"), "asks is 'b'"),
    (lambda: an_agent("a", model=M, retries="2"), "retries is '2'"),
    (lambda: a_team("t", "a"), "coordinator is 'a'"),
    (lambda: a_team(5, agent("a")), "team is 5"),
    (lambda: a_team("t", agent("a"), reviewer="r"), "reviewer is 'r'"),
    (
        lambda: a_team("t", agent("a"), specialists=["x"]),
        "specialists has 'x' in it, which is not an Agent or a Team",
    ),
    (lambda: a_team("t", agent("a"), specialists=agent("b")), "specialists is <Agent b"),
    (lambda: a_team("t", agent("a"), limits={"active_s": 5}), "limits is {'active_s': 5}"),
    (lambda: a_team("t", agent("a"), guards=Says(None)), "guards is <"),
    (lambda: a_team("t", agent("a"), guards=[5]), "guards has 5 in it, which is not a Guard"),
    (lambda: a_team("t", agent("a"), review_rounds="2"), "review_rounds is '2'"),
    (lambda: a_host(guards=Says(None)), "guards is <"),
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


@pytest.mark.parametrize("name", ["limits", "budget", "deadline"])
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


@pytest.mark.parametrize(
    "field", ["session", "tenant", "principal", "request_id", "app", "limits", "request"]
)
def test_what_is_no_text_or_no_limits_is_misuse_where_a_run_starts(field: str) -> None:
    async def main() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match=f"{field} is 5"):
                await sea.start(Team(agent("a")), **{"request": "go", field: 5})
            with pytest.raises(Misused, match="'desk' is not a Team or an Agent"):
                await sea.start("desk", "go")  # pyright: ignore[reportArgumentType] -- what is tested
            assert await sea.journal.runs() == []

    asyncio.run(main())


def test_an_agent_alone_is_a_team_of_one_whose_runs_share_their_threads() -> None:
    async def main() -> None:
        one = Agent("a", model=ScriptedModel(["Hi.", "Hello."]))
        async with Seawall() as sea:
            first = await sea.start(one, "go")
            assert (await first.outcome()).answer == "Hi."
            assert (await (await sea.start(one, "go")).outcome()).answer == "Hello."
            assert [row.team for row in await sea.journal.runs()] == ["a", "a"]
            assert (await sea.replay(first.id, one)).differences == ()

        assert as_team(one) is as_team(one)

    asyncio.run(main())


def test_a_fork_that_can_not_go_on_leaves_no_run() -> None:
    async def main() -> None:
        team = Team(Agent("a", model=ScriptedModel(["Hi."])), limits=Limits(usd=Decimal(1)))
        other = Team(Agent("b", model=ScriptedModel(["Hi."])))
        async with Seawall(prices={"scripted": Price(Decimal(1), Decimal(1))}) as sea:
            run = await sea.start(team, "go")
            await run.outcome()
            with pytest.raises(Misused, match="no agent 'a'"):
                await sea.fork(run.id, other, at=1)
            unpriced = Team(Agent("a", model=ScriptedModel(["Hi."], name="another")))
            with pytest.raises(Refused, match="another"):
                await sea.fork(run.id, unpriced, at=1)
            with pytest.raises(Misused, match="limits"):
                await sea.fork(run.id, Team(team.coordinator, guards=[Says(None, name="limits")]), at=1)
            assert [row.run for row in await sea.journal.runs()] == [run.id]

    asyncio.run(main())


@pytest.mark.parametrize("field", ["session", "tenant", "principal", "request_id"])
def test_text_that_has_no_utf_8_is_misuse_where_it_is_a_name(field: str) -> None:
    async def main() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match=field):
                await sea.start(Team(agent("a")), "go", **{field: "a\ud800"})  # pyright: ignore[reportArgumentType] -- each is a text
            assert await sea.journal.runs() == []

    asyncio.run(main())


def test_a_request_of_more_than_a_million_characters_is_misuse() -> None:
    team = Team(Agent("clerk", model=ScriptedModel(["Here."])))
    with pytest.raises(Misused, match=r"the request has 1,000,001 characters \(limit 1,000,000\)"):
        asyncio.run(team.run("x" * 1_000_001))
