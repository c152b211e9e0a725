"""What runs share is asked by the gate: a step waits for it, is refused by it, and lets go of it once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from run.sharing import Gatekeeper, brake
from seawall import Agent, Halt, Limits, Refuse, Run, Seawall, Team, Waiting
from seawall.core.events import Judged, Paused, StepIntended
from seawall.guards.shared import Defer
from seawall.models.scripted import calls
from seawall.testing import ManualClock, ScriptedModel, call, fail, hang, say
from team.play import World

BUSY = Defer("no place is free")


def cashier(world: World, *script: Any, **options: Any) -> Team:
    script = script or (call("pay", what="5 EUR"), say("Paid."))
    return Team(
        Agent("cashier", model=ScriptedModel(list(script)), tools=[world.writes(), world.reads()]), **options
    )


def sharing(*shared: Gatekeeper, journal: Any = ":memory:", **options: Any) -> Seawall:
    sea = Seawall(journal, **options)
    sea.supervisor.shared = shared
    return sea


async def rested(run: Run) -> Any:
    async with asyncio.timeout(30):
        return await run.rest()


async def asked(keeper: Gatekeeper, times: int = 1) -> None:
    async with asyncio.timeout(30):
        while len(keeper.asked) < times:
            await asyncio.sleep(0)


def test_a_step_waits_until_what_is_shared_lets_it_pass() -> None:
    async def main() -> None:
        world, keeper = World(), Gatekeeper(BUSY, tool="pay")
        async with sharing(keeper) as sea:
            run = await sea.start(cashier(world), "pay")
            await asked(keeper)
            assert (await sea.journal.row(run.id)).state == "running"
            assert world.calls == []
            keeper.lift()
            outcome = await rested(run)
        assert outcome.status == "completed"
        assert world.calls == ["5 EUR"]
        assert outcome.paused == ()

    asyncio.run(main())


def test_asking_in_vain_records_nothing() -> None:
    async def main() -> None:
        keeper = Gatekeeper(BUSY, tool="pay")
        async with sharing(keeper) as sea:
            run = await sea.start(cashier(World()), "pay")
            await asked(keeper)
            before = len(await sea.journal.events(run.id))
            keeper.waiting[run.id]()
            await asked(keeper, 2)
            assert len(await sea.journal.events(run.id)) == before
            keeper.lift()
            assert (await rested(run)).status == "completed"

    asyncio.run(main())


def test_the_deadline_ends_a_run_that_waits_for_a_place() -> None:
    async def main() -> None:
        clock, world, keeper = ManualClock(), World(), Gatekeeper(BUSY, tool="pay")
        async with sharing(keeper, clock=clock) as sea:
            run = await sea.start(cashier(world, limits=Limits(active_s=3)), "pay")
            outcome = await clock.until(run.outcome())
        assert outcome.status == "halted" and outcome.stopped_by and outcome.stopped_by.guard == "deadline"
        assert world.calls == []
        assert keeper.left == [(run.id, False)]

    asyncio.run(main())


def test_every_step_that_was_taken_is_let_go_of_once() -> None:
    async def main() -> None:
        keeper = Gatekeeper()
        both = calls(call("look", what="a"), call("look", what="b"))
        async with sharing(keeper) as sea:
            outcome = await rested(await sea.start(cashier(World(), both, say("Done.")), "look"))
        assert outcome.status == "completed"
        assert sorted(keeper.taken) == [1, 2, 3, 4]
        assert sorted(keeper.done_with) == [(1, "ok"), (2, "ok"), (3, "ok"), (4, "ok")]

    asyncio.run(main())


def test_a_step_in_flight_is_let_go_of_when_its_run_is_cancelled_or_given_up() -> None:
    async def main() -> None:
        cancelled, given_up = Gatekeeper(), Gatekeeper()
        async with sharing(cancelled) as sea:
            run = await sea.start(cashier(World(), hang()), "pay")
            await run.cancel(by="ops")
            assert (await rested(run)).status == "cancelled"
        async with sharing(given_up) as sea:
            run = await sea.start(cashier(World(), hang()), "pay")
        assert cancelled.done_with == [(1, "cancelled")]
        assert given_up.done_with == [(1, "cancelled")]
        assert given_up.left == [(run.id, False)]

    asyncio.run(main())


def test_a_refused_tool_is_told_to_the_agent_and_recorded() -> None:
    async def main() -> None:
        world, keeper = World(), Gatekeeper(Refuse("the bank is down", "failed=5", 7), tool="pay")
        async with sharing(keeper) as sea:
            run = await sea.start(cashier(world), "pay")
            outcome = await rested(run)
            events = await sea.journal.events(run.id)
        assert outcome.status == "completed"
        assert world.calls == []
        (said,) = [event for event in events if isinstance(event, Judged)]
        assert (said.guard, said.verdict, said.limit, said.value) == ("endpoints", "refuse", "failed=5", "7")

    asyncio.run(main())


def test_what_is_shared_can_halt_a_run() -> None:
    async def main() -> None:
        keeper = Gatekeeper(Halt("the day's money is spent", "day_usd=1", "1.2"), tool="pay", name="budget")
        async with sharing(keeper) as sea:
            outcome = await rested(await sea.start(cashier(World()), "pay"))
        assert (outcome.status, outcome.stopped_by.guard) == ("halted", "budget")
        assert outcome.stopped_by.limit == "day_usd=1"

    asyncio.run(main())


@pytest.mark.parametrize("word", [BUSY, Refuse("down"), Halt("spent")])
def test_in_observe_it_lets_pass_and_counts_all_the_same(word: Any) -> None:
    async def main() -> None:
        world, keeper = World(), Gatekeeper(word, tool="pay")
        async with sharing(keeper, modes={"endpoints": "observe"}) as sea:
            outcome = await rested(await sea.start(cashier(world), "pay"))
        assert outcome.status == "completed"
        assert world.calls == ["5 EUR"]
        assert len(keeper.taken) == len(keeper.done_with) == 3

    asyncio.run(main())


def test_a_retry_that_nobody_can_afford_is_not_made() -> None:
    async def main() -> None:
        keeper = Gatekeeper()
        keeper.tries = False
        model = [fail("overloaded", "503"), say("Never said.")]
        async with sharing(keeper) as sea:
            outcome = await rested(await sea.start(cashier(World(), *model), "pay"))
        assert outcome.status == "failed"
        assert outcome.model_calls == 1

    asyncio.run(main())


def test_a_run_that_waits_for_a_brake_is_parked_and_its_clock_stands_still() -> None:
    async def main() -> None:
        clock, world, keeper = ManualClock(), World(), Gatekeeper(brake(), tool="pay", name="pause")
        async with sharing(keeper, clock=clock) as sea:
            run = await sea.start(cashier(world, limits=Limits(active_s=3)), "pay")
            waiting = await clock.until(run.rest())
            assert isinstance(waiting, Waiting)
            assert (waiting.kind, waiting.what, waiting.reason) == (
                "pause",
                "tool:pay",
                "paused by ops: fraud",
            )
            assert (await sea.journal.row(run.id)).state == "waiting"
            assert keeper.left == [(run.id, True)]
            await clock.advance(600)
            keeper.lift()
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


def test_the_others_of_a_turn_go_on_while_one_waits_for_a_brake() -> None:
    async def main() -> None:
        world, keeper = World(), Gatekeeper(brake("tool:look"), tool="look", name="pause")
        both = calls(call("look", what="a"), call("pay", what="5 EUR"))
        reverse = calls(call("pay", what="5 EUR"), call("look", what="a"))
        for turn in (both, reverse):
            keeper.word = brake("tool:look")
            async with sharing(keeper) as sea:
                run = await sea.start(cashier(world, turn, say("Done.")), "go")
                assert isinstance(await rested(run), Waiting)
                keeper.lift()
                async with asyncio.timeout(30):
                    assert (await run.outcome()).status == "completed"
        assert world.calls == ["a", "5 EUR", "5 EUR", "a"]

    asyncio.run(main())


def test_a_parked_run_can_be_cancelled_and_its_outcome_names_the_brake() -> None:
    async def main() -> None:
        keeper = Gatekeeper(brake(), tool="pay", name="pause")
        async with sharing(keeper) as sea:
            run = await sea.start(cashier(World()), "pay")
            assert isinstance(await rested(run), Waiting)
            await run.cancel(by="user:7")
            async with asyncio.timeout(30):
                outcome = await run.outcome()
        assert outcome.status == "cancelled"
        assert [each.what for each in outcome.paused] == ["tool:pay"]

    asyncio.run(main())


def test_a_brake_that_outlives_its_process_is_met_again_by_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        path, world = tmp_path / "desk.db", World()
        model = ScriptedModel(
            lambda request: (
                say("Paid.") if "5 EUR" in str(request.messages[-1]) else call("pay", what="5 EUR")
            )
        )
        team = Team(Agent("cashier", model=model, tools=[world.writes()]))
        async with sharing(Gatekeeper(brake(), tool="pay", name="pause"), journal=path) as sea:
            run = await sea.start(team, "pay")
            assert isinstance(await rested(run), Waiting)
        async with sharing(Gatekeeper(brake(), tool="pay", name="pause"), journal=path) as sea:
            again = await sea.resume(run.id, team)
            assert isinstance(await rested(again), Waiting)
            assert world.calls == []
        async with sharing(journal=path) as sea:
            outcome = await rested(await sea.resume(run.id, team))
        assert outcome.status == "completed"
        assert world.calls == ["5 EUR"]
        assert [each.what for each in outcome.paused] == ["tool:pay", "tool:pay"]

    asyncio.run(main())


def test_a_run_that_is_parked_while_its_inbox_is_read_is_not_taken_up_again_for_nothing() -> None:
    async def main() -> None:
        keeper = Gatekeeper(brake(), tool="pay", name="pause")
        async with sharing(keeper) as sea:
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


def test_a_replay_takes_the_word_of_what_is_shared_as_it_was() -> None:
    async def main() -> None:
        for word in (Refuse("the bank is down"), Halt("spent")):
            world, keeper = World(), Gatekeeper(word, tool="pay")
            team = cashier(world)
            async with sharing(keeper) as sea:
                run = await sea.start(team, "pay")
                await rested(run)
                found = await sea.replay(run.id, team)
            assert found.differences == ()

    asyncio.run(main())


def test_the_gate_is_told_of_a_place_before_the_intent_is_recorded() -> None:
    async def main() -> None:
        keeper = Gatekeeper()
        async with sharing(keeper) as sea:
            run = await sea.start(cashier(World()), "pay")
            await rested(run)
            events = await sea.journal.events(run.id)
        performed = [event.step for event in events if isinstance(event, StepIntended) and event.perform]
        assert performed == keeper.taken

    asyncio.run(main())
