"""OpenAI Agents SDK: specialists as tools of the coordinator (`as_tool`), chat completions.

`docs`: `max_turns` (https://openai.github.io/openai-agents-python/running_agents/) at its documented default of 10, also
for the specialists; runner-managed retries as https://openai.github.io/openai-agents-python/models/ shows them, number
by number; `timeout` of tools and of model requests (`ModelSettings.timeout`). There is no limit for the time of a
run, for money or for tokens.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from agents import (
    Agent,
    ModelRetrySettings,
    ModelSettings,
    OpenAIChatCompletionsModel,
    RunConfig,
    Runner,
    function_tool,
    retry_policies,
    set_tracing_disabled,
)
from openai import DEFAULT_MAX_RETRIES, AsyncOpenAI

from limits.asked import MODEL, Asked, AskedRun
from limits.remote import call
from limits.systems import instructions

_MAX_TURNS = 10


def make_retries() -> ModelRetrySettings:
    """Of models, by the runner."""
    return ModelRetrySettings(
        max_retries=4,
        backoff={"initial_delay": 0.5, "max_delay": 5.0, "multiplier": 2.0, "jitter": True},
        policy=retry_policies.any(
            retry_policies.provider_suggested(),
            retry_policies.retry_after(),
            retry_policies.network_error(),
            retry_policies.http_status([408, 409, 429, 500, 502, 503, 504]),
        ),
    )


class OpenAIAgents:
    """An agent a run, so that its tools know which run they serve; one client for all."""

    def __init__(
        self,
        asked: Asked,
        runner: Any = Runner,
        *,
        settings: ModelSettings | None = None,
        max_turns: int | None = None,
        client_retries: int = DEFAULT_MAX_RETRIES,
    ) -> None:
        """`settings` and `max_turns` stand in the place of what is configured."""
        set_tracing_disabled(True)
        self._asked, self._runner, self._settings = asked, runner, settings
        self.version = f"openai-agents {version('openai-agents')}, openai {version('openai')}"
        self._client = AsyncOpenAI(
            base_url=f"{asked.base_url}/v1", api_key="none", max_retries=client_retries
        )
        self._model = OpenAIChatCompletionsModel(model=MODEL, openai_client=self._client)
        fitted = asked.calls + 1 if asked.config == "fitted" else _MAX_TURNS
        self._max_turns = max_turns or fitted
        self._time_s = None if asked.config == "default" else asked.budget_s
        self.configured = self._words()

    def _words(self) -> str:
        asked = self._asked
        if asked.config == "default":
            return f"nothing (max_turns {_MAX_TURNS}; client: 2 retries)"
        words = f"max_turns {self._max_turns}, ModelRetrySettings(4)"
        if asked.budget_s:
            words += f", timeout {asked.budget_s:g} s of tools and model requests; it has no limit for a run's time"
        if asked.budget_usd:
            words += "; it has no limit for money or tokens"
        return words

    def _agent(self, name: str, tools: list[Any]) -> Agent[None]:
        settings = self._settings or ModelSettings()
        if self._asked.config != "default":
            settings = ModelSettings(retry=make_retries(), timeout=self._time_s)
        return Agent(
            name=name,
            instructions=instructions(self._asked, name),
            model=self._model,
            model_settings=settings,
            tools=tools,
        )

    async def turn(self, run: AskedRun, number: int, request: str) -> str:
        """One run of the runner."""
        asked = self._asked

        def tool(name: str) -> Any:
            async def play(arguments: str) -> str:
                return await call(asked.base_url, run, number, name, arguments)

            return function_tool(
                play, name_override=name, description_override=f"{name}, on JSON.", timeout=self._time_s
            )

        tools = [tool(one.name) for one in asked.tools]
        if asked.specialists:
            tools = [
                self._agent(name, tools).as_tool(
                    f"ask_{name}", f"Hand a task to the {name}.", max_turns=self._max_turns
                )
                for name in asked.specialists
            ]
        result = await self._runner.run(
            self._agent("desk", tools),
            request,
            max_turns=self._max_turns,
            run_config=RunConfig(tracing_disabled=True),
        )
        return str(result.final_output)

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


async def setup(asked: Asked) -> OpenAIAgents:
    """For one cell."""
    return OpenAIAgents(asked)
