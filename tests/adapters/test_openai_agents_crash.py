"""OpenAI Agents after a crash: what an agent inside of a tool or a guardrail has done is given again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, GuardrailFunctionOutput, InputGuardrail, Runner, function_tool

from adapters.agents_model import QUIET, PlayedModel
from seawall.adapters.openai_agents import SeawallRunner
from seawall.runtime.foreign.engine import Engine

FAILED = "An error occurred while running the tool. Please try again."
Make = Callable[["World"], Agent[Any]]


class World:
    """What the tools have done, and whether the process still crashes after them."""

    def __init__(self) -> None:
        self.refunds: list[int] = []
        self.found = 0
        self.crashes = True
        self.clock = count()


def make_helper(
    world: World, reply: Callable[[int], Any], *, error: Exception | None = None, told: Any = None
) -> Agent[Any]:
    """An agent with a look-up and a refund. `reply` is given the number of the calls that it has made."""

    @function_tool
    async def refund(order: int) -> str:
        """Refunds."""
        world.refunds.append(order)
        return "refunded"

    @function_tool(failure_error_function=None)
    async def find_order(order: int) -> str:
        """Finds."""
        world.found += 1
        if error is not None:
            raise error
        return "found"

    model = PlayedModel(lambda items: reply(count_calls(items)), "helper")
    return Agent(name="helper", model=model, tools=[refund, find_order], instructions=told)


def count_calls(items: list[Any]) -> int:
    return sum(item.get("type") == "function_call" for item in items)


def make_chief(world: World, helper: Agent[Any], **options: Any) -> Agent[Any]:
    """An agent that asks the helper, refunds, and answers unless the process crashes."""

    def reply(items: list[Any]) -> Any:
        calls = count_calls(items)
        if calls == 0:
            return [("ask", {"input": "Help."})]
        if calls == 1:
            return [("refund", {"order": 1})]
        if world.crashes:
            raise asyncio.CancelledError
        return "Done."

    refund = helper.tools[0]
    return Agent(
        name="chief",
        model=PlayedModel(reply),
        tools=[helper.as_tool("ask", "Asks."), refund],
        **options,
    )


def make_with_model_down(world: World) -> Agent[Any]:
    down = RuntimeError("down")
    return make_chief(world, make_helper(world, lambda calls: down))


def make_with_model_down_later(world: World) -> Agent[Any]:
    down: Any = RuntimeError("down")
    look: Any = [("find_order", {"order": 1})]
    return make_chief(world, make_helper(world, lambda calls: down if calls else look))


def make_with_broken_tool(world: World) -> Agent[Any]:
    look: Any = [("find_order", {"order": 1})]
    return make_chief(world, make_helper(world, lambda calls: look, error=ValueError("broken")))


def tell_time(world: World) -> Any:
    return lambda context, agent: f"It is {next(world.clock)} o'clock."


def make_with_clock(world: World) -> Agent[Any]:
    refund: Any = [("refund", {"order": 7})]
    reply = lambda calls: "Helped." if calls else refund  # noqa: E731 -- one line
    return make_chief(world, make_helper(world, reply, told=tell_time(world)))


def make_with_clock_in_guardrail(world: World) -> Agent[Any]:
    refund: Any = [("refund", {"order": 7})]
    reply = lambda calls: "Helped." if calls else refund  # noqa: E731 -- one line
    helper = make_helper(world, reply, told=tell_time(world))

    async def check(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(
            (await Runner.run(helper, given, run_config=QUIET)).final_output, tripwire_triggered=False
        )

    plain = make_helper(world, lambda calls: "Helped.")
    return make_chief(world, plain, input_guardrails=[InputGuardrail(check, run_in_parallel=False)])


@pytest.mark.parametrize(
    ("make", "refunds", "told"),
    [
        (make_with_model_down, [1], FAILED),
        (make_with_model_down_later, [1], FAILED),
        (make_with_broken_tool, [1], FAILED),
        (make_with_clock, [7, 1], "Helped."),
        (make_with_clock_in_guardrail, [7, 1], "Helped."),
    ],
)
def test_an_agent_that_has_ended_within_a_run_is_given_again(
    tmp_path: Path, make: Make, refunds: list[int], told: str
) -> None:
    world = World()

    def ask() -> Any:
        with Engine(tmp_path / "desk.db", effects=["refund"], reads=["find_order"]) as engine:
            return asyncio.run(
                SeawallRunner(engine).run(make(world), "Go on.", request_id="r-1", run_config=QUIET)
            )

    with pytest.raises(asyncio.CancelledError):
        ask()
    found = world.found
    world.crashes = False
    for _ in range(2):  # after the crash, and once the run has ended
        result = ask()
        assert result.final_output == "Done."
        outputs = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
        assert outputs == [told, "refunded"]
        assert (world.refunds, world.found) == (refunds, found)
