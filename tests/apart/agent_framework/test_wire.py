"""Agent Framework with its OpenAI client against a server: what is sent stays as it was, and the server's count is the record's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from agent_framework import Agent, AgentSession, Message, tool
from agent_framework_openai import OpenAIChatCompletionClient
from openai import AsyncOpenAI
from pydantic import BaseModel

from adapters.last_requests import LAST, Insatiable, check_last, read_results
from apart.agent_framework.agents_desk import read_outcome
from seawall import Limits, Loops
from seawall.adapters.agent_framework import MiddlewareHalted, gate
from seawall.runtime.foreign.engine import Engine
from seawall.testing import call, calls, say
from seawall.testing.model_server import ModelServer

ANSWER = {"order": 7, "state": "paid"}
SCRIPT = [
    calls(call("find_order", order=7), call("find_order", order=8)),
    call("find_order", order=-1),
    call("find_customer", name="Ümit"),
    say(json.dumps(ANSWER)),
]


class Found(BaseModel):
    order: int
    state: str


@tool(approval_mode="never_require")
def find_order(order: int) -> dict[str, Any]:
    """Finds an order."""
    if order < 0:
        raise ValueError("orders have positive numbers")
    return {"order": order, "state": "paid", "lines": [1.5, None]}


@tool(approval_mode="never_require")
def find_customer(name: str) -> str:
    """Finds a customer."""
    return f"{name} is known"


def make_agent(client: AsyncOpenAI, gates: list[Any], config: Any = None) -> Agent[Any]:
    chat: Any = OpenAIChatCompletionClient(
        model="gpt-test", async_client=client, function_invocation_configuration=config
    )
    options: Any = {"temperature": 0.1, "max_tokens": 300}
    return Agent(
        chat,
        "Be brief.",
        name="clerk",
        tools=[find_order, find_customer],
        default_options=options,
        middleware=gates,
    )


async def ask(
    gates: list[Any], *, stream: bool, form: type[BaseModel] | None, session: bool
) -> tuple[list[Any], Any]:
    """The bodies that the server got, and the answer."""
    async with (
        ModelServer(SCRIPT) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
    ):
        agent = make_agent(client, gates, {"include_detailed_errors": True})
        options: Any = None if form is None else {"response_format": form}
        kept = AgentSession(session_id="thread-1") if session else None
        if stream:
            result = await agent.run(
                "What of orders 7 and 8?", stream=True, options=options, session=kept
            ).get_final_response()
        else:
            result = await agent.run("What of orders 7 and 8?", options=options, session=kept)
        answer: Any = result.text if form is None else result.value
        return [_mask_ids(request.body) for request in server.requests], answer


def _mask_ids(body: Any) -> Any:
    """Returns a body without the ids of calls, which the server makes anew each time."""
    text = json.dumps(body)
    for number, found in enumerate(dict.fromkeys(_find_ids(body))):
        text = text.replace(json.dumps(found), f'"id-{number}"')
    return json.loads(text)


def _find_ids(body: Any) -> list[str]:
    return [each["id"] for message in body["messages"] for each in message.get("tool_calls") or []]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("form", [None, Found], ids=["text", "structured"])
@pytest.mark.parametrize("session", [False, True], ids=["no session", "session"])
def test_nothing_that_is_sent_changes_where_no_guard_spoke(
    tmp_path: Path, stream: bool, form: type[BaseModel] | None, session: bool
) -> None:
    plain, answer = asyncio.run(ask([], stream=stream, form=form, session=session))
    with Engine(tmp_path / "desk.db") as engine:
        gates = [gate(engine, request_id="r-1")]
        gated, same = asyncio.run(ask(gates, stream=stream, form=form, session=session))
        again, replayed = asyncio.run(ask(gates, stream=stream, form=form, session=session))
        models = engine.coverage().models

    assert len(plain) == 4
    assert gated == plain
    assert "orders have positive numbers" in str(plain)
    assert (same, replayed) == (answer, answer)
    assert again == []
    assert models == {"openai:gpt-test": 4}


def test_a_request_that_was_cut_off_is_sent_again_as_it_was(tmp_path: Path) -> None:
    """The replies before it are given again from the record."""

    async def run(gates: list[Any], server: ModelServer) -> None:
        async with AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
            await make_agent(client, gates).run("What of orders 7 and 8?")

    async def crash() -> tuple[list[Any], list[Any]]:
        async with ModelServer(SCRIPT) as server:
            await run([], server)
            plain = [_mask_ids(request.body) for request in server.requests]
        async with ModelServer(SCRIPT) as server:
            with Engine(tmp_path / "desk.db") as engine:
                running = asyncio.ensure_future(run([gate(engine, request_id="r-1")], server))
                while server.request_count < 3:
                    assert not running.done()
                    await asyncio.sleep(0)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            with Engine(tmp_path / "desk.db") as engine:
                await run([gate(engine, request_id="r-1")], server)
            return plain, [_mask_ids(request.body) for request in server.requests]

    plain, sent = asyncio.run(crash())
    assert sent == [*plain[:3], plain[2]]


def test_a_loop_ends_and_the_server_has_counted_as_many_calls(tmp_path: Path) -> None:
    async def run(engine: Engine) -> int:
        async with (
            ModelServer(lambda request: call("find_customer", name=f"{len(request.messages)}")) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            agent = make_agent(client, [gate(engine, limits=Limits(model_calls=5, at_limit="halt"))])
            with pytest.raises(MiddlewareHalted) as halted:
                await agent.run("Find all")
            assert halted.value.outcome is not None
            assert halted.value.outcome.model_calls == server.request_count
            return server.request_count

    with Engine(tmp_path / "desk.db") as engine:
        assert asyncio.run(run(engine)) == engine.coverage().models["openai:gpt-test"] == 5


def test_advice_reaches_the_model(tmp_path: Path) -> None:
    async def run(engine: Engine) -> str:
        async with (
            ModelServer(lambda request: call("find_customer", name="Kim")) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            with pytest.raises(MiddlewareHalted, match="nothing new"):
                await make_agent(client, [gate(engine)]).run("Find Kim")
            return json.dumps([request.body for request in server.requests])

    with Engine(tmp_path / "desk.db", guards=[Loops()]) as engine:
        assert "nothing new" in asyncio.run(run(engine))


def test_a_conversation_is_recorded_in_proportion_to_its_length(tmp_path: Path) -> None:
    """Each message is kept once."""

    async def talk(engine: Engine, turns: int) -> None:
        async with (
            ModelServer(lambda request: say("Yes. " * 40)) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            agent, session = make_agent(client, [gate(engine)]), AgentSession()
            for turn in range(turns):
                await agent.run(Message("user", [f"Is it {turn}? " * 40]), session=session)

    sizes: dict[int, int] = {}
    for turns in (10, 20):
        with Engine(tmp_path / f"{turns}.db") as engine:
            asyncio.run(talk(engine, turns))
        sizes[turns] = (tmp_path / f"{turns}.db").stat().st_size
    assert sizes[20] < 2.4 * sizes[10]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("limit", ["tool_calls", "model_calls"])
def test_a_limit_ends_with_an_answer_without_tools(tmp_path: Path, limit: str, stream: bool) -> None:
    script, limits = Insatiable(), {"tool_calls": Limits(tool_calls=2), "model_calls": Limits(model_calls=3)}

    async def run(engine: Engine) -> str:
        async with (
            ModelServer(script) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            gated = gate(engine, limits=limits[limit], request_id="r-1")
            agent = make_agent(client, [gated])
            if stream:
                return (await agent.run("Find all", stream=True).get_final_response()).text
            return (await agent.run("Find all")).text

    with Engine(tmp_path / "desk.db") as engine:
        assert asyncio.run(run(engine)) == LAST
        outcome = read_outcome(engine, "r-1")
    assert (outcome.status, outcome.answer, outcome.pruned) == ("completed", LAST, ("limits",))
    assert outcome.tool_calls == 2
    check_last(script.requests, f"{limit}={2 if limit == 'tool_calls' else 3}")
    if limit == "tool_calls":
        assert "Not done: tool 'find_order'" in read_results(script.requests[-1])[-1]
