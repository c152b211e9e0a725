"""OpenAI Agents SDK: the specialists as tools of the coordinator (`as_tool`), the reviewer called from code.

Both are the forms that its documentation gives for a manager and for a check of the answer.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agents import (
    Agent,
    Model,
    ModelResponse,
    RunConfig,
    Runner,
    SQLiteSession,
    Usage,
    function_tool,
    set_tracing_disabled,
)
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from teams import Bench, Workload, script
from teams.script import Script

_WORDS = {
    "memory": "none: no session",
    "sqlite": (
        "SQLiteSession on a file, WAL, synchronous=FULL: keeps the coordinator's conversation; specialists' "
        "and reviewer's steps are not kept, and a cut run does not resume from it"
    ),
}


class ScriptedModel(Model):
    """A model that plays `agent` from the script."""

    def __init__(self, play: Script, agent: str) -> None:
        self._script = play
        self._agent = agent

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[Any],  # noqa: A002 - the base class names it
        *args: Any,
        **kwargs: Any,
    ) -> ModelResponse:
        """The next reply of the script."""
        if isinstance(input, str):
            seen, first = 0, input
        else:
            seen = sum(item.get("type") == "function_call_output" for item in input)
            first = next(item["content"] for item in input if item.get("role") == "user")
        reply = await self._script.reply(self._agent, seen, first)
        output: list[Any] = [
            ResponseFunctionToolCall(
                type="function_call", call_id=call.id, name=call.name, arguments=json.dumps(call.arguments)
            )
            for call in reply.calls
        ]
        if reply.text:
            text = ResponseOutputText(type="output_text", text=reply.text, annotations=[])
            output.append(
                ResponseOutputMessage(
                    id="msg", type="message", role="assistant", status="completed", content=[text]
                )
            )
        usage = Usage(
            requests=1,
            input_tokens=script.INPUT_TOKENS,
            output_tokens=script.OUTPUT_TOKENS,
            total_tokens=script.INPUT_TOKENS + script.OUTPUT_TOKENS,
        )
        return ModelResponse(output=output, usage=usage, response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Not used here."""
        raise NotImplementedError("the benchmark does not stream")


class OpenAIAgentsBench:
    """The agents are global; a request is one or two calls of `Runner.run`."""

    def __init__(self, workload: Workload, sessions: Path | None) -> None:
        set_tracing_disabled(True)
        self._config = RunConfig(tracing_disabled=True)
        self.script = Script(delegate=lambda agent, task: (f"ask_{agent}", {"input": task}))
        self.version = f"openai-agents {version('openai-agents')}"
        self.durability = _WORDS["sqlite" if sessions else "memory"]
        self._workload = workload
        self._sessions = sessions
        tools = self.script.tools()
        if workload == "single":
            self._entry = self._agent("lookup", [function_tool(tools["lookup"])])
        else:
            clerk = self._agent("clerk", [function_tool(tools["clerk"])])
            cashier = self._agent("cashier", [function_tool(tools["cashier"])])
            self._entry = self._agent(
                "desk",
                [
                    clerk.as_tool("ask_clerk", "Hand a task to the clerk, who finds the facts of an order."),
                    cashier.as_tool("ask_cashier", "Hand a task to the cashier, who quotes refunds."),
                ],
            )
            self._auditor = self._agent("auditor", [])

    def _agent(self, name: str, tools: list[Any]) -> Agent[None]:
        prompt = script.PROMPTS.get(name, script.PROMPTS["clerk"])
        return Agent(name=name, instructions=prompt, model=ScriptedModel(self.script, name), tools=tools)

    async def run_one(self, number: int) -> str:
        """Serve one request."""
        request = script.request(number)
        if self._sessions is None:
            result = await Runner.run(self._entry, request, run_config=self._config)
        else:
            session = SQLiteSession(f"run-{number}", self._sessions)
            try:
                result = await Runner.run(self._entry, request, run_config=self._config, session=session)
            finally:
                session.close()
        answer: str = result.final_output
        if self._workload == "team":
            task = script.review_task(request, answer)
            verdict = await Runner.run(self._auditor, task, run_config=self._config)
            assert script.approved(verdict.final_output)
        return answer

    async def close(self) -> None:
        """Nothing is held between requests."""


async def setup(directory: Path, workload: Workload, variant: str) -> Bench:
    """`variant`: `memory` or `sqlite`."""
    return OpenAIAgentsBench(workload, directory / "sessions.db" if variant == "sqlite" else None)
