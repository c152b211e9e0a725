"""The records that are committed together with a batch of events: bookings, and the records of effects and
proposals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from seawall.core.canonical import Ref
from seawall.core.events import (
    EffectMoved,
    EffectState,
    Event,
    MemoryRead,
    RunEnded,
    RunTaken,
    StepDone,
    StepIntended,
)
from seawall.journal.protocol import Booking
from seawall.journal.protocol.effects import EffectRecord, FactAdded, RecordChange, Settle, make_effect_id
from seawall.journal.protocol.memory import EntriesRead, MemoryMerge
from seawall.run.spend_delta import SpendDelta, day_of
from seawall.run.state import EffectChange, RunState


class Beside:
    """The records that are committed together with the next batch of one run."""

    def __init__(self, build_merge: Callable[[RunState, RunEnded], MemoryMerge | None]) -> None:
        """`build_merge` returns a run's merge into memory, from the state before the run's end."""
        self._spend = SpendDelta()
        self._records: list[RecordChange] = []
        self._build_merge = build_merge
        self._merge: MemoryMerge | None = None

    def __repr__(self) -> str:
        return f"<Beside {len(self._records)} changes of records>"

    def note(self, event: Event, before: RunState, after: RunState) -> None:
        """Adds the records for an event of the batch; the states are those before and after it."""
        spends = after.ledger is not before.ledger
        match event:
            case StepIntended():
                if spends:
                    self._spend.add(event, before.ledger, after.ledger, intended=True)
            case StepDone():
                if spends:
                    self._spend.add(before.open[event.step], before.ledger, after.ledger, intended=False)
            case MemoryRead() | RunTaken():
                self._records += list_reads([event])
            case RunEnded():
                self._note_end(event, before)
            case _:
                pass
        if after.effects is not before.effects and (change := build_settle(event, before, after)):
            self._records.append(change)

    def _note_end(self, event: RunEnded, before: RunState) -> None:
        self._merge = self._build_merge(before, event)
        started = before.started
        if started.errand is not None and started.errand.session is not None:
            text = event.answer or started.intent
            told = FactAdded(session=started.errand.session, at=event.at, run=started.run, text=text)
            self._records.append(told)

    def add(self, records: Iterable[RecordChange]) -> None:
        """Adds records of the gate."""
        self._records += records

    def take_merge(self) -> MemoryMerge | None:
        """Returns the merge of the batch into memory; None if the batch does not end its run, or if there is nothing to
        merge.
        """
        merge, self._merge = self._merge, None
        return merge

    def take_bookings(self) -> Sequence[Booking]:
        """Returns the bookings of the batch, and removes them."""
        return self._spend.take_bookings()

    def take_records(self) -> Sequence[RecordChange]:
        """Returns the changes of records of the batch, and removes them."""
        if not self._records:
            return ()
        records, self._records = self._records, []
        return records


def build_settle(event: Event, before: RunState, after: RunState) -> Settle | None:
    """Returns the change of an effect's record by an event; None if there is none. The states are those before and
    after the event.
    """
    match event:
        case StepIntended():
            if not (event.effect and event.perform):
                return None
            return _build(event, after, event.step, "attempting", None, event)
        case StepDone():
            intent = before.open.get(event.step)
            if intent is None or not (intent.effect and intent.perform):
                return None
            change = after.find_effect(event.step)
            state = "unknown" if change is None else change.state
            return _build(event, after, event.step, state, event.output, intent)
        case EffectMoved():
            return _build(event, after, event.step, event.state, event.receipt, None)
        case _:
            return None


def _build(
    event: StepIntended | StepDone | EffectMoved,
    run: RunState,
    step: int,
    state: EffectState,
    receipt: Ref | None,
    intent: StepIntended | None,
) -> Settle | None:
    change = run.find_effect(step)
    if change is None:
        return None
    key = change.tool_key or f"{run.started.run}:{change.key}"
    effect = make_effect_id(key)
    return Settle(
        effect=effect,
        state=state,
        at=event.at,
        step=step,
        receipt=receipt if state == "committed" else None,
        record=None if change.identity else _describe(effect, key, change, run, intent),
    )


def _describe(
    effect: str, key: str, change: EffectChange, run: RunState, intent: StepIntended | None
) -> EffectRecord:
    """Returns the record of an effect that needed no claim: the journal may not know it yet."""
    started = run.started
    return EffectRecord(
        id=effect,
        key=key,
        tenant=started.tenant,
        run=started.run,
        call=change.key,
        step=change.step,
        tool=change.tool,
        version="" if intent is None else intent.version,
        agent="" if intent is None else intent.agent,
        session=started.session,
        principal=started.principal,
        state="attempting",
        day=day_of(change.at),
        arguments=None if intent is None else intent.input,
        claimed_at=change.at,
        attempted_at=change.at,
    )


def list_reads(events: Iterable[Event]) -> list[RecordChange]:
    """Returns the records of the memory entries that were read according to these events."""
    found = [
        event.entries if isinstance(event, MemoryRead) else event.read if isinstance(event, RunTaken) else ()
        for event in events
    ]
    return [EntriesRead(numbers=numbers) for numbers in found if numbers]
