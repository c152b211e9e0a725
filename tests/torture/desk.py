"""The team under torture. Its agents are functions of what they are told; its tools and models call the world."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from seawall import ALLOW, Agent, Guard, Hold, NotDone, Price, Team, ToolContext, tool
from seawall.models.protocol import (
    Assistant,
    Message,
    ModelFailed,
    ModelReply,
    ModelRequest,
    System,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
    User,
)
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Verdict
from seawall.team.tool import Tool
from torture.cases import describe
from torture.world import Answer, WorldCall, WorldLost, call_world, call_world_blocking

PRICE = Price(1, 2)
OUTPUT_TOKENS = 20
RETRY = 2
"""How often the cashier asks for an effect of which it was told that it did not happen."""
_CASE = re.compile(r"Case (\S+) flags=(\w+)")


class HeldWires(Guard):
    """Holds wires until a person approves them."""

    name = "held"

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        if step.kind == "tool" and step.name == "wire":
            return Hold("a wire needs a person")
        return ALLOW


@dataclass(frozen=True)
class Turn:
    """The newest task in a conversation, and what came after it."""

    case: str
    flags: str
    messages: Sequence[Message]

    def results(self, name: str) -> list[str]:
        """Returns the results of a tool, oldest first."""
        return [m.content for m in self.messages if isinstance(m, ToolResult) and m.name == name]

    def says(self, text: str) -> bool:
        """Returns whether a user message of this turn holds `text`."""
        return any(isinstance(m, User) and text in m.content for m in self.messages)


def find_turn(messages: Sequence[Message]) -> Turn:
    """Returns the newest turn of a conversation."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, User) and (match := _CASE.search(message.content)):
            return Turn(match[1], match[2], messages[index:])
    raise AssertionError(f"no message names a case: {messages}")


Said = str | list[tuple[str, dict[str, Any]]]
Script = Callable[[Turn], Said]
"""Returns what an agent does next: what it says, or the calls that it makes."""


def _coordinator(turn: Turn) -> Said:
    def task(text: str) -> dict[str, Any]:
        return {"task": describe(turn.case, turn.flags, text)}

    found = turn.results("ask_clerk") + turn.results("ask_annex")
    if not found:
        annex = [("ask_annex", task("Read the file."))] if "a" in turn.flags else []
        return [("ask_clerk", task("Find the order.")), *annex]
    done = turn.results("ask_cashier")
    if not done and set("pnw") & set(turn.flags):
        return [("ask_cashier", task("Do what is due."))]
    text = f"Of {turn.case}: {'; '.join(found + done)}"
    return f"{text} (revised)" if turn.says("please revise") else text


def _clerk(turn: Turn) -> Said:
    if "g" in turn.flags:
        return [("find_order", {"case": turn.case})]
    if "d" in turn.flags and not turn.results("slow_read"):
        return [("slow_read", {"case": turn.case})]
    if not turn.results("find_order"):
        return [("find_order", {"case": turn.case}), ("track", {"case": turn.case})]
    return "; ".join(turn.results("find_order") + turn.results("track"))


def _archivist(turn: Turn) -> Said:
    if not turn.results("open_file"):
        task = describe(turn.case, turn.flags, "Read the notes.")
        return [("open_file", {"case": turn.case}), ("ask_scribe", {"task": task})]
    return "; ".join(turn.results("open_file") + turn.results("ask_scribe"))


def _scribe(turn: Turn) -> Said:
    notes = turn.results("track")
    return notes[-1] if notes else [("track", {"case": turn.case})]


def _cashier(turn: Turn) -> Said:
    names = {"p": "pay", "n": "notify", "w": "wire"}
    due = [names[flag] for flag in turn.flags if flag in names]
    ask = [name for name in due if _is_due(turn.results(name))]
    if ask:
        return [(name, {"case": turn.case}) for name in ask]
    return "; ".join(turn.results(name)[-1] for name in due)


def _is_due(results: list[str]) -> bool:
    return not results or ("did not happen" in results[-1] and len(results) < RETRY)


def _auditor(turn: Turn) -> Said:
    fine = "r" not in turn.flags or turn.says("(revised)")
    return [("review", {"approved": fine, "feedback": "" if fine else "please revise"})]


