"""How a new run comes in: at once, or in line, and how one that goes on finds its place again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Literal

from seawall.core.canonical import Ref
from seawall.core.errors import Refused
from seawall.core.events import Event, RunStarted, RunTaken
from seawall.engine.driver import Create, Driver
from seawall.journal.protocol import Booking, Lease, RunRow, Summary
from seawall.run.bodies import Bodies
from seawall.run.fold import begin
from seawall.runtime.run import Run
from seawall.runtime.supervisor import Supervisor
from seawall.team.team import Team

MAX_TRIES = 3
"""To begin as a session's newest run, where other processes start runs in it at the same moment."""

_log = logging.getLogger("seawall")


class Launcher(Supervisor):
    """Lets runs in, as many as there are places, each of a session after the one before it."""

    def _handle(self, run_id: str, team: Team | None = None) -> Run:
        """A handle on a run. `Seawall` makes it, for a handle asks that one."""
        raise NotImplementedError

    async def attach(self, run_id: str) -> Run:
        """A handle on a run, wherever it is driven. Raises `Misused` if there is no such run."""
        await self.journal.row(run_id)
        return self._handle(run_id)

    async def _enter(self, team: Team, started: RunStarted, bodies: Bodies) -> Run:
        """Begin, or wait in line. Raises `Refused` if that is full, its tenant is paused, or the session takes
        no other run now.

        It is a task of its own: who asks for it and is cancelled does not leave it half way.
        """
        run_id = started.run
        try:
            self._brakes.check_door(started.tenant)
            self._places.enter(run_id, started.tenant)
            run = await self._entered(team, started, bodies)
        except Refused:  # perhaps since this very request's run is there already
            self._places.leave(run_id)
            request_id = started.request_id
            known = request_id and await self.journal.request(started.tenant, request_id)
            if not known:
                raise
            return await self.attach(known)
        except BaseException:
            self._places.leave(run_id)
            raise
        if run.id != run_id:
            self._places.leave(run_id)
        return run

    async def _entered(self, team: Team, started: RunStarted, bodies: Bodies) -> Run:
        """Begin now if there is a place and the session is free, else in its turn."""
        for _ in range(MAX_TRIES):
            tail = None
            if started.session is not None:
                tail = await self._shop.sessions.tail(self.journal, started, queued=self._flight.holds)
            if tail == "busy":
                break
            if not self._places.has(started.run):
                return await self._queue(team, started, bodies)
            try:
                return await self._begin(team, started, bodies, tail)
            except Refused as refused:
                if refused.guard != "session":
                    raise
        self._places.behind(started.run)
        return await self._queue(team, started, bodies)

    # ---- at once

    async def _begin(self, team: Team, started: RunStarted, bodies: Bodies, tail: RunRow | None) -> Run:
        """Record the run together with its first steps, and go."""
        past = await self._shop.sessions.history(self.journal, tail, bodies)
        state = begin(started, self._shop.guards(team))
        driver = self._driver(team, state, None, bodies, past.lines)
        handle = self._handle(started.run)
        taken = RunTaken(
            at=started.at,
            owner=self.journal.owner,
            epoch=1,
            left_s=started.limits.active_s,
            history=past.transcript,
            handover=dict(past.handover),
        )
        first: list[Event] = [taken, *self._post.switched(started.guards, started.guards)]
        after = None if started.session is None else "" if tail is None else tail.run

        async def create(
            events: Sequence[Event],
            unsaved: dict[Ref, bytes],
            waits: bool,
            summary: Summary | None,
            booked: Sequence[Booking],
        ) -> Lease:
            return await self.journal.create(
                started, events, unsaved, after=after, waiting=waits, summary=summary, booked=booked
            )

        await self._start_new(driver, first, create)
        if driver.lease.epoch == 0:
            return await self.attach(driver.lease.run)
        return handle

    async def _start_new(self, driver: Driver, first: Sequence[Event], create: Create) -> None:
        run_id = driver.state.started.run
        try:
            await driver.start_new(first, create)
        except BaseException:
            driver.bodies.keep()
            self._forget(run_id)
            raise
        if driver.lease.epoch == 0:
            self._forget(run_id)
        else:  # what was set live while it was being recorded
            for name, mode, by, until in self._switches.now(driver.state.started.guards):
                driver.set_mode(name, mode, by, until)
            driver.hold()
            await self._post.hand(run_id, driver)

    # ---- in line

    async def _queue(self, team: Team, started: RunStarted, bodies: Bodies) -> Run:
        """Record the run, and go once its turn has come."""
        lease = await self.journal.create(started, (), bodies.unsaved())
        if lease.epoch == 0:
            return await self.attach(lease.run)
        line = self._go_when_free(team, started, bodies, lease)
        task = asyncio.get_running_loop().create_task(line)
        self._flight.in_line[started.run] = task

        def begun_or_gone(_: asyncio.Task[None]) -> None:
            self._flight.in_line.pop(started.run, None)
            self._flight.tell(started.run)

        task.add_done_callback(begun_or_gone)
        return self._handle(started.run, team)

    async def _go_when_free(self, team: Team, started: RunStarted, bodies: Bodies, lease: Lease) -> None:
        run_id = started.run
        try:
            await self._stand_in_line(team, started, bodies, lease)
        except asyncio.CancelledError:  # this Seawall closes: others may go on with the run
            self._places.leave(run_id)
            await self._release(lease)
            raise
        except Exception as error:  # noqa: BLE001 -- a guard's or a model's code may be what fails
            _log.error("run %s was recorded and could not begin: %s", run_id, error)
            self._places.leave(run_id)
            self._flight.forget(run_id)
            await self._release(lease)

    async def _stand_in_line(self, team: Team, started: RunStarted, bodies: Bodies, lease: Lease) -> None:
        tail = await self._session_free(started)
        self._places.step_up(started.run)
        await self._turn(started.run)
        past = await self._shop.sessions.history(self.journal, tail, bodies)
        state = begin(started, self._shop.guards(team))
        commands = await self.journal.inbox(started.run)
        driver = self._driver(team, state, lease, bodies, past.lines)
        taken = RunTaken(
            at=self._clock.wall_s(),
            owner=lease.owner,
            epoch=lease.epoch,
            left_s=started.limits.active_s,
            history=past.transcript,
            handover=dict(past.handover),
        )
        first: list[Event] = [taken, *self._post.switched(started.guards, started.guards)]
        driver.start(first, commands)
        self._keep(
            self._post.hand(started.run, driver)
        )  # nothing may fail here any more: the run is on its way

    async def _session_free(self, started: RunStarted) -> RunRow | None:
        """The session's run before this one, once that has ended; None too if this one is cancelled first."""
        if started.session is None:
            return None
        while True:
            tail: RunRow | Literal["busy"] | None = "busy"
            change = self._post.next_change()
            try:
                tail = await self._shop.sessions.tail(
                    self.journal, started, queued=self._flight.holds, own=True
                )
            except Refused:  # the run before it waits for a person, or to be gone on with: so does this one
                tail = "busy"
            if tail != "busy":
                return tail
            if await self._cancelled(started.run):
                return None
            self._places.behind(started.run, recorded=True)
            await change

    async def _turn(self, run_id: str) -> None:
        """Wait until the run has a place. One that is cancelled meanwhile leaves the line: it needs none."""
        while (turn := self._places.turn(run_id)) is not None:
            news = self._flight.news(run_id)
            if await self._cancelled(run_id):
                self._places.leave(run_id)
                return
            await asyncio.wait([turn, news], return_when=asyncio.FIRST_COMPLETED)
            if turn.done():
                turn.result()  # or why there will be none
                return

    async def _cancelled(self, run_id: str) -> bool:
        """Whether somebody has asked to end a run that is not driven."""
        return any(item.command.kind == "cancel" for item in await self.journal.inbox(run_id))
