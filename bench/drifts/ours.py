"""Seawall: an agent with a budget of context and the tenant's memory; each turn is a run of one session."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import seawall
from drifts import WINDOW_TOKENS, Played
from drifts.mind import Shown, count_tokens, think
from drifts.world import Shop, World, split_look
from seawall import Agent, Context, Memory, Seawall, Team, tool
from seawall.models.protocol import (
    Assistant,
    Message,
    ModelFailed,
    ModelReply,
    ModelRequest,
    Price,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
    User,
)

OUTPUT_TOKENS = 200


def read(messages: Sequence[Message]) -> list[Shown]:
    """Returns the messages as the mind sees them."""
    shown: list[Shown] = []
    for message in messages:
        match message:
            case User():
                # What the runtime adds in brackets is no request: a real model can tell, and this one is told here.
                role = "other" if message.content.startswith("[") else "user"
                shown.append(Shown(role, message.content))
            case ToolResult():
                shown.append(Shown("tool", message.content, message.name))
            case Assistant():
                calls = "".join(f"{call.name}({call.arguments})" for call in message.calls)
                shown.append(Shown("assistant", (message.content or "") + calls))
            case _:
                shown.append(Shown("other", message.content))
    return shown


class MindModel:
    """The mind as a model."""

    name = "mind"
    price: Price | None = None

    def __init__(self) -> None:
        self.tokens = 0
        self.breaks = False
        self._calls = itertools.count(1)

    async def respond(self, request: ModelRequest) -> ModelReply:
        """Returns what the mind says."""
        shown = read(request.messages)
        sent = count_tokens(shown)
        if sent > WINDOW_TOKENS:
            raise ModelFailed("context_too_long", f"{sent} of {WINDOW_TOKENS} tokens")
        self.tokens += sent
        said = think(shown, memory=True)
        usage = Usage(sent, 20)
        if not said.call:
            if self.breaks:
                raise ModelFailed("rejected", "the run breaks off")
            return ModelReply(message=Assistant(said.text), usage=usage, finish="stop")
        made = ToolCall(f"c-{next(self._calls)}", said.call, json.dumps(said.arguments))
        return ModelReply(message=Assistant(None, (made,)), usage=usage, finish="tool_calls")

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yields the reply as a whole."""
        yield await self.respond(request)


class SeawallDesk:
    """One runtime, one session, the memory of one tenant."""

    version = f"seawall {seawall.__version__}"
    setting = f"Memory(read and write: tenant), Context(tokens={WINDOW_TOKENS - OUTPUT_TOKENS:,})"

    def __init__(self, world: World) -> None:
        self._shop = Shop()
        self._model = MindModel()
        self._sea = Seawall(":memory:")

        @tool
        def find_order(order_id: str) -> str:
            """Look up one order."""
            return self._shop.find(order_id)

        agent: Agent[Any] = Agent(
            "desk",
            "You look after orders.",
            model=self._model,
            tools=[find_order],
            memory=Memory(read=("tenant",), write=("tenant",)),
            context=Context(tokens=WINDOW_TOKENS - OUTPUT_TOKENS),
            max_output_tokens=OUTPUT_TOKENS,
        )
        self._team = Team("desk", agent)

    async def open(self, imported: list[tuple[str, str]]) -> None:
        """Opens the runtime; what is imported was said in sessions before."""
        await self._sea.open()
        for key, value in imported:
            await self.tell_elsewhere(key, value)

    async def say(self, request: str, *, breaks: bool, session: str = "s") -> Played:
        """Plays one turn as a run."""
        text, status, failures = split_look(request)
        self._shop = Shop(status, failures)
        self._model.tokens, self._model.breaks = 0, breaks
        outcome = await (await self._sea.start(self._team, text, session=session, tenant="acme")).outcome()
        return Played(str(outcome.answer or ""), self._model.tokens)

    async def tell_elsewhere(self, key: str, value: str) -> None:
        """A run of another session."""
        await self.say(f"The {key} is now {value}.", breaks=False, session="elsewhere")

    async def close(self) -> None:
        """Closes the runtime."""
        await self._sea.close()


def desk(world: World) -> SeawallDesk:
    """Returns a desk."""
    return SeawallDesk(world)
