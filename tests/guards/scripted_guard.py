"""A guard across runs that gives the verdict a test wants, and remembers its calls."""

from __future__ import annotations

from collections.abc import Callable

from seawall.guards.shared import Defer, Pause, Retry
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Verdict


class ScriptedGuard:
    """Gives `verdict` on the tool `tool` (without one, on any step), and allows everything else."""

    def __init__(
        self, verdict: Verdict | Defer = ALLOW, *, tool: str | None = None, name: str = "endpoints"
    ) -> None:
        self.name = name
        self.active = True
        self.verdict = verdict
        self.tool = tool
        self.retries = True
        self.waiting: dict[str, Callable[[], None]] = {}
        self.checked: list[str] = []
        self.acquired: list[int] = []
        self.released: list[tuple[int, str]] = []
        self.forgotten: list[tuple[str, bool]] = []

    def check(self, step: Step, run: RunState, left_s: float, wake: Callable[[], None]) -> Verdict | Defer:
        if self.tool is not None and step.name != self.tool:
            return ALLOW
        self.checked.append(step.name)
        if isinstance(self.verdict, Defer):
            self.waiting[run.started.run] = wake
        return self.verdict

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        self.acquired.append(step.number)
        return step

    def release(self, step: Step, run: RunState, result: Result) -> None:
        self.released.append((step.number, result.status))

    def may_retry(self, step: Step, run: RunState, result: Result, left_s: float, *, used_up: bool) -> Retry:
        return "yes" if self.retries else "no"

    def forget(self, run_id: str, *, parked: bool) -> None:
        self.forgotten.append((run_id, parked))

    def lift(self) -> None:
        """Allows everything from now on, and wakes the runs that wait."""
        self.verdict = ALLOW
        waiting, self.waiting = self.waiting, {}
        for wake in waiting.values():
            wake()


def paused(what: str = "tool:pay") -> Defer:
    """Returns the verdict on a step that a pause holds."""
    return Defer("a pause", Pause(what=what, by="ops", why="fraud", since=0.0))
