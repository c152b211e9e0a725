"""Pydantic AI: delegation through tools, the reviewer called from code, as its multi-agent page advises.

Its time limits, as its documentation has them: `tool_timeout` of an agent, which the model is told of as something
to try again; and a time-out around the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.usage import RequestUsage

from hops import BUDGET_S, SPECIALIST_S, Answer
from hops.world import TOOLS, World, case_of, request


class ScriptedModel(Model):
    """A model of one agent, with the world's replies in the world's time."""

    def __init__(self, world: World, agent: str) -> None:
        super().__init__()
        self._world = world
        self._agent = agent

    @property
    def model_name(self) -> str:
        return "scripted"

    @property
    def system(self) -> str:
        return "scripted"

    async def request(
        self, messages: list[ModelMessage], model_settings: Any, model_request_parameters: Any
    ) -> ModelResponse:
        first = str(next(part.content for part in messages[0].parts if isinstance(part, UserPromptPart)))
        results = [
            str(part.content)
            for message in messages
            if isinstance(message, ModelRequest)
            for part in message.parts
            if isinstance(part, ToolReturnPart | RetryPromptPart)
        ]
        nth = sum(isinstance(message, ModelResponse) for message in messages)
        reply = await self._world.reply(self._agent, first, results, nth)
        case = case_of(first)
        parts: list[Any] = [
            ToolCallPart(
                name,
                {"task": f"Look into case {case}."} if name.startswith("ask_") else {"case": case},
                f"c-{name}",
            )
            for name in reply.calls
        ]
        if reply.text:
            parts.append(TextPart(reply.text))
        return ModelResponse(parts=parts, usage=RequestUsage(input_tokens=600, output_tokens=60))


def _lookup(world: World, name: str) -> Callable[..., Any]:
    async def function(case: int) -> str:
        """Look a case up."""
        return await world.call(name, case)

    function.__name__ = name
    return function


def _ask(world: World, name: str) -> Callable[..., Any]:
    agent = Agent(ScriptedModel(world, name), name=name, tools=[_lookup(world, TOOLS[name])])

    async def ask(task: str) -> str:
        """Hand a task to a colleague."""
        return (await agent.run(task)).output

    ask.__name__ = f"ask_{name}"
    return ask


class PydanticAIDesk:
    """The agents are global; a request is two calls of `Agent.run`."""

    version = f"pydantic-ai-slim {version('pydantic-ai-slim')}"
    limits = f"tool_timeout={SPECIALIST_S:g} on the coordinator, asyncio.timeout({BUDGET_S:g}) around all"

    def __init__(self, world: World) -> None:
        asks = [_ask(world, name) for name in TOOLS]
        self._desk = Agent(ScriptedModel(world, "desk"), name="desk", tools=asks, tool_timeout=SPECIALIST_S)
        self._auditor = Agent(ScriptedModel(world, "auditor"), name="auditor")

    async def answer(self, number: int) -> Answer | None:
        async with asyncio.timeout(BUDGET_S):
            text = (await self._desk.run(request(number))).output
            verdict = await self._auditor.run(f"About case {number}: may this go out? {text}")
            return Answer(text, '"approved": true' in verdict.output)

    async def close(self) -> None:
        """Nothing is held."""


def desk(world: World) -> PydanticAIDesk:
    return PydanticAIDesk(world)
