"""Reads one message of any provider's form: OpenAI chat messages and Responses items, Anthropic blocks, LangChain, GenAI parts.

The forms differ in names and nesting, but hold the same things: a role, a text, calls that are asked for, and results. So one
reader reads them all, and the formats only find the messages of a conversation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from seawall.audit.json_fields import (
    Fields,
    format_text,
    get_count,
    get_fields,
    get_list,
    get_text,
    normalise_arguments,
    open_json,
)
from seawall.audit.recording import AskedCall, MessageRole, RecordedMessage
from seawall.core.canonical import digest_of
from seawall.models.protocol import Usage

ROLES: dict[str, MessageRole] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""The role of a message by its `role` or, for LangChain's messages, by its `type`."""
LANGCHAIN_TYPES = frozenset({"human", "ai", "system", "tool", "function", "AIMessageChunk"})
_CLASSES = {
    "HumanMessage": "human",
    "AIMessage": "ai",
    "AIMessageChunk": "ai",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "function",
}
"""The role of a message by the class name in LangChain's serialisation."""
CALL_ITEMS = {
    "function_call": "",
    "custom_tool_call": "",
    "mcp_call": "",
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "computer_call": "computer",
}
"""Items of the Responses API that are calls, with the tool's name for items that do not hold it."""
RESULT_ITEMS = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
        "computer_call_output",
    }
)
OTHER_ITEMS = frozenset(
    {
        "reasoning",
        "item_reference",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "image_generation_call",
        "tool_search_call",
        "tool_search_output",
        "additional_tools",
        "compaction",
        "compaction_trigger",
    }
)
"""Items of the Responses API that hold no message, call or result."""
_CALL_BLOCKS = frozenset({"tool_use", "tool_call", "server_tool_use", "mcp_tool_use", "tool-call"})
_RESULT_BLOCKS = frozenset({"tool_result", "tool_call_response", "tool-result"})
_THOUGHT_BLOCKS = frozenset({"thinking", "redacted_thinking", "reasoning"})
_SILENT_BLOCKS = _THOUGHT_BLOCKS | {"image", "image_url", "input_image", "uri", "blob"}
_TEXT_BLOCKS = frozenset({"text", "input_text", "output_text", "text-plain", "refusal"})
_MEDIA_BLOCKS = frozenset(
    {
        "image",
        "image_url",
        "input_image",
        "audio",
        "input_audio",
        "video",
        "file",
        "input_file",
        "media",
        "uri",
        "blob",
    }
)
"""Parts of a result that hold a picture, a sound or a file."""
_SAID = ("text", "content", "refusal")
"""Fields in which a part holds its text."""
MAX_MEDIA_CHARS = 1_000
"""Characters of JSON of a picture, sound or file above which its digest stands for it. A URL is shorter, most contents longer."""
_NAMED_PARTS = {
    "text": "text",
    "functionCall": "tool_call",
    "function_call": "tool_call",
    "functionResponse": "tool_call_response",
    "function_response": "tool_call_response",
    "inlineData": "blob",
    "inline_data": "blob",
    "fileData": "uri",
    "file_data": "uri",
    "toolUse": "tool_use",
    "toolResult": "tool_result",
    "image": "image",
    "reasoningContent": "reasoning",
}
"""The kind of a part that holds one named field instead of a `type`, by the field: Google's parts and those of Amazon Bedrock."""
_BESIDE_PARTS = frozenset({"thought", "thoughtSignature", "thought_signature"})
"""Fields that Google's parts have beside the named one."""
_ITEM_ARGUMENTS = ("arguments", "input", "action", "actions", "operation", "queries", "code")
"""Fields in which an item holds the arguments of its call."""
_OUTPUTS = ("output", "result", "results", "outputs", "error")
"""Fields in which an item of a provider's tool holds its result."""


def read_messages(values: Iterable[Any], line: int = 0) -> list[RecordedMessage]:
    """Returns the messages of a list, in their order. Other values are left out."""
    found = [message for value in values for message in read_message(value, line)]
    return _join_items(found)


