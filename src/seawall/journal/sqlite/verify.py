"""Checking the whole file: its structure, the chain, every event and body, and each row against what the chain holds.

The chain and the bodies are read in chunks, each in a short snapshot of its own, so that neither memory nor the
write-ahead log grows with the journal; SQLite's own check and the sum of all rows need one snapshot each. A prune
between two chunks removes what was checked already: then the check begins again, at last in a single snapshot.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections.abc import Awaitable, Callable

import msgspec

from seawall.core.errors import JournalDamaged, JournalFailed
from seawall.core.events import CommandTaken, Event, Folded, RunEnded, RunStarted, RunTaken
from seawall.core.refs import refs_of
from seawall.journal.protocol import BadBatch, Verification
from seawall.journal.sqlite.chain import HASH_BYTES, LEAF_PREFIX_BYTES, hash_batch, leaf_of
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.effect_check import MISSING_BODIES, BadRecord, EffectCheck
from seawall.journal.sqlite.mark import Mark
from seawall.journal.sqlite.memory_check import MemoryCheck
from seawall.journal.sqlite.records import Box, Ending, Note, ending_of
from seawall.journal.sqlite.row_sum import HELD, SUM_BYTES, RowSum, check_row, shorten
from seawall.journal.sqlite.seen_bodies import SeenBodies
from seawall.journal.sqlite.shared import check_record
from seawall.journal.sqlite.signing import Signer
from seawall.journal.sqlite.structure import find_damage

BATCHES = 200
"""Batches in one chunk: about 10 ms at 32 events each."""
RUNS = 500
"""Rows of runs in one chunk."""
BODY_BYTES = 8 * 1024 * 1024
"""Bytes of bodies in one chunk: about 10 ms."""
PASSES = 3
"""Times that a check begins. Each commit of a prune ends one, so the last one reads a single snapshot of the file; while
that is held, what others write stays in the write-ahead log."""
FILE = 0
"""The batch that is named for what belongs to no batch, such as a page or an index of the file."""

HEX = re.compile(rb'"([0-9a-f]{64})"')
_events: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Event])
_endings: msgspec.json.Decoder[list[Ending]] = msgspec.json.Decoder(list[Ending])
_notes: msgspec.json.Decoder[list[Note]] = msgspec.json.Decoder(list[Note])

_BATCHES = """
SELECT id, last_entry, at, hash, since, prev, state, mac FROM batches WHERE id > ? ORDER BY id LIMIT ?
"""
_ENTRIES = """
SELECT e.id, e.rk, r.run, e.box, e.seq, e.n, e.data, e.leaf, r.tenant, r.status, r.ended_at, r.pruned
FROM entries e LEFT JOIN runs r ON r.rk = e.rk WHERE e.id > ? AND e.id <= ? ORDER BY e.id
"""
_RUNS = """
SELECT r.rk, r.run, t.name, r.session, r.team, r.app, r.request_id, r.started_at, r.ended_at,
    r.status, r.summary, r.pruned, r.events, r.commands, r.taken,
    (SELECT data FROM entries e WHERE e.rk = r.rk AND box = 0 AND seq = 0),
    (SELECT data FROM entries e WHERE e.rk = r.rk AND box = ? ORDER BY seq DESC LIMIT 1)
