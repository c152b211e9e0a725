"""The hash chain over the whole database: an entry has a leaf, a commit hashes its leaves onto the one before.

- leaf = sha256(run ⊔ box ⊔ seq ⊔ n ⊔ data), numbers in decimal, ⊔ a zero byte (run ids hold none)
- batch = sha256(hash of the batch before ‖ number of the batch, 8 bytes ‖ `at`, 8 bytes ‖ leaves)

Without a key this finds corruption and careless edits, not someone who recomputes the chain; an exported
head (`Verification.head`) finds that too.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

LEAF_PREFIX_BYTES = 8
"""Bytes of its leaf that lie beside each entry, so that the one that was changed can be named."""

_number_and_time = struct.Struct(">qd")


def leaf_of(run: str, box: int, seq: int, n: int, data: bytes) -> bytes:
    """The hash that stands for one entry."""
    return hashlib.sha256(b"%b\0%d\0%d\0%d\0%b" % (run.encode(), box, seq, n, data)).digest()


def hash_batch(prev: bytes, number: int, at: float, leaves: Iterable[bytes]) -> bytes:
    """The hash of a commit and everything before it."""
    return hashlib.sha256(prev + _number_and_time.pack(number, at) + b"".join(leaves)).digest()
