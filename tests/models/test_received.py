"""The same reply, streamed and not streamed, is the same `ModelReply`, however a server writes it.

Each oddity is one that servers are known for. It is sent over loopback to the real client, both ways.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seawall.models.protocol import (
    Assistant,
    ModelFailed,
    ModelReply,
    ModelRequest,
    ToolCall,
    ToolSpec,
    Usage,
    User,
)
from seawall.models.providers import resolve
from seawall.testing import ModelServer
from seawall.testing.wire import Raw, answer_stream

TOOLS = tuple(ToolSpec(name, "Look.", {"type": "object", "properties": {}}) for name in ("look", "find"))
ASK = ModelRequest(messages=(User("go"),), tools=TOOLS)
TOP: dict[str, Any] = {"id": "x", "created": 1, "model": "m"}
COUNTS = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}


@dataclass
class Oddity:
    """One reply in both forms: the message of a whole one, and the deltas of a stream."""

    name: str
    message: Mapping[str, Any]
    deltas: list[dict[str, Any]]
    expected: Assistant
    finish: Any = "stop"
    usage: Any = field(default_factory=lambda: COUNTS)
    """Of the whole reply, and of the stream's last chunk."""
    change_whole: Callable[[dict[str, Any]], Any] = lambda body: body
    change_chunk: Callable[[dict[str, Any]], Any] = lambda chunk: chunk
    write: Callable[[list[bytes]], list[bytes]] = lambda parts: parts
    counted: Usage = field(default_factory=lambda: Usage(30, 5))

    def __repr__(self) -> str:
        return self.name

    def answer(self, streaming: bool) -> Raw:
        if not streaming:
            choice = {"index": 0, "message": self.message, "finish_reason": self.finish}
            body = {**TOP, "object": "chat.completion", "choices": [choice], "usage": self.usage}
            data = json.dumps(self.change_whole(body)).encode()
            return Raw(headers={"content-type": "application/json"}, parts=[data])
        chunks = [self.chunk({"index": 0, "delta": delta, "finish_reason": None}) for delta in self.deltas]
        chunks.append(self.chunk({"index": 0, "delta": {}, "finish_reason": self.finish}, self.usage))
        parts = [f"data: {json.dumps(self.change_chunk(chunk))}\n\n".encode() for chunk in chunks]
        return answer_stream(*self.write([*parts, b"data: [DONE]\n\n"]))

    def chunk(self, choice: dict[str, Any], usage: Any = None) -> dict[str, Any]:
        return {**TOP, "object": "chat.completion.chunk", "choices": [choice], "usage": usage}


def ask(model_name: str, path: str, raw: Callable[[bool], Raw], *, streaming: bool) -> ModelReply:
    async def main() -> ModelReply:
        async with (
            ModelServer(lambda _: raw(streaming)) as server,
            resolve(model_name, base_url=server.origin + path, api_key="sk-never-shown") as model,
        ):
            if not streaming:
                return await model.respond(ASK)
            items = [item async for item in model.stream(ASK)]
            assert isinstance(items[-1], ModelReply)
            return items[-1]

    return asyncio.run(main())


def both(oddity: Oddity) -> tuple[ModelReply, ModelReply]:
    whole, streamed = (
        ask("openai:m", "/v1", oddity.answer, streaming=streaming) for streaming in (False, True)
    )
    return whole, streamed