class WorldModel:
    """A model whose replies a script makes, and whose calls the world counts and charges."""

    def __init__(self, agent: str, script: Script, world: Path) -> None:
        self._agent = agent
        self._script = script
        self._world = world

    @property
    def name(self) -> str:
        """The name that is recorded."""
        return f"world-{self._agent}"

    @property
    def price(self) -> Price | None:
        """The price."""
        return PRICE

    async def respond(self, request: ModelRequest) -> ModelReply:
        """Calls the world; the reply names the number of the call. Raises `ModelFailed`."""
        turn = find_turn(request.messages)
        said = msgspec.json.encode([m for m in request.messages if not isinstance(m, System)])
        usage = Usage(len(said) // 4, OUTPUT_TOKENS)
        call = WorldCall(
            kind="model",
            name=self._agent,
            case=turn.case,
            tokens=usage.input_tokens + usage.output_tokens,
            pid=os.getpid(),
        )
        try:
            answer = await call_world(self._world, call)
        except WorldLost as lost:
            raise ModelFailed("incomplete", str(lost), began=True) from lost
        if answer.declined:
            raise ModelFailed("overloaded", "the world has no time")
        tag = f"[m{answer.number}]"
        made = self._script(turn)
        if isinstance(made, str):
            return ModelReply(message=Assistant(f"{tag} {made}"), usage=usage)
        calls = tuple(
            ToolCall(f"call_{len(request.messages)}_{place}", name, msgspec.json.encode(arguments).decode())
            for place, (name, arguments) in enumerate(made)
        )
        return ModelReply(message=Assistant(tag, calls), usage=usage, finish="tool_calls")

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yields the whole text, then the reply."""
        reply = await self.respond(request)
        yield TextDelta(reply.message.content or "")
        yield reply


def _make_tools(world: Path, version: str) -> dict[str, Tool]:
    def describe_call(ctx: ToolContext, name: str, case: str, *, effect: bool, honours: bool) -> WorldCall:
        return WorldCall(
            kind="effect" if effect else "read",
            name=name,
            case=case,
            run=ctx.run,
            step=ctx.step,
            key=ctx.key,
            honours=honours,
            pid=os.getpid(),
        )

    def read(answer: Answer) -> str:
        if answer.declined:
            raise NotDone("the world declined")
        return answer.reply

    async def ask(ctx: ToolContext, name: str, case: str, *, effect: bool = False) -> str:
        call = describe_call(ctx, name, case, effect=effect, honours=False)
        return read(await call_world(world, call))

    @tool
    async def find_order(ctx: ToolContext, case: str) -> str:
        """Looks up an order."""
        return await ask(ctx, "find_order", case)

    @tool
    def track(ctx: ToolContext, case: str) -> str:
        """Says where a parcel is."""
        call = describe_call(ctx, "track", case, effect=False, honours=False)
        return read(call_world_blocking(world, call))

    @tool
    async def slow_read(ctx: ToolContext, case: str) -> str:
        """Takes longer than the run may."""
        return await ask(ctx, "slow_read", case)

    @tool
    async def open_file(ctx: ToolContext, case: str) -> str:
        """Opens the file of an order."""
        return await ask(ctx, "open_file", case)

    @tool(effect=True)
    async def pay(ctx: ToolContext, case: str) -> str:
        """Pays the money back."""
        return await ask(ctx, "pay", case, effect=True)

    @tool(effect=True, timeout_s=5.0)
    async def wire(ctx: ToolContext, case: str) -> str:
        """Wires money, once a person has approved it."""
        return await ask(ctx, "wire", case, effect=True)

    @tool(effect=True, idempotent=True, retries=1, version=version)
    def notify(ctx: ToolContext, case: str) -> str:
        """Tells the customer, once for each key."""
        call = describe_call(ctx, "notify", case, effect=True, honours=True)
        return read(call_world_blocking(world, call))

    made: tuple[Tool, ...] = (find_order, track, slow_read, open_file, pay, wire, notify)
    return {each.name: each for each in made}


def make_desk(world: Path, version: str = "1") -> Team:
    """Returns the team; a later deploy may raise the `version` of a tool."""
    tools = _make_tools(world, version)

    def agent(name: str, script: Script, *names: str) -> Agent:
        mine = [tools[each] for each in names]
        return Agent(
            name,
            "Does its part.",
            model=WorldModel(name, script, world),
            tools=mine,
            max_output_tokens=64,
        )

    annex = Team(
        "annex",
        agent("archivist", _archivist, "open_file"),
        specialists=[agent("scribe", _scribe, "track")],
    )
    clerk = agent("clerk", _clerk, "find_order", "track", "slow_read")
    cashier = agent("cashier", _cashier, "pay", "notify", "wire")
    return Team(
        "desk",
        agent("desk", _coordinator),
        specialists=[clerk, annex, cashier],
        reviewer=agent("auditor", _auditor),
        guards=[HeldWires()],
    )
