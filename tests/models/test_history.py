"""Conversations that servers would refuse are sent as they accept them: real clients, strict loopback servers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("pydantic_ai")

from models.calling import asked
from models.strict import CHECKS
from models.wires import WIRES
from seawall.models.protocol import (
    Assistant,
    Message,
    ModelRequest,
    System,
    ToolCall,
    ToolResult,
    ToolSpec,
    User,
)
from seawall.models.providers import resolve
from seawall.models.providers.history import History, Names
from seawall.models.providers.wire_rules import ANTHROPIC, CHAT, GEMINI, MISTRAL, RESPONSES
from seawall.testing.model_server import ModelServer
from seawall.testing.wire import ChatRequest, Raw

WIRE_OF = {name: next(one for one in WIRES if name.startswith(one.model[:-1])) for name in CHECKS}
ALL_RULES = (CHAT, MISTRAL, RESPONSES, ANTHROPIC, GEMINI)
LOOK = ToolSpec("look", "Looks.", {"type": "object", "properties": {}})


def sent(model: str, *requests: ModelRequest) -> list[dict[str, Any]]:
    """What the real client sends to its server."""
    wire = WIRE_OF[model]

    async def main() -> list[dict[str, Any]]:
        bodies: list[dict[str, Any]] = []

        def handler(request: ChatRequest) -> Raw:
            bodies.append(dict(request.body))
            return wire.answer(False)

        async with ModelServer(handler) as server:
            url = server.origin + wire.path
            async with resolve(model, base_url=url, api_key="none") as client:
                for request in requests:
                    await client.respond(request)
        return bodies

    return asyncio.run(main())


def turn(*calls: ToolCall, text: str | None = None) -> list[Message]:
    return [
        Assistant(text, calls),
        *(ToolResult(one.id, one.name, f"result of {one.id}") for one in calls),
    ]


FIRST = User("go")
CASES: dict[str, list[Message]] = {
    "a name with a space": [FIRST, *turn(ToolCall("c", "look now", "{}"))],
    "an empty name": [FIRST, *turn(ToolCall("c", "", "{}"))],
    "a name of 200 characters": [FIRST, *turn(ToolCall("c", "x" * 200, "{}"))],
    "a name of digits": [FIRST, *turn(ToolCall("c", "42", "{}"))],
    "a name with a control character": [FIRST, *turn(ToolCall("c", "look\0<|x|>", "{}"))],
    "Kimi's id": [FIRST, *turn(ToolCall("functions.look:0", "look", "{}"))],
    "an id that is too long": [FIRST, *turn(ToolCall("c" * 200, "look", "{}"))],
    "an empty id": [FIRST, *turn(ToolCall("", "look", "{}"))],
    "an id of two parts": [FIRST, *turn(ToolCall("call_1|fc_1", "look", "{}"))],
    "the same id in two turns": [
        FIRST,
        *turn(ToolCall("c", "look", "{}")),
        *turn(ToolCall("c", "look", "{}")),
    ],
    "the same id twice in a turn": [
        FIRST,
        *turn(ToolCall("c", "look", "{}"), ToolCall("c", "look", "{}")),
    ],
    "blank text beside a call": [FIRST, *turn(ToolCall("c", "look", "{}"), text=" \n")],
    "an empty message": [FIRST, Assistant(), User("on")],
    "a blank message": [FIRST, Assistant("  "), User("on")],
    "a blank request": [User(""), Assistant("yes?"), User("\t")],
    "a blank result": [FIRST, Assistant(None, (ToolCall("c", "look", "{}"),)), ToolResult("c", "look", "")],
    "blank instructions": [System("  "), FIRST],
    "two requests in a row": [FIRST, User("on")],
    "two answers in a row": [FIRST, Assistant("a"), Assistant("b"), User("on")],
    "an answer, then a call": [FIRST, Assistant("a"), *turn(ToolCall("c", "look", "{}"))],
    "no request first": [Assistant("a"), User("on")],
    "a result first": [ToolResult("c", "look", "seen"), User("on")],
    "nothing but instructions": [System("Be good.")],
    "the assistant last": [FIRST, Assistant("It was ")],
    "a call without a result": [FIRST, Assistant(None, (ToolCall("c", "look", "{}"),)), User("on")],
    "a result without a call": [FIRST, Assistant("[erased]"), ToolResult("c", "look", "seen"), User("on")],
    "two results of a call": [FIRST, *turn(ToolCall("c", "look", "{}")), ToolResult("c", "look", "again")],
    "a request behind a result": [FIRST, *turn(ToolCall("c", "look", "{}")), User("on")],
    "64 calls at once": [FIRST, *turn(*(ToolCall(f"c{n}", "look", "{}") for n in range(64)))],
    "zero characters and surrogates": [User("a\0b\ud83d"), Assistant("\udc00"), User("on")],
}
ARGUMENTS = [
    *("", " ", "null", "[1]", '"text"', "5", '{"a":', "look(1)", '{"a": NaN}', '{"a": [-Infinity]}'),
    *('{"a": 1e999}', '{"a": 1, "a": 2}', '{"a": "\\ud800"}', '{"\\u0000": "\\u0000"}', '{"a": "\0"}'),
    *(
        f'{{"a": {10**30}}}',
        f'{{"a": {"9" * 5000}}}',
        '{"a": -9223372036854775809}',
        '{"a":' * 90 + "1" + "}" * 90,
    ),
    *("[" * 100_000, '{"a": "\ud800"}', "{'a': 1}", '{"a": 1} {"b": 2}', "\ufeff{}"),
]


@pytest.mark.parametrize("model", CHECKS)
def test_no_server_refuses_what_a_model_once_wrote(model: str) -> None:
    for with_tools in ((LOOK,), ()):
        histories = [*CASES.values(), *([FIRST, *turn(ToolCall("c", "look", one))] for one in ARGUMENTS)]
        bodies = sent(model, *(ModelRequest(messages=one, tools=with_tools) for one in histories))
        names = [*CASES, *ARGUMENTS]
        assert {
            name: found for name, body in zip(names, bodies, strict=True) if (found := CHECKS[model](body))
        } == {}


NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""Each example starts a server."""

