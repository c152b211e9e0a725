"""Reads memory: the entries of a snapshot, searches in it, and the lineage."""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence

from seawall.core.canonical import ref_of
from seawall.core.errors import Misused
from seawall.journal.memory_rules import (
    follow_lineage,
    has_expired,
    is_entry,
    node_of,
    read_entry,
    step_node,
)
from seawall.journal.protocol import (
    Lineage,
    MemoryChanges,
    MemoryConflict,
    MemoryEntry,
    MemoryFilter,
    MemoryPlan,
    MemoryVersion,
)
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.memory_index import (
    filter_by_words,
    find_prefix,
    find_words,
    place_of,
    read_body,
)
from seawall.journal.sqlite.memory_rows import (
    AS_STORED,
    ENTRY_COLUMNS,
    SELECT_CONFLICT,
    SELECT_ENTRY,
    SELECT_SCOPE,
    SELECT_VERSION,
    StoredEntry,
    decode_conflict,
    decode_entry,
    decode_scope,
    decode_version,
)
from seawall.journal.sqlite.row_sum import check_row

_ALIVE = "e.tenant = ? AND e.scope = ? AND e.quarantined = ? AND e.died IS NULL AND e.value IS NOT NULL"
_NUMBERED = f"""
SELECT {ENTRY_COLUMNS} FROM json_each(?) AS wanted CROSS JOIN memories e ON e.number = wanted.value
LEFT JOIN tenants t ON t.id = e.tenant
"""
_DIED_SINCE = (
    f"{SELECT_ENTRY} WHERE e.tenant = ? AND e.scope = ? AND e.died > ? AND e.died IS NOT NULL "
    "AND e.born <= ? AND e.quarantined <= ? AND e.value IS NOT NULL ORDER BY e.died"
)
_AT = (
    f"{SELECT_ENTRY} WHERE e.tenant = ? AND e.key = ? AND e.scope = ? AND e.quarantined = ? AND e.born <= ? "
    "ORDER BY e.born DESC, e.number DESC LIMIT 1"
)
_LIVE = f"{SELECT_ENTRY} WHERE e.tenant = ? AND e.scope = ? AND e.key = ? AND e.quarantined = 0 AND e.died IS NULL"
_REVIEWED = "SELECT max(version) FROM memory_versions WHERE tenant = ? AND scope = ? AND reviewed"
_OPEN = f"{SELECT_CONFLICT} WHERE e.tenant = ? AND e.state = 'open'"
_LEFT_BY = "SELECT DISTINCT source FROM memory_edges WHERE source >= ? AND source < ?"
_EDGES = """
SELECT e.leaf, e.source, e.target, e.value FROM json_each(?) AS wanted
CROSS JOIN memory_edges e ON e.source = wanted.value
"""
_READERS = """
SELECT DISTINCT m.run FROM json_each(?) AS wanted
CROSS JOIN memory_reads m ON m.entry = wanted.value
CROSS JOIN runs r ON r.run = m.run AND r.ended_at IS NULL ORDER BY m.run
"""
_GONE_SINCE = "SELECT number FROM memories WHERE tenant = ? AND scope = ? AND died > ? AND died IS NOT NULL ORDER BY died"
_VERSIONS_FROM = "SELECT version, origin FROM memory_versions WHERE tenant = ? AND scope = ? AND version >= ? ORDER BY version"
_READ_BY = """
SELECT m.leaf, m.run, m.entry FROM json_each(?) AS wanted CROSS JOIN memory_reads m ON m.run = wanted.value
"""
_WRITTEN_BY = (
    SELECT_ENTRY.replace(
        "FROM memories e", "FROM json_each(?) AS wanted CROSS JOIN memories e ON e.run = wanted.value"
    )
    + " WHERE e.run != ''"
)
PAGE = 64
"""Rows of a list that are read in one go."""
_END = 1 << 62


def find_version(database: Database) -> int:
    """Returns the newest version."""
    found = database.fetch_value("SELECT seq FROM sqlite_sequence WHERE name = 'memory_versions'")
    return found or 0


def find_tenant(database: Database, tenant: str) -> int | None:
    """Returns the key of a tenant."""
    return database.fetch_value("SELECT id FROM tenants WHERE name = ?", (tenant,))


def find_last_reviewed(database: Database, tenant: int | None, scope: str) -> int | None:
    """Returns the newest version of a scope that has passed review."""
    return database.fetch_value(_REVIEWED, (tenant, scope))


def _read_scope(database: Database, tenant: int | None, scope: str) -> Row | None:
    return database.fetch_first(f"{SELECT_SCOPE} WHERE e.tenant = ? AND e.scope = ?", (tenant, scope))


