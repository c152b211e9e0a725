"""The harness: it makes the processes of a round, and kills, stops and replaces them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import select
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from seawall.core.clock import SystemClock
from torture.closing import close_round
from torture.notes import Notes, Problem
from torture.oracle import Failure, Findings
from torture.people import Person, verify
from torture.place import LEASE_S, WORKERS, Place
from torture.worker import Worker
from torture.world import World

ROUND_S = 15.0
"""Seconds of one round. A new round has a new journal, so that the checks at its end stay quick."""
MAX_LIFE_S = 240
"""The system ends any process of a round that lives longer."""
PERSON = WORKERS
"""The slot of the person's process, after those of the workers."""
_PR_SET_PDEATHSIG = 1


@dataclass
class Process:
    """A process of a round."""

    pid: int
    wakes_s: float | None = None
    """When it is to go on; None if it is not stopped."""


@dataclass
class Totals:
    """What all rounds so far have found."""

    seed: str
    rounds: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    findings: Findings = field(
        default_factory=lambda: Findings(checked={}, excused={}, failures=[], counts={})
    )
    kept: list[Path] = field(default_factory=list)
    """Where the journals and worlds of failed rounds are."""

    def count(self, what: str) -> None:
        """Counts something that was done to a process."""
        self.kills[what] = self.kills.get(what, 0) + 1

    @property
    def killed(self) -> int:
        """How many processes were killed."""
        return self.kills.get("kill", 0)


