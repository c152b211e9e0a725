"""Answers in time: simulated heavy-tailed latencies with stalls, with a planner and with what there is instead.

    python bench/deadline.py [--cases 1000] [--seed 1] [--quick] [--real] [--arms a,b]

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
from functools import partial
from pathlib import Path
from typing import Any

from hops import ARMS, BUDGET_S, Desk, setup
from hops.loop import SimulatedLoop
from hops.machine import Machine
from hops.ours import PRIORS, SeawallDesk, planned, team
from hops.world import CALM, MEDIAN_S, Weather, World, quality

from seawall.core.clock import SystemClock

RESULTS = Path(__file__).parent / "results" / "deadline.json"
COLD_CASES = 200
"""With priors that are wrong: after these it has long learned."""
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
    errors: dict[str, int]
    """What the client was raised in place of an answer."""
    limits: str
    version: str


async def play(scenario: str, arm: str, desk: Desk, cases: range) -> Row:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    qualities: list[float] = []
    errors: dict[str, int] = {}
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
        errors=errors,
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
    lines = [
        head,
        *(
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
            for row in rows
        ),
    ]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    for line in lines:
        print(
            "  ".join(
                cell.ljust(width) if n < 2 else cell.rjust(width)
                for n, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        )


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is measured, and of how many cases."""

    name: str
    weather: Weather
    cases: int
    options: dict[str, Any] | None = None
    """Of the planner, in place of the usual ones."""
    arms: tuple[str, ...] = tuple(ARMS)


