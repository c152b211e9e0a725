"""One invocation of ADK: each call of a model or a tool in it is a step of its session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, cast

from google.adk.agents.invocation_context import InvocationContext
from google.adk.events.event import Event
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.agent_tool import AgentTool
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.exit_loop_tool import exit_loop
from google.adk.tools.set_model_response_tool import SetModelResponseTool
from google.adk.tools.tool_confirmation import ToolConfirmation
from google.adk.tools.tool_context import ToolContext
from google.adk.workflow._errors import NodeInterruptedError

from seawall.adapters.google_adk.identity import DECISIONS, LOOP, AdkIdentity
from seawall.adapters.google_adk.messages import (
    FINISH,
    add_advice,
    describe_request,
    describe_tools,
    find_hosted,
    find_limit,
    fit_request,
    name_calls,
    name_model,
    read_content,
    read_responses,
    read_value,
    recall_responses,
    recall_value,
    to_json_value,
    write_text,
)
from seawall.adapters.google_adk.places import (
    TRANSFER,
    AdkHalted,
    AdkHeld,
    AdkPlace,
    AdkRefused,
    AdkToolPlace,
    Frames,
    GatedSession,
    current_tool,
    enter_tool,
)
from seawall.core.errors import Broken, Misused, Refused, describe_error
from seawall.runtime.foreign.asked import Asked, ModelAsk
from seawall.runtime.foreign.asks import Ask, Held, Settled, Turn
from seawall.runtime.foreign.own_errors import OwnErrors
from seawall.runtime.foreign.results import ModelResult
from seawall.runtime.foreign.session import CUT, MAX_OUTPUT_TOKENS, Performed
from seawall.runtime.seawall import Seawall

T = TypeVar("T")
CallModel = Callable[[LlmRequest, bool], AsyncGenerator[LlmResponse, None]]
"""Calls a model with a request. The second argument says whether the reply is streamed."""
CallTool = Callable[..., Awaitable[Any]]
"""Calls a tool, with `args` and `tool_context`."""


class ToolDeferred(Exception):
    """A tool has not done its work, because it has asked a person first. `value` is what it has returned."""

    def __init__(self, value: Any) -> None:
        super().__init__("a tool has asked a person")
        self.value = value


PASSES = (ToolDeferred, AdkHeld, NodeInterruptedError)
"""Errors of a tool that has not done its work, because the tool or an agent inside of it waits for a person."""


class GatedInvocation:
    """One invocation, from its beginning to its end."""

    def __init__(
        self,
        gated: GatedSession,
        identity: AdkIdentity,
        root: AdkPlace,
        *,
        nested: bool,
        read_credential: Callable[[ToolContext], object] | None = None,
    ) -> None:
        """`nested`: the invocation runs inside a tool of another invocation, in a frame of the other one's session.
        `read_credential` returns the credential of the person who has answered ADK's question.
        """
        self.gated, self._session = gated, gated.session
        self._read_credential = read_credential
        self._identity, self._root, self._nested = identity, root, nested
        self.frames = Frames(gated, root)
        self._answer: str | None = None
        """The text of the newest reply; None if that reply calls tools."""
        self._is_final = True
        """Whether an agent may end with the newest event of ADK."""

    def __repr__(self) -> str:
        return f"<GatedInvocation of {self._root.agent} in {self.gated!r}>"

    # ---- models

    async def ask_model(
        self, model: BaseLlm, request: LlmRequest, stream: bool, place: AdkPlace, call: CallModel
    ) -> AsyncGenerator[LlmResponse, None]:
        """Calls a model if the gate allows it, and yields the reply, the recorded reply, or a guard's replacement.

        Fragments of a stream are passed on as they come. Complete responses are passed on once the step is settled.
        """
        self.gated.tell_if_over()
        for name in find_hosted(request):
            self.gated.engine.note_not_gated(
                f"tool {name!r} of agent {place.agent!r}: the model's provider runs it"
            )
        asked = self._session.model(
            place.agent,
            name_model(model, request),
            describe_request(request),
            tools=describe_tools(request),
            max_output_tokens=find_limit(request),
            frame=place.frame,
        )
        try:
            with self.gated.translate_errors():
                asking = await self._session.ask(asked)
        except Held as held:
            raise self.gated.hold(held) from held
        if isinstance(asking, Settled):
            for response in self._recall(asking, place):
                yield response
            return
        ask, turn = asking
        fitted = fit_request(request, turn, find_limit(request) or MAX_OUTPUT_TOKENS)
        following = _FollowedReply(self.gated, ask, asked)
        async with contextlib.aclosing(following.follow(call(fitted, stream))) as responses:
            async for response in responses:
                yield response
        for response in self._conclude(following, place):
            yield response

    def _recall(self, settled: Settled, place: AdkPlace) -> list[LlmResponse]:
        responses = recall_responses(settled)
        if responses is None:
            raise AdkRefused(settled.told)
        return self._note_reply(responses, place)

    def _conclude(self, following: _FollowedReply, place: AdkPlace) -> list[LlmResponse]:
        settled = following.settled
        if settled is None or settled.performed:
            return self._note_reply(following.complete, place)
        return self._recall(settled, place)

    def _note_reply(self, responses: list[LlmResponse], place: AdkPlace) -> list[LlmResponse]:
        text = "".join(read_content(response.content) for response in responses)
        calls = [call.id or "" for response in responses for call in response.get_function_calls()]
        self.gated.calls.update(calls)
        self._answer = None if calls else text
        if text:
            self.frames.note_text(place.frame, text)
        return responses

    # ---- tools

    async def call_tool(
        self, tool: BaseTool, args: dict[str, Any], context: ToolContext, call: CallTool
    ) -> Any:
        """Calls a tool if the gate allows it, and returns its value, the recorded value, or the gate's answer in its place.

        For a call that a person must decide on, ADK asks for a confirmation.
        """
        self.gated.raise_if_over()
        live = context.function_call_id or ""
        around = current_tool.get()
        if around is not None and around.frames is self.frames and around.live == live != "":
            return await call(args=args, tool_context=context)  # the tool around it passes the call on
        place = self.frames.find(context.get_invocation_context())
        call_id = await self._find_call(live) or _name_node(tool, context)
        if (to := _find_target(tool, args)) is not None:
            transfers = tool.name == TRANSFER
            refused = await self.frames.hand_over(place, to, write_text(args), call_id, transfers=transfers)
            return {"error": refused} if refused else await call(args=args, tool_context=context)
        if _is_control(tool):
            return await call(args=args, tool_context=context)
        given = to_json_value(args)
        asked = self._session.tool(place.agent, tool.name, given, call_id=call_id, frame=place.frame)
        key = call_id or self.frames.make_key(place, tool.name, given)
        at = AdkToolPlace(self.gated, self.frames, place, live, key, write_text(args))

        async def perform(turn: Turn) -> tuple[Any, Any]:
            changed = dict(turn.arguments)
            value = await self._call_inside(
                at, call, args=args if changed == given else changed, tool_context=context
            )
            if _is_deferred(context):
                raise ToolDeferred(value)
            return read_value(tool, value, context.actions), value

        return await self._make_tool(asked, perform, context)

    async def _find_call(self, live: str) -> str:
        """Returns the id of a call; "" if no recorded reply asks for it. Then a callback has answered for the model, and ADK
        makes a new id for the call each time.
        """
        if not live or live in self.gated.calls or await self._session.find_frames(live):
            return live
        return ""

    async def _make_tool(
        self, asked: Asked, perform: Callable[[Turn], Awaitable[tuple[Any, Any]]], context: ToolContext
    ) -> Any:
        confirmation = context.tool_confirmation
        while True:
            try:
                done = await self._step(asked, perform)
            except ToolDeferred as deferred:
                return deferred.value
            except Held as held:
                if confirmation is None:
                    return self._hold(held, context)
                if problem := await self._decide(held, confirmation, context):
                    raise self.gated.hold(held, problem) from held
                continue
            if done.settled.performed:
                return add_advice(done.value, done.settled.notes)
            return recall_value(done.settled, context.actions, context.state)

    async def _step(self, asked: Asked, perform: Callable[[Turn], Awaitable[tuple[Any, Any]]]) -> Performed:
        """Makes a step. An error of the tool itself is raised unchanged."""
        own = OwnErrors()

        async def make() -> Performed | BaseException:
            try:
                return await self._session.step(asked, own.watch(perform))
            except BaseException as error:
                if error in own:
                    return error
                raise

        with self.gated.translate_errors():
            made = await make()
        if isinstance(made, BaseException):
            raise made
        return made

    async def _call_inside(self, at: AdkToolPlace, call: CallTool, **arguments: Any) -> Any:
        """Calls a tool, and closes the frames of the agents that have worked inside of it."""
        try:
            with enter_tool(at):
                value = await call(**arguments)
        except Exception as error:
            if isinstance(self.gated.failure, AdkHeld):
                raise self.gated.failure from error  # ADK may have wrapped it
            if self.gated.failure is None:
                await self._close(at, describe_error(error), failed=True)
            if self.gated.failure is None and at.refused:
                return {"error": at.refused}
            raise
        if not _is_deferred(arguments["tool_context"]):
            await self._close(at, write_text(value))
        return value

    async def _close(self, at: AdkToolPlace, text: str, *, failed: bool = False) -> None:
        with self.gated.translate_errors():
            for frame in reversed(at.opened):
                await self._session.close_frame(frame, text, failed=failed)

    # ---- people

    def _hold(self, held: Held, context: ToolContext) -> dict[str, Any]:
        """Has ADK ask a person, and returns the value that the model is told meanwhile. Raises `AdkHeld` if ADK can't ask."""
        if self._nested or not context.function_call_id:
            raise self.gated.hold(held) from held
        context.request_confirmation(hint=str(held), payload=held.describe())
        context.actions.skip_summarization = True
        return {"error": f"This tool call waits for a person: {held.reason}."}

    async def _decide(self, held: Held, confirmation: ToolConfirmation, context: ToolContext) -> str:
        """Decides a held call in the name of the person who has answered ADK's question. An earlier decision stands.

        Returns why the answer does not count; "" if the call is decided.
        """
        if not held.proposal:
            return "a confirmation does not say whether the earlier attempt has happened"
        payload: Any = confirmation.payload
        given = cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
        credential = (
            given.get("credential") if self._read_credential is None else self._read_credential(context)
        )
        by = "" if credential is not None else str(given.get("by") or self._identity.principal or LOOP)
        deciding = partial(
            _decide,
            held=held,
            approve=confirmation.confirmed,
            by=by,
            credential=credential,
            reason=str(given.get("why") or ""),
        )
        try:
            await self.gated.engine.call_async(deciding)
        except (Refused, Misused) as error:
            return str(error)
        return ""

    # ---- ending

    def note_event(self, event: Event) -> None:
        """Notes whether an agent may end with an event that ADK shows to the application."""
        if not event.partial and event.author != "user":
            self._is_final = event.is_final_response()

    async def finish(self, context: InvocationContext) -> None:
        """Ends the run with the invocation. If the invocation waits for a person, or its caller has left it, the run stays
        open.

        Raises the error that has ended the run, if there is one: the application may have swallowed it.
        """
        self.gated.raise_if_over()
        with self.gated.translate_errors():
            if self._nested:
                await self.frames.close()
                await self._session.close_frame(self._root.frame, self._answer or "")
            elif not self._is_final or _find_waiting(context) or self._session.run is None:
                await self._session.detach()
            else:
                await self.frames.close()
                await self._session.end(self._answer)

    async def fail(self, error: BaseException) -> None:
        """Ends the run with an error. A halt has ended it already; a run that waits or is cancelled stays open."""
        rests = self.gated.failure is not None or not isinstance(error, Exception)
        with contextlib.suppress(Refused, Broken, Misused):  # the error itself says more
            if self._nested:
                if not rests:
                    await self._session.close_frame(self._root.frame, describe_error(error), failed=True)
            elif rests:
                await self._session.detach()
            else:
                await self._session.fail(describe_error(error))


