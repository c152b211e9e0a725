"""What the crash tests of all frameworks do, and check: a worker dies at any write and any call, and the bank has one refund."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from crash.foreign_worker import ANSWER, BankJob, ForeignReport, count_refunds
from crash.forking import Forks
from crash.job import Death

J = TypeVar("J", bound=BankJob)
Where = Literal["journal", "world"]


def check_finished(job: BankJob, report: ForeignReport | None, asked: int = 2) -> None:
    """Checks that there is an answer and one refund, and that a person was asked `asked` times at most."""
    assert report is not None, job
    assert report.error == "", job
    assert (report.status, report.answer) == ("completed", ANSWER), job
    assert count_refunds(job) == 1, job
    assert report.asked <= asked, job


def die_at_each(
    deaths: Iterator[Death], workers: Forks[J, ForeignReport], job: J, *, asked: int = 2, fewest: int = 6
) -> None:
    """Lets a worker die at each of these points until there is none, each in a directory of its own within the job's.

    Another worker goes on each time. The run must have more than `fewest` points.
    """
    for death in deaths:
        place = Path(job.directory) / str(death.at)
        place.mkdir()
        dies: J = msgspec.structs.replace(job, directory=str(place), death=death)
        survived = workers.run(dies)
        check_finished(dies, survived or workers.run(msgspec.structs.replace(dies, death=None)), asked)
        if survived is not None:  # the run has fewer than that
            assert death.at > fewest
            return


def every_death(where: Where, after: bool, every: int = 1) -> Iterator[Death]:
    """Yields each `every`-th write or call, without an end."""
    return (Death(at, where, after) for at in count(1, every))
