"""The protocol of an index that finds entries by what they mean: an embedding model and a vector store of the user's.

Seawall ships none. The journal stays what holds: an index is told what changes, in versions, and what it finds is looked up
in the run's snapshot before an agent is shown it. So it may be behind, be lost, or be wrong, and no agent is shown an entry
that it may not read, that was reverted, or that was forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec


class IndexedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, as an index is told it."""

    number: int
    """By which `search` names it; an entry never changes under its number."""
    key: str
    value: str
    """The text, or JSON, that was remembered."""


class IndexUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one scope of one tenant."""

    tenant: str
    scope: str
    version: int
    """The version that the index has once it has taken this over."""
    anew: bool = False
    """Everything of this scope in the index has to go first: for example, a person was forgotten."""
    written: tuple[IndexedEntry, ...] = ()
    removed: tuple[int, ...] = ()


@runtime_checkable
class MemoryIndex(Protocol):
    """Finds entries by what they mean. Give it to `Memory(index=...)`."""

    async def version(self, tenant: str, scope: str) -> int:
        """Returns the version of the last update of this scope; 0 if there was none."""
        ...

    async def update(self, update: IndexUpdate) -> None:
        """Takes over what has changed, and keeps its version with it. The same update may come twice."""
        ...

    async def search(self, tenant: str, scope: str, query: str, limit: int) -> Sequence[int]:
        """Returns the numbers of the entries of this scope that fit best, the best first, at most `limit`."""
        ...
