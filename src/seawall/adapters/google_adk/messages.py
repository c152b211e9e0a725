"""How ADK's requests, replies and results of tools are recorded, and restored from the record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from google.adk.events.event_actions import EventActions
from google.adk.flows.llm_flows import functions
from google.adk.models.base_llm import BaseLlm
from google.adk.models.google_llm import Gemini
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.function_tool import FunctionTool
from google.genai import types
from pydantic_core import from_json, to_json, to_jsonable_python

from seawall.models.protocol import Usage
from seawall.run.step import Result
from seawall.runtime.foreign.asks import Settled, Turn
from seawall.runtime.foreign.results import (
    DONE,
    NO_USAGE,
    ModelResult,
    add_counts,
    make_tool_result,
    name_type,
    read_usage,
    word_note,
)

FINISH = "finish_task"
"""ADK's tool by which an agent says that its task is done."""
ANSWER_TOOLS = ("set_model_response", FINISH)
"""ADK's tools by which an agent answers."""
_NOT_CALLED = "Invoking `"
"""The beginning of ADK's text to a model whose arguments do not fit a function."""
_KEPT_ACTIONS = ("state_delta", "skip_summarization", "escalate", "transfer_to_agent", "artifact_delta")
"""Actions by which a tool changes the invocation beside its result. They are done again when the result is restored."""


def to_json_value(value: Any) -> Any:
    """Returns a value as JSON. A part without a JSON form becomes the name of its type, which is equal in every process."""
    return to_jsonable_python(value, inf_nan_mode="strings", bytes_mode="base64", fallback=name_type)


def _dump(value: Any) -> Any:
    return to_jsonable_python(
        value, exclude_none=True, inf_nan_mode="strings", bytes_mode="base64", fallback=name_type
    )


def write_text(value: Any) -> str:
    """Returns a value as text: a string as it is, and anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(to_json_value(value), ensure_ascii=False)


def read_content(content: types.Content | None) -> str:
    """Returns the text of a message, without the model's thoughts."""
    parts = [] if content is None else content.parts or []
    return "".join(part.text for part in parts if part.text and not part.thought)


# ---- models


def name_model(model: BaseLlm, request: LlmRequest) -> str:
    """Returns a model's name as the list of prices has it: `provider:name`."""
    name = request.model or model.model
    if isinstance(model, Gemini):
        return f"google:{name.rpartition('/')[2]}"
    kind = type(model).__name__
    if kind == "Claude":
        return f"anthropic:{name.rpartition('/')[2]}"
    provider, slash, rest = name.partition("/")
    return f"{provider}:{rest}" if slash and kind == "LiteLlm" else f"{kind}:{name}"


def _read_config(request: LlmRequest) -> Any:
    """Returns the settings of a request as `Any`: some of their types come from packages that need not be installed."""
    return request.config


def describe_request(request: LlmRequest) -> list[Any]:
    """Returns the messages of a request as JSON values, the system instruction first."""
    instruction = _read_config(request).system_instruction
    first = [] if not instruction else [{"role": "system", "content": _dump(instruction)}]
    return [*first, *(_dump(content) for content in request.contents)]


def describe_tools(request: LlmRequest) -> list[Any]:
    """Returns what a request tells the model of the tools, and of the form of its answer."""
    config = _read_config(request)
    tools: list[Any] = config.tools or []
    described: list[Any] = [_dump(tool) for tool in tools]
    schema = config.response_json_schema or config.response_schema
    if schema is not None:
        described.append({"output": schema.__name__ if isinstance(schema, type) else _dump(schema)})
    return described


def find_hosted(request: LlmRequest) -> list[str]:
    """Returns the names of the tools that the model's provider runs."""
    tools: list[Any] = _read_config(request).tools or []
    return sorted(
        name
        for tool in tools
        if isinstance(tool, types.Tool)
        for name, value in tool
        if value is not None and name != "function_declarations"
    )


def find_limit(request: LlmRequest) -> int | None:
    """Returns the longest reply, in tokens, that the application asks for; None if it sets no limit."""
    return request.config.max_output_tokens or None


def fit_request(request: LlmRequest, turn: Turn, asked: int) -> LlmRequest:
    """Returns a request, changed where guards or limits demand it: with the guards' advice at its end, without calls of tools
    in the last reply that a limit allows, and with a shorter reply if there is less room than for the `asked` tokens.
    """
    changes: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    if turn.last and _read_config(request).tools:
        settings["tool_config"] = types.ToolConfig(function_calling_config=_leave_out_tools(request))
    if turn.notes:
        told = [types.Part(text=word_note(note)) for note in turn.notes]
        changes["contents"] = [*request.contents, types.Content(role="user", parts=told)]
    if 0 < turn.max_output_tokens < asked:
        settings["max_output_tokens"] = turn.max_output_tokens
    if settings:
        changes["config"] = request.config.model_copy(update=settings)
    return request.model_copy(update=changes) if changes else request


