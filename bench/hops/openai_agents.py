"""OpenAI Agents: specialists as function tools of the coordinator, the reviewer called from code.

Its time limits, as its documentation has them: `timeout` of a function tool, which the model is told of;
and a time-out around the whole.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool, set_tracing_disabled
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from hops import BUDGET_S, SPECIALIST_S, Answer
from hops.world import TOOLS, World, case_of, request


class ScriptedModel(Model):
    """A model of one agent, with the world's replies in the world's time."""

    def __init__(self, world: World, agent: str) -> None:
        self._world = world
        self._agent = agent

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[Any],  # noqa: A002 - the base class names it
        *args: Any,
        **kwargs: Any,
    ) -> ModelResponse:
        items = [{"role": "user", "content": input}] if isinstance(input, str) else input
        first = next(item["content"] for item in items if item.get("role") == "user")
        results = [str(item["output"]) for item in items if item.get("type") == "function_call_output"]
        nth = 1 if results else 0
        reply = await self._world.reply(self._agent, first, results, nth)
        case = case_of(first)
        output: list[Any] = []
        for name in reply.calls:
            arguments = {"task": f"Look into case {case}."} if name.startswith("ask_") else {"case": case}
            output.append(
                ResponseFunctionToolCall(
                    type="function_call", call_id=f"c-{name}", name=name, arguments=json.dumps(arguments)
                )
            )
        if reply.text:
            text = ResponseOutputText(type="output_text", text=reply.text, annotations=[])
            output.append(
                ResponseOutputMessage(
                    id="msg", type="message", role="assistant", status="completed", content=[text]
                )
            )
        usage = Usage(requests=1, input_tokens=600, output_tokens=60, total_tokens=660)
        return ModelResponse(output=output, usage=usage, response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        raise NotImplementedError("the benchmark does not stream")


class OpenAIAgentsDesk:
    """The agents are global; a request is two calls of `Runner.run`."""

    version = f"openai-agents {version('openai-agents')}"
    limits = f"timeout={SPECIALIST_S:g} on each specialist's tool, asyncio.timeout({BUDGET_S:g}) around all"

    def __init__(self, world: World) -> None:
        set_tracing_disabled(True)
        self._config = RunConfig(tracing_disabled=True)
        asks = [self._ask(world, name) for name in TOOLS]
        self._desk = Agent(name="desk", model=ScriptedModel(world, "desk"), tools=asks)
        self._auditor = Agent(name="auditor", model=ScriptedModel(world, "auditor"))

    def _ask(self, world: World, name: str) -> Any:
        async def look(case: int) -> str:
            return await world.call(TOOLS[name], case)

        tool = function_tool(look, name_override=TOOLS[name])
        agent = Agent(name=name, model=ScriptedModel(world, name), tools=[tool])

        async def ask(task: str) -> str:
            return (await Runner.run(agent, task, run_config=self._config)).final_output

        return function_tool(ask, name_override=f"ask_{name}", timeout=SPECIALIST_S)

    async def answer(self, number: int) -> Answer | None:
        async with asyncio.timeout(BUDGET_S):
            text = (await Runner.run(self._desk, request(number), run_config=self._config)).final_output
            task = f"About case {number}: may this go out? {text}"
            verdict = await Runner.run(self._auditor, task, run_config=self._config)
            return Answer(text, '"approved": true' in verdict.final_output)

    async def close(self) -> None:
        """Nothing is held."""


def desk(world: World) -> OpenAIAgentsDesk:
    return OpenAIAgentsDesk(world)
