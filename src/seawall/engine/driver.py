"""The driver of one run: takes the actions of `decide`, sends them through the gate, records them and performs them.

One rule keeps a run durable with one wait for the disk a step: the result of a step and the intents of the steps that
were decided from it go to the journal as one batch, and none of them is acted on before that batch is durable. So every
intent is on disk before its step is performed, and a crash can neither repeat a recorded step nor lose count of a call.
If an outside loop asks for the steps, a result that the loop may be told at once is held for a moment, and goes to the
journal together with the loop's next request.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Literal

from msgspec.structs import replace

from seawall.core.clock import Clock
from seawall.core.errors import Broken, Fenced, SeawallBug, is_error, wrap_unexpected
from seawall.core.events import PERFORMED, Event, GuardSet, Mode, Planned, StepDone
from seawall.engine.beside import Beside
from seawall.engine.gate import Gate
from seawall.engine.held import HOLD_BYTES, HeldEvents
from seawall.engine.in_doubt import LateResult, has_succeeded
from seawall.engine.merging import Ending, Merging, Resolve, change_end
from seawall.engine.ownership import RECENT_S, LeaseCheck
from seawall.engine.parking import build_pauses
from seawall.engine.settling import build_timeout, record_cut
from seawall.engine.timers import PlanTimer, StepTimers, TeamTimer
from seawall.guards.deadline import DEADLINE, Deadline
from seawall.guards.nested import list_overdue
from seawall.guards.shared import Defer
from seawall.journal.protocol import InboxItem, Journal, Lease
from seawall.planner.pruning import RunPlanner
from seawall.run.bodies import Bodies
from seawall.run.commands import take_command
from seawall.run.fold import apply
from seawall.run.outcome import summarise
from seawall.run.state import RunState
from seawall.run.step import UNWATCHED, Close, End, Logic, Propose, Result, RunWatcher, Step, restore_step

MAX_ROUNDS = 10_000
"""Most rounds of decisions without a wait. More rounds mean that `decide` does not come to rest."""

Create = Callable[..., Awaitable[Lease]]
"""Records a new run: (events after the first, bodies, whether it waits, its summary if it has ended, bookings, changes
of records)."""


class Driver:
    """Drives one run in this process until it has ended, waits for a person, or is given up.

    `on_record` is called after each batch that became durable, `on_rest` once the run has ended, waits, or was
    given up.
    """

    def __init__(
        self,
        state: RunState,
        *,
        logic: Logic,
        gate: Gate,
        journal: Journal,
        lease: Lease | None,
        clock: Clock,
        bodies: Bodies,
        planner: RunPlanner | None = None,
        resolve: Resolve | None = None,
        watcher: RunWatcher = UNWATCHED,
        on_rest: Callable[[Driver], None],
        on_record: Callable[[], None],
    ) -> None:
        self.state = state
        self.lease = lease if lease is not None else Lease(state.started.run, state.started.tenant, "", 0)
        self.bodies = bodies
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the run has ended or waits, and that is durable; fails with the error that broke the journal."""
        self._logic, self._gate, self._planner = logic, gate, planner
        self._journal, self._clock = journal, clock
        self._on_rest, self._on_record = on_rest, on_record
        self._beside = Beside(gate.build_merge)
        self._resolve, self._watcher = resolve, watcher
        self._before_end = state
        self._deadline = Deadline(clock, state.left_s)
        self.left_s = self._deadline.left_s
        """Returns the active seconds left: below zero once a deadline that does not bind has passed."""
        self._timers = StepTimers(clock)
        gate.report_signs(self._timers.note_sign)
        self._plan_timer = PlanTimer(clock, planner, self) if planner is not None else None
        self._team_timer = TeamTimer(clock, gate.teams, self._on_team_overdue) if gate.teams else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = HeldEvents(clock, self._send_held)
        self._final: asyncio.Future[None] | None = None
        """Durable with the batch after which the run has ended or is parked."""
        self._acquired: dict[int, Step] = {}
        """Admitted steps without a result, by number: the guards that runs share count them."""
        self._deferred: list[Defer] = []
        """The reasons why proposals of the newest round wait."""
        self._intended_s: dict[int, float] = {}
        """By step: the boot-time seconds when its intent was sent to the journal."""
        self._recorded_waiting = state.waits
        self._broken: Exception | None = None
        self._closing = False

    def __repr__(self) -> str:
        return f"<Driver {self.state.started.run} seq {self.state.seq}, {len(self._tasks)} in flight>"

    @property
    def parked(self) -> bool:
        """Whether all remaining work waits for people: for their decisions, or for pauses that they set."""
        return self.state.waits and not self._deferred

    @property
    def broken(self) -> Exception | None:
        """The error because of which this process gave up the run, or None."""
        return self._broken

    @property
    def is_recorded(self) -> bool:
        """Whether this process has the run's lease; a new run has none before it is recorded."""
        return self.lease.epoch > 0

    # ---- time

    def _watch_time(self) -> None:
        self._deadline.watch(self._on_overdue)
        if self._plan_timer is not None:
            self._plan_timer.watch()

    def _on_overdue(self) -> None:
        mode = self.state.modes.get(DEADLINE, "enforce")
        if self.state.ended is None and mode != "off":
            self._proceed([self._deadline.build_verdict(self.state.started.limits.active_s, mode)])

    def on_planned(self, planned: Planned) -> None:
        """Records what the planner has pruned for lack of time, and goes on without it."""
        self._proceed([planned])

    def _on_team_overdue(self) -> None:
        """Gives up the steps in flight of a nested team whose time is up. Its next steps are refused."""
        for intent, short in list_overdue(self._gate.teams, self.state, self.left_s()):
            step = self._acquired.get(intent.step)
            if step is not None:
                events, step_only = self._gate.end_overdue(step, short, self.state)
                if step_only:
                    self._give_up_step(step, f"Error: {short.reason}", "cut", events)
                else:
                    self._proceed(events)
        self.decide_again()

    def _watch_team_time(self) -> None:
        if self._team_timer is not None:
            self._team_timer.watch(self.state, self.left_s())

    def _stop_watching_time(self) -> None:
        self._deadline.cancel()
        if self._team_timer is not None:
            self._team_timer.cancel()
        if self._plan_timer is not None:
            self._plan_timer.cancel()

    # ---- from outside

    def start(self, first: Sequence[Event] = (), commands: Sequence[InboxItem] = ()) -> None:
        """Goes on with a recorded run. `first` is recorded first: the new segment, and what closes the steps that a
        crash left open.

        `commands` came into the inbox meanwhile; they are taken before anything is decided.
        """
        self._watch_time()
        self._proceed(first, commands)

    async def start_new(self, first: Sequence[Event], create: Create) -> None:
        """Starts a run that is not recorded yet: `create` records it with its first steps in one commit."""
        batch, ready = self._fold_and_decide(first)
        ended, self._recorded_waiting = self.state.ended, self.parked
        summary = None if ended is None else summarise(self.state)
        self._note_intents(ready)
        try:
            self.lease = await create(
                batch,
                self.bodies.take_unsaved(),
                self._recorded_waiting,
                summary,
                self._beside.take_bookings(),
                self._beside.take_records(),
            )
        except BaseException:
            self._release_all()
            raise
        if not self.is_recorded:  # the request was known already: another run answers it
            self._broken = Fenced(f"request of run {self.state.started.run} was taken already")
            self._release_all()
        if self._broken is not None:
            return
        self._watcher.sent(None)
        self._watch_time()
        self._watch_team_time()
        if ended is not None or self._recorded_waiting:
            self._final = asyncio.get_running_loop().create_future()
            self._final.set_result(None)
            self._report_durable()
        for step in ready:
            self._keep(self._perform_chain(step))
        if self._deferred:  # the wait may have ended while the run was being recorded
            self.decide_again()

    def take_command(self, item: InboxItem) -> None:
        """Takes a command from the inbox; one that was taken already is ignored."""
        if self.is_recorded and item.number > self.state.inbox and self.state.ended is None:
            self._proceed((), (item,))

    def decide_again(self) -> None:
        """Decides again, because something that runs share has changed."""
        if self.is_recorded and self.state.ended is None and not self.parked:
            self._proceed(())

    def withdraw_paused(self) -> None:
        """Withdraws every step that was admitted, has not begun, and is paused now. It is proposed again later."""
        for step in list(self._acquired.values()) if self.is_recorded else ():
            in_flight = step.number in self.state.open and step.kind in PERFORMED
            if not in_flight or not self._gate.is_paused(step, self.state):
                continue
            # The task waits for its start time or for a thread, and is cancelled before it begins.
            if not self._timers.is_performed(step.number) or self._gate.withdraw(step) is not None:
                self._proceed(self._settle(step, Result(status="withdrawn")))
                self._timers.stop(step.number)

    def set_mode(self, guard: str, mode: Mode, by: str, until: float | None) -> None:
        """Switches a guard for the rest of the run."""
        if self.is_recorded and self.state.ended is None and self.state.modes.get(guard) != mode:
            self._proceed([GuardSet(at=self._clock.wall_s(), guard=guard, mode=mode, by=by, until=until)])
            if guard == DEADLINE and self.left_s() <= 0:  # it passed while it was only observed
                self._on_overdue()

    def give_up(self, error: Exception, *, closing: bool = False) -> None:
        """Stops at once; the run can be resumed from what is durable.

        Nothing more is recorded; with `closing`, results that come before the lease is given back still are.
        """
        if self._broken is not None:
            return
        if closing and self._held:
            self._send_held()
        self._broken, self._closing = error, closing
        self._cancel_all()
        self._release_all()
        if not self.finished.done():
            self.finished.set_exception(error)
            self.finished.exception()  # callers that wait get the error; marks it as retrieved if there are none
        self._on_rest(self)

    def _give_up_unexpectedly(self, error: BaseException, where: str) -> None:
        """Gives the run up after an error that is not a step's result. An interrupt also ends the event loop."""
        self.give_up(wrap_unexpected(error, self.state.started.run, where))
        if is_error(error, (KeyboardInterrupt, SystemExit)):
            raise error

    def list_unfinished_tasks(self) -> list[asyncio.Task[None]]:
        """Returns the tasks still at work: late steps of an ended run, or all of a run that was given up."""
        return [task for task in self._tasks if not task.done()]

    def _cancel_all(self) -> None:
        self._stop_watching_time()
        self._held.cancel()
        self._timers.cancel()
        current = asyncio.current_task()  # the task that caused the end goes on to report it
        for task in self._tasks:
            if task is not current:
                task.cancel()

    # ---- decide, record

    def _proceed(self, happened: Sequence[Event], commands: Sequence[InboxItem] = ()) -> None:
        """Records what happened and the steps that follow, and performs these steps once the record is durable."""
        if self._broken is not None:
            return
        try:
            ready, durable = self._append(happened, commands)
        except BaseException as error:  # noqa: BLE001 -- a timer has no caller: the run reports the error
            self._give_up_unexpectedly(error, "deciding")
            return
        self._keep(self._perform_after(ready, durable))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() or self.state.ended is not None or self.finished.done():
            return
        if why := self._timers.explain_loss(task):
            self.give_up(Broken(f"run {self.state.started.run} was given up: {why}; resume it"))

    async def _perform_after(self, ready: list[Step], durable: Awaitable[None] | None) -> None:
        if await self._wait_durable(durable) and ready:
            for step in ready[1:]:
                self._keep(self._perform_chain(step))
            await self._perform_chain(ready[0])

    def _append(
        self, happened: Sequence[Event], commands: Sequence[InboxItem] = ()
    ) -> tuple[list[Step], Awaitable[None] | None]:
        """Folds `happened` and all decisions that follow, and enqueues these events for the journal. Returns the steps
        to perform, and the future that is done once they may be; None if there is nothing to record.
        """
        batch, ready = self._fold_and_decide(happened, commands)
        ended = self.state.ended
        parked = not ready and self.parked  # the steps to perform count as in flight
        self._watch_team_time()
        if not batch and parked == self._recorded_waiting:  # the new round decided nothing
            return ready, None
        if batch and not ready and ended is None and not parked and self._may_hold():
            self._held.hold(batch)
            self._watcher.sent(None)
            return ready, None
        self._note_intents(ready)
        sent = self._send(batch, parked=parked)
        durable = sent if isinstance(sent, asyncio.Future) else asyncio.ensure_future(sent)
        self._final = durable if ended is not None or parked else None
        self._watcher.sent(durable)
        return ready, durable

    def _note_intents(self, ready: Sequence[Step]) -> None:
        sent_s = self._clock.boottime_s()
        self._intended_s.update({step.number: sent_s for step in ready})

    def _send(self, batch: Sequence[Event], *, parked: bool = False) -> Awaitable[None]:
        """Enqueues the held events, then `batch`, for the journal; returns a future: both are durable."""
        batch = [*self._held.take(), *batch]
        send = partial(
            self._journal.append,
            self.lease,
            self.state.seq - len(batch),
            waiting=parked if parked or self._recorded_waiting else None,
            summary=None if self.state.ended is None else summarise(self.state),
            booked=self._beside.take_bookings(),
            records=self._beside.take_records(),
        )
        self._recorded_waiting = parked
        unsaved, merge = self.bodies.take_unsaved(), self._beside.take_merge()
        if merge is None:
            return send(batch, unsaved)
        merging = Merging(send, partial(self._end_again, batch), self.bodies.take_unsaved, self._resolve)
        return merging.begin(batch, unsaved, merge)

    def _may_hold(self) -> bool:
        """Returns whether the loop may be told the folded events before the journal gets them."""
        return self._watcher.may_wait() and self.bodies.measure_unsaved() <= HOLD_BYTES

    def _send_held(self) -> None:
        """Sends the held events to the journal, because no event that can be recorded with them has followed."""
        if self._broken is not None or not self._held:
            return
        try:
            sent = self._send([])
        except BaseException as error:  # noqa: BLE001 -- a timer has no caller: the run reports the error
            self._give_up_unexpectedly(error, "recording")
            return
        self._keep(self._perform_after([], sent))

    def _look_at_lease(self) -> Awaitable[None]:
        """Returns an awaitable that raises if the run does not belong to this process any more."""
        if self._held:
            return self._send([])
        return self._journal.append(self.lease, self.state.seq, (), {})

    def _fold_and_decide(
        self, happened: Sequence[Event], commands: Sequence[InboxItem] = ()
    ) -> tuple[list[Event], list[Step]]:
        """Folds what happened and all decisions that follow; returns these events, and the steps to perform."""
        batch: list[Event] = []
        self._fold(batch, happened)
        for item in commands:
            if item.number > self.state.inbox:
                now, left_s = self._clock.wall_s(), self.left_s()
                taken = take_command(item, self.state, self.bodies, now, left_s)
                self._gate.learn_decisions(taken)
                self._fold(batch, taken)
        ready = self._decide(batch)
        if self.state.ended is None and not ready and not self.state.in_flight:
            self._park(batch)
            if not (self.state.started.loop or self._deferred or self.state.waits):
                run = self.state.started.run
                raise SeawallBug(f"run {run} has nothing in flight, nothing to wait for and no outcome")
        return batch, ready

    def _park(self, batch: list[Event]) -> None:
        """Parks a run in which nothing is in flight and everything waits for people and their pauses."""
        if not self._deferred:
            return
        pauses = build_pauses(self._deferred, self._clock.wall_s(), self.left_s(), self.bodies.redact)
        if pauses:
            self._deferred = []
            self._fold(batch, pauses)

    def _fold(self, batch: list[Event], events: Sequence[Event]) -> None:
        for event in events:
            batch.append(event)
            before = self.state
            after = self.state = apply(before, event, self._gate.judge.folding)
            self._beside.note(event, before, after)
            self._watcher.note(event, before, after)
            if after.memories is not before.memories and (
                failed := self._gate.judge.halt_failed_folds(before, after)
            ):
                self._fold(batch, failed)

    def _decide(self, batch: list[Event]) -> list[Step]:
        ready: list[Step] = []
        for _ in range(MAX_ROUNDS):
            again, plan = False, self.state.plan
            self._deferred = []
            for action in self._logic.decide(self.state):
                again = self._act(action, batch, ready) or again
                if self.state.ended is not None:
                    return []
                if (self.state.plan.course, self.state.plan.closing) != (plan.course, plan.closing):
                    break  # the plan has changed
            if not again:
                return ready
        raise SeawallBug(
            f"run {self.state.started.run}: decisions did not come to rest in {MAX_ROUNDS} rounds"
        )

    def _act(self, action: Propose | Close | End, batch: list[Event], ready: list[Step]) -> bool:
        """Carries out one action; returns whether `decide` must be called again after it."""
        planned = self._gate.answer_failed(action, self.state) if isinstance(action, End) else None
        if self._planner is not None and planned is None and not isinstance(action, Close):
            planned, action = self._planner.plan(action, self.state, self.left_s())
        if planned is not None and planned.mode == "enforce":
            self._fold(batch, [planned])
            return True
        match action:
            case Propose():
                admitted = self._gate.admit(action, self.state, self.left_s())
                events, step = admitted.events, admitted.step
                self._beside.add(admitted.records)
                self._fold(batch, [*events, planned] if planned is not None and events else events)
                if admitted.defer is not None:
                    self._deferred.append(admitted.defer)
                if step is None:
                    return bool(events)
                self._acquired[step.number] = step
                self._timers.begin(step.number)
                if step.kind in PERFORMED:  # further decisions follow once the step has its result
                    ready.append(step)
                    return self.state.halted is not None
                return True
            case Close():
                return self._close(action, batch, ready)
            case End():
                self._end(action, batch, ready)
                return True

    def _close(self, close: Close, batch: list[Event], ready: list[Step]) -> bool:
        """Ends a hand-off, a review, or a step that is given up; returns whether that step was open."""
        intent = self.state.open.get(close.step)
        if intent is None:
            return False
        step = self._acquired.get(close.step) or restore_step(intent)
        text = close.text if close.text is not None else self.bodies.text(close.output)
        took_s = self._timers.took_s(step.number)
        self._timers.stop(step.number)
        if step in ready:  # admitted in this round
            ready.remove(step)
            result = Result(status="withdrawn")
        else:
            result = Result(
                status=close.status,
                output=text,
                error=close.error,
                approved=close.approved,
                duration_s=took_s,
            )
        self._fold(batch, self._settle(step, result))
        return True

    def _settle(self, step: Step, result: Result) -> list[Event]:
        """Returns the events that end a step, and releases it at the shared guards."""
        self._release(step.number, result)
        events = self._gate.settle(step, result, self.state, self.left_s())
        if self._planner is not None and isinstance(done := events[-1], StepDone):
            self._planner.learn(step, done)
        return events

    def _release(self, number: int, result: Result) -> None:
        step = self._acquired.pop(number, None)
        if step is not None:
            self._gate.release(step, self.state, result)

    def _release_all(self) -> None:
        for number in list(self._acquired):
            self._release(number, Result(status="cancelled"))

    def _end(self, end: End, batch: list[Event], ready: Sequence[Step]) -> None:
        """Closes the steps in flight, withdraws those that were admitted in this round (`ready`), then ends the run."""
        now = self._clock.wall_s()
        withdrawn = {step.number for step in ready}
        for step in sorted(self.state.open.values(), key=lambda step: -step.step):
            done = record_cut(step, self.state, self.bodies, now, made=step.step not in withdrawn)
            done = replace(done, duration_s=self._timers.took_s(step.step), left_s=self.left_s())
            self._release(step.step, Result(status=done.status))
            if self._planner is not None:
                self._planner.learn(restore_step(step), done)
            self._fold(batch, [done])
        self._before_end = self.state
        self._fold(batch, [self._gate.end(end, self.state, self.left_s())])
        self._cancel_all()

    def _end_again(self, batch: list[Event], memory: Ending) -> list[Event]:
        """Returns the batch with which the run ends, changed to the new result of its merge."""
        batch, self.state = change_end(batch, memory, self._before_end, self._gate.guards)
        return batch

    # ---- perform

    async def _perform_chain(self, step: Step) -> None:
        """Performs a step and goes on with the steps that follow, as one task."""
        ready, task = [step], asyncio.current_task()
        try:
            while ready:
                step = ready[0]
                for other in ready[1:]:
                    self._keep(self._perform_chain(other))
                result = await self._perform(step, task)
                if result is None:
                    return
                ready, durable = self._append(self._settle(step, result))
                if not await self._wait_durable(durable):
                    return
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 -- no error may be lost in a task
            self._give_up_unexpectedly(error, f"step {step.number}")

    async def _perform(self, step: Step, task: asyncio.Task[None] | None) -> Result | None:
        """Returns the result of `step`, which `task` performs, or None if it came too late to count."""
        number = step.number
        if step.delay_s > 0:
            await self._clock.sleep(step.delay_s)
        if number not in self.state.open:  # given up before it began
            return None
        self._start_timer(step, task)
        ownership, intended_s = None, self._intended_s.pop(number, None)
        if step.effect:
            ownership = LeaseCheck(self._clock, self._look_at_lease, self._journal.assured_s, intended_s)
        elif intended_s is None or self._clock.boottime_s() - intended_s >= RECENT_S:
            await self._look_at_lease()  # the call would cost the run's new owner money or time
        result = await self._gate.perform(step, self.state, self.left_s(), ownership)
        duration_s = self._timers.took_s(number)
        self._timers.forget(number)
        await self._journal.wait_for_room()
        is_open = number in self.state.open
        if self._broken is not None:
            if self._closing and is_open:
                await self._record_last(step, result)
            return None
        if not is_open:
            await self._record_late(step, result)
            return None
        return replace(result, duration_s=duration_s)

    def _start_timer(self, step: Step, task: asyncio.Task[None] | None) -> None:
        """Starts the timers of the step's own time limit and of the plan's."""
        self._timers.start(step.number, task)
        if (limit_s := step.timeout_s) is not None:
            self._timers.limit_silence(step.number, limit_s, lambda: self._expire(step, limit_s))
        if self._planner is None:
            return
        planned_s = self._planner.compute_step_limit_s(step, self.state, self.left_s())
        if planned_s is not None:
            self._timers.limit(step.number, planned_s, lambda: self._expire(step, planned_s, planned=True))

    def _expire(self, step: Step, after_s: float, *, planned: bool = False) -> None:
        """Ends a step that has used up its time. It fails now, and a later result is recorded and dropped."""
        if step.number not in self.state.open or self._broken is not None:
            return
        text = f"{step.kind} {step.name!r} did not answer within {after_s:.6g} s"
        events: list[Event] = []
        if planned and self._planner is not None:
            events.append(self._planner.plan_cut(step, self.state, self.left_s()))
        self._give_up_step(step, text, "cut" if planned else "broken", events)

    def _give_up_step(
        self, step: Step, text: str, endpoint: Literal["cut", "broken"], first: Sequence[Event]
    ) -> None:
        result = self._gate.withdraw(step) or build_timeout(step, text, endpoint)
        result = replace(result, duration_s=self._timers.took_s(step.number))
        self._proceed([*first, *self._settle(step, result)])
        self._timers.stop(step.number)

    async def _record_last(self, step: Step, result: Result) -> None:
        """Records a result that came while this process closes: the run's next owner decides what follows."""
        batch = list[Event]()
        self._fold(batch, self._settle(step, result))
        with contextlib.suppress(Broken):  # too late: another process has the run, or the disk is full
            await self._send(batch)

    async def _record_late(self, step: Step, result: Result) -> None:
        """Records and drops a result that came after its step had ended."""
        if self._final is not None:  # the end may be appended again, and these events must come after it
            await asyncio.wait([self._final])
        output = self.bodies.put(result.output)
        if result.status == "cancelled":
            return
        self._send_held()
        late = LateResult(self.state, step, result, output, self._clock.wall_s())
        for event in late.events:
            before = self.state
            self.state = apply(before, event, self._gate.guards)
            late.note(event, before, self.state)
        await late.record(self._journal, self.lease, self.bodies.take_unsaved())

    async def _wait_durable(self, durable: Awaitable[None] | None) -> bool:
        """Waits until a batch is on disk; returns whether the run goes on here."""
        try:
            if durable is not None:
                await durable
        except asyncio.CancelledError:  # raised once the write is done: see `Journal.append`
            if isinstance(durable, asyncio.Future) and has_succeeded(durable):
                self._report_durable()
            raise
        except Exception as error:  # noqa: BLE001 -- any error of the journal ends the run here
            self.give_up(error)
            return False
        self._report_durable()
        return self._broken is None

    def _report_durable(self) -> None:
        """Reports that a batch is durable, and finishes if the run has ended or is parked with it."""
        self._on_record()
        if self._final is not None and has_succeeded(self._final) and not self.finished.done():
            self._stop_watching_time()
            self.finished.set_result(None)
            self._on_rest(self)