def is_message(value: Any) -> bool:
    """Returns whether this looks like a message, or an item of the Responses API."""
    fields = unwrap_message(value)
    if get_text(fields, "role") in ROLES and ("content" in fields or "parts" in fields or _asks(fields)):
        return True
    kind = get_text(fields, "type")
    if kind in LANGCHAIN_TYPES:
        return "content" in fields
    return is_item(fields)


def is_item(fields: Fields) -> bool:
    """Returns whether this looks like an item of the Responses API other than a message."""
    kind = get_text(fields, "type")
    if kind in RESULT_ITEMS:
        return "call_id" in fields or "output" in fields
    return kind in CALL_ITEMS or (kind in OTHER_ITEMS and ("id" in fields or "_" in kind))


def unwrap_message(value: Any) -> Fields:
    """Returns the fields of a message, unwrapped from LangChain's serialisation and from an object with a `message`."""
    fields = get_fields(value)
    if fields.get("lc") is not None and isinstance(fields.get("kwargs"), dict):
        names = get_list(fields, "id")
        inner = get_fields(fields, "kwargs")
        kind = _CLASSES.get(str(names[-1])) if names else None
        return inner if kind is None else {**inner, "type": kind}
    if get_text(fields, "type") in LANGCHAIN_TYPES and "content" not in fields:
        inner = get_fields(fields, "data")
        return {**inner, "type": fields["type"]} if "content" in inner else fields
    inner = get_fields(fields, "message")
    if inner and "content" in inner and "role" not in fields and "content" not in fields:
        return inner  # `{"message": {"role": …}}`, in choices and in events of spans
    return fields


def _asks(fields: Fields) -> bool:
    return isinstance(fields.get("tool_calls"), list) or isinstance(fields.get("function_call"), dict)


def read_message(value: Any, line: int = 0) -> Iterator[RecordedMessage]:
    """Yields the message in a value; several messages if it holds a user's text and results; none if it is not a message."""
    fields = unwrap_message(value)
    kind = get_text(fields, "type")
    if kind in CALL_ITEMS:
        yield from _read_call_item(fields, kind, line)
        return
    if kind in RESULT_ITEMS:
        yield RecordedMessage(
            role="tool",
            text=_read_result(fields.get("output")),
            call_id=get_text(fields, "call_id", "id"),
            tool=get_text(fields, "name"),
            failed=get_text(fields, "status") in ("failed", "incomplete"),
            line=line,
        )
        return
    role = ROLES.get(get_text(fields, "role")) or (ROLES.get(kind) if kind in LANGCHAIN_TYPES else None)
    if role is None:
        return
    content = _convert_parts(fields.get("content", fields.get("parts")))
    if role == "tool" and not _has_results(content):
        yield RecordedMessage(
            role="tool",
            text=_read_result(content),
            call_id=get_text(
                fields, "tool_call_id", "call_id", *(() if kind in LANGCHAIN_TYPES else ("id",))
            ),
            tool=get_text(fields, "name", "tool_name"),
            failed=get_text(fields, "status") == "error" or fields.get("is_error") is True,
            line=line,
        )
        return
    text = _read_text(content)
    if role == "assistant":
        calls = _read_calls(fields, content)
        usage, model = read_usage(fields), _read_model(fields)
        yield RecordedMessage(role=role, text=text, calls=calls, line=line, usage=usage, model=model)
    yield from _read_results(content, line)
    if role not in ("assistant", "tool") and (text or not _has_results(content)):
        yield RecordedMessage(role=role, text=text, line=line)


def _convert_parts(content: Any) -> Any:
    """Returns a message's content, in which parts that hold one named field have a `type`."""
    return [_convert_part(part) for part in get_list(content)] if isinstance(content, list) else content


