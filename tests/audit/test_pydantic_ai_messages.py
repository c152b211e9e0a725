"""What an agent of Pydantic AI itself dumps is read: calls, results, failures and tokens."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from audit.runs import runs_of
from seawall.audit import RecordedRun


@pytest.fixture
def dump() -> bytes:
    """The messages of an agent that looks twice, fails once, and answers."""
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    def find_order(order: int) -> dict[str, object]:
        if order == 2:
            raise pydantic_ai.ModelRetry("there is no order 2")
        return {"order": order, "state": "lost"}

    def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        at = sum(isinstance(message, ModelResponse) for message in messages)
        if at == 3:
            return ModelResponse([TextPart("Order 1 was lost.")])
        return ModelResponse([ToolCallPart("find_order", {"order": (1, 2, 1)[at]}, tool_call_id=f"c{at}")])

    agent = pydantic_ai.Agent(
        FunctionModel(reply, model_name="scripted"), tools=[find_order], instructions="You are a clerk."
    )
    return asyncio.run(agent.run("Where is order 1?")).all_messages_json()


def check(found: RecordedRun) -> None:
    assert found.format == "Pydantic AI"
    assert [(each.tool, each.arguments, each.failed) for each in found.calls] == [
        ("find_order", '{"order":1}', False),
        ("find_order", '{"order":2}', True),
        ("find_order", '{"order":1}', False),
    ]
    assert found.calls[0].result == found.calls[2].result == '{"order":1,"state":"lost"}'
    assert "there is no order 2" in found.calls[1].result
    roles = [message.role for message in found.messages if message.role != "system"]
    assert roles == ["user", *["assistant", "tool"] * 3, "assistant"]
    assert found.messages[-1].text == "Order 1 was lost."
    assert all(each.usage is not None for each in found.messages if each.role == "assistant")


def test_what_it_dumps_is_one_run(dump: bytes, tmp_path: Path) -> None:
    path = tmp_path / "messages.json"
    path.write_bytes(dump)
    (found,) = runs_of(path)
    check(found)


def test_a_conversation_that_is_dumped_after_each_reply_is_one_run(dump: bytes, tmp_path: Path) -> None:
    messages = json.loads(dump)
    path = tmp_path / "log.jsonl"
    rows = [{"customer": 7, "messages": messages[:end]} for end in (2, 4, 6, len(messages))]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (found,) = runs_of(path)
    check(found)


def test_a_request_whose_parts_have_no_kind_is_not_one_of_pydantic_ai(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"kind": "request", "parts": [{"text": "hello"}]}\n', encoding="utf-8")
    assert runs_of(path) == []
