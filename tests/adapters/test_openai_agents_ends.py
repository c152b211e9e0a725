"""What ends a run of the OpenAI Agents SDK, and what its caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from agents import Agent, RunHooks, function_tool

from adapters.agents_model import QUIET, Bank, PlayedModel
from seawall.adapters.openai_agents import AgentsHeld, SeawallRunner
from seawall.runtime.foreign.engine import Engine

ANSWER = "Done."


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(effects=["refund"], reads=["find_order", "look", "linger"]) as engine:
        yield engine


def test_what_held_a_run_is_told_and_not_what_came_of_that(engine: Engine) -> None:
    """A function that ignores its cancellation fails once the run is let go of, and a hook fails before that."""
    bank = Bank()
    bank.error = ConnectionError("cut off")
    cancelled = asyncio.Event()

    @function_tool
    async def linger() -> str:
        """Ends once it was cancelled twice: by the SDK, and by the gate."""
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
        return "ok"

    @function_tool
    async def look() -> str:
        """Looks."""
        return "nothing"

    class Fails(RunHooks[Any]):
        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            await cancelled.wait()
            raise RuntimeError("the hook failed")

    calls: Any = [("linger", {}), ("look", {}), ("refund", {"order": 1, "amount": 5})]
    agent = Agent(
        name="clerk", model=PlayedModel([calls, ANSWER]), tools=[linger, look, bank.make_tools()[0]]
    )
    with pytest.raises(AgentsHeld, match="what became of it is not known"):
        asyncio.run(SeawallRunner(engine).run(agent, "Refund it.", run_config=QUIET, hooks=Fails()))
