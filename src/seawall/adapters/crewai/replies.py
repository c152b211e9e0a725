"""Replies of models and values of tools: as they are recorded, and as they are given again."""

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
"""The packages of clients whose objects CrewAI hands on: only classes of these are looked up when a reply is given again."""


# ---- models


class CrewReply(NamedTuple):
    """A model's reply as CrewAI has it, with its calls."""

    value: Any
    ids: Mapping[str, str] = {}
    """The calls in it: as CrewAI names them, and as they are recorded."""
    written: tuple[str, str] | None = None
    """The call that is written in its text: the tool's name, and its recorded id."""


def read_reply(value: Any, usage: Usage, *, may_write_calls: bool, delivered: bool) -> ModelResult:
    """Returns a reply as a step's result, with all that it takes to give it again.

    `may_write_calls`: a call may be written in the text, as CrewAI has it from models without tools. `delivered`: its text was
    streamed.
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
    """Returns the call that is written in a text. It has no id, so it is given one that the same text has again."""
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
    return json.dumps(value, ensure_ascii=False)  # keys in their order: an agent is told `str` of a value


def _dump_item(item: Any) -> Any:
    if isinstance(item, BaseModel) and type(item).__module__.partition(".")[0] in CLIENTS:
        kind = f"{type(item).__module__}:{type(item).__qualname__}"
        return {"kind": kind, "value": item.model_dump(mode="json", exclude_unset=True)}
    return {"value": to_json_value(item)}


def find_calls(value: Any, calls: Sequence[tuple[str, str, str]]) -> CrewReply:
    """Returns a reply with the names that its calls have here, beside the recorded ones."""
    if isinstance(value, str):
        return CrewReply(value, written=(calls[0][1], calls[0][0]) if calls else None)
    items = cast("list[Any]", value) if isinstance(value, list) else []
    live = [str(info[0]) for each in items if (info := extract_tool_call_info(each)) is not None]
    return CrewReply(value, dict(zip(live, [call[0] for call in calls], strict=False)))


def recall_reply(settled: Settled, expects: type[BaseModel] | None) -> CrewReply:
    """Returns the recorded reply, or what a guard has put in its place. `expects`: the class of a structured reply.

    Raises `Refused` for a call that was not made: CrewAI treats that as a model that does not answer.
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
        raise TypeError(f"{module}:{name} of a recorded reply is no model of a client")
    return found.model_validate(kept["value"])


def _read_text(text: str) -> str:
    """Returns the text of a recorded message."""
    if text.startswith("{"):
        message = cast("Mapping[str, Any]", json.loads(text))
        return str(message.get("content") or "")
    return text


def add_notes(messages: Any, notes: tuple[str, ...]) -> Any:
    """Returns messages with what guards advise at their end. Without advice they are the same."""
    if not notes:
        return messages
    before = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    return [*before, *({"role": "user", "content": word_note(note)} for note in notes)]


# ---- tools


class RecordedFailure(Exception):
    """A tool has raised before, and its call was not made again: the text is that of its error."""


def read_value(tool: Any, value: Any) -> Result:
    """Returns what a tool has returned as a step's result: what the agent is told, and what it takes to give it again."""
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
    """Returns the recorded value of a tool, or what stands for it. Raises `RecordedFailure` if the tool has raised."""
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
    """Returns what an agent is told of a call that was not made. CrewAI does not put a failure into its cache of results."""
    failure = _find_failure_class()
    return text if failure is None else failure(message=text)


def _find_failure_class() -> type[Any] | None:
    try:
        module = importlib.import_module("crewai.tools.tool_failure")
    except ImportError:  # before 1.15.26
        return None
    return cast("type[Any]", module.ToolFailure)
