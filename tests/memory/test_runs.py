"""What agents remember, recall and forget, within a run and from run to run."""

from __future__ import annotations

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
from seawall import Memory, Team
from seawall.core.events import MemoryRead, MemoryWritten, StepIntended
from seawall.models.scripted import Entry, call, fail, hang, say

BOTH = Memory(read=("tenant", "session"), write=("tenant", "session"))


@in_loop
async def test_what_one_run_remembers_the_next_one_recalls() -> None:
    shown = Shown()
    async with sea_of() as sea:
        outcome = await keep(sea, vip="VIPs get double")
        assert outcome.memory == "merged"
        reader = agent_of(recall(query="double"), shown.then(say("ok")), memory=BOTH)
        outcome = await play(sea, reader)

    assert outcome.status == "completed" and outcome.memory == ""
    assert shown.results == [
        {
            "entries": [
                {
                    "key": "vip",
                    "value": "VIPs get double",
                    "scope": "tenant",
                    "number": 1,
                    "version": 1,
                    "age": "just now",
                }
            ]
        }
    ]


@in_loop
async def test_a_run_sees_its_own_writes_before_they_are_in_memory() -> None:
    shown = Shown()
    async with sea_of() as sea:
        agent = agent_of(remember("a", "1"), recall(key="a"), shown.then(say("ok")), memory=BOTH)
        outcome = await play(sea, agent, session="s")
        assert await read_memory(sea, "session:s") == {"a": "1"}
        assert await read_memory(sea, "tenant") == {}

    assert shown.results[1]["entries"] == [
        {"key": "a", "value": "1", "scope": "session", "step": 2, "age": "written in this request"}
    ]
    assert outcome.tool_calls == 2


@pytest.mark.parametrize("end", ["failed", "halted", "cancelled", "refused"])
@in_loop
async def test_a_run_that_does_not_complete_leaves_no_trace(end: str) -> None:
    async with sea_of() as sea:
        if end == "failed":
            agent = agent_of(remember("a", "1"), fail("rejected"), memory=BOTH)
            outcome = await play(sea, agent, session="s")
        elif end == "halted":
            agent = agent_of(*[remember("a", "1")] * 9, memory=BOTH)
            outcome = await play(sea, agent, session="s")
        elif end == "refused":
            team = Team(
                "desk",
                agent_of(remember("a", "1"), say("x"), say("y"), memory=BOTH),
                reviewer=agent_of(*[call("review", approved=False, feedback="no")] * 2, name="auditor"),
            )
            outcome = await play(sea, team, session="s")
        else:
            run = await sea.start(agent_of(remember("a", "1"), hang(), memory=BOTH), "go", session="s")
            async for event in run.events():
                if isinstance(event, MemoryWritten):
                    break
            await run.cancel()
            outcome = await run.outcome()

        assert outcome.status == end and outcome.memory == ""
        assert await sea.journal.memory_version() == 0


@in_loop
async def test_what_is_forgotten_is_gone_with_the_end_of_the_run() -> None:
    async with sea_of() as sea:
        await keep(sea, a="1", b="2")
        agent = agent_of(forget("a"), forget("z"), say("ok"), memory=BOTH)
        outcome = await play(sea, agent)
        assert outcome.memory == "merged"
        assert await read_memory(sea) == {"b": "2"}


@in_loop
async def test_memory_steps_are_judged_by_guards_and_count_as_tool_calls() -> None:
    async with sea_of() as sea:
        agent = agent_of(*[recall(query="x")] * 9, memory=BOTH)
        outcome = await play(sea, agent)
        assert outcome.status == "halted"
        assert outcome.stopped_by is not None and outcome.stopped_by.guard == "loops"
        steps = await list_events(sea, outcome.run, StepIntended)
    assert {step.kind for step in steps if step.name == "recall"} == {"memory"}


@in_loop
async def test_what_was_read_is_recorded_with_the_result() -> None:
    async with sea_of() as sea:
        await keep(sea, a="1", b="2")
        outcome = await play(sea, agent_of(recall(prefix=""), say("ok"), memory=BOTH))
        reads = await list_events(sea, outcome.run, MemoryRead)
    assert [set(read.entries) for read in reads] == [{1, 2}]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (remember("a", "1"), "Error: 'remember': this run has no memory 'session': it belongs to no session"),
        (remember("", "1", scope="tenant"), "Error: 'remember': key is ''; it must be text"),
        (remember("k", None, scope="tenant"), "Error: 'remember': value is missing; `forget` removes a key"),
        (
            remember("k", "v", scope="team"),
            "Error: 'remember': scope is 'team'; it is one of session, tenant",
        ),
        (
            remember("k", "v", scope="tenant", labels=["Not One"]),
            "Error: 'remember': label 'Not One' is not a word of a-z, 0-9, '.', '_' and '-' (at most 32 characters)",
        ),
        (
            remember("k", "v", scope="tenant", ttl_s=-1),
            (
                "Error: 'remember': ttl_s is -1; it must be a number of seconds above zero, "
                "at most 31,536,000,000"
            ),
        ),
        (
            remember("k", "v" * 20_001, scope="tenant"),
            "Error: 'remember': value has 20,001 characters (limit 20,000); keep its essence",
        ),
        (recall(key="a", query="b"), "Error: 'recall': give one of query, key and prefix, not query and key"),
        (recall(limit=0), "Error: 'recall': limit is 0; it must be a whole number from 1 to 50"),
        (
            recall(what="x"),
            "Error: 'recall': there is no argument 'what'; there are: query, key, prefix, scope, limit",
        ),
        (call("forget"), "Error: 'forget': key is None; it must be text"),
        (call("recall", "[]"), "Error: 'recall': the arguments are not a JSON object (got '[]')"),
    ],
)
@in_loop
async def test_a_call_that_makes_no_sense_is_explained_to_the_agent(entry: Entry, told: str) -> None:
    shown = Shown()
    async with sea_of() as sea:
        memory = Memory(read=("tenant",), write=("session", "tenant"))
        await play(sea, agent_of(entry, shown.then(say("ok")), memory=memory))
        assert await sea.journal.memory_version() == 0
    assert shown.results == [told]


@pytest.mark.parametrize("key", ["a\0b", "\0", "\0 x"])
@in_loop
async def test_a_key_with_characters_that_are_not_stored_as_they_are_is_found_again(key: str) -> None:
    memory = Memory(write=("tenant",))
    async with sea_of() as sea:
        for script in (
            [remember(key, "v"), recall(key=key)],
            *([recall(**what)] for what in ({"key": key}, {"prefix": key[0]}, {"prefix": key})),
        ):
            shown = Shown()
            await play(sea, agent_of(*script, shown.then(say("ok")), memory=memory))
            assert [each["value"] for each in shown.results[-1]["entries"]] == ["v"], script[-1]
        await play(sea, agent_of(forget(key), say("ok"), memory=memory))
        assert await read_memory(sea) == {}
        assert (await sea.journal.verify()).ok
