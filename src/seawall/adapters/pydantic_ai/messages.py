"""How Pydantic AI's messages and the values of its tools are recorded, and restored from the record."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec
from msgspec.structs import replace
from pydantic_ai.exceptions import CallDeferred, ModelAPIError, ModelRetry, ToolFailed
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolReturn,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from seawall.core.canonical import to_canonical_bytes, to_canonical_text
from seawall.models.protocol import Usage
from seawall.run.step import Result
from seawall.runtime.foreign.asks import Settled, Turn
from seawall.runtime.foreign.results import (
    DONE,
    NO_USAGE,
    ModelResult,
    make_tool_result,
    name_type,
    read_usage,
    to_json_value,
    word_note,
    write_text,
)

_NOT_SENT = ("timestamp", "metadata")
"""Fields of a message's part that are not sent to a model."""
_DESCRIBED = {0: {"kind", "parts"}}
"""Fields of the only message in a list that are described."""
_UNCHANGING = frozenset({str, int, float, bool, datetime, type(None)})
"""Types whose values can't be changed in place."""


# ---- models


class _WrittenModelMessage(NamedTuple):
    """A message, its parts with their fields when it was written, and its text."""

    message: ModelMessage
    parts: Sequence[tuple[object, dict[str, Any]]]
    text: msgspec.Raw

    def is_of(self, message: ModelMessage) -> bool:
        """Returns whether the message is still the same as when it was written."""
        if self.message is not message or len(self.parts) != len(message.parts):
            return False
        try:
            for (known, fields), part in zip(self.parts, message.parts, strict=True):
                if known is not part or fields != part.__dict__:
                    return False
        except Exception:  # noqa: BLE001 -- a value of an application's own class may not be comparable
            return False
        return True


class WrittenModelMessages:
    """The newest conversation as JSON. A message that was in it before is not written again, unless it was changed."""

    def __init__(self) -> None:
        self._known: dict[int, _WrittenModelMessage] = {}
        """The written messages by `id()` of the message. A message that holds more than JSON values is not kept, but written
        each time.
        """

    def __repr__(self) -> str:
        return f"<WrittenModelMessages {len(self._known)}>"

    def write(self, messages: Sequence[ModelMessage]) -> list[Any]:
        """Returns messages as JSON, without the fields that are not sent to a model: the size of a request counts as an upper
        bound of its tokens.

        Each request in the framework's history keeps its instructions, but a model is sent only the newest ones.
        """
        before, now, written = self._known, dict[int, _WrittenModelMessage](), list[Any]()
        for message in messages:
            known = before.get(id(message))
            if known is not None and known.is_of(message):
                now[id(message)] = known
                written.append(known.text)
                continue
            text = _write_message(message)
            written.append(text)
            # A message with a file, or with an object of the application's own class, is not kept.
            with contextlib.suppress(TypeError, ValueError, RecursionError):
                parts = [(part, _copy_fields(part)) for part in message.parts]
                now[id(message)] = _WrittenModelMessage(message, parts, text)
        self._known = now
        told = (getattr(message, "instructions", None) for message in reversed(messages))
        instructions = next((text for text in told if text), None)
        return written if instructions is None else [{"role": "system", "content": instructions}, *written]


def _copy_fields(part: object) -> dict[str, Any]:
    """Returns the fields of a part, with copies of the values that can be changed in place. Raises `TypeError` for a value that
    is not JSON.
    """
    return {
        name: value if type(value) in _UNCHANGING else msgspec.json.decode(to_canonical_text(value))
        for name, value in part.__dict__.items()
    }


def _write_message(message: ModelMessage) -> msgspec.Raw:
    [dumped] = ModelMessagesTypeAdapter.dump_python(
        [message], mode="json", include=_DESCRIBED, fallback=name_type
    )
    described = {"kind": dumped["kind"], "parts": [_describe_part(part) for part in dumped["parts"]]}
    return msgspec.Raw(to_canonical_text(described).encode())


def _describe_part(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if value is not None and name not in _NOT_SENT}


