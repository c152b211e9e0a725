"""One system in a process of its own: `python -m limits.child SYSTEM` in `bench/`, cells on stdin, reports on stdout."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import time
from typing import TextIO

from limits.asked import ANSWERED, DONE, Asked, AskedRun, Bench, Ended, Reported, asked, first_line, request


async def serve(system: str) -> None:
    """Answer each line with one line, until stdin ends."""
    out = _own_stdout()
    module = importlib.import_module(f"limits.systems.{system}")
    out.write("ready\n")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        cell = asked(line)
        bench: Bench = await module.setup(cell)
        try:
            ended = await _all(bench, cell)
        finally:
            await bench.close()
        report = Reported(ended=ended, configured=bench.configured, version=bench.version)
        out.write(report.to_json() + "\n")


def _own_stdout() -> TextIO:
    """Stdout for the reports alone: what a framework prints goes to stderr."""
    own = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return own


async def _all(bench: Bench, cell: Asked) -> tuple[Ended, ...]:
    places = asyncio.Semaphore(cell.in_flight)

    async def one(run: AskedRun) -> Ended:
        async with places:
            return await _one(bench, run)

    return tuple(await asyncio.gather(*(one(run) for run in cell.runs)))


async def _one(bench: Bench, run: AskedRun) -> Ended:
    started_s = time.perf_counter()
    answered, how = True, ANSWERED
    for number in range(run.turns):
        try:
            answer = await bench.turn(run, number, request(run, number))
        except Exception as error:  # noqa: BLE001  # how a run ends is what is measured
            answered, how = False, first_line(error)
            break
        if DONE not in answer:
            answered, how = False, f"said: {' '.join(answer.split())[:150]}"
            break
    return Ended(key=run.key, seconds=time.perf_counter() - started_s, answered=answered, how=how)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
