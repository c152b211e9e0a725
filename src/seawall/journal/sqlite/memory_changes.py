"""The changes that one operation of the writer makes to memory: one new version for each scope that it touches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import Misused
from seawall.journal.memory_rules import answer_node, entry_node, list_edges
from seawall.journal.protocol import Lineage, MemoryEntry, MemoryVersion, Origin
from seawall.journal.sqlite.database import Row
from seawall.journal.sqlite.effect_changes import find_next_key
from seawall.journal.sqlite.memory_edges import add_edges, find_values
from seawall.journal.sqlite.memory_index import read_body
from seawall.journal.sqlite.memory_rows import (
    SELECT_ENTRY,
    StoredEntry,
    decode_entry,
    encode_entry,
    encode_version,
)
from seawall.journal.sqlite.row_sum import check_row
from seawall.journal.sqlite.transaction import Transaction

_NEWEST = (
    f"{SELECT_ENTRY} WHERE e.tenant = ? AND e.key = ? AND e.scope = ? AND e.quarantined = 0 "
    "ORDER BY e.born DESC, e.number DESC LIMIT 1"
)
_LIVE = f"{SELECT_ENTRY} WHERE e.tenant = ? AND e.scope = ? AND e.key = ? AND e.quarantined = ? AND e.died IS NULL"
_BEFORE = (
    f"{SELECT_ENTRY} WHERE e.tenant = ? AND e.key = ? AND e.scope = ? AND e.quarantined = 0 AND e.born < ? "
    "ORDER BY e.born DESC LIMIT 1"
)
_OF_STEP = "SELECT number FROM memories WHERE run = ? AND run != '' AND step = ?"
_NUMBERED = f"{SELECT_ENTRY} WHERE e.number IN (SELECT value FROM json_each(?)) ORDER BY e.number"
_SCOPE = "SELECT leaf, tenant, scope, version, floor, live FROM memory_scopes WHERE tenant = ? AND scope = ?"


@dataclass(slots=True)
class _Scope:
    """A scope with this operation's changes."""

    name: str
    version: int
    old: Row | None
    floor: int
    live: int
    written: int = 0
    removed: int = 0