def _convert_part(part: Any) -> Any:
    fields = get_fields(part)
    name = next((each for each in _NAMED_PARTS if each in fields), "")
    if not name or not fields.keys() <= {name, *_BESIDE_PARTS}:
        return part
    inner = get_fields(fields, name) or {"text": fields[name]}
    kind = "reasoning" if fields.get("thought") is True else _NAMED_PARTS[name]
    if kind == "tool_result":
        results = [_convert_part(each) for each in get_list(inner, "content")]
        return {**inner, "content": results, "is_error": inner.get("status") == "error", "type": kind}
    return {**inner, "type": kind}


def _has_results(content: Any) -> bool:
    return any(_is_result(get_text(block, "type")) for block in get_list(content))


def _is_result(kind: str) -> bool:
    # Anthropic's server tools have a kind of result each: `web_search_tool_result`, `bash_code_execution_tool_result`
    return kind in _RESULT_BLOCKS or kind.endswith("_tool_result")


def _read_text(content: Any) -> str:
    """Returns the text of a message's content: a text, a list of parts, or any JSON."""
    if not isinstance(content, list):
        return format_text(content)
    blocks = get_list(content)
    if not all(isinstance(block, str) or get_text(block, "type") for block in blocks):
        return format_text(blocks)
    texts: list[str] = []
    for block in blocks:
        kind = get_text(block, "type")
        if isinstance(block, str):
            texts.append(block)
        elif kind in _CALL_BLOCKS or kind in _SILENT_BLOCKS or _is_result(kind):
            continue
        else:
            fields = get_fields(block)
            said = next((fields[name] for name in _SAID if name in fields), "")
            texts.append(format_text(said))
    return "\n".join(filter(None, texts))


def _read_result(content: Any) -> str:
    """Returns a tool's result as a text that differs wherever results do: the texts of a message's parts, each picture, sound or
    file as JSON or, if that is long, as its digest, and any other JSON as it is.
    """
    blocks = get_list(content)
    if not all(isinstance(block, str) or _is_part(get_fields(block)) for block in blocks):
        return format_text(content)
    told = [_tell_media(block) if get_text(block, "type") in _MEDIA_BLOCKS else block for block in blocks]
    return _read_text(told if blocks else content)


def _is_part(fields: Fields) -> bool:
    kind = get_text(fields, "type")
    says = kind in _TEXT_BLOCKS and any(name in fields for name in _SAID)
    return says or kind in _MEDIA_BLOCKS or kind in _THOUGHT_BLOCKS


def _tell_media(block: Any) -> str:
    # the mark up to which a provider caches a request moves from one request to the next
    told = format_text({name: value for name, value in get_fields(block).items() if name != "cache_control"})
    kind = get_text(block, "type")
    return told if len(told) <= MAX_MEDIA_CHARS else f"[{kind}, {len(told):,} characters, {digest_of(told)}]"


def _read_results(content: Any, line: int) -> Iterator[RecordedMessage]:
    for block in get_list(content):
        if not _is_result(get_text(block, "type")):
            continue
        fields = get_fields(block)
        result = next(
            (fields[name] for name in ("content", "response", "result", "output") if name in fields), ""
        )
        kind = get_text(result, "type")
        failed = kind.startswith("error-") or kind.endswith("_tool_result_error")
        if get_fields(result).keys() == {"type", "value"}:
            result = get_fields(result)["value"]  # as the AI SDK of JavaScript says what kind of value it is
        yield RecordedMessage(
            role="tool",
            text=_read_result(result),
            call_id=get_text(
                fields, "tool_use_id", "toolUseId", "toolCallId", "id", "tool_call_id", "call_id"
            ),
            tool=get_text(fields, "name", "toolName"),
            failed=failed or fields.get("is_error") is True or fields.get("isError") is True,
            line=line,
        )


def _read_calls(fields: Fields, content: Any) -> tuple[AskedCall, ...]:
    """Returns the calls of an assistant's message. A call that the message holds in two fields is read once."""
    listed = get_list(fields, "tool_calls") or get_list(fields.get("additional_kwargs"), "tool_calls")
    calls = [_read_call(each) for each in [*listed, *get_list(fields, "invalid_tool_calls")]]
    blocks = [block for block in get_list(content) if get_text(block, "type") in _CALL_BLOCKS]
    if not calls:
        calls = [_read_call(block) for block in blocks]
    old = get_fields(fields, "function_call") or get_fields(fields.get("additional_kwargs"), "function_call")
    if not calls and old:
        calls = [_read_call(old)]
    return tuple(call for call in calls if call.tool)


