"""Caps are exact over frameworks, threads, event loops and processes on one journal, by the model server's count."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.capped_worker import FRAMEWORKS, PRICE, load, make_engine, play_all
from seawall import Engine
from seawall.core.events import StepIntended
from seawall.journal.protocol import RunFilter
from seawall.models.protocol import Usage
from seawall.models.scripted import calls
from seawall.testing import ModelServer, call
from seawall.testing.faults import Answer
from seawall.testing.wire import ChatRequest, answer_json

TESTS = Path(__file__).parents[1]
USAGE = Usage(100, 50)
COST = (
    USAGE.input_tokens * PRICE.input_usd_per_mtok + USAGE.output_tokens * PRICE.output_usd_per_mtok
) / 1_000_000


class World:
    """The model's server: it never stops calling the tool, `at_once` in a reply, with other arguments each time."""

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self.origin = ""
        self.model_calls = self.tool_calls = 0
        self.sizes_bytes: list[int] = []
        """Of the model's requests."""

    def answer(self, request: ChatRequest) -> Answer:
        if request.path.startswith("/tools/"):
            self.tool_calls += 1
            return answer_json(200, f"order {request.body['order']} is paid")
        self.model_calls += 1
        self.sizes_bytes.append(len(json.dumps(request.body)))
        orders = [call("find_order", order=f"{request.number}-{n}") for n in range(self._at_once)]
        return calls(*orders, usage=USAGE)


@contextmanager
def serving(world: World) -> Generator[World]:
    """Serves on an event loop of its own, whatever the test does with this thread."""
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with ModelServer(world.answer, any_path=True) as server:
            world.origin = server.origin
            ready.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, stop = ready.result()
    try:
        yield world
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


class Worker:
    """A process with one framework."""

    def __init__(self, framework: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "adapters.capped_worker", framework],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def write(self, line: str = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Worker]]:
    """A process for each framework."""
    with ExitStack() as stack:
        made = [Worker(framework) for framework in FRAMEWORKS]
        for worker in made:
            stack.callback(worker.close)
        assert [worker.read() for worker in made] == ["ready"] * len(FRAMEWORKS)
        yield made


def play_in_processes(
    workers: list[Worker], world: World, journal: Path, caps: dict[str, Any], runs: int
) -> list[list[dict[str, Any]]]:
    """Has each process begin `runs` runs, all at the same moment; how they ended, by process."""
    job = {"journal": str(journal), "caps": caps, "origin": world.origin, "runs": runs}
    for worker in workers:
        worker.write(json.dumps(job))
    assert [worker.read() for worker in workers] == ["open"] * len(workers)
    for worker in workers:
        worker.write()
    return [json.loads(worker.read()) for worker in workers]


def check_told(ended: Sequence[dict[str, Any]], limit: str) -> None:
    """Every run was halted by the tenant's cap, and its caller was told so."""
    for one in ended:
        assert one.get("guard") == "budget", one
        assert one["limit"] == limit
        assert "acme" in one["told"], one


def test_model_calls_of_a_tenant_are_exact_over_processes_with_different_frameworks(
    workers: list[Worker], tmp_path: Path
) -> None:
    with serving(World()) as world:
        ended = play_in_processes(workers, world, tmp_path / "j.db", {"model_calls": 50}, runs=3)

    every = [one for of_process in ended for one in of_process]
    check_told(every, "tenant_day_model_calls=50")
    assert world.model_calls == 50
    assert sum(one["model_calls"] for one in every) == 50
    parts = [sum(one["model_calls"] for one in of_process) for of_process in ended]
    assert sum(part > 0 for part in parts) > 1, parts


def test_tool_calls_of_a_tenant_are_exact_where_each_process_asks_for_many_at_once(
    workers: list[Worker], tmp_path: Path
) -> None:
    with serving(World(at_once=9)) as world:
        ended = play_in_processes(workers, world, tmp_path / "j.db", {"tool_calls": 50}, runs=3)

    every = [one for of_process in ended for one in of_process]
    check_told(every, "tenant_day_tool_calls=50")
    assert world.tool_calls == 50
    assert sum(one["tool_calls"] for one in every) == 50


def test_money_of_a_tenant_is_never_above_its_cap_and_is_used_up(
    workers: list[Worker], tmp_path: Path
) -> None:
    cap = Decimal("0.03")
    with serving(World()) as world:
        ended = play_in_processes(workers, world, tmp_path / "j.db", {"usd": str(cap)}, runs=3)

    every = [one for of_process in ended for one in of_process]
    check_told(every, f"tenant_day_usd={cap}")
    spent = world.model_calls * COST
    assert spent <= cap
    assert all(Decimal(one["value"]) > cap for one in every)


@pytest.mark.parametrize(("one", "other"), [("langchain", "openai_agents"), ("openai_agents", "pydantic_ai")])
def test_two_engines_in_two_threads_on_one_file_share_a_cap(one: str, other: str, tmp_path: Path) -> None:
    load(one, other)
    ended: list[dict[str, Any]] = []
    barrier = threading.Barrier(2)

    def play(framework: str, engine: Engine, origin: str) -> None:
        barrier.wait()
        ended.extend(asyncio.run(play_all(engine, origin, [framework] * 2)))

    caps = {"tool_calls": 25}
    with (
        serving(World(at_once=3)) as world,
        make_engine(str(tmp_path / "j.db"), caps) as first,
        make_engine(str(tmp_path / "j.db"), caps) as second,
    ):
        threads = [
            threading.Thread(target=play, args=(framework, engine, world.origin))
            for framework, engine in ((one, first), (other, second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    check_told(ended, "tenant_day_tool_calls=25")
    assert world.tool_calls == sum(each["tool_calls"] for each in ended) == 25


@pytest.mark.parametrize("at_once", [10, 30])
def test_what_three_frameworks_ask_for_at_once_on_one_engine_is_twelve_of_twelve(at_once: int) -> None:
    with serving(World(at_once)) as world, make_engine(":memory:", {"tool_calls": 12}) as engine:
        ended = asyncio.run(play_all(engine, world.origin, FRAMEWORKS))
        reads = engine.coverage().reads

    check_told(ended, "tenant_day_tool_calls=12")
    assert world.tool_calls == sum(one["tool_calls"] for one in ended) == 12
    assert reads == {"find_order": 12}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_call_is_bounded_by_what_is_sent_and_not_by_what_the_framework_keeps(framework: str) -> None:
    """Else a limit on money halts a run that has spent a part of it."""
    rounds = 12
    with serving(World()) as world, make_engine(":memory:", {"model_calls": rounds}) as engine:
        asyncio.run(play_all(engine, world.origin, [framework]))
        (row,) = engine.call(lambda sea: sea.journal.runs(RunFilter(), limit=2))
        events = engine.call(lambda sea: sea.journal.events(row.run))

    bounds = [each.tokens - 100 for each in events if isinstance(each, StepIntended) and each.kind == "model"]
    assert len(bounds) == len(world.sizes_bytes) == rounds
    for bound, size_bytes in zip(bounds, world.sizes_bytes, strict=True):
        assert size_bytes / 2 < bound < size_bytes * 2
