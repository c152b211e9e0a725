"""F03: kill -9 between an approval and its execution. The effect happens once or not at all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from crash.check import Story, check_finished
from crash.fork_server import ForkServer
from crash.job import Death, Job
from crash.world import read_calls

SHARDS = 2


def check_used_once(story: Story) -> None:
    """Checks that no approval let more than one attempt pass."""
    grants = Counter(step.grant for step in story.intents.values() if step.grant is not None)
    assert grants
    assert max(grants.values()) == 1, grants


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("where", ["journal", "world"])
def test_an_approved_payment_is_made_once_wherever_the_worker_dies(
    workers: ForkServer, tmp_path: Path, where: Literal["journal", "world"], after: bool, shard: int
) -> None:
    death = Death(12 + shard, where, after, every=SHARDS)  # from shortly before the payment is proposed
    job = Job(directory=str(tmp_path / "run"), held=True, death=death)
    Path(job.directory).mkdir()
    copies, report = workers.copy_at_each(job)
    assert 12 + shard + len(copies) * SHARDS > 20
    check_used_once(check_finished(job, report))
    for copy in copies:
        went_on = workers.run(copy)
        assert went_on is not None
        check_used_once(check_finished(copy, went_on))


def test_a_held_payment_waits_through_the_death_of_its_worker(workers: ForkServer, tmp_path: Path) -> None:
    job = Job(directory=str(tmp_path), held=True)

    for _ in range(3):  # each worker takes the run, finds that it waits, and ends
        report = workers.run(msgspec.structs.replace(job, settles=False))
        assert report is not None
        assert report.waiting is not None
        assert report.waiting.what == "pay"
    assert [call for call in read_calls(job.world) if call.name == "pay"] == []
    report = workers.run(job)

    assert report is not None
    assert report.settled == 1
    check_used_once(check_finished(job, report))
