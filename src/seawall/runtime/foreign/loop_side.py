"""One run as a framework's loop asks for its steps, on the engine's event loop.

    Session ── asks ──> LoopSide ── looks up ──> StepFinder ──> Standing ──> Recorded
                           │                     which step     what the     what is
                           │                     it is          loop was     recorded
                           │                                    told of it
                           └── if it is not recorded: Ask ──> Asks <──> the run's driver ──> the gate

`LoopSide` begins the run, takes it up, releases it and ends it, and gives each asker its turn or the end of its step. Each
event of the driver comes back to `Standing`, and through it to `Recorded`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from seawall.core.clock import Timer
from seawall.core.errors import Broken, Misused, Refused
from seawall.core.events import Event, Judged, StepStatus
from seawall.core.refs import refs_of
from seawall.effects.guard import EFFECTS
from seawall.engine.driver import Driver
from seawall.history.recorded import read_outcome
from seawall.journal.protocol import Command, RunFilter, RunRow
from seawall.run.frame import find_call
from seawall.run.outcome import Outcome
from seawall.run.state import RunState
from seawall.run.step import Close, End, Result
from seawall.runtime.foreign.asked import Asked, BeginOptions
from seawall.runtime.foreign.asks import Ask, AskedRequest, Asks, Halted, Held, Settled, Turn
from seawall.runtime.foreign.coverage import Coverage
from seawall.runtime.foreign.finding import StepFinder
from seawall.runtime.foreign.parked import look_at_error, wait_ended_elsewhere
from seawall.runtime.foreign.reply import CLOSED, CallerReply
from seawall.runtime.foreign.standing import Standing
from seawall.runtime.foreign.team import ForeignTeam
from seawall.runtime.raising import lift_budget_halt
from seawall.runtime.seawall import Seawall

T = TypeVar("T")
AskReply = CallerReply[tuple[Ask, Turn] | Settled]
IDLE_S = 5.0
"""Seconds after which a run whose loop asks for nothing is released; its clock stops until the loop asks again. The loop may
wait for a person in its own way, or an exception may have ended it. A loop that works asks again within milliseconds."""


class LoopSide:
    """One run, for one invocation of a framework's loop. All its methods are called on the engine's event loop."""

    def __init__(
        self,
        sea: Seawall,
        team: ForeignTeam,
        options: BeginOptions,
        coverage: Coverage,
    ) -> None:
        self._sea, self._supervisor, self.team = sea, sea.supervisor, team
        self._options, self._coverage = options, coverage
        self.standing = Standing()
        self.finder = StepFinder(team, self.standing, waits=options.waits)
        self._asks: Asks = team.asks
        self._asks.journal_path = sea.journal_path
        self._asks.bodies = self._supervisor.make_bodies(options.tenant, options.session)
        self._asks.on_event, self._asks.on_turn = self._on_event, self._on_turn
        self._asks.on_held, self._asks.on_untold = self._on_held, self.finder.note_unsettled
        self._asks.must_advise = coverage.must_advise
        self._asks.on_parked = self._on_parked
        self._asks.find_request = self._find_request
        self._lock = asyncio.Lock()
        self._run: str | None = None
        self._starting: asyncio.Task[Any] | None = None
        """The task that begins the run or takes it up. It goes on if the caller that has asked first is cancelled meanwhile."""
        self._learned: tuple[int, int] | None = None
        """The epoch and the number of events up to which the record was learned; None if it was not learned as a whole."""
        self._unlearned: list[tuple[int, Event]] = []
        """Events that the driver has recorded while the events before them are being read, with their numbers."""
        self._outcome: Outcome[Any] | None = None
        """The outcome of a run that had ended before the loop began."""
        self._watching: asyncio.Task[None] | None = None
        """The task that watches a run which waits for people, for the callers that wait for it."""
        self._idle: Timer | None = None
        self._touched_s = 0.0
        """When the loop last asked for something, in monotonic seconds."""
        self._waiting = 0
        """The number of calls of the loop that wait for something other than the driver."""

    def __repr__(self) -> str:
        return f"<LoopSide of run {self._run}>"

    @property
    def run(self) -> str | None:
        """The id of the run; None before its first step."""
        return self._run

    @property
    def is_busy(self) -> bool:
        """Whether the loop waits for a step, or performs one."""
        return bool(self._waiting or self._asks.open)

    def _on_event(self, event: Event, before: RunState) -> None:
        if 0 < self.standing.known < before.seq and not self._asks.is_behind:
            self._asks.is_behind = True
            self._supervisor.start_task(self._catch_up(before.seq))
        if self._asks.is_behind:
            self._unlearned.append((before.seq, event))
        else:
            self.standing.learn(event, before.seq)
        self._learned = None
        if isinstance(event, Judged) and event.guard == EFFECTS and event.verdict == "advise":
            intent = before.open.get(event.step)
            if intent is not None:
                self._coverage.advise(intent.name, event.reason)

    async def _catch_up(self, first: int) -> None:
        """Learns the events that another process or loop has recorded before the driver's first event, `first`.

        The open asks are looked up again, because their steps may have been made.
        """
        try:
            events = (await self._supervisor.journal.events(self._asks.run))[:first]
            self.standing.relearn(events)
        except Exception as error:  # noqa: BLE001 -- the askers get it
            self._asks.fail_all(error)
            return
        for number, event in self._unlearned:
            self.standing.learn(event, number)
        self._unlearned.clear()
        self._asks.is_behind = False
        for ask in list(self._asks.open.values()):
            self._ask_again(ask)
        if (driver := self._find_driver()) is not None:
            driver.decide_again()

    def _find_request(self, frame: int) -> AskedRequest | None:
        return self.standing.recorded.find_request(frame)  # another object after each `relearn`

    def _find_driver(self) -> Driver | None:
        """Returns the run's driver, if it has one and the driver belongs to this loop."""
        registry = self._supervisor.registry
        if self._run is None or registry.teams.get(self._run) is not self.team:
            return None
        return registry.drivers.get(self._run)

    def _check_own(self, run: str) -> None:
        """Raises `Refused` if another loop of this process is at work on the run."""
        registry = self._supervisor.registry
        team = registry.teams.get(run)
        if team is None or team is self.team:
            return
        if run in registry.drivers or (isinstance(team, ForeignTeam) and team.asks.open):
            raise Refused(
                f"run {run} is under way for another caller of this process, with the same request id or session",
                guard="lease",
                value=self._supervisor.journal.owner,
            )

    def _forget_team(self) -> None:
        registry = self._supervisor.registry
        if self._run is not None and registry.teams.get(self._run) is self.team:
            del registry.teams[self._run]

    # ---- idling

    def _touch(self) -> None:
        """Notes that the loop asks for a step or brings a result, so that it is not idle."""
        self._touched_s = self._supervisor.clock.monotonic_s()
        if self._idle is None:
            self._idle = self._supervisor.clock.call_later(IDLE_S, self._on_idle)

    @contextlib.contextmanager
    def _busy(self) -> Generator[None]:
        """Counts the loop as busy while the context lasts."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._touch()

    def _on_idle(self) -> None:
        self._idle = None
        if self._outcome is not None or self._run is None or self._supervisor.closing:
            return
        quiet_s = self._supervisor.clock.monotonic_s() - self._touched_s
        if self.is_busy or quiet_s < IDLE_S:
            left_s = IDLE_S if self.is_busy else IDLE_S - quiet_s
            self._idle = self._supervisor.clock.call_later(left_s, self._on_idle)
        else:
            self._supervisor.start_task(self._rest())

    async def _rest(self) -> None:
        async with self._lock:
            driver = self._find_driver()
            if driver is not None and driver.state.ended is None and not self.is_busy:
                await self._let_go(driver)

    # ---- waiting for people

    def _on_parked(self) -> None:
        if not self._supervisor.closing:
            self._watching = asyncio.get_running_loop().create_task(self._watch_parked())
            self._watching.add_done_callback(look_at_error)

    async def _watch_parked(self) -> None:
        outcome = await wait_ended_elsewhere(self._supervisor, self._asks)
        if outcome is not None:
            self._outcome = outcome
            self._forget_team()
            self._asks.fail_all(Halted(outcome))

    # ---- beginning, and going on

    async def open(self) -> None:
        """Finds the run if it is recorded already. Nothing is recorded for a new run before its first step."""
        async with self._lock:
            await self._find_run()

    async def _find_run(self) -> None:
        options, journal = self._options, self._supervisor.journal
        await self._wait_started()
        if self._run is not None:
            if self._outcome is None and self._find_driver() is None:
                await self._learn_recorded(await journal.row(self._run))
            return
        known = None
        if options.request_id is not None:
            known = await journal.run_of_request(options.tenant, options.request_id)
        if known is None and options.session is not None:
            known = await self._find_unfinished(options.session)
        if known is not None:
            row = await journal.row(known)
            if await lift_budget_halt(self._supervisor, row, self.team.loop, options.check_same):
                row = await journal.row(known)
            await self._learn_recorded(row)

    async def _find_unfinished(self, session: str) -> str | None:
        """Returns the session's newest run if the loop goes on with it; otherwise cancels that run if it has not ended."""
        options = self._options
        wanted = RunFilter(session=session, tenant=options.tenant)
        rows = await self._supervisor.journal.runs(wanted, limit=1)
        if not rows or rows[0].state == "ended":
            return None
        row = rows[0]
        if options.resume:  # also if this process has it: a new run would wait for its end
            return row.run
        if not self._supervisor.registry.holds(row.run) and row.state in ("interrupted", "waiting"):
            reason = "the next request of its session came"
            await self._supervisor.cancel(row.run, Command(kind="cancel", by=self.team.loop, reason=reason))
        return None

    async def _learn_recorded(self, row: RunRow) -> None:
        if (row.epoch, row.events) == self._learned:
            return
        journal = self._supervisor.journal
        events = await journal.events(row.run)
        if events:
            self._options.check_same(events[0])
        self.standing.relearn(events)
        self._learned = (row.epoch, len(events))
        self._run = self._asks.run = row.run
        if row.state == "ended":
            self._outcome = await read_outcome(journal, row.run)
        bodies = self._asks.bodies
        assert bodies is not None
        bodies.load(await journal.bodies(self._options.tenant, bodies.missing(refs_of(events))))

    async def _drive(self) -> Driver | None:
        """Has the run's driver decide again, and returns it. A run without a driver is begun or taken up.

        Returns None if the run has ended; its askers were told.
        """
        registry = self._supervisor.registry
        async with self._lock:
            if self._run is None:
                self._starting = self._supervisor.start_task(self._start())
                await asyncio.shield(self._starting)
                assert self._run is not None
                if self._run not in registry.queued:
                    return registry.drivers.get(self._run)
            while True:
                self._check_own(self._run)
                driver = registry.drivers.get(self._run)
                if driver is not None and driver.broken is None and not driver.parked:
                    if driver.state.ended is None:
                        driver.decide_again()
                    return driver
                if driver is not None:  # it is about to rest
                    await asyncio.wait([driver.finished])
                    await asyncio.sleep(0)
                elif registry.holds(self._run):  # the run is in the queue, or this process is taking it up
                    await registry.get_next_change(self._run)
                else:
                    return await self._take_up(self._run)

    async def _wait_started(self) -> None:
        """Waits until a run is begun or taken up for another caller, and ignores its failure."""
        if self._starting is not None and not self._starting.done():
            await asyncio.wait([self._starting])

    async def _start(self) -> None:
        """Begins a run. Raises `Refused` if another caller has begun a run with the same request id at this moment."""
        options = self._options
        with self._busy():
            run = await self._sea.start(
                self.team,
                options.request,
                session=options.session,
                tenant=options.tenant,
                principal=options.principal,
                request_id=options.request_id,
                limits=options.limits,
                modes=options.modes,
            )
        if self._asks.run != run.id and run.id not in self._supervisor.registry.queued:
            raise Refused(
                f"request {options.request_id!r} was begun as run {run.id} by another caller at this moment; ask again",
                guard="lease",
                value=run.id,
            )
        self._run = self._asks.run = run.id

    async def _take_up(self, run: str) -> Driver | None:
        """Goes on with a run that no process drives."""
        if self._supervisor.closing:
            raise Broken(CLOSED)
        self._starting = taking = self._supervisor.start_task(self._supervisor.take_up(run, self.team))
        driver = await asyncio.shield(taking)  # a caller that is cancelled leaves no lease behind
        if driver is None:
            self._outcome = self._outcome or await read_outcome(self._supervisor.journal, run)
            self._asks.fail_all(Halted(self._outcome))
        return driver

    # ---- asking

    def ask(self, asked: Asked, within: int, reply: AskReply) -> None:
        """Gives the asker its turn, or the end of a step that it need not perform. `within`: the step within which it asks.

        The asker gets `Halted` once the run has ended, `Held` if a person must decide first, `Refused` and `Broken` as
        `Seawall.start` and `Seawall.resume` raise them.
        """
        self._touch()
        if not self._ask_at_once(asked, within, reply):
            reply.task = self._supervisor.start_task(self._ask(asked, within, reply))

    def _ask_again(self, ask: Ask) -> None:
        """Looks an ask up again, because its step may have been made elsewhere. Without a driver it is not performed here."""
        reply = ask.reply
        self._asks.withdraw(ask)
        if reply is not None:
            reply.task = self._supervisor.start_task(self._ask(ask.asked, ask.within, reply))

    def _ask_at_once(self, asked: Asked, within: int, reply: AskReply) -> bool:
        """Asks the run's driver if nothing must be waited for before that. Returns whether it did."""
        driver = self._find_driver()
        if driver is None or self._lock.locked() or self._outcome is not None or not driver.is_recorded:
            return False
        if driver.broken is not None or driver.parked or driver.state.ended is not None:
            return False
        ask = self._find(asked, within, reply)
        if ask is None:
            return True
        if self._asks.find(ask.frame, ask.key) is not None:
            reply.task = self._supervisor.start_task(self._ask(asked, within, reply, ask.key))
            return True
        self._add(ask, reply)
        driver.decide_again()
        try:
            self._check_waits(ask, driver.state)
        except Held as held:
            self._on_held(ask, held)
        except Misused as error:
            self._asks.withdraw(ask)
            reply.fail(error)
        return True

    async def _ask(self, asked: Asked, within: int, reply: AskReply, key: str | None = None) -> None:
        """As `ask`, if something must be waited for. `key` is the key under which the step was asked for before."""
        ask: Ask | None = None
        try:
            with self._busy():
                await self.open()
                while (ask := self._find(asked, within, reply, key)) is not None:
                    if self._outcome is not None:
                        raise Halted(self._outcome)
                    other = self._asks.find(ask.frame, ask.key)
                    if other is None:
                        break
                    key = ask.key
                    await asyncio.wait([other.over])  # the same call, asked for at the same time
                if ask is None:
                    return
                self._add(ask, reply)
                driver = await self._drive()
                if driver is not None and not ask.over.done():
                    self._check_waits(ask, driver.state)
        except Held as held:
            assert ask is not None
            self._on_held(ask, held)
        except BaseException as error:  # noqa: BLE001 -- the asker gets it
            if ask is not None:
                self._asks.withdraw(ask)
            reply.fail(Broken(CLOSED) if isinstance(error, asyncio.CancelledError) else error)

    def _add(self, ask: Ask, reply: AskReply) -> None:
        ask.reply, reply.ask = reply, ask
        self._asks.add(ask)

    def abandon(self, reply: CallerReply[Any]) -> None:
        """Handles a caller that has gone before it got its reply. It may be an asker that has just got its turn."""
        if not reply.abandon() and reply.ask is not None:
            self._asks.withdraw(reply.ask)

    def serve(self, work: Callable[[LoopSide], Coroutine[Any, Any, T]], reply: CallerReply[T]) -> None:
        """Answers a caller with the result or the exception of a coroutine."""

        async def run() -> T:
            with self._busy():
                return await work(self)

        reply.work(run)

    def _on_turn(self, ask: Ask, calls: int) -> None:
        if ask.kind == "model":
            self._coverage.note_model(ask.name, calls)
        else:
            kind = self.team.find_declarations(ask.frame).find_kind(ask.name)
            self._coverage.note_tool(ask.name, kind, calls)

    def _on_held(self, ask: Ask, held: Held) -> None:
        """Tells an asker that a person must decide, once the run waits for the loop to come back."""

        async def tell() -> None:
            try:
                await self._let_wait()
            finally:
                ask.fail(held)

        self._asks.withdraw(ask)
        self._supervisor.start_task(tell())

    async def _let_wait(self) -> None:
        """Releases a held run until the loop comes back, so that the decision does not start a driver."""
        driver = self._find_driver()
        if self._asks.open or self._run is None:
            return
        if driver is not None and driver.parked:
            await asyncio.wait([driver.finished])
        if self._run not in self._supervisor.registry.drivers:
            self._forget_team()

    def _check_waits(self, ask: Ask, state: RunState) -> None:
        """Raises `Misused` for a frame that is not open, and `Held` for a step about which a person is asked already."""
        if ask.is_performed or ask.end is not None or ask.over.done() or state.ended is not None:
            return
        frame = state.frames.get(ask.frame)
        if frame is None:
            raise Misused(
                f"run {self._run} has no open frame {ask.frame}: the hand-off that opened it has ended"
            )
        pending = find_call(frame, ask.key)
        question = None if pending is None or pending.step is None else state.open.get(pending.step)
        if question is not None and question.kind == "approval" and not question.waits_for and not ask.waits:
            raise self._asks.make_held(question, "it was asked about before")

    def _find(self, asked: Asked, within: int, reply: AskReply, key: str | None = None) -> Ask | None:
        """Returns the ask for a step. None if the step is recorded; the asker is then told its end."""
        found = self.finder.find(asked, within, key, ended=self._outcome is not None)
        if isinstance(found, Ask):
            return found
        reply.give(found)
        return None

    # ---- results that the asker brings

    def give(self, ask: Ask, result: Result, reply: CallerReply[Settled]) -> None:
        """Brings the result of a step. The asker gets the step's end, or `Halted` if the run has ended meanwhile."""
        self._touch()
        if ask.result is None:
            reply.fail(Misused(f"{ask!r}: it is not its turn"))
            return
        if not ask.result.done():
            ask.result.set_result(result)
        ask.wait(reply)

    def leave(self, ask: Ask, result: Result) -> None:
        """Brings the result of a step for whose end no caller waits."""
        if ask.result is not None and not ask.result.done():
            ask.result.set_result(result)
        self.finder.note_unsettled(ask)

    def give_back(self, ask: Ask) -> None:
        """Takes a turn back, because the step was not begun. It may be asked for again."""
        self._asks.withdraw(ask)

    # ---- ending

    async def look(self, find: Callable[[Standing], T]) -> T:
        """Returns what is found in the record."""
        await self.open()
        return find(self.standing)

    async def close_frame(
        self, step: int, text: str, status: StepStatus = "ok", error: str | None = None
    ) -> None:
        """Ends a hand-off with its agent's answer."""
        await self.open()
        if self._run is None or self._outcome is not None:
            return
        closed = self._asks.wait_closed(step)
        self._asks.closes[step] = Close(step=step, status=status, text=text, error=error)
        driver = await self._drive()
        if driver is None or (step in self._asks.closes and step not in driver.state.open):
            self._asks.forget_close(step)
            if (opening := self.standing.recorded.find_opening(step)) is not None:
                self.standing.note_told(*opening)
        else:
            await closed

    async def end(self, end: End | None, answer: str | None = None) -> Outcome[Any]:
        """Ends the run, and returns its outcome. A run that has ended already stays as it is."""
        await self.open()
        if self._outcome is not None:
            return self._outcome
        self._asks.end, self._asks.answer = end or End(status="completed"), answer
        await self._drive()
        assert self._run is not None
        self._outcome = await (await self._sea.attach(self._run)).outcome()
        return self._outcome

    async def detach(self) -> None:
        """Releases a run that has not ended, because its loop was interrupted or waits. The same request goes on with it."""
        self._asks.fail_all(
            Broken(f"run {self._run} was let go of by its loop; ask again with the same request id")
        )
        await self._wait_started()
        if self._run is None:
            return
        driver = self._find_driver()
        if driver is not None and driver.state.ended is None:
            await self._let_go(driver)
        if self._run not in self._supervisor.registry.drivers:
            self._forget_team()

    async def _let_go(self, driver: Driver) -> None:
        if driver.parked:
            await asyncio.wait([driver.finished])
            return
        driver.give_up(Broken(f"run {self._run} was let go of by its loop"), closing=True)
        await asyncio.shield(self._supervisor.start_task(self._release(driver)))

    async def _release(self, driver: Driver) -> None:
        """Gives the lease back once the steps in flight have ended. An engine that closes meanwhile waits for it."""
        try:
            if tasks := driver.list_unfinished_tasks():
                await asyncio.wait(tasks, timeout=1.0)
        finally:
            with contextlib.suppress(Refused):
                await self._supervisor.release(driver.lease)
