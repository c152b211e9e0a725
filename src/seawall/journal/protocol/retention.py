"""Removing records from a journal on purpose, and checking that all other records are as they were written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from seawall.core.canonical import Ref


class BadBatch(msgspec.Struct, frozen=True):
    """The first place where the journal is not what was written. Batch 0: the file, not one batch."""

    batch: int
    what: str
    run: str | None = None
    seq: int | None = None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found. `ok` is true when nothing is bad; erased and pruned parts are not bad."""

    ok: bool
    batches: int
    events: int
    bodies: int
    erased: int
    """The number of bodies that were erased and not written again, those of pruned runs included."""
    pruned_events: int
    head: str
    """The hash of the newest batch. If you keep it elsewhere, a later `verify` can prove with it that nothing before
    that batch was changed."""
    signed_from: int | None = None
    """The first batch that is signed, if a key was given. A signature covers all batches before its own."""
    marked: bool = True
    """Whether the end of the chain was compared with a high-water mark. Without a mark, the loss of the newest batches
    is not noticed."""
    bad: BadBatch | None = None


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The newest batch of a journal. Its hash covers all batches before it."""

    genesis: str
    """The identity of the journal: the hash that its chain began with."""
    batch: int
    hash: str
    at: float
    """Wall seconds when the head was read."""


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What `prune` removed, or would remove."""

    runs: int
    events: int
    bodies: int
    body_bytes: int
    file_bytes_before: int
    file_bytes_after: int


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What `backup` wrote, and what `verify` found in it."""

    path: str
    file_bytes: int
    verification: Verification


class RetentionStore(Protocol):
    """Erasing, pruning, verifying and backing up."""

    async def erase(self, tenant: str, refs: Sequence[Ref] | None = None) -> int:
        """Erases bodies of a tenant (None: all of them); returns how many. `verify` counts them as `erased`."""
        ...

    async def prune(self, *, before: float, tenant: str | None = None, dry_run: bool = False) -> Pruned:
        """Reduces runs that ended before `before` to their summary rows, and shrinks the file.

        Their events and answers are removed, so they can't be replayed or forked any more. A conversation whose newest
        run was pruned starts again; every other conversation keeps all bodies that its remaining runs refer to.
        """
        ...

    async def verify(
        self,
        *,
        progress: Callable[[int, int], None] | None = None,
        head: str | None = None,
        key: bytes | Path | None = None,
    ) -> Verification:
        """Checks the file's structure, the chain, and every event, body and row. It calls
        `progress(batches_done, batches_all)`.

        `head` is the hash of a batch that somebody kept: it must be in the chain. `key`, or the file that holds it, checks the signatures; by
        default that is the key with which the journal was opened, if there was one.
        """
        ...

    async def head(self) -> Head:
        """Returns the newest batch."""
        ...

    async def backup(
        self, path: str, *, force: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> Backup:
        """Copies the journal as it is now to a new file at `path`, with its high-water mark, and verifies the copy.

        Other processes may go on writing meanwhile; their later writes are not in the copy. Afterwards `path` has the
        whole copy or, if anything fails, its previous content. It calls `progress(pages_copied, pages_all)`. Raises
        `Misused` if there is a file at `path` already (`force` replaces it), `JournalFull`, and `JournalFailed` if the
        copy is not what was written.
        """
        ...
