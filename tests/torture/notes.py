"""What a process was promised, written to a file of its own before anybody may kill it for knowing."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from crash.job import digest_of
from seawall import Outcome
from seawall.core.canonical import Ref
from seawall.core.events import Event, RunStarted
from seawall.journal.protocol import Journal, Lease


class Kept(msgspec.Struct, frozen=True, kw_only=True, tag="kept"):
    """The journal acknowledged these events."""

    run: str
    first_seq: int
    n: int
    digest: str


class Tried(msgspec.Struct, frozen=True, kw_only=True, tag="tried"):
    """A client is about to start a case, or a person to do what `by` names."""

    case: str = ""
    by: str = ""


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """`start` returned the run of a case."""

    case: str
    run: str


class Rejected(msgspec.Struct, frozen=True, kw_only=True, tag="rejected"):
    """`start` refused a case."""

    case: str
    why: str


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """`outcome` returned how a run ended."""

    case: str
    outcome: Outcome


class Ordered(msgspec.Struct, frozen=True, kw_only=True, tag="ordered"):
    """A person's decision, cancellation or setting was accepted."""

    what: Literal["decide", "settle", "cancel", "guard", "pause"]
    target: str
    """The run, or what is set."""
    by: str
    value: str = ""
    step: int = 0
    """The step that was decided on; of a finding, the step of the effect."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, tag="problem"):
    """A process met an error that no fault explains."""

    text: str


Note = Kept | Tried | Started | Rejected | Ended | Ordered | Problem


class Notes:
    """A file of notes. What was written outlives the death of the process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, note: Note) -> None:
        """Writes one note."""
        os.write(self._file, msgspec.json.encode(note) + b"\n")


def read_notes(path: Path) -> list[Note]:
    """Returns the notes of a file, oldest first."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=Note) for line in path.read_bytes().splitlines()]


class WitnessedJournal:
    """A journal that notes which events it acknowledged."""

    def __init__(self, inner: Journal, notes: Notes) -> None:
        self._inner = inner
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def create(
        self, started: RunStarted, events: Sequence[Event], bodies: Mapping[Ref, bytes], **options: Any
    ) -> Lease:
        """Makes a run durable."""
        lease = await self._inner.create(started, events, bodies, **options)
        if lease.run == started.run:  # else the request is known, and nothing was written
            self._note(lease.run, 0, [started, *events])
        return lease

    def append(
        self,
        lease: Lease,
        first_seq: int,
        events: Sequence[Event],
        bodies: Mapping[Ref, bytes],
        **options: Any,
    ) -> Awaitable[None]:
        """Enqueues events."""
        durable = self._inner.append(lease, first_seq, events, bodies, **options)
        return self._acknowledge(durable, lease.run, first_seq, list(events))

    async def _acknowledge(
        self, durable: Awaitable[None], run: str, first_seq: int, events: list[Event]
    ) -> None:
        await durable
        self._note(run, first_seq, events)

    def _note(self, run: str, first_seq: int, events: list[Event]) -> None:
        kept = Kept(run=run, first_seq=first_seq, n=len(events), digest=digest_of(events))
        self._notes.write(kept)