def has_scope(database: Database, tenant: int | None, scope: str) -> bool:
    """Returns whether a scope has a version."""
    return _read_scope(database, tenant, scope) is not None


def check_readable(database: Database, tenant: int | None, scope: str, version: int) -> None:
    """Raises `Misused` for a version of a scope that has been collected, or that does not exist yet."""
    newest = find_version(database)
    if not 0 <= version <= newest:
        raise Misused(f"memory has no version {version}; the newest one is {newest}")
    row = _read_scope(database, tenant, scope)
    floor = 0 if row is None else decode_scope(row)[3]
    if version < floor and version != find_last_reviewed(database, tenant, scope):
        raise Misused(
            f"scope {scope}: version {version} has been collected; versions are kept from {floor} on"
        )


def iterate_scope(
    database: Database, tenant: int | None, scope: str, at: int | None, *, quarantined: bool = False
) -> Iterator[StoredEntry]:
    """Yields the entries of a scope at a snapshot, newest first, expired ones included."""
    version = _END if at is None else at
    dead: list[StoredEntry] = []
    if at is not None:
        rows = database.fetch_all(_DIED_SINCE, (tenant, scope, at, at, int(quarantined)))
        dead = sorted(map(decode_entry, rows), key=_by_number)
    lists = [_iterate_live(database, tenant, scope, mode) for mode in range(1 + quarantined)]
    lists.append(iter(dead))
    for stored in _merge(lists):
        if stored.entry.born <= version:
            yield stored


def _by_number(stored: StoredEntry) -> int:
    return -stored.entry.number


def _merge(lists: Iterable[Iterator[StoredEntry]]) -> Iterator[StoredEntry]:
    return heapq.merge(*lists, key=_by_number)


def _iterate_live(
    database: Database, tenant: int | None, scope: str, quarantined: int
) -> Iterator[StoredEntry]:
    last = _END
    while True:
        rows = database.fetch_all(
            f"{SELECT_ENTRY} WHERE {_ALIVE} AND e.number < ? ORDER BY e.number DESC LIMIT ?",
            (tenant, scope, quarantined, last, PAGE),
        )
        yield from map(decode_entry, rows)
        if len(rows) < PAGE:
            return
        last = rows[-1][AS_STORED]


def find_at(
    database: Database, tenant: int | None, scope: str, key: bytes, at: int | None, quarantined: int = 0
) -> StoredEntry | None:
    """Returns the entry of a scope for a key at a snapshot; None if there is none, or if it has been forgotten."""
    version = _END if at is None else at
    row = database.fetch_first(_AT, (tenant, key, scope, quarantined, version))
    if row is None:
        return None
    stored = decode_entry(row)
    died = stored.entry.died
    return None if stored.entry.value is None or (died is not None and died <= version) else stored


