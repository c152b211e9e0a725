"""`Engine`: the gate for loops that others own, for sync and async callers on any thread and any event loop."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import random
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from seawall.core.canonical import check_recordable, check_texts
from seawall.core.clock import SystemClock
from seawall.core.errors import Broken, Misused, name_error
from seawall.core.events import Mode
from seawall.core.ids import Ids
from seawall.core.limits import Limits, validate_limits
from seawall.core.threads import start_in_thread
from seawall.journal.protocol import Journal
from seawall.models.protocol import Price
from seawall.runtime.foreign.asked import BeginOptions
from seawall.runtime.foreign.asks import Asks
from seawall.runtime.foreign.coverage import Coverage, CoverageReport
from seawall.runtime.foreign.loop_side import LoopSide
from seawall.runtime.foreign.mailbox import Mailbox
from seawall.runtime.foreign.reply import CLOSED, CallerReply, LoopReply, ThreadReply
from seawall.runtime.foreign.session import Session
from seawall.runtime.foreign.team import ForeignTeam
from seawall.runtime.foreign.tools import Effects, FindEffect, ToolDeclarations
from seawall.runtime.seawall import Seawall
from seawall.team.team import Team

CLOSE_S = 10.0
"""The longest time, in seconds, that `close` waits for the engine's thread. A `Seawall` takes about two to close."""
_CLOSED = "this Engine is closed"
_NOT_OPEN = "this Engine has no thread of its own: open it on an event loop, with `async with engine:`"

T = TypeVar("T")

_log = logging.getLogger("seawall")


