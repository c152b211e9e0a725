"""Streams of the OpenAI Agents SDK that end in other ways than with a whole reply, and streams inside of tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

import pytest
from agents import Agent
from agents.exceptions import ModelBehaviorError
from agents.items import ModelResponse
from agents.models.interface import Model
from agents.usage import Usage
from openai.types.responses import (
    Response,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseOutputItemDoneEvent,
)

from adapters.agents_model import QUIET, Bank, PlayedModel, make_desk
from seawall.adapters.openai_agents import AgentsHalted, SeawallRunner, find_outcome
from seawall.adapters.openai_agents.replies import write_completed, write_message
from seawall.core.events import StepDone
from seawall.runtime.foreign.engine import Engine

ASK = "Refund order 1042"
ANSWER = "Order 1042 was refunded."
REFUND = ResponseFunctionToolCall(
    type="function_call", call_id="call-1", name="refund", arguments='{"order": 1042, "amount": 5}'
)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(effects=["refund"], reads=["find_order"]) as engine:
        yield engine


class EventModel(Model):
    """Streams the events that a function makes of the number of its request."""

    def __init__(self, make_events: Callable[[int], list[Any]]) -> None:
        self._make_events = make_events
        self.asked = 0

    async def get_response(self, *given: Any, **options: Any) -> ModelResponse:
        raise NotImplementedError

    async def stream_response(self, *given: Any, **options: Any) -> AsyncIterator[Any]:
        self.asked += 1
        for event in self._make_events(self.asked):
            yield event


def end(*output: Any) -> Any:
    usage = Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15)
    return write_completed(ModelResponse(output=[*output], usage=usage, response_id="r"), "m")


async def stream(
    runner: SeawallRunner, agent: Agent[Any], *, cancel: Any = None, kinds: list[str] | None = None
) -> Any:
    """Reads a run to its end. `cancel`: how it is cancelled at its first call of a tool. `kinds` gets those of its events."""
    result = runner.run_streamed(agent, ASK, request_id="r-1", run_config=QUIET)
    async for event in result.stream_events():
        if kinds is not None:
            kinds.append(event.data.type if event.type == "raw_response_event" else event.type)
        if cancel is not None and event.type == "run_item_stream_event" and event.name == "tool_called":
            result.cancel(mode=cancel)
    return result


@pytest.mark.parametrize("mode", ["immediate", "after_turn"])
@pytest.mark.parametrize("again", ["state", "request"])
def test_a_stream_that_was_cancelled_is_no_answer_and_goes_on(
    engine: Engine, mode: Literal["immediate", "after_turn"], again: str
) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    runner = SeawallRunner(engine)

    async def leave_and_go_on() -> Any:
        result = await stream(runner, agent, cancel=mode)
        assert find_outcome(result) is None
        given: Any = result.to_state() if again == "state" else ASK
        return await runner.run(agent, given, request_id="r-1", run_config=QUIET)

    result = asyncio.run(leave_and_go_on())
    outcome = find_outcome(result)
    assert outcome is not None
    assert (outcome.status, result.final_output) == ("completed", ANSWER)
    assert (bank.refunds, bank.found, len(model.requests)) == ([(1042, 5)], 1, 3)


def test_a_reply_whose_items_come_alone_is_recorded_and_given_again(engine: Engine) -> None:
    def make_events(number: int) -> list[Any]:
        item: Any = REFUND if number == 1 else write_message(ANSWER)
        kind: Any = "response.output_item.done"
        return [
            ResponseOutputItemDoneEvent(type=kind, item=item, output_index=0, sequence_number=0),
            end(),
        ]

    bank = Bank()
    agent, _ = make_desk(bank)
    agent.model = model = EventModel(make_events)
    assert asyncio.run(stream(SeawallRunner(engine), agent)).final_output == ANSWER
    result = asyncio.run(stream(SeawallRunner(engine), agent))
    assert result.final_output == ANSWER
    assert (bank.refunds, model.asked) == ([(1042, 5)], 2)
    outcome = find_outcome(result)
    assert outcome is not None
    events = engine.call(lambda sea: sea.journal.events(outcome.run))
    assert [call.name for each in events if isinstance(each, StepDone) for call in each.calls] == ["refund"]


def make_response(status: Any) -> Response:
    response: Response = end().response
    response.status = status
    return response


FAILURES: list[list[Any]] = [
    [ResponseFailedEvent(type="response.failed", response=make_response("failed"), sequence_number=0)],
    [
        ResponseIncompleteEvent(
            type="response.incomplete", response=make_response("incomplete"), sequence_number=0
        )
    ],
    [ResponseErrorEvent(type="error", code="x", message="no", param=None, sequence_number=0)],
    [],
]


@pytest.mark.parametrize("events", FAILURES, ids=["failed", "incomplete", "error", "nothing"])
def test_a_stream_that_ends_without_a_reply_is_a_failed_step(engine: Engine, events: list[Any]) -> None:
    agent = Agent(name="clerk", model=EventModel(lambda number: events if number == 1 else [end(REFUND)]))
    runner = SeawallRunner(engine)
    kinds: list[str] = []
    with pytest.raises(ModelBehaviorError):
        asyncio.run(stream(runner, agent, kinds=kinds))
    assert kinds[1:] == [each.type for each in events]
    (row,) = engine.call(lambda sea: sea.journal.runs())
    done = [
        each for each in engine.call(lambda sea: sea.journal.events(row.run)) if isinstance(each, StepDone)
    ]
    assert [each.status for each in done] == ["error"]
    with pytest.raises(AgentsHalted) as halted:
        asyncio.run(stream(runner, agent))
    assert halted.value.outcome is not None
    assert halted.value.outcome.status == "failed"


@pytest.mark.anyio
async def test_an_agent_that_streams_inside_of_a_tool_keeps_nobody_waiting() -> None:
    weigher = Agent(name="weigher", model=PlayedModel(lambda items: "5 kg."))
    told: list[Any] = []
    top = PlayedModel([[("weigh", {"input": "the parcel"})], "It weighs 5 kg."], prefix="top")
    tool = weigher.as_tool("weigh", "Weighs.", on_stream=told.append)
    agent = Agent(name="chief", model=top, tools=[tool])
    async with Engine(thread=False) as engine:
        await engine.sea.pause("agent:weigher", by="ops")
        runner = SeawallRunner(engine)
        asked = asyncio.create_task(runner.run(agent, "Look.", request_id="r-1", run_config=QUIET))
        while len(top.requests) == 0:
            await asyncio.sleep(0)
        await engine.sea.unpause("agent:weigher", by="ops")
        result = await asked
    assert result.final_output == "It weighs 5 kg."
    assert told
