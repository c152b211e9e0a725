"""Which answer a run gives when its time runs out, and which steps do not begin any more."""

from __future__ import annotations

import asyncio

from planner.teams import APPROVE, auditor, desk, model, quick
from seawall import Agent, Limits, Planner, Seawall, Team, tool
from seawall.history.replay import Replay
from seawall.models.scripted import calls
from seawall.testing import ManualClock, call, hang, say, slow
from team.play import play


def test_once_the_fallback_answers_no_other_step_of_the_team_begins() -> None:
    clock = ManualClock()
    both = calls(call("ask_clerk", task="a"), call("ask_clerk", task="b"))
    team = desk(
        clock,
        slow(7.5, both),
        fallback=quick(clock, slow(1, "In short.")),
        priors={"agent:quick": 1},
    )

    run = play(team, clock=clock)

    assert run.outcome.pruned == ("fallback:quick",)
    assert [step.name for step in run.steps("handoff")] == ["quick"]
    assert run.outcome.handoffs == 1


def test_a_replay_of_a_run_that_was_given_up_in_the_middle_of_a_reply_differs_in_nothing() -> None:
    async def main() -> Replay:
        clock = ManualClock()
        both = calls(call("ask_clerk", task="a"), call("ask_clerk", task="b"))
        team = desk(
            clock, slow(7.5, both), fallback=quick(clock, say("In short.")), priors={"agent:quick": 1}
        )
        async with Seawall(clock=clock) as sea:
            run = await sea.start(team, "go")
            await clock.until(run.outcome())
            return await sea.replay(run.id, team)

    assert asyncio.run(main()).differences == ()


def test_a_fallback_agent_of_unknown_latency_is_called_when_there_is_no_other_answer() -> None:
    clock = ManualClock()
    team = desk(clock, hang(), fallback=quick(clock, slow(2, "In short.")))

    run = play(team, clock=clock)

    assert (run.outcome.answer, run.outcome.pruned) == ("In short.", ("fallback:quick",))
    assert clock.monotonic_s() == 10 - 10 / 4 - 0.05 + 2


def test_a_fallback_agent_that_needs_most_of_the_time_is_called_while_it_still_fits() -> None:
    clock = ManualClock()
    team = desk(clock, hang(), fallback=quick(clock, slow(6, "At length.")), priors={"agent:quick": 6})

    run = play(team, clock=clock)

    assert run.outcome.answer == "At length."
    assert clock.monotonic_s() == 10 - 0.05


def test_an_effect_that_ends_within_the_margin_is_in_the_partial_answer() -> None:
    clock = ManualClock()

    @tool(effect=True)
    async def refund() -> str:
        """Pay money back."""
        await clock.sleep(9.97)
        return "paid back 12.50"

    team = Team(
        Agent("desk", model=model(clock, call("refund"), hang()), tools=[refund]),
        limits=Limits(active_s=10),
        planner=Planner(),
    )

    run = play(team, clock=clock)

    assert run.outcome.pruned == ("answer:partial",)
    assert run.outcome.answer is not None
    assert "paid back 12.50 (refund, step 2)" in run.outcome.answer


def test_of_an_effect_that_nobody_reviewed_the_answer_has_the_receipt_and_no_agent_s_words() -> None:
    clock = ManualClock()

    @tool(effect=True)
    async def refund() -> str:
        """Pay money back."""
        return "paid back 12.50"

    cashier = Agent(
        "cashier", model=model(clock, call("refund"), say("I paid 1,250.00, as agreed.")), tools=[refund]
    )
    team = Team(
        "desk",
        Agent("desk", model=model(clock, call("ask_cashier", task="pay"), hang())),
        specialists=[cashier],
        reviewer=auditor(clock, APPROVE),
        limits=Limits(active_s=10),
        planner=Planner(),
    )

    run = play(team, clock=clock)

    assert run.outcome.answer is not None
    assert "paid back 12.50 (refund, step" in run.outcome.answer
    assert "1,250.00" not in run.outcome.answer
    assert (run.outcome.reviewed, run.outcome.pruned) == (False, ("answer:partial",))
