"""Definitions of teams with a planner, and what the planner learns from runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from seawall import Agent, Limits, Misused, Planner, Seawall, Team, tool
from seawall.core.events import Planned
from seawall.planner.latencies import MIN_DURATIONS
from seawall.testing import ManualClock, ScriptedModel, call, say, slow


@tool
def look() -> str:
    """Look."""
    return "x"


@tool(effect=True)
def pay() -> str:
    """Pay."""
    return "x"


def agent(name: str, **options: Any) -> Agent:
    return Agent(name, model=ScriptedModel([]), **options)


def test_a_team_with_nothing_to_prune_has_no_planner_of_itself() -> None:
    assert (
        Team("desk", agent("boss"), specialists=[agent("clerk")], reviewer=agent("auditor")).planner is None
    )


@pytest.mark.parametrize(
    "options",
    [
        {"specialists": [agent("archivist", optional=True)]},
        {"specialists": [Team("inner", agent("lead"), specialists=[agent("archivist", optional=True)])]},
        {"fallback": agent("quick", tools=[look])},
    ],
)
def test_an_optional_agent_or_a_fallback_implies_a_planner(options: dict[str, Any]) -> None:
    assert Team("desk", agent("boss"), **options).planner == Planner()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fallback": agent("quick", tools=[pay])}, "fallback 'quick' may only read, and 'pay' is an effect"),
        ({"fallback": agent("quick", asks=["clerk"])}, "fallback 'quick' may not ask other agents"),
        ({"fallback": agent("boss")}, "two agents of the name 'boss'"),
        ({"fallback": agent("quick", optional=True)}, "fallback 'quick' is optional"),
        ({"reviewer": agent("auditor", optional=True)}, "reviewer 'auditor' is optional"),
        ({"fallback": "quick"}, "fallback is 'quick', which is not an Agent"),
        ({"planner": "soon"}, "planner is 'soon'"),
        ({"planner": Planner(priors={"agent:nobody": 1})}, "no such agent"),
        ({"planner": Planner(priors={"tool:look": 1})}, "no such tool"),
    ],
)
def test_what_no_planner_could_keep_to_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Misused, match=said):
        Team("desk", agent("boss"), specialists=[agent("clerk")], **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quantile": 1.0}, "quantile is 1.0; it must be between 0 and 1"),
        ({"quantile": "high"}, "quantile is 'high'; it must be a number"),
        ({"chance": 0.9}, "chance is 0.9; it must be above 0, up to quantile 0.8"),
        ({"margin_s": -1}, "margin_s is -1"),
        ({"priors": {"clerk": 1}}, "prior 'clerk' is not of the form"),
        ({"priors": {"agent:clerk": -1}}, "prior 'agent:clerk' is -1"),
        ({"priors": [1]}, "priors is"),
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Misused, match=said):
        Planner(**options)


def test_nobody_can_ask_the_fallback_agent() -> None:
    with pytest.raises(Misused, match="'quick', which is not in team"):
        Team("desk", agent("boss", asks=["quick"]), fallback=agent("quick"))


def test_what_runs_took_is_known_to_the_runs_after_them() -> None:
    async def main() -> None:
        clock = ManualClock()
        scripts = [slow(1, call("ask_archivist", task="a")), slow(1, "Done.")]
        boss = ScriptedModel([*scripts * (MIN_DURATIONS + 1)], clock=clock)
        archivist = ScriptedModel([slow(7, say("old"))] * (MIN_DURATIONS + 1), clock=clock)
        team = Team(
            "desk",
            Agent("boss", model=boss),
            specialists=[Agent("archivist", model=archivist, optional=True)],
            limits=Limits(active_s=20),
        )
        async with Seawall(clock=clock, environment={}) as sea:
            for _ in range(MIN_DURATIONS):
                assert (await clock.until((await sea.start(team, "go")).outcome())).pruned == ()
            run = await sea.start(team, "go", limits=Limits(active_s=9))
            outcome = await clock.until(run.outcome())
            events = await sea.journal.events(run.id)
        assert outcome.pruned == ("agent:archivist",)
        planned = next(event for event in events if isinstance(event, Planned))
        assert (planned.left_s, planned.needed_s) == (8.0, 7 + 1 + 0.05)

    asyncio.run(main())


def test_a_coordinator_may_be_optional_where_its_team_is_a_specialist() -> None:
    inner = Team("inner", agent("lead", optional=True), specialists=[agent("helper")])

    assert Team("desk", agent("boss"), specialists=[inner]).members["lead"].agent.optional
