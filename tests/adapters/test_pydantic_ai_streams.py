"""Pydantic AI: a stream stays a stream, and is settled after its last event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, AgentStreamEvent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, PartDeltaEvent
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from adapters.pydantic_desk import ANSWER, ASKED, Desk, read_events, read_outcome, run_sync
from seawall import Limits
from seawall.adapters.pydantic_ai import AgentHalted, SeawallCapability
from seawall.core.events import StepDone
from seawall.runtime.foreign.engine import Engine


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with Engine(journal, effects=["refund"]) as engine:
        yield engine


async def read_stream(agent: Agent[Any, Any], asked: str = ASKED) -> list[str]:
    async with agent.run_stream(asked) as stream:
        return [text async for text in stream.stream_text(delta=True, debounce_by=None)]


def test_a_stream_comes_piece_by_piece_and_is_given_again_as_one(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, request_id="r-1")

    pieces = asyncio.run(read_stream(agent))
    again = asyncio.run(read_stream(agent))

    assert len(pieces) > 2
    assert "".join(pieces).strip() == ANSWER
    assert "".join(again) == "".join(pieces)
    assert (desk.model_calls, desk.refunds) == (3, [(1042, 5)])
    outcome = read_outcome(engine, "r-1")
    assert (outcome.status, outcome.model_calls, outcome.tool_calls) == ("completed", 3, 2)
    assert outcome.unchecked_delivery is True


def test_events_of_a_run_are_passed_on_and_the_run_is_recorded(engine: Engine) -> None:
    desk = Desk()
    deltas: list[int] = []

    async def look(ctx: RunContext[Any], events: AsyncIterable[AgentStreamEvent]) -> None:
        deltas.append(0)
        async for event in events:
            deltas[-1] += isinstance(event, PartDeltaEvent)

    agent = desk.make_agent(engine, request_id="r-1")
    result = run_sync(agent, ASKED, event_stream_handler=look)

    assert str(result.output).strip() == ANSWER
    assert max(deltas) > 2
    assert read_outcome(engine, "r-1").model_calls == 3


def test_a_reply_is_settled_before_its_tools_are_called(engine: Engine) -> None:
    """The key of a call names the reply that asked for it, so the reply must be known."""
    desk = Desk()
    agent = desk.make_agent(engine, request_id="r-1")
    asyncio.run(read_stream(agent))
    done = [each.step for each in read_events(engine, "r-1") if isinstance(each, StepDone)]

    assert done == [1, 2, 3, 4, 5]


class Found(BaseModel):
    order: int
    state: str


def test_a_structured_answer_streams_and_is_given_again(engine: Engine) -> None:
    desk = Desk([[("final_result", {"order": 7, "state": "paid"})]])
    agent = desk.make_agent(engine, output_type=Found, request_id="r-1")

    async def read() -> Found:
        async with agent.run_stream("What of order 7?") as stream:
            return [each async for each in stream.stream_output(debounce_by=None)][-1]

    assert [asyncio.run(read()) for _ in range(2)] == [Found(order=7, state="paid")] * 2
    assert desk.model_calls == 1


def test_a_stream_that_is_left_early_is_charged_and_is_no_answer(engine: Engine) -> None:
    desk = Desk(["one two three four five six"])
    agent = desk.make_agent(engine, request_id="r-1")

    async def leave() -> None:
        async with agent.run_stream("Count") as stream:
            async for _ in stream.stream_text(delta=True, debounce_by=None):
                break

    asyncio.run(leave())
    (done,) = [each for each in read_events(engine, "r-1") if isinstance(each, StepDone)]
    assert (done.status, done.error, done.answer) == ("error", "cancelled", None)
    assert done.output_tokens > 0
    assert asyncio.run(agent.run("Count")).output == "one two three four five six"
    assert desk.model_calls == 2


def test_the_end_of_the_run_closes_a_stream_that_hangs(engine: Engine) -> None:
    async def hang(messages: Any, info: AgentInfo) -> AsyncIterator[str]:
        yield "one "
        await asyncio.Event().wait()

    agent = Agent(
        FunctionModel(stream_function=hang, model_name="scripted"),
        capabilities=[SeawallCapability(engine, limits=Limits(active_s=0.2))],
    )
    with pytest.raises(AgentHalted) as halted:
        asyncio.run(read_stream(agent))

    assert halted.value.outcome is not None
    assert halted.value.outcome.stopped_by is not None
    assert halted.value.outcome.stopped_by.guard == "deadline"


def test_what_breaks_a_stream_is_recorded_and_raised(engine: Engine) -> None:
    async def break_off(messages: Any, info: AgentInfo) -> AsyncIterator[str]:
        yield "one "
        raise ConnectionError("reset by the server")

    agent = Agent(
        FunctionModel(stream_function=break_off, model_name="scripted"),
        capabilities=[SeawallCapability(engine, request_id="r-1")],
    )
    with pytest.raises(ConnectionError):
        asyncio.run(read_stream(agent))

    (done,) = [each for each in read_events(engine, "r-1") if isinstance(each, StepDone)]
    assert done.error == "ConnectionError"
    assert read_outcome(engine, "r-1").status == "failed"


def test_a_streamed_reply_that_cannot_be_read_ends_the_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **more: Any) -> Any:
        raise ValueError("a part that nobody knows")

    desk = Desk([[("find_order", {"order": 1})], "It is paid."])
    monkeypatch.setattr("seawall.adapters.pydantic_ai.models.read_response", fail)
    with pytest.raises(ValueError, match="nobody knows"):
        asyncio.run(read_stream(desk.make_agent(engine, request_id="r-1")))

    (done,) = [each for each in read_events(engine, "r-1") if isinstance(each, StepDone)]
    assert done.error == "ValueError"
    assert read_outcome(engine, "r-1").status == "failed"


def test_a_stream_after_the_end_is_not_opened(engine: Engine) -> None:
    desk = Desk([[("find_order", {"order": 1})], "It is paid."])
    agent = desk.make_agent(engine, limits=Limits(model_calls=1, at_limit="halt"))
    with pytest.raises(AgentHalted):
        asyncio.run(read_stream(agent))

    assert desk.model_calls == 1


def test_each_candidate_of_a_fallback_streams_as_a_step(engine: Engine) -> None:
    async def refuse(messages: Any, info: AgentInfo) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        raise ConnectionError("no answer")
        yield ""

    models = FallbackModel(
        FunctionModel(stream_function=refuse, model_name="first"),
        Desk(["all is well"]).make_model(),
        fallback_on=(ConnectionError,),
    )
    timed: Any = {"request_timeout": 60.0, "first_event_timeout": 60.0}
    gate = SeawallCapability(engine, request_id="r-1")
    agent = Agent(models, model_settings=timed, capabilities=[gate])

    assert "".join(asyncio.run(read_stream(agent, "Say it"))).strip() == "all is well"
    assert read_outcome(engine, "r-1").model_calls == 2


def test_a_run_that_is_cancelled_rests_and_goes_on(engine: Engine) -> None:
    started = asyncio.Event

    async def cancel() -> None:
        begun = started()

        async def hang(messages: Any, info: AgentInfo) -> AsyncIterator[str]:
            begun.set()
            await asyncio.Event().wait()
            yield ""

        agent = Agent(
            FunctionModel(stream_function=hang, model_name="scripted"),
            capabilities=[SeawallCapability(engine, request_id="r-1")],
        )
        reading = asyncio.ensure_future(read_stream(agent, "Say it"))
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(cancel())
    agent = Desk(["all is well"]).make_agent(engine, request_id="r-1")
    assert "".join(asyncio.run(read_stream(agent, "Say it"))).strip() == "all is well"


@pytest.mark.parametrize("inside", ["model", "tool"])
def test_a_run_in_a_cancelled_scope_rests_and_goes_on(engine: Engine, inside: str) -> None:
    """A cancelled scope of anyio cancels each further wait, too; what was under way must be told all the same."""
    begun: list[anyio.Event] = []

    async def hang(what: str) -> None:
        if what == inside and not begun[0].is_set():
            begun[0].set()
            await anyio.sleep_forever()

    async def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await hang("model")
        return desk.answer(messages, info)

    async def find_order(order: int) -> str:
        await hang("tool")
        return "paid"

    desk = Desk()
    agent = Agent(
        FunctionModel(reply, model_name="scripted"),
        tools=[find_order, desk.refund],
        capabilities=[SeawallCapability(engine, request_id="r-1")],
    )

    async def cancel() -> Any:
        begun.append(anyio.Event())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.run, ASKED)
            await begun[0].wait()
            tasks.cancel_scope.cancel()
        return (await agent.run(ASKED)).output

    assert asyncio.run(cancel()) == ANSWER
    assert desk.refunds == [(1042, 5)]


@pytest.mark.parametrize(
    ("strategy", "made"), [("early", []), ("graceful", [(7, 1)]), ("exhaustive", [(7, 1)])]
)
def test_tools_beside_a_streamed_output_are_called_once(
    engine: Engine, strategy: Any, made: list[Any]
) -> None:
    calls = [("final_result", {"order": 7, "state": "paid"}), ("refund", {"order": 7, "amount": 1})]
    desk = Desk([calls])
    agent = Agent(
        desk.make_model(),
        tools=[desk.refund],
        output_type=Found,
        end_strategy=strategy,
        capabilities=[SeawallCapability(engine, request_id="r-1")],
    )

    async def read() -> Found:
        async with agent.run_stream("Refund it") as stream:
            return await stream.get_output()

    for _ in range(2):
        assert asyncio.run(read()) == Found(order=7, state="paid")
    assert (desk.refunds, desk.model_calls) == (made, 1)
