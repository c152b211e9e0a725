"""How a run ended, and everything that has to be said beside it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from seawall.core.errors import SeawallBug
from seawall.core.events import EffectState, Status, StepIntended, StoppedBy
from seawall.run.state import RunState


class EffectReport(msgspec.Struct, frozen=True):
    """One effect of a run, and what became of it."""

    step: int
    tool: str
    state: EffectState


class Waiting(msgspec.Struct, frozen=True):
    """A run that waits for a person. Its clock stands still."""

    run: str
    step: int
    """The approval step to decide on."""
    what: str
    agent: str
    since: float
    """Wall seconds."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a run. `status` is never folded into what stands beside it.

    `completed`: the team answered. `refused`: a guard or the reviewer said no. `halted`: a guard ended the
    run (`stopped_by`). `failed`: the outside world, or the team's code (`error`). `cancelled`: somebody did.
    """

    run: str
    status: Status
    answer: str | None = None
    output: Any = None
    """The answer as the coordinator's `output` type; None without one."""
    reviewed: bool | None = None
    """None: the team has no reviewer. False: it did not approve."""
    unverified: tuple[str, ...] = ()
    pruned: tuple[str, ...] = ()
    effects: tuple[EffectReport, ...] = ()
    stopped_by: StoppedBy | None = None
    error: str | None = None
    unchecked_delivery: bool = False
    """The answer was streamed to the user as it was made, before anything checked it."""
    usd: Decimal = Decimal(0)
    tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    handoffs: int = 0
    active_s: float = 0.0

    def __str__(self) -> str:
        why = f": {self.stopped_by.reason}" if self.stopped_by else f": {self.error}" if self.error else ""
        return f"{self.status}{why}" if self.answer is None else f"{self.status}: {self.answer}"


def outcome_of(state: RunState, answer: str | None, output: Any = None) -> Outcome:
    """The outcome of a run that has ended."""
    ended = state.ended
    if ended is None:
        raise SeawallBug(f"run {state.started.run} has no outcome yet")
    ledger = state.ledger
    effects = tuple(EffectReport(change.step, change.tool, change.state) for change in state.effect_states())
    return Outcome(
        run=state.started.run,
        status=ended.status,
        answer=answer,
        output=output,
        reviewed=ended.reviewed,
        unverified=ended.unverified,
        pruned=ended.pruned,
        effects=effects,
        stopped_by=ended.stopped_by,
        error=ended.error,
        unchecked_delivery=ended.unchecked_delivery,
        usd=ledger.usd,
        tokens=ledger.tokens,
        model_calls=ledger.model_calls,
        tool_calls=ledger.tool_calls,
        handoffs=ledger.handoffs,
        active_s=round(state.started.limits.active_s - ended.left_s, 6),
    )


def waiting_of(state: RunState) -> Waiting:
    """What a parked run waits for: its oldest approval step."""
    step: StepIntended = min(state.approvals, key=lambda step: step.step)
    return Waiting(state.started.run, step.step, step.name, step.agent, step.at)
