"""Runs that write to memory, to record in a journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from journal.story import begin, bodies, ended
from seawall.core.canonical import Ref, ref_of
from seawall.journal.protocol import (
    Journal,
    Lease,
    Lineage,
    MemoryConflict,
    MemoryEntry,
    MemoryFilter,
    MemoryMerge,
    MemoryWrite,
    Summary,
)

SCOPE = "session:s-1"


def written(key: str, value: str | None, base: int = 0, **fields: Any) -> MemoryWrite:
    """Returns a write of a text."""
    write = MemoryWrite(
        scope=SCOPE,
        key=ref_of(key.encode()),
        value=None if value is None else ref_of(value.encode()),
        base=base,
        step=3,
        agent="clerk",
    )
    return replace(write, **fields)


def texts(*contents: str | None) -> dict[Ref, bytes]:
    """Returns texts under their addresses."""
    return bodies(*(content.encode() for content in contents if content is not None))


async def merge(
    journal: Journal,
    run: str,
    values: dict[str, str | None],
    base: int = 0,
    *,
    lease: Lease | None = None,
    seq: int = 1,
    conflicts: Sequence[MemoryConflict] = (),
    read: Sequence[int] = (),
    reviewed: bool = False,
    answer: Sequence[Lineage] = (),
    principal: str = "",
    **fields: Any,
) -> None:
    """Records a run that writes texts, and completes. With a lease the run has begun already."""
    lease = lease or await begin(journal, run, principal=principal)
    merged = MemoryMerge(
        writes=tuple(written(key, value, base, **fields) for key, value in values.items()),
        read=tuple(read),
        reviewed=reviewed,
        answer=tuple(answer),
        conflicts=tuple(conflicts),
    )
    contents = texts(*values, *values.values())
    await journal.append(lease, seq, [ended()], contents, summary=Summary(status="completed"), merge=merged)


async def held(journal: Journal, at: int | None = None, *scopes: str, **fields: Any) -> dict[str, str]:
    """Returns what an agent finds: values by key, as they come."""
    wanted = MemoryFilter(scopes=scopes or (SCOPE,), at=at, **fields)
    entries = await journal.memory_entries("acme", wanted)
    return {await text_of(journal, entry.key): await text_of(journal, entry.value) for entry in entries}


async def text_of(journal: Journal, ref: Ref | None, tenant: str = "acme") -> str:
    """Returns the text of a body; nothing for None, and `[erased]` for one that is not there."""
    if ref is None:
        return ""
    return (await journal.bodies(tenant, [ref])).get(ref, b"[erased]").decode()


async def find_entry(journal: Journal, key: str, scope: str = SCOPE) -> MemoryEntry:
    """Returns the entry that holds for a key."""
    (entry,) = await journal.memory_entries("acme", MemoryFilter(scopes=(scope,), key=key))
    return entry
