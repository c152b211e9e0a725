"""Performs memory steps: what an agent recalls, remembers and forgets, in its run's snapshot and branch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.clock import Clock
from seawall.journal.protocol import Journal, MemoryEntry, MemoryFilter
from seawall.memory.calls import MemoryCall
from seawall.memory.index import MemoryIndex
from seawall.memory.sameness import make_loose
from seawall.run.bodies import Bodies
from seawall.run.branch import BranchEntry
from seawall.run.state import RunState
from seawall.run.step import MemoryEdit, MemoryUse, Result, Step
from seawall.runtime.meaning import ask_index

SHOWN_CHARS = 32_000
"""The most characters of all values of one `recall`, of which each entry gets a share. A single entry is shown whole."""
LEAST_SHOWN_CHARS = 300
"""The fewest characters of a value that are shown."""
PHRASE_CHARS = 40
"""The length from which on a value is understood without its key, so that it is not stored again under another key."""

_word = re.compile(r"\w+")


class Known(NamedTuple):
    """The entry of one key that a frame sees."""

    label: str
    scope: str
    key: Ref
    value: Ref | None
    labels: tuple[str, ...]
    stored: MemoryEntry | None
    """The stored entry; None if the run itself has written the value."""
    step: int = 0
    """The step that wrote it, if the run has."""


class MemorySteps:
    """Performs the memory steps of one run."""

    def __init__(self, journal: Journal, tenant: str, bodies: Bodies, clock: Clock) -> None:
        self._journal = journal
        self._tenant = tenant
        self._bodies = bodies
        self._clock = clock

    def __repr__(self) -> str:
        return f"<MemorySteps on {self._journal!r}>"

    async def answer(self, step: Step, state: RunState) -> Result:
        """Returns the text for the agent, and the entries that the step read and wrote."""
        call = cast("MemoryCall", step.target)
        match call.tool:
            case "recall":
                return await self._recall(call, step, state)
            case "remember":
                return await self._remember(call, step, state)
            case "forget":
                return await self._forget(call, step, state)

    # ---- recall

    async def _recall(self, call: MemoryCall, step: Step, state: RunState) -> Result:
        found: list[Known] = []
        reverted, index_failed = 0, False
        hidden: set[Ref] = set()  # keys that a nearer scope has
        for (label, scope), index in zip(call.scopes, call.indexes, strict=True):
            own = _list_own(state, step.frame, scope, self._clock.wall_s())
            await self._load([ref for entry in own.values() for ref in (entry.key, entry.value) if ref])
            stored, failed = await self._read(call, scope, index, state, more=len(own))
            index_failed = index_failed or failed
            mine = [entry for entry in reversed(own.values()) if entry.value and self._fits(entry, call)]
            here = [_know_own(label, entry) for entry in mine]
            for entry in stored:
                if entry.reverted:
                    reverted += 1
                elif entry.key not in own and entry.value is not None:
                    here.append(_know_stored(label, entry))
            found += [each for each in here if each.key not in hidden]
            hidden.update(each.key for each in here)
            hidden.update(key for key, entry in own.items() if entry.value is not None)
        shown = found[: call.limit]
        await self._load([ref for each in shown for ref in (each.key, each.value) if ref])
        share = SHOWN_CHARS if len(shown) < 2 else max(LEAST_SHOWN_CHARS, SHOWN_CHARS // len(shown))
        document: dict[str, Any] = {"entries": [self._write_hit(each, share) for each in shown]}
        notes = _list_notes(len(shown), len(found), reverted)
        notes += ["only words were looked for: the search by meaning failed"] if index_failed else []
        if notes:
            document["note"] = "; ".join(notes)
        use = MemoryUse(
            read=tuple(each.stored.number for each in shown if each.stored is not None),
            seen=tuple(each.step for each in shown if each.stored is None),
        )
        return Result(status="ok", output=_encode(document), memory=use)

    async def _read(
        self, call: MemoryCall, scope: str, index: MemoryIndex | None, state: RunState, *, more: int
    ) -> tuple[list[MemoryEntry], bool]:
        """Returns the matching entries of a scope in the run's snapshot, and whether the user's own index has failed.

        `more` entries may be hidden by the run's own writes. Entries that match by meaning come first.
        """
        if not state.memory:
            return [], False
        tenant, limit = state.started.tenant, call.limit + more + 1
        wanted = MemoryFilter(
            scopes=(scope,),
            at=state.memory,
            key=call.key,
            prefix=call.prefix,
            text=call.query,
            limit=limit,
        )
        found = await self._journal.memory_entries(tenant, wanted)
        if index is None or call.query is None:
            return found, False
        meant = await ask_index(
            self._journal,
            index,
            call.query,
            tenant=tenant,
            scope=scope,
            at=state.memory,
            limit=limit,
            now=self._clock.wall_s(),
            redact=self._bodies.redact,
        )
        numbers = {entry.number for entry in meant or ()}
        return [*(meant or ()), *(each for each in found if each.number not in numbers)], meant is None

    def _fits(self, entry: BranchEntry, call: MemoryCall) -> bool:
        """Returns whether one of the run's own writes matches the call."""
        key = self._bodies.text(entry.key)
        if call.key is not None:
            return key == call.key
        if call.prefix is not None:
            return key.startswith(call.prefix)
        return call.query is None or _has_words(f"{key} {self._bodies.text(entry.value)}", call.query)

    def _write_hit(self, known: Known, share: int) -> dict[str, Any]:
        text = self._bodies.text(known.value)
        hit: dict[str, Any] = {
            "key": self._bodies.text(known.key),
            "value": decode_value(text) if len(text) <= share else text[:share],
        }
        if len(text) > share:
            hit["shown"] = f"the first {share:,} of {len(text):,} characters; recall this key alone for all"
        hit["scope"] = known.label
        entry = known.stored
        if entry is None:
            hit |= {"step": known.step, "age": "written in this request"}
        else:
            age = format_age(self._clock.wall_s() - entry.at)
            hit |= {"number": entry.number, "version": entry.born, "age": age}
            if entry.died is not None:
                hit["superseded"] = True
            if entry.flagged is not None:
                hit["flagged"] = "it was exposed to something that was reverted: check it"
        if known.labels:
            hit["labels"] = known.labels
        return hit

    # ---- remember

    async def _remember(self, call: MemoryCall, step: Step, state: RunState) -> Result:
        label, scope = call.scopes[0]
        assert call.key is not None
        loose = make_loose(self._bodies.redact(call.value))
        known = await self._find(label, scope, call.key, step, state)
        edit = MemoryEdit(
            scope=scope, key=call.key, value=call.value, labels=call.labels, ttl_s=call.ttl_s, loose=loose
        )
        if known is not None and known.value is not None and await self._is_same(known, loose):
            edit = replace(edit, labels=tuple(dict.fromkeys((*known.labels, *call.labels))))
            expires = known.stored is None or known.stored.expires_at is not None
            changes = expires or edit.labels != known.labels  # new lifetime or labels
            use = MemoryUse(edit=edit if changes else None)
            note = "this is in memory already"
            note += ", and stays for longer" if call.ttl_s is not None and not expires else ""
            return _answer(use, known=call.key, scope=label, note=note)
        twin = await self._find_twin(scope, call, loose, state)
        if twin is not None:
            note = "this is in memory already, under that key; it was not stored once more"
            use = MemoryUse(read=(twin.number,))  # the answer shows its key
            return _answer(use, known=self._bodies.text(twin.key), scope=label, note=note)
        what: dict[str, Any] = {"remembered": call.key, "scope": label}
        if known is not None and known.stored is not None:
            what["replaces_version"] = known.stored.born
        return _answer(MemoryUse(edit=edit), **what, note="kept once this request is answered")

    async def _find_twin(
        self, scope: str, call: MemoryCall, loose: str, state: RunState
    ) -> MemoryEntry | None:
        """Returns an entry with the same long value that the run has recalled; None if there is none."""
        if len(call.value) < PHRASE_CHARS or not state.reads:
            return None
        for entry in await self._journal.memory_numbered(state.read_entries):
            if entry.scope != scope or entry.value is None or entry.died is not None:
                continue
            if not {*call.labels} <= {*entry.labels}:
                continue
            await self._load([entry.key, entry.value])
            if make_loose(self._bodies.text(entry.value)) == loose:
                return entry
        return None

    async def _is_same(self, known: Known, loose: str) -> bool:
        await self._load([ref for ref in (known.value,) if ref])
        return make_loose(self._bodies.text(known.value)) == loose

    # ---- forget

    async def _forget(self, call: MemoryCall, step: Step, state: RunState) -> Result:
        assert call.key is not None
        for label, scope in call.scopes:
            known = await self._find(label, scope, call.key, step, state)
            if known is not None and known.value is not None:
                edit = MemoryEdit(scope=scope, key=call.key)
                return _answer(MemoryUse(edit=edit), forgotten=call.key, scope=label)
        where = ", ".join(label for label, _ in call.scopes)
        return _answer(MemoryUse(), forgotten=None, note=f"there is no such key in {where}")

    # ---- look-ups

    async def _find(self, label: str, scope: str, key: str, step: Step, state: RunState) -> Known | None:
        """Returns the entry of one key that the step's frame sees."""
        ref = self._bodies.prepare(key).ref
        own = state.find_written(step.frame, scope, ref)
        if own is not None:
            return _know_own(label, _drop_expired(own, self._clock.wall_s()))
        if not state.memory:
            return None
        wanted = MemoryFilter(scopes=(scope,), at=state.memory, key=self._bodies.redact(key), limit=1)
        stored = await self._journal.memory_entries(state.started.tenant, wanted)
        return _know_stored(label, stored[0]) if stored and not stored[0].reverted else None

    async def _load(self, refs: Iterable[Ref]) -> None:
        if missing := self._bodies.missing(refs):
            self._bodies.load(await self._journal.bodies(self._tenant, missing))


