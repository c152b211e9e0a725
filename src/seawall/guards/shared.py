"""The protocol of guards across runs: pauses, endpoints and the budget.

Their state is shared by all runs of this process and, through the journal, with other processes; it is outside of
any run's fold. The gate calls them at step 3 (reserve), after the run's own guards and ledger; each verdict is
recorded as an event of the run. Their answer can change without the run doing anything, so besides a verdict there
is `Defer`: the step waits, and the gate checks again later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import Verdict

PAUSE = "pause"
ENDPOINTS = "endpoints"
BUDGET = "budget"
SHARED = (PAUSE, ENDPOINTS, BUDGET)
"""The names of these guards. A replay uses their recorded verdicts, because it cannot check again."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A pause, as a person set it."""

    what: str
    """`tool:refund`, `agent:clerk`, `tenant:acme`, `run:r-…` or `all`."""
    by: str
    why: str = ""
    since: float
    """Wall seconds."""
    until: float | None = None
    """Wall seconds; None: until a person lifts it."""

    def __str__(self) -> str:
        return f"{self.what} is paused by {self.by}{f' ({self.why})' if self.why else ''}"


class Defer(msgspec.Struct, frozen=True):
    """The step cannot be made now. The gate checks it again once `wake` was called."""

    reason: str
    pause: Pause | None = None
    """The pause that holds the step. A run whose steps all wait for pauses is parked, and its active time stands
    still."""
    endpoint: str = ""
    """The endpoint that the step waits for because it is out of order. It is recorded, so that people see it."""


Retry = Literal["no", "yes", "waits"]
"""Whether a guard allows another try of a step that failed. `waits`: the try may be made once the endpoint answers
again, and does not count as one that the agent or tool allows."""


class SharedGuard(Protocol):
    """A guard across runs. A process has one object of each; all calls come on the event loop."""

    name: str
    """The name that verdicts and modes use."""
    active: bool
    """False while there has been nothing to check, such as a pause or a cap. The gate then leaves the guard out."""

    def check(self, step: Step, run: RunState, left_s: float, wake: Callable[[], None]) -> Verdict | Defer:
        """Returns whether the step may begin now; its run has `left_s` active seconds left.

        Nothing is counted yet. After a `Defer` the guard calls `wake` once, on the event loop, when the run should
        check again.
        """
        ...

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        """Counts the step, which every guard has let pass, and returns it in the form in which it is performed. The
        gate calls this in the same round of the event loop as `check`, for each admitted step, even if this guard's
        mode is `observe` or `off`.
        """
        ...

    def release(self, step: Step, run: RunState, result: Result) -> None:
        """Ends the count of an acquired step: it has a result, or ended without one. Called once per `acquire`."""
        ...

    def may_retry(self, step: Step, run: RunState, result: Result, left_s: float, *, used_up: bool) -> Retry:
        """Returns whether this guard allows another try of a step that failed; its run has `left_s` active seconds
        left. With `used_up`, the step has had all the tries that its agent or tool allows: only a try that waits can
        follow.
        """
        ...

    def forget(self, run_id: str, *, parked: bool) -> None:
        """Frees the reservations and queue slots of a run, because this process gives up the run. A run that is
        `parked` for a pause is still woken when that pause is lifted.
        """
        ...
