"""Agents that the user's own code runs within a run, more than once: each time is a frame of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    RunHooks,
    Runner,
    ToolGuardrailFunctionOutput,
    function_tool,
    tool_input_guardrail,
)

from adapters.agents_model import QUIET, SCRIPT, Bank, PlayedModel, list_requests, make_desk
from runtime.foreign.boss import BOSS, approve, identify, reject
from seawall import Effect, always
from seawall.adapters.openai_agents import AgentsHeld, SeawallRunner, find_outcome
from seawall.core.events import StepIntended
from seawall.runtime.foreign.engine import Engine

ANSWER = "Done."
Made = tuple[Agent[Any], dict[str, Any]]


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(effects=["refund"], reads=["find_order", "look"]) as engine:
        yield engine


def make_checker(name: str = "checker") -> Agent[Any]:
    """An agent that looks something up before it answers."""
    calls = [("find_order", {"order": 1})]
    model = PlayedModel(lambda items: calls if len(items) == 1 else f"{name} is content.", name)
    return Agent(name=name, model=model, tools=Bank().make_tools())


async def ask_agent(agent: Agent[Any], given: Any = "Check.") -> str:
    return str((await Runner.run(agent, given, run_config=QUIET)).final_output)


def make_sampler(checker: Agent[Any], *, parallel: bool) -> Made:
    @function_tool
    async def look() -> str:
        """Asks three times, and takes what most answers say."""
        if parallel:
            answers = await asyncio.gather(*(ask_agent(checker) for _ in range(3)))
        else:
            answers = [await ask_agent(checker) for _ in range(3)]
        return max(answers, key=answers.count)

    return Agent(name="chief", model=PlayedModel([[("look", {})], ANSWER], "top"), tools=[look]), {}


def make_guarded(checker: Agent[Any]) -> Made:
    async def check(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(await ask_agent(checker, given), tripwire_triggered=False)

    guardrails = [InputGuardrail(check, name=name) for name in ("polite", "lawful", "short")]
    return Agent(name="chief", model=PlayedModel([ANSWER], "top"), input_guardrails=[*guardrails]), {}


def make_hooked(checker: Agent[Any]) -> Made:
    class Checks(RunHooks[Any]):
        async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
            if agent.name == "chief":
                await ask_agent(checker)

    script: Any = [[("find_order", {"order": 2}), ("find_order", {"order": 3})], *SCRIPT[:1], ANSWER]
    return make_desk_of("chief", script), {"hooks": Checks()}


def make_desk_of(name: str, script: Any) -> Agent[Any]:
    return make_desk(Bank(), script)[0].clone(name=name)


def make_tool_guarded(checker: Agent[Any]) -> Made:
    @tool_input_guardrail
    async def check(data: Any) -> ToolGuardrailFunctionOutput:
        await ask_agent(checker)
        return ToolGuardrailFunctionOutput.allow()

    @function_tool(tool_input_guardrails=[check])
    def look(place: int) -> str:
        """Looks."""
        return f"{place}: nothing"

    script = [[("look", {"place": 1}), ("look", {"place": 2})], [("look", {"place": 3})], ANSWER]
    return Agent(name="chief", model=PlayedModel(script, "top"), tools=[look]), {}


def make_serial_sampler(checker: Agent[Any]) -> Made:
    return make_sampler(checker, parallel=False)


def make_parallel_sampler(checker: Agent[Any]) -> Made:
    return make_sampler(checker, parallel=True)


@pytest.mark.parametrize(
    "make", [make_serial_sampler, make_parallel_sampler, make_guarded, make_hooked, make_tool_guarded]
)
def test_an_agent_that_is_asked_the_same_again_has_another_frame(
    engine: Engine, make: Callable[[Agent[Any]], Made]
) -> None:
    checker = make_checker()
    agent, options = make(checker)
    runner = SeawallRunner(engine)

    def ask() -> Any:
        return asyncio.run(runner.run(agent, "Look.", request_id="r-1", run_config=QUIET, **options))

    result = ask()
    assert result.final_output == ANSWER
    outcome = find_outcome(result)
    assert outcome is not None
    events = engine.call(lambda sea: sea.journal.events(outcome.run))
    steps = [each for each in events if isinstance(each, StepIntended)]
    frames = [each.step for each in steps if each.kind == "handoff"]
    assert len(frames) == 3
    assert sorted(each.frame for each in steps if each.kind == "model" and each.agent == "checker") == sorted(
        [*frames, *frames]
    )
    assert not any("Not from the user" in str(request) for request in list_requests(checker))

    asked = len(list_requests(checker)), len(list_requests(agent))
    assert ask().final_output == ANSWER
    assert (len(list_requests(checker)), len(list_requests(agent))) == asked


def test_two_agents_that_are_asked_the_same_have_a_frame_each(engine: Engine) -> None:
    polite, lawful = make_checker("polite"), make_checker("lawful")

    def make_check(checker: Agent[Any]) -> InputGuardrail[Any]:
        async def check(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
            return GuardrailFunctionOutput(await ask_agent(checker, given), tripwire_triggered=False)

        return InputGuardrail(check)

    agent = Agent(
        name="chief", model=PlayedModel([ANSWER]), input_guardrails=[make_check(polite), make_check(lawful)]
    )
    result = asyncio.run(SeawallRunner(engine).run(agent, "Look.", run_config=QUIET))
    outcome = find_outcome(result)
    assert outcome is not None
    events = engine.call(lambda sea: sea.journal.events(outcome.run))
    opened = [each.name for each in events if isinstance(each, StepIntended) and each.kind == "handoff"]
    assert sorted(opened) == ["lawful", "polite"]


def test_an_agent_that_prepares_or_sums_up_for_another_has_a_frame_of_its_own(engine: Engine) -> None:
    summing = Agent(name="summing", model=PlayedModel(lambda items: "In short: 5 kg.", "summing"))
    weigher = Agent(name="weigher", model=PlayedModel(lambda items: "It weighs about 5 kg."))

    async def prepare(options: Any) -> str:
        return await ask_agent(summing, str(options["params"]))

    async def sum_up(result: Any) -> str:
        return await ask_agent(summing, str(result.final_output))

    tool = weigher.as_tool("weigh", "Weighs.", custom_output_extractor=sum_up, input_builder=prepare)
    agent = Agent(
        name="chief", model=PlayedModel([[("weigh", {"input": "it"})], ANSWER], "top"), tools=[tool]
    )
    runner = SeawallRunner(engine)
    for _ in range(2):
        result = asyncio.run(runner.run(agent, "Look.", request_id="r-1", run_config=QUIET))
        assert result.final_output == ANSWER
        assert [item.output for item in result.new_items if item.type == "tool_call_output_item"] == [
            "In short: 5 kg."
        ]
    assert [len(list_requests(each)) for each in (summing, weigher, agent)] == [2, 1, 2]


# ---- an agent that a function runs must wait for a person


def make_chief(bank: Bank, how: str) -> Agent[Any]:
    """An agent with a tool that has the clerk refund the order."""
    script = [[("refund", {"order": 1042, "amount": 5})], "Refunded."]
    clerk = Agent(name="clerk", model=PlayedModel(script), tools=bank.make_tools())

    @function_tool
    async def settle() -> str:
        """Has the clerk settle it."""
        if how != "swallowed":
            return await ask_agent(clerk)
        try:
            return await ask_agent(clerk)
        except Exception:  # noqa: BLE001 -- as an application may
            return "It did not work."

    @function_tool
    def settle_in_thread() -> str:
        """Has the clerk settle it."""
        return asyncio.run(ask_agent(clerk))

    @function_tool(failure_error_function=None)
    async def settle_streamed() -> str:
        """Has the clerk settle it."""
        result = Runner.run_streamed(clerk, "Settle.", run_config=QUIET)
        async for _ in result.stream_events():
            pass
        return str(result.final_output)

    tool = {"thread": settle_in_thread, "streamed": settle_streamed}.get(how, settle)
    return Agent(name="chief", model=PlayedModel([[(tool.name, {})], ANSWER], "top"), tools=[tool])


def ask_held(runner: SeawallRunner, agent: Agent[Any]) -> Any:
    """Returns what waits for a person, or the result of the function's call."""
    try:
        result = asyncio.run(runner.run(agent, "Settle.", request_id="r-1", run_config=QUIET))
    except AgentsHeld as error:
        return error.held
    assert result.final_output == ANSWER
    return next(item.output for item in result.new_items if item.type == "tool_call_output_item")


