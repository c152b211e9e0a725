"""Runs in the test's own process: a small team, a journal on a disk that can fail, and a world that counts calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from crash.desk import Variant, desk
from crash.world import World
from journal.disk import Disk
from seawall import Agent, Seawall, Team, ToolContext, tool
from seawall.core.clock import Clock, SystemClock
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.models.protocol import ModelRequest, ToolResult
from seawall.models.scripted import Reply, call, say
from seawall.testing import ScriptedModel

PATIENCE_S = 60.0
"""How long a test waits before it fails. What it waits for normally comes at once."""


@asynccontextmanager
async def sea_on(
    path: Path, *, clock: Clock | None = None, disk: Disk | None = None, lease_s: float = 30.0
) -> AsyncIterator[Seawall]:
    """Opens a Seawall over the journal at `path`."""
    clock = clock or SystemClock()
    options = SqliteOptions(lease_s=lease_s, vfs=None if disk is None else disk.name)
    journal = SqliteJournal.open(str(path), clock=clock, options=options)
    async with Seawall(journal, clock=clock, environment={}) as sea:
        yield sea


class Door:
    """A point at which a tool waits until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def pass_through(self) -> None:
        """Sets `reached`, and waits for `open`."""
        self.reached.set()
        await self.open.wait()


def shop(door: Door, *, effect: bool = False, counted: list[str] | None = None) -> Team:
    """Returns one agent with one tool, which waits at the door."""

    @tool(effect=effect)
    async def ship(ctx: ToolContext, order: str) -> str:
        """Ship an order."""
        if counted is not None:
            counted.append(ctx.key)
        await door.pass_through()
        return f"shipped {order}"

    def reply(request: ModelRequest) -> Reply:
        last = request.messages[-1]
        return say(last.content) if isinstance(last, ToolResult) else call("ship", order="1042")

    return Team(Agent("clerk", "Ships.", model=ScriptedModel(reply), tools=[ship]))


def busy_desk(
    path: Path, on_call: Callable[[int, bool], None] = lambda number, done: None
) -> tuple[Team, World]:
    """Returns the desk and its world."""
    world = World(path, on_call)
    return desk(world, Variant()), world
