"""CrewAI: agents at work are frames of one run, however they were set to work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai import Agent, Process
from crewai.flow.flow import Flow, listen, start
from crewai.memory.unified_memory import Memory
from crewai.tools import tool as make_tool

from apart.crewai.crew_desk import (
    ANSWER,
    ASKED,
    REFUND,
    Desk,
    Reply,
    kick_off,
    list_intents,
    make_crew,
    make_task,
    read_outcome,
    read_request,
)
from seawall import Effect, Halted, Held, Limits, always
from seawall.adapters import crewai
from seawall.adapters.crewai.frames import save_scope
from seawall.runtime.foreign.engine import Engine


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with Engine(journal, effects=["refund"]) as engine:
        yield engine


def list_frames(engine: Engine, request_id: str) -> list[tuple[str, str, int]]:
    """Returns who handed work to whom, and how deep below the crew."""
    parents = {0: 0}
    frames: list[tuple[str, str, int]] = []
    for each in list_intents(engine, request_id):
        if each.kind == "handoff":
            parents[each.step] = parents[each.frame] + 1
            frames.append((each.agent, each.name, parents[each.step]))
    return frames


def make_delegating(desk: Desk, lead: Desk, **options: Any) -> tuple[Agent, Agent]:
    clerk = desk.make_agent()
    return lead.make_agent("lead", tools=[], allow_delegation=True, **options), clerk


def delegate(task: str) -> tuple[str, dict[str, Any]]:
    return "delegate_work_to_coworker", {"task": task, "context": "none", "coworker": "clerk"}


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("written", [False, True], ids=["calls", "written"])
def test_work_that_is_delegated_is_a_frame_below(engine: Engine, way: str, written: bool) -> None:
    desk = Desk(written=written)
    lead = Desk([[delegate("Refund 1042")], "It is done."], written=written)
    for _ in range(2):
        agents = make_delegating(desk, lead)
        with crewai.gate(engine, request_id="r-1"):
            assert kick_off(make_crew(agents, [make_task(agents[0])]), way).raw == "It is done."

    assert list_frames(engine, "r-1") == [("crew", "lead", 1), ("lead", "clerk", 2)]
    outcome = read_outcome(engine, "r-1")
    assert (outcome.model_calls, outcome.tool_calls) == (2 + 3, 1 + 2)
    assert (desk.refunds, lead.model_calls, desk.model_calls) == ([(1042, 5)], 2, 3)


def test_a_manager_delegates_in_frames(engine: Engine) -> None:
    desk, lead = Desk(), Desk([[delegate("Refund 1042")], "It is done."])
    clerk = desk.make_agent()
    crew = make_crew([clerk], [make_task(None)], process=Process.hierarchical, manager_llm=lead.llm)
    with crewai.gate(engine, request_id="r-1"):
        crew.kickoff()

    frames = list_frames(engine, "r-1")
    assert [(to, depth) for _, to, depth in frames] == [(frames[0][1], 1), ("clerk", 2)]
    assert desk.refunds == [(1042, 5)]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_halt_inside_of_delegated_work_ends_the_crew(engine: Engine, way: str) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    lead = Desk([[delegate("Look")], [delegate("Look again")], "It is done."])
    agents = make_delegating(desk, lead, max_retry_limit=3)
    with pytest.raises(Halted), crewai.gate(engine, limits=Limits(tool_calls=4, at_limit="halt")):
        kick_off(make_crew(agents, [make_task(agents[0])]), way)

    assert (len(desk.reads), lead.model_calls) == (3, 1)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_tasks_work_side_by_side_in_frames_of_their_own(engine: Engine, way: str) -> None:
    desk = Desk([[("find_order", {"order": 7})], "found"])
    for _ in range(2):
        agents = [desk.make_agent(f"clerk {number}") for number in range(3)]
        tasks = [make_task(each, f"Look {n}", async_execution=n < 2) for n, each in enumerate(agents)]
        with crewai.gate(engine, request_id="r-1"):
            kick_off(make_crew(agents, tasks), way)

    assert sorted(list_frames(engine, "r-1")) == [("crew", f"clerk {number}", 1) for number in range(3)]
    assert (desk.model_calls, len(desk.reads)) == (6, 3)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_halt_in_a_task_that_works_beside_others_ends_the_crew(engine: Engine, way: str) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    agents = [desk.make_agent(f"clerk {number}") for number in range(3)]
    tasks = [make_task(each, f"Look {n}", async_execution=n < 2) for n, each in enumerate(agents)]
    with pytest.raises(Halted), crewai.gate(engine, limits=Limits(tool_calls=6, at_limit="halt")):
        kick_off(make_crew(agents, tasks), way)

    assert len(desk.reads) == 6


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_call_is_held_in_a_task_that_works_beside_others(journal: Path, way: str) -> None:
    desk = Desk()
    agent = desk.make_agent()
    with (
        Engine(journal, effects={"refund": Effect(approve=always())}) as engine,
        pytest.raises(Held),
        crewai.gate(engine, request_id="r-1"),
    ):
        kick_off(make_crew([agent], [make_task(agent, async_execution=True)]), way)

    assert desk.refunds == []


def test_a_retry_of_a_task_stays_in_its_frame(engine: Engine) -> None:
    tries: list[int] = []

    def fail_once(messages: list[Any]) -> str:
        tries.append(len(messages))
        if len(tries) == 1:
            raise ConnectionError("the model's server has gone away")
        return "done"

    desk = Desk(fail_once)
    with crewai.gate(engine, request_id="r-1"):
        assert desk.make_crew(max_retry_limit=2).kickoff().raw == "done"

    assert list_frames(engine, "r-1") == [("crew", "clerk", 1)]
    assert read_outcome(engine, "r-1").model_calls == len(tries) == 2


class Failing:
    """A script that fails once, after the refund."""

    def __init__(self) -> None:
        self.failed = False

    def __call__(self, messages: list[Any]) -> Reply:
        answered = sum(each["role"] == "assistant" for each in messages)
        if answered == 2 and not self.failed:
            self.failed = True
            raise ConnectionError("the model's server has gone away")
        return REFUND[answered]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_retry_of_a_task_is_given_again_what_is_recorded(engine: Engine, way: str) -> None:
    desk = Desk(Failing())
    with crewai.gate(engine, request_id="r-1"):
        assert kick_off(desk.make_crew(max_retry_limit=2), way).raw == ANSWER

    assert (desk.refunds, desk.reads, desk.model_calls) == ([(1042, 5)], [1042], 4)
    assert list_frames(engine, "r-1") == [("crew", "clerk", 1)]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_retry_of_a_task_that_goes_another_way_makes_no_effect_by_itself(engine: Engine, way: str) -> None:
    """CrewAI tries a conversation with written calls again with other messages."""
    desk = Desk(Failing(), written=True)
    with pytest.raises(Held), crewai.gate(engine, request_id="r-1"):
        kick_off(desk.make_crew(max_retry_limit=2), way)

    assert desk.refunds == [(1042, 5)]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_one_gate_has_a_crew_for_each_input(engine: Engine, way: str) -> None:
    desk = Desk([[("find_order", {"order": 7})], "found"])
    inputs = [{"order": str(number)} for number in range(3)]
    for _ in range(2):
        crew = desk.make_crew(asked="Look for {order}")
        with crewai.gate(engine, request_id="r-1"):
            results = (
                crew.kickoff_for_each(inputs=inputs)
                if way == "sync"
                else asyncio.run(crew.akickoff_for_each(inputs=inputs))
            )
        assert [each.raw for each in results] == ["found"] * 3

    assert list_frames(engine, "r-1") == [("crew", "clerk", 1)] * 3
    assert (desk.model_calls, len(desk.reads)) == (6, 3)
    assert read_outcome(engine, "r-1").answer == '["found", "found", "found"]'


@pytest.mark.parametrize("way", ["sync", "async"])
def test_an_agent_that_is_kicked_off_by_itself_is_gated(engine: Engine, way: str) -> None:
    desk = Desk()
    for _ in range(2):
        agent = desk.make_agent()
        with crewai.gate(engine, request_id="r-1"):
            result = (
                agent.kickoff("Refund it") if way == "sync" else asyncio.run(agent.kickoff_async("Refund it"))
            )
        assert result.raw == ANSWER

    assert list_frames(engine, "r-1") == [("crew", "clerk", 1)]
    assert (desk.refunds, desk.model_calls) == ([(1042, 5)], 3)
    assert read_outcome(engine, "r-1").answer == ANSWER


def test_a_crew_inside_of_a_tool_works_below_it(engine: Engine) -> None:
    desk = Desk()

    @make_tool("ask the desk")
    def ask_desk(task: str) -> str:
        """Asks the desk."""
        return desk.make_crew(asked=task).kickoff().raw

    lead = Desk([[("ask_the_desk", {"task": "Refund 1042"})], "It is done."])
    for _ in range(2):
        with crewai.gate(engine, request_id="r-1"):
            lead.make_crew(tools=[ask_desk], role="lead").kickoff()

    assert list_frames(engine, "r-1") == [("crew", "lead", 1), ("lead", "clerk", 2)]
    assert (desk.refunds, desk.model_calls, lead.model_calls) == ([(1042, 5)], 3, 2)
    assert read_outcome(engine, "r-1").answer == "It is done."


def test_a_halt_of_a_crew_inside_of_a_tool_is_no_failure_of_the_tool(engine: Engine) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    told: list[str] = []

    @make_tool("ask the desk")
    def ask_desk(task: str) -> str:
        """Asks the desk."""
        try:
            return desk.make_crew(asked=task).kickoff().raw
        except Exception as error:  # noqa: BLE001 -- as an application does that goes on whatever happens
            told.append(str(error))
            return "it did not work"

    lead = Desk([[("ask_the_desk", {"task": "Look"})], "It is done."])
    with pytest.raises(Halted), crewai.gate(engine, limits=Limits(tool_calls=3, at_limit="halt")):
        lead.make_crew(tools=[ask_desk]).kickoff()

    assert (told, lead.model_calls, len(desk.reads)) == ([], 1, 2)


def test_a_model_that_a_tool_calls_is_gated(engine: Engine) -> None:
    inner = Desk(["a poem"])

    @make_tool("write")
    def write(about: str) -> str:
        """Writes."""
        return inner.llm.call([{"role": "user", "content": about}])

    desk = Desk([[("write", {"about": "the sea"})], "done"])
    for _ in range(2):
        with crewai.gate(engine, request_id="r-1"):
            desk.make_crew(tools=[write]).kickoff()

    assert (desk.model_calls, inner.model_calls) == (2, 1)
    assert read_outcome(engine, "r-1").model_calls == 3


def test_the_crews_of_a_flow_are_gated(engine: Engine) -> None:
    desk = Desk([[("find_order", {"order": 7})], "found"])

    class Look(Flow[Any]):
        @start()
        def look(self) -> str:
            return desk.make_crew(asked="Look").kickoff().raw

        @listen(look)
        async def look_again(self, found: str) -> str:
            return (await desk.make_crew(asked=f"Look again, not for {found}").akickoff()).raw

    for _ in range(2):
        with crewai.gate(engine, request_id="r-1"):
            assert Look(suppress_flow_events=True).kickoff() == "found"

    assert list_frames(engine, "r-1") == [("crew", "clerk", 1)] * 2
    assert (desk.model_calls, len(desk.reads)) == (4, 2)


def test_a_halt_ends_a_flow(engine: Engine) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])

    class Look(Flow[Any]):
        @start()
        def look(self) -> str:
            return desk.make_crew(asked="Look").kickoff().raw

        @listen(look)
        def look_again(self, found: str) -> str:
            return desk.make_crew(asked="Look again").kickoff().raw

    with pytest.raises(Halted), crewai.gate(engine, limits=Limits(tool_calls=2, at_limit="halt")):
        Look(suppress_flow_events=True).kickoff()

    assert len(desk.reads) == 2


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_halt_of_a_call_that_a_flow_makes_by_itself_is_raised_where_the_flow_was_kicked_off(
    engine: Engine, way: str
) -> None:
    desk = Desk()
    refund, _ = desk.make_tools()

    class Pay(Flow[Any]):
        @start()
        def pay(self) -> str:
            return refund.run(order=1, amount=5)

        @listen(pay)
        def pay_again(self, found: str) -> str:
            return refund.run(order=2, amount=5)

    before, caught = save_scope(), list[Exception]()

    def kick_off() -> None:
        flow = Pay(suppress_flow_events=True)
        try:
            flow.kickoff() if way == "sync" else asyncio.run(flow.kickoff_async())
        except Halted as halted:
            caught.append(halted)

    with pytest.raises(Halted), crewai.gate(engine, limits=Limits(tool_calls=1, at_limit="halt")):
        kick_off()

    assert len(caught) == 1
    assert desk.refunds == [(1, 5)]
    assert save_scope() == before


def test_a_crew_that_is_replayed_from_a_task_is_gated(engine: Engine) -> None:
    desk = Desk()
    crew = desk.make_crew()
    crew.kickoff()
    task = str(crew.tasks[0].id)
    with crewai.gate(engine, request_id="r-1"):
        assert crew.replay(task).raw == ANSWER
    assert read_request(engine, "r-1") == ASKED
    assert read_outcome(engine, "r-1").answer == ANSWER
    assert desk.refunds == [(1042, 5)] * 2

    before, caught = save_scope(), list[Exception]()

    def replay() -> None:
        try:
            crew.replay(task)
        except Halted as halted:
            caught.append(halted)

    with pytest.raises(Halted), crewai.gate(engine, limits=Limits(model_calls=1, at_limit="halt")):
        replay()
    assert len(caught) == 1
    assert save_scope() == before  # CrewAI refuses to go on once a hundred events are open
    assert desk.refunds == [(1042, 5)] * 2


def test_a_crew_that_plans_has_a_model_call_of_the_crew(engine: Engine) -> None:
    planner = Desk(
        ['{"list_of_plans_per_task": [{"task_number": 1, "task": "t", "plan": "Look, then refund."}]}']
    )
    desk = Desk(REFUND)
    agent = desk.make_agent()
    crew = make_crew([agent], [make_task(agent)], planning=True, planning_llm=planner.llm)
    with crewai.gate(engine, request_id="r-1"):
        crew.kickoff()

    assert planner.model_calls >= 1
    assert read_outcome(engine, "r-1").model_calls == planner.model_calls + desk.model_calls


@pytest.mark.parametrize("whose", ["crew", "agent"])
def test_what_a_crew_remembers_in_the_background_is_asked_for_by_the_run(
    engine: Engine, tmp_path: Path, whose: str
) -> None:
    analyst = Desk(['{"memories": ["Order 1042 was refunded, and the customer is content."]}'])

    def embed(texts: list[str]) -> list[list[float]]:
        return [[1.0, float(len(text))] for text in texts]

    desk = Desk()
    memory = Memory(llm=analyst.llm, embedder=embed, storage=str(tmp_path / "memory"))
    remembers: dict[str, Any] = {"memory": memory}
    agent = desk.make_agent(**(remembers if whose == "agent" else {}))
    crew = make_crew([agent], [make_task(agent)], **(remembers if whose == "crew" else {}))
    with crewai.gate(engine, request_id="r-1"):
        assert crew.kickoff().raw == ANSWER

    asked = [each for each in list_intents(engine, "r-1") if each.kind == "model"]
    assert analyst.model_calls >= 1
    assert len(asked) == desk.model_calls + analyst.model_calls
    assert "embeddings" in str(engine.coverage())


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_halt_reaches_who_reads_a_stream(engine: Engine, way: str) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    agent = desk.make_agent()
    crew = make_crew([agent], [make_task(agent)], stream=True)

    caught: list[Exception] = []

    async def read_async() -> None:
        async for _ in await crew.akickoff():
            pass

    def read() -> None:
        try:
            if way == "async":
                asyncio.run(read_async())
            else:
                for _ in crew.kickoff():
                    pass
        except Halted as error:
            caught.append(error)

    with pytest.raises(Halted) as halted, crewai.gate(engine, limits=Limits(tool_calls=2, at_limit="halt")):
        read()

    assert caught == [halted.value]
