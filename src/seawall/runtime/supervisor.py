"""What a `Seawall` owns: the journal, the clock, and the runs that this process has in flight."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import msgspec

from seawall.core.canonical import Ref
from seawall.core.clock import Clock, SystemClock
from seawall.core.errors import Broken, Misused, SeawallError
from seawall.core.events import Mode
from seawall.core.ids import Ids
from seawall.core.redact import Redactor
from seawall.engine.driver import Driver
from seawall.guards.budget.accounts import BudgetGuard
from seawall.guards.budget.options import Budget
from seawall.guards.endpoints import EndpointOptions, Endpoints
from seawall.guards.pauses import Pauses
from seawall.guards.shared import SharedGuard
from seawall.history.recorded import read_events, restore_outcome
from seawall.journal.protocol import Command, Journal, Lease, Setting, SettingKind
from seawall.journal.sqlite import SqliteJournal
from seawall.models.protocol import Model, Price
from seawall.run.bodies import Bodies
from seawall.run.fold import fold
from seawall.run.frame import MessageRef
from seawall.run.guard import Guard
from seawall.run.outcome import Outcome, build_outcome
from seawall.run.state import RunState
from seawall.runtime.admission import Admission, AdmissionQueue
from seawall.runtime.factory import Factory
from seawall.runtime.inbox import Inbox
from seawall.runtime.modes import GuardModes
from seawall.runtime.registry import Registry, StreamedText
from seawall.team.team import Team

LATE_S = 1.0
"""How long `close` waits for tools that ignore cancellation, before it lets go of them."""


T = TypeVar("T")

_log = logging.getLogger("seawall")


class Supervisor:
    """Opens and closes, and knows who drives what. `Seawall` adds what can be asked of it."""

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
        self._clock: Clock = clock or SystemClock()
        self._given = journal
        self._journal: Journal | None = None
        rng = rng or random.Random(os.urandom(16))
        self._ids = Ids(self._clock, rng)
        self._modes: dict[str, Mode] = dict(modes or {})
        self._shop = Factory(
            clock=self._clock,
            guards=guards,
            models=models,
            prices=prices,
            redactor=Redactor.from_environment(os.environ if environment is None else environment, secrets),
        )
        self._flight = Registry(self._clock)
        self._admission = admission or Admission()
        self._places = AdmissionQueue(self._admission, self._clock)
        self._brakes = Pauses(self._clock)
        self._endpoints = Endpoints(clock=self._clock, rng=rng, options=endpoints)
        self._accounts = BudgetGuard(self._clock, budget)
        self._shared: tuple[SharedGuard, ...] = (self._brakes, self._endpoints, self._accounts)
        """What the gate asks at reserve, in this order."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._switches = GuardModes(self._clock)
        self._post = Inbox(
            self._clock,
            self._switches,
            self._flight,
            self._wake_up,
            self._on_settings,
            self._accounts.read,
        )
        self._closing = False

    def __repr__(self) -> str:
        return f"<Seawall {self._given!r} {len(self._flight.drivers)} runs in flight>"

    # ---- opening and closing

    @property
    def journal(self) -> Journal:
        """The journal. Raises `Misused` before `open`."""
        if self._journal is None:
            raise Misused("this Seawall is not open: use `async with Seawall(...) as sea:`")
        return self._journal

    @property
    def endpoints(self) -> Endpoints:
        """The breakers of this process, to be looked at: `sea.endpoints["tool:bank"].breaker`."""
        return self._endpoints

    async def open(self) -> Self:
        """Open the journal. Raises `Misused` if it can't be used."""
        if self._journal is not None:
            return self
        given = self._given
        if isinstance(given, str | Path):
            self._journal = SqliteJournal.open(str(given), clock=self._clock)
        else:
            self._journal = given
        self._flight.closed = False
        self._places = AdmissionQueue(self._admission, self._clock)
        await self._endpoints.open(self._journal)
        await self._accounts.open(self._journal)
        await self._post.open(self._journal)
        return self

    async def close(self) -> None:
        """Give up what is in flight (it can be resumed), and close the journal.

        Tools that ignore cancellation are waited for `LATE_S` seconds and then let go.
        """
        journal = self._journal
        if journal is None or self._closing:
            return
        self._closing = True
        try:
            await self._let_go()
        finally:
            try:
                await self._endpoints.close()
                await self._accounts.close()
                await journal.close()
                await self._shop.close()
            finally:
                self._brakes.close()
                self._journal = None
                self._closing = False
                self._flight.close()

    async def _let_go(self) -> None:
        """Stop what is under way, and give up the runs in flight."""
        self._places.close()
        tasks: list[asyncio.Task[Any]] = [*self._flight.in_line.values(), *self._post.close()]
        for task in tasks:
            task.cancel()
        tasks += self._tasks
        leases: list[Lease] = []
        for driver in list(self._flight.drivers.values()):
            if driver.state.ended is None:
                driver.give_up(
                    Broken(f"run {driver.lease.run} was given up: this Seawall was closed; resume it"),
                    closing=True,
                )
                leases.append(driver.lease)
            tasks += driver.stragglers()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=LATE_S)
            for task in late:
                task.cancel()
        for lease in leases:
            await self._release(lease)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---- for handles

    async def state(self, run_id: str) -> RunState:
        """The run's state as it is recorded. Raises `Misused` if its events were pruned."""
        return fold(await read_events(self.journal, run_id))

    async def outcome(self, run_id: str, _team: Team | None = None) -> Outcome:
        """The outcome of a run that has ended, from the journal; of a pruned one what its row says."""
        events = await self.journal.events(run_id)
        if not events:
            return restore_outcome(await self.journal.row(run_id))
        state = fold(events)
        ref = state.ended.answer if state.ended is not None else None
        if ref is None:
            return build_outcome(state, None)
        bodies = await self.journal.bodies(state.started.tenant, [ref])
        if ref not in bodies:
            return build_outcome(state, "[erased]")
        answer = bodies[ref].decode()
        return build_outcome(state, answer, _team.output(answer) if _team else None)

    async def send(self, run_id: str, command: Command, bodies: Mapping[Ref, bytes] | None = None) -> None:
        """Put a command into a run's inbox, and deliver it if the run is here."""
        redact = self._shop.bodies().redact
        command = msgspec.structs.replace(command, by=redact(command.by), reason=redact(command.reason))
        await self.journal.send(run_id, command, bodies)
        await self._post.deliver()

    async def _wake_up(self, run_id: str) -> None:
        """Take a run up again that waits in this process, now that something came for it."""
        raise NotImplementedError

    # ---- taking up and letting go

    def _driver(
        self,
        team: Team,
        state: RunState,
        lease: Lease | None,
        bodies: Bodies,
        lines: Sequence[MessageRef],
    ) -> Driver:
        """A driver of this run, known to this process."""
        run_id = state.started.run
        streamed = StreamedText(self._flight, run_id) if state.started.stream else None
        on_text = None if streamed is None else streamed.add
        work = self._shop.work(team, state.started.limits, bodies, lines, on_text=on_text)
        driver = Driver(
            state,
            work=work,
            gate=self._shop.gate(team, work, state.started, self._shared, partial(self._again, run_id)),
            journal=self.journal,
            lease=lease,
            clock=self._clock,
            bodies=bodies,
            planner=self._shop.planner(team, bodies),
            on_rest=self._rested,
            on_record=partial(self._flight.tell, run_id),
        )
        self._flight.drivers[run_id] = driver
        self._flight.teams[run_id] = team
        if streamed is not None:
            self._flight.streamed[run_id] = streamed
        self._flight.tell(run_id)
        return driver

    def _rested(self, driver: Driver) -> None:
        """A run has ended, waits, or was given up: this process lets go of it."""
        run_id = driver.state.started.run
        for each in self._shared:
            each.gone(run_id, parked=driver.parked)
        newest = self._flight.drivers.get(run_id) is driver  # else it was taken up again meanwhile
        if newest:
            del self._flight.drivers[run_id]
            self._flight.streamed.pop(run_id, None)
        if driver.broken is not None:
            rested = driver.finished.exception() is None  # what broke is a late result: nothing is left to do
            if not self._closing and not rested:
                self._keep(self._release(driver.lease))
        else:
            self._shop.sessions.remember(driver.state, driver.bodies)
        if newest:
            self._places.leave(run_id)
        if newest and not driver.state.waits:  # one that waits is taken up again when a person has decided
            self._flight.teams.pop(run_id, None)
        self._flight.tell(run_id)
        self._post.wake()

    def _forget(self, run_id: str) -> None:
        """A run that was not recorded, after all."""
        for each in self._shared:
            each.gone(run_id, parked=False)
        self._flight.forget(run_id)

    def _on_settings(self, settings: Mapping[tuple[SettingKind, str], Setting]) -> None:
        if self._brakes.read(settings):
            for driver in list(self._flight.drivers.values()):
                driver.hold()

    def _again(self, run_id: str) -> None:
        """What runs share has changed for a run that was told to wait: decide again, or take it up again."""
        driver = self._flight.drivers.get(run_id)
        if driver is not None and not driver.parked:
            driver.go_on()
        elif not self._closing:
            self._flight.waking.add(run_id)
            self._keep(self._unpark(run_id, driver))

    async def _unpark(self, run_id: str, driver: Driver | None) -> None:
        try:
            if driver is not None:  # it is about to be parked
                await asyncio.wait([driver.finished])
            await self._post.hand(run_id)
        finally:
            self._flight.waking.discard(run_id)
            self._flight.tell(run_id)

    async def _release(self, lease: Lease) -> None:
        """Let others go on with a run that was given up, if the journal can still take that down."""
        try:
            await self.journal.release(lease)
        except SeawallError as error:
            _log.warning("run %s could not be given up, and ends with its lease: %s", lease.run, error)

    # ---- tasks of its own

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that `close` waits for, and that nobody else need wait for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
