"""A journal that notes each run it records, so that a command stopped at any moment can name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seawall.cli.hints import hint
from seawall.cli.journals import there
from seawall.cli.signals import Stop
from seawall.core.canonical import Ref
from seawall.core.clock import SystemClock
from seawall.core.events import Event, RunStarted
from seawall.journal.protocol import Lease
from seawall.journal.sqlite import SqliteJournal


class NotingJournal(SqliteJournal):
    """Says what is recorded before anyone acts on it: a tool may block the loop at the very first step."""

    stop: Stop

    async def create(
        self,
        started: RunStarted,
        events: Sequence[Event],
        bodies: Mapping[Ref, bytes],
        **options: Any,
    ) -> Lease:
        """See `Journal.create`."""
        self.stop.note = f"run {started.run} may not be recorded yet; look with:\n  {hint('runs')}"
        lease = await super().create(started, events, bodies, **options)
        self.stop.note = how_to_go_on(lease.run)
        return lease


def noting(path: Path, stop: Stop, *, create: bool) -> NotingJournal:
    """The journal at `path`; made if it is not there and `create`. Raises `Misused` if it can't be used."""
    journal = NotingJournal.open(str(path) if create else there(path), clock=SystemClock(), create=create)
    assert isinstance(journal, NotingJournal)
    journal.stop = stop
    return journal


def how_to_go_on(run_id: str) -> str:
    """What is said of a run that is stopped in the middle."""
    return f"run {run_id} is recorded up to here; go on with:\n  {hint(f'resume {run_id}')}"
