"""The tables of effects and decisions: each row is a record as JSON, with the columns that it is looked up by.

The rows are changed in place and held by the chain (see `row_sum.py`). They are written immediately, inside the
writer's transaction, so that the next operation of the same commit finds them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from seawall.core.canonical import Ref, encode_text
from seawall.core.errors import JournalDamaged, SeawallError
from seawall.journal.ballot_rules import find_change, find_due, find_rejected_until
from seawall.journal.protocol import EffectRecord, Fact, PrincipalRecord, Proposal
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.row_sum import (
    HELD,
    LEAF_BYTES,
    RowSum,
    check_row,
    check_tenant_row,
    digest_row,
)

T = TypeVar("T")

_encode = msgspec.json.Encoder(enc_hook=encode_text).encode
_effects: msgspec.json.Decoder[EffectRecord] = msgspec.json.Decoder(EffectRecord)
_proposals: msgspec.json.Decoder[Proposal] = msgspec.json.Decoder(Proposal)
_principals: msgspec.json.Decoder[PrincipalRecord] = msgspec.json.Decoder(PrincipalRecord)
_facts: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)


EFFECT_TABLES = {
    "effects": "pk",
    "proposals": "pk",
    "sums": "tenant, tool, day, currency",
    "waits": "effect, run, step",
    "principals": "name",
    "facts": "number",
}
"""The tables of this file, with their keys."""


def _select(table: str) -> str:
    columns = ", ".join(f"e.{name}" for name in HELD[table].split(", "))
    return f"SELECT t.name, t.leaf, e.leaf, {columns} FROM {table} e LEFT JOIN tenants t ON t.id = e.tenant"


SELECT_EFFECT = _select("effects")
SELECT_PROPOSAL = _select("proposals")
SELECT_FACT = _select("facts")
SELECT_PRINCIPAL = f"SELECT leaf, {HELD['principals']} FROM principals"


class HeldTable:
    """Writes rows of one table, and keeps the sum that the chain holds."""

    def __init__(self, database: Database, total: RowSum, table: str, key: str) -> None:
        columns = HELD[table]
        self._database = database
        self._sum = total
        self._table = table
        self._key_columns = key.count(",") + 1
        names = [*columns.split(", "), "leaf"]
        new = ", ".join(f"{name} = excluded.{name}" for name in names[self._key_columns :])
        places = ", ".join("?" * len(names))
        self._put = f"INSERT INTO {table}({', '.join(names)}) VALUES ({places}) ON CONFLICT({key}) DO UPDATE SET {new}"
        place = f"({', '.join('?' * self._key_columns)})" if self._key_columns > 1 else "?"
        self._delete = f"DELETE FROM {table} WHERE {f'({key})' if self._key_columns > 1 else key} = {place}"

    def put(self, old: Row | None, new: Row) -> None:
        """Writes a row in place of `old`."""
        if old is not None:
            self._sum.remove(digest_row(self._table, old))
        digest = digest_row(self._table, new)
        self._sum.add(digest)
        database = self._database
        database.run(self._put, (*new, digest[:LEAF_BYTES]))

    def delete(self, old: Row) -> None:
        """Deletes a row."""
        self._sum.remove(digest_row(self._table, old))
        database = self._database
        database.run(self._delete, old[: self._key_columns])


def encode_effect(key: int, tenant: int, record: EffectRecord) -> Row:
    """Returns the row of an effect."""
    return (
        *(key, record.id, record.identity, record.number, tenant, record.run, record.call),
        *(record.state, record.tool, record.session, _encode(record)),
    )


def encode_proposal(key: int, tenant: int, record: Proposal) -> Row:
    """Returns the row of a proposal."""
    return (
        *(key, record.id, tenant, record.run, record.state, record.hash, encode_roles(record)),
        *(record.escalate_at, find_due(record), find_change(record), find_rejected_until(record)),
        _encode(record),
    )


def encode_roles(record: Proposal) -> str:
    """Returns the roles of which one is needed, now and after escalation, as the column by which proposals are
    listed.
    """
    later = sorted(set(record.escalate_to) - set(record.roles)) if record.roles else []
    return json.dumps([sorted(set(record.roles)), later], ensure_ascii=False)


def encode_fact(tenant: int, session: str, fact: Fact) -> Row:
    """Returns the row of a fact."""
    return fact.number, tenant, session, _encode(fact)


def encode_principal(record: PrincipalRecord) -> Row:
    """Returns the row of a principal."""
    return record.name, record.key_hash, _encode(record)


def decode_effect(row: Row) -> EffectRecord:
    """Returns the effect of a row of `SELECT_EFFECT`. Raises `JournalDamaged` if it is not what was written."""
    name, tenant_leaf, leaf, *values = row
    check_row("effects", values, leaf)
    record = _decode(_effects, "effects", values)
    check_tenant_row(values[4], name, tenant_leaf)
    if record.tenant != name:
        raise _disagree("effects", values)
    _compare("effects", values, encode_effect(values[0], values[4], record))
    return record


def decode_proposal(row: Row) -> Proposal:
    """Returns the proposal of a row of `SELECT_PROPOSAL`. Raises `JournalDamaged` if it is not what was written."""
    name, tenant_leaf, leaf, *values = row
    check_row("proposals", values, leaf)
    record = _decode(_proposals, "proposals", values)
    check_tenant_row(values[2], name, tenant_leaf)
    if record.tenant != name:
        raise _disagree("proposals", values)
    _compare("proposals", values, encode_proposal(values[0], values[2], record))
    return record


def decode_fact(row: Row) -> tuple[str, str, Fact]:
    """Returns tenant, session and fact of a row of `SELECT_FACT`. Raises `JournalDamaged` as `decode_effect`."""
    name, tenant_leaf, leaf, *values = row
    check_row("facts", values, leaf)
    fact = _decode(_facts, "facts", values)
    tenant = check_tenant_row(values[1], name, tenant_leaf)
    _compare("facts", values, encode_fact(values[1], values[2], fact))
    return tenant, values[2], fact


def decode_principal(row: Row) -> PrincipalRecord:
    """Returns the principal of a row of `SELECT_PRINCIPAL`. Raises `JournalDamaged` as `decode_effect`."""
    leaf, *values = row
    check_row("principals", values, leaf)
    record = _decode(_principals, "principals", values)
    _compare("principals", values, encode_principal(record))
    return record


def _decode(decoder: msgspec.json.Decoder[T], table: str, values: Sequence[object]) -> T:
    try:
        return decoder.decode(bytes(values[-1]) if isinstance(values[-1], bytes) else b"")
    except (msgspec.MsgspecError, SeawallError) as error:  # a value that is not valid money raises `Misused`
        raise JournalDamaged(f"the row {values[0]!r} of table {table} holds no record: {error}") from None


def _compare(table: str, values: Sequence[object], expected: Row) -> None:
    """Raises `JournalDamaged` if the columns by which a record is found do not match the record."""
    if tuple(values[:-1]) != expected[:-1]:
        raise _disagree(table, values)


def _disagree(table: str, values: Sequence[object]) -> JournalDamaged:
    return JournalDamaged(f"the row {values[0]!r} of table {table} contradicts its own record")


def list_effect_refs(record: EffectRecord) -> list[Ref]:
    """Returns the bodies that must be in the journal. The arguments of a claim come with its proposal or its intent."""
    claimed = record.state in ("proposed", "approved")
    return [ref for ref in (None if claimed else record.arguments, record.receipt) if ref is not None]


def list_proposal_refs(record: Proposal) -> list[Ref]:
    """Returns the bodies that a proposal refers to."""
    refs = (record.arguments, record.preview, record.original, *record.reverted)
    return [ref for ref in refs if ref is not None]
