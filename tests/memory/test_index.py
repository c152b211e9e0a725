"""An index of the user's that finds entries by what they mean: what it is told, and what of it an agent is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from memory.play import agent_of, forget, in_loop, keep, play, recall, remember, results_in, sea_of
from seawall import IndexUpdate, Memory, MemoryIndex, Misused, Seawall
from seawall.models.scripted import say
from seawall.runtime import meaning
from seawall.testing import ManualClock, ScriptedModel

TENANT = Memory(write=("tenant",))
MEANS = {"freight": ("delivery", "parcel"), "anything": ("",)}


class Concepts:
    """Knows what a few words mean, and keeps what it is told."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], dict[int, str]] = {}
        self.versions: dict[tuple[str, str], int] = {}
        self.updates: list[IndexUpdate] = []

    async def version(self, tenant: str, scope: str) -> int:
        return self.versions.get((tenant, scope), 0)

    async def update(self, update: IndexUpdate) -> None:
        self.updates.append(update)
        place = update.tenant, update.scope
        texts = self.texts.setdefault(place, {})
        if update.anew:
            texts.clear()
        for number in update.removed:
            texts.pop(number, None)
        texts.update({entry.number: f"{entry.key} {entry.value}" for entry in update.written})
        self.versions[place] = update.version

    async def search(self, tenant: str, scope: str, query: str, limit: int) -> Sequence[int]:
        words = MEANS.get(query, (query,))
        texts = self.texts.get((tenant, scope), {})
        return [number for number, text in texts.items() if any(word in text for word in words)][:limit]


class Failing(Concepts):
    """Is not there."""

    async def search(self, tenant: str, scope: str, query: str, limit: int) -> Sequence[int]:
        raise ConnectionError("the vector store is away")


class Wrong(Concepts):
    """Names everything, whoever's it is."""

    async def search(self, tenant: str, scope: str, query: str, limit: int) -> Sequence[int]:
        return [99_999, *range(1, 50), 1]


async def ask(
    sea: Seawall, index: MemoryIndex, query: str, *, tenant: str = "", **more: Any
) -> dict[str, Any]:
    """Returns what an agent is shown for a query."""
    memory = Memory(read=("tenant",), index=index)
    agent = agent_of(recall(query=query, **more), say("ok"), memory=memory)
    await play(sea, agent, tenant=tenant)
    return cast("dict[str, Any]", results_in(cast("ScriptedModel", agent.model).requests[-1])[-1])


def keys(document: dict[str, Any]) -> list[str]:
    return [entry["key"] for entry in document["entries"]]


@in_loop
async def test_a_recall_finds_what_is_meant_before_what_is_written() -> None:
    index = Concepts()
    async with sea_of() as sea:
        await keep(sea, delivery="with the neighbour", freight="is dear", hours="9 to 5")
        assert keys(await ask(sea, index, "freight")) == ["delivery", "freight"]
        assert keys(await ask(sea, index, "freight", limit=1)) == ["delivery"]
        assert keys(await ask(sea, index, "hours")) == ["hours"]


class Panic(BaseException):
    """As native code raises it."""


SECRET = "ghp_" + "A1b2C3d4" * 4 + "E5f6"


