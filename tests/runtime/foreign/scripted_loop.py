"""A small framework with its own loop, for tests: an agent that asks a scripted model and calls the tools of its replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seawall.models.protocol import Usage
from seawall.runtime.foreign.asks import Settled, Turn
from seawall.runtime.foreign.results import ModelResult, make_tool_result
from seawall.runtime.foreign.session import Session

Call = tuple[str, str, dict[str, Any]]
"""Id, name and arguments."""
Reply = str | Sequence[Call]
"""An answer, or calls."""
USAGE = Usage(10, 5)


class ScriptedLoop:
    """Asks for one step after another until the model answers. `messages` is its checkpoint."""

    def __init__(
        self,
        replies: Sequence[Reply] | Callable[[list[dict[str, Any]]], Reply],
        tools: Mapping[str, Callable[..., Any]],
        *,
        agent: str = "clerk",
        model: str = "test:m",
        last: Reply | None = None,
    ) -> None:
        """`last`: what the model replies without tools; then requests have the tools in them, as it is asked with them."""
        self.agent, self.model, self.tools = agent, model, tools
        self._replies, self._last = replies, last
        self.turns: list[Turn] = []
        self.messages: list[dict[str, Any]] = []
        self.model_calls = 0
        self.tool_calls: list[tuple[str, dict[str, Any]]] = []
        self.settled: list[Settled] = []

    def _reply(self) -> Reply:
        if callable(self._replies):
            return self._replies(self.messages)
        answered = sum(message["role"] == "assistant" for message in self.messages)
        return self._replies[min(answered, len(self._replies) - 1)]

    def call_model(self, turn: Turn) -> tuple[ModelResult, None]:
        """Performs a model step."""
        self.model_calls += 1
        self.turns.append(turn)
        reply = self._last if turn.last and self._last is not None else self._reply()
        if isinstance(reply, str):
            return ModelResult(reply, usage=USAGE), None
        calls = [(number, name, json.dumps(arguments)) for number, name, arguments in reply]
        return ModelResult("", calls, usage=USAGE), None

    def call_tool(self, name: str) -> Callable[[Turn], tuple[Any, None]]:
        """Returns what performs a call of a tool."""

        def perform(turn: Turn) -> tuple[Any, None]:
            self.tool_calls.append((name, dict(turn.arguments)))
            return make_tool_result(str(self.tools[name](**turn.arguments))), None

        return perform

    def run_sync(self, session: Session, request: str, *, frame: int = 0) -> str:
        """Runs the loop in this thread, and returns the answer."""
        if not self.messages:
            self.messages = [{"role": "user", "content": request}]
        tools = [] if self._last is None else sorted(self.tools)
        while True:
            asked = session.model(self.agent, self.model, self.messages, tools=tools, frame=frame)
            settled = self._note(session.step_sync(asked, self.call_model).settled)
            self.messages.append(self._make_message(settled))
            if not settled.calls:
                return self.messages[-1]["content"]
            for number, name, arguments in settled.calls:
                call = session.tool(self.agent, name, json.loads(arguments), call_id=number, frame=frame)
                told = self._note(session.step_sync(call, self.call_tool(name)).settled).told
                self.messages.append({"role": "tool", "tool_call_id": number, "content": told})

    def _note(self, settled: Settled) -> Settled:
        self.settled.append(settled)
        return settled

    def _make_message(self, settled: Settled) -> dict[str, Any]:
        message = json.loads(settled.text)
        return {
            "role": "assistant",
            "content": message.get("content") or "",
            "calls": [{"id": each[0], "name": each[1]} for each in settled.calls],
        }


class Bank:
    """The outside world: counts refunds."""

    def __init__(self) -> None:
        self.refunds: list[tuple[int, int]] = []

    def refund(self, order: int, amount: int) -> str:
        self.refunds.append((order, amount))
        return f"refund {len(self.refunds)}"
