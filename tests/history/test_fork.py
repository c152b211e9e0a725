"""Fork goes on live from one recorded result, which may be changed."""

from __future__ import annotations

import asyncio

import pytest

from history.desk import desk, recorded
from seawall import (
    ALLOW,
    Agent,
    Effect,
    Guard,
    Halt,
    Misused,
    Outcome,
    Principal,
    Seawall,
    Team,
    always,
    tool,
)
from seawall.core.events import StepDone, StepIntended
from seawall.effects.options import Scope
from seawall.models.protocol import ModelRequest, ToolResult
from seawall.models.scripted import Reply, calls
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import Verdict
from seawall.testing import ScriptedModel, call, say


def test_a_fork_goes_on_live_with_the_changed_result() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        told: list[str] = []

        def answer(request: ModelRequest) -> Reply:
            last = request.messages[-1]
            assert isinstance(last, ToolResult)
            told.append(last.content)
            return say("It is on its way.")

        model = ScriptedModel(answer)
        team = Team(Agent("desk", model=model, tools=desk().coordinator.tools))
        run = await sea.fork(outcome.run, team, at=2, result="order 1042 is on its way")
        forked = await run.outcome()
        assert forked.answer == "It is on its way."
        assert told == ["order 1042 is on its way"]
        assert forked.run != outcome.run
        assert forked.tool_calls == 1
        events = await sea.journal.events(outcome.run)
        assert any(isinstance(event, StepDone) and event.step == 6 for event in events), "the origin stays"

    recorded(desk(), check)


def test_effects_are_simulated_in_a_fork_unless_they_are_asked_for() -> None:
    paid: list[str] = []

    @tool(effect=True)
    def refund(order_id: str) -> str:
        """Pay money back."""
        paid.append(order_id)
        return "paid"

    def cashier() -> Team:
        script = [call("refund", order_id="1042"), call("refund", order_id="1043"), say("Done.")]

        def play(request: ModelRequest) -> Reply:
            results = [message for message in request.messages if isinstance(message, ToolResult)]
            return script[len(results)]

        return Team(Agent("cashier", model=ScriptedModel(play), tools=[refund]))

    async def check(sea: Seawall, outcome: Outcome) -> None:
        assert paid == ["1042", "1043"]
        await (await sea.fork(outcome.run, cashier(), at=2)).outcome()
        assert paid == ["1042", "1043"]
        live = await sea.fork(outcome.run, cashier(), at=2, live_effects=True)
        await live.outcome()
        assert paid == ["1042", "1043", "1043"]
        with pytest.raises(Misused, match="its receipt says what happened"):
            await sea.fork(outcome.run, cashier(), at=2, result="never paid")

    recorded(cashier(), check)


def test_a_run_whose_request_was_erased_is_not_forked() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        await sea.journal.erase((await sea.state(outcome.run)).started.tenant)
        before = await sea.journal.runs()
        with pytest.raises(Misused, match="its request was erased, so nothing can go on from its steps"):
            await sea.fork(outcome.run, desk(), at=2)
        assert await sea.journal.runs() == before

    recorded(desk(), check)


def test_a_fork_at_a_step_that_does_not_exist_says_how_many_there_are() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        with pytest.raises(Misused, match="has no step 99; it has 7"):
            await sea.fork(outcome.run, desk(), at=99)
        events = await sea.journal.events(outcome.run)
        model_step = next(e.step for e in events if isinstance(e, StepIntended) and e.kind == "model")
        with pytest.raises(Misused, match="only the result of a tool or a hand-off"):
            await sea.fork(outcome.run, desk(), at=model_step, result="x")

    recorded(desk(), check)


def test_a_fork_of_a_loop_goes_on_when_a_result_brings_new_information() -> None:
    async def check(sea: Seawall, outcome: Outcome) -> None:
        assert outcome.status == "halted"
        again = ScriptedModel([call("find_order", order_id="1043"), say("It was found.")])
        team = Team(Agent("desk", model=again, tools=desk().coordinator.tools))
        forked = await (await sea.fork(outcome.run, team, at=8, result="order 1042 was found")).outcome()
        assert forked.answer == "It was found."

    recorded(desk(9), check)


