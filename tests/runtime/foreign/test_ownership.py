"""An effect of a loop that others own is made only while the run is this process's, whatever kept its asker waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from seawall import Engine
from seawall.core.clock import SystemClock
from seawall.core.errors import Broken, Fenced
from seawall.engine.ownership import MAX_LOOKS, RECENT_S, LeaseCheck
from seawall.journal.protocol import Command
from seawall.journal.sqlite import SqliteJournal
from seawall.runtime.foreign.asks import Ask, Halted
from seawall.runtime.foreign.session import Session

ASKED = Session.tool("clerk", "pay", {"order": 7}, call_id="c1")


class LateClock(SystemClock):
    """A clock that can be told that time has gone by."""

    late_s = 0.0

    def boottime_s(self) -> float:
        return super().boottime_s() + self.late_s


def interrupt_turns(monkeypatch: pytest.MonkeyPatch, interrupt: Callable[[], Any]) -> None:
    """Has something happen between the turn of an asker and what it does with it."""
    give_turn = Ask.give_turn

    def interrupt_and_give(ask: Ask, turn: Any) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(interrupt).result(30)
        give_turn(ask, turn)

    monkeypatch.setattr(Ask, "give_turn", interrupt_and_give)


def take_run(path: Path) -> None:
    async def take() -> None:
        journal = SqliteJournal.open(str(path), clock=SystemClock())
        (row,) = await journal.runs()
        await journal.take(row.run, force=True)
        await journal.close()

    asyncio.run(take())


def step_sync(session: Session, made: list[str]) -> None:
    session.step_sync(ASKED, lambda turn: (made.append("paid") or "paid", None))


def step(session: Session, made: list[str]) -> None:
    async def perform(turn: Any) -> tuple[str, None]:
        made.append("paid")
        return "paid", None

    asyncio.run(_step(session, perform))


async def _step(session: Session, perform: Any) -> None:
    await session.step(ASKED, perform)


def ask_sync(session: Session, made: list[str]) -> None:
    session.ask_sync(ASKED)
    made.append("paid")


def ask(session: Session, made: list[str]) -> None:
    asyncio.run(_ask(session))
    made.append("paid")


async def _ask(session: Session) -> None:
    await session.ask(ASKED)


WAYS = (step_sync, step, ask_sync, ask)


@pytest.mark.parametrize("way", WAYS)
def test_an_effect_whose_asker_came_late_is_not_made_once_its_run_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[Session, list[str]], None]
) -> None:
    clock, made, path = LateClock(), list[str](), tmp_path / "j.db"

    def lose_run() -> None:
        take_run(path)
        clock.late_s += 2 * RECENT_S

    with Engine(path, effects=["pay"], clock=clock) as engine:
        session = engine.begin("Pay order 7", loop="own", request_id="r-1")
        interrupt_turns(monkeypatch, lose_run)
        with pytest.raises(Fenced):
            way(session, made)

    assert made == []


@pytest.mark.parametrize("way", WAYS)
def test_an_asker_that_came_late_makes_its_effect_if_the_run_is_still_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[Session, list[str]], None]
) -> None:
    clock, made = LateClock(), list[str]()

    def pass_time() -> None:
        clock.late_s += 2 * RECENT_S

    with Engine(tmp_path / "j.db", effects=["pay"], clock=clock) as engine:
        session = engine.begin("Pay order 7", loop="own", request_id="r-1")
        interrupt_turns(monkeypatch, pass_time)
        way(session, made)

    assert made == ["paid"]


@pytest.mark.parametrize("way", WAYS)
def test_an_effect_is_not_made_while_nobody_can_say_whose_the_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[Session, list[str]], None]
) -> None:
    looks, made = list[int](), list[str]()

    async def look_in_vain(check: LeaseCheck) -> None:
        looks.append(1)

    def know_nothing(check: LeaseCheck) -> None:
        return None

    with Engine(tmp_path / "j.db", effects=["pay"]) as engine:
        session = engine.begin("Pay order 7", loop="own", request_id="r-1")
        monkeypatch.setattr(LeaseCheck, "confirm", look_in_vain)
        monkeypatch.setattr(LeaseCheck, "find_deadline", know_nothing)
        with pytest.raises(Broken, match="too slowly"):
            way(session, made)

    assert (len(looks), made) == (MAX_LOOKS, [])


def test_the_turn_says_until_when_the_run_is_its_own(tmp_path: Path) -> None:
    clock, seen = LateClock(), list[Any]()

    def perform(turn: Any) -> tuple[str, None]:
        seen.append(turn.owned_until)
        return "paid", None

    with Engine(tmp_path / "j.db", effects=["pay"], clock=clock) as engine:
        session = engine.begin("Pay order 7", loop="own", request_id="r-1")
        session.step_sync(ASKED, perform)

    assert clock.wall_s() < seen[0] < clock.wall_s() + 60


@pytest.mark.parametrize("way", WAYS)
def test_an_effect_whose_asker_comes_after_the_end_of_its_run_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[Session, list[str]], None]
) -> None:
    made, has_turn = list[str](), threading.Event()

    def give_turn_late(ask: Ask, turn: Any) -> None:
        reply, ask.reply = ask.reply, None
        assert reply is not None
        ask.over.add_done_callback(lambda _: reply.give((ask, turn)))
        has_turn.set()

    monkeypatch.setattr(Ask, "give_turn", give_turn_late)
    with ThreadPoolExecutor(1) as pool, Engine(tmp_path / "j.db", effects=["pay"]) as engine:
        session = engine.begin("Pay order 7", loop="own", request_id="r-1")
        asking = pool.submit(way, session, made)
        assert has_turn.wait(30)
        (row,) = engine.call(lambda sea: sea.journal.runs())
        engine.call(lambda sea: sea.cancel(row.run, Command(kind="cancel", by="ops")))
        with pytest.raises(Halted):
            asking.result(30)

    assert made == []
