"""The same clerk in each framework, as it is (`plain`) and behind the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from teams.script import INPUT_TOKENS, OUTPUT_TOKENS

from adapter.turns import PROMPT, TURNS, Turns, describe_parcel, make_request
from seawall import Engine, Session
from seawall.adapters import ModelResult, Usage

READS = ("find_parcel",)
MAX_TURNS = 4 * TURNS


class System(NamedTuple):
    """A framework."""

    make: Callable[[Turns, Engine | None], Callable[[int], Awaitable[str]]]
    """Makes what serves one request; with an engine it is gated."""
    packages: tuple[str, ...]


def make_engine(gate: str, directory: Path) -> Engine | None:
    """Returns the engine of a way to run: `plain` has none, `memory` keeps nothing, `disk` is durable, and so is `thread`, in
    a thread of its own.
    """
    if gate == "plain":
        return None
    journal = ":memory:" if gate == "memory" else directory / "desk.db"
    return Engine(journal, reads=READS, thread=gate == "thread")


def describe(system: str) -> str:
    """Returns the versions of a framework's packages."""
    return ", ".join(f"{name} {version(name)}" for name in SYSTEMS[system].packages) or "a loop of its own"


def _make_own(play: Turns, engine: Engine | None) -> Callable[[int], Awaitable[str]]:
    """A loop of twenty lines on `Engine`: what the gate costs without a framework's hooks."""

    async def ask(messages: list[dict[str, Any]]) -> Any:
        seen = sum(message["role"] == "tool" for message in messages)
        return await play.reply("clerk", seen, messages[1]["content"])

    async def serve(number: int, session: Session | None) -> str:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": PROMPT},
            {"role": "user", "content": make_request(number)},
        ]
        while True:
            reply = await _call_model(session, messages, ask)
            if not reply.calls:
                return reply.text
            [call] = reply.calls
            wanted = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
            messages.append({"role": "assistant", "content": "", "tool_calls": [wanted]})
            found = await _call_tool(session, call, play)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": found})

    async def run(number: int) -> str:
        if engine is None:
            return await serve(number, None)
        async with engine.begin(make_request(number), loop="own", agent="clerk") as session:
            answer = await serve(number, session)
            await session.end(answer)
        return answer

    return run


async def _call_model(session: Session | None, messages: list[dict[str, Any]], ask: Any) -> Any:
    if session is None:
        return await ask(messages)

    async def perform(turn: Any) -> tuple[ModelResult, Any]:
        reply = await ask(messages)
        calls = [(call.id, call.name, "{}") for call in reply.calls]
        usage = Usage(input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS)
        return ModelResult(reply.text, calls, usage=usage), reply

    done = await session.step(session.model("clerk", "scripted", messages), perform)
    return done.value


async def _call_tool(session: Session | None, call: Any, play: Turns) -> str:
    async def perform(turn: Any) -> tuple[str, None]:
        play.count_tool()
        return describe_parcel(**call.arguments), None

    if session is None:
        return (await perform(None))[0]
    done = await session.step(session.tool("clerk", call.name, call.arguments, call_id=call.id), perform)
    return done.settled.text


def _make_langchain(play: Turns, engine: Engine | None) -> Callable[[int], Awaitable[str]]:
    from langchain.agents import create_agent
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import tool
    from teams.langgraph import ScriptedChat

    from seawall.adapters.langchain import SeawallMiddleware

    @tool
    async def find_parcel(order: str, parcel: str) -> str:
        """Look up a parcel of an order."""
        play.count_tool()
        return describe_parcel(order, parcel)

    middleware = [] if engine is None else [SeawallMiddleware(engine)]
    model = ScriptedChat(script=play, agent="clerk")
    agent: Any = create_agent(model, [find_parcel], system_prompt=PROMPT, name="clerk", middleware=middleware)

    async def run(number: int) -> str:
        result = await agent.ainvoke({"messages": [HumanMessage(make_request(number))]})
        return str(result["messages"][-1].content)

    return run


def _make_openai_agents(play: Turns, engine: Engine | None) -> Callable[[int], Awaitable[str]]:
    from agents import Agent, RunConfig, Runner, function_tool, set_tracing_disabled
    from teams.openai_agents import ScriptedModel

    from seawall.adapters.openai_agents import SeawallRunner

    set_tracing_disabled(True)

    async def find_parcel(order: str, parcel: str) -> str:
        """Look up a parcel of an order."""
        play.count_tool()
        return describe_parcel(order, parcel)

    model: Any = ScriptedModel(play, "clerk")  # pyright: ignore[reportArgumentType] -- it plays any script
    agent = Agent(name="clerk", instructions=PROMPT, model=model, tools=[function_tool(find_parcel)])
    runner: Any = Runner if engine is None else SeawallRunner(engine)
    untraced = RunConfig(tracing_disabled=True)

    async def run(number: int) -> str:
        result = await runner.run(agent, make_request(number), run_config=untraced, max_turns=MAX_TURNS)
        return str(result.final_output)

    return run


def _make_pydantic_ai(play: Turns, engine: Engine | None) -> Callable[[int], Awaitable[str]]:
    from pydantic_ai import Agent
    from teams.pydantic_ai import ScriptedModel

    from seawall.adapters.pydantic_ai import SeawallCapability

    async def find_parcel(order: str, parcel: str) -> str:
        """Look up a parcel of an order."""
        play.count_tool()
        return describe_parcel(order, parcel)

    model: Any = ScriptedModel(play, "clerk")  # pyright: ignore[reportArgumentType] -- it plays any script
    capabilities = [] if engine is None else [SeawallCapability(engine)]
    agent = Agent(model, instructions=PROMPT, name="clerk", tools=[find_parcel], capabilities=capabilities)

    async def run(number: int) -> str:
        return (await agent.run(make_request(number))).output

    return run


SYSTEMS: dict[str, System] = {
    "own": System(_make_own, ()),
    "langchain": System(_make_langchain, ("langchain", "langgraph")),
    "openai-agents": System(_make_openai_agents, ("openai-agents",)),
    "pydantic-ai": System(_make_pydantic_ai, ("pydantic-ai-slim",)),
}
