"""A guard's mode is set live, for a limited time or not, and the journal records who did it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guards.verdicts import Says
from seawall import Agent, Misused, Refuse, Seawall, Team
from seawall.core.events import GuardSet
from seawall.journal.protocol import Setting
from seawall.runtime.modes import GuardModes
from seawall.testing import ManualClock, ScriptedModel, call, say, slow
from team.play import World


def desk(world: World, clock: ManualClock) -> Team:
    model = ScriptedModel(
        [
            slow(10, call("look", what="1")),
            slow(10, call("look", what="2")),
            slow(10, call("look", what="3")),
            say("."),
        ],
        clock=clock,
    )
    return Team(Agent("clerk", model=model, tools=[world.reads()]))


def test_a_switch_holds_for_runs_in_flight_and_goes_back_when_it_expires() -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        async with Seawall(clock=clock, guards=[Says(Refuse("no"))]) as sea:
            run = await sea.start(desk(world, clock), "go")
            await sea.set_guard("says", "observe", by="ops", for_s=15)
            await clock.advance(10.5)
            assert world.calls == ["1"]
            await clock.advance(10)
            outcome = await clock.until(run.outcome())
            events = await sea.journal.events(run.id)

        assert outcome.status == "completed"
        assert world.calls == ["1"]
        sets = [(event.mode, event.by) for event in events if isinstance(event, GuardSet)]
        assert sets == [("observe", "ops"), ("enforce", "expired")]

    asyncio.run(main())


def test_a_switch_is_taken_back_while_a_run_is_in_flight() -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        async with Seawall(clock=clock, guards=[Says(Refuse("no"))]) as sea:
            run = await sea.start(desk(world, clock), "go")
            await sea.set_guard("says", "observe", by="ops")
            await clock.advance(10.5)
            await sea.set_guard("says", "auto", by="jo")
            await clock.until(run.outcome())
            events = await sea.journal.events(run.id)

        assert world.calls == ["1"]
        sets = [(event.mode, event.by) for event in events if isinstance(event, GuardSet)]
        assert sets == [("observe", "ops"), ("enforce", "jo")]

    asyncio.run(main())


@pytest.mark.parametrize("jump_s", [-5.0, -86_400.0, 3_600.0])
def test_a_switch_lasts_as_long_as_it_was_set_for_whatever_the_wall_clock_does(jump_s: float) -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        async with Seawall(clock=clock, guards=[Says(Refuse("no"))]) as sea:
            run = await sea.start(desk(world, clock), "go")
            await sea.set_guard("says", "off", by="ops", for_s=15)
            await clock.advance(1)
            clock.jump_wall(jump_s)
            await clock.until(run.outcome())

        assert world.calls == ["1"]

    asyncio.run(main())


def test_a_switch_read_after_the_wall_clock_was_put_back_lasts_no_longer_than_it_was_set_for() -> None:
    async def main() -> None:
        clock, told = ManualClock(), list[float]()
        now = clock.wall_s()
        off = Setting(kind="guard", name="says", value="off", by="another process", at=now, until=now + 15)
        clock.jump_wall(-3_600)
        switches = GuardModes(clock)
        assert switches.read({("guard", "says"): off}, lambda: told.append(clock.monotonic_s()))
        assert [mode for _, mode, _, _ in switches.list_live({"says": "enforce"})] == ["off"]
        await clock.advance(7_200)
        assert [mode for _, mode, _, _ in switches.list_live({"says": "enforce"})] == ["enforce"]
        assert told == [15.0]

    asyncio.run(main())


def test_a_switch_ends_in_time_on_a_machine_that_was_suspended() -> None:
    async def main() -> None:
        clock, told = ManualClock(), list[float]()
        now = clock.wall_s()
        off = Setting(kind="guard", name="says", value="off", by="ops", at=now, until=now + 900)
        switches = GuardModes(clock)
        switches.read({("guard", "says"): off}, lambda: told.append(clock.boottime_s()))
        await clock.advance(10)
        clock.suspend(1_000)
        assert [mode for _, mode, _, _ in switches.list_live({"says": "enforce"})] == ["enforce"]
        await clock.advance(60)
        assert told == [1_060.0], "runs in flight learn it within a minute"

    asyncio.run(main())


def test_a_switch_set_anew_lasts_from_then_on() -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        async with Seawall(clock=clock, guards=[Says(Refuse("no"))]) as sea:
            run = await sea.start(desk(world, clock), "go")
            await sea.set_guard("says", "off", by="ops", for_s=5)
            await clock.advance(4)
            await sea.set_guard("says", "off", by="ops", for_s=20)
            await clock.until(run.outcome())

        assert world.calls == ["1", "2"]

    asyncio.run(main())


def test_a_switch_holds_for_runs_to_come_and_is_recorded_in_them() -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        async with Seawall(clock=clock, guards=[Says(Refuse("no"))]) as sea:
            await sea.set_guard("says", "off", by="ops")
            run = await sea.start(desk(world, clock), "go")
            await clock.until(run.outcome())
            events = await sea.journal.events(run.id)

        assert world.calls == ["1", "2", "3"]
        assert [(event.mode, event.by) for event in events if isinstance(event, GuardSet)] == [("off", "ops")]

    asyncio.run(main())


def test_the_deadline_switched_off_lets_a_run_go_on() -> None:
    async def main() -> None:
        from seawall import Limits

        clock, world = ManualClock(), World()
        async with Seawall(clock=clock) as sea:
            run = await sea.start(desk(world, clock), "go", limits=Limits(active_s=12))
            await sea.set_guard("deadline", "off", by="ops")
            outcome = await clock.until(run.outcome())
        assert outcome.status == "completed"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("mode", "for_s", "named"), [("loud", None, "'loud'"), ("off", 0, "for_s is 0"), ("off", -1.0, "-1")]
)
def test_a_switch_that_makes_no_sense_is_refused(mode: Any, for_s: Any, named: str) -> None:
    async def main() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match=named):
                await sea.set_guard("loops", mode, by="ops", for_s=for_s)

    asyncio.run(main())


@pytest.mark.parametrize("by", ["", "  "])
def test_a_switch_without_a_name_of_who_did_it_is_refused(by: str) -> None:
    async def main() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match="name who does it"):
                await sea.set_guard("loops", "off", by=by)
            assert await sea.journal.settings() == {}

    asyncio.run(main())


def test_a_guard_that_this_process_does_not_know_is_set_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        team = Team(Agent("clerk", model=ScriptedModel([say(".")])), guards=[Says(Refuse("no"))])
        async with Seawall() as sea:
            await (await sea.start(team, "go")).outcome()
            for known in ("says", "loops", "limits", "deadline"):
                await sea.set_guard(known, "observe", by="ops")
            assert caplog.messages == []
            await sea.set_guard("lops", "off", by="ops")
            assert ("guard", "lops") in await sea.journal.settings()

    asyncio.run(main())
    (told,) = caplog.messages
    assert told.startswith(
        "guard 'lops' was set, and this process knows only: authority, budget, context, deadline,"
    )
    assert told.endswith("limits, loops, planner, says, waste")
