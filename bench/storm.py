"""A storm: 100 runs in flight, a model server that goes bad for some seconds, and how many calls reach it.

Every run is a conversation of three model calls and two tool calls, through the provider's real HTTP client to a
model server on loopback, which counts. While the storm is on, *offered* are the calls that the same runs would
have made up to the fault if nothing were tried again; *reached* are the calls that arrived. Each kind of storm
is met with endpoints enforced, and with them off, where only the agents' own two retries a call are left.

    python bench/storm.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seawall import Agent, EndpointOptions, Limits, Outcome, Seawall, Team, tool
from seawall.models.providers import resolve
from seawall.testing import call, say
from seawall.testing.faults import Answer, Silence, SlowTokens, overloaded, rate_limited, spend_limited
from seawall.testing.model_server import ModelServer
from seawall.testing.wire import ChatRequest

IN_FLIGHT = 100
RUNS_EACH = 3
"""Runs that each of these makes, one after another: 300 runs, 900 model calls where all is well."""
REPLY_S = 0.1
BEFORE = 150
"""Calls that are answered well first: runs are in the middle of their conversations when the storm begins."""
LIMITS = Limits(active_s=25.0)
STOP_S = 90.0
"""For one storm: it ends by itself long before."""
LOOK_S = 0.01
MODEL = "openai:storm"
TIMES = 1.2
"""The bar: calls that reach the server, for each that was offered."""
WAITED_OUT = ("529", "429, Retry-After 2 s", "replies in 10 s", "no replies")
"""The bar: storms that cost no run its answer. In the other, only a person can change what is wrong."""
PROBES = 4
"""The bar: calls between the storm's end and the closed breaker: two rounds of probes."""


DEFAULTS = EndpointOptions()


@dataclass(frozen=True, kw_only=True)
class Storm:
    """What goes wrong."""

    name: str
    answer: Callable[[], Answer]
    seconds: float
    options: EndpointOptions = DEFAULTS


QUICK = EndpointOptions(slow_s=2.0)
STORMS = (
    Storm(name="529", answer=overloaded, seconds=6.0),
    Storm(name="429, Retry-After 2 s", answer=lambda: rate_limited(2), seconds=6.0),
    Storm(
        name="429, spend limit", answer=spend_limited, seconds=6.0, options=EndpointOptions(spend_limit_s=3.0)
    ),
    Storm(name="replies in 10 s", answer=lambda: SlowTokens("late", 10.0), seconds=6.0, options=QUICK),
    Storm(name="no replies", answer=Silence, seconds=6.0, options=QUICK),
)
"""A slow call is one of two seconds there, and a spend limit is looked at after three, so that a storm can be short."""


@dataclass(kw_only=True)
class Met:
    """One storm, met."""

    storm: str
    mode: str
    offered: int = 0
    """Different model calls, each of one run and place in its conversation, that arrived while the storm was on."""
    reached: int = 0
    """Calls that arrived at the server while the storm was on."""
    ratio: float = 0.0
    in_all: int = 0
    """Calls that arrived before, in and after it."""
    opened_s: float | None = None
    """From the storm's beginning to the open breaker."""
    after_opening: int = 0
    """Calls that arrived while the storm was on and the breaker had opened: probes."""
    closed_s: float | None = None
    """From the storm's end to the closed breaker."""
    probes: int | None = None
    """Calls that arrived between these two."""
    outcomes: dict[str, int] = field(default_factory=dict)
    wall_s: float = 0.0


class Server:
    """Answers well, but for the storm; and knows when what arrived."""

    def __init__(self, storm: Storm) -> None:
        self.storm = storm
        self.began: float | None = None
        self.arrived: list[float] = []
        self.offered: set[tuple[str, int]] = set()

    @property
    def now(self) -> float:
        """Seconds since the storm began; below zero before it."""
        return -1.0 if self.began is None else time.monotonic() - self.began

    async def answer(self, request: ChatRequest) -> Answer:
        if len(self.arrived) == BEFORE:
            self.began = time.monotonic()
        self.arrived.append(self.now)
        replies = sum(message.get("role") == "assistant" for message in request.messages)
        if 0 <= self.now < self.storm.seconds:
            asked = next(str(each["content"]) for each in request.messages if each.get("role") == "user")
            self.offered.add((asked, replies))
            return self.storm.answer()
        await asyncio.sleep(REPLY_S)
        return call("look", what=f"{replies}") if replies < 2 else say("Both were found.")


@tool
async def look(what: str) -> str:
    """Look something up."""
    return f"{what} is there"


