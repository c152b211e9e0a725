"""What the crash tests of all frameworks do, and check: a worker dies at any write and any call, and the bank has one refund."""

from __future__ import annotations

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
    death: Death, workers: Forks[J, ForeignReport], job: J, *, asked: int = 2, fewest: int = 6
) -> None:
    """Lets a worker go on from each of these points at which another one may have died, in directories within the job's.

    The run must have more than `fewest` points.
    """
    place = Path(job.directory) / f"from-{death.at}"
    place.mkdir()
    stops: J = msgspec.structs.replace(job, directory=str(place), death=death)
    copies, report = workers.copy_at_each(stops)
    check_finished(stops, report, asked)
    assert death.at + len(copies) * death.every > fewest
    for copy in copies:
        check_finished(copy, workers.run(copy), asked)


def every_death(where: Where, after: bool, every: int = 1) -> Death:
    """Returns each `every`-th write or call."""
    return Death(1, where, after, every=every)
