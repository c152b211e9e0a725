"""Pydantic AI's `Agent`, plain and with `SeawallCapability`; each request is given the messages of those before."""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import Agent, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta, Tool, UsageLimits
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from conversation.script import Script
from conversation.through.play import MODEL, TENANT, Place, Say
from conversation.world import SCHEMA, World
from seawall.adapters.pydantic_ai import SeawallCapability
from seawall.runtime.foreign.engine import Engine
from seawall.testing.wire import CONVERSATION_HEADER

PACKAGES = ("pydantic-ai-slim", "openai")
UNIQUE_IDS = False


def make(place: Place, script: Script, world: World, engine: Engine | None) -> Say:
    """One conversation."""
    client = AsyncOpenAI(base_url=place.base_url, api_key="none", max_retries=0, http_client=place.client)
    agent = Agent(
        OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client)),
        name="agent",
        system_prompt=script.system,  # instructions lose their last line break
        tools=[_make_tool(world, name) for names in script.owners.values() for name in names],
        model_settings={"extra_headers": {CONVERSATION_HEADER: script.key}},
        capabilities=[] if engine is None else [SeawallCapability(engine, tenant=TENANT)],
    )
    history: list[ModelMessage] = []

    async def say(request: str, *, stream: bool) -> tuple[str, str]:
        texts: list[str] = []

        async def hear(_: Any, events: Any) -> None:
            async for event in events:
                if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                    texts.append(event.part.content)
                elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                    texts.append(event.delta.content_delta)

        result = await agent.run(
            request,
            message_history=history,
            conversation_id=script.key,
            usage_limits=UsageLimits(request_limit=None),
            event_stream_handler=hear if stream else None,
        )
        history[:] = result.all_messages()
        return result.output, "".join(texts)

    return say


def _make_tool(world: World, name: str) -> Tool[Any]:
    async def play(**arguments: Any) -> str:
        return await world.call(name, arguments)

    return Tool.from_schema(play, name=name, description=f"{name}, as recorded.", json_schema=dict(SCHEMA))
