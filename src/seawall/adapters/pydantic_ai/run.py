"""One run of an agent: its session with the gate, and the frame in which it works."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple, NoReturn, cast

from pydantic import ValidationError
from pydantic_ai.exceptions import (
    AgentRunError,
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    ToolFailed,
    UserError,
)
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputContext
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import DeferredToolRequests, RunContext
from pydantic_ai.toolsets.abstract import ToolsetTool

from seawall.adapters.pydantic_ai.identity import LOOP, Identity
from seawall.adapters.pydantic_ai.messages import (
    WrittenModelMessages,
    add_advice,
    add_notes,
    describe_tools,
    find_denied,
    find_limit,
    fit_settings,
    keep_deferral,
    keep_signal,
    name_model,
    read_response,
    read_value,
    recall_response,
    recall_value,
)
from seawall.core.canonical import digest_of, to_canonical_text
from seawall.core.errors import Broken, Misused, Refused, describe_error
from seawall.core.events import StepIntended
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.asked import Asked, HandoffAsk, ModelAsk, ToolAsk
from seawall.runtime.foreign.asks import Halted, Held, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.own_errors import OwnErrors
from seawall.runtime.foreign.results import make_failure, to_json_value, write_text
from seawall.runtime.foreign.session import MAX_OUTPUT_TOKENS, Performed, Session
from seawall.runtime.seawall import Seawall
from seawall.team.team import Team
from seawall.team.tool import NotDone

Call = Callable[[list[ModelMessage], ModelSettings | None, ModelRequestParameters], Awaitable[ModelResponse]]
"""Calls a model with messages, settings and parameters."""


class AgentHalted(AgentRunError):
    """The run has ended, and the agent's run ends with it.

    `outcome` says how the run ended; None if it was refused, or broke, before it could end.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.outcome: Outcome[Any] | None = error.outcome if isinstance(error, Halted) else None


class AgentHeld(AgentRunError):
    """A step waits for a person, and the agent can't defer it: `DeferredToolRequests` is not among its output types, or
    the step is not a tool's call. Ask again, with the same request id, after the decision.
    """

    def __init__(self, held: Held) -> None:
        super().__init__(str(held))
        self.held = held


class _Overridden(Exception):
    """A person has changed a call's arguments in the framework, and the call was approved with others before that."""


PASSES = (ApprovalRequired, CallDeferred, AgentHeld, _Overridden)
"""Errors of a tool whose call was not made: the call is deferred or asked for anew, or an agent inside of the tool waits for a
person."""


class _ToolError(NamedTuple):
    """What a tool has raised, in the place of its value."""

    error: BaseException


class ToolPlace(NamedTuple):
    """The place inside of a tool's call: an agent that runs there works in a frame below. Tools that the tool calls there have
    ids that no reply asks for.
    """

    engine: Engine
    session: Session
    agent: str
    frame: int
    call: str
    """The key of the call in its frame."""
    asked: Counter[str]
    """How often the same request was handed to the same agent, or the same tool was called in the same way, in this call."""


current_place: ContextVar[ToolPlace | None] = ContextVar("seawall_pydantic_ai_place", default=None)


