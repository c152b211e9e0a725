"""A run whose steps a framework's loop asked for is decided again from its record, without a team."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.scripted_loop import ScriptedLoop
from seawall import (
    ALLOW,
    Agent,
    Effect,
    Guard,
    Hold,
    Limits,
    Loops,
    Misused,
    Price,
    Principal,
    Seawall,
    Team,
    always,
)
from seawall.core.events import Mode
from seawall.history.replay import Replay
from seawall.runtime.foreign.asks import Halted, Held
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Session
from seawall.testing import ScriptedModel, say

EFFECTS = {"refund": True, "pay": Effect(approve=always())}
PRICES = {"test:m": Price(Decimal(1000), Decimal(1000))}
"""Dollars for a million tokens: a call costs some cents."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "desk.db", effects=EFFECTS, prices=PRICES) as engine:
        yield engine


def replay(
    engine: Engine, run: str | None, limits: Limits | None = None, modes: dict[str, Mode] | None = None
) -> Replay:
    """Decides again over a run in another `Seawall`, which knows nothing of the application but its journal."""
    assert run is not None
    return engine.call(lambda sea: sea.replay(run, limits=limits, modes=modes))


def differences(found: Replay) -> list[tuple[int | None, str, str]]:
    return [(each.step, each.recorded, each.today) for each in found.differences]


def identify(credential: Any) -> Principal:
    return Principal(str(credential))


def decide(engine: Engine, held: Held) -> None:
    """A person approves of what is held, or says that it has happened."""

    async def approve(sea: Seawall) -> None:
        if held.proposal:
            await sea.decide(held.run, held.step, approve=True, credential="boss")
        else:
            await sea.reconcile(held.run, step=held.step, committed="paid", credential="boss")

    engine.call(approve)


def look(session: Session, count: int, frame: int = 0) -> None:
    """Asks for so many calls that each say something new."""
    for number in range(count):
        asked = session.tool("clerk", "look", {"page": number}, frame=frame)
        session.step_sync(asked, lambda turn: (f"page {turn.arguments['page']} says {turn.step}", None))


def poll(session: Session, request: str) -> str:
    """Asks for the same call until a guard halts the run."""
    loop = ScriptedLoop(
        lambda messages: [(f"c{len(messages)}", "find", {"order": 7})], {"find": lambda order: "not found"}
    )
    return loop.run_sync(session, request)


def stop_at(engine: Engine, calls: int, **options: Any) -> str:
    """Returns a run that was halted at its limit of tool calls."""
    session = engine.begin("Look", loop="own", limits=Limits(tool_calls=calls), **options)
    with session, pytest.raises(Halted) as halted:
        look(session, calls + 1)
    return halted.value.outcome.run


def test_a_run_with_effects_and_a_hand_off_is_decided_the_same(engine: Engine) -> None:
    desk = ScriptedLoop(
        [[("c1", "find", {"order": 1})], [("c2", "refund", {"order": 1})], "Done."],
        {"find": lambda order: "paid", "refund": lambda order: "rc-1"},
    )
    with engine.begin("Refund order 1", loop="own", agent="the clerk", request_id="q-1") as session:
        frame = session.open_frame_sync(session.handoff("the clerk", "helper", "Look it up", call_id="h"))
        look(session, 2, frame)
        session.close_frame_sync(frame, "It is there")
        answer = desk.run_sync(session, "Refund order 1")
        outcome = session.end_sync(answer)

    found = replay(engine, outcome.run)
    assert differences(found) == []
    assert found.steps == 8


def test_a_run_that_was_held_and_went_on_in_another_segment_is_decided_the_same(tmp_path: Path) -> None:
    paid: list[int] = []

    def pay(order: int) -> str:
        paid.append(order)
        if len(paid) == 1:
            raise ConnectionError("the bank hung up")
        return "paid"

    replies = [
        [("c1", "look", {"page": 1})],
        [("c2", "pay", {"order": 1})],
        [("c3", "pay", {"order": 2})],
        "Paid.",
    ]
    run, segments = None, 0
    while run is None:
        segments += 1
        with Engine(tmp_path / "desk.db", effects=EFFECTS, authenticate=identify) as engine:
            desk = ScriptedLoop(replies, {"look": lambda page: "a page", "pay": pay})
            try:
                with engine.begin("Pay", loop="own", request_id="q-1") as session:
                    run = session.end_sync(desk.run_sync(session, "Pay")).run
            except Held as held:
                decide(engine, held)
    assert (segments, paid) == (4, [1, 2]), "held, in doubt, held, done"

    with Engine(tmp_path / "desk.db") as other:
        found = replay(other, run)
    assert differences(found) == []
    assert found.steps == 10


