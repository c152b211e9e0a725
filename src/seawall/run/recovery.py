"""What becomes of steps in flight when their run ends over them, or when a crash left them in doubt."""

from __future__ import annotations

from collections.abc import Callable

from seawall.core.canonical import Ref
from seawall.core.errors import Broken, SeawallBug
from seawall.core.events import EffectMoved, Event, StepDone, StepIntended, StepLate, StepStatus
from seawall.run.state import RunState
from seawall.run.step import Result, Step


def given_up(step: StepIntended) -> StepStatus:
    """What a step in flight comes to when its run ends over it."""
    return "unknown" if step.effect and step.perform and step.kind == "tool" else "cancelled"


def recovered(state: RunState, now: float, honours_key: Callable[[StepIntended], bool]) -> list[Event]:
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


def came_late(step: Step, result: Result, output: Ref, now: float) -> list[Event]:
    """A result after the end of its step: recorded and dropped, but for what it says of an effect."""
    events: list[Event] = [StepLate(at=now, step=step.number, status=result.status, output=output)]
    if step.effect and result.status == "ok":
        events.append(EffectMoved(at=now, step=step.number, state="committed", receipt=output))
    return events


def blamed(error: Exception, run: str, where: str) -> Exception:
    """What ended a run in this process: as it is if it says whose move is next, else as a bug of ours."""
    if isinstance(error, Broken | SeawallBug):
        return error
    return SeawallBug(f"run {run}, {where}: {type(error).__name__}: {error}")
