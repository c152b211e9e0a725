"""Sessions: the conversation that runs belong to. Its runs are serial, and each goes on where the last ended."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from seawall.core.canonical import Ref
from seawall.core.errors import Refused
from seawall.core.events import RunEnded, RunStarted
from seawall.journal.protocol import Journal, RunRow
from seawall.run.bodies import Bodies
from seawall.run.fold import fold
from seawall.run.frame import MessageRef
from seawall.run.state import RunState
from seawall.team.context import decode_manifest

SESSIONS_KEPT = 256
"""Conversations kept in memory between their runs; others are read from the journal."""
SESSIONS_BYTES = 64 * 1024 * 1024
"""Of what was said in all of them. A model's whole context is some 4 MB of text (a million tokens), and few are
near it; a worker that shares a machine with others can spare this much. The longest unused go first."""


class _Kept(NamedTuple):
    """A conversation as the last run of this process left it."""

    transcript: Ref
    messages: tuple[MessageRef, ...]
    known: Mapping[Ref, bytes]
    """What its messages refer to, and nothing else that its runs knew."""
    size_bytes: int


class Past(NamedTuple):
    """What a session's next run goes on from."""

    transcript: Ref | None
    messages: tuple[MessageRef, ...]
    handover: Mapping[str, str]
    """What the guards of the run that left the transcript left beside it."""


NO_PAST = Past(None, (), {})


class Sessions:
    """The conversations of this process's runs."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._size_bytes = 0

    def __repr__(self) -> str:
        return f"<Sessions {len(self._kept)}/{SESSIONS_KEPT}, {self._size_bytes:,}/{SESSIONS_BYTES:,} bytes>"

    @property
    def size_bytes(self) -> int:
        """What the conversations in memory come to."""
        return self._size_bytes

    def forget(self) -> None:
        """Drop what is kept in memory, for example because bodies were erased."""
        self._kept.clear()
        self._size_bytes = 0

    def known_bodies(self, tenant: str, session: str | None) -> Mapping[Ref, bytes] | None:
        """Bodies of the session's conversation that are at hand."""
        kept = self._kept.get((tenant, session)) if session is not None else None
        return None if kept is None else kept.known

    async def find_tail(
        self, journal: Journal, started: RunStarted, *, queued: Callable[[str], bool], own: bool = False
    ) -> RunRow | Literal["busy"] | None:
        """The session's run before `started`, once it has ended; `busy` until then, None if there is none.

        `own`: `started` is recorded already. Raises `Refused` if that run will not end by itself.
        """
        session = started.session or ""
        newest = await journal.session_tail(started.tenant, session, before=started.run if own else None)
        tail = newest
        while tail is not None and _never_began(tail):  # what it stood behind may still be there
            tail = await journal.session_tail(started.tenant, session, before=tail.run)
        if tail is None or tail.state == "ended":
            return newest
        given_up = tail.state == "running" and tail.owner == journal.owner
        if tail.state == "waiting":
            what = "waits for a person: decide on it, or cancel it"
        elif (tail.state == "interrupted" or given_up) and not queued(tail.run):
            if (await journal.row(tail.run)).state == "ended":  # between the look at its row and the other
                return await self.find_tail(journal, started, queued=queued, own=own)
            what = f"was interrupted: seawall resume {tail.run}, or cancel it"
        else:
            return "busy"
        raise Refused(f"session {session!r}: its run {tail.run} {what}", guard="session", value=tail.run)

    async def load_history(self, journal: Journal, tail: RunRow | None, bodies: Bodies) -> Past:
        """The newest transcript of a session whose newest run is `tail`; the bodies of its messages are loaded.

        A run whose events were pruned has none, nor has what it went on from: that ended before it.
        """
        while tail is not None and tail.session is not None:
            if tail.events == 0 and not _never_began(tail):
                break
            ended = await _ended(journal, tail)
            transcript = None if ended is None else ended.transcript
            if ended is not None and transcript is not None:
                kept = self._kept.get((tail.tenant, tail.session))
                if kept is not None and kept.transcript == transcript:
                    # The run may have been waiting in line since before these were known.
                    missing = bodies.missing(_refs(kept.messages))
                    bodies.load({ref: kept.known[ref] for ref in missing if ref in kept.known})
                    return Past(transcript, kept.messages, ended.handover)
                messages = await self.load_messages(journal, tail.tenant, transcript, bodies)
                self._keep((tail.tenant, tail.session), transcript, messages, bodies)
                return Past(transcript, messages, ended.handover)
            tail = await journal.session_tail(tail.tenant, tail.session, before=tail.run)
        return NO_PAST

    async def load_messages(
        self, journal: Journal, tenant: str, ref: Ref | None, bodies: Bodies
    ) -> tuple[MessageRef, ...]:
        """All messages of a conversation, oldest first, walking its manifests back."""
        parts: list[tuple[MessageRef, ...]] = []
        while ref is not None:
            bodies.load(await journal.bodies(tenant, bodies.missing([ref])))
            data = bodies.data(ref)
            if data is None:  # erased, and what came before it with it
                break
            manifest = decode_manifest(data)
            parts.append(manifest.messages)
            ref = manifest.prev
        messages = tuple(line for part in reversed(parts) for line in part)
        bodies.load(await journal.bodies(tenant, bodies.missing(_refs(messages))))
        return messages

    def remember(self, state: RunState, bodies: Bodies) -> None:
        """Keep the conversation that a run leaves, for the session's next one."""
        started, ended = state.started, state.ended
        if ended is None or ended.transcript is None or started.session is None:
            return
        key = (started.tenant, started.session)
        kept = self._drop(key)
        before: tuple[MessageRef, ...] = ()
        if state.history is not None:
            if kept is None or kept.transcript != state.history:
                return
            before = kept.messages
        data = bodies.data(ended.transcript)
        if data is None:
            return
        self._keep(key, ended.transcript, before + decode_manifest(data).messages, bodies)

    def _keep(
        self, key: tuple[str, str], transcript: Ref, messages: tuple[MessageRef, ...], bodies: Bodies
    ) -> None:
        self._drop(key)
        known = {ref: data for ref in _refs(messages) if (data := bodies.data(ref)) is not None}
        size = sum(map(len, known.values()))
        self._kept[key] = _Kept(transcript, messages, known, size)
        self._size_bytes += size
        while len(self._kept) > SESSIONS_KEPT or self._size_bytes > SESSIONS_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, str]) -> _Kept | None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size_bytes -= kept.size_bytes
        return kept


def _refs(messages: Sequence[MessageRef]) -> list[Ref]:
    return [ref for line in messages for ref in (line.ref, *line.notes)]


def _never_began(row: RunRow) -> bool:
    """Whether the run ended before its first step, perhaps in line: for example, it was cancelled there."""
    return row.state == "ended" and row.summary is not None and row.summary.model_calls == 0


async def _ended(journal: Journal, row: RunRow) -> RunEnded | None:
    """The end of an ended run; None if its events were pruned."""
    events = await journal.events(row.run, after=row.events - 2)
    ended = next((event for event in events if isinstance(event, RunEnded)), None)
    if ended is None:  # late results came after it
        events = await journal.events(row.run)
        ended = fold(events).ended if events else None
    return ended
