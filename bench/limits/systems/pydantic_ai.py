"""Pydantic AI: delegation through tools that share the coordinator's usage, as its multi-agent page shows.

`docs`: `UsageLimits` (https://ai.pydantic.dev/agents/#usage-limits) with the default `request_limit` of 50 and, where money is
limited, `cost_limit`; `timeout` of the run, where time is; the retrying HTTP transport of
https://ai.pydantic.dev/retries/, number by number.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from httpx2 import AsyncClient, HTTPStatusError
from pydantic_ai import Agent, RunContext, Tool, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.retries import AsyncHTTPX2TenacityTransport, RetryConfig, wait_retry_after
from tenacity import retry_if_exception_type, stop_after_attempt, wait_exponential

from limits.asked import MODEL, Asked, AskedRun
from limits.remote import call
from limits.systems import instructions

_REQUESTS = 50


def _retrying() -> AsyncClient:
    def check(response: Any) -> None:
        if response.status_code in (429, 502, 503, 504):
            response.raise_for_status()

    transport = AsyncHTTPX2TenacityTransport(
        config=RetryConfig(
            retry=retry_if_exception_type((HTTPStatusError, ConnectionError)),
            wait=wait_retry_after(fallback_strategy=wait_exponential(multiplier=1, max=60), max_wait=300),
            stop=stop_after_attempt(5),
            reraise=True,
        ),
        validate_response=check,
    )
    return AsyncClient(transport=transport)


class PydanticAI:
    """An agent a run, so that its tools know which run they serve; one client for all."""

    def __init__(
        self,
        asked: Asked,
        capabilities: Sequence[Any] = (),
        limits: UsageLimits | None = None,
        *,
        retries: bool = False,
    ) -> None:
        """`limits` and `retries` stand in the place of what is configured."""
        self._asked, self._capabilities = asked, capabilities
        self.version = f"pydantic-ai-slim {version('pydantic-ai-slim')}, openai {version('openai')}"
        configured = asked.config != "default"
        self._http = _retrying() if configured or retries else None
        provider = OpenAIProvider(base_url=f"{asked.base_url}/v1", api_key="none", http_client=self._http)
        self._model = OpenAIChatModel(MODEL, provider=provider)
        self._time_s = asked.budget_s if configured else None
        usd = Decimal(asked.budget_usd) if asked.budget_usd and configured else None
        fitted = asked.config == "fitted"
        self._limits = limits or UsageLimits(
            request_limit=asked.calls + 1 if fitted else _REQUESTS,
            tool_calls_limit=asked.calls if fitted else None,
            cost_limit=usd,
        )
        self.configured = (
            f"{self._limits!r}" if configured else f"nothing (request_limit {_REQUESTS}; client: 2 retries)"
        )
        if configured:
            self.configured += ", retrying transport (5 attempts)"
            self.configured += f", run timeout {self._time_s:g} s" if self._time_s else ""

    def _agent(self, name: str, tools: list[Any]) -> Agent[None, str]:
        return Agent(
            self._model,
            instructions=instructions(self._asked, name),
            name=name,
            tools=tools,
            capabilities=self._capabilities,
        )

    async def turn(self, run: AskedRun, number: int, request: str) -> str:
        """One run of the agent."""
        asked = self._asked

        def tool(name: str) -> Tool[None]:
            async def play(arguments: str) -> str:
                return await call(asked.base_url, run, number, name, arguments)

            return Tool(play, name=name, description=f"{name}, on JSON.")

        tools: list[Any] = [tool(one.name) for one in asked.tools]
        if asked.specialists:
            tools = [self._specialist(name, tools) for name in asked.specialists]
        agent = self._agent("desk", tools)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # that a limit can't be enforced must not go unseen
            result = await agent.run(request, usage_limits=self._limits, timeout=self._time_s)
        return result.output

    def _specialist(self, name: str, tools: list[Any]) -> Tool[None]:
        agent = self._agent(name, tools)

        async def ask(ctx: RunContext[None], task: str) -> str:
            return (await agent.run(task, usage=ctx.usage, usage_limits=self._limits)).output

        return Tool(ask, name=f"ask_{name}", description=f"Hand a task to the {name}.")

    async def close(self) -> None:
        """Close the client."""
        if self._http is not None:
            await self._http.aclose()


async def setup(asked: Asked) -> PydanticAI:
    """For one cell."""
    return PydanticAI(asked)
