"""Pauses that people set: which steps they hold, for how long, and in every process."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from seawall import (
    Agent,
    Budget,
    Caps,
    EndpointOptions,
    Limits,
    Misused,
    Outcome,
    Refused,
    Run,
    Seawall,
    Team,
    Tool,
    Waiting,
)
from seawall.core.events import StepIntended, StepKind
from seawall.guards.pauses import Pauses, find_in_flight
from seawall.guards.shared import Pause
from seawall.journal.protocol import Setting, SettingKind, Spend
from seawall.testing import ManualClock, ScriptedModel, call, calls, say
from team.play import World

T = TypeVar("T")


def set_to(what: str, value: str = "on", *, at: float, until: float | None = None) -> Setting:
    return Setting(kind="pause", name=what, value=value, by="ops", why="fraud", at=at, until=until)


def pauses(clock: ManualClock, *settings: Setting) -> Pauses:
    found = Pauses(clock)
    found.read({(each.kind, each.name): each for each in settings})
    return found


@pytest.mark.parametrize(
    ("what", "kind", "name", "agent", "held"),
    [
        ("all", "model", "m", "clerk", True),
        ("tenant:acme", "tool", "look", "clerk", True),
        ("tenant:bolt", "tool", "look", "clerk", False),
        ("run:r-1", "handoff", "cashier", "clerk", True),
        ("run:r-2", "handoff", "cashier", "clerk", False),
        ("agent:clerk", "model", "m", "clerk", True),
        ("agent:clerk", "tool", "look", "clerk", True),
        ("agent:cashier", "tool", "look", "clerk", False),
        ("agent:cashier", "handoff", "cashier", "clerk", True),
        ("agent:cashier", "review", "cashier", "clerk", True),
        ("agent:m", "model", "m", "clerk", False),
        ("tool:look", "tool", "look", "clerk", True),
        ("tool:look", "tool", "pay", "clerk", False),
        ("tool:look", "model", "look", "clerk", False),
        ("tool:cashier", "handoff", "cashier", "clerk", False),
    ],
)
def test_a_pause_holds_what_it_names(what: str, kind: StepKind, name: str, agent: str, held: bool) -> None:
    on = pauses(ManualClock(), set_to(what, at=0))

    pause = on.find(kind, name, agent, "acme", "r-1")

    assert pause == (Pause(what=what, by="ops", why="fraud", since=0) if held else None)


def test_of_several_pauses_the_widest_is_named_and_a_lifted_one_holds_nothing() -> None:
    clock = ManualClock()
    on = pauses(clock, set_to("tool:pay", at=1), set_to("tenant:acme", at=2), set_to("all", "off", at=3))

    held = on.find("tool", "pay", "clerk", "acme", "r-1")

    assert held and held.what == "tenant:acme"
    assert [pause.what for pause in on.list_pauses()] == ["tool:pay", "tenant:acme"]
    assert repr(on) == "<Pauses tool:pay, tenant:acme, 0 held>"


@pytest.mark.parametrize("jump_s", [-3600.0, 86_400.0])
def test_a_pause_lasts_as_long_as_was_set_whatever_the_wall_clock_does(jump_s: float) -> None:
    async def main() -> None:
        clock = ManualClock()
        at = clock.wall_s()
        on = pauses(clock, set_to("all", at=at, until=at + 60))
        clock.jump_wall(jump_s)
        await clock.advance(59)
        assert on.get("all") is not None
        await clock.advance(1)
        assert on.get("all") is None
        assert on.list_pauses() == []

    asyncio.run(main())


# ---- in runs


def clerk(world: World, *script: Any) -> Team:
    script = script or (calls(call("look", what="a"), call("pay", what="5")), say("Done."))
    model = ScriptedModel(list(script), by="position")
    return Team(Agent("clerk", model=model, tools=[world.writes(), world.reads()]))


async def soon(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(60):
        return await awaitable


async def parked(run: Run) -> Waiting:
    rest = await soon(run.rest())
    assert isinstance(rest, Waiting)
    return rest


async def steps(sea: Seawall, run: Run) -> list[StepIntended]:
    return [each for each in await sea.journal.events(run.id) if isinstance(each, StepIntended)]


def test_a_paused_tool_is_not_called_others_are_and_the_run_goes_on_when_it_is_lifted() -> None:
    async def main() -> None:
        world = World()
        async with Seawall() as sea:
            await sea.pause("tool:pay", by="ops", why="fraud")
            run = await sea.start(clerk(world), "go")
            rest = await parked(run)
            assert (rest.kind, rest.what) == ("pause", "tool:pay")
            assert world.calls == ["a"]
            await sea.unpause("tool:pay", by="ops")
            outcome = await soon(run.outcome())
        assert outcome.status == "completed"
        assert world.calls == ["a", "5"]
        assert [(each.what, each.by, each.why) for each in outcome.paused] == [("tool:pay", "ops", "fraud")]

    asyncio.run(main())


def test_a_pause_acts_in_every_process_and_so_does_lifting_it(tmp_path: Path) -> None:
    async def main() -> None:
        world = World()
        async with Seawall(tmp_path / "desk.db") as here, Seawall(tmp_path / "desk.db") as there:
            await there.pause("agent:clerk", by="ops")
            while not here.supervisor.pauses.list_pauses():
                await asyncio.sleep(0)
            run = await here.start(clerk(world), "go")
            assert (await parked(run)).what == "agent:clerk"
            assert [pause.what for pause in await here.pauses()] == ["agent:clerk"]
            await there.unpause("agent:clerk", by="ops")
            assert (await soon(run.outcome())).status == "completed"

    asyncio.run(main())


def test_a_pause_for_a_time_lifts_itself() -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        async with Seawall(clock=clock) as sea:
            await sea.pause("tool:pay", by="ops", for_s=60)
            run = await sea.start(clerk(world), "go")
            rest = await clock.until(run.rest(), limit_s=30)
            assert isinstance(rest, Waiting)
            outcome = await clock.until(run.outcome(), limit_s=120)
        assert outcome.status == "completed"
        assert outcome.active_s < 1  # its clock stood still

    asyncio.run(main())


def test_one_pause_after_another_holds_the_run_until_none_does() -> None:
    async def main() -> None:
        world = World()
        async with Seawall() as sea:
            await sea.pause("tool:pay", by="ops")
            run = await sea.start(clerk(world), "go")
            await parked(run)
            await sea.pause(f"run:{run.id}", by="ops")
            await sea.unpause("tool:pay", by="ops")
            while (await parked(run)).what != f"run:{run.id}":
                await asyncio.sleep(0)
            assert world.calls == ["a"]
            await sea.unpause(f"run:{run.id}", by="ops")
            assert (await soon(run.outcome())).status == "completed"
            assert repr(sea.supervisor.pauses) == "<Pauses none, 0 held>"

    asyncio.run(main())


def test_a_reading_that_began_before_a_pause_was_put_on_does_not_lift_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        world = World()
        async with Seawall(clock=ManualClock()) as sea:
            began, may_end, settings = asyncio.Event(), asyncio.Event(), sea.journal.settings

            async def slow() -> dict[tuple[SettingKind, str], Setting]:
                monkeypatch.setattr(sea.journal, "settings", settings)
                old = await settings()
                began.set()
                await may_end.wait()
                return old

            monkeypatch.setattr(sea.journal, "settings", slow)
            looking = asyncio.create_task(sea.pauses())
            await began.wait()
            await sea.pause("tool:pay", by="ops")
            may_end.set()

            assert [each.what for each in await looking] == ["tool:pay"]
            await parked(await sea.start(clerk(world), "go"))
            assert world.calls == ["a"]

    asyncio.run(main())


def test_a_pause_that_is_set_anew_wakes_nobody() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            await sea.pause("tool:pay", by="ops")
            run = await sea.start(clerk(World()), "go")
            await parked(run)
            before = (await sea.journal.row(run.id)).epoch
            await sea.pause("tool:pay", by="boss", why="still")
            await sea.unpause("tool:pay", by="boss")
            await soon(run.outcome())
            assert (await sea.journal.row(run.id)).epoch == before + 1

    asyncio.run(main())


def test_a_run_that_is_held_from_its_first_step_is_begun_once_and_goes_on_once() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            await sea.pause("agent:clerk", by="ops")
            run = await sea.start(clerk(World()), "go")
            await parked(run)
            await sea.unpause("agent:clerk", by="ops")
            rest = await soon(run.rest())  # its pause is off: it does not wait for that any more
            assert isinstance(rest, Outcome) and rest.status == "completed"
            assert [each.what for each in rest.paused] == ["agent:clerk"]
            assert (await sea.journal.row(run.id)).epoch == 2

    asyncio.run(main())


def test_a_retry_that_waits_for_its_time_is_not_made_under_a_pause() -> None:
    async def main() -> None:
        clock, tries = ManualClock(), list[float]()

        async def bank() -> str:
            """Ask the bank."""
            tries.append(clock.monotonic_s())
            if len(tries) == 1:
                raise ConnectionError("reset")
            return "ok"

        model = ScriptedModel([call("bank"), say("Done.")], by="position")
        team = Team(Agent("clerk", model=model, tools=[Tool(bank, retries=1)]), limits=Limits(tool_calls=2))
        endpoints = {"tool": EndpointOptions(outlast=False)}
        async with Seawall(clock=clock, budget=Budget(tenant=Caps(tool_calls=2)), endpoints=endpoints) as sea:
            run = await sea.start(team, "go")
            while len(await steps(sea, run)) != 3:
                await asyncio.sleep(0)
            assert [each.name for each in (await find_in_flight(sea.journal, ["tool:bank"]))[0]] == ["bank"]
            await sea.pause("tool:bank", by="ops")
            assert (await parked(run)).what == "tool:bank"
            assert await find_in_flight(sea.journal, ["tool:bank"]) == ([], False)
            await clock.advance(60)
            assert tries == [0]
            await sea.unpause("tool:bank", by="ops")
            outcome = await clock.until(run.outcome())
            (books,) = await sea.journal.accounts(tenant="", day="*")
            replayed = await sea.replay(run.id, team)
        assert (outcome.status, outcome.tool_calls) == ("completed", 2)
        assert len(tries) == 2
        assert (books.spent.tool_calls, books.reserved) == (2, Spend())
        assert replayed.differences == ()

    asyncio.run(main())


def test_a_call_that_waits_for_a_thread_of_its_tool_is_not_made_under_a_pause() -> None:
    async def main() -> None:
        called, free = queue.SimpleQueue[str](), threading.Event()

        def slow(what: str) -> str:
            """Take long."""
            called.put(what)
            assert free.wait(30)
            return what

        both = calls(call("slow", what="a"), call("slow", what="b"))
        model = ScriptedModel([both, say("Done.")], by="position")
        async with Seawall() as sea:
            run = await sea.start(Team(Agent("clerk", model=model, tools=[Tool(slow, threads=1)])), "go")
            while called.empty():
                await asyncio.sleep(0)
            await sea.pause("tool:slow", by="ops")
            free.set()
            assert (await parked(run)).what == "tool:slow"
            assert called.qsize() == 1
            await sea.unpause("tool:slow", by="ops")
            outcome = await soon(run.outcome())
        assert (outcome.status, outcome.tool_calls) == ("completed", 2)
        assert [called.get(), called.get()] == ["a", "b"]

    asyncio.run(main())


def test_a_hand_off_to_a_paused_agent_waits() -> None:
    async def main() -> None:
        cashier = Agent("cashier", model=ScriptedModel([say("Paid.")]))
        boss = Agent(
            "boss", model=ScriptedModel([call("ask_cashier", task="pay"), say("Done.")], by="position")
        )
        async with Seawall() as sea:
            await sea.pause("agent:cashier", by="ops")
            run = await sea.start(Team("desk", boss, specialists=[cashier]), "go")
            assert (await parked(run)).what == "agent:cashier"
            assert [step.kind for step in await steps(sea, run)] == ["model"]
            await sea.unpause("agent:cashier", by="ops")
            assert (await soon(run.outcome())).status == "completed"

    asyncio.run(main())


def test_a_paused_run_is_cancelled_and_nothing_is_kept_of_it() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            await sea.pause("tool:pay", by="ops")
            run = await sea.start(clerk(World()), "go")
            await parked(run)
            await run.cancel(by="ops")
            assert (await soon(run.outcome())).status == "cancelled"
            assert repr(sea.supervisor.pauses) == "<Pauses tool:pay, 0 held>"

    asyncio.run(main())


@pytest.mark.parametrize("what", ["tenant:acme", "all"])
def test_new_runs_are_refused_at_the_door_with_the_time_that_is_left(what: str) -> None:
    async def main() -> None:
        clock, world = ManualClock(), World()
        async with Seawall(clock=clock) as sea:
            known = await sea.start(clerk(world), "go", tenant="acme", request_id="a")
            await clock.until(known.outcome())
            await sea.pause(what, by="ops", why="audit", for_s=60)
            await clock.advance(20)
            with pytest.raises(
                Refused, match=rf"{what} is paused by ops \(audit\): try again in 40.0 s"
            ) as refused:
                await sea.start(clerk(world), "go", tenant="acme")
            assert (refused.value.guard, refused.value.value) == ("pause", what)
            assert refused.value.retry_after_s == pytest.approx(40)
            assert (await sea.start(clerk(world), "go", tenant="acme", request_id="a")).id == known.id
            assert len(await sea.journal.runs()) == 1
            await clock.advance(40)
            assert (await clock.until((await sea.start(clerk(world), "go", tenant="acme")).outcome())).answer

    asyncio.run(main())


def test_a_pause_that_is_on_holds_after_the_same_seawall_was_closed_and_opened_again(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        sea = Seawall(tmp_path / "desk.db", clock=clock)
        async with sea:
            await sea.pause("all", by="ops", for_s=60)
        async with sea:
            assert [pause.what for pause in await sea.pauses()] == ["all"]
            await clock.advance(60)
            assert await sea.pauses() == []

    asyncio.run(main())


@pytest.mark.parametrize("what", ["", "refund", "tool:", "tool: ", "team:desk", "all:", ":x"])
def test_what_can_not_be_paused_is_misuse(what: str) -> None:
    async def main() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match="cannot be paused: write one of"):
                await sea.pause(what, by="ops")

    asyncio.run(main())


def test_a_pause_says_who_and_for_how_long_and_lifting_one_that_is_not_on_is_misuse() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match="by is ' '"):
                await sea.pause("all", by=" ")
            with pytest.raises(Misused, match="for_s is 0"):
                await sea.pause("all", by="ops", for_s=0)
            with pytest.raises(Misused, match="r-none is not in the journal"):
                await sea.pause("run:r-none", by="ops")
            await sea.pause("tool:pay", by="ops")
            with pytest.raises(Misused, match=r"'all' is not paused \(paused: tool:pay\)"):
                await sea.unpause("all", by="ops")

    asyncio.run(main())
