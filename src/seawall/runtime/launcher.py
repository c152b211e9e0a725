"""The launcher: starts new runs, at once or after a wait in line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import Misused, Refused
from seawall.core.events import Event, LimitsRaised, RunStarted
from seawall.engine.driver import Create, Driver
from seawall.journal.protocol import Booking, Command, Lease, RunRow, Summary
from seawall.journal.protocol.effects import RecordChange
from seawall.run.bodies import Bodies
from seawall.run.fold import begin
from seawall.runtime.raising import raise_limits
from seawall.runtime.run import Run
from seawall.runtime.sessions import SessionHistory
from seawall.runtime.supervisor import Supervisor, begin_segment
from seawall.team.team import Team

MAX_TRIES = 3
"""The most tries to begin a run in a session in which other processes start runs at the same moment."""

_log = logging.getLogger("seawall")


_SHOWN_CHARS = 200


def _shorten(text: str | None) -> str:
    return repr(text if text is None or len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")


class Launcher:
    """Starts new runs: as many as there are slots, and each after the run before it in its session."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def __repr__(self) -> str:
        return f"<Launcher {self._supervisor.admission!r}>"

    async def launch(self, team: Team, started: RunStarted, bodies: Bodies, *, raises: bool = False) -> Run:
        """Begins a run, or records it and lets it wait in line. With `raises`, an existing run of the request gets its limits.

        Raises `Refused` if the line is full, the tenant is paused, or the session takes no other run now, and `Misused` if
        its limits have no room for a single call. Call this in a separate task, so that a cancelled caller does not leave the
        run half started.
        """
        admission, run_id = self._supervisor.admission, started.run
        started = replace(started, authority=team.permits)
        self._supervisor.factory.check_room(team, started, bodies.text(started.intent))
        try:
            if self._supervisor.pauses.active:
                self._supervisor.pauses.check_new_run(started.tenant)
            admission.enter(run_id, started.tenant)
            run = await self._begin_or_queue(team, started, bodies)
        except Refused:  # perhaps because this request has a run already
            admission.leave(run_id)
            request_id, journal = started.request_id, self._supervisor.journal
            known = request_id and await journal.run_of_request(started.tenant, request_id)
            if not known:
                raise
            run = await self._attach_known(known, started, bodies)
            return await self._raise_limits(run, team, started) if raises else run
        except BaseException:
            admission.leave(run_id)
            raise
        if run.id != run_id:
            admission.leave(run_id)
            if raises:
                return await self._raise_limits(run, team, started)
        return run

    async def _raise_limits(self, run: Run, team: Team, started: RunStarted) -> Run:
        """Goes on with a run that a limit has halted, if the request came again with limits that allow it."""
        supervisor = self._supervisor
        row = await supervisor.journal.row(run.id)
        if row.state != "ended" or not row.events:
            return run
        state = await supervisor.read_state(run.id)
        if state.before_halt is None or state.started.limits == started.limits:
            return run
        by = started.principal or f"whoever sent request {started.request_id!r} again"
        raised = LimitsRaised(
            at=started.at, limits=started.limits, by=by, reason="the request was sent again"
        )
        try:
            await raise_limits(supervisor, run.id, team, raised)
            driver = await supervisor.take_up(run.id, team)
        except (Misused, Refused) as error:  # the run stays ended, or another process goes on with it
            _log.info("run %s: its request was sent again with other limits: %s", run.id, error)
            return run
        return Run(supervisor, run.id, driver=driver, team=team)

    async def attach(self, run_id: str) -> Run:
        """Returns a handle on a run, whichever process drives it. Raises `Misused` if there is no such run."""
        await self._supervisor.journal.row(run_id)
        return Run(self._supervisor, run_id)

    async def _attach_known(self, run_id: str, started: RunStarted, bodies: Bodies) -> Run:
        """Returns a handle on the run with the request id. Raises `Misused` if its request was another one."""
        journal = self._supervisor.journal
        known = next(iter(await journal.events(run_id)), None)
        if isinstance(known, RunStarted):  # else it was pruned
            given = bodies.text(started.intent)
            stored = await journal.bodies(known.tenant, [known.intent])
            text = stored.get(known.intent)
            # A text that an older version stored may have secrets that only today's version knows.
            before = given if text is None else bodies.redact(text.decode("utf-8", "replace"))
            for what, old, new in (
                ("request", before, given),
                ("team", known.team, started.team),
                ("session", known.session, started.session),
                ("principal", known.principal, started.principal),
            ):
                if old != new:
                    raise Misused(
                        f"request id {started.request_id!r} was given to another request, of run {run_id}, whose "
                        f"{what} is {_shorten(old)}, not {_shorten(new)}"
                    )
        return await self.attach(run_id)

    async def _begin_or_queue(self, team: Team, started: RunStarted, bodies: Bodies) -> Run:
        """Begins the run now if there is a slot and its session is free; otherwise puts it in line."""
        supervisor = self._supervisor
        for _ in range(MAX_TRIES):
            tail = None
            if started.session is not None:
                queued = supervisor.registry.holds
                tail = await supervisor.sessions.find_tail(supervisor.journal, started, queued=queued)
            if tail == "busy":
                break
            if not supervisor.admission.has_slot(started.run):
                return await self._queue(team, started, bodies)
            try:
                return await self._begin(team, started, bodies, tail)
            except Refused as refused:
                if refused.guard != "session":
                    raise
        supervisor.admission.wait_for_session(started.run)
        return await self._queue(team, started, bodies)

    def _make_driver(
        self, team: Team, started: RunStarted, bodies: Bodies, history: SessionHistory
    ) -> tuple[Driver, list[Event]]:
        """Returns the driver of a run that begins, and its first events."""
        supervisor = self._supervisor
        state = begin(started, supervisor.factory.get_guards(team))
        driver = supervisor.make_driver(team, state, None, bodies, history.messages)
        owner, left_s = supervisor.journal.owner, started.limits.active_s
        first: list[Event] = [begin_segment(owner, 1, at=started.at, left_s=left_s, history=history)]
        if supervisor.modes.any_set:
            first += supervisor.build_mode_events(started.guards, started.guards)
        return driver, first

    # ---- at once

    async def _begin(self, team: Team, started: RunStarted, bodies: Bodies, tail: RunRow | None) -> Run:
        """Records the run together with its first steps, and starts its driver."""
        supervisor = self._supervisor
        journal = supervisor.journal
        history = await supervisor.load_history(started, tail, team, bodies)
        driver, first = self._make_driver(team, started, bodies, history)
        handle = Run(supervisor, started.run)
        after = None if started.session is None else "" if tail is None else tail.run

        async def create(
            events: Sequence[Event],
            unsaved: dict[Ref, bytes],
            waits: bool,
            summary: Summary | None,
            booked: Sequence[Booking],
            records: Sequence[RecordChange],
        ) -> Lease:
            return await journal.create(
                started,
                events,
                unsaved,
                after=after,
                waiting=waits,
                summary=summary,
                booked=booked,
                records=(*records, *history.told),
                since=history.since,
            )

        await self._start_new(driver, first, create)
        if driver.lease.epoch == 0:
            return await self._attach_known(driver.lease.run, started, bodies)
        return handle

    async def _start_new(self, driver: Driver, first: Sequence[Event], create: Create) -> None:
        supervisor, run_id = self._supervisor, driver.state.started.run
        try:
            await driver.start_new(first, create)
        except BaseException:
            driver.bodies.keep()
            supervisor.forget(run_id)
            raise
        if driver.lease.epoch == 0:
            supervisor.forget(run_id)
        else:  # settings and commands that came while the run was being recorded
            if supervisor.modes.any_set:
                supervisor.apply_live_modes(driver)
            if supervisor.pauses.active:
                driver.withdraw_paused()
                driver.decide_again()  # steps that wait for an endpoint are affected, too
            await supervisor.hand_over_missed(run_id)

    # ---- in line

    async def _queue(self, team: Team, started: RunStarted, bodies: Bodies) -> Run:
        """Records the run, and lets it begin when its turn comes."""
        supervisor = self._supervisor
        lease = await supervisor.journal.create(started, (), bodies.take_unsaved())
        if lease.epoch == 0:
            return await self._attach_known(lease.run, started, bodies)
        registry = supervisor.registry
        waiting = self._begin_in_turn(team, started, bodies, lease)
        task = asyncio.get_running_loop().create_task(waiting)
        registry.queued[started.run] = task

        def leave_line(_: asyncio.Task[None]) -> None:
            registry.queued.pop(started.run, None)
            registry.wake(started.run)

        task.add_done_callback(leave_line)
        return Run(supervisor, started.run, team=team)

    async def _begin_in_turn(self, team: Team, started: RunStarted, bodies: Bodies, lease: Lease) -> None:
        supervisor, run_id = self._supervisor, started.run
        try:
            await self._wait_and_begin(team, started, bodies, lease)
        except asyncio.CancelledError:  # this Seawall closes: other processes may go on with the run
            supervisor.admission.leave(run_id)
            await supervisor.release(lease)
            raise
        except Exception as error:  # noqa: BLE001 -- code of a guard or a model may fail
            _log.error("run %s was recorded and could not begin: %s", run_id, error)
            supervisor.admission.leave(run_id)
            supervisor.registry.remove(run_id)
            await supervisor.release(lease)

    async def _wait_and_begin(self, team: Team, started: RunStarted, bodies: Bodies, lease: Lease) -> None:
        supervisor = self._supervisor
        while True:
            change = supervisor.inbox.get_next_change()
            tail = await self._wait_for_session(started)
            supervisor.admission.line_up(started.run)
            await supervisor.wait_turn(started.run)
            state = begin(started, supervisor.factory.get_guards(team))
            try:
                history = await supervisor.load_history(started, tail, team, bodies)
                state, first = await supervisor.begin_in_line(team, state, lease, bodies, history)
                break
            except Refused as refused:  # a run of its session was taken up, or went on, a moment ago
                if refused.guard != "session":
                    raise
                await change
        commands = await supervisor.journal.inbox(started.run)
        driver = supervisor.make_driver(team, state, lease, bodies, history.messages)
        driver.start(first, commands)
        # Nothing after this may fail, because the driver has started.
        supervisor.start_task(supervisor.inbox.hand_over(started.run, driver))

    async def _cancel_left(self, started: RunStarted, earlier: str) -> bool:
        """Cancels an interrupted run if `started` is the next request to a framework's loop, which does not come back for the
        earlier one. Returns whether it did.
        """
        row = await self._supervisor.journal.row(earlier)
        if not started.loop or row.state == "waiting":
            return False
        reason = "the next request of its session came"
        await self._supervisor.cancel(earlier, Command(kind="cancel", by=started.loop, reason=reason))
        return True

    async def _wait_for_session(self, started: RunStarted) -> RunRow | None:
        """Returns the run before this one in its session, once it has ended or waits for a person.

        Returns None if there is none, or if this run is cancelled first.
        """
        if started.session is None:
            return None
        supervisor = self._supervisor
        while True:
            tail: RunRow | Literal["busy"] | None = "busy"
            change = supervisor.inbox.get_next_change()
            try:
                tail = await supervisor.sessions.find_tail(
                    supervisor.journal, started, queued=supervisor.registry.holds, own=True
                )
            except Refused as refused:
                # the run before it is paused, or waits to be resumed, so this one waits, too
                if await self._cancel_left(started, str(refused.value)):
                    continue
                tail = "busy"
            if tail != "busy":
                return tail
            if await supervisor.is_cancelled(started.run):
                return None
            supervisor.admission.wait_for_session(started.run, recorded=True)
            await change
