"""What the gate costs around loops that others own: each framework as it is, and behind its adapter, side by side.

    python bench/adapters.py [--quick] [--systems langchain,openai-agents] [--rounds 5] [--seconds 1.5]

One clerk makes eleven model calls and ten tool calls, with a scripted model that takes no time: 21 steps. Every cell
(framework, way, runs in flight) is measured in a child process of its own; the ways of one framework follow each other
within a round. `plain` is the framework alone, `memory` has the gate and keeps nothing, `disk` is durable (SQLite,
synchronous=FULL); both work on the event loop that they are asked from (`Engine(…, thread=False)`). `thread` is durable, in
a thread of its own. *On top* is the median over the rounds of (gated - plain) within a round, per step. Progress goes to
stderr, the table to stdout, everything to `bench/results/adapters.json`.

Exit code: 0, or 1 if a cell failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import platform
import random
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from adapter.systems import SYSTEMS, describe, make_engine
from adapter.turns import STEPS, TURNS, Turns, make_answer
from rich.console import Console
from rich.table import Table

from seawall import Engine

_HERE = Path(__file__).parent
GATES = ("plain", "memory", "disk", "thread")
IN_FLIGHT = (1, 32)
WARM_UP_RUNS = 5
MOST_ON_TOP_MS = 1.0
LEAST_SHARE = 0.70
CELL_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one process measured."""

    system: str
    gate: str
    in_flight: int
    runs: int
    steps_per_s: float
    step_ms: float
    """Wall time of a step: the median run at one in flight, the throughput's inverse otherwise."""
    cpu_ms: float
    """User and system time of all threads, per step."""
    version: str


async def measure(system: str, gate: str, in_flight: int, seconds: float, directory: Path) -> Cell:
    """Measures one cell on this event loop."""
    engine = make_engine(gate, directory)
    async with contextlib.nullcontext() if engine is None else engine:
        return await _measure(system, gate, engine, in_flight, seconds)


async def _measure(system: str, gate: str, engine: Engine | None, in_flight: int, seconds: float) -> Cell:
    """Keeps `in_flight` runs going for `seconds`, lets all finish, and checks that they did the whole work."""
    play = Turns()
    serve = SYSTEMS[system].make(play, engine)
    numbers = itertools.count(100_000)

    async def run_one() -> float:
        number = next(numbers)
        begun_s = time.perf_counter()
        answer = await serve(number)
        assert answer == make_answer(number), answer
        return time.perf_counter() - begun_s

    for _ in range(WARM_UP_RUNS):
        await run_one()
    took_s: list[float] = []
    used = resource.getrusage(resource.RUSAGE_SELF)
    begun_s = time.perf_counter()

    async def go_on() -> None:
        while time.perf_counter() - begun_s < seconds:
            took_s.append(await run_one())

    await asyncio.gather(*(go_on() for _ in range(in_flight)))
    wall_s = time.perf_counter() - begun_s
    now = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    runs = len(took_s)
    assert (play.models, play.tools) == ((TURNS + 1) * (runs + WARM_UP_RUNS), TURNS * (runs + WARM_UP_RUNS))
    steps = runs * STEPS
    return Cell(
        system=system,
        gate=gate,
        in_flight=in_flight,
        runs=runs,
        steps_per_s=steps / wall_s,
        step_ms=1000 * (median(took_s) / STEPS if in_flight == 1 else wall_s / steps),
        cpu_ms=1000 * cpu_s / steps,
        version=describe(system),
    )


