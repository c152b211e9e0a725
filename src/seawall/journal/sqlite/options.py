"""The options of a SQLite journal."""

from __future__ import annotations

from dataclasses import dataclass

from seawall.core.errors import Misused


@dataclass(frozen=True, kw_only=True)
class SqliteOptions:
    """The bounds of a SQLite journal. Each default has its reason beside it."""

    lease_s: float = 30.0
    """Seconds without a heartbeat after which a run may be taken from its owner. A heartbeat is written every third of
    it. 30: longer than any pause of a healthy process; a dead process of this host is recognised at once anyway."""

    doubted_leases_are_out: bool = False
    """Whether a lease counts as run out if this process can't know it, because the owner uses another machine's clock.
    False: the owner may be alive. Set it to True only if no other machine has the journal open."""

    lock_wait_s: float = 10.0
    """Seconds to wait for the file's write lock before an append fails with `Broken`.
    10: eight contending processes wait less than one; longer means that a process never releases the lock."""

    queue_ops: int = 4_096
    """Writes in the queue above which `wait_for_room` and `create` wait.
    4,096: an eighth of a second at full speed."""

    queue_bytes: int = 64 * 1024 * 1024
    """Bytes in the queue above which `wait_for_room` and `create` wait.
    64 MiB: a burst of big results, not a leak."""

    hard_factor: int = 8
    """The multiple of `queue_ops` and `queue_bytes` at which `append`, which can't wait, is refused.
    8: callers that await `wait_for_room` never come near it."""

    batch_ops: int = 1_024
    """The most writes in one commit. 1,024: with more, latency grows and throughput does not."""

    batch_bytes: int = 16 * 1024 * 1024
    """The most bytes in one commit, unless one write alone has more. 16 MiB: about 0.1 s of disk time."""

    body_bytes: int = 256 * 1024 * 1024
    """The most bytes in one body; more is `Misused`. 256 MiB: well below SQLite's own 1 GB for a row."""

    mark_s: float = 1.0
    """Seconds that the high-water mark may lag behind the file. 1: one more fsync a second costs next to nothing."""

    mark_batches: int = 256
    """Commits that the high-water mark may lag behind the file; the mark is written when this bound or `mark_s` is
    reached. 256: about 0.3 s of commits without a pause, at 1 ms each."""

    poll_s: float = 0.05
    """Seconds between two checks for writes of other processes. 0.05: half of the promised 100 ms; one check is a read
    of shared memory."""

    checkpoint_pages: int = 4_096
    """Pages in the write-ahead log after which they are copied to the file. 4,096 (16 MiB): pages that are
    written again and again (index leaves) are copied once, and opening after a crash stays under 0.1 s."""

    cache_bytes: int = 32 * 1024 * 1024
    """Page cache of the writing connection. 32 MiB: the body index of some 500,000 bodies."""

    readers: int = 3
    """Threads that read at once. 3: a slow `verify` or list never holds up a resume."""

    vfs: str | None = None
    """Name of a registered SQLite VFS. None is the system's own; tests name one that simulates a faulty disk."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name not in ("vfs", "doubted_leases_are_out") and not value > 0:
                raise Misused(f"SqliteOptions.{name} must be positive, not {value!r}")
