"""Each protocol: the same reply, streamed and not streamed, of servers that leave things out or write them in another way."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from models.test_received import ask, says, without
from models.wires import WIRES, Event, Wire
from seawall.models.protocol import Assistant, ModelReply, ToolCall, Usage
from seawall.testing.wire import Raw

CHAT, RESPONSES, ANTHROPIC, GEMINI = WIRES


def changed(value: Any, change: Callable[[str, Any], Any]) -> Any:
    """Returns a copy of a JSON value in which `change` was applied to each field."""
    if isinstance(value, dict):
        fields: dict[str, Any] = value
        pairs = ((key, change(key, changed(each, change))) for key, each in fields.items())
        return {key: each for key, each in pairs if each is not ...}
    if isinstance(value, list):
        items: list[Any] = value
        return [changed(each, change) for each in items]
    return value


def drop(*names: str) -> Callable[[str, Any], Any]:
    return lambda key, value: ... if key in names else value


def as_floats(key: str, value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def set_to(new: Any, *names: str) -> Callable[[str, Any], Any]:
    return lambda key, value: new if key in names else value


EVERYWHERE: dict[str, Callable[[str, Any], Any]] = {
    "as they should be": lambda _, value: value,
    "floats for integers": as_floats,
    "no names of models and replies": drop("model", "modelVersion", "responseId", "created", "created_at"),
    "null for names of models": set_to(None, "model", "modelVersion", "responseId", "created", "created_at"),
    "no role and object": drop("role", "object"),
    "unknown fields": lambda key, value: (
        {**value, "unheard_of": [1]} if key in ("usage", "message") else value
    ),
    "no sequence numbers": drop("sequence_number", "logprobs", "annotations", "tool_choice", "tools"),
    "no indexes": drop("content_index", "stop_sequence"),
    "no item ids": drop("item_id"),
}


@pytest.mark.parametrize("change", EVERYWHERE.values(), ids=EVERYWHERE)
@pytest.mark.parametrize("wire", WIRES, ids=repr)
def test_each_protocol_reads_the_same_from_odd_servers(wire: Wire, change: Callable[[str, Any], Any]) -> None:
    def answer(streaming: bool) -> Raw:
        if streaming:
            return wire.streamed([(name, changed(data, change)) for name, data in wire.events])
        return wire.reply(changed(wire.whole, change))

    whole, streamed = (ask(wire.model, wire.path, answer, streaming=each) for each in (False, True))

    expected = says(("call_1", "find_order", '{"order_id":"1042"}'), text="Let me look.")
    assert compact(whole) == ModelReply(message=expected, usage=Usage(7, 5), finish="tool_calls")
    assert compact(streamed) == compact(whole)


@pytest.mark.parametrize("wire", WIRES, ids=repr)
def test_each_protocol_takes_a_whole_reply_for_a_stream_and_events_without_names(wire: Wire) -> None:
    bare = [(None, data) for _, data in wire.events]
    named = [(name, without(data, "type") if name else data) for name, data in wire.events]

    whole = ask(wire.model, wire.path, lambda _: wire.reply(wire.whole), streaming=False)
    for raw in (wire.reply(wire.whole), wire.streamed(bare), wire.streamed(named)):
        assert compact(ask(wire.model, wire.path, lambda _, raw=raw: raw, streaming=True)) == compact(whole)


@pytest.mark.parametrize("arguments", [{"order_id": "1042"}, '{"order_id":"1042"}', None, ""], ids=repr)
@pytest.mark.parametrize("wire", WIRES, ids=repr)
def test_arguments_of_each_protocol_are_text_or_an_object(wire: Wire, arguments: Any) -> None:
    change = set_to(arguments, "arguments", "input", "args")
    whole = ask(wire.model, wire.path, lambda _: wire.reply(changed(wire.whole, change)), streaming=False)

    expected = '{"order_id":"1042"}' if arguments else "{}"
    assert [one.arguments for one in compact(whole).message.calls] == [expected]
    if wire.model.startswith("openai:") or wire.model.startswith("google"):
        return  # pieces of a chat call are text, and one of Gemini is the whole

    def is_piece(data: dict[str, Any]) -> bool:
        kind = str(data.get("type"))
        return "arguments." in kind or "partial_json" in str(data.get("delta"))

    events = [(name, changed(data, change)) for name, data in wire.events if not is_piece(data)]
    streamed = ask(wire.model, wire.path, lambda _: wire.streamed(events), streaming=True)
    assert compact(streamed) == compact(whole)


@pytest.mark.parametrize("lost", [None, "", ...], ids=repr)
@pytest.mark.parametrize("wire", WIRES, ids=repr)
def test_a_call_without_an_id_gets_one(wire: Wire, lost: Any) -> None:
    def change(key: str, value: Any) -> Any:
        return lost if value == "call_1" or key == "call_id" else value

    def answer(streaming: bool) -> Raw:
        if streaming:
            return wire.streamed([(name, changed(data, change)) for name, data in wire.events])
        return wire.reply(changed(wire.whole, change))

    whole, streamed = (ask(wire.model, wire.path, answer, streaming=each) for each in (False, True))

    assert compact(streamed) == compact(whole)
    assert [bool(one.id) for one in whole.message.calls] == [True]


def compact(reply: ModelReply) -> ModelReply:
    """Returns the reply with compact arguments: some protocols have an object, and no text to keep."""
    calls = tuple(
        ToolCall(one.id, one.name, json.dumps(json.loads(one.arguments), separators=(",", ":")))
        for one in reply.message.calls
    )
    return ModelReply(message=Assistant(reply.message.content, calls), usage=reply.usage, finish=reply.finish)


def without_events(*endings: str) -> Callable[[Sequence[Event]], list[Event]]:
    return lambda events: [each for each in events if not str(each[0]).endswith(endings)]


def in_each(change: Callable[[str, Any], Any]) -> Callable[[Sequence[Event]], list[Event]]:
    return lambda events: [(name, changed(data, change)) for name, data in events]


def without_last_output(events: Sequence[Event]) -> list[Event]:
    *first, (name, last) = events
    return [*first, (name, {**last, "response": {**last["response"], "output": []}})]


STREAMS: list[tuple[Wire, str, Callable[[Sequence[Event]], list[Event]]]] = [
    (RESPONSES, "no output_index", in_each(drop("output_index"))),
    (RESPONSES, "output_index 0 everywhere", in_each(set_to(0, "output_index"))),
    (RESPONSES, "output_index a float", in_each(as_floats)),
    (RESPONSES, "no ids of items", in_each(drop("id", "item_id"))),
    (RESPONSES, "the last event only", lambda events: list(events[-1:])),
    (RESPONSES, "no output in the last event", without_last_output),
    (RESPONSES, "no deltas", without_events(".delta")),
    (RESPONSES, "no events of ends", without_events(".done")),
    (RESPONSES, "no events of beginnings", without_events(".added")),
    (RESPONSES, "no first event", lambda events: list(events[1:])),
    (ANTHROPIC, "index 0 everywhere", in_each(set_to(0, "index"))),
    (ANTHROPIC, "no index", in_each(drop("index"))),
    (ANTHROPIC, "no ends of blocks", without_events("content_block_stop")),
    (ANTHROPIC, "no end", without_events("message_stop")),
    (ANTHROPIC, "usage in the last event only", in_each(lambda key, value: ... if key == "message" else value)),
    (GEMINI, "one event", lambda events: [(None, GEMINI.whole)]),
    (GEMINI, "usage in the last event only", lambda events: [
        *((name, without(data, "usageMetadata")) for name, data in events[:-1]), events[-1]
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "change"), [pytest.param(w, c, id=f"{w} {n}") for w, n, c in STREAMS])
def test_a_stream_that_leaves_things_out_is_the_whole_reply(
    wire: Wire, change: Callable[[Sequence[Event]], list[Event]]
) -> None:
    whole = compact(ask(wire.model, wire.path, lambda _: wire.reply(wire.whole), streaming=False))
    events = change(wire.events)
    streamed = compact(ask(wire.model, wire.path, lambda _: wire.streamed(events), streaming=True))

    assert streamed.message == whole.message
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert streamed.finish == whole.finish


def test_two_calls_of_a_response_stay_two_whatever_their_events_leave_out() -> None:
    def item(name: str, **more: Any) -> dict[str, Any]:
        return {"type": "function_call", "name": name, "call_id": f"of {name}", "id": f"item {name}", **more}

    calls = [item("look", arguments='{"a":1}'), item("find", arguments='{"b":2}')]
    events: list[Event] = []
    for place, call in enumerate(calls):
        at = {"output_index": place, "item_id": call["id"]}
        events += [
            ("response.output_item.added", {**at, "item": {**call, "arguments": ""}}),
            ("response.function_call_arguments.delta", {**at, "delta": call["arguments"][:3]}),
            ("response.function_call_arguments.delta", {**at, "delta": call["arguments"][3:]}),
            ("response.function_call_arguments.done", {**at, "arguments": call["arguments"]}),
            ("response.output_item.done", {**at, "item": call}),
        ]
    last = {"response": {"status": "completed", "output": calls}}
    expected = says(("of look", "look", '{"a":1}'), ("of find", "find", '{"b":2}'))
    for change in (
        in_each(lambda _, value: value),
        in_each(drop("output_index")),
        in_each(set_to(0, "output_index")),
        in_each(drop("id", "item_id")),
        in_each(drop("id", "item_id", "output_index")),
        without_events(".done"),
        without_events(".delta"),
        without_events(".added"),
    ):
        raw = RESPONSES.streamed([*change(events), ("response.completed", last)])
        assert ask(RESPONSES.model, "/v1", lambda _, raw=raw: raw, streaming=True).message == expected


CACHED: dict[str, dict[str, Any]] = {
    CHAT.model: {"prompt_tokens_details": {"cached_tokens": 3}},
    RESPONSES.model: {"input_tokens_details": {"cached_tokens": 3}},
    ANTHROPIC.model: {"cache_read_input_tokens": 3, "cache_creation_input_tokens": 2},
    GEMINI.model: {"cachedContentTokenCount": 3},
}
"""How each protocol says that three tokens were read from its cache; Anthropic's also counts what was written."""


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("wire", WIRES, ids=repr)
def test_each_protocol_says_how_much_of_the_input_was_cached(wire: Wire, streaming: bool) -> None:
    def change(key: str, value: Any) -> Any:
        if key not in ("usage", "usageMetadata") or not isinstance(value, dict):
            return value
        fields: dict[str, Any] = value
        return {**fields, **CACHED[wire.model]}

    def answer(_: bool) -> Raw:
        if streaming:
            return wire.streamed([(name, changed(data, change)) for name, data in wire.events])
        return wire.reply(changed(wire.whole, change))

    usage = ask(wire.model, wire.path, answer, streaming=streaming).usage

    written = 2 if wire is ANTHROPIC else 0
    of_input = 7 + (5 if wire is ANTHROPIC else 0)  # Anthropic counts it beside the input
    assert usage == Usage(of_input, 5, cache_read_tokens=3, cache_write_tokens=written)


def test_more_cached_tokens_than_input_are_none() -> None:
    def change(key: str, value: Any) -> Any:
        return (
            {**value, "prompt_tokens_details": {"cached_tokens": 99}} if key == "usage" and value else value
        )

    usage = ask(
        CHAT.model, CHAT.path, lambda _: CHAT.reply(changed(CHAT.whole, change)), streaming=False
    ).usage

    assert usage == Usage(7, 5)
