"""What several instrumentations write of one call is one call: spans inside of each other, spans with log records, copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.runs import runs_of, write

ASKED = {"role": "user", "parts": [{"type": "text", "content": "Where is order 1?"}]}
CALLS = {
    "role": "assistant",
    "parts": [{"type": "tool_call", "id": "c1", "name": "get_order", "arguments": {}}],
}
TOLD = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "lost"}]}
SAYS = {"role": "assistant", "parts": [{"type": "text", "content": "It is lost."}]}
EXCHANGES = [([ASKED], [CALLS]), ([ASKED, CALLS, TOLD], [SAYS])]


def span(own: str, parent: str, begun: int, **attributes: Any) -> dict[str, Any]:
    listed = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    times = {"startTimeUnixNano": str(begun)}
    return {"traceId": "t", "spanId": own, "parentSpanId": parent, "name": own, **times, "attributes": listed}


def model(own: str, begun: int, exchange: tuple[Any, Any] | None) -> dict[str, Any]:
    told = {} if exchange is None else dict(zip(("input", "output"), map(json.dumps, exchange), strict=True))
    contents = {f"gen_ai.{name}.messages": value for name, value in told.items()}
    return span(
        own, "agent", begun, **{"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}, **contents
    )


def tool(own: str, parent: str, begun: int, name: str = "get_order", **more: Any) -> dict[str, Any]:
    named = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
    return span(own, parent, begun, **named, **more)


def record(own: str, begun: int, exchange: tuple[Any, Any]) -> dict[str, Any]:
    told = model(own, begun, exchange)
    return {"eventName": "gen_ai.client.inference.operation.details", **told}


def summarise(path: Path, rows: list[Any]) -> tuple[list[tuple[str, str]], int, int]:
    (run,) = runs_of(write(path, rows))
    replies = sum(message.role == "assistant" for message in run.messages)
    return [(call.tool, call.result) for call in run.calls], replies, run.unanswered


MODELS = [model("m1", 1, EXCHANGES[0]), model("m2", 9, EXCHANGES[1])]
PLAIN = [*MODELS, tool("t", "agent", 2, **{"gen_ai.tool.call.id": "c1"})]
ONE_CALL = ([("get_order", "lost")], 2, 0)


@pytest.mark.parametrize("name", ["get_order", "shop_get_order"])
def test_the_spans_of_an_mcp_client_and_its_server_tell_of_the_call_around_them(
    name: str, tmp_path: Path
) -> None:
    outer = tool("t", "agent", 2, name, **{"gen_ai.tool.call.result": "lost"})
    inner = [tool("c", "t", 3), span("http", "c", 4), tool("s", "http", 5)]
    found = summarise(tmp_path / "a.jsonl", [model("m1", 1, None), outer, *inner, model("m2", 9, None)])
    assert found == ([(name, "lost")], 2, 0)


def test_a_call_that_a_tool_makes_itself_is_a_call_of_its_own(tmp_path: Path) -> None:
    outer = tool("t", "agent", 2, "research", **{"gen_ai.tool.call.result": "found"})
    inner = [tool(own, "t", 3, "search", **{"gen_ai.tool.call.result": own}) for own in ("one", "two")]
    found = summarise(tmp_path / "a.jsonl", [outer, *inner])
    assert found[0] == [("research", "found"), ("search", "one"), ("search", "two")]


def test_messages_that_stand_in_a_span_and_in_its_log_record_are_read_once(tmp_path: Path) -> None:
    records = [record("m1", 3, EXCHANGES[0]), record("m2", 11, EXCHANGES[1])]
    assert summarise(tmp_path / "a.jsonl", PLAIN) == ONE_CALL
    assert summarise(tmp_path / "a.jsonl", [*PLAIN, *records]) == ONE_CALL
    bare = [model("m1", 1, None), model("m2", 9, None), PLAIN[2]]
    assert summarise(tmp_path / "a.jsonl", [*records, *bare]) == ONE_CALL


def test_a_span_that_was_exported_twice_is_read_once(tmp_path: Path) -> None:
    assert summarise(tmp_path / "a.jsonl", [*PLAIN, *PLAIN]) == ONE_CALL


def test_an_embedding_is_no_reply(tmp_path: Path) -> None:
    newer = span("e", "agent", 0, **{"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"})
    older = span("e", "agent", 0, **{"llm.request.type": "embedding", "gen_ai.prompt.0.content": "Where?"})
    for embedding in (newer, older):
        assert summarise(tmp_path / "a.jsonl", [embedding, *PLAIN]) == ONE_CALL
