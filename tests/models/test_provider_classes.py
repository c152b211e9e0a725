"""Each provider class of the extras, against a server that speaks its protocol on loopback.

For all of them, a reply without a finish marker is a failure, and one call is one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

pytest.importorskip("pydantic_ai")

from models.wires import WIRES, Wire
from seawall.models.protocol import (
    Assistant,
    FailureKind,
    ModelFailed,
    ModelReply,
    ModelRequest,
    System,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    User,
)
from seawall.models.providers import PROVIDERS, resolve
from seawall.testing.faults import Answer, Malformed, Reset, overloaded, rate_limited, spend_limited
from seawall.testing.model_server import ModelServer
from seawall.testing.wire import ChatRequest, answer_stream

pytestmark = [
    pytest.mark.parametrize("wire", WIRES, ids=repr),
    pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"]),
]

REQUEST = ModelRequest(
    messages=(
        System("Be brief."),
        User("Where is order 1042?"),
        Assistant(
            "Both.", (ToolCall("c1", "find_order", '{"order_id": "1"}'), ToolCall("c2", "find_order", "{}"))
        ),
        ToolResult("c1", "find_order", "none"),
        ToolResult("c2", "find_order", "nothing"),
        User("And 1042?"),
    ),
    tools=(ToolSpec("find_order", "Look up one order.", {"type": "object", "properties": {}}),),
)


def made(
    wire: Wire, answer: Callable[[bool], Answer], *, streaming: bool
) -> tuple[list[object], list[ChatRequest]]:
    """What one call brought (the failure last, if there was one) and what the server was asked."""

    async def main() -> tuple[list[object], list[ChatRequest]]:
        got: list[object] = []
        async with (
            ModelServer(lambda _: answer(streaming)) as server,
            resolve(wire.model, base_url=server.origin + wire.path, api_key="sk-never-shown") as model,
        ):
            try:
                if streaming:
                    async for item in model.stream(REQUEST):
                        got.append(item)  # noqa: PERF401  # extend would lose what came before a failure
                else:
                    got.append(await model.respond(REQUEST))
            except ModelFailed as failed:
                got.append(failed)
        assert server.open_connections == 0
        return got, server.requests

    return asyncio.run(main())


def failure(wire: Wire, answer: Callable[[bool], Answer], *, streaming: bool) -> ModelFailed:
    got, requests = made(wire, answer, streaming=streaming)
    assert isinstance(got[-1], ModelFailed), got
    assert len(requests) == 1, "the client tried again on its own"
    assert "sk-never-shown" not in str(got[-1])
    return got[-1]


def test_a_reply_of_text_and_a_call_comes_back_whole(wire: Wire, streaming: bool) -> None:
    got, requests = made(wire, wire.answer, streaming=streaming)
    arguments = wire.arguments
    if wire.model.startswith("anthropic") and not streaming:
        arguments = '{"order_id":"1042"}'  # an object on the wire, so there is no text to keep
    assert got[-1] == ModelReply(
        message=Assistant("Let me look.", (ToolCall("call_1", "find_order", arguments),)),
        usage=Usage(7, 5),
        finish="tool_calls",
    )
    deltas = [item.text for item in got if isinstance(item, TextDelta)]
    assert "".join(deltas) == ("Let me look." if streaming else "")
    assert len(requests) == 1


def test_a_reply_without_a_finish_marker_is_incomplete(wire: Wire, streaming: bool) -> None:
    def answer(streams: bool) -> Answer:
        return wire.streamed(wire.events[: wire.marker]) if streams else wire.reply(wire.unfinished)

    assert failure(wire, answer, streaming=streaming).kind == "incomplete"


def test_a_reply_cut_in_the_middle_of_a_call_is_incomplete(wire: Wire, streaming: bool) -> None:
    """F19: a clean end of the stream; for a whole reply the connection ends before its length is reached."""

    def answer(streams: bool) -> Answer:
        if streams:
            return wire.streamed(wire.events[: wire.in_call + 1], tail=False)
        whole = wire.reply(wire.whole)
        (body,) = whole.parts
        assert isinstance(body, bytes)
        return type(whole)(
            headers=whole.headers, parts=(body[:40],), content_length=whole.content_length, ending="eof"
        )

    failed = failure(wire, answer, streaming=streaming)
    assert (failed.kind, failed.retryable) == ("incomplete", True)


def test_an_empty_reply_is_no_reply(wire: Wire, streaming: bool) -> None:
    failed = failure(
        wire, lambda streams: answer_stream() if streams else wire.reply({}), streaming=streaming
    )
    assert failed.kind in ({"incomplete"} if streaming else {"incomplete", "malformed"})


@pytest.mark.parametrize(
    ("answer", "kind", "retry_after_s"),
    [
        (rate_limited(7), "rate_limited", 7.0),
        (spend_limited(), "spend_limit", None),
        (overloaded(500), "overloaded", None),
        (overloaded(503), "overloaded", None),
        (overloaded(529), "overloaded", None),
        (Reset(), "unreachable", None),
        (Malformed(), None, None),
    ],
    ids=["429", "spend", "500", "503", "529", "reset", "malformed"],
)
def test_a_failure_is_one_request_and_has_its_kind(
    wire: Wire, streaming: bool, answer: Answer, kind: FailureKind | None, retry_after_s: float | None
) -> None:
    """F16–F18: clients retry nothing, whatever the failure; the server counts."""
    failed = failure(wire, lambda _: answer, streaming=streaming)
    if kind is None:  # events of an unknown form are ignored by some, and then nothing is left of the stream
        assert failed.kind in {"malformed", "incomplete"}
    else:
        assert (failed.kind, failed.retry_after_s) == (kind, retry_after_s)


def test_an_error_event_inside_a_stream_is_a_failure(wire: Wire, streaming: bool) -> None:
    """F20. An error of no known kind is `incomplete`, or `rejected` where it has a 4xx code of its own."""

    def answer(streams: bool) -> Answer:
        if streams:
            return wire.streamed([*wire.events[: wire.in_call + 1], wire.error_event], tail=False)
        return wire.reply(wire.error_event[1])

    assert failure(wire, answer, streaming=streaming).kind in {"incomplete", "rejected"}


def test_every_provider_is_tested_here(wire: Wire, streaming: bool) -> None:
    assert {one.model.partition(":")[0] for one in WIRES} == set(PROVIDERS)
