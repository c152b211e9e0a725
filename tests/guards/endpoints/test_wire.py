"""The same over a provider's real client and sockets on loopback; time is a manual clock's alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from seawall import Agent, EndpointOptions, Seawall
from seawall.models.providers import resolve
from seawall.testing import ManualClock
from seawall.testing.faults import Answer, overloaded, rate_limited, spend_limited
from seawall.testing.model_server import ModelServer
from seawall.testing.wire import ChatRequest
from testing.loopback import io_until, tick_until

RUNS = 100
STORM_S = 20.0


@pytest.mark.parametrize(
    ("fault", "most"),
    [(overloaded(), 110), (overloaded(503), 110), (rate_limited(3), 110), (spend_limited(), 101)],
    ids=["F18 529", "F18 503", "F16", "F17"],
)
def test_a_hundred_runs_in_flight_add_little_to_a_storm(fault: Answer, most: int) -> None:
    async def play() -> None:
        clock, all_there = ManualClock(), asyncio.Event()
        in_storm = 0

        async def answer(request: ChatRequest) -> Answer:
            nonlocal in_storm
            if clock.monotonic_s() >= STORM_S:
                return "All is well."
            in_storm += 1
            await all_there.wait()
            return fault

        async with (
            ModelServer(answer) as server,
            resolve("openai:storm", base_url=server.base_url, clock=clock) as model,
            Seawall(clock=clock, environment={}, endpoints={"model": EndpointOptions(jitter=0.0)}) as sea,
        ):
            agent = Agent("desk", model=model)
            runs = [await sea.start(agent, "go") for _ in range(RUNS)]
            outcomes: Any = asyncio.gather(*(run.outcome() for run in runs))
            await io_until(lambda: server.request_count == RUNS)
            all_there.set()
            await tick_until(clock, outcomes.done, step_s=0.25)
            ended = {each.status for each in outcomes.result()}
            assert ended == {"failed" if fault == spend_limited() else "completed"}
            assert server.request_count == (RUNS if fault == spend_limited() else RUNS + in_storm)

            late = [await sea.start(agent, "go") for _ in range(10)]
            later: Any = asyncio.gather(*(run.outcome() for run in late))
            await tick_until(clock, later.done, step_s=0.25)
            statuses = [each.status for each in later.result()]
            breaker = sea.endpoints["model:openai:storm"].breaker

            assert RUNS <= in_storm <= most
            assert breaker.in_flight == 0
            if fault == spend_limited():
                assert (statuses, breaker.phase.state) == (["refused"] * 10, "open")
            else:
                assert (statuses, breaker.phase.state) == (["completed"] * 10, "closed")

    asyncio.run(play())
