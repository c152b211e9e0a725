"""Google ADK: a step that a person must decide on waits as ADK's calls wait, and is decided there or with `seawall approve`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents import LoopAgent, ParallelAgent, SequentialAgent
from google.adk.events import Event as AdkEvent
from google.adk.sessions import InMemorySessionService
from google.adk.tools import FunctionTool, LongRunningFunctionTool, ToolContext
from google.adk.tools.agent_tool import AgentTool
from google.genai import types

from apart.google_adk.adk_desk import (
    ANSWER,
    ASKED,
    Desk,
    ScriptedLlm,
    ask,
    read_answer,
    read_events,
    read_outcome,
    read_results,
    read_rows,
)
from seawall import Effect, Principal, always
from seawall.adapters.google_adk import AdkHeld, find_held
from seawall.core.events import StepIntended
from seawall.runtime.foreign.engine import Engine

KEY = "key-of-dana"
KEYS = {KEY: Principal("dana")}
QUESTION = "adk_request_confirmation"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    effects = {"refund": Effect(approve=always())}
    with Engine(tmp_path / "desk.db", effects=effects, authenticate=KEYS.get) as engine:
        yield engine


def find_question(events: list[AdkEvent]) -> types.FunctionCall:
    (found,) = [call for event in events for call in event.get_function_calls() if call.name == QUESTION]
    return found


def answer(question: types.FunctionCall, confirmed: bool, **payload: Any) -> types.Content:
    """The person's answer, as an application sends it."""
    response = {"confirmed": confirmed, "payload": {"credential": KEY, **payload}}
    part = types.Part(
        function_response=types.FunctionResponse(id=question.id, name=QUESTION, response=response)
    )
    return types.Content(role="user", parts=[part])


async def approve(engine: Engine, *, yes: bool = True) -> None:
    """As `seawall approve` or `seawall reject` in another process."""

    async def decide(sea: Any) -> None:
        (proposal,) = await sea.approvals()
        await sea.decide(proposal.run, proposal.step, approve=yes, credential=KEY)

    await engine.call_async(decide)


@pytest.mark.parametrize("resumable", [False, True])
def test_a_held_call_is_confirmed_in_the_framework(engine: Engine, resumable: bool) -> None:
    desk = Desk()
    runner = desk.make_runner(engine, resumable=resumable)

    async def run() -> list[AdkEvent]:
        held = await ask(runner)
        assert desk.refunds == []
        assert read_rows(engine)[0].state == "waiting"
        return await ask(runner, answer(find_question(held), True))

    events = asyncio.run(run())
    assert read_answer(events) == ANSWER
    assert desk.refunds == [(1042, 5)]
    assert len(read_rows(engine)) == 1
    assert read_outcome(engine).status == "completed"
    assert desk.model_calls == 3


@pytest.mark.parametrize("resumable", [False, True])
def test_a_held_call_is_denied_in_the_framework(engine: Engine, resumable: bool) -> None:
    desk = Desk()
    runner = desk.make_runner(engine, resumable=resumable)

    async def run() -> list[AdkEvent]:
        return await ask(runner, answer(find_question(await ask(runner)), False, why="it was delivered"))

    events = asyncio.run(run())
    assert desk.refunds == []
    assert "it was delivered" in str(read_results(events)[-1])
    assert read_outcome(engine).status == "completed"


@pytest.mark.parametrize("yes", [True, False])
@pytest.mark.parametrize("confirmed", [True, False])
def test_a_decision_that_was_made_elsewhere_stands(engine: Engine, yes: bool, confirmed: bool) -> None:
    desk = Desk()
    runner = desk.make_runner(engine)

    async def run() -> None:
        question = find_question(await ask(runner))
        await approve(engine, yes=yes)
        await ask(runner, answer(question, confirmed))

    asyncio.run(run())
    assert len(desk.refunds) == yes
    assert read_outcome(engine).status == "completed"


def test_what_is_to_be_decided_on_is_in_the_question(engine: Engine) -> None:
    desk = Desk()
    question = find_question(asyncio.run(ask(desk.make_runner(engine))))
    assert question.args is not None
    payload = question.args["toolConfirmation"]["payload"]

    assert payload["tool"] == "refund"
    assert payload["run"] == read_rows(engine)[0].run
    assert payload["decide"].startswith(f"seawall approve {payload['seawall']} --journal /")