def call(ident: Any, arguments: Any, *, index: Any = 0, name: str = "look", **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": ident, "type": "function", "function": function, **more}


def without(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key not in names}


def says(*calls: tuple[str, str, str], text: str | None = None) -> Assistant:
    return Assistant(text, tuple(ToolCall(*one) for one in calls))


def of_calls(
    name: str, calls: list[dict[str, Any]], expected: Assistant, *, pieces: list[Any] | None = None
) -> Oddity:
    """The calls in one message and, unless `pieces` are given, each in one chunk."""
    parts = pieces if pieces is not None else calls
    deltas = [{"tool_calls": part if isinstance(part, list) else [part]} for part in parts]
    return Oddity(name, {"role": "assistant", "content": None, "tool_calls": calls}, deltas, expected)


A, B = '{"what":"a"}', '{"what":"b"}'
ONE = says(("a", "look", A))
TWO = says(("a", "look", A), ("b", "look", B))
HI = Assistant("Hi you")
HI_DELTAS: list[dict[str, Any]] = [{"role": "assistant", "content": "Hi"}, {"content": " you"}]


def text(name: str, **changes: Any) -> Oddity:
    return Oddity(
        **{
            "name": name,
            "message": {"role": "assistant", "content": "Hi you"},
            "deltas": HI_DELTAS,
            "expected": HI,
            **changes,
        }
    )


def in_pieces(ident: Any, arguments: str, *, index: Any = 0, repeat: Any = None) -> list[dict[str, Any]]:
    """One call in four chunks; `repeat` is what each further one says beside its piece."""
    first = call(ident, "", index=index)
    third = len(arguments) // 3
    rest = [arguments[:third], arguments[third : 2 * third], arguments[2 * third :]]
    return [first, *({"index": index, **(repeat or {}), "function": {"arguments": one}} for one in rest)]


def in_choice(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**body, "choices": [{**one, **changes} for one in body["choices"]]}


def with_another(body: dict[str, Any]) -> dict[str, Any]:
    other = {"index": 1, "message": {"content": "No"}, "delta": {"content": "No"}, "finish_reason": None}
    return {**body, "choices": [*body["choices"], other]}


def renamed(body: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {**body, "choices": [{**without(one, old), new: one[old]} for one in body["choices"]]}


def marked(body: dict[str, Any], marker: str) -> dict[str, Any]:
    return body if body["choices"][0]["finish_reason"] else in_choice(body, finish_reason=marker)


def moved_usage(body: dict[str, Any]) -> dict[str, Any]:
    return without(in_choice(body, usage=body["usage"]), "usage")


CALLS = [
    of_calls("arguments as an object", [call("a", {"what": "a"})], ONE),
    of_calls("arguments null", [call("a", None)], says(("a", "look", "{}"))),
    of_calls("arguments empty", [call("a", "")], says(("a", "look", "{}"))),
    of_calls("arguments an empty list", [call("a", [])], says(("a", "look", "{}"))),
    of_calls("arguments a list", [call("a", [1])], says(("a", "look", "[1]"))),
    of_calls(
        "arguments missing",
        [{"index": 0, "id": "a", "type": "function", "function": {"name": "look"}}],
        says(("a", "look", "{}")),
    ),
    of_calls("id null", [call(None, A)], says(("call-1", "look", A))),
    of_calls("id empty", [call("", A)], says(("call-1", "look", A))),
    of_calls("id missing", [without(call("a", A), "id")], says(("call-1", "look", A))),
    of_calls("id a number", [call(7, A)], says(("7", "look", A))),
    of_calls("type missing", [without(call("a", A), "type")], ONE),
    of_calls("type null", [call("a", A, type=None)], ONE),
    of_calls("two at index 0", [call("a", A), call("b", B)], TWO),
    of_calls(
        "two at index 0 without ids",
        [call(None, A), call(None, B)],
        says(("call-1", "look", A), ("call-2", "look", B)),
    ),
    of_calls(
        "two at index 0 without ids and arguments",
        [call(None, None), call(None, None, name="find")],
        says(("call-1", "look", "{}"), ("call-2", "find", "{}")),
    ),
    of_calls(
        "an id repeated", [call("a", A), call("a", B, index=1)], says(("a", "look", A), ("a", "look", B))
    ),
    of_calls(
        "an id repeated at index 0",
        [call("a", A), call("a", B)],
        says(("a", "look", A), ("a", "look", B)),
    ),
    of_calls("index a float", [call("a", A, index=0.0), call("b", B, index=1.0)], TWO),
    of_calls("index text", [call("a", A, index="0"), call("b", B, index="1")], TWO),
    of_calls("index null", [call("a", A, index=None), call("b", B, index=None)], TWO),
    of_calls(
        "index missing, both in one chunk",
        [call("a", A), call("b", B)],
        TWO,
        pieces=[[without(call("a", A), "index"), without(call("b", B), "index")]],
    ),
    of_calls(
        "index missing, in pieces",
        [call("a", A), call("b", B)],
        TWO,
        pieces=[without(one, "index") for one in (*in_pieces("a", A), *in_pieces("b", B))],
    ),
    of_calls(
        "pieces that alternate",
        [call("a", A), call("b", B)],
        TWO,
        pieces=[
            one for pair in zip(in_pieces("a", A), in_pieces("b", B, index=1), strict=True) for one in pair
        ],
    ),
    of_calls(
        "two in pieces at index 0",
        [call("a", A), call("b", B)],
        TWO,
        pieces=in_pieces("a", A) + in_pieces("b", B),
    ),
    of_calls(
        "two in pieces at index 0 without ids",
        [call(None, A), call(None, B)],
        says(("call-1", "look", A), ("call-2", "look", B)),
        pieces=in_pieces(None, A) + in_pieces(None, B),
    ),
    of_calls("an id in each piece", [call("a", A)], ONE, pieces=in_pieces("a", A, repeat={"id": "a"})),
    of_calls(
        "a new id for each piece",
        [call("a", A)],
        ONE,
        pieces=[{**one, "id": ident} for one, ident in zip(in_pieces("a", A), "axyz", strict=True)],
    ),
    of_calls(
        "a name in each piece",
        [call("a", A)],
        ONE,
        pieces=[
            {**one, "id": None if place else "a", "function": {**one["function"], "name": "look"}}
            for place, one in enumerate(in_pieces("a", A))
        ],
    ),
    of_calls(
        "a name in pieces",
        [call("a", A)],
        ONE,
        pieces=[call("a", "", name="lo"), call(None, None, name="ok"), call(None, A, name="")],
    ),
    of_calls(
        "the whole call once more at the end", [call("a", A)], ONE, pieces=[*in_pieces("a", A), call("a", A)]
    ),
    of_calls(
        "the id after the name",
        [call("a", A)],
        ONE,
        pieces=[call(None, ""), {"index": 0, "id": "a", "function": {"arguments": A}}],
    ),
    of_calls(
        "a call without the object function",
        [{"index": 0, "id": "a", "name": "look", "arguments": A}],
        ONE,
    ),
    of_calls("a call that says nothing", [call("a", A), {"index": 0}], ONE),
    Oddity(
        "one call instead of a list",
        {"role": "assistant", "content": None, "tool_calls": call("a", A)},
        [{"tool_calls": call("a", A)}],
        ONE,
    ),
    Oddity(
        "the older function_call",
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": A}},
        [{"function_call": {"name": "look", "arguments": ""}}, {"function_call": {"arguments": A}}],
        says(("call-1", "look", A)),
        finish="function_call",
    ),
    Oddity(
        "a call and the marker stop",
        {"role": "assistant", "content": "", "tool_calls": [call("a", A)]},
        [{"content": ""}, {"tool_calls": [call("a", A)]}],
        ONE,
    ),
]

TOPS = [
    text(f"{name} {how}", change_whole=change, change_chunk=change)
    for name in ("id", "created", "model", "object")
    for how, change in (
        ("missing", lambda body, name=name: without(body, name)),
        ("null", lambda body, name=name: {**body, name: None}),
    )
]
TEXTS = [
    *TOPS,
    text("as it should be"),
    text("created a float", change_whole=lambda body: {**body, "created": 1.5}),
    text("role missing", message={"content": "Hi you"}, deltas=[{"content": "Hi"}, {"content": " you"}]),
    text(
        "role null",
        message={"role": None, "content": "Hi you"},
        deltas=[{"role": None, "content": "Hi"}, {"role": None, "content": " you"}],
    ),
    text(
        "content in parts",
        message={"content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": " you"}]},
        deltas=[{"content": [{"type": "text", "text": "Hi"}]}, {"content": [{"type": "text", "text": " you"}]}],
    ),
    text(
        "content parts of another type",
        message={"content": [{"type": "reference", "ids": [1]}, {"type": "text", "text": "Hi you"}]},
        deltas=[{"content": [{"type": "reference", "ids": [1]}]}, {"content": ["Hi you"]}],
    ),
    text("content null beside text", deltas=[{"content": None}, *HI_DELTAS, {"content": None}]),
    text("tool_calls null", message={"content": "Hi you", "tool_calls": None}, deltas=[*HI_DELTAS, {"tool_calls": None}]),
    text("tool_calls empty", message={"content": "Hi you", "tool_calls": []}, deltas=[*HI_DELTAS, {"tool_calls": []}]),
    text(
        "fields that nobody knows",
        message={"content": "Hi you", "audio": 3, "annotations": "none", "more": {"x": [1]}, "refusal": ""},
        change_whole=lambda body: {**body, "metadata": [1], "service_tier": 5, "warnings": {}},
        change_chunk=lambda body: {**body, "metadata": [1], "service_tier": 5, "obfuscation": "x"},
    ),
    text("logprobs of another form", change_whole=lambda body: in_choice(body, logprobs=[1]), change_chunk=lambda body: in_choice(body, logprobs="x")),
    text("several choices", change_whole=with_another, change_chunk=with_another),
    text("choice index a float", change_whole=lambda body: in_choice(body, index=0.0), change_chunk=lambda body: in_choice(body, index=0.0)),
    text("choice index missing", change_whole=lambda body: in_choice(body, index=None), change_chunk=lambda body: in_choice(body, index=None)),
    text("message and delta exchanged", change_whole=lambda body: renamed(body, "message", "delta"), change_chunk=lambda body: renamed(body, "delta", "message")),
    text("chunks without choices", write=lambda parts: [b'data: {"choices":[]}\n\n', b'data: {"choices":null}\n\n', b'data: {"id":"x"}\n\n', *parts]),
    text("a marker that is empty in the middle", change_chunk=lambda body: marked(body, "")),
    text("a marker that is the text null in the middle", change_chunk=lambda body: marked(body, "null")),
    text("a marker in each chunk", change_chunk=lambda body: marked(body, "stop")),
    text("a marker in capitals", finish="STOP"),
    text("delta null with the marker", change_chunk=lambda body: body if body["choices"][0]["delta"] else in_choice(body, delta=None)),
    text("lines that end in CRLF", write=lambda parts: [part.replace(b"\n", b"\r\n") for part in parts]),
    text("lines that end in CR", write=lambda parts: [part.replace(b"\n", b"\r") for part in parts]),
    text("a byte order mark", write=lambda parts: [b"\xef\xbb\xbf" + parts[0], *parts[1:]]),
    text("no space behind data:", write=lambda parts: [part.replace(b"data: ", b"data:") for part in parts]),
    text("no blank line between events", write=lambda parts: [part.replace(b"\n\n", b"\n") for part in parts]),
    text("an event in several lines", write=lambda parts: [part.replace(b', "created"', b',\ndata: "created"') for part in parts]),
    text("an event name", write=lambda parts: [b"event: message\nid: 7\n" + part for part in parts]),
    text("comments between events", write=lambda parts: [piece for part in parts for piece in (b": OPENROUTER PROCESSING\n\n", part)]),
    text("no [DONE]", write=lambda parts: parts[:-1]),
    text("no blank line at the end", write=lambda parts: [*parts[:-2], parts[-2].rstrip(b"\n")]),
    text("packets of one byte", write=lambda parts: [bytes([each]) for each in b"".join(parts).replace(b"\n", b"\r\n")]),
    text("a stream of one event that is a whole reply", write=lambda _: [b"data: " + json.dumps({**TOP, "choices": [{"index": 0, "message": {"content": "Hi you"}, "finish_reason": "stop"}], "usage": COUNTS}).encode()]),
]  # fmt: skip
USAGES = [
    text("usage null", usage=None, counted=Usage(0, 0)),
    text("usage of another type", usage="none", counted=Usage(0, 0)),
    text("usage in floats", usage={"prompt_tokens": 30.0, "completion_tokens": 5.0, "total_tokens": 35.0}),
    text("usage with nulls", usage={**COUNTS, "prompt_tokens_details": None, "completion_tokens_details": {"reasoning_tokens": None}, "cost": 0.5}),
    text("usage without a total", usage={"prompt_tokens": 30, "completion_tokens": 5}),
    text("usage without the input", usage={"total_tokens": 35, "completion_tokens": 5}),
    text("usage under other names", usage={"input_tokens": 30, "output_tokens": 5}),
    text("usage beside the choice", change_whole=moved_usage, change_chunk=moved_usage),
    text("usage of Groq", change_whole=lambda body: {**without(body, "usage"), "x_groq": {"usage": body["usage"]}}, change_chunk=lambda body: {**without(body, "usage"), "x_groq": {"usage": body["usage"]}}),
    text("usage so far in each chunk", change_chunk=lambda body: {**body, "usage": body["usage"] or {"prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 32}}),
    text("the input in the first report only", change_chunk=lambda body: {**body, "usage": {"prompt_tokens": 0, "completion_tokens": 5, "total_tokens": 5} if body["usage"] else {"prompt_tokens": 30, "completion_tokens": 0, "total_tokens": 30}}),
    text("usage behind the last chunk", change_chunk=lambda body: {**body, "usage": None}, write=lambda parts: [*parts[:-1], f"data: {json.dumps({**TOP, 'choices': [], 'usage': COUNTS})}\n\n".encode(), parts[-1]]),
]  # fmt: skip


@pytest.mark.parametrize("oddity", [*CALLS, *TEXTS, *USAGES], ids=repr)
def test_a_reply_is_the_same_streamed_and_not_streamed(oddity: Oddity) -> None:
    whole, streamed = both(oddity)

    finish = "tool_calls" if oddity.expected.calls else "stop"
    assert whole == ModelReply(message=oddity.expected, usage=oddity.counted, finish=finish)
    assert streamed == whole


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<think>why</think>Hi", "Hi"),
        ("<think>why", None),
        ("One <think>why</think> two", "One  two"),
        ("a < b", "a < b"),
        ("the end <thi", "the end <thi"),
        ("</think>Hi", "</think>Hi"),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 7, 9, 100])
def test_thoughts_between_tags_are_no_answer_wherever_a_stream_is_cut(
    written: str, said: str | None, size: int
) -> None:
    deltas = [{"content": written[at : at + size]} for at in range(0, len(written), size)]

    whole, streamed = both(text("thoughts", message={"content": written}, deltas=deltas))

    assert whole == streamed
    assert whole.message.content == said


@pytest.mark.parametrize("odd", [-5, 1e300, "many", [1], 12.5, True, 10**20], ids=str)
def test_a_count_that_cannot_be_costs_the_count_and_not_the_reply(odd: Any) -> None:
    whole, streamed = both(text("odd", usage={**COUNTS, "completion_tokens": odd}))

    assert whole == streamed
    assert whole.message == HI
    assert "completion_tokens is" in whole.usage.problem


@pytest.mark.parametrize("odd", [5, True, 1.5], ids=str)
def test_content_of_no_known_type_is_malformed_both_ways(odd: Any) -> None:
    oddity = text("odd", message={"content": odd}, deltas=[{"content": odd}])
    for streaming in (False, True):
        with pytest.raises(ModelFailed, match="sent the text of its reply as") as caught:
            ask("openai:m", "/v1", oddity.answer, streaming=streaming)
        assert caught.value.kind == "malformed"


def test_a_whole_reply_to_a_request_for_a_stream_is_read() -> None:
    for oddity in (text("whole"), of_calls("whole", [call("a", A), call("b", B)], TWO)):
        reply = ask("openai:m", "/v1", lambda _, one=oddity: one.answer(False), streaming=True)
        assert reply.message == oddity.expected
        assert reply.usage == Usage(30, 5)


def test_a_stream_whose_server_calls_it_plain_text_is_read() -> None:
    def answer(streaming: bool) -> Raw:
        given = text("plain").answer(streaming)
        return Raw(headers={"content-type": "text/plain; charset=utf-8"}, parts=given.parts)

    assert [ask("openai:m", "/v1", answer, streaming=each).message for each in (False, True)] == [HI, HI]


ARGUMENTS = st.dictionaries(st.text(max_size=5), st.text(max_size=8) | st.integers(), max_size=3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(["look", "find"]), ARGUMENTS), min_size=1, max_size=4), st.data())
def test_calls_in_any_pieces_are_the_calls_that_were_made(
    made: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    same_index, repeats_name = data.draw(st.booleans()), data.draw(st.booleans())
    whole, pieces = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, (name, arguments) in enumerate(made):
        written = json.dumps(arguments)
        index = 0 if same_index else number
        whole.append(call(f"c{number}", written, index=index, name=name))
        cuts = sorted(data.draw(st.sets(st.integers(0, len(written)), max_size=4)) | {0, len(written)})
        for place, (start, end) in enumerate(itertools.pairwise(cuts)):
            function = {"arguments": written[start:end]}
            if not place or repeats_name:
                function["name"] = name
            pieces.append({"index": index, "id": None if place else f"c{number}", "function": function})
    expected = says(*((one["id"], one["function"]["name"], one["function"]["arguments"]) for one in whole))

    first, second = both(of_calls("any", whole, expected, pieces=pieces))

    assert first.message == second.message == expected