def measure_apart(system: str, gate: str, in_flight: int, seconds: float, directory: Path) -> Cell:
    """Measures one cell in a process of its own."""
    place = Path(tempfile.mkdtemp(prefix="adapters-", suffix=".tmp", dir=directory))
    command = [sys.executable, __file__, "--cell", system, gate, str(in_flight), str(seconds), str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CELL_TIMEOUT_S, check=False)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return Cell(**json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One framework behind the gate, beside itself without it: medians over the rounds."""

    system: str
    gate: str
    in_flight: int
    plain_ms: float
    gated_ms: float
    on_top_ms: float
    on_top_cpu_ms: float
    share: float
    """Throughput beside the plain framework's."""
    meets: bool | None
    """Whether it meets its bar; None: it has none."""


def compare(rounds: list[list[Cell]]) -> list[Row]:
    """Returns the rows of the table."""
    rows: list[Row] = []
    places = dict.fromkeys((cell.system, cell.gate, cell.in_flight) for cells in rounds for cell in cells)
    for system, gate, in_flight in places:
        if gate == "plain":
            continue
        pairs: list[tuple[Cell, Cell]] = []
        for cells in rounds:
            found = {
                cell.gate: cell for cell in cells if (cell.system, cell.in_flight) == (system, in_flight)
            }
            if "plain" in found and gate in found:
                pairs.append((found["plain"], found[gate]))
        on_top = median(gated.step_ms - plain.step_ms for plain, gated in pairs)
        share = median(gated.steps_per_s / plain.steps_per_s for plain, gated in pairs)
        meets = None
        if gate == "disk" and system != "own":
            meets = on_top <= MOST_ON_TOP_MS if in_flight == 1 else share >= LEAST_SHARE
        rows.append(
            Row(
                system=system,
                gate=gate,
                in_flight=in_flight,
                plain_ms=median(plain.step_ms for plain, _ in pairs),
                gated_ms=median(gated.step_ms for _, gated in pairs),
                on_top_ms=on_top,
                on_top_cpu_ms=median(gated.cpu_ms - plain.cpu_ms for plain, gated in pairs),
                share=share,
                meets=meets,
            )
        )
    return rows


def print_table(rows: list[Row], console: Console) -> None:
    """Prints the rows and their bars."""
    table = Table(
        title=f"a step of a clerk with {STEPS} steps; bars: {MOST_ON_TOP_MS} ms on top, {LEAST_SHARE:.0%}"
    )
    for name in (
        "framework",
        "gate",
        "in flight",
        "plain ms",
        "gated ms",
        "on top ms",
        "CPU on top ms",
        "throughput",
    ):
        table.add_column(name, justify="left" if name in ("framework", "gate") else "right")
    table.add_column("bar")
    for row in rows:
        bar = "" if row.meets is None else "met" if row.meets else "missed"
        times = (row.plain_ms, row.gated_ms, row.on_top_ms, row.on_top_cpu_ms)
        numbers = [str(row.in_flight), *(f"{each:.2f}" for each in times), f"{row.share:.0%}"]
        table.add_row(row.system, row.gate, *numbers, bar)
    console.print(table)


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cell", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="of " + ", ".join(SYSTEMS))
    parser.add_argument("--gates", default=",".join(GATES), help="of " + ", ".join(GATES))
    parser.add_argument("--in-flight", default=",".join(map(str, IN_FLIGHT)), help="runs at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="measured time of a cell")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the frameworks")
    parser.add_argument("--directory", type=Path, default=_HERE / "results", help="where the journals lie")
    parser.add_argument("--output", type=Path, help="default: bench/results/adapters.json")
    options = parser.parse_args()
    for name, known in (("systems", SYSTEMS), ("gates", GATES)):
        chosen = getattr(options, name).split(",")
        if unknown := [each for each in chosen if each not in known]:
            parser.error(f"--{name}: {unknown[0]!r} is not known; there are {', '.join(known)}")
        setattr(options, name, chosen)
    if "plain" not in options.gates:
        parser.error("--gates: plain is what the others are compared with")
    options.in_flight = [int(each) for each in options.in_flight.split(",")]
    if options.quick:
        options.rounds, options.seconds = 1, 0.4
    return options


def main() -> int:
    """Measures, prints and writes."""
    options = parse()
    if options.cell:
        system, gate, in_flight, seconds, place = options.cell
        cell = asyncio.run(measure(system, gate, int(in_flight), float(seconds), Path(place)))
        print(json.dumps(asdict(cell)))
        return 0
    rng = random.Random(options.seed)
    systems, gates, levels = (
        list[str](options.systems),
        list[str](options.gates),
        list[int](options.in_flight),
    )
    progress, rounds, failures = Console(stderr=True), list[list[Cell]](), dict[str, str]()
    load_before = os.getloadavg()
    options.directory.mkdir(parents=True, exist_ok=True)
    for number in range(options.rounds):
        cells: list[Cell] = []
        places = list(itertools.product(systems, levels))
        rng.shuffle(places)
        for (system, in_flight), gate in itertools.product(places, gates):
            where = f"{system}, {gate}, {in_flight} in flight"
            try:
                cell = measure_apart(system, gate, in_flight, options.seconds, options.directory)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                failures[where] = str(error)
                progress.print(f"round {number + 1}, {where}: FAILED: {error}", markup=False)
                continue
            cells.append(cell)
            progress.print(f"round {number + 1}, {where}: {cell.step_ms:.2f} ms a step", highlight=False)
        rounds.append(cells)
    rows = compare(rounds)
    report: dict[str, Any] = {
        "command": shlex.join(["python", "bench/adapters.py", *sys.argv[1:]]),
        "seed": options.seed,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_before": load_before,
        "versions": {"seawall": version("seawall"), **{name: describe(name) for name in options.systems}},
        "rows": [asdict(row) for row in rows],
        "failures": failures,
        "rounds": [[asdict(cell) for cell in cells] for cells in rounds],
    }
    name = "adapters-quick.json" if options.quick else "adapters.json"
    output: Path = options.output or _HERE / "results" / name
    output.write_text(json.dumps(report, indent=1) + "\n")
    print_table(rows, Console(width=130))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
