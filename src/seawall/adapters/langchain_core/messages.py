"""How LangChain's messages, tools and commands are read for the gate, and restored from the record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import msgspec
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    UsageMetadata,
    message_to_dict,
    messages_from_dict,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.types import Command, Send

from seawall.core.canonical import to_canonical_text
from seawall.models.protocol import Usage
from seawall.run.step import Result
from seawall.runtime.foreign.asks import Settled
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.results import (
    DONE,
    NO_USAGE,
    ModelResult,
    add_counts,
    make_tool_result,
    read_usage,
    to_json_value,
    word_note,
)
from seawall.runtime.foreign.session import Performed

Brought = ToolMessage | Command[Any] | list[Any]
"""The value that a tool gives to LangGraph's `ToolNode`. A list holds messages and commands."""

_MESSAGE, _SEND = "__message__", "__send__"
_NOT_SENT = ("artifact", "response_metadata", "usage_metadata")
"""Fields of a message that are not sent to a model."""
MAX_DESCRIBED = 1_000
"""Tools whose descriptions are kept. An application with more tools than this creates new tools for each request, so
keeping their descriptions would not help."""


class RecordedModel(BaseChatModel):
    """A model that returns a recorded reply, so that the framework reads the reply as it did the first time.

    `model_name` and `profile` are those of the model that wrote the reply: by them the framework chooses how a structured
    answer is written.
    """

    reply: AIMessage
    profile: Any = None
    model_name: str = ""

    @property
    def _llm_type(self) -> str:
        return "seawall-recorded"

    def _generate(self, messages: list[BaseMessage], *arguments: Any, **options: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.reply)])

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        """Returns the model itself, because the reply is known."""
        return self


# ---- models


def name_model(model: Any) -> str:
    """Returns a model's name as the list of prices has it: `provider:name`."""
    try:
        provider = str(model._get_ls_params().get("ls_provider") or "")  # noqa: SLF001 -- the only place with the provider
    except Exception:  # noqa: BLE001 -- a model class of the user's own may do anything
        provider = ""
    return f"{provider or type(model).__name__}:{find_model_name(model) or 'unnamed'}"


def find_model_name(model: Any) -> str:
    """Returns the name that a model's class keeps under one of three fields, in LangChain's order."""
    names = (getattr(model, each, None) for each in ("model_name", "model", "model_id"))
    return next((str(name) for name in names if name), "")


_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")
"""Names that LangChain's classes of models give to the longest reply."""


def find_limit(model: Any, settings: Mapping[str, Any]) -> int | None:
    """Returns the longest reply that the application has set, in tokens."""
    given = next((each for name in _LIMITS if (each := settings.get(name))), None)
    given = given or next((each for name in _LIMITS if (each := getattr(model, name, None))), None)
    return given if isinstance(given, int) and given > 0 else None


def describe_tool(tool: Any) -> Any:
    """Returns the description of a tool that a model is sent, as JSON values."""
    if isinstance(tool, Mapping):
        return dict(cast("Mapping[str, Any]", tool))
    return convert_to_openai_tool(tool) if isinstance(tool, BaseTool) else {"name": str(tool)}


_FORMS = (
    "response_format",
    "output_config",
    "output_format",
    "response_schema",
    "response_json_schema",
    "format",
)
"""Options in which models are sent the schema of a structured answer."""


def list_tools(options: Mapping[str, Any], engine: Engine) -> list[Any]:
    """Returns the tools in the options of a request, and the schema of a structured answer. Tools that the model's provider
    runs are noted for the coverage of `engine`.
    """
    forms = [to_json_value(form) for name in _FORMS if isinstance(form := options.get(name), Mapping)]
    tools = options.get("tools") or ()
    engine.note_not_gated(*list_hosted(tools))
    return [*tools, *forms]


_OWN_FIELDS = frozenset(
    {"function", "functions", "function_declarations", "input_schema", "parameters", "toolSpec"}
)
"""Fields of a tool that the application runs: it has a schema for its arguments."""
_OWN_TYPES = (
    "function",
    "custom",
    "bash",
    "computer",
    "local_shell",
    "memory",
    "shell",
    "apply_patch",
    "text_editor",
)
"""How the types of tools begin that a provider has defined and the application runs."""


