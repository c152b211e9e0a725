"""The protocol of an index that finds entries by their meaning, with the user's own embedding model and vector store.

Seawall ships no index. The journal stays authoritative: an index is told the changes in versions, and the entries that it
finds are looked up in the run's snapshot before an agent is shown them. So an index may be behind, lost, or wrong, and still
no agent is shown an entry that it may not read, that was reverted, or that was forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec


class IndexedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, as an index gets it."""

    number: int
    """The number that `search` returns for the entry. An entry with a number never changes."""
    key: str
    value: str
    """The text, or JSON, that was remembered."""


class IndexUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of one scope of one tenant."""

    tenant: str
    scope: str
    version: int
    """The version of the index after this update."""
    anew: bool = False
    """If True, the index must first remove all entries of this scope, for example because a person was forgotten."""
    written: tuple[IndexedEntry, ...] = ()
    removed: tuple[int, ...] = ()


@runtime_checkable
class MemoryIndex(Protocol):
    """Finds entries by their meaning. Give it to `Memory(index=...)`."""

    async def version(self, tenant: str, scope: str) -> int:
        """Returns the version of the last update of this scope; 0 if there was none."""
        ...

    async def update(self, update: IndexUpdate) -> None:
        """Applies the changes, and stores the update's version with them. The same update may come twice."""
        ...

    async def search(self, tenant: str, scope: str, query: str, limit: int) -> Sequence[int]:
        """Returns the numbers of the best matching entries of this scope, the best first, at most `limit`."""
        ...
