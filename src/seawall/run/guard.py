"""What a guard is: a policy at the gate, whose memory is a fold over the run's events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from seawall.core.errors import describe_error
from seawall.core.events import Event, Mode
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, GuardFailed, Verdict


class Guard:
    """Base class of every guard. Override `before`, and what else you need.

    All methods are pure: they get everything they may look at, and keep nothing on `self`.
    A guard that raises is a `Halt`.
    """

    name: str = "guard"
    """Its name in verdicts, modes and the command line; unique within a team."""
    mode: Mode = "enforce"
    """`off`, `observe` (judge and record, let pass) or `enforce`, unless it is set otherwise."""
    judges_invalid: bool = False
    """Whether it is also asked about calls that can't be made, for example of an unknown tool. Such a step has `invalid`,
    and no arguments. Its verdict counts if it is a `Halt` before the call, or advice on what the agent is told."""

    @property
    def memory_key(self) -> str:
        """What its memory is kept under; unique within a run."""
        return self.name

    def start(self) -> Any:
        """Returns what the guard remembers at a run's first event."""
        return None

    def fold(self, memory: Any, event: Event, run: RunState) -> Any:
        """Returns what the guard remembers after `event`: a new value, or `memory`. `run` is the state before it."""
        return memory

    def carry(self, memory: Any) -> str | None:
        """Returns a short text that the session's next run gets with its `RunTaken`; None for nothing."""
        return None

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        """Judges a step that is about to be performed."""
        return ALLOW

    def after(self, step: Step, result: Result, run: RunState, memory: Any) -> Verdict:
        """Judges a result before anyone sees it. `Replace` gives the agent another one."""
        return ALLOW


class FoldFailed(msgspec.Struct, frozen=True):
    """Stands in place of a guard's memory once its fold has raised: it can judge nothing more of this run."""

    guard: str
    error: BaseException

    @property
    def verdict(self) -> GuardFailed:
        """The verdict on every later step: the run is halted."""
        what = describe_error(self.error)
        return GuardFailed(f"guard {self.guard!r} raised while it took in an event: {what}", error=self.error)


def collect_handover(state: RunState, guards: Sequence[Guard]) -> dict[str, str]:
    """Returns what the guards of a run leave for the next run of its session.

    A guard that raises leaves nothing: this run is over.
    """
    left: dict[str, str] = {}
    for guard in guards:
        memory = state.memories.get(guard.memory_key)
        if isinstance(memory, FoldFailed):
            continue
        try:
            text = guard.carry(memory)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 -- what it would have remembered is advice; the outcome is not
            continue
        if text is not None:
            left[guard.memory_key] = text
    return left
