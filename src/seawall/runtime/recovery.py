"""After a crash: which runs to go on with, which to set aside, and how a run ends that nobody drives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from seawall.core.errors import SeawallBug
from seawall.core.events import Event, RunTaken, StepDone
from seawall.journal.protocol import Journal, RunRow
from seawall.models.protocol import ModelReply, ModelRequest, Price, TextDelta
from seawall.team.agent import Agent
from seawall.team.team import Team

MAX_TRIES = 3
"""Times that a run is taken without a step getting done, before it is set aside. One crash may be chance and
a second one bad luck; a run that takes its worker with it three times would do so for ever."""
MAX_RUNS = 10_000
"""Interrupted runs that are looked at: more than a host can have in flight."""

_NOT_PROGRESS = frozenset({"lost", "unknown", "cancelled", "withdrawn"})


class SetAside(NamedTuple):
    """A run that is not taken up again by itself, and why."""

    row: RunRow
    reason: str


class Recovery(NamedTuple):
    """The interrupted runs of a journal, oldest first."""

    resumable: list[RunRow]
    set_aside: list[SetAside]


async def find_resumable(journal: Journal, *, max_tries: int = MAX_TRIES) -> Recovery:
    """What `seawall resume` without a run goes on with: every run that was interrupted.

    A poison run crashes each worker that takes it. One that was taken `max_tries` times since a step got
    done is set aside, so that the others go on; resuming it by its id tries once more.
    """
    found = Recovery([], [])
    for row in reversed(await journal.runs(state="interrupted", limit=MAX_RUNS)):
        tries = row.epoch - find_last_progress(await journal.events(row.run))
        if tries < max_tries:
            found.resumable.append(row)
            continue
        reason = (
            f"run {row.run} was taken {tries} times and no step got done (limit {max_tries}): it may be what "
            f"ends its worker. Look at it with: seawall show {row.run}; try once more with: seawall resume {row.run}"
        )
        found.set_aside.append(SetAside(row, reason))
    return found


def find_last_progress(events: Sequence[Event]) -> int:
    """The epoch in which the run's newest step got done; 0 if none did."""
    epoch = progress = 0
    for event in events:
        if isinstance(event, RunTaken):
            epoch = event.epoch
        elif isinstance(event, StepDone) and event.status not in _NOT_PROGRESS:
            progress = epoch
    return progress


class _NoModel:
    """Stands where a model would, in a team that only ends runs."""

    name = "nobody"
    price = Price(Decimal(0), Decimal(0))

    async def respond(self, request: ModelRequest) -> ModelReply:
        raise SeawallBug("a run that is being cancelled asked a model")

    def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        raise SeawallBug("a run that is being cancelled asked a model")


def make_placeholder_team(team: str) -> Team:
    """A team in place of the one that is not at hand, to end its run with."""
    return Team(team, Agent("nobody", role="Ends runs that nobody drives.", model=_NoModel()))
