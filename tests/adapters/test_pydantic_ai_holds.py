"""Pydantic AI: a call that a person must decide on is deferred in the framework's own way, and decided there or here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import (
    Agent,
    CallDeferred,
    DeferredToolRequests,
    DeferredToolResults,
    RunContext,
    ToolApproved,
    ToolDenied,
    UserError,
)
from pydantic_ai.capabilities import HandleDeferredToolCalls
from pydantic_ai.messages import BinaryContent, ModelMessagesTypeAdapter, ToolReturn
from pydantic_ai.toolsets import FunctionToolset

from adapters.pydantic_desk import ANSWER, ASKED, Desk, read_outcome, run_sync
from runtime.foreign.boss import approve, change, identify, reject
from seawall import Effect, Seawall, always
from seawall.adapters.pydantic_ai import AgentHeld, SeawallCapability
from seawall.runtime.foreign.engine import Engine
from seawall.team.team import Team

HELD = {"refund": Effect(approve=always())}
OUTPUT = [str, DeferredToolRequests]
BOSS = {"credential": "boss"}
TWO = ([("refund", {"order": 1, "amount": 5}), ("refund", {"order": 2, "amount": 6})], "Both were refunded.")


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


def decide(result: Any, decision: Any = True, metadata: Any = BOSS) -> DeferredToolResults:
    """The decision of the framework's person on all that is deferred."""
    calls = [call.tool_call_id for call in result.output.approvals]
    answers: dict[str, Any] = dict.fromkeys(calls, decision)
    told: dict[str, Any] = {} if metadata is None else dict.fromkeys(calls, metadata)
    return DeferredToolResults(approvals=answers, metadata=told)


def test_a_held_call_is_deferred_and_made_after_the_frameworks_approval(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, output_type=OUTPUT)
    held = run_sync(agent, ASKED)

    assert isinstance(held.output, DeferredToolRequests)
    assert desk.refunds == []
    (question,) = held.output.metadata.values()
    assert question["tool"] == "refund"
    assert question["decide"].startswith(f"seawall approve {question['seawall']} --journal /")

    done = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=decide(held))

    assert done.output == ANSWER
    assert (desk.refunds, desk.model_calls) == ([(1042, 5)], 3)
    assert count_open(engine) == 0


def test_an_approval_of_seawall_is_enough(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, output_type=OUTPUT)
    held = run_sync(agent, ASKED)
    assert engine.call(approve) == 1
    done = run_sync(
        agent, message_history=held.all_messages(), deferred_tool_results=decide(held, metadata=None)
    )

    assert (done.output, desk.refunds) == (ANSWER, [(1042, 5)])


def test_a_history_whose_calls_are_open_goes_on_without_results(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, output_type=OUTPUT)
    held = run_sync(agent, ASKED)
    engine.call(approve)
    done = run_sync(agent, message_history=held.all_messages())

    assert (done.output, desk.refunds) == (ANSWER, [(1042, 5)])


def test_a_decision_is_found_after_a_restart(journal: Path) -> None:
    desk = Desk()
    with make_engine(journal) as engine:
        saved = run_sync(desk.make_agent(engine, output_type=OUTPUT), ASKED).all_messages_json()
    with make_engine(journal) as engine:
        engine.call(approve)
    with make_engine(journal) as engine:
        history = ModelMessagesTypeAdapter.validate_json(saved)
        done = run_sync(desk.make_agent(engine, output_type=OUTPUT), message_history=history)

    assert (done.output, desk.refunds) == (ANSWER, [(1042, 5)])


def test_the_same_request_without_a_history_goes_on_too(journal: Path) -> None:
    desk = Desk()
    with make_engine(journal) as engine:
        run_sync(desk.make_agent(engine, output_type=OUTPUT, request_id="r-1"), ASKED)
        engine.call(approve)
    with make_engine(journal) as engine:
        done = run_sync(desk.make_agent(engine, output_type=OUTPUT, request_id="r-1"), ASKED)

    assert (done.output, desk.refunds, desk.model_calls) == (ANSWER, [(1042, 5)], 3)


