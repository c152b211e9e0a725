"""What can be set on a SQLite journal."""

from __future__ import annotations

from dataclasses import dataclass

from seawall.core.errors import Misused


@dataclass(frozen=True, kw_only=True)
class SqliteOptions:
    """The bounds of a SQLite journal. Each default says why it is what it is."""

    lease_s: float = 30.0
    """Seconds without a heartbeat after which a run may be taken from its owner. Renewed every third of it.
    30: longer than any pause of a healthy process; a dead process of this host is known at once anyway."""

    lock_wait_s: float = 10.0
    """Seconds to wait for the file's write lock before an append fails with `Broken`.
    10: eight contending processes wait less than one; longer means that somebody holds the lock for good."""

    queue_ops: int = 4_096
    """Writes that may wait before `wait_for_room` and `create` wait. 4,096: an eighth of a second at full speed."""

    queue_bytes: int = 64 * 1024 * 1024
    """Bytes that may wait before `wait_for_room` and `create` wait. 64 MiB: a burst of big results, not a leak."""

    hard_factor: int = 8
    """Times `queue_ops` and `queue_bytes` at which `append`, which can't wait, is refused.
    8: callers that heed `wait_for_room` never come near it."""

    batch_ops: int = 1_024
    """Writes in one commit at most. 1,024: beyond that latency grows and throughput does not."""

    batch_bytes: int = 16 * 1024 * 1024
    """Bytes in one commit at most, unless one write alone has more. 16 MiB: about 0.1 s of disk time."""

    body_bytes: int = 256 * 1024 * 1024
    """Size of one body at most; more is `Misused`. 256 MiB: well below SQLite's own 1 GB for a row."""

    mark_s: float = 1.0
    """Seconds that the high-water mark may lag behind the file. 1: one more fsync a second costs nothing."""

    mark_batches: int = 256
    """Commits that the high-water mark may lag behind the file, whichever comes first."""

    poll_s: float = 0.05
    """Seconds between two looks for writes of other processes. 0.05: half of the 100 ms that are promised;
    one look is a read of shared memory."""

    checkpoint_pages: int = 4_096
    """Pages in the write-ahead log after which they are copied to the file. 4,096 (16 MiB): pages that are
    written again and again (index leaves) are copied once, and opening after a crash stays under 0.1 s."""

    cache_bytes: int = 32 * 1024 * 1024
    """Page cache of the writing connection. 32 MiB: the body index of some 500,000 bodies."""

    readers: int = 3
    """Threads that read at once. 3: a slow `verify` or list never holds up a resume."""

    vfs: str | None = None
    """Name of a registered SQLite VFS. None is the system's; tests put faulty disks here."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "vfs" and not value > 0:
                raise Misused(f"SqliteOptions.{name} must be positive, not {value!r}")
