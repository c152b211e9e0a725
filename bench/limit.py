"""What this disk can do at all: group commit on bare SQLite, and what share of it the journal and a step reach.

`raw` is the limit: plain `apsw`, WAL, `synchronous=FULL`, one thread, one table, rows of 250 bytes, so many rows
a commit. `journal` is the journal alone: runs in flight that each append two events and two bodies of about 500
bytes and wait until they are durable. `seawall` is everything: the team of `teams/script.py`, 15 steps a run, with
every guard enforced. Rounds alternate, so that a disk that gets slower over minutes does not count. A share
compares with raw commits of two events for each run in flight: what a step writes, if all of them wait at once.

    python bench/limit.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import apsw
from teams import script
from teams.seawall import SeawallBench

from seawall.core.canonical import ref_of
from seawall.core.clock import SystemClock
from seawall.core.events import RunStarted, StepDone, StepIntended
from seawall.core.limits import Limits
from seawall.journal.protocol import Lease
from seawall.journal.sqlite import SqliteJournal

IN_FLIGHT = (1, 32, 256)
EVENTS_A_COMMIT = (1, *(2 * size for size in IN_FLIGHT))
WARM_UP_RUNS = 8
EVENT_BYTES = 250
BODY_BYTES = 500


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measurement."""

    what: str
    """`raw` (size: events a commit), `journal` or `seawall` (size: runs in flight)."""
    size: int
    events_per_s: float
    steps_per_s: float
    """Of two events; of `seawall` the steps that were taken."""
    commits_per_s: float
    ms_per_commit: float
    bytes_per_step: float
    """Of the file, after it is closed."""


def raw_group_commit(directory: Path, events_a_commit: int, seconds: float) -> Sample:
    """Commit `events_a_commit` rows at a time on bare SQLite for `seconds`."""
    path = directory / "raw.db"
    database: Any = apsw.Connection(str(path))
    assert database.pragma("journal_mode", "wal") == "wal"
    database.pragma("synchronous", 2)
    assert database.pragma("synchronous") == 2
    database.execute("CREATE TABLE events(id INTEGER PRIMARY KEY, run INTEGER, seq INTEGER, data BLOB)")
    database.execute("CREATE UNIQUE INDEX by_run ON events(run, seq)")
    data = b"x" * EVENT_BYTES
    commits = 0
    start = time.perf_counter()
    while (wall_s := time.perf_counter() - start) < seconds:
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT INTO events(run, seq, data) VALUES (?, ?, ?)",
            [(run, commits, data) for run in range(events_a_commit)],
        )
        database.execute("COMMIT")
        commits += 1
    database.close()
    events = commits * events_a_commit
    return _sample("raw", events_a_commit, events, events / 2, commits, wall_s, path)


def _sample(
    what: str, size: int, events: int, steps: float, commits: int, wall_s: float, path: Path
) -> Sample:
    return Sample(
        what=what,
        size=size,
        events_per_s=events / wall_s,
        steps_per_s=steps / wall_s,
        commits_per_s=commits / wall_s,
        ms_per_commit=wall_s / commits * 1000,
        bytes_per_step=path.stat().st_size / steps,
    )


async def journal_steps(directory: Path, in_flight: int, seconds: float) -> Sample:
    """Keep `in_flight` runs appending steps to a journal for `seconds`."""
    path = directory / "journal.db"
    journal = SqliteJournal.open(str(path), clock=SystemClock())
    request = ref_of(b"request")
    leases: list[Lease] = []
    for number in range(in_flight):
        started = RunStarted(
            at=1.0,
            run=f"r-{number}",
            team="desk",
            team_version="1",
            agent="desk",
            intent=request,
            limits=Limits(),
            guards={},
        )
        leases.append(await journal.create(started, [], {request: b"request"}))
    before = (await journal.verify()).batches
    start = time.perf_counter()
    steps = sum(await asyncio.gather(*(_steps(journal, lease, start + seconds) for lease in leases)))
    wall_s = time.perf_counter() - start
    commits = (await journal.verify()).batches - before
    await journal.close()
    return _sample("journal", in_flight, steps * 2, steps, commits, wall_s, path)


async def _steps(journal: SqliteJournal, lease: Lease, until: float) -> int:
    step = 0
    while time.perf_counter() < until:
        name = f"{lease.run} {step} ".encode()
        question, answer = name + b"q" * (BODY_BYTES - len(name)), name + b"a" * (BODY_BYTES - len(name))
        asked, answered = ref_of(question), ref_of(answer)
        events = [
            StepIntended(
                at=1.0, step=step, kind="tool", name="find_order", agent="clerk", frame=0, input=asked
            ),
            StepDone(at=1.0, step=step, status="ok", output=answered, duration_s=0.1, left_s=9.0),
        ]
        await journal.append(lease, 1 + 2 * step, events, {asked: question, answered: answer})
        step += 1
    return step


