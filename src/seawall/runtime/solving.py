"""Solves conflicts of a merge with the `resolve` function of the writing agent's `Memory`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from msgspec.structs import replace

from seawall.core.canonical import Ref, to_canonical_bytes
from seawall.core.errors import describe_error
from seawall.core.events import RunStarted
from seawall.journal.protocol import (
    Journal,
    Lineage,
    MemoryConflict,
    MemoryEntry,
    MemoryFilter,
    MemoryWrite,
)
from seawall.memory.calls import MAX_VALUE_CHARS
from seawall.memory.options import Resolver
from seawall.memory.sameness import make_loose
from seawall.run.bodies import Bodies
from seawall.runtime.calls import await_apart, is_awaitable
from seawall.runtime.remembering import decode_value
from seawall.team.team import Team

RESOLVE_S = 10.0
"""The most seconds for a `resolve` function, because the run has its answer and its caller waits."""

_log = logging.getLogger("seawall")


class ConflictSolver:
    """Solves the conflicts of one run that ends. It is an `engine.merging.Resolve`."""

    def __init__(self, journal: Journal, started: RunStarted, team: Team, bodies: Bodies) -> None:
        self._journal = journal
        self._started = started
        self._team = team
        self._bodies = bodies

    def __repr__(self) -> str:
        return f"<ConflictSolver of {self._started.run}>"

    async def __call__(self, write: MemoryWrite, conflict: MemoryConflict) -> MemoryWrite | None:
        """Returns the write that solves a conflict; None if no function solves it, so that the conflict stays."""
        resolve = self._find_resolver(write)
        if resolve is None:
            return None
        version = await self._journal.memory_version()  # newer than all that is read here
        theirs = await self._read(write, version)
        base = await self._read(write, write.base) if write.base else None
        values = (self._value_of(theirs), self._decode(write.value), self._value_of(base))

        async def solve() -> str | None:
            async with asyncio.timeout(RESOLVE_S):
                value = resolve(*values)
                return _encode(await value if is_awaitable(value) else value)

        text, error = await await_apart(solve)
        if error is not None:  # a person decides
            _log.warning(
                "run %s: the conflict of step %s was not solved: %s",
                self._started.run,
                write.step,
                self._bodies.redact(describe_error(error)),
            )
        if text is None:
            return None
        ref = self._bodies.put(text)
        given = [Lineage(tie="value", entry=each.number) for each in (theirs, base) if each is not None]
        causes = tuple(dict.fromkeys((*write.causes, *given)))
        return replace(
            write, value=ref, base=version, loose=make_loose(self._bodies.text(ref)), causes=causes
        )

    def _find_resolver(self, write: MemoryWrite) -> Resolver | None:
        """Returns the `resolve` function of the agent that wrote the entry, for its scope."""
        member = self._team.members.get(write.agent)
        places = () if member is None else member.memory.writes
        return next(
            (place.resolve for place in places if place.name_scope(self._started) == write.scope), None
        )

    async def _read(self, write: MemoryWrite, version: int) -> MemoryEntry | None:
        """Returns the entry of a key as it was at a version, with its texts."""
        key = await self._load(write.key)
        wanted = MemoryFilter(scopes=(write.scope,), at=version, key=key, limit=1)
        found = await self._journal.memory_entries(self._started.tenant, wanted)
        if not found:
            return None
        await self._load(found[0].value)
        return found[0]

    async def _load(self, ref: Ref | None) -> str:
        if ref is not None and (missing := self._bodies.missing([ref])):
            self._bodies.load(await self._journal.bodies(self._started.tenant, missing))
        return self._bodies.text(ref)

    def _value_of(self, entry: MemoryEntry | None) -> Any:
        return None if entry is None else self._decode(entry.value)

    def _decode(self, ref: Ref | None) -> Any:
        return None if ref is None else decode_value(self._bodies.text(ref))


def _encode(value: object) -> str | None:
    """Returns a value in its stored form. Raises `TypeError` or `ValueError` if it can't be stored."""
    if value is None:
        return None
    text = value if isinstance(value, str) else to_canonical_bytes(value).decode()
    if not text.strip() or len(text) > MAX_VALUE_CHARS:
        raise ValueError(f"the value has {len(text):,} characters (limit {MAX_VALUE_CHARS:,})")
    return text
