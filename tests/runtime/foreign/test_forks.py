"""A run whose steps a framework's loop asked for is forked: what is recorded up to a step is given again, the rest is live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.foreign.boss import approve, identify
from runtime.foreign.scripted_loop import Bank, Reply, ScriptedLoop
from seawall import Effect, Limits, Misused, Outcome, always
from seawall.core.events import RunStarted, StepDone
from seawall.runtime.foreign.asks import Halted, Held
from seawall.runtime.foreign.engine import Engine

REQUEST = "Refund order 7"
REPLIES: list[Reply] = [
    [("c1", "find_order", {"order": 7})],
    [("c2", "refund", {"order": 7, "amount": 5})],
    [("c3", "find_order", {"order": 8})],
    "Both are done.",
]
"""Steps 1, 3, 5 and 7 are those of the model; 2, 4 and 6 those of the tools."""


class Desk:
    """An application with a loop of its own, and the world that it changes."""

    def __init__(self, engine: Engine, replies: Any = REPLIES) -> None:
        self.engine, self.replies, self.bank = engine, replies, Bank()

    def ask(self, request_id: str, **options: Any) -> tuple[Outcome[Any], ScriptedLoop]:
        """Makes one request, from its beginning."""
        loop = ScriptedLoop(
            self.replies, {"find_order": lambda order: f"order {order}: paid", "refund": self.bank.refund}
        )
        with self.engine.begin(REQUEST, loop="own", request_id=request_id, **options) as session:
            return session.end_sync(loop.run_sync(session, REQUEST)), loop

    def fork(self, run: str, request_id: str, **options: Any) -> str:
        return self.engine.call(lambda sea: sea.fork(run, request_id=request_id, **options)).id

    def read_start(self, run: str) -> RunStarted:
        started = self.engine.call(lambda sea: sea.state(run)).started
        assert isinstance(started, RunStarted)
        return started


def test_the_recorded_steps_are_given_again_and_the_rest_is_live() -> None:
    with Engine(effects=["refund"]) as engine:
        desk = Desk(engine)
        first, _ = desk.ask("q-1")
        run = desk.fork(first.run, "q-2", at=4)
        forked, loop = desk.ask("q-2")

    assert (forked.run, forked.status, forked.answer) == (run, "completed", "Both are done.")
    assert [settled.replayed for settled in loop.settled] == [True] * 4 + [False] * 3
    assert loop.tool_calls == [("find_order", {"order": 8})]
    assert desk.bank.refunds == [(7, 5)]
    assert (forked.model_calls, forked.tool_calls, forked.tokens) == (4, 3, first.tokens)


def test_its_start_names_the_parent_and_it_is_in_no_session() -> None:
    with Engine(effects=["refund"]) as engine:
        desk = Desk(engine)
        first, _ = desk.ask("q-1", session="s-1")
        started = desk.read_start(desk.fork(first.run, "q-2", at=2))

    assert started.fork is not None
    assert (started.fork.run, started.fork.at_step, started.fork.session) == (first.run, 2, "s-1")
    assert (started.session, started.request_id, started.loop) == (None, "q-2", "own")


def test_another_result_is_what_the_model_is_sent() -> None:
    def reply(messages: list[dict[str, Any]]) -> Reply:
        told = [message["content"] for message in messages if message["role"] == "tool"]
        if not told:
            return [("c1", "find_order", {"order": 7})]
        if "lost" in told[-1]:
            return "It was lost."
        return "It is paid." if len(told) > 1 else [("c2", "refund", {"order": 7, "amount": 5})]

    with Engine(effects=["refund"]) as engine:
        desk = Desk(engine, reply)
        first, _ = desk.ask("q-1")
        desk.fork(first.run, "q-2", at=2, result="order 7: lost")
        forked, _ = desk.ask("q-2")

    assert (first.answer, forked.answer) == ("It is paid.", "It was lost.")
    assert desk.bank.refunds == [(7, 5)]


def test_an_effect_after_the_fork_is_simulated() -> None:
    with Engine(effects=["refund"]) as engine:
        desk = Desk(engine)
        first, _ = desk.ask("q-1")
        desk.fork(first.run, "q-2", at=3)
        forked, loop = desk.ask("q-2")

    assert loop.settled[3].text == "[simulated: in a fork 'refund' is not performed]"
    assert forked.status == "completed"
    assert desk.bank.refunds == [(7, 5)]


@pytest.mark.parametrize(
    ("declared", "refunds"),
    [(True, [(7, 5), (7, 5)]), (Effect(unique_by=("order",)), [(7, 5)])],
    ids=["any", "unique"],
)
def test_a_live_fork_makes_effects_that_are_not_the_ones_of_its_origin(
    declared: Any, refunds: list[tuple[int, int]]
) -> None:
    with Engine(effects={"refund": declared}) as engine:
        desk = Desk(engine)
        first, _ = desk.ask("q-1")
        desk.fork(first.run, "q-2", at=3, live_effects=True)
        forked, loop = desk.ask("q-2")

    assert forked.status == "completed"
    assert loop.settled[3].text == f"refund {len(refunds)}"
    assert desk.bank.refunds == refunds


def test_a_live_fork_makes_another_unique_effect_after_another_result() -> None:
    def reply(messages: list[dict[str, Any]]) -> Reply:
        told = [message["content"] for message in messages if message["role"] == "tool"]
        order = 9 if told and "lost" in told[0] else 7
        replies: list[Reply] = [
            [("c1", "find_order", {"order": 7})],
            [("c2", "refund", {"order": order, "amount": 5})],
            "Done.",
        ]
        return replies[len(told)]

    with Engine(effects={"refund": Effect(unique_by=("order",))}) as engine:
        desk = Desk(engine, reply)
        first, _ = desk.ask("q-1")
        desk.fork(first.run, "q-2", at=2, result="lost", live_effects=True)
        desk.ask("q-2")

    assert desk.bank.refunds == [(7, 5), (9, 5)]


def test_the_same_fork_made_again_is_the_run_that_it_has() -> None:
    with Engine(effects=["refund"]) as engine:
        desk = Desk(engine)
        first, _ = desk.ask("q-1")
        run = desk.fork(first.run, "q-2", at=2, result="lost")
        desk.ask("q-2")
        again = desk.fork(first.run, "q-2", at=2, result="lost")
        for other in ({"at": 4}, {"at": 2, "result": "found"}, {"at": 2}, {"at": 2, "live_effects": True}):
            with pytest.raises(Misused, match=f"'q-2' belongs to run {run}"):
                desk.fork(first.run, "q-2", **other)
        with pytest.raises(Misused, match=f"'q-1' belongs to run {first.run}"):
            desk.fork(first.run, "q-1", at=2)

    assert again == run


def test_without_a_request_id_of_its_own_it_is_said_how_to_fork() -> None:
    with Engine(effects=["refund"]) as engine:
        desk = Desk(engine)
        run = desk.ask("q-1")[0].run
        with pytest.raises(Misused, match=rf"seawall fork {run} --at STEP --request-id ID, .* request_id=ID"):
            engine.call(lambda sea: sea.fork(run, at=2))
        with pytest.raises(Misused, match="no team"):
            engine.call(lambda sea: sea.fork(run, engine.make_team("own"), at=2, request_id="q-2"))
        with pytest.raises(Misused, match="is an effect: its receipt says what happened"):
            desk.fork(run, "q-2", at=4, result="never made")
        runs = engine.call(lambda sea: sea.journal.runs())

    assert [row.run for row in runs] == [run]


def test_a_secret_is_no_request_id_of_a_fork() -> None:
    secret = "sk-proj-" + "a1B2c3D4e5F6g7H8" * 3
    with Engine(effects=["refund"]) as engine:
        desk = Desk(engine)
        first, _ = desk.ask("q-1")
        with pytest.raises(Misused, match="request_id holds what looks like a secret"):
            desk.fork(first.run, secret, at=4)


def test_a_fork_that_was_broken_off_goes_on_in_another_process(tmp_path: Path) -> None:
    journal = tmp_path / "desk.db"
    with Engine(journal, effects=["refund"]) as engine:
        desk = Desk(engine)
        first, _ = desk.ask("q-1")
        desk.fork(first.run, "q-2", at=2)
        loop = ScriptedLoop(REPLIES, {})
        with engine.begin(REQUEST, loop="own", request_id="q-2") as session:
            loop.messages = [{"role": "user", "content": REQUEST}]
            session.step_sync(session.model("clerk", "test:m", loop.messages), loop.call_model)

    with Engine(journal, effects=["refund"]) as engine:
        desk = Desk(engine)
        forked, loop = desk.ask("q-2")

    assert forked.status == "completed"
    assert loop.model_calls == 3, "the first reply is recorded"
    assert desk.bank.refunds == []


def test_a_halted_run_is_forked_with_other_limits() -> None:
    with Engine(effects=["refund"]) as engine:
        desk = Desk(engine)
        with pytest.raises(Halted) as halted:
            desk.ask("q-1", limits=Limits(tool_calls=2))
        run = halted.value.outcome.run
        with pytest.raises(Misused, match=r"tool_calls is 1, and run .* has spent 2"):
            desk.fork(run, "q-2", limits=Limits(tool_calls=1), by="ann")
        desk.fork(run, "q-2", limits=Limits(tool_calls=3), by="ann", reason="one more")
        forked, _ = desk.ask("q-2")

    assert (forked.status, forked.tool_calls) == ("completed", 3)
    assert desk.bank.refunds == [(7, 5)]


def test_an_approval_that_was_not_used_is_not_inherited() -> None:
    with Engine(effects={"refund": Effect(approve=always())}, authenticate=identify) as engine:
        desk = Desk(engine)
        with pytest.raises(Held) as held:
            desk.ask("q-1")
        engine.call(approve)
        desk.fork(held.value.run, "q-2", at=3, live_effects=True)
        with pytest.raises(Held) as anew:
            desk.ask("q-2")

    assert anew.value.proposal != held.value.proposal
    assert desk.bank.refunds == []


def test_a_hand_off_goes_on_in_its_frame() -> None:
    made: list[int] = []

    def ask(engine: Engine, request_id: str) -> str:
        def read(turn: Any) -> tuple[str, None]:
            made.append(turn.arguments["page"])
            return f"page {turn.arguments['page']}", None

        with engine.begin("Read", loop="own", request_id=request_id) as session:
            frame = session.open_frame_sync(session.handoff("lead", "reader", "Read two pages"))
            told = [
                session.step_sync(session.tool("reader", "read", {"page": page}, frame=frame), read)
                for page in (1, 2)
            ]
            session.close_frame_sync(frame, "; ".join(each.settled.text for each in told))
            return session.end_sync("Read.").run

    with Engine() as engine:
        first = ask(engine, "q-1")
        events = engine.call(lambda sea: sea.journal.events(first))
        reads = [event.step for event in events if isinstance(event, StepDone)]
        engine.call(lambda sea: sea.fork(first, at=reads[0], request_id="q-2"))
        ask(engine, "q-2")

    assert made == [1, 2, 2]


@given(at=st.integers(1, 7), live=st.booleans())
def test_a_fork_after_any_step_makes_what_follows_and_nothing_else(at: int, live: bool) -> None:
    with Engine(effects={"refund": Effect(unique_by=("order",))}) as engine:
        desk = Desk(engine)
        first, _ = desk.ask("q-1")
        desk.fork(first.run, "q-2", at=at, live_effects=live)
        forked, loop = desk.ask("q-2")

    assert (forked.answer, forked.model_calls) == (first.answer, first.model_calls)
    assert [settled.replayed for settled in loop.settled] == [step <= at for step in range(1, 8)]
    assert loop.model_calls == sum(step > at for step in (1, 3, 5, 7))
    assert len(loop.tool_calls) == sum(step > at for step in (2, 6))
    assert desk.bank.refunds == [(7, 5)]
