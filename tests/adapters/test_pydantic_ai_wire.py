"""Pydantic AI with its OpenAI model against a server: what is sent stays as it was, and the server's count is the record's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, NativeOutput, RunContext, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from adapters.last_requests import LAST, Insatiable, check_last, may_call, read_results
from adapters.pydantic_desk import read_outcome
from seawall import Limits, Loops
from seawall.adapters.pydantic_ai import AgentHalted, SeawallCapability
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


def make_agent(
    server: ModelServer, client: AsyncOpenAI, gates: list[Any], output_type: Any
) -> Agent[Any, Any]:
    model = OpenAIChatModel("gpt-test", provider=OpenAIProvider(openai_client=client))
    agent: Agent[Any, Any] = Agent(
        model,
        name="clerk",
        output_type=output_type,
        system_prompt="You are a clerk.",
        instructions="Be brief.",
        model_settings={"temperature": 0.1, "max_tokens": 300},
        retries=2,
        capabilities=gates,
    )

    @agent.tool
    def find_order(ctx: RunContext[Any], order: int) -> dict[str, Any]:
        """Finds an order."""
        if order < 0:
            raise ModelRetry("orders have positive numbers")
        return {"order": order, "state": "paid", "lines": [1.5, None]}

    @agent.tool_plain
    def find_customer(name: str) -> str:
        """Finds a customer."""
        return f"{name} is known"

    return agent


async def ask(gates: list[Any], *, stream: bool = False, output_type: Any = str) -> tuple[list[Any], Any]:
    """The bodies that the server got, and the output."""
    async with (
        ModelServer(SCRIPT) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
    ):
        agent = make_agent(server, client, gates, output_type)
        if stream:
            async with agent.run_stream("What of orders 7 and 8?") as result:
                output: Any = await result.get_output()
        else:
            output = (await agent.run("What of orders 7 and 8?")).output
        return [_mask_ids(request.body) for request in server.requests], output


def _mask_ids(body: Any) -> Any:
    """Returns a body without the ids of calls, which the server makes anew each time."""
    text = json.dumps(body)
    for number, found in enumerate(dict.fromkeys(_find_ids(body))):
        text = text.replace(json.dumps(found), f'"id-{number}"')
    return json.loads(text)


def _find_ids(body: Any) -> list[str]:
    return [each["id"] for message in body["messages"] for each in message.get("tool_calls") or []]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("output_type", [str, NativeOutput(Found)], ids=["text", "structured"])
def test_nothing_that_is_sent_changes_where_no_guard_spoke(
    tmp_path: Path, stream: bool, output_type: Any
) -> None:
    plain, output = asyncio.run(ask([], stream=stream, output_type=output_type))
    with Engine(tmp_path / "desk.db") as engine:
        gate = SeawallCapability(engine, request_id="r-1")
        gated, same = asyncio.run(ask([gate], stream=stream, output_type=output_type))
        again, replayed = asyncio.run(ask([gate], stream=stream, output_type=output_type))
        models = engine.coverage().models

    assert len(plain) == 4
    assert gated == plain
    assert (same, replayed) == (output, output)
    assert again == []
    assert models == {"openai:gpt-test": 4}


def test_a_loop_ends_and_the_server_has_counted_as_many_calls(tmp_path: Path) -> None:
    async def run(engine: Engine) -> int:
        async with (
            ModelServer(lambda request: call("find_customer", name=f"{len(request.messages)}")) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            gate = SeawallCapability(engine, limits=Limits(model_calls=5, at_limit="halt"))
            agent = make_agent(server, client, [gate], str)
            with pytest.raises(AgentHalted) as halted:
                await agent.run("Find all", usage_limits=UsageLimits(request_limit=None))
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
            agent = make_agent(server, client, [SeawallCapability(engine)], str)
            with pytest.raises(AgentHalted, match="nothing new"):
                await agent.run("Find Kim")
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
            agent = make_agent(server, client, [SeawallCapability(engine)], str)
            history: list[Any] = []
            for turn in range(turns):
                result = await agent.run(
                    f"Is it {turn}? " * 40, message_history=history, conversation_id=f"thread-{turns}"
                )
                history = result.all_messages()

    sizes: dict[int, int] = {}
    for turns in (10, 20):
        with Engine(tmp_path / f"{turns}.db") as engine:
            asyncio.run(talk(engine, turns))
        sizes[turns] = (tmp_path / f"{turns}.db").stat().st_size
    assert sizes[20] < 2.4 * sizes[10]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("limit", ["tool_calls", "model_calls"])
def test_a_limit_ends_with_an_answer_without_tools(limit: str, streamed: bool) -> None:
    script, limits = Insatiable(), {"tool_calls": Limits(tool_calls=2), "model_calls": Limits(model_calls=3)}

    async def main(engine: Engine) -> str:
        async with (
            ModelServer(script) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            gate = SeawallCapability(engine, limits=limits[limit], request_id="r-1")
            agent = make_agent(server, client, [gate], str)
            if not streamed:
                return (await agent.run("Find all")).output
            async with agent.run_stream("Find all") as result:
                return await result.get_output()

    with Engine(":memory:") as engine:
        assert asyncio.run(main(engine)) == LAST
        outcome = read_outcome(engine, "r-1")
    assert (outcome.status, outcome.answer, outcome.pruned) == ("completed", LAST, ("limits",))
    assert outcome.tool_calls == 2
    check_last(script.requests, f"{limit}={2 if limit == 'tool_calls' else 3}")
    if limit == "tool_calls":
        assert "Not done: tool 'find_order'" in read_results(script.requests[-1])[-1]


def test_at_a_limit_a_structured_answer_is_still_asked_for_in_its_form() -> None:
    def answer(request: Any) -> Any:
        choice = request.body.get("tool_choice")
        return (
            call("final_result", **ANSWER)
            if isinstance(choice, dict)
            else call("find_order", order=request.number)
        )

    async def main(engine: Engine) -> tuple[Any, list[Any]]:
        async with (
            ModelServer(answer) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            gate = SeawallCapability(engine, limits=Limits(tool_calls=1))
            result = await make_agent(server, client, [gate], Found).run("Find all")
            return result.output, list(server.requests)

    with Engine(":memory:") as engine:
        found, requests = asyncio.run(main(engine))
    assert found == Found(order=7, state="paid")
    assert may_call(requests[0])
    assert "final_result" in json.dumps(requests[-1].body["tool_choice"])
    assert "find_order" not in json.dumps(requests[-1].body["tool_choice"])
