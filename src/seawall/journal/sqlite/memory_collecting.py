"""Collecting memory: removes expired entries, and versions that can't be asked for any more.

An entry that died is needed by a snapshot between its birth and its death: by the snapshot of a run that has not ended,
or by the last reviewed version of its scope. When an entry is removed, the steps that it was made of stay in the
lineage of what was made of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import Event, RunTaken
from seawall.journal.memory_rules import entry_node, step_node
from seawall.journal.protocol import Collected
from seawall.journal.sqlite.access import FileAccess
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.memory_edges import leave_reads, remove_node
from seawall.journal.sqlite.memory_index import remove_key
from seawall.journal.sqlite.memory_reading import find_last_reviewed, find_version, read_numbered
from seawall.journal.sqlite.memory_rows import (
    AS_STORED,
    ENTRY_COLUMNS,
    SELECT_CONFLICT,
    SELECT_SCOPE,
    SELECT_VERSION,
    StoredEntry,
    decode_conflict,
    decode_entry,
    decode_scope,
    decode_version,
)
from seawall.journal.sqlite.references import KeptBodies
from seawall.journal.sqlite.retention import bump_generation, rebuild_words, shrink
from seawall.journal.sqlite.transaction import Transaction

ENTRIES = 200
"""Entries that are removed in one transaction: about 50 ms."""

_events: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Event])
_UNREAD = """
NOT EXISTS (SELECT 1 FROM memory_reads m JOIN runs r ON r.run = m.run AND r.ended_at IS NULL WHERE m.entry = e.number)
"""
_REVIEWED = """
coalesce((SELECT max(v.version) FROM memory_versions v
    WHERE v.tenant = e.tenant AND v.scope = e.scope AND v.reviewed), -1)
"""
_EXPIRED = f"e.tenant = ? AND e.died IS NULL AND e.expires_at IS NOT NULL AND e.expires_at <= ? AND {_UNREAD}"
_DEAD = f"""
e.tenant = ? AND e.died IS NOT NULL AND e.died <= ? AND e.died_at < ?
AND NOT (e.born <= {_REVIEWED} AND e.died > {_REVIEWED}) AND {_UNREAD}
"""
_FORGOTTEN = f"e.tenant = ? AND e.died IS NULL AND e.value IS NULL AND e.born <= ? AND e.at < ? AND {_UNREAD}"
_AMONG = f"""
SELECT {ENTRY_COLUMNS} FROM json_each(?) AS wanted CROSS JOIN memories e NOT INDEXED
LEFT JOIN tenants t ON t.id = e.tenant WHERE e.number = wanted.value AND
"""
_SNAPSHOTS = """
SELECT e.data FROM runs r INDEXED BY runs_unended CROSS JOIN entries e ON e.rk = r.rk AND e.box = 0
WHERE r.tenant = ? AND r.ended_at IS NULL AND e.data IS NOT NULL
AND instr(e.data, CAST('"type":"run_taken"' AS BLOB))
"""
_ANY = """
SELECT 1 FROM memories WHERE tenant = ?1 AND scope = ?2 AND number NOT IN (SELECT value FROM json_each(?3)) AND died IS NULL
UNION ALL
SELECT 1 FROM memories WHERE tenant = ?1 AND scope = ?2 AND number NOT IN (SELECT value FROM json_each(?3))
    AND died IS NOT NULL
