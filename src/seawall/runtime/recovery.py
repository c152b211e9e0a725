"""Decides after a crash which runs are resumed and which are set aside, and ends runs that no process drives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from decimal import Decimal
from typing import NamedTuple

from seawall.core.clock import Clock
from seawall.core.errors import SeawallBug
from seawall.core.events import Event, LimitsRaised, RunTaken, StepDone
from seawall.journal.protocol import Journal, RunFilter, RunRow
from seawall.models.protocol import ModelReply, ModelRequest, Price, TextDelta
from seawall.team.agent import Agent
from seawall.team.team import ANY_LOOP, Team

MAX_TRIES = 3
"""How often a run is taken up without a finished step before it is set aside. Two crashes may be chance. A run that
crashes its worker three times would probably do so forever."""
MAX_RUNS = 10_000
"""How many interrupted runs are read: more than the processes of one machine have in flight."""

LOOK_S = 1.0
"""Seconds between two looks at the heartbeats of other processes, which come every ten seconds."""

_NOT_PROGRESS = frozenset({"lost", "unknown", "cancelled", "withdrawn"})


class SetAside(NamedTuple):
    """A run that `seawall resume` does not take up by itself, and why."""

    row: RunRow
    reason: str


class Recovery(NamedTuple):
    """The interrupted runs of a journal, and the runs that may be interrupted. Each list has the oldest first."""

    resumable: list[RunRow]
    set_aside: list[SetAside]
    left_alone: list[RunRow]
    """Runs whose owner was not seen to live, and whose lease still runs (`lease` is `runs`), or may still run
    (`doubted`). `lease_left_s` says when to look again."""


async def find_resumable(journal: Journal, *, teams: Collection[str] | None = None) -> Recovery:
    """Returns the interrupted runs, which `seawall resume` without a run takes up; with `teams` only those of these teams.

    A poison run crashes each worker that takes it up. A run that was taken up `MAX_TRIES` times since its last
    finished step is set aside, so that the others go on; resuming it by its id tries it once more.

    After a lease has run out, any process may take the run, whether the owner was on this host, in a container or on
    another machine.
    """
    left_alone = await find_left_alone(journal)
    interrupted = await journal.runs(RunFilter(state="interrupted"), limit=MAX_RUNS)
    over = {row.run for row in interrupted}  # a lease may have ended between the two looks
    recovery = Recovery([], [], [row for row in left_alone if row.run not in over])
    for row in reversed(interrupted):
        if teams is not None and row.team not in teams:
            continue
        tries = row.epoch - find_last_progress(await journal.events(row.run))
        if tries < MAX_TRIES:
            recovery.resumable.append(row)
            continue
        reason = (
            f"run {row.run} was taken {tries} times and no step got done (limit {MAX_TRIES}): it may be what "
            f"ends its worker. Look at it with: seawall show {row.run}; try once more with: seawall resume {row.run}"
        )
        recovery.set_aside.append(SetAside(row, reason))
    return recovery


async def find_left_alone(journal: Journal) -> list[RunRow]:
    """Returns the runs that a process elsewhere may still drive; oldest first."""
    rows = await journal.runs(RunFilter(state="running"), limit=MAX_RUNS)
    return [row for row in reversed(rows) if row.lease in ("runs", "doubted")]


async def await_leases(journal: Journal, clock: Clock) -> None:
    """Waits, at most for one lease, until it is known of each run that is left alone whether its owner lives."""
    asked = {(row.run, row.owner) for row in await find_left_alone(journal)}
    while left := [row for row in await find_left_alone(journal) if (row.run, row.owner) in asked]:
        first_s = min(row.lease_left_s or 0.0 for row in left)
        await clock.sleep(min(max(first_s, LOOK_S / 10), LOOK_S))


def find_last_progress(events: Sequence[Event]) -> int:
    """Returns the epoch in which the run's newest step was finished; 0 if none was."""
    epoch = progress = 0
    for event in events:
        if isinstance(event, RunTaken):
            epoch = event.epoch
        elif isinstance(event, StepDone) and event.status not in _NOT_PROGRESS:
            progress = epoch
        elif isinstance(event, LimitsRaised):  # raised limits have their own epoch
            epoch = progress = epoch + 1
    return progress


class _NoModel:
    """Stands in for a model, in a team that only ends runs."""

    name = "nobody"
    price = Price(Decimal(0), Decimal(0))

    async def respond(self, request: ModelRequest) -> ModelReply:
        raise SeawallBug("a run that is being cancelled called a model")

    def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        raise SeawallBug("a run that is being cancelled called a model")


def make_placeholder_team(team: str) -> Team:
    """Returns a team that can end a run of team `team`, whose definition this process does not have."""
    made = Team(team, Agent("nobody", role="Ends runs that nobody drives.", model=_NoModel()))
    made.loop = ANY_LOOP
    return made
