"""`gate`, and the middleware that it puts around an agent's models and tools, next to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from agent_framework import (
    AgentContext,
    AgentMiddleware,
    AgentResponse,
    ChatContext,
    ChatMiddleware,
    ChatMiddlewareLayer,
    ChatResponse,
    FunctionInvocationContext,
    FunctionInvocationLayer,
    FunctionMiddleware,
    MiddlewareTermination,
    ResponseStream,
)

from seawall.adapters.agent_framework.holds import (
    approve,
    find_problem,
    is_approved,
    make_approval_request,
    reject_denied,
)
from seawall.adapters.agent_framework.identity import (
    LOOP,
    Reads,
    RequestIdentity,
    RequestIdentitySource,
    find_answers,
)
from seawall.adapters.agent_framework.messages import (
    add_advice,
    add_notes,
    find_limit,
    fit_options,
    keep_error,
    read_response,
    read_value,
    recall_response,
    recall_value,
)
from seawall.adapters.agent_framework.run import (
    NOT_DONE,
    PASSES,
    AgentFrame,
    InnerAgentRefused,
    MiddlewareHalted,
    MiddlewareHeld,
    current_place,
)
from seawall.adapters.agent_framework.streams import ReplyFollower, follow_run, replay_reply
from seawall.adapters.agent_framework.tools import find_tool
from seawall.core.errors import Misused
from seawall.core.limits import Limits
from seawall.runtime.foreign.asked import ToolAsk
from seawall.runtime.foreign.asks import Held, Settled, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.results import make_failure, to_json_value
from seawall.runtime.foreign.session import MAX_OUTPUT_TOKENS, Session
from seawall.runtime.foreign.tools import Effects, ToolDeclarations

Next = Callable[[], Awaitable[None]]
_FRAME = "seawall_frame"
"""Key of the run's frame in the metadata that all middleware of one run of an agent share."""


def gate(
    engine: Engine,
    *,
    effects: Effects | None = None,
    reads: Sequence[str] = (),
    polls: Sequence[str] = (),
    limits: Limits | None = None,
    name: str = "",
    request_id: Reads = None,
    session: Reads = None,
    tenant: Reads = None,
    principal: Reads = None,
    waits: bool = False,
    not_done: tuple[type[BaseException], ...] = (),
) -> GateMiddleware:
    """Returns middleware that takes an agent's models and tools through the gate of an `Engine`.

        agent = Agent(client, tools=tools, middleware=[gate(sea, effects=["refund"]), ...])

    It stands next to the model and the tools, wherever it is in the list: each call that other middleware retries or changes
    passes the gate. If it is first in the list, all attempts of other middleware of the agent belong to one run.

    - `effects`, `reads` and `polls` are those of this agent's tools, as in `Engine.begin`; `limits` those of each request.
    - `request_id`, `session`, `tenant` and `principal` say whose request a run answers: a text, or a function that reads it
      from the run's context (`lambda context: context.session.state["ticket"]`). By default they come from the run's
      `function_invocation_kwargs` (`seawall_request_id` and so on), which no tool is given; the session is the agent's, and
      the request id is made from the session and what was said in it.
    - `waits`: a call that a person must decide on is waited for. By default the framework asks for an approval.
    - `not_done`: errors of tools which say that nothing has happened. Any other error of an effect leaves open whether it has.

    A gate that is given to a run takes the place of the agent's own.
    """
    source = RequestIdentitySource(request_id, session, tenant, principal)

    def begin(identity: RequestIdentity, agent: str) -> Session:
        return engine.begin(
            identity.request,
            loop=LOOP,
            name=name or agent,
            agent=agent,
            session=identity.session,
            tenant=identity.tenant,
            principal=identity.principal,
            request_id=identity.request_id,
            limits=limits,
            effects=effects,
            reads=reads,
            polls=polls,
            waits=waits,
            answers=True,
            not_done=(*NOT_DONE, *not_done),
            passes=PASSES,
        )

    declared = engine.tools.find_own(effects, reads, polls)
    return GateMiddleware(engine, source, begin, name, not_done, declared)


