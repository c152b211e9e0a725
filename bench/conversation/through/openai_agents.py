"""The runner of the OpenAI Agents SDK, plain and as `SeawallRunner`: a session a conversation, chat completions."""

from __future__ import annotations

import json
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    ModelSettings,
    OpenAIChatCompletionsModel,
    RunConfig,
    Runner,
    SQLiteSession,
)
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

from conversation.script import Script
from conversation.through.play import MODEL, TENANT, Place, Say
from conversation.world import SCHEMA, World
from seawall.adapters.openai_agents import SeawallRunner
from seawall.runtime.foreign.engine import Engine
from seawall.testing.wire import CONVERSATION_HEADER

PACKAGES = ("openai-agents", "openai")
UNIQUE_IDS = True
"""The SDK takes an id of a call that comes a second time for an error of the model."""
_TURNS = 10_000


def make(place: Place, script: Script, world: World, engine: Engine | None) -> Say:
    """One conversation."""
    client = AsyncOpenAI(base_url=place.base_url, api_key="none", max_retries=0, http_client=place.client)
    agent = Agent[Any](
        name="agent",
        instructions=script.system,
        model=OpenAIChatCompletionsModel(MODEL, client),
        model_settings=ModelSettings(extra_headers={CONVERSATION_HEADER: script.key}, include_usage=True),
        tools=[_make_tool(world, name) for names in script.owners.values() for name in names],
    )
    runner: Any = Runner if engine is None else SeawallRunner(engine)
    session = SQLiteSession(script.key)
    place.closing.callback(session.close)
    options: dict[str, Any] = {} if engine is None else {"tenant": TENANT}
    options |= {
        "session": session,
        "max_turns": _TURNS,
        "run_config": RunConfig(tracing_disabled=True),
    }

    async def say(request: str, *, stream: bool) -> tuple[str, str]:
        if not stream:
            return str((await runner.run(agent, request, **options)).final_output), ""
        result, text = runner.run_streamed(agent, request, **options), ""
        async for event in result.stream_events():
            data = getattr(event, "data", None)
            text += data.delta if isinstance(data, ResponseTextDeltaEvent) else ""
        return str(result.final_output), text

    return say


def _make_tool(world: World, name: str) -> FunctionTool:
    async def play(_: Any, arguments: str) -> str:
        return await world.call(name, json.loads(arguments))

    return FunctionTool(
        name=name,
        description=f"{name}, as recorded.",
        params_json_schema=dict(SCHEMA),
        on_invoke_tool=play,
        strict_json_schema=False,
    )
