"""One scripted team in Seawall and in what one would use instead, side by side.

    python bench/peers.py [--quick] [--systems a,b] [--in-flight 1,32,256] [--rounds 3] [--seconds 1.5]

Every cell (system, workload, runs in flight) is measured in a child process of its own, all in this
process's group. Systems alternate within a round, in an order drawn from the seed; the tables show medians
over the rounds, and a ratio is the median of the ratios within each round. Progress goes to stderr, the
tables to stdout, everything to `bench/results/peers.json`.

Exit code: 0, or 1 if a cell failed (the others are still reported).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw
import psutil
from cell import Sample
from peers_report import BAR_IN_FLIGHT, Place, Round, bars, medians, print_report
from rich.console import Console
from teams import SYSTEMS, Workload, script

_HERE = Path(__file__).parent
_CELL_TIMEOUT_S = 180.0
"""The slowest cell, 256 runs on a saver that commits every checkpoint, takes some 12 s on a quiet machine."""
_WIDTH = 150
"""Columns of the tables where stdout is no terminal."""
_LIBRARIES = (
    "seawall",
    "langgraph",
    "langchain",
    "langgraph-checkpoint-sqlite",
    "aiosqlite",
    "openai-agents",
    "pydantic-ai-slim",
    "pydantic",
    "msgspec",
    "apsw",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    systems: tuple[str, ...]
    in_flight: tuple[int, ...]
    rounds: int
    seconds: float
    """Measured time of a cell; runs that have begun by then are finished and counted."""
    seed: int
    directory: Path
    """Where each cell's files lie while it runs; what disk that is matters."""
    output: Path


class CellFailed(Exception):
    """A child process brought no sample; the message says why."""


def plan(options: Options, rng: random.Random) -> list[Place]:
    """One round: neighbours are different systems doing the same work, in a drawn order."""
    team: list[tuple[Workload, int]] = [("team", in_flight) for in_flight in options.in_flight]
    work: list[tuple[Workload, int]] = [("single", 1), ("nodes", BAR_IN_FLIGHT), *team]
    places: list[Place] = []
    for workload, in_flight in work:
        systems = [name for name in options.systems if workload in SYSTEMS[name].workloads]
        rng.shuffle(systems)
        places += [Place(name, workload, in_flight) for name in systems]
    return places


