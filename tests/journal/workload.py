"""Writes to a journal on a disk that fails, and what the journal acknowledged of them.

`python -m journal.workload PATH NUMBER` does them in a process that is killed at the disk's NUMBER-th write; it
prints each acknowledgement as a JSON line before it goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from journal.disk import Disk
from journal.story import begin, finish, step
from seawall.journal.protocol import Journal
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.testing import ManualClock

KILLED = 9
"""The exit code of the process that was killed."""

Acknowledged = dict[str, int]  # run → events of it that were acknowledged


def open_on(disk: Disk, path: str, **options: Any) -> SqliteJournal:
    """Opens the journal at `path` on that disk."""
    return SqliteJournal.open(path, clock=ManualClock(), options=SqliteOptions(vfs=disk.name, **options))


async def busy_morning(journal: Journal, acknowledged: Acknowledged) -> None:
    """Runs three runs at once, with a checkpoint in between; notes what the journal has acknowledged."""

    async def one(run: str) -> None:
        lease = await begin(journal, run)
        acknowledged[run] = 1
        for number in range(14):
            await step(journal, lease, acknowledged[run], b"%s %d " % (run.encode(), number) * 40)
            acknowledged[run] += 2
        await finish(journal, lease, acknowledged[run])
        acknowledged[run] += 1

    await asyncio.gather(*(one(f"r-{number}") for number in range(3)))


class _Printed(Acknowledged):
    """Prints each acknowledgement at once, so that it outlives this process."""

    def __setitem__(self, run: str, count: int) -> None:
        super().__setitem__(run, count)
        os.write(1, (json.dumps([run, count]) + "\n").encode())


if __name__ == "__main__":
    deadly = Disk(dies_at_write=int(sys.argv[2]), on_death=lambda: os._exit(KILLED)).mount()
    asyncio.run(busy_morning(open_on(deadly, sys.argv[1], checkpoint_pages=8), _Printed()))
