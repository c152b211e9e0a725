"""An engine without a thread of its own works on the event loop that has opened it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.scripted_loop import USAGE, ScriptedLoop
from seawall import Broken, Engine, Limits, Misused, Refused
from seawall.runtime.foreign.asks import Halted, Turn
from seawall.runtime.foreign.results import ModelResult, make_tool_result
from seawall.runtime.foreign.session import Session


def make_engine(journal: Path, **options: Any) -> Engine:
    return Engine(journal, effects=["refund"], thread=False, **options)


async def ask_model(session: Session) -> str:
    async def perform(turn: Turn) -> tuple[ModelResult, None]:
        await asyncio.sleep(0)
        return ModelResult("", [("c1", "look", '{"order":1}')], usage=USAGE), None

    return (await session.step(session.model("clerk", "test:m", ["hi"]), perform)).settled.calls[0][1]


async def call_tool(session: Session, name: str, order: int, call_id: str = "") -> str:
    async def perform(turn: Turn) -> tuple[Any, None]:
        await asyncio.sleep(0)
        return make_tool_result(f"order {turn.arguments['order']} is paid"), None

    asked = session.tool("clerk", name, {"order": order}, call_id=call_id)
    return (await session.step(asked, perform)).settled.text


def count_threads() -> int:
    return sum(thread.name == "seawall-engine" for thread in threading.enumerate())


@pytest.mark.anyio
async def test_a_loop_answers_without_an_engines_thread(tmp_path: Path) -> None:
    before = count_threads()
    async with make_engine(tmp_path / "desk.db") as engine:
        async with engine.begin("Refund order 1", loop="own", agent="clerk", request_id="r-1") as session:
            assert await ask_model(session) == "look"
            assert await call_tool(session, "look", 1, "c1") == "order 1 is paid"
            assert await call_tool(session, "refund", 1, "c2") == "order 1 is paid"
            outcome = await session.end("done")
        assert count_threads() == before

    assert (outcome.status, outcome.answer, outcome.tool_calls) == ("completed", "done", 2)
    assert [(each.tool, each.state) for each in outcome.effects] == [("refund", "committed")]


@pytest.mark.anyio
async def test_the_next_engine_gives_its_steps_again(tmp_path: Path) -> None:
    async with (
        make_engine(tmp_path / "desk.db") as engine,
        engine.begin("Refund order 1", loop="own", request_id="r-1") as session,
    ):
        await ask_model(session)
        await call_tool(session, "refund", 1, "c2")

    with Engine(tmp_path / "desk.db", effects=["refund"]) as engine:
        session = engine.begin("Refund order 1", loop="own", request_id="r-1")
        again = await session.ask(session.tool("agent", "refund", {"order": 1}, call_id="c2"))
        await session.detach()

    assert (getattr(again, "replayed", None), getattr(again, "text", "")) == (True, "order 1 is paid")


@pytest.mark.anyio
async def test_guards_end_a_run_there_too(tmp_path: Path) -> None:
    async with make_engine(tmp_path / "desk.db", limits=Limits(tool_calls=3)) as engine:
        session = engine.begin("Refund order 1", loop="own", agent="clerk")
        for order in range(3):
            await call_tool(session, "look", order)
        with pytest.raises(Halted, match="tool_calls"):
            await call_tool(session, "look", 4)


@pytest.mark.anyio
async def test_many_runs_at_once_each_get_their_own_answers(tmp_path: Path) -> None:
    async def run(number: int) -> str | None:
        async with engine.begin(f"order {number}", loop="own", agent="clerk") as session:
            for _ in range(2):
                await ask_model(session)
            found = await asyncio.gather(*(call_tool(session, "look", number + each) for each in range(3)))
            return (await session.end(" ".join(found))).answer

    async with make_engine(tmp_path / "desk.db") as engine:
        answers = await asyncio.gather(*(run(100 * number) for number in range(8)))

    assert answers == [
        " ".join(f"order {100 * number + each} is paid" for each in range(3)) for number in range(8)
    ]


@pytest.mark.anyio
async def test_steps_come_from_other_threads_and_other_event_loops(tmp_path: Path) -> None:
    desk = ScriptedLoop([[("c1", "look", {"order": 1})], "It is paid."], {"look": lambda order: "paid"})

    def run_sync() -> str | None:
        with engine.begin("order 1", loop="own") as session:
            return session.end_sync(desk.run_sync(session, "order 1")).answer

    async def run() -> str:
        async with engine.begin("order 2", loop="own", agent="clerk") as session:
            return await call_tool(session, "look", 2)

    async with make_engine(tmp_path / "desk.db") as engine:
        assert await asyncio.to_thread(run_sync) == "It is paid."
        assert await asyncio.to_thread(lambda: asyncio.run(run())) == "order 2 is paid"


@pytest.mark.anyio
async def test_a_sync_step_on_its_own_event_loop_is_misused(tmp_path: Path) -> None:
    performed: list[Turn] = []

    def perform(turn: Turn) -> tuple[str, None]:
        performed.append(turn)
        return "paid", None

    async with make_engine(tmp_path / "desk.db") as engine:
        session = engine.begin("order 1", loop="own")
        with pytest.raises(Misused, match="thread=True"):
            session.step_sync(session.tool("clerk", "look", {}), perform)
        with pytest.raises(Misused, match="thread=True"):
            engine.close()
    assert performed == []


@pytest.mark.parametrize(
    "use",
    [
        lambda engine: engine.__enter__(),
        lambda engine: engine.call(lambda sea: sea.approvals()),
        lambda engine: asyncio.run(call_tool(engine.begin("order 1", loop="own"), "look", 1)),
    ],
)
def test_before_an_event_loop_opens_it_nothing_passes(tmp_path: Path, use: Callable[[Engine], Any]) -> None:
    with pytest.raises(Misused, match="async with"):
        use(make_engine(tmp_path / "desk.db"))


def test_after_its_event_loop_nothing_passes(tmp_path: Path) -> None:
    async def work() -> Engine:
        async with make_engine(tmp_path / "desk.db") as engine:
            await call_tool(engine.begin("order 1", loop="own"), "look", 1)
        return engine

    engine = asyncio.run(work())
    engine.close()
    with pytest.raises(Misused, match="closed"):
        engine.call(lambda sea: sea.approvals())
    with pytest.raises(Misused, match="closed"):
        asyncio.run(call_tool(engine.begin("order 1", loop="own"), "look", 1))


@pytest.mark.anyio
async def test_closing_tells_whoever_waits_and_leaves_the_rest_of_the_event_loop_alone(
    tmp_path: Path,
) -> None:
    other = asyncio.create_task(asyncio.Event().wait())
    begun = asyncio.Event()

    async def perform(turn: Turn) -> tuple[str, None]:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("it is given up")

    async with make_engine(tmp_path / "desk.db") as engine:
        session = engine.begin("order 1", loop="own")
        asked = session.tool("clerk", "look", {"order": 1})
        waiting = asyncio.create_task(session.step(asked, perform))
        same = asyncio.create_task(asyncio.to_thread(lambda: session.ask_sync(asked)))
        await begun.wait()

    for each in (waiting, same):
        with pytest.raises((Broken, Misused, Refused)):  # it is closed, or the run still its own a moment ago
            await each
    assert not other.done()
    other.cancel()


@pytest.mark.anyio
async def test_another_thread_may_close_it(tmp_path: Path) -> None:
    async with make_engine(tmp_path / "desk.db") as engine:
        await call_tool(engine.begin("order 1", loop="own"), "look", 1)
        await asyncio.to_thread(engine.close)
        with pytest.raises(Misused, match="closed"):
            await call_tool(engine.begin("order 2", loop="own"), "look", 1)


@pytest.mark.parametrize("thread", [True, False])
@pytest.mark.anyio
async def test_what_is_called_has_the_context_of_its_own_caller(tmp_path: Path, thread: bool) -> None:
    caller = contextvars.ContextVar("caller", default=-1)

    async def read(sea: Any) -> int:
        return caller.get()

    async def call(number: int) -> int:
        caller.set(number)
        return await engine.call_async(read)

    async with Engine(tmp_path / "desk.db", thread=thread) as engine:
        assert await asyncio.gather(*(call(number) for number in range(6))) == list(range(6))
