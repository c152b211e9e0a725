"""Agent Framework: a stream stays a stream, and what it has delivered is settled after the last of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from agent_framework import (
    AgentContext,
    AgentMiddleware,
    AgentSession,
    ChatContext,
    ChatMiddleware,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    Message,
    ResponseStream,
)

from apart.agent_framework.agents_desk import (
    ANSWER,
    ASKED,
    Desk,
    ScriptedClient,
    ask,
    read_newest_run,
    read_outcome,
)
from seawall.adapters.agent_framework import MiddlewareHalted
from seawall.journal.protocol import Command
from seawall.runtime.foreign.engine import Engine

Next = Callable[[], Awaitable[None]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "desk.db", effects=["refund"]) as engine:
        yield engine


def test_words_are_delivered_one_by_one_before_the_reply_is_settled(engine: Engine) -> None:
    desk = Desk(["one two three"])
    states: list[str] = []

    async def read() -> list[str]:
        words: list[str] = []
        async for update in desk.make_agent(engine, request_id="r-1").run("Count", stream=True):
            words.append(update.text)
            row = await engine.call_async(lambda sea: sea.journal.runs(limit=1))
            states.append(row[0].state)
        return words

    assert asyncio.run(read()) == ["one ", "two ", "three "]
    assert "ended" not in states
    assert read_newest_run(engine).state == "ended"
    assert read_outcome(engine, "r-1").unchecked_delivery


def test_a_stream_that_is_given_again_delivers_what_was_recorded(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, request_id="r-1")

    async def read() -> str:
        return "".join([update.text async for update in agent.run(ASKED, stream=True)])

    first, second = asyncio.run(read()), asyncio.run(read())
    assert first.strip() == ANSWER
    assert (second, desk.model_calls, desk.refunds) == (first, 3, [(1042, 5)])


def test_a_recorded_stream_is_given_again_as_a_whole_and_the_other_way(engine: Engine) -> None:
    desk = Desk()
    for first, request_id in ((True, "r-1"), (False, "r-2")):
        agent = desk.make_agent(engine, request_id=request_id)
        texts = [ask(agent, stream=stream).text.strip() for stream in (first, not first)]
        assert texts == [ANSWER, ANSWER]

    assert (desk.model_calls, len(desk.refunds)) == (6, 2)


def test_a_stream_that_is_left_lets_go_of_the_request(engine: Engine) -> None:
    desk = Desk(["one two three"])
    agent = desk.make_agent(engine, request_id="r-1")

    async def leave() -> None:
        async with agent.run("Count", stream=True) as stream:
            async for _ in stream:
                break

    asyncio.run(leave())
    assert read_newest_run(engine).state != "ended"
    assert ask(agent, "Count").text.split() == ["one", "two", "three"]
    assert read_outcome(engine, "r-1").status == "completed"


class Hanging(ScriptedClient):
    """A model whose stream says one word and then nothing more."""

    def __init__(self) -> None:
        super().__init__([])
        self.began = asyncio.Event()

    async def _stream(self, messages: Sequence[Message]) -> AsyncIterator[ChatResponseUpdate]:
        self.calls += 1
        yield ChatResponseUpdate(contents=[Content.from_text("one ")], role="assistant")
        self.began.set()
        await asyncio.Event().wait()


def test_a_run_that_is_cancelled_ends_a_stream_that_hangs(engine: Engine) -> None:
    desk = Desk()
    client = Hanging()
    desk.client = client

    async def cancel() -> None:
        await client.began.wait()
        (row,) = await engine.call_async(lambda sea: sea.journal.runs())
        command = Command(kind="cancel", by="dana", reason="enough")
        await engine.call_async(lambda sea: sea.cancel(row.run, command))

    async def read() -> MiddlewareHalted:
        cancelling = asyncio.ensure_future(cancel())
        with pytest.raises(MiddlewareHalted) as halted:
            await desk.make_agent(engine).run("Count", stream=True).get_final_response()
        await cancelling
        return halted.value

    outcome = asyncio.run(read()).outcome
    assert outcome is not None
    assert outcome.status == "cancelled"


def test_a_model_that_breaks_off_its_stream_fails_the_request(engine: Engine) -> None:
    class Breaking(ScriptedClient):
        async def _stream(self, messages: Sequence[Message]) -> AsyncIterator[ChatResponseUpdate]:
            yield ChatResponseUpdate(contents=[Content.from_text("one ")], role="assistant")
            raise ConnectionError("reset")

    desk = Desk()
    desk.client = Breaking([])
    with pytest.raises(ConnectionError, match="reset"):
        ask(desk.make_agent(engine, request_id="r-1"), stream=True)

    outcome = read_outcome(engine, "r-1")
    assert outcome.status == "failed"
    assert "reset" in (outcome.error or "")


def test_a_reply_that_can_not_be_read_fails_the_request(engine: Engine) -> None:
    class Unreadable(ScriptedClient):
        async def _stream(self, messages: Sequence[Message]) -> AsyncIterator[ChatResponseUpdate]:
            content = Content.from_text("one ")
            content.additional_properties["circle"] = content.additional_properties
            yield ChatResponseUpdate(contents=[content], role="assistant")

    desk = Desk()
    desk.client = Unreadable([])
    with pytest.raises(RecursionError):
        ask(desk.make_agent(engine, request_id="r-1"), stream=True)

    assert read_outcome(engine, "r-1").status == "failed"


def test_a_stream_that_other_middleware_throws_away_is_no_open_step(engine: Engine) -> None:
    class ThrowAway(ChatMiddleware):
        async def process(self, context: ChatContext, call_next: Next) -> None:
            await call_next()

            async def say() -> AsyncIterator[ChatResponseUpdate]:
                yield ChatResponseUpdate(contents=[Content.from_text("mine")], role="assistant")

            context.result = ResponseStream(say(), finalizer=ChatResponse.from_updates)

    desk = Desk(["one"])
    agent = desk.make_agent(engine, middleware=[ThrowAway()], request_id="r-1")

    assert ask(agent, "Count", stream=True).text == "mine"
    assert read_outcome(engine, "r-1").status == "completed"


def test_an_agents_failure_that_is_forgiven_within_the_stream_stays_a_halt(engine: Engine) -> None:
    class Forgive(AgentMiddleware):
        async def process(self, context: AgentContext, call_next: Next) -> None:
            await call_next()
            inner: Any = context.result

            async def forgiving() -> AsyncIterator[Any]:
                try:
                    async for update in inner:
                        yield update
                except MiddlewareHalted:
                    return

            context.result = ResponseStream(forgiving(), finalizer=lambda updates: updates[-1])

    desk = Desk()
    agent = desk.make_agent(engine, middleware=[Forgive()])
    engine.close()
    with pytest.raises(MiddlewareHalted):
        ask(agent, session=AgentSession(), stream=True)

    assert desk.model_calls == 0