class _FollowedReply:
    """Follows a model's reply to its end, and gives the whole reply to the gate as the result of its step."""

    def __init__(self, gated: GatedSession, ask: Ask, asked: ModelAsk) -> None:
        self._gated, self._ask, self._asked = gated, ask, asked
        self.complete: list[LlmResponse] = []
        """The first response that is not a fragment, and all that come after it."""
        self._fragments: list[LlmResponse] = []
        self.settled: Settled | None = None
        self._over = False
        """True if the run has ended while the model was called."""
        self._patience: asyncio.Timeout | None = None
        """The timeout of the wait for the model's next response."""
        self._loop = asyncio.get_running_loop()
        ask.on_over = self._tell_over

    async def follow(self, responses: AsyncGenerator[LlmResponse, None]) -> AsyncGenerator[LlmResponse, None]:
        """Yields the fragments of a reply, and settles it after its end."""
        try:
            if self._ask.end is not None:  # the run ended before `on_over` was set
                self._over = True
            async with contextlib.aclosing(responses):
                while not self._over:
                    response = await self._await(responses)
                    if response is None:
                        break
                    if not response.partial:
                        name_calls(response)
                        self.complete.append(response)
                    elif self.complete:
                        self.complete.append(response)
                    else:
                        self._fragments.append(response)
                        yield response
        except BaseException as error:
            await self._fail(error)
            raise
        brought = CUT if self._over else self._read()
        with self._gated.translate_errors():
            self.settled = await _finish_anyway(self._gated.session.give(self._ask, self._asked, brought))

    def _read(self) -> ModelResult:
        """Returns what has arrived of the reply: its complete responses or, if the reader left before these, its fragments."""
        whole = [response for response in self.complete if not response.partial]
        return read_responses(whole or self._fragments, delivered=bool(self._fragments))

    async def _await(self, responses: AsyncGenerator[LlmResponse, None]) -> LlmResponse | None:
        """Awaits the next response. Returns None if the reply or the run has ended."""
        try:
            async with asyncio.timeout(None) as self._patience:
                return await anext(responses, None)
        except TimeoutError:
            if self._over:
                return None
            raise
        finally:
            self._patience = None

    def _tell_over(self) -> None:
        """Tells the event loop that the run has ended. The engine calls it on its own thread."""
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        """Ends the wait for the model: the run has ended."""
        self._over = True
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(0.0)

    async def _fail(self, error: BaseException) -> None:
        """Settles the step with the error of the call or, if the reader left, with what had arrived of the reply."""
        left = isinstance(error, GeneratorExit | asyncio.CancelledError)
        brought: Any = error
        if left:
            brought = self._read() if self.complete or self._fragments else CUT
        with contextlib.suppress(AdkHalted), self._gated.translate_errors():
            await _finish_anyway(self._gated.session.give(self._ask, self._asked, brought))


