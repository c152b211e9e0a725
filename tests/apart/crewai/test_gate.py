"""CrewAI: every call of a model or a tool passes the gate, and fails closed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from crewai.hooks import (
    clear_all_global_hooks,
    register_after_tool_call_hook,
    register_before_llm_call_hook,
    register_before_tool_call_hook,
)
from crewai.tools import BaseTool
from crewai.tools import tool as make_tool
from crewai.tools.structured_tool import CrewStructuredTool
from pydantic import BaseModel

from apart.crewai.crew_desk import (
    ANSWER,
    Desk,
    Reply,
    find_run,
    kick_off,
    list_intents,
    make_crew,
    make_task,
    read_outcome,
    read_request,
)
from runtime.foreign.failing_journal import FailingJournal
from seawall import Effect, Halted, Held, Limits, Loops
from seawall.adapters import crewai
from seawall.adapters.crewai.place import MAX_ATTEMPTS
from seawall.core.clock import SystemClock
from seawall.core.errors import Broken, Misused
from seawall.journal.sqlite import SqliteJournal
from seawall.runtime.foreign.engine import Engine

WAYS = ("sync", "thread", "async")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with Engine(journal, effects=["refund"]) as engine:
        yield engine


@pytest.fixture
def hooks() -> Iterator[None]:
    yield
    clear_all_global_hooks()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("written", [False, True], ids=["calls", "written"])
def test_a_run_is_recorded_and_the_same_request_is_answered_from_the_record(
    engine: Engine, way: str, written: bool
) -> None:
    desk = Desk(written=written)
    results: list[str] = []
    for _ in range(2):
        with crewai.gate(engine, request_id="r-1"):
            results.append(kick_off(desk.make_crew(), way).raw)
    outcome = read_outcome(engine, "r-1")

    assert results == [ANSWER, ANSWER]
    assert (desk.refunds, desk.model_calls) == ([(1042, 5)], 3)
    assert (outcome.status, outcome.answer) == ("completed", ANSWER)
    assert (outcome.model_calls, outcome.tool_calls, outcome.handoffs) == (3, 2, 1)
    assert [each.tool for each in outcome.effects] == ["refund"]
    assert outcome.tokens == 45


def test_calls_of_tools_belong_to_the_reply_that_asks_for_them(engine: Engine) -> None:
    for number, written in enumerate((False, True)):
        desk = Desk(written=written)
        with crewai.gate(engine, request_id=f"r-{number}"):
            desk.make_crew().kickoff()
        calls = [each.call for each in list_intents(engine, f"r-{number}") if each.kind == "tool"]
        assert len(calls) == 2
        assert all("call-" in str(call) or "written-" in str(call) for call in calls), calls


def test_nothing_is_gated_outside_of_the_context(engine: Engine) -> None:
    desk = Desk()
    crew = desk.make_crew()
    with crewai.gate(engine, request_id="r-1"):
        crew.kickoff()
    crew.kickoff()

    assert len(desk.refunds) == 2
    assert engine.coverage().effects == {"refund": 1}


def test_a_gate_is_one_run_and_is_entered_once(engine: Engine) -> None:
    gate = crewai.gate(engine, request_id="r-1")
    with gate:
        Desk().make_crew().kickoff()

    assert gate.run == find_run(engine, "r-1")
    with pytest.raises(Misused, match="entered once"), gate:
        pass


def test_who_asks_is_said_to_the_gate(engine: Engine) -> None:
    with crewai.gate(
        engine, request_id="r-1", tenant="acme", session="thread-1", request="Refund it", name="desk"
    ):
        Desk().make_crew().kickoff()
    run = find_run(engine, "r-1", tenant="acme")
    row = engine.call(lambda sea: sea.journal.row(run))

    assert (row.tenant, row.session, row.team) == ("acme", "thread-1", "desk")
    assert read_request(engine, "r-1", tenant="acme") == "Refund it"


def test_an_async_gate_is_the_same(engine: Engine) -> None:
    desk = Desk()

    async def run() -> str:
        async with crewai.gate(engine, request_id="r-1"):
            return (await desk.make_crew().akickoff()).raw

    assert asyncio.run(run()) == ANSWER
    assert read_outcome(engine, "r-1").status == "completed"


# ---- fail closed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("written", [False, True], ids=["calls", "written"])
def test_a_closed_engine_lets_nothing_pass(journal: Path, way: str, written: bool) -> None:
    desk = Desk(written=written)
    engine = Engine(journal, effects=["refund"])
    engine.close()
    with pytest.raises(Misused, match="closed"), crewai.gate(engine):
        kick_off(desk.make_crew(), way)

    assert (desk.model_calls, desk.reads, desk.refunds) == (0, [], [])


@pytest.mark.parametrize("written", [False, True], ids=["calls", "written"])
@pytest.mark.parametrize("room", range(7))
def test_a_journal_that_is_full_lets_no_effect_pass(journal: Path, room: int, written: bool) -> None:
    desk = Desk(written=written)
    full: Any = FailingJournal(SqliteJournal.open(str(journal), clock=SystemClock()), room)
    with (
        Engine(full, effects=["refund"]) as engine,
        pytest.raises(Broken, match="full"),
        crewai.gate(engine, request_id="r-1"),
    ):
        desk.make_crew(max_retry_limit=3).kickoff()

    with Engine(journal) as reader:
        run = reader.call(lambda sea: sea.journal.run_of_request("", "r-1"))
        intents = [] if run is None else list_intents(reader, "r-1")
    assert len(desk.refunds) <= sum(each.effect for each in intents)
    assert len(desk.refunds) <= 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("written", [False, True], ids=["calls", "written"])
def test_a_limit_ends_the_crew_with_the_outcome(engine: Engine, way: str, written: bool) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})], written=written)
    crew = desk.make_crew(max_retry_limit=3)
    with pytest.raises(Halted) as halted, crewai.gate(engine, limits=Limits(tool_calls=3, at_limit="halt")):
        kick_off(crew, way)

    assert halted.value.outcome.stopped_by is not None
    assert halted.value.outcome.stopped_by.limit == "tool_calls=3"
    assert len(desk.reads) == 3


def test_a_halt_is_raised_where_the_crew_was_kicked_off_and_again_at_the_end(engine: Engine) -> None:
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    caught: list[Exception] = []

    def go_on() -> None:
        """As an application does that goes on whatever happens."""
        for _ in range(2):
            try:
                desk.make_crew().kickoff()
            except Exception as error:  # noqa: BLE001 -- that is what it does
                caught.append(error)

    with pytest.raises(Halted) as halted, crewai.gate(engine, limits=Limits(tool_calls=2, at_limit="halt")):
        go_on()

    assert [type(each) for each in caught] == [Halted, Halted]
    assert halted.value is caught[0]
    assert len(desk.reads) == 2


def test_any_number_of_crews_may_be_halted_in_one_process(engine: Engine) -> None:
    """CrewAI refuses to go on once a hundred of its events have begun and not ended."""
    desk = Desk([[("find_order", {"order": 7})], "found"])
    for _ in range(40):
        with pytest.raises(Halted), crewai.gate(engine, limits=Limits(model_calls=1, at_limit="halt")):
            desk.make_crew().kickoff()

    with crewai.gate(engine):
        assert desk.make_crew().kickoff().raw == "found"


def test_parallel_calls_are_counted_exactly(engine: Engine) -> None:
    desk = Desk([[("find_order", {"order": order}) for order in range(30)], "done"])
    with crewai.gate(engine, limits=Limits(tool_calls=12), request_id="r-1"):
        assert desk.make_crew().kickoff().raw == "done"

    assert len(desk.reads) == 12
    assert read_outcome(engine, "r-1").pruned == ("limits",)


def test_an_agent_that_has_lost_the_gate_asks_no_model(engine: Engine) -> None:
    desk = Desk()
    lost: list[BaseException] = []

    @make_tool("ask in a thread")
    def ask(about: str) -> str:
        """Asks."""

        def run() -> None:
            try:
                desk.llm.call("Who is it?", from_agent=agent)
            except BaseException as error:  # noqa: BLE001 -- the thread would say it to nobody
                lost.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return "asked"

    agent = Desk([[("ask_in_a_thread", {"about": "it"})], "done"]).make_agent(tools=[ask])
    with crewai.gate(engine):
        make_crew([agent], [make_task(agent)]).kickoff()

    assert desk.model_calls == 0
    assert [str(each) for each in lost] and "copy_context" in str(lost[0])


class OwnWay(BaseTool):
    """A tool that goes a way of its own to its code."""

    name: str = "own way"
    description: str = "Counts."
    made: ClassVar[list[int]] = []

    def run(self, *arguments: Any, **options: Any) -> Any:
        self.made.append(options["order"])
        return "counted"

    def _run(self, order: int) -> str:
        raise NotImplementedError


def test_a_tool_that_goes_its_own_way_is_gated(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnWay, "made", [])
    desk = Desk(lambda messages: [("own_way", {"order": len(messages)})])
    with pytest.raises(Halted), crewai.gate(engine, limits=Limits(tool_calls=2, at_limit="halt")):
        desk.make_crew(tools=[OwnWay()]).kickoff()

    assert len(OwnWay.made) == 2


@pytest.mark.parametrize("way", ["sync", "async", "json"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_structured_tool_that_the_application_invokes_is_gated(
    engine: Engine, way: str, is_async: bool
) -> None:
    made: list[int] = []

    def refund(order: int) -> str:
        """Refunds an order."""
        made.append(order)
        return f"refund {len(made)}"

    async def refund_async(order: int) -> str:
        """Refunds an order."""
        return refund(order)

    function = refund_async if is_async else refund
    tool = CrewStructuredTool.from_function(function, name="refund", description="Refunds an order.")
    given: Any = json.dumps({"order": 7}) if way == "json" else {"order": 7}
    for _ in range(2):
        with crewai.gate(engine, request_id="r-1"):
            told = tool.invoke(given) if way == "sync" else asyncio.run(tool.ainvoke(given))
        assert told == "refund 1"
    assert made == [7]


def test_a_tool_that_runs_a_crew_with_itself_is_gated_there_too(engine: Engine) -> None:
    made: list[int] = []

    @make_tool("dig")
    def dig(depth: int) -> str:
        """Digs."""
        made.append(depth)
        inner = Desk([[("dig", {"depth": depth + 1})], "dug"])
        return inner.make_crew(tools=[dig]).kickoff().raw

    desk = Desk([[("dig", {"depth": 1})], "dug"])
    with crewai.gate(engine, request_id="r-1"):
        assert desk.make_crew(tools=[dig]).kickoff().raw == "dug"

    assert made == [1, 2, 3]  # and the next agent would work too deep, which is told to the one above it
    assert read_outcome(engine, "r-1").tool_calls == 3


def test_what_still_runs_after_the_gate_was_left_is_not_performed(engine: Engine) -> None:
    desk = Desk()

    async def run() -> None:
        left = asyncio.Event()

        async def run_late() -> None:
            await left.wait()
            await desk.make_crew().akickoff()

        async with crewai.gate(engine):
            late = asyncio.ensure_future(run_late())
            await asyncio.sleep(0)
        left.set()
        with pytest.raises(Misused, match="was left"):
            await late

    asyncio.run(run())
    assert (desk.model_calls, desk.refunds) == (0, [])


def test_hooks_of_crewai_go_on_and_decide_nothing_of_the_gate(engine: Engine, hooks: None) -> None:
    seen: list[str] = []

    def fail(context: Any) -> None:
        seen.append(context.tool_name)
        raise RuntimeError("a hook that is broken")

    def say(context: Any) -> str:
        return "all is well"

    register_before_tool_call_hook(fail)
    register_after_tool_call_hook(say)
    desk = Desk(lambda messages: [("find_order", {"order": len(messages)})])
    with pytest.raises(Halted), crewai.gate(engine, limits=Limits(tool_calls=2, at_limit="halt")):
        desk.make_crew().kickoff()

    assert seen == ["find_order"] * 3
    assert len(desk.reads) == 2


def test_what_a_hook_blocks_is_not_asked_for(engine: Engine, hooks: None) -> None:
    register_before_tool_call_hook(lambda context: False if context.tool_name == "refund" else None)
    desk = Desk()
    with crewai.gate(engine, request_id="r-1"):
        desk.make_crew().kickoff()

    assert (desk.refunds, read_outcome(engine, "r-1").tool_calls) == ([], 1)


def test_what_a_hook_changes_in_a_request_is_what_is_recorded(engine: Engine, hooks: None) -> None:
    def add(context: Any) -> None:
        context.messages.append({"role": "user", "content": "Be brief."})

    register_before_llm_call_hook(add)
    desk = Desk(["done"])
    for _ in range(2):
        with crewai.gate(engine, request_id="r-1"):
            desk.make_crew().kickoff()

    assert desk.model_calls == 1
    assert "Be brief." in str(desk.llm.requests[0])


def test_an_agent_that_repeats_a_call_is_halted_though_the_cache_answers(journal: Path) -> None:
    counted: list[tuple[int, int]] = []
    for number, cache in enumerate((False, True)):
        desk = Desk(lambda messages: [("find_order", {"order": 7})])
        agent = desk.make_agent(cache=cache)
        with (
            Engine(journal, guards=[Loops()]) as engine,
            pytest.raises(Halted, match="nothing new"),
            crewai.gate(engine, request_id=f"r-{number}"),
        ):
            make_crew([agent], [make_task(agent)], cache=cache).kickoff()
        counted.append((desk.model_calls, len(desk.reads)))

    assert counted == [(5, 4), (5, 1)]  # as many as of a team of Seawall's own, where the cache is off


@pytest.mark.parametrize(("cut", "told"), [(3, 1), (4, 0)])
def test_after_a_crash_advice_is_told_with_the_request_after_the_result(
    engine: Engine, cut: int, told: int
) -> None:
    looks: list[Reply] = [[("find_order", {"order": order})] for order in (7, 7, 8)]
    desk = Desk()
    desk.llm.play(lambda messages: _crash_once(desk, [*looks, "It is paid."], messages, cut))
    with pytest.raises(KeyboardInterrupt), crewai.gate(engine, request_id="r-1"):
        desk.make_crew().kickoff()
    with crewai.gate(engine, request_id="r-1"):
        assert desk.make_crew().kickoff().raw == "It is paid."

    assert str(desk.llm.requests[cut]).count("nothing new") == told
    assert desk.model_calls == len(looks) + 2


def _crash_once(desk: Desk, script: list[Reply], messages: list[Any], cut: int) -> Reply:
    if desk.model_calls == cut:
        raise KeyboardInterrupt
    return script[sum(each["role"] == "assistant" for each in messages)]


def test_a_fork_is_given_another_result_and_its_effects_are_simulated(engine: Engine) -> None:
    desk = Desk()
    with crewai.gate(engine, request_id="r-1"):
        kick_off(desk.make_crew())
    run = find_run(engine, "r-1")
    read = next(each.step for each in list_intents(engine, "r-1") if each.name == "find_order")
    engine.call(lambda sea: sea.fork(run, at=read, request_id="r-2", result="lost at sea"))
    forked = Desk()
    with crewai.gate(engine, request_id="r-2"):
        kick_off(forked.make_crew())

    assert (desk.model_calls, desk.reads, desk.refunds) == (3, [1042], [(1042, 5)])
    assert (forked.model_calls, forked.reads, forked.refunds) == (2, [], [])
    told = str(forked.llm.requests[-1])
    assert "lost at sea" in told and "simulated" in told and "paid" not in told


def test_a_declared_poll_has_the_room_of_polls(journal: Path) -> None:
    """CrewAI itself ends an agent that makes one call five times, so the room is less here than that of a read."""
    desk = Desk(lambda messages: [("find_order", {"order": 7})])
    agent = desk.make_agent()
    with (
        Engine(journal, guards=[Loops(polls=2, poll_wait_s=0)]) as engine,
        pytest.raises(Halted, match="poll 'find_order' returned the same"),
        crewai.gate(engine, polls=["find_*"]),
    ):
        make_crew([agent], [make_task(agent)]).kickoff()

    assert len(desk.reads) == 3


def test_guardrails_and_structured_answers_pass_the_gate(engine: Engine) -> None:
    class Found(BaseModel):
        order: int
        state: str

    text = '{"order": 7, "state": "paid"}'
    desk = Desk([text])
    checked: list[str] = []

    def check(output):  # without annotations: CrewAI reads them, and takes no text for one
        checked.append(output.raw)
        return (True, output.raw) if len(checked) % 2 == 0 else (False, "say it again")

    results: list[Any] = []
    for _ in range(2):
        agent = desk.make_agent(tools=[])
        task = make_task(agent, output_pydantic=Found, guardrail=check)
        with crewai.gate(engine, request_id="r-1"):
            results.append(make_crew([agent], [task]).kickoff().pydantic)

    assert results == [Found(order=7, state="paid")] * 2
    assert desk.model_calls == read_outcome(engine, "r-1").model_calls
    assert len(checked) == 4


# ---- what tools do


def make_failing(name: str, error: Exception) -> tuple[list[int], Any]:
    """Returns a tool that raises, and the list of the orders for which it was called."""
    tries: list[int] = []

    @make_tool(name)
    def fail(order: int) -> str:
        """Fails."""
        tries.append(order)
        raise error

    return tries, fail


def test_a_read_that_raises_is_tried_again_and_told_the_same_from_the_record(engine: Engine) -> None:
    for number, (written, attempts) in enumerate(((False, 1), (True, MAX_ATTEMPTS))):
        tries, find_order = make_failing("find_order", ConnectionError("the archive is closed"))
        desk = Desk([[("find_order", {"order": 7})], "It can't be found."], written=written)
        for _ in range(2):
            with crewai.gate(engine, request_id=f"r-{number}"):
                assert desk.make_crew(tools=[find_order]).kickoff().raw == "It can't be found."

        assert desk.model_calls == 2
        assert len(tries) == read_outcome(engine, f"r-{number}").tool_calls == attempts
        assert "the archive is closed" in str(desk.llm.requests[1])


class Receipt(BaseModel):
    order: int
    lines: list[str]


class ReceiptTool(BaseTool):
    name: str = "read receipt"
    description: str = "Reads the receipt of an order."

    def _run(self, order: int) -> Receipt:
        return Receipt(order=order, lines=["tea", "Ümit"])


def test_values_that_are_no_text_are_given_again_as_they_were(engine: Engine) -> None:
    @make_tool("pairs")
    def find_pairs(order: int) -> list[tuple[int, str]]:
        """Finds pairs."""
        return [(order, "a")]

    @make_tool("count")
    async def count_orders(order: int) -> dict[str, Any]:
        """Counts."""
        return {"order": order, "n": None}

    asked: Reply = [(name, {"order": 7}) for name in ("read_receipt", "pairs", "count")]
    told: list[str] = []
    for _ in range(2):
        desk = Desk([asked, "done"])
        crew = desk.make_crew(tools=[ReceiptTool(), find_pairs, count_orders])
        with crewai.gate(engine, request_id="r-1"):
            result = crew.kickoff()
        told.append(str([each for each in result.tasks_output[0].messages if each["role"] == "tool"]))

    assert told[0].replace("call-2", "call-1") == told[1]
    for text in ("Ümit", "[(7, 'a')]", "{'order': 7, 'n': None}"):
        assert text in told[0]


def test_an_effect_that_raises_is_unknown_and_a_person_is_asked(engine: Engine) -> None:
    for number, written in enumerate((False, True)):
        tries, refund = make_failing("refund", TimeoutError("the bank did not answer"))
        desk = Desk([[("refund", {"order": 7})], "Refunded."], written=written)
        with pytest.raises(Held) as held, crewai.gate(engine, request_id=f"r-{number}"):
            desk.make_crew(tools=[refund], max_retry_limit=3).kickoff()

        assert (tries, held.value.name) == ([7], "refund")


def test_an_error_that_says_nothing_happened_leaves_nothing_open(engine: Engine) -> None:
    tries: list[int] = []

    @make_tool("refund")
    def refund(order: int, amount: int) -> str:
        """Refunds an order."""
        tries.append(amount)
        if amount > 3:
            raise PermissionError("the amount is above the order's")
        return "refunded"

    desk = Desk(
        [[("refund", {"order": 7, "amount": 5})], [("refund", {"order": 7, "amount": 3})], "Refunded."]
    )
    with crewai.gate(engine, not_done=(PermissionError,)):
        assert desk.make_crew(tools=[refund]).kickoff().raw == "Refunded."

    assert tries == [5, 3]


def test_arguments_that_crewai_refuses_are_no_call(engine: Engine) -> None:
    desk = Desk([[("refund", {"order": "seven"})], "It can't be done."])
    with crewai.gate(engine, request_id="r-1"):
        desk.make_crew().kickoff()

    assert (desk.refunds, read_outcome(engine, "r-1").tool_calls) == ([], 0)


def test_an_effect_is_done_once_over_requests(journal: Path) -> None:
    desk = Desk()
    with Engine(journal, effects={"refund": Effect(unique_by=("order",))}) as engine:
        for number in range(2):
            with crewai.gate(engine, request_id=f"r-{number}"):
                desk.make_crew().kickoff()

    assert desk.refunds == [(1042, 5)]


def test_the_request_is_that_of_the_crew_by_default(engine: Engine) -> None:
    desk = Desk()
    with crewai.gate(engine, request_id="r-1"):
        desk.make_crew(asked="Refund order {order}").kickoff(inputs={"order": "7"})

    assert read_request(engine, "r-1") == 'Refund order {order}\n{"order": "7"}'
