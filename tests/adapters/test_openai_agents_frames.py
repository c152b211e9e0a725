"""Agents that others ask: hand-offs, agents as tools, and agents that a function runs are frames of one run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    Runner,
    function_tool,
    handoff,
    input_guardrail,
    set_trace_processors,
)
from agents.mcp import MCPServer
from agents.tracing import TracingProcessor
from mcp.types import CallToolResult, TextContent
from mcp.types import Tool as McpTool

from adapters.agents_model import QUIET, Bank, PlayedModel, list_requests, make_desk
from runtime.foreign.boss import approve, identify
from seawall import Effect, Limits, always
from seawall.adapters.openai_agents import AgentsHalted, SeawallRunner, find_outcome, get_original
from seawall.core.errors import Misused
from seawall.core.events import StepIntended
from seawall.runtime.foreign.engine import Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(effects=["refund"], reads=["find_order"]) as engine:
        yield engine


def ask(
    runner: SeawallRunner, agent: Any, given: Any = "Look.", request_id: str = "r-1", **options: Any
) -> Any:
    return asyncio.run(runner.run(agent, given, request_id=request_id, run_config=QUIET, **options))


def list_steps(engine: Engine, result: Any) -> list[tuple[str, str, str, int]]:
    """(kind, name, agent, depth) of each step."""
    outcome = find_outcome(result)
    assert outcome is not None
    events = engine.call(lambda sea: sea.journal.events(outcome.run))
    return [
        (each.kind, each.name if each.kind != "model" else "", each.agent, each.depth)
        for each in events
        if isinstance(each, StepIntended)
    ]


def make_weigher() -> Agent[Any]:
    return Agent(name="weigher", model=PlayedModel(["5 kg."]))


def test_an_agent_as_a_tool_is_a_frame_with_its_steps(engine: Engine) -> None:
    weigher = make_weigher()
    top = PlayedModel([[("weigh", {"input": "the parcel"})], "It weighs 5 kg."], prefix="top")
    agent = Agent(name="chief", model=top, tools=[weigher.as_tool("weigh", "Weighs.")])
    runner = SeawallRunner(engine)
    result = ask(runner, agent)

    assert list_steps(engine, result) == [
        ("model", "", "chief", 1),
        ("handoff", "weigher", "chief", 2),
        ("model", "", "weigher", 2),
        ("model", "", "chief", 1),
    ]
    assert ask(runner, agent).final_output == "It weighs 5 kg."
    assert (len(top.requests), len(list_requests(weigher))) == (2, 1)


def test_parallel_agents_as_tools_have_a_frame_each(engine: Engine) -> None:
    weigher = Agent(name="weigher", model=PlayedModel(lambda items: "5 kg."))
    calls = [("weigh", {"input": f"parcel {number}"}) for number in range(5)]
    agent = Agent(
        name="chief", model=PlayedModel([calls, "Done."], "top"), tools=[weigher.as_tool("weigh", "Weighs.")]
    )
    steps = list_steps(engine, ask(SeawallRunner(engine), agent))
    assert steps.count(("handoff", "weigher", "chief", 2)) == 5
    assert steps.count(("model", "", "weigher", 2)) == 5


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_an_agent_that_a_function_runs_is_a_frame(engine: Engine, streamed: bool, gated: bool) -> None:
    weigher = make_weigher()
    gate = SeawallRunner(engine)
    runner: Any = gate if gated else Runner

    @function_tool
    async def weigh() -> str:
        """Weighs, by an agent of its own."""
        if not streamed:
            return str((await runner.run(weigher, "Weigh.", run_config=QUIET)).final_output)
        result = runner.run_streamed(weigher, "Weigh.", run_config=QUIET)
        async for _ in result.stream_events():
            pass
        return str(result.final_output)

    agent = Agent(name="chief", model=PlayedModel([[("weigh", {})], "Done."], "top"), tools=[weigh])
    assert list_steps(engine, ask(gate, agent)) == [
        ("model", "", "chief", 1),
        ("tool", "weigh", "chief", 1),
        ("handoff", "weigher", "chief", 2),
        ("model", "", "weigher", 2),
        ("model", "", "chief", 1),
    ]


def test_a_request_of_its_own_inside_of_a_tool_is_a_run_of_its_own(engine: Engine) -> None:
    runner = SeawallRunner(engine)
    weigher = make_weigher()

    @function_tool
    async def weigh() -> str:
        """Weighs, for a request of its own."""
        return str((await runner.run(weigher, "Weigh.", request_id="r-2", run_config=QUIET)).final_output)

    agent = Agent(name="chief", model=PlayedModel([[("weigh", {})], "Done."], "top"), tools=[weigh])
    assert len(list_steps(engine, ask(runner, agent))) == 3
    assert len(engine.call(lambda sea: sea.journal.runs())) == 2


def test_an_agent_that_a_guardrail_runs_is_a_frame(engine: Engine) -> None:
    checker = Agent(name="checker", model=PlayedModel(["It is polite."]))

    @input_guardrail(run_in_parallel=False)
    async def is_polite(context: Any, asked: Any, given: Any) -> GuardrailFunctionOutput:
        found = await Runner.run(checker, given, run_config=QUIET)
        return GuardrailFunctionOutput(output_info=found.final_output, tripwire_triggered=False)

    agent = Agent(name="chief", model=PlayedModel(["Hello."], "top"), input_guardrails=[is_polite])
    assert list_steps(engine, ask(SeawallRunner(engine), agent)) == [
        ("handoff", "checker", "chief", 2),
        ("model", "", "checker", 2),
        ("model", "", "chief", 1),
    ]


@pytest.mark.parametrize("written", ["agent", "handoff"])
def test_a_handoff_is_a_frame_and_the_last_agent_is_the_users(engine: Engine, written: str) -> None:
    bank = Bank()
    clerk, model = make_desk(bank, [[("unused", {})], [("refund", {"order": 1, "amount": 5})], "Done."])
    top = PlayedModel([[("transfer_to_clerk", {})]], "top")
    chief = Agent(name="chief", model=top, handoffs=[clerk if written == "agent" else handoff(clerk)])
    runner = SeawallRunner(engine)
    result = ask(runner, chief)

    assert list_steps(engine, result) == [
        ("model", "", "chief", 1),
        ("handoff", "clerk", "chief", 2),
        ("model", "", "clerk", 2),
        ("tool", "refund", "clerk", 2),
        ("model", "", "clerk", 2),
    ]
    assert result.last_agent == clerk
    assert get_original(result.last_agent) is clerk
    assert ask(runner, chief).final_output == "Done."
    assert (len(top.requests), len(model.requests), bank.refunds) == (1, 2, [(1, 5)])


def hand_over_to(other: str) -> Any:
    """Returns the script of an agent that hands all over as long as it may."""
    return lambda items: "Enough." if "Not done" in str(items[-1]) else [(f"transfer_to_{other}", {})]


def make_pair() -> tuple[Agent[Any], Agent[Any]]:
    left = Agent(name="left", model=PlayedModel(hand_over_to("right"), "left"))
    right = Agent(name="right", model=PlayedModel(hand_over_to("left"), "right"), handoffs=[left])
    left.handoffs = [right]
    return left, right


@pytest.mark.parametrize("limits", [Limits(depth=4), Limits(handoffs=3, depth=9)], ids=["depth", "handoffs"])
def test_agents_that_hand_each_other_everything_are_told_at_the_limit(engine: Engine, limits: Limits) -> None:
    left, right = make_pair()
    result = ask(SeawallRunner(engine, limits=limits), left, max_turns=50)

    assert result.final_output == "Enough."
    assert result.last_agent == right
    assert len(list_requests(left)) + len(list_requests(right)) == 5
    told = list_requests(right)[-1][-1]
    assert "Not done: handoff 'left'" in told["output"] or "would work at depth 5" in told["output"]


def test_at_a_limit_that_halts_a_handoff_too_many_ends_the_run(engine: Engine) -> None:
    left, right = make_pair()
    with pytest.raises(AgentsHalted):
        ask(SeawallRunner(engine, limits=Limits(handoffs=3, depth=9, at_limit="halt")), left, max_turns=50)
    assert len(list_requests(left)) + len(list_requests(right)) == 4


def test_an_agent_that_was_handed_all_has_the_last_reply(engine: Engine) -> None:
    left, right = make_pair()
    result = ask(SeawallRunner(engine, limits=Limits(model_calls=3)), left)

    outcome = find_outcome(result)
    assert outcome is not None
    assert (outcome.status, outcome.model_calls, outcome.pruned) == ("completed", 3, ("limits",))
    assert "your last reply" in str(list_requests(left)[-1][-1])
    assert list_requests(right)


@pytest.mark.parametrize("error_function", ["default", "none"])
def test_at_a_limit_an_agent_as_a_tool_does_not_begin(engine: Engine, error_function: str) -> None:
    weigher = make_weigher()
    options: Any = {} if error_function == "default" else {"failure_error_function": None}
    script = [
        [("find_order", {"order": 1})],
        [("find_order", {"order": 2}), ("weigh", {"input": "2"})],
        "Some.",
    ]
    agent, model = make_desk(Bank(), script)
    agent.tools = [*agent.tools, weigher.as_tool("weigh", "Weighs.", **options)]
    result = ask(SeawallRunner(engine, limits=Limits(tool_calls=1)), agent)

    assert result.final_output == "Some."
    assert list_requests(weigher) == []
    told = [item["output"] for item in model.requests[-1] if item.get("type") == "function_call_output"]
    assert [each.startswith("Not done: tool 'find_order': tool_calls would be 2") for each in told] == [
        False,
        True,
        True,
    ]


def test_an_agent_as_a_tool_that_takes_too_long_is_told_as_the_sdk_tells_it(engine: Engine) -> None:
    async def wait(context: Any, arguments: str) -> str:
        return str(await asyncio.Event().wait())

    tool = make_weigher().as_tool("weigh", "Weighs.")
    tool.on_invoke_tool, tool.timeout_seconds = wait, 0.01
    top = PlayedModel([[("weigh", {"input": "the parcel"})], "Nobody weighs it."], prefix="top")
    agent = Agent(name="chief", model=top, tools=[tool])
    assert ask(SeawallRunner(engine), agent).final_output == "Nobody weighs it."
    assert "timed out" in top.requests[-1][-1]["output"]


def test_an_agent_as_a_tool_is_no_effect(engine: Engine) -> None:
    agent = Agent(
        name="chief", model=PlayedModel(["x"]), tools=[make_weigher().as_tool("refund", "Refunds.")]
    )
    with pytest.raises(Misused, match="declare the tools that this agent has"):
        ask(SeawallRunner(engine), agent)


def test_plain_runs_beside_gated_ones_stay_plain(engine: Engine) -> None:
    SeawallRunner(engine)
    bank = Bank()
    agent, _ = make_desk(bank)
    assert asyncio.run(Runner.run(agent, "Refund", run_config=QUIET)).final_output is not None
    assert engine.coverage().models == {}


class Shelf(MCPServer):
    """An MCP server in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []

    @property
    def name(self) -> str:
        return "shelf"

    async def connect(self) -> None: ...

    async def cleanup(self) -> None: ...

    async def list_tools(self, *arguments: Any, **options: Any) -> list[McpTool]:
        return [
            McpTool(name="refund", description="Refunds.", input_schema={"type": "object", "properties": {}})
        ]

    async def call_tool(self, tool_name: str, *arguments: Any, **options: Any) -> CallToolResult:
        self.called.append(tool_name)
        return CallToolResult(content=[TextContent(type="text", text="refunded")])

    async def list_prompts(self) -> Any:
        raise NotImplementedError

    async def get_prompt(self, name: str, arguments: Any = None) -> Any:
        raise NotImplementedError


