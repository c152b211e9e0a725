"""The changes that one operation of the writer makes to effects and proposals: all of them, or none.

A `RecordDraft` reads the facts that the rules need, collects the records that they return, and writes these at the end.
So an operation that is refused part of the way has written nothing.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, TypeVar

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import Ref, encode_text
from seawall.core.errors import JournalDamaged, Misused, Refused, SeawallBug
from seawall.journal.ballot_rules import delay_changes, make_command
from seawall.journal.effect_rules import (
    CLAIMED,
    NOTHING,
    Over,
    begin_attempt,
    count_amount,
    exact,
    holds_for,
    settle_in_run,
)
from seawall.journal.protocol import (
    Command,
    DecisionRecord,
    EffectClaim,
    EffectRecord,
    EntriesRead,
    Fact,
    FactAdded,
    FactsTold,
    PrincipalRecord,
    Proposal,
    RecordChange,
    Settle,
    Wait,
)
from seawall.journal.sqlite.accounts import ALL, money_to_text
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.effect_rows import (
    SELECT_EFFECT,
    SELECT_FACT,
    SELECT_PRINCIPAL,
    SELECT_PROPOSAL,
    decode_effect,
    decode_fact,
    decode_principal,
    decode_proposal,
    encode_effect,
    encode_fact,
    encode_principal,
    encode_proposal,
)
from seawall.journal.sqlite.memory_reads import note_reads
from seawall.journal.sqlite.records import Box
from seawall.journal.sqlite.row_sum import HELD, check_row
from seawall.journal.sqlite.transaction import Transaction

T = TypeVar("T")
SumKey = tuple[str, str, str, str]
"""Tenant, tool, day and currency."""

_encode = msgspec.json.Encoder(enc_hook=encode_text).encode

_BEGUN = "run = ? AND state IN ('proposed', 'approved', 'attempting')"
_HAS_RECORDS = """
SELECT EXISTS (SELECT 1 FROM effects WHERE run = ?1 AND state IN ('proposed', 'approved', 'attempting'))
    OR EXISTS (SELECT 1 FROM proposals WHERE run = ?1) OR EXISTS (SELECT 1 FROM waits WHERE run = ?1)
