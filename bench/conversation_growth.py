"""One conversation of many turns: does turn 500 cost what turn 50 costs, beside what the framework itself does?

    python bench/conversation_growth.py [--quick] [--systems langchain,openai-agents] [--turns 500] [--json]

A user asks a clerk, who answers, again and again in one session; the scripted model takes no time. Each framework keeps the
conversation in its own way (LangGraph's checkpointer, the SDK's session, Pydantic AI's message history) and sends all of
it with each turn, so its own time grows with it. Each is played plain and behind its adapter, durable (SQLite,
synchronous=FULL), one after the other in a child process of its own; `seawall` is a native session. Of windows of twenty
turns: the median of the CPU time of a turn, and the bytes of events and bodies that a turn adds to the journal. Bars: a
turn at the end adds at most `MOST_BYTES` times the bytes of a turn at the beginning.

Progress goes to stderr, the table to stdout, everything to `bench/results/conversation_growth.json`. Exit code: 0, or 1 if
a bar is missed or a cell failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from typing import Any

import apsw
from rich.console import Console
from rich.table import Table
from teams.script import Reply

from seawall import Agent, Engine, Seawall, Team
from seawall.testing import ScriptedModel, say

_HERE = Path(__file__).parent
WINDOW = 20
"""Turns of a window; the first one ends with turn 50, the last one with the last turn."""
EARLY = 50
MOST_BYTES = 1.5
CELL_TIMEOUT_S = 600.0
SESSION = "ann"
PROMPT = "You are the clerk. You answer what you are asked about parcels."

Serve = Callable[[str], Awaitable[str]]
"""Answers one turn."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one process measured."""

    system: str
    gate: str
    turns: int
    early_ms: float
    late_ms: float
    """CPU time of one turn, of all threads."""
    early_bytes: float
    late_bytes: float
    """Bytes that one turn adds to the journal; 0 for plain ones."""


class Talk:
    """The script: each answer is another one, and none needs a tool."""

    def __init__(self) -> None:
        self._answered = 0

    async def reply(self, agent: str, seen: int, first: str) -> Reply:
        """Returns the next answer."""
        self._answered += 1
        return Reply(make_answer(self._answered))


def make_request(turn: int) -> str:
    """Returns what the user says in a turn."""
    rng = random.Random(turn)
    return f"Where is parcel {rng.randrange(10**6)}, and why has it not left depot {rng.randrange(40)} yet?"


def make_answer(turn: int) -> str:
    """Returns what the clerk answers."""
    rng = random.Random(-turn)
    return f"It left at {rng.randrange(24)}:{rng.randrange(60):02d} and is on shelf {rng.randrange(10**6)} now."


def _make_langchain(play: Talk, engine: Engine | None) -> Serve:
    from langchain.agents import create_agent
    from langchain_core.messages import HumanMessage
    from langgraph.checkpoint.memory import InMemorySaver
    from teams.langgraph import ScriptedChat

    from seawall.adapters.langchain import SeawallMiddleware

    agent: Any = create_agent(
        ScriptedChat(script=play, agent="clerk"),
        system_prompt=PROMPT,
        name="clerk",
        middleware=[] if engine is None else [SeawallMiddleware(engine)],
        checkpointer=InMemorySaver(),
    )

    async def serve(request: str) -> str:
        result = await agent.ainvoke(
            {"messages": [HumanMessage(request)]}, {"configurable": {"thread_id": SESSION}}
        )
        return str(result["messages"][-1].content)

    return serve


def _make_openai_agents(play: Talk, engine: Engine | None) -> Serve:
    from agents import Agent, RunConfig, Runner, SQLiteSession, set_tracing_disabled
    from teams.openai_agents import ScriptedModel

    from seawall.adapters.openai_agents import SeawallRunner

    set_tracing_disabled(True)
    model: Any = ScriptedModel(play, "clerk")  # pyright: ignore[reportArgumentType] -- it plays any script
    agent = Agent(name="clerk", instructions=PROMPT, model=model)
    runner: Any = Runner if engine is None else SeawallRunner(engine)
    session, untraced = SQLiteSession(SESSION), RunConfig(tracing_disabled=True)

    async def serve(request: str) -> str:
        return str((await runner.run(agent, request, session=session, run_config=untraced)).final_output)

    return serve


def _make_pydantic_ai(play: Talk, engine: Engine | None) -> Serve:
    from pydantic_ai import Agent
    from teams.pydantic_ai import ScriptedModel

    from seawall.adapters.pydantic_ai import SeawallCapability

    model: Any = ScriptedModel(play, "clerk")  # pyright: ignore[reportArgumentType] -- it plays any script
    capabilities = [] if engine is None else [SeawallCapability(engine)]
    agent = Agent(model, instructions=PROMPT, name="clerk", capabilities=capabilities)
    history: list[Any] = []

    async def serve(request: str) -> str:
        result = await agent.run(request, message_history=history, conversation_id=SESSION)
        history[:] = result.all_messages()
        return result.output

    return serve


ADAPTERS: dict[str, tuple[Callable[[Talk, Engine | None], Serve], tuple[str, ...]]] = {
    "langchain": (_make_langchain, ("langchain", "langgraph")),
    "openai-agents": (_make_openai_agents, ("openai-agents",)),
    "pydantic-ai": (_make_pydantic_ai, ("pydantic-ai-slim",)),
}
SYSTEMS = ("seawall", *ADAPTERS)


