"""A step that is held waits for a person, is judged again, and is made once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from guards.verdicts import Says
from seawall import (
    Advise,
    Agent,
    Guard,
    Hold,
    Limits,
    Misused,
    Outcome,
    Refuse,
    Refused,
    Seawall,
    Team,
    Tool,
    Waiting,
)
from seawall.core.events import CommandTaken, Judged, StepIntended
from seawall.models.scripted import calls
from seawall.run.step import Step
from seawall.testing import ManualClock, ScriptedModel, call, say
from team.play import World, sent

HOLD = Says(Hold("a person decides"))


def desk(world: World, **options: Any) -> tuple[Team, ScriptedModel]:
    model = ScriptedModel([call("pay", what="5 EUR"), say("Paid."), say("Anything else?")])
    return Team(Agent("cashier", model=model, tools=[world.writes()]), **options), model


async def resting(run: Any) -> Waiting:
    async with asyncio.timeout(60):
        rest = await run.rest()
    assert isinstance(rest, Waiting)
    return rest


async def over(run: Any) -> Outcome:
    async with asyncio.timeout(60):
        return await run.outcome()


def test_an_approved_step_is_performed_once_under_its_grant() -> None:
    async def main() -> None:
        world = World()
        team, model = desk(world)
        async with Seawall(guards=[HOLD]) as sea:
            run = await sea.start(team, "pay 5 EUR")
            waiting = await resting(run)
            assert (waiting.what, waiting.agent) == ("pay", "cashier")
            assert world.calls == []
            assert (await sea.journal.row(run.id)).state == "waiting"

            await sea.decide(run.id, waiting.step, approve=True, by="user:9")
            outcome = await over(run)
            events = await sea.journal.events(run.id)

        assert outcome.status == "completed"
        assert world.calls == ["5 EUR"]
        assert sent(model)[-1] == "5 EUR"
        tools = [event for event in events if isinstance(event, StepIntended) and event.kind == "tool"]
        assert [step.grant for step in tools] == [waiting.step]

    asyncio.run(main())


def test_advice_on_a_step_that_was_held_is_given_once() -> None:
    async def main() -> None:
        world = World()
        team, model = desk(world)
        guards = [HOLD, Says(Advise("a", "take care"), name="adviser")]
        async with Seawall(guards=guards) as sea:
            run = await sea.start(team, "pay 5 EUR")
            await sea.decide(run.id, (await resting(run)).step, approve=True, by="user:9")
            await over(run)
        assert sent(model)[-1] == "5 EUR\n\ntake care"

    asyncio.run(main())


def test_a_rejected_step_is_never_performed_and_the_agent_is_told_by_whom() -> None:
    async def main() -> None:
        world = World()
        team, model = desk(world)
        async with Seawall(guards=[HOLD]) as sea:
            run = await sea.start(team, "pay 5 EUR")
            waiting = await resting(run)
            await sea.decide(run.id, waiting.step, approve=False, by="user:9", reason="Too much.")
            outcome = await over(run)

        assert outcome.answer == "Paid."
        assert world.calls == []
        assert sent(model)[-1] == "Refused by user:9. Too much."

    asyncio.run(main())


@pytest.mark.parametrize("of", ["model", "review"])
@pytest.mark.parametrize("approve", [True, False])
def test_a_model_or_review_step_can_be_held_too(of: str, approve: bool) -> None:
    async def main() -> None:
        boss = Agent("boss", model=ScriptedModel([say("Done.")]))
        auditor = Agent("auditor", model=ScriptedModel([call("review", approved=True)]))
        async with Seawall(guards=[Says(Hold("look first"), of=of, times=1)]) as sea:
            run = await sea.start(Team("desk", boss, reviewer=auditor), "go")
            waiting = await resting(run)
            await sea.decide(run.id, waiting.step, approve=approve, by="user:9")
            outcome = await over(run)

        assert outcome.status == ("completed" if approve else "refused")
        if not approve:
            assert outcome.stopped_by is not None
            assert outcome.stopped_by.guard == "approval"
            assert "user:9" in (outcome.error or "")

    asyncio.run(main())


def test_after_a_hold_the_other_guards_and_the_budget_judge_again() -> None:
    class Changed(Guard):
        name = "changed"

        def before(self, step: Step, run: Any, memory: Any) -> Any:
            return Refuse("no longer") if step.grant is not None else Hold("for now")

    async def main() -> None:
        world = World()
        team, model = desk(world)
        async with Seawall(guards=[Changed()]) as sea:
            run = await sea.start(team, "pay 5 EUR", modes={"changed": "enforce"})
            # The model step is held first.
            first = await resting(run)
            await sea.decide(run.id, first.step, approve=True, by="user:9")
            outcome = await over(run)

        assert outcome.status == "refused"
        assert model.request_count == 0

    asyncio.run(main())


def test_a_call_that_no_longer_fits_the_budget_is_not_made_when_it_is_approved() -> None:
    class HoldPay(Guard):
        name = "hold-pay"

        def before(self, step: Step, run: Any, memory: Any) -> Any:
            return Hold("ask") if step.name == "pay" else Says(None, of="").before(step, run, memory)

    async def main() -> None:
        world, reads = World(), World()
        model = ScriptedModel([calls(call("pay", what="1"), call("look", what="x")), say("Done.")])
        cashier = Agent("cashier", model=model, tools=[world.writes(), reads.reads()])
        team = Team(cashier, limits=Limits(tool_calls=1))
        async with Seawall(guards=[HoldPay()]) as sea:
            run = await sea.start(team, "pay", modes={})
            waiting = await resting(run)
            await sea.decide(run.id, waiting.step, approve=True, by="user:9")
            outcome = await over(run)

        assert len(world.calls) + len(reads.calls) == 1
        assert outcome.pruned == ("limits",)
        assert all(line.endswith(": tool_calls would be 2 (limit 1)") for line in outcome.lacks)

    asyncio.run(main())


def test_a_decision_on_anything_else_is_misuse_and_a_second_one_changes_nothing() -> None:
    async def main() -> None:
        world = World()
        team, _ = desk(world)
        async with Seawall(guards=[HOLD]) as sea:
            run = await sea.start(team, "pay 5 EUR")
            waiting = await resting(run)
            with pytest.raises(Misused, match=r"step 77 .*waiting: 2"):
                await sea.decide(run.id, 77, approve=True, by="user:9")
            for nobody in ("", " "):
                with pytest.raises(Misused, match="who decides"):
                    await sea.decide(run.id, waiting.step, approve=True, by=nobody)
            await sea.decide(run.id, waiting.step, approve=True, by="user:9")
            await over(run)
            with pytest.raises(Misused):
                await sea.decide(run.id, waiting.step, approve=False, by="user:8")
        assert world.calls == ["5 EUR"]

    asyncio.run(main())


def test_two_decisions_at_once_are_one(tmp_path: Path) -> None:
    async def main() -> None:
        world = World()
        team, _ = desk(world)
        async with Seawall(tmp_path / "desk.db", guards=[HOLD]) as sea:
            run = await sea.start(team, "pay 5 EUR")
            step = (await resting(run)).step
            results = await asyncio.gather(
                *(sea.decide(run.id, step, approve=yes, by="u") for yes in (True, False, True)),
                return_exceptions=True,
            )
            assert all(result is None or isinstance(result, Misused | Refused) for result in results)
            await over(run)
            events = await sea.journal.events(run.id)
        assert len(world.calls) <= 1
        first = next(event for event in events if isinstance(event, CommandTaken))
        assert len(world.calls) == (1 if first.approved else 0)

    asyncio.run(main())


def test_a_run_that_waits_is_decided_in_another_process_and_goes_on_there(tmp_path: Path) -> None:
    async def main() -> None:
        world = World()
        team, _ = desk(world)
        async with Seawall(tmp_path / "desk.db", guards=[HOLD]) as sea:
            run = await sea.start(team, "pay 5 EUR")
            waiting = await resting(run)
        async with Seawall(tmp_path / "desk.db", guards=[HOLD]) as other:
            await other.decide(run.id, waiting.step, approve=True, by="user:9")
            again = await other.resume(run.id, team)
            outcome = await over(again)
        assert outcome.status == "completed"
        assert world.calls == ["5 EUR"]

    asyncio.run(main())


def test_the_clock_of_a_run_that_waits_stands_still() -> None:
    async def main() -> None:
        clock = ManualClock()
        world = World()
        team, _ = desk(world, limits=Limits(active_s=10))
        async with Seawall(guards=[HOLD], clock=clock) as sea:
            run = await sea.start(team, "pay 5 EUR")
            waiting = await clock.until(run.rest())
            assert isinstance(waiting, Waiting)
            await clock.advance(3600)
            await sea.decide(run.id, waiting.step, approve=True, by="user:9")
            outcome = await clock.until(run.outcome())
        assert outcome.status == "completed"
        assert outcome.active_s < 10

    asyncio.run(main())


def test_an_approval_is_void_once_its_tool_has_changed(tmp_path: Path) -> None:
    paid: list[str] = []

    def cashier(version: str) -> Team:
        async def pay(what: str) -> str:
            paid.append(version)
            return "paid"

        model = ScriptedModel(
            lambda request: say("Paid.") if len(request.messages) > 2 else call("pay", what="5")
        )
        return Team(Agent("cashier", model=model, tools=[Tool(pay, effect=True, version=version)]))

    async def main() -> None:
        async with Seawall(tmp_path / "journal.db", guards=[HOLD]) as sea:
            run = await sea.start(cashier("1"), "pay 5 EUR")
            first = await resting(run)
        async with Seawall(tmp_path / "journal.db", guards=[HOLD]) as sea:
            await sea.decide(run.id, first.step, approve=True, by="user:9")
            run = await sea.resume(run.id, cashier("2"))
            second = await resting(run)
            assert second.step != first.step
            assert paid == []
            held = [event for event in await sea.journal.events(run.id) if isinstance(event, Judged)]
            assert any(
                f"the approval in step {first.step} was for version 1-" in each.reason for each in held
            )
            await sea.decide(run.id, second.step, approve=True, by="user:9")
            assert (await over(run)).status == "completed"
        assert paid == ["2"]

    asyncio.run(main())
