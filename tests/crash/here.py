"""Runs in this process: a small team over a journal on a disk that can fail, with the world still counting."""

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

PATIENCE_S = 20.0
"""What a test waits for comes at once; this is how long until it is called a failure."""


@asynccontextmanager
async def sea_on(
    path: Path, *, clock: Clock | None = None, disk: Disk | None = None, lease_s: float = 30.0
) -> AsyncIterator[Seawall]:
    """A Seawall over the journal at `path`."""
    clock = clock or SystemClock()
    options = SqliteOptions(lease_s=lease_s, vfs=None if disk is None else disk.name)
    journal = SqliteJournal.open(str(path), clock=clock, options=options)
    async with Seawall(journal, clock=clock, environment={}) as sea:
        yield sea


class Door:
    """A place in a tool where the test can hold it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def pass_through(self) -> None:
        """Say that it is reached, and wait until it is open."""
        self.reached.set()
        await self.open.wait()


def shop(door: Door, *, effect: bool = False, counted: list[str] | None = None) -> Team:
    """One agent with one tool, which waits at the door."""

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
    """The desk with its world, in this process."""
    world = World(path, on_call)
    return desk(world, Variant()), world