LIMIT 1
"""
_NEVER = float("inf")


@dataclass
class _Plan:
    """The entries and versions of one tenant that are collected."""

    tenant: int
    scope: str | None
    """The only scope that is collected; None: all scopes."""
    before: float
    now: float
    oldest: int = 0
    """The oldest snapshot that a run in flight may need."""
    expired: list[int] = field(default_factory=list[int])
    superseded: list[int] = field(default_factory=list[int])
    conflicts: list[int] = field(default_factory=list[int])
    bodies: Counter[bytes] = field(default_factory=Counter[bytes])
    """By body: the number of references from rows that are removed."""

    def read(self, database: Database) -> None:
        """Finds the rows that may be removed."""
        self.oldest = _find_oldest_snapshot(database, self.tenant)
        self.expired = _find(database, _EXPIRED, (self.tenant, self.now))
        self.superseded = _find(database, _DEAD, (self.tenant, self.oldest, self.before))
        self.superseded += _find(database, _FORGOTTEN, (self.tenant, self.oldest, self.before))
        rows = database.fetch_all(
            f"{SELECT_CONFLICT} WHERE e.tenant = ? AND e.state = 'resolved' ORDER BY e.number", (self.tenant,)
        )
        conflicts = [decode_conflict(row).conflict for row in rows]
        conflicts = [each for each in conflicts if each.at < self.before and self.scope in (None, each.scope)]
        self.conflicts = [conflict.number for conflict in conflicts]
        self.bodies.update(list_hashes((conflict.key, conflict.ours) for conflict in conflicts))
        entries = read_numbered(database, [*self.expired, *self.superseded])
        if self.scope is not None:
            entries = [each for each in entries if each.entry.scope == self.scope]
            mine = {each.entry.number for each in entries}
            self.expired = [number for number in self.expired if number in mine]
            self.superseded = [number for number in self.superseded if number in mine]
        self.bodies.update(list_hashes((each.entry.key, each.entry.value) for each in entries))

    def list_going(self) -> dict[str, set[int]]:
        """Returns the keys of the rows that may be removed, by table."""
        return {"memories": {*self.expired, *self.superseded}, "memory_conflicts": {*self.conflicts}}


def _find(database: Database, where: str, values: Sequence[object]) -> list[int]:
    return [row[0] for row in database.fetch_all(f"SELECT e.number FROM memories e WHERE {where}", values)]


def _find_oldest_snapshot(database: Database, tenant: int) -> int:
    snapshots = [find_version(database)]
    for (data,) in database.iterate(_SNAPSHOTS, (tenant,)):
        taken = [event.memory for event in _events.decode(data) if isinstance(event, RunTaken)]
        snapshots += [version for version in taken if version]
    return min(snapshots)


async def collect(
    access: FileAccess, tenant: str | None, scope: str | None, before: float | None, dry_run: bool, now: float
) -> Collected:
    """See `Journal.collect_memory`."""
    total = Collected()
    for key in await access.read(lambda database: _list_tenants(database, tenant)):
        plan = _Plan(key, scope, _NEVER if before is None else before, now)
        await access.read(plan.read)
        kept = KeptBodies(key, plan.list_going())
        try:
            await access.read(lambda database, kept=kept: kept.read(database, ()))
            if dry_run:
                found = await access.read(lambda d, plan=plan, kept=kept: _count(d, plan, kept))
            else:
                found = await _apply(access, plan, kept)
        finally:
            kept.close()
        total = _add(total, found)
    if not dry_run and total != Collected():
        await access.write(rebuild_words)
        await shrink(access)
    return total


def _add(one: Collected, other: Collected) -> Collected:
    return Collected(**{name: getattr(one, name) + getattr(other, name) for name in one.__struct_fields__})


def _list_tenants(database: Database, tenant: str | None) -> list[int]:
    if tenant is not None:
        return [row[0] for row in database.fetch_all("SELECT id FROM tenants WHERE name = ?", (tenant,))]
    return [row[0] for row in database.fetch_all("SELECT DISTINCT tenant FROM memory_scopes")]


async def _apply(access: FileAccess, plan: _Plan, kept: KeptBodies) -> Collected:
    total = Collected()
    for name in ("expired", "superseded"):
        numbers: list[int] = getattr(plan, name)
        for start in range(0, len(numbers), ENTRIES):
            part = numbers[start : start + ENTRIES]
            found = await access.write(
                lambda tx, part=part, name=name: _remove_entries(tx, plan, kept, part, name)
            )
            total = _add(total, found)
    found = await access.write(lambda tx: _remove_conflicts(tx, plan, kept))
    total = _add(total, found)
    scopes = await access.read(lambda database: _list_scopes(database, plan))
    for start in range(0, len(scopes), ENTRIES):
        part = scopes[start : start + ENTRIES]
        found = await access.write(lambda tx, part=part: _remove_versions(tx, plan, part))
        total = _add(total, found)
    return total


def _list_scopes(database: Database, plan: _Plan) -> list[str]:
    rows = database.fetch_all("SELECT scope FROM memory_scopes WHERE tenant = ?", (plan.tenant,))
    return [scope for (scope,) in rows if plan.scope in (None, scope)]


def _remove_entries(
    tx: Transaction, plan: _Plan, kept: KeptBodies, numbers: Sequence[int], why: str
) -> Collected:
    """Removes the entries that may still be removed: that may have changed since they were found."""
    wanted = json.dumps([*numbers])
    oldest = _find_oldest_snapshot(tx.database, plan.tenant)
    if why == "expired":
        rows = tx.database.fetch_all(f"{_AMONG} {_EXPIRED}", (wanted, plan.tenant, plan.now))
    else:
        values = (wanted, plan.tenant, oldest, plan.before)
        rows = tx.database.fetch_all(f"{_AMONG} {_DEAD}", values)
        rows += tx.database.fetch_all(f"{_AMONG} {_FORGOTTEN}", values)
    entries = list(map(decode_entry, rows))
    for stored in entries:
        delete_entry(tx, stored)
    hashes = list_hashes((each.entry.key, each.entry.value) for each in entries)
    bodies, size = _delete_bodies(tx, plan, kept, hashes)
    counts = {why: len(entries)}
    return Collected(**counts, bodies=bodies, body_bytes=size)


def list_hashes(pairs: Iterable[tuple[Ref, Ref | None]]) -> list[bytes]:
    """Returns the hashes of the bodies of keys and values."""
    return [bytes.fromhex(ref) for pair in pairs for ref in pair if ref is not None]


def delete_entry(tx: Transaction, stored: StoredEntry, *, keeps_floor: bool = False) -> None:
    """Deletes the row of an entry and its place in the search index. Entries made of it still descend from the step
    that wrote it. With `keeps_floor`, versions that had the entry can still be read, without it.
    """
    entry, tenant = stored.entry, stored.row[1]
    alias = None
    if entry.run and entry.step is not None and not _is_pruned(tx.database, entry.run):
        alias = step_node(entry.run, entry.step)
    remove_node(tx, entry_node(entry.number), alias=alias)
    leave_reads(tx, entry.number)
    tx.words.remove([entry.number])
    tx.tables["memories"].delete(stored.row)
    remove_key(tx.database, tenant, entry.scope, bytes.fromhex(entry.key))
    live = entry.died is None and entry.value is not None and not entry.quarantined
    _change_scope(tx, tenant, entry.scope, floor=0 if keeps_floor else entry.died or 0, live=-int(live))
    tx.wrote = True


def _is_pruned(database: Database, run: str) -> bool:
    return bool(database.fetch_value("SELECT pruned FROM runs WHERE run = ?", (run,)))


def _change_scope(tx: Transaction, tenant: int, scope: str, *, floor: int, live: int) -> None:
    row = tx.database.fetch_first(f"{SELECT_SCOPE} WHERE e.tenant = ? AND e.scope = ?", (tenant, scope))
    if row is None:
        return
    decode_scope(row)
    old = row[AS_STORED:]
    new = (*old[:3], max(old[3], floor), old[4] + live)
    if new != old:
        tx.tables["memory_scopes"].put(old, new)


def _delete_bodies(
    tx: Transaction, plan: _Plan, kept: KeptBodies, hashes: Sequence[bytes]
) -> tuple[int, int]:
    """Deletes the bodies of removed rows once nothing refers to them any more; returns their number and their bytes."""
    kept.catch_up(tx.database)
    plan.bodies.subtract(hashes)
    gone = [hash_ for hash_ in dict.fromkeys(hashes) if plan.bodies[hash_] <= 0 and not kept.has(hash_)]
    size = sum(_measure(tx.database, plan.tenant, hash_) for hash_ in gone)
    tx.database.run_many(
        "DELETE FROM bodies WHERE tenant = ? AND hash = ?", [(plan.tenant, hash_) for hash_ in gone]
    )
    if gone:
        tx.wrote = True
        bump_generation(tx)
    return len(gone), size


def _measure(database: Database, tenant: int, hash_: bytes) -> int:
    return (
        database.fetch_value("SELECT length(data) FROM bodies WHERE tenant = ? AND hash = ?", (tenant, hash_))
        or 0
    )


def _remove_conflicts(tx: Transaction, plan: _Plan, kept: KeptBodies) -> Collected:
    rows = tx.database.fetch_all(
        f"{SELECT_CONFLICT} WHERE e.number IN (SELECT value FROM json_each(?))", (json.dumps(plan.conflicts),)
    )
    conflicts = [decode_conflict(row).conflict for row in rows]
    for row in rows:
        tx.tables["memory_conflicts"].delete(row[AS_STORED:])
        tx.wrote = True
    hashes = list_hashes((conflict.key, conflict.ours) for conflict in conflicts)
    bodies, size = _delete_bodies(tx, plan, kept, hashes)
    return Collected(superseded=len(rows), bodies=bodies, body_bytes=size)


def _remove_versions(tx: Transaction, plan: _Plan, scopes: Sequence[str]) -> Collected:
    """Removes the rows of versions that can't be asked for any more, and of scopes that are empty."""
    removed = 0
    for scope in scopes:
        found = _find_scope(tx.database, plan.tenant, scope)
        if found is None:
            continue
        row, newest, floor = found
        empty = _is_empty(tx.database, plan, scope, newest, ())
        for version in _list_gone_versions(tx.database, plan.tenant, scope, newest + 1 if empty else floor):
            tx.tables["memory_versions"].delete(version)
            removed += 1
        if empty:
            tx.tables["memory_scopes"].delete(row)
        tx.wrote = tx.wrote or bool(removed or empty)
    return Collected(versions=removed)