async def _talk(serve: Serve, turns: int, journal: Path | None) -> list[tuple[float, int]]:
    """Returns of each turn its CPU time in ms, and what it added to the journal in bytes."""
    taken: list[tuple[float, int]] = []
    before = 0
    for turn in range(1, turns + 1):
        start = time.process_time()
        answer = await serve(make_request(turn))
        cpu_ms = 1000 * (time.process_time() - start)
        if answer != make_answer(turn):
            raise RuntimeError(f"turn {turn}: the answer is {answer!r}")
        kept = 0 if journal is None else _measure(journal)
        taken.append((cpu_ms, kept - before))
        before = kept
    return taken


def _measure(journal: Path) -> int:
    """Returns the bytes of all events and bodies."""
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        query = "SELECT (SELECT total(length(data)) FROM bodies) + (SELECT total(length(data)) FROM entries)"
        [(size,)] = connection.execute(query).fetchall()
    finally:
        connection.close()
    return int(size)


async def _play_native(turns: int, journal: Path) -> list[tuple[float, int]]:
    answers = (make_answer(turn) for turn in range(1, turns + 1))
    model = ScriptedModel(lambda request: say(next(answers)))
    desk = Team(Agent("clerk", PROMPT, model=model))
    async with Seawall(journal) as sea:

        async def serve(request: str) -> str:
            outcome = await (await sea.start(desk, request, session=SESSION)).outcome()
            return str(outcome.answer)

        return await _talk(serve, turns, journal)


def measure(system: str, gate: str, turns: int) -> Cell:
    """Plays one conversation."""
    with tempfile.TemporaryDirectory() as directory:
        journal = Path(directory) / "desk.db"
        if system == "seawall":
            taken = asyncio.run(_play_native(turns, journal))
        elif gate == "plain":
            taken = asyncio.run(_talk(ADAPTERS[system][0](Talk(), None), turns, None))
        else:
            with Engine(journal) as engine:
                taken = asyncio.run(_talk(ADAPTERS[system][0](Talk(), engine), turns, journal))
    early, late = taken[EARLY - WINDOW : EARLY], taken[-WINDOW:]
    return Cell(
        system=system,
        gate=gate,
        turns=turns,
        early_ms=median(ms for ms, _ in early),
        late_ms=median(ms for ms, _ in late),
        early_bytes=mean(size for _, size in early),
        late_bytes=mean(size for _, size in late),
    )


def _measure_apart(system: str, gate: str, turns: int) -> Cell:
    command = [sys.executable, __file__, "--cell", f"{system}/{gate}", "--turns", str(turns)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CELL_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{system}/{gate} failed:\n{done.stderr}")
    return Cell(**json.loads(done.stdout.splitlines()[-1]))


def _make_table(cells: list[Cell]) -> Table:
    table = Table(title=f"A conversation of {cells[0].turns} turns: one turn at turn {EARLY} and at the end")
    table.add_column("system")
    for name in ("CPU ms", "at the end", "bytes", "at the end", "ratio"):
        table.add_column(name, justify="right")
    for cell in cells:
        sizes = (
            (f"{cell.early_bytes:,.0f}", f"{cell.late_bytes:,.0f}", f"{_compute_growth(cell):.2f}")
            if cell.late_bytes
            else ("", "", "")
        )
        table.add_row(f"{cell.system}, {cell.gate}", f"{cell.early_ms:.1f}", f"{cell.late_ms:.1f}", *sizes)
    return table


def _compute_growth(cell: Cell) -> float:
    return cell.late_bytes / cell.early_bytes if cell.early_bytes else 0.0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="default: all")
    parser.add_argument("--turns", type=int, default=500, help="default: 500")
    parser.add_argument("--quick", action="store_true", help="100 turns")
    parser.add_argument("--json", action="store_true", help="print the results instead of the table")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.turns = 100
    if options.turns < EARLY + WINDOW:
        parser.error(f"--turns is {options.turns}; it must be at least {EARLY + WINDOW}")
    options.systems = options.systems.split(",")
    if unknown := [one for one in options.systems if one not in SYSTEMS]:
        parser.error(f"--systems: {unknown[0]!r} is none of {', '.join(SYSTEMS)}")
    suffix = "-quick" if options.quick else ""
    options.out = options.out or _HERE / "results" / f"conversation_growth{suffix}.json"
    return options


def main() -> int:
    """Measures, prints and writes."""
    options = _parse_options()
    if options.cell:
        system, gate = options.cell.split("/")
        print(json.dumps(asdict(measure(system, gate, options.turns))))
        return 0
    cells: list[Cell] = []
    for system in options.systems:
        for gate in ("durable",) if system == "seawall" else ("plain", "durable"):
            print(f"{system}, {gate} …", file=sys.stderr, flush=True)
            cells.append(_measure_apart(system, gate, options.turns))
    grown = [cell for cell in cells if _compute_growth(cell) > MOST_BYTES]
    packages = ("seawall", *(name for each in options.systems if each in ADAPTERS for name in ADAPTERS[each][1]))
    results = {
        "command": shlex.join(["python", *sys.argv]),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "bars": {"bytes": MOST_BYTES},
        "passed": not grown,
        "cells": [asdict(cell) for cell in cells],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        Console().print(_make_table(cells))
        for cell in grown:
            print(f"bar missed: {cell.system} adds {_compute_growth(cell):.2f} times the bytes, not {MOST_BYTES}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
