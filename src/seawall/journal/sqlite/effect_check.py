"""Checks the records of effects: that each is what was written, that its columns agree with it, and that its bodies are
there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from seawall.core.canonical import Ref
from seawall.core.errors import JournalDamaged
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.effect_rows import (
    SELECT_EFFECT,
    SELECT_FACT,
    SELECT_PRINCIPAL,
    SELECT_PROPOSAL,
    decode_effect,
    decode_fact,
    decode_principal,
    decode_proposal,
    list_effect_refs,
    list_proposal_refs,
)

T = TypeVar("T")

ROWS = 500
"""Rows in one chunk: about 10 ms."""
MISSING_BODIES = """
SELECT wanted.value ->> 0, wanted.value ->> 1 FROM json_each(?) AS wanted
WHERE NOT EXISTS (SELECT 1 FROM bodies b
    WHERE b.tenant = wanted.value ->> 0 AND b.hash = unhex(wanted.value ->> 1))
"""
"""Returns the missing bodies among pairs of a tenant's key and a body's hash. An erased body is not missing."""


class BadRecord(Exception):
    """A record is not what was written. `run` is the record's run, if that is known."""

    def __init__(self, what: str, run: str | None) -> None:
        super().__init__(what)
        self.run = run


class EffectCheck:
    """One pass over the records of effects, in chunks."""

    def __init__(self) -> None:
        self._parts = [_check_effects, _check_proposals, _check_facts, _check_principals]
        self._after = 0

    def check_next(self, database: Database) -> bool:
        """Checks the next rows; returns False once there is none left. Raises `BadRecord`."""
        if not self._parts:
            return False
        after = self._parts[0](database, self._after)
        self._after = after or 0
        if after is None:
            self._parts.pop(0)
        return bool(self._parts)


def _check_effects(database: Database, after: int) -> int | None:
    rows = database.fetch_all(f"{SELECT_EFFECT} WHERE e.pk > ? ORDER BY e.pk LIMIT ?", (after, ROWS))
    for row in rows:
        record = decode_record(decode_effect, row, row[8])
        check_refs(database, f"effect {record.id}", record.run, row[7], list_effect_refs(record))
    return rows[-1][3] if rows else None


def _check_proposals(database: Database, after: int) -> int | None:
    rows = database.fetch_all(f"{SELECT_PROPOSAL} WHERE e.pk > ? ORDER BY e.pk LIMIT ?", (after, ROWS))
    for row in rows:
        record = decode_record(decode_proposal, row, row[6])
        check_refs(database, f"proposal {record.id}", record.run, row[5], list_proposal_refs(record))
    return rows[-1][3] if rows else None


def _check_facts(database: Database, after: int) -> int | None:
    rows = database.fetch_all(f"{SELECT_FACT} WHERE e.number > ? ORDER BY e.number LIMIT ?", (after, ROWS))
    for row in rows:
        _, _, fact = decode_record(decode_fact, row, None)
        check_refs(database, f"fact {fact.number}", fact.run, row[4], [fact.text])
    return rows[-1][3] if rows else None


def _check_principals(database: Database, after: int) -> None:
    for row in database.fetch_all(SELECT_PRINCIPAL):
        decode_record(decode_principal, row, None)


def decode_record(decode: Callable[[Row], T], row: Row, run: object) -> T:
    """Returns the record of a row. Raises `BadRecord`."""
    try:
        return decode(row)
    except JournalDamaged as error:
        raise BadRecord(str(error), run if isinstance(run, str) else None) from None


def check_refs(database: Database, name: str, run: str, tenant: int, refs: list[Ref]) -> None:
    """Raises `BadRecord` if a body that a record refers to is missing, and was not erased."""
    lost = (
        database.fetch_first(MISSING_BODIES, (json.dumps([(tenant, ref) for ref in refs]),)) if refs else None
    )
    if lost is not None:
        raise BadRecord(f"body {lost[1][:12]}… of {name} is missing, not erased", run)
