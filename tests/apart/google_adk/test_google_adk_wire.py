"""Google ADK with its Gemini model against a server: what is sent stays as it was, and the server's count is the record's."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.adk.models.google_llm import Gemini
from google.adk.models.llm_request import LlmRequest
from google.adk.tools.set_model_response_tool import SetModelResponseTool
from google.genai import Client, types
from google.genai.errors import ClientError
from pydantic import BaseModel

from apart.google_adk.adk_desk import ANSWER, REFUND, Desk, Reply, ask, read_answer, read_outcome
from seawall import Limits
from seawall.adapters.google_adk import AdkHalted
from seawall.adapters.google_adk.messages import fit_request
from seawall.runtime.foreign.asks import Turn
from seawall.runtime.foreign.engine import Engine
from seawall.testing.model_server import ModelServer
from seawall.testing.wire import ChatRequest, Raw, answer_json

MODEL = "gemini-3.5-flash"


def make_handler(script: Sequence[Reply]) -> Any:
    """Answers in Gemini's protocol, as a whole or as a stream, by how many replies the request has in it."""

    def handle(request: ChatRequest) -> Raw:
        answered = sum(each.get("role") == "model" for each in request.body["contents"])
        reply = script[min(answered, len(script) - 1)]
        if isinstance(reply, str):
            parts: list[Any] = [{"text": word + " "} for word in reply.split()]
        else:
            assert not isinstance(reply, Exception)
            parts = [{"functionCall": {"name": name, "args": arguments}} for name, arguments in reply]
        if "streamGenerateContent" not in request.path:
            return answer_json(200, _make_body(parts, "STOP"))
        chunks = [_make_body([part], "STOP" if part is parts[-1] else None) for part in parts]
        sent = [f"data: {json.dumps(chunk)}\r\n\r\n".encode() for chunk in chunks]
        return Raw(headers={"content-type": "text/event-stream"}, parts=sent)

    return handle


def _make_body(parts: list[Any], finish: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 20, "candidatesTokenCount": 5, "totalTokenCount": 25}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL}


@contextlib.asynccontextmanager
async def connect(server: ModelServer) -> AsyncGenerator[Gemini]:
    """A model of the server."""
    options = types.HttpOptions(base_url=server.origin, async_client_args={"trust_env": False})
    client = Client(api_key="k", http_options=options)
    try:
        yield Gemini(model=MODEL, client=client)
    finally:
        await client.aio.aclose()


async def talk(
    engine: Engine | None, script: Sequence[Reply] = REFUND, *, stream: bool = False, **options: Any
) -> tuple[list[Any], str, Desk]:
    """The bodies that the server got, the answer, and the desk."""
    desk = Desk()
    async with ModelServer(make_handler(script), any_path=True) as server, connect(server) as model:
        agent = desk.make_agent(
            model=model,
            instruction="You are a clerk.",
            generate_content_config=types.GenerateContentConfig(temperature=0.1, max_output_tokens=300),
        )
        events = await ask(desk.make_runner(engine, agent=agent, **options), stream=stream)
        return [(each.path, json.dumps(each.body)) for each in server.requests], read_answer(events), desk


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_nothing_that_is_sent_changes_where_no_guard_spoke(tmp_path: Path, stream: bool) -> None:
    plain, answer, _ = asyncio.run(talk(None, stream=stream))
    with Engine(tmp_path / "desk.db", effects=["refund"]) as engine:
        gated, same, desk = asyncio.run(talk(engine, stream=stream, request_id="r-1"))
        again, replayed, idle = asyncio.run(talk(engine, stream=stream, request_id="r-1"))
        models, outcome = engine.coverage().models, read_outcome(engine)

    assert len(plain) == 3
    assert gated == plain
    assert (same, replayed) == (answer, answer)
    assert answer.split() == ANSWER.split()
    assert again == []
    assert (desk.refunds, idle.refunds) == ([(1042, 5)], [])
    assert models == {f"google:{MODEL}": 3}
    assert outcome.tokens == 3 * 25


