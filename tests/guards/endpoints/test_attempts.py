"""Calls that are never answered: they are given up and made again, and a call that is merely slow is not."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall import Agent, EndpointOptions, Limits, Outcome, Seawall, Team, tool
from seawall.core.events import Event, StepDone
from seawall.guards.endpoints.attempts import KNOWN, LEAST_KNOWN, MAX_CALLERS, SHARE, Attempts
from seawall.models.protocol import ModelReply, ModelRequest, TextDelta
from seawall.models.providers import resolve
from seawall.testing import ManualClock, ScriptedModel, call, say, slow
from seawall.testing.faults import Answer, KeepAlives, Silence, SlowTokens
from seawall.testing.model_server import ModelServer
from seawall.testing.wire import ChatRequest
from testing.loopback import tick_until

FOREVER_S = 50_000.0


class Server:
    """A model that is silent until `over_s`: it never answers the calls that it gets before."""

    def __init__(self, clock: ManualClock, over_s: float, *, silent_s: float = FOREVER_S) -> None:
        self.clock, self.over_s, self.silent_s = clock, over_s, silent_s
        self.seen: list[float] = []
        self.model = ScriptedModel(self._answer, name="gpt", clock=clock)

    def _answer(self, request: ModelRequest) -> Any:
        self.seen.append(self.clock.monotonic_s())
        return say("fine") if self.clock.monotonic_s() >= self.over_s else slow(self.silent_s, say("late"))


def host(clock: ManualClock, **options: Any) -> Seawall:
    steady = EndpointOptions(jitter=0.0)
    given = {"tool": steady, "model": steady}
    return Seawall(
        **{"clock": clock, "environment": {}, "endpoints": given, "rng": random.Random(1), **options}
    )


async def outcomes(
    sea: Seawall, clock: ManualClock, team: Team | Agent, count: int = 1, **how: Any
) -> list[Outcome]:
    runs = [await sea.start(team, "go", **how) for _ in range(count)]
    return await clock.until(asyncio.gather(*(run.outcome() for run in runs)))


# ---- how long a call may be silent


def test_a_caller_of_whom_little_is_known_has_two_thirds_of_its_time_and_ten_minutes_at_most() -> None:
    attempts = Attempts(EndpointOptions())

    assert attempts.compute_bound_s("desk", 120.0) == 80.0
    assert attempts.compute_bound_s("desk", 86_400.0) == 600.0


def test_a_known_caller_has_four_times_its_longest_call_and_a_minute_at_least() -> None:
    attempts = Attempts(EndpointOptions())
    for took_s in range(1, LEAST_KNOWN + 1):
        attempts.learn("desk", float(took_s), answered=True)
    assert attempts.compute_bound_s("desk", 3_600.0) == 60.0
    attempts.learn("desk", 50.0, answered=True)

    assert attempts.compute_bound_s("desk", 3_600.0) == 200.0
    assert attempts.compute_bound_s("other", 3_600.0) == 600.0, "each agent has calls of its own"


def test_calls_that_really_take_longer_are_given_more_time_at_each_try() -> None:
    attempts = Attempts(EndpointOptions())
    for _ in range(LEAST_KNOWN):
        attempts.learn("desk", 1.0, answered=True)
    given: list[float | None] = []
    for _ in range(3):
        given.append(attempts.compute_bound_s("desk", 86_400.0))
        attempts.learn("desk", given[-1] or 0.0, answered=False)

    assert given == [60.0, 240.0, 960.0]


@given(left_s=st.floats(0.0, 5_000.0), took_s=st.lists(st.floats(0.0, 2_000.0), max_size=40))
def test_a_bound_leaves_time_for_a_call_as_long_as_the_longest_known(
    left_s: float, took_s: list[float]
) -> None:
    attempts = Attempts(EndpointOptions())
    for each_s in took_s:
        attempts.learn("desk", each_s, answered=True)
    bound_s = attempts.compute_bound_s("desk", left_s)

    if bound_s is not None:
        longest_s = max(took_s[-KNOWN:], default=0.0)
        assert 0 < bound_s <= SHARE * left_s + 0.001
        assert longest_s <= left_s - bound_s + 0.001
        assert bound_s >= longest_s - 0.001


def test_infinite_patience_gives_up_no_call() -> None:
    assert Attempts(EndpointOptions(hang_s=math.inf)).compute_bound_s("desk", 120.0) is None


def test_only_so_many_callers_are_known() -> None:
    attempts = Attempts(EndpointOptions())
    for number in range(2 * MAX_CALLERS):
        attempts.learn(str(number), 1.0, answered=True)

    assert repr(attempts) == f"<Attempts of {MAX_CALLERS} callers>"


# ---- models


@pytest.mark.parametrize("over_s", [5.0, 79.0, 95.0])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_every_run_is_answered_whose_endpoint_is_silent_for_a_part_of_its_time(
    count: int, over_s: float
) -> None:
    async def play() -> None:
        clock = ManualClock()
        server = Server(clock, over_s)
        async with host(clock) as sea:
            ended = await outcomes(sea, clock, Agent("desk", model=server.model), count)
            assert {(each.status, each.answer) for each in ended} == {("completed", "fine")}
            assert sea.endpoints["model:gpt"].breaker.in_flight == 0

        assert sum(at < over_s for at in server.seen) <= count + 2 * 3, (
            "the first calls, and then probes alone"
        )
        assert len(server.seen) <= 2 * count + 2 * 3

    asyncio.run(play())


def test_a_call_that_is_given_up_is_recorded_as_any_time_out_and_paid_in_full() -> None:
    async def play() -> tuple[list[Event], Outcome]:
        clock = ManualClock()
        server = Server(clock, 50.0)
        async with host(clock) as sea:
            run = await sea.start(Agent("desk", model=server.model), "go")
            ended = await clock.until(run.outcome())
            assert (await sea.replay(run.id, Agent("desk", model=server.model))).differences == ()
            return await sea.journal.events(run.id), ended

    events, ended = asyncio.run(play())
    [first, second] = [each for each in events if isinstance(each, StepDone)]

    assert (first.status, first.error, first.retry, first.spared) == ("timeout", "timeout", True, True)
    assert (first.duration_s, second.status) == (80.0, "ok")
    assert ended.tokens > 4_096, "nobody knows what the first call came to, so it counts at its upper bound"
    assert ended.model_calls == 2


@pytest.mark.parametrize("took_s", [10.0, 60.0, 79.0])
@pytest.mark.parametrize("count", [1, 9])
def test_a_call_that_is_merely_slow_is_made_once(took_s: float, count: int) -> None:
    async def play() -> None:
        clock = ManualClock()
        server = Server(clock, FOREVER_S, silent_s=took_s)
        async with host(clock) as sea:
            ended = await outcomes(sea, clock, Agent("desk", model=server.model), count)

        assert {each.answer for each in ended} == {"late"}
        assert len(server.seen) == count

    asyncio.run(play())


def test_a_long_report_after_many_short_replies_is_not_given_up() -> None:
    async def play() -> None:
        clock = ManualClock()
        asked: list[str] = []

        def answer(request: ModelRequest) -> Any:
            asked.append("")
            return slow(59.0 if len(asked) == 20 else 1.0, say("done"))

        async with host(clock) as sea:
            for _ in range(20):
                await outcomes(
                    sea, clock, Agent("desk", model=ScriptedModel(answer, name="gpt", clock=clock))
                )

        assert len(asked) == 20

    asyncio.run(play())


def test_a_silent_call_of_a_long_run_is_given_up_after_minutes_and_not_after_hours() -> None:
    async def play() -> None:
        clock = ManualClock()
        server = Server(clock, 30.0)
        async with host(clock) as sea:
            agent = Agent("desk", model=server.model)
            [ended] = await outcomes(sea, clock, agent, limits=Limits(active_s=36_000))

        assert ended.answer == "fine"
        assert ended.active_s < 610.0

    asyncio.run(play())


def test_an_endpoint_that_is_silent_for_ever_costs_the_run_its_time_and_few_calls() -> None:
    async def play() -> None:
        clock = ManualClock()
        server = Server(clock, FOREVER_S)
        async with host(clock) as sea:
            [ended] = await outcomes(sea, clock, Agent("desk", model=server.model))

        assert ended.status in ("failed", "halted", "refused")
        assert len(server.seen) <= 4

    asyncio.run(play())


@pytest.mark.parametrize(
    "how",
    [
        {"modes": {"endpoints": "observe"}},
        {"modes": {"endpoints": "off"}},
        {"endpoints": {"model": EndpointOptions(outlast=False)}},
        {"endpoints": {"model": EndpointOptions(hang_s=math.inf)}},
        {"retries": 0},
    ],
    ids=["observed", "off", "not outlasted", "patient", "no retries"],
)
def test_no_call_is_given_up_where_it_would_not_be_made_again(how: dict[str, Any]) -> None:
    async def play() -> None:
        clock = ManualClock()
        server = Server(clock, 5.0)
        retries = how.pop("retries", 2)
        async with host(clock, **how) as sea:
            [ended] = await outcomes(sea, clock, Agent("desk", model=server.model, retries=retries))

        assert (ended.status, len(server.seen)) == ("halted", 1)
        assert ended.stopped_by is not None
        assert ended.stopped_by.guard == "deadline"

    asyncio.run(play())


def test_a_call_of_a_nested_team_is_given_up_within_the_teams_own_time() -> None:
    async def play() -> None:
        clock = ManualClock()
        server = Server(clock, 5.0)
        inner = Team("research", Agent("clerk", model=server.model), limits=Limits(active_s=30.0))
        desk = Agent("desk", model=ScriptedModel([call("ask_research", task="x"), say("All found.")]))
        async with host(clock) as sea:
            [ended] = await outcomes(sea, clock, Team("desk", desk, specialists=[inner]))

        assert (ended.answer, len(server.seen)) == ("All found.", 2)
        assert ended.active_s < 25.0

    asyncio.run(play())


# ---- streams


class Dripping:
    """Streams a word every ten seconds; after `stalls_after` words, the first call sends nothing any more."""

    name, price = "gpt", None

    def __init__(self, clock: ManualClock, words: int, *, stalls_after: int | None = None) -> None:
        self.clock, self.words, self.stalls_after = clock, words, stalls_after
        self.calls = 0

    async def respond(self, request: ModelRequest) -> ModelReply:
        raise NotImplementedError

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        self.calls += 1
        for number in range(self.words):
            if self.calls == 1 and number == self.stalls_after:
                await self.clock.sleep(FOREVER_S)
            await self.clock.sleep(10.0)
            yield TextDelta("word ")
        yield await ScriptedModel([say("word " * self.words)]).respond(request)


def test_a_stream_is_not_silent_as_long_as_it_goes_on() -> None:
    async def play() -> None:
        clock = ManualClock()
        model = Dripping(clock, 11)
        async with host(clock) as sea:
            run = await sea.start(Agent("desk", model=model), "go", stream=True)
            ended = await clock.until(run.outcome())

        assert (ended.status, model.calls, ended.active_s) == ("completed", 1, 110.0)

    asyncio.run(play())


def test_a_stream_that_stalls_is_given_up_and_made_again() -> None:
    async def play() -> None:
        clock = ManualClock()
        model = Dripping(clock, 3, stalls_after=1)
        async with host(clock, endpoints={"model": EndpointOptions(hang_s=2.0, jitter=0.0)}) as sea:
            run = await sea.start(Agent("desk", model=model), "go", stream=True)
            ended = await clock.until(run.outcome())

        assert (ended.status, model.calls) == ("completed", 2)
        assert ended.active_s == pytest.approx(10.0 + 20.0 + 0.5 + 30.0), "it was silent for ten times 2 s"

    asyncio.run(play())


# ---- tools


def agent_with(look: Any) -> Agent:
    model = ScriptedModel([call("look", what="7"), say("done")])
    return Agent("desk", model=model, tools=[look])


@pytest.mark.parametrize("timeout_s", [None, 5.0])
def test_a_read_that_hangs_is_made_again_if_it_allows_retries(timeout_s: float | None) -> None:
    async def play() -> None:
        clock = ManualClock()
        seen: list[float] = []

        @tool(retries=1, timeout_s=timeout_s)
        async def look(what: str) -> str:
            """Look something up."""
            seen.append(clock.monotonic_s())
            if len(seen) == 1:
                await clock.sleep(FOREVER_S)
            return f"{what} is there"

        async with host(clock) as sea:
            [ended] = await outcomes(sea, clock, agent_with(look))

        assert (ended.status, len(seen)) == ("completed", 2)
        assert seen[1] == pytest.approx((timeout_s or 80.0) + 0.5)

    asyncio.run(play())


def test_a_read_that_allows_no_retries_has_its_own_time_and_is_made_once() -> None:
    async def play() -> None:
        clock = ManualClock()
        seen: list[float] = []

        @tool(timeout_s=100.0)
        async def look(what: str) -> str:
            """Look something up."""
            seen.append(clock.monotonic_s())
            await clock.sleep(FOREVER_S)
            return what

        async with host(clock) as sea:
            [ended] = await outcomes(sea, clock, agent_with(look))

        assert (ended.status, seen, ended.active_s) == ("completed", [0.0], 100.0)

    asyncio.run(play())


@pytest.mark.parametrize("how", [{}, {"idempotent": True, "retries": 2}], ids=["plain", "with a key"])
def test_an_effect_that_hangs_is_not_given_up_and_never_made_again(how: dict[str, Any]) -> None:
    async def play() -> None:
        clock = ManualClock()
        paid: list[float] = []

        @tool(effect=True, timeout_s=5.0, **how)
        async def look(what: str) -> str:
            """Pay."""
            paid.append(clock.monotonic_s())
            await clock.sleep(FOREVER_S)
            return what

        async with host(clock) as sea:
            run = await sea.start(agent_with(look), "go")
            await clock.advance(300.0)
            await run.cancel()
            await clock.until(run.outcome())

        assert paid == [0.0]

    asyncio.run(play())


# ---- over the wire


SILENT: dict[str, Answer] = {
    "no byte": Silence(),
    "the head alone": Silence(after_head=True),
    "keep-alives": KeepAlives(each_s=10.0),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", SILENT.values(), ids=SILENT)
def test_every_run_is_answered_whose_server_takes_the_call_and_is_silent(fault: Answer, stream: bool) -> None:
    async def play() -> None:
        clock = ManualClock()

        def answer(request: ChatRequest) -> Answer:
            return "All is well." if clock.monotonic_s() >= 10.0 else fault

        async with (
            ModelServer(answer, clock=clock) as server,
            resolve("openai:storm", base_url=server.base_url, clock=clock) as model,
            host(clock) as sea,
        ):
            agent, limits = Agent("desk", model=model), Limits(active_s=25.0)
            runs = [await sea.start(agent, "go", limits=limits, stream=stream) for _ in range(20)]
            ended: Any = asyncio.gather(*(run.outcome() for run in runs))
            await tick_until(clock, ended.done, step_s=0.25)

            assert {each.status for each in ended.result()} == {"completed"}
            assert server.request_count <= 2 * 20 + 2 * 2

    asyncio.run(play())


@pytest.mark.parametrize("reply", [say("one two three four"), call("look", what="one two")])
def test_a_streamed_reply_without_text_is_not_silent_either(reply: Any) -> None:
    async def play() -> None:
        clock, first = ManualClock(), [SlowTokens(reply, 6.0)]

        def answer(request: ChatRequest) -> Answer:
            return first.pop() if first else "done"

        @tool
        async def look(what: str) -> str:
            """Look something up."""
            return what

        async with (
            ModelServer(answer, clock=clock) as server,
            resolve("openai:storm", base_url=server.base_url, clock=clock) as model,
            host(clock, endpoints={"model": EndpointOptions(hang_s=2.0)}) as sea,
        ):
            agent = Agent("desk", model=model, tools=[look])
            run = await sea.start(agent, "go", stream=True)
            ended: Any = asyncio.ensure_future(run.outcome())
            await tick_until(clock, ended.done, step_s=0.5)

            assert ended.result().status == "completed"
            assert ended.result().active_s > 20.0, "longer than a silent call is given"
            assert server.request_count == (2 if reply.calls else 1)

    asyncio.run(play())
