"""Checking the whole file: the chain, every event and body, and each run's row against its events.

It reads in chunks, each in a short snapshot of its own, so that neither memory nor the write-ahead log grows with
the journal. A prune between two chunks removes what was checked already: then the check begins again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable

import msgspec

from seawall.core.errors import Broken, JournalFailed
from seawall.core.events import Event, RunEnded, RunStarted, refs_of
from seawall.journal.protocol import BadBatch, Verification
from seawall.journal.sqlite.chain import LEAF_PREFIX_BYTES, hash_batch, leaf_of
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.mark import Mark
from seawall.journal.sqlite.records import Ending, Note, ending_of
from seawall.journal.sqlite.schema import Box

BATCHES = 200
"""Batches in one chunk: about 10 ms at 32 events each."""
RUNS = 500
"""Rows of runs in one chunk."""
BODY_BYTES = 8 * 1024 * 1024
"""Bytes of bodies in one chunk: about 10 ms."""
RESTARTS = 3
"""Times that a check begins again before it gives up. A prune takes far longer than a check, so few can interrupt it."""

HEX = re.compile(rb'"([0-9a-f]{64})"')
_events: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Event])
_endings: msgspec.json.Decoder[list[Ending]] = msgspec.json.Decoder(list[Ending])
_notes: msgspec.json.Decoder[list[Note]] = msgspec.json.Decoder(list[Note])

_ENTRIES = """
SELECT e.id, e.rk, r.run, e.box, e.seq, e.n, e.data, e.leaf, r.tenant, r.status, r.ended_at, r.pruned
FROM entries e LEFT JOIN runs r ON r.rk = e.rk WHERE e.id > ? AND e.id <= ? ORDER BY e.id
"""
_MISSING = """
SELECT wanted.value ->> 0, wanted.value ->> 1 FROM json_each(?) AS wanted
WHERE NOT EXISTS (SELECT 1 FROM bodies b
    WHERE b.tenant = wanted.value ->> 0 AND b.hash = unhex(wanted.value ->> 1))
