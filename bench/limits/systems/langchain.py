"""LangChain's `create_agent`, specialists as tools of the coordinator (its "subagents" pattern).

`docs` is what https://docs.langchain.com/oss/python/langchain/middleware/built-in shows for model call limit, tool call
limit, model retry and tool retry, number by number; a checkpointer, since thread limits need one. There is no limit
for money or tokens. For time: the client's `timeout`, and `step_timeout` of the graph
(https://reference.langchain.com/python/langgraph/pregel/), which bounds each step and not the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.messages import HumanMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from limits.asked import MODEL, Asked, AskedRun
from limits.remote import call
from limits.systems import instructions


def make_retries() -> list[Any]:
    """Of models and of tools."""
    return [
        ModelRetryMiddleware(max_retries=3, backoff_factor=2.0, initial_delay=1.0),
        ToolRetryMiddleware(max_retries=3, backoff_factor=2.0, initial_delay=1.0),
    ]


class LangChain:
    """An agent a run, so that its tools know which run they serve; one client for all."""

    def __init__(
        self, asked: Asked, middleware: Sequence[Any] | None = None, client_retries: int | None = None
    ) -> None:
        """`middleware` stands in the place of what is configured of LangChain's own."""
        self._asked, self._given = asked, middleware
        self.version = ", ".join(
            f"{name} {version(name)}" for name in ("langchain", "langgraph", "langchain-openai")
        )
        self._model = ChatOpenAI(
            model=MODEL,
            base_url=f"{asked.base_url}/v1",
            api_key=SecretStr("none"),
            timeout=None if asked.config == "default" else asked.budget_s,
            max_retries=client_retries,
        )
        self._saver = None if asked.config == "default" else InMemorySaver()
        self.configured = self._words()

    def _words(self) -> str:
        asked = self._asked
        words = {
            "default": "nothing (recursion_limit 9,999; client: 2 retries)",
            "docs": "ModelCallLimit(thread 10, run 5), ToolCallLimit(thread 20, run 10), ModelRetry(3), ToolRetry(3)",
            "fitted": f"ModelCallLimit(run {asked.calls + 1}), ToolCallLimit(run {asked.calls}), ModelRetry(3), ToolRetry(3)",
        }[asked.config]
        if asked.config != "default" and asked.budget_s:
            words += f", client timeout and step_timeout {asked.budget_s:g} s"
        if asked.config != "default" and asked.budget_usd:
            words += "; it has no limit for money or tokens"
        return words

    def _middleware(self) -> list[Any]:
        if self._given is not None:
            return list(self._given)
        retries = make_retries()
        match self._asked.config:
            case "default":
                return []
            case "docs":
                model = ModelCallLimitMiddleware(thread_limit=10, run_limit=5, exit_behavior="end")
                return [model, ToolCallLimitMiddleware(thread_limit=20, run_limit=10), *retries]
            case "fitted":
                model = ModelCallLimitMiddleware(run_limit=self._asked.calls + 1, exit_behavior="end")
                return [model, ToolCallLimitMiddleware(run_limit=self._asked.calls), *retries]

    def _agent(self, name: str, tools: list[StructuredTool], saver: Any = None) -> Any:
        agent = create_agent(
            self._model,
            tools,
            system_prompt=instructions(self._asked, name),
            middleware=self._middleware(),
            checkpointer=saver,
        )
        if self._asked.config != "default":
            agent.step_timeout = self._asked.budget_s
        return agent

    async def turn(self, run: AskedRun, number: int, request: str) -> str:
        """One invocation; a run's user messages share a thread."""
        asked = self._asked

        def tool(name: str) -> StructuredTool:
            async def play(arguments: str) -> str:
                return await call(asked.base_url, run, number, name, arguments)

            return StructuredTool.from_function(coroutine=play, name=name, description=f"{name}, on JSON.")

        tools = [tool(one.name) for one in asked.tools]
        if asked.specialists:
            tools = [self._specialist(name, tools) for name in asked.specialists]
        agent = self._agent("desk", tools, self._saver)
        config: Any = {"configurable": {"thread_id": run.key}} if self._saver else None
        result = await agent.ainvoke({"messages": [HumanMessage(request)]}, config)
        return str(result["messages"][-1].content)

    def _specialist(self, name: str, tools: list[StructuredTool]) -> StructuredTool:
        agent = self._agent(name, tools)

        async def ask(task: str) -> str:
            result = await agent.ainvoke({"messages": [HumanMessage(task)]})
            return str(result["messages"][-1].content)

        return StructuredTool.from_function(
            coroutine=ask, name=f"ask_{name}", description=f"Hand a task to the {name}."
        )

    async def close(self) -> None:
        """Nothing is held but the client's connections."""


async def setup(asked: Asked) -> LangChain:
    """For one cell."""
    return LangChain(asked)
