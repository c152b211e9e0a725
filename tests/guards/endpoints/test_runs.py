"""Endpoints at the gate: whole runs, with calls that the world counts, on a manual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from seawall import Agent, Broken, EndpointOptions, Limits, Outcome, Planner, Seawall, Team, Tool, tool
from seawall.core.events import Event, Judged, StepDone
from seawall.models.protocol import ModelRequest
from seawall.testing import ManualClock, ScriptedModel, call, calls, fail, say
from seawall.testing import slow as after

STEADY = {"tool": EndpointOptions(jitter=0.0), "model": EndpointOptions(jitter=0.0)}


class World:
    """A bank that is up or down, and counts who calls."""

    def __init__(self) -> None:
        self.up = True
        self.calls = 0

    def bank(self, **options: Any) -> Tool:
        @tool(**{"endpoint": "bank", **options})
        async def balance(account: str) -> str:
            """Look up a balance."""
            self.calls += 1
            if not self.up:
                raise ConnectionError("the bank does not answer")
            return f"{account} has 10 EUR"

        return balance


async def fill(sea: Seawall, clock: ManualClock, world: World, *, count: int = 10) -> None:
    """So many runs that find the bank down."""
    world.up = False
    bank = world.bank()
    for number in range(count):
        model = ScriptedModel([call("balance", account=f"a{number}"), say("It is down.")], name="filler")
        await outcome(sea, clock, Team("filler", Agent("filler", model=model, tools=[bank])))


async def outcome(sea: Seawall, clock: ManualClock, team: Team | Agent, **options: Any) -> Outcome:
    run = await sea.start(team, "go", **options)
    return await clock.until(run.outcome())


def judged(events: Sequence[Event]) -> list[tuple[str, str, str | None]]:
    return [(each.guard, each.verdict, each.limit) for each in events if isinstance(each, Judged)]


def host(clock: ManualClock, **options: Any) -> Seawall:
    return Seawall(clock=clock, environment={}, endpoints=STEADY, **options)


def test_a_tool_of_an_open_endpoint_is_not_called_and_its_agent_is_told_what_to_do_instead() -> None:
    async def play() -> None:
        clock, world = ManualClock(), World()
        async with host(clock) as sea:
            await fill(sea, clock, world)
            model = ScriptedModel([call("balance", account="a99"), say("Later.")])
            run = await sea.start(Team("desk", Agent("desk", model=model, tools=[world.bank()])), "go")
            ended = await clock.until(run.outcome())
            events = await sea.journal.events(run.id)

            assert (ended.status, world.calls) == ("completed", 10)
            assert judged(events) == [("endpoints", "refuse", "failed_ratio=0.5")]
            told = str(model.requests[-1].messages[-1].content)
            assert told.startswith(
                "tool 'balance' is not called now: endpoint tool:bank: 10 of its last 10 calls"
            )
            assert told.endswith("or answer and say what is missing.")

    asyncio.run(play())


def test_tools_of_one_endpoint_share_its_breaker_and_others_are_not_touched() -> None:
    async def play() -> None:
        clock, world = ManualClock(), World()
        async with host(clock) as sea:
            await fill(sea, clock, world)
            world.up = True
            script = [calls(call("pay", account="a"), call("other", account="b")), say("done")]
            tools = [world.bank(name="pay"), world.bank(name="other", endpoint="shop")]
            run = await sea.start(Team("desk", Agent("desk", model=ScriptedModel(script), tools=tools)), "go")
            await clock.until(run.outcome())
            done = [each for each in await sea.journal.events(run.id) if isinstance(each, StepDone)]

            assert sorted(each.status for each in done) == ["ok", "ok", "ok", "refused"]
            assert world.calls == 11

    asyncio.run(play())


def test_what_a_tool_says_no_to_is_no_failure_of_its_endpoint() -> None:
    async def play() -> None:
        clock = ManualClock()

        @tool
        async def find(order: str) -> str:
            """Find an order."""
            raise LookupError(f"no order {order}")

        async with host(clock) as sea:
            for number in range(20):
                model = ScriptedModel([call("find", order=str(number)), say("No.")])
                await outcome(sea, clock, Agent("desk", model=model, tools=[find]))

            assert sea.endpoints["tool:find"].breaker.phase.state == "closed"

    asyncio.run(play())


@pytest.mark.parametrize("how", ["broken", "timeout"])
def test_a_tool_says_itself_that_the_other_side_is_broken_or_says_nothing_in_time(how: str) -> None:
    async def play() -> None:
        clock = ManualClock()

        @tool(timeout_s=5.0)
        async def find(order: str) -> str:
            """Find an order."""
            if how == "timeout":
                await asyncio.Event().wait()
            raise Broken("the shop answers nonsense")

        async with host(clock) as sea:
            for number in range(10):
                model = ScriptedModel([call("find", order=str(number)), say("No.")])
                await outcome(sea, clock, Agent("desk", model=model, tools=[find]))

            assert sea.endpoints["tool:find"].breaker.phase.state == "open"

    asyncio.run(play())


@pytest.mark.parametrize("kind", ["tool", "model"])
def test_a_call_that_the_plan_cut_short_is_no_failure_of_its_endpoint(kind: str) -> None:
    async def play() -> None:
        clock = ManualClock()

        @tool
        async def find(order: str) -> str:
            """Find an order."""
            await clock.sleep(3.0)
            return f"order {order} is on its way"

        planner = Planner(priors={"model:desk": 4.0})
        async with host(clock) as sea:
            for number in range(12):
                asked = call("find", order=str(number)) if kind == "tool" else call("ask_clerk", task="x")
                script = ScriptedModel([after(4.0, asked), say("No.")], clock=clock)
                late = ScriptedModel([after(3.0, "Here.")], clock=clock, name="late")
                team = Team(
                    "desk",
                    Agent("desk", model=script, tools=[find]),
                    specialists=[Agent("clerk", model=late)],
                    planner=planner,
                    limits=Limits(active_s=10),
                )
                ended = await outcome(sea, clock, team)

                assert ended.pruned == (("tool:find",) if kind == "tool" else ("agent:clerk",))

            breaker = sea.endpoints["tool:find" if kind == "tool" else "model:late"].breaker
            assert repr(breaker).startswith(f"<Breaker {breaker.name} closed 0/0 failed, 0 slow")

    asyncio.run(play())


def test_an_agent_that_swings_between_a_closed_door_and_its_partner_is_halted_as_a_loop() -> None:
    """The breaker does not push the loop to its partner unseen: what is refused is a step like any other."""

    async def play() -> None:
        clock, world = ManualClock(), World()

        @tool
        async def shop(what: str) -> str:
            """Ask the shop."""
            world.calls += 1
            return "nothing new"

        def swing(request: ModelRequest) -> Any:
            turns = sum(message.role == "assistant" for message in request.messages)
            return call("balance", account="a") if turns % 2 == 0 else call("shop", what="x")

        async with host(clock) as sea:
            await fill(sea, clock, world)
            before = world.calls
            model = ScriptedModel(swing)
            ended = await outcome(sea, clock, Agent("desk", model=model, tools=[world.bank(), shop]))

            assert ended.status == "halted"
            assert ended.stopped_by is not None and ended.stopped_by.guard == "loops"
            assert world.calls - before <= 4

    asyncio.run(play())


def test_a_model_step_waits_for_its_endpoint_and_the_run_goes_on_when_it_has_recovered() -> None:
    async def play() -> None:
        clock = ManualClock()
        sick = ScriptedModel(lambda _: fail("overloaded"), name="gpt")
        well = ScriptedModel(["fine"], name="gpt")
        async with host(clock) as sea:
            for _ in range(10):
                await outcome(sea, clock, Agent("desk", model=sick, retries=0))
            began = clock.monotonic_s()
            ended = await outcome(sea, clock, Agent("desk", model=well))

            assert (ended.status, ended.answer) == ("completed", "fine")
            assert clock.monotonic_s() - began == pytest.approx(2.0, abs=0.01)
            assert (sick.request_count, well.request_count) == (10, 1)

    asyncio.run(play())


def test_a_run_that_has_no_time_to_wait_is_refused_by_endpoints_with_limit_and_value() -> None:
    async def play() -> None:
        clock = ManualClock()
        sick = ScriptedModel(lambda _: fail("overloaded"), name="gpt")
        async with host(clock) as sea:
            for _ in range(10):
                await outcome(sea, clock, Agent("desk", model=sick, retries=0))
            ended = await outcome(sea, clock, Agent("desk", model=sick), limits=Limits(active_s=1.0))

            assert ended.status == "refused"
            stopped = ended.stopped_by
            assert stopped is not None
            assert (stopped.guard, stopped.limit, stopped.value) == ("endpoints", "failed_ratio=0.5", "10/10")
            assert sick.request_count == 10

    asyncio.run(play())


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_where_endpoints_do_not_bind_calls_are_made_and_tried_again(mode: Any) -> None:
    async def play() -> None:
        clock, world = ManualClock(), World()
        options = {"tool": EndpointOptions(jitter=0.0, outlast=False)}
        async with Seawall(clock=clock, environment={}, endpoints=options) as sea:
            await fill(sea, clock, world)
            model = ScriptedModel([call("balance", account="a99"), say("Later.")])
            team = Team("desk", Agent("desk", model=model, tools=[world.bank(retries=2)]))
            run = await sea.start(team, "go", modes={"endpoints": mode})
            await clock.until(run.outcome())
            events = await sea.journal.events(run.id)

            assert world.calls == 13
            assert {each.mode for each in events if isinstance(each, Judged)} <= {"observe"}
            assert ("endpoints", "refuse", "failed_ratio=0.5") in judged(events) or mode == "off"

    asyncio.run(play())


def test_a_retry_after_is_waited_for_by_the_run_that_met_it_and_by_every_other() -> None:
    """F16: a 429 with `Retry-After` is honoured, inside the deadline."""

    async def play() -> None:
        clock = ManualClock()
        times: list[float] = []

        def answer(request: ModelRequest) -> Any:
            times.append(clock.monotonic_s())
            return fail("rate_limited", retry_after_s=20.0) if len(times) == 1 else say("fine")

        model = ScriptedModel(answer, name="gpt")
        async with host(clock) as sea:
            first = await sea.start(Agent("desk", model=model), "go")
            await clock.advance(1.0)
            second = await sea.start(Agent("desk", model=model), "go")
            hurried = await sea.start(Agent("desk", model=model), "go", limits=Limits(active_s=10.0))
            ended = await clock.until(asyncio.gather(*(run.outcome() for run in (first, second, hurried))))

            assert [each.status for each in ended] == ["completed", "completed", "refused"]
            assert times == [0.0, 20.0, 20.0]
            assert ended[2].stopped_by is not None and ended[2].stopped_by.limit == "retry_after_s=20"

    asyncio.run(play())


def test_after_a_spend_limit_no_other_run_calls_and_none_tries_again() -> None:
    """F17: a 429 for a spend limit is not retried."""

    async def play() -> None:
        clock = ManualClock()
        model = ScriptedModel(lambda _: fail("spend_limit"), name="gpt")
        async with host(clock) as sea:
            first = await outcome(sea, clock, Agent("desk", model=model, retries=5))
            others = [await outcome(sea, clock, Agent("desk", model=model, retries=5)) for _ in range(20)]

            assert first.status == "failed"
            assert {each.status for each in others} == {"refused"}
            assert {each.stopped_by and each.stopped_by.limit for each in others} == {"spend_limit"}
            assert model.request_count == 1

    asyncio.run(play())


@pytest.mark.parametrize("slow", [False, True])
def test_a_storm_with_a_hundred_runs_in_flight_adds_at_most_a_fifth_and_is_over_soon(slow: bool) -> None:
    """F18: a storm of 5xx; and a model that hangs, which its breaker can not tell from one that is slow."""

    async def play() -> None:
        clock = ManualClock()
        seen: list[float] = []
        over_s = 30.0

        def answer(request: ModelRequest) -> Any:
            seen.append(clock.monotonic_s())
            if clock.monotonic_s() >= over_s:
                return say("fine")
            return after(10_000.0, "never") if slow else after(1.0, fail("overloaded"))

        model = ScriptedModel(answer, name="gpt", clock=clock)
        options = {"model": EndpointOptions(jitter=0.0, slow_s=5.0)}
        async with Seawall(clock=clock, environment={}, endpoints=options) as sea:
            first = [await sea.start(Agent("desk", model=model), "go") for _ in range(100)]
            await clock.advance(over_s / 2)
            late = [await sea.start(Agent("desk", model=model), "go") for _ in range(20)]
            ended = await clock.until(asyncio.gather(*(run.outcome() for run in (*first, *late))))
            during = sum(at < over_s for at in seen)
            state = sea.endpoints["model:gpt"].breaker.phase.state

        assert 100 <= during <= 120
        waited = [each.status for each in ended[100:]]
        assert waited.count("completed") >= 12, "they waited for it to recover, but for those that probed"
        assert state == "closed"
        first_good = next(at for at in seen if at >= over_s)
        assert first_good - over_s <= 16.0

    asyncio.run(play())


def test_a_breaker_that_is_only_observed_closes_again_too() -> None:
    async def play() -> None:
        clock, world = ManualClock(), World()
        async with host(clock, modes={"endpoints": "observe"}) as sea:
            await fill(sea, clock, world)
            breaker = sea.endpoints["tool:bank"].breaker
            opened = breaker.phase.state
            world.up = True
            await clock.advance(5.0)
            for number in range(6):
                model = ScriptedModel([call("balance", account=f"b{number}"), say("Fine.")], name="filler")
                await outcome(sea, clock, Agent("filler", model=model, tools=[world.bank()]))

            assert (opened, breaker.phase.state) == ("open", "closed")
            assert world.calls == 16

    asyncio.run(play())


def test_with_outlast_every_run_that_has_the_time_is_answered_and_the_storm_is_no_worse() -> None:
    async def play() -> None:
        clock = ManualClock()
        seen: list[float] = []

        def answer(request: ModelRequest) -> Any:
            seen.append(clock.monotonic_s())
            return say("fine") if clock.monotonic_s() >= 30.0 else after(1.0, fail("overloaded"))

        model = ScriptedModel(answer, name="gpt", clock=clock)
        options = {"model": EndpointOptions(jitter=0.0, outlast=True)}
        async with Seawall(clock=clock, environment={}, endpoints=options) as sea:
            runs = [await sea.start(Agent("desk", model=model), "go") for _ in range(100)]
            ended = await clock.until(asyncio.gather(*(run.outcome() for run in runs)))

        answered = sum(each.status == "completed" for each in ended)
        assert sum(at < 30.0 for at in seen) <= 120
        assert answered >= 95, "all but those that failed before the breaker opened, or probed too often"
        assert len(seen) <= 220

    asyncio.run(play())


def test_more_calls_than_places_wait_their_turn_within_one_run() -> None:
    async def play() -> None:
        clock = ManualClock()
        flying: list[int] = []
        most = 0

        @tool
        async def look(what: int) -> str:
            """Look."""
            nonlocal most
            flying.append(what)
            most = max(most, len(flying))
            await clock.sleep(1.0)
            flying.remove(what)
            return f"saw {what}"

        model = ScriptedModel([calls(*(call("look", what=each) for each in range(6))), say("done")])
        options = {"tool:look": EndpointOptions(at_once=2)}
        async with Seawall(clock=clock, environment={}, endpoints=options) as sea:
            ended = await outcome(sea, clock, Agent("desk", model=model, tools=[look]))

        assert (ended.status, most) == ("completed", 2)
        assert clock.monotonic_s() == pytest.approx(3.0, abs=0.1)

    asyncio.run(play())


def test_two_hosts_on_one_file_know_of_each_other_s_breakers(tmp_path: Any) -> None:
    async def play() -> None:
        clock, world = ManualClock(), World()
        world.up = False
        path = tmp_path / "desk.db"
        for number in range(12):  # a host for each: the files of a shell's one-off commands
            async with host(clock, journal=path) as sea:
                model = ScriptedModel([call("balance", account=f"a{number}"), say("Later.")])
                run = await sea.start(Agent("desk", model=model, tools=[world.bank()]), "go")
                async with asyncio.timeout(60):
                    await run.outcome()

        assert world.calls == 10

    asyncio.run(play())


def test_a_run_that_was_not_recorded_after_all_leaves_no_call_and_no_place_behind() -> None:
    async def play() -> None:
        clock = ManualClock()
        model = ScriptedModel(lambda _: say("hi"), name="gpt")
        async with host(clock) as sea:
            runs = await asyncio.gather(
                *(sea.start(Agent("desk", model=model), "go", request_id="req-9") for _ in range(5))
            )
            await clock.until(runs[0].outcome())
            endpoint = sea.endpoints["model:gpt"]

            assert (endpoint.breaker.in_flight, len(endpoint.queue)) == (0, 0)
            assert model.request_count == 1

    asyncio.run(play())