"""

ReadChunk = Callable[[Callable[[Database], bool]], Awaitable[bool]]


class _Bad(Exception):
    def __init__(self, batch: int, what: str, run: str | None = None, seq: int | None = None) -> None:
        super().__init__(what)
        self.found = BadBatch(batch, what, run or None, seq)


class _PrunedMeanwhile(Exception):
    """Raised when a prune has collapsed batches since the check began."""


class VerificationPass:
    """One pass over the file. Each `check_` method checks a chunk, and returns False once there is none left."""

    def __init__(self, mark: Mark | None) -> None:
        self._mark = mark
        # The mark is read before any snapshot, so that it is never newer than what is checked.
        self._marked = None if mark is None else mark.read_or_explain()
        self._batch = -1
        self._hash = b""
        self._last_entry = 0
        self._rk = 0
        self._body = 0
        self._generation: object = None
        self.batches_all = 0
        self.batches = 0
        self.events = 0
        self.bodies = 0
        self.erased = 0
        self.pruned_events = 0

    def _check_generation(self, database: Database) -> None:
        generation = database.fetch_value("SELECT value FROM meta WHERE key = 'ground'")
        if self._generation is None:
            self._generation = generation
            self.batches_all = database.fetch_value("SELECT max(id) FROM batches")
        elif self._generation != generation:
            raise _PrunedMeanwhile

    def check_chain(self, database: Database) -> bool:
        """Checks the next batches and their entries."""
        self._check_generation(database)
        rows = database.fetch_all(
            "SELECT id, last_entry, at, hash, since, prev FROM batches WHERE id > ? ORDER BY id LIMIT ?",
            (self._batch, BATCHES),
        )
        if not rows:
            self._check_end(database)
            return False
        if self._batch < 0:
            self._check_genesis(database, rows.pop(0))
        if not rows:
            return True
        entries = database.iterate(_ENTRIES, (self._last_entry, rows[-1][1]))
        entry = next(entries, None)
        wanted: list[tuple[int, str]] = []
        for row in rows:
            mine: list[Row] = []
            while entry is not None and entry[0] <= row[1]:
                mine.append(entry)
                entry = next(entries, None)
            self._check_batch(row, mine, wanted)
        self._check_refs(database, wanted)
        return True

    def _check_genesis(self, database: Database, row: Row) -> None:
        genesis = database.fetch_value("SELECT value FROM meta WHERE key = 'genesis'")
        if row[0] != 0 or row[3] != genesis:
            raise _Bad(0, "the first batch is not the one that the journal began with")
        self._batch, self._hash, self._last_entry = 0, row[3], row[1]

    def _check_batch(self, row: Row, entries: list[Row], wanted: list[tuple[int, str]]) -> None:
        number, last_entry, at, hash_, since, prev = row
        if (number if since is None else since) != self._batch + 1:
            raise _Bad(self._batch + 1, f"the batch is missing; the next one is {number}")
        if since is not None:  # collapsed: its entries are pruned, its links to both neighbours are kept
            if prev != self._hash:
                raise _Bad(since, "the collapsed batch does not follow the one before it")
        else:
            leaves = [self._check_entry(number, entry, wanted) for entry in entries]
            if hash_batch(self._hash, number, at, leaves) != hash_:
                self._raise_for_batch(number, last_entry, entries)
        self._batch, self._hash, self._last_entry = number, hash_, last_entry
        self.batches = number

    def _raise_for_batch(self, number: int, last_entry: int, entries: list[Row]) -> None:
        expected = self._last_entry + 1
        for entry in entries:
            if entry[0] != expected:
                break
            expected += 1
        if expected != last_entry + 1:
            raise _Bad(number, f"entry {expected} is missing")
        raise _Bad(number, "its hash does not follow from its entries and the batch before it")

    def _check_entry(self, number: int, entry: Row, wanted: list[tuple[int, str]]) -> bytes:
        _, rk, run, box, seq, n, data, leaf, tenant, status, ended_at, pruned = entry
        if rk != 0 and run is None:
            raise _Bad(number, f"the row of run number {rk} is missing", None, seq)
        if data is None:
            if not pruned or len(leaf) != hashlib.sha256().digest_size:
                raise _Bad(number, "the content of an entry is gone, but its run was not pruned", run, seq)
            return leaf
        full = leaf_of(run or "", box, seq, n, data)
        if leaf != full[:LEAF_PREFIX_BYTES]:
            raise _Bad(number, f"the entry (box {box}, seq {seq} to {seq + n - 1}) was changed", run, seq)
        if box == Box.LOG:
            self.events += n
            wanted.extend((tenant, ref.decode()) for ref in HEX.findall(data))
            if b'"type":"run_ended"' in data:
                self._check_status(number, run, seq, data, status, ended_at)
        elif box == Box.NOTES:
            self.pruned_events += sum(note.events for note in _notes.decode(data))
        return full

    def _check_status(
        self, number: int, run: str, seq: int, data: bytes, status: str | None, ended_at: float | None
    ) -> None:
        for event in _events.decode(data):
            if isinstance(event, RunEnded) and (ended_at is None or event.status != status):
                recorded = "not ended" if ended_at is None else status
                raise _Bad(number, f"the run's row says {recorded}, its events say {event.status}", run, seq)

    def _check_refs(self, database: Database, wanted: list[tuple[int, str]]) -> None:
        missing = database.fetch_all(_MISSING, (json.dumps(list(dict.fromkeys(wanted))),))
        for tenant, ref in missing:  # 64 hexadecimal digits may also be part of a tool's result
            batch, run, seq, data = find_first_mention(database, tenant, ref)
            if ref in refs_of(_events.decode(data)):
                raise _Bad(batch, f"body {ref[:12]}… is missing, not erased", run, seq)

    def _check_end(self, database: Database) -> None:
        over = database.fetch_value("SELECT count(*) FROM entries WHERE id > ?", (self._last_entry,))
        if over:
            raise _Bad(self._batch + 1, f"{over} entries belong to no batch: the newest batches were cut off")
        lost = None if self._mark is None else self._mark.explain_loss(database, self._marked)
        if lost is not None:
            raise _Bad(self._batch + 1, f"the journal has lost its tail: {lost}")

    def check_runs(self, database: Database) -> bool:
        """Checks the next runs' rows against what their events say."""
        self._check_generation(database)
        rows = database.fetch_all(
            "SELECT r.rk, r.run, t.name, r.session, r.team, r.app, r.request_id, r.started_at, r.ended_at, "
            "r.status, r.summary, r.pruned, "
            "(SELECT data FROM entries e WHERE e.rk = r.rk AND box = 0 AND seq = 0), "
            "(SELECT data FROM entries e WHERE e.rk = r.rk AND box = ? AND seq = 0) "
            "FROM runs r LEFT JOIN tenants t ON t.id = r.tenant WHERE r.rk > ? ORDER BY r.rk LIMIT ?",
            (int(Box.END), self._rk, RUNS),
        )
        for row in rows:
            self._rk = row[0]
            self._check_run(database, row)
        return bool(rows)

    def _check_run(self, database: Database, row: Row) -> None:
        rk, run, tenant, session, team, app, request, started_at, ended_at, status, summary, pruned = row[:12]
        first, end = row[12:]
        head = (run, tenant, session, team, app, request, started_at)
        if first is not None:
            s = _events.decode(first)[0]
            if not isinstance(s, RunStarted) or head != (
                *(s.run, s.tenant, s.session, s.team, s.app, s.request_id, s.at),
            ):
                raise _Bad(_batch_of(database, rk), "the run's row differs from its first event", run, 0)
        elif not pruned:
            raise _Bad(_batch_of(database, rk), "the run's first event is missing", run, 0)
        if (ended_at is None) != (end is None):
            raise _Bad(_batch_of(database, rk), "the run's row and its end record differ", run)
        if end is not None and _endings.decode(end)[0] != ending_of(*head, ended_at, status, summary):
            raise _Bad(_batch_of(database, rk), "the run's row differs from its end record", run)

    def check_bodies(self, database: Database) -> bool:
        """Checks the next bodies against their hashes."""
        size = 0
        rows = database.iterate(
            "SELECT id, tenant, hash, data FROM bodies WHERE id > ? ORDER BY id", (self._body,)
        )
        for key, tenant, hash_, data in rows:
            self._body = key
            self.bodies += 1
            if data is None:
                self.erased += 1
            elif hashlib.sha256(data).digest() != hash_:
                ref = bytes(hash_).hex()
                batch, run, seq, _ = find_first_mention(database, tenant, ref)
                raise _Bad(batch, f"body {ref[:12]}… is not what its hash says", run, seq)
            size += 256 + len(data or b"")
            if size >= BODY_BYTES:
                return True
        return False

    def make_result(self, bad: BadBatch | None) -> Verification:
        """Returns what was found."""
        return Verification(
            ok=bad is None,
            batches=self.batches,
            events=self.events,
            bodies=self.bodies,
            erased=self.erased,
            pruned_events=self.pruned_events,
            head=self._hash.hex(),
            bad=bad,
        )


