"""What becomes of steps in flight when their run ends over them, or when a crash left them in doubt."""

from __future__ import annotations

from collections.abc import Callable

from seawall.core.events import Event, StepDone, StepIntended, StepStatus
from seawall.run.state import RunState


def close_in_doubt(state: RunState, now: float, honours_key: Callable[[StepIntended], bool]) -> list[Event]:
    """What closes the steps that a crash left in doubt.

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
