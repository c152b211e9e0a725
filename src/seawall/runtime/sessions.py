"""Sessions: conversations of several runs. Each run goes on where the last one ended, or where it waits for a person.

The runs of a session are serial: at most one is at work. While one waits for a person's decision, the next one begins
with the conversation so far. What the earlier one does when it goes on is told to the first run that begins after it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import Refused
from seawall.core.events import RunEnded, RunStarted
from seawall.history.recorded import fold_in_slices, read_state
from seawall.journal.protocol import FactsTold, Journal, RecordChange, RunRow
from seawall.run.bodies import Bodies
from seawall.run.fold import fold
from seawall.run.frame import MessageRef
from seawall.run.guard import Guard, collect_handover
from seawall.run.state import RunState
from seawall.runtime.session_facts import read_facts, read_stored_facts
from seawall.team.context import Manifest, build_transcript, decode_manifest, encode_manifest

SESSIONS_KEPT = 256
"""How many conversations are kept in memory between their runs; the others are read from the journal."""
SESSIONS_BYTES = 64 * 1024 * 1024
"""The most bytes of the texts of all kept conversations. A model's whole context is some 4 MB of text (a million
tokens), and few conversations come near that. A worker that shares a machine can spare this much memory. The least
recently used conversations are dropped first."""


class _Conversation(NamedTuple):
    """A conversation in memory after the last run of this process in it."""

    transcript: Ref
    messages: tuple[MessageRef, ...]
    bodies: Mapping[Ref, bytes]
    """The texts of its messages, without other texts that its runs read."""
    size_bytes: int
    behind: Mapping[str, int]
    """See `RunTaken.behind`."""


class SessionHistory(NamedTuple):
    """The history from which a session's next run goes on."""

    transcript: Ref | None
    messages: tuple[MessageRef, ...]
    handover: Mapping[str, str]
    """The state that the guards of the run that wrote the transcript hand over to the next run."""
    facts: tuple[Ref, ...] = ()
    """What has happened since then in runs that had not ended."""
    behind: Mapping[str, int] = MappingProxyType({})
    """The runs that have not ended, and how many events of each are known."""
    since: tuple[str, int] | None = None
    """The waiting run that the conversation belongs to, and the number of its events; None if it has ended."""
    told: tuple[RecordChange, ...] = ()
    """Facts that the journal deletes with the run's first segment, because the run is told them."""
    memory: int = 0
    """The version of memory that the run sees."""
    changed: tuple[Ref, ...] = ()
    """See `RunTaken.changed`."""
    read: tuple[int, ...] = ()
    """See `RunTaken.read`."""


NO_HISTORY = SessionHistory(None, (), {})


async def add_stored_facts(
    journal: Journal, started: RunStarted, history: SessionHistory, bodies: Bodies
) -> SessionHistory:
    """Returns the history with what has happened outside the session's runs."""
    if started.session is None:
        return history
    facts, numbers = await read_stored_facts(journal, started.tenant, started.session, bodies)
    if not numbers:
        return history
    told = FactsTold(session=started.session, numbers=numbers)
    return history._replace(facts=(*history.facts, *facts), told=(told,))


