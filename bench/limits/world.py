"""The world: a model and its tools on loopback. Calls, tokens and money are counted here and nowhere else."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from limits.asked import Asked
from limits.cases import Called, Case, Say, Seen
from seawall.models.protocol import Assistant, ModelReply, ToolCall, Usage
from seawall.testing import wire
from seawall.testing.faults import Answer, overloaded
from seawall.testing.model_server import ModelServer
from seawall.testing.wire import ChatRequest

USD_IN, USD_OUT = Decimal("2.50"), Decimal(10)
"""Of a million tokens: the list price of gpt-4o."""
BOUND = 10_000
"""Calls of a cell that ends by itself: far above what any of them makes."""
CAPPED = "That is enough. (The benchmark's own cap on calls was reached.)"
GAVE_UP = "I can't go on: I am offered no tool any more."
"""Some systems ask once more without tools, or with `tool_choice` "none", when an agent has used up a limit."""
_AGENT = re.compile(r"\[agent:(\w+)\]")
_RUN = re.compile(r"\[run:([\w.-]+)/(\d+)\]")
_TASK = re.compile(r"\[task:(\d+)\]")
_PATH = re.compile(r"/c(\d+)/(v1/chat/completions|tools/([\w-]+))$")


@dataclass
class Counts:
    """What reached the world in one cell."""

    model: int = 0
    """Requests to the model, those that it answered with an error among them."""
    tool: int = 0
    usd: Decimal = Decimal(0)
    failed: int = 0
    """Of those, answered with 503."""
    capped: bool = False
    answers: int = 0
    """Times that the model said what it was to say last."""
    late: int = 0
    """Calls that came after all runs of the cell had ended."""


@dataclass
class Stage:
    """One case being played to one system."""

    case: Case
    cap: int
    """Tool calls after which the model only says that it is enough."""
    counts: Counts = field(default_factory=Counts)
    over: bool = False
    begun_s: float | None = None
    _nth: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _asked: Counter[str] = field(default_factory=Counter)

    async def model(self, request: ChatRequest) -> Answer:
        """The model's answer."""
        counts = self.counts
        counts.model += 1
        counts.late += self.over
        now_s = time.monotonic()
        self.begun_s = now_s if self.begun_s is None else self.begun_s
        if now_s - self.begun_s < self.case.outage_s:
            counts.failed += 1
            return overloaded(503)
        seen = see(request.messages)
        if counts.tool >= self.cap or counts.model >= 4 * self.cap:
            counts.capped = True
            return self._reply(request, Say(text=CAPPED))
        self._asked[seen.run] += 1
        if self.case.model_s and self._asked[seen.run] == 2:
            await asyncio.sleep(self.case.model_s)
        return self._reply(request, self.case.say(seen), seen)

    def _reply(self, request: ChatRequest, say: Say, seen: Seen | None = None) -> ModelReply:
        may_call = request.body.get("tool_choice") != "none"
        offered = [tool["function"] for tool in request.body.get("tools") or []] if may_call else []
        calls = _calls(say, offered, request.number, seen)
        if (say.calls or say.tasks) and not calls:
            say = Say(text=GAVE_UP)
        tokens = Usage(_size(request.body) // 4, self.case.output_tokens)
        self.counts.usd += (tokens.input_tokens * USD_IN + tokens.output_tokens * USD_OUT) / 1_000_000
        finish = "tool_calls" if calls else "stop"
        return ModelReply(message=Assistant(say.text or None, calls), usage=tokens, finish=finish)

    async def tool(self, name: str, body: dict[str, Any]) -> wire.Raw:
        """A tool's answer."""
        self.counts.tool += 1
        self.counts.late += self.over
        run, _, turn = body["run"].rpartition("/")
        recorded = (run, turn, name, body["arguments"]) if self.case.sources else (run, name)
        self._nth[recorded] += 1
        await asyncio.sleep(self.case.tool_s)
        at_ms = int(time.monotonic() * 1000)
        called = Called(
            run=run,
            turn=int(turn),
            name=name,
            arguments=body["arguments"],
            nth=self._nth[recorded],
            at_ms=at_ms,
        )
        return wire.answer_json(200, {"result": self.case.result(called)})


def see(messages: list[dict[str, Any]]) -> Seen:
    """What the scripted model goes by."""
    texts = [_text(message) for message in messages]
    agents = _AGENT.findall("\n".join(texts))
    last = max(
        (n for n, text in enumerate(texts) if messages[n]["role"] == "user" and _RUN.search(text)), default=0
    )
    marks, tasks = _RUN.findall(texts[last]), _TASK.findall(texts[last])
    run, turn = marks[-1] if marks else ("", "0")
    return Seen(
        agent=agents[0] if agents else "",
        run=run,
        turn=int(turn),
        task=int(tasks[-1]) if tasks else 0,
        results=sum(message["role"] == "tool" for message in messages[last:]),
    )


def _size(body: dict[str, Any]) -> int:
    """Bytes of all that a model reads, near enough: texts, calls and the tools' definitions."""
    tools = len(json.dumps(body.get("tools") or []))
    calls = sum(
        len(call["function"]["arguments"]) + 40
        for message in body["messages"]
        for call in message.get("tool_calls") or ()
    )
    return tools + calls + sum(len(_text(message)) + 20 for message in body["messages"])


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _calls(say: Say, offered: list[dict[str, Any]], request: int, seen: Seen | None) -> tuple[ToolCall, ...]:
    """What is said as calls of the tools that are offered; a call of one that is not is left out."""
    names = {_plain(tool["name"]): tool["name"] for tool in offered}
    made = [(names[_plain(name)], {"arguments": text}) for name, text in say.calls if _plain(name) in names]
    asks = [tool for tool in offered if "clerk" in tool["name"]]
    for number, task in say.tasks:
        if asks and seen is not None:
            text = f"{task} [run:{seen.run}/{seen.turn}] [task:{number}]"
            made.append((asks[0]["name"], _task(asks[0], text)))
    return tuple(
        ToolCall(f"call_{request}_{n}", name, json.dumps(arguments))
        for n, (name, arguments) in enumerate(made, 1)
    )


def _plain(name: str) -> str:
    """A tool's name as far as all systems keep it: CrewAI writes `TodoWrite` as `todo_write`."""
    return name.replace("_", "").lower()


def _task(tool: dict[str, Any], text: str) -> dict[str, str]:
    """The arguments by which a system hands out a task: its own name for it."""
    return {name: text for name in tool["parameters"]["properties"] if name in ("task", "input")}


class World:
    """A server for all cells, each below a path of its own, so that a straggler is counted where it belongs."""

    def __init__(self) -> None:
        self._server = ModelServer(self._answer, keep_requests=1, any_path=True)
        self._stages: list[Stage] = []

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    def stage(self, case: Case, cap: int) -> tuple[Stage, str]:
        """A stage for one cell, and its base URL."""
        self._stages.append(Stage(case, cap if case.endless else BOUND))
        return self._stages[-1], f"{self._server.origin}/c{len(self._stages) - 1}"

    async def _answer(self, request: ChatRequest) -> Answer:
        found = _PATH.search(request.path)
        if found is None:
            return wire.answer_error(404, f"nothing is at {request.path}")
        stage = self._stages[int(found[1])]
        return await stage.tool(found[3], request.body) if found[3] else await stage.model(request)


def asked_of(case: Case, config: Any, base_url: str, calls: int) -> Asked:
    """What a system's process is told of a case."""
    return Asked(
        case=case.name,
        config=config,
        base_url=base_url,
        tools=case.tools,
        specialists=case.specialists,
        instructions=case.instructions,
        runs=case.runs,
        in_flight=case.in_flight,
        budget_s=case.budget_s,
        budget_usd=case.budget_usd,
        calls=calls,
    )
