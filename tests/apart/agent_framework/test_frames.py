"""Agent Framework: agents inside tools and workflows work in frames of one run, under the limits of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from agent_framework import (
    Agent,
    AgentSession,
    Content,
    InMemoryCheckpointStorage,
    Message,
    WorkflowBuilder,
)
from agent_framework_orchestrations import (
    ConcurrentBuilder,
    GroupChatBuilder,
    HandoffBuilder,
    SequentialBuilder,
)

from apart.agent_framework.agents_desk import (
    ANSWER,
    ASKED,
    Desk,
    Reply,
    ScriptedClient,
    ask,
    read_events,
    read_outcome,
)
from seawall import Effect, Limits, Principal, Seawall, always
from seawall.adapters.agent_framework import MiddlewareHalted, gate, gated_request
from seawall.core.events import CommandTaken, StepIntended
from seawall.runtime.foreign.engine import Engine

BOTH: tuple[Reply, ...] = (
    [("clerk", {"task": "Refund 1"}), ("clerk", {"task": "Refund 2"})],
    "Both are done.",
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with Engine(journal, effects=["refund"]) as engine:
        yield engine


def list_frames(engine: Engine, request_id: str) -> list[tuple[str, str]]:
    """The agents of a request's frames, each with the one above it."""
    intents = [each for each in read_events(engine, request_id) if isinstance(each, StepIntended)]
    return [(each.agent, each.name) for each in intents if each.kind == "handoff"]


def check_tree(engine: Engine, request_id: str) -> None:
    """Each agent asks for its steps in a frame that was opened for it."""
    intents = [each for each in read_events(engine, request_id) if isinstance(each, StepIntended)]
    opened = {each.step: each.name for each in intents if each.kind == "handoff"}
    for each in intents:
        if each.frame:
            assert opened[each.frame] == each.agent


# ---- agents inside tools


def make_team(engine: Engine, desk: Desk, lead: Desk, **options: Any) -> Agent[Any]:
    clerk = desk.make_agent(engine)
    return lead.make_agent(engine, name="lead", tools=[clerk.as_tool()], request_id="r-team", **options)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_agent_that_is_a_tool_works_in_a_frame_of_the_same_run(engine: Engine, stream: bool) -> None:
    desk, lead = Desk(), Desk(BOTH)
    team = make_team(engine, desk, lead)

    assert ask(team, "Refund both", stream=stream).text.strip() == "Both are done."
    outcome = read_outcome(engine, "r-team")
    assert (outcome.handoffs, outcome.model_calls, outcome.tool_calls) == (2, 2 + 6, 2 + 4)
    assert list_frames(engine, "r-team") == [("lead", "clerk"), ("lead", "clerk")]
    check_tree(engine, "r-team")
    assert engine.coverage().not_gated == ()


def test_an_agent_that_a_tool_runs_itself_works_in_a_frame(engine: Engine) -> None:
    clerk = Desk(["It is paid."]).make_agent(engine)

    async def ask_clerk(task: str) -> str:
        return (await clerk.run(task, session=AgentSession())).text

    lead = Desk([[("ask_clerk", {"task": "Is it paid?"})], "Yes."])
    team = lead.make_agent(engine, name="lead", tools=[ask_clerk], request_id="r-team")

    assert ask(team, "Is it paid?").text == "Yes."
    assert list_frames(engine, "r-team") == [("lead", "clerk")]


class NumberingClient(ScriptedClient):
    """Numbers the calls of each reply from zero, as some servers do."""

    def _reply(self, messages: Sequence[Message]) -> list[Content]:
        contents = super()._reply(messages)
        for number, content in enumerate(contents):
            content.call_id = f"call_{number}" if content.type == "function_call" else None
        return contents


def test_the_same_task_under_an_id_that_comes_again_is_another_one(engine: Engine) -> None:
    desk, lead = Desk(["It is paid."]), Desk()
    look: Reply = [("clerk", {"task": "Is it paid?"})]
    lead.client = NumberingClient([look, look, "Yes."])
    team = make_team(engine, desk, lead)

    assert ask(team, "Is it paid?").text == "Yes."
    assert desk.model_calls == 2
    assert list_frames(engine, "r-team") == [("lead", "clerk"), ("lead", "clerk")]


