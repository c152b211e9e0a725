"""A desk of Pydantic AI's agents, for tests: a scripted model, tools that the world counts, and what was recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.usage import RequestUsage

from seawall.adapters.pydantic_ai import SeawallCapability
from seawall.core.events import Event
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.seawall import Seawall

Reply = str | Sequence[tuple[str, dict[str, Any]]]
"""An answer, or calls: names and arguments."""
Script = Sequence[Reply] | Callable[[list[ModelMessage]], Reply]
ASKED = "Refund order 1042"
ANSWER = "Order 1042 was refunded."
REFUND: Sequence[Reply] = (
    [("find_order", {"order": 1042})],
    [("refund", {"order": 1042, "amount": 5})],
    ANSWER,
)


class Desk:
    """What the model was asked, and what the tools did."""

    def __init__(self, script: Script = REFUND) -> None:
        self.script = script
        self.model_calls = 0
        self.refunds: list[tuple[int, int]] = []
        self.reads: list[Any] = []

    # ---- the model

    def _reply(self, messages: list[ModelMessage]) -> Reply:
        self.model_calls += 1
        last = max(
            (n for n, each in enumerate(messages) if isinstance(each, ModelRequest) and _is_prompt(each)),
            default=0,
        )
        answered = sum(isinstance(each, ModelResponse) for each in messages[last:])
        if callable(self.script):
            return self.script(messages)
        return self.script[min(answered, len(self.script) - 1)]

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        """The model: makes new ids for its calls each time."""
        reply = self._reply(messages)
        usage = RequestUsage(input_tokens=10, output_tokens=5)
        if isinstance(reply, str):
            return ModelResponse([TextPart(reply)], usage=usage)
        number = self.model_calls
        calls = [
            ToolCallPart(name, arguments, tool_call_id=f"call-{number}-{index}")
            for index, (name, arguments) in enumerate(reply)
        ]
        return ModelResponse(calls, usage=usage)

    async def stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        """The same as a stream: a word at a time."""
        reply = self._reply(messages)
        if isinstance(reply, str):
            for word in reply.split():
                yield word + " "
            return
        for index, (name, arguments) in enumerate(reply):
            yield {
                index: DeltaToolCall(
                    name, json.dumps(arguments), tool_call_id=f"call-{self.model_calls}-{index}"
                )
            }

    def make_model(self) -> FunctionModel:
        """Returns the scripted model."""
        return FunctionModel(self.answer, stream_function=self.stream, model_name="scripted")

    # ---- the tools

    def refund(self, order: int, amount: int) -> str:
        """Refunds an order."""
        self.refunds.append((order, amount))
        return f"refund {len(self.refunds)} of {order}"

    def find_order(self, order: int) -> dict[str, Any]:
        """Finds an order."""
        self.reads.append(order)
        return {"order": order, "state": "paid"}

    def make_agent(self, engine: Engine | None, *, output_type: Any = str, **options: Any) -> Agent[Any, Any]:
        """Returns the agent, with the capability if there is an engine."""
        gated = [] if engine is None else [SeawallCapability(engine, **options)]
        return Agent(
            self.make_model(),
            name="clerk",
            tools=[self.refund, self.find_order],
            output_type=output_type,
            capabilities=gated,
        )


def _is_prompt(message: ModelRequest) -> bool:
    kinds = {part.part_kind for part in message.parts}
    return "user-prompt" in kinds and "tool-return" not in kinds


def run_sync(agent: Agent[Any, Any], *arguments: Any, **options: Any) -> Any:
    """Calls `agent.run_sync` in an event loop that is closed afterwards; the framework would leave its own open."""
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        return agent.run_sync(*arguments, **options)


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