def _batch_of(database: Database, rk: int) -> int:
    entry = database.fetch_value("SELECT min(id) FROM entries WHERE rk = ?", (rk,))
    return _find_batch(database, entry)


def _find_batch(database: Database, entry: int | None) -> int:
    return database.fetch_value("SELECT min(id) FROM batches WHERE last_entry >= ?", (entry or 0,)) or 0


def find_first_mention(
    database: Database, tenant: int, ref: str
) -> tuple[int, str | None, int | None, bytes]:
    """Returns batch, run, seq and data of the first entry that names a body."""
    row = database.fetch_first(
        "SELECT e.id, r.run, e.seq, e.data FROM entries e JOIN runs r ON r.rk = e.rk "
        "WHERE r.tenant = ? AND e.box = 0 AND instr(e.data, CAST(? AS BLOB)) ORDER BY e.id LIMIT 1",
        (tenant, ref),
    )
    return (0, None, None, b"[]") if row is None else (_find_batch(database, row[0]), *row[1:])


async def verify(
    read: ReadChunk, mark: Mark | None, progress: Callable[[int, int], None] | None
) -> Verification:
    """Checks the whole file; `read` checks one chunk in a reading thread."""
    for _ in range(RESTARTS):
        check = VerificationPass(mark)
        try:
            for part in (check.check_chain, check.check_runs, check.check_bodies):
                while await read(part):
                    if progress is not None:
                        progress(check.batches, max(check.batches, check.batches_all))
        except _Bad as bad:
            return check.make_result(bad.found)
        except (msgspec.MsgspecError, JournalFailed) as error:
            return check.make_result(BadBatch(check.batches + 1, f"can't be read: {error}"))
        except _PrunedMeanwhile:
            continue
        return check.make_result(None)
    raise Broken(f"the journal was pruned {RESTARTS} times while it was checked; check it again")
