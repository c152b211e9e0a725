"""Waking: takes up waiting runs, once a command for them has come or their pause is lifted.

This process wakes the runs that it has driven itself. For the teams that it was given (`Seawall(teams=…)`), it also wakes
runs that another process has started, even if that process has ended. If several processes have the team, one of them
gets the lease.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol, TypeVar

from seawall.core.clock import Clock, Timer
from seawall.core.errors import Misused, Refused, SeawallError
from seawall.core.events import EffectMoved, Paused, StepLate
from seawall.guards.pauses import read_pauses
from seawall.history.recorded import read_state
from seawall.journal.protocol import Journal, RunFilter, RunRow
from seawall.runtime.admission import AdmissionQueue
from seawall.runtime.inbox import Inbox
from seawall.runtime.registry import Registry
from seawall.team.team import Team

LOOK_S = 5.0
"""Seconds between two looks for runs to wake. A command wakes its run at once. A look finds runs whose process ended
before it took the command, and runs that are not paused any more."""
MAX_WOKEN = 1_000
"""How many runs one look wakes. The next look finds the others."""
LAST_EVENTS = 32
"""How many of the newest events of a run are searched for its pauses. A run waits for only a few pauses at once."""

T = TypeVar("T")

_log = logging.getLogger("seawall")


class Taker(Protocol):
    """The part of the supervisor that takes runs up."""

    registry: Registry
    inbox: Inbox
    admission: AdmissionQueue
    closing: bool

    @property
    def journal(self) -> Journal:
        """The journal."""
        ...

    async def take_up(self, run: str, team: Team) -> object:
        """Goes on with a run that no process drives. Raises the errors of `Seawall.resume`."""
        ...

    def start_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a task that `close` waits for."""
        ...


