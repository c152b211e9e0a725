"""LangChain's `create_agent`: a thread a conversation, with `SeawallMiddleware` last where there is an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from conversation.script import Script
from conversation.through.play import MODEL, TENANT, Place, Say
from conversation.world import SCHEMA, World
from seawall.adapters.langchain import SeawallMiddleware
from seawall.runtime.foreign.engine import Engine
from seawall.testing.wire import CONVERSATION_HEADER

PACKAGES = ("langchain", "langgraph", "langchain-openai", "openai")
UNIQUE_IDS = False


def make(place: Place, script: Script, world: World, engine: Engine | None) -> Say:
    """One conversation."""
    middleware = [] if engine is None else [SeawallMiddleware(engine)]
    return converse(make_model(place, script), script, world, middleware, lambda agent: agent)


def make_model(place: Place, script: Script) -> ChatOpenAI:
    """The model; a header says which conversation it is."""
    return ChatOpenAI(
        model=MODEL,
        base_url=place.base_url,
        api_key=SecretStr("none"),
        max_retries=0,
        http_async_client=place.client,
        default_headers={CONVERSATION_HEADER: script.key},
        stream_usage=True,
    )


def converse(
    model: ChatOpenAI,
    script: Script,
    world: World,
    middleware: list[SeawallMiddleware],
    gate: Callable[[Any], Any],
) -> Say:
    """One conversation with an agent that has this middleware, and that `gate` is put around."""
    agent = gate(
        create_agent(
            model,
            [_make_tool(world, name) for names in script.owners.values() for name in names],
            system_prompt=script.system,
            middleware=middleware,
            checkpointer=InMemorySaver(),
        )
    )
    config: Any = {
        "configurable": {"thread_id": script.key, "seawall_tenant": TENANT},
        "recursion_limit": 10_000,
    }

    async def say(request: str, *, stream: bool) -> tuple[str, str]:
        given: Any = {"messages": [HumanMessage(request)]}
        if not stream:
            state = await agent.ainvoke(given, config)
            return str(state["messages"][-1].text), ""
        text = ""
        async for chunk, _ in agent.astream(given, config, stream_mode="messages"):
            text += str(chunk.text) if isinstance(chunk, AIMessageChunk) else ""
        state = await agent.aget_state(config)
        return str(state.values["messages"][-1].text), text

    return say


def _make_tool(world: World, name: str) -> StructuredTool:
    async def play(**arguments: Any) -> str:
        return await world.call(name, arguments)

    return StructuredTool(coroutine=play, name=name, description=f"{name}, as recorded.", args_schema=SCHEMA)
