"""Pydantic AI: what a tool calls by itself, other tools or agents, has the same keys when the tool is called again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo

from adapters.pydantic_desk import ANSWER, ASKED, Desk, read_outcome, run_sync
from runtime.foreign.boss import approve, identify
from seawall import Effect, always
from seawall.adapters.pydantic_ai import AgentHeld, SeawallCapability
from seawall.runtime.foreign.engine import Engine

HELD = {"refund": Effect(approve=always())}
BY_CODE = ([("run_code", {"code": "refund(1); refund(1); refund(2)"})], ANSWER)


class Numbering(Desk):
    """Its model numbers the calls of each reply from zero, as some servers do."""

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        """As `Desk.answer`."""
        reply = super().answer(messages, info)
        parts = [
            dataclasses.replace(part, tool_call_id=f"call_{number}")
            if isinstance(part, ToolCallPart)
            else part
            for number, part in enumerate(reply.parts)
        ]
        return dataclasses.replace(reply, parts=parts)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "desk.db", effects=HELD, authenticate=identify) as engine:
        yield engine


async def run_code(ctx: RunContext[Any], code: str) -> str:
    """Calls the tools in the code one after another. The framework makes new ids for these calls each time."""
    told: list[str] = []
    for line in code.split("; "):
        name, _, order = line.rstrip(")").partition("(")
        assert ctx.tool_manager is not None
        arguments = {"order": int(order), "amount": 5}
        told.append(str(await ctx.tool_manager.handle_call(ToolCallPart(name, arguments))))
    return "; ".join(told)


def test_calls_inside_of_a_tool_are_held_approved_and_made_once(engine: Engine) -> None:
    desk = Desk(BY_CODE)
    agent: Agent[Any, Any] = Agent(
        desk.make_model(),
        tools=[run_code, desk.refund],
        capabilities=[SeawallCapability(engine, request_id="r-1")],
    )
    for made in ([], [(1, 5)], [(1, 5), (1, 5)]):
        with pytest.raises(AgentHeld):
            run_sync(agent, ASKED)
        assert desk.refunds == made
        assert engine.call(approve) == 1
    assert run_sync(agent, ASKED).output == ANSWER

    assert desk.refunds == [(1, 5), (1, 5), (2, 5)]
    assert desk.model_calls == 2


@pytest.mark.parametrize("times", [1, 2])
def test_the_same_task_under_an_id_that_comes_again_is_another_one(tmp_path: Path, times: int) -> None:
    desk = Numbering()
    lead = Numbering([[("ask_clerk", {"task": ASKED})], [("ask_clerk", {"task": ASKED})], "It is done."])
    with Engine(tmp_path / "desk.db", effects=["refund"]) as engine:
        clerk = desk.make_agent(engine)

        async def ask_clerk(task: str) -> str:
            answers = [(await clerk.run(task)).output for _ in range(times)]
            return f"{answers} after {len(desk.refunds)}"

        gates = [SeawallCapability(engine, request_id="r-1")]
        team = Agent(lead.make_model(), name="lead", tools=[ask_clerk], capabilities=gates)
        for _ in range(2):
            assert run_sync(team, "Have it refunded").output == "It is done."

        assert desk.refunds == [(1042, 5)] * 2 * times
        assert read_outcome(engine, "r-1").handoffs == 2 * times
