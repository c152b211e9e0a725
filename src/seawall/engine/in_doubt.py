"""Steps without a result in time: steps that a crash left open, and results that came late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import Fenced
from seawall.core.events import EffectMoved, Event, StepDone, StepIntended, StepLate, StepStatus
from seawall.engine.beside import build_settle
from seawall.journal.protocol import Journal, Lease
from seawall.journal.protocol.effects import Settle
from seawall.run.commands import find_fate_approval
from seawall.run.state import RunState
from seawall.run.step import Result, Step


def close_in_doubt(
    state: RunState, now: float, honours_key: Callable[[StepIntended, float], bool]
) -> list[Event]:
    """Returns the events that close the steps which a crash left open. A read or a model call is made again as a new
    step, and the old step counts as spent. An effect whose tool does not honour its key, or no longer does, becomes
    `unknown`. Hand-offs, reviews and approvals simply go on. `honours_key` is called with the step and the seconds
    since the first attempt under the key.
    """
    events: list[Event] = []
    for step in sorted(state.in_flight, key=lambda step: step.step):
        first = state.find_first_attempt(step.frame, step.call)
        age_s = now - (step.at if first is None else first)
        again = not step.effect or (step.idempotent and honours_key(step, age_s))
        status: StepStatus = "lost" if again else "unknown"
        events.append(StepDone(at=now, step=step.step, status=status, error=status, left_s=state.left_s))
    return events


class LateResult:
    """A result that came after its step, or its run, had ended: it is recorded and dropped. But an effect with a
    receipt is committed, even if its run has ended or belongs to another process by now.
    """

    def __init__(self, state: RunState, step: Step, result: Result, output: Ref, now: float) -> None:
        self.events: list[Event] = [StepLate(at=now, step=step.number, status=result.status, output=output)]
        if step.effect and result.status == "ok":
            self.events.append(EffectMoved(at=now, step=step.number, state="committed", receipt=output))
        self._first_seq = state.seq
        self._settled = find_fate_approval(state, step.number) is None
        """Whether the run's own record is enough. Otherwise a person is being asked, and the run's owner must be
        told."""
        self._change: Settle | None = None

    def __repr__(self) -> str:
        return f"<LateResult {self.events!r}>"

    def note(self, event: Event, before: RunState, after: RunState) -> None:
        """Receives one of the events after it was folded."""
        self._change = build_settle(event, before, after) or self._change

    async def record(self, journal: Journal, lease: Lease, unsaved: Mapping[Ref, bytes]) -> None:
        """Records the late result; a receipt settles its effect."""
        change = self._change
        apart = change is not None and not self._settled
        records = () if change is None or apart else (change,)
        try:
            await journal.append(lease, self._first_seq, self.events, unsaved, records=records)
        except Fenced:  # another process went on with the run
            apart = change is not None
        if change is not None and apart:
            await journal.settle(replace(change, by="late"), unsaved)


def has_succeeded(write: asyncio.Future[None]) -> bool:
    """Returns whether a write to the journal has succeeded."""
    return write.done() and not write.cancelled() and write.exception() is None
