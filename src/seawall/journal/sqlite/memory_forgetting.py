"""Forgetting a person: erases what they asked, what they were answered and what was remembered of them, from every file
of the journal.

First the bodies are erased, then the rows that refer to them are removed, and then the runs are pruned. Each step can
be repeated, so if a crash interrupts it, forgetting the person once more finishes the work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import Misused
from seawall.journal.protocol import EffectRecord, Fact, Forgotten, Proposal
from seawall.journal.sqlite.access import FileAccess
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.effect_rows import (
    SELECT_EFFECT,
    SELECT_FACT,
    SELECT_PROPOSAL,
    decode_effect,
    decode_fact,
    decode_proposal,
    encode_effect,
    encode_proposal,
    list_effect_refs,
    list_proposal_refs,
)
from seawall.journal.sqlite.memory_changes import MemoryDraft
from seawall.journal.sqlite.memory_collecting import delete_entry, list_hashes
from seawall.journal.sqlite.memory_reading import find_tenant, list_derived, list_of_subject
from seawall.journal.sqlite.memory_rows import (
    AS_STORED,
    SELECT_CONFLICT,
    StoredConflict,
    StoredEntry,
    decode_conflict,
)
from seawall.journal.sqlite.memory_shown import Shown
from seawall.journal.sqlite.migrations import PRINCIPAL
from seawall.journal.sqlite.references import PrunePlan, References
from seawall.journal.sqlite.retention import BODIES, erase_bodies, prune_chunk, rebuild_words, shrink
from seawall.journal.sqlite.transaction import Transaction

T = TypeVar("T")

ROWS = 500
"""Records that are changed in one transaction."""
_RUNS = f"""
SELECT r.rk, r.run, r.ended_at FROM entries p INDEXED BY entries_by_principal CROSS JOIN runs r ON r.rk = p.rk
WHERE p.box = 0 AND p.seq = 0 AND {PRINCIPAL.replace("data", "p.data")} = ? AND r.tenant = ? ORDER BY r.rk
"""
_UNDOINGS = """
SELECT r.rk, r.run, r.ended_at FROM json_each(?) AS wanted
CROSS JOIN runs r ON r.tenant = ? AND r.request_id >= 'undo:' || wanted.value
AND r.request_id < 'undo:' || wanted.value || ';'
CROSS JOIN entries p ON p.rk = r.rk AND p.box = 0 AND p.seq = 0
"""
"""Their request ids are `undo:EFFECT` and `undo:EFFECT:RUN`; `;` comes after `:`."""


class _Person:
    """The records of one person that are in the journal now."""

    def __init__(self, tenant: str, subject: str) -> None:
        self.tenant = tenant
        self.subject = subject
        self.key = -1
        self.runs: dict[int, str] = {}
        """The person's runs that were not pruned, by key, and those that undo the person's effects."""
        self.running: list[str] = []
        """The person's runs that have not ended, and such runs of others that were shown the person's texts."""
        self.entries: list[StoredEntry] = []
        self.effects: list[tuple[Row, EffectRecord]] = []
        self.proposals: list[tuple[Row, Proposal]] = []
        self.facts: list[tuple[Row, Fact]] = []
        self.conflicts: list[tuple[Row, StoredConflict]] = []
        self.derived: list[int] = []
        """Entries of others that took a value from the person's entries."""
        self.shown = Shown()

    def read(self, database: Database) -> None:
        """Reads all records of the person, in one snapshot."""
        key = find_tenant(database, self.tenant)
        if key is None:
            return
        self.key = key
        runs = database.fetch_all(_RUNS, (self.subject, key))
        self.runs = {rk: run for rk, run, _ in runs}
        self._read_effects(database)
        runs += database.fetch_all(_UNDOINGS, (json.dumps([effect.id for _, effect in self.effects]), key))
        self.runs |= {rk: run for rk, run, _ in runs}
        self.running = [run for _, run, ended_at in runs if ended_at is None]
        self.entries = list_of_subject(database, self.tenant, self.subject)
        self._read_records(database)
        numbers = {stored.entry.number for stored in self.entries}
        self.derived = list_derived(database, numbers, self.runs.values())
        self.shown.read(database, key, self.runs, numbers)
        self.running = [*dict.fromkeys((*self.running, *self.shown.running))]

    def _read_effects(self, database: Database) -> None:
        """Reads the person's effects and what has undone them, which has their arguments and receipts."""
        names = {*self.runs.values()}
        undoings: dict[str, list[tuple[Row, EffectRecord]]] = {}
        for row in database.fetch_all(f"{SELECT_EFFECT} WHERE e.tenant = ?", (self.key,)):
            effect = decode_effect(row)
            if effect.principal == self.subject or effect.run in names:
                self.effects.append((row[3:], effect))
            elif effect.undoes:
                undoings.setdefault(effect.undoes, []).append((row[3:], effect))
        for _, effect in self.effects:  # it grows: what undoes may be undone, too
            self.effects += undoings.pop(effect.id, [])

    def _read_records(self, database: Database) -> None:
        names = {*self.runs.values(), *(effect.run for _, effect in self.effects)}
        where = (self.key,)
        for row in database.fetch_all(f"{SELECT_PROPOSAL} WHERE e.tenant = ?", where):
            proposal = decode_proposal(row)
            if proposal.requester == self.subject or proposal.run in names:
                self.proposals.append((row[3:], proposal))
        effects = {effect.id for _, effect in self.effects}
        for row in database.fetch_all(f"{SELECT_FACT} WHERE e.tenant = ?", where):
            _, _, fact = decode_fact(row)
            if fact.run in names or fact.effect in effects:
                self.facts.append((row[3:], fact))
        for row in database.fetch_all(f"{SELECT_CONFLICT} WHERE e.tenant = ?", where):
            stored = decode_conflict(row)
            theirs = stored.principal == self.subject or stored.conflict.run in names
            if theirs or stored.conflict.scope == f"subject:{self.subject}":
                self.conflicts.append((row[AS_STORED:], stored))

    def list_refs(self) -> list[Ref]:
        """Returns the bodies that the person's records and entries refer to."""
        refs = [ref for _, effect in self.effects for ref in (*list_effect_refs(effect), effect.arguments)]
        refs += [ref for _, proposal in self.proposals for ref in list_proposal_refs(proposal)]
        refs += [fact.text for _, fact in self.facts]
        refs += [ref for _, each in self.conflicts for ref in (each.conflict.key, each.conflict.ours)]
        return [*dict.fromkeys(ref for ref in refs if ref is not None)]

    def get_records(self) -> dict[str, set[int]]:
        """Returns the keys of the person's records, by table."""
        return {
            "effects": {row[0] for row, _ in self.effects},
            "proposals": {row[0] for row, _ in self.proposals},
            "facts": {row[0] for row, _ in self.facts},
            "memory_conflicts": {row[0] for row, _ in self.conflicts},
            "memories": {stored.entry.number for stored in self.entries},
        }


