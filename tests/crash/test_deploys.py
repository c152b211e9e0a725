"""Between a crash and the resume, another version of the team was deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from crash.check import Story, check_effects, check_finished, check_nothing_lost, check_nothing_twice, states
from crash.fork_server import ForkServer
from crash.job import Death, Job, Report
from crash.world import count_times, read_calls
from seawall import Limits

DEATHS = [
    Death(at, where, after)
    for where in ("journal", "world")
    for at, after in ((6, False), (14, True), (19, True))
]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(directory=str(tmp_path))


def crash(workers: ForkServer, job: Job, call: str, *, after: bool, **first: Any) -> None:
    """Runs a worker that dies before or after the world's call of that name."""
    undisturbed = Job(directory=str(Path(job.directory) / "undisturbed"))
    Path(undisturbed.directory).mkdir()
    workers.run(undisturbed)
    at = next(made.number for made in read_calls(undisturbed.world) if made.name == call)
    death = Death(at, "world", after)
    assert workers.run(msgspec.structs.replace(job, death=death, **first)) is None


def resume(workers: ForkServer, job: Job, **changes: Any) -> Report:
    report = workers.run(msgspec.structs.replace(job, **changes))
    assert report is not None
    return report


@pytest.mark.parametrize("death", DEATHS, ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": " Be brief."},
        {"model": "another"},
        {"limits": Limits(active_s=1, tool_calls=1, model_calls=1)},
        {"prompt": " Be kind.", "model": "third", "notify_version": "2"},
    ],
    ids=["prompt", "model", "limits", "prompt-model-tool"],
)
def test_a_parked_run_goes_on_with_the_new_team(
    workers: ForkServer, job: Job, death: Death, changes: dict[str, Any]
) -> None:
    assert workers.run(msgspec.structs.replace(job, death=death)) is None

    report = resume(workers, job, **changes)

    check_finished(job, report)


@pytest.mark.parametrize("death", DEATHS, ids=str)
def test_a_guard_that_came_with_the_deploy_judges_what_comes_next(
    workers: ForkServer, job: Job, death: Death
) -> None:
    assert workers.run(msgspec.structs.replace(job, death=death)) is None
    before = len(read_calls(job.world))

    report = resume(workers, job, frozen=True)

    assert len(read_calls(job.world)) == before
    assert report.outcome is not None
    assert report.outcome.stopped_by is not None
    assert report.outcome.stopped_by.guard == "frozen"


def test_what_a_guard_said_stays_said_when_it_is_gone(workers: ForkServer, job: Job) -> None:
    assert workers.run(msgspec.structs.replace(job, frozen=True, death=Death(1, after=True))) is None

    report = resume(workers, job)

    assert read_calls(job.world) == []
    assert report.outcome is not None
    assert report.outcome.stopped_by is not None
    assert report.outcome.stopped_by.guard == "frozen"


@pytest.mark.parametrize(
    "changes",
    [{"notify_version": "2"}, {"notify_honours": False}, {"without_tool": "notify"}],
    ids=["version", "not-idempotent", "removed"],
)
def test_an_effect_is_not_attempted_again_by_a_tool_that_may_not_know_its_key(
    workers: ForkServer, job: Job, changes: dict[str, Any]
) -> None:
    crash(workers, job, "notify", after=True)

    waiting = resume(workers, job, settles=False, **changes)

    assert waiting.waiting is not None, waiting
    assert waiting.waiting.what == "notify"
    report = resume(workers, job, **changes)
    assert list(count_times(job.world, "notify").values()) == [1]
    check_finished(job, report)


def test_what_a_tool_that_is_gone_had_begun_waits_for_a_person(workers: ForkServer, job: Job) -> None:
    crash(workers, job, "pay", after=True)

    report = resume(workers, job, without_tool="pay")

    assert report.settled == 1
    check_finished(job, report)


def test_an_agent_is_told_that_its_tool_is_gone(workers: ForkServer, job: Job) -> None:
    crash(workers, job, "track", after=False)

    report = resume(workers, job, without_tool="pay")

    assert report.outcome is not None
    assert "there is no tool 'pay'" in str(report.outcome.answer)
    assert states(report) == [("notify", "committed")]
    story = Story(job)
    check_nothing_lost(story)
    check_nothing_twice(story)


def test_what_an_agent_that_is_gone_had_begun_waits_for_a_person(workers: ForkServer, job: Job) -> None:
    crash(workers, job, "pay", after=True)

    waiting = resume(workers, job, without_agent="cashier", settles=False)

    assert waiting.waiting is not None, waiting
    assert waiting.waiting.what == "pay"
    report = resume(workers, job, without_agent="cashier")
    assert report.outcome is not None
    assert "'cashier' is not in team 'desk' any more" in str(report.outcome.answer)
    assert states(report) == [("pay", "committed")]
    story = Story(job)
    check_nothing_lost(story)
    check_nothing_twice(story)


def test_the_others_go_on_without_an_agent_that_is_gone(workers: ForkServer, job: Job) -> None:
    crash(workers, job, "track", after=False)

    report = resume(workers, job, without_agent="clerk")

    assert report.outcome is not None
    assert "'clerk' is not in team 'desk' any more" in str(report.outcome.answer)
    story = Story(job)
    check_nothing_lost(story)
    check_nothing_twice(story)
    check_effects(story)


def test_a_run_whose_coordinator_is_gone_fails_and_says_so(workers: ForkServer, job: Job) -> None:
    crash(workers, job, "track", after=False)

    report = resume(workers, job, renamed="front")

    assert report.outcome is not None
    assert report.outcome.status == "failed"
    assert "agent 'desk' is not in team 'desk' any more" in str(report.outcome.error)
