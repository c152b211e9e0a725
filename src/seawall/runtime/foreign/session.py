"""One run as an adapter uses it, from any thread and any event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from msgspec.structs import replace

from seawall.core.canonical import check_recordable, check_texts, escape_unsendable
from seawall.core.errors import Broken, Misused, Refused, describe_error
from seawall.core.events import StoppedBy
from seawall.core.forks import leave_child
from seawall.engine.ownership import MAX_LOOKS
from seawall.models.protocol import Price
from seawall.run.outcome import Outcome
from seawall.run.requests import prepare_request
from seawall.run.step import End, Result
from seawall.runtime.foreign.asked import Asked, HandoffAsk, ModelAsk, ToolAsk
from seawall.runtime.foreign.asks import Ask, Settled, Turn
from seawall.runtime.foreign.loop_side import LoopSide
from seawall.runtime.foreign.reply import CallerReply, LoopReply, ThreadReply
from seawall.runtime.foreign.results import (
    ModelResult,
    check_result,
    make_failure,
    make_model_result,
    make_tool_result,
)
from seawall.runtime.foreign.team import ForeignTeam
from seawall.runtime.foreign.tools import ToolDeclarations

T = TypeVar("T")
Asking = tuple[Ask, Turn] | Settled
"""What an asker gets: its turn, or the end of a step that it need not perform."""
_performs: ContextVar[tuple[Session, int] | None] = ContextVar("seawall_performs", default=None)
"""The step that this context performs. Asks that are made meanwhile are within this step, and the step waits for them."""
CUT = Result(status="error", output="Error: the call was given up", error="cancelled", endpoint="cut")
"""The result of a call that is given up because its run has ended."""
MAX_OUTPUT_TOKENS = 4096
"""The most tokens of a reply if the framework gives no number: as many as an `Agent` has by default."""


class Crossing(Protocol):
    """Makes calls on the engine's event loop, for callers on any thread or event loop."""

    def post(self, call: Callable[[], None], reply: CallerReply[Any] | None) -> None:
        """Makes a call on the engine's event loop, which gives the reply."""
        ...

    def check_may_wait(self) -> None:
        """Raises `Misused` on the engine's own thread, where a sync call would wait for itself."""
        ...


class Performed(NamedTuple):
    """The end of a step, and the value that the caller gets."""

    settled: Settled
    value: Any = None
    """The value that `perform` has returned, if its result was recorded unchanged (`settled.performed`)."""


