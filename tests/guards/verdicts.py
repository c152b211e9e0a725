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

    def fold(self, memo: Any, event: Event, run: RunState) -> int:
        if self._stage == "fold" and isinstance(self._verdict, BaseException):
            raise self._verdict
        return memo + (getattr(event, "guard", "") == self.name)

    def before(self, step: Step, run: RunState, memo: Any) -> Verdict:
        return self._say(step, memo) if self._stage == "before" else ALLOW

    def after(self, step: Step, result: Result, run: RunState, memo: Any) -> Verdict:
        return self._say(step, memo) if self._stage == "after" else ALLOW

    def _say(self, step: Step, memo: int) -> Verdict:
        if step.kind != self._of or memo >= self._times:
            return ALLOW
        if isinstance(self._verdict, BaseException):
            raise self._verdict
        return self._verdict
