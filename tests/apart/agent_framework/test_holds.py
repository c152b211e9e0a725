"""Agent Framework: a call that a person must decide on is asked about in the framework's own way, and decided there or here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from agent_framework import Agent, AgentSession, Content, Message, ToolApprovalMiddleware, tool

from apart.agent_framework.agents_desk import ANSWER, ASKED, Desk, Reply, ask, list_contents, read_newest_run
from runtime.foreign.boss import approve, change, identify, reject
from seawall import Effect, Seawall, always
from seawall.adapters.agent_framework import MiddlewareHeld, gate
from seawall.runtime.foreign.engine import Engine

HELD = {"refund": Effect(approve=always())}
BOSS = {"seawall_credential": "boss"}
TWO: tuple[Reply, ...] = (
    [("refund", {"order": 1, "amount": 5}), ("refund", {"order": 2, "amount": 6})],
    "Both were refunded.",
)
EITHER = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def make_engine(journal: Path) -> Engine:
    return Engine(journal, effects=HELD, authenticate=identify)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with make_engine(journal) as engine:
        yield engine


def count_open(engine: Engine) -> int:
    return len(engine.call(lambda sea: sea.approvals()))


def answer(response: Any, *approved: bool) -> Message:
    """The answer of the framework's person to what it asks."""
    requests = response.user_input_requests
    given = approved or [True] * len(requests)
    contents: list[Content] = [
        each.to_function_approval_response(yes) for each, yes in zip(requests, given, strict=True)
    ]
    return Message("user", contents)


def find_question(response: Any) -> dict[str, Any]:
    """What the framework is told of the only call that is held."""
    (request,) = response.user_input_requests
    return request.additional_properties


@EITHER
def test_a_held_call_is_asked_about_and_made_after_the_frameworks_approval(
    engine: Engine, stream: bool
) -> None:
    desk, session = Desk(), AgentSession()
    agent = desk.make_agent(engine)
    held = ask(agent, session=session, stream=stream)

    assert desk.refunds == []
    question = find_question(held)
    assert question["tool"] == "refund"
    assert question["decide"].startswith(f"seawall approve {question['seawall']} --journal /")
    assert read_newest_run(engine).state != "ended"

    done = ask(agent, answer(held), session=session, stream=stream, function_invocation_kwargs=BOSS)

    assert done.text.strip() == ANSWER
    assert (desk.refunds, desk.model_calls, count_open(engine)) == ([(1042, 5)], 3, 0)
    row = read_newest_run(engine)
    assert (row.state, row.summary.model_calls) == ("ended", 3)


def test_an_approval_of_seawall_is_enough(engine: Engine) -> None:
    desk, session = Desk(), AgentSession()
    agent = desk.make_agent(engine)
    held = ask(agent, session=session)
    assert engine.call(approve) == 1
    done = ask(agent, answer(held), session=session)

    assert (done.text, desk.refunds) == (ANSWER, [(1042, 5)])


def test_a_decision_is_found_after_a_restart_with_the_sessions_saved_state(journal: Path) -> None:
    desk, session = Desk(), AgentSession()
    with make_engine(journal) as engine:
        held = ask(desk.make_agent(engine), session=session)
        saved = session.to_dict()
    with make_engine(journal) as engine:
        engine.call(approve)
    with make_engine(journal) as engine:
        done = ask(desk.make_agent(engine), answer(held), session=AgentSession.from_dict(saved))

    assert (done.text, desk.refunds, desk.model_calls) == (ANSWER, [(1042, 5)], 3)


def test_an_approval_without_a_credential_is_none(engine: Engine) -> None:
    desk, session = Desk(), AgentSession()
    agent = desk.make_agent(engine)
    held = ask(agent, session=session)
    again = ask(agent, answer(held), session=session, function_invocation_kwargs={"seawall_by": "dana"})

    assert desk.refunds == []
    assert "credential" in find_question(again)["problem"]

    done = ask(agent, answer(again), session=session, function_invocation_kwargs=BOSS)
    assert (done.text, desk.refunds) == (ANSWER, [(1042, 5)])


@pytest.mark.parametrize("is_first", [True, False])
def test_a_rule_that_approves_by_itself_does_not_do_so_without_end(engine: Engine, is_first: bool) -> None:
    asked: list[Any] = []

    def approve_all(call: Any) -> bool:
        asked.append(call)
        assert len(asked) < 10, "it is asked again and again"
        return True

    desk, rules = Desk(), ToolApprovalMiddleware(auto_approval_rules=[approve_all])
    middleware = [gate(engine), rules] if is_first else [rules, gate(engine)]
    agent = Agent(desk.client, tools=[desk.refund, desk.find_order], middleware=middleware)
    with pytest.raises(MiddlewareHeld):
        ask(agent, session=AgentSession(session_id="s-1"))

    assert desk.refunds == []
    ask(agent, session=AgentSession(session_id="s-2"), function_invocation_kwargs=BOSS)
    assert desk.refunds == [(1042, 5)]


