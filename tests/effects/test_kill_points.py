"""kill -9 at every write of the journal, and on both sides of every call of the bank, with two effects, an approval by
two people, and a reconciliation: at most one payment each, and `committed` if and only if there is one.

The writes of the journal are also the points between claim and intent, intent and call, and call and receipt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from crash.job import Death
from effects.check import check_kept, check_paid_once, check_states
from effects.desk import Terms, payout, refund
from effects.job import Job, Processes, Report, Task
from effects.people import Decision
from effects.world.client import Bank

SHARDS = 4
"""The points are divided among so many tests, so that several processes can try them."""
STORY: tuple[tuple[Task, tuple[str, ...]], ...] = (
    ("start", ()),
    ("decide", ("alice", "bob")),
    ("go_on", ()),
    ("reconcile", ("bob",)),
    ("go_on", ()),
)
"""The processes, one after another, and the people in them. The bank books the second payment and gives no answer."""
DECLARED = Terms(people=2)
PLAIN = Terms(plain=True)


class Point(NamedTuple):
    """Where a process dies."""

    process: int
    what: str
    death: Death


class Story:
    """One run and the processes that it takes, with orders of its own."""

    def __init__(self, directory: Path, name: str, bank: Bank, terms: Terms) -> None:
        (directory / name).mkdir()
        self.bank = bank
        self.orders = {"refund": f"{directory.name}-{name}-keyed", "payout": f"{directory.name}-{name}"}
        replies = ((refund(self.orders["refund"], "150.00"), payout(self.orders["payout"], "80.00")),)
        bank.behave(self.orders["payout"], "drop_after")
        self.job = Job(
            directory=str(directory / name), port=bank.port, task="start", terms=terms, replies=replies
        )

    def jobs(self) -> Iterator[Job]:
        """Yields the jobs of its processes."""
        for task, who in STORY:
            yield replace(self.job, task=task, decisions=tuple(Decision(who=name) for name in who))

    def check(self, report: Report) -> None:
        """Checks what must hold, whatever has happened."""
        check_kept(self.job)
        check_states(report, self.bank, self.orders)
        if not self.job.terms.plain:
            check_paid_once(report, self.bank, self.orders.values())
        assert [rest.status for rest in report.rests] == ["completed"]


def list_points(processes: Processes, story: Story) -> list[Point]:
    """Lets the story happen without a death; returns where each of its processes can die."""
    points: list[Point] = []
    report = Report()
    for number, job in enumerate(story.jobs()):
        report = processes.do(job)
        for at, what in enumerate(report.writes, 1):
            points += [Point(number, what, Death(at, "journal", after)) for after in (False, True)]
        for at in range(1, report.calls + 1):
            points += [Point(number, "call", Death(at, "world", after)) for after in (False, True)]
    story.check(report)
    assert [len(story.bank.paid(order)) for order in story.orders.values()] == [1, 1]
    return points


def try_point(processes: Processes, story: Story, point: Point) -> None:
    """Lets a process die at this point, and whatever is then to be done be done."""
    for number, job in enumerate(story.jobs()):
        if number == point.process:
            assert processes.run(replace(job, death=point.death)) is None, f"nobody died at {point}"
            break
        processes.do(job)
    story.check(processes.do(replace(story.job, task="close")))


def try_all(
    processes: Processes, bank: Bank, directory: Path, points: list[Point], terms: Terms
) -> Counter[str]:
    """Tries these points, each with a run of its own; returns how many there were of each kind."""
    for number, point in enumerate(points):
        try_point(processes, Story(directory, str(number), bank, terms), point)
    return Counter(point.what for point in points)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_at_most_one_payment_is_made_wherever_a_process_dies(
    processes: Processes, bank: Bank, tmp_path: Path, record_property: Any, shard: int
) -> None:
    points = list_points(processes, Story(tmp_path, "undisturbed", bank, DECLARED))
    assert len(points) > 20
    tried = try_all(processes, bank, tmp_path, points[shard::SHARDS], DECLARED)
    record_property("kill points of effects", dict(tried))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_an_effect_that_declares_nothing_is_made_at_most_once_wherever_a_process_dies(
    processes: Processes, bank: Bank, tmp_path: Path, record_property: Any, shard: int
) -> None:
    points = list_points(processes, Story(tmp_path, "undisturbed", bank, PLAIN))
    assert len(points) > 20
    assert {"append", "call"} <= {point.what for point in points}
    tried = try_all(processes, bank, tmp_path, points[shard::SHARDS], PLAIN)
    record_property("kill points of effects that declare nothing", dict(tried))
