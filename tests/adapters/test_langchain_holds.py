"""People decide on an agent's effects, by the graph's own interrupt or elsewhere, and the agent's own waits cost nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from adapters.langchain_desk import (
    ASK,
    BOSS,
    REFUND,
    SIGNED,
    Bank,
    Script,
    approve_all,
    call,
    list_runs,
    make_engine,
    make_model,
    say,
)
from seawall import Effect, always
from seawall.adapters.langchain import SeawallHeld, SeawallMiddleware
from seawall.adapters.langgraph import gate_graph
from seawall.journal.protocol import RunFilter
from seawall.runtime.foreign.engine import Engine
from seawall.testing import ManualClock

BOTH = pytest.mark.parametrize("mode", ["sync", "async"])
YES = {"approve": True, "credential": BOSS}
CONFIG: Any = {"configurable": {"thread_id": "t-1"}}
TWO = [call(("refund", {"order": 1}), ("refund", {"order": 2})), say("Both were refunded.")]


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine(effects=SIGNED) as engine:
        yield engine


def make_clerk(
    engine: Engine,
    bank: Bank,
    *,
    script: Script = REFUND,
    saver: BaseCheckpointSaver[Any] | None = None,
    others: Any = (),
) -> Any:
    return create_agent(
        make_model(script),
        bank.tools,
        middleware=[*others, SeawallMiddleware(engine)],
        checkpointer=saver or InMemorySaver(),
        name="clerk",
    )


def ask(agent: Any, given: Any = ASK, mode: str = "sync", config: Any = CONFIG) -> Any:
    return agent.invoke(given, config) if mode == "sync" else asyncio.run(agent.ainvoke(given, config))


@BOTH
def test_a_held_effect_interrupts_the_graph_and_is_made_once_when_it_is_resumed(
    engine: Engine, mode: str
) -> None:
    bank = Bank()
    clerk = make_clerk(engine, bank)
    (question,) = ask(clerk, mode=mode)["__interrupt__"]
    assert question.value["tool"] == "refund"
    assert "seawall approve" in question.value["decide"]
    assert bank.refunds == []
    result = ask(clerk, Command(resume=YES), mode)
    assert result["messages"][-1].text == "Order 1042 was refunded."
    assert bank.refunds == [1042]
    assert list_runs(engine)[0].summary.status == "completed"


@BOTH
def test_a_rejected_effect_is_not_made(engine: Engine, mode: str) -> None:
    bank = Bank()
    clerk = make_clerk(engine, bank)
    ask(clerk, mode=mode)
    result = ask(clerk, Command(resume={"approve": False, "credential": BOSS, "reason": "too much"}), mode)
    assert bank.refunds == []
    assert "too much" in result["messages"][-2].content


@BOTH
def test_a_decision_that_is_none_is_asked_for_again(engine: Engine, mode: str) -> None:
    bank = Bank()
    clerk = make_clerk(engine, bank)
    ask(clerk, mode=mode)
    (question,) = ask(clerk, Command(resume={"approve": True, "credential": "stolen"}), mode)["__interrupt__"]
    assert "credential" in question.value["problem"]
    assert bank.refunds == []
    ask(clerk, Command(resume=YES), mode)
    assert bank.refunds == [1042]


@BOTH
def test_what_was_approved_elsewhere_goes_on(engine: Engine, mode: str) -> None:
    bank = Bank()
    clerk = make_clerk(engine, bank)
    ask(clerk, mode=mode)
    assert engine.call(approve_all) == 1
    assert ask(clerk, None, mode)["messages"][-1].text == "Order 1042 was refunded."
    assert bank.refunds == [1042]


@BOTH
def test_two_parallel_effects_are_decided_one_here_and_one_there(engine: Engine, mode: str) -> None:
    bank = Bank()
    clerk = make_clerk(engine, bank, script=TWO)
    questions = ask(clerk, mode=mode)["__interrupt__"]
    assert len(questions) == 2
    resume = {questions[0].id: YES}
    (left,) = ask(clerk, Command(resume=resume), mode)["__interrupt__"]
    assert left.id == questions[1].id
    assert len(bank.refunds) == 1
    engine.call(approve_all)
    assert ask(clerk, None, mode)["messages"][-1].text == "Both were refunded."
    assert sorted(bank.refunds) == [1, 2]


@BOTH
def test_an_effect_is_decided_on_after_a_restart(tmp_path: Path, mode: str) -> None:
    bank, saver = Bank(), InMemorySaver()
    with make_engine(tmp_path / "desk.db", effects=SIGNED) as engine:
        ask(make_clerk(engine, bank, saver=saver), mode=mode)
    with make_engine(tmp_path / "desk.db", effects=SIGNED) as engine:
        result = ask(make_clerk(engine, bank, saver=saver), Command(resume=YES), mode)
        assert result["messages"][-1].text == "Order 1042 was refunded."
        assert [run.summary.status for run in list_runs(engine)] == ["completed"]
    assert bank.refunds == [1042]


def test_a_new_request_is_held_anew(engine: Engine) -> None:
    bank = Bank()
    clerk = make_clerk(engine, bank)
    for thread in ("t-1", "t-2"):
        config: Any = {"configurable": {"thread_id": thread}}
        assert ask(clerk, config=config)["__interrupt__"]
        ask(clerk, Command(resume=YES), config=config)
    assert bank.refunds == [1042, 1042]


@BOTH
def test_without_a_checkpointer_the_same_request_goes_on_after_the_decision(
    engine: Engine, mode: str
) -> None:
    bank = Bank()
    clerk = create_agent(make_model(REFUND), bank.tools, middleware=[SeawallMiddleware(engine)])
    config: Any = {"configurable": {"seawall_request_id": "r-1"}}
    for _ in range(2):
        with pytest.raises(SeawallHeld):
            ask(clerk, mode=mode, config=config)
    engine.call(approve_all)
    assert ask(clerk, mode=mode, config=config)["messages"][-1].text == "Order 1042 was refunded."
    assert bank.refunds == [1042]


@pytest.mark.parametrize("declared", ["engine", "agent"])
def test_an_effect_of_an_agent_inside_a_tool_is_held(declared: str) -> None:
    bank, signed = Bank(), SIGNED if declared == "engine" else ()
    with make_engine(effects=signed) as engine:
        own = None if declared == "engine" else SIGNED
        check_inner_hold(bank, SeawallMiddleware(engine), SeawallMiddleware(engine, effects=own))


def check_inner_hold(bank: Bank, gate: SeawallMiddleware, inner: SeawallMiddleware) -> None:
    clerk = create_agent(make_model(REFUND), bank.tools, middleware=[inner], name="clerk")

    @tool
    def ask_clerk(task: str) -> str:
        """Ask the clerk."""
        return str(clerk.invoke(ASK)["messages"][-1].text)

    lead = create_agent(
        make_model([call(("ask_clerk", {"task": "refund"})), say("Done.")]),
        [ask_clerk],
        middleware=[gate],
        checkpointer=InMemorySaver(),
        name="lead",
    )
    assert lead.invoke(ASK, CONFIG)["__interrupt__"]
    assert lead.invoke(Command(resume=YES), CONFIG)["messages"][-1].text == "Done."
    assert bank.refunds == [1042]


# ---- LangChain's own way


@BOTH
@pytest.mark.parametrize("decision", ["approve", "edit", "reject"])
def test_langchains_own_approvals_stand_before_the_gate(mode: str, decision: str) -> None:
    bank = Bank()
    with make_engine() as engine:
        own = HumanInTheLoopMiddleware(interrupt_on={"refund": True})
        clerk = make_clerk(engine, bank, others=[own])
        assert ask(clerk, mode=mode)["__interrupt__"]
        decisions: Any = {
            "approve": {"type": "approve"},
            "edit": {"type": "edit", "edited_action": {"name": "refund", "args": {"order": 7}}},
            "reject": {"type": "reject", "message": "no"},
        }
        result = ask(clerk, Command(resume={"decisions": [decisions[decision]]}), mode)
        assert result["messages"][-1].text == "Order 1042 was refunded."
        assert bank.refunds == {"approve": [1042], "edit": [7], "reject": []}[decision]
        assert [run.summary.status for run in list_runs(engine)] == ["completed"]


def test_both_approvals_are_asked_for(engine: Engine) -> None:
    bank = Bank()
    clerk = make_clerk(engine, bank, others=[HumanInTheLoopMiddleware(interrupt_on={"refund": True})])
    ask(clerk)
    (question,) = ask(clerk, Command(resume={"decisions": [{"type": "approve"}]}))["__interrupt__"]
    assert question.value["tool"] == "refund"
    ask(clerk, Command(resume=YES))
    assert bank.refunds == [1042]


def test_an_hour_in_which_a_person_decides_does_not_count(tmp_path: Path) -> None:
    clock = ManualClock()
    bank = Bank()

    async def wait(sea: Any) -> None:
        for _ in range(10):
            await clock.advance(360)
        (row,) = await sea.journal.runs(RunFilter(), limit=1)
        while (await sea.journal.row(row.run)).state == "running":
            await asyncio.sleep(0)

    with make_engine(tmp_path / "desk.db", clock=clock) as engine:
        clerk = make_clerk(engine, bank, others=[HumanInTheLoopMiddleware(interrupt_on={"refund": True})])
        ask(clerk)
        engine.call(wait)
        assert list_runs(engine)[0].state == "interrupted"
        ask(clerk, Command(resume={"decisions": [{"type": "approve"}]}))
        assert bank.refunds == [1042]
        assert [run.summary.status for run in list_runs(engine)] == ["completed"]


def correct(agent: Any, amount: int) -> Any:
    """Changes the amount in the call that waits, as a person does in the graph's state; returns the config to go on with."""
    said = agent.get_state(CONFIG).values["messages"][-1]
    calls = [{**each, "args": {**each["args"], "amount": amount}} for each in said.tool_calls]
    return agent.update_state(
        CONFIG, {"messages": [AIMessage(content=said.content, id=said.id, tool_calls=calls)]}
    )


@pytest.mark.parametrize("around", [False, True], ids=["agent", "graph around"])
@pytest.mark.parametrize("asks", ["gate", "tool"])
def test_a_call_that_was_corrected_while_it_waited_is_made_as_it_is_now(around: bool, asks: str) -> None:
    paid: list[int] = []

    @tool
    def pay(amount: int) -> str:
        """Pay."""
        if asks == "tool":
            interrupt(f"Pay {amount}?")
        paid.append(amount)
        return f"paid {amount}"

    with make_engine(effects={"pay": Effect(approve=always()) if asks == "gate" else True}) as engine:
        agent: Any = create_agent(
            make_model([call(("pay", {"amount": 100})), say("Done.")]),
            [pay],
            middleware=[] if around else [SeawallMiddleware(engine)],
            checkpointer=InMemorySaver(),
        )
        agent = gate_graph(engine, agent) if around else agent
        assert agent.invoke(ASK, CONFIG)["__interrupt__"]

        result = agent.invoke(Command(resume=YES), correct(agent, 3))

        assert result["messages"][-1].text == "Done."
        assert paid == [3]
        assert not engine.call(lambda sea: sea.approvals())
