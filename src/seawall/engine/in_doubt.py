"""Steps whose result did not come in time: those that a crash left in doubt, and results that came late."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from seawall.core.canonical import Ref
from seawall.core.errors import Fenced, Misused
from seawall.core.events import EffectMoved, Event, StepDone, StepIntended, StepLate, StepStatus
from seawall.journal.protocol import Command, Journal, Lease
from seawall.run.state import RunState
from seawall.run.step import Result, Step


def close_in_doubt(state: RunState, now: float, honours_key: Callable[[StepIntended], bool]) -> list[Event]:
    """Returns the events that close the steps which a crash left in doubt.

    A read or a model call is made again, as a new step, and this one counts as spent. An effect whose
    tool does not honour its key, or does so no longer, is `unknown`. Hand-offs, reviews and approvals
    simply go on.
    """
    events: list[Event] = []
    for step in sorted(state.in_flight, key=lambda step: step.step):
        again = not step.effect or (step.idempotent and honours_key(step))
        status: StepStatus = "lost" if again else "unknown"
        events.append(StepDone(at=now, step=step.step, status=status, error=status, left_s=state.left_s))
    return events


def build_late_events(step: Step, result: Result, output: Ref, now: float) -> list[Event]:
    """Returns what is recorded of a result that came after its step, or its run, had ended.

    The result is dropped, but an effect that has a receipt was committed.
    """
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
    """Records a late result. A receipt is sent to the owner of the run, unless recording it here has `settled` it."""
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


def has_succeeded(write: asyncio.Future[None]) -> bool:
    """Returns whether what was sent to the journal is durable."""
    return write.done() and not write.cancelled() and write.exception() is None
