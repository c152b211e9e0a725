"""How the framework's messages and the values of its tools are recorded, and restored from the record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from agent_framework import ChatResponse, Content, FunctionTool, Message
from agent_framework.exceptions import ChatClientException, ToolExecutionException
from msgspec.structs import replace

from seawall.models.protocol import Usage
from seawall.run.step import Result
from seawall.runtime.foreign.asks import Settled, Turn
from seawall.runtime.foreign.results import (
    DONE,
    NO_USAGE,
    ModelResult,
    make_tool_result,
    read_usage,
    to_json_value,
    word_note,
    write_text,
)

# ---- models


def describe_request(messages: Sequence[Message], options: Mapping[str, Any]) -> list[Any]:
    """Returns the messages of a request as JSON values, after the instructions that are sent beside them."""
    instructions = options.get("instructions")
    told = [{"role": "system", "content": write_text(instructions)}] if instructions else []
    return [*told, *(describe_message(each) for each in messages)]


def describe_message(message: Message) -> dict[str, Any]:
    """Returns a message as JSON, without the notes that the framework keeps beside it."""
    calls = [each for each in message.contents if each.type == "function_call"]
    others = [each for each in message.contents if each.type != "function_call"]
    return {
        "role": str(message.role),
        "author": message.author_name,
        "content": [_describe_content(each) for each in others],
        "calls": [
            {"id": call.call_id, "name": call.name, "arguments": write_arguments(call)} for call in calls
        ],
    }


def _describe_content(content: Content) -> Any:
    if content.type == "function_result":
        items = [] if content.items is None else [_describe_content(each) for each in content.items]
        return {"type": content.type, "call_id": content.call_id, "text": content.result, "items": items}
    return to_json_value(content.to_dict(exclude={"additional_properties", "annotations"}))


def write_arguments(call: Content) -> str:
    """Returns the arguments of a call as JSON text."""
    given = call.arguments
    return given if isinstance(given, str) else json.dumps(to_json_value(given or {}), ensure_ascii=False)


def describe_tools(options: Mapping[str, Any]) -> list[Any]:
    """Returns what a request tells the model of the tools, and of the form of its answer."""
    described = [_describe_tool(each) for each in options.get("tools") or ()]
    form = options.get("response_format")
    if form is not None:
        schema = form.model_json_schema() if hasattr(form, "model_json_schema") else form
        described.append({"output": to_json_value(schema)})
    return described


def _describe_tool(tool: Any) -> Any:
    if isinstance(tool, FunctionTool):
        return {"name": tool.name, "description": tool.description, "parameters": tool.parameters()}
    return to_json_value(tool)


def name_model(client: Any, options: Mapping[str, Any]) -> str:
    """Returns a model's name as the list of prices has it: `provider:name`."""
    provider = str(getattr(client, "OTEL_PROVIDER_NAME", "") or "unknown")
    name = options.get("model") or getattr(client, "model", None) or "model"
    return f"{provider}:{name}"


def find_limit(options: Mapping[str, Any]) -> int | None:
    """Returns the longest reply that the framework asks for; None if it does not say."""
    given = options.get("max_tokens")
    return given if isinstance(given, int) and given > 0 else None


def fit_options(options: Mapping[str, Any] | None, turn: Turn, asked: int) -> Mapping[str, Any] | None:
    """Returns the options, changed where a limit demands it: the model may call no tools, or its reply is shorter because
    there is less room than for the `asked` tokens.

    The tools stay in the request: some servers reject a conversation with calls of tools that the request does not name.
    """
    changed: dict[str, Any] = {}
    if turn.last and (options or {}).get("tools"):
        changed["tool_choice"] = "none"
    if 0 < turn.max_output_tokens < asked:
        changed["max_tokens"] = turn.max_output_tokens
    return {**(options or {}), **changed} if changed else options


def add_notes(messages: Sequence[Message], notes: tuple[str, ...]) -> Sequence[Message]:
    """Returns messages with the guards' advice at their end. Without advice they are the same."""
    if not notes:
        return messages
    return [*messages, Message("user", [word_note(note) for note in notes])]


