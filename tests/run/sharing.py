"""Something that runs share, as tests want it: it says what it is told to, and remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable

from seawall.guards.shared import Defer, Pause
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Verdict


class Gatekeeper:
    """Says `word` of the tool `tool` (any step without one), and ALLOW of everything else."""

    def __init__(
        self, word: Verdict | Defer = ALLOW, *, tool: str | None = None, name: str = "endpoints"
    ) -> None:
        self.name = name
        self.word = word
        self.tool = tool
        self.tries = True
        self.waiting: dict[str, Callable[[], None]] = {}
        self.asked: list[str] = []
        self.taken: list[int] = []
        self.done_with: list[tuple[int, str]] = []
        self.left: list[tuple[str, bool]] = []

    def check(self, step: Step, run: RunState, left_s: float, wake: Callable[[], None]) -> Verdict | Defer:
        if self.tool is not None and step.name != self.tool:
            return ALLOW
        self.asked.append(step.name)
        if isinstance(self.word, Defer):
            self.waiting[run.started.run] = wake
        return self.word

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        self.taken.append(step.number)
        return step

    def release(self, step: Step, run: RunState, result: Result) -> None:
        self.done_with.append((step.number, result.status))

    def may_retry(self, step: Step, run: RunState, result: Result) -> bool:
        return self.tries

    def forget(self, run_id: str, *, parked: bool) -> None:
        self.left.append((run_id, parked))

    def lift(self) -> None:
        """Allow from now on, and call everyone who waits."""
        self.word = ALLOW
        waiting, self.waiting = self.waiting, {}
        for wake in waiting.values():
            wake()


def brake(what: str = "tool:pay") -> Defer:
    return Defer("a brake", Pause(what=what, by="ops", why="fraud", since=0.0))
