"""Runs during which memory changes: they are told when they go on, and what was reverted holds their effects."""

from __future__ import annotations

from typing import Any

import pytest

from memory.play import (
    Asks,
    Shown,
    Till,
    agent_of,
    approve,
    in_loop,
    keep,
    list_events,
    parked,
    play,
    read_memory,
    recall,
    remember,
    revert,
    sea_of,
)
from seawall import Agent, Effect, Memory, Run, Seawall, Team, Tool
from seawall.core.events import Judged, MemoryCut, MemoryRead, RunTaken
from seawall.models.protocol import User
from seawall.models.scripted import call, say
from seawall.testing import ManualClock

TENANT = Memory(write=("tenant",))
HEAD = "[Not from the user: while this request waited, memory that was read here has changed.]"


def payer(shown: Shown, pay: Tool, *more: Any, memory: Memory = TENANT) -> Agent:
    """Returns an agent that recalls the rule and pays by it."""
    script = (recall(key="rule"), call("pay", what="double"), shown.then(say("done")))
    return agent_of(*script, *more, memory=memory, tools=[pay], name="payer")


def told(shown: Shown) -> list[str]:
    """Returns what the model was told that is not from the user."""
    messages = shown.requests[-1].messages
    return [
        each.content for each in messages if isinstance(each, User) and "Not from the user" in each.content
    ]


async def start_parked(sea: Seawall, agent: Agent | Team, **options: Any) -> Run:
    run = await sea.start(agent, "go", **options)
    await parked(run)
    return run


@in_loop
async def test_a_run_that_waited_is_told_what_has_changed_in_what_it_read() -> None:
    shown, till = Shown(), Till()
    async with sea_of(guards=[Asks()]) as sea:
        await keep(sea, rule="single", other="x")
        run = await start_parked(sea, payer(shown, till.make()))
        await keep(sea, rule="triple", other="y")
        await approve(sea, run)
        outcome = await run.outcome()

        assert outcome.status == "completed" and till.paid == ["double"]
        assert told(shown) == [
            f'{HEAD}\n- tenant memory "rule" was "single", and is "triple" now (version 2)'
        ]
        taken = await list_events(sea, run.id, RunTaken)
        assert [each.memory for each in taken] == [1, 2] and len(taken[1].changed) == 1
        assert [each.step for each in await list_events(sea, run.id, MemoryRead)] == [2, 0]


@in_loop
async def test_a_run_that_waited_is_told_nothing_of_what_it_did_not_read() -> None:
    shown, till = Shown(), Till()
    async with sea_of(guards=[Asks()]) as sea:
        await keep(sea, rule="single")
        run = await start_parked(sea, payer(shown, till.make()))
        await keep(sea, other="y")
        await approve(sea, run)
        await run.outcome()
        assert told(shown) == []
        assert [each.memory for each in await list_events(sea, run.id, RunTaken)] == [1, 2]


@in_loop
async def test_a_run_that_waited_is_told_once_what_has_expired_meanwhile() -> None:
    shown, till, clock = Shown(), Till(), ManualClock()
    async with sea_of(clock, guards=[Asks()]) as sea:
        brief = agent_of(remember("rule", "single", ttl_s=60), say("kept"), memory=TENANT)
        await play(sea, brief)
        script = (recall(key="rule"), call("pay", what="double"), call("pay", what="again"))
        payer = agent_of(*script, shown.then(say("done")), memory=TENANT, tools=[till.make()])
        run = await start_parked(sea, payer)
        clock.jump_wall(61)
        await approve(sea, run)
        await parked(run)
        await approve(sea, run)
        assert (await run.outcome()).status == "completed" and till.paid == ["double", "again"]
        assert told(shown) == [f'{HEAD}\n- tenant memory "rule" was "single", and has expired']


@in_loop
async def test_what_took_the_place_of_a_read_entry_and_has_expired_is_not_told_as_a_value() -> None:
    shown, till, clock = Shown(), Till(), ManualClock()
    async with sea_of(clock, guards=[Asks()]) as sea:
        await keep(sea, rule="single")
        run = await start_parked(sea, payer(shown, till.make()))
        await play(sea, agent_of(remember("rule", "triple", ttl_s=60), say("kept"), memory=TENANT))
        clock.jump_wall(61)
        await approve(sea, run)
        await run.outcome()
        assert told(shown) == [f'{HEAD}\n- tenant memory "rule" was "single", and is forgotten now']


