"""Every wait of a loop ends, and what two callers ask for at once is made once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from seawall import Effect, Engine, Misused, Principal, Session, always
from seawall.adapters import make_tool_result

EFFECTS = {"refund": Effect(approve=always()), "pay": True}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(
        tmp_path / "desk.db", effects=EFFECTS, authenticate=lambda given: Principal(str(given))
    ) as engine:
        yield engine


def test_the_same_call_that_two_threads_ask_for_at_once_is_made_once(engine: Engine) -> None:
    made: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def pay(turn: Any) -> Any:
        made.append(turn.step)
        begun.set()
        assert go_on.wait(30)
        return "paid", None

    with engine.begin("Pay", loop="own") as session, ThreadPoolExecutor(2) as pool:
        asked = session.tool("clerk", "pay", {"order": 7}, call_id="c1")
        first = pool.submit(session.step_sync, asked, pay)
        assert begun.wait(30)
        second = pool.submit(session.step_sync, asked, pay)
        go_on.set()
        settled = [first.result(30).settled, second.result(30).settled]
        session.end_sync("paid")

    assert len(made) == 1
    assert [each.text for each in settled] == ["paid", "paid"]
    assert [each.replayed for each in settled] == [False, True]


def test_a_caller_that_is_cancelled_while_a_person_is_asked_leaves_nothing_behind(engine: Engine) -> None:
    async def pay(turn: Any) -> Any:
        return "refunded", None

    async def run() -> str:
        session = engine.begin("Refund", loop="own", request_id="r-1", waits=True)
        asked = session.tool("clerk", "refund", {"order": 7})
        waiting = asyncio.create_task(session.step(asked, pay))
        while not await engine.call_async(lambda sea: sea.approvals()):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        [held] = await engine.call_async(lambda sea: sea.approvals())
        await engine.call_async(lambda sea: sea.approve(held.id, hash=held.hash, credential="boss"))
        done = await session.step(asked, pay)
        outcome = await session.end(done.settled.text)
        return f"{outcome.answer}, {outcome.tool_calls}"

    assert asyncio.run(run()) == "refunded, 1"


def test_whoever_waits_is_told_that_the_engine_was_closed(engine: Engine) -> None:
    def wait_for_a_person(session: Session) -> None:
        session.step_sync(session.tool("clerk", "refund", {"order": 7}), lambda turn: ("refunded", None))

    session = engine.begin("Refund", loop="own", waits=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_for_a_person, session)
        while not engine.call(lambda sea: sea.approvals()):
            pass
        engine.close()
        with pytest.raises(Exception, match=r"closed|let go of"):
            waiting.result(30)


def test_what_is_no_result_is_misused_and_the_run_goes_on(engine: Engine) -> None:
    with engine.begin("Look", loop="own") as session:
        with pytest.raises(Misused, match="must be text"):
            session.step_sync(session.tool("clerk", "look", {}, call_id="c1"), lambda turn: (7, None))
        done = session.step_sync(
            session.tool("clerk", "look", {}, call_id="c1"), lambda turn: (make_tool_result("found"), None)
        )
        outcome = session.end_sync("found")

    assert done.settled.text == "found"
    assert outcome.status == "completed"


def test_a_hand_off_that_has_ended_may_be_closed_again(engine: Engine) -> None:
    with engine.begin("Ask", loop="own", agent="lead") as session:
        frame = session.open_frame_sync(session.handoff("lead", "bank", "How much?", call_id="c1"))
        session.close_frame_sync(frame, "12 EUR")
        session.close_frame_sync(frame, "12 EUR")
        outcome = session.end_sync("12 EUR")

    assert outcome.handoffs == 1
