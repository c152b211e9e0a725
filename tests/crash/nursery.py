"""A process that has imported everything and forks a worker for each job, so that a death costs milliseconds.

`python -m crash.nursery` reads jobs as JSON lines and answers each with how its worker ended. It has one
thread and has opened nothing, so that its children are as good as new.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from crash.job import Death, Job, Report, live

TESTS = Path(__file__).parent.parent
MAX_LIFE_S = 60
"""After this a worker that hangs is ended by the system, and the test says so."""


class Nursery:
    """The test's end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crash.nursery"], cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()

    def life(self, job: Job) -> Report | None:
        """One worker's life: its report, or None if it died where it was told to."""
        return told(job, self._ask(job))

    def stopped_life(self, job: Job) -> int:
        """The process of a worker that was stopped where it was told to; `continued` lets it go on."""
        pid = self._ask(job)
        assert pid > 0, f"the worker ended with {pid}, and was to be stopped: {job}"
        return pid

    def continued(self, job: Job, pid: int) -> Report:
        """Let a stopped worker go on to its end."""
        report = told(job, self._ask(pid))
        assert report is not None
        return report

    def _ask(self, what: Job | int) -> int:
        if isinstance(what, Job):
            Path(what.directory, "report").unlink(missing_ok=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(what) + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def fresh_life(job: Job) -> Report | None:
    """As `Nursery.life`, in an interpreter of its own."""
    command = [sys.executable, "-m", "crash.nursery", "--once"]
    done = subprocess.run(command, cwd=TESTS, input=msgspec.json.encode(job), timeout=MAX_LIFE_S, check=False)
    return told(job, done.returncode)


def told(job: Job, code: int) -> Report | None:
    """What a worker's exit code means."""
    if code == -signal.SIGKILL and job.death is not None:
        return None
    assert code == 0, f"the worker ended with {code}: {job}"
    return msgspec.json.decode(Path(job.directory, "report").read_bytes(), type=Report)


def _serve() -> None:
    for line in sys.stdin.buffer:
        asked = msgspec.json.decode(line, type=Job | int)
        if isinstance(asked, Job):
            pid = os.fork()
            if pid == 0:
                signal.alarm(MAX_LIFE_S)
                live(asked)
        else:
            pid = asked
            os.kill(pid, signal.SIGCONT)
        _, status = os.waitpid(pid, os.WUNTRACED)
        answer = pid if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if "--once" in sys.argv:
        live(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))
    else:
        _serve()

__all__ = ["Death", "Nursery", "fresh_life"]
