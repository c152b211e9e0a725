"""Steps whose result did not come in time: those that a crash left in doubt, and results that came late."""

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
    """Returns the events that close the steps which a crash left in doubt.

    A read or a model call is made again, as a new step, and this one counts as spent. An effect whose
    tool does not honour its key, or does so no longer, is `unknown`. Hand-offs, reviews and approvals
    simply go on. `honours_key` is asked with the seconds since the first attempt under the key.
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
    """A result that came after its step, or its run, had ended: it is recorded and dropped.

    But an effect that has a receipt was committed, also if its run has ended or is another process's by now.
    """

    def __init__(self, state: RunState, step: Step, result: Result, output: Ref, now: float) -> None:
        self.events: list[Event] = [StepLate(at=now, step=step.number, status=result.status, output=output)]
        if step.effect and result.status == "ok":
            self.events.append(EffectMoved(at=now, step=step.number, state="committed", receipt=output))
        self._first_seq = state.seq
        self._settled = find_fate_approval(state, step.number) is None
        """Recording it here is all that the run needs; otherwise a person is being asked, and its owner is told."""
        self._change: Settle | None = None

    def __repr__(self) -> str:
        return f"<LateResult {self.events!r}>"

    def note(self, event: Event, before: RunState, after: RunState) -> None:
        """Takes in one of the events, as it was folded."""
        self._change = build_settle(event, before, after) or self._change

    async def record(self, journal: Journal, lease: Lease, unsaved: Mapping[Ref, bytes]) -> None:
        """Records it; a receipt settles its effect."""
        change = self._change
        apart = change is not None and not self._settled
        records = () if change is None or apart else (change,)
        try:
            await journal.append(lease, self._first_seq, self.events, unsaved, records=records)
        except Fenced:  # somebody else went on with the run
            apart = change is not None
        if change is not None and apart:
            await journal.settle(replace(change, by="late"), unsaved)


def has_succeeded(write: asyncio.Future[None]) -> bool:
    """Returns whether what was sent to the journal is durable."""
    return write.done() and not write.cancelled() and write.exception() is None
