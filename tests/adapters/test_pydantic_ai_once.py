"""What the capability need not do at each step, and an agent on an engine that has no thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from adapters.pydantic_desk import ANSWER, ASKED, Desk
from seawall import Engine
from seawall.adapters.pydantic_ai.messages import WrittenModelMessages


def talk() -> list[ModelMessage]:
    return [
        ModelRequest([UserPromptPart("Refund order 1042")], instructions="You refund."),
        ModelResponse([ToolCallPart("refund", {"order": 1042, "lines": [1, 2]}, "call-1")]),
        ModelRequest([ToolReturnPart("refund", "done", "call-1")], instructions="You refund."),
    ]


def test_a_message_that_was_sent_before_is_not_written_again() -> None:
    written, messages = WrittenModelMessages(), talk()
    first = written.write(messages[:2])
    second = written.write(messages)
    assert first[0] == {"role": "system", "content": "You refund."}
    assert [a is b for a, b in zip(first[1:], second[1:], strict=False)] == [True, True]
    assert second == WrittenModelMessages().write(messages)


def change_text(messages: list[Any]) -> None:
    messages[0].parts[0].content = "Refund order 7"


def change_arguments(messages: list[Any]) -> None:
    messages[1].parts[0].args["lines"].append(3)


def change_result(messages: list[Any]) -> None:
    messages[2].parts[0].content = {"paid": False}


def add_part(messages: list[Any]) -> None:
    messages[1].parts.append(TextPart("I refund it."))


def replace_part(messages: list[Any]) -> None:
    messages[0].parts[0] = UserPromptPart("Refund order 7")


def change_instructions(messages: list[Any]) -> None:
    messages[2].instructions = "You look."


@pytest.mark.parametrize(
    "change",
    [change_text, change_arguments, change_result, add_part, replace_part, change_instructions],
)
def test_a_message_that_was_changed_is_written_as_it_is_now(change: Callable[[list[Any]], None]) -> None:
    written, messages = WrittenModelMessages(), talk()
    before = written.write(messages)
    change(messages)
    after = written.write(messages)
    assert after == WrittenModelMessages().write(messages)
    assert after != before


def test_a_message_with_a_file_is_written_each_time() -> None:
    written, picture = WrittenModelMessages(), BinaryContent(b"\x89PNG", media_type="image/png")
    messages: list[ModelMessage] = [ModelRequest([UserPromptPart(["What is this?", picture])])]
    first, second = (written.write(messages) for _ in range(2))
    assert first == second
    assert first[0] is not second[0]


@pytest.mark.anyio
async def test_an_agent_works_on_an_engine_without_a_thread() -> None:
    desk = Desk()
    async with Engine(effects=["refund"], thread=False) as engine:
        result = await desk.make_agent(engine, request_id="r-1").run(ASKED)
        runs = await engine.call_async(lambda sea: sea.journal.runs())
    assert result.output == ANSWER
    assert [row.state for row in runs] == ["ended"]
    assert desk.refunds == [(1042, 5)]