def test_a_credential_reaches_neither_the_session_nor_the_tools(engine: Engine) -> None:
    kept: list[Any] = []

    @tool(approval_mode="never_require")
    def refund(order: int, amount: int, **more: Any) -> str:
        """Refunds an order."""
        kept.append(more)
        return "refunded"

    desk, session = Desk(), AgentSession()
    agent = desk.make_agent(engine, tools=[refund, desk.find_order])
    held = ask(agent, session=session)
    ask(agent, answer(held), session=session, function_invocation_kwargs=BOSS)

    assert "boss" not in str(session.to_dict())
    assert kept
    assert "boss" not in str(kept)


def test_a_rejection_of_seawall_stands_against_the_framework(engine: Engine) -> None:
    desk, session = Desk(), AgentSession()
    agent = desk.make_agent(engine)
    held = ask(agent, session=session)
    engine.call(reject)
    done = ask(agent, answer(held), session=session, function_invocation_kwargs=BOSS)

    assert desk.refunds == []
    assert "the order is fraud" in str(list_contents(done))


def test_a_denial_of_the_framework_rejects_the_proposal(journal: Path) -> None:
    desk, session = Desk(), AgentSession()
    with Engine(journal, effects=HELD) as engine:
        agent = desk.make_agent(engine)
        held = ask(agent, session=session)
        assert count_open(engine) == 1
        done = ask(agent, answer(held, False), session=session)

        assert done.text == ANSWER  # what the scripted model says
        assert (desk.refunds, count_open(engine)) == ([], 0)
        assert read_newest_run(engine).state == "ended"


def test_what_a_person_has_changed_is_performed(engine: Engine) -> None:
    desk, session = Desk(), AgentSession()
    agent = desk.make_agent(engine)
    held = ask(agent, session=session)
    engine.call(lambda sea: change(sea, engine.make_team("clerk")))
    done = ask(agent, answer(held), session=session)

    assert (done.text, desk.refunds) == (ANSWER, [(1042, 3)])


def test_two_calls_are_held_at_once_and_decided_apart(engine: Engine) -> None:
    desk, session = Desk(TWO), AgentSession()
    agent = desk.make_agent(engine)
    held = ask(agent, "Refund both", session=session)
    assert (len(held.user_input_requests), count_open(engine)) == (2, 2)

    done = ask(agent, answer(held, True, False), session=session, function_invocation_kwargs=BOSS)
    assert done.text == "Both were refunded."
    assert (desk.refunds, count_open(engine)) == ([(1, 5)], 0)


def test_a_held_call_does_not_keep_others_of_its_reply_from_being_made(engine: Engine) -> None:
    desk = Desk([[("find_order", {"order": 1}), ("refund", {"order": 1, "amount": 5})], ANSWER])
    agent, session = desk.make_agent(engine), AgentSession()
    held = ask(agent, session=session)
    done = ask(agent, answer(held), session=session, function_invocation_kwargs=BOSS)

    assert done.text == ANSWER
    assert (desk.reads, desk.refunds) == ([1], [(1, 5)])


def test_a_new_turn_of_the_conversation_holds_anew(engine: Engine) -> None:
    desk, session = Desk(), AgentSession()
    agent = desk.make_agent(engine)
    ask(agent, answer(ask(agent, session=session)), session=session, function_invocation_kwargs=BOSS)
    second = ask(agent, "And again", session=session)

    assert find_question(second)["tool"] == "refund"
    assert desk.refunds == [(1042, 5)]


def test_an_agent_without_a_session_ends_and_goes_on_when_asked_again(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, request_id="r-1")
    with pytest.raises(MiddlewareHeld) as held:
        ask(agent)
    assert held.value.held.name == "refund"

    engine.call(approve)
    assert ask(agent).text == ANSWER
    assert (desk.refunds, desk.model_calls) == ([(1042, 5)], 3)


