"""What grows, small: the program's agents come to their end under all guards, and its samples are written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"


def test_a_run_of_many_steps_comes_to_its_end_with_every_guard(tmp_path: Path) -> None:
    out = tmp_path / "growth.json"
    command = [
        sys.executable,
        str(BENCH / "growth.py"),
        "--quick",
        "--parts",
        "steps",
        "--runs-of-steps",
        "1",
    ]
    done = subprocess.run(
        [*command, "--directory", str(tmp_path), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert "Traceback" not in done.stderr, done.stderr
    # whether a bar holds depends on the machine, and is not asked here
    measured = json.loads(out.read_text())
    assert measured["steps"], done.stdout