@in_loop
async def test_what_was_written_before_a_run_waited_has_its_age_and_its_end_from_then() -> None:
    shown, later, till, clock = Shown(), Shown(), Till(), ManualClock()
    async with sea_of(clock, guards=[Asks()]) as sea:
        script = (
            remember("price", "80", ttl_s=3_600),
            remember("stock", "5", ttl_s=86_400),
            call("pay", what="it"),
            recall(),
            remember("price", "80", ttl_s=3_600),
        )
        tools = [till.make()]
        run = await start_parked(sea, agent_of(*script, shown.then(say("done")), memory=TENANT, tools=tools))
        clock.jump_wall(7_200)
        await approve(sea, run)
        await run.outcome()
        assert [each["key"] for each in shown.results[-2]["entries"]] == ["stock"]
        assert shown.results[-1]["remembered"] == "price"

        await play(sea, agent_of(recall(), later.then(say("ok")), memory=TENANT))
        ages = {each["key"]: each["age"] for each in later.results[-1]["entries"]}
        assert ages == {"price": "just now", "stock": "2 hours"}
        clock.jump_wall(86_400 - 7_200)
        assert await read_memory(sea) == {}


@in_loop
async def test_a_write_after_waking_goes_by_what_the_run_was_told_and_one_before_it_does_not() -> None:
    till = Till()
    async with sea_of(guards=[Asks()]) as sea:
        await keep(sea, rule="single", before="1")
        agent = agent_of(
            recall(prefix=""),
            remember("before", "2"),
            call("pay", what="x"),
            remember("rule", "mine"),
            say("done"),
            memory=TENANT,
            tools=[till.make()],
        )
        run = await start_parked(sea, agent)
        await keep(sea, rule="triple", before="3")
        await approve(sea, run)
        outcome = await run.outcome()
        assert outcome.memory == "conflict"
        assert await read_memory(sea) == {"rule": "mine", "before": "3"}


@in_loop
async def test_the_agent_whose_colleague_waits_is_told_too() -> None:
    shown, till = Shown(), Till()
    async with sea_of(guards=[Asks()]) as sea:
        await keep(sea, rule="single")
        lead_saw = Shown()
        lead = agent_of(call("ask_payer", task="pay"), lead_saw.then(say("ok")), name="lead")
        run = await start_parked(sea, Team("desk", lead, specialists=[payer(shown, till.make())]))
        await keep(sea, rule="triple")
        await approve(sea, run)
        assert (await run.outcome()).status == "completed"
    assert len(told(shown)) == 1 and told(shown) == told(lead_saw)


@in_loop
async def test_an_approval_of_before_a_revert_is_void_and_the_person_is_shown_what_was_cut() -> None:
    shown, till = Shown(), Till()
    async with sea_of(guards=[Asks()]) as sea:
        writer = await keep(sea, rule="VIPs get double")
        run = await start_parked(sea, payer(shown, till.make()))
        await revert(sea, 1)
        first = await approve(sea, run)
        assert first.reverted == () and [each.guard for each in first.reasons] == ["asks"]
        await parked(run)
        assert till.paid == []

        second = await approve(sea, run)
        assert [each.guard for each in second.reasons] == ["asks", "memory"] or [
            each.guard for each in second.reasons
        ] == ["memory", "asks"]
        assert second.reverted == (
            f'tenant memory "rule": "VIPs get double" (entry 1, written by \'writer\' in run {writer.run}, step 2)',
        )
        assert (await run.outcome()).status == "completed"
        assert till.paid == ["double"]
        held = [each for each in await list_events(sea, run.id, Judged) if each.guard == "memory"]
        assert all("VIPs" not in each.reason for each in held), "what was cut stands in no event"
        assert "A person has reverted that" in told(shown)[0]


@pytest.mark.parametrize("declared", [False, True])
@in_loop
async def test_a_run_in_flight_that_read_what_was_reverted_is_held_before_its_next_effect(
    declared: bool,
) -> None:
    shown, till = Shown(), Till()

    async with sea_of() as sea:
        await keep(sea, rule="double")
        pay = till.make(Effect(unique_by=("what",)) if declared else True)

        async def cut() -> str:
            """Reverts what this run has read."""
            await revert(sea, 1)
            return "cut"

        agent = agent_of(
            recall(key="rule"),
            call("cut"),
            call("pay", what="double"),
            shown.then(say("done")),
            memory=TENANT,
            tools=[pay, Tool(cut)],
        )
        run = await sea.start(agent, "go")
        waiting = await parked(run)
        assert till.paid == []
        assert "memory that was reverted since" in waiting.reason
        shown_to_person = await approve(sea, run)
        assert len(shown_to_person.reverted) == 1
        assert (await run.outcome()).status == "completed"
        assert till.paid == ["double"]
        assert [each.entries for each in await list_events(sea, run.id, MemoryCut)] == [(1,)]


