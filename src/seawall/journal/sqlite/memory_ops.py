"""The writer's operations on memory. The rules decide; the operations load the records and store the results, inside
the writer's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import Misused, Refused
from seawall.journal.memory_rules import has_expired, judge_write, renew_expiry
from seawall.journal.protocol import MemoryConflict, MemoryPlan, MemoryVersion, MemoryWrite
from seawall.journal.sqlite.database import Row
from seawall.journal.sqlite.memory_changes import MemoryDraft
from seawall.journal.sqlite.memory_merge import make_entry, write_entry
from seawall.journal.sqlite.memory_reading import (
    check_readable,
    find_last_reviewed,
    has_scope,
    iterate_scope,
    plan_revert,
)
from seawall.journal.sqlite.memory_rows import (
    AS_STORED,
    SELECT_CONFLICT,
    StoredConflict,
    StoredEntry,
    decode_conflict,
    encode_conflict,
)
from seawall.journal.sqlite.ops import Bodies, QueuedOp
from seawall.journal.sqlite.transaction import Transaction


class ResolveConflictOp(QueuedOp):
    """Ends a conflict."""

    __slots__ = ("by", "number", "ours")

    def __init__(self, number: int, ours: bool, by: str) -> None:
        super().__init__()
        self.number = number
        self.ours = ours
        self.by = by

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        row = _read_conflict(tx, self.number)
        if row is None:
            raise Misused(f"memory conflict {self.number} is not in the journal")
        stored = decode_conflict(row)
        conflict = stored.conflict
        if conflict.state != "open":
            raise Misused(
                f"memory conflict {self.number} was resolved by {conflict.resolved_by or 'somebody'} already"
            )
        if self.ours:
            draft = MemoryDraft(
                tx=tx,
                tenant=conflict.tenant,
                origin="resolve",
                run=conflict.run,
                by=self.by,
                about=str(conflict.number),
            )
            live = draft.find_live(conflict.scope, conflict.key)
            entry = make_entry(replace(stored.write, at=0.0), tx.sure_now, conflict.run, stored.principal)
            flagged = _rests_on_reverted(draft, stored)
            write_entry(draft, stored.write, replace(entry, reviewed=stored.reviewed), live, flagged=flagged)
            draft.finish()
        self.result = _end_conflict(tx, row, self.by)


def _read_conflict(tx: Transaction, number: int) -> Row | None:
    return tx.database.fetch_first(f"{SELECT_CONFLICT} WHERE e.number = ?", (number,))


def _end_conflict(tx: Transaction, row: Row, by: str) -> MemoryConflict:
    """Stores a conflict as resolved, and returns it."""
    stored = decode_conflict(row)
    resolved = replace(stored.conflict, state="resolved", resolved_by=by)
    new = encode_conflict(row[AS_STORED + 1], replace(stored, conflict=resolved))
    tx.tables["memory_conflicts"].put(row[AS_STORED:], new)
    tx.wrote = True
    return resolved


def _rests_on_reverted(draft: MemoryDraft, stored: StoredConflict) -> bool:
    """Returns whether the run of a conflict had read a reverted entry, or its value was made of one."""
    sources = draft.find_numbered(cause.entry for cause in stored.write.causes if cause.entry)
    return stored.conflict.why == "reverted" or any(each.reverted is not None for each in sources)


class RollbackOp(QueuedOp):
    """Makes a scope equal to an old version."""

    __slots__ = ("by", "dry_run", "scope", "tenant", "version")

    def __init__(self, tenant: str, scope: str, version: int | None, by: str, dry_run: bool) -> None:
        super().__init__()
        self.tenant = tenant
        self.scope = scope
        self.version = version
        self.by = by
        self.dry_run = dry_run

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        tenant = tx.find_tenant_id(self.tenant)
        if not has_scope(tx.database, tenant, self.scope):
            raise Misused(f"the memory of tenant {self.tenant!r} has no scope {self.scope!r}")
        version = self.version
        if version is None:
            version = find_last_reviewed(tx.database, tenant, self.scope)
            if version is None:
                raise Misused(f"scope {self.scope}: no version of it has passed review")
        check_readable(tx.database, tenant, self.scope, version)
        draft = MemoryDraft(tx=tx, tenant=self.tenant, origin="rollback", by=self.by, about=str(version))
        held = [*iterate_scope(tx.database, tenant, self.scope, version)]
        old = self._list_sane(draft, held)
        now = {each.entry.key: each for each in iterate_scope(tx.database, tenant, self.scope, None)}
        gone = [now[key] for key in now.keys() - old.keys()]
        differ = [key for key, stored in old.items() if key not in now or now[key].entry != stored.entry]
        reverted = sum(stored.reverted is not None for stored in held)
        if self.dry_run:
            self.result = MemoryVersion(
                version=0,
                tenant=self.tenant,
                scope=self.scope,
                at=tx.sure_now,
                origin="rollback",
                by=self.by,
                written=len(differ),
                removed=len(gone),
                about=str(version),
                reverted=reverted,
            )
            return
        draft.open_scope(self.scope)
        for stored in sorted(gone, key=lambda stored: stored.entry.number):
            draft.remove(stored)
        for key in sorted(differ, key=lambda key: old[key].entry.number):
            # the live entry may be a forgotten one
            draft.put_copy(old[key], draft.find_live(self.scope, key))
        (made,) = draft.finish()
        self.result = replace(made, reverted=reverted)

    def _list_sane(self, draft: MemoryDraft, held: Iterable[StoredEntry]) -> dict[Ref, StoredEntry]:
        """Returns the entries that the scope shall hold, by key, without expired entries and without entries that were
        reverted since.
        """
        now = draft.tx.sure_now
        found = (each if each.reverted is None else _find_sane(draft, each, set(), now) for each in held)
        return {
            each.entry.key: each for each in found if each is not None and not has_expired(each.entry, now)
        }


class ApplyRevertOp(QueuedOp):
    """Removes and flags the entries of a plan."""

    __slots__ = ("by", "revert")

    def __init__(self, plan: MemoryPlan, by: str) -> None:
        super().__init__()
        self.revert = plan
        self.by = by

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        plan = self.revert
        now = plan_revert(tx.database, plan.run, plan.step, plan.seeds, exposed=plan.with_exposed)
        new = {*now.removes} - {*plan.removes} | {*now.flags} - {*plan.flags}
        conflicts = {*now.conflicts} - {*plan.conflicts}
        if new or conflicts or {*now.answers} - {*plan.answers}:
            what = f"entry {min(new)}" if new else f"conflict {min(conflicts)}" if conflicts else "an answer"
            raise Refused(
                f"more descends from step {plan.step} of run {plan.run} than the plan says: {what}; make a new plan",
                guard="memory",
                limit=len(plan.removes),
                value=len(now.removes),
            )
        drafts: dict[str, MemoryDraft] = {}
        loader = MemoryDraft(tx=tx, tenant="", origin="revert")
        removes = loader.find_numbered(now.removes)
        flags = loader.find_numbered(now.flags)
        for stored in (*removes, *flags):
            tenant = stored.entry.tenant
            drafts.setdefault(
                tenant,
                MemoryDraft(
                    tx=tx,
                    tenant=tenant,
                    origin="revert",
                    run=plan.run,
                    by=self.by,
                    about=f"{plan.run}:{plan.step}",
                ),
            )
        gone, exposed = {*now.removes}, {*now.flags}
        for stored in removes:
            draft = drafts[stored.entry.tenant]
            was_live = stored.entry.died is None and not stored.entry.quarantined
            draft.remove(stored, reverted=True)
            before = _find_sane(draft, stored, gone, tx.sure_now) if was_live else None
            if before is not None:
                draft.put_copy(before, None, flagged=before.entry.number in exposed)
        for stored in flags:
            drafts[stored.entry.tenant].flag(stored)
        for row in filter(None, (_read_conflict(tx, number) for number in now.conflicts)):
            _end_conflict(tx, row, self.by)
        self.result = [version for draft in drafts.values() for version in draft.finish()]


def _find_sane(draft: MemoryDraft, stored: StoredEntry, gone: set[int], now: float) -> StoredEntry | None:
    """Returns the entry that a removed entry had replaced, if it is not removed itself; else None."""
    entry = stored.entry
    while True:
        before = draft.find_before(entry)
        if before is None or before.entry.died != entry.born:  # the earlier entry had ended before
            return None
        if before.entry.number not in gone and not before.entry.reverted:
            sane = before.entry.value is not None and not has_expired(before.entry, now)
            return before if sane else None
        entry = before.entry


class ImportMemoryOp(QueuedOp):
    """Writes entries from outside."""

    __slots__ = ("bodies", "by", "quarantined", "tenant", "writes")

    def __init__(
        self, tenant: str, writes: Sequence[MemoryWrite], bodies: Bodies, by: str, quarantined: bool
    ) -> None:
        super().__init__()
        self.tenant = tenant
        self.writes = writes
        self.bodies = bodies
        self.by = by
        self.quarantined = quarantined
        self.size = 512 * len(writes) + sum(len(body) + 64 for _, body in bodies)

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        draft = MemoryDraft(tx=tx, tenant=self.tenant, origin="import", by=self.by, given=dict(self.bodies))
        draft.check_bodies(ref for write in self.writes for ref in (write.key, write.value))
        if any(write.value is None for write in self.writes):
            raise Misused("an imported entry must have a value")
        tx.add_bodies(tx.ensure_tenant_id(self.tenant), self.bodies)
        writes = {(write.scope, write.key): write for write in self.writes}
        for write in writes.values():
            live = draft.find_live(write.scope, write.key, quarantined=self.quarantined)
            if live is not None and judge_write(write, live.entry, live.loose, tx.sure_now) == "same":
                draft.renew(live, renew_expiry(write, live.entry, tx.sure_now), write.labels)
                continue
            entry = replace(make_entry(write, tx.sure_now, "", ""), quarantined=self.quarantined, step=None)
            write_entry(draft, write, entry, live)
        self.result = draft.finish()


class AcceptMemoryOp(QueuedOp):
    """Accepts quarantined entries, so that agents are shown them."""

    __slots__ = ("by", "numbers", "tenant")

    def __init__(self, tenant: str, numbers: Sequence[int], by: str) -> None:
        super().__init__()
        self.tenant = tenant
        self.numbers = numbers
        self.by = by

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        draft = MemoryDraft(tx=tx, tenant=self.tenant, origin="accept", by=self.by)
        found = {stored.entry.number: stored for stored in draft.find_numbered(self.numbers)}
        for number in self.numbers:
            entry = found[number].entry if number in found else None
            if (
                entry is None
                or entry.tenant != self.tenant
                or not entry.quarantined
                or entry.died is not None
            ):
                raise Misused(f"entry {number} of tenant {self.tenant!r} is not in quarantine")
        for stored in found.values():
            live = draft.find_live(stored.entry.scope, stored.entry.key)
            draft.remove(stored, replaced=True)
            draft.put_copy(stored, live)
        self.result = draft.finish()
