"""How a reply ended: finished, cut, filtered, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from models.calling import failed
from models.wires import WIRES, Wire
from seawall import Agent, Team
from seawall.models.protocol import ModelFailed, ModelReply, ModelRequest, User
from seawall.models.providers import resolve
from seawall.models.providers.finish_markers import MARKERS, judge_marker
from seawall.testing import ModelServer
from seawall.testing.faults import ErrorEvent, ErrorStatus
from seawall.testing.wire import Raw

HALF = "The first half of"
CHAT, RESPONSES, ANTHROPIC, GEMINI = WIRES

GOOD = [
    (CHAT, "stop tool_calls function_call eos eos_token stop_sequence end_turn STOP"),
    (RESPONSES, "completed"),
    (ANTHROPIC, "end_turn tool_use stop_sequence"),
    (GEMINI, "STOP"),
]
CUT = [
    (CHAT, "length max_tokens model_length MAX_TOKENS"),
    (RESPONSES, "max_output_tokens incomplete"),
    (ANTHROPIC, "max_tokens"),
    (GEMINI, "MAX_TOKENS"),
]
FILTERED = [
    (CHAT, "content_filter sensitive guardrail_intervened content_filter:RECITATION refusal"),
    (RESPONSES, "content_filter"),
    (ANTHROPIC, "refusal"),
    (GEMINI, "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY"),
]
BROKEN = [
    (
        CHAT,
        "error abort network_error insufficient_system_resource cancelled unheard_of MALFORMED_FUNCTION_CALL",
    ),
    (RESPONSES, "failed cancelled in_progress queued max_messages unheard_of"),
    (ANTHROPIC, "pause_turn unheard_of error"),
    (
        GEMINI,
        "OTHER LANGUAGE MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL FINISH_REASON_UNSPECIFIED UNHEARD_OF",
    ),
]


def pairs(table: list[tuple[Wire, str]]) -> list[Any]:
    return [
        pytest.param(wire, marker, id=f"{wire}-{marker}")
        for wire, markers in table
        for marker in markers.split()
    ]


def write(wire: Wire, marker: str, *, streaming: bool) -> Raw:
    """Half a text that ends with this marker."""
    top: dict[str, Any] = {"id": "x", "created": 1, "created_at": 1, "model": "m"}
    events: list[tuple[str | None, dict[str, Any]]]
    if wire is CHAT:
        whole = {**top, "choices": [{"message": {"content": HALF}, "finish_reason": marker}]}
        parts = [{"delta": {"content": HALF}}, {"delta": {}, "finish_reason": marker}]
        events = [(None, {**top, "choices": [{"index": 0, **part}]}) for part in parts]
    elif wire is RESPONSES:
        reason = marker if marker in ("max_output_tokens", "content_filter", "max_messages") else None
        status = "incomplete" if reason else marker
        content = [{"type": "output_text", "text": HALF, "annotations": []}]
        said = {"type": "message", "id": "i", "role": "assistant", "content": content}
        details = {"reason": reason} if reason else None
        whole = {**top, "status": status, "output": [said], "incomplete_details": details}
        kind = {"completed": "completed", "failed": "failed"}.get(status, "incomplete")
        events = [
            ("response.output_text.delta", {"delta": HALF, "output_index": 0, "content_index": 0}),
            (f"response.{kind}", {"response": whole}),
        ]
    elif wire is ANTHROPIC:
        whole = {**top, "type": "message", "content": [{"type": "text", "text": HALF}], "stop_reason": marker}
        events = [
            ("message_start", {"message": {**top, "content": []}}),
            ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
            ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": HALF}}),
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": {"stop_reason": marker}, "usage": {"output_tokens": 3}}),
            ("message_stop", {}),
        ]
    else:
        whole = {"candidates": [{"content": {"parts": [{"text": HALF}]}, "finishReason": marker}]}
        events = [
            (None, {"candidates": [{"content": {"parts": [{"text": HALF}]}}]}),
            (None, {"candidates": [{"finishReason": marker}]}),
        ]
    return wire.streamed(events) if streaming else wire.reply(whole)


def ask(wire: Wire, raw: Callable[[bool], Any], *, streaming: bool) -> ModelReply | ModelFailed:
    return ask_at(wire, wire.path, raw, streaming=streaming)[0]


def ask_at(
    wire: Wire, path: str, raw: Callable[[bool], Any] | None = None, *, streaming: bool
) -> tuple[ModelReply | ModelFailed, ModelServer]:
    """The reply or failure of one call to the server's origin and `path`, and the server."""
    request, answer = ModelRequest(messages=(User("go"),)), raw or wire.answer

    async def main() -> tuple[ModelReply | ModelFailed, ModelServer]:
        async with (
            ModelServer(lambda _: answer(streaming)) as server,
            resolve(wire.model, base_url=server.origin + path, api_key="sk-never-shown") as model,
        ):
            try:
                if not streaming:
                    return await model.respond(request), server
                items = [item async for item in model.stream(request)]
            except ModelFailed as error:
                return error, server
            assert isinstance(items[-1], ModelReply)
            return items[-1], server

    return asyncio.run(main())


