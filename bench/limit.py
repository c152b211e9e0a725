"""What this disk can do at all: group commit on bare SQLite, and the journal's share of it.

`raw_group_commit` is the limit: plain `apsw`, WAL, `synchronous=FULL`, one thread, one table, rows of 250
bytes, so many rows a commit. `journal_steps` is the journal alone: runs in flight that each append two
events and two bodies of about 500 bytes and wait until they are durable. Rounds alternate, so that a disk
that gets slower over minutes does not count.

    python bench/limit.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import apsw

from seawall.core.canonical import ref_of
from seawall.core.clock import SystemClock
from seawall.core.events import Limits, RunStarted, StepDone, StepIntended
from seawall.journal.protocol import Lease
from seawall.journal.sqlite import SqliteJournal

EVENTS_A_COMMIT = (1, 64)
IN_FLIGHT = (1, 32, 256)
EVENT_BYTES = 250
BODY_BYTES = 500


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measurement."""

    what: str
    """`raw` (size: events a commit) or `journal` (size: runs in flight)."""
    size: int
    events_per_s: float
    steps_per_s: float
    """Of two events."""
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
    return _sample("raw", events_a_commit, commits * events_a_commit, commits, wall_s, path)


def _sample(what: str, size: int, events: int, commits: int, wall_s: float, path: Path) -> Sample:
    return Sample(
        what=what,
        size=size,
        events_per_s=events / wall_s,
        steps_per_s=events / wall_s / 2,
        commits_per_s=commits / wall_s,
        ms_per_commit=wall_s / commits * 1000,
        bytes_per_step=path.stat().st_size / events * 2,
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
    return _sample("journal", in_flight, steps * 2, commits, wall_s, path)


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
    return samples


def table(samples: list[Sample]) -> str:
    """Medians, one line a measurement."""
    lines = [
        f"{'':28}{'events/s':>10}{'steps/s':>10}{'spread':>8}{'commits/s':>11}{'ms/commit':>11}{'B/step':>8}"
    ]
    for what, size in dict.fromkeys((sample.what, sample.size) for sample in samples):
        mine = [sample for sample in samples if (sample.what, sample.size) == (what, size)]

        def median(name: str, mine: list[Sample] = mine) -> float:
            return statistics.median(getattr(sample, name) for sample in mine)

        title = f"raw, {size} a commit" if what == "raw" else f"journal, {size} in flight"
        spread = min(s.events_per_s for s in mine) / max(s.events_per_s for s in mine)
        lines.append(
            f"{title:28}{median('events_per_s'):10,.0f}{median('steps_per_s'):10,.0f}{spread:8.2f}"
            f"{median('commits_per_s'):11,.0f}{median('ms_per_commit'):11.2f}{median('bytes_per_step'):8,.0f}"
        )
    return "\n".join(lines)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round of 0.5 s each")
    parser.add_argument("--rounds", type=int, help="default: 5; quick: 1")
    parser.add_argument("--seconds", type=float, help="a measurement (default: 2; quick: 0.5)")
    parser.add_argument("--directory", type=Path, help="for the databases (default: beside the results)")
    parser.add_argument("--json", action="store_true", help="print the samples instead of the table")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "results" / "limit.json",
        help="where to keep them",
    )
    options = parser.parse_args()
    seconds = options.seconds or (0.5 if options.quick else 2.0)
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
        "samples": [asdict(sample) for sample in samples],
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1) if options.json else table(samples))


if __name__ == "__main__":
    main()
