"""How replies of models and values of tools are recorded, and restored from the record."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from crewai.agents.parser import AgentAction, OutputParserError, parse
from crewai.utilities.agent_utils import extract_tool_call_info
from crewai.utilities.string_utils import sanitize_tool_name
from msgspec.structs import replace
from pydantic import BaseModel

from seawall.core.canonical import digest_of
from seawall.core.errors import Refused
from seawall.models.protocol import Usage
from seawall.run.step import Result
from seawall.runtime.foreign.asks import Settled
from seawall.runtime.foreign.results import (
    DONE,
    ModelResult,
    make_tool_result,
    to_json_value,
    word_note,
    write_text,
)

CLIENTS = ("openai", "anthropic", "google")
"""Packages of model clients whose objects CrewAI passes on. Only their classes are imported when a reply is restored."""


# ---- models


class CrewReply(NamedTuple):
    """A model's reply as CrewAI has it, with its calls."""

    value: Any
    ids: Mapping[str, str] = {}
    """The calls in the reply: the recorded id by CrewAI's id."""
    written: tuple[str, str] | None = None
    """The call that is written in the reply's text: the tool's name, and the recorded id of the call."""


def read_reply(value: Any, usage: Usage, *, may_write_calls: bool, delivered: bool) -> ModelResult:
    """Returns a reply as a step's result, with all that is needed to restore it.

    `may_write_calls`: the text may hold a call, because CrewAI lets models without tools write their calls as text.
    `delivered`: the text was streamed.
    """
    told = partial(ModelResult, usage=usage, delivered=delivered)
    if isinstance(value, str):
        written = _parse_written(value) if may_write_calls else None
        return told(value, [] if written is None else [written], raw=_dump({"text": value}))
    if isinstance(value, BaseModel):
        return told(value.model_dump_json(), raw=_dump({"object": to_json_value(value)}))
    if isinstance(value, list):
        items = cast("list[Any]", value)
        calls = [call for each in items if (call := _read_call(each)) is not None]
        raw = _dump({"items": [_dump_item(each) for each in items]})
        return told("" if calls else write_text(items), calls, raw=raw)
    return told(write_text(value), raw=_dump({"value": to_json_value(value)}))


def _parse_written(text: str) -> tuple[str, str, str] | None:
    """Returns the call that is written in a text, as id, name and arguments; None if there is none. The id is made from the
    text, so the same text has the same id.
    """
    if "Action:" not in text:
        return None
    try:
        found = parse(text)
    except OutputParserError:
        return None
    if not isinstance(found, AgentAction):
        return None
    return f"written-{digest_of(text)[:12]}", sanitize_tool_name(found.tool), found.tool_input


def _read_call(item: Any) -> tuple[str, str, str] | None:
    info = extract_tool_call_info(item)
    if info is None:
        return None
    call_id, name, arguments = info
    return (
        str(call_id),
        name,
        arguments if isinstance(arguments, str) else json.dumps(to_json_value(arguments)),
    )


def _dump(value: Any) -> str:
    # The keys keep their order, because an agent is told `str` of the value.
    return json.dumps(value, ensure_ascii=False)


def _dump_item(item: Any) -> Any:
    if isinstance(item, BaseModel) and type(item).__module__.partition(".")[0] in CLIENTS:
        kind = f"{type(item).__module__}:{type(item).__qualname__}"
        return {"kind": kind, "value": item.model_dump(mode="json", exclude_unset=True)}
    return {"value": to_json_value(item)}


def find_calls(value: Any, calls: Sequence[tuple[str, str, str]]) -> CrewReply:
    """Returns a reply with CrewAI's ids of its calls beside the recorded ids."""
    if isinstance(value, str):
        return CrewReply(value, written=(calls[0][1], calls[0][0]) if calls else None)
    items = cast("list[Any]", value) if isinstance(value, list) else []
    live = [str(info[0]) for each in items if (info := extract_tool_call_info(each)) is not None]
    return CrewReply(value, dict(zip(live, [call[0] for call in calls], strict=False)))


