"""A probe asks the reviewer alone, and leaves nothing but its record and its cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from history.reviewed import ANSWER, approve, compare, desk, find_order, record, reject
from seawall import (
    ALLOW,
    Agent,
    Guard,
    Hold,
    Limits,
    Memory,
    Misused,
    Outcome,
    Price,
    RunFilter,
    Seawall,
    Team,
    tool,
)
from seawall.core.events import MemoryWritten, RunEnded, RunStarted, StepDone, StepIntended
from seawall.history.probes import ProbeReport
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Verdict
from seawall.runtime.probing import probe_reviewer
from seawall.testing import ManualClock, ScriptedModel, call, fail, hang, say

Scenario = Callable[[Seawall], Awaitable[Any]]


def played(scenario: Scenario, **host: Any) -> Any:
    async def main() -> Any:
        async with Seawall(clock=ManualClock(), environment={}, **host) as sea:
            return await scenario(sea)

    return asyncio.run(main())


def probed(team: Team, then: Team | None = None, **options: Any) -> ProbeReport:
    """Returns the report on the reviewer of `then`, by one run of `team`."""

    async def scenario(sea: Seawall) -> ProbeReport:
        return await probe_reviewer(sea, then or team, await record(sea, team), **options)

    return played(scenario)


# ---- what is caught


def test_a_reviewer_that_compares_catches_what_is_planted_and_names_it() -> None:
    report = probed(desk(compare))

    assert {each.kind: each.judgement for each in report.probes} == {
        "unchanged": "approved",
        "number": "rejected",
        "date": "rejected",
        "id": "rejected",
        "name": "rejected",
        "claim": "rejected",
    }
    assert (report.share, report.all.named) == (1.0, 5)
    assert report.all.low == pytest.approx(0.566, abs=1e-3)


def test_a_reviewer_that_approves_everything_catches_nothing() -> None:
    report = probed(desk(approve))

    assert (report.all.judged, report.all.caught, report.share) == (5, 0, 0.0)


def test_a_reviewer_that_rejects_everything_has_caught_nothing_either() -> None:
    report = probed(desk(approve), desk(reject))

    assert report.share is None
    assert [each.kind for each in report.probes] == ["unchanged"]
    assert "rejects its answer unchanged" in next(iter(report.skipped.values()))


def test_only_the_kinds_that_are_asked_for_are_planted() -> None:
    report = probed(desk(compare), kinds=("id", "claim"))

    assert [each.kind for each in report.probes] == ["unchanged", "id", "claim"]


def test_the_same_seed_plants_the_same() -> None:
    async def scenario(sea: Seawall) -> list[list[str]]:
        team = desk(compare)
        runs = await record(sea, team)
        found = [await probe_reviewer(sea, team, runs, seed=seed) for seed in (1, 1, 2)]
        return [[each.planted for each in report.probes] for report in found]

    first, again, other = played(scenario)

    assert first == again != other


# ---- what a probe does, and what it leaves


def test_only_the_reviewer_is_called() -> None:
    async def scenario(sea: Seawall) -> tuple[ProbeReport, int, Any]:
        team = desk(compare)
        runs = await record(sea, team)
        model = team.coordinator.model
        assert isinstance(model, ScriptedModel)
        before = model.request_count
        report = await probe_reviewer(sea, team, runs)
        return report, model.request_count - before, await sea.journal.events(report.probes[1].run)

    report, calls, events = played(scenario)

    assert calls == 0
    assert all(each.model_calls == 1 for each in report.probes)
    steps = [each for each in events if isinstance(each, StepIntended)]
    assert [(each.kind, each.agent) for each in steps[-2:]] == [("review", "clerk"), ("model", "auditor")]


def test_a_probe_has_no_answer_and_is_marked_as_what_it_is() -> None:
    async def scenario(sea: Seawall) -> tuple[str, Outcome, list[Any]]:
        team = desk(approve)
        [run] = await record(sea, team, session="s-1")
        report = await probe_reviewer(sea, team, [run], kinds=("id",))
        probe = report.probes[1].run
        return run, await sea.outcome(probe), await sea.journal.events(probe)

    run, outcome, events = played(scenario)

    assert (outcome.status, outcome.answer, outcome.reviewed) == ("cancelled", None, None)
    assert outcome.stopped_by is not None
    assert (outcome.stopped_by.guard, outcome.stopped_by.value) == ("probe", "approved")
    started, ended = events[0], events[-1]
    assert isinstance(started, RunStarted)
    assert isinstance(ended, RunEnded)
    assert started.fork is not None
    assert (started.fork.run, started.fork.probe, started.session) == (run, "id", None)
    assert (ended.answer, ended.transcript, ended.memory) == (None, None, "")


def test_nothing_of_a_probe_stands_in_the_session() -> None:
    async def scenario(sea: Seawall) -> tuple[Any, list[str]]:
        team = desk(approve)
        runs = await record(sea, team, session="s-1")
        before = await sea.journal.session_tail("", "s-1")
        await probe_reviewer(sea, team, runs)
        tail = await sea.journal.session_tail("", "s-1")
        assert before is not None
        assert tail is not None
        assert (tail.run, tail.events) == (before.run, before.events)
        rows = await sea.journal.runs(RunFilter(session="s-1"))
        return runs, [row.run for row in rows]

    runs, listed = played(scenario)

    assert listed == runs


def test_nothing_of_a_probe_is_remembered_and_no_effect_is_done() -> None:
    paid: list[str] = []

    @tool(effect=True)
    def note(text: str) -> str:
        """Writes to somebody."""
        paid.append(text)
        return "noted"

    def script(request: Any) -> Any:
        seen = sum(type(each).__name__ == "ToolResult" for each in request.messages)
        return (
            call("note", text="looked"),
            call("remember", key="seen", value="yes", scope="tenant"),
            call("review", approved=True),
        )[min(seen, 2)]

    clerk = desk(approve).coordinator
    auditor = Agent("auditor", model=ScriptedModel(script), tools=[note], memory=Memory(write=("tenant",)))
    team = Team("desk", clerk, reviewer=auditor)

    async def scenario(sea: Seawall) -> tuple[Any, Any, Any, ProbeReport]:
        runs = await record(sea, team)
        before = await sea.memory().log(), await sea.effects(), list(paid)
        report = await probe_reviewer(sea, team, runs, kinds=("id",))
        after = await sea.memory().log(), await sea.effects(), list(paid)
        events = await sea.journal.events(report.probes[1].run)
        return before, after, events, report

    before, after, events, report = played(scenario)

    assert before == after
    assert report.all.judged == 1
    assert any(isinstance(each, MemoryWritten) for each in events)
    assert any(isinstance(each, StepDone) and each.status == "simulated" for each in events)


def test_what_a_probe_costs_is_booked_on_the_tenant_of_its_origin_and_shown() -> None:
    price = Price(Decimal(1_000), Decimal(1_000))

    async def scenario(sea: Seawall) -> tuple[ProbeReport, Decimal, Decimal]:
        clerk = Agent(
            "clerk",
            model=ScriptedModel(
                [call("find_order", order_id="A-1042"), say(ANSWER)], by="position", price=price
            ),
            tools=[find_order],
        )
        auditor = Agent("auditor", model=ScriptedModel(compare, price=price))
        team = Team("desk", clerk, reviewer=auditor)
        runs = await record(sea, team, tenant="acme")
        before = await spent(sea)
        return await probe_reviewer(sea, team, runs), before, await spent(sea)

    async def spent(sea: Seawall) -> Decimal:
        accounts = await sea.journal.accounts(day="*")
        return sum((each.spent.usd for each in accounts if each.tenant == "acme"), Decimal(0))

    report, before, after = played(scenario)

    assert report.usd == after - before > 0


# ---- bounds, and what can't be probed


def test_no_more_calls_are_made_than_are_allowed() -> None:
    report = probed(desk(compare), calls=3)

    assert report.model_calls == 3
    assert report.unmade == 3


def test_a_limit_of_dollars_is_never_exceeded() -> None:
    price = Price(Decimal(1_000), Decimal(1_000))
    clerk = Agent(
        "clerk",
        model=ScriptedModel([call("find_order", order_id="A-1042"), say(ANSWER)], by="position", price=price),
        tools=[find_order],
    )
    team = Team(
        "desk",
        clerk,
        reviewer=Agent("auditor", model=ScriptedModel(compare, price=price), max_output_tokens=300),
    )

    report = probed(team, usd=Decimal("0.8"))

    assert report.usd <= Decimal("0.8")
    assert report.all.judged < 5


@pytest.mark.parametrize("options", [{"calls": 0}, {"usd": Decimal(0)}])
def test_limits_are_above_zero(options: dict[str, Any]) -> None:
    with pytest.raises(Misused, match="above zero"):
        probed(desk(compare), **options)


def test_a_team_without_a_reviewer_has_nothing_to_probe() -> None:
    with pytest.raises(Misused, match="no reviewer"):
        probed(desk(compare), Team(Agent("clerk", model=ScriptedModel([]))))


def test_a_reviewer_whose_model_fails_has_judged_nothing() -> None:
    broken = Team(
        "desk",
        desk(approve).coordinator,
        reviewer=Agent("auditor", model=ScriptedModel(lambda _: fail("rejected")), retries=0),
    )

    report = probed(desk(approve), broken)

    assert report.share is None
    assert "not judged" in next(iter(report.skipped.values()))


def test_a_probe_that_would_wait_for_a_person_is_given_up() -> None:
    class AsksForReviews(Guard):
        name = "asks"

        def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
            return Hold("a person decides") if step.kind == "review" else ALLOW

    asking = Team(
        "desk", desk(approve).coordinator, reviewer=desk(approve).reviewer, guards=[AsksForReviews()]
    )

    report = probed(desk(approve), asking)

    assert report.share is None
    assert [each.judgement for each in report.probes] == ["not judged"]


def test_a_run_without_an_approved_review_is_skipped_with_the_reason() -> None:
    async def scenario(sea: Seawall) -> ProbeReport:
        return await probe_reviewer(sea, desk(approve), await record(sea, desk(reject)))

    assert "has not completed" in next(iter(played(scenario).skipped.values()))


def test_the_newest_reviewed_runs_are_found_and_probes_are_not_among_them() -> None:
    async def scenario(sea: Seawall) -> tuple[list[str], ProbeReport]:
        runs = await record(sea, desk(approve), 3)
        await record(sea, desk(reject))
        await probe_reviewer(sea, desk(approve), runs, kinds=("id",))
        return runs, await probe_reviewer(sea, desk(approve), 2, kinds=("id",))

    runs, report = played(scenario)

    assert [each.origin for each in report.probes if each.kind == "id"] == [runs[2], runs[1]]


# ---- a probe stays one


def test_a_probe_can_not_be_forked() -> None:
    async def scenario(sea: Seawall) -> None:
        team = desk(approve)
        report = await probe_reviewer(sea, team, await record(sea, team), kinds=("id",))
        with pytest.raises(Misused, match="is a probe"):
            await sea.fork(report.probes[1].run, team)

    played(scenario)


def test_a_probe_that_was_cut_off_goes_on_as_a_probe(tmp_path: Path) -> None:
    async def main() -> Outcome:
        asked = asyncio.Event()

        def wait(request: Any) -> Any:
            asked.set()
            return hang()

        waiting = Team(
            "desk",
            desk(approve).coordinator,
            reviewer=Agent("auditor", model=ScriptedModel(wait)),
        )
        clock = ManualClock()
        async with Seawall(tmp_path / "j.db", clock=clock, environment={}) as sea:
            runs = await record(sea, desk(approve))
            task = asyncio.create_task(probe_reviewer(sea, waiting, runs))
            await asked.wait()
            task.cancel()
        async with Seawall(tmp_path / "j.db", clock=clock, environment={}) as sea:
            [probe] = [each.run for each in await sea.journal.runs() if each.run not in runs]
            return await (await sea.resume(probe, desk(approve))).outcome()

    outcome = asyncio.run(main())

    assert (outcome.status, outcome.answer) == ("cancelled", None)


def test_replay_decides_a_probe_as_it_was() -> None:
    async def scenario(sea: Seawall) -> Any:
        team = desk(compare)
        report = await probe_reviewer(sea, team, await record(sea, team), kinds=("id",))
        return [await sea.replay(each.run, team) for each in report.probes]

    assert [each.differences for each in played(scenario)] == [(), ()]


def test_the_limits_of_the_origin_hold_with_what_it_has_used() -> None:
    async def scenario(sea: Seawall) -> ProbeReport:
        team = desk(compare)
        run = await sea.start(team, "Where is my order?", limits=Limits(model_calls=4))
        await run.outcome()
        return await probe_reviewer(sea, team, [run.id])

    assert played(scenario).all.judged == 5
