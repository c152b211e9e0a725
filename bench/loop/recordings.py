"""Recorded runs with their labels, and which runaways are true repetition loops."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from seawall.audit import BadLine, RecordedCall, RecordedRun, read_runs
from seawall.run.noise import mask_volatile

_NUMBER = re.compile(r"\d+")
TAIL, REPEATS = 10, 6


class BadRecording(Exception):
    """The data is not there, or not of the form that this program reads."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A recorded run, what became of it, and what it belongs to."""

    run: RecordedRun
    source: str
    model: str
    task: str
    good: bool
    runaway: bool
    loop: bool


def load(folder: Path) -> list[Labelled]:
    """All runs of a folder. Raises `BadRecording`."""
    files = sorted(folder.glob("*.jsonl*"))
    if not files:
        raise BadRecording(f"there are no recordings (*.jsonl, *.jsonl.gz) in {folder}")
    found: list[Labelled] = []
    for file in files:
        for run in read_runs(file):
            if isinstance(run, BadLine):
                raise BadRecording(str(run))
            if not isinstance(run.row.get("success"), bool) or not isinstance(run.row.get("runaway"), bool):
                raise BadRecording(f"{file}:{run.line}: a run to measure with has 'success' and 'runaway'")
            found.append(_labelled(run, file.name.partition(".")[0]))
    return found


def _labelled(run: RecordedRun, file: str) -> Labelled:
    source = str(run.row.get("source", file))
    runaway = run.row["runaway"]
    return Labelled(
        run=run,
        source=source,
        model=str(run.row.get("model", "")),
        task=f"{source}/{_task(run.id)}",
        good=run.row["success"] and not runaway,
        runaway=runaway,
        loop=runaway and true_loop(run.calls),
    )


def _task(name: str) -> str:
    """The task of a run: tau-bench's ids are task-trial-number; `.hard` is the same task with less help."""
    trial = re.fullmatch(r"(\d+)-\d+-\d+", name)
    return trial[1] if trial else name.rpartition(".")[0] or name


def true_loop(calls: tuple[RecordedCall, ...]) -> bool:
    """Whether a runaway is a true repetition loop: of its last ten completed calls at least six brought what the
    very same call had brought before in this run, apart from clocks and the like, and from numbers.

    A last call without result was cut off with the run. The guard is not asked.
    """
    completed = calls[:-1] if calls and not calls[-1].result else calls
    seen: set[tuple[str, str, bool, str]] = set()
    repeats: list[bool] = []
    for call in completed:
        what = (call.tool, call.arguments, call.failed, _NUMBER.sub("0", mask_volatile(call.result)))
        repeats.append(what in seen)
        seen.add(what)
    return sum(repeats[-TAIL:]) >= REPEATS
