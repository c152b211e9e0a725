"""What runs share, in this process and in others: brakes, endpoints, accounts.

It is outside of any run's fold. The gate asks it at step 3, reserve, after the guards and the run's own ledger;
what it decided for a run is an event of that run. What it says may change without the run doing anything, so
besides a verdict there is `Defer`: not now, ask again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import Verdict

PAUSE = "pause"
ENDPOINTS = "endpoints"
BUDGET = "budget"
SHARED = (PAUSE, ENDPOINTS, BUDGET)
"""By these names. A replay takes what they said as it was recorded: it can't be asked for again."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A person's brake, as somebody set it."""

    what: str
    """`tool:refund`, `agent:clerk`, `tenant:acme`, `run:r-…` or `all`."""
    by: str
    why: str = ""
    since: float
    """Wall seconds."""
    until: float | None = None
    """Wall seconds; None: until it is lifted."""

    def __str__(self) -> str:
        return f"{self.what} is paused by {self.by}{f' ({self.why})' if self.why else ''}"


class Defer(msgspec.Struct, frozen=True):
    """Not now. The gate asks again once `again` was called."""

    reason: str
    pause: Pause | None = None
    """A person's brake. A run in which everything waits for brakes is parked, and its clock stands still."""


class SharedGuard(Protocol):
    """One thing that runs share. One object a process; all of it is called on the event loop."""

    name: str
    """How verdicts and modes name it."""

    def ask(self, step: Step, run: RunState, left_s: float, again: Callable[[], None]) -> Verdict | Defer:
        """Whether this step may be made now, with `left_s` active seconds left.

        Reserves nothing. After `Defer` it calls `again` once, on the event loop, when it is worth asking again.
        """
        ...

    def take(self, step: Step, run: RunState) -> Step:
        """All that is shared allowed the step, and it is admitted at this moment; as it is to be performed."""
        ...

    def done(self, step: Step, run: RunState, result: Result) -> None:
        """A step that was taken has a result, or ended without one. Once for each `take`."""
        ...

    def retry(self, step: Step, run: RunState, result: Result) -> bool:
        """Whether another try of a step is affordable, whose own policy would make one."""
        ...

    def gone(self, run: str, *, parked: bool) -> None:
        """This process lets go of a run: what it reserved, and its places in line, are free.

        One that is `parked` under a brake still wants to be called when that is lifted.
        """
        ...


def retry_all(shared: tuple[SharedGuard, ...], step: Step, run: RunState, result: Result) -> bool:
    """Whether each allows another try."""
    return all(each.retry(step, run, result) for each in shared)
