"""Gated models, and gated providers of models."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

from agents.exceptions import ModelBehaviorError
from agents.items import ModelResponse, TResponseOutputItem
from agents.models.interface import Model, ModelProvider
from agents.retry import ModelRetryAdvice, ModelRetryNormalizedError
from agents.run import RunConfig
from openai.types.responses import ResponseCompletedEvent, ResponseOutputItemDoneEvent

from seawall.adapters.openai_agents.place import AgentsHalted, AgentsHeld, RunnerInvocation, find_invocation
from seawall.adapters.openai_agents.replies import (
    add_notes,
    list_calls,
    list_messages,
    list_schemas,
    name_model,
    read_completed,
    read_response,
    recall_response,
    write_completed,
)
from seawall.core.errors import Refused
from seawall.run.step import Result
from seawall.runtime.foreign.asked import ModelAsk
from seawall.runtime.foreign.asks import Settled, Turn
from seawall.runtime.foreign.results import ModelResult, make_failure
from seawall.runtime.foreign.session import MAX_OUTPUT_TOKENS, Performed

MAX_WAITING_EVENTS = 1
"""Events of a stream that may wait for the SDK. It is one, so that the provider's stream is not read faster than the SDK reads
its events."""
_END = object()
_FAILED = ("response.failed", "response.incomplete", "response.error", "error")
"""The types of the events that end a stream without a reply. The SDK raises an error at each of them."""


class GatedModel(Model):
    """Takes each call of a model through the gate of the run that this task belongs to."""

    def __init__(self, inner: Model, name: str | None) -> None:
        """`name`: the name by which a provider was asked for the model; None if it was given as an object."""
        self._inner = inner
        self._name = name_model(inner, name)

    def __repr__(self) -> str:
        return f"<GatedModel {self._name}>"

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the model itself: the SDK reads some of them."""
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)

    async def close(self) -> None:
        """Closes the model."""
        await self._inner.close()

    async def _cleanup_on_run_end(self, owner: object) -> None:
        await self._inner._cleanup_on_run_end(owner)  # noqa: SLF001 -- the SDK calls it

    def get_retry_advice(self, request: Any) -> Any:
        """Returns the model's own advice to the SDK's retries. Each retry is a step.

        An error that ends the run is not retried: the SDK would only wait, and fail with the same error.
        """
        if isinstance(request.error, AgentsHalted | AgentsHeld):
            return ModelRetryAdvice(suggested=False, normalized=ModelRetryNormalizedError(is_abort=True))
        return self._inner.get_retry_advice(request)

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,  # noqa: A002 -- the SDK's name
        model_settings: Any,
        tools: Any,
        output_schema: Any,
        handoffs: Any,
        tracing: Any,
        **more: Any,
    ) -> ModelResponse:
        """Returns the reply of the model, which is called if the gate allows it, or the recorded reply."""
        invocation = find_invocation()
        run = invocation.run

        async def perform(turn: Turn) -> tuple[ModelResult, ModelResponse]:
            response = await self._inner.get_response(
                system_instructions,
                add_notes(input, turn.notes),
                _fit_settings(model_settings, turn, tools or handoffs),
                tools,
                output_schema,
                handoffs,
                tracing,
                **more,
            )
            return read_response(response), response

        with run.translate_errors():
            await run.give_back(invocation.frame)
            asked = self._ask(
                invocation, system_instructions, input, model_settings, tools, output_schema, handoffs
            )
            done = await run.session.step(asked, perform)
        return _finish(invocation, done)

    async def stream_response(
        self,
        system_instructions: str | None,
        input: Any,  # noqa: A002 -- the SDK's name
        model_settings: Any,
        tools: Any,
        output_schema: Any,
        handoffs: Any,
        tracing: Any,
        **more: Any,
    ) -> AsyncIterator[Any]:
        """As `get_response`. Events are passed on as they come; the last one waits until the gate has settled the reply."""
        invocation = find_invocation()
        run = invocation.run
        events: asyncio.Queue[Any] = asyncio.Queue()
        room = asyncio.Semaphore(MAX_WAITING_EVENTS)

        async def pass_on(event: Any) -> None:
            await room.acquire()
            events.put_nowait(event)

        async def perform(turn: Turn) -> tuple[ModelResult | Result, Any]:
            stream = self._inner.stream_response(
                system_instructions,
                add_notes(input, turn.notes),
                _fit_settings(model_settings, turn, tools or handoffs),
                tools,
                output_schema,
                handoffs,
                tracing,
                **more,
            )
            return await _read_stream(stream, pass_on)

        async def pump() -> Performed:
            try:
                asked = self._ask(
                    invocation, system_instructions, input, model_settings, tools, output_schema, handoffs
                )
                return await run.session.step(asked, perform)
            finally:
                events.put_nowait(_END)

        with run.translate_errors():
            await run.give_back(invocation.frame)
        pumping = asyncio.create_task(pump())
        try:
            while (event := await events.get()) is not _END:
                yield event
                room.release()
            with run.translate_errors():
                done = await pumping
        finally:
            if not pumping.done():
                pumping.cancel()
                await asyncio.wait([pumping])
        if done.settled.performed and not isinstance(done.value, ResponseCompletedEvent):
            if done.value is not None:
                yield done.value
            return  # the stream has ended without a reply, and the SDK says so
        response = _finish(invocation, done, read_completed)
        yield done.value if done.value is not None else write_completed(response, self._name)

    def _ask(
        self,
        invocation: RunnerInvocation,
        instructions: str | None,
        given: Any,
        settings: Any,
        tools: Any,
        output: Any,
        handoffs: Any,
    ) -> ModelAsk:
        return invocation.run.session.model(
            invocation.agent,
            self._name,
            list_messages(instructions, given),
            tools=list_schemas(tools, handoffs, output),
            max_output_tokens=settings.max_tokens,
            frame=invocation.frame,
        )