class _Search:
    """One search of a snapshot."""

    def __init__(self, database: Database, tenant: int, wanted: MemoryFilter, now: float) -> None:
        self._database = database
        self._tenant = tenant
        self._wanted = wanted
        self._now = now
        newest = find_version(database)
        self._at = None if wanted.at is None or wanted.at >= newest else wanted.at

    def find(self) -> list[MemoryEntry]:
        """Returns the entries that are found, nearest scope first."""
        found: list[MemoryEntry] = []
        wanted = self._wanted
        for place, scope in enumerate(dict.fromkeys(wanted.scopes)):
            if self._at is not None:
                check_readable(self._database, self._tenant, scope, self._at)
            nearer = wanted.scopes[:place]
            hits = (entry for entry in self._find_in(scope) if not self._is_hidden(entry, nearer))
            found += itertools.islice(hits, max(0, wanted.limit - len(found)))
        return found

    def _find_in(self, scope: str) -> Iterator[MemoryEntry]:
        for stored in self._list_candidates(scope):
            if not has_expired(stored.entry, self._now):
                yield stored.entry

    def _is_hidden(self, entry: MemoryEntry, nearer: Sequence[str]) -> bool:
        """Returns whether a nearer scope holds another value of the same key."""
        for scope in nearer:
            stored = find_at(self._database, self._tenant, scope, bytes.fromhex(entry.key), self._at)
            if stored is not None and not has_expired(stored.entry, self._now):
                return True
        return False

    def _list_candidates(self, scope: str) -> Iterable[StoredEntry]:
        wanted = self._wanted
        if wanted.key is not None:
            return self._list_keys(
                scope, [bytes.fromhex(ref_of(wanted.key.encode("utf-8", "backslashreplace")))]
            )
        keys = None
        if wanted.prefix is not None:
            keys = find_prefix(self._database, self._tenant, scope, wanted.prefix)
        if wanted.text is None:
            if keys is not None:
                return self._list_keys(scope, keys)
            return iterate_scope(
                self._database, self._tenant, scope, self._at, quarantined=wanted.quarantined
            )
        return self._list_words(scope, wanted.text, None if keys is None else {key.hex() for key in keys})

    def _list_keys(self, scope: str, keys: Iterable[bytes]) -> list[StoredEntry]:
        modes = range(1 + self._wanted.quarantined)
        found = [
            stored
            for key in keys
            for mode in modes
            if (stored := find_at(self._database, self._tenant, scope, key, self._at, mode)) is not None
        ]
        if self._wanted.text is not None:
            kept = self._filter(found, self._wanted.text)
            found = [stored for stored in found if stored.entry.number in kept]
        return sorted(found, key=_by_number)

    def _filter(self, found: Iterable[StoredEntry], text: str) -> set[int]:
        texts = [
            (
                stored.entry.number,
                read_body(self._database, self._tenant, stored.entry.key),
                read_body(self._database, self._tenant, stored.entry.value),
            )
            for stored in found
        ]
        return filter_by_words(texts, text) if texts else set()

    def _list_words(self, scope: str, text: str, keys: set[str] | None) -> Iterator[StoredEntry]:
        dead: list[StoredEntry] = []
        if self._at is not None:
            rows = self._database.fetch_all(
                _DIED_SINCE, (self._tenant, scope, self._at, self._at, int(self._wanted.quarantined))
            )
            dead = list(map(decode_entry, rows))
            kept = self._filter(dead, text)
            dead = sorted((stored for stored in dead if stored.entry.number in kept), key=_by_number)
        for stored in _merge([self._iterate_words(scope, text), iter(dead)]):
            if keys is None or stored.entry.key in keys:
                yield stored

    def _iterate_words(self, scope: str, text: str) -> Iterator[StoredEntry]:
        places = [
            place_of(self._tenant, scope, quarantined=bool(mode))
            for mode in range(1 + self._wanted.quarantined)
        ]
        version = _END if self._at is None else self._at
        for number in find_words(self._database, places, text, PAGE):
            for stored in read_numbered(self._database, [number]):
                mine = (stored.row[1], stored.entry.scope) == (self._tenant, scope)
                if mine and stored.entry.born <= version:
                    yield stored


def list_entries(database: Database, tenant: str, wanted: MemoryFilter, now: float) -> list[MemoryEntry]:
    """Returns entries as the snapshot has them."""
    key = find_tenant(database, tenant)
    return [] if key is None else _Search(database, key, wanted, now).find()


def read_numbered(database: Database, numbers: Sequence[int]) -> list[StoredEntry]:
    """Returns entries by their numbers, in that order."""
    return list(map(decode_entry, database.fetch_all(_NUMBERED, (json.dumps([*numbers]),))))


def list_numbered(database: Database, numbers: Sequence[int]) -> list[MemoryEntry]:
    """Returns entries by their numbers, in that order."""
    return [stored.entry for stored in read_numbered(database, numbers)]


def list_of_run(database: Database, run: str) -> list[MemoryEntry]:
    """Returns the entries that a run wrote."""
    rows = database.fetch_all(f"{SELECT_ENTRY} WHERE e.run = ? AND e.run != '' ORDER BY e.number", (run,))
    return [decode_entry(row).entry for row in rows]


def list_behind(database: Database, runs: Sequence[str]) -> list[tuple[str, int]]:
    """Returns which entries each of these runs has read or written."""
    wanted, behind = json.dumps([*runs]), set[tuple[str, int]]()
    for leaf, *row in database.fetch_all(_READ_BY, (wanted,)):
        check_row("memory_reads", row, leaf)
        behind.add((row[0], row[1]))
    written = (decode_entry(row).entry for row in database.fetch_all(_WRITTEN_BY, (wanted,)))
    return sorted(behind.union((entry.run, entry.number) for entry in written))


def list_changed(
    database: Database, numbers: Sequence[int], since: int, expired_after: float, now: float
) -> list[tuple[MemoryEntry, MemoryEntry | None]]:
    """Returns the entries that died or were reverted after a version, or have expired after a wall second, each with
    the entry that holds in its place.
    """
    changed: list[tuple[MemoryEntry, MemoryEntry | None]] = []
    for stored in read_numbered(database, numbers):
        entry = stored.entry
        lapsed = has_expired(entry, now) and not has_expired(entry, expired_after) and entry.died is None
        if not lapsed and max(entry.died or 0, stored.reverted or 0) <= since:
            continue
        tenant = stored.row[1]
        row = database.fetch_first(_LIVE, (tenant, entry.scope, bytes.fromhex(entry.key)))
        holds = None if row is None else decode_entry(row).entry
        changed.append((entry, None if holds is None or has_expired(holds, now) else holds))
    return changed