def test_a_read_that_a_hold_has_cut_off_is_made_again(engine: Engine) -> None:
    """Without a session a hold ends the agent's run, and the framework cancels the other calls of the reply."""
    reads: list[int] = []

    async def find_order(order: int) -> str:
        reads.append(order)
        if len(reads) == 1:
            await asyncio.Event().wait()
        return "paid"

    desk = Desk([[("find_order", {"order": 1}), ("refund", {"order": 1, "amount": 5})], ANSWER])
    agent = desk.make_agent(engine, tools=[find_order, desk.refund], request_id="r-1")
    with pytest.raises(MiddlewareHeld):
        ask(agent)
    engine.call(approve)
    done = ask(agent)

    assert (reads, desk.refunds) == ([1, 1], [(1, 5)])
    assert "paid" in str(list_contents(done))


def test_a_run_that_waits_goes_on_by_itself(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, waits=True)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, agent)
        while not engine.call(approve):
            assert not running.done()
        done = running.result(60)

    assert (done.text, desk.refunds) == (ANSWER, [(1042, 5)])


@EITHER
def test_the_frameworks_own_approval_comes_before_the_gate(engine: Engine, stream: bool) -> None:
    desk, session = Desk(), AgentSession()
    asking = tool(approval_mode="always_require")(desk.refund)
    mine = gate(engine, effects=["refund"])
    agent = Agent(desk.client, tools=[desk.find_order, asking], middleware=[mine])
    held = ask(agent, session=session, stream=stream)
    assert "seawall" not in find_question(held)
    assert read_newest_run(engine).state != "ended"

    done = ask(agent, answer(held), session=session, stream=stream)
    assert (done.text.strip(), desk.refunds) == (ANSWER, [(1042, 5)])
    assert len(engine.call(lambda sea: sea.journal.runs())) == 1


def test_one_approval_of_the_framework_stands_for_the_gates_too(engine: Engine) -> None:
    desk, session = Desk(), AgentSession()
    asking = tool(approval_mode="always_require")(desk.refund)
    agent = desk.make_agent(engine, tools=[desk.find_order, asking])
    held = ask(agent, session=session)
    done = ask(agent, answer(held), session=session, function_invocation_kwargs=BOSS)

    assert (done.text, desk.refunds) == (ANSWER, [(1042, 5)])


def test_a_hold_inside_an_agent_of_a_tool_holds_the_request(engine: Engine) -> None:
    desk = Desk()
    lead = Desk([[("clerk", {"task": ASKED})], "It is done."])
    clerk = desk.make_agent(engine).as_tool()
    team = lead.make_agent(engine, name="lead", tools=[clerk])
    session = AgentSession()
    with pytest.raises(MiddlewareHeld):
        ask(team, "Have it refunded", session=session)
    engine.call(approve)

    assert ask(team, "Have it refunded", session=session).text == "It is done."
    assert desk.refunds == [(1042, 5)]
    assert (lead.model_calls, desk.model_calls) == (2, 3)


def test_what_became_of_an_effect_is_told_and_the_run_goes_on(journal: Path) -> None:
    tries: list[int] = []

    def refund(order: int, amount: int) -> str:
        tries.append(order)
        raise ConnectionError("the bank did not answer")

    async def tell(sea: Seawall, run: str, step: int) -> None:
        await sea.reconcile(run, step=step, committed="refund 1 of 1042", by="dana")

    desk, session = Desk(), AgentSession()
    with Engine(journal, effects=["refund"]) as engine:
        agent = desk.make_agent(engine, tools=[refund, desk.find_order])
        with pytest.raises(MiddlewareHeld) as raised:
            ask(agent, session=session)
        held = raised.value.held
        engine.call(lambda sea: tell(sea, held.run, held.step))
        done = ask(agent, session=session)

    assert (done.text, tries) == (ANSWER, [1042])
    assert "refund 1 of 1042" in str(list_contents(done))


def test_a_question_that_is_answered_late_is_decided_on_in_a_run_of_its_own(engine: Engine) -> None:
    """The framework goes on without the calls that nobody has decided on."""
    desk, session = Desk(TWO), AgentSession()
    agent = desk.make_agent(engine)
    held = ask(agent, "Refund both", session=session)
    first, second = held.user_input_requests
    half = Message("user", [first.to_function_approval_response(True)])
    ask(agent, half, session=session, function_invocation_kwargs=BOSS)
    assert (desk.refunds, count_open(engine)) == ([(1, 5)], 0)

    rest = Message("user", [second.to_function_approval_response(True)])
    again = ask(agent, rest, session=session)
    assert desk.refunds == [(1, 5)]
    assert "credential" in find_question(again)["problem"]

    ask(agent, answer(again), session=session, function_invocation_kwargs=BOSS)
    assert desk.refunds == [(1, 5), (2, 6)]
    assert [row.state for row in engine.call(lambda sea: sea.journal.runs())] == ["ended", "ended"]
