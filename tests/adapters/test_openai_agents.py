"""The runner for the OpenAI Agents SDK: what passes the gate, and how a run of the SDK ends with Seawall's."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from agents import (
    Agent,
    FunctionTool,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    ModelRetrySettings,
    ModelSettings,
    OutputGuardrailTripwireTriggered,
    RunHooks,
    Runner,
    SQLiteSession,
    WebSearchTool,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
    retry_policies,
)
from agents.items import ModelResponse

from adapters.agents_model import QUIET, SCRIPT, Bank, PlayedModel, list_requests, make_desk
from runtime.foreign.failing_journal import FailingJournal
from seawall import Limits
from seawall.adapters.openai_agents import AgentsHalted, AgentsHeld, SeawallRunner, find_outcome, get_original
from seawall.core.clock import SystemClock
from seawall.core.events import StepDone, StepIntended
from seawall.journal.protocol import RunFilter
from seawall.journal.sqlite import SqliteJournal
from seawall.runtime.foreign.engine import Engine

ASK = "Refund order 1042"
ANSWER = "Order 1042 was refunded."


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(effects=["refund"], reads=["find_order"]) as engine:
        yield engine


def ask(
    runner: SeawallRunner, agent: Any, given: Any = ASK, request_id: str | None = "r-1", **options: Any
) -> Any:
    return asyncio.run(runner.run(agent, given, request_id=request_id, run_config=QUIET, **options))


def list_events(engine: Engine, run: str) -> list[Any]:
    return list(engine.call(lambda sea: sea.journal.events(run)))


def find_status(engine: Engine) -> Any:
    """The summary of the newest run."""
    return engine.call(lambda sea: sea.journal.runs(RunFilter(), limit=1))[0].summary


def test_models_and_tools_pass_the_gate_and_the_users_objects_stay_as_they_are(engine: Engine) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    before = (
        dict(agent.__dict__),
        list(agent.tools),
        [getattr(tool, "on_invoke_tool", None) for tool in agent.tools],
    )

    result = ask(SeawallRunner(engine), agent)

    outcome = find_outcome(result)
    assert outcome is not None
    assert (outcome.status, outcome.answer) == ("completed", ANSWER)
    assert (outcome.model_calls, outcome.tool_calls) == (3, 2)
    assert result.final_output == ANSWER
    assert (bank.refunds, bank.found) == ([(1042, 5)], 1)
    assert before == (
        dict(agent.__dict__),
        list(agent.tools),
        [getattr(tool, "on_invoke_tool", None) for tool in agent.tools],
    )
    assert agent.model is model
    assert result.last_agent == agent == result.last_agent
    assert get_original(result.last_agent) is agent


def test_the_same_request_is_the_same_run_and_nothing_is_performed_again(engine: Engine) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    runner = SeawallRunner(engine)
    first, second = ask(runner, agent), ask(runner, agent)
    third = ask(runner, agent, request_id=None)

    assert first.final_output == second.final_output == third.final_output == ANSWER
    assert [item.type for item in first.new_items] == [item.type for item in second.new_items]
    assert len(bank.refunds) == 2
    assert len(model.requests) == 6


def test_a_sync_caller_is_served(engine: Engine) -> None:
    bank = Bank()
    agent, _ = make_desk(bank)
    # the SDK uses the thread's own, and leaves it open
    asyncio.set_event_loop(loop := asyncio.new_event_loop())
    try:
        result = SeawallRunner(engine).run_sync(agent, ASK, request_id="r-1", run_config=QUIET, max_turns=4)
    finally:
        asyncio.set_event_loop(None)
        loop.close()

    assert result.final_output == ANSWER
    assert bank.refunds == [(1042, 5)]


def test_streaming_stays_streaming_and_is_given_again_without_the_model(engine: Engine) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    runner = SeawallRunner(engine)

    async def stream() -> tuple[list[str], Any]:
        result = runner.run_streamed(agent, ASK, request_id="r-1", run_config=QUIET)
        kinds = [
            event.data.type async for event in result.stream_events() if event.type == "raw_response_event"
        ]
        return kinds, result

    kinds, result = asyncio.run(stream())
    outcome = find_outcome(result)
    assert outcome is not None
    assert outcome.answer == result.final_output == ANSWER
    assert kinds.count("response.output_text.delta") == 6
    assert kinds.count("response.completed") == 3
    assert outcome.unchecked_delivery is True

    kinds, result = asyncio.run(stream())
    assert result.final_output == ANSWER
    assert kinds == ["response.completed"] * 3
    assert len(model.requests) == 3
    assert len(bank.refunds) == 1


def test_a_stream_that_its_consumer_leaves_lets_go_of_the_run(engine: Engine) -> None:
    bank = Bank()
    agent, _ = make_desk(bank)
    runner = SeawallRunner(engine)

    async def leave() -> None:
        result = runner.run_streamed(agent, ASK, request_id="r-1", run_config=QUIET)
        events = result.stream_events()
        async for event in events:
            if event.type == "raw_response_event":
                break
        result.cancel()
        await events.aclose()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]

    asyncio.run(leave())
    assert bank.refunds == []
    assert ask(runner, agent).final_output == ANSWER
    assert bank.refunds == [(1042, 5)]


def test_a_limit_ends_the_sdks_run_with_the_outcome(engine: Engine) -> None:
    bank = Bank()
    agent, _ = make_desk(bank, lambda items: [("find_order", {"order": len(items)})])
    with pytest.raises(AgentsHalted) as halted:
        ask(SeawallRunner(engine, limits=Limits(tool_calls=3, at_limit="halt")), agent, max_turns=50)

    assert bank.found == 3
    assert halted.value.outcome is not None
    assert halted.value.outcome.status == "halted"
    assert halted.value.outcome.tool_calls == 3


@pytest.mark.parametrize("streamed", [False, True])
def test_thirty_parallel_calls_against_twelve_make_twelve(engine: Engine, streamed: bool) -> None:
    bank = Bank()
    script = [[("refund", {"order": number, "amount": 1}) for number in range(30)], "Done."]
    agent, _ = make_desk(bank, script)
    runner = SeawallRunner(engine, limits=Limits(tool_calls=12))

    async def drain() -> None:
        async for _ in runner.run_streamed(agent, ASK, request_id="r-1", run_config=QUIET).stream_events():
            pass

    asyncio.run(drain()) if streamed else ask(runner, agent)
    assert len(bank.refunds) == 12
    [*_, last] = list_requests(agent)
    assert sum("Not done: tool 'refund'" in str(item.get("output")) for item in last) == 18


def test_a_halt_passes_through_the_error_functions_of_tools_and_through_retries(engine: Engine) -> None:
    tried: list[Exception] = []

    def swallow(context: Any, error: Exception) -> str:
        tried.append(error)
        return "it is fine"

    @function_tool(failure_error_function=swallow)
    async def ask_inside() -> str:
        """Asks another agent inside of the tool, and takes no error for an error."""
        try:
            await Runner.run(inner, "Look.", run_config=QUIET)
        except Exception as error:  # noqa: BLE001 -- as careless tools do
            return f"never mind: {type(error).__name__}"
        return "looked"

    settings = ModelSettings(retry=ModelRetrySettings(max_retries=3, policy=lambda context: True))
    inner = Agent(name="inner", model=PlayedModel(["x"]), model_settings=settings)
    agent = Agent(
        name="clerk",
        model=PlayedModel([[("ask_inside", {})], "Done."]),
        tools=[ask_inside],
        model_settings=settings,
    )
    with pytest.raises(AgentsHalted) as halted:
        ask(SeawallRunner(engine, limits=Limits(model_calls=1)), agent)

    assert halted.value.outcome is not None
    assert halted.value.outcome.model_calls == 1
    assert list_requests(inner) == []
    assert tried == []


def test_retries_of_the_sdk_are_attempts_of_their_own(engine: Engine) -> None:
    failures: list[Any] = [ConnectionError("gone"), ConnectionError("gone"), "Here."]
    model = PlayedModel(lambda items: failures.pop(0))
    retry = ModelRetrySettings(max_retries=5, policy=lambda context: True, backoff={"initial_delay": 0.0})
    agent = Agent(name="clerk", model=model, model_settings=ModelSettings(retry=retry))
    result = ask(SeawallRunner(engine), agent)

    outcome = find_outcome(result)
    assert outcome is not None
    assert result.final_output == "Here."
    assert outcome.model_calls == len(model.requests) == 3
    assert retry_policies is not None


def test_the_retries_of_the_sdk_are_not_asked_about_what_ends_a_run(engine: Engine) -> None:
    asked: list[Exception] = []

    def note(context: Any) -> bool:
        asked.append(context.error)
        return False

    settings = ModelSettings(retry=ModelRetrySettings(max_retries=5, policy=note))
    agent, model = make_desk(Bank())
    agent.model_settings = settings
    with pytest.raises(AgentsHalted):
        ask(SeawallRunner(engine, limits=Limits(model_calls=1, at_limit="halt")), agent)

    assert asked == []
    assert len(model.requests) == 1


@pytest.mark.parametrize("how", ["closed", "full"])
def test_no_tool_runs_when_the_gate_is_broken(how: str) -> None:
    bank = Bank()
    journal: Any = FailingJournal(SqliteJournal.open(":memory:", clock=SystemClock()), math.inf)
    engine = Engine(journal, effects=["refund"])

    def answer(items: list[Any]) -> Any:
        if how == "closed":
            engine.close()
        journal.left = 0
        return [("find_order", {"order": 1}), ("refund", {"order": 1, "amount": 1})]

    agent, _ = make_desk(bank, answer)
    with pytest.raises(AgentsHalted) as halted:
        ask(SeawallRunner(engine), agent)
    engine.close()

    assert halted.value.outcome is None
    assert (bank.refunds, bank.found) == ([], 0)


def test_a_gated_agent_does_nothing_under_a_plain_runner(engine: Engine) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    last = ask(SeawallRunner(engine), agent).last_agent
    with pytest.raises(AgentsHalted, match="get_original"):
        asyncio.run(Runner.run(last, ASK, run_config=QUIET))

    assert len(model.requests) == 3
    assert asyncio.run(Runner.run(get_original(last), ASK, run_config=QUIET)).final_output == ANSWER


def test_a_read_that_raises_is_told_as_the_sdk_tells_it_and_recorded_as_an_error(engine: Engine) -> None:
    @function_tool
    def look() -> str:
        """Look."""
        raise ValueError("no such order")

    def make(name: str) -> Agent[Any]:
        return Agent(name=name, model=PlayedModel([[("look", {})], "Sorry."]), tools=[look])

    plain, gated = make("plain"), make("gated")
    asyncio.run(Runner.run(plain, ASK, run_config=QUIET))
    result = ask(SeawallRunner(engine), gated)

    assert list_requests(plain)[-1] == list_requests(gated)[-1]
    outcome = find_outcome(result)
    assert outcome is not None
    events = list_events(engine, outcome.run)
    assert [each.status for each in events if isinstance(each, StepDone)] == ["ok", "error", "ok"]


def test_an_effect_that_raises_is_in_doubt_unless_its_error_says_that_nothing_happened(
    engine: Engine,
) -> None:
    bank = Bank()
    bank.error = ValueError("no connection")
    agent, model = make_desk(bank)
    with pytest.raises(AgentsHeld) as held:
        ask(SeawallRunner(engine), agent)
    assert held.value.held.name == "refund"

    result = ask(SeawallRunner(engine, not_done=(ValueError,)), agent, request_id="r-2")
    assert result.final_output == ANSWER
    assert "error occurred" in model.requests[-1][-1]["output"]


def test_a_tool_that_takes_too_long_is_told_as_the_sdk_tells_it() -> None:
    @function_tool(timeout=0.01)
    async def wait() -> str:
        """Wait."""
        await asyncio.Event().wait()
        return "never"

    agent = Agent(name="clerk", model=PlayedModel([[("wait", {})], "Too late."]), tools=[wait])
    with Engine() as engine:
        result = ask(SeawallRunner(engine), agent)
        outcome = find_outcome(result)
        assert outcome is not None
        done = [each.status for each in list_events(engine, outcome.run) if isinstance(each, StepDone)]
    assert done == ["ok", "error", "ok"]
    assert "timed out" in list_requests(agent)[-1][-1]["output"]


def _make_input_guardrail(agent: Agent[Any]) -> type[Exception]:
    @input_guardrail
    async def is_polite(context: Any, asked: Any, given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    agent.input_guardrails = [is_polite]
    return InputGuardrailTripwireTriggered


def _make_output_guardrail(agent: Agent[Any]) -> type[Exception]:
    @output_guardrail
    async def is_polite(context: Any, asked: Any, output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    agent.output_guardrails = [is_polite]
    return OutputGuardrailTripwireTriggered


@pytest.mark.parametrize("make", [_make_input_guardrail, _make_output_guardrail])
def test_a_guardrails_tripwire_ends_the_run_as_refused(
    engine: Engine, make: Callable[[Agent[Any]], type[Exception]]
) -> None:
    agent, _ = make_desk(Bank(), ["Hello."])
    error = make(agent)
    with pytest.raises(error):
        ask(SeawallRunner(engine), agent)
    summary = find_status(engine)
    assert (summary.status, summary.stopped_by) == ("refused", "is_polite")


def test_an_error_of_the_sdk_ends_the_run_as_failed(engine: Engine) -> None:
    agent, _ = make_desk(Bank(), lambda items: [("find_order", {"order": 1})])
    with pytest.raises(MaxTurnsExceeded):
        ask(SeawallRunner(engine), agent, max_turns=2)
    assert find_status(engine).status == "failed"


def test_a_session_is_the_conversation(engine: Engine, tmp_path: Path) -> None:
    agent, model = make_desk(Bank(), lambda items: f"answer {len(items)}")
    session = SQLiteSession("dana", tmp_path / "sessions.db")
    runner = SeawallRunner(engine)
    ask(runner, agent, "Hello", "r-1", session=session)
    result = ask(runner, agent, "And now?", "r-2", session=session)
    session.close()

    assert result.final_output == "answer 3"
    assert [item.get("content") for item in model.requests[1] if item.get("role") == "user"] == [
        "Hello",
        "And now?",
    ]
    assert len(engine.call(lambda sea: sea.journal.runs(RunFilter(session="dana"), limit=9))) == 2


class LateSession(SQLiteSession):
    """A session whose server gives it its id at the first request, as `OpenAIConversationsSession` is."""

    is_open = False

    @property
    def session_id(self) -> str:  # type: ignore[override] # the SDK declares an attribute
        if not self.is_open:
            raise ValueError("Session ID not yet available")
        return "dana"

    @session_id.setter
    def session_id(self, value: str) -> None:
        pass

    async def get_items(self, limit: int | None = None) -> Any:
        self.is_open = True
        return await super().get_items(limit)


def test_a_session_may_have_no_id_before_its_first_request(engine: Engine, tmp_path: Path) -> None:
    agent, _ = make_desk(Bank(), lambda items: f"answer {len(items)}")
    session = LateSession("", tmp_path / "sessions.db")
    runner = SeawallRunner(engine)
    assert ask(runner, agent, "Hello", "r-1", session=session).final_output == "answer 1"
    assert ask(runner, agent, "And now?", "r-2", session=session).final_output == "answer 3"
    session.close()
    runs = engine.call(lambda sea: sea.journal.runs(RunFilter(), limit=9))
    assert [row.session for row in runs] == ["dana", None]


def test_context_hooks_and_instructions_are_the_users_own(engine: Engine) -> None:
    seen: list[Any] = []

    class Hooks(RunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Any) -> None:
            seen.append((context.context, agent == desk))

    def instruct(context: Any, agent: Agent[Any]) -> str:
        seen.append(agent is desk)
        return "Help."

    desk, _ = make_desk(Bank(), ["Hello."])
    desk.instructions = instruct
    mine = {"user": "dana"}
    ask(SeawallRunner(engine), desk, context=mine, hooks=Hooks())

    assert seen == [(mine, True), True]
    assert seen[0][0] is mine


def test_coverage_names_what_can_not_be_gated_and_what_nobody_has_declared() -> None:
    @function_tool
    def delete_order(order: int) -> str:
        """Delete an order."""
        return "deleted"

    bank = Bank()
    tools = [*bank.make_tools(), delete_order, WebSearchTool()]
    model = PlayedModel([[("find_order", {"order": 1}), ("delete_order", {"order": 1})], "Done."])
    agent: Agent[Any] = Agent(name="clerk", model=model, tools=tools)
    with Engine(effects=["refund"], reads=["find_order"]) as engine:
        ask(SeawallRunner(engine), agent)
        found = engine.coverage()

    assert found.reads == {"find_order": 1}
    assert found.undeclared == found.undeclared | {"delete_order": 1}
    assert found.seem_to_write == ("delete_order",)
    assert found.models == {"PlayedModel:unnamed": len(model.requests)}
    assert any("WebSearchTool" in each for each in found.not_gated)


@pytest.mark.parametrize("inside", [False, True])
def test_coverage_names_a_session_that_asks_a_model_by_itself(engine: Engine, inside: bool) -> None:
    class Shortening(SQLiteSession):
        async def run_compaction(self, args: Any = None) -> None:
            """Would ask a model for a shorter conversation."""

    session = Shortening("s-1")
    agent = Agent(name="clerk", model=PlayedModel(["Done."]))
    if inside:
        tool = agent.as_tool("ask_clerk", "Asks the clerk.", session=session)
        agent = Agent(
            name="chief", model=PlayedModel([[("ask_clerk", {"input": ASK})], "Done."], "top"), tools=[tool]
        )
        ask(SeawallRunner(engine), agent)
    else:
        ask(SeawallRunner(engine), agent, session=session)
    session.close()
    assert any("Shortening" in each for each in engine.coverage().not_gated)


def test_what_guards_advise_reaches_the_model_beside_the_results(engine: Engine) -> None:
    bank = Bank()
    agent, model = make_desk(bank, [[("find_order", {"order": 1})], [("find_order", {"order": 1})], "Done."])
    ask(SeawallRunner(engine), agent)

    first, second = [item["output"] for item in model.requests[-1] if "output" in item]
    assert first == "order 1: paid"
    assert second.startswith("order 1: paid\n\n[find_order returned exactly what you already know")


def test_what_a_user_changes_in_an_agent_holds_for_the_next_run(engine: Engine) -> None:
    bank = Bank()
    agent, model = make_desk(bank, ["Hello."])
    runner = SeawallRunner(engine)
    ask(runner, agent)

    @function_tool
    def weigh() -> str:
        """Weigh it."""
        return "5 kg"

    agent.tools.append(weigh)
    other = PlayedModel([[("weigh", {})], "It weighs 5 kg."])
    agent.model = other
    assert ask(runner, agent, request_id="r-2").final_output == "It weighs 5 kg."
    assert (len(model.requests), len(other.requests)) == (1, 2)
    assert engine.coverage().undeclared == {"weigh": 1}


def test_what_a_user_changes_in_a_tool_or_a_handoff_holds_for_the_next_run(engine: Engine) -> None:
    offered: list[list[str]] = []

    class OfferedModel(PlayedModel):
        async def get_response(
            self,
            system_instructions: Any,
            input: Any,  # noqa: A002 -- the SDK's name
            *more: Any,
            **options: Any,
        ) -> ModelResponse:
            _, tools, _, handoffs, _ = more
            offered.append([*(each.description for each in tools), *(each.tool_name for each in handoffs)])
            return self._answer(input)

    agent, _ = make_desk(Bank())
    agent.model = OfferedModel(lambda items: "Hello.")
    other, there = Agent(name="other"), handoff(Agent(name="there"))
    agent.handoffs = [other, there]
    runner = SeawallRunner(engine)
    ask(runner, agent)
    refund, find_order = cast("list[FunctionTool]", agent.tools)
    refund.is_enabled, find_order.description = False, "Look."
    other.name, there.is_enabled = "another", False
    ask(runner, agent, request_id="r-2")
    assert offered == [
        ["Refund an order.", "Find an order.", "transfer_to_other", "transfer_to_there"],
        ["Look.", "transfer_to_another"],
    ]


def test_a_clone_of_a_results_agent_is_an_agent(engine: Engine) -> None:
    bank = Bank()
    agent, model = make_desk(bank)
    agent.handoffs = [Agent(name="other")]
    runner = SeawallRunner(engine)
    clone = ask(runner, agent).last_agent.clone(instructions="Be brief.")
    result = ask(runner, clone, request_id="r-2")
    assert (result.final_output, bank.refunds, len(model.requests)) == (ANSWER, [(1042, 5), (1042, 5)], 6)
    assert get_original(result.last_agent) is clone
    assert get_original(result.last_agent.handoffs[0]) is agent.handoffs[0]


def test_many_runs_share_one_agent(engine: Engine) -> None:
    bank = Bank()
    agent, _ = make_desk(bank)
    runner = SeawallRunner(engine)

    async def ask_all() -> list[Any]:
        asked: list[Coroutine[Any, Any, Any]] = [
            runner.run(agent, f"{ASK} ({number})", request_id=f"r-{number}", run_config=QUIET)
            for number in range(8)
        ]
        return await asyncio.gather(*asked)

    assert [result.final_output for result in asyncio.run(ask_all())] == [ANSWER] * 8
    assert len(bank.refunds) == 8


def test_steps_say_which_agent_asked_and_which_reply(engine: Engine) -> None:
    agent, _ = make_desk(Bank())
    outcome = find_outcome(ask(SeawallRunner(engine), agent))
    assert outcome is not None
    steps = [each for each in list_events(engine, outcome.run) if isinstance(each, StepIntended)]
    assert [(each.kind, each.name, each.agent) for each in steps] == [
        ("model", "PlayedModel:unnamed", "clerk"),
        ("tool", "find_order", "clerk"),
        ("model", "PlayedModel:unnamed", "clerk"),
        ("tool", "refund", "clerk"),
        ("model", "PlayedModel:unnamed", "clerk"),
    ]
    assert len(SCRIPT) == 3
