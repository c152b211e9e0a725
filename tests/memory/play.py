"""Plays runs of agents with memory against scripted models."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from seawall import (
    ALLOW,
    Agent,
    Approval,
    Effect,
    Guard,
    Hold,
    Memory,
    Outcome,
    Run,
    Seawall,
    Team,
    Tool,
    Waiting,
    tool,
)
from seawall.core.events import Event
from seawall.journal.protocol import Lineage, MemoryEntry, MemoryFilter
from seawall.models.protocol import ModelRequest, ToolResult
from seawall.models.scripted import Entry, Reply, ScriptedModel, call, say
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Verdict
from seawall.testing import ManualClock


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Makes a test of a coroutine function: it runs in an event loop of its own."""

    @functools.wraps(test)
    def run(*given: Any, **named: Any) -> None:
        async def main() -> None:
            async with asyncio.timeout(60):
                await test(*given, **named)

        asyncio.run(main())

    assert not inspect.iscoroutinefunction(run)
    return run


def sea_of(clock: ManualClock | None = None, **options: Any) -> Seawall:
    """Returns a Seawall in memory with a manual clock."""
    return Seawall(":memory:", clock=clock or ManualClock(), environment={}, **options)


def agent_of(
    *script: Entry, name: str = "clerk", memory: Memory | None = None, tools: Sequence[Tool] = (), **more: Any
) -> Agent:
    """Returns an agent that follows a script."""
    return Agent(name, model=ScriptedModel(list(script)), memory=memory, tools=tools, **more)


def held_agent(gate: asyncio.Event, *script: Entry, memory: Memory) -> Agent:
    """Returns an agent that goes through its script and, before it answers, waits for `gate`."""

    @tool
    async def wait() -> str:
        """Waits."""
        await gate.wait()
        return "over"

    return agent_of(*script, call("wait"), say("done"), memory=memory, tools=[wait], name="held")


def remember(key: str, value: Any, **more: Any) -> Reply:
    """Returns the reply that remembers something."""
    return call("remember", key=key, value=value, **more)


def recall(**what: Any) -> Reply:
    """Returns the reply that recalls something."""
    return call("recall", **what)


def forget(key: str, **more: Any) -> Reply:
    """Returns the reply that forgets something."""
    return call("forget", key=key, **more)


async def play(sea: Seawall, team: Agent | Team, request: str = "go", **options: Any) -> Outcome:
    """Runs a team to its end."""
    return await (await sea.start(team, request, **options)).outcome()


async def keep(sea: Seawall, **facts: Any) -> Outcome:
    """Remembers facts for the tenant, in a run of their own."""
    script = [remember(key, value, scope="tenant") for key, value in facts.items()]
    writer = agent_of(*script, say("kept"), name="writer", memory=Memory(write=("tenant",)))
    return await play(sea, writer)


async def read_memory(sea: Seawall, scope: str = "tenant", tenant: str = "") -> dict[str, str]:
    """Returns what a scope holds now, by key."""
    entries = await read_entries(sea, scope, tenant)
    refs = [ref for entry in entries for ref in (entry.key, entry.value) if ref]
    bodies = await sea.journal.bodies(tenant, refs)
    return {
        bodies[entry.key].decode(): bodies[entry.value].decode()
        for entry in entries
        if entry.value is not None
    }


async def read_entries(sea: Seawall, scope: str = "tenant", tenant: str = "") -> list[MemoryEntry]:
    """Returns the entries of a scope as they are now."""
    return await sea.journal.memory_entries(tenant, MemoryFilter(scopes=(scope,), limit=1000))


async def list_events(sea: Seawall, run: str, kind: type[Event] | None = None) -> list[Any]:
    """Returns the events of a run, or those of one kind."""
    return [event for event in await sea.journal.events(run) if kind is None or isinstance(event, kind)]


def results_in(request: ModelRequest) -> list[Any]:
    """Returns what the calls of the conversation have returned, decoded where that is JSON."""
    found: list[Any] = []
    for message in request.messages:
        if isinstance(message, ToolResult):
            try:
                found.append(json.loads(message.content))
            except ValueError:
                found.append(message.content)
    return found


class Shown:
    """Takes down what an agent was shown, and answers with what it is told to."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.requests: list[ModelRequest] = []

    def then(self, entry: Entry) -> Callable[[ModelRequest], Entry]:
        """Returns an entry of a script that notes the request first."""

        def reply(request: ModelRequest) -> Entry:
            self.requests.append(request)
            self.results = results_in(request)
            return entry

        return reply


class Asks(Guard):
    """Holds effects while it is on."""

    name = "asks"

    def __init__(self, *, on: bool = True) -> None:
        self.on = on

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        """See `Guard.before`."""
        return Hold("asks") if self.on and step.effect else ALLOW


class Till:
    """Pays, and remembers what it paid."""

    def __init__(self) -> None:
        self.paid: list[str] = []
        self.tools: dict[str, Tool] = {}

    def make(self, effect: bool | Effect = True) -> Tool:
        """Returns the tool `pay`."""

        @tool(effect=effect)
        async def pay(what: str) -> str:
            """Pays."""
            self.paid.append(what)
            return f"paid {what}"

        return pay


async def revert(sea: Seawall, number: int) -> None:
    """Reverts what descends from the step that wrote an entry."""
    (entry,) = await sea.journal.memory_numbered([number])
    assert entry.step is not None
    seeds = [Lineage(tie="value", entry=number)]
    await sea.journal.apply_revert(await sea.journal.plan_revert(entry.run, entry.step, seeds), by="bob")


async def parked(run: Run) -> Waiting:
    """Returns what a run waits for."""
    rest = await run.rest()
    assert isinstance(rest, Waiting), rest
    return rest


async def approve(sea: Seawall, run: Run) -> Approval:
    """Approves what a run asks, as it is shown now, and returns what was shown."""
    waiting = await parked(run)
    (shown,) = await sea.approvals(run=waiting.run)
    await sea.approve(shown.id, hash=shown.hash, by="finance")
    return shown
