"""What counting waste costs of a step: the team of `peers.py`, with the functions timed that do it.

Two variants: `short` has the script's answers of one line, `long` adds thirty sentences to each, so that texts are
compared. Each function is timed without the timed functions inside of it.

    python bench/waste_cost.py [--runs 100]
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import platform
import shlex
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from teams.script import Reply
from teams.seawall import SeawallBench

from seawall import WasteGuard
from seawall.run import fold
from seawall.run.causes import Causes
from seawall.run.versions import Versions

STEPS = 15
"""Of a run of the workload `team`."""
SENTENCES = 30
TIMED: list[tuple[Any, str]] = [
    (fold, "note_intent"),
    (fold, "note_done"),
    (fold, "note_taken"),
    (Causes, "compare_answer"),
    (Causes, "learn_version"),
    (Causes, "find_text"),
    (Causes, "_find_asked"),
    (Versions, "compare"),
    (WasteGuard, "before"),
    (WasteGuard, "after"),
]
SHARED = "_find_asked"
"""The shingles of a text, which are found once for its causes and its versions: shown, and not added."""

Times = dict[str, list[float]]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--runs", type=int, default=100, help="runs of 15 steps, of each variant (default: 100)"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "waste_cost.json")
    return parser.parse_args()


def _time(function: Callable[..., Any], times: list[float], inside: list[float]) -> Callable[..., Any]:
    """Times a function without what other timed functions take inside of it; `inside` is a stack of their times."""

    @functools.wraps(function)
    def timed(*given: Any, **named: Any) -> Any:
        inside.append(0.0)
        began = time.perf_counter()
        try:
            return function(*given, **named)
        finally:
            took = time.perf_counter() - began
            times.append(took - inside.pop())
            inside[-1] += took

    return timed


def _lengthen(bench: SeawallBench) -> None:
    """Makes the answers of the script texts."""
    respond = bench.script.reply

    async def reply(agent: str, seen: int, first: str) -> Reply:
        said = await respond(agent, seen, first)
        if said.calls or agent == "auditor":
            return said
        more = (
            f"Sentence {number} of {agent} tells something quiet about it." for number in range(SENTENCES)
        )
        return said._replace(text=" ".join([said.text, *more]))

    setattr(bench.script, "reply", reply)  # noqa: B010 -- the script has no other way to say more


async def measure(runs: int, *, long: bool) -> dict[str, Any]:
    """The CPU time of a step without timing, and the medians of the timed functions for a step, in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        bench = SeawallBench("team", Path(folder) / "journal.db")
        if long:
            _lengthen(bench)
        await bench.start()
        took: list[float] = []
        for number in range(runs):
            began = time.process_time()
            await bench.run_one(number)
            took.append(time.process_time() - began)
        times: Times = {name: [] for _, name in TIMED}
        inside = [0.0]
        before = [(owner, name, getattr(owner, name)) for owner, name in TIMED]
        for owner, name, function in before:
            setattr(owner, name, _time(function, times[name], inside))
        try:
            for number in range(runs, 2 * runs):
                await bench.run_one(number)
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)
            await bench.close()
    steps = runs * STEPS
    found = {
        name: 1e6 * statistics.median(each) * len(each) / steps if each else 0.0
        for name, each in times.items()
    }
    step_us = 1e6 * statistics.median(took) / STEPS
    added = sum(each for name, each in found.items() if name != SHARED)
    return {"step_us": step_us, "added_us": added, "share": added / step_us, "functions_us": found}


def main() -> None:
    """Measure, print and keep."""
    options = _options()
    measured = {name: asyncio.run(measure(options.runs, long=name == "long")) for name in ("short", "long")}
    for name, each in measured.items():
        print(f"{name}: {each['added_us']:.1f} of {each['step_us']:.0f} us a step, {each['share']:.1%}")
        for function, us in each["functions_us"].items():
            print(f"    {function:16} {us:6.1f} us{' (shared)' if function == SHARED else ''}")
    command = shlex.join(["python", "bench/waste_cost.py", "--runs", str(options.runs)])
    written = {"command": command, "python": platform.python_version(), **measured}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
