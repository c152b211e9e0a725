"""Calls of the OpenAI Agents SDK that a person must decide on: in the SDK's way and in Seawall's, whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, FunctionTool, RunState, SQLiteSession

from adapters.agents_model import QUIET, SCRIPT, Bank, PlayedModel, make_desk
from runtime.foreign.boss import BOSS, approve, reject
from seawall import Effect, Principal, Seawall, always
from seawall.adapters.openai_agents import SeawallRunner, find_outcome
from seawall.core.errors import Misused
from seawall.journal.protocol import RunFilter
from seawall.runtime.foreign.engine import Engine

ASK = "Refund order 1042"
ANSWER = "Order 1042 was refunded."


async def always_asks(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
    return True


def make_engine(journal: Path) -> Engine:
    return Engine(
        journal,
        effects={"refund": Effect(approve=always())},
        reads=["find_order"],
        authenticate=lambda credential: Principal(str(credential)),
    )


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with make_engine(journal) as engine:
        yield engine


def ask(runner: SeawallRunner, agent: Any, given: Any = ASK, **options: Any) -> Any:
    return asyncio.run(runner.run(agent, given, run_config=QUIET, **options))


def read(agent: Any, text: str) -> Any:
    return asyncio.run(RunState.from_string(agent, text))


def check_finished(bank: Bank, result: Any) -> None:
    outcome = find_outcome(result)
    assert outcome is not None
    assert (outcome.status, outcome.answer) == ("completed", ANSWER)
    assert bank.refunds == [(1042, 5)]


def test_an_approval_in_the_state_is_one_in_seawall_too(engine: Engine) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    runner = SeawallRunner(engine)
    result = ask(runner, agent, request_id="r-1")
    (item,) = result.interruptions
    assert item.name == "refund"
    assert len(engine.call(lambda sea: sea.approvals())) == 1
    state = result.to_state()
    state.approve(item)

    check_finished(bank, ask(runner, agent, state, credential=BOSS))
    assert engine.call(lambda sea: sea.approvals()) == []
    assert len(model.requests) == 3


def test_a_state_goes_on_after_a_restart(journal: Path) -> None:
    bank = Bank()
    agent, _ = make_desk(bank)
    with make_engine(journal) as engine:
        text = ask(SeawallRunner(engine), agent, request_id="r-1").to_state().to_string()
    with make_engine(journal) as engine:
        agent, model = make_desk(bank)
        state = read(agent, text)
        state.approve(state.get_interruptions()[0])
        with pytest.raises(Misused, match="request_id"):
            ask(SeawallRunner(engine), agent, state, credential=BOSS)
        check_finished(bank, ask(SeawallRunner(engine), agent, state, request_id="r-1", credential=BOSS))
        assert len(model.requests) == 1


def test_a_decision_in_the_state_needs_somebody_who_decides(engine: Engine) -> None:
    bank = Bank()
    agent, _ = make_desk(bank)
    runner = SeawallRunner(engine)
    result = ask(runner, agent, request_id="r-1")
    state = result.to_state()
    state.approve(result.interruptions[0])
    with pytest.raises(Misused, match="without saying who decides"):
        ask(runner, agent, state)
    assert bank.refunds == []
    check_finished(bank, ask(runner, agent, state, credential=BOSS))


def test_the_state_of_a_tenants_run_goes_on_with_it(engine: Engine) -> None:
    bank = Bank()
    agent, _ = make_desk(bank)
    runner = SeawallRunner(engine)
    result = ask(runner, agent, tenant="acme")  # without a request id, too
    state = result.to_state()
    state.approve(result.interruptions[0])
    result = ask(runner, agent, state, credential=BOSS)

    check_finished(bank, result)
    outcome = find_outcome(result)
    assert outcome is not None
    rows = engine.call(lambda sea: sea.journal.runs(RunFilter(tenant="acme"), limit=9))
    assert [row.run for row in rows] == [outcome.run]


def test_a_state_goes_on_by_its_session_after_a_restart(journal: Path) -> None:
    bank = Bank()
    session = SQLiteSession("dana", journal.with_name("sessions.db"))
    agent, _ = make_desk(bank)
    with make_engine(journal) as engine:
        text = ask(SeawallRunner(engine), agent, session=session).to_state().to_string()
    with make_engine(journal) as engine:
        state = read(agent, text)
        state.approve(state.get_interruptions()[0])
        check_finished(bank, ask(SeawallRunner(engine), agent, state, session=session, credential=BOSS))
    session.close()


def test_a_rejection_in_the_state_is_one_in_seawall_too(engine: Engine) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    runner = SeawallRunner(engine)
    result = ask(runner, agent, request_id="r-1")
    state = result.to_state()
    state.reject(result.interruptions[0], rejection_message="Not today.")
    ask(runner, agent, state, credential=BOSS)

    assert bank.refunds == []
    assert model.requests[-1][-1]["output"] == "Not today."
    assert engine.call(lambda sea: sea.approvals()) == []


@pytest.mark.parametrize("decide", [approve, reject])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_decision_in_seawall_is_found_by_the_state(
    engine: Engine, decide: Callable[[Seawall], Any], streamed: bool
) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    runner = SeawallRunner(engine)

    async def stream(state: Any) -> Any:
        result = runner.run_streamed(agent, state, run_config=QUIET)
        async for _ in result.stream_events():
            pass
        return result

    first = ask(runner, agent, request_id="r-1")
    second = ask(runner, agent, first.to_state())  # nobody has decided
    assert len(second.interruptions) == 1
    engine.call(decide)
    state = second.to_state()
    result = asyncio.run(stream(state)) if streamed else ask(runner, agent, state)

    if decide is approve:
        check_finished(bank, result)
    else:
        assert bank.refunds == []
        assert "the order is fraud" in model.requests[-1][-1]["output"]


def test_a_decision_in_seawall_is_found_by_the_same_request_and_a_new_request_holds_anew(
    engine: Engine,
) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    runner = SeawallRunner(engine)
    assert ask(runner, agent, request_id="r-1").interruptions
    assert engine.call(approve) == 1
    check_finished(bank, ask(runner, agent, request_id="r-1"))
    assert len(model.requests) == 3

    assert ask(runner, agent, request_id="r-2").interruptions
    assert len(bank.refunds) == 1


def test_two_parallel_holds_are_decided_one_by_one(engine: Engine) -> None:
    bank = Bank()
    calls = [("refund", {"order": 1, "amount": 1}), ("refund", {"order": 2, "amount": 2})]
    agent, _ = make_desk(bank, [calls, "Done."])
    runner = SeawallRunner(engine)
    result = ask(runner, agent, request_id="r-1")
    assert len(result.interruptions) == 2
    state = result.to_state()
    state.approve(result.interruptions[0])
    result = ask(runner, agent, state, credential=BOSS)
    assert bank.refunds == [(1, 1)]
    assert len(result.interruptions) == 1

    engine.call(approve)
    result = ask(runner, agent, result.to_state())
    assert result.final_output == "Done."
    assert bank.refunds == [(1, 1), (2, 2)]


def test_a_policy_of_the_users_own_asks_first_and_needs_no_seawall() -> None:
    bank = Bank()
    agent, _ = make_desk(bank, needs_approval=True)
    with Engine(effects=["refund"]) as engine:
        runner = SeawallRunner(engine)
        result = ask(runner, agent, request_id="r-1")
        assert engine.call(lambda sea: sea.approvals()) == []
        again = ask(runner, agent, result.to_state())
        assert len(again.interruptions) == 1
        state = again.to_state()
        state.approve(again.interruptions[0])
        check_finished(bank, ask(runner, agent, state))


# ---- agents as tools, and hand-offs


def make_tool_tree(bank: Bank) -> tuple[Agent[Any], PlayedModel, PlayedModel]:
    clerk, model = make_desk(bank)
    top = PlayedModel([[("ask_clerk", {"input": ASK})], ANSWER], prefix="top")
    return Agent(name="chief", model=top, tools=[clerk.as_tool("ask_clerk", "Asks the clerk.")]), top, model


def make_handoff_tree(bank: Bank) -> tuple[Agent[Any], PlayedModel, PlayedModel]:
    clerk, model = make_desk(bank, [[("unused", {})], *SCRIPT])
    top = PlayedModel([[("transfer_to_clerk", {})]], prefix="top")
    return Agent(name="chief", model=top, handoffs=[clerk]), top, model


@pytest.mark.parametrize("make", [make_tool_tree, make_handoff_tree])
@pytest.mark.parametrize("how", ["state", "text", "seawall", "again"])
def test_a_hold_below_another_agent_goes_on_there(engine: Engine, make: Any, how: str) -> None:
    bank = Bank()
    agent, top, model = make(bank)
    runner = SeawallRunner(engine)
    result = ask(runner, agent, request_id="r-1")
    assert len(result.interruptions) == 1
    assert bank.refunds == []
    state: Any = result.to_state()
    if how == "text":
        state = read(agent, state.to_string())
        state.approve(state.get_interruptions()[0])
    elif how == "state":
        state.approve(result.interruptions[0])
    else:
        engine.call(approve)
    given = ASK if how == "again" else state
    result = ask(runner, agent, given, request_id="r-1", credential=BOSS)

    check_finished(bank, result)
    assert len(top.requests) == (2 if make is make_tool_tree else 1)
    assert len(model.requests) == 3


def test_two_holds_far_below_are_decided_one_by_one(engine: Engine) -> None:
    """The SDK makes none of the two calls before both are decided."""
    bank = Bank()

    def reply(items: list[Any]) -> Any:
        order = int(items[0]["content"])
        return "Refunded." if len(items) > 1 else [("refund", {"order": order, "amount": 5})]

    clerk = Agent(name="clerk", model=PlayedModel(reply, "clerk"), tools=bank.make_tools())
    both: Any = [("ask_clerk", {"input": "1"}), ("ask_clerk", {"input": "2"})]
    head = Agent(
        name="head", model=PlayedModel([both, "Both."], "head"), tools=[clerk.as_tool("ask_clerk", "Asks.")]
    )
    top = PlayedModel([[("ask_head", {"input": ASK})], ANSWER], "top")
    agent = Agent(name="chief", model=top, tools=[head.as_tool("ask_head", "Asks.")])
    runner = SeawallRunner(engine)
    result = ask(runner, agent, request_id="r-1")
    for waiting in (2, 1):
        assert len(result.interruptions) == waiting
        assert bank.refunds == []
        state = result.to_state()
        state.approve(result.interruptions[0])
        result = ask(runner, agent, state, credential=BOSS)
    assert result.final_output == ANSWER
    assert sorted(bank.refunds) == [(1, 5), (2, 5)]


@pytest.mark.parametrize("make", [make_tool_tree, make_handoff_tree])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_state_goes_on_with_a_context_that_is_no_json(engine: Engine, make: Any, streamed: bool) -> None:
    bank = Bank()
    agent, _, _ = make(bank)
    runner = SeawallRunner(engine)
    context = {"bank": bank, 7: ("a", "tuple")}
    state = ask(runner, agent, request_id="r-1", context=context).to_state()
    state.approve(state.get_interruptions()[0])

    async def stream() -> Any:
        result = runner.run_streamed(agent, state, credential=BOSS, run_config=QUIET)
        async for _ in result.stream_events():
            pass
        return result

    result = asyncio.run(stream()) if streamed else ask(runner, agent, state, credential=BOSS)
    check_finished(bank, result)
    assert result.context_wrapper.context is context


@pytest.mark.parametrize("tool", ["refund", "find_order"])
@pytest.mark.parametrize("policy", [True, always_asks])
def test_a_policy_of_the_users_own_is_not_asked_about_a_call_that_was_made(tool: str, policy: Any) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    for each in agent.tools:
        if isinstance(each, FunctionTool) and each.name == tool:
            each.needs_approval = policy
    with Engine(effects=["refund"], reads=["find_order"]) as engine:
        runner = SeawallRunner(engine)
        state = ask(runner, agent, request_id="r-1").to_state()
        state.approve(state.get_interruptions()[0])
        check_finished(bank, ask(runner, agent, state))
        again = ask(runner, agent, request_id="r-1")
    assert (again.interruptions, again.final_output) == ([], ANSWER)
    assert (bank.refunds, bank.found, len(model.requests)) == ([(1042, 5)], 1, 3)