def test_an_approval_without_a_credential_is_none(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, output_type=OUTPUT)
    held = run_sync(agent, ASKED)
    again = run_sync(
        agent,
        message_history=held.all_messages(),
        deferred_tool_results=decide(held, metadata={"by": "dana"}),
    )

    assert isinstance(again.output, DeferredToolRequests)
    assert desk.refunds == []
    (question,) = again.output.metadata.values()
    assert "credential" in question["problem"]

    done = run_sync(agent, message_history=again.all_messages(), deferred_tool_results=decide(again))
    assert (done.output, desk.refunds) == (ANSWER, [(1042, 5)])


def test_a_rejection_of_seawall_stands_against_the_framework(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, output_type=OUTPUT)
    held = run_sync(agent, ASKED)
    engine.call(reject)
    done = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=decide(held))

    again = run_sync(agent, message_history=held.all_messages())
    assert desk.refunds == []
    for result in (done, again):
        assert "the order is fraud" in result.all_messages_json().decode()


def test_a_denial_of_the_framework_rejects_the_proposal(journal: Path) -> None:
    desk = Desk()
    with Engine(journal, effects=HELD) as engine:
        agent = desk.make_agent(engine, output_type=OUTPUT)
        held = run_sync(agent, ASKED)
        assert count_open(engine) == 1
        denied = decide(held, ToolDenied("not this one"), metadata=None)
        done = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=denied)

        assert done.output == ANSWER  # what the scripted model says
        assert desk.refunds == []
        assert count_open(engine) == 0


def test_what_a_person_has_changed_is_performed(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, output_type=OUTPUT)
    held = run_sync(agent, ASKED)
    engine.call(lambda sea: change(sea, engine.make_team("clerk")))
    run_sync(agent, message_history=held.all_messages())

    assert desk.refunds == [(1042, 3)]


def test_what_a_person_has_changed_in_the_framework_is_performed(journal: Path) -> None:
    desk = Desk()
    changed = ToolApproved(override_args={"order": 1042, "amount": 3})
    with Engine(journal, authenticate=identify) as engine:
        agent = desk.make_agent(engine, output_type=OUTPUT, effects=HELD)
        held = run_sync(agent, ASKED)
        done = run_sync(
            agent, message_history=held.all_messages(), deferred_tool_results=decide(held, changed)
        )

        assert (done.output, desk.refunds) == (ANSWER, [(1042, 3)])
        told = [str(part.content) for part in done.all_messages()[-2].parts if hasattr(part, "content")]
        assert any('"amount":3' in each for each in told)


async def approve_less(sea: Seawall, team: Team) -> None:
    await approve(sea, {"order": 1042, "amount": 3, "note": ""}, team)


@pytest.mark.parametrize("earlier", ["approve", "change"])
@pytest.mark.parametrize(
    ("decision", "metadata", "made"),
    [
        (ToolApproved(override_args={"order": 1042, "amount": 2}), BOSS, {"approve": 2, "change": 2}),
        (ToolApproved(override_args={"order": 1042, "amount": 2}), None, {"approve": 0, "change": 0}),
        (True, BOSS, {"approve": 5, "change": 3}),
    ],
    ids=["changed", "changed by nobody", "unchanged"],
)
def test_what_is_changed_in_the_framework_after_an_approval_needs_one_of_its_own(
    journal: Path, earlier: str, decision: Any, metadata: Any, made: dict[str, int]
) -> None:
    desk = Desk()
    refunds: list[int] = []

    def refund(order: int, amount: int, note: str = "") -> str:
        refunds.append(amount)
        return "refunded"

    with Engine(journal, effects=HELD, authenticate=identify) as engine:
        gate = SeawallCapability(engine)
        agent: Agent[Any, Any] = Agent(
            desk.make_model(),
            name="clerk",
            tools=[desk.find_order, refund],
            output_type=OUTPUT,
            capabilities=[gate],
        )
        held = run_sync(agent, ASKED)
        team = engine.make_team("clerk")
        engine.call(approve if earlier == "approve" else lambda sea: approve_less(sea, team))
        decided = decide(held, decision, metadata)
        done = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=decided)

        if not made[earlier]:
            assert isinstance(done.output, DeferredToolRequests)
            (question,) = done.output.metadata.values()
            assert "credential" in question["problem"]
            decided = decide(done, decision)
            done = run_sync(agent, message_history=done.all_messages(), deferred_tool_results=decided)
        assert (done.output, refunds) == (ANSWER, [made[earlier] or 2])