WAYS = ["returned", "swallowed", "thread", "streamed"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("decide", [approve, reject])
def test_a_hold_below_a_function_waits_and_goes_on_after_the_decision(how: str, decide: Any) -> None:
    with Engine(
        effects={"refund": Effect(approve=always())}, reads=["settle*"], authenticate=identify
    ) as engine:
        bank = Bank()
        agent, runner = make_chief(bank, how), SeawallRunner(engine)
        assert ask_held(runner, agent).proposal
        assert bank.refunds == []
        engine.call(decide)
        assert ask_held(runner, agent) == "Refunded."
        assert bank.refunds == ([(1042, 5)] if decide is approve else [])
        assert len(list_requests(agent)) == 2


@pytest.mark.parametrize("how", WAYS)
def test_an_effect_in_doubt_below_a_function_is_no_failure_of_the_function(how: str) -> None:
    with Engine(effects=["refund"], reads=["settle*"], authenticate=identify) as engine:
        bank = Bank()
        agent, runner = make_chief(bank, how), SeawallRunner(engine)
        bank.error = ConnectionError("cut off")
        held = ask_held(runner, agent)
        bank.error = None
        engine.call(
            lambda sea: sea.reconcile(held.run, step=held.step, committed="refund 1", credential=BOSS)
        )
        assert ask_held(runner, agent) == "Refunded."
        assert bank.refunds == []
        assert len(list_requests(agent)) == 2
