"""The count of instructions: a cell answers its runs, and is counted after its warm-up only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("cell", ["single/seawall/1", "clerk/own-disk/1"])
def test_a_cell_is_counted_from_after_its_warm_up_to_its_last_run(cell: str, tmp_path: Path) -> None:
    told = tmp_path / "told"
    control = tmp_path / "callgrind_control"  # stands for Valgrind's, and notes what it is asked for
    control.write_text(f'#!/bin/sh\necho "$1 $2" >> {told}\n')
    control.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, str(BENCH / "instructions.py"), "--cell", cell, str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)

    assert done.returncode == 0, done.stderr  # each answer is checked
    assert told.read_text().split("\n") == ["-i on", "-i off", ""]


def test_an_unknown_cell_is_named(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "instructions.py"), "--cells", "team/nobody/3"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 2
    assert "'team/nobody/3' is not known; there are team/seawall/32" in done.stderr
