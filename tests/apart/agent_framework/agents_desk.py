"""A desk of the framework's agents, for tests: a scripted model, tools that the world counts, and what was recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent_framework import (
    Agent,
    AgentContext,
    AgentMiddleware,
    AgentResponse,
    BaseChatClient,
    ChatContext,
    ChatMiddleware,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationContext,
    FunctionInvocationLayer,
    FunctionMiddleware,
    Message,
    ResponseStream,
)

from seawall.adapters.agent_framework import gate
from seawall.core.events import Event
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.seawall import Seawall

Next = Callable[[], Awaitable[None]]
Reply = str | Sequence[tuple[str, dict[str, Any]]]
"""An answer, or calls: names and arguments."""
Script = Sequence[Reply] | Callable[[Sequence[Message]], Reply]
ASKED = "Refund order 1042"
ANSWER = "Order 1042 was refunded."
REFUND: Sequence[Reply] = (
    [("find_order", {"order": 1042})],
    [("refund", {"order": 1042, "amount": 5})],
    ANSWER,
)


class ScriptedClient(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    """A chat client whose model is a script. It makes new ids for its calls each time."""

    OTEL_PROVIDER_NAME = "scripted"

    def __init__(self, script: Script, **options: Any) -> None:
        super().__init__(**options)
        self.model = "scripted"
        self.script = script
        self.calls = 0
        self.seen: list[Sequence[Message]] = []

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Awaitable[ChatResponse[Any]] | ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        if not stream:
            return self._answer(messages)
        return ResponseStream(self._stream(messages), finalizer=ChatResponse.from_updates)

    def _reply(self, messages: Sequence[Message]) -> list[Content]:
        self.calls += 1
        self.seen.append(list(messages))
        last = max((n for n, each in enumerate(messages) if each.role == "user" and each.text), default=0)
        answered = sum(each.role == "assistant" for each in messages[last:])
        reply = (
            self.script(messages)
            if callable(self.script)
            else self.script[min(answered, len(self.script) - 1)]
        )
        if isinstance(reply, str):
            return [Content.from_text(reply)]
        return [
            Content.from_function_call(f"call-{self.calls}-{index}", name, arguments=json.dumps(arguments))
            for index, (name, arguments) in enumerate(reply)
        ]

    async def _answer(self, messages: Sequence[Message]) -> ChatResponse[Any]:
        usage: Any = {"input_token_count": 10, "output_token_count": 5}
        return ChatResponse(messages=Message("assistant", self._reply(messages)), usage_details=usage)

    async def _stream(self, messages: Sequence[Message]) -> AsyncIterable[ChatResponseUpdate]:
        for content in self._reply(messages):
            if content.type != "text":
                yield ChatResponseUpdate(contents=[content], role="assistant")
                continue
            for word in (content.text or "").split(" "):
                yield ChatResponseUpdate(contents=[Content.from_text(word + " ")], role="assistant")


class Desk:
    """What the model was asked, and what the tools did."""

    def __init__(self, script: Script = REFUND, **options: Any) -> None:
        """`options` are those of the chat client."""
        self.client = ScriptedClient(script, **options)
        self.refunds: list[tuple[int, int]] = []
        self.reads: list[Any] = []

    @property
    def model_calls(self) -> int:
        """How often the model was called."""
        return self.client.calls

    def refund(self, order: int, amount: int) -> str:
        """Refunds an order."""
        self.refunds.append((order, amount))
        return f"refund {len(self.refunds)} of {order}"

    def find_order(self, order: int) -> dict[str, Any]:
        """Finds an order."""
        self.reads.append(order)
        return {"order": order, "state": "paid"}

    def make_agent(
        self,
        engine: Engine | None,
        *,
        name: str = "clerk",
        tools: Sequence[Any] | None = None,
        middleware: Sequence[Any] = (),
        **options: Any,
    ) -> Agent[Any]:
        """Returns the agent, with the gate first in its middleware if there is an engine."""
        gates = [] if engine is None else [gate(engine, **options)]
        made = tools if tools is not None else [self.refund, self.find_order]
        return Agent(self.client, name=name, tools=made, middleware=[*gates, *middleware])


class ForgivingTool(FunctionMiddleware):
    """Makes a success of each failure of a tool."""

    async def process(self, context: FunctionInvocationContext, call_next: Next) -> None:
        try:
            await call_next()
        except Exception:  # noqa: BLE001 -- it forgives everything
            context.result = "it worked, I think"


class ForgivingModel(ChatMiddleware):
    """Makes an answer of each failure of the model."""

    async def process(self, context: ChatContext, call_next: Next) -> None:
        try:
            await call_next()
        except Exception:  # noqa: BLE001 -- it forgives everything
            context.result = ChatResponse(messages=Message("assistant", ["all is well"]))


class ForgivingAgent(AgentMiddleware):
    """Makes an answer of each failure of the agent."""

    async def process(self, context: AgentContext, call_next: Next) -> None:
        try:
            await call_next()
        except Exception:  # noqa: BLE001 -- it forgives everything
            context.result = AgentResponse(messages=Message("assistant", ["all is well"]))


def ask(agent: Agent[Any], given: Any = ASKED, *, stream: bool = False, **options: Any) -> Any:
    """Runs an agent either way, and returns its response."""

    async def run() -> Any:
        if stream:
            return await agent.run(given, stream=True, **options).get_final_response()
        return await agent.run(given, **options)

    return asyncio.run(run())


def find_run(engine: Engine, request_id: str) -> str:
    """Returns the id of the run of a request."""
    found = engine.call(lambda sea: sea.journal.run_of_request("", request_id))
    assert found is not None
    return found


def read_outcome(engine: Engine, request_id: str) -> Outcome[Any]:
    """Returns the outcome of a request."""
    run = find_run(engine, request_id)

    async def read(sea: Seawall) -> Outcome[Any]:
        return await (await sea.attach(run)).outcome()

    return engine.call(read)


def read_events(engine: Engine, request_id: str) -> Sequence[Event]:
    """Returns the record of a request."""
    run = find_run(engine, request_id)
    return engine.call(lambda sea: sea.journal.events(run))


def read_newest_run(engine: Engine) -> Any:
    """Returns the row of the newest run."""
    return engine.call(lambda sea: sea.journal.runs(limit=1))[0]


def list_contents(response: Any) -> list[Any]:
    """Returns what the messages of a response say."""
    return [
        (content.type, content.call_id, content.text or content.result or content.arguments)
        for message in response.messages
        for content in message.contents
    ]