texts = st.one_of(st.none(), st.sampled_from(["", " ", "a", "b\n", "\0", "\ud800"]), st.text(max_size=4))
call_names = st.one_of(
    st.sampled_from(["look", "größe", "look now", "", "x" * 70, "_", "look_now"]), st.text()
)
call_ids = st.one_of(st.sampled_from(["c", "d", "", "functions.look:0", "i" * 50, "A1b2C3d4E"]), st.text())
written = st.one_of(
    st.sampled_from(ARGUMENTS[:20]),
    st.text(max_size=8),
    st.dictionaries(st.text(max_size=3), st.floats() | st.text(max_size=3)).map(json.dumps),
)
made_calls = st.lists(st.builds(ToolCall, call_ids, call_names, written), max_size=3).map(tuple)
messages = st.lists(
    st.one_of(
        st.builds(User, texts.map(lambda text: text or "")),
        st.builds(Assistant, texts, made_calls),
        st.builds(ToolResult, call_ids, call_names, texts.map(lambda text: text or "")),
        st.builds(lambda calls: turn(*calls), made_calls),
    ),
    max_size=8,
).map(lambda given: [each for one in given for each in (one if isinstance(one, list) else [one])])
tools = st.lists(st.sampled_from(["look", "größe", "_", "x" * 70, "t" * 64]), unique=True).map(
    lambda names: tuple(ToolSpec(name, "", {"type": "object", "properties": {}}) for name in names)
)


@pytest.mark.parametrize("model", CHECKS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=NO_SHRINKING)
@given(histories=st.lists(st.tuples(messages, tools), min_size=1, max_size=6))
def test_no_server_refuses_a_generated_conversation(
    model: str, histories: list[tuple[list[Message], tuple[ToolSpec, ...]]]
) -> None:
    requests = [ModelRequest(messages=given, tools=offered) for given, offered in histories]
    for body, request in zip(sent(model, *requests), requests, strict=True):
        assert CHECKS[model](body) == [], request


