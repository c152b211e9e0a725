"""What one scene came to under one mode: counted by the world, by the journal, and by the clock."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from seawall.cli.demo.world import World
from seawall.core.events import Event, Judged, RunTaken, StepDone, StepIntended
from seawall.run.state import RunState

Guarded = Literal["observe", "enforce"]
"""How the guards run. The demo never switches them off: what they only observe is on the record too."""
MODES: tuple[Guarded, ...] = ("observe", "enforce")


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """A process that was killed in the middle of a run, and what the world and the journal had by then."""

    signal: int
    calls: int
    """Calls that had reached the world."""
    recorded: int
    """Tool calls with a recorded result."""
    repeated: int
    """Of these, how many were made again after the resume."""
    again: int
    """Calls that reached the world after the resume."""


class Claim(msgspec.Struct, frozen=True):
    """Something that the demo says, and whether it was so in this run."""

    text: str
    holds: bool


class Take(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one scene."""

    mode: Guarded
    run: str
    state: str
    """The outcome's status, or `waiting`."""
    reviewed: bool | None
    stopped_by: str | None
    """The guard that ended the run."""
    reason: str | None
    error: str | None
    """Why the run failed, if it did."""
    would_stop: str | None
    """The guard that would have ended it first, had it been enforced."""
    answer: str | None
    waits_at: int | None
    """The approval step that waits for a person."""
    calls: int
    """Tool calls that reached the world, by the world's own count."""
    calls_by_tool: dict[str, int]
    payments: list[str]
    """What the world paid out, payment by payment."""
    recorded_calls: int
    """Tool calls by the journal's count."""
    effects: list[str]
    """What became of each effect, by the journal."""
    model_calls: int
    tokens: int
    unsettled_tokens: int
    """Of these, reserved for replies that were cut off: booked at their bound."""
    usd: Decimal | None
    """None where the model's price is not known."""
    seconds: float
    kill: Kill | None = None


def take_of(
    mode: Guarded,
    state: RunState,
    events: Sequence[Event],
    world: World,
    *,
    answer: str | None,
    seconds: float,
    priced: bool,
    kill: Kill | None = None,
) -> Take:
    """Sum up a run that has ended, or that waits for a person."""
    ended, ledger = state.ended, state.ledger
    stopped_by = None if ended is None else ended.stopped_by
    observed = (event for event in events if isinstance(event, Judged) and event.mode == "observe")
    return Take(
        mode=mode,
        run=state.started.run,
        state="waiting" if ended is None else ended.status,
        reviewed=None if ended is None else ended.reviewed,
        stopped_by=None if stopped_by is None else stopped_by.guard,
        reason=None if stopped_by is None else stopped_by.reason,
        error=None if ended is None else ended.error,
        would_stop=next((event.guard for event in observed if event.verdict == "halt"), None),
        answer=answer,
        waits_at=next((step.step for step in state.approvals), None) if ended is None else None,
        calls=world.calls(),
        calls_by_tool=world.calls_by_tool(),
        payments=world.payments(),
        recorded_calls=ledger.tool_calls,
        effects=[change.state for change in state.effect_states()],
        model_calls=ledger.model_calls,
        tokens=ledger.tokens,
        unsettled_tokens=ledger.lost_tokens,
        usd=ledger.usd if priced else None,
        seconds=round(seconds, 3),
        kill=kill,
    )


def kill_of(events: Sequence[Event], world: World, *, signal: int, calls: int) -> Kill:
    """Compare what was recorded before the last process took the run with what happened after."""
    taken = max(index for index, event in enumerate(events) if isinstance(event, RunTaken))
    recorded = _recorded(events[:taken])
    again = {
        (event.frame, event.call)
        for event in events[taken:]
        if isinstance(event, StepIntended) and event.kind == "tool" and event.perform
    }
    return Kill(
        signal=signal,
        calls=calls,
        recorded=len(recorded),
        repeated=len(recorded & again),
        again=world.calls() - calls,
    )


def _recorded(events: Sequence[Event]) -> set[tuple[int, str | None]]:
    """Tool calls, as (frame, call), that have a result."""
    done = {event.step for event in events if isinstance(event, StepDone) and event.status == "ok"}
    return {
        (event.frame, event.call)
        for event in events
        if isinstance(event, StepIntended) and event.kind == "tool" and event.step in done
    }
