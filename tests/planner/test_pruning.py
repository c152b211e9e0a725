"""The planner prunes what does not fit the time left, in a fixed order, and the answer comes before the deadline."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from planner.teams import APPROVE, ASK_BOTH, auditor, desk, model, quick
from seawall import Agent, Broken, Limits, Outcome, Planner, Seawall, Team, Waiting, tool
from seawall.core.events import Planned, StepDone
from seawall.models.scripted import Entry
from seawall.testing import ManualClock, call, fail, hang, say, slow
from team.play import Played, play, sent


def planned(run: Played) -> list[Planned]:
    return [event for event in run.events if isinstance(event, Planned)]


def actions(run: Played) -> list[str]:
    return [event.action for event in planned(run)]


def test_a_run_that_fits_its_time_is_not_planned_otherwise() -> None:
    clock = ManualClock()
    team = desk(clock, slow(1, ASK_BOTH), slow(1, "It was shipped."), reviewer=auditor(clock, APPROVE))

    run = play(team, clock=clock)

    assert planned(run) == []
    assert (run.outcome.status, run.outcome.reviewed, run.outcome.pruned) == ("completed", True, ())


def test_an_optional_agent_that_does_not_fit_is_skipped_and_its_caller_is_told_why() -> None:
    clock = ManualClock()
    team = desk(clock, slow(6.5, ASK_BOTH), slow(1, "Without the archive."), priors={"agent:archivist": 4})

    run = play(team, clock=clock)

    assert run.outcome.answer == "Without the archive."
    assert run.outcome.pruned == ("agent:archivist",)
    told = sent(team.coordinator.model)[-1]  # pyright: ignore[reportArgumentType] -- it is scripted
    assert told.startswith("Not done: there is no time left for 'archivist'")
    assert [step.name for step in run.steps("handoff") if step.perform] == ["clerk"]
    (event,) = planned(run)
    assert (event.left_s, event.needed_s, event.quantile) == (3.5, 5.05, 0.8)


def test_time_is_kept_for_the_review_before_an_optional_agent_is_called() -> None:
    clock = ManualClock()
    team = desk(
        clock,
        slow(5, ASK_BOTH),
        slow(0.5, "Reviewed."),
        clerk=(slow(1, "shipped"),),
        reviewer=auditor(clock, slow(2, APPROVE)),
        priors={"agent:auditor": 2.5},
    )

    run = play(team, clock=clock)

    assert run.outcome.pruned == ("agent:archivist",)
    assert run.outcome.reviewed is True


def test_a_review_that_does_not_fit_is_skipped_and_the_outcome_says_so() -> None:
    clock = ManualClock()
    team = desk(clock, slow(9, "A draft."), reviewer=auditor(clock, APPROVE), priors={"agent:auditor": 2})

    run = play(team, clock=clock)

    assert (run.outcome.status, run.outcome.answer) == ("completed", "A draft.")
    assert (run.outcome.reviewed, run.outcome.pruned) == (False, ("review",))
    assert run.steps("review") == []


def test_a_review_that_stalls_is_given_up_in_time_and_the_draft_goes_out_unreviewed() -> None:
    clock = ManualClock()
    team = desk(clock, slow(1, "A draft."), reviewer=auditor(clock, hang()), priors={"agent:auditor": 2})

    run = play(team, clock=clock)

    assert (run.outcome.answer, run.outcome.reviewed) == ("A draft.", False)
    assert run.outcome.pruned == ("review",)
    assert clock.monotonic_s() == 9.95


@pytest.mark.parametrize("made", [True, False])
def test_a_review_is_never_pruned_once_an_effect_was_proposed(made: bool) -> None:
    clock = ManualClock()

    @tool(effect=True)
    async def refund() -> str:
        """Pay money back."""
        return "paid back 12.50"

    coordinator = Agent(
        "desk",
        model=model(clock, slow(1, call("refund") if made else call("refund", amount=3)), slow(8, "Done.")),
        tools=[refund],
    )
    team = Team(
        coordinator,
        reviewer=auditor(clock, slow(0.5, APPROVE)),
        fallback=quick(clock, "never asked"),
        limits=Limits(active_s=10),
        planner=Planner(priors={"agent:auditor": 3}),
    )

    run = play(team, clock=clock)

    if made:
        assert (run.outcome.answer, run.outcome.reviewed, run.outcome.pruned) == ("Done.", True, ())
    else:  # the arguments do not validate, so no effect was proposed
        assert run.outcome.effects == ()


def test_a_review_after_an_effect_that_stalls_leaves_the_record_to_answer() -> None:
    clock = ManualClock()

    @tool(effect=True)
    async def refund() -> str:
        """Pay money back."""
        return "paid back 12.50"

    coordinator = Agent("desk", model=model(clock, call("refund"), say("All is well.")), tools=[refund])
    team = Team(
        coordinator,
        reviewer=auditor(clock, hang()),
        fallback=quick(clock, "never asked"),
        limits=Limits(active_s=10),
    )

    run = play(team, clock=clock)

    assert run.outcome.pruned[-1] == "answer:partial"
    assert "review" not in run.outcome.pruned
    assert run.outcome.answer is not None
    assert "paid back 12.50 (refund, step 2)" in run.outcome.answer
    assert "All is well." not in run.outcome.answer
    assert run.outcome.reviewed is False


def test_a_plan_that_does_not_fit_goes_to_the_fallback_agent_with_what_is_known() -> None:
    clock = ManualClock()
    fallback = quick(clock, slow(0.9, "Shipped; not checked further."))
    team = desk(
        clock,
        slow(1, call("ask_clerk", task="a")),
        slow(6, call("ask_clerk", task="b")),
        fallback=fallback,
        priors={"agent:quick": 1},
    )

    run = play(team, clock=clock)

    assert run.outcome.answer == "Shipped; not checked further."
    assert run.outcome.pruned == ("fallback:quick",)
    assert run.outcome.status == "completed"
    task = sent(fallback.model)[-1]  # pyright: ignore[reportArgumentType] -- it is scripted
    assert "shipped on 3 May (clerk, step 2)" in task


def test_a_coordinator_that_stalls_is_given_up_while_the_fallback_still_fits() -> None:
    clock = ManualClock()
    team = desk(clock, hang(), fallback=quick(clock, slow(1, "In short.")), priors={"agent:quick": 2})

    run = play(team, clock=clock)

    assert run.outcome.answer == "In short."
    assert clock.monotonic_s() == 10 - 2 * 2 - 0.05 + 1
    assert run.done(1).status == "cancelled"


def test_a_call_that_waits_for_its_next_try_when_the_team_is_given_up_is_never_made() -> None:
    clock = ManualClock()
    clerk: tuple[Entry, ...] = (slow(4.7, fail("overloaded")), say("never asked again"))
    team = desk(
        clock,
        slow(1, call("ask_clerk", task="a")),
        clerk=clerk,
        fallback=quick(clock, slow(1, "In short.")),
        priors={"agent:quick": 2},
    )

    run = play(team, clock=clock)

    assert run.outcome.answer == "In short."
    asked: Any = team.members["clerk"].agent.model
    assert asked.request_count == 1


def test_a_specialist_that_stalls_is_cut_while_its_callers_reply_still_fits() -> None:
    clock = ManualClock()
    team = desk(
        clock, slow(1, call("ask_clerk", task="a")), slow(0.5, "The clerk did not answer."), clerk=(hang(),)
    )

    run = play(team, clock=clock)

    assert run.outcome.answer == "The clerk did not answer."
    assert run.outcome.pruned == ("agent:clerk",)
    assert clock.monotonic_s() == 10 - 1 - 2 * 0.05 + 0.5


def test_a_tool_that_ignores_its_cancellation_is_cut_too() -> None:
    async def main() -> tuple[Outcome, float]:
        clock = ManualClock()
        release = asyncio.Event()

        @tool
        async def stubborn() -> str:
            """Never gives up."""
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return "at last"

        agent = Agent("desk", model=model(clock, call("stubborn"), slow(1, "Without it.")), tools=[stubborn])
        team = Team(
            agent, limits=Limits(active_s=10), planner=Planner(priors={"model:desk": 1, "tool:stubborn": 1})
        )
        async with Seawall(clock=clock) as sea:
            outcome = await clock.until((await sea.start(team, "go")).outcome())
            release.set()
            return outcome, clock.monotonic_s()

    outcome, took_s = asyncio.run(main())

    assert (outcome.answer, outcome.pruned) == ("Without it.", ("tool:stubborn",))
    assert took_s == 9.9


class Ticking(ManualClock):
    """A clock on which each operation takes a little time, as on a real one."""

    drift_s = 0.0

    def monotonic_s(self) -> float:
        self.drift_s += 0.0001
        return super().monotonic_s() + self.drift_s


def test_an_agent_whose_tool_was_cut_still_gets_to_say_what_it_found() -> None:
    clock = Ticking()

    @tool
    async def stalls() -> str:
        """Never answer."""
        await asyncio.get_running_loop().create_future()
        return "never"

    clerk = Agent(
        "clerk", model=model(clock, call("stalls"), slow(0.9, "Sent, but nobody says where.")), tools=[stalls]
    )
    team = Team(
        "desk",
        Agent("desk", model=model(clock, call("ask_clerk", task="a"), slow(0.9, "It was sent."))),
        specialists=[clerk],
        limits=Limits(active_s=10),
        planner=Planner(priors={"model:desk": 1, "model:clerk": 1}),
    )

    run = play(team, clock=clock)

    assert run.outcome.pruned == ("tool:stalls",)
    assert run.outcome.answer == "It was sent."


def test_when_nothing_else_is_left_the_record_answers_and_says_that_it_is_partial() -> None:
    clock = ManualClock()
    team = desk(clock, slow(1, ASK_BOTH), hang(), reviewer=auditor(clock))

    run = play(team, clock=clock)

    answer = run.outcome.answer or ""
    assert answer.startswith("This answer is partial")
    assert "- shipped on 3 May (clerk, step 2)" in answer
    assert (run.outcome.status, run.outcome.reviewed) == ("completed", False)
    assert run.outcome.pruned == ("answer:partial",)
    assert clock.monotonic_s() == 9.95


def test_with_nothing_verified_and_no_fallback_the_deadline_ends_the_run() -> None:
    clock = ManualClock()

    run = play(desk(clock, hang()), clock=clock)

    assert run.outcome.status == "halted"
    assert run.outcome.stopped_by is not None and run.outcome.stopped_by.guard == "deadline"
    assert clock.monotonic_s() == 10


def test_a_fallback_that_stalls_leaves_the_record_to_answer() -> None:
    clock = ManualClock()
    team = desk(
        clock,
        slow(1, call("ask_clerk", task="a")),
        hang(),
        fallback=quick(clock, hang()),
        priors={"agent:quick": 2},
    )

    run = play(team, clock=clock)

    assert run.outcome.pruned == ("fallback:quick", "answer:partial")
    assert "shipped on 3 May" in (run.outcome.answer or "")
    assert clock.monotonic_s() == 9.95


def test_an_effect_that_would_not_be_done_in_time_is_not_begun() -> None:
    clock = ManualClock()
    made: list[str] = []

    @tool(effect=True)
    async def refund() -> str:
        """Pay money back."""
        made.append("refund")
        return "paid"

    agent = Agent("desk", model=model(clock, slow(8, call("refund")), slow(0.5, "Not paid.")), tools=[refund])
    priors = {"tool:refund": 2, "model:desk": 1}
    team = Team(agent, limits=Limits(active_s=10), planner=Planner(priors=priors))

    run = play(team, clock=clock)

    assert made == []
    assert (run.outcome.answer, run.outcome.pruned) == ("Not paid.", ("tool:refund",))


def test_an_effect_that_a_crash_left_in_doubt_is_attempted_again_whatever_time_is_left() -> None:
    async def main() -> None:
        clock = ManualClock()
        made: list[str] = []

        @tool(effect=True, idempotent=True)
        async def refund() -> str:
            """Pay money back, under a key."""
            made.append("refund")
            if len(made) == 1:
                await clock.sleep(60)
            return "paid"

        coordinator = model(clock, call("refund"), slow(0.1, "Paid."))
        priors = {"tool:refund": 5, "model:desk": 0.5}
        team = Team(
            Agent("desk", model=coordinator, tools=[refund]),
            limits=Limits(active_s=6),
            planner=Planner(priors=priors),
        )
        async with Seawall(clock=clock, environment={}) as sea:
            run = await sea.start(team, "go")
            await clock.advance(3)
            sea.supervisor.registry.drivers[run.id].give_up(Broken("as if the process had died"))
            await clock.settle()
            again = await sea.resume(
                run.id,
                Team(team.coordinator, limits=team.limits, planner=Planner(priors={"tool:refund": 50})),
                force=True,
            )
            outcome = await clock.until(again.outcome())
        assert len(made) == 2
        assert [effect.state for effect in outcome.effects] == ["committed"]
        assert outcome.pruned == ()

    asyncio.run(main())


def test_an_overdue_run_that_is_resumed_has_its_effect_settled_by_a_person_and_ends() -> None:
    async def main() -> None:
        clock = ManualClock()

        @tool(effect=True)
        async def refund() -> str:
            """Pay money back."""
            await clock.sleep(60)
            return "paid"

        coordinator = model(clock, slow(5.99, call("refund")), slow(1, "Paid."))
        team = Team(
            Agent("desk", model=coordinator, tools=[refund]),
            limits=Limits(active_s=6),
            planner=Planner(margin_s=0.001),
        )
        async with Seawall(clock=clock, environment={}) as sea:
            run = await sea.start(team, "go")
            await clock.advance(5.995)
            sea.supervisor.registry.drivers[run.id].give_up(Broken("as if the process had died"))
            await clock.settle()
            waiting = await (await sea.resume(run.id, team, force=True)).rest()
            assert isinstance(waiting, Waiting)
            assert waiting.kind == "unknown"
            await clock.advance(100)
            await sea.reconcile(run.id, step=waiting.step, committed="paid 12.50", by="user:9")
            outcome = await clock.until(run.outcome())
        assert [effect.state for effect in outcome.effects] == ["committed"]
        assert outcome.status == "halted"
        assert outcome.active_s <= 6

    asyncio.run(main())


def test_an_effect_in_flight_has_all_the_time_that_is_left() -> None:
    clock = ManualClock()

    @tool(effect=True)
    async def refund() -> str:
        """Pay money back."""
        await clock.sleep(9.5)
        return "paid"

    agent = Agent("desk", model=model(clock, call("refund"), slow(0.2, "Paid.")), tools=[refund])
    priors = {"tool:refund": 2, "model:desk": 1}
    team = Team(agent, limits=Limits(active_s=10), planner=Planner(priors=priors))

    run = play(team, clock=clock)

    assert [effect.state for effect in run.outcome.effects] == ["committed"]
    assert run.outcome.answer == "Paid."


def test_a_planner_that_is_only_observed_records_what_it_would_have_done() -> None:
    clock = ManualClock()
    team = desk(clock, slow(6.5, ASK_BOTH), slow(0.4, "All of it."), priors={"agent:archivist": 4})

    run = play(team, clock=clock, modes={"planner": "observe"})

    assert run.outcome.answer == "All of it."
    assert run.outcome.pruned == ()
    assert {event.mode for event in planned(run)} == {"observe"}
    assert planned(run)[0].pruned == ("agent:archivist",)


@pytest.mark.parametrize("modes", [{"planner": "off"}, {"deadline": "observe"}])
def test_without_a_planner_or_a_deadline_that_binds_nothing_is_pruned(modes: Any) -> None:
    clock = ManualClock()

    run = play(desk(clock, slow(7.5, ASK_BOTH), slow(0.4, "All of it.")), clock=clock, modes=modes)

    assert planned(run) == []
    assert run.outcome.answer == "All of it."


def test_what_was_cancelled_is_recorded_with_the_time_that_it_took() -> None:
    clock = ManualClock()
    team = desk(clock, hang(), fallback=quick(clock, slow(1, "In short.")), priors={"agent:quick": 2})

    run = play(team, clock=clock)

    done = next(event for event in run.events if isinstance(event, StepDone) and event.status == "cancelled")
    assert done.duration_s == 5.95