def measure(place: Place, options: Options) -> Sample:
    """Measure one cell in a child process. Raises `CellFailed`."""
    directory = Path(tempfile.mkdtemp(prefix="peers-", suffix=".tmp", dir=options.directory))
    command = [sys.executable, str(_HERE / "cell.py"), place.system, place.workload, str(place.in_flight)]
    try:
        done = subprocess.run(
            [*command, str(options.seconds), str(directory)],
            capture_output=True,
            text=True,
            timeout=_CELL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CellFailed(f"took more than {_CELL_TIMEOUT_S:.0f} s") from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if done.returncode:
        # The last line names the error; the lines above it are frames with this machine's paths.
        raise CellFailed((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return Sample(**json.loads(done.stdout.splitlines()[-1]))


def measure_all(options: Options, progress: Console) -> tuple[list[Round], list[dict[str, Any]]]:
    """All rounds, and the failures. What failed once is not tried in later rounds."""
    # The seed sets the order of the systems and nothing else: the script has no chance in it.
    rng = random.Random(options.seed)
    plans = [plan(options, rng) for _ in range(options.rounds)]
    rounds: list[Round] = []
    failures: dict[Place, str] = {}
    number, total = 0, sum(map(len, plans))
    for places in plans:
        samples: Round = {}
        for place in places:
            number += 1
            if place in failures:
                continue
            where = f"[{number}/{total}] {place.workload}, {place.in_flight} in flight, {place.system}"
            try:
                samples[place] = measure(place, options)
            except CellFailed as error:
                failures[place] = str(error)
                progress.print(f"{where}: FAILED: {error}", style="red", markup=False, soft_wrap=True)
            else:
                speed = samples[place].steps_per_s
                progress.print(
                    f"{where}: {speed:,.0f} steps/s", markup=False, highlight=False, soft_wrap=True
                )
        rounds.append(samples)
    return rounds, [place._asdict() | {"error": error} for place, error in failures.items()]


def describe(options: Options, filesystem: str) -> dict[str, Any]:
    """What is needed to read the numbers, and to make them again."""
    return {
        "command": shlex.join(["python", "bench/peers.py", *sys.argv[1:]]),
        "seed": options.seed,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "steps_per_run": {name: counts.steps for name, counts in script.PER_RUN.items()},
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_before": os.getloadavg(),
        "filesystem": filesystem,
        "sqlite": {"stdlib": sqlite3.sqlite_version, "apsw": apsw.sqlite_lib_version()},
        "versions": {name: version(name) for name in _LIBRARIES},
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def filesystem_of(directory: Path) -> str:
    """The type of the file system that `directory` lies on, for example `ext4`."""
    parents = {str(directory), *map(str, directory.parents)}
    mounts = [mount for mount in psutil.disk_partitions(all=True) if mount.mountpoint in parents]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else "unknown"


def parse(arguments: list[str]) -> Options:
    """The command line. Exits with 2 for what is not understood."""
    parser = argparse.ArgumentParser(description="One scripted team in Seawall and its peers, side by side.")
    chosen = ",".join(name for name, system in SYSTEMS.items() if system.default)
    parser.add_argument("--quick", action="store_true", help="one short round at 1 and 32: under a minute")
    parser.add_argument("--systems", default=chosen, help=f"of {', '.join(SYSTEMS)} (default: {chosen})")
    parser.add_argument("--in-flight", help="runs in flight (default: 1,32,256; quick: 1,32)")
    parser.add_argument("--rounds", type=int, help="default: 3; quick: 1")
    parser.add_argument("--seconds", type=float, help="measured time a cell (default: 1.5; quick: 0.4)")
    parser.add_argument("--seed", type=int, default=1, help="for the order of the systems (default: 1)")
    parser.add_argument("--directory", type=Path, help="for the databases (default: beside the results)")
    parser.add_argument(
        "--output", type=Path, help="default: bench/results/peers.json; quick: peers-quick.json"
    )
    given = parser.parse_args(arguments)
    systems = tuple(given.systems.split(","))
    if unknown := [name for name in systems if name not in SYSTEMS]:
        parser.error(f"unknown system {unknown[0]!r}; there are {', '.join(SYSTEMS)}")
    in_flight = given.in_flight or ("1,32" if given.quick else "1,32,256")
    try:
        levels = tuple(int(level) for level in in_flight.split(","))
    except ValueError:
        parser.error(f"--in-flight takes numbers like 1,32, not {in_flight!r}")
    rounds = (1 if given.quick else 3) if given.rounds is None else given.rounds
    seconds = (0.4 if given.quick else 1.5) if given.seconds is None else given.seconds
    if min(levels) < 1 or rounds < 1 or seconds <= 0:
        parser.error("runs in flight, rounds and seconds must be above zero")
    name = "peers-quick.json" if given.quick else "peers.json"
    return Options(
        systems=systems,
        in_flight=levels,
        rounds=rounds,
        seconds=seconds,
        seed=given.seed,
        directory=given.directory or _HERE / "results",
        output=given.output or _HERE / "results" / name,
    )


def main() -> int:
    """Measure, write, print."""
    options = parse(sys.argv[1:])
    options.directory.mkdir(parents=True, exist_ok=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    progress = Console(stderr=True)
    filesystem = filesystem_of(options.directory.resolve())
    if filesystem in ("tmpfs", "ramfs"):
        progress.print(
            f"{filesystem}: syncing costs nothing there; durable numbers mean little", style="yellow"
        )
    started_s = time.perf_counter()
    report = describe(options, filesystem)
    rounds, failures = measure_all(options, progress)
    checked = bars(rounds)
    report |= {
        "took_s": round(time.perf_counter() - started_s, 1),
        "bars": [vars(bar) | {"verdict": bar.verdict} for bar in checked],
        "medians": medians(rounds),
        "failures": failures,
        "rounds_measured": [[vars(sample) for sample in samples.values()] for samples in rounds],
    }
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    print_report(report, checked, console)
    progress.print(f"took {report['took_s']:.0f} s; written to {options.output.name}", highlight=False)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
