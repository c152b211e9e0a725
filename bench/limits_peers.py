"""The limits of Seawall and of what one would use instead, on the same loops, bills, storms and stalls.

    python bench/limits_peers.py [--quick] [--systems a,b] [--only loop,storm,good-poll] [--configs default,docs,fitted]

A scripted model and its tools on loopback, spoken to by each system's real client; calls and money are counted there.
Each system has a process of its own; they take turns, case by case, in an order drawn from the seed. What a limit
stops and which good runs it harms stand side by side. Progress goes to stderr, the tables to stdout, everything to
`bench/results/limits_peers.json`.

Exit code: 0; 1 if a cell failed (the others are still reported); 2 for a command line or a recording that is no use.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from limits import recorded
from limits.asked import Config, Reported
from limits.cases import CASES, RECORDED, Case
from limits.cell import SYSTEMS, CellFailed, Child, TookTooLong
from limits.report import CONFIGS, Report, Row, as_json, row
from limits.report import World as Counted
from limits.world import Stage, World, asked_of
from rich.console import Console

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent
DATA = Path("..") / "shared" / "data" / "loops"
_CREWAI = _ROOT / ".venv-crewai" / "bin" / "python"
_WIDTH = 190
"""Columns of the tables where stdout is no terminal."""
_RECORDED_TIMES = 5
"""The recorded runs are played one after the other, so a cell of them may take so many times as long."""
_WAITS = ("slow", "storm")
"""Families in which the default only waits, as long as it lasts: `--quick` leaves that out."""
_STRAGGLERS_S = 1.0
"""After the last cell, for calls of runs that have ended."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to play."""

    systems: tuple[str, ...]
    configs: tuple[Config, ...]
    cases: tuple[Case, ...]
    calls: int
    """That `fitted` limits allow a run."""
    cap: int
    cap_s: float
    seed: int
    quick: bool
    crewai: Path
    output: Path
    keep: bool


class Cell(NamedTuple):
    """One case, one configuration, one system."""

    case: Case
    config: Config
    system: str


class Played(NamedTuple):
    """A cell that was played; counted when all are, since a straggler may still come."""

    cell: Cell
    stage: Stage
    report: Reported | None


def plan(options: Options, rng: random.Random) -> list[Cell]:
    """Case by case, so that neighbours are different systems at the same work."""
    cells: list[Cell] = []
    for case in options.cases:
        for config in options.configs:
            if config in case.configs and not (
                options.quick and config == "default" and case.family in _WAITS
            ):
                systems = list(options.systems)
                rng.shuffle(systems)
                cells += [Cell(case, config, system) for system in systems]
    return cells