def describe_tools(parameters: ModelRequestParameters) -> list[Any]:
    """Returns what a request tells the model of the tools, and of the form of its answer."""
    described: list[Any] = [
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters_json_schema}
        for tool in [*parameters.function_tools, *parameters.output_tools]
    ]
    if parameters.output_object is not None:
        described.append({"output": parameters.output_object.json_schema})
    return described


def name_model(model: Model) -> str:
    """Returns a model's name as the list of prices has it: `provider:name`."""
    return f"{model.system}:{model.model_name}"


def find_limit(settings: ModelSettings | None) -> int | None:
    """Returns the longest reply, in tokens, that the settings ask for; None if they set no limit."""
    given = (settings or {}).get("max_tokens")
    return given if isinstance(given, int) and given > 0 else None


def fit_settings(settings: ModelSettings | None, turn: Turn, asked: int) -> ModelSettings | None:
    """Returns the settings, changed where a limit demands it: the model may call only the tools by which it answers, or its
    reply is shorter because there is less room than for the `asked` tokens.
    """
    changed: ModelSettings = {}
    if turn.last:
        changed["tool_choice"] = "none"
    if 0 < turn.max_output_tokens < asked:
        changed["max_tokens"] = turn.max_output_tokens
    return {**(settings or {}), **changed} if changed else settings


def add_notes(messages: list[ModelMessage], notes: tuple[str, ...]) -> list[ModelMessage]:
    """Returns messages with the guards' advice at their end. Without advice it is the same list."""
    if not notes:
        return messages
    told = [UserPromptPart(word_note(note)) for note in notes]
    last = messages[-1] if messages else None
    if isinstance(last, ModelRequest):
        return [*messages[:-1], dataclasses.replace(last, parts=[*last.parts, *told])]
    return [*messages, ModelRequest(parts=told)]


def read_response(response: ModelResponse, *, delivered: bool = False, cut: bool = False) -> ModelResult:
    """Returns a reply as a step's result, with all that is needed to restore it. `delivered` and `cut`: see `ModelResult`."""
    calls = [(call.tool_call_id, call.tool_name, call.args_as_json_str()) for call in response.tool_calls]
    raw = ModelMessagesTypeAdapter.dump_json([response], fallback=name_type).decode()
    return ModelResult(
        response.text or "",
        calls,
        usage=read_usage(lambda: _read_usage(response)),
        raw=raw,
        delivered=delivered,
        cut=cut,
    )


def _read_usage(response: ModelResponse) -> Usage:
    usage = response.usage
    if not (usage.input_tokens or usage.output_tokens):
        return NO_USAGE
    return Usage(
        usage.input_tokens,
        usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )


def recall_response(settled: Settled, model: Model) -> ModelResponse:
    """Returns the recorded reply, or a guard's replacement.

    Raises `ModelAPIError` for a call that was not made, as for a provider that does not answer: if the framework has another
    model, it may call that one.
    """
    if settled.raw is not None:
        found = ModelMessagesTypeAdapter.validate_json(settled.raw)[0]
        if isinstance(found, ModelResponse):
            return found
    if settled.status not in DONE:
        raise ModelAPIError(model.model_name, settled.told)
    return ModelResponse(parts=[TextPart(_read_text(settled.text))], model_name=model.model_name)


def _read_text(text: str) -> str:
    """Returns the text of a recorded message."""
    if text.startswith("{"):
        message = cast("Mapping[str, Any]", json.loads(text))
        return str(message.get("content") or "")
    return text


def find_denied(messages: Sequence[ModelMessage]) -> dict[str, str]:
    """Returns the calls that a person has denied in the framework since the newest reply: the text for the agent by call id."""
    denied: dict[str, str] = {}
    for message in reversed(messages):
        if isinstance(message, ModelResponse):
            break
        for part in message.parts:
            if isinstance(part, ToolReturnPart) and part.outcome == "denied":
                denied[part.tool_call_id] = str(part.content)
    return denied


