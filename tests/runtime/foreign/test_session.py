"""A loop that somebody else owns passes the gate: its steps are judged, bounded and recorded like any others."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.scripted_loop import USAGE, ScriptedLoop
from seawall import Effect, Limits, Loops, Misused, Refused
from seawall.journal.sqlite.journal import SqliteJournal
from seawall.runtime.foreign.asks import Halted, Held
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.results import ModelResult, make_tool_result
from seawall.runtime.foreign.session import Session


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with Engine(journal, effects=["refund"]) as engine:
        yield engine


REFUND = [
    [("c1", "find_order", {"order": 1042})],
    [("c2", "refund", {"order": 1042, "amount": 5})],
    "Order 1042 was refunded.",
]


def make_desk() -> ScriptedLoop:
    return ScriptedLoop(REFUND, {"find_order": lambda order: "paid", "refund": lambda order, amount: "done"})


def test_a_loop_answers_and_everything_is_recorded(engine: Engine) -> None:
    desk = make_desk()
    with engine.begin("Refund order 1042", loop="own", agent="clerk") as session:
        answer = desk.run_sync(session, "Refund order 1042")
        outcome = session.end_sync(answer)

    assert (outcome.status, outcome.answer) == ("completed", "Order 1042 was refunded.")
    assert (outcome.model_calls, outcome.tool_calls, outcome.tokens) == (3, 2, 45)
    assert [(each.tool, each.state) for each in outcome.effects] == [("refund", "committed")]
    assert desk.model_calls == 3


def test_the_same_request_again_is_answered_from_the_record(engine: Engine) -> None:
    first, second = make_desk(), make_desk()
    for desk in (first, second):
        with engine.begin("Refund order 1042", loop="own", request_id="r-17") as session:
            outcome = session.end_sync(desk.run_sync(session, "Refund order 1042"))

    assert outcome.answer == "Order 1042 was refunded."
    assert (second.model_calls, second.tool_calls) == (0, [])
    assert all(settled.replayed for settled in second.settled)


def test_a_loop_is_halted_and_every_later_step_too(engine: Engine) -> None:
    polling = ScriptedLoop(
        lambda messages: [(f"c{len(messages)}", "find_order", {"order": 7})],
        {"find_order": lambda order: "not found"},
    )
    with engine.begin("Where is order 7?", loop="own") as session:
        with pytest.raises(Halted) as halted:
            polling.run_sync(session, "Where is order 7?")
        with pytest.raises(Halted):
            session.step_sync(
                session.tool("clerk", "find_order", {"order": 8}), polling.call_tool("find_order")
            )

    assert halted.value.outcome.status == "halted"
    assert halted.value.outcome.stopped_by is not None
    assert halted.value.outcome.stopped_by.guard == "loops"
    assert len(polling.tool_calls) <= 4


def test_a_limit_holds_exactly_when_threads_ask_at_once(journal: Path) -> None:
    made: list[int] = []

    def perform(number: int) -> Any:
        made.append(number)
        return make_tool_result(f"page {number}"), None

    with (
        Engine(journal, limits=Limits(tool_calls=12, parallel=30)) as engine,
        engine.begin("Read 30 pages", loop="own") as session,
        ThreadPoolExecutor(30) as pool,
    ):

        def ask(number: int) -> bool:
            try:
                session.step_sync(
                    session.tool("reader", "read", {"page": number}), lambda turn: perform(number)
                )
            except Halted:
                return False
            return True

        done = list(pool.map(ask, range(30)))

    assert len(made) == 12
    assert sum(done) <= 12


def test_models_of_one_frame_are_asked_at_once(engine: Engine) -> None:
    together = threading.Barrier(12)

    def perform(turn: Any) -> Any:
        together.wait(30)
        return ModelResult("yes", usage=USAGE), None

    with engine.begin("Sample", loop="own") as session, ThreadPoolExecutor(12) as pool:
        asked = [session.model("judge", "test:m", [{"role": "user", "content": f"{n}"}]) for n in range(12)]
        done = list(pool.map(lambda each: session.step_sync(each, perform), asked))
        outcome = session.end_sync("yes")

    assert {each.settled.status for each in done} == {"ok"}
    assert outcome.model_calls == 12


def test_callers_on_any_event_loop_await_their_steps(engine: Engine) -> None:
    async def answer(turn: Any) -> Any:
        await asyncio.sleep(0)
        return ModelResult("hello", usage=USAGE), "hello"

    async def run() -> str:
        async with engine.begin("Say hello", loop="own") as session:
            done = await session.step(
                session.model("a", "test:m", [{"role": "user", "content": "hi"}]), answer
            )
            outcome = await session.end(done.value)
        return str(outcome)

    assert asyncio.run(run()) == "completed: hello"
    assert asyncio.run(run()) == "completed: hello"


def test_what_a_tool_raises_is_recorded_and_raised(engine: Engine) -> None:
    def fail(turn: Any) -> Any:
        raise LookupError("no such order")

    with engine.begin("Find order 9", loop="own") as session:
        with pytest.raises(LookupError, match="no such order"):
            session.step_sync(session.tool("clerk", "find_order", {"id": 9}, call_id="c1"), fail)
        done = session.step_sync(
            session.tool("clerk", "find_order", {"id": 9}, call_id="c1"),
            lambda turn: (make_tool_result("paid"), 1),
        )
        outcome = session.end_sync("paid")

    assert done.value == 1  # the framework's retry is another attempt
    assert outcome.tool_calls == 2


def test_an_effect_that_raises_is_unknown_and_a_person_is_asked(engine: Engine) -> None:
    def fail(turn: Any) -> Any:
        raise ConnectionError("reset")

    with engine.begin("Refund order 9", loop="own") as session, pytest.raises(Held) as held:
        session.step_sync(session.tool("clerk", "refund", {"id": 9}, call_id="c1"), fail)

    assert held.value.name == "refund"


def test_an_error_that_says_nothing_happened_leaves_nothing_open(engine: Engine) -> None:
    def fail(turn: Any) -> Any:
        raise ValueError("amount is above the order's")

    with engine.begin("Refund order 9", loop="own", not_done=(ValueError,)) as session:
        with pytest.raises(ValueError, match="above"):
            session.step_sync(session.tool("clerk", "refund", {"id": 9}, call_id="c1"), fail)
        outcome = session.end_sync("It could not be refunded.")

    assert [(each.tool, each.state) for each in outcome.effects] == [("refund", "failed")]


def test_other_arguments_under_the_same_call_are_refused(engine: Engine) -> None:
    def perform(turn: Any) -> Any:
        return make_tool_result("done"), None

    with engine.begin("Refund", loop="own", request_id="r-1") as session:
        session.step_sync(session.tool("clerk", "refund", {"id": 9}, call_id="c1"), perform)
        again = session.step_sync(session.tool("clerk", "refund", {"id": 10}, call_id="c1"), perform)

    assert again.settled.status == "refused"
    assert "other arguments" in again.settled.text


def test_the_time_of_a_run_ends_what_an_async_caller_performs(journal: Path) -> None:
    async def hang(turn: Any) -> Any:
        await asyncio.Event().wait()

    async def run(engine: Engine) -> None:
        async with engine.begin("Wait", loop="own", limits=Limits(active_s=0.05)) as session:
            await session.step(session.tool("clerk", "wait", {}), hang)

    with Engine(journal) as engine, pytest.raises(Halted) as halted:
        asyncio.run(run(engine))

    assert halted.value.guard == "deadline"


def fail_in_the_framework(engine: Engine, runs: list[str]) -> None:
    with engine.begin("Fail", loop="own", request_id="r-f") as session:
        session.step_sync(session.tool("clerk", "find", {}), lambda turn: (make_tool_result("x"), None))
        runs.append(session.run or "")
        raise KeyError("in the framework")


def test_a_run_that_fails_says_why(engine: Engine) -> None:
    runs: list[str] = []
    with pytest.raises(KeyError):
        fail_in_the_framework(engine, runs)

    outcome = engine.call(lambda sea: _read(sea, runs[0]))
    assert outcome.status == "failed"
    assert "in the framework" in (outcome.error or "")


def test_an_error_before_the_first_ask_does_not_end_an_earlier_run(engine: Engine) -> None:
    def go_on(step: bool) -> str:
        with engine.begin("Go on", loop="own", request_id="r-g") as session:
            if step:
                session.step_sync(
                    session.tool("clerk", "find", {}), lambda turn: (make_tool_result("x"), None)
                )
            raise KeyError("in the framework")

    with engine.begin("Go on", loop="own", request_id="r-g") as session:
        session.step_sync(session.tool("clerk", "find", {}), lambda turn: (make_tool_result("x"), None))
    run = session.run or ""
    with pytest.raises(KeyError):
        go_on(False)
    assert engine.call(lambda sea: sea.journal.row(run)).state != "ended"
    with pytest.raises(KeyError):
        go_on(True)
    assert engine.call(lambda sea: _read(sea, run)).status == "failed"


def test_an_error_before_the_first_ask_fails_a_new_run(engine: Engine) -> None:
    async def fail() -> None:
        async with engine.begin("Fail", loop="own"):
            raise KeyError("in the framework")

    with pytest.raises(KeyError):
        asyncio.run(fail())
    (row,) = engine.call(lambda sea: sea.journal.runs())
    assert engine.call(lambda sea: _read(sea, row.run)).status == "failed"


async def _read(sea: Any, run: str) -> Any:
    return await (await sea.attach(run)).outcome()


def test_handoffs_are_frames(engine: Engine) -> None:
    with engine.begin("Ask the bank", loop="own", agent="lead") as session:
        frame = session.open_frame_sync(session.handoff("lead", "bank", "How much is left?", call_id="c1"))
        done = session.step_sync(
            session.tool("bank", "balance", {}, frame=frame), lambda turn: (make_tool_result("12 EUR"), None)
        )
        session.close_frame_sync(frame, "12 EUR are left")
        outcome = session.end_sync("12 EUR")

    assert done.settled.status == "ok"
    assert (outcome.handoffs, outcome.tool_calls) == (1, 1)


def test_a_frame_that_is_not_there_is_misused(engine: Engine) -> None:
    with engine.begin("x", loop="own") as session:
        session.step_sync(session.tool("a", "t", {}), lambda turn: (make_tool_result("x"), None))
        with pytest.raises(Misused, match="no open frame 77"):
            session.step_sync(
                session.tool("a", "t", {"n": 1}, frame=77), lambda turn: (make_tool_result("x"), None)
            )


def test_advice_reaches_the_framework(journal: Path) -> None:
    polling = ScriptedLoop(
        lambda messages: (
            "Nothing there." if len(messages) > 6 else [(f"c{len(messages)}", "find", {"order": 7})]
        ),
        {"find": lambda order: "not found"},
    )
    with Engine(journal, guards=[Loops()]) as engine, engine.begin("Find 7", loop="own") as session:
        session.end_sync(polling.run_sync(session, "Find 7"))

    assert any(settled.notes for settled in polling.settled)


def test_a_declared_effect_is_done_once_over_runs(journal: Path) -> None:
    refunds: list[int] = []

    def refund(order: int, amount: int) -> str:
        refunds.append(order)
        return f"refund of {order} done"

    with Engine(journal, effects={"refund": Effect(unique_by=("order",))}) as engine:
        for request in ("Refund order 1042", "Refund order 1042 now!"):
            desk = ScriptedLoop(REFUND, {"find_order": lambda order: "paid", "refund": refund})
            with engine.begin(request, loop="own") as session:
                session.end_sync(desk.run_sync(session, request))

    assert refunds == [1042]
    assert "refund of 1042 done" in desk.settled[3].text


def test_the_coverage_names_what_passed_and_what_nobody_declared(engine: Engine) -> None:
    with engine.begin("x", loop="own") as session:
        for name in ("refund", "delete_file", "find_order"):
            session.step_sync(session.tool("a", name, {}), lambda turn: (make_tool_result("x"), None))
    report = engine.coverage()

    assert report.effects == {"refund": 1}
    assert report.undeclared == {"delete_file": 1, "find_order": 1}
    assert report.seem_to_write == ("delete_file",)
    assert "delete_file" in str(report)


def test_the_coverage_names_what_is_declared_and_matched_by_no_call() -> None:
    with Engine(effects=["refnd", "bank.*"], reads=["find_*", "tell"]) as engine:
        assert engine.coverage().uncalled == ("refnd", "bank.*", "find_*", "tell")
        with engine.begin("x", loop="own") as session:
            for name in ("refund", "bank.pay", "find_order", "find_order"):
                session.step_sync(session.tool("a", name, {}), lambda turn: (make_tool_result("x"), None))
        report = engine.coverage()

    assert report.uncalled == ("refnd", "tell")
    assert "reads: find_order (2 calls)\n" in str(report)
    assert "effects: bank.pay (1 call)\n" in str(report)
    assert "declared, and not called so far: refnd, tell\n" in str(report)


def test_a_closed_engine_says_so(journal: Path) -> None:
    engine = Engine(journal)
    engine.close()
    with pytest.raises(Misused, match="closed"), engine.begin("x", loop="own") as session:
        session.step_sync(session.tool("a", "t", {}), lambda turn: (make_tool_result("x"), None))


def test_a_tool_that_asks_for_steps_itself_is_waited_for_by_none_of_them(engine: Engine) -> None:
    """The limit is reached inside of two tools, each of which waits for a call that would go beyond it."""
    both = threading.Barrier(2)

    def work(session: Session, name: str) -> str:
        def inside(turn: object) -> tuple[Any, None]:
            both.wait(10)
            frame = session.open_frame_sync(session.handoff("clerk", name, "look", call_id=name))
            asked = session.tool(name, "look", {"at": name}, call_id=name, frame=frame)
            done = session.step_sync(asked, lambda turn: (make_tool_result("found"), None))
            return make_tool_result(done.settled.text), None

        try:
            session.step_sync(session.tool("clerk", "ask", {"whom": name}, call_id=name), inside)
        except Halted as halted:
            return str(halted.outcome.stopped_by and halted.outcome.stopped_by.limit)
        return "went on"

    with (
        engine.begin("Look", loop="own", limits=Limits(tool_calls=2)) as session,
        ThreadPoolExecutor(2) as threads,
    ):
        assert list(threads.map(lambda name: work(session, name), ["a", "b"])) == ["tool_calls=2"] * 2


def test_a_tool_that_waits_for_work_in_the_background_is_not_waited_for_by_it(engine: Engine) -> None:
    waits, halted = threading.Event(), threading.Event()

    def begin(turn: object) -> tuple[Any, Any]:
        frame = session.open_frame_sync(session.handoff("lead", "clerk", "look", call_id="c1"))
        context = contextvars.copy_context()
        return make_tool_result("begun"), threads.submit(context.run, work, frame)

    def work(frame: int) -> None:
        assert waits.wait(10)
        look = session.tool("clerk", "look", {}, call_id="c3", frame=frame)
        with pytest.raises(Halted):
            session.step_sync(look, lambda turn: (make_tool_result("found"), None))
        halted.set()

    def join(turn: object) -> tuple[Any, Any]:
        waits.set()
        assert halted.wait(10)
        return make_tool_result("done"), None

    with (
        engine.begin("Look", loop="own", limits=Limits(tool_calls=2)) as session,
        ThreadPoolExecutor(1) as threads,
    ):
        begun = session.step_sync(session.tool("lead", "begin", {}, call_id="c1"), begin)
        with pytest.raises(Halted):
            session.step_sync(session.tool("lead", "join", {}, call_id="c2"), join)
        begun.value.result()


def test_a_second_invocation_of_a_request_that_is_under_way_is_refused(engine: Engine) -> None:
    with engine.begin("Look", loop="own", request_id="r-1") as first:
        ask = first.ask_sync(first.tool("clerk", "look", {}, call_id="c1"))
        assert isinstance(ask, tuple)
        second = engine.begin("Look", loop="own", request_id="r-1")
        with pytest.raises(Refused, match="under way"):
            second.ask_sync(second.tool("clerk", "look", {}, call_id="c2"))
        first.give_sync(ask[0], first.tool("clerk", "look", {}, call_id="c1"), make_tool_result("found"))
        first.end_sync("found")


def test_a_run_of_a_long_conversation_reads_nothing_of_the_runs_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The framework brings the conversation itself."""
    read: list[str] = []
    events = SqliteJournal.events

    async def note(journal: SqliteJournal, run: str, *, after: int = -1) -> Any:
        read.append(run)
        return await events(journal, run, after=after)

    monkeypatch.setattr(SqliteJournal, "events", note)
    with Engine(tmp_path / "desk.db") as engine:
        earlier = set[str | None]()
        for turn in range(5):
            read.clear()
            with engine.begin(f"question {turn}", loop="own", session="ann") as session:
                ScriptedLoop([f"answer {turn}"], {}).run_sync(session, f"question {turn}")
                session.end_sync(f"answer {turn}")
            assert not earlier.intersection(read)
            earlier.add(session.run)
