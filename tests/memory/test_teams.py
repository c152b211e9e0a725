"""Memory in teams: the shared scratchpad, hand-offs and their branches, and what each agent is offered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from memory.play import (
    Shown,
    agent_of,
    held_agent,
    in_loop,
    keep,
    play,
    read_memory,
    recall,
    remember,
    sea_of,
)
from seawall import Agent, IndexUpdate, Memory, Misused, Team, tool
from seawall.journal.protocol import MemoryFilter
from seawall.models.scripted import Reply, ScriptedModel, call, calls, fail, say

TEAM = Memory(read=("team",), write=("team",))


def ask(name: str, task: str = "do") -> Reply:
    return call(f"ask_{name}", task=task)


def names_of(team: Team, agent: str) -> list[str]:
    return [spec.name for spec in team.members[agent].specs]


@in_loop
async def test_a_team_has_a_scratchpad_that_its_runs_share() -> None:
    shown = Shown()
    async with sea_of() as sea:
        clerk = agent_of(remember("plan", "b"), say("noted"), name="clerk")
        first = Team("desk", agent_of(ask("clerk"), say("ok"), name="lead"), specialists=[clerk], memory=True)
        assert (await play(sea, first)).memory == "merged"
        assert await read_memory(sea, "team:desk") == {"plan": "b"}

        second = Team("desk", agent_of(recall(key="plan"), shown.then(say("ok")), name="lead"), memory=True)
        await play(sea, second)
        other = Team("bank", agent_of(recall(key="plan"), shown.then(say("ok")), name="lead"), memory=True)
        assert shown.results[0]["entries"][0]["value"] == "b"
        await play(sea, other)
    assert shown.results[0]["entries"] == []


@in_loop
async def test_a_colleague_sees_what_its_caller_wrote_and_its_own_writes_go_to_the_caller() -> None:
    inner, outer = Shown(), Shown()
    async with sea_of() as sea:
        clerk = agent_of(recall(key="a"), inner.then(remember("b", "2")), say("noted"), name="clerk")
        lead = agent_of(
            remember("a", "1"), ask("clerk"), recall(prefix="b"), outer.then(say("ok")), name="lead"
        )
        await play(sea, Team("desk", lead, specialists=[clerk], memory=True))
        assert await read_memory(sea, "team:desk") == {"a": "1", "b": "2"}
    assert inner.results[0]["entries"][0]["value"] == "1"
    assert outer.results[-1]["entries"][0]["value"] == "2"


@in_loop
async def test_a_hand_off_that_fails_leaves_nothing_in_its_callers_branch() -> None:
    async with sea_of() as sea:
        clerk = agent_of(remember("b", "2"), fail("rejected"), name="clerk")
        lead = agent_of(remember("a", "1"), ask("clerk"), say("ok"), name="lead")
        outcome = await play(sea, Team("desk", lead, specialists=[clerk], memory=True))
        assert outcome.status == "completed"
        assert await read_memory(sea, "team:desk") == {"a": "1"}


@in_loop
async def test_of_two_colleagues_that_write_one_key_at_once_the_last_wins_and_both_values_are_told() -> None:
    shown = Shown()
    async with sea_of() as sea:
        one = agent_of(remember("price", "1"), say("one"), name="one")
        two = agent_of(remember("price", "2"), say("still"), name="two")
        lead = agent_of(calls(ask("one"), ask("two")), shown.then(say("ok")), name="lead")
        await play(sea, Team("desk", lead, specialists=[one, two], memory=True))
        held = await read_memory(sea, "team:desk")
    told = [text for text in shown.results if "written at the same time" in str(text)]
    assert len(told) == 1 and '"1"' in told[0] and '"2"' in told[0]
    assert f'"{held["price"]}" (step' in told[0].splitlines()[-1]


@in_loop
async def test_a_colleague_that_has_seen_the_other_value_overwrites_it_knowingly() -> None:
    shown = Shown()
    async with sea_of() as sea:
        one = agent_of(remember("price", "1"), say("one"), name="one")
        two = agent_of(recall(key="price"), remember("price", "2"), say("two"), name="two")
        lead = agent_of(ask("one"), ask("two"), shown.then(say("ok")), name="lead")
        await play(sea, Team("desk", lead, specialists=[one, two], memory=True))
        assert await read_memory(sea, "team:desk") == {"price": "2"}
    assert shown.results == ["one", "two"]


@in_loop
async def test_a_nearer_scope_comes_first_and_hides_the_key_of_a_farther_one() -> None:
    shown = Shown()
    memory = Memory(read=("tenant", "session", "subject"), write=("session", "subject", "tenant"))
    async with sea_of() as sea:
        await keep(sea, a="of all", b="of all too")
        script = (remember("a", "of the user", scope="subject"), remember("c", "of the session"), say("ok"))
        await play(sea, agent_of(*script, memory=memory), session="s", principal="user:7")
        reader = agent_of(recall(), shown.then(say("ok")), memory=memory)
        await play(sea, reader, session="s", principal="user:7")
        found = [(hit["key"], hit["scope"]) for hit in shown.results[-1]["entries"]]
        assert found == [("c", "session"), ("a", "subject"), ("b", "tenant")]
        await play(sea, agent_of(recall(), shown.then(say("ok")), memory=memory), principal="user:8")
    assert [hit["key"] for hit in shown.results[0]["entries"]] == ["b", "a"]


def test_agents_are_offered_what_their_memory_allows_and_no_more() -> None:
    team = Team(
        "desk",
        agent_of(name="lead"),
        specialists=[
            agent_of(name="reads", memory=Memory(read=("tenant",))),
            agent_of(name="writes", memory=Memory(read=(), write=("tenant",))),
            agent_of(name="none"),
        ],
    )
    assert names_of(team, "reads") == ["recall"]
    assert names_of(team, "writes") == ["remember", "forget"]
    assert names_of(team, "none") == []
    assert team.has_memory and not Team(agent_of()).has_memory


def test_a_nested_teams_agents_have_the_scratchpads_of_both_teams() -> None:
    inner = Team("inner", agent_of(name="chief"), role="x", memory=True)
    outer = Team("outer", agent_of(name="lead"), specialists=[inner], memory=True)
    chief, lead = outer.members["chief"].memory, outer.members["lead"].memory
    assert [place.label for place in chief.writes] == ["team", "team:outer"]
    assert [place.label for place in lead.writes] == ["team"]
    assert names_of(outer, "chief").count("remember") == 1


def test_a_tool_with_the_name_of_a_memory_tool_is_misused_only_where_both_are_offered() -> None:
    @tool
    async def recall() -> str:
        """Recalls a product."""
        return "x"

    Team(agent_of(tools=[recall]))
    Team(agent_of(tools=[recall], memory=Memory(read=(), write=("tenant",))))
    with pytest.raises(Misused, match="its tool 'recall' has the name of a tool that its memory gives it"):
        Team(agent_of(tools=[recall], memory=Memory()))
    inner = Team("inner", agent_of(name="chief", tools=[recall]), role="x")
    with pytest.raises(Misused, match="agent 'chief': its tool 'recall'"):
        Team("outer", agent_of(name="lead"), specialists=[inner], memory=True)


def test_a_fallback_agent_may_read_memory_and_not_change_it() -> None:
    team = Team("desk", agent_of(name="lead"), fallback=agent_of(name="quick"), memory=True)
    assert names_of(team, "quick") == ["recall"]
    with pytest.raises(Misused, match="fallback 'quick' may only read"):
        Team("desk", agent_of(name="lead"), fallback=agent_of(name="quick", memory=Memory()))


def test_what_memory_an_agent_has_is_part_of_its_version_and_nothing_else_changes() -> None:
    plain = Team(Agent("a", model=ScriptedModel([]))).version
    assert plain == Team(Agent("a", model=ScriptedModel([])), memory=False).version
    assert plain != Team(Agent("a", model=ScriptedModel([]), memory=Memory())).version
    one = Team(Agent("a", model=ScriptedModel([]), memory=Memory(ttl_s=1))).version
    assert one != Team(Agent("a", model=ScriptedModel([]), memory=Memory(ttl_s=2))).version


@pytest.mark.parametrize("given", ["yes", 1, ("tenant",)])
def test_memory_of_another_type_is_misused(given: object) -> None:
    with pytest.raises(Misused, match="memory is"):
        Team("desk", agent_of(), memory=given)  # pyright: ignore[reportArgumentType] -- what is tested
    with pytest.raises(Misused, match="memory is"):
        Agent("a", model="x:y", memory=given)  # pyright: ignore[reportArgumentType] -- what is tested


# ---- what several say of one scope


@in_loop
async def test_what_an_agents_memory_leaves_open_is_as_its_team_says() -> None:
    solved: list[Any] = []

    def solve(theirs: Any, ours: Any, base: Any) -> Any:
        solved.append((theirs, ours))
        return "both"

    async with sea_of() as sea:
        gate = asyncio.Event()
        lead = held_agent(gate, remember("price", "3"), memory=Memory(write=("tenant",)))
        team = Team("desk", lead, memory=Memory(write=("tenant",), resolve=solve, ttl_s=60))
        run = await sea.start(team, "slow")
        await play(sea, agent_of(remember("price", "2"), say("ok"), memory=Memory(write=("tenant",))), "fast")
        gate.set()
        assert (await run.outcome()).memory == "merged"
        (entry,) = await sea.journal.memory_entries("", MemoryFilter(scopes=("tenant",)))
        assert entry.expires_at is not None
    assert solved == [("2", "3")]


@in_loop
async def test_what_an_agents_memory_says_itself_holds_in_every_team() -> None:
    own, outer = Memory(write=("tenant",), ttl_s=60), Memory(write=("tenant",), ttl_s=600)
    async with sea_of() as sea:
        lead = agent_of(remember("price", "3"), say("ok"), memory=own, name="lead")
        nested = Team("inner", lead)
        boss = agent_of(ask("inner"), say("ok"), name="boss")
        await play(sea, Team("desk", boss, specialists=[nested], memory=outer))
        (entry,) = await sea.journal.memory_entries("", MemoryFilter(scopes=("tenant",)))
        assert entry.expires_at == entry.at + 60


class Named:
    """An index that knows one entry of each scope, and notes which scopes it is asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def version(self, tenant: str, scope: str) -> int:
        return 0

    async def update(self, update: IndexUpdate) -> None:
        pass

    async def search(self, tenant: str, scope: str, query: str, limit: int) -> list[int]:
        self.asked.append(scope)
        return []


@in_loop
async def test_each_scope_is_searched_with_the_index_that_its_memory_has() -> None:
    own, shared = Named(), Named()
    async with sea_of() as sea:
        memory = Memory(read=("tenant",), index=own)
        lead = agent_of(recall(query="freight"), say("ok"), memory=memory, name="lead")
        scribe = Memory(write=("tenant", "team"))
        await play(sea, Team("desk", agent_of(remember("a", "1", scope="team"), say("ok"), memory=scribe)))
        await play(sea, Team("desk", lead, memory=Memory(read=("team",), index=shared)))
    assert (own.asked, shared.asked) == (["tenant"], ["team:desk"])
