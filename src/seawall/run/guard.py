"""The base class of guards: a guard is a policy at the gate, and its memory is a fold over the run's events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from seawall.core.canonical import escape_unsendable
from seawall.core.errors import describe_error
from seawall.core.events import Event, Mode
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, GuardFailed, Verdict


class Guard:
    """Base class of every guard. Override `before`, and what else you need.

    All methods are pure: they get everything that they may read as arguments, and keep nothing on `self`. If a guard
    raises, the run is halted.
    """

    name: str = "guard"
    """The guard's name in verdicts, modes and the command line; unique within a team."""
    mode: Mode = "enforce"
    """The default mode: `off`, `observe` (judge and record, but let pass) or `enforce`."""
    judges_invalid: bool = False
    """Whether the guard also judges calls that can't be made, for example of an unknown tool. Such a step has
    `invalid`, and no arguments. The guard's verdict counts if it is a `Halt` before the call, or advice on the agent's
    answer."""

    @property
    def memory_key(self) -> str:
        """The key of the guard's memory in the run's state; unique within a run."""
        return self.name

    def start(self) -> Any:
        """Returns the guard's memory at a run's first event."""
        return None

    def fold(self, memory: Any, event: Event, run: RunState) -> Any:
        """Returns the guard's memory after `event`: a new value, or `memory` itself. `run` is the state before it."""
        return memory

    def carry(self, memory: Any) -> str | None:
        """Returns a short text that the session's next run gets with its `RunTaken`; None, or what is no text, for
        nothing.
        """
        return None

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        """Judges a step that is about to be performed."""
        return ALLOW

    def after(self, step: Step, result: Result, run: RunState, memory: Any) -> Verdict:
        """Judges a result before the agent gets it. `Replace` gives the agent another result."""
        return ALLOW


class FoldFailed(msgspec.Struct, frozen=True):
    """Replaces a guard's memory once its fold has raised: the guard can't judge this run any more."""

    guard: str
    error: BaseException

    @property
    def verdict(self) -> GuardFailed:
        """The verdict on every later step: the run is halted."""
        what = describe_error(self.error)
        return GuardFailed(f"guard {self.guard!r} raised while it took in an event: {what}", error=self.error)


def collect_handover(state: RunState, guards: Sequence[Guard]) -> dict[str, str]:
    """Returns the texts that the guards of a run leave for the next run of its session. A guard that raises leaves
    none, because this run is over.
    """
    left: dict[str, str] = {}
    for guard in guards:
        memory = state.memories.get(guard.memory_key)
        if isinstance(memory, FoldFailed):
            continue
        try:
            text: object = guard.carry(memory)
            if isinstance(text, str):  # an event with something else could be written, and not be read again
                left[guard.memory_key] = escape_unsendable(text)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 -- the handover is only advice, and must not cost the outcome
            continue
    return left
