"""`Seawall`: what can be asked of the runtime."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from seawall.history.recorded import read_events, read_outcome, read_state
from seawall.history.replay import Replay, replay
from seawall.journal.protocol import Command, Journal, Setting, SettingKind
from seawall.journal.sqlite import SqliteJournal
from seawall.models.protocol import Model, Price
from seawall.run.fold import fold
from seawall.run.guard import Guard
from seawall.run.outcome import Outcome, Output_co
from seawall.run.state import RunState
from seawall.runtime.admission import Admission
from seawall.runtime.factory import Factory
from seawall.runtime.launcher import Launcher
from seawall.runtime.modes import AUTO, GuardModes, check_by, check_mode
from seawall.runtime.run import Run
from seawall.runtime.supervisor import Supervisor
from seawall.team.agent import Agent
from seawall.team.team import Team, as_team

MAX_REQUEST_CHARS = 1_000_000
"""Of a request: some 250,000 tokens, more than most models take. What is longer belongs into a tool's result."""

_log = logging.getLogger("seawall")


class Seawall:
    """Runs teams; an async context manager.

        async with Seawall("desk.db") as sea:
            run = await sea.start(desk, "Refund order 1042")
            outcome = await run.outcome()

    `journal` is a path, `:memory:`, or a `Journal`. `guards` replace the default ones (`Loops()`); a team's
    own guards are added, and take the place of one with the same name. `modes` sets guards to `off`,
    `observe` or `enforce`. `models` makes a `Model` of a name such as `openai:gpt-5.2`; `prices` are by
    model name. `admission` bounds how many runs this process takes, `budget` what tenants and days may spend,
    in every process on the journal: without one, what was recorded there last holds. `endpoints` are by name, such
    as `tool:bank`. Values in `secrets`, and of variables in `environment` (that of the process by default) named
    like a key, never reach the journal. `clock` and `rng` are for tests.
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
    ) -> None:
        for what, options, kind in (("admission", admission, Admission), ("budget", budget, Budget)):
            if options is not None and not isinstance(cast("object", options), kind):
                raise Misused(f"Seawall: {what} is {options!r}; it must be {kind.__name__}(…)")
        self._given = journal
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
            redactor=Redactor.from_environment(os.environ if environment is None else environment, secrets),
        )
        self._pauses = Pauses(clock)
        self._endpoints = Endpoints(clock=clock, rng=rng, options=endpoints)
        self._budget = BudgetGuard(clock, budget)
        self.supervisor = Supervisor(
            clock=clock,
            factory=self._factory,
            admission=admission or Admission(),
            modes=self._modes,
            pauses=self._pauses,
            budget=self._budget,
            shared=(self._pauses, self._endpoints, self._budget),
        )
        """What drives runs here, for tests and tools that look inside; it may change with any version."""
        self._launcher = Launcher(self.supervisor)

    def __repr__(self) -> str:
        return f"<Seawall {self._given!r} {len(self.supervisor.registry.drivers)} runs in flight>"

    # ---- opening and closing

    @property
    def journal(self) -> Journal:
        """The journal. Raises `Misused` before `open`."""
        return self.supervisor.journal

    @property
    def endpoints(self) -> Endpoints:
        """The breakers of this process, to be looked at: `sea.endpoints["tool:bank"].breaker`."""
        return self._endpoints

    async def open(self) -> Self:
        """Opens the journal. Raises `Misused` if it can't be used."""
        if self.supervisor.is_open:
            return self
        journal = self._given
        if isinstance(journal, str | Path):
            journal = SqliteJournal.open(str(journal), clock=self._clock)
        self.supervisor.attach(journal)
        await self._endpoints.open(journal)
        await self._budget.open(journal)
        await self.supervisor.inbox.open(journal)
        return self

    async def close(self) -> None:
        """Gives up what is in flight (it can be resumed), and closes the journal.

        Tools that ignore cancellation are waited for one second and then let go.
        """
        supervisor = self.supervisor
        if not supervisor.is_open or supervisor.closing:
            return
        journal, supervisor.closing = supervisor.journal, True
        try:
            await supervisor.give_up_all()
        finally:
            try:
                await self._endpoints.close()
                await self._budget.close()
                await journal.close()
                await self._factory.close()
            finally:
                self._pauses.close()
                supervisor.detach()

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
        """Start a run and give its handle; the run is recorded when this returns.

        `team`: an `Agent` alone is a team of one.
        `session`: the conversation it belongs to; its runs are serial, so this one waits for the one before,
        and once it is in line it stays there, also while that one waits for a person.
        `request_id`: the same one again gives the same run. `limits` take the place of the team's.
        `stream`: `run.events()` brings pieces of the coordinator's text, which the outcome marks as unchecked.
        `app`: the team's import path, for `seawall resume`. A caller that is cancelled meanwhile does not
        take the run with it: its `request_id` brings it back. Where `admission` has no place free the run
        waits in line, recorded; that is not active time.
        Raises `Misused` for an empty request or an argument of another type; `Refused` if the line is full or the
        tenant is paused (with `retry_after_s`), the session's last run waits or is interrupted, or a price is not known and money
        limited; `JournalFull`, `JournalFailed`.
        """
        team = as_team(team)
        _check_request(request)
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
        launching = self.supervisor.keep(self._launcher.launch(team, started, bodies))
        return await asyncio.shield(launching)

    async def attach(self, run_id: str) -> Run:
        """Returns a handle on a run, wherever it is driven. Raises `Misused` if there is no such run."""
        return await self._launcher.attach(run_id)

    # ---- going on

    async def resume(
        self, run_id: str, team: Team[Output_co] | Agent[Output_co], *, force: bool = False
    ) -> Run[Output_co]:
        """Go on with a run after a crash, or after it waited, with today's team. Where `admission` has no place
        free this waits for the next one: what was begun goes before what is new.

        Recorded steps are not made again. A read or model call that was in flight is; an effect is only if
        its tool is idempotent, else its fate is `unknown` and the run waits for a person.
        Raises `Refused` if a live process has the run (`force` takes it from that one), `Misused` if there
        is no such run.
        """
        driver = await self.supervisor.take_up(run_id, as_team(team), force=force)
        return Run(self.supervisor, run_id, driver=driver)

    async def decide(
        self, run_id: str, step: int, *, approve: bool, by: str, reason: str = "", result: str | None = None
    ) -> None:
        """Decide on approval step `step` of a run that waits, from any process.

        For an effect whose fate is unknown, `approve` says that it happened, and `result` is its receipt.
        Raises `Misused` if the run does not wait for a decision on that step, or if `by` is empty.
        """
        check_by(f"run {run_id}, step {step}", by)
        state = await self.state(run_id)
        waiting = [approval.step for approval in state.approvals]
        if step not in waiting:
            there = ", ".join(map(str, waiting)) or "none"
            raise Misused(f"run {run_id}: step {step} waits for no decision (waiting: {there})")
        bodies = self.supervisor.make_bodies()
        output = None if result is None else bodies.put(result)
        command = Command(
            kind="decide", by=by, reason=bodies.redact(reason), step=step, approved=approve, output=output
        )
        await self.send(run_id, command, bodies.unsaved())

    async def replay(
        self,
        run_id: str,
        team: Team | Agent,
        *,
        limits: Limits | None = None,
        modes: Mapping[str, Mode] | None = None,
    ) -> Replay:
        """Decide again over a recorded run with today's team and guards; nothing is performed.

        `limits` take the place of the recorded ones, `modes` of the recorded modes. Raises `Misused` if
        there is no such run, if its events were pruned, or if its texts were erased.
        """
        team = as_team(team)
        events = await read_events(self.journal, run_id)
        state = fold(events)
        spend = validate_limits(limits) if limits is not None else state.started.limits
        bodies = self.supervisor.make_bodies()
        bodies.load(await self.journal.bodies(state.started.tenant, refs_of(events)))
        if bodies.missing(refs_of(events)):  # today's code can't decide the same over what it can't read
            raise Misused(f"run {run_id}: its texts were erased, so nothing can be decided over them again")
        history = await self.supervisor.sessions.load_messages(
            self.journal, state.started.tenant, state.history, bodies
        )
        logic = self._factory.make_logic(team, bodies, history)
        guards = self._factory.get_guards(team)
        known = self._modes.compute_start_modes(guards, state.started.guards, modes or {})
        events[0] = replace(state.started, guards=known)
        for seq, event in enumerate(events):
            if isinstance(event, GuardSet) and event.guard in (modes or {}):
                events[seq] = replace(event, mode=known[event.guard])
        return replay(events, logic, guards, spend, bodies)

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
        """Go on live from the result of step `at`, as a new run; `result` changes what that step came to.

        Effects are simulated unless `live_effects`. `app` is the team's import path, if it is not the
        recorded one. Raises `Misused` for a step that can't be forked at, and if the
        run's events were pruned.
        """
        team = as_team(team)
        events = await read_events(self.journal, run_id)
        bodies = self.supervisor.make_bodies()
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
            there = ", ".join(team.members)
            raise Misused(
                f"team {team.name!r} has no agent {started.agent!r}, who leads run {run_id} (there: {there})"
            )
        self._factory.check(team, started.limits, self._budget.get_usd_cap(started.tenant))
        fold([started, *begin[1:]], self._factory.get_guards(team))
        lease = await self.journal.create(started, begin[1:], bodies.unsaved(), take=False)
        return await self.resume(lease.run, team)

    # ---- looking

    async def state(self, run_id: str) -> RunState:
        """Returns the run's state as it is recorded. Raises `Misused` if its events were pruned."""
        return await read_state(self.journal, run_id)

    async def outcome(self, run_id: str) -> Outcome:
        """Returns the outcome of a run that has ended, from the journal; of a pruned one what its row says."""
        return await read_outcome(self.journal, run_id)

    # ---- commands

    async def send(self, run_id: str, command: Command, bodies: Mapping[Ref, bytes] | None = None) -> None:
        """Puts a command into a run's inbox, and delivers it if the run is here."""
        await self.supervisor.send(run_id, command, bodies)

    async def cancel(self, run_id: str, command: Command) -> None:
        """Has a run's owner end it; a run that nobody drives is taken up and ended here."""
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
        """Switch a guard for all runs on this journal, live: those in flight and those to come.

        `auto` goes back to what the code says, `for_s` does so after so many seconds. Recorded with `by` and `why`.
        A name that this process knows no guard by is recorded all the same, with a warning in the log: the
        guard may be one of another process's teams. Raises `Misused` if `by` is empty or `mode` is none.
        """
        if mode != AUTO:
            check_mode(guard, mode)
        await self._set("guard", guard, mode, by, why, for_s)
        if known := self._modes.list_alternatives(guard, self._factory.own_guards):
            _log.warning("guard %r was set, and this process knows only: %s", guard, ", ".join(known))

    async def pause(self, what: str, *, by: str, why: str = "", for_s: float | None = None) -> None:
        """Put a brake on `what`, in all processes on this journal: no step that it holds begins any more.

        `what` is `tool:refund`, `agent:clerk`, `tenant:acme`, `run:r-…` or `all`. Steps in flight go on to
        their end. A run that can do nothing else is parked: its clock stands still, and it goes on when the
        brake is lifted, or after `for_s` seconds. New runs of a paused tenant, or with `all`, are `Refused`.
        Raises `Misused` for a `what` that is nothing, an unknown run, an empty `by`, a `for_s` not above zero.
        """
        check_target(what)
        kind, _, name = what.partition(":")
        if kind == "run":
            await self.journal.row(name)
        await self._set("pause", what, "on", by, why, for_s)

    async def unpause(self, what: str, *, by: str, why: str = "") -> None:
        """Lift the brake on `what`. Raises `Misused` if there is none, naming what is paused."""
        check_target(what)
        await self.supervisor.inbox.deliver()
        if self._pauses.get(what) is None:
            there = ", ".join(pause.what for pause in self._pauses.list_pauses()) or "nothing"
            raise Misused(f"{what!r} is not paused (paused: {there})")
        await self._set("pause", what, "off", by, why, None)

    async def pauses(self) -> list[Pause]:
        """The brakes that are on, oldest first."""
        await self.supervisor.inbox.deliver()
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
        await self.supervisor.inbox.deliver()


def _check_request(request: str) -> None:
    """Raise `Misused` for one that is no text, empty, or too long."""
    check_recordable(request=request)
    if not request.strip():
        raise Misused(f"the request is empty (got {request!r})")
    if len(request) > MAX_REQUEST_CHARS:
        raise Misused(f"the request has {len(request):,} characters (limit {MAX_REQUEST_CHARS:,})")
