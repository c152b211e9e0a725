"""What people do with a journal, on journals of 1,000, 10,000 and 100,000 runs.

All runs are of one tenant, ten in a session, and a few are interrupted, so that they can be resumed. The journal is
copied when it has reached a size, with `seawall backup`, and all sizes are measured in turn at the end: a machine that
gets slower over minutes does not count. Each measurement takes a run, a session or a list at random.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import math
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from seawall import Agent, Seawall, Team, Tool
from seawall.cli.commands.prune import prune
from seawall.cli.commands.runs import runs
from seawall.cli.commands.show import show
from seawall.cli.commands.verify import verify
from seawall.cli.commands.why import why
from seawall.models.protocol import Assistant, ModelReply, ModelRequest, Price, ToolCall, Usage
from seawall.testing import ScriptedModel

TENANT = "bench"
SESSION_RUNS = 10
INTERRUPTED = 40
"""Runs of each size that can be resumed: each is resumed once."""
IN_FLIGHT = 32
SEED = 20261129
FLAT_BAR = 1.3
"""The largest journal against the smallest one."""
LINEAR_BAR = 1.1
"""The exponent of what reads a whole journal: 1 is linear. A B-tree of n rows has a depth of log n, and n log n from
1,000 to 100,000 runs is an exponent of 1.11."""
WHOLE = ("seawall verify, a run", "seawall prune, a run")
"""What reads a whole journal: its time is divided by the number of runs."""

Progress = Callable[[str], None]


class Desk:
    """An agent that looks at one thing and answers. It can be told that its tool waits for ever."""

    def __init__(self) -> None:
        self.hang = False
        self.hanging = asyncio.Semaphore(0)
        """Released by each tool call that hangs."""
        self._numbers = itertools.count()
        price = Price("2", "8")
        model = ScriptedModel(self._reply, price=price, usage=Usage(100, 20), keep_requests=0)
        schema = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}
        tool = Tool(self._look, name="look", description="Looks at one thing.", schema=schema)
        self.team = Team(Agent("desk", "Looks at things.", model=model, tools=[tool]))

    def _reply(self, request: ModelRequest) -> ModelReply:
        if request.messages[-1].role == "tool":
            reply = Assistant(f"It was looked at {next(self._numbers):08d}.")
            return ModelReply(message=reply, usage=Usage(100, 20), finish="stop")
        number = next(self._numbers)
        call = ToolCall(f"call_{number:08d}", "look", f'{{"what":"thing {number:08d}"}}')
        return ModelReply(message=Assistant(None, (call,)), usage=Usage(100, 20), finish="tool_calls")

    async def _look(self, what: str) -> str:
        if self.hang:
            self.hanging.release()
            await asyncio.Event().wait()
        return f"{what} " + "." * 200


@dataclass
class Journal:
    """A journal of one size, with what can still be done in it."""

    runs: int
    path: Path
    ended: list[str]
    sessions: list[str]
    interrupted: list[str]


async def build(directory: Path, sizes: list[int], progress: Progress) -> list[Journal]:
    """Makes the journals: one grows through all sizes, and is copied at each one but the last."""
    path = directory / "growing.db"
    desk, made = Desk(), list[Journal]()
    ended: list[str] = []
    numbers = itertools.count()
    for size in sizes:
        async with Seawall(path) as sea:
            while len(ended) < size:
                progress(f"journal: {len(ended):,} of {sizes[-1]:,} runs")
                ended += await _fill(sea, desk, numbers, min(2_000, size - len(ended)))
            desk.hang = True
            interrupted = [
                (await sea.start(desk.team, f"Look at this {size:,} {n}.", tenant=TENANT)).id
                for n in range(INTERRUPTED)
            ]
            for _ in range(INTERRUPTED):
                await desk.hanging.acquire()
            desk.hang = False
        target = path
        if size != sizes[-1]:
            target = directory / f"copy-{size}.db"
            async with Seawall(path) as sea:
                await sea.backup(target)
        sessions = [f"s-{number:08d}" for number in range(size // SESSION_RUNS)]
        made.append(Journal(size, target, list(ended), sessions, interrupted))
    return made


async def _fill(sea: Seawall, desk: Desk, numbers: itertools.count[int], count: int) -> list[str]:
    """Makes `count` runs, each session one after the other, and returns their ids."""
    ended: list[str] = []
    first = next(numbers)
    shares = iter(range(first, first + -(-count // SESSION_RUNS)))
    for _ in range(-(-count // SESSION_RUNS) - 1):
        next(numbers)

    async def client() -> None:
        for session in shares:
            for turn in range(SESSION_RUNS):
                run = await sea.start(
                    desk.team,
                    f"Look at thing {session:08d}, {turn}.",
                    session=f"s-{session:08d}",
                    request_id=f"q-{session:08d}-{turn}",
                    tenant=TENANT,
                )
                outcome = await run.outcome()
                if outcome.status != "completed":
                    raise AssertionError(f"run {run.id}: {outcome}")
                ended.append(run.id)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(client())
    return ended


# ---- measured


def measure(journals: list[Journal], rounds: int, progress: Progress) -> dict[str, dict[int, list[float]]]:
    """Returns for each thing that people do its milliseconds, for each size of a journal."""
    measured: dict[str, dict[int, list[float]]] = {}

    def note(what: str, journal: Journal, ms: float) -> None:
        measured.setdefault(what, {}).setdefault(journal.runs, []).append(ms)

    chance = random.Random(SEED)
    progress("journal: reading and resuming")
    asyncio.run(_measure_seawall(journals, rounds, chance, note))
    for number in range(rounds):
        for journal in _shuffle(journals, chance):
            run, session = chance.choice(journal.ended), chance.choice(journal.sessions)
            status = "halted" if number % 2 else "completed"
            commands: dict[str, Callable[[], None]] = {
                "seawall show RUN": lambda run=run, path=journal.path: show(run, journal=path),
                "seawall why RUN": lambda run=run, path=journal.path: why(run, journal=path),
                "seawall runs": lambda path=journal.path: runs(journal=path, limit=20),
                "seawall runs --session": lambda s=session, path=journal.path: runs(
                    session=s, journal=path, limit=20
                ),
                "seawall runs --status": lambda s=status, path=journal.path: runs(
                    status=s, journal=path, limit=20
                ),
            }
            for what, command in commands.items():
                note(what, journal, _time_command(command))
    for journal in journals:
        progress(f"journal: verify and prune of {journal.runs:,} runs")
        for _ in range(3 if journal.runs < 50_000 else 1):
            ms = _time_command(lambda path=journal.path: verify(None, None, journal=path))
            note(WHOLE[0], journal, ms / journal.runs)
    for journal in journals:
        ms = _time_command(lambda path=journal.path: prune("0s", journal=path))
        note(WHOLE[1], journal, ms / journal.runs)
    return measured


async def _measure_seawall(
    journals: list[Journal], rounds: int, chance: random.Random, note: Callable[[str, Journal, float], None]
) -> None:
    """Measures what a program does with a journal that it has open."""
    desk = Desk()

    async def run_once(sea: Seawall, journal: Journal) -> None:
        run = await sea.start(
            desk.team, "Look again.", session=chance.choice(journal.sessions), tenant=TENANT
        )
        await run.outcome()

    async def resume(sea: Seawall, journal: Journal) -> None:
        outcome = await (await sea.resume(journal.interrupted.pop(), desk.team)).outcome()
        if outcome.status != "completed":
            raise AssertionError(f"resumed: {outcome}")

    async def read_outcome(sea: Seawall, journal: Journal) -> None:
        await sea.outcome(chance.choice(journal.ended))

    async def replay(sea: Seawall, journal: Journal) -> None:
        await sea.replay(chance.choice(journal.ended), desk.team)

    works: dict[str, Callable[[Seawall, Journal], Awaitable[None]]] = {
        "a run in a session of 10 runs": run_once,
        "sea.outcome(run)": read_outcome,
        "sea.replay(run)": replay,
        "sea.resume(run)": resume,
    }
    async with contextlib.AsyncExitStack() as stack:
        seas = [await stack.enter_async_context(Seawall(journal.path)) for journal in journals]
        for number in range(rounds):
            for sea, journal in _shuffle(list(zip(seas, journals, strict=True)), chance):
                for what, work in works.items():
                    if work is resume and number >= INTERRUPTED:
                        continue
                    began = time.perf_counter()
                    await work(sea, journal)
                    note(what, journal, (time.perf_counter() - began) * 1e3)


def _time_command(command: Callable[[], None]) -> float:
    """Returns the milliseconds that a command of the command line takes in this process. Raises if it fails."""
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        try:
            command()
        except typer.Exit as ended:
            if ended.exit_code:
                raise AssertionError(f"exit code {ended.exit_code}: {told.getvalue()}") from None
    return (time.perf_counter() - began) * 1e3


def _shuffle(items: list[Any], chance: random.Random) -> list[Any]:
    return chance.sample(items, len(items))


def compute_medians(measured: dict[str, dict[int, list[float]]]) -> dict[str, dict[int, float]]:
    """Returns the median of each thing for each size."""
    return {
        what: {size: statistics.median(values) for size, values in by_size.items()}
        for what, by_size in measured.items()
    }


def compute_exponent(by_size: dict[int, float]) -> float:
    """Returns the x of n^x, the time of a whole journal of n runs, by least squares; `by_size` has the time of a run."""
    sizes = sorted(by_size)
    logs = [math.log(size * by_size[size]) for size in sizes]
    return statistics.linear_regression([math.log(size) for size in sizes], logs).slope
