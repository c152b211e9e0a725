"""Plays a script through Seawall, with a budget and without, and measures what the model was sent at each step."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from assembly.recorded import EFFECTS, Recorded, Request, Script
from seawall import Agent, Context, Limits, NotDone, Seawall, Team, Tool
from seawall.events import ContextFolded, StepIntended
from seawall.models.protocol import (
    Assistant,
    Message,
    ModelReply,
    ModelRequest,
    ToolCall,
    Usage,
)
from seawall.run.traces import literals
from seawall.team.context import bound_tokens

BYTES_A_TOKEN = 4
"""By which bytes are told as tokens; the model reports its usage by it, too."""
SCHEMA = {"type": "object", "additionalProperties": True}
"""The recordings hold calls and not the tools' schemas: any object will do."""
LIMITS = Limits(model_calls=10_000, tool_calls=10_000, tokens=1_000_000_000, active_s=3_600)
_NAMED = re.compile(r'(?:step="|- step |of step )s(\d+)')
_RANGE = re.compile(r"(?:steps|messages) s(\d+) to s(\d+)")


@dataclass
class Sent:
    """What one model call was sent."""

    size: int
    """Bytes."""
    kept: int
    """Bytes of its beginning that are byte-equal with the call before."""
    messages: int
    digest: int
    """Of all messages: equal for equal ones within a process."""


@dataclass
class Played:
    """What came of one script."""

    key: str
    sent: list[Sent] = field(default_factory=list[Sent])
    junk: list[float] = field(default_factory=list[float])
    folds: list[ContextFolded] = field(default_factory=list[ContextFolded])
    used: int = 0
    """Literals of arguments that came from an earlier result, each time that one was used."""
    shown: int = 0
    """Those of them that the model was sent, when it used them."""
    referred: int = 0
    """Those of which it was sent how to read them again."""
    lost: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])

    @property
    def tokens(self) -> int:
        """Tokens that were sent in all calls."""
        return sum(each.size for each in self.sent) // BYTES_A_TOKEN

    @property
    def longest(self) -> int:
        """Tokens of the longest context."""
        return max((each.size for each in self.sent), default=0) // BYTES_A_TOKEN


class Player:
    """The model and the world of one script."""

    name, price, context_window = "recorded", None, None

    def __init__(self, script: Script) -> None:
        self.script = script
        self.played = Played(script.key)
        self._world: dict[str, deque[Recorded]] = {}
        """By tool: the calls of the newest reply, whose results are to come."""
        self._results: list[tuple[int, str]] = []
        """The results so far, each with its place in the session's conversation."""
        self._place = 0
        self._replies: deque[tuple[Recorded, ...]] = deque()
        self._answer = ""
        self._before: list[Message] = []
        self._tools = 0
        self._calls = 0

    def begin(self, request: Request) -> None:
        """Be ready for a request's run."""
        self._replies = deque(request.batches)
        self._answer = request.answer
        self._place += 1

    def answer(self, tool: str) -> str:
        """Return what the next call of a tool returned. Raises `NotDone` if it failed."""
        call = self._world[tool].popleft()
        if call.failed:
            raise NotDone(call.result)
        return call.result

    async def respond(self, request: ModelRequest) -> ModelReply:
        """Answer as recorded, and note what was sent."""
        size = self._note(request)
        self._place += 1
        if not self._replies:
            return ModelReply(message=Assistant(self._answer), usage=Usage(size // BYTES_A_TOKEN, 10))
        batch = self._replies.popleft()
        self._check_used(request.messages, batch)
        calls: list[ToolCall] = []
        self._world = {}
        for one in batch:
            self._calls += 1
            calls.append(ToolCall(f"c{self._calls}", one.name, one.arguments))
            self._world.setdefault(one.name, deque()).append(one)
            self._results.append((self._place, one.result))
            self._place += 1
        reply = Assistant(None, tuple(calls))
        usage = Usage(size // BYTES_A_TOKEN, bound_tokens(reply) // BYTES_A_TOKEN)
        return ModelReply(message=reply, usage=usage)

    def stream(self, request: ModelRequest) -> Any:
        """Nothing is streamed here."""
        raise NotImplementedError

    def _note(self, request: ModelRequest) -> int:
        sizes = [bound_tokens(message) for message in request.messages]
        kept = 0
        if len(request.tools) == self._tools:
            for size, now, before in zip(sizes, request.messages, self._before, strict=False):
                if now != before:
                    break
                kept += size
        self._before, self._tools = list(request.messages), len(request.tools)
        digest = hash(tuple(request.messages))
        self.played.sent.append(Sent(sum(sizes), kept, len(sizes), digest))
        return sum(sizes)

    def _check_used(self, messages: Sequence[Message], batch: Sequence[Recorded]) -> None:
        """Count the literals of the next calls that came from an earlier result, and where they are now."""
        wanted = set[str]().union(*(literals(one.arguments) for one in batch))
        told = "\n".join(_text_of(message) for message in messages)
        named = set(_NAMED.findall(told))
        ranges = _RANGE.findall(told)
        for literal in wanted:
            holders = [place for place, text in self._results if literal in text]
            if not holders:
                continue
            self.played.used += 1
            if literal in told:
                self.played.shown += 1
            elif any(_is_named(place, named, ranges) for place in holders):
                self.played.referred += 1
            else:
                self.played.lost.append(literal)


def _is_named(place: int, named: set[str], ranges: Sequence[tuple[str, str]]) -> bool:
    """Whether the model was told how to read the message at a place again."""
    return str(place) in named or any(int(first) <= place <= int(last) for first, last in ranges)


def _text_of(message: Message) -> str:
    if isinstance(message, Assistant):
        return "\n".join([message.content or "", *(call.arguments for call in message.calls)])
    return message.content


def _make_tools(player: Player) -> list[Tool]:
    names = dict.fromkeys(
        each.name for request in player.script.requests for batch in request.batches for each in batch
    )
    return [_make_tool(player, name) for name in names]


def _make_tool(player: Player, name: str) -> Tool:
    async def play(**arguments: Any) -> str:
        return player.answer(name)

    effect = name.startswith(EFFECTS)  # one that failed did nothing: nobody need be asked what became of it
    return Tool(play, name=name, description=f"{name}, as recorded.", effect=effect, schema=SCHEMA)


async def play(script: Script, context: Context) -> Played:
    """Plays one script as the runs of a session, one for each request."""
    player = Player(script)
    agent = Agent(
        "agent",
        model=player,
        instructions=script.system,
        tools=_make_tools(player),
        context=context,
    )
    team = Team(agent)
    async with Seawall(modes={"loops": "off", "authority": "off", "waste": "off"}) as sea:
        for request in script.requests:
            player.begin(request)
            run = await sea.start(team, request.text, session="s", limits=LIMITS)
            outcome = await run.outcome()
            if outcome.status != "completed":
                player.played.problems.append(f"{outcome.status}: {outcome.error or outcome.stopped_by}")
                break
            events = await sea.journal.events(run.id)
            player.played.folds += [event for event in events if isinstance(event, ContextFolded)]
            player.played.junk += [
                event.junk for event in events if isinstance(event, StepIntended) and event.kind == "model"
            ]
    return player.played
