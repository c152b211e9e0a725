"""Opens a journal for a command, and reads what commands show of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from seawall.cli.signals import Shutdown, get_shutdown
from seawall.core.canonical import Ref
from seawall.core.clock import SystemClock
from seawall.core.errors import Misused, SeawallError
from seawall.core.events import Event, RunStarted
from seawall.core.refs import refs_of
from seawall.journal.protocol import Journal, Lease, RunRow, Summary
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.journal.sqlite.identity import find_size
from seawall.journal.sqlite.signing import KEY_VARIABLE, Signer, read_key
from seawall.runtime.seawall import Seawall

READ_AT_ONCE = 500
"""The largest number of bodies that one query reads from the journal."""


def require_file(path: Path) -> str:
    """Returns the path of a journal that exists. Raises `Misused`, which says how to name another one."""
    if find_size(str(path)) is None:
        raise Misused(f"there is no journal at {path}: name one with --journal FILE or in SEAWALL_JOURNAL")
    return str(path)


def find_key() -> bytes | None:
    """Returns the key that the environment names. Raises `Misused` if it can't be read."""
    path = os.environ.get(KEY_VARIABLE)
    return read_key(Path(path)) if path else None


def _find_signer() -> Signer | None:
    """Returns the signer with the key that the environment names; None without a key."""
    key = find_key()
    return None if key is None else Signer(key)


@asynccontextmanager
async def open_journal(path: Path, *, writes: bool = False) -> AsyncGenerator[Journal]:
    """Opens the journal at `path` without a runtime. Raises `Misused` if there is none.

    With `writes`, a journal that can't be written raises the error at once.
    """
    journal = SqliteJournal.open(require_file(path), clock=SystemClock(), create=False, signer=_find_signer())
    try:
        if writes:
            journal.check_writable()
            get_shutdown().note_writing()
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def open_seawall(
    path: Path,
    shutdown: Shutdown | None = None,
    *,
    writes: bool = True,
    create: bool = False,
    all_hosts: bool = False,
) -> AsyncGenerator[Seawall]:
    """Opens a `Seawall` on the journal at `path`, and notes for `shutdown` each run that it starts.

    With `create` the journal is made if there is none; without `create` a missing journal raises `Misused`. With
    `all_hosts` a lease counts as run out if it can't be known whether it has. With `writes`, a journal that can't be
    written raises the error at once.
    """
    file = str(path) if create else require_file(path)
    journal = InterruptibleJournal.open(
        file,
        clock=SystemClock(),
        options=SqliteOptions(doubted_leases_are_out=all_hosts),
        create=create,
        signer=_find_signer(),
    )
    assert isinstance(journal, InterruptibleJournal)
    journal.shutdown = shutdown or Shutdown()
    if writes:
        try:
            journal.check_writable()
        except SeawallError:
            await journal.close()
            raise
        if shutdown is None:  # no run is started, whose own message says more
            get_shutdown().note_writing()
    key = find_key()
    async with Seawall(journal, secrets=[] if key is None else [key.decode("utf-8", "replace")]) as sea:
        yield sea


class InterruptibleJournal(SqliteJournal):
    """A journal that notes each run in `shutdown` before anything acts on it.

    A tool may block the event loop in the very first step; then no other code could report the id of the run.
    """

    shutdown: Shutdown

    async def create(
        self,
        started: RunStarted,
        events: Sequence[Event],
        bodies: Mapping[Ref, bytes],
        **options: Any,
    ) -> Lease:
        """See `Journal.create`."""
        self.shutdown.note_starting(started.run)
        lease = await super().create(started, events, bodies, **options)
        self.shutdown.note_run(lease.run)
        if lease.run == started.run:
            self._note_end(lease, options.get("summary"))
        return lease

    def append(
        self,
        lease: Lease,
        first_seq: int,
        events: Sequence[Event],
        bodies: Mapping[Ref, bytes],
        **options: Any,
    ) -> Awaitable[None]:
        """See `Journal.append`."""
        written = super().append(lease, first_seq, events, bodies, **options)
        summary: Summary | None = options.get("summary")
        if summary is not None and isinstance(written, asyncio.Future):

            def note(done: asyncio.Future[None]) -> None:
                if done.exception() is None:
                    self._note_end(lease, summary)

            written.add_done_callback(note)  # added before the driver's callback, so that this one runs first
        return written

    def _note_end(self, lease: Lease, summary: Summary | None) -> None:
        if summary is not None:
            self.shutdown.note_end(lease.run, summary.status)


async def read_start(journal: Journal, name: str) -> tuple[RunRow, RunStarted]:
    """Returns a run's row and its first event. Raises `Misused` if its events were pruned."""
    row = await journal.row(await journal.find(name))
    first = next(iter(await journal.events(row.run)), None)
    if not isinstance(first, RunStarted):
        raise Misused(f"run {row.run}: its events were pruned, only its summary is left")
    return row, first


class BodyTexts:
    """The bodies of a run, as text."""

    def __init__(self, found: dict[Ref, bytes]) -> None:
        self._found = found

    def get(self, ref: Ref | None) -> str:
        """Returns the text of a body; `[erased]` for an erased body, and an empty text for None."""
        if not ref:
            return ""
        data = self._found.get(ref)
        return "[erased]" if data is None else data.decode("utf-8", "replace")


async def read_texts(journal: Journal, tenant: str, events: Iterable[Event]) -> BodyTexts:
    """Reads every body that these events refer to, as text."""
    return BodyTexts(await read_bodies(journal, tenant, refs_of(events)))


async def read_bodies(journal: Journal, tenant: str, refs: Iterable[Ref | None]) -> dict[Ref, bytes]:
    """Reads these bodies; erased bodies are left out of the result."""
    wanted = list(dict.fromkeys(ref for ref in refs if ref))
    found: dict[Ref, bytes] = {}
    for start in range(0, len(wanted), READ_AT_ONCE):
        found |= await journal.bodies(tenant, wanted[start : start + READ_AT_ONCE])
    return found