def _find_scope(database: Database, tenant: int, scope: str) -> tuple[Row, int, int] | None:
    """Returns the row of a scope, its newest version and its floor."""
    row = database.fetch_first(f"{SELECT_SCOPE} WHERE e.tenant = ? AND e.scope = ?", (tenant, scope))
    if row is None:
        return None
    _, _, newest, floor, _ = decode_scope(row)
    return row[AS_STORED:], newest, floor


def _is_empty(database: Database, plan: _Plan, scope: str, newest: int, going: Collection[int]) -> bool:
    """Returns whether a scope has no entry except those in `going`, and no snapshot in flight is older than its newest
    version.
    """
    values = (plan.tenant, scope, json.dumps([*going]))
    return newest <= plan.oldest and not database.fetch_all(_ANY, values)


def _list_gone_versions(database: Database, tenant: int, scope: str, floor: int) -> list[Row]:
    """Returns the rows of versions before `floor`, except for the last reviewed version, which is kept."""
    rows = database.fetch_all(
        f"{SELECT_VERSION} WHERE e.tenant = ? AND e.scope = ? AND e.version < ?", (tenant, scope, floor)
    )
    for row in rows:
        decode_version(row)
    newest = database.fetch_value(
        "SELECT max(version) FROM memory_versions WHERE tenant = ? AND scope = ?", (tenant, scope)
    )
    reviewed = find_last_reviewed(database, tenant, scope) if floor <= (newest or 0) else None
    return [row[AS_STORED:] for row in rows if row[AS_STORED] != reviewed]


