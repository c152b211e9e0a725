"""LangGraph and LangChain: `create_agent` agents, the specialists as tools of the coordinator.

That is the supervisor form which LangChain's multi-agent guide recommends (`langgraph-supervisor` points to
it too). Coordinator and review are nodes of one `StateGraph`; with a saver, the agents below inherit it, so
that their steps are checkpointed as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypedDict

import aiosqlite
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from teams import Bench, Workload, script
from teams.script import Script

_WORDS = {
    "memory": "none: no checkpointer",
    "async": (
        "AsyncSqliteSaver on a file, WAL, synchronous={sync}; durability='async' (the default): a step's "
        "checkpoint is written while the next step runs, so a crash can lose steps that were acted on"
    ),
    "sync": (
        "AsyncSqliteSaver on a file, WAL, synchronous={sync}; durability='sync': a step's checkpoint is "
        "committed before the next step starts"
    ),
}


class ScriptedChat(BaseChatModel):
    """A chat model that plays `agent` from the script."""

    script: Any
    agent: str

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        # A provider's client would build each tool's wire schema here, at every call. That is the client's
        # cost and not the runtime's, so it is left out.
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("the benchmark is async throughout")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        seen = sum(isinstance(message, ToolMessage) for message in messages)
        first = next(message for message in messages if isinstance(message, HumanMessage))
        reply = await self.script.reply(self.agent, seen, first.content)
        message = AIMessage(
            reply.text,
            tool_calls=[
                {"name": call.name, "args": call.arguments, "id": call.id, "type": "tool_call"}
                for call in reply.calls
            ],
            usage_metadata={
                "input_tokens": script.INPUT_TOKENS,
                "output_tokens": script.OUTPUT_TOKENS,
                "total_tokens": script.INPUT_TOKENS + script.OUTPUT_TOKENS,
            },
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


class TeamState(MessagesState):
    """The conversation, and what the reviewer said."""

    approved: bool


class NodesState(TypedDict):
    """A number that each node counts up."""

    count: int


def _agent(play: Script, name: str, tools: Sequence[BaseTool] = (), saver: Any = None) -> Any:
    prompt = script.PROMPTS.get(name, script.PROMPTS["clerk"])
    return create_agent(
        ScriptedChat(script=play, agent=name),
        list(tools),
        system_prompt=prompt,
        name=name,
        checkpointer=saver,
    )


def _team(play: Script, saver: Any) -> Any:
    tools = play.tools()
    clerk = _agent(play, "clerk", [tool(tools["clerk"])])
    cashier = _agent(play, "cashier", [tool(tools["cashier"])])

    @tool
    async def ask_clerk(task: str) -> str:
        """Hand a task to the clerk, who finds the facts of an order."""
        result = await clerk.ainvoke({"messages": [HumanMessage(task)]})
        return result["messages"][-1].content

    @tool
    async def ask_cashier(task: str) -> str:
        """Hand a task to the cashier, who quotes what may be paid back."""
        result = await cashier.ainvoke({"messages": [HumanMessage(task)]})
        return result["messages"][-1].content

    auditor = _agent(play, "auditor")

    async def review(state: TeamState) -> dict[str, Any]:
        messages = state["messages"]
        task = script.review_task(str(messages[0].content), str(messages[-1].content))
        result = await auditor.ainvoke({"messages": [HumanMessage(task)]})
        return {"approved": script.approved(result["messages"][-1].content)}

    def after_review(state: TeamState) -> Literal["desk", "__end__"]:
        return "__end__" if state["approved"] else "desk"

    graph = StateGraph(TeamState)
    graph.add_node("desk", _agent(play, "desk", [ask_clerk, ask_cashier]))
    graph.add_node("review", review)
    graph.add_edge(START, "desk")
    graph.add_edge("desk", "review")
    graph.add_conditional_edges("review", after_review)
    return graph.compile(checkpointer=saver)


def _nodes(play: Script, saver: Any) -> Any:
    """The bare graph: what the engine costs with nothing in it. A step is a node."""

    async def node(state: NodesState) -> dict[str, int]:
        play.counts.tool += 1
        return {"count": state["count"] + 1}

    graph = StateGraph(NodesState)
    names = [f"node{n}" for n in range(script.PER_RUN["nodes"].tool)]
    graph.add_sequence([(name, node) for name in names])
    graph.add_edge(START, names[0])
    return graph.compile(checkpointer=saver)


class LangGraphBench:
    """One compiled graph, a thread for each request."""

    def __init__(self, workload: Workload, variant: str, connection: aiosqlite.Connection | None) -> None:
        self.script = Script()
        self.version = ", ".join(f"{p} {version(p)}" for p in ("langgraph", "langchain"))
        if connection:
            self.version += f", langgraph-checkpoint-sqlite {version('langgraph-checkpoint-sqlite')}"
        self.durability = _WORDS[variant]
        self._workload = workload
        self._connection = connection
        self._options: dict[str, Any] = {"durability": variant} if connection else {}
        saver = AsyncSqliteSaver(connection) if connection else None
        self._saver = saver
        match workload:
            case "team":
                self._graph = _team(self.script, saver)
            case "single":
                self._graph = _agent(self.script, "lookup", [tool(self.script.tools()["lookup"])], saver)
            case "nodes":
                self._graph = _nodes(self.script, saver)

    async def start(self) -> None:
        """Make the tables, and read back how the file is synced."""
        if self._saver and self._connection:
            await self._saver.setup()
            async with self._connection.execute("PRAGMA synchronous") as cursor:
                row = await cursor.fetchone()
            self.durability = self.durability.format(sync={1: "NORMAL", 2: "FULL"}[row[0] if row else -1])

    async def run_one(self, number: int) -> str:
        """Serve one request on a thread of its own."""
        config: Any = {"configurable": {"thread_id": str(number)}} if self._connection else None
        if self._workload == "nodes":
            result = await self._graph.ainvoke({"count": 0}, config, **self._options)
            assert result["count"] == script.PER_RUN["nodes"].tool, json.dumps(result)
            return script.answer(number)
        message = HumanMessage(script.request(number))
        result = await self._graph.ainvoke({"messages": [message]}, config, **self._options)
        return result["messages"][-1].content

    async def close(self) -> None:
        """Close the file."""
        if self._connection:
            await self._connection.close()


async def setup(directory: Path, workload: Workload, variant: str) -> Bench:
    """`variant`: `memory`, or the saver's durability mode."""
    connection = None if variant == "memory" else await aiosqlite.connect(directory / "checkpoints.db")
    bench = LangGraphBench(workload, variant, connection)
    await bench.start()
    return bench
