"""What a process of these tests does: it starts runs, decides, reconciles, or goes on with what was begun.

`python -m effects.job` is a fork server of such processes, see `crash.forking`.
"""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path
from typing import Any, Literal

import msgspec

from crash.forking import MAX_LIFE_S, Forks, serve
from crash.job import Death, DyingJournal
from effects import people
from effects.desk import REQUEST, Ask, Dying, Place, Terms, desk
from effects.people import Decision, Shown
from effects.world.client import Teller
from seawall import Outcome, Run, Seawall, SeawallError, Team, Waiting
from seawall.core.clock import SystemClock
from seawall.journal.sqlite import SqliteJournal, SqliteOptions

MAX_ROUNDS = 12
"""More decisions than any of these runs needs, one after another."""
CLOSER = "bob"
Task = Literal[
    "start",  # makes a run for each request, and waits until each rests
    "go_on",  # takes up each run that has not ended, and waits until it rests
    "decide",  # people decide on what they see
    "race",  # somebody decides on each proposal at the same moment as another process
    "reconcile",  # somebody asks the bank about effects of unknown fate, and says what it knows
    "allow_again",  # somebody allows another one of each effect that is committed
    "undo",  # somebody undoes each effect that is committed
    "look",  # reads alone
    "time",  # measures how long it takes to list proposals
    "follow",  # waits for the end of every run, whoever drives it
    "cancel",  # ends every run
    "close",  # does all that is to be done until every run has ended
]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one process has to do, and where its journal and its bank are."""

    directory: str
    port: int
    task: Task
    terms: Terms = Terms()
    replies: tuple[tuple[Ask, ...], ...] = ()
    plans: dict[str, tuple[tuple[Ask, ...], ...]] = msgspec.field(default_factory=dict[str, Any])
    summary: str = ""
    requests: tuple[str, ...] = (REQUEST,)
    at_once: int = 1
    session: str | None = None
    tenant: str = ""
    app: str | None = None
    principal: str = people.REQUESTER
    fork_at: int | None = None
    """Each run that has ended is forked after this step, with live effects."""
    decisions: tuple[Decision, ...] = ()
    clock_ahead_s: float = 0.0
    """So much is this process's wall clock ahead of the right time."""
    meets: str = ""
    """It waits for another process at this point, once its journal is open."""
    death: Death | None = None
    max_life_s: int = MAX_LIFE_S
    name: str = "0"
    seed: int | None = None
    """Of the runs' ids; None: they are drawn by chance."""
    lease_s: float = 30.0

    @property
    def journal(self) -> str:
        """The journal's file."""
        return str(Path(self.directory) / "journal.db")

    @property
    def promises(self) -> Path:
        """The file of what the journal acknowledged."""
        return Path(self.directory) / "promises"

    @property
    def report(self) -> Path:
        """The file of the process's report."""
        return Path(self.directory) / f"report-{self.name}"


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run has come to rest."""

    run: str
    status: str
    """Of its outcome, or `waits`."""
    waits_for: str = ""
    answer: str | None = None
    effects: tuple[tuple[str, str], ...] = ()


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An effect as the journal has it."""

    id: str
    key: str
    tool: str
    order: str
    state: str
    receipt: str | None
    run: str
    settled_by: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a process reports when it ends by itself."""

    rests: tuple[Rest, ...] = ()
    said: tuple[str, ...] = ()
    """What came of each decision: `ok`, or the error."""
    proposals: tuple[Shown, ...] = ()
    """Those that are open, once it is done."""
    effects: tuple[Recorded, ...] = ()
    refused: tuple[str, ...] = ()
    """Requests that were refused."""
    writes: tuple[str, ...] = ()
    calls: int = 0
    took_s: float = 0.0
    """How long the task took, without what it takes to open and close the journal."""
    done_s: float = 0.0
    """When it was done, by the machine's monotonic clock."""
    error: str | None = None


