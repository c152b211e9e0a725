"""Seawall: journal on a file, every guard at its default, and limits where a user has asked for them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from limits.asked import MODEL, Asked, AskedRun, AskedTool
from limits.remote import call
from limits.systems import instructions
from seawall import Agent, Limits, Loops, Planner, Price, Seawall, Team, Tool
from seawall.models.providers import resolve

PRICE = Price(Decimal("2.50"), Decimal(10))
_SCHEMA = {"type": "object", "properties": {"arguments": {"type": "string"}}, "required": ["arguments"]}


def make_limits(asked: Asked) -> dict[str, Any]:
    """What is set of a run's limits: nothing, what the user has asked for, or that and room for so many calls."""
    set_: dict[str, Any] = {}
    if asked.config == "default":
        return set_
    if asked.budget_s is not None:
        set_["active_s"] = asked.budget_s
    if asked.budget_usd is not None:
        set_["usd"] = Decimal(asked.budget_usd)
    if asked.config == "fitted":
        set_ |= {"tool_calls": asked.calls, "model_calls": asked.calls + 1}
    return set_


def _tool_options(asked: Asked, one: AskedTool) -> Mapping[str, Any]:
    """What is declared of a tool beside its name. One line an option."""
    return {"effect": one.effect, "poll": one.poll}


def _team_options(asked: Asked) -> Mapping[str, Any]:
    """What is given to a team beside its agents. One line an option."""
    limits = make_limits(asked)
    return {
        "limits": Limits(**limits),
        "planner": Planner() if "active_s" in limits else None,
        "guards": [Loops(writes=asked.calls)] if asked.config == "fitted" else [],
    }


class SeawallBench:
    """One runtime; a team a run, so that its tools know which run they serve."""

    def __init__(self, asked: Asked, directory: tempfile.TemporaryDirectory[str]) -> None:
        self._asked = asked
        self._directory = directory
        self.version = f"seawall {version('seawall')}"
        limits = make_limits(asked)
        self.configured = ", ".join(f"{name} {value}" for name, value in limits.items()) or "nothing"
        if "active_s" in limits:
            self.configured += ", a planner"
        if asked.config == "fitted":
            self.configured += f", Loops(writes={asked.calls})"
        if any(one.poll for one in asked.tools):
            self.configured += "; tools that poll say so"
        self._model = resolve(f"openai:{MODEL}", base_url=f"{asked.base_url}/v1", price=PRICE)
        self._sea = Seawall(str(Path(directory.name) / "journal.db"))

    async def start(self) -> None:
        """Open the journal."""
        await self._sea.open()

    def _agent(self, name: str, tools: list[Tool]) -> Agent:
        return Agent(
            name,
            "Does what is asked.",
            model=self._model,
            instructions=instructions(self._asked, name),
            tools=tools,
        )

    async def turn(self, run: AskedRun, number: int, request: str) -> str:
        """One run; a run's user messages share a session."""
        asked = self._asked

        def tool(one: AskedTool) -> Tool:
            async def play(arguments: str) -> str:
                return await call(asked.base_url, run, number, one.name, arguments)

            options = _tool_options(asked, one)
            return Tool(play, name=one.name, description=f"{one.name}, on JSON.", schema=_SCHEMA, **options)

        tools = [tool(one) for one in asked.tools]
        others = [self._agent(name, tools) for name in asked.specialists]
        desk = self._agent("desk", [] if others else tools)
        team = Team("bench", desk, specialists=others, **_team_options(asked))
        started = await self._sea.start(team, request, tenant="bench", session=f"{asked.case}-{run.key}")
        outcome = await started.outcome()
        if outcome.status != "completed":
            by = outcome.stopped_by
            raise RuntimeError(f"{outcome.status}: {by.guard}: {by.reason}" if by else f"{outcome}")
        return str(outcome.answer)

    async def close(self) -> None:
        """Close the journal and the client."""
        await self._sea.close()
        self._directory.cleanup()


async def setup(asked: Asked) -> SeawallBench:
    """For one cell."""
    bench = SeawallBench(asked, tempfile.TemporaryDirectory(prefix="limits-"))
    await bench.start()
    return bench