def test_a_call_with_a_secret_is_approved_as_it_is(engine: Engine) -> None:
    secret = "sk-proj-" + "Zq7Xw2Lk9Vb4Nm8Rt5Yp" * 2
    sent: list[str] = []
    desk = Desk([[("refund", {"token": secret})], ANSWER])

    def refund(token: str) -> str:
        sent.append(token)
        return "refunded"

    agent: Agent[Any, Any] = Agent(
        desk.make_model(), tools=[refund], output_type=OUTPUT, capabilities=[SeawallCapability(engine)]
    )
    held = run_sync(agent, ASKED)
    done = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=decide(held))
    assert (done.output, sent) == (ANSWER, [secret])


def test_two_calls_are_held_at_once_and_decided_apart(engine: Engine) -> None:
    desk = Desk(TWO)
    agent = desk.make_agent(engine, output_type=OUTPUT)
    held = run_sync(agent, "Refund both")

    assert isinstance(held.output, DeferredToolRequests)
    assert len(held.output.approvals) == 2
    assert count_open(engine) == 2

    first, second = (call.tool_call_id for call in held.output.approvals)
    results = DeferredToolResults(approvals={first: True, second: True}, metadata={first: BOSS})
    half = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=results)
    assert desk.refunds == [(1, 5)]
    assert isinstance(half.output, DeferredToolRequests)

    engine.call(approve)
    done = run_sync(agent, message_history=half.all_messages(), deferred_tool_results=decide(half))
    assert done.output == "Both were refunded."
    assert desk.refunds == [(1, 5), (2, 6)]


def test_a_continuation_that_the_framework_rejects_does_not_end_the_held_run(engine: Engine) -> None:
    desk = Desk(TWO)
    agent = desk.make_agent(engine, output_type=OUTPUT)
    held = run_sync(agent, ASKED)
    one = decide(held)
    one.approvals.popitem()
    with pytest.raises(UserError):
        run_sync(agent, message_history=held.all_messages(), deferred_tool_results=one)
    assert count_open(engine) == 2

    done = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=decide(held))
    assert (done.output, desk.refunds) == (TWO[-1], [(1, 5), (2, 6)])


LOOKS = {
    "advice": [[("find_order", {"order": 1042})], [("find_order", {"order": 1042})]],
    "content": [[("photograph", {"order": 1042})]],
    "said": [[("hear", {"order": 1042})]],
}


@pytest.mark.parametrize("beside", LOOKS)
def test_what_stands_beside_results_is_no_new_request(journal: Path, beside: str) -> None:
    def photograph(order: int) -> ToolReturn[Any]:
        return ToolReturn("taken", content=["Photo:", BinaryContent(b"\x89PNG", media_type="image/png")])

    def hear(ctx: RunContext[Any], order: int) -> str:
        ctx.enqueue("Be quick.")
        return "heard"

    pay = [("refund", {"order": 1042, "amount": 5})]
    desk = Desk(lambda messages: script[sum(each.kind == "response" for each in messages)])
    script: list[Any] = [*LOOKS[beside], pay, pay, ANSWER]

    def go_on(**options: Any) -> Any:
        with make_engine(journal) as engine:
            agent: Agent[Any, Any] = Agent(
                desk.make_model(),
                tools=[desk.refund, desk.find_order, photograph, hear],
                output_type=OUTPUT,
                capabilities=[SeawallCapability(engine)],
            )
            result = run_sync(agent, conversation_id="c-1", **options)
            engine.call(approve)
            return result

    first = go_on(user_prompt=ASKED)
    second = go_on(
        user_prompt="And hurry.", message_history=first.all_messages(), deferred_tool_results=decide(first)
    )
    assert desk.refunds == [(1042, 5)]
    done = go_on(message_history=second.all_messages())
    assert (done.output, desk.refunds) == (ANSWER, [(1042, 5), (1042, 5)])