def test_what_an_agents_gate_declares_holds_inside_of_another_agent(journal: Path) -> None:
    desk, lead = Desk(), Desk(BOTH)
    with Engine(journal) as engine:
        clerk = desk.make_agent(engine, effects=["refund"])
        team = lead.make_agent(
            engine, name="lead", tools=[clerk.as_tool()], request_id="r-team", reads=["clerk"]
        )
        ask(team, "Refund both")
        assert engine.coverage().effects == {"refund": 2}


def test_a_team_is_answered_from_the_record(journal: Path) -> None:
    desk, lead = Desk(), Desk(BOTH)
    for _ in range(2):
        with Engine(journal, effects=["refund"]) as engine:
            assert ask(make_team(engine, desk, lead), "Refund both").text == "Both are done."

    assert (len(desk.refunds), desk.model_calls, lead.model_calls) == (2, 6, 2)


def test_the_limits_of_a_request_hold_over_its_agents(engine: Engine) -> None:
    desk, lead = Desk(), Desk(BOTH)
    with pytest.raises(MiddlewareHalted) as halted:
        ask(make_team(engine, desk, lead, limits=Limits(tool_calls=3, at_limit="halt")), "Refund both")

    assert halted.value.outcome is not None
    assert len(desk.refunds) + len(desk.reads) == 1


@pytest.mark.parametrize("limits", [Limits(handoffs=1), Limits(depth=1)], ids=["handoffs", "depth"])
def test_at_a_limit_an_agent_inside_a_tool_does_not_begin(engine: Engine, limits: Limits) -> None:
    desk, lead = Desk(), Desk(BOTH)
    response = ask(make_team(engine, desk, lead, limits=limits), "Refund both")

    allowed = 1 if limits.handoffs == 1 else 0
    assert response.text == BOTH[-1]
    assert len(desk.refunds) == allowed
    told = [
        str(each.result)
        for message in response.messages
        for each in message.contents
        if each.type == "function_result"
    ]
    assert sum("Not done: handoff" in each or "would work at depth" in each for each in told) == 2 - allowed


def test_a_team_that_was_cut_off_goes_on_in_the_same_frame(engine: Engine) -> None:
    stuck = asyncio.Event()
    desk = Desk()

    async def find_order(order: int) -> str:
        if not stuck.is_set():
            stuck.set()
            await asyncio.Event().wait()
        return "paid"

    clerk = desk.make_agent(engine, tools=[desk.refund, find_order])
    lead = Desk([[("clerk", {"task": ASKED})], "It is done."])
    team = lead.make_agent(engine, name="lead", tools=[clerk.as_tool()], request_id="r-team")

    async def cut_off() -> str:
        running = asyncio.ensure_future(team.run("Have it refunded"))
        await stuck.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return (await team.run("Have it refunded")).text

    assert asyncio.run(cut_off()) == "It is done."
    assert (lead.model_calls, desk.model_calls, desk.refunds) == (2, 3, [(1042, 5)])
    assert list_frames(engine, "r-team") == [("lead", "clerk")]


def test_a_session_that_is_shared_with_a_tool_keeps_the_request_of_the_agent(engine: Engine) -> None:
    desk, session = Desk(), AgentSession()
    clerk = desk.make_agent(engine).as_tool(propagate_session=True)
    lead = Desk([[("clerk", {"task": ASKED})], "It is done."])
    team = lead.make_agent(engine, name="lead", tools=[clerk])

    assert ask(team, "Have it refunded", session=session).text == "It is done."
    assert "seawall_open" not in session.state
    assert len(engine.call(lambda sea: sea.journal.runs())) == 1


# ---- workflows


Build = Callable[[Agent[Any], Agent[Any]], Any]


def make_sequence(clerk: Agent[Any], checker: Agent[Any]) -> Any:
    return SequentialBuilder(participants=[clerk, checker]).build()


def make_concurrent(clerk: Agent[Any], checker: Agent[Any]) -> Any:
    return ConcurrentBuilder(participants=[clerk, checker]).build()


