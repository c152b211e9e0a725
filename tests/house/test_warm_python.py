"""A program that is forked from a warm process is as good as one in a new interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import warm_python

TELL = """
import json, os, sys, threading
known = sorted(name for name in sys.modules if "seawall" in name)
print(json.dumps([sys.argv, __name__, sys.path, os.getcwd(), sorted(os.environ), threading.active_count()]))
print("told", file=sys.stderr)
sys.exit(3)
"""


@pytest.mark.parametrize("way", ["code", "script", "module"])
def test_a_program_is_told_what_a_new_interpreter_tells_it(tmp_path: Path, way: str) -> None:
    (tmp_path / "tell.py").write_text(TELL)
    words = {"code": ["-c", TELL], "script": ["tell.py"], "module": ["-m", "tell"]}[way]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": "/one:/other", "LC_ALL": "C.UTF-8"}

    warm = warm_python.run([*words, "a", "--b"], cwd=tmp_path, env=env, text=True)
    new = subprocess.run(
        [sys.executable, *words, "a", "--b"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (warm.stdout, warm.stderr, warm.returncode) == (new.stdout, new.stderr, new.returncode)
    assert warm.returncode == 3


def test_its_streams_are_those_that_it_was_given() -> None:
    echo = "import sys; sys.stdout.write(sys.stdin.read()); sys.stderr.write('é')"

    done = warm_python.run(["-c", echo], input="a\n" * 100_000, text=True)

    assert (done.stdout, done.stderr, done.returncode) == ("a\n" * 100_000, "é", 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_takes_signals_and_its_end_is_told(number: signal.Signals) -> None:
    with warm_python.start(
        ["-c", "import threading; print(1, flush=True); threading.Event().wait()"]
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.poll() is None

        process.send_signal(number)

        assert process.wait() == process.poll() == -number
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_what_is_wrong_in_it_is_no_part_of_the_next() -> None:
    wrong = (
        "import atexit, math, os; math.pi = 3; atexit.register(print, 'left'); os.environ['X'] = ''; 1 / 0"
    )

    done = warm_python.run(["-c", wrong], text=True)

    assert (done.stdout, done.returncode) == ("left\n", 1)
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    after = warm_python.run(["-c", "import math, os; print(math.pi == 3, 'X' in os.environ)"], text=True)
    assert (after.stdout, after.stderr) == ("False False\n", "")


def test_one_without_an_end_is_killed() -> None:
    process = warm_python.start(["-c", "import threading; threading.Event().wait()"])

    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.01)

    assert process.wait() == -signal.SIGKILL