class _Bodies:
    """The bodies of a person, and which of them records of others refer to as well."""

    def __init__(self, person: _Person) -> None:
        self._person = person
        self.plan = PrunePlan(person.key, person.get_records(), person.shown.links)
        self._theirs = References()

    def read(self, database: Database) -> list[bytes]:
        """Returns the bodies of a person, in one snapshot."""
        person = self._person
        self.plan.make(database, lambda _, tenant: sorted(person.runs))
        self._theirs.add((bytes.fromhex(ref) for ref in person.list_refs()), 0)
        entries = [stored.entry for stored in person.entries]
        self._theirs.add(list_hashes((entry.key, entry.value) for entry in entries), 0)
        self._theirs.add(person.shown.messages, 0)
        self._theirs.walk(database, person.key)
        chunks = [self.plan.pruned.list_chunk(number) for number in range(len(self.plan.chunks))]
        found = [each for chunk in (*chunks, self._theirs.list_chunk(0)) for each in chunk]
        return [*dict.fromkeys(hash_ for hash_, size in found if size is not None)]

    def close(self) -> None:
        """Drops what was read."""
        self.plan.close()
        self._theirs.close()


async def forget(access: FileAccess, tenant: str, subject: str, dry_run: bool) -> Forgotten:
    """See `Journal.forget_subject`."""
    if not subject:
        raise Misused("forget_subject needs a person; runs without one are pruned or erased")
    person = _Person(tenant, subject)
    await access.read(person.read)
    found = Forgotten(
        entries=len(person.entries),
        runs=len(person.runs),
        derived=tuple(person.derived),
        running=tuple(sorted(person.running)),
    )
    if person.key < 0 or person.running:
        return found
    bodies = _Bodies(person)
    try:
        theirs = await access.read(bodies.read)
        mine = await access.read(lambda _: [each for each in theirs if not bodies.plan.kept.has(each)])
        erased = len(mine)
        if not dry_run:
            erased = await _erase(access, bodies, tenant, mine)
            shown = [bytes.fromhex(ref) for ref in dict.fromkeys(person.shown.texts)]
            erased += await _erase(access, None, tenant, shown)
            await _remove_records(access, person)
            bodies.plan.kept.keep(bytes.fromhex(ref) for ref in person.list_refs())  # those of effects
            bodies.plan.kept.keep(person.shown.messages)  # and those of conversations
            for number in range(len(bodies.plan.chunks)):
                await access.write(lambda tx, number=number: prune_chunk(tx, bodies.plan, number))
    finally:
        bodies.close()
    if not dry_run:
        await access.write(rebuild_words)
        await shrink(access)
    return replace(found, bodies=erased, kept=len(theirs) - len(mine))


