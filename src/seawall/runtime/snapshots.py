"""Finds the version of memory that a segment of a run reads, and which entries have changed since the run read them."""

from __future__ import annotations

from typing import NamedTuple

from seawall.core.canonical import Ref
from seawall.core.events import Event, MemoryRead, RunStarted
from seawall.journal.protocol import Journal, MemoryEntry
from seawall.memory.cuts import build_cut, load_texts, name_entry, quote
from seawall.run.bodies import Bodies
from seawall.run.state import RunState
from seawall.team.team import Team

HEAD = "[Not from the user: while this request waited, memory that was read here has changed.]"


class Snapshot(NamedTuple):
    """The memory with which a new segment of a run begins."""

    memory: int
    """See `RunTaken.memory`."""
    changed: tuple[Ref, ...] = ()
    """See `RunTaken.changed`."""
    events: tuple[Event, ...] = ()
    """The events that are recorded after `RunTaken`."""


async def read_snapshot(journal: Journal, started: RunStarted, team: Team) -> int:
    """Returns the version that a run begins with; 0 for one without memory."""
    return await journal.memory_version() if started.errand is None and team.has_memory else 0


async def read_changes(
    journal: Journal, state: RunState, team: Team, bodies: Bodies, now: float, taken_at: float
) -> Snapshot:
    """Returns the snapshot of a run that goes on: the newest version, and the changes of entries that it has read.

    `taken_at` is the wall second at which its last segment began. A fork stays at the snapshot of its origin, because it
    never merges.
    """
    if state.started.fork is not None:
        return Snapshot(state.memory)
    version = await read_snapshot(journal, state.started, team)
    read = state.read_entries
    if not read:
        return Snapshot(version)
    changed = await journal.memory_changed(read, state.memory, expired_after=taken_at)
    changed = [pair for pair in changed if pair[0].number not in state.cut]
    if not changed:
        return Snapshot(version)
    await load_texts(
        journal, state, [entry for pair in changed for entry in pair if entry is not None], bodies
    )
    lines = [_describe_change(before, after, bodies) for before, after in changed]
    told = bodies.put("\n".join([HEAD, *(f"- {line}" for line in lines)]))
    events: list[Event] = []
    if cut := [before for before, _ in changed if before.reverted]:
        events.append(build_cut(cut, bodies, now))
    if shown := [after.number for before, after in changed if after is not None and not before.reverted]:
        events.append(MemoryRead(at=now, step=0, entries=tuple(shown)))
    return Snapshot(version, (told,), tuple(events))


def _describe_change(before: MemoryEntry, after: MemoryEntry | None, bodies: Bodies) -> str:
    was = f"{name_entry(before, bodies)} was {quote(before.value, bodies)}"
    if before.reverted:
        return f"{was}. A person has reverted that: it does not hold, and nothing may rest on it"
    if after is None or after.value is None:
        return f"{was}, and {'has expired' if before.died is None else 'is forgotten now'}"
    return f"{was}, and is {quote(after.value, bodies)} now (version {after.born})"
