"""A result that comes after its step, or its run, has ended: recorded and dropped, but for the receipt of an effect."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from seawall.core.canonical import Ref
from seawall.core.errors import Fenced, Misused
from seawall.core.events import EffectMoved, Event, StepLate
from seawall.journal.protocol import Command, Journal, Lease
from seawall.run.step import Result, Step


def build_late_events(step: Step, result: Result, output: Ref, now: float) -> list[Event]:
    """What is recorded of it: an effect that has a receipt was committed."""
    events: list[Event] = [StepLate(at=now, step=step.number, status=result.status, output=output)]
    if step.effect and result.status == "ok":
        events.append(EffectMoved(at=now, step=step.number, state="committed", receipt=output))
    return events


async def record_late(
    journal: Journal,
    lease: Lease,
    step: int,
    first_seq: int,
    events: Sequence[Event],
    unsaved: Mapping[Ref, bytes],
    *,
    settled: bool,
) -> None:
    """Record it. A receipt goes to whoever has the run, unless it is `settled` by being recorded here."""
    ours = True
    try:
        await journal.append(lease, first_seq, events, unsaved)
    except Fenced:  # somebody else went on with the run
        ours = False
    receipts = [event.receipt for event in events if isinstance(event, EffectMoved)]
    if receipts and not (ours and settled):
        receipt = Command(kind="late", step=step, output=receipts[0])
        with contextlib.suppress(Misused):  # the run has ended meanwhile
            await journal.send(lease.run, receipt, unsaved)