def recall_reply(settled: Settled, expects: type[BaseModel] | None) -> CrewReply:
    """Returns the recorded reply, or a guard's replacement. `expects`: the class of a structured reply.

    Raises `Refused` for a call that was not made: CrewAI treats it like a model that does not answer.
    """
    if settled.raw is not None:
        kept = cast("Mapping[str, Any]", json.loads(settled.raw))
        return find_calls(_restore(kept, expects), settled.calls)
    if settled.status not in DONE:
        raise Refused(settled.told, guard="model")
    return CrewReply(_read_text(settled.text))


def _restore(kept: Mapping[str, Any], expects: type[BaseModel] | None) -> Any:
    if "text" in kept:
        return kept["text"]
    if "object" in kept:
        return kept["object"] if expects is None else expects.model_validate(kept["object"])
    if "items" in kept:
        return [_restore_item(each) for each in kept["items"]]
    return kept.get("value")


def _restore_item(kept: Mapping[str, Any]) -> Any:
    module, _, name = str(kept.get("kind", "")).partition(":")
    if module.partition(".")[0] not in CLIENTS:
        return kept["value"]
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise TypeError(f"{module}:{name} in a recorded reply is not a pydantic model of a known client")
    return found.model_validate(kept["value"])


def _read_text(text: str) -> str:
    """Returns the text of a recorded message."""
    if text.startswith("{"):
        message = cast("Mapping[str, Any]", json.loads(text))
        return str(message.get("content") or "")
    return text


def add_notes(messages: Any, notes: tuple[str, ...]) -> Any:
    """Returns messages with the guards' advice at their end. Without advice they are the same."""
    if not notes:
        return messages
    before = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    return [*before, *({"role": "user", "content": word_note(note)} for note in notes)]


# ---- tools


class RecordedFailure(Exception):
    """A tool raised when its call was made, and the call was not made again. The text is that of the recorded error."""


def read_value(tool: Any, value: Any) -> Result:
    """Returns a tool's value as a step's result: the text for the agent, and all that is needed to restore the value."""
    failure = _find_failure_class()
    if failure is not None and isinstance(value, failure):
        told: Any = value
        return make_tool_result(
            told.as_agent_message(), failed=True, raw=_dump({"failure": told.model_dump(mode="json")})
        )
    if type(value) is str:
        return make_tool_result(value)
    plain = to_json_value(value)
    if getattr(tool, "result_schema", None) is not None:
        return make_tool_result(write_text(value), raw=_dump({"object": plain}))
    raw = _dump({"value": plain}) if str(plain) == str(value) else None  # the agent is told the text
    return make_tool_result(str(value), raw=raw)


def keep_error(failure: Result, error: Exception) -> Result:
    """Returns a failure with the text of its error, so that it can be raised again."""
    return replace(failure, reasoning=_dump({"raised": str(error)}))


def recall_value(tool: Any, settled: Settled) -> Any:
    """Returns the recorded value of a tool, or the gate's answer in its place. Raises `RecordedFailure` if the tool has
    raised.
    """
    kept = cast("Mapping[str, Any]", json.loads("{}" if settled.raw is None else settled.raw))
    if "raised" in kept:
        raise RecordedFailure(kept["raised"])
    if "failure" in kept and (failure := _find_failure_class()) is not None:
        return failure.model_validate(kept["failure"])
    if "object" in kept:
        return tool.result_schema.model_validate(kept["object"])
    if "value" in kept:
        return kept["value"]
    return settled.text if settled.status in DONE else make_refusal(settled.told)


def make_refusal(text: str) -> Any:
    """Returns the value that tells an agent why a call was not made. It is a failure where CrewAI has a class for that, because
    failures are not cached.
    """
    failure = _find_failure_class()
    return text if failure is None else failure(message=text)


def write_refusal(value: Any) -> Any:
    """Returns the text of what `make_refusal` has returned, for a model's class that writes any value as text; any other value
    as it is.
    """
    failure = _find_failure_class()
    return value.message if failure is not None and isinstance(value, failure) else value


def _find_failure_class() -> type[Any] | None:
    try:
        module = importlib.import_module("crewai.tools.tool_failure")
    except ImportError:  # CrewAI before 1.15.26
        return None
    return cast("type[Any]", module.ToolFailure)