class Harness:
    """Runs rounds one after another."""

    def __init__(self, seed: str, *, directory: Path | None, max_kills: int | None) -> None:
        self.totals = Totals(seed)
        self._clock = SystemClock()
        self._root = Path(tempfile.mkdtemp(prefix="torture-", dir=directory))
        self._max_kills = max_kills
        self._processes: dict[int, Process] = {}
        self._helpers: set[int] = set()
        """Processes beside the slots: the world, a verifier, the closer."""
        self._lives: dict[int, int] = {}
        self._stop = os.pipe()
        """Has something to read once the harness is asked to end."""

    def interrupt(self) -> None:
        """Ends the round under way, unchecked. A signal handler may call it at any time, and it raises nothing: what is
        raised while a process forks is lost."""
        os.write(self._stop[1], b"x")

    @property
    def is_interrupted(self) -> bool:
        """Whether the harness was asked to end."""
        return self._wait(0)

    def _wait(self, seconds: float) -> bool:
        """Waits so long, or until the harness is asked to end; returns whether it is."""
        return bool(select.select([self._stop[0]], [], [], seconds)[0])

    def close(self) -> None:
        """Ends every process that is left, and removes what nobody needs."""
        for pid in [*(each.pid for each in self._processes.values()), *self._helpers]:
            _end(pid)
        self._processes.clear()
        self._helpers.clear()
        if not self.totals.kept:
            shutil.rmtree(self._root, ignore_errors=True)

    def run_round(self, seconds: float) -> Findings | None:
        """Runs one round with up to so many seconds of kills; returns what was found, or None if it was interrupted."""
        number = self.totals.rounds
        place = Place(self._root / f"round-{number}", f"{self.totals.seed}:{number}")
        place.directory.mkdir()
        self._lives = {}
        world = self._start_world(place)
        rng = place.rng("kills")
        until_s = self._clock.monotonic_s() + seconds
        while self._clock.monotonic_s() < until_s and not self.is_over:
            self._look_after(place)
            self._strike(place, rng)
            if self._wait(rng.expovariate(1 / 0.25)):
                return None
        for process in self._processes.values():
            _end(process.pid)
            self.totals.count("kill")
        self._processes.clear()
        findings = self._close_round(place)
        if findings is None:
            return None
        _end(world)
        self._helpers.discard(world)
        for pid in self._helpers:  # verifiers
            _end(pid)
        self._helpers.clear()
        self.totals.rounds += 1
        self.totals.findings.add(findings)
        if findings.failures:
            self.totals.kept.append(place.directory)
        else:
            shutil.rmtree(place.directory)
        return findings

    @property
    def is_over(self) -> bool:
        """Whether there were as many kills as there may be."""
        return self._max_kills is not None and self.totals.killed >= self._max_kills

    # -- processes

    def _start_world(self, place: Place) -> int:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(place.socket))
        listening.listen(1024)
        pid = _fork(place, "world", lambda: World(place.directory, place.seed).serve(listening))
        listening.close()
        self._helpers.add(pid)
        return pid

    def _look_after(self, place: Place) -> None:
        """Starts what is missing, and lets go on what was stopped long enough."""
        for slot in range(WORKERS + 1):
            process = self._processes.get(slot)
            if process is not None and not _has_ended(process.pid):
                if process.wakes_s is not None and self._clock.monotonic_s() >= process.wakes_s:
                    os.kill(process.pid, signal.SIGCONT)
                    process.wakes_s = None
                continue
            life = self._lives[slot] = self._lives.get(slot, 0) + 1
            self._processes[slot] = Process(self._start(place, slot, life))
            if process is not None and process.pid > 0:
                self.totals.count("ended by a fault")
        self._helpers = {pid for pid in self._helpers if not _has_ended(pid)}

    def _start(self, place: Place, slot: int, life: int) -> int:
        if slot == PERSON:
            return _fork(place, "person", lambda: Person(place, life).live())
        return _fork(place, f"worker-{slot}", lambda: Worker(place, slot, life).live())

    def _strike(self, place: Place, rng: random.Random) -> None:
        """Does one bad thing to the processes of the round."""
        slot = rng.randrange(WORKERS + 1)
        process = self._processes[slot]
        dice = rng.random()
        if dice < 0.04:
            for each in list(self._processes):
                self._kill(each)
        elif dice < 0.55:
            self._kill(slot)
        elif dice < 0.75 and process.wakes_s is None:
            os.kill(process.pid, signal.SIGSTOP)
            process.wakes_s = self._clock.monotonic_s() + LEASE_S * rng.uniform(0.3, 2.5)
            self.totals.count("stop")
        else:
            return
        if rng.random() < 0.15 and len(self._helpers) < 2:
            self._helpers.add(_fork(place, "verifier", lambda: verify(place)))
            self.totals.count("verify")

    def _kill(self, slot: int) -> None:
        process = self._processes[slot]
        if process.pid > 0:
            _end(process.pid)
            process.pid = 0
            self.totals.count("kill")

    def _close_round(self, place: Place) -> Findings | None:
        """Lets a process bring the round to its end, and returns what it found."""
        file = place.directory / "findings"

        async def close() -> None:
            file.write_bytes(msgspec.json.encode(await close_round(place)))

        pid = _fork(place, "closer", close)
        self._helpers.add(pid)
        while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
            if self._wait(0.05):
                return None
        self._helpers.discard(pid)
        if file.exists():
            return msgspec.json.decode(file.read_bytes(), type=Findings)
        detail = f"the process that closes the round ended with {os.waitstatus_to_exitcode(ended[1])}"
        notes = place.notes("closer")
        detail += f": {notes.read_text()[-2000:] if notes.exists() else ''}"
        failure = Failure(statement="A round can be closed", run="", detail=detail)
        return Findings(checked={"A round can be closed": 1}, excused={}, failures=[failure], counts={})


def _fork(place: Place, who: str, make: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Starts a process that does `make()` and ends; returns its id. It ends when its parent does."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.alarm(MAX_LIFE_S)
        asyncio.run(make())
        code = 0
    except BaseException:  # noqa: BLE001 -- whatever it is, the report names it
        Notes(place.notes(who)).write(Problem(text=f"{who}: {traceback.format_exc()[-3000:]}"))
    finally:
        os._exit(code)


def _has_ended(pid: int) -> bool:
    """Returns whether a process has ended, and forgets it then; 0 stands for one that was killed."""
    return pid == 0 or os.waitpid(pid, os.WNOHANG)[0] == pid


def _end(pid: int) -> None:
    """Kills a process, also a stopped one, and waits until it is gone."""
    if pid > 0:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return
