"""Pydantic AI: every call of a model or a tool passes the gate, and fails closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    DeferredToolRequests,
    ExternalToolset,
    ModelRetry,
    RunContext,
    ToolFailed,
    UsageLimitExceeded,
    UsageLimits,
    WebSearchTool,
)
from pydantic_ai.capabilities import Hooks, NativeTool
from pydantic_ai.exceptions import FallbackExceptionGroup, UnexpectedModelBehavior
from pydantic_ai.messages import BinaryContent, ModelResponse, TextPart, ToolReturn
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.tools import ToolDefinition

from adapters.pydantic_desk import ANSWER, ASKED, Desk, read_events, read_outcome, run_sync
from runtime.foreign.failing_journal import FailingJournal
from seawall import Effect, Limits
from seawall.adapters.pydantic_ai import AgentHalted, AgentHeld, SeawallCapability
from seawall.core.clock import SystemClock
from seawall.core.events import StepIntended
from seawall.journal.sqlite import SqliteJournal
from seawall.runtime.foreign.engine import Engine


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with Engine(journal, effects=["refund"]) as engine:
        yield engine


def test_a_run_is_recorded_with_its_models_and_tools(engine: Engine) -> None:
    desk = Desk()
    result = run_sync(desk.make_agent(engine, request_id="r-1"), ASKED)
    outcome = read_outcome(engine, "r-1")

    assert result.output == ANSWER
    assert desk.refunds == [(1042, 5)]
    assert (outcome.status, outcome.answer) == ("completed", ANSWER)
    assert (outcome.model_calls, outcome.tool_calls) == (3, 2)
    assert [each.tool for each in outcome.effects] == ["refund"]


def test_an_async_run_and_a_run_by_steps_are_recorded_the_same(engine: Engine) -> None:
    desk = Desk()

    async def run() -> list[str]:
        await desk.make_agent(engine, request_id="r-run").run(ASKED)
        async with desk.make_agent(engine, request_id="r-iter").iter(ASKED) as steps:
            return [type(node).__name__ async for node in steps]

    nodes = asyncio.run(run())

    assert nodes.count("ModelRequestNode") == 3
    assert len(desk.refunds) == 2
    for request_id in ("r-run", "r-iter"):
        outcome = read_outcome(engine, request_id)
        assert (outcome.status, outcome.answer, outcome.model_calls) == ("completed", ANSWER, 3)


def test_the_same_request_is_answered_from_the_record(journal: Path) -> None:
    desk = Desk()
    with Engine(journal, effects=["refund"]) as engine:
        first = run_sync(desk.make_agent(engine, request_id="r-1"), ASKED)
    with Engine(journal, effects=["refund"]) as engine:
        second = run_sync(desk.make_agent(engine, request_id="r-1"), ASKED)

    assert (second.output, desk.model_calls, desk.refunds) == (first.output, 3, [(1042, 5)])
    assert _list_parts(second) == _list_parts(first)


def test_a_result_that_came_with_advice_is_given_again_with_it(journal: Path) -> None:
    look, refund = ("find_order", {"order": 1042}), ("refund", {"order": 1042, "amount": 5})
    script = [[look], [look], [look], [refund], [refund], ANSWER]
    desk = Desk(script)
    with Engine(journal, effects=["refund"]) as engine:
        first = run_sync(desk.make_agent(engine, request_id="r-1"), ASKED)
        second = run_sync(desk.make_agent(engine, request_id="r-1"), ASKED)

    assert sum("nothing new" in str(each) or "done 2 times" in str(each) for each in _list_parts(first)) == 3
    assert _list_parts(second) == _list_parts(first)
    assert (desk.model_calls, len(desk.refunds)) == (6, 2)


def _list_parts(result: Any) -> list[Any]:
    return [
        (part.part_kind, getattr(part, "content", None), getattr(part, "tool_call_id", None))
        for message in result.all_messages()
        for part in message.parts
    ]


class Found(BaseModel):
    order: int
    state: str


def test_a_structured_answer_is_an_answer_and_is_given_again(engine: Engine) -> None:
    desk = Desk([[("find_order", {"order": 7})], [("final_result", {"order": 7, "state": "paid"})]])
    agent = desk.make_agent(engine, output_type=Found, request_id="r-1")

    assert run_sync(agent, "What of order 7?").output == Found(order=7, state="paid")
    assert run_sync(agent, "What of order 7?").output == Found(order=7, state="paid")
    assert desk.model_calls == 2
    assert read_outcome(engine, "r-1").answer == '{"order": 7, "state": "paid"}'


def test_a_conversation_is_a_session_and_its_messages_are_requests(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine)
    first = run_sync(agent, ASKED, conversation_id="thread-1")
    again = run_sync(agent, ASKED, conversation_id="thread-1")  # after a crash, without a history
    next_turn = run_sync(agent, ASKED, message_history=first.all_messages())

    assert again.output == first.output
    assert next_turn.output == ANSWER
    assert len(desk.refunds) == 2
    assert desk.model_calls == 6
    rows = engine.call(lambda sea: sea.journal.runs())
    assert [row.session for row in rows] == ["thread-1", "thread-1"]


class Ticket(BaseModel):
    number: str
    customer: str


def test_who_asks_is_read_from_the_deps_or_the_metadata(engine: Engine) -> None:
    desk = Desk()

    def read_number(ctx: RunContext[Any]) -> str:
        return ctx.deps.number

    def read_customer(ctx: RunContext[Any]) -> str:
        return ctx.deps.customer

    gate = SeawallCapability(engine, request_id=read_number, session=read_number, tenant=read_customer)
    agent = Agent(
        desk.make_model(), tools=[desk.refund, desk.find_order], deps_type=Ticket, capabilities=[gate]
    )
    run_sync(agent, ASKED, deps=Ticket(number="t-9", customer="acme"))
    told = {"seawall_request_id": "t-10", "seawall_tenant": "acme"}
    run_sync(desk.make_agent(engine), ASKED, metadata=told)

    by_request = {}
    for number in ("t-9", "t-10"):
        run = engine.call(lambda sea, number=number: sea.journal.run_of_request("acme", number))
        assert run is not None
        by_request[number] = engine.call(lambda sea, run=run: sea.journal.row(run))
    assert (by_request["t-9"].tenant, by_request["t-9"].session) == ("acme", "t-9")
    assert by_request["t-10"].tenant == "acme"


def test_a_capability_of_a_run_takes_the_place_of_the_agents(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine)
    run_sync(agent, ASKED, capabilities=[SeawallCapability(engine, request_id="r-run")])

    assert read_outcome(engine, "r-run").tool_calls == 2
    assert engine.coverage().effects == {"refund": 1}


# ---- fail closed


def test_a_closed_engine_lets_nothing_pass(journal: Path) -> None:
    desk = Desk()
    engine = Engine(journal, effects=["refund"])
    engine.close()
    with pytest.raises(AgentHalted, match="closed"):
        run_sync(desk.make_agent(engine), ASKED)

    assert (desk.model_calls, desk.reads, desk.refunds) == (0, [], [])


@pytest.mark.parametrize("room", range(5))
def test_a_journal_that_is_full_lets_no_effect_pass(journal: Path, room: int) -> None:
    desk = Desk()
    hooks = Hooks[Any]()

    @hooks.on.tool_execute_error
    async def forgive(ctx: RunContext[Any], *, call: Any, tool_def: Any, args: Any, error: Any) -> Any:
        return "it worked, I think"

    full: Any = FailingJournal(SqliteJournal.open(str(journal), clock=SystemClock()), room)
    with Engine(full, effects=["refund"]) as engine:
        gate = SeawallCapability(engine, request_id="r-1")
        agent = Agent(desk.make_model(), tools=[desk.refund, desk.find_order], capabilities=[gate, hooks])
        with pytest.raises(AgentHalted, match="full"):
            run_sync(agent, ASKED)

    with Engine(journal) as reader:
        run = reader.call(lambda sea: sea.journal.run_of_request("", "r-1"))
        events = [] if run is None else reader.call(lambda sea: sea.journal.events(run))
    assert len(desk.refunds) <= sum(isinstance(each, StepIntended) and each.effect for each in events)


def test_a_limit_ends_the_agents_run_with_the_outcome(engine: Engine) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    agent = desk.make_agent(engine, limits=Limits(tool_calls=3, at_limit="halt"))
    with pytest.raises(AgentHalted) as halted:
        run_sync(agent, "Look", usage_limits=UsageLimits(request_limit=None))

    assert halted.value.outcome is not None
    assert halted.value.outcome.stopped_by is not None
    assert halted.value.outcome.stopped_by.limit == "tool_calls=3"
    assert len(desk.reads) == 3


def test_parallel_calls_are_counted_exactly(engine: Engine) -> None:
    desk = Desk([[("find_order", {"order": order}) for order in range(30)], "done"])
    agent = desk.make_agent(engine, limits=Limits(tool_calls=12))

    assert run_sync(agent, "Look at all").output == "done"
    assert len(desk.reads) == 12


def test_no_error_handler_of_the_framework_performs_what_the_gate_refuses(engine: Engine) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    hooks = Hooks[Any]()

    @hooks.on.tool_execute_error
    async def forgive_tool(ctx: RunContext[Any], *, call: Any, tool_def: Any, args: Any, error: Any) -> Any:
        return "it worked, I think"

    @hooks.on.model_request_error
    async def forgive_model(ctx: RunContext[Any], *, request_context: Any, error: Any) -> ModelResponse:
        return ModelResponse([TextPart("all is well")])

    @hooks.on.run_error
    async def forgive_run(ctx: RunContext[Any], *, error: Any) -> Any:
        raise error

    gate = SeawallCapability(engine, limits=Limits(tool_calls=2, at_limit="halt"))
    agent = Agent(desk.make_model(), tools=[desk.find_order], capabilities=[gate, hooks])
    with pytest.raises(AgentHalted):
        run_sync(agent, "Look")

    assert len(desk.reads) == 2


def test_a_fallback_does_not_go_around_a_halt(engine: Engine) -> None:
    desk = Desk(["done"])
    models = FallbackModel(desk.make_model(), desk.make_model(), fallback_on=(Exception,))
    agent = Agent(models, capabilities=[SeawallCapability(engine, limits=Limits(model_calls=1))])

    assert run_sync(agent, "One").output == "done"
    engine.close()
    with pytest.raises(AgentHalted) as halted:
        run_sync(agent, "Two")

    assert isinstance(halted.value.__cause__, FallbackExceptionGroup)
    assert desk.model_calls == 1


def test_each_candidate_of_a_fallback_is_a_step(engine: Engine) -> None:
    desk = Desk(["done"])

    def fail(messages: Any, info: Any) -> ModelResponse:
        raise ConnectionError("no answer")

    models = FallbackModel(
        FunctionModel(fail, model_name="first"), desk.make_model(), fallback_on=(ConnectionError,)
    )
    agent = Agent(models, capabilities=[SeawallCapability(engine, request_id="r-1")])

    assert run_sync(agent, "Say it").output == "done"
    assert read_outcome(engine, "r-1").model_calls == 2
    assert set(engine.coverage().models) == {"function:first", "function:scripted"}


def test_candidates_of_a_fallback_within_a_fallback_are_steps_or_named(engine: Engine) -> None:
    class OwnFallback(FallbackModel):
        pass

    def fail(messages: Any, info: Any) -> ModelResponse:
        raise ConnectionError("no answer")

    def ask(kind: type[FallbackModel], request_id: str) -> int:
        model = Desk(["done"]).make_model()
        inner = kind(FunctionModel(fail, model_name="first"), model, fallback_on=(ConnectionError,))
        gates = [SeawallCapability(engine, request_id=request_id)]
        agent = Agent(FallbackModel(inner, FunctionModel(fail, model_name="last")), capabilities=gates)
        assert run_sync(agent, "Say it").output == "done"
        return read_outcome(engine, request_id).model_calls

    assert ask(FallbackModel, "r-1") == 2
    assert engine.coverage().not_gated == ()
    assert ask(OwnFallback, "r-2") == 1
    assert "candidates" in str(engine.coverage().not_gated)


# ---- tools


def test_what_a_tool_raises_is_raised_and_the_run_has_failed(engine: Engine) -> None:
    def find_order(order: int) -> str:
        raise LookupError("no such order")

    agent = Agent(
        Desk().make_model(), tools=[find_order], capabilities=[SeawallCapability(engine, request_id="r-1")]
    )
    with pytest.raises(LookupError, match="no such order"):
        run_sync(agent, ASKED)

    outcome = read_outcome(engine, "r-1")
    assert outcome.status == "failed"
    assert "no such order" in (outcome.error or "")


def test_a_model_retry_is_an_attempt_of_its_own_and_is_given_again(engine: Engine) -> None:
    tries: list[int] = []

    def find_order(order: int) -> str:
        tries.append(order)
        if len(tries) == 1:
            raise ModelRetry("give the number of the order, not of the customer")
        return "paid"

    desk = Desk([[("find_order", {"order": 7})], [("find_order", {"order": 8})], "It is paid."])
    agent = Agent(
        desk.make_model(),
        tools=[find_order],
        retries=2,
        capabilities=[SeawallCapability(engine, request_id="r-1")],
    )
    first, second = run_sync(agent, "Is it paid?"), run_sync(agent, "Is it paid?")

    assert (tries, desk.model_calls) == ([7, 8], 3)
    assert _list_parts(first) == _list_parts(second)
    assert read_outcome(engine, "r-1").tool_calls == 2


def test_a_tool_that_failed_tells_the_model_and_is_given_again(engine: Engine) -> None:
    def find_order(order: int) -> str:
        raise ToolFailed("the archive is closed")

    desk = Desk([[("find_order", {"order": 7})], "It can't be found."])
    agent = Agent(
        desk.make_model(), tools=[find_order], capabilities=[SeawallCapability(engine, request_id="r-1")]
    )
    first, second = run_sync(agent, "Is it paid?"), run_sync(agent, "Is it paid?")

    assert first.output == "It can't be found."
    assert _list_parts(first) == _list_parts(second)
    assert "the archive is closed" in str(_list_parts(second))


def test_retries_of_a_capability_are_attempts_of_their_own(engine: Engine) -> None:
    tries: list[int] = []

    def find_order(order: int) -> str:
        tries.append(order)
        if len(tries) < 3:
            raise ConnectionError("reset")
        return "paid"

    hooks = Hooks[Any]()

    @hooks.on.tool_execute
    async def try_again(ctx: RunContext[Any], *, call: Any, tool_def: Any, args: Any, handler: Any) -> Any:
        while True:
            try:
                return await handler(args)
            except ConnectionError:
                continue

    desk = Desk([[("find_order", {"order": 7})], "It is paid."])
    gate = SeawallCapability(engine, request_id="r-1")
    agent = Agent(desk.make_model(), tools=[find_order], capabilities=[gate, hooks])

    assert run_sync(agent, "Is it paid?").output == "It is paid."
    assert len(tries) == 3
    assert read_outcome(engine, "r-1").tool_calls == 3


def test_what_another_capability_changes_is_what_is_judged(engine: Engine) -> None:
    hooks = Hooks[Any]()

    @hooks.on.before_tool_execute
    async def raise_amount(ctx: RunContext[Any], *, call: Any, tool_def: Any, args: Any) -> Any:
        return {**args, "amount": 500} if call.tool_name == "refund" else args

    desk = Desk()
    gate = SeawallCapability(engine, request_id="r-1")
    agent = Agent(desk.make_model(), tools=[desk.refund, desk.find_order], capabilities=[gate, hooks])
    run_sync(agent, ASKED)

    assert desk.refunds == [(1042, 500)]
    asked = [each for each in read_events(engine, "r-1") if isinstance(each, StepIntended) and each.effect]
    texts = engine.call(lambda sea: sea.journal.bodies("", [each.input for each in asked if each.input]))
    assert any(b"500" in (body if isinstance(body, bytes) else body.encode()) for body in texts.values())


def test_a_value_that_is_no_text_is_given_again_as_it_was(engine: Engine) -> None:
    picture = BinaryContent(b"\x89PNG", media_type="image/png")

    def find_order(order: int) -> ToolReturn[Any]:
        return ToolReturn({"order": order}, content=["The receipt:", picture], metadata={"page": 2})

    desk = Desk([[("find_order", {"order": 7})], "It is paid."])
    agent = Agent(
        desk.make_model(), tools=[find_order], capabilities=[SeawallCapability(engine, request_id="r-1")]
    )
    first, second = run_sync(agent, "Is it paid?"), run_sync(agent, "Is it paid?")

    assert desk.model_calls == 2
    for result in (first, second):
        part, beside = result.all_messages()[2].parts
        assert part.content == {"order": 7}
        assert [beside.content[0], beside.content[1].data] == ["The receipt:", b"\x89PNG"]
    assert second.all_messages()[2].parts[0].metadata == {"page": 2}


def test_an_effect_that_raises_is_unknown_and_a_person_is_asked(engine: Engine) -> None:
    def refund(order: int, amount: int) -> str:
        raise ModelRetry("the bank did not answer")

    desk = Desk()
    agent = Agent(
        desk.make_model(),
        tools=[refund, desk.find_order],
        capabilities=[SeawallCapability(engine, request_id="r-1")],
    )
    with pytest.raises(AgentHeld) as held:
        run_sync(agent, ASKED)

    assert held.value.held.name == "refund"


def test_an_error_that_says_nothing_happened_leaves_nothing_open(engine: Engine) -> None:
    tries: list[int] = []

    def refund(order: int, amount: int) -> str:
        tries.append(amount)
        if amount > 3:
            raise ModelRetry("the amount is above the order's")
        return "refunded"

    desk = Desk(
        [[("refund", {"order": 7, "amount": 5})], [("refund", {"order": 7, "amount": 3})], "Refunded."]
    )
    gate = SeawallCapability(engine, request_id="r-1", not_done=(ModelRetry,))
    agent = Agent(desk.make_model(), tools=[refund], capabilities=[gate])

    assert run_sync(agent, "Refund order 7").output == "Refunded."
    assert tries == [5, 3]


def test_an_effect_is_done_once_over_requests(journal: Path) -> None:
    desk = Desk()
    with Engine(journal, effects={"refund": Effect(unique_by=("order",))}) as engine:
        for number in range(2):
            run_sync(desk.make_agent(engine, request_id=f"r-{number}"), ASKED)

    assert desk.refunds == [(1042, 5)]


# ---- output functions


def test_a_declared_output_function_is_a_tool(engine: Engine) -> None:
    made: list[int] = []

    def close_ticket(order: int) -> str:
        made.append(order)
        return f"closed {order}"

    desk = Desk([[("final_result", {"order": 7})]])
    agent = Agent(
        desk.make_model(),
        output_type=close_ticket,
        capabilities=[SeawallCapability(engine, effects=["close_ticket"], request_id="r-1")],
    )

    assert [run_sync(agent, "Close it").output for _ in range(2)] == ["closed 7", "closed 7"]
    assert made == [7]
    assert engine.coverage().effects == {"close_ticket": 1}


def test_an_output_function_that_nobody_declared_is_named(engine: Engine) -> None:
    def close_ticket(order: int) -> str:
        return f"closed {order}"

    desk = Desk([[("final_result", {"order": 7})]])
    agent = Agent(desk.make_model(), output_type=close_ticket, capabilities=[SeawallCapability(engine)])

    assert run_sync(agent, "Close it").output == "closed 7"
    assert "output function 'close_ticket'" in str(engine.coverage())


# ---- agents inside tools


def make_team(engine: Engine, desk: Desk, **options: Any) -> Agent[Any, Any]:
    clerk = desk.make_agent(engine)
    lead = Desk(
        [[("ask_clerk", {"task": "Refund 1"}), ("ask_clerk", {"task": "Refund 2"})], "Both are done."]
    )

    async def ask_clerk(task: str) -> str:
        return (await clerk.run(task)).output

    return Agent(
        lead.make_model(),
        name="lead",
        tools=[ask_clerk],
        capabilities=[SeawallCapability(engine, request_id="r-team", **options)],
    )


def test_an_agent_inside_a_tool_works_in_a_frame_of_the_same_run(engine: Engine) -> None:
    desk = Desk()
    team = make_team(engine, desk)

    assert run_sync(team, "Refund both").output == "Both are done."
    outcome = read_outcome(engine, "r-team")
    assert (outcome.handoffs, outcome.model_calls, outcome.tool_calls) == (2, 2 + 6, 2 + 4)
    intents = [each for each in read_events(engine, "r-team") if isinstance(each, StepIntended)]
    frames = {each.frame for each in intents if each.agent == "clerk"}
    assert len(frames) == 2
    assert frames == {each.step for each in intents if each.kind == "handoff"}


def test_the_limits_of_a_request_hold_over_its_agents(engine: Engine) -> None:
    desk = Desk()
    team = make_team(engine, desk, limits=Limits(tool_calls=3, at_limit="halt"))
    with pytest.raises(AgentHalted) as halted:
        run_sync(team, "Refund both")

    assert halted.value.outcome is not None
    assert len(desk.refunds) + len(desk.reads) == 1


@pytest.mark.parametrize("limits", [Limits(handoffs=1), Limits(depth=1)])
def test_at_a_limit_an_agent_inside_a_tool_does_not_begin(engine: Engine, limits: Limits) -> None:
    desk = Desk()
    team = make_team(engine, desk, limits=limits)
    result = run_sync(team, "Refund both")

    assert result.output == "Both are done."
    told = [
        str(part.content)
        for message in result.all_messages()
        for part in message.parts
        if part.part_kind == "tool-return"
    ]
    refused = ["Not done" in each or "would work at depth" in each for each in told]
    assert refused[-1]
    assert len(desk.refunds) == refused.count(False)


# ---- what can't be gated


def test_the_coverage_names_what_can_not_be_gated_and_counts_the_rest(engine: Engine) -> None:
    desk = Desk([[("find_order", {"order": 7}), ("delete_order", {"order": 7})], "done"])

    def delete_order(order: int) -> str:
        return "deleted"

    agent: Agent[Any, Any] = Agent(
        desk.make_model(),
        tools=[desk.find_order, delete_order],
        toolsets=[ExternalToolset([ToolDefinition(name="call_customer")])],
        capabilities=[SeawallCapability(engine), NativeTool(WebSearchTool())],
        output_type=[str, DeferredToolRequests],
    )
    run_sync(agent, "Look")
    report = engine.coverage()

    assert report.undeclared == {"find_order": 1, "delete_order": 1}
    assert report.seem_to_write == ("delete_order",)
    assert report.models == {"function:scripted": 2}
    assert "native tool 'web_search'" in str(report)
    assert "external tool 'call_customer'" in str(report)


# ---- what the framework bounds itself


def test_the_limits_of_the_framework_stay_as_they_are(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, request_id="r-1")
    with pytest.raises(UsageLimitExceeded):
        run_sync(agent, ASKED, usage_limits=UsageLimits(request_limit=2))

    assert desk.model_calls == 2
    assert read_outcome(engine, "r-1").status == "failed"


def test_the_retries_of_the_framework_stay_as_they_are(engine: Engine) -> None:
    desk = Desk(lambda messages: [("nothing_like_it", {})])
    with pytest.raises(UnexpectedModelBehavior):
        run_sync(desk.make_agent(engine), "Try")

    assert desk.model_calls == 2
