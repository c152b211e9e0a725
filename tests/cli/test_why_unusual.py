"""`run`, `show` and `explain` where the answer is not the team's, was not reviewed, or where nothing was done at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from cli.desks import Desks
from planner.teams import APPROVE, auditor, desk, quick
from seawall import Seawall, Team
from seawall.cli.journals import read_texts
from seawall.cli.render.run_header import draw_run_header
from seawall.cli.render.why_report import WhyReport
from seawall.core.events import Cause
from seawall.history.record import RunRecord, build_record
from seawall.history.why import explain
from seawall.testing import ManualClock, call, fail, hang, slow

WIDTH = 100
STOPPED = """
import asyncio
from seawall import Budget, Caps, Seawall

async def main():
    async with Seawall("seawall.db", budget=Budget(tenant_day=Caps(model_calls=0))) as sea:
        await (await sea.start(Team(clerk), "Hello?")).outcome()

asyncio.run(main())
"""


@dataclass
class Told:
    """A run that has ended, and what the commands print of it."""

    record: RunRecord
    why: str
    head: str

    @property
    def causes(self) -> tuple[Cause, ...]:
        assert self.record.ended is not None
        return self.record.ended.causes

    @property
    def pruned(self) -> tuple[str, ...]:
        assert self.record.ended is not None
        return self.record.ended.pruned


def told(team: Team, clock: ManualClock, **host: Any) -> Told:
    """Play it on a journal in memory, so that no time passes but the clock's."""

    async def main() -> Told:
        async with Seawall(clock=clock, environment={}, **host) as sea:
            run = await sea.start(team, "go")
            await clock.until(run.outcome())
            row, events = await sea.journal.row(run.id), await sea.journal.events(run.id)
            found = await read_texts(sea.journal, row.tenant, events)
            kept = build_record(events)
            explained = WhyReport(explain(kept, found.get), row, kept, found, WIDTH).draw_lines()
            shown = draw_run_header(row, kept, events, found, WIDTH, clock.wall_s())
            return Told(kept, *("\n".join(line.plain for line in lines) for lines in (explained, shown)))

    return asyncio.run(main())


def test_why_leads_from_an_answer_made_of_results_to_those() -> None:
    clock = ManualClock()
    run = told(desk(clock, slow(1, call("ask_clerk", task="a")), hang()), clock)

    assert run.pruned == ("answer:partial",)
    assert run.causes == (Cause(2, "value"),)
    assert "outcome ← value from 2\n" in run.why
    assert "the planner made the answer of these, in the team's place" in run.why
    assert "given up   step 4, model scripted of desk, after 6.9" in run.why
    assert "first  step 2, handoff clerk of desk   way: 2 → outcome" in run.why


def test_why_leads_from_a_fallbacks_answer_into_the_frame_that_gave_it() -> None:
    clock = ManualClock()
    team = desk(clock, hang(), fallback=quick(clock, slow(1, "In short.")), priors={"agent:quick": 2})
    run = told(team, clock)

    assert run.causes == (Cause(2, "value"),)
    assert "the planner asked quick in the team's place" in run.why
    assert "given up   step 1, model scripted of desk" in run.why
    assert "written in 3" in run.why
    assert "first  step 2, handoff quick of desk   way: 2 → outcome" in run.why


def test_after_a_fallback_that_failed_why_leads_to_the_results_of_the_record() -> None:
    clock = ManualClock()
    lost = quick(clock, fail("rejected"))
    team = desk(clock, slow(1, call("ask_clerk", task="a")), hang(), fallback=lost, priors={"agent:quick": 2})
    run = told(team, clock)

    assert run.pruned == ("fallback:quick", "answer:partial")
    assert run.causes == (Cause(2, "value"),)
    assert "made the answer of these" in run.why


def test_why_says_that_a_run_was_stopped_before_its_first_step(desks: Desks) -> None:
    desks.write(STOPPED, "stopped")
    desks.python("stopped.py")

    done = desks("why")

    assert "outcome ← no step was made: budget stopped the run before its first step" in done.out
    assert "first  the request itself: nothing was done for it" in done.out
    assert "nothing recorded" not in done.out
    found = desks("why", "--json").document
    assert (found["first"], [each["verdict"] for each in found["verdicts"]]) == (0, ["halt"])


def test_a_review_that_was_skipped_for_time_is_told_from_one_that_said_no(desks: Desks) -> None:
    skipped = desks("run", desks.app("hurried"), "Where is 1042?")

    assert "not reviewed: no time" in skipped.err
    assert "not approved" not in skipped.err
    assert "review     not reviewed: no time" in desks("show").out


def test_an_answer_of_results_alone_was_not_reviewed_and_not_rejected() -> None:
    clock = ManualClock()
    team = desk(clock, slow(1, call("ask_clerk", task="a")), hang(), reviewer=auditor(clock, APPROVE))

    assert "review     not reviewed: no time" in told(team, clock).head