class GateMiddleware(AgentMiddleware):
    """Begins and ends the request of each run of an agent, and puts the gate next to its models and tools."""

    def __init__(
        self,
        engine: Engine,
        source: RequestIdentitySource,
        begin: Callable[[RequestIdentity, str], Session],
        name: str,
        not_done: tuple[type[BaseException], ...],
        declared: ToolDeclarations | None,
    ) -> None:
        self.engine = engine
        self._source, self._begin, self._name, self._not_done = source, begin, name, not_done
        self._declared = declared

    def __repr__(self) -> str:
        return f"<GateMiddleware of {self.engine!r}>"

    async def process(self, context: AgentContext, call_next: Next) -> None:
        """Has the agent run. The request ends with the agent's answer, or with the error of the run."""
        _check_client(context.agent)
        frame = self._make_frame(context)
        self._install(context, frame)

        async def finish(response: AgentResponse[Any]) -> None:
            frame.raise_if_over()
            await frame.finish(write_answer(response), rests=bool(response.user_input_requests))

        try:
            if find_answers(context.messages):
                await frame.begin()
                await reject_denied(frame, context.messages)
            await call_next()
            result = context.result
            if isinstance(result, ResponseStream):
                context.result = follow_run(result, finish, frame.fail)
            elif result is None:
                frame.raise_if_over()
                await frame.finish("", rests=False)
            else:
                await finish(result)
        except BaseException as error:
            await frame.fail(error)
            raise

    def _make_frame(self, context: AgentContext) -> AgentFrame:
        agent = getattr(context.agent, "name", None) or self._name or "agent"
        identity = self._source.read(context)
        above = current_place.get()
        if above is not None and above.engine is self.engine and identity.credential is None:
            identity = identity._replace(credential=above.credential, reason=identity.reason or above.reason)
        return AgentFrame(
            self.engine,
            agent,
            identity,
            lambda known: self._begin(known, agent),
            list(context.messages),
            context.session,
            context.agent,
            above if above is not None and above.engine is self.engine else None,
            self._declared,
        )

    def _install(self, context: AgentContext, frame: AgentFrame) -> None:
        """Puts the gate behind all other middleware of the run, in the place of another gate of this run."""
        other = context.metadata.get(_FRAME)
        if isinstance(other, AgentFrame):
            other.replaced = True
        context.metadata[_FRAME] = frame
        there = [
            each
            for each in context.client_kwargs.get("middleware") or ()
            if not isinstance(each, FunctionGate | ChatGate)
        ]
        gates = [FunctionGate(frame, self._not_done), ChatGate(frame)]
        context.client_kwargs = {**context.client_kwargs, "middleware": [*there, *gates]}


def _check_client(agent: Any) -> None:
    """Raises `MiddlewareHalted` for an agent whose models and tools can't be gated."""
    client: object = getattr(agent, "client", None)
    what = type(agent).__name__ if client is None else f"its client {type(client).__name__}"
    if isinstance(client, FunctionInvocationLayer) and isinstance(client, ChatMiddlewareLayer):
        return
    raise MiddlewareHalted(
        Misused(
            f"agent {getattr(agent, 'name', None)!r} can't be gated: {what} takes no middleware of chats and functions"
        )
    )


def write_answer(response: AgentResponse[Any]) -> str:
    """Returns the answer of an agent as text."""
    return response.text


class ChatGate(ChatMiddleware):
    """Takes each call of the model through the gate, whether its reply comes whole or as a stream."""

    def __init__(self, frame: AgentFrame) -> None:
        self._frame = frame

    def __repr__(self) -> str:
        return f"<ChatGate of {self._frame!r}>"

    async def process(self, context: ChatContext, call_next: Next) -> None:
        """Calls the model if the gate allows it. The result is the reply, the recorded reply, or a guard's replacement."""
        frame, options = self._frame, context.options or {}
        frame.note_inner(call_next)
        await frame.begin(context.messages, options.get("conversation_id"))
        if context.stream:
            await self._stream(context, call_next)
            return
        asked = frame.ask_model(context)

        async def perform(turn: Turn) -> tuple[Any, Any]:
            _prepare(context, turn)
            await call_next()
            response = context.result
            if not isinstance(response, ChatResponse):
                raise Misused(
                    f"{type(response).__name__} was returned in place of a reply, which can't be gated"
                )
            return read_response(response), response

        try:
            done = await frame.step(asked, perform)
        except Held as held:
            raise frame.hold(held) from held
        if not done.settled.performed:
            context.result = recall_response(done.settled, options)
        if isinstance(context.result, ChatResponse):
            frame.note_calls(context.result)

    async def _stream(self, context: ChatContext, call_next: Next) -> None:
        frame, asked = self._frame, self._frame.ask_model(context)
        asking = await frame.ask(asked)
        if isinstance(asking, Settled):
            response = recall_response(asking, context.options or {})
            frame.note_calls(response)
            context.result = replay_reply(response)
            return
        follower = ReplyFollower(frame, asking[0], asked)
        _prepare(context, asking[1])
        try:
            await call_next()
            if not isinstance(context.result, ResponseStream):
                raise Misused(
                    f"{type(context.result).__name__} was returned in place of a stream, which can't be gated"
                )
        except BaseException as error:
            await follower.fail(error)
            raise
        context.result = follower.follow(context.result)