async def _read_stream(
    stream: AsyncIterator[Any], pass_on: Callable[[Any], Awaitable[None]]
) -> tuple[ModelResult | Result, Any]:
    """Returns the result of a stream and the event with which it has ended, if any. All events before that are passed on."""
    last: Any = None
    items: list[TResponseOutputItem] = []
    async for event in stream:
        if isinstance(event, ResponseOutputItemDoneEvent):
            items.append(event.item)
        failed = getattr(event, "type", None) in _FAILED
        if failed or isinstance(event, ResponseCompletedEvent):
            last = event
        else:
            await pass_on(event)
        if failed:
            break  # the SDK reads no further, and closes the stream
    await _close(stream)
    if not isinstance(last, ResponseCompletedEvent):
        return _make_failure(last), last
    if not last.response.output:
        last.response.output = items  # as the SDK does: some servers send the items alone
    return read_response(read_completed(last), delivered=True), last


def _make_failure(last: Any) -> Result:
    """Returns the failure of a stream that has ended without a reply. `last` is the event with which it has ended, if any."""
    what = "without a reply" if last is None else f"with {last.type}"
    return make_failure(ModelBehaviorError(f"the stream has ended {what}"), "the model")


async def _close(stream: AsyncIterator[Any]) -> None:
    """Closes a stream that was not read to its end."""
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


def _fit_settings(settings: Any, turn: Turn, tools: Any) -> Any:
    """Returns a request's settings, changed where a limit demands it: the model may call no tools, or its reply is shorter.

    The tools stay in the request: some servers reject a conversation with calls of tools that the request does not name.
    """
    changed: dict[str, Any] = {}
    if turn.last and tools:
        changed["tool_choice"] = "none"
    if 0 < turn.max_output_tokens < (settings.max_tokens or MAX_OUTPUT_TOKENS):
        changed["max_tokens"] = turn.max_output_tokens
    return dataclasses.replace(settings, **changed) if changed else settings


def _finish(invocation: RunnerInvocation, done: Performed, read: Any = None) -> ModelResponse:
    """Returns the reply, and notes its calls."""
    settled = done.settled
    if done.value is None:
        _check_reply(invocation, settled)
    response: ModelResponse = (
        recall_response(settled)
        if done.value is None
        else read(done.value)
        if read is not None
        else done.value
    )
    invocation.calls = list_calls(response)
    return response


def _check_reply(invocation: RunnerInvocation, settled: Settled) -> None:
    """Raises `AgentsHalted` if there is no reply. The SDK would take a text in its place for the agent's answer.

    A failure that is given again, below an agent that has gone on after it, is an error of the model again.
    """
    if settled.status in ("ok", "replaced", "simulated"):
        return
    if settled.replayed and settled.status == "error" and invocation.frame:
        raise ModelBehaviorError(settled.text)
    with invocation.run.translate_errors():
        raise Refused(settled.text, guard="model")


class GatedProvider(ModelProvider):
    """A provider that returns another provider's models, gated."""

    def __init__(self, inner: ModelProvider) -> None:
        self._inner = inner

    def __repr__(self) -> str:
        return f"<GatedProvider of {self._inner!r}>"

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)

    def get_model(self, model_name: str | None) -> Model:
        """Returns a model, gated."""
        return gate_model(self._inner.get_model(model_name), model_name)

    async def aclose(self) -> None:
        """Closes the provider."""
        await self._inner.aclose()


def gate_model(model: Model, name: str | None = None) -> Model:
    """Returns a model whose calls pass the gate."""
    return model if isinstance(model, GatedModel) else GatedModel(model, name)


def gate_provider(provider: ModelProvider) -> ModelProvider:
    """Returns a provider whose models are gated."""
    return provider if isinstance(provider, GatedProvider) else GatedProvider(provider)


def gate_config(options: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Returns the options of the SDK's run with gated models, and the provider that was made for the run, if one was."""
    given = options.get("run_config")
    made = given is None or (isinstance(given, Mapping) and "model_provider" not in given)
    config = RunConfig(**cast("Any", given or {})) if not isinstance(given, RunConfig) else given
    changed: dict[str, Any] = {"model_provider": gate_provider(config.model_provider)}
    if isinstance(config.model, Model):
        changed["model"] = gate_model(config.model)
    gated = dataclasses.replace(config, **changed)
    return {**options, "run_config": gated}, config.model_provider if made else None
