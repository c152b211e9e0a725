"""Limits hold over all workers of a run together, by the world's count: what a crash lost counts as spent."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from crash.check import Story, check_nothing_lost, check_nothing_twice, check_within
from crash.fork_server import ForkServer
from crash.job import Death, Job
from seawall import Limits

ENOUGH_WITHOUT_A_CRASH = {
    "calls": Limits(active_s=60, tool_calls=9, model_calls=15, handoffs=4, depth=3, at_limit="halt"),
    "tokens": Limits(active_s=60, tokens=2_600, at_limit="halt"),
    "usd": Limits(active_s=60, usd=Decimal("0.003"), at_limit="halt"),
}
"""What the run needs, and hardly more."""
LIVES = 12
MANY_LIVES = 40


@pytest.mark.parametrize("limits", ENOUGH_WITHOUT_A_CRASH.values(), ids=ENOUGH_WITHOUT_A_CRASH.keys())
def test_the_limits_are_enough_for_a_run_without_a_crash(
    workers: ForkServer, tmp_path: Path, limits: Limits
) -> None:
    report = workers.run(Job(directory=str(tmp_path), limits=limits, estimated=True))

    assert report is not None
    assert report.outcome is not None
    assert report.outcome.status == "completed", report


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limits", ENOUGH_WITHOUT_A_CRASH.values(), ids=ENOUGH_WITHOUT_A_CRASH.keys())
def test_no_limit_is_exceeded_over_many_workers(
    workers: ForkServer, tmp_path: Path, limits: Limits, seed: int
) -> None:
    rng = random.Random(seed)
    job = Job(directory=str(tmp_path), limits=limits, estimated=True)
    for _ in range(LIVES):
        death = Death(rng.randint(1, 6), rng.choice(("journal", "world")), rng.random() < 0.5)
        if workers.run(msgspec.structs.replace(job, death=death)) is not None:
            break
    report = workers.run(job)

    story = Story(job)
    check_within(story, limits)
    check_nothing_lost(story)
    check_nothing_twice(story)
    assert report is not None
    outcome = report.outcome
    assert outcome is not None, report
    if outcome.status != "completed":
        assert outcome.stopped_by is not None
        assert (outcome.status, outcome.stopped_by.guard) == ("halted", "limits"), outcome
    assert len(story.calls) <= outcome.model_calls + outcome.tool_calls, "the ledger knows of every call"


@pytest.mark.parametrize("limits", ENOUGH_WITHOUT_A_CRASH.values(), ids=ENOUGH_WITHOUT_A_CRASH.keys())
def test_what_crashes_took_again_and_again_is_spent(
    workers: ForkServer, tmp_path: Path, limits: Limits
) -> None:
    """The provider charges for a reply that no worker lived to record."""
    job = Job(directory=str(tmp_path), limits=limits, estimated=True)
    death = Death(19, "world", after=True)
    for _ in range(MANY_LIVES):
        report = workers.run(msgspec.structs.replace(job, death=death))
        death = Death(1, "world", after=True)
        if report is not None:
            break
    else:
        pytest.fail(f"{MANY_LIVES} model calls and no end")

    story = Story(job)
    check_within(story, limits)
    check_nothing_lost(story)
    assert report.outcome is not None
    assert report.outcome.stopped_by is not None
    assert (report.outcome.status, report.outcome.stopped_by.guard) == ("halted", "limits")
