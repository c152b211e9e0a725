"""The memory of one tenant for people: what its agents have remembered, where it came from, and how to correct it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seawall.core.canonical import Ref, check_recordable
from seawall.core.errors import Misused
from seawall.core.events import MemoryRead, RunStarted
from seawall.core.threads import start_in_thread
from seawall.journal.protocol import (
    Collected,
    Command,
    Forgotten,
    Journal,
    MemoryConflict,
    MemoryFilter,
    MemoryPlan,
    MemoryVersion,
    MemoryWrite,
)
from seawall.memory.access import check_scope
from seawall.memory.index import MemoryIndex
from seawall.run.bodies import Bodies
from seawall.run.lineage import find_seeds
from seawall.runtime.approvals import Decisions
from seawall.runtime.errands import Errands
from seawall.runtime.meaning import update_index
from seawall.runtime.memory_views import (
    ConflictItem,
    MemoryDifference,
    MemoryItem,
    build_conflicts,
    build_items,
)
from seawall.runtime.run import Run
from seawall.runtime.supervisor import Supervisor
from seawall.team.agent import Agent
from seawall.team.team import Team, as_team

MAX_KEEPS = 1_000
"""How many unaffected entries a preview of a revert lists; the others are counted."""
WRITES_AT_ONCE = 1_000
"""How many entries an import writes in one commit: some megabytes, so that runs go on meanwhile."""
MAX_CONFLICTS = 1_000_000
"""How many conflicts are searched for those of one scope, or for one number."""
KEEP_S = 30 * 86_400.0
"""Seconds for which unreferenced versions are kept by default: a month, in which people find a bad run."""


class RevertPlan:
    """What a revert would do; nothing has been done yet.

    The entries `removes` took a value from the step, `flags` were only exposed to it, and `keeps` are unaffected.
    """

    def __init__(
        self,
        memory: TenantMemory,
        plans: tuple[MemoryPlan, MemoryPlan],
        removes: Sequence[MemoryItem],
        flags: Sequence[MemoryItem],
        keeps: Sequence[MemoryItem],
    ) -> None:
        """`plans` are the plan without the exposed entries, and the plan with them."""
        self._memory, self._plans = memory, plans
        plan = plans[0]
        self.run = plan.run
        self.step = plan.step
        self.removes = tuple(removes)
        """Entries that are removed, because they, or entries that they descend from, took a value from the step."""
        self.flags = tuple(flags)
        """Entries that stay and are flagged, because their agents were shown a text that came from the step."""
        self.keeps = tuple(keeps)
        """The first `MAX_KEEPS` of the live entries of the same scopes that stay unchanged."""
        self.kept = plan.keeps
        """The number of all entries that stay unchanged."""
        self.answers = plan.answers
        """Runs whose answers took a value from the step."""
        self.exposed = plan.exposed
        """Runs whose answers were only exposed to the step."""
        self.conflicts = plan.conflicts
        """Open conflicts whose run took its value from the step. They end, and the value in memory stays."""
        self.running = plan.running
        """Runs that have not ended and have read removed entries. They are told, and their effects wait for a person."""
        self._applied: tuple[MemoryPlan, str] | None = None

    def __repr__(self) -> str:
        what = f"{len(self.removes)} removed, {len(self.flags)} flagged, {self.kept} kept"
        return f"<RevertPlan of {self.run} step {self.step}: {what}>"

    def is_within(self, seen: RevertPlan) -> bool:
        """Returns whether this plan changes nothing that the plan `seen` does not change."""
        return all(
            {*mine.removes} <= {*theirs.removes}
            and {*mine.flags} <= {*theirs.flags}
            and {*mine.conflicts} <= {*theirs.conflicts}
            for mine, theirs in zip(self._plans, seen._plans, strict=True)
        )

    async def apply(
        self, *, credential: object = None, by: str = "", exposed: bool = False
    ) -> list[MemoryVersion]:
        """Applies the plan in one commit, and returns the new versions, one for each scope. The history stays.

        With `exposed`, entries that were only exposed are removed, too. Raises `Refused` for a person who may not do it, and
        if more entries descend from the step by now; then make a new plan. Raises `Misused` while the run of the step has not
        ended, because it would merge its entries afterwards.
        """
        person = await self._memory.identify(credential, by)
        if (await self._memory.journal.row(self.run)).state != "ended":
            raise Misused(
                f"run {self.run} has not ended, and would merge what is reverted afterwards: cancel it first "
                f"(seawall cancel {self.run}); of a cancelled run nothing reaches memory"
            )
        versions = await self._memory.journal.apply_revert(self._plans[exposed], by=person)
        self._applied = self._plans[exposed], person
        return versions

    async def list_affected(self) -> list[str]:
        """Returns the runs that read removed entries, or whose answers took a value from them, without the bad step's run."""
        return await self._memory.list_affected(self._plans[0])

    async def rerun(self, teams: Sequence[Team | Agent] = ()) -> list[Run]:
        """Starts the requests of the affected runs again, each as a new run, after the plan was applied.

        The new runs read the current memory and have the same sessions, principals and tenants. Each of their effects waits
        for a person, because the first run may have done it. Affected runs that have not ended are cancelled. `teams` are
        the teams of these runs, if this process does not have them. Calling it again returns the same runs.
        Raises `Misused` before `apply`, and if a run's team is not known here.
        """
        if self._applied is None and (self.removes or self.flags):
            raise Misused("apply the plan first: what runs again must not read it once more")
        plan, person = self._applied or (self._plans[0], "")
        return await self._memory.start_again(plan, person, teams)


