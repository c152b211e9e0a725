"""One case: a journal and orders of its own, and the processes that work with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

import warm_python
from crash.forking import TESTS
from effects.desk import Ask, Terms
from effects.job import Job, Processes, Report, Task
from effects.people import Decision
from effects.world.client import Bank

WAIT_S = 60.0
"""Longer than anything takes on a busy machine; a test that gets here fails."""


_SEAWALL = ("-c", "from seawall.cli import main; main()")


class Case:
    """Runs processes one after another, or beside each other, on one journal."""

    def __init__(self, processes: Processes, bank: Bank, directory: Path) -> None:
        self.processes = processes
        self.bank = bank
        self.directory = directory
        self.order = f"{directory.name}-a"
        """An order number that no other case has."""
        self.job = Job(directory=str(directory), port=bank.port, task="start")

    def asks(self, *replies: tuple[Ask, ...], terms: Terms | None = None, **more: Any) -> Case:
        """Sets what the agent asks for, and how the tools are declared."""
        self.job = replace(self.job, replies=replies, terms=terms or self.job.terms, **more)
        return self

    def do(self, task: Task, **more: Any) -> Report:
        """Runs a process to its end."""
        return self.processes.do(replace(self.job, task=task, **more))

    def begin(self, task: Task, **more: Any) -> tuple[Job, int]:
        """Starts a process beside others."""
        job = replace(self.job, task=task, **more)
        return job, self.processes.start(job)

    def end(self, begun: tuple[Job, int]) -> Report:
        """Waits for a process that was started beside others."""
        report = self.processes.wait(*begun)
        assert report is not None
        assert report.error is None, report.error
        return report

    def decide(self, who: str, action: str = "approve", **more: Any) -> list[str]:
        """Lets somebody decide on every proposal that fits, in a process of its own; returns what came of each."""
        ahead_s = more.pop("clock_ahead_s", 0.0)
        decision = Decision(who=who, action=action, **more)
        return list(self.do("decide", decisions=(decision,), clock_ahead_s=ahead_s).said)

    def people(self, *names: str) -> tuple[Decision, ...]:
        """Returns what these people do, who approve whatever they see."""
        return tuple(Decision(who=name) for name in names)

    @property
    def paid(self) -> list[str]:
        """The receipts for the order of this case, from the bank's table."""
        return self.bank.paid(self.order)

    def command(self, *words: str) -> str:
        """Runs `seawall WORDS` on the journal in a process of its own; returns what it prints."""
        done = warm_python.run(
            [*_SEAWALL, *words, "--journal", self.job.journal],
            cwd=self.directory,
            env=self._environment(),
            timeout=WAIT_S,
        )
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout.decode()

    def document(self, *words: str) -> Any:
        """Returns the JSON that `seawall WORDS --json` prints."""
        return json.loads(self.command(*words, "--json"))

    def start_worker(self) -> warm_python.Process[bytes]:
        """Starts `seawall worker` for the desk of this case."""
        (self.directory / "job").write_bytes(msgspec.json.encode(self.job))
        return warm_python.start(
            [*_SEAWALL, "worker", "effects.app:desk", "--journal", self.job.journal],
            cwd=self.directory,
            env=self._environment(),
            stdout=warm_python.DEVNULL,
            stderr=warm_python.DEVNULL,
        )

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
        more = {"PYTHONPATH": path, "COLUMNS": "100", "NO_COLOR": "1"}
        return {**os.environ, **more}
