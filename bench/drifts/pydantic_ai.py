"""Pydantic AI: a history processor that keeps the newest messages, as its page on message history advises.

It has no store of its own, so what another session says can't reach it. A processor that cuts between a call and its
result would make a history that providers reject; this one goes back to the call.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.capabilities import ProcessHistory
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    RetryPromptPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from drifts import WINDOW_TOKENS, Played
from drifts.mind import Shown, count_tokens, think
from drifts.world import Shop, World, split_look

KEPT = 20
"""Messages that are kept: as many as fit the window where no tool fails."""


class Broken(Exception):
    """The run breaks off."""


def keep_recent(messages: list[ModelMessage]) -> list[ModelMessage]:
    """Returns the newest messages, from a call on if the first of them would be a result without one."""
    begin = max(0, len(messages) - KEPT)
    while begin and any(isinstance(part, ToolReturnPart | RetryPromptPart) for part in messages[begin].parts):
        begin -= 1
    return messages[begin:]


def read(messages: list[ModelMessage]) -> list[Shown]:
    """Returns the messages as the mind sees them."""
    shown: list[Shown] = []
    for message in messages:
        for part in message.parts:
            match part:
                case UserPromptPart():
                    shown.append(Shown("user", str(part.content)))
                case ToolReturnPart() | RetryPromptPart():
                    shown.append(Shown("tool", str(part.content), part.tool_name or ""))
                case TextPart():
                    shown.append(Shown("assistant", part.content))
                case ToolCallPart():
                    shown.append(Shown("assistant", f"{part.tool_name}({part.args})"))
                case SystemPromptPart():
                    shown.append(Shown("other", part.content))
                case _:
                    pass
    return shown


class PydanticDesk:
    """One agent and its history."""

    version = f"pydantic-ai-slim {version('pydantic-ai-slim')}"
    setting = f"a history processor that keeps the last {KEPT} messages"

    def __init__(self, world: World) -> None:
        self._tokens = self._calls = 0
        self._breaks = False
        self._shop = Shop()
        self._history: list[ModelMessage] = []
        self._agent: Any = Agent(
            FunctionModel(self._respond),
            instructions="You look after orders.",
            capabilities=[ProcessHistory(keep_recent)],
        )

        @self._agent.tool_plain
        def find_order(order_id: str) -> str:  # pyright: ignore[reportUnusedFunction] -- the decorator takes it
            """Look up one order."""
            try:
                return self._shop.find(order_id)
            except RuntimeError as error:
                return f"Error: {error}"

    def _respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        shown = read(messages)
        sent = count_tokens(shown)
        if sent > WINDOW_TOKENS:
            raise ValueError(f"context_length_exceeded: {sent} of {WINDOW_TOKENS} tokens")
        self._tokens += sent
        said = think(shown, memory=False)
        if not said.call:
            if self._breaks:
                raise Broken
            return ModelResponse(parts=[TextPart(said.text)])
        self._calls += 1
        return ModelResponse(parts=[ToolCallPart(said.call, said.arguments, f"c-{self._calls}")])

    async def open(self, imported: list[tuple[str, str]]) -> None:
        """It has no store to import to."""

    async def say(self, request: str, *, breaks: bool) -> Played:
        text, status, failures = split_look(request)
        self._shop, self._tokens, self._breaks = Shop(status, failures), 0, breaks
        try:
            result = await self._agent.run(text, message_history=self._history)
        except (Broken, ValueError):
            return Played("", self._tokens)
        self._history = result.all_messages()
        return Played(str(result.output), self._tokens)

    async def tell_elsewhere(self, key: str, value: str) -> None:
        """It has no memory that another session could write to."""

    async def close(self) -> None:
        """Nothing is held."""


def desk(world: World) -> PydanticDesk:
    return PydanticDesk(world)
