"""One run of an agent: its session with the gate, and the frame in which it works."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Generator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from agent_framework import AgentSession, ChatContext, ChatResponse, Message, MiddlewareFailure
from agent_framework._tools import (
    _FunctionArgumentsChangedAfterApproval as ArgumentsChanged,  # pyright: ignore[reportPrivateUsage] -- it must pass
)
from agent_framework._tools import (
    _FunctionArgumentValidationError as ArgumentsRefused,  # pyright: ignore[reportPrivateUsage] -- it says that nothing was done
)
from agent_framework.exceptions import UserInputRequiredException

from seawall.adapters.agent_framework.identity import (
    RequestIdentity,
    find_answers,
    find_open_frame,
    find_open_request,
    forget_open_frame,
    forget_open_request,
    make_handoff_key,
    make_request_id,
    note_open_frame,
    note_open_request,
)
from seawall.adapters.agent_framework.messages import (
    describe_request,
    describe_tools,
    find_limit,
    name_model,
)
from seawall.adapters.agent_framework.tools import list_not_gated
from seawall.core.errors import Broken, Misused, Refused, describe_error
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.asked import Asked, ModelAsk, ToolAsk
from seawall.runtime.foreign.asks import Ask, Halted, Held, Settled, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.own_errors import OwnErrors
from seawall.runtime.foreign.session import Performed, Session
from seawall.runtime.foreign.tools import ToolDeclarations


class MiddlewareHalted(MiddlewareFailure):
    """The run has ended, was refused, or broke, and the agent's run ends with it.

    `outcome` says how it ended; None: it has not (the journal can't be written, for example). `cause` is Seawall's error.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.outcome: Outcome[Any] | None = cause.outcome if isinstance(cause, Halted) else None


class MiddlewareHeld(MiddlewareFailure):
    """A step waits for a person, and the framework can't ask that person: the agent has no session, or works inside a tool, or
    an earlier attempt may have been made. Ask again, with the same request id or session, after the decision.
    """

    def __init__(self, held: Held) -> None:
        super().__init__(str(held))
        self.held = held


class InnerAgentRefused(MiddlewareFailure):
    """An agent may not begin to work inside a tool: the tool's result says why, and the run goes on."""


class ReadCutOff(asyncio.CancelledError):
    """A read was cancelled, because the caller was cancelled or another call of the same reply has ended the agent's run. The
    read is made again when the request continues.
    """


PASSES = (UserInputRequiredException, ArgumentsChanged, MiddlewareHeld, ReadCutOff)
"""Errors after which a call of a tool is made again: the framework asks a person, an agent inside of the tool waits for one,
or the call was a read that was cut off."""
NOT_DONE: tuple[type[BaseException], ...] = (ArgumentsRefused,)
"""Errors that the framework raises before it calls a tool."""


def _hear_of_end(ask: Ask) -> list[bool]:
    """Returns an empty list that gets an item if the engine ends the step while it is performed. A cancellation that follows
    then comes from the engine, not from the caller.
    """
    over: list[bool] = []
    stop = ask.on_over

    def tell() -> None:
        over.append(True)
        if stop is not None:
            stop()

    ask.on_over = tell
    return over


class AgentPlace(NamedTuple):
    """The agent, the frame and the call in which code runs. An agent that runs there works in a frame below."""

    engine: Engine
    session: Session
    agent: str
    frame: int
    call: str
    opened: Counter[str]
    """How often each agent was asked each question here."""
    in_tool: bool
    """True inside of a tool's call. The framework can't ask a person for an agent that runs there."""
    credential: object = None
    """The credential of the person who answers questions of agents that run there; None: each agent is told it by itself."""
    reason: str = ""
    """This person's reason."""


current_place: ContextVar[AgentPlace | None] = ContextVar("seawall_agent_framework_place", default=None)


class OpenAsk(Protocol):
    """A step whose result comes later, as a stream."""

    async def cut(self) -> None:
        """Ends the step if its stream was not read to its end."""
        ...


class AgentFrame:
    """One run of an agent, in the frame in which it works. Each call of a model or a tool is a step of its session."""

    def __init__(
        self,
        engine: Engine,
        agent: str,
        identity: RequestIdentity,
        begin: Callable[[RequestIdentity], Session],
        messages: Sequence[Message],
        conversation: AgentSession | None,
        of: object,
        above: AgentPlace | None,
        declared: ToolDeclarations | None,
    ) -> None:
        """`messages` are what the run was given, and `of` is the framework's agent. `above` is the place that the run was
        started from, if that is inside of another run's request. `declared`: see `HandoffAsk`.
        """
        self.engine, self.agent, self.identity = engine, agent, identity
        self.frame = 0
        self.above, self._declared = above, declared
        self.failure: MiddlewareFailure | None = None
        """The error that has ended the run, kept because the framework may raise another one."""
        self.replaced = False
        """True once another gate of the same run of the agent has taken this one's place."""
        self._begin_session, self._messages = begin, messages
        self._conversation = conversation
        self._providers: Collection[object] = getattr(of, "context_providers", ())
        self._anew = bool(getattr(of, "require_per_service_call_history_persistence", False))
        """True if the framework saves the conversation inside of the gate: then no reply is restored from the record."""
        self._session: Session | None = None
        self._streams: set[OpenAsk] = set()
        self._calls: set[str] = set()
        """The ids of the calls in the replies that were brought or given again."""

    def __repr__(self) -> str:
        return f"<AgentFrame {self.agent} in frame {self.frame} of {self._session!r}>"

    @property
    def session(self) -> Session:
        """The session of the request. Raises `Misused` before it has begun."""
        if self._session is None:
            raise Misused("a tool of this agent was called outside of its run")
        return self._session

    @property
    def can_ask(self) -> bool:
        """Whether the framework can ask a person on behalf of this agent, and finds the question again."""
        return self._conversation is not None and not (self.above is not None and self.above.in_tool)

    # ---- beginning

    async def begin(self, messages: Sequence[Message] | None = None, continues: object = None) -> None:
        """Begins the request at its first step, or opens the frame of an agent that works inside of one.

        `messages` are those of the first request to the model, and `continues` the conversation that its server keeps; None:
        the first step is a tool's, which a person has approved. Nothing is recorded for a request before its first step.
        """
        if self._session is not None:
            return
        said = self._messages if messages is None else messages
        with self.translate_errors():
            if self.above is not None:
                self.frame = await self._open_frame(self.above, said)
                self._session = self.above.session
                return
            request_id = self.identity.request_id or find_open_request(self._conversation, self._messages)
            if request_id is None:
                request_id = make_request_id(self.identity, said, continues, self._providers)
            self.identity = self.identity._replace(request_id=request_id)
            note_open_request(self._conversation, request_id, self._messages)
            self._session = self._begin_session(self.identity)

    async def _open_frame(self, above: AgentPlace, said: Sequence[Message]) -> int:
        if find_answers(self._messages):
            await above.session.find_frames("")  # finds the run of a request that goes on
            frame = find_open_frame(self._conversation, above.session.run, self._messages)
            if frame is not None:
                return frame
        asked = f"{self.agent}/{make_handoff_key(said, self._providers)}"
        above.opened[asked] += 1
        key = f"{above.call}/{asked}/{above.opened[asked]}"
        handoff = above.session.handoff(
            above.agent,
            self.agent,
            self.identity.request,
            call_id=key,
            frame=above.frame,
            halts=not above.in_tool,
            declared=self._declared,
        )
        try:
            return await above.session.open_frame(handoff)
        except Refused as refused:
            if isinstance(refused, Halted | Held) or refused.guard != "handoff" or not above.in_tool:
                raise
            raise InnerAgentRefused(str(refused)) from refused

    # ---- steps

    @contextlib.contextmanager
    def translate_errors(self) -> Generator[None]:
        """Turns the gate's errors into `MiddlewareHalted`, which ends the agent's run, and raises it again at each later step.
        `Held` passes unchanged.
        """
        if self.failure is not None:
            raise self.failure
        try:
            yield
        except Held:
            raise
        except (Refused, Broken, Misused) as error:
            self.failure = MiddlewareHalted(error)
            raise self.failure from error

    def hold(self, held: Held) -> MiddlewareHeld:
        """Returns the error that ends an agent's run which waits for a person."""
        failure = MiddlewareHeld(held)
        self.failure = failure
        return failure

    async def step(self, asked: Asked, perform: Callable[[Turn], Awaitable[tuple[Any, Any]]]) -> Performed:
        """Makes a step. An error of the tool or the model itself is raised unchanged."""
        own = OwnErrors()

        async def make() -> Performed | BaseException:
            asking = await self.session.ask(asked)
            if isinstance(asking, Settled):
                return Performed(asking)
            ask = asking[0]

            async def watch(turn: Turn) -> tuple[Any, Any]:
                over = _hear_of_end(ask)
                try:
                    return await perform(turn)
                except asyncio.CancelledError as error:
                    if over or turn.key or not isinstance(asked, ToolAsk):
                        raise
                    raise ReadCutOff from error

            try:
                return await self.session.step(asked, own.watch(watch), asking=asking)
            except BaseException as error:
                if error in own:
                    return error
                raise

        with self.translate_errors():
            made = await make()
        if isinstance(made, BaseException):
            raise made
        return made

    async def ask(self, asked: Asked) -> tuple[Ask, Turn] | Settled:
        """Asks for a step whose result comes as a stream."""
        try:
            with self.translate_errors():
                return await self.session.ask(asked)
        except Held as held:
            raise self.hold(held) from held

    def add_stream(self, stream: OpenAsk) -> None:
        """Notes a step whose result comes as a stream."""
        self._streams.add(stream)

    def ask_model(self, context: ChatContext) -> ModelAsk:
        """Returns the ask for a reply, and notes those of the request's tools that can't be gated."""
        options = context.options or {}
        self.engine.note_not_gated(*list_not_gated(options.get("tools") or (), self.engine))
        return self.session.model(
            self.agent,
            name_model(context.client, options),
            describe_request(context.messages, options),
            tools=describe_tools(options),
            max_output_tokens=find_limit(options),
            frame=self.frame,
            anew=self._anew,
        )

    def note_calls(self, response: ChatResponse[Any]) -> None:
        """Notes the calls in a reply that was brought or given again."""
        contents = [content for message in response.messages for content in message.contents]
        self._calls.update(str(each.call_id) for each in contents if each.type == "function_call")

    async def find_call(self, live: str) -> str:
        """Returns the id of a call; "" if no recorded reply asks for it. Then other middleware has answered for the model, and
        the id may be a new one each time.
        """
        if not live or live in self._calls or await self.session.find_frames(live):
            return live
        return ""

    def note_inner(self, call_next: Callable[[], Awaitable[None]]) -> None:
        """Notes that middleware of a context provider stands between the gate and the model or the tool, if there is any."""
        if getattr(call_next, "__name__", "") != "final_wrapper" and not self._anew:
            self.engine.note_not_gated(
                f"what middleware of a context provider repeats, of agent {self.agent!r}: it stands inside of the gate"
            )

    @contextlib.contextmanager
    def enter_tool(self, turn: Turn) -> Generator[None]:
        """Marks a block as a tool's call: an agent that runs in it works in a frame below this one."""
        place = AgentPlace(self.engine, self.session, self.agent, self.frame, turn.call, Counter(), True)
        token = current_place.set(place)
        try:
            yield
        finally:
            current_place.reset(token)

    # ---- ending

    def raise_if_over(self) -> None:
        """Raises the error that has ended the run, if one has: the framework may have swallowed it."""
        if self.failure is not None:
            raise self.failure

    async def finish(self, text: str, *, rests: bool) -> None:
        """Ends the run with the agent's answer. `rests`: the framework asks a person, so the run stays open."""
        await self._cut_streams()
        if self.replaced or self._session is None:
            return
        with self.translate_errors():
            if self.above is not None:
                if rests:
                    note_open_frame(self._conversation, self._session.run, self.frame)
                else:
                    await self._session.close_frame(self.frame, text)
                    forget_open_frame(self._conversation)
            elif rests:
                await self._session.detach()
            else:
                await self._session.end(text)
                forget_open_request(self._conversation)

    async def fail(self, error: BaseException) -> None:
        """Ends the run with an error. A halt has ended it already; a run that waits or is cancelled stays open.

        Raises the error that the gate has ended the run with, if the framework has raised another one instead.
        """
        await self._cut_streams()
        if not self.replaced and self._session is not None:
            over = self.failure or error
            with contextlib.suppress(Refused, Broken, Misused):  # the error itself says more
                await self._end(self._session, over)
        if self.failure is not None and self.failure is not error and isinstance(error, Exception):
            raise self.failure from error

    async def _end(self, session: Session, error: BaseException) -> None:
        rests = isinstance(error, MiddlewareHalted | MiddlewareHeld) or not isinstance(error, Exception)
        if self.above is not None:
            if not rests:
                await session.close_frame(self.frame, describe_error(error), failed=True)
            return
        if not rests or (isinstance(error, MiddlewareHalted) and error.outcome is not None):
            forget_open_request(self._conversation)
        if rests:
            await session.detach()
        else:
            await session.fail(describe_error(error))

    async def _cut_streams(self) -> None:
        streams, self._streams = self._streams, set()
        for stream in streams:
            await stream.cut()
