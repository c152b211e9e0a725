"""Messages whose parts hold one named field, as those of Google's API and of Amazon Bedrock, are read as all others are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audit.runs import runs_of, write

GOOGLE = [
    {"role": "user", "parts": [{"text": "Where is order 1?"}]},
    {
        "role": "model",
        "parts": [
            {"text": "I have to look.", "thought": True},
            {"functionCall": {"name": "get_order", "args": {"id": 1}}, "thoughtSignature": "c2ln"},
        ],
    },
    {"role": "user", "parts": [{"functionResponse": {"name": "get_order", "response": {"state": "lost"}}}]},
    {"role": "model", "parts": [{"text": "It is lost."}]},
]
BEDROCK = [
    {"role": "user", "content": [{"text": "Where is order 1?"}]},
    {
        "role": "assistant",
        "content": [
            {"reasoningContent": {"reasoningText": {"text": "I have to look."}}},
            {"toolUse": {"toolUseId": "t1", "name": "get_order", "input": {"id": 1}}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "toolResult": {
                    "toolUseId": "t1",
                    "content": [{"text": '{"state":"lost"}'}],
                    "status": "success",
                }
            }
        ],
    },
    {"role": "assistant", "content": [{"text": "It is lost."}]},
]


@pytest.mark.parametrize(
    "value", [{"contents": GOOGLE}, GOOGLE, {"messages": BEDROCK}], ids=["google", "list", "bedrock"]
)
def test_parts_that_hold_one_named_field_are_read(value: Any, tmp_path: Path) -> None:
    (run,) = runs_of(write(tmp_path / "a.jsonl", [value]))
    assert [(call.tool, call.arguments, call.result, call.failed) for call in run.calls] == [
        ("get_order", '{"id":1}', '{"state":"lost"}', False)
    ]
    assert [(message.role, message.text) for message in run.messages] == [
        ("user", "Where is order 1?"),
        ("assistant", ""),
        ("tool", '{"state":"lost"}'),
        ("assistant", "It is lost."),
    ]


def test_a_result_of_any_objects_stays_as_it_is(tmp_path: Path) -> None:
    calls = [{"id": "c1", "function": {"name": "search", "arguments": "{}"}}]
    told = {"role": "tool", "tool_call_id": "c1", "content": [{"text": "one", "score": 1}]}
    (run,) = runs_of(
        write(tmp_path / "a.jsonl", [[{"role": "assistant", "content": None, "tool_calls": calls}, told]])
    )
    assert [call.result for call in run.calls] == ['[{"score":1,"text":"one"}]']