def test_a_confirmation_counts_only_with_a_credential_that_is_known(engine: Engine) -> None:
    desk = Desk()
    runner = desk.make_runner(engine)

    async def run() -> list[AdkEvent]:
        question = find_question(await ask(runner))
        with pytest.raises(AdkHeld, match="give the credential of the person"):
            await ask(runner, answer(question, True, credential=None))
        assert desk.refunds == []
        return await ask(runner, answer(question, True))

    assert read_answer(asyncio.run(run())) == ANSWER
    assert desk.refunds == [(1042, 5)]


def test_a_credential_need_not_pass_through_the_session(engine: Engine) -> None:
    desk = Desk()
    runner = desk.make_runner(engine, credential=lambda context: KEY)

    async def run() -> list[AdkEvent]:
        return await ask(runner, answer(find_question(await ask(runner)), True, credential=None))

    assert read_answer(asyncio.run(run())) == ANSWER
    assert desk.refunds == [(1042, 5)]


def test_a_tool_of_adk_that_wants_a_confirmation_is_asked_about_once(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(tools=[FunctionTool(desk.refund, require_confirmation=True), desk.find_order])
    runner = desk.make_runner(engine, agent=agent)

    async def run() -> list[AdkEvent]:
        return await ask(runner, answer(find_question(await ask(runner)), True))

    assert read_answer(asyncio.run(run())) == ANSWER
    assert desk.refunds == [(1042, 5)]


def test_a_tool_that_asks_by_itself_is_called_again_with_the_answer(tmp_path: Path) -> None:
    desk, asked = Desk(), []

    def refund(order: int, amount: int, tool_context: ToolContext) -> str:
        """Refunds an order, once somebody has confirmed it."""
        asked.append(tool_context.tool_confirmation)
        if tool_context.tool_confirmation is None:
            tool_context.request_confirmation(hint="Really?")
            return "asked"
        return desk.refund(order, amount)

    with Engine(tmp_path / "desk.db", effects=["refund"]) as engine:
        runner = desk.make_runner(engine, agent=desk.make_agent(tools=[refund, desk.find_order]))

        async def run() -> list[AdkEvent]:
            return await ask(runner, answer(find_question(await ask(runner)), True))

        assert read_answer(asyncio.run(run())) == ANSWER
        assert [each.state for each in read_outcome(engine).effects] == ["committed"]
    assert desk.refunds == [(1042, 5)]
    assert len(asked) == 2


def test_a_question_that_nobody_answers_gives_way_to_the_next_request(engine: Engine) -> None:
    desk = Desk()
    runner = desk.make_runner(engine)

    async def run() -> None:
        await ask(runner)
        desk.llm.script = lambda request: "It is sunny."
        await ask(runner, "How is the weather?")

    asyncio.run(run())
    newest, oldest = read_rows(engine)
    assert (newest.state, oldest.state) == ("ended", "ended")
    assert read_outcome(engine, oldest.run).status == "cancelled"
    assert desk.refunds == []


def test_a_call_can_be_waited_for(engine: Engine) -> None:
    desk = Desk()
    runner = desk.make_runner(engine, waits=True)

    async def run() -> list[AdkEvent]:
        asking = asyncio.ensure_future(ask(runner))
        while not await engine.call_async(lambda sea: sea.approvals()):
            await asyncio.sleep(0)
        await approve(engine)
        return await asking

    assert read_answer(asyncio.run(run())) == ANSWER
    assert desk.refunds == [(1042, 5)]


@pytest.mark.parametrize("resumable", [False, True])
@pytest.mark.parametrize("mode", ["chat", "single_turn", "task"])
def test_a_held_call_of_a_sub_agent_is_confirmed_in_the_framework(
    engine: Engine, mode: str, resumable: bool
) -> None:
    def reply(request: Any) -> Any:
        told = str(request.contents)
        if "refund 1 of" in told:
            return ANSWER if mode != "task" else [("finish_task", {"result": ANSWER})]
        return [("refund", {"order": 1042, "amount": 5})]

    def direct(request: Any) -> Any:
        if ANSWER in str(request.contents):
            return ANSWER
        name, arguments = ("clerk", {"request": ASKED})
        if mode == "chat":
            name, arguments = ("transfer_to_agent", {"agent_name": "clerk"})
        return [(name, arguments)]

    desk = Desk(reply)
    clerk = desk.make_agent(description="Refunds.", mode=mode)
    boss = desk.make_agent(
        name="boss", model=ScriptedLlm(model="boss", script=direct), tools=[], sub_agents=[clerk]
    )
    runner = desk.make_runner(engine, agent=boss, resumable=resumable)

    async def run() -> list[AdkEvent]:
        return await ask(runner, answer(find_question(await ask(runner)), True))

    assert ANSWER in str(asyncio.run(run()))
    assert desk.refunds == [(1042, 5)]
    assert len(read_rows(engine)) == 1
    assert read_outcome(engine).status == "completed"


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("resumable", [False, True])
@pytest.mark.parametrize("kind", [SequentialAgent, partial(LoopAgent, max_iterations=1), ParallelAgent])
def test_one_approval_is_enough_for_a_held_call_of_an_agent_of_a_workflow(
    engine: Engine, kind: Any, resumable: bool
) -> None:
    desk = Desk([[("refund", {"order": 1042, "amount": 5})], ANSWER])
    # without ADK's way to resume, the answer goes to the clerk itself, past the agent above
    runner = desk.make_runner(
        engine, agent=kind(name="flow", sub_agents=[desk.make_agent()]), resumable=resumable
    )

    async def run() -> list[AdkEvent]:
        question = find_question(await ask(runner))
        await approve(engine)
        return await ask(runner, answer(question, True, credential=None))

    assert read_answer(asyncio.run(run())) == ANSWER
    assert desk.refunds == [(1042, 5)]
    steps = [each for each in read_events(engine) if isinstance(each, StepIntended)]
    assert len({each.frame for each in steps if each.kind != "handoff"}) == 1
    assert len([each for each in steps if each.kind == "approval"]) == 1


@pytest.mark.filterwarnings("ignore:The `plugins` argument is deprecated:DeprecationWarning")
def test_inside_an_agent_tool_a_held_call_ends_the_invocation_and_goes_on_later(engine: Engine) -> None:
    desk = Desk()

    def make_runner() -> Any:
        desk.sessions = InMemorySessionService()
        boss = ScriptedLlm(model="boss", script=[[("clerk", {"request": ASKED})], "Done."])
        agent = desk.make_agent(name="boss", model=boss, tools=[AgentTool(desk.make_agent())])
        return desk.make_runner(engine, agent=agent, request_id="r-1")

    async def run() -> list[AdkEvent]:
        with pytest.raises(RuntimeError) as raised:
            await ask(make_runner())
        held = find_held(raised.value)
        assert held is not None
        assert held.name == "refund"
        await approve(engine)
        return await ask(make_runner())

    assert read_answer(asyncio.run(run())) == "Done."
    assert desk.refunds == [(1042, 5)]
    assert len(read_rows(engine)) == 1


def test_the_late_result_of_a_long_running_tool_is_a_request_of_its_own(tmp_path: Path) -> None:
    def reply(request: Any) -> Any:
        if "agreed" in str(request.contents):
            return "The manager agrees."
        return "I have asked." if "pending" in str(request.contents) else [("ask_manager", {"order": 1042})]

    desk = Desk(reply)

    def ask_manager(order: int) -> dict[str, str]:
        """Asks the manager."""
        return {"status": "pending"}

    with Engine(tmp_path / "desk.db") as engine:
        runner = desk.make_runner(engine, agent=desk.make_agent(tools=[LongRunningFunctionTool(ask_manager)]))

        async def run() -> list[AdkEvent]:
            first = await ask(runner)
            assert read_answer(first) == "I have asked."
            (call,) = [each for event in first for each in event.get_function_calls()]
            late = types.FunctionResponse(id=call.id, name=call.name, response={"status": "agreed"})
            return await ask(runner, types.Content(role="user", parts=[types.Part(function_response=late)]))

        assert read_answer(asyncio.run(run())) == "The manager agrees."
        assert [read_outcome(engine, row.run).status for row in read_rows(engine)] == ["completed"] * 2