@pytest.mark.parametrize("method", ["version", "update", "search"])
@pytest.mark.parametrize("kind", [Panic, SystemExit, GeneratorExit, asyncio.CancelledError, OSError])
@in_loop
async def test_an_index_that_raises_anything_is_told_in_the_log_and_words_are_searched_for(
    method: str, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> Any:
        raise kind(f"at https://store.example.org with {SECRET}")

    index = Concepts()
    setattr(index, method, fail)
    async with sea_of() as sea:
        await keep(sea, delivery="with the neighbour")
        assert keys(await ask(sea, index, "neighbour")) == ["delivery"]
    assert kind.__name__ in caplog.text
    assert SECRET not in caplog.text


@in_loop
async def test_an_index_is_told_what_changes_once() -> None:
    index = Concepts()
    async with sea_of() as sea:
        await keep(sea, delivery="neighbour", hours="9 to 5")
        await ask(sea, index, "freight")
        await ask(sea, index, "freight")
        assert [(len(each.written), each.removed, each.anew) for each in index.updates] == [(2, (), False)]

        await play(sea, agent_of(remember("delivery", "garage"), forget("hours"), say("ok"), memory=TENANT))
        shown = await ask(sea, index, "freight")
        assert [entry["value"] for entry in shown["entries"]] == ["garage"]
        assert [each.value for each in index.updates[-1].written] == ["garage"]
        assert index.updates[-1].removed == (1, 2)
        assert [*index.texts["", "tenant"].values()] == ["delivery garage"]


@in_loop
async def test_a_person_who_is_forgotten_is_forgotten_by_the_index() -> None:
    index = Concepts()
    async with sea_of() as sea:
        writer = agent_of(remember("allergy", "hazelnuts"), say("ok"), memory=TENANT)
        await play(sea, writer, principal="user:7")
        await keep(sea, hours="9 to 5")
        assert await sea.memory().update_index(index) == 2
        await sea.memory().forget("user:7", by="ada")
        await sea.memory().update_index(index)
        assert index.updates[-1].anew
        assert [*index.texts["", "tenant"].values()] == ["hours 9 to 5"]


@in_loop
async def test_an_index_that_is_behind_what_was_collected_begins_anew() -> None:
    index = Concepts()
    clock = ManualClock()
    async with sea_of(clock) as sea:
        await keep(sea, hours="9 to 5")
        await sea.memory().update_index(index)
        await keep(sea, hours="9 to 6")
        await keep(sea, hours="9 to 7")
        await clock.advance(100)
        assert (await sea.memory().gc(older_than_s=0)).superseded == 2
        await sea.memory().update_index(index)
        assert [*index.texts["", "tenant"].values()] == ["hours 9 to 7"]


@in_loop
async def test_an_index_that_fails_costs_nothing_but_its_hits() -> None:
    async with sea_of() as sea:
        await keep(sea, delivery="neighbour", freight="is dear")
        shown = await ask(sea, Failing(), "freight")
        assert keys(shown) == ["freight"]
        assert shown["note"] == "only words were looked for: the search by meaning failed"


@in_loop
async def test_an_agent_is_shown_nothing_that_its_run_may_not_see() -> None:
    clock = ManualClock()
    async with sea_of(clock) as sea:
        await keep(sea, hours="9 to 5", old="gone")
        for tenant, memory in (("other", TENANT), ("", Memory(write=("session",)))):
            writer = agent_of(remember("secret plan", "x"), say("ok"), memory=memory)
            await play(sea, writer, tenant=tenant, session="s")
        await play(sea, agent_of(forget("old"), say("ok"), memory=TENANT))
        brief = agent_of(remember("brief", "x", ttl_s=5), say("ok"), memory=TENANT)
        await play(sea, brief)
        await clock.advance(10)
        assert keys(await ask(sea, Wrong(), "anything")) == ["hours"]


@in_loop
async def test_a_long_memory_is_told_in_parts_and_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Breaks(Concepts):
        async def update(self, update: IndexUpdate) -> None:
            if len(self.updates) == 2:
                self.updates.append(update)
                raise ConnectionError("the vector store is away")
            await super().update(update)

    monkeypatch.setattr(meaning, "UPDATE_ENTRIES", 2)
    index = Breaks()
    async with sea_of() as sea:
        for many in (3, 1, 2, 4):
            await keep(sea, **{f"key {many} {each}": "x" for each in range(many)})
        with pytest.raises(ConnectionError):
            await sea.memory().update_index(index)
        assert await sea.memory().update_index(index, scope="tenant") == 6
        assert sorted(index.texts["", "tenant"]) == [*range(1, 11)]
        assert await sea.memory().update_index(index) == 0


def test_an_index_has_three_methods() -> None:
    with pytest.raises(Misused, match="it must have the methods version, update and search"):
        Memory(index=cast("MemoryIndex", object()))