def list_log(
    database: Database, tenant: str, scope: str | None, before: int | None, limit: int
) -> list[MemoryVersion]:
    """Returns versions, newest first."""
    where, values = "e.tenant = ?", [find_tenant(database, tenant)]
    if scope is not None:
        where, values = f"{where} AND e.scope = ?", [*values, scope]
    rows = database.fetch_all(
        f"{SELECT_VERSION} WHERE {where} AND e.version < ? ORDER BY e.version DESC LIMIT ?",
        (*values, _END if before is None else before, limit),
    )
    return list(map(decode_version, rows))


def list_scopes(database: Database, tenant: str) -> list[tuple[str, int, int]]:
    """Returns each scope with its newest version and the number of its live entries."""
    key = find_tenant(database, tenant)
    rows: list[Row] = database.fetch_all(f"{SELECT_SCOPE} WHERE e.tenant = ? ORDER BY e.scope", (key,))
    return [(scope, version, live) for _, scope, version, _, live in map(decode_scope, rows)]


def list_differences(
    database: Database, tenant: str, scope: str, a: int, b: int
) -> list[tuple[MemoryEntry | None, MemoryEntry | None]]:
    """Returns the keys that differ between two versions of a scope."""
    key = find_tenant(database, tenant)
    sides: list[dict[str, MemoryEntry]] = []
    for version in (a, b):
        check_readable(database, key, scope, version)
        found = iterate_scope(database, key, scope, version)
        sides.append({stored.entry.key: stored.entry for stored in found})
    before, after = sides
    differ = [name for name in before | after if before.get(name) != after.get(name)]
    return [(before.get(name), after.get(name)) for name in differ]


def list_since(database: Database, tenant: str, scope: str, version: int) -> MemoryChanges:
    """Returns the changes of a scope after a version."""
    key = find_tenant(database, tenant)
    row = _read_scope(database, key, scope)
    if row is None:
        return MemoryChanges(version=0, anew=version > 0)
    _, _, newest, floor, _ = decode_scope(row)
    where = (key, scope, version)
    versions = database.fetch_all(_VERSIONS_FROM, where) if version else []
    known = version == 0 or (version >= floor and bool(versions) and versions[0][0] == version)
    anew = not known or any(origin == "forget" for _, origin in versions[1:])
    written: list[MemoryEntry] = []
    for stored in iterate_scope(database, key, scope, None):
        # the numbers of entries are in the order of their versions
        if stored.entry.born <= version and not anew:
            break
        written.append(stored.entry)
    removed = () if anew else tuple(number for (number,) in database.fetch_all(_GONE_SINCE, where))
    return MemoryChanges(version=newest, anew=anew, written=tuple(reversed(written)), removed=removed)


def list_conflicts(database: Database, tenant: str, state: str | None, limit: int) -> list[MemoryConflict]:
    """Returns conflicts, oldest first."""
    where, values = "e.tenant = ?", [find_tenant(database, tenant)]
    if state is not None:
        where, values = f"{where} AND e.state = ?", [*values, state]
    rows = database.fetch_all(f"{SELECT_CONFLICT} WHERE {where} ORDER BY e.number LIMIT ?", (*values, limit))
    return [decode_conflict(row).conflict for row in rows]


# ---- what descends from a step


def plan_revert(
    database: Database, run: str, step: int, seeds: Sequence[Lineage], *, exposed: bool
) -> MemoryPlan:
    """Returns the plan of a revert."""
    all_seeds = _add_written(database, seeds)
    values, touched = follow_lineage(all_seeds, lambda nodes: _read_edges(database, nodes), exposed=exposed)
    removes = [stored for stored in _read_nodes(database, values) if stored.reverted is None]
    flags = [
        stored
        for stored in _read_nodes(database, touched)
        if stored.entry.died is None and stored.entry.flagged is None
    ]
    live = sum(
        1
        for stored in (*removes, *flags)
        if stored.entry.died is None and stored.entry.value is not None and not stored.entry.quarantined
    )
    gone = [stored.entry.number for stored in removes]
    tenants = {stored.row[1] for stored in (*removes, *flags)}
    return MemoryPlan(
        run=run,
        step=step,
        removes=tuple(sorted(gone)),
        flags=tuple(sorted(stored.entry.number for stored in flags)),
        keeps=_count_live(database, {(each.row[1], each.entry.scope) for each in (*removes, *flags)}) - live,
        answers=_list_answers(values),
        exposed=_list_answers(touched),
        conflicts=tuple(sorted(_find_conflicts(database, run, tenants, values, exposed=exposed))),
        running=tuple(row[0] for row in database.fetch_all(_READERS, (json.dumps(gone),))),
        seeds=tuple(seeds),
        with_exposed=exposed,
    )


