"""The runner for the OpenAI Agents SDK against a model server on loopback: what is sent, and how often."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIProvider,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
)
from openai import AsyncOpenAI

from adapters.last_requests import LAST, Insatiable, check_last, read_results
from seawall import Limits
from seawall.adapters.openai_agents import AgentsHalted, SeawallRunner, find_outcome
from seawall.runtime.foreign.engine import Engine
from seawall.testing import ModelServer, call, say
from seawall.testing.faults import Answer, overloaded
from seawall.testing.wire import ChatRequest

Sent = list[bytes]
Run = Callable[..., Any]
QUESTIONS = ("Where is order 1042?", "And order 7?", "Thank you!")


def answer(request: ChatRequest) -> Answer:
    """Looks orders up, one by one or two at once, and asks a colleague."""
    last = request.messages[-1]
    if last["role"] != "user":
        return say(f"Found: {last['content']}")
    if "7" in str(last["content"]):
        return call("ask_colleague", input="order 7")
    return call("find_order", order=1042) if "1042" in str(last["content"]) else say("You are welcome.")


def make_agent(client: AsyncOpenAI) -> Agent[Any]:
    @function_tool
    def find_order(order: int, by: str = "id") -> str:
        """Find an order."""
        return f"order {order} by {by}: shipped"

    model = OpenAIChatCompletionsModel("own-model", client)
    colleague = Agent(name="colleague", instructions="You know all.", model=model)
    return Agent(
        name="clerk",
        instructions="Help, briefly.",
        tools=[find_order, colleague.as_tool("ask_colleague", "Asks a colleague.")],
        handoffs=[Agent(name="nobody", handoff_description="Is never asked.")],
        model_settings=ModelSettings(temperature=0.2, max_tokens=200),
    )


async def converse(make_run: Callable[[], Run], *, streamed: bool) -> Sent:
    """Plays a conversation in three requests, and returns what the server was sent."""
    sent: Sent = []

    def keep(request: ChatRequest) -> Answer:
        sent.append(json.dumps(request.body).encode())
        return answer(request)

    async with (
        ModelServer(keep) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
    ):
        provider = OpenAIProvider(openai_client=client, use_responses=False)
        config = RunConfig(model="run-model", model_provider=provider, tracing_disabled=True)
        agent, run, session = make_agent(client), make_run(), SQLiteSession("dana")
        for question in QUESTIONS:
            result = run(agent, question, run_config=config, session=session)
            if streamed:
                async for _ in result.stream_events():
                    pass
            else:
                await result
        session.close()
    return sent


@pytest.mark.parametrize("streamed", [False, True])
def test_not_one_byte_changes_where_no_guard_spoke(streamed: bool) -> None:
    with Engine(reads=["find_order"]) as engine:
        runner = SeawallRunner(engine)
        gated = asyncio.run(
            converse(lambda: runner.run_streamed if streamed else runner.run, streamed=streamed)
        )
        models = engine.coverage().models
    plain = asyncio.run(converse(lambda: Runner.run_streamed if streamed else Runner.run, streamed=streamed))

    assert gated == plain
    assert models == {"openai:run-model": len(plain)}


def test_the_server_counts_as_many_calls_as_the_gate_lets_pass() -> None:
    async def main() -> tuple[int, Any, dict[str, int]]:
        async with (
            ModelServer(lambda request: call("find_order", order=request.number)) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            agent = make_agent(client)
            agent.model = OpenAIChatCompletionsModel("own-model", client)
            config = RunConfig(tracing_disabled=True)
            limits = Limits(model_calls=5, at_limit="halt")
            with Engine(reads=["find_order"], limits=limits) as engine:
                with pytest.raises(AgentsHalted) as halted:
                    await SeawallRunner(engine).run(agent, "Look.", run_config=config)
                return server.request_count, halted.value.outcome, engine.coverage().models

    count, outcome, models = asyncio.run(main())
    assert count == outcome.model_calls == 5
    assert models == {"openai:own-model": 5}


def test_a_model_that_fails_is_a_failed_step_and_the_sdks_error() -> None:
    async def main() -> int:
        async with (
            ModelServer([overloaded()]) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            agent: Agent[Any] = Agent(name="clerk", model=OpenAIChatCompletionsModel("m", client))
            with Engine() as engine, pytest.raises(Exception, match="529"):
                await SeawallRunner(engine).run(agent, "Look.", run_config=RunConfig(tracing_disabled=True))
            return server.request_count

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("limit", ["tool_calls", "model_calls"])
def test_a_limit_ends_with_an_answer_without_tools(limit: str, streamed: bool) -> None:
    script, limits = Insatiable(), {"tool_calls": Limits(tool_calls=2), "model_calls": Limits(model_calls=3)}

    async def main() -> Any:
        async with (
            ModelServer(script) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            agent, config = make_agent(client), RunConfig(tracing_disabled=True)
            agent.model = OpenAIChatCompletionsModel("own-model", client)
            agent.model_settings = ModelSettings(parallel_tool_calls=False)
            with Engine(reads=["find_order"], limits=limits[limit]) as engine:
                runner = SeawallRunner(engine)
                if not streamed:
                    return await runner.run(agent, "Look.", run_config=config)
                result = runner.run_streamed(agent, "Look.", run_config=config)
                async for _ in result.stream_events():
                    pass
                return result

    result = asyncio.run(main())
    outcome = find_outcome(result)
    assert outcome is not None
    assert (result.final_output, outcome.answer) == (LAST, LAST)
    assert (outcome.status, outcome.pruned, outcome.tool_calls) == ("completed", ("limits",), 2)
    check_last(script.requests, f"{limit}={2 if limit == 'tool_calls' else 3}")
    if limit == "tool_calls":
        assert "Not done: tool 'find_order'" in read_results(script.requests[-1])[-1]