def test_a_fork_drops_the_verdicts_on_the_result_that_it_changes() -> None:
    class NoLosses(Guard):
        name = "no-losses"

        def after(self, step: Step, result: Result, run: RunState, memory: object) -> Verdict:
            return (
                Halt("something is lost") if "lost" in str(result.output) and step.kind == "tool" else ALLOW
            )

    async def check(sea: Seawall, outcome: Outcome) -> None:
        assert outcome.stopped_by is not None
        assert outcome.stopped_by.guard == "no-losses"
        team = Team(
            Agent("desk", model=ScriptedModel([say("All is well.")]), tools=desk().coordinator.tools),
            guards=[NoLosses()],
        )
        forked = await (await sea.fork(outcome.run, team, at=2, result="order 1042 was found")).outcome()
        assert forked.answer == "All is well."

    recorded(desk(guards=[NoLosses()]), check)


def test_a_fork_after_a_failed_try_takes_the_result_it_is_given() -> None:
    @tool(retries=1)
    def flaky() -> str:
        """Fails."""
        raise ValueError("down")

    def team(*script: Reply) -> tuple[Team, ScriptedModel]:
        model = ScriptedModel(list(script))
        return Team(Agent("desk", model=model, tools=[flaky])), model

    async def check(sea: Seawall, outcome: Outcome) -> None:
        again, model = team(say("It is up."))
        forked = await (await sea.fork(outcome.run, again, at=2, result="it is up")).outcome()
        assert forked.answer == "It is up."
        last = model.requests[-1].messages[-1]
        assert isinstance(last, ToolResult)
        assert last.content == "it is up"

    recorded(team(call("flaky"), say("It is down."))[0], check)


@pytest.mark.parametrize("live_effects", [False, True])
def test_a_fork_asks_in_its_own_name_and_decides_nothing_of_the_run_that_it_is_of(live_effects: bool) -> None:
    paid: list[str] = []

    @tool(effect=Effect(unique_by=("order_id",), approve=always()))
    async def refund(order_id: str) -> str:
        """Pay money back."""
        paid.append(order_id)
        return "paid"

    def replay(request: ModelRequest) -> Reply:
        asked = calls(call("refund", order_id="1"), call("refund", order_id="2"))
        return say("Done.") if isinstance(request.messages[-1], ToolResult) else asked

    team = Team(Agent("cashier", model=ScriptedModel(replay), tools=[refund]))

    async def main() -> None:
        async with Seawall(authenticate=lambda name: Principal(str(name))) as sea:
            run = await sea.start(team, "go", principal="u")
            await run.rest()
            first, second = await sea.approvals()
            await sea.approve(first.id, hash=first.hash, credential="finance")
            async with asyncio.timeout(60):
                while not paid or (await sea.state(run.id)).in_flight:
                    await asyncio.sleep(0)
            fork = await sea.fork(run.id, team, at=4, live_effects=live_effects)
            await fork.rest()
            assert [each.id for each in await sea.approvals(run=run.id)] == [second.id]
            with pytest.raises(Misused, match="does not wait for a decision"):
                await sea.decide(fork.id, second.step, approve=True, credential="finance")
            assert paid == ["1"]
            await sea.approve(second.id, hash=second.hash, credential="finance")
            assert (await fork.outcome()).status == (await run.outcome()).status == "completed"
        assert paid == ["1", "2"]

    asyncio.run(main())


@pytest.mark.parametrize("scope", ["run", "session", "principal", "tenant"])
def test_a_live_fork_of_a_fork_has_its_origins_effects(scope: Scope) -> None:
    paid: list[str] = []

    @tool(effect=Effect(unique_by=("order_id",), scope=scope))
    async def refund(order_id: str) -> str:
        """Pay money back."""
        paid.append(order_id)
        return "paid"

    def play(request: ModelRequest) -> Reply:
        return say("Done.") if isinstance(request.messages[-1], ToolResult) else call("refund", order_id="1")

    team = Team(Agent("cashier", model=ScriptedModel(play), tools=[refund]))

    async def main() -> None:
        async with Seawall() as sea:
            run = await sea.start(team, "go", session="s", principal="u")
            for _ in range(2):
                assert (await run.outcome()).status == "completed"
                run = await sea.fork(run.id, team, at=1, live_effects=True)
            assert (await run.outcome()).status == "completed"
        assert paid == ["1"]

    asyncio.run(main())
