"""Google ADK: agents that are handed over to, agents in tools and agents of workflows are a tree of frames in one run."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents import LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.code_executors import BuiltInCodeExecutor
from google.adk.models.llm_request import LlmRequest
from google.adk.runners import InMemoryRunner
from google.adk.tools import ToolContext, exit_loop, google_search
from google.adk.tools.agent_tool import AgentTool
from google.genai import types

from apart.google_adk.adk_desk import (
    Desk,
    Reply,
    ScriptedLlm,
    ask,
    read_answer,
    read_events,
    read_outcome,
    read_results,
    read_rows,
)
from seawall import Limits
from seawall.adapters.google_adk import AdkHalted, SeawallPlugin, find_outcome
from seawall.core.events import StepDone, StepIntended
from seawall.runtime.foreign.engine import Engine

pytestmark = pytest.mark.filterwarnings(
    "ignore:The `plugins` argument is deprecated:DeprecationWarning",
    "ignore:.*is deprecated in favor of Workflow:DeprecationWarning",
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "desk.db", effects=["refund"]) as engine:
        yield engine


def make_llm(name: str, *script: Reply | Callable[[LlmRequest], Reply]) -> ScriptedLlm:
    """A model whose replies come in their order, whatever it is asked."""
    left = list(script)

    def reply(request: LlmRequest) -> Any:
        found = left.pop(0) if len(left) > 1 else left[0]
        return found(request) if callable(found) else found

    return ScriptedLlm(model=name, script=reply)


def draw(engine: Engine) -> list[str]:
    """Returns the steps of the only run in their order, each with the agents above it."""
    names: dict[int, str] = {}
    drawn: list[str] = []
    for event in read_events(engine):
        if isinstance(event, StepIntended):
            above = names.get(event.frame, "")
            name = event.name.partition(":")[2] or event.name
            drawn.append(f"{above}{event.agent}: {event.kind} {name}")
            if event.kind == "handoff":
                names[event.step] = f"{above}{event.agent} > "
    return drawn


def list_open(engine: Engine) -> set[int]:
    """Returns the steps that have no end."""
    events = read_events(engine)
    begun = {each.step for each in events if isinstance(each, StepIntended)}
    return begun - {each.step for each in events if isinstance(each, StepDone)}


def test_an_agent_that_hands_over_has_the_other_in_a_frame_below(engine: Engine) -> None:
    desk = Desk()
    clerk = desk.make_agent(description="Refunds.")
    boss = make_llm("boss", [("transfer_to_agent", {"agent_name": "clerk"})], "not reached")
    agent = desk.make_agent(name="boss", model=boss, tools=[], sub_agents=[clerk])
    events = asyncio.run(ask(desk.make_runner(engine, agent=agent)))

    assert read_answer(events) == "Order 1042 was refunded."
    assert draw(engine) == [
        "boss: model boss",
        "boss: handoff clerk",
        "boss > clerk: model scripted",
        "boss > clerk: tool find_order",
        "boss > clerk: model scripted",
        "boss > clerk: tool refund",
        "boss > clerk: model scripted",
    ]
    assert list_open(engine) == set()
    assert read_outcome(engine).answer == "Order 1042 was refunded."


def test_an_agent_that_gets_the_conversation_back_works_below(engine: Engine) -> None:
    desk = Desk()
    clerk_llm = make_llm("clerk", [("transfer_to_agent", {"agent_name": "boss"})])
    boss_llm = make_llm("boss", [("transfer_to_agent", {"agent_name": "clerk"})], "I answer myself.")
    clerk = desk.make_agent(model=clerk_llm, description="Refunds.")
    agent = desk.make_agent(name="boss", model=boss_llm, tools=[], sub_agents=[clerk])
    events = asyncio.run(ask(desk.make_runner(engine, agent=agent)))

    assert read_answer(events) == "I answer myself."
    assert draw(engine) == [
        "boss: model boss",
        "boss: handoff clerk",
        "boss > clerk: model clerk",
        "boss > clerk: handoff boss",
        "boss > clerk > boss: model boss",
    ]


def test_agents_that_hand_over_in_a_circle_are_halted(engine: Engine) -> None:
    desk = Desk()
    clerk_llm = make_llm("clerk", [("transfer_to_agent", {"agent_name": "boss"})])
    boss_llm = make_llm("boss", [("transfer_to_agent", {"agent_name": "clerk"})])
    clerk = desk.make_agent(model=clerk_llm, description="Refunds.")
    agent = desk.make_agent(name="boss", model=boss_llm, tools=[], sub_agents=[clerk])

    with pytest.raises(RuntimeError) as raised:
        asyncio.run(ask(desk.make_runner(engine, agent=agent)))
    assert find_outcome(raised.value) is not None
    assert len(clerk_llm.requests) + len(boss_llm.requests) < 20


def test_a_hand_over_that_is_refused_is_told_to_the_model(engine: Engine) -> None:
    desk = Desk()
    boss = make_llm("boss", [("transfer_to_agent", {"agent_name": "clerk"})], "Then I answer.")
    agent = desk.make_agent(name="boss", model=boss, tools=[], sub_agents=[desk.make_agent(description="x")])
    events = asyncio.run(ask(desk.make_runner(engine, agent=agent, limits=Limits(depth=1))))

    assert read_answer(events) == "Then I answer."
    assert desk.model_calls == 0


def test_an_agent_in_a_tool_works_in_a_frame_of_the_same_run(engine: Engine) -> None:
    desk = Desk()
    boss = make_llm("boss", [("clerk", {"request": "Refund 1042"})], "Done.")
    agent = desk.make_agent(name="boss", model=boss, tools=[AgentTool(desk.make_agent())])
    events = asyncio.run(ask(desk.make_runner(engine, agent=agent)))

    assert read_answer(events) == "Done."
    assert draw(engine) == [
        "boss: model boss",
        "boss: tool clerk",
        "boss: handoff clerk",
        "boss > clerk: model scripted",
        "boss > clerk: tool find_order",
        "boss > clerk: model scripted",
        "boss > clerk: tool refund",
        "boss > clerk: model scripted",
        "boss: model boss",
    ]
    assert list_open(engine) == set()
    assert len(read_rows(engine)) == 1


def test_agents_in_tools_at_once_have_frames_of_their_own_under_one_limit(engine: Engine) -> None:
    desk = Desk()
    boss = make_llm("boss", [("clerk", {"request": f"Refund {number}"}) for number in range(4)], "Done.")
    agent = desk.make_agent(name="boss", model=boss, tools=[AgentTool(desk.make_agent())])

    with pytest.raises(RuntimeError) as raised:
        asyncio.run(ask(desk.make_runner(engine, agent=agent, limits=Limits(model_calls=7, at_limit="halt"))))
    outcome = find_outcome(raised.value)
    assert outcome is not None
    assert outcome.model_calls == desk.model_calls + len(boss.requests) == 7
    assert len([each for each in draw(engine) if each == "boss: handoff clerk"]) == 4


def test_an_agent_in_a_tool_that_is_refused_is_told_to_the_model(engine: Engine) -> None:
    desk = Desk()
    boss = make_llm("boss", [("clerk", {"request": "Refund 1042"})], "Then I answer.")
    agent = desk.make_agent(name="boss", model=boss, tools=[AgentTool(desk.make_agent())])
    events = asyncio.run(ask(desk.make_runner(engine, agent=agent, limits=Limits(depth=1))))

    assert read_answer(events) == "Then I answer."
    assert "depth" in str(read_results(events))
    assert desk.model_calls == 0


def test_an_agent_tool_without_the_plugins_is_named(engine: Engine) -> None:
    desk = Desk()
    boss = make_llm("boss", [("clerk", {"request": "Refund 1042"})], "Done.")
    tool = AgentTool(desk.make_agent(), include_plugins=False)
    asyncio.run(ask(desk.make_runner(engine, agent=desk.make_agent(name="boss", model=boss, tools=[tool]))))

    assert engine.coverage().models == {"ScriptedLlm:boss": 2}
    assert any("include_plugins=False" in each for each in engine.coverage().not_gated)


def test_a_sub_agent_of_one_turn_works_inside_its_tool(engine: Engine) -> None:
    desk = Desk()
    boss = make_llm("boss", [("clerk", {"request": "Refund 1042"})], "Done.")
    clerk = desk.make_agent(mode="single_turn", description="Refunds.")
    agent = desk.make_agent(name="boss", model=boss, tools=[], sub_agents=[clerk])
    events = asyncio.run(ask(desk.make_runner(engine, agent=agent)))

    assert read_answer(events) == "Done."
    assert draw(engine)[:4] == [
        "boss: model boss",
        "boss: tool clerk",
        "boss: handoff clerk",
        "boss > clerk: model scripted",
    ]
    assert desk.refunds == [(1042, 5)]
    assert list_open(engine) == set()


def test_a_task_that_is_delegated_works_in_a_frame_below(engine: Engine) -> None:
    desk = Desk()
    boss = make_llm("boss", [("clerk", {"request": "Refund 1042"})], "Done.")
    clerk_llm = make_llm(
        "clerk", [("refund", {"order": 1042, "amount": 5})], [("finish_task", {"result": "refunded"})]
    )
    clerk = desk.make_agent(model=clerk_llm, mode="task", description="Refunds.")
    agent = desk.make_agent(name="boss", model=boss, tools=[], sub_agents=[clerk])
    events = asyncio.run(ask(desk.make_runner(engine, agent=agent)))

    assert read_answer(events) == "Done."
    assert draw(engine) == [
        "boss: model boss",
        "boss: handoff clerk",
        "boss > clerk: model clerk",
        "boss > clerk: tool refund",
        "boss > clerk: model clerk",
        "boss: model boss",
    ]


def make_workflow(kind: Any, name: str, *agents: Any, **options: Any) -> Any:
    return kind(name=name, sub_agents=list(agents), **options)


def test_agents_of_a_sequence_work_below_it(engine: Engine) -> None:
    desk = Desk()
    first = LlmAgent(name="first", model=make_llm("one", "One."))
    second = LlmAgent(name="second", model=make_llm("two", "Two."))
    events = asyncio.run(
        ask(desk.make_runner(engine, agent=make_workflow(SequentialAgent, "flow", first, second)))
    )

    assert read_answer(events) == "Two."
    assert draw(engine) == [
        "flow: handoff first",
        "flow > first: model one",
        "flow: handoff second",
        "flow > second: model two",
    ]
    assert list_open(engine) == set()


def test_agents_in_parallel_work_in_frames_of_their_own(engine: Engine) -> None:
    desk = Desk()
    agents = [
        desk.make_agent(
            name=f"clerk_{number}", model=make_llm(f"m{number}", [("find_order", {"order": number})], ".")
        )
        for number in range(3)
    ]
    asyncio.run(ask(desk.make_runner(engine, agent=make_workflow(ParallelAgent, "fan", *agents))))

    drawn = draw(engine)
    for number in range(3):
        mine = [each for each in drawn if f"clerk_{number}" in each]
        assert mine == [
            f"fan: handoff clerk_{number}",
            f"fan > clerk_{number}: model m{number}",
            f"fan > clerk_{number}: tool find_order",
            f"fan > clerk_{number}: model m{number}",
        ]
    assert sorted(desk.reads) == [0, 1, 2]


def test_agents_in_parallel_stay_within_one_limit(engine: Engine) -> None:
    desk = Desk()
    agents = [
        desk.make_agent(
            name=f"clerk_{number}",
            model=make_llm(f"m{number}", [("find_order", {"order": each}) for each in range(10)], "."),
        )
        for number in range(3)
    ]
    runner = desk.make_runner(
        engine, agent=make_workflow(ParallelAgent, "fan", *agents), limits=Limits(tool_calls=12)
    )
    asyncio.run(ask(runner))

    assert len(desk.reads) == 12
    outcome = read_outcome(engine)
    assert (outcome.status, outcome.pruned) == ("completed", ("limits",))


def test_the_next_agent_of_a_workflow_has_a_last_reply_of_its_own(engine: Engine) -> None:
    desk = Desk()
    first = desk.make_agent(name="first", model=make_llm("m1", [("find_order", {"order": 1})], "One."))
    second = desk.make_agent(name="second", model=make_llm("m2", [("find_order", {"order": 2})], "Two."))
    third = desk.make_agent(name="third", model=make_llm("m3", "Three."))
    workflow = make_workflow(SequentialAgent, "line", first, second, third)
    events = asyncio.run(ask(desk.make_runner(engine, agent=workflow, limits=Limits(tool_calls=1))))

    assert read_answer(events) == "Three."
    assert desk.reads == [1]
    assert read_outcome(engine).pruned == ("limits",)


def test_an_agent_of_a_loop_keeps_its_frame(engine: Engine) -> None:
    desk = Desk()
    writer = LlmAgent(name="writer", model=make_llm("w", "Draft 1.", "Draft 2.", "Draft 3."))
    critic = LlmAgent(
        name="critic", model=make_llm("c", "No.", "No.", [("exit_loop", {})]), tools=[exit_loop]
    )
    loop = make_workflow(LoopAgent, "loop", writer, critic, max_iterations=5)
    asyncio.run(ask(desk.make_runner(engine, agent=loop)))

    drawn = draw(engine)
    assert drawn.count("loop: handoff writer") == drawn.count("loop: handoff critic") == 1
    assert drawn.count("loop > writer: model w") == drawn.count("loop > critic: model c") == 3
    assert engine.coverage().undeclared == {}
    assert read_outcome(engine).status == "completed"


def test_the_same_request_of_a_workflow_is_answered_from_the_record(engine: Engine) -> None:
    def run() -> tuple[str, Desk]:
        desk = Desk()
        flow = make_workflow(
            SequentialAgent,
            "flow",
            desk.make_agent(name="first"),
            LlmAgent(name="second", model=make_llm("two", "Two.")),
        )
        return read_answer(asyncio.run(ask(desk.make_runner(engine, agent=flow, request_id="r-1")))), desk

    first, _ = run()
    second, desk = run()
    assert first == second == "Two."
    assert (desk.model_calls, desk.refunds) == (0, [])


def test_a_runner_inside_a_plain_tool_works_in_a_frame_of_the_same_run(engine: Engine) -> None:
    desk = Desk()

    async def delegate(order: int, tool_context: ToolContext) -> str:
        """Has a clerk do it."""
        return read_answer(await ask(desk.make_runner(engine), f"Refund {order}", session="inner"))

    boss = make_llm("boss", [("delegate", {"order": 1042})], "Done.")
    agent = desk.make_agent(name="boss", model=boss, tools=[delegate])
    asyncio.run(ask(desk.make_runner(engine, agent=agent)))

    assert "boss: handoff clerk" in draw(engine)
    assert len(read_rows(engine)) == 1
    assert desk.refunds == [(1042, 5)]


# ---- what can't be gated


def test_what_the_provider_runs_and_code_is_named(engine: Engine) -> None:
    desk = Desk(["It is sunny."])
    searching = desk.make_agent(tools=[google_search], code_executor=BuiltInCodeExecutor())
    searching.model = ScriptedLlm(model="gemini-3.5-flash", script=["It is sunny."])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.run(ask(desk.make_runner(engine, agent=searching)))

    named = "\n".join(engine.coverage().not_gated)
    assert "google_search" in named
    assert "code that agent 'clerk' executes" in named
    assert "gated" in str(engine.coverage())


def test_an_agent_with_code_of_its_own_is_named(engine: Engine) -> None:
    from google.adk.agents import BaseAgent
    from google.adk.events import Event

    class Custom(BaseAgent):
        async def _run_async_impl(self, ctx: Any) -> AsyncGenerator[Event]:
            yield Event(author=self.name, content=types.Content(role="model", parts=[types.Part(text="Hi.")]))

    events = asyncio.run(ask(Desk().make_runner(engine, agent=Custom(name="custom"))))
    assert read_answer(events) == "Hi."
    assert any("agent 'custom' (Custom)" in each for each in engine.coverage().not_gated)


def test_what_passes_the_gate_is_what_was_called(engine: Engine) -> None:
    desk = Desk(
        [
            [("find_order", {"order": 1}), ("find_order", {"order": 2})],
            [("refund", {"order": 1, "amount": 2})],
            ".",
        ]
    )
    asyncio.run(ask(desk.make_runner(engine)))

    report = engine.coverage()
    assert report.models == {"ScriptedLlm:scripted": desk.model_calls}
    assert report.undeclared == {"find_order": len(desk.reads)}
    assert report.effects == {"refund": len(desk.refunds)}


def test_the_runner_with_plugins_of_its_own_is_gated_too(engine: Engine) -> None:
    desk = Desk()

    async def run() -> Any:
        runner = InMemoryRunner(agent=desk.make_agent(), app_name="desk", plugins=[SeawallPlugin(engine)])
        runner.auto_create_session = True
        return await ask(runner)

    assert read_answer(asyncio.run(run())) == "Order 1042 was refunded."
    assert engine.coverage().effects == {"refund": 1}


def test_a_halt_inside_an_agent_tool_ends_the_whole_invocation(engine: Engine) -> None:
    desk = Desk(lambda request: [("find_order", {"order": 7})])
    boss = make_llm("boss", [("clerk", {"request": "Refund 1042"})], "not reached")
    agent = desk.make_agent(name="boss", model=boss, tools=[AgentTool(desk.make_agent())])

    with pytest.raises(AdkHalted, match="nothing new"):
        asyncio.run(ask(desk.make_runner(engine, agent=agent)))
    assert len(boss.requests) == 1
