"""Memory: entries that outlive the runs that wrote them, in versions, and what each entry was made of.

A run reads one snapshot, which is a number, and writes on a branch of its own, which is a part of its fold. When it
completes, its branch is merged in the commit of its `RunEnded`. Versions count over the whole journal: what a scope was
at version 41 is what it held after the merge 41, whatever scope that merge was of. So one number is a snapshot of all
scopes. No content stands in events or in these records: keys and values are bodies, and can be erased.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import Tie

ScopeKind = Literal["tenant", "session", "team", "subject"]


def make_scope(kind: ScopeKind, name: str = "") -> str:
    """Returns the name of a scope: `tenant`, `session:s-17`, `team:desk`, `subject:user:7`."""
    return kind if kind == "tenant" else f"{kind}:{name}"


Origin = Literal["run", "rollback", "revert", "import", "accept", "resolve", "forget", "person"]
"""What made a version."""


class Lineage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A source of an entry or of a run's answer: an entry, an answer, or a step of another run."""

    tie: Tie
    entry: int = 0
    """The number of an entry; 0: it is none."""
    run: str = ""
    """The run whose answer (`step` None) or whose step it is."""
    step: int | None = None


class StepLineage(msgspec.Struct, frozen=True, kw_only=True):
    """The sources of the result of a run's step, in other runs and in memory."""

    step: int
    causes: tuple[Lineage, ...]


