"""Half a minute of random kills, in processes of their own: every promise holds by what the world saw."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "torture"]
SECONDS, KILLS = 30, 200
"""Whichever comes first. On a slow machine it is the seconds."""
SEED = "1042"
PATIENCE_S = 300
"""A round that does not end is a failure; the last one is brought to its end after the seconds are over."""


def read_children(pid: int) -> list[int]:
    """Returns the processes whose parent is `pid`."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def test_every_promise_holds_through_half_a_minute_of_random_kills(tmp_path: Path) -> None:
    options = ["--seconds", str(SECONDS), "--kills", str(KILLS), "--seed", SEED, "--json"]
    done = subprocess.run(
        [*COMMAND, *options, "--keep", str(tmp_path)],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["blows"]["kill"] > 0
    assert found["counts"]["effects that happened"] > 0
    assert found["checked"]["verify says ok at the end"] == found["rounds"]
    assert list(tmp_path.iterdir()) == [], "what held is not kept"


def test_an_interrupt_ends_it_with_the_figures_so_far_and_no_process_left(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--seconds", "600", "--seed", SEED, "--json", "--keep", str(tmp_path)],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith(f"seed {SEED}")
            children = wait_for_children(process)
            os.kill(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()

    assert process.returncode == 130, err
    assert "the round under way was not checked" in err
    assert json.loads(out)["rounds"] == 0
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []


def wait_for_children(process: subprocess.Popen[str]) -> list[int]:
    """Returns the processes that `process` has started, once there are some."""
    while len(found := read_children(process.pid)) < 2:
        assert process.poll() is None
    return found
