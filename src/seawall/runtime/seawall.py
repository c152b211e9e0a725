"""`Seawall`: what can be asked of it. What it owns is in `runtime/supervisor.py`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from functools import partial
from typing import Literal, cast

import msgspec

from seawall.core.canonical import check_recordable
from seawall.core.errors import Misused, Refused, SeawallBug
from seawall.core.events import Event, GuardSet, Mode, RunStarted, RunTaken, refs_of
from seawall.core.limits import Limits, validate_limits
from seawall.engine.in_doubt import close_in_doubt
from seawall.guards.pauses import check_target
from seawall.guards.shared import Pause
from seawall.history.fork import fork_events
from seawall.history.recorded import read_events
from seawall.history.replay import Replay, replay
from seawall.journal.protocol import Command, Lease, Setting, SettingKind
from seawall.run.bodies import Bodies
from seawall.run.fold import fold
from seawall.run.state import RunState
from seawall.runtime.executor import honours_key
from seawall.runtime.launcher import Launcher
from seawall.runtime.modes import AUTO, check_by, check_mode
from seawall.runtime.recovery import make_placeholder_team
from seawall.runtime.run import Run
from seawall.runtime.sessions import Past
from seawall.team.agent import Agent
from seawall.team.team import Team, as_team

MAX_REQUEST_CHARS = 1_000_000
"""Of a request: some 250,000 tokens, more than most models take. What is longer belongs into a tool's result."""

_log = logging.getLogger("seawall")


