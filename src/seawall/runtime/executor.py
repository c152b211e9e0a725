"""The executor: the one file that calls models and tools."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import weakref
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from seawall.core.big_values import BIG_CHARS, is_big
from seawall.core.canonical import Ref, escape_unsendable, measure_bytes
from seawall.core.errors import Broken, describe_error, format_trace, is_error, name_error, read_error_text
from seawall.core.frozen import thaw
from seawall.models.protocol import Model, ModelFailed, ModelReply, ModelRequest, Price, TextDelta, ToolSpec
from seawall.models.usage import check_usage
from seawall.run.bodies import Bodies, PreparedBody
from seawall.run.fingerprint import digest_whole
from seawall.run.frame import Frame
from seawall.run.state import RunState
from seawall.run.step import Ownership, Result, Step
from seawall.run.traces import find_traces
from seawall.runtime.calls import await_apart, is_awaitable
from seawall.runtime.exceptions import classify_exception, read_seconds
from seawall.runtime.remembering import MemorySteps
from seawall.runtime.threads import QueuedCall, ThreadPool
from seawall.team.agent import Agent
from seawall.team.beside import call_preview, call_reconcile
from seawall.team.context import read_assistant
from seawall.team.conversation import Conversation
from seawall.team.parameters import ToolContext
from seawall.team.prepare import expect_calls
from seawall.team.read_result import make_read_tool
from seawall.team.reply import read_reply
from seawall.team.team import Member, Team
from seawall.team.tool import INLINE_BYTES, PREVIEW_CHARS, NotDone, Tool, ToolFailed

STREAM_CHARS = 64 * 1024
"""Characters of a stream that are passed on before other tasks get their turn, which takes a few milliseconds."""
STREAM_PIECE_CHARS = 256
"""Characters that each piece of a stream counts in addition, because the piece itself takes time."""
PREVIEW_S = 10.0
"""The most seconds for a preview; without it, a person is asked anyway."""
PREVIEW_MAX_CHARS = 20_000
"""The most characters of a preview that a person is shown."""
BIG_THREADS = 1
"""The number of threads for big values. Their work holds the GIL most of the time, so a second one would not help."""

T = TypeVar("T")

_log = logging.getLogger("seawall.calls")


class Resources:
    """The resources that the runs of one team share in a process: models and prices by agent, and threads of its tools."""

    def __init__(
        self,
        team: Team,
        models: Mapping[str, Model],
        price: Callable[[Agent], Price | None],
        window: Callable[[Agent], int | None],
    ) -> None:
        """`price` returns the price of an agent's model, `window` the tokens of its context; None if they are not known."""
        self.models = dict(models)
        self.prices = {name: price(member.agent) for name, member in team.members.items()}
        self.windows = {name: window(member.agent) for name, member in team.members.items()}
        self._pools: dict[int, ThreadPool] = {}
        """The thread pools by the identity of the tool; 0 is the pool for big values."""
        self._big: ThreadPool | None = None
        weakref.finalize(self, _close_all, self._pools).atexit = False  # daemon threads need no end

    async def call_apart(self, work: Callable[[], T]) -> T:
        """Does the work on a big value in a thread, and returns its result or raises its error."""
        if self._big is None:
            self._big = self._pools[0] = ThreadPool("seawall-big", BIG_THREADS)
        value, error = await self._big.call(lambda: work, QueuedCall())
        if error is not None:
            raise error
        return value

    def get_pool(self, tool: Tool) -> ThreadPool:
        """Returns the thread pool of a sync tool."""
        pool = self._pools.get(id(tool))
        if pool is None:
            pool = self._pools[id(tool)] = ThreadPool(f"seawall-{tool.name}", tool.threads)
        return pool


def _close_all(pools: dict[int, ThreadPool]) -> None:
    for pool in pools.values():
        pool.close()


