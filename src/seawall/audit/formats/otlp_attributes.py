"""Finds a model's input and reply, and a tool's call, in the attributes and events of a span.

Four conventions are known: OpenTelemetry's for GenAI, with its older events and its newer attributes; OpenInference's
(`llm.input_messages.0.message.role`); OpenLLMetry's (`gen_ai.prompt.0.role`, `traceloop.*`); and that of the AI SDK of
JavaScript (`ai.prompt.messages`, `ai.toolCall.*`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seawall.audit.gathering import SpanCall
from seawall.audit.json_fields import (
    Fields,
    get_count,
    get_fields,
    get_list,
    get_text,
    normalise_arguments,
    open_json,
)
from seawall.audit.messages import read_content, read_messages
from seawall.audit.recording import RecordedMessage
from seawall.audit.spans import SpanKind
from seawall.models.protocol import Usage

Messages = list[RecordedMessage]

MAX_DEPTH = 50
"""Levels of an attribute's value that are read. No convention nests deeper."""
_OPERATIONS: dict[str, SpanKind] = {
    "chat": "model",
    "text_completion": "model",
    "generate_content": "model",
    "completion": "model",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "llm": "model",
    "tool": "tool",
    "retriever": "tool",
    "agent": "agent",
    "embeddings": "other",
    "embedding": "other",
    "ai.generatetext.dogenerate": "model",
    "ai.streamtext.dostream": "model",
    "ai.generateobject.dogenerate": "model",
    "ai.streamobject.dostream": "model",
    "ai.toolcall": "tool",
    "ai.embed.doembed": "other",
    "ai.embedmany.doembed": "other",
}
"""The kind of a span by `ai.operationId`, `gen_ai.operation.name`, `openinference.span.kind` or `traceloop.span.kind`, in lower case."""
_INPUTS = ("gen_ai.input.messages", "llm.input_messages", "gen_ai.prompt", "ai.prompt.messages")
_OUTPUTS = ("gen_ai.output.messages", "llm.output_messages", "gen_ai.completion")
_WHOLE = ("pydantic_ai.all_messages", "all_messages_events")
"""Attributes of an agent's span that hold the whole conversation."""
_ARGUMENTS = (
    "gen_ai.tool.call.arguments",
    "tool_arguments",
    "ai.toolCall.args",
    "input.value",
    "tool.parameters",  # for some frameworks this is the schema of the tool
    "traceloop.entity.input",
)
_RESULTS = (
    "gen_ai.tool.call.result",
    "tool_response",
    "ai.toolCall.result",
    "output.value",
    "traceloop.entity.output",
)


def read_all(row: Fields) -> Fields:
    """Returns the attributes of a span, a log record or an event by their names."""
    given = row.get("attributes")
    if isinstance(given, dict):
        return {name: _read_any(value, 0) for name, value in get_fields(given).items()}
    return {get_text(each, "key"): _read_any(get_fields(each).get("value"), 0) for each in get_list(given)}


def _read_any(value: Any, depth: int) -> Any:
    """Returns an OTLP value as JSON; any other value as it is."""
    fields = get_fields(value)
    if len(fields) != 1 or depth > MAX_DEPTH:
        return value
    ((kind, inner),) = fields.items()
    if kind in ("stringValue", "boolValue", "doubleValue", "string_value", "bool_value", "double_value"):
        return inner
    if kind in ("intValue", "int_value"):
        return get_count(fields, kind)
    if kind in ("arrayValue", "array_value"):
        return [_read_any(each, depth + 1) for each in get_list(inner, "values")]
    if kind in ("kvlistValue", "kvlist_value"):
        pairs = get_list(inner, "values")
        return {get_text(each, "key"): _read_any(get_fields(each).get("value"), depth + 1) for each in pairs}
    return value


