"""What each agent did over many runs, and which reviewers may review nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from history.reviewed import Reviewer, approve, compare, desk, praise, record, reject
from seawall import Agent, Seawall, Team
from seawall.history import roles as module
from seawall.history.roles import ReviewerRole, Roles, read_roles
from seawall.journal.protocol import RunFilter
from seawall.models.scripted import Usage
from seawall.runtime.probing import probe_reviewer
from seawall.testing import ManualClock, ScriptedModel, call, fail, say


def roles_of(*teams: Team, runs: int = 1, **options: Any) -> Roles:
    """Returns the roles after so many runs of each team."""

    async def main() -> Roles:
        async with Seawall(clock=ManualClock(), environment={}) as sea:
            for team in teams:
                await record(sea, team, runs)
            return await read_roles(sea.journal, **options)

    return asyncio.run(main())


def reviewer_of(reviewer: Reviewer, runs: int = 30) -> ReviewerRole:
    [found] = roles_of(desk(reviewer), runs=runs).reviewers
    return found


def test_a_reviewer_that_approves_all_and_names_nothing_is_named_for_it() -> None:
    found = reviewer_of(approve)

    assert (found.reviews, found.approved, found.rejected, found.named, found.words) == (30, 30, 0, 0, 0)
    assert "approved all 30 answers" in found.signal
    assert "9.5%" in found.signal


def test_many_words_that_name_no_result_do_not_help() -> None:
    found = reviewer_of(praise)

    assert found.words == 9
    assert found.signal


def test_a_reviewer_that_names_a_result_is_not_named_for_it() -> None:
    found = reviewer_of(compare)

    assert (found.named, found.signal) == (30, "")


def test_twenty_nine_approvals_say_too_little() -> None:
    assert reviewer_of(approve, runs=29).signal == ""


def test_who_calls_fewer_enough_is_told_sooner() -> None:
    [found] = roles_of(desk(approve), runs=3, min_reviews=3).reviewers

    assert found.signal


def test_a_rejection_is_no_approval_and_rounds_are_counted() -> None:
    found = reviewer_of(reject, runs=2)

    assert (found.approved, found.rejected, found.rounds, found.rate) == (0, 4, 2, 0.0)
    assert found.signal == ""


def test_what_an_agent_did_is_summed_over_its_runs() -> None:
    usage = Usage(30, 10)
    looker = Agent("looker", model=ScriptedModel([say("Lost."), fail("rejected")], usage=usage), retries=0)
    lead = Agent(
        "lead",
        model=ScriptedModel([call("ask_looker", task="Look at A-1042."), say("It is lost.")], usage=usage),
    )

    found = roles_of(Team("pair", lead, specialists=[looker]))

    by_name = {each.agent: each for each in found.agents}
    assert by_name["lead"].model_calls == 2
    assert by_name["lead"].tokens == 80
    assert by_name["looker"].handoffs == 1
    assert by_name["looker"].share == pytest.approx(40 / 120)
    assert found.reviewers == ()


def test_tools_and_members_that_did_nothing_are_there() -> None:
    found = roles_of(desk(approve), team="desk", members=("clerk", "auditor", "idler"))

    by_name = {each.agent: each for each in found.agents}
    assert by_name["clerk"].tools == {"find_order": 1}
    assert by_name["idler"].runs == 0


def test_only_the_team_and_the_time_that_are_asked_for() -> None:
    async def main() -> tuple[Roles, Roles, Roles]:
        clock = ManualClock()
        async with Seawall(clock=clock, environment={}) as sea:
            await record(sea, desk(approve), 3)
            await record(sea, desk(approve, name="other"), 1, tenant="acme")
            middle = clock.wall_s() - 2.5
            return (
                await read_roles(sea.journal, team="desk"),
                await read_roles(sea.journal, since=middle),
                await read_roles(sea.journal, tenant="acme"),
            )

    by_team, since, by_tenant = asyncio.run(main())

    assert (by_team.runs, since.runs, by_tenant.runs) == (3, 2, 1)


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_runs_of_one_moment_are_counted_once_however_the_pages_fall(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_RUNS", 2)
    pages: list[int] = []

    async def main() -> Roles:
        clock = ManualClock()
        async with Seawall(clock=clock, environment={}) as sea:
            for _ in range(5):
                await (await sea.start(desk(approve), "Where is it?")).outcome()
                await clock.advance(seconds)
            return await read_roles(sea.journal, on_run=pages.append)

    assert asyncio.run(main()).runs == 5
    assert pages == [1, 2, 3, 4, 5]


def test_forks_and_probes_are_left_out() -> None:
    async def main() -> tuple[Roles, Sequence[str]]:
        async with Seawall(clock=ManualClock(), environment={}) as sea:
            runs = await record(sea, desk(approve))
            await probe_reviewer(sea, desk(approve), runs)
            rows = await sea.journal.runs(RunFilter())
            return await read_roles(sea.journal), [row.run for row in rows]

    found, runs = asyncio.run(main())

    assert (found.runs, found.left_out) == (1, len(runs) - 1)
    assert found.reviewers[0].reviews == 1