def make_group(clerk: Agent[Any], checker: Agent[Any]) -> Any:
    def choose(state: Any) -> str:
        return "clerk" if len(state.conversation) < 2 else "checker"

    return GroupChatBuilder(participants=[clerk, checker], selection_func=choose, max_rounds=2).build()


async def run_workflow(engine: Engine, workflow: Any, **options: Any) -> Any:
    async with gated_request(engine, ASKED, request_id="w-1", **options) as request:
        result = await workflow.run(ASKED)
        request.answer = "done"
    return request.outcome, result


@pytest.mark.parametrize("build", [make_sequence, make_concurrent, make_group])
def test_the_agents_of_a_workflow_work_in_frames_of_one_request(engine: Engine, build: Build) -> None:
    desk, checker = Desk(), Desk(["Checked."])
    for _ in range(2):  # the second time from the record
        workflow = build(desk.make_agent(engine), checker.make_agent(engine, name="checker"))
        outcome, _ = asyncio.run(run_workflow(engine, workflow))

        assert (outcome.status, outcome.answer, outcome.model_calls) == ("completed", "done", 4)
        assert (desk.refunds, desk.model_calls, checker.model_calls) == ([(1042, 5)], 3, 1)
    assert list_frames(engine, "w-1") == [("workflow", "clerk"), ("workflow", "checker")]
    check_tree(engine, "w-1")


def test_a_hand_off_is_a_frame_and_its_replies_are_asked_for_anew(engine: Engine) -> None:
    """The framework demands of these agents that it keeps their conversation, inside of the gate."""

    def make(desk: Desk, name: str, tools: list[Any]) -> Agent[Any]:
        return Agent(
            desk.client,
            name=name,
            tools=tools,
            middleware=[gate(engine)],
            require_per_service_call_history_persistence=True,
        )

    desk, lead = Desk(), Desk([[("handoff_to_clerk", {})], "Bye."])
    first, second = make(lead, "lead", []), make(desk, "clerk", [desk.refund, desk.find_order])
    workflow = (
        HandoffBuilder(participants=[first, second]).with_start_agent(first).add_handoff(first, [second])
    )

    async def run() -> Any:
        async with gated_request(engine, ASKED, request_id="w-1") as request:
            result = await workflow.build().run(ASKED)
        assert request.outcome is None  # it waits for the user, and can be gone on with
        return result.get_request_info_events()

    assert len(asyncio.run(run())) == 1
    assert desk.refunds == [(1042, 5)]
    assert list_frames(engine, "w-1") == [("workflow", "lead"), ("workflow", "clerk")]
    check_tree(engine, "w-1")


def test_the_limits_of_a_request_hold_over_a_workflow(engine: Engine) -> None:
    desk, checker = Desk(), Desk(["Checked."])
    workflow = make_sequence(desk.make_agent(engine), checker.make_agent(engine, name="checker"))
    with pytest.raises(MiddlewareHalted) as halted:
        asyncio.run(run_workflow(engine, workflow, limits=Limits(model_calls=3, at_limit="halt")))

    assert halted.value.outcome is not None
    assert halted.value.outcome.stopped_by is not None
    assert (desk.model_calls, checker.model_calls) == (3, 0)


def test_a_workflow_whose_failure_is_swallowed_does_not_end_with_an_answer(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine)

    async def swallow() -> None:
        async with gated_request(engine, ASKED, limits=Limits(model_calls=1, at_limit="halt")) as request:
            with pytest.raises(MiddlewareHalted):
                await agent.run(ASKED)
            request.answer = "all is well"

    with pytest.raises(MiddlewareHalted):
        asyncio.run(swallow())
    assert desk.model_calls == 1


def test_a_request_that_fails_has_failed(engine: Engine) -> None:
    async def fail() -> None:
        async with gated_request(engine, ASKED, request_id="w-1"):
            await Desk(["done"]).make_agent(engine).run(ASKED)
            raise LookupError("no such order")

    with pytest.raises(LookupError):
        asyncio.run(fail())
    assert read_outcome(engine, "w-1").status == "failed"


async def approve(sea: Seawall) -> int:
    found = await sea.approvals()
    for each in found:
        await sea.approve(each.id, hash=each.hash, credential="boss")
    return len(found)


