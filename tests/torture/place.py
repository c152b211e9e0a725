"""Where a round keeps its files, and the ways to open its journal."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seawall import EndpointOptions, Seawall
from seawall.core.clock import SystemClock
from seawall.guards.budget import guard as budget_guard
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from torture.cases import BUDGET
from torture.disk import FaultyDisk
from torture.notes import Notes, WitnessedJournal

LEASE_S = 1.2
"""Short, so that a stopped process loses its runs; above the half second after which it looks at its lease itself."""
WORKERS = 3
BUDGET_WAIT_S = 2.0
"""How long a call waits for the reservations of other processes. Killed ones leave some that nobody settles, and each
round would wait for them at its end."""


@dataclass(frozen=True)
class Place:
    """The files of one round, and its seed."""

    directory: Path
    seed: str

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.directory / "journal.db"

    @property
    def world(self) -> Path:
        """What really happened."""
        return self.directory / "world"

    @property
    def socket(self) -> Path:
        """Where the world answers."""
        return self.directory / "s"

    def notes(self, who: str) -> Path:
        """The notes of a worker, a person or a verifier."""
        return self.directory / f"notes.{who}"

    def rng(self, what: str) -> random.Random:
        """Returns a source of randomness of its own for `what`."""
        return random.Random(f"{self.seed}:{what}")


def open_journal(place: Place, disk: FaultyDisk | None = None) -> SqliteJournal:
    """Opens the journal, on a disk with faults if there is one."""
    options = SqliteOptions(lease_s=LEASE_S, mark_s=0.2, vfs=None if disk is None else disk.name)
    return SqliteJournal.open(str(place.journal), clock=SystemClock(), options=options)


def make_seawall(journal: SqliteJournal, notes: Notes) -> Seawall:
    """Returns a Seawall on the journal that notes what it was promised."""
    budget_guard.WAIT_MAX_S = BUDGET_WAIT_S
    witnessed: Any = WitnessedJournal(journal, notes)
    return Seawall(
        witnessed,
        budget=BUDGET,
        endpoints={"tool": EndpointOptions(open_s=0.2, open_max_s=0.5)},
        environment={},
    )