async def _finish_anyway(work: Coroutine[Any, Any, T]) -> T:
    """Awaits work that goes on to its end if the caller is cancelled."""
    return await asyncio.shield(asyncio.ensure_future(work))


async def _decide(sea: Seawall, held: Held, approve: bool, by: str, credential: Any, reason: str) -> None:
    found = next((each for each in await sea.approvals(run=held.run) if each.id == held.proposal), None)
    if found is not None:
        await sea.decide(held.run, held.step, approve=approve, by=by, credential=credential, reason=reason)


def _name_node(tool: BaseTool, context: ToolContext) -> str:
    """Returns what names the call of a tool that is a node of a `Workflow`; "" for any other call. ADK makes a new id for it each
    time, but the path of the node, with the number of its run, stays the same.
    """
    return context.node_path if getattr(context.node, "tool", None) is tool else ""


def _find_target(tool: BaseTool, args: dict[str, Any]) -> str | None:
    """Returns the name of the agent that a call hands over to; None if the call is not a hand-off."""
    if tool.name == TRANSFER and type(tool).__module__.startswith("google.adk."):
        return str(args.get("agent_name") or "")
    if isinstance(tool, AgentTool) and getattr(tool, "_defers_response", False):
        return tool.agent.name
    return None


def _is_control(tool: BaseTool) -> bool:
    """Returns whether a tool only tells ADK what to do next."""
    if isinstance(tool, SetModelResponseTool) or getattr(tool, "func", None) is exit_loop:
        return True
    return tool.name == FINISH and type(tool).__module__.startswith("google.adk.")


def _is_deferred(context: ToolContext) -> bool:
    """Returns whether a tool has asked a person, so that it will be called again."""
    asked = context.actions
    call = context.function_call_id
    return call in asked.requested_tool_confirmations or call in asked.requested_auth_configs


def _find_waiting(context: InvocationContext) -> set[str]:
    """Returns the questions to a person that are not answered."""
    events = [each for each in context.session.events if each.invocation_id == context.invocation_id]
    asked = {call.id for each in events for call in each.get_function_calls() if call.name in DECISIONS}
    answered = {each.id for event in events for each in event.get_function_responses()}
    return {each for each in asked - answered if each}
