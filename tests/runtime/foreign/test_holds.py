"""A step that a person must decide on: the loop is interrupted or waits, and goes on after the decision, once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.boss import approve, identify, reject
from runtime.foreign.scripted_loop import Bank, ScriptedLoop
from seawall import Effect, Refused, Seawall, always
from seawall.runtime.foreign.asks import Held, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.results import make_tool_result
from seawall.runtime.foreign.session import Session

EFFECTS = {"refund": Effect(approve=always())}
REPLIES = [[("c1", "refund", {"order": 1042, "amount": 5})], "Order 1042 was refunded."]


def make_engine(journal: Path) -> Engine:
    return Engine(journal, effects=EFFECTS, authenticate=identify)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def engine(journal: Path) -> Iterator[Engine]:
    with make_engine(journal) as engine:
        yield engine


def make_desk(bank: Bank) -> ScriptedLoop:
    return ScriptedLoop(REPLIES, {"refund": bank.refund})


def ask(engine: Engine, bank: Bank, request_id: str | None = "r-1", **options: Any) -> Any:
    """One invocation of the framework, without a checkpoint of its own."""
    with engine.begin("Refund order 1042", loop="own", request_id=request_id, **options) as session:
        return session.end_sync(make_desk(bank).run_sync(session, "Refund order 1042"))


def test_a_held_step_interrupts_the_loop_and_goes_on_after_the_decision(engine: Engine) -> None:
    bank = Bank()
    with pytest.raises(Held) as held:
        ask(engine, bank)
    with pytest.raises(Held):  # asked again before the decision
        ask(engine, bank)
    assert bank.refunds == []
    assert held.value.proposal in str(held.value)

    assert engine.call(approve) == 1
    outcome = ask(engine, bank)

    assert bank.refunds == [(1042, 5)]
    assert outcome.answer == "Order 1042 was refunded."
    assert outcome.model_calls == 2


def test_a_decision_is_found_after_a_restart(journal: Path) -> None:
    bank = Bank()
    with make_engine(journal) as first, pytest.raises(Held):
        ask(first, bank)
    with make_engine(journal) as second:
        second.call(approve)
    with make_engine(journal) as third:
        ask(third, bank)

    assert bank.refunds == [(1042, 5)]


def test_a_loop_that_waits_goes_on_by_itself(engine: Engine) -> None:
    bank = Bank()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, engine, bank, waits=True)
        assert _wait_for_proposals(engine, 1) == 1
        engine.call(approve)
        outcome = running.result(60)

    assert bank.refunds == [(1042, 5)]
    assert outcome.status == "completed"


def test_a_rejection_is_told_with_its_reason(engine: Engine) -> None:
    bank = Bank()
    with pytest.raises(Held):
        ask(engine, bank)
    engine.call(lambda sea: reject(sea, "the order is fraud"))
    told: list[str] = []
    with engine.begin("Refund order 1042", loop="own", request_id="r-1") as session:
        desk = make_desk(bank)
        desk.run_sync(session, "Refund order 1042")
        told = [message["content"] for message in desk.messages if message["role"] == "tool"]
        session.end_sync("No refund.")

    assert bank.refunds == []
    assert "fraud" in told[0]


def test_what_a_person_has_changed_is_performed(engine: Engine) -> None:
    bank = Bank()
    with pytest.raises(Held):
        ask(engine, bank)
    engine.call(lambda sea: approve(sea, {"order": 1042, "amount": 3}, engine.make_team("own")))
    done = ask(engine, bank)
    again = ask(engine, bank)  # it is told of the change again, or its next request would be another one

    assert bank.refunds == [(1042, 3)]
    assert (done.status, again) == ("completed", done)


def test_a_new_request_holds_anew(engine: Engine) -> None:
    bank = Bank()
    with pytest.raises(Held):
        ask(engine, bank)
    engine.call(approve)
    ask(engine, bank)
    with pytest.raises(Held):
        ask(engine, bank, request_id="r-2")

    assert bank.refunds == [(1042, 5)]


def test_two_steps_are_held_at_once_and_decided_apart(engine: Engine) -> None:
    bank = Bank()
    both = [
        [("c1", "refund", {"order": 1, "amount": 5}), ("c2", "refund", {"order": 2, "amount": 5})],
        "Both were refunded.",
    ]
    with engine.begin("Refund both", loop="own", waits=True) as session:
        desk = ScriptedLoop(both, {"refund": bank.refund})
        desk.messages = [{"role": "user", "content": "Refund both"}]
        session.step_sync(session.model("clerk", desk.model, desk.messages), desk.call_model)
        with ThreadPoolExecutor(2) as pool:
            calls = [
                session.tool("clerk", "refund", arguments, call_id=number) for number, _, arguments in both[0]
            ]
            running = [pool.submit(session.step_sync, call, desk.call_tool("refund")) for call in calls]
            assert _wait_for_proposals(engine, 2) == 2
            engine.call(approve)
            assert [each.result(60).settled.status for each in running] == ["ok", "ok"]
        session.end_sync("Both were refunded.")

    assert sorted(bank.refunds) == [(1, 5), (2, 5)]


def test_other_steps_go_on_while_one_is_held(engine: Engine) -> None:
    def read(turn: Any) -> Any:
        return make_tool_result("paid"), "paid"

    with engine.begin("Refund", loop="own", waits=True) as session, ThreadPoolExecutor(1) as pool:
        bank = Bank()
        desk = make_desk(bank)
        held = pool.submit(
            session.step_sync,
            session.tool("clerk", "refund", {"order": 1, "amount": 2}, call_id="c1"),
            desk.call_tool("refund"),
        )
        assert _wait_for_proposals(engine, 1) == 1
        done = [
            session.step_sync(session.tool("clerk", "find", {"id": each}, call_id=f"f{each}"), read)
            for each in range(3)
        ]
        engine.call(approve)
        held.result(60)
        outcome = session.end_sync("done")

    assert [each.value for each in done] == ["paid"] * 3
    assert bank.refunds == [(1, 2)]
    assert outcome.tool_calls == 4


def test_the_run_that_was_not_ended_goes_on_in_its_session(engine: Engine) -> None:
    bank = Bank()
    with pytest.raises(Held):
        ask(engine, bank, request_id=None, session="thread-1")
    engine.call(approve)
    outcome = ask(engine, bank, request_id=None, session="thread-1", resume=True)

    assert bank.refunds == [(1042, 5)]
    assert outcome.model_calls == 2


def test_a_new_request_of_the_session_cancels_the_one_that_waits(engine: Engine) -> None:
    bank = Bank()
    with pytest.raises(Held):
        ask(engine, bank, request_id="r-1", session="thread-1")
    with pytest.raises(Held):
        ask(engine, bank, request_id="r-2", session="thread-1")

    states = engine.call(_list_states)
    assert states == ["waiting", "ended"]


async def _list_states(sea: Seawall) -> list[str]:
    return [row.state for row in await sea.journal.runs(limit=10)]


def _wait_for_proposals(engine: Engine, count: int) -> int:
    """Returns how many proposals are open once there are `count`."""
    looked, found = threading.Event(), 0
    for _ in range(3000):
        if (found := engine.call(_count_proposals)) >= count:
            return found
        looked.wait(0.01)
    return found


async def _count_proposals(sea: Seawall) -> int:
    return len(await sea.approvals())


def test_an_effect_of_unknown_fate_is_held_until_somebody_says_what_became_of_it(journal: Path) -> None:
    tries: list[int] = []

    def break_off(order: int, amount: int) -> str:
        tries.append(order)
        raise ConnectionError("reset")

    async def tell(sea: Seawall, held: Held) -> None:
        await sea.reconcile(held.run, step=held.step, committed="refund 1", by="dana")

    def run(engine: Engine) -> str:
        desk = ScriptedLoop(REPLIES, {"refund": break_off})
        with engine.begin("Refund order 1042", loop="own", request_id="r-1") as session:
            session.end_sync(desk.run_sync(session, "Refund order 1042"))
        return desk.settled[1].text

    found: list[Held] = []
    for _ in range(2):  # in this process, and in the next one
        with Engine(journal, effects=["refund"]) as engine:
            for _ in range(2):
                with pytest.raises(Held) as held:
                    run(engine)
                found.append(held.value)
    with Engine(journal, effects=["refund"]) as engine:
        engine.call(lambda sea: tell(sea, found[-1]))
        # the second one of a run that has ended
        assert [run(engine), run(engine)] == [
            "refund 1",
            "refund 1",
        ]
    assert tries == [1042]


def test_a_rejection_is_told_again_and_the_call_is_not_held_anew(journal: Path) -> None:
    bank = Bank()
    with make_engine(journal) as engine:
        with pytest.raises(Held):
            ask(engine, bank)
        engine.call(lambda sea: reject(sea, "the order is fraud"))
    for _ in range(2):
        with make_engine(journal) as engine:
            ask(engine, bank)

    assert bank.refunds == []


async def ask_refund(session: Session, number: int, name: str = "refund") -> Any:
    asked = session.tool("clerk", name, {"order": number}, call_id=f"c{number}")
    return (await session.step(asked, make_refund)).settled.text


async def make_refund(turn: Turn) -> tuple[str, None]:
    return "refunded", None


async def approve_soon(engine: Engine) -> None:
    """Approves what waits, as soon as the run waits for a person and nobody has it."""
    while not (await engine.call_async(approve)):
        await asyncio.sleep(0)


@pytest.mark.parametrize("request_id", ["r-1", None])
def test_a_loop_that_lets_go_while_another_call_takes_the_run_up_can_come_back_at_once(
    engine: Engine, request_id: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking, goes_on = threading.Event(), threading.Event()
    take_up = engine.sea.supervisor.take_up

    async def take_up_slowly(*given: Any) -> Any:
        taking.set()
        await asyncio.to_thread(goes_on.wait, 30)
        return await take_up(*given)

    monkeypatch.setattr(engine.sea.supervisor, "take_up", take_up_slowly)

    async def run() -> list[Any]:
        begun = {"loop": "own", "request_id": request_id, "session": "s-1"}
        session = engine.begin("Refund", **begun)
        with pytest.raises(Held):
            await ask_refund(session, 1)
        asking = asyncio.create_task(ask_refund(session, 2))
        await asyncio.to_thread(taking.wait, 30)
        detaching = asyncio.create_task(session.detach())
        await asyncio.gather(asking, return_exceptions=True)
        goes_on.set()
        await detaching
        again = engine.begin("Refund", **begun, resume=True)
        await approve_soon(engine)
        async with asyncio.timeout(4):  # less than the time after which an idle loop lets go of its run
            text = await ask_refund(again, 1)
        return [text, session.run == again.run]

    assert asyncio.run(run()) == ["refunded", True]


def test_a_loop_that_goes_on_with_a_run_under_way_is_refused_and_begins_no_other(engine: Engine) -> None:
    async def run() -> int:
        first = engine.begin("Find", loop="own", session="s-1")
        await first.ask(first.tool("clerk", "find", {}, call_id="c1"))
        second = engine.begin("", loop="own", session="s-1", resume=True)
        async with asyncio.timeout(4):
            with pytest.raises(Refused, match="under way for another caller"):
                await second.ask(second.tool("clerk", "find", {}, call_id="c1"))
        return len(await engine.call_async(lambda sea: sea.journal.runs(limit=10)))

    assert asyncio.run(run()) == 1


def test_the_next_request_of_a_session_goes_on_once_the_loop_has_let_go_of_the_one_before(
    engine: Engine,
) -> None:
    async def run() -> list[str]:
        first = engine.begin("Find", loop="own", session="s-1")
        await first.step(first.tool("clerk", "find", {}, call_id="c1"), make_refund)
        second = engine.begin("Find more", loop="own", session="s-1")
        asking = asyncio.create_task(ask_refund(second, 1, "find"))
        while not engine.sea.supervisor.registry.queued:
            await asyncio.sleep(0)
        await first.detach()  # as after an error, for which the loop does not come back
        await asyncio.wait_for(asking, 30)
        await second.end("found")
        rows = await engine.call_async(lambda sea: sea.journal.runs(limit=10))
        return [str(row.summary and row.summary.status) for row in sorted(rows, key=lambda row: row.run)]

    assert asyncio.run(run()) == ["cancelled", "completed"]
