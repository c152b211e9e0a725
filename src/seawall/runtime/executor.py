"""The executor: the one file that calls models and tools."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, cast

from seawall.core.errors import describe_error
from seawall.models.protocol import Model, ModelFailed, ModelReply, ModelRequest, Price, TextDelta
from seawall.run.bodies import Bodies
from seawall.run.frame import Frame
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.runtime.exceptions import classify_exception
from seawall.runtime.threads import Threads, Turn
from seawall.team.agent import Agent
from seawall.team.context import Context
from seawall.team.reply import read_reply
from seawall.team.team import Team
from seawall.team.tool import INLINE_BYTES, PREVIEW_CHARS, NotDone, Tool, ToolContext


class Resources:
    """What the runs of one team share in a process: models and prices by agent, and the tools' threads."""

    def __init__(
        self, team: Team, models: Mapping[str, Model], price: Callable[[Agent], Price | None]
    ) -> None:
        """`price` returns what an agent's model costs, or None where that is not known."""
        self.models = dict(models)
        self.prices = {name: price(member.agent) for name, member in team.members.items()}
        self._threads: dict[int, Threads] = {}
        weakref.finalize(self, _close, self._threads)

    def threads(self, tool: Tool) -> Threads:
        """Returns the pool of a sync tool."""
        pool = self._threads.get(id(tool))
        if pool is None:
            pool = self._threads[id(tool)] = Threads(f"seawall-{tool.name}", tool.threads)
        return pool


def _close(pools: dict[int, Threads]) -> None:
    for pool in pools.values():
        pool.close()


class TeamExecutor:
    """`run.step.Executor` of a team: calls its models and tools. One for each run.

    `on_text` is called with (step, text) for each piece of the coordinator's text, if the run is streamed.
    """

    def __init__(
        self,
        team: Team,
        resources: Resources,
        context: Context,
        bodies: Bodies,
        *,
        on_text: Callable[[int, str], None] | None = None,
    ) -> None:
        self._members = team.members
        self._resources = resources
        self._context = context
        self._bodies = bodies
        self._on_text = on_text
        self._turns: dict[int, Turn] = {}
        """By step: the sync calls that wait for a thread, or are made in one."""

    def __repr__(self) -> str:
        return f"<TeamExecutor {len(self._turns)} calls in threads>"

    async def perform(self, step: Step, state: RunState, left_s: float) -> Result:
        """Performs a model or tool step. Raises nothing but `CancelledError`."""
        if step.kind == "model":
            frame = state.frames[step.frame]
            return await self._call_model(step, frame, state.started.stream, left_s)
        tool, arguments = cast("tuple[Tool, dict[str, Any]]", step.target)
        context = ToolContext(
            run=state.started.run,
            step=step.number,
            agent=step.agent,
            tenant=state.started.tenant,
            principal=state.started.principal,
            session=state.started.session,
            remaining_s=left_s,
            key=f"{state.started.run}:{state.call_key(step.frame, step.call and step.call.id)}",
        )
        return await self._call_tool(tool, arguments, context)

    async def _call_model(self, step: Step, frame: Frame, stream: bool, left_s: float) -> Result:
        member = self._members[step.agent]
        agent = member.agent
        model = self._resources.models[agent.name]
        request = ModelRequest(
            messages=self._context.assemble(frame, agent.instructions),
            tools=member.specs,
            max_output_tokens=agent.max_output_tokens,
            temperature=agent.temperature,
            timeout_s=left_s or None,
            settings=agent.settings,
        )
        try:
            if stream and frame.kind == "root" and self._on_text is not None:
                reply = await self._streamed(model, request, step.number)
            else:
                reply = await model.respond(request)
            price = self._resources.prices.get(agent.name)
            usd = Decimal(0) if price is None else price.usd(reply.usage)
            return read_reply(reply, member, frame, usd, self._bodies.redact)
        except ModelFailed as failure:
            return Result(
                status="error",
                output=f"Error: model {model.name!r}: {failure}",
                error=failure.kind,
                uncharged=not failure.charged,
                retryable=failure.retryable,
                retry_after_s=failure.retry_after_s,
                endpoint="answered" if failure.kind in ("rejected", "spend_limit") else "broken",
            )
        except asyncio.CancelledError as error:
            _raise_if_ours()
            return Result(status="error", output=f"Error: {describe_error(error)}", error="CancelledError")
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- a model class of the user's own may do anything
            side = classify_exception(error)
            return Result(
                status="error",
                output=f"Error: {describe_error(error)}",
                error=type(error).__name__,
                endpoint=side.endpoint,
            )

    async def _streamed(self, model: Model, request: ModelRequest, number: int) -> ModelReply:
        """A reply whose text is told as it comes, without its secrets."""
        tell = self._on_text or _ignore_text
        reply: ModelReply | None = None
        redactor = self._bodies.stream()
        async for item in model.stream(request):
            if isinstance(item, TextDelta):
                if text := redactor.feed(item.text):
                    tell(number, text)
            else:
                reply = item
        if text := redactor.end():
            tell(number, text)
        if reply is None:
            raise ModelFailed("incomplete", "the stream ended without a complete reply")
        return reply

    async def _call_tool(self, tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Result:
        if tool.context_parameter is not None:
            arguments = {**arguments, tool.context_parameter: context}
        try:
            if tool.is_async:
                value = await tool.function(**arguments)
            else:
                turn = self._turns[context.step] = Turn()
                value = await self._resources.threads(tool).call(lambda: tool.function(**arguments), turn)
            encoded = tool.encode_result(value)
        except NotDone as error:
            return _tool_failure(error, f"Error: not done: {error}", "not_done")
        except asyncio.CancelledError:
            _raise_if_ours()
            return Result(
                status="error", output=f"Error: tool {tool.name!r} was cancelled", error="CancelledError"
            )
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever a tool raises, the agent is told
            return _tool_failure(error, f"Error: {describe_error(error)}", type(error).__name__)
        finally:
            self._turns.pop(context.step, None)
        return _tool_result(encoded, self._bodies)

    def withdraw(self, step: Step) -> Result | None:
        """Gives up a call that still waits for a thread of its tool; None: it has begun."""
        turn = self._turns.get(step.number)
        if turn is None or not turn.withdraw():
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


def _tool_failure(error: BaseException, output: str, kind: str) -> Result:
    """A tool that raised: what the agent is told, and what it says of the other side."""
    side = classify_exception(error)
    return Result(
        status="error",
        output=output,
        error=kind,
        retryable=True,
        retry_after_s=side.retry_after_s,
        endpoint=side.endpoint,
    )


def _ignore_text(number: int, text: str) -> None:
    pass


def _raise_if_ours() -> None:
    """Within `except CancelledError`: go on raising it if the task was cancelled, and not by what it called."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise  # noqa: PLE0704 -- the error that is being handled by the caller


def _tool_result(encoded: str | bytes, bodies: Bodies) -> Result:
    """A tool's result, by reference if it is bytes or too long for a context."""
    if isinstance(encoded, str) and len(encoded) <= INLINE_BYTES:
        return Result(status="ok", output=encoded)
    if isinstance(encoded, str):
        encoded = bodies.redact(encoded)  # before it is cut: half a secret has no shape to know it by
        whole = f"{len(encoded):,} characters; whole: {bodies.put(encoded)}"
        output = f"{encoded[:PREVIEW_CHARS]}\n[the first {PREVIEW_CHARS:,} of {whole}]"
    else:
        output = f"[{len(encoded):,} bytes, kept as {bodies.put(encoded)}]"
    return Result(status="ok", output=output)
