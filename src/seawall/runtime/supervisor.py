"""The supervisor: owns the drivers of this process. It takes runs up, releases them, and wakes waiting runs."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from msgspec.structs import replace

from seawall.core.canonical import Ref, check_texts
from seawall.core.clock import Clock
from seawall.core.errors import Broken, Misused, Refused, SeawallError
from seawall.core.events import Event, GuardSet, Mode, RunStarted, RunTaken
from seawall.core.forks import is_child_of, refuse_in_child, watch_loop
from seawall.core.refs import refs_of
from seawall.effects.guard import EffectsGuard
from seawall.engine.beside import list_reads
from seawall.engine.driver import Driver
from seawall.engine.in_doubt import close_in_doubt
from seawall.guards.budget.guard import BudgetGuard
from seawall.guards.pauses import Pauses
from seawall.guards.shared import SharedGuard
from seawall.history.recorded import fold_in_slices, read_state
from seawall.journal.protocol import Command, Journal, Lease, RunRow
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.fold import apply
from seawall.run.frame import MessageRef
from seawall.run.lifted import leave_out_lifted
from seawall.run.state import RunState
from seawall.runtime.admission import Admission, AdmissionQueue
from seawall.runtime.big_texts import compute_apart, list_open_texts
from seawall.runtime.factory import Factory
from seawall.runtime.inbox import Inbox, Settings
from seawall.runtime.modes import GuardModes
from seawall.runtime.recovery import make_placeholder_team
from seawall.runtime.registry import Registry
from seawall.runtime.session_memory import leave_out_reverted
from seawall.runtime.sessions import NO_HISTORY, SessionHistory, Sessions, add_stored_facts
from seawall.runtime.shared_reading import SharedReading
from seawall.runtime.snapshots import Snapshot, read_changes, read_snapshot
from seawall.runtime.streaming import StreamedText
from seawall.runtime.waking import Waker
from seawall.team.prepare import honours_key
from seawall.team.team import Team

SLICE_RESULTS = 4
"""How many results of a run are indexed before other tasks get their turn, which takes some milliseconds."""
LATE_S = 1.0
"""The most seconds that `close` waits for tools that ignore cancellation."""

T = TypeVar("T")

_log = logging.getLogger("seawall")


class Supervisor:
    """Owns the drivers of this process, and what all its runs share."""

    def __init__(
        self,
        *,
        clock: Clock,
        factory: Factory,
        admission: Admission,
        modes: GuardModes,
        pauses: Pauses,
        budget: BudgetGuard,
        effects: EffectsGuard,
        shared: Sequence[SharedGuard],
        teams: Iterable[Team] = (),
    ) -> None:
        """`shared`: the guards across runs, in the order in which the gate checks them. `teams`: see `Waker`."""
        self.clock = clock
        self.factory = factory
        self.modes = modes
        self.registry = Registry(clock)
        self.sessions = Sessions()
        self.inbox = Inbox(clock, self)
        self.waker = Waker(clock, self, teams)
        self.admission = AdmissionQueue(admission, clock)
        self.closing = False
        self.on_write: Callable[[], None] = lambda: None
        """Called after a process, perhaps this one, has written to the journal."""
        self.pauses = pauses
        self.budget = budget
        self.effects = effects
        self.shared = tuple(shared)
        self._journal: Journal | None = None
        self._pid = os.getpid()
        self.on_taken: Callable[[str, int], None] | None = None
        """Called with each run that this process goes on with, and the number of its events."""
        self.tasks: set[asyncio.Task[Any]] = set()
        """Tasks that `close` waits for."""
        self._states: WeakValueDictionary[str, SharedReading[RunState]] = WeakValueDictionary()
        """The shared readings of runs' states, by run, for concurrent decisions on a run."""
        self._missed: set[str] = set()
        """New runs that got a command before this process knew that they were recorded."""

    def __repr__(self) -> str:
        return f"<Supervisor of {len(self.registry.drivers)} drivers>"

    @property
    def journal(self) -> Journal:
        """The journal. Raises `Misused` while it is not open."""
        if self._journal is None:
            raise Misused("this Seawall is not open: use `async with Seawall(...) as sea:`")
        if os.getpid() != self._pid:
            refuse_in_child(self._pid, "this Seawall")
        return self._journal

    @property
    def is_open(self) -> bool:
        """Whether a journal is open."""
        return self._journal is not None

    @property
    def is_copy(self) -> bool:
        """Whether this is the copy, in a forked child, of a supervisor that the parent still uses."""
        return is_child_of(self._pid)

    def attach(self, journal: Journal) -> None:
        """Begins to supervise runs on this journal."""
        self._journal, self._pid = journal, os.getpid()
        watch_loop(asyncio.get_running_loop())
        self.registry.closed = False
        self.admission = AdmissionQueue(self.admission.options, self.clock)

    def detach(self) -> None:
        """Forgets a journal that was closed."""
        self._journal = None
        self.closing = False
        self.registry.close()

    async def give_up_all(self) -> None:
        """Stops all work, and gives up the runs in flight, which can be resumed.

        Waits up to `LATE_S` seconds for tools that ignore cancellation, and as long for what gives a run up at this moment, or
        has just begun or taken one up: that is given up, too.
        """
        self.admission.close()
        tasks = [*self.registry.queued.values(), *self.waker.close(), *self.inbox.close()]
        for task in tasks:
            task.cancel()
        await self._give_up_drivers(tasks)
        if self.tasks or any(driver.state.ended is None for driver in self.registry.drivers.values()):
            await self._give_up_drivers([])

    async def _give_up_drivers(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Gives up the runs that have a driver now, and waits for all tasks, these and those that `close` waits for."""
        tasks += self.tasks
        leases: list[Lease] = []
        for driver in list(self.registry.drivers.values()):
            if driver.state.ended is None:
                text = f"run {driver.lease.run} was given up: this Seawall was closed; resume it"
                driver.give_up(Broken(text), closing=True)
                leases.append(driver.lease)
            tasks += driver.list_unfinished_tasks()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=LATE_S)
            for task in late:
                task.cancel()
        for lease in leases:
            await self.release(lease)

    def start_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a task that `close` waits for. The caller need not wait for it."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def give_up(self, run: str, error: Exception) -> bool:
        """Gives up a run because the journal failed, as a failed append does; returns False if it is not driven here."""
        driver = self.registry.drivers.get(run)
        if driver is None or not driver.is_recorded:
            return False
        driver.give_up(error)
        return True

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()

    def make_bodies(self, tenant: str = "", session: str | None = None) -> Bodies:
        """Returns the bodies of a run, with those of its session's conversation if they are in memory."""
        known = None if session is None else self.sessions.get_bodies(tenant, session)
        return self.factory.make_bodies(known)

    # ---- drivers

    def make_driver(
        self,
        team: Team,
        state: RunState,
        lease: Lease | None,
        bodies: Bodies,
        history: Sequence[MessageRef],
        causes: Causes | None = None,
    ) -> Driver:
        """Returns a new driver for a run, and registers it. `causes` knows the results of a run that goes on."""
        run = state.started.run
        streamed = StreamedText(partial(self.registry.wake, run)) if state.started.stream else None
        driver = self.factory.make_driver(
            team,
            state,
            bodies,
            history,
            journal=self.journal,
            lease=lease,
            shared=self.shared,
            effects=self.effects,
            wake=partial(self._on_unblocked, run),
            on_text=None if streamed is None else streamed.add,
            on_rest=self._on_rest,
            on_record=partial(self.registry.wake, run),
            causes=causes or self.factory.make_causes(team, state, bodies, history),
        )
        self.registry.add(run, driver, team, streamed)
        return driver

    def _on_rest(self, driver: Driver) -> None:
        """Releases a run that has ended, waits, or was given up."""
        run = driver.state.started.run
        self._forget_shared(run, parked=driver.parked)
        driver.bodies.cache.clear()  # a handle on the run may be held for long
        if driver.state.ended is not None and self.factory.originals.chars:
            self.factory.originals.forget(run)
        newest = self.registry.drivers.get(run) is driver  # else the run was taken up again meanwhile
        if newest:
            del self.registry.drivers[run]
            self.registry.streamed.pop(run, None)
        if driver.broken is not None:
            # only a late result could not be recorded, which needs no action
            rested = driver.finished.exception() is None
            if not self.closing and not rested:
                self.start_task(self._let_go(driver, self.registry.teams.get(run)))
        elif driver.state.started.session is not None:
            self.sessions.remember(driver.state, driver.bodies)
        if newest:
            self.admission.leave(run)
        if newest and not driver.state.waits:  # a waiting run is taken up again after a decision
            self.registry.teams.pop(run, None)
        self.registry.wake(run)
        if self.registry.queued:
            self.inbox.wake()

    async def _let_go(self, driver: Driver, team: Team | None) -> None:
        """Releases the lease of a run that was given up, and takes the run up later if another run of its session goes first."""
        await self.release(driver.lease)
        error = driver.broken
        if team is not None and isinstance(error, Refused) and error.guard == "session":
            self.waker.take_up_in_turn(driver.lease.run, team)

    def forget(self, run: str) -> None:
        """Forgets a run that could not be recorded."""
        self._missed.discard(run)
        self._forget_shared(run, parked=False)
        self.registry.remove(run)

    def _forget_shared(self, run: str, *, parked: bool) -> None:
        self.effects.forget(run)
        for each in self.shared:
            if each.active:
                each.forget(run, parked=parked)

    async def hand_over_missed(self, run: str) -> None:
        """Gives a run that was just recorded the commands that came meanwhile, if there are any."""
        if run in self._missed:
            self._missed.discard(run)
            await self.inbox.hand_over(run)

    async def release(self, lease: Lease) -> None:
        """Releases the lease of a run that was given up, if the journal can still record that. A journal that was closed has
        released all of its leases.
        """
        if not self.is_open:
            return
        try:
            await self.journal.release(lease)
        except SeawallError as error:
            _log.warning("run %s could not be given up, and ends with its lease: %s", lease.run, error)

    # ---- taking up

    async def take_up(self, run: str, team: Team, *, force: bool = False) -> Driver | None:
        """Goes on with a run that no process drives, and returns its driver; None if it has ended.

        Raises the errors of `Seawall.resume`.
        """
        if self.registry.holds(run):
            owner = self.journal.owner
            raise Refused(f"run {run} is running in this process ({owner})", guard="lease", value=owner)
        self.registry.taking.add(run)
        before = self.registry.teams.get(run)
        try:
            lease = await self._acquire(run, force)
            if lease is None:
                return None
            try:
                return await self._go_on(team, lease)
            except BaseException:  # no driver was started
                self.registry.remove(run, before)
                await self.release(lease)
                raise
        except BaseException:
            if run not in self.registry.drivers:
                self.admission.leave(run)
            raise
        finally:
            self.registry.taking.discard(run)
            self.registry.wake(run)

    async def _acquire(self, run: str, force: bool) -> Lease | None:
        """Returns the lease of a run once there is a slot for it; None if it has ended."""
        row, lease = await self.journal.row(run), None
        if row.state == "ended":
            self.admission.leave(run)
            return None
        if row.state == "running":  # raises at once if the owner is alive
            lease = await self.journal.take(run, force=force)
        # a lease without a step would count as a crash of its worker
        elif row.session is not None and row.events == 1:
            await self._check_turn(run)
        try:
            self.admission.reenter(run, row.tenant)
            await self.wait_turn(run)
            return lease or await self.journal.take(run, force=force)
        except Misused:
            if (await self.journal.row(run)).state != "ended":
                raise
            self.admission.leave(run)
            return None
        except BaseException:
            if lease is not None:
                await self.release(lease)
            raise

    async def wait_turn(self, run: str) -> None:
        """Waits until the run has a slot. A run that is cancelled meanwhile leaves the line, because it needs no slot."""
        while (turn := self.admission.get_turn(run)) is not None:
            change = self.registry.get_next_change(run)
            if await self.is_cancelled(run):
                self.admission.leave(run)
                return
            await asyncio.wait([turn, change], return_when=asyncio.FIRST_COMPLETED)
            if turn.done():
                turn.result()  # raises if there will be no slot
                return

    async def is_cancelled(self, run: str) -> bool:
        """Returns whether the inbox of a run that no process drives has a command to cancel it."""
        return any(item.command.kind == "cancel" for item in await self.journal.inbox(run))

    async def _go_on(self, team: Team, lease: Lease) -> Driver:
        events = await self.journal.events(lease.run)
        state = await fold_in_slices(events, self.factory.get_guards(team))
        cap = self.budget.get_usd_cap(lease.tenant)
        self.factory.check(team, state.started.limits, cap, goes_on=state.started)
        bodies = self.make_bodies(lease.tenant, state.started.session)
        missing = bodies.missing(refs_of(events))
        bodies.load(await self.journal.bodies(lease.tenant, missing, or_erased=True))
        begins = state.epoch == 0 and state.started.fork is None  # the run waited in line and never began
        snapshot = Snapshot(0)
        if begins:
            tail = None if state.started.session is None else await self._find_tail(state.started)
            history = await self.load_history(state.started, tail, team, bodies)
        else:
            messages = await self.sessions.load_messages(self.journal, lease.tenant, state.history, bodies)
            now = self.clock.wall_s()
            taken_at = max((event.at for event in events if isinstance(event, RunTaken)), default=now)
            snapshot = await read_changes(self.journal, state, team, bodies, now, taken_at)
            # The handover to its guards is in the folded state.
            history = SessionHistory(
                state.history, messages, {}, memory=snapshot.memory, changed=snapshot.changed
            )
        commands = await self.journal.inbox(lease.run, after=state.inbox)
        await self._load_receipts(lease.tenant, (item.command for item in commands), bodies)
        causes = self.factory.make_causes(team, state, bodies, history.messages)
        for count, _ in enumerate(causes.relearn(leave_out_lifted(events), bodies), 1):
            if count % SLICE_RESULTS == 0:
                await asyncio.sleep(0)
        await compute_apart(list_open_texts(team, state, bodies), bodies)
        if begins:
            state, first = await self.begin_in_line(team, state, lease, bodies, history)
        else:
            in_doubt = close_in_doubt(state, self.clock.wall_s(), partial(honours_key, team))
            first = [*self._build_segment(state, lease, history), *snapshot.events, *in_doubt]
        driver = self.make_driver(team, state, lease, bodies, history.messages, causes)
        # nothing is awaited after this: `take_up` takes an error for a run without a driver
        driver.start(first, commands)
        self.start_task(self.inbox.hand_over(lease.run, driver))
        if self.on_taken is not None:
            self.on_taken(lease.run, len(events))
        return driver

    async def load_history(
        self, started: RunStarted, tail: RunRow | None, team: Team, bodies: Bodies
    ) -> SessionHistory:
        """Returns the history of a run of `team` after run `tail` of its session, with the facts that it is told.

        A framework's loop brings its conversation itself. Raises `Refused` if `tail` was taken up meanwhile.
        """
        history = NO_HISTORY
        if tail is not None and not (started.loop and tail.state == "ended"):
            answers_only, guards = team.history == "answers", self.factory.get_guards(team)
            history = await self.sessions.load_history(
                self.journal, tail, bodies, answers_only=answers_only, guards=guards
            )
            history = await leave_out_reverted(self.journal, started.tenant, history, bodies)
        history = await add_stored_facts(self.journal, started, history, bodies)
        memory = await read_snapshot(self.journal, started, team)
        return history if memory == history.memory else history._replace(memory=memory)

    async def begin_in_line(
        self, team: Team, state: RunState, lease: Lease, bodies: Bodies, history: SessionHistory
    ) -> tuple[RunState, list[Event]]:
        """Begins a run that was recorded before. Returns its state, and the events that must still be recorded.

        A run of a session begins atomically across all processes, unless it was cancelled and only ends. Raises `Refused` if
        another run of the session is at work, or if the waiting run that the conversation belongs to has gone on.
        """
        first = self._build_segment(state, lease, history)
        if state.started.session is None or await self.is_cancelled(state.started.run):
            return state, first
        records = (*history.told, *list_reads(first))
        try:
            await self.journal.append(
                lease, state.seq, first, bodies.take_unsaved(), since=history.since, records=records
            )
        except BaseException:
            bodies.keep()
            raise
        guards = self.factory.get_guards(team)
        for event in first:
            state = apply(state, event, guards)
        return state, []

    def _build_segment(self, state: RunState, lease: Lease, history: SessionHistory) -> list[Event]:
        """Returns the events with which this process goes on with a run, or begins one that was recorded before."""
        now = self.clock.wall_s()
        return [
            begin_segment(lease.owner, lease.epoch, at=now, left_s=state.left_s, history=history),
            *self.build_mode_events(state.started.guards, state.modes),
        ]

    async def _check_turn(self, run: str) -> None:
        """Raises `Refused` if a run that has not begun has to wait for the run before it in its session."""
        started = (await read_state(self.journal, run)).started
        if started.fork is None:
            await self._find_tail(started)

    async def _find_tail(self, started: RunStarted) -> RunRow | None:
        """Returns the run before a run that has not begun. Raises `Refused` while that run goes on, unless this one was
        cancelled.
        """
        if await self.is_cancelled(started.run):
            return None
        tail = await self.sessions.find_tail(self.journal, started, queued=self.registry.holds, own=True)
        if tail == "busy":
            raise Refused(
                f"run {started.run} has not begun: the run before it in session "
                f"{started.session!r} is still running",
                guard="session",
                value=started.session,
            )
        return tail

    async def _load_receipts(self, tenant: str, commands: Iterable[Command], bodies: Bodies) -> None:
        receipts = [ref for command in commands for ref in (command.output, command.edit) if ref]
        if missing := bodies.missing(receipts):
            bodies.load(await self.journal.bodies(tenant, missing))

    # ---- waking up

    def _on_unblocked(self, run: str) -> None:
        """Lets a run decide again, or takes it up, because a guard across runs that it waits for has changed."""
        driver = self.registry.drivers.get(run)
        if driver is not None and not driver.parked:
            driver.decide_again()
        elif not self.closing:
            self.registry.waking.add(run)
            self.start_task(self._unpark(run, driver))

    async def _unpark(self, run: str, driver: Driver | None) -> None:
        try:
            if driver is not None:  # it is about to be parked
                await asyncio.wait([driver.finished])
            await self.inbox.hand_over(run)
        finally:
            self.registry.waking.discard(run)
            self.registry.wake(run)

    async def cancel(self, run: str, command: Command) -> None:
        """Tells a run's owner to end it. A run that no process drives is taken up and ended here."""
        try:
            await self.send(run, command)
        except Misused:
            if (await self.journal.row(run)).state != "ended":
                raise
            return
        row = await self.journal.row(run)
        undriven = row.state != "running" or row.owner == self.journal.owner
        if row.state == "ended" or self.registry.holds(run) or not undriven:
            return
        team = self.registry.teams.get(run) or make_placeholder_team(row.team)
        try:
            driver = await self.take_up(run, team)
        except Refused as refused:  # else another process has taken it, and reads the inbox
            if refused.guard == "session":
                self.waker.take_up_in_turn(run, team)
            return
        if driver is not None:
            await asyncio.shield(driver.finished)

    async def read_state(self, run: str) -> RunState:
        """Returns the recorded state of a run. Concurrent callers share a reading of its events."""
        reading = self._states.get(run)
        if reading is None:
            reading = self._states[run] = SharedReading(partial(read_state, self.journal, run))
        return await reading.get()

    async def send(self, run: str, command: Command, bodies: Mapping[Ref, bytes] | None = None) -> None:
        """Puts a command into a run's inbox, and delivers it if this process has the run."""
        check_texts(by=command.by, reason=command.reason)
        redact = self.make_bodies().redact
        command = replace(command, by=redact(command.by), reason=redact(command.reason))
        await self.journal.send(run, command, bodies)
        await self.inbox.deliver(run)

    # ---- the methods of `runtime.inbox.Receiver`, which the inbox calls

    def notice(self, run: str) -> None:
        """Wakes the tasks that wait for the run, because a command for it has come."""
        self.registry.wake(run)

    def notice_write(self) -> None:
        """Wakes the tasks that wait for a write of any process."""
        self.registry.wake_on_write()
        self.on_write()

    async def hand_over(self, run: str, driver: Driver | None) -> None:
        """Gives a run every command that it has not taken, in order. A waiting run is woken up."""
        driver = driver or self.registry.drivers.get(run)
        if driver is not None and not driver.is_recorded:
            self._missed.add(run)
            return
        if driver is not None:
            items = await self.journal.inbox(run, after=driver.state.inbox)
            tenant = driver.state.started.tenant
            await self._load_receipts(tenant, (item.command for item in items), driver.bodies)
            if self.registry.drivers.get(run) is driver:
                for item in items:
                    driver.take_command(item)
                return
            if not items:  # the run has ended or waits, and has taken all commands
                return
        await self.waker.wake(run)

    def apply_settings(self, settings: Settings) -> None:
        """Applies the live settings to every run in flight."""
        if self.modes.read(settings, self._apply_modes):
            self._apply_modes()
        if self.pauses.read(settings):
            for driver in list(self.registry.drivers.values()):
                driver.withdraw_paused()
                driver.decide_again()  # steps that wait for an endpoint are affected, too

    async def refresh(self, journal: Journal) -> None:
        """Reads the caps that another process has set."""
        await self.budget.read(journal)

    def _apply_modes(self) -> None:
        for driver in list(self.registry.drivers.values()):
            self.apply_live_modes(driver)

    def apply_live_modes(self, driver: Driver) -> None:
        """Sets a run's guards to the modes that are set live now."""
        for name, mode, by, until in self.modes.list_live(driver.state.started.guards):
            driver.set_mode(name, mode, by, until)

    def build_mode_events(self, at_start: Mapping[str, Mode], modes: Mapping[str, Mode]) -> list[Event]:
        """Returns the live settings that differ from `modes`, as events of the run.

        `at_start` are the modes in the code when the run was started.
        """
        now = self.clock.wall_s()
        return [
            GuardSet(at=now, guard=name, mode=mode, by=by, until=until)
            for name, mode, by, until in self.modes.list_live(at_start)
            if modes.get(name) != mode
        ]


def begin_segment(owner: str, epoch: int, *, at: float, left_s: float, history: SessionHistory) -> RunTaken:
    """Returns the event with which a process begins a run, or goes on with it."""
    return RunTaken(
        at=at,
        owner=owner,
        epoch=epoch,
        left_s=left_s,
        history=history.transcript,
        handover=dict(history.handover),
        facts=history.facts,
        behind=dict(history.behind),
        memory=history.memory,
        changed=history.changed,
        read=history.read,
    )
