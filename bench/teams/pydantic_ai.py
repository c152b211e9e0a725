"""Pydantic AI: delegation through tools, the reviewer called from code, as its multi-agent page advises."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.usage import RequestUsage

from teams import Bench, Workload, script
from teams.script import Script


class ScriptedModel(Model):
    """A model that plays `agent` from the script.

    `FunctionModel` would do, but it works out what a provider's client needs at every call. That is the
    client's cost and not the runtime's, so it is left out.
    """

    def __init__(self, play: Script, agent: str) -> None:
        super().__init__()
        self._script = play
        self._agent = agent

    @property
    def model_name(self) -> str:
        """How it is shown."""
        return "scripted"

    @property
    def system(self) -> str:
        """Its provider."""
        return "scripted"

    async def request(
        self, messages: list[ModelMessage], model_settings: Any, model_request_parameters: Any
    ) -> ModelResponse:
        """The next reply of the script."""
        seen = sum(
            isinstance(part, ToolReturnPart)
            for message in messages
            if isinstance(message, ModelRequest)
            for part in message.parts
        )
        first = next(part.content for part in messages[0].parts if isinstance(part, UserPromptPart))
        reply = await self._script.reply(self._agent, seen, str(first))
        parts: list[Any] = [ToolCallPart(call.name, call.arguments, call.id) for call in reply.calls]
        if reply.text:
            parts.append(TextPart(reply.text))
        usage = RequestUsage(input_tokens=script.INPUT_TOKENS, output_tokens=script.OUTPUT_TOKENS)
        return ModelResponse(parts=parts, usage=usage, model_name=self.model_name)


def _agent(play: Script, name: str, tools: list[Any]) -> Agent[None, str]:
    prompt = script.PROMPTS.get(name, script.PROMPTS["clerk"])
    return Agent(ScriptedModel(play, name), instructions=prompt, name=name, tools=tools)


class PydanticAIBench:
    """The agents are global; a request is one or two calls of `Agent.run`."""

    def __init__(self, workload: Workload) -> None:
        self.script = Script()
        self.version = f"pydantic-ai-slim {version('pydantic-ai-slim')}"
        self.durability = "none"
        self._workload = workload
        tools = self.script.tools()
        if workload == "single":
            self._entry = _agent(self.script, "lookup", [tools["lookup"]])
            return
        clerk = _agent(self.script, "clerk", [tools["clerk"]])
        cashier = _agent(self.script, "cashier", [tools["cashier"]])

        async def ask_clerk(ctx: RunContext[None], task: str) -> str:
            """Hand a task to the clerk, who finds the facts of an order."""
            return (await clerk.run(task, usage=ctx.usage)).output

        async def ask_cashier(ctx: RunContext[None], task: str) -> str:
            """Hand a task to the cashier, who quotes what may be paid back."""
            return (await cashier.run(task, usage=ctx.usage)).output

        self._entry = _agent(self.script, "desk", [ask_clerk, ask_cashier])
        self._auditor = _agent(self.script, "auditor", [])

    async def run_one(self, number: int) -> str:
        """Serve one request."""
        request = script.request(number)
        result = await self._entry.run(request)
        if self._workload == "team":
            task = script.review_task(request, result.output)
            verdict = await self._auditor.run(task, usage=result.usage)
            assert script.approved(verdict.output)
        return result.output

    async def close(self) -> None:
        """Nothing is held between requests."""


async def setup(directory: Path, workload: Workload, variant: str) -> Bench:
    """There is one variant, in memory."""
    return PydanticAIBench(workload)
