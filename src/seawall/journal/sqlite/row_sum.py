"""The chain over rows that are changed in place: every batch covers the sum of their digests.

Entries are only ever added, so the chain holds them by their leaves. The rows of the tables in `HELD` are changed where
they are. Each row has a digest of its columns, and the newest batch has the sum of all digests. A commit subtracts the
old digests of the rows that it changes from the sum, adds the new ones, and hashes the sum into its batch. So its cost
depends on the changed rows, and not on the size of the journal. A row that was edited, deleted or added by another
program changes the sum. The first bytes of its digest are stored with each row, so that damage is found when a single
row is read.

The sum is taken modulo 2^2048. With fewer bits an attacker could search for rows that make the sum right again after a
change (a generalized birthday search, D. Wagner, 2002, takes 2^32 steps at 256 bits, and 2^90 at 2048).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from seawall.core.canonical import encode_text
from seawall.core.errors import JournalDamaged

SUM_BYTES = 256
LEAF_BYTES = 8
"""Bytes of its digest that are stored with each row."""

_MODULUS = 1 << (8 * SUM_BYTES)
_encode = msgspec.msgpack.Encoder(enc_hook=encode_text).encode

RUN = (
    "rk, run, tenant, session, team, app, request_id, started_at, ended_at, waiting, owner, epoch, status, "
    "summary, pruned"
)
"""The columns of a run's row. `events` and `commands` are left out: they change with every append, and are compared
with the entries that they count."""
ACCOUNT = (
    "tenant, day, spent_usd, spent_tokens, spent_model_calls, spent_tool_calls, "
    "reserved_usd, reserved_tokens, reserved_model_calls, reserved_tool_calls"
)
RESERVATION = "owner, run, day, tenant, usd, tokens, model_calls, tool_calls"
MEMORY = (
    "number, tenant, scope, key, value, born, died, died_at, run, step, agent, principal, labels, loose, at, expires_at, "
    "reviewed, flagged, reverted, quarantined"
)
HELD = {
    "runs": RUN,
    "accounts": ACCOUNT,
    "tenants": "id, name",
    "shared": "key, value",
    "reservations": RESERVATION,
    "effects": "pk, id, identity, number, tenant, run, call, state, tool, session, record",
    "proposals": "pk, id, tenant, run, state, hash, roles, escalate_at, due, changes, rejected_until, record",
    "sums": "tenant, tool, day, currency, reserved, spent",
    "waits": "effect, run, step",
    "principals": "name, key_hash, record",
    "facts": "number, tenant, session, record",
    "memories": MEMORY,
    "memory_versions": "version, tenant, scope, at, origin, run, actor, reviewed, written, removed, conflicts, about",
    "memory_scopes": "tenant, scope, version, floor, live",
    "memory_edges": "source, target, value",
    "memory_reads": "run, entry",
    "memory_conflicts": "number, tenant, state, record",
}
"""The tables that the sum covers, each with its covered columns, the key first. In `shared` only rows with a leaf are
covered."""


def digest_row(table: str, values: Sequence[object]) -> bytes:
    """Returns the digest of a row."""
    return hashlib.shake_256(_encode((table, *values))).digest(SUM_BYTES)


def check_row(table: str, values: Sequence[object], leaf: object) -> bytes:
    """Returns the digest of a row. Raises `JournalDamaged` if it is not the row that was written."""
    digest = digest_row(table, values)
    if digest[:LEAF_BYTES] != leaf:
        key = ", ".join(repr(value)[:40] for value in values[:2])
        raise JournalDamaged(f"the row {key} of table {table} is not what was written")
    return digest


def check_tenant_row(key: object, name: object, leaf: object) -> str:
    """Returns the name of a tenant. Raises `JournalDamaged` if its row is not what was written, or missing."""
    if not isinstance(name, str):
        raise JournalDamaged(f"tenant {key!r} has no row in table tenants, or one without a name")
    check_row("tenants", (key, name), leaf)
    return name


class RowSum:
    """The sum of the digests of all held rows."""

    def __init__(self, stored: bytes = b"") -> None:
        self.value = int.from_bytes(stored, "big")

    def add(self, digest: bytes) -> None:
        """Adds a row."""
        self.value += int.from_bytes(digest, "big")

    def remove(self, digest: bytes) -> None:
        """Removes a row."""
        self.value -= int.from_bytes(digest, "big")

    def replace(self, old: int, digest: bytes) -> int:
        """Replaces the row whose digest is the number `old`, or adds a row if `old` is 0. Returns the digest of the new
        row as a number, which costs less to remove than its bytes.
        """
        new = int.from_bytes(digest, "big")
        self.value += new - old
        return new

    def to_bytes(self) -> bytes:
        """Returns the sum as the newest batch stores it."""
        self.value %= _MODULUS
        return self.value.to_bytes(SUM_BYTES, "big")


def shorten(state: bytes) -> bytes:
    """Returns the short form of a sum: a batch's hash covers it, and a batch keeps only it once a newer one follows."""
    return hashlib.sha256(state).digest() if len(state) == SUM_BYTES else state
