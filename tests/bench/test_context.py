"""The context program on recordings of our own."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from assembly.recorded import BadRecording, load
from context import DATA, FILES
from context import ROOT as REPOSITORY

import warm_python


def conversation(key: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Help."}]
    for turn in range(4):
        messages.append({"role": "user", "content": f"What of order O-{turn}?"})
        for number in range(3):
            asked = {
                "name": "find",
                "arguments": json.dumps({"order": f"O-{turn}", "item": f"I-{turn}{number}"}),
            }
            found = f"next item I-{turn}{number + 1} " + "text " * 400
            identifier = f"c{turn}{number}"
            messages.append(
                {"role": "assistant", "content": None, "tool_calls": [{"id": identifier, "function": asked}]}
            )
            messages.append({"role": "tool", "tool_call_id": identifier, "content": found})
        messages.append({"role": "assistant", "content": f"It is item I-{turn}3."})
    return {"id": key, "success": True, "messages": messages}


def calls(key: str) -> dict[str, Any]:
    made = [
        {
            "turn": number,
            "agent": "main",
            "tool": "Read" if number % 3 else "Edit",
            "arguments": json.dumps({"path": f"/app/f-{number}"}),
            "result": f"file /app/f-{number + 1} " + "line " * 300,
            "error": number == 6,
        }
        for number in range(24)
    ]
    return {"id": key, "success": True, "runaway": False, "calls": made}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in zip(FILES, ([conversation("a"), conversation("b")], [calls("x")]), strict=True):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return tmp_path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(REPOSITORY / "bench" / "context.py")
    return warm_python.run([program, *arguments], text=True)


def test_the_program_prints_and_keeps_what_a_budget_saves(folder: Path) -> None:
    out = folder / "out.json"

    done = run("--data", str(folder), "--out", str(out), "--budget", "1500", "100000")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "budget" in done.stdout
    for found in json.loads(out.read_text())["files"].values():
        small, large = found["1500"], found["100000"]
        assert small["problems"] == large["problems"] == []
        assert small["long_runs"]["saved"] > 0.4 and small["long_runs"]["of"] >= 1
        assert small["used_later"]["of"] == small["used_later"]["shown"] + small["used_later"]["by_reference"]
        assert small["used_later"]["by_reference"] >= 0 and small["used_later"]["lost"] == []
        assert large["all"]["saved"] == 0 and large["folds"] == {"budget": 0, "junk": 0, "too_long": 0}


def test_without_data_the_program_says_what_is_missing(tmp_path: Path) -> None:
    done = run("--data", str(tmp_path))

    assert done.returncode == 2
    assert "can't read the recording" in done.stderr


def test_a_row_that_is_neither_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "a"}')

    with pytest.raises(BadRecording, match=r"x\.jsonl, line 1"):
        load(path)


def test_on_the_recordings_nothing_was_lost_and_long_runs_were_shortened() -> None:
    """By the figures that were kept of them; `python bench/context.py` makes them again."""
    kept = json.loads((REPOSITORY / "bench" / "results" / "context.json").read_text())["files"]
    assert DATA and set(kept) == set(FILES)
    for found in kept.values():
        for row in found.values():
            assert row["used_later"]["lost"] == row["changed_without_reason"] == row["problems"] == []
    long = [next(iter(found.values()))["long_runs"] for found in kept.values()]
    assert sum(row["with"] for row in long) <= 0.6 * sum(row["without"] for row in long)