def _add_written(database: Database, seeds: Sequence[Lineage]) -> list[Lineage]:
    """Adds the entries that steps among the seeds have written."""
    found = list(seeds)
    for seed in seeds:
        if seed.step is None or seed.entry:
            continue
        rows = database.fetch_all(
            "SELECT number FROM memories WHERE run = ? AND run != '' AND step = ?", (seed.run, seed.step)
        )
        found += [Lineage(tie=seed.tie, entry=row[0]) for row in rows]
    return found


def _find_conflicts(
    database: Database, run: str, tenants: set[int], values: set[str], *, exposed: bool
) -> list[int]:
    """Returns the open conflicts about a value that one of these nodes wrote, or that was taken from one of them."""
    own = database.fetch_value("SELECT tenant FROM runs WHERE run = ?", (run,))
    found: list[int] = []
    for tenant in tenants if own is None else tenants | {own}:
        for row in database.fetch_all(_OPEN, (tenant,)):
            stored = decode_conflict(row)
            conflict, write = stored.conflict, stored.write
            taken = {node_of(cause) for cause in write.causes if exposed or cause.tie == "value"}
            if not values.isdisjoint(taken | {step_node(conflict.run, conflict.step)}):
                found.append(conflict.number)
    return found


def _read_edges(database: Database, nodes: Sequence[str]) -> list[tuple[str, str, bool]]:
    edges: list[tuple[str, str, bool]] = []
    for leaf, *edge in database.fetch_all(_EDGES, (json.dumps([*nodes]),)):
        check_row("memory_edges", edge, leaf)
        edges.append((edge[0], edge[1], bool(edge[2])))
    return edges


def _read_nodes(database: Database, nodes: Iterable[str]) -> list[StoredEntry]:
    return read_numbered(database, sorted(map(read_entry, filter(is_entry, nodes))))


def _list_answers(nodes: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(node[2:] for node in nodes if node.startswith("a:")))


def _count_live(database: Database, scopes: Iterable[tuple[int, str]]) -> int:
    total = 0
    for tenant, scope in scopes:
        row = _read_scope(database, tenant, scope)
        total += 0 if row is None else decode_scope(row)[4]
    return total


def list_derived(database: Database, numbers: set[int], runs: Iterable[str]) -> list[int]:
    """Returns the other live entries that took a value from these entries, or from results of these runs."""
    seeds = [Lineage(tie="value", entry=number) for number in numbers]
    nodes: list[str] = []
    for run in runs:
        seeds.append(Lineage(tie="value", run=run))
        first = step_node(run, 0)[:-1]
        nodes += [node for (node,) in database.fetch_all(_LEFT_BY, (first, first + "~"))]
    edges = _read_edges(database, nodes)
    seeds += [
        Lineage(tie="value", entry=read_entry(target))
        for _, target, value in edges
        if value and is_entry(target)
    ]
    values, _ = follow_lineage(seeds, lambda each: _read_edges(database, each), exposed=False)
    held = (stored.entry for stored in _read_nodes(database, values) if stored.entry.died is None)
    return [entry.number for entry in held if entry.value is not None and entry.number not in numbers]


def list_subject(database: Database, tenant: str, subject: str) -> list[MemoryEntry]:
    """Returns every entry of a person."""
    return [stored.entry for stored in list_of_subject(database, tenant, subject)]


def list_of_subject(database: Database, tenant: str, subject: str) -> list[StoredEntry]:
    """Returns every entry of a person: of their scope, and those that were written on their behalf."""
    key = find_tenant(database, tenant)
    rows = database.fetch_all(
        f"{SELECT_ENTRY} WHERE e.tenant = ? AND e.principal = ? AND e.principal != ''", (key, subject)
    )
    rows += database.fetch_all(
        f"{SELECT_ENTRY} WHERE e.tenant = ? AND e.scope = ? AND e.died IS NULL", (key, f"subject:{subject}")
    )
    rows += database.fetch_all(
        f"{SELECT_ENTRY} WHERE e.tenant = ? AND e.scope = ? AND e.died IS NOT NULL",
        (key, f"subject:{subject}"),
    )
    found = {stored.entry.number: stored for stored in map(decode_entry, rows)}
    return [found[number] for number in sorted(found)]