class Seawall(Launcher):
    """Runs teams; an async context manager.

        async with Seawall("desk.db") as sea:
            run = await sea.start(desk, "Refund order 1042")
            outcome = await run.outcome()

    `journal` is a path, `:memory:`, or a `Journal`. `guards` replace the default ones (`Loops()`); a team's
    own guards are added, and take the place of one with the same name. `modes` sets guards to `off`,
    `observe` or `enforce`. `models` makes a `Model` of a name such as `openai:gpt-5.2`; `prices` are by
    model name. `admission` bounds how many runs this process takes, `budget` what tenants and days may spend,
    in every process on the journal: without one, what was recorded there last holds.
    Values in `secrets`, and of environment variables named like a key, never reach the journal.
    """

    # ---- starting

    async def start(
        self,
        team: Team | Agent,
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
    ) -> Run:
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
        spend = validate_limits(limits) if limits is not None else team.limits
        self._shop.check(team, spend, self._accounts.usd_cap(tenant))
        bodies = self._shop.bodies(tenant, session)
        started = RunStarted(
            at=self._clock.wall_s(),
            run=self._ids.run(),
            team=team.name,
            team_version=team.version,
            agent=team.coordinator.name,
            intent=bodies.put(request),
            limits=spend,
            guards=self._switches.at_start(self._shop.guards(team), self._modes, modes or {}),
            tenant=tenant,
            principal=principal,
            session=session,
            request_id=request_id,
            app=app,
            stream=stream,
        )
        entering = self._keep(self._enter(team, started, bodies))
        return await asyncio.shield(entering)

    # ---- going on

    async def resume(self, run_id: str, team: Team | Agent, *, force: bool = False) -> Run:
        """Go on with a run after a crash, or after it waited, with today's team. Where `admission` has no place
        free this waits for the next one: what was begun goes before what is new.

        Recorded steps are not made again. A read or model call that was in flight is; an effect is only if
        its tool is idempotent, else its fate is `unknown` and the run waits for a person.
        Raises `Refused` if a live process has the run (`force` takes it from that one), `Misused` if there
        is no such run.
        """
        team = as_team(team)
        if self._flight.holds(run_id):
            owner = self.journal.owner
            raise Refused(f"run {run_id} is running in this process ({owner})", guard="lease", value=owner)
        self._flight.taking.add(run_id)
        before = self._flight.teams.get(run_id)
        try:
            lease = await self._taken(run_id, force)
            if lease is None:
                return Run(self, run_id, self._flight)
            try:
                return await self._go_on(team, lease)
            except BaseException:  # no driver was started
                self._flight.forget(run_id, before)
                await self._release(lease)
                raise
        except BaseException:
            if run_id not in self._flight.drivers:
                self._places.leave(run_id)
            raise
        finally:
            self._flight.taking.discard(run_id)
            self._flight.tell(run_id)

    async def _taken(self, run_id: str, force: bool) -> Lease | None:
        """The lease of a run, and a place for it; None if it has ended."""
        row, lease = await self.journal.row(run_id), None
        if row.state == "ended":
            return None
        if row.state == "running":  # whose owner lives: that is told at once
            lease = await self.journal.take(run_id, force=force)
        try:
            self._places.again(run_id, row.tenant)
            await self._turn(run_id)
            return lease or await self.journal.take(run_id, force=force)
        except Misused:
            if (await self.journal.row(run_id)).state != "ended":
                raise
            self._places.leave(run_id)
            return None
        except BaseException:
            if lease is not None:
                await self._release(lease)
            raise

    async def _go_on(self, team: Team, lease: Lease) -> Run:
        events = await self.journal.events(lease.run)
        state = fold(events, self._shop.guards(team))
        self._shop.check(team, state.started.limits, self._accounts.usd_cap(lease.tenant))
        bodies = self._shop.bodies(lease.tenant, state.started.session)
        bodies.load(await self.journal.bodies(lease.tenant, bodies.missing(refs_of(events))))
        if state.epoch == 0 and state.started.fork is None:  # it stood in line and never began
            past = await self._before(state, bodies)
        else:
            lines = await self._shop.sessions.lines(self.journal, lease.tenant, state.history, bodies)
            past = Past(state.history, lines, {})  # what was carried over is in the fold
        commands = await self.journal.inbox(lease.run, after=state.inbox)
        receipts = [item.command.output for item in commands if item.command.output]
        bodies.load(await self.journal.bodies(lease.tenant, bodies.missing(receipts)))
        driver = self._driver(team, state, lease, bodies, past.lines)
        driver.learn(events)
        now = self._clock.wall_s()
        taken = RunTaken(
            at=now,
            owner=lease.owner,
            epoch=lease.epoch,
            left_s=state.left_s,
            history=past.transcript,
            handover=dict(past.handover),
        )
        first: list[Event] = [
            taken,
            *self._post.switched(state.started.guards, state.modes),
            *close_in_doubt(state, now, partial(honours_key, team)),
        ]
        handle = Run(self, lease.run, self._flight)
        driver.start(first, commands)  # from here on nothing is awaited: who fails now has no driver
        self._keep(self._post.hand(lease.run, driver))
        return handle

    async def _before(self, state: RunState, bodies: Bodies) -> Past:
        """The conversation before a run that has not begun. Raises `Refused` if the one before goes on."""
        commands = await self.journal.inbox(state.started.run)
        if state.started.session is None or any(item.command.kind == "cancel" for item in commands):
            return Past(None, (), {})
        sessions = self._shop.sessions
        tail = await sessions.tail(self.journal, state.started, queued=self._flight.holds, own=True)
        if tail == "busy":
            raise Refused(
                f"run {state.started.run} has not begun: the run before it in session "
                f"{state.started.session!r} is still running",
                guard="session",
                value=state.started.session,
            )
        return await sessions.history(self.journal, tail, bodies)

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
        bodies = self._shop.bodies()
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
        bodies = self._shop.bodies()
        bodies.load(await self.journal.bodies(state.started.tenant, refs_of(events)))
        if bodies.missing(refs_of(events)):  # today's code can't decide the same over what it can't read
            raise Misused(f"run {run_id}: its texts were erased, so nothing can be decided over them again")
        lines = await self._shop.sessions.lines(self.journal, state.started.tenant, state.history, bodies)
        work = self._shop.work(team, spend, bodies, lines, models=False)
        guards = self._shop.guards(team)
        known = self._switches.at_start(guards, state.started.guards, modes or {})
        events[0] = msgspec.structs.replace(state.started, guards=known)
        for seq, event in enumerate(events):
            if isinstance(event, GuardSet) and event.guard in (modes or {}):
                events[seq] = msgspec.structs.replace(event, mode=known[event.guard])
        return replay(events, work, guards, spend, bodies)

    async def fork(
        self,
        run_id: str,
        team: Team | Agent,
        *,
        at: int,
        result: str | None = None,
        live_effects: bool = False,
        app: str | None = None,
    ) -> Run:
        """Go on live from the result of step `at`, as a new run; `result` changes what that step came to.

        Effects are simulated unless `live_effects`. `app` is the team's import path, if it is not the
        recorded one. Raises `Misused` for a step that can't be forked at, and if the
        run's events were pruned.
        """
        team = as_team(team)
        events = await read_events(self.journal, run_id)
        bodies = self._shop.bodies()
        changed = None if result is None else (bodies.put(result), result)
        begin = fork_events(
            events,
            at,
            run=self._ids.run(),
            now=self._clock.wall_s(),
            result=changed,
            live_effects=live_effects,
        )
        started = begin[0]
        if not isinstance(started, RunStarted):
            raise SeawallBug("a fork begins with RunStarted")
        started = msgspec.structs.replace(started, app=app or started.app)
        if started.agent not in team.members:  # a fork that can't go on is not recorded
            there = ", ".join(team.members)
            raise Misused(
                f"team {team.name!r} has no agent {started.agent!r}, who leads run {run_id} (there: {there})"
            )
        self._shop.check(team, started.limits, self._accounts.usd_cap(started.tenant))
        fold([started, *begin[1:]], self._shop.guards(team))
        lease = await self.journal.create(started, begin[1:], bodies.unsaved(), take=False)
        return await self.resume(lease.run, team)

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
        if known := self._switches.unseen(guard, self._shop.own_guards):
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
        await self._post.deliver()
        if self._brakes.get(what) is None:
            there = ", ".join(pause.what for pause in self._brakes.pauses()) or "nothing"
            raise Misused(f"{what!r} is not paused (paused: {there})")
        await self._set("pause", what, "off", by, why, None)

    async def pauses(self) -> list[Pause]:
        """The brakes that are on, oldest first."""
        await self._post.deliver()
        return self._brakes.pauses()

    async def _set(
        self, kind: SettingKind, name: str, value: str, by: str, why: str, for_s: float | None
    ) -> None:
        check_by(f"{kind} {name!r}", by)
        if not isinstance(cast("object", for_s), int | float | None) or not (for_s is None or for_s > 0):
            raise Misused(f"{kind} {name!r}: for_s is {for_s!r}; it must be a number of seconds above zero")
        now, redact = self._clock.wall_s(), self._shop.bodies().redact
        until = None if for_s is None else now + for_s
        by, why = redact(by), redact(why)
        setting = Setting(kind=kind, name=name, value=value, by=by, why=why, at=now, until=until)
        await self.journal.set(setting)
        await self._post.deliver()

    # ---- ending and waking up

    async def cancel(self, run_id: str, command: Command) -> None:
        """Have a run's owner end it; a run that nobody drives is taken and ended here."""
        try:
            await self.send(run_id, command)
        except Misused:
            if (await self.journal.row(run_id)).state != "ended":
                raise
            return
        row = await self.journal.row(run_id)
        undriven = row.state != "running" or row.owner == self.journal.owner
        if row.state == "ended" or self._flight.holds(run_id) or not undriven:
            return
        with contextlib.suppress(Refused):  # another process was quicker, and reads the inbox
            run = await self.resume(run_id, self._flight.teams.get(run_id) or make_placeholder_team(row.team))
            await run.rest()

    async def _wake_up(self, run_id: str) -> None:
        """Take a run up again that waits in this process, now that something came for it."""
        team = self._flight.teams.get(run_id)
        if team is None or self._flight.holds(run_id):
            return
        row = await self.journal.row(run_id)
        if row.state == "ended":  # in another process
            self._flight.teams.pop(run_id, None)
        if row.state != "waiting" or self._flight.holds(run_id):
            return
        if self._places.full_for(
            row.tenant
        ):  # its turn comes; meanwhile others are to get what came for them
            self._keep(self._resume_in_turn(run_id, team))
            return
        with contextlib.suppress(Refused):  # another process was quicker
            await self.resume(run_id, team)

    async def _resume_in_turn(self, run_id: str, team: Team) -> None:
        try:
            with contextlib.suppress(Refused):
                await self.resume(run_id, team)
        except Exception as error:  # noqa: BLE001 -- whatever it is, what came for the run is still to be taken
            if not self._closing:
                self._post.failed(run_id, error)

    def _handle(self, run_id: str, team: Team | None = None) -> Run:
        return Run(self, run_id, self._flight, team)


def _check_request(request: str) -> None:
    """Raise `Misused` for one that is no text, empty, or too long."""
    check_recordable(request=request)
    if not request.strip():
        raise Misused(f"the request is empty (got {request!r})")
    if len(request) > MAX_REQUEST_CHARS:
        raise Misused(f"the request has {len(request):,} characters (limit {MAX_REQUEST_CHARS:,})")
