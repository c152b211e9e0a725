"""The results of one scene in one mode, as the world, the journal and the clock count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from seawall.cli.demo.world import World
from seawall.core.events import Event, Judged, RunTaken, StepDone, StepIntended
from seawall.run.state import RunState

DemoMode = Literal["observe", "enforce"]
"""The mode of the guards. The demo never switches them off, because what they observe is recorded too."""
MODES: tuple[DemoMode, ...] = ("observe", "enforce")
CUT_OFF = ("cancelled", "timeout", "lost", "unknown")
"""The statuses of a step that was cut off: it is not known whether its call reached the world."""


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """A process that was killed in the middle of a run, and what the world and the journal had counted by then."""

    signal: int
    calls: int
    """Calls that had reached the world."""
    recorded: int
    """Tool calls with a recorded result."""
    repeated: int
    """Recorded calls that were made again after the resume."""
    again: int
    """Calls that reached the world after the resume."""


class CheckedClaim(msgspec.Struct, frozen=True):
    """A claim of the demo, and whether it was true."""

    text: str
    holds: bool


class ModeResult(msgspec.Struct, frozen=True, kw_only=True):
    """One scene in one mode: its run, or the sum of its runs."""

    mode: DemoMode
    run: str
    """The id of the run. Of several runs, it is one that a guard ended, or else the first. The fields up to `waits_at`
    are about this run."""
    state: str
    """The outcome's status, or `waiting`."""
    reviewed: bool | None
    stopped_by: str | None
    """The guard that ended the run."""
    reason: str | None
    error: str | None
    """Why the run failed, if it did."""
    would_stop: str | None
    """The guard that would have ended it first if it had been enforced."""
    answer: str | None
    waits_at: int | None
    """The approval step that waits for a person."""
    pruned: list[str]
    """What the planner left out for lack of time."""
    ends: dict[str, int]
    """The number of runs by the way in which they ended."""
    calls: int
    """Tool calls that reached the world, by the world's own count."""
    calls_by_tool: dict[str, int]
    payments: list[str]
    """What the world paid out, payment by payment."""
    paid_again: int
    """Payments for an order that had been paid back before."""
    recorded_calls: int
    """Tool calls that the journal has recorded."""
    cut_calls: int
    """Recorded calls that were given up before there was a result: these may not have reached the world."""
    effects: list[str]
    """The state of each effect in the journal."""
    model_calls: int
    tokens: int
    unsettled_tokens: int
    """Tokens reserved for replies that were cut off, and booked at their bound."""
    usd: Decimal | None
    """The cost by the journal, with calls that were cut off at their upper bound; None without a known price."""
    billed: dict[str, Decimal]
    """What the provider charged by its own count, by payer."""
    seconds: float
    figures: dict[str, int]
    """Further figures of the scene, by their names."""
    kill: Kill | None = None

    @property
    def cost(self) -> Decimal | None:
        """What the model cost, by the provider's own bill; None if its price is not known."""
        return None if self.usd is None else sum(self.billed.values(), Decimal(0))

    @property
    def runs(self) -> int:
        """How many runs there were."""
        return sum(self.ends.values())


class PlayedRun(msgspec.Struct, frozen=True):
    """One run that has ended, or that waits for a person."""

    state: RunState
    events: Sequence[Event]
    answer: str | None


def sum_up(
    mode: DemoMode,
    played: Sequence[PlayedRun],
    world: World,
    *,
    seconds: float,
    priced: bool,
    figures: dict[str, int],
    kill: Kill | None = None,
) -> ModeResult:
    """Returns the result of a scene's runs in one mode."""
    shown = next((each for each in played if each.state.ended and each.state.ended.stopped_by), played[0])
    state, ended = shown.state, shown.state.ended
    stopped_by = None if ended is None else ended.stopped_by
    ledgers = [each.state.ledger for each in played]
    return ModeResult(
        mode=mode,
        run=state.started.run,
        state="waiting" if ended is None else ended.status,
        reviewed=None if ended is None else ended.reviewed,
        stopped_by=None if stopped_by is None else stopped_by.guard,
        reason=None if stopped_by is None else stopped_by.reason,
        error=None if ended is None else ended.error,
        would_stop=next((guard for each in played if (guard := _find_observed_halt(each.events))), None),
        answer=shown.answer,
        waits_at=next((step.step for step in state.approvals), None) if ended is None else None,
        pruned=[] if ended is None else list(ended.pruned),
        ends=dict(Counter(describe_end(each.state) for each in played)),
        calls=world.count_calls(),
        calls_by_tool=world.count_calls_by_tool(),
        payments=world.list_payments(),
        paid_again=world.count_repeated_payments(),
        recorded_calls=sum(len(_find_tools(each.events)) for each in played),
        cut_calls=sum(_count_cut_calls(each.events) for each in played),
        effects=[change.state for each in played for change in each.state.effect_states()],
        model_calls=sum(ledger.model_calls for ledger in ledgers),
        tokens=sum(ledger.tokens for ledger in ledgers),
        unsettled_tokens=sum(ledger.lost_tokens for ledger in ledgers),
        usd=sum((ledger.usd for ledger in ledgers), Decimal(0)) if priced else None,
        billed=world.sum_bills(),
        seconds=round(seconds, 3),
        figures=figures,
        kill=kill,
    )


def describe_end(state: RunState) -> str:
    """Returns how a run ended, in two or three words."""
    ended = state.ended
    if ended is None:
        return "waits for a person"
    if ended.stopped_by is not None:
        return f"{ended.status} by {ended.stopped_by.guard}"
    return f"{ended.status}, reviewed" if ended.reviewed else ended.status


def _find_observed_halt(events: Sequence[Event]) -> str | None:
    """Returns the guard that would have ended the run first if it had been enforced."""
    observed = (event for event in events if isinstance(event, Judged) and event.mode == "observe")
    return next((event.guard for event in observed if event.verdict == "halt"), None)


def _find_tools(events: Sequence[Event]) -> set[int]:
    """Returns the steps that called a tool of the world; calls of memory are left out."""
    return {
        event.step
        for event in events
        if isinstance(event, StepIntended) and event.kind == "tool" and event.perform
    }


def _count_cut_calls(events: Sequence[Event]) -> int:
    """Returns how many tool calls were recorded as about to be made, and then cut off."""
    tools = _find_tools(events)
    return sum(
        event.step in tools and event.status in CUT_OFF for event in events if isinstance(event, StepDone)
    )


def compare_with_kill(events: Sequence[Event], world: World, *, signal: int, calls: int) -> Kill:
    """Compares the events from before the last process took the run with the events from after."""
    taken = max(index for index, event in enumerate(events) if isinstance(event, RunTaken))
    recorded = _list_recorded_calls(events[:taken])
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
        again=world.count_calls() - calls,
    )


def _list_recorded_calls(events: Sequence[Event]) -> set[tuple[int, str | None]]:
    """Returns the tool calls that have a result, as (frame, call)."""
    done = {event.step for event in events if isinstance(event, StepDone) and event.status == "ok"}
    return {
        (event.frame, event.call)
        for event in events
        if isinstance(event, StepIntended) and event.kind == "tool" and event.step in done
    }