"""
_SUM = f"SELECT leaf, {HELD['sums']} FROM sums WHERE tenant = ? AND tool = ? AND day = ? AND currency = ?"
_REJECTED = (
    "WHERE e.tenant = ? AND e.hash = ? AND e.rejected_until IS NOT NULL AND e.rejected_until > ? "
    "ORDER BY e.rejected_until DESC"
)
_REJECTED_IN_RUN = "WHERE e.run = ? AND e.rejected_until IS NOT NULL AND e.rejected_until > ?"


@dataclass(slots=True)
class _Slot(Generic[T]):
    """A record as it is in the file, and as it will be."""

    old: Row | None
    record: T | None
    changed: bool = False


@dataclass(slots=True)
class _Outbox:
    """Rows that are written in addition to the records."""

    waits: list[Row] = field(default_factory=list[Row])
    answered: list[Row] = field(default_factory=list[Row])
    commands: list[tuple[str, Command]] = field(default_factory=list[tuple[str, Command]])
    decisions: list[DecisionRecord] = field(default_factory=list[DecisionRecord])
    bodies: list[tuple[str, Sequence[tuple[bytes, bytes]]]] = field(
        default_factory=list[tuple[str, Sequence[tuple[bytes, bytes]]]]
    )
    facts: list[Row] = field(default_factory=list[Row])
    reads: list[tuple[str, EntriesRead]] = field(default_factory=list[tuple[str, EntriesRead]])
    added: list[tuple[str, FactAdded]] = field(default_factory=list[tuple[str, FactAdded]])


class RecordDraft:
    """The records that one operation reads and changes."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._database = tx.database
        self._effects: dict[str, _Slot[EffectRecord]] = {}
        self._proposals: dict[str, _Slot[Proposal]] = {}
        self._principals: dict[str, _Slot[PrincipalRecord]] = {}
        self._sums: dict[SumKey, tuple[Decimal, Decimal]] = {}
        """The amounts that are added to each sum."""
        self._outbox = _Outbox()

    # ---- reading

    def find_effect(self, key: str) -> EffectRecord | None:
        """Returns an effect by its whole id; None if there is none."""
        return self._find(self._effects, SELECT_EFFECT, decode_effect, key)

    def _find(
        self, slots: dict[str, _Slot[T]], select: str, decode: Callable[[Row], T], key: str
    ) -> T | None:
        """Returns a record by its whole id, with this operation's changes; None if there is none."""
        slot = slots.get(key)
        if slot is None:
            row = self._database.fetch_first(f"{select} WHERE e.id = ?", (key,))
            slot = slots[key] = _Slot(None, None) if row is None else _Slot(row[3:], decode(row))
        return slot.record

    def _note_effects(self, rows: Sequence[Row]) -> list[EffectRecord]:
        """Returns the effects of rows, with this operation's changes."""
        found: list[EffectRecord] = []
        for row in rows:
            slot = self._effects.setdefault(row[4], _Slot(row[3:], decode_effect(row)))
            if slot.record is not None:
                found.append(slot.record)
        return found

    def find_own(self, run: str, call: str) -> EffectRecord | None:
        """Returns the newest effect of a call."""
        rows = self._database.fetch_all(
            f"{SELECT_EFFECT} WHERE e.run = ? AND e.call = ? ORDER BY e.pk DESC", (run, call)
        )
        return next(iter(self._note_effects(rows)), None)

    def find_newest(self, identity: str) -> EffectRecord | None:
        """Returns the newest effect of an identity."""
        # one of the two may have been freed by this operation
        rows = self._database.fetch_all(
            f"{SELECT_EFFECT} WHERE e.identity = ? AND e.identity != '' ORDER BY e.number DESC LIMIT 2",
            (identity,),
        )
        return next(iter(self._note_effects(rows)), None)

    def find_proposal(self, key: str) -> Proposal | None:
        """Returns a proposal by its whole id; None if there is none."""
        return self._find(self._proposals, SELECT_PROPOSAL, decode_proposal, key)

    def find_rejected(self, claim: EffectClaim, now: float) -> Proposal | None:
        """Returns a rejected proposal that still holds and that answers this claim. Within the run, a proposal that
        looks the same counts as the same.
        """
        key = self._tx.find_tenant_id(claim.tenant)
        if key is None or not claim.hash:
            return None
        rows = self._database.fetch_all(f"{SELECT_PROPOSAL} {_REJECTED}", (key, claim.hash, now))
        same = next((found for found in map(decode_proposal, rows) if holds_for(found, claim)), None)
        if same is not None or not (claim.identity and claim.likeness):
            return same
        rows = self._database.fetch_all(f"{SELECT_PROPOSAL} {_REJECTED_IN_RUN}", (claim.run, now))
        return next((each for each in map(decode_proposal, rows) if each.likeness == claim.likeness), None)

    def find_sums(self, claim: EffectClaim, day: str) -> dict[Over, Decimal]:
        """Returns the sums that a claim's rules need, each as the total of reserved and spent."""
        amount = claim.amount
        if amount is None:
            return {}
        currency = amount.currency
        sums: dict[Over, Decimal] = {}
        asked: set[Over] = {rule.over for rule in claim.rules}
        for over in asked:
            if over == "run":
                sums[over] = self._sum_run(claim, currency)
            elif over != "call":
                key = claim.tenant, claim.tool, day if over == "day" else ALL, currency
                sums[over] = exact.add(*self._add_to_sum(key)[1])
        return sums

    def _sum_run(self, claim: EffectClaim, currency: str) -> Decimal:
        rows = self._database.fetch_all(f"{SELECT_EFFECT} WHERE e.run = ?", (claim.run,))
        total = NOTHING
        for record in self._note_effects(rows):
            if record.tool == claim.tool and record.amount is not None and record.amount.currency == currency:
                total = exact.add(total, exact.add(*count_amount(record)))
        return total

    def _add_to_sum(self, key: SumKey) -> tuple[Row | None, tuple[Decimal, Decimal]]:
        """Returns the row of a sum, and its value with this operation's changes."""
        tenant = self._tx.find_tenant_id(key[0])
        row = None if tenant is None else self._database.fetch_first(_SUM, (tenant, *key[1:]))
        reserved, spent = self._sums.get(key, (NOTHING, NOTHING))
        if row is None:
            return None, (reserved, spent)
        check_row("sums", row[1:], row[0])
        old = row[1:]
        return old, (exact.add(Decimal(old[4]), reserved), exact.add(Decimal(old[5]), spent))

    def find_principal(self, *, key_hash: str) -> PrincipalRecord | None:
        """Returns the principal that has a key; None if there is none."""
        row = self._database.fetch_first(f"{SELECT_PRINCIPAL} WHERE key_hash = ?", (key_hash,))
        return None if row is None else decode_principal(row)

    def has_principals(self) -> bool:
        """Returns whether the journal has, or had, principals."""
        return self._database.fetch_first("SELECT 1 FROM principals LIMIT 1") is not None

    def has_ended(self, run: str) -> bool | None:
        """Returns whether a run has ended; None if the journal does not know it."""
        self._tx.load([run], ())
        state = self._tx.find(run)
        return None if state is None else self._tx.get_run(run).ended

    # ---- changing

    def put_effect(self, record: EffectRecord) -> None:
        """Changes or adds an effect, and updates the sums."""
        before = self.find_effect(record.id)
        if before is not None and (before.run, before.call) != (record.run, record.call):
            what = f"key {record.key!r} belongs to call {before.call} of run {before.run} already"
            raise (
                JournalDamaged(f"{what}, and is not found by its identity")
                if record.identity
                else Misused(what)
            )
        slot = self._effects[record.id]
        slot.changed = slot.changed or record != before
        slot.record = record
        self._count(before, record)

    def _count(self, before: EffectRecord | None, after: EffectRecord | None) -> None:
        for record, sign in ((before, -1), (after, 1)):
            if record is None or record.amount is None:
                continue
            reserved, spent = (amount if sign > 0 else exact.minus(amount) for amount in count_amount(record))
            for day in (record.day, ALL):
                key = record.tenant, record.tool, day, record.amount.currency
                old = self._sums.get(key, (NOTHING, NOTHING))
                self._sums[key] = exact.add(old[0], reserved), exact.add(old[1], spent)

    def free_effect(self, record: EffectRecord) -> None:
        """Gives up a claim that was not attempted: its identity becomes free, and the runs that wait for it are
        woken.
        """
        if record.state not in CLAIMED:
            raise SeawallBug(f"effect {record.id} is {record.state}; only a claim can be freed")
        slot = self._effects[record.id]
        slot.record, slot.changed = None, True
        self._count(record, None)
        self._wake(record.id, None, None)

    def settle_effect(self, before: EffectRecord | None, after: EffectRecord) -> None:
        """Stores an effect with its new state. If the state is final, the runs that wait for the effect are woken."""
        self.put_effect(after)
        if after.state in ("committed", "failed") and (before is None or before.state != after.state):
            self._wake(after.id, after.state == "committed", after)

    def tell(self, record: EffectRecord, at: float) -> None:
        """Adds a fact, so that the session's next run is told of an effect that was settled after its run had ended."""
        text = record.receipt or record.arguments
        self._tx.load([record.run], ())
        run = self._tx.find(record.run)
        if record.session is None or text is None or (run is not None and not run.ended):
            return
        told = FactAdded(session=record.session, at=at, run=record.run, text=text, effect=record.id)
        self._outbox.added.append((record.tenant, told))

    def _wake(self, effect: str, done: bool | None, record: EffectRecord | None) -> None:
        rows = self._database.fetch_all(
            f"SELECT leaf, {HELD['waits']} FROM waits WHERE effect = ?", (effect,)
        )
        for row in rows:
            check_row("waits", row[1:], row[0])
            if row[1:] not in self._outbox.answered:
                self._outbox.answered.append(row[1:])
                self._answer_wait(row[2], row[3], done, record)

    def _answer_wait(self, run: str, step: int, done: bool | None, record: EffectRecord | None) -> None:
        output = None if record is None else record.receipt
        command = Command(kind="settled", step=step, approved=done, output=output)
        tenant = self._find_tenant(run)
        if output is not None and record is not None and tenant != record.tenant:
            command = replace(command, output=None)  # a body of another tenant
        self._outbox.commands.append((run, command))

    def _find_tenant(self, run: str) -> str | None:
        self._tx.load([run], ())
        state = self._tx.find(run)
        return None if state is None else self._tx.find_tenant_name(state.tenant)

    def put_proposal(self, record: Proposal) -> None:
        """Changes or adds a proposal."""
        before = self.find_proposal(record.id)
        slot = self._proposals[record.id]
        slot.changed = slot.changed or record != before
        slot.record = record

    def close_proposal(self, record: Proposal, *, stop: bool = False) -> None:
        """Stores a proposal that is decided, expired or void. Its run gets the command, and the claim that it was made
        for is freed.
        """
        self.put_proposal(record)
        command = make_command(record, stop=stop)
        if command is not None:
            self.send(record.run, command)
        effect = self.find_effect(record.effect) if record.effect and record.state != "approved" else None
        if effect is not None and effect.state == "proposed" and effect.proposal in ("", record.id):
            self.free_effect(effect)

    def put_principal(self, record: PrincipalRecord, *, new: bool) -> PrincipalRecord | None:
        """Changes or adds a principal; returns its earlier record. Raises `Misused` for a key that another principal
        has and, with `new`, for a principal that has a key.
        """
        holder = self.find_principal(key_hash=record.key_hash)
        if holder is not None and holder.name != record.name:
            raise Misused(f"principal {record.name!r}: {holder.name!r} has this key")
        row = self._database.fetch_first(f"{SELECT_PRINCIPAL} WHERE name = ?", (record.name,))
        before = None if row is None else decode_principal(row)
        if new and before is not None and before.removed_at is None:
            raise Misused(
                f"principal {record.name!r} has a key; to give another: seawall principals remove "
                f"{shlex.quote(record.name)}"
            )
        self._principals[record.name] = _Slot(None if row is None else row[1:], record, True)
        return before

    def send(self, run: str, command: Command) -> None:
        """Sends a command to a run, unless it has ended."""
        self._outbox.commands.append((run, command))

    def note(self, decision: DecisionRecord) -> None:
        """Adds a record to the history of decisions."""
        self._outbox.decisions.append(decision)

    def add_bodies(
        self, tenant: str, bodies: Sequence[tuple[bytes, bytes]], refs: Sequence[Ref | None]
    ) -> None:
        """Stores bodies. Raises `Misused` if one that a record refers to is neither among them nor in the journal."""
        given = {hash_ for hash_, _ in bodies}
        for ref in refs:
            if ref is None or bytes.fromhex(ref) in given:
                continue
            if not self._tx.has_body(tenant, bytes.fromhex(ref)):
                raise Misused(f"body {ref} is not in the journal, and was not given either")
        if bodies:
            self._outbox.bodies.append((tenant, bodies))

    # ---- what an append carries

    def apply(self, run: str, tenant: str, records: Sequence[RecordChange]) -> None:
        """Applies the changes that come with an append or a new run. Waits are applied last, so that they see what was
        settled.
        """
        for change in sorted(records, key=lambda change: isinstance(change, Wait)):
            if isinstance(change, Settle):
                self._apply_settle(run, change)
            elif isinstance(change, Proposal):
                self._apply_proposal(run, tenant, change)
            elif isinstance(change, Wait):
                self._apply_wait(run, change)
            elif isinstance(change, FactsTold):
                self._apply_told(tenant, change)
            elif isinstance(change, EntriesRead):
                self._outbox.reads.append((run, change))
            else:
                self._outbox.added.append((tenant, change))

    def _apply_settle(self, run: str, change: Settle) -> None:
        before = self.find_effect(change.effect)
        if change.state == "attempting":
            self._use_up_permission(begin_attempt(before, change, run))
            return
        after = settle_in_run(before, change, run)
        self.settle_effect(before, after)
        if change.by and after != before:
            self.note(record_settled(after, change))

    def _use_up_permission(self, attempt: EffectRecord) -> None:
        """Stores an effect that begins. The permission for one more effect of its identity is used up now."""
        self.put_effect(attempt)
        if not attempt.identity or attempt.number < 2:
            return
        rows = self._database.fetch_all(
            f"{SELECT_EFFECT} WHERE e.identity = ? AND e.identity != '' AND e.number = ?",
            (attempt.identity, attempt.number - 1),
        )
        for earlier in self._note_effects(rows):
            if earlier.again:
                self.put_effect(replace(earlier, again=""))

    def _apply_proposal(self, run: str, tenant: str, new: Proposal) -> None:
        if (new.run, new.tenant) != (run, tenant):
            raise SeawallBug(f"run {run} sends a proposal of run {new.run} of tenant {new.tenant!r}")
        before = self.find_proposal(new.id)
        if before is not None:
            if new.state != "void" or before.run != run:
                raise SeawallBug(f"proposal {new.id} is in the journal already")
            if before.state in ("open", "approved"):
                self.close_proposal(replace(before, state="void"))
            return
        if new.state != "open" or new.votes:
            raise SeawallBug(f"proposal {new.id} begins as {new.state}, with {len(new.votes)} votes")
        self.put_proposal(delay_changes(new, self._tx.sure_now - self._tx.now))
        effect = self.find_effect(new.effect) if new.effect else None
        if effect is not None and effect.state == "proposed" and effect.run == run:
            self.put_effect(replace(effect, proposal=new.id))

    def _apply_wait(self, run: str, wait: Wait) -> None:
        if wait.run != run:
            raise SeawallBug(f"run {run} sends a wait of run {wait.run}")
        effect = self.find_effect(wait.effect)
        if effect is None or effect.state in ("committed", "failed"):
            done = None if effect is None else effect.state == "committed"
            self._answer_wait(run, wait.step, done, effect)
        else:
            self._outbox.waits.append((wait.effect, run, wait.step))

    def _apply_told(self, tenant: str, told: FactsTold) -> None:
        rows = self._database.fetch_all(
            f"{SELECT_FACT} WHERE e.number IN (SELECT value FROM json_each(?))", (json.dumps(told.numbers),)
        )
        found = {
            fact.number
            for of, session, fact in map(decode_fact, rows)
            if (of, session) == (tenant, told.session)
        }
        if gone := sorted(set(told.numbers) - found):
            raise Refused(
                f"session {told.session!r}: fact {gone[0]} was told to another run already; read them again",
                guard="session",
                limit=sorted(told.numbers),
                value=sorted(found),
            )
        self._outbox.facts.extend(row[3:] for row in rows)

    def end_run(self, run: str) -> None:
        """Gives up the claims, proposals and waits of a run that ends. Effects that it was attempting become
        unknown.
        """
        begun = self._database.fetch_all(
            f"{SELECT_EFFECT} WHERE e.{_BEGUN.replace('AND ', 'AND e.')}", (run,)
        )
        self._note_effects(begun)
        for slot in list(self._effects.values()):
            record = slot.record
            if record is None or record.run != run:
                continue
            if record.state in CLAIMED:
                self.free_effect(record)
            elif record.state == "attempting":
                self.put_effect(replace(record, state="unknown"))
        asked = self._database.fetch_all(f"{SELECT_PROPOSAL} WHERE e.run = ?", (run,))
        for row in asked:
            self._proposals.setdefault(row[4], _Slot(row[3:], decode_proposal(row)))
        for proposal in [slot.record for slot in self._proposals.values()]:
            if proposal is not None and proposal.run == run and proposal.state in ("open", "approved"):
                self.put_proposal(replace(proposal, state="void"))
        waits = self._database.fetch_all(f"SELECT leaf, {HELD['waits']} FROM waits WHERE run = ?", (run,))
        self._outbox.waits.clear()
        self._outbox.answered.extend(row[1:] for row in waits if row[1:] not in self._outbox.answered)

    # ---- writing

    def prepare(self) -> None:
        """Raises `JournalDamaged` if a sum would fall below zero. After this check `write` raises nothing."""
        for key, (reserved, spent) in self._sums.items():
            if reserved or spent:
                _, new = self._add_to_sum(key)
                if new[0] < 0 or new[1] < 0:
                    raise JournalDamaged(f"the sum of {key[1]} on {key[2]} in {key[3]} is below zero: {new}")

    def write(self) -> None:
        """Writes what has changed."""
        tx, outbox = self._tx, self._outbox
        before = tx.wrote
        tx.wrote = True
        changed = self._write_effects() + self._write_proposals() + self._write_sums()
        for principal in self._principals.values():
            if principal.record is not None:
                tx.tables["principals"].put(principal.old, encode_principal(principal.record))
                changed += 1
        for wait in outbox.answered:
            tx.tables["waits"].delete(wait)
        for wait in outbox.waits:
            tx.tables["waits"].put(None, wait)
        for fact in outbox.facts:
            tx.tables["facts"].delete(fact)
        for tenant, added in outbox.added:
            number, values = find_next_key(tx, "facts"), msgspec.structs.asdict(added)
            del values["session"]
            fact = Fact(number=number, **values)
            tx.tables["facts"].put(None, encode_fact(tx.ensure_tenant_id(tenant), added.session, fact))
        for run, read in outbox.reads:
            changed += note_reads(tx, run, read.numbers)
        told = outbox.facts or outbox.added
        tx.wrote = before or bool(changed or outbox.answered or outbox.waits or told)
        for tenant, bodies in outbox.bodies:
            tx.add_bodies(tx.ensure_tenant_id(tenant), bodies)
        for run, command in outbox.commands:
            self._send(run, command)
        for decision in outbox.decisions:
            tx.add_own_entry(Box.DECISIONS, _encode([decision]))

    def _send(self, run: str, command: Command) -> None:
        self._tx.load([run], ())
        state = self._tx.find(run)
        if state is not None and not state.ended and state.problem is None:
            self._tx.add_run_entry(state, Box.INBOX, 1, _encode([command]))

    def _find_next_key(self, table: str) -> int:
        return find_next_key(self._tx, table)

    def _write_effects(self) -> int:
        tx, written = self._tx, 0
        for slot in self._effects.values():
            if not slot.changed:
                continue
            if slot.record is None:
                if slot.old is not None:
                    tx.tables["effects"].delete(slot.old)
            else:
                key = self._find_next_key("effects") if slot.old is None else slot.old[0]
                row = encode_effect(key, tx.ensure_tenant_id(slot.record.tenant), slot.record)
                tx.tables["effects"].put(slot.old, row)
            written += 1
        return written

    def _write_proposals(self) -> int:
        tx, written = self._tx, 0
        for slot in self._proposals.values():
            if slot.changed and slot.record is not None:
                key = self._find_next_key("proposals") if slot.old is None else slot.old[0]
                row = encode_proposal(key, tx.ensure_tenant_id(slot.record.tenant), slot.record)
                tx.tables["proposals"].put(slot.old, row)
                written += 1
        return written

    def _write_sums(self) -> int:
        tx, written = self._tx, 0
        for key, (reserved, spent) in self._sums.items():
            if not reserved and not spent:
                continue
            old, new = self._add_to_sum(key)
            row = (tx.ensure_tenant_id(key[0]), *key[1:], money_to_text(new[0]), money_to_text(new[1]))
            if old is not None and not new[0] and not new[1]:
                tx.tables["sums"].delete(old)
            else:
                tx.tables["sums"].put(old, row)
            written += 1
        return written


def has_records(database: Database, run: str) -> bool:
    """Returns whether a run has something to give up when it ends. Most runs have nothing."""
    return bool(database.fetch_value(_HAS_RECORDS, (run,)))


def find_next_key(tx: Transaction, table: str) -> int:
    """Returns the next key of a table. A key is never given twice, so that a reader can go on after the last key that
    it read.
    """
    database = tx.database
    return (database.fetch_value("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)) or 0) + 1


def record_settled(after: EffectRecord, change: Settle) -> DecisionRecord:
    """Returns the decision record for an effect that was settled from outside its run."""
    return DecisionRecord(
        at=change.at,
        what="commit" if after.state == "committed" else "fail",
        about=after.id,
        by=change.by,
        reason=change.reason,
        receipt=change.receipt,
    )
