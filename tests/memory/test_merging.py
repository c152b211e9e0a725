"""The end of a run: its branch is merged, and what another run wrote meanwhile is a conflict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from memory.play import (
    agent_of,
    forget,
    held_agent,
    in_loop,
    keep,
    list_events,
    play,
    read_entries,
    read_memory,
    recall,
    remember,
    sea_of,
)
from seawall import Memory, Misused, Outcome, Seawall
from seawall.core.events import MemoryRead
from seawall.journal.protocol import Lineage
from seawall.models.scripted import Entry, calls, say

TENANT = Memory(write=("tenant",))


async def overtake(
    sea: Seawall, held: tuple[Entry, ...], first: tuple[Entry, ...], memory: Memory = TENANT
) -> tuple[Outcome, Outcome]:
    """Plays a run within another one that began before it and ends after it; returns the outer outcome first."""
    gate = asyncio.Event()
    run = await sea.start(held_agent(gate, *held, memory=memory), "slow")
    inner = await play(sea, agent_of(*first, say("ok"), memory=TENANT), "fast")
    gate.set()
    return await run.outcome(), inner


@in_loop
async def test_two_runs_that_write_one_key_are_a_conflict_and_both_values_are_kept() -> None:
    async with sea_of() as sea:
        outer, inner = await overtake(
            sea, (calls(remember("price", "3"), remember("own", "x")),), (remember("price", "2"),)
        )
        assert (inner.memory, outer.memory) == ("merged", "conflict")
        assert outer.status == "completed" and outer.answer == "done"
        assert await read_memory(sea) == {"price": "2", "own": "x"}
        (conflict,) = await sea.journal.memory_conflicts("")
        assert conflict.run == outer.run and conflict.why == "newer" and conflict.ours is not None
        bodies = await sea.journal.bodies("", [conflict.ours])
        assert bodies[conflict.ours] == b"3"
        assert (await sea.outcome(outer.run)).memory == "conflict"
        assert (await sea.journal.verify()).ok


@in_loop
async def test_equal_values_and_equal_but_for_when_they_were_looked_up_are_no_conflict() -> None:
    async with sea_of() as sea:
        outer, inner = await overtake(
            sea,
            (calls(remember("a", "1"), remember("b", "checked at 2026-01-31T10:11:12Z")),),
            (calls(remember("a", "1"), remember("b", "checked at 2026-02-01T00:00:00Z")),),
        )
        assert (inner.memory, outer.memory) == ("merged", "merged")
        assert await read_memory(sea) == {"a": "1", "b": "checked at 2026-02-01T00:00:00Z"}
        assert await sea.journal.memory_conflicts("") == []


@pytest.mark.parametrize("is_async", [False, True])
@in_loop
async def test_a_resolver_solves_a_conflict_with_their_value_ours_and_what_was_there_before(
    is_async: bool,
) -> None:
    asked: list[tuple[Any, Any, Any]] = []

    def solve(theirs: Any, ours: Any, base: Any) -> Any:
        asked.append((theirs, ours, base))
        return {"n": theirs["n"] + ours["n"] - base["n"]}

    async def solve_later(theirs: Any, ours: Any, base: Any) -> Any:
        return solve(theirs, ours, base)

    async with sea_of() as sea:
        await keep(sea, count={"n": 10})
        resolve: Callable[..., Any] = solve_later if is_async else solve
        memory = Memory(write=("tenant",), resolve=resolve)
        outer, _ = await overtake(
            sea, (remember("count", {"n": 13}),), (remember("count", {"n": 11}),), memory
        )
        assert outer.memory == "merged"
        assert asked == [({"n": 11}, {"n": 13}, {"n": 10})]
        assert await read_memory(sea) == {"count": '{"n":14}'}
        assert await sea.journal.memory_conflicts("") == []


@pytest.mark.parametrize(
    "resolve", [lambda *_: None, lambda *_: 1 / 0, lambda *_: object(), lambda *_: "", lambda: "x"]
)
@in_loop
async def test_a_resolver_that_gives_nothing_usable_leaves_the_conflict(resolve: Callable[..., Any]) -> None:
    async with sea_of() as sea:
        memory = Memory(write=("tenant",), resolve=resolve)
        outer, _ = await overtake(sea, (remember("a", "3"),), (remember("a", "2"),), memory)
        assert outer.memory == "conflict" and outer.status == "completed"
        assert await read_memory(sea) == {"a": "2"}
        assert len(await sea.journal.memory_conflicts("")) == 1


class Panic(BaseException):
    """As native code raises it."""


RAISED: tuple[Callable[[], BaseException], ...] = (
    Panic,
    lambda: SystemExit(3),
    GeneratorExit,
    asyncio.CancelledError,
    lambda: BaseExceptionGroup("g", [Panic()]),
)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("make", RAISED)
@in_loop
async def test_a_resolver_that_raises_anything_leaves_the_conflict(
    make: Callable[[], BaseException], is_async: bool
) -> None:
    def fail(*_: Any) -> Any:
        raise make()

    async def fail_later(*_: Any) -> Any:
        raise make()

    async with sea_of() as sea:
        memory = Memory(write=("tenant",), resolve=fail_later if is_async else fail)
        outer, _ = await overtake(sea, (remember("a", "3"),), (remember("a", "2"),), memory)
        assert (outer.memory, outer.status) == ("conflict", "completed")


@in_loop
async def test_a_resolver_that_cancels_its_task_leaves_the_conflict() -> None:
    async def cancel(*_: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with sea_of() as sea:
        memory = Memory(write=("tenant",), resolve=cancel)
        outer, _ = await overtake(sea, (remember("a", "3"),), (remember("a", "2"),), memory)
        assert outer.memory == "conflict"


@in_loop
async def test_a_key_that_changes_while_it_is_solved_is_solved_again_and_at_last_left_to_a_person() -> None:
    async with sea_of() as sea:
        rounds = 0

        async def solve(theirs: Any, ours: Any, base: Any) -> Any:
            nonlocal rounds
            rounds += 1
            await keep(sea, a=f"other {rounds}")
            return "mine"

        memory = Memory(write=("tenant",), resolve=solve)
        outer, _ = await overtake(sea, (remember("a", "3"),), (remember("a", "2"),), memory)
        assert outer.memory == "conflict"
        assert 1 < rounds <= 8
        assert await read_memory(sea) == {"a": f"other {rounds}"}


@in_loop
async def test_what_a_resolver_made_descends_from_all_that_it_was_given() -> None:
    async with sea_of() as sea:
        await keep(sea, a="1")
        memory = Memory(write=("tenant",), resolve=lambda theirs, ours, base: f"{theirs} {ours} {base}")
        await overtake(sea, (remember("a", "3"),), (remember("a", "2"),), memory)
        assert await read_memory(sea) == {"a": "2 3 1"}
        for number in (1, 2):  # what was there before, and what another run wrote meanwhile
            plan = await sea.journal.plan_revert("", 0, [Lineage(tie="value", entry=number)])
            assert plan.removes == (number, 3)


@in_loop
async def test_what_was_forgotten_meanwhile_is_a_conflict_too() -> None:
    async with sea_of() as sea:
        await keep(sea, a="1", b="1")
        outer, inner = await overtake(
            sea, (calls(remember("a", "2"), forget("b")),), (calls(forget("a"), remember("b", "5")),)
        )
        assert (inner.memory, outer.memory) == ("merged", "conflict")
        assert await read_memory(sea) == {"b": "5"}
        assert len(await sea.journal.memory_conflicts("")) == 2


@in_loop
async def test_what_was_recalled_is_not_stored_again() -> None:
    fact = "customers of the house of Miller are asked by telephone, never by mail"
    async with sea_of() as sea:
        await keep(sea, miller=fact)
        version = await sea.journal.memory_version()
        agent = agent_of(
            recall(query="telephone"),
            calls(remember("miller", fact), remember("again", fact), remember("miller", f"  {fact} ")),
            say("ok"),
            memory=TENANT,
        )
        outcome = await play(sea, agent)
        assert outcome.memory == ""
        assert await sea.journal.memory_version() == version
        assert await read_memory(sea) == {"miller": fact}


@in_loop
async def test_a_label_is_never_lost_because_the_value_is_there_already() -> None:
    fact = "customers of the house of Miller are asked by telephone, never by mail"
    async with sea_of() as sea:
        await keep(sea, miller=fact)
        doubts = (remember("miller", fact, labels=["untrusted"]), remember("miller", fact))
        await play(sea, agent_of(*doubts, say("ok"), memory=TENANT))
        (entry,) = await read_entries(sea)
        assert (entry.number, entry.labels) == (1, ("untrusted",))
        other = remember("again", fact, labels=["rumour"])
        await play(sea, agent_of(recall(key="miller"), other, say("ok"), memory=TENANT))
        labels = {entry.labels for entry in await read_entries(sea)}
        assert labels == {("untrusted",), ("rumour", "untrusted")}


@in_loop
async def test_an_answer_that_names_the_key_of_an_entry_counts_as_having_shown_it() -> None:
    fact = "customers of the house of Miller are asked by telephone, never by mail"
    async with sea_of() as sea:
        await keep(sea, miller=fact)
        run = await sea.start(agent_of(recall(), remember("again", fact), say("ok"), memory=TENANT), "go")
        await run.outcome()
        reads = await list_events(sea, run.id, MemoryRead)
        assert [event.entries for event in reads] == [(1,), (1,)]


@in_loop
async def test_a_short_value_under_another_key_is_another_fact() -> None:
    async with sea_of() as sea:
        await keep(sea, a="paid")
        await play(sea, agent_of(recall(key="a"), remember("b", "paid"), say("ok"), memory=TENANT))
        assert await read_memory(sea) == {"a": "paid", "b": "paid"}


@in_loop
async def test_a_secret_never_reaches_memory() -> None:
    async with sea_of(secrets=("hunter2-hunter2",)) as sea:
        entry = remember("login hunter2-hunter2", {"password": "hunter2-hunter2", "note": "of the shop"})
        outcome = await play(sea, agent_of(entry, say("ok"), memory=TENANT))
        assert outcome.memory == "merged"
        held = await read_memory(sea)
        assert "hunter2" not in repr(held) and "of the shop" in repr(held)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"read": ("tenants",)},
            "Memory: read has 'tenants' in it; scopes are 'tenant', 'session', 'team', 'subject'",
        ),
        (
            {"write": "tenant"},
            "Memory: write is 'tenant'; it must be a tuple of scopes ('tenant', 'session', 'team', 'subject')",
        ),
        (
            {"read": ["tenant"]},
            "Memory: read is ['tenant']; it must be a tuple of scopes ('tenant', 'session', 'team', 'subject')",
        ),
        ({"write": ("tenant", "tenant")}, "Memory: write has 'tenant' twice"),
        ({"read": ()}, "Memory: neither read nor write has a scope; leave memory out"),
        ({"ttl_s": 0}, "Memory: ttl_s is 0; it must be a number of seconds above zero"),
        ({"ttl_s": True}, "Memory: ttl_s is True; it must be a number of seconds above zero"),
        ({"resolve": "mine"}, "Memory: resolve is 'mine'; it must be a function of (theirs, ours, base)"),
    ],
)
def test_bad_options_are_misused_with_value_and_what_is_allowed(options: dict[str, Any], told: str) -> None:
    with pytest.raises(Misused) as raised:
        Memory(**options)
    assert str(raised.value) == told
