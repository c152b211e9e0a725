"""What people are shown of memory: the journal's entries and conflicts with the texts that they refer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from seawall.core.canonical import Ref
from seawall.journal.protocol import Journal, MemoryConflict, MemoryEntry

ERASED = "[erased]"
BODIES_AT_ONCE = 500


class MemoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one entry, with its texts. What it says is data: an agent wrote it, or somebody outside."""

    number: int
    scope: str
    """`tenant`, `session:s-17`, `team:desk` or `subject:user:7`."""
    key: str
    value: str | None
    """As it was remembered: text, or JSON. None: the entry says that the key was forgotten."""
    born: int
    """The version that wrote it."""
    died: int | None
    """The version that put another one in its place, or removed it; None: it holds."""
    run: str
    """"": it came from outside."""
    step: int | None
    agent: str
    principal: str
    labels: tuple[str, ...]
    at: float
    """Wall seconds, like all times here."""
    expires_at: float | None
    reviewed: bool
    """Its run has passed review."""
    flagged: int | None
    """The version of the revert that found it exposed to what was reverted."""
    reverted: bool
    """It died because it descends from what was reverted."""
    quarantined: bool
    """It was imported, and no agent is shown it before somebody accepts it."""


class ConflictItem(msgspec.Struct, frozen=True, kw_only=True):
    """A run wrote a key that another one had written meanwhile, or had read what was reverted since."""

    number: int
    scope: str
    key: str
    theirs: MemoryItem | None
    """What is in memory; None: there is nothing any more."""
    ours: str | None
    """What the run wrote, which is not in memory; None: it forgot the key."""
    run: str
    step: int
    at: float
    why: Literal["newer", "reverted"]
    state: Literal["open", "resolved"]
    resolved_by: str


class MemoryDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A key that differs between two versions of a scope."""

    scope: str
    key: str
    before: MemoryItem | None
    """None: the key was not there."""
    after: MemoryItem | None


async def build_items(journal: Journal, tenant: str, entries: Sequence[MemoryEntry]) -> list[MemoryItem]:
    """Returns entries of a tenant with their texts, in the same order."""
    texts = await _read_texts(journal, tenant, [ref for each in entries for ref in (each.key, each.value)])
    return [_build_item(each, texts) for each in entries]


def _build_item(entry: MemoryEntry, texts: Mapping[Ref, str]) -> MemoryItem:
    shared: dict[str, Any] = {
        name: getattr(entry, name) for name in MemoryItem.__struct_fields__ if name not in ("key", "value")
    }
    value = None if entry.value is None else texts.get(entry.value, ERASED)
    return MemoryItem(key=texts.get(entry.key, ERASED), value=value, **shared)


async def build_conflicts(
    journal: Journal, tenant: str, conflicts: Sequence[MemoryConflict]
) -> list[ConflictItem]:
    """Returns conflicts of a tenant with their texts, in the same order."""
    found = await journal.memory_numbered([each.theirs for each in conflicts if each.theirs])
    theirs = {each.number: each for each in await build_items(journal, tenant, found)}
    texts = await _read_texts(journal, tenant, [ref for each in conflicts for ref in (each.key, each.ours)])
    return [
        ConflictItem(
            number=each.number,
            scope=each.scope,
            key=texts.get(each.key, ERASED),
            theirs=theirs.get(each.theirs),
            ours=None if each.ours is None else texts.get(each.ours, ERASED),
            run=each.run,
            step=each.step,
            at=each.at,
            why=each.why,
            state=each.state,
            resolved_by=each.resolved_by,
        )
        for each in conflicts
    ]


async def _read_texts(journal: Journal, tenant: str, refs: Sequence[Ref | None]) -> dict[Ref, str]:
    wanted = list(dict.fromkeys(ref for ref in refs if ref))
    found: dict[Ref, str] = {}
    for start in range(0, len(wanted), BODIES_AT_ONCE):
        bodies = await journal.bodies(tenant, wanted[start : start + BODIES_AT_ONCE])
        found |= {ref: data.decode("utf-8", "replace") for ref, data in bodies.items()}
    return found
