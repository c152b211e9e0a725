"""A team that looks up one order again and again, and a recorded run of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from seawall import Agent, Guard, Outcome, Seawall, Team, tool
from seawall.testing import ScriptedModel, call, say


def desk(calls: int = 3, guards: Sequence[Guard] = ()) -> Team:
    """A team of one agent that looks up the same order `calls` times and then answers."""

    @tool
    def find_order(order_id: str) -> str:
        """Look up one order."""
        return f"order {order_id} is lost"

    script = [call("find_order", order_id="1042") for _ in range(calls)]
    agent = Agent("desk", model=ScriptedModel([*script, say("It was lost.")]), tools=[find_order])
    return Team(agent, guards=guards)


def recorded(team: Team, then: Callable[[Seawall, Outcome], Awaitable[None]]) -> None:
    async def scenario() -> None:
        async with Seawall() as sea:
            run = await sea.start(team, "Where is order 1042?")
            await then(sea, await run.outcome())

    asyncio.run(scenario())