def test_a_new_request_of_the_conversation_holds_anew(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, output_type=OUTPUT)
    first = run_sync(agent, ASKED, conversation_id="thread-1")
    done = run_sync(agent, message_history=first.all_messages(), deferred_tool_results=decide(first))
    second = run_sync(agent, "And again", message_history=done.all_messages())

    assert isinstance(second.output, DeferredToolRequests)
    assert desk.refunds == [(1042, 5)]


def test_an_agent_that_can_not_defer_ends_and_goes_on_when_asked_again(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, request_id="r-1")
    with pytest.raises(AgentHeld) as held:
        run_sync(agent, ASKED)
    assert held.value.held.name == "refund"

    engine.call(approve)
    assert run_sync(agent, ASKED).output == ANSWER
    assert desk.refunds == [(1042, 5)]


def test_a_handler_of_the_framework_decides_within_the_run(engine: Engine) -> None:
    desk = Desk()
    asked: list[Any] = []

    def handle(ctx: Any, requests: DeferredToolRequests) -> DeferredToolResults:
        asked.append(requests.metadata)
        return requests.build_results(
            approve_all=True, metadata={call.tool_call_id: BOSS for call in requests.approvals}
        )

    agent = Agent(
        desk.make_model(),
        tools=[desk.refund, desk.find_order],
        capabilities=[SeawallCapability(engine), HandleDeferredToolCalls(handle)],
    )

    assert run_sync(agent, ASKED).output == ANSWER
    assert desk.refunds == [(1042, 5)]
    assert len(asked) == 1


def test_a_run_that_waits_goes_on_by_itself(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, waits=True)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: asyncio.run(agent.run(ASKED)))
        while not engine.call(approve):
            assert not running.done()
        done = running.result(60)

    assert (done.output, desk.refunds) == (ANSWER, [(1042, 5)])


def test_the_frameworks_own_approval_comes_before_the_gate(engine: Engine) -> None:
    desk = Desk()
    agent: Agent[Any, Any] = Agent(
        desk.make_model(),
        tools=[desk.find_order],
        output_type=OUTPUT,
        capabilities=[SeawallCapability(engine, effects=["refund"], request_id="r-1")],
    )
    agent.tool_plain(requires_approval=True)(desk.refund)
    held = run_sync(agent, ASKED)
    assert isinstance(held.output, DeferredToolRequests)
    assert read_open_run(engine) == 2

    done = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=decide(held))
    assert (done.output, desk.refunds) == (ANSWER, [(1042, 5)])
    assert read_outcome(engine, "r-1").model_calls == 3


def test_an_inner_agents_errors_which_say_that_nothing_happened_leave_nothing_open() -> None:
    desk = Desk([[("refund", {"order": 1042, "amount": 5})], "Not refunded."])
    lead = Desk([[("ask_clerk", {"task": ASKED})], "It is done."])

    def refund(order: int, amount: int) -> str:
        raise KeyError("no such order")

    with Engine() as engine:
        gate = SeawallCapability(engine, effects=["refund"], not_done=(KeyError,))
        clerk: Agent[Any, Any] = Agent(desk.make_model(), name="clerk", tools=[refund], capabilities=[gate])

        async def ask_clerk(task: str) -> str:
            with pytest.raises(KeyError):
                await clerk.run(task)
            return "There is no such order."

        gates = [SeawallCapability(engine, request_id="r-team")]
        team = Agent(lead.make_model(), name="lead", tools=[ask_clerk], capabilities=gates)
        assert run_sync(team, "Have it refunded").output == "It is done."
        assert [each.state for each in read_outcome(engine, "r-team").effects] == ["failed"]


