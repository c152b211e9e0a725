"""An engine closes whoever closes it, whatever its caller is doing, and however busy the caller's threads are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seawall import Effect, Engine, Misused, Seawall, always
from seawall.core.errors import Broken
from seawall.runtime.foreign.asks import Held


def ends(work: Callable[[], Any]) -> Any:
    """Returns what the work returns, or the error that it raises. A thread that hangs does not hold the tests."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:  # noqa: BLE001 -- the test looks at it
            done.set_result(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(30)


@contextmanager
def held_default_executor() -> Iterator[None]:
    """Holds the only thread of asyncio's default executor of the running loop."""
    release = threading.Event()
    loop, pool = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    loop.set_default_executor(pool)
    pool.submit(release.wait)
    try:
        yield
    finally:
        release.set()


def list_engine_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "seawall-engine"]


def look(engine: Engine) -> str:
    with engine.begin("Where is it?", loop="own") as session:
        return session.step_sync(session.tool("clerk", "look", {}), lambda turn: ("here", None)).settled.text


def test_an_engine_closes_while_the_default_executor_of_its_caller_is_held() -> None:
    async def main() -> None:
        engine = Engine()
        await engine.call_async(lambda sea: sea.approvals())
        with held_default_executor():
            await engine.aclose()

    assert ends(lambda: asyncio.run(main())) is None


def test_an_engine_that_is_closed_by_its_own_event_loop_says_so_at_once() -> None:
    with Engine() as engine:

        async def close(sea: Seawall) -> None:
            await engine.aclose()

        with pytest.raises(Misused, match="own event loop"):
            engine.call(close)
        assert look(engine) == "here"


def test_what_gives_a_run_back_while_its_engine_closes_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A loop lets go of its run, and the engine is closed at the same moment: the run's lease is given back."""

    async def main() -> None:
        engine = Engine(tmp_path / "desk.db", thread=False)
        async with engine:
            session = engine.begin("Look", loop="own", request_id="q-1")
            await session.ask(session.tool("clerk", "look", {}))
            supervisor = engine.sea.supervisor
            [driver] = supervisor.registry.drivers.values()
            driver.give_up(Broken("its loop has let go of it"), closing=True)

            async def give_back() -> None:
                for _ in range(200):  # rounds of the event loop in which the engine closes
                    await asyncio.sleep(0)
                await supervisor.release(driver.lease)

            async def begin() -> None:
                await asyncio.sleep(0)
                supervisor.start_task(give_back())

            supervisor.start_task(begin())

    with caplog.at_level("WARNING", "seawall"):
        asyncio.run(main())
    assert caplog.messages == []
    with Engine(tmp_path / "desk.db") as engine:
        [row] = engine.call(lambda sea: sea.journal.runs())
    assert (row.state, row.owner) == ("interrupted", None)


def test_a_signal_handler_closes_an_engine_in_the_middle_of_an_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    assert look(engine) == "here"
    loop = engine._loop
    assert loop is not None
    call_soon = loop.call_soon_threadsafe

    def close_first(*arguments: Any, **options: Any) -> Any:
        monkeypatch.undo()
        engine.close()
        return call_soon(*arguments, **options)

    monkeypatch.setattr(loop, "call_soon_threadsafe", close_first)

    assert isinstance(ends(lambda: look(engine)), Misused)


def test_a_signal_handler_closes_an_engine_that_is_about_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, closed, before = Engine(), list[bool](), list_engine_threads()
    result = Future[Any].result

    def close_first(future: Future[Any], timeout: float | None = None) -> Any:
        if not closed and threading.current_thread().name != "seawall-engine":
            closed.append(True)
            engine.close()
        return result(future, timeout)

    def ask() -> str:
        monkeypatch.setattr(Future, "result", close_first)
        try:
            return look(engine)
        finally:
            monkeypatch.undo()

    done = threading.Event()
    found = list[Any]()

    def run() -> None:
        try:
            found.append(ask())
        except Misused as error:
            found.append(error)
        done.set()

    threading.Thread(target=run, daemon=True).start()
    assert done.wait(30)

    assert isinstance(found[0], Misused)
    assert list_engine_threads() == before


def test_whoever_was_interrupted_while_an_engine_opened_may_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, interrupted, before = Engine(), list[bool](), list_engine_threads()
    result = Future[Any].result

    def interrupt(future: Future[Any], timeout: float | None = None) -> Any:
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return result(future, timeout)

    monkeypatch.setattr(Future, "result", interrupt)
    with engine:
        with pytest.raises(KeyboardInterrupt):
            look(engine)
        assert look(engine) == "here"
        assert len(list_engine_threads()) == len(before) + 1


def test_callers_that_wait_are_told_that_the_engine_was_closed() -> None:
    engine, has_turn, release = Engine(), threading.Event(), threading.Event()
    session = engine.begin("Where is it?", loop="own")

    def perform(turn: Any) -> tuple[str, None]:
        has_turn.set()
        assert release.wait(30)
        return "here", None

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(session.step_sync, session.tool("clerk", "look", {}), perform)
        assert has_turn.wait(30)
        second = pool.submit(session.end_sync, "done")
        engine.close()
        release.set()
        assert isinstance(first.exception(30), Misused)
        assert isinstance(second.exception(30), Broken)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=["interrupt", "exit"])
def test_what_ends_a_program_ends_no_engine_when_code_on_its_event_loop_raises_it(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    async def fail_soon(sea: Seawall) -> None:
        asyncio.get_running_loop().call_soon(fail)

    with Engine() as engine:
        engine.call(fail_soon)
        assert look(engine) == "here"

    assert type(error).__name__ in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=["interrupt", "exit"])
def test_a_preview_that_raises_what_ends_a_program_is_a_preview_that_failed(error: BaseException) -> None:
    async def preview(**arguments: Any) -> str:
        raise error

    with Engine(effects={"pay": Effect(approve=always(), preview=preview)}) as engine:
        session = engine.begin("Pay", loop="own")
        with pytest.raises(Held):
            session.step_sync(session.tool("clerk", "pay", {"order": 7}), lambda turn: ("paid", None))
        assert look(engine) == "here"