def list_hosted(tools: Iterable[Any]) -> list[str]:
    """Returns what `coverage` says of those tools of a request that the model's provider runs. A provider's tool is a mapping
    with a `type`, such as `web_search_20250305` or `mcp`, or, of Google, with a single field, such as `google_search`.
    """
    found: list[str] = []
    for tool in tools:
        if not isinstance(tool, dict):
            continue
        fields = cast("dict[str, Any]", tool)
        if not _OWN_FIELDS.isdisjoint(fields):
            continue
        kind = fields.get("type")
        if kind is None and len(fields) == 1 and isinstance(next(iter(fields.values())), Mapping):
            kind = next(iter(fields))
        if isinstance(kind, str) and not kind.startswith(_OWN_TYPES):
            label = fields.get("server_label")
            named = f" of {label!r}" if label else ""
            found.append(f"tool {kind!r}{named}: the model's provider runs it")
    return found


class ToolDescriptions:
    """The description of each tool that a model is sent. LangChain computes it again for each request, which takes as long as
    the whole gate; here it is kept.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[BaseTool, tuple[Any, ...], Any]] = {}

    def __repr__(self) -> str:
        return f"<ToolDescriptions of {len(self._known)} tools>"

    def describe(self, tool: Any) -> Any:
        """As `describe_tool`. A tool whose name, description or schema was changed is described again."""
        if not isinstance(tool, BaseTool):
            return describe_tool(tool)
        told = (tool.name, tool.description, tool.args_schema)
        known = self._known.get(id(tool))
        if known is not None and known[0] is tool and known[1] == told:
            return known[2]
        described = describe_tool(tool)
        if len(self._known) >= MAX_DESCRIBED:
            self._known.clear()
        self._known[id(tool)] = tool, told, described
        return described


_OF_TOOLS = ("tools", "tool_choice", "parallel_tool_calls", "tool_config", "strict")
"""Options of a request that servers reject without tools, or that say which tool to call."""


def leave_out_tools(model: Any, options: Mapping[str, Any], *, in_form: bool = False) -> dict[str, Any]:
    """Returns the options of a request in which the model is to call no tools. `in_form`: the request asks for a structured
    answer.

    Servers of Anthropic and Amazon need the tools whose calls are in the conversation. Amazon's can't be told to call none:
    there the gate refuses the calls that the model writes.
    """
    provider = "" if in_form else name_model(model).partition(":")[0]
    if options.get("tools") and provider == "anthropic":
        return {**options, "tool_choice": {"type": "none"}}
    if provider.startswith("amazon"):
        return dict(options)
    return {name: value for name, value in options.items() if name not in _OF_TOOLS}


class _WrittenMessage(NamedTuple):
    """A message, its fields when it was written, and its text."""

    message: BaseMessage
    fields: Mapping[str, Any]
    text: msgspec.Raw

    def is_of(self, message: BaseMessage) -> bool:
        """Returns whether the message is still the same as when it was written."""
        if self.message is not message or message.__pydantic_extra__:
            return False
        try:
            return self.fields == message.__dict__
        except Exception:  # noqa: BLE001 -- an application may keep anything in a message's fields
            return False


class WrittenMessages:
    """The newest conversation as JSON. A message that was in it before is not written again, unless it was changed."""

    def __init__(self) -> None:
        self._known: dict[int, _WrittenMessage] = {}
        """The written messages by `id()` of the message."""

    def __repr__(self) -> str:
        return f"<WrittenMessages {len(self._known)}>"

    def write(self, messages: Sequence[BaseMessage]) -> list[msgspec.Raw]:
        """Returns messages as JSON, without the fields that are not sent to a model: the size of a request counts as an upper
        bound of its tokens.
        """
        before, now = self._known, dict[int, _WrittenMessage]()
        for message in messages:
            known = before.get(id(message))
            now[id(message)] = (
                known if known is not None and known.is_of(message) else _write_message(message)
            )
        self._known = now
        return [now[id(message)].text for message in messages]


def _write_message(message: BaseMessage) -> _WrittenMessage:
    dumped = message_to_dict(message)
    fields = dumped["data"]
    dumped["data"] = {
        name: value
        for name, value in fields.items()
        if name == "content" or (name not in _NOT_SENT and value not in (None, "", [], {}))
    }
    try:
        text = to_canonical_text(dumped)
    except TypeError:  # an application may keep anything in a message's extra fields
        text = to_canonical_text(json.loads(json.dumps(dumped, default=str)))
    return _WrittenMessage(message, fields, msgspec.Raw(text.encode()))


def tell_notes(notes: Sequence[str]) -> list[BaseMessage]:
    """Returns the guards' advice as messages for the end of a request."""
    return [HumanMessage(word_note(note)) for note in notes]