@pytest.mark.parametrize("number", range(4))
def test_an_effect_that_the_framework_defers_inside_of_the_gate_was_not_made(number: int) -> None:
    desk = Desk([[("refund", {"order": 1042, "amount": 5})], ANSWER])
    with Engine(effects=["refund"]) as engine:
        tools = FunctionToolset([desk.refund]).approval_required()
        agent: Agent[Any, Any] = Agent(
            desk.make_model(), toolsets=[tools], output_type=OUTPUT, capabilities=[SeawallCapability(engine)]
        )
        held = run_sync(agent, ASKED)
        assert isinstance(held.output, DeferredToolRequests)
        assert engine.coverage().effects == {}

        done = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=decide(held))
        assert (done.output, desk.refunds) == (ANSWER, [(1042, 5)])
        assert engine.coverage().effects == {"refund": 1}


def test_what_is_changed_in_an_effect_that_the_framework_deferred_inside_of_the_gate_is_performed() -> None:
    desk = Desk([[("refund", {"order": 1042, "amount": 5})], ANSWER])
    with Engine(effects=["refund"]) as engine:
        tools = FunctionToolset([desk.refund]).approval_required()
        agent: Agent[Any, Any] = Agent(
            desk.make_model(), toolsets=[tools], output_type=OUTPUT, capabilities=[SeawallCapability(engine)]
        )
        held = run_sync(agent, ASKED)
        decided = decide(held, ToolApproved(override_args={"order": 1042, "amount": 3}))
        done = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=decided)

        assert (done.output, desk.refunds) == (ANSWER, [(1042, 3)])
        assert engine.coverage().effects == {"refund": 1}


def test_an_effect_whose_result_comes_from_outside_is_begun_once(journal: Path) -> None:
    begun: list[int] = []

    def pack(order: int) -> str:
        begun.append(order)
        raise CallDeferred(metadata={"job": len(begun)})

    desk = Desk([[("pack", {"order": 7}), ("refund", {"order": 7, "amount": 5})], ANSWER])
    with Engine(journal, effects={"pack": Effect(), **HELD}, authenticate=identify) as engine:
        gates = [SeawallCapability(engine, request_id="r-1")]
        agent: Agent[Any, Any] = Agent(
            desk.make_model(), tools=[pack, desk.refund], output_type=OUTPUT, capabilities=gates
        )
        first = run_sync(agent, ASKED)
        engine.call(approve)
        second = run_sync(agent, message_history=first.all_messages())
        (call,) = second.output.calls
        assert second.output.metadata[call.tool_call_id] == {"job": 1}
        assert (begun, desk.refunds) == ([7], [(7, 5)])

        packed = DeferredToolResults(calls={call.tool_call_id: "packed"})
        done = run_sync(agent, message_history=second.all_messages(), deferred_tool_results=packed)
        assert (done.output, begun) == (ANSWER, [7])
        assert {each.tool: each.state for each in read_outcome(engine, "r-1").effects} == {
            "pack": "committed",
            "refund": "committed",
        }
        again = run_sync(agent, ASKED)
        assert again.output.metadata == second.output.metadata


@pytest.mark.parametrize(("effects", "kind"), [([], "external"), (["pack"], "question")])
def test_what_has_not_begun_its_work_is_called_again(effects: list[str], kind: Any) -> None:
    asked: list[int] = []

    def pack(order: int) -> str:
        asked.append(order)
        if len(asked) == 1:
            raise CallDeferred(kind=kind)
        return "packed"

    desk = Desk([[("pack", {"order": 7})], ANSWER])
    with Engine(effects=effects) as engine:
        agent: Agent[Any, Any] = Agent(
            desk.make_model(), tools=[pack], output_type=OUTPUT, capabilities=[SeawallCapability(engine)]
        )
        first = run_sync(agent, ASKED)
        assert run_sync(agent, message_history=first.all_messages()).output == ANSWER
        assert asked == [7, 7]