async def _erase(access: FileAccess, bodies: _Bodies | None, tenant: str, hashes: Sequence[bytes]) -> int:
    """Erases bodies; with `bodies`, only those that no record of others refers to at this moment."""

    def erase(tx: Transaction, part: Sequence[bytes]) -> int:
        if bodies is not None:
            bodies.plan.kept.catch_up(tx.database)
            part = [hash_ for hash_ in part if not bodies.plan.kept.has(hash_)]
        return erase_bodies(tx, tenant, [Ref(hash_.hex()) for hash_ in part])

    erased = 0
    for part in _cut(hashes, BODIES):
        erased += await access.write(lambda tx, part=part: erase(tx, part))
    return erased


async def _remove_records(access: FileAccess, person: _Person) -> None:
    for part in _cut(person.entries, ROWS):
        await access.write(lambda tx, part=part: _remove_entries(tx, person.tenant, part))
    for part in _cut(person.effects, ROWS):
        await access.write(lambda tx, part=part: _blank_effects(tx, part))
    for part in _cut(person.proposals, ROWS):
        await access.write(lambda tx, part=part: _blank_proposals(tx, part))
    await access.write(lambda tx: _delete(tx, "facts", [row for row, _ in person.facts]))
    await access.write(lambda tx: _delete(tx, "memory_conflicts", [row for row, _ in person.conflicts]))


def _remove_entries(tx: Transaction, tenant: str, entries: Sequence[StoredEntry]) -> None:
    draft = MemoryDraft(tx=tx, tenant=tenant, origin="forget")
    removed: dict[str, int] = {}
    for stored in draft.find_numbered(stored.entry.number for stored in entries):
        delete_entry(tx, stored, keeps_floor=True)
        live = stored.entry.died is None
        removed[stored.entry.scope] = removed.get(stored.entry.scope, 0) + int(live)
    for scope, count in removed.items():
        if count:
            draft.open_scope(scope).removed = count
    draft.finish()


def _blank_effects(tx: Transaction, effects: Iterable[tuple[Row, EffectRecord]]) -> None:
    """Removes people's texts from effects. The identities of the effects stay, so that each still happens at most
    once.
    """
    for row, effect in effects:
        _put(tx, "effects", row, encode_effect(row[0], row[4], replace(effect, reason="")))


def _blank_proposals(tx: Transaction, proposals: Iterable[tuple[Row, Proposal]]) -> None:
    for row, proposal in proposals:
        reasons = tuple(replace(each, reason="", limit=None, value=None) for each in proposal.reasons)
        votes = tuple(replace(vote, reason="") for vote in proposal.votes)
        blank = replace(proposal, reasons=reasons, votes=votes, flags=())
        _put(tx, "proposals", row, encode_proposal(row[0], row[2], blank))


def _put(tx: Transaction, table: str, old: Row, new: Row) -> None:
    """Changes a row, unless it was changed meanwhile. The next call of `forget` then changes it."""
    if new != old and _is_as_read(tx, table, old):
        tx.tables[table].put(old, new)
        tx.wrote = True


def _delete(tx: Transaction, table: str, rows: Iterable[Row]) -> None:
    for row in rows:
        if _is_as_read(tx, table, row):
            tx.tables[table].delete(row)
            tx.wrote = True


_SELECTS = {
    "effects": f"{SELECT_EFFECT} WHERE e.pk = ?",
    "proposals": f"{SELECT_PROPOSAL} WHERE e.pk = ?",
    "facts": f"{SELECT_FACT} WHERE e.number = ?",
    "memory_conflicts": f"{SELECT_CONFLICT} WHERE e.number = ?",
}


def _is_as_read(tx: Transaction, table: str, row: Row) -> bool:
    found = tx.database.fetch_first(_SELECTS[table], (row[0],))
    return found is not None and found[AS_STORED:] == row


def _cut(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
