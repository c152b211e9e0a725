"""LangGraph: specialists as tools of a `create_agent` coordinator, the reviewer as a node.

Its time limits, as its documentation has them: `step_timeout` of a compiled graph, on each specialist, so that a
specialist that takes too long fails as a tool and the coordinator goes on; and a time-out around the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, tool

from hops import BUDGET_S, SPECIALIST_S, Answer
from hops.world import TOOLS, World, case_of, request


class ScriptedChat(BaseChatModel):
    """A chat model of one agent, with the world's replies in the world's time."""

    world: Any
    agent: str

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("everything here is async")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        first = next(str(m.content) for m in messages if isinstance(m, HumanMessage))
        results = [str(m.content) for m in messages if isinstance(m, ToolMessage)]
        nth = sum(isinstance(m, AIMessage) for m in messages)
        reply = await self.world.reply(self.agent, first, results, nth)
        case = case_of(first)
        calls = [
            {
                "id": f"c-{name}",
                "name": name,
                "args": {"task": f"Look into case {case}."} if name.startswith("ask_") else {"case": case},
            }
            for name in reply.calls
        ]
        message = AIMessage(content=reply.text, tool_calls=calls)  # pyright: ignore[reportArgumentType] -- dicts of that form are what it takes
        return ChatResult(generations=[ChatGeneration(message=message)])


def _lookup(world: World, name: str) -> BaseTool:
    @tool(name)
    async def function(case: int) -> str:
        """Look a case up."""
        return await world.call(name, case)

    return function


def _specialist(world: World, name: str) -> BaseTool:
    graph = create_agent(ScriptedChat(world=world, agent=name), [_lookup(world, TOOLS[name])], name=name)
    graph.step_timeout = SPECIALIST_S

    @tool(f"ask_{name}")
    async def ask(task: str) -> str:
        """Hand a task to a colleague."""
        try:
            result = await graph.ainvoke({"messages": [HumanMessage(task)]})
        except TimeoutError:
            return f"{name} did not answer in time."
        return str(result["messages"][-1].content)

    return ask


class LangGraphDesk:
    """One compiled coordinator."""

    version = f"langgraph {version('langgraph')}, langchain {version('langchain')}"
    limits = (
        f"step_timeout={SPECIALIST_S:g} on each specialist's graph, asyncio.timeout({BUDGET_S:g}) around all"
    )

    def __init__(self, world: World) -> None:
        specialists = [_specialist(world, name) for name in TOOLS]
        self._desk = create_agent(ScriptedChat(world=world, agent="desk"), specialists, name="desk")
        self._auditor = create_agent(ScriptedChat(world=world, agent="auditor"), [], name="auditor")

    async def answer(self, number: int) -> Answer | None:
        async with asyncio.timeout(BUDGET_S):
            result = await self._desk.ainvoke({"messages": [HumanMessage(request(number))]})
            text = str(result["messages"][-1].content)
            task = f"About case {number}: may this go out? {text}"
            verdict = await self._auditor.ainvoke({"messages": [HumanMessage(task)]})
            return Answer(text, '"approved": true' in str(verdict["messages"][-1].content))

    async def close(self) -> None:
        """Nothing is held."""


def desk(world: World) -> LangGraphDesk:
    return LangGraphDesk(world)