def format_age(seconds: float) -> str:
    """Returns an age in words: `just now`, `5 minutes`, `3 days`."""
    for unit, size in (("year", 365 * 86_400), ("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "just now"


def _drop_expired(entry: BranchEntry, now: float) -> BranchEntry:
    """Returns one of the run's own writes, without its value if it has expired: the run may have waited since."""
    lapsed = entry.ttl_s is not None and entry.at + entry.ttl_s <= now
    return replace(entry, value=None) if lapsed else entry


def _list_own(state: RunState, frame: int, scope: str, now: float) -> dict[Ref, BranchEntry]:
    """Returns the run's own writes to a scope that a frame sees, by key, the newest last."""
    own: dict[Ref, BranchEntry] = {}
    for branch in state.list_branches(frame):  # the frame's own writes hide the writes of frames above it
        for (place, key), entry in branch.items():
            if place == scope:
                own.setdefault(key, _drop_expired(entry, now))
    return dict(sorted(own.items(), key=lambda item: item[1].step))


def _know_own(label: str, entry: BranchEntry) -> Known:
    return Known(label, entry.scope, entry.key, entry.value, entry.labels, None, entry.step)


def _know_stored(label: str, entry: MemoryEntry) -> Known:
    return Known(label, entry.scope, entry.key, entry.value, entry.labels, entry)


def _has_words(text: str, query: str) -> bool:
    """Returns whether each word of the query begins a word of the text, as in the journal's search."""
    words = _word.findall(text.casefold())
    return all(any(word.startswith(each) for word in words) for each in _word.findall(query.casefold()))


def _list_notes(shown: int, found: int, reverted: int) -> list[str]:
    notes = [] if shown else ["nothing fits"]
    if found > shown:
        notes.append("there is more: narrow it down, or raise limit")
    if reverted:
        many = "1 entry was" if reverted == 1 else f"{reverted} entries were"
        notes.append(f"{many} reverted by a person, and left out")
    return notes


def decode_value(text: str) -> Any:
    """Returns a remembered JSON object or list decoded, and any other value as text."""
    if text[:1] not in ("{", "["):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _answer(use: MemoryUse, **what: Any) -> Result:
    return Result(status="ok", output=_encode(what), memory=use)


def _encode(document: Mapping[str, Any] | Sequence[Any]) -> str:
    return msgspec.json.encode(document).decode()
