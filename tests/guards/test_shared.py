"""The protocol of guards across runs, at the gate: check, acquire, release, may_retry and forget."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from guards.scripted_guard import ScriptedGuard, paused
from seawall import Agent, Halt, Limits, Refuse, Run, Seawall, Team, Waiting
from seawall.core.events import Judged, Paused, StepIntended
from seawall.guards.shared import Defer
from seawall.models.scripted import calls
from seawall.testing import ManualClock, ScriptedModel, call, fail, hang, say
from team.play import World

BUSY = Defer("no slot is free")


def cashier(world: World, *script: Any, **options: Any) -> Team:
    script = script or (call("pay", what="5 EUR"), say("Paid."))
    return Team(
        Agent("cashier", model=ScriptedModel(list(script)), tools=[world.writes(), world.reads()]), **options
    )


def seawall_with(*shared: ScriptedGuard, journal: Any = ":memory:", **options: Any) -> Seawall:
    sea = Seawall(journal, **options)
    sea.supervisor.shared = shared
    return sea


async def rested(run: Run) -> Any:
    async with asyncio.timeout(60):
        return await run.rest()


async def checked(guard: ScriptedGuard, times: int = 1) -> None:
    async with asyncio.timeout(60):
        while len(guard.checked) < times:
            await asyncio.sleep(0)


def test_a_step_waits_until_the_guard_lets_it_pass() -> None:
    async def main() -> None:
        world, guard = World(), ScriptedGuard(BUSY, tool="pay")
        async with seawall_with(guard) as sea:
            run = await sea.start(cashier(world), "pay")
            await checked(guard)
            assert (await sea.journal.row(run.id)).state == "running"
            assert world.calls == []
            guard.lift()
            outcome = await rested(run)
        assert outcome.status == "completed"
        assert world.calls == ["5 EUR"]
        assert outcome.paused == ()

    asyncio.run(main())


def test_a_check_that_defers_again_records_nothing() -> None:
    async def main() -> None:
        guard = ScriptedGuard(BUSY, tool="pay")
        async with seawall_with(guard) as sea:
            run = await sea.start(cashier(World()), "pay")
            await checked(guard)
            before = len(await sea.journal.events(run.id))
            guard.waiting[run.id]()
            await checked(guard, 2)
            assert len(await sea.journal.events(run.id)) == before
            guard.lift()
            assert (await rested(run)).status == "completed"

    asyncio.run(main())


def test_the_deadline_ends_a_run_whose_step_is_deferred() -> None:
    async def main() -> None:
        clock, world, guard = ManualClock(), World(), ScriptedGuard(BUSY, tool="pay")
        async with seawall_with(guard, clock=clock) as sea:
            run = await sea.start(cashier(world, limits=Limits(active_s=3)), "pay")
            outcome = await clock.until(run.outcome())
        assert outcome.status == "halted" and outcome.stopped_by and outcome.stopped_by.guard == "deadline"
        assert world.calls == []
        assert guard.forgotten == [(run.id, False)]

    asyncio.run(main())


def test_every_acquired_step_is_released_once() -> None:
    async def main() -> None:
        guard = ScriptedGuard()
        both = calls(call("look", what="a"), call("look", what="b"))
        async with seawall_with(guard) as sea:
            outcome = await rested(await sea.start(cashier(World(), both, say("Done.")), "look"))
        assert outcome.status == "completed"
        assert sorted(guard.acquired) == [1, 2, 3, 4]
        assert sorted(guard.released) == [(1, "ok"), (2, "ok"), (3, "ok"), (4, "ok")]

    asyncio.run(main())


def test_a_step_in_flight_is_released_when_its_run_is_cancelled_or_given_up() -> None:
    async def main() -> None:
        cancelled, given_up = ScriptedGuard(), ScriptedGuard()
        async with seawall_with(cancelled) as sea:
            run = await sea.start(cashier(World(), hang()), "pay")
            await run.cancel(by="ops")
            assert (await rested(run)).status == "cancelled"
        async with seawall_with(given_up) as sea:
            run = await sea.start(cashier(World(), hang()), "pay")
        assert cancelled.released == [(1, "cancelled")]
        assert given_up.released == [(1, "cancelled")]
        assert given_up.forgotten == [(run.id, False)]

    asyncio.run(main())


def test_a_refusal_goes_to_the_agent_and_is_recorded() -> None:
    async def main() -> None:
        world, guard = World(), ScriptedGuard(Refuse("the bank is down", "failed=5", 7), tool="pay")
        async with seawall_with(guard) as sea:
            run = await sea.start(cashier(world), "pay")
            outcome = await rested(run)
            events = await sea.journal.events(run.id)
        assert outcome.status == "completed"
        assert world.calls == []
        (judged,) = [event for event in events if isinstance(event, Judged)]
        assert (judged.guard, judged.verdict, judged.limit, judged.value) == (
            "endpoints",
            "refuse",
            "failed=5",
            "7",
        )

    asyncio.run(main())


def test_a_guard_across_runs_can_halt_a_run() -> None:
    async def main() -> None:
        guard = ScriptedGuard(Halt("the day's money is spent", "day_usd=1", "1.2"), tool="pay", name="budget")
        async with seawall_with(guard) as sea:
            outcome = await rested(await sea.start(cashier(World()), "pay"))
        assert (outcome.status, outcome.stopped_by.guard) == ("halted", "budget")
        assert outcome.stopped_by.limit == "day_usd=1"

    asyncio.run(main())


@pytest.mark.parametrize("verdict", [BUSY, Refuse("down"), Halt("spent")])
def test_in_observe_it_lets_pass_and_counts_all_the_same(verdict: Any) -> None:
    async def main() -> None:
        world, guard = World(), ScriptedGuard(verdict, tool="pay")
        async with seawall_with(guard, modes={"endpoints": "observe"}) as sea:
            outcome = await rested(await sea.start(cashier(world), "pay"))
        assert outcome.status == "completed"
        assert world.calls == ["5 EUR"]
        assert len(guard.acquired) == len(guard.released) == 3

    asyncio.run(main())


def test_a_retry_that_a_guard_does_not_allow_is_not_made() -> None:
    async def main() -> None:
        guard = ScriptedGuard()
        guard.retries = False
        model = [fail("overloaded", "503"), say("Never said.")]
        async with seawall_with(guard) as sea:
            outcome = await rested(await sea.start(cashier(World(), *model), "pay"))
        assert outcome.status == "failed"
        assert outcome.model_calls == 1

    asyncio.run(main())


def test_a_run_that_waits_for_a_pause_is_parked_and_its_clock_stands_still() -> None:
    async def main() -> None:
        clock, world, guard = ManualClock(), World(), ScriptedGuard(paused(), tool="pay", name="pause")
        async with seawall_with(guard, clock=clock) as sea:
            run = await sea.start(cashier(world, limits=Limits(active_s=3)), "pay")
            waiting = await clock.until(run.rest())
            assert isinstance(waiting, Waiting)
            assert (waiting.kind, waiting.what, waiting.reason) == (
                "pause",
                "tool:pay",
                "paused by ops: fraud",
            )
            assert (await sea.journal.row(run.id)).state == "waiting"
            assert guard.forgotten == [(run.id, True)]
            await clock.advance(600)
            guard.lift()
            outcome = await clock.until(run.outcome())
            events = await sea.journal.events(run.id)
        assert outcome.status == "completed"
        assert world.calls == ["5 EUR"]
        assert [(each.what, each.by, each.why, each.seconds) for each in outcome.paused] == [
            ("tool:pay", "ops", "fraud", 600.0)
        ]
        assert sum(isinstance(event, Paused) for event in events) == 1
        assert outcome.active_s < 3

    asyncio.run(main())


def test_the_other_calls_of_a_reply_go_on_while_one_waits_for_a_pause() -> None:
    async def main() -> None:
        world, guard = World(), ScriptedGuard(paused("tool:look"), tool="look", name="pause")
        both = calls(call("look", what="a"), call("pay", what="5 EUR"))
        reverse = calls(call("pay", what="5 EUR"), call("look", what="a"))
        for turn in (both, reverse):
            guard.verdict = paused("tool:look")
            async with seawall_with(guard) as sea:
                run = await sea.start(cashier(world, turn, say("Done.")), "go")
                assert isinstance(await rested(run), Waiting)
                guard.lift()
                async with asyncio.timeout(60):
                    assert (await run.outcome()).status == "completed"
        assert world.calls == ["a", "5 EUR", "5 EUR", "a"]

    asyncio.run(main())


def test_a_parked_run_can_be_cancelled_and_its_outcome_names_the_pause() -> None:
    async def main() -> None:
        guard = ScriptedGuard(paused(), tool="pay", name="pause")
        async with seawall_with(guard) as sea:
            run = await sea.start(cashier(World()), "pay")
            assert isinstance(await rested(run), Waiting)
            await run.cancel(by="user:7")
            async with asyncio.timeout(60):
                outcome = await run.outcome()
        assert outcome.status == "cancelled"
        assert [each.what for each in outcome.paused] == ["tool:pay"]

    asyncio.run(main())


def test_a_pause_that_outlives_a_process_holds_the_run_in_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        path, world = tmp_path / "desk.db", World()
        model = ScriptedModel(
            lambda request: (
                say("Paid.") if "5 EUR" in str(request.messages[-1]) else call("pay", what="5 EUR")
            )
        )
        team = Team(Agent("cashier", model=model, tools=[world.writes()]))
        async with seawall_with(ScriptedGuard(paused(), tool="pay", name="pause"), journal=path) as sea:
            run = await sea.start(team, "pay")
            assert isinstance(await rested(run), Waiting)
        async with seawall_with(ScriptedGuard(paused(), tool="pay", name="pause"), journal=path) as sea:
            again = await sea.resume(run.id, team)
            assert isinstance(await rested(again), Waiting)
            assert world.calls == []
        async with seawall_with(journal=path) as sea:
            outcome = await rested(await sea.resume(run.id, team))
        assert outcome.status == "completed"
        assert world.calls == ["5 EUR"]
        assert [each.what for each in outcome.paused] == ["tool:pay", "tool:pay"]

    asyncio.run(main())


def test_a_run_that_is_parked_while_its_inbox_is_read_is_not_taken_up_again_for_nothing() -> None:
    async def main() -> None:
        guard = ScriptedGuard(paused(), tool="pay", name="pause")
        async with seawall_with(guard) as sea:
            run = await sea.start(cashier(World()), "pay")
            assert isinstance(await rested(run), Waiting)
            read = sea.journal.inbox

            async def slowly(run: str, *, after: int = -1) -> Any:
                found = await read(run, after=after)
                if driver := sea.supervisor.registry.drivers.get(run):
                    await driver.finished
                return found

            sea.journal.inbox = slowly
            again = await sea.resume(run.id, cashier(World()))
            assert isinstance(await rested(again), Waiting)
            await asyncio.gather(*sea.supervisor.tasks)
            assert (await sea.journal.row(run.id)).epoch == 2

    asyncio.run(main())


def test_a_replay_takes_the_recorded_verdicts_of_guards_across_runs() -> None:
    async def main() -> None:
        for verdict in (Refuse("the bank is down"), Halt("spent")):
            world, guard = World(), ScriptedGuard(verdict, tool="pay")
            team = cashier(world)
            async with seawall_with(guard) as sea:
                run = await sea.start(team, "pay")
                await rested(run)
                found = await sea.replay(run.id, team)
            assert found.differences == ()

    asyncio.run(main())


def test_a_step_is_acquired_before_its_intent_is_recorded() -> None:
    async def main() -> None:
        guard = ScriptedGuard()
        async with seawall_with(guard) as sea:
            run = await sea.start(cashier(World()), "pay")
            await rested(run)
            events = await sea.journal.events(run.id)
        performed = [event.step for event in events if isinstance(event, StepIntended) and event.perform]
        assert performed == guard.acquired

    asyncio.run(main())