class Clock(SystemClock):
    """A clock whose wall time is wrong."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead_s = ahead_s

    def wall_s(self) -> float:
        """Returns the wrong time."""
        return super().wall_s() + self._ahead_s


class Worker:
    """The one process of a job."""

    def __init__(self, job: Job) -> None:
        death = job.death
        at = death.at if death is not None and death.where == "world" else 0
        self.job = job
        self.dying = Dying(at, after=death is not None and death.after)
        self.teller = Teller(job.port)
        self.clock = Clock(job.clock_ahead_s)
        inner = SqliteJournal.open(job.journal, clock=self.clock, options=SqliteOptions(lease_s=job.lease_s))
        self.journal = DyingJournal(inner, death, job.promises)
        place = Place(self.teller, self.dying, job.terms)
        self.team: Team = desk(place, job.replies, summary=job.summary, plans=job.plans)
        self._taken: dict[str, Run] = {}
        """The runs that this process has taken up: it goes on with them after each decision."""
        self._options: dict[str, Any] = {}
        if not job.terms.plain:
            self._options = {"authenticate": people.authenticate, "link_key": people.LINK_KEY}
        if job.task == "undo":  # the tool says how it is undone
            self._options["teams"] = [self.team]

    async def work(self) -> Report:
        """Does the job."""
        job, journal = self.job, self.journal
        given: Any = journal
        rng = None if job.seed is None else random.Random(f"{job.seed} {job.name} {job.task}")
        async with Seawall(given, clock=self.clock, rng=rng, environment={}, **self._options) as sea:
            if job.meets:
                await self.teller.meet(job.meets, 2)
            began_s = self.clock.monotonic_s()
            report = await getattr(self, f"_{job.task}")(sea)
            done_s = self.clock.monotonic_s()
            report = msgspec.structs.replace(report, took_s=done_s - began_s, done_s=done_s)
            if not job.terms.plain and job.task != "time":
                report = msgspec.structs.replace(
                    report, proposals=await _list_proposals(sea), effects=await _list_effects(sea)
                )
            return msgspec.structs.replace(report, writes=tuple(journal.writes), calls=self.dying.count)

    async def _start(self, sea: Seawall) -> Report:
        places = asyncio.Semaphore(self.job.at_once)
        refused: list[str] = []

        async def start(number: int, request: str) -> Rest | None:
            async with places:
                try:
                    run = await sea.start(
                        self.team,
                        request,
                        request_id=f"{self.job.name}-{number}",
                        session=self.job.session,
                        tenant=self.job.tenant,
                        principal=self.job.principal,
                        app=self.job.app,
                    )
                except SeawallError as error:
                    refused.append(str(error))
                    return None
                self._taken[run.id] = run
                rest = _describe(run.id, await run.rest())
                if self.job.fork_at is not None:
                    forked = await sea.fork(run.id, self.team, at=self.job.fork_at, live_effects=True)
                    await forked.rest()
                return rest

        rests = await asyncio.gather(*(start(*each) for each in enumerate(self.job.requests)))
        # of errands, which nobody else waits for
        while drivers := list(sea.supervisor.registry.drivers.values()):
            await asyncio.wait([driver.finished for driver in drivers])
        return Report(rests=tuple(rest for rest in rests if rest is not None), refused=tuple(refused))

    async def _go_on(self, sea: Seawall) -> Report:
        rests: list[Rest] = []
        for row in reversed(await sea.journal.runs(limit=10_000)):
            if row.summary is None:
                if row.run not in self._taken:
                    self._taken[row.run] = await sea.resume(row.run, self.team)
                rests.append(_describe(row.run, await self._taken[row.run].rest()))
            else:
                rests.append(_describe(row.run, await sea.outcome(row.run)))
        return Report(rests=tuple(rests))

    async def _decide(self, sea: Seawall) -> Report:
        said: list[str] = []
        for decision in self.job.decisions:
            if self.job.terms.plain:
                for row in await sea.journal.runs():
                    if row.summary is None:
                        said += await self._decide_plainly(sea, row.run, decision.who)
            else:
                said += await people.decide(sea, decision, self.team)
        return Report(said=tuple(said))

    async def _race(self, sea: Any) -> Report:
        (decision,) = self.job.decisions
        listed = sorted(await sea.approvals(limit=1_000), key=lambda approval: approval.id)
        said: list[str] = []
        for approval in listed:
            await self.teller.meet(f"{self.job.meets} {approval.id}", 2)
            said.append(await people.decide_one(sea, approval, decision))
        return Report(said=tuple(said))

    async def _time(self, sea: Any) -> Report:
        return Report(said=tuple(approval.id for approval in await sea.approvals(limit=100)))

    async def _reconcile(self, sea: Seawall) -> Report:
        if self.job.terms.plain:
            return await self._decide(sea)
        said = await people.reconcile(sea, self.teller, self.job.decisions[0].who)
        return Report(said=tuple(said))

    async def _decide_plainly(self, sea: Seawall, run: str, who: str) -> list[str]:
        rest = await (await sea.attach(run)).rest()
        return [await people.decide_plainly(sea, self.teller, rest, who)] if isinstance(rest, Waiting) else []

    async def _allow_again(self, sea: Any) -> Report:
        return await self._with_committed(sea.effects, sea.allow_again)

    async def _undo(self, sea: Any) -> Report:
        return await self._with_committed(sea.effects, sea.undo)

    async def _with_committed(self, effects: Any, act: Any) -> Report:
        said: list[str] = []
        for effect in await effects(status="committed"):
            try:
                await act(effect.id, credential=people.credential(self.job.decisions[0].who))
                said.append("ok")
            except SeawallError as error:
                said.append(f"{type(error).__name__}: {error}")
        return Report(said=tuple(said))

    async def _follow(self, sea: Seawall) -> Report:
        rows = reversed(await sea.journal.runs())
        runs = [await sea.attach(row.run) for row in rows]
        return Report(rests=tuple([_describe(run.id, await run.outcome()) for run in runs]))

    async def _cancel(self, sea: Seawall) -> Report:
        for row in await sea.journal.runs():
            if row.summary is None:
                run = await sea.attach(row.run)
                await run.cancel(by="carol")
        return await self._follow(sea)

    async def _look(self, sea: Seawall) -> Report:
        return Report()

    async def _close(self, sea: Seawall) -> Report:
        report = Report() if await sea.journal.runs() else await self._start(sea)
        for _ in range(MAX_ROUNDS):
            report = await self._go_on(sea)
            waiting = [rest for rest in report.rests if rest.status == "waits"]
            if not waiting:
                return report
            if self.job.terms.plain:
                for rest in waiting:
                    await self._decide_plainly(sea, rest.run, CLOSER)
            else:
                for who in ("alice", "bob"):
                    await people.decide(sea, Decision(who=who))
                await people.reconcile(sea, self.teller, CLOSER)
        return msgspec.structs.replace(report, error=f"runs still wait after {MAX_ROUNDS} rounds")


def _describe(run: str, rest: Outcome | Waiting) -> Rest:
    if isinstance(rest, Waiting):
        return Rest(run=run, status="waits", waits_for=rest.kind)
    effects = tuple((effect.tool, effect.state) for effect in rest.effects)
    return Rest(run=run, status=rest.status, answer=rest.answer, effects=effects)


async def _list_proposals(sea: Any) -> tuple[Shown, ...]:
    return tuple(people.show(each) for each in await sea.approvals(limit=1_000))


async def _list_effects(sea: Any) -> tuple[Recorded, ...]:
    return tuple(
        Recorded(
            id=each.id,
            key=each.key,
            tool=each.tool,
            order=str((each.arguments or {}).get("order_id", "")),
            state=each.state,
            receipt=each.receipt,
            run=each.run,
            settled_by=each.settled_by,
        )
        for each in await sea.effects()
    )


def run_worker(job: Job) -> None:
    """Does the job, and writes a report."""
    signal.alarm(job.max_life_s)

    async def work() -> Report:
        return await Worker(job).work()

    try:
        report = asyncio.run(work())
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- the test reads it in the report
        report = Report(error=f"{type(error).__name__}: {error}")
    job.report.write_bytes(msgspec.json.encode(report))


class Processes(Forks[Job, Report]):
    """The fork server as a test sees it."""

    def __init__(self) -> None:
        super().__init__("effects.job", Report)

    def do(self, job: Job) -> Report:
        """Runs a process to its end; returns its report."""
        report = self.run(msgspec.structs.replace(job, death=None))
        assert report is not None
        assert report.error is None, report.error
        return report


if __name__ == "__main__":
    serve(Job, run_worker)
