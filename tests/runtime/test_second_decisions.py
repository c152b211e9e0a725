"""A second decision on a step: the same one changes nothing, and another one is told of the first, which stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from guards.verdicts import Says
from runtime.proposing import STEP, opened, propose
from seawall import Agent, Hold, Misused, Principal, Seawall, Team
from seawall.journal.protocol import Command
from seawall.testing import ManualClock, ScriptedModel, call, say
from team.play import World

PEOPLE = {name: Principal(name, ("finance",)) for name in ("ann", "bob", "cem")}


def waiting(work: Callable[[Seawall, Any, World], Awaitable[None]]) -> None:
    """Runs `work` on a run that waits for a decision on a payment."""

    async def main() -> None:
        world = World()
        model = ScriptedModel([call("pay", what="7"), say("Done.")])
        team = Team(Agent("clerk", model=model, tools=[world.writes()]), guards=[Says(Hold("ask"))])
        async with Seawall(environment={}, clock=ManualClock()) as sea:
            await work(sea, await sea.start(team, "go"), world)

    asyncio.run(main())


@pytest.mark.parametrize("approve", [True, False])
def test_the_first_decision_stands_and_the_second_is_told_of_it(approve: bool) -> None:
    async def work(sea: Seawall, run: Any, world: World) -> None:
        step = (await run.rest()).step
        await sea.decide(run.id, step, approve=approve, by="ann", reason="as we said")
        with pytest.raises(Misused) as raised:
            await sea.decide(run.id, step, approve=not approve, by="bob")
        what = "approved" if approve else "rejected"
        assert f"step {step} does not wait for a decision of bob" in str(raised.value)
        assert f"ann {what} it at 2026-01-01" in str(raised.value)
        assert "(as we said), and the first decision stands" in str(raised.value)
        await run.outcome()
        assert world.calls == (["7"] if approve else [])

    waiting(work)


@pytest.mark.parametrize("approve", [True, False])
def test_the_same_decision_of_the_same_person_changes_nothing(approve: bool) -> None:
    async def work(sea: Seawall, run: Any, world: World) -> None:
        step = (await run.rest()).step
        for name in ("ann", "Ann ", "ann"):
            await sea.decide(run.id, step, approve=approve, by=name)
        with pytest.raises(Misused, match="ann can't"):
            await sea.decide(run.id, step, approve=not approve, by="ann")
        with pytest.raises(Misused, match="bob can't"):
            await sea.decide(run.id, step, approve=approve, by="bob")
        await run.outcome()
        assert len(world.calls) == approve
        decisions = await sea.journal.decisions()
        assert [each.by for each in decisions] == ["ann"]

    waiting(work)


def test_a_rejection_does_not_become_one_that_ends_the_run() -> None:
    async def work(sea: Seawall, run: Any, world: World) -> None:
        step = (await run.rest()).step
        await sea.decide(run.id, step, approve=False, by="ann")
        with pytest.raises(Misused, match="ann rejected it"):
            await sea.decide(run.id, step, approve=False, by="ann", stop=True)
        assert (await run.outcome()).status == "completed"

    waiting(work)


def test_a_decision_that_the_run_has_not_taken_yet_stands() -> None:
    """It is in the journal, and no process has the run."""

    async def main() -> None:
        clock = ManualClock()
        async with opened(clock, authenticate=PEOPLE.get) as sea:
            await propose(sea.journal, clock=clock, roles=("finance",))
            await sea.decide("r-1", STEP, approve=True, credential="ann")
            await sea.decide("r-1", STEP, approve=True, credential="ann")
            with pytest.raises(Misused, match=r"ann approved it at .*, and the first decision stands"):
                await sea.decide("r-1", STEP, approve=False, credential="bob")
            assert [item.command.approved for item in await sea.journal.inbox("r-1")] == [True]

    asyncio.run(main())


def test_several_people_still_vote() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock, authenticate=PEOPLE.get) as sea:
            proposal = await propose(sea.journal, clock=clock, roles=("finance",), people=2)
            await sea.decide("r-1", STEP, approve=True, credential="ann")
            await sea.decide("r-1", STEP, approve=True, credential="ann")
            with pytest.raises(Misused, match="ann approved it"):
                await sea.decide("r-1", STEP, approve=False, credential="ann")
            assert (await sea.approval(proposal.id)).state == "open"
            await sea.decide("r-1", STEP, approve=True, credential="bob")
            assert (await sea.approval(proposal.id)).state == "approved"
            with pytest.raises(Misused, match=r"ann approved it at .* and bob approved it at"):
                await sea.decide("r-1", STEP, approve=False, credential="cem")

    asyncio.run(main())


def test_of_two_who_decide_at_once_the_other_is_told() -> None:
    async def work(sea: Seawall, run: Any, world: World) -> None:
        step = (await run.rest()).step
        answers = await asyncio.gather(
            sea.decide(run.id, step, approve=True, by="ann"),
            sea.decide(run.id, step, approve=False, by="bob"),
            return_exceptions=True,
        )
        assert [type(each).__name__ for each in answers] == ["NoneType", "Misused"]
        await run.outcome()
        assert world.calls == ["7"]

    waiting(work)


def test_a_decision_of_an_earlier_version_stands_too() -> None:
    """Such a run asks without a proposal, and its decision is a command in its inbox."""

    async def work(sea: Seawall, run: Any, world: World) -> None:
        step = (await run.rest()).step
        with pytest.raises(
            Misused, match=rf"step {step + 1} does not wait for a decision \(waiting: {step}\)"
        ):
            await sea.decide(run.id, step + 1, approve=True, by="ann")
        # A step without a proposal: what the inbox holds counts.
        command = Command(kind="decide", by="ann", step=step + 1, approved=True)
        await sea.journal.send(run.id, command)
        with pytest.raises(Misused, match="ann approved it"):
            await sea.decide(run.id, step + 1, approve=False, by="bob")
        await sea.decide(run.id, step + 1, approve=True, by="ann")

    waiting(work)