class Session:
    """One run whose steps a framework's loop asks for: a context manager, sync and async.

        with engine.begin("Refund order 1042", loop="my-loop", request_id="r-17") as session:
            reply = session.step_sync(session.model("clerk", "openai:gpt-5.2", messages), call_model)
            session.end_sync(answer)

    If the block ends without `end`, the run is released, and the same request id goes on with it. If an exception ends
    the block, the run has failed. Adapters use this class, and so can your own loop.
    """

    def __init__(
        self,
        crossing: Crossing,
        side: Callable[[], LoopSide],
        find_price: Callable[[str], Price | None],
        not_done: tuple[type[BaseException], ...],
        passes: tuple[type[BaseException], ...],
    ) -> None:
        """`not_done`: errors of tools which say that nothing has happened.

        `passes`: exceptions with which a framework controls its flow, such as an interrupt; the step was then not made.
        """
        self._crossing, self._find_price = crossing, find_price
        self._not_done, self._passes = not_done, passes
        self._make_side = side
        self._side: LoopSide | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._ended = self._has_asked = False

    def __repr__(self) -> str:
        return f"<Session of run {self.run}>"

    @property
    def run(self) -> str | None:
        """The id of the run; None before its first step."""
        return None if self._side is None else self._side.run

    @property
    def team(self) -> ForeignTeam | None:
        """The run's tools as they are declared, for `Seawall.approve(…, edit=…, team=…)`; None before the run's first step."""
        return None if self._side is None else self._side.team

    @property
    def is_busy(self) -> bool:
        """Whether a step is asked for or performed at this moment."""
        return self._side is not None and self._side.is_busy

    # ---- asks

    @staticmethod
    def model(
        agent: str,
        name: str,
        messages: Sequence[Any],
        *,
        tools: Sequence[Any] = (),
        max_output_tokens: int | None = None,
        frame: int = 0,
        anew: bool = False,
        halts: bool = False,
    ) -> ModelAsk:
        """Returns the ask for a model's reply. `messages` and `tools` are JSON values, as the model would get them.

        `anew`: a recorded reply can't be given to the framework, so the model is called in any case. `halts`: as in `tool`.
        Raises `Misused` for a name that can't be recorded.
        """
        check_recordable(agent=agent, name=name)
        request = prepare_request(name, messages, tools, max_output_tokens or MAX_OUTPUT_TOKENS)
        return ModelAsk(agent, name, request, frame, anew, halts)

    @staticmethod
    def tool(
        agent: str,
        name: str,
        arguments: Mapping[str, Any],
        *,
        call_id: str = "",
        frame: int = 0,
        halts: bool = False,
        untrusted: bool = False,
        edits: bool = False,
    ) -> ToolAsk:
        """Returns the ask for a tool's call. `arguments` are JSON values; `call_id` is the call's id in the model's reply.

        `halts`: a limit halts the run at this call, because the loop can't take a text in place of the result.
        `untrusted`: see `Tool`. A call that was held, or given back, and is asked for with other arguments is another call;
        with `edits` it is the same one, and the loop compares `Turn.arguments` with its own and has the proposal edited.
        Raises `Misused` for a name that can't be recorded.
        """
        check_recordable(agent=agent, name=name, call_id=call_id)
        return ToolAsk(agent, name, arguments, call_id, frame, halts, untrusted, edits)

    @staticmethod
    def handoff(
        agent: str,
        to: str,
        task: str,
        *,
        call_id: str = "",
        frame: int = 0,
        transfers: bool = False,
        halts: bool = False,
        declared: ToolDeclarations | None = None,
    ) -> HandoffAsk:
        """Returns the ask for a frame in which another agent works.

        `transfers`: the other agent's answer is also the answer of this frame, in which no model is asked any more.
        `halts`: as in `tool`. `declared`: what is declared of that agent's tools; what is not is as in the frame above.
        Raises `Misused` for a name that can't be recorded.
        """
        check_recordable(agent=agent, to=to, call_id=call_id)
        return HandoffAsk(agent, to, task, call_id, frame, transfers, halts, declared)

    # ---- a whole step

    async def step(
        self,
        asked: Asked,
        perform: Callable[[Turn], Awaitable[tuple[Any, Any]]],
        *,
        asking: tuple[Ask, Turn] | Settled | None = None,
    ) -> Performed:
        """Asks for a step and, if it is admitted, has `perform` make it in this task.

        `perform` returns a pair: a `ModelResult`, a tool's text or a `Result`, and any value. It is cancelled once the run has
        ended. Its exception is recorded as the step's failure, and raised again unless a guard replaces the failure. `asking`
        is the result of `ask`, if the step was asked for before. Raises `Halted`, `Held`, `Refused`, `Broken`.
        """
        if asking is None:
            asking = await self._ask_side(self._make_asking(asked))
        asking = await self._confirm(asking)
        if isinstance(asking, Settled):
            return Performed(asking)
        ask, turn = asking
        loop = asyncio.get_running_loop()
        patience = asyncio.timeout(None)
        try:
            async with patience:
                ask.on_over = partial(_stop_soon, loop, patience)
                if ask.end is not None:  # the run ended before `on_over` was set
                    _stop(patience)
                token = _performs.set((self, turn.step))
                try:
                    brought, value = await perform(turn)
                finally:
                    leave_child(self._pid)  # a process that `perform` forked must end here
                    _performs.reset(token)
                result = self._make_result(asked, brought)
        except BaseException as raised:  # noqa: BLE001 -- recorded, and raised again unless a guard replaces it
            if patience.expired() and isinstance(raised, TimeoutError):
                return Performed(await self._bring(ask, CUT))
            error = raised
        else:
            settled = await self._bring(ask, result)
            return Performed(settled, value if settled.performed else None)
        failure = self._make_failure(ask, asked, error)
        return _raise_if_it_stands(await self._bring(ask, failure), error)

    def step_sync(self, asked: Asked, perform: Callable[[Turn], tuple[Any, Any]]) -> Performed:
        """As `step`, in this thread. `perform` can't be cancelled; a result after the run's end is recorded as late."""
        asking = self.ask_sync(asked)
        if isinstance(asking, Settled):
            return Performed(asking)
        ask, turn = asking
        try:
            token = _performs.set((self, turn.step))
            try:
                brought, value = perform(turn)
            finally:
                leave_child(self._pid)  # a process that `perform` forked must end here
                _performs.reset(token)
            result = self._make_result(asked, brought)
        except BaseException as raised:  # noqa: BLE001 -- recorded, and raised again unless a guard replaces it
            error = raised
        else:
            settled = self._bring_sync(ask, result)
            return Performed(settled, value if settled.performed else None)
        failure = self._make_failure(ask, asked, error)
        return _raise_if_it_stands(self._bring_sync(ask, failure), error)

    def _find_step(self) -> int:
        """Returns the step of this run that this context performs; 0 if there is none."""
        found = _performs.get()
        return found[1] if found is not None and found[0] is self else 0

    def _make_failure(self, ask: Ask, asked: Asked, error: BaseException) -> Result:
        """Returns the result of a step that has raised `error`.

        Raises `error` at once if a framework controls its flow with it, so that the step was not made, or if the caller is
        cancelled.
        """
        if isinstance(error, self._passes):
            self._tell(lambda side: side.give_back(ask))
            raise error
        what = f"model {asked.name!r}" if isinstance(asked, ModelAsk) else f"tool {asked.name!r}"
        failure = make_failure(error, what, self._not_done)
        if not isinstance(error, Exception):
            self._tell(lambda side: side.leave(ask, failure))
            raise error
        return failure

    def _make_result(self, asked: Asked, brought: Any) -> Result:
        if isinstance(brought, ModelResult):
            return make_model_result(brought, self._find_price(asked.name))
        if isinstance(brought, str):
            return make_tool_result(brought)
        if not isinstance(brought, Result):
            raise Misused(
                f"{asked.name!r}: {brought!r} was brought; it must be text, a Result, or a ModelResult of a model"
            )
        return check_result(asked.name, brought)

    async def _bring(self, ask: Ask, result: Result) -> Settled:
        try:
            return await self._ask_side(lambda side, reply: side.give(ask, result, reply))
        except asyncio.CancelledError:  # the step was made, so its result is recorded
            self._tell(lambda side: side.leave(ask, result))
            raise

    def _bring_sync(self, ask: Ask, result: Result) -> Settled:
        try:
            return self._ask_side_sync(lambda side, reply: side.give(ask, result, reply))
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C: the step was made, so its result is recorded
                self._tell(lambda side: side.leave(ask, result))
            raise

    # ---- a step in two parts, for frameworks that have only hooks before and after it

    async def ask(self, asked: Asked) -> Asking:
        """Returns this caller's turn, or the end of a step that it need not perform. After a turn, the caller must `give`."""
        return await self._confirm(await self._ask_side(self._make_asking(asked)))

    async def give(self, ask: Ask, asked: Asked, brought: ModelResult | Result | BaseException) -> Settled:
        """Brings the result of a step, or the exception that it has raised."""
        return await self._bring(ask, self._read(asked, brought))

    def ask_sync(self, asked: Asked) -> Asking:
        """As `ask`."""
        return self._confirm_sync(self._ask_side_sync(self._make_asking(asked)))

    def _make_asking(self, asked: Asked) -> Callable[[LoopSide, CallerReply[Asking]], None]:
        within, self._has_asked = self._find_step(), True
        return lambda side, reply: side.ask(asked, within, reply)

    async def _confirm(self, asking: Asking) -> Asking:
        """Checks right before a step is made whether it may still be made, because its turn may be some time ago.

        A step that has ended meanwhile is not made. An effect is made only while this process owns the run: raises `Fenced`
        if another process owns it, and `Broken` if that can't be known; its turn is then given back.
        """
        if isinstance(asking, Settled):
            return asking
        ask, turn = asking
        if ask.end is not None:
            return await self._bring(ask, Result(status="withdrawn"))
        try:
            for _ in range(MAX_LOOKS):
                if (own := _find_own(ask, turn)) is not None:
                    return ask, own
                await self._cross(lambda _: _look_again(ask))
            return ask, _require(_find_own(ask, turn))
        except BaseException:
            self._tell(lambda side: side.give_back(ask))
            raise

    def _confirm_sync(self, asking: Asking) -> Asking:
        """As `_confirm`."""
        if isinstance(asking, Settled):
            return asking
        ask, turn = asking
        if ask.end is not None:
            return self._bring_sync(ask, Result(status="withdrawn"))
        try:
            for _ in range(MAX_LOOKS):
                if (own := _find_own(ask, turn)) is not None:
                    return ask, own
                self._wait(lambda _: _look_again(ask))
            return ask, _require(_find_own(ask, turn))
        except BaseException:
            self._tell(lambda side: side.give_back(ask))
            raise

    def give_sync(self, ask: Ask, asked: Asked, brought: ModelResult | Result | BaseException) -> Settled:
        """As `give`."""
        return self._bring_sync(ask, self._read(asked, brought))

    async def give_back(self, ask: Ask) -> None:
        """Gives a turn back: the step was not begun, and may be asked for again."""
        self._tell(lambda side: side.give_back(ask))

    def _read(self, asked: Asked, brought: ModelResult | Result | BaseException) -> Result:
        leave_child(self._pid)
        if isinstance(brought, BaseException):
            return make_failure(brought, repr(asked.name), self._not_done)
        return self._make_result(asked, brought)

    # ---- frames

    async def open_frame(self, asked: HandoffAsk) -> int:
        """Opens the frame of a hand-off, and returns its number. The same hand-off asked again has the same frame.

        Raises `Refused` if a guard or a limit refuses it.
        """
        return _read_frame(await self.ask(asked))

    def open_frame_sync(self, asked: HandoffAsk) -> int:
        """As `open_frame`."""
        return _read_frame(self.ask_sync(asked))

    async def find_frames(self, call_id: str) -> tuple[int, ...]:
        """Returns the frame of the newest recorded reply that asks for this call, after the frames above it.

        If the call was a hand-off that was made, the frame that it has opened is the last one. Returns nothing if no reply
        asks for the call.
        """
        return await self._cross(lambda side: side.look(lambda standing: standing.find_frames(call_id)))

    async def is_attempted(self, frame: int, call_id: str) -> bool:
        """Returns whether a tool's call with an id is recorded as made, or as one whose fate is unknown."""
        return await self._cross(
            lambda side: side.look(lambda standing: standing.recorded.is_attempted(frame, call_id))
        )

    def begin_again(self, frame: int) -> None:
        """Says that the loop starts its work in a frame again, because it has failed, and is going to ask for the same again.

        Recorded replies and results are given again, so that no effect is made twice. The replies after the newest call that
        was made are asked for again.
        """
        self._tell(lambda side: side.finder.begin_again(frame))

    async def close_frame(self, frame: int, text: str, *, failed: bool = False) -> None:
        """Ends a hand-off with its agent's answer."""
        await self._cross(lambda side: _close(side, frame, text, failed=failed))

    def close_frame_sync(self, frame: int, text: str, *, failed: bool = False) -> None:
        """As `close_frame`."""
        self._wait(lambda side: _close(side, frame, text, failed=failed))

    # ---- ending

    async def end(
        self, answer: str | None = None, *, error: str | None = None, stopped_by: StoppedBy | None = None
    ) -> Outcome[Any]:
        """Ends the run with an answer or an error, and returns its outcome."""
        ending = _make_end(error, stopped_by)
        self._ended = True
        return await self._cross(lambda side: side.end(ending, answer))

    def end_sync(
        self, answer: str | None = None, *, error: str | None = None, stopped_by: StoppedBy | None = None
    ) -> Outcome[Any]:
        """As `end`."""
        ending = _make_end(error, stopped_by)
        self._ended = True
        return self._wait(lambda side: side.end(ending, answer))

    async def fail(self, error: str) -> None:
        """Ends the run with an error of its loop.

        If the loop has asked for nothing, and the run is an earlier one that it was to go on with, the error is not the run's:
        the run is released.
        """
        self._ended = True
        await self._cross(lambda side: _fail(side, error, has_asked=self._has_asked))

    def fail_sync(self, error: str) -> None:
        """As `fail`."""
        self._ended = True
        self._wait(lambda side: _fail(side, error, has_asked=self._has_asked))

    async def detach(self) -> None:
        """Releases a run that has not ended; the same request id goes on with it."""
        if not self._ended:
            self._ended = True
            await self._cross(lambda side: side.detach())

    def detach_sync(self) -> None:
        """As `detach`."""
        if not self._ended:
            self._ended = True
            self._wait(lambda side: side.detach())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._fails(error):
            await self.fail(_describe(error))
        else:
            await self.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._fails(error):
            self.fail_sync(_describe(error))
        else:
            self.detach_sync()

    def _fails(self, error: BaseException | None) -> bool:
        """Returns whether an exception is a failure of the run, and not a halt, a hold, an interrupt or a cancellation."""
        return (
            isinstance(error, Exception)
            and not self._ended
            and not _is_ours(error)
            and not isinstance(error, self._passes)
        )

    # ---- calls on the engine's event loop

    def _start_side(self) -> LoopSide:
        with self._lock:
            if self._side is None:
                self._side = self._make_side()
            return self._side

    def _post(self, call: Callable[[LoopSide], None], reply: CallerReply[Any] | None = None) -> None:
        """Makes a call on the engine's event loop."""

        def run() -> None:
            try:
                call(self._side or self._start_side())
            except BaseException as error:
                if reply is None:
                    raise
                reply.fail(error)

        self._crossing.post(run, reply)

    def _tell(self, call: Callable[[LoopSide], None]) -> None:
        """Makes a call without waiting for its end. A closed engine has no run under way, so it is ignored there."""
        with contextlib.suppress(Misused):
            self._post(call)

    async def _ask_side(self, call: Callable[[LoopSide, CallerReply[T]], None]) -> T:
        """Returns the reply of the engine's event loop."""
        reply: LoopReply[T] = LoopReply()
        self._post(lambda side: call(side, reply), reply)
        try:
            return await reply.future
        except asyncio.CancelledError:
            self._tell(lambda side: side.abandon(reply))
            raise

    def _ask_side_sync(self, call: Callable[[LoopSide, CallerReply[T]], None]) -> T:
        """As `_ask_side`, in this thread."""
        self._crossing.check_may_wait()
        reply: ThreadReply[T] = ThreadReply()
        self._post(lambda side: call(side, reply), reply)
        try:
            return reply.future.result()
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C, perhaps just as its turn came
                self._tell(lambda side: side.abandon(reply))
            raise

    async def _cross(self, work: Callable[[LoopSide], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine on the engine's event loop and returns its result. It goes on if the caller is cancelled."""
        reply: LoopReply[T] = LoopReply()
        self._post(lambda side: side.serve(work, reply), reply)
        return await reply.future

    def _wait(self, work: Callable[[LoopSide], Coroutine[Any, Any, T]]) -> T:
        """As `_cross`, in this thread."""
        self._crossing.check_may_wait()
        reply: ThreadReply[T] = ThreadReply()
        self._post(lambda side: side.serve(work, reply), reply)
        return reply.future.result()


def _find_own(ask: Ask, turn: Turn) -> Turn | None:
    """Returns the turn with the time until which this process owns the run; None if the journal must be asked."""
    if ask.ownership is None:
        return turn
    until = ask.ownership.find_deadline()
    return None if until is None else replace(turn, owned_until=until)


async def _look_again(ask: Ask) -> None:
    """Asks the journal which process owns the run."""
    if ask.ownership is not None:
        await ask.ownership.confirm()


def _require(own: Turn | None) -> Turn:
    if own is None:
        raise Broken(
            "an effect was not made: the journal answers too slowly to say whether the run is still ours"
        )
    return own


def _raise_if_it_stands(settled: Settled, error: BaseException) -> Performed:
    if settled.performed:
        raise error
    return Performed(settled)


def _stop_soon(loop: asyncio.AbstractEventLoop, patience: asyncio.Timeout) -> None:
    """Has the caller's loop cancel the performance of a step. A closed loop performs nothing."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_stop, patience)


def _stop(patience: asyncio.Timeout) -> None:
    """Cancels the performance of a step, unless it has ended."""
    if not patience.expired():
        try:
            patience.reschedule(0.0)
        except RuntimeError:  # it has ended meanwhile
            return


def _read_frame(settled: tuple[Ask, Turn] | Settled) -> int:
    if not isinstance(settled, Settled):
        raise TypeError("a hand-off has no turn")
    if settled.status != "ok":
        raise Refused(settled.text, guard="handoff")
    return settled.step


async def _close(side: LoopSide, frame: int, text: str, *, failed: bool) -> None:
    await side.close_frame(frame, text, "error" if failed else "ok", "error" if failed else None)


async def _fail(side: LoopSide, error: str, *, has_asked: bool) -> None:
    """See `Session.fail`."""
    await side.open()
    if has_asked or side.run is None:
        await side.end(End(status="failed", error=error))
    else:
        await side.detach()


def _make_end(error: str | None, stopped_by: StoppedBy | None) -> End | None:
    if stopped_by is not None:
        check_texts(guard=stopped_by.guard, reason=stopped_by.reason)
        check_recordable(guard=stopped_by.guard, limit=stopped_by.limit, value=stopped_by.value)
        reason = escape_unsendable(stopped_by.reason)
        return End(status="refused", stopped_by=replace(stopped_by, reason=reason))
    return None if error is None else End(status="failed", error=error)


def _is_ours(error: BaseException) -> bool:
    return isinstance(error, Refused | Broken)


def _describe(error: BaseException | None) -> str:
    return "" if error is None else describe_error(error)