FROM runs r LEFT JOIN tenants t ON t.id = r.tenant WHERE r.rk > ? ORDER BY r.rk LIMIT ?
"""
_TAKEN = """
SELECT data FROM entries
WHERE rk = ? AND box = 0 AND data IS NOT NULL AND instr(data, CAST('"type":"command"' AS BLOB))
"""
_LATER = "SELECT 1 FROM entries WHERE rk = ? AND box = 0 AND seq > ? AND instr(data, ?)"
_SEQUENCES = "SELECT box, seq, n FROM entries WHERE rk = ? ORDER BY box, seq"

ReadChunk = Callable[[Callable[[Database], bool]], Awaitable[bool]]


class _Bad(Exception):
    def __init__(self, batch: int, what: str, run: str | None = None, seq: int | None = None) -> None:
        super().__init__(what)
        self.found = BadBatch(batch, what, run or None, seq)


class _PrunedMeanwhile(Exception):
    """Raised when a prune has collapsed batches since the check began."""


class _Message(msgspec.Struct, array_like=True):
    """A message of a conversation, as far as it refers to bodies."""

    role: str
    ref: str
    step: int = 0
    call: str = ""
    name: str = ""
    notes: tuple[str, ...] = ()
    reasoning: str = ""


class _Link(msgspec.Struct):
    """A manifest of a conversation: the one before it, and the messages that a run added."""

    prev: str | None
    messages: tuple[str | _Message, ...]
    folds: tuple[Folded, ...] = ()


_link: msgspec.json.Decoder[_Link] = msgspec.json.Decoder(_Link)


class VerificationPass:
    """One pass over the file. Each `check_` method checks a chunk, and returns False once there is none left."""

    def __init__(self, mark: Mark | None, head: str | None, signer: Signer | None) -> None:
        self._mark = mark
        # The mark is read before any snapshot, so that it is never newer than what is checked.
        self._marked = None if mark is None else mark.read_or_explain()
        self._wanted_head = head
        self._signer = signer
        self._structure: str | None = None
        self._batch = -1
        self._hash = b""
        self._last_entry = 0
        self._rk = 0
        self._body = 0
        self._records = EffectCheck()
        self._memory = MemoryCheck()
        self._generation: object = None
        self._erased = SeenBodies()
        self._manifests = SeenBodies()
        self._collapsed: dict[int, tuple[int, str]] = {}
        self._collapsed_noted: dict[int, tuple[int, str]] = {}
        self._signed = False
        self.reading = "the file"
        """What is being read, for an error that does not say it."""
        self.batches_all = 0
        self.batches = 0
        self.events = 0
        self.bodies = 0
        self.erased = 0
        self.pruned_events = 0
        self.signed_from: int | None = None

    def list_parts(self) -> tuple[Callable[[Database], bool], ...]:
        """Returns what is checked, in order."""
        return (
            *(self.check_structure, self.check_chain, self.check_runs, self.check_bodies),
            *(self.check_records, self.check_rows, self.check_found_structure, self.check_outside),
        )

    def close(self) -> None:
        """Deletes what the pass has noted."""
        self._erased.close()
        self._manifests.close()

    # ---- the file

    def check_structure(self, database: Database) -> bool:
        """Has SQLite check the whole file. What is found is reported if nothing else is, which can name a run."""
        self._structure = find_damage(database)
        return False

    def check_found_structure(self, database: Database) -> bool:
        """Raises if SQLite's check found something."""
        if self._structure is not None:
            raise _Bad(FILE, self._structure)
        return False

    def explain(self, bad: BadBatch) -> BadBatch:
        """Adds what SQLite's check found to what else is bad."""
        if self._structure is None or bad.what == self._structure:
            return bad
        return msgspec.structs.replace(bad, what=f"{bad.what} ({self._structure})")

    # ---- the chain

    def _check_generation(self, database: Database) -> None:
        generation = database.fetch_value("SELECT value FROM meta WHERE key = 'ground'")
        if not isinstance(generation, int):
            raise _Bad(FILE, "row ground of table meta is missing, or not a number")
        if self._generation is None:
            self._generation = generation
            self.batches_all = database.fetch_value("SELECT max(id) FROM batches")
        elif self._generation != generation:
            raise _PrunedMeanwhile

    def check_chain(self, database: Database) -> bool:
        """Checks the next batches and their entries."""
        self.reading = f"a batch after batch {max(self._batch, 0)}, or one of its entries,"
        self._check_generation(database)
        rows = database.fetch_all(_BATCHES, (self._batch, BATCHES))
        if not rows:
            self._check_end(database)
            return False
        if self._batch < 0:
            self._check_genesis(database, rows.pop(0))
        if not rows:
            return True
        entries = database.iterate(_ENTRIES, (self._last_entry, rows[-1][1]))
        entry = next(entries, None)
        wanted: list[tuple[int, str, int]] = []
        for row in rows:
            mine: list[Row] = []
            while entry is not None and entry[0] <= row[1]:
                mine.append(entry)
                entry = next(entries, None)
            self._check_batch(database, row, mine, wanted)
        self._check_refs(database, wanted)
        return True

    def _check_genesis(self, database: Database, row: Row) -> None:
        genesis = database.fetch_value("SELECT value FROM meta WHERE key = 'genesis'")
        if row[0] != 0 or row[1] != 0 or row[3] != genesis:
            raise _Bad(0, "the first batch is not the one that the journal began with")
        self._batch, self._hash, self._last_entry = 0, row[3], row[1]
        self._note_head(row[3])

    def _check_batch(
        self, database: Database, row: Row, entries: list[Row], wanted: list[tuple[int, str, int]]
    ) -> None:
        number, last_entry, at, hash_, since, prev, state, mac = row
        if (number if since is None else since) != self._batch + 1:
            raise _Bad(self._batch + 1, f"the batch is missing; the next one is {number}")
        if since is not None:  # collapsed: its entries are pruned, its links to both neighbours are kept
            if prev != self._hash or number < since or entries or last_entry < self._last_entry:
                raise _Bad(since, "the collapsed batch does not follow the one before it")
            self._collapsed[number] = (since, prev.hex())
        else:
            leaves = [self._check_entry(database, number, entry, wanted) for entry in entries]
            # Keys are whole numbers, sorted and unique, so their bounds and their number say that none is missing.
            bounds = [entry[0] for entry in (*entries[:1], *entries[-1:])]
            expected = [self._last_entry + 1, last_entry] if entries else []
            self.reading = f"batch {number}"
            held = None if state is None else shorten(state)
            if (
                bounds != expected
                or len(entries) != last_entry - self._last_entry
                or hash_batch(self._hash, number, at, leaves, held) != hash_
            ):
                self._raise_for_batch(number, last_entry, entries)
        if len(hash_) != HASH_BYTES:
            raise _Bad(number, "its hash has another length")
        self._check_signature(number, hash_, mac)
        self._note_head(hash_)
        self._batch, self._hash, self._last_entry = number, hash_, last_entry
        self.batches = number

    def _check_signature(self, number: int, hash_: bytes, mac: object) -> None:
        if self._signer is None:
            return
        if mac is None:
            if self._signed:
                raise _Bad(number, "it is not signed, but the batch before it is")
        elif not self._signer.check(hash_, mac):
            raise _Bad(number, "it was not signed with this key")
        elif not self._signed:
            self._signed, self.signed_from = True, number

    def _note_head(self, hash_: bytes) -> None:
        if self._wanted_head == hash_.hex():
            self._wanted_head = None

    def _raise_for_batch(self, number: int, last_entry: int, entries: list[Row]) -> None:
        expected = self._last_entry + 1
        for entry in entries:
            if entry[0] != expected:
                break
            expected += 1
        if expected != last_entry + 1:
            raise _Bad(number, f"entry {expected} is missing")
        raise _Bad(number, "its hash does not follow from its entries and the batch before it")

    def _check_entry(
        self, database: Database, number: int, entry: Row, wanted: list[tuple[int, str, int]]
    ) -> bytes:
        key, rk, run, box, seq, n, data, leaf, tenant, _, _, pruned = entry
        self.reading = f"entry {key}"
        if not all(isinstance(each, int) for each in (rk, box, seq, n)) or n < 1:
            raise _Bad(number, f"entry {key} has numbers that were never written", run)
        if rk != 0 and run is None:
            raise _Bad(number, f"the row of run number {rk} is missing", None, seq)
        if data is None:
            if not pruned or not isinstance(leaf, bytes) or len(leaf) != HASH_BYTES:
                raise _Bad(number, "the content of an entry is gone, but its run was not pruned", run, seq)
            return leaf
        full = leaf_of(run or "", box, seq, n, data)
        if leaf != full[:LEAF_PREFIX_BYTES]:
            raise _Bad(number, f"the entry (box {box}, seq {seq} to {seq + n - 1}) was changed", run, seq)
        if box == Box.LOG:
            self.events += n
            refs = dict.fromkeys(HEX.findall(data))
            wanted.extend((tenant, ref.decode(), key) for ref in refs)
            if b'"type":"run_ended"' in data:
                self._check_status(database, number, entry)
            if b'"transcript":"' in data or b'"history":"' in data:
                self._check_conversations(database, number, entry)
        elif box == Box.NOTES:
            for note in _notes.decode(data):
                self._take_note(database, note)
        return full

    def _take_note(self, database: Database, note: Note) -> None:
        if note.what == "pruned":
            self.pruned_events += note.events
        for since, number, prev in note.collapsed:
            self._collapsed_noted[number] = (since, prev)
        if note.refs:
            tenant = database.fetch_value("SELECT id FROM tenants WHERE name = ?", (note.tenant,))
            for ref in note.refs:
                self.erased += self._erased.add(tenant, bytes.fromhex(ref))

    def _check_status(self, database: Database, number: int, entry: Row) -> None:
        """Checks that a run's row says how its events say that it ended, if it did not go on after that."""
        _, rk, run, _, seq, _, data, _, _, status, ended_at, _ = entry
        for event in _events.decode(data):
            if isinstance(event, RunEnded) and (ended_at is None or event.status != status):
                if database.fetch_first(_LATER, (rk, seq, b'"type":"limits_raised"')) is not None:
                    continue
                recorded = "not ended" if ended_at is None else status
                raise _Bad(number, f"the run's row says {recorded}, its events say {event.status}", run, seq)

    def _check_conversations(self, database: Database, number: int, entry: Row) -> None:
        """Checks that all bodies of the conversations that an entry names are there."""
        _, _, run, _, seq, _, data, _, tenant, *_ = entry
        for event in _events.decode(data):
            ref = event.transcript if isinstance(event, RunEnded) else None
            ref = event.history if isinstance(event, RunTaken) else ref
            while ref is not None and self._manifests.add(tenant, bytes.fromhex(ref)):
                body = database.fetch_value(
                    "SELECT data FROM bodies WHERE tenant = ? AND hash = ?", (tenant, bytes.fromhex(ref))
                )
                if body is None:  # erased, or it will be found to be missing
                    break
                link = _link.decode(body)
                refs = [link.prev or "", *(fold.text for fold in link.folds)]
                refs += [each for message in link.messages for each in _list_refs(message)]
                wanted = [(tenant, each) for each in refs if each]  # a message without a text has no body
                lost = database.fetch_first(MISSING_BODIES, (json.dumps(wanted),))
                if lost is not None:
                    raise _Bad(
                        number, f"body {lost[1][:12]}… of its conversation is missing, not erased", run, seq
                    )
                ref = link.prev

    def _check_refs(self, database: Database, wanted: list[tuple[int, str, int]]) -> None:
        pairs = list(dict.fromkeys((tenant, ref) for tenant, ref, _ in wanted))
        missing = set(database.fetch_all(MISSING_BODIES, (json.dumps(pairs),)))
        refs: dict[int, list[str]] = {}
        for tenant, ref, entry in wanted if missing else ():
            if (tenant, ref) not in missing:
                continue
            if entry not in refs:  # 64 hexadecimal digits may also be a name, or part of a tool's result
                data = database.fetch_value("SELECT data FROM entries WHERE id = ?", (entry,))
                refs = {entry: [*refs_of(_events.decode(data))]}
            if ref in refs[entry]:
                run, seq = database.fetch_one(
                    "SELECT r.run, e.seq FROM entries e JOIN runs r ON r.rk = e.rk WHERE e.id = ?", (entry,)
                )
                raise _Bad(_find_batch(database, entry), f"body {ref[:12]}… is missing, not erased", run, seq)

    def _check_end(self, database: Database) -> None:
        over = database.fetch_value("SELECT count(*) FROM entries WHERE id > ?", (self._last_entry,))
        if over:
            raise _Bad(self._batch + 1, f"{over} entries belong to no batch: the newest batches were cut off")
        lost = None if self._mark is None else self._mark.explain_loss(database, self._marked)
        if lost is not None:
            raise _Bad(self._batch + 1, f"the journal has lost its tail: {lost}")

    def _check_new_batches(self, database: Database) -> None:
        """Checks the batches that were added since the last chunk, in the same snapshot."""
        while self.check_chain(database):
            pass

    # ---- rows

    def check_runs(self, database: Database) -> bool:
        """Checks the next runs' rows against what their events say."""
        self.reading = f"a row of table runs after row {self._rk}, or an entry of that run,"
        self._check_generation(database)
        rows = database.fetch_all(_RUNS, (int(Box.END), self._rk, RUNS))
        for row in rows:
            self._rk = row[0]
            self._check_run(database, row)
        return bool(rows)

    def _check_run(self, database: Database, row: Row) -> None:
        rk, run, tenant, session, team, app, request, started_at, ended_at, status, summary, pruned = row[:12]
        events, commands, taken, first, end = row[12:]
        self.reading = f"the row of run {run!r}, or one of its entries,"
        head = (run, tenant, session, team, app, request, started_at)
        if first is not None:
            s = _events.decode(first)[0]
            if not isinstance(s, RunStarted) or head != (
                *(s.run, s.tenant, s.session, s.team, s.app, s.request_id, s.at),
            ):
                raise _Bad(_batch_of(database, rk), "the run's row differs from its first event", run, 0)
            if pruned:
                raise _Bad(_batch_of(database, rk), "the run's row says that it was pruned", run, 0)
        elif not pruned:
            raise _Bad(_batch_of(database, rk), "the run's first event is missing", run, 0)
        ends = [] if end is None else _endings.decode(end)
        if (ended_at is None) != (not ends):
            raise _Bad(_batch_of(database, rk), "the run's row and its end record differ", run)
        if ends and ends[0] != ending_of(*head, ended_at, status, summary):
            raise _Bad(_batch_of(database, rk), "the run's row differs from its end record", run)
        if not pruned:
            self._check_sequences(database, rk, run, {Box.LOG: events, Box.INBOX: commands})
        if (commands or taken) and ended_at is None:  # later nothing reads it any more
            self._check_taken(database, rk, run, taken)

    def _check_sequences(self, database: Database, rk: int, run: str, counts: dict[Box, int]) -> None:
        next_seq = dict.fromkeys(counts, 0)
        for box, seq, n in database.fetch_all(_SEQUENCES, (rk,)):
            if box in counts:
                if seq != next_seq[Box(box)]:
                    raise _Bad(_batch_of(database, rk), f"box {box} has a gap before seq {seq}", run, seq)
                next_seq[Box(box)] += n
        for box, count in counts.items():
            if next_seq[box] != count:
                what = f"the run's row says {count!r} in box {int(box)}, and there are {next_seq[box]}"
                raise _Bad(_batch_of(database, rk), what, run)

    def _check_taken(self, database: Database, rk: int, run: str, taken: object) -> None:
        rows = database.fetch_all(_TAKEN, (rk,))
        events = [event for (data,) in rows for event in _events.decode(data)]
        expected = max((event.inbox + 1 for event in events if isinstance(event, CommandTaken)), default=0)
        if taken != expected:
            what = f"the run's row says that {taken!r} commands were taken, its events say {expected}"
            raise _Bad(_batch_of(database, rk), what, run)

    def check_records(self, database: Database) -> bool:
        """Checks the next records of effects and of memory."""
        try:
            self.reading = "a record of an effect, a proposal, a fact or a principal"
            if self._records.check_next(database):
                return True
            self.reading = "a record of memory"
            return self._memory.check_next(database)
        except BadRecord as bad:
            newest = database.fetch_value("SELECT id FROM batches ORDER BY id DESC LIMIT 1")
            raise _Bad(newest, str(bad), bad.run) from None

    def check_rows(self, database: Database) -> bool:
        """Checks all rows that are changed in place against the sum in the newest batch."""
        self._check_new_batches(database)
        newest, state = database.fetch_one("SELECT id, state FROM batches ORDER BY id DESC LIMIT 1")
        total = RowSum()
        for table, columns in HELD.items():
            self.reading = f"a row of table {table}"
            for leaf, *values in database.iterate(f"SELECT leaf, {columns} FROM {table}"):
                try:
                    digest = (
                        check_record(values[0], values[1], leaf)
                        if table == "shared"
                        else check_row(table, values, leaf)
                    )
                    if digest is not None:
                        total.add(digest)
                except JournalDamaged as error:
                    raise _Bad(newest, str(error), values[1] if table == "runs" else None) from None
        if not isinstance(state, bytes) or len(state) != SUM_BYTES or total.to_bytes() != state:
            tables = ", ".join(HELD)
            raise _Bad(newest, f"a row of tables {tables} was added, deleted or put back; the sum differs")
        for number, (since, prev) in self._collapsed.items():
            if self._collapsed_noted.get(number) != (since, prev):
                raise _Bad(since, f"batches up to {number} are gone, and no note says that they were pruned")
        return False

    def check_bodies(self, database: Database) -> bool:
        """Checks the next bodies against their hashes."""
        size = 0
        self._check_generation(database)
        rows = database.iterate(
            "SELECT id, tenant, hash, data FROM bodies WHERE id > ? ORDER BY id", (self._body,)
        )
        for key, tenant, hash_, data in rows:
            self._body = key
            self.reading = f"row {key} of table bodies"
            self.bodies += 1
            if data is None:
                self._check_erased(database, tenant, hash_)
            elif hashlib.sha256(data).digest() != hash_:
                self._raise_for_body(database, tenant, hash_, "is not what its hash says")
            elif self.erased and self._erased.has(tenant, hash_):  # it was written again since
                self.erased -= 1
            size += 256 + len(data or b"")
            if size >= BODY_BYTES:
                return True
        return False

    def _check_erased(self, database: Database, tenant: int, hash_: bytes) -> None:
        if not self._erased.has(tenant, hash_):
            self._check_new_batches(database)
            if not self._erased.has(tenant, hash_):
                self._raise_for_body(database, tenant, hash_, "is gone, and no note says that it was erased")

    def _raise_for_body(self, database: Database, tenant: int, hash_: object, what: str) -> None:
        ref = hash_.hex() if isinstance(hash_, bytes) else repr(hash_)
        row = database.fetch_first(
            "SELECT e.id, r.run, e.seq FROM entries e JOIN runs r ON r.rk = e.rk "
            "WHERE r.tenant = ? AND e.box = 0 AND instr(e.data, CAST(? AS BLOB)) ORDER BY e.id LIMIT 1",
            (tenant, ref),
        )
        place = (FILE, None, None) if row is None else (_find_batch(database, row[0]), *row[1:])
        raise _Bad(place[0], f"body {ref[:12]}… {what}", *place[1:])

    # ---- what is known from outside

    def check_outside(self, database: Database) -> bool:
        """Checks what is known from outside of the file: the mark, the head that was kept, the key."""
        if self._mark is not None and self._mark.is_absent:
            raise _Bad(
                FILE,
                f"its high-water mark {self._mark.path} was gone when the journal was opened, so a lost tail "
                "can't be noticed. A new one has been begun: check again, if that is as it should be",
            )
        if self._wanted_head is not None:
            gone = sum(number - since + 1 for number, (since, _) in self._collapsed.items())
            pruned = f", or it was one of {gone} batches that were pruned since" if gone else ""
            raise _Bad(
                FILE,
                f"the head {self._wanted_head[:12]}… is not in the chain: the history was rewritten or cut{pruned}",
            )
        if self._signer is not None and not self._signed:
            raise _Bad(FILE, "no batch is signed")
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
            signed_from=self.signed_from,
            marked=self._mark is None or self._marked is not None,
            bad=bad,
        )


