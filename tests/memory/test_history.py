"""Runs with memory afterwards: replayed, forked, shown, resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from memory.play import (
    Shown,
    agent_of,
    forget,
    in_loop,
    keep,
    list_events,
    play,
    read_memory,
    recall,
    remember,
    sea_of,
)
from seawall import Memory, Seawall
from seawall.core.events import MemoryRead, MemoryWritten, StepDone, StepIntended
from seawall.models.scripted import call, hang, say
from seawall.testing import ManualClock

TENANT = Memory(write=("tenant",))


@in_loop
async def test_a_replay_answers_from_the_record_whatever_memory_holds_by_now() -> None:
    async with sea_of() as sea:
        await keep(sea, rule="single")
        agent = agent_of(recall(key="rule"), remember("a", "1"), forget("rule"), say("ok"), memory=TENANT)
        outcome = await play(sea, agent)
        await keep(sea, rule="triple")
        version = await sea.journal.memory_version()
        replayed = await sea.replay(outcome.run, agent)
        assert replayed.differences == () and replayed.steps == 7
        assert await sea.journal.memory_version() == version


@in_loop
async def test_a_replay_names_memory_that_an_agent_does_not_have_today() -> None:
    async with sea_of() as sea:
        outcome = await play(sea, agent_of(recall(key="rule"), say("ok"), memory=TENANT))
        replayed = await sea.replay(outcome.run, agent_of(recall(key="rule"), say("ok")))
    assert replayed.differences


@in_loop
async def test_a_fork_reads_its_origins_snapshot_and_never_merges() -> None:
    shown = Shown()
    async with sea_of() as sea:
        await keep(sea, rule="single")
        agent = agent_of(call("recall", key="other"), recall(key="rule"), say("ok"), memory=TENANT)
        origin = await play(sea, agent)
        await keep(sea, rule="triple")
        version = await sea.journal.memory_version()

        again = agent_of(
            recall(key="rule"), remember("own", "1"), recall(), shown.then(say("forked")), memory=TENANT
        )
        fork = await sea.fork(origin.run, again, at=2)
        outcome = await fork.outcome()

        assert outcome.status == "completed" and outcome.memory == ""
        assert [hit.get("value") for hit in shown.results[-1]["entries"]] == ["1", "single"]
        assert await sea.journal.memory_version() == version
        assert await read_memory(sea) == {"rule": "triple"}


@in_loop
async def test_a_fork_with_another_result_of_recall_does_not_count_as_having_read_the_entry() -> None:
    async with sea_of() as sea:
        await keep(sea, rule="single")
        origin = await play(sea, agent_of(recall(key="rule"), say("ok"), memory=TENANT))
        fork = await sea.fork(origin.run, agent_of(say("x"), memory=TENANT), at=2, result='{"entries":[]}')
        assert (await fork.outcome()).answer == "x"
        assert await list_events(sea, fork.id, MemoryRead) == []


@in_loop
async def test_why_leads_to_the_recall() -> None:
    async with sea_of() as sea:
        await keep(sea, order="order A-1042 of 250.00 EUR")
        outcome = await play(sea, agent_of(recall(key="order"), say("It is A-1042."), memory=TENANT))
        events = await sea.journal.events(outcome.run)
        recalled = next(each for each in events if isinstance(each, StepIntended) and each.kind == "memory")
        ended = events[-1]
        assert any(cause.step == recalled.step and cause.tie == "value" for cause in ended.causes)  # pyright: ignore[reportAttributeAccessIssue] -- it is the end


@in_loop
async def test_a_run_that_is_resumed_goes_on_with_its_branch_and_merges_once(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    clock = ManualClock()
    script = (recall(), remember("a", "1"), hang())
    async with Seawall(path, clock=clock, environment={}) as sea:
        run = await sea.start(agent_of(*script, memory=TENANT), "go")
        async for event in run.events():
            if isinstance(event, StepDone) and event.step == 4:
                break
    shown = Shown()
    async with Seawall(path, clock=clock, environment={}) as sea:
        agent = agent_of(recall(key="a"), shown.then(say("ok")), memory=TENANT)
        outcome = await (await sea.resume(run.id, agent)).outcome()
        assert outcome.memory == "merged"
        assert shown.results[-1]["entries"][0]["value"] == "1"
        assert await read_memory(sea) == {"a": "1"}
        assert await sea.journal.memory_version() == 1
        assert len(await list_events(sea, run.id, MemoryWritten)) == 1


@pytest.mark.parametrize("name", ["remember", "recall", "forget"])
@in_loop
async def test_a_persons_pause_holds_a_memory_tool_as_any_other(name: str) -> None:
    arguments = {"remember": {"key": "k", "value": "v"}, "recall": {}, "forget": {"key": "k"}}[name]
    async with sea_of() as sea:
        await sea.pause(f"tool:{name}", by="bob")
        run = await sea.start(agent_of(call(name, arguments), say("ok"), memory=TENANT), "go")
        rest = await run.rest()
        assert getattr(rest, "what", "") == f"tool:{name}"
        await sea.unpause(f"tool:{name}", by="bob")
        assert (await run.outcome()).status == "completed"
