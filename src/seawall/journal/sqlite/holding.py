"""Puts the rows of a journal under its chain: those of a new journal, and once those of a journal that an older version
wrote. Rows of an older version are accepted as they are. Only changes after that can be noticed.
"""

from __future__ import annotations

import itertools
import json

import msgspec

from seawall.journal.sqlite.chain import LEAF_PREFIX_BYTES, WRITER, hash_batch, leaf_of
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.effect_rows import EFFECT_TABLES
from seawall.journal.sqlite.memory_rows import MEMORY_TABLES
from seawall.journal.sqlite.records import Box, Note
from seawall.journal.sqlite.row_sum import HELD, LEAF_BYTES, RowSum, digest_row, shorten

ROWS = 1_000
"""Rows that are read and written in one go."""
_KEYS = {
    "runs": "rk",
    "tenants": "id",
    "shared": "key",
    "accounts": "(tenant, day)",
    "reservations": "(owner, run, day)",
    **{table: f"({key})" if "," in key else key for table, key in (EFFECT_TABLES | MEMORY_TABLES).items()},
}
_COUNTS = """
UPDATE runs SET
    events = coalesce((SELECT max(seq + n) FROM entries e WHERE e.rk = runs.rk AND box = 0), 0),
    commands = coalesce((SELECT max(seq + n) FROM entries e WHERE e.rk = runs.rk AND box = 1), 0)
"""
_ERASED = """
SELECT t.name, json_group_array(lower(hex(b.hash))) FROM bodies b JOIN tenants t ON t.id = b.tenant
WHERE b.data IS NULL GROUP BY b.tenant, b.id / ?
"""
_encode = msgspec.json.Encoder().encode


def hold_all_rows(database: Database) -> bytes:
    """Gives each row its leaf, and returns the sum of all of them."""
    total = RowSum()
    for table, columns in HELD.items():
        key = _KEYS[table]
        width = key.count(",") + 1
        place = ", ".join("?" * width)
        rows = iter(database.fetch_all(f"SELECT {key.strip('()')} FROM {table}"))
        while keys := list(itertools.islice(rows, ROWS)):
            leaves: list[tuple[object, ...]] = []
            for each in keys:
                digest = digest_row(
                    table, database.fetch_one(f"SELECT {columns} FROM {table} WHERE {key} = ({place})", each)
                )
                total.add(digest)
                leaves.append((digest[:LEAF_BYTES], *each))
            database.run_many(f"UPDATE {table} SET leaf = ? WHERE {key} = ({place})", leaves)
    return total.to_bytes()


def hold_older_journal(database: Database, at: float) -> None:
    """Adds a batch that holds all rows, and records which batches were collapsed and which bodies were erased
    before.
    """
    database.run(_COUNTS)
    state = hold_all_rows(database)
    head, last_entry, prev = database.fetch_one(
        "SELECT id, last_entry, hash FROM batches ORDER BY id DESC LIMIT 1"
    )
    seq = database.fetch_value(
        "SELECT coalesce(max(seq) + 1, 0) FROM entries WHERE rk = 0 AND box = ?", (int(Box.NOTES),)
    )
    leaves: list[bytes] = []
    for number, note in enumerate(_list_notes(database, at), 1):
        data = _encode([note])
        leaf = leaf_of("", Box.NOTES, seq, 1, data)
        database.run(
            "INSERT INTO entries(id, rk, box, seq, n, data, leaf) VALUES (?, 0, ?, ?, 1, ?, ?)",
            (last_entry + number, int(Box.NOTES), seq, data, leaf[:LEAF_PREFIX_BYTES]),
        )
        leaves.append(leaf)
        seq += 1
    hash_ = hash_batch(prev, head + 1, at, leaves, shorten(state))
    database.run(
        "INSERT INTO batches(id, last_entry, at, hash, state, writer) VALUES (?, ?, ?, ?, ?, ?)",
        (head + 1, last_entry + len(leaves), at, hash_, state, WRITER),
    )


def _list_notes(database: Database, at: float) -> list[Note]:
    rows = database.fetch_all("SELECT since, id, lower(hex(prev)) FROM batches WHERE since IS NOT NULL")
    notes = [
        Note(what="collapsed", at=at, collapsed=tuple(rows[start : start + ROWS]))
        for start in range(0, len(rows), ROWS)
    ]
    for tenant, refs in database.fetch_all(_ERASED, (ROWS,)):
        notes.append(Note(what="held", at=at, tenant=tenant, refs=tuple(json.loads(refs))))
    return notes
