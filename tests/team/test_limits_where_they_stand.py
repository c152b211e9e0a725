"""The limits of an agent or a nested team hold wherever it stands: as coordinator, as reviewer, beside one of its name."""

from __future__ import annotations

from typing import Any

import pytest

from seawall import Agent, Limits, Team
from seawall.core.limits import AtLimit
from seawall.models.protocol import ModelRequest
from seawall.testing import ManualClock, ScriptedModel, call, fail, hang, say, slow
from team.nesting import boss_of, looking, outer
from team.play import World, play, sent

FIVE = Limits(active_s=5)


def agent(name: str, clock: ManualClock, *script: Any, **options: Any) -> Agent[None]:
    return Agent(name, model=ScriptedModel([*script], clock=clock), **options)


# ---- active time


def test_the_time_of_the_agent_that_a_request_goes_to_ends_the_run() -> None:
    clock = ManualClock()

    outcome = play(Team(agent("lead", clock, hang(), limits=FIVE)), clock=clock).outcome

    assert outcome.status == "halted" and outcome.stopped_by is not None
    assert (outcome.stopped_by.guard, outcome.stopped_by.limit) == ("limits", "active_s=5")
    assert "agent 'lead' used up its 5 active seconds" in outcome.stopped_by.reason
    assert 5 <= outcome.active_s < 5.1


@pytest.mark.parametrize("at_limit", ["answer", "halt"])
def test_the_agent_that_a_request_goes_to_answers_with_what_it_has_found(at_limit: AtLimit) -> None:
    clock, world = ManualClock(), World()

    def script(request: ModelRequest) -> Any:
        return slow(2, call("look", what=f"x{len(request.messages)}"))

    limits = Limits(active_s=5, at_limit=at_limit)
    lead = Agent("lead", model=ScriptedModel(script, clock=clock), tools=[world.reads()], limits=limits)

    outcome = play(Team(lead), clock=clock).outcome

    assert outcome.status == ("completed" if at_limit == "answer" else "halted")
    assert all(what in (outcome.answer or "") for what in world.calls) is (at_limit == "answer")
    assert len(world.calls) == 2 and 5 <= outcome.active_s < 5.1


def test_the_time_of_an_agent_passes_while_it_waits_for_a_colleague_whose_result_is_kept() -> None:
    clock = ManualClock()
    clerk = agent("clerk", clock, slow(30, "It was found."))
    lead = agent("lead", clock, call("ask_clerk", task="look"), say("never"), limits=FIVE)

    outcome = play(Team("desk", lead, specialists=[clerk]), clock=clock).outcome

    assert outcome.pruned == ("limits:lead", "answer:partial")
    assert "It was found." in (outcome.answer or "")


@pytest.mark.parametrize("nested", [False, True])
def test_a_reviewer_whose_time_is_up_leaves_the_answer_unreviewed(nested: bool) -> None:
    clock = ManualClock()
    auditor = agent("auditor", clock, hang(), limits=FIVE)
    team = Team("desk", agent("lead", clock, say("It is sent.")), reviewer=auditor)

    outcome = play(outer(team, script=[call("ask_desk", task="x"), say("It is sent.")]) if nested else team,
                   clock=clock).outcome  # fmt: skip

    assert (outcome.status, outcome.answer) == ("completed", "It is sent.")
    assert outcome.pruned == ("limits:auditor", "review:lead" if nested else "review")
    assert 5 <= outcome.active_s < 5.1


def test_the_time_of_a_reviewer_is_that_of_all_its_reviews_together() -> None:
    clock = ManualClock()
    reject = call("review", approved=False, feedback="No.")
    auditor = agent("auditor", clock, slow(3, reject), slow(3, reject), limits=FIVE)
    lead = agent("lead", clock, say("one"), slow(20, "two"))

    outcome = play(Team("desk", lead, reviewer=auditor, review_rounds=5), clock=clock).outcome

    assert (outcome.status, outcome.answer, outcome.reviewed) == ("completed", "two", False)
    assert 25 <= outcome.active_s < 25.1


# ---- what the limits say of themselves


@pytest.mark.parametrize("kind", ["agent", "team"])
@pytest.mark.parametrize("of_run", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_whether_a_call_that_cost_nothing_counts_is_said_by_each_limits_themselves(
    kind: str, of_run: bool, own: bool
) -> None:
    clock = ManualClock()
    limits = Limits(model_calls=2, count_failed=own)
    clerk = agent("clerk", clock, fail("overloaded"), fail("overloaded"), say("It was found."),
                  limits=limits if kind == "agent" else None)  # fmt: skip
    team = outer(Team("inner", clerk, limits=limits if kind == "team" else None),
                 limits=Limits(count_failed=of_run))  # fmt: skip

    run = play(team, clock=clock)

    assert ("It was found." in sent(boss_of(team))[-1]) is not own
    assert run.outcome.model_calls == (2 if own else 3) + (2 if of_run else 0)


@pytest.mark.parametrize("own", ["answer", "halt"])
@pytest.mark.parametrize("of_other", ["answer", "halt"])
def test_what_happens_at_a_limit_is_said_by_the_limits_of_that_team_and_of_no_other_of_its_name(
    own: AtLimit, of_other: AtLimit
) -> None:
    def within(name: str, at_limit: AtLimit) -> Team:
        clerk = Agent(f"clerk_of_{name}", model=looking(5), tools=[World().reads()])
        inner = Team("archive", clerk, limits=Limits(tool_calls=1, at_limit=at_limit))
        lead = Agent(f"lead_of_{name}", model=ScriptedModel([call("ask_archive", task="t"), say("seen")]))
        return Team(name, lead, specialists=[inner])

    script = [call("ask_second", task="t"), say("Done.")]
    run = play(outer(within("first", of_other), within("second", own), script=script))

    assert run.outcome.pruned == (("limits:archive",) if own == "answer" else ())