def test_tools_of_mcp_servers_that_the_sdk_calls_pass_the_gate(engine: Engine) -> None:
    shelf = Shelf()
    model = PlayedModel([[("refund", {})], "Done."])
    agent = Agent(name="clerk", model=model, mcp_servers=[shelf])
    runner = SeawallRunner(engine)
    ask(runner, agent)
    ask(runner, agent)

    assert shelf.called == ["refund"]
    assert engine.coverage().effects == {"refund": 1}


@pytest.mark.parametrize("again", ["state", "request"])
def test_a_held_tool_of_an_mcp_server_goes_on_after_a_decision_in_seawall(again: str) -> None:
    shelf = Shelf()
    agent = Agent(name="clerk", model=PlayedModel([[("refund", {})], "Done."]), mcp_servers=[shelf])
    with Engine(effects={"refund": Effect(approve=always())}, authenticate=identify) as engine:
        runner = SeawallRunner(engine)
        result = ask(runner, agent)
        assert (len(result.interruptions), shelf.called) == (1, [])
        engine.call(approve)
        given = result.to_state() if again == "state" else "Look."
        assert ask(runner, agent, given).final_output == "Done."
    assert shelf.called == ["refund"]


class KeptSpans(TracingProcessor):
    """Keeps what is traced."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any, str]] = []

    def on_trace_start(self, trace: Any) -> None: ...

    def on_trace_end(self, trace: Any) -> None: ...

    def on_span_start(self, span: Any) -> None: ...

    def on_span_end(self, span: Any) -> None:
        self.spans.append((span.span_data.type, getattr(span.span_data, "name", None), str(span.error)))

    def shutdown(self) -> None: ...

    def force_flush(self) -> None: ...


@pytest.fixture
def traced() -> Iterator[KeptSpans]:
    kept = KeptSpans()
    set_trace_processors([kept])
    yield kept
    set_trace_processors([])


def test_tracing_stays_as_it_is(engine: Engine, traced: KeptSpans) -> None:
    async def trace(run: Any) -> list[Any]:
        traced.spans = []
        bank = Bank()
        clerk, _ = make_desk(bank, [[("find_order", {"order": 1})], [("fail", {})], "Done."])
        clerk.tools = [*clerk.tools, fail]
        top = PlayedModel([[("ask_clerk", {"input": "Look."})], "Done."], "top")
        chief = Agent(name="chief", model=top, tools=[clerk.as_tool("ask_clerk", "Asks.")])
        assert (await run(chief, "Look.")).final_output == "Done."
        return traced.spans

    @function_tool
    def fail() -> str:
        """Fails."""
        raise ValueError("it is broken")

    plain = asyncio.run(trace(Runner.run))
    assert asyncio.run(trace(SeawallRunner(engine).run)) == plain
    assert len(plain) > 8