@in_loop
async def test_another_revert_after_the_approval_asks_once_more() -> None:
    shown, till = Shown(), Till()
    async with sea_of(guards=[Asks()]) as sea:
        await keep(sea, rule="double")
        await keep(sea, other="one")
        agent = agent_of(
            recall(prefix=""),
            call("pay", what="x"),
            shown.then(say("done")),
            memory=TENANT,
            tools=[till.make()],
        )
        run = await start_parked(sea, agent)
        await revert(sea, 1)
        await approve(sea, run)
        await parked(run)
        await revert(sea, 2)
        assert len((await approve(sea, run)).reverted) == 1
        await parked(run)
        assert till.paid == []
        assert len((await approve(sea, run)).reverted) == 2
        assert (await run.outcome()).status == "completed"
    assert till.paid == ["x"]


@in_loop
async def test_what_a_run_wrote_after_reading_what_was_reverted_is_kept_apart() -> None:
    async with sea_of() as sea:
        await keep(sea, rule="double")

        async def cut() -> str:
            """Reverts what this run has read."""
            await revert(sea, 1)
            return "cut"

        agent = agent_of(
            recall(key="rule"),
            call("cut"),
            remember("learned", "all get double"),
            say("done"),
            memory=Memory(write=("tenant",), resolve=lambda *_: "solved"),
            tools=[Tool(cut)],
        )
        outcome = await play(sea, agent)
        assert outcome.memory == "conflict"
        assert await read_memory(sea) == {}
        (conflict,) = await sea.journal.memory_conflicts("")
        assert conflict.why == "reverted"


@in_loop
async def test_a_team_that_has_lost_its_memory_is_held_for_what_it_has_read_all_the_same() -> None:
    shown, till = Shown(), Till()
    async with sea_of(guards=[Asks()]) as sea:
        await keep(sea, rule="double")
        pay = till.make()
        run = await sea.start(payer(shown, pay), "go")
        waiting = await parked(run)
        await revert(sea, 1)
        (asked,) = await sea.approvals(run=run.id)
        sea.supervisor.registry.teams.pop(run.id, None)
        await sea.approve(asked.id, hash=asked.hash, by="finance")
        today = Team(agent_of(shown.then(say("done")), name="payer", tools=[pay]))
        again = await sea.resume(waiting.run, today)
        second = await approve(sea, again)
        assert {each.guard for each in second.reasons} == {"asks", "memory"} and till.paid == []
        assert (await again.outcome()).status == "completed"
    assert till.paid == ["double"]


@in_loop
async def test_a_reverted_entry_is_not_recalled_from_an_old_snapshot() -> None:
    shown = Shown()
    async with sea_of() as sea:
        await keep(sea, rule="double", other="x")

        async def cut() -> str:
            """Reverts the rule."""
            await revert(sea, 1)
            return "cut"

        agent = agent_of(
            call("cut"), recall(prefix=""), shown.then(say("done")), memory=TENANT, tools=[Tool(cut)]
        )
        await play(sea, agent)
    assert [hit["key"] for hit in shown.results[1]["entries"]] == ["other"]
    assert shown.results[1]["note"] == "1 entry was reverted by a person, and left out"


@in_loop
async def test_a_superseded_entry_says_so_and_the_snapshot_stays() -> None:
    shown = Shown()
    async with sea_of() as sea:
        await keep(sea, rule="single")

        async def change() -> str:
            """Lets another run write."""
            await keep(sea, rule="triple")
            return "changed"

        agent = agent_of(
            call("change"), recall(key="rule"), shown.then(say("ok")), memory=TENANT, tools=[Tool(change)]
        )
        await play(sea, agent)
    (hit,) = shown.results[1]["entries"]
    assert (hit["value"], hit["superseded"], hit["version"]) == ("single", True, 1)


@in_loop
async def test_the_guard_memory_has_a_mode_like_any_other() -> None:
    shown, till = Shown(), Till()
    async with sea_of() as sea:
        await keep(sea, rule="double")

        async def cut() -> str:
            """Reverts what this run has read."""
            await revert(sea, 1)
            return "cut"

        agent = agent_of(
            recall(key="rule"),
            call("cut"),
            call("pay", what="x"),
            shown.then(say("done")),
            memory=TENANT,
            tools=[till.make(), Tool(cut)],
        )
        run = await sea.start(agent, "go", modes={"memory": "observe"})
        assert (await run.outcome()).status == "completed"
        assert till.paid == ["x"]
        held = [each for each in await list_events(sea, run.id, Judged) if each.guard == "memory"]
        assert [(each.verdict, each.mode) for each in held] == [("hold", "observe")]
