"""Builds what people are shown of memory: the journal's entries and conflicts with their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from seawall.core.canonical import Ref
from seawall.journal.protocol import Journal, MemoryConflict, MemoryEntry

ERASED = "[erased]"
BODIES_AT_ONCE = 500


class MemoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one entry, with its texts. They are data, because an agent or an outsider wrote them."""

    number: int
    scope: str
    """`tenant`, `session:s-17`, `team:desk` or `subject:user:7`."""
    key: str
    value: str | None
    """The remembered text or JSON. None if the entry says that the key was forgotten."""
    born: int
    """The version that wrote the entry."""
    died: int | None
    """The version that replaced or removed the entry; None if it is in force."""
    run: str
    """The run that wrote the entry; "" if it came from outside."""
    step: int | None
    agent: str
    principal: str
    labels: tuple[str, ...]
    at: float
    """Wall seconds, like all times here."""
    expires_at: float | None
    reviewed: bool
    """True if the entry's run has passed review."""
    flagged: int | None
    """The version of the revert that flagged the entry, because it was exposed to reverted entries; None without one."""
    reverted: bool
    """True if the entry was removed because it descends from a reverted step."""
    quarantined: bool
    """True if the entry was imported and not accepted yet, so that no agent is shown it."""


class ConflictItem(msgspec.Struct, frozen=True, kw_only=True):
    """A conflict: a run wrote a key that another run had written meanwhile, or had read entries that were reverted since."""

    number: int
    scope: str
    key: str
    theirs: MemoryItem | None
    """The entry in memory; None if there is none (any more)."""
    ours: str | None
    """The value that the run wrote, which is not in memory; None if the run forgot the key."""
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
    """The entry at the first version; None if the key did not exist."""
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
