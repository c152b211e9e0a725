"""Pruning old runs and erasing bodies, in short transactions, between which other writers can go on.

A body is removed when a pruned run referred to it, and nothing that remains does: no run of the tenant, no record of an
effect, a proposal or a fact, and no memory. References through other bodies count as well (a transcript's manifest
names its messages and the manifest before it). See `references.py`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from seawall.core.canonical import Ref, encode_text
from seawall.journal.protocol import Pruned
from seawall.journal.sqlite.access import FileAccess
from seawall.journal.sqlite.chain import leaf_of
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.memory_edges import leave_runs
from seawall.journal.sqlite.memory_reading import find_version
from seawall.journal.sqlite.records import Box, Note
from seawall.journal.sqlite.references import PrunePlan
from seawall.journal.sqlite.schema import MEMORY
from seawall.journal.sqlite.transaction import Transaction

BODIES = 500
"""Bodies that are erased in one transaction."""
BATCHES = 2_000
"""Batches that are read in one transaction when batches are collapsed."""
PAGES = 2_000
"""Pages (8 MB) that are returned to the file system in one transaction."""

_OF_BODIES = """
SELECT number FROM memories INDEXED BY memories_live WHERE tenant = ?1 AND died IS NULL
AND (key IN (SELECT unhex(value) FROM json_each(?2)) OR value IN (SELECT unhex(value) FROM json_each(?2)))
"""
"""This statement reads all live entries of a tenant. Erasing is rare, and an index of values would cost more in each
merge than it saves here."""
_FORGET_KEYS = """
DELETE FROM memory_keys WHERE (tenant, scope, text) IN (SELECT k.tenant, k.scope, k.text FROM json_each(?) AS wanted
CROSS JOIN memory_keys k ON k.tenant = ? AND k.key = unhex(wanted.value))
"""
_encode = msgspec.json.Encoder(enc_hook=encode_text).encode


async def prune(access: FileAccess, before: float, tenant: str | None, dry_run: bool) -> Pruned:
    """See `Journal.prune`."""
    await access.run_alone(empty_log)
    size_before = await access.read(lambda database: _measure_size(database, access.path))
    runs = events = bodies = body_bytes = 0
    for key in await access.read(lambda database: _list_tenants(database, tenant)):
        plan = PrunePlan(key)
        try:
            await access.read(
                lambda d, p=plan: p.make(d, lambda d, tenant: _list_old_runs(d, tenant, before))
            )
            for number, chunk in enumerate(plan.chunks):
                if dry_run:
                    counts = await access.read(lambda d, p=plan, n=number: _count(d, p, n))
                else:
                    counts = await access.write(lambda tx, p=plan, n=number: prune_chunk(tx, p, n))
                runs += len(chunk)
                events += counts[0]
                bodies += counts[1]
                body_bytes += counts[2]
        finally:
            plan.close()
    if dry_run:
        share = await access.read(lambda database: _measure_share(database, before, tenant, body_bytes))
        size_after = round(size_before * (1 - share))
    else:
        await shrink(access)
        size_after = await access.read(lambda database: _measure_size(database, access.path))
    return Pruned(
        runs=runs,
        events=events,
        bodies=bodies,
        body_bytes=body_bytes,
        file_bytes_before=size_before,
        file_bytes_after=size_after,
    )


def _list_tenants(database: Database, tenant: str | None) -> list[int]:
    rows = database.fetch_all("SELECT id FROM tenants WHERE ?1 IS NULL OR name = ?1", (tenant,))
    return [row[0] for row in rows]


def _list_old_runs(database: Database, tenant: int, before: float) -> list[int]:
    rows = database.fetch_all(
        "SELECT rk FROM runs WHERE ended_at < ? AND ended_at IS NOT NULL AND pruned = 0 AND tenant = ? ORDER BY rk",
        (before, tenant),
    )
    return [row[0] for row in rows]


def _count(database: Database, plan: PrunePlan, number: int) -> tuple[int, int, int]:
    events = database.fetch_value(
        "SELECT coalesce(sum(n), 0) FROM entries WHERE box = ? AND data IS NOT NULL "
        "AND rk IN (SELECT value FROM json_each(?))",
        (int(Box.LOG), json.dumps(plan.chunks[number])),
    )
    bodies = plan.list_bodies(number)
    return events, len(bodies), sum(size for _, size in bodies)


def _measure_share(database: Database, before: float, tenant: str | None, body_bytes: int) -> float:
    """Returns the share of all content that would be removed, from 0 to 1: an estimate of how much the file would
    shrink.
    """
    events = database.fetch_value(
        "SELECT coalesce(sum(length(e.data)), 0) FROM runs r JOIN tenants t ON t.id = r.tenant "
        "JOIN entries e ON e.rk = r.rk AND e.box IN (0, 1) "
        "WHERE r.ended_at < ?1 AND r.pruned = 0 AND (?2 IS NULL OR t.name = ?2)",
        (before, tenant),
    )
    everything = database.fetch_value(
        "SELECT (SELECT coalesce(sum(length(data)), 0) FROM entries) "
        "+ (SELECT coalesce(sum(length(data)), 0) FROM bodies)"
    )
    return (events + body_bytes) / everything if everything else 0.0


def prune_chunk(tx: Transaction, plan: PrunePlan, number: int) -> tuple[int, int, int]:
    """Prunes the next runs of a plan; returns the numbers of removed events, bodies, and bytes of bodies."""
    database = tx.database
    plan.kept.catch_up(database)
    counts = _count(database, plan, number)
    keys = json.dumps(plan.chunks[number])
    rows = database.fetch_all(
        "SELECT e.id, r.run, e.box, e.seq, e.n, e.data FROM entries e JOIN runs r ON r.rk = e.rk "
        "WHERE e.box IN (0, 1) AND e.data IS NOT NULL AND e.rk IN (SELECT value FROM json_each(?))",
        (keys,),
    )
    database.run_many(
        "UPDATE entries SET data = NULL, leaf = ? WHERE id = ?", [(leaf_of(*row[1:]), row[0]) for row in rows]
    )
    tx.mark_pruned(plan.chunks[number])
    bodies = plan.list_bodies(number)
    database.run_many(
        "DELETE FROM bodies WHERE tenant = ? AND hash = ?", [(plan.tenant, hash_) for hash_, _ in bodies]
    )
    bump_generation(tx)
    leave_runs(tx, plan.chunks[number])
    note = Note(
        what="pruned",
        at=tx.now,
        tenant=tx.find_tenant_name(plan.tenant),
        runs=len(plan.chunks[number]),
        events=counts[0],
        bodies=counts[1],
    )
    tx.add_own_entry(Box.NOTES, _encode([note]))
    return counts


async def shrink(access: FileAccess) -> None:
    """Collapses empty batches, and returns free pages to the file system."""
    at = 0
    while at >= 0:
        at = await access.write(lambda tx, at=at: _collapse(tx, at))
    while await access.run_alone(_vacuum):
        pass
    await access.run_alone(empty_log)


def _collapse(tx: Transaction, after: int) -> int:
    """Collapses empty batches among the next ones; returns where to continue, or -1 at the end."""
    database = tx.database
    rows = database.fetch_all(
        "SELECT b.id, b.last_entry, b.hash, b.since, b.prev, EXISTS (SELECT 1 FROM entries e "
        "WHERE e.id <= b.last_entry AND e.data IS NOT NULL AND e.id > (SELECT p.last_entry FROM batches p "
        "WHERE p.id < b.id ORDER BY p.id DESC LIMIT 1)) FROM batches b WHERE b.id >= ? ORDER BY b.id LIMIT ?",
        (max(after, 1), BATCHES),
    )
    # The newest batch is left as it is: the next one will be chained to it.
    rows = [row for row in rows if row[0] < tx.head]
    if not rows:
        return -1
    prev, start = database.fetch_one(
        "SELECT hash, last_entry FROM batches WHERE id < ? ORDER BY id DESC LIMIT 1", (rows[0][0],)
    )
    collapsed: list[tuple[int, int, str]] = []
    empty: list[tuple[Any, ...]] = []
    for row in [*rows, None]:
        if row is not None and not row[5]:
            empty.append(row)
            continue
        if empty and (len(empty) > 1 or empty[0][1] > start) and not (len(empty) == 1 and empty[0][3]):
            collapsed.append(_replace(database, empty, prev, start))
        if row is not None:
            empty, prev, start = [], row[2], row[1]
    if collapsed:  # if no note names a collapsed row, its batches were not removed by a prune
        bump_generation(tx)
        tx.add_own_entry(Box.NOTES, _encode([Note(what="collapsed", at=tx.now, collapsed=tuple(collapsed))]))
    # A run of empty batches at the end may continue in the next chunk: that chunk begins with its collapsed row.
    last = rows[-1][0]
    return last if empty and len(rows) == BATCHES and len(empty) < BATCHES else last + 1


def bump_generation(tx: Transaction) -> None:
    """Makes a check that is under way begin again, because data that it has read was removed."""
    tx.database.run("UPDATE meta SET value = value + 1 WHERE key = 'ground'")
    tx.wrote = True


def _replace(
    database: Database, empty: Sequence[tuple[Any, ...]], prev: bytes, start: int
) -> tuple[int, int, str]:
    """Replaces several rows by one; returns the first and the last batch in it, and the hash before them."""
    first, last = empty[0], empty[-1]
    since = first[0] if first[3] is None else first[3]
    database.run("DELETE FROM batches WHERE id >= ? AND id < ?", (first[0], last[0]))
    database.run("UPDATE batches SET since = ?, prev = ? WHERE id = ?", (since, prev, last[0]))
    database.run("DELETE FROM entries WHERE id > ? AND id <= ?", (start, last[1]))
    return since, last[0], prev.hex()


def _vacuum(database: Database) -> bool:
    free = database.run_pragma("freelist_count")
    if free:
        database.fetch_all(f"PRAGMA incremental_vacuum({PAGES})")
    return free > 0 and database.run_pragma("freelist_count") < free


def empty_log(database: Database) -> None:
    """Copies the write-ahead log to the file and empties it, as far as readers allow it."""
    with contextlib.suppress(apsw.BusyError):  # another process is reading: the log will be emptied later
        database.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _measure_size(database: Database, path: str) -> int:
    if path != MEMORY:
        return Path(path).stat().st_size
    return database.run_pragma("page_count") * database.run_pragma("page_size")


async def erase(access: FileAccess, tenant: str, refs: Sequence[Ref] | None) -> int:
    """See `Journal.erase`."""
    erased = 0
    if refs is None:
        pass_erased = -1
        while pass_erased:  # repeat until a whole pass finds nothing, because runs go on meanwhile
            pass_erased, after = 0, b""
            while after is not None:
                count, after = await access.write(lambda tx, after=after: _erase_next(tx, tenant, after))
                pass_erased += count
            erased += pass_erased
    else:
        for i in range(0, len(refs), BODIES):
            erased += await access.write(lambda tx, part=refs[i : i + BODIES]: erase_bodies(tx, tenant, part))
    has_memory = await access.read(find_version) > 0
    if has_memory:  # the index may also have words that an interrupted erasure has left
        await access.write(rebuild_words)
    if erased or has_memory:
        await access.run_alone(empty_log)  # the log still contains what was erased
    return erased


def _erase_next(tx: Transaction, tenant: str, after: bytes) -> tuple[int, bytes | None]:
    """Erases the next bodies by hash; returns how many, and where to continue: None at the end."""
    rows = tx.database.fetch_all(
        "SELECT hash FROM bodies WHERE tenant = (SELECT id FROM tenants WHERE name = ?) AND hash > ? "
        "AND data IS NOT NULL ORDER BY hash LIMIT ?",
        (tenant, after, BODIES),
    )
    count = erase_bodies(tx, tenant, [Ref(bytes(row[0]).hex()) for row in rows])
    return count, rows[-1][0] if len(rows) == BODIES else None


def rebuild_words(tx: Transaction) -> None:
    """Rebuilds the index of words from the live entries. Removed words stay in the file until FTS5 merges their
    segments. FTS5 can overwrite them with each removal (`secure-delete`), but a merge into a memory of 70,000 writes
    then took 1.6 times as long. So the index is rebuilt only when something is erased.
    """
    tx.database.run("INSERT INTO memory_search(memory_search) VALUES ('rebuild')")
    tx.wrote = True


def _forget_words(tx: Transaction, tenant: str, refs: Sequence[str]) -> None:
    """Removes entries of memory from the search index, if their key or their value is erased."""
    key, hashes = tx.find_tenant_id(tenant), json.dumps(refs)
    numbers = [row[0] for row in tx.database.fetch_all(_OF_BODIES, (key, hashes))]
    tx.words.remove(numbers)
    tx.database.run(_FORGET_KEYS, (hashes, key))


def erase_bodies(tx: Transaction, tenant: str, refs: Sequence[Ref]) -> int:
    """Erases bodies, records a note of it, and removes their words from the index; returns how many bodies were
    erased.
    """
    rows = tx.database.fetch_all(
        "SELECT id, lower(hex(hash)) FROM bodies WHERE data IS NOT NULL AND tenant = "
        "(SELECT id FROM tenants WHERE name = ?) AND hash IN (SELECT unhex(value) FROM json_each(?))",
        (tenant, json.dumps(list(refs))),
    )
    if rows:
        _forget_words(tx, tenant, [row[1] for row in rows])
        tx.database.run_many("UPDATE bodies SET data = NULL WHERE id = ?", [row[:1] for row in rows])
        note = Note(
            what="erased", at=tx.now, tenant=tenant, bodies=len(rows), refs=tuple(row[1] for row in rows)
        )
        tx.add_own_entry(Box.NOTES, _encode([note]))
    return len(rows)
