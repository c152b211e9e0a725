"""Spans and messages of the AI SDK of JavaScript, whose names are its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.runs import runs_of, write

ASKED = {"role": "user", "content": [{"type": "text", "text": "Where is order 1?"}]}
CALLS = {
    "role": "assistant",
    "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "get_order", "input": {"id": 1}}],
}
FIELDS = {"type": "tool-result", "toolCallId": "c1", "toolName": "get_order"}
SAYS = {"role": "assistant", "content": [{"type": "text", "text": "It is lost."}]}


def told(**result: Any) -> dict[str, Any]:
    return {"role": "tool", "content": [{**FIELDS, **result}]}


def span(own: str, begun: int, operation: str, **attributes: Any) -> dict[str, Any]:
    given = {"operation.name": f"{operation} desk", "ai.operationId": operation, **attributes}
    listed = [{"key": key, "value": {"stringValue": value}} for key, value in given.items()]
    return {
        "traceId": "t",
        "spanId": own,
        "parentSpanId": "" if own == "run" else "run",
        "name": operation,
        "startTimeUnixNano": str(begun),
        "attributes": listed,
    }


def summarise(path: Path, rows: list[Any]) -> tuple[list[tuple[str, Any, str, bool]], list[str]]:
    (run,) = runs_of(write(path, rows))
    calls = [(call.tool, call.arguments, call.result, call.failed) for call in run.calls]
    return calls, [message.text for message in run.messages if message.role == "assistant"]


@pytest.mark.parametrize("kind", ["ai.generateText", "ai.streamText"])
def test_its_spans_tell_of_replies_and_calls(kind: str, tmp_path: Path) -> None:
    inner = f"{kind}.{'doGenerate' if kind == 'ai.generateText' else 'doStream'}"
    listed = [{"toolCallId": "c1", "toolName": "get_order", "input": '{"id": 1}'}]
    messages = [ASKED, CALLS, told(output={"type": "json", "value": {"state": "lost"}})]
    rows = [
        span("run", 1, kind, **{"ai.prompt": "{}", "ai.response.text": "It is lost."}),
        span(
            "m1",
            2,
            inner,
            **{"ai.prompt.messages": json.dumps([ASKED]), "ai.response.toolCalls": json.dumps(listed)},
        ),
        span(
            "t1",
            3,
            "ai.toolCall",
            **{
                "ai.toolCall.name": "get_order",
                "ai.toolCall.id": "c1",
                "ai.toolCall.args": '{"id": 1}',
                "ai.toolCall.result": '{"state": "lost"}',
            },
        ),
        span(
            "m2",
            4,
            inner,
            **{"ai.prompt.messages": json.dumps(messages), "ai.response.text": "It is lost."},
        ),
    ]

    ((name, _, result, failed),), replies = summarise(tmp_path / "a.jsonl", rows)

    assert (name, json.loads(result), failed) == ("get_order", {"state": "lost"}, False)
    assert replies == ["", "It is lost."]


@pytest.mark.parametrize(
    ("result", "text", "failed"),
    [
        ({"output": {"type": "text", "value": "lost"}}, "lost", False),
        ({"output": {"type": "error-text", "value": "no such order"}}, "no such order", True),
        ({"output": {"type": "content", "value": [{"type": "text", "text": "lost"}]}}, "lost", False),
        ({"result": "lost"}, "lost", False),
        ({"result": "no such order", "isError": True}, "no such order", True),
    ],
)
def test_its_messages_are_read(result: Any, text: str, failed: bool, tmp_path: Path) -> None:
    calls, replies = summarise(tmp_path / "a.jsonl", [{"messages": [ASKED, CALLS, told(**result), SAYS]}])
    assert [(call[0], call[2], call[3]) for call in calls] == [("get_order", text, failed)]
    assert replies == ["", "It is lost."]
