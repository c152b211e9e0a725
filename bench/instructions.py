"""How many instructions a step takes, here and elsewhere: a count that no other load on the machine changes.

    python bench/instructions.py [--quick] [--cells team/seawall/32,clerk/langchain-disk/1]

Times belong to one hour of one machine. This counts what the processor executes for a step in user mode, with Valgrind's
`callgrind` around a child process for each cell, and only after the cell has warmed up. What the kernel does is not in it,
nor is waiting. The same cell counted twice differs by some 2%. The workloads are those of `bench/peers.py` (`team`,
`single`) and of `bench/adapters.py` (`clerk`: each framework as it is, and behind its adapter, durable). Two cells are
counted at a time. It needs `valgrind`. Progress goes to stderr, the table to stdout, everything to
`bench/results/instructions.json`.

Exit code: 0, 1 if a cell failed, or 2 if there is no `valgrind`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, cast

from adapter.systems import SYSTEMS as CLERKS
from adapter.systems import make_engine
from adapter.turns import STEPS, Turns, make_answer
from rich.console import Console
from rich.table import Table
from teams import SYSTEMS as TEAMS
from teams import Workload, script

_HERE = Path(__file__).parent
CLERK = "clerk"
WARM_UP_RUNS = 8
CELL_TIMEOUT_S = 900.0
PARALLEL = 2
_COLLECTED = re.compile(r"Collected : (\d+)")


class Cell(NamedTuple):
    """One system with one workload, and so many runs in flight."""

    workload: str
    system: str
    in_flight: int

    @property
    def runs(self) -> int:
        """The runs that are counted."""
        return 32 if self.in_flight > 1 else 20 if self.workload == "single" else 6

    @property
    def steps(self) -> int:
        """The steps of a run."""
        return STEPS if self.workload == CLERK else script.PER_RUN[cast("Workload", self.workload)].steps

    def __str__(self) -> str:
        return f"{self.workload}/{self.system}/{self.in_flight}"


@dataclass(frozen=True, kw_only=True)
class Count:
    """What was counted of a cell."""

    workload: str
    system: str
    in_flight: int
    thousands_a_step: float


def list_cells(*, quick: bool) -> list[Cell]:
    """Returns all cells, or only Seawall's own."""
    native = [name for name, system in TEAMS.items() if system.default and (not quick or name == "seawall")]
    clerks = ["own-disk"] if quick else ["own-disk", *(
        f"{name}-{gate}" for name in CLERKS if name != "own" for gate in ("plain", "disk")
    )]  # fmt: skip
    return [
        *(Cell("team", name, 32) for name in native),
        *(Cell("single", name, 1) for name in native),
        *(Cell(CLERK, name, in_flight) for name in clerks for in_flight in (1, 32)),
    ]


# ---- in the child


async def play(cell: Cell, directory: Path) -> None:
    """Plays a cell on this event loop: the warm-up, and then the runs that are counted."""
    if cell.workload == CLERK:
        name, _, gate = cell.system.rpartition("-")
        engine = make_engine(gate, directory)
        async with contextlib.nullcontext() if engine is None else engine:
            await _play(cell, CLERKS[name].make(Turns(), engine), make_answer)
        return
    bench = await TEAMS[cell.system].setup(directory, cast("Workload", cell.workload))
    await _play(cell, bench.run_one, script.answer)
    await bench.close()


async def _play(cell: Cell, run_one: Callable[[int], Awaitable[str]], answer: Callable[[int], str]) -> None:
    await _play_runs(cell, run_one, answer, itertools.count(1_000), max(WARM_UP_RUNS, cell.in_flight))
    _switch("on")
    await _play_runs(cell, run_one, answer, itertools.count(2_000), cell.runs)
    _switch("off")


async def _play_runs(
    cell: Cell,
    run_one: Callable[[int], Awaitable[str]],
    answer: Callable[[int], str],
    numbers: itertools.count[int],
    runs: int,
) -> None:
    left = iter(range(runs))

    async def client() -> None:
        for _ in left:
            number = next(numbers)
            brought = await run_one(number)
            if brought != answer(number):
                raise AssertionError(f"run {number} answered {brought!r}, not {answer(number)!r}")

    await asyncio.gather(*(client() for _ in range(cell.in_flight)))


def _switch(to: str) -> None:
    """Switches the counting of this process on or off."""
    subprocess.run(
        ["callgrind_control", "-i", to, str(os.getpid())], check=True, capture_output=True, timeout=60
    )


# ---- in the parent


