"""What a tool raises that is no failure: it ends the caller, and neither the engine nor the run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from seawall import Engine
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.session import Session


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(effects=["pay"]) as engine:
        yield engine


def look(session: Session) -> str:
    return session.step_sync(
        session.tool("clerk", "look", {}, call_id="c2"), lambda turn: ("seen", None)
    ).settled.text


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_tool_that_leaves_the_program_leaves_the_engine_at_work(
    engine: Engine, error: BaseException, is_async: bool
) -> None:
    def leave(turn: object) -> Any:
        raise error

    async def leave_async(turn: object) -> Any:
        raise error

    session = engine.begin("Look", loop="own")
    asked = session.tool("clerk", "look", {}, call_id="c1")
    with pytest.raises(type(error)):
        asyncio.run(session.step(asked, leave_async)) if is_async else session.step_sync(asked, leave)

    assert look(session) == "seen"
    assert session.end_sync("done").status == "completed"


def test_an_effect_during_which_the_program_is_left_is_in_doubt(engine: Engine) -> None:
    def leave(turn: object) -> Any:
        raise SystemExit(1)

    session = engine.begin("Pay", loop="own", request_id="r-1")
    asked = session.tool("clerk", "pay", {"order": 7})
    with pytest.raises(SystemExit):
        session.step_sync(asked, leave)
    with pytest.raises(Held):
        session.step_sync(asked, leave)


def test_a_caller_that_is_cancelled_while_it_brings_a_failure_leaves_no_step_open(engine: Engine) -> None:
    async def run() -> str:
        session = engine.begin("Look", loop="own")
        asked = session.tool("clerk", "look", {}, call_id="c1")

        async def fail(turn: object) -> Any:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            raise ValueError("not found")

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(session.step(asked, fail))
        return (await session.end("done")).status

    assert asyncio.run(run()) == "completed"


def test_a_call_that_was_made_while_its_caller_was_cancelled_is_given_again(engine: Engine) -> None:
    made: list[int] = []

    async def run() -> str:
        session = engine.begin("Pay", loop="own")
        asked = session.tool("clerk", "pay", {"order": 7})

        async def pay(turn: Any) -> Any:
            made.append(turn.step)
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            return "paid", None

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(session.step(asked, pay))
        return (await session.step(asked, pay)).settled.text

    assert asyncio.run(run()) == "paid"
    assert len(made) == 1