def find_answered(messages: Sequence[ModelMessage]) -> set[str]:
    """Returns the ids of the calls that have a result."""
    parts = (part for message in messages if isinstance(message, ModelRequest) for part in message.parts)
    return {str(getattr(part, "tool_call_id", None)) for part in parts}


# ---- tools


def read_value(name: str, call_id: str, value: Any) -> Result:
    """Returns a tool's value as a step's result. A value that is not plain text is kept in full beside its text."""
    if type(value) is str:
        return make_tool_result(value)
    returned = cast("ToolReturn[Any]", value) if isinstance(value, ToolReturn) else ToolReturn[Any](value)
    part = ToolReturnPart(
        tool_name=name, content=returned.return_value, tool_call_id=call_id, metadata=returned.metadata
    )
    beside = [] if returned.content is None else [UserPromptPart(returned.content)]
    more = None if returned.tools is None else {"tools": list(returned.tools)}
    kept = ModelRequest(parts=[part, *beside], metadata=more)
    try:
        text = part.model_response_str()
    except Exception:  # noqa: BLE001 -- a value without a JSON form; the framework itself will raise that
        text = write_text(returned.return_value)
    if returned.content is not None:
        text = f"{text}\n{write_text(returned.content)}"
    raw = ModelMessagesTypeAdapter.dump_json([kept], fallback=name_type).decode()
    return _keep(make_tool_result(text), raw)


def keep_signal(failure: Result, error: BaseException) -> Result:
    """Returns a failure with the tool's signal to the model in it, so that the signal can be raised again."""
    if not isinstance(error, ModelRetry | ToolFailed):
        return failure
    raw = to_canonical_bytes({type(error).__name__: error.message}).decode()
    return _keep(failure, raw)


def keep_deferral(deferred: CallDeferred) -> Result:
    """Returns the result of a call whose own result comes from outside of the run."""
    raw = to_canonical_text({"CallDeferred": to_json_value(deferred.metadata)})
    return _keep(
        make_tool_result("The work has begun; its result comes later, from outside of the run."), raw
    )


def _keep(result: Result, raw: str) -> Result:
    return replace(result, reasoning=raw)


def recall_value(settled: Settled) -> Any:
    """Returns the recorded value of a tool, or a guard's replacement. Raises `ModelRetry` or `ToolFailed`, whose text the model
    is told, if the tool had raised it or the call was not made, and `CallDeferred` if the tool had.
    """
    if settled.raw is not None:
        kept = json.loads(settled.raw)
        if isinstance(kept, Mapping):
            signals = cast("Mapping[str, Any]", kept)
            if "CallDeferred" in signals:
                raise CallDeferred(signals["CallDeferred"])
            if "ModelRetry" in signals:
                raise ModelRetry(signals["ModelRetry"])
            raise ToolFailed(signals["ToolFailed"])
        return _restore(settled.raw)
    if settled.status in DONE:
        return settled.text
    raise ToolFailed(settled.told)


def _restore(raw: str) -> Any:
    request = ModelMessagesTypeAdapter.validate_json(raw)[0]
    part = next(each for each in request.parts if isinstance(each, ToolReturnPart))
    beside = next((each.content for each in request.parts if isinstance(each, UserPromptPart)), None)
    tools = (request.metadata or {}).get("tools")
    if beside is None and tools is None and part.metadata is None:
        return part.content
    return ToolReturn[Any](part.content, content=beside, metadata=part.metadata, tools=tools)


def add_advice(value: Any, notes: tuple[str, ...]) -> Any:
    """Returns a tool's value with the guards' advice beside it. Without advice it is the same value."""
    if not notes:
        return value
    if isinstance(value, str):
        return "\n\n".join((value, *notes))
    if not isinstance(value, ToolReturn):
        return ToolReturn[Any](value, content=list(notes))
    returned = cast("ToolReturn[Any]", value)
    there = returned.content
    before = [] if there is None else [there] if isinstance(there, str) else list(there)
    return dataclasses.replace(returned, content=[*before, *notes])
