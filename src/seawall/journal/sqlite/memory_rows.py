"""The tables of memory: each row is a record in columns, held by the chain (see `row_sum.py`).

The rows are written immediately, inside the writer's transaction, so that the next operation of the same commit finds
them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from seawall.core.canonical import Ref, encode_text
from seawall.core.errors import JournalDamaged, SeawallError
from seawall.journal.protocol import MemoryConflict, MemoryEntry, MemoryVersion, MemoryWrite
from seawall.journal.sqlite.database import Row
from seawall.journal.sqlite.row_sum import HELD, MEMORY, check_row, check_tenant_row

MEMORY_TABLES = {
    "memories": "number",
    "memory_versions": "version",
    "memory_scopes": "tenant, scope",
    "memory_edges": "source, target",
    "memory_reads": "run, entry",
    "memory_conflicts": "number",
}
"""The tables of this file, with their keys."""

_encode = msgspec.json.Encoder(enc_hook=encode_text).encode
_labels: msgspec.json.Decoder[tuple[str, ...]] = msgspec.json.Decoder(tuple[str, ...])


def _columns(names: str) -> str:
    return ", ".join(f"e.{name}" for name in names.split(", "))


_TENANT = "LEFT JOIN tenants t ON t.id = e.tenant"
ENTRY_COLUMNS = f"t.name, t.leaf, e.leaf, {_columns(MEMORY)}"
SELECT_ENTRY = f"SELECT {ENTRY_COLUMNS} FROM memories e {_TENANT}"
SELECT_VERSION = (
    f"SELECT t.name, t.leaf, e.leaf, {_columns(HELD['memory_versions'])} FROM memory_versions e {_TENANT}"
)
SELECT_SCOPE = (
    f"SELECT t.name, t.leaf, e.leaf, {_columns(HELD['memory_scopes'])} FROM memory_scopes e {_TENANT}"
)
SELECT_CONFLICT = (
    f"SELECT t.name, t.leaf, e.leaf, {_columns(HELD['memory_conflicts'])} FROM memory_conflicts e {_TENANT}"
)
AS_STORED = 3
"""The place in a row of these statements where the held columns begin."""


class StoredEntry(msgspec.Struct, frozen=True):
    """An entry with the further columns of its row."""

    entry: MemoryEntry
    row: Row
    """The held columns, as they are in the file."""
    died_at: float | None
    reverted: int | None
    """The version of the revert that removed it."""
    loose: str


class StoredConflict(msgspec.Struct, frozen=True, kw_only=True):
    """A conflict with its write, so that the run's value can be written later."""

    conflict: MemoryConflict
    write: MemoryWrite
    principal: str = ""
    reviewed: bool = False


_conflicts: msgspec.json.Decoder[StoredConflict] = msgspec.json.Decoder(StoredConflict)


def encode_entry(
    tenant: int, entry: MemoryEntry, *, loose: str, died_at: float | None, reverted: int | None
) -> Row:
    """Returns the row of an entry."""
    return (
        *(entry.number, tenant, entry.scope, bytes.fromhex(entry.key)),
        None if entry.value is None else bytes.fromhex(entry.value),
        *(entry.born, entry.died, died_at, entry.run, entry.step, entry.agent, entry.principal),
        *(_encode(entry.labels).decode(), loose, float(entry.at), entry.expires_at),
        *(int(entry.reviewed), entry.flagged, reverted, int(entry.quarantined)),
    )


def decode_entry(row: Row) -> StoredEntry:
    """Returns the entry of a row of `SELECT_ENTRY`. Raises `JournalDamaged` if it is not what was written."""
    name, tenant_leaf, leaf, *values = row
    check_row("memories", values, leaf)
    tenant = check_tenant_row(values[1], name, tenant_leaf)
    number, _, scope, key, value, born, died, died_at, run, step, agent, principal = values[:12]
    labels, loose, at, expires_at, reviewed, flagged, reverted, quarantined = values[12:]
    entry = MemoryEntry(
        number=number,
        tenant=tenant,
        scope=scope,
        key=Ref(key.hex()),
        value=None if value is None else Ref(value.hex()),
        born=born,
        died=died,
        run=run,
        step=step,
        agent=agent,
        principal=principal,
        labels=_labels.decode(labels),
        at=at,
        expires_at=expires_at,
        reviewed=bool(reviewed),
        flagged=flagged,
        reverted=reverted is not None,
        quarantined=bool(quarantined),
    )
    return StoredEntry(entry, tuple(values), died_at, reverted, loose)


def encode_version(tenant: int, version: MemoryVersion) -> Row:
    """Returns the row of a version."""
    return (
        *(version.version, tenant, version.scope, float(version.at), version.origin, version.run, version.by),
        *(int(version.reviewed), version.written, version.removed, version.conflicts, version.about),
    )


def decode_version(row: Row) -> MemoryVersion:
    """Returns the version of a row of `SELECT_VERSION`. Raises `JournalDamaged` as `decode_entry`."""
    name, tenant_leaf, leaf, *values = row
    check_row("memory_versions", values, leaf)
    number, key, scope, at, origin, run, actor, reviewed, written, removed, conflicts, about = values
    return MemoryVersion(
        version=number,
        tenant=check_tenant_row(key, name, tenant_leaf),
        scope=scope,
        at=at,
        origin=origin,
        run=run,
        by=actor,
        reviewed=bool(reviewed),
        written=written,
        removed=removed,
        conflicts=conflicts,
        about=about,
    )


def decode_scope(row: Row) -> tuple[str, str, int, int, int]:
    """Returns tenant, scope, newest version, floor and live entries of a row of `SELECT_SCOPE`."""
    name, tenant_leaf, leaf, *values = row
    check_row("memory_scopes", values, leaf)
    return (check_tenant_row(values[0], name, tenant_leaf), *values[1:])


def encode_conflict(tenant: int, stored: StoredConflict) -> Row:
    """Returns the row of a conflict."""
    return stored.conflict.number, tenant, stored.conflict.state, _encode(stored)


def decode_conflict(row: Row) -> StoredConflict:
    """Returns the conflict of a row of `SELECT_CONFLICT`. Raises `JournalDamaged` as `decode_entry`."""
    name, tenant_leaf, leaf, *values = row
    check_row("memory_conflicts", values, leaf)
    data: Any = values[-1]
    try:
        stored = _conflicts.decode(data if isinstance(data, bytes) else b"")
    except (msgspec.MsgspecError, SeawallError) as error:
        raise JournalDamaged(
            f"the row {values[0]!r} of table memory_conflicts holds no record: {error}"
        ) from None
    tenant = check_tenant_row(values[1], name, tenant_leaf)
    if (stored.conflict.tenant, *encode_conflict(values[1], stored)[:-1]) != (tenant, *values[:-1]):
        raise JournalDamaged(f"the row {values[0]!r} of table memory_conflicts contradicts its own record")
    return stored
