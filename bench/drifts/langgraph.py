"""LangGraph: `create_agent` with a checkpointer, a store and trimming, as the pages on memory advise.

Short-term: `trim_messages` with `strategy="last"`, `start_on="human"` before each model call, to three quarters of the
window. Long-term: tools that put into and search the store of the tenant; what is newer is what was updated later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately, trim_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from drifts import WINDOW_TOKENS, Played
from drifts.mind import Shown, count_tokens, think
from drifts.world import Shop, World, split_look

SPACE = ("acme",)
TRIM_TOKENS = WINDOW_TOKENS * 3 // 4


class Broken(Exception):
    """The run breaks off."""


def read(message: BaseMessage) -> Shown:
    """Returns a message as the mind sees it."""
    text = str(message.content)
    match message:
        case HumanMessage():
            return Shown("user", text)
        case ToolMessage():
            return Shown("tool", text, message.name or "")
        case AIMessage():
            return Shown(
                "assistant", text + "".join(f"{call['name']}({call['args']})" for call in message.tool_calls)
            )
        case _:
            return Shown("other", text)


class MindModel(BaseChatModel):
    """The mind as a chat model."""

    desk: Any

    @property
    def _llm_type(self) -> str:
        return "mind"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        shown = [read(each) for each in messages]
        sent = count_tokens(shown)
        if sent > WINDOW_TOKENS:
            raise ValueError(f"context_length_exceeded: {sent} of {WINDOW_TOKENS} tokens")
        self.desk.tokens += sent
        said = think(shown, memory=True)
        if not said.call:
            if self.desk.breaks:
                raise Broken
            return ChatResult(generations=[ChatGeneration(message=AIMessage(content=said.text))])
        self.desk.calls += 1
        made = {"id": f"c-{self.desk.calls}", "name": said.call, "args": said.arguments}
        message = AIMessage(content="", tool_calls=[made])  # pyright: ignore[reportArgumentType] -- dicts of that form are what it takes
        return ChatResult(generations=[ChatGeneration(message=message)])


@wrap_model_call
async def trim(request: Any, handler: Callable[[Any], Any]) -> Any:
    """Sends the last messages that fit, from a request of the user on."""
    kept = trim_messages(
        request.messages,
        strategy="last",
        token_counter=count_tokens_approximately,
        max_tokens=TRIM_TOKENS,
        start_on="human",
        end_on=("human", "tool"),
    )
    return await handler(request.override(messages=kept))


class LangGraphDesk:
    """One agent, one thread and one store."""

    version = f"langgraph {version('langgraph')}, langchain {version('langchain')}"
    setting = f"InMemorySaver, InMemoryStore with put and search as tools, trim_messages(max_tokens={TRIM_TOKENS:,})"

    def __init__(self, world: World) -> None:
        self.tokens = self.calls = 0
        self.breaks = False
        self._shop = Shop()
        self._store = InMemoryStore()
        self._written = 0
        self._agent: Any = create_agent(
            MindModel(desk=self),
            self._make_tools(),
            system_prompt="You look after orders.",
            middleware=[trim],
            checkpointer=InMemorySaver(),
            store=self._store,
        )

    def _make_tools(self) -> list[BaseTool]:
        @tool
        async def find_order(order_id: str) -> str:
            """Look up one order."""
            try:
                return self._shop.find(order_id)
            except RuntimeError as error:
                return f"Error: {error}"

        @tool
        async def remember(key: str, value: str) -> str:
            """Store a fact."""
            await self._put(key, value)
            return "stored"

        @tool
        async def recall(query: str) -> str:
            """Search for facts."""
            items = await self._store.asearch(SPACE, query=None, limit=100)
            words = query.split()
            return json.dumps([each.value for each in items if all(word in each.key for word in words)])

        @tool
        async def forget(key: str) -> str:
            """Delete a fact."""
            await self._store.adelete(SPACE, key)
            return "deleted"

        return [find_order, remember, recall, forget]

    async def _put(self, key: str, value: str) -> None:
        self._written += 1  # `updated_at` of two items can be the same
        await self._store.aput(SPACE, key, {"key": key, "value": value, "when": self._written})

    async def open(self, imported: list[tuple[str, str]]) -> None:
        for key, value in imported:
            await self._put(key, value)

    async def say(self, request: str, *, breaks: bool) -> Played:
        text, status, failures = split_look(request)
        self._shop = Shop(status, failures)
        self.tokens, self.breaks = 0, breaks
        try:
            config = {"configurable": {"thread_id": "s"}, "recursion_limit": 100}
            result = await self._agent.ainvoke({"messages": [HumanMessage(text)]}, config)
        except (Broken, ValueError, IndexError):
            return Played("", self.tokens)
        return Played(str(result["messages"][-1].content), self.tokens)

    async def tell_elsewhere(self, key: str, value: str) -> None:
        await self._put(key, value)

    async def close(self) -> None:
        """Nothing is held."""


def desk(world: World) -> LangGraphDesk:
    return LangGraphDesk(world)
