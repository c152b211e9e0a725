"""What a worker process does: it starts the run or goes on with it, and dies where its job says."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from crash.desk import PAID, REQUEST, Variant, desk
from crash.world import World
from journal.disk import Disk
from seawall import ALLOW, Budget, Caps, Guard, Halt, Hold, Limits, Outcome, Seawall, Waiting
from seawall.core.canonical import Ref
from seawall.core.clock import SystemClock
from seawall.core.events import Event, RunStarted, StepIntended
from seawall.journal.protocol import Journal, Lease
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Verdict


class Frozen(Guard):
    """Halts every step."""

    name = "frozen"

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        return Halt("everything is frozen")


class Held(Guard):
    """Holds payments until a person approves them."""

    name = "held"

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        if step.kind == "tool" and step.name == "pay":
            return Hold("a payment needs a person")
        return ALLOW


class Death(msgspec.Struct, frozen=True):
    """Where a worker dies: at the n-th append, the n-th call of the world, or the n-th write to the disk.

    With `every` it is stopped there, and again and again from there on, so that a copy of its directory can be taken.
    """

    at: int
    where: Literal["journal", "world", "disk"] = "journal"
    after: bool = False
    """The worker dies after the operation was done, and before its caller gets the result. On the disk: after half of
    the write."""
    signal: int = signal.SIGKILL
    """The signal; SIGSTOP stops the worker, and SIGINT asks it to end."""
    every: int = 0
    """How many operations later it is stopped the next time; see `crash.forking`."""

    def falls_on(self, number: int) -> bool:
        """Returns whether the operation of this number is one at which the worker dies, or is stopped."""
        return number == self.at or (
            self.every > 0 and number > self.at and (number - self.at) % self.every == 0
        )

    def strike(self) -> None:
        """Sends the signal to this process."""
        if self.every:  # at the thread that strikes: another one would be stopped first, and this one would go on meanwhile
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        else:
            os.kill(os.getpid(), self.signal)

    def mount_disk(self) -> Disk:
        """Returns a disk that strikes at its writes."""
        if self.every:
            disk = Disk(pauses_at_write=self.falls_on, torn=self.after, on_pause=self.strike)
        else:
            disk = Disk(dies_at_write=self.at, torn=self.after, on_death=self.strike)
        return disk.mount()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has to do, and where its journal and its world are."""

    directory: str
    death: Death | None = None
    limits: Limits | None = None
    estimated: bool = False
    prompt: str = ""
    model: str = "scripted"
    notify_version: str = "1"
    notify_honours: bool = True
    renamed: str = ""
    without_agent: str = ""
    without_tool: str = ""
    held: bool = False
    """Payments need a person."""
    capped: bool = False
    """A cap holds for every call, and is never reached."""
    frozen: bool = False
    """A guard halts the next step."""
    lease_s: float = 30.0
    settles: bool = True
    """The worker plays the person who finds out what became of an effect; else it ends when the run waits."""

    @property
    def journal(self) -> str:
        """The journal's file."""
        return str(Path(self.directory) / "journal.db")

    @property
    def world(self) -> Path:
        """The world's file."""
        return Path(self.directory) / "world"

    @property
    def promises(self) -> Path:
        """The file of what the journal acknowledged to its workers."""
        return Path(self.directory) / "promises"

    @property
    def report(self) -> Path:
        """The file of its worker's report."""
        return Path(self.directory) / "report"

    def variant(self) -> Variant:
        """Returns what this worker's deploy changes in the team."""
        return Variant(
            prompt=self.prompt,
            model=self.model,
            notify_version=self.notify_version,
            notify_honours=self.notify_honours,
            renamed=self.renamed,
            without_agent=self.without_agent,
            without_tool=self.without_tool,
            limits=self.limits,
            guards=(*([Frozen()] if self.frozen else []), *([Held()] if self.held else [])),
            estimated=self.estimated,
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker reports when it ends by itself."""

    outcome: Outcome | None = None
    waiting: Waiting | None = None
    error: str | None = None
    settled: int = 0


class Acknowledged(msgspec.Struct, frozen=True):
    """Events that a journal has acknowledged: where they begin, how many there are, and their digest."""

    first_seq: int
    n: int
    digest: str


def digest_of(events: Sequence[Event]) -> str:
    """Returns a digest of the events as they are read back, because reading turns a limit of 60 into 60.0."""
    read = msgspec.json.decode(msgspec.json.encode(events), type=list[Event])
    return hashlib.sha256(msgspec.json.encode(read)).hexdigest()


WRITES = frozenset(
    {
        *("take", "release", "reserve", "give_back", "send", "claim", "settle", "decide"),
        *("allow_again", "mark_proposal", "put_principal", "add_fact"),
    }
)
"""The writes of a journal, beside those that make events durable."""


class DyingJournal:
    """A journal that kills its process at one of its writes, and that notes what it acknowledged."""

    def __init__(self, inner: Journal, death: Death | None, promises: Path) -> None:
        self._inner = inner
        self._death = death if death is not None and death.where == "journal" else None
        self.writes: list[str] = []
        """The names of its writes so far."""
        self._promises = os.open(promises, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._inner, name)
        if name not in WRITES:
            return inner

        async def write(*arguments: Any, **options: Any) -> Any:
            last = self._write(name)
            try:
                return await inner(*arguments, **options)
            finally:  # also a write that was refused
                last()

        return write

    def _write(self, name: str) -> Callable[[], None]:
        """Counts a write; returns what to call after it."""
        self.writes.append(name)
        death = self._death
        if death is None or not death.falls_on(len(self.writes)):
            return lambda: None
        if death.after:
            return death.strike
        death.strike()
        return lambda: None

    async def create(
        self, started: RunStarted, events: Sequence[Event], bodies: Mapping[Ref, bytes], **options: Any
    ) -> Lease:
        last = self._write("create")
        lease = await self._inner.create(started, events, bodies, **options)
        last()
        self._note_promise(0, [started, *events])
        return lease

    def append(
        self,
        lease: Lease,
        first_seq: int,
        events: Sequence[Event],
        bodies: Mapping[Ref, bytes],
        **options: Any,
    ) -> Awaitable[None]:
        last = self._write("append")
        durable = self._inner.append(lease, first_seq, events, bodies, **options)
        return self._acknowledge(durable, first_seq, list(events), last)

    async def _acknowledge(
        self, durable: Awaitable[None], first_seq: int, events: list[Event], last: Callable[[], None]
    ) -> None:
        await durable
        last()
        self._note_promise(first_seq, events)

    def _note_promise(self, first_seq: int, events: list[Event]) -> None:
        promise = Acknowledged(first_seq, len(events), digest_of(events))
        os.write(self._promises, msgspec.json.encode(promise) + b"\n")


def open_world(place: Path, death: Death | None) -> World:
    """Opens the world, which kills this process at the call that `death` names."""

    def on_call(number: int, done: bool) -> None:
        if death is None or death.where != "world":
            return
        if done == death.after and death.falls_on(number):
            death.strike()

    return World(place, on_call)


def open_journal(job: Job) -> SqliteJournal:
    """Opens the journal, on a disk that kills this process at the write that the job names."""
    options = SqliteOptions(lease_s=job.lease_s)
    if job.death is not None and job.death.where == "disk":
        options = SqliteOptions(lease_s=job.lease_s, vfs=job.death.mount_disk().name)
    return SqliteJournal.open(job.journal, clock=SystemClock(), options=options)


async def work(job: Job) -> Report:
    """Starts the run or goes on with it until it has ended, or until it waits and the job has no person."""
    world = open_world(job.world, job.death)
    team = desk(world, job.variant())
    journal: Any = DyingJournal(open_journal(job), job.death, job.promises)
    budget = Budget(tenant=Caps(model_calls=1_000, tool_calls=1_000, tokens=10**9)) if job.capped else None
    async with Seawall(journal, environment={}, budget=budget) as sea:
        rows = await journal.runs()
        if rows:
            run = await sea.resume(rows[0].run, team)
        else:
            run = await sea.start(team, REQUEST, request_id="request-1")
        settled = 0
        while isinstance(rest := await run.rest(), Waiting) and job.settles:
            await settle(sea, world, rest)
            settled += 1
        if isinstance(rest, Waiting):
            return Report(waiting=rest, settled=settled)
        return Report(outcome=rest, settled=settled)


async def settle(sea: Seawall, world: World, waiting: Waiting) -> None:
    """Decides the step that the run waits for: by what the world saw of its effect, or else with an approval."""
    events = await sea.journal.events(waiting.run)
    intents = [event for event in events if isinstance(event, StepIntended)]
    asked = next(step for step in intents if step.step == waiting.step)
    tried = [
        step.step
        for step in intents
        if step.kind == "tool" and step.perform and (step.frame, step.call) == (asked.frame, asked.call)
    ]
    happened = any(call.step in tried for call in world.calls("effect"))
    receipt = {"pay": PAID, "notify": "told"}[asked.name] if happened else None
    if not tried:
        await sea.decide(waiting.run, waiting.step, approve=True, by="person:1")
    elif happened:
        await sea.reconcile(waiting.run, step=waiting.step, committed=receipt, by="person:1")
    else:
        await sea.reconcile(waiting.run, step=waiting.step, failed="the world has none", by="person:1")


def run_worker(job: Job) -> None:
    """Does the job, and writes a report."""
    try:
        report = asyncio.run(work(job))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- the test reads it in the report
        report = Report(error=f"{type(error).__name__}: {error}")
    job.report.write_bytes(msgspec.json.encode(report))