@dataclass(kw_only=True)
class MemoryDraft:
    """A change of one tenant's memory. Entries are written immediately; `finish` writes the versions at the end.
    Everything that may refuse the operation must be checked before the first change.
    """

    tx: Transaction
    tenant: str
    origin: Origin
    run: str = ""
    by: str = ""
    reviewed: bool = False
    about: str = ""
    given: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    """Bodies that this operation stores."""
    _scopes: dict[str, _Scope] = field(default_factory=dict[str, _Scope])
    _conflicts: dict[str, int] = field(default_factory=dict[str, int])
    _next: int = 0

    @property
    def key(self) -> int:
        """The tenant's key."""
        return self.tx.ensure_tenant_id(self.tenant)

    def find_newest(self, scope: str, key: Ref) -> StoredEntry | None:
        """Returns the newest entry of a key, also if it died; None if there is none."""
        tenant = self.tx.find_tenant_id(self.tenant)
        row = self.tx.database.fetch_first(_NEWEST, (tenant, bytes.fromhex(key), scope))
        return None if row is None else decode_entry(row)

    def find_live(self, scope: str, key: Ref, *, quarantined: bool = False) -> StoredEntry | None:
        """Returns the entry that holds for a key; None if there is none."""
        tenant = self.tx.find_tenant_id(self.tenant)
        row = self.tx.database.fetch_first(_LIVE, (tenant, scope, bytes.fromhex(key), int(quarantined)))
        return None if row is None else decode_entry(row)

    def find_before(self, entry: MemoryEntry) -> StoredEntry | None:
        """Returns the entry of the same key that was there before this one."""
        tenant = self.tx.find_tenant_id(self.tenant)
        row = self.tx.database.fetch_first(
            _BEFORE, (tenant, bytes.fromhex(entry.key), entry.scope, entry.born)
        )
        return None if row is None else decode_entry(row)

    def find_numbered(self, numbers: Iterable[int]) -> list[StoredEntry]:
        """Returns entries by their numbers."""
        return list(map(decode_entry, self.tx.database.fetch_all(_NUMBERED, (json.dumps([*numbers]),))))

    def find_sources(self, values: Sequence[Lineage]) -> list[StoredEntry]:
        """Returns the entries behind some sources: the entries themselves, those that a step has written, or those from
        which a run's answer took a value.
        """
        numbers = {each.entry for each in values if each.entry}
        answers: list[str] = []
        for each in values:
            if each.step is not None:
                rows = self.tx.database.fetch_all(_OF_STEP, (each.run, each.step))
                numbers.update(row[0] for row in rows)
            elif not each.entry:
                answers.append(answer_node(each.run))
        numbers |= find_values(self.tx, answers)
        return self.find_numbered(sorted(numbers)) if numbers else []

    def open_scope(self, name: str) -> _Scope:
        """Returns a scope, with the number of its new version."""
        scope = self._scopes.get(name)
        if scope is None:
            row = self.tx.database.fetch_first(_SCOPE, (self.key, name))
            if row is not None:
                check_row("memory_scopes", row[1:], row[0])
            self._next = (self._next or find_next_key(self.tx, "memory_versions") - 1) + 1
            old = None if row is None else row[1:]
            floor, live = (0, 0) if old is None else old[3:5]
            scope = self._scopes[name] = _Scope(name, self._next, old, floor, live)
        return scope

    def put(
        self,
        entry: MemoryEntry,
        old: StoredEntry | None,
        *,
        loose: str = "",
        causes: Sequence[Lineage] = (),
        flagged: bool = False,
    ) -> MemoryEntry:
        """Writes an entry as a new one, in place of `old`; this method sets its number and version."""
        scope = self.open_scope(entry.scope)
        if old is not None:
            self.remove(old, replaced=True)
        number = find_next_key(self.tx, "memories")
        mark = scope.version if flagged else entry.flagged
        new = replace(entry, number=number, tenant=self.tenant, born=scope.version, died=None, flagged=mark)
        row = encode_entry(self.key, new, loose=loose, died_at=None, reverted=None)
        self.tx.tables["memories"].put(None, row)
        add_edges(self.tx, list_edges(causes, entry_node(number)))
        self.tx.words.add(self.key, new, self.read_body(new.key), self.read_body(new.value))
        scope.written += 1
        scope.live += int(not new.quarantined and new.value is not None)
        self.tx.wrote = True
        return new

    def put_copy(self, stored: StoredEntry, old: StoredEntry | None, *, flagged: bool = False) -> MemoryEntry:
        """Writes an old entry again, with its lineage."""
        copy = replace(stored.entry, reverted=False, quarantined=False)
        causes = [Lineage(tie="value", entry=stored.entry.number)]
        return self.put(copy, old, loose=stored.loose, causes=causes, flagged=flagged)

    def remove(self, stored: StoredEntry, *, replaced: bool = False, reverted: bool = False) -> None:
        """Ends an entry, or marks an entry that has ended as reverted."""
        scope, entry = self.open_scope(stored.entry.scope), stored.entry
        died_at = stored.died_at
        if entry.died is None:
            scope.live -= int(not entry.quarantined and entry.value is not None)
            scope.removed += int(not replaced)
            died_at = self.tx.sure_now
            entry = replace(entry, died=scope.version)
            self.tx.words.remove([entry.number])
        self._replace(stored, entry, died_at, scope.version if reverted else stored.reverted)

    def flag(self, stored: StoredEntry) -> None:
        """Marks an entry as exposed to what is reverted."""
        version = self.open_scope(stored.entry.scope).version
        self._replace(stored, replace(stored.entry, flagged=version), stored.died_at, stored.reverted)

    def renew(self, stored: StoredEntry, expires_at: float | None, labels: Sequence[str]) -> None:
        """Sets another time of expiry and adds labels. This makes no new version."""
        entry = stored.entry
        new = replace(entry, expires_at=expires_at, labels=tuple(dict.fromkeys((*entry.labels, *labels))))
        if new != entry:
            self._replace(stored, new, stored.died_at, stored.reverted)

    def _replace(
        self, stored: StoredEntry, entry: MemoryEntry, died_at: float | None, reverted: int | None
    ) -> None:
        row = encode_entry(stored.row[1], entry, loose=stored.loose, died_at=died_at, reverted=reverted)
        self.tx.tables["memories"].put(stored.row, row)
        self.tx.wrote = True

    def read_body(self, ref: Ref | None) -> bytes:
        """Returns a body that this operation stores or that is in the journal; empty bytes for one that was erased."""
        if ref is not None and (found := self.given.get(bytes.fromhex(ref))) is not None:
            return found
        return read_body(self.tx.database, self.key, ref) or self.tx.find_waiting_body(self.key, ref)

    def check_bodies(self, refs: Iterable[Ref | None]) -> None:
        """Raises `Misused` if a body is neither given nor in the journal."""
        for ref in refs:
            if ref is None or bytes.fromhex(ref) in self.given:
                continue
            if not self.tx.has_body(self.tenant, bytes.fromhex(ref)):
                raise Misused(f"body {ref} is not in the journal, and was not given either")

    def count_conflict(self, scope: str) -> None:
        """Counts a conflict in the new version of a scope, if the operation makes one."""
        self._conflicts[scope] = self._conflicts.get(scope, 0) + 1

    def finish(self) -> list[MemoryVersion]:
        """Writes the versions."""
        versions: list[MemoryVersion] = []
        for scope in self._scopes.values():
            version = MemoryVersion(
                version=scope.version,
                tenant=self.tenant,
                scope=scope.name,
                at=self.tx.sure_now,
                origin=self.origin,
                run=self.run,
                by=self.by,
                reviewed=self.reviewed,
                written=scope.written,
                removed=scope.removed,
                conflicts=self._conflicts.get(scope.name, 0),
                about=self.about,
            )
            self.tx.tables["memory_versions"].put(None, encode_version(self.key, version))
            row = (self.key, scope.name, scope.version, scope.floor, scope.live)
            self.tx.tables["memory_scopes"].put(scope.old, row)
            self.tx.wrote = True
            versions.append(version)
        return versions
