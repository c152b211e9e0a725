"""A model of the OpenAI Agents SDK that follows a script, and the desk that the tests of its adapter ask."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from agents import Agent, RunConfig, function_tool
from agents.items import ModelResponse
from agents.models.interface import Model
from agents.usage import Usage
from openai.types.responses import ResponseFunctionToolCall, ResponseTextDeltaEvent

from seawall.adapters.openai_agents.replies import (
    write_completed,
    write_message,
)

Script = Sequence[str | list[tuple[str, dict[str, Any]]]]
"""Replies in their order: a text, or calls of tools."""
QUIET = RunConfig(tracing_disabled=True)


class PlayedModel(Model):
    """Gives the next reply of its script. A script that is a function is given the request's items."""

    def __init__(self, script: Script | Callable[[list[Any]], Any], prefix: str = "call") -> None:
        self._script, self._prefix = script, prefix
        self.requests: list[list[Any]] = []
        """The items of each request that reached it."""

    def __repr__(self) -> str:
        return f"<PlayedModel after {len(self.requests)} requests>"

    def _answer(self, given: Any) -> ModelResponse:
        items = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
        self.requests.append(items)
        number = len(self.requests)
        reply = self._script(items) if callable(self._script) else self._script[_count_replies(items)]
        if isinstance(reply, BaseException):
            raise reply
        if isinstance(reply, str):
            output: list[Any] = [write_message(reply)]
        else:
            output = [
                ResponseFunctionToolCall(
                    type="function_call",
                    call_id=f"{self._prefix}-{number}-{place}",
                    name=name,
                    arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
                )
                for place, (name, arguments) in enumerate(reply)
            ]
        usage = Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15)
        return ModelResponse(output=output, usage=usage, response_id=None)

    async def get_response(
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002 -- the SDK's name
        *more: Any,
        **options: Any,
    ) -> ModelResponse:
        return self._answer(input)

    async def stream_response(
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002 -- the SDK's name
        *more: Any,
        **options: Any,
    ) -> AsyncIterator[Any]:
        response = self._answer(input)
        for number, delta in enumerate(("one", "two")):
            yield ResponseTextDeltaEvent(
                type="response.output_text.delta",
                content_index=0,
                delta=delta,
                item_id="m",
                logprobs=[],
                output_index=0,
                sequence_number=number,
            )
        yield write_completed(response, "played")


def _count_replies(items: list[Any]) -> int:
    """Returns how many replies of the model are in a request: an answer, or the calls of one reply."""
    prefixes = {
        str(item.get("call_id")).rsplit("-", 1)[0] for item in items if item.get("type") == "function_call"
    }
    texts = [item for item in items if item.get("role") == "assistant"]
    return len(prefixes) + len(texts)


class Bank:
    """The outside world: counts refunds."""

    def __init__(self) -> None:
        self.refunds: list[tuple[int, int]] = []
        self.found = 0
        self.error: Exception | None = None

    def make_tools(self, **options: Any) -> list[Any]:
        """Returns its tools; `options` are those of `refund`."""

        @function_tool(**options)
        async def refund(order: int, amount: int) -> str:
            """Refund an order."""
            if self.error is not None:
                raise self.error
            self.refunds.append((order, amount))
            return f"refund {len(self.refunds)}"

        @function_tool
        def find_order(order: int) -> str:
            """Find an order."""
            self.found += 1
            return f"order {order}: paid"

        return [refund, find_order]


SCRIPT: Script = [
    [("find_order", {"order": 1042})],
    [("refund", {"order": 1042, "amount": 5})],
    "Order 1042 was refunded.",
]


def make_desk(bank: Bank, script: Any = SCRIPT, **options: Any) -> tuple[Agent[Any], PlayedModel]:
    """Returns an agent with the bank's tools, and its model."""
    model = PlayedModel(script)
    return Agent(name="clerk", instructions="Help.", model=model, tools=[*bank.make_tools(**options)]), model


def list_requests(agent: Agent[Any]) -> list[list[Any]]:
    """Returns what has reached an agent's model."""
    assert isinstance(agent.model, PlayedModel)
    return agent.model.requests
