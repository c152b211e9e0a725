"""A process in which one framework works on a journal that other processes have open, too.

`python -m adapters.capped_worker FRAMEWORK` says that it is ready, and then reads jobs as JSON lines: it opens the journal, says
so, waits for a line, starts all runs at once, and writes how they ended.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

import httpx2

from seawall import Budget, Caps, Engine, Limits, Price

TENANT = "acme"
MODEL = "gpt-4o"
PRICE = Price(Decimal("2.50"), Decimal(10))
LIMITS = Limits(tool_calls=500, model_calls=500)
"""Out of reach, so that the tenant's cap is what ends a run."""
INSTRUCTIONS = "Look every order up.\n" * 100
FRAMEWORKS = ("langchain", "openai_agents", "pydantic_ai")
MODULES = {
    "langchain": ("langchain.agents", "langchain_openai"),
    "openai_agents": ("agents",),
    "pydantic_ai": ("pydantic_ai.models.openai", "pydantic_ai.providers.openai"),
}
"""What a run of each framework imports, beside its adapter and the client of the models."""
Play = Callable[[int], Awaitable[Any]]
"""Runs an agent until its run is halted; the number tells runs apart."""


def load(*frameworks: str) -> None:
    """Imports what runs of these frameworks need. Threads that import it at once may be given half a module each: where
    modules import each other in a circle, Python breaks the deadlock of their locks so."""
    for framework in frameworks:
        for module in ("httpx", "openai.resources", f"seawall.adapters.{framework}", *MODULES[framework]):
            importlib.import_module(module)


def call_tool(origin: str, order: str) -> str:
    """The tool of all frameworks: the server counts it."""
    with urllib.request.urlopen(
        f"{origin}/tools/find_order", data=json.dumps({"order": order}).encode()
    ) as answer:
        return answer.read().decode()


def make_langchain(engine: Engine, origin: str, http: httpx2.AsyncClient) -> Play:
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    from seawall.adapters.langchain import SeawallMiddleware

    @tool
    def find_order(order: str) -> str:
        """Find an order."""
        return call_tool(origin, order)

    model = ChatOpenAI(
        model=MODEL,
        base_url=f"{origin}/v1",
        api_key=SecretStr("none"),
        max_retries=0,
        max_completion_tokens=100,
        http_async_client=http,
    )
    agent = create_agent(
        model, [find_order], system_prompt=INSTRUCTIONS, middleware=[SeawallMiddleware(engine)]
    )
    config: Any = {"configurable": {"seawall_tenant": TENANT}, "recursion_limit": 10_000}

    async def play(number: int) -> Any:
        asked: Any = {"messages": [("user", f"Look, {number}.")]}
        return await agent.ainvoke(asked, config)

    return play


def make_openai_agents(engine: Engine, origin: str, http: httpx2.AsyncClient) -> Play:
    from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, RunConfig, function_tool
    from openai import AsyncOpenAI

    from seawall.adapters.openai_agents import SeawallRunner

    @function_tool
    def find_order(order: str) -> str:
        """Find an order."""
        return call_tool(origin, order)

    client = AsyncOpenAI(base_url=f"{origin}/v1", api_key="none", max_retries=0, http_client=http)
    agent = Agent[Any](
        name="clerk",
        instructions=INSTRUCTIONS,
        model=OpenAIChatCompletionsModel(MODEL, client),
        model_settings=ModelSettings(max_tokens=100),
        tools=[find_order],
    )
    runner = SeawallRunner(engine)

    async def play(number: int) -> Any:
        untraced = RunConfig(tracing_disabled=True)
        return await runner.run(
            agent, f"Look, {number}.", tenant=TENANT, max_turns=10_000, run_config=untraced
        )

    return play


def make_pydantic_ai(engine: Engine, origin: str, http: httpx2.AsyncClient) -> Play:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent, UsageLimits
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    from seawall.adapters.pydantic_ai import SeawallCapability

    def find_order(order: str) -> str:
        """Find an order."""
        return call_tool(origin, order)

    client = AsyncOpenAI(base_url=f"{origin}/v1", api_key="none", max_retries=0, http_client=http)
    agent = Agent(
        OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client)),
        name="clerk",
        instructions=INSTRUCTIONS,
        tools=[find_order],
        model_settings={"max_tokens": 100},
        capabilities=[SeawallCapability(engine, tenant=TENANT)],
    )

    async def play(number: int) -> Any:
        return await agent.run(f"Look, {number}.", usage_limits=UsageLimits(request_limit=None))

    return play


MAKERS: dict[str, Callable[[Engine, str, httpx2.AsyncClient], Play]] = {
    "langchain": make_langchain,
    "openai_agents": make_openai_agents,
    "pydantic_ai": make_pydantic_ai,
}


def make_engine(journal: str, caps: dict[str, Any]) -> Engine:
    """An engine on a journal with the tenant's cap of a day."""
    engine = Engine(
        journal,
        reads=["find_order"],
        limits=LIMITS,
        prices={f"openai:{MODEL}": PRICE},
        budget=Budget(tenant_day=Caps(**caps)),
        environment={},
    )
    engine.call(_nothing)
    return engine


async def _nothing(sea: Any) -> None:
    """Opens the engine."""


async def play_all(engine: Engine, origin: str, frameworks: Sequence[str]) -> list[dict[str, Any]]:
    """Plays a run in each of these frameworks, all at once; how each ended."""
    async with httpx2.AsyncClient(timeout=60.0) as http:
        made = {framework: MAKERS[framework](engine, origin, http) for framework in frameworks}
        runs = [made[framework](number) for number, framework in enumerate(frameworks)]
        found = await asyncio.gather(*runs, return_exceptions=True)
    return [describe(error) for error in found]


def describe(error: Any) -> dict[str, Any]:
    """How a run ended, as its framework's caller is told."""
    outcome = getattr(error, "outcome", None)
    by = None if outcome is None else outcome.stopped_by
    if outcome is None or by is None:
        return {"error": repr(error)}
    return {
        "guard": by.guard,
        "limit": by.limit,
        "value": by.value,
        "told": str(error),
        "model_calls": outcome.model_calls,
        "tool_calls": outcome.tool_calls,
    }


def tell(line: str) -> None:
    """Writes a line to who has started this process."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(framework: str) -> None:
    """Serves jobs until stdin ends."""
    load(framework)
    tell("ready")
    for line in sys.stdin:
        job = json.loads(line)
        with make_engine(job["journal"], job["caps"]) as engine:
            tell("open")
            sys.stdin.readline()
            tell(json.dumps(asyncio.run(play_all(engine, job["origin"], [framework] * job["runs"]))))


if __name__ == "__main__":
    main(sys.argv[1])
