"""What the runner need not do at each step, and agents on an engine that has no thread."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import msgspec
import pytest
from agents import (
    Agent,
    FunctionTool,
    RunContextWrapper,
    ToolCallOutputItem,
    ToolGuardrailFunctionOutput,
    ToolsToFinalOutputResult,
    function_tool,
    tool_input_guardrail,
)
from agents.tool_context import ToolContext
from agents.usage import Usage as AgentsUsage
from openai.types.responses import ResponseOutputText

from adapters.agents_model import QUIET, Bank, PlayedModel, make_desk
from seawall import Effect, Engine, Principal, always
from seawall.adapters.openai_agents import SeawallRunner, find_outcome
from seawall.adapters.openai_agents.replies import list_messages, make_plain, read_response, recall_response
from seawall.core.canonical import to_canonical_text
from seawall.runtime.foreign.asks import Settled

ITEMS: list[Any] = [
    {"role": "user", "content": [{"type": "input_text", "text": "Größe \ud83d?"}]},
    {"type": "function_call", "call_id": "c1", "name": "refund", "arguments": '{"order":1042}', "n": None},
    {"role": "assistant", "content": [ResponseOutputText(type="output_text", text="Hi", annotations=[])]},
    {"role": "user", "content": ("a", 1.5, True)},
]


@pytest.mark.parametrize("item", ITEMS)
def test_an_item_is_written_as_its_values_say(item: Any) -> None:
    [written] = list_messages(None, [item])
    assert to_canonical_text(written) == to_canonical_text(make_plain(item))


def test_a_reply_is_given_again_with_what_is_kept_of_its_usage() -> None:
    first = recall_response(Settled(step=1, status="ok", text="Hi"))
    first.usage = AgentsUsage(requests=1, input_tokens=7, output_tokens=3, total_tokens=10)
    raw = read_response(first).raw
    again = recall_response(Settled(step=1, status="ok", text="", raw=raw))
    counts = ("requests", "input_tokens", "output_tokens", "total_tokens")
    assert [getattr(again.usage, name) for name in counts] == [1, 7, 3, 10]
    assert msgspec.json.decode(raw)["output"] == make_plain(again.output)


@pytest.mark.anyio
async def test_agents_work_on_an_engine_without_a_thread() -> None:
    bank = Bank()
    agent, _ = make_desk(bank)
    async with Engine(effects=["refund"], reads=["find_order"], thread=False) as engine:
        runner = SeawallRunner(engine)
        result = await runner.run(agent, "Refund order 1042", request_id="r-1", run_config=QUIET)
        streamed = runner.run_streamed(agent, "Refund order 1042", request_id="r-2", run_config=QUIET)
        events = [event async for event in streamed.stream_events()]
    outcome = find_outcome(result)
    assert outcome is not None
    assert (outcome.status, outcome.answer) == ("completed", result.final_output)
    assert events
    assert streamed.final_output == result.final_output


def test_the_sdk_reads_a_gated_tools_signature_without_working_it_out() -> None:
    agent, _ = make_desk(Bank())
    with Engine(effects=["refund"]) as engine:
        gated = SeawallRunner(engine)._gate.gate_agent(agent)
        invokers = [tool.on_invoke_tool for tool in gated.tools]
    assert invokers
    assert all(inspect.signature(each) is each.__signature__ for each in invokers)
    assert [*inspect.signature(invokers[0]).parameters] == ["ctx", "input"]


async def _look_narrow(context: RunContextWrapper[Any], text: str) -> str:
    return type(context).__name__


async def _look_whole(context: ToolContext[Any], text: str) -> str:
    return type(context).__name__


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("look", "kind"), [(_look_narrow, "RunContextWrapper"), (_look_whole, "ToolContext")]
)
async def test_a_tool_gets_the_context_that_it_declares_at_each_call(look: Any, kind: str) -> None:
    script = [[("look", {"order": 1})], [("look", {"order": 2})], [("look", {"order": 3})], "seen"]
    tool = FunctionTool(
        name="look",
        description="Looks.",
        params_json_schema={},
        on_invoke_tool=look,
        strict_json_schema=False,
    )
    agent = Agent(name="clerk", model=PlayedModel(script), tools=[tool])
    async with Engine(reads=["look"], thread=False) as engine:
        result = await SeawallRunner(engine).run(agent, "Look", run_config=QUIET)
    outputs = [item.output for item in result.new_items if isinstance(item, ToolCallOutputItem)]
    assert outputs == [kind] * 3


VALUES: list[tuple[Any, Any]] = [
    ({"order": 7}, {"order": 7}),
    ([1, 2], [1, 2]),
    ((1, 2), "(1, 2)"),
    ("7", "7"),
]


@pytest.mark.parametrize(("value", "again"), VALUES)
def test_a_tools_value_is_given_again_as_the_sdk_had_it(value: Any, again: Any) -> None:
    seen: list[Any] = []

    @function_tool
    def look() -> Any:
        """Look."""
        return value

    def finish(context: Any, results: list[Any]) -> ToolsToFinalOutputResult:
        seen.append(results[0].output)
        return ToolsToFinalOutputResult(is_final_output=True, final_output="Done.")

    agent = Agent(name="clerk", model=PlayedModel([[("look", {})]]), tools=[look], tool_use_behavior=finish)
    with Engine() as engine:
        runner = SeawallRunner(engine)
        for _ in range(2):
            result = asyncio.run(runner.run(agent, "Look.", request_id="r-1", run_config=QUIET))
            (told,) = [item.output for item in result.new_items if isinstance(item, ToolCallOutputItem)]
            assert str(told) == str(value)
    assert seen == [value, again]


@pytest.mark.parametrize("approve", [False, True])
def test_a_call_that_a_tools_guardrail_has_rejected_is_given_again(approve: bool) -> None:
    @tool_input_guardrail
    def reject(data: Any) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.reject_content("Not this one.")

    bank = Bank()
    agent, model = make_desk(bank, tool_input_guardrails=[reject])
    effects = {"refund": Effect(approve=always())} if approve else ["refund"]
    with Engine(effects=effects, authenticate=Principal) as engine:
        runner = SeawallRunner(engine)
        for _ in range(2):
            result = asyncio.run(runner.run(agent, "Refund", request_id="r-1", run_config=QUIET))
            if result.interruptions:
                state = result.to_state()
                state.approve(result.interruptions[0])
                result = asyncio.run(runner.run(agent, state, credential="boss", run_config=QUIET))
            assert result.final_output == "Order 1042 was refunded."
    assert (bank.refunds, len(model.requests)) == ([], 3)
