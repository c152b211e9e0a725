"""Texts of a person in runs of others: the person's entries that they were shown, and the person's conversations that
they continued.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import (
    ContextFolded,
    Event,
    Folded,
    MemoryCut,
    MemoryRead,
    RunEnded,
    RunTaken,
    StepDone,
)
from seawall.journal.sqlite.database import Database
from seawall.journal.sqlite.memory_index import read_body
from seawall.journal.sqlite.references import find_refs

_events: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Event])
_READERS = """
SELECT DISTINCT r.rk, r.run, r.ended_at FROM json_each(?) AS wanted
CROSS JOIN memory_reads m ON m.entry = wanted.value CROSS JOIN runs r ON r.run = m.run AND r.tenant = ?
"""
_SUCCESSORS = """
SELECT DISTINCT r.rk, r.run, r.ended_at FROM json_each(?) AS mine CROSS JOIN runs p ON p.rk = mine.value
CROSS JOIN runs r ON r.tenant = p.tenant AND r.session = p.session AND r.rk > p.rk
"""
_EVENTS = "SELECT data FROM entries WHERE rk = ? AND box = 0 AND data IS NOT NULL ORDER BY seq"


class _Manifest(msgspec.Struct, frozen=True):
    """The fields of a conversation's manifest besides its messages (see `RunEnded.transcript`)."""

    prev: Ref | None = None
    run: str = ""
    folds: tuple[Folded, ...] = ()


_manifests = msgspec.json.Decoder(_Manifest)


class Shown:
    """The texts of a person in runs of others."""

    def __init__(self) -> None:
        self.running: list[str] = []
        """Runs of others that have not ended and were shown texts of the person."""
        self.texts: list[Ref] = []
        """Texts for runs of others that were made of the person's entries."""
        self.messages: list[bytes] = []
        """Messages that the person's runs added to conversations."""
        self.links: dict[bytes, tuple[bytes, ...]] = {}
        """The manifests of the person's runs, each with the references that count: a run that continues a conversation
        does not count as referring to its messages."""

    def read(self, database: Database, tenant: int, runs: Mapping[int, str], numbers: set[int]) -> None:
        """Reads the texts. `runs` are the person's runs, and `numbers` the person's entries."""
        for _, events in self._read_others(database, runs, _READERS, (json.dumps([*numbers]), tenant)):
            self.texts += _list_told(events, numbers)
        histories: list[Ref] = []
        names = {*runs.values()}
        for _, events in self._read_others(database, runs, _SUCCESSORS, (json.dumps([*runs]),)):
            taken = [event for event in events if isinstance(event, RunTaken)]
            histories += [event.history for event in taken if event.history is not None]
            facts = [ref for event in taken for ref in event.facts]
            theirs = {ref for ref in facts if _speaks_of(read_body(database, tenant, ref), names)}
            self.texts += theirs
            self.texts += _list_folded(events, len(facts) if theirs else 0)
        self._read_manifests(database, tenant, runs, histories)

    def _read_others(
        self, database: Database, runs: Mapping[int, str], sql: str, values: Sequence[object]
    ) -> Iterable[tuple[str, list[Event]]]:
        """Yields the events of runs of others that have ended, and collects the runs that have not ended."""
        for rk, run, ended_at in database.fetch_all(sql, values):
            if rk in runs:
                continue
            if ended_at is None:
                self.running.append(run)
            else:
                yield run, _read_events(database, rk)

    def _read_manifests(
        self, database: Database, tenant: int, runs: Mapping[int, str], waiting: list[Ref]
    ) -> None:
        """Follows conversations back, and collects the messages that the person's runs have added."""
        ends = [event for rk in runs for event in _read_events(database, rk) if isinstance(event, RunEnded)]
        own = {event.transcript for event in ends if event.transcript is not None}
        waiting += own
        names = {*runs.values()}
        theirs: dict[Ref, bool] = {}
        """By manifest: whether it belongs to a run of the person, or comes after one."""
        for start in waiting:
            ref: Ref | None = start
            path: list[tuple[Ref, _Manifest]] = []
            while ref is not None and ref not in theirs:
                data = read_body(database, tenant, ref)
                manifest = _manifests.decode(data) if data else _Manifest()
                theirs[ref] = bool(data) and (ref in own or manifest.run in names)
                path.append((ref, manifest))
                if theirs[ref]:
                    before = () if manifest.prev is None else (bytes.fromhex(manifest.prev),)
                    self.links[bytes.fromhex(ref)] = before
                    self.messages += [hash_ for hash_ in find_refs([(data,)]) if hash_ not in before]
                ref = manifest.prev
            after = ref is not None and theirs[ref]
            for each, manifest in reversed(path):
                if after and not theirs[each]:  # its run may have been pruned, or may quote them in a line
                    self.texts += [fold.text for fold in manifest.folds if fold.message < 0 and fold.text]
                theirs[each] = after = after or theirs[each]


def _read_events(database: Database, rk: int) -> list[Event]:
    rows = database.fetch_all(_EVENTS, (rk,))
    return [event for (data,) in rows for event in _events.decode(data)]


def _list_told(events: Sequence[Event], numbers: set[int]) -> list[Ref]:
    """Returns the texts about entries that a run was told: results of its memory steps, changes, and reverted
    entries.
    """
    reads = [event for event in events if isinstance(event, MemoryRead)]
    steps = {event.step for event in reads if not numbers.isdisjoint(event.entries)}
    told: list[Ref] = []
    for event in events:
        match event:
            case StepDone():
                told += [event.output] if event.output and event.step in steps else []
            case RunTaken():
                told += (
                    event.changed
                )  # each text has the old and the new value of an entry that the run had read
            case MemoryCut():
                told += [
                    ref for number, ref in zip(event.entries, event.told, strict=False) if number in numbers
                ]
            case _:
                pass
    return told


def _list_folded(events: Sequence[Event], facts: int) -> list[Ref]:
    """Returns the texts that replaced messages of the conversation before the run, and the run's first messages."""
    folds = [event for event in events if isinstance(event, ContextFolded) and event.frame == 0]
    folded = [each for event in folds for each in event.folded if each.message < facts]
    return [each.text for each in folded if each.text]


def _speaks_of(text: bytes, runs: set[str]) -> bool:
    return any(run.encode() in text for run in runs)
