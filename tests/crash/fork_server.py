"""The workers of the crash tests: forked from a process that has imported everything, or in new interpreters.

`python -m crash.fork_server` reads jobs as JSON lines, see `crash.forking`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import msgspec

from crash.forking import MAX_LIFE_S, TESTS, Forks, read_report, serve
from crash.job import Death, Job, Report, run_worker


class ForkServer(Forks[Job, Report]):
    """The server as a test sees it."""

    def __init__(self) -> None:
        super().__init__("crash.fork_server", Report)

    def run_until_stopped(self, job: Job) -> int:
        """Runs a worker that is stopped where its job says; returns its process, for `continue_stopped`."""
        pid = self.start(job)
        self.wait_until_stopped(job, pid)
        return pid

    def continue_stopped(self, job: Job, pid: int) -> Report:
        """Lets a stopped worker go on to its end; returns its report."""
        os.kill(pid, signal.SIGCONT)
        report = self.wait(job, pid)
        assert report is not None
        return report


def run_in_new_interpreter(job: Job) -> Report | None:
    """Runs a worker in an interpreter of its own; returns what `ForkServer.run` returns."""
    command = [sys.executable, "-m", "crash.fork_server", "--once"]
    done = subprocess.run(command, cwd=TESTS, input=msgspec.json.encode(job), timeout=MAX_LIFE_S, check=False)
    return read_report(job, done.returncode, Report)


if __name__ == "__main__":
    if "--once" in sys.argv:
        run_worker(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))
        os._exit(0)
    else:
        serve(Job, run_worker)

__all__ = ["Death", "ForkServer", "run_in_new_interpreter"]
