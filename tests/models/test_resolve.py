"""How a model is resolved, and what it sends over the wire."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("pydantic_ai")

from models.calling import ASK, asked, served
from seawall.core.errors import Misused
from seawall.models.protocol import (
    Assistant,
    Message,
    Model,
    ModelReply,
    ModelRequest,
    Price,
    System,
    ToolCall,
    ToolResult,
    ToolSpec,
    User,
)
from seawall.models.providers import PROVIDERS, resolve
from seawall.models.providers.conversion import Conversion
from seawall.models.providers.model import ProviderModel
from seawall.testing import call, calls
from seawall.testing.model_server import ModelServer


def sent(request: ModelRequest) -> dict[str, Any]:
    """The body that this request makes on the OpenAI wire."""

    async def use(model: ProviderModel, server: ModelServer) -> dict[str, Any]:
        await model.respond(request)
        return server.requests[0].body

    body: dict[str, Any] = served("ok", use)
    return body


def test_a_resolved_model_has_the_name_and_price_it_was_given() -> None:
    price = Price(Decimal(1), Decimal(2))
    model = resolve("openai:gpt-5.2", api_key="k", price=price)
    assert isinstance(model, Model)
    assert (model.name, model.price) == ("openai:gpt-5.2", price)
    assert repr(model) == "<ProviderModel openai:gpt-5.2>"
    assert resolve("openai:m", base_url="http://127.0.0.1:1/v1").price is None


@pytest.mark.parametrize("name", ["gpt-5.2", "nobody:x", "openai:", ":x", ""])
def test_what_names_no_model_is_told_the_known_providers(name: str) -> None:
    with pytest.raises(Misused, match="openai, openai-responses, anthropic, google") as caught:
        resolve(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_missing_key_names_the_environment_variable(provider: str) -> None:
    with pytest.raises(Misused, match=PROVIDERS[provider].keys[0]):
        resolve(f"{provider}:x")


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("seawall.models.")]:
        if name.endswith(".providers.model") or ".clients" in name:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    monkeypatch.setitem(sys.modules, "pydantic_ai.exceptions", None)
    with pytest.raises(Misused, match=r"pip install 'path/to/seawall\[openai\]'"):
        resolve("openai:x", api_key="k")


RESOLVE_ALL = """
import json, os, sys
from pydantic_ai import models  # what all clients need, once
from seawall import Misused
from seawall.models.providers import PROVIDERS, resolve

def resolve_all(**options):
    for provider in PROVIDERS:
        try:
            yield resolve(f"{provider}:x", **options).name
        except Misused as error:
            yield str(error)

for library in sys.argv[1:]:
    child = os.fork()
    if not child:
        sys.modules[library] = None  # as if it were not installed
        print(json.dumps([library, list(resolve_all()), list(resolve_all(api_key="k"))]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
LIBRARIES = {"openai": "openai", "anthropic": "anthropic", "google.genai.client": "google"}
"""The client libraries, and the extra that brings each."""


class Told(NamedTuple):
    """What is resolved, or the error that is told, without a library: by provider."""

    without_key: dict[str, str]
    with_key: dict[str, str]


@pytest.fixture(scope="module")
def told() -> dict[str, Told]:
    """By library that is not there: each in a process of its own, since a client takes seconds to import."""
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE_ALL, *LIBRARIES], capture_output=True, text=True, check=True
    )
    found: dict[str, Told] = {}
    for line in done.stdout.splitlines():
        library, *lists = json.loads(line)
        found[library] = Told(*(dict(zip(PROVIDERS, each, strict=True)) for each in lists))
    return found


@pytest.mark.parametrize(("library", "extra"), LIBRARIES.items())
def test_without_client_and_key_the_extra_is_named_first(
    told: dict[str, Told], library: str, extra: str
) -> None:
    lines = told[library].without_key
    assert {name: "needs the extra" in line for name, line in lines.items()} == {
        name: known.extra == extra for name, known in PROVIDERS.items()
    }
    assert {name for name, line in lines.items() if "needs a key" in line} == {
        name for name, known in PROVIDERS.items() if known.extra != extra
    }


@pytest.mark.parametrize(("library", "extra"), LIBRARIES.items())
def test_a_missing_client_names_its_own_extra_and_the_others_work(
    told: dict[str, Told], library: str, extra: str
) -> None:
    missing = (
        "{0!r} needs the extra {2!r} (module {1!r} is not installed): pip install 'path/to/seawall[{2}]'"
    )
    assert told[library].with_key == {
        name: missing.format(f"{name}:x", library, extra) if known.extra == extra else f"{name}:x"
        for name, known in PROVIDERS.items()
    }


def test_each_extra_brings_one_provider_and_providers_brings_all() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    names = dict.fromkeys(known.extra for known in PROVIDERS.values())
    [version] = {extras[name][0].partition("]")[2] for name in names}

    for name in names:
        assert extras[name] == [f"pydantic-ai-slim[{name}]{version}"]
    assert extras["providers"] == [f"pydantic-ai-slim[{','.join(names)}]{version}"]