class Engine:
    """The gate for models and tools that a framework's own loop calls.

        sea = Engine("desk.db", effects=["refund"], budget=Budget(tenant_day=Caps(usd="50")))
        with sea.begin("Refund order 1042", loop="my-loop") as session: ...

    `effects` names the tools that change the world, by name or pattern, or maps each to its declaration (`Effect(…)`).
    `reads` names the tools that only read, and `polls` those that are called again until something has happened. Other
    tools count as reads, and `coverage` names them. `limits` are the limits of each run. If one is used up, the loop is
    asked for a last answer if the adapter can do that, and halted otherwise. The other options are those of `Seawall`. The
    engine has one `Seawall`, in a separate thread with its own event loop, which opens at the first step. `close` the
    engine, or use it as a context manager; otherwise it closes at the exit of the program.

    With `thread=False` the engine has no separate thread, and works on the event loop where `async with engine:` opens it.
    This saves each step four changes of thread. Steps from other threads and loops are performed through that loop, too.
    The option is for programs with one event loop: a sync step on that loop raises `Misused`, and while a tool blocks the
    loop, the engine does nothing.
    """

    def __init__(
        self,
        journal: str | Path | Journal = ":memory:",
        *,
        effects: Effects | FindEffect = (),
        reads: Sequence[str] = (),
        polls: Sequence[str] = (),
        limits: Limits | None = None,
        thread: bool = True,
        **options: Any,
    ) -> None:
        """Raises `Misused` for a tool that is declared twice or wrongly, and for wrong options of `Seawall`."""
        self.tools = ToolDeclarations(effects, reads, polls)
        self._limits = validate_limits(Limits() if limits is None else limits)
        self._sea = Seawall(journal, **options)
        self._ids = Ids(SystemClock(), random.Random(os.urandom(16)))
        self._coverage = Coverage()
        self._lock = threading.RLock()
        """Reentrant, because a signal handler may close the engine while its thread holds the lock."""
        self._opening: Future[asyncio.AbstractEventLoop] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        """The thread of the event loop: the engine's own, or with `thread=False` the thread that has opened the engine."""
        self._has_thread = thread
        self._mailbox = Mailbox()
        """Calls from other threads to the engine's event loop."""
        self._mailboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = WeakKeyDictionary()
        """The mailboxes of the event loops that wait for replies."""
        self._closed = False
        self._pid = os.getpid()
        self._pending: set[CallerReply[Any]] = set()
        """The replies that are not given yet. If the event loop ends first, their callers are told."""
        self._check_modes(options.get("modes") or {})

    def _check_modes(self, modes: Mapping[str, Mode]) -> None:
        """Raises `Misused` for an unknown guard now, because at the first step an application may take the error for a halt."""
        supervisor = self._sea.supervisor
        guards = supervisor.factory.get_guards(self.make_team("modes"))
        supervisor.modes.compute_start_modes(guards, modes, {})

    def __repr__(self) -> str:
        state = "closed" if self._closed else "not open" if self._loop is None else "open"
        return f"<Engine {state}, {self._sea!r}>"

    @property
    def sea(self) -> Seawall:
        """The engine's `Seawall`. Its methods are called on the engine's event loop: `engine.call(lambda sea: sea.effects())`."""
        return self._sea

    # ---- beginning

    def begin(
        self,
        request: str,
        *,
        loop: str,
        name: str = "",
        agent: str = "agent",
        session: str | None = None,
        tenant: str = "",
        principal: str = "",
        request_id: str | None = None,
        limits: Limits | None = None,
        modes: Mapping[str, Mode] | None = None,
        effects: Effects | None = None,
        reads: Sequence[str] = (),
        polls: Sequence[str] = (),
        resume: bool = False,
        waits: bool = False,
        answers: bool = False,
        not_done: tuple[type[BaseException], ...] = (),
        passes: tuple[type[BaseException], ...] = (),
    ) -> Session:
        """Returns the session of one run. Nothing is recorded before its first step.

        `loop` names the framework, `name` the application (by default the framework), and `agent` the first agent. With the
        `request_id` of an earlier run, the session goes on with that run: recorded steps are given again and not performed.
        Without a request id each call begins a new run, also after a crash. `session` is the conversation. With `resume`, the
        unfinished run of that conversation goes on; without it, such a run is cancelled, because a new request has come.
        `waits`: the loop waits for a step that needs a person; otherwise the step raises `Held`, and the same request goes on
        after the decision. `answers`: once a limit is used up, the loop makes its next request to a model without tools, as
        `Turn.last` says, and takes the reply as its answer (`Limits.at_limit`); otherwise a limit halts the run.
        `not_done`: errors of tools which say that nothing has happened; after any other error of an effect it is not known
        whether it happened. `passes`: exceptions with which a framework controls its flow, and which are not failures.
        `effects`, `reads` and `polls` are for this run: `effects` replace all declarations of the engine; without `effects`,
        `reads` and `polls` are added to the engine's declarations.
        Raises `Misused` for an argument that can't be recorded. The first step raises `Misused` if the request id belongs to
        another principal.
        """
        check_recordable(request=request, loop=loop, name=name, agent=agent)
        check_recordable(session=session, tenant=tenant, principal=principal, request_id=request_id)
        check_texts(tenant=tenant, principal=principal)
        if not loop:
            raise Misused("begin: loop is empty; name the framework whose loop asks for the steps")
        bounds = self._limits if limits is None else validate_limits(limits)
        bounds = bounds if answers else replace(bounds, at_limit="halt")
        options = BeginOptions(
            request=request.strip() or "(no request)",
            session=session,
            tenant=tenant,
            principal=principal,
            request_id=request_id,
            limits=bounds,
            modes=modes,
            resume=resume,
            waits=waits,
        )
        tools = self.tools.declare(effects, reads, polls)

        def make_side() -> LoopSide:
            team = ForeignTeam(name or loop, agent, loop, bounds, Asks(), tools)
            return LoopSide(self._sea, team, options, self._coverage)

        return Session(self, make_side, self._find_price, not_done, passes)

    def make_request_id(self) -> str:
        """Returns a new request id, for a framework without request ids."""
        return self._ids.make_run_id().replace("r-", "q-", 1)

    def make_team(self, name: str) -> Team:
        """Returns a team that stands for a framework's application, for `Seawall.approve(…, edit=…, team=…)` and the like."""
        return ForeignTeam(name, "agent", name, self._limits, Asks(), self.tools)

    def _find_price(self, model: str) -> Price | None:
        return self._sea.supervisor.factory.find_price(model)

    def coverage(self) -> CoverageReport:
        """Returns which calls passed the gate, which tools are not declared, and which parts can't be gated."""
        return self._coverage.report(self.tools.list_uncalled())

    def note_not_gated(self, *what: str) -> None:
        """Notes parts that can't be gated, for `coverage`. Adapters call it."""
        self._coverage.note_not_gated(what)

    # ---- the engine's event loop

    def post(self, call: Callable[[], None], reply: CallerReply[Any] | None) -> None:
        """Makes a call on the engine's event loop, which gives the reply. The first call starts the engine's thread."""
        if self._loop is None or os.getpid() != self._pid:
            self._open()
        with self._lock:
            loop = self._loop
            if loop is None:
                raise Misused(_CLOSED)
            is_here = not self._has_thread and _runs_here(loop)
            if reply is not None:
                self._pending.add(reply)
                reply.on_given = self._pending.discard
                if isinstance(reply, LoopReply) and not is_here:
                    reply.mailbox = self._find_mailbox(reply.loop)
            if not is_here:
                self._put(call, loop)
                return
        call()

    def _put(self, call: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._mailbox.put(call, loop)
        except RuntimeError as error:
            what = _CLOSED if self._has_thread else "the event loop on which this Engine was opened is closed"
            raise Misused(what) from error

    def _find_mailbox(self, loop: asyncio.AbstractEventLoop) -> Mailbox:
        mailbox = self._mailboxes.get(loop)
        if mailbox is None:
            mailbox = self._mailboxes[loop] = Mailbox()
        return mailbox

    def check_may_wait(self) -> None:
        """Raises `Misused` on the engine's own thread, where a sync call would wait for itself."""
        if threading.current_thread() is not self._thread:
            return
        if self._has_thread:
            raise Misused(
                "a sync call on the engine's own event loop would wait for itself; use the async one"
            )
        if self._loop is not None and not self._loop.is_closed():
            raise Misused(
                "a sync call in the thread whose event loop this Engine works on would wait for itself; use the async one, or "
                "an Engine with a thread of its own (thread=True)"
            )

    def call(self, work: Callable[[Seawall], Coroutine[Any, Any, T]]) -> T:
        """Awaits a method of the engine's `Seawall` and returns its result: `engine.call(lambda sea: sea.approvals())`."""
        self.check_may_wait()
        reply: ThreadReply[T] = ThreadReply()
        self.post(lambda: reply.work(lambda: work(self._sea)), reply)
        return reply.future.result()

    async def call_async(self, work: Callable[[Seawall], Coroutine[Any, Any, T]]) -> T:
        """As `call`, from any event loop."""
        reply: LoopReply[T] = LoopReply()
        self.post(lambda: reply.work(lambda: work(self._sea)), reply)
        try:
            return await reply.future
        except asyncio.CancelledError:
            self.post(lambda: _abandon(reply), None)
            raise

    def _check_pid(self) -> None:
        if os.getpid() != self._pid:  # the lock may have been held at the fork
            raise Misused("this Engine was made before a fork; make a new one in the child")

    def _open(self) -> None:
        """Starts the thread, and opens the journal there. Raises the error of the opening."""
        self._check_pid()
        with self._lock:
            if self._closed:
                raise Misused(_CLOSED)
            if self._loop is not None:
                return
            if not self._has_thread:
                raise Misused(_NOT_OPEN)
            if self._opening is None:
                opening: Future[asyncio.AbstractEventLoop] = Future()
                arguments = (self._sea, opening, self._pending)
                thread = threading.Thread(
                    target=_run_loop, args=arguments, name="seawall-engine", daemon=True
                )
                thread.start()
                self._opening, self._thread = opening, thread
                atexit.register(self.close)
            opening = self._opening
            try:
                loop = opening.result()
            except BaseException:
                if opening.done():  # after Ctrl-C the next call waits for it
                    self._opening = None
                    atexit.unregister(self.close)
                raise
            if self._is_closed():
                raise Misused(_CLOSED)
            self._loop = loop

    def _is_closed(self) -> bool:
        """Returns whether a signal handler has closed the engine while this thread waited for it to open."""
        return self._closed

    async def _open_here(self) -> None:
        """Opens the journal on this event loop."""
        self._check_pid()
        if self._closed or self._thread is not None:
            raise Misused(_CLOSED if self._closed else "this Engine is open already")
        self._thread = threading.current_thread()
        try:
            await self._sea.open()
        except BaseException:
            self._thread = None
            raise
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Gives up the runs in flight, which can be resumed later, and closes the journal.

        Safe to call twice, and from a signal handler. Raises `Misused` on the engine's own thread.
        """
        self.check_may_wait()
        if os.getpid() != self._pid:  # the engine is the parent's, and the lock may be held
            return
        with self._lock:
            opening, loop, thread, self._closed = self._opening, self._loop, self._thread, True
            self._opening = self._loop = None
        if not self._has_thread:
            if loop is not None and not loop.is_closed():
                with contextlib.suppress(TimeoutError):  # the event loop does not run, or is blocked
                    asyncio.run_coroutine_threadsafe(self._close_here(), loop).result(CLOSE_S)
            return
        if opening is None or thread is None:
            return
        atexit.unregister(self.close)
        opening.add_done_callback(_stop_loop)
        thread.join(CLOSE_S)

    async def aclose(self) -> None:
        """As `close`, from any event loop."""
        loop = self._loop
        if self._has_thread or loop is None or not _runs_here(loop):
            self.check_may_wait()
            await start_in_thread(self.close, "seawall-close")
            return
        with self._lock:
            self._closed, self._loop = True, None
        await self._close_here()

    async def _close_here(self) -> None:
        """Closes an engine that works on this event loop."""
        try:
            await self._sea.close()
        finally:
            for reply in tuple(self._pending):
                reply.abandon()
                reply.fail(Broken(CLOSED))

    def __enter__(self) -> Self:
        if not self._has_thread:
            raise Misused(_NOT_OPEN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        if not self._has_thread:
            await self._open_here()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Returns whether this event loop runs in this thread now."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _abandon(reply: CallerReply[Any]) -> None:
    reply.abandon()


def _stop_loop(opening: Future[asyncio.AbstractEventLoop]) -> None:
    """Stops the loop, now or as soon as it is opened."""
    if opening.exception() is None:
        with contextlib.suppress(RuntimeError):  # it is closed already
            opening.result().call_soon_threadsafe(opening.result().stop)


def _run_loop(
    sea: Seawall, opened: Future[asyncio.AbstractEventLoop], pending: Collection[CallerReply[Any]]
) -> None:
    """The main function of the engine's thread: serves until it is stopped, and then tells the callers that still wait."""
    try:
        _serve(sea, opened)
    finally:
        for reply in tuple(pending):
            reply.fail(Broken(CLOSED))


def _serve(sea: Seawall, opened: Future[asyncio.AbstractEventLoop]) -> None:
    """Opens the journal, serves until the loop is stopped, and closes the journal."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        try:
            runner.run(sea.open())
        except BaseException as error:  # noqa: BLE001 -- the caller that opens the engine gets it
            opened.set_exception(error)
            return
        asyncio.set_event_loop(loop)
        opened.set_result(loop)
        _run_until_stopped(loop)
        runner.run(sea.close())
        runner.run(_cancel_all())


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    """Runs the event loop until it is stopped.

    An exception with which the application's code wants to end the program is logged and does not end the engine. A
    person's interrupt arrives in the main thread.
    """
    while True:
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit) as error:
            _log.error("code of the application has raised %s on the engine's event loop", name_error(error))
        else:
            return


async def _cancel_all() -> None:
    """Cancels tasks that were added while the journal was closed; twice, because a step waits for its asker at first."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)