def end(wire: Wire, marker: str) -> list[ModelReply | ModelFailed]:
    """What comes of this marker, whole and streamed."""
    return [
        ask(wire, lambda each: write(wire, marker, streaming=each), streaming=streaming)
        for streaming in (False, True)
    ]


@pytest.mark.parametrize(("wire", "marker"), pairs(GOOD))
def test_a_known_good_marker_is_the_end_of_an_answer(wire: Wire, marker: str) -> None:
    for found in end(wire, marker):
        assert isinstance(found, ModelReply), found
        assert (found.message.content, found.finish) == (HALF, "stop")


@pytest.mark.parametrize(("wire", "marker"), pairs(CUT))
def test_a_marker_of_length_cuts_the_reply(wire: Wire, marker: str) -> None:
    for found in end(wire, marker):
        assert isinstance(found, ModelReply), found
        assert (found.message.content, found.finish) == (HALF, "length")


@pytest.mark.parametrize(("wire", "marker"), pairs(FILTERED))
def test_a_marker_of_policy_is_a_filter(wire: Wire, marker: str) -> None:
    for found in end(wire, marker):
        assert isinstance(found, ModelReply), found
        assert found.finish == "content_filter"


@pytest.mark.parametrize(("wire", "marker"), pairs(BROKEN))
def test_every_other_marker_is_half_an_answer_that_is_tried_again(wire: Wire, marker: str) -> None:
    for found in end(wire, marker):
        assert isinstance(found, ModelFailed), found
        assert (found.kind, found.retryable) == ("incomplete", True)
        assert repr(wire.model) in str(found)


@pytest.mark.parametrize("wire", [CHAT, ANTHROPIC], ids=repr)
def test_a_context_that_is_full_is_not_a_reply_that_was_cut(wire: Wire) -> None:
    for found in end(wire, "model_context_window_exceeded"):
        assert isinstance(found, ModelFailed), found
        assert (found.kind, found.retryable, found.charged) == ("context_too_long", False, True)


def test_a_prompt_that_gemini_blocks_is_filtered() -> None:
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 7}}
    for streaming, raw in ((False, GEMINI.reply(body)), (True, GEMINI.streamed([(None, body)]))):
        found = ask(GEMINI, lambda _, raw=raw: raw, streaming=streaming)
        assert isinstance(found, ModelReply)
        assert (found.finish, found.usage.input_tokens) == ("content_filter", 7)


