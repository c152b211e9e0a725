"""The wrapper around an agent's model: each attempt is a step, whether its reply comes whole or as a stream."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from types import new_class
from typing import Any, TypeVar, cast

from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestContext,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext

from seawall.adapters.pydantic_ai.messages import (
    add_notes,
    find_limit,
    fit_settings,
    read_response,
    recall_response,
)
from seawall.adapters.pydantic_ai.run import AgentHalted, AgentHeld, GatedAgentRun
from seawall.core.errors import Refused
from seawall.runtime.foreign.asked import ModelAsk
from seawall.runtime.foreign.asks import Ask, Held, Settled
from seawall.runtime.foreign.session import CUT, MAX_OUTPUT_TOKENS

T = TypeVar("T")
_FOLLOWING = "_seawall_following"
"""The attribute of a stream that holds its `_Following`."""


def gate_model(model: Model, run: GatedAgentRun) -> Model:
    """Returns a model whose calls pass the gate. For a `FallbackModel`, the calls of each candidate pass it."""
    if type(model) is FallbackModel:
        candidates = copy.copy(model)
        candidates.models = [gate_model(each, run) for each in model.models]
        return GatedFallback(model, candidates)
    inner = model
    while isinstance(inner, WrapperModel):
        inner = inner.wrapped
    if isinstance(inner, FallbackModel):
        run.engine.note_not_gated(
            f"the candidates of model {inner.model_name!r} one by one: they count as one call"
        )
    return GatedAgentModel(model, run)


class GatedFallback(WrapperModel):
    """A `FallbackModel` whose candidates are gated. Only the user's own model opens and closes the candidates."""

    def __init__(self, wrapped: FallbackModel, candidates: FallbackModel) -> None:
        super().__init__(wrapped)
        self._candidates = candidates

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Asks one candidate after another."""
        return await self._candidates.request(messages, model_settings, model_request_parameters)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """As `request`."""
        async with self._candidates.request_stream(
            messages, model_settings, model_request_parameters, run_context
        ) as stream:
            yield stream


class GatedAgentModel(WrapperModel):
    """A model whose calls pass the gate."""

    def __init__(self, wrapped: Model, run: GatedAgentRun) -> None:
        super().__init__(wrapped)
        self._run = run

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Calls the model if the gate allows it."""
        return await self._run.request(
            self.wrapped, messages, model_settings, model_request_parameters, self.wrapped.request
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Calls the model if the gate allows it. Events are passed on as they come; the step is settled after the last one."""
        run = self._run
        asked = await run.ask_model(self.wrapped, messages, model_settings, model_request_parameters)
        try:
            with run.translate_errors():
                asking = await run.session.ask(asked)
        except Held as held:
            raise AgentHeld(held) from held
        if isinstance(asking, Settled):
            recalled = recall_response(asking, self.wrapped)
            run.note_calls(recalled)
            yield CompletedStreamedResponse(
                recalled, model_request_parameters=model_request_parameters, replay_events=True
            )
            return
        ask, turn = asking
        following = _Following(run, ask, asked)
        most = find_limit(model_settings) or MAX_OUTPUT_TOKENS
        opening = self.wrapped.request_stream(
            add_notes(messages, turn.notes),
            fit_settings(model_settings, turn, most),
            model_request_parameters,
            run_context,
        )
        try:
            async with AsyncExitStack() as stack:
                yield await following.open(stack.enter_async_context(opening))
        except BaseException as error:
            await following.fail(error)
            raise
        await following.settle()

    async def compact_messages(
        self, request_context: ModelRequestContext, *, instructions: str | None = None
    ) -> ModelResponse:
        """Has the model shorten a conversation, if the gate allows the call."""

        async def call(
            messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
        ) -> ModelResponse:
            return await self.wrapped.compact_messages(request_context, instructions=instructions)

        return await self._run.request(
            self.wrapped,
            list(request_context.messages),
            request_context.model_settings,
            request_context.model_request_parameters,
            call,
        )

    async def batch_create(self, requests: Any) -> Any:
        """Passes on a batch of requests, which can't be gated, and notes that for `coverage`."""
        self._run.engine.note_not_gated("requests that are sent as a batch")
        return await self.wrapped.batch_create(requests)


class _Following:
    """Follows a stream to its end, and gives the whole reply to the gate as the result of its step."""

    def __init__(self, run: GatedAgentRun, ask: Ask, asked: ModelAsk) -> None:
        self._run, self._ask, self._asked = run, ask, asked
        self._stream: StreamedResponse | None = None
        self._settled = False
        self._over = False
        """True if the run has ended while the stream was open."""
        self._patience: asyncio.Timeout | None = None
        """The timeout of the wait for the model's next event."""
        self._loop = asyncio.get_running_loop()
        ask.on_over = self._tell_over

    async def open(self, opening: Awaitable[StreamedResponse]) -> StreamedResponse:
        """Opens the stream, and makes its events pass through `pass_on`."""
        stream = self._stream = await self._await(opening)
        stream.__class__ = _make_followed(type(stream))
        vars(stream)[_FOLLOWING] = self
        return stream

    async def pass_on(
        self, events: AsyncIterator[ModelResponseStreamEvent]
    ) -> AsyncIterator[ModelResponseStreamEvent]:
        """Passes on the events of the stream, and settles the step after the last one."""
        with contextlib.suppress(StopAsyncIteration):
            while not self._over:
                event = await self._await(anext(events))
                yield event
        await self.settle()

    async def _await(self, what: Awaitable[T]) -> T:
        """Awaits the opening of the stream or its next event. Raises `AgentHalted` once the run has ended."""
        try:
            async with asyncio.timeout(None) as self._patience:
                return await what
        except TimeoutError:
            if self._over:
                await self.settle()
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

    async def settle(self) -> None:
        """Settles the step with the reply. Raises `AgentHalted` if the run ended with it, or a guard rejected the reply."""
        if self._settled:
            return
        brought: Any = CUT
        if not self._over and self._stream is not None:
            response = self._stream.get()
            self._run.note_calls(response)
            brought = read_response(response, delivered=True)
        self._settled = True
        with self._run.translate_errors():
            settled = await _finish_anyway(self._run.session.give(self._ask, self._asked, brought))
            if not settled.performed:
                raise Refused(f"a reply that was streamed did not stand: {settled.told}", guard="stream")

    async def fail(self, error: BaseException) -> None:
        """Settles the step with the error of the call or, if the reader left, with what had arrived of the reply."""
        if self._settled:
            return
        self._settled = True
        if self._stream is not None and isinstance(error, GeneratorExit | asyncio.CancelledError):
            brought: Any = self._read_so_far(self._stream)
        else:
            brought = CUT if self._over else error
        with contextlib.suppress(AgentHalted), self._run.translate_errors():
            await _finish_anyway(self._run.session.give(self._ask, self._asked, brought))

    def _read_so_far(self, stream: StreamedResponse) -> Any:
        """Returns the reply of a stream whose reader has left it, or the error that keeps it from being read."""
        try:
            return read_response(stream.get(), delivered=True, cut=True)
        except Exception as error:  # noqa: BLE001 -- it is recorded as the result of the call
            return error


@lru_cache(maxsize=256)  # a program has one class of streams for each provider
def _make_followed(kind: type[StreamedResponse]) -> type[StreamedResponse]:
    """Returns a subclass of a stream's class whose events pass through `_Following.pass_on`. It is a subclass, not a wrapper,
    so that the framework's deadlines and peeks work on it.
    """

    def iterate(stream: StreamedResponse) -> AsyncIterator[ModelResponseStreamEvent]:
        known: AsyncIterator[ModelResponseStreamEvent] | None = vars(stream).get("_event_iterator")
        if known is None:
            following: _Following = vars(stream)[_FOLLOWING]
            known = vars(stream)["_event_iterator"] = following.pass_on(kind.__aiter__(stream))
        return known

    return cast(
        "type[StreamedResponse]",
        new_class(kind.__name__, (kind,), exec_body=lambda names: names.update(__aiter__=iterate)),
    )


async def _finish_anyway(work: Coroutine[Any, Any, T]) -> T:
    """Awaits work that goes on to its end if the caller is cancelled."""
    return await asyncio.shield(asyncio.ensure_future(work))
