"""Google ADK: every call of a model or a tool passes the gate, and fails closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.run_config import RunConfig
from google.adk.models import FallbackModel
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.plugins.reflect_retry_tool_plugin import ReflectAndRetryToolPlugin
from google.adk.sessions import InMemorySessionService
from google.adk.tools import FunctionTool, ToolContext
from google.genai import types

from apart.google_adk.adk_desk import (
    ANSWER,
    ASKED,
    REFUND,
    Desk,
    ScriptedLlm,
    ask,
    read_answer,
    read_arguments,
    read_events,
    read_outcome,
    read_results,
    read_rows,
)
from seawall import Guard, Limits, Loops
from seawall.adapters.google_adk import AdkHalted, find_outcome
from seawall.core.clock import SystemClock
from seawall.core.errors import JournalFull
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


def test_an_invocation_is_recorded_with_its_models_and_tools(engine: Engine) -> None:
    desk = Desk()
    events = asyncio.run(ask(desk.make_runner(engine)))
    outcome = read_outcome(engine)
    (row,) = read_rows(engine)

    assert read_answer(events) == ANSWER
    assert desk.refunds == [(1042, 5)]
    assert (outcome.status, outcome.answer) == ("completed", ANSWER)
    assert (outcome.model_calls, outcome.tool_calls) == (3, 2)
    assert outcome.unchecked_delivery is False
    assert [each.tool for each in outcome.effects] == ["refund"]
    assert (row.tenant, row.session, row.team) == ("kim", "desk/s-1", "desk")


def test_what_the_application_sees_is_the_same_with_and_without_the_gate(engine: Engine) -> None:
    def describe(events: Any) -> list[Any]:
        return [
            event.model_dump(
                exclude={"id", "timestamp", "invocation_id", "long_running_tool_ids"},
                exclude_none=True,
                mode="json",
            )
            for event in events
        ]

    def mask(described: list[Any], events: Any) -> str:
        text = str(described)
        found = [each.id for event in events for each in event.get_function_calls()]
        for number, call in enumerate(found):
            text = text.replace(str(call), f"call-{number}")
        return text

    plain = asyncio.run(ask(Desk().make_runner(None)))
    gated = asyncio.run(ask(Desk().make_runner(engine)))

    assert mask(describe(gated), gated) == mask(describe(plain), plain)


def test_the_same_request_is_answered_from_the_record(journal: Path) -> None:
    desk, later = Desk(), Desk()
    with Engine(journal, effects=["refund"]) as engine:
        first = asyncio.run(ask(desk.make_runner(engine), request_id="r-1"))
    with Engine(journal, effects=["refund"]) as engine:
        second = asyncio.run(ask(later.make_runner(engine), request_id="r-1"))
        assert len(read_rows(engine)) == 1

    assert read_answer(second) == read_answer(first) == ANSWER
    assert read_results(second) == read_results(first)
    assert (later.model_calls, later.refunds) == (0, [])


def test_a_new_invocation_is_a_new_run(engine: Engine) -> None:
    desk = Desk([[("refund", {"order": 1, "amount": 5})], ANSWER])
    runner = desk.make_runner(engine)
    asyncio.run(ask(runner, session="s-1"))
    asyncio.run(ask(runner, session="s-2"))

    assert len(read_rows(engine)) == 2
    assert len(desk.refunds) == 2


def test_who_asks_is_read_from_the_run_config_or_by_functions(engine: Engine) -> None:
    desk = Desk()
    runner = desk.make_runner(
        engine,
        tenant=lambda context: context.app_name,
        session=lambda context: "ticket-9",
        request_id=lambda context: f"q-{context.session.id}",
        principal="clerk@example.com",
    )
    asyncio.run(ask(runner))
    (row,) = read_rows(engine)

    assert (row.tenant, row.session) == ("desk", "ticket-9")
    assert engine.call(lambda sea: sea.journal.run_of_request("desk", "q-s-1")) == row.run


# ---- what ends an invocation


def test_a_limit_ends_the_invocation_with_an_error_that_carries_the_outcome(engine: Engine) -> None:
    desk = Desk()
    runner = desk.make_runner(engine, limits=Limits(model_calls=2, at_limit="halt"))

    with pytest.raises(AdkHalted) as halted:
        asyncio.run(ask(runner))

    outcome = halted.value.outcome
    assert outcome is not None
    assert outcome.stopped_by is not None
    assert outcome.stopped_by.guard == "limits"
    assert find_outcome(halted.value) is outcome
    assert desk.model_calls == 2


@pytest.mark.parametrize("limit", [1, 12])
def test_calls_that_are_asked_for_at_once_stay_within_the_limit(engine: Engine, limit: int) -> None:
    desk = Desk([[("find_order", {"order": number}) for number in range(30)], ANSWER])
    runner = desk.make_runner(engine, limits=Limits(tool_calls=limit))

    assert read_answer(asyncio.run(ask(runner))) == ANSWER
    assert len(desk.reads) == limit
    assert engine.coverage().undeclared == {"find_order": limit}


def test_a_fork_is_given_another_result_and_its_effects_are_simulated(engine: Engine) -> None:
    desk, forked = Desk(), Desk()
    asyncio.run(ask(desk.make_runner(engine), request_id="r-1"))
    (row,) = read_rows(engine)
    read = next(
        each.step
        for each in read_events(engine, row.run)
        if isinstance(each, StepIntended) and each.name == "find_order"
    )
    run = engine.call(lambda sea: sea.fork(row.run, at=read, request_id="r-2", result="lost at sea")).id
    events = asyncio.run(ask(forked.make_runner(engine), request_id="r-2"))

    assert read_outcome(engine, run).status == "completed"
    assert (forked.model_calls, forked.reads, forked.refunds) == (2, [], [])
    told = str(read_results(events))
    assert "lost at sea" in told and "simulated" in told and "paid" not in told


def test_a_declared_poll_is_asked_on(journal: Path) -> None:
    desk = Desk(lambda request: [("find_order", {"order": 7})])
    with (
        Engine(journal, guards=[Loops(polls=6, poll_wait_s=0)]) as engine,
        pytest.raises(AdkHalted, match="poll 'find_order' returned the same"),
    ):
        asyncio.run(ask(desk.make_runner(engine, polls=["find_*"])))

    assert len(desk.reads) == 7


def test_an_agent_that_repeats_one_call_is_halted_as_any_other(engine: Engine) -> None:
    desk = Desk(lambda request: [("find_order", {"order": 7})])

    with pytest.raises(AdkHalted, match="nothing new") as halted:
        asyncio.run(ask(desk.make_runner(engine)))

    assert halted.value.outcome is not None
    assert halted.value.outcome.tool_calls == len(desk.reads) == 4


def _on_tool_error(tool: Any, args: Any, tool_context: Any, error: Exception) -> Any:
    return {"error": f"handled: {error}"}


def _on_model_error(callback_context: Any, llm_request: Any, error: Exception) -> LlmResponse:
    content = types.Content(role="model", parts=[types.Part(text="Sorry, handled.")])
    return LlmResponse(content=content)


class Handlers(BasePlugin):
    """Makes an answer of every error."""

    async def on_tool_error_callback(
        self, *, tool: Any, tool_args: Any, tool_context: Any, error: Any
    ) -> Any:
        return {"error": f"handled: {error}"}

    async def on_model_error_callback(self, *, callback_context: Any, llm_request: Any, error: Any) -> Any:
        return _on_model_error(callback_context, llm_request, error)


@pytest.mark.parametrize(
    "where", ["agent", "plugin before", "plugin after", "retries before", "retries after"]
)
@pytest.mark.parametrize(
    "limits",
    [Limits(tool_calls=1, at_limit="halt"), Limits(model_calls=1, at_limit="halt")],
    ids=["tools", "models"],
)
def test_no_error_handler_keeps_a_halt_from_ending_the_invocation(
    engine: Engine, where: str, limits: Limits
) -> None:
    desk = Desk()
    agent = desk.make_agent()
    if where == "agent":
        agent = desk.make_agent(
            on_tool_error_callback=_on_tool_error, on_model_error_callback=_on_model_error
        )
    made: dict[str, list[Any]] = {"before": [], "after": []}
    if "plugin" in where:
        made[where.partition(" ")[2]] = [Handlers(name="handlers")]
    elif "retries" in where:
        made[where.partition(" ")[2]] = [ReflectAndRetryToolPlugin(max_retries=3)]
    runner = desk.make_runner(engine, agent=agent, limits=limits, before=made["before"], after=made["after"])

    with pytest.raises(RuntimeError) as raised:
        asyncio.run(ask(runner))

    assert find_outcome(raised.value) == read_outcome(engine)
    assert desk.refunds == []
    assert len(desk.reads) == 1


def test_a_full_journal_lets_no_tool_run(journal: Path) -> None:
    class Full:
        """A journal that is full from some write on."""

        def __init__(self, inner: Any) -> None:
            self._inner, self.is_full = inner, False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def append(self, *arguments: Any, **options: Any) -> Any:
            if self.is_full:
                raise JournalFull("the disk is full")
            return self._inner.append(*arguments, **options)

    full = Full(SqliteJournal.open(str(journal), clock=SystemClock()))
    desk = Desk()

    def find_order(order: int) -> str:
        """Finds an order, and then the disk is full."""
        full.is_full = True
        return "paid"

    agent = desk.make_agent(tools=[desk.refund, find_order], on_tool_error_callback=_on_tool_error)
    made: Any = full
    with Engine(made, effects=["refund"]) as engine:
        with pytest.raises(RuntimeError, match="the disk is full") as raised:
            asyncio.run(ask(desk.make_runner(engine, agent=agent)))
        assert find_outcome(raised.value) is None
    assert desk.refunds == []


def test_a_closed_engine_lets_no_model_be_called(journal: Path) -> None:
    desk, engine = Desk(), Engine(journal, effects=["refund"])
    engine.close()

    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(ask(desk.make_runner(engine)))
    assert desk.model_calls == 0


def test_an_invocation_that_began_without_the_plugin_is_not_performed(engine: Engine) -> None:
    class Hiding(BasePlugin):
        """Keeps later plugins from hearing that the run begins, and forgets to say what it answers."""

        async def before_run_callback(self, *, invocation_context: Any) -> Any:
            return "not a message"

    desk = Desk()
    with pytest.raises(RuntimeError, match="was not told when this invocation began"):
        asyncio.run(ask(desk.make_runner(engine, before=[Hiding(name="hiding")])))
    assert (desk.model_calls, desk.reads) == (0, [])


# ---- what is performed


def test_what_callbacks_make_of_a_call_is_what_is_judged(engine: Engine) -> None:
    def raise_amount(tool: Any, args: dict[str, Any], tool_context: Any) -> None:
        if tool.name == "refund":
            args["amount"] = 500

    desk = Desk()
    agent = desk.make_agent(before_tool_callback=raise_amount)
    asyncio.run(ask(desk.make_runner(engine, agent=agent)))

    assert desk.refunds == [(1042, 500)]
    assert read_arguments(engine, "refund") == [{"order": 1042, "amount": 500}]


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_plugin_that_calls_a_tool_by_itself_passes_the_gate(engine: Engine, where: str) -> None:
    class Caching(BasePlugin):
        """Answers for each tool with what it returns."""

        async def before_tool_callback(self, *, tool: Any, tool_args: Any, tool_context: Any) -> Any:
            return await tool.run_async(args=tool_args, tool_context=tool_context)

    desk = Desk()
    plugins: Any = {where: [Caching(name="caching")]}
    asyncio.run(ask(desk.make_runner(engine, **plugins)))

    assert desk.refunds == [(1042, 5)]
    assert read_arguments(engine, "refund") == [{"order": 1042, "amount": 5}]


def test_a_call_that_a_callback_answers_is_not_a_step(engine: Engine) -> None:
    def answer(tool: Any, args: Any, tool_context: Any) -> Any:
        return {"result": "from a cache"} if tool.name == "find_order" else None

    desk = Desk()
    events = asyncio.run(ask(desk.make_runner(engine, agent=desk.make_agent(before_tool_callback=answer))))

    assert read_answer(events) == ANSWER
    assert desk.reads == []
    assert engine.coverage().undeclared == {}
    assert read_outcome(engine).tool_calls == 1


class Answering(BasePlugin):
    """Answers for the model, the first time with a call, whose id ADK makes anew each time."""

    def __init__(self, name: str, **arguments: Any) -> None:
        super().__init__("answering")
        self._call, self._answers = types.Part.from_function_call(name=name, args=arguments), 0

    async def before_model_callback(self, *, callback_context: Any, llm_request: Any) -> LlmResponse | None:
        self._answers += 1
        return self._answer() if self._answers == 1 else None

    def _answer(self) -> LlmResponse:
        return LlmResponse(content=types.Content(role="model", parts=[self._call.model_copy(deep=True)]))


@pytest.mark.parametrize("name", ["refund", "transfer_to_agent"])
def test_a_call_of_a_callback_is_the_same_when_the_request_is_asked_again(engine: Engine, name: str) -> None:
    desk = Desk(["I am to refund it."] if name == "refund" else REFUND)

    async def leave_after_refund() -> None:
        stream = make().run_async(
            user_id="kim",
            session_id="s-1",
            new_message=types.Content(role="user", parts=[types.Part(text=ASKED)]),
            run_config=RunConfig(custom_metadata={"seawall_request_id": "r-1"}),
        )
        async with contextlib.aclosing(stream):
            async for event in stream:
                if any(each.name == "refund" for each in event.get_function_responses()):
                    return

    def make() -> Any:
        desk.sessions = InMemorySessionService()
        clerk = desk.make_agent()
        root = clerk if name == "refund" else desk.make_agent(name="desk", tools=[], sub_agents=[clerk])
        arguments = {"order": 1042, "amount": 5} if name == "refund" else {"agent_name": "clerk"}
        return desk.make_runner(engine, agent=root, after=[Answering(name, **arguments)])

    asyncio.run(leave_after_refund())
    for _ in range(2):
        asyncio.run(ask(make(), request_id="r-1"))

    assert desk.refunds == [(1042, 5)]
    assert read_outcome(engine).tool_calls == (1 if name == "refund" else 2)


def test_a_tool_around_another_passes_the_call_on(engine: Engine) -> None:
    desk = Desk()
    inner = FunctionTool(desk.refund)

    class Around(FunctionTool):
        async def run_async(self, *, args: dict[str, Any], tool_context: ToolContext) -> Any:
            return await inner.run_async(args=args, tool_context=tool_context)

    for number, tool in enumerate((inner, Around(desk.refund))):
        agent = desk.make_agent(tools=[tool, desk.find_order])
        events = asyncio.run(ask(desk.make_runner(engine, agent=agent), session=f"s-{number}"))
        assert read_answer(events) == ANSWER

    assert desk.refunds == [(1042, 5)] * 2
    assert engine.coverage().effects == {"refund": 2}


def test_results_that_other_plugins_replace_do_not_change_what_is_recorded(engine: Engine) -> None:
    class Replacing(BasePlugin):
        """Answers for every tool and model after they were called."""

        async def after_tool_callback(
            self, *, tool: Any, tool_args: Any, tool_context: Any, result: Any
        ) -> Any:
            return {"result": "replaced"}

    desk = Desk()
    events = asyncio.run(ask(desk.make_runner(engine, before=[Replacing(name="replacing")])))

    assert read_results(events) == [{"result": "replaced"}] * 2
    assert read_outcome(engine).status == "completed"
    assert read_outcome(engine).tool_calls == 2


@pytest.mark.parametrize("retries", [False, True])
def test_an_effect_that_raises_is_in_doubt_and_is_not_made_again(engine: Engine, retries: bool) -> None:
    attempts: list[int] = []

    def refund(order: int, amount: int) -> str:
        """Refunds an order, and loses the answer."""
        attempts.append(order)
        raise TimeoutError("no answer from the bank")

    desk = Desk()
    agent = desk.make_agent(tools=[refund, desk.find_order])
    plugins = [ReflectAndRetryToolPlugin(max_retries=3)] if retries else []
    events = asyncio.run(ask(desk.make_runner(engine, agent=agent, after=plugins)))

    assert any(
        call.name == "adk_request_confirmation" for each in events for call in each.get_function_calls()
    )
    assert attempts == [1042]
    assert read_rows(engine)[0].state == "waiting"


def test_arguments_that_a_function_does_not_take_leave_no_doubt(engine: Engine) -> None:
    desk = Desk([[("refund", {"order": 1042})], [("refund", {"order": 1042, "amount": 5})], ANSWER])
    events = asyncio.run(ask(desk.make_runner(engine)))

    assert read_answer(events) == ANSWER
    assert desk.refunds == [(1042, 5)]


def test_what_a_tool_does_to_the_session_is_done_again_with_its_recorded_result(journal: Path) -> None:
    made: list[int] = []

    def find_order(order: int, tool_context: ToolContext) -> str:
        """Finds an order, and keeps it in the session."""
        made.append(order)
        tool_context.state["found"] = order
        return "paid"

    def build(desk: Desk, engine: Engine) -> Any:
        return desk.make_runner(engine, agent=desk.make_agent(tools=[find_order, desk.refund]))

    async def read_state(desk: Desk) -> Any:
        session = await desk.sessions.get_session(app_name="desk", user_id="kim", session_id="s-1")
        assert session is not None
        return session.state.get("found")

    for _ in range(2):
        desk = Desk()
        with Engine(journal, effects=["refund"]) as engine:
            asyncio.run(ask(build(desk, engine), request_id="r-1"))
        assert asyncio.run(read_state(desk)) == 1042
    assert made == [1042]


def test_the_users_tools_still_work_without_the_plugin(engine: Engine) -> None:
    desk = Desk()
    tool = FunctionTool(desk.refund)
    agent = desk.make_agent(tools=[tool, desk.find_order])
    asyncio.run(ask(desk.make_runner(engine, agent=agent)))
    asyncio.run(ask(desk.make_runner(None, agent=agent), session="s-2"))

    assert isinstance(tool, FunctionTool)
    assert desk.refunds == [(1042, 5)] * 2
    assert engine.coverage().effects == {"refund": 1}


def test_an_agent_that_changes_its_model_with_each_call_is_refused(engine: Engine) -> None:
    from google.adk.agents import LlmAgent

    desk = Desk()

    class Restless(LlmAgent):
        async def canonical_model_async(self, ctx: Any) -> Any:
            return Desk().llm

    agent = Restless(name="clerk", model=desk.llm, tools=[desk.find_order])
    with pytest.raises(RuntimeError, match="creates a new model object for each call"):
        asyncio.run(ask(desk.make_runner(engine, agent=agent)))


def test_a_model_that_takes_the_place_of_the_agents_own_at_the_last_moment_ends_the_invocation(
    engine: Engine,
) -> None:
    desk, other = Desk(), Desk()

    def swap(callback_context: Any, llm_request: Any) -> None:
        callback_context.get_invocation_context().agent.model = other.llm

    agent = desk.make_agent(before_model_callback=swap)
    with pytest.raises(RuntimeError, match="has called another model"):
        asyncio.run(ask(desk.make_runner(engine, agent=agent)))
    assert (desk.model_calls, desk.reads) == (0, [])


def test_a_guard_that_breaks_lets_nothing_be_called(journal: Path) -> None:
    class Breaking(Guard):
        """A guard with a bug."""

        name = "breaking"

        def before(self, step: Any, run: Any, memory: Any) -> Any:
            raise ZeroDivisionError("a bug")

    desk = Desk()
    engine = Engine(journal, effects=["refund"], guards=[Breaking()])
    with engine, pytest.raises(AdkHalted, match="breaking"):
        asyncio.run(ask(desk.make_runner(engine)))
    assert (desk.model_calls, desk.reads, desk.refunds) == (0, [], [])


def test_a_caller_that_stops_reading_after_the_answer_has_a_run_that_is_complete(engine: Engine) -> None:
    desk = Desk()

    async def read_to_the_answer() -> None:
        runner = desk.make_runner(engine)
        message = types.Content(role="user", parts=[types.Part(text=ASKED)])
        events = runner.run_async(user_id="kim", session_id="s-1", new_message=message)
        async for event in events:
            if event.is_final_response():
                break
        await events.aclose()

    asyncio.run(read_to_the_answer())
    assert (read_outcome(engine).status, read_outcome(engine).answer) == ("completed", ANSWER)


def test_a_caller_that_stops_reading_before_goes_on_with_the_same_request(engine: Engine) -> None:
    desk = Desk()

    async def read_one() -> None:
        message = types.Content(role="user", parts=[types.Part(text=ASKED)])
        events = desk.make_runner(engine, request_id="r-1").run_async(
            user_id="kim", session_id="s-1", new_message=message
        )
        await anext(events)
        await events.aclose()

    asyncio.run(read_one())
    assert read_rows(engine)[0].state != "ended"
    again = Desk()
    again.reads, again.refunds = desk.reads, desk.refunds
    assert read_answer(asyncio.run(ask(again.make_runner(engine, request_id="r-1"), session="s-2"))) == ANSWER
    assert len(read_rows(engine)) == 1
    assert desk.refunds == [(1042, 5)]


def test_a_model_that_fails_ends_the_run_and_is_recorded(engine: Engine) -> None:
    desk = Desk(lambda request: ConnectionError("no route"))
    with pytest.raises(ConnectionError):
        asyncio.run(ask(desk.make_runner(engine)))

    outcome = read_outcome(engine)
    assert outcome.status == "failed"
    assert "no route" in str(outcome)


@pytest.mark.filterwarnings("ignore:.*FALLBACK_MODEL:UserWarning")
def test_each_candidate_of_a_fallback_model_is_a_step(engine: Engine) -> None:
    class Overloaded(Exception):
        status_code = 503

    desk = Desk()
    first = ScriptedLlm(model="first", script=lambda request: Overloaded("later"))
    agent = desk.make_agent(model=FallbackModel(models=[first, desk.llm]))
    events = asyncio.run(ask(desk.make_runner(engine, agent=agent)))

    assert read_answer(events) == ANSWER
    assert engine.coverage().models == {"ScriptedLlm:first": 3, "ScriptedLlm:scripted": 3}
    assert read_outcome(engine).model_calls == 6


def test_requests_reach_the_model_as_they_were(engine: Engine) -> None:
    plain, gated = Desk(), Desk()
    asyncio.run(ask(plain.make_runner(None, agent=plain.make_agent(instruction="Be brief."))))
    asyncio.run(ask(gated.make_runner(engine, agent=gated.make_agent(instruction="Be brief."))))

    def dump(desk: Desk) -> list[Any]:
        return [
            (request.model, [each.model_dump(exclude_none=True) for each in request.contents], request.config)
            for request in desk.llm.requests
        ]

    assert dump(gated) == dump(plain)


def test_advice_reaches_the_model(engine: Engine) -> None:
    desk = Desk(lambda request: [("find_order", {"order": 7})])
    with pytest.raises(AdkHalted):
        asyncio.run(ask(desk.make_runner(engine)))

    told = str([request.contents for request in desk.llm.requests])
    assert "nothing new" in told or "advice" in told


def test_streams_come_as_fragments_and_are_settled_before_the_whole(engine: Engine) -> None:
    desk = Desk()
    events = asyncio.run(ask(desk.make_runner(engine), stream=True))
    plain = asyncio.run(ask(Desk().make_runner(None), stream=True))

    assert [event.partial for event in events] == [event.partial for event in plain]
    assert sum(bool(event.partial) for event in events) == 4
    assert read_answer(events) == ANSWER
    assert read_outcome(engine).answer == ANSWER
    assert read_outcome(engine).unchecked_delivery is True
    assert [each.name for each in read_events(engine) if isinstance(each, StepIntended)].count("refund") == 1


def test_a_script_of_the_desk_is_what_it_says() -> None:
    assert REFUND[-1] == ANSWER
