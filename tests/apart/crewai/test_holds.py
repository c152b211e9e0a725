"""CrewAI: a call that a person must decide on ends the crew, and the same request goes on after the decision."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from apart.crewai.crew_desk import ANSWER, Desk, kick_off, make_crew, make_task, read_outcome
from runtime.foreign.boss import approve, change, identify, reject
from seawall import Effect, Held, always
from seawall.adapters import crewai
from seawall.runtime.foreign.engine import Engine


def make_engine(journal: Path) -> Engine:
    return Engine(journal, effects={"refund": Effect(approve=always())}, authenticate=identify)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with make_engine(journal) as engine:
        yield engine


def ask(engine: Engine, desk: Desk, way: str = "sync", **options: Any) -> str:
    with crewai.gate(engine, request_id="r-1", **options):
        return kick_off(desk.make_crew(max_retry_limit=3), way).raw


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("written", [False, True], ids=["calls", "written"])
def test_a_held_call_ends_the_crew_and_is_made_after_the_approval(
    engine: Engine, way: str, written: bool
) -> None:
    desk = Desk(written=written)
    with pytest.raises(Held) as held:
        ask(engine, desk, way)
    assert (held.value.name, desk.refunds) == ("refund", [])
    with pytest.raises(Held):  # nobody has decided
        ask(engine, desk, way)
    assert engine.call(approve) == 1

    assert ask(engine, desk, way) == ANSWER
    assert (desk.refunds, desk.model_calls) == ([(1042, 5)], 3)
    assert read_outcome(engine, "r-1").tool_calls == 2


def test_a_crew_whose_call_was_held_can_be_kicked_off_again(engine: Engine) -> None:
    desk = Desk()
    crew = desk.make_crew()
    with pytest.raises(Held), crewai.gate(engine, request_id="r-1"):
        crew.kickoff()
    engine.call(approve)
    with crewai.gate(engine, request_id="r-1"):
        assert crew.kickoff().raw == ANSWER

    assert desk.refunds == [(1042, 5)]


def test_a_decision_is_found_after_a_restart(journal: Path) -> None:
    desk = Desk()
    with make_engine(journal) as engine, pytest.raises(Held):
        ask(engine, desk)
    with make_engine(journal) as engine:
        engine.call(approve)
    with make_engine(journal) as engine:
        assert ask(engine, desk) == ANSWER

    assert (desk.refunds, desk.model_calls) == ([(1042, 5)], 3)


def test_a_rejection_is_told_to_the_agent(engine: Engine) -> None:
    def answer(messages: list[Any]) -> Any:
        if "fraud" in str(messages[-1]):
            return "It was not refunded."
        return [("refund", {"order": 1042, "amount": 5})]

    desk = Desk(answer)
    with pytest.raises(Held):
        ask(engine, desk)
    engine.call(reject)

    assert ask(engine, desk) == "It was not refunded."
    assert desk.refunds == []


def test_arguments_that_a_person_has_changed_are_those_of_the_call(engine: Engine) -> None:
    desk = Desk()
    with pytest.raises(Held):
        ask(engine, desk)
    team = engine.make_team("crew")
    engine.call(lambda sea: change(sea, team))

    assert ask(engine, desk) == ANSWER
    assert desk.refunds == [(1042, 3)]


def test_other_calls_of_the_reply_are_made_once(engine: Engine) -> None:
    desk = Desk(
        [
            [
                ("find_order", {"order": 7}),
                ("refund", {"order": 7, "amount": 5}),
                ("find_order", {"order": 8}),
            ],
            "Done.",
        ]
    )
    with pytest.raises(Held):
        ask(engine, desk)
    engine.call(approve)

    assert ask(engine, desk) == "Done."
    assert (sorted(desk.reads), desk.refunds, desk.model_calls) == ([7, 8], [(7, 5)], 2)


def test_a_call_is_held_inside_of_delegated_work(engine: Engine) -> None:
    desk = Desk()
    asked = ("delegate_work_to_coworker", {"task": "Refund 1042", "context": "none", "coworker": "clerk"})
    lead = Desk([[asked], "It is done."])

    def ask_team() -> str:
        agents = [lead.make_agent("lead", tools=[], allow_delegation=True), desk.make_agent()]
        with crewai.gate(engine, request_id="r-1"):
            return make_crew(agents, [make_task(agents[0])]).kickoff().raw

    with pytest.raises(Held):
        ask_team()
    engine.call(approve)

    assert ask_team() == "It is done."
    assert (desk.refunds, desk.model_calls, lead.model_calls) == ([(1042, 5)], 3, 2)


def test_a_crew_may_wait_for_the_decision(engine: Engine) -> None:
    desk = Desk()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, engine, desk, waits=True)
        while engine.call(approve) == 0 and not answer.done():
            pass
        assert answer.result() == ANSWER

    assert desk.refunds == [(1042, 5)]
