"""Runs that go on after they have come to their end at a limit: they get further than they had got, or stay as they are."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal
from typing import Any

import pytest

from runtime.test_closing import eager
from seawall import Agent, Limits, Loops, Misused, Outcome, Seawall, Team
from seawall.models.protocol import ModelRequest
from seawall.testing import ManualClock, ScriptedModel, call, hang, say
from team.play import World, text, unanswered


def looks(
    world: World,
    limits: Limits,
    model: ScriptedModel | None = None,
    *,
    own: Limits | None = None,
    **options: Any,
) -> Team:
    options["limits"] = own
    agent = Agent("clerk", model=model or eager(), tools=[world.reads()], max_output_tokens=300, **options)
    return Team(agent, limits=limits, guards=[Loops(no_news=90)])


async def end(sea: Seawall, team: Team) -> Outcome:
    return await (await sea.start(team, "Look.")).outcome()


async def raised(sea: Seawall, first: Outcome, team: Team, limits: Limits) -> Outcome:
    return await (await sea.resume(first.run, team, limits=limits, by="ann")).outcome()


async def check(sea: Seawall, outcome: Outcome, team: Team) -> None:
    assert (await sea.journal.verify()).ok
    assert (await sea.replay(outcome.run, team)).differences == ()


@pytest.mark.parametrize(
    ("low", "high", "spent"),
    [
        (Limits(tool_calls=3), Limits(tool_calls=6), 6),
        (Limits(model_calls=4), Limits(model_calls=8), 6),
    ],
)
def test_a_run_that_answered_at_its_limit_looks_further_and_answers_anew(
    low: Limits, high: Limits, spent: int
) -> None:
    async def main() -> None:
        world, model = World(), eager()
        async with Seawall() as sea:
            team = looks(world, low, model)
            first = await end(sea, team)
            again = await raised(sea, first, team, high)
            assert (first.tool_calls, again.tool_calls, len(world.calls)) == (3, spent, spent)
            assert (again.answer, again.pruned) == (first.answer, ("limits",))
            assert not unanswered(model.requests[-1].messages)
            await check(sea, again, team)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("low", "high", "own"),
    [
        (Limits(model_calls=3), Limits(model_calls=3, tool_calls=90), None),
        (Limits(model_calls=3), Limits(model_calls=4), None),
        (Limits(tool_calls=2), Limits(tool_calls=2, model_calls=90), None),
        (Limits(tokens=3_000, tool_calls=90), Limits(tokens=3_001, tool_calls=90), None),
        (Limits(usd=Decimal("0.01")), Limits(usd=Decimal("0.0101")), None),
        (Limits(), Limits(tool_calls=90), Limits(model_calls=3)),
    ],
)
def test_an_answer_is_not_given_up_for_limits_that_lead_to_none(
    low: Limits, high: Limits, own: Limits | None
) -> None:
    async def main() -> None:
        world = World()
        team = looks(world, low, own=own)
        async with Seawall() as sea:
            first = await end(sea, team)
            assert first.answer == "These are my last words."
            with pytest.raises(Misused, match=r"gets no further with them: |the next step of run .* needs "):
                await raised(sea, first, team, high)
            assert await sea.outcome(first.run) == first

    asyncio.run(main())


def test_the_same_request_with_limits_that_lead_nowhere_has_its_answer() -> None:
    async def main() -> None:
        team = looks(World(), Limits(model_calls=3))
        async with Seawall() as sea:
            first = await (await sea.start(team, "Look.", request_id="q-1")).outcome()
            more = Limits(model_calls=3, tool_calls=90)
            again = await (await sea.start(team, "Look.", request_id="q-1", limits=more)).outcome()
            assert again == first

    asyncio.run(main())


def test_a_run_halted_for_want_of_a_last_reply_has_its_tools_again() -> None:
    async def main() -> None:
        world = World()
        model = ScriptedModel([say(""), say(""), call("look", what="a"), say("Seen.")])
        team = looks(world, Limits(model_calls=2), model)
        async with Seawall() as sea:
            first = await end(sea, team)
            assert (first.status, first.pruned) == ("halted", ("limits",))
            again = await raised(sea, first, team, Limits(model_calls=9))
            assert (again.answer, again.pruned, again.lacks) == ("Seen.", (), ())
            assert world.calls == ["a"] and model.request_count == 4
            told = [text(each) for each in model.requests[2].messages]
            assert any(
                "the limits of this run were raised. You can call your tools again" in each for each in told
            )
            await check(sea, again, team)

    asyncio.run(main())


@pytest.mark.parametrize("handed", [False, True])
def test_a_last_reply_that_the_deadline_cut_off_need_not_be_the_last(handed: bool) -> None:
    async def main() -> None:
        clock, world, numbers = ManualClock(), World(), itertools.count()

        def reply(request: ModelRequest) -> Any:
            number = next(numbers)
            if not request.tools:
                return hang()
            return call("look", what=f"x{number}") if number < 6 else say("All were seen.")

        team = looks(world, Limits(tool_calls=2, active_s=10), ScriptedModel(reply), retries=0)
        if handed:
            boss = ScriptedModel([call("ask_clerk", task="Look."), say("All were seen.")])
            clerk, limits = team.coordinator, team.limits
            team = Team("desk", Agent("boss", model=boss), specialists=[clerk], limits=limits)
        async with Seawall(clock=clock) as sea:
            first = await clock.until((await sea.start(team, "Look.")).outcome())
            assert first.stopped_by is not None and first.stopped_by.guard == "deadline"
            run = await sea.resume(first.run, team, limits=Limits(tool_calls=9, active_s=99), by="ann")
            again = await clock.until(run.outcome())
            assert (again.answer, again.pruned) == ("All were seen.", ())
            assert len(world.calls) == 4
            await check(sea, again, team)

    asyncio.run(main())


def test_a_fork_of_a_run_that_answered_at_its_limit_goes_on_after_that_answer() -> None:
    async def main() -> None:
        world = World()
        team = looks(world, Limits(tool_calls=3))
        async with Seawall() as sea:
            first = await end(sea, team)
            # after its answer, a call, and the call that was not made
            for at, made in (
                (None, 6),
                (6, 9),
                (8, 12),
            ):
                fork = await sea.fork(first.run, team, at=at, limits=Limits(tool_calls=6), by="ann")
                outcome = await fork.outcome()
                assert (outcome.tool_calls, len(world.calls)) == (6, made)
                assert outcome.answer == "These are my last words."
                await check(sea, outcome, team)
            with pytest.raises(Misused, match="gets no further with them"):
                await sea.fork(first.run, team, limits=Limits(tool_calls=6, model_calls=5), by="ann")
            assert (await sea.outcome(first.run)) == first

    asyncio.run(main())


def test_a_limit_on_tokens_need_not_have_room_for_the_longest_reply() -> None:
    async def main() -> None:
        world = World()
        agent = Agent("clerk", model=eager(), tools=[world.reads()])  # its replies may have 4,096 tokens
        team = Team(agent, limits=Limits(tokens=700, at_limit="halt"), guards=[Loops(no_news=90)])
        async with Seawall() as sea:
            first = await end(sea, team)
            assert first.status == "halted"
            with pytest.raises(Misused, match=r"gets no further with them: .* \(limit 710\)"):
                await raised(sea, first, team, Limits(tokens=710, at_limit="halt"))
            again = await raised(sea, first, team, Limits(tokens=2_000, at_limit="halt"))
            assert again.tokens > first.tokens and again.tokens <= 2_000

    asyncio.run(main())


def test_a_full_answer_after_a_partial_one_is_not_called_partial() -> None:
    async def main() -> None:
        world = World()
        script = [call("look", what="a"), call("look", what="b"), say(""), say("All of it.")]
        team = looks(world, Limits(tool_calls=1), ScriptedModel(script))
        async with Seawall() as sea:
            first = await end(sea, team)
            assert first.pruned == ("limits", "answer:partial")
            again = await raised(sea, first, team, Limits(tool_calls=9))
            assert (again.answer, again.pruned, again.lacks) == ("All of it.", (), ())

    asyncio.run(main())


@pytest.mark.parametrize("found", [True, False])
def test_an_answer_that_was_given_once_is_part_of_what_the_record_answers(found: bool) -> None:
    async def main() -> None:
        last = iter([say("One was found."), say(""), say(""), say("")])

        def reply(request: ModelRequest) -> Any:
            if found and request.tools and len(request.messages) < 12:
                return call("look", what=str(len(request.messages)))
            return next(last) if not request.tools or len(request.messages) > 2 else say("")

        team = looks(World(), Limits(model_calls=2), ScriptedModel(reply))
        async with Seawall() as sea:
            first = await end(sea, team)
            assert first.answer == "One was found."
            again = await raised(sea, first, team, Limits(model_calls=4))
            assert (again.status, again.pruned) == ("completed", ("limits", "answer:partial"))
            assert "This was its answer before:\nOne was found." in (again.answer or "")
            assert ("- 2 (look, step 2)" in (again.answer or "")) is found
            await check(sea, again, team)

    asyncio.run(main())
