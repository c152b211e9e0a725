"""What is taken out of a journal on purpose, and the check that everything else is as it was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from seawall.core.canonical import Ref


class BadBatch(msgspec.Struct, frozen=True):
    """The first place where the journal is not what was written."""

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
    pruned_events: int
    head: str
    bad: BadBatch | None = None


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

        Their events and answers are removed, so they can't be replayed or forked any more. A conversation
        whose newest run was pruned starts anew; every other one keeps all that its remaining runs refer to.
        """
        ...

    async def verify(self, *, progress: Callable[[int, int], None] | None = None) -> Verification:
        """Checks the chain, every event and every body. It calls `progress(batches_done, batches_all)`."""
        ...

    async def backup(
        self, path: str, *, force: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> Backup:
        """Copies the journal as it is now to a new file at `path`, with its high-water mark, and verifies the copy.

        Others go on writing meanwhile; what they write is not in the copy. `path` has the whole copy or, if anything
        fails, what it had before. It calls `progress(pages_copied, pages_all)`. Raises `Misused` if there is a file at
        `path` already (`force` replaces it), `JournalFull`, and `JournalFailed` if the copy is not what was written.
        """
        ...
