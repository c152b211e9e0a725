"""Random histories of memory, compared with dictionaries that are too simple to be wrong."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule
from msgspec.structs import replace

from journal.memory_story import texts, written
from journal.story import INTENT, bodies, ended, started, taken
from seawall.core.errors import Misused
from seawall.journal.protocol import (
    EntriesRead,
    Lease,
    Lineage,
    MemoryConflicts,
    MemoryFilter,
    MemoryMerge,
    Summary,
)
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ManualClock

SCOPES = ("tenant", "session:s-1", "subject:user:7")
KEYS = ("a", "b")
VALUES = ("one", "two words", '{"three": "words"}', None)
PEOPLE = ("user:7", "user:8")
Place = tuple[str, str]
"""Scope and key."""
Snapshot = dict[Place, str]
Branch = dict[Place, str | None]
Tie = Literal["value", "exposure"]
PLACES = st.tuples(st.sampled_from(SCOPES), st.sampled_from(KEYS))
BRANCHES = st.dictionaries(PLACES, st.sampled_from(VALUES), min_size=1, max_size=3)
TIES: st.SearchStrategy[Tie] = st.sampled_from(["value", "exposure"])
RECALLS = st.dictionaries(st.sampled_from(SCOPES), TIES, max_size=2)


@dataclass
class Entry:
    """An entry in the model."""

    place: Place
    value: str | None
    born: int
    person: str
    died: int | None = None
    reverted: bool = False
    flagged: bool = False


@dataclass
class Run:
    """A run in the model: its snapshot, and what it has written on its branch."""

    name: str
    lease: Lease
    person: str
    snapshot: int
    branch: Branch = field(default_factory=dict)
    read: dict[int, Tie] = field(default_factory=dict)


class MemoryMachine(RuleBasedStateMachine):
    """Runs that interleave, on a file that is reopened and collected in between."""

    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.mkdtemp()
        self.clock = ManualClock()
        self.journal = self.open()
        self.version = 0
        self.entries: dict[int, Entry] = {}
        self.edges: dict[tuple[int, int], bool] = {}
        self.changed: dict[Place, int] = {}
        self.going: dict[str, Run] = {}
        self.started = 0
        self.last = 0
        self.last_conflict = 0
        self.touched: dict[str, int] = {}
        """The scopes that an operation has given a version."""
        self.reviewed: dict[str, int] = {}
        self.floors: dict[str, int] = {}
        self.conflicts: dict[int, tuple[Place, str | None, Run, bool]] = {}
        self.past: dict[int, Snapshot] = {0: {}}

    def open(self) -> SqliteJournal:
        return SqliteJournal.open(str(Path(self.directory) / "journal.db"), clock=self.clock)

    def teardown(self) -> None:
        self.loop.run_until_complete(self.journal.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.directory)

    # ---- the model

    def live(self, place: Place) -> int | None:
        """Returns the number of what holds at a place."""
        return next(
            (n for n, each in self.entries.items() if each.place == place and each.died is None), None
        )

    def put(self, place: Place, value: str | None, version: int, person: str, **marks: bool) -> int:
        """Writes an entry in place of what holds."""
        self.remove(place, version)
        self.last += 1
        self.entries[self.last] = Entry(place, value, version, person, **marks)
        self.changed[place] = version
        return self.last

    def remove(self, place: Place, version: int) -> None:
        """Ends what holds at a place."""
        old = self.live(place)
        if old is not None:
            self.entries[old].died = version
            self.changed[place] = version

    def copy(self, number: int, version: int, *, flagged: bool = False) -> None:
        """Writes an old entry anew."""
        old = self.entries[number]
        new = self.put(old.place, old.value, version, old.person, flagged=flagged or old.flagged)
        self.edges[number, new] = True

    def see(self, scope: str | None = None) -> Snapshot:
        """Returns what holds."""
        held = [each for each in self.entries.values() if each.died is None]
        return {
            each.place: each.value
            for each in held
            if each.value is not None and scope in (None, each.place[0])
        }

    # ---- what runs do

    @rule(target=runs, person=st.sampled_from(PEOPLE))
    def begin(self, person: str) -> Run:
        return self.start(person)

    def start(self, person: str) -> Run:
        """Begins a run, which sees what holds now."""
        name = f"r-{self.started}"
        self.started += 1
        first = [replace(taken(), memory=self.version)]
        created = self.journal.create(started(name, principal=person), first, bodies(INTENT))
        run = Run(name, self.loop.run_until_complete(created), person, self.version)
        self.going[name] = run
        return run

    def find(self, scope: str, at: int) -> dict[str, int] | None:
        """Returns numbers by key, as a snapshot has them; None if that was collected. Compares the values."""
        wanted = MemoryFilter(scopes=(scope,), at=at)
        try:
            found = self.loop.run_until_complete(self.journal.memory_entries("acme", wanted))
        except Misused:
            assert at < self.floors.get(scope, 0)
            return None
        refs = [ref for each in found for ref in (each.key, each.value) if ref is not None]
        stored = self.loop.run_until_complete(self.journal.bodies("acme", refs))
        values = {stored[each.key].decode(): stored[each.value or each.key].decode() for each in found}
        expected = {place[1]: value for place, value in self.past[at].items() if place[0] == scope}
        assert values == expected, f"{scope} at {at}"
        return {stored[each.key].decode(): each.number for each in found}

    @rule(run=consumes(runs), branch=BRANCHES, recalls=RECALLS, reviewed=st.booleans())
    def complete(self, run: Run, branch: Branch, recalls: dict[str, Tie], reviewed: bool) -> None:
        self.recall(run, recalls)
        self.end(run, branch, reviewed=reviewed)

    @rule(branch=BRANCHES, recalls=RECALLS, person=st.sampled_from(PEOPLE), reviewed=st.booleans())
    def run_whole(self, branch: Branch, recalls: dict[str, Tie], person: str, reviewed: bool) -> None:
        run = self.start(person)
        self.recall(run, recalls)
        self.end(run, branch, reviewed=reviewed)

    @rule(run=runs, recalls=RECALLS)
    def look(self, run: Run, recalls: dict[str, Tie]) -> None:
        if run.name in self.going:
            self.recall(run, recalls)

    def recall(self, run: Run, recalls: dict[str, Tie]) -> None:
        """Lets a run read what some scopes hold."""
        for scope, tie in recalls.items():
            found = self.find(scope, run.snapshot)
            if found:
                self.loop.run_until_complete(self.note(run, found.values()))
                run.read |= dict.fromkeys(found.values(), tie)

    async def note(self, run: Run, numbers: Iterable[int]) -> None:
        """Records that a run has read entries."""
        await self.journal.append(run.lease, 2, [], {}, records=[EntriesRead(numbers=tuple(numbers))])

    def end(self, run: Run, branch: Branch, *, reviewed: bool) -> None:
        """Completes a run that has written these values."""
        run.branch = branch
        causes = tuple(Lineage(tie=tie, entry=number) for number, tie in run.read.items())
        writes = tuple(
            written(key, value, run.snapshot, scope=scope, causes=causes)
            for (scope, key), value in run.branch.items()
        )
        merge = MemoryMerge(writes=writes, read=tuple(run.read), reviewed=reviewed)
        contents = texts(*(key for _, key in run.branch), *run.branch.values())
        done, summary = [ended()], Summary(status="completed")
        poisoned = self.is_poisoned(run)
        expected = {place for place in run.branch if self.is_conflict(run, place, poisoned=poisoned)}
        try:
            self.loop.run_until_complete(
                self.append(run, contents, merge=merge, events=done, summary=summary)
            )
            assert expected == set()
        except MemoryConflicts as found:
            named = {(each.scope, key_of(each.key)) for each in found.conflicts}
            assert named == expected
            merge = replace(merge, conflicts=found.conflicts)
            self.loop.run_until_complete(
                self.append(run, contents, merge=merge, events=done, summary=summary)
            )
        self.going.pop(run.name)
        self.take_over(run, expected, reviewed=reviewed)

    async def append(self, run: Run, contents: object, *, events: object, **options: object) -> None:
        await self.journal.append(run.lease, 2, events, contents, **options)  # pyright: ignore[reportArgumentType] - given as they are

    def is_poisoned(self, run: Run) -> bool:
        """Returns whether a run has read what was reverted."""
        return any(number in self.entries and self.entries[number].reverted for number in run.read)

    def is_conflict(self, run: Run, place: Place, *, poisoned: bool) -> bool:
        """Returns whether a write of a run is a conflict."""
        value, number = run.branch[place], self.live(place)
        holds = None if number is None else self.entries[number].value
        if value == holds:
            return False
        return poisoned or self.changed.get(place, 0) > run.snapshot

    def take_over(self, run: Run, conflicts: set[Place], *, reviewed: bool) -> None:
        """Merges a run's branch into the model."""
        for place, value in run.branch.items():
            if place in conflicts:
                self.last_conflict += 1
                self.conflicts[self.last_conflict] = (place, value, run, self.is_poisoned(run))
                continue
            number = self.live(place)
            if value == (None if number is None else self.entries[number].value):
                continue
            if place[0] not in self.touched:
                self.version += 1
                self.touched[place[0]] = self.version
            new = self.put(place, value, self.touched[place[0]], run.person)
            self.take_causes(run, new)
        self.end_versions(reviewed=reviewed)

    def take_causes(self, run: Run, new: int) -> None:
        """Makes an entry descend from what its run has read."""
        self.edges |= {(cause, new): tie == "value" for cause, tie in run.read.items() if cause != new}

    def end_versions(self, *, reviewed: bool = False) -> None:
        """Ends an operation: all snapshots that it made are what holds now, of their own scope."""
        versions = sorted((version, scope) for scope, version in self.touched.items())
        before = self.past[min((version for version, _ in versions), default=self.version + 1) - 1]
        for version, scope in versions:
            before = {place: value for place, value in before.items() if place[0] != scope} | self.see(scope)
            self.past[version] = before
            if reviewed:
                self.reviewed[scope] = version
        self.touched.clear()

    @rule(run=consumes(runs))
    def cancel(self, run: Run) -> None:
        self.loop.run_until_complete(
            self.append(run, {}, events=[ended("cancelled")], summary=Summary(status="cancelled"))
        )
        self.going.pop(run.name)

    # ---- what people do

    @precondition(lambda self: self.conflicts)
    @rule(ours=st.booleans())
    def resolve(self, ours: bool) -> None:
        for number, (place, value, run, poisoned) in self.conflicts.items():
            conflict = self.loop.run_until_complete(
                self.journal.resolve_conflict(number, ours=ours, by="alice")
            )
            assert (conflict.scope, key_of(conflict.key)) == place
            holds = self.live(place) is not None
            if ours and (value is not None or holds):
                self.version += 1
                self.touched[place[0]] = self.version
                flagged = poisoned or self.is_poisoned(run)
                self.take_causes(run, self.put(place, value, self.version, run.person, flagged=flagged))
                self.end_versions()
        self.conflicts = {}

    @precondition(lambda self: self.version > 0)
    @rule(scope=st.sampled_from(SCOPES), back=st.integers(0, 6))
    def roll_back(self, scope: str, back: int) -> None:
        target = max(0, self.version - back)
        try:
            made = self.loop.run_until_complete(
                self.journal.rollback_memory("acme", scope, version=target, by="alice")
            )
        except Misused:
            was_there = any(entry.place[0] == scope for entry in self.entries.values())
            assert target < self.floors.get(scope, 0) or not was_there
            return
        self.version += 1
        assert made.version == self.version
        self.touched[scope] = self.version
        held = [n for n, e in self.entries.items() if e.place[0] == scope and holds_at(e, target)]
        sane = [self.find_sane(n, set()) if self.entries[n].reverted else n for n in held]
        old = {n: self.entries[n] for n in sane if n is not None}
        places = {entry.place for entry in old.values() if entry.value is not None}
        for place in [place for place in self.see(scope) if place not in places]:
            self.remove(place, self.version)
        for number, entry in sorted(old.items()):
            if entry.value is not None and self.live(entry.place) != number:
                self.copy(number, self.version)
        self.end_versions()

    @precondition(lambda self: self.version > 0)
    @rule(number=st.integers(1, 12), exposed=st.booleans())
    def revert(self, number: int, exposed: bool) -> None:
        if number not in self.entries:  # once it is collected, the step that wrote it stands for it
            return
        seeds = [Lineage(tie="value", entry=number)]
        plan = self.loop.run_until_complete(self.journal.plan_revert("r-x", 1, seeds, exposed=exposed))
        values, touched = self.follow(number, exposed=exposed)
        removes = {n for n in values if n in self.entries and not self.entries[n].reverted}
        flags = {
            n
            for n in touched
            if n in self.entries and self.entries[n].died is None and not self.entries[n].flagged
        }
        assert (set(plan.removes), set(plan.flags)) == (removes, flags)
        ended = {
            number
            for number, (_, _, run, _) in self.conflicts.items()
            if any(cause in values and (tie == "value" or exposed) for cause, tie in run.read.items())
        }
        assert set(plan.conflicts) == ended
        self.conflicts = {n: each for n, each in self.conflicts.items() if n not in ended}
        readers = {run.name for run in self.going.values() if removes & run.read.keys()}
        assert set(plan.running) == readers
        self.loop.run_until_complete(self.journal.apply_revert(plan, by="alice"))
        for each in (*sorted(removes), *sorted(flags)):
            scope = self.entries[each].place[0]
            if scope not in self.touched:
                self.version += 1
                self.touched[scope] = self.version
        for each in sorted(removes):
            self.revert_one(each, removes, flags)
        for each in flags:
            self.entries[each].flagged = True
        self.end_versions()

    def revert_one(self, number: int, removes: set[int], flags: set[int]) -> None:
        """Removes an entry, and brings back what it had replaced."""
        entry = self.entries[number]
        entry.reverted = True
        if entry.died is not None:
            return
        version = self.touched[entry.place[0]]
        self.remove(entry.place, version)
        before = self.find_sane(number, removes)
        if before is not None and self.entries[before].value is not None:
            self.copy(before, version, flagged=before in flags)

    def find_sane(self, number: int, removes: set[int]) -> int | None:
        """Returns what an entry had replaced, and is not reverted itself."""
        place, born = self.entries[number].place, self.entries[number].born
        for before in sorted(
            (n for n, e in self.entries.items() if e.place == place and n < number), reverse=True
        ):
            if self.entries[before].died != born:
                return None
            if before not in removes and not self.entries[before].reverted:
                return before
            born = self.entries[before].born
        return None

    def follow(self, seed: int, *, exposed: bool) -> tuple[set[int], set[int]]:
        """Returns what took a value from an entry, and what was exposed to it, by trying every edge again and again."""
        values, touched = {seed}, set[int]()
        for _ in self.edges:
            for (source, target), value in self.edges.items():
                if source in values and (value or exposed):
                    values.add(target)
                elif source in values or source in touched:
                    touched.add(target)
        return values, touched - values

    @precondition(lambda self: self.version > 0)
    @rule(prunes=st.booleans())
    def collect(self, prunes: bool) -> None:
        self.loop.run_until_complete(self.clock.advance(1))
        planned = self.loop.run_until_complete(self.journal.collect_memory(dry_run=True))
        found = self.loop.run_until_complete(self.journal.collect_memory())
        assert found == planned
        if prunes:
            self.loop.run_until_complete(self.journal.prune(before=self.clock.wall_s()))
        left = self.loop.run_until_complete(self.journal.memory_numbered([*self.entries]))
        gone = self.entries.keys() - {entry.number for entry in left}
        oldest = min([self.version, *(run.snapshot for run in self.going.values() if run.snapshot)])
        for number in gone:
            entry = self.entries.pop(number)
            scope = entry.place[0]
            if entry.died is None:
                assert entry.value is None
                continue
            assert entry.died <= oldest
            reviewed = self.reviewed.get(scope)
            assert reviewed is None or not entry.born <= reviewed < entry.died
            self.floors[scope] = max(self.floors.get(scope, 0), entry.died)
        self.loop.run_until_complete(self.check_collected())

    async def check_collected(self) -> None:
        """Compares what is left with what somebody may ask for."""
        oldest = min([self.version, *(run.snapshot for run in self.going.values() if run.snapshot)])
        for number, entry in self.entries.items():
            read = any(number in run.read for run in self.going.values())
            reviewed = holds_at(entry, self.reviewed.get(entry.place[0], -1))
            assert read or reviewed or entry.died is None or entry.died > oldest, number

    @precondition(lambda self: self.version > 0)
    @rule()
    def forget(self) -> None:
        forgotten = self.loop.run_until_complete(self.journal.forget_subject("acme", "user:7"))
        theirs = {
            n for n, e in self.entries.items() if e.person == "user:7" or e.place[0] == "subject:user:7"
        }
        running = {
            run.name
            for run in self.going.values()
            if run.person == "user:7" or not theirs.isdisjoint(run.read)
        }
        assert set(forgotten.running) == running
        if running:
            return
        scopes = sorted((n, self.entries[n].place[0]) for n in theirs if self.entries[n].died is None)
        for _, scope in scopes:
            if scope not in self.touched:
                self.version += 1
                self.touched[scope] = self.version
        for number in theirs:
            del self.entries[number]
        self.forget_the_past()
        self.end_versions()
        self.conflicts = {
            number: conflict
            for number, conflict in self.conflicts.items()
            if conflict[2].person != "user:7" and conflict[0][0] != "subject:user:7"
        }

    def forget_the_past(self) -> None:
        """Makes all snapshots anew, of what is left. What is gone is in nobody's way."""
        self.changed = {}
        for entry in self.entries.values():
            version = entry.born if entry.died is None else entry.died
            self.changed[entry.place] = max(version, self.changed.get(entry.place, 0))
        for at in self.past:
            held = [entry for entry in self.entries.values() if holds_at(entry, at)]
            self.past[at] = {entry.place: entry.value for entry in held if entry.value is not None}

    @rule()
    def reopen(self) -> None:
        self.loop.run_until_complete(self.journal.close())
        self.journal = self.open()
        for run in self.going.values():
            run.lease = self.loop.run_until_complete(self.journal.take(run.name))

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        assert self.loop.run_until_complete(self.journal.memory_version()) == self.version
        wanted = {self.version, *(run.snapshot for run in self.going.values())}
        for at in wanted:
            for scope in SCOPES:
                self.find(scope, at)
        for word in ("two", "three", "wor"):
            for scope in SCOPES:
                found = self.loop.run_until_complete(
                    self.journal.memory_entries("acme", MemoryFilter(scopes=(scope,), text=word))
                )
                values = [value for value in self.see(scope).values() if word in value]
                assert len(found) == len(values)
        assert self.loop.run_until_complete(self.journal.verify()).bad is None


def holds_at(entry: Entry, at: int) -> bool:
    """Returns whether an entry holds at a version."""
    return entry.born <= at and (entry.died is None or entry.died > at)


def key_of(ref: str) -> str:
    """Returns the key of a reference."""
    return next(key for key in KEYS if texts(key).keys() == {ref})


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