def find_kind(given: Fields) -> SpanKind:
    """Returns the kind of a span."""
    for name in (
        "ai.operationId",
        "gen_ai.operation.name",
        "openinference.span.kind",
        "traceloop.span.kind",
        "llm.request.type",
    ):
        kind = _OPERATIONS.get(str(given.get(name)).lower())
        if kind is not None:
            return kind
    if given.get("gen_ai.tool.name") or given.get("gen_ai.tool.call.id"):
        return "tool"
    asks = any(name in given for name in ("gen_ai.request.model", "llm.model_name", *_INPUTS))
    return "model" if asks or _collect(given, "gen_ai.prompt") is not None else "other"


def find_agent(given: Fields, name: str, kind: SpanKind) -> str:
    """Returns the agent that a span names. For an agent's span that names none, it returns the span's name."""
    named = get_text(given, "gen_ai.agent.name", "agent.name", "agent_name")
    if named or kind != "agent":
        return named
    return get_text(given, "traceloop.entity.name") or name


def find_model(given: Fields) -> str:
    """Returns the model that was asked."""
    return get_text(given, "gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "ai.model.id")


def read_tokens(given: Fields) -> Usage | None:
    """Returns the tokens that the provider counted; None if the span does not hold them."""
    names = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
    sent = get_count(
        given, *names, "llm.usage.prompt_tokens", "ai.usage.inputTokens", "ai.usage.promptTokens"
    )
    names = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion")
    replied = get_count(
        given, *names, "llm.usage.completion_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens"
    )
    names = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")
    read = get_count(given, *names, "llm.token_count.prompt_details.cache_read")
    names = ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens")
    written = get_count(given, *names, "llm.token_count.prompt_details.cache_write")
    if not (sent or replied):
        return None
    return Usage(max(sent, read + written), replied, cache_read_tokens=read, cache_write_tokens=written)


# ---- messages


def read_conversation(given: Fields, line: int) -> tuple[Messages, Messages]:
    """Returns the messages that a model was sent, and its reply, from a span's attributes."""
    asked = _read_first(given, (*_INPUTS, *_WHOLE), line)
    replied = _read_first(given, _OUTPUTS, line) or _read_reply(given, line)
    if not asked and not replied:
        # Logfire and older versions of Pydantic AI write them in this form
        events = get_list(open_json(given.get("events")))
        asked, replied = read_events(
            [{"name": get_text(each, "event.name"), "body": each} for each in events], line
        )
    told = open_json(given.get("gen_ai.system_instructions"))
    if told and asked and asked[0].role != "system":
        asked = [*read_messages([{"role": "system", "content": told}], line), *asked]
    return asked, replied


def _read_reply(given: Fields, line: int) -> Messages:
    """Returns the reply in the attributes of the AI SDK of JavaScript."""
    text, calls = given.get("ai.response.text"), get_list(open_json(given.get("ai.response.toolCalls")))
    if not (text or calls):
        return []
    return read_messages([{"role": "assistant", "content": text, "tool_calls": calls}], line)


def _read_first(given: Fields, names: Sequence[str], line: int) -> Messages:
    for name in names:
        messages = _read_attribute(given, name, line)
        if messages:
            return messages
    return []


def _read_attribute(given: Fields, name: str, line: int) -> Messages:
    found: Any = open_json(given.get(name))
    if not isinstance(found, list):
        found = _collect(given, name)
    return _read_converted(_list_numbered(found), line)


def _place(key: str) -> tuple[int, str]:
    return (int(key) if key.isdecimal() and len(key) < 10 else -1, key)


def _collect(given: Fields, name: str) -> Any:
    """Returns the value of an attribute that is spread over several attributes with dotted names, or nested in objects; None if
    there is none.
    """
    tree: Fields = {}
    for key, value in given.items():
        if key.startswith(f"{name}."):
            _put(tree, key[len(name) + 1 :].split(".")[:MAX_DEPTH], value)
    if tree:
        return tree
    inner: Any = given
    for part in name.split("."):
        inner = get_fields(inner).get(part)
    return inner


def _put(tree: Fields, path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        inner = tree.get(part)
        if not isinstance(inner, dict):
            inner = tree[part] = {}
        tree = get_fields(inner)
    tree[path[-1]] = value


def _convert_message(value: Any) -> Any:
    """Returns a message in which objects with numbers as keys are lists, and objects that only wrap a message are unwrapped."""
    fields = get_fields(value)
    fields = get_fields(fields, "message") or fields
    if not fields:
        return value
    calls = _list_numbered(fields.get("tool_calls"))
    parts = _list_numbered(fields.get("contents"))
    converted = dict(fields)
    if calls:
        converted["tool_calls"] = calls
    if parts:
        converted.setdefault("content", [get_fields(part, "message_content") or part for part in parts])
    if not any(name in converted for name in ("content", "parts")):
        converted["content"] = None
    opened = get_list(open_json(converted.get("content")))
    if opened and all("type" in get_fields(part) for part in opened):
        converted["content"] = opened
    return converted


def _list_numbered(value: Any) -> list[Any]:
    value = open_json(value)
    if isinstance(value, dict):
        return [value[key] for key in sorted(get_fields(value), key=_place)]
    return get_list(value)


def read_events(events: Sequence[Any], line: int) -> tuple[Messages, Messages]:
    """Returns the messages that a model was sent, and its reply, from the events of its span."""
    asked: list[Any] = []
    replied: list[Any] = []
    for event in events:
        name = get_text(event, "name")
        given = read_all(get_fields(event))
        if name == "gen_ai.client.inference.operation.details":
            sent, said = read_conversation(given, line)
            return sent, said
        if name == "gen_ai.content.prompt":
            asked += get_list(open_json(given.get("gen_ai.prompt")))
        elif name == "gen_ai.content.completion":
            replied += get_list(open_json(given.get("gen_ai.completion")))
        elif name.startswith("gen_ai."):
            body = {**given, **_read_body(event, given)}
            role = name.split(".")[1]
            if role == "choice":
                inner = get_fields(open_json(body.get("message"))) or body
                replied.append({**inner, "role": "assistant"})
            elif name.endswith(".message"):
                asked.append({**body, "role": role})
    return _read_converted(asked, line), _read_converted(replied, line)


def _read_converted(values: Sequence[Any], line: int) -> Messages:
    return read_messages([_convert_message(each) for each in values], line)


def _read_body(event: Any, given: Fields) -> Fields:
    body = get_fields(open_json(_read_any(get_fields(event).get("body"), 0)))
    return body or get_fields(open_json(given.get("gen_ai.event.content")))


# ---- tools


def find_exception(events: Sequence[Any]) -> str:
    """Returns the message of the exception that a span has recorded; "" if there is none."""
    for event in events:
        if get_text(event, "name") == "exception":
            given = read_all(get_fields(event))
            return get_text(given, "exception.message", "exception.type")
    return ""


def read_call(given: Fields, name: str, error: str, failed: bool, line: int) -> SpanCall:
    """Returns the call of a tool's span. `error` is the span's text on its failure."""
    tool = get_text(
        given, "gen_ai.tool.name", "tool.name", "tool_name", "ai.toolCall.name", "traceloop.entity.name"
    )
    arguments = next((given[each] for each in _ARGUMENTS if given.get(each) is not None), None)
    result = next((given[each] for each in _RESULTS if given.get(each) is not None), None)
    opened, output = open_json(arguments), open_json(result)
    if arguments is not None and arguments == given.get(_ARGUMENTS[-1]):
        # OpenLLMetry wraps the arguments in an object with more fields
        opened = get_fields(opened, "inputs", "kwargs") or opened
    if result is not None and result == given.get(_RESULTS[-1]) and "output" in get_fields(output):
        output = get_fields(output)["output"]
    text = None if result is None else read_content(output)
    return SpanCall(
        tool=tool or name.removeprefix("execute_tool").strip() or "tool",
        call_id=get_text(given, "gen_ai.tool.call.id", "tool_call.id", "tool.id", "ai.toolCall.id"),
        arguments=None if arguments is None else normalise_arguments(opened),
        result=text or error or text,
        failed=failed,
        line=line,
    )
