"""Seawall: with a planner, without one, and with a client that gives up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import seawall
from hops import BUDGET_S, Answer
from hops.loop import LoopClock
from hops.world import TOOLS, World, case_of, request
from seawall import Agent, Limits, Planner, Seawall, Team, Tool
from seawall.core.clock import Clock
from seawall.models.protocol import (
    Assistant,
    ModelReply,
    ModelRequest,
    Price,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
    User,
)

USAGE = Usage(600, 60)
PRIORS = {
    "agent:clerk": 3.5,
    "agent:cashier": 3.5,
    "agent:archivist": 4.5,
    "agent:auditor": 1.6,
    "agent:quick": 0.8,
    "model:desk": 2.0,
}
"""Twice the median: what somebody would write down who has seen a few runs."""


class ScriptedModel:
    """A model of one agent, with the world's replies in the world's time."""

    price: Price | None = None

    def __init__(self, world: World, agent: str) -> None:
        self.name = f"model-of-{agent}"
        self._world = world
        self._agent = agent

    async def respond(self, request: ModelRequest) -> ModelReply:
        messages = request.messages
        first = next(message.content for message in messages if isinstance(message, User))
        results = [message.content for message in messages if isinstance(message, ToolResult)]
        nth = sum(isinstance(message, Assistant) for message in messages)
        reply = await self._world.reply(self._agent, first, results, nth)
        case = case_of(first)
        if self._agent == "auditor":
            message = Assistant(None, (ToolCall("c", "review", json.dumps({"approved": True})),))
        else:
            task = json.dumps({"task": f"Look into case {case}."})
            own = json.dumps({"case": case})
            message = Assistant(
                reply.text or None,
                tuple(ToolCall(f"c-{n}", n, task if n.startswith("ask_") else own) for n in reply.calls),
            )
        return ModelReply(message=message, usage=USAGE, finish="tool_calls" if message.calls else "stop")

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        yield await self.respond(request)


def team(world: World, *, active_s: float, options: dict[str, Any] | None) -> Team:
    """The desk; `options` are the planner's, None: no planner, and nothing that implies one."""

    def agent(name: str, **more: Any) -> Agent:
        return Agent(name, model=ScriptedModel(world, name), **more)

    def tool(name: str) -> Tool:
        async def function(case: int) -> str:
            return await world.call(name, case)

        return Tool(function, name=name, description=f"Calls {name}.")

    planned = options is not None
    specialists = [
        agent(name, tools=[tool(TOOLS[name])], optional=planned and name == "archivist")
        for name in ("clerk", "cashier", "archivist")
    ]
    return Team(
        "desk",
        agent("desk"),
        specialists=specialists,
        reviewer=agent("auditor"),
        fallback=agent("quick") if planned else None,
        planner=None if options is None else Planner(**options),
        limits=Limits(active_s=active_s),
    )


class SeawallDesk:
    """One runtime; a request is one run."""

    version = f"seawall {seawall.__version__}"

    def __init__(
        self,
        team: Team,
        limits: str,
        *,
        client_s: float | None = None,
        journal: str | Path = ":memory:",
        clock: Clock | None = None,
    ) -> None:
        self.limits = limits
        self._team = team
        self._client_s = client_s
        self._sea = Seawall(journal, clock=clock or LoopClock())
        self._open = False
        self.pruned: dict[str, int] = {}
        """How often each thing was pruned."""

    async def answer(self, number: int) -> Answer | None:
        if not self._open:
            await self._sea.open()
            self._open = True
        run = await self._sea.start(self._team, request(number))
        try:
            async with asyncio.timeout(self._client_s):
                outcome = await run.outcome()
        except TimeoutError:
            await run.cancel(by="the client")
            return None
        for name in outcome.pruned:
            self.pruned[name] = self.pruned.get(name, 0) + 1
        return None if outcome.answer is None else Answer(outcome.answer, outcome.reviewed is True)

    async def close(self) -> None:
        await self._sea.close()


def planned(world: World, *, priors: Mapping[str, float] = PRIORS, **options: Any) -> SeawallDesk:
    """With a planner, an optional archivist and a fallback agent."""
    made = team(world, active_s=BUDGET_S, options={"priors": priors, **options})
    return SeawallDesk(
        made, f"Limits(active_s={BUDGET_S:g}), Planner(priors=…), fallback, optional archivist"
    )


def plain(world: World) -> SeawallDesk:
    """Halted at the deadline."""
    made = team(world, active_s=BUDGET_S, options=None)
    return SeawallDesk(made, f"Limits(active_s={BUDGET_S:g})")


def unlimited(world: World) -> SeawallDesk:
    """The client gives up."""
    made = team(world, active_s=1000.0, options=None)
    return SeawallDesk(made, f"asyncio.timeout({BUDGET_S:g}) around the run", client_s=BUDGET_S)
