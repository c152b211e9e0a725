"""All conversations through one framework: plain, and then with Seawall's adapter, against the same model server."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import httpx2

from conversation.check import check
from conversation.recorded import EFFECT_PREFIXES
from conversation.result import Result, Wire
from conversation.script import Script
from conversation.through.sent import Compared, Request, Sent, Server, compare
from conversation.world import World
from seawall import Limits, Outcome, Price
from seawall.journal.protocol import RunFilter
from seawall.runtime.foreign.asks import Halted
from seawall.runtime.foreign.engine import Engine
from seawall.testing.model_server import ModelServer

TENANT = "bench"
MODEL = "gpt-4o"
PRICE = Price(Decimal("2.50"), Decimal(10))
LIMITS = Limits(active_s=300.0, tokens=4_000_000, usd=Decimal(20))
"""Those of the native runs in `conversation.play`."""
_RUNS = 10_000
"""Of one conversation: more than any has."""


@dataclass(frozen=True)
class Place:
    """Where the model is, through which client, and what is to be closed in the end."""

    base_url: str
    client: httpx2.AsyncClient
    closing: ExitStack


class Say(Protocol):
    """Says one user message; the answer, and the text that was streamed."""

    async def __call__(self, request: str, *, stream: bool) -> tuple[str, str]: ...


class Framework(Protocol):
    """A module of this package."""

    PACKAGES: tuple[str, ...]
    UNIQUE_IDS: bool
    """Whether a call's id that was recorded before is made another one."""

    def make(self, place: Place, script: Script, world: World, engine: Engine | None) -> Say:
        """One conversation, gated if there is an engine."""
        ...


@dataclass(kw_only=True)
class Through:
    """What became of all conversations in one framework."""

    plain: list[Result]
    gated: list[Result]
    compared: list[Compared]
    problems: list[str] = field(default_factory=list)
    """What the server found of requests that are not as recorded, plain and gated."""
    coverage: str = ""

    @property
    def mismatches(self) -> int:
        """Everything that is not as it should be."""
        results = [*self.plain, *self.gated]
        found = [problem for one in (*results, *self.compared) for problem in one.problems]
        return len(found) + len(self.problems)


async def play(
    framework: Framework,
    scripts: Sequence[tuple[Script, Script]],
    *,
    wires: Sequence[Wire],
    in_flight: int,
    seed: int,
    directory: Path,
) -> Through:
    """Play each conversation plain and gated; `scripts` are what it is without and with the guard."""
    order = list(range(len(scripts)))
    random.Random(seed).shuffle(order)
    made = [
        [Result(script=pair[which], wire=wires[n % len(wires)]) for n, pair in enumerate(scripts)]
        for which in (0, 1)
    ]
    played = Through(plain=made[0], gated=made[1], compared=[])
    plain = await _all(framework, [made[0][n] for n in order], played, None, in_flight)
    engine = Engine(
        str(directory / "journal.db"),
        effects=[f"{prefix}*" for prefix in EFFECT_PREFIXES],
        limits=LIMITS,
        prices={f"openai:{MODEL}": PRICE},
    )
    async with engine:
        gated = await _all(framework, [made[1][n] for n in order], played, engine, in_flight)
        for result in made[1]:
            await engine.call_async(lambda sea, result=result: _check(sea, result))
        played.coverage = str(engine.coverage())
    for pair in scripts:
        played.compared.append(compare(plain[pair[0].key], gated[pair[0].key], pair))
    return played


async def _all(
    framework: Framework, results: Sequence[Result], played: Through, engine: Engine | None, in_flight: int
) -> dict[str, list[Request]]:
    """Play every conversation, `in_flight` at once; what was sent."""
    server, sent = Server([one.script for one in results]), Sent()
    places = asyncio.Semaphore(in_flight)
    async with ModelServer(server.answer, keep_requests=1) as listening, sent.client:
        closing = ExitStack()
        place = Place(listening.base_url, sent.client, closing)

        async def one(result: Result) -> None:
            async with places:
                await _conversation(framework, place, result, engine)

        with closing:
            async with asyncio.TaskGroup() as group:
                for result in results:
                    group.create_task(one(result))
    who = "plain" if engine is None else "gated"
    print(f"  {who}: {server.matched} requests as recorded", file=sys.stderr, flush=True)
    played.problems += [f"{who}: {problem}" for problem in server.problems]
    return sent.requests


async def _conversation(framework: Framework, place: Place, result: Result, engine: Engine | None) -> None:
    world = World()
    say = framework.make(place, result.script, world, engine)
    for number, expected in enumerate(result.script.runs, start=1):
        world.expect(expected)
        try:
            answer, text = await say(expected.request, stream=result.wire == "stream")
        except Exception as error:  # noqa: BLE001 -- this conversation failed; the others go on
            if not (expected.halted and isinstance(error.__cause__, Halted)):
                result.problems.append(f"run {number}: {type(error).__name__}: {error}")
                break
        else:
            if answer != expected.texts[-1]:
                result.problems.append(f"run {number}: answered {answer!r}, not {expected.texts[-1]!r}")
            if result.wire == "stream" and text != "".join(expected.texts):
                result.problems.append(f"run {number}: streamed {text!r}, not {''.join(expected.texts)!r}")
        world.close()
    result.problems += world.problems
    calls = sum(len(batch) for run in result.script.runs for batch in run.batches)
    if world.calls != calls:
        result.problems.append(f"{world.calls} calls reached the world, and {calls} are recorded")


async def _check(sea: Any, result: Result) -> None:
    """Compare the journal of a gated conversation with its script."""
    found = await sea.journal.runs(RunFilter(session=result.script.key, tenant=TENANT), limit=_RUNS)
    played: list[tuple[str, Outcome, str]] = []
    for expected, row in zip(result.script.runs, sorted(found, key=lambda row: row.run), strict=False):
        outcome = await sea.outcome(row.run)
        played.append((row.run, outcome, "".join(expected.texts)))
    await check(sea.journal, TENANT, result, played, read=json.loads)