def _list_refs(message: str | _Message) -> list[str]:
    return [message] if isinstance(message, str) else [message.ref, *message.notes, message.reasoning]


def _batch_of(database: Database, rk: int) -> int:
    entry = database.fetch_value("SELECT min(id) FROM entries WHERE rk = ?", (rk,))
    return _find_batch(database, entry)


def _find_batch(database: Database, entry: int | None) -> int:
    return database.fetch_value("SELECT min(id) FROM batches WHERE last_entry >= ?", (entry or 0,)) or FILE


async def verify(
    read: ReadChunk,
    mark: Mark | None,
    progress: Callable[[int, int], None] | None,
    head: str | None = None,
    signer: Signer | None = None,
) -> Verification:
    """Checks the whole file; `read` checks one chunk in a reading thread."""
    passes = 0
    while True:
        passes += 1
        check = VerificationPass(mark, head, signer)
        try:
            await (_check_parts if passes < PASSES else _check_snapshot)(check, read, progress)
        except _Bad as bad:
            return check.make_result(check.explain(bad.found))
        except (JournalDamaged, JournalFailed) as error:
            what = f"{check.reading} can't be read: {error}"
            return check.make_result(check.explain(BadBatch(check.batches + 1, what)))
        except _PrunedMeanwhile:
            continue
        finally:
            check.close()
        return check.make_result(None)


async def _check_parts(
    check: VerificationPass, read: ReadChunk, progress: Callable[[int, int], None] | None
) -> None:
    for part in check.list_parts():
        while await read(part):
            if progress is not None:
                progress(check.batches, max(check.batches, check.batches_all))


async def _check_snapshot(
    check: VerificationPass, read: ReadChunk, progress: Callable[[int, int], None] | None
) -> None:
    loop, stopped = asyncio.get_running_loop(), threading.Event()

    def check_all(database: Database) -> bool:
        for part in check.list_parts():
            while not stopped.is_set() and part(database):
                if progress is not None:
                    loop.call_soon_threadsafe(progress, check.batches, max(check.batches, check.batches_all))
        return False

    try:
        await read(check_all)
    finally:
        stopped.set()
