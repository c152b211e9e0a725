"""How requests, replies and results of the SDK are recorded, and restored from the record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from agents.agent_output import AgentOutputSchemaBase
from agents.handoffs import Handoff
from agents.items import ModelResponse, TResponseOutputItem
from agents.models.interface import Model
from agents.tool import (
    FunctionTool,
    Tool,
    ToolOutputFileContent,
    ToolOutputImage,
    ToolOutputText,
)
from agents.usage import Usage as AgentsUsage
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseUsage,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails
from pydantic import BaseModel, TypeAdapter

from seawall.core.canonical import to_canonical_text
from seawall.models.protocol import Usage
from seawall.runtime.foreign.asks import Settled
from seawall.runtime.foreign.results import NO_USAGE, ModelResult, read_usage, word_note

RECORDED_ID = "seawall-recorded"
"""The id of a restored reply whose original had no id."""
_OUTPUT: TypeAdapter[TResponseOutputItem] = TypeAdapter(TResponseOutputItem)
_COUNTS = ("requests", "input_tokens", "output_tokens", "total_tokens")
"""The counts of a reply's usage that are kept, to restore it."""
_STRUCTURED = (ToolOutputText, ToolOutputImage, ToolOutputFileContent)
_STRUCTURED_TYPES = ("text", "image", "file")

SHELL_FIELDS = ("commands", "timeout_ms", "max_output_length")
PATCH_FIELDS = ("type", "path", "diff", "move_to")
_FIELDS = (*SHELL_FIELDS, *PATCH_FIELDS, "command", "env", "user", "working_directory")
_OPERATIONS = {
    "shell_call": ("shell", "action"),
    "local_shell_call": ("local_shell", "action"),
    "apply_patch_call": ("apply_patch", "operation"),
}
"""By type of an item: the name of its tool, and the field that says what is asked for."""
_CALLS = frozenset(("function_call", "custom_tool_call", *_OPERATIONS))


def make_plain(value: Any) -> Any:
    """Returns an object of the SDK as JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return {str(key): make_plain(each) for key, each in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [make_plain(each) for each in cast("Sequence[Any]", value)]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _write(value: Any) -> Any:
    """Returns a value as JSON text if it consists of JSON values; otherwise as JSON values."""
    try:
        return msgspec.Raw(to_canonical_text(value).encode())
    except TypeError:
        return make_plain(value)


# ---- requests


def name_model(model: Model, name: str | None) -> str:
    """Returns a model's name as the list of prices has it: `provider:name`. `name`: see `GatedModel`."""
    found = str(getattr(model, "model", None) or name or "unnamed")
    kind = type(model).__name__
    if kind.startswith("OpenAI"):
        return f"openai:{found}"
    if "/" in found:  # LiteLLM and any-llm
        provider, _, rest = found.partition("/")
        return f"{provider}:{rest}"
    return f"{kind}:{found}"


def list_messages(instructions: str | None, given: str | Sequence[Any]) -> list[Any]:
    """Returns a request's messages: the instructions, and the items of the conversation."""
    system: list[Any] = [] if not instructions else [{"role": "system", "content": instructions}]
    items: list[Any] = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
    return [*system, *map(_write, items)]


def list_schemas(
    tools: Sequence[Tool], handoffs: Sequence[Handoff[Any, Any]], output: AgentOutputSchemaBase | None
) -> list[Any]:
    """Returns what a request tells the model of the tools and hand-offs, and of the form of its answer."""
    listed: list[Any] = []
    for tool in tools:
        if isinstance(tool, FunctionTool):
            listed.append(
                {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": _write(tool.params_json_schema),
                }
            )
        else:
            listed.append({"hosted": type(tool).__name__, "name": tool.name})
    listed += [
        {
            "name": each.tool_name,
            "description": each.tool_description,
            "parameters": _write(each.input_json_schema),
        }
        for each in handoffs
    ]
    if output is not None and not output.is_plain_text():
        listed.append({"answer": _write(output.json_schema())})
    return listed


