"""One scripted team, built once in each system; `bench/peers.py` runs them side by side.

`script.py` holds what all share: the replies, the tools and the counters. One module a system holds what
differs. A system is imported only in the child process that measures it.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, cast

from teams.script import Script

Workload = Literal["team", "single", "nodes"]
"""`team`: coordinator, two specialists, reviewer. `single`: one agent. `nodes`: a graph of empty nodes."""


class Bench(Protocol):
    """A system that is set up to serve requests."""

    durability: str
    """What survives which crash, in words."""
    version: str
    script: Script
    """Its counters are what the driver checks."""

    async def run_one(self, number: int) -> str:
        """Serve request `number`; the answer's text."""
        ...

    async def close(self) -> None:
        """Make durable what is to be durable, and let go of files."""
        ...


class System(NamedTuple):
    """A line of the table: an adapter module, in one of its variants."""

    module: str
    variant: str
    workloads: tuple[Workload, ...]
    default: bool = True

    async def setup(self, directory: Path, workload: Workload) -> Bench:
        """Import the adapter and build the workload; files go to `directory`."""
        module = importlib.import_module(f"teams.{self.module}")
        setup = cast("Callable[[Path, Workload, str], Awaitable[Bench]]", module.setup)
        return await setup(directory, workload, self.variant)


SYSTEMS: dict[str, System] = {
    "seawall": System("seawall", "durable", ("team", "single")),
    "langgraph": System("langgraph", "memory", ("team", "single", "nodes")),
    "langgraph-sqlite": System("langgraph", "async", ("team", "single", "nodes")),
    "langgraph-sqlite-sync": System("langgraph", "sync", ("team", "single", "nodes"), default=False),
    "openai-agents": System("openai_agents", "memory", ("team", "single")),
    "openai-agents-sqlite": System("openai_agents", "sqlite", ("team", "single")),
    "pydantic-ai": System("pydantic_ai", "memory", ("team", "single")),
}
