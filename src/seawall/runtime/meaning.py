"""Keeps a user's own index up to date with memory, and searches it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from seawall.core.canonical import Ref
from seawall.core.errors import describe_error
from seawall.journal.memory_rules import has_expired
from seawall.journal.protocol import Journal, MemoryEntry
from seawall.memory.index import IndexedEntry, IndexUpdate, MemoryIndex
from seawall.runtime.calls import await_apart

UPDATE_ENTRIES = 200
"""The most entries of one update: as many as an embedding model takes in a call or two."""
SEARCH_S = 10.0
"""The most seconds that an index may take for a `recall`, with the updates before it. The search for words takes
milliseconds, and an agent should not wait longer for an index than for a model."""
_log = logging.getLogger("seawall")


async def update_index(journal: Journal, tenant: str, scope: str, index: MemoryIndex) -> int:
    """Tells an index the changes of a scope that it does not have, oldest first. Returns how many entries were written.

    Each part has its own version, so an index that fails continues after its last part.
    """
    known = await index.version(tenant, scope)
    changes = await journal.memory_since(tenant, scope, known)
    if not changes.anew and changes.version <= known:
        return 0
    parts = _cut(changes.written)
    version = 0 if changes.anew else known
    for place, part in enumerate(parts):
        if place == len(parts) - 1:
            version = changes.version
        else:  # the next part may have more of the version with which this one ends
            version = max([version, *(each.born for each in part if each.born < parts[place + 1][0].born)])
        refs = [ref for entry in part for ref in (entry.key, entry.value) if ref is not None]
        update = IndexUpdate(
            tenant=tenant,
            scope=scope,
            version=version,
            anew=changes.anew and place == 0,
            written=_read_entries(part, await journal.bodies(tenant, refs)),
            removed=changes.removed if place == 0 else (),
        )
        await index.update(update)
    return len(changes.written)


def _cut(entries: tuple[MemoryEntry, ...]) -> list[tuple[MemoryEntry, ...]]:
    starts = range(0, max(1, len(entries)), UPDATE_ENTRIES)
    return [entries[start : start + UPDATE_ENTRIES] for start in starts]


def _read_entries(entries: Sequence[MemoryEntry], bodies: Mapping[Ref, bytes]) -> tuple[IndexedEntry, ...]:
    return tuple(
        IndexedEntry(number=entry.number, key=bodies[entry.key].decode(), value=bodies[entry.value].decode())
        for entry in entries
        if entry.value is not None and entry.key in bodies and entry.value in bodies  # not erased meanwhile
    )


async def ask_index(
    journal: Journal,
    index: MemoryIndex,
    query: str,
    *,
    tenant: str,
    scope: str,
    at: int,
    limit: int,
    now: float,
    redact: Callable[[str], str],
) -> list[MemoryEntry] | None:
    """Returns the entries of a snapshot that an index finds, the best first; None if the index fails, which is logged."""

    async def ask() -> list[int]:
        async with asyncio.timeout(SEARCH_S):
            await update_index(journal, tenant, scope, index)
            return [int(number) for number in await index.search(tenant, scope, query, limit)]

    numbers, error = await await_apart(ask)
    if error is not None:  # the search for words is still done
        told = redact(describe_error(error))
        _log.warning("memory index of class %s failed for scope %s: %s", type(index).__name__, scope, told)
        return None
    found = await journal.memory_numbered(list(dict.fromkeys(numbers))[:limit])
    place = {number: place for place, number in enumerate(numbers)}
    return sorted(
        (each for each in found if _holds(each, tenant, scope, at) and not has_expired(each, now)),
        key=lambda each: place[each.number],
    )


def _holds(entry: MemoryEntry, tenant: str, scope: str, at: int) -> bool:
    """Returns whether an entry is in a snapshot, so that an agent may be shown it."""
    here = (entry.tenant, entry.scope) == (tenant, scope) and entry.value is not None
    return here and entry.born <= at and (entry.died is None or entry.died > at) and not entry.quarantined
