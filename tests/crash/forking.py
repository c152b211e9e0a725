"""A process that has imported everything and forks a worker for each job, so that a death costs milliseconds.

A module with `serve(Job, run_worker)` in it is such a server when it is run with `python -m`; `Forks` is how a test sees
it. It has one thread and has opened nothing, so that its children are as good as new. What a worker imports and compiles
late, in the middle of its work, the server imports and compiles for the workers after it.

To die at each of many points needs one worker for all of them (`Forks.copy_at_each`): it is stopped at each, and its
directory is copied. A copy holds what `kill -9` there would have left, because a process that is killed loses nothing that
it has written, and a copied file has nobody's lock. Others go on in the copies once that worker has ended, since a run
whose process is only stopped is not theirs to take.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import msgspec

from warm_python import Late, catch_up, get_ready

TESTS = Path(__file__).parent.parent
MAX_LIFE_S = 60
"""The system ends a worker that takes longer, and the test fails."""
_STOPPED = "stopped"


class Work(Protocol):
    """What a job has, whatever its worker does. The worker writes its report to the file `report` in the directory."""

    @property
    def directory(self) -> str:
        """The job's directory."""
        ...

    @property
    def death(self) -> Any:
        """Where the worker dies; None if it is to live."""
        ...

    @property
    def report(self) -> Path:
        """The file of its report."""
        ...


J = TypeVar("J", bound=Work)
R = TypeVar("R")


class Forks(Generic[J, R]):
    """The server `module`, whose workers write a `report` each."""

    def __init__(self, module: str, report: type[R]) -> None:
        self._report = report
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def close(self) -> None:
        """Ends the server, and the workers that are left."""
        self._process.communicate()

    def start(self, job: J) -> int:
        """Starts a worker and returns its process."""
        job.report.unlink(missing_ok=True)
        return int(self._ask(job))

    def wait(self, job: J, pid: int) -> R | None:
        """Returns the worker's report once it has ended, or None if it died where its job says."""
        return read_report(job, int(self._ask(pid)), self._report)

    def wait_until_stopped(self, job: J, pid: int) -> None:
        """Returns once the worker has stopped where its job says."""
        said = self._ask(pid)
        assert said == _STOPPED, f"the worker ended with {said}, and was to be stopped: {job}"

    def run(self, job: J) -> R | None:
        """Runs a worker; returns its report, or None if it died where its job says."""
        return self.wait(job, self.start(job))

    def copy_at_each(self, job: J) -> tuple[list[J], R]:
        """Runs a worker to its end that is stopped where its job says, and copies its directory beside it at each stop.

        Returns the jobs of those who go on in the copies, in the order of the stops, and the worker's report.
        """
        stopped: Any = job  # a struct
        death = job.death
        copies: list[J] = []
        pid = self.start(job)
        while (said := self._ask(pid)) == _STOPPED:
            copy = f"{job.directory}-{death.at + len(copies) * death.every}{'a' if death.after else 'b'}"
            shutil.copytree(job.directory, copy)
            copies.append(msgspec.structs.replace(stopped, directory=copy, death=None))
            os.kill(pid, signal.SIGCONT)
        report = read_report(job, int(said), self._report)
        assert report is not None
        return copies, report

    def kill(self, pid: int) -> None:
        """Kills a worker, and returns once it is gone."""
        os.kill(pid, signal.SIGKILL)
        assert int(self._ask(pid)) == -signal.SIGKILL

    def _ask(self, what: J | int) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(what) + b"\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().decode().strip()


def read_report(job: Work, code: int, report: type[R]) -> R | None:
    """Returns the report of a worker that ended with exit code `code`, or None if it died where its job says."""
    if code == -signal.SIGKILL and job.death is not None:
        return None
    assert code == 0, f"the worker ended with {code}: {job}"
    return msgspec.json.decode(job.report.read_bytes(), type=report)


def serve(kind: type[J], work: Callable[[J], Any]) -> None:
    """Starts a worker for each job on the standard input, and waits for one for each process that stands there.

    A worker ends with exit code 0 when `work` returns.
    """
    get_ready()
    living: dict[int, J] = {}
    for line in sys.stdin.buffer:
        asked = msgspec.json.decode(line, type=kind | int)
        if isinstance(asked, int):
            _, status = os.waitpid(asked, os.WUNTRACED)
            if os.WIFSTOPPED(status):
                answer = _STOPPED
            else:
                answer = str(os.waitstatus_to_exitcode(status))
                _catch_up(_late_file(living.pop(asked), asked))
        else:
            pid = os.fork()
            if pid == 0:
                _work_and_end(work, asked)
            living[pid] = asked
            answer = str(pid)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def _work_and_end(work: Callable[[J], Any], job: J) -> NoReturn:
    signal.alarm(MAX_LIFE_S)
    late = Late()
    work(job)
    _late_file(job, os.getpid()).write_bytes(late.note())
    os._exit(0)  # its threads are not waited for


def _late_file(job: Work, pid: int) -> Path:
    return Path(job.directory) / f"{pid}.late"


def _catch_up(noted: Path) -> None:
    """Imports and compiles what a worker has noted. One that died has noted nothing."""
    if noted.exists():
        catch_up(noted.read_bytes())
        noted.unlink()
