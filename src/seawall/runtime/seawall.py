"""`Seawall`: the public face of the runtime."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, cast

from msgspec.structs import replace

from seawall.core.canonical import Ref, check_recordable
from seawall.core.clock import Clock, SystemClock
from seawall.core.errors import Misused, SeawallBug
from seawall.core.events import GuardSet, Mode, RunStarted, refs_of
from seawall.core.ids import Ids
from seawall.core.limits import Limits, validate_limits
from seawall.core.redact import Redactor
from seawall.guards.budget import Budget
from seawall.guards.budget.guard import BudgetGuard
from seawall.guards.endpoints import EndpointOptions, Endpoints
from seawall.guards.pauses import Pauses, check_target
from seawall.guards.shared import Pause
from seawall.history.fork import fork_events
from seawall.history.recorded import fold_in_slices, read_events, read_outcome, read_state
from seawall.history.replay import Replay, replay
from seawall.journal.protocol import Backup, Command, Journal, Setting, SettingKind
from seawall.journal.sqlite import SqliteJournal
from seawall.journal.sqlite.signing import Signer, read_key
from seawall.models.protocol import Model, Price
from seawall.run.guard import Guard
from seawall.run.outcome import Outcome, Output_co
from seawall.run.state import RunState
from seawall.runtime.admission import Admission
from seawall.runtime.big_texts import compute_apart, list_recorded_texts, put_apart
from seawall.runtime.factory import Factory
from seawall.runtime.head_export import HeadExport, HeadExporter
from seawall.runtime.launcher import Launcher
from seawall.runtime.modes import AUTO, GuardModes, check_by, check_mode
from seawall.runtime.run import Run
from seawall.runtime.supervisor import Supervisor
from seawall.team.agent import Agent
from seawall.team.team import Team, as_team

MAX_REQUEST_CHARS = 1_000_000
"""Longest request: some 250,000 tokens, more than most models take. Longer texts belong into a tool's result."""

_log = logging.getLogger("seawall")


