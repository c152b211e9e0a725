"""The merge of a run's branch, in the commit of its end."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from seawall.journal.memory_rules import (
    answer_node,
    find_expiry,
    find_time,
    judge_write,
    list_edges,
    list_unnamed,
    make_conflict,
    renew_expiry,
    step_node,
)
from seawall.journal.protocol import MemoryConflict, MemoryConflicts, MemoryEntry, MemoryMerge, MemoryWrite
from seawall.journal.sqlite.effect_changes import find_next_key
from seawall.journal.sqlite.memory_changes import MemoryDraft
from seawall.journal.sqlite.memory_edges import add_edges
from seawall.journal.sqlite.memory_reads import note_reads
from seawall.journal.sqlite.memory_rows import StoredConflict, StoredEntry, encode_conflict
from seawall.journal.sqlite.transaction import Transaction


class MergePlan:
    """The changes of a merge, after it was checked. `find` raises `MemoryConflicts`; `write` raises nothing."""

    def __init__(
        self,
        tx: Transaction,
        tenant: str,
        run: str,
        merge: MemoryMerge,
        bodies: Sequence[tuple[bytes, bytes]],
    ) -> None:
        self._tx = tx
        self._merge = merge
        self._run = run
        self._draft = MemoryDraft(
            tx=tx, tenant=tenant, origin="run", run=run, reviewed=merge.reviewed, given=dict(bodies)
        )
        self._written: list[tuple[MemoryWrite, StoredEntry | None]] = []
        self._same: list[tuple[MemoryWrite, StoredEntry]] = []
        self._conflicts: list[tuple[MemoryWrite, MemoryConflict]] = []
        self._find()

    def _find(self) -> None:
        draft, merge, now = self._draft, self._merge, self._tx.sure_now
        draft.check_bodies(ref for write in merge.writes for ref in (write.key, write.value))
        reverted = any(stored.reverted is not None for stored in draft.find_numbered(merge.read))
        writes = {(write.scope, write.key): write for write in merge.writes}
        for write in writes.values():
            newest = draft.find_newest(write.scope, write.key)
            entry, loose = (None, "") if newest is None else (newest.entry, newest.loose)
            judged = judge_write(write, entry, loose, now)
            if judged == "same":
                if newest is not None and newest.entry.died is None and write.value is not None:
                    self._same.append((write, newest))
            elif judged == "newer" or reverted:
                why = "reverted" if reverted else "newer"
                conflict = make_conflict(write, entry, why, draft.tenant, self._run)
                self._conflicts.append((write, conflict))
            else:
                live = newest if newest is not None and newest.entry.died is None else None
                self._written.append((write, live))
        if unnamed := list_unnamed(merge, [conflict for _, conflict in self._conflicts]):
            raise MemoryConflicts(unnamed)

    def write(self, principal: str) -> None:
        """Writes the changes of the merge."""
        draft, tx, now = self._draft, self._tx, self._tx.sure_now
        for write, live in self._same:
            draft.renew(live, renew_expiry(write, live.entry, now), find_labels(draft, write))
        for write, live in self._written:
            entry = make_entry(write, now, self._run, principal)
            write_entry(draft, write, replace(entry, reviewed=self._merge.reviewed), live)
        for write, conflict in self._conflicts:
            number = find_next_key(tx, "memory_conflicts")
            stored = StoredConflict(
                conflict=replace(conflict, number=number, at=now),
                write=write,
                principal=principal,
                reviewed=self._merge.reviewed,
            )
            tx.tables["memory_conflicts"].put(None, encode_conflict(draft.key, stored))
            draft.count_conflict(write.scope)
            tx.wrote = True
        if self._merge.answer:
            add_edges(tx, list_edges(self._merge.answer, answer_node(self._run)))
        for each in self._merge.shown:
            add_edges(tx, list_edges(each.causes, step_node(self._run, each.step)))
        if self._merge.read:
            note_reads(tx, self._run, self._merge.read)
        draft.finish()


def make_entry(write: MemoryWrite, now: float, run: str, principal: str) -> MemoryEntry:
    """Returns the new entry of a write, without number and version."""
    return MemoryEntry(
        number=0,
        tenant="",
        scope=write.scope,
        key=write.key,
        value=write.value,
        born=0,
        run=run,
        step=write.step,
        agent=write.agent,
        principal=principal,
        labels=write.labels,
        at=find_time(write, now),
        expires_at=find_expiry(write, now),
    )


def write_entry(
    draft: MemoryDraft,
    write: MemoryWrite,
    entry: MemoryEntry,
    live: StoredEntry | None,
    *,
    flagged: bool = False,
) -> None:
    """Writes an entry in place of the live one, if there is one."""
    if write.value is None and live is None:
        return
    labelled = replace(entry, labels=find_labels(draft, write))
    draft.put(labelled, live, loose=write.loose, causes=write.causes, flagged=flagged)


def find_labels(draft: MemoryDraft, write: MemoryWrite) -> tuple[str, ...]:
    """Returns the labels of a write: its own, and those of all entries from which it took a value."""
    values = [cause for cause in write.causes if cause.tie == "value"]
    found = draft.find_sources(values)
    return tuple(
        dict.fromkeys((*write.labels, *(label for stored in found for label in stored.entry.labels)))
    )