def test_a_tighter_limit_is_named_with_step_value_and_limit(engine: Engine) -> None:
    with engine.begin("Look", loop="own") as session:
        look(session, 4)
        outcome = session.end_sync("Seen.")

    found = replay(engine, outcome.run, Limits(tool_calls=2))
    assert differences(found) == [
        (3, "tool 'look' by 'clerk': allow", "halt by 'limits': tool 'look': tool_calls would be 3 (limit 2)")
    ]
    assert found.differences[0].unmade == 2


def test_money_counts_as_it_was_reserved(engine: Engine) -> None:
    desk = ScriptedLoop(["Hello."], {})
    with engine.begin("Hello", loop="own") as session:
        outcome = session.end_sync(desk.run_sync(session, "Hello"))

    assert replay(engine, outcome.run, Limits(usd=Decimal(1000))).differences == ()
    (halted,) = replay(engine, outcome.run, Limits(usd=Decimal("0.000001"))).differences
    assert "usd could reach" in halted.today


@pytest.mark.parametrize(
    ("limits", "today"),
    [
        (Limits(tool_calls=1), "halt by 'limits': tool 'look': tool_calls would be 2 (limit 1)"),
        (Limits(tool_calls=2), None),
        (Limits(tool_calls=3, warn_at=1), "goes on: tool_calls would be 3 (limit 3)"),
    ],
)
def test_a_halt_at_a_limit_is_compared_by_the_value_on_record(
    engine: Engine, limits: Limits, today: str | None
) -> None:
    run = stop_at(engine, 2)
    assert [each.today for each in replay(engine, run, limits).differences] == ([today] if today else [])
    assert replay(engine, run).differences == ()


def test_a_guard_in_another_mode_is_named(engine: Engine) -> None:
    with engine.begin("Poll", loop="own") as session, pytest.raises(Halted) as halted:
        poll(session, "Poll")
    stopped = halted.value.outcome.stopped_by
    assert stopped is not None and stopped.guard == "loops"

    assert replay(engine, halted.value.outcome.run).differences == ()
    (off, *_) = replay(engine, halted.value.outcome.run, modes={"loops": "off"}).differences
    assert off.what == "verdict"
    run = stop_at(engine, 2)
    (off, *_) = replay(engine, run, modes={"limits": "observe"}).differences
    assert off.today == "goes on: guard 'limits' is in mode observe"


def test_a_stricter_guard_halts_a_run_that_was_only_observed(engine: Engine) -> None:
    polls = 6
    with engine.begin("Poll", loop="own", modes={"loops": "observe"}) as session:
        for number in range(polls):
            asked = session.tool("clerk", "find", {"order": 7}, call_id=f"c{number}")
            session.step_sync(asked, lambda turn: ("not found", None))
        outcome = session.end_sync("Not found.")

    halts = replay(engine, outcome.run, modes={"loops": "enforce"}).differences
    assert halts and "halt" in halts[-1].today


class Asks(Guard):
    """A guard of the application."""

    name = "asks"

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        return Hold("a person must look") if step.name == "look" else ALLOW


def test_the_verdict_of_a_guard_that_is_not_here_stands(tmp_path: Path) -> None:
    with Engine(tmp_path / "desk.db", guards=[Loops(), Asks()]) as engine:
        session = engine.begin("Look", loop="own", request_id="q-1")
        with session, pytest.raises(Held) as held:
            look(session, 1)
    with Engine(tmp_path / "desk.db") as other:
        assert replay(other, held.value.run).differences == ()


def test_a_secret_that_is_not_stored_is_judged_by_nobody(tmp_path: Path) -> None:
    key = "sk-ant-api03-" + "a1B2" * 12
    with Engine(tmp_path / "desk.db") as engine, engine.begin("Look", loop="own") as session:
        session.step_sync(session.tool("clerk", "look", {"key": key}), lambda turn: ("seen", None))
        run = session.end_sync("Seen.").run
    with Engine(tmp_path / "desk.db") as other:
        found = replay(other, run)
    assert (found.steps, found.differences) == (1, ())


def test_a_run_of_seawalls_own_needs_its_team(engine: Engine) -> None:
    async def run_and_replay(sea: Seawall) -> Replay:
        run = await sea.start(Team(Agent("desk", model=ScriptedModel([say("Hello.")]))), "Hello")
        await run.outcome()
        return await sea.replay(run.id)

    with pytest.raises(Misused, match="give the team 'desk'"):
        engine.call(run_and_replay)
