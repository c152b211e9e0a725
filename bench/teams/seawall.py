"""Seawall: journal on a file, every guard enforced, every limit set."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from seawall import Agent, ContextGuard, Limits, Seawall, Team, tool
from seawall.core.events import RunStarted
from seawall.journal.protocol import Verification
from seawall.models.protocol import (
    Assistant,
    ModelReply,
    ModelRequest,
    Price,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
    User,
)
from teams import Bench, Workload, script
from teams.script import Reply, Script

_DURABILITY = (
    "SQLite journal on a file, WAL, synchronous=FULL; what each step brought is committed before anyone acts "
    "on it, runs in flight share a commit; a cut run resumes at its first step without a result"
)
_LIMITS = Limits(tokens=100_000, usd=Decimal(1))
"""Beside the defaults for time, calls and depth, so that the ledger reserves and settles all that it can."""
_USAGE = Usage(script.INPUT_TOKENS, script.OUTPUT_TOKENS)


class ScriptedModel:
    """A model that plays `agent` from the script."""

    name = "scripted"
    price = Price(Decimal("1.25"), Decimal(10))

    def __init__(self, play: Script, agent: str) -> None:
        self._script = play
        self._agent = agent

    async def respond(self, request: ModelRequest) -> ModelReply:
        """The next reply of the script."""
        messages = request.messages
        seen = sum(isinstance(message, ToolResult) for message in messages)
        first = next(message.content for message in messages if isinstance(message, User))
        reply = await self._script.reply(self._agent, seen, first)
        message = _decision(reply) if self._agent == "auditor" else _said(reply)
        return ModelReply(message=message, usage=_USAGE, finish="tool_calls" if message.calls else "stop")

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """The reply at once."""
        yield await self.respond(request)


def _said(reply: Reply) -> Assistant:
    calls = tuple(ToolCall(call.id, call.name, json.dumps(call.arguments)) for call in reply.calls)
    return Assistant(reply.text or None, calls)


def _decision(reply: Reply) -> Assistant:
    """The reviewer's reply in Seawall's form: a call of the tool by which it decides."""
    verdict = json.loads(reply.text)
    arguments = {"approved": verdict["approved"], "feedback": verdict["reason"]}
    return Assistant(None, (ToolCall("call_review", "review", json.dumps(arguments)),))


class SeawallBench:
    """One runtime, one team; a request is one run."""

    def __init__(self, workload: Workload, path: Path) -> None:
        self.script = Script()
        self.version = f"seawall {version('seawall')}"
        self.durability = _DURABILITY
        self._reviewed = True if workload == "team" else None
        tools = self.script.tools()
        if workload == "single":
            agent = self._agent("lookup", "Answers about one order.", tools["lookup"])
            self._team = Team(agent, limits=_LIMITS)
        else:
            self._team = Team(
                "desk",
                self._agent("desk", "Plans and answers."),
                specialists=[
                    self._agent("clerk", "Finds the facts of an order.", tools["clerk"]),
                    self._agent("cashier", "Quotes what may be paid back.", tools["cashier"]),
                ],
                reviewer=self._agent("auditor", "Rejects what the evidence does not carry."),
                limits=_LIMITS,
            )
        self._sea = Seawall(str(path), guards=[ContextGuard(mode="enforce")])

    def _agent(self, name: str, role: str, *functions: script.ToolFunction) -> Agent:
        return Agent(
            name,
            role,
            model=ScriptedModel(self.script, name),
            instructions=script.PROMPTS.get(name, script.PROMPTS["clerk"]),
            tools=[tool(function) for function in functions],
        )

    async def start(self) -> None:
        """Open the journal."""
        await self._sea.open()

    async def run_one(self, number: int) -> str:
        """Serve one request."""
        run = await self._sea.start(self._team, script.request(number), tenant="bench")
        outcome = await run.outcome()
        if outcome.status != "completed" or outcome.reviewed is not self._reviewed:
            raise AssertionError(
                f"run {number} ended {outcome.status}, reviewed {outcome.reviewed}: {outcome}"
            )
        if number == 0:
            await self._check_guards(run.id)
        return str(outcome.answer)

    async def _check_guards(self, run: str) -> None:
        """Read back from the journal that every guard of the run was enforced, and say which there were."""
        started = (await self._sea.journal.events(run))[0]
        assert isinstance(started, RunStarted)
        if set(started.guards.values()) != {"enforce"}:
            raise AssertionError(f"not every guard is enforced: {started.guards}")
        self.durability = f"{_DURABILITY}. Guards enforced: {', '.join(sorted(started.guards))}"

    async def verify(self) -> Verification:
        """What the journal holds."""
        return await self._sea.journal.verify()

    async def close(self) -> None:
        """Close the journal."""
        await self._sea.close()


async def setup(directory: Path, workload: Workload, variant: str) -> Bench:
    """There is one variant: durable, and guarded."""
    bench = SeawallBench(workload, directory / "journal.db")
    await bench.start()
    return bench
