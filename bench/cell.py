"""One measurement in a process of its own: one system, one workload, so many runs in flight.

`bench/peers.py` starts it, so that peak memory and CPU are that system's alone. The last line on stdout is
a `Sample` as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from teams import SYSTEMS, Bench, Workload, script

_WARM_UP_RUNS = 8
"""Enough for lazy imports, schema caches and first table pages; the eighth run costs what the tenth does."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one process measured."""

    system: str
    workload: Workload
    in_flight: int
    runs: int
    """Runs inside the measured time; the warm-up is not among them."""
    wall_s: float
    runs_per_s: float
    steps_per_s: float
    p50_ms: float
    p99_ms: float
    """Nearest rank: with fewer than 100 runs, the slowest."""
    cpu_s: float
    """User and system time of all threads, inside the measured time."""
    cpu_ms_per_run: float
    idle_mib: float
    """Resident before the load, with everything imported, set up and warmed up."""
    peak_mib: float
    """Highest resident size under the load."""
    disk_bytes: int
    """All files after closing."""
    disk_bytes_per_run: float
    durability: str
    version: str


async def measure(system: str, workload: Workload, in_flight: int, seconds: float, directory: Path) -> Sample:
    """Keep `in_flight` runs going for `seconds`, let all finish, and check that they did the whole work."""
    bench = await SYSTEMS[system].setup(directory, workload)
    for number in range(_WARM_UP_RUNS):
        await _run(bench, number)
    idle_mib = _status_mib("VmRSS")
    _forget_peak()
    cpu_start_s, start_s = _cpu_s(), time.perf_counter()
    latencies_s = await _load(bench, in_flight, seconds)
    wall_s, cpu_s = time.perf_counter() - start_s, _cpu_s() - cpu_start_s
    await bench.close()
    runs, all_runs = len(latencies_s), len(latencies_s) + _WARM_UP_RUNS
    bench.script.check(workload, all_runs)
    latencies_s.sort()
    disk_bytes = _disk_bytes(directory)
    return Sample(
        system=system,
        workload=workload,
        in_flight=in_flight,
        runs=runs,
        wall_s=wall_s,
        runs_per_s=runs / wall_s,
        steps_per_s=runs * script.PER_RUN[workload].steps / wall_s,
        p50_ms=_rank(latencies_s, 0.50) * 1000,
        p99_ms=_rank(latencies_s, 0.99) * 1000,
        cpu_s=cpu_s,
        cpu_ms_per_run=cpu_s / runs * 1000,
        idle_mib=idle_mib,
        peak_mib=_status_mib("VmHWM"),
        disk_bytes=disk_bytes,
        disk_bytes_per_run=disk_bytes / all_runs,
        durability=bench.durability,
        version=bench.version,
    )


async def _load(bench: Bench, in_flight: int, seconds: float) -> list[float]:
    """A closed loop: each of `in_flight` clients starts its next run when its last one has answered."""
    latencies_s: list[float] = []
    numbers = itertools.count(_WARM_UP_RUNS)
    stop_s = time.perf_counter() + seconds

    async def client() -> None:
        while True:
            started_s = time.perf_counter()
            await _run(bench, next(numbers))
            ended_s = time.perf_counter()
            latencies_s.append(ended_s - started_s)
            if ended_s >= stop_s:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(client())
    return latencies_s


async def _run(bench: Bench, number: int) -> None:
    answer = await bench.run_one(number)
    if answer != script.answer(number):
        raise AssertionError(f"run {number} answered {answer!r}, not {script.answer(number)!r}")


def _rank(sorted_values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    return sorted_values[math.ceil(len(sorted_values) * share) - 1]


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _disk_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _forget_peak() -> None:
    """Have Linux count the peak from here: imports alone may go 50 MiB above what stays."""
    # Elsewhere, or where the kernel does not allow it, the peak is that of the whole process.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status_mib(field: str) -> float:
    """A size of this process. Linux's `ru_maxrss` is not used: it starts at the size of the parent."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        # Not Linux: only the peak is known, in KiB or, on macOS, in bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 2**10


def main() -> None:
    """`cell.py SYSTEM WORKLOAD IN_FLIGHT SECONDS DIRECTORY`."""
    system, workload, in_flight, seconds, directory = sys.argv[1:]
    # No system may send traces anywhere, whatever the user's environment says.
    os.environ.update(LANGSMITH_TRACING="false", LANGCHAIN_TRACING_V2="false", OTEL_SDK_DISABLED="true")
    sample = asyncio.run(
        measure(system, cast("Workload", workload), int(in_flight), float(seconds), Path(directory))
    )
    print(json.dumps(asdict(sample)))


if __name__ == "__main__":
    main()