def test_a_refusal_in_place_of_the_text_is_filtered() -> None:
    choice = {"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}
    delta = {"delta": {"refusal": "No."}, "finish_reason": "stop"}
    for streaming, raw in (
        (False, CHAT.reply({"choices": [choice]})),
        (True, CHAT.streamed([(None, {"choices": [delta]})])),
    ):
        found = ask(CHAT, lambda _, raw=raw: raw, streaming=streaming)
        assert isinstance(found, ModelReply)
        assert found.finish == "content_filter"


@pytest.mark.parametrize(
    ("markers", "meaning"),
    [
        (["length", "stop"], "length"),
        (["error", "stop"], "stop"),
        (["stop", "content_filter"], "content_filter"),
    ],
)
def test_a_good_marker_does_not_take_back_that_a_stream_was_cut(markers: list[str], meaning: str) -> None:
    events = [(None, {"choices": [{"delta": {"content": HALF}, "finish_reason": each}]}) for each in markers]
    found = ask(CHAT, lambda _: CHAT.streamed(events), streaming=True)
    assert isinstance(found, ModelReply)
    assert found.finish == meaning


def test_each_marker_stands_in_the_table_once() -> None:
    listed = [marker for markers in MARKERS.values() for marker in markers]
    assert len(listed) == len(set(listed))
    assert all(judge_marker(marker.upper().replace("_", "-")) != "unknown" for marker in listed)


TOO_LONG = [
    ErrorStatus(400, "Your input is too big", "invalid_request_error", "context_length_exceeded"),
    ErrorStatus(400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000"),
    ErrorStatus(400, "prompt is too long: 213462 tokens > 200000 maximum", "invalid_request_error"),
    ErrorStatus(400, "input length and `max_tokens` exceed context limit: 199000 + 20000 > 200000"),
    ErrorStatus(400, "Input is too long for requested model."),
    ErrorStatus(400, "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."),
    ErrorStatus(400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
    ErrorStatus(400, "Please reduce the length of the messages or completion."),
    ErrorStatus(400, "the request exceeds the available context size, try increasing it", "exceed_context_size_error"),
    ErrorStatus(400, "The input (9000 tokens) is longer than the model's context length (8192 tokens)."),
    ErrorStatus(422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens"),
    ErrorStatus(400, "Your request exceeded model token limit: 131072 (requested: 140000)"),
    ErrorStatus(400, "too many tokens: total number of tokens in the prompt cannot exceed 4081"),
    ErrorStatus(400, "Range of input length should be [1, 30720]"),
    ErrorStatus(400, "invalid params, context window exceeds limit"),
    ErrorStatus(500, "the conversation exceeds the model's context window"),
    ErrorStatus(413, "Request exceeds the maximum allowed number of bytes.", "request_too_large"),
    ErrorStatus(400, "Request payload size exceeds the limit: 20971520 bytes."),
    ErrorStatus(413, "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 9000"),
    ErrorStatus(400, "Invalid 'messages[3].content': string too long.", "i", "string_above_max_length"),
    ErrorEvent("Your input exceeds the context window of this model.", "invalid_request_error", "context_length_exceeded"),
]  # fmt: skip


@pytest.mark.parametrize("answer", TOO_LONG, ids=lambda each: each.message[:40])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_conversation_that_is_too_long_is_not_sent_again_unchanged(answer: Any, streaming: bool) -> None:
    found = failed(answer, streaming=streaming)
    assert (found.kind, found.retryable) == ("context_too_long", False)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (ErrorStatus(400, "max_tokens is too large: 50000. This model supports at most 4096"), "rejected"),
        (ErrorStatus(400, "string too long: expected at most 64 characters"), "rejected"),
        (
            ErrorStatus(
                429, "Request too large for model m: limit of 30,000 input tokens per minute", code="x"
            ),
            "rate_limited",
        ),
        (ErrorStatus(500, "Internal error"), "overloaded"),
    ],
)
def test_other_errors_are_not_about_the_context(answer: ErrorStatus, kind: str) -> None:
    assert failed(answer, streaming=False).kind == kind


def test_a_run_whose_conversation_is_too_long_fails_with_one_call_and_names_the_model_once() -> None:
    async def main() -> None:
        answer = ErrorStatus(400, "maximum context length is 10 tokens", "invalid_request_error")
        async with (
            ModelServer(lambda _: answer) as server,
            resolve("openai:m", base_url=server.base_url) as model,
        ):
            outcome = await Team(Agent("clerk", model=model, retries=2)).run("go")
        assert server.request_count == 1
        assert outcome.error is not None
        assert "is too long for its model, and nothing in it can be shortened any further" in outcome.error
        said = "The model said: Error: model 'openai:m' answered 400: maximum context length is 10 tokens"
        assert outcome.error.endswith(said)

    asyncio.run(main())


@pytest.mark.parametrize("wire", WIRES, ids=repr)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_wrong_base_url_is_rejected_with_its_path(wire: Wire, streaming: bool) -> None:
    found, server = ask_at(wire, "/v1" if not wire.path else "", streaming=streaming)
    assert isinstance(found, ModelFailed)
    path = server.log[-1].path.partition("?")[0]
    assert (found.kind, server.requests) == ("rejected", [])
    assert f"answered 404 for {path!r}" in str(found)
    assert str(found).count(wire.model) == 1


def test_text_for_another_protocol_is_not_served() -> None:
    found = ask(ANTHROPIC, lambda _: "Hello", streaming=False)
    assert isinstance(found, ModelFailed)
    assert (found.kind, "/v1/messages" in str(found)) == ("rejected", True)


def test_a_web_page_in_place_of_a_reply_names_the_path() -> None:
    page = Raw(headers={"content-type": "text/html; charset=utf-8"}, parts=[b"<html>"])
    for streaming in (False, True):
        found = failed(page, streaming=streaming)
        assert (found.kind, "/v1/chat/completions" in str(found)) == ("malformed", True)


def test_an_error_of_one_choice_is_an_error() -> None:
    choice = {"error": {"code": 502, "message": "upstream broke"}, "finish_reason": "error"}
    for streaming, raw in (
        (False, CHAT.reply({"choices": [choice]})),
        (True, CHAT.streamed([(None, {"choices": [choice]})])),
    ):
        found = ask(CHAT, lambda _, raw=raw: raw, streaming=streaming)
        assert isinstance(found, ModelFailed)
        assert (found.kind, "upstream broke" in str(found)) == ("overloaded", True), json.dumps(choice)
