"""The comparison with peers, Seawall alone: its cell plays the whole team with every guard enforced."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("workload", ["team", "single"])
def test_a_cell_of_seawall_answers_all_its_runs(workload: str, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "cell.py"), "seawall", workload, "4", "0.001", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr  # it checks each answer, the calls made, and the guards' modes
    sample = json.loads(done.stdout.splitlines()[-1])
    assert sample["runs"] >= 4
    enforced = set(sample["durability"].partition("Guards enforced: ")[2].split(", "))
    assert {"budget", "context", "deadline", "endpoints", "limits", "loops"} <= enforced
    assert sample["disk_bytes"] > 0
