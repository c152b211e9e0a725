"""Answers in time: simulated heavy-tailed latencies with stalls, with a planner and with what there is instead.

    python bench/deadline.py [--cases 2000] [--seed 1] [--quick] [--arms a,b]

The world, its facts and its latencies are in `hops/world.py`; every system meets the same latencies, on an
event loop whose time is simulated (`hops/loop.py`). The last part is in real time: by how much an answer of
Seawall's comes too late, with a budget of 0.3 s and a journal on disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hops import ARMS, BUDGET_S, Desk, setup
from hops.loop import SimulatedLoop
from hops.world import CALM, Weather, World, quality

RESULTS = Path(__file__).parent / "results" / "deadline.json"
REAL_RUNS = 200
REAL_S = 0.3
IN_TIME_S = 0.050
"""Beyond its budget an answer is late."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of the cases of one arm."""

    scenario: str
    arm: str
    cases: int
    in_time: float
    """Share of cases that were answered within the budget."""
    whole: float
    """Share of cases with a whole answer in time: every fact, and reviewed."""
    degraded: float
    """Share of cases with an answer in time that is not whole."""
    quality: float
    """Mean share of the facts in the answers, those that did not come in time counted as none."""
    p50_s: float
    p95_s: float
    most_s: float
    """Until the client had an answer, or nothing."""
    pruned: dict[str, float]
    """Share of cases in which something was pruned, by what."""
    limits: str
    version: str


async def play(scenario: str, arm: str, desk: Desk, cases: range) -> Row:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    qualities: list[float] = []
    in_time = whole = 0
    for case in cases:
        begun = loop.time()
        try:
            async with asyncio.timeout(100 * BUDGET_S):
                answer = await desk.answer(case)
        except Exception as error:  # noqa: BLE001 -- whatever a system raises, the client has no answer
            print(
                f"{arm}, case {case}: {type(error).__name__}: {error}"[:200], file=sys.stderr
            ) if case < 3 else None
            answer = None
        seconds = loop.time() - begun
        took.append(seconds)
        good = 0.0
        if answer is not None and seconds <= BUDGET_S + 1e-6:
            in_time += 1
            good = quality(case, answer.text)
            whole += good == 1.0 and answer.reviewed
        qualities.append(good)
    await desk.close()
    count = len(cases)
    took.sort()
    pruned: dict[str, int] = getattr(desk, "pruned", {})
    return Row(
        scenario=scenario,
        arm=arm,
        cases=count,
        in_time=in_time / count,
        whole=whole / count,
        degraded=(in_time - whole) / count,
        quality=statistics.fmean(qualities),
        p50_s=round(took[count // 2], 3),
        p95_s=round(took[int(count * 0.95)], 3),
        most_s=round(took[-1], 3),
        pruned={name: number / count for name, number in sorted(pruned.items())},
        limits=desk.limits,
        version=desk.version,
    )


def simulated(make: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(make())


def checked(arm: str) -> None:
    """In a calm world every system answers whole, after exactly the time that its steps take."""

    async def once() -> float:
        desk = setup(arm, World(0, CALM))
        loop = asyncio.get_running_loop()
        await desk.answer(0)  # lazy parts of a framework come in here
        begun = loop.time()
        answer = await desk.answer(1)
        seconds = loop.time() - begun
        await desk.close()
        assert answer is not None and answer.reviewed and quality(1, answer.text) == 1.0, (arm, answer)
        return seconds

    seconds = simulated(once)
    expected = 1.0 + (0.9 + 0.6 + 0.9) + 1.0 + 0.8  # desk, archivist with its tool, desk, auditor
    assert abs(seconds - expected) < 0.001, f"{arm} took {seconds} s in a calm world, not {expected}"


def table(rows: list[Row]) -> None:
    head = ("scenario", "arm", "cases", "in time", "whole", "degraded", "quality", "p50 s", "p95 s", "most s")
    lines = [head]
    for row in rows:
        lines.append(
            (
                row.scenario,
                row.arm,
                str(row.cases),
                f"{row.in_time:.2%}",
                f"{row.whole:.1%}",
                f"{row.degraded:.1%}",
                f"{row.quality:.3f}",
                f"{row.p50_s:.2f}",
                f"{row.p95_s:.2f}",
                f"{row.most_s:.2f}",
            )
        )
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    for line in lines:
        print(
            "  ".join(
                cell.ljust(width) if n < 2 else cell.rjust(width)
                for n, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="200 cases, and 40 in real time")
    parser.add_argument("--arms", default=",".join(ARMS))
    given = parser.parse_args()
    cases = 200 if given.quick else given.cases
    arms = given.arms.split(",")
    rows: list[Row] = []
    for arm in arms:
        checked(arm)
        world = World(given.seed, Weather())
        rows.append(simulated(lambda: play("steady", arm, setup(arm, world), range(cases))))
        print(rows[-1], file=sys.stderr)
    table(rows)


if __name__ == "__main__":
    main()