async def meet(storm: Storm, mode: Any, directory: Path) -> Met:
    """Send `IN_FLIGHT` runs at a time through one storm."""
    met = Met(storm=storm.name, mode=mode)
    phases: list[tuple[float, str]] = []
    server = Server(storm)
    async with ModelServer(server.answer) as served, resolve(MODEL, base_url=served.base_url) as model:
        team = Team("desk", Agent("desk", model=model, tools=[look]), limits=LIMITS)
        options = {"model": storm.options}
        path = directory / f"{mode}.db"
        async with Seawall(path, environment={}, endpoints=options, modes={"endpoints": mode}) as sea:
            watching = asyncio.create_task(_watch(sea, server, phases))
            began = time.monotonic()
            numbers = itertools.count(1)
            async with asyncio.timeout(STOP_S):
                ended = await asyncio.gather(*(_client(sea, team, numbers) for _ in range(IN_FLIGHT)))
                while mode == "enforce" and (not phases or phases[-1][1] != "closed"):
                    ended.append([await _one(sea, team, numbers)])  # somebody has to try
                    await asyncio.sleep(REPLY_S)
            met.wall_s = round(time.monotonic() - began, 3)
            await asyncio.sleep(5 * LOOK_S)
            watching.cancel()
        met.in_all = served.request_count
    met.outcomes = dict(Counter(_said(each) for many in ended for each in many))
    _sum_up(met, server, phases)
    return met


async def _client(sea: Seawall, team: Team, numbers: Iterator[int]) -> list[Outcome]:
    return [await _one(sea, team, numbers) for _ in range(RUNS_EACH)]


async def _one(sea: Seawall, team: Team, numbers: Iterator[int]) -> Outcome:
    run = await sea.start(team, f"Are they there? ({next(numbers)})")
    return await run.outcome()


async def _watch(sea: Seawall, server: Server, phases: list[tuple[float, str]]) -> None:
    """Note each state of the breaker, as this process has it."""
    while True:
        with suppress(KeyError):  # nothing was called yet
            state = sea.endpoints[f"model:{MODEL}"].breaker.phase.state
            if not phases or phases[-1][1] != state:
                phases.append((server.now, state))
        await asyncio.sleep(LOOK_S)


def _said(outcome: Outcome) -> str:
    stopped = outcome.stopped_by
    return outcome.status if stopped is None else f"{outcome.status} by {stopped.guard}"


def _sum_up(met: Met, server: Server, phases: list[tuple[float, str]]) -> None:
    end_s = server.storm.seconds
    met.reached = sum(0 <= at < end_s for at in server.arrived)
    met.offered = len(server.offered)
    met.ratio = round(met.reached / max(1, met.offered), 3)
    opened = next((at for at, state in phases if state == "open"), None)
    if opened is None:
        return
    met.opened_s = round(opened, 3)
    met.after_opening = sum(opened <= at < end_s for at in server.arrived)
    closed = next((at for at, state in phases if state == "closed" and at > max(opened, end_s)), None)
    if closed is not None:
        met.closed_s = round(closed - end_s, 3)
        met.probes = sum(end_s <= at < closed - REPLY_S for at in server.arrived)


def _cells(met: Met) -> list[str]:
    return [
        met.storm,
        met.mode,
        str(met.offered),
        str(met.reached),
        f"{met.ratio:.2f}",
        "-" if met.opened_s is None else f"{met.opened_s:.2f} s",
        "-" if met.opened_s is None else str(met.after_opening),
        "-" if met.closed_s is None else f"{met.closed_s:.2f} s",
        "-" if met.probes is None else f"{met.probes} probes",
    ]


def table(met: list[Met]) -> str:
    """One line a storm and mode."""
    heads = [
        "storm",
        "endpoints",
        "offered",
        "reached",
        "ratio",
        "opened after",
        "probes in it",
        "closed after",
        "by",
    ]
    lines = [heads, *(_cells(each) for each in met)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    for number, each in enumerate(met, 1):
        text[number] += "  " + ", ".join(f"{count} {said}" for said, count in sorted(each.outcomes.items()))
    return "\n".join(text)


def broken(met: list[Met]) -> list[str]:
    """The bars that do not hold."""
    found: list[str] = []
    for each in met:
        if each.mode != "enforce":
            continue
        if each.ratio > TIMES:
            found.append(f"{each.storm}: {each.ratio:.2f} calls for each that was offered (bar {TIMES})")
        lost = sum(count for said, count in each.outcomes.items() if said != "completed")
        if each.storm in WAITED_OUT and lost:
            found.append(f"{each.storm}: {lost} runs without an answer (bar 0)")
        if each.probes is None or each.probes > PROBES:
            found.append(f"{each.storm}: {each.probes} probes until it had recovered (bar {PROBES})")
    return found


def main() -> None:
    """Meet each storm, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first two storms, endpoints enforced")
    parser.add_argument("--json", action="store_true", help="print the report instead of the table")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "storm.json")
    options = parser.parse_args()
    met: list[Met] = []
    for storm in STORMS[:2] if options.quick else STORMS:
        for mode in ("enforce",) if options.quick else ("enforce", "off"):
            print(f"{storm.name}, endpoints {mode}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as directory:
                met.append(asyncio.run(meet(storm, mode, Path(directory))))
    failed = broken(met)
    report = {
        "command": "python bench/storm.py" + (" --quick" if options.quick else ""),
        "versions": {"python": platform.python_version(), "machine": platform.machine()},
        "in_flight": IN_FLIGHT,
        "bars": {"ratio": TIMES, "probes": PROBES, "broken": failed},
        "storms": [asdict(each) for each in met],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1) if options.json else table(met))
    for each in failed:
        print(f"bar: {each}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