def _read_call(value: Any) -> AskedCall:
    fields = get_fields(value)
    outer = get_fields(fields, "tool_call") or fields
    inner = get_fields(outer, "function", "custom") or outer
    names = ("arguments", "args", "input")
    arguments = next((inner[name] for name in names if name in inner), None)
    return AskedCall(
        get_text(outer, "id", "call_id", "tool_call_id", "toolUseId", "toolCallId"),
        get_text(inner, "name", "toolName"),
        normalise_arguments(arguments),
    )


def _read_call_item(fields: Fields, kind: str, line: int) -> Iterator[RecordedMessage]:
    arguments = next((fields[name] for name in _ITEM_ARGUMENTS if fields.get(name) is not None), None)
    call = AskedCall(
        get_text(fields, "call_id", "id"),
        get_text(fields, "name") or CALL_ITEMS[kind] or kind,
        normalise_arguments(arguments),
    )
    yield RecordedMessage(role="assistant", calls=(call,), line=line)
    result = next((fields[name] for name in _OUTPUTS if fields.get(name) is not None), None)
    if result is not None:
        failed = fields.get("error") is not None
        yield RecordedMessage(
            role="tool", text=_read_result(result), call_id=call.id, failed=failed, line=line
        )


def _join_items(messages: list[RecordedMessage]) -> list[RecordedMessage]:
    """Returns messages in which consecutive items of an assistant are joined to one, because the Responses API lists the
    parts of a reply one by one.
    """
    joined: list[RecordedMessage] = []
    for message in messages:
        before = joined[-1] if joined else None
        if (
            before is None
            or not (before.role == message.role == "assistant")
            or (before.text and message.text)
        ):
            joined.append(message)
            continue
        usage = message.usage or before.usage
        joined[-1] = replace(
            before,
            text=before.text or message.text,
            calls=before.calls + message.calls,
            usage=usage,
            model=before.model or message.model,
        )
    return joined


def read_usage(fields: Fields) -> Usage | None:
    """Returns the tokens that a message, a response or a run reports; None if it reports none."""
    metadata = get_fields(fields, "response_metadata", "llm_output")
    given = (
        get_fields(fields, "usage_metadata", "usage", "token_usage")
        or get_fields(metadata, "token_usage", "usage", "usage_metadata")
        or get_fields(fields.get("metadata"), "usage")
    )
    read = get_count(given, "cache_read_input_tokens")
    written = get_count(given, "cache_creation_input_tokens")
    sent = get_count(given, "input_tokens", "prompt_tokens", "inputTokens", "prompt_token_count")
    replied = get_count(given, "output_tokens", "completion_tokens", "outputTokens", "candidates_token_count")
    if not (sent or replied or read or written):
        return None
    details = get_fields(given, "input_token_details", "prompt_tokens_details", "input_tokens_details")
    # Anthropic counts cached tokens separately; all others include them in the input
    total = sent + read + written
    read = read or get_count(details, "cache_read", "cached_tokens")
    written = written or get_count(details, "cache_creation", "cache_write_tokens")
    return Usage(total, replied, cache_read_tokens=read, cache_write_tokens=written)


def _read_model(fields: Fields) -> str:
    metadata = get_fields(fields, "response_metadata")
    return get_text(fields, "model") or get_text(metadata, "model_name", "model", "model_id")


def read_content(value: Any) -> str:
    """Returns the text of the result of a tool: a message, a text, or any JSON, also JSON as a text."""
    value = open_json(value)
    message = next(read_message(value), None) if is_message(value) else None
    # a result may have a `role` or a `type` of its own, such as a user in a list of members
    return message.text if message is not None and message.role == "tool" else _read_result(value)