def none(_: object) -> Sequence[str]:
    return ()


@pytest.mark.parametrize("rules", ALL_RULES, ids=["chat", "mistral", "responses", "anthropic", "gemini"])
@given(history=messages, offered=tools, more=messages)
def test_a_conversation_that_grows_keeps_its_beginning(
    rules: Any, history: list[Message], offered: tuple[ToolSpec, ...], more: list[Message]
) -> None:
    """Another process repairs it in the same way, and so does one that has repaired it before."""
    first = History(rules, "", none)
    short = first.repair(history, Names(rules, offered))
    assert History(rules, "", none).repair(history, Names(rules, offered)) == short
    asked = [*history, User("on")]
    before = first.repair(asked, Names(rules, offered))
    longer = first.repair([*asked, *more], Names(rules, offered))
    assert longer[: len(before)] == before
    assert first.repair(history, Names(rules, offered)) == short


@pytest.mark.parametrize("rules", ALL_RULES, ids=["chat", "mistral", "responses", "anthropic", "gemini"])
@given(offered=st.lists(call_names, unique=True), others=st.lists(call_names))
def test_names_are_sent_one_to_one_and_none_becomes_a_tools(
    rules: Any, offered: list[str], others: list[str]
) -> None:
    once = Names(rules, [])
    derived = [once.send(name) for name in others]  # a model sees these, and may write them itself
    known = [*offered, *derived[:1]]
    specs = [ToolSpec(name, "", {}) for name in dict.fromkeys(known)]
    names = Names(rules, specs)
    every = dict.fromkeys([*known, *others, *derived])
    given = [names.send(name) for name in every]
    assert len(set(given)) == len(every)
    assert all(names.receive(names.send(spec.name)) == spec.name for spec in specs)
    assert all(rules.tool_name.fullmatch(name) for name in given)


@pytest.mark.parametrize("model", CHECKS)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_tool_whose_name_no_server_takes_is_offered_and_called_under_another(
    model: str, streaming: bool
) -> None:
    wire = WIRE_OF[model]

    async def main() -> None:
        def handler(request: ChatRequest) -> Raw:
            assert CHECKS[model](dict(request.body)) == []
            named = re.search(r"suche_gr_e_\w{9}", json.dumps(request.body))
            assert named is not None
            answer = wire.answer(streaming)
            parts = [
                part.replace(b"find_order", named[0].encode())
                for part in answer.parts
                if isinstance(part, bytes)
            ]
            return Raw(headers=dict(answer.headers), parts=parts)

        request = ModelRequest(
            messages=[FIRST, *turn(ToolCall("c", "suche_größe", "{}"))],
            tools=(ToolSpec("suche_größe", "Sucht.", {"type": "object", "properties": {}}),),
        )
        async with (
            ModelServer(handler) as server,
            resolve(model, base_url=server.origin + wire.path, api_key="none") as client,
        ):
            reply: Any = (await asked(client, streaming=streaming, request=request))[-1]
        assert [one.name for one in reply.message.calls] == ["suche_größe"]

    asyncio.run(main())


def test_what_every_server_accepts_is_sent_byte_for_byte() -> None:
    odd = '{"a":  1.0,\n "b": "\\u00e9", "z": [ 9007199254740993 ]}'
    calls = (ToolCall("call_1", "look", odd), ToolCall("A1b2C3d4E", "gone", "{ }"))
    history = [System(" Be good. "), User(" go\n"), *turn(*calls, text=" Looking.\n")]
    for rules in ALL_RULES:
        repaired = History(rules, "", none).repair(history, Names(rules, [LOOK]))
        kept = history if rules is not MISTRAL else [*history[:2], *repaired[2:4], history[4]]
        assert all(one is other for one, other in zip(repaired, kept, strict=True))