class Seawall:
    """Runs teams; an async context manager.

        async with Seawall("desk.db") as sea:
            run = await sea.start(desk, "Refund order 1042")
            outcome = await run.outcome()

    `journal` is a path, `:memory:`, or a `Journal`. `guards` replace the default ones (`Loops()`). A team adds its
    own guards; one of them replaces a guard with the same name. `modes` sets guards to `off`, `observe` or
    `enforce`. `models` makes a `Model` from a name such as `openai:gpt-5.2`; `prices` are by model name.
    `admission` bounds how many runs this process takes. `budget` caps what tenants and days may spend, in every
    process on the journal; without it, the caps that were recorded there last stay in force. `endpoints` are options
    by name, such as `tool:bank`. Values in `secrets`, and those of variables in `environment` (by default that of the
    process) whose names look like keys, never reach the journal. `signing_key` signs every batch of the journal: at
    least 16 bytes, or the `Path` of a file that holds them. `head_export` hands the newest hash of the journal's chain
    to somebody who keeps it. `clock` and `rng` are for tests.
    """

    def __init__(
        self,
        journal: str | Path | Journal = ":memory:",
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        guards: Sequence[Guard] | None = None,
        modes: Mapping[str, Mode] | None = None,
        models: Callable[[str], Model] | None = None,
        prices: Mapping[str, Price] | None = None,
        admission: Admission | None = None,
        endpoints: Mapping[str, EndpointOptions] | None = None,
        budget: Budget | None = None,
        secrets: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        signing_key: bytes | Path | None = None,
        head_export: HeadExport | None = None,
    ) -> None:
        for what, options, kind in (
            *(("admission", admission, Admission), ("budget", budget, Budget)),
            ("head_export", head_export, HeadExport),
        ):
            if options is not None and not isinstance(cast("object", options), kind):
                raise Misused(f"Seawall: {what} is {options!r}; it must be {kind.__name__}(…)")
        if not isinstance(journal, str | Path) and not callable(getattr(journal, "append", None)):
            raise Misused(f"Seawall: journal is {journal!r}; it must be a path, ':memory:' or a Journal")
        self._journal_option = journal
        key = None if signing_key is None else read_key(signing_key)
        self._signer = None if key is None else Signer(key)
        if key is not None and not isinstance(journal, str | Path):
            raise Misused("Seawall: signing_key goes with a path; a journal that is open already has its own")
        self._clock = clock = clock or SystemClock()
        rng = rng or random.Random(os.urandom(16))
        self._ids = Ids(clock, rng)
        self._code_modes: dict[str, Mode] = dict(modes or {})
        self._modes = GuardModes(clock)
        self._factory = Factory(
            clock=clock,
            guards=guards,
            models=models,
            prices=prices,
            redactor=Redactor.from_environment(
                os.environ if environment is None else environment,
                secrets if key is None else (*secrets, key.decode("utf-8", "replace")),
            ),
        )
        self._pauses = Pauses(clock)
        self._endpoints = Endpoints(clock=clock, rng=rng, options=endpoints)
        self._budget = BudgetGuard(clock, budget)
        self._exporter = None if head_export is None else HeadExporter(head_export, clock)
        self.supervisor = Supervisor(
            clock=clock,
            factory=self._factory,
            admission=admission or Admission(),
            modes=self._modes,
            pauses=self._pauses,
            budget=self._budget,
            shared=(self._pauses, self._endpoints, self._budget),
        )
        """Drives the runs of this process. For tests and tools that look inside; it may change with any version."""
        self._launcher = Launcher(self.supervisor)

    def __repr__(self) -> str:
        return f"<Seawall {self._journal_option!r} {len(self.supervisor.registry.drivers)} runs in flight>"

    # ---- opening and closing

    @property
    def journal(self) -> Journal:
        """The journal. Raises `Misused` before `open`."""
        return self.supervisor.journal

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints of this process and their breakers, to read: `sea.endpoints["tool:bank"].breaker`."""
        return self._endpoints

    async def open(self) -> Self:
        """Opens the journal. Raises `Misused` if it can't be used, and in a child that was forked while it was open."""
        if self.supervisor.closing:
            raise Misused("this Seawall is being closed: open it again once `close` has returned")
        if self.supervisor.is_open and self.supervisor.journal:
            return self
        journal = self._journal_option
        if isinstance(journal, str | Path):
            journal = SqliteJournal.open(str(journal), clock=self._clock, signer=self._signer)
        self.supervisor.attach(journal)
        await self._endpoints.open(journal)
        await self._budget.open(journal)
        await self.supervisor.inbox.open(journal)
        if self._exporter is not None:
            self._exporter.open(journal)
        return self

    async def close(self) -> None:
        """Gives up the runs in flight, which can be resumed, and closes the journal.

        Waits up to one second for tools that ignore cancellation, and as long for models that the Seawall made.
        """
        supervisor = self.supervisor
        if not supervisor.is_open or supervisor.closing or supervisor.is_copy:
            return
        journal, supervisor.closing = supervisor.journal, True
        async with AsyncExitStack() as stack:  # whatever one of these raises, the others are closed
            stack.callback(supervisor.detach)
            stack.callback(self._pauses.close)
            stack.push_async_callback(self._factory.close)
            stack.push_async_callback(journal.close)
            if self._exporter is not None:
                stack.push_async_callback(self._exporter.close)
            stack.push_async_callback(self._budget.close)
            stack.push_async_callback(self._endpoints.close)
            await supervisor.give_up_all()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---- starting

    async def start(
        self,
        team: Team[Output_co] | Agent[Output_co],
        request: str,
        *,
        session: str | None = None,
        tenant: str = "",
        principal: str = "",
        request_id: str | None = None,
        limits: Limits | None = None,
        modes: Mapping[str, Mode] | None = None,
        stream: bool = False,
        app: str | None = None,
    ) -> Run[Output_co]:
        """Starts a run and returns its handle. The run is recorded when this returns.

        `team`: an `Agent` alone is a team of one.
        `session`: the conversation that the run belongs to. Its runs are serial, so this run waits for the one
        before it. Once in line it stays there, also while the run before it waits for a person.
        `request_id`: the same id again returns the same run; it is `Misused` with another request, team, session or
        principal. `limits` replace those of the team.
        `stream`: `run.events()` also yields pieces of the coordinator's text; the outcome says that nobody checked
        them. `app`: the team's import path, for `seawall resume`.
        A caller that is cancelled meanwhile does not cancel the run; the same `request_id` returns it later. If
        `admission` has no free slot, the run is recorded and waits in line, which is not active time.
        Raises `Misused` for an empty request or an argument of another type; `Refused` if the line is full or the
        tenant is paused (with `retry_after_s`), if the session's last run waits or is interrupted, or if money is
        limited and a price is not known; `JournalFull`; `JournalFailed`.
        """
        team = as_team(team)
        _check_request(request)
        if not isinstance(cast("object", stream), bool):
            raise Misused(f"stream is {stream!r}; it must be True or False")
        if not isinstance(cast("object", modes), Mapping | None):
            raise Misused(f"modes is {modes!r}; it must map names of guards to modes")
        check_recordable(session=session, tenant=tenant, principal=principal, request_id=request_id, app=app)
        limits = validate_limits(limits) if limits is not None else team.limits
        usd_cap = self._budget.get_usd_cap(tenant) if self._budget.active else None
        self._factory.check(team, limits, usd_cap)
        bodies = self.supervisor.make_bodies(tenant, session)
        started = RunStarted(
            at=self._clock.wall_s(),
            run=self._ids.make_run_id(),
            team=team.name,
            team_version=team.version,
            agent=team.coordinator.name,
            intent=bodies.put(request),
            limits=limits,
            guards=self._modes.compute_start_modes(
                self._factory.get_guards(team), self._code_modes, modes or {}
            ),
            tenant=tenant,
            principal=principal,
            session=session,
            request_id=request_id,
            app=app,
            stream=stream,
        )
        launching = self.supervisor.start_task(self._launcher.launch(team, started, bodies))
        return await asyncio.shield(launching)

    async def attach(self, run_id: str) -> Run:
        """Returns a handle on a run, whichever process drives it. Raises `Misused` if there is no such run."""
        return await self._launcher.attach(run_id)

    # ---- going on

    async def resume(
        self, run_id: str, team: Team[Output_co] | Agent[Output_co], *, force: bool = False
    ) -> Run[Output_co]:
        """Goes on with a run after a crash, or after it waited, with today's team.

        Waits for the next slot if `admission` has none free; a run that has begun goes before new runs. Recorded
        steps are not made again. A read or model call that was in flight is made again. An effect is made again
        only if its tool is idempotent; otherwise its fate is `unknown`, and the run waits for a person.
        Raises `Refused` if a live process has the run (`force` takes the run from it), and `Misused` if there is no
        such run.
        """
        driver = await self.supervisor.take_up(run_id, as_team(team), force=force)
        return Run(self.supervisor, run_id, driver=driver)

    async def decide(
        self, run_id: str, step: int, *, approve: bool, by: str, reason: str = "", result: str | None = None
    ) -> None:
        """Decides on approval step `step` of a run that waits, from any process.

        For an effect whose fate is unknown, `approve` says that the effect happened, and `result` is its receipt.
        Raises `Misused` if the run does not wait for a decision on that step, or if `by` is empty.
        """
        check_by(f"run {run_id}, step {step}", by)
        state = await self.supervisor.read_state(run_id)
        waiting = [approval.step for approval in state.approvals]
        if step not in waiting:
            steps = ", ".join(map(str, waiting)) or "none"
            raise Misused(f"run {run_id}: step {step} does not wait for a decision (waiting: {steps})")
        bodies = self.supervisor.make_bodies()
        await put_apart(result or "", bodies)
        output = None if result is None else bodies.put(result)
        command = Command(
            kind="decide", by=by, reason=bodies.redact(reason), step=step, approved=approve, output=output
        )
        await self.send(run_id, command, bodies.unsaved())

    async def backup(self, path: str | Path, *, force: bool = False) -> Backup:
        """Copies the journal to a new file while runs go on, with its high-water mark, and verifies the copy.

        `path` has the whole copy or, if anything fails, what it had before. Do not open a journal with another copy of
        SQLite, such as Python's `sqlite3`, in a process that has it open: see the page on keeping a journal. Raises
        `Misused` if there is a file at `path` (`force` replaces it), `JournalFull`, and `JournalFailed`.
        """
        return await self.journal.backup(str(path), force=force)

    async def replay(
        self,
        run_id: str,
        team: Team | Agent,
        *,
        limits: Limits | None = None,
        modes: Mapping[str, Mode] | None = None,
    ) -> Replay:
        """Decides again over a recorded run, with today's team and guards. Performs nothing.

        `limits` replace the recorded limits, `modes` the recorded modes. Raises `Misused` if there is no such run,
        if its events were pruned, or if its texts were erased.
        """
        team = as_team(team)
        events = await read_events(self.journal, run_id)
        state = await fold_in_slices(events)
        used_limits = validate_limits(limits) if limits is not None else state.started.limits
        bodies = self.supervisor.make_bodies()
        bodies.load(await self.journal.bodies(state.started.tenant, refs_of(events)))
        if bodies.missing(refs_of(events)):  # today's code can't decide over texts that it can't read
            raise Misused(f"run {run_id}: its texts were erased, so nothing can be decided over them again")
        history = await self.supervisor.sessions.load_messages(
            self.journal, state.started.tenant, state.history, bodies
        )
        logic = self._factory.make_logic(team, bodies, history)
        guards = self._factory.get_guards(team)
        start_modes = self._modes.compute_start_modes(guards, state.started.guards, modes or {})
        events[0] = replace(state.started, guards=start_modes)
        for seq, event in enumerate(events):
            if isinstance(event, GuardSet) and event.guard in (modes or {}):
                events[seq] = replace(event, mode=start_modes[event.guard])
        await compute_apart(list_recorded_texts(team, run_id, events, bodies), bodies)
        return await replay(events, logic, guards, used_limits, bodies)

    async def fork(
        self,
        run_id: str,
        team: Team[Output_co] | Agent[Output_co],
        *,
        at: int,
        result: str | None = None,
        live_effects: bool = False,
        app: str | None = None,
    ) -> Run[Output_co]:
        """Goes on live from the result of step `at`, as a new run. `result` replaces the result of that step.

        Effects are simulated unless `live_effects`. `app` is the team's import path, if it is not the recorded one.
        Raises `Misused` for a step after which no fork is possible, and if the run's events were pruned.
        """
        team = as_team(team)
        events = await read_events(self.journal, run_id)
        bodies = self.supervisor.make_bodies()
        await put_apart(result or "", bodies)
        changed = None if result is None else (bodies.put(result), result)
        begin = fork_events(
            events,
            at,
            run=self._ids.make_run_id(),
            now=self._clock.wall_s(),
            result=changed,
            live_effects=live_effects,
        )
        started = begin[0]
        if not isinstance(started, RunStarted):
            raise SeawallBug("a fork begins with RunStarted")
        started = replace(started, app=app or started.app)
        if started.agent not in team.members:  # a fork that can't go on is not recorded
            members = ", ".join(team.members)
            raise Misused(
                f"team {team.name!r} has no agent {started.agent!r}, which leads run {run_id} (agents: {members})"
            )
        self._factory.check(team, started.limits, self._budget.get_usd_cap(started.tenant))
        await fold_in_slices([started, *begin[1:]], self._factory.get_guards(team))
        lease = await self.journal.create(started, begin[1:], bodies.unsaved(), take=False)
        return await self.resume(lease.run, team)

    # ---- reading

    async def state(self, run_id: str) -> RunState:
        """Returns the run's state as it is recorded. Raises `Misused` if its events were pruned."""
        return await read_state(self.journal, run_id)

    async def outcome(self, run_id: str) -> Outcome:
        """Returns the outcome of a run that has ended, from the journal; of a pruned run, what its row says."""
        return await read_outcome(self.journal, run_id)

    # ---- commands

    async def send(self, run_id: str, command: Command, bodies: Mapping[Ref, bytes] | None = None) -> None:
        """Puts a command into a run's inbox, and delivers it if this process has the run."""
        await self.supervisor.send(run_id, command, bodies)

    async def cancel(self, run_id: str, command: Command) -> None:
        """Tells a run's owner to end it. A run that no process drives is taken up and ended here."""
        await self.supervisor.cancel(run_id, command)

    # ---- live settings

    async def set_guard(
        self,
        guard: str,
        mode: Mode | Literal["auto"],
        *,
        by: str,
        why: str = "",
        for_s: float | None = None,
    ) -> None:
        """Sets the mode of a guard live, for all runs on this journal: those in flight and those to come.

        `auto` goes back to the mode in the code; with `for_s` that happens after so many seconds. The journal records
        `by` and `why`. A guard that this process does not know is set all the same, with a warning in the log: it may
        belong to a team of another process. Raises `Misused` if `by` is empty or `mode` is not a mode.
        """
        if mode != AUTO:
            check_mode(guard, mode)
        await self._set("guard", guard, mode, by, why, for_s)
        if names := self._modes.list_alternatives(guard, self._factory.own_guards):
            _log.warning("guard %r was set, and this process knows only: %s", guard, ", ".join(names))

    async def pause(self, what: str, *, by: str, why: str = "", for_s: float | None = None) -> None:
        """Pauses `what` in all processes on this journal: no step of it begins any more.

        `what` is `tool:refund`, `agent:clerk`, `tenant:acme`, `run:r-…` or `all`. Steps in flight go on to their end.
        A run that can do nothing else is parked: its clock stands still, and it goes on when the pause is lifted, or
        after `for_s` seconds. New runs are `Refused` if their tenant or `all` is paused. Raises `Misused` for a `what`
        that can't be paused, an unknown run, an empty `by`, or a `for_s` that is not above zero.
        """
        check_target(what)
        kind, _, name = what.partition(":")
        if kind == "run":
            await self.journal.row(name)
        await self._set("pause", what, "on", by, why, for_s)

    async def unpause(self, what: str, *, by: str, why: str = "") -> None:
        """Lifts the pause of `what`. Raises `Misused`, which names what is paused, if there is no such pause."""
        check_target(what)
        await self.supervisor.inbox.refresh_settings()
        if self._pauses.get(what) is None:
            paused = ", ".join(pause.what for pause in self._pauses.list_pauses()) or "nothing"
            raise Misused(f"{what!r} is not paused (paused: {paused})")
        await self._set("pause", what, "off", by, why, None)

    async def pauses(self) -> list[Pause]:
        """Returns the pauses in force, oldest first."""
        await self.supervisor.inbox.refresh_settings()
        return self._pauses.list_pauses()

    async def _set(
        self, kind: SettingKind, name: str, value: str, by: str, why: str, for_s: float | None
    ) -> None:
        check_by(f"{kind} {name!r}", by)
        if not isinstance(cast("object", for_s), int | float | None) or not (for_s is None or for_s > 0):
            raise Misused(f"{kind} {name!r}: for_s is {for_s!r}; it must be a number of seconds above zero")
        now, redact = self._clock.wall_s(), self.supervisor.make_bodies().redact
        until = None if for_s is None else now + for_s
        by, why = redact(by), redact(why)
        setting = Setting(kind=kind, name=name, value=value, by=by, why=why, at=now, until=until)
        await self.journal.set(setting)
        await self.supervisor.inbox.refresh_settings()


def _check_request(request: str) -> None:
    """Raises `Misused` for a request that is not a text, is empty, or is too long."""
    check_recordable(request=request)
    if not request.strip():
        raise Misused(f"the request is empty (got {request!r})")
    if len(request) > MAX_REQUEST_CHARS:
        raise Misused(f"the request has {len(request):,} characters (limit {MAX_REQUEST_CHARS:,})")
