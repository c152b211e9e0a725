"""Memory: entries that outlive the runs that wrote them, in versions, and what each entry was made of.

A run reads one snapshot, which is a number, and writes on a branch of its own, which is a part of its fold. When it
completes, its branch is merged in the commit of its `RunEnded`. Versions count over the whole journal: what a scope was
at version 41 is what it held after the merge 41, whatever scope that merge was of. So one number is a snapshot of all
scopes. No content stands in events or in these records: keys and values are bodies, and can be erased.
"""

from __future__ import annotations

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
    """What an entry, or a run's answer, was made of: an entry, an answer, or a step of another run."""

    tie: Tie
    entry: int = 0
    """The number of an entry; 0: it is none."""
    run: str = ""
    """The run whose answer (`step` None) or whose step it is."""
    step: int | None = None


class StepLineage(msgspec.Struct, frozen=True, kw_only=True):
    """What the result of a run's step was made of, in other runs and in memory."""

    step: int
    causes: tuple[Lineage, ...]


class MemoryWrite(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry as a run's branch has it at the end; `value` None: it is forgotten."""

    scope: str
    key: Ref
    value: Ref | None
    base: int
    """The snapshot that the run saw when it wrote it: an entry that is newer is one that it never saw."""
    step: int
    agent: str = ""
    labels: tuple[str, ...] = ()
    ttl_s: float | None = None
    loose: str = ""
    """Digest of the value without what is volatile in it: an entry that is equal but for that is not written again."""
    causes: tuple[Lineage, ...] = ()


class MemoryMerge(msgspec.Struct, frozen=True, kw_only=True):
    """What a completed run merges, in the commit of its end."""

    writes: tuple[MemoryWrite, ...] = ()
    read: tuple[int, ...] = ()
    """The entries that the run has read. If one of them was reverted since, the writes are conflicts."""
    reviewed: bool = False
    answer: tuple[Lineage, ...] = ()
    """What the run's answer was made of, in other runs."""
    shown: tuple[StepLineage, ...] = ()
    """The same of results that the session's next run is shown."""
    conflicts: tuple[MemoryConflict, ...] = ()
    """The conflicts that `RunEnded` speaks of: these are kept beside. Any other one raises `MemoryConflicts`."""


class EntriesRead(msgspec.Struct, frozen=True, kw_only=True):
    """The run has read these entries: a revert finds it by them as long as it has not ended."""

    numbers: tuple[int, ...]


class MemoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of one entry."""

    number: int
    """Given by the journal, once."""
    tenant: str
    scope: str
    key: Ref
    value: Ref | None
    """None: forgotten by an agent."""
    born: int
    """The version that wrote it."""
    died: int | None = None
    """The version that put another one in its place, or removed it."""
    run: str = ""
    step: int | None = None
    agent: str = ""
    principal: str = ""
    """On whose behalf the run was: what was written for somebody goes with them."""
    labels: tuple[str, ...] = ()
    at: float = 0.0
    expires_at: float | None = None
    reviewed: bool = False
    flagged: int | None = None
    """The revert that flagged it: it was exposed to what was reverted."""
    reverted: bool = False
    """It died because it descends from what was reverted."""
    quarantined: bool = False
    """It was imported, and no agent is shown it before somebody accepts it."""


class MemoryVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One merge into one scope, or what a person did to it."""

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
    """`rollback`: the version that it is equal to. `revert`: run and step."""
    reverted: int = 0
    """Of what `rollback_memory` returns: entries of the old version that were reverted since, and do not come back."""


class MemoryConflict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run wrote a key that is newer than what it saw, or had read what was reverted since. Both versions are kept."""

    number: int = 0
    tenant: str
    scope: str
    key: Ref
    theirs: int
    """The entry that was first; 0: there is none any more."""
    ours: Ref | None
    """The value that the run wrote and that is not in memory."""
    run: str
    step: int
    at: float = 0.0
    why: Literal["newer", "reverted"] = "newer"
    state: Literal["open", "resolved"] = "open"
    resolved_by: str = ""


class MemoryConflicts(Exception):
    """A merge found conflicts that its `RunEnded` does not speak of. Nothing was written."""

    def __init__(self, conflicts: Sequence[MemoryConflict]) -> None:
        self.conflicts = tuple(conflicts)
        super().__init__(f"{len(self.conflicts)} entries are newer than what the run has seen")


class MemoryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are read."""

    scopes: tuple[str, ...]
    """Nearest first: hits of a nearer scope come first, and hide the same key of a farther one."""
    at: int | None = None
    """The snapshot; None: the newest version."""
    key: str | None = None
    prefix: str | None = None
    text: str | None = None
    """Words of key or value (FTS5: all of them, each as a prefix)."""
    quarantined: bool = False
    """Also those that nobody has accepted."""
    limit: int = 20


class MemoryChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one scope after a version: what an index outside of the journal has to take over."""

    version: int
    """The newest version of the scope."""
    anew: bool = False
    """What went since is not known any more, because it was collected or forgotten: `written` is all that holds."""
    written: tuple[MemoryEntry, ...] = ()
    """Entries that hold now and did not then, oldest first."""
    removed: tuple[int, ...] = ()
    """The numbers of entries that hold no more."""


class MemoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a revert would do: numbers of entries, and answers of runs, by what they took."""

    run: str
    step: int
    removes: tuple[int, ...] = ()
    """Entries that took a value from it."""
    flags: tuple[int, ...] = ()
    """Entries that were merely exposed to it."""
    keeps: int = 0
    """Live entries of the same scopes that have nothing to do with it."""
    answers: tuple[str, ...] = ()
    """Runs whose answers took a value from it."""
    exposed: tuple[str, ...] = ()
    """Runs whose answers were merely exposed to it."""
    conflicts: tuple[int, ...] = ()
    """Open conflicts whose run took the value from it: they end with what is there."""
    running: tuple[str, ...] = ()
    """Runs that have not ended and read what would be removed."""
    seeds: tuple[Lineage, ...] = ()
    """What it was followed from, and goes by when it is applied."""
    with_exposed: bool = False
    """Whether what was merely exposed is removed too."""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection removed, or would remove."""

    expired: int = 0
    superseded: int = 0
    versions: int = 0
    bodies: int = 0
    body_bytes: int = 0


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased of one person, or would be."""

    entries: int = 0
    runs: int = 0
    bodies: int = 0
    kept: int = 0
    """Bodies that runs of others refer to as well."""
    derived: tuple[int, ...] = ()
    """Entries that hold, were written on behalf of others, and took a value from theirs: they stay, for you to look at."""
    running: tuple[str, ...] = ()
    """Runs that have not ended, of theirs or that were shown what is theirs: nothing is erased before they have."""


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
        self, numbers: Sequence[int], since: int
    ) -> list[tuple[MemoryEntry, MemoryEntry | None]]:
        """Returns those of these entries that died after version `since`, each with what holds in its place now."""
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
        """Returns what became of a scope after a version; 0: all that holds."""
        ...

    async def memory_conflicts(
        self, tenant: str, *, state: str | None = "open", limit: int = 100
    ) -> list[MemoryConflict]:
        """Returns conflicts, oldest first."""
        ...

    async def resolve_conflict(self, number: int, *, ours: bool, by: str) -> MemoryConflict:
        """Ends a conflict: with `ours`, the run's value is written as a new version; else what is there stays.

        If the run had read what was reverted, or took the value from it, the new entry is flagged.
        """
        ...

    async def rollback_memory(
        self, tenant: str, scope: str, *, version: int | None = None, by: str = "", dry_run: bool = False
    ) -> MemoryVersion:
        """Makes a new version of a scope that is equal to an old one; None: to its last reviewed one.

        What was reverted since does not come back: in its place comes what it had replaced. Raises `Misused` for a scope
        that never was, and for a version that there is not or that has been collected.
        """
        ...

    async def plan_revert(
        self, run: str, step: int, seeds: Sequence[Lineage], *, exposed: bool = False
    ) -> MemoryPlan:
        """Follows the lineage from `seeds` over all runs: what took a value from them, and what was exposed.

        `seeds` are the entries that the step's own run wrote, and its answer, each with its tie to the step. A step of
        that run that wrote an entry stands for the entry, also when that has been collected.
        With `exposed`, what was merely exposed counts as if it had taken a value.
        """
        ...

    async def apply_revert(self, plan: MemoryPlan, *, by: str) -> list[MemoryVersion]:
        """Removes and flags what a plan says, one new version a scope, in one commit, and ends its conflicts. Raises `Refused` if what descends
        from the step is not what the plan says any more: make a new one.
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
        """Removes what expired, and versions that died before `before` (wall seconds) and are no run's snapshot in
        flight, nor a scope's last reviewed version. `scope`: only what is of this one.
        """
        ...

    async def export_subject(self, tenant: str, subject: str) -> list[MemoryEntry]:
        """Returns every entry of a person: of the scope `subject:…`, and those that were written on their behalf."""
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
        """Writes entries from outside; quarantined ones are shown to nobody before `accept_memory`."""
        ...

    async def accept_memory(
        self, tenant: str, numbers: Sequence[int], *, by: str = ""
    ) -> list[MemoryVersion]:
        """Lets agents be shown quarantined entries, from a new version on."""
        ...