class Waker:
    """Wakes runs. This process takes up the runs of `teams`, whichever process has started them."""

    def __init__(self, clock: Clock, taker: Taker, teams: Iterable[Team] = ()) -> None:
        self.teams: dict[str, Team] = {}
        self.add_teams(teams)
        self._clock = clock
        self._taker = taker
        self._in_line: dict[str, asyncio.Task[None]] = {}
        """The task that waits for a run until a slot is free and no other run of its session is at work, by run."""
        self._timer: Timer | None = None
        self._look: asyncio.Task[None] | None = None
        self._pauses: set[str] | None = None
        """The pauses at the last look; None before the first look."""

    def __repr__(self) -> str:
        return f"<Waker of {', '.join(self.teams) or 'no team'}>"

    def add_teams(self, teams: Iterable[Team]) -> None:
        """Takes up the runs of these teams, too. Raises `Misused` for two teams of one name."""
        for team in teams:
            if self.teams.setdefault(team.name, team) is not team:
                raise Misused(
                    f"there are two teams of the name {team.name!r}, and a run names its team by that"
                )

    async def open(self) -> None:
        """Wakes the runs that may be woken already."""
        if self.teams:
            await self._look_for_commands()
            self._start_look()

    def close(self) -> list[asyncio.Task[Any]]:
        """Stops waking; returns the tasks that are still running."""
        if self._timer is not None:
            self._timer.cancel()
        look = () if self._look is None else (self._look,)
        return [*self._in_line.values(), *look]

    @property
    def is_busy(self) -> bool:
        """Whether a run waits for its turn to be woken."""
        return bool(self._in_line)

    # ---- runs of the given teams

    async def look(self) -> None:
        """Wakes the waiting runs of the given teams that need not wait any more."""
        await self._look_for_commands()
        await self._look_for_unpaused()

    async def _look_for_commands(self) -> None:
        """Wakes the runs with a command that no process has taken."""
        for run in await self._taker.journal.woken_runs(list(self.teams), limit=MAX_WOKEN):
            if run not in self._in_line and not self._taker.registry.holds(run):
                self._taker.inbox.request_delivery(run)

    async def _look_for_unpaused(self) -> None:
        """Wakes the runs that are not paused any more, if a pause was lifted since the last look."""
        journal = self._taker.journal
        on = set(await read_pauses(journal, self._clock.wall_s()))
        before, self._pauses = self._pauses, on
        if before is not None and before <= on:
            return
        for name in self.teams:
            for row in await journal.runs(RunFilter(state="waiting", team=name), limit=MAX_WOKEN):
                paused = {event.what for event in await _read_last_pauses(journal, row)}
                if paused - on and row.run not in self._in_line and not self._taker.registry.holds(row.run):
                    self._taker.inbox.request_delivery(row.run)

    def _start_look(self) -> None:
        self._timer = None
        if not self._taker.closing:
            self._look = asyncio.get_running_loop().create_task(self._look_again())

    async def _look_again(self) -> None:
        try:
            await self.look()
        except SeawallError as error:  # a busy or damaged journal
            _log.warning("the journal could not be searched for runs to wake: %s", error)
        if not self._taker.closing:
            self._timer = self._clock.call_later(LOOK_S, self._start_look)

    # ---- waking

    async def wake(self, run: str) -> None:
        """Takes up a waiting run, because a command for it has come or its pause is lifted."""
        taker, own = self._taker, self._taker.registry.teams.get(run)
        if taker.registry.holds(run) or run in self._in_line or (own is None and not self.teams):
            return
        row = await taker.journal.row(run)
        if row.state == "ended":  # in another process
            taker.registry.teams.pop(run, None)
        team = own or self.teams.get(row.team)
        if team is None or row.state != "waiting" or taker.registry.holds(run):
            return
        if own is None and not await self._may_go_on(run, team):
            return
        if taker.admission.is_full_for(row.tenant) or await is_session_at_work(taker.journal, row):
            self.take_up_in_turn(run, team)  # in a task, so that other runs get their commands meanwhile
            return
        taker.admission.reenter(run, row.tenant)  # before any await: others are woken, too
        try:
            await taker.take_up(run, team)
        except Refused as refused:
            if refused.guard == "session":  # another run of it began a moment ago
                self.take_up_in_turn(run, team)
            elif refused.guard != "lease":  # else another process was quicker
                raise

    async def _may_go_on(self, run: str, team: Team) -> bool:
        """Returns whether a run that another process has parked need not wait, and is led by an agent of the team."""
        journal = self._taker.journal
        state = await read_state(journal, run)
        if state.started.agent not in team.members:
            return False
        if await journal.inbox(run, after=state.inbox):
            return True
        on = await read_pauses(journal, self._clock.wall_s()) if state.paused else {}
        return any(pause.what not in on for pause in state.paused)

    def take_up_in_turn(self, run: str, team: Team) -> None:
        """Takes up a waiting run as soon as there is a slot for it and no other run of its session is at work."""
        if run not in self._in_line:
            task = self._in_line[run] = self._taker.start_task(self._wait_and_take_up(run, team))
            task.add_done_callback(lambda _: self._in_line.pop(run, None))

    async def _wait_and_take_up(self, run: str, team: Team) -> None:
        taker = self._taker
        try:
            while True:
                change = taker.inbox.get_next_change()
                row = await taker.journal.row(run)
                if row.state != "waiting" or taker.registry.holds(run):
                    return
                if not await is_session_at_work(taker.journal, row):
                    try:
                        await taker.take_up(run, team)
                        return
                    except Refused as refused:
                        if refused.guard == "lease":  # another process was quicker
                            return
                        if refused.guard != "session":
                            raise
                await change
        except Exception as error:  # noqa: BLE001 -- after any error, the run must still get its commands
            if not taker.closing:
                taker.inbox.retry_later(run, error)


async def is_session_at_work(journal: Journal, row: RunRow) -> bool:
    """Returns whether another run of the same session has begun and is driven by a process that lives."""
    if row.session is None:
        return False
    wanted = RunFilter(state="running", session=row.session, tenant=row.tenant)
    rows = await journal.runs(wanted, limit=MAX_WOKEN)
    return any(each.events > 1 and each.run != row.run for each in rows)


async def _read_last_pauses(journal: Journal, row: RunRow) -> list[Paused]:
    """Returns the pauses for which a run was parked. They are its last events, apart from late results."""
    found: list[Paused] = []
    for event in reversed(await journal.events(row.run, after=row.events - 1 - LAST_EVENTS)):
        if isinstance(event, Paused):
            found.append(event)
        elif not isinstance(event, StepLate | EffectMoved):
            break
    return found