async def play(options: Options, progress: Console, logs: Path) -> tuple[list[Played], list[dict[str, str]]]:
    """Every cell, and the failures. A system that is not installed fails once."""
    cells = plan(options, random.Random(options.seed))
    children = {
        name: Child(
            SYSTEMS[name], options.crewai if name == "crewai" else Path(sys.executable), logs / f"{name}.log"
        )
        for name in options.systems
    }
    played: list[Played] = []
    failures: list[dict[str, str]] = []
    missing: set[str] = set()
    async with World() as world:
        for number, cell in enumerate(cells, start=1):
            if cell.system in missing:
                continue
            where = f"[{number}/{len(cells)}] {cell.case.name}, {cell.config}, {cell.system}"
            stage, base_url = world.stage(cell.case, options.cap)
            report, begun_s = None, time.perf_counter()
            try:
                asked = asked_of(cell.case, cell.config, base_url, options.calls)
                cap_s = options.cap_s * (_RECORDED_TIMES if cell.case.sources else 1)
                report = await children[cell.system].play(asked, cap_s)
                # no limit stops the first call: what is broken must not look strict
                if not stage.counts.model:
                    raise CellFailed(f"nothing reached the world: {report.ended[0].how}")
            except TookTooLong:
                pass
            except CellFailed as error:
                failures.append(
                    {
                        "system": cell.system,
                        "config": cell.config,
                        "case": cell.case.name,
                        "error": str(error),
                    }
                )
                progress.print(f"{where}: FAILED: {error}", style="red", markup=False, soft_wrap=True)
                if not any(one.cell.system == cell.system for one in played):
                    missing.add(cell.system)
                continue
            stage.over = True
            played.append(Played(cell, stage, report))
            counts, took_s = stage.counts, time.perf_counter() - begun_s
            progress.print(
                f"{where}: {counts.model} model and {counts.tool} tool calls, ${counts.usd:.2f}, {took_s:.1f} s",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        if played:
            await asyncio.sleep(_STRAGGLERS_S)
        for child in children.values():
            await child.stop()
    return played, failures


def rows_of(played: list[Played], cap_s: float) -> list[Row]:
    """One row a cell."""
    rows: list[Row] = []
    for cell, stage, report in played:
        counts = stage.counts
        counted = Counted(
            model=counts.model,
            failed=counts.failed,
            tool=counts.tool,
            late=counts.late,
            usd=float(counts.usd),
            capped=counts.capped,
        )
        rows.append(row(cell.system, cell.config, cell.case, counted, report, cap_s))
    return rows


def describe(options: Options, sample: dict[str, Any]) -> dict[str, Any]:
    """What is needed to read the numbers, and to make them again."""
    # Paths by their last part: where they lie is this machine's affair.
    arguments = [Path(one).name if Path(one).is_absolute() else one for one in sys.argv[1:]]
    return {
        "command": shlex.join(["python", "bench/limits_peers.py", *arguments]),
        "seed": options.seed,
        "cap_calls": options.cap,
        "cap_s": options.cap_s,
        "fitted_calls": options.calls,
        "recorded": sample,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_before": os.getloadavg(),
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line. Exits with 2 for what is not understood."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a lower cap, a smaller sample, nothing fitted: two to three minutes",
    )
    parser.add_argument(
        "--systems", default=",".join(SYSTEMS), help=f"of {', '.join(SYSTEMS)} (default: all)"
    )
    parser.add_argument("--configs", help=f"of {', '.join(CONFIGS)} (default: all; quick: all but fitted)")
    parser.add_argument("--only", help=f"cases or families: {', '.join((*CASES, RECORDED))} (default: all)")
    parser.add_argument("--cap", type=int, help="calls after which we end a run (default: 300; quick: 60)")
    parser.add_argument(
        "--cap-s", type=float, default=90.0, help="seconds after which we end a cell (default: 90)"
    )
    parser.add_argument("--runs", type=int, help="recorded good runs (default: 90; quick: 9)")
    parser.add_argument(
        "--seed", type=int, default=1, help="of their sample and the systems' order (default: 1)"
    )
    parser.add_argument("--data", type=Path, help=f"the recordings (default: {DATA}, from the repository)")
    parser.add_argument("--crewai-python", type=Path, default=_CREWAI, help="CrewAI's own environment")
    parser.add_argument(
        "--keep", action="store_true", help="rows in the results stay, but for those that are played now"
    )
    parser.add_argument(
        "--out", type=Path, help="default: bench/results/limits_peers.json; quick: -quick.json"
    )
    given = parser.parse_args(arguments)
    given.configs = given.configs or ",".join(CONFIGS[:2] if given.quick else CONFIGS)
    for name, known in (("systems", tuple(SYSTEMS)), ("configs", CONFIGS)):
        chosen = tuple(getattr(given, name).split(","))
        if unknown := [one for one in chosen if one not in known]:
            parser.error(f"--{name}: {unknown[0]!r} is none of {', '.join(known)}")
        setattr(given, name, chosen)
    wanted = given.only.split(",") if given.only else []
    known_cases = {*CASES, RECORDED, *(case.family for case in CASES.values())}
    if unknown := [one for one in wanted if one not in known_cases]:
        parser.error(f"--only: {unknown[0]!r} is none of {', '.join(sorted(known_cases))}")
    given.only = wanted
    given.cap = given.cap or (60 if given.quick else 300)
    given.runs = given.runs or (9 if given.quick else 90)
    if given.cap < 1 or given.runs < len(recorded.SOURCES) or given.cap_s <= 0:
        parser.error(f"caps must be above zero, and --runs at least {len(recorded.SOURCES)}")
    name = "limits_peers-quick.json" if given.quick else "limits_peers.json"
    given.out = given.out or _HERE / "results" / name
    return given


def options_of(given: argparse.Namespace) -> tuple[Options, dict[str, Any]]:
    """The options, with the recorded sample in them, and what it is; nothing where there are no recordings.

    Raises `recorded.NoRecording` for a directory that was named and is no use.
    """
    good = recorded.load(given.data or _ROOT / DATA) if given.data or (_ROOT / DATA).exists() else {}
    runs = recorded.sample(good, given.runs, given.seed) if good else []
    cases = (*CASES.values(), *([recorded.case(runs)] if runs else []))
    chosen = tuple(case for case in cases if not given.only or {case.name, case.family} & set(given.only))
    options = Options(
        systems=given.systems,
        configs=tuple(one for one in given.configs if runs or one != "fitted"),
        cases=chosen,
        calls=max((one.longest for one in runs), default=0),
        cap=given.cap,
        cap_s=given.cap_s,
        seed=given.seed,
        quick=given.quick,
        crewai=given.crewai_python.absolute(),  # a child starts elsewhere; its links name the environment
        output=given.out,
        keep=given.keep,
    )
    if not runs:
        return options, {}
    played = {source: sum(one.source == source for one in runs) for source in good}
    return options, {"good": {source: len(found) for source, found in good.items()}, "played": played}


def keep(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What was played now, with the rows and failures before it that were not played again, and their commands."""

    def is_left(row: dict[str, Any]) -> bool:
        played = [*new["rows"], *new["failures"]]
        return not any(all(row[name] == one[name] for name in ("system", "config", "case")) for one in played)

    kept = {name: [*filter(is_left, old[name]), *new[name]] for name in ("rows", "failures")}
    commands = [*old.get("commands_before", ()), old["command"]]
    return {**new, **kept, "versions": {**old["versions"], **new["versions"]}, "commands_before": commands}


def main() -> int:
    """Play, write, print."""
    given = parse(sys.argv[1:])
    progress = Console(stderr=True)
    try:
        options, sample = options_of(given)
    except recorded.NoRecording as error:
        progress.print(
            f"{error}\nName a directory with --data PATH, or leave it out.", markup=False, highlight=False
        )
        return 2
    if not sample:
        progress.print(
            f"no recordings at {DATA}: played without {RECORDED} and without fitted limits", markup=False
        )
    written = describe(options, sample)
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="limits-logs-") as logs:
        played, failures = asyncio.run(play(options, progress, Path(logs)))
    rows = rows_of(played, options.cap_s)
    written |= {
        "took_s": round(time.perf_counter() - started_s, 1),
        "versions": {one.system: one.version for one in rows if one.version},
        "failures": failures,
        "rows": as_json(rows),
    }
    if options.keep and options.output.exists():
        written = keep(json.loads(options.output.read_text()), written)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(written, indent=1) + "\n")
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    Report(rows, options.cases, options.systems).print(console)
    versions = "; ".join(written["versions"].values())
    console.print(f"seed {options.seed}; fitted to {options.calls} calls; {versions}", highlight=False)
    for failure in failures:
        console.print(
            f"not measured: {failure['system']}, {failure['case']}: {failure['error']}", style="red"
        )
    progress.print(f"took {written['took_s']:.0f} s; written to {options.output.name}", highlight=False)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
