"""OpenAI: chat messages, chat completions with their requests, and items and responses of the Responses API.

Other providers' requests with `messages`, and Anthropic's messages, have the same shape in the parts that are read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from seawall.audit.formats.conversations import (
    OWN_IDS,
    ConversationsReader,
    HeldConversation,
    find_conversation_id,
)
from seawall.audit.formats.format import Format
from seawall.audit.json_fields import Fields, get_fields, get_list, get_text, open_json
from seawall.audit.messages import is_item, is_message, read_messages, read_usage
from seawall.audit.recording import RecordedMessage

_REQUESTS = ("request", "body", "input", "inputs", "kwargs", "params", "payload", "request_body")
_RESPONSES = ("response", "output", "outputs", "completion", "result", "response_body")


def _list_boxes(row: Fields, names: tuple[str, ...]) -> Iterator[Fields]:
    """Yields the objects that may hold a request or a response: those under these names, and their `body`."""
    for name in names:
        found = get_fields(open_json(row.get(name)))
        if found:
            yield found
            yield get_fields(open_json(found.get("body")))


def find_asked(row: Fields, line: int) -> list[RecordedMessage]:
    """Returns the messages of a request, with what it tells the model beside them first."""
    for box in [row, *_list_boxes(row, _REQUESTS)]:
        listed = get_list(open_json(box.get("messages"))) or get_list(open_json(box.get("input_messages")))
        given = open_json(box.get("input"))
        if not listed and isinstance(given, list):
            listed = get_list(given)
        messages = read_messages(listed, line)
        if not messages and isinstance(given, str) and given:
            messages = [RecordedMessage(role="user", text=given, line=line)]
        if messages:
            system = box.get("system", box.get("instructions"))
            told = read_messages([{"role": "system", "content": system}], line) if system else []
            return [*told, *messages]
    return []


def _find_replied(row: Fields, line: int) -> tuple[list[RecordedMessage], str]:
    """Returns the messages of a response, and the response's id."""
    for box in [*_list_boxes(row, _RESPONSES), row]:
        choices = get_list(box, "choices")
        listed = get_list(box, "output")
        if choices:
            messages = read_messages(choices[:1], line)
        elif listed:
            messages = read_messages(listed, line)
        elif box is not row and is_message(box):
            messages = read_messages([box], line)
        else:
            continue
        return _add_usage(messages, box, row), get_text(box, "id")
    return [], ""


def _add_usage(messages: list[RecordedMessage], box: Fields, row: Fields) -> list[RecordedMessage]:
    """Returns the messages, with the response's model and tokens at the first reply."""
    for at, message in enumerate(messages):
        if message.role == "assistant":
            usage = message.usage or read_usage(box) or read_usage(row)
            model = message.model or get_text(box, "model") or get_text(row, "model")
            messages[at] = replace(message, usage=usage, model=model)
            break
    return messages


def find_exchange(value: Any, line: int) -> HeldConversation | None:
    """Returns the conversation in a list of messages, a dict with `messages`, a response, or a request with its response."""
    if isinstance(value, list):
        return HeldConversation(messages=read_messages(get_list(value), line))
    row = get_fields(value)
    asked = find_asked(row, line)
    replied, response = _find_replied(row, line)
    if not asked and not replied:
        return None
    follows = ""
    if replied:
        boxes = [row, *_list_boxes(row, _RESPONSES), *_list_boxes(row, _REQUESTS)]
        follows = next(filter(None, [get_text(box, "previous_response_id") for box in boxes]), "")
    return HeldConversation(
        messages=[*asked, *replied],
        conversation=find_conversation_id(row),
        own="" if replied else get_text(row, *OWN_IDS),
        follows=follows,
        response=response if replied else "",
    )


def has_messages(value: Any) -> bool:
    """Returns whether this is a list that begins with a message, or with an item of the Responses API."""
    return bool(value) and is_message(get_list(value)[0] if isinstance(value, list) else None)


def _holds_items(value: Any) -> bool:
    return any(is_item(get_fields(each)) for each in get_list(value))


def _recognise_responses(value: Any) -> bool:
    if isinstance(value, list):
        return has_messages(value) and _holds_items(value)
    row = get_fields(value)
    if is_item(row) and "role" not in row:
        return True
    boxes = [row, *_list_boxes(row, _RESPONSES)]
    if any(get_text(box, "object") == "response" or has_messages(box.get("output")) for box in boxes):
        return True
    return any(has_messages(open_json(box.get("input"))) for box in [row, *_list_boxes(row, _REQUESTS)])


def _recognise_chat(value: Any) -> bool:
    if isinstance(value, list):
        return has_messages(value)
    row = get_fields(value)
    if is_message(row):
        return True
    if any(
        is_message(choice)
        for box in [row, *_list_boxes(row, _RESPONSES)]
        for choice in get_list(box, "choices")
    ):
        return True
    return any(has_messages(open_json(box.get("messages"))) for box in [row, *_list_boxes(row, _REQUESTS)])


CHAT = Format(
    "OpenAI chat",
    "messages with `role`: a list, `messages`, or a completion with `choices`, alone or beside its request",
    "a list or object; objects with one `conversation_id`, or each of which goes on from the one before",
    _recognise_chat,
    lambda file: ConversationsReader(file, "OpenAI chat", find_exchange),
)
RESPONSES = Format(
    "OpenAI responses",
    "items (`function_call`, `function_call_output`, `message`, …): a list, `input` with `output`, or a `response`",
    "a list or object; responses of which each names the one before as `previous_response_id`, or repeats it",
    _recognise_responses,
    lambda file: ConversationsReader(file, "OpenAI responses", find_exchange),
)