class GatedAgentRun:
    """One run of an agent. Each call of a model or a tool is a step of its session."""

    def __init__(
        self,
        engine: Engine,
        session: Session,
        agent: str,
        identity: Identity,
        not_done: tuple[type[BaseException], ...] = (),
        handoff: HandoffAsk | None = None,
    ) -> None:
        """`not_done`: errors of tools which say that nothing has happened. `handoff`: the ask that opens the frame of an agent
        which works inside a tool of another one; None for an agent that works by itself.
        """
        self.engine, self.session, self.agent = engine, session, agent
        self.frame = 0
        self._identity, self._not_done, self._handoff = identity, not_done, handoff
        self.failure: AgentHalted | None = None
        """The error that has ended the run, kept because the framework may replace or swallow it."""
        self._written = WrittenModelMessages()
        self.held: dict[str, Held] = {}
        """The calls that wait for a person, by call id."""
        self._calls: set[str] = set()
        """The ids of the calls in replies that passed the gate."""

    def __repr__(self) -> str:
        return f"<GatedAgentRun {self.agent} in frame {self.frame} of {self.session!r}>"

    # ---- steps

    @contextlib.contextmanager
    def translate_errors(self) -> Generator[None]:
        """Turns the gate's errors into `AgentHalted`, which ends the agent's run. `Held` passes unchanged."""
        try:
            yield
        except Held:
            raise
        except (Refused, Broken, Misused) as error:
            self._halt(error)

    def _halt(self, error: Refused | Broken | Misused) -> NoReturn:
        self.failure = AgentHalted(error)
        raise self.failure from error

    async def step(self, asked: Asked, perform: Callable[[Turn], Awaitable[tuple[Any, Any]]]) -> Performed:
        """Makes a step. An error of the tool or the model itself is raised unchanged."""
        own = OwnErrors()
        try:
            return await self.session.step(asked, own.watch(perform))
        except (Refused, Broken, Misused) as error:
            if error in own or isinstance(error, Held):
                raise
            self._halt(error)

    # ---- models

    async def ask_model(
        self,
        model: Model,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ModelAsk:
        """Returns the ask for a reply. First it rejects the calls that a person has denied in the framework meanwhile."""
        if denied := find_denied(messages):
            await self._note_denied(denied)
        self._note_not_gated(parameters)
        return self.session.model(
            self.agent,
            name_model(model),
            self._written.write(messages),
            tools=describe_tools(parameters),
            max_output_tokens=find_limit(settings),
            frame=self.frame,
        )

    async def request(
        self,
        model: Model,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
        call: Call,
    ) -> ModelResponse:
        """Calls a model if the gate allows it, and returns the reply, the recorded reply, or a guard's replacement."""
        asked = await self.ask_model(model, messages, settings, parameters)

        async def perform(turn: Turn) -> tuple[Any, ModelResponse]:
            most = find_limit(settings) or MAX_OUTPUT_TOKENS
            response = await call(
                add_notes(messages, turn.notes), fit_settings(settings, turn, most), parameters
            )
            return read_response(response), response

        try:
            done = await self.step(asked, perform)
        except Held as held:
            raise AgentHeld(held) from held
        response = done.value if done.settled.performed else recall_response(done.settled, model)
        self.note_calls(response)
        return response

    def note_calls(self, response: ModelResponse) -> None:
        """Notes the calls of a reply that passed the gate."""
        self._calls.update(call.tool_call_id for call in response.tool_calls)

    def _note_not_gated(self, parameters: ModelRequestParameters) -> None:
        for native in parameters.native_tools:
            self.engine.note_not_gated(f"native tool {native.kind!r}: the model's provider runs it")
        for tool in parameters.function_tools:
            if tool.kind == "external":
                self.engine.note_not_gated(f"external tool {tool.name!r}: it is performed outside of the run")

    async def _note_denied(self, denied: Mapping[str, str]) -> None:
        """Rejects the calls that a person has denied in the framework. A proposal that this person may not reject stays open;
        the framework does not make the call in either case.
        """
        for call_id in denied:
            self.held.pop(call_id, None)
        with contextlib.suppress(Refused, Misused):
            await self.engine.call_async(partial(_reject, identity=self._identity, denied=denied))

    # ---- tools

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any],
        ctx: RunContext[Any],
        tool: ToolsetTool[Any],
        call: Callable[[dict[str, Any]], Awaitable[Any]],
    ) -> Any:
        """Calls a tool if the gate allows it, and returns its value, the recorded value, or the gate's answer in its place.

        Raises `ApprovalRequired` for a call that waits for a person. Its metadata describes what to decide on.
        """
        call_id = ctx.tool_call_id or ""
        given = to_json_value(arguments)

        def fit(turn: Turn) -> dict[str, Any]:
            changed = dict(turn.arguments)
            if changed == given:
                return arguments
            if ctx.tool_call_approved and _is_overridden(given, ctx, tool):
                raise _Overridden
            return _validate(name, changed, ctx, tool)

        async def perform(turn: Turn) -> tuple[Any, Any]:
            with self._enter_tool(turn):
                return await self._read_call(name, call_id, turn, partial(call, fit(turn)))

        try:
            return await self._step_tool(name, given, ctx, perform)
        except NotDone as error:
            raise ToolFailed(str(error)) from error

    async def _step_tool(
        self, name: str, arguments: Any, ctx: RunContext[Any], perform: Callable[[Turn], Awaitable[Any]]
    ) -> Any:
        call_id, decided, overridden = ctx.tool_call_id or "", False, False
        asked = await self._ask_tool(name, arguments, call_id)
        while True:
            try:
                done = await self.step(asked, perform)
            except Held as held:
                self.held[call_id], overridden = held, False
                problem = ""
                if ctx.tool_call_approved and not decided:
                    decided, problem = True, await self._approve(held, arguments, ctx.tool_call_metadata)
                    if not problem:
                        continue
                raise ApprovalRequired(held.describe(problem)) from held
            except _Overridden:  # the earlier approval is used up, so these arguments are asked about
                if overridden:
                    # There was none: the tool has deferred itself. With other arguments it is another call.
                    asked = asked._replace(edits=False)
                overridden = True
                continue
            self.held.pop(call_id, None)
            return _finish(done)

    async def _ask_tool(self, name: str, arguments: Any, call_id: str) -> ToolAsk:
        """Returns the ask for a tool's call. If no reply that passed the gate asks for it, its id may be a new one each time:
        another tool of the agent makes the call, or a hook has replied in the model's place.
        """
        place = current_place.get()
        if place is not None and place.session is self.session and place.frame == self.frame:
            call_id = make_inner_id(place, name, arguments)
        elif call_id and call_id not in self._calls and not await self._is_recorded(call_id):
            call_id = ""
        return self.session.tool(self.agent, name, arguments, call_id=call_id, frame=self.frame, edits=True)

    async def _is_recorded(self, call_id: str) -> bool:
        """Returns whether a recorded reply asks for a call, for example one of a run that this one goes on with."""
        with self.translate_errors():
            return bool(await self.session.find_frames(call_id))

    async def call_output(
        self,
        context: OutputContext,
        output: Any,
        handler: Callable[[Any], Awaitable[Any]],
    ) -> Any:
        """Calls a declared output function if the gate allows it. Its call can't be deferred, so a held call ends the agent's
        run.
        """
        name = context.function_name or ""
        call_id = "" if context.tool_call is None else context.tool_call.tool_call_id
        given = to_json_value(output)
        arguments = cast("dict[str, Any]", given if isinstance(given, dict) else {"output": given})

        async def perform(turn: Turn) -> tuple[Any, Any]:
            with self._enter_tool(turn):
                return await self._read_call(name, call_id, turn, partial(handler, output))

        asked = await self._ask_tool(name, arguments, call_id)
        try:
            return _finish(await self.step(asked, perform))
        except Held as held:
            raise AgentHeld(held) from held

    async def _read_call(
        self, name: str, call_id: str, turn: Turn, call: Callable[[], Awaitable[Any]]
    ) -> tuple[Any, Any]:
        """Calls a tool, and returns its result and its value. A signal to the model, and an error which says that nothing has
        happened, become a failure, and are raised later. An effect whose result comes from outside is made: it has begun its
        work there.
        """
        try:
            value = await call()
        except (ModelRetry, ToolFailed, *self._not_done) as error:
            return keep_signal(make_failure(error, f"tool {name!r}", self._not_done), error), _ToolError(
                error
            )
        except CallDeferred as error:
            if not turn.key or error.kind == "question":
                raise
            return keep_deferral(error), _ToolError(error)
        return read_value(name, call_id, value), value

    @contextlib.contextmanager
    def _enter_tool(self, turn: Turn) -> Generator[None]:
        """Marks a block as a tool's call: an agent that runs in it works in a frame below this one."""
        place = ToolPlace(self.engine, self.session, self.agent, self.frame, turn.call, Counter())
        token = current_place.set(place)
        try:
            yield
        finally:
            current_place.reset(token)

    # ---- people

    async def _approve(self, held: Held, arguments: Any, metadata: Any) -> str:
        """Approves a held call in the name of the person who approved it in the framework. An earlier decision stands.
        `arguments` differ from the proposed ones if that person has changed them; then they are approved as an edit.

        Returns why the approval does not count; "" if the call is decided.
        """
        given = cast("Mapping[str, Any]", metadata if isinstance(metadata, Mapping) else {})
        credential = given.get("credential")
        by = "" if credential is not None else str(given.get("by") or self._identity.principal or LOOP)
        reason = str(given.get("reason") or "")
        decide = partial(_decide, by=by, credential=credential, reason=reason)
        try:
            await self.engine.call_async(lambda sea: decide(sea, held, arguments, self.session.team))
        except (Refused, Misused) as error:
            return str(error)
        return ""

    # ---- beginning and ending

    async def begin(self) -> None:
        """Opens the frame of an agent inside a tool. Nothing is recorded for a request before its first step."""
        if self._handoff is not None:
            with self.translate_errors():
                self.frame = await self._open_frame(self._handoff)

    async def _open_frame(self, handoff: HandoffAsk) -> int:
        """Opens a frame. Raises `ToolFailed` with the reason if the gate refuses it; the agent's tool fails with that."""
        try:
            return await self.session.open_frame(handoff)
        except Refused as refused:
            if isinstance(refused, Halted | Held) or refused.guard != "handoff":
                raise
            raise ToolFailed(str(refused)) from refused

    def raise_if_over(self, error: BaseException | None = None) -> None:
        """Raises the error that the gate has ended the run with, if the framework has raised another one (`error`) or none."""
        if self.failure is not None and error is not self.failure:
            raise self.failure from error
        if isinstance(error, UserError) and self.held:  # the framework could not defer the call
            raise AgentHeld(next(iter(self.held.values()))) from error

    async def finish(self, output: Any) -> None:
        """Ends the run with the agent's output. If calls are deferred, the run stays open."""
        if isinstance(output, DeferredToolRequests):
            if self._handoff is None:
                await self.session.detach()
            return
        with self.translate_errors():
            if self.frame:
                await self.session.close_frame(self.frame, write_text(output))
            else:
                await self.session.end(write_text(output))

    async def fail(self, error: BaseException) -> None:
        """Ends the run with an error. A halt has ended it already; a run that waits or is cancelled stays open."""
        rests = isinstance(error, AgentHalted | AgentHeld) or not isinstance(error, Exception)
        if self.frame and rests:
            return
        with contextlib.suppress(Refused, Broken, Misused):  # the error itself says more
            if self.frame:
                await self.session.close_frame(self.frame, describe_error(error), failed=True)
            elif self._handoff is not None:
                return
            elif rests:
                await self.session.detach()
            else:
                await self.session.fail(describe_error(error))


