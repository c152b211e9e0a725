"""Microsoft Agent Framework: every call of a model or a tool passes the gate, and fails closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from agent_framework import (
    Agent,
    AgentContext,
    AgentMiddleware,
    AgentSession,
    BaseAgent,
    ChatContext,
    ChatMiddleware,
    ChatResponse,
    Content,
    FunctionInvocationContext,
    FunctionMiddleware,
    FunctionTool,
    InMemoryHistoryProvider,
    Message,
    MiddlewareTermination,
    WorkflowBuilder,
    WorkflowExecutor,
    tool,
)
from agent_framework.exceptions import MiddlewareException
from agent_framework.orchestrations import SequentialBuilder

from apart.agent_framework.agents_desk import (
    ANSWER,
    ASKED,
    Desk,
    ForgivingAgent,
    ForgivingModel,
    ForgivingTool,
    Next,
    Reply,
    ask,
    list_contents,
    read_events,
    read_newest_run,
    read_outcome,
)
from seawall import Limits, Loops
from seawall.adapters.agent_framework import MiddlewareHalted, gate
from seawall.adapters.agent_framework.identity import RequestIdentity, make_request_id
from seawall.core.errors import Misused
from seawall.core.events import StepIntended
from seawall.runtime.foreign.engine import Engine


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with Engine(journal, effects=["refund"]) as engine:
        yield engine


EITHER = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@EITHER
def test_a_run_is_recorded_with_its_models_and_tools(engine: Engine, stream: bool) -> None:
    desk = Desk()
    response = ask(desk.make_agent(engine, request_id="r-1"), stream=stream)
    outcome = read_outcome(engine, "r-1")

    assert response.text.strip() == ANSWER
    assert desk.refunds == [(1042, 5)]
    assert (outcome.status, (outcome.answer or "").strip()) == ("completed", ANSWER)
    assert (outcome.model_calls, outcome.tool_calls) == (3, 2)
    assert [each.tool for each in outcome.effects] == ["refund"]


@EITHER
def test_the_same_request_is_answered_from_the_record(journal: Path, stream: bool) -> None:
    desk = Desk()
    with Engine(journal, effects=["refund"]) as engine:
        first = ask(desk.make_agent(engine, request_id="r-1"), stream=stream)
    with Engine(journal, effects=["refund"]) as engine:
        second = ask(desk.make_agent(engine, request_id="r-1"), stream=stream)

    assert (second.text, desk.model_calls, desk.refunds) == (first.text, 3, [(1042, 5)])
    assert list_contents(second) == list_contents(first)


def test_a_result_that_came_with_advice_is_given_again_with_it(engine: Engine) -> None:
    look, refund = ("find_order", {"order": 1042}), ("refund", {"order": 1042, "amount": 5})
    script = [[look], [look], [look], [refund], [refund], ANSWER]
    desk = Desk(script)
    first = ask(desk.make_agent(engine, request_id="r-1"))
    second = ask(desk.make_agent(engine, request_id="r-1"))

    assert (
        sum("nothing new" in str(each) or "done 2 times" in str(each) for each in list_contents(first)) == 3
    )
    assert list_contents(second) == list_contents(first)
    assert (desk.model_calls, len(desk.refunds)) == (6, 2)


def test_a_run_without_a_session_or_an_id_is_a_new_run(engine: Engine) -> None:
    desk = Desk()
    for _ in range(2):
        ask(desk.make_agent(engine), ASKED)

    assert len(desk.refunds) == 2


def test_a_session_is_a_conversation_and_its_turns_are_requests(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine)
    session = AgentSession(session_id="thread-1")
    before = session.to_dict()

    first = ask(agent, ASKED, session=session)
    again = ask(agent, ASKED, session=AgentSession.from_dict(before))  # as after a crash
    assert again.text == first.text
    assert (len(desk.refunds), desk.model_calls) == (1, 3)

    ask(agent, ASKED, session=session)
    assert (len(desk.refunds), desk.model_calls) == (2, 6)
    rows = engine.call(lambda sea: sea.journal.runs())
    assert [row.session for row in rows] == ["thread-1", "thread-1"]


def test_what_a_provider_adds_does_not_make_another_request() -> None:
    identity = RequestIdentity("Is it paid?", None, "thread-1", "", "")
    history = InMemoryHistoryProvider()

    def make(*texts: tuple[str, str | None]) -> str | None:
        said = [
            Message(
                "user",
                [text],
                additional_properties={"_attribution": {"source_id": source}} if source else {},
            )
            for text, source in texts
        ]
        return make_request_id(identity, said, None, [history])

    asked, again = ("Is it paid?", None), ("Hello", history.source_id)
    assert make(again, asked) == make(again, ("It is 12:00", "clock"), asked)
    assert len({make(asked), make(again, asked), make(again, again, asked)}) == 3
    assert make_request_id(identity._replace(session=None), [], None, []) is None


def test_who_asks_is_read_from_the_run_or_the_session_and_no_tool_is_told(engine: Engine) -> None:
    told: list[dict[str, Any]] = []

    @tool(approval_mode="never_require")
    def find_order(ctx: FunctionInvocationContext, order: int) -> str:
        """Finds an order."""
        told.append({name: value for name, value in ctx.kwargs.items() if name != "session"})
        return "paid"

    desk = Desk([[("find_order", {"order": 7})], "It is paid."])
    agent = desk.make_agent(engine, tools=[find_order])
    session = AgentSession(session_id="thread-1")
    session.state.update(seawall_tenant="acme", seawall_principal="dana")
    asked = {"seawall_request_id": "t-10", "ticket": 10}
    ask(agent, "Is it paid?", session=session, function_invocation_kwargs=asked)
    mine = gate(
        engine,
        request_id=lambda context: context.session.state["ticket"] if context.session else None,
        tenant="bolt",
        session=lambda context: "thread-2",
    )
    other = Agent(desk.client, tools=[find_order], middleware=[mine])
    kept = AgentSession()
    kept.state["ticket"] = "t-11"
    ask(other, "Is it paid?", session=kept)

    rows = {}
    for tenant, request_id in (("acme", "t-10"), ("bolt", "t-11")):
        found = engine.call(lambda sea, key=(tenant, request_id): sea.journal.run_of_request(*key))
        assert found is not None
        rows[request_id] = engine.call(lambda sea, run=found: sea.journal.row(run))
    assert (rows["t-10"].session, rows["t-11"].session) == ("thread-1", "thread-2")
    assert told == [{"ticket": 10}, {}]


# ---- fail closed


@EITHER
def test_a_closed_engine_lets_nothing_pass(journal: Path, stream: bool) -> None:
    desk = Desk()
    engine = Engine(journal, effects=["refund"])
    engine.close()
    with pytest.raises(MiddlewareHalted, match="closed"):
        ask(desk.make_agent(engine), stream=stream)

    assert (desk.model_calls, desk.reads, desk.refunds) == (0, [], [])


@EITHER
def test_a_limit_ends_the_agents_run_with_the_outcome(engine: Engine, stream: bool) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    agent = desk.make_agent(engine, limits=Limits(tool_calls=3, at_limit="halt"))
    with pytest.raises(MiddlewareHalted) as halted:
        ask(agent, "Look", stream=stream)

    assert halted.value.outcome is not None
    assert halted.value.outcome.stopped_by is not None
    assert halted.value.outcome.stopped_by.limit == "tool_calls=3"
    assert len(desk.reads) == 3


@EITHER
def test_parallel_calls_are_counted_exactly(engine: Engine, stream: bool) -> None:
    calls = [("find_order", {"order": order}) for order in range(30)]
    desk = Desk(lambda messages: "done" if len(messages) > 1 else calls)
    agent = desk.make_agent(engine, limits=Limits(tool_calls=12))

    assert ask(agent, "Look at all", stream=stream).text.strip() == "done"
    assert len(desk.reads) == 12


@pytest.mark.parametrize("first", [True, False], ids=["gate first", "gate last"])
def test_no_error_handler_of_the_framework_performs_what_the_gate_refuses(
    engine: Engine, first: bool
) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    gated = gate(engine, limits=Limits(tool_calls=2, at_limit="halt"))
    others = [ForgivingTool(), ForgivingModel(), *([ForgivingAgent()] if first else [])]
    middleware = [gated, *others] if first else [*others, gated]
    agent = Agent(desk.client, tools=[desk.find_order], middleware=middleware)
    with pytest.raises(MiddlewareHalted):
        ask(agent, "Look")

    assert len(desk.reads) == 2


def test_a_handler_outside_of_the_gate_runs_the_agent_again_and_the_run_stays_ended(engine: Engine) -> None:
    tries: list[int] = []

    class TryAgain(AgentMiddleware):
        async def process(self, context: AgentContext, call_next: Next) -> None:
            for number in range(3):
                try:
                    tries.append(number)
                    await call_next()
                except MiddlewareHalted:
                    if number == 2:
                        raise

    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    gated = gate(engine, limits=Limits(tool_calls=2, at_limit="halt"))
    agent = Agent(desk.client, tools=[desk.find_order], middleware=[TryAgain(), gated])
    with pytest.raises(MiddlewareHalted):
        ask(agent, "Look", session=AgentSession())

    assert (len(tries), len(desk.reads)) == (3, 2)


def test_a_run_that_middleware_outside_of_the_gate_repeats_is_the_same_request(engine: Engine) -> None:
    class Twice(AgentMiddleware):
        """Has the agent run again, as after an error."""

        async def process(self, context: AgentContext, call_next: Next) -> None:
            await call_next()
            await call_next()

    desk = Desk()
    agent = desk.make_agent(None, middleware=[Twice(), gate(engine)])
    told = {"seawall_request_id": "r-1", "seawall_tenant": "acme"}
    assert ask(agent, function_invocation_kwargs=told).text == ANSWER

    (row,) = engine.call(lambda sea: sea.journal.runs())
    assert row.tenant == "acme"
    assert (desk.model_calls, desk.refunds) == (3, [(1042, 5)])


def test_the_error_limit_of_the_framework_does_not_go_around_a_halt(engine: Engine) -> None:
    def find_order(order: int) -> str:
        raise LookupError("no such order")

    config: Any = {"max_consecutive_errors_per_request": 2, "max_iterations": 3}
    desk = Desk(
        lambda messages: [("find_order", {"order": len(messages)})], function_invocation_configuration=config
    )
    agent = desk.make_agent(engine, tools=[find_order], limits=Limits(model_calls=2, at_limit="halt"))
    with pytest.raises(MiddlewareHalted) as halted:
        ask(agent, "Look")

    assert halted.value.outcome is not None
    assert halted.value.outcome.model_calls == desk.model_calls == 2


def test_an_agent_whose_client_takes_no_middleware_does_not_run(engine: Engine) -> None:
    class Bare:
        additional_properties: ClassVar[dict[str, Any]] = {}

        def get_response(self, *arguments: Any, **options: Any) -> Any:
            raise AssertionError("it was called")

    bare: Any = Bare()
    with pytest.raises(MiddlewareHalted, match="client Bare takes no middleware"):
        ask(Agent(bare, name="clerk", middleware=[gate(engine)]), "Look")


def test_a_gate_that_is_not_in_a_list_is_refused_by_the_framework(engine: Engine) -> None:
    gated: Any = gate(engine)
    with pytest.raises(TypeError, match="sequence of middleware"):
        Agent(Desk().client, middleware=gated)


def test_a_gate_of_a_run_takes_the_place_of_the_agents(engine: Engine) -> None:
    desk = Desk()
    agent = desk.make_agent(engine, request_id="r-agent")
    ask(agent, ASKED, middleware=[gate(engine, request_id="r-run")])

    assert read_outcome(engine, "r-run").tool_calls == 2
    assert engine.coverage().effects == {"refund": 1}
    assert engine.call(lambda sea: sea.journal.run_of_request("", "r-agent")) is None


# ---- other middleware


def test_a_fork_is_given_another_result_and_its_effects_are_simulated(engine: Engine) -> None:
    desk, forked = Desk(), Desk()
    ask(desk.make_agent(engine), function_invocation_kwargs={"seawall_request_id": "r-1"})
    run = read_outcome(engine, "r-1").run
    read = next(
        each.step
        for each in read_events(engine, "r-1")
        if isinstance(each, StepIntended) and each.name == "find_order"
    )
    engine.call(lambda sea: sea.fork(run, at=read, request_id="r-2", result="lost at sea"))
    ask(forked.make_agent(engine), function_invocation_kwargs={"seawall_request_id": "r-2"})

    assert read_outcome(engine, "r-2").status == "completed"
    assert (forked.model_calls, forked.reads, forked.refunds) == (2, [], [])
    told = str([each.to_dict() for each in forked.client.seen[-1]])
    assert "lost at sea" in told and "simulated" in told and "paid" not in told


def test_a_declared_poll_is_asked_on(journal: Path) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": 7})])
    with (
        Engine(journal, guards=[Loops(polls=6, poll_wait_s=0)]) as engine,
        pytest.raises(MiddlewareHalted, match="poll 'find_order' returned the same"),
    ):
        ask(desk.make_agent(engine, polls=["find_*"]))

    assert len(desk.reads) == 7


def test_what_other_middleware_repeats_is_an_attempt_of_its_own(engine: Engine) -> None:
    tries: list[int] = []

    def find_order(order: int) -> str:
        tries.append(order)
        if len(tries) < 3:
            raise ConnectionError("reset")
        return "paid"

    class TryAgain(FunctionMiddleware):
        async def process(self, context: FunctionInvocationContext, call_next: Next) -> None:
            while True:
                try:
                    return await call_next()
                except ConnectionError:
                    continue

    desk = Desk([[("find_order", {"order": 7})], "It is paid."])
    agent = desk.make_agent(engine, tools=[find_order], middleware=[TryAgain()], request_id="r-1")

    assert ask(agent, "Is it paid?").text == "It is paid."
    assert len(tries) == 3
    assert read_outcome(engine, "r-1").tool_calls == 3


def test_what_other_middleware_changes_is_what_is_judged(engine: Engine) -> None:
    class RaiseAmount(FunctionMiddleware):
        async def process(self, context: FunctionInvocationContext, call_next: Next) -> None:
            given: Any = context.arguments
            if context.function.name == "refund":
                context.arguments = {**given, "amount": 500}
            await call_next()

    desk = Desk()
    agent = desk.make_agent(engine, middleware=[RaiseAmount()], request_id="r-1")
    ask(agent, ASKED)

    assert desk.refunds == [(1042, 500)]
    asked = [each for each in read_events(engine, "r-1") if isinstance(each, StepIntended) and each.effect]
    texts = engine.call(lambda sea: sea.journal.bodies("", [each.input for each in asked if each.input]))
    assert any(b"500" in (body if isinstance(body, bytes) else body.encode()) for body in texts.values())


def test_what_other_middleware_answers_for_the_tool_or_the_model_is_not_performed(engine: Engine) -> None:
    class Remember(FunctionMiddleware):
        async def process(self, context: FunctionInvocationContext, call_next: Next) -> None:
            if context.function.name == "find_order":
                context.result = "paid, as I know"
                return
            await call_next()

    desk = Desk()
    agent = desk.make_agent(engine, middleware=[Remember()], request_id="r-1")
    ask(agent, ASKED)

    assert (desk.reads, desk.refunds) == ([], [(1042, 5)])
    assert read_outcome(engine, "r-1").tool_calls == 1


def test_a_call_that_middleware_answers_for_the_model_is_the_same_when_asked_again(engine: Engine) -> None:
    numbers = iter(range(1, 10))

    class Answer(ChatMiddleware):
        """Asks for the refund by itself first, with a new id each time."""

        async def process(self, context: ChatContext, call_next: Next) -> None:
            if any(
                content.type == "function_result" for each in context.messages for content in each.contents
            ):
                await call_next()
                return
            call = Content.from_function_call(
                f"new-{next(numbers)}", "refund", arguments={"order": 7, "amount": 5}
            )
            context.result = ChatResponse(messages=Message("assistant", [call]))

    desk = Desk(lambda messages: ANSWER)
    run: Any = desk.make_agent(engine, middleware=[Answer(), Interrupting()], request_id="r-1").run(ASKED)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run)
    for _ in range(2):
        agent = desk.make_agent(engine, middleware=[Answer()], request_id="r-1")
        assert ask(agent, ASKED).text == ANSWER

    assert desk.refunds == [(7, 5)]


class Interrupting(ChatMiddleware):
    """Cancels the run at the first request to the model."""

    async def process(self, context: ChatContext, call_next: Next) -> None:
        raise asyncio.CancelledError


def test_what_middleware_of_the_agent_repeats_is_one_request_behind_the_gate(engine: Engine) -> None:
    class Twice(AgentMiddleware):
        async def process(self, context: AgentContext, call_next: Next) -> None:
            await call_next()
            context.messages = [Message("user", ["And once more"])]
            await call_next()

    desk = Desk(["done"])
    agent = desk.make_agent(engine, middleware=[Twice()], request_id="r-1")
    ask(agent, "Do it")

    outcome = read_outcome(engine, "r-1")
    assert (outcome.model_calls, outcome.status) == (2, "completed")


def test_middleware_that_ends_the_loop_ends_the_request(engine: Engine) -> None:
    class Enough(FunctionMiddleware):
        async def process(self, context: FunctionInvocationContext, call_next: Next) -> None:
            await call_next()
            raise MiddlewareTermination("enough")

    desk = Desk()
    ask(desk.make_agent(engine, middleware=[Enough()], request_id="r-1"), ASKED)

    outcome = read_outcome(engine, "r-1")
    assert (outcome.status, outcome.tool_calls, desk.refunds) == ("completed", 1, [])


# ---- what can't be gated


def test_the_coverage_names_what_can_not_be_gated_and_counts_the_rest(engine: Engine) -> None:
    desk = Desk([[("find_order", {"order": 7}), ("delete_order", {"order": 7})], "done"])

    def delete_order(order: int) -> str:
        return "deleted"

    declared = FunctionTool(
        name="call_customer", description="By phone", func=None, input_model={"type": "object"}
    )
    ungated = Agent(Desk(["done"]).client, name="helper").as_tool()
    tools = [desk.find_order, delete_order, {"type": "web_search"}, declared, ungated]
    ask(desk.make_agent(engine, tools=tools), "Look")
    report = engine.coverage()

    assert report.undeclared == {"find_order": 1, "delete_order": 1}
    assert report.seem_to_write == ("delete_order",)
    assert report.models == {"scripted:scripted": 2} == {"scripted:scripted": desk.model_calls}
    for named in (
        "hosted tool 'web_search'",
        "declared tool 'call_customer'",
        "agent 'helper' in tool 'helper'",
    ):
        assert named in str(report)


def test_the_agents_of_a_workflow_in_a_tool_are_named_if_they_have_no_gate(engine: Engine) -> None:
    clerk, helper = Desk(), Agent(Desk(["done"]).client, name="helper")
    inner = WorkflowExecutor(SequentialBuilder(participants=[helper]).build(), id="inner")
    workflow = WorkflowBuilder(start_executor=clerk.make_agent(engine)).build()
    both = WorkflowBuilder(start_executor=inner).build()
    tools = [workflow.as_agent(name="refunds").as_tool(), both.as_agent(name="help").as_tool()]
    desk = Desk([[("refunds", {"task": ASKED})], "done"])
    ask(desk.make_agent(engine, name="lead", tools=tools), ASKED)

    assert clerk.refunds == [(1042, 5)]
    assert engine.coverage().not_gated == ("agent 'helper' in tool 'help': it has no gate of this engine",)


def test_an_agent_of_another_kind_is_refused(engine: Engine) -> None:
    class Remote(BaseAgent):
        name = "remote"

    context = AgentContext(agent=Remote(), messages=[Message("user", ["Look"])])  # pyright: ignore[reportArgumentType] -- it is never run

    async def never() -> None:
        raise AssertionError("it was run")

    with pytest.raises(MiddlewareHalted, match="Remote takes no middleware"):
        asyncio.run(gate(engine).process(context, never))


# ---- what the framework bounds itself


def test_the_iterations_of_the_framework_stay_as_they_are(engine: Engine) -> None:
    config: Any = {"max_iterations": 2}
    desk = Desk(
        lambda messages: [("find_order", {"order": len(messages)})], function_invocation_configuration=config
    )
    ask(desk.make_agent(engine, request_id="r-1"), "Look")

    assert (desk.model_calls, len(desk.reads)) == (3, 2)
    assert read_outcome(engine, "r-1").status == "completed"


def test_a_model_that_fails_fails_the_request_and_is_asked_again(engine: Engine) -> None:
    failures: list[int] = []

    def answer(messages: Any) -> Reply:
        if not failures:
            failures.append(1)
            raise ConnectionError("no answer")
        return "done"

    desk = Desk(answer)
    with pytest.raises(ConnectionError):
        ask(desk.make_agent(engine, request_id="r-1"), "Say it")

    assert read_outcome(engine, "r-1").status == "failed"
    assert ask(desk.make_agent(engine, request_id="r-2"), "Say it").text == "done"


def test_a_run_that_is_cancelled_only_rests(engine: Engine) -> None:
    started = asyncio.Event()

    async def find_order(order: int) -> str:
        if not started.is_set():
            started.set()
            await asyncio.Event().wait()
        return "paid"

    desk = Desk([[("find_order", {"order": 7})], "It is paid."])
    agent = desk.make_agent(engine, tools=[find_order], request_id="r-1")

    async def cancel_and_ask_again() -> str:
        asking = asyncio.ensure_future(agent.run("Is it paid?"))
        await started.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert read_newest_run(engine).state != "ended"
        return (await agent.run("Is it paid?")).text

    assert asyncio.run(cancel_and_ask_again()) == "It is paid."
    assert desk.model_calls == 2
    assert desk.client.seen[-1][-1].contents[0].result == "paid"  # it was made again


def test_a_client_does_not_take_the_gate(engine: Engine) -> None:
    """The framework only warns in its log, so nothing passes the gate: it belongs to the agent."""
    desk = Desk(["done"], middleware=[gate(engine)])
    ask(Agent(desk.client), "Say it")

    assert engine.coverage().models == {}
    assert issubclass(MiddlewareHalted, MiddlewareException)
    assert not issubclass(MiddlewareHalted, Misused)
