"""Finds and describes entries that a run has read and that were reverted since."""

from __future__ import annotations

import json
from collections.abc import Sequence

from seawall.core.canonical import Ref
from seawall.core.events import MemoryCut
from seawall.journal.protocol import Journal, MemoryEntry
from seawall.run.bodies import Bodies
from seawall.run.state import RunState

MAX_CHARS = 2_000
"""The most characters of one value that a run or a person is told."""


async def find_cut(journal: Journal, state: RunState, bodies: Bodies, now: float) -> MemoryCut | None:
    """Returns the reverted entries that the run has read and was not told of yet; None if there are none."""
    unknown = [number for number in state.read_entries if number not in state.cut]
    entries = await journal.memory_numbered(unknown) if unknown else []
    cut = [entry for entry in entries if entry.reverted]
    if not cut:
        return None
    await load_texts(journal, state, cut, bodies)
    return build_cut(cut, bodies, now)


def build_cut(entries: Sequence[MemoryEntry], bodies: Bodies, now: float) -> MemoryCut:
    """Returns the event that tells a run which of the entries that it has read were reverted."""
    told = tuple([bodies.put(_describe_entry(entry, bodies)) for entry in entries])
    return MemoryCut(at=now, entries=tuple([entry.number for entry in entries]), told=told)


async def load_texts(
    journal: Journal, state: RunState, entries: Sequence[MemoryEntry], bodies: Bodies
) -> None:
    """Loads the keys and values of entries."""
    refs = [ref for entry in entries for ref in (entry.key, entry.value) if ref]
    if missing := bodies.missing(refs):
        bodies.load(await journal.bodies(state.started.tenant, missing))


def _describe_entry(entry: MemoryEntry, bodies: Bodies) -> str:
    source = f", written by {entry.agent!r} in run {entry.run}, step {entry.step}" if entry.run else ""
    return f"{name_entry(entry, bodies)}: {quote(entry.value, bodies)} (entry {entry.number}{source})"


def name_entry(entry: MemoryEntry, bodies: Bodies) -> str:
    """Returns an entry's scope and key, for a sentence."""
    return f"{entry.scope.partition(':')[0]} memory {json.dumps(bodies.text(entry.key), ensure_ascii=False)}"


def quote(ref: Ref | None, bodies: Bodies) -> str:
    """Returns a value on one line, in quotes, so that no part of it looks like a separate line."""
    text = bodies.text(ref)
    cut = "" if len(text) <= MAX_CHARS else f" (cut after {MAX_CHARS:,} of {len(text):,} characters)"
    return json.dumps(text[:MAX_CHARS], ensure_ascii=False) + cut
