"""What a provider wants back goes back as it came, to the same model on the same host, whole and streamed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai.messages import ModelResponse, ThinkingPart

from models.calling import asked
from models.strict import CHECKS
from models.thinking import THINKING, THOUGHT, Thinking, find_back, make_tagged
from models.wires import WIRES
from seawall.models.protocol import (
    Assistant,
    Message,
    ModelReply,
    ModelRequest,
    Reasoning,
    ToolCall,
    ToolResult,
    ToolSpec,
    User,
)
from seawall.models.providers import resolve
from seawall.models.providers.conversion import Conversion
from seawall.models.providers.reasoning import find_origin
from seawall.models.providers.wire_rules import find_rules
from seawall.testing.model_server import ModelServer
from seawall.testing.wire import ChatRequest, Raw

TOOLS = (ToolSpec("find_order", "Finds.", {"type": "object", "properties": {}}),)
BUDGET = {"anthropic_thinking": {"type": "enabled", "budget_tokens": 1024}}


def make_request(messages: list[Message], **settings: Any) -> ModelRequest:
    return ModelRequest(messages=messages, tools=TOOLS, settings=settings)


def go_on(reply: ModelReply) -> list[Message]:
    results = [ToolResult(one.id, one.name, "seen") for one in reply.message.calls]
    return [User("go"), reply.message, *results]


def ask(one: Thinking, *, streaming: bool) -> tuple[ModelReply, dict[str, Any]]:
    """The reply of a model that thinks, and the body of the request behind it."""

    async def main() -> tuple[ModelReply, dict[str, Any]]:
        bodies: list[dict[str, Any]] = []

        def handler(request: ChatRequest) -> Raw:
            bodies.append(dict(request.body))
            return one.answer(streaming=streaming)

        async with (
            ModelServer(handler) as server,
            resolve(one.model, base_url=server.origin + one.path, api_key="none") as model,
        ):
            first = make_request([User("go")], **one.settings)
            reply = (await asked(model, streaming=streaming, request=first))[-1]
            assert isinstance(reply, ModelReply)
            second = make_request(go_on(reply), **one.settings)
            await asked(model, streaming=streaming, request=second)
        return reply, bodies[-1]

    return asyncio.run(main())


def without_status(back: Any) -> Any:
    """Items of the responses protocol may be sent without their status."""
    if not isinstance(back, list):
        return back
    return [{name: value for name, value in each.items() if name != "status"} for each in back]


@pytest.mark.parametrize("one", THINKING, ids=repr)
@pytest.mark.parametrize("streaming", [False, True])
def test_reasoning_goes_back_as_it_came(one: Thinking, streaming: bool) -> None:
    reply, body = ask(one, streaming=streaming)
    assert without_status(find_back(body)) == without_status(one.back)
    assert (reply.message.content or "").strip() in ("", "Looking.")


@pytest.mark.parametrize("one", THINKING, ids=repr)
def test_a_streamed_reply_keeps_the_same_reasoning_as_a_whole_one(one: Thinking) -> None:
    streamed, whole = (ask(one, streaming=streaming)[0].message for streaming in (True, False))
    assert (streamed.reasoning, streamed.content) == (whole.reasoning, whole.content)
    assert whole.reasoning is not None


def ask_other(model: str, message: Assistant, *, port_of: str = "127.0.0.1") -> str:
    """What another model is sent of the message of one that thinks."""
    wire = next(each for each in WIRES if model.startswith(each.model[:-1]))

    async def main() -> str:
        bodies: list[dict[str, Any]] = []

        def handler(request: ChatRequest) -> Raw:
            bodies.append(dict(request.body))
            return wire.answer(False)

        async with ModelServer(handler) as server:
            url = server.origin.replace("127.0.0.1", port_of) + wire.path
            async with resolve(model, base_url=url, api_key="none") as other:
                settings = BUDGET if "anthropic" in model else {}
                await other.respond(make_request(go_on(ModelReply(message=message)), **settings))
        assert CHECKS[wire.model](bodies[0]) == []
        return json.dumps(bodies[0], ensure_ascii=False)

    return asyncio.run(main())


@pytest.mark.parametrize("one", THINKING, ids=repr)
def test_another_model_is_sent_a_valid_conversation_without_it(one: Thinking) -> None:
    message = ask(one, streaming=False)[0].message
    for model in (*CHECKS, f"{one.model}2"):
        if model == one.model:
            continue
        sent = ask_other(model, message)
        marks = (
            "Ümläut",
            "claude-",
            "EmwKAhg",
            "gAAAA",
            "rs_1",
            "fc_1",
            "c2ln",
            "dGV4dA",
            "QUJD",
            "</think>",
        )
        assert [mark for mark in marks if mark in sent] == []


def test_the_same_model_on_another_host_is_sent_none_of_it() -> None:
    message = ask(THINKING[0], streaming=False)[0].message
    assert "Ümläut" in ask_other("openai:m", message)
    assert "Ümläut" not in ask_other("openai:m", message, port_of="localhost")


def test_reasoning_is_bound_to_the_model_and_the_host_and_to_no_key() -> None:
    assert find_origin("openai:m", None) == "openai:m"
    assert (
        find_origin("openai:m", "https://user:secret@one.example:8080/v1?key=k") == "openai:m at one.example"
    )


@pytest.mark.parametrize(
    "parts",
    ["", "[]", "{}", "[1]", '[["thought"]]', '[["call","x"]]', '[["text",99],["call","c"]]', "[[[]]]"],
)
@pytest.mark.parametrize("model", ["openai:m", "openai-responses:m", "anthropic:m", "google:m"])
def test_reasoning_that_does_not_fit_its_message_does_no_harm(model: str, parts: str) -> None:
    message = Assistant(
        "Looking.", (ToolCall("c", "find_order", "{}"),), Reasoning(f"{model} at 127.0.0.1", parts)
    )
    assert "Looking." in ask_other(model, message)


def test_thinking_that_needs_no_thoughts_in_each_turn_stays_on() -> None:
    async def main() -> Any:
        wire = next(each for each in WIRES if each.model == "anthropic:m")
        bodies: list[dict[str, Any]] = []

        def handler(request: ChatRequest) -> Raw:
            bodies.append(dict(request.body))
            return wire.answer(False)

        async with (
            ModelServer(handler) as server,
            resolve("anthropic:m", base_url=server.origin, api_key="none") as model,
        ):
            called = go_on(ModelReply(message=Assistant(None, (ToolCall("c", "find_order", "{}"),))))
            answered: list[Message] = [*called, Assistant("It is there."), User("And now?")]
            for thinking, messages in (
                ({"type": "adaptive"}, called),
                (BUDGET["anthropic_thinking"], called),
                (BUDGET["anthropic_thinking"], answered),
            ):
                await model.respond(make_request(messages, anthropic_thinking=thinking))
        return [body.get("thinking") for body in bodies]

    assert asyncio.run(main()) == [{"type": "adaptive"}, None, BUDGET["anthropic_thinking"]]


def test_thoughts_are_no_part_of_the_text() -> None:
    assert all(THOUGHT[:6] not in (ask(one, streaming=False)[0].message.content or "") for one in THINKING)


@pytest.mark.parametrize(
    ("host", "wants"), [("api.deepseek.com", True), ("api.moonshot.ai", True), ("notdeepseek.com", False)]
)
def test_servers_that_want_thoughts_beside_each_call_get_empty_ones_for_those_of_another_model(
    host: str, wants: bool
) -> None:
    rules = find_rules("openai_chat", "m", f"https://{host}/v1")
    own = Assistant(
        None,
        (ToolCall("c", "find_order", "{}"),),
        Reasoning("o", '[["thought","I look.","reasoning_content",null,null],["call","c"]]'),
    )
    other = Assistant(None, (ToolCall("d", "find_order", "{}"),))
    messages = [
        User("go"),
        own,
        ToolResult("c", "find_order", "seen"),
        other,
        ToolResult("d", "find_order", "seen"),
    ]
    parts = [
        one.parts
        for one in Conversion(rules, "o").convert_messages(messages)
        if isinstance(one, ModelResponse)
    ]
    thoughts = [[part.content for part in each if isinstance(part, ThinkingPart)] for each in parts]
    assert thoughts == [["I look."], [""] if wants else []]


@pytest.mark.parametrize(
    "pieces", [["<think>I look.</think>\n\nLooking."], ["<thi", "nk>I look.</th", "ink>\n\nLoo", "king."]]
)
def test_a_stream_whose_tags_are_no_chunks_of_their_own_keeps_the_same_as_a_whole_reply(
    pieces: list[str],
) -> None:
    one = make_tagged(pieces)
    streamed, whole = (ask(one, streaming=streaming) for streaming in (True, False))
    assert streamed[0].message.content == whole[0].message.content == "\n\nLooking."
    assert streamed[0].message.reasoning == whole[0].message.reasoning
    assert find_back(streamed[1]) == find_back(whole[1]) == one.back