def scenarios(cases: int) -> list[Scenario]:
    some, cold = max(100, cases * 2 // 5), min(cases, COLD_CASES)
    low = {name: seconds / 3 for name, seconds in PRIORS.items()}
    high = {name: seconds * 3 for name, seconds in PRIORS.items()}
    slower = Weather(shift_at=some // 2, shift=2.0)
    return [
        Scenario(name="steady", weather=Weather(), cases=cases),
        Scenario(name="twice as slow from the middle on", weather=slower, cases=some),
        Scenario(
            name="no stalls, no tail",
            weather=Weather(tail=0.0, stall=0.0),
            cases=some,
            arms=("seawall", "seawall-plain"),
        ),
        *(
            Scenario(
                name=f"cold, {name}",
                weather=Weather(),
                cases=cold,
                options={"priors": priors},
                arms=("seawall",),
            )
            for name, priors in (("priors a third", low), ("priors three times", high), ("no priors", {}))
        ),
    ]


def measure(seed: int, cases: int, arms: list[str]) -> list[Row]:
    for arm in arms:
        checked(arm)
    rows: list[Row] = []
    for scenario in scenarios(cases):
        for arm in (each for each in scenario.arms if each in arms):
            rows.append(simulated(partial(played, scenario, arm, seed)))
            print(f"{scenario.name}, {arm}: {rows[-1].in_time:.2%} in time", file=sys.stderr)
    return rows


async def played(scenario: Scenario, arm: str, seed: int) -> Row:
    world = World(seed, scenario.weather)
    desk = setup(arm, world) if scenario.options is None else planned(world, **scenario.options)
    return await play(scenario.name, arm, desk, range(scenario.cases))


@dataclass(frozen=True, kw_only=True)
class Real:
    """Answers in real time: what Seawall itself adds to a budget."""

    runs: int
    budget_s: float
    answered: int
    late: int
    """Runs whose client was told later than 50 ms after the budget, whoever was to blame."""
    late_of_our_own: int
    """The same without what the machine itself stood still in the second half of the run."""
    over_p99_ms: float
    """Beyond the budget; negative: before it."""
    over_most_ms: float
    own_most_ms: float
    machine_most_ms: float
    """The longest that the machine stood still in one run's second half."""
    pruned: dict[str, int]


async def real(seed: int, runs: int) -> Real:
    """One run after the other, times scaled to a budget of `REAL_S`, the journal on a disk."""
    world = World(seed, Weather(scale=REAL_S / BUDGET_S, stall=0.05))
    priors = {name: seconds * REAL_S / BUDGET_S for name, seconds in PRIORS.items()}
    made = team(world, active_s=REAL_S, options={"margin_s": 0.02, "priors": priors})
    spans: list[tuple[float, float]] = []
    answered = 0
    with tempfile.TemporaryDirectory() as directory:
        desk = SeawallDesk(made, "", journal=Path(directory) / "desk.db", clock=SystemClock())
        await desk.answer(runs)  # lazy parts come in here
        machine = Machine(Path(directory))
        for case in range(runs):
            begun = time.monotonic()
            answer = await desk.answer(case)
            spans.append((begun, time.monotonic()))
            answered += answer is not None
        machine.close()
        await desk.close()
    over_ms = [(ended - begun - REAL_S) * 1000 for begun, ended in spans]
    still_ms = [machine.stood_still_s(begun + REAL_S / 2, ended) * 1000 for begun, ended in spans]
    own_ms = [over - still for over, still in zip(over_ms, still_ms, strict=True)]
    return Real(
        runs=runs,
        budget_s=REAL_S,
        answered=answered,
        late=sum(each > IN_TIME_S * 1000 for each in over_ms),
        late_of_our_own=sum(each > IN_TIME_S * 1000 for each in own_ms),
        over_p99_ms=round(sorted(over_ms)[int(runs * 0.99)], 2),
        over_most_ms=round(max(over_ms), 2),
        own_most_ms=round(max(own_ms), 2),
        machine_most_ms=round(max(still_ms), 2),
        pruned=dict(sorted(desk.pruned.items())),
    )


def barred(rows: list[Row], over: Real) -> dict[str, bool]:
    steady = {row.arm: row for row in rows if row.scenario == "steady"}
    return {
        "at least 99.5% of answers in time": steady["seawall"].in_time >= 0.995,
        "where the plain deadline loses a fifth": steady["seawall-plain"].in_time <= 0.8,
        "more of the quality kept than by it": steady["seawall"].quality > steady["seawall-plain"].quality,
        "none more than 50 ms of our own after its budget, in real time": over.late_of_our_own == 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--quick", action="store_true", help="200 cases, and 40 in real time; writes no results"
    )
    parser.add_argument("--arms", default=",".join(ARMS), help="writes no results unless it is all of them")
    parser.add_argument(
        "--real", action="store_true", help="only the part in real time, beside recorded rows"
    )
    given = parser.parse_args()
    os.environ.update(LANGSMITH_TRACING="false", LANGCHAIN_TRACING_V2="false", OTEL_SDK_DISABLED="true")
    arms = given.arms.split(",")
    if given.real:
        rows = [Row(**row) for row in json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]]
    else:
        rows = measure(given.seed, 200 if given.quick else given.cases, arms)
    table(rows)
    over = asyncio.run(real(given.seed, 40 if given.quick else REAL_RUNS))
    print(
        f"\nIn real time, {over.runs} runs with a budget of {over.budget_s:g} s: {over.answered} answered, "
        f"{over.late} later than 50 ms after it, the latest {over.over_most_ms:.1f} ms; without what the machine "
        f"itself stood still (up to {over.machine_most_ms:.1f} ms) {over.late_of_our_own}, the latest "
        f"{over.own_most_ms:.1f} ms."
    )
    bars = {} if arms != list(ARMS) else barred(rows, over)
    for bar, holds in bars.items():
        print(f"{'holds' if holds else 'MISSED'}: {bar}")
    if not given.quick and bars:
        found = {
            "command": f"python bench/deadline.py --cases {given.cases} --seed {given.seed}",
            "python": platform.python_version(),
            "budget_s": BUDGET_S,
            "medians_s": MEDIAN_S,
            "weather": asdict(Weather()),
            "bars": bars,
            "rows": [asdict(row) for row in rows],
            "real": asdict(over),
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
