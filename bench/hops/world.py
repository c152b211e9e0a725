"""The world that every system is put into: who knows which facts, and how long everything takes.

A case has four facts. The clerk's tool knows two of them, the cashier's one and the archivist's one; the desk
asks all three at once and answers with what they report; an auditor approves. The quality of an answer is the
share of the four facts that are in it: the world's truth, whatever the answer says of itself.

Every latency is drawn from (seed, case, who, how many times before), so that all systems meet the same ones.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass
from typing import NamedTuple

MEDIAN_S = {
    "desk": 1.0,
    "clerk": 0.8,
    "cashier": 0.8,
    "archivist": 0.9,
    "auditor": 0.8,
    "quick": 0.4,
    "find_order": 0.2,
    "quote": 0.2,
    "search_cases": 0.6,
}
"""Seconds that one reply of an agent, or one call of a tool, takes at the median."""
FACTS = {"find_order": (1, 2), "quote": (3,), "search_cases": (4,)}
TOOLS = {"clerk": "find_order", "cashier": "quote", "archivist": "search_cases"}
_FACT = re.compile(r"F\d+-\d+")
_CASE = re.compile(r"case (\d+)")


class Reply(NamedTuple):
    """What a scripted model says: calls of tools or colleagues, or a text."""

    calls: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How latencies are distributed."""

    sigma: float = 0.5
    """Of the lognormal body."""
    tail: float = 0.05
    """Share of calls that are drawn from the tail: the body times a Pareto variable."""
    alpha: float = 1.3
    """Of that Pareto distribution: below 2, its variance is infinite."""
    stall: float = 0.015
    """Share of calls that never answer."""
    shift_at: int | None = None
    """From this case on everything takes `shift` times as long."""
    shift: float = 1.0
    scale: float = 1.0
    """Of all times."""


CALM = Weather(sigma=0.0, tail=0.0, stall=0.0)


class World:
    """Facts and latencies of one seed."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self.seed = seed
        self.weather = weather

    def seconds(self, case: int, who: str, nth: int) -> float | None:
        """How long it takes; None: for ever."""
        weather = self.weather
        rng = random.Random(f"{self.seed}:{case}:{who}:{nth}")
        body, tail, pareto, stall = rng.gauss(0, weather.sigma), rng.random(), rng.random(), rng.random()
        if stall < weather.stall:
            return None
        seconds = MEDIAN_S[who] * weather.scale * 2.718281828**body
        if tail < weather.tail:
            seconds *= (1 - pareto) ** (-1 / weather.alpha)
        return seconds * (weather.shift if weather.shift_at is not None and case >= weather.shift_at else 1.0)

    async def take(self, case: int, who: str, nth: int) -> None:
        """Wait as long as it takes."""
        seconds = self.seconds(case, who, nth)
        if seconds is None:
            await asyncio.get_running_loop().create_future()
        else:
            await asyncio.sleep(seconds)

    async def reply(self, agent: str, first: str, results: list[str], nth: int) -> Reply:
        """What a model of `agent` says to a conversation that begins with `first`, and when."""
        case = case_of(first)
        await self.take(case, agent, nth)
        if agent == "desk":
            if not results:
                return Reply(("ask_clerk", "ask_cashier", "ask_archivist"))
            return Reply(text=said(results))
        if agent in TOOLS:
            return Reply(text=said(results)) if results else Reply((TOOLS[agent],))
        return Reply(text=said([first]) if agent == "quick" else '{"approved": true, "reason": ""}')

    async def call(self, tool: str, case: int) -> str:
        """What a tool finds, and when."""
        await self.take(case, tool, 0)
        return " ".join(f"F{number}-{case}" for number in FACTS[tool])


def request(case: int) -> str:
    return f"What is there to know about case {case}?"


def case_of(text: str) -> int:
    found = _CASE.search(text)
    assert found is not None, text
    return int(found[1])


def said(results: list[str]) -> str:
    """A report of the facts in these results."""
    facts = dict.fromkeys(fact for text in results for fact in _FACT.findall(text))
    return f"This is known: {', '.join(facts) or 'nothing yet'}."


def quality(case: int, answer: str) -> float:
    """The share of the case's facts that an answer has."""
    known = {f"F{number}-{case}" for facts in FACTS.values() for number in facts}
    return len(known & set(_FACT.findall(answer))) / len(known)
