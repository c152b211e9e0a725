"""Storms that end within a run's time cost a wait and no answer; those that do not are told as what they are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.endpoints.processes import OK, Process, SharedRecords, a_run, model
from seawall import Agent, EndpointOptions, Limits, Outcome, Planner, Seawall, Team, tool
from seawall.core.events import Event, StepDeferred, StepDone, StepIntended
from seawall.guards.endpoints.turns import DOUBLING_S, Turns
from seawall.guards.shared import Defer
from seawall.models.protocol import ModelRequest
from seawall.run.step import Result
from seawall.testing import ManualClock, ScriptedModel, call, fail, say
from testing.loopback import tick_until

BROKEN = Result(status="error", error="overloaded", endpoint="broken", retryable=True)
STEADY = {"tool": EndpointOptions(jitter=0.0), "model": EndpointOptions(jitter=0.0)}


class Storm:
    """A model whose calls fail until `over_s`."""

    def __init__(self, clock: ManualClock, over_s: float, failure: Any = None, *, name: str = "gpt") -> None:
        self.clock, self.over_s = clock, over_s
        self.seen: list[float] = []
        self.failure = failure or fail("overloaded")
        self.model = ScriptedModel(self._answer, name=name, clock=clock)

    def _answer(self, request: ModelRequest) -> Any:
        self.seen.append(self.clock.monotonic_s())
        return say("fine") if self.clock.monotonic_s() >= self.over_s else self.failure

    @property
    def during(self) -> int:
        return sum(at < self.over_s for at in self.seen)


async def outcomes(
    sea: Seawall, clock: ManualClock, team: Team | Agent, count: int = 1, **how: Any
) -> list[Outcome]:
    runs = [await sea.start(team, "go", **how) for _ in range(count)]
    return await clock.until(asyncio.gather(*(run.outcome() for run in runs)))


def host(clock: ManualClock, **options: Any) -> Seawall:
    return Seawall(
        **{"clock": clock, "environment": {}, "endpoints": STEADY, "rng": random.Random(1), **options}
    )


FAILURES = {
    "503": fail("overloaded"),
    "429 with Retry-After": fail("rate_limited", retry_after_s=3.0),
    "429": fail("rate_limited"),
    "refused connections": fail("unreachable"),
    "broken streams": fail("incomplete"),
    "nonsense": fail("malformed"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize(("count", "over_s"), [(1, 4.0), (3, 40.0), (40, 60.0)])
def test_every_run_that_meets_a_storm_is_answered_if_it_ends_in_time(
    failure: Any, count: int, over_s: float
) -> None:
    async def play() -> None:
        clock = ManualClock()
        storm = Storm(clock, over_s, failure)
        async with host(clock) as sea:
            ended = await outcomes(sea, clock, Agent("desk", model=storm.model), count)

        assert {each.status for each in ended} == {"completed"}
        assert len(storm.seen) == storm.during + count
        assert storm.during <= count + 2 * 8, "the first calls, and then probes alone"

    asyncio.run(play())


def test_two_storms_in_a_row_are_outlasted_although_no_token_is_left() -> None:
    async def play() -> None:
        clock = ManualClock()
        async with host(clock) as sea:
            for over_s in (5.0, 30.0):
                storm = Storm(clock, over_s)
                ended = await outcomes(sea, clock, Agent("desk", model=storm.model), 40)

                assert {each.status for each in ended} == {"completed"}
                assert storm.during > 0

    asyncio.run(play())


@settings(max_examples=15, deadline=None)
@given(
    over_s=st.floats(0.1, 100.0),
    count=st.integers(1, 15),
    seed=st.integers(0, 1_000),
    active_s=st.sampled_from([120.0, 150.0]),
)
def test_a_storm_that_ends_with_a_sixth_of_the_time_left_costs_no_answer(
    over_s: float, count: int, seed: int, active_s: float
) -> None:
    async def play() -> None:
        clock = ManualClock()
        storm = Storm(clock, over_s)
        async with host(clock, endpoints={}, rng=random.Random(seed)) as sea:
            agent = Agent("desk", model=storm.model)
            ended = await outcomes(sea, clock, agent, count, limits=Limits(active_s=active_s))

        assert {each.status for each in ended} == {"completed"}

    asyncio.run(play())


def test_tries_in_an_outage_use_up_none_of_the_agents_retries() -> None:
    async def play() -> tuple[Outcome, list[Event], Storm]:
        clock = ManualClock()
        storm = Storm(clock, 50.0)
        async with host(clock) as sea:
            run = await sea.start(Agent("desk", model=storm.model, retries=1), "go")
            ended = await clock.until(run.outcome())
            return ended, await sea.journal.events(run.id), storm

    ended, events, storm = asyncio.run(play())
    failed = [each for each in events if isinstance(each, StepDone) and each.retry]

    assert (ended.status, ended.answer) == ("completed", "fine")
    assert len(failed) == storm.during > 2
    assert all(each.spared for each in failed)


def test_an_agent_that_allows_no_retries_fails_at_once() -> None:
    async def play() -> None:
        clock = ManualClock()
        storm = Storm(clock, 5.0)
        async with host(clock) as sea:
            [ended] = await outcomes(sea, clock, Agent("desk", model=storm.model, retries=0))

        assert (ended.status, len(storm.seen), clock.monotonic_s()) == ("failed", 1, 0.0)

    asyncio.run(play())


def test_a_request_that_alone_fails_while_others_are_answered_is_given_up_after_its_retries() -> None:
    async def play() -> None:
        clock = ManualClock()
        asked: list[str] = []

        def answer(request: ModelRequest) -> Any:
            text = str(request.messages[-1].content)
            asked.append(text)
            return fail("overloaded") if text == "poison" else say("fine")

        async with host(clock) as sea:
            agent = Agent("desk", model=ScriptedModel(answer, name="gpt"), retries=2)
            bad = await sea.start(agent, "poison")
            for _ in range(40):
                await (await sea.start(agent, "good")).outcome()
                await clock.advance(0.25)
            ended = await bad.outcome()

        assert ended.status == "failed"
        assert asked.count("poison") <= 4

    asyncio.run(play())


def test_a_storm_that_never_ends_is_told_as_one_before_the_time_is_gone() -> None:
    async def play() -> None:
        clock = ManualClock()
        storm = Storm(clock, 10_000.0)
        async with host(clock) as sea:
            ended = await outcomes(sea, clock, Agent("desk", model=storm.model), 100)

        assert {each.status for each in ended} <= {"refused", "failed"}
        assert all(
            each.stopped_by.guard == "endpoints" if each.stopped_by else "overloaded" in str(each.error)
            for each in ended
        )
        assert all(each.active_s < 120.0 for each in ended)
        assert len(storm.seen) <= 130

    asyncio.run(play())


@pytest.mark.parametrize("found", [False, True])
def test_in_an_outage_that_lasts_the_fallback_answers_or_what_was_found(found: bool) -> None:
    async def play() -> None:
        clock = ManualClock()

        @tool
        async def look(what: str) -> str:
            """Look something up."""
            return f"{what} is in Oslo"

        first = [call("look", what="order 7")]
        sick = ScriptedModel(lambda request: first.pop() if first else fail("overloaded"), name="gpt")
        well = Agent("quick", model=ScriptedModel(["A short answer."], name="other"))
        desk = Agent("desk", model=sick, tools=[look])
        team = Team("desk", desk, planner=Planner(), fallback=None if found else well)
        async with host(clock) as sea:
            [ended] = await outcomes(sea, clock, team, limits=Limits(active_s=30))

        assert ended.status == "completed"
        assert ended.pruned == (("answer:partial",) if found else ("fallback:quick",))
        assert "Oslo" in str(ended.answer) if found else ended.answer == "A short answer."

    asyncio.run(play())


def test_a_wait_holds_no_slot_and_is_ended_by_a_cancellation() -> None:
    async def play() -> None:
        clock = ManualClock()
        storm = Storm(clock, 10_000.0)
        async with host(clock) as sea:
            run = await sea.start(Agent("desk", model=storm.model), "go")
            await clock.advance(5.0)
            assert sea.endpoints["model:gpt"].breaker.in_flight == 0
            await run.cancel()
            ended = await clock.until(run.outcome())

            assert ended.status == "cancelled"
            assert len(sea.endpoints["model:gpt"].queue) == 0

    asyncio.run(play())


def test_a_run_that_waits_for_its_endpoint_is_parked_by_a_pause_and_goes_on_after_it() -> None:
    async def play() -> None:
        clock = ManualClock()
        storm = Storm(clock, 20.0)
        async with host(clock) as sea:
            run = await sea.start(Agent("desk", model=storm.model), "go")
            await clock.advance(5.0)
            made = len(storm.seen)
            await sea.pause("agent:desk", by="kim")
            await clock.advance(600.0)
            assert len(storm.seen) == made
            await sea.unpause("agent:desk", by="kim")
            ended = await clock.until(run.outcome())

        assert (ended.status, ended.answer) == ("completed", "fine")
        assert ended.active_s < 30.0, "its clock stood still"

    asyncio.run(play())


def test_what_a_step_waits_for_is_recorded_once_and_over_when_it_is_made() -> None:
    async def play() -> list[Event]:
        clock = ManualClock()
        storm = Storm(clock, 20.0)
        async with host(clock) as sea:
            run = await sea.start(Agent("desk", model=storm.model), "go")
            await clock.until(run.outcome())
            assert (await sea.replay(run.id, Agent("desk", model=storm.model))).differences == ()
            return await sea.journal.events(run.id)

    events = asyncio.run(play())
    waits = [each for each in events if isinstance(each, StepDeferred)]
    tries = [each for each in events if isinstance(each, StepIntended)]

    assert len(waits) == len(tries) - 1
    assert {each.endpoint for each in waits} == {"model:gpt"}
    assert waits[0].reason == "waits for its turn at model:gpt, where its last call failed"


def test_a_run_that_is_taken_up_by_another_process_goes_on_waiting(tmp_path: Any) -> None:
    async def play() -> None:
        clock = ManualClock()
        storm = Storm(clock, 30.0)
        agent = Agent("desk", model=storm.model)
        path = tmp_path / "desk.db"
        async with host(clock, journal=path) as sea:
            others = [await sea.start(agent, "go") for _ in range(12)]
            await clock.advance(3.0)
            run = others[0]
        made = len(storm.seen)
        async with host(clock, journal=path) as sea:
            again = await sea.resume(run.id, agent)
            await clock.advance(1.0)
            assert len(storm.seen) == made, "its endpoint is still open"
            outcome: Any = asyncio.ensure_future(again.outcome())
            await tick_until(clock, outcome.done, step_s=0.25)

            assert (outcome.result().status, outcome.result().answer) == ("completed", "fine")

    asyncio.run(play())


# ---- tools


def bank(clock: ManualClock, over_s: float, seen: list[float], **options: Any) -> Any:
    @tool(endpoint="bank", **options)
    async def balance(account: str) -> str:
        """Look up a balance."""
        seen.append(clock.monotonic_s())
        if clock.monotonic_s() < over_s:
            raise ConnectionError("the bank does not answer")
        return f"{account} has 10 EUR"

    return balance


def asks_bank(told: list[str]) -> Callable[[ModelRequest], Any]:
    def answer(request: ModelRequest) -> Any:
        last = request.messages[-1]
        if last.role == "tool":
            told.append(str(last.content))
            return say("done")
        return call("balance", account="a")

    return answer


def test_calls_of_a_tool_that_allows_retries_wait_for_its_endpoint_too() -> None:
    async def play() -> None:
        clock = ManualClock()
        seen: list[float] = []
        told: list[str] = []
        async with host(clock) as sea:
            agent = Agent(
                "desk", model=ScriptedModel(asks_bank(told)), tools=[bank(clock, 20.0, seen, retries=1)]
            )
            ended = await outcomes(sea, clock, agent, 30)

        assert {each.status for each in ended} == {"completed"}
        assert told == ["a has 10 EUR"] * 30
        assert sum(at < 20.0 for at in seen) <= 30 + 10

    asyncio.run(play())


def test_a_tool_waits_half_of_the_time_at_most_so_that_its_agent_can_still_answer() -> None:
    async def play() -> None:
        clock = ManualClock()
        seen: list[float] = []
        told: list[str] = []
        async with host(clock) as sea:
            agent = Agent(
                "desk", model=ScriptedModel(asks_bank(told)), tools=[bank(clock, 1e9, seen, retries=1)]
            )
            [ended] = await outcomes(sea, clock, agent)

        assert ended.status == "completed"
        assert len(told) == 1
        assert clock.monotonic_s() <= 60.5

    asyncio.run(play())


def test_an_effect_without_a_key_is_never_made_again() -> None:
    async def play() -> None:
        clock = ManualClock()
        paid: list[float] = []

        @tool(effect=True, endpoint="bank")
        async def pay(amount: int) -> str:
            """Pay."""
            paid.append(clock.monotonic_s())
            raise ConnectionError("the bank does not answer")

        def answer(request: ModelRequest) -> Any:
            return call("pay", amount=1) if request.messages[-1].role == "user" else say("done")

        async with host(clock) as sea:
            run = await sea.start(Agent("desk", model=ScriptedModel(answer), tools=[pay]), "go")
            await clock.advance(100.0)
            await run.cancel()
            await clock.until(run.outcome())

        assert len(paid) == 1

    asyncio.run(play())


def test_of_two_endpoints_only_the_sick_one_makes_runs_wait() -> None:
    async def play() -> None:
        clock = ManualClock()
        storm = Storm(clock, 20.0)
        async with host(clock) as sea:
            sick = [await sea.start(Agent("desk", model=storm.model), "go") for _ in range(20)]
            await clock.advance(1.0)
            well = Agent("desk", model=ScriptedModel(["fine"] * 20, name="other"))
            ended = await outcomes(sea, clock, well, 20)
            assert {each.status for each in ended} == {"completed"}
            assert clock.monotonic_s() <= 1.1
            after = await clock.until(asyncio.gather(*(run.outcome() for run in sick)))

        assert {each.status for each in after} == {"completed"}

    asyncio.run(play())


def test_two_processes_outlast_a_storm_together() -> None:
    async def work() -> None:
        store, clock = SharedRecords(), ManualClock()
        async with Process(store, clock, "a") as one, Process(store, clock, "b") as other:
            one.call(BROKEN, count=10, name="gpt", kind="model")
            await clock.advance(1.0)
            runs = [a_run() for _ in range(20)]
            step = model(outlasts=True)
            assert all(isinstance(other.check(step, run), Defer) for run in runs)
            assert isinstance(one.check(step, a_run()), Defer)
            await clock.advance(2.5)
            woken = {*one.woken, *other.woken}

            assert 1 <= len(woken) <= 6, "over all processes, a few probe; who does not come loses its turn"

    asyncio.run(work())


# ---- limits


@pytest.mark.parametrize("kind", ["overloaded", "unreachable", "rate_limited"])
def test_an_outage_under_one_model_call_is_told_as_the_outage(kind: Any) -> None:
    async def play() -> None:
        clock = ManualClock()
        storm = Storm(clock, 3.0, fail(kind))
        async with host(clock) as sea:
            agent = Agent("desk", model=storm.model)
            [ended] = await outcomes(sea, clock, agent, limits=Limits(model_calls=1))
            assert (ended.status, ended.model_calls, ended.stopped_by) == ("failed", 1, None)
            assert kind in str(ended.error) or "scripted" in str(ended.error)

            limits = Limits(model_calls=1, count_failed=False)
            [ended] = await outcomes(sea, clock, agent, limits=limits)

            assert (ended.status, ended.answer, ended.model_calls) == ("completed", "fine", 1)

    asyncio.run(play())


def test_a_failed_call_that_may_have_cost_something_counts_all_the_same() -> None:
    async def play() -> None:
        clock = ManualClock()
        storm = Storm(clock, 3.0, fail("incomplete"))
        async with host(clock) as sea:
            limits = Limits(model_calls=1, count_failed=False)
            [ended] = await outcomes(sea, clock, Agent("desk", model=storm.model), limits=limits)

        assert (ended.status, ended.model_calls, ended.stopped_by) == ("failed", 1, None)

    asyncio.run(play())


# ---- turns, alone


def test_turns_double_with_the_answers_and_with_the_time_and_halve_with_failures() -> None:
    turns = Turns(EndpointOptions(jitter=0.0), random.Random(1))
    assert turns.count_turns(0.0) == 512
    turns.begin(10.0)
    assert turns.count_turns(10.0) == 2
    assert turns.count_turns(10.0 + 3 * DOUBLING_S) == 16
    for number in range(2):
        turns.take_turn(number)
    assert turns.count_turns(10.0) == 0
    for number in range(2):
        turns.end(number, "answered", 10.0, 60.0)
    assert turns.count_turns(10.0) == 4
    turns.end("other", "failed", 10.0, 60.0)
    assert turns.count_turns(10.0) == 0, "nobody was answered since"
    assert turns.count_turns(10.5) == 1
    turns.end("other", "answered", 10.5, 60.0)
    assert 2 <= turns.count_turns(10.5) <= 4


@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "answered", "failed", "", "begin"]), st.floats(0.0, 5.0)),
        max_size=60,
    )
)
def test_turns_are_bounded_and_there_is_always_another_one_in_the_end(acts: list[tuple[str, float]]) -> None:
    turns = Turns(EndpointOptions(at_once=50), random.Random(1))
    now, flying, number = 0.0, list[int](), 0
    for act, pause_s in acts:
        now += pause_s
        if act == "take" and turns.count_turns(now):
            turns.take_turn(number)
            flying.append(number)
            number += 1
        elif act == "begin":
            turns.begin(now)
        elif act != "take" and flying:
            turns.end(flying.pop(0), act, now, 60.0)  # pyright: ignore[reportArgumentType] -- one of the strings above
        assert 0 <= turns.count_turns(now) <= 50
        next_s = turns.find_next_s(now, 0)
        assert next_s is None or next_s > now
    for each in flying:
        turns.end(each, "", now, 60.0)

    assert turns.count_turns(now + 100.0) > 0


def test_a_call_that_is_answered_forgets_what_failed_before() -> None:
    async def work() -> None:
        async with Process(SharedRecords(), ManualClock()) as here:
            step, run = model(outlasts=True), a_run()
            here.begin(step, run)
            here.endpoints.release(step, run, BROKEN)
            assert here.retry(step, run, BROKEN) == "waits"
            assert here.says(step, run=run) == "defer"
            await here.clock.advance(0.5)
            assert here.woken == [run.started.run]
            here.begin(step, run)
            here.endpoints.release(step, run, OK)

            assert here.says(step, run=run) == "allow"

    asyncio.run(work())