def _prepare(context: ChatContext, turn: Turn) -> None:
    """Adds the guards' advice to the request, and asks for a shorter reply if a limit leaves less room. Otherwise the request
    stays as it is.
    """
    most = find_limit(context.options or {}) or MAX_OUTPUT_TOKENS
    context.messages = add_notes(context.messages, turn.notes)
    context.options = fit_options(context.options, turn, most)


class FunctionGate(FunctionMiddleware):
    """Takes each call of a tool through the gate."""

    def __init__(self, frame: AgentFrame, not_done: tuple[type[BaseException], ...]) -> None:
        self._frame, self._not_done = frame, (*NOT_DONE, *not_done)

    def __repr__(self) -> str:
        return f"<FunctionGate of {self._frame!r}>"

    async def process(self, context: FunctionInvocationContext, call_next: Next) -> None:
        """Calls the tool if the gate allows it. The result is its value, the recorded value, or the gate's answer in its place.

        Raises `MiddlewareTermination` for a call that waits for a person: the run returns, and the result is the question.
        """
        frame = self._frame
        frame.note_inner(call_next)
        await frame.begin()
        name, call_id = find_tool(context).name, str(context.metadata.get("call_id") or "")
        given = cast("Mapping[str, Any]", to_json_value(context.arguments))
        asked = frame.session.tool(
            frame.agent, name, given, call_id=await frame.find_call(call_id), frame=frame.frame
        )
        decided, problem = False, ""
        while True:
            try:
                await self._step(context, call_next, asked)
            except MiddlewareHeld as held:  # an agent inside of the tool waits
                frame.failure = held
                raise
            except Held as held:
                if not (frame.can_ask and held.proposal and call_id):
                    raise frame.hold(held) from held
                if is_approved(context) and not decided:
                    decided, problem = True, await approve(frame, held)
                    if not problem:
                        continue
                    # a rule that answers by itself would do so without end
                    if problem == find_problem(context):
                        raise frame.hold(held) from held
                context.result = make_approval_request(context, held, problem)
                raise MiddlewareTermination(str(held)) from held
            return

    async def _step(self, context: FunctionInvocationContext, call_next: Next, asked: ToolAsk) -> None:
        async def perform(turn: Turn) -> tuple[Any, Any]:
            try:
                with self._frame.enter_tool(turn):
                    value = await _invoke(context, call_next, asked, turn)
            except (*PASSES, MiddlewareHalted):
                raise
            except InnerAgentRefused as refused:
                value = str(refused)
            except Exception as error:  # noqa: BLE001 -- recorded, and raised again if it stands
                return keep_error(make_failure(error, f"tool {asked.name!r}", self._not_done), error), error
            return read_value(value), value

        done = await self._frame.step(asked, perform)
        if not done.settled.performed:
            context.result = recall_value(done.settled)
        elif isinstance(done.value, Exception):
            raise done.value
        else:
            context.result = add_advice(done.value, done.settled.notes)


async def _invoke(context: FunctionInvocationContext, call_next: Next, asked: ToolAsk, turn: Turn) -> Any:
    """Calls the tool, with the arguments that a person has changed, if one has."""
    changed = dict(turn.arguments)
    if changed == dict(asked.arguments):
        await call_next()
        return context.result
    # The framework's notes about the arguments that the model wrote do not hold for the changed ones.
    tool = find_tool(context)
    mine = FunctionInvocationContext(
        tool, changed, session=context.session, kwargs=context.kwargs, tools=context.tools
    )
    return await tool.invoke(arguments=changed, context=mine, tool_call_id=context.metadata.get("call_id"))
