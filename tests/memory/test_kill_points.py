"""kill -9 at every write of the journal of runs with memory, and in the middle of writes to the disk.

The story: a run writes memory; a second one reads it, writes the same key as a third one that runs within it, hands work
to a colleague that writes too, forgets a key, waits for a person who approves its payment, and merges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from msgspec.structs import replace

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
    workers: Workers,
    directory: Path,
    where: Literal["journal", "disk"],
    numbers: Iterator[int],
    record_property: Callable[[str, object], None],
    *,
    after: bool,
) -> None:
    """Lets a worker die at each point, until there is none; another one goes on each time."""
    for tried, at in enumerate(numbers):
        (directory / str(at)).mkdir()
        job = MemoryJob(directory=str(directory / str(at)), death=Death(at, where, after))
        report = workers.run(job)
        if report is not None:  # there are fewer points than that
            check(report)
            assert tried
            record_property("kill points of memory", {f"{where} {'after' if after else 'before'}": tried})
            return
        check(workers.run(replace(job, death=None)))


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
    numbers = iter(range(shard + 1, 10_000, SHARDS))
    try_points(workers, tmp_path, "journal", numbers, record_property, after=after)


@pytest.mark.parametrize("torn", [False, True])
def test_the_same_in_the_middle_of_a_write_to_the_disk(
    workers: Workers, tmp_path: Path, torn: bool, record_property: Callable[[str, object], None]
) -> None:
    numbers = iter(range(5 + DISK_STRIDE if torn else 5, 100_000, 2 * DISK_STRIDE))
    try_points(workers, tmp_path, "disk", numbers, record_property, after=torn)