class Sessions:
    """The conversations of this process's runs, the newest of them in memory."""

    def __init__(self) -> None:
        self._conversations: OrderedDict[tuple[str, str], _Conversation] = OrderedDict()
        self._size_bytes = 0

    def __repr__(self) -> str:
        return f"<Sessions {len(self._conversations)}/{SESSIONS_KEPT}, {self._size_bytes:,}/{SESSIONS_BYTES:,} bytes>"

    @property
    def size_bytes(self) -> int:
        """The size of the conversations in memory."""
        return self._size_bytes

    def forget(self) -> None:
        """Drops all conversations from memory, for example because bodies were erased."""
        self._conversations.clear()
        self._size_bytes = 0

    def get_bodies(self, tenant: str, session: str | None) -> Mapping[Ref, bytes] | None:
        """Returns the bodies of a session's conversation; None if it is not in memory."""
        conversation = self._conversations.get((tenant, session)) if session is not None else None
        return None if conversation is None else conversation.bodies

    async def find_tail(
        self, journal: Journal, started: RunStarted, *, queued: Callable[[str], bool], own: bool = False
    ) -> RunRow | Literal["busy"] | None:
        """Returns the run before `started` in its session, once it has ended or waits for a person; `busy` until then.

        Returns None if there is no run before it. `queued` returns whether this process has a run. `own`: `started` is
        recorded already. Raises `Refused` if the run before is paused or interrupted, so that it does not go on by itself.
        """
        session = started.session or ""
        newest = await journal.session_tail(started.tenant, session, before=started.run if own else None)
        tail = newest
        while tail is not None and _never_began(tail):  # the run before it may still go on
            tail = await journal.session_tail(started.tenant, session, before=tail.run)
        if tail is None or tail.state == "ended":
            return newest
        was_given_up = tail.state == "running" and tail.owner == journal.owner
        if tail.state == "waiting":
            state = await read_state(journal, tail.run)
            if not state.waits:  # the run was taken up just now
                return "busy"
            if not state.paused:
                return newest
            paused = ", ".join(pause.what for pause in state.paused)
            what = f"is paused ({paused}): lift the pause, or cancel it"
        elif (tail.state == "interrupted" or was_given_up) and not queued(tail.run):
            if (await journal.row(tail.run)).state == "ended":  # it ended between the two reads of its row
                return await self.find_tail(journal, started, queued=queued, own=own)
            what = f"was interrupted: seawall resume {tail.run}, or cancel it"
        else:
            return "busy"
        raise Refused(f"session {session!r}: its run {tail.run} {what}", guard="session", value=tail.run)

    async def load_history(
        self,
        journal: Journal,
        tail: RunRow | None,
        bodies: Bodies,
        *,
        answers_only: bool = False,
        guards: Sequence[Guard] = (),
    ) -> SessionHistory:
        """Returns the history for the run after `tail`: the newest conversation up to `tail` that a run has left.

        For a run that waits for a person, this is its conversation so far. `answers_only` and `guards` belong to the next
        run. Raises `Refused` if the waiting run goes on meanwhile. A run that was stopped before its first step, or whose
        events were pruned, has no transcript; nor have the runs before a pruned one, which ended earlier.
        """
        while tail is not None and tail.session is not None:
            if tail.events == 0 and not _never_began(tail):
                break
            if tail.state != "ended":
                return await self._load_open(journal, tail, bodies, answers_only, guards)
            ended = await _read_end(journal, tail)
            if ended is not None and ended.transcript is not None:
                messages, behind = await self._load_transcript(journal, tail, ended.transcript, bodies)
                told = await read_facts(journal, tail.tenant, behind, bodies)
                return SessionHistory(ended.transcript, messages, ended.handover, told.facts, told.behind)
            tail = await journal.session_tail(tail.tenant, tail.session, before=tail.run)
        return NO_HISTORY

    async def _load_transcript(
        self, journal: Journal, tail: RunRow, transcript: Ref, bodies: Bodies
    ) -> tuple[tuple[MessageRef, ...], Mapping[str, int]]:
        """Returns the messages of a conversation, and the runs that had not ended (see `RunTaken.behind`)."""
        key = (tail.tenant, tail.session or "")
        cached = self._conversations.get(key)
        if cached is not None and cached.transcript == transcript:
            # A run that has waited in line may have been made before these texts were in memory.
            missing = bodies.missing(_list_refs(cached.messages))
            bodies.load({ref: cached.bodies[ref] for ref in missing if ref in cached.bodies})
            return cached.messages, cached.behind
        messages = await self.load_messages(journal, tail.tenant, transcript, bodies)
        data = bodies.data(transcript)
        behind = {} if data is None else decode_manifest(data).behind
        self._keep(key, transcript, messages, behind, bodies)
        return messages, behind

    async def _load_open(
        self,
        journal: Journal,
        tail: RunRow,
        bodies: Bodies,
        answers_only: bool,
        guards: Sequence[Guard],
    ) -> SessionHistory:
        """Returns the conversation so far of a run that waits for a person."""
        events = await journal.events(tail.run)
        state = await fold_in_slices(events, guards)
        started = state.started
        manifest = build_transcript(state, bodies, answers_only=answers_only)
        if not state.waits or manifest is None:
            raise Refused(
                f"session {started.session!r}: its run {started.run} goes on",
                guard="session",
                value=started.run,
            )
        transcript = bodies.put(encode_manifest(replace(manifest, run=started.run)).decode())
        messages = await self.load_messages(journal, started.tenant, transcript, bodies)
        told = await read_facts(journal, started.tenant, state.behind, bodies)
        since = started.run, len(events)
        behind = {**told.behind, since[0]: since[1]}
        return SessionHistory(
            transcript, messages, collect_handover(state, guards), told.facts, behind, since
        )

    async def load_messages(
        self, journal: Journal, tenant: str, ref: Ref | None, bodies: Bodies
    ) -> tuple[MessageRef, ...]:
        """Returns all messages of a conversation, oldest first. It follows the manifests from the newest one back."""
        manifests: list[Manifest] = []
        while ref is not None:
            bodies.load(await journal.bodies(tenant, bodies.missing([ref])))
            data = bodies.data(ref)
            if data is None:  # erased, together with what came before it
                break
            manifests.append(decode_manifest(data))
            ref = manifests[-1].prev
        messages: list[MessageRef] = []
        for manifest in reversed(manifests):
            manifest.add_to(messages)
        bodies.load(await journal.bodies(tenant, bodies.missing(_list_refs(messages))))
        return tuple(messages)

    def remember(self, state: RunState, bodies: Bodies) -> None:
        """Keeps the conversation that a run has left, for the next run of its session."""
        started, ended = state.started, state.ended
        if ended is None or ended.transcript is None or started.session is None:
            return
        key = (started.tenant, started.session)
        cached = self._drop(key)
        messages: list[MessageRef] = []
        if state.history is not None:
            if cached is None or cached.transcript != state.history:
                return
            messages += cached.messages
        data = bodies.data(ended.transcript)
        if data is None:
            return
        manifest = decode_manifest(data)
        manifest.add_to(messages)
        self._keep(key, ended.transcript, tuple(messages), manifest.behind, bodies)

    def _keep(
        self,
        key: tuple[str, str],
        transcript: Ref,
        messages: tuple[MessageRef, ...],
        behind: Mapping[str, int],
        bodies: Bodies,
    ) -> None:
        self._drop(key)
        texts = {ref: data for ref in _list_refs(messages) if (data := bodies.data(ref)) is not None}
        size_bytes = sum(map(len, texts.values()))
        self._conversations[key] = _Conversation(transcript, messages, texts, size_bytes, behind)
        self._size_bytes += size_bytes
        while len(self._conversations) > SESSIONS_KEPT or self._size_bytes > SESSIONS_BYTES:
            self._drop(next(iter(self._conversations)))

    def _drop(self, key: tuple[str, str]) -> _Conversation | None:
        conversation = self._conversations.pop(key, None)
        if conversation is not None:
            self._size_bytes -= conversation.size_bytes
        return conversation


def _list_refs(messages: Sequence[MessageRef]) -> list[Ref]:
    return [
        ref
        for each in messages
        for ref in (each.ref, *each.notes, each.reasoning, each.fold.text if each.fold else "")
        if ref
    ]


def _never_began(row: RunRow) -> bool:
    """Returns whether the run ended before its first step: for example, it was cancelled in line."""
    return row.state == "ended" and row.summary is not None and row.summary.model_calls == 0


async def _read_end(journal: Journal, row: RunRow) -> RunEnded | None:
    """Returns the event with which a run ended; None if its events were pruned."""
    events = await journal.events(row.run, after=row.events - 2)
    ended = next((event for event in events if isinstance(event, RunEnded)), None)
    if ended is None:  # late results were recorded after it
        events = await journal.events(row.run)
        ended = fold(events).ended if events else None
    return ended
