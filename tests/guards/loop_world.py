"""Tools that answer what they are told to, for tests of the guard `loops`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from seawall import Agent, Loops, Team, Tool
from seawall.core.events import Judged
from seawall.testing import ScriptedModel, say
from team.play import Played, play


class World:
    """Tools that answer what they are told to, and the calls that reached them."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    def tool(self, name: str, answer: Callable[[str], Any], **options: Any) -> Tool:
        async def function(what: str = "") -> Any:
            self.made.append((name, what))
            value = answer(what)
            if isinstance(value, Exception):
                raise value
            return value

        return Tool(function, name=name, description="d", **options)


def counting(text: str = "") -> Callable[[str], str]:
    numbers = iter(range(1, 1_000))
    return lambda what: f"{text}{what} {next(numbers)}"


def one_agent(tools: Sequence[Tool], script: Sequence[Any], *guards: Loops, **host: Any) -> Played:
    model = ScriptedModel([*script, say("Done.")])
    return play(Team(Agent("clerk", model=model, tools=tools)), guards=guards or [Loops()], **host)


def stopped(run: Played) -> str | None:
    stop = run.outcome.stopped_by
    return None if stop is None else (stop.limit or "").partition("=")[0]


def advised(run: Played) -> list[str]:
    return [
        (each.limit or "").partition("=")[0]
        for each in run.events
        if isinstance(each, Judged) and each.verdict == "advise" and each.guard == "loops"
    ]