def read_reply(reply: AIMessage | None, *, delivered: bool = False) -> ModelResult:
    """Returns a model's reply for the gate. `reply` is None if the answer came without a message.

    `delivered`: the reply's pieces were passed on as they came.
    """
    if reply is None:
        return ModelResult("", raw="null")
    calls = [(str(call["id"] or ""), call["name"], json.dumps(call["args"])) for call in reply.tool_calls]
    calls += [
        (str(call["id"] or ""), call["name"] or "", call["args"] or "") for call in reply.invalid_tool_calls
    ]
    return ModelResult(
        str(reply.text),
        calls,
        usage=read_usage(lambda: read_counts(reply.usage_metadata)),
        raw=json.dumps(message_to_dict(reply), default=str),
        delivered=delivered,
    )


_CACHE_WRITES = ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
"""Tokens that were written to a cache. Where Anthropic's model reports the times of life, the first count is zero."""


def read_counts(usage: UsageMetadata | None) -> Usage:
    """Returns the tokens that a model has reported."""
    if not usage:
        return NO_USAGE
    details = cast("Mapping[str, int | None]", usage.get("input_token_details") or {})
    return Usage(
        usage["input_tokens"],
        usage["output_tokens"],
        cache_read_tokens=details.get("cache_read") or 0,
        cache_write_tokens=add_counts(*[details.get(name) for name in _CACHE_WRITES]),
    )


def make_reply(settled: Settled) -> AIMessage:
    """Returns the recorded reply, or a guard's replacement."""
    if settled.raw is not None and settled.raw != "null":
        return cast("AIMessage", messages_from_dict([json.loads(settled.raw)])[0])
    if not settled.text.startswith("{"):
        return AIMessage(settled.text)
    return AIMessage(str(json.loads(settled.text).get("content") or ""))


# ---- tools


def read_tool_result(brought: Brought) -> Result:
    """Returns a tool's value for the gate. All that its text does not hold is kept beside the text, to restore the value."""
    if isinstance(brought, ToolMessage):
        plain = isinstance(brought.content, str) and brought.artifact is None
        raw = None if plain else _encode(brought)
        return make_tool_result(_read_content(brought), failed=brought.status == "error", raw=raw)
    said = [_read_content(each) for each in _list_messages(brought)]
    return make_tool_result("\n\n".join(said) or describe_way(brought), raw=_encode(brought) or _UNWRITTEN)


_UNWRITTEN = "null"
"""Recorded in place of a command that can't be written as JSON."""


def _read_content(message: BaseMessage) -> str:
    return message.content if isinstance(message.content, str) else json.dumps(message.content, default=str)


def _list_messages(brought: Any) -> list[ToolMessage]:
    """Returns the messages in a tool's value."""
    if isinstance(brought, ToolMessage):
        return [brought]
    if isinstance(brought, list | tuple):
        return [found for each in cast("Sequence[Any]", brought) for found in _list_messages(each)]
    if isinstance(brought, Command):
        return _list_messages(cast("Command[Any]", brought).update)
    if isinstance(brought, Mapping):
        return _list_messages(list(cast("Mapping[str, Any]", brought).values()))
    return []


