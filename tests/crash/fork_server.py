"""A process that has imported everything and forks a worker for each job, so that a death costs milliseconds.

`python -m crash.fork_server` reads jobs as JSON lines and answers each with how its worker ended. It has one
thread and has opened nothing, so that its children are as good as new.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from crash.job import Death, Job, Report, run_worker

TESTS = Path(__file__).parent.parent
MAX_LIFE_S = 60
"""The system ends a worker that takes longer, and the test fails."""


class ForkServer:
    """The server as a test sees it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crash.fork_server"],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def close(self) -> None:
        """Ends the server."""
        self._process.communicate()

    def run(self, job: Job) -> Report | None:
        """Runs a worker; returns its report, or None if it died where its job says."""
        return read_report(job, self._ask(job))

    def run_until_stopped(self, job: Job) -> int:
        """Runs a worker that is stopped where its job says; returns its process, for `continue_stopped`."""
        pid = self._ask(job)
        assert pid > 0, f"the worker ended with {pid}, and was to be stopped: {job}"
        return pid

    def continue_stopped(self, job: Job, pid: int) -> Report:
        """Lets a stopped worker go on to its end; returns its report."""
        report = read_report(job, self._ask(pid))
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


def run_in_new_interpreter(job: Job) -> Report | None:
    """Runs a worker in an interpreter of its own; returns what `ForkServer.run` returns."""
    command = [sys.executable, "-m", "crash.fork_server", "--once"]
    done = subprocess.run(command, cwd=TESTS, input=msgspec.json.encode(job), timeout=MAX_LIFE_S, check=False)
    return read_report(job, done.returncode)


def read_report(job: Job, code: int) -> Report | None:
    """Returns the report of a worker that ended with exit code `code`, or None if it died where its job says."""
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
                run_worker(asked)
        else:
            pid = asked
            os.kill(pid, signal.SIGCONT)
        _, status = os.waitpid(pid, os.WUNTRACED)
        answer = pid if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if "--once" in sys.argv:
        run_worker(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))
    else:
        _serve()

__all__ = ["Death", "ForkServer", "run_in_new_interpreter"]
