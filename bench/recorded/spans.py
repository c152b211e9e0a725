"""The shapes of OpenTelemetry: spans with the attributes and events of several conventions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from recorded.conversation import MODEL, START_NS, Conversation, Row, Turn
from recorded.messages import list_chat_steps


def _attribute(key: str, value: Any) -> Row:
    kind = "intValue" if isinstance(value, int) else "stringValue"
    return {"key": key, "value": {kind: str(value)}}


Describe = Callable[[list[Row], Row, Turn], tuple[dict[str, Any], list[Row]]]
"""Returns the attributes and events of a model's span."""


def _write_spans(
    conversation: Conversation, describe: Describe, describe_tool: Callable[..., dict[str, Any]]
) -> list[Row]:
    trace = conversation.id.encode().hex().zfill(32)
    rows: list[Row] = []

    def add(name: str, attributes: dict[str, Any], events: list[Row], failed: bool = False) -> None:
        began = START_NS + len(rows) * 1_000_000
        span = {
            "traceId": trace,
            "spanId": f"{len(rows) + 1:016x}",
            "parentSpanId": "" if not rows else f"{1:016x}",
            "name": name,
            "startTimeUnixNano": str(began),
            "endTimeUnixNano": str(began + 500_000),
            "attributes": [_attribute(key, value) for key, value in attributes.items()],
            "events": events,
            "status": {"code": 2, "message": "failed"} if failed else {},
        }
        rows.append(
            {
                "resourceSpans": [
                    {"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": [span]}]}
                ]
            }
        )

    add("invoke_agent clerk", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}, [])
    messages: list[Row] = []
    for at, (before, reply, results, turn) in enumerate(list_chat_steps(conversation)):
        messages += before
        attributes, events = describe(messages, reply, turn)
        add(f"chat {MODEL}", attributes, events)
        for place, (tool, arguments, result, failed) in enumerate(turn.calls):
            add(
                f"execute_tool {tool}",
                describe_tool(tool, arguments, result, conversation.name_call(at, place)),
                [],
                failed,
            )
        messages += [reply, *results]
    return rows


def _genai(turn: Turn) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": MODEL,
        "gen_ai.usage.input_tokens": turn.tokens[0],
        "gen_ai.usage.output_tokens": turn.tokens[1],
    }


def _genai_tool(tool: str, arguments: Any, result: str, name: str) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        **({"gen_ai.tool.call.id": name} if name else {}),
        "gen_ai.tool.call.arguments": json.dumps(arguments),
        "gen_ai.tool.call.result": result,
    }


def _part(message: Row) -> Row:
    if message["role"] == "tool":
        part = {
            "type": "tool_call_response",
            "id": message.get("tool_call_id"),
            "response": message["content"],
        }
        return {"role": "tool", "parts": [part]}
    parts: list[Row] = [{"type": "text", "content": message["content"]}] if message["content"] else []
    for call in message.get("tool_calls", ()):
        arguments = json.loads(call["function"]["arguments"])
        parts.append(
            {
                "type": "tool_call",
                "id": call.get("id"),
                "name": call["function"]["name"],
                "arguments": arguments,
            }
        )
    return {"role": message["role"], "parts": parts}


def write_otlp(conversation: Conversation) -> list[Row]:
    def describe(messages: list[Row], reply: Row, turn: Turn) -> tuple[dict[str, Any], list[Row]]:
        sent = json.dumps([_part(each) for each in messages if each["role"] != "system"])
        said = json.dumps([{**_part(reply), "finish_reason": "stop"}])
        told = json.dumps([{"type": "text", "content": conversation.system}])
        more = {
            "gen_ai.input.messages": sent,
            "gen_ai.output.messages": said,
            "gen_ai.system_instructions": told,
        }
        return {**_genai(turn), **more}, []

    return _write_spans(conversation, describe, _genai_tool)


def write_otlp_events(conversation: Conversation) -> list[Row]:
    def describe(messages: list[Row], reply: Row, turn: Turn) -> tuple[dict[str, Any], list[Row]]:
        events: list[Row] = []
        for each in messages:
            given = {"content": each["content"] or ""}
            if "tool_calls" in each:
                given["tool_calls"] = json.dumps(each["tool_calls"])
            if "tool_call_id" in each:
                given["id"] = each["tool_call_id"]
            events.append(
                {
                    "name": f"gen_ai.{each['role']}.message",
                    "attributes": [_attribute(*pair) for pair in given.items()],
                }
            )
        message = json.dumps(reply)
        events.append(
            {"name": "gen_ai.choice", "attributes": [_attribute("index", 0), _attribute("message", message)]}
        )
        return _genai(turn), events

    return _write_spans(conversation, describe, _genai_tool)


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flatten(f"{prefix}.{key}", each)
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _flatten(f"{prefix}.{at}", each)
    elif value is not None:
        yield prefix, value


def write_openinference(conversation: Conversation) -> list[Row]:
    def convert(message: Row) -> Row:
        inner = {key: each for key, each in message.items() if key != "tool_calls"}
        calls = [
            {"tool_call": {"id": each.get("id"), "function": each["function"]}}
            for each in message.get("tool_calls", ())
        ]
        return {"message": {**inner, **({"tool_calls": calls} if calls else {})}}

    def describe(messages: list[Row], reply: Row, turn: Turn) -> tuple[dict[str, Any], list[Row]]:
        given = {"openinference.span.kind": "LLM", "llm.model_name": MODEL}
        given |= {"llm.token_count.prompt": turn.tokens[0], "llm.token_count.completion": turn.tokens[1]}
        given |= dict(_flatten("llm.input_messages", [convert(each) for each in messages]))
        return {**given, **dict(_flatten("llm.output_messages", [convert(reply)]))}, []

    def describe_tool(tool: str, arguments: Any, result: str, name: str) -> dict[str, Any]:
        del name
        return {
            "openinference.span.kind": "TOOL",
            "tool.name": tool,
            "input.value": json.dumps(arguments),
            "output.value": result,
        }

    return _write_spans(conversation, describe, describe_tool)


def write_openllmetry(conversation: Conversation) -> list[Row]:
    def convert(message: Row) -> Row:
        calls = [
            {
                "id": each.get("id"),
                "name": each["function"]["name"],
                "arguments": each["function"]["arguments"],
            }
            for each in message.get("tool_calls", ())
        ]
        inner = {key: each for key, each in message.items() if key != "tool_calls"}
        return {**inner, **({"tool_calls": calls} if calls else {})}

    def describe(messages: list[Row], reply: Row, turn: Turn) -> tuple[dict[str, Any], list[Row]]:
        given = {"llm.request.type": "chat", "gen_ai.request.model": MODEL}
        given |= {
            "gen_ai.usage.prompt_tokens": turn.tokens[0],
            "gen_ai.usage.completion_tokens": turn.tokens[1],
        }
        given |= dict(_flatten("gen_ai.prompt", [convert(each) for each in messages]))
        return {**given, **dict(_flatten("gen_ai.completion", [convert(reply)]))}, []

    def describe_tool(tool: str, arguments: Any, result: str, name: str) -> dict[str, Any]:
        del name
        entity = {"traceloop.span.kind": "tool", "traceloop.entity.name": tool}
        sent = json.dumps({"inputs": arguments, "tags": [], "metadata": {}})
        return {
            **entity,
            "traceloop.entity.input": sent,
            "traceloop.entity.output": json.dumps({"output": result, "kwargs": {}}),
        }

    return _write_spans(conversation, describe, describe_tool)