def describe_way(brought: Any) -> str:
    """Returns in words what a command does."""
    commands = cast("list[Any]", brought if isinstance(brought, list) else [brought])
    goto = [way for each in commands if (way := getattr(each, "goto", None))]
    return f"The graph goes on at {goto!r}." if goto else "The state of the graph was updated."


def _encode(brought: Any) -> str | None:
    """Returns a tool's value as JSON text; None if a part of it is not a JSON value, a message or a command."""
    try:
        return json.dumps(_write(brought), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None


def _write(value: Any) -> Any:
    match value:
        case BaseMessage():
            return {_MESSAGE: message_to_dict(value)}
        case Send():
            return {_SEND: [value.node, _write(value.arg)]}
        case Command():
            command = cast("Command[Any]", value)
            fields = {
                "graph": command.graph,
                "update": _write(command.update),
                "resume": _write(command.resume),
                "goto": _write(command.goto),
            }
            return {"__command__": fields}
        case dict():
            return {_check_key(key): _write(each) for key, each in cast("dict[Any, Any]", value).items()}
        case list() | tuple():
            return [_write(each) for each in cast("Sequence[Any]", value)]
        case _:
            return value


def _check_key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{key!r} can't be the name of a JSON field: it is not a string")
    return key


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    if _MESSAGE in fields:
        return messages_from_dict([fields[_MESSAGE]])[0]
    if _SEND in fields:
        return Send(fields[_SEND][0], _read(fields[_SEND][1]))
    if "__command__" in fields:
        return Command(**{name: _read(each) for name, each in fields["__command__"].items()})
    return {name: _read(each) for name, each in fields.items()}


def make_tool_message(call: Mapping[str, Any], done: Performed) -> Brought:
    """Returns the tool's value with the guards' advice, or the recorded value, or the gate's answer in its place."""
    settled = done.settled
    brought = done.value
    if brought is None and settled.raw is not None and settled.raw != _UNWRITTEN:
        brought = _read(json.loads(settled.raw))
    if brought is not None:
        return _add_notes(brought, settled.notes, str(call["id"] or "")) if settled.notes else brought
    told, status = settled.told, "success" if settled.status in DONE else "error"
    if settled.raw == _UNWRITTEN:
        told = f"{told}\n\nError: this was done before, and the command that it returned can't be made again."
        status = "error"
    return ToolMessage(content=told, name=call["name"], tool_call_id=str(call["id"] or ""), status=status)


def _add_notes(brought: Any, notes: Sequence[str], call_id: str) -> Any:
    """Returns a tool's value with the guards' advice in the message that answers the call."""
    match brought:
        case ToolMessage() if str(brought.tool_call_id) == call_id:
            content: Any = brought.content
            told = (
                "\n\n".join((content, *notes))
                if isinstance(content, str)
                else [*content, *[{"type": "text", "text": note} for note in notes]]
            )
            return brought.model_copy(update={"content": told})
        case Command():
            command = cast("Command[Any]", brought)
            return replace(command, update=_add_notes(command.update, notes, call_id))
        case list():
            return [_add_notes(each, notes, call_id) for each in cast("list[Any]", brought)]
        case dict():
            update = cast("dict[Any, Any]", brought)
            return {name: _add_notes(each, notes, call_id) for name, each in update.items()}
        case _:
            return brought


# ---- conversations


def read_request(messages: Sequence[Any]) -> str:
    """Returns the newest text of a person in a conversation."""
    humans = [message for message in messages if isinstance(message, HumanMessage)]
    return str(humans[-1].text) if humans else ""


def read_answer(state: Mapping[str, Any]) -> str:
    """Returns the structured answer, or the text of the last message."""
    structured = state.get("structured_response")
    if structured is not None:
        dump = getattr(structured, "model_dump", None)
        return json.dumps(dump(mode="json") if callable(dump) else structured, default=str)
    messages = state["messages"]
    return str(messages[-1].text) if messages else ""


def list_said(messages: Sequence[Any]) -> list[list[Any]]:
    """Returns what a conversation says, without ids and times."""
    return [[message.type, message.content] for message in messages]
