"""A caller may be cancelled at any moment of its ask: the run is begun once, and the call is made once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from seawall import Engine, Seawall
from seawall.core.events import Event, StepIntended
from seawall.run.state import RunState
from seawall.runtime.foreign.asked import ToolAsk
from seawall.runtime.foreign.asks import Ask, Asks, Turn
from seawall.runtime.foreign.session import Session


class SlowStart:
    """Holds a run that begins until it is told to go on."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.goes_on = threading.Event(), threading.Event()
        self._start = engine.sea.start
        monkeypatch.setattr(engine.sea, "start", self._wait_and_start)

    async def _wait_and_start(self, *given: Any, **options: Any) -> Any:
        self.begun.set()
        await asyncio.to_thread(self.goes_on.wait, 30)
        return await self._start(*given, **options)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(effects=["pay"]) as engine:
        yield engine


async def pay(turn: Turn) -> tuple[str, None]:
    return f"paid in step {turn.step}", None


def let_it_go_once_recorded(session: Session) -> Future[str]:
    """Withdraws the next ask in the moment in which its intent is recorded. The future is the name of its tool."""
    team = session.team
    assert team is not None
    asks, went, learn = team.asks, Future[str](), team.asks.on_event

    def withdraw(event: Event, before: RunState) -> None:
        learn(event, before)
        if isinstance(event, StepIntended) and not went.done():
            ask = asks.find(event.frame, event.call)
            assert ask is not None
            asks.withdraw(ask)
            went.set_result(ask.name)

    asks.on_event = withdraw
    return went


async def count_runs(sea: Seawall) -> tuple[int, int]:
    return len(await sea.journal.runs(limit=10)), len(sea.supervisor.registry.drivers)


async def cancel_while_it_begins(session: Session, slow: SlowStart) -> None:
    asking = asyncio.create_task(session.step(session.tool("clerk", "pay", {"order": 7}), pay))
    await asyncio.to_thread(slow.begun.wait, 30)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    slow.goes_on.set()


def test_a_caller_that_is_cancelled_while_the_run_begins_has_begun_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> tuple[str, tuple[int, int]]:
        session = engine.begin("Pay", loop="own")
        await cancel_while_it_begins(session, SlowStart(engine, monkeypatch))
        done = await session.step(session.tool("clerk", "pay", {"order": 7}), pay)
        return done.settled.text, await engine.call_async(count_runs)

    text, counted = asyncio.run(run())

    assert text.startswith("paid")
    assert counted == (1, 1)


def test_a_run_whose_first_caller_was_cancelled_is_let_go_of(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> tuple[int, int]:
        session = engine.begin("Pay", loop="own")
        await cancel_while_it_begins(session, SlowStart(engine, monkeypatch))
        await session.detach()
        return await engine.call_async(count_runs)

    assert asyncio.run(run()) == (1, 0)


def test_a_call_whose_caller_goes_once_it_is_recorded_is_made_when_it_is_asked_for_again(
    engine: Engine,
) -> None:
    async def run() -> tuple[str, str]:
        session = engine.begin("Pay", loop="own")
        await session.step(session.tool("clerk", "find", {}), pay)
        went = let_it_go_once_recorded(session)
        asking = asyncio.create_task(session.step(session.tool("clerk", "pay", {"order": 7}), pay))
        gone = await asyncio.wrap_future(went)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        done = await session.step(session.tool("clerk", "pay", {"order": 7}), pay)
        return gone, done.settled.text

    assert asyncio.run(run()) == ("pay", "paid in step 3")


def test_an_ask_that_was_withdrawn_before_its_turn_is_given_none() -> None:
    async def run() -> str:
        asks = Asks()
        ask = Ask(ToolAsk("clerk", "pay", {}), "0/c1")
        asks.add(ask)
        asks.withdraw(ask)  # its step was recorded, and is about to be performed
        return (await asks.begin(ask, Turn(step=1), None)).status

    assert asyncio.run(run()) == "withdrawn"