def test_the_base_url_and_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with ModelServer(lambda _: "ok") as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
            async with resolve("openai:m") as model:
                await model.respond(ASK)
            assert server.requests[0].headers["authorization"] == "Bearer from-the-environment"

    asyncio.run(main())


def test_a_server_of_ones_own_needs_no_key_and_is_not_asked_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def main() -> str | None:
        async with (
            ModelServer(lambda _: "ok") as server,
            resolve("openai:m", base_url=server.base_url) as model,
        ):
            return (await model.respond(ASK)).message.content

    assert asyncio.run(main()) == "ok"


def test_messages_that_every_server_accepts_are_on_the_wire_exactly_as_they_were_given() -> None:
    odd = '{"a":  1.0,\n "b": "\\u00e9", "z": [ ]}'
    messages: tuple[Message, ...] = (
        System("Rules.\n\n  Indented. "),
        User(" hello  "),
        Assistant("Looking.", (ToolCall("c1", "find_order", odd), ToolCall("c2", "find_order", "{ }"))),
        ToolResult("c1", "find_order", '{"x": "ünï"}'),
        ToolResult("c2", "find_order", " 0\n"),
        Assistant(None, (ToolCall("c3", "find_order", "{}"),)),
        ToolResult("c3", "find_order", "<pyai:context> [1, 2]"),
        Assistant(" ok "),
        System("A note in the middle."),
        User("one\n"),
        Assistant("<think>shown</think> done"),
        User("bye"),
    )

    def function(call_id: str, arguments: str) -> dict[str, Any]:
        return {"id": call_id, "type": "function", "function": {"name": "find_order", "arguments": arguments}}

    assert sent(ModelRequest(messages=messages))["messages"] == [
        {"role": "system", "content": "Rules.\n\n  Indented. "},
        {"role": "user", "content": " hello  "},
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [function("c1", odd), function("c2", "{ }")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"x": "ünï"}'},
        {"role": "tool", "tool_call_id": "c2", "content": " 0\n"},
        {"role": "assistant", "content": None, "tool_calls": [function("c3", "{}")]},
        {"role": "tool", "tool_call_id": "c3", "content": "<pyai:context> [1, 2]"},
        {"role": "assistant", "content": " ok "},
        {"role": "system", "content": "A note in the middle."},
        {"role": "user", "content": "one\n"},
        {"role": "assistant", "content": "<think>shown</think> done"},
        {"role": "user", "content": "bye"},
    ]


@pytest.mark.parametrize("streaming", [False, True])
def test_arguments_come_back_byte_for_byte(streaming: bool) -> None:
    odd = '{"a":  1.0,\n "b": "\\u00e9", "z": [ ], "half": '

    async def use(model: ProviderModel, _: ModelServer) -> ModelReply:
        reply = (await asked(model, streaming=streaming))[-1]
        assert isinstance(reply, ModelReply)
        return reply

    reply: ModelReply = served(calls(call("f", odd), call("g"), text=" Both. "), use)
    assert reply.message.content == " Both. "
    assert [one.arguments for one in reply.message.calls] == [odd, "{}"]


def test_tools_and_settings_are_passed_on_as_they_are() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "default": 3}}, "title": "T"}
    settings: Mapping[str, Any] = {"top_p": 0.5, "seed": 7, "extra_body": {"user": "s-1", "odd": [1]}}
    request = ModelRequest(
        messages=(User("q"),),
        tools=(ToolSpec("t", "Does t.", schema),),
        max_output_tokens=77,
        temperature=0.25,
        settings=settings,
    )
    body = sent(request)
    assert body["tools"] == [
        {"type": "function", "function": {"name": "t", "description": "Does t.", "parameters": schema}}
    ]
    wanted = {
        "max_completion_tokens": 77,
        "temperature": 0.25,
        "top_p": 0.5,
        "seed": 7,
        "user": "s-1",
        "odd": [1],
    }
    assert {name: body.get(name) for name in wanted} == wanted


def test_a_setting_that_would_turn_retries_on_is_refused() -> None:
    async def use(model: ProviderModel, server: ModelServer) -> None:
        with pytest.raises(
            Misused, match=r"settings\['max_retries'\] = 5 is not used: see the step's retry policy"
        ):
            await model.respond(ModelRequest(messages=(User("q"),), settings={"max_retries": 5}))
        assert server.request_count == 0

    served("ok", use)


def test_a_message_that_was_converted_once_is_not_converted_again() -> None:
    conversion, first = Conversion(), User("q")
    one = conversion.convert_messages([first])
    two = conversion.convert_messages([first, Assistant("a"), User("r")])
    assert one[0].parts[0] is two[0].parts[0]