def read_open_run(engine: Engine) -> int:
    """How many models the newest run has called so far."""
    (row,) = engine.call(lambda sea: sea.journal.runs())
    assert row.state != "ended"
    events = engine.call(lambda sea: sea.journal.events(row.run))
    return sum(getattr(each, "kind", "") == "model" for each in events)


def test_a_hold_inside_an_agent_of_a_tool_holds_the_request(engine: Engine) -> None:
    desk = Desk()
    clerk = desk.make_agent(engine)
    lead = Desk([[("ask_clerk", {"task": ASKED})], "It is done."])

    async def ask_clerk(task: str) -> str:
        return (await clerk.run(task)).output

    team = Agent(
        lead.make_model(),
        name="lead",
        tools=[ask_clerk],
        capabilities=[SeawallCapability(engine, request_id="r-team")],
    )
    with pytest.raises(AgentHeld):
        run_sync(team, "Have it refunded")
    engine.call(approve)

    assert run_sync(team, "Have it refunded").output == "It is done."
    assert desk.refunds == [(1042, 5)]
    assert (lead.model_calls, desk.model_calls) == (2, 3)


@pytest.mark.parametrize("above", [{"effects": ["send_mail"]}, {"reads": ["find_order"]}, {"effects": HELD}])
def test_what_an_agent_declares_of_its_tools_holds_inside_of_another_agents_tool(above: Any) -> None:
    desk = Desk()
    lead = Desk([[("ask_clerk", {"task": ASKED})], "It is done."])
    with Engine(authenticate=identify) as engine:
        clerk = desk.make_agent(engine, **({} if "refund" in above.get("effects", ()) else {"effects": HELD}))

        async def ask_clerk(task: str) -> str:
            return (await clerk.run(task)).output

        team = Agent(
            lead.make_model(),
            name="lead",
            tools=[ask_clerk],
            capabilities=[SeawallCapability(engine, request_id="r-team", **above)],
        )
        with pytest.raises(AgentHeld):
            run_sync(team, "Have it refunded")
        assert desk.refunds == []
        engine.call(approve)

        assert run_sync(team, "Have it refunded").output == "It is done."
        assert desk.refunds == [(1042, 5)]
        assert engine.coverage().effects == {"refund": 1}


def test_what_became_of_an_effect_is_told_and_the_run_goes_on(journal: Path) -> None:
    tries: list[int] = []

    def refund(order: int, amount: int) -> str:
        tries.append(order)
        raise ConnectionError("the bank did not answer")

    async def tell(sea: Seawall, question: Any) -> None:
        await sea.reconcile(question["run"], step=question["step"], committed="refund 1 of 1042", by="dana")

    desk = Desk()
    with Engine(journal, effects=["refund"]) as engine:
        agent = Agent(
            desk.make_model(),
            tools=[refund, desk.find_order],
            output_type=OUTPUT,
            capabilities=[SeawallCapability(engine, request_id="r-1")],
        )
        held = run_sync(agent, ASKED)
        approved = run_sync(
            agent,  # which says nothing of what became of it
            message_history=held.all_messages(),
            deferred_tool_results=decide(held, metadata=None),
        )
        assert isinstance(approved.output, DeferredToolRequests)
        (question,) = approved.output.metadata.values()
        engine.call(lambda sea: tell(sea, question))
        done = run_sync(agent, message_history=held.all_messages())
        again = run_sync(agent, ASKED)

    assert (done.output, again.output, tries) == (ANSWER, ANSWER, [1042])
    for result in (done, again):
        assert "refund 1 of 1042" in result.all_messages_json().decode()


def test_a_held_call_does_not_keep_others_of_its_reply_from_being_made(engine: Engine) -> None:
    desk = Desk([[("find_order", {"order": 1}), ("refund", {"order": 1, "amount": 5})], ANSWER])
    agent = desk.make_agent(engine, output_type=OUTPUT)
    held = run_sync(agent, ASKED)
    done = run_sync(agent, message_history=held.all_messages(), deferred_tool_results=decide(held))

    assert done.output == ANSWER
    assert (desk.reads, desk.refunds) == ([1], [(1, 5)])
