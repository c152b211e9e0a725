"""Guards that say what a test wants."""

from __future__ import annotations

from typing import Any

from seawall import ALLOW, Guard
from seawall.core.events import Event
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import Verdict


class Says(Guard):
    """Gives one verdict on every step of a kind; an exception is raised."""

    def __init__(
        self,
        verdict: Any,
        *,
        of: str = "tool",
        stage: str = "before",
        name: str = "says",
        times: int = 1_000,
    ) -> None:
        self.name = name
        self._verdict = verdict
        self._of = of
        self._stage = stage
        self._times = times

    def start(self) -> int:
        return 0

    def fold(self, memory: Any, event: Event, run: RunState) -> int:
        if self._stage == "fold" and isinstance(self._verdict, BaseException):
            raise self._verdict
        return memory + (getattr(event, "guard", "") == self.name)

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        return self._say(step, memory) if self._stage == "before" else ALLOW

    def after(self, step: Step, result: Result, run: RunState, memory: Any) -> Verdict:
        return self._say(step, memory) if self._stage == "after" else ALLOW

    def _say(self, step: Step, memory: int) -> Verdict:
        if step.kind != self._of or memory >= self._times:
            return ALLOW
        if isinstance(self._verdict, BaseException):
            raise self._verdict
        return self._verdict