@pytest.mark.parametrize("checkpointed", [False, True], ids=["same workflow", "from its checkpoint"])
def test_a_workflow_asks_a_person_in_its_own_way_and_goes_on(journal: Path, checkpointed: bool) -> None:
    desk, checker, storage = Desk(), Desk(["Checked."]), InMemoryCheckpointStorage()

    def build(engine: Engine) -> Any:
        agents = [desk.make_agent(engine), checker.make_agent(engine, name="checker")]
        return SequentialBuilder(participants=agents, checkpoint_storage=storage).build()

    async def run(engine: Engine) -> Any:
        workflow = build(engine)
        async with gated_request(engine, ASKED, request_id="w-1"):
            (event,) = (await workflow.run(ASKED)).get_request_info_events()
        assert isinstance(event.data, Content)
        assert desk.refunds == []
        assert await engine.call_async(approve) == 1
        answers = {event.request_id: event.data.to_function_approval_response(True)}
        async with gated_request(engine, ASKED, request_id="w-1") as request:
            if checkpointed:
                newest = await storage.get_latest(workflow_name=workflow.name)
                assert newest is not None
                again = build(engine)
                result = await again.run(responses=answers, checkpoint_id=newest.checkpoint_id)
            else:
                result = await workflow.run(responses=answers)
            request.answer = str(result.get_outputs()[-1].text)
        return request.outcome

    effects = {"refund": Effect(approve=always())}
    with Engine(journal, effects=effects, authenticate=lambda given: Principal(str(given))) as engine:
        outcome = asyncio.run(run(engine))
        assert (outcome.status, outcome.answer) == ("completed", "Checked.")
        assert (desk.refunds, desk.model_calls, checker.model_calls) == ([(1042, 5)], 3, 1)
        assert list_frames(engine, "w-1") == [("workflow", "clerk"), ("workflow", "checker")]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_who_answers_a_workflow_is_told_to_the_block_and_reaches_no_checkpoint(
    journal: Path, checkpointed: bool
) -> None:
    desk, storage = Desk(), InMemoryCheckpointStorage()

    def build(engine: Engine) -> Any:
        return WorkflowBuilder(start_executor=desk.make_agent(engine), checkpoint_storage=storage).build()

    async def run(engine: Engine) -> Any:
        workflow = build(engine)
        async with gated_request(engine, ASKED, request_id="w-1"):
            (event,) = (await workflow.run(ASKED)).get_request_info_events()
        answers = {event.request_id: event.data.to_function_approval_response(True)}
        newest = await storage.get_latest(workflow_name=workflow.name)
        assert newest is not None
        again = build(engine) if checkpointed else workflow
        restored = {"checkpoint_id": newest.checkpoint_id} if checkpointed else {}
        async with gated_request(
            engine, ASKED, request_id="w-1", credential="boss", reason="it was late"
        ) as request:
            result = await again.run(responses=answers, **restored)
            request.answer = str(result.get_outputs()[-1].text)
        kept = await storage.list_checkpoints(workflow_name=workflow.name)
        assert "boss" not in str([each.to_dict() for each in kept])

    effects = {"refund": Effect(approve=always())}
    with Engine(journal, effects=effects, authenticate={"boss": Principal("boss")}.get) as engine:
        asyncio.run(run(engine))
        assert desk.refunds == [(1042, 5)]
        decided = [each for each in read_events(engine, "w-1") if isinstance(each, CommandTaken)]
        assert [(each.by, each.reason) for each in decided] == [("boss", "it was late")]


def test_an_agent_of_another_engine_is_a_request_of_its_own(engine: Engine, tmp_path: Path) -> None:
    with Engine(tmp_path / "other.db") as other:
        clerk = Desk(["It is paid."]).make_agent(other, request_id="r-clerk")

        async def ask_both() -> None:
            async with gated_request(engine, ASKED, request_id="w-1") as request:
                request.answer = (await clerk.run([Message("user", ["Is it paid?"])])).text

        asyncio.run(ask_both())
        assert read_outcome(other, "r-clerk").model_calls == 1
    assert read_outcome(engine, "w-1").model_calls == 0
    assert read_outcome(engine, "w-1").answer != ANSWER