def is_call(content: Content) -> bool:
    """Returns whether the framework performs this call, and not the model's provider."""
    return content.type == "function_call" and not content.informational_only and not content.hosted


def read_response(response: ChatResponse[Any], *, delivered: bool = False) -> ModelResult:
    """Returns a reply as a step's result, with all that is needed to restore it. `delivered`: it was streamed."""
    calls = [
        (call.call_id or "", call.name or "", write_arguments(call))
        for message in response.messages
        for call in message.contents
        if is_call(call)
    ]
    kept = {**response.to_dict(), "additional_properties": response.additional_properties}
    raw = json.dumps(to_json_value(kept), ensure_ascii=False)
    return ModelResult(
        response.text, calls, usage=read_usage(lambda: _read_usage(response)), raw=raw, delivered=delivered
    )


def _read_usage(response: ChatResponse[Any]) -> Usage:
    usage = response.usage_details or {}
    asked, answered = usage.get("input_token_count") or 0, usage.get("output_token_count") or 0
    if not (asked or answered):
        return NO_USAGE
    return Usage(
        asked,
        answered,
        cache_read_tokens=usage.get("cache_read_input_token_count") or 0,
        cache_write_tokens=usage.get("cache_creation_input_token_count") or 0,
    )


def recall_response(settled: Settled, options: Mapping[str, Any]) -> ChatResponse[Any]:
    """Returns the recorded reply, or a guard's replacement.

    Raises `ChatClientException` for a call that was not made, as for a provider that does not answer.
    """
    form = options.get("response_format")
    if settled.raw is not None:
        kept = cast("dict[str, Any]", json.loads(settled.raw))
        return ChatResponse.from_dict({**kept, "response_format": form})
    if settled.status not in DONE:
        raise ChatClientException(settled.told)
    return ChatResponse(messages=Message("assistant", [_read_text(settled.text)]), response_format=form)


def _read_text(text: str) -> str:
    """Returns the text of a recorded message."""
    if text.startswith("{"):
        message = cast("Mapping[str, Any]", json.loads(text))
        return str(message.get("content") or "")
    return text


# ---- tools


def read_value(value: Any) -> Result:
    """Returns a tool's value as a step's result. A value that is not plain text is kept in full beside its text."""
    items = _find_items(value)
    if items is None:
        return make_tool_result(write_text(value))
    text = "\n".join(each.text or "" if each.type == "text" else f"[{each.type}]" for each in items)
    kept = [to_json_value(each.to_dict()) for each in items]
    plain = len(items) == 1 and items[0].type == "text" and not items[0].additional_properties
    raw = None if plain else json.dumps({"items": kept}, ensure_ascii=False)
    return make_tool_result(text, raw=raw)


def _find_items(value: Any) -> list[Content] | None:
    if not isinstance(value, list):
        return None
    items = cast("list[Any]", value)
    return cast("list[Content]", items) if all(isinstance(each, Content) for each in items) else None


def keep_error(failure: Result, error: BaseException) -> Result:
    """Returns a failure with the tool's error in it, so that the framework can treat the recorded failure in the same way."""
    return replace(failure, reasoning=json.dumps({"raised": str(error)}, ensure_ascii=False))


def recall_value(settled: Settled) -> list[Content]:
    """Returns the recorded value of a tool, or the gate's answer in its place. Raises `ToolExecutionException` if the tool had
    raised.
    """
    kept = {} if settled.raw is None else cast("dict[str, Any]", json.loads(settled.raw))
    if "raised" in kept and settled.status not in DONE:
        raise ToolExecutionException(str(kept["raised"]))
    if "items" in kept and settled.status == "ok":
        recalled = [Content.from_dict(each) for each in kept["items"]]
    else:
        recalled = [Content.from_text(settled.text)]
    return [*recalled, *(Content.from_text(note) for note in settled.notes)]


def add_advice(value: Any, notes: tuple[str, ...]) -> Any:
    """Returns a tool's value with the guards' advice beside it. Without advice it is the same value."""
    if not notes:
        return value
    told = [Content.from_text(note) for note in notes]
    return [*(_find_items(value) or [Content.from_text(write_text(value))]), *told]
