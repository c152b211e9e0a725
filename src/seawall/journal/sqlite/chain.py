"""The hash chain over the whole database: each entry has a leaf, and each commit hashes the hash of the commit before
it together with its own leaves.

- leaf = sha256(run ⊔ box ⊔ seq ⊔ n ⊔ data), numbers in decimal; ⊔ is a zero byte, which no run id contains
- batch = sha256(hash of the batch before ‖ number of the batch, 8 bytes ‖ `at`, 8 bytes ‖ leaves ‖ "rows" ‖ state)
- state = sha256(sum of the digests of all rows that are changed in place, see `row_sum.py`); batches of schema 1 and 2
  have none
- mac = HMAC-SHA256(key, "seawall batch" ‖ batch), if the process has a signing key

Without a key the chain reveals corruption and careless edits, but not an attacker who recomputes the chain. To compare
with an exported head (`Verification.head`) reveals that too. Each batch covers all batches before it, and so does a
mac.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

HASH_BYTES = hashlib.sha256().digest_size
LEAF_PREFIX_BYTES = 8
"""How much of its leaf is stored with each entry, so that `verify` can name the entry that was changed."""

WRITER = 8
"""The newest schema whose rules a process must know to write. A process that knows only an earlier schema, and still
has the file open, does not write this number into its batches, so SQLite rejects them."""

_number_and_time = struct.Struct(">qd")


def leaf_of(run: str, box: int, seq: int, n: int, data: bytes) -> bytes:
    """Returns the hash that stands for one entry."""
    return hashlib.sha256(b"%b\0%d\0%d\0%d\0%b" % (run.encode(), box, seq, n, data)).digest()


def hash_batch(prev: bytes, number: int, at: float, leaves: Iterable[bytes], state: bytes | None) -> bytes:
    """Returns the hash of a commit and everything before it; `state` is the shortened sum of held rows."""
    rows = b"" if state is None else b"rows" + state
    return hashlib.sha256(prev + _number_and_time.pack(number, at) + b"".join(leaves) + rows).digest()