class TenantMemory:
    """The memory of one tenant. Changes make new versions, and overwrite nothing."""

    def __init__(self, supervisor: Supervisor, decisions: Decisions, errands: Errands, tenant: str) -> None:
        check_recordable(tenant=tenant)
        self._supervisor, self._decisions, self._errands = supervisor, decisions, errands
        self.tenant = tenant
        """The tenant that owns the memory."""

    def __repr__(self) -> str:
        return f"<TenantMemory of {self.tenant or 'the tenant without a name'}>"

    @property
    def journal(self) -> Journal:
        """The journal that has the memory."""
        return self._supervisor.journal

    async def identify(self, credential: object, by: str) -> str:
        """Returns the name of the person who makes a change. Raises `Refused` as for decisions."""
        if credential is None and not by and not self._decisions.authenticates:
            by = _find_user()
        return await self._decisions.identify_person(credential, by)

    # ---- reading

    async def scopes(self) -> list[tuple[str, int, int]]:
        """Returns each scope with its newest version and the number of its live entries."""
        return await self.journal.memory_scopes(self.tenant)

    async def log(
        self, *, scope: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[MemoryVersion]:
        """Returns versions, newest first. `before` is the number of the last version on the previous page."""
        _check_scope(scope)
        _check_limit(limit)
        return await self.journal.memory_log(self.tenant, scope=scope, before=before, limit=limit)

    async def show(
        self,
        *,
        scope: str | None = None,
        at: int | None = None,
        key: str | None = None,
        prefix: str | None = None,
        text: str | None = None,
        quarantined: bool = False,
        limit: int = 100,
    ) -> list[MemoryItem]:
        """Returns entries, scope by scope, the newest first in each scope.

        `at`: the entries of that version. `text`: only entries with these words. `quarantined`: also imported entries that
        were not accepted. Raises `Misused` for a version that was collected.
        """
        _check_scope(scope)
        if at is not None:
            await self._check_versions(at)
        found: list[MemoryItem] = []
        for each in [scope] if scope is not None else await self._list_scopes():
            wanted = MemoryFilter(
                scopes=(each,),
                at=at,
                key=key,
                prefix=prefix,
                text=text,
                quarantined=quarantined,
                limit=limit - len(found),
            )
            entries = await self.journal.memory_entries(self.tenant, wanted)
            found += await build_items(self.journal, self.tenant, entries)
            if len(found) >= limit:
                break
        return found

    async def diff(self, a: int, b: int, *, scope: str | None = None) -> list[MemoryDifference]:
        """Returns the keys that differ between two versions, in one scope or in all.

        Raises `Misused` for a version that does not exist, or that was collected.
        """
        _check_scope(scope)
        await self._check_versions(a, b)
        changed = [
            name
            for name, newest, _ in await self.journal.memory_scopes(self.tenant)
            if scope in (None, name) and newest > min(a, b)
        ]
        found: list[MemoryDifference] = []
        for each in changed:
            pairs = await self.journal.memory_diff(self.tenant, each, a, b)
            entries = [entry for pair in pairs for entry in pair if entry is not None]
            items = iter(await build_items(self.journal, self.tenant, entries))
            for pair in pairs:
                before, after = (None if entry is None else next(items) for entry in pair)
                shown = before or after
                assert shown is not None
                found.append(MemoryDifference(scope=each, key=shown.key, before=before, after=after))
        return found

    async def conflicts(
        self, *, scope: str | None = None, state: str | None = "open", limit: int = 100
    ) -> list[ConflictItem]:
        """Returns the oldest conflicts, in one scope or in all. `state` is `open` or `resolved`; None: both."""
        _check_scope(scope)
        _check_limit(limit)
        most = limit if scope is None else MAX_CONFLICTS
        found = await self.journal.memory_conflicts(self.tenant, state=state, limit=most)
        wanted = [each for each in found if scope in (None, each.scope)]
        return await build_conflicts(self.journal, self.tenant, wanted[:limit])

    async def export(self, subject: str, *, scope: str | None = None) -> list[MemoryItem]:
        """Returns every entry about a person (`user:7`): the entries of their scope, and those that their runs wrote.

        `scope`: only entries of this scope.
        """
        _check_scope(scope)
        found = await self.journal.export_subject(self.tenant, _check_subject(subject))
        wanted = [entry for entry in found if scope in (None, entry.scope)]
        return await build_items(self.journal, self.tenant, wanted)

    async def _check_versions(self, *versions: int) -> None:
        newest = await self.journal.memory_version()
        for version in versions:
            if not 0 <= version <= newest:
                raise Misused(f"memory has no version {version}; the newest one is {newest}")

    async def _list_scopes(self) -> list[str]:
        return [name for name, _, _ in await self.journal.memory_scopes(self.tenant)]

    # ---- corrections

    async def resolve(
        self, conflict: int, *, ours: bool, dry_run: bool = False, credential: object = None, by: str = ""
    ) -> ConflictItem:
        """Ends a conflict: with `ours` the run's value becomes a new version, otherwise the value in memory stays.

        `dry_run`: only returns the conflict. Raises `Misused` for a conflict that this tenant does not have.
        """
        person = "" if dry_run else await self.identify(credential, by)
        found = await self._find_conflict(conflict)
        if dry_run:
            return (await build_conflicts(self.journal, self.tenant, [found]))[0]
        ended = await self.journal.resolve_conflict(conflict, ours=ours, by=person)
        return (await build_conflicts(self.journal, self.tenant, [ended]))[0]

    async def _find_conflict(self, number: int) -> MemoryConflict:
        known = await self.journal.memory_conflicts(self.tenant, state=None, limit=MAX_CONFLICTS)
        found = next((each for each in known if each.number == number), None)
        if found is None:
            raise Misused(f"there is no conflict {number} in the memory of tenant {self.tenant!r}")
        return found

    async def rollback(
        self,
        *,
        scope: str,
        version: int | None = None,
        last_reviewed: bool = False,
        dry_run: bool = False,
        credential: object = None,
        by: str = "",
    ) -> MemoryVersion:
        """Makes a new version of one scope that equals an old one, and returns it; the history stays.

        Entries that were reverted since do not come back. They are replaced by the entries before them, and `reverted` counts
        them. `last_reviewed`: goes back to the newest version whose run passed review. `dry_run`: only returns what it would
        do. Raises `Misused` for a version that was collected, for a scope that never existed, and unless exactly one of
        `version` and `last_reviewed` is given.
        """
        _check_scope(scope)
        if (version is None) != last_reviewed:
            raise Misused("say where to: version=N or last_reviewed=True, and not both")
        person = "" if dry_run else await self.identify(credential, by)
        return await self.journal.rollback_memory(
            self.tenant, scope, version=version, by=person, dry_run=dry_run
        )

    async def revert(self, *, run: str, step: int) -> RevertPlan:
        """Returns the plan of what undoing a step would change in memory, over all runs. `RevertPlan.apply` does it.

        Step 0 is the request, and so the whole run. Raises `Misused` for a run of another tenant, for a run whose events were
        pruned, and for a step that the run does not have.
        """
        row = await self.journal.row(run)
        if row.tenant != self.tenant:
            raise Misused(f"run {run} is of tenant {row.tenant!r}, and this is the memory of {self.tenant!r}")
        events = await self.journal.events(run)
        if not events:
            raise Misused(
                f"run {run}: its events were pruned, and what descends from its steps is not known any more; "
                "a rollback of a scope is still possible"
            )
        seeds = await start_in_thread(lambda: find_seeds(events, step), "seawall-lineage")
        plan = await self.journal.plan_revert(run, step, seeds)
        plans = plan, await self.journal.plan_revert(run, step, seeds, exposed=True)
        removes = await self._read_numbered(plan.removes)
        flags = await self._read_numbered(plan.flags)
        gone = {*plan.removes, *plan.flags}
        keeps: list[MemoryItem] = []
        for scope in sorted({each.scope for each in (*removes, *flags)}):
            if len(keeps) < MAX_KEEPS:
                items = await self.show(scope=scope, limit=MAX_KEEPS - len(keeps) + len(gone))
                keeps += [each for each in items if each.number not in gone and each.value is not None]
        return RevertPlan(self, plans, removes, flags, keeps[:MAX_KEEPS])

    async def list_affected(self, plan: MemoryPlan) -> list[str]:
        """Returns the runs that are started again after a revert."""
        gone = {*plan.removes}
        found = dict.fromkeys((*plan.answers, *plan.running))
        for run in plan.exposed:
            events = await self.journal.events(run)
            read = {entry for event in events if isinstance(event, MemoryRead) for entry in event.entries}
            entries = await self.journal.memory_numbered(sorted(read))
            if any(entry.number in gone or entry.reverted for entry in entries):
                found[run] = None
        found.pop(plan.run, None)
        return sorted(found)

    async def start_again(self, plan: MemoryPlan, person: str, teams: Sequence[Team | Agent]) -> list[Run]:
        """Starts the requests of the runs that a revert affects again."""
        known = {team.name: team for team in map(as_team, teams)}
        wanted: list[tuple[RunStarted, Team]] = []
        for run in await self.list_affected(plan):  # check all of them before the first one is started
            started = next(iter(await self.journal.events(run)), None)
            if not isinstance(started, RunStarted) or started.fork is not None or started.errand is not None:
                continue
            team = known.get(started.team) or self._supervisor.waker.teams.get(started.team)
            team = team or self._supervisor.registry.teams.get(run)
            if team is None:
                raise Misused(
                    f"run {run}: this process does not have its team {started.team!r}; give it in teams"
                )
            wanted.append((started, team))
        why = f"step {plan.step} of run {plan.run} was reverted; its request is answered again"
        for started, _ in wanted:
            if (await self.journal.row(started.run)).state != "ended":
                await self._supervisor.cancel(started.run, Command(kind="cancel", by=person, reason=why))
        return [
            await self._errands.start_again(started, team, f"again:{plan.run}:{plan.step}:{started.run}")
            for started, team in wanted
        ]

    async def _read_numbered(self, numbers: Sequence[int]) -> list[MemoryItem]:
        return await build_items(self.journal, self.tenant, await self.journal.memory_numbered(numbers))

    async def gc(
        self, *, scope: str | None = None, older_than_s: float = KEEP_S, dry_run: bool = False
    ) -> Collected:
        """Removes expired entries, and old versions that were not referred to for `older_than_s`. What is in force stays.

        `scope`: only in this scope; by default in all.
        Versions that runs in flight read, and each scope's last reviewed version, stay.
        """
        _check_scope(scope)
        if not 0 <= older_than_s < float("inf"):
            raise Misused(f"older_than_s is {older_than_s!r}; it must be a number of seconds")
        before = self._supervisor.clock.wall_s() - older_than_s
        return await self.journal.collect_memory(self.tenant, scope=scope, before=before, dry_run=dry_run)

    async def forget(
        self, subject: str, *, dry_run: bool = False, credential: object = None, by: str = ""
    ) -> Forgotten:
        """Erases a person (`user:7`) for good: entries, runs, conversations and receipts. This can't be undone.

        `running` names the person's runs that have not ended; nothing is erased before they have ended.
        """
        if not dry_run:
            await self.identify(credential, by)
        forgotten = await self.journal.forget_subject(self.tenant, _check_subject(subject), dry_run=dry_run)
        if not dry_run:
            self._supervisor.sessions.forget()
        return forgotten

    async def update_index(self, index: MemoryIndex, *, scope: str | None = None) -> int:
        """Tells an index (`Memory.index`) the changes that it does not have. Returns how many entries were written to it.

        A `recall` does this for the scopes that it searches. Call this to fill an index before its first use, and after
        `forget`, so that the index does not keep entries of the person.
        """
        _check_scope(scope)
        scopes = [scope] if scope is not None else await self._list_scopes()
        return sum([await update_index(self.journal, self.tenant, each, index) for each in scopes])

    # ---- from outside

    async def import_lines(
        self,
        path: str | Path,
        *,
        scope: str = "tenant",
        dry_run: bool = False,
        credential: object = None,
        by: str = "",
    ) -> int:
        """Imports entries from JSON lines or from LangGraph's SQLite store, and returns how many keys the file has.

        A line is an object with `key` and `value`; `scope`, `labels` and `ttl_s` are optional. If several lines have the same
        key in one scope, the last one counts. The whole file is checked first. The entries are untrusted: no agent is shown
        them before a person accepts them, and each has the label `imported`. Raises `Misused`, which names the line, for an
        invalid file.
        """
        from seawall.runtime.memory_import import read_import  # noqa: PLC0415 -- loaded at the first import

        now = self._supervisor.clock.wall_s()
        entries = await start_in_thread(
            lambda: read_import(Path(path), scope=scope, now=now), "seawall-import"
        )
        if dry_run or not entries:
            return len(entries)
        person = await self.identify(credential, by)
        base = await self.journal.memory_version()
        for start in range(0, len(entries), WRITES_AT_ONCE):
            bodies = self._supervisor.make_bodies()
            writes: list[MemoryWrite] = []
            for entry in entries[start : start + WRITES_AT_ONCE]:
                key, value = bodies.put(entry.key), _put_value(entry.value, bodies)
                writes.append(
                    MemoryWrite(
                        scope=entry.scope,
                        key=key,
                        value=value,
                        base=base,
                        step=0,
                        labels=entry.labels,
                        ttl_s=entry.ttl_s,
                    )
                )
            await self.journal.import_memory(self.tenant, writes, bodies.take_unsaved(), by=person)
        return len(entries)

    async def accept(
        self, numbers: Sequence[int], *, credential: object = None, by: str = ""
    ) -> list[MemoryVersion]:
        """Lets agents be shown imported entries, from a new version on. They keep the label `imported`."""
        person = await self.identify(credential, by)
        return await self.journal.accept_memory(self.tenant, numbers, by=person)


def _put_value(text: str, bodies: Bodies) -> Ref:
    """Puts a value into `bodies`, without its secrets. JSON stays JSON."""
    return bodies.put_json(text) if text[:1] in ("{", "[") else bodies.put(text)


def _check_scope(scope: str | None) -> None:
    if scope is not None:
        check_scope(scope)


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise Misused(f"limit is {limit}; it must be at least 1")


def _check_subject(subject: str) -> str:
    """Returns the name of a person. `subject` may also be the name of their scope."""
    name = subject.removeprefix("subject:")
    check_recordable(subject=name)
    if not name.strip():
        raise Misused("subject is empty; it is the principal of their runs, such as user:7")
    return name


def _find_user() -> str:
    import getpass  # noqa: PLC0415 -- it is slow to load, and seldom needed

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
