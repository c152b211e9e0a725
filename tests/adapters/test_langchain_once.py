"""What LangChain's middleware need not do at each step, and an agent on an engine that has no thread."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langsmith import tracing_context

from adapters.langchain_desk import ASK, REFUND, Bank, make_model
from seawall import Engine
from seawall.adapters.langchain import SeawallHalted, SeawallMiddleware, middleware
from seawall.adapters.langchain_core.messages import WrittenMessages

CALL: Any = {"name": "refund", "args": {"order": 1042, "lines": [1, 2]}, "id": "call-1"}


def talk() -> list[BaseMessage]:
    return [
        HumanMessage("Refund order 1042"),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("done", tool_call_id="call-1", additional_kwargs={"tags": ["a"]}),
    ]


def test_a_message_that_was_sent_before_is_not_written_again() -> None:
    written, messages = WrittenMessages(), talk()
    first = written.write(messages[:2])
    second = written.write(messages)
    assert [a is b for a, b in zip(first, second, strict=False)] == [True, True]
    assert second == WrittenMessages().write(messages)


def change_text(messages: list[BaseMessage]) -> None:
    messages[0].content = "Refund order 7"


def change_arguments(messages: list[BaseMessage]) -> None:
    message = messages[1]
    assert isinstance(message, AIMessage)
    message.tool_calls[0]["args"]["lines"].append(3)


def change_more(messages: list[BaseMessage]) -> None:
    messages[2].additional_kwargs["tags"].append("b")


def replace_one(messages: list[BaseMessage]) -> None:
    messages[0] = HumanMessage("Refund order 7")


@pytest.mark.parametrize("change", [change_text, change_arguments, change_more, replace_one])
def test_a_message_that_was_changed_is_written_as_it_is_now(
    change: Callable[[list[BaseMessage]], None],
) -> None:
    written, messages = WrittenMessages(), [each.model_copy(deep=True) for each in talk()]
    before = written.write(messages)
    change(messages)
    after = written.write(messages)
    assert after == WrittenMessages().write(messages)
    assert after != before


def test_what_is_no_json_is_written_each_time() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ValueError("it compares with nothing")

        def __hash__(self) -> int:
            return 0

    written = WrittenMessages()
    message = HumanMessage("hi", additional_kwargs={"odd": Odd()})
    texts = [written.write([message])[0] for _ in range(2)]
    assert [msgspec.json.decode(text)["data"]["content"] for text in texts] == ["hi", "hi"]


@pytest.mark.parametrize("traced", [False, True])
def test_hooks_make_a_detour_through_langsmiths_thread_only_where_it_traces(traced: bool) -> None:
    with Engine() as engine, tracing_context(enabled=traced):
        gate = SeawallMiddleware(engine)
    hooks = (gate.awrap_model_call, gate.awrap_tool_call)
    assert [inspect.iscoroutinefunction(hook) for hook in hooks] == [traced, traced]


@pytest.mark.anyio
async def test_an_agent_works_on_an_engine_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "MAX_PLACES", 1)  # an older invocation is let go of
    bank = Bank()
    async with Engine(effects=["refund"], thread=False) as engine:
        agent: Any = create_agent(
            make_model(REFUND), bank.tools, middleware=[SeawallMiddleware(engine)], name="clerk"
        )
        for _ in range(3):
            result = await agent.ainvoke(ASK)
            assert result["messages"][-1].text == "Order 1042 was refunded."
        runs = await engine.call_async(lambda sea: sea.journal.runs())
    assert [row.state for row in runs] == ["ended"] * 3
    assert bank.refunds == [1042] * 3


@pytest.mark.anyio
async def test_a_sync_call_on_that_event_loop_performs_nothing() -> None:
    bank = Bank()
    async with Engine(effects=["refund"], thread=False) as engine:
        model = make_model(REFUND)
        agent: Any = create_agent(model, bank.tools, middleware=[SeawallMiddleware(engine)], name="clerk")
        with pytest.raises(SeawallHalted, match="thread=True"):
            agent.invoke(ASK)
    assert (model.seen, bank.refunds) == ([], [])