def _leave_out_tools(request: LlmRequest) -> types.FunctionCallingConfig:
    """Returns a setting that allows no call of a function, or only the one by which an agent answers."""
    answers = [name for name in ANSWER_TOOLS if name in request.tools_dict]
    if answers:
        mode = types.FunctionCallingConfigMode.ANY
        return types.FunctionCallingConfig(mode=mode, allowed_function_names=answers)
    return types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.NONE)


def name_calls(response: LlmResponse) -> None:
    """Gives the calls of a reply the ids that ADK would give them later, so that the recorded reply has them."""
    for call in response.get_function_calls():
        if not call.id:
            call.id = functions.generate_client_function_call_id()


def read_responses(responses: Sequence[LlmResponse], *, delivered: bool) -> ModelResult:
    """Returns a reply as a step's result, with all that is needed to restore it. `delivered`: it was streamed."""
    calls = [
        (call.id or "", call.name or "", json.dumps(to_json_value(call.args or {})))
        for response in responses
        for call in response.get_function_calls()
    ]
    text = "".join(read_content(response.content) for response in responses)
    raw = to_json([_dump(response) for response in responses], fallback=name_type).decode()
    return ModelResult(
        text, calls, usage=read_usage(lambda: _read_usage(responses)), raw=raw, delivered=delivered
    )


def _read_usage(responses: Sequence[LlmResponse]) -> Usage:
    found = next(
        (each.usage_metadata for each in reversed(responses) if each.usage_metadata is not None), None
    )
    if found is None:
        return NO_USAGE
    taken = add_counts(found.prompt_token_count, found.tool_use_prompt_token_count)
    made = add_counts(found.candidates_token_count, found.thoughts_token_count)
    if not taken and not made:
        return NO_USAGE
    return Usage(taken, made, cache_read_tokens=found.cached_content_token_count or 0)


def recall_responses(settled: Settled) -> list[LlmResponse] | None:
    """Returns a recorded reply, or a guard's replacement; None for a call that was not made."""
    if settled.raw is not None:
        return [LlmResponse.model_validate(each) for each in from_json(settled.raw)]
    if settled.status not in DONE:
        return None
    content = types.Content(role="model", parts=[types.Part(text=_read_text(settled.text))])
    return [LlmResponse(content=content)]


def _read_text(text: str) -> str:
    """Returns the text of a recorded message."""
    if text.startswith("{"):
        return str(cast("Mapping[str, Any]", json.loads(text)).get("content") or "")
    return text


# ---- tools


def read_value(tool: BaseTool, value: Any, actions: EventActions) -> Result:
    """Returns a tool's value as a step's result, with the changes that the tool has made to the invocation."""
    if isinstance(tool, FunctionTool) and _is_not_called(value):
        return Result(
            status="error", output=write_text(value), error="not_done", reasoning=_keep(value, actions)
        )
    failed = isinstance(value, Mapping) and cast("Mapping[str, Any]", value).get("isError") is True
    return make_tool_result(write_text(value), failed=failed, raw=_keep(value, actions))


def _is_not_called(value: Any) -> bool:
    """Returns whether ADK has not called a function because the arguments do not fit it."""
    error = cast("Mapping[str, Any]", value).get("error") if isinstance(value, Mapping) else None
    return isinstance(error, str) and len(cast("Any", value)) == 1 and error.startswith(_NOT_CALLED)


def _keep(value: Any, actions: EventActions) -> str:
    done = _dump(actions.model_dump(include=set(_KEPT_ACTIONS), exclude_defaults=True))
    return to_json({"value": to_json_value(value), "actions": done}).decode()


def recall_value(settled: Settled, actions: EventActions, state: Any) -> Any:
    """Returns the recorded value of a tool, or the gate's answer in its place. The tool's changes to the invocation are made
    again.
    """
    if settled.raw is not None:
        kept = from_json(settled.raw)
        done: dict[str, Any] = kept["actions"]
        state.update(done.pop("state_delta", {}))
        actions.artifact_delta.update(done.pop("artifact_delta", {}))
        for name, each in done.items():
            setattr(actions, name, each)
        return add_advice(kept["value"], settled.notes)
    if settled.status in DONE:
        return add_advice(settled.text, settled.notes)
    return {"error": settled.told}


def add_advice(value: Any, notes: tuple[str, ...]) -> Any:
    """Returns a tool's value with the guards' advice beside it. Without advice it is the same value."""
    if not notes:
        return value
    if isinstance(value, str):
        return "\n\n".join((value, *notes))
    advice = "\n\n".join(notes)
    if isinstance(value, Mapping):
        return {**cast("Mapping[str, Any]", value), "advice": advice}
    return {"result": value, "advice": advice}
