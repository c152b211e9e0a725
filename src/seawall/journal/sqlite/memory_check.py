"""Checks the records of memory: that each is what was written, has its bodies, and is in the search index."""

from __future__ import annotations

from collections.abc import Callable

from seawall.journal.memory_rules import read_text
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.effect_check import ROWS, BadRecord, check_refs, decode_record
from seawall.journal.sqlite.memory_index import make_words, place_of
from seawall.journal.sqlite.memory_rows import (
    AS_STORED,
    SELECT_CONFLICT,
    SELECT_ENTRY,
    SELECT_SCOPE,
    SELECT_VERSION,
    decode_conflict,
    decode_entry,
    decode_scope,
    decode_version,
)

_UNFOUND = """
SELECT m.number FROM memories m WHERE m.number > ? AND m.number <= ? AND m.died IS NULL AND m.value IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM memory_search_docsize d WHERE d.id = m.number)
AND EXISTS (SELECT 1 FROM bodies b WHERE b.tenant = m.tenant AND b.hash = m.key AND b.data IS NOT NULL)
AND EXISTS (SELECT 1 FROM bodies b WHERE b.tenant = m.tenant AND b.hash = m.value AND b.data IS NOT NULL) LIMIT 1
"""
_UNLISTED = """
SELECT m.number, m.tenant, m.scope, b.data FROM memories m
JOIN bodies b ON b.tenant = m.tenant AND b.hash = m.key AND b.data IS NOT NULL WHERE m.number > ? AND m.number <= ?
AND NOT EXISTS (SELECT 1 FROM memory_keys k WHERE k.tenant = m.tenant AND k.key = m.key AND k.scope = m.scope)
"""
_LISTED = "SELECT 1 FROM memory_keys WHERE tenant = ? AND scope = ? AND text = ?"
_WORDS = """
SELECT s.rowid, s.words, m.tenant, m.scope, m.quarantined, k.data, v.data FROM memory_search s
LEFT JOIN memories m ON m.number = s.rowid AND m.died IS NULL
LEFT JOIN bodies k ON k.tenant = m.tenant AND k.hash = m.key
LEFT JOIN bodies v ON v.tenant = m.tenant AND v.hash = m.value WHERE s.rowid > ? ORDER BY s.rowid LIMIT ?
"""
_KEYS = """
SELECT k.tenant, k.scope, k.text, b.data,
    EXISTS (SELECT 1 FROM memories m WHERE m.tenant = k.tenant AND m.key = k.key AND m.scope = k.scope)
FROM memory_keys k LEFT JOIN bodies b ON b.tenant = k.tenant AND b.hash = k.key
"""
_COUNT = "SELECT count(*) FROM memories WHERE tenant = ? AND scope = ? AND quarantined = 0 AND died IS NULL AND value IS NOT NULL"


class MemoryCheck:
    """One pass over the records of memory, in chunks."""

    def __init__(self) -> None:
        self._parts: list[Callable[[Database, int], int | None]] = [
            *(_check_entries, _check_words, _check_keys, _check_versions, _check_conflicts, _check_scopes)
        ]
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


def _check_entries(database: Database, after: int) -> int | None:
    rows = database.fetch_all(f"{SELECT_ENTRY} WHERE e.number > ? ORDER BY e.number LIMIT ?", (after, ROWS))
    for row in rows:
        entry = decode_record(decode_entry, row, row[AS_STORED + 8] or None).entry
        refs = [ref for ref in (entry.key, entry.value) if ref is not None]
        check_refs(database, f"entry {entry.number} of memory", entry.run, row[AS_STORED + 1], refs)
    if not rows:
        return None
    last: int = rows[-1][AS_STORED]
    unfound = database.fetch_first(_UNFOUND, (after, last))
    if unfound is not None:
        raise BadRecord(f"entry {unfound[0]} of memory is not in the index of words", None)
    for number, tenant, scope, key in database.fetch_all(_UNLISTED, (after, last)):
        if database.fetch_first(_LISTED, (tenant, scope, read_text(key))) is None:
            raise BadRecord(f"the key of entry {number} of memory is not in the index of keys", None)
    return last


def _check_words(database: Database, after: int) -> int | None:
    rows = database.fetch_all(_WORDS, (after, ROWS))
    for number, words, tenant, scope, quarantined, key, value in rows:
        if key is None or value is None:
            raise BadRecord(f"{number} in the index of words is not a live entry of memory", None)
        if words != make_words(database, place_of(tenant, scope, quarantined=quarantined), key, value):
            raise BadRecord(f"entry {number} of memory is in the index of words with wrong words", None)
    return rows[-1][0] if rows else None


def _check_keys(database: Database, after: int) -> None:
    for _, scope, text, key, has_entry in database.iterate(_KEYS):
        if key is None or not has_entry:
            raise BadRecord(
                f"a key of scope {scope} in the index of keys belongs to no entry of memory", None
            )
        if read_text(key) != text:
            raise BadRecord(f"a key of scope {scope} is in the index of keys with another text", None)


def _check_versions(database: Database, after: int) -> int | None:
    rows = database.fetch_all(
        f"{SELECT_VERSION} WHERE e.version > ? ORDER BY e.version LIMIT ?", (after, ROWS)
    )
    for row in rows:
        decode_record(decode_version, row, None)
    return rows[-1][AS_STORED] if rows else None


def _check_conflicts(database: Database, after: int) -> int | None:
    rows = database.fetch_all(
        f"{SELECT_CONFLICT} WHERE e.number > ? ORDER BY e.number LIMIT ?", (after, ROWS)
    )
    for row in rows:
        conflict = decode_record(decode_conflict, row, None).conflict
        refs = [ref for ref in (conflict.key, conflict.ours) if ref is not None]
        check_refs(database, f"memory conflict {conflict.number}", conflict.run, row[AS_STORED + 1], refs)
    return rows[-1][AS_STORED] if rows else None


def _check_scopes(database: Database, after: int) -> None:
    for row in database.iterate(SELECT_SCOPE):
        _, scope, _, _, live = decode_record(decode_scope, row, None)
        found = database.fetch_value(_COUNT, (row[AS_STORED], scope))
        if found != live:
            raise BadRecord(f"scope {scope} of memory has {found} entries, and its row says {live}", None)