def _count_versions(database: Database, plan: _Plan, entries: Sequence[StoredEntry]) -> int:
    """Counts the versions that are removed together with some entries."""
    floors: dict[str, int] = {}
    for stored in entries:
        scope, died = stored.entry.scope, stored.entry.died or 0
        floors[scope] = max(floors.get(scope, 0), died)
    going = {stored.entry.number for stored in entries}
    count = 0
    for scope in _list_scopes(database, plan):
        found = _find_scope(database, plan.tenant, scope)
        if found is not None:
            _, newest, floor = found
            empty = _is_empty(database, plan, scope, newest, going)
            floor = newest + 1 if empty else max(floor, floors.get(scope, 0))
            count += len(_list_gone_versions(database, plan.tenant, scope, floor))
    return count


def _count(database: Database, plan: _Plan, kept: KeptBodies) -> Collected:
    """Returns the counts of what would be removed."""
    entries = read_numbered(database, [*plan.expired, *plan.superseded])
    gone = [hash_ for hash_ in plan.bodies if not kept.has(hash_)]
    return Collected(
        expired=len(plan.expired),
        superseded=len(plan.superseded) + len(plan.conflicts),
        versions=_count_versions(database, plan, entries),
        bodies=len(gone),
        body_bytes=sum(_measure(database, plan.tenant, hash_) for hash_ in gone),
    )
