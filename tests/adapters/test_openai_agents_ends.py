"""What ends a run of the OpenAI Agents SDK, and what its caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from agents import Agent, ModelBehaviorError, RunHooks, function_tool
from agents.tool_context import ToolContext

from adapters.agents_model import QUIET, Bank, PlayedModel, make_desk
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


@pytest.mark.parametrize("options", [{}, {"failure_error_function": lambda context, error: "Wrong."}])
def test_arguments_that_the_sdk_rejects_are_no_call(engine: Engine, options: dict[str, Any]) -> None:
    bank = Bank()
    wrong: Any = [("refund", {"order": "the first", "amount": 5})]
    right: Any = [("refund", {"order": 1, "amount": 5})]
    agent, _ = make_desk(bank, [wrong, right, ANSWER], **options)
    runner = SeawallRunner(engine)
    for _ in range(2):
        result = asyncio.run(runner.run(agent, "Refund it.", request_id="r-1", run_config=QUIET))
        assert result.final_output == ANSWER
        assert bank.refunds == [(1, 5)]


def test_rejected_arguments_that_end_a_run_leave_nothing_in_doubt(engine: Engine) -> None:
    wrong: Any = [("refund", {"order": "the first", "amount": 5})]
    agent, _ = make_desk(Bank(), [wrong, ANSWER], failure_error_function=None)
    with pytest.raises(ModelBehaviorError, match="Invalid JSON input"):
        asyncio.run(SeawallRunner(engine).run(agent, "Refund it.", run_config=QUIET))
    assert engine.call(lambda sea: sea.approvals()) == []


def test_an_error_of_the_function_itself_is_no_rejection(engine: Engine) -> None:
    """The function has called another one with arguments that the SDK rejects, after its own work."""
    other = Bank().make_tools(failure_error_function=None)[0]

    @function_tool(failure_error_function=None)
    async def refund(context: ToolContext[Any], order: int) -> str:
        """Refunds."""
        return str(await other.on_invoke_tool(context, '{"order": "the first", "amount": 5}'))

    calls: Any = [("refund", {"order": 1})]
    agent = Agent(name="clerk", model=PlayedModel([calls, ANSWER]), tools=[refund])
    with pytest.raises(AgentsHeld, match="what became of it is not known"):
        asyncio.run(SeawallRunner(engine).run(agent, "Refund it.", run_config=QUIET))