def test_a_loop_ends_and_the_server_has_counted_as_many_calls(tmp_path: Path) -> None:
    async def run(engine: Engine) -> int:
        desk, asked = Desk(), 0

        def reply(request: ChatRequest) -> Raw:
            nonlocal asked
            asked += 1
            call = {"name": "find_order", "args": {"order": asked}}
            return answer_json(200, _make_body([{"functionCall": call}], "STOP"))

        async with ModelServer(reply, any_path=True) as server, connect(server) as model:
            agent = desk.make_agent(model=model)
            with pytest.raises(AdkHalted) as halted:
                await ask(
                    desk.make_runner(engine, agent=agent, limits=Limits(model_calls=5, at_limit="halt"))
                )
            assert halted.value.outcome is not None
            assert halted.value.outcome.model_calls == server.request_count
            return server.request_count

    with Engine(tmp_path / "desk.db") as engine:
        assert asyncio.run(run(engine)) == engine.coverage().models[f"google:{MODEL}"] == 5


def test_a_server_that_fails_ends_the_run_with_its_error(tmp_path: Path) -> None:
    async def run(engine: Engine) -> None:
        desk, refusal = Desk(), answer_json(400, {"error": {"message": "no"}})
        async with ModelServer(lambda _: refusal, any_path=True) as server, connect(server) as model:
            with pytest.raises(ClientError, match="400"):
                await ask(desk.make_runner(engine, agent=desk.make_agent(model=model)))

    with Engine(tmp_path / "desk.db") as engine:
        asyncio.run(run(engine))
        assert read_outcome(engine).status == "failed"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("limit", ["tool_calls", "model_calls"])
def test_a_limit_ends_with_an_answer_without_tools(tmp_path: Path, limit: str, stream: bool) -> None:
    script: list[Reply] = [*([("find_order", {"order": each})] for each in range(9)), "never"]
    told = {"tool_calls": Limits(tool_calls=2), "model_calls": Limits(model_calls=3)}

    def reply(request: ChatRequest) -> Raw:
        return make_handler([ANSWER] if _is_without_tools(request.body) else script)(request)

    async def run(engine: Engine) -> tuple[str, list[Any]]:
        desk = Desk()
        async with ModelServer(reply, any_path=True) as server, connect(server) as model:
            runner = desk.make_runner(engine, agent=desk.make_agent(model=model), limits=told[limit])
            events = await ask(runner, stream=stream)
            assert len(desk.reads) == 2
            return read_answer(events), [each.body for each in server.requests]

    with Engine(tmp_path / "desk.db") as engine:
        answer, bodies = asyncio.run(run(engine))
        outcome = read_outcome(engine)

    assert answer.split() == ANSWER.split()
    assert (outcome.status, outcome.pruned, outcome.tool_calls) == ("completed", ("limits",), 2)
    assert [_is_without_tools(body) for body in bodies] == [False] * (len(bodies) - 1) + [True]
    assert "so this is your last reply" in json.dumps(bodies[-1]["contents"][-1])
    if limit == "tool_calls":
        assert "Not done: tool 'find_order'" in json.dumps(bodies[-1]["contents"][-2])


def _is_without_tools(body: dict[str, Any]) -> bool:
    return body.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode") == "NONE"


class Form(BaseModel):
    state: str


def test_an_answer_in_a_form_is_still_given_by_its_tool() -> None:
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[])])
    request = LlmRequest(config=config, tools_dict={"set_model_response": SetModelResponseTool(Form)})
    fitted = fit_request(request, Turn(step=1, last=True), 300)
    told: Any = fitted.config.tool_config
    chosen = told.function_calling_config

    assert (chosen.mode, chosen.allowed_function_names) == ("ANY", ["set_model_response"])
    assert request.config.tool_config is None
