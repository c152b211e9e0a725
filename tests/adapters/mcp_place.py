"""A directory with a `wire_server.py` that a test rules, and runs of a team that calls its tools."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seawall import Agent, Outcome, Seawall
from seawall.adapters.mcp import McpTools
from seawall.run.outcome import Waiting
from seawall.testing import ScriptedModel, call, say

SERVER = Path(__file__).with_name("wire_server.py")


def make_tool(name: str, does: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An item of `tools/list`, and what the server does when the tool is called."""
    schema = {"type": "object", "properties": {"order": {"type": "string"}}}
    described = f"What {name} does."
    return {"name": name, "description": described, "inputSchema": schema, "does": does or {}, **more}


class Place:
    """What one server offers, and what it was asked."""

    def __init__(self, path: Path, *tools: dict[str, Any]) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.offer(*tools)

    def offer(self, *tools: dict[str, Any]) -> None:
        """Makes the server offer other tools from now on."""
        (self.path / "tools.json").write_text(json.dumps(tools), encoding="utf-8")

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-S", "-E", str(SERVER), str(self.path)]

    @property
    def log(self) -> list[dict[str, Any]]:
        file = self.path / "log.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def calls(self) -> list[str]:
        """The tools that were called on the server, in order."""
        return [line["call"] for line in self.log if "call" in line]

    @property
    def sessions(self) -> int:
        """How often the server was started."""
        return sum("began" in line for line in self.log)


class Play:
    """What came of a run."""

    def __init__(self, rest: Outcome | Waiting, model: ScriptedModel) -> None:
        self.rest = rest
        self.told = [request.messages[-1].content or "" for request in model.requests[1:]]
        """What the agent was told after each of its calls."""


async def play(sea: Seawall, tools: McpTools, *calls: tuple[str, dict[str, Any]]) -> Play:
    """Runs an agent that makes these calls, one after the other."""
    model = ScriptedModel([*(call(name, **arguments) for name, arguments in calls), say("Done.")])
    run = await sea.start(Agent("desk", model=model, tools=list(tools)), "Go.")
    return Play(await run.rest(), model)


async def wait_for(place: Place, key: str) -> None:
    """Returns once the server has logged a line with this key."""
    while not any(key in line for line in place.log):
        await asyncio.sleep(0)


def texts(lines: Sequence[str]) -> str:
    return "\n".join(lines)
