"""Replay decides again over recorded results, and names what would be decided differently today."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from history.desk import desk, recorded
from seawall import Agent, Limits, Loops, Outcome, Seawall, Team, tool
from seawall.core.clock import Timer
from seawall.history.replay import Replay
from seawall.testing import ManualClock, ScriptedModel, call, calls, hang, say, slow


def words(replay: Replay) -> list[tuple[int | None, str, str]]:
    return [(one.step, one.what, one.today.split(":")[0]) for one in replay.differences]


def test_a_run_replayed_with_the_same_team_differs_in_nothing() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        replay = await sea.replay(outcome.run, desk())
        assert replay.differences == ()
        assert replay.steps == 7

    recorded(desk(), check)


def test_a_tighter_limit_is_named_at_every_call_that_it_would_have_stopped() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        replay = await sea.replay(outcome.run, desk(), limits=Limits(tool_calls=1))
        assert words(replay) == [(4, "verdict", "halt by 'limits'")]
        assert replay.differences[0].unmade == 4, "two calls, and the two replies after them"

    recorded(desk(), check)


def test_a_fan_out_that_was_only_observed_is_halted_by_limits_that_are_enforced() -> None:
    @tool
    def look(number: int) -> str:
        """Look."""
        return str(number)

    def wide() -> Team:
        script = [calls(*[call("look", number=number) for number in range(6)]), say("Done.")]
        limits = Limits(tool_calls=4)
        return Team(Agent("wide", model=ScriptedModel(script), tools=[look]), limits=limits)

    async def scenario() -> None:
        async with Seawall() as sea:
            run = await sea.start(wide(), "Look six times.", modes={"limits": "observe"})
            outcome = await run.outcome()
            assert outcome.tool_calls == 6
            replay = await sea.replay(outcome.run, wide(), modes={"limits": "enforce"})
            assert words(replay) == [(6, "verdict", "halt by 'limits'")]
            assert replay.differences[0].unmade == 3, "two calls, and the reply after them"

    asyncio.run(scenario())


def test_a_halted_run_goes_on_where_todays_guard_allows_more() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        assert outcome.status == "halted"
        replay = await sea.replay(outcome.run, desk(guards=[Loops(no_news=5)]))
        assert [one.what for one in replay.differences] == ["verdict"]
        assert replay.differences[0].recorded.startswith("halt by 'loops'")
        assert replay.differences[0].today == "goes on: tool 'find_order' by 'desk'"

    recorded(desk(9), check)


def test_a_changed_prompt_is_named_once() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        today = desk()
        changed = Agent("desk", "Terse.", model=today.coordinator.model, tools=today.coordinator.tools)
        replay = await sea.replay(outcome.run, Team(changed))
        assert [(one.step, one.what) for one in replay.differences] == [(1, "version")]

    recorded(desk(), check)


def test_a_shorter_deadline_is_named_where_it_would_have_passed() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        replay = await sea.replay(outcome.run, desk(), limits=Limits(active_s=1e-9))
        assert words(replay) == [(1, "verdict", "halt")]

    recorded(desk(), check)


class LateClock(ManualClock):
    """A clock whose timers come a little late, as those of a real machine do."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return super().call_later(delay_s + 0.001, callback)


def test_a_run_that_its_deadline_halted_differs_in_nothing() -> None:
    async def scenario() -> None:
        clock = LateClock()
        team = Team(Agent("slow", model=ScriptedModel([hang()])), limits=Limits(active_s=1))
        async with Seawall(clock=clock) as sea:
            outcome = await clock.until((await sea.start(team, "Wait.")).outcome())
            assert outcome.stopped_by is not None
            assert outcome.stopped_by.guard == "deadline"
            assert outcome.active_s > 1
            assert (await sea.replay(outcome.run, team)).differences == ()

    asyncio.run(scenario())


def test_a_result_that_came_just_before_a_late_deadline_is_no_difference() -> None:
    async def scenario() -> None:
        clock = LateClock()

        @tool
        def look() -> str:
            """Look."""
            return "something"

        first = slow(1.0005, call("look"))
        model = ScriptedModel([first, hang()], clock=clock)
        team = Team(Agent("slow", model=model, tools=[look]), limits=Limits(active_s=1.001))
        async with Seawall(clock=clock) as sea:
            outcome = await clock.until((await sea.start(team, "Look.")).outcome())
            assert outcome.stopped_by is not None
            assert outcome.stopped_by.guard == "deadline"
            assert (await sea.replay(outcome.run, team)).differences == ()

    asyncio.run(scenario())


def test_a_removed_agent_is_a_decision_that_differs() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        other = Team(Agent("other", model=ScriptedModel([say("?")])))
        replay = await sea.replay(outcome.run, other)
        assert replay.differences[0].what == "decision"
        assert "ends the run as failed" in replay.differences[0].today

    recorded(desk(), check)


def test_replay_performs_nothing() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        before = (await sea.journal.row(outcome.run)).events
        today = desk()
        await sea.replay(outcome.run, today)
        model = today.coordinator.model
        assert isinstance(model, ScriptedModel)
        assert model.request_count == 0
        assert (await sea.journal.row(outcome.run)).events == before

    recorded(desk(), check)
