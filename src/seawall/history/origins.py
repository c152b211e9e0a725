"""Finds where a run's values came from in other runs: a walk back over memory and the session's conversation.

Each link leads from a run to an entry of memory, or a message, of another run that it took a value from or was shown. The
walk goes on in that run, from the step that wrote the entry, or from the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import Event, MemoryRead, Source, Tie
from seawall.history.record import RunRecord, build_record
from seawall.history.why import find_way
from seawall.journal.protocol import Journal, MemoryEntry
from seawall.run.descent import Descent

MAX_LINKS = 50
"""The most links that are returned, which is more than a person follows. Links by a value are followed first."""


class StepName(msgspec.Struct, frozen=True):
    """A step of another run, as people are shown it."""

    step: int
    kind: str
    name: str
    agent: str


class OriginLink(msgspec.Struct, frozen=True, kw_only=True):
    """One link from a run to another one."""

    run: str
    """The run that took a value, or was shown one."""
    tie: Tie
    """`value` if every link of the way here is a value; `exposure` if at least one is an exposure."""
    from_run: str
    """The other run; "" for an entry that came from outside."""
    from_step: int | None
    """The step that wrote the entry, or whose result was taken; 0: the request; None: the answer."""
    entry: int = 0
    """The number of the memory entry; 0 for a message of the session's conversation."""
    agent: str = ""
    scope: str = ""
    key: Ref | None = None
    value: Ref | None = None
    reverted: bool = False
    labels: tuple[str, ...] = ()
    way: tuple[StepName, ...] = ()
    """The steps in the other run, from the first one that recorded causes lead to, to the one that wrote the entry."""
    pruned: bool = False
    """True if the other run's events were pruned, so that the walk ends there."""


class _Place(NamedTuple):
    """A place from which the walk goes on: a step of a run, or its outcome (None)."""

    run: str
    step: int | None
    tie: Tie


async def find_origins(
    journal: Journal, run: str, events: Sequence[Event], starts: Sequence[int]
) -> list[OriginLink]:
    """Returns the links back from a run's outcome, or from its steps `starts`, nearest first, at most `MAX_LINKS`."""
    known: dict[str, Sequence[Event]] = {run: events}
    queue = deque(_Place(run, step, "value") for step in (starts or (None,)))
    seen = {(place.run, place.step) for place in queue}
    links: dict[tuple[str, Source], OriginLink] = {}
    while queue and len(links) < MAX_LINKS:
        place = queue.popleft()
        if place.run not in known:
            known[place.run] = await journal.events(place.run)
        value, exposed = _find_sources(known[place.run], place.step)
        entries = await journal.memory_numbered([each.entry for each in (*value, *exposed) if each.entry])
        by_number = {entry.number: entry for entry in entries}
        found: list[tuple[Tie, Source]] = []
        found.extend((place.tie, each) for each in value)
        found.extend(("exposure", each) for each in exposed)
        for tie, source in found:
            if (place.run, source) in links or len(links) >= MAX_LINKS:
                continue
            link = _make_link(place.run, tie, source, by_number.get(source.entry))
            if link.from_run and link.from_run not in known:
                known[link.from_run] = await journal.events(link.from_run)
            links[place.run, source] = _add_way(link, known.get(link.from_run, ()))
            next_place = (link.from_run, link.from_step)
            if link.from_run and link.from_run != place.run and next_place not in seen:
                seen.add(next_place)
                ahead = _Place(*next_place, tie)
                queue.appendleft(ahead) if tie == "value" else queue.append(ahead)
    return list(links.values())


def _find_sources(events: Sequence[Event], step: int | None) -> tuple[list[Source], list[Source]]:
    """Returns the sources in other runs that a step, or the outcome, took values from, and those that it was exposed to."""
    descent = Descent()
    for _ in descent.fold(events):
        pass
    record = build_record(events) if events else None
    if record is None:
        return [], []
    if step is not None:
        value, exposed = descent.list_sources(descent.find_input(step))
        shown = [Source(entry=number) for number in _list_shown(events, step)]
        return ([*value, *shown], exposed) if len(shown) == 1 else (value, [*shown, *exposed])
    if record.ended is None:
        return [], []
    return descent.list_sources(descent.find(record.ended.causes, record.ended.sources))


def _list_shown(events: Sequence[Event], step: int) -> list[int]:
    """Returns the entries in a step's result. A value that was taken from the result came from one of them."""
    reads = [event for event in events if isinstance(event, MemoryRead) and event.step == step]
    return [number for event in reads for number in event.entries]


def _make_link(run: str, tie: Tie, source: Source, entry: MemoryEntry | None) -> OriginLink:
    if entry is None:
        return OriginLink(run=run, tie=tie, from_run=source.run, from_step=source.step, entry=source.entry)
    return OriginLink(
        run=run,
        tie=tie,
        from_run=entry.run,
        from_step=entry.step,
        entry=entry.number,
        agent=entry.agent,
        scope=entry.scope,
        key=entry.key,
        value=entry.value,
        reverted=entry.reverted,
        labels=entry.labels,
    )


def _add_way(link: OriginLink, events: Sequence[Event]) -> OriginLink:
    if not link.from_run:
        return link
    if not events:
        return msgspec.structs.replace(link, pruned=True)
    record: RunRecord = build_record(events)
    way = find_way(record, link.from_step)
    names = [record.steps[number].intent for number in way if number in record.steps]
    return msgspec.structs.replace(
        link, way=tuple(StepName(each.step, each.kind, each.name, each.agent) for each in names)
    )