def add_notes(given: str | list[Any], notes: Sequence[str]) -> str | list[Any]:
    """Returns a request's items with the guards' advice at their end; the same object if there is no advice."""
    if not notes:
        return given
    items: list[Any] = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
    return [*items, *({"role": "user", "content": word_note(note)} for note in notes)]


# ---- replies


def read_response(response: ModelResponse, *, delivered: bool = False) -> ModelResult:
    """Returns a reply as a step's result. `delivered`: its events were passed on as they came."""
    messages = [item for item in response.output if isinstance(item, ResponseOutputMessage)]
    parts = [part for message in messages for part in message.content]
    texts = [part.text for part in parts if isinstance(part, ResponseOutputText)]
    usage = response.usage
    raw = {
        "output": make_plain(response.output),
        "usage": {name: getattr(usage, name) for name in _COUNTS},
        "response_id": response.response_id,
        "request_id": response.request_id,
    }
    return ModelResult(
        "".join(texts),
        list_calls(response),
        usage=read_usage(lambda: _read_usage(usage)),
        raw=json.dumps(raw),
        delivered=delivered,
    )


def list_calls(response: ModelResponse) -> tuple[tuple[str, str, str], ...]:
    """Returns the id, the name and the arguments of each call of a reply that the SDK makes in the caller's process."""
    answered = {
        getattr(item, "call_id", None) for item in response.output if item.type == "shell_call_output"
    }
    calls = (read_call(item) for item in response.output)
    return tuple([call for call in calls if call is not None and call[0] not in answered])


def read_call(item: Any) -> tuple[str, str, str] | None:
    """Returns the id, the name and the arguments of an item's call; None for an item that is no such call.

    The items of a shell and of a patch do not name their tool, so the name is the one that the SDK gives it by default.
    """
    if isinstance(item, ResponseFunctionToolCall):
        return item.call_id, item.name, item.arguments
    if isinstance(item, BaseModel) and getattr(item, "type", None) not in _CALLS:  # most items are texts
        return None
    plain = cast("dict[str, Any]", make_plain(item))
    kind = str(plain.get("type"))
    if kind not in _CALLS:
        return None
    call_id = str(plain.get("call_id") or plain.get("id") or "")
    if kind == "function_call":
        return call_id, str(plain.get("name")), str(plain.get("arguments") or "")
    if kind == "custom_tool_call":
        return call_id, str(plain.get("name")), json.dumps({"input": plain.get("input")})
    name, field = _OPERATIONS[kind]
    return call_id, name, json.dumps(read_operation(plain.get(field)))


def read_operation(action: Any) -> dict[str, Any]:
    """Returns what a tool that is no function is asked to do, as the arguments of a call."""
    if isinstance(action, str):
        return {"input": action}
    if isinstance(action, BaseModel | Mapping):
        plain = cast("dict[str, Any]", make_plain(cast("Any", action)))
    else:  # an object of the SDK
        plain = {name: make_plain(getattr(action, name, None)) for name in _FIELDS}
    found = {name: plain[name] for name in _FIELDS if plain.get(name) is not None}
    return {name: value for name, value in found.items() if (name, value) != ("type", "exec")}


def _read_usage(usage: AgentsUsage) -> Usage:
    if not usage.input_tokens and not usage.output_tokens:
        return NO_USAGE
    cached = getattr(usage.input_tokens_details, "cached_tokens", 0) or 0
    return Usage(usage.input_tokens, usage.output_tokens, cache_read_tokens=cached)


def recall_response(settled: Settled) -> ModelResponse:
    """Returns the recorded reply, or a guard's replacement."""
    raw = None if settled.raw is None else json.loads(settled.raw)
    if not isinstance(raw, Mapping):
        text = settled.text
        if text.startswith("{"):
            text = str(json.loads(text).get("content") or "")
        return ModelResponse(output=[write_message(text)], usage=AgentsUsage(), response_id=None)
    found = cast("Mapping[str, Any]", raw)
    counts = found["usage"]
    usage = AgentsUsage(**{name: counts[name] for name in _COUNTS})
    return ModelResponse(
        output=[_OUTPUT.validate_python(item) for item in found["output"]],
        usage=usage,
        response_id=found["response_id"],
        request_id=found["request_id"],
    )