def count(cell: Cell, directory: Path) -> Count:
    """Counts a cell in a child process. Raises `RuntimeError` if the child fails."""
    place = Path(tempfile.mkdtemp(prefix="instructions-", suffix=".tmp", dir=directory))
    valgrind = [
        "valgrind",
        "--tool=callgrind",
        "--instr-atstart=no",
        f"--callgrind-out-file={place / 'callgrind.out'}",
    ]
    quiet = {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "OTEL_SDK_DISABLED": "true"}
    # The order of a set of texts, which hashes decide, may not change the count.
    environment = {**os.environ, **quiet, "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            [*valgrind, sys.executable, __file__, "--cell", str(cell), str(place)],
            capture_output=True,
            text=True,
            timeout=CELL_TIMEOUT_S,
            check=False,
            env=environment,
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)
    found = _COLLECTED.search(done.stderr)
    if done.returncode or found is None or found.group(1) == "0":
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("==")]
        raise RuntimeError((lines or [f"exit code {done.returncode}"])[-1])
    thousands = int(found.group(1)) / 1_000 / cell.runs / cell.steps
    return Count(**cell._asdict(), thousands_a_step=round(thousands, 1))


def print_table(counts: list[Count], console: Console) -> None:
    """Prints the counts, each beside what it is compared with."""
    table = Table(title="instructions of a step, in thousands (user mode)")
    for name in ("workload", "in flight", "system", "a step", "beside"):
        table.add_column(name, justify="right" if name in ("in flight", "a step") else "left")
    known = {(each.workload, each.system, each.in_flight): each.thousands_a_step for each in counts}
    for each in counts:
        beside = ""
        name, _, gate = each.system.rpartition("-")
        if each.workload == CLERK and (plain := known.get((CLERK, f"{name}-plain", each.in_flight))):
            beside = f"{each.thousands_a_step - plain:+,.0f} on top of plain" if gate != "plain" else ""
        elif own := known.get((each.workload, "seawall", each.in_flight)):
            beside = f"{each.thousands_a_step / own:.2f} times Seawall" if each.system != "seawall" else ""
        row = (each.workload, str(each.in_flight), each.system, f"{each.thousands_a_step:,.0f}", beside)
        table.add_row(*row)
    console.print(table)


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="Seawall's own cells only")
    parser.add_argument("--cells", help="cells such as team/seawall/32 (default: all)")
    parser.add_argument("--directory", type=Path, default=_HERE / "results", help="where the journals lie")
    parser.add_argument("--output", type=Path, help="default: bench/results/instructions.json")
    options = parser.parse_args()
    known = {str(cell): cell for cell in list_cells(quick=False)}
    chosen = list(map(str, list_cells(quick=options.quick)))
    chosen = options.cells.split(",") if options.cells else chosen
    if unknown := [each for each in chosen if each not in known]:
        parser.error(f"--cells: {unknown[0]!r} is not known; there are {', '.join(known)}")
    options.cells = [known[each] for each in chosen]
    return options


def main() -> int:
    """Counts, prints and writes."""
    if sys.argv[1:2] == ["--cell"]:
        workload, system, in_flight = sys.argv[2].split("/")
        asyncio.run(play(Cell(workload, system, int(in_flight)), Path(sys.argv[3])))
        return 0
    options = parse()
    progress, counts, failures = Console(stderr=True), list[Count](), dict[str, str]()
    if shutil.which("valgrind") is None:
        progress.print("valgrind is not installed; this benchmark counts with it")
        return 2
    options.directory.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(PARALLEL) as pool:
        waiting = [(cell, pool.submit(count, cell, options.directory)) for cell in options.cells]
        for number, (cell, brought) in enumerate(waiting, 1):
            try:
                counts.append(brought.result())
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                failures[str(cell)] = str(error)
                progress.print(f"[{number}/{len(waiting)}] {cell}: FAILED: {error}", markup=False)
                continue
            told = f"{counts[-1].thousands_a_step:,.0f} thousand instructions a step"
            progress.print(f"[{number}/{len(waiting)}] {cell}: {told}", markup=False, highlight=False)
    tool = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=False)
    report: dict[str, Any] = {
        "command": shlex.join(["python", "bench/instructions.py", *sys.argv[1:]]),
        "seed": 0,
        "python": platform.python_version(),
        "valgrind": tool.stdout.strip(),
        "versions": {
            name: version(name)
            for name in ("seawall", "langgraph", "langchain", "openai-agents", "pydantic-ai-slim")
        },
        "rows": [asdict(each) for each in counts],
        "failures": failures,
    }
    name = "instructions-quick.json" if options.quick else "instructions.json"
    output: Path = options.output or _HERE / "results" / name
    output.write_text(json.dumps(report, indent=1) + "\n")
    print_table(counts, Console(width=130))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