async def _decide(
    sea: Seawall, held: Held, arguments: Any, team: Team | None, *, by: str, credential: Any, reason: str
) -> None:
    found = next((each for each in await sea.approvals(run=held.run) if each.id == held.proposal), None)
    if found is None:
        return
    if sea.supervisor.make_bodies().redact_json(to_canonical_text(arguments)) == found.arguments_text:
        await sea.decide(held.run, held.step, approve=True, by=by, credential=credential, reason=reason)
    else:
        await sea.approve(
            found.id,
            hash=found.hash,
            edit=arguments,
            team=team,
            by=by,
            credential=credential,
            reason=reason,
        )


async def has_ended(sea: Seawall, identity: Identity) -> bool:
    """Returns whether a request is recorded, and its run has ended."""
    if identity.request_id is None:
        return False
    run = await sea.journal.run_of_request(identity.tenant, identity.request_id)
    return run is not None and (await sea.journal.row(run)).state == "ended"


async def _reject(sea: Seawall, identity: Identity, denied: Mapping[str, str]) -> None:
    """Rejects the open proposals of the calls that were denied."""
    if identity.request_id is None:
        return
    run = await sea.journal.run_of_request(identity.tenant, identity.request_id)
    waiting = {each.id for each in await sea.approvals(run=run)} if run is not None else set[str]()
    if run is None or not waiting:
        return
    for event in await sea.journal.events(run):
        if not isinstance(event, StepIntended) or event.proposal not in waiting or event.call is None:
            continue
        call_id = event.call.partition("/")[2].partition("~")[0]
        if call_id in denied:
            await sea.decide(
                run, event.step, approve=False, by=identity.principal or LOOP, reason=denied[call_id]
            )


