"""Replies and runs that come as streams: each update is passed on as it comes, and the step is settled after the last one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from agent_framework import (
    AgentResponse,
    AgentResponseUpdate,
    ChatResponse,
    ChatResponseUpdate,
    ResponseStream,
)

from seawall.adapters.agent_framework.messages import read_response
from seawall.adapters.agent_framework.run import AgentFrame, MiddlewareHalted
from seawall.core.errors import Refused
from seawall.runtime.foreign.asked import ModelAsk
from seawall.runtime.foreign.asks import Ask
from seawall.runtime.foreign.session import CUT

T = TypeVar("T")
ReplyStream = ResponseStream[ChatResponseUpdate, ChatResponse[Any]]
RunStream = ResponseStream[AgentResponseUpdate, AgentResponse[Any]]


def replay_reply(response: ChatResponse[Any]) -> ReplyStream:
    """Returns a recorded reply as a stream."""

    async def updates() -> AsyncIterator[ChatResponseUpdate]:
        for update in response.to_updates():
            yield update

    return ResponseStream(updates(), finalizer=lambda _: response)


def follow_run(
    stream: RunStream,
    finish: Callable[[AgentResponse[Any]], Awaitable[None]],
    fail: Callable[[BaseException], Awaitable[None]],
) -> RunStream:
    """Returns the stream of an agent's run. The request ends once the stream is read to its end, has failed, or is left."""
    responses: list[AgentResponse[Any]] = []

    async def updates() -> AsyncGenerator[AgentResponseUpdate]:
        try:
            async for update in stream:
                yield update
            response = await stream.get_final_response()
            await finish(response)
        except BaseException as error:
            await fail(error)
            raise
        responses.append(response)

    def find_response(_: Sequence[AgentResponseUpdate]) -> AgentResponse[Any]:
        return responses[0]

    return ResponseStream(updates(), finalizer=find_response)


class ReplyFollower:
    """Follows the stream of a reply to its end, and gives the whole reply to the gate as the result of its step."""

    def __init__(self, run: AgentFrame, ask: Ask, asked: ModelAsk) -> None:
        self._run, self._ask, self._asked = run, ask, asked
        self._settled = False
        self._over = False
        """True if the run has ended while the stream was open."""
        self._patience: asyncio.Timeout | None = None
        """The timeout of the wait for the model's next update."""
        self._loop = asyncio.get_running_loop()
        ask.on_over = self._tell_over
        run.add_stream(self)

    def __repr__(self) -> str:
        return f"<ReplyFollower of {self._ask!r}>"

    def follow(self, stream: ReplyStream) -> ReplyStream:
        """Returns the stream, which is settled after its last update."""
        responses: list[ChatResponse[Any]] = []

        async def updates() -> AsyncGenerator[ChatResponseUpdate]:
            try:
                with contextlib.suppress(StopAsyncIteration):
                    while True:
                        yield await self._await(anext(stream))
                response = await self._await(stream.get_final_response())
                await self.settle(response)
            except BaseException as error:
                await self.fail(error)
                raise
            responses.append(response)

        def find_response(_: Sequence[ChatResponseUpdate]) -> ChatResponse[Any]:
            return responses[0]

        return ResponseStream(updates(), finalizer=find_response)

    async def _await(self, what: Awaitable[T]) -> T:
        """Awaits the model's next update or final reply. Raises `MiddlewareHalted` once the run has ended."""
        try:
            async with asyncio.timeout(None) as self._patience:
                if self._over:
                    self._stop()
                return await what
        except TimeoutError:
            if self._over:
                await self.cut()
                self._run.raise_if_over()
            raise
        finally:
            self._patience = None

    def _tell_over(self) -> None:
        """Tells the event loop that the run has ended. The engine calls it on its own thread."""
        with contextlib.suppress(RuntimeError):  # a loop that is closed reads nothing
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        """Ends the wait for the model: the run has ended."""
        self._over = True
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(0.0)

    async def settle(self, response: ChatResponse[Any]) -> None:
        """Settles the step with the reply. Raises `MiddlewareHalted` if the run ended with it, or a guard rejected the reply."""
        if self._settled:
            return
        brought = read_response(response, delivered=True)
        self._run.note_calls(response)
        self._settled = True
        with self._run.translate_errors():
            settled = await _finish_anyway(self._run.session.give(self._ask, self._asked, brought))
            if not settled.performed:
                raise Refused(f"a reply that was streamed did not stand: {settled.told}", guard="stream")

    async def fail(self, error: BaseException) -> None:
        """Settles the step with the error of the call."""
        brought = error if isinstance(error, Exception) and not self._over else CUT
        await self._bring(brought)

    async def cut(self) -> None:
        """Ends the step if its stream was not read to its end."""
        await self._bring(CUT)

    async def _bring(self, brought: Any) -> None:
        if self._settled:
            return
        self._settled = True
        with contextlib.suppress(MiddlewareHalted), self._run.translate_errors():
            await _finish_anyway(self._run.session.give(self._ask, self._asked, brought))


async def _finish_anyway(work: Coroutine[Any, Any, T]) -> T:
    """Awaits work that goes on to its end if the caller is cancelled."""
    return await asyncio.shield(asyncio.ensure_future(work))