class MemoryWrite(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry as a run's branch has it at the end; `value` None: it is forgotten."""

    scope: str
    key: Ref
    value: Ref | None
    base: int
    """The snapshot that the run saw when it wrote the entry: it has not seen any newer entry."""
    step: int
    agent: str = ""
    labels: tuple[str, ...] = ()
    ttl_s: float | None = None
    loose: str = ""
    """Digest of the value without its volatile parts: an entry that differs only in these is not written again."""
    causes: tuple[Lineage, ...] = ()
    at: float = 0.0
    """The wall second of the write: its run may have waited since. 0: it is written now."""


class MemoryMerge(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of memory that a completed run merges, in the commit of its end."""

    writes: tuple[MemoryWrite, ...] = ()
    read: tuple[int, ...] = ()
    """The entries that the run has read. If one of them was reverted since, the writes are conflicts."""
    reviewed: bool = False
    answer: tuple[Lineage, ...] = ()
    """The sources of the run's answer, in other runs."""
    shown: tuple[StepLineage, ...] = ()
    """The sources of the results that the session's next run is shown."""
    conflicts: tuple[MemoryConflict, ...] = ()
    """The conflicts that `RunEnded` reports: they are stored as open conflicts. Any other conflict raises
    `MemoryConflicts`."""


class EntriesRead(msgspec.Struct, frozen=True, kw_only=True):
    """The run has read these entries. A revert of one of them finds the run by this record until the run has ended."""

    numbers: tuple[int, ...]


class MemoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of one entry."""

    number: int
    """The entry's number, which the journal gives and never uses again."""
    tenant: str
    scope: str
    key: Ref
    value: Ref | None
    """None: forgotten by an agent."""
    born: int
    """The version that wrote it."""
    died: int | None = None
    """The version that replaced the entry or removed it."""
    run: str = ""
    step: int | None = None
    agent: str = ""
    principal: str = ""
    """The principal on whose behalf the run worked: the entry is erased when that principal is forgotten."""
    labels: tuple[str, ...] = ()
    at: float = 0.0
    expires_at: float | None = None
    reviewed: bool = False
    flagged: int | None = None
    """The version of the revert that flagged the entry, because the entry was exposed to what was reverted."""
    reverted: bool = False
    """Whether the entry died because it descends from what was reverted."""
    quarantined: bool = False
    """Whether the entry was imported and not accepted yet. Agents are not shown it before a person accepts it."""


class MemoryVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of a scope: a merge, or a change that a person made."""

    version: int
    tenant: str
    scope: str
    at: float
    origin: Origin
    run: str = ""
    by: str = ""
    reviewed: bool = False
    written: int = 0
    removed: int = 0
    conflicts: int = 0
    about: str = ""
    """`rollback`: the version to which the scope was set back. `revert`: run and step."""
    reverted: int = 0
    """Set in the result of `rollback_memory`: the number of entries of the old version that were reverted since, and
    are not restored."""


class MemoryConflict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run wrote a key that has changed since the snapshot that the run saw, or had read what was reverted since. Both
    values are kept.
    """

    number: int = 0
    tenant: str
    scope: str
    key: Ref
    theirs: int
    """The number of the entry that is in memory; 0: there is none any more."""
    ours: Ref | None
    """The value that the run wrote and that is not in memory."""
    run: str
    step: int
    at: float = 0.0
    why: Literal["newer", "reverted"] = "newer"
    state: Literal["open", "resolved"] = "open"
    resolved_by: str = ""


class MemoryConflicts(Exception):
    """A merge found conflicts that its `RunEnded` does not report. Nothing was written."""

    def __init__(self, conflicts: Sequence[MemoryConflict]) -> None:
        self.conflicts = tuple(conflicts)
        super().__init__(f"{len(self.conflicts)} entries are newer than what the run has seen")


class MemoryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are read."""

    scopes: tuple[str, ...]
    """The scopes that are read, nearest first: entries of a nearer scope come first, and hide entries with the same key
    in a farther scope."""
    at: int | None = None
    """The snapshot; None: the newest version."""
    key: str | None = None
    prefix: str | None = None
    text: str | None = None
    """Words of key or value (FTS5: all of them, each as a prefix)."""
    quarantined: bool = False
    """Whether quarantined entries are read as well."""
    limit: int = 20


class MemoryChanges(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of one scope after a version, for an index outside of the journal."""

    version: int
    """The newest version of the scope."""
    anew: bool = False
    """Whether the removed entries are not known any more, because they were collected or forgotten. `written` then has
    all entries that hold."""
    written: tuple[MemoryEntry, ...] = ()
    """Entries that hold now and did not hold at that version, oldest first."""
    removed: tuple[int, ...] = ()
    """The numbers of entries that hold no more."""


class MemoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a revert would do: the numbers of entries and the runs whose answers are affected."""

    run: str
    step: int
    removes: tuple[int, ...] = ()
    """Entries that took a value from the reverted step."""
    flags: tuple[int, ...] = ()
    """Entries that were only exposed to the reverted step."""
    keeps: int = 0
    """Live entries of the same scopes that do not descend from the reverted step."""
    answers: tuple[str, ...] = ()
    """Runs whose answers took a value from the reverted step."""
    exposed: tuple[str, ...] = ()
    """Runs whose answers were only exposed to the reverted step."""
    conflicts: tuple[int, ...] = ()
    """Open conflicts whose run took its value from the reverted step: they are resolved with the entry that is in
    memory."""
    running: tuple[str, ...] = ()
    """Runs that have not ended and read what would be removed."""
    seeds: tuple[Lineage, ...] = ()
    """The starting points from which the lineage was followed; `apply_revert` starts from them again."""
    with_exposed: bool = False
    """Whether entries that were only exposed are removed too."""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection removed, or would remove."""

    expired: int = 0
    superseded: int = 0
    versions: int = 0
    bodies: int = 0
    body_bytes: int = 0


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased for one person, or would be."""

    entries: int = 0
    runs: int = 0
    bodies: int = 0
    kept: int = 0
    """The number of bodies that were kept, because other people's runs refer to them as well."""
    derived: tuple[int, ...] = ()
    """Live entries that were written on behalf of others and took a value from this person's entries. They are kept; a
    person should review them."""
    running: tuple[str, ...] = ()
    """Runs that have not ended and that belong to this person, or were shown this person's texts. Nothing is erased
    before these runs have ended."""


class MemoryStore(Protocol):
    """The memory of all tenants. Merges come with `append(..., merge=...)`."""

    async def memory_version(self) -> int:
        """Returns the newest version: a snapshot of everything."""
        ...

    async def memory_entries(self, tenant: str, wanted: MemoryFilter) -> list[MemoryEntry]:
        """Returns entries as the snapshot has them: nearest scope first, then the newest. Expired ones are left out."""
        ...

    async def memory_numbered(self, numbers: Sequence[int]) -> list[MemoryEntry]:
        """Returns entries by their numbers, also those that died."""
        ...

    async def memory_of_run(self, run: str) -> list[MemoryEntry]:
        """Returns the entries that a run wrote, oldest first, also those that died."""
        ...

    async def memory_changed(
        self, numbers: Sequence[int], since: int, *, expired_after: float = math.inf
    ) -> list[tuple[MemoryEntry, MemoryEntry | None]]:
        """Returns the entries among `numbers` that died after version `since` or have expired after this wall second,
        each with the entry that holds in its place now.
        """
        ...

    async def memory_behind(self, runs: Sequence[str]) -> list[tuple[str, int]]:
        """Returns which entries each of these runs has read or written."""
        ...

    async def memory_log(
        self, tenant: str, *, scope: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[MemoryVersion]:
        """Returns versions, newest first."""
        ...

    async def memory_scopes(self, tenant: str) -> list[tuple[str, int, int]]:
        """Returns each scope with its newest version and the number of its live entries."""
        ...

    async def memory_diff(
        self, tenant: str, scope: str, a: int, b: int
    ) -> list[tuple[MemoryEntry | None, MemoryEntry | None]]:
        """Returns the keys that differ between two versions of a scope, as they were at each."""
        ...

    async def memory_since(self, tenant: str, scope: str, version: int) -> MemoryChanges:
        """Returns the changes of a scope after a version; with version 0, all entries that hold."""
        ...

    async def memory_conflicts(
        self, tenant: str, *, state: str | None = "open", limit: int = 100
    ) -> list[MemoryConflict]:
        """Returns conflicts, oldest first."""
        ...

    async def resolve_conflict(self, number: int, *, ours: bool, by: str) -> MemoryConflict:
        """Resolves a conflict: with `ours`, the run's value is written as a new version; without, the entry in memory
        stays. The new entry is flagged if the run had read what was reverted, or took the value from it.
        """
        ...

    async def rollback_memory(
        self, tenant: str, scope: str, *, version: int | None = None, by: str = "", dry_run: bool = False
    ) -> MemoryVersion:
        """Makes a new version of a scope that is equal to an old one; None: to the last reviewed one. An entry that was
        reverted since is not restored: the entry that it had replaced is restored instead. Raises `Misused` for an
        unknown scope, and for a version that does not exist or has been collected.
        """
        ...

    async def plan_revert(
        self, run: str, step: int, seeds: Sequence[Lineage], *, exposed: bool = False
    ) -> MemoryPlan:
        """Follows the lineage from `seeds` over all runs, and returns what took a value from them and what was exposed
        to them. `seeds` are the entries that the step's own run wrote, and its answer, each with its tie to the step. A
        step of that run that wrote an entry stands for the entry, even if the entry has been collected. With `exposed`,
        exposure counts as if a value had been taken.
        """
        ...

    async def apply_revert(self, plan: MemoryPlan, *, by: str) -> list[MemoryVersion]:
        """Removes and flags the entries of a plan, with one new version for each scope, and resolves the plan's
        conflicts, all in one commit. Raises `Refused` if more descends from the step than the plan says: make a new
        plan.
        """
        ...

    async def collect_memory(
        self,
        tenant: str | None = None,
        *,
        scope: str | None = None,
        before: float | None = None,
        dry_run: bool = False,
    ) -> Collected:
        """Removes expired entries, and entries that died before `before` (wall seconds) and that neither the snapshot
        of a run in flight nor a scope's last reviewed version needs. With `scope`, only entries of that scope.
        """
        ...

    async def export_subject(self, tenant: str, subject: str) -> list[MemoryEntry]:
        """Returns every entry of a person: those of the scope `subject:…`, and those that were written on the person's
        behalf.
        """
        ...

    async def forget_subject(self, tenant: str, subject: str, *, dry_run: bool = False) -> Forgotten:
        """Erases a person: entries, index, and the bodies of their runs (which are pruned), sessions and receipts."""
        ...

    async def import_memory(
        self,
        tenant: str,
        writes: Sequence[MemoryWrite],
        bodies: dict[Ref, bytes],
        *,
        by: str = "",
        quarantined: bool = True,
    ) -> list[MemoryVersion]:
        """Writes entries from outside; quarantined entries are not shown to agents before `accept_memory`."""
        ...

    async def accept_memory(
        self, tenant: str, numbers: Sequence[int], *, by: str = ""
    ) -> list[MemoryVersion]:
        """Accepts quarantined entries: agents are shown them from a new version on."""
        ...