class TeamExecutor:
    """Implements `run.step.Executor` for a team: calls its models and tools. Each run has one; `run` is its id.

    `on_text` is called with (step, text) for each piece of the coordinator's text, if the run is streamed.
    """

    def __init__(
        self,
        run: str,
        team: Team,
        resources: Resources,
        context: Conversation,
        bodies: Bodies,
        *,
        memory: MemorySteps,
        on_text: Callable[[int, str], None] | None = None,
    ) -> None:
        self._run = run
        self._memory = memory
        self._members = team.members
        self._resources = resources
        self._context = context
        self._bodies = bodies
        self._on_text = on_text
        self.delivered = False
        self.on_sign: Callable[[int], None] = _ignore
        self._queued: dict[int, QueuedCall] = {}
        """The sync calls that wait for a thread or run in one, by step."""

    def __repr__(self) -> str:
        return f"<TeamExecutor {len(self._queued)} calls in threads>"

    def perform(
        self, step: Step, state: RunState, left_s: float, ownership: Ownership | None
    ) -> Awaitable[Result]:
        """See `Executor.perform`."""
        if step.kind == "model":
            return self._call_model(step, state.frames[step.frame], state.started.stream, left_s)
        if step.kind == "memory":
            return self._memory.answer(step, state)
        tool, arguments = cast("tuple[Tool, dict[str, Any] | None]", step.target)
        context = self._make_context(step, state, left_s)
        if step.reconciles is not None:
            return self._call_reconcile(tool, context)
        if arguments is None:
            return self._call_with_long(tool, step, context, ownership)
        return self._call_tool(tool, arguments, context, ownership)

    def _make_context(self, step: Step, state: RunState, left_s: float) -> ToolContext:
        return ToolContext(
            run=state.started.run,
            step=step.number,
            agent=step.agent,
            tenant=state.started.tenant,
            principal=state.started.principal,
            session=state.started.session,
            remaining_s=left_s,
            key=self._find_key(step, state),
        )

    def _find_key(self, step: Step, state: RunState) -> str:
        """Returns the key of an effect, or of the effect that a step asks about."""
        known = None if step.reconciles is None else state.find_effect(step.reconciles)
        key = step.key if known is None else known.tool_key
        return key or f"{state.started.run}:{state.call_key(step.frame, step.call and step.call.id)}"

    async def _call_reconcile(self, tool: Tool, context: ToolContext) -> Result:
        """Asks the other system what became of an effect, with the tool's reconcile function."""
        value, error = await self._call_beside(tool, partial(call_reconcile, tool, context))
        if error is None and value is None:
            text = f"Error: what became of this call of {tool.name!r} could not be found out"
            return Result(status="error", output=text, error="not_known")
        if error is None:
            try:
                return await self._record(tool, value)
            except KeyboardInterrupt:
                raise
            except BaseException as raised:  # noqa: BLE001 -- a user's own serializer may raise anything
                error = raised
        trace = (
            ""
            if is_error(error, NotDone)
            else self._trace(error, f"reconcile of {tool.name!r}", context.step)
        )
        return replace(_make_tool_failure(error, tool), trace=trace, retryable=False)

    async def preview(self, step: Step, state: RunState, left_s: float) -> tuple[str, bool]:
        """See `Executor.preview`."""
        tool, _ = cast("tuple[Tool, Any]", step.target)
        context = self._make_context(step, state, left_s)
        asking = asyncio.get_running_loop().create_task(
            self._call_beside(tool, partial(call_preview, tool, thaw(step.arguments or {}), context))
        )
        try:
            # A thread can't be stopped, so this does not wait until it ends after a cancellation.
            await asyncio.wait({asking}, timeout=min(PREVIEW_S, left_s) if left_s > 0 else PREVIEW_S)
            if not asking.done():
                return f"it did not answer within {PREVIEW_S:g} s", True
            value, error = asking.result()
            if error is None:
                text, error = _encode_preview(tool, value)
                if error is None:
                    return text, False
        except Exception as raised:  # noqa: BLE001 -- the user's own function; the person is asked without a preview
            error = raised
        finally:
            if asking.cancel():  # the wait for a thread ends with the second cancellation
                asyncio.get_running_loop().call_soon(asking.cancel)
        self._trace(error, f"preview of {tool.name!r}", step.number)
        return describe_error(error), True

    async def _call_beside(self, tool: Tool, call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        """Calls a preview or reconcile function of a tool. A sync function runs in a thread of the tool."""
        value, error = await self._resources.get_pool(tool).call(lambda: call, QueuedCall())
        if error is None and is_awaitable(value):
            return await await_apart(partial(_await, value, None))
        return value, error

    def _list_tools(self, step: Step, member: Member, frame: Frame) -> tuple[ToolSpec, ...]:
        if step.last:
            return member.last_specs
        return (*member.specs, make_read_tool().spec) if self._context.has_folds(frame) else member.specs

    async def _call_model(self, step: Step, frame: Frame, stream: bool, left_s: float) -> Result:
        member = self._members[step.agent]
        agent = member.agent
        model = self._resources.models[agent.name]
        request = ModelRequest(
            messages=self._context.assemble(frame, agent.instructions),
            tools=self._list_tools(step, member, frame),
            max_output_tokens=step.reply_tokens,
            temperature=agent.temperature,
            timeout_s=left_s or None,
            settings=agent.settings,
        )

        async def _ask() -> Result:
            if stream and frame.kind == "root" and self._on_text is not None:
                reply = await self._stream_model(model, request, step.number)
            else:
                reply = await model.respond(request)
            usage, usd = check_usage(getattr(reply, "usage", None), self._resources.prices.get(agent.name))
            reply = ModelReply(message=reply.message, usage=usage, finish=reply.finish)
            read = partial(read_reply, reply, member, frame, usd, self._bodies, last=step.last)
            if _is_big_reply(reply):
                return await self._read_big_reply(read, member)
            return read()

        result, error = await await_apart(_ask)
        if error is None:
            return result
        trace = self._trace(error, f"model {model.name!r}", step.number)
        return replace(_make_model_failure(error, model), trace=trace)

    async def _read_big_reply(self, read: Callable[[], Result], member: Member) -> Result:
        """Reads a reply in the thread for big values, and prepares its texts there for later steps."""
        bodies = self._bodies

        bodies.cache.clear()  # it has the results of earlier replies

        def work() -> Result:
            result = read()
            output = bodies.prepare(result.output).text or ""
            bodies.cache.compute(read_assistant, output)
            if result.reasoning is not None:
                bodies.prepare_arguments(result.reasoning)
            expect_calls([(name, text) for _, name, text in result.calls], member, bodies)
            if result.answer is not None:
                answer = bodies.prepare_json(result.answer).text or ""
                bodies.cache.compute(find_traces, answer)
            return result

        return await self._resources.call_apart(work)

    async def _stream_model(self, model: Model, request: ModelRequest, number: int) -> ModelReply:
        """Returns a model's reply, and passes its text on in pieces, without secrets."""
        reply: ModelReply | None = None
        redactor = self._bodies.stream()
        since = 0
        async for item in model.stream(request):
            self.on_sign(number)
            if reply is not None:
                raise ModelFailed("malformed", "the stream went on after its complete reply")
            if not isinstance(item, TextDelta):
                reply = item
                continue
            for at in range(0, len(item.text), STREAM_CHARS):
                piece = item.text[at : at + STREAM_CHARS]
                self._deliver(number, redactor.feed(piece))
                since += len(piece) + STREAM_PIECE_CHARS
                if since > STREAM_CHARS:  # a model that sends much at once must not hold up the other runs
                    since = 0
                    await asyncio.sleep(0)
        self._deliver(number, redactor.end())
        if reply is None:
            raise ModelFailed("incomplete", "the stream ended without a complete reply")
        return reply

    def _deliver(self, number: int, text: str) -> None:
        if text and self._on_text is not None:
            self.delivered = True
            self._on_text(number, text)

    async def _call_with_long(
        self, tool: Tool, step: Step, context: ToolContext, ownership: Ownership | None
    ) -> Result:
        """Calls a tool with long arguments, which are validated again in a thread."""

        def read() -> dict[str, Any] | Result:
            try:
                return tool.validate_arguments(thaw(step.arguments or {}))
            except BaseException as error:  # noqa: BLE001 -- a user's own validator may raise anything, also now
                return _make_tool_failure(error, tool)

        arguments = await self._resources.call_apart(read)
        if isinstance(arguments, Result):
            return arguments
        return await self._call_tool(tool, arguments, context, ownership)

    async def _call_tool(
        self, tool: Tool, arguments: dict[str, Any], context: ToolContext, ownership: Ownership | None
    ) -> Result:
        """Calls a tool. Right before an effect is called, it confirms that this process still owns the run."""

        async def _call() -> Any:
            until = None if ownership is None else await _confirm(ownership)
            return await tool.function(**_bind(tool, arguments, context, until))

        def _prepare() -> Callable[[], Any]:
            until = None if ownership is None else _confirm_in_thread(ownership)
            return partial(tool.function, **_bind(tool, arguments, context, until))

        if tool.is_async:
            value, error = await await_apart(_call)
        else:
            queued = self._queued[context.step] = QueuedCall()
            try:
                value, error = await self._resources.get_pool(tool).call(_prepare, queued)
            finally:
                self._queued.pop(context.step, None)
            if is_awaitable(value):  # a wrapper around an async function: its awaitable runs here
                value, error = await await_apart(partial(_await, value, ownership))
        if error is not None and is_error(error, _Withheld):
            raise error.why
        if error is None:
            try:
                return await self._record(tool, value)
            except KeyboardInterrupt:
                raise
            except BaseException as raised:  # noqa: BLE001 -- a user's own serializer may raise anything
                error = raised
                if tool.effect:  # the effect returned, so it was done, and is never repeated
                    self._trace(error, f"tool {tool.name!r}", context.step)
                    text = f"[{tool.name!r} was done; its result can't be shown: {describe_error(error)}]"
                    return Result(status="ok", output=text)
                if is_error(error, NotDone):
                    error = TypeError(describe_error(error))
        expected = is_error(error, (NotDone, ToolFailed))
        trace = "" if expected else self._trace(error, f"tool {tool.name!r}", context.step)
        return replace(_make_tool_failure(error, tool), trace=trace)

    def _trace(self, error: BaseException, what: str, step: int) -> str:
        """Logs an error's traceback, and returns it for the record."""
        trace = format_trace(error, self._bodies.redact)
        _log.info("%s raised at step %d of %s:\n%s", what, step, self._run, trace)
        return trace

    async def _record(self, tool: Tool, value: object) -> Result:
        """Returns a tool's result. A big result is encoded, redacted and hashed in a thread, so that other runs go on."""
        bodies = self._bodies

        def work() -> tuple[Result, PreparedBody | None]:
            return _make_result(tool, tool.encode_result(value), bodies)

        result, body = await self._resources.call_apart(work) if is_big(value) else work()
        if body is not None:
            bodies.add(body)
        return result

    def withdraw(self, step: Step) -> Result | None:
        """Gives up a call that still waits for a thread of its tool; returns None if it has begun."""
        queued = self._queued.get(step.number)
        if queued is None or not queued.withdraw():
            return None
        tool = cast("tuple[Tool, Any]", step.target)[0]
        held = "the one thread" if tool.threads == 1 else f"all {tool.threads} threads"
        what = "a call that has" if tool.threads == 1 else "calls that have"
        verb = "is" if tool.threads == 1 else "are"
        return Result(
            status="error",
            output=f"Error: not done: {held} of {tool.name!r} {verb} held by {what} not returned",
            error="not_done",
            retryable=True,
            endpoint="unasked",
        )


def _encode_preview(tool: Tool, value: object) -> tuple[str, BaseException | None]:
    """Returns a preview as a person is shown it, or what the serializer of a user's own type has raised."""
    try:
        return str(tool.encode_result(value))[:PREVIEW_MAX_CHARS], None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- as said
        return "", error


def _ignore(_: int) -> None:
    pass


def _is_big_reply(reply: ModelReply) -> bool:
    chars = len(reply.message.content or "") + sum(len(call.arguments) for call in reply.message.calls)
    if reply.message.reasoning is not None:
        chars += len(reply.message.reasoning.parts)
    return chars > BIG_CHARS


class _Withheld(BaseException):
    """An effect is not made, because it could not be confirmed that this process still owns the run."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


async def _await(value: Awaitable[Any], ownership: Ownership | None) -> Any:
    if ownership is not None:
        await _confirm(ownership)
    return await value


async def _confirm(ownership: Ownership) -> float:
    try:
        return _require_deadline(await ownership.confirm())
    except Exception as error:
        raise _Withheld(error) from error


def _confirm_in_thread(ownership: Ownership) -> float:
    try:
        return _require_deadline(ownership.confirm_in_thread())
    except Exception as error:
        raise _Withheld(error) from error


def _require_deadline(until: float | None) -> float:
    if until is None:
        raise Broken(
            "an effect was not made: the journal answers too slowly to say whether the run is still ours"
        )
    return until


def _bind(
    tool: Tool, arguments: dict[str, Any], context: ToolContext, lease_until: float | None
) -> dict[str, Any]:
    """Returns the arguments of a tool's function, with the context if it takes one."""
    if tool.context_parameter is None:
        return arguments
    if lease_until is not None:
        context = dataclasses.replace(context, lease_until=lease_until)
    return {**arguments, tool.context_parameter: context}


def _make_model_failure(error: BaseException, model: Model) -> Result:
    """Returns the result of a model call that raised. A user's own model class may raise anything."""
    if is_error(error, ModelFailed):
        try:
            return _read_model_failed(error, model)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 -- the attributes of a user's own class may do anything
            pass
    signal = classify_exception(error)
    return Result(
        status="error",
        output=f"Error: {describe_error(error)}",
        error=name_error(error),
        endpoint=signal.endpoint,
    )


def _read_model_failed(error: ModelFailed, model: Model) -> Result:
    if type(error.kind) is not str:
        raise TypeError(f"kind is {error.kind!r}")
    text, named = read_error_text(error), f"model {model.name!r}"
    return Result(
        status="error",
        output=f"Error: {text}" if named in text else f"Error: {named}: {text}",
        error=escape_unsendable(error.kind),
        uncharged=not error.charged,
        retryable=bool(error.retryable),
        retry_after_s=read_seconds(error.retry_after_s),
        endpoint="answered" if error.kind in ("rejected", "context_too_long", "spend_limit") else "broken",
    )


def _make_tool_failure(error: BaseException, tool: Tool) -> Result:
    """Returns the result of a tool that raised: the text for the agent, and what the error means for the endpoint."""
    if is_error(error, asyncio.CancelledError):
        text = f"Error: tool {tool.name!r} was cancelled"
        return Result(status="error", output=text, error="CancelledError")
    if is_error(error, NotDone):
        output, kind = f"Error: not done: {read_error_text(error)}", "not_done"
    elif is_error(error, ToolFailed):
        output, kind = f"Error: {read_error_text(error)}", name_error(error)
    else:
        output, kind = f"Error: {describe_error(error)}", name_error(error)
    signal = classify_exception(error)
    return Result(
        status="error",
        output=output,
        error=kind,
        retryable=not is_error(error, ToolFailed),
        retry_after_s=signal.retry_after_s,
        endpoint=signal.endpoint,
    )


def _make_result(tool: Tool, encoded: str | bytes, bodies: Bodies) -> tuple[Result, PreparedBody | None]:
    """Returns a tool's result, and a body to keep if the result is bytes or too long for a context."""
    if isinstance(encoded, str) and measure_bytes(encoded) <= INLINE_BYTES:
        return Result(status="ok", output=encoded), None
    body = bodies.prepare(encoded)
    whole: tuple[str, str] | None = None
    if body.text is None:
        output = f"[{len(encoded):,} bytes, kept as {body.ref}]"
    else:
        whole = digest_whole(body.text, tool.volatile)
        # Cut after redaction, because half a secret would not be recognised.
        named = f"{len(body.text):,} characters; whole: {body.ref}"
        output = f"{body.text[:PREVIEW_CHARS]}\n[the first {PREVIEW_CHARS:,} of {named}]"
    return Result(status="ok", output=output, whole=whole), body


_WHOLE = re.compile(r"\n\[the first [\d,]{1,20} of [\d,]{1,20} characters; whole: ([0-9a-f]{64})\]\Z")


def find_whole(output: str) -> Ref | None:
    """Returns the body that a result was cut from, because the result was too long for a context; None if it is whole."""
    found = _WHOLE.search(output)
    return None if found is None else Ref(found[1])