async def team_steps(directory: Path, in_flight: int, seconds: float) -> Sample:
    """Keep `in_flight` runs of the scripted team going for `seconds`, and let those that have begun finish."""
    path = directory / "journal.db"
    bench = SeawallBench("team", path)
    await bench.start()
    numbers = itertools.count()
    for _ in range(WARM_UP_RUNS):
        await bench.run_one(next(numbers))
    before = await bench.verify()
    start = time.perf_counter()

    async def client() -> None:
        while time.perf_counter() < start + seconds:
            await bench.run_one(next(numbers))

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(client())
    wall_s = time.perf_counter() - start
    after = await bench.verify()
    await bench.close()
    runs = next(numbers)
    bench.script.check("team", runs)
    events, commits = after.events - before.events, after.batches - before.batches
    steps = (runs - WARM_UP_RUNS) * script.PER_RUN["team"].steps
    sample = _sample("seawall", in_flight, events, steps, commits, wall_s, path)
    return replace(sample, bytes_per_step=sample.bytes_per_step * (runs - WARM_UP_RUNS) / runs)


def measure(directory: Path, seconds: float, rounds: int) -> list[Sample]:
    """All measurements, in turn, `rounds` times."""
    samples: list[Sample] = []
    for number in range(rounds):
        for size in EVENTS_A_COMMIT:
            _progress(f"round {number + 1} of {rounds}: raw, {size} a commit")
            with tempfile.TemporaryDirectory(dir=directory) as place:
                samples.append(raw_group_commit(Path(place), size, seconds))
        for size in IN_FLIGHT:
            _progress(f"round {number + 1} of {rounds}: journal, {size} in flight")
            with tempfile.TemporaryDirectory(dir=directory) as place:
                samples.append(asyncio.run(journal_steps(Path(place), size, seconds)))
            _progress(f"round {number + 1} of {rounds}: seawall, {size} in flight")
            with tempfile.TemporaryDirectory(dir=directory) as place:
                samples.append(asyncio.run(team_steps(Path(place), size, seconds)))
    return samples


def medians(samples: list[Sample]) -> list[dict[str, Any]]:
    """One row a measurement: medians, spread, and the share of the limit."""
    by: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        by.setdefault((sample.what, sample.size), []).append(sample)
    rows: list[dict[str, Any]] = []
    for (what, size), mine in by.items():
        row: dict[str, Any] = {"what": what, "size": size}
        for name in ("events_per_s", "steps_per_s", "commits_per_s", "ms_per_commit", "bytes_per_step"):
            row[name] = statistics.median(getattr(sample, name) for sample in mine)
        row["spread"] = min(s.events_per_s for s in mine) / max(s.events_per_s for s in mine)
        if what != "raw":
            row["events_share"] = _share(mine, by["raw", 2 * size], "events_per_s")
            row["steps_share"] = _share(mine, by["raw", 2 * size], "steps_per_s")
        if what == "seawall":
            row["journal_share"] = _share(mine, by["journal", size], "steps_per_s")
        rows.append(row)
    return sorted(rows, key=lambda row: ("raw", "journal", "seawall").index(row["what"]))


def _share(mine: list[Sample], limit: list[Sample], name: str) -> float:
    """Round by round, as the disk was then."""
    return statistics.median(getattr(a, name) / getattr(b, name) for a, b in zip(mine, limit, strict=True))


def table(rows: list[dict[str, Any]]) -> str:
    """Medians, one line a measurement."""
    titles = ("events/s", "steps/s", "spread", "commits/s", "ms/commit", "B/step")
    head = "".join(f"{title:>{len(title) + 3}}" for title in titles)
    lines = [f"{'':24}{head}  of raw: events, steps  of the journal: steps"]
    for row in rows:
        title = f"{row['what']}, {row['size']} {'a commit' if row['what'] == 'raw' else 'in flight'}"
        shares = ""
        if row["what"] != "raw":
            shares = f"{row['events_share']:16.1%}{row['steps_share']:8.1%}"
        if row["what"] == "seawall":
            shares += f"{row['journal_share']:23.1%}"
        lines.append(
            f"{title:24}{row['events_per_s']:11,.0f}{row['steps_per_s']:10,.0f}{row['spread']:9.2f}"
            f"{row['commits_per_s']:12,.0f}{row['ms_per_commit']:12.2f}{row['bytes_per_step']:9,.0f}{shares}"
        )
    return "\n".join(lines)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round of 0.3 s each")
    parser.add_argument("--rounds", type=int, help="default: 5; quick: 1")
    parser.add_argument("--seconds", type=float, help="a measurement (default: 0.8; quick: 0.3)")
    parser.add_argument("--directory", type=Path, help="for the databases (default: beside the results)")
    parser.add_argument("--json", action="store_true", help="print the samples instead of the table")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "results" / "limit.json",
        help="where to keep them",
    )
    options = parser.parse_args()
    seconds = options.seconds or (0.3 if options.quick else 0.8)
    rounds = options.rounds or (1 if options.quick else 5)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    samples = measure(options.directory or options.out.parent, seconds, rounds)
    report = {
        "command": f"python bench/limit.py --rounds {rounds} --seconds {seconds:g}",
        "versions": {
            "python": platform.python_version(),
            "apsw": apsw.apsw_version(),
            "sqlite": apsw.sqlite_lib_version(),
            "machine": platform.machine(),
        },
        "medians": medians(samples),
        "samples": [asdict(sample) for sample in samples],
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1) if options.json else table(report["medians"]))


if __name__ == "__main__":
    main()
