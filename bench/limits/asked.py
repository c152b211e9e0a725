"""What a system's process is told and what it reports: one JSON object a line, standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

Config = Literal["default", "docs", "fitted"]
"""`default`: nothing was configured. `docs`: as the documentation shows. `fitted`: the same options, with numbers that
stop no good run of the sample."""

MODEL = "gpt-4o"
"""A name that all of them know, with its price where they have prices."""
ANSWERED = "answered"
"""How a run ended that gave its answer."""
DONE = "[done]"
"""Stands in an answer that the scripted model meant as one."""


@dataclass(frozen=True, kw_only=True)
class AskedTool:
    """A tool. All take one text, `arguments`: JSON, as a recording holds it."""

    name: str
    effect: bool = False
    """It changes the world."""
    poll: bool = False
    """It looks at something that is not done yet: asking again is its purpose."""


@dataclass(frozen=True, kw_only=True)
class AskedRun:
    """One run: so many user messages of one conversation, one after the other."""

    key: str
    turns: int = 1


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One cell."""

    case: str
    config: Config
    base_url: str
    """Of this cell alone: `/v1` below it is the model, `/tools/NAME` the tools."""
    tools: tuple[AskedTool, ...]
    specialists: tuple[str, ...]
    """If there are any, they have the tools and the coordinator has them."""
    instructions: str
    runs: tuple[AskedRun, ...]
    in_flight: int
    budget_s: float | None
    """What a user wants a run to take at most, where a case is about time."""
    budget_usd: str | None
    """What a run may cost at most, where a case is about money."""
    calls: int
    """`fitted`: calls of one run that have to be possible."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def asked(text: str) -> Asked:
    """The other way."""
    given = json.loads(text)
    given["tools"] = tuple(AskedTool(**one) for one in given["tools"])
    given["runs"] = tuple(AskedRun(**one) for one in given["runs"])
    given["specialists"] = tuple(given["specialists"])
    return Asked(**given)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one run ended."""

    key: str
    seconds: float
    answered: bool
    """It gave the answer that the scripted model meant to give."""
    how: str
    """`ANSWERED`, the error, or the words that stand in place of an answer."""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What a process says of one cell."""

    ended: tuple[Ended, ...]
    configured: str
    version: str

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def reported(text: str) -> Reported:
    """The other way."""
    given: dict[str, Any] = json.loads(text)
    given["ended"] = tuple(Ended(**one) for one in given["ended"])
    return Reported(**given)


class Bench(Protocol):
    """A system, set up for one cell."""

    configured: str
    """Every limit, time-out and retry that was set, in its own words."""
    version: str

    async def turn(self, run: AskedRun, number: int, request: str) -> str:
        """Serve user message `number` of a run; the answer's text. Raises whatever the system raises."""
        ...

    async def close(self) -> None:
        """Let go of clients and files."""
        ...


def request(run: AskedRun, number: int) -> str:
    """The user's message; the scripted model reads the mark."""
    return f"Please see to this. [run:{run.key}/{number}]"


def first_line(error: BaseException) -> str:
    """An error in one short line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:160]
