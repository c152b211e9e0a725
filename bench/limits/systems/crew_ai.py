"""CrewAI: an agent and its task in a crew; a specialist is a tool of the coordinator that kicks off a crew of its own.

Its own delegation (`allow_delegation`) runs one task at a time of a coworker: of thirty tasks handed out in one reply,
29 came back as "Executor is already running", so that a fan-out could not be measured with it.

`docs`: https://docs.crewai.com/en/concepts/agents shows `max_iter=20`, `max_retry_limit=2`, and `max_execution_time` for an
agent that must not take long; it takes whole seconds. `max_rpm` slows an agent down to so many requests a minute and
never ends it, so it is not set. There is no limit for money or tokens.
"""

from __future__ import annotations

import os

os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true",
    CREWAI_DISABLE_TRACKING="true",
    CREWAI_TRACING_ENABLED="false",
    OTEL_SDK_DISABLED="true",
    CREWAI_TESTING="true",
)

from importlib.metadata import version
from typing import Any

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool as as_tool

from limits.asked import MODEL, Asked, AskedRun
from limits.remote import call
from limits.systems import instructions

_MAX_ITER = 20


class CrewAI:
    """A crew a run."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.version = f"crewai {version('crewai')}, openai {version('openai')}"
        self._llm = LLM(model=f"openai/{MODEL}", base_url=f"{asked.base_url}/v1", api_key="none")
        self._options: dict[str, Any] = {}
        if asked.config != "default":
            self._options = {
                "max_iter": asked.calls + 1 if asked.config == "fitted" else _MAX_ITER,
                "max_retry_limit": 2,
                "max_execution_time": int(asked.budget_s) if asked.budget_s else None,
            }
        self.configured = self._words()

    def _words(self) -> str:
        if not self._options:
            return "nothing (max_iter 25, max_retry_limit 2, tool cache on; client: 2 retries)"
        words = ", ".join(f"{name} {value}" for name, value in self._options.items() if value is not None)
        return words + ("; it has no limit for money or tokens" if self._asked.budget_usd else "")

    async def _kickoff(self, name: str, tools: list[Any], request: str) -> str:
        agent = Agent(
            role=name,
            goal="Answer the request.",
            backstory=instructions(self._asked, name),
            llm=self._llm,
            tools=tools,
            **self._options,
        )
        task = Task(description=request, expected_output="The answer.", agent=agent)
        return str((await Crew(agents=[agent], tasks=[task], tracing=False).akickoff()).raw)

    async def turn(self, run: AskedRun, number: int, request: str) -> str:
        """One kickoff."""
        asked = self._asked

        def tool(name: str) -> Any:
            async def play(arguments: str) -> str:
                return await call(asked.base_url, run, number, name, arguments)

            play.__doc__ = f"{name}, on JSON."
            return as_tool(name)(play)

        tools = [tool(one.name) for one in asked.tools]
        if asked.specialists:
            tools = [self._specialist(name, tools) for name in asked.specialists]
        return await self._kickoff("desk", tools, request)

    def _specialist(self, name: str, tools: list[Any]) -> Any:
        async def ask(task: str) -> str:
            return await self._kickoff(name, tools, task)

        ask.__doc__ = f"Hand a task to the {name}."
        return as_tool(f"ask_{name}")(ask)

    async def close(self) -> None:
        """Nothing is held but the client's connections."""


async def setup(asked: Asked) -> CrewAI:
    """For one cell."""
    return CrewAI(asked)
