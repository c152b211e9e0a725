"""The conversations, live: through the provider's client to a model server in its own process, on a journal file."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from conversation.check import check
from conversation.result import Played, Result, Wire
from conversation.script import Script
from conversation.split import DESK, PROMPTS
from conversation.world import World, tools
from seawall import Agent, Limits, Outcome, Seawall, Team
from seawall.models.protocol import Model, Price, TextDelta
from seawall.models.providers import resolve
from seawall.runtime.run import Run
from seawall.testing.wire import CONVERSATION_HEADER

TENANT = "bench"
MODEL = "openai:gpt-4o"
PRICE = Price(Decimal("2.50"), Decimal(10))
LIMITS = Limits(active_s=300.0, tokens=4_000_000, usd=Decimal(20))
"""Beside the defaults for calls, depth and hand-offs: set, so that the ledger reserves and settles all it can."""
STOP_S = 20.0
"""For the model server to report and end."""


async def play(
    scripts: Sequence[Script], *, wires: Sequence[Wire], in_flight: int, seed: int, directory: Path
) -> Played:
    """Play each script once; `wires` are given out in turn. `directory` is for the journal and the rows."""
    rng = random.Random(seed)
    results = [Result(script=one, wire=wires[number % len(wires)]) for number, one in enumerate(scripts)]
    rng.shuffle(results)
    rows, journal = directory / "rows.jsonl", directory / "journal"
    journal.mkdir()
    rows.write_text("".join(json.dumps(row) + "\n" for one in scripts for row in one.rows))
    async with (
        _server(rows) as server,
        resolve(MODEL, base_url=server["base_url"], price=PRICE) as model,
        Seawall(journal / "journal.db", rng=rng) as sea,
    ):
        wall_s, runs = await _all(sea, model, results, in_flight)
        for result, played in zip(results, runs, strict=True):
            await check(sea.journal, TENANT, result, played)
    journal_bytes = sum(path.stat().st_size for path in journal.iterdir())
    return Played(results=results, wall_s=wall_s, journal_bytes=journal_bytes, server=server["report"])


@asynccontextmanager
async def _server(rows: Path) -> AsyncIterator[dict[str, Any]]:
    """A model server that plays `rows`: its base URL, and once it has ended its report."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "seawall.testing.model_server", "--recording", str(rows)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16 * 1024 * 1024,  # of a line: the report holds the differences
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        first = await process.stdout.readline()
        if not first:
            raise RuntimeError(f"the model server ended with status {await process.wait()}")
        told: dict[str, Any] = json.loads(first)
        yield told
        process.stdin.close()
        async with asyncio.timeout(STOP_S):
            told["report"] = json.loads(await process.stdout.readline())
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _all(
    sea: Seawall, model: Model, results: Sequence[Result], in_flight: int
) -> tuple[float, list[list[tuple[str, Outcome, str]]]]:
    """Play everything, `in_flight` at once: seconds, and each conversation's runs."""
    places = asyncio.Semaphore(in_flight)
    done = 0

    async def one(result: Result) -> list[tuple[str, Outcome, str]]:
        nonlocal done
        async with places:
            played = await _conversation(sea, model, result)
        done += 1
        if done % 50 == 0 or done == len(results):
            print(f"  {done} of {len(results)} conversations", file=sys.stderr, flush=True)
        return played

    started_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(result)) for result in results]
    return time.perf_counter() - started_s, [task.result() for task in tasks]


async def _conversation(sea: Seawall, model: Model, result: Result) -> list[tuple[str, Outcome, str]]:
    """Play one conversation: (run, outcome, text that was streamed) of each of its runs."""
    world = World()
    team = _team(result.script, model, world)
    played: list[tuple[str, Outcome, str]] = []
    for expected in result.script.runs:
        world.expect(expected)
        try:
            run = await sea.start(
                team,
                expected.request,
                session=result.script.key,
                tenant=TENANT,
                stream=result.wire == "stream",
            )
            text = await _streamed(run) if result.wire == "stream" else ""
            outcome = await run.outcome()
        except Exception as error:  # noqa: BLE001 -- this conversation failed; the others go on
            result.problems.append(f"run {len(played) + 1}: {type(error).__name__}: {error}")
            break
        world.close()
        played.append((run.id, outcome, text))
        if outcome.status != "completed":
            break
    result.problems += world.problems
    calls = sum(len(batch) for run in result.script.runs for batch in run.batches)
    if world.calls != calls:
        result.problems.append(f"{world.calls} calls reached the world, and {calls} are recorded")
    return played


async def _streamed(run: Run) -> str:
    """All text that a client of this run is sent."""
    return "".join([item.text async for item in run.events() if isinstance(item, TextDelta)])


def _team(script: Script, model: Model, world: World) -> Team:
    """One agent with all tools or, where they are split, a coordinator with specialists."""
    agents = [
        Agent(
            name,
            role=PROMPTS.get(name, ""),
            model=model,
            instructions=PROMPTS.get(name, script.system),
            tools=tools(world, owned),
            # A specialist's conversation is known by its task; there are many of them in one of the user's.
            settings={} if name in PROMPTS else {"extra_headers": {CONVERSATION_HEADER: script.key}},
        )
        for name, owned in script.owners.items()
    ]
    return Team(DESK, agents[0], specialists=agents[1:], limits=LIMITS)
