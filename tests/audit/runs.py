"""Recorded runs for tests, made of short rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seawall.audit import AuditResult, RecordedRun, ToolNames, audit, make_guards, read_runs

Row = tuple[Any, ...]
"""(tool, arguments, result), and more: error, agent, turn."""


def recorded(rows: Iterable[Row], **more: Any) -> dict[str, Any]:
    """A run as it is in a file."""
    calls: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        tool, arguments, result, error, agent, turn = (*row, *(False, "main", 2 * number)[len(row) - 3 :])
        call = {"turn": turn, "agent": agent, "tool": tool, "arguments": arguments, "result": result}
        calls.append({**call, "error": error})
    return {"id": "r", "calls": calls, **more}


def write(path: Path, runs: Iterable[Any]) -> Path:
    """Writes a file of recorded runs; a string is a line as it is."""
    lines = [run if isinstance(run, str) else json.dumps(run) for run in runs]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def runs_of(path: Path, **options: Any) -> list[RecordedRun]:
    """The good lines of a file."""
    return [each for each in read_runs(path, **options) if isinstance(each, RecordedRun)]


def audited(rows: Sequence[Row], folder: Path, names: ToolNames | None = None, **options: Any) -> AuditResult:
    """What the guard would have done with a run, read from a file."""
    (run,) = runs_of(write(folder / "runs.jsonl", [recorded(rows)]))
    names = names or ToolNames()
    return audit(run, make_guards(names, options), names)  # pyright: ignore[reportArgumentType] -- options of the guard