def _validate(
    name: str, arguments: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
) -> dict[str, Any]:
    """Returns arguments that a person has changed, validated for the tool. Raises `NotDone` if the tool does not accept them."""
    try:
        return tool.args_validator.validate_python(arguments, context=ctx.validation_context)
    except ValidationError as error:
        raise NotDone(
            f"tool {name!r} does not accept the arguments that a person has changed: {error}"
        ) from error


def _is_overridden(given: Any, ctx: RunContext[Any], tool: ToolsetTool[Any]) -> bool:
    """Returns whether the arguments with which a call was approved in the framework are not those of the model's call."""
    replies = (message for message in reversed(ctx.messages) if isinstance(message, ModelResponse))
    calls = (call for reply in replies for call in reply.tool_calls)
    proposed = next((call for call in calls if call.tool_call_id == ctx.tool_call_id), None)
    if proposed is None:
        return False
    with contextlib.suppress(ValidationError):
        text, known = proposed.args_as_json_str(), ctx.validation_context
        return to_json_value(tool.args_validator.validate_json(text, context=known)) != given
    return False


def _finish(done: Performed) -> Any:
    if isinstance(done.value, _ToolError) and done.settled.performed:
        raise done.value.error
    value = done.value if done.settled.performed else recall_value(done.settled)
    return add_advice(value, done.settled.notes)


def make_inner_id(place: ToolPlace, name: str, given: Any) -> str:
    """Returns the id of an agent's run, or of another tool's call, inside a tool's call. It is the same if the call is made
    again.
    """
    asked = digest_of([name, given])[:16]
    place.asked[asked] += 1
    return f"{place.call}/{asked}/{place.asked[asked]}"
