"""The guard `memory`: holds the effects of a run that has read entries which were reverted since."""

from __future__ import annotations

from typing import Any

from seawall.run.guard import Guard
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import ALLOW, Hold, Verdict

MEMORY_GUARD = "memory"
"""The guard's name in verdicts and modes."""


class MemoryGuard(Guard):
    """Holds each effect of a run that was told of reverted entries (`MemoryCut`), or that was started again after a revert.

    An earlier approval does not count, because the person was not shown the revert. Entries are named by their numbers,
    because their texts must not be in an event; the proposal refers to the texts.
    """

    name = MEMORY_GUARD

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        """Holds an effect."""
        if step.effect and run.started.again:
            again = run.started.again
            return Hold(
                f"this run answers the request of run {again} once more, after a revert: what that run did stands",
                value=again,
            )
        if not step.effect or not run.cut:
            return ALLOW
        many = "an entry" if len(run.cut) == 1 else f"{len(run.cut)} entries"
        numbers = ", ".join(str(number) for number in run.cut)
        return Hold(f"this run has read {many} of memory that was reverted since: {numbers}", value=numbers)
