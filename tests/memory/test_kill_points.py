"""kill -9 at every write of the journal of runs with memory, and in the middle of writes to the disk.

The story: a run writes memory; a second one reads it, writes the same key as a third one that runs within it, hands work
to a colleague that writes too, forgets a key, waits for a person who approves its payment, and merges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crash.job import Death
from memory.job import MemoryJob, MemoryReport, Workers

SHARDS = 3
"""The points are divided among so many tests, so that several processes can try them."""
DISK_STRIDE = 29
"""Every how many writes of the disk a worker dies, with a torn write and without in turns: all would be some hundred."""


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    made = Workers()
    yield made
    made.close()


def check(report: MemoryReport | None) -> None:
    """Checks that nothing is lost, and that nothing was merged twice."""
    assert report is not None
    assert report.error == ""
    assert {name: outcome.status for name, outcome in report.outcomes.items()} == dict.fromkeys(
        ("seed", "main", "rival"), "completed"
    )
    assert {name: outcome.memory for name, outcome in report.outcomes.items()} == {
        "seed": "merged",
        "rival": "merged",
        "main": "conflict",
    }
    assert report.memory == {"rule": "the rival's", "a": "1", "b": "2"}
    runs = [version.run for version in report.versions]
    assert sorted(runs) == sorted(outcome.run for outcome in report.outcomes.values()), "each merged once"
    (conflict,) = report.conflicts
    assert (conflict.run, conflict.why) == (report.outcomes["main"].run, "newer")
    assert report.paid == 1
    assert report.verified


def try_points(
    workers: Workers, directory: Path, death: Death, record_property: Callable[[str, object], None]
) -> None:
    """Lets a worker go on from each point at which another one may have died."""
    (directory / "run").mkdir()
    copies, report = workers.copy_at_each(MemoryJob(directory=str(directory / "run"), death=death))
    check(report)
    assert copies
    for copy in copies:
        check(workers.run(copy))
    tried = f"{death.where} {'after' if death.after else 'before'}"
    record_property("kill points of memory", {tried: len(copies)})


def test_the_story_without_a_death(workers: Workers, tmp_path: Path) -> None:
    report = workers.run(MemoryJob(directory=str(tmp_path)))
    check(report)
    assert report is not None and report.writes > 25


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_nothing_is_lost_and_nothing_merged_twice_wherever_a_worker_dies(
    workers: Workers,
    tmp_path: Path,
    after: bool,
    shard: int,
    record_property: Callable[[str, object], None],
) -> None:
    try_points(workers, tmp_path, Death(shard + 1, "journal", after, every=SHARDS), record_property)


@pytest.mark.parametrize("torn", [False, True])
def test_the_same_in_the_middle_of_a_write_to_the_disk(
    workers: Workers, tmp_path: Path, torn: bool, record_property: Callable[[str, object], None]
) -> None:
    death = Death(5 + DISK_STRIDE if torn else 5, "disk", torn, every=2 * DISK_STRIDE)
    try_points(workers, tmp_path, death, record_property)
