"""The planner's decisions are in the record: a fold reproduces them, and a replay agrees with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from planner.teams import APPROVE, ASK_BOTH, auditor, desk, model, quick
from seawall import Agent, Limits, Misused, Planner, Seawall, Team, tool
from seawall.core.events import Event, Judged, Planned, RunEnded, RunStarted, StepDone, StepIntended
from seawall.models.scripted import Entry
from seawall.run.fold import apply, fold
from seawall.team.decide import decide
from seawall.testing import ManualClock, call, calls, hang, say, slow
from team.play import played

Hurry = dict[str, Any]


def hurries(clock: ManualClock) -> dict[str, Team]:
    """Teams of which each prunes something else."""
    return {
        "skip": desk(clock, slow(6.5, ASK_BOTH), slow(1, "Some."), priors={"agent:archivist": 4}),
        "cut": desk(clock, slow(1, ASK_BOTH), slow(0.5, "Some."), clerk=(hang(),)),
        "review": desk(
            clock, slow(9, "A draft."), reviewer=auditor(clock, APPROVE), priors={"agent:auditor": 2}
        ),
        "stalled review": desk(
            clock, slow(1, "A draft."), reviewer=auditor(clock, hang()), priors={"agent:auditor": 2}
        ),
        "fallback": desk(
            clock, hang(), fallback=quick(clock, slow(1, "In short.")), priors={"agent:quick": 2}
        ),
        "partial": desk(clock, slow(1, ASK_BOTH), hang()),
        "fallback, then partial": desk(
            clock, slow(1, ASK_BOTH), hang(), fallback=quick(clock, hang()), priors={"agent:quick": 2}
        ),
    }


@pytest.mark.parametrize("which", list(hurries(ManualClock())))
def test_a_fold_reproduces_what_was_pruned_and_decides_the_same(which: str) -> None:
    clock = ManualClock()
    team = hurries(clock)[which]

    run = asyncio.run(played(team, clock=clock))

    state = fold(run.events)
    assert state.pruned == run.outcome.pruned != ()
    for cut in range(1, len(run.events)):
        again = fold(run.events[:cut])
        assert decide(team, again) == decide(hurries(clock)[which], again)
    before = fold(run.events[:-1])
    ended = run.events[-1]
    assert isinstance(ended, RunEnded)
    closed = next(seq for seq, event in enumerate(run.events) if isinstance(event, Planned))
    assert fold(run.events[: closed + 1]).plan.pruned[:1] == run.outcome.pruned[:1]
    assert apply(before, ended).ended == ended


@pytest.mark.parametrize("which", list(hurries(ManualClock())))
def test_a_replay_with_the_same_team_differs_in_nothing(which: str) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with Seawall(clock=clock, environment={}) as sea:
            run = await sea.start(hurries(clock)[which], "go")
            outcome = await clock.until(run.outcome())
            assert outcome.pruned
            replay = await sea.replay(run.id, hurries(clock)[which])
            assert replay.differences == ()

    asyncio.run(main())


def test_a_run_that_was_cut_while_its_fallback_worked_goes_on_with_it_after_a_crash() -> None:
    async def main() -> None:
        clock = ManualClock()
        script: tuple[Entry, ...] = (slow(0.5, "In short."), slow(0.5, "In short, again."))
        team = desk(clock, hang(), hang(), fallback=quick(clock, *script), priors={"agent:quick": 2})
        async with Seawall(clock=clock, environment={}) as sea:
            run = await sea.start(team, "go")
            await clock.advance(6.2)
            assert (await sea.state(run.id)).plan.course == "fallback"
            journal = sea.journal
            for driver in list(sea.supervisor.registry.drivers.values()):
                driver.give_up(Misused("as if the process had died"))
            await asyncio.sleep(0)
            again = await sea.resume(run.id, team, force=True)
            outcome = await clock.until(again.outcome())
            assert journal is sea.journal
        assert outcome.answer == "In short, again."
        assert outcome.pruned == ("fallback:quick",)

    asyncio.run(main())


def test_a_session_remembers_the_answer_that_its_user_was_given() -> None:
    async def main() -> None:
        clock = ManualClock()
        team = desk(
            clock,
            hang(),
            slow(1, "As I said."),
            fallback=quick(clock, slow(1, "In short.")),
            priors={"agent:quick": 2},
        )
        async with Seawall(clock=clock, environment={}) as sea:
            await clock.until((await sea.start(team, "first", session="s")).outcome())
            await clock.until((await sea.start(team, "second", session="s")).outcome())
        requests: Any = team.coordinator.model
        assert [message.content for message in requests.requests[-1].messages][1:] == [
            "first",
            "In short.",
            "second",
        ]

    asyncio.run(main())


# ---- invariants


seconds = st.sampled_from([0.1, 0.5, 1.0, 2.0, 4.0, 9.0, None])
"""Delays of a model or a tool; None: it never answers."""


def after(delay: float | None, then: Entry) -> Entry:
    return hang() if delay is None else slow(delay, then)


@given(
    delays=st.lists(seconds, min_size=9, max_size=9),
    prior=st.sampled_from([0.0, 0.3, 1.0, 3.0]),
    quantile=st.sampled_from([0.5, 0.8, 0.95]),
    has=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@example([0.1, 4.0, 0.1, 4.0, 0.1, 0.1, 2.0, 0.1, 0.1], 1.0, 0.5, (False, True, True))
def test_no_run_ends_after_its_deadline_and_what_fits_is_not_skipped(
    delays: list[float | None], prior: float, quantile: float, has: tuple[bool, bool, bool]
) -> None:
    async def main() -> None:
        clock = ManualClock()
        fallback, reviewer, effect = has

        @tool(effect=effect)
        async def pay() -> str:
            """Pay, or look."""
            await clock.sleep(delays[0] or 0.2)
            return "paid 12.50"

        ask = calls(call("ask_clerk", task="a"), call("ask_archivist", task="b"))
        names = ("agent:clerk", "agent:archivist", "model:boss", "tool:pay")
        team = Team(
            "desk",
            Agent("boss", model=model(clock, after(delays[1], ask), after(delays[2], "All of it."))),
            specialists=[
                Agent(
                    "clerk",
                    model=model(clock, after(delays[3], call("pay")), after(delays[4], "It is paid.")),
                    tools=[pay],
                ),
                Agent("archivist", model=model(clock, after(delays[5], say("Old."))), optional=True),
            ],
            reviewer=auditor(clock, after(delays[6], APPROVE)) if reviewer else None,
            fallback=quick(clock, after(delays[7], "In short.")) if fallback else None,
            limits=Limits(active_s=10),
            planner=Planner(quantile=quantile, chance=0.5, priors=dict.fromkeys(names, prior)),
        )
        run = await played(team, clock=clock)
        assert clock.monotonic_s() <= 10
        check(run.events, run.outcome.pruned)
        if run.outcome.status == "halted":
            before = fold(run.events[: next(n for n, e in enumerate(run.events) if isinstance(e, Judged))])
            # otherwise only a review lets an agent's words out
            words = not (reviewer and before.plan.effects)
            assert not before.plan.list_verified(words=words) or any(step.effect for step in before.in_flight)
        if "answer:partial" in run.outcome.pruned:
            assert run.outcome.reviewed is (False if reviewer else None)
        if effect and any(step.effect for step in run.steps("tool")) and reviewer:
            assert "review" not in run.outcome.pruned
            assert not any(name.startswith("fallback") for name in run.outcome.pruned)

    asyncio.run(main())


def check(events: list[Event], pruned: tuple[str, ...]) -> None:
    """Checks that nothing was pruned while it fit, and that the outcome names what was pruned."""
    started = events[0]
    assert isinstance(started, RunStarted)
    for event in events:
        if isinstance(event, Planned):
            assert set(event.pruned) <= set(pruned)
            if event.action == "skip":
                assert event.needed_s > event.left_s
    done = [event.step for event in events if isinstance(event, StepDone)]
    assert sorted(done) == sorted(event.step for event in events if isinstance(event, StepIntended))
