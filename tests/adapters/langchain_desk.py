"""A desk of LangChain's own agents, with models that follow a script and tools whose calls are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import Field

from seawall import Effect, Principal, always
from seawall.core.events import Event
from seawall.journal.protocol import RunFilter
from seawall.runtime.foreign.engine import Engine

USAGE: Any = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
ASK: Any = {"messages": [("user", "Refund order 1042")]}
SIGNED = {"refund": Effect(approve=always())}
BOSS = "boss"


def say(text: str) -> AIMessage:
    return AIMessage(text, usage_metadata=USAGE)


def call(*wanted: tuple[str, dict[str, Any]], prefix: str = "call") -> AIMessage:
    """A reply that calls tools; the calls are numbered."""
    calls: Any = [
        {"name": name, "args": arguments, "id": f"{prefix}-{number}"}
        for number, (name, arguments) in enumerate(wanted, 1)
    ]
    return AIMessage("", tool_calls=calls, usage_metadata=USAGE)


Script = Sequence[AIMessage | Exception] | Callable[[list[BaseMessage]], AIMessage | Exception]


class ScriptedChat(BaseChatModel):
    """Answers by a script: the n-th reply after n replies in the request, or what a function says of the messages."""

    script: Any
    seen: list[list[BaseMessage]] = Field(default_factory=list)
    model_name: str = "scripted"

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        return self

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        self.seen.append(list(messages))
        if callable(self.script):
            answer = self.script(messages)
        else:
            replies = sum(isinstance(message, AIMessage) for message in messages)
            answer = self.script[min(replies, len(self.script) - 1)]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, AIMessage)
        return answer.model_copy()

    def _generate(self, messages: list[BaseMessage], *arguments: Any, **options: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])


class StreamingChat(ScriptedChat):
    """Streams the words of its answer."""

    def _stream(self, messages: list[BaseMessage], *arguments: Any, **options: Any) -> Any:
        answer = self._answer(messages)
        words = str(answer.text).split(" ")
        for number, word in enumerate(words):
            last = number == len(words) - 1
            chunk = AIMessageChunk(
                content=word if last else f"{word} ",
                tool_call_chunks=[
                    {
                        "name": each["name"],
                        "args": str(each["args"]).replace("'", '"'),
                        "id": each["id"],
                        "index": at,
                    }
                    for at, each in enumerate(answer.tool_calls)
                ]
                if last
                else [],
                usage_metadata=USAGE if last else None,
            )
            yield ChatGenerationChunk(message=chunk)


def make_model(script: Script, kind: type[ScriptedChat] = ScriptedChat) -> ScriptedChat:
    return kind(script=script)


class Bank:
    """The outside world: counts what reaches it."""

    def __init__(self) -> None:
        self.refunds: list[int] = []
        self.finds: list[int] = []
        self._lock = Lock()

    @property
    def tools(self) -> list[BaseTool]:
        bank = self

        @tool
        def find_order(order: int) -> str:
            """Find an order."""
            with bank._lock:
                bank.finds.append(order)
            return f"order {order} is paid"

        @tool
        def refund(order: int) -> str:
            """Refund an order."""
            with bank._lock:
                bank.refunds.append(order)
            return f"refund {len(bank.refunds)}"

        return [find_order, refund]


REFUND: Script = [call(("refund", {"order": 1042})), say("Order 1042 was refunded.")]


def identify(credential: Any) -> Principal:
    return Principal(str(credential)) if credential == BOSS else None  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def make_engine(journal: Path | str = ":memory:", **options: Any) -> Engine:
    return Engine(
        journal, **{"effects": ["refund"], "reads": ["find_order"], "authenticate": identify, **options}
    )


def list_runs(engine: Engine) -> list[Any]:
    """Returns the rows of all runs, oldest first."""
    rows = engine.call(lambda sea: sea.journal.runs(RunFilter(), limit=100))
    return sorted(rows, key=lambda row: row.run)


def list_events(engine: Engine, run: str) -> list[Event]:
    async def read(sea: Any) -> list[Event]:
        return list(await sea.journal.events(run))

    return engine.call(read)


async def approve_all(sea: Any) -> int:
    found = await sea.approvals()
    for each in found:
        await sea.approve(each.id, hash=each.hash, credential=BOSS)
    return len(found)


def build_graph(model: Any, tools: Any, *, mode: str = "sync", handles: Any = True, **compiled: Any) -> Any:
    """The usual loop: a node that calls the model, a `ToolNode`, and back."""

    def agent(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    async def agent_async(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("agent", agent if mode == "sync" else agent_async)
    graph.add_node("tools", ToolNode(tools, handle_tool_errors=handles))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", tools_condition)
    graph.add_edge("tools", "agent")
    return graph.compile(name="desk", **compiled)