def write_message(text: str) -> ResponseOutputMessage:
    """Returns a message with this text."""
    part = ResponseOutputText(type="output_text", text=text, annotations=[])
    return ResponseOutputMessage(
        id=RECORDED_ID, type="message", role="assistant", status="completed", content=[part]
    )


def write_completed(response: ModelResponse, model: str) -> ResponseCompletedEvent:
    """Returns the event that ends the stream of a recorded reply."""
    usage = response.usage
    return ResponseCompletedEvent(
        type="response.completed",
        sequence_number=0,
        response=Response(
            id=response.response_id or RECORDED_ID,
            created_at=0.0,
            model=model,
            object="response",
            output=response.output,
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=False,
            usage=ResponseUsage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                total_tokens=usage.total_tokens,
                input_tokens_details=InputTokensDetails.model_construct(
                    cached_tokens=0, cache_write_tokens=0
                ),
                output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
            ),
        ),
    )


def read_completed(event: ResponseCompletedEvent) -> ModelResponse:
    """Returns the reply that a stream has ended with."""
    counts = event.response.usage
    usage = AgentsUsage()
    if counts is not None:
        usage = AgentsUsage(
            requests=1,
            input_tokens=counts.input_tokens,
            output_tokens=counts.output_tokens,
            total_tokens=counts.total_tokens,
            input_tokens_details=counts.input_tokens_details,
            output_tokens_details=counts.output_tokens_details,
        )
    return ModelResponse(output=event.response.output, usage=usage, response_id=event.response.id)


# ---- tools


def read_arguments(text: str) -> dict[str, Any]:
    """Returns the arguments of a call. Text that is not a JSON object becomes the argument `input`; the tool will reject it."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {"input": text}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {"input": text}


def write_result_text(value: Any) -> str:
    """Returns a tool's value as the text that is recorded and judged."""
    if isinstance(value, str):
        return value
    if isinstance(value, _STRUCTURED) or _is_structured(value):
        return json.dumps(make_plain(value))
    return str(value)


def write_value(value: Any, text: str) -> str | None:
    """Returns a tool's value as JSON if it is restored from that as it was; `text` is what the model is told of it. None for a
    text, and for a value of another kind, which is restored as its text.
    """
    if isinstance(value, str) or _is_structured(value):
        return None
    try:
        raw = json.dumps(value)
    except (TypeError, ValueError):
        return None
    return raw if str(json.loads(raw)) == text else None


def recall_result(text: str, raw: str | None) -> Any:
    """Returns a recorded result. `raw`: see `write_value`. Images and files are restored as the SDK's objects."""
    if raw is not None:
        return json.loads(raw)
    if not text.startswith(("[{", "{")):
        return text
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if _is_structured(found) else text


def add_result_notes(value: Any, notes: Sequence[str]) -> Any:
    """Returns a tool's value with the guards' advice."""
    if not notes:
        return value
    if isinstance(value, _STRUCTURED) or _is_structured(value):
        parts = cast("list[Any]", value if isinstance(value, list) else [value])
        return [*parts, *(ToolOutputText(text=note) for note in notes)]
    return "\n\n".join((str(value), *notes))


def _is_structured(value: Any) -> bool:
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return bool(items) and all(isinstance(each, _STRUCTURED) or _is_structured(each) for each in items)
    return isinstance(value, dict) and cast("dict[str, Any]", value).get("type") in _STRUCTURED_TYPES


def write_answer(value: Any) -> str:
    """Returns the final output of a run as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return "" if value is None else json.dumps(make_plain(value), default=str)
