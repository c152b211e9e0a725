"""The shell around the pure core: takes what `decide` wants, sends it through the gate, records it, performs it.

One rule keeps it durable with one wait a step: the result of a step and the intents of the steps that were
decided from it go to the journal as one batch, and nothing of them is acted on before that batch is durable.
So every intent is on disk before its step is performed, and a crash can neither repeat a recorded step nor
lose count of a call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec

from seawall.core.clock import Clock
from seawall.core.errors import Broken, Fenced, SeawallBug, wrap_unexpected
from seawall.core.events import Event, GuardSet, Mode, StepDone
from seawall.engine.ending import build_run_ended
from seawall.engine.gate import Gate
from seawall.engine.late import build_late_events, record_late
from seawall.engine.reserve import build_pauses
from seawall.engine.timers import Timers
from seawall.guards.deadline import DEADLINE
from seawall.guards.shared import Defer
from seawall.journal.protocol import InboxItem, Journal, Lease
from seawall.planner.protocol import Planning
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.commands import find_fate_approval, take_command
from seawall.run.fold import apply
from seawall.run.frame import status_when_cut
from seawall.run.outcome import summarise
from seawall.run.spend_delta import SpendDelta
from seawall.run.state import RunState
from seawall.run.step import Close, End, Propose, Result, Step, Work, restore_step

MAX_ROUNDS = 10_000
"""Decisions taken without waiting for anything; more means that `decide` does not come to rest."""

STALE_S = 0.5
"""An effect whose intent was recorded longer ago than this is made only after another look at the lease: the
process may have been stopped meanwhile, and another one gone on with the run. Far below any lease, far above
a commit."""


Create = Callable[..., Awaitable[Lease]]
"""Records a new run: (its events after the first, bodies, whether it waits, its summary if it has ended, bookings)."""


class Driver:
    """Drives one run in this process until it has ended, waits for a person, or is given up."""

    def __init__(
        self,
        state: RunState,
        *,
        work: Work,
        gate: Gate,
        journal: Journal,
        lease: Lease | None,
        clock: Clock,
        bodies: Bodies,
        planner: Planning | None = None,
        on_rest: Callable[[Driver], None],
        on_record: Callable[[], None],
    ) -> None:
        self.state = state
        self.lease = lease if lease is not None else Lease(state.started.run, state.started.tenant, "", 0)
        self.bodies = bodies
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the run has ended or waits, and that is durable; fails with what broke the journal."""
        self._work = work
        self._gate = gate
        self._journal = journal
        self._clock = clock
        self._books = SpendDelta()
        self._causes = Causes()
        self._causes.learn(0, bodies.text(state.started.intent))
        self._on_rest = on_rest
        self._on_record = on_record
        self._tasks: set[asyncio.Task[None]] = set()
        self._final: asyncio.Future[None] | None = None
        self._steps: dict[int, Step] = {}
        self._taken: dict[int, Step] = {}
        """Admitted steps without a result: those that runs share count them."""
        self._deferred: list[Defer] = []
        """What proposals of the newest round were told to wait for."""
        self._pace = Timers(clock, state.left_s, planner)
        self._broken: Exception | None = None
        self._closing = False
        self._waits = state.waits
        self._intended_at: dict[int, float] = {}

    @property
    def parked(self) -> bool:
        """Whether all that is left to do waits for people: their decisions, and the brakes that they set."""
        return self.state.waits and not self._deferred

    @property
    def broken(self) -> Exception | None:
        """Why the run was given up here; None while all is well."""
        return self._broken

    def __repr__(self) -> str:
        return f"<Driver {self.state.started.run} seq {self.state.seq}, {len(self._tasks)} in flight>"

    # ---- time

    def left_s(self) -> float:
        """Active seconds left: below zero once a deadline that does not bind has passed."""
        return self._pace.left_s()

    def _overdue(self) -> None:
        mode = self.state.modes.get(DEADLINE, "enforce")
        if self.state.ended is None and mode != "off":
            self._go([self._pace.deadline.verdict(self.state.started.limits.active_s, mode)])

    def _watch(self) -> None:
        self._pace.watch(self._overdue, lambda: self.state, self._go)

    # ---- from outside

    def start(self, first: Sequence[Event] = (), commands: Sequence[InboxItem] = ()) -> None:
        """Go. `first` is recorded first: the new segment, and what closes the steps a crash left open.

        `commands` lay in the inbox meanwhile; they are taken before anything is decided.
        """
        self._watch()
        self._go(first, commands)

    async def start_new(self, first: Sequence[Event], create: Create) -> None:
        """Go with a run that is not recorded yet: `create` records it with its first steps in one commit."""
        batch, ready = self._fold(first)
        ended, self._waits = self.state.ended, self.parked
        end = None if ended is None else summarise(self.state)
        try:
            self.lease = await create(batch, self.bodies.unsaved(), self._waits, end, self._books.take())
        except BaseException:
            self._let_go()
            raise
        if self.lease.epoch == 0:  # the request is known: another run answers it
            self._broken = Fenced(f"request of run {self.state.started.run} was taken already")
            self._let_go()
        if self._broken is not None:
            return
        self._watch()
        if ended is not None or self._waits:
            self._final = asyncio.get_running_loop().create_future()
            self._final.set_result(None)
            self._rest()
        for step in ready:
            self._keep(self._chain(step))
        if self._deferred:  # what they wait for may have come while the run was being recorded
            self.go_on()

    def learn(self, events: Sequence[Event]) -> None:
        """Take the results of recorded steps into the index of causes."""
        self._causes.relearn(events, self.bodies)

    def command(self, item: InboxItem) -> None:
        """Take a command from the inbox; one that was taken already is ignored."""
        recorded = self.lease.epoch > 0
        if recorded and item.number > self.state.inbox and self.state.ended is None:
            self._go((), (item,))

    def go_on(self) -> None:
        """Something that runs share has changed: decide again."""
        if self.lease.epoch > 0 and self.state.ended is None and not self.parked:
            self._go(())

    def hold(self) -> None:
        """A brake was put on: what was admitted and has not begun is withdrawn, and waits for it like any step."""
        for step in list(self._taken.values()) if self.lease.epoch > 0 else ():
            flies = step.number in self.state.open and step.kind in ("model", "tool")
            if not flies or not self._gate.held(step, self.state):
                continue
            # It waits for its time, or for a thread that it will not take now.
            if not self._pace.performed(step.number) or self._work.withdrawn(step) is not None:
                self._steps.pop(step.number, None)
                self._go(self._settled(step, Result(status="withdrawn")))
                self._pace.stop(step.number)

    def set_mode(self, guard: str, mode: Mode, by: str, until: float | None) -> None:
        """Switch a guard for the rest of the run."""
        recorded = self.lease.epoch > 0
        if recorded and self.state.ended is None and self.state.modes.get(guard) != mode:
            self._go([GuardSet(at=self._clock.wall_s(), guard=guard, mode=mode, by=by, until=until)])
            if guard == DEADLINE and self.left_s() <= 0:  # its time passed while it was only observed
                self._overdue()

    def give_up(self, error: Exception, *, closing: bool = False) -> None:
        """Stop at once; the run can be resumed from what is durable.

        Nothing more is recorded or, with `closing`, only results that come before the lease is given back.
        """
        if self._broken is not None:
            return
        self._broken, self._closing = error, closing
        self._disarm()
        self._let_go()
        if not self.finished.done():
            self.finished.set_exception(error)
            self.finished.exception()  # whoever waits for the outcome gets it; nobody need wait
        self._on_rest(self)

    def stragglers(self) -> list[asyncio.Task[None]]:
        """Tasks that are still at it: late steps of an ended run, or all of a run that was given up."""
        return [task for task in self._tasks if not task.done()]

    def _disarm(self) -> None:
        self._pace.cancel()
        current = asyncio.current_task()  # the task that brought the news goes on to tell it
        for task in self._tasks:
            if task is not current:
                task.cancel()

    # ---- decide, record

    def _go(self, happened: Sequence[Event], commands: Sequence[InboxItem] = ()) -> None:
        """Record what happened and what follows, and perform what follows once that is durable."""
        if self._broken is not None:
            return
        try:
            ready, durable = self._advance(happened, commands)
        except Exception as error:  # noqa: BLE001 -- a timer or a command came here: the run tells of it
            self.give_up(wrap_unexpected(error, self.state.started.run, "deciding"))
            return
        self._keep(self._after(ready, durable))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _after(self, ready: list[Step], durable: asyncio.Future[None]) -> None:
        if await self._durable(durable):
            for step in ready:
                self._keep(self._chain(step))

    def _advance(
        self, happened: Sequence[Event], commands: Sequence[InboxItem] = ()
    ) -> tuple[list[Step], asyncio.Future[None]]:
        """Fold `happened` and all that is decided from it; the steps to perform, and when they may be."""
        first_seq, first_at = self.state.seq, self._clock.monotonic_s()
        batch, ready = self._fold(happened, commands)
        ended = self.state.ended
        parked = self.parked
        if not batch and parked == self._waits:  # asked again in vain
            durable = asyncio.get_running_loop().create_future()
            durable.set_result(None)
            return ready, durable
        durable = asyncio.ensure_future(
            self._journal.append(
                self.lease,
                first_seq,
                batch,
                self.bodies.unsaved(),
                waiting=parked if parked or self._waits else None,
                summary=None if ended is None else summarise(self.state),
                booked=self._books.take(),
            )
        )
        self._waits = parked
        self._intended_at |= dict.fromkeys((step.number for step in ready if step.effect), first_at)
        self._final = durable if ended is not None or parked else None
        return ready, durable

    def _fold(
        self, happened: Sequence[Event], commands: Sequence[InboxItem] = ()
    ) -> tuple[list[Event], list[Step]]:
        """What happened and all that is decided from it, and the steps to perform."""
        batch: list[Event] = []
        for event in happened:
            self._record(batch, event)
        for item in commands:
            if item.number > self.state.inbox:
                for event in take_command(item, self.state, self.bodies, self._clock.wall_s(), self.left_s()):
                    self._record(batch, event)
        ready = self._decide(batch)
        if self.state.ended is None and not self.state.in_flight:
            self._park(batch)
        state = self.state
        if not (state.ended or state.in_flight or state.waits or self._deferred):
            run = state.started.run
            raise SeawallBug(f"run {run} has nothing in flight, nothing to wait for and no outcome")
        return batch, ready

    def _park(self, batch: list[Event]) -> None:
        """Nothing is in flight: a run in which everything waits for people and their brakes is parked."""
        if events := build_pauses(self._deferred, self._clock.wall_s(), self.left_s(), self.bodies.redact):
            self._deferred = []
            for event in events:
                self._record(batch, event)

    def _record(self, batch: list[Event], event: Event) -> None:
        batch.append(event)
        before = self.state
        self.state = apply(before, event, self._gate.guards)
        self._books.note(event, before, self.state.ledger)
        if self.state.memories is not before.memories:
            for judged in self._gate.failed(before, self.state):
                self._record(batch, judged)

    def _decide(self, batch: list[Event]) -> list[Step]:
        ready: list[Step] = []
        for _ in range(MAX_ROUNDS):
            moved, course = False, self.state.plan.course
            self._deferred = []
            for action in self._work.decide(self.state):
                moved = self._act(action, batch, ready) or moved
                if self.state.ended is not None:
                    return []
                if (
                    self.state.plan.course != course
                ):  # somebody else answers: the rest was decided for the team
                    break
            if not moved:
                return ready
        raise SeawallBug(
            f"run {self.state.started.run}: decisions did not come to rest in {MAX_ROUNDS} rounds"
        )

    def _act(self, action: Propose | Close | End, batch: list[Event], ready: list[Step]) -> bool:
        """Carry out one action; whether anything moved."""
        planned = None if isinstance(action, Close) else self._pace.plan(action, self.state)
        if planned is not None and planned.mode == "enforce":
            self._record(batch, planned)
            return True
        match action:
            case Propose():
                events, step, defer = self._gate.admit(
                    action, self.state, self.bodies, self._causes, self.left_s()
                )
                for event in [*events, planned] if planned is not None and events else events:
                    self._record(batch, event)
                if defer is not None:
                    self._deferred.append(defer)
                if step is not None:
                    self._steps[step.number] = self._taken[step.number] = step
                    self._pace.begin(step.number)
                    if step.kind in ("model", "tool"):
                        ready.append(step)
                return bool(events)
            case Close():
                intent = self.state.open.get(action.step)
                if intent is None:
                    return False
                step = self._steps.pop(action.step, None) or restore_step(intent)
                text = action.text if action.text is not None else self.bodies.text(action.output)
                result = Result(
                    status=action.status, output=text, error=action.error, approved=action.approved
                )
                result = self._stopped(step, result, ready)
                for event in self._settled(step, result):
                    self._record(batch, event)
                return True
            case End():
                self._end(action, batch, ready)
                return True

    def _settled(self, step: Step, result: Result) -> list[Event]:
        self._let_go(step.number, result)
        events = self._gate.settle(step, result, self.state, self.bodies, self._causes, self.left_s())
        self._pace.learn(step, events)
        return events

    def _stopped(self, step: Step, result: Result, ready: list[Step]) -> Result:
        """Stop whoever performs a step that is closed. One that was admitted this moment is withdrawn."""
        took_s = self._pace.took_s(step.number)
        self._pace.stop(step.number)
        if step in ready:
            ready.remove(step)
            return Result(status="withdrawn")
        return msgspec.structs.replace(result, duration_s=took_s)

    def _let_go(self, number: int | None = None, result: Result | None = None) -> None:
        """Tell those that runs share that a step has come to an end, or every step that is taken."""
        for each in list(self._taken) if number is None else [number]:
            step = self._taken.pop(each, None)
            if step is not None:
                self._gate.done(step, self.state, result or Result(status="cancelled"))

    def _end(self, end: End, batch: list[Event], ready: Sequence[Step] = ()) -> None:
        """Close what is in flight, withdraw what was admitted this moment (`ready`), then end the run."""
        now = self._clock.wall_s()
        withdrawn = {step.number for step in ready}
        for step in sorted(self.state.open.values(), key=lambda step: -step.step):
            status = "withdrawn" if step.step in withdrawn else status_when_cut(step)
            self._let_go(step.step, Result(status=status))
            took_s = self._pace.took_s(step.step)
            done = StepDone(at=now, step=step.step, status=status, duration_s=took_s, left_s=self.left_s())
            self._pace.learn(restore_step(step), [done])
            self._record(batch, done)
        event = build_run_ended(
            end, self.state, self._work, self._gate.guards, self.bodies, self._causes, now, self.left_s()
        )
        self._record(batch, event)
        self._disarm()

    # ---- perform

    async def _chain(self, step: Step) -> None:
        """Perform a step and go on with what follows from it, as one task."""
        ready = [step]
        try:
            while ready:
                for other in ready[1:]:
                    self._keep(self._chain(other))
                result = await self._perform(ready[0])
                if result is None:
                    return
                ready, durable = self._advance(self._settled(ready[0], result))
                if not await self._durable(durable):
                    return
        except Exception as error:  # noqa: BLE001 -- nothing may be lost unseen in a task
            self.give_up(wrap_unexpected(error, self.state.started.run, f"step {ready[0].number}"))

    async def _perform(self, step: Step) -> Result | None:
        """The result of `step`, or None if it came too late to count."""
        if step.delay_s > 0:
            await self._clock.sleep(step.delay_s)
        now = self._clock.monotonic_s()
        if now - self._intended_at.pop(step.number, now) > STALE_S:
            await self._journal.append(self.lease, self.state.seq, (), {})  # `Fenced` if it is not ours
        if step.number not in self.state.open:  # given up before it was begun
            return None
        self._pace.limit(step, self.state, self._expire)
        result = await self._gate.perform(step, self.state, self.bodies, self.left_s())
        duration_s = self._pace.took_s(step.number)
        self._pace.drop(step.number)
        await self._journal.room()
        if self._broken is not None:
            if self._closing and step.number in self.state.open:
                await self._last(step, result)
            return None
        self._steps.pop(step.number, None)
        if step.number not in self.state.open:
            await self._late(step, result)
            return None
        return msgspec.structs.replace(result, duration_s=duration_s)

    def _expire(self, step: Step, after_s: float, *, planned: bool) -> None:
        """A step used up its time: it fails now, and what it brings later is recorded and dropped."""
        if step.number not in self.state.open or self._broken is not None:
            return
        text = f"{step.kind} {step.name!r} did not answer within {after_s:.6g} s"
        result = self._work.withdrawn(step) or Result(
            status="timeout", output=text, error="timeout", endpoint="cut" if planned else "broken"
        )
        result = msgspec.structs.replace(result, duration_s=after_s)
        cut = self._pace.cut(step, self.state) if planned else []
        self._go([*cut, *self._settled(step, result)])
        self._pace.stop(step.number)

    async def _last(self, step: Step, result: Result) -> None:
        """A result that came while this process closes: whoever goes on with the run decides what follows."""
        first_seq, batch = self.state.seq, list[Event]()
        for event in self._settled(step, result):
            self._record(batch, event)
        with contextlib.suppress(Broken):  # too late: the run is not ours any more, or the disk is full
            await self._journal.append(
                self.lease, first_seq, batch, self.bodies.unsaved(), booked=self._books.take()
            )

    async def _late(self, step: Step, result: Result) -> None:
        output = self.bodies.put(result.output)
        if result.status == "cancelled":
            return
        events = build_late_events(step, result, output, self._clock.wall_s())
        first_seq, unsaved = self.state.seq, self.bodies.unsaved()
        for event in events:
            self.state = apply(self.state, event, self._gate.guards)
        settled = find_fate_approval(self.state, step.number) is None
        await record_late(self._journal, self.lease, step.number, first_seq, events, unsaved, settled=settled)

    async def _durable(self, durable: asyncio.Future[None]) -> bool:
        """Wait until a batch is on disk; then tell whoever waits for the run to rest."""
        try:
            await durable
        except asyncio.CancelledError:  # which comes once the write is done: see `Journal.append`
            if durable.done() and not durable.cancelled() and durable.exception() is None:
                self._rest()
            raise
        except Exception as error:  # noqa: BLE001 -- whatever the journal raises ends the run here
            self.give_up(error)
            return False
        self._rest()
        return self._broken is None

    def _rest(self) -> None:
        """Tell of what is durable now, and say so if with it the run has ended or is parked."""
        self._on_record()
        final = self._final
        durable = final is not None and final.done() and not final.cancelled() and final.exception() is None
        if durable and not self.finished.done():
            self._pace.rest()
            self.finished.set_result(None)
            self._on_rest(self)
