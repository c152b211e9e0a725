"""What a guard is: a policy at the gate, whose memory is a fold over the run's events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from seawall.core.events import Event, Mode
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Halt, Verdict


class Guard:
    """Base class of every guard. Override `before`, and what else you need.

    All methods are pure: they get everything they may look at, and keep nothing on `self`.
    A guard that raises is a `Halt`.
    """

    name: str = "guard"
    """How verdicts, modes and the command line name it; unique within a run."""
    mode: Mode = "enforce"
    """`off`, `observe` (judge and record, let pass) or `enforce`, unless it is set otherwise."""

    def start(self) -> Any:
        """What the guard remembers at a run's first event."""
        return None

    def fold(self, memo: Any, event: Event, run: RunState) -> Any:
        """What it remembers after `event`; `run` is the state before it. Return a new value, or `memo`."""
        return memo

    def carry(self, memo: Any) -> str | None:
        """A short text that the session's next run gets with its `RunTaken`. None: nothing is carried over."""
        return None

    def before(self, step: Step, run: RunState, memo: Any) -> Verdict:
        """Judge a step that is about to be performed."""
        return ALLOW

    def after(self, step: Step, result: Result, run: RunState, memo: Any) -> Verdict:
        """Judge a result before anyone sees it. `Replace` gives the agent another one."""
        return ALLOW


class FoldFailed(msgspec.Struct, frozen=True):
    """Stands where a guard's memory would be: its fold raised, so it can judge nothing more of this run."""

    guard: str
    error: str

    @property
    def verdict(self) -> Halt:
        """Fail closed."""
        return Halt(f"guard {self.guard!r} raised while it took in an event: {self.error}")


def collect_handover(state: RunState, guards: Sequence[Guard]) -> dict[str, str]:
    """Returns what the guards of a run leave for the next run of its session.

    A guard that raises leaves nothing: this run is over.
    """
    left: dict[str, str] = {}
    for guard in guards:
        memory = state.memories.get(guard.name)
        if isinstance(memory, FoldFailed):
            continue
        try:
            text = guard.carry(memory)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 -- what it would have remembered is advice; the outcome is not
            continue
        if text is not None:
            left[guard.name] = text
    return left
